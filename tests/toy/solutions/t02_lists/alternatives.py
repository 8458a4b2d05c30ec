"""Other right implementations of t02_lists."""

from collections import Counter

from autograder.testing import alternative


@alternative("Tally", note="a Counter from the standard library")
class with_counter:  # noqa: N801 - an alternative's name is its id
    def __init__(self):
        self.counter = Counter()

    def add(self, word):
        self.counter[word.casefold()] += 1

    def count(self, word):
        return self.counter[word.casefold()]


@alternative("centre", note="number by number")
def by_index(xs):
    middle = sum(xs) / max(1, len(xs))
    for i in range(len(xs)):
        xs[i] -= middle
