"""Grades one assignment: every test in its own fresh process, a record after each, points at the end."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autograder.course import DIAGNOSIS_FILE, MANIFEST_FILE, Assignment, Course, Task
from autograder.errors import SourceError
from autograder.files import fingerprint
from autograder.grading.diagnosis import (
    Candidates,
    from_author,
    from_record,
    is_whole,
    proxy,
    recognise,
    without_contradictions,
)
from autograder.grading.forbidden import forbidden_uses
from autograder.grading.scoring import settle, worth
from autograder.grading.submission import Form, NotPython, Submission, read_submission
from autograder.report import Report, TestResult
from autograder.sandbox.messages import Conversation, Program, Transport
from autograder.testing.collect import TestCase, collect_tests
from autograder.testing.modules import Author
from autograder.testing.runner import Verdict, run_test
from autograder.testing.seeds import CALIBRATION_FILE, COUNT, choose, vetted_seeds
from autograder.testing.student import Student

TIMEOUTS = 2
"""After so many tests of a task ran out of time, its other tests are not waited for."""


@dataclass(frozen=True)
class Progress:
    """What is under way: test `number` of `total`."""

    number: int
    total: int
    case: TestCase
    result: TestResult | None = None


def author_of(assignment: Assignment) -> Author | None:
    """The author's files of an assignment, with the course's private overlay in front; None in a kit."""
    if not (assignment.solution_folder / "source.py").is_file():
        return None
    return Author(assignment.solution_folder, _overlay(assignment))


def grade(
    course: Course,
    assignment: Assignment,
    transport: Transport,
    *,
    task: Task | None = None,
    form: Form | None = None,
    student: str = "local",
    on_test: Callable[[Progress], None] | None = None,
) -> Report:
    """Grades the work in the assignment's folder: all of it, or one task.

    `on_test` is called before each test (result None) and after it. Raises SubmissionError where the work cannot be
    read, SourceError where the tests cannot.
    """
    submission = read_submission(assignment, form)
    author = author_of(assignment)
    all_cases = tests_of(assignment, author)
    cases = [case for case in all_cases if task is None or case.task == task.name]
    run = _Run(assignment, transport, submission, author, worth(all_cases, assignment), student, course.title)
    started = datetime.datetime.now(datetime.UTC)
    results: list[TestResult] = []
    for number, case in enumerate(cases, 1):
        if on_test:
            on_test(Progress(number, len(cases), case))
        results.append(run.test(case))
        if on_test:
            on_test(Progress(number, len(cases), case, results[-1]))
    return Report(
        assignment=assignment.id,
        title=assignment.title,
        tests=settle(run.consistent(results), cases, assignment),
        tasks=tuple({"name": t.name, "title": t.title, "points": t.points} for t in assignment.tasks),
        submission=submission.sha256,
        tests_hash=_tests_hash(assignment, author),
        release=assignment.release,
        isolation=transport.isolation.line,
        not_stopped=transport.isolation.not_stopped,
        versions=_versions(assignment),
        student=student,
        started=started.isoformat(timespec="seconds"),
        cpu_seconds=round(sum(result.cpu_seconds for result in results), 3),
        hidden_elsewhere=0 if author else sum(t.hidden_tests for t in assignment.tasks),
        notes=tuple(run.notes),
        complete=True,
    )


def merged(older: Report | None, newer: Report) -> Report:
    """`newer` with the tests that it did not run taken from `older`: what a check of one task leaves of the rest."""
    if older is None or older.assignment != newer.assignment:
        return newer
    ran = {test.task for test in newer.tests}
    kept = [test for test in older.tests if test.task not in ran]
    order = {task["name"]: place for place, task in enumerate(newer.tasks)}
    kept = [test for test in kept if test.task in order]
    return replace(newer, tests=tuple(sorted([*kept, *newer.tests], key=lambda test: order[test.task])))


def tests_of(assignment: Assignment, author: Author | None) -> list[TestCase]:
    """Public tests, then hidden ones where they are on this machine; by task, in the assignment's order."""
    asks = author.path("asks.py") if author else assignment.asks
    cases = []
    if is_as_released(assignment, assignment.public_tests) and (author or is_as_released(assignment, asks)):
        cases = collect_tests(assignment.public_tests, hidden=False, asks=asks)
    if author and author.path("hidden_tests.py").is_file():
        cases += collect_tests(author.path("hidden_tests.py"), hidden=True, asks=asks)
    order = {task.name: place for place, task in enumerate(assignment.tasks)}
    seen: set[str] = set()
    for case in cases:
        if case.task not in order:
            raise SourceError(f"{case.name} counts for {case.task!r}, which is no task of {assignment.id}")
        if case.name in seen:
            raise SourceError(
                f"two tests of {assignment.id} are called {case.name}",
                mend="give the hidden one another name: a report must be able to tell them apart",
            )
        seen.add(case.name)
    return sorted(cases, key=lambda case: (order[case.task], case.hidden))


def is_as_released(assignment: Assignment, path: Path) -> bool:
    """Whether a file beside the student's is word for word one that was released: only such a file runs out here."""
    try:
        manifest = json.loads((assignment.folder.parent / MANIFEST_FILE).read_text(encoding="utf-8"))
        return fingerprint(path.read_bytes()) in manifest["files"][f"{assignment.id}/{path.name}"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


class _Run:
    """The state of one grading: what has gone wrong so far decides what is still worth running."""

    def __init__(
        self,
        assignment: Assignment,
        transport: Transport,
        submission: Submission,
        author: Author | None,
        points: dict[str, float],
        student: str,
        secret: str,
    ) -> None:
        self.assignment = assignment
        self.transport = transport
        self.submission = submission
        self.author = author
        self.points = points
        self.student = student
        self.secret = secret
        self.notes: list[str] = []
        self._broken: Verdict | None = None
        self._timeouts: dict[str, int] = {}
        self._whole: set[str] = set()
        self._unfinished: set[str] = set()
        self._vetted = vetted_seeds(author.path(CALIBRATION_FILE)) if author else {}
        if not is_as_released(assignment, assignment.public_tests):
            own = f"pytest assignments/{assignment.id}"
            self.notes.append(f"test_public.py is not as released, so it did not run here: {own}")
        self._recorded = from_record(assignment.folder / DIAGNOSIS_FILE)
        self._live: Candidates = from_author(author) if author else self._recorded
        self._forbidden: dict[str, tuple[str, int]] = {}
        try:
            self._forbidden = forbidden_uses(submission.tree(), assignment.forbidden)
        except NotPython as problem:
            self._broken = Verdict("failed", str(problem), str(problem))
        self._program = Program(
            assignment.module,
            submission.text,
            submission.path.name,
            author.text("asks.py") if author else _read(assignment.asks),
            assignment.folder,
            assignment.requires,
        )

    def test(self, case: TestCase) -> TestResult:
        seeds = self._seeds(case)
        verdict = self._not_worth_running(case) or self._run(case, seeds[0])
        self._remember(case, verdict)
        recognised = None
        if verdict.outcome == "failed" and verdict.transcript and not self._waits(case):
            candidates = self._live if case.hidden else self._recorded
            recognised = recognise(case, verdict, seeds, candidates, lambda seed: self._run(case, seed, fresh=True))
            if is_whole(verdict):
                self._whole.add(case.name)
        return TestResult(
            id=f"{self.assignment.short}.{case.task}.{case.name}",
            task=case.task,
            hidden=case.hidden,
            outcome=verdict.outcome,
            sentence=case.sentence,
            max_points=self.points[case.name],
            reason=verdict.safe if case.hidden else verdict.detail,
            mistake=recognised,
            seed=seeds[0] if case.hidden else None,
            cpu_seconds=round(verdict.ended.cpu_seconds, 4),
            output="" if case.hidden else verdict.ended.output,
            submission=self.submission.sha256,
        )

    def consistent(self, results: Sequence[TestResult]) -> list[TestResult]:
        """The results without recognitions that contradict each other."""
        return without_contradictions(results, frozenset(self._whole))

    def _run(self, case: TestCase, seed: int, fresh: bool = False) -> Verdict:
        """Runs a test. What fails in a process that answered other tests before is asked again in a fresh one."""
        opened: list[Conversation] = []

        def open_conversation() -> Conversation:
            opened.append(self.transport.open(self._program, self.assignment.limits, fresh))
            return opened[0]

        verdict = run_test(case, Student(open_conversation), proxy(self.author) if self.author else None, seed)
        if _could_be_history(verdict) and opened and not opened[0].fresh:
            return self._run(case, seed, fresh=True)
        return verdict

    def _seeds(self, case: TestCase) -> list[int]:
        vetted: Sequence[int] = self._vetted.get(case.family) or range(COUNT)
        name = f"{self.assignment.id}.{case.name}"
        return [choose(vetted, self.secret, name, self.student, draw) for draw in range(3)]

    def _not_worth_running(self, case: TestCase) -> Verdict | None:
        if self._broken:
            return self._broken
        use = self._forbidden.get(case.task) or self._forbidden.get("")
        if use:
            name, line = use
            said = f"Line {line} uses {name}, which the handout rules out for this assignment."
            return Verdict("failed", said, said)
        if self._timeouts.get(case.task, 0) >= TIMEOUTS:
            said = f"Not run: {TIMEOUTS} tests of this task already ran out of time."
            return Verdict("timeout", said, said)
        return None

    def _waits(self, case: TestCase) -> bool:
        """Whether the task builds on one that is not right yet: its failures are blocked, and say nothing of it."""
        return any(name in self._unfinished for name in self.assignment.task(case.task).needs)

    def _remember(self, case: TestCase, verdict: Verdict) -> None:
        kinds = {exchange.reply.kind for exchange in verdict.transcript}
        if "broken" in kinds:
            self._broken = replace(verdict, transcript=())
        if verdict.outcome == "timeout" and verdict.transcript:
            self._timeouts[case.task] = self._timeouts.get(case.task, 0) + 1
        if verdict.ended.output_cut and not self.notes:
            self.notes.append("Your code printed more than is kept; printing costs nothing, but slows it down.")
        if verdict.outcome not in ("passed", "skipped"):
            self._unfinished.add(case.task)


def _could_be_history(verdict: Verdict) -> bool:
    """Whether a failure might be due to what an earlier test left behind: not if there was nothing to run."""
    kinds = {exchange.reply.kind for exchange in verdict.transcript}
    return not verdict.passed and not kinds & {"unwritten", "missing", "broken"}


def _overlay(assignment: Assignment) -> Path | None:
    """The folder of a class that keeps its hidden tests outside the repository, if course.toml names one."""
    settings = assignment.root / "solutions" / "course.toml"
    if not settings.is_file():
        return None
    private = tomllib.loads(settings.read_text(encoding="utf-8")).get("private")
    return (assignment.root / private / assignment.id).resolve() if private else None


def _tests_hash(assignment: Assignment, author: Author | None) -> str:
    texts = [_read(assignment.public_tests), author.text("hidden_tests.py") if author else "", _read(assignment.asks)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _versions(assignment: Assignment) -> dict[str, str]:
    found = {"python": platform.python_version(), "autograder": sys.modules["autograder"].__version__}
    for name in ("numpy", "pytest", *assignment.requires):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
