"""Shared fixtures: a toy course of two assignments, without torch, copied and released afresh for each test."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from autograder.course import ROOT_VARIABLE, Course

TOY = Path(__file__).parent / "toy"


def pytest_configure():
    """A shell that started the tests in the background has them ignore Ctrl-C, and what they start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_course_from_the_environment(monkeypatch):
    """A course that the shell names must not stand in for the one under test; no more may git's variables in a hook."""
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def released_toy(tmp_path_factory) -> Path:
    """The toy course, released once. Read it, never write to it."""
    from autograder.authoring.release import release

    root = tmp_path_factory.mktemp("released") / "toy"
    shutil.copytree(TOY, root, ignore=shutil.ignore_patterns("__pycache__"))
    release(root)
    return root


@pytest.fixture
def toy(released_toy, tmp_path) -> Path:
    """The folder of a released toy course of one's own: solutions/ and assignments/."""
    return Path(shutil.copytree(released_toy, tmp_path / "toy"))


@pytest.fixture
def toy_course(toy) -> Course:
    """The same, loaded."""
    return Course.load(toy)


@pytest.fixture
def kit(released_toy, tmp_path) -> Path:
    """What an enrolled student has: the released toy course without solutions/."""
    root = tmp_path / "kit"
    shutil.copytree(released_toy / "assignments", root / "assignments")
    return root
