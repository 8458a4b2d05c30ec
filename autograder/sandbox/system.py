"""The few Linux calls that Python's standard library lacks: prctl, unshare, mount, capset, one process's CPU clock.

Everywhere else, and where a kernel denies a call, the functions say so by their result and do nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from pathlib import Path

LINUX = sys.platform == "linux"

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
_MS_PRIVATE_ALL = 1 << 18 | 1 << 14
_CAP_DAC_READ_SEARCH = 2
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def system_call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """The raw result, or minus the error number."""
    if _libc is None:
        return -1
    result: int = _libc.syscall(
        ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    )
    return result if result >= 0 else -ctypes.get_errno()


def _prctl(option: int, value: int) -> bool:
    if _libc is None:
        return False
    zero = ctypes.c_ulong(0)
    return bool(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) == 0)


def forbid_inspection(forbidden: bool = True) -> bool:
    """No process of the same user may read this one's memory (/proc/PID/mem, ptrace), nor its core."""
    return _prctl(_PR_SET_DUMPABLE, int(not forbidden))


def die_with_parent(signal_number: int = 9) -> bool:
    return _prctl(_PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> bool:
    """Descendants whose parent ends become our children, so that none gets away."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def renounce_privileges() -> bool:
    """No setuid program gives this process or its descendants anything."""
    return _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def keep_capabilities() -> bool:
    """A change from root to another user id takes none away: `drop_capabilities` will, and chooses."""
    return _prctl(_PR_SET_KEEPCAPS, 1)


def forbid_new_capabilities() -> None:
    """No program that is started can gain one: matters as root and in a user namespace."""
    for capability in range(_LAST_CAPABILITY + 1):
        if not _prctl(_PR_CAPBSET_DROP, capability):
            break


def drop_capabilities(but_reading: bool = False) -> None:
    """None is left. `but_reading` leaves one: to read files whatever their modes say, for other walls to narrow."""
    if _libc is None:
        return
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    reading = 1 << _CAP_DAC_READ_SEARCH if but_reading else 0
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(reading, reading)
    _libc.capset(header, effective_permitted_inheritable)


def unshare(flags: int) -> bool:
    return _libc is not None and _libc.unshare(ctypes.c_int(flags)) == 0


def mount_own_proc() -> bool:
    """A /proc that shows this process namespace, in a mount namespace that passes nothing back."""
    if _libc is None or _libc.mount(None, b"/", None, ctypes.c_ulong(_MS_PRIVATE_ALL), None) != 0:
        return False
    return bool(_libc.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(_MS_NOSUID_NODEV_NOEXEC), None) == 0)


def in_own_process_namespace() -> bool:
    """Provably: we are its first process, or the first is bubblewrap's own init and not the machine's."""
    if not LINUX:
        return False
    try:
        if Path("/proc/self").readlink() != Path(str(os.getpid())):
            return False
        return os.getpid() == 1 or (os.getppid() == 1 and Path("/proc/1/comm").read_text().strip() == "bwrap")
    except OSError:
        return False


def cpu_clock(pid: int) -> float:
    """CPU-seconds of a live process, all its threads, to the nanosecond; 0.0 once it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2) if LINUX else 0.0
    except OSError:
        return 0.0


def cores() -> list[int]:
    """The cores that this process may run on; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def stay_on(chosen: list[int]) -> None:
    """Keeps this process on the given cores. A courtesy: where it is refused nothing is lost."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, chosen)
