# Class: suspends its own process, so that it neither answers nor ends
# Deserves: 2
# Lasts: yes
# Cpu: 0.2

import math
import os
import signal


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    os.kill(os.getpid(), signal.SIGSTOP)
    return []
