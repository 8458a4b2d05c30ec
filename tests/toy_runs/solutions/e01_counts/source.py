# %% [markdown] assignment="e01_counts" title="Best of several" module="counts" requires="" summary="One maximum."
# # Best of several
# You write one function, which the next assignment imports.

# %%
from collections.abc import Sequence

# %% [markdown] task="best"
# ## best
# `best(xs)` is the place of the largest number, the first one on ties. No numbers: raise `ValueError`.


# %% task="best" points=1 minutes=5
def best(xs: Sequence[float]) -> int:
    """The place of the largest number."""
    ### BEGIN SOLUTION
    if not xs:
        raise ValueError("there is no best of nothing")
    return max(range(len(xs)), key=lambda i: xs[i])
    ### END SOLUTION


# %% [markdown] hints="best"
# 1. What is the largest number?
# 2. `max` takes a key.
# 3. Ask `max` for the place, with the number as its key.

# %% tests="best"
from autograder.testing import task


@task("best")
def test_three_numbers(student):
    """The largest of 1, 5, 2 stands at place 1."""
    student.best([1.0, 5.0, 2.0]).equals(1)
