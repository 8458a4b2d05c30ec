"""Draws the figures of the reading on the character model: python docs/learn/figures/a04_char_gpt.py

Counts and merges are made here, from Python's own documentation (so they move a little with Python's version); the
training curves are what `autograder verify a04` measured and kept beside the assignment, and are drawn where they
are kept. Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same
bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, GREEN, INK, QUIET, WIDTH, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

mpl.rcParams["svg.hashsalt"] = "a04_char_gpt"
SOLUTIONS = Path(__file__).parents[3] / "solutions"
sys.path.insert(0, str(SOLUTIONS))


def main() -> None:
    """Draws all figures into this folder."""
    save(windows(), "a04_windows", "What is read and what is predicted, in a batch and in an evaluation", WINDOWS)
    save(counting(), "a04_counting", "Bits a character of tables that count, seen and unseen", counting_in_words())
    save(
        merging(),
        "a04_merging",
        "How many characters a token stands for, against the number of merges",
        merging_in_words(),
    )
    if CALIBRATION.is_file():
        save(
            training(), "a04_training", "Bits on held-out text: the reference and those that miss", training_in_words()
        )


# ------------------------------------------------------------------------------------------------------------- windows

WINDOWS = (
    "A text of ten tokens, 0 to 9, and windows of four. Above, a batch: windows begin anywhere from 0 to 5; one that "
    "begins at 2 reads tokens 2 to 5 and predicts tokens 3 to 6, one at 5 reads 5 to 8 and predicts 6 to 9. "
    "Below, an evaluation: windows begin at 0, 4 and 8. They read tokens 0 to 3, 4 to 7 and 8, and "
    "predict 1 to 4, 5 to 8 and 9, so "
    "that each token but the first is predicted exactly once."
)


def windows() -> Figure:
    """Rows of tokens: read ones are filled, predicted ones are framed."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.4))
    rows = [("a batch: starts drawn", None, None), ("", 2, 4), ("", 5, 4), ("an evaluation: side by side", None, None)]
    rows += [("", 0, 4), ("", 4, 4), ("", 8, 1)]
    for place, (title, start, length) in enumerate(rows):
        y = -place * 1.15
        if start is None or length is None:
            axes.annotate(title, (0, y + 0.1), color=INK)
            continue
        draw_row(axes, y, start, length, BLUE if place < 3 else GREEN)
    axes.annotate("read: filled      predicted: framed", (10, -len(rows) * 1.15 + 0.4), color=QUIET, ha="right")
    axes.set(xlim=(-0.1, 10.1), ylim=(-len(rows) * 1.15 + 0.2, 1))
    axes.set_axis_off()
    return figure


def draw_row(axes: Axes, y: float, start: int, length: int, colour: str) -> None:
    for token in range(10):
        read, predicted = start <= token < start + length, start < token <= start + length
        if read:
            axes.add_patch(Rectangle((token + 0.06, y), 0.88, 0.8, facecolor=colour, alpha=0.25, linewidth=0))
        if predicted:
            axes.add_patch(Rectangle((token + 0.06, y), 0.88, 0.8, fill=False, edgecolor=colour, linewidth=1.8))
        shade = INK if read or predicted else QUIET
        axes.annotate(str(token), (token + 0.5, y + 0.38), color=shade, ha="center", va="center")


# ------------------------------------------------------------------------------------------------------------ counting

ORDERS = (0, 1, 2, 3, 4, 5, 6)
_COUNTED: dict[int, tuple[float, float]] = {}


def counted() -> dict[int, tuple[float, float]]:
    """Order -> bits a character on the text that was counted and on held-out text, over three cuts of the topics."""
    from common.texts import disguised_topics

    if not _COUNTED:
        cuts = [disguised_topics(seed) for seed in range(3)]
        for order in ORDERS:
            pairs = [bits_of_counts(c.training.numpy(), c.held_out.numpy(), c.vocab_size, order) for c in cuts]
            _COUNTED[order] = (float(np.mean([p[0] for p in pairs])), float(np.mean([p[1] for p in pairs])))
    return _COUNTED


def bits_of_counts(seen: np.ndarray, unseen: np.ndarray, size: int, order: int) -> tuple[float, float]:
    """A table of what followed each context of `order` characters; a shorter context fills in where little was seen."""
    probabilities = {"seen": np.full(len(seen) - order, 1 / size), "unseen": np.full(len(unseen) - order, 1 / size)}
    for n in range(order + 1):
        following = key(seen, n + 1)
        contexts, totals = np.unique(key(seen[:-1], n) if n else np.zeros(len(seen), np.int64), return_counts=True)
        events, counts = np.unique(following, return_counts=True)
        for name, text in (("seen", seen), ("unseen", unseen)):
            after = key(text, n + 1)[order - n :]
            before = key(text[:-1], n)[order - n :] if n else np.zeros(len(text) - order, np.int64)
            total = looked_up(contexts, totals, before)
            probabilities[name] = (looked_up(events, counts, after) + 4 * probabilities[name]) / (total + 4)
    return tuple(float(-np.log2(probabilities[name]).mean()) for name in ("seen", "unseen"))  # type: ignore[return-value]


def key(text: np.ndarray, n: int) -> np.ndarray:
    """One number for each run of n characters."""
    keys = np.zeros(len(text) - n + 1, np.int64)
    for i in range(n):
        keys = keys * 128 + text[i : len(text) - n + 1 + i]
    return keys


def looked_up(names: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    places = np.searchsorted(names, wanted).clip(max=len(names) - 1)
    return np.where(names[places] == wanted, values[places], 0)


def counting_in_words() -> str:
    table = counted()
    unseen = ", ".join(f"{table[order][1]:.2f}" for order in ORDERS)
    return (
        "Bits a character of tables that count what followed each context of 0 to 6 characters, in Python's "
        f"documentation. On held-out topics: {unseen}. On the text that was counted the bits keep falling, to "
        f"{table[6][0]:.2f} at six."
    )


def counting() -> Figure:
    """Seen and unseen text against the length of the context."""
    table = counted()
    figure, axes = plt.subplots(figsize=(WIDTH, 3.9))
    axes.plot(ORDERS, [table[order][0] for order in ORDERS], color=AMBER, marker="^", markersize=5, linestyle="--")
    axes.plot(ORDERS, [table[order][1] for order in ORDERS], color=BLUE, marker="o", markersize=5)
    axes.annotate("held-out topics", (3.6, table[4][1] + 0.25), color=BLUE)
    axes.annotate("the text that was counted", (1.2, table[3][0] - 0.3), color=AMBER)
    axes.set(xlabel="characters of context that the table knows", title="Bits a character", ylim=(0, 5.2))
    axes.grid(axis="y")
    return figure


# ------------------------------------------------------------------------------------------------------------- merging

MERGES = 300
LENGTH = 20_000
_MERGED: list[float] = []


def merged() -> list[float]:
    """Characters a token after 0, 1, 2, ... merges, on the first pages of Python's documentation."""
    from pydoc_data.topics import topics

    if not _MERGED:
        text = "".join(topics[name] for name in sorted(topics))[:LENGTH]
        for merges, ids in zip(range(MERGES + 1), every_round(text), strict=False):
            _MERGED.append(len(text) / len(ids))
            assert merges <= MERGES
    return _MERGED


def every_round(text: str) -> Any:
    """The ids before each merge."""
    ids = np.frombuffer(text.encode(), np.uint8).astype(np.int64)
    for new in range(256, 256 + MERGES + 1):
        yield ids
        pairs, counts = np.unique(ids[:-1] * 4096 + ids[1:], return_counts=True)
        best = pairs[counts.argmax()]  # pairs are sorted: the first of the most frequent is the smallest
        is_pair = np.flatnonzero(ids[:-1] * 4096 + ids[1:] == best)
        taken, last = [], -2
        for place in is_pair:
            if place > last + 1:
                taken.append(place)
                last = place
        ids[taken] = new
        ids = np.delete(ids, np.array(taken) + 1)


def merging_in_words() -> str:
    lengths = merged()
    return (
        f"Characters a token on {LENGTH:,} characters of documentation: 1 without merges, {lengths[20]:.2f} after 20, "
        f"{lengths[100]:.2f} after 100, {lengths[300]:.2f} after 300. The first merges save most."
    )


def merging() -> Figure:
    """Characters a token against merges."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.3))
    axes.plot(range(len(merged())), merged(), color=BLUE)
    axes.set(xlabel="merges", title="Characters a token", ylim=(0.9, None))
    axes.grid(axis="y")
    return figure


# ------------------------------------------------------------------------------------------------------------ training

CALIBRATION = SOLUTIONS / "a04_char_gpt" / "calibration.json"
RUN = "test_it_reads_text_that_it_never_saw"


def measured() -> tuple[list[list[float]], dict[str, Any]]:
    """What verify kept: the reference's band (steps, lowest, highest), and where everybody ended."""
    kept = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    row = next(row for row in kept["runs"] if row["test"] == RUN)
    return kept["curves"][RUN], row


def training_in_words() -> str:
    band, row = measured()
    ends = "; ".join(f"{name} {min(v):.2f} to {max(v):.2f}" for name, v in row["blockers"].items())
    return (
        f"Held-out bits a character against optimiser steps. The course's own solution falls from {band[0][2]:.1f} to "
        f"between {min(row['reference']):.2f} and {max(row['reference']):.2f}; {row['threshold']:g} is asked for. "
        f"Those that must miss end at: {ends}."
    )


def training() -> Figure:
    """The reference's band over its training seeds, the threshold, counting, and where the blockers end."""
    band, row = measured()
    used, low, high = np.array(band).T
    figure, axes = plt.subplots(figsize=(WIDTH, 4.6))
    axes.fill_between(used, low, high, color=BLUE, alpha=0.25, linewidth=0)
    axes.plot(used, (low + high) / 2, color=BLUE)
    axes.axhline(row["threshold"], color=GREEN, linestyle="--", linewidth=1.4)
    axes.annotate("asked for", (8, row["threshold"]), (0, -14), color=GREEN, textcoords="offset points")
    axes.axhline(counted()[1][1], color=QUIET, linestyle=":", linewidth=1.4)
    axes.annotate(
        "a table of pairs", (used[-1], counted()[1][1]), (0, 4), color=QUIET, ha="right", textcoords="offset points"
    )
    for name, values in row["blockers"].items():
        axes.plot([used[-1] * 1.02] * len(values), values, "^", color=AMBER, markersize=5)
        axes.annotate(
            name.replace("_", " "), (used[-1] * 1.05, float(np.median(values))), color=AMBER, va="center", fontsize=9.5
        )
    axes.set(xlabel="optimiser steps", title="Held-out bits a character", xlim=(0, used[-1] * 1.42), ylim=(2.5, 7))
    axes.set_xticks(range(0, int(used[-1]) + 1, 200))
    axes.grid(axis="y")
    return figure


if __name__ == "__main__":
    main()
