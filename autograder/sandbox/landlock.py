"""Landlock: the kernel lets a process give up files, network and signals for itself and all it starts, for good.

Stops: reading or changing any file outside the listed folders (Linux 5.13), TCP (6.7), signals to and abstract sockets
of processes outside (6.12); tracing or reading the memory of any process outside.
Does not stop: UDP, files that were open before, looking at names and times of files (stat), the use of memory or time.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from autograder.sandbox.system import LINUX, renounce_privileges, system_call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_READING = _EXECUTE | _READ_FILE | _READ_DIR
_FOR_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_TCP = 1 | 2
_SIGNALS_AND_ABSTRACT_SOCKETS = 1 | 2


def version() -> int:
    """The kernel's Landlock ABI: 0 where there is none, 4 with TCP, 6 with signals."""
    return max(system_call(_CREATE_RULESET, None, 0, _GET_VERSION), 0) if LINUX else 0


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    """From here on this process and its descendants reach these paths only. False, and nothing done, without Landlock.

    Paths that do not exist are left out. A failure after the start raises OSError: half a wall is no wall.
    """
    abi = version()
    if abi == 0:
        return False
    every = _every_file_right(abi)
    attributes = struct.pack("<QQQ", every, _TCP if abi >= 4 else 0, _SIGNALS_AND_ABSTRACT_SOCKETS if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _checked(system_call(_CREATE_RULESET, _buffer(attributes[:size]), size, 0))
    try:
        for path in readable:
            _allow(ruleset, path, _READING & every)
        for path in writable:
            _allow(ruleset, path, every)
        if not renounce_privileges():
            raise OSError("no_new_privs was denied")
        _checked(system_call(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _every_file_right(abi: int) -> int:
    rights = (1 << 13) - 1
    rights |= _REFER if abi >= 2 else 0
    rights |= _TRUNCATE if abi >= 3 else 0
    return rights | (_IOCTL_DEVICE if abi >= 5 else 0)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= _FOR_FILES
        _checked(system_call(_ADD_RULE, ruleset, _PATH_BENEATH, _buffer(struct.pack("<Qi", rights, handle)), 0))
    finally:
        os.close(handle)


def _buffer(data: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(data, len(data))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(-result, f"Landlock: {os.strerror(-result)}")
    return result
