"""Grades a student's own work on their own machine and keeps what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from autograder.course import Assignment, Course, Task
from autograder.errors import AutograderError, SandboxError
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


def check(
    course: Course,
    assignment: Assignment,
    task: Task | None = None,
    form: Form | None = None,
    on_test: OnTest | None = None,
    again: bool = False,
) -> Checked:
    """Grades one assignment, or one task of it, and remembers the report and the mistakes that were recognised.

    A graded run whose result is known is not repeated, nor after an interruption, unless `again` is asked for.
    """
    read_submission(assignment, form)  # refused before anything is started
    transport = SandboxTransport.start(
        mode="fork",
        requires=assignment.requires,
        readable=(assignment.folder,),
        packages=course.packages,
        shared=True,
    )
    try:
        store = ReportStore(course.state)
        kept = () if again else store.kept(assignment.id)
        asked = grade(
            course, assignment, transport, task=task, form=form, kept=kept, on_test=on_test, on_run=store.save
        )
    finally:
        transport.close()
    return Checked(asked, _keep(course, asked), _record(course, asked))


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
            reports[assignment.id] = _keep(course, report)
            _record(course, report)
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


def _keep(course: Course, asked: Report) -> Report:
    store = ReportStore(course.state)
    report = merged(store.load(asked.assignment), asked)
    store.save(report)
    return report


def _record(course: Course, asked: Report) -> Progress:
    progress = Progress.load(course)
    progress.record(asked)
    progress.save()
    return progress
