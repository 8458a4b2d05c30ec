"""A shared process goes on to the next conversation with the module loaded anew, and only while all is well."""

import os

import pytest

from autograder.course import Limits
from autograder.sandbox import processes
from autograder.sandbox.messages import Program, Request
from autograder.sandbox.session import SandboxTransport

SOURCE = """
import os, sys, time
calls = 0
def pid():
    return os.getpid()
def count():
    global calls
    calls += 1
    print("call", calls)
    return calls
def leave():
    os._exit(3)
def work(seconds):
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
"""
LIMITS = Limits(cpu_seconds=4)


@pytest.fixture(scope="module")
def shared():
    with SandboxTransport.start("fork", shared=True) as transport:
        yield transport


def call(transport, name, *args, fresh=False, program=None, limits=LIMITS):
    conversation = transport.open(program or Program("homework", SOURCE, "homework.py"), limits, fresh)
    reply = conversation.ask(Request("call", name, args), {})
    return reply, conversation.close(), conversation


def test_the_next_conversation_uses_the_same_process(shared):
    call(shared, "count", fresh=True)
    first, _, one = call(shared, "pid")
    second, _, other = call(shared, "pid")
    assert first.value == second.value
    assert not one.fresh
    assert not other.fresh


def test_its_module_is_loaded_anew(shared):
    assert call(shared, "count")[0].value == 1
    assert call(shared, "count")[0].value == 1


def test_output_belongs_to_the_conversation_that_printed_it(shared):
    assert call(shared, "count")[1].output == "call 1\n"
    assert call(shared, "pid")[1].output == ""
    assert call(shared, "count")[1].output == "call 1\n"


def test_a_fresh_one_is_fresh(shared):
    before = call(shared, "pid")[0].value
    reply, _, conversation = call(shared, "pid", fresh=True)
    assert conversation.fresh
    assert reply.value != before


def test_after_a_crash_the_next_one_is_fresh(shared):
    assert call(shared, "leave")[0].kind == "crashed"
    reply, _, conversation = call(shared, "count")
    assert (reply.value, conversation.fresh) == (1, True)


def test_other_limits_or_another_folder_need_another_process(shared, tmp_path):
    call(shared, "pid")
    assert call(shared, "pid", limits=Limits(cpu_seconds=3))[2].fresh
    assert call(shared, "pid", program=Program("homework", SOURCE, "homework.py", folder=tmp_path))[2].fresh


def test_a_process_that_has_worked_much_is_not_shared_on(shared):
    call(shared, "pid", fresh=True)
    reply, ended, _ = call(shared, "work", 1.5)
    assert reply.kind == "value"
    assert ended.cpu_seconds > 1
    assert call(shared, "pid")[2].fresh


def test_its_time_is_its_own(shared):
    call(shared, "work", 0.3, fresh=True)
    assert call(shared, "pid")[1].cpu_seconds < 0.1


def test_another_program_gets_a_process_of_its_own(shared):
    call(shared, "pid")
    reply, _, conversation = call(shared, "f", program=Program("other", "def f():\n    return 'other'\n", "other.py"))
    assert (reply.value, conversation.fresh) == ("other", True)


def test_a_program_that_cannot_be_loaded_says_so_and_spoils_nothing(shared):
    assert call(shared, "f", program=Program("homework", "def f(:\n", "homework.py"))[0].kind == "broken"
    assert call(shared, "count")[0].value == 1


def test_closing_leaves_no_process():
    before = set(processes.children(os.getpid()))
    with SandboxTransport.start("fork", shared=True) as transport:
        call(transport, "pid")
        assert set(processes.children(os.getpid())) - before
    assert set(processes.children(os.getpid())) <= before


def test_the_isolation_says_that_a_process_is_shared(shared):
    assert any("confirmed in a fresh process" in left for left in shared.isolation.not_stopped)
