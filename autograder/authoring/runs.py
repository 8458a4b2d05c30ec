"""Looks at one graded run over training seeds: does the reference reach it, and does everything else miss it clearly?

A graded run proves that something learns. What proves little is told here: a blocker that gets through, a threshold
that luck decides, a probe that calls a mistake by another one's name.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autograder.grading.diagnosis import proxy
from autograder.grading.training import suspected
from autograder.testing.bank import Mistake
from autograder.testing.collect import TestCase
from autograder.testing.modules import Author
from autograder.testing.runner import Verdict, run_test

FEW = 3
"""On so many of the vetted seeds alternatives train, and mistakes that a probe stops: those end at the same numbers
everywhere. The reference and the blockers of a threshold train on all."""

NORMAL = 1.4826
"""Standard deviations in a median deviation of normal numbers."""

GAP = 3.0
"""How many of their own standard deviations blockers stay away from the threshold, at least."""

NEAR = 0.5
"""A blocker that comes so much closer to the threshold than it usually does was lucky."""


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
    verdicts: dict[str, list[Verdict]] = field(default_factory=dict, repr=False)
    """Of a probe: what became of the reference ("") and of each mistake, seed by seed. Not kept."""

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("curve", "lapses", "verdicts")}


@dataclass
class Trained:
    """One seed of a graded run: what became of the reference and of each blocker."""

    truth: Verdict
    blocked: dict[str, Verdict] = field(default_factory=dict)


def vet_run(author: Author, case: TestCase, seeds: int, tell: Callable[[str], None]) -> RunRow:
    """Trains reference, alternatives and the mistakes named for this run on `seeds` seeds each.

    A seed on which the reference fails, or a blocker gets through or near it (under a disguise, a fixed policy is a
    lottery ticket), is given to nobody: another takes its place, as long as that is not the rule.
    """
    row = RunRow(case.name)
    bank = [item for item in author.mistakes if item.task == case.task and case.family in item.caught_by]
    blockers = [item for item in bank if item.blocker]
    kept: dict[int, Trained] = {}
    lucky = 0
    for seed in range(3 * seeds):
        if len(kept) == seeds or len(row.lapses) > seeds // 4 or lucky > seeds:
            break
        tell(f"{case.name}, seed {seed}: the reference")
        truth = run_test(case, proxy(author), proxy(author), seed)
        if not truth.passed:
            row.lapses.append(f"{case.name}, seed {seed}: the reference does not pass: {truth.detail}")
            continue
        kept[seed] = Trained(truth)
        for item in blockers if not truth.listed else ():
            tell(f"{case.name}, seed {seed}: the blocker {item.id}")
            kept[seed].blocked[item.id] = run_test(case, proxy(author, item), proxy(author), seed)
        for chance in _lucky(kept, complete=len(kept) == seeds):
            del kept[chance]
            lucky += 1
    if len(kept) == seeds:
        row.lapses = []
        for seed, trained in kept.items():
            _keep_seed(row, seed, trained)
        row.curve = _band([trained.truth.curve.points for trained in kept.values() if trained.truth.curve])
        for item in (item for item in bank if item.id in row.blockers):
            _check_gap(item, row)
        _try_others(author, case, [item for item in bank if item.id not in row.blockers], row, tell)
    elif lucky > seeds // 4:
        row.lapses.append(f"{case.name}: on {lucky} seeds a blocker gets through or half of the way")
    return row


def _lucky(kept: dict[int, Trained], complete: bool) -> list[int]:
    """The seeds on which a blocker gets through; and, of all that are wanted, those on which it comes near.

    Near: less than half as far from the threshold as in the middle of its own results. Another policy of its kind, not
    in the bank, might get through there.
    """
    found = {seed for seed, trained in kept.items() if any(verdict.passed for verdict in trained.blocked.values())}
    for name in next(iter(kept.values())).blocked if complete else ():
        away = {
            seed: abs(figure.threshold - figure.value)
            for seed, trained in kept.items()
            for figure in trained.blocked[name].figures[-1:]
            if figure.threshold is not None
        }
        middle = statistics.median(away.values()) if away else 0.0
        found |= {seed for seed, distance in away.items() if distance < NEAR * middle}
    return sorted(found)


def _keep_seed(row: RunRow, seed: int, trained: Trained) -> None:
    truth = trained.truth
    row.seeds.append(seed)
    row.reference.append(truth.figures[-1].value if truth.figures else float("nan"))
    row.threshold = truth.figures[-1].threshold if truth.figures else None
    row.cpu_seconds.append(round(truth.ended.cpu_seconds, 2))
    if truth.listed:
        row.verdicts.setdefault("", []).append(_without_answers(truth))
    for name, verdict in trained.blocked.items():
        row.caught[name] = row.caught.get(name, 0) + 1
        row.blockers.setdefault(name, []).extend(figure.value for figure in verdict.figures[-1:])


def _without_answers(verdict: Verdict) -> Verdict:
    """What a probe says, which can be sent from one process to another; its answers may be large."""
    return replace(verdict, transcript=(), curve=None)


def _try_others(
    author: Author, case: TestCase, mistakes: Sequence[Mistake], row: RunRow, tell: Callable[[str], None]
) -> None:
    """Alternatives must pass and mistakes that are no blockers here must fail, on the first few of the seeds."""
    for alternative in (item for item in author.alternatives if item.task == case.task):
        for seed in row.seeds[:FEW]:
            tell(f"{case.name}, seed {seed}: the alternative {alternative.id}")
            verdict = run_test(case, proxy(author, alternative), proxy(author), seed)
            if not verdict.passed:
                row.lapses.append(f"{case.name}, seed {seed}: the alternative {alternative.id} fails: {verdict.detail}")
    for item in mistakes:
        verdicts = []
        for seed in row.seeds[:FEW]:
            tell(f"{case.name}, seed {seed}: the mistake {item.id}")
            verdicts.append(run_test(case, proxy(author, item), proxy(author), seed))
        row.caught[item.id] = sum(not verdict.passed for verdict in verdicts)
        if row.caught[item.id] < len(verdicts):
            missed = len(verdicts) - row.caught[item.id]
            row.lapses.append(f"{row.test}: the mistake {item.id} passes on {missed} seeds")
        if row.verdicts:
            row.verdicts[item.id] = [_without_answers(verdict) for verdict in verdicts]


def _check_gap(item: Mistake, row: RunRow) -> None:
    """The blocker's results stay away from the threshold by a multiple of their own spread.

    Median and median deviation: one draw that came near, and missed all the same, says little of the rest.
    """
    values = row.blockers[item.id]
    if len(values) < 2 or row.threshold is None:
        return
    middle = statistics.median(values)
    spread = NORMAL * statistics.median(abs(value - middle) for value in values)
    if abs(row.threshold - middle) < GAP * spread:
        row.lapses.append(
            f"{row.test}: the blocker {item.id} reaches {middle:.4g} ± {spread:.2g}, "
            f"which is less than {GAP:g} of its standard deviations from the threshold {row.threshold:g}"
        )


def check_names(rows: Sequence[RunRow], bank: Sequence[Mistake]) -> list[str]:
    """Whether the probes of one task call its mistakes by their own names, or by none. Returns what is wrong."""
    probes = [row for row in rows if row.verdicts]
    lapses = []
    for item in bank:
        run_on = [row for row in probes if item.id in row.verdicts]
        listed = [row for row in probes if item.id in row.verdicts[""][0].listed]
        for row in listed:
            if row not in run_on:
                lapses.append(f"{row.test} says where {item.id} ends, but is not among the tests that it names")
        for place in range(min((len(row.verdicts[item.id]) for row in run_on), default=0)):
            verdicts = [row.verdicts.get(item.id, row.verdicts[""])[place] for row in probes]
            named = suspected(verdicts, bank)
            if named is not None and named.id not in (item.id, *item.twin):
                lapses.append(f"the probes call the mistake {item.id} by the name of {named.id}")
            for row in listed if named is not None else ():
                row.recognised[item.id] = row.recognised.get(item.id, 0) + 1
    return lapses


def _band(curves: Sequence[Any]) -> list[list[float]]:
    """Lowest and highest over the seeds, at the places where the longest run was measured.

    A run that ended earlier says nothing of what comes after its end: there the others make the band.
    """
    drawn = [curve for curve in curves if curve]
    if not drawn:
        return []
    places = [used for used, _ in max(drawn, key=lambda curve: curve[-1][0])]
    band = []
    for place in places:
        there = [curve for curve in drawn if place <= curve[-1][0]]
        values = [float(np.interp(place, [u for u, _ in curve], [v for _, v in curve])) for curve in there]
        band.append([place, min(values), max(values)])
    return band
