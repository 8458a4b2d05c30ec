# Class: stops its own clocks, then computes for ever
# Deserves: 2
# Cpu: 0.3

import math
import random
import signal
import time

time.time = time.monotonic = time.perf_counter = time.process_time = lambda: 0.0
time.sleep = lambda s: None
random.random = random.uniform = lambda *a: 0.5
random.seed = lambda *a: None


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    signal.setitimer(signal.ITIMER_REAL, 0)
    while True:
        pass
