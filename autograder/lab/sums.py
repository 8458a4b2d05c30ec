"""The problems of a lab: sums of two-digit numbers, none both trained on and asked, and their verifier."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from autograder.lab.settings import Data

LOW, HIGH = 10, 99


@dataclass(frozen=True)
class Problem:
    """One sum: its question and its answer."""

    question: str
    answer: int


def split(data: Data) -> tuple[list[Problem], list[Problem]]:
    """Problems to train on, and others to be judged by. a + b and b + a are always on the same side."""
    pairs = [(a, b) for a in range(LOW, HIGH + 1) for b in range(a, HIGH + 1)]
    random.Random(f"split {data.seed}").shuffle(pairs)
    held_out, seen = pairs[: len(pairs) // 10], pairs[len(pairs) // 10 :]
    return _drawn(seen, data.n_train, data, "train"), _drawn(held_out, data.n_eval, data, "eval")


def _drawn(pairs: list[tuple[int, int]], n: int, data: Data, which: str) -> list[Problem]:
    """n problems in random order; each pair comes once before any comes again."""
    rng = random.Random(f"{which} {data.seed}")
    chosen: list[tuple[int, int]] = []
    while len(chosen) < n:
        chosen += rng.sample(pairs, min(n - len(chosen), len(pairs)))
    flipped = [(b, a) if rng.random() < 0.5 else (a, b) for a, b in chosen]
    return [Problem(data.prompt.format(a=a, b=b), a + b) for a, b in flipped]


def near_misses(problems: list[Problem], seed: int) -> list[int]:
    """A wrong answer for each problem: a slip of one or of ten, as a carry goes wrong."""
    rng = random.Random(f"near {seed}")
    return [problem.answer + rng.choice([-10, -1, 1, 10]) for problem in problems]


_NUMBER = re.compile(r"\s*([+-]?)([0-9]{1,30}|[0-9]{1,3}(?:,[0-9]{3}){1,9})(?:\.0+)?\.?\s*")


def verify(text: str, answer: int) -> float:
    """1.0 where the text says this number and no other, else 0.0.

    What counts is all that stands after the last "=" or ":" (everything, where there is neither). It must be, as a
    whole, a number in ASCII digits, with commas between groups of three if at all, perhaps ".0" and a full stop: two
    numbers are not one, and a question repeated is no answer.
    """
    said = re.split(r"[=:]", text)[-1].replace("\u2212", "-")
    found = _NUMBER.fullmatch(said)
    if not found:
        return 0.0
    return float(int(found[1] + found[2].replace(",", "")) == answer)
