"""Draws the figure of the capstone's reading: python docs/learn/figures/a19_capstone.py

What is drawn was measured by benchmarks/capstone.py over three seeds, and is kept in data/capstone.json.

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, QUIET, WIDTH, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a19_capstone"
DATA = FOLDER / "data" / "capstone.json"
SHOWN = (
    ("ours", "ours", BLUE),
    ("does_not_rise", "at the full rate at once", AMBER),
    ("a13", "the recipe of a13", QUIET),
)


def main() -> None:
    """Draws the figure into this folder."""
    found = json.loads(DATA.read_text(encoding="utf-8"))
    save(recipes(found), "a19_recipe", "Three recipes of GRPO on sums", recipes_in_words(found))


def ends(found: dict[str, Any], name: str) -> np.ndarray:
    """The share of exact held-out sums at the end, seed by seed."""
    return np.array([run["exact"][-1] for run in found[name]])


def recipes_in_words(found: dict[str, Any]) -> str:
    """The alternative text: where each recipe ends, seed by seed, and how many groups still differ there."""
    said = [
        f"{words}: {', '.join(f'{x:.3f}' for x in ends(found, name))} exact at the end, "
        f"{np.mean([run['mixed'][-1] for run in found[name]]):.0%} of the last groups differ"
        for name, words, _ in SHOWN
    ]
    return f"Exact held-out sums, and groups that differ, against completions; {len(found['ours'])} seeds each. " + (
        "; ".join(said) + "."
    )


def recipes(found: dict[str, Any]) -> Figure:
    """What is exact, and how many groups have something to say."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.1), layout="constrained")
    for name, words, colour in SHOWN:
        curve(left, found[name], "exact", colour, words)
        curve(right, found[name], "mixed", colour, words)
    left.axhline(0.9, color=QUIET, linewidth=1, linestyle=":")
    left.set(xlabel="completions, thousands", ylabel="held-out sums exact", ylim=(0, 1))
    right.set(xlabel="completions, thousands", ylabel="groups that differ", ylim=(0, 1))
    left.legend(frameon=False, loc="lower right", fontsize="small")
    return figure


def curve(axis: Axes, runs: list[dict[str, Any]], key: str, colour: str, words: str) -> None:
    """A mean over seeds with a band of one standard deviation, against thousands of completions."""
    rows = np.array([run[key] for run in runs])  # (seeds, looks)
    across = np.array(runs[0]["completions"][: rows.shape[1]]) / 1000
    mean, std = rows.mean(0), rows.std(0, ddof=1)
    axis.plot(across, mean, color=colour, label=words)
    axis.fill_between(across, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)


if __name__ == "__main__":
    main()
