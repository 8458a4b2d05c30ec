"""A save does not train: graded runs wait until they are asked for."""

import shutil
from pathlib import Path

import pytest

from autograder.course import Course
from autograder.learner.watching import Watch
from autograder.testing.modules import without_test_cells

TRAINS = Path(__file__).parents[1] / "toy_runs"


@pytest.fixture
def course(tmp_path):
    from autograder.authoring.release import release

    root = tmp_path / "runs"
    shutil.copytree(TRAINS, root, ignore=shutil.ignore_patterns("__pycache__"))
    release(root)
    found = Course.load(root)
    guess = found.assignment("r01")
    guess.module_path.write_text(without_test_cells((guess.solution_folder / "source.py").read_text()))
    return found


def outcome(standing, name):
    return next(test.outcome for test in standing.report.tests if test.name == name)


def test_runs_train_only_when_they_are_asked_for(course):
    with Watch(course, course.assignment("r01")) as watch:
        standing = watch.check()
        assert watch.has_runs
        assert outcome(standing, "test_wins") == "blocked"
        assert outcome(watch.check(include_runs=True), "test_wins") == "passed"
        assert outcome(watch.check(), "test_wins") == "passed", "what is known is not forgotten"
        path = watch.assignment.module_path
        path.write_text(path.read_text() + "\nx = 1\n")
        assert outcome(watch.check(), "test_wins") == "blocked", "it was trained with another text"
