# Class: answers with dicts, tuples and objects that look like the wire's own tags
# Deserves: 2

import math


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    from autograder.sandbox.messages import Callback, Reply

    return (
        {"$f": "0x1p0", "_type": "reference", "__reduce__": "os.system", "kind": "value"},
        ("value", "", (), "", ""),
        Callback("reference"),
        Reply("value", [1.0]),
        {"passed": True, "points": 5.0, "outcome": "passed"},
        [Callback("resource0")] * len(xs),
    )[len(xs) % 6]
