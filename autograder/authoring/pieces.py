"""The long part of a measurement in pieces that know nothing of each other, so that several processes can share them.

A piece is one hidden test function on all its seeds, or one graded run on all of its.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autograder.authoring.runs import RunRow, vet_run
from autograder.authoring.vetting import Trial, try_seed
from autograder.course import Assignment, Course
from autograder.errors import EnvironmentProblem
from autograder.grading.material import author_of, tests_of
from autograder.testing.collect import TestCase
from autograder.testing.modules import Author, use_packages
from autograder.testing.seeds import RUNS

WIDELY = 1
"""On so many seeds every alternative and every mistake of the task is tried on every test, not only the named ones."""

THREADS = "OMP_NUM_THREADS"

Tell = Callable[[str], None]
"""What is being looked at."""

OnProgress = Callable[[str, int, int], None]
"""(what is being looked at, step, of how many)"""


@dataclass
class Family:
    """One hidden test function: the seeds that may be given to a student, and why there are not more."""

    trials: list[Trial]
    lapses: list[str]
    """Empty where enough seeds were found, whatever became of the others."""


@dataclass
class Measured:
    """What was found out of each piece, by its name."""

    found: dict[str, Family | RunRow]
    elsewhere: float = 0.0
    """CPU-seconds that other processes spent on it."""

    def family(self, name: str) -> Family:
        piece = self.found[name]
        assert isinstance(piece, Family)
        return piece

    def run(self, name: str) -> RunRow:
        piece = self.found[name]
        assert isinstance(piece, RunRow)
        return piece


class Pieces:
    """What there is to measure of one assignment, and the measuring of each piece."""

    def __init__(self, assignment: Assignment, author: Author, count: int) -> None:
        self.author = author
        self.count = count
        self.cases = tests_of(assignment, author)
        self.families: dict[str, list[TestCase]] = {}
        for case in self.cases:
            if case.hidden and not case.graded_run:
                self.families.setdefault(case.family, []).append(case)
        self.runs = {case.name: case for case in self.cases if case.hidden and case.graded_run}

    def measure(self, name: str, tell: Tell) -> Family | RunRow:
        """The piece called `name`: a graded run's row, or a test function's trials."""
        if name in self.runs:
            return vet_run(self.author, self.runs[name], min(self.count, RUNS), tell)
        return self._vet_family(name)

    def _vet_family(self, family: str) -> Family:
        cases = self.families[family]
        wanted = self.count if any("seed" in case.uses for case in cases) else 1
        good: list[Trial] = []
        lapses: list[str] = []
        for seed in range(2 * wanted):
            trial = try_seed(self.author, cases, seed, widely=seed < WIDELY)
            if trial.lapses:
                lapses += [f"{family}, seed {seed}: {lapse}" for lapse in trial.lapses]
            else:
                good.append(trial)
            if len(good) == wanted or len(lapses) > wanted:
                break
        if len(good) == wanted:
            return Family(good, [])
        return Family(good, [*lapses[:3], f"{family}: only {len(good)} of {wanted} seeds could be vetted"])


def measure(pieces: Pieces, assignment: Assignment, jobs: int, on_progress: OnProgress) -> Measured:
    """Measures every piece, here or in `jobs` processes; there the graded runs go first, since they take longest."""
    names = [*pieces.runs, *pieces.families]
    if jobs > 1 and len(names) > 1:
        return _in_processes(names, assignment, pieces.count, min(jobs, len(names)), on_progress)
    found = {}
    for number, name in enumerate(reversed(names), 1):
        on_progress(name, number, len(names))
        found[name] = pieces.measure(name, lambda what, n=number: on_progress(what, n, len(names)))  # type: ignore[misc]
    return Measured(found)


def _in_processes(
    names: Sequence[str], assignment: Assignment, count: int, jobs: int, on_progress: OnProgress
) -> Measured:
    found: dict[str, Family | RunRow] = {}
    elsewhere = 0.0
    given = (assignment.root, assignment.id, count)
    fresh = multiprocessing.get_context("spawn")  # a fork of a process whose libraries have threads may stand still
    with _one_thread_each(), ProcessPoolExecutor(jobs, fresh, _begin, given) as pool:
        waiting = {pool.submit(_measure, name): name for name in names}
        on_progress(f"in {jobs} processes", 0, len(names))
        for number, future in enumerate(as_completed(waiting), 1):
            found[waiting[future]], seconds = _result(future)
            elsewhere += seconds
            on_progress(f"{waiting[future]} is done", number, len(names))
    return Measured(found, elsewhere)


def _result(future: Future[tuple[Family | RunRow, float]]) -> tuple[Family | RunRow, float]:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise EnvironmentProblem(
            "a process that measured was killed, for its memory perhaps", mend="autograder verify aNN --jobs 1"
        ) from error


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """As many processes as there are processors need no threads; in the sandbox there is one as well."""
    before = os.environ.get(THREADS)
    os.environ[THREADS] = "1"
    try:
        yield
    finally:
        os.environ.pop(THREADS)
        if before is not None:
            os.environ[THREADS] = before


_mine: Pieces
"""In a process of its own: what it measures pieces of."""


def _begin(root: Path, assignment_id: str, count: int) -> None:
    global _mine
    course = Course.load(root)
    use_packages(course.packages)
    assignment = course.assignment(assignment_id)
    author = author_of(assignment)
    assert author is not None, "the process that asked has read it"
    _mine = Pieces(assignment, author, count)


def _measure(name: str) -> tuple[Family | RunRow, float]:
    before = time.process_time()
    found = _mine.measure(name, lambda what: None)
    return found, time.process_time() - before
