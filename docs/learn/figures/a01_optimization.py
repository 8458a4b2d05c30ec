"""Draws the figures of the reading on optimisation: python docs/learn/figures/a01_optimization.py

Every curve is computed here, from fixed seeds; the spirals are trained with the course's own solution. How a figure is
saved, and in which colours, is shared with the reading on attention.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import matplotlib.pyplot as plt
import numpy as np
import torch
from a02_attention import AMBER, BLUE, FOLDER, GREEN, INK, QUIET, WIDTH, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SOLUTION = FOLDER.parents[2] / "solutions" / "a01_optimization"


def main() -> None:
    """Draws all figures into this folder."""
    torch.set_num_threads(1)
    ours = solution()
    save(logarithms(), "a01_logarithms", "Three ways to compute the log-probability of an unlikely class", LOGARITHMS)
    save(adam(ours), "a01_adam", "The first steps of Adam, and what two kinds of decay do", ADAM)
    save(schedules(ours), "a01_schedules", "Learning rates over 120 steps", SCHEDULES)
    save(clipping(), "a01_clipping", "One gradient, clipped in three ways", CLIPPING)
    save(spirals(ours), "a01_spirals", "Where a network draws the line between two spirals", SPIRALS)


def solution() -> ModuleType:
    """The assignment's own solution, loaded as a module; its tests import asks.py, which lies beside it."""
    sys.path.insert(0, str(SOLUTION))
    spec = importlib.util.spec_from_file_location("a01_solution", SOLUTION / "source.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------------------------------------------- logarithms

LOGARITHMS = (
    "Two classes, float32. Across: by how much the unlikely class scores below the other one, from 0 to 160. Up: its "
    "log-probability. The stable form follows the straight line of the truth all the way down. The logarithm of a "
    "softmax follows it to about minus 103 and is minus infinity from there on. The raw formula, with both scores "
    "shifted up so that the lower one is 0, follows it to 88 and is infinite beyond. With 1e-12 added against a "
    "logarithm of zero, the curve bends at 28 and stays there, flat: the class gets no gradient any more."
)


def logarithms() -> Figure:
    """Log-probability of the lower of two scores, against their difference, in float32."""
    gap = torch.linspace(0, 160, 641)
    scores = torch.stack([gap, torch.zeros_like(gap)], dim=1)  # the unlikely class scores 0
    shifted = scores - gap[:, None]
    softmax = shifted.exp() / shifted.exp().sum(1, keepdim=True)
    ways = (
        ("x − max − ln Σ exp(x − max)", (shifted - shifted.exp().sum(1, keepdim=True).log())[:, 1], BLUE, "-", 2.0),
        ("ln(softmax)", softmax[:, 1].log(), AMBER, "-", 5.0),
        ("x − ln Σ exp(x)", (scores - scores.exp().sum(1, keepdim=True).log())[:, 1], GREEN, "-", 8.0),
        ("ln(softmax + 1e-12)", (softmax[:, 1] + 1e-12).log(), AMBER, "--", 2.0),
    )
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    for order, (_, values, colour, style, width) in enumerate(ways):
        finite = values.isfinite()
        alpha = 1.0 if width == 2.0 else 0.35
        axes.plot(
            gap[finite], values[finite], color=colour, linestyle=style, linewidth=width, alpha=alpha, zorder=9 - order
        )
        if not finite.all():
            last = int(finite.nonzero()[-1])
            axes.plot(gap[last], values[last], "x", color=colour, markersize=10, markeredgewidth=2.4, zorder=12)
    notes = (
        ("stable", (130, -130), (8, 4), BLUE, "left"),
        ("ln(softmax) ends:\nthe probability is 0", (103.5, -103.5), (-12, -10), AMBER, "right"),
        ("the raw formula ends:\nexp overflows", (88, -88), (12, 8), GREEN, "left"),
        ("ln(softmax + 1e-12): flat", (160, -27.6), (0, 8), AMBER, "right"),
    )
    for text, place, shift, colour, side in notes:
        upright = "bottom" if shift[1] > 0 else "top"
        axes.annotate(text, place, shift, color=colour, ha=side, va=upright, textcoords="offset points")
    axes.set(xlabel="how far below the other score", ylim=(-165, 5), title="Log-probability of the unlikely class")
    axes.set_xticks([0, 40, 80, 120, 160])
    axes.set_yticks([0, -40, -80, -120, -160])
    axes.grid(axis="y")
    return figure


# ---------------------------------------------------------------------------------------------------------------- adam

ADAM = (
    "Above: the length of each of the first 100 steps, in learning rates, for a gradient that is always 1. With bias "
    "correction every step has length 1. Without it the first one has length 3.2, the longest, the twelfth or so, "
    "6.6, and the hundredth still 3.2. Below: 2000 steps on 800 weights that start at 1 and whose gradients are "
    "nothing but noise, with standard deviation 10 for one half and 0.01 for the other; learning rate 0.01, decay "
    "0.05. With decoupled decay the means of both halves fall along one curve to about 0.37. With the decay added to "
    "the gradient, the mean of the loud half is still 0.92 in the end and that of the quiet half is at 0 after 300 "
    "steps."
)


def adam(ours: ModuleType) -> Figure:
    """Step lengths with and without correction; two kinds of decay on a loud and a quiet weight."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 6.6))
    s = np.arange(1, 101)
    upper.plot(s, (1 - 0.9**s) / np.sqrt(1 - 0.999**s), color=AMBER, linestyle="--")
    upper.plot(s, np.ones(100), color=BLUE)
    upper.annotate("raw averages", (30, 5.55), (6, 4), color=AMBER, textcoords="offset points")
    upper.annotate("corrected", (99, 1), (0, 6), color=BLUE, ha="right", textcoords="offset points")
    upper.set(ylim=(0, 7.2), xlim=(0, 101), xlabel="step", title="Length of a step, in learning rates")
    upper.set_yticks([0, 1, 3, 5, 7])
    upper.grid(axis="y")
    for way, colour in (("decoupled", BLUE), ("in the gradient", AMBER)):
        path = decayed(ours, way)
        for place, style in ((0, "-"), (1, "--")):
            lower.plot(path[::10, place], color=colour, linestyle=style, linewidth=1.6)
    lower.annotate("loud, decay in the gradient", (70, 1.0), (0, 8), color=AMBER, textcoords="offset points")
    lower.annotate("quiet, decay in the gradient", (22, 0.0), (0, 8), color=AMBER, textcoords="offset points")
    lower.annotate("both, decoupled", (110, 0.6), (6, 4), color=BLUE, textcoords="offset points")
    lower.set(ylim=(-0.12, 1.25), xlabel="step", title="Mean weight under decay: loud and quiet gradients")
    lower.set_xticks([0, 50, 100, 150, 200], ["0", "500", "1000", "1500", "2000"])
    lower.set_yticks([0, 0.5, 1])
    lower.grid(axis="y")
    return figure


def decayed(ours: ModuleType, way: str, steps: int = 2000, lr: float = 0.01, decay: float = 0.05) -> np.ndarray:
    """Means of 400 weights with loud and of 400 with quiet gradients, step by step: (steps + 1, 2)."""
    generator = torch.Generator().manual_seed(0)
    weight, state = torch.ones(2, 400, dtype=torch.float64), {}
    path = [weight.mean(dim=1)]
    for _ in range(steps):
        g = torch.randn(2, 400, generator=generator, dtype=torch.float64) * torch.tensor([[10.0], [0.01]])
        if way == "decoupled":
            ours.adamw_step([weight], [g], state, lr, weight_decay=decay)
        else:
            ours.adamw_step([weight], [g + decay * weight], state, lr, weight_decay=0.0)
        path.append(weight.mean(dim=1))
    return torch.stack(path).numpy()


# ----------------------------------------------------------------------------------------------------------- schedules

SCHEDULES = (
    "Learning rates with a warm-up of 20 steps to the peak, a total of 100 and a floor of a fifth. The right one "
    "climbs in a straight line from 0, falls along half a cosine and stays at the floor after step 100. Without a "
    "stop it climbs again after step 100. With progress counted from step 0 it falls below the peak at once, where "
    "the warm-up ends. With a whole period it touches the floor at step 60 and is back at the peak at step 100."
)


def schedules(ours: ModuleType) -> Figure:
    """The schedule, and three that are not."""
    warmup, total, floor = 20, 100, 0.2
    s = np.arange(121)
    right = np.array([ours.cosine_schedule(int(n), warmup, total, 1.0, floor) for n in s])

    def cosine(progress: np.ndarray) -> np.ndarray:
        return floor + (1 - floor) * (1 + np.cos(np.pi * progress)) / 2

    wrong = (
        ("no stop after the end", np.where(s < total, right, cosine((s - warmup) / (total - warmup)))),
        ("progress counted from step 0", np.where((s < warmup) | (s > total), right, cosine(s / total))),
        ("a whole period", np.where((s < warmup) | (s > total), right, cosine(2 * (s - warmup) / (total - warmup)))),
    )
    figure, axes = plt.subplots(4, 1, figsize=(WIDTH, 7.2), sharex=True)
    axes[0].plot(s, right, color=BLUE)
    axes[0].set_title("straight up, half a cosine down, the floor")
    for place, (title, values) in zip(axes[1:], wrong, strict=True):
        place.plot(s, right, color=QUIET, linewidth=1.0)
        place.plot(s, values, color=AMBER, linestyle="--")
        place.set_title(title)
    for place in axes:
        place.set_ylim(-0.05, 1.1)
        place.set_yticks([0, floor, 1], ["0", "floor", "peak"])
        place.grid(axis="y")
    axes[-1].set_xticks([0, 20, 100, 120], ["0", "warmup", "total", "120"])
    axes[-1].set_xlabel("step")
    return figure


# ------------------------------------------------------------------------------------------------------------ clipping

CLIPPING = (
    "A gradient with two parts, 3 and 4, drawn as an arrow of length 5, and a limit of 2 drawn as a quarter circle. "
    "By the joint norm, the arrow keeps its direction and ends on the circle. Part by part, and value by value, it "
    "ends at (2, 2): it is longer than the limit and points elsewhere."
)


def clipping() -> Figure:
    """One gradient, clipped by its norm and part by part."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.3))
    around = np.linspace(0, np.pi / 2, 60)
    panels = (("by the joint norm", (1.2, 1.6), BLUE), ("part by part", (2.0, 2.0), AMBER))
    for place, (title, end, colour) in zip(axes, panels, strict=True):
        place.plot(2 * np.cos(around), 2 * np.sin(around), color=QUIET, linewidth=0.9)
        arrow(place, (3, 4), QUIET, 1.2)
        arrow(place, end, colour, 2.6)
        place.annotate("found: (3, 4)", (3, 4), (-12, -2), color=QUIET, ha="right", textcoords="offset points")
        place.annotate(f"({end[0]:g}, {end[1]:g})", end, (9, -8), color=colour, textcoords="offset points")
        place.set(xlim=(0, 4.3), ylim=(0, 4.4), aspect="equal", title=title)
        place.set_xticks([0, 2, 4])
        place.set_yticks([0, 2, 4])
    return figure


def arrow(axes: Axes, end: tuple[float, float], colour: str, width: float) -> None:
    axes.annotate("", end, (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": width, "shrinkA": 0})


# ------------------------------------------------------------------------------------------------------------- spirals

SPIRALS = (
    "Four panels with the same two spirals and the line at which a network's two logits are equal, after 25, 100, 300 "
    "and 1000 steps. At first the line is nearly straight; then it bends around the outer turns; in the end it winds "
    "between the arms all the way to the centre."
)
LOOKS, GRID = (25, 100, 300, 1000), 64


def spirals(ours: ModuleType) -> Figure:
    """The boundary of one training, at four moments."""
    x, y = ours.spirals(1000, 1)
    fresh, classes = ours.spirals(2000, 2)
    axis = torch.linspace(-3.4, 3.4, GRID)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).reshape(-1, 2)
    seen: dict[int, tuple[np.ndarray, float]] = {}
    count = 0

    def look(model: torch.nn.Module) -> None:
        nonlocal count
        count += 1
        if count in LOOKS:
            with torch.no_grad():
                logits = model(grid)
                right = (model(fresh).argmax(1) == classes).float().mean().item()
            seen[count] = (logits[:, 1] - logits[:, 0]).reshape(GRID, GRID).numpy(), right

    ours.train_classifier(x, y, 1000, seed=1, on_update=look)
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 7.0))
    for place, step in zip(axes.flat, LOOKS, strict=True):
        margin, right = seen[step]
        for label, colour, marker in ((0, BLUE, "o"), (1, AMBER, "^")):
            shown = x[:180][y[:180] == label]
            place.plot(shown[:, 0], shown[:, 1], marker, color=colour, markersize=2.4, alpha=0.8)
        place.contour(axis.numpy(), axis.numpy(), margin, levels=[0.0], colors=[INK], linewidths=1.3)
        place.set(aspect="equal", xlim=(-3.4, 3.4), ylim=(-3.4, 3.4), title=f"{step} steps: {right:.1%}")
        place.set_xticks([])
        place.set_yticks([])
        place.spines[:].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
