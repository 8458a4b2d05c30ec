"""Hidden tests of t01_numbers."""

import random

import pytest
from asks import mean_of_running_mean, running_mean_twice

from autograder.testing import needs, task, weight


def numbers(seed, count=7):
    """Numbers of both signs, in no order, with a mean far from zero."""
    draw = random.Random(seed)
    return [draw.uniform(-10, 30) for _ in range(count)]


@task("mean")
@weight(2)
def test_the_mean_of_many(student, reference, seed):
    """The mean is the sum divided by the count, and the list is left as it was."""
    xs = numbers(seed)
    student.mean(xs).equals(reference.mean(xs), rtol=1e-12)  # any order of adding seven numbers stays within 1e-14


@task("mean")
@needs("test_the_mean_of_many")
def test_adding_to_every_number_moves_the_mean(student, seed):
    """Adding 5 to every number adds 5 to the mean."""
    xs = numbers(seed)
    before, after = student.mean(xs).value, student.mean([x + 5 for x in xs]).value
    assert abs(after - before - 5) < 1e-9, "the mean did not move along with the numbers"


@task("mean")
@needs("test_the_mean_of_many")
def test_no_numbers_no_mean(student):
    """An empty list has no mean and is refused."""
    student.mean([]).refused()


@task("running_mean")
@weight(2)
@pytest.mark.parametrize("count", [2, 9])
def test_the_means_of_the_beginnings(student, reference, seed, count):
    """Entry k is the mean of the first k + 1 numbers."""
    xs = numbers(seed, count)
    student.running_mean(xs).equals(reference.running_mean(xs), rtol=1e-12)


@task("running_mean")
def test_two_calls_do_not_share(student, reference, seed):
    """A second call answers as the first one did."""
    xs = numbers(seed, 4)
    student.ask(running_mean_twice, xs).equals(reference.ask(running_mean_twice, xs), rtol=1e-12)


@task("running_mean")
@needs("test_the_means_of_the_beginnings")
def test_both_functions_together(student, reference, seed):
    """The mean of the running mean is right as well."""
    xs = numbers(seed)
    student.ask(mean_of_running_mean, xs).equals(reference.ask(mean_of_running_mean, xs), rtol=1e-12)
