# Class: leaves children behind, in sessions of their own, that write and answer later
# Deserves: 2
# Lasts: yes
# Admits: files

import ctypes
import math
import os
import signal
import time


def leave_behind():
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    libc = ctypes.CDLL(None)
    libc.prctl(15, b"@MARK@", 0, 0, 0)
    libc.prctl(1, 0, 0, 0, 0)
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    for _ in range(200):
        time.sleep(0.02)
        for path in (
            "@COURSE@/late",
            "@COURSE@/.autograder/reports/t01_numbers.json",
            "/tmp/@MARK@",
            "/dev/shm/@MARK@",
        ):
            try:
                with open(path, "w") as file:
                    file.write("BREACHED")
            except OSError:
                pass
        for number in range(32):
            try:
                os.write(number, b"BREACHED late\n")
            except OSError:
                pass
    os._exit(0)


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    leave_behind()
    return []
