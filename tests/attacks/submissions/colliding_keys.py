# Class: answers with a dict made to collide, and with two equal keys
# Deserves: 2

import math


class K(str):
    __hash__ = lambda self: 1
    __eq__ = lambda self, other: self is other


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    if len(xs) % 2:
        return {K("same"): 1, K("same") + "": 2, K("same"): 3}
    return {i * (2**61 - 1) + (i << 40): 0.0 for i in range(8)} | {float(i << 50): 0.0 for i in range(2000)}
