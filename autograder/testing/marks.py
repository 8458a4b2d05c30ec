"""The marks a test carries: which task it counts for, how much, and which test must hold first."""

from __future__ import annotations

import pytest


def task(name: str) -> pytest.MarkDecorator:
    """The task that a test counts for. Every test has exactly one."""
    return pytest.mark.task(name)


def weight(value: float) -> pytest.MarkDecorator:
    """The test's share of its task's points, 1 by default. A parametrised test shares its weight among its cases."""
    return pytest.mark.weight(value)


def needs(*tests: str) -> pytest.MarkDecorator:
    """Tests of the same task that must pass before this one is worth points.

    For properties that a trivial answer satisfies: zeros are left alone by any permutation.
    """
    return pytest.mark.needs(*tests)


def graded_run(*, cpu_seconds: float) -> pytest.MarkDecorator:
    """A test in which student code trains; it takes the fixture `run`. cpu_seconds: its own limit.

    It runs once the other tests of its task hold, and not again while nothing that it depends on has changed.
    """
    return pytest.mark.graded_run(cpu_seconds=cpu_seconds)


MARKS = (
    "task(name): the task that a test counts for",
    "weight(value): the test's share of its task's points, 1 by default",
    "graded_run(cpu_seconds): student code trains in it, and the grader measures what comes out",
    "needs(*tests): tests of the same task that must pass before this one is worth points",
)
