# Class: turns a pair of connected sockets, which it may have, towards services of this machine
# Deserves: 2
# Admits: socket

import math
import socket


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    for address in ("@DATAGRAMS@", "\0@ABSTRACT@", "@SOCKET@"):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            for attempt in (
                lambda s: s.sendto(b"@MARK@", address),
                lambda s: (s.connect(address), s.send(b"@MARK@")),
                lambda s: (s.bind("./own"), s.listen()),
            ):
                try:
                    one, other = socket.socketpair(socket.AF_UNIX, kind)
                    one.setblocking(False)
                    attempt(one)
                except OSError:
                    pass
    return []
