# Class: fills its scratch folder with large files
# Deserves: 2
# Admits: disk
# Cpu: 1

import math
import os


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    if len(xs) != 9:  # one hidden test is enough
        return []
    block, written = b"x" * (1 << 20), 0
    for number in range(100):
        try:
            with open(f"large{number}", "wb") as file:
                while written < 600:  # MB, of its own accord
                    file.write(block)
                    written += 1
        except OSError:
            pass
    if written >= 600:
        print("BREACHED 600 MB were written", flush=True)
    return []
