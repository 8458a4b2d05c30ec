"""A sandbox that is kept from check to check: one start, and every check reads the file anew."""

import os
from dataclasses import replace

import pytest

from autograder.learner.checking import KeptSandboxes, check
from autograder.sandbox.session import SandboxTransport

RIGHT = "    if not xs:\n        raise ValueError\n    return math.fsum(xs) / len(xs)\n"
WRONG = "    if not xs:\n        raise ValueError\n    return math.fsum(xs)\n"
STUB = "    # YOUR CODE HERE\n    raise NotImplementedError()\n"


@pytest.fixture
def kept():
    sandboxes = KeptSandboxes()
    yield sandboxes
    sandboxes.close()


@pytest.fixture
def life(monkeypatch):
    """What was started and what was closed, in order."""
    seen = []
    start, close = SandboxTransport.start.__func__, SandboxTransport.close
    monkeypatch.setattr(SandboxTransport, "start", classmethod(lambda *a, **k: seen.append("start") or start(*a, **k)))
    monkeypatch.setattr(SandboxTransport, "close", lambda self: seen.append("close") or close(self))
    return seen


def write(assignment, answer):
    text = assignment.module_path.read_text(encoding="utf-8")
    start = text.index('"""', text.index("def mean(")) + 3
    body = text.index("\n", text.index('"""', start)) + 1
    end = text.index("\n\n\n", body) + 1
    assignment.module_path.write_text(text[:body] + answer + text[end:], encoding="utf-8")


def test_one_start_serves_many_checks_and_each_reads_the_file_anew(toy_course, kept, life):
    assignment = toy_course.assignment("t01")
    mean = assignment.task("mean")
    assert not check(toy_course, assignment, mean, transport=kept).passed
    for answer, passes in ((RIGHT, True), (WRONG, False), (RIGHT, True)):
        write(assignment, answer)
        assert check(toy_course, assignment, mean, transport=kept).passed is passes
    check(toy_course, toy_course.assignment("t02"), transport=kept)
    assert life == ["start"]
    kept.close()
    assert life == ["start", "close"]


def test_without_one_a_check_starts_and_closes_its_own(toy_course, life):
    check(toy_course, toy_course.assignment("t01"), toy_course.assignment("t01").task("mean"))
    assert life == ["start", "close"]


def test_another_set_of_packages_has_a_sandbox_of_its_own(toy_course, kept, life):
    plain = toy_course.assignment("t01")
    with kept.lend(toy_course, plain) as first, kept.lend(toy_course, replace(plain, requires=("json",))) as second:
        assert first is not second
    with kept.lend(toy_course, plain) as again:
        assert again is first
    assert life == ["start", "start"]


def test_a_check_that_broke_off_leaves_nothing_behind(toy_course, kept, life):
    def stop(_):
        raise KeyboardInterrupt

    assignment = toy_course.assignment("t01")
    with pytest.raises(KeyboardInterrupt):
        check(toy_course, assignment, on_test=stop, transport=kept)
    assert life == ["start", "close"]
    write(assignment, RIGHT)
    assert check(toy_course, assignment, assignment.task("mean"), transport=kept).passed


def test_a_sandbox_that_was_lost_between_two_checks_is_replaced(toy_course, kept):
    assignment = toy_course.assignment("t01")
    write(assignment, RIGHT)
    with kept.lend(toy_course, assignment) as sandbox:
        sandbox._warm.close()
    assert check(toy_course, assignment, assignment.task("mean"), transport=kept).passed


def test_two_checks_at_once_have_a_sandbox_each_and_one_is_kept(toy_course, kept, life):
    assignment = toy_course.assignment("t01")
    with kept.lend(toy_course, assignment) as one, kept.lend(toy_course, assignment) as other:
        assert one is not other
    assert life == ["start", "start", "close"]


def test_a_fork_leaves_its_parents_sandbox_alone(toy_course, kept, monkeypatch):
    assignment = toy_course.assignment("t01")
    write(assignment, RIGHT)
    assert check(toy_course, assignment, assignment.task("mean"), transport=kept).passed
    pid = os.fork()
    if pid == 0:
        kept.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    restarts = []
    monkeypatch.setattr(SandboxTransport, "_restart", lambda self: restarts.append(self))
    assert check(toy_course, assignment, assignment.task("mean"), transport=kept).passed
    assert restarts == []
