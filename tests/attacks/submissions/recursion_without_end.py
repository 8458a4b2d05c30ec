# Class: overflows the C stack
# Deserves: 2
# Cpu: 0.3

import math
import sys


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    sys.setrecursionlimit(2**30)
    return running_mean(list(xs))
