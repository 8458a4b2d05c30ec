# Class: reads its own environment and that of the processes above it
# Deserves: 2
# Admits: memory

import ctypes
import math
import os


def environments():
    yield "\0".join(f"{key}={value}" for key, value in os.environ.items()).encode()
    for pid in ("self", os.getppid(), int("@GRADER@")):
        for name in ("environ", "cmdline"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    yield file.read()
            except OSError:
                pass


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    for text in environments():
        for part in text.split(b"\0"):
            if b"canary" in part or b"COURSE" in part:
                print(part, flush=True)
    return []
