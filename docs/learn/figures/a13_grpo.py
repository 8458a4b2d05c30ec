"""Draws the figures of the reading on GRPO: python docs/learn/figures/a13_grpo.py

What a group says is computed here. What was trained was trained by one command, which writes the file in data/ that is
read here:

    python benchmarks/grpo_hacking.py --json docs/learn/figures/data/grpo_hacking.json

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import json
from math import comb
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, GREEN, INK, QUIET, WIDTH, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a13_grpo"

EPS = 1e-4


def main() -> None:
    """Draws all figures into this folder."""
    save(signal(), "a13_signal", "What a group of answers says, against how often its prompt is solved", SIGNAL)
    save(hacking(), "a13_hacking", "Training with a careless verifier and with a strict one", hacking_in_words())


# -------------------------------------------------------------------------------------------------------------- signal

SIGNAL = (
    "Two panels against the probability that an answer is right, from 0 to 1. Left, for groups of eight, the mean "
    "absolute advantage. Without division it is a low hill with its top of 0.44 at one half. Divided by the group's "
    "spread it is a broad plateau near 0.9 that stays above one half from about 0.06 to 0.94. Right, the share of "
    "groups in which all answers agree, for groups of 4, 8 and 16: near one at both edges and next to nothing in the "
    "middle, where the trough is the wider the larger the group."
)


def signal() -> Figure:
    """Left: the mean of |advantage| for groups of eight. Right: how often all answers of a group agree."""
    p = np.linspace(0, 1, 201)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.3))
    left.plot(p, loudness(p, 8, divided=True), color=AMBER)
    left.plot(p, loudness(p, 8, divided=False), color=BLUE)
    left.annotate("divided by the spread", (0.5, 0.9), color=AMBER, ha="center")
    left.annotate("mean taken out only", (0.5, 0.48), color=BLUE, ha="center")
    left.set(title="mean |advantage|, G = 8", xlabel="share of right answers", ylim=(0, 1.1))
    for size, colour in ((4, GREEN), (8, BLUE), (16, AMBER)):
        right.plot(p, p**size + (1 - p) ** size, color=colour, label=f"G = {size}")
    right.legend(loc="upper center", frameon=False)
    right.set(title="groups that say nothing", xlabel="share of right answers", ylim=(0, 1.02))
    for axes in (left, right):
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        axes.grid(axis="y")
    return figure


def loudness(p: np.ndarray, group: int, *, divided: bool) -> np.ndarray:
    """The expected absolute advantage of an answer, exactly: over how many of the group's answers are right."""
    total = np.zeros_like(p)
    for k in range(1, group):  # with 0 or all right answers there is no advantage
        rewards = np.array([1.0] * k + [0.0] * (group - k))
        loud = np.abs(rewards - rewards.mean()).mean() / (rewards.std(ddof=1) + EPS if divided else 1.0)
        total += comb(group, k) * p**k * (1 - p) ** (group - k) * loud
    return total


# ------------------------------------------------------------------------------------------------------------- hacking


def runs() -> dict[str, list[dict[str, Any]]]:
    """What the benchmark wrote, by verifier."""
    found: dict[str, Any] = json.loads((FOLDER / "data" / "grpo_hacking.json").read_text(encoding="utf-8"))
    trained: dict[str, list[dict[str, Any]]] = found["runs"]
    return trained


def hacking() -> Figure:
    """What each verifier pays for during each of the two trainings, and how long answers become."""
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 3.1), gridspec_kw={"width_ratios": [1, 1, 0.8]})
    for axes, name in zip(panels, ("careless", "strict"), strict=False):
        draw_run(axes, runs()[name], name)
    lengths = panels[2]
    for name, colour in (("careless", AMBER), ("strict", BLUE)):
        rows = runs()[name]
        lengths.plot([row["round"] for row in rows], [row["tokens"] for row in rows], color=colour)
    lengths.set(title="tokens an answer", xlabel="round", ylim=(0, 16.5))
    lengths.grid(axis="y")
    return figure


def draw_run(axes: Axes, rows: list[dict[str, Any]], name: str) -> None:
    """One training: the share that was paid and the share that was right."""
    rounds = [row["round"] for row in rows]
    axes.plot(rounds, [row["careless"] for row in rows], color=AMBER, label="holds the number")
    axes.plot(rounds, [row["strict"] for row in rows], color=BLUE, label="is the number")
    axes.set(title=f"{name} verifier", xlabel="round", ylim=(0, 1.02))
    axes.grid(axis="y")
    if name == "careless":
        axes.legend(frameon=False, loc="upper left", fontsize=9.5, labelcolor=[INK, QUIET])


def hacking_in_words() -> str:
    """The same, said."""
    said = []
    for name, rows in runs().items():
        first, last = rows[0], rows[-1]
        said.append(
            f"Trained with the {name} verifier, in {last['round']} rounds the share of answers that hold the number "
            f"goes from {first['careless']:.2f} to {last['careless']:.2f}, the share that is the number from "
            f"{first['strict']:.2f} to {last['strict']:.2f}, and the mean length from {first['tokens']:.1f} to "
            f"{last['tokens']:.1f} tokens."
        )
    return " ".join(said)


if __name__ == "__main__":
    main()
