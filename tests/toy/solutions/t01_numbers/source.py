# %% [markdown] assignment="t01_numbers" title="Means" module="means" requires="" summary="The mean of a list, and the means of its beginnings." forbidden="statistics.mean, statistics.fmean"
# A mean is one number that stands for many. You write it once, and then use it to follow a list as it grows.

# %%
import math

# %% [markdown]
# Nothing here needs a library. `math` is imported because adding with `math.fsum` loses no digits.

# %% [markdown] task="mean"
# ## The mean
# Add all numbers up and divide by how many there are. An empty list has no mean: raise `ValueError`.


# %% task="mean" points=2 minutes=5
def mean(xs: list[float]) -> float:
    """The mean of `xs`. Raises ValueError for an empty list. The list is left as it was."""
    ### BEGIN SOLUTION
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)
    ### END SOLUTION


# %% [markdown] hints="mean"
# 1. What is the mean of one number? And of the same number twice?
# 2. You need the sum and the count. Which count makes no sense to divide by?
# 3. Raise ValueError if the list is empty; otherwise return `math.fsum(xs)`
#    divided by `len(xs)`.

# %% tests="mean"
import pytest

from autograder.testing import needs, task, weight


@task("mean")
@pytest.mark.parametrize(("xs", "expected"), [([3.0], 3.0), ([1.0, 2.0], 1.5), ([-1.0, 0.0, 4.0], 1.0)])
def test_small_means_by_hand(student, xs, expected):
    """The mean is the sum divided by the count."""
    student.mean(xs).equals(expected, rtol=1e-12)


@task("mean")
def test_an_empty_list_is_refused(student):
    """An empty list has no mean and is refused."""
    student.mean([]).refused()


# %% [markdown] task="running_mean"
# ## The running mean
# Entry `k` is the mean of the first `k + 1` numbers, so `[1, 3, 8]` becomes `[1, 2, 4]`. The running mean of an empty
# list is an empty list. Your `mean` may help.


# %% task="running_mean" points=3 minutes=10 needs="mean"
def running_mean(xs: list[float]) -> list[float]:
    """The means of the first 1, 2, ..., len(xs) numbers."""
    means = []
    ### BEGIN SOLUTION
    for count in range(1, len(xs) + 1):
        means.append(mean(xs[:count]))
    ### END SOLUTION
    return means


# %% [markdown] hints="running_mean"
# 1. Write down the running mean of [4, 2] by hand. Where does each number come from?
# 2. Entry k looks at a slice of the list: which one?
# 3. For each count from 1 to len(xs), append `mean(xs[:count])`.

# %% tests="running_mean"
from asks import running_mean_twice


@task("running_mean")
@weight(2)
def test_a_list_by_hand(student):
    """Entry k is the mean of the first k + 1 numbers."""
    student.running_mean([1.0, 3.0, 8.0]).equals([1.0, 2.0, 4.0], rtol=1e-12)


@task("running_mean")
@needs("test_a_list_by_hand")
def test_the_empty_list_stays_empty(student):
    """The running mean of an empty list is an empty list."""
    student.running_mean([]).equals([])


@task("running_mean")
def test_a_second_call_starts_afresh(student):
    """A second call answers as the first one did."""
    first, second = student.ask(running_mean_twice, [2.0, 4.0]).value
    assert first == second, "the second call gave another answer than the first"


# %%
if __name__ == "__main__":
    print(running_mean([1.0, 3.0, 8.0]))
