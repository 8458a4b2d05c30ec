"""What to do next: one sentence and one command, from the reports so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from autograder.course import Assignment, Course, Task
from autograder.errors import AutograderError, CourseError
from autograder.grading.outline import written
from autograder.grading.submission import Form, read_submission
from autograder.report import NOT_WRITTEN, Report, TaskResult

Kind = Literal["start", "write", "check", "mend", "ours", "done", "empty"]


@dataclass(frozen=True)
class NextStep:
    """kind: start (nothing written yet) · write (the next task) · check (what is written and was not checked)
    · mend (a task that fails) · ours (a test broke) · done (all passed) · empty (the course has no assignment)."""

    kind: Kind
    sentence: str
    command: str = ""
    assignment: str = ""
    task: str = ""


def next_step(course: Course, reports: Mapping[str, Report]) -> NextStep:
    """The first thing to do in the first unfinished assignment; one that was begun goes before a fresh one."""
    if not course.assignments:
        return NextStep("empty", "This course has no assignments yet.", "autograder new a01_name")
    assignment = current(course, reports)
    if finished(reports.get(assignment.id)):
        return NextStep(
            "done", "Every task of the course passes. Well done.", "autograder quiz " + course.assignments[-1].short
        )
    return step_in(assignment, reports.get(assignment.id))


def current(course: Course, reports: Mapping[str, Report]) -> Assignment:
    """The assignment that the student is at: the first begun and unfinished one, else the first unfinished one."""
    if not course.assignments:
        raise CourseError("this course has no assignments yet", where=str(course.root), mend="autograder new a01_name")
    open_ones = [a for a in course if not finished(reports.get(a.id))] or [course.assignments[-1]]
    return next((a for a in open_ones if _begun(reports.get(a.id))), open_ones[0])


def step_in(assignment: Assignment, report: Report | None) -> NextStep:
    """The first thing to do in one assignment: mend what was tried and fails, else write the next task."""
    check = f"autograder check {assignment.short}"
    focus = focus_of(assignment, report)
    if focus is None:
        return NextStep(
            "done", f"All of {assignment.short} passes.", f"autograder quiz {assignment.short}", assignment.id
        )
    task, result = focus
    where = _file(assignment, report)
    if report is not None and cannot_load(report):
        return NextStep("mend", f"Mend {where} so that it loads, then", check, assignment.id)
    if result is not None and any(test.outcome == "error" for test in result.tests):
        sentence = f"A test of {task.name} broke on our side. Check again; if it stays, report it."
        return NextStep("ours", sentence, check, assignment.id, task.name)
    if result is not None and tried(result):
        if _unchecked(assignment, task, report):
            sentence = f"Check {task.name}: {where} was edited since its last check."
            return NextStep("check", sentence, f"{check}.{task.name}", assignment.id, task.name)
        return NextStep("mend", f"Mend {task.name} in {where}, then", check, assignment.id, task.name)
    return write_step(assignment, task, report)


def write_step(assignment: Assignment, task: Task, report: Report | None) -> NextStep:
    """Write this task, then check; or only check, where it is written already and no report knows."""
    if _unchecked(assignment, task, report):
        sentence = f"Check {task.name}: it is written in {_file(assignment, report)}, and was not checked yet."
        return NextStep("check", sentence, f"autograder check {assignment.short}.{task.name}", assignment.id, task.name)
    sentence = f"Write {task.name} ({task.minutes} min) in {_file(assignment, report)}, then"
    kind: Kind = "write" if _begun(report) else "start"
    return NextStep(kind, sentence, f"autograder check {assignment.short}", assignment.id, task.name)


def _unchecked(assignment: Assignment, task: Task, report: Report | None) -> bool:
    """Whether the task is written in the student's file as it is now, which its tests have not seen."""
    form: Form | None = None if report is None else "ipynb" if report.submission.startswith("ipynb:") else "py"
    try:
        submission = read_submission(assignment, form)
    except AutograderError:
        return False
    tests = [test for test in report.tests if test.task == task.name] if report is not None else []
    seen = any(test.submission == submission.sha256 for test in tests)
    return not seen and written(submission.text, task.name)


def focus_of(assignment: Assignment, report: Report | None) -> tuple[Task, TaskResult | None] | None:
    """The task to work on and how it stands: the first tried one that fails, else the first that is not done."""
    results = {result.name: result for result in report.by_task()} if report else {}
    undone = [task for task in assignment.tasks if task.name not in results or not results[task.name].done]
    for task in undone:
        result = results.get(task.name)
        if result is not None and tried(result) and not _blocked(result):
            return task, result
    return (undone[0], results.get(undone[0].name)) if undone else None


def finished(report: Report | None) -> bool:
    """Whether every task of the assignment is done, as far as is known here."""
    return report is not None and bool(report.tasks) and all(result.done for result in report.by_task())


def _file(assignment: Assignment, report: Report | None) -> str:
    """The form that was checked last, as a path from the course's folder."""
    form = "ipynb" if report is not None and report.submission.startswith("ipynb:") else "py"
    return f"assignments/{assignment.id}/{assignment.module}.{form}"


def cannot_load(report: Report) -> bool:
    """Whether one reason stands under every test of several tasks: the file itself could not be loaded."""
    ran = [test for test in report.tests if test.outcome not in ("skipped", "blocked")]
    reasons = {test.reason for test in ran}
    return len({test.task for test in ran}) > 1 and len(reasons) == 1 and reasons.isdisjoint({NOT_WRITTEN, ""})


def tried(result: TaskResult) -> bool:
    """Whether the student wrote anything of this task, as far as its tests can tell."""
    ran = [test for test in result.tests if test.outcome not in ("skipped", "blocked")]
    return any(test.outcome == "passed" or test.reason != NOT_WRITTEN for test in ran)


def _begun(report: Report | None) -> bool:
    return report is not None and any(tried(result) for result in report.by_task())


def _blocked(result: TaskResult) -> bool:
    """Nothing but blocked and passed tests: another task is to be mended first."""
    undone = [test for test in result.tests if test.outcome not in ("passed", "skipped")]
    return bool(undone) and all(test.outcome == "blocked" for test in undone)
