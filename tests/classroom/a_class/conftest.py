"""A small class on the toy course: made in code, so that each test says what was handed in."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.course import Course

ROOT = Path(__file__).parents[3]
HONEST = """\
import math


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    return [mean(xs[:count]) for count in range(1, len(xs) + 1)]
"""
SUM_FOR_MEAN = HONEST.replace("math.fsum(xs) / len(xs)", "math.fsum(xs)")
ONE_TASK = HONEST.replace(
    "    return [mean(xs[:count]) for count in range(1, len(xs) + 1)]", "    raise NotImplementedError"
)
FORK_BOMB = (ROOT / "tests" / "attacks" / "submissions" / "fork_bomb.py").read_text()


class Class:
    """A course, a folder of submissions and a folder for what comes of them."""

    honest, sum_for_mean, one_task, fork_bomb = HONEST, SUM_FOR_MEAN, ONE_TASK, FORK_BOMB

    def __init__(self, root: Path) -> None:
        self.root = root
        self.course = Course.load(root)
        self.submissions = root / "submissions"
        self.submissions.mkdir()
        self.out = root / "graded"
        self.book = root / "gradebook.db"

    def hand_in(self, student: str, text: str, assignment: str = "t01_numbers", name: str = "means.py") -> Path:
        path = self.submissions / student / assignment / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "autograder", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "AUTOGRADER_COURSE": str(self.root)}

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments), cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def grade(self, *more: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("grade", str(self.submissions), "--jobs", "2", *more, check=check)

    def points(self) -> dict[str, float]:
        from autograder.classroom.records import Records

        return {report.student: report.points for report in Records(self.out).all()}

    def scores(self) -> list[tuple]:
        return scores_in(self.book)


def scores_in(book: Path) -> list[tuple]:
    """Every score in a gradebook of SQLite."""
    with contextlib.closing(sqlite3.connect(book)) as database:
        return sorted(database.execute(SCORES).fetchall(), key=str)


SCORES = (
    "select s.student_id, a.name, c.name, g.auto_score, g.manual_score, g.needs_manual_grade from grade g "
    "join base_cell c on g.cell_id = c.id join submitted_notebook n on g.notebook_id = n.id "
    "join submitted_assignment s on n.assignment_id = s.id join assignment a on s.assignment_id = a.id"
)


@pytest.fixture
def new_class(released_toy, tmp_path):
    """Makes classes, each with a course of its own."""
    pytest.importorskip("nbgrader")
    return lambda name: Class(Path(shutil.copytree(released_toy, tmp_path / name)))


@pytest.fixture
def a_class(new_class) -> Class:
    return new_class("course")
