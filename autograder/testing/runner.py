"""Runs one test case against one student and says what became of it. Everything that is not a pass is worth nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from autograder.errors import AutograderError
from autograder.report import NOT_WRITTEN, Curve, Figure, Outcome
from autograder.sandbox.messages import Ended
from autograder.testing.collect import TestCase
from autograder.testing.graded import GradedRun, Missed, OffTarget, OnProgress
from autograder.testing.student import Exchange, NoAnswer, Student, WrongAnswer, close, overlooked, transcript

CRASHED: frozenset[str] = frozenset({"crashed", "protocol"})


@dataclass(frozen=True)
class Verdict:
    """What became of one test on one student."""

    outcome: Outcome
    safe: str = ""
    """Why, in words that hold no input and no expected value."""
    detail: str = ""
    """Why, with values: for public tests."""
    transcript: tuple[Exchange, ...] = ()
    ended: Ended = field(default_factory=Ended)
    figures: tuple[Figure, ...] = ()
    curve: Curve | None = None
    missed: bool = False
    """A graded run that went to its end and reached too little: another seed may do better."""
    looks_like: tuple[str, ...] = ()
    """Ids of mistakes whose training ends where this one did."""
    listed: tuple[str, ...] = ()
    """Ids of mistakes of which the test says where their training ends."""

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


def run_test(
    case: TestCase, student: Student, reference: Student | None, seed: int, on_progress: OnProgress | None = None
) -> Verdict:
    """Runs `case` to its end or its first failure, and closes both conversations."""
    run = GradedRun(seed, on_progress)
    verdict = _verdict_of(case, student, reference, run)
    missed = overlooked(student)
    if missed is not None and verdict.outcome not in ("error", "skipped"):
        outcome, safe, detail = _without_answer(NoAnswer(missed))
        verdict = replace(verdict, outcome=outcome, safe=safe, detail=detail, missed=False, looks_like=())
    if not case.graded_run:
        return verdict
    return replace(verdict, figures=tuple(run.figures), curve=run.curve(), listed=run.listed)


def _verdict_of(case: TestCase, student: Student, reference: Student | None, run: GradedRun) -> Verdict:
    available: dict[str, Any] = {"student": student, "reference": reference, "seed": run.seed, "run": run}
    arguments = {name: available[name] for name in case.uses} | case.params
    try:
        case.function(**arguments)
    except NoAnswer as failure:
        outcome, safe, detail = _without_answer(failure)
        return _verdict(outcome, safe, detail, student, reference)
    except OffTarget as failure:
        verdict = _verdict("failed", failure.safe, failure.detail, student, reference)
        return replace(verdict, looks_like=failure.looks_like)
    except WrongAnswer as failure:
        verdict = _verdict("failed", failure.safe, failure.detail, student, reference)
        return replace(verdict, missed=isinstance(failure, Missed))
    except pytest.skip.Exception as skipped:
        outcome = "error" if case.hidden else "skipped"
        return _verdict(outcome, str(skipped), str(skipped), student, reference)
    except AssertionError as failure:
        said = str(failure) or "This does not hold for your answer."
        return _verdict("failed", said, said, student, reference)
    except AutograderError as fault:
        return _verdict("error", fault.problem, str(fault), student, reference)
    except Exception as fault:
        return _unusable(fault, student, reference)
    if not transcript(student):
        return _verdict("error", "this test asked nothing", "", student, reference)
    return _verdict("passed", "", "", student, reference)


def _without_answer(failure: NoAnswer) -> tuple[Outcome, str, str]:
    reply = failure.reply
    if reply.kind == "unwritten":
        return "failed", NOT_WRITTEN, NOT_WRITTEN
    if reply.kind == "timeout":
        return "timeout", failure.safe, failure.detail
    return ("crashed" if reply.kind in CRASHED else "failed"), failure.safe, failure.detail


def _unusable(fault: Exception, student: Student, reference: Student | None) -> Verdict:
    """A test that raised: on an answer of an unforeseen form it is the answer's fault, before any answer it is ours."""
    said = f"{type(fault).__name__}: {fault}"
    if transcript(student):
        safe = "Your answer has a form that this test could not use; compare its type and shape with the handout's."
        return _verdict("failed", safe, f"{safe} ({said})", student, reference)
    return _verdict("error", "the test itself failed before it asked anything", said, student, reference)


def _verdict(outcome: Outcome, safe: str, detail: str, student: Student, reference: Student | None) -> Verdict:
    ended = close(student)
    if reference is not None:
        close(reference)
    return Verdict(outcome, safe, detail, tuple(transcript(student)), ended)
