"""A class on nbgrader: its course tree, a temporary exchange, and the real commands, all in folders of the test's own."""

import copy
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

import autograder

HERE = Path(__file__).parent
TOY = HERE.parents[1] / "toy"
NAME = "t01_numbers"
BOOK = "means"
HONEST = {
    "mean": "def mean(xs):\n    if not xs:\n        raise ValueError('no mean')\n    return math.fsum(xs) / len(xs)",
    "running_mean": "def running_mean(xs):\n    return [mean(xs[:count]) for count in range(1, len(xs) + 1)]",
}


@dataclass
class Ended:
    """How a command of nbgrader's ended, and what it said."""

    code: int
    said: str


class Classroom:
    """An instructor's nbgrader course and its exchange."""

    def __init__(self, base: Path, course: Path, id: str = "toy") -> None:
        self.base, self.course, self.tree = base, course, base / id
        self.exchange = base / "exchange"
        self.exchange.mkdir()
        self.exchange.chmod(0o777)
        self.id = id
        self._driver: subprocess.Popen | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the account that runs the tests: no config, no cache, no home."""
        own = {
            "PYTHONPATH": str(Path(autograder.__file__).parents[1]),
            "JUPYTER_CONFIG_DIR": str(self.base / "jupyter"),
            "JUPYTER_DATA_DIR": str(self.base / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.base / "runtime"),
            "HOME": str(self.base / "home"),
            "XDG_STATE_HOME": str(self.base / "state"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
        }
        return {**os.environ, **own}

    @property
    def pid(self) -> int:
        return self._started().pid

    def nbgrader(self, *argv: str, folder: Path | None = None) -> Ended:
        """One command of nbgrader's, in the course's folder or another."""
        told = [*argv, f"--Exchange.root={self.exchange}"]
        return Ended(**self._told({"argv": told, "folder": str(folder or self.tree)}))

    def done(self, *argv: str, folder: Path | None = None) -> str:
        """The same, for a command that has to work."""
        ended = self.nbgrader(*argv, folder=folder)
        assert ended.code == 0, ended.said[-3000:]
        return ended.said

    def configure(self, *lines: str) -> None:
        """Adds lines to nbgrader_config.py, as an instructor does."""
        path = self.tree / "nbgrader_config.py"
        path.write_text("\n".join([path.read_text(), *lines, ""]))

    def released(self) -> dict:
        return json.loads((self.tree / "release" / NAME / f"{BOOK}.ipynb").read_text())

    def hand_in(self, student: str, notebook: dict | str | None, beside: dict | None = None) -> None:
        """Lays a submission where `collect` would, for tests of what comes after it."""
        folder = self.tree / "submitted" / student / NAME
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "timestamp.txt").write_text("2030-01-02 10:00:00.000000 UTC")
        (folder / "submission_secret.txt").write_text(f"{student:0>64}")
        if notebook is not None:
            text = notebook if isinstance(notebook, str) else json.dumps(notebook)
            (folder / f"{BOOK}.ipynb").write_text(text, encoding="utf-8", errors="surrogatepass")
        for name, content in (beside or {}).items():
            if isinstance(content, Path):
                (folder / name).symlink_to(content)
            else:
                (folder / name).write_text(content)

    def gradebook(self, python: str):
        """The value of an expression about nbgrader's `book`, with the names of datetime."""
        database = f"sqlite:///{self.tree / 'gradebook.db'}"
        return self._told({"look": {"python": python, "database": database, "course": self.id}})

    def score(self, student: str) -> float:
        return self.gradebook(f"book.find_submission({NAME!r}, {student!r}).score")

    def graded(self, student: str) -> dict:
        return json.loads((self.tree / "autograded" / student / NAME / f"{BOOK}.ipynb").read_text())

    def close(self) -> None:
        if self._driver is not None:
            self._driver.stdin.close()
            self._driver.wait(30)
            self._driver.stdout.close()

    def _told(self, what: dict):
        driver = self._started()
        driver.stdin.write(json.dumps(what) + "\n")
        driver.stdin.flush()
        return json.loads(driver.stdout.readline())

    def _started(self) -> subprocess.Popen:
        if self._driver is None:
            command = [sys.executable, str(HERE / "driver.py")]
            self._driver = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment, cwd=self.base
            )
        return self._driver


def source_of(cell: dict) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def grade_id(cell: dict) -> str:
    return cell["metadata"].get("nbgrader", {}).get("grade_id", "")


def cell_of(notebook: dict, name: str) -> dict:
    """The cell of this grade_id."""
    return next(cell for cell in notebook["cells"] if grade_id(cell) == name)


def answered(notebook: dict, **answers: str) -> dict:
    """A copy of the notebook with these answers."""
    notebook = copy.deepcopy(notebook)
    for name, text in answers.items():
        cell_of(notebook, name)["source"] = text
    return notebook


def said_in(cell: dict) -> str:
    """What stands in the outputs of a cell: the lines, and the number as nbgrader reads it."""
    return "".join(
        "".join(output["text"]) if output["output_type"] == "stream" else "".join(output["data"]["text/plain"])
        for output in cell["outputs"]
    )


@pytest.fixture(scope="session")
def book():
    """Helpers for reading and writing notebooks: pytest imports each test file alone."""
    return SimpleNamespace(HONEST=HONEST, answered=answered, cell_of=cell_of, grade_id=grade_id, said_in=said_in)


def released_with(base: Path, released: Path, limits: str) -> Path:
    """A copy of the course with other limits, released."""
    from autograder.authoring.release import release

    course = Path(shutil.copytree(released, base / "limited"))
    path = course / "solutions" / "course.toml"
    path.write_text(path.read_text().replace("cpu_seconds = 5", limits))
    release(course)
    return course


def new_classroom(base: Path, course: Path) -> Classroom:
    """nbgrader's tree of a course, in `base`."""
    from autograder.classroom.nbgrader_tree import write_course_tree
    from autograder.course import Course

    if importlib.util.find_spec("nbgrader") is None:  # imported in a process of its own only: it warns of many things
        pytest.skip("nbgrader is not installed: the classroom extra")
    room = Classroom(base, course)
    write_course_tree(Course.load(course), room.tree)
    return room


@pytest.fixture(scope="session")
def classroom_of():
    """How a test makes a class of its own."""
    return SimpleNamespace(released=released_with, room=new_classroom)


@pytest.fixture(scope="module")
def classroom(tmp_path_factory, released_toy):
    """A class for the tests of one file, which add students of their own; each start imports all of nbgrader."""
    base = tmp_path_factory.mktemp("class")
    room = new_classroom(base, Path(shutil.copytree(released_toy, base / "course")))
    try:
        room.done("generate_assignment", NAME)
        yield room
    finally:
        room.close()
