"""Under which names a course stands in nbgrader's gradebook: the one home of the mapping.

nbgrader's assignment is named by `assignment.id` ("a02_attention") and its student by the report's `student`. All else:
"""

from __future__ import annotations

from autograder.course import Assignment

CHECK = "check-"
MANUAL = "manual-"


def notebook_name(assignment: Assignment) -> str:
    """The notebook's name without its ending: what `autograder notebook` writes."""
    return assignment.notebook_path.stem


def answer_cell(task: str) -> str:
    """grade_id of the cell that the student writes a task in."""
    return task


def check_cell(task: str) -> str:
    """grade_id of the locked cell that carries a task's points."""
    return f"{CHECK}{task}"


def manual_cell(name: str) -> str:
    """grade_id of a cell that a human grades."""
    return f"{MANUAL}{name}"


def task_of(grade_id: str) -> str | None:
    """The task whose points the cell of this grade_id carries; None for any other cell."""
    return grade_id.removeprefix(CHECK) if grade_id.startswith(CHECK) else None
