"""Starts warm processes: forked from the grader (cheap: one import of torch serves both) or executed anew."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import autograder
from autograder.errors import EnvironmentProblem, SandboxError, WireError
from autograder.sandbox import codec, outer, system, zygote
from autograder.sandbox.wire import CONTROL, Channel, Gone, Late

Mode = Literal["bubblewrap", "fork", "none"]

_START_PATIENCE = 120.0
"""Importing torch from a cold disk on a busy machine."""
_ANSWER_PATIENCE = 20.0


class _Process(Protocol):
    def end(self) -> str: ...


class WarmProcess:
    """A running warm process: what it says of itself, and its control socket."""

    def __init__(self, channel: Channel, process: _Process, config: dict[str, Any]) -> None:
        self._channel = channel
        self._process = process
        try:
            self._channel.send(CONTROL, codec.encode(config), deadline=time.monotonic() + _ANSWER_PATIENCE)
            self.facts = self._receive(_START_PATIENCE)
        except (Gone, Late, WireError) as error:
            said = self.close()
            raise SandboxError(f"the sandbox's warm process did not start ({said or type(error).__name__})") from error
        if "failed" in self.facts:
            self.close()
            raise EnvironmentProblem(f"the sandbox cannot be prepared ({self.facts['failed']})")

    def request(self, what: str, key: int, channel: socket.socket | None = None, **more: Any) -> dict[str, Any]:
        """One question and its answer; raises SandboxError if the warm process is gone or silent."""
        handed = () if channel is None else (channel.fileno(),)
        message = codec.encode({"what": what, "key": key, **more})
        try:
            self._channel.send(CONTROL, message, deadline=time.monotonic() + _ANSWER_PATIENCE, descriptors=handed)
            answer = self._receive(_ANSWER_PATIENCE)
        except (Gone, Late, WireError) as error:
            raise SandboxError("the sandbox's warm process ended unexpectedly") from error
        if "failed" in answer:
            raise SandboxError(f"the sandbox's warm process: {answer['failed']}")
        return answer

    def close(self) -> str:
        """Hangs up, which ends it and all it started; returns what it said last, if anything."""
        self._channel.close()
        return self._process.end()

    def _receive(self, patience: float) -> dict[str, Any]:
        answer = codec.decode(self._channel.receive(time.monotonic() + patience).payload)
        if type(answer) is not dict:
            raise WireError("an answer of another form")
        return answer


_forked_before = False


def start(mode: Mode, requires: Sequence[str], readable: Sequence[Path], packages: Sequence[Path] = ()) -> WarmProcess:
    """A warm process of the given mode, ready to serve.

    A process forks once: by a second time it has graded something, and a fork would inherit tests and answers with its
    memory. So later ones start anew, which costs an import of torch each: keep a transport that is to be used again.
    """
    global _forked_before
    if mode == "fork" and system.LINUX and not _forked_before:
        _forked_before = True
        zygote.extend_path([str(path.parent) for path in packages])
        for package in requires:
            _import_here(package)
        zygote.import_companions()
        return _forked({**_config(mode, requires, readable, packages), "forked": True})
    return executed(mode, requires, readable, packages)


def executed(
    mode: Mode, requires: Sequence[str], readable: Sequence[Path], packages: Sequence[Path] = ()
) -> WarmProcess:
    """One in a fresh interpreter. Mode "fork" here means: the walls of a fork, when the first fork was lost."""
    prefix = outer.find_command(readable) if mode == "bubblewrap" else []
    ours, theirs = socket.socketpair()
    errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by _Executed.end
    environment = None if mode == "bubblewrap" else _environment()
    with theirs:
        command = [*prefix, sys.executable, "-s", "-P", "-m", "autograder.sandbox.zygote", str(theirs.fileno())]
        process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
            cwd=None if mode == "bubblewrap" else tempfile.gettempdir(),
        )
    return WarmProcess(Channel(ours), _Executed(process, errors), _config(mode, requires, readable, packages))


def _forked(config: dict[str, Any]) -> WarmProcess:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    ours, theirs = socket.socketpair()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later warn of threads, which fork leaves behind
        bound = threading.current_thread() is threading.main_thread()  # the kernel means the thread, not the process
        pid = os.fork()
    if pid == 0:
        _become_zygote(theirs, bound)
    theirs.close()
    return WarmProcess(Channel(ours), _Forked(pid), config)


def _become_zygote(control: socket.socket, bound: bool) -> None:
    """In the fork: keeps the control socket and nothing else of the grader's, and never comes back."""
    try:
        gc.freeze()  # no object of the grader's is collected here: it might close a descriptor that is ours by then
        if bound:
            system.die_with_parent()
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        keep = os.dup2(control.fileno(), 3)
        os.closerange(4, 65536)
        sys.settrace(None)
        sys.setprofile(None)
        zygote.run(Channel(socket.socket(fileno=keep)))
    finally:
        os._exit(1)


def _config(mode: Mode, requires: Sequence[str], readable: Sequence[Path], packages: Sequence[Path]) -> dict[str, Any]:
    return {
        "requires": list(requires),
        "paths": [str(path.parent) for path in packages],
        "readable": [str(path) for path in readable],
        "walls": mode != "none",
        "namespaces": mode == "fork",
        "forked": False,
    }


def _import_here(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise EnvironmentProblem(
            f"the assignment needs {package}, which is not installed", mend="make setup"
        ) from error


def _environment() -> dict[str, str]:
    """For a fresh interpreter: the way to this package, and one thread; nothing else of the grader's environment."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ
    }
    folder = str(Path(autograder.__file__).parent.parent)
    return {**kept, "PYTHONPATH": folder, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class _Executed:
    """A warm process in its own interpreter, perhaps inside bubblewrap."""

    def __init__(self, process: subprocess.Popen[bytes], errors: Any) -> None:
        self._process = process
        self._errors = errors

    def end(self) -> str:
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._errors.closed:
            return ""
        with self._errors:
            self._errors.seek(0)
            lines = self._errors.read()[-2000:].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


class _Forked:
    """A warm process that is our fork (or the fork that waits for it)."""

    def __init__(self, pid: int) -> None:
        self._pid: int | None = pid

    def end(self) -> str:
        if self._pid is None:
            return ""
        patience = time.monotonic() + 5
        while os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > patience:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            time.sleep(0.002)
        self._pid = None
        return ""
