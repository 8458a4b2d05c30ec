# Class: answers with a list that holds itself
# Deserves: 2

import math


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    answer = [1.0]
    answer.append(answer)
    loop = {}
    loop["self"] = loop
    return answer if len(xs) % 2 else loop
