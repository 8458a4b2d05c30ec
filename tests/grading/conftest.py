"""A second toy course, in which student code trains and a later assignment imports an earlier one."""

import shutil
from pathlib import Path

import pytest

from autograder.course import Course

TRAINS = Path(__file__).parents[1] / "toy_runs"


@pytest.fixture(scope="session")
def released_runs(tmp_path_factory) -> Path:
    """The course that trains, released once. Read it, never write to it."""
    from autograder.authoring.release import release

    root = tmp_path_factory.mktemp("released") / "runs"
    shutil.copytree(TRAINS, root, ignore=shutil.ignore_patterns("__pycache__"))
    release(root)
    return root


@pytest.fixture
def runs(released_runs, tmp_path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(released_runs, tmp_path / "runs"))


@pytest.fixture
def course(runs) -> Course:
    return Course.load(runs)
