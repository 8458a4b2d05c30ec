"""What to do next."""

from dataclasses import replace

import pytest

from autograder.errors import CourseError
from autograder.grading.submission import read_submission
from autograder.learner.next_step import current, next_step, step_in


def test_at_the_beginning_the_first_task_is_to_be_written(toy_course):
    step = next_step(toy_course, {})
    assert (step.kind, step.task, step.command) == ("start", "mean", "autograder check t01")
    assert "assignments/t01_numbers/means.py" in step.sentence


def test_on_untouched_stubs_nothing_has_begun(toy_course, report_of):
    report = report_of(mean="unwritten", running_mean="unwritten")
    assert next_step(toy_course, {report.assignment: report}).kind == "start"


def test_what_was_tried_and_fails_goes_before_what_is_not_written(toy_course, report_of):
    report = report_of(mean="unwritten", running_mean="failed")
    step = next_step(toy_course, {report.assignment: report})
    assert (step.kind, step.task) == ("mend", "running_mean")


def test_what_is_blocked_waits_for_what_blocks_it(toy_course, report_of):
    report = report_of(mean="unwritten", running_mean="blocked")
    assert next_step(toy_course, {report.assignment: report}).task == "mean"


def test_after_a_task_passes_the_next_one_is_written(toy_course, report_of):
    report = report_of(mean="passed", running_mean="unwritten")
    step = next_step(toy_course, {report.assignment: report})
    assert (step.kind, step.task) == ("write", "running_mean")


def test_a_begun_assignment_goes_before_an_earlier_untouched_one(toy_course, report_of):
    report = report_of("t02", Tally="failed", centre="unwritten")
    assert next_step(toy_course, {report.assignment: report}).assignment == "t02_lists"


def test_a_finished_assignment_leads_to_the_next_one(toy_course, report_of):
    report = report_of(mean="passed", running_mean="passed")
    assert next_step(toy_course, {report.assignment: report}).assignment == "t02_lists"


def test_at_the_end_there_is_praise_and_a_quiz(toy_course, report_of):
    reports = [report_of(mean="passed", running_mean="passed"), report_of("t02", Tally="passed", centre="passed")]
    step = next_step(toy_course, {report.assignment: report for report in reports})
    assert (step.kind, step.command) == ("done", "autograder quiz t02")


def test_a_task_without_a_test_in_the_report_is_not_done(toy_course, report_of):
    report = report_of(mean="passed")
    assert next_step(toy_course, {report.assignment: report}).task == "running_mean"


def test_a_fault_of_ours_is_checked_again(toy_course, report_of):
    report = report_of(mean="error", running_mean="unwritten")
    assert next_step(toy_course, {report.assignment: report}).kind == "ours"


def test_a_notebook_is_named_where_the_notebook_was_checked(toy_course, report_of):
    report = replace(report_of(mean="failed", running_mean="unwritten"), submission="ipynb:abc")
    assert "means.ipynb" in step_in(toy_course.assignment("t01"), report).sentence


def test_a_course_without_assignments_says_so(toy_course):
    empty = replace(toy_course, months=(), assignments=())
    assert next_step(empty, {}).kind == "empty"
    with pytest.raises(CourseError, match="no assignments"):
        current(empty, {})


WRITTEN = "def mean(xs):\n    return sum(xs) / len(xs)\n\n\ndef running_mean(xs):\n    raise NotImplementedError\n"


def test_what_is_written_and_was_not_checked_is_to_be_checked(toy_course, report_of):
    toy_course.assignment("t01").module_path.write_text(WRITTEN)
    for reports in ({}, {"t01_numbers": report_of(mean="unwritten", running_mean="unwritten")}):
        step = next_step(toy_course, reports)
        assert (step.kind, step.task, step.command) == ("check", "mean", "autograder check t01.mean")
    only_mean = report_of(mean="passed")
    assert next_step(toy_course, {only_mean.assignment: only_mean}).kind == "write"


def test_what_its_tests_have_seen_is_not_sent_to_them_again(toy_course, report_of):
    """A task may be written and call one that is not: then its tests say "not written yet" however often they run."""
    assignment = toy_course.assignment("t01")
    assignment.module_path.write_text(WRITTEN)
    now = read_submission(assignment).sha256
    report = report_of(mean="unwritten", running_mean="unwritten")
    seen = replace(report, submission=now, tests=tuple(replace(test, submission=now) for test in report.tests))
    assert next_step(toy_course, {report.assignment: seen}).kind == "start"


def test_what_failed_and_was_edited_since_is_checked_before_it_is_mended_again(toy_course, report_of):
    assignment = toy_course.assignment("t01")
    report = report_of(mean="failed", running_mean="unwritten")
    assignment.module_path.write_text(WRITTEN)
    step = step_in(assignment, report)
    assert (step.kind, step.command) == ("check", "autograder check t01.mean")
    assert "edited since its last check" in step.sentence
    now = read_submission(assignment).sha256
    seen = replace(report, tests=tuple(replace(test, submission=now) for test in report.tests))
    assert step_in(assignment, seen).kind == "mend"
