# Class: answers with array subclasses and array protocols that lie
# Deserves: 2

import math

import numpy as np


class A(np.ndarray):
    __array_priority__ = 1e9

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return True

    def __array_function__(self, func, types, args, kwargs):
        return True

    def __eq__(self, other):
        return np.ones(3, bool)

    @property
    def shape(self):
        return (3,)

    dtype = property(lambda self: np.dtype("float64"))
    tobytes = astype = lambda self, *a, **k: b"\0" * 8
    size = itemsize = property(lambda self: 2**60)


class P:
    __array_interface__ = {"shape": (3,), "typestr": "<f8", "data": (8, True), "version": 3}


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    zeros = np.zeros(len(xs)).view(A)
    structured = np.zeros(3, dtype=[("a", "f8"), ("b", "O")])
    return (zeros, structured, P(), np.array([object()]), list(zeros), np.float64("nan"))[len(xs) % 6]
