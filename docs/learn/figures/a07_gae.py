"""Draws the figures of the reading on advantages: python docs/learn/figures/a07_gae.py

Every curve is computed here, from its definition or from fixed seeds. Colours, fonts and the way of saving are those of
the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, GREEN, INK, QUIET, WIDTH, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a07_gae"


def main() -> None:
    """Draws all figures into this folder."""
    save(endings(), "a07_endings", "Four episodes, right and wrong", ENDINGS)
    save(weights(), "a07_weights", "Lambda as weights over k-step errors", WEIGHTS)
    save(delay(), "a07_delay", "How well an advantage shows a late reward, against lambda", DELAY)
    save(clock(), "a07_clock", "What a critic believes when a clock counts as a fall", CLOCK)


# ------------------------------------------------------------------------------------------------------------- endings

ENDINGS = (
    "Four environments with a reward of 1 a step, gamma 0.9, lambda 0.95, sixteen steps, and a critic that says 10 "
    "of every state, which is true as long as nothing falls. Cut by the rollout: the right advantages are zero; "
    "without the bootstrap of the last row they fall from near zero to minus nine at the end. Terminated at step 8: "
    "the right advantage is minus nine there and fades backwards, which blames the steps before the fall; "
    "bootstrapping over the termination gives zero everywhere. Truncated at step 8: the right advantages are zero; "
    "without the bootstrap they look like those of the fall. Truncated at step 8 and fallen at step 12: the right "
    "advantages blame steps 9 to 12 only; a trace that leaks over the reset blames the episode before as well."
)

GAMMA, LAM, STEPS = 0.9, 0.95, 16


def advantages(terminated: set[int], truncated: set[int], no_value: set[int], cut: set[int]) -> np.ndarray:
    """Advantages of one environment with rewards 1 and values 10; the last two say where they are made wrong."""
    worth = 1 / (1 - GAMMA)
    found, trace = np.zeros(STEPS), 0.0
    for t in reversed(range(STEPS)):
        delta = 1 + GAMMA * worth * (t not in terminated | no_value) - worth
        trace = delta + GAMMA * LAM * trace * (t not in (terminated | truncated) - cut)
        found[t] = trace
    return found


def endings() -> Figure:
    """For each ending the right advantages, and those of the classic mistake about it."""
    nobody, fallen, late = set(), {8}, {12}
    last = {STEPS - 1}
    unbootstrapped = advantages(nobody, nobody, last, nobody)
    panels = (
        ("cut by the rollout", nobody, nobody, unbootstrapped, "last row not\nbootstrapped", (10.2, -7.4)),
        ("terminated", fallen, nobody, advantages(nobody, fallen, nobody, nobody), "bootstrapped", (6.0, 0.9)),
        ("truncated", nobody, fallen, advantages(nobody, fallen, fallen, nobody), "not\nbootstrapped", (5.0, -7.2)),
        ("truncated, then fallen", late, fallen, advantages(late, fallen, nobody, fallen), "trace leaks", (6.8, -6.0)),
    )
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5.6), sharex=True, sharey=True)
    for place, (title, terminated, truncated, wrong, label, where) in zip(axes.flat, panels, strict=True):
        draw_episode(place, advantages(terminated, truncated, nobody, nobody), wrong, terminated, truncated)
        place.set_title(title)
        place.annotate(label, where, color=AMBER, ha="right", va="center", fontsize=10.5)
    axes[0, 1].annotate("right", (4.6, -7.2), color=BLUE, ha="right", va="center", fontsize=10.5)
    for place in axes[1]:
        place.set_xlabel("step t")
    for place in axes[:, 0]:
        place.set_ylabel("advantage")
    return figure


def draw_episode(axes: Axes, right: np.ndarray, wrong: np.ndarray, terminated: set[int], truncated: set[int]) -> None:
    """Two traces, and a line behind each ending."""
    t = np.arange(STEPS)
    axes.plot(t, wrong, color=AMBER, linestyle="--", marker="o", markersize=3.5, linewidth=1.5)
    axes.plot(t, right, color=BLUE, marker="s", markersize=3.5, linewidth=1.7)
    for place in terminated | truncated:
        axes.axvline(place + 0.5, color=INK if place in terminated else QUIET, linewidth=1.2, linestyle=(0, (1, 2)))
    axes.axvline(STEPS - 0.5, color=QUIET, linewidth=1.2)
    axes.set(xlim=(-0.6, STEPS - 0.3), ylim=(-10.2, 2.2))
    axes.set_xticks([0, 4, 8, 12, 15])
    axes.set_yticks([-9, -6, -3, 0])
    axes.grid(axis="y")


# ------------------------------------------------------------------------------------------------------------- weights

WEIGHTS = (
    "Weights of the k-step errors, k from 1 to 12, in an episode that ends twelve steps ahead, for three values of "
    "lambda. At 0.5 the first takes 0.5 and each next one half of the one before. At 0.9 the first takes 0.1, they "
    "fall slowly, and the twelfth takes what is left, 0.31. At 1 the twelfth takes everything. In each case they add "
    "up to one."
)


def weights() -> Figure:
    """(1 - lambda) lambda^(k - 1), and the remainder on the last."""
    k = np.arange(1, 13)
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.6), sharey=True)
    for place, (lam, colour) in zip(axes, ((0.5, GREEN), (0.9, BLUE), (1.0, AMBER)), strict=True):
        share = (1 - lam) * lam ** (k - 1.0)
        share[-1] = lam ** (k[-1] - 1.0)
        place.bar(k, share, width=0.66, color=colour, alpha=0.75)
        place.set(title=f"λ = {lam:g}", ylim=(0, 1.08), xlabel="steps k")
        place.set_xticks([1, 4, 8, 12])
        place.set_yticks([0, 0.5, 1])
        place.grid(axis="y")
        place.set_axisbelow(True)
    axes[0].set_ylabel("weight")
    return figure


# --------------------------------------------------------------------------------------------------------------- delay

DELAY = (
    "How clearly an advantage shows a reward that comes some steps after the action, in units of its own noise, "
    "against gamma times lambda; the formula as lines, a simulation as marks. For a reward one step later the best "
    "place of the dial is 0.71, for three steps 0.87, for ten 0.95. At 0 nothing of a later reward is seen, and at 1 "
    "noise wins in every case."
)


def delay() -> Figure:
    """Signal over noise with a critic that says the same of every state and rewards with independent noise."""
    x = np.linspace(0, 0.999, 400)
    figure, axes = plt.subplots(figsize=(WIDTH, 3.3))
    for later, colour, marker in ((1, GREEN, "^"), (3, BLUE, "s"), (10, AMBER, "o")):
        axes.plot(x, x**later * np.sqrt(1 - x**2), color=colour)
        dial = np.array([0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98])
        axes.plot(dial, [simulated(d, later) for d in dial], marker, color=colour, markersize=4.5)
        best = np.sqrt(later / (later + 1))
        top = best**later * np.sqrt(1 - best**2)
        label = f"{later} step{'s' if later > 1 else ''} later"
        axes.annotate(label, (best, top), (-12, 5), color=colour, ha="right", textcoords="offset points")
    axes.set(xlim=(0, 1.005), ylim=(0, 0.57), xlabel="γλ", title="Signal over noise of an advantage")
    axes.set_yticks([0, 0.2, 0.4])
    axes.grid(axis="y")
    return figure


def simulated(dial: float, later: int, episodes: int = 4000, steps: int = 500) -> float:
    """The difference that one unit of reward, `later` steps on, makes to the mean advantage, over its spread."""
    fade = dial ** np.arange(steps)
    noise = np.random.default_rng(later).standard_normal((episodes, steps)) @ fade
    return float(fade[later] / noise.std())


# --------------------------------------------------------------------------------------------------------------- clock

CLOCK = (
    "The value that a critic settles at in a world without end, reward 1 a step, gamma 0.99, true value 100, when a "
    "time limit of L steps counts as a fall; against L on a logarithmic axis. With one-step targets it is 9.2 at L = "
    "10, 50 at 100 and 91 at 1000; with whole returns 5.3 at L = 10, 37 at 100 and 90 at 1000. Bootstrapped at the "
    "limit it is 100 at every L."
)


def clock() -> Figure:
    """The fixed point of a critic to which all states look alike, for the right and the wrong treatment of a limit."""
    gamma = 0.99
    limit = np.unique(np.round(np.geomspace(5, 20000, 60))).astype(int)
    one_step = 1 / (1 - gamma * (1 - 1 / limit))
    returns = np.array([np.mean((1 - gamma ** np.arange(1, n + 1.0)) / (1 - gamma)) for n in limit])
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2))
    axes.plot(limit, np.full(len(limit), 1 / (1 - gamma)), color=BLUE)
    axes.plot(limit, one_step, color=AMBER, linestyle="--")
    axes.plot(limit, returns, color=AMBER, linestyle=":")
    axes.annotate("bootstrapped", (8, 100), (0, 5), color=BLUE, textcoords="offset points")
    axes.annotate("as a fall, λ = 0", (90, 48), (-6, 6), color=AMBER, ha="right", textcoords="offset points")
    axes.annotate("as a fall, λ = 1", (120, 41), (10, -10), color=AMBER, textcoords="offset points")
    axes.set(
        xscale="log", ylim=(0, 112), xlabel="time limit in steps", title="What the critic says of a state worth 100"
    )
    axes.set_xticks([10, 100, 500, 1000, 10000], ["10", "100", "500", "1000", "10 000"])
    axes.set_yticks([0, 50, 100])
    axes.minorticks_off()
    axes.grid(axis="y")
    return figure


if __name__ == "__main__":
    main()
