"""Watching without a terminal: when a save counts, what is checked first, and what is kept from save to save."""

import os
import shutil
import signal

import pytest

from autograder.course import Course
from autograder.errors import SubmissionError
from autograder.grading import material as materials
from autograder.grading.store import ReportStore
from autograder.learner.checking import check
from autograder.learner.edited import definitions, edited_tasks
from autograder.learner.progress import Progress
from autograder.learner.watching import PATIENCE, SETTLED, Saves, Watch

MEAN = "def mean(xs):\n    if not xs:\n        raise ValueError\n    return sum(xs) / len(xs)\n"
SUM = MEAN.replace(" / len(xs)", "")
RUNNING = "def running_mean(xs):\n    return [mean(xs[: k + 1]) for k in range(len(xs))]\n"
STUB = "def running_mean(xs):\n    raise NotImplementedError()\n"
LOOP = "def running_mean(xs):\n    while True:\n        pass\n"


# ------------------------------------------------------------------------------------------------------------- saves


@pytest.fixture
def clock():
    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def saves(tmp_path, clock):
    path = tmp_path / "means.py"
    path.write_text("one")
    made = Saves((path, tmp_path / "means.ipynb"), clock)
    made.path = path
    return made


def settle(saves, clock, seconds=SETTLED):
    first = saves.saved
    clock.now += seconds
    return not first and saves.saved


def test_nothing_is_saved_until_something_is(saves, clock):
    assert not settle(saves, clock)
    assert not saves.changed


def test_a_save_counts_once_it_is_over(saves, clock):
    saves.path.write_text("two!")
    assert saves.changed
    assert not saves.saved
    clock.now += SETTLED / 2
    saves.path.write_text("three!")
    assert not saves.saved, "it was written again meanwhile"
    clock.now += SETTLED / 2
    assert not saves.saved
    clock.now += SETTLED
    assert saves.saved
    saves.take()
    assert not saves.changed


def test_the_same_text_again_is_a_save(saves, clock):
    os.utime(saves.path, ns=(1, 1))
    assert settle(saves, clock)


def test_a_rename_over_it_is_a_save(saves, clock, tmp_path):
    beside = tmp_path / "other"
    beside.write_text("one")
    shutil.copystat(saves.path, beside)
    beside.replace(saves.path)
    assert settle(saves, clock)


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_file_that_vanishes_for_a_moment_is_being_saved(saves, clock, how):
    saves.path.unlink() if how == "gone" else saves.path.write_text("")
    assert not settle(saves, clock)
    assert not settle(saves, clock, PATIENCE / 2)
    saves.path.write_text("two!")
    assert settle(saves, clock)


def test_a_file_that_stays_away_is_taken_at_its_word(saves, clock):
    saves.path.unlink()
    assert not saves.saved
    clock.now += PATIENCE
    assert saves.saved
    saves.take()
    assert not settle(saves, clock, PATIENCE)
    saves.path.write_text("back")
    assert settle(saves, clock)


def test_a_notebook_that_appears_is_a_save(saves, clock, tmp_path):
    (tmp_path / "means.ipynb").write_text("{}")
    assert settle(saves, clock)


# -------------------------------------------------------------------------------------------------------- edited tasks


def test_the_edited_task_is_found_by_its_meaning(toy_course):
    assignment = toy_course.assignment("t01")
    before = definitions(MEAN + RUNNING)
    assert edited_tasks(assignment, before, definitions("# said\n\n" + MEAN + "\n\n" + RUNNING)) == []
    assert edited_tasks(assignment, before, definitions(MEAN + STUB)) == ["running_mean"]
    assert edited_tasks(assignment, before, definitions(SUM + RUNNING)) == ["mean"]
    assert edited_tasks(assignment, before, definitions(MEAN + RUNNING + "mean = max\n")) == ["mean"]
    assert definitions("def mean(:\n") == {}


# --------------------------------------------------------------------------------------------------------------- checks


@pytest.fixture
def course(toy):
    return Course.load(toy)


@pytest.fixture
def save(course):
    path = course.assignment("t01").module_path

    def write(code):
        path.write_text(code)

    write(MEAN + STUB)
    return write


@pytest.fixture
def watch(course, save):
    with Watch(course, course.assignment("t01")) as made:
        yield made


def outcomes(standing, task):
    return {test.outcome for test in standing.report.tests if test.task == task}


def test_a_check_says_what_check_says_and_keeps_it(watch, save, course):
    save(SUM + RUNNING)
    standing = watch.check()
    checked = check(course, course.assignment("t01"))
    told = [
        [(t.id, t.outcome, t.points, t.reason, t.mistake, t.seed) for t in report.tests]
        for report in (standing.report, checked.report)
    ]
    assert told[0] == told[1]
    assert standing.report.complete


def test_the_edited_task_is_told_first_and_the_others_after(watch, save):
    save(MEAN + RUNNING)
    watch.check()
    told = []
    save(MEAN + STUB)
    standing = watch.check(on_first=told.append)
    [first] = told
    assert first.task == "running_mean"
    assert {test.task for test in first.report.tests} == {"running_mean"}, "mean passed and was not edited"
    assert not first.report.complete
    assert {test.task for test in standing.report.tests} == {"mean", "running_mean"}


def test_what_it_builds_on_goes_before_it_unless_that_is_known_to_pass(watch, save):
    save(SUM + RUNNING)
    watch.check()
    told = []
    save(SUM + STUB)
    watch.check(on_first=told.append)
    assert told == [], "mean does not pass: running_mean is judged when all of it is known"
    save(MEAN + STUB)
    watch.check()
    save(SUM + RUNNING)
    watch.check(on_first=told.append)
    assert [standing.task for standing in told] == ["mean"]


def test_a_save_in_the_middle_of_a_check_ends_it(watch, save):
    save(MEAN + LOOP)
    waits = []

    def mended_meanwhile():
        waits.append(1)
        if len(waits) == 30:
            save(MEAN + RUNNING)
        return False

    assert watch.check(mended_meanwhile) is None
    assert watch.changed
    assert outcomes(watch.check(), "running_mean") == {"passed"}


def test_a_check_that_is_given_up_tells_and_keeps_nothing(watch, save, course):
    before = watch.check().report
    save(SUM + RUNNING)
    asked = []
    assert watch.check(lambda: bool(asked.append(1)) or len(asked) > 6) is None
    assert ReportStore(course.state).load("t01_numbers") == before
    assert Progress.load(course).failures == {}


def test_a_verdict_on_what_was_replaced_at_the_last_moment_is_told_to_nobody(watch, save):
    def at_the_end(running):
        if running.number == running.total and running.result is not None:
            save(MEAN + RUNNING)

    assert watch.check(on_test=at_the_end) is None


def test_the_same_text_again_is_not_the_same_mistake_twice(watch, save, course):
    save(SUM + STUB)
    for _ in range(3):
        watch.check()
    assert Progress.load(course).failures == {"t01_numbers.mean": {"sum_for_mean": 1}}
    save(SUM + STUB + "# said\n")
    watch.check()
    assert Progress.load(course).failures == {"t01_numbers.mean": {"sum_for_mean": 2}}


def test_work_that_cannot_be_read_is_refused_and_the_next_save_is_checked(watch, save, course):
    path = course.assignment("t01").module_path
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SubmissionError, match="UTF-8"):
        watch.check()
    save(MEAN + RUNNING)
    assert outcomes(watch.check(), "mean") == {"passed"}


def test_tests_are_collected_once_and_anew_when_they_change(watch, save, course, monkeypatch):
    collected = []
    collect = materials.collect_tests
    monkeypatch.setattr(
        materials, "collect_tests", lambda path, **more: collected.append(path) or collect(path, **more)
    )
    for code in (MEAN + STUB, SUM + STUB, MEAN + RUNNING):
        save(code)
        watch.check()
    assert len(collected) == 2
    hidden = course.assignment("t01").hidden_tests
    hidden.write_text(hidden.read_text().replace("random.Random(seed)", "random.Random(seed + 1)"))
    watch.check()
    assert len(collected) == 4


def test_idle_moments_prepare_what_the_mistakes_answer(watch, save, course, monkeypatch):
    from autograder.grading import diagnosis

    watch.check()
    assert sum(1 for _ in iter(watch.prepare, False)) > 10
    monkeypatch.setattr(diagnosis.LiveCandidates, "_run", lambda *_: pytest.fail("a mistake was run after all"))
    save(SUM + RUNNING)
    found = {test.mistake.id for test in watch.check().report.tests if test.mistake}
    assert found == {"sum_for_mean"}


def test_a_kit_is_watched_too(kit):
    course = Course.load(kit)
    path = course.assignment("t01").module_path
    path.write_text(MEAN + "def running_mean(xs):\n    return [sum(xs[: k + 1]) / len(xs) for k in range(len(xs))]\n")
    with Watch(course, course.assignment("t01")) as watch:
        found = watch.check()
        assert {test.mistake.id for test in found.report.tests if test.mistake} == {"divides_by_the_whole"}
        assert not watch.prepare(), "what its mistakes answer was recorded"


def test_a_sandbox_that_is_lost_is_replaced_by_one_that_inherits_nothing(watch, save):
    watch.check()
    process = watch._transport._warm._process
    os.kill(process._pid if hasattr(process, "_pid") else process._process.pid, signal.SIGKILL)
    save(MEAN + RUNNING)
    assert outcomes(watch.check(), "mean") == {"passed"}
    assert watch._transport._warm.facts["forked"] is False


def test_hints_open_one_after_another_and_name_the_mistake(watch, save):
    save(SUM + STUB)
    watch.check()
    assert len(watch.hint().opened) == 1
    assert len(watch.hint().opened) == 2
    assert watch.progress.hints_read("t01_numbers", "mean") == 2


def test_next_moves_on_through_tasks_and_assignments(course, save):
    assignment = course.assignment("t01")
    with Watch(course, assignment, assignment.task("mean")) as watch:
        watch.check()
        assert watch.advance().task == "running_mean"
        assert watch.task.name == "running_mean"
        save(MEAN + RUNNING)
        watch.check()
        assert watch.advance().assignment == "t02_lists"
        assert (watch.assignment.short, watch.task) == ("t02", None)
        assert watch.check().report.assignment == "t02_lists"


def test_one_sandbox_serves_the_whole_watch(course, save, monkeypatch):
    from autograder.sandbox import launch

    started = []
    start = launch.start
    monkeypatch.setattr(launch, "start", lambda *what: started.append(what) or start(*what))
    with Watch(course, course.assignment("t01")) as watch:
        for code in (MEAN + STUB, SUM + RUNNING, MEAN + RUNNING):
            save(code)
            watch.check()
        watch.advance()
        watch.check()
    assert len(started) == 1
