"""Other right implementations of t01_numbers."""

import itertools

from autograder.testing import alternative


@alternative("mean", note="adds from left to right, without math.fsum")
def plain_sum(xs):
    if len(xs) == 0:
        raise ValueError("nothing to average")
    return float(sum(xs) / len(xs))


@alternative("running_mean", note="updates the last mean instead of adding again")
def updates(xs):
    means, current = [], 0.0
    for count, x in enumerate(xs, start=1):
        current += (x - current) / count
        means.append(current)
    return means


@alternative("running_mean", note="partial sums from itertools, and a tuple")
def partial_sums(xs):
    return tuple(total / count for count, total in enumerate(itertools.accumulate(xs), start=1))
