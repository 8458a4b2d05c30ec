"""Hidden tests of e01_counts."""

import random

import pytest

from autograder.testing import task


@task("best")
@pytest.mark.parametrize("size", [7, 9])
def test_many_numbers(student, reference, seed, size):
    """The place of the largest of many numbers is found."""
    draw = random.Random(100 * seed + size)
    xs = [draw.random() for _ in range(size)]
    student.best(xs).equals(reference.best(xs))
