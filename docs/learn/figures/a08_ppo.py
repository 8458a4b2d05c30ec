"""Draws the figures of the reading on PPO: python docs/learn/figures/a08_ppo.py

The clipped objective and the estimators are computed here. What was trained was trained by two commands, which write
the files in data/ that are read here:

    python benchmarks/ppo_cartpole.py --whole --json docs/learn/figures/data/ppo_cartpole.json
    python benchmarks/ppo_mistakes.py --json docs/learn/figures/data/ppo_mistakes.json

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, GREEN, INK, QUIET, WIDTH, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a08_ppo"


def main() -> None:
    """Draws all figures into this folder."""
    save(clip(), "a08_clip", "The clipped objective against the ratio, for both signs of the advantage", CLIP)
    save(estimators(), "a08_estimators", "Three estimators of the KL, one sample at a time", ESTIMATORS)
    save(learning(), "a08_learning", "Learning curves of the reference on CartPole", learning_in_words())
    save(mistakes(), "a08_mistakes", "Final return on CartPole with a mistake in the code", mistakes_in_words())


def data(name: str) -> dict[str, Any]:
    """What a benchmark wrote."""
    found: dict[str, Any] = json.loads((FOLDER / "data" / f"{name}.json").read_text(encoding="utf-8"))
    return found


# ---------------------------------------------------------------------------------------------------------------- clip

EPS = 0.2
CLIP = (
    "One sample's objective against the ratio from 0 to 2, with a fence at 0.8 and 1.2. For an advantage of plus one "
    "it is the ratio itself up to 1.2 and flat at 1.2 from there on; the part to the right of 1.2 is shaded, because "
    "the gradient is zero there. For an advantage of minus one it is flat at minus 0.8 up to the ratio 0.8, shaded, "
    "and minus the ratio from there on: it keeps falling to the right, without end. Dashed, the product without a "
    "clip, which goes on where the objective is flat. A dot marks the ratio 1, where every sample begins."
)


def clip() -> Figure:
    """min(r A, clip(r) A) for A = 1 and A = -1."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.7))
    draw_clip(axes[0], 1.0, (1 + EPS, 2.0), "good action, A = 1")
    draw_clip(axes[1], -1.0, (0.0, 1 - EPS), "bad action, A = −1")
    axes[0].annotate("pulled up", (0.62, 0.62), (-4, 7), color=BLUE, ha="right", textcoords="offset points")
    axes[0].annotate("gradient\nzero", (1.6, 0.55), color=AMBER, ha="center", va="center")
    axes[1].annotate("pushed down", (1.22, -1.75), color=BLUE, ha="center", va="center")
    axes[1].annotate("gradient\nzero", (0.4, -1.45), color=AMBER, ha="center", va="center")
    axes[0].set(ylim=(-0.05, 2.05))
    axes[1].set(ylim=(-2.05, 0.05))
    return figure


def draw_clip(axes: Axes, adv: float, released: tuple[float, float], title: str) -> None:
    """The objective of one sample, the product without a clip, and the shaded part without gradient."""
    ratio = np.linspace(0, 2, 401)
    axes.axvspan(*released, facecolor=AMBER, alpha=0.16, linewidth=0)
    axes.plot(ratio, ratio * adv, color=QUIET, linestyle=(0, (4, 3)), linewidth=1.2)
    axes.plot(ratio, np.minimum(ratio * adv, ratio.clip(1 - EPS, 1 + EPS) * adv), color=BLUE, linewidth=2.4)
    axes.plot(1, adv, "o", color=BLUE, markersize=7)
    axes.set(xlim=(0, 2), xlabel="ratio r", title=title)
    axes.set_xticks([0, 1 - EPS, 1 + EPS, 2], ["0", "1−ε", "1+ε", "2"])
    axes.set_yticks([0, adv, 2 * adv], ["0", "1", "2"] if adv > 0 else ["0", "−1", "−2"])
    axes.grid(axis="y")


# ---------------------------------------------------------------------------------------------------------- estimators

ESTIMATORS = (
    "What one sample contributes to three estimators of the KL, against the logarithm of its ratio from minus 1.5 to "
    "1.5. k1 is a falling straight line through zero: negative for every action that became likelier. k2 is a "
    "parabola, never negative. k3 touches zero at the same point with the same curvature; it lies below the parabola "
    "on the left and above it on the right, and is never negative either."
)


def estimators() -> Figure:
    """k1, k2 and k3 as functions of log r."""
    x = np.linspace(-1.5, 1.5, 301)
    figure, axes = plt.subplots(figsize=(WIDTH, 3.3))
    axes.axhspan(-1.6, 0, facecolor=QUIET, alpha=0.10, linewidth=0)
    axes.plot(x, -x, color=AMBER, linestyle="--")
    axes.plot(x, x**2 / 2, color=GREEN, linestyle=(0, (1, 1.2)))
    axes.plot(x, np.exp(x) - 1 - x, color=BLUE)
    axes.axhline(0, color=QUIET, linewidth=0.9)
    axes.annotate("k1 = −ln r", (-0.98, 0.98), (6, 4), color=AMBER, textcoords="offset points")
    axes.annotate("k2 = ½ (ln r)²", (1.46, 0.3), color=GREEN, ha="right", va="center")
    axes.annotate("k3 = r − 1 − ln r", (1.2, 1.12), (-6, 6), color=BLUE, ha="right", textcoords="offset points")
    axes.annotate("below zero, where no KL is", (-1.45, -0.75), color=QUIET, va="center")
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.55, 2.05), xlabel="ln r of one sample", title="What one sample contributes")
    axes.set_xticks([-1, 0, 1], ["−1", "0", "1"])
    axes.set_yticks([-1, 0, 1, 2], ["−1", "0", "1", "2"])
    return figure


# ------------------------------------------------------------------------------------------------------------ learning


def curves() -> tuple[np.ndarray, np.ndarray]:
    """Environment steps (P,) and returns (seeds, P) of the reference's whole runs."""
    runs = [run["curve"] for run in data("ppo_cartpole")["runs"] if run["who"] == "ours"]
    steps = np.array([point[0] for point in runs[0]])
    return steps, np.array([[point[2] for point in run] for run in runs])


def learning() -> Figure:
    """Greedy returns of each seed, and their median, over the whole budget."""
    steps, returns = curves()
    figure, axes = plt.subplots(figsize=(WIDTH, 3.5))
    axes.axhline(475, color=AMBER, linestyle="--", linewidth=1.4)
    axes.annotate("475", (steps[-1], 475), (4, 0), color=AMBER, va="center", textcoords="offset points")
    for run in returns:
        axes.plot(steps, run, color=BLUE, linewidth=0.9, alpha=0.38)
    axes.plot(steps, np.median(returns, axis=0), color=BLUE, linewidth=2.4)
    axes.annotate("strong: the median", (21500, 425), color=BLUE, va="center")
    axes.set(xlim=(0, steps[-1]), ylim=(0, 515), xlabel="environment steps")
    axes.set_title(f"Mean return of 20 greedy episodes, {len(returns)} seeds")
    axes.set_xticks([0, 16384, 32768, 49152, 65536], ["0", "16 384", "32 768", "49 152", "65 536"])
    axes.set_yticks([0, 100, 200, 300, 400, 500])
    axes.grid(axis="y")
    return figure


def learning_in_words() -> str:
    """The same for those who do not see it, from the same numbers."""
    steps, returns = curves()
    median = np.median(returns, axis=0)
    solved = int(steps[np.argmax(median >= 475)])
    lowest, at = np.unravel_index(np.argmin(np.where(steps >= solved, returns, np.inf)), returns.shape)
    ends = returns[:, -1]
    return (
        f"Mean return of 20 greedy episodes on CartPole against environment steps, for {len(returns)} seeds of the "
        f"reference and their median. After {steps[0]} steps the median is {median[0]:.0f}; it reaches 475 at {solved} "
        f"steps and is {median[-1]:.0f} at the end. Single runs are ragged: one of them is down to "
        f"{returns[lowest, at]:.0f} at {steps[at]} steps. At the end, at {steps[-1]} steps, the runs lie between "
        f"{ends.min():.0f} and {ends.max():.0f}."
    )


# ------------------------------------------------------------------------------------------------------------ mistakes


def mistakes() -> Figure:
    """One row a mistake: the return of each seed on CartPole, and who notices."""
    results = ordered()
    figure, axes = plt.subplots(figsize=(WIDTH, 0.34 * len(results) + 1.2))
    axes.axvline(475, color=AMBER, linestyle="--", linewidth=1.4)
    for row, result in enumerate(results):
        solved = np.median(result["returns"]) >= 475
        colour, marker = (BLUE, "o") if solved else (AMBER, "X")
        axes.plot(result["returns"], [row] * len(result["returns"]), marker, color=colour, markersize=7, alpha=0.75)
    axes.set(xlim=(-8, 512), ylim=(len(results) - 0.4, -0.6))
    axes.set_title("Return on CartPole, one mark a seed")
    axes.set_yticks(range(len(results)), [result["sentence"] for result in results], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([0, 100, 200, 300, 400, 475], ["0", "100", "200", "300", "400", "475"])
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    return figure


def ordered() -> list[dict[str, Any]]:
    """The right code first, then the mistakes from the one that is punished most to the one that is not at all."""
    right, *wrong = data("ppo_mistakes")["results"]
    return [right, *sorted(wrong, key=lambda result: float(np.mean(result["returns"])))]


def mistakes_in_words() -> str:
    """Every row, in words."""
    rows = [f"{result['sentence']}: {', '.join(f'{value:.0f}' for value in result['returns'])}" for result in ordered()]
    return (
        "Mean return of 20 greedy episodes on CartPole after the whole budget, three seeds each. "
        + "; ".join(rows)
        + "."
    )


if __name__ == "__main__":
    main()
