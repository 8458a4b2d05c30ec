# Class: looks for files that an earlier test or submission left
# Deserves: 2

import math
import os

PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", ".", "..", os.environ.get("TMPDIR", "."), "@COURSE@")


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    for place in PLACES:
        try:
            with open(os.path.join(place, "@MARK@")) as file:
                print(file.read(), "in", place, flush=True)
        except OSError:
            pass
    try:
        with open(os.path.join("/tmp", "@MARK@"), "w") as file:
            file.write("BREACHED a word was left")
    except OSError:
        pass
    return []
