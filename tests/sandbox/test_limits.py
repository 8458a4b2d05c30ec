"""What ends at a limit, how it is told, and that nothing is left of it. CPU-seconds are counted wherever they can be."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from autograder.course import Limits
from autograder.sandbox import processes
from autograder.sandbox.messages import Program, Reply, Request

pytestmark = pytest.mark.attack

SHORT = Limits(cpu_seconds=0.5, memory_mb=256, file_mb=1)


@pytest.fixture
def nothing_left(sandbox: Any) -> Iterator[None]:
    """After the test, this process has the descendants that it had before."""
    before = set(processes.descendants([os.getpid()]))
    yield
    assert set(processes.descendants([os.getpid()])) <= before


CRASHES = {
    "os._exit": ("os._exit(0)", "its process ended (exit code 0) before it answered."),
    "segmentation fault": ("ctypes.string_at(0)", "its process was ended by a segmentation fault before it answered."),
    "abort": ("os.abort()", "its process was ended by SIGABRT before it answered."),
    "suicide": ("os.kill(os.getpid(), 9)", "its process was ended by SIGKILL before it answered."),
    "another program": ("os.execv('/bin/true', ['true'])", "its process ended (exit code 0) before it answered."),
}


@pytest.mark.parametrize(("code", "message"), CRASHES.values(), ids=CRASHES)
@pytest.mark.usefixtures("nothing_left")
def test_a_process_that_ends_is_a_crash(sandbox: Any, program: Callable[..., Program], code: str, message: str) -> None:
    conversation = sandbox.open(program(f"import ctypes, os\ndef answer():\n    {code}\n"), Limits())
    reply = conversation.ask(Request("call", "answer"), {})
    assert (reply.kind, reply.message) == ("crashed", message)
    after = conversation.ask(Request("call", "answer"), {})
    assert (after.kind, after.message) == ("crashed", f"an earlier question ended this process: {message}")
    conversation.close()


@pytest.mark.usefixtures("nothing_left")
def test_an_endless_loop_that_ignores_signals_ends_at_its_seconds_of_computing(
    sandbox: Any, program: Callable[..., Program]
) -> None:
    source = """
        import signal
        def answer():
            for number in range(1, 65):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass
        """
    conversation = sandbox.open(program(source), SHORT)
    reply = conversation.ask(Request("call", "answer"), {})
    ended = conversation.close()
    assert (reply.kind, reply.message) == (
        "timeout",
        "no answer within the limit of 0.5 seconds of computing (or 2 of waiting).",
    )
    assert 0.4 < ended.cpu_seconds < 1.0


@pytest.mark.usefixtures("nothing_left")
def test_seconds_of_computing_are_those_of_the_whole_tree(sandbox: Any, program: Callable[..., Program]) -> None:
    source = """
        import os, time
        def answer():
            for _ in range(3):
                if os.fork() == 0:
                    while True:
                        pass
            time.sleep(60)
        """
    conversation = sandbox.open(program(source), Limits(cpu_seconds=0.5))
    assert conversation.ask(Request("call", "answer"), {}).kind == "timeout"
    assert 0.4 < conversation.close().cpu_seconds < 1.5


@pytest.mark.usefixtures("nothing_left")
def test_sleep_ends_at_the_seconds_of_waiting(sandbox: Any, ask_once: Callable[..., Reply]) -> None:
    started = time.monotonic()
    source = "import time\ndef answer():\n    time.sleep(60)\n"
    assert ask_once(sandbox, source, limits=Limits(cpu_seconds=0.25)).kind == "timeout"
    assert 1.0 <= time.monotonic() - started < 20


def test_the_time_of_a_callback_is_the_graders_own(sandbox: Any, program: Callable[..., Program]) -> None:
    from autograder.sandbox.messages import Callback

    conversation = sandbox.open(program("def answer(env):\n    return env()\n"), Limits(cpu_seconds=0.25))
    request = Request("call", "answer", (Callback("env"),))
    assert conversation.ask(request, {"env": lambda: time.sleep(1.3) or 5}).value == 5
    conversation.close()


@pytest.mark.usefixtures("nothing_left")
def test_a_flood_of_output_is_cut_and_costs_nothing(sandbox: Any, program: Callable[..., Program]) -> None:
    source = """
        import sys
        def answer():
            print("the first line")
            for _ in range(200):
                print("x" * 50_000)
                print("y" * 50_000, file=sys.stderr)
            print("\\x1b[31mthe last line")
            return 1
        """
    conversation = sandbox.open(program(source), Limits(output_kb=8))
    assert conversation.ask(Request("call", "answer"), {}).value == 1
    ended = conversation.close()
    assert ended.output_cut
    assert len(ended.output) < 9000
    assert ended.output.startswith("the first line\n")
    assert ended.output.endswith("\\x1b[31mthe last line\n")


def test_short_output_is_kept_whole_and_in_order(sandbox: Any, program: Callable[..., Program]) -> None:
    source = """
        import os, sys
        print("loading")
        def answer():
            print("to stdout")
            print("to stderr", file=sys.stderr)
            os.write(1, b"past Python\\n")
            sys.stdout.write("no newline")
        """
    conversation = sandbox.open(program(source), Limits())
    assert conversation.ask(Request("call", "answer"), {}).kind == "value"
    ended = conversation.close()
    assert (ended.output, ended.output_cut) == ("loading\nto stdout\nto stderr\npast Python\nno newline", False)


@pytest.mark.parametrize("code", ["len('x' * 10**10)", "sum(len(bytearray(10**8)) for _ in range(3) for _ in [0])"])
def test_memory_that_is_not_there_is_told_kindly(sandbox: Any, ask_once: Callable[..., Reply], code: str) -> None:
    reply = ask_once(sandbox, f"def answer():\n    return {code}\n", limits=Limits(memory_mb=64))
    assert (reply.kind, reply.error) == ("raised", "MemoryError")
    assert reply.message == "your code asked for more memory than a test may use."


@pytest.mark.usefixtures("nothing_left")
def test_memory_is_counted_over_all_processes(sandbox: Any, ask_once: Callable[..., Reply]) -> None:
    source = """
        import os, time
        def answer():
            for _ in range(4):
                if os.fork() == 0:
                    held = b"x" * (60 << 20)
                    time.sleep(60)
            time.sleep(60)
        """
    reply = ask_once(sandbox, source, limits=Limits(memory_mb=128))
    assert (reply.kind, reply.message) == ("crashed", "it was ended at the limit of 128 MB of memory.")


@pytest.mark.usefixtures("nothing_left")
def test_a_small_fork_bomb_ends_within_a_second_and_is_named(sandbox: Any, ask_once: Callable[..., Reply]) -> None:
    source = """
        import os
        def answer():
            for _ in range(6):
                os.fork()
            while True:
                pass
        """
    reply = ask_once(sandbox, source, limits=Limits(cpu_seconds=20, processes=16))
    assert (reply.kind, reply.message) == ("crashed", "it was ended at the limit of 16 processes.")


@pytest.mark.parametrize(
    "how", ["os.setsid()", "os.setsid(); os.fork() and os._exit(0)", "signal.signal(15, signal.SIG_IGN)"]
)
@pytest.mark.usefixtures("nothing_left")
def test_detached_processes_end_with_their_conversation(
    sandbox: Any, program: Callable[..., Program], how: str
) -> None:
    source = f"""
        import os, signal, time
        def answer():
            if os.fork() == 0:
                {how}
                if os.fork() == 0:
                    time.sleep(120)
                os._exit(0)
            return 1
        """
    conversation = sandbox.open(program(source), Limits())
    assert conversation.ask(Request("call", "answer"), {}).value == 1
    conversation.close()


@pytest.mark.usefixtures("nothing_left")
def test_detached_processes_of_one_conversation_do_not_end_with_another(
    sandbox: Any, program: Callable[..., Program]
) -> None:
    waits = sandbox.open(program("def answer():\n    return 1\n"), Limits())
    leaves = """
        import os, time
        def answer():
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(120)
                os._exit(0)
            os.wait()
            time.sleep(0.15)
            return 1
        """
    other = sandbox.open(program(leaves), Limits())
    assert other.ask(Request("call", "answer"), {}).value == 1
    other.close()
    assert waits.ask(Request("call", "answer"), {}).value == 1
    waits.close()


def test_large_files_are_refused_and_its_own_may_be_deleted(sandbox: Any, ask_once: Callable[..., Reply]) -> None:
    reply = ask_once(sandbox, "def answer():\n    open('big', 'wb').write(b'x' * (3 << 20))\n", limits=SHORT)
    assert (reply.kind, reply.error) == ("raised", "OSError")
    reply = ask_once(sandbox, "import os, shutil\ndef answer():\n    shutil.rmtree(os.getcwd(), True)\n    return 1\n")
    assert reply.value == 1


def test_many_open_files_are_refused(sandbox: Any, ask_once: Callable[..., Reply]) -> None:
    reply = ask_once(sandbox, "def answer():\n    kept = [open('/dev/null') for _ in range(1000)]\n")
    assert (reply.kind, reply.error) == ("raised", "OSError")


def test_recursion_without_end_is_told_kindly(sandbox: Any, ask_once: Callable[..., Reply]) -> None:
    source = "import sys\nsys.setrecursionlimit(10**5)\ndef answer(n=0):\n    return answer(n + 1)\n"
    reply = ask_once(sandbox, source)
    assert reply.kind in ("raised", "crashed", "timeout")  # Python's own stack is what ends first
    assert ask_once(sandbox, "def answer():\n    return 1\n").value == 1


def test_computing_is_counted_for_each_question(sandbox: Any, program: Callable[..., Program]) -> None:
    source = """
        import time
        def answer(seconds):
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
        """
    conversation = sandbox.open(program(source), Limits())
    seconds = [conversation.ask(Request("call", "answer", (wanted,)), {}).cpu_seconds for wanted in (0.2, 0.0)]
    assert 0.2 <= seconds[0] < 0.6
    assert seconds[1] < 0.1
    assert conversation.close().cpu_seconds >= 0.2
