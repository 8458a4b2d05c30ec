"""Counts over a class's reports: which test, and which recognised mistake, failed for how many; and the time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from autograder.report import Report


@dataclass
class TestCount:
    """One test over the class."""

    __test__ = False

    id: str
    sentence: str
    asked: int = 0
    failed: int = 0
    mistakes: dict[str, int] = field(default_factory=dict)
    """How often each known mistake was recognised in it, by id."""


@dataclass
class Counted:
    """A class in numbers."""

    submissions: int = 0
    not_graded: int = 0
    points: list[float] = field(default_factory=list)
    """The share of the points that each graded submission got."""
    cpu_seconds: float = 0.0
    tests: list[TestCount] = field(default_factory=list)
    mistakes: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By assignment, task and id: what it equals, and for how many students it was recognised."""


def count(reports: Iterable[Report]) -> Counted:
    """The counts, worst tests first. Public tests ran only where something failed, so few were asked them."""
    found = Counted()
    tests: dict[str, TestCount] = {}
    for report in reports:
        found.submissions += 1
        found.cpu_seconds += report.cpu_seconds
        if not report.tests:
            found.not_graded += 1
            continue
        found.points.append(report.points / report.max_points if report.max_points else 0.0)
        met: dict[str, str] = {}
        for test in (test for test in report.tests if test.outcome != "skipped"):
            one = tests.setdefault(test.id, TestCount(test.id, test.sentence))
            one.asked += 1
            one.failed += test.outcome != "passed"
            if test.mistake:
                one.mistakes[test.mistake.id] = one.mistakes.get(test.mistake.id, 0) + 1
                met[f"{report.assignment}.{test.task}.{test.mistake.id}"] = test.mistake.named
        for name, said in met.items():
            found.mistakes[name] = (said, found.mistakes.get(name, ("", 0))[1] + 1)
    found.tests = sorted(tests.values(), key=lambda one: (-one.failed, one.id))
    found.mistakes = dict(sorted(found.mistakes.items(), key=lambda item: (-item[1][1], item[0])))
    return found
