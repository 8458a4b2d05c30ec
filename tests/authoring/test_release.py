"""A release updates what nobody touched, keeps what somebody edited, and is whole or not at all."""

import errno
import json
import os
import shutil

import pytest

from autograder import files
from autograder.authoring import staging
from autograder.authoring.release import release
from autograder.course import Course
from autograder.errors import EnvironmentProblem, ReleaseError, SourceError

STUB = "t01_numbers/means.py"


@pytest.fixture(autouse=True)
def _kept_records(request, released_toy, monkeypatch):
    """Running the mistakes is most of a release's time; they change in tests marked `records` only."""
    if "records" not in request.fixturenames:
        monkeypatch.setattr(
            staging,
            "_diagnosis",
            lambda author, assignment: (
                released_toy / "assignments" / assignment.id / ".diagnosis.safetensors"
            ).read_bytes(),
        )


@pytest.fixture
def records():
    """Asks for real records of mistakes."""


def change_source(root, old="Add all numbers up", new="Sum all numbers", name="t01_numbers"):
    path = root / "solutions" / name / "source.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def change_stub(root):
    """A change of the given code, so that the stub changes."""
    change_source(root, "import math\n", "import math  # for fsum\n")


def snapshot(root):
    folder = root / "assignments"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_released_can_be_read(toy):
    course = Course.load(toy)
    assert [assignment.id for assignment in course] == ["t01_numbers", "t02_lists"]
    first = course.assignment("t01")
    assert [task.name for task in first.tasks] == ["mean", "running_mean"]
    assert (first.month, first.points, first.limits.cpu_seconds) == ("month1", 5, 5)
    assert course.assignment("t02").limits.cpu_seconds == 2
    assert first.module_path.is_file()
    assert first.public_tests.is_file()


def test_a_second_release_changes_nothing(toy, records):
    before = snapshot(toy)
    result = release(toy)
    assert (result.written, result.laid, result.kept) == ((), (), ())
    assert result.same == len(before) - 1  # the manifest is not counted
    assert snapshot(toy) == before


def test_an_untouched_file_is_updated(toy):
    change_source(toy)
    result = release(toy)
    assert set(result.written) == {"t01_numbers/README.md", "t01_numbers/.notebook.json"}
    assert "Sum all numbers" in (toy / "assignments/t01_numbers/README.md").read_text()


def test_what_a_mistake_answers_is_recorded_anew(toy, records):
    path = toy / "solutions" / "t01_numbers" / "mistakes.py"
    path.write_text(path.read_text().replace("Your mean grows with", "Your mean follows"))
    assert release(toy).written == ("t01_numbers/.diagnosis.safetensors",)
    record = (toy / "assignments" / "t01_numbers" / ".diagnosis.safetensors").read_bytes()
    assert b"Your mean follows" in record
    assert b"math.fsum" not in record, "a record holds answers, no code"


def test_a_record_that_differs_in_bytes_only_stays(toy, monkeypatch):
    path = toy / "assignments" / "t01_numbers" / ".diagnosis.safetensors"
    before = path.read_bytes()
    length = int.from_bytes(before[:8], "little")
    padded = (length + 8).to_bytes(8, "little") + before[8 : 8 + length] + b" " * 8 + before[8 + length :]
    monkeypatch.setattr(staging, "_diagnosis", lambda author, assignment: padded)
    assert "t01_numbers/.diagnosis.safetensors" not in release(toy).written
    assert path.read_bytes() == before


def test_an_untouched_stub_is_updated(toy):
    change_stub(toy)
    assert STUB in release(toy).written
    assert "# for fsum" in (toy / "assignments" / STUB).read_text()


def test_a_change_of_prose_leaves_the_stub_alone(toy):
    before = (toy / "assignments" / STUB).read_bytes()
    change_source(toy)
    release(toy)
    assert (toy / "assignments" / STUB).read_bytes() == before


def test_an_edited_stub_survives_without_a_word_while_nothing_is_new(toy):
    path = toy / "assignments" / STUB
    path.write_text("mine = 1\n")
    result = release(toy)
    assert path.read_text() == "mine = 1\n"
    assert result.kept == (STUB,)
    assert not result.laid
    assert not path.with_name("means.py.new").exists()


def test_beside_an_edited_stub_the_new_one_is_laid_once(toy):
    path = toy / "assignments" / STUB
    path.write_text("mine = 1\n")
    change_stub(toy)
    result = release(toy)
    laid = path.with_name("means.py.new")
    assert result.laid == (STUB,)
    assert len([line for line in result.advice if "means.py.new" in line]) == 1
    assert path.read_text() == "mine = 1\n"
    assert "# for fsum" in laid.read_text()
    laid.unlink()
    assert release(toy).laid == ()
    assert not laid.exists(), "the student has seen it"


@pytest.mark.parametrize("name", ["README.md", "test_public.py", "asks.py", ".assignment.json", ".stub.py"])
def test_any_edited_file_is_preserved(toy, name):
    path = toy / "assignments" / "t01_numbers" / name
    path.write_text("mine")
    change_stub(toy)
    release(toy)
    assert path.read_text() == "mine"


def test_a_deleted_file_is_restored(toy):
    before = snapshot(toy)
    (toy / "assignments" / STUB).unlink()
    assert release(toy).written == (STUB,)
    assert snapshot(toy) == before


def test_a_new_version_that_was_not_written_into_goes_when_it_has_served(toy):
    path = toy / "assignments" / STUB
    path.write_text("mine = 1\n")
    change_stub(toy)
    release(toy)
    laid = path.with_name("means.py.new")
    shutil.copy(laid, path)
    release(toy)
    assert not laid.exists()


def test_a_new_version_that_was_written_into_stays(toy):
    path = toy / "assignments" / STUB
    path.write_text("mine = 1\n")
    change_stub(toy)
    release(toy)
    laid = path.with_name("means.py.new")
    laid.write_text(laid.read_text() + "# a note of mine\n")
    path.unlink()
    release(toy)
    assert "a note of mine" in laid.read_text()


def test_other_line_ends_are_no_edit(toy):
    path = toy / "assignments" / STUB
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    change_stub(toy)
    assert STUB in release(toy).written


def test_a_version_that_comes_back_is_the_newest_again(toy):
    first = (toy / "assignments" / STUB).read_bytes()
    change_stub(toy)
    release(toy)
    change_source(toy, "import math  # for fsum\n", "import math\n")
    release(toy)
    assert (toy / "assignments" / STUB).read_bytes() == first
    versions = json.loads((toy / "assignments" / ".released.json").read_text())["files"][STUB]
    assert len(versions) == 2
    assert versions[-1] == files.sha256(first)


def test_the_release_of_a_stub_is_stamped_and_told(toy):
    release_of = Course.load(toy).assignment("t01").release
    assert f"(t01_numbers, release {release_of})" in (toy / "assignments" / STUB).read_text()
    change_source(toy)
    release(toy)
    assert Course.load(toy).assignment("t01").release == release_of, "a change of prose is no other stub"
    change_stub(toy)
    release(toy)
    assert Course.load(toy).assignment("t01").release != release_of


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("import math\n", "import math\n\nraise RuntimeError('broken')\n", ReleaseError),
        ("import math\n", "import math\n\nimport no_such_module_anywhere\n", ReleaseError),
        ("import math\n", "import math\n\nmath = 1 / 0\n", ReleaseError),
        ("points=2", "points=0", SourceError),
    ],
)
def test_a_source_that_does_not_work_releases_nothing(toy, old, new, error):
    before = snapshot(toy)
    change_source(toy, "Moves all numbers", "Shifts all numbers", name="t02_lists")
    change_source(toy, old, new)
    with pytest.raises(error) as caught:
        release(toy)
    assert "t01_numbers" in str(caught.value)
    assert snapshot(toy) == before


def test_a_reference_that_loses_a_task_is_refused(toy):
    change_source(toy, "# %%\nif __name__", "# %%\ndel running_mean\nif __name__")
    with pytest.raises(ReleaseError, match="its reference has no running_mean"):
        release(toy)


def full_at(moment):
    """A disk that fills up when the given number of files has been written."""
    real, calls = os.fsync, []

    def fsync(handle):
        calls.append(handle)
        if len(calls) > moment:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    return fsync


@pytest.mark.parametrize("moment", [0, 5, 19, 20, 21, 22])
def test_a_full_disk_is_a_sentence_and_leaves_nothing_half_written(toy, monkeypatch, moment):
    change_stub(toy)
    before = snapshot(toy)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full_at(moment))
        with pytest.raises(EnvironmentProblem, match="the disk is full"):
            release(toy)
    after = snapshot(toy)
    assert set(after) == set(before), "no file came or went"
    release(toy)
    whole = snapshot(toy)
    changed = [name for name in before if after[name] != before[name]]
    assert all(after[name] == whole[name] for name in changed if name != ".released.json")
    assert "# for fsum" in (toy / "assignments" / STUB).read_text()


def test_a_damaged_manifest_is_refused(toy):
    (toy / "assignments" / ".released.json").write_text("{")
    with pytest.raises(ReleaseError, match="manifest"):
        release(toy)


def test_a_course_without_a_manifest_keeps_what_it_does_not_know(toy):
    (toy / "assignments" / ".released.json").unlink()
    path = toy / "assignments" / STUB
    path.write_text("mine = 1\n")
    result = release(toy)
    assert path.read_text() == "mine = 1\n"
    assert result.laid == (STUB,)


def test_a_folder_in_no_month_is_told(toy):
    shutil.copytree(toy / "solutions" / "t02_lists", toy / "solutions" / "t09_lists")
    assert any("solutions/t09_lists" in line for line in release(toy).advice)


def test_an_assignment_that_left_the_course_is_told_and_kept(toy):
    plan = toy / "solutions" / "course.toml"
    plan.write_text(plan.read_text().replace(', "t02_lists"', ""))
    result = release(toy)
    assert any("assignments/t02_lists" in line for line in result.advice)
    assert (toy / "assignments" / "t02_lists" / "lists.py").is_file()


def test_progress_is_told(toy):
    seen = []
    release(toy, on_assignment=lambda *told: seen.append(told))
    assert seen == [("t01_numbers", 1, 2), ("t02_lists", 2, 2)]


def test_a_private_overlay_changes_what_is_counted(toy, tmp_path):
    folder = tmp_path / "private" / "t01_numbers"
    folder.mkdir(parents=True)
    text = (toy / "solutions" / "t01_numbers" / "hidden_tests.py").read_text()
    more = '\n\n@task("mean")\ndef test_one_more(student):\n    """The mean of one number is that number."""\n'
    (folder / "hidden_tests.py").write_text(text + more)
    plan = toy / "solutions" / "course.toml"
    plan.write_text(f'private = "{tmp_path / "private"}"\n' + plan.read_text())
    before = Course.load(toy).assignment("t01").task("mean").hidden_tests
    release(toy)
    assert Course.load(toy).assignment("t01").task("mean").hidden_tests == before + 1
