"""Grades one assignment: every test in its own fresh process, a record after each, points at the end."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from autograder.course import Assignment, Course, Task
from autograder.grading.confirming import Confirming, Judged, Ran
from autograder.grading.diagnosis import is_whole, recognise, sentences, without_contradictions
from autograder.grading.earlier import Earlier, OwnWork, earlier_modules
from autograder.grading.forbidden import forbidden_uses
from autograder.grading.material import Material
from autograder.grading.private import secret_of
from autograder.grading.scoring import settle
from autograder.grading.submission import Form, NotPython, Submission, read_submission
from autograder.grading.training import WAITS, attempt, fingerprint, kept_run, suspected, with_reference
from autograder.report import Report, TestResult
from autograder.sandbox.messages import PackedConversation, Program, Transport
from autograder.testing.collect import TestCase
from autograder.testing.graded import OnProgress
from autograder.testing.modules import use_packages
from autograder.testing.runner import Verdict, run_test
from autograder.testing.student import Student

NUMERIC = ""
"""Stands for all tests of a task that are no graded runs."""

NOT_ON_SAVE = "Training does not run on each save: press t in watch, or run autograder check."

PRINTED = "Your code printed more than is kept; printing costs nothing, but slows it down."

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
    material: Material | None = None,
    first: Collection[str] = (),
    handed_in: HandedIn | None = None,
    on_test: Callable[[Progress], None] | None = None,
    on_run: Callable[[Report], None] | None = None,
    on_task: Callable[[Report], None] | None = None,
) -> Report:
    """Grades the work in the assignment's folder, or what was handed in: all of it, or one task.

    training: whether graded runs run; without, only one that is in a `kept` report, on the same everything, counts.
    material: what was read for an earlier grading and has not changed. first: tasks that go before the others, so that
    what they give is known soon. `on_test` is called before each test (result None), while one trains, and after it.
    `on_run` is given what is known so far after each graded run, so that an interrupted grading does not train again;
    `on_task` after each task. Raises SubmissionError where the work cannot be read, SourceError where the tests cannot.
    """
    submission = handed_in.submission if handed_in else read_submission(assignment, form)
    use_packages(course.packages)
    material = material or Material(course, assignment)
    cases = [case for case in material.cases if task is None or case.task == task.name]
    if material.author:  # practice runs are for a kit: here the hidden ones train, and twice would be once too often
        cases = [case for case in cases if case.hidden or not case.graded_run]
    own_work = handed_in.own_work if handed_in else None
    earlier = earlier_modules(course, assignment, material.author, submission.text, own_work)
    run = _Run(transport, submission, material, earlier, student, secret_of(course))
    run.training, run.kept, run.of_a_class = training, kept, handed_in is not None
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    ordered = sorted(cases, key=lambda case: case.task not in first)
    numbers = {case.name: number for number, case in enumerate(ordered, 1)}

    def tell(case: TestCase, result: TestResult | None = None, share: float | None = None) -> None:
        if on_test:
            on_test(Progress(numbers[case.name], len(cases), case, result, share))

    results: dict[str, TestResult] = {}
    for _, together in groupby(ordered, key=lambda case: case.task):
        for case, result in run.task(list(together), tell):
            results[case.name] = result
            tell(case, result)
            if on_run and case.graded_run and len(results) < len(cases):
                on_run(run.report(results, cases, started, complete=False))
        if on_task and len(results) < len(cases):
            on_task(run.report(results, cases, started, complete=False))
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


def _other_release(began: str, assignment: Assignment) -> str:
    """A version skew, in words: what began as one release is graded with the tests of another."""
    now = assignment.release
    return f"This file began as release {began} of {assignment.short}; it is graded with the tests of release {now}."


@dataclass(frozen=True)
class HandedIn:
    """Work of a student of a class: it lies in no assignment's folder, and nothing beside it is read."""

    submission: Submission
    own_work: OwnWork
    """The same student's work on earlier assignments."""


class Tell(Protocol):
    """Told of each test before it runs, and of a training how far it has come."""

    def __call__(self, case: TestCase, result: TestResult | None = None, share: float | None = None) -> None: ...


class _Run:
    """The state of one grading: what has gone wrong so far decides what is still worth running."""

    def __init__(
        self,
        transport: Transport,
        submission: Submission,
        material: Material,
        earlier: Earlier,
        student: str,
        secret: str,
    ) -> None:
        self.assignment = assignment = material.assignment
        self.transport = transport
        self.submission = submission
        self.material = material
        self.student = student
        self.secret = secret
        self.training = True
        self.of_a_class = False
        self.kept: Sequence[Report | None] = ()
        self.earlier = earlier
        self.notes: list[str] = []
        self._broken: Verdict | None = None
        self._timeouts: dict[str, int] = {}
        self._whole: set[str] = set()
        self._unfinished: set[str] = set()
        self._probes: dict[str, dict[str, Verdict]] = {}
        self._missing: set[tuple[str, str]] = set()
        self._confirming = Confirming(lambda case, fresh: self._run(case, self._seeds(case)[0], fresh))
        if not material.as_released:
            own = f"pytest assignments/{assignment.id}"
            self.notes.append(f"test_public.py is not as released, so it did not run here: {own}")
        if submission.release and submission.release != assignment.release:
            self.notes.append(_other_release(submission.release, assignment))
        self._forbidden: dict[str, tuple[str, int]] = {}
        try:
            self._forbidden = forbidden_uses(submission.tree(), assignment.forbidden)
        except NotPython as problem:
            self._broken = Verdict("failed", str(problem), str(problem))
        self._program = Program(
            assignment.module,
            submission.text,
            submission.path.name,
            material.asks,
            assignment.folder if submission.path.is_relative_to(assignment.folder) else None,
            assignment.requires,
            earlier.modules,
        )

    def report(
        self, results: Mapping[str, TestResult], cases: Sequence[TestCase], started: str, complete: bool
    ) -> Report:
        """What is known after these results."""
        known = [results[case.name] for case in cases if case.name in results]
        assignment = self.assignment
        return Report(
            assignment=assignment.id,
            title=assignment.title,
            tests=settle(self.consistent(known), cases, assignment),
            tasks=tuple({"name": t.name, "title": t.title, "points": t.points} for t in assignment.tasks),
            submission=self.submission.sha256,
            tests_hash=self.material.tests_hash,
            release=self.submission.release or assignment.release,
            isolation=self.transport.isolation.line,
            not_stopped=self.transport.isolation.not_stopped,
            versions=self.material.versions,
            student=self.student,
            started=started,
            cpu_seconds=round(sum(result.cpu_seconds for result in known), 3),
            hidden_elsewhere=0 if self.material.author else sum(t.hidden_tests for t in assignment.tasks),
            notes=(*self.earlier.notes(known), *self.notes),
            complete=complete,
        )

    def task(self, cases: Sequence[TestCase], tell: Tell) -> Iterator[tuple[TestCase, TestResult]]:
        """The results of one task's tests: those of its graded runs last, when it is known how the others stand."""
        ran: list[tuple[TestCase, Ran]] = []
        for case in self._numeric(cases):
            if not self._worth_asking(case, cases, ran):
                continue
            tell(case)
            held = self._not_worth_running(case)
            ran.append((case, Ran(held, True) if held else self._run(case, self._seeds(case)[0])))
            self._take_note(case, ran[-1][1].verdict)
        judged = self._confirming.judge(ran)
        for case, _ in ran:
            yield case, self._result(case, judged[case.name])
        for case in (case for case in cases if case.graded_run):
            tell(case)
            yield case, self._graded_run(case, lambda share, case=case: tell(case, share=share))  # type: ignore[misc]

    def _numeric(self, cases: Sequence[TestCase]) -> list[TestCase]:
        """The tests that are no graded runs. Of a class the hidden ones come first: they say whether more is asked."""
        numeric = [case for case in cases if not case.graded_run]
        return sorted(numeric, key=lambda case: not case.hidden) if self.of_a_class else numeric

    def _worth_asking(self, case: TestCase, cases: Sequence[TestCase], ran: Sequence[tuple[TestCase, Ran]]) -> bool:
        """In a class, public tests say what is wrong where something is: where all hidden ones pass they add nothing.

        Unless points hang on them: where a hidden test needs one, and where training waits for all tests of a task.
        """
        if not self.of_a_class or case.hidden or any(not one.verdict.passed for _, one in ran):
            return True
        needed = {name for other in cases if other.hidden for name in other.needs}
        return case.family in needed or not any(other.hidden for other in cases) or case.task in self.material.gates

    def _result(self, case: TestCase, judged: Judged) -> TestResult:
        seeds = self._seeds(case)
        verdict = judged.verdict
        self._remember(case, verdict)
        recognised = None
        if verdict.outcome == "failed" and verdict.transcript and not self._waits(case):

            def rerun(seed: int) -> Verdict:
                return judged.again if judged.again and seed == seeds[0] else self._run(case, seed, fresh=True).verdict

            recognised = recognise(case, verdict, seeds, self.material.candidates(case), rerun)
            if is_whole(verdict):
                self._whole.add(case.name)
        return TestResult(
            id=f"{self.assignment.short}.{case.task}.{case.name}",
            task=case.task,
            hidden=case.hidden,
            outcome=verdict.outcome,
            sentence=case.sentence,
            max_points=self.material.points[case.name],
            reason=verdict.safe if case.hidden else verdict.detail,
            mistake=recognised,
            seed=seeds[0] if case.hidden else None,
            cpu_seconds=round(verdict.ended.cpu_seconds, 4),
            output="" if case.hidden else verdict.ended.output,
            submission=self.submission.sha256,
        )

    def _graded_run(self, case: TestCase, on_progress: OnProgress) -> TestResult:
        """Trains, unless that was done before on the same everything, or something else has to be mended first."""
        seeds = self._seeds(case)
        name = f"{self.assignment.short}.{case.task}.{case.name}"
        program = self._program
        known = (self.material.tests_hash, sorted(self.material.versions.items()), name, seeds)
        depends_on = fingerprint(program.source, program.asks, program.earlier, *known)
        before = kept_run(self.kept, name, depends_on)
        if before is not None:
            self._remember(case, Verdict(before.outcome))
            return replace(before, submission=self.submission.sha256)  # what is known holds for this text too
        held = self._not_worth_running(case) or self._held_back(case)
        run = (lambda seed: held) if held else (lambda seed: self._run(case, seed, True, on_progress).verdict)
        trained = attempt(run, seeds)
        verdict = trained.verdict
        self._take_note(case, verdict)
        self._remember(case, verdict)
        if verdict.listed:
            self._probes.setdefault(case.task, {})[case.name] = verdict
        return TestResult(
            id=name,
            task=case.task,
            hidden=case.hidden,
            outcome=verdict.outcome,
            sentence=case.sentence,
            max_points=self.material.points[case.name],
            reason=verdict.safe if case.hidden else verdict.detail,
            figures=trained.figures,
            curves=with_reference(trained.curves, self.material.reference_curves.get(case.name, ())),
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
            author = self.material.author
            bank = [item for item in author.mistakes if item.task == task] if author else []
            mistake = suspected(verdicts.values(), bank)
            if mistake is not None:
                failed = {name for name, verdict in verdicts.items() if not verdict.passed}
                settled = [replace(r, mistake=sentences(mistake)) if r.name in failed else r for r in settled]
        return settled

    def _run(self, case: TestCase, seed: int, fresh: bool = False, on_progress: OnProgress | None = None) -> Ran:
        """Runs a test once; one that took its process with it, in which others had run, at once in a fresh one."""
        opened: list[PackedConversation] = []
        limits = self.assignment.limits
        if case.cpu_seconds is not None:
            limits = replace(limits, cpu_seconds=case.cpu_seconds)

        def open_conversation() -> PackedConversation:
            opened.append(self.transport.open(self._program, limits, fresh))
            return opened[0]

        def run_on(student: Student) -> Verdict:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what a test's own code warns of is its author's business
                return run_test(case, student, self.material.reference(case, seed), seed, on_progress)

        recalled = self.material.recalled
        if recalled is None:
            verdict = run_on(Student(open_conversation))
        else:
            verdict = recalled.run(case, seed, open_conversation, run_on)
        ran = Ran(verdict, not opened or opened[0].fresh)
        if not ran.fresh and verdict.outcome in ("timeout", "crashed"):
            return self._run(case, seed, fresh=True, on_progress=on_progress)
        return ran

    def _seeds(self, case: TestCase) -> list[int]:
        """The student's; of a training in a class the work's own, so that the same work trains once."""
        same_for = self.submission.sha256 if self.of_a_class and case.graded_run else self.student
        return self.material.seeds(case, same_for, self.secret, self.of_a_class)

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

    def _take_note(self, case: TestCase, verdict: Verdict) -> None:
        """What a run says of those that come after it in the same task."""
        if "broken" in {exchange.reply.kind for exchange in verdict.transcript}:
            self._broken = replace(verdict, transcript=())
        if verdict.outcome == "timeout" and verdict.transcript:
            self._timeouts[case.task] = self._timeouts.get(case.task, 0) + 1

    def _remember(self, case: TestCase, verdict: Verdict) -> None:
        """What a verdict says of graded runs and later tasks."""
        if verdict.ended.output_cut and PRINTED not in self.notes:
            self.notes.append(PRINTED)
        if verdict.outcome not in ("passed", "skipped"):
            self._unfinished.add(case.task)
            self._missing.add((case.task, case.family if case.graded_run else NUMERIC))
