"""From an exception to what a student is told: its name, one sentence, and the place in the student's own file."""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from pathlib import PurePath
from types import CodeType, TracebackType
from typing import Any

from autograder.sandbox.messages import Reply
from autograder.sandbox.protocol import BudgetExceeded, printable


class Blame:
    """Reads tracebacks with one question: where in the student's file was it?"""

    def __init__(self, filename: str, earlier: Iterable[str] = ()) -> None:
        """earlier: the files of modules that the student's own imports."""
        self._filename = filename
        self._earlier = frozenset(earlier)
        self._file = PurePath(filename).name

    def raised(self, error: BaseException) -> Reply:
        """The reply to a call that raised. What the stub raises is no error but a task still to do."""
        place = self._place(error.__traceback__)
        where = "" if place is None else self._where(place[0], place[1])
        name, bases, text = _name(error), _bases(error), _text(error)
        if isinstance(error, NotImplementedError) and place is not None and place[2] and self._says_raise(place[1]):
            sentence = f"{_owner(place[0])} is not written yet: it still raises NotImplementedError."
            return Reply("unwritten", error=name, bases=bases, message=printable(sentence), where=where)
        sentence = self._stub_below(error) or _sentence(error, name, text, who="your code" if place else "the call")
        return Reply("raised", error=name, bases=bases, message=printable(sentence), where=where)

    def broken(self, error: BaseException) -> Reply:
        """The reply of a module that cannot be loaded, with the line to look at."""
        place = self._place(error.__traceback__)
        where = "" if place is None else self._where(place[0], place[1])
        if isinstance(error, SyntaxError) and error.filename == self._filename and error.lineno is not None:
            where = f"{self._file}, line {error.lineno}"
            shown = (error.text or "").strip()
            sentence = f"Python cannot read {self._file}: {error.msg} in line {error.lineno}"
            sentence += f", `{shown}`." if shown else "."
        elif isinstance(error, ModuleNotFoundError):
            sentence = f"{self._file} imports {error.name}, which is not installed here."
        elif isinstance(error, NotImplementedError):
            sentence = f"{self._file} cannot be loaded: while it loads it calls something that is not written yet."
        elif isinstance(error, SystemExit):
            sentence = f"{self._file} cannot be loaded: it calls exit() while it loads."
        else:
            sentence = f"{self._file} cannot be loaded: {_named(_name(error), _text(error))}"
        return Reply("broken", error=_name(error), bases=_bases(error), message=printable(sentence), where=where)

    def definition(self, target: Any) -> str:
        """Where a function of the student's is defined, if it can be told."""
        code = getattr(target, "__code__", None)
        if isinstance(code, CodeType) and code.co_filename == self._filename:
            return self._where(code, code.co_firstlineno)
        return ""

    def _place(self, trace: TracebackType | None) -> tuple[CodeType, int, bool] | None:
        """The deepest frame in the student's file, its line, and whether no other Python code was called from it."""
        found = None
        while trace is not None:
            code = trace.tb_frame.f_code
            if code.co_filename == self._filename:
                found = code, trace.tb_lineno, trace.tb_next is None
            trace = trace.tb_next
        return found

    def _stub_below(self, error: BaseException) -> str:
        """What to say where it was the stub of an earlier assignment that raised; "" where it was not."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is None or not isinstance(error, NotImplementedError):
            return ""
        code = trace.tb_frame.f_code
        if code.co_filename not in self._earlier or "raise" not in linecache.getline(code.co_filename, trace.tb_lineno):
            return ""
        file = PurePath(code.co_filename).name
        return f"your code calls {_owner(code)} of {file}, from an earlier assignment, which is not written yet."

    def _where(self, code: CodeType, line: int) -> str:
        place = f"{self._file}, line {line}"
        return printable(place if code.co_name == "<module>" else f"{place}, in {_owner(code)}", 200)

    def _says_raise(self, line: int) -> bool:
        """Tells the stub's own statement from a library that has not implemented something."""
        return "raise" in linecache.getline(self._filename, line)


def _owner(code: CodeType) -> str:
    """The function or method as its author named it, without the comprehension or lambda inside it."""
    return code.co_qualname.partition(".<locals>")[0]


def _sentence(error: BaseException, name: str, text: str, who: str) -> str:
    if isinstance(error, RecursionError):
        return "your code calls itself without end (RecursionError)."
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return "your code asked for more memory than a test may use."
    if isinstance(error, SystemExit):
        return "your code called exit() instead of returning an answer."
    if isinstance(error, KeyboardInterrupt):
        return "your code raised KeyboardInterrupt instead of returning an answer."
    if isinstance(error, BudgetExceeded):
        return f"your code asked for more than it was given: {text or 'the budget is used up'}"
    return f"{who} raised {_named(name, text)}"


def _named(name: str, text: str) -> str:
    return f"{name}: {text}" if text else f"{name}."


def _name(error: BaseException) -> str:
    return printable(str(type.__dict__["__name__"].__get__(type(error))), 80)


def _bases(error: BaseException) -> tuple[str, ...]:
    built_in = [
        kind for kind in type(error).__mro__ if kind.__module__ == "builtins" and issubclass(kind, BaseException)
    ]
    return tuple(kind.__name__ for kind in built_in if kind is not BaseException)


def _text(error: BaseException) -> str:
    """str(error), which is the student's code if the class is."""
    try:
        return str(str(error))
    except BaseException:
        return ""
