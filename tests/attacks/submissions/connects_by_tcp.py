# Class: connects to a server on this machine and to one outside
# Deserves: 2
# Admits: network

import math
import socket


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    for address in (("127.0.0.1", int("@TCP@")), ("192.0.2.1", 80)):
        try:
            with socket.create_connection(address, timeout=0.3) as connection:
                connection.sendall(b"@MARK@")
                print("BREACHED connected", flush=True)
        except OSError:
            pass
    try:
        server = socket.create_server(("127.0.0.1", 0))
        server.listen()
    except OSError:
        pass
    return []
