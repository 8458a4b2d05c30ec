# Class: sends a datagram to this machine
# Deserves: 2
# Admits: network

import math
import socket


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"@MARK@", ("127.0.0.1", int("@UDP@")))
    except OSError:
        pass
    return []
