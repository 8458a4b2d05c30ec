"""The inner walls: what a child does to itself between the fork and the first line of student code.

Stops, with Landlock: reading or writing any file but Python's own, the submission's folder and a scratch folder;
tracing or signalling processes outside (signals from Linux 6.12). With seccomp: sockets, and system calls that only
attacks need. Everywhere: more CPU, memory, open files or file sizes than the limits (processes by the warm process,
which watches), privileges through setuid programs, inherited file descriptors and environment. As root: a user id that
nobody else has, so that no other file or process is its own and the system's limit on processes binds; it may read what
Landlock shows it, whatever the modes of those files say.
Does not stop: reading what this process itself inherited in memory, filling the scratch folder with many files. A wall
that was announced and cannot be built ends the child before student code runs.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import resource
import signal
import site
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import autograder
from autograder.course import Limits
from autograder.errors import SandboxError
from autograder.sandbox import landlock, processes, seccomp, system

CHANNEL = 3
"""The one file descriptor, besides the usual three, that a child keeps."""

_OPEN_FILES = 256
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
_SYSTEM = (
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/alternatives",
    "/dev/random",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system/cpu",
)


@dataclass(frozen=True)
class Walls:
    """Which walls the children of one warm process get; decided once, by trying."""

    landlock: bool
    seccomp: bool
    uid: int | None = None
    """A user id of the child's own, or None to stay who we are."""
    reads_all: bool = False
    """Whether that user may read files that are not public: only behind Landlock and seccomp."""
    tasks: int = 512
    """The system's limit on processes and threads, on top of the child's own: a second net under the watching."""


@functools.cache
def python_folders() -> tuple[Path, ...]:
    """Where Python, its packages and this engine's own code lie. Not the course: neither solutions nor tests."""
    folders = {Path(sys.prefix), Path(sys.base_prefix), Path(autograder.__file__).parent}
    folders.update(Path(folder) for folder in site.getsitepackages())
    folders.add(Path(os.path.realpath(sys.executable)).parent.parent)
    return tuple(sorted({folder.resolve() for folder in folders} | folders))


def are_public(folders: Iterable[Path]) -> bool:
    """Whether a user with no rights of their own could still read these folders."""
    for folder in folders:
        try:
            if folder.stat().st_mode & 0o005 != 0o005 or any(not p.stat().st_mode & 0o001 for p in folder.parents):
                return False
        except OSError:
            return False
    return True


def detach(channel: int, output: int) -> None:
    """A session of its own, the usual signal handlers, and no file descriptor but the channel and the output."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)
    faulthandler.disable()
    sys.settrace(None)
    sys.setprofile(None)
    os.dup2(output, 1)
    os.dup2(output, 2)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(channel, CHANNEL)
    os.closerange(CHANNEL + 1, _most_descriptors())
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115


def enter(walls: Walls, limits: Limits, scratch: Path, readable: Iterable[Path]) -> None:
    """Builds the walls around this process. Raises where one that should stand does not."""
    _live_in(scratch)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, this process goes first
    if walls.landlock:
        inside = [*map(Path, _SYSTEM), Path("/proc/self"), *python_folders(), *readable]
        if not landlock.restrict(inside, [scratch, *map(Path, _DEVICES)]):
            raise SandboxError("Landlock was there a moment ago and is no more")
    _limit(limits, walls.tasks)
    system.forbid_new_capabilities()
    if walls.uid is not None:
        become(walls.uid)
    system.renounce_privileges()
    system.drop_capabilities(but_reading=walls.uid is not None and walls.reads_all)
    system.forbid_inspection()
    system.die_with_parent()
    if walls.seccomp:
        seccomp.restrict()


def become(uid: int) -> None:
    """Changes the user for good. Capabilities stay for the moment: `system.drop_capabilities` chooses."""
    system.keep_capabilities()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def may_become(uid: int, needed: Iterable[Path]) -> bool:
    """Whether root is root enough to give a child another user id, which can still read what is needed.

    Tried by a process that is thrown away.
    """
    pid = os.fork()
    if pid == 0:
        try:
            become(uid)
            system.drop_capabilities(but_reading=True)
            for folder in needed:
                next(folder.iterdir(), None)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _live_in(scratch: Path) -> None:
    os.chdir(scratch)
    os.umask(0o077)
    os.environ.clear()
    os.environ.update(
        PATH="/usr/bin:/bin",
        HOME=str(scratch),
        USER="student",
        TMPDIR=str(scratch),
        LANG="C.UTF-8",
        PYTHONHASHSEED="0",
        OMP_NUM_THREADS="1",
    )
    tempfile.tempdir = None  # or the warm process's own would be remembered
    sys.path[:] = [entry for entry in sys.path if entry not in ("", ".")]


def _limit(limits: Limits, tasks: int) -> None:
    seconds = int(limits.cpu_seconds) + 2  # a second net: the warm process watches the whole tree, and to the tenth
    _set(resource.RLIMIT_CPU, seconds, seconds + 1)
    _set(resource.RLIMIT_FSIZE, limits.file_mb << 20)
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_NOFILE, _OPEN_FILES)
    held = processes.virtual_bytes()
    if held:
        _set(resource.RLIMIT_AS, held + (limits.memory_mb << 20))
    _set(resource.RLIMIT_NPROC, tasks + limits.processes)


def _set(what: int, soft: int, hard: int | None = None) -> None:
    """Lowers a limit, never above the one that stands."""
    ceiling = resource.getrlimit(what)[1]
    wanted = soft if hard is None else hard
    if ceiling != resource.RLIM_INFINITY:
        soft, wanted = min(soft, ceiling), min(wanted, ceiling)
    with contextlib.suppress(ValueError, OSError):  # a platform that knows the name and not the limit
        resource.setrlimit(what, (soft, wanted))


def _most_descriptors() -> int:
    ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 65536 if ceiling == resource.RLIM_INFINITY else min(max(ceiling, 1024), 2**20)
