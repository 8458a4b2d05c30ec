"""Which verdicts are of an earlier text."""

from dataclasses import replace

from autograder.grading.submission import read_submission
from autograder.learner.edited import stale


def seen(report, *texts):
    """The report, of which each test saw the text given and the last check the last."""
    tests = tuple(replace(test, submission=text) for test, text in zip(report.tests, texts, strict=True))
    return {report.assignment: replace(report, submission=texts[-1], tests=tests)}


def test_an_edit_after_the_last_check_is_seen(toy_course, report_of):
    report = report_of(mean="passed", running_mean="failed")
    now = read_submission(toy_course.assignment("t01")).sha256
    assert stale(toy_course, seen(report, now, now)) == frozenset()
    assert stale(toy_course, seen(report, "py:before", "py:before")) == {"t01_numbers"}


def test_a_check_of_one_task_says_nothing_of_the_others(toy_course, report_of):
    report = report_of(mean="passed", running_mean="passed")
    now = read_submission(toy_course.assignment("t01")).sha256
    assert stale(toy_course, seen(report, "py:before", now)) == {"t01_numbers"}


def test_what_was_skipped_saw_nothing(toy_course, report_of):
    report = report_of(mean="skipped", running_mean="passed")
    now = read_submission(toy_course.assignment("t01")).sha256
    assert stale(toy_course, seen(report, "py:before", now)) == frozenset()
