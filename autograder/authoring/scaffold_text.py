"""The files of a new assignment: one small task that releases and verifies as it stands, to be written over."""

from __future__ import annotations

SOURCE = '''\
# %% [markdown] assignment="$id" title=$title module="$module" requires="" summary=$title
# Say here in two sentences what this assignment is about and why it is worth an evening. What follows is an example
# task: write yours over it.

# %%
import math

# %% [markdown] task="running_sum"
# ## The running sum
# Entry `k` is the sum of the first `k + 1` numbers, so `[1, 3, 8]` becomes `[1, 4, 12]`. The running sum of an empty
# list is an empty list.

# %% task="running_sum" points=2 minutes=10
def running_sum(xs: list[float]) -> list[float]:
    """The sums of the first 1, 2, ..., len(xs) numbers. The list is left as it was."""
    ### BEGIN SOLUTION
    return [math.fsum(xs[: k + 1]) for k in range(len(xs))]
    ### END SOLUTION


# %% [markdown] hints="running_sum"
# 1. Write down the running sum of [4, 2] by hand. Where does each number come from?
# 2. Entry k looks at a slice of the list: which one?
# 3. For each k in `range(len(xs))`, add up `xs[: k + 1]`.

# %% tests="running_sum"
from autograder.testing import task


@task("running_sum")
def test_a_list_by_hand(student):
    """Entry k is the sum of the first k + 1 numbers."""
    student.running_sum([1.0, 3.0, 8.0]).equals([1.0, 4.0, 12.0], rtol=1e-12)
'''

HIDDEN_TESTS = '''\
"""Hidden tests of $id: they earn the points."""

import random

from autograder.testing import needs, task, weight


def numbers(seed, count=6):
    """Positive numbers, none of them small, so that no wrong sum comes close to a right one."""
    draw = random.Random(seed)
    return [draw.uniform(1, 9) for _ in range(count)]


@task("running_sum")
@weight(3)
def test_the_sums_of_the_beginnings(student, reference, seed):
    """Entry k is the sum of the first k + 1 numbers."""
    xs = numbers(seed)
    student.running_sum(xs).equals(reference.running_sum(xs), rtol=1e-12)  # six additions stay within 1e-14


@task("running_sum")
@needs("test_the_sums_of_the_beginnings")
def test_no_numbers_no_sums(student):
    """The running sum of an empty list is an empty list."""
    student.running_sum([]).equals([])
'''

ASKS = '''\
"""What the tests of $id ask beyond a plain call. Each ask runs beside the student's code and returns plain data.

def name(student, *data): ...      is asked with student.ask(name, *data)
"""
'''

MISTAKES = '''\
"""Wrong implementations of $id, each with what it looks like: they test the tests, and explain wrong answers."""

from autograder.testing import mistake


@mistake(
    "running_sum",
    seen="Your first entry is zero, whatever the list.",
    named="This equals the sums of the numbers before each place, without the one that stands there.",
    caught_by="test_the_sums_of_the_beginnings",
)
def leaves_out_its_own(xs):
    return [float(sum(xs[:k])) for k in range(len(xs))]


@mistake(
    "running_sum",
    seen="Your sums stop growing after the second entry.",
    named="This equals the sum of each number and the one before it only.",
    caught_by="test_the_sums_of_the_beginnings",
)
def adds_two_neighbours(xs):
    return [float(sum(xs[max(0, k - 1) : k + 1])) for k in range(len(xs))]
'''

ALTERNATIVES = '''\
"""Other right implementations of $id: they must pass every test."""

import itertools

from autograder.testing import alternative


@alternative("running_sum", note="partial sums from the standard library")
def accumulated(xs):
    return list(itertools.accumulate(xs))
'''

QUIZ = """\
# Concept questions. They carry no points: every choice explains itself. `answer` is the letter of the right choice.

[[questions]]
question = "The running sum of a list ends in 12. You append a 3. What does it end in now?"
choices = ["15", "3", "12"]
answer = "a"
explanations = [
    "Right: the last entry is the sum of everything, and 3 was added.",
    "That is the new number alone; the earlier ones still count.",
    "Only a zero would leave the last entry as it was.",
]
"""

FILES = {
    "source.py": SOURCE,
    "hidden_tests.py": HIDDEN_TESTS,
    "asks.py": ASKS,
    "mistakes.py": MISTAKES,
    "alternatives.py": ALTERNATIVES,
    "quiz.toml": QUIZ,
}
