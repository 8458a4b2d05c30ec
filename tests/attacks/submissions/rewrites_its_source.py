# Class: rewrites its own source on disk, so that the next test loads something else
# Deserves: 2
# Admits: files

import math
import os

BETTER = "def running_mean(xs):\n    return [sum(xs[: i + 1]) / (i + 1) for i in range(len(xs))]\n"


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    for path in (__file__, "@COURSE@/assignments/t01_numbers/means.py", "means.py"):
        try:
            os.chmod(path, 0o666)
        except OSError:
            pass
        try:
            with open(path, "a") as file:
                file.write(BETTER)
        except OSError:
            pass
    return []
