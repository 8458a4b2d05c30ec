"""The author's gate: is this assignment fit to be given to a student?

It measures, over vetted seeds: the reference gets full marks and so does every alternative; the untouched stub and
every trivial answer earn nothing; every mistake is caught by the tests it names and recognised as itself or its twin;
no recognition is ever wrong; every task has its ladder of hints; tests stay within their limits. What it measured is
kept in `calibration.json` with a hash of all code it depends on, and measured anew only when that changes.
"""

from __future__ import annotations

import ast
import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autograder.authoring.findings import MistakeRow, Verification, kept_calibration
from autograder.authoring.percent import without_prose
from autograder.authoring.pieces import Measured, OnProgress, Pieces, measure
from autograder.authoring.runs import check_names
from autograder.authoring.shared import files_used
from autograder.authoring.trivial import TRIVIAL, with_trivial
from autograder.authoring.vetting import Trial
from autograder.course import DIAGNOSIS_FILE, Assignment, Course
from autograder.errors import SourceError
from autograder.files import write_json
from autograder.grading.diagnosis import SEEDS_FOR_LITTLE, LiveCandidates, from_record, proxy, recognise
from autograder.grading.forbidden import forbidden_uses
from autograder.grading.material import author_of
from autograder.grading.scoring import settle, worth
from autograder.report import TestResult
from autograder.sandbox.loopback import LoopbackTransport
from autograder.sandbox.messages import Program
from autograder.testing.bank import Mistake
from autograder.testing.collect import TestCase
from autograder.testing.modules import Author, use_packages
from autograder.testing.optional import optional_packages
from autograder.testing.runner import run_test
from autograder.testing.seeds import CALIBRATION_FILE, COUNT, RUNS
from autograder.testing.student import Student

QUICK = 2
"""Seeds that `verify --quick` looks at."""

SHARE_OF_LIMIT = 0.25
"""No test may use more of its CPU limit than this on the reference, here: slower machines exist."""


SHARE_OF_RUN = 0.5
"""The same for a graded run, whose own limit is chosen with the run in mind."""


def verify(
    course: Course,
    assignment: Assignment,
    *,
    quick: bool = False,
    again: bool = False,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> Verification:
    """Measures an assignment, or returns what is kept where nothing it depends on has changed.

    `quick` looks at few seeds and keeps nothing. `again` measures even if nothing changed.
    `jobs`: how many processes share the tests and graded runs.
    """
    author = author_of(assignment)
    use_packages(course.packages)
    if author is None:
        raise SourceError(
            f"{assignment.id} has no source here to verify",
            where=str(assignment.solution_folder),
            mend="run it in a clone of the course, where solutions/ is",
        )
    fingerprint = calibration_hash(course, assignment, author)
    kept = None if quick or again else kept_calibration(author)
    if kept and kept.hash == fingerprint:
        return kept
    found = _Gate(assignment, author, QUICK if quick else COUNT, jobs, on_progress or (lambda *_: None)).run()
    found.hash = fingerprint
    if not quick and not found.lapses:
        write_json(_home(author) / CALIBRATION_FILE, found.to_json())
    return found


def _home(author: Author) -> Path:
    """Where a measurement is kept: with the tests that were measured."""
    return author.path("hidden_tests.py").parent


def calibration_hash(course: Course, assignment: Assignment, author: Author) -> str:
    """A hash of what the measurement depends on: the author's code, what it shares with others, pinned versions.

    Not of the handout: its words may be mended at any time.
    """
    names = ("source.py", "hidden_tests.py", "asks.py", "mistakes.py", "alternatives.py")
    paths = [author.path(name) for name in names]
    paths += files_used(paths, course.root / "solutions" / "common")
    paths.append(course.root / "constraints.txt")
    digest = hashlib.sha256()
    for path in paths:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        text = without_prose(text) if path.name == "source.py" else text
        digest.update(path.name.encode() + b"\0" + text.encode() + b"\0")
    return digest.hexdigest()


class _Gate:
    """One run through all checks of one assignment."""

    def __init__(self, assignment: Assignment, author: Author, seeds: int, jobs: int, on_progress: OnProgress) -> None:
        self.assignment = assignment
        self.author = author
        self.jobs = jobs
        self.on_progress = on_progress
        self.pieces = Pieces(assignment, author, seeds)
        self.cases = self.pieces.cases
        self.hidden = [case for case in self.cases if case.hidden]
        self.public = [case for case in self.cases if not case.hidden]
        self.found = Verification(assignment.id)
        self.families = self.pieces.families
        self.runs = list(self.pieces.runs.values())

    def run(self) -> Verification:
        started = time.process_time()
        self.found.alternatives = [item.id for item in self.author.alternatives]
        self._check_form()
        self._check_reference()
        measured = measure(self.pieces, self.assignment, self.jobs, self.on_progress)
        self._keep_families(measured)
        self._keep_runs(measured)
        if not self.found.lapses:
            self._check_void_answers()
            self._check_recognition()
        self.found.cpu_seconds = round(time.process_time() - started + measured.elsewhere, 1)
        return self.found

    def _lapse(self, text: str) -> None:
        if text not in self.found.lapses:
            self.found.lapses.append(text)

    def _check_form(self) -> None:
        families = {case.family: case.task for case in self.hidden}
        for case in self.runs:
            if not any(case.family in item.caught_by for item in self.author.mistakes):
                self._lapse(f"the graded run {case.name} has no blocker: nothing shows that it can be missed")
        for task in self.assignment.tasks:
            if len(task.hints) != 3:
                self._lapse(f"task {task.name} has {len(task.hints)} hints: write a ladder of three")
            if task.name not in families.values():
                self._lapse(f"task {task.name} has no hidden test: nothing grades it")
            if not any(item.task == task.name for item in self.author.mistakes):
                self._lapse(f"task {task.name} has no mistake in its bank")
            if not any(item.task == task.name for item in self.author.alternatives):
                self._lapse(f"task {task.name} has no alternative: nothing shows that its tests are not too narrow")
        for item in self.author.mistakes:
            self._check_mistake_form(item, families)

    def _check_mistake_form(self, item: Mistake, families: dict[str, str]) -> None:
        if not item.seen.strip() or not item.named.strip():
            self._lapse(f"mistake {item.id} lacks a sentence")
        for name in item.caught_by:
            if families.get(name) != item.task:
                self._lapse(f"mistake {item.id} is said to be caught by {name}, which is no hidden test of {item.task}")

    def _check_reference(self) -> None:
        """Public tests hold for the reference and every alternative; no test comes near its limit."""
        for case in self.public:
            others = () if case.graded_run else self.author.alternatives
            for alternative in (None, *others):
                items = (alternative,) if alternative else ()
                verdict = run_test(case, proxy(self.author, *items), proxy(self.author), 0)
                if verdict.outcome not in ("passed", "skipped"):
                    who = f"the alternative {alternative.id}" if alternative else "the reference"
                    self._lapse(f"{who} does not pass the public {case.name}: {verdict.detail}")
        for case in (case for case in self.cases if not case.graded_run):
            before = time.process_time()
            run_test(case, proxy(self.author), proxy(self.author), 0)
            used = time.process_time() - before
            if used > SHARE_OF_LIMIT * self.assignment.limits.cpu_seconds:
                self._lapse(f"{case.name} uses {used:.1f} of its {self.assignment.limits.cpu_seconds:.0f} CPU-seconds")
        self._check_forbidden()

    def _check_forbidden(self) -> None:
        tree = ast.parse(self.author.text("source.py"))
        tasks = {task.name for task in self.assignment.tasks}
        for owner, (name, line) in forbidden_uses(tree, self.assignment.forbidden).items():
            if owner in tasks:
                self._lapse(f"the reference's {owner} uses {name} in line {line}, which the handout forbids")

    def _keep_families(self, measured: Measured) -> None:
        """Keeps the seeds vetted for every hidden test, and what was measured of each mistake on them."""
        rows = {item.id: MistakeRow(item.id, item.task, twins=list(item.twin)) for item in self.author.mistakes}
        for family in self.families:
            vetted = measured.family(family)
            for lapse in vetted.lapses:
                self._lapse(lapse)
            self.found.seeds[family] = [trial.seed for trial in vetted.trials]
            self.found.tests[family] = len(vetted.trials)
            for trial in vetted.trials:
                self._keep(trial, family, rows)
        self.found.mistakes = list(rows.values())
        for row in self.found.mistakes:
            row.also_caught_by = sorted(set(row.also_caught_by) - set(row.caught_by))

    def _keep_runs(self, measured: Measured) -> None:
        """Keeps how every graded run went on its seeds: reference, alternatives and the mistakes named for it."""
        rows = {row.id: row for row in self.found.mistakes}
        for case in self.runs:
            row, count = measured.run(case.name), min(self.pieces.count, RUNS)
            self.found.runs.append(row)
            self.found.seeds[case.family], self.found.tests[case.family] = row.seeds, len(row.seeds)
            self.found.curves[case.name] = row.curve
            for lapse in row.lapses:
                self._lapse(lapse)
            if len(row.seeds) < count:
                self._lapse(f"{case.name}: only {len(row.seeds)} of {count} training seeds could be vetted")
            limit = case.cpu_seconds or 0.0
            if row.cpu_seconds and max(row.cpu_seconds) > SHARE_OF_RUN * limit:
                self._lapse(f"{case.name} uses {max(row.cpu_seconds):.0f} of its {limit:.0f} CPU-seconds")
            for name, caught in row.caught.items():
                if caught:
                    rows[name].caught_by[case.family] = None
        for task in {case.task for case in self.runs}:
            runs = [row for row, case in zip(self.found.runs, self.runs, strict=True) if case.task == task]
            bank = [item for item in self.author.mistakes if item.task == task]
            for lapse in check_names(runs, bank):
                self._lapse(lapse)
        for row, case in zip(self.found.runs, self.runs, strict=True):
            for name in row.recognised:
                rows[name].recognised_in.append(case.family)

    def _keep(self, trial: Trial, family: str, rows: dict[str, MistakeRow]) -> None:
        for name, margin in trial.margins.items():
            known = rows[name].caught_by.get(family)
            rows[name].caught_by[family] = _finite(min(margin, math.inf if known is None else known))
        for name in trial.failed:
            if family not in rows[name].also_caught_by:
                rows[name].also_caught_by.append(family)
        for one, other in trial.coincide:
            entry = (family, *sorted((one, other)))
            if entry not in self.found.coincidences:
                self.found.coincidences.append((entry[0], entry[1], entry[2]))

    def _check_void_answers(self) -> None:
        """The stub fails every test; trivial answers earn nothing."""
        self.on_progress("trivial answers", 0, len(TRIVIAL))
        stub = self._points(self.hidden, lambda case: self._stub_student())
        self.found.trivial["stub"] = sum(result.points for result in stub)
        for result in stub:
            if result.outcome == "passed":
                self._lapse(f"the untouched stub passes {result.name}")
        for number, trivial in enumerate(TRIVIAL, 1):
            self.on_progress("trivial answers", number, len(TRIVIAL))
            # Of a graded run the void answers are its blockers: a model with nothing in it is the untrained one.
            cases = [case for case in self.hidden if not case.graded_run]
            results = self._points(cases, lambda case, t=trivial: self._trivial_student(case, t))  # type: ignore[misc]
            self.found.trivial[trivial.id] = sum(result.points for result in results)
            for result in results:
                if result.points:
                    self._lapse(f"{result.name} pays {result.points:.2g} points for the trivial answer {trivial.id!r}")

    def _points(self, cases: list[TestCase], student_for: Callable[[TestCase], Student]) -> tuple[TestResult, ...]:
        points = worth(self.cases, self.assignment)
        results = []
        for case in cases:
            seed = self.found.seeds[case.family][0]
            verdict = run_test(case, student_for(case), proxy(self.author), seed)
            results.append(
                TestResult(
                    f"{self.assignment.short}.{case.task}.{case.name}", case.task, True, verdict.outcome, case.sentence,
                    max_points=points[case.name], reason=verdict.safe,
                )
            )  # fmt: skip
        return settle(results, cases, self.assignment)

    def _trivial_student(self, case: TestCase, trivial: Any) -> Student:
        transport = LoopbackTransport(with_trivial(self.author.reference, case.task, trivial))
        return self._student(transport, "")

    def _stub_student(self) -> Student:
        pristine = self.assignment.folder / ".stub.py"
        path = pristine if pristine.is_file() else self.assignment.module_path
        return self._student(LoopbackTransport(), path.read_text(encoding="utf-8"))

    def _student(self, transport: LoopbackTransport, text: str) -> Student:
        program = Program(self.assignment.module, text, self.assignment.module_path.name, self.author.text("asks.py"))
        return Student(lambda: transport.open(program, self.assignment.limits))

    def _check_recognition(self) -> None:
        """Every mistake is called by its own name or its twin's, or by none; and by its own where it can be."""
        rows = {row.id: row for row in self.found.mistakes}
        live = LiveCandidates(self.author)
        for number, item in enumerate(self.author.mistakes, 1):
            self.on_progress(f"recognition of {item.id}", number, len(self.author.mistakes))
            mine = [case for family in self.families.values() for case in family if case.task == item.task]
            for case in (case for case in mine if case.family in rows[item.id].caught_by):
                self._recognise(item, case, live, rows[item.id])
        self._check_record()

    def _recognise(self, item: Mistake, case: TestCase, live: Any, row: MistakeRow) -> None:
        seeds = list(dict.fromkeys([*self.found.seeds[case.family], *range(SEEDS_FOR_LITTLE)]))[:SEEDS_FOR_LITTLE]
        verdict = run_test(case, proxy(self.author, item), proxy(self.author), seeds[0])
        if verdict.passed:
            return
        found = recognise(
            case, verdict, seeds, live, lambda seed: run_test(case, proxy(self.author, item), proxy(self.author), seed)
        )
        if found is None:
            return
        if found.id != item.id and found.id not in item.twin:
            self._lapse(f"{case.name} calls the mistake {item.id} by the name of {found.id}")
        elif case.family not in row.recognised_in:
            row.recognised_in.append(case.family)

    def _check_record(self) -> None:
        """What was recorded for the kit names the same mistakes as running them does."""
        recorded = from_record(self.assignment.folder / DIAGNOSIS_FILE)
        live = LiveCandidates(self.author)
        for case in self.public:
            if case.graded_run or optional_packages(case.function):
                continue  # such tests are not recorded
            ran = sorted(candidate.recognised.id for candidate in live(case, 0))
            kept = sorted(candidate.recognised.id for candidate in recorded(case, 0))
            if ran != kept:
                self._lapse(f"the released record of {case.name} is not of today's mistakes: autograder release")


def _finite(margin: float) -> float | None:
    return None if math.isinf(margin) else float(f"{margin:.3g}")
