"""Looks at one test function on one seed: does it tell right from wrong there, and by how much?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autograder.grading.diagnosis import FINEST, proxy, remembering
from autograder.sandbox.messages import Reply
from autograder.testing.bank import Alternative, Mistake
from autograder.testing.collect import TestCase
from autograder.testing.compare import Tolerance, difference
from autograder.testing.modules import Author
from autograder.testing.runner import Verdict, run_test
from autograder.testing.student import Exchange, Student

CLEAR = 100.0
"""How many tolerances a mistake must lie from the truth, and from every other mistake named for the same test."""


@dataclass
class Trial:
    """One test function on one seed."""

    seed: int
    lapses: list[str] = field(default_factory=list)
    """Why this seed cannot be given to a student."""
    failed: set[str] = field(default_factory=set)
    """Mistakes that this test catches on this seed, named for it or not."""
    margins: dict[str, float] = field(default_factory=dict)
    """Distance from the truth of each mistake named for this test, in tolerances."""
    coincide: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of failing mistakes whose answers are the same here."""


def try_seed(author: Author, cases: Sequence[TestCase], seed: int, *, widely: bool) -> Trial:
    """Runs reference, alternatives and mistakes on one test function's cases and one seed.

    A named mistake must fail at least one of the cases, clearly, and lie clearly apart from the others in one of them.
    Always tried: the task's own alternatives and the mistakes named for this test. `widely` adds every other
    alternative (a task may build on another) and the task's other mistakes (which of them coincide here?).
    """
    trial = Trial(seed)
    margins: dict[str, float] = {}
    gaps: dict[tuple[str, str], float] = {}
    mistakes = [m for m in author.mistakes if m.task == cases[0].task and (widely or cases[0].family in m.caught_by)]
    alternatives = [a for a in author.alternatives if widely or a.task == cases[0].task]
    for case in cases:
        reference = remembering(author)
        truth = run_test(case, proxy(author), reference(), seed)
        if not truth.passed:
            trial.lapses.append(f"the reference does not pass {case.name}: {truth.detail}")
            return trial
        _try_alternatives(author, alternatives, case, reference, trial)
        verdicts = {item.id: run_test(case, proxy(author, item), reference(), seed) for item in mistakes}
        failing = [item for item in mistakes if not verdicts[item.id].passed]
        for item in failing:
            margin = distance(verdicts[item.id].transcript, truth.transcript)
            margins[item.id] = max(margins.get(item.id, 0.0), margin)
        _measure_gaps(failing, verdicts, gaps, trial)
    trial.failed = set(margins)
    _judge(author.mistakes, cases[0], margins, gaps, trial)
    return trial


def _try_alternatives(
    author: Author,
    alternatives: Sequence[Alternative],
    case: TestCase,
    reference: Callable[[], Student],
    trial: Trial,
) -> None:
    for alternative in alternatives:
        verdict = run_test(case, proxy(author, alternative), reference(), trial.seed)
        if not verdict.passed:
            trial.lapses.append(f"the alternative {alternative.id} does not pass {case.name}: {verdict.detail}")


def _measure_gaps(
    failing: Sequence[Mistake], verdicts: dict[str, Verdict], gaps: dict[tuple[str, str], float], trial: Trial
) -> None:
    """How far failing mistakes are from each other in this case; the widest gap over all cases is kept."""
    for one, other in itertools.combinations(failing, 2):
        mine, theirs = verdicts[one.id].transcript, verdicts[other.id].transcript
        gap = distance(mine, theirs) if len(mine) == len(theirs) else math.inf
        gaps[one.id, other.id] = max(gaps.get((one.id, other.id), 0.0), gap)
        if gap <= 1:
            trial.coincide.add((one.id, other.id))


def _judge(
    mistakes: Sequence[Mistake],
    case: TestCase,
    margins: dict[str, float],
    gaps: dict[tuple[str, str], float],
    trial: Trial,
) -> None:
    named = [item for item in mistakes if item.task == case.task and case.family in item.caught_by]
    for item in named:
        if item.id not in margins:
            trial.lapses.append(f"the mistake {item.id} passes")
        elif margins[item.id] < CLEAR:
            trial.lapses.append(f"the mistake {item.id} is only {margins[item.id]:.3g} tolerances from the truth")
        else:
            trial.margins[item.id] = margins[item.id]
    for one, other in itertools.combinations(named, 2):
        gap = gaps.get((one.id, other.id), math.inf)
        if gap < CLEAR and other.id not in one.twin:
            trial.lapses.append(f"the mistakes {one.id} and {other.id} are only {gap:.3g} tolerances apart")


def distance(one: Sequence[Exchange], other: Sequence[Exchange]) -> float:
    """How far two transcripts are apart, in tolerances, up to the shorter one's end."""
    return max((_reply_distance(a, b) for a, b in zip(one, other, strict=False)), default=0.0)


def _reply_distance(one: Exchange, other: Exchange) -> float:
    mine, theirs = one.reply, other.reply
    if mine.kind != theirs.kind:
        return math.inf
    if mine.kind != "value":
        return 0.0
    tolerance = _wider(one.tolerance, other.tolerance)
    found = difference(mine.value, theirs.value, tolerance)
    return max(found.distance if found else 0.0, _arguments_distance(mine, theirs))


def _arguments_distance(mine: Reply, theirs: Reply) -> float:
    if mine.arguments is None or theirs.arguments is None:
        return 0.0
    found = difference(list(mine.arguments), list(theirs.arguments), Tolerance(nan_equal=True))
    return math.inf if found else 0.0


def _wider(one: Tolerance, other: Tolerance) -> Tolerance:
    return Tolerance(max(one.rtol, other.rtol, FINEST.rtol * 1e-3), max(one.atol, other.atol, FINEST.atol * 1e-3))
