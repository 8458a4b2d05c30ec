"""The two screens a student lives with: the board (the whole course) and the screen of one check (at most 40 lines)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autograder.course import Assignment, Course
from autograder.learner.next_step import cannot_load, finished, next_step, tried
from autograder.learner.progress import Progress
from autograder.report import Figure, Report, TaskResult, TestResult
from autograder.reporting.style import UNICODE, Capped, Symbols, bar, clean, heading, plural, points, state_of
from autograder.reporting.words import (
    Suggestion,
    all_practice,
    first_failing,
    focus_in,
    how_it_stands,
    mistake_of,
    notes,
    part_of,
    score,
    what_next,
    while_watching,
    worth,
)

MOST_TASKS = 10
"""Beyond so many, the tasks that pass share one line."""


def board(
    course: Course, reports: Mapping[str, Report], *, stale: Collection[str] = (), symbols: Symbols = UNICODE
) -> RenderableType:
    """Months, assignments, tasks, points, and what to do next."""
    step = next_step(course, reports)
    stands = {a.id: _earned_of(a, reports.get(a.id), _in_kit(reports.values())) for a in course}
    width = max(map(len, stands.values()), default=0)
    parts: list[RenderableType] = [heading(course.title, _points_of(course, reports)), ""]
    for month in course.months:
        parts.append(Text(f"{_spoken(month.id)} {symbols.dot} {clean(month.title)}", style="dim"))
        for name in month.assignments:
            assignment = course.assignment(name)
            report = reports.get(assignment.id)
            earned = stands[assignment.id].rjust(width)
            parts.append(_assignment_line(assignment, report, assignment.id in stale, earned, symbols))
            if len(course.assignments) <= 2 or assignment.id == step.assignment:
                parts.append(_task_table(assignment, report, symbols, indent=5))
        parts.append("")
    return Group(*parts, *_hidden_note(reports.values()), _next(step.sentence, step.command, symbols))


def screen(
    report: Report,
    assignment: Assignment,
    progress: Progress,
    *,
    task: str | None = None,
    symbols: Symbols = UNICODE,
    watching: bool = False,
) -> RenderableType:
    """One check: what passed, the first thing to fix, what it looks like, and what to do next.

    Of a check of one task the score and the notes are those of that task. Of a check that still goes on, what is
    known: no score, and nothing of what comes next. watching: each save is checked, so no command has to be typed.
    """
    head = f"{assignment.short}.{task}" if task else f"{assignment.short}  {report.title}"
    asked = part_of(report, assignment, task)
    earned = score(asked) if report.complete else f"{symbols.ellipsis} of {points(asked.max_points)} points"
    parts: list[RenderableType] = [heading(head, earned), ""]
    parts.append(_task_table(assignment, report, symbols, indent=2))
    focus = focus_in(assignment, report, task)
    if focus is None:
        parts += ["", *_all_done(asked, task), *_reached(asked, symbols)]
    elif tried(focus):
        parts += ["", *_first_to_fix(focus, report, progress, symbols)]
    if not report.complete:
        return Group(*parts)
    parts += [*_notes(asked, symbols), ""]
    steps = what_next(assignment, report, progress, focus, task)
    return Group(*parts, *(_suggested(while_watching(step) if watching else step, symbols) for step in steps))


def _spoken(month: str) -> str:
    """ "Month 1" of "month1"."""
    return re.sub(r"(?<=[a-z])(?=\d)", " ", month).replace("_", " ").capitalize()


def _points_of(course: Course, reports: Mapping[str, Report]) -> str:
    if _in_kit(reports.values()):
        results = [result for assignment in course for result in _results(assignment, reports.get(assignment.id))]
        return f"{sum(result.done for result in results)} of {plural(len(results), 'task')}"
    return f"{points(sum(report.points for report in reports.values()))} of {points(course.points)} points"


def _in_kit(reports: Collection[Report]) -> bool:
    """Whether hidden tests are elsewhere: then tasks are counted, since nobody here knows the points."""
    return any(report.hidden_elsewhere for report in reports)


def _earned_of(assignment: Assignment, report: Report | None, in_kit: bool) -> str:
    if in_kit:
        results = _results(assignment, report)
        return f"{sum(result.done for result in results)} / {plural(len(results), 'task')}"
    return f"{points(report.points) if report else 0} / {points(assignment.points)}"


def _assignment_line(
    assignment: Assignment, report: Report | None, edited: bool, earned: str, symbols: Symbols
) -> Table:
    line = Table.grid(expand=True, padding=(0, 2, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True, justify="right")
    results = _results(assignment, report)
    done = sum(result.done for result in results)
    share = done / len(results) if results else 0.0
    if report is not None and not report.hidden_elsewhere and report.max_points:
        share = 1.0 if finished(report) else min(report.points / report.max_points, 0.99)
    title = Text(clean(assignment.title))
    if edited:
        title.append("\nedited since the last check", style="dim")
    line.add_row(Text(assignment.short), title, bar(share, symbols), Text(earned))
    return line


def _results(assignment: Assignment, report: Report | None) -> tuple[TaskResult, ...]:
    """The tasks as they stand; without a report, as not checked."""
    known = {result.name: result for result in report.by_task()} if report else {}
    return tuple(known.get(t.name, TaskResult(t.name, t.title, 0.0, t.points, ())) for t in assignment.tasks)


def _task_table(assignment: Assignment, report: Report | None, symbols: Symbols, indent: int) -> RenderableType:
    """A line a task: its sign, its points, and how it stands."""
    results = _results(assignment, report)
    done = {result.name for result in results if result.done}
    together = len(results) > MOST_TASKS and len(done) > 1
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in (1, 2, 3, 4, 5):
        table.add_column(justify="right" if column == 4 else "left", no_wrap=column == 4)
    margin = " " * (indent - 2)
    for result in results:
        if together and result.done:
            continue
        state = state_of(result)
        quiet = "dim" if state in ("unwritten", "unknown") else ""
        earned = Text(worth(result, report), style=quiet)
        waits = [name for name in assignment.task(result.name).needs if name not in done]
        said = "the file cannot be loaded" if report and cannot_load(report) else how_it_stands(result, state, waits)
        table.add_row(margin, symbols.of(state), Text(result.name), earned, Text(said, style="dim"))
    if together:
        table.add_row(margin, symbols.of("passed"), Text(f"{len(done)} more pass", style="dim"), "", "")
    return table


def _first_to_fix(result: TaskResult, report: Report, progress: Progress, symbols: Symbols) -> list[RenderableType]:
    """The first failing test of the task, what came back, and the known mistake that it equals."""
    test = first_failing(result)
    kind = "hidden test" if test.hidden else "practice test"
    broken = cannot_load(report)
    parts: list[RenderableType] = [Text(f"Fix first: {'the file itself' if broken else result.name}", style="bold")]
    if not broken:
        sentence = Text.assemble(symbols.of(test.outcome), f" {clean(test.sentence)}", (f"  ({kind})", "dim"))
        parts.append(Capped(sentence, 3, symbols, indent=2, hang=2))
    if test.reason:
        parts.append(Capped(test.reason, 9, symbols))
    parts += [Capped(_measured(figure), 1, symbols) for figure in test.figures[:3]]
    parts += _looks_like(result, test, report, progress, symbols)
    if test.output.strip() and not broken:
        parts += ["", Text("  Your code printed", style="dim"), Capped(_tail(test.output, 4), 4, symbols, style="dim")]
    return parts


def _reached(report: Report, symbols: Symbols) -> list[RenderableType]:
    """What the trainings that passed have measured, a line each; a table of many numbers is left to the page."""
    passed = [test for test in report.tests if test.outcome == "passed" and 0 < len(test.figures) <= 3]
    shown = {figure.name: figure for test in passed for figure in test.figures}
    return [Capped(_measured(figure), 1, symbols, indent=2, style="dim") for figure in list(shown.values())[:4]]


def _measured(figure: Figure) -> str:
    against = f", needed {figure.threshold:g}{figure.unit}" if figure.threshold is not None else ""
    return f"{figure.name}: {figure.value:g}{figure.unit}{against}"


def _looks_like(
    result: TaskResult, test: TestResult, report: Report, progress: Progress, symbols: Symbols
) -> list[RenderableType]:
    mistake = mistake_of(result, test)
    if mistake is None:
        return []
    parts: list[RenderableType] = ["", Text("  What it looks like", style="bold"), Capped(mistake.seen, 3, symbols)]
    if progress.may_name(report.assignment, result.name, mistake):
        parts.append(Capped(mistake.named, 3, symbols))
    return parts


def _tail(output: str, lines: int) -> str:
    kept = clean(output).strip().splitlines()
    return "\n".join(kept[-lines:])


def _all_done(report: Report, task: str | None) -> list[RenderableType]:
    if task is not None:
        return [Text(f"{task} passes.", style="bold")]
    if report.hidden_elsewhere:
        return [Text(all_practice(report), style="bold")]
    return [Text(f"All {plural(len(report.tasks), 'task')} pass.", style="bold")]


def _notes(report: Report, symbols: Symbols) -> list[RenderableType]:
    said = notes(report)
    shown = [*said[: min(2, len(report.notes))], *said[len(report.notes) :]]
    if not shown:
        return []
    return ["", *(Capped(f"{symbols.dot} {note}", 2, symbols, indent=2, hang=2, style="dim") for note in shown)]


def _hidden_note(reports: Collection[Report]) -> list[RenderableType]:
    hidden = sum(report.hidden_elsewhere for report in reports)
    said = f"{plural(hidden, 'hidden test')} will also count; they are not here, so the points are not known."
    return [Text(said, style="dim"), ""] if hidden else []


def _suggested(suggestion: Suggestion, symbols: Symbols) -> Table:
    if suggestion.sentence:
        return _next(suggestion.sentence, suggestion.command, symbols)
    return _command(symbols, suggestion.command, suggestion.why)


def _next(sentence: str, command: str, symbols: Symbols) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(Text("Next", style="bold"), Text(sentence))
    if command:
        table.add_row("", Text.assemble((f"{symbols.arrow} ", "dim"), (command, "bold cyan")))
    return table


def _command(symbols: Symbols, command: str, why: str) -> Table:
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(Text(symbols.arrow, style="dim"), Text(command, style="bold cyan"), Text(f" {why}", style="dim"))
    return line
