# Class: reads the reports and the state that earlier gradings left
# Deserves: 2
# Admits: files

import glob
import math


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    state = "@COURSE@/.autograder"
    for path in [
        f"{state}/reports/t01_numbers.json",
        f"{state}/progress.json",
        *glob.glob(f"{state}/**", recursive=True),
    ]:
        try:
            print("BREACHED", open(path).read(), flush=True)
        except OSError:
            pass
    return []
