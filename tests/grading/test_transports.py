"""A report does not depend on the road: the loopback, a shared process and a fresh one tell the same."""

import pytest

from autograder.course import Course
from autograder.grading.run import grade
from autograder.sandbox.loopback import LoopbackTransport
from autograder.sandbox.session import SandboxTransport

MEAN = "def mean(xs):\n    if not xs:\n        raise ValueError('empty')\n    return sum(xs) / len(xs)\n"
RUNNING = "def running_mean(xs):\n    return [mean(xs[: k + 1]) for k in range(len(xs))]\n"

TEXTS = {
    "right": MEAN + RUNNING,
    "a known mistake": MEAN.replace("/ len(xs)", "") + RUNNING,
    "another known mistake": MEAN
    + "def running_mean(xs):\n    return [sum(xs[: k + 1]) / len(xs) for k in range(len(xs))]\n",
    "a change in place": MEAN.replace("return", "xs.sort()\n    return") + RUNNING,
    "raises": MEAN + "def running_mean(xs):\n    return xs[99]\n",
    "no data": MEAN + "def running_mean(xs):\n    return (x for x in xs)\n",
    "a module that remembers": MEAN + "seen = []\ndef running_mean(xs):\n    seen.extend(xs)\n    return list(seen)\n",
    "a missing function": MEAN,
    "a wrong signature": MEAN + "def running_mean(xs, window):\n    return xs\n",
    "random answers": MEAN + "import random\ndef running_mean(xs):\n    return [random.random() for _ in xs]\n",
    "does not load": MEAN + RUNNING + "1 / 0\n",
    "is no Python": "def mean(xs:\n",
    "prints": MEAN + "def running_mean(xs):\n    print('looking at', len(xs))\n    return []\n",
}


@pytest.fixture(scope="module")
def roads():
    with SandboxTransport.start("fork") as fresh, SandboxTransport.start("fork", shared=True) as shared:
        yield {"loopback": LoopbackTransport(), "fresh": fresh, "shared": shared}


@pytest.mark.parametrize("name", TEXTS)
def test_every_road_tells_the_same(toy, roads, name):
    course = Course.load(toy)
    assignment = course.assignment("t01")
    assignment.module_path.write_text(TEXTS[name])
    told = {}
    for road, transport in roads.items():
        report = grade(course, assignment, transport)
        told[road] = [(t.id, t.outcome, t.points, t.reason, t.mistake, t.seed) for t in report.tests]
    assert told["loopback"] == told["fresh"]
    assert told["fresh"] == told["shared"]


def test_a_failure_is_confirmed_in_a_fresh_process_even_where_it_would_be_blocked(toy, roads):
    """Own work that a wrong task does not touch is paid, whatever an earlier test left behind."""
    course = Course.load(toy)
    assignment = course.assignment("t01")
    assignment.module_path.write_text(
        "import builtins\n"
        "def mean(xs):\n    return 0.0\n"
        "def running_mean(xs):\n"
        "    if hasattr(builtins, 'was_here'):\n        return []\n"
        "    builtins.was_here = True\n"
        "    return [sum(xs[: k + 1]) / (k + 1) for k in range(len(xs))]\n"
    )
    report = grade(course, assignment, roads["shared"])
    outcomes = {test.name: test.outcome for test in report.tests}
    assert outcomes["test_the_means_of_the_beginnings[2]"] == "passed"
    assert outcomes["test_the_means_of_the_beginnings[9]"] == "passed"
