"""A class's private folder: its hidden tests, seeds and secret go before ours, and nothing of it reaches a student."""

import json
import zipfile

import pytest

from autograder.authoring.verify import verify
from autograder.classroom.gradescope_zip import write_zips
from autograder.classroom.kit import write_kit
from autograder.course import Course
from autograder.errors import CourseError
from autograder.grading.material import Material
from autograder.grading.private import secret_of
from autograder.grading.run import grade
from autograder.sandbox.loopback import LoopbackTransport

WORD = "zanzibar"
"""Stands in every file of the private folder, and nowhere else."""


@pytest.fixture
def private(toy, tmp_path):
    """The toy course with a private folder: other tests, asks, mistakes and quiz for t01, seeds of its own, a secret."""
    folder = tmp_path / "our_class" / "t01_numbers"
    folder.mkdir(parents=True)
    ours = toy / "solutions" / "t01_numbers"
    tests = (ours / "hidden_tests.py").read_text().replace("test_the_mean_of_many", f"test_the_mean_of_{WORD}")
    (folder / "hidden_tests.py").write_text(tests + f"\n# {WORD}\n")
    for name in ("asks.py", "alternatives.py"):
        (folder / name).write_text((ours / name).read_text() + f"\n# {WORD}\n")
    mistakes = (ours / "mistakes.py").read_text().replace("test_the_mean_of_many", f"test_the_mean_of_{WORD}")
    (folder / "mistakes.py").write_text(mistakes.replace("Your mean grows", f"Your {WORD} grows"))
    quiz = (ours / "quiz.toml").read_text()
    (folder / "quiz.toml").write_text(quiz.replace('explanation = "', f'explanation = "{WORD} ') + f"\n# {WORD}\n")
    seeds = {f"test_the_mean_of_{WORD}": list(range(9000, 9032))}
    (folder / "calibration.json").write_text(json.dumps({"seeds": seeds, "about": WORD}))
    (folder.parent / "secret.txt").write_text(f"{WORD} 4f1c\n")
    plan = toy / "solutions" / "course.toml"
    plan.write_text(f'private = "{folder.parent}"\n' + plan.read_text())
    return folder.parent


def seeds_of(root):
    course = Course.load(root)
    material = Material(course, course.assignment("t01"))
    cases = {case.family: case for case in material.cases if case.hidden}
    return {name: material.seeds(case, "s1", secret_of(course)) for name, case in cases.items()}


def test_the_private_tests_and_seeds_are_used(toy, private):
    course = Course.load(toy)
    report = grade(course, course.assignment("t01"), LoopbackTransport())
    names = {test.name for test in report.tests if test.hidden}
    assert f"test_the_mean_of_{WORD}" in names
    assert "test_the_mean_of_many" not in names
    (seed,) = {test.seed for test in report.tests if test.name == f"test_the_mean_of_{WORD}"}
    assert 9000 <= seed < 9032


def test_the_secret_decides_which_seed(toy, private):
    first = seeds_of(toy)
    assert secret_of(Course.load(toy)) == f"{WORD} 4f1c"
    (private / "secret.txt").write_text("another one")
    second = seeds_of(toy)
    assert first.keys() == second.keys()
    assert first != second
    (private / "secret.txt").unlink()
    assert secret_of(Course.load(toy)) == "Toys", "without one, the course's title"
    (private / "secret.txt").write_text(" \n")
    with pytest.raises(CourseError, match="secret is empty"):
        secret_of(Course.load(toy))


def test_our_seeds_say_nothing_of_other_tests(toy, private):
    """Seeds that were vetted for our tests are not taken for a class's own of the same name."""
    ours = {"seeds": {"test_no_numbers_no_mean": [5] * 32, "test_both_functions_together": [5] * 32}}
    (toy / "solutions/t01_numbers/calibration.json").write_text(json.dumps(ours))
    (private / "t01_numbers/calibration.json").unlink()
    assert [5, 5, 5] not in seeds_of(toy).values()
    (private / "t01_numbers/hidden_tests.py").unlink()
    (private / "t01_numbers/mistakes.py").unlink()
    assert [5, 5, 5] in seeds_of(toy).values()


def test_a_measurement_is_kept_with_the_tests_that_were_measured(toy, private):
    (private / "t01_numbers/calibration.json").unlink()
    course = Course.load(toy)
    from autograder.authoring.release import release

    release(toy)
    found = verify(course, course.assignment("t01"))
    assert not found.lapses
    assert (private / "t01_numbers/calibration.json").is_file()
    assert not (toy / "solutions/t01_numbers/calibration.json").exists()


@pytest.mark.parametrize("workflow", [False, True])
def test_a_kit_holds_nothing_of_it(toy, private, tmp_path, workflow):
    write_kit(toy, tmp_path / "kit", workflow=workflow)
    files = [path for path in (tmp_path / "kit").rglob("*") if path.is_file()]
    assert [path.name for path in files if WORD.encode() in path.read_bytes()] == []
    assert [path.name for path in files if str(private).encode() in path.read_bytes()] == []


def test_a_gradescope_zip_takes_it_along(toy, private, tmp_path):
    write_zips(toy, tmp_path / "zips")
    with zipfile.ZipFile(tmp_path / "zips/t01_numbers.zip") as archive:
        archive.extractall(tmp_path / "source")
    unpacked = Course.load(tmp_path / "source")
    assert secret_of(unpacked) == f"{WORD} 4f1c"
    assert seeds_of(tmp_path / "source") == seeds_of(toy)
    with zipfile.ZipFile(tmp_path / "zips/t02_lists.zip") as archive:
        assert not [name for name in archive.namelist() if "t01_numbers" in name]


def test_a_private_folder_that_is_not_there_is_refused(toy, private, tmp_path):
    """Ours would stand in for it without a word."""
    private.rename(tmp_path / "moved")
    course = Course.load(toy)
    for act in (lambda: Material(course, course.assignment("t01")), lambda: write_kit(toy, tmp_path / "kit")):
        with pytest.raises(CourseError, match="is not there") as refused:
            act()
        assert "mkdir" in refused.value.mend


@pytest.mark.parametrize("written", ['""', "3", "true"])
def test_a_private_folder_has_a_name(toy, written):
    plan = toy / "solutions" / "course.toml"
    plan.write_text(f"private = {written}\n" + plan.read_text())
    with pytest.raises(CourseError, match="no folder's name"):
        secret_of(Course.load(toy))
