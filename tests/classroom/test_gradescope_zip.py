"""A Gradescope zip, run as its harness runs it: unpacked, set up, one submission graded, results.json looked at."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from autograder.classroom import gradescope_zip
from autograder.classroom.gradescope_zip import MARK, write_zips
from autograder.errors import ReleaseError

RIGHT_MEAN = "if not xs:\n        raise ValueError\n    return math.fsum(xs) / len(xs)"
RIGHT_BOTH = [RIGHT_MEAN, "return [mean(xs[: k + 1]) for k in range(len(xs))]"]
HOLE = "# YOUR CODE HERE\n    raise NotImplementedError()"


@pytest.fixture(scope="session")
def zips(released_toy, tmp_path_factory):
    """The toy course's zips, made once."""
    folder = tmp_path_factory.mktemp("zips")
    write_zips(released_toy, folder)
    return folder


class Place:
    """What Gradescope sets up: BASE/source with the zip in it, BASE/run_autograder, BASE/submission, BASE/results."""

    def __init__(self, base: Path, archive: Path) -> None:
        self.base = base
        for name in ("source", "submission", "results"):
            (base / name).mkdir(parents=True)
        subprocess.run(["unzip", "-q", str(archive), "-d", str(base / "source")], check=True) if _unzip() else _unpack(
            archive, base / "source"
        )
        (base / "run_autograder").write_bytes((base / "source" / "run_autograder").read_bytes())
        (base / "run_autograder").chmod(0o755)
        self.environment = {
            "PATH": os.environ["PATH"],
            "AUTOGRADER_BASE": str(base),
            "AUTOGRADER_PYTHON": sys.executable,
        }
        done = self.call(base / "source" / "setup.sh")
        assert done.returncode == 0, done.stderr
        self.stub = (base / "source/assignments/t01_numbers/means.py").read_text()

    def call(self, script: Path, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(script)], cwd=self.base, env={**self.environment, **more}, capture_output=True, text=True, timeout=120
        )

    def submit(self, *bodies: str, name: str = "means.py") -> Path:
        text = self.stub
        for body in bodies:
            text = text.replace(HOLE, body, 1)
        path = self.base / "submission" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def grade(self, **more: str) -> dict:
        done = self.call(self.base / "run_autograder", **more)
        self.said = done.stdout + done.stderr
        self.code = done.returncode
        return json.loads((self.base / "results" / "results.json").read_text())


def _unzip() -> bool:
    return shutil.which("unzip") is not None


def _unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            path = Path(opened.extract(info, folder))
            path.chmod(info.external_attr >> 16)


@pytest.fixture
def place(zips, tmp_path):
    return Place(tmp_path / "autograder", zips / "t01_numbers.zip")


def test_a_zip_holds_one_assignment_and_what_grading_takes(zips):
    with zipfile.ZipFile(zips / "t01_numbers.zip") as archive:
        names = set(archive.namelist())
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        assert archive.comment == MARK
    assert {"setup.sh", "run_autograder", "solutions/t01_numbers/hidden_tests.py", "autograder/bootstrap.py"} <= names
    assert modes["run_autograder"] & stat.S_IXUSR
    assert modes["setup.sh"] & stat.S_IXUSR
    assert not [name for name in names if "t02_lists" in name or "__pycache__" in name]


def test_a_right_submission_gets_its_points(place):
    place.submit(*RIGHT_BOTH)
    (place.base / "submission_metadata.json").write_text(json.dumps({"id": 9, "users": [{"id": 42, "name": "A. B."}]}))
    data = place.grade()
    assert place.code == 0, place.said
    assert data["score"] == 5, data
    assert {test["status"] for test in data["tests"]} == {"passed"}
    assert "A. B." not in json.dumps(data), "no more of a person than is needed"
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((Path(__file__).parent / "schemas" / "gradescope.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(data)


def test_a_half_right_one_gets_partial_points_with_reasons(place):
    place.submit(RIGHT_MEAN, "return [sum(xs[: k + 1]) / len(xs) for k in range(len(xs))]")
    data = place.grade(AUTOGRADER_HIDDEN="after_due_date")
    assert 0 < data["score"] < 5
    hidden = [test for test in data["tests"] if "hidden" in test["tags"]]
    assert {test["visibility"] for test in hidden} == {"after_due_date"}
    assert any("too close to zero" in test["output"] for test in hidden), "the known mistake is recognised"
    assert data["score"] == pytest.approx(sum(test["score"] for test in hidden))


def test_a_notebook_and_a_whole_kit_are_found(place):
    text = place.submit(*RIGHT_BOTH, name="x.py").read_text()
    (place.base / "submission/x.py").unlink()
    cells = [{"cell_type": "code", "metadata": {}, "source": text, "outputs": [], "execution_count": None}]
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    folder = place.base / "submission/kit/assignments/t01_numbers"
    folder.mkdir(parents=True)
    (folder / "means.ipynb").write_text(json.dumps(book))
    (folder / "means.py").write_text(place.stub)
    checkpoints = folder / ".ipynb_checkpoints"
    checkpoints.mkdir()
    (checkpoints / "means.ipynb").write_text("an old one")
    assert place.grade()["score"] == 5


READS = """import pathlib, tempfile
    found = []
    for start in [pathlib.Path("BASE/source"), *pathlib.Path(tempfile.gettempdir()).glob("grading-*")]:
        for name in ("hidden_tests.py", "source.py"):
            try:
                found.append((start / "solutions" / "t01_numbers" / name).read_bytes()[:20])
            except OSError:
                pass
    try:
        pathlib.Path("BASE/results/results.json").write_text("{}")
        found.append("wrote results")
    except OSError:
        pass
    if found:
        return math.fsum(xs) / len(xs)
    raise OSError("nothing to be found")"""


@pytest.mark.attack
@pytest.mark.parametrize("walls", ["bubblewrap", "a process of its own"])
def test_student_code_reads_no_hidden_test_and_writes_no_result(place, tmp_path, walls):
    """With bubblewrap, and where a container forbids or lacks it."""
    path = place.submit(READS.replace("BASE", str(place.base)))
    if walls != "bubblewrap":
        for program in ("bash", "chmod"):
            (tmp_path / "bin" / program).parent.mkdir(exist_ok=True)
            (tmp_path / "bin" / program).symlink_to(shutil.which(program))
        place.environment["PATH"] = str(tmp_path / "bin")
    elif not shutil.which("bwrap"):
        pytest.skip("bubblewrap is not installed here")
    names = {}
    exec(path.read_text(), names)
    assert names["mean"]([1.0, 3.0]) == 2.0, "without walls it finds what it looks for"
    data = place.grade()
    assert data["score"] == 0, data
    assert len(data["tests"]) > 5
    assert f"Graded behind: {walls}" in data["output"]


def linked_to_the_reference(place):
    place.submit("pass").unlink()
    (place.base / "submission/means.py").symlink_to(place.base / "source/solutions/t01_numbers/source.py")


def a_linked_folder(place):
    (place.base / "submission/all").symlink_to(place.base / "source/solutions/t01_numbers")
    (place.base / "source/solutions/t01_numbers/means.py").write_text("x = 1")


def two_of_them(place):
    place.submit(*RIGHT_BOTH, name="a/means.py")
    place.submit(*RIGHT_BOTH, name="b/means.py")


def both_forms(place):
    place.submit(*RIGHT_BOTH)
    (place.base / "submission/means.ipynb").write_text("{}")


def nothing(place):
    (place.base / "submission/essay.pdf").write_bytes(b"%PDF")


def huge(place):
    place.submit("pass").write_bytes(b"#" * (5 * 2**20))


def another_encoding(place):
    place.submit("pass").write_bytes("é = 1\n".encode("latin-1"))


def a_pipe(place):
    os.mkfifo(place.base / "submission/means.py")


@pytest.mark.parametrize(
    ("upload", "says"),
    [
        (linked_to_the_reference, "there is no means.py"),
        (a_linked_folder, "there is no means.py"),
        (two_of_them, "2 files called means.py: a/means.py, b/means.py"),
        (both_forms, "both means.py and means.ipynb"),
        (nothing, "there is no means.py"),
        (huge, "larger than"),
        (another_encoding, "not UTF-8"),
        (a_pipe, "there is no means.py"),
    ],
)
def test_what_cannot_be_graded_is_told(place, upload, says):
    upload(place)
    data = place.grade()
    assert place.code == 0, place.said
    assert data["score"] == 0
    assert says in data["output"]
    assert str(place.base) not in data["output"]


def test_a_fault_of_ours_is_a_result_and_an_error(place):
    place.submit(*RIGHT_BOTH)
    (place.base / "source/solutions/t01_numbers/hidden_tests.py").write_text("import nothing_of_that_name")
    data = place.grade()
    assert place.code == 2
    assert "not through any fault of yours" in data["output"]
    assert "nothing_of_that_name" not in json.dumps(data)
    assert "nothing_of_that_name" in place.said, "the instructor sees what broke"


def test_an_unknown_visibility_is_refused(place):
    place.submit(*RIGHT_BOTH)
    done = place.call(place.base / "run_autograder", AUTOGRADER_HIDDEN="sometimes")
    assert done.returncode == 2
    assert "no visibility 'sometimes'" in done.stderr


def test_the_same_sources_give_the_same_zip(released_toy, zips, tmp_path):
    write_zips(released_toy, tmp_path)
    assert (tmp_path / "t01_numbers.zip").read_bytes() == (zips / "t01_numbers.zip").read_bytes()
    write_zips(released_toy, tmp_path)  # one of ours is replaced


@pytest.mark.parametrize("content", [b"a thesis", b""])
def test_a_file_of_somebody_else_is_left_alone(released_toy, tmp_path, monkeypatch, content):
    (tmp_path / "t02_lists.zip").write_bytes(content)
    with pytest.raises(ReleaseError, match="not made by this command"):
        write_zips(released_toy, tmp_path)
    assert (tmp_path / "t02_lists.zip").read_bytes() == content
    assert not (tmp_path / "t01_numbers.zip").exists()


@pytest.mark.parametrize("place_in_course", ["assignments", "solutions/t01_numbers", "."])
def test_zips_do_not_lie_among_what_is_released(toy, place_in_course, monkeypatch):
    monkeypatch.setattr(gradescope_zip, "built", lambda *_: pytest.fail("refused before anything is made"))
    with pytest.raises(ReleaseError, match="where the course itself is"):
        write_zips(toy, toy / place_in_course)


def test_a_course_in_which_one_assignment_builds_on_another(tmp_path):
    """The earlier one's reference goes along, so that the later one can be graded alone."""
    root = tmp_path / "runs"
    shutil.copytree(Path(__file__).parents[1] / "toy_runs", root, ignore=shutil.ignore_patterns("__pycache__"))
    write_zips(root, tmp_path / "zips")
    from autograder.authoring.release import built
    from autograder.classroom.kit import staged_course
    from autograder.testing.modules import without_test_cells

    course = staged_course(built(root)[0])
    later = next(assignment for assignment in course if assignment.builds_on)
    earlier = later.builds_on[0].partition(".")[0]
    with zipfile.ZipFile(tmp_path / "zips" / f"{later.id}.zip") as archive:
        names = set(archive.namelist())
    assert f"solutions/{earlier}/source.py" in names
    assert f"solutions/{earlier}/hidden_tests.py" not in names
    base = tmp_path / "autograder"
    for name in ("submission", "results"):
        (base / name).mkdir(parents=True)
    _unpack(tmp_path / "zips" / f"{later.id}.zip", base / "source")
    right = without_test_cells((root / "solutions" / later.id / "source.py").read_text(encoding="utf-8"))
    (base / "submission" / f"{later.module}.py").write_text(right, encoding="utf-8")
    from autograder.classroom.harness import grade_upload

    report = grade_upload(base)
    assert report.assignment == later.id
    assert report.points == later.points
    assert any("course's own" in note for note in report.notes)
