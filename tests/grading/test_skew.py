"""What began as another release is graded with the tests that are released here, and the report says so."""

import json

import pytest

from autograder.authoring.notebook import make_notebook
from autograder.authoring.release import release
from autograder.course import Course
from autograder.grading.run import grade
from autograder.grading.submission import read_submission
from autograder.sandbox.loopback import LoopbackTransport

RIGHT = "if not xs:\n        raise ValueError\n    return math.fsum(xs) / len(xs)"


@pytest.fixture
def skewed(toy):
    """A submission from the first release, in a course that has since released another stub and another test."""
    path = toy / "assignments/t01_numbers/means.py"
    path.write_text(path.read_text().replace("# YOUR CODE HERE\n    raise NotImplementedError()", RIGHT, 1))
    old = Course.load(toy).assignment("t01").release
    source = toy / "solutions/t01_numbers/source.py"
    text = source.read_text().replace("import math\n", "import math  # for fsum\n", 1)
    source.write_text(text)
    tests = toy / "solutions/t01_numbers/hidden_tests.py"
    tests.write_text(tests.read_text().replace("test_no_numbers_no_mean", "test_nothing_has_no_mean"))
    release(toy)
    mistakes = toy / "solutions/t01_numbers/mistakes.py"
    mistakes.write_text(mistakes.read_text().replace("test_no_numbers_no_mean", "test_nothing_has_no_mean"))
    return toy, old


def graded(root, **more):
    course = Course.load(root)
    return grade(course, course.assignment("t01"), LoopbackTransport(), **more)


def test_the_newer_tests_count_and_the_report_says_so(skewed):
    root, old = skewed
    report = graded(root)
    now = Course.load(root).assignment("t01").release
    assert report.release == old != now
    assert f"This file began as release {old} of t01; it is graded with the tests of release {now}." in report.notes
    names = {test.name for test in report.tests}
    assert "test_nothing_has_no_mean" in names
    assert "test_no_numbers_no_mean" not in names
    assert {test.hidden for test in report.tests} == {True, False}, "public ones, as released here, ran too"
    mean = next(task for task in report.by_task() if task.name == "mean")
    assert mean.points == mean.max_points, "what is right in the older form is right"


def test_a_notebook_of_an_older_release_is_known_as_well(toy):
    course = Course.load(toy)
    assignment = course.assignment("t01")
    path = make_notebook(assignment)
    assert read_submission(assignment, "ipynb").release == assignment.release
    data = json.loads(path.read_text())
    data["metadata"]["autograder"] = {"assignment": assignment.id, "release": "abcdef012345"}
    path.write_text(json.dumps(data))
    report = graded(toy, form="ipynb")
    assert report.release == "abcdef012345"
    assert any("began as release abcdef012345" in note for note in report.notes)


@pytest.mark.parametrize("head", ["", "# (t02_lists, release abcdef012345)\n", "# (t01_numbers, release ../../x)\n"])
def test_a_file_that_does_not_say_counts_as_of_this_release(toy, head):
    path = toy / "assignments/t01_numbers/means.py"
    path.write_text(head + "import math\n\n\ndef mean(xs):\n    return math.fsum(xs) / len(xs)\n")
    report = graded(toy)
    assert report.release == Course.load(toy).assignment("t01").release
    assert not [note for note in report.notes if "began as" in note]


def test_the_same_release_is_no_skew(toy):
    assert not [note for note in graded(toy).notes if "began as" in note]


def test_public_tests_that_came_with_a_submission_do_not_run(toy):
    """The tests are the grader's: a public test file that is not as released here is left out, and that is told."""
    path = toy / "assignments/t01_numbers/test_public.py"
    path.write_text("def test_mine(student):\n    raise SystemExit\n")
    report = graded(toy)
    assert {test.hidden for test in report.tests} == {True}
    assert any("not as released" in note for note in report.notes)
