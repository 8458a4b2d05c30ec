"""Watches a student's files and checks them after each save. Knows no terminal: what it finds is drawn elsewhere.

Saves are noticed by looking at the files 25 times a second. A library that the system tells of changes would be some
milliseconds faster, but it is told nothing of network and shared folders, needs its own thread, and a look costs
microseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Assignment, Course, Task
from autograder.errors import AutograderError
from autograder.grading.material import Material
from autograder.grading.run import Progress as Running
from autograder.grading.run import grade
from autograder.grading.store import ReportStore
from autograder.grading.submission import Form, read_submission
from autograder.learner.checking import answers_folder, keep, record
from autograder.learner.edited import definitions, edited_tasks
from autograder.learner.hints import Hints, next_hint
from autograder.learner.next_step import NextStep, focus_of, next_step
from autograder.learner.progress import Progress
from autograder.report import Report
from autograder.sandbox.session import SandboxTransport

LOOK = 0.04
"""Seconds between two looks at the files."""

SETTLED = 0.03
"""So long nothing may have changed before a save counts as whole: editors write, rename and write again."""

PATIENCE = 2.0
"""So long a file may be missing or empty before that is taken for the student's word."""

State = tuple[tuple[int, int, int] | None, ...]
"""Time, size and number of each file; None where there is none."""


class Saves:
    """Tells when files were saved, whole. A file that vanishes for a moment, or is empty for one, is being saved."""

    def __init__(self, paths: Iterable[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = tuple(paths)
        self._clock = clock
        self.take()

    def take(self) -> None:
        """From here on, only what is saved later counts. To be called before the files are read."""
        self._taken = self._last = self._state()
        self._since = self._clock()

    @property
    def changed(self) -> bool:
        """Whether the files are others than those that were taken, whole or not."""
        return self._state() != self._taken

    @property
    def saved(self) -> bool:
        """Whether there was a save since, and it is over."""
        now = self._state()
        if now != self._last:
            self._last, self._since = now, self._clock()
        if now == self._taken:
            return False
        lost = any(before and not (after and after[1]) for before, after in zip(self._taken, now, strict=True))
        return self._clock() - self._since >= (PATIENCE if lost else SETTLED)

    def _state(self) -> State:
        return tuple(map(_look_at, self._paths))


def _look_at(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@dataclass(frozen=True)
class Standing:
    """How the newest save stands. While report.complete is false, other tasks are still being checked."""

    assignment: Assignment
    task: str | None
    """The task that it is about; None for whichever is to be mended first."""
    report: Report
    seconds: float
    """Since the save was noticed."""


class Abandoned(BaseException):
    """A check that nobody waits for any more. No Exception: nothing on its way may take it for a test's failure."""


class Watch:
    """One warm sandbox, the tests and the author's files, kept from save to save. A context manager.

    What is read and imported once makes a check after a save take a fraction of a second. The student's code runs
    in a new process after each save.
    """

    def __init__(
        self, course: Course, assignment: Assignment, task: Task | None = None, form: Form | None = None
    ) -> None:
        read_submission(assignment, form)  # refused before anything is started
        self.course = course
        self.form = form
        self.assignment, self.task = assignment, task
        self.report: Report | None = None
        self.progress = Progress.load(course)
        self._store = ReportStore(course.state)
        self._recorded = self._at = ""
        self._before: dict[str, str] = {}
        self._now: dict[str, str] = {}
        self._edited: list[str] = []
        self._material: Material | None = None
        self._preparing: Iterator[bool] = iter(())
        self._warm = frozenset(assignment.requires)
        self._transport = self._sandbox(assignment)
        self._turn_to(assignment, task)

    # ------------------------------------------------------------------------------------------------------ checking

    def check(
        self,
        given_up: Callable[[], bool] = lambda: False,
        on_first: Callable[[Standing], None] | None = None,
        on_test: Callable[[Running], None] | None = None,
        include_runs: bool = False,
    ) -> Standing | None:
        """Checks what is saved now: the task that the student is at, with what it may fail for, then the others.

        `on_first` is told as soon as that task is judged, `on_test` as in grade(). include_runs: whether graded runs
        train too; a save does not ask for that. None where it was given up, or where the files changed meanwhile:
        a verdict on what is no longer there is told to nobody. Raises AutograderError where the work cannot be read.
        """
        began = time.monotonic()
        self._saves.take()

        def look(running: Running | None = None) -> None:
            if self._saves.changed or given_up():
                raise Abandoned
            if running is not None and on_test is not None:
                on_test(running)

        self._transport.on_wait = look
        try:
            self._look_where()
            asked = self._grade(look, self._telling(on_first, began), include_runs)
        except Abandoned:
            return None
        except AutograderError:
            if self._saves.changed:  # in the middle of a save there may be nothing to read
                return None
            raise
        finally:
            self._transport.on_wait = None
            self._transport.retire()
        return None if self._saves.changed else self._kept(asked, began)

    @property
    def changed(self) -> bool:
        """Whether what was checked last is not what is there now."""
        return self._saves.changed

    @property
    def saved(self) -> bool:
        """Whether there is a newer save to check, and it is over."""
        return self._saves.saved

    def prepare(self) -> bool:
        """One small step of work that later checks will not have to do; False where there is none left.

        For idle moments: what the known mistakes answer, so that the first wrong answer is recognised at once.
        """
        return next(self._preparing, False)

    @property
    def has_runs(self) -> bool:
        """Whether there are graded runs, which train only when they are asked for."""
        return self._material is not None and any(case.graded_run for case in self._material.cases)

    def _grade(
        self, look: Callable[[Running | None], None], on_task: Callable[[Report], None], include_runs: bool
    ) -> Report:
        if self._material is None or self._material.stale:
            self._material = Material(self.course, self.assignment, answers_folder(self.course), remembers=True)
            self._preparing = self._prepare(self._material)
        return grade(
            self.course, self.assignment, self._transport, form=self.form, training=include_runs,
            kept=self._store.kept(self.assignment.id), material=self._material, first=self._first(),
            on_test=look, on_run=self._store.save, on_task=on_task,
        )  # fmt: skip

    def _telling(self, on_first: Callable[[Standing], None] | None, began: float) -> Callable[[Report], None]:
        """Tells once, when the task that the student is at is judged."""
        at = self._at
        told: list[Report] = []

        def tell(report: Report) -> None:
            known = {test.task for test in report.tests}
            if on_first and at in known and not told:
                told.append(report)
                on_first(Standing(self.assignment, at, report, time.monotonic() - began))

        return tell

    def _kept(self, asked: Report, began: float) -> Standing:
        self.report = keep(self.course, asked)
        self._before = self._now or self._before
        if asked.submission != self._recorded:  # the same text again is not the same mistake a second time
            self.progress = record(self.course, asked)
            self._recorded = asked.submission
        name = self.task.name if self.task else None
        return Standing(self.assignment, name, self.report, time.monotonic() - began)

    def _look_where(self) -> None:
        """At which task the student is: the one they named, else the one they edited, else the first to be mended."""
        self._now = definitions(read_submission(self.assignment, self.form).text)
        both = self._before and self._now
        edited = self._edited = edited_tasks(self.assignment, self._before, self._now) if both else []
        found = focus_of(self.assignment, self.report)
        self._at = self.task.name if self.task else edited[0] if edited else found[0].name if found else ""

    def _first(self) -> list[str]:
        """That task, and those that it builds on unless they passed and were not edited since."""
        done = {task.name for task in self.report.by_task() if task.done} if self.report else set()
        wanted = [self._at] if self._at else []
        for name in wanted:
            needs = self.assignment.task(name).needs
            wanted += [need for need in needs if need not in wanted and (need in self._edited or need not in done)]
        return wanted

    def _prepare(self, material: Material) -> Iterator[bool]:
        if material.live is None:
            return
        hidden = [case for case in material.cases if case.hidden and not case.graded_run]
        for case in sorted(hidden, key=lambda case: case.task != self._at):
            for _ in material.live.prepare(case, material.seeds(case, "local", self.course.title)):
                yield True

    # ------------------------------------------------------------------------------------------------- hints and steps

    def hint(self) -> Hints:
        """Opens the next hint, as the command does. Raises AutograderError where there is none to open."""
        self.progress = Progress.load(self.course)
        return next_hint(self.assignment, self.task, self.report, self.progress)

    def advance(self) -> NextStep:
        """Turns to what comes next in the course, from the reports so far."""
        step = next_step(self.course, self._store.load_all())
        if step.assignment:
            assignment = self.course.assignment(step.assignment)
            if assignment.id != self.assignment.id:
                self._move_on(assignment)
            elif self.task and step.task:
                self.task = assignment.task(step.task)
        return step

    def _move_on(self, assignment: Assignment) -> None:
        """To another assignment, with the sandbox that is there if it has all that is needed."""
        read_submission(assignment, self.form)
        if not self._warm >= set(assignment.requires):
            self._transport.close()
            self._transport = self._sandbox(assignment)
            self._warm = frozenset(assignment.requires)
        self._turn_to(assignment, None)

    def _turn_to(self, assignment: Assignment, task: Task | None) -> None:
        self.assignment, self.task = assignment, task
        self.report = self._store.load(assignment.id)
        self._saves = Saves((assignment.module_path, assignment.notebook_path))
        self._material, self._preparing, self._before = None, iter(()), {}

    def _sandbox(self, assignment: Assignment) -> SandboxTransport:
        """A warm one, started before any author's file is loaded: a fork inherits what is there."""
        readable = (self.course.root / "assignments",)
        return SandboxTransport.start("fork", assignment.requires, readable, True, self.course.packages)

    def close(self) -> None:
        """Ends the sandbox and all that runs in it."""
        self._transport.close()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
