"""Who descends from whom and what they use, read from /proc; without one, a process seems to have no children."""

# These run twenty times a second, and Path costs several times as much.
# ruff: noqa: PTH116, PTH208

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from autograder.sandbox.system import LINUX, cpu_clock

_PROC = "/proc"
_TICKS = os.sysconf("SC_CLK_TCK") if LINUX else 100
_PART = 4096
_PAGE = os.sysconf("SC_PAGE_SIZE") if LINUX else 4096


def descendants(roots: Iterable[int]) -> list[int]:
    """`roots` and all that descends from them, as of now: a process that forks meanwhile is found the next time."""
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.append(pid)
            waiting.extend(children(pid))
    return found


def children(pid: int) -> list[int]:
    """The children of all threads of a process."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"{_PROC}/{pid}/task"):
            found.extend(int(child) for child in _read(f"{_PROC}/{pid}/task/{thread}/children").split())
    except FileNotFoundError:
        if LINUX and Path(f"{_PROC}/{pid}").exists():  # a kernel without the children file: look at everybody
            return [other for other in _everybody() if _parent(other) == pid]
    except OSError:
        pass
    return found


def cpu_seconds(pid: int) -> float:
    """CPU-seconds of a process and of those of its children that it has waited for."""
    fields = _stat(pid)
    return cpu_clock(pid) + (int(fields[13]) + int(fields[14])) / _TICKS if fields else 0.0


def resident_bytes(pid: int) -> int:
    try:
        return int(_read(f"{_PROC}/{pid}/statm").split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def virtual_bytes() -> int:
    """Of this process; 0 where it cannot be told."""
    try:
        return int(_read(f"{_PROC}/self/statm").split()[0]) * _PAGE
    except (OSError, IndexError):
        return 0


def owner(pid: int) -> int:
    """The real uid of a process, or -1."""
    try:
        for line in _read(f"{_PROC}/{pid}/status").splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return -1


def tasks_of_user(uid: int) -> int:
    """How many processes and threads a user has: what RLIMIT_NPROC is counted against."""
    total = 0
    for pid in _everybody():
        try:
            if os.stat(f"{_PROC}/{pid}").st_uid == uid:
                total += len(os.listdir(f"{_PROC}/{pid}/task"))
        except OSError:
            continue
    return total


def _everybody() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]
    except OSError:
        return []


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else -1


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command, which may itself hold spaces and brackets."""
    try:
        return _read(f"{_PROC}/{pid}/stat").rpartition(")")[2].split()
    except OSError:
        return []


def _read(path: str) -> str:
    """A file of /proc, whole. Plain system calls: a text file object costs three times as much."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while part := os.read(descriptor, _PART):
            data += part
        return data.decode("utf-8", errors="replace")
    finally:
        os.close(descriptor)
