"""The gradebook: nbgrader's own database, SQLite or PostgreSQL, written by one trusted process.

Each task of an assignment is a grade cell `check-TASK` (names.py), as in a course tree that nbgrader released, so that
formgrader, late penalties and exports work on it. What a human entered always wins: a manual score stays, and a new
automatic one beside it marks the cell for review, as nbgrader does.
"""

from __future__ import annotations

import datetime
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.classroom.names import answer_cell, check_cell, notebook_name, task_of
from autograder.classroom.roster import Person
from autograder.course import Assignment, Course
from autograder.errors import AutograderError, EnvironmentProblem, UnknownName
from autograder.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Standing:
    """What the gradebook says of one submission."""

    student: str
    assignment: str
    points: float
    max_points: float
    by_task: Mapping[str, float]
    needs_review: bool
    late_penalty: float = 0.0


class Gradebook:
    """An open gradebook. A context manager."""

    def __init__(self, place: str, course: Course) -> None:
        """place: a file, or the URL of a database (postgresql://user@host/name)."""
        self.url = database_url(place)
        self._course = course
        self._known: set[str] = set()
        with _quiet():
            try:
                from nbgrader import api
            except ImportError as error:
                raise EnvironmentProblem("nbgrader is not installed", mend="make classroom") from error
            self._api = api
            try:
                with _own_programs():
                    self._book: Any = api.Gradebook(self.url)
            except Exception as error:  # SQLAlchemy's, or the driver's: whatever it is, there is no gradebook
                said = str(error).strip().splitlines()[0]
                raise EnvironmentProblem(f"the gradebook cannot be opened ({said})", where=place) from error

    def close(self) -> None:
        self._book.close()

    def __enter__(self) -> Gradebook:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------------------------------------------- who and what

    def students(self) -> set[str]:
        return {student.id for student in self._book.students}

    def people(self) -> list[Person]:
        """Every student, with what is known of them."""
        fields = ("first_name", "last_name", "email", "lms_user_id")
        return [Person(s.id, *(str(getattr(s, name) or "") for name in fields)) for s in self._book.students]

    def enrol(self, people: Iterable[Person]) -> None:
        """Adds students, or what is known of them."""
        for person in people:
            known = {key: value for key, value in vars(person).items() if value and key != "id"}
            self._book.update_or_create_student(person.id, **known)

    def prepare(self, assignment: Assignment) -> None:
        """The assignment with its notebook and cells; what nbgrader put there already stays."""
        if assignment.id in self._known:
            return
        notebook = notebook_name(assignment)
        names = {each.name for each in self._book.assignments}
        if assignment.id not in names:
            self._book.add_assignment(assignment.id)
        if notebook not in {each.name for each in self._book.find_assignment(assignment.id).notebooks}:
            self._book.add_notebook(notebook, assignment.id)
        for task in assignment.tasks:
            self._book.update_or_create_grade_cell(
                check_cell(task.name), notebook, assignment.id, max_score=task.points, cell_type="code"
            )
            self._book.update_or_create_solution_cell(answer_cell(task.name), notebook, assignment.id)
        self._known.add(assignment.id)

    # ------------------------------------------------------------------------------------------------------- recording

    def record(self, report: Report, new: bool = True, handed_in_at: str = "") -> None:
        """The automatic scores and reasons of a report. new: made just now, so a manual score beside it is stale."""
        with _quiet():
            self.prepare(self._course.assignment(report.assignment))
            if report.student not in self._seen_students():
                self._book.add_student(report.student)
                self._students.add(report.student)
            submission = self._submission(report, handed_in_at)
            for notebook in submission.notebooks:
                self._record_grades(notebook, report, new)
                self._record_reasons(notebook, report)
            self._book.db.commit()

    def _seen_students(self) -> set[str]:
        if not hasattr(self, "_students"):
            self._students = self.students()
        return self._students

    def _submission(self, report: Report, handed_in_at: str) -> Any:
        try:
            submission = self._book.find_submission(report.assignment, report.student)
            self._add_missing(submission)
        except self._api.MissingEntry:
            submission = self._book.add_submission(report.assignment, report.student)
        if handed_in_at:
            submission.timestamp = datetime.datetime.fromisoformat(handed_in_at)
        return submission

    def _add_missing(self, submission: Any) -> None:
        """Grades and comments of cells that came after the submission did."""
        api = self._api
        for notebook in submission.notebooks:
            there = {grade.cell_id for grade in notebook.grades}
            for cell in notebook.notebook.grade_cells:
                if cell.id not in there:
                    self._book.db.add(api.Grade(cell_id=cell.id, notebook=notebook))
            spoken = {comment.cell_id for comment in notebook.comments}
            for cell in notebook.notebook.solution_cells:
                if cell.id not in spoken:
                    self._book.db.add(api.Comment(cell_id=cell.id, notebook=notebook))

    def _record_grades(self, notebook: Any, report: Report, new: bool) -> None:
        scores = {check_cell(task.name): round(task.points, 6) for task in report.by_task()}
        for grade in notebook.grades:
            if grade.cell.name not in scores:
                if task_of(grade.cell.name) is None:  # read by a human
                    grade.needs_manual_grade = grade.manual_score is None
                continue
            score = scores[grade.cell.name]
            if new or grade.auto_score != score:
                grade.auto_score = score
                grade.needs_manual_grade = grade.manual_score is not None

    def _record_reasons(self, notebook: Any, report: Report) -> None:
        reasons = {answer_cell(task.name): _reasons(report, task.name) for task in report.by_task()}
        for comment in notebook.comments:
            if comment.cell.name in reasons:
                comment.auto_comment = reasons[comment.cell.name]

    def override(self, student: str, assignment: Assignment, task: str | None, points: float, reason: str) -> None:
        """A human's score for a task, or for a whole assignment (spread over its tasks by their points)."""
        most = assignment.task(task).points if task else assignment.points
        if not 0 <= points <= most:
            raise AutograderError(f"{points:g} is not between 0 and {most:g} points")
        submission = self._find(student, assignment)
        chosen = {check_cell(task): points} if task else {}
        if not task:
            chosen = {check_cell(each.name): points * each.points / most for each in assignment.tasks}
        for notebook in submission.notebooks:
            for grade in notebook.grades:
                if grade.cell.name in chosen:
                    grade.manual_score = chosen[grade.cell.name]
                    grade.needs_manual_grade = False
            for comment in notebook.comments:
                if check_cell(comment.cell.name) in chosen:
                    comment.manual_comment = f"{chosen[check_cell(comment.cell.name)]:g} points by hand: {reason}"
        self._book.db.commit()

    def forget(self, student: str) -> bool:
        """Removes a student with all submissions and grades."""
        if student not in self.students():
            return False
        self._book.remove_student(student)
        return True

    # --------------------------------------------------------------------------------------------------------- reading

    def standings(self, assignment: str = "") -> Iterator[Standing]:
        """What every submission stands at: manual scores where there are any, minus late penalties."""
        for each in sorted(self._book.assignments, key=lambda a: str(a.name)):
            if assignment in ("", each.name):
                for submission in sorted(each.submissions, key=lambda s: str(s.student_id)):
                    yield _standing(submission)

    def human_scores(self, student: str, assignment: str) -> dict[str, tuple[float, str]]:
        """By task: a score that a human entered, and the comment to it."""
        try:
            submission = self._book.find_submission(assignment, student)
        except self._api.MissingEntry:
            return {}
        said = {c.cell.name: c.manual_comment or "" for n in submission.notebooks for c in n.comments}
        found = {}
        for grade in (grade for notebook in submission.notebooks for grade in notebook.grades):
            if grade.manual_score is not None:
                task = task_of(grade.cell.name) or grade.cell.name
                found[task] = (float(grade.manual_score), str(said.get(task, "")))
        return found

    def _find(self, student: str, assignment: Assignment) -> Any:
        try:
            return self._book.find_submission(assignment.id, student)
        except self._api.MissingEntry as error:
            raise UnknownName(
                f"the gradebook has no submission of {assignment.id} by {student}",
                mend="autograder stats    says who handed in",
            ) from error


def database_url(place: str) -> str:
    """The database's URL, with the driver that is installed."""
    if "://" not in place:
        return f"sqlite:///{Path(place).expanduser().resolve()}"
    for plain in ("postgresql://", "postgres://"):
        if place.startswith(plain):
            return "postgresql+psycopg://" + place.removeprefix(plain)
    return place


def _standing(submission: Any) -> Standing:
    by_task: dict[str, float] = {}
    most = 0.0
    review = False
    for grade in (grade for notebook in submission.notebooks for grade in notebook.grades):
        by_task[task_of(grade.cell.name) or grade.cell.name] = float(grade.score or 0.0)
        most += float(grade.max_score)
        review = review or bool(grade.needs_manual_grade)
    penalty = float(submission.late_submission_penalty or 0.0)
    points = max(sum(by_task.values()) - penalty, 0.0)
    return Standing(submission.student.id, submission.assignment.name, points, most, by_task, review, penalty)


def _reasons(report: Report, task: str) -> str | None:
    """What a grader reads beside a task: the sentence of each test that did not pass, and why."""
    failed = [test for test in report.tests if test.task == task and test.outcome not in ("passed", "skipped")]
    if not report.tests:
        return "\n".join(report.notes)
    lines = [f"{test.sentence} {test.reason}" + (f" {test.mistake.named}" if test.mistake else "") for test in failed]
    return "\n".join(lines[:12]) or None


@contextmanager
def _own_programs() -> Iterator[None]:
    """nbgrader starts `alembic` by name when it makes a gradebook: that of this Python is the one it needs."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


@contextmanager
def _quiet() -> Iterator[None]:
    """nbgrader's libraries warn of each other's futures; none of it is about grades."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
