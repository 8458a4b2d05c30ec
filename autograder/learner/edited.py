"""Which reports speak of a file that was edited since. Cheap: the board shows it without loading the grader."""

from __future__ import annotations

from collections.abc import Mapping

from autograder.course import Course
from autograder.errors import AutograderError
from autograder.grading.submission import read_submission
from autograder.report import Report


def stale(course: Course, reports: Mapping[str, Report]) -> frozenset[str]:
    """Assignments whose file was edited after the last check."""
    edited = set()
    for assignment in course:
        report = reports.get(assignment.id)
        try:
            if report and read_submission(assignment).sha256 != report.submission:
                edited.add(assignment.id)
        except AutograderError:
            edited.add(assignment.id)
    return frozenset(edited)
