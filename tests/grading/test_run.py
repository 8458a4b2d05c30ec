"""A grading of the toy course: points, blocking, reasons, and what is said when something is broken."""

import pytest

from autograder.course import Course
from autograder.errors import SourceError
from autograder.grading.run import grade, merged
from autograder.report import NOT_WRITTEN
from autograder.sandbox.loopback import LoopbackTransport

MEAN = "def mean(xs):\n    if not xs:\n        raise ValueError('empty')\n    return sum(xs) / len(xs)\n"
RUNNING = "def running_mean(xs):\n    return [mean(xs[: k + 1]) for k in range(len(xs))]\n"


@pytest.fixture
def graded(toy):
    """Grades a text as the toy course's means.py."""
    course = Course.load(toy)
    assignment = course.assignment("t01")

    def run(text: str, task: str | None = None):
        assignment.module_path.write_text(text)
        return grade(course, assignment, LoopbackTransport(), task=assignment.task(task) if task else None)

    return run


def outcomes(report, task):
    return {test.name: test.outcome for test in report.tests if test.task == task}


def test_a_right_answer_gets_full_marks(graded):
    report = graded(MEAN + RUNNING)
    assert report.points == report.max_points == 5
    assert {test.outcome for test in report.tests} == {"passed"}
    assert report.complete


def test_the_untouched_stub_gets_nothing_and_is_told_so(toy):
    course = Course.load(toy)
    report = grade(course, course.assignment("t01"), LoopbackTransport())
    assert report.points == 0
    assert {test.reason for test in report.tests} == {NOT_WRITTEN}


def test_public_tests_are_practice(graded):
    report = graded(MEAN + RUNNING)
    assert all(test.max_points == 0 for test in report.tests if not test.hidden)
    assert sum(test.max_points for test in report.tests) == pytest.approx(5)


def test_what_builds_on_a_wrong_task_is_blocked(graded):
    report = graded("def mean(xs):\n    return sum(xs) / len(xs) + 1\n" + RUNNING)
    wrong = [test for test in report.tests if test.task == "running_mean" and test.outcome != "passed"]
    assert {test.outcome for test in wrong} == {"blocked"}
    assert all("mend that first" in test.reason or "Holds already" in test.reason for test in wrong)
    assert any("Builds on mean" in test.reason for test in wrong)
    assert sum(test.points for test in wrong) == 0


def test_own_work_is_paid_even_when_what_it_could_build_on_is_wrong(graded):
    alone = "def running_mean(xs):\n    return [sum(xs[: k + 1]) / (k + 1) for k in range(len(xs))]\n"
    report = graded("def mean(xs):\n    return 0.0\n" + alone)
    assert outcomes(report, "running_mean")["test_the_means_of_the_beginnings[9]"] == "passed"


def test_a_property_counts_only_once_the_value_is_right(graded):
    report = graded("def mean(xs):\n    raise ValueError('always')\n" + RUNNING)
    assert outcomes(report, "mean")["test_no_numbers_no_mean"] == "blocked"
    assert sum(test.points for test in report.tests if test.task == "mean") == 0


def test_a_syntax_error_is_said_once_and_everywhere_the_same(graded):
    report = graded("def mean(xs:\n    return 1\n")
    assert report.points == 0
    (reason,) = {test.reason for test in report.tests if test.task == "mean"}
    assert "line 1" in reason


def test_a_missing_function_is_named(graded):
    report = graded(MEAN.replace("def mean", "def maen"))
    assert any("no function or class called mean" in test.reason for test in report.tests)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", "None"),
        ("return '3'", "str"),
        ("return float('nan')", "NaN"),
        ("raise KeyError('lost')", "KeyError"),
        ("return lambda: 3", "plain data"),
        ("xs.sort(); return sum(xs) / len(xs)", "argument 1 in place"),
    ],
)
def test_a_wrong_kind_of_answer_is_named(graded, body, said):
    report = graded(f"def mean(xs):\n    {body}\n" + RUNNING)
    many = next(test for test in report.tests if test.name == "test_the_mean_of_many")
    assert many.outcome == "failed"
    assert said in many.reason


def test_a_hidden_reason_shows_no_value(graded):
    report = graded("def mean(xs):\n    return 41999.25\n" + RUNNING)
    hidden = next(test for test in report.tests if test.name == "test_the_mean_of_many")
    assert "41999" not in hidden.reason
    public = next(test for test in report.tests if test.name.startswith("test_small_means"))
    assert "41999.2" in public.reason


def test_a_forbidden_helper_earns_nothing_for_its_task(graded):
    report = graded("import statistics\ndef mean(xs):\n    return statistics.fmean(xs)\n" + RUNNING)
    assert sum(test.points for test in report.tests if test.task == "mean") == 0
    assert any("Line 3 uses statistics.fmean" in test.reason for test in report.tests)


def test_a_check_of_one_task_leaves_the_others_as_they_were(graded):
    whole = graded(MEAN + RUNNING)
    part = graded(MEAN + "def running_mean(xs):\n    return []\n", task="running_mean")
    assert {test.task for test in part.tests} == {"running_mean"}
    both = merged(whole, part)
    assert [task.points for task in both.by_task()] == [2, 0]


def test_the_same_work_gets_the_same_seeds(graded):
    one, other = graded(MEAN + RUNNING), graded(MEAN + RUNNING)
    assert [test.seed for test in one.tests] == [test.seed for test in other.tests]


def test_two_tests_of_one_name_are_refused(toy):
    course = Course.load(toy)
    path = toy / "solutions" / "t01_numbers" / "hidden_tests.py"
    path.write_text(path.read_text().replace("test_the_mean_of_many", "test_a_list_by_hand"))
    with pytest.raises(SourceError, match="two tests"):
        grade(course, course.assignment("t01"), LoopbackTransport())


def test_a_kit_has_no_points_to_give_and_says_how_many_tests_are_elsewhere(toy):
    (toy / "solutions").rename(toy / "elsewhere")
    course = Course.load(toy)
    report = grade(course, course.assignment("t01"), LoopbackTransport())
    assert report.hidden_elsewhere > 0
    assert not any(test.hidden for test in report.tests)


def test_what_a_tests_own_code_warns_of_costs_nothing_and_is_not_shown(toy, graded, recwarn):
    hidden = toy / "solutions" / "t01_numbers" / "hidden_tests.py"
    text = hidden.read_text()
    line = next(line for line in text.splitlines() if line.startswith("    student."))
    warned = f'    __import__("warnings").warn("a library changes", stacklevel=1)\n{line}'
    hidden.write_text(text.replace(line, warned, 1))
    report = graded(MEAN + RUNNING)
    assert report.points == report.max_points == 5
    assert not recwarn.list
