# Class: prints without end
# Deserves: 2
# Cpu: 0.3

import math
import os


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    noise = b"passed " * 4096
    while True:
        for stream in (1, 2):
            try:
                os.write(stream, noise)
            except OSError:
                pass
