# Class: connects to services of this machine by Unix sockets, abstract and in the file tree
# Deserves: 2
# Admits: socket

import math
import socket


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    for address in ("\0@ABSTRACT@", "@SOCKET@"):
        try:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(address)
            connection.sendall(b"@MARK@")
            print("BREACHED", repr(address), flush=True)
        except OSError:
            pass
    return []
