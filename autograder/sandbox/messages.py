"""What is said between the trusted side and the student's process: programs, requests, replies.

A conversation is one process (or, in loopback, one module) that has freshly loaded one program and answers requests
in order. Two transports carry it, the sandbox and the in-process loopback, and both use the same codec and the same
answering code, so that a report does not depend on which of them made it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from autograder.course import Limits


@dataclass(frozen=True)
class Program:
    """What the student's process loads. Text, not paths: what was hashed is what runs."""

    name: str
    """The module's name, "attention"."""
    source: str
    filename: str
    """Shown in the student's own tracebacks."""
    asks: str = ""
    """Text of the assignment's asks.py."""
    folder: Path | None = None
    """The submission's folder: readable, and importable, by the student's code. Nothing else of theirs is."""
    requires: tuple[str, ...] = ()
    """Packages imported before, in the warm process."""
    earlier: tuple[tuple[str, str, str], ...] = ()
    """(name, file name, text) of modules of earlier assignments that this one imports; loaded before it, in order."""


@dataclass(frozen=True)
class Request:
    """One question: call `name` of the student's module, or run the ask `name` on the module."""

    kind: Literal["call", "ask"]
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


ReplyKind = Literal[
    "value", "raised", "missing", "unwritten", "unanswerable", "broken", "timeout", "crashed", "protocol"
]
"""value         an answer came back
raised        the student's code raised
missing       the module has no such function or class
unwritten     NotImplementedError: the stub is still there
unanswerable  it returned something that is no data (says what, and where in the answer)
broken        the module itself cannot be loaded (syntax error, an import that fails)
timeout       no answer within the limits
crashed       the process ended, or was ended at a limit (memory, processes, exit)
protocol      bytes that are not an answer to this question"""


@dataclass(frozen=True)
class Reply:
    """What came back for one request. For every kind but "value", `message` is a sentence for the student."""

    kind: ReplyKind
    value: Any = None
    arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    """The arguments after the call (kind "call" only): how a change in place shows."""
    error: str = ""
    """Class name of what was raised."""
    bases: tuple[str, ...] = ()
    """Names of the built-in exception classes it descends from, itself included: ("ValueError", "Exception")."""
    message: str = ""
    where: str = ""
    """Place in the student's own file: "attention.py, line 31, in attention"."""
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Ended:
    """What is known once a conversation is over."""

    output: str = ""
    """stdout and stderr, capped."""
    output_cut: bool = False
    cpu_seconds: float = 0.0


class Conversation(Protocol):
    """One process or module. Requests are answered in order; after a reply that ended it, all are "crashed"."""

    fresh: bool
    """Whether nothing of the student's ran in this process before."""

    def ask(self, request: Request, callbacks: dict[str, Callable[..., Any]]) -> Reply: ...

    def close(self) -> Ended: ...


class PackedConversation(Conversation, Protocol):
    """One that can also be held in bytes: asking is packing, exchanging and reading."""

    def exchange(self, packed: bytes, callbacks: dict[str, Callable[..., Any]]) -> bytes | Reply:
        """The answer to a packed request as it came; a Reply where none came."""
        ...

    def read(self, answer: bytes) -> Reply:
        """What an answer says. One that says nothing that can be read ends the conversation."""
        ...


@dataclass(frozen=True)
class Isolation:
    """What stands between student code and the grader: one line, and what it does not stop."""

    name: Literal["bubblewrap", "fork", "none"]
    line: str
    not_stopped: tuple[str, ...] = ()


class Transport(Protocol):
    """Opens conversations. Closing it ends everything it started."""

    isolation: Isolation

    def open(self, program: Program, limits: Limits, fresh: bool = False) -> PackedConversation:
        """A conversation; with `fresh`, in a process in which nothing of the student's ran before."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Callback:
    """Stands in the arguments for a counted resource (environment steps, rewards, batches) that the grader answers."""

    name: str
