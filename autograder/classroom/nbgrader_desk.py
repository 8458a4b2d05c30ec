"""Grades one nbgrader notebook after the other: a desk holds what they share, and knows nothing of nbgrader itself.

A notebook is laid into an empty folder of its own before it is graded: student code sees that folder and no other.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from autograder.classroom.names import task_of
from autograder.course import Assignment, Course
from autograder.errors import CourseError, SandboxError
from autograder.files import write_whole
from autograder.grading.material import Material
from autograder.grading.run import grade
from autograder.grading.store import ReportStore
from autograder.learner.checking import answers_folder
from autograder.report import Report
from autograder.sandbox.session import SandboxTransport

SETUP = "setup"
"""grade_id of the cell that imports `check`."""

GRADES = "nbgrader"
"""Folder of the course's state that keeps the reports, so that a training is not run twice for the same code."""


class Desk:
    """The sandbox and the tests of one assignment of one course. `seconds` bounds each test that is no training."""

    def __init__(self, root: Path, name: str, seconds: float | None = None) -> None:
        self.course = Course.load(root)
        self.assignment = _bounded(self.course.assignment(name), seconds)
        self._place = Path(tempfile.mkdtemp(prefix="desk-")).resolve()
        self._place.chmod(0o755)
        self._laid = replace(self.assignment, root=self._place)
        self._laid.folder.mkdir(parents=True)
        self._transport = _strongest(self.course, self.assignment, self._place)
        self._material = self._read()

    def grade(self, student: str, notebook: Mapping[str, Any]) -> Report:
        """Grades the notebook as `student`'s. Raises SubmissionError where no code can be read out of it."""
        if self._material.stale:
            self._material = self._read()
        shutil.rmtree(self._laid.folder)
        text = json.dumps({**notebook, "cells": [_for_grading(cell) for cell in notebook["cells"]]})
        write_whole(self._laid.notebook_path, text.encode("utf-8", "surrogatepass"))
        store = ReportStore(self.course.state / GRADES / student)
        try:
            report = self._graded(student, store)
        except SandboxError:  # once more, in a sandbox of its own: the next submission has no part in it
            self._transport.close()
            self._transport = _strongest(self.course, self.assignment, self._place)
            report = self._graded(student, store)
        store.save(report)
        return report

    def _graded(self, student: str, store: ReportStore) -> Report:
        try:
            return grade(
                self.course, self._laid, self._transport, form="ipynb", student=student, material=self._material,
                kept=store.kept(self.assignment.id), on_run=store.save,
            )  # fmt: skip
        finally:
            with contextlib.suppress(SandboxError):
                self._transport.retire()

    def close(self) -> None:
        """Ends the sandbox and clears the desk."""
        self._transport.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def _read(self) -> Material:
        """The tests. Their own folder stays out of the student's sight: what is laid here is all that it sees."""
        material = Material(self.course, self.assignment, answers_folder(self.course), remembers=True)
        if material.author is None or not any(case.hidden for case in material.cases):
            raise CourseError(
                f"{self.assignment.short} has no hidden tests here, so nothing can be given points",
                where=str(self.assignment.solution_folder),
                mend="point c.IsolatedExecute.course in nbgrader_config.py at a clone of the course with solutions/",
            )
        material.assignment = self._laid
        return material


@cache
def desk(root: Path, name: str, seconds: float | None) -> Desk:
    """The desk of an assignment, kept while this process lives: one command grades a whole class."""
    made = Desk(root, name, seconds)
    atexit.register(made.close)
    return made


def _bounded(assignment: Assignment, seconds: float | None) -> Assignment:
    limits = assignment.limits
    if seconds is None or seconds <= 0 or seconds >= limits.wall_seconds:
        return assignment
    share = seconds / limits.wall_seconds
    return replace(assignment, limits=replace(limits, cpu_seconds=limits.cpu_seconds * share))


def _strongest(course: Course, assignment: Assignment, place: Path) -> SandboxTransport:
    """Bubblewrap where it works, else what the kernel grants a fork; a bare process is no place to grade a class in."""
    try:
        return SandboxTransport.start("bubblewrap", assignment.requires, (place,), True, course.packages)
    except SandboxError:
        transport = SandboxTransport.start("fork", assignment.requires, (place,), True, course.packages)
    if transport.isolation.name == "none":
        transport.close()
        raise SandboxError(
            "nothing on this machine walls student code in, so no class can be graded here",
            mend="apt-get install bubblewrap    (autograder doctor says what else there is)",
        )
    return transport


def _for_grading(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The cell; one that only checks is marked so, whatever the student's copy says of itself."""
    metadata = dict(cell["metadata"])
    graded = metadata.get("nbgrader") or {}
    name = str(graded.get("grade_id", ""))
    checks = graded.get("grade") and not graded.get("solution")
    if checks or name == SETUP or (task_of(name) is not None and not graded.get("solution")):
        metadata["autograder"] = {"role": "check"}
    return {**cell, "metadata": metadata}
