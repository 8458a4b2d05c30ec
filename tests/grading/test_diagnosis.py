"""A known mistake is recognised where the whole answer equals it, and nothing is ever called by a wrong name."""

import pytest

from autograder.course import Course
from autograder.grading.diagnosis import build_record, from_record, read_record, same_record
from autograder.grading.material import author_of
from autograder.grading.run import grade
from autograder.sandbox.loopback import LoopbackTransport
from autograder.testing.collect import collect_tests

RUNNING = "def running_mean(xs):\n    return [sum(xs[: k + 1]) / (k + 1) for k in range(len(xs))]\n"
MEAN = "def mean(xs):\n    if not xs:\n        raise ValueError('empty')\n    return sum(xs) / len(xs)\n"


@pytest.fixture
def recognised(toy):
    """The mistakes recognised in a text, by test."""
    course = Course.load(toy)
    assignment = course.assignment("t01")

    def run(text: str) -> dict[str, str]:
        assignment.module_path.write_text(text)
        report = grade(course, assignment, LoopbackTransport())
        return {test.name: test.mistake.id for test in report.tests if test.mistake}

    return run


def test_a_mistake_is_recognised_by_its_answer_not_its_code(recognised):
    found = recognised(
        MEAN + "def running_mean(xs):\n    n = len(xs)\n    return [sum(xs[:k]) / n for k in range(1, n + 1)]\n"
    )
    assert set(found.values()) == {"divides_by_the_whole"}
    assert any(name.startswith("test_the_means_of_the_beginnings") for name in found)


def test_a_lone_number_must_agree_on_three_seeds(recognised):
    assert recognised("def mean(xs):\n    return float(sum(xs))\n" + RUNNING)["test_the_mean_of_many"] == "sum_for_mean"
    once = "import itertools\ncalls = itertools.count()\n"
    assert "test_small_means_by_hand[xs1-1.5]" not in recognised(
        once + "def mean(xs):\n    return float(sum(xs))\n" + RUNNING
    )


def test_twins_go_by_either_name(recognised):
    found = recognised(MEAN + RUNNING.replace("range(len(xs))", "range(len(xs) - 1)"))
    assert set(found.values()) <= {"one_count_early", "drops_the_last_mean"}
    assert found


@pytest.mark.parametrize(
    "body",
    [
        "return [0.0 for _ in xs]",
        "return [float('nan') for _ in xs]",
        "import random; return [random.random() for _ in xs]",
        "return [x + 1 for x in xs]",
        "return None",
    ],
)
def test_nothing_is_said_of_an_answer_that_equals_no_mistake(recognised, body):
    assert recognised(MEAN + f"def running_mean(xs):\n    {body}\n") == {}


def test_a_random_answer_is_not_recognised_even_if_it_once_agrees(recognised):
    text = (
        MEAN + "import random\nrandom.seed()\n"
        "def running_mean(xs):\n    n = len(xs) if random.random() < 0.5 else 1\n"
        "    return [sum(xs[:k]) / n + random.random() for k in range(1, n + 1)]\n"
    )
    assert recognised(text) == {}


def test_the_record_for_the_kit_says_the_same_as_running_the_mistakes(toy):
    course = Course.load(toy)
    assignment = course.assignment("t01")
    author = author_of(assignment)
    cases = collect_tests(assignment.public_tests, hidden=False)
    data = build_record(author, cases)
    assert same_record(data, build_record(author, cases))
    assert same_record(data, (assignment.folder / ".diagnosis.safetensors").read_bytes())
    recorded = from_record(assignment.folder / ".diagnosis.safetensors")
    by_hand = next(case for case in cases if case.name == "test_a_list_by_hand")
    assert {candidate.recognised.id for candidate in recorded(by_hand, 0)} >= {
        "divides_by_the_whole",
        "one_count_early",
    }


@pytest.mark.parametrize(("factor", "same"), [("1.00005", True), ("1.01", False)])
def test_a_record_differs_by_its_answers_not_by_the_last_digits_of_a_processor(toy, factor, same):
    assignment = Course.load(toy).assignment("t01")
    cases = collect_tests(assignment.public_tests, hidden=False)
    before = build_record(author_of(assignment), cases)
    mistakes = assignment.solution_folder / "mistakes.py"
    text = mistakes.read_text()
    old = "math.fsum(xs[: k + 1]) / len(xs) for"
    assert old in text
    mistakes.write_text(text.replace(old, f"{factor} * {old}"))
    after = build_record(author_of(assignment), cases)
    assert after != before
    assert same_record(before, after) is same


def test_a_damaged_record_recognises_nothing_and_breaks_nothing(toy):
    path = Course.load(toy).assignment("t01").folder / ".diagnosis.safetensors"
    whole = path.read_bytes()
    for damaged in (b"", whole[:20], whole[:-3], b"\xff" * 40, whole.replace(b"seen", b"sene")):
        assert read_record(damaged) == {}


def test_the_record_holds_no_code(toy):
    data = (Course.load(toy).assignment("t01").folder / ".diagnosis.safetensors").read_bytes()
    for word in (b"def ", b"import", b"return", b"lambda"):
        assert word not in data


def test_the_record_is_the_same_whether_or_not_an_optional_package_is_here(toy):
    test = toy / "assignments" / "t01_numbers" / "test_public.py"
    text = test.read_text()
    line = '    """Entry k is the mean of the first k + 1 numbers."""\n'
    assert line in text
    test.write_text(text.replace(line, line + '    pytest.importorskip("json_of_nobody")\n', 1))
    assignment = Course.load(toy).assignment("t01")
    record = build_record(author_of(assignment), collect_tests(assignment.public_tests, hidden=False))
    assert "test_a_list_by_hand" not in read_record(record)
