"""Loads one program and answers requests about it: the one piece of code that ever calls the student's functions.

The sandboxed child and the in-process loopback both use this class, so that what a student is told does not depend on
where the code ran. Nothing here is a wall: in the sandbox it runs inside the walls, in loopback there are none.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from pathlib import PurePath
from types import CodeType, ModuleType
from typing import Any

from autograder.sandbox.blame import Blame
from autograder.sandbox.codec import Unencodable
from autograder.sandbox.messages import Program, Reply, Request
from autograder.sandbox.protocol import BudgetExceeded, pack_reply, printable, unpack_request
from autograder.sandbox.scene import Scene, seed_everything

__all__ = ["Answerer", "BudgetExceeded"]


class Answerer:
    """One conversation's code: the student's module, loaded at the first request, and the assignment's asks.

    load: gives the module instead of program.source (the reference, a mistake); trusted, so its errors are not caught.
    passes: says which exceptions are no answer at all but meant for whoever runs us (Ctrl-C, a debugger's quit).
    alone: this process serves nobody else and ends with the conversation.
    """

    def __init__(
        self,
        program: Program,
        load: Callable[[], ModuleType] | None = None,
        passes: Callable[[BaseException], bool] = lambda error: False,
        alone: bool = False,
    ) -> None:
        self._program = program
        self._load = load
        self._passes = passes
        self._file = PurePath(program.filename).name
        self._blame = Blame(program.filename, (filename for _, filename, _ in program.earlier))
        names = (program.name, "asks", *(name for name, _, _ in program.earlier))
        self._scene = Scene(names, program.folder, alone)
        self._module: ModuleType | None = None
        self._broken: Reply | None = None
        self._asks: ModuleType | None = None
        self._asks_error = ""

    def answer(self, request: bytes, send: Callable[[bytes], bytes]) -> bytes:
        """The packed reply to a packed request. `send` carries a packed callback to the grader and its result back."""
        with self._scene.on_stage():
            if self._module is None and self._broken is None:
                self._start()
            reply = self._broken or self._respond(unpack_request(request, send))
            try:
                return pack_reply(reply)
            except Unencodable as error:
                return pack_reply(_unanswerable(error))
            except BaseException as error:
                if self._passes(error):
                    raise
                return pack_reply(self._raised(error))

    # ------------------------------------------------------------------------------------------------------ loading

    def _start(self) -> None:
        seed_everything()
        self._load_asks()
        if self._load is not None:
            self._module = self._load()
            self._scene.put(self._program.name, self._module)
            return
        own = (self._program.name, self._program.filename, self._program.source)
        for name, filename, source in (*self._program.earlier, own):
            module = self._scene.add(name, filename, source)
            try:
                exec(_compiled(source, filename), module.__dict__)
            except BaseException as error:
                if self._passes(error):
                    raise
                self._broken = Blame(filename).broken(error)
                return
        self._module = module

    def _load_asks(self) -> None:
        """The asks come first and are the author's: what goes wrong in them is said to be theirs."""
        program = self._program
        filename = "asks.py" if program.folder is None else str(program.folder / "asks.py")
        asks = self._scene.add("asks", filename, program.asks)
        try:
            exec(_compiled(program.asks, filename), asks.__dict__)
        except Exception as error:
            self._asks_error = f"{type(error).__name__}: {error}"
        self._asks = asks

    # ---------------------------------------------------------------------------------------------------- answering

    def _respond(self, request: Request) -> Reply:
        assert self._module is not None
        args = request.args
        if request.kind == "ask":
            target = None if self._asks is None else self._asks.__dict__.get(request.name)
            if self._asks_error or not callable(target):
                return _asks_trouble(self._asks_error or f"it has no function {request.name}")
            args = (self._module, *args)
        else:
            target = self._module.__dict__.get(request.name)
            if not callable(target):
                return self._missing(request.name)
            misfit = self._misfit(request.name, target, args, request.kwargs)
            if misfit is not None:
                return misfit
        try:
            value = target(*args, **request.kwargs)
        except BaseException as error:
            if self._passes(error):
                raise
            return self._raised(error)
        return Reply("value", value, (args, request.kwargs) if request.kind == "call" else None)

    def _missing(self, name: str) -> Reply:
        assert self._module is not None
        there = self._module.__dict__.get(name)
        if there is not None:
            message = f"{name} in {self._file} is no function or class, but {type(there).__name__} data."
            return Reply("missing", message=printable(message))
        own = [key for key, thing in self._module.__dict__.items() if callable(thing) and not key.startswith("__")]
        close = difflib.get_close_matches(name, own, n=1, cutoff=0.75)
        hint = f" There is {close[0]}: is it that one?" if close else ""
        return Reply("missing", message=printable(f"{self._file} has no function or class called {name}.{hint}"))

    def _misfit(self, name: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Reply | None:
        """What is wrong with the student's parameters, said before the call, where Python's own words would puzzle."""
        try:
            signature = inspect.signature(target)
            shown = ", ".join(signature.parameters)
        except Exception:  # a built-in without a signature, or a student's own hook that fails
            return None
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            parts = [f"{len(args)} argument{'s' * (len(args) != 1)} in order"] if args else []
            called = " and ".join(parts + [f"{key}=..." for key in kwargs]) or "no arguments"
            message = f"{name}({shown}) does not fit the handout's signature: it is called with {called} ({error})."
            bases = ("TypeError", "Exception")
            where = self._blame.definition(target)
            return Reply("raised", error="TypeError", bases=bases, message=printable(message), where=where)
        return None

    def _raised(self, error: BaseException) -> Reply:
        if isinstance(error, AttributeError) and error.obj is self._module and isinstance(error.name, str):
            return self._missing(error.name)
        return self._blame.raised(error)


@functools.lru_cache(maxsize=16)
def _compiled(text: str, filename: str) -> CodeType:
    """Each text is compiled once a process: a shared one opens a hundred conversations, an author's gate thousands.

    In a shared process student code could reach this cache; what it would change there is its own program.
    """
    return compile(text, filename, "exec", dont_inherit=True)


def _asks_trouble(problem: str) -> Reply:
    message = f"the assignment's own asks.py cannot be used ({problem}); this is not your fault."
    return Reply("broken", error="SourceError", message=printable(message))


def _unanswerable(error: Unencodable) -> Reply:
    path, found = error.path, error.type_name
    for ours, theirs in (("reply[1]", "result"), ("reply[2][0]", "arguments"), ("reply[2][1]", "arguments")):
        if path.startswith(ours):
            path = theirs + path.removeprefix(ours)
    expected = "where plain data (numbers, lists, arrays, tensors) is expected."
    if path.startswith("arguments"):
        message = f"after the call, {path} holds {found}, {expected}"
    elif path == "result":
        message = f"it returned {found}, {expected}"
    else:
        message = f"its answer holds {found} at {path}, {expected}"
    return Reply("unanswerable", message=printable(message))
