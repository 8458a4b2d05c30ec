"""Reports of the toy course made by hand."""

import pytest

from autograder.report import NOT_WRITTEN, Recognised, Report, TestResult


@pytest.fixture
def report_of(toy_course):
    """A report of an assignment: one test a task, with the outcome given ("passed", "failed", "unwritten", …)."""

    def make(name="t01", mistake=None, **outcomes):
        assignment = toy_course.assignment(name)
        tests = [
            TestResult(
                id=f"{assignment.short}.{task}.test_one",
                task=task,
                hidden=True,
                outcome="failed" if outcome == "unwritten" else outcome,
                sentence="It holds.",
                points=assignment.task(task).points if outcome == "passed" else 0.0,
                max_points=assignment.task(task).points,
                reason=NOT_WRITTEN if outcome == "unwritten" else "" if outcome == "passed" else f"{task} is off",
                mistake=Recognised(mistake, "seen", "named") if mistake and outcome == "failed" else None,
            )
            for task, outcome in outcomes.items()
        ]
        return Report(
            assignment=assignment.id,
            title=assignment.title,
            tests=tuple(tests),
            tasks=tuple({"name": t.name, "title": t.title, "points": t.points} for t in assignment.tasks),
            submission="py:abc",
            tests_hash="",
            release="",
            isolation="",
            complete=True,
        )

    return make
