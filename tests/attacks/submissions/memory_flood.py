# Class: asks for text, lists and pages without end
# Deserves: 2
# Lasts: yes

import math
import mmap
import resource


def in_steps(most=3 << 30):  # of its own accord, so that a hole in the walls harms nobody
    kept = []
    while len(kept) << 26 < most:
        kept.append(bytearray(b"x") * (1 << 26))
    print("BREACHED 3 GB were given", flush=True)


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    ways = {
        2: lambda: bytes(10**10),
        4: lambda: "x" * 10**10,
        7: lambda: [0] * 10**9,
        9: lambda: mmap.mmap(-1, 10**10).write(b"x" * 10**10),
    }
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY or len(xs) not in ways:
        return in_steps() or []
    return ways[len(xs)]()
