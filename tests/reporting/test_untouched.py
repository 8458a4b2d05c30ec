"""A stub that nobody touched is called so, also where its training waits for the tests above it."""

import pytest

from autograder.learner.next_step import tried
from autograder.report import NOT_WRITTEN, TaskResult, TestResult
from autograder.reporting.style import unwritten


def task(*ends):
    tests = tuple(
        TestResult(f"t01.train.test_{number}", "train", True, outcome, "It learns.", reason=reason)
        for number, (outcome, reason) in enumerate(ends)
    )
    return TaskResult("train", "train", 0.0, 4.0, tests)


@pytest.mark.parametrize(
    ("ends", "untouched"),
    [
        ([("failed", NOT_WRITTEN), ("blocked", "it waits"), ("skipped", "no library")], True),
        ([("failed", NOT_WRITTEN), ("failed", "3 is not 4"), ("blocked", "it waits")], False),
    ],
)
def test_training_that_waits_makes_no_stub_a_failure(ends, untouched):
    assert unwritten(task(*ends)) is untouched
    assert tried(task(*ends)) is not untouched
