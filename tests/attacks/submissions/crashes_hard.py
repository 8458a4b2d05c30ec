# Class: brings the interpreter down at the machine's level
# Deserves: 2
# Lasts: yes

import ctypes
import math


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    ctypes.string_at(0)
