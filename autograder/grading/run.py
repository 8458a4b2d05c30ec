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
from autograder.files import fingerprint as file_hash
from autograder.grading.diagnosis import (
    Candidates,
    from_author,
    from_record,
    is_whole,
    proxy,
    recognise,
    sentences,
    without_contradictions,
)
from autograder.grading.earlier import Earlier, earlier_modules
from autograder.grading.forbidden import forbidden_uses
from autograder.grading.scoring import settle, worth
from autograder.grading.submission import Form, NotPython, Submission, read_submission
from autograder.grading.training import WAITS, attempt, fingerprint, kept_run, suspected, with_reference
from autograder.report import Report, TestResult
from autograder.sandbox.messages import Conversation, Program, Transport
from autograder.testing.collect import TestCase, collect_tests
from autograder.testing.graded import OnProgress
from autograder.testing.modules import Author, earlier_authors, use_packages
from autograder.testing.runner import Verdict, run_test
from autograder.testing.seeds import CALIBRATION_FILE, COUNT, RUNS, choose, reference_curves, vetted_seeds
from autograder.testing.student import Student

NUMERIC = ""
"""Stands for all tests of a task that are no graded runs."""

NOT_ON_SAVE = "Training does not run on each save: ask for it with autograder check."

TIMEOUTS = 2
"""After so many tests of a task ran out of time, its other tests are not waited for."""


@dataclass(frozen=True)
class Progress:
    """What is under way: test `number` of `total`."""

    number: int
    total: int
    case: TestCase
    result: TestResult | None = None
    share: float | None = None
    """Of a graded run: how much of its budget is used."""


def author_of(assignment: Assignment) -> Author | None:
    """The author's files of an assignment, with the course's private overlay in front; None in a kit."""
    if not (assignment.solution_folder / "source.py").is_file():
        return None
    earlier = earlier_authors(assignment.root, assignment.builds_on)
    return Author(assignment.solution_folder, _overlay(assignment), earlier)


def grade(
    course: Course,
    assignment: Assignment,
    transport: Transport,
    *,
    task: Task | None = None,
    form: Form | None = None,
    student: str = "local",
    training: bool = True,
    kept: Sequence[Report | None] = (),
    on_test: Callable[[Progress], None] | None = None,
    on_run: Callable[[Report], None] | None = None,
) -> Report:
    """Grades the work in the assignment's folder: all of it, or one task.

    training: whether graded runs run; without, only one that is in a `kept` report, on the same everything, counts.
    `on_test` is called before each test (result None), while one trains, and after it. `on_run` is given what is known
    so far after each graded run, so that an interrupted grading does not train again. Raises SubmissionError where the
    work cannot be read, SourceError where the tests cannot.
    """
    submission = read_submission(assignment, form)
    use_packages(course.packages)
    author = author_of(assignment)
    all_cases = tests_of(assignment, author)
    cases = [case for case in all_cases if task is None or case.task == task.name]
    if author:  # practice runs are for a kit: here the hidden ones train, and twice would be once too often
        cases = [case for case in cases if case.hidden or not case.graded_run]
    earlier = earlier_modules(course, assignment, author)
    points = worth(all_cases, assignment)
    run = _Run(assignment, transport, submission, author, earlier, points, student, course.title)
    run.training, run.kept = training, kept
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    results: list[TestResult] = []
    for number, case in enumerate(cases, 1):
        progress = Progress(number, len(cases), case)
        tell = on_test or (lambda _: None)
        tell(progress)
        results.append(run.test(case, lambda share, p=progress, t=tell: t(replace(p, share=share))))  # type: ignore[misc]
        tell(replace(progress, result=results[-1]))
        if on_run and case.graded_run and number < len(cases):
            on_run(run.report(results, cases, started, complete=False))
    return run.report(results, cases, started, complete=True)


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
    return sorted(cases, key=lambda case: (order[case.task], case.graded_run, case.hidden))


def is_as_released(assignment: Assignment, path: Path) -> bool:
    """Whether a file beside the student's is word for word one that was released: only such a file runs out here."""
    try:
        manifest = json.loads((assignment.folder.parent / MANIFEST_FILE).read_text(encoding="utf-8"))
        return file_hash(path.read_bytes()) in manifest["files"][f"{assignment.id}/{path.name}"]
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
        earlier: Earlier,
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
        self.training = True
        self.kept: Sequence[Report | None] = ()
        self.notes: list[str] = list(earlier.notes)
        self._broken: Verdict | None = None
        self._timeouts: dict[str, int] = {}
        self._whole: set[str] = set()
        self._unfinished: set[str] = set()
        self._probes: dict[str, dict[str, Verdict]] = {}
        self._missing: set[tuple[str, str]] = set()
        self._vetted = vetted_seeds(author.path(CALIBRATION_FILE)) if author else {}
        self._reference_curves = reference_curves(author.path(CALIBRATION_FILE)) if author else {}
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
            earlier.modules,
        )
        self._tests_hash = _tests_hash(assignment, author)
        self._versions = _versions(assignment)

    def report(self, results: Sequence[TestResult], cases: Sequence[TestCase], started: str, complete: bool) -> Report:
        """What is known after these results."""
        assignment = self.assignment
        return Report(
            assignment=assignment.id,
            title=assignment.title,
            tests=settle(self.consistent(results), cases, assignment),
            tasks=tuple({"name": t.name, "title": t.title, "points": t.points} for t in assignment.tasks),
            submission=self.submission.sha256,
            tests_hash=self._tests_hash,
            release=assignment.release,
            isolation=self.transport.isolation.line,
            not_stopped=self.transport.isolation.not_stopped,
            versions=self._versions,
            student=self.student,
            started=started,
            cpu_seconds=round(sum(result.cpu_seconds for result in results), 3),
            hidden_elsewhere=0 if self.author else sum(t.hidden_tests for t in assignment.tasks),
            notes=tuple(self.notes),
            complete=complete,
        )

    def test(self, case: TestCase, on_progress: OnProgress | None = None) -> TestResult:
        seeds = self._seeds(case)
        if case.graded_run:
            return self._graded_run(case, seeds, on_progress)
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

    def _graded_run(self, case: TestCase, seeds: list[int], on_progress: OnProgress | None) -> TestResult:
        """Trains, unless that was done before on the same everything, or something else has to be mended first."""
        name = f"{self.assignment.short}.{case.task}.{case.name}"
        program = self._program
        known = (self._tests_hash, sorted(self._versions.items()), name, seeds)
        depends_on = fingerprint(program.source, program.asks, program.earlier, *known)
        before = kept_run(self.kept, name, depends_on)
        if before is not None:
            self._remember(case, Verdict(before.outcome))
            return before
        held = self._not_worth_running(case) or self._held_back(case)
        run = (lambda seed: held) if held else (lambda seed: self._run(case, seed, True, on_progress))
        trained = attempt(run, seeds)
        verdict = trained.verdict
        self._remember(case, verdict)
        if verdict.listed:
            self._probes.setdefault(case.task, {})[case.name] = verdict
        return TestResult(
            id=name,
            task=case.task,
            hidden=case.hidden,
            outcome=verdict.outcome,
            sentence=case.sentence,
            max_points=self.points[case.name],
            reason=verdict.safe if case.hidden else verdict.detail,
            figures=trained.figures,
            curves=with_reference(trained.curves, self._reference_curves.get(case.name, ())),
            seed=seeds[0] if case.hidden else None,
            cpu_seconds=round(trained.cpu_seconds, 4),
            output="" if case.hidden else verdict.ended.output,
            submission=self.submission.sha256,
            depends_on=depends_on,
        )

    def _held_back(self, case: TestCase) -> Verdict | None:
        """Why a graded run has to wait, if it has to."""
        missing = {name for task, name in self._missing if task == case.task}
        if missing & {NUMERIC, *case.needs} or self._waits(case):
            return Verdict("blocked", WAITS, WAITS)
        return None if self.training else Verdict("blocked", NOT_ON_SAVE, NOT_ON_SAVE)

    def consistent(self, results: Sequence[TestResult]) -> list[TestResult]:
        """The results without recognitions that contradict each other, and with what all probes of a task agree on."""
        settled = without_contradictions(results, frozenset(self._whole))
        for task, verdicts in self._probes.items():
            bank = [item for item in self.author.mistakes if item.task == task] if self.author else []
            mistake = suspected(verdicts.values(), bank)
            if mistake is not None:
                failed = {name for name, verdict in verdicts.items() if not verdict.passed}
                settled = [replace(r, mistake=sentences(mistake)) if r.name in failed else r for r in settled]
        return settled

    def _run(self, case: TestCase, seed: int, fresh: bool = False, on_progress: OnProgress | None = None) -> Verdict:
        """Runs a test. What fails in a process that answered other tests before is asked again in a fresh one."""
        opened: list[Conversation] = []
        limits = self.assignment.limits
        if case.cpu_seconds is not None:
            limits = replace(limits, cpu_seconds=case.cpu_seconds)

        def open_conversation() -> Conversation:
            opened.append(self.transport.open(self._program, limits, fresh))
            return opened[0]

        reference = proxy(self.author) if self.author and "reference" in case.uses else None
        verdict = run_test(case, Student(open_conversation), reference, seed, on_progress)
        if _could_be_history(verdict) and opened and not opened[0].fresh:
            return self._run(case, seed, fresh=True)
        return verdict

    def _seeds(self, case: TestCase) -> list[int]:
        vetted: Sequence[int] = self._vetted.get(case.family) or range(RUNS if case.graded_run else COUNT)
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
            self._missing.add((case.task, case.family if case.graded_run else NUMERIC))


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
    packages = (name.partition(".")[0] for name in assignment.requires)
    for name in ("numpy", "pytest", *(name for name in packages if name != "autograder")):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
