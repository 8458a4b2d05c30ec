"""The sandbox as the grader sees it: a transport that opens conversations with student code behind walls.

This is the trusted end. It owns the deadlines, believes only bytes that pass the codec and the nonce, and ends the
whole process tree of a conversation at the first answer that is none. It lets no other process look into its memory.
Stops: an answer that comes late, twice, unasked or in another form; a warm process that is killed (another is started).
Does not stop: whatever the isolation line of the running mode says it does not stop.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from autograder.course import Limits
from autograder.errors import SandboxError, WireError
from autograder.sandbox import launch, system
from autograder.sandbox.isolation import describe
from autograder.sandbox.launch import Mode, WarmProcess
from autograder.sandbox.messages import Ended, Program, Reply, Request
from autograder.sandbox.protocol import harmless, pack_program, pack_request, serve_callback, unpack_reply
from autograder.sandbox.wire import (
    CALLBACK,
    CORE,
    NONCE_BYTES,
    PROGRAM,
    READY,
    REPLY,
    REQUEST,
    RESULT,
    Channel,
    Gone,
    Late,
)

_WALLS_PATIENCE = 30.0

_LOOK = 0.05
"""Seconds of waiting for an answer after which `on_wait` is called, again and again."""

NO_ANSWER = "what came back is no answer to the question that was asked."

SHARE = 0.25
"""A shared process takes no further conversation once it has used this share of its CPU limit."""


class SandboxTransport:
    """Conversations with fresh processes, forked from one warm process. A context manager; closing leaves nothing."""

    def __init__(
        self,
        mode: Mode,
        requires: Sequence[str],
        readable: Sequence[Path],
        shared: bool = False,
        packages: Sequence[Path] = (),
    ) -> None:
        system.forbid_inspection()
        self.shares = shared
        self.on_wait: Callable[[], None] | None = None
        """Called now and then while student code computes. What it raises ends that process and goes on to the caller:
        so that nobody has to wait for an endless loop that was mended meanwhile."""
        self._resting: SandboxConversation | None = None
        self._mode: Mode = mode
        self._requires = tuple(requires)
        self._packages = tuple(path.resolve() for path in packages)
        self._readable = (*(path.resolve() for path in readable), *self._packages)
        self._warm = launch.start(mode, self._requires, self._readable, self._packages)
        self._last_key = 0
        self._open: dict[int, SandboxConversation] = {}
        self.isolation = describe(mode, self._warm.facts, shared)

    @classmethod
    def start(
        cls,
        mode: Mode = "fork",
        requires: Sequence[str] = (),
        readable: Sequence[Path] = (),
        shared: bool = False,
        packages: Sequence[Path] = (),
    ) -> SandboxTransport:
        """Imports `requires` in a warm process. `readable` are folders that student code may read, besides its own.

        `packages` are folders of packages of the course: readable too, and `requires` may name them.
        `shared`: a process that answered well goes on to the next conversation of the same program, which is loaded
        anew. For a student's own check, where a fork a test would be most of the cost; whoever asks then
        confirms a failure in a fresh process.
        Mode "fork" is to be started before any test, reference or secret is loaded: the fork inherits what is there.
        """
        return cls(mode, requires, readable, shared, packages)

    def open(self, program: Program, limits: Limits, fresh: bool = False) -> SandboxConversation:
        resting, self._resting = self._resting, None
        if resting is not None:
            if not fresh and resting.suits(program, limits):
                again = self._continued(resting, program)
                if again is not None:
                    return again
            resting.end()
        try:
            return self._opened(program, limits)
        except _WarmProcessLost:
            self._restart()
            return self._opened(program, limits)

    def retire(self) -> None:
        """Ends the process that waits for the next conversation, if there is one."""
        resting, self._resting = self._resting, None
        if resting is not None:
            resting.end()

    def close(self) -> None:
        self.shares = False
        self.retire()
        for conversation in list(self._open.values()):
            conversation.close()
        self._warm.close()

    def rest(self, conversation: SandboxConversation) -> None:
        """Keeps the process of a finished conversation for the next one."""
        self._resting = conversation

    def __enter__(self) -> SandboxTransport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self, program: Program, limits: Limits) -> SandboxConversation:
        ours, theirs = socket.socketpair()
        self._last_key += 1
        key = self._last_key
        with theirs:
            try:
                self._warm.request("open", key, theirs, limits=asdict(limits))
            except SandboxError as error:
                ours.close()
                raise _WarmProcessLost(error.problem) from error
        conversation = SandboxConversation(self, self._warm, key, Channel(ours), limits)
        self._open[key] = conversation
        conversation.begin(program)
        return conversation

    def _continued(self, resting: SandboxConversation, program: Program) -> SandboxConversation | None:
        conversation = resting.successor()
        try:
            conversation.begin(program)
        except SandboxError:  # it ended while it rested: whatever it left running saw to that
            return None
        self._open[conversation.key] = conversation
        return conversation

    def _restart(self) -> None:
        """Another warm process in place of a lost one. What was going on with the old one is over."""
        for conversation in list(self._open.values()):
            conversation.lose()
        self._warm.close()
        self._warm = launch.executed(self._mode, self._requires, self._readable, self._packages)

    def forget(self, key: int) -> None:
        self._open.pop(key, None)


class _WarmProcessLost(SandboxError):
    """The warm process did not answer: another is needed."""


class SandboxConversation:
    """A process with the student's module. See messages.Conversation."""

    def __init__(
        self,
        transport: SandboxTransport,
        warm: WarmProcess,
        key: int,
        channel: Channel,
        limits: Limits,
        used: float | None = None,
    ) -> None:
        self.key = key
        self.fresh = used is None
        self._transport = transport
        self._warm = warm
        self._channel = channel
        self._limits = limits
        self._program: Program | None = None
        self._began = self._cpu = used or 0.0
        self._ended: Ended | None = None
        self._after = ""

    def begin(self, program: Program) -> None:
        """Hands the program over and waits until the walls stand; no student code has run by then."""
        self._program = program
        deadline = time.monotonic() + _WALLS_PATIENCE
        try:
            if self._channel.has_unread():
                raise WireError("an answer without a question")
            packed = pack_program(program) if self.fresh else b""  # a process goes on to no other one: see suits()
            self._channel.send(PROGRAM, packed, deadline=deadline)
            ready = self._channel.receive(deadline).kind == READY
        except (Gone, Late, WireError):
            ready = False
        if not ready:
            said = self.close().output.strip().splitlines()
            raise SandboxError(
                f"the walls around the student's process could not be built ({said[-1] if said else '?'})"
            )

    def ask(self, request: Request, callbacks: dict[str, Callable[..., Any]] | None = None) -> Reply:
        answer = self.exchange(pack_request(request), callbacks or {})
        return answer if isinstance(answer, Reply) else self.read(answer)

    def exchange(self, packed: bytes, callbacks: dict[str, Callable[..., Any]]) -> bytes | Reply:
        if self._ended is not None:
            return Reply("crashed", message=self._after or "the conversation with this process is closed.")
        nonce = os.urandom(NONCE_BYTES)
        deadline = time.monotonic() + self._limits.wall_seconds
        try:
            if self._channel.has_unread():
                raise WireError("an answer without a question")
            with self._side_by_side(deadline) if callbacks else contextlib.nullcontext():
                self._channel.send(REQUEST, packed, nonce, deadline)
                return self._await_answer(nonce, deadline, callbacks)
        except Late:
            return self._over("timeout", self._too_late())
        except WireError:
            return self._over("protocol", NO_ANSWER)
        except Gone:
            return self._gone()
        except BaseException:
            self._finish()  # an error of a callback's, or of on_wait: the child computes or waits still, for nobody
            raise

    def read(self, answer: bytes) -> Reply:
        try:
            reply = unpack_reply(answer)
        except WireError:
            return self._over("protocol", NO_ANSWER)
        return reply if self._transport.shares else self._with_cpu(reply)  # a shared one is counted when it is over

    def close(self) -> Ended:
        """Ends the conversation; its process too, unless the transport keeps it for the next one."""
        if self._ended is None and self._transport.shares:
            self._ended = self._turn()
        return self._ended or self._finish()[0]

    def end(self) -> None:
        """Ends the process of a conversation that is over."""
        with contextlib.suppress(SandboxError):
            self._warm.request("end", self.key)
        self._channel.close()

    def suits(self, program: Program, limits: Limits) -> bool:
        """Whether its process may go on to this program: the same one under the same limits, nobody else's."""
        return self._limits == limits and self._program == program

    def successor(self) -> SandboxConversation:
        """The next conversation of the same process."""
        return SandboxConversation(self._transport, self._warm, self.key, self._channel, self._limits, self._cpu)

    def _turn(self) -> Ended | None:
        try:
            said = self._warm.request("turn", self.key)
        except SandboxError:
            return None
        self._transport.forget(self.key)
        spent, self._cpu = said["cpu"] - self._began, said["cpu"]
        if self._cpu < SHARE * self._limits.cpu_seconds:
            self._transport.rest(self)
        else:
            self.end()
        return Ended(_output(said), said["cut"], max(spent, 0.0))

    def lose(self) -> None:
        """The warm process is gone, and with it all that is known."""
        self._channel.close()
        self._ended = self._ended or Ended(cpu_seconds=self._cpu)
        self._after = self._after or "the sandbox was lost while this was running."
        self._transport.forget(self.key)

    def _await_answer(self, nonce: bytes, deadline: float, callbacks: dict[str, Callable[..., Any]]) -> bytes:
        while True:
            self._wait(deadline)
            frame = self._channel.receive(deadline)
            if frame.nonce != nonce:
                raise WireError("an answer to another question")
            if frame.kind == REPLY:
                return frame.payload
            if frame.kind != CALLBACK:
                raise WireError("a frame of another kind")
            started = time.monotonic()
            result = serve_callback(frame.payload, callbacks)
            deadline += time.monotonic() - started  # our time, not the student's
            self._channel.send(RESULT, result, nonce, deadline)

    def _wait(self, deadline: float) -> None:
        """Until there is something to read, or the deadline, if somebody wants to look up from it meanwhile."""
        look = self._transport.on_wait
        if look is None or self._channel.has_buffered():
            return
        poll = select.poll()
        poll.register(self._channel.socket, select.POLLIN)
        while not poll.poll(_LOOK * 1000) and time.monotonic() < deadline:
            look()

    @contextlib.contextmanager
    def _side_by_side(self, deadline: float) -> Iterator[None]:
        """While this lasts, grader and child share one core: they take turns, by the ten thousand in a training.

        Waking a process on another core costs ten times the message (measured: 145 against 14 microseconds there and
        back on a virtual machine), and twice the CPU time of a step.
        """
        usual = system.cores()
        if not usual:
            yield
            return
        core = secrets.choice(usual)
        self._channel.send(CORE, str(core).encode(), deadline=deadline)
        system.stay_on([core])
        try:
            yield
        finally:
            system.stay_on(usual)

    def _with_cpu(self, reply: Reply) -> Reply:
        try:
            total = float(self._warm.request("cpu", self.key)["cpu"])
        except SandboxError:
            self.lose()
            return reply
        spent, self._cpu = max(total - self._cpu, 0.0), max(total, self._cpu)
        return Reply(**{**vars(reply), "cpu_seconds": spent})

    def _gone(self) -> Reply:
        """The process ended before it answered: at a limit, by its own doing, or by a crash."""
        _, status, reason = self._finish()
        limits = self._limits
        if reason == "cpu":
            return self._over("timeout", self._too_late())
        if reason == "processes":
            message = f"it was ended at the limit of {limits.processes} processes."
        elif reason == "memory":
            message = f"it was ended at the limit of {limits.memory_mb} MB of memory."
        elif status is None:
            message = "the sandbox was lost while this was running."
        elif status >= 0:
            message = f"its process ended (exit code {status}) before it answered."
        else:
            message = f"its process was ended by {_signal_name(-status)} before it answered."
        return self._over("crashed", message)

    def _too_late(self) -> str:
        computing, waiting = self._limits.cpu_seconds, self._limits.wall_seconds
        return f"no answer within the limit of {computing:g} seconds of computing (or {waiting:g} of waiting)."

    def _over(self, kind: Any, message: str) -> Reply:
        before = self._cpu
        ended = self._finish()[0]
        self._after = self._after or f"an earlier question ended this process: {message}"
        return Reply(kind, message=message, cpu_seconds=max(ended.cpu_seconds - before, 0.0))

    def _finish(self) -> tuple[Ended, int | None, str]:
        """Ends the process and all it started. Returns what is known of it: once, then only the record."""
        if self._ended is not None:
            return self._ended, None, ""
        status, reason = None, ""
        try:
            last = self._warm.request("end", self.key)
            self._ended = Ended(_output(last), last["cut"], max(last["cpu"], self._cpu) - self._began)
            status, reason = last["status"], last["reason"]
        except SandboxError:
            self._ended = Ended(cpu_seconds=self._cpu - self._began)
        self._channel.close()
        self._transport.forget(self.key)
        return self._ended, status, reason


def _output(said: dict[str, Any]) -> str:
    head, tail = (harmless(said[part].decode("utf-8", errors="replace")) for part in ("head", "tail"))
    return head + ("\n[...]\n" if said["cut"] else "") + tail


def _signal_name(number: int) -> str:
    if number == signal.SIGSEGV:
        return "a segmentation fault"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
