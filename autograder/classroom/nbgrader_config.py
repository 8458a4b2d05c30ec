"""The text of `nbgrader_config.py`: how nbgrader's own commands work on a course, with grading in our sandbox."""

from __future__ import annotations

from pathlib import Path

from autograder.course import Course

_TEXT = """\
# How nbgrader works on "{title}". Written by `autograder release --nbgrader`; yours to edit from here on.
import os
import sys
from pathlib import Path

from autograder.classroom.nbgrader_files import student_files

here = Path(__file__).parent
c = get_config()  # noqa: F821: nbgrader puts it there
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # it calls alembic

c.CourseDirectory.course_id = {course_id!r}
c.CourseDirectory.root = str(here)

# --- release: every file beside a notebook is known, and none holds an answer, or nothing is released -----------------
c.GenerateAssignment.preprocessors = [
    "autograder.classroom.nbgrader_ext.StripSupportFiles",
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.InstantiateTests",
    "nbgrader.preprocessors.LockCells",
    "nbgrader.preprocessors.ClearSolutions",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ClearMarkScheme",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.CheckCellMetadata",
]
# Files of your own that students are to have, by assignment: names or globs below source/ASSIGNMENT.
# Those with ### BEGIN SOLUTION regions are released as stubs, and stay the student's own when they are graded.
c.StripSupportFiles.allowed = {{}}
c.Autograde.exclude_overwriting = student_files(here / "source")

# --- grading: student code runs in the sandbox, hidden tests beside it, and no kernel starts --------------------------
c.Autograde.sanitize_preprocessors = [
    "autograder.classroom.nbgrader_restore.RestoreMetadata",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.DeduplicateIds",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.autograde_preprocessors = [
    "autograder.classroom.nbgrader_ext.IsolatedExecute",
    "nbgrader.preprocessors.IgnorePattern",
    "nbconvert.preprocessors.ClearMetadataPreprocessor",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.IsolatedExecute.course = {course!r}  # where solutions/ is: hidden tests are read from there, and nothing is copied
# c.Execute.timeout = 60               # seconds that one test may take; default: what the assignment says
# c.OverwriteCells.add_missing_cells = True    # a check cell that a student deleted comes back, and counts

# --- deadlines: the share of the score that each day begun costs, and the hours that are forgiven ---------------------
c.AssignLatePenalties.plugin_class = "autograder.classroom.nbgrader_late.PerDay"
c.PerDay.share = 0.0
c.PerDay.grace_hours = 0.0

# --- the exchange: a folder that all can write; better a server's (see the documentation on deadlines) ----------------
# c.Exchange.root = "/srv/nbgrader/exchange"
"""


def config_text(course: Course, folder: Path) -> str:
    """The config of the course tree at `folder`."""
    title = " ".join(course.title.split()).replace('"', "'")
    return _TEXT.format(title=title, course_id=course_id(folder), course=str(course.root.resolve()))


def course_id(folder: Path) -> str:
    """nbgrader's name of the course: the folder's, in letters that an exchange takes."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in folder.name) or "course"
