"""Modules of earlier assignments that an assignment imports: the student's own where it is right, else the course's.

So nobody is held up by an earlier assignment that they have not finished, and nobody who finished it runs on code that
is not theirs. In a kit the course's own is not there: the student's is taken as it is, and the report says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from autograder.course import Assignment, Course
from autograder.errors import AutograderError
from autograder.grading.store import ReportStore
from autograder.grading.submission import read_submission
from autograder.testing.modules import Author, without_test_cells

Module = tuple[str, str, str]
"""Name, file name, text."""


@dataclass(frozen=True)
class Earlier:
    """What an assignment's code finds when it imports earlier modules, and what to say of it."""

    modules: tuple[Module, ...] = ()
    notes: tuple[str, ...] = ()


def earlier_modules(course: Course, assignment: Assignment, author: Author | None) -> Earlier:
    """The modules in assignment.builds_on, in order."""
    ours = dict(author.earlier) if author else {}
    modules: list[Module] = []
    notes: list[str] = []
    for name in assignment.builds_on:
        before, _, module = name.partition(".")
        own, passes = _own(course, course.assignment(before))
        short = before.partition("_")[0]
        if own is not None and passes:
            modules.append((module, own[0], own[1]))
        elif module in ours:
            modules.append((module, f"{module} (the course's)", without_test_cells(ours[module].text("source.py"))))
            notes.append(
                f"The {module} of {short} is the course's own here, until yours passes: autograder check {short}"
            )
        else:
            modules.append((module, *(own or (f"{module}.py", "raise ImportError('there is no such file')"))))
            notes.append(f"Your {module} of {short} does not pass yet; what fails here may be due to it.")
    return Earlier(tuple(modules), tuple(notes))


def _own(course: Course, before: Assignment) -> tuple[tuple[str, str] | None, bool]:
    """The student's own (file name, text), and whether its last report says that all of it is right."""
    try:
        submission = read_submission(before)
    except AutograderError:
        return None, False
    report = ReportStore(course.state).load(before.id)
    passes = (
        report is not None
        and all(task.done for task in report.by_task())
        and {test.submission for test in report.tests} == {submission.sha256}
    )
    return (submission.path.name, submission.text), passes
