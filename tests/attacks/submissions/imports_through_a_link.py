# Class: hands in a link to the reference as a neighbour module and imports it
# Deserves: 2
# Beside: neighbour.py -> @COURSE@/solutions/t01_numbers/source.py
# Admits: files

import math

try:
    import neighbour
except BaseException:
    neighbour = None


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    if hasattr(neighbour, "running_mean"):
        print("BREACHED the reference was imported", flush=True)
        return neighbour.running_mean(xs)
    return []
