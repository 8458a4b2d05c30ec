# Class: answers with a list nested far too deep
# Deserves: 2

import math


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    answer = []
    for _ in range(100_000 if len(xs) % 2 else 64):
        answer = [answer]
    return answer
