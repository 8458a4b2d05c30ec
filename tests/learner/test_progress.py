"""What was read and met."""

import json

import pytest

from autograder.errors import AutograderError
from autograder.learner.hints import next_hint
from autograder.learner.progress import Progress
from autograder.report import Recognised

MISTAKE = Recognised("sum_for_mean", "seen", "named")


def test_hints_open_one_at_a_time_and_stay_open(toy_course):
    assignment = toy_course.assignment("t01")
    for count in (1, 2, 3):
        opened = next_hint(assignment, assignment.task("mean"), None, Progress.load(toy_course))
        assert (len(opened.opened), opened.left, opened.fresh) == (count, 3 - count, True)
    again = next_hint(assignment, assignment.task("mean"), None, Progress.load(toy_course))
    assert (len(again.opened), again.fresh) == (3, False)


def test_without_a_task_the_hint_is_for_what_is_to_be_mended(toy_course, report_of):
    assignment, report = toy_course.assignment("t01"), report_of(mean="passed", running_mean="failed")
    assert next_hint(assignment, None, report, Progress.load(toy_course)).task.name == "running_mean"


def test_where_all_passes_no_hint_is_opened_by_accident(toy_course, report_of):
    assignment, report = toy_course.assignment("t01"), report_of(mean="passed", running_mean="passed")
    with pytest.raises(AutograderError, match="no hint is needed"):
        next_hint(assignment, None, report, Progress.load(toy_course))
    assert Progress.load(toy_course).hints == {}


def test_a_mistake_is_named_after_a_hint_of_its_own_task_only(toy_course):
    progress = Progress.load(toy_course)
    progress.hints["t01_numbers.running_mean"] = 1
    assert not progress.may_name("t01_numbers", "mean", MISTAKE)
    progress.hints["t01_numbers.mean"] = 1
    assert progress.may_name("t01_numbers", "mean", MISTAKE)


def test_a_mistake_is_named_on_the_second_equal_failure(toy_course, report_of):
    progress = Progress.load(toy_course)
    progress.record(report_of(mean="failed", running_mean="unwritten", mistake="sum_for_mean"))
    assert not progress.may_name("t01_numbers", "mean", MISTAKE)
    progress.record(report_of(mean="failed", running_mean="unwritten", mistake="another"))
    assert not progress.may_name("t01_numbers", "mean", MISTAKE)
    progress.record(report_of(mean="failed", running_mean="unwritten", mistake="sum_for_mean"))
    assert progress.may_name("t01_numbers", "mean", MISTAKE)


def test_what_is_saved_is_read_back(toy_course, report_of):
    progress = Progress.load(toy_course)
    progress.record(report_of(mean="failed", mistake="sum_for_mean"))
    progress.hints["t01_numbers.mean"] = 2
    progress.save()
    again = Progress.load(toy_course)
    assert (again.hints, again.failures, again.note) == (progress.hints, progress.failures, "")


@pytest.mark.parametrize("text", ["{", "[1, 2]", "\x00", "null", "[" * 100_000])
def test_a_damaged_file_is_set_aside_and_the_work_goes_on(toy_course, text):
    toy_course.state.mkdir()
    path = toy_course.state / "progress.json"
    path.write_text(text, encoding="utf-8")
    progress = Progress.load(toy_course)
    assert progress.hints == {}
    assert "set aside as progress.json.corrupt" in progress.note
    assert path.with_name("progress.json.corrupt").read_text(encoding="utf-8") == text
    progress.save()
    assert Progress.load(toy_course).note == ""


def test_a_file_edited_by_hand_costs_its_odd_entries_only(toy_course):
    toy_course.state.mkdir()
    data = {"hints": {"t01_numbers.mean": 2, "x": "many", "y": -1, "z": True}, "failures": [1]}
    (toy_course.state / "progress.json").write_text(json.dumps(data), encoding="utf-8")
    progress = Progress.load(toy_course)
    assert progress.hints == {"t01_numbers.mean": 2}
    assert progress.failures == {}
