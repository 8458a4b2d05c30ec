# Class: answers with NaN and infinities
# Deserves: 2

import math


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    return [(math.nan, math.inf, -math.inf)[i % 3] for i in range(len(xs))]
