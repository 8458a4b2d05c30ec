"""Wrong implementations of t02_lists, each with what it looks like."""

from autograder.testing import mistake


@mistake(
    "Tally",
    seen="Your tally keeps Tea and tea apart.",
    named="This equals a tally that uses each word as it was typed.",
    caught_by="test_random_words_are_counted",
)
class case_matters:  # noqa: N801 - a mistake's name is its id
    def __init__(self):
        self.counts = {}

    def add(self, word):
        self.counts[word] = self.counts.get(word, 0) + 1

    def count(self, word):
        return self.counts.get(word, 0)


@mistake(
    "centre",
    seen="The caller's list is as it was.",
    named="This equals a function that centres a new list and lets go of it.",
    caught_by="test_random_lists_are_centred",
)
def centres_a_copy(xs):
    middle = sum(xs) / len(xs) if xs else 0.0
    xs = [x - middle for x in xs]
