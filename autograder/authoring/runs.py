"""Looks at one graded run over training seeds: does the reference reach it, and does everything else miss it clearly?

A graded run proves that something learns. What proves little is told here: a blocker that gets through, a threshold
that luck decides, a probe that calls a mistake by another one's name.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograder.grading.diagnosis import proxy
from autograder.grading.training import suspected
from autograder.testing.bank import Mistake
from autograder.testing.collect import TestCase
from autograder.testing.modules import Author
from autograder.testing.runner import Verdict, run_test

GAP = 3.0
"""How many of their own standard deviations blockers stay away from the threshold, at least."""


@dataclass
class RunRow:
    """What was measured of one graded run over its vetted seeds."""

    test: str
    seeds: list[int] = field(default_factory=list)
    threshold: float | None = None
    reference: list[float] = field(default_factory=list)
    """The last figure of each reference run."""
    cpu_seconds: list[float] = field(default_factory=list)
    """Of each reference run, the grader's share (environments) included."""
    blockers: dict[str, list[float]] = field(default_factory=dict)
    caught: dict[str, int] = field(default_factory=dict)
    """Mistake named for this run -> on how many seeds it failed."""
    recognised: dict[str, int] = field(default_factory=dict)
    """Mistake -> on how many seeds the run itself tells its name."""
    curve: list[list[float]] = field(default_factory=list)
    """(used, lowest, highest) of the reference."""
    lapses: list[str] = field(default_factory=list)


def vet_run(author: Author, case: TestCase, seeds: int, tell: Callable[[str], None]) -> RunRow:
    """Trains reference, alternatives and the mistakes named for this run on `seeds` seeds each."""
    row = RunRow(case.name)
    curves = []
    for seed in range(2 * seeds):
        if len(row.seeds) == seeds:
            break
        tell(f"{case.name}, seed {seed}: the reference")
        truth = run_test(case, proxy(author), proxy(author), seed)
        if not truth.passed:
            row.lapses.append(f"{case.name}, seed {seed}: the reference does not pass: {truth.detail}")
            if len(row.lapses) > seeds // 4:
                return row
            continue
        row.seeds.append(seed)
        row.reference.append(truth.figures[-1].value if truth.figures else float("nan"))
        row.threshold = truth.figures[-1].threshold if truth.figures else None
        row.cpu_seconds.append(round(truth.ended.cpu_seconds, 2))
        curves.append(truth.curve.points if truth.curve else ())
    if len(row.seeds) == seeds:
        row.lapses = []  # a seed on which the reference fails is given to nobody
        row.curve = _band(curves)
        _try_others(author, case, row, tell)
    return row


def _try_others(author: Author, case: TestCase, row: RunRow, tell: Callable[[str], None]) -> None:
    for alternative in (item for item in author.alternatives if item.task == case.task):
        for seed in row.seeds:
            tell(f"{case.name}, seed {seed}: the alternative {alternative.id}")
            verdict = run_test(case, proxy(author, alternative), proxy(author), seed)
            if not verdict.passed:
                row.lapses.append(f"{case.name}, seed {seed}: the alternative {alternative.id} fails: {verdict.detail}")
    bank = [item for item in author.mistakes if item.task == case.task]
    for item in (item for item in bank if case.family in item.caught_by):
        verdicts = []
        for seed in row.seeds:
            tell(f"{case.name}, seed {seed}: the mistake {item.id}")
            verdicts.append(run_test(case, proxy(author, item), proxy(author), seed))
        _keep(item, bank, verdicts, row)


def _keep(item: Mistake, bank: Sequence[Mistake], verdicts: Sequence[Verdict], row: RunRow) -> None:
    row.caught[item.id] = sum(not verdict.passed for verdict in verdicts)
    if row.caught[item.id] < len(verdicts):
        row.lapses.append(f"{row.test}: the mistake {item.id} passes on {len(verdicts) - row.caught[item.id]} seeds")
    names = [suspected(verdict, bank) for verdict in verdicts]
    row.recognised[item.id] = sum(name is not None and name.id in (item.id, *item.twin) for name in names)
    for wrong in {name.id for name in names if name is not None} - {item.id, *item.twin}:
        row.lapses.append(f"{row.test} calls the mistake {item.id} by the name of {wrong}")
    if item.blocker:
        row.blockers[item.id] = [verdict.figures[-1].value for verdict in verdicts if verdict.figures]
        _check_gap(item, row)


def _check_gap(item: Mistake, row: RunRow) -> None:
    """The blocker's results stay away from the threshold by a multiple of their own spread."""
    values = row.blockers[item.id]
    if len(values) < 2 or row.threshold is None:
        return
    spread = statistics.stdev(values)
    if abs(row.threshold - statistics.mean(values)) < GAP * spread:
        row.lapses.append(
            f"{row.test}: the blocker {item.id} reaches {statistics.mean(values):.4g} ± {spread:.2g}, "
            f"which is less than {GAP:g} of its standard deviations from the threshold {row.threshold:g}"
        )


def _band(curves: Sequence[Any]) -> list[list[float]]:
    """Lowest and highest over the seeds, at the places where the first run was measured."""
    drawn = [curve for curve in curves if curve]
    if not drawn:
        return []
    places = [used for used, _ in drawn[0]]
    values = np.array([np.interp(places, [u for u, _ in curve], [v for _, v in curve]) for curve in drawn])
    return [
        [used, float(low), float(high)]
        for used, low, high in zip(places, values.min(axis=0), values.max(axis=0), strict=True)
    ]
