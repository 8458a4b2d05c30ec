# Class: writes forged answers into every open file descriptor, while loading and in a call
# Deserves: 0
# Lasts: yes

import os
import struct


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


for claimed in (b"A", b"R", b"Z", b"P", b"C"):
    everywhere(forged(claimed, value=1.0))


def mean(xs):
    everywhere(forged(said=("passed", "", (), "", "")))
    everywhere(b'{"outcome": "passed"}\n' * 10)
    return 1.0


def running_mean(xs):
    everywhere(os.urandom(4096))
    return []
