"""What a student has read and met: hints opened, and how often each known mistake was recognised.

A recognised mistake has two sentences. `seen` (what shows) is said at once; `named` (what it equals) only after a hint
of that task was read, or on the second equal failure: the first look belongs to the student.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.course import Assignment, Course, Task
from autograder.files import read_json, write_json
from autograder.report import Recognised, Report

FILE = "progress.json"


@dataclass
class Progress:
    """Kept in `.autograder/progress.json`. Tasks are keyed "a02_attention.causal_mask"."""

    path: Path
    hints: dict[str, int] = field(default_factory=dict)
    """Hints read of each task."""
    failures: dict[str, dict[str, int]] = field(default_factory=dict)
    """Per task, how many checks met each known mistake."""
    note: str = ""
    """Said once: that the file was damaged and set aside."""

    @classmethod
    def load(cls, course: Course) -> Progress:
        path = course.state / FILE
        data, note = read_json(path)
        return cls(path, _counts(data.get("hints")), _nested_counts(data.get("failures")), note)

    def save(self) -> None:
        write_json(self.path, {"hints": self.hints, "failures": self.failures})

    def hints_read(self, assignment: Assignment | str, task: Task | str) -> int:
        return self.hints.get(key(assignment, task), 0)

    def open_hint(self, assignment: Assignment, task: Task) -> int:
        """Counts one more hint as read, up to the ladder's end; how many are read now."""
        read = min(self.hints_read(assignment, task) + 1, len(task.hints))
        self.hints[key(assignment, task)] = read
        return read

    def record(self, report: Report) -> None:
        """Counts, once a check, each mistake that was recognised in each task."""
        for name, mistake in {(t.task, t.mistake.id) for t in report.tests if t.mistake is not None}:
            counts = self.failures.setdefault(key(report.assignment, name), {})
            counts[mistake] = counts.get(mistake, 0) + 1

    def may_name(self, assignment: str, task: str, mistake: Recognised) -> bool:
        """Whether the mistake's `named` sentence is said yet."""
        again = self.failures.get(key(assignment, task), {}).get(mistake.id, 0) >= 2
        return again or self.hints_read(assignment, task) >= 1


def key(assignment: Assignment | str, task: Task | str) -> str:
    first = assignment if isinstance(assignment, str) else assignment.id
    return f"{first}.{task if isinstance(task, str) else task.name}"


def _counts(data: Any) -> dict[str, int]:
    """What of `data` is a count; a hand-edited file costs its odd entries, nothing more."""
    items = data.items() if isinstance(data, dict) else ()
    return {str(name): n for name, n in items if isinstance(n, int) and not isinstance(n, bool) and n >= 0}


def _nested_counts(data: Any) -> dict[str, dict[str, int]]:
    return {str(name): _counts(inner) for name, inner in data.items()} if isinstance(data, dict) else {}
