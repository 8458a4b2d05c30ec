"""A course and reports made by hand: what a renderer shows must not depend on how a report came about."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from autograder.course import Assignment, Course, Month, Task
from autograder.learner.progress import Progress
from autograder.report import NOT_WRITTEN, Recognised, Report, TestResult

HINTS = ("What does a word look at?", "Look at the axis that you sum over.", "Divide by the root of the head size.")


@pytest.fixture
def course(tmp_path: Path) -> Course:
    tasks = (
        Task("causal_mask", "The causal mask", 2, 10, HINTS, hidden_tests=2),
        Task("attention", "Attention", 4, 25, HINTS, hidden_tests=4),
        Task("Heads", "Several heads", 3, 30, HINTS, needs=("attention",), hidden_tests=2),
        Task("attention_with_cache", "The cache", 3, 30, HINTS, needs=("Heads",), hidden_tests=2),
    )
    second = (Task("norm", "The norm", 2, 20, HINTS, hidden_tests=1),)
    assignments = (
        Assignment(
            "a02_attention",
            "Attention, heads, rotary positions and the cache",
            "month1",
            "attention",
            "",
            tasks,
            tmp_path,
        ),
        Assignment("a03_block", "The block", "month1", "block", "", second, tmp_path),
        Assignment("a04_text", "Text", "month2", "text", "", second, tmp_path),
    )
    months = (
        Month("month1", "Month 1: foundations", ("a02_attention", "a03_block")),
        Month("month2", "Month 2: language", ("a04_text",)),
    )
    for one in assignments:  # as on a machine that has the authors' sources; a kit has none
        one.solution_folder.mkdir(parents=True)
        (one.solution_folder / "source.py").touch()
    return Course("From Attention to GRPO", tmp_path, months, assignments)


@pytest.fixture
def assignment(course: Course) -> Assignment:
    return course.assignments[0]


@pytest.fixture
def progress(course: Course) -> Progress:
    return Progress(course.state / "progress.json")


MISTAKE = Recognised(
    "no_scale",
    "The spread of your scores changes with the head size: which size, and to what power?",
    "Your answer equals what you get when the scores are not divided by the root of d.",
)


@pytest.fixture(name="test_of")
def _test_of():
    return made_test


def made_test(task, name, outcome="passed", *, hidden=True, worth=1.0, **more):
    sentence = more.pop("sentence", f"The sentence of {name}.")
    return TestResult(
        id=f"a02.{task}.test_{name}",
        task=task,
        hidden=hidden,
        outcome=outcome,
        sentence=sentence,
        points=worth if outcome == "passed" and hidden else 0.0,
        max_points=worth if hidden else 0.0,
        **more,
    )


@pytest.fixture
def report_of(assignment):
    """A report of the first assignment with the given tests."""

    def make(*tests, **more):
        tasks = tuple({"name": t.name, "title": t.title, "points": t.points} for t in assignment.tasks)
        settings = {
            "assignment": assignment.id,
            "title": assignment.title,
            "submission": "py:" + "ab" * 32,
            "tests_hash": "cd" * 32,
            "release": "ef" * 32,
            "isolation": "a process of its own, with Landlock",
            "not_stopped": ("reading the files that everybody may read", "using the network"),
            "versions": {"python": "3.11.7", "torch": "2.13.0"},
            "started": "2026-01-02T03:04:05+00:00",
            "complete": True,
        }
        return Report(tests=tuple(tests), tasks=tasks, **{**settings, **more})

    return make


@pytest.fixture
def untouched(assignment, report_of):
    return report_of(
        *(made_test(task.name, "one", "failed", reason=NOT_WRITTEN, worth=task.points) for task in assignment.tasks)
    )


@pytest.fixture
def halfway(report_of):
    """One task done, one that equals a known mistake, one that waits, one not written."""
    return report_of(
        made_test("causal_mask", "corner", hidden=False),
        made_test("causal_mask", "shape", worth=2.0),
        made_test("attention", "rows", hidden=False, worth=1.0),
        made_test(
            "attention",
            "scale",
            "failed",
            hidden=False,
            sentence="Scores are divided by the square root of the head size.",
            reason="attention(q, k, v) gave 0.7311 at [0, 0, 1]; 0.6225 is right (off by 0.11, allowed 1e-09).",
            mistake=MISTAKE,
            output="shape (2, 3, 4)\n",
        ),
        made_test(
            "attention", "values", "failed", worth=2.0, reason="It is off by more than allowed.", mistake=MISTAKE
        ),
        made_test("attention", "masked rows", worth=2.0),
        made_test("Heads", "one", "blocked", worth=3.0, reason="Builds on attention, which is not right yet."),
        made_test("attention_with_cache", "one", "failed", worth=3.0, reason=NOT_WRITTEN),
    )


@pytest.fixture
def all_passed(assignment, report_of):
    return report_of(*(made_test(task.name, "one", worth=task.points) for task in assignment.tasks))


TESTS = Path(__file__).parents[1]


def loaded(path: Path):
    spec = importlib.util.spec_from_file_location(f"shared_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def demo():
    """The reports that are made to be looked at."""
    return loaded(TESTS / "reporting" / "demo_reports.py")


@pytest.fixture(scope="session")
def demos(demo):
    """Each demo report with its assignment, by name."""
    return demo.everything(TESTS.parent)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """The same browser that looks at the documentation."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        pytest.skip("there is no Chromium on this machine to open the pages in")
    opened = loaded(TESTS / "docs" / "conftest.py").Browser(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
