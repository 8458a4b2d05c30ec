"""Hidden tests of t02_lists."""

import random

from asks import counts_of

from autograder.testing import needs, task


@task("Tally")
def test_random_words_are_counted(student, reference, seed):
    """Every word is counted as often as it was added, whatever its case."""
    draw = random.Random(seed)
    words = ["tea", "Tea", "cup", "CUP", "pot"]
    added = words + [draw.choice(words) for _ in range(20)]
    student.ask(counts_of, added, ["TEA", "cup", "pot", "jug"]).equals(
        reference.ask(counts_of, added, ["TEA", "cup", "pot", "jug"])
    )


@task("centre")
def test_random_lists_are_centred(student, reference, seed):
    """The list holds its numbers minus their mean."""
    draw = random.Random(seed)
    xs = [draw.uniform(5, 9) for _ in range(6)]
    (mine,), _ = student.centre.in_place(list(xs)).arguments
    (theirs,), _ = reference.centre.in_place(list(xs)).arguments
    assert len(mine) == len(theirs), "the list has another length than before"
    assert all(abs(a - b) < 1e-12 for a, b in zip(mine, theirs, strict=True)), "the numbers are not centred"


@task("centre")
@needs("test_random_lists_are_centred")
def test_nothing_is_centred_to_nothing(student):
    """An empty list stays empty."""
    answer = student.centre.in_place([])
    answer.equals(None)
