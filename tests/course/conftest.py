"""The real course, released into a folder of its own, whose assignments may be overwritten."""

import shutil
from pathlib import Path

import pytest

from autograder.course import Course

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def course(tmp_path_factory) -> Course:
    """Our course as its sources stand in the working tree."""
    pytest.importorskip("torch").set_num_threads(1)
    from autograder.authoring.release import release

    root = tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "solutions", root / "solutions", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "constraints.txt", root)
    release(root)
    return Course.load(root)
