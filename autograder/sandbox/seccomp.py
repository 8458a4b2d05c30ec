"""seccomp: a filter on system calls that student code never needs, installed for good in itself and all it starts.

Stops: every new socket (TCP, UDP, sockets in the file tree; a connected pair of streams is allowed, one of datagrams
could be turned towards others), new namespaces and mounts, tracing, io_uring, kernel keys, BPF, files by handle,
modules: most of what attacks on a kernel start from. Changing the mode, owner, times or attributes of a file, which
Landlock does not cover: the call is answered as if it were done, so that honest code which copies a file goes on.
Does not stop: what reads, writes, forks and computes. On processors other than x86-64 and ARM64 there is no filter.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from autograder.sandbox.system import LINUX, system_call

_SET_MODE_FILTER = 1
_GET_ACTION_AVAILABLE = 2
_ALLOW_SPECULATION = 4
"""Older kernels would otherwise slow down all arithmetic of a filtered process."""

_LOAD, _IF_EQUAL, _IF_ABOVE, _IF_ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER, _MACHINE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020000
_KIND_OF_SOCKET, _STREAM = 0xF, 1


@dataclass(frozen=True)
class _Calls:
    """The numbers that one processor's Linux gives to system calls."""

    machine: int
    seccomp: int
    clone: int
    socketpair: int
    denied: tuple[int, ...]
    pretended: tuple[int, ...]


_CLONE3 = 435
_DENIED_EVERYWHERE = (425, 426, 427, 428, 429, 430, 438, 442)
"""io_uring_setup, _enter, _register, open_tree, move_mount, fsopen, pidfd_getfd, mount_setattr."""
_PRETENDED_EVERYWHERE = (452, 463, 466, 469)
"""fchmodat2, setxattrat, removexattrat, file_setattr."""
# fmt: off
_CALLS = {
    "x86_64": _Calls(machine=0xC000003E, seccomp=317, clone=56, socketpair=53, denied=(
        41, 101, 155, 161, 165, 166,    # socket, ptrace, pivot_root, chroot, mount, umount2
        175, 176, 313, 246, 320,        # init_module, delete_module, finit_module, kexec_load, kexec_file_load
        248, 249, 250, 272, 308,        # add_key, request_key, keyctl, unshare, setns
        298, 303, 304,                  # perf_event_open, name_to_handle_at, open_by_handle_at
        310, 311, 321, 323,             # process_vm_readv, process_vm_writev, bpf, userfaultfd
    ), pretended=(
        90, 91, 268,                    # chmod, fchmod, fchmodat
        92, 93, 94, 260,                # chown, fchown, lchown, fchownat
        132, 235, 261, 280,             # utime, utimes, futimesat, utimensat
        188, 189, 190, 197, 198, 199,   # setxattr, lsetxattr, fsetxattr, removexattr, lremovexattr, fremovexattr
    )),
    "aarch64": _Calls(machine=0xC00000B7, seccomp=277, clone=220, socketpair=199, denied=(
        198, 117, 41, 51, 40, 39,
        105, 106, 273, 104, 294,
        217, 218, 219, 97, 268,
        241, 264, 265,
        270, 271, 280, 282,
    ), pretended=(
        52, 53,
        54, 55,
        88,
        5, 6, 7, 14, 15, 16,
    )),
}
# fmt: on


def available() -> bool:
    """Whether this kernel takes such filters and we know its numbers."""
    calls = _CALLS.get(platform.machine())
    if not LINUX or calls is None:
        return False
    action = ctypes.create_string_buffer(struct.pack("<I", _ERROR), 4)
    return system_call(calls.seccomp, _GET_ACTION_AVAILABLE, 0, action) == 0


def restrict() -> None:
    """Installs the filter. Needs no_new_privs; raises OSError where it cannot be installed."""
    calls = _CALLS[platform.machine()]
    program = _program(calls)
    instructions = ctypes.create_string_buffer(program, len(program))
    filter_ = ctypes.create_string_buffer(
        struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions)), 16
    )
    result = system_call(calls.seccomp, _SET_MODE_FILTER, _ALLOW_SPECULATION, filter_)
    if result < 0:
        raise OSError(-result, f"seccomp: {os.strerror(-result)}")


def _program(calls: _Calls) -> bytes:
    """Classic BPF: each test either returns at once or falls through to the next."""
    lines = [
        _line(_LOAD, _MACHINE),
        _line(_IF_EQUAL, calls.machine, skip_if=1),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER),
        *_deny(_IF_ABOVE, _X32, errno.EPERM),
    ]
    for number in calls.denied + _DENIED_EVERYWHERE:
        lines += _deny(_IF_EQUAL, number, errno.EACCES)
    for number in calls.pretended + _PRETENDED_EVERYWHERE:
        lines += _deny(_IF_EQUAL, number, 0)
    lines += _deny(_IF_EQUAL, _CLONE3, errno.ENOSYS)  # its flags are out of reach; libraries fall back to clone
    lines += [
        _line(_IF_EQUAL, calls.socketpair, skip_else=5),
        _line(_LOAD, _SECOND_ARGUMENT),
        _line(_AND, _KIND_OF_SOCKET),
        _line(_IF_EQUAL, _STREAM, skip_if=1),
        _line(_RETURN, _ERROR | errno.EACCES),
        _line(_RETURN, _ALLOW),
        _line(_IF_EQUAL, calls.clone, skip_if=1),
        _line(_RETURN, _ALLOW),
        _line(_LOAD, _FIRST_ARGUMENT),
        *_deny(_IF_ANY_BIT, _NEW_NAMESPACES, errno.EPERM),
        _line(_RETURN, _ALLOW),
    ]
    return b"".join(lines)


def _deny(test: int, value: int, error: int) -> list[bytes]:
    return [_line(test, value, skip_else=1), _line(_RETURN, _ERROR | error)]


def _line(code: int, value: int, skip_if: int = 0, skip_else: int = 0) -> bytes:
    return struct.pack("<HBBI", code, skip_if, skip_else, value)
