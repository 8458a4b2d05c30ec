# Class: computes for ever and ignores every signal
# Deserves: 2
# Lasts: yes
# Cpu: 0.3

import math
import signal
import threading

for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
try:
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
except (OSError, ValueError):
    pass


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue
