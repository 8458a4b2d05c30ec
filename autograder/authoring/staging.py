"""Builds every released file of a course in a folder of its own: nothing of the course is touched."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autograder.authoring import render
from autograder.authoring.plan import Plan, read_plan
from autograder.authoring.render_notebook import notebook, notebook_json
from autograder.authoring.source import Source, read_source
from autograder.course import ASSIGNMENT_FILE, COMMON, COURSE_FILE, DIAGNOSIS_FILE, Assignment
from autograder.errors import ReleaseError, SourceError
from autograder.files import write_whole
from autograder.grading.diagnosis import build_record
from autograder.testing.collect import collect_tests
from autograder.testing.modules import Author, earlier_authors, use_packages

QUIZ_FILE = ".quiz.json"
STUB_FILE = ".stub.py"
NOTEBOOK_FILE = ".notebook.json"

SHARED = ("*.py", "*.safetensors")
"""What the folder of shared code releases: code, and weights that are plain numbers."""

OnAssignment = Callable[[str, int, int], None]
"""(assignment, number, of how many)"""


def stage(root: Path, folder: Path, on_assignment: OnAssignment | None = None) -> tuple[str, ...]:
    """Writes the released files of the course at `root` to `folder/assignments`; returns notes for the author."""
    plan = read_plan(root)
    released = folder / "assignments"
    packages = _stage_common(root, released)
    use_packages(packages)
    for number, name in enumerate(plan.assignments, start=1):
        if on_assignment:
            on_assignment(name, number, len(plan.assignments))
        _stage_assignment(plan, name, folder)
    write_whole(released / COURSE_FILE, render.course_json(plan).encode())
    return _notes(plan)


def _stage_common(root: Path, released: Path) -> list[Path]:
    """Copies what several assignments share, code and weights, as it is; the folder that was copied from, if any."""
    package = root / "solutions" / COMMON
    if not package.is_dir():
        return []
    if not (package / "__init__.py").is_file():
        raise ReleaseError("the shared code is no package", where=str(package), mend=f"touch {package / '__init__.py'}")
    for path in sorted(path for kind in SHARED for path in package.rglob(kind)):
        write_whole(released / COMMON / path.relative_to(package), path.read_bytes())
    return [package]


def _stage_assignment(plan: Plan, name: str, folder: Path) -> None:
    path = plan.source_path(name)
    source = read_source(path)
    _check_order(source, plan)
    author = Author(path.parent, None, earlier_authors(plan.root, source.builds_on))
    _import_reference(author, source)
    counted = read_source(path, plan.overlay(name)) if plan.overlay(name) else source
    assignment = render.assignment_of(counted, plan, folder)  # of a private overlay no more than a number gets out
    for file, text in _texts(source, assignment).items():
        write_whole(assignment.folder / file, text.encode())
    write_whole(assignment.folder / DIAGNOSIS_FILE, _diagnosis(author, assignment))


def _check_order(source: Source, plan: Plan) -> None:
    """What an assignment builds on comes before it in the course."""
    before = plan.assignments[: plan.assignments.index(source.assignment)]
    for name in source.builds_on:
        if name.partition(".")[0] not in before:
            problem = f"{source.assignment} builds on {name}, which is in no earlier assignment of the course"
            raise ReleaseError(problem, where=str(source.path), mend=f"name one of {', '.join(before) or 'none'}")


def _texts(source: Source, assignment: Assignment) -> dict[str, str]:
    """Every released text of an assignment, by file."""
    stub = render.stub_module(source)
    return {
        "README.md": render.handout(source),
        f"{source.module}.py": stub,
        "test_public.py": render.public_tests(source),
        "asks.py": source.asks,
        ASSIGNMENT_FILE: render.assignment_json(assignment),
        QUIZ_FILE: render.quiz_json(source),
        STUB_FILE: stub,
        NOTEBOOK_FILE: notebook_json(notebook(source)),
    }


def _import_reference(author: Author, source: Source) -> None:
    """The reference runs and defines every task; one that does not must not reach a student."""
    try:
        reference = author.reference()
    except SourceError as error:
        raise ReleaseError(
            f"{source.assignment} is not released: {error.problem}", where=error.where, mend=f"python {source.path}"
        ) from error
    missing = [task.name for task in source.tasks if not callable(getattr(reference, task.name, None))]
    if missing:
        raise ReleaseError(
            f"{source.assignment} is not released: its reference has no {', '.join(missing)}", where=str(source.path)
        )


def _diagnosis(author: Author, assignment: Assignment) -> bytes:
    """What each mistake answers to the public tests' fixed inputs."""
    with _one_thread():
        return build_record(author, collect_tests(assignment.public_tests, hidden=False))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """While this lasts, torch (if the reference imported it) adds in one order, as it does where work is graded."""
    torch: Any = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    try:
        if torch:
            torch.set_num_threads(1)
        yield
    finally:
        if torch:
            torch.set_num_threads(before)


def _notes(plan: Plan) -> tuple[str, ...]:
    """What an author may have forgotten."""
    folders = sorted(path.parent.name for path in (plan.root / "solutions").glob("*/source.py"))
    return tuple(
        f"solutions/{name} stands in no month of course.toml, so it is not released"
        for name in folders
        if name not in plan.assignments
    )
