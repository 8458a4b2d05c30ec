# Class: answers with text and arrays of many megabytes
# Deserves: 2
# Cpu: 2

import math

import numpy as np


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    ways = {
        3: lambda: "x" * 60_000_000,
        4: lambda: b"z" * 66_000_000,
        7: lambda: ["y" * 10_000_000] * len(xs),
        9: lambda: np.zeros(7_000_000),
    }
    return ways.get(len(xs), list)()
