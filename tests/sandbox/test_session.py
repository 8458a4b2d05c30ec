"""The transport itself: restarts, what it leaves behind, what it says of itself, and its cost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from autograder.course import Limits
from autograder.errors import EnvironmentProblem, SandboxError
from autograder.sandbox import outer, processes
from autograder.sandbox.isolation import describe
from autograder.sandbox.messages import Callback, Program, Request
from autograder.sandbox.session import SandboxTransport

ONE = Program("homework", "def answer():\n    return 1\n", "homework.py")
ASK = Request("call", "answer")


def answers(transport: SandboxTransport) -> bool:
    conversation = transport.open(ONE, Limits())
    reply = conversation.ask(ASK, {})
    conversation.close()
    return reply.kind == "value" and reply.value == 1


def test_without_walls_there_is_still_a_process_and_it_says_so() -> None:
    before = set(processes.descendants([os.getpid()]))
    with SandboxTransport.start("none") as transport:
        assert transport.isolation.name == "none"
        assert "not for grades" in transport.isolation.line
        assert answers(transport)
        crash = transport.open(
            Program("homework", "import os\ndef answer():\n    os._exit(1)\n", "homework.py"), Limits()
        )
        assert crash.ask(ASK, {}).kind == "crashed"
    assert set(processes.descendants([os.getpid()])) <= before


def test_a_later_fork_is_started_anew_because_this_process_has_seen_tests_by_then(forked: Any) -> None:
    with SandboxTransport.start("fork") as transport:
        assert not transport._warm.facts["forked"]
        assert not any("memory" in left for left in transport.isolation.not_stopped)
        assert answers(transport)


def test_several_conversations_at_once_keep_apart(sandbox: Any) -> None:
    program = Program("homework", "seen = []\ndef answer(x):\n    seen.append(x)\n    return seen\n", "homework.py")
    first, second = sandbox.open(program, Limits()), sandbox.open(program, Limits())
    assert first.ask(Request("call", "answer", (1,)), {}).value == [1]
    assert second.ask(Request("call", "answer", (2,)), {}).value == [2]
    assert first.ask(Request("call", "answer", (3,)), {}).value == [1, 3]
    first.close()
    assert second.ask(Request("call", "answer", (4,)), {}).value == [2, 4]
    second.close()
    assert second.close() == second.close()


def test_a_lost_warm_process_costs_its_conversations_and_is_replaced() -> None:
    with SandboxTransport.start("none") as transport:
        running = transport.open(ONE, Limits(cpu_seconds=1))
        lost = transport._warm._process._process.pid
        os.kill(lost, signal.SIGKILL)
        assert running.ask(ASK, {}).kind in ("crashed", "value")  # its child may have been just quick enough
        assert answers(transport)
        assert transport._warm._process._process.pid != lost
        assert running.ask(ASK, {}).kind == "crashed"
        running.close()


def test_an_argument_that_is_no_data_is_refused_before_anything_is_sent(forked: Any) -> None:
    conversation = forked.open(ONE, Limits())
    with pytest.raises(SandboxError, match=r"arguments\[2\]\[0\]: an object"):
        conversation.ask(Request("call", "answer", (object(),)), {})
    assert conversation.ask(ASK, {}).value == 1
    conversation.close()


@pytest.mark.parametrize("mode", ["fork", "none"])
def test_a_package_that_is_missing_is_named(mode: Any) -> None:
    with pytest.raises(EnvironmentProblem, match="no_such_package"):
        SandboxTransport.start(mode, requires=("no_such_package",))


def test_folders_that_are_named_at_the_start_can_be_read(tmp_path: Path, ask_once: Callable[..., Any]) -> None:
    (tmp_path / "word.txt").write_text("hello")
    source = "def answer(path):\n    return open(path).read()\n"
    problem = outer.probe()
    if problem:
        pytest.skip(problem)
    with SandboxTransport.start("bubblewrap", readable=(tmp_path,)) as transport:
        assert ask_once(transport, source, str(tmp_path / "word.txt")).value == "hello"


def test_bubblewrap_that_is_missing_is_said_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outer, "_PROGRAM", "no-such-bwrap")
    assert "sudo apt-get install bubblewrap" in outer.probe()
    with pytest.raises(SandboxError, match="not installed"):
        SandboxTransport.start("bubblewrap")


def test_bubblewrap_that_does_not_work_is_said_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(outer, "_PROGRAM", str(fake))
    problem = outer.probe()
    assert "setting up uid map: Permission denied" in problem
    assert "user namespaces" in problem


@pytest.mark.parametrize(
    ("facts", "said", "unsaid"),
    [
        ({"landlock": 7, "seccomp": True, "granted": []}, ["Landlock (ABI 7)", "no network"], ["UDP", "socket file"]),
        ({"landlock": 7, "granted": ["network", "processes"]}, ["no network", "socket file"], ["UDP", "signals"]),
        ({"landlock": 7, "granted": []}, ["no TCP", "no signals", "the network by UDP"], ["seccomp"]),
        ({"landlock": 3, "granted": []}, ["the network", "signals to your other processes"], ["TCP"]),
        ({"landlock": 0, "granted": ["network"]}, ["reading and changing your files"], ["Landlock"]),
    ],
)
def test_the_isolation_line_says_what_holds_and_what_does_not(
    facts: dict[str, Any], said: list[str], unsaid: list[str]
) -> None:
    isolation = describe("fork", {"own_user": False, "forked": True, "seccomp": False, **facts})
    text = "; ".join([isolation.line, *isolation.not_stopped])
    assert isolation.name == "fork"
    assert all(words in text for words in said), text
    assert not any(words in text for words in unsaid), text


def test_nothing_that_stands_is_called_nothing() -> None:
    facts = {"landlock": 0, "seccomp": False, "granted": [], "own_user": False, "forked": True}
    assert describe("fork", facts).name == "none"


ORPHAN = """
    import sys
    from autograder.course import Limits
    from autograder.sandbox.messages import Callback, Program, Request
    from autograder.sandbox.session import SandboxTransport

    if __name__ == "__main__":
        transport = SandboxTransport.start(sys.argv[1])
        source = "import os\\ndef answer():\\n    os.fork()\\n    while True:\\n        pass\\n"
        conversation = transport.open(Program("homework", source, "homework.py"), Limits(cpu_seconds=60))
        print("running", flush=True)
        conversation.ask(Request("call", "answer"), {})
    """


@pytest.mark.parametrize("mode", ["fork", "bubblewrap", "none"])
def test_a_grader_that_is_killed_takes_everything_with_it(mode: str, tmp_path: Path) -> None:
    if mode == "bubblewrap" and outer.probe():
        pytest.skip(outer.probe())
    script = tmp_path / "grader.py"
    script.write_text(dedent(ORPHAN))
    with subprocess.Popen([sys.executable, str(script), mode], stdout=subprocess.PIPE) as grader:
        assert grader.stdout is not None
        assert grader.stdout.readline() == b"running\n"
        time.sleep(0.3)
        started = processes.descendants([grader.pid])
        assert len(started) >= 3
        grader.kill()
        grader.wait()
    deadline = time.monotonic() + 10
    while any(_is_alive(pid) for pid in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in started if _is_alive(pid)]


def _is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.course
def test_a_conversation_with_torch_is_cheap_and_has_one_thread() -> None:
    pytest.importorskip("torch")
    source = """
        import torch
        def answer(x):
            return [(x @ x).sum(), torch.get_num_threads()]
        """
    import torch

    program = Program("homework", dedent(source), "homework.py")
    with SandboxTransport.start("none", requires=("torch",)) as transport:
        cpu = []
        for _ in range(8):
            conversation = transport.open(program, Limits())
            total, threads = conversation.ask(Request("call", "answer", (torch.ones(8, 8),)), {}).value
            assert (float(total), threads) == (512.0, 1)
            cpu.append(conversation.close().cpu_seconds)
        assert sorted(cpu)[len(cpu) // 2] < 0.1  # measured 0.02; the margin is for busy machines


def test_who_takes_turns_shares_a_core_and_only_then(sandbox: Any) -> None:
    source = "import os\ndef answer(f): return [f(n) for n in range(50)], sorted(os.sched_getaffinity(0))\n"
    usual = os.sched_getaffinity(0)
    seen = []

    def count(n: int) -> int:
        seen.append(os.sched_getaffinity(0))
        return n + 1

    conversation = sandbox.open(Program("homework", source, "homework.py"), Limits(cpu_seconds=5))
    reply = conversation.ask(Request("call", "answer", (Callback("count"),)), {"count": count})
    conversation.close()
    numbers, cores = reply.value
    assert numbers == list(range(1, 51))
    assert seen == [set(cores)] * 50
    assert len(cores) == 1
    assert os.sched_getaffinity(0) == usual


def test_messages_of_every_size_arrive_whole(sandbox: Any) -> None:
    conversation = sandbox.open(Program("homework", "def answer(x): return x\n", "homework.py"), Limits(cpu_seconds=5))
    for size in (0, 1, 2**12, 2**18 - 1, 2**18, 2**20 + 3):
        assert conversation.ask(Request("call", "answer", (b"x" * size,)), {}).value == b"x" * size
    conversation.close()
