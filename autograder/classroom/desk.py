"""The desk of one worker: a warm sandbox, and what it has read of the assignments. Grades one submission after another.

The same code runs in a worker process here and on a Dask cluster. Of a student's it holds one submission at a time, as
text; the sandbox sees nothing but that text and Python's own files: no folder of the course, no other submission.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.classroom.submissions import HandedIn
from autograder.course import Assignment, Course
from autograder.errors import AutograderError, SandboxError
from autograder.grading import run
from autograder.grading.earlier import Own
from autograder.grading.material import Material
from autograder.report import Report
from autograder.sandbox.launch import Mode
from autograder.sandbox.session import SandboxTransport


@dataclass(frozen=True)
class Setup:
    """What every worker of a batch is told."""

    root: str
    requires: tuple[str, ...]
    trust: bool = False
    """Whether to go on where nothing but a process of its own separates student code from this machine."""
    modes: tuple[Mode, ...] = ("bubblewrap", "fork")
    answers: str = ""
    """Where what known mistakes answer is kept."""


@dataclass(frozen=True)
class Before:
    """The same student's work on an earlier assignment."""

    assignment: str
    filename: str
    text: str
    right: tuple[str, ...]
    """Its tasks that are known to be right."""


@dataclass(frozen=True)
class Work:
    """One submission to grade, with all that its grading depends on besides the course."""

    handed_in: HandedIn
    earlier: tuple[Before, ...] = ()
    kept: tuple[dict[str, Any], ...] = ()
    """Reports of the same text in which it trained already."""
    key: str = ""
    """A hash of everything on which the report depends."""


class Desk:
    """Grades for as long as it is open. A context manager."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._course = Course.load(Path(setup.root))
        self._transport = _strongest(setup, self._course)
        self._material: Material | None = None

    def grade(self, work: Work, on_run: Callable[[Report], None] | None = None) -> Report:
        """The report; where the sandbox breaks, once more with another."""
        try:
            return self._grade(work, on_run)
        except SandboxError:
            self._transport.close()
            self._transport = _strongest(self._setup, self._course)
            return self._grade(work, on_run)
        finally:
            with contextlib.suppress(SandboxError):
                self._transport.retire()

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _grade(self, work: Work, on_run: Callable[[Report], None] | None) -> Report:
        assignment = self._course.assignment(work.handed_in.assignment)
        before = {each.assignment: each for each in work.earlier}

        def own_work(earlier: Assignment) -> Own | None:
            found = before.get(earlier.id)
            return Own(found.filename, found.text, frozenset(found.right)) if found else None

        return run.grade(
            self._course,
            assignment,
            self._transport,
            student=work.handed_in.student,
            kept=[Report.from_json(report) for report in work.kept],
            material=self._material_of(assignment),
            handed_in=run.HandedIn(work.handed_in.submission, own_work),
            on_run=on_run,
        )

    def _material_of(self, assignment: Assignment) -> Material:
        """That of one assignment at a time: a class is graded assignment by assignment."""
        if self._material is None or self._material.assignment.id != assignment.id:
            answers = Path(self._setup.answers) if self._setup.answers else None
            self._material = Material(self._course, assignment, answers, remembers=True)
            gc.collect()
            gc.freeze()  # torch's million objects are here to stay: no collection looks through them again
        return self._material


def _strongest(setup: Setup, course: Course) -> SandboxTransport:
    """The strongest isolation there is; refuses to go on without any, unless that is what was asked for."""
    problems: list[str] = []
    for mode in setup.modes:
        try:
            transport = SandboxTransport.start(mode, setup.requires, (), shared=True, packages=course.packages)
        except SandboxError as error:
            problems.append(error.problem)
            continue
        if transport.isolation.name != "none" or setup.trust:
            return transport
        transport.close()
        problems.append("this machine offers no walls")
    raise NoWalls(
        f"nothing would stand between the submissions and this machine ({'; '.join(problems)})",
        mend="sudo apt-get install bubblewrap    (or --trust, if you trust every submission)",
    )


class NoWalls(AutograderError):
    """There is no isolation, and nobody said to go on without."""


_desks: dict[Setup, Desk] = {}
_one_at_a_time = threading.Lock()


def grade_at_desk(setup: Setup, work: Work) -> dict[str, Any]:
    """Grades in this process, whose desk stays open: what a Dask worker runs."""
    with _one_at_a_time:
        if setup not in _desks:
            _desks[setup] = Desk(setup)
        return _desks[setup].grade(work).to_json()
