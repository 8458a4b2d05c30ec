"""What the author's gate found: kept in calibration.json, shown by `autograder verify` and in the docs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from autograder.authoring.runs import RunRow
from autograder.testing.modules import Author
from autograder.testing.seeds import CALIBRATION_FILE


@dataclass
class MistakeRow:
    """What the gate measured of one mistake."""

    id: str
    task: str
    caught_by: dict[str, float | None] = field(default_factory=dict)
    """Named test -> its smallest distance from the truth over the vetted seeds, in tolerances; None where it differs in
    kind (it raises, is NaN, has another shape) or in exact values."""
    also_caught_by: list[str] = field(default_factory=list)
    recognised_in: list[str] = field(default_factory=list)
    twins: list[str] = field(default_factory=list)

    @property
    def narrowest(self) -> tuple[str, float | None]:
        """The named test that tells it from the truth by the least, and by how much; None if all differ in kind."""
        if not self.caught_by:
            return "no test", None
        return min(self.caught_by.items(), key=lambda item: math.inf if item[1] is None else item[1])


@dataclass
class Verification:
    """The gate's findings for one assignment. It is open when there is no lapse."""

    assignment: str
    tests: dict[str, int] = field(default_factory=dict)
    """Hidden test -> how many seeds were vetted."""
    seeds: dict[str, list[int]] = field(default_factory=dict)
    mistakes: list[MistakeRow] = field(default_factory=list)
    alternatives: list[str] = field(default_factory=list)
    trivial: dict[str, float] = field(default_factory=dict)
    """Trivial answer -> points earned."""
    runs: list[RunRow] = field(default_factory=list)
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    """Graded run -> (used, lowest, highest) of the reference."""
    coincidences: list[tuple[str, str, str]] = field(default_factory=list)
    """(test, mistake, mistake) whose answers are equal on some seed: nothing is recognised there."""
    lapses: list[str] = field(default_factory=list)
    cpu_seconds: float = 0.0
    hash: str = ""
    kept: bool = False
    """Whether this is an earlier measurement of exactly these files."""

    def to_json(self) -> dict[str, Any]:
        data = {key: value for key, value in self.__dict__.items() if key not in ("kept", "lapses", "tests")}
        data["mistakes"] = [row.__dict__ for row in self.mistakes]
        data["runs"] = [row.to_json() for row in self.runs]
        return {"generated": "by autograder verify; do not edit", **data}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Verification:
        known = {key: value for key, value in data.items() if key in cls.__dataclass_fields__}
        known["mistakes"] = [MistakeRow(**row) for row in data["mistakes"]]
        known["runs"] = [RunRow(**row) for row in data.get("runs", ())]
        known["coincidences"] = [tuple(item) for item in data["coincidences"]]
        found = cls(**known)
        found.tests = {name: len(seeds) for name, seeds in found.seeds.items()}
        found.kept = True
        return found


def kept_calibration(author: Author) -> Verification | None:
    """The kept measurement, whether or not it is of today's files."""
    path = author.path(CALIBRATION_FILE)
    try:
        return Verification.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
