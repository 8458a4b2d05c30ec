"""Wrong implementations of t01_numbers, each with what it looks like."""

import math

from reference import mean

from autograder.testing import mistake


@mistake(
    "mean",
    seen="Your mean grows with the length of the list.",
    named="This equals the sum, without the division by the count.",
    caught_by="test_the_mean_of_many",
)
def sum_for_mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs)


@mistake(
    "mean",
    seen="What is the mean of no numbers at all?",
    named="This equals a mean that answers 0 for an empty list.",
    caught_by="test_no_numbers_no_mean",
)
def empty_is_zero(xs):
    return mean(xs) if xs else 0.0


@mistake(
    "mean",
    seen="The list that you were given came back in another order.",
    named="This equals a mean that sorts the caller's list first.",
    caught_by="test_the_mean_of_many",
)
def sorts_the_list(xs):
    xs.sort()
    return mean(xs)


@mistake(
    "running_mean",
    seen="Your first entries are too close to zero.",
    named="This equals dividing each partial sum by the length of the whole list.",
    caught_by=("test_the_means_of_the_beginnings", "test_two_calls_do_not_share"),
)
def divides_by_the_whole(xs):
    return [math.fsum(xs[: k + 1]) / len(xs) for k in range(len(xs))]


@mistake(
    "running_mean",
    seen="Your last entry is missing.",
    named="This equals a loop that ends one count early.",
    caught_by="test_the_means_of_the_beginnings",
    twin="drops_the_last_mean",
)
def one_count_early(xs):
    return [mean(xs[:count]) for count in range(1, len(xs))]


@mistake(
    "running_mean",
    seen="Your last entry is missing.",
    named="This equals the right answer without its last entry.",
    caught_by="test_the_means_of_the_beginnings",
)
def drops_the_last_mean(xs):
    return [mean(xs[: k + 1]) for k in range(len(xs))][:-1]


remembered = []


@mistake(
    "running_mean",
    seen="Your second answer still holds the first.",
    named="This equals a list that is made once and shared by all calls, as a default argument would be.",
    caught_by="test_two_calls_do_not_share",
    remembers=True,
)
def shared_list(xs, means=remembered):
    for count in range(1, len(xs) + 1):
        means.append(mean(xs[:count]))
    return list(means)
