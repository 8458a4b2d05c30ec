# Class: raises an exception whose methods and class lie, fail or never return
# Deserves: 2

import math


class Meta(type):
    def __getattribute__(cls, name):
        if name == "__name__":
            raise RuntimeError("no name")
        return type.__getattribute__(cls, name)

    def __instancecheck__(cls, other):
        return True


class Lie(Exception, metaclass=Meta):
    __module__ = property(lambda self: 1 / 0)

    def __str__(self):
        raise SystemExit(0)

    __repr__ = __str__

    @property
    def __class__(self):
        return ValueError

    @property
    def args(self):
        raise KeyboardInterrupt


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    raise Lie
