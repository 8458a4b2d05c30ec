"""Every kind of reply, through both transports: a report must not depend on which of them carried the question."""

from __future__ import annotations

import bdb
import random
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from autograder.course import Limits
from autograder.errors import WireError
from autograder.sandbox.codec import encode
from autograder.sandbox.loopback import LoopbackTransport
from autograder.sandbox.messages import Callback, Program, Reply, Request
from autograder.sandbox.protocol import BudgetExceeded, pack_reply, printable, unpack_reply

SOURCE = """\
import dataclasses
import sys
import warnings

@dataclasses.dataclass
class Thing:
    size: int

TABLE = [1, 2, 3]

def add(a, b, *, extra=0):
    return a + b + extra

def stub(a):
    raise NotImplementedError()

def uses_the_stub(a):
    return stub(a)

def casual_mask(n):
    return n

def fails(text):
    raise ValueError(text)

class OwnError(KeyError):
    pass

def fails_in_a_library():
    return sorted([1, "a"])

def fails_its_own_way():
    raise OwnError("key")

def forever(n):
    return forever(n + 1)

def leaves():
    sys.exit(0)

def interrupts():
    raise KeyboardInterrupt

def no_data():
    return [1, {"thing": Thing(2)}]

def no_data_at_all():
    return Thing

def spoils(items):
    items.append(Thing(1))
    return 0

def appends(items):
    items.append(5)
    return len(items)

def warns():
    warnings.warn("careful")
    return 1

def steps(env, n):
    return [env(i, twice=True) for i in range(n)]

def greedy(env):
    try:
        return steps(env, 10)
    except Exception as error:
        return type(error).__name__

def hands_back(env):
    return env

class Box:
    def __init__(self, size):
        self.size = size

    def grow(self):
        raise NotImplementedError
"""

ASKS = """\
def sum_of(student, a):
    return [student.add(a, a), student.TABLE]

def with_a_slip(student):
    return student.causal_mask(3)

def wrong_call(student):
    return student.add(1)

def unwritten_method(student):
    return student.Box(1).grow()
"""


def env(step: int, twice: bool = False) -> int:
    if step > 2:
        raise BudgetExceeded("3 steps are all there are")
    if step < 0:
        raise ValueError("a step is not negative")
    return step * (2 if twice else 1)


def call(name: str, *args: Any, **kwargs: Any) -> Request:
    return Request("call", name, args, kwargs)


CASES: dict[str, tuple[Request, dict[str, Any]]] = {
    "value": (call("add", 1, 2, extra=3), {"kind": "value", "value": 6, "arguments": ((1, 2), {"extra": 3})}),
    "argument changed": (call("appends", [1]), {"kind": "value", "value": 2, "arguments": (([1, 5],), {})}),
    "ask": (Request("ask", "sum_of", (2,)), {"kind": "value", "value": [4, [1, 2, 3]], "arguments": None}),
    "callback": (call("steps", Callback("env"), 3), {"kind": "value", "value": [0, 2, 4]}),
    "callback returned": (call("hands_back", Callback("env")), {"kind": "value", "value": Callback("env")}),
    "budget": (
        call("steps", Callback("env"), 4),
        {
            "kind": "raised",
            "error": "BudgetExceeded",
            "message": "your code asked for more than it was given: 3 steps are all there are",
            "where": "homework.py, line 63, in steps",
        },
    ),
    "budget caught": (call("greedy", Callback("env")), {"kind": "value", "value": "BudgetExceeded"}),
    "callback refuses": (
        call("steps", Callback("env"), -1),
        {"kind": "value", "value": []},
    ),
    "raised": (
        call("fails", "a bad \x1b[31mmask"),
        {
            "kind": "raised",
            "error": "ValueError",
            "bases": ("ValueError", "Exception"),
            "message": "your code raised ValueError: a bad \\x1b[31mmask",
            "where": "homework.py, line 24, in fails",
        },
    ),
    "raised in a library": (
        call("fails_in_a_library"),
        {"kind": "raised", "error": "TypeError", "where": "homework.py, line 30, in fails_in_a_library"},
    ),
    "own class": (
        call("fails_its_own_way"),
        {"kind": "raised", "error": "OwnError", "bases": ("KeyError", "LookupError", "Exception")},
    ),
    "recursion": (
        call("forever", 0),
        {
            "kind": "raised",
            "error": "RecursionError",
            "message": "your code calls itself without end (RecursionError).",
        },
    ),
    "exit": (
        call("leaves"),
        {
            "kind": "raised",
            "error": "SystemExit",
            "bases": ("SystemExit",),
            "message": "your code called exit() instead of returning an answer.",
        },
    ),
    "interrupt": (call("interrupts"), {"kind": "raised", "error": "KeyboardInterrupt"}),
    "unwritten": (
        call("stub", 1),
        {
            "kind": "unwritten",
            "message": "stub is not written yet: it still raises NotImplementedError.",
            "where": "homework.py, line 15, in stub",
        },
    ),
    "unwritten below": (call("uses_the_stub", 1), {"kind": "unwritten", "where": "homework.py, line 15, in stub"}),
    "unwritten method": (
        Request("ask", "unwritten_method"),
        {"kind": "unwritten", "message": "Box.grow is not written yet: it still raises NotImplementedError."},
    ),
    "missing": (
        call("causal_mask", 3),
        {
            "kind": "missing",
            "message": "homework.py has no function or class called causal_mask. There is casual_mask: is it that one?",
        },
    ),
    "missing in an ask": (
        Request("ask", "with_a_slip"),
        {
            "kind": "missing",
            "message": "homework.py has no function or class called causal_mask. There is casual_mask: is it that one?",
        },
    ),
    "missing, nothing near": (
        call("zebra"),
        {"kind": "missing", "message": "homework.py has no function or class called zebra."},
    ),
    "no function": (
        call("TABLE"),
        {"kind": "missing", "message": "TABLE in homework.py is no function or class, but list data."},
    ),
    "signature": (
        call("add", 1, c=2),
        {
            "kind": "raised",
            "error": "TypeError",
            "bases": ("TypeError", "Exception"),
            "message": "add(a, b, extra) does not fit the handout's signature: it is called with 1 argument in order "
            "and c=... (missing a required argument: 'b').",
            "where": "homework.py, line 11, in add",
        },
    ),
    "signature in an ask": (
        Request("ask", "wrong_call"),
        {
            "kind": "raised",
            "error": "TypeError",
            "message": "the call raised TypeError: add() missing 1 required positional argument: 'b'",
            "where": "",
        },
    ),
    "no data": (
        call("no_data"),
        {
            "kind": "unanswerable",
            "message": "its answer holds a Thing at result[1]['thing'], where plain data (numbers, lists, arrays, "
            "tensors) is expected.",
        },
    ),
    "no data at all": (
        call("no_data_at_all"),
        {
            "kind": "unanswerable",
            "message": "it returned a type, where plain data (numbers, lists, arrays, tensors) is expected.",
        },
    ),
    "no data in the arguments": (
        call("spoils", [1]),
        {
            "kind": "unanswerable",
            "message": "after the call, arguments[0][1] holds a Thing, where plain data (numbers, lists, arrays, "
            "tensors) is expected.",
        },
    ),
    "no such ask": (
        Request("ask", "nowhere"),
        {
            "kind": "broken",
            "error": "SourceError",
            "message": "the assignment's own asks.py cannot be used (it has no function nowhere); this is not your fault.",
        },
    ),
}


def reply_through(transport: Any, program: Program, request: Request) -> Reply:
    conversation = transport.open(program, Limits(cpu_seconds=5))
    try:
        return replace(conversation.ask(request, {"env": env}), cpu_seconds=0.0)
    finally:
        conversation.close()


@pytest.mark.parametrize(("request_", "expected"), CASES.values(), ids=CASES)
def test_a_reply_is_the_same_through_both_transports(
    request_: Request, expected: dict[str, Any], forked: Any, program: Callable[..., Program]
) -> None:
    made = program(SOURCE, ASKS)
    here = reply_through(LoopbackTransport(), made, request_)
    there = reply_through(forked, made, request_)
    assert {name: getattr(here, name) for name in expected} == expected
    assert there == here


BROKEN = {
    "syntax": (
        "def answer(:\n    pass\n",
        {
            "error": "SyntaxError",
            "message": "Python cannot read homework.py: invalid syntax in line 1, `def answer(:`.",
            "where": "homework.py, line 1",
        },
    ),
    "import": (
        "import os\nimport no_such_package\n",
        {
            "error": "ModuleNotFoundError",
            "message": "homework.py imports no_such_package, which is not installed here.",
            "where": "homework.py, line 2",
        },
    ),
    "error": (
        "\n\nhalf = 1 / 0\n",
        {
            "error": "ZeroDivisionError",
            "message": "homework.py cannot be loaded: ZeroDivisionError: division by zero",
            "where": "homework.py, line 3",
        },
    ),
    "exit": ("exit()\n", {"message": "homework.py cannot be loaded: it calls exit() while it loads."}),
    "unwritten": (
        "def answer():\n    raise NotImplementedError()\n\nvalue = answer()\n",
        {
            "message": "homework.py cannot be loaded: while it loads it calls something that is not written yet.",
            "where": "homework.py, line 2, in answer",
        },
    ),
    "null byte": ("x = 1\0\n", {}),
}


@pytest.mark.parametrize(("source", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_module_that_cannot_be_loaded_is_broken_for_every_question(
    source: str, expected: dict[str, Any], forked: Any
) -> None:
    made = Program("homework", source, "homework.py")
    here = reply_through(LoopbackTransport(), made, call("answer"))
    assert here.kind == "broken"
    assert {name: getattr(here, name) for name in expected} == expected
    assert reply_through(forked, made, call("answer")) == here
    conversation = LoopbackTransport().open(made)
    assert conversation.ask(call("answer")).message == conversation.ask(call("other")).message


def test_a_warning_is_no_error_whatever_the_test_run_thinks_of_warnings(
    forked: Any, program: Callable[..., Program]
) -> None:
    for transport in (LoopbackTransport(), forked):
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("error")
            assert reply_through(transport, program(SOURCE), call("warns")).value == 1


def test_broken_asks_are_said_to_be_ours(program: Callable[..., Program]) -> None:
    reply = reply_through(
        LoopbackTransport(), program(SOURCE, "import no_such_package"), Request("ask", "sum_of", (1,))
    )
    assert (reply.kind, reply.error) == ("broken", "SourceError")
    assert "not your fault" in reply.message


def test_a_module_keeps_its_state_within_a_conversation_and_not_beyond(
    forked: Any, program: Callable[..., Program]
) -> None:
    made = program("calls = []\ndef count():\n    calls.append(1)\n    return len(calls)\n")
    for transport in (LoopbackTransport(), forked):
        for _ in range(2):
            conversation = transport.open(made, Limits())
            assert [conversation.ask(call("count"), {}).value for _ in range(3)] == [1, 2, 3]
            conversation.close()


def test_random_numbers_are_the_same_in_every_conversation_and_transport(
    forked: Any, program: Callable[..., Program]
) -> None:
    made = program(
        "import random\nimport numpy\ndef draw():\n    return [random.random(), float(numpy.random.rand())]\n"
    )
    drawn = []
    for transport in (LoopbackTransport(), LoopbackTransport(), forked):
        conversation = transport.open(made, Limits())
        drawn.append([conversation.ask(call("draw"), {}).value for _ in range(2)])
        conversation.close()
    assert drawn[0] == drawn[1] == drawn[2]
    assert drawn[0][0] != drawn[0][1]


def test_neighbours_in_the_submissions_folder_can_be_imported(
    forked: Any, program: Callable[..., Program], tmp_path: Path
) -> None:
    (tmp_path / "helper_of_mine.py").write_text("def double(x):\n    return 2 * x\n")
    made = program("import helper_of_mine\ndef answer(x):\n    return helper_of_mine.double(x)\n", folder=tmp_path)
    for transport in (LoopbackTransport(), forked):
        assert reply_through(transport, made, call("answer", 4)).value == 8
    assert "helper_of_mine" not in sys.modules
    assert not (tmp_path / "__pycache__").exists()


# --------------------------------------------------------------------------------------------------------- loopback


def test_loopback_puts_back_what_it_found(program: Callable[..., Program]) -> None:
    mine = ModuleType("homework")
    sys.modules["homework"] = mine
    path, state = list(sys.path), random.getstate()
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    try:
        made = program(
            "import random, sys, numpy\ndef answer():\n    numpy.random.rand()\n    return random.random()\n"
        )
        conversation = LoopbackTransport().open(made)
        assert conversation.ask(call("answer")).kind == "value"
        assert sys.modules["homework"] is mine
        assert "asks" not in sys.modules
        assert sys.path == path
        assert random.getstate() == state
        assert np.random.rand() == expected
    finally:
        del sys.modules["homework"]


def test_loopback_answers_from_a_module_that_was_loaded_elsewhere(program: Callable[..., Program]) -> None:
    def load() -> ModuleType:
        module = ModuleType("homework")
        module.__dict__["add"] = lambda a, b: a * b
        module.__dict__["TABLE"] = []
        return module

    conversation = LoopbackTransport(load).open(program(SOURCE, ASKS))
    assert conversation.ask(call("add", 3, 4)).value == 12
    assert conversation.ask(Request("ask", "sum_of", (5,))).value == [25, []]


def test_arguments_are_copied_even_in_this_process(program: Callable[..., Program]) -> None:
    items = [1]
    assert LoopbackTransport().open(program(SOURCE)).ask(call("appends", items)).value == 2
    assert items == [1]


def test_a_debuggers_quit_ends_the_run_and_is_no_answer(program: Callable[..., Program]) -> None:
    conversation = LoopbackTransport().open(program("import bdb\ndef answer():\n    raise bdb.BdbQuit\n"))
    with pytest.raises(bdb.BdbQuit):
        conversation.ask(call("answer"))


def test_ctrl_c_ends_the_run_and_is_no_answer(program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> None:
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        made = program("import os, signal\ndef answer():\n    os.kill(os.getpid(), signal.SIGINT)\n    return 1\n")
        with pytest.raises(KeyboardInterrupt):
            LoopbackTransport().open(made).ask(call("answer"))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, usual)


def test_an_error_of_the_graders_own_callback_is_no_reply(forked: Any, program: Callable[..., Program]) -> None:
    def faulty(*_: Any, **__: Any) -> int:
        raise ZeroDivisionError

    for transport in (LoopbackTransport(), forked):
        conversation = transport.open(program(SOURCE), Limits())
        with pytest.raises(ZeroDivisionError):
            conversation.ask(call("steps", Callback("env"), 1), {"env": faulty})
        conversation.close()


def test_a_refusal_of_a_callback_reaches_the_code_that_asked(forked: Any, program: Callable[..., Program]) -> None:
    made = program("def answer(env):\n    return env(-1)\n")
    for transport in (LoopbackTransport(), forked):
        reply = reply_through(transport, made, call("answer", Callback("env")))
        assert (reply.kind, reply.error) == ("raised", "ValueError")
        assert reply.message == "your code raised ValueError: a step is not negative"


def test_source_lines_show_in_tracebacks(program: Callable[..., Program], forked: Any) -> None:
    made = program(
        "import traceback\ndef answer():\n    try:\n        return 1 / 0  # here\n"
        "    except ZeroDivisionError:\n        return traceback.format_exc()\n"
    )
    for transport in (LoopbackTransport(), forked):
        assert "return 1 / 0  # here" in reply_through(transport, made, call("answer")).value


# --------------------------------------------------------------------------------------- what the trusted side believes


@pytest.mark.parametrize(
    "message",
    [
        1,
        ("value", "", (), "", ""),
        (("timeout", "", (), "", ""), None, None),
        (("crashed", "", (), "", ""), None, None),
        (("value", "", (), 5, ""), None, None),
        (("value", "", ["ValueError"], "", ""), None, None),
        ((["value"], "", (), "", ""), None, None),
        (("value", "", (), "", ""), 1, (1, 2)),
        (("value", "", (), "", ""), 1, ((), {1: 2})),
        (("value", "", (), "", ""), 1),
    ],
)
def test_a_reply_of_another_form_is_refused(message: Any) -> None:
    with pytest.raises(WireError):
        unpack_reply(encode(message))


def test_texts_of_a_reply_are_made_harmless_and_short() -> None:
    said = Reply("raised", value=1, error="x" * 500, bases=("ValueError", "Wizard"), message="\x1b[2J" + "y" * 1000)
    reply = unpack_reply(pack_reply(said))
    assert len(reply.error) <= 80
    assert reply.bases == ("ValueError",)
    assert "\x1b" not in reply.message
    assert len(reply.message) <= 500
    assert reply.value is None


def test_printable_leaves_plain_text_alone() -> None:
    assert printable("tabs\tand\nlines, naïve ✓") == "tabs\tand\nlines, naïve ✓"
    assert printable("\x00\ud800\u202e") == "\\x00\\ud800\\u202e"
    assert printable("x" * 600).endswith("…")
