"""Draws the figures of the reading on policy gradients: python docs/learn/figures/a06_policy_gradient.py

Returns and estimators are computed here; the training curves are what `autograder verify a06` measured and kept beside
the assignment. Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the
same bytes.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, GREEN, INK, QUIET, WIDTH, save
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a06_policy_gradient"


def main() -> None:
    """Draws all figures into this folder."""
    save(returns(), "a06_returns", "Three ways of adding up one rollout", RETURNS)
    save(baseline(), "a06_baseline", "Mean and scatter of the estimate against the baseline", BASELINE)
    save(training(), "a06_training", "A pole in disguise: the reference and those that miss", training_in_words())


# ------------------------------------------------------------------------------------------------------------- returns

RETURNS = (
    "A rollout of 24 steps with rewards of 1 and gamma 0.9, in which episodes end after steps 4, 14 and 17, counted "
    "from 0, and the last one is cut off. Stopped at endings, the returns fall to 1 at each ending: from 4.1 to 1, "
    "from 6.5 to 1, from 2.7 to 1, and from 4.7 to 1 at the end of the rollout. Running on over endings, they begin at "
    "9.2 and fall without a step to 1 at the end of the rollout. With the whole episode's return, all steps of an "
    "episode stand at the same height."
)


def returns() -> Figure:
    """Returns that stop, returns that run on, and the whole episode's return for every step of it."""
    steps, gamma = np.arange(24), 0.9
    ends = np.isin(steps, (4, 14, 17))
    stopped = backwards(np.ones(24), ends, gamma)
    runs_on = backwards(np.ones(24), np.zeros(24, dtype=bool), gamma)
    whole = stopped.copy()
    for t in range(1, 24):
        whole[t] = stopped[t] if ends[t - 1] else whole[t - 1]
    figure, axes = plt.subplots(figsize=(WIDTH, 3.9))
    for end in steps[ends]:
        axes.axvline(end + 0.5, color=QUIET, linewidth=0.9, linestyle=":")
    axes.plot(steps, runs_on, color=AMBER, marker="^", markersize=4.5)
    axes.plot(steps, whole, color=GREEN, marker="s", markersize=4, linestyle="")
    axes.plot(steps, stopped, color=BLUE, marker="o", markersize=5, linestyle="")
    axes.annotate("runs on over endings", (5, 9.0), color=AMBER)
    axes.annotate("the whole episode's", (-0.4, 4.5), color=GREEN)
    axes.annotate("stopped at endings", (4.9, 1.7), color=BLUE)
    axes.set(ylim=(0, 10), xlabel="step of the rollout", title="Credit of each step; dotted lines are endings")
    axes.set_yticks([0, 2, 4, 6, 8, 10])
    axes.grid(axis="y")
    return figure


def backwards(rewards: np.ndarray, ends: np.ndarray, gamma: float) -> np.ndarray:
    """The recursion of the page."""
    found, after = np.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        after = rewards[t] + gamma * (0.0 if ends[t] else after)
        found[t] = after
    return found


# ------------------------------------------------------------------------------------------------------------ baseline

BASELINE = (
    "A bandit with three arms that pay 9, 10 and 12, pulled with probabilities 0.5, 0.3 and 0.2, so 9.9 on average. "
    "Above, the mean estimate for the logit of the best arm: a level line at 0.42 for every baseline between 0 and 20. "
    "Below, the scatter of the estimate, its standard deviation over all logits: 8.2 without a baseline, falling in a "
    "straight line to 0.7 near the mean reward and rising again to 7.7 at 20."
)


def baseline() -> Figure:
    """One pull of a bandit, all arms counted: expectation and standard deviation of the estimate."""
    p, pays = np.array([0.5, 0.3, 0.2]), np.array([9.0, 10.0, 12.0])
    b = np.linspace(0, 20, 201)
    score = np.eye(3) - p  # (arm, logit)  gradient of log p(arm) in the logits
    estimates = (pays[None, :, None] - b[:, None, None]) * score  # (baseline, arm, logit)
    mean = np.einsum("a,bal->bl", p, estimates)
    scatter = np.sqrt(np.einsum("a,bal->b", p, (estimates - mean[:, None]) ** 2))
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 4.6), sharex=True, height_ratios=(1, 1.7))
    upper.plot(b, mean[:, 2], color=BLUE)
    upper.set(ylim=(0, 0.8), title="Mean of the estimate, best arm: the same at every baseline")
    upper.set_yticks([0, 0.4, 0.8])
    lower.plot(b, scatter, color=AMBER)
    lower.axvline(p @ pays, color=QUIET, linewidth=0.9, linestyle=":")
    lower.annotate("mean reward", (p @ pays, 7.4), (6, 0), color=QUIET, textcoords="offset points")
    lower.set(xlim=(0, 20), ylim=(0, 9), xlabel="baseline", title="Standard deviation of one estimate")
    lower.set_yticks([0, 2, 4, 6, 8])
    lower.set_xticks([0, 5, 10, 15, 20])
    for axes in (upper, lower):
        axes.grid(axis="y")
    return figure


# ------------------------------------------------------------------------------------------------------------ training


THRESHOLD = 400


def measured() -> tuple[list[list[float]], list[float], dict[str, list[float]]]:
    """What verify kept: the reference's band (steps, lowest, highest), where it ended, and where the blockers did."""
    path = FOLDER.parents[2] / "solutions" / "a06_policy_gradient" / "calibration.json"
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    row = next(run for run in kept["runs"] if run["test"] == "test_the_pole_stands")
    return kept["curves"]["test_the_pole_stands"], row["reference"], row["blockers"]


SAID = {
    "trained_wrong_sign": "wrong sign",
    "trained_broadcast_square": "a column met a row",
    "trained_leaks_over_reset": "returns run on",
    "untrained": "no training",
    "controller": "rule for the plain pole",
    "cached_policy": "trained on the plain pole",
}


def training_in_words() -> str:
    """The alternative text, with the numbers of the last verification."""
    band, reference, blockers = measured()
    ends = "; ".join(f"{said} {_span(blockers[key])}" for key, said in SAID.items())
    return (
        f"Above, greedy return against environment steps, lowest and highest of {len(reference)} seeds of the course's "
        f"own solution: from {band[0][1]:.0f} to {band[0][2]:.0f} at first, {band[-1][1]:.0f} to {band[-1][2]:.0f} "
        f"after {band[-1][0]:.0f} steps; the threshold of {THRESHOLD} is a dotted line. "
        f"Below, where each seed ends. The course's solution: {_span(reference)}. What must miss the threshold: {ends}."
    )


def _span(values: list[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}, in the middle {statistics.median(values):.0f}"


def training() -> Figure:
    """Above the band of the reference while it trains; below where it ends, and where the blockers do."""
    band, reference, blockers = measured()
    used, low, high = np.array(band).T
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 6.0), height_ratios=(1.25, 1))
    upper.fill_between(used / 1000, low, high, color=BLUE, alpha=0.22, linewidth=0)
    upper.plot(used / 1000, low, color=BLUE, linewidth=1.2)
    upper.plot(used / 1000, high, color=BLUE, linewidth=1.2)
    upper.axhline(THRESHOLD, color=QUIET, linewidth=0.9, linestyle=":")
    upper.annotate("threshold", (99, THRESHOLD), (0, 4), color=QUIET, ha="right", textcoords="offset points")
    upper.set(xlim=(0, 100), ylim=(0, 520), xlabel="thousands of environment steps")
    upper.set_title("Return while it trains, lowest and highest seed")
    upper.set_yticks([0, 100, 200, 300, 400, 500])
    upper.grid(axis="y")
    rows = [("the course's solution", reference, BLUE, "o")]
    rows += [(said, blockers[key], AMBER, "x") for key, said in SAID.items()]
    for row, (_, values, colour, marker) in enumerate(rows):
        lower.plot(values, [row] * len(values), marker, color=colour, markersize=6, clip_on=False, zorder=3)
    lower.axvline(THRESHOLD, color=QUIET, linewidth=0.9, linestyle=":")
    lower.set_yticks(range(len(rows)), [said for said, *_ in rows])
    lower.set(xlim=(0, 520), ylim=(len(rows) - 0.5, -0.5), xlabel="mean return of 20 greedy episodes")
    lower.set_title("Where each seed ends")
    lower.tick_params(axis="y", length=0, labelcolor=INK)
    lower.grid(axis="x")
    return figure


if __name__ == "__main__":
    main()
