# Class: reads or lists the hidden tests and the mistakes
# Deserves: 2
# Admits: files

import math
import os


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    folder = "@COURSE@/solutions/t01_numbers"
    for name in ("hidden_tests.py", "mistakes.py", "asks.py", "calibration.json"):
        for way in (os.path.join(folder, name), os.path.join("/proc/self/root", folder.lstrip("/"), name)):
            try:
                print("BREACHED", open(way).read(), flush=True)
            except OSError:
                pass
    for place in (folder, "@COURSE@", "@COURSE@/solutions"):
        try:
            print("BREACHED", os.listdir(place), flush=True)
        except OSError:
            pass
    return []
