"""The few messages between the grader and the student's process, and how much of them is believed.

Both transports pack and unpack with these functions, so a reply passes the same checks whether it crossed a process or
not. Stops: a reply of a kind that only the grader may give (a timeout, a crash), names and texts of any length or with
terminal escapes in them, arguments that are no arguments. Does not stop: a child that lies about its own answer; that
only makes the answer wrong.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autograder.errors import WireError
from autograder.sandbox.codec import CallbackFunction, decode, encode
from autograder.sandbox.messages import Callback, Program, Reply, Request

MESSAGE_CAP = 500
SPOKEN_KINDS = ("value", "raised", "missing", "unwritten", "unanswerable", "broken")
"""The kinds that the student's process may answer with; the others are for the grader to say."""

Callbacks = Mapping[str, Callable[..., Any]]
_REFUSALS = {kind.__name__: kind for kind in (ValueError, TypeError, IndexError, KeyError)}


class BudgetExceeded(Exception):
    """A counted resource is used up: raised by the grader's callback, and again in the code that called it."""


def harmless(text: str) -> str:
    """`text` without control characters, escapes for terminals, changes of direction or lone surrogates."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def printable(text: str, cap: int = MESSAGE_CAP) -> str:
    """Harmless, and not longer than `cap`."""
    escaped = harmless(text[:cap])
    return escaped if len(text) <= cap and len(escaped) <= cap else escaped[: cap - 1] + "…"


# --------------------------------------------------------------------------------------------------------- programs


def pack_program(program: Program) -> bytes:
    folder = None if program.folder is None else str(program.folder)
    return encode(
        (program.name, program.source, program.filename, program.asks, folder, program.requires, program.earlier),
        "program",
    )


def unpack_program(data: bytes) -> Program:
    name, source, filename, asks, folder, requires, earlier = decode(data)
    return Program(name, source, filename, asks, None if folder is None else Path(folder), requires, earlier)


# --------------------------------------------------------------------------------------------------------- requests


def pack_request(request: Request) -> bytes:
    return encode((request.kind, request.name, tuple(request.args), dict(request.kwargs)), "arguments")


def unpack_request(data: bytes, send: Callable[[bytes], bytes]) -> Request:
    """The request, with a function in place of each Callback that asks the grader through `send`."""

    def ask_the_grader(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return _unpack_result(send(encode((name, args, kwargs), name)))

    kind, name, args, kwargs = decode(data, lambda callback: CallbackFunction(callback.name, ask_the_grader))
    return Request(kind, name, args, kwargs)


# ---------------------------------------------------------------------------------------------------------- replies


def pack_reply(reply: Reply) -> bytes:
    said = (reply.kind, reply.error, reply.bases, reply.message, reply.where)
    return encode((said, reply.value, reply.arguments), "reply")


def unpack_reply(data: bytes) -> Reply:
    """The reply, with every part of it checked: the bytes may come from anywhere in the student's process."""
    whole = decode(data)
    if type(whole) is not tuple or len(whole) != 3 or type(whole[0]) is not tuple or len(whole[0]) != 5:
        raise WireError("an answer of another form")
    (kind, error, bases, message, where), value, arguments = whole
    if kind not in SPOKEN_KINDS:
        raise WireError(f"an answer of kind {kind!r:.40}")
    if any(type(text) is not str for text in (error, message, where)) or type(bases) is not tuple:
        raise WireError("an answer with no text where text belongs")
    if kind != "value":
        value = arguments = None
    elif arguments is not None and not _are_arguments(arguments):
        raise WireError("an answer with arguments of another form")
    return Reply(
        kind=kind,
        value=value,
        arguments=arguments,
        error=printable(error, 80),
        bases=tuple(name for name in bases if name in _BUILT_IN_ERRORS)[:20],
        message=printable(message),
        where=printable(where, 200),
    )


def _are_arguments(value: Any) -> bool:
    if type(value) is not tuple or len(value) != 2:
        return False
    args, kwargs = value
    return type(args) is tuple and type(kwargs) is dict and all(type(key) is str for key in kwargs)


_BUILT_IN_ERRORS = {
    name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
}


# -------------------------------------------------------------------------------------------------------- callbacks


def serve_callback(data: bytes, callbacks: Callbacks) -> bytes:
    """Carries out what student code asked of a callback. Its refusals go back to that code; any other error is ours."""
    whole = decode(data)
    if type(whole) is not tuple or len(whole) != 3 or type(whole[0]) is not str or not _are_arguments(whole[1:]):
        raise WireError("a call of another form")
    name, args, kwargs = whole
    if name not in callbacks:
        raise WireError(f"a call of {printable(name, 40)!r}, which was not given")
    try:
        result = callbacks[name](*args, **kwargs)
    except (BudgetExceeded, ValueError, TypeError, IndexError, KeyError) as refusal:
        return encode(("raised", type(refusal).__name__, printable(_text(refusal))))
    return encode(("value", result, None), f"{name}()")


def _unpack_result(data: bytes) -> Any:
    outcome, first, second = decode(data)
    if outcome == "value":
        return first
    raise _REFUSALS.get(first, BudgetExceeded)(second)


def _text(error: BaseException) -> str:
    return str(error.args[0]) if len(error.args) == 1 else str(error)


__all__ = [
    "BudgetExceeded",
    "Callback",
    "Callbacks",
    "harmless",
    "pack_program",
    "pack_reply",
    "pack_request",
    "printable",
    "serve_callback",
    "unpack_program",
    "unpack_reply",
    "unpack_request",
]
