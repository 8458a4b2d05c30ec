"""What was edited: since the last check, or between two saves. Cheap: the board shows it without loading the grader."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from autograder.course import Assignment, Course
from autograder.errors import AutograderError
from autograder.grading.submission import read_submission
from autograder.report import Report


def stale(course: Course, reports: Mapping[str, Report]) -> frozenset[str]:
    """Assignments with a verdict on an earlier text than the file's: edited after some check."""
    edited = set()
    for assignment in course:
        report = reports.get(assignment.id)
        try:
            if report and _seen(report) != {read_submission(assignment).sha256}:
                edited.add(assignment.id)
        except AutograderError:
            edited.add(assignment.id)
    return frozenset(edited)


def _seen(report: Report) -> set[str]:
    """The texts that the report's verdicts are of: a check of one task leaves the others' as they were."""
    tests = {test.submission for test in report.tests if test.submission and test.outcome != "skipped"}
    return tests | {report.submission}


def edited_tasks(assignment: Assignment, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The tasks whose functions and classes differ between two states of a module, in order."""
    return [task.name for task in assignment.tasks if before.get(task.name) != after.get(task.name)]


def definitions(text: str) -> dict[str, str]:
    """What each name at the top of a module is made to mean, whatever stands around it; {} where it is no Python."""
    found: dict[str, str] = {}
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = ast.dump(node)
        elif isinstance(node, ast.Assign):
            found |= {target.id: ast.dump(node) for target in node.targets if isinstance(target, ast.Name)}
    return found
