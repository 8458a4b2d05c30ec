"""A graded run: student code trains, and the grader measures what comes of it.

A test that takes the fixture `run` is one. It records the curve, reports how far the training has come, and holds the
outcome against a threshold. Every number in it was measured by the grader; what student code says of itself counts for
nothing. A run that misses its threshold is repeated on two more seeds, because training is a matter of luck too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from autograder.report import Curve, Figure
from autograder.testing.student import WrongAnswer

ATTEMPTS = 3
"""A run that misses is tried on further seeds; most of three decide."""

OnProgress = Callable[[float], None]
"""Told which share of the budget is used."""


class Missed(WrongAnswer):
    """The run went to its end, and what it reached is not enough. Another seed may do better."""


class OffTarget(WrongAnswer):
    """A probe ended at a wrong number; `looks_like` are the mistakes whose training ends there too."""

    def __init__(self, safe: str, detail: str, looks_like: tuple[str, ...]) -> None:
        super().__init__(safe, detail)
        self.looks_like = looks_like


@dataclass
class GradedRun:
    """What one run used, how it went and what it reached."""

    seed: int = 0
    on_progress: OnProgress | None = None
    curve_name: str = ""
    unit: str = ""
    listed: tuple[str, ...] = ()
    """Mistakes of which a probe says where training with them ends."""
    points: list[tuple[float, float]] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def draws(self, name: str, unit: str) -> None:
        """Names the curve: what is measured ("mean return of 4 greedy episodes") against what ("environment steps")."""
        self.curve_name, self.unit = name, unit

    def measured(self, used: float, value: float) -> None:
        """Adds a point to the curve."""
        self.points.append((float(used), float(value)))

    def progress(self, used: float, budget: float) -> None:
        """Tells whoever watches how far the run has come."""
        if self.on_progress is not None:
            self.on_progress(min(used / budget, 1.0) if budget else 1.0)

    def reaches(
        self, name: str, value: float, *, at_least: float | None = None, at_most: float | None = None, unit: str = ""
    ) -> None:
        """Keeps the figure, and fails the run unless at_least <= value <= at_most. A value that is NaN fails."""
        limit = at_least if at_least is not None else at_most
        self.figures.append(Figure(name, float(value), limit, unit))
        if at_least is not None and not value >= at_least:
            raise Missed(f"The {name} is {value:.4g}{unit}; at least {at_least:g}{unit} is needed.")
        if at_most is not None and not value <= at_most:
            raise Missed(f"The {name} is {value:.4g}{unit}; at most {at_most:g}{unit} is allowed.")

    def tells(
        self,
        name: str,
        values: Sequence[float],
        truth: Sequence[float],
        *,
        atol: float,
        mistakes: Mapping[str, Sequence[float | None]] | None = None,
    ) -> None:
        """Fails unless training ended at `truth`. A probe world is made so that each mistake ends at another number.

        mistakes: id -> where training with that mistake ends (None: anywhere), for each mistake that fails this probe.
        A mistake is said only if all probes that list it end at its numbers, and all others of the task hold.
        """
        self.listed = tuple(mistakes or ())
        found = np.asarray(values, dtype=np.float64).reshape(-1)
        if found.shape != (len(truth),):
            raise WrongAnswer(f"There are {found.size} numbers where {len(truth)} are expected.")
        for place, (value, wanted) in enumerate(zip(found, truth, strict=True), 1):
            which = name if len(truth) == 1 else f"{name} ({place} of {len(truth)})"
            self.figures.append(Figure(which, float(value), float(wanted)))
        if _meets(found, truth, atol):
            return
        names = tuple(key for key, ends in (mistakes or {}).items() if _meets(found, ends, atol))
        said = ", ".join(f"{value:.3g}" for value in found)
        right = ", ".join(f"{value:.3g}" for value in truth)
        raise OffTarget(f"After training, {name} is {said}; it should be {right}, give or take {atol:g}.", "", names)

    def curve(self) -> Curve | None:
        """The curve so far, held against the threshold of the last figure; None where nothing was measured."""
        if not self.points:
            return None
        threshold = self.figures[-1].threshold if self.figures else None
        return Curve(self.curve_name, self.unit, tuple(self.points), threshold, seed=self.seed)


def _meets(found: np.ndarray, ends: Sequence[float | None], atol: float) -> bool:
    """Whether all numbers are where they would end; a None leaves its number open."""
    return len(ends) == len(found) and all(
        end is None or abs(value - end) <= atol for value, end in zip(found, ends, strict=True)
    )
