# %% [markdown] assignment="t02_lists" title="Tallies" module="lists" requires="" summary="A class that counts, and a function that works in place." cpu_seconds=2
# # Tallies and centring
# Two small things: a class that keeps count, and a function that changes the list it is given.

# %% [markdown] task="Tally"
# ## `Tally`
# A tally counts words. It counts upper and lower case as one.

# %% task="Tally" points=2 minutes=10
class Tally:
    """Counts words, whatever their case."""

    def __init__(self) -> None:
        ### BEGIN SOLUTION
        self.counts: dict[str, int] = {}
        ### END SOLUTION

    def add(self, word: str) -> None:
        """Counts `word` once more."""
        ### BEGIN SOLUTION
        key = word.lower()
        self.counts[key] = self.counts.get(key, 0) + 1
        ### END SOLUTION

    def count(self, word: str) -> int:
        """How often `word` was added."""
        ### BEGIN SOLUTION
        return self.counts.get(word.lower(), 0)
        ### END SOLUTION


# %% [markdown] hints="Tally"
# 1. What must a tally remember between two calls?
# 2. A dictionary from word to count, made in `__init__`. Which spelling is its key?
# 3. Use `word.lower()` as the key, and `.get(key, 0)` where it may be missing.

# %% tests="Tally"
from asks import counts_of

from autograder.testing import task


@task("Tally")
def test_a_word_is_counted_whatever_its_case(student):
    """A word added three times, in any case, is counted three times."""
    student.ask(counts_of, ["Tea", "tea", "TEA", "cup"], ["tea", "cup", "pot"]).equals([3, 1, 0])


# %% [markdown] task="centre"
# ## `centre`
# Moves all numbers of a list, in place, so that their sum is zero. Returns nothing.


# %% task="centre" points=1 minutes=5
def centre(xs: list[float]) -> None:
    """Subtracts the mean of `xs` from each of its numbers, in place."""
    ### BEGIN SOLUTION
    middle = sum(xs) / len(xs) if xs else 0.0
    xs[:] = [x - middle for x in xs]
    ### END SOLUTION


# %% [markdown] hints="centre"
# 1. What is the difference between changing a list and making a new one?
# 2. `xs = [...]` gives the name to a new list; the caller keeps the old one.
# 3. Work out the mean first, then assign the list of all `x - mean` to `xs[:]`.


# %% tests="centre"
@task("centre")
def test_the_given_list_is_changed(student):
    """The list itself is changed, and its sum is then zero."""
    answer = student.centre.in_place([1.0, 2.0, 6.0])
    answer.equals(None)
    (xs,), _ = answer.arguments
    assert xs == [-2.0, -1.0, 3.0], "the list does not hold the centred numbers"
