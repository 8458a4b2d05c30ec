"""Draws the figures of the reading on PPO against GRPO: python docs/learn/figures/a14_ppo_vs_grpo.py

What is drawn was measured by benchmarks/ppo_and_grpo.py over five seeds, and is kept in data/ppo_and_grpo.json. Means,
intervals and winners are computed here by the course's own a14.

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import functools
import json
import sys
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, QUIET, WIDTH, save
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a14_ppo_vs_grpo"
DATA = FOLDER / "data" / "ppo_and_grpo.json"
SOLUTIONS = FOLDER.parents[2] / "solutions"
QUESTIONS = (
    ("group_of_one", "start", "groups of one,\nagainst no training"),
    ("reward_plus_one_group_mean", "grpo", "everybody paid 1 more"),
    ("no_std", "grpo", "not divided by the\nstandard deviation"),
    ("no_baseline", "grpo", "no baseline"),
    ("reward_plus_one_no_baseline", "grpo", "no baseline, and\neverybody paid 1 more"),
)
"""(what is done otherwise, against what, in words)."""


def main() -> None:
    """Draws all figures into this folder."""
    found = json.loads(DATA.read_text(encoding="utf-8"))
    found["start"] = [{**run, "scores": run["scores"][:1]} for run in found["grpo"]]
    save(curves(found), "a14_curves", "Exact sums of PPO and of GRPO against generated tokens", curves_in_words(found))
    save(others(found), "a14_others", "Five changes to GRPO, with intervals", others_in_words(found))


@functools.cache
def course() -> Any:
    """The course's own solution of a14."""
    sys.path[:0] = [str(SOLUTIONS.parent), str(SOLUTIONS)]
    from autograder.testing.modules import Author

    return Author(SOLUTIONS / "a14_ppo_vs_grpo").reference()


def compared(a: list[dict[str, Any]], b: list[dict[str, Any]], key: str = "scores") -> dict[str, Any]:
    """What a14's `compare` says of the last numbers of these runs."""

    def recipe(runs: list[dict[str, Any]]) -> Any:
        return lambda seed, budget: {"tokens": [budget], "scores": np.atleast_1d(runs[seed][key]).tolist()}

    return course().compare(recipe(a), recipe(b), 1, range(len(a)))


# --------------------------------------------------------------------------------------------------------------- curves


def curves_in_words(found: dict[str, Any]) -> str:
    """The alternative text: where both end, and the interval of their difference."""
    result = compared(found["grpo"], found["ppo"])
    return (
        f"Share of exact held-out sums against generated tokens, means and bands of {len(found['ppo'])} seeds. Both "
        f"begin at {found['grpo'][0]['scores'][0]:.2f}. GRPO ends at {result['mean_a']:.2f}, PPO at "
        f"{result['mean_b']:.2f}: {result['difference']:.2f} more, with an interval from {result['low']:.2f} to "
        f"{result['high']:.2f}."
    )


def curves(found: dict[str, Any]) -> Figure:
    """Both on one axis of tokens."""
    learning_curve = course().learning_curve
    last = max(run["tokens"][-1] for name in ("ppo", "grpo") for run in found[name])
    grid = [last * k // 240 for k in range(261)]  # a little further, so that the last look can be seen
    figure, axis = plt.subplots(figsize=(WIDTH * 0.75, 3.2))
    for name, colour in (("ppo", AMBER), ("grpo", BLUE)):
        rows = np.array([learning_curve(run["tokens"], run["scores"], grid).tolist() for run in found[name]])
        mean, std = rows.mean(0), rows.std(0, ddof=1)
        places = np.array(grid) / 1000
        axis.step(places, mean, where="post", color=colour)
        axis.fill_between(places, mean - std, mean + std, step="post", color=colour, alpha=0.2, linewidth=0)
        axis.annotate(name.upper(), (places[-1] + 3, mean[-1]), color=colour, va="center", annotation_clip=False)
    axis.set(xlabel="generated tokens, thousands", ylabel="held-out sums exact", ylim=(0.2, 0.9))
    axis.set(xlim=(0, grid[-1] / 1000))
    axis.grid(axis="y")
    return figure


# --------------------------------------------------------------------------------------------------------------- others


def others_in_words(found: dict[str, Any]) -> str:
    """The alternative text: every difference with its interval."""
    parts = []
    for name, against, words in QUESTIONS:
        result = compared(found[against], found[name])
        parts.append(
            f"{words.replace(chr(10), ' ')}: {result['difference']:+.3f} "
            f"({result['low']:+.3f} to {result['high']:+.3f})"
        )
    return "Change in the share of exact sums, with 95% intervals over five seeds. " + "; ".join(parts) + "."


def others(found: dict[str, Any]) -> Figure:
    """A point and an interval for each."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
    axis.axvline(0, color=QUIET, linewidth=1, linestyle=":")
    for place, (name, against, _) in enumerate(QUESTIONS):
        result = compared(found[against], found[name])
        decided = result["winner"] != "undecided"
        colour = AMBER if decided else BLUE
        axis.plot([result["low"], result["high"]], [place, place], color=colour, linewidth=2)
        axis.plot(result["difference"], place, marker="o", color=colour)
        label = f"{result['difference']:+.3f}"
        axis.annotate(label, (result["difference"], place - 0.18), color=colour, ha="center", va="bottom")
    axis.set_yticks(range(len(QUESTIONS)), [words for *_, words in QUESTIONS])
    axis.set(ylim=(len(QUESTIONS) - 0.5, -0.7), xlabel="change in the share of exact sums")
    return figure


if __name__ == "__main__":
    main()
