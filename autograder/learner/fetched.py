"""An assignment as `nbgrader fetch_assignment` lays it: a notebook, and beside it in `.course` what checking it takes.

The notebook that the student edits is checked in a workplace in their home folder, so that nothing of a check is handed
in: a copy of `.course`, the notebook as it was saved, and the student's state.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from autograder.course import COURSE_FILE, Assignment, Course
from autograder.errors import AutograderError
from autograder.files import write_whole
from autograder.grading.submission import notebook_source, read_text

COURSE_FOLDER = ".course"


def is_fetched(folder: Path) -> bool:
    """Whether the folder is an assignment that was fetched from nbgrader."""
    return (folder / COURSE_FOLDER / "assignments" / COURSE_FILE).is_file()


def course_here() -> Course:
    """The course around the working folder; in a folder that nbgrader fetched, the one that came along with it."""
    here = Path.cwd()
    return fetched_course(here) if is_fetched(here) else Course.load()


def refuse_where_fetched(command: str, instead: str) -> None:
    """Refuses a command that works on files of the course: here they are copies, and what it did would be lost."""
    if is_fetched(Path.cwd()):
        raise AutograderError(
            f"{command} is not for a folder that nbgrader fetched: the notebook is all of your work here",
            where=str(Path.cwd()),
            mend=instead,
        )


def fetched_course(folder: Path) -> Course:
    """The course of a fetched assignment, with the notebook in it as it is now.

    Modules of earlier assignments, which it may import, are taken from the folders beside it where those were fetched.
    """
    root = workplace(folder)
    here = folder / COURSE_FOLDER
    for path in sorted(path for path in here.rglob("*") if path.is_file()):
        _copy(path, root / path.relative_to(here))
    course = Course.load(root)
    for assignment in course:
        _take_notebook(folder, assignment)
    for name in {name for assignment in course for name in assignment.builds_on}:
        before = course.assignment(name.partition(".")[0])
        _take_module(folder.parent / before.id / before.notebook_path.name, before)
    return course


def workplace(folder: Path) -> Path:
    """Where the checks of a fetched assignment are made and remembered."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "autograder" / hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


def _take_notebook(folder: Path, assignment: Assignment) -> None:
    path = folder / assignment.notebook_path.name
    if folder.resolve().name == assignment.id or path.is_file():
        write_whole(assignment.notebook_path, read_text(path, mend="nbgrader fetch_assignment").encode())


def _take_module(notebook: Path, before: Assignment) -> None:
    """The student's own earlier module, out of the notebook that it was written in; without one, there is none."""
    try:
        text = notebook_source(read_text(notebook, mend=""), notebook)
    except AutograderError:
        return
    write_whole(before.module_path, text.encode())


def _copy(path: Path, copy: Path) -> None:
    data = path.read_bytes()
    if not copy.is_file() or copy.read_bytes() != data:
        write_whole(copy, data)
