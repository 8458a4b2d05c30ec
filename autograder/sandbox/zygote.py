"""The warm process: it has imported what the assignment needs, and forks a fresh child for each conversation.

It watches each child with all that descends from it, drains their output, and ends them at a limit or on request, until
none is left. It never runs student code and never uses a pool of threads: a process forked after one was used hangs.
Stops: children that outlive their conversation (it adopts orphans), more processes, memory or CPU than the limits
(looked at 20 times a second), a flood of output (kept: the beginning and the end; the rest is thrown away).
Does not stop: on Linux before 6.12 and without a user or process namespace of its own, a child that signals it; the
grader then sees it gone, counts the conversation as crashed and starts another.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import random
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from autograder.course import Limits
from autograder.sandbox import child, codec, inner, landlock, outer, processes, seccomp, system
from autograder.sandbox.loopback import LoopbackTransport
from autograder.sandbox.messages import Program, Request
from autograder.sandbox.output import Output, printed
from autograder.sandbox.wire import CONTROL, Channel, Gone

TICK = 0.05
_READ = 2**16
_REHEARSAL = "def give_back(values): return values\ndef fail(values): raise ValueError(values)"
_FIRST_UID = 1_900_000_000
_UIDS = 60_000


@dataclass
class Conversation:
    """One child and what is known of it."""

    pid: int
    limits: Limits
    pipe: int  # the reading end of what it prints; -1 once nobody can write to it any more
    output: Output
    scratch: Path
    uid: int | None
    seen: set[int] = field(default_factory=set)
    reaped_cpu: float = 0.0
    status: int | None = None
    """Exit code of the first process, or minus its signal."""
    reason: str = ""
    """Which limit ended it: "cpu", "memory", "processes"."""


class Zygote:
    """Serves the grader over one control socket: one answer to each of "open", "cpu", "turn", "end"."""

    def __init__(self, control: Channel, config: dict[str, Any], granted: frozenset[str]) -> None:
        self._control = control
        self._readable = [Path(path) for path in config["readable"]]
        self._walled = bool(config["walls"])
        self._abi = landlock.version() if self._walled else 0
        self._filtered = self._walled and seccomp.available()
        needed = [*inner.python_folders(), *self._readable]
        self._public = inner.are_public(needed)
        may_be_read = self._public or (self._abi > 0 and self._filtered)
        self._own_user = self._walled and may_be_read and os.geteuid() == 0 and inner.may_become(_FIRST_UID, needed)
        self._alone = system.in_own_process_namespace()
        self._granted = granted
        self._forked = bool(config["forked"])
        self._next_uid = _FIRST_UID + random.randrange(1000) * _UIDS
        self._tasks = 64 if self._own_user else processes.tasks_of_user(os.getuid()) + 512
        self._base_memory = 0
        self._conversations: dict[int, Conversation] = {}

    def facts(self) -> dict[str, Any]:
        return {
            "landlock": self._abi,
            "seccomp": self._filtered,
            "own_user": self._own_user,
            "granted": sorted(self._granted),
            "forked": self._forked,
        }

    # ------------------------------------------------------------------------------------------------------ serving

    def serve(self) -> None:
        """Until the grader hangs up; then nothing that was started is left."""
        gc.collect()
        gc.freeze()
        self._base_memory = processes.resident_bytes(os.getpid())
        last_look = time.monotonic()
        try:
            while True:
                if self._wait():
                    self._answer()
                if time.monotonic() - last_look >= TICK:
                    self._look()
                    last_look = time.monotonic()
        except Gone:
            pass
        finally:
            for key in list(self._conversations):
                self._end(key)

    def _wait(self) -> bool:
        """Until the grader asks (True), or at most one tick while children live. Drains what they print meanwhile."""
        if self._control.has_buffered():
            return True
        poll = select.poll()
        poll.register(self._control.socket, select.POLLIN)
        for conversation in self._conversations.values():
            if conversation.pipe >= 0:
                poll.register(conversation.pipe, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(TICK * 1000 if self._conversations else None)}
        for conversation in self._conversations.values():
            if conversation.pipe in ready:
                _drain(conversation, reads=1)
        return self._control.socket.fileno() in ready

    def _answer(self) -> None:
        frame = self._control.receive(descriptors=1)
        message = codec.decode(frame.payload)
        what, key = message["what"], message["key"]
        answer: dict[str, Any] = {}
        if what == "open":
            try:
                answer = self._open(key, Limits(**message["limits"]), frame.descriptors[0])
            except OSError as error:  # no process, no descriptor, no space: said, and the grader may try again
                answer = {"failed": f"no process can be started ({error})"}
        elif what == "cpu":
            conversation = self._conversations.get(key)
            answer = {"cpu": 0.0 if conversation is None else self._cpu(conversation)}
        elif what == "turn":
            answer = self._turn(key)
        elif what == "end":
            answer = self._end(key)
        self._control.send(CONTROL, codec.encode(answer))

    def _open(self, key: int, limits: Limits, channel: int) -> dict[str, Any]:
        uid = None
        if self._own_user:
            self._next_uid += 1
            uid = self._next_uid
        scratch = Path(tempfile.mkdtemp(prefix="autograder-"))
        if uid is not None:
            os.chown(scratch, uid, uid)
        pipe, output = os.pipe()
        os.set_blocking(pipe, False)
        walls = inner.Walls(self._abi > 0, self._filtered, uid, not self._public, self._tasks)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        pid = os.fork()
        if pid == 0:
            child.live(channel, output, walls, limits, scratch, self._readable)
        os.close(output)
        os.close(channel)
        self._conversations[key] = Conversation(pid, limits, pipe, Output(limits.output_kb << 10), scratch, uid)
        return {}

    def _turn(self, key: int) -> dict[str, Any]:
        """What was printed since the last turn, and the CPU time so far, of a process that goes on, and is alone."""
        conversation = self._conversations.get(key)
        if conversation is None or conversation.status is not None:
            return {"failed": "no such conversation"}
        tree = self._tree(conversation)
        if len(tree) > 1:
            return {"failed": "something was left running"}
        _drain(conversation)
        said, conversation.output = conversation.output, Output(conversation.output.cap)
        return {**printed(said), "cpu": self._cpu(conversation, tree)}

    def _end(self, key: int) -> dict[str, Any]:
        conversation = self._conversations.get(key)
        if conversation is None:
            return {"failed": "no such conversation"}
        self._kill(conversation)
        _drain(conversation)
        if conversation.pipe >= 0:
            os.close(conversation.pipe)
        _remove(conversation.scratch)
        del self._conversations[key]
        return {
            **printed(conversation.output),
            "cpu": conversation.reaped_cpu,
            "status": conversation.status,
            "reason": conversation.reason,
        }

    # ----------------------------------------------------------------------------------------------------- watching

    def _look(self) -> None:
        """Compares every conversation with its limits; ends those that are over one, or whose first process ended."""
        self._reap()
        for conversation in self._conversations.values():
            if conversation.status is None:
                conversation.reason = self._excess(conversation)
            if conversation.reason or conversation.status is not None:
                self._kill(conversation)

    def _excess(self, conversation: Conversation) -> str:
        tree = self._tree(conversation)
        limits = conversation.limits
        if len(tree) > limits.processes:
            return "processes"
        if sum(max(processes.resident_bytes(pid) - self._base_memory, 0) for pid in tree) > limits.memory_mb << 20:
            return "memory"
        return "cpu" if self._cpu(conversation, tree) > limits.cpu_seconds else ""

    def _cpu(self, conversation: Conversation, tree: list[int] | None = None) -> float:
        living = self._tree(conversation) if tree is None else tree
        return conversation.reaped_cpu + sum(map(processes.cpu_seconds, living))

    def _tree(self, conversation: Conversation) -> list[int]:
        """All living processes of a conversation: the first one's descendants, and the orphans that came to us."""
        roots = [] if conversation.status is not None else [conversation.pid]
        firsts = {other.pid for other in self._conversations.values()}
        roots += [p for p in processes.children(os.getpid()) if p not in firsts and self._whose(p) is conversation]
        tree = processes.descendants(roots)
        conversation.seen.update(tree)
        return tree

    def _whose(self, pid: int) -> Conversation | None:
        """The conversation that an orphan belongs to: seen in its tree before, of its user, or the only one."""
        for conversation in self._conversations.values():
            if pid in conversation.seen:
                return conversation
        if self._own_user:
            uid = processes.owner(pid)
            return next((c for c in self._conversations.values() if c.uid == uid), None)
        if len(self._conversations) == 1:
            return next(iter(self._conversations.values()))
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)  # it hid between two looks while several were running: no honest code does
        return None

    def _reap(self) -> None:
        """Collects what ended: first processes, whose status is kept, and orphans."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            conversation = next((c for c in self._conversations.values() if c.pid == ended.si_pid), None)
            first = conversation is not None
            conversation = conversation or self._whose(ended.si_pid)
            _, status, used = os.wait4(ended.si_pid, 0)
            if conversation is not None:
                conversation.reaped_cpu += used.ru_utime + used.ru_stime
                if first:
                    conversation.status = os.waitstatus_to_exitcode(status)
                    if conversation.status == -signal.SIGXCPU:
                        conversation.reason = conversation.reason or "cpu"

    def _kill(self, conversation: Conversation) -> None:
        """Ends every process of a conversation, and looks again until none is left."""
        for attempt in range(1000):
            self._reap()
            tree = self._tree(conversation)
            if not tree:
                return
            if self._alone and len(self._conversations) == 1:
                _signal(-1)  # all processes there are, but the first and this one, in one step
            for pid in tree:
                _signal(pid)
            time.sleep(min(0.0005 * (attempt + 1), 0.01))


def _signal(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _drain(conversation: Conversation, reads: int = 64) -> None:
    """Reads what was printed, so that no child ever waits for us; a bounded amount, so that none keeps us busy."""
    for _ in range(reads):
        try:
            data = os.read(conversation.pipe, _READ)
        except OSError:
            return
        if not data:
            os.close(conversation.pipe)
            conversation.pipe = -1
            return
        conversation.output.add(data)


def _remove(folder: Path) -> None:
    def unlock(function: Any, path: str, _: Any) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            if not Path(path).is_symlink():  # or what it points to would be changed
                Path(path).chmod(0o700)
            function(path)

    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(folder, onerror=unlock)


def run(control: Channel) -> NoReturn:
    """All of a warm process's life: takes its configuration, prepares, says what it is, serves."""
    try:
        config = codec.decode(control.receive().payload)
        zygote, problem = _prepare(control, config)
        facts = {"failed": problem} if zygote is None else zygote.facts()
        control.send(CONTROL, codec.encode(facts))
        if zygote is not None:
            zygote.serve()
    except Gone:
        pass
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _prepare(control: Channel, config: dict[str, Any]) -> tuple[Zygote | None, str]:
    """The warm process, or why there is none."""
    _quieten()
    granted = outer.enter_namespaces() if config["namespaces"] else frozenset()
    system.forbid_inspection()
    system.adopt_orphans()
    try:
        extend_path(config["paths"])
        _warm_up(config["requires"])
        return Zygote(control, config, granted), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def extend_path(folders: list[str]) -> None:
    """Lets packages in these folders be imported, after everything that is installed."""
    sys.path += [folder for folder in folders if folder not in sys.path]


def _quieten() -> None:
    """Ctrl-C in the terminal is the grader's business, and so is the end of the grader."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.setsid()


_COMPANIONS = {"torch": ("torch.fx.experimental.symbolic_shapes",)}
"""What a package imports on its first use: for torch, in the first backward() that is given a gradient (and sympy with
it, 0.4 CPU-seconds). Imported once here, it is not imported again in every child."""


def import_companions() -> None:
    """Imports what the packages that are here would import later; where a version has no such module, nothing."""
    for package, companions in _COMPANIONS.items():
        for name in companions if package in sys.modules else ():
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def _warm_up(requires: list[str]) -> None:
    """Imports the packages; torch is held to one thread from its first operation on. Then once through everything.

    The rehearsal is a conversation with a program of our own: what it imports and fills on the way, no child has to.
    """
    for package in requires:
        importlib.import_module(package)
    import_companions()
    torch = sys.modules.get("torch")
    values: list[Any] = [1, "one", {"one": 1.0}, np.ones(2)]
    if torch is not None:
        torch.set_num_threads(1)
        values.append(torch.ones(4, 4).mm(torch.ones(4, 4)).requires_grad_())
    rehearsal = LoopbackTransport().open(Program("rehearsal", _REHEARSAL, "rehearsal.py"))
    for name in ("give_back", "fail", "give_bakc"):
        rehearsal.ask(Request("call", name, (values,)))
    inner.python_folders()


if __name__ == "__main__":
    run(Channel(socket.socket(fileno=int(sys.argv[1]))))
