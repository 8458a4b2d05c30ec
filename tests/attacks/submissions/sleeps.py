# Class: sleeps for ever
# Deserves: 2
# Cpu: 0.2

import math
import time


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    while True:
        try:
            time.sleep(1e6)
        except BaseException:
            continue
