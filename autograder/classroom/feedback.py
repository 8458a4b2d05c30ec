"""Feedback: a page for each student and assignment, made from the kept report and what a human entered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autograder.classroom.gradebook import Gradebook
from autograder.classroom.records import Records
from autograder.course import Course
from autograder.files import write_whole
from autograder.learner.progress import Progress
from autograder.report import Report
from autograder.reporting.html import page


def write_feedback(course: Course, records: Records, book: Gradebook) -> int:
    """Writes OUT/feedback/STUDENT/ASSIGNMENT.html for every report; how many.

    A report tells nothing hidden: of a hidden test it holds the sentence and a reason in words of ours. What a
    student's own code printed is left out too. A known mistake is named: the work is handed in, so that the finding is
    taken from nobody.
    """
    nobody = Progress(Path())
    written = 0
    for report in records.all():
        told = _with_human_scores(_named(report), book)
        text = page(told, course.assignment(report.assignment), nobody)
        write_whole(records.folder / "feedback" / report.student / f"{report.assignment}.html", text.encode())
        written += 1
    return written


def _named(report: Report) -> Report:
    """The report with each mistake's second sentence where the first one stands, and nothing that code printed."""
    tests = tuple(
        replace(test, output="", mistake=replace(test.mistake, seen=test.mistake.named) if test.mistake else None)
        for test in report.tests
    )
    return replace(report, tests=tests)


def _with_human_scores(report: Report, book: Gradebook) -> Report:
    said = tuple(
        f"{task}: {comment or f'{points:g} points by hand'}"
        for task, (points, comment) in sorted(book.human_scores(report.student, report.assignment).items())
    )
    return replace(report, notes=(*report.notes, *said)) if said else report
