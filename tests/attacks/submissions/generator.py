# Class: answers with a generator, a class, a module or a lock
# Deserves: 2

import math
import sys
import threading


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    def endless():
        while True:
            yield 0.0

    return (endless(), sys, threading.Lock(), type, endless, memoryview(b"123"), iter(xs))[len(xs) % 7]
