"""Grades a student's own work on their own machine and keeps what came of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Assignment, Course, Task
from autograder.errors import AutograderError, SandboxError
from autograder.grading.material import Material
from autograder.grading.run import Progress as Running
from autograder.grading.run import grade, merged
from autograder.grading.store import ReportStore
from autograder.grading.submission import Form, read_submission
from autograder.learner.progress import Progress
from autograder.report import Report
from autograder.sandbox.session import SandboxTransport

OnTest = Callable[[Running], None]


@dataclass(frozen=True)
class Checked:
    """What a check gave: the tests that were asked for, the whole picture with them in it, and the progress."""

    asked: Report
    report: Report
    progress: Progress

    @property
    def passed(self) -> bool:
        """Everything that was asked for ran and passed."""
        counted = [test for test in self.asked.tests if test.outcome != "skipped"]
        return bool(counted) and all(test.outcome == "passed" for test in counted)


@dataclass(frozen=True)
class Graded:
    """A grading of several assignments: the reports, and what could not be graded."""

    reports: dict[str, Report]
    refused: tuple[AutograderError, ...]


class KeptSandboxes:
    """Sandboxes that outlive a check, one for each course and set of packages: the next check imports nothing again.

    For a process that checks more than once. What is graded is read anew by every check; only the warm process with
    its imports stays. A fork of this process neither uses nor closes what its parent keeps.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, frozenset[str]], SandboxTransport] = {}
        self._owner = os.getpid()

    @contextlib.contextmanager
    def lend(self, course: Course, assignment: Assignment) -> Iterator[SandboxTransport]:
        """A sandbox for one check. Kept afterwards, unless the check broke off: then nobody knows what it was at."""
        if self._owner != os.getpid():
            self._kept, self._owner = {}, os.getpid()
        key = (course.root, frozenset(assignment.requires))
        transport = self._kept.pop(key, None) or _own_check(course, assignment, course.root / "assignments")
        try:
            yield transport
        except BaseException:
            transport.close()
            raise
        surplus, self._kept[key] = self._kept.get(key), transport
        if surplus is not None:  # another thread's check came back first
            surplus.close()

    def close(self) -> None:
        """Ends what is kept; the next check starts afresh."""
        kept, self._kept = self._kept, {}
        for transport in kept.values() if self._owner == os.getpid() else ():
            transport.close()


def check(
    course: Course,
    assignment: Assignment,
    task: Task | None = None,
    form: Form | None = None,
    on_test: OnTest | None = None,
    again: bool = False,
    transport: KeptSandboxes | None = None,
) -> Checked:
    """Grades one assignment, or one task of it, and remembers the report and the mistakes that were recognised.

    A graded run whose result is known is not repeated, nor after an interruption, unless `again` is asked for. The
    sandbox is one of those that `transport` keeps from check to check, else one for this check alone.
    """
    read_submission(assignment, form)  # refused before anything is started
    store = ReportStore(course.state)
    kept = () if again else store.kept(assignment.id)
    lent = transport.lend(course, assignment) if transport else _own_check(course, assignment, assignment.folder)
    with lent as sandbox:
        material = Material(course, assignment, answers_folder(course))  # hidden tests: after the sandbox has begun
        asked = grade(
            course, assignment, sandbox, task=task, form=form, kept=kept, material=material, on_test=on_test,
            on_run=store.save,
        )  # fmt: skip
    return Checked(asked, keep(course, asked), record(course, asked))


def answers_folder(course: Course) -> Path:
    """Where it is kept what known mistakes answer, from one check to the next."""
    return course.state / "answers"


def _own_check(course: Course, assignment: Assignment, readable: Path) -> SandboxTransport:
    return SandboxTransport.start(
        mode="fork", requires=assignment.requires, readable=(readable,), packages=course.packages, shared=True
    )


def grade_all(
    course: Course, assignments: Iterable[Assignment], on_test: Callable[[Assignment, Running], None] | None = None
) -> Graded:
    """Grades each assignment behind the strongest isolation there is. One that cannot be read stops no other."""
    chosen = list(assignments)
    reports: dict[str, Report] = {}
    refused: list[AutograderError] = []
    transport = _strongest(course, chosen)
    try:
        for assignment in chosen:
            tell = (lambda running, a=assignment: on_test(a, running)) if on_test else None
            try:
                store = ReportStore(course.state)
                kept = store.kept(assignment.id)
                report = grade(course, assignment, transport, kept=kept, on_test=tell, on_run=store.save)
            except SandboxError:
                raise
            except AutograderError as error:
                refused.append(error)
                continue
            reports[assignment.id] = keep(course, report)
            record(course, report)
    finally:
        transport.close()
    return Graded(reports, tuple(refused))


def _strongest(course: Course, assignments: list[Assignment]) -> SandboxTransport:
    requires = tuple(sorted({name for assignment in assignments for name in assignment.requires}))
    readable = (course.root / "assignments",)
    try:
        return SandboxTransport.start("bubblewrap", requires, readable, packages=course.packages)
    except SandboxError:
        return SandboxTransport.start("fork", requires, readable, packages=course.packages)


def keep(course: Course, asked: Report) -> Report:
    """Keeps what was asked for in the report of the whole assignment, and gives that."""
    store = ReportStore(course.state)
    report = merged(store.load(asked.assignment), asked)
    store.save(report)
    return report


def record(course: Course, asked: Report) -> Progress:
    """Counts the mistakes that were recognised."""
    progress = Progress.load(course)
    progress.record(asked)
    progress.save()
    return progress
