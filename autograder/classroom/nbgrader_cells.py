"""What a report says in a grade cell of nbgrader: lines that the student reads, and one number that nbgrader reads.

nbgrader gives full points to a cell without a number in it, and refuses a submission whose number is above the
points of the cell. So the number always stands there and is never above, and whatever went wrong makes it 0.0. Nothing
is written to stderr, because nbgrader takes that for a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from autograder.report import Report, TaskResult, TestResult
from autograder.reporting.style import clean, points

LONGEST = 2000
"""Characters of one reason that are shown."""

_SIGNS = {"passed": "✓", "skipped": "-", "blocked": "…"}


def outputs_for(report: Report, task: str, cell_points: float) -> list[dict[str, Any]]:
    """The outputs of the cell that carries a task's points; 0.0 for a task that the report does not know."""
    result = next((result for result in report.by_task() if result.name == task), None)
    if result is None:
        return refusal(f"{report.assignment} has no task {task}, so nothing was graded here.")
    score = _score(result, cell_points)
    return [_lines(_said(result, report, score, cell_points)), _number(score)]


def refusal(sentence: str) -> list[dict[str, Any]]:
    """The outputs of a cell of which nothing could be graded."""
    return [_lines([clean(sentence)]), _number(0.0)]


def _score(result: TaskResult, cell_points: float) -> float:
    """The task's share of the cell's points: the two differ only where an author changed the points after a release."""
    if result.max_points <= 0:
        return 0.0
    share = result.points / result.max_points
    return min(max(round(share * cell_points, 6), 0.0), float(cell_points)) if share == share else 0.0


def _said(result: TaskResult, report: Report, score: float, cell_points: float) -> Iterator[str]:
    yield f"{result.title}: {points(score)} of {points(cell_points)} points"
    yield from (f"  {line}" for test in result.tests for line in _test_lines(test))
    yield from (f"  note: {_short(note)}" for note in report.notes)


def _test_lines(test: TestResult) -> Iterator[str]:
    yield f"{_SIGNS.get(test.outcome, '✗')} {_short(test.sentence)}"
    if test.outcome != "passed" and test.reason:
        yield from (f"    {line}" for line in _short(test.reason).splitlines())
    if test.mistake:
        yield f"    {_short(test.mistake.seen)}"
        yield f"    {_short(test.mistake.named)}"
    for figure in test.figures:
        against = "" if figure.threshold is None else f" (asked for: {figure.threshold:g})"
        yield f"    {_short(figure.name)}: {figure.value:g} {figure.unit}".rstrip() + against


def _short(text: str) -> str:
    said = clean(text)
    return said if len(said) <= LONGEST else said[:LONGEST] + " ..."


def _lines(said: Any) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": "\n".join(said) + "\n"}


def _number(score: float) -> dict[str, Any]:
    return {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/plain": repr(score)}}
