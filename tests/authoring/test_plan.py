"""course.toml is read, and a course that contradicts itself is refused."""

import pytest

from autograder.authoring.plan import read_plan
from autograder.errors import SourceError

GOOD = """title = "T"
private = "../secret"
[[months]]
id = "m1"
title = "One"
assignments = ["a01_x", "a02_y"]
[[months]]
id = "m2"
title = "Two"
assignments = []
[limits]
cpu_seconds = 3
"""


def write(tmp_path, text):
    (tmp_path / "solutions").mkdir(parents=True)
    (tmp_path / "solutions" / "course.toml").write_text(text)
    return tmp_path


def test_a_plan_is_read_in_order(tmp_path):
    root = write(tmp_path / "course", GOOD)
    (tmp_path / "secret").mkdir()
    plan = read_plan(root)
    assert plan.assignments == ("a01_x", "a02_y")
    assert plan.month_of("a02_y") == "m1"
    assert plan.limits == {"cpu_seconds": 3}
    assert plan.overlay("a01_x") == (root.parent / "secret" / "a01_x").resolve()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('title = "T"\n', "", "no title"),
        ('title = "T"\n', 'title = "T"\ncolour = "red"\n', "unknown key 'colour'"),
        ('"a02_y"', '"a01_x"', "stands twice"),
        ('"a02_y"', '"a01_y"', "a01 stands twice"),
        ('id = "m2"', 'id = "m1"', "month m1 stands twice"),
        ('id = "m2"\n', "", "not id, title and assignments"),
        ("assignments = []", 'assignments = "a03_z"', "no list"),
        ("cpu_seconds = 3", "cpu_seconds = 0", "limit cpu_seconds"),
        ("cpu_seconds = 3", "cpus = 3", "unknown limit 'cpus'"),
        ("[limits]", "[limits", "not TOML"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(tmp_path, old, new, says):
    assert old in GOOD
    with pytest.raises(SourceError) as caught:
        read_plan(write(tmp_path, GOOD.replace(old, new)))
    assert says in str(caught.value)


def test_no_course_is_said_so(tmp_path):
    with pytest.raises(SourceError, match="no course to release"):
        read_plan(tmp_path)
