"""A failure is believed once it was seen with another past; what leaves something behind is asked test by test."""

from dataclasses import replace

import pytest

from autograder.course import Course
from autograder.grading.confirming import Confirming, Ran
from autograder.grading.run import grade
from autograder.sandbox.messages import Reply, Request
from autograder.sandbox.session import SandboxTransport
from autograder.testing.collect import TestCase
from autograder.testing.runner import Verdict
from autograder.testing.student import Exchange


def case(name):
    return TestCase(name, lambda: None, "task", "It holds.", True)


def verdict(answer, outcome="failed", kind="value"):
    exchange = Exchange(Request("call", "f"), Reply(kind, answer))
    return Verdict(outcome, f"it is {answer}", transcript=(exchange,))


class Student:
    """Answers of a made-up student: `alone` in a fresh process, `after` in one with a past."""

    def __init__(self, alone, after=None):
        self.alone, self.after = alone, {**alone, **(after or {})}
        self.asked = []

    def run(self, case, fresh):
        self.asked.append((case.name, fresh))
        return Ran((self.alone if fresh else self.after)[case.name], fresh)

    def judge(self, confirming=None):
        names = list(self.alone)
        ran = [(case(name), Ran(self.after[name], place == 0)) for place, name in enumerate(names)]
        self.asked = []
        return (confirming or Confirming(self.run)).judge(ran)


def test_what_passes_is_asked_once():
    student = Student({name: verdict(1.0, "passed") for name in "abc"})
    assert {judged.verdict.outcome for judged in student.judge().values()} == {"passed"}
    assert student.asked == []


def test_failures_that_agree_take_one_fresh_process():
    student = Student({name: verdict(float(place)) for place, name in enumerate("abcd")})
    judged = student.judge()
    assert student.asked == [("b", True), ("d", False), ("c", False)], "the first alone, the rest the other way round"
    assert all(one.again is not None for name, one in judged.items() if name != "a")
    assert judged["a"].again is None, "it was the first in its process"


def test_one_that_does_not_agree_makes_each_be_asked_alone():
    alone = {"a": verdict(1.0, "passed"), "b": verdict(2.0), "c": verdict(3.0, "passed"), "d": verdict(4.0)}
    student = Student(alone, {"c": verdict(0.0)})
    student.after["c"] = verdict(0.0)
    confirming = Confirming(lambda case, fresh: student.run(case, fresh or case.name == "c"))
    judged = student.judge(confirming)
    assert {name: one.verdict.outcome for name, one in judged.items()} == {
        "a": "passed", "b": "failed", "c": "passed", "d": "failed",
    }  # fmt: skip
    assert ("b", True) in student.asked[1:]
    assert ("d", True) in student.asked
    later = Student({name: verdict(9.0) for name in "xyz"})
    confirming._run = later.run
    later.judge(confirming)
    assert later.asked == [("y", True), ("z", True)], "and so it stays for the rest of the grading"


@pytest.mark.parametrize("kind", ["unwritten", "missing", "broken"])
def test_where_nothing_ran_there_is_nothing_to_confirm(kind):
    student = Student({name: verdict(None, kind=kind) for name in "ab"})
    student.judge()
    assert student.asked == []


def test_another_reason_is_no_agreement():
    student = Student({"a": verdict(1.0, "passed"), "b": verdict(2.0)}, {"b": replace(verdict(2.0), safe="other")})
    assert student.judge()["b"].verdict.safe == "it is 2.0"
    assert student.asked == [("b", True), ("b", True)]


# ---------------------------------------------------------------------------------------------------- the whole of it


@pytest.fixture(scope="module")
def shared():
    with SandboxTransport.start("fork", shared=True) as transport:
        yield transport


@pytest.fixture
def opened(shared, monkeypatch):
    """How many fresh processes there were."""
    count = []
    real = SandboxTransport._opened
    monkeypatch.setattr(SandboxTransport, "_opened", lambda self, *what: count.append(1) or real(self, *what))
    return count


def test_a_task_that_fails_everywhere_takes_one_process_more(toy, shared, opened):
    course = Course.load(toy)
    assignment = course.assignment("t01")
    assignment.module_path.write_text(
        "def mean(xs):\n    if not xs:\n        raise ValueError\n    return sum(xs) / len(xs)\n"
        "def running_mean(xs):\n    return [x + 0.5 for x in xs]\n"
    )
    report = grade(course, assignment, shared)
    assert sum(test.outcome == "failed" for test in report.tests) >= 5
    assert len(opened) == 2


def test_a_polluted_process_costs_nobody_a_point(toy, shared):
    """The first call leaves a trace that spoils all later ones in its process: alone, each test passes."""
    course = Course.load(toy)
    assignment = course.assignment("t01")
    assignment.module_path.write_text(
        "import builtins\n"
        "def mean(xs):\n    if not xs:\n        raise ValueError\n    return sum(xs) / len(xs)\n"
        "def running_mean(xs):\n"
        "    spoiled = getattr(builtins, 'spoiled', 0)\n"
        "    builtins.spoiled = spoiled + 1\n"
        "    return [mean(xs[: k + 1]) for k in range(len(xs))] if spoiled < 2 else [0.0 for _ in xs]\n"
    )
    outcomes = {test.name: test.outcome for test in grade(course, assignment, shared).tests}
    assert outcomes["test_the_means_of_the_beginnings[2]"] == "passed"
    assert outcomes["test_the_means_of_the_beginnings[9]"] == "passed"
    assert outcomes["test_two_calls_do_not_share"] == "passed"
