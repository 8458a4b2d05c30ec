"""Renders a `Source` as what students receive: handout, stub, public tests, and the facts the engine reads.

Pure functions from a source to text. The notebook has its own file, `render_notebook.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from autograder.authoring.cells import Cell
from autograder.authoring.markers import strip_solutions
from autograder.authoring.plan import Plan
from autograder.authoring.source import Source, TaskSource
from autograder.course import Assignment, Limits, Task


def stub_module(source: Source) -> str:
    """The module that the student edits, in percent format, so that it can become a notebook and come back."""
    body = _stub_body(source)
    verb = f"autograder check {source.short}"
    head = [
        f'# {source.module}.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  {verb}',
        f"# README.md explains the tasks. ({source.assignment}, release {release_of(source)})",
    ]
    return "\n".join(head) + "\n\n" + body


def release_of(source: Source) -> str:
    """What a stub is stamped with: it changes exactly when the code that a student starts from does."""
    return hashlib.sha256(_stub_body(source).encode()).hexdigest()[:12]


def _stub_body(source: Source) -> str:
    return _percent(cell for cell in source.cells if cell.role in ("given", "code"))


def _percent(cells: Iterable[Cell]) -> str:
    """Cells as percent-format text; two blank lines stand around a definition, as PEP 8 has it."""
    parts: list[str] = []
    for cell in cells:
        marker = f'# %% task="{cell.task}"' if cell.role == "code" else "# %%"
        parts.append(f"{marker}\n{strip_solutions(cell.text) if cell.role == 'code' else cell.text}\n")
    return "\n\n".join(parts)


def handout(source: Source) -> str:
    """README.md: the opening, what there is to do, and every task's statement."""
    parts = [_generated("<!-- {} -->", source)]
    for cell in source.cells:
        if cell.role == "opening":
            parts.append(opening_text(source))
        elif cell.role == "text":
            parts.append(cell.text.strip())
        elif cell.role == "statement":
            parts.append(_statement(cell.text.strip(), source.task(cell.task), source))
    return "\n\n".join(parts) + "\n"


TASKS_HERE = "[[tasks]]"
"""A line of the opening that the overview of tasks replaces; without one, the overview follows the opening."""


def opening_text(source: Source) -> str:
    """The opening under the assignment's title, with the overview of tasks and what may not be used."""
    text = _with_title(source.cells[0].text, source.title)
    own_overview = all(f"`{task.name}`" in text for task in source.tasks)
    if TASKS_HERE in text:
        text = text.replace(TASKS_HERE, _overview(source))
    elif not own_overview:
        text += "\n\n" + _overview(source)
    if any(f"`{name}`" not in text for name in source.forbidden):
        text += "\n\nNot to be used here: " + ", ".join(f"`{name}`" for name in source.forbidden) + "."
    return text


def _with_title(text: str, title: str) -> str:
    text = text.strip()
    return text if text.startswith("# ") else f"# {title}\n\n{text}".strip()


def _overview(source: Source) -> str:
    """What there is to do, in a table."""
    points, minutes = sum(task.points for task in source.tasks), sum(task.minutes for task in source.tasks)
    count = "One task" if len(source.tasks) == 1 else f"{len(source.tasks)} tasks"
    lines = [
        f"{count}, {_points(points)}, about {minutes} minutes. Write `{source.module}.py`; "
        f"`autograder check {source.short}` says how it stands, `autograder hint {source.short}` helps on.",
        "",
        "| task | points | minutes |",
        "|---|---|---|",
        *(f"| `{task.name}` | {task.points:g} | {task.minutes} |" for task in source.tasks),
    ]
    return "\n".join(lines)


def _statement(text: str, task: TaskSource, source: Source) -> str:
    """A task's statement with one line of facts under its heading."""
    heading, _, rest = text.partition("\n")
    facts = f"*{_points(task.points)}, about {task.minutes} minutes: `autograder check {source.short}.{task.name}`*"
    return "\n\n".join(part for part in (heading, facts, rest.strip()) if part)


def _points(points: float) -> str:
    return f"{points:g} point" if points == 1 else f"{points:g} points"


def public_tests(source: Source) -> str:
    """test_public.py: the tests cells, in order."""
    cells = [cell.text.strip() for cell in source.cells if cell.role == "tests"]
    head = _generated("# {}", source)
    note = (
        f'"""Public tests of {source.assignment}: `autograder check {source.short}` runs them, and so does pytest."""'
    )
    return "\n\n\n".join([f"{head}\n{note}", *cells]) + "\n"


def _generated(form: str, source: Source) -> str:
    return form.format(f"Generated by `autograder release` from solutions/{source.assignment}/source.py: edit that.")


def assignment_of(source: Source, plan: Plan, root: Path) -> Assignment:
    """The assignment as the engine reads it."""
    tasks = tuple(
        Task(
            task.name, task.title, float(task.points), task.minutes, task.hints, task.needs,
            hidden_tests=sum(test.cases for test in source.hidden_tests if test.task == task.name),
        )
        for task in source.tasks
    )  # fmt: skip
    return Assignment(
        source.assignment, source.title, plan.month_of(source.assignment), source.module, source.summary, tasks, root,
        source.requires, source.forbidden, source.builds_on, limits_of(source, plan), release_of(source),
    )  # fmt: skip


def limits_of(source: Source, plan: Plan) -> Limits:
    """The engine's limits, the course's before them, the assignment's own before those."""
    given = {**plan.limits, **source.limits}
    whole = {key for key, value in asdict(Limits()).items() if isinstance(value, int)}
    return replace(Limits(), **{key: int(value) if key in whole else float(value) for key, value in given.items()})  # type: ignore[arg-type]


def assignment_json(assignment: Assignment) -> str:
    """.assignment.json"""
    return as_json(assignment.to_json())


def quiz_json(source: Source) -> str:
    """.quiz.json"""
    return as_json({"questions": [question.to_json() for question in source.quiz]})


def course_json(plan: Plan) -> str:
    """.course.json"""
    months = [{"id": m.id, "title": m.title, "assignments": list(m.assignments)} for m in plan.months]
    return as_json({"title": plan.title, "months": months})


def as_json(data: Any) -> str:
    """JSON that diffs well and is the same on every machine."""
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"
