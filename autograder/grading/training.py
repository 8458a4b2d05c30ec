"""Grades a graded run: once, and where it misses, on two more seeds; most of three decide.

A run is expensive, so it waits until the other tests of its task hold, and one whose code, tests, versions and seed are
those of an earlier run is not run again: its result is taken over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from autograder.report import Curve, Figure, Report, TestResult
from autograder.testing.bank import Mistake
from autograder.testing.graded import ATTEMPTS
from autograder.testing.runner import Verdict

KEPT_OUTCOMES = frozenset({"passed", "failed"})

WAITS = "Not run yet: training takes a while, so it waits until the tests above it hold."


@dataclass(frozen=True)
class Trained:
    """What all attempts of one graded run gave."""

    verdict: Verdict
    """The attempt that decides."""
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]
    cpu_seconds: float


def attempt(run_once: Callable[[int], Verdict], seeds: Iterable[int]) -> Trained:
    """Runs on the first seed; after a miss on further ones, until most of three agree."""
    verdicts: list[tuple[int, Verdict]] = []
    for seed, _ in zip(seeds, range(ATTEMPTS), strict=False):
        verdicts.append((seed, run_once(seed)))
        last = verdicts[-1][1]
        passes = sum(verdict.passed for _, verdict in verdicts)
        if len(verdicts) == 1 and not last.missed:
            break
        if passes > ATTEMPTS // 2 or len(verdicts) - passes > ATTEMPTS // 2:
            break
    return _together(verdicts)


def _together(verdicts: list[tuple[int, Verdict]]) -> Trained:
    several = len(verdicts) > 1
    figures = [
        replace(figure, name=f"{figure.name}, seed {seed}") if several else figure
        for seed, verdict in verdicts
        for figure in verdict.figures
    ]
    decided = verdicts[-1][1]
    if several and not decided.passed:
        missed = sum(not verdict.passed for _, verdict in verdicts)
        said = f"{decided.safe} It missed on {missed} of {len(verdicts)} seeds."
        decided = replace(decided, safe=said, detail=said)
    curves = tuple(verdict.curve for _, verdict in verdicts if verdict.curve is not None)
    return Trained(decided, tuple(figures), curves, sum(verdict.ended.cpu_seconds for _, verdict in verdicts))


def with_reference(curves: Iterable[Curve], reference: Iterable[Iterable[float]]) -> tuple[Curve, ...]:
    """The curves with the range of the course's own solution beside them."""
    band = tuple((float(used), float(low), float(high)) for used, low, high in reference)
    return tuple(replace(curve, reference=band) for curve in curves)


def suspected(probes: Iterable[Verdict], bank: Iterable[Mistake]) -> Mistake | None:
    """The one mistake that explains every probe of a task: all that list it end at its numbers, all others hold.

    Several mistakes at once, or one that nobody wrote down, explain nothing, and nothing is said.
    """
    seen = [verdict for verdict in probes if verdict.listed]
    found = [
        item
        for item in bank
        if any(item.id in verdict.listed for verdict in seen)
        and all(item.id in verdict.looks_like if item.id in verdict.listed else verdict.passed for verdict in seen)
    ]
    if not found:
        return None
    return found[0] if all(item.id in (found[0].id, *found[0].twin) for item in found) else None


def fingerprint(*parts: Any) -> str:
    """A hash of everything that a run depends on."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def kept_run(kept: Iterable[Report | None], test: str, depends_on: str) -> TestResult | None:
    """The result of an earlier run of the same test on the same everything, if there is one."""
    for report in kept:
        for result in report.tests if report else ():
            if result.id == test and result.depends_on == depends_on and result.outcome in KEPT_OUTCOMES:
                return result
    return None
