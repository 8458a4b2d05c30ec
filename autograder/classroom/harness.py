"""Grades one submission where Gradescope put it, and writes results.json: what run_autograder of a zip calls.

`base` is /autograder there: source/ holds the unpacked zip, submission/ what the student uploaded, results/ takes what
comes of it. The student's module is copied into a course made for this run; nothing else of the upload is looked at.

What it stops: a link in the upload that leads to the reference, files of the course that the upload replaces, a grading
without walls. What it does not: what the isolation line of the report says it does not.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autograder.classroom.gradescope import Visibility, not_graded, results
from autograder.course import Assignment, Course
from autograder.errors import EnvironmentProblem, SandboxError, SubmissionError
from autograder.files import fingerprint, write_whole
from autograder.grading.run import grade
from autograder.grading.submission import LARGEST, Form
from autograder.report import Report
from autograder.sandbox.session import SandboxTransport

OUR_FAULT = "This submission could not be graded, and not through any fault of yours. Please tell your instructor."
MANY = 5000
"""An upload of more files than this is not searched."""


def run(base: Path, hidden: Visibility = "visible", trust: bool = False) -> Report | None:
    """Grades and writes results/results.json in every case; None where the upload was refused.

    trust: grade even where nothing but a process stands between the student's code and the grader.
    """
    target = base / "results" / "results.json"
    try:
        report = grade_upload(base, trust)
    except SubmissionError as refused:
        write_whole(target, not_graded(f"{refused.problem}\n{refused.mend}".strip()).encode())
        return None
    except Exception:
        write_whole(target, not_graded(OUR_FAULT).encode())
        raise
    write_whole(target, results(report, hidden).encode())
    return report


def grade_upload(base: Path, trust: bool = False) -> Report:
    """The report of what is in `base/submission`."""
    source = base / "source"
    assignment = Course.load(source).assignments[-1]
    uploaded, form = find_upload(base / "submission", assignment)
    with tempfile.TemporaryDirectory(prefix="grading-") as folder:
        course = _copied(source, Path(folder))
        assignment = course.assignment(assignment.id)
        target = assignment.module_path if form == "py" else assignment.notebook_path
        write_whole(target, _content(uploaded))
        target.chmod(0o644)
        with _walls(course, assignment) as transport:
            if transport.isolation.name == "none" and not trust:
                raise EnvironmentProblem(
                    "nothing on this machine stands between student code and the grader",
                    mend="apt-get install bubblewrap in setup.sh, or --trust in run_autograder",
                )
            return grade(course, assignment, transport, form=form, student=student_of(base))


def find_upload(folder: Path, assignment: Assignment) -> tuple[Path, Form]:
    """The one file of the upload that is graded, and its form. Links are never followed."""
    module, notebook = assignment.module_path.name, assignment.notebook_path.name
    found: dict[str, list[Path]] = {module: [], notebook: []}
    for path in _regular_files(folder):
        if path.name in found:
            found[path.name].append(path)
    for name, paths in found.items():
        if len(paths) > 1:
            where = ", ".join(str(path.relative_to(folder)) for path in paths[:3])
            raise SubmissionError(f"there are {len(paths)} files called {name}: {where}", mend="submit one of them")
    modules, notebooks = found[module], found[notebook]
    if modules and notebooks and not _is_stub(modules[0], assignment):
        raise SubmissionError(f"both {module} and {notebook} were submitted", mend="submit the one that you worked in")
    if notebooks:
        return notebooks[0], "ipynb"
    if modules:
        return modules[0], "py"
    raise SubmissionError(f"there is no {module} among the submitted files, nor {notebook}", mend=f"submit {module}")


def student_of(base: Path) -> str:
    """Who submitted, as Gradescope's numbers; "local" where it does not say."""
    try:
        data = json.loads((base / "submission_metadata.json").read_text(encoding="utf-8"))
        users = sorted(str(user["id"]) for user in data["users"])
    except (OSError, ValueError, KeyError, TypeError):
        return "local"
    return "-".join(users) or "local"


def _regular_files(folder: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names):
            seen += 1
            if seen > MANY:
                raise SubmissionError(f"more than {MANY} files were submitted", mend="submit your module alone")
            path = Path(place, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _content(path: Path) -> bytes:
    """The bytes of an upload, opened without following a link; cut where it is too large, and then refused as such."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        return file.read(LARGEST + 1)


def _is_stub(path: Path, assignment: Assignment) -> bool:
    pristine = assignment.folder / ".stub.py"
    return pristine.is_file() and fingerprint(_content(path)) == fingerprint(pristine.read_bytes())


def _copied(source: Path, folder: Path) -> Course:
    """A copy of the zip's course for this run. Student code may walk through the folder, not into what is secret."""
    folder.chmod(0o755)
    for name, mode in (("assignments", 0o755), ("solutions", 0o700), ("private", 0o700)):
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name)
            (folder / name).chmod(mode)
    return Course.load(folder)


def _walls(course: Course, assignment: Assignment) -> SandboxTransport:
    """The strongest sandbox that this machine gives."""
    readable, packages = (course.root / "assignments",), course.packages
    try:
        return SandboxTransport.start("bubblewrap", assignment.requires, readable, packages=packages)
    except SandboxError:
        return SandboxTransport.start("fork", assignment.requires, readable, packages=packages)
