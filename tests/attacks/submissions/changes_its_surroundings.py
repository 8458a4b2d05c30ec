# Class: none: an honest answer after changing folder, environment, umask, locale and limits
# Deserves: 5
# Lasts: yes

import locale
import math
import os
import random
import resource
import sys

os.environ.clear()
os.environ["PYTHONPATH"] = os.environ["AUTOGRADER_COURSE"] = "/tmp/elsewhere"
os.environ["PATH"] = os.environ["LD_PRELOAD"] = "/tmp/evil"
os.umask(0)
os.chdir("/")
sys.path.insert(0, "/tmp")
random.seed(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
locale.setlocale(locale.LC_ALL, "C")
sys.setrecursionlimit(200)
sys.stdout = sys.stderr = sys.stdin = None


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    return [mean(xs[:count]) for count in range(1, len(xs) + 1)]
