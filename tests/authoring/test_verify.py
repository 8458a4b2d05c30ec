"""The author's gate opens for a sound assignment and closes for each way of being unsound."""

import json

import pytest

from autograder.authoring.release import release
from autograder.authoring.verify import calibration_hash, verify
from autograder.course import Course
from autograder.grading.material import author_of


@pytest.fixture
def gate(toy):
    """Edits files of t01 (old text -> new text), releases, and returns what the gate finds."""
    folder = toy / "solutions" / "t01_numbers"

    def run(name: str = "", old: str = "", new: str = "", **options):
        if name:
            text = (folder / name).read_text()
            assert old in text
            (folder / name).write_text(text.replace(old, new))
            release(toy)
        course = Course.load(toy)
        return verify(course, course.assignment("t01"), quick=True, **options)

    return run


def test_the_toy_course_passes(gate):
    found = gate()
    assert found.lapses == []
    assert set(found.trivial.values()) == {0.0}
    assert all(row.caught_by for row in found.mistakes)
    assert {row.id for row in found.mistakes if not row.recognised_in} == {"empty_is_zero"}  # a lone number


def test_a_test_that_skips_without_a_package_is_no_lapse(gate):
    skipping = (
        '@task("mean")\ndef test_same_as_a_library(student):\n    """The mean is the library\'s."""\n'
        '    pytest.importorskip("no_such_library")\n    student.mean([1.0]).equals(1.0)\n\n\n'
    )
    first = '@task("mean")\n@pytest.mark.parametrize(("xs", "expected"), [([3.0], 3.0)'
    found = gate("source.py", first, skipping + first)
    assert found.lapses == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "source.py",
            "return math.fsum(xs) / len(xs)",
            "return math.fsum(xs) / (len(xs) + 1)",
            "the reference does not pass",
        ),
        ("alternatives.py", "", "", ""),
        ("mistakes.py", "return math.fsum(xs)\n", "return mean(xs)\n", "the mistake sum_for_mean passes"),
        ("mistakes.py", 'twin="drops_the_last_mean",', "", "are only 0 tolerances apart"),
        ("mistakes.py", 'caught_by="test_no_numbers_no_mean"', 'caught_by="test_no_such"', "which is no hidden test"),
        ("hidden_tests.py", '@needs("test_the_mean_of_many")\ndef test_no_numbers', "def test_no_numbers", "pays"),
        ("mistakes.py", 'seen="What is the mean of no numbers at all?"', 'seen=" "', "lacks a sentence"),
    ],
)
def test_each_lapse_is_named(gate, name, old, new, said):
    lapses = gate(name, old, new).lapses
    assert any(said in lapse for lapse in lapses) if said else not lapses


def test_a_measurement_is_kept_until_something_changes(toy):
    course = Course.load(toy)
    assignment = course.assignment("t02")
    first = verify(course, assignment)
    assert not first.lapses
    assert not first.kept
    again = verify(course, assignment)
    assert again.kept
    assert again.seeds == first.seeds
    path = assignment.solution_folder / "hidden_tests.py"
    path.write_text(path.read_text() + "\n# another thought\n")
    assert not verify(course, assignment).kept


def test_what_is_kept_is_plain_json(toy):
    course = Course.load(toy)
    verify(course, course.assignment("t02"))
    text = (toy / "solutions" / "t02_lists" / "calibration.json").read_text()
    assert "Infinity" not in text
    assert len(json.loads(text)["seeds"]["test_random_words_are_counted"]) == 32


def test_words_of_the_handout_make_no_measurement_stale_and_code_does(toy):
    course = Course.load(toy)
    assignment = course.assignment("t01")
    author = author_of(assignment)
    path = author.path("source.py")
    before, text = calibration_hash(course, assignment, author), path.read_text()
    prose = next(line for line in text.splitlines() if line.startswith("# ") and "%%" not in line)
    for old, new, same in (
        (prose, prose + " Take your time.", True),
        ('title="', 'title="The ', False),
        ("    return ", "    return  ", False),
    ):
        assert old in text
        path.write_text(text.replace(old, new, 1))
        assert (calibration_hash(course, assignment, author) == before) is same, old
