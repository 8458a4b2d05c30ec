"""The authors' solution of a task: after it passes, or after all its hints and a confirmation."""

from __future__ import annotations

import ast
from typing import Literal

from autograder.course import Assignment, Task
from autograder.errors import AutograderError, CourseError
from autograder.learner.progress import Progress
from autograder.report import Report

Access = Literal["open", "confirm"]

MARKS = ("### BEGIN SOLUTION", "### END SOLUTION")


def access(assignment: Assignment, task: Task, report: Report | None, progress: Progress) -> Access:
    """open: the task passes. confirm: all its hints were read. Otherwise refused, with the next hint."""
    if report is not None and any(result.name == task.name and result.done for result in report.by_task()):
        return "open"
    read = progress.hints_read(assignment, task)
    if read >= len(task.hints):
        return "confirm"
    raise AutograderError(
        f"the solution of {assignment.short}.{task.name} opens once it passes, or after its hints "
        f"({read} of {len(task.hints)} read)",
        mend=f"autograder hint {assignment.short}.{task.name}",
    )


def which_task(assignment: Assignment) -> Task:
    """The task that is meant by the assignment alone: only where it leaves no doubt."""
    names = ", ".join(f"{assignment.short}.{task.name}" for task in assignment.tasks)
    if len(assignment.tasks) != 1:
        raise AutograderError(
            f"{assignment.short} has several tasks: say which one", mend=f"autograder solution TASK    ({names})"
        )
    return assignment.tasks[0]


def solution_of(assignment: Assignment, task: Task) -> str:
    """The task's function or class from the authors' source, without the marks of the source format."""
    path = assignment.solution_folder / "source.py"
    try:
        text = path.read_text(encoding="utf-8")
        body = ast.parse(text).body
    except FileNotFoundError as error:
        raise CourseError(
            f"the solutions are not in this kit, so {assignment.short}.{task.name} cannot be shown",
            where=str(path),
            mend="ask the person who gave you the course",
        ) from error
    except (SyntaxError, ValueError, OSError) as error:
        raise CourseError(
            f"the authors' source cannot be read ({error})", where=str(path), mend="git checkout"
        ) from error
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == task.name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines = text.splitlines()[first - 1 : node.end_lineno]
            return "\n".join(line for line in lines if line.strip() not in MARKS)
    raise CourseError(
        f"the authors' source has no {task.name}", where=str(path), mend="git checkout, then the same again"
    )
