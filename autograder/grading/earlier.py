"""Modules of earlier assignments that an assignment imports: the student's own where it is right, else the course's.

So nobody is held up by an earlier assignment that they have not finished, and nobody who finished it runs on code that
is not theirs. In a kit the course's own is not there: the student's is taken as it is, and the report says so where it
matters: beside a task that fails and uses what does not pass yet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autograder.course import Assignment, Course
from autograder.errors import AutograderError
from autograder.grading.outline import borrowed, unwritten
from autograder.grading.store import ReportStore
from autograder.grading.submission import read_submission
from autograder.report import NOT_WRITTEN, Report, TestResult
from autograder.testing.modules import Author, without_test_cells

Module = tuple[str, str, str]
"""Name, file name, text."""


@dataclass(frozen=True)
class Lack:
    """What the student's own module of an earlier assignment does not give yet, of all that is imported from it."""

    module: str
    short: str
    ours: bool
    """Whether the course's own stands in."""
    names: tuple[str, ...]
    """Imported, and not known to be right."""
    unwritten: tuple[str, ...]
    """Those of them that are still stubs."""
    users: Mapping[str, frozenset[str]]
    """A task of the assignment that is graded -> the names that it uses."""

    def note(self, results: Iterable[TestResult]) -> str:
        """What to say of it beside these results; "" where it touches none of them."""
        touched = [result for result in results if self._used_by(result.task) and self._concerns(result)]
        names = [name for name in self.names if any(name in self.users.get(result.task, ()) for result in touched)]
        if not names:
            return ""
        check = f"autograder check {self.short}"
        blank = [name for name in names if name in self.unwritten]
        which = f"{_listed(blank or names)} of {self.short}"
        stands = "not written yet" if blank else "not known to be right" if self.ours else "not known to pass"
        verb = "is" if len(blank or names) == 1 else "are"
        if self.ours:
            return f"Your {which} {verb} {stands}, so the course's own {self.module} is used here until then: {check}"
        tasks = _listed(list(dict.fromkeys(result.task for result in touched)))
        return f"Your {which} {verb} {stands}; what fails in {tasks} may be due to it: {check}"

    def _used_by(self, task: str) -> bool:
        return not self.users.get(task, frozenset()).isdisjoint(self.names)

    def _concerns(self, result: TestResult) -> bool:
        """What is ours stands in for every test; what is the student's explains failures only."""
        return self.ours or (result.outcome not in ("passed", "skipped") and result.reason != NOT_WRITTEN)


@dataclass(frozen=True)
class Earlier:
    """What an assignment's code finds when it imports earlier modules, and what its own lacks."""

    modules: tuple[Module, ...] = ()
    lacks: tuple[Lack, ...] = ()

    def notes(self, results: Sequence[TestResult]) -> list[str]:
        """What to say of it beside these results."""
        return [note for lack in self.lacks if (note := lack.note(results))]


@dataclass(frozen=True)
class Own:
    """The student's own module of an earlier assignment, and which of its tasks are known to be right."""

    filename: str
    text: str
    right: frozenset[str]


OwnWork = Callable[[Assignment], Own | None]


def earlier_modules(
    course: Course, assignment: Assignment, author: Author | None, text: str, own_work: OwnWork | None = None
) -> Earlier:
    """The modules in assignment.builds_on, in order, for a student whose module is `text`.

    own_work: their own work on an earlier assignment; default, what lies in that assignment's folder.
    """
    ours = dict(author.earlier) if author else {}
    modules: list[Module] = []
    lacks: list[Lack] = []
    for name in assignment.builds_on:
        before_id, _, module = name.partition(".")
        before = course.assignment(before_id)
        tasks = [task.name for task in before.tasks]
        used = borrowed(text, module, tasks)
        own = own_work(before) if own_work else _own(course, before)
        wanted = used.names or frozenset(tasks)
        missing = tuple(sorted(wanted - _right(wanted, own, frozenset(tasks)), key=_place_in(tasks)))
        stands_in = module in ours and bool(missing)
        if stands_in:
            modules.append((module, f"{module} (the course's)", without_test_cells(ours[module].text("source.py"))))
        elif own is not None:
            modules.append((module, own.filename, own.text))
        else:
            modules.append((module, f"{module}.py", "raise ImportError('there is no such file')"))
        if missing:
            blank = tuple(name for name in missing if own is not None and unwritten(own.text, name))
            lacks.append(Lack(module, before.short, stands_in, missing, blank, used.by))
    return Earlier(tuple(modules), tuple(lacks))


def _own(course: Course, before: Assignment) -> Own | None:
    try:
        submission = read_submission(before)
    except AutograderError:
        return None
    report = ReportStore(course.state).load(before.id)
    return Own(submission.path.name, submission.text, right_tasks(report, submission.sha256))


def right_tasks(report: Report | None, submission: str) -> frozenset[str]:
    """The tasks that a report on exactly this submission says are right."""
    tasks = report.by_task() if report else []
    return frozenset(task.name for task in tasks if task.done and {t.submission for t in task.tests} == {submission})


def _right(wanted: Collection[str], own: Own | None, tasks: frozenset[str]) -> frozenset[str]:
    """Those of the names that are right. What is no task is so where all tasks are."""
    right = own.right if own else frozenset()
    return frozenset(name for name in wanted if name in right or (name not in tasks and tasks <= right))


def _place_in(tasks: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """Orders names as the tasks stand in their handout; others come last."""
    return lambda name: (tasks.index(name) if name in tasks else len(tasks), name)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
