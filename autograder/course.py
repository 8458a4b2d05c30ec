"""What a course consists of, read from its released files.

The learner's side of a course is `assignments/`: `.course.json` says title, months and order, and each assignment's
folder holds `.assignment.json` (tasks, points, hints). Both are written by `autograder release`, so that reading them
needs neither the author's sources nor a notebook library. Where `solutions/` is present (an instructor's machine, or a
clone) hidden tests, asks and mistakes are found there.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from autograder.errors import CourseError, UnknownName

COURSE_FILE = ".course.json"
ASSIGNMENT_FILE = ".assignment.json"
DIAGNOSIS_FILE = ".diagnosis.safetensors"
MANIFEST_FILE = ".released.json"
STATE_FOLDER = ".autograder"
COMMON = "common"
ROOT_VARIABLE = "AUTOGRADER_COURSE"


_LISTS = ("requires", "forbidden", "builds_on")


@dataclass(frozen=True)
class Task:
    """One function or class that the student writes, with its points and its ladder of hints."""

    name: str
    title: str
    points: float
    minutes: int
    hints: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    """Tasks of the same assignment whose failure blocks this one."""
    hidden_tests: int = 0


@dataclass(frozen=True)
class Limits:
    """What one test may use. CPU-seconds of the process group; the wall limit is four times that."""

    cpu_seconds: float = 10.0
    memory_mb: int = 2048
    processes: int = 16
    output_kb: int = 64
    file_mb: int = 64

    @property
    def wall_seconds(self) -> float:
        return 4 * self.cpu_seconds


@dataclass(frozen=True)
class Assignment:
    """One assignment as released: `a02_attention`, its module `attention.py` and its tasks in order."""

    id: str
    title: str
    month: str
    module: str
    summary: str
    tasks: tuple[Task, ...]
    root: Path
    requires: tuple[str, ...] = ()
    """Packages that the warm process imports before any student code ("torch")."""
    forbidden: tuple[str, ...] = ()
    """Dotted names that the handout rules out, e.g. "torch.nn.functional.scaled_dot_product_attention"."""
    builds_on: tuple[str, ...] = ()
    """Modules of earlier assignments that the student's code imports: "a07_gae.gae"."""
    limits: Limits = field(default_factory=Limits)
    release: str = ""
    """Hash of the source that the released files came from."""

    @property
    def short(self) -> str:
        """ "a02" of "a02_attention"."""
        return self.id.split("_", 1)[0]

    @property
    def folder(self) -> Path:
        return self.root / "assignments" / self.id

    @property
    def solution_folder(self) -> Path:
        return self.root / "solutions" / self.id

    @property
    def has_solution(self) -> bool:
        """Whether the authors' source is here: a student's kit has none."""
        return (self.solution_folder / "source.py").is_file()

    @property
    def module_path(self) -> Path:
        return self.folder / f"{self.module}.py"

    @property
    def notebook_path(self) -> Path:
        return self.folder / f"{self.module}.ipynb"

    @property
    def public_tests(self) -> Path:
        return self.folder / "test_public.py"

    @property
    def asks(self) -> Path:
        return self.folder / "asks.py"

    @property
    def hidden_tests(self) -> Path | None:
        """The hidden tests' file, or None in a kit."""
        path = self.solution_folder / "hidden_tests.py"
        return path if path.is_file() else None

    @property
    def points(self) -> float:
        return sum(task.points for task in self.tasks)

    def task(self, name: str) -> Task:
        for task in self.tasks:
            if task.name == name:
                return task
        known = [task.name for task in self.tasks]
        raise UnknownName(
            f"{self.short} has no task {name!r}" + _nearest(name, known, prefix=f"{self.short}."),
            mend=f"autograder status    lists them ({', '.join(known)})",
        )

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        del data["root"]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any], root: Path) -> Assignment:
        tasks = tuple(
            Task(**{**task, "hints": tuple(task["hints"]), "needs": tuple(task["needs"])}) for task in data["tasks"]
        )
        rest = {key: value for key, value in data.items() if key not in ("tasks", "limits", *_LISTS)}
        return cls(
            **rest,
            tasks=tasks,
            limits=Limits(**data["limits"]),
            requires=tuple(data["requires"]),
            forbidden=tuple(data["forbidden"]),
            builds_on=tuple(data["builds_on"]),
            root=root,
        )


@dataclass(frozen=True)
class Month:
    """A stretch of the roadmap: its title and the assignments in it, in order."""

    id: str
    title: str
    assignments: tuple[str, ...]


@dataclass(frozen=True)
class Course:
    """A course on disk: where it is, its months, its assignments in order."""

    title: str
    root: Path
    months: tuple[Month, ...]
    assignments: tuple[Assignment, ...]

    @classmethod
    def load(cls, root: Path | None = None) -> Course:
        """Reads the released course at `root` (default: searched upwards from here, or $AUTOGRADER_COURSE)."""
        root = (root or find_root()).resolve()
        data = _read_json(root / "assignments" / COURSE_FILE)
        try:
            months = tuple(Month(m["id"], m["title"], tuple(m["assignments"])) for m in data["months"])
            assignments = tuple(
                Assignment.from_json(_read_json(root / "assignments" / name / ASSIGNMENT_FILE), root)
                for month in months
                for name in month.assignments
            )
            return cls(data["title"], root, months, assignments)
        except (KeyError, TypeError) as error:
            raise CourseError(
                f"the released course cannot be read ({error})",
                where=str(root / "assignments"),
                mend="autograder release    (or: git checkout -- assignments/)",
            ) from error

    @property
    def state(self) -> Path:
        """The student's own state: reports, hints read, backups. Never committed, never overwritten."""
        return self.root / STATE_FOLDER

    @property
    def points(self) -> float:
        return sum(assignment.points for assignment in self.assignments)

    @property
    def packages(self) -> tuple[Path, ...]:
        """The folder of the code that several assignments share: the author's, or in a kit the released copy."""
        for folder in (self.root / "solutions" / COMMON, self.root / "assignments" / COMMON):
            if (folder / "__init__.py").is_file():
                return (folder,)
        return ()

    def assignment(self, name: str) -> Assignment:
        """The assignment called `name`: "a02", "a02_attention" or "attention"."""
        wanted = name.strip().rstrip("/").split("/")[-1].lower()
        for assignment in self.assignments:
            if wanted in (assignment.id, assignment.short, assignment.id.partition("_")[2]):
                return assignment
        known = [n for a in self.assignments for n in (a.id, a.short, a.id.partition("_")[2])]
        raise UnknownName(
            f"there is no assignment {name!r}" + _nearest(wanted, known),
            mend="autograder status    lists them all",
        )

    def resolve(self, name: str) -> tuple[Assignment, Task | None]:
        """An assignment and perhaps a task of it, from "a02" or "a02.attention"."""
        first, _, second = name.partition(".")
        assignment = self.assignment(first)
        return assignment, assignment.task(second) if second else None

    def __iter__(self) -> Iterator[Assignment]:
        return iter(self.assignments)


def find_root(start: Path | None = None) -> Path:
    """The course's folder: $AUTOGRADER_COURSE, or the nearest parent of `start` with a released or authored course."""
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        return Path(named)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "assignments" / COURSE_FILE).is_file() or (folder / "solutions" / "course.toml").is_file():
            return folder
    raise CourseError(
        "no course here: neither this folder nor one above it holds assignments/.course.json",
        where=str(here),
        mend=f"cd to the course's folder, or set {ROOT_VARIABLE}=/path/to/it",
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CourseError(
            "a file of the released course is missing", where=str(path), mend="autograder release"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CourseError(
            f"a file of the released course is damaged ({error})", where=str(path), mend=f"git checkout -- {path.name}"
        ) from error
    if not isinstance(data, dict):
        raise CourseError("a file of the released course is damaged (not an object)", where=str(path))
    return data


def _nearest(name: str, known: list[str], prefix: str = "") -> str:
    spelled = re.sub(r"\d+", lambda digits: digits[0].zfill(2), name)  # a2 means a02, and is no nearer to a12
    close = difflib.get_close_matches(spelled, known, n=1, cutoff=0.4)
    return f"; did you mean {prefix}{close[0]}?" if close else ""
