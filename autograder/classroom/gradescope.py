"""A report as Gradescope's results.json.

Scores and words are the report's own. Of a hidden test that is one sentence of what holds for a right answer, and a
reason that was made to be safe: never an input, an expected value, a seed, or what the code printed there. Who sees
even that, and when, is the instructor's choice: `hidden` is Gradescope's own word for it.
"""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

from autograder.report import Report, TestResult

Visibility = Literal["visible", "hidden", "after_due_date", "after_published"]
VISIBILITIES: tuple[str, ...] = get_args(Visibility)


def results(report: Report, hidden: Visibility = "visible") -> str:
    """results.json. While a test is not visible to students, Gradescope shows them no total either."""
    data = {
        "score": _rounded(report.points),
        "execution_time": round(report.cpu_seconds, 3),
        "output": "\n".join(_summary(report, hidden == "visible")),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test(test, number, hidden) for number, test in _numbered(report)],
        "extra_data": {
            "assignment": report.assignment,
            "submission": report.submission,
            "tests_hash": report.tests_hash,
            "release": report.release,
            "isolation": report.isolation,
            "versions": report.versions,
        },
    }
    return json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def not_graded(reason: str) -> str:
    """results.json for what could not be graded: zero points, and why."""
    data = {
        "score": 0.0,
        "output": reason,
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [],
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _numbered(report: Report) -> list[tuple[str, TestResult]]:
    """Tests as "2.3": the third test of the second task."""
    found: list[tuple[str, TestResult]] = []
    for number, task in enumerate(report.by_task(), 1):
        found += [(f"{number}.{place}", test) for place, test in enumerate(task.tests, 1)]
    return found


def _test(test: TestResult, number: str, hidden: Visibility) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": f"{test.task}: {test.sentence}",
        "number": number,
        "status": "passed" if test.outcome == "passed" else "failed",
        "output": "\n".join(_said(test)),
        "visibility": hidden if test.hidden else "visible",
        "tags": ["hidden" if test.hidden else "practice", test.outcome],
    }
    if test.hidden:  # practice has no points, and "0 of 0" would look like some
        data |= {"score": _rounded(test.points), "max_score": _rounded(test.max_points)}
    return data


def _said(test: TestResult) -> list[str]:
    """What a student reads of a test."""
    if test.outcome == "passed":
        return ["It holds." if test.hidden else "It holds. (Practice: no points.)"]
    if test.outcome == "skipped":
        return [f"Skipped: {test.reason}"]
    said = [test.reason or "It does not hold."]
    if test.outcome == "error":
        said = ["This test broke, and not by your fault: tell your instructor.", *said]
    if test.mistake:
        said.append(f"What it looks like: {test.mistake.seen}")
    for figure in test.figures:
        against = "" if figure.threshold is None else f" (needed: {figure.threshold:g})"
        said.append(f"{figure.name}: {figure.value:g} {figure.unit}".rstrip() + against)
    if test.output and not test.hidden:
        said += ["", "What your code printed:", test.output]
    return said


def _summary(report: Report, with_points: bool) -> list[str]:
    """What stands above the tests; no sum of theirs while they are not shown."""
    lines = [f"{report.title}: the tests that count are not shown yet."]
    if with_points:
        lines = [f"{report.title}: {report.points:g} of {report.max_points:g} points."]
        lines += [f"{task.title}: {task.points:g} of {task.max_points:g}" for task in report.by_task()]
    return [*lines, *report.notes, f"Graded behind: {report.isolation}"]


def _rounded(points: float) -> float:
    return round(points, 6)
