"""A new assignment releases and verifies as it stands, and course.toml keeps its comments."""

import tomllib

import pytest

from autograder.authoring.release import release
from autograder.authoring.scaffold import module_name, new_assignment, with_assignment
from autograder.authoring.verify import verify
from autograder.course import Course
from autograder.errors import SourceError, UnknownName


def test_it_releases_and_verifies_as_it_stands(toy):
    folder = new_assignment(toy, "t03_sums", 'Sums, "running"', "month1")
    assert sorted(path.name for path in folder.iterdir()) == [
        "alternatives.py", "asks.py", "hidden_tests.py", "mistakes.py", "quiz.toml", "source.py",
    ]  # fmt: skip
    release(toy)
    course = Course.load(toy)
    assert course.assignments[-1].id == "t03_sums"
    assert course.assignments[-1].title == 'Sums, "running"'
    found = verify(course, course.assignment("t03"), quick=True)
    assert found.lapses == []
    assert [len(row.recognised_in) for row in found.mistakes] == [1, 1]


def test_comments_of_the_course_stay(toy):
    plan = toy / "solutions" / "course.toml"
    before = plan.read_text()
    new_assignment(toy, "t03_sums", "Sums", "month1")
    after = plan.read_text()
    assert after == before.replace('"t02_lists"]', '"t02_lists", "t03_sums"]')


LISTS = [
    ("[]", '["b01_x"]'),
    ('["a01_x"]', '["a01_x", "b01_x"]'),
    ('["a01_x",]', '["a01_x", "b01_x",]'),
    ('["a01_x"]  # why', '["a01_x", "b01_x"]  # why'),
    ('[\n    "a01_x",\n    "a02_y",\n]', '[\n    "a01_x",\n    "a02_y",\n    "b01_x",\n]'),
    ('[\n    "a01_x",\n    "a02_y"\n]', '[\n    "a01_x",\n    "a02_y",\n    "b01_x"\n]'),
    ('[\n    "a01_x",  # first ]\n    # "a03_z",\n]', '[\n    "a01_x",  # first ]\n    "b01_x",\n    # "a03_z",\n]'),
    ("[\n    'a01_x', 'a02_y',\n]", "[\n    'a01_x', 'a02_y', \"b01_x\",\n]"),
]


@pytest.mark.parametrize(("before", "after"), LISTS)
def test_the_list_is_edited_in_its_own_layout(tmp_path, before, after):
    form = (
        'title = "T"\n[[months]]\nid = "m0"\ntitle = "Zero"\nassignments = ["z01_z"]\n\n'
        '[[months]]  # the one\nid = "m1"\ntitle = "One"\nassignments = {}\n\n'
        '[[months]]\nid = "m2"\ntitle = "Two"\nassignments = ["z02_z"]\n'
    )
    edited = with_assignment(form.format(before), "m1", "b01_x", tmp_path)
    assert edited == form.format(after)
    assert tomllib.loads(edited)["months"][1]["assignments"][-1] == "b01_x"


def test_a_layout_that_cannot_be_edited_safely_is_refused(tmp_path):
    text = 'months = [{ id = "m1", title = "One", assignments = [] }]\ntitle = "T"\n'
    with pytest.raises(SourceError) as caught:
        with_assignment(text, "m1", "b01_x", tmp_path)
    assert "yourself" in str(caught.value)


def test_an_unknown_month_is_refused_with_the_nearest(toy):
    with pytest.raises(UnknownName, match="did you mean month1"):
        new_assignment(toy, "t03_sums", "Sums", "month11")
    assert not (toy / "solutions" / "t03_sums").exists()


@pytest.mark.parametrize(
    ("name", "title", "says"),
    [
        ("sums", "Sums", "no assignment's name"),
        ("t03-sums", "Sums", "no assignment's name"),
        ("t01_sums", "Sums", "t01_numbers is there already"),
        ("t03_sums", " ", "title is empty"),
        ("t03_sums", "a\nb", "line break"),
    ],
)
def test_a_name_that_cannot_be_is_refused(toy, name, title, says):
    with pytest.raises(SourceError, match=says):
        new_assignment(toy, name, title, "month1")


def test_a_folder_that_is_there_is_left_alone(toy):
    folder = toy / "solutions" / "t03_sums"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(SourceError, match="there already"):
        new_assignment(toy, "t03_sums", "Sums", "month1")
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "module"), [("a07_gae", "gae"), ("a01_numbers", "my_numbers"), ("a01_class", "my_class")]
)
def test_the_module_takes_the_assignments_word(name, module):
    assert module_name(name) == module
