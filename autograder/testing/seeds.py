"""Which inputs a student gets: one of the seeds that the author's gate vetted for that test.

On every vetted seed the reference and the alternatives pass and the named mistakes are far from the truth, so any input
that anybody can receive has been checked. Which one is a keyed hash of test and student: regrading repeats it, and a
table of answers is of no use to a neighbour.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COUNT = 32
"""Input seeds vetted for each test."""

IN_A_CLASS = 8
"""So many of them are given out in one class, chosen by its secret: which of them a student gets, their id decides."""

RUNS = 8
"""Seeds vetted for each graded run."""

CALIBRATION_FILE = "calibration.json"


def choose(vetted: Sequence[int], secret: str, test: str, student: str, draw: int = 0) -> int:
    """The student's seed for a test; `draw` 1, 2, … are further ones, all different while there are that many."""
    digest = hmac.new(secret.encode(), f"{test}\0{student}".encode(), hashlib.sha256).digest()
    start = int.from_bytes(digest[:8], "big")
    return vetted[(start + draw) % len(vetted)]


def vetted_seeds(calibration: Path) -> dict[str, list[int]]:
    """Vetted seeds by test name, {} where nothing has been calibrated yet."""
    return {name: [int(seed) for seed in seeds] for name, seeds in _table(calibration, "seeds").items()}


def reference_curves(calibration: Path) -> dict[str, list[list[float]]]:
    """By graded run: (used, lowest, highest) of the reference over the vetted seeds."""
    return dict(_table(calibration, "curves"))


def _table(calibration: Path, name: str) -> dict[str, Any]:
    try:
        data = json.loads(calibration.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return {str(key): value for key, value in data.get(name, {}).items()}
