"""What nbgrader hands to students as it is: files beside a notebook, where an answer or a hidden test could slip out."""

import json
import shutil

import pytest

NAME, BOOK = "t01_numbers", "means"
HELPER = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION\n"


@pytest.fixture
def beside(classroom):
    """Lays files beside the notebook in source/, and takes them and the config's lines away again."""
    source = classroom.tree / "source" / NAME
    config = classroom.tree / "nbgrader_config.py"
    before, laid = config.read_text(), []

    def lay(name, content):
        path = source / name
        path.parent.mkdir(exist_ok=True)
        laid.append(path)
        path.symlink_to(content) if hasattr(content, "is_file") else path.write_text(content)
        return path

    yield lay
    for path in laid:
        path.unlink()
    config.write_text(before)
    assert generate(classroom).code == 0, "a refused release leaves nothing that stands in the way of the next"


def generate(room):
    return room.nbgrader("generate_assignment", NAME, "--force")


def refused(room, *words):
    ended = generate(room)
    assert ended.code != 0, "it was released"
    assert not (room.tree / "release" / NAME).exists()
    assert all(word in ended.said for word in words), ended.said[-2000:]


def test_an_unknown_file_stops_the_release_and_says_how_to_allow_it(classroom, beside):
    beside("data.csv", "1,2,3\n")
    refused(classroom, "data.csv", "c.StripSupportFiles.allowed")
    classroom.configure(f'c.StripSupportFiles.allowed = {{"{NAME}": ["*.csv"]}}')
    assert generate(classroom).code == 0
    assert (classroom.tree / "release" / NAME / "data.csv").read_text() == "1,2,3\n"


@pytest.mark.parametrize("name", ["hidden_tests.py", "mistakes.py", "source.py", "alternatives.py"])
def test_an_authors_file_is_never_released_whatever_the_config_allows(classroom, beside, name):
    text = (classroom.course / "solutions" / NAME / name).read_text()
    classroom.configure(f'c.StripSupportFiles.allowed = {{"{NAME}": ["*"]}}')
    beside("helpers.py", text)
    refused(classroom, "helpers.py", f"solutions/{NAME}/{name}")


def test_a_support_file_goes_out_as_a_stub_and_stays_the_students_when_graded(classroom, beside, book):
    classroom.configure(f'c.StripSupportFiles.allowed = {{"{NAME}": ["helper.py"]}}')
    beside("helper.py", HELPER)
    assert generate(classroom).code == 0
    stub = (classroom.tree / "release" / NAME / "helper.py").read_text()
    assert "return 2 * x" not in stub
    assert "# YOUR CODE HERE\n    raise NotImplementedError()" in stub
    wrong = book.answered(classroom.released(), mean="def mean(xs):\n    return 0.0")
    classroom.hand_in("supporter", wrong, {"helper.py": "mine = True\n"})
    classroom.done("autograde", NAME, "--student", "supporter")
    assert (classroom.tree / "autograded" / "supporter" / NAME / "helper.py").read_text() == "mine = True\n"
    assert classroom.score("supporter") == 0.0, "the instructor's own file must not earn it points"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("### BEGIN HIDDEN TESTS\nassert True\n### END HIDDEN TESTS\n", "hidden tests"),
        ("def f():\n    ### BEGIN SOLUTION\n    return 1\n", "never ends"),
        ("def f():\n    # begin solution\n    return 1\n", "nearly a marker"),
    ],
)
def test_what_cannot_be_stripped_is_not_released(classroom, beside, text, said):
    classroom.configure(f'c.StripSupportFiles.allowed = {{"{NAME}": ["*.py"]}}')
    beside("helper.py", text)
    refused(classroom, "helper.py", said)


def test_a_link_is_not_followed(classroom, beside):
    classroom.configure(f'c.StripSupportFiles.allowed = {{"{NAME}": ["*"]}}')
    beside("innocent.txt", classroom.course / "solutions" / NAME / "hidden_tests.py")
    refused(classroom, "innocent.txt", "link")


def test_a_released_file_that_was_edited_is_not_handed_out(classroom):
    path = classroom.tree / "source" / NAME / ".course" / "assignments" / NAME / "asks.py"
    before = path.read_text()
    path.write_text(before + "\nanswer = 42\n")
    try:
        refused(classroom, "asks.py", "not as it was released")
    finally:
        path.write_text(before)
        assert generate(classroom).code == 0


def test_a_check_cell_with_other_points_is_not_released(classroom):
    path = classroom.tree / "source" / NAME / f"{BOOK}.ipynb"
    before = path.read_text()
    notebook = json.loads(before)
    next(c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("points"))["metadata"]["nbgrader"][
        "points"
    ] = 20
    path.write_text(json.dumps(notebook))
    try:
        refused(classroom, "check-mean", "20")
    finally:
        path.write_text(before)
        assert generate(classroom).code == 0


def test_writing_the_tree_again_leaves_what_was_edited(classroom):
    from autograder.classroom.nbgrader_tree import write_course_tree
    from autograder.course import Course

    course = Course.load(classroom.course)
    folder = classroom.base / "again"
    assert write_course_tree(course, folder).written
    assert not write_course_tree(course, folder).written
    config = folder / "nbgrader_config.py"
    config.write_text(config.read_text() + "\n# mine\n")
    (folder / "source" / NAME / f"{BOOK}.ipynb").unlink()
    again = write_course_tree(course, folder)
    assert again.written == (f"source/{NAME}/{BOOK}.ipynb",)
    assert config.read_text().endswith("# mine\n")


def test_a_course_of_somebody_elses_is_not_written_over(classroom, tmp_path):
    from autograder.classroom.nbgrader_tree import write_course_tree
    from autograder.course import Course
    from autograder.errors import ReleaseError

    (tmp_path / "source").mkdir()
    with pytest.raises(ReleaseError, match="already"):
        write_course_tree(Course.load(classroom.course), tmp_path)


def test_without_hidden_tests_nothing_is_graded(classroom, book, tmp_path):
    kit = tmp_path / "kit"
    shutil.copytree(classroom.course / "assignments", kit / "assignments")
    classroom.hand_in("early_bird", book.answered(classroom.released(), **book.HONEST))
    ended = classroom.nbgrader("autograde", NAME, "--student", "early_bird", f"--IsolatedExecute.course={kit}")
    assert ended.code != 0
    assert "has no hidden tests here" in ended.said
    assert not (classroom.tree / "autograded" / "early_bird").is_dir() or not list(
        (classroom.tree / "autograded" / "early_bird").iterdir()
    )
