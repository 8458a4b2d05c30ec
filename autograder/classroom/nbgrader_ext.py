"""What nbgrader loads by its config: grading in our sandbox, and a release that hands out nothing unknown.

Both are preprocessors of nbgrader's own kind, so its commands, flags, gradebook, feedback and formgrader stay as they
are. An exception here fails the one submission, or the release, and nbgrader goes on with the next.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbformat import NotebookNode, from_dict
from nbgrader import utils  # type: ignore[import-untyped,import-not-found,unused-ignore]
from nbgrader.preprocessors import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
    Execute,
    NbGraderPreprocessor,
)
from traitlets import Dict, Integer, Unicode

from autograder.classroom.names import check_cell, notebook_name, task_of
from autograder.classroom.nbgrader_cells import outputs_for, refusal
from autograder.classroom.nbgrader_desk import desk
from autograder.classroom.nbgrader_files import stubs_beside
from autograder.course import Course
from autograder.errors import ReleaseError, SubmissionError
from autograder.files import fingerprint, write_json, write_whole
from autograder.report import Report

REPORT = "report.json"
COURSE = "Folder of the course, with its solutions/: hidden tests are read from there, and nothing is copied."


class IsolatedExecute(Execute):  # type: ignore[misc,unused-ignore]
    """In place of `Execute`: no kernel starts; the student's code answers from the sandbox, and points are ours."""

    course = Unicode("", help=COURSE).tag(config=True)
    timeout = Integer(
        None, allow_none=True, help="Seconds that one test may take. Default: what the assignment says."
    ).tag(config=True)

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, km: Any = None
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """Grades the notebook, writes a score with its reasons into each check cell, and the report beside it."""
        assert resources is not None
        where = resources["nbgrader"]
        place = desk(Path(self.course).expanduser().resolve(), where["assignment"], self.timeout)
        graded = [cell for cell in nb.cells if _is_auto(cell)]
        try:
            report = place.grade(where["student"], nb)
        except SubmissionError as problem:
            self.log.warning("%s: %s", where["student"], problem)
            for cell in graded:
                _write(cell, refusal(problem.problem))
            (Path(resources["metadata"]["path"]) / REPORT).unlink(missing_ok=True)  # at most the student's own
            return nb, resources
        self._warn_of_ours(report)
        for cell in graded:
            name = cell.metadata.nbgrader["grade_id"]
            outputs = outputs_for(report, task_of(name) or name, float(cell.metadata.nbgrader["points"]))
            _write(cell, outputs)
        write_json(Path(resources["metadata"]["path"]) / REPORT, report.to_json())
        return nb, resources

    def _warn_of_ours(self, report: Report) -> None:
        """A test of ours that broke is worth nothing to the student, so somebody has to hear of it."""
        for test in report.tests:
            if test.outcome == "error":
                self.log.error("%s of %s broke, which is no fault of the student's: mend and autograde again", test.id,
                               report.student)  # fmt: skip


class StripSupportFiles(NbGraderPreprocessor):  # type: ignore[misc,unused-ignore]
    """Before a release: looks at every file that goes along, and takes the answers out of those that are text."""

    allowed = Dict(help="By assignment: names or globs of further files that students are to have.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Raises ReleaseError, and nothing is released, where a student would get what they must not have."""
        where = resources["nbgrader"]
        course = Course.load(self._course())
        assignment = course.assignment(where["assignment"])
        if where["notebook"] == notebook_name(assignment):
            _check_cells(nb, {check_cell(task.name): task.points for task in assignment.tasks})
        folders = self._coursedir()
        source = Path(folders.format_path(folders.source_directory, ".", assignment.id))
        release = Path(folders.format_path(folders.release_directory, ".", assignment.id))
        stubs = stubs_beside(source, self.allowed.get(assignment.id, []), _authors(course.root))
        for name, stub in stubs.items():
            write_whole(release / name, stub.encode())
        return nb, resources

    def _course(self) -> Path:
        return Path(self.config.IsolatedExecute.get("course") or "").expanduser().resolve()

    def _coursedir(self) -> Any:
        """nbgrader's folders: those of the converter whose exporter runs this."""
        return self.parent.parent.coursedir


def _authors(root: Path) -> dict[str, str]:
    """Fingerprints of what an author wrote, with what each is: none of it may be released under any name."""
    solutions = root / "solutions"
    found = {}
    for path in sorted(solutions.rglob("*")):
        shared = path.is_relative_to(solutions / "common") or path.name == "asks.py"  # students have these
        if path.is_file() and not shared and path.stat().st_size > 0:
            found[fingerprint(path.read_bytes())] = f"it is {path.relative_to(root)}"
    return found


def _check_cells(nb: NotebookNode, points: dict[str, float]) -> None:
    """Every task has its check cell with its points, and no other cell claims to be graded by tests."""
    found = {
        cell.metadata.nbgrader.get("grade_id"): float(cell.metadata.nbgrader.get("points", -1))
        for cell in nb.cells
        if _is_auto(cell)
    }
    for name in sorted({*found, *points}, key=str):
        if found.get(name) != points.get(name):
            problem = f"the check cell {name} is worth {found.get(name)}, where the course says {points.get(name)}"
            raise ReleaseError(problem, mend="autograder release --nbgrader lays the notebook anew")


def _is_auto(cell: NotebookNode) -> bool:
    """A cell that tests grade: what a human grades passes through untouched."""
    return bool(utils.is_grade(cell) and not utils.is_solution(cell) and cell.cell_type == "code")


def _write(cell: NotebookNode, outputs: list[dict[str, Any]]) -> None:
    cell.outputs = from_dict(outputs)  # type: ignore[no-untyped-call]
    cell.execution_count = 1
