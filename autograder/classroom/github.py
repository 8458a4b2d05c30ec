"""A report as the result of one step of a GitHub Classroom workflow: base64 of a small JSON object.

In a kit the hidden tests are not there, so nothing that counts can run. The points of each task are then split evenly
over its public tests, so that a push shows progress. That number comes from the student's own repository, whose tests
and workflow a student can change: it is practice, and no grade.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from autograder.report import Report, TestResult

VERSION = 1


def result(report: Report) -> str:
    """The value of the step's output `result`."""
    shares = practice_shares(report)
    counted = [test for test in report.tests if test.outcome != "skipped"]
    tests = [_test(report, test, shares.get(test.id, test.points)) for test in counted]
    states = {test["status"] for test in tests}
    status = "error" if "error" in states else "pass" if states == {"pass"} else "fail"
    return _encoded({"version": VERSION, "status": status, "max_score": report.max_points, "tests": tests})


def no_result(assignment: str, points: float, reason: str) -> str:
    """The same for what was not graded: no points, and why."""
    test = {
        "name": assignment, "status": "error", "score": 0, "message": reason,
        "test_code": "", "filename": "", "line_no": 0, "duration": 0,
    }  # fmt: skip
    return _encoded({"version": VERSION, "status": "error", "max_score": points, "tests": [test]})


def practice_shares(report: Report) -> dict[str, float]:
    """What each public test earned, by id, where the hidden ones are elsewhere; {} where they decide."""
    if any(test.hidden for test in report.tests):
        return {}
    shares: dict[str, float] = {}
    for task in report.by_task():
        counted = [test for test in task.tests if test.outcome != "skipped"]
        shares |= {t.id: task.max_points / len(counted) if t.outcome == "passed" else 0.0 for t in counted}
    return shares


def _test(report: Report, test: TestResult, score: float) -> dict[str, Any]:
    status = {"passed": "pass", "error": "error"}.get(test.outcome, "fail")
    said = [test.reason or "It does not hold."] + ([test.mistake.seen] if test.mistake else [])
    return {
        "name": f"{test.task}: {test.sentence}",
        "status": status,
        "score": round(score, 4),
        "message": None if status == "pass" else "\n".join(said),
        "test_code": "",
        "filename": "" if test.hidden else f"assignments/{report.assignment}/test_public.py",
        "line_no": 0,
        "duration": test.cpu_seconds,
    }


def _encoded(data: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(data, ensure_ascii=False, allow_nan=False).encode()).decode("ascii")
