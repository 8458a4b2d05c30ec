"""Draws the comparison with dense models for the reading on mixtures of experts: python docs/learn/figures/a17_dense.py

What is drawn was measured by benchmarks/moe_against_dense.py, and is kept in data/moe_against_dense.json.

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

mpl.rcParams["svg.hashsalt"] = "a17_dense"
DATA = FOLDER / "data" / "moe_against_dense.json"
KINDS = (
    (
        "Switch, eight experts",
        (
            ("dense", "dense,\nsame work", QUIET),
            ("switch_unbalanced", "unbalanced", AMBER),
            ("switch", "balance\nloss", BLUE),
            ("wide", "dense, same\nweights", QUIET),
        ),
    ),
    (
        "DeepSeekMoE, 31 and a shared one",
        (
            ("dense_swiglu", "dense,\nsame work", QUIET),
            ("fine_unbalanced", "unbalanced", AMBER),
            ("fine", "bias", BLUE),
            ("wide_swiglu", "dense, same\nweights", QUIET),
        ),
    ),
)


def main() -> None:
    """Draws both figures into this folder."""
    found = json.loads(DATA.read_text(encoding="utf-8"))
    save(losses(found), "a17_dense", "Held-out loss of mixtures and dense models", losses_in_words(found))
    save(loads(found), "a17_loads", "Load of each expert, with and without balance", loads_in_words(found))


def ends(found: dict[str, Any], name: str) -> np.ndarray:
    """Held-out loss at the end, seed by seed, in nats a character."""
    return np.array([run["loss"][-1] for run in found[name]])


def losses_in_words(found: dict[str, Any]) -> str:
    """The alternative text: mean loss of every recipe, and on how many seeds it beats the dense model of equal work."""
    said = []
    for kind, recipes in KINDS:
        base = ends(found, recipes[0][0])
        each = "; ".join(
            f"{words.replace(chr(10), ' ')} {ends(found, name).mean():.3f}"
            + (f", lower on {(ends(found, name) < base).sum()} of {len(base)} seeds" if name != recipes[0][0] else "")
            for name, words, _ in recipes
        )
        said.append(f"{kind}: {each}.")
    return "Held-out nats a character. " + " ".join(said)


def losses(found: dict[str, Any]) -> Figure:
    """A dot for each seed, joined over the recipes: what differs between seeds is the text, not the recipe."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2), layout="constrained", sharey=True)
    for axis, (kind, recipes) in zip(axes, KINDS, strict=True):
        rows = np.array([ends(found, name) for name, _, _ in recipes])  # (recipes, seeds)
        axis.plot(rows, color=QUIET, linewidth=0.7, alpha=0.5)
        for place, (row, (_, _, colour)) in enumerate(zip(rows, recipes, strict=True)):
            axis.scatter([place] * len(row), row, color=colour, s=14, zorder=3)
        axis.set_xticks(range(len(recipes)), [words for _, words, _ in recipes], fontsize=8)
        axis.set_title(kind, fontsize=10)
        axis.set_xlim(-0.4, len(recipes) - 0.6)
    axes[0].set_ylabel("held-out nats a character")
    return figure


def sorted_loads(found: dict[str, Any], name: str) -> np.ndarray:
    """(seeds * layers, E): each expert's load over the mean, the fullest first."""
    return np.array([np.array(row) * len(row) for run in found[name] for row in run["load"]])


def loads_in_words(found: dict[str, Any]) -> str:
    """The alternative text: the fullest and the emptiest expert."""
    said = [
        f"{kind}, {words}: the fullest has {sorted_loads(found, name)[:, 0].mean():.2f} of the mean, "
        f"the emptiest {sorted_loads(found, name)[:, -1].mean():.2f}"
        for kind, recipes in KINDS
        for name, words, _ in (recipes[1], (recipes[2][0], recipes[2][1].replace("\n", " "), ""))
    ]
    return (
        "Load of each expert over the mean, the fullest first, over the last hundred batches. " + "; ".join(said) + "."
    )


def loads(found: dict[str, Any]) -> Figure:
    """Experts in the order of their loads; a line for each layer and seed, and their mean."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.9), layout="constrained", sharey=True)
    for axis, (kind, recipes) in zip(axes, KINDS, strict=True):
        for name, words, colour in (recipes[1], recipes[2]):
            line(axis, sorted_loads(found, name), colour, words.replace("\n", " "))
        axis.axhline(1, color=QUIET, linewidth=1, linestyle=":")
        axis.set_title(kind, fontsize=10)
        axis.set(xlabel="expert, the fullest first")
        axis.legend(frameon=False, fontsize="small")
    axes[0].set_ylabel("load / mean")
    return figure


def line(axis: Axes, rows: np.ndarray, colour: str, words: str) -> None:
    across = np.arange(1, rows.shape[1] + 1)
    axis.plot(across, rows.T, color=colour, linewidth=0.6, alpha=0.35)
    axis.plot(across, rows.mean(0), color=colour, linewidth=2, label=words)


if __name__ == "__main__":
    main()
