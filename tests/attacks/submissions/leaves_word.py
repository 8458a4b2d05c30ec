# Class: leaves files for the next test and the next submission
# Deserves: 2
# Lasts: yes

import math
import os

PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", ".", "..", os.environ.get("TMPDIR", "."), "@COURSE@")


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    for place in PLACES:
        try:
            with open(os.path.join(place, "@MARK@"), "w") as file:
                file.write("BREACHED a word was left")
            os.chmod(file.name, 0o666)
        except OSError:
            pass
    try:
        from multiprocessing.shared_memory import SharedMemory

        SharedMemory("@MARK@", create=True, size=64)
    except OSError:
        pass
    return []
