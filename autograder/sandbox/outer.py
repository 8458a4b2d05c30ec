"""The outer walls, once for each warm process: bubblewrap, or what namespaces the kernel grants a fork.

bubblewrap stops: the network, every file that is not listed here (the course, other submissions, home folders do not
exist inside), sight of and signals to processes outside; what is inside ends when the warm process or the grader ends.
Does not stop: use of CPU, memory and processes (the inner walls and the watching do), attacks on the kernel itself.
The namespaces of a fork are best effort: they stop what they are granted to stop, and the isolation line says which.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import autograder
from autograder.errors import SandboxError
from autograder.sandbox import system
from autograder.sandbox.inner import python_folders

_PROGRAM = "bwrap"
_SHARED = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/sys/devices/system/cpu")
_ETC = ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives")
_KEPT_AS_ROOT = ("CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE")
_PATIENCE = 20.0


def find_command(readable: Iterable[Path] = ()) -> list[str]:
    """The bubblewrap command line that works on this machine, to be followed by the program to run inside."""
    problem = "bubblewrap needs Linux"
    mend = "grade in a container or on a Linux machine"
    if system.LINUX and shutil.which(_PROGRAM) is None:
        problem, mend = "bubblewrap is not installed", "sudo apt-get install bubblewrap"
    elif system.LINUX:
        # As root first without a user namespace, so that each child can be given a real user id of its own.
        for own_user in (False, True) if os.geteuid() == 0 else (True,):
            line = command(tuple(readable), own_user)
            said = _run_once(line)
            if not said:
                return line
            problem, mend = f"bubblewrap does not work here ({said})", _advice(said)
    raise SandboxError(problem, mend=mend)


def probe(readable: Iterable[Path] = ()) -> str:
    """Runs bubblewrap once. "" if it works, or why not and how to mend it."""
    try:
        find_command(readable)
    except SandboxError as error:
        return str(error)
    return ""


def command(readable: Iterable[Path], own_user: bool, scratch_mb: int = 256) -> list[str]:
    """The command line, with a user namespace or, for root, with the capabilities that giving out user ids takes."""
    line = [_PROGRAM, "--unshare-net", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]
    if own_user:
        line += ["--unshare-user", "--uid", str(os.geteuid() or 1000), "--gid", str(os.getegid() or 1000)]
        line += ["--cap-drop", "ALL"]
    else:
        line += ["--cap-drop", "ALL"]
        for capability in _KEPT_AS_ROOT:
            line += ["--cap-add", capability]
    line += ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox"]
    line += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(scratch_mb << 20), "--tmpfs", "/tmp"]
    line += _binds([*map(Path, _SHARED + _ETC), *python_folders(), *readable])
    for name, value in _environment().items():
        line += ["--setenv", name, value]
    return [*line, "--chdir", "/tmp", "--"]


def _run_once(line: list[str]) -> str:
    """ "" if the command works, or the last line of what it said."""
    try:
        done = subprocess.run(
            [*line, sys.executable, "-c", "import autograder"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {_PATIENCE:.0f} seconds"
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]


def _advice(said: str) -> str:
    if "namespace" in said or "uid map" in said or "ermission" in said or "not permitted" in said:
        return "this system denies user namespaces; allow them for bwrap, or run in a container or as root"
    if "nknown option" in said:
        return "it is too old: 0.8 or newer is needed (sudo apt-get install bubblewrap)"
    return "run bwrap by hand to see more"


def _binds(paths: Sequence[Path]) -> list[str]:
    """Read-only binds, outermost first, whose parents everybody may pass: children run as another user."""
    line: list[str] = []
    made: set[Path] = {Path("/")}
    bound: list[Path] = []
    for path in sorted(set(paths)):
        if not path.exists():
            continue
        if path.is_symlink() and path.parent == Path("/"):
            line += ["--symlink", str(path.readlink()), str(path)]
            continue
        if any(path.is_relative_to(outside) for outside in bound):
            continue
        for parent in reversed(path.parents):
            if parent not in made and parent != Path("/tmp"):
                line += ["--perms", "0755", "--dir", str(parent)]
            made.add(parent)
        line += ["--ro-bind", str(path), str(path)]
        bound.append(path)
    return line


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}  # Python itself may need it
    return kept | {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(autograder.__file__).parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def enter_namespaces() -> frozenset[str]:
    """Takes what namespaces this single-threaded process is granted: some of "network", "ipc", "processes".

    With "processes" the caller goes on as the first process of its own tree, in a new process: the old one waits for it
    and ends as it ends. Where the kernel denies one, nothing has changed.
    """
    if not system.LINUX:
        return frozenset()
    own_processes = _try_own_processes()
    if os.geteuid() != 0 and not _own_user():
        return frozenset()
    granted = {"network"} if system.unshare(system.CLONE_NEWNET) else set()
    if system.unshare(system.CLONE_NEWIPC):
        granted.add("ipc")
    if own_processes and system.unshare(system.CLONE_NEWPID | system.CLONE_NEWNS):
        pid = os.fork()
        if pid:
            _end_like(pid)
        system.die_with_parent()
        if not system.mount_own_proc():
            os._exit(1)
        granted.add("processes")
    return frozenset(granted)


def _try_own_processes() -> bool:
    """Whether a process tree with its own /proc is granted: found out by a process that is thrown away."""
    pid = os.fork()
    if pid == 0:
        if os.geteuid() != 0 and not _own_user():
            os._exit(1)
        if not system.unshare(system.CLONE_NEWPID | system.CLONE_NEWNS):
            os._exit(1)
        inside = os.fork()
        if inside == 0:
            os._exit(0 if system.mount_own_proc() else 1)
        _end_like(inside)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _own_user() -> bool:
    """A user namespace in which we are who we were."""
    uid, gid = os.geteuid(), os.getegid()
    system.forbid_inspection(False)  # or the files below belong to root
    if not system.unshare(system.CLONE_NEWUSER):
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    except OSError:
        return False
    return True


def _end_like(pid: int) -> None:
    os._exit(1 if os.waitpid(pid, 0)[1] else 0)
