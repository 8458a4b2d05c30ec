"""Turns verdicts into points. Points are split over a task's hidden tests; whatever is not an explicit pass is zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from autograder.course import Assignment, Task
from autograder.report import NOT_WRITTEN, TestResult
from autograder.testing.collect import TestCase


def worth(cases: Sequence[TestCase], assignment: Assignment) -> dict[str, float]:
    """What each test is worth, by name: a task's points split by weight over its hidden tests. Others are practice."""
    totals: dict[str, float] = {}
    for case in cases:
        if case.hidden:
            totals[case.task] = totals.get(case.task, 0.0) + case.weight
    points = {task.name: task.points for task in assignment.tasks}
    return {
        case.name: points[case.task] * case.weight / totals[case.task] if case.hidden and totals[case.task] else 0.0
        for case in cases
    }


def settle(results: Sequence[TestResult], cases: Sequence[TestCase], assignment: Assignment) -> tuple[TestResult, ...]:
    """Holds back what depends on something that is not right yet, and pays for what passed."""
    by_name = {case.name: case for case in cases}
    passed = _families_passed(results, by_name)
    sentences = {(case.task, case.family): case.sentence for case in cases}
    unfinished = {task.name for task in assignment.tasks if not _finished(task, results)}
    settled = []
    for result in results:
        case = by_name[result.name]
        result = _held_by_test(result, case, passed, sentences)
        result = _held_by_task(result, assignment.task(case.task), unfinished)
        settled.append(replace(result, points=result.max_points if result.outcome == "passed" else 0.0))
    return tuple(settled)


def _held_by_test(
    result: TestResult, case: TestCase, passed: set[tuple[str, str]], sentences: dict[tuple[str, str], str]
) -> TestResult:
    # A practice test may need a practice run, which does not run where the hidden ones train in its place.
    needs = [name for name in case.needs if case.hidden or (case.task, name) in sentences]
    waiting = [name for name in needs if (case.task, name) not in passed]
    if result.outcome != "passed" or not waiting:
        return result
    sentence = sentences.get((case.task, waiting[0]), waiting[0])
    return replace(result, outcome="blocked", reason=f"Holds already; counts once this does: {sentence}")


def _held_by_task(result: TestResult, task: Task, unfinished: set[str]) -> TestResult:
    waiting = [name for name in task.needs if name in unfinished]
    if result.outcome in ("passed", "blocked", "skipped", "error") or result.reason == NOT_WRITTEN or not waiting:
        return result
    reason = f"Builds on {waiting[0]}, which is not right yet: mend that first."
    return replace(result, outcome="blocked", reason=reason, mistake=None)


def _families_passed(results: Sequence[TestResult], by_name: dict[str, TestCase]) -> set[tuple[str, str]]:
    """(task, test function) of which every case passed."""
    outcomes: dict[tuple[str, str], bool] = {}
    for result in results:
        case = by_name[result.name]
        key = (case.task, case.family)
        outcomes[key] = outcomes.get(key, True) and result.outcome == "passed"
    return {key for key, good in outcomes.items() if good}


def _finished(task: Task, results: Iterable[TestResult]) -> bool:
    """Whether a task has no failing test among those that ran (a task that did not run holds nothing back)."""
    return all(result.outcome in ("passed", "skipped") for result in results if result.task == task.name)
