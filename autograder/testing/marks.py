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


MARKS = (
    "task(name): the task that a test counts for",
    "weight(value): the test's share of its task's points, 1 by default",
    "needs(*tests): tests of the same task that must pass before this one is worth points",
)
