"""What a batch leaves on disk: a report for each submission, and a journal of what each report was made from.

    OUT/reports/STUDENT/ASSIGNMENT.json    the report, written whole or not at all
    OUT/journal.jsonl                      one line for each report that is there
    OUT/refused.json                       what was handed in and belongs to nobody

A batch that was killed goes on from here: a report counts while the journal says that it was made from what is there
today.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from autograder import __version__
from autograder.classroom.places import Refused
from autograder.classroom.submissions import HandedIn
from autograder.course import Assignment, Course
from autograder.files import disk_in_words, read_json, write_json
from autograder.grading.material import author_of
from autograder.grading.private import secret_of
from autograder.report import Report


class Records:
    """The reports of a class in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keys = dict(self._read_journal())

    def path(self, student: str, assignment: str) -> Path:
        return self.folder / "reports" / student / f"{assignment}.json"

    def load(self, student: str, assignment: str) -> Report | None:
        """The report, or None; a damaged one is set aside and made again."""
        return _report(self.path(student, assignment))

    def partial(self, student: str, assignment: str) -> Report | None:
        """What was known when a batch was killed after a training."""
        return _report(self.path(student, assignment).with_suffix(".partial"))

    def made_from(self, student: str, assignment: str, key: str) -> Report | None:
        """The report, if it is there and was made from what `key` stands for."""
        return self.load(student, assignment) if self._keys.get((student, assignment)) == key else None

    def save_partial(self, report: Report) -> None:
        write_json(self.path(report.student, report.assignment).with_suffix(".partial"), report.to_json())

    def save(self, report: Report, key: str) -> None:
        """The report first, then the journal: whoever is killed between the two grades once more, to the same end."""
        path = self.path(report.student, report.assignment)
        write_json(path, report.to_json())
        path.with_suffix(".partial").unlink(missing_ok=True)
        journal = self.folder / "journal.jsonl"
        with disk_in_words(journal), journal.open("a+b") as file:
            if file.tell() and not _ends_well(file):
                file.write(b"\n")
            line = {"student": report.student, "assignment": report.assignment, "key": key}
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
        self._keys[(report.student, report.assignment)] = key

    def all(self, assignment: str = "") -> Iterator[Report]:
        """Every report that is there, by student."""
        for path in sorted((self.folder / "reports").glob(f"*/{assignment or '*'}.json")):
            if (report := _report(path)) is not None:
                yield report

    def save_refused(self, refused: Iterable[Refused]) -> None:
        found = [{"name": each.name, "problem": each.problem} for each in refused]
        write_json(self.folder / "refused.json", {"refused": found})

    def forget_keys(self) -> None:
        """From now on no report counts as made; each stays until a new one takes its place."""
        self._keys.clear()

    def forget(self, student: str) -> bool:
        """Deletes all that is kept here of a student."""
        folder = self.folder / "reports" / student
        there = folder.is_dir() and folder.parent == self.folder / "reports"
        with disk_in_words(folder):
            for each in [folder, self.folder / "feedback" / student] if there else []:
                shutil.rmtree(each, ignore_errors=True)
            lines = [{"student": s, "assignment": a, "key": k} for (s, a), k in self._keys.items() if s != student]
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            (self.folder / "journal.jsonl").write_text(text, encoding="utf-8")
        return there

    def _read_journal(self) -> Iterator[tuple[tuple[str, str], str]]:
        """Later lines win; a line that was cut by a kill says nothing."""
        try:
            lines = (self.folder / "journal.jsonl").read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                said = json.loads(line)
                yield (said["student"], said["assignment"]), said["key"]
            except (ValueError, KeyError, TypeError):
                continue


def _ends_well(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _report(path: Path) -> Report | None:
    data, _ = read_json(path)
    try:
        return Report.from_json(data) if data else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def course_key(course: Course, assignment: Assignment) -> str:
    """A hash of everything of the course's on which a report depends."""
    author = author_of(assignment)
    names = ("source.py", "hidden_tests.py", "asks.py", "mistakes.py", "calibration.json")
    files = [author.path(name) for name in names] if author else []
    files += [assignment.public_tests, assignment.asks, assignment.folder / ".assignment.json"]
    files += [course.root / "solutions" / "course.toml", course.root / "constraints.txt"]
    files += [path for folder in course.packages for path in sorted(folder.rglob("*.py"))]
    parts = [path.read_bytes() if path.is_file() else b"" for path in files]
    said = [__version__.encode(), secret_of(course).encode()]
    return hashlib.sha256(b"\0".join([*said, *parts])).hexdigest()


def key_of(of_course: str, handed_in: HandedIn, earlier: Iterable[Any]) -> str:
    """A hash of everything on which one report depends."""
    parts = [of_course, handed_in.student, handed_in.assignment, handed_in.content, *map(repr, earlier)]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def differences(before: Mapping[tuple[str, str], Report], now: Mapping[tuple[str, str], Report]) -> list[str]:
    """A line for each submission whose points are others now, with the tests that made it so."""
    lines = []
    for key in sorted(before.keys() & now.keys()):
        older, newer = before[key], now[key]
        if abs(older.points - newer.points) < 1e-9:
            continue
        was = {test.id: test.outcome for test in older.tests}
        other = [t.id for t in newer.tests if t.max_points and was.get(t.id, "absent") != t.outcome]
        lines.append(f"{key[0]} {key[1]}: {older.points:g} -> {newer.points:g}  {', '.join(other[:4])}")
    return lines
