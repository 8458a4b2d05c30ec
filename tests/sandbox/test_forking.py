"""The rules of a warm process, on a watch with torch: one import at one thread, and nothing is forked too late.

What is watched is written down by the processes themselves, in a run of its own: this test run has threads already.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import autograder
from autograder.course import Limits
from autograder.sandbox.messages import Program, Request
from autograder.sandbox.session import SandboxTransport

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux")]

RUN = r'''
import json, os, sys

def note(what):
    """Written by whichever process it happens in; a child's is lost behind its walls, and need not be known."""
    try:
        with open(sys.argv[1], "a") as log:
            log.write(f"{what} {os.getpid()}\n")
    except OSError:
        pass


class Imports:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            note("import")


sys.meta_path.insert(0, Imports())
import torch

CUDA = ("is_available", "device_count", "init", "_lazy_init", "_lazy_call", "current_device", "manual_seed_all")
for name in CUDA:
    real = getattr(torch.cuda, name)
    setattr(torch.cuda, name, lambda *a, _real=real, _name=name, **k: (note(f"cuda.{_name}"), _real(*a, **k))[1])

from autograder.sandbox import processes
from autograder.sandbox.messages import Program, Request
from autograder.course import Limits
from autograder.sandbox.session import SandboxTransport

SOURCE = """
import builtins, os, sys
import torch
found = getattr(builtins, 'trace', None)
builtins.trace = os.getpid()
def about():
    return [found, os.getpid(), os.getppid(), torch.get_num_threads()]
def work():
    w = torch.randn(400, 400, requires_grad=True)
    (w @ w).softmax(-1).sum().backward()
    return about()
"""


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


real_fork = os.fork
def fork():
    """Who forks, and with how many threads of its own: a thread of a library's pool counts."""
    note(f"fork {threads(os.getpid())}")
    return real_fork()
os.fork = fork

told = {"children": []}
transport = SandboxTransport.start("fork", ("torch",), shared=True)
told["forked"] = transport._warm.facts["forked"]
told["threads of the grader's torch"] = torch.get_num_threads()
program = Program("homework", SOURCE, "homework.py")
for name in ("about", "work", "about", "work"):
    conversation = transport.open(program, Limits(), fresh=True)
    reply = conversation.ask(Request("call", name), {})
    family = [pid for pid in processes.descendants([os.getpid()]) if pid != os.getpid()]
    told["children"].append({"said": reply.value, "threads": {pid: threads(pid) for pid in family}})
    conversation.close()
transport.retire()
told["warm"] = {pid: threads(pid) for pid in processes.descendants([os.getpid()]) if pid != os.getpid()}
told["grader"] = os.getpid()
told["cuda initialized"] = torch.cuda.is_initialized()
transport.close()
told["left"] = [pid for pid in processes.descendants([os.getpid()]) if pid != os.getpid()]
print(json.dumps(told))
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What a run of its own told, and what its processes noted."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("forking")
    log = folder / "log"
    log.touch()
    several = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(log)],
        env={**several, "PYTHONPATH": str(Path(autograder.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    told["notes"] = [line.rsplit(" ", 1) for line in log.read_text().splitlines()]
    return told


def test_torch_is_imported_once_and_serves_grader_sandbox_and_children(run):
    assert run["forked"]
    assert [what for what, _ in run["notes"] if what == "import"] == ["import"]


def test_torch_has_one_thread_everywhere(run):
    assert run["threads of the grader's torch"] == 1
    assert [child["said"][3] for child in run["children"]] == [1, 1, 1, 1]


def test_no_thread_pool_was_used_in_a_process_that_forks(run):
    """The warm process has one thread, after backward passes in its children too."""
    assert set(run["warm"].values()) == {1}
    assert len(run["warm"]) >= 1
    warm = set(run["warm"])
    forks = [(int(what.split()[1]), pid) for what, pid in run["notes"] if what.startswith("fork")]
    inside = [count for count, pid in forks if int(pid) != run["grader"]]
    assert len(inside) >= len(run["children"]), "every child was forked by the warm process"
    assert set(inside) == {1}
    for child in run["children"]:
        assert all(child["threads"][pid] == 1 for pid in warm)


def test_nothing_is_forked_after_student_code_ran(run):
    """Each process starts without a trace of the last one's program, and comes from the same parent."""
    found, pids, parents, _ = zip(*(child["said"] for child in run["children"]), strict=True)
    assert found == (None,) * 4
    assert len(set(pids)) == 4
    assert len(set(parents)) == 1
    by_the_grader = [pid for what, pid in run["notes"] if what.startswith("fork") and int(pid) == run["grader"]]
    assert len(by_the_grader) == 1, "the grader forks once, before it has seen anything"


def test_cuda_is_never_touched(run):
    """A driver that was asked anything before a fork is of no use after it."""
    assert [what for what, _ in run["notes"] if what.startswith("cuda")] == []
    assert not run["cuda initialized"]


def test_nothing_is_left_when_it_closes(run):
    assert run["left"] == []


def test_what_torch_imports_late_is_there_before_the_fork(run):
    """Else every child with a backward pass would import sympy: half a second each."""
    slow = "import sys, torch; print('torch.fx.experimental.symbolic_shapes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", slow], capture_output=True, text=True).stdout.strip() == "False"
    source = "import sys\nbefore = 'sympy' in sys.modules\ndef answer():\n    return before\n"
    with SandboxTransport.start("fork", ("torch",)) as transport:
        conversation = transport.open(Program("homework", source, "homework.py"), Limits())
        assert conversation.ask(Request("call", "answer"), {}).value is True
        conversation.close()
