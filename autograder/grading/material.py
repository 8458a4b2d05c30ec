"""What grading an assignment takes besides the student's work: its tests, its author's files, the known mistakes.

None of it depends on the student, so `watch` reads it once and keeps it until one of its files changes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from autograder.course import DIAGNOSIS_FILE, MANIFEST_FILE, Assignment, Course
from autograder.errors import SourceError
from autograder.files import fingerprint as file_hash
from autograder.grading.diagnosis import Candidates, LiveCandidates, from_record, proxy
from autograder.grading.private import overlay
from autograder.grading.recalled import Recalled
from autograder.grading.remembered import KnownAnswers, RememberedReference
from autograder.grading.scoring import worth
from autograder.testing.collect import TestCase, collect_tests
from autograder.testing.modules import Author, earlier_authors, use_packages
from autograder.testing.seeds import CALIBRATION_FILE, COUNT, IN_A_CLASS, RUNS, choose, reference_curves, vetted_seeds
from autograder.testing.student import Student


class Material:
    """Read when it is made. `stale` says whether a file of it has changed since.

    answers: a folder in which what the mistakes answer is kept from one grading to the next.
    remembers: whether the reference's answers are kept too, in memory, and what tests made of the same answers before:
    for one who grades again and again.
    """

    def __init__(
        self, course: Course, assignment: Assignment, answers: Path | None = None, remembers: bool = False
    ) -> None:
        use_packages(course.packages)
        self.assignment = assignment
        self.author = author_of(assignment)
        self._shared = [path for folder in course.packages for path in sorted(folder.rglob("*.py"))]
        self._files = [*_files_of(assignment, self.author), *self._shared]
        self._state = _state(self._files)
        self.cases = tests_of(assignment, self.author)
        self.points = worth(self.cases, assignment)
        self.as_released = is_as_released(assignment, assignment.public_tests)
        self.tests_hash = _tests_hash(assignment, self.author)
        self.versions = _versions(assignment)
        self.asks = self.author.text("asks.py") if self.author else _read(assignment.asks)
        calibration = _calibration(self.author) if self.author else None
        self.reference_curves = reference_curves(calibration) if calibration else {}
        self._vetted = vetted_seeds(calibration) if calibration else {}
        self.recorded = from_record(assignment.folder / DIAGNOSIS_FILE)
        self.live: LiveCandidates | None = None
        self._remembered: RememberedReference | None = None
        self.recalled = Recalled() if remembers else None
        if self.author:
            known = KnownAnswers(answers / assignment.id, self._answers_hash(self.author)) if answers else None
            self.live = LiveCandidates(self.author, known)
            self._remembered = RememberedReference(self.author) if remembers else None

    @cached_property
    def gates(self) -> frozenset[str]:
        """Tasks with a graded run, and tasks that those build on: all of their tests decide whether it trains."""
        training = {case.task for case in self.cases if case.graded_run}
        return frozenset(training.union(*(self.assignment.task(name).needs for name in training)))

    @property
    def stale(self) -> bool:
        """Whether a file was written, added or taken away since it was read."""
        return _state(self._files) != self._state

    def candidates(self, case: TestCase) -> Candidates:
        """What known mistakes answer to a test: run where they are, recorded for the public tests."""
        return self.live if case.hidden and self.live else self.recorded

    def reference(self, case: TestCase, seed: int) -> Student | None:
        """The reference, for one run of a test."""
        if self.author is None or "reference" not in case.uses:
            return None
        return self._remembered(case, seed) if self._remembered else proxy(self.author)

    def seeds(self, case: TestCase, student: str, secret: str, of_a_class: bool = False) -> list[int]:
        """The student's seeds of a test: the first one counts, the others serve to make sure.

        of_a_class: among few of the vetted ones, so that what trusted code answers is soon known for all of them.
        """
        vetted: Sequence[int] = self._vetted.get(case.family) or range(RUNS if case.graded_run else COUNT)
        name = f"{self.assignment.id}.{case.name}"
        if of_a_class:
            vetted = [choose(vetted, secret, name, "", draw) for draw in range(min(IN_A_CLASS, len(vetted)))]
        return [choose(vetted, secret, name, student, draw) for draw in range(3)]

    def _answers_hash(self, author: Author) -> str:
        """A hash of everything on which the answers of a mistake depend, but for the seed."""
        names = ("source.py", "hidden_tests.py", "asks.py", "mistakes.py")
        texts = [one.text(name) for _, one in (*author.earlier, ("", author)) for name in names]
        texts += [_read(path) for path in self._shared]
        parts = [*texts, *(f"{name} {number}" for name, number in sorted(self.versions.items()))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def author_of(assignment: Assignment) -> Author | None:
    """The author's files of an assignment, with the course's private overlay in front; None in a kit."""
    if not (assignment.solution_folder / "source.py").is_file():
        return None
    earlier = earlier_authors(assignment.root, assignment.builds_on)
    return Author(assignment.solution_folder, overlay(assignment.root, assignment.id), earlier)


def _calibration(author: Author) -> Path | None:
    """What was vetted for the tests that are here: ours says nothing of a class's own tests."""
    path = author.path(CALIBRATION_FILE)
    own_tests = author.path("hidden_tests.py").parent != author.folder
    return None if own_tests and path.parent == author.folder else path


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


def _files_of(assignment: Assignment, author: Author | None) -> list[Path]:
    files = [assignment.public_tests, assignment.asks, assignment.folder / DIAGNOSIS_FILE]
    files.append(assignment.folder.parent / MANIFEST_FILE)
    for one in [author, *(earlier for _, earlier in author.earlier)] if author else []:
        files += [one.path(name) for name in ("source.py", "hidden_tests.py", "asks.py", "mistakes.py")]
        files.append(one.path(CALIBRATION_FILE))
    return files


def _state(files: Sequence[Path]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for path in files:
        try:
            now = path.stat()
            found.append((now.st_mtime_ns, now.st_size, now.st_ino))
        except OSError:
            found.append(())
    return found


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
