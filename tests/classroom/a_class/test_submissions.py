"""What is found among submissions, and what is refused by name: nothing is unpacked, followed or run."""

import io
import os
import shutil
import stat
import time
import zipfile
from pathlib import Path

import pytest

from autograder.classroom.roster import Person, other_names, read_roster
from autograder.classroom.submissions import collect
from autograder.course import Course
from autograder.errors import AutograderError

TEXT = "def mean(xs):\n    return 0.0\n"


@pytest.fixture
def place(released_toy, tmp_path):
    return Course.load(released_toy), tmp_path / "in"


def write(path: Path, text: str = TEXT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def pack(path: Path, files: dict[str, bytes], link: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")


def found(course, folder, **more):
    collected = collect(folder, course, **more)
    return {(h.student, h.assignment): h for h in collected.handed_in}, collected.refused


@pytest.mark.parametrize(
    "path",
    [
        "ann/t01_numbers/means.py",
        "ann/t01/means.py",
        "ann/means.py",
        "submitted/ann/t01_numbers/means.py",
        "ann/some-repository-main/assignments/t01_numbers/means.py",
    ],
)
def test_folders_of_many_forms(place, path):
    course, folder = place
    write(folder / path)
    handed_in, refused = found(course, folder)
    assert handed_in["ann", "t01_numbers"].text == TEXT
    assert not refused


def test_archives_of_a_student_and_of_a_class(place):
    course, folder = place
    pack(folder / "ann.zip", {"t01_numbers/means.py": TEXT.encode()})
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("means.py", TEXT)
    pack(folder / "all.zip", {"bob/t01_numbers/means.py": TEXT.encode(), "cyd.zip": inner.getvalue()})
    handed_in, _ = found(course, folder / "all.zip")
    assert {student for student, _ in handed_in} == {"bob", "cyd"}
    (folder / "all.zip").unlink()
    assert ("ann", "t01_numbers") in found(course, folder)[0]


def test_the_names_that_canvas_and_moodle_give(place):
    course, folder = place
    write(folder / "doeann_12345_67890_means-2.py")
    write(folder / "Bob Ray_777_assignsubmission_file_" / "means.py")
    people = [Person("ann", "Ann", "Doe", lms_user_id="12345"), Person("bob", "Bob", "Ray")]
    handed_in, refused = found(course, folder, known_as=other_names(people))
    assert set(handed_in) == {("ann", "t01_numbers"), ("bob", "t01_numbers")}
    assert not refused


def test_a_notebook_is_graded_where_the_module_is_the_untouched_stub(place):
    course, folder = place
    stub = (course.assignment("t01").folder / ".stub.py").read_text()
    write(folder / "ann/t01_numbers/means.py", stub)
    write(
        folder / "ann/t01_numbers/means.ipynb", '{"cells": [{"cell_type": "code", "source": "x = 1", "metadata": {}}]}'
    )
    chosen = found(course, folder)[0]["ann", "t01_numbers"]
    assert (chosen.form, chosen.text) == ("ipynb", "x = 1\n")
    assert "means.ipynb" in chosen.notes[0]


def test_what_is_not_graded_beside_it_is_said(place):
    course, folder = place
    write(folder / "ann/t01_numbers/means.py")
    write(folder / "ann/t01_numbers/helper.py")
    assert "helper.py" in found(course, folder)[0]["ann", "t01_numbers"].notes[0]


def not_utf8(folder):
    write(folder / "ann/t01_numbers/means.py")
    (folder / "ann/t01_numbers/means.py").write_bytes(b"x = '\xff'")


def huge(folder):
    write(folder / "ann/t01_numbers/means.py")
    with (folder / "ann/t01_numbers/means.py").open("r+b") as file:
        file.truncate(2 << 30)


def bomb(folder):
    pack(folder / "ann.zip", {"t01_numbers/means.py": b"\0" * (64 << 20)})


def lying_bomb(folder):
    """An archive that says of a large entry that it is small."""
    bomb(folder)
    data = (folder / "ann.zip").read_bytes()
    (folder / "ann.zip").write_bytes(data.replace((64 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little")))


def climbs(folder):
    pack(folder / "ann.zip", {"../../t01_numbers/means.py": TEXT.encode()})


def link(folder):
    (folder / "ann/t01_numbers").mkdir(parents=True)
    (folder / "ann/t01_numbers/means.py").symlink_to("/etc/passwd")


def packed_link(folder):
    pack(folder / "ann.zip", {}, link="t01_numbers/means.py")


def pipe(folder):
    (folder / "ann/t01_numbers").mkdir(parents=True)
    os.mkfifo(folder / "ann/t01_numbers/means.py")


def twice(folder):
    write(folder / "ann/t01_numbers/means.py")
    pack(folder / "ann.zip", {"t01_numbers/means.py": b"x = 1"})


def damaged(folder):
    pack(folder / "ann.zip", {"t01_numbers/means.py": TEXT.encode() * 100})
    data = bytearray((folder / "ann.zip").read_bytes())
    data[60:70] = b"\xff" * 10
    (folder / "ann.zip").write_bytes(data)


def no_notebook(folder):
    write(folder / "ann/t01_numbers/means.ipynb", '{"cells": 5}')


def nothing(folder):
    write(folder / "ann/t01_numbers/main.py")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (not_utf8, "not UTF-8"),
        (huge, "larger than 4 MB"),
        (bomb, "larger than 4 MB"),
        (lying_bomb, "means.py"),
        (climbs, "leads out"),
        (link, "is a link"),
        (packed_link, "is a link"),
        (pipe, "no ordinary file"),
        (twice, "more than once"),
        (damaged, "damaged"),
        (no_notebook, "no notebook"),
        (nothing, "main.py"),
    ],
)
def test_what_cannot_be_graded_is_worth_nothing_and_says_why(place, make, said):
    course, folder = place
    folder.mkdir()
    make(folder)
    began = time.monotonic()
    handed_in, refused = found(course, folder)
    assert time.monotonic() - began < 5
    problems = [handed_in[key].problem for key in handed_in] + [f"{r.name}: {r.problem}" for r in refused]
    assert any(said in problem for problem in problems), problems
    assert all("means" in p or "main" in p for p in problems), "it names the file"
    assert not any(h.text for h in handed_in.values())


@pytest.mark.parametrize("name", ["..", "x" * 300, "\u202e", "a\nb", " ", "-rf", "$(x)"])
def test_absurd_names_of_students_are_refused_by_name(place, name):
    course, folder = place
    pack(folder / "all.zip", {f"{name}/t01_numbers/means.py": TEXT.encode()})
    handed_in, refused = found(course, folder / "all.zip")
    assert not handed_in
    assert len(refused) == 1


def test_a_directory_of_entries_without_end_is_refused_before_it_is_read(place):
    course, folder = place
    folder.mkdir()
    with zipfile.ZipFile(folder / "ann.zip", "w") as archive:
        for number in range(20_001):
            archive.writestr(f"t01_numbers/{number}.py", "")
    handed_in, refused = found(course, folder)
    assert not handed_in
    assert "20000" in refused[0].problem


def test_nothing_of_a_submission_is_changed(place, tmp_path):
    course, folder = place
    write(folder / "ann/t01_numbers/means.py")
    pack(folder / "bob.zip", {"t01_numbers/means.py": TEXT.encode()})
    copy = shutil.copytree(folder, tmp_path / "before")
    found(course, folder)
    for path in folder.rglob("*"):
        assert not path.is_file() or path.read_bytes() == (copy / path.relative_to(folder)).read_bytes()
    assert len(list(folder.rglob("*"))) == len(list(copy.rglob("*")))


def test_no_such_place(place):
    course, folder = place
    with pytest.raises(AutograderError, match="no submissions"):
        collect(folder, course)


def test_a_roster(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_text("\ufeffStudent_ID;First Name;Last Name;E-Mail\nann;Ann;Doe;a@x\nbob;Bob;;\n", encoding="utf-8")
    assert read_roster(path) == [Person("ann", "Ann", "Doe", "a@x"), Person("bob", "Bob")]
    path.write_text("id\nann\nann\n")
    with pytest.raises(AutograderError, match="twice"):
        read_roster(path)
    path.write_text("colour\nred\n")
    with pytest.raises(AutograderError, match="no column"):
        read_roster(path)
