"""The two names that a test speaks to, `student` and `reference`, and the answers that come back.

Both are the same class over different transports. A proxy has one verb, `ask`; `student.f(...)` is the built-in ask
"call f". Everything asked and answered is kept in a transcript, by which a known mistake is recognised.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from autograder.errors import SourceError
from autograder.sandbox.messages import Callback, Conversation, Ended, Reply, Request
from autograder.sandbox.protocol import BudgetExceeded as BudgetExceeded
from autograder.testing.compare import Difference, Tolerance, difference

REFUSALS = frozenset({"ValueError", "TypeError", "IndexError", "RuntimeError", "AssertionError"})


class WrongAnswer(AssertionError):
    """An answer that is not the expected one. `safe` may be shown for a hidden test; `detail` shows values."""

    def __init__(self, safe: str, detail: str = "") -> None:
        self.safe = safe
        self.detail = detail or safe
        super().__init__(self.detail)


class NoAnswer(WrongAnswer):
    """There is no answer to compare: the code raised, ended, or is not written yet.

    What the student's code said of it is the detail. It may have said its inputs, so the safe words are all our own.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(_in_our_words(reply), reply.message + (f"  ({reply.where})" if reply.where else ""))


@dataclass
class Counted:
    """A resource that the grader answers and counts: environment steps, rewards, batches. Passed as an argument."""

    function: Callable[..., Any]
    budget: int
    name: str = "budget"
    used: int = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.used >= self.budget:
            raise BudgetExceeded(f"the {self.name} of {self.budget} is spent")
        self.used += 1
        return self.function(*args, **kwargs)


@dataclass
class Exchange:
    """One question and what came back, with the tolerance it was compared at."""

    request: Request
    reply: Reply
    tolerance: Tolerance = field(default_factory=Tolerance)
    used: bool = False
    """Whether the test looked at the answer."""


class Student:
    """A program behind a conversation. The conversation opens at the first question."""

    def __init__(self, open_conversation: Callable[[], Conversation]) -> None:
        self._open = open_conversation
        self._conversation: Conversation | None = None
        self._transcript: list[Exchange] = []

    def __getattr__(self, name: str) -> Call:
        if name.startswith("__"):
            raise AttributeError(name)
        return Call(self, name)

    def ask(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Answer:
        """Runs `fn(module, *args, **kwargs)` beside the student's code; `fn` is a function of asks.py."""
        if getattr(fn, "__module__", "") != "asks":
            raise SourceError(
                f"{getattr(fn, '__name__', fn)!r} is asked, but is no function of asks.py",
                mend="define it in the assignment's asks.py and import it with: from asks import ...",
            )
        return self._exchange(Request("ask", fn.__name__, args, kwargs), in_place=True)

    def _exchange(self, request: Request, *, in_place: bool) -> Answer:
        callbacks: dict[str, Callable[..., Any]] = {}
        sent = Request(
            request.kind,
            request.name,
            _without_functions(request.args, callbacks),
            _without_functions(request.kwargs, callbacks),
        )
        if self._conversation is None:
            self._conversation = self._open()
        exchange = Exchange(sent, self._conversation.ask(sent, callbacks))
        self._transcript.append(exchange)
        return Answer(exchange, in_place)


@dataclass(frozen=True)
class Call:
    """`student.f`: calling it asks the student's `f`. `in_place` allows `f` to change its arguments."""

    student: Student
    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> Answer:
        return self.student._exchange(Request("call", self.name, args, kwargs), in_place=False)

    def in_place(self, *args: Any, **kwargs: Any) -> Answer:
        """Calls a function that is meant to change its arguments; the answer's `arguments` hold them afterwards."""
        return self.student._exchange(Request("call", self.name, args, kwargs), in_place=True)


class Answer:
    """What came back for one question. Nothing is judged until it is used."""

    def __init__(self, exchange: Exchange, in_place: bool) -> None:
        self._asked = exchange
        self._in_place = in_place

    @property
    def _exchange(self) -> Exchange:
        self._asked.used = True
        return self._asked

    @property
    def value(self) -> Any:
        """The answer as plain data. Fails the test if there is none, or if the call changed its arguments."""
        reply = self._exchange.reply
        if reply.kind != "value":
            raise NoAnswer(reply)
        if not self._in_place:
            self._check_untouched()
        return reply.value

    @property
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments as they were after the call."""
        reply = self._exchange.reply
        if reply.kind != "value" or reply.arguments is None:
            raise NoAnswer(reply)
        return reply.arguments

    def equals(self, expected: Any, *, rtol: float = 0.0, atol: float = 0.0, nan_equal: bool = False) -> None:
        """Fails unless the answer is `expected` (a value, or another answer) within atol + rtol |expected|.

        Kind, shape and dtype must agree; lists and tuples are interchangeable; the default is exact.
        """
        tolerance = Tolerance(rtol, atol, nan_equal)
        self._exchange.tolerance = tolerance
        wanted = expected.value if isinstance(expected, Answer) else expected
        found = difference(self.value, wanted, tolerance)
        if found:
            raise WrongAnswer(_sentence(found.safe), _sentence(found.detail))

    def refused(self) -> None:
        """Fails unless the input was refused: ValueError, TypeError, IndexError, RuntimeError or AssertionError."""
        reply = self._exchange.reply
        if reply.kind == "value":
            raise WrongAnswer("An answer came back where the input should have been refused (raise ValueError).")
        if reply.kind != "raised" or not REFUSALS.intersection(reply.bases):
            raise NoAnswer(reply)

    def _check_untouched(self) -> None:
        exchange = self._exchange
        if exchange.reply.arguments is None:
            return
        args, kwargs = exchange.reply.arguments
        exact = Tolerance(nan_equal=True)
        for i, (before, after) in enumerate(zip(exchange.request.args, args, strict=False)):
            _raise_if_changed(difference(after, before, exact), f"argument {i + 1}")
        for name, before in exchange.request.kwargs.items():
            _raise_if_changed(difference(kwargs.get(name), before, exact), f"argument {name}")


def transcript(student: Student) -> list[Exchange]:
    """Everything that was asked and answered so far."""
    return student._transcript


def overlooked(student: Student) -> Reply | None:
    """The first question that got no answer and that the test did not look at: what went wrong first."""
    asked = transcript(student)
    return next((e.reply for e in asked if not e.used and e.reply.kind != "value"), None)


def close(student: Student) -> Ended:
    """Ends the student's conversation, if one was opened."""
    if student._conversation is None:
        return Ended()
    ended = student._conversation.close()
    student._conversation = None
    return ended


OUR_WORDS = {
    "missing": "Your file has no such function or class.",
    "unanswerable": "It returned something that is no plain data (numbers, lists, arrays, tensors).",
    "broken": "Your file cannot be loaded",
    "MemoryError": "It asked for more memory than a test may use",
    "RecursionError": "It calls itself without end",
    "SystemExit": "It called exit() instead of returning an answer",
    "BudgetExceeded": "It asked for more than its budget",
}


def _in_our_words(reply: Reply) -> str:
    """What became of a question, without a word that the student's code chose: only a line number is its own."""
    if reply.kind not in ("raised", "broken", "missing", "unanswerable"):
        return reply.message
    line = re.search(r", line (\d{1,6})\b", reply.where)
    place = f" (line {line[1]})." if line else "."
    if reply.kind != "raised":
        said = OUR_WORDS[reply.kind]
        return said if said.endswith(".") else said + place
    known = [name for name in (reply.error, *reply.bases) if name in OUR_WORDS]
    if known:
        return OUR_WORDS[known[0]] + place
    kind = next((name for name in reply.bases if name in BUILT_IN), "an exception")
    return f"It raised {kind}{place}"


BUILT_IN = frozenset(
    name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
)


def _raise_if_changed(found: Difference | None, which: str) -> None:
    if found:
        raise WrongAnswer(f"Your function changed its {which} in place; it should leave its inputs as they were.")


def _without_functions(data: Any, callbacks: dict[str, Callable[..., Any]]) -> Any:
    """`data` with each counted resource replaced by its stand-in, which is all that crosses the wire."""
    if isinstance(data, Counted):
        name = f"resource{len(callbacks)}"
        callbacks[name] = data
        return Callback(name)
    if isinstance(data, list | tuple):
        return type(data)(_without_functions(item, callbacks) for item in data)
    if isinstance(data, dict):
        return {key: _without_functions(value, callbacks) for key, value in data.items()}
    return data


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
