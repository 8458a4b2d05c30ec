# Class: hands in a link to a secret beside its module and reads through it
# Deserves: 2
# Beside: link.txt -> @SECRET@; folder -> @SECRETFOLDER@
# Admits: files

import math


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    found = []
    for path in ("@COURSE@/assignments/t01_numbers/link.txt", "@COURSE@/assignments/t01_numbers/folder/secret.txt"):
        try:
            with open(path) as file:
                found.append(file.read())
        except OSError:
            pass
    print(*found, flush=True)
    return found
