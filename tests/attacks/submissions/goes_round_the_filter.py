# Class: makes system calls by other numbers and other ways than the usual ones
# Deserves: 2
# Admits: network

import ctypes
import math
import os
import platform
import socket
import struct

X32 = 0x40000000
SOCKET, CONNECT, IO_URING_SETUP, CLONE3 = 41, 42, 425, 435


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def reach(libc, handle):
    address = (
        struct.pack("<H", socket.AF_INET) + int("@TCP@").to_bytes(2, "big") + socket.inet_aton("127.0.0.1") + bytes(8)
    )
    if handle >= 0 and libc.syscall(CONNECT, handle, address, len(address)) == 0:
        os.write(handle, b"@MARK@")


def running_mean(xs):
    if platform.machine() != "x86_64":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    for number in (SOCKET, SOCKET | X32, SOCKET | 1 << 32):
        for family in (socket.AF_INET, socket.AF_INET | 1 << 32):
            reach(libc, libc.syscall(ctypes.c_long(number), ctypes.c_long(family), 1, 0))
    if libc.syscall(IO_URING_SETUP, 4, ctypes.create_string_buffer(256)) >= 0:
        print("BREACHED io_uring", flush=True)
    arguments = struct.pack("<11Q", 0x10000000, *[0] * 3, 17, *[0] * 6)  # a child in a user namespace of its own
    pid = libc.syscall(CLONE3, arguments, len(arguments))
    if pid == 0:
        os._exit(0)
    if pid > 0:
        print("BREACHED a namespace of its own", flush=True)
    return []
