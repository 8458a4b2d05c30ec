# Class: answers with a list of the right length that holds an integer too large for a float
# Deserves: 2

import math


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    return [10**400 + i for i in range(len(xs))]
