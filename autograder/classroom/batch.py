"""Grades everything that a class handed in: each submission once, one bad one never stops the others.

This process hands out work and is the only one that writes. Workers grade (pool.py, desk.py) and send reports back.
What was graded before from the same everything is not graded again, so a killed batch goes on where it was.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autograder.classroom.desk import Before, Work
from autograder.classroom.pool import Outcome, Pool
from autograder.classroom.records import Records, course_key, key_of
from autograder.classroom.submissions import Collected, HandedIn
from autograder.course import Assignment, Course
from autograder.grading.earlier import right_tasks
from autograder.report import Report

NOTHING_STOOD = "nothing of it was run"


@dataclass(frozen=True)
class State:
    """How far a batch is."""

    done: int
    total: int
    kept: int
    """Of those done: graded before, from the same everything."""
    seconds: float
    seconds_left: float | None
    last: Report | None = None


@dataclass
class Summary:
    """What a batch came to."""

    graded: int = 0
    kept: int = 0
    unreadable: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


OnState = Callable[[State], None]
OnReport = Callable[[Report, bool], None]
"""Given every report, and whether it was made just now."""


def estimate(course: Course, handed_in: Sequence[HandedIn]) -> float:
    """CPU-seconds that grading takes, from what a check of each assignment was measured to cost; 2 where nobody did."""
    path = course.root / "docs" / "reference" / "costs.json"
    known = json.loads(path.read_text(encoding="utf-8"))["cpu_seconds"] if path.is_file() else {}
    return sum(float(known.get(each.assignment, 2.0)) for each in handed_in if not each.problem)


class Batch:
    """One batch. `run` is called once."""

    def __init__(
        self, course: Course, collected: Collected, records: Records, on_report: OnReport, on_state: OnState
    ) -> None:
        self._course = course
        self._records = records
        self._on_report = on_report
        self._on_state = on_state
        self._pending = list(collected.handed_in)
        self._total = len(self._pending)
        self._work: dict[tuple[str, str], HandedIn] = {(h.student, h.assignment): h for h in self._pending}
        self._keys: dict[str, str] = {}
        self._under_way: list[Work] = []
        self._trained: dict[str, list[Report]] = {}
        self._began = 0.0
        self._costs: dict[str, list[float]] = {}
        self.summary = Summary()

    def requires(self) -> tuple[str, ...]:
        """What a sandbox imports before, for all assignments together."""
        return tuple(sorted({name for each in self._pending for name in self._assignment(each).requires}))

    def nothing_new(self) -> bool:
        """Takes over all that needs no worker; whether that was everything."""
        self._began = time.monotonic()
        rest = []
        for handed_in in self._pending:
            if handed_in.problem:
                self._unreadable(handed_in)
            elif not self._kept(handed_in):
                rest.append(handed_in)
        self._pending = rest
        return not rest

    def run(self, pool: Pool) -> Summary:
        """Grades what is left."""
        self._began = time.monotonic()
        while self._pending or self._under_way:
            while len(self._under_way) < pool.slots and (chosen := self._next()) is not None:
                if not self._kept(chosen):
                    self._under_way.append(self._work_of(chosen))
                    pool.submit(self._under_way[-1])
            if self._under_way:
                for outcome in pool.outcomes():
                    self._take(outcome)
        self.summary.seconds = time.monotonic() - self._began
        return self.summary

    def _next(self) -> HandedIn | None:
        """The next one that waits for nothing: no earlier work of the same student, no training of the same text."""
        busy = {work.handed_in.student for work in self._under_way}
        texts = {work.handed_in.content for work in self._under_way}
        for place, each in enumerate(self._pending):
            waits = each.content in texts or (each.student in busy and self._assignment(each).builds_on)
            if not waits and not self._waits_for_earlier(each, place):
                return self._pending.pop(place)
        return None

    def _waits_for_earlier(self, each: HandedIn, place: int) -> bool:
        needed = {name.partition(".")[0] for name in self._assignment(each).builds_on}
        return any(o.student == each.student and o.assignment in needed for o in self._pending[:place]) and bool(needed)

    def _assignment(self, handed_in: HandedIn) -> Assignment:
        return self._course.assignment(handed_in.assignment)

    def _earlier(self, handed_in: HandedIn) -> tuple[Before, ...]:
        """The student's work on what this assignment builds on."""
        found = []
        for name in self._assignment(handed_in).builds_on:
            before = self._work.get((handed_in.student, name.partition(".")[0]))
            if before is not None and not before.problem:
                report = self._records.load(before.student, before.assignment)
                right = tuple(sorted(right_tasks(report, before.submission.sha256)))
                found.append(Before(before.assignment, before.filename, before.text, right))
        return tuple(found)

    def _key(self, handed_in: HandedIn) -> str:
        name = handed_in.assignment
        if name not in self._keys:
            self._keys[name] = course_key(self._course, self._assignment(handed_in))
        return key_of(self._keys[name], handed_in, self._earlier(handed_in))

    def _work_of(self, handed_in: HandedIn) -> Work:
        kept = [*self._trained.get(handed_in.content, ())]
        partial = self._records.partial(handed_in.student, handed_in.assignment)
        kept += [partial] if partial else []
        return Work(
            handed_in,
            self._earlier(handed_in),
            tuple(report.to_json() for report in kept),
            self._key(handed_in),
        )

    # ------------------------------------------------------------------------------------------------- what came of it

    def _kept(self, handed_in: HandedIn) -> bool:
        """Whether there is a report already, from the same everything; then it is taken over."""
        report = self._records.made_from(handed_in.student, handed_in.assignment, self._key(handed_in))
        if report is None:
            return False
        self.summary.kept += 1
        self._remember_training(handed_in, report)
        self._tell(report, new=False)
        return True

    def _unreadable(self, handed_in: HandedIn) -> None:
        """0 points and the reason; nothing of it is run."""
        key = self._key(handed_in)
        self.summary.unreadable += 1
        known = self._records.made_from(handed_in.student, handed_in.assignment, key)
        report = known or without_grading(self._assignment(handed_in), handed_in, handed_in.problem)
        if known is None:
            self._records.save(report, key)
        self._tell(report, new=known is None)

    def _take(self, outcome: Outcome) -> None:
        handed_in = outcome.work.handed_in
        if outcome.kind == "run":
            self._records.save_partial(Report.from_json(outcome.report))
            return
        self._under_way.remove(outcome.work)
        if outcome.kind == "fault":
            said = f"a fault of ours, so it is worth nothing until it is graded again: {outcome.problem}"
            self.summary.faults.append(f"{handed_in.student} {handed_in.assignment}: {outcome.problem}")
            self._tell(without_grading(self._assignment(handed_in), handed_in, said), new=True)
            return
        report = Report.from_json(outcome.report)
        report = _with_notes(report, handed_in.notes)
        self._records.save(report, outcome.work.key)
        self.summary.graded += 1
        self.summary.cpu_seconds += report.cpu_seconds
        self._remember_training(handed_in, report)
        self._tell(report, new=True)

    def _remember_training(self, handed_in: HandedIn, report: Report) -> None:
        if any(test.depends_on for test in report.tests):
            self._trained.setdefault(handed_in.content, []).append(report)

    def _tell(self, report: Report, new: bool) -> None:
        self._on_report(report, new)
        summary = self.summary
        done = summary.graded + summary.kept + summary.unreadable + len(summary.faults)
        seconds = time.monotonic() - self._began
        left = seconds / summary.graded * (self._total - done) if summary.graded else None
        self._on_state(State(done, self._total, summary.kept, seconds, left, report))


def _with_notes(report: Report, notes: tuple[str, ...]) -> Report:
    return Report.from_json({**report.to_json(), "notes": (*report.notes, *notes)}) if notes else report


def without_grading(assignment: Assignment, handed_in: HandedIn, why: str) -> Report:
    """A report with 0 points that says why."""
    return Report(
        assignment=assignment.id,
        title=assignment.title,
        tests=(),
        tasks=tuple({"name": t.name, "title": t.title, "points": t.points} for t in assignment.tasks),
        submission=f"{handed_in.form}:{handed_in.content}",
        tests_hash="",
        release=assignment.release,
        isolation=NOTHING_STOOD,
        student=handed_in.student,
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        notes=(f"Not graded, 0 points: {why}", *handed_in.notes),
        complete=True,
    )
