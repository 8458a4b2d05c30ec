"""Graded runs: counted budgets, curves by the grader, retries, blocking, what is kept, and modules of earlier work."""

import importlib
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from autograder.authoring.release import release
from autograder.authoring.verify import verify
from autograder.course import Course
from autograder.errors import ReleaseError
from autograder.grading.earlier import earlier_modules
from autograder.grading.material import author_of
from autograder.grading.run import grade
from autograder.grading.store import ReportStore
from autograder.learner.checking import check
from autograder.sandbox.loopback import LoopbackTransport
from autograder.sandbox.session import SandboxTransport
from autograder.testing.modules import use_packages, without_test_cells

LOSES = ("append(reward)", "append(-reward)")


@pytest.fixture
def guess(course):
    return course.assignment("r01")


@pytest.fixture
def write(guess):
    """Hands in the reference with replacements made in it."""

    def write(*replacements):
        text = without_test_cells((guess.solution_folder / "source.py").read_text())
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        guess.module_path.write_text(text)

    return write


def graded(course, assignment, **options):
    return grade(course, assignment, LoopbackTransport(), **options)


def result(report, name):
    return next(test for test in report.tests if test.name == name)


def test_a_right_answer_earns_its_points_and_shows_its_curve(course, guess, write):
    write()
    report = graded(course, guess)
    assert report.points == 5
    won = result(report, "test_wins")
    assert won.figures[0].value >= won.figures[0].threshold == 18
    (curve,) = won.curves
    assert curve.threshold == 18
    assert curve.unit == "environment steps"
    used = [point[0] for point in curve.points]
    assert used == sorted(used)
    assert 0 < used[0] < used[-1] <= 64


def test_the_budget_is_counted_by_the_grader(course, guess, write):
    write(("range(steps)", "range(steps + 1)"))
    won = result(graded(course, guess), "test_probe")
    assert won.outcome == "failed"
    assert "budget" in won.reason


def test_catching_the_refusal_buys_nothing(course, guess, write):
    greedy = "        try:\n            seen, reward, terminated, truncated, _ = env.step(button)\n"
    greedy += "        except Exception:\n            break\n"
    write(
        ("range(steps)", "range(10 * steps)"),
        ("        seen, reward, terminated, truncated, _ = env.step(button)\n", greedy),
    )
    report = graded(course, guess)
    assert result(report, "test_wins").outcome == "passed"
    assert max(point[0] for point in result(report, "test_wins").curves[0].points) <= 64


def test_a_probe_names_what_is_broken_and_the_expensive_run_waits(course, guess, write):
    write(LOSES)
    report = graded(course, guess)
    assert result(report, "test_probe").mistake.id == "prefers_the_worse"
    waiting = result(report, "test_wins")
    assert (waiting.outcome, waiting.cpu_seconds) == ("blocked", 0.0)
    assert "waits until the tests above it hold" in waiting.reason


def test_a_practice_test_does_not_wait_for_a_practice_run_that_is_not_run_here(runs, write):
    source = runs / "solutions" / "r01_guess" / "source.py"
    text = source.read_text().replace("import graded_run, task", "import graded_run, needs, task")
    waits = (
        '@task("train_guess")\n@needs("test_practice_round")\ndef test_after_it(student):\n    """It comes after."""\n'
    )
    source.write_text(f"{text}\n\n{waits}    student.average([1.0, 2.0]).equals(1.5)\n")
    release(runs)
    course = Course.load(runs)
    write()
    report = graded(course, course.assignment("r01"))
    assert "test_practice_round" not in {test.name for test in report.tests}
    assert result(report, "test_after_it").outcome == "passed"


def test_nothing_trains_before_the_numeric_tests_of_what_it_builds_on_hold(course, guess, write):
    write(("sum(xs) / len(xs) if xs", "sum(xs) if xs"))
    report = graded(course, guess)
    assert {test.outcome for test in report.tests if test.task == "train_guess"} == {"blocked"}
    assert not any(test.cpu_seconds for test in report.tests if test.task == "train_guess")


@pytest.mark.parametrize(("misses", "attempts", "outcome"), [(1, 3, "passed"), (2, 2, "failed")])
def test_two_of_three_runs_decide(course, guess, write, misses, attempts, outcome):
    write()
    first = result(graded(course, guess), "test_wins").seed
    seeds = [(first + k) % 8 for k in range(misses)]
    write(("    return act\n", f"    return (lambda sign: 0) if on_update.__name__ and seed in {seeds} else act\n"))
    # The probe is given the same seeds; there the unlucky one must not show.
    text = guess.module_path.read_text().replace("on_update.__name__", "act(True) != act(False) and _drawn(env_fn)")
    text += "\n\ndef _drawn(env_fn):\n    return abs(abs(env_fn().reset(seed=0)[0][0]) - 1) > 1e-6\n"
    guess.module_path.write_text(text)
    won = result(graded(course, guess), "test_wins")
    assert (won.outcome, len(won.curves), len(won.figures)) == (outcome, attempts, attempts)
    assert len({curve.seed for curve in won.curves}) == attempts
    if outcome == "failed":
        assert "missed on 2 of 2 seeds" in won.reason


def test_a_run_is_not_repeated_until_something_changes(course, guess, write):
    write()
    trained = []

    def watch(progress):
        if progress.share is not None:
            trained.append(progress.case.name)

    first = graded(course, guess, on_test=watch)
    graded(course, guess, kept=(first,), on_test=watch)
    again = list(trained)
    assert graded(course, guess, kept=(first,)).points == 5
    write(("draw, env", "draw,  env"))
    graded(course, guess, kept=(first,), on_test=watch)
    assert again == trained[: len(again)]


def test_an_interrupted_check_does_not_train_again(course, guess, write):
    write()
    seen = []

    def stop_at_the_last(progress):
        seen.append((progress.case.name, progress.result is None))
        if progress.case.name == "test_wins" and progress.result is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(course, guess, on_test=stop_at_the_last)
    store = ReportStore(course.state)
    assert store.load(guess.id) is None, "an unfinished report never counts"
    partial, _ = store.kept(guess.id)
    before = result(partial, "test_probe")
    checked = check(course, guess)
    assert checked.passed
    assert result(checked.report, "test_probe") == before
    assert not (store.folder / f"{guess.id}.partial").exists()


def test_without_training_only_what_is_known_counts(course, guess, write):
    write()
    assert result(graded(course, guess, training=False), "test_wins").outcome == "blocked"
    known = graded(course, guess)
    assert graded(course, guess, training=False, kept=(known,)).points == 5


# ------------------------------------------------------------------------------------------- earlier assignments' modules


def test_the_courses_own_module_stands_in_until_the_students_passes(course, guess, write):
    write()
    report = graded(course, guess)
    (note,) = report.notes
    assert note.startswith("Your best of e01 is not written yet, so the course's own counts is used here")
    assert note.endswith("autograder check e01")
    counts = course.assignment("e01")
    source = without_test_cells((counts.solution_folder / "source.py").read_text())
    counts.module_path.write_text(source.replace("    return max(", "    print('mine')\n    return max("))
    assert check(course, counts).passed
    report = graded(course, guess)
    assert report.points == 5
    assert not report.notes


def test_an_edit_that_was_not_checked_is_not_trusted(course, guess, write):
    write()
    counts = course.assignment("e01")
    shutil.copy(counts.solution_folder / "source.py", counts.module_path)
    assert check(course, counts).passed
    counts.module_path.write_text("def best(xs):\n    return 0\n")
    report = graded(course, guess)
    assert report.points == 5
    assert report.notes[0].startswith("Your best of e01 is not known to be right, so the course's own counts")


def test_a_kit_uses_the_students_own_and_says_so(runs, course, guess, write):
    write()
    shutil.rmtree(runs / "solutions")
    report = graded(Course.load(runs), guess)
    assert report.notes[0].startswith("Your best of e01 is not written yet; what fails in train_guess may be due to it")
    assert result(report, "test_practice_round").outcome == "failed"
    reason = result(report, "test_practice_round").reason
    assert "your code calls best of counts.py, from an earlier assignment, which is not written yet" in reason


def test_an_earlier_module_is_spoken_of_only_where_it_is_used(course, guess, write):
    write()
    average, train = guess.task("average"), guess.task("train_guess")
    assert not graded(course, guess, task=average).notes
    assert graded(course, guess, task=train).notes


def test_in_a_kit_nothing_is_said_of_an_earlier_module_while_nothing_fails(runs, course, guess, write):
    write()
    counts = course.assignment("e01")
    counts.module_path.write_text("def best(xs):\n    return max(range(len(xs)), key=lambda i: xs[i])\n")
    shutil.rmtree(runs / "solutions")
    kit = Course.load(runs)
    assert not graded(kit, kit.assignment("r01")).notes, "never checked, and does no harm"


def test_what_is_used_decides_and_not_the_whole_earlier_module(course, guess):
    """Of two tasks of an earlier assignment one is imported and passes: the student's own module is used."""
    counts = course.assignment("e01")
    shutil.copy(counts.solution_folder / "source.py", counts.module_path)
    report = check(course, counts).report
    other = replace(report.tests[0], id="e01.other.test_it", task="other", outcome="failed")
    tasks = (*report.tasks, {"name": "other", "title": "other", "points": 1})
    ReportStore(course.state).save(replace(report, tests=(*report.tests, other), tasks=tasks))
    wider = replace(counts, tasks=(*counts.tasks, replace(counts.tasks[0], name="other")))
    course = replace(course, assignments=(wider, guess))
    source = "from counts import {0}\n\ndef train_guess():\n    return {0}\n"
    earlier = earlier_modules(course, guess, author_of(guess), source.format("best"))
    assert not earlier.lacks
    assert earlier.modules[0][1] == "counts.py"
    assert earlier_modules(course, guess, author_of(guess), source.format("other")).lacks[0].names == ("other",)


def test_what_an_assignment_builds_on_must_come_before_it(runs):
    plan = runs / "solutions" / "course.toml"
    plan.write_text(plan.read_text().replace('["e01_counts", "r01_guess"]', '["r01_guess", "e01_counts"]'))
    with pytest.raises(ReleaseError, match="no earlier assignment"):
        release(runs)


# ------------------------------------------------------------------------------------- code that assignments share


@pytest.mark.parametrize("mode", ["fork", "bubblewrap"])
def test_student_code_imports_what_assignments_share(course, guess, write, mode):
    write()
    with SandboxTransport.start(mode, guess.requires, (guess.folder,), packages=course.packages) as transport:
        assert grade(course, guess, transport).points == 5


def test_a_kit_has_the_shared_code_and_runs_on_it(runs, course, guess, write):
    write()
    shutil.copy(course.assignment("e01").solution_folder / "source.py", course.assignment("e01").module_path)
    shutil.rmtree(runs / "solutions")
    kit = Course.load(runs)
    assert kit.packages == (runs.resolve() / "assignments" / "common",)
    practice = result(graded(kit, guess), "test_practice_round")
    assert practice.outcome == "passed", practice.reason
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", guess.folder],
        cwd=runs,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_two_courses_do_not_share_their_shared_code(runs, tmp_path):
    other = tmp_path / "other" / "common"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("Lights = 'another'\n")
    for folder, found in ((other, "another"), (runs / "solutions" / "common", "Lights"), (other, "another")):
        use_packages([folder])
        lights = importlib.import_module("common").Lights
        assert getattr(lights, "__name__", lights) == found


def test_shared_code_that_is_no_package_is_refused(runs):
    (runs / "solutions" / "common" / "__init__.py").unlink()
    with pytest.raises(ReleaseError, match="no package"):
        release(runs)


# ------------------------------------------------------------------------------------------------------- the author's gate


def test_the_gate_trains_reference_alternatives_and_blockers(course, guess):
    found = verify(course, guess)
    assert not found.lapses
    rows = {row.test: row for row in found.runs}
    assert len(rows["test_wins"].seeds) == 8
    assert min(rows["test_wins"].reference) >= 18
    assert rows["test_wins"].caught == {"untrained": 8, "prefers_the_worse": 8}
    assert rows["test_probe"].recognised["prefers_the_worse"] == rows["test_probe"].caught["prefers_the_worse"] == 3
    assert found.curves["test_wins"]
    write_back = verify(course, guess)
    assert write_back.kept
    assert [row.blockers for row in write_back.runs] == [row.blockers for row in found.runs]


def test_the_gate_finds_the_same_in_several_processes(course, guess):
    steps = []
    here = verify(course, guess, quick=True).to_json()
    there = verify(course, guess, quick=True, jobs=2, on_progress=lambda *step: steps.append(step)).to_json()
    for found in (here, there):
        found.pop("cpu_seconds")
        for row in found["runs"]:
            row.pop("cpu_seconds")
    assert there == here
    assert ("in 2 processes", 0, 3) in steps


@pytest.mark.parametrize(
    ("old", "new", "lapse"),
    [
        ("1 - act(sign)", "act(sign)", "the mistake prefers_the_worse passes on 2 seeds"),
        ("return lambda sign: 1 - act(sign)", "return lambda sign: seed % 2", "by the name of"),
    ],
)
def test_the_gate_stays_shut(runs, old, new, lapse):
    path = runs / "solutions" / "r01_guess" / ("mistakes.py")
    if lapse.endswith("passes on 2 seeds"):
        path.write_text(path.read_text().replace(old, new))
    else:
        tests = path.with_name("hidden_tests.py")
        tests.write_text(tests.read_text().replace('{"prefers_the_worse": [0.0]}', '{"untrained": [0.0]}'))
    course = Course.load(runs)
    lapses = verify(course, course.assignment("r01"), quick=True).lapses
    assert any(lapse in said for said in lapses), lapses


def test_a_notebook_and_a_script_find_what_they_import(runs, guess, write):
    """Once `check` is imported, the cells below find the shared code and the student's own earlier module."""
    write()
    code = "from autograder.notebook import check\nfrom common import Lights\nfrom counts import best\nprint(best.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=guess.folder, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "best", done.stderr
