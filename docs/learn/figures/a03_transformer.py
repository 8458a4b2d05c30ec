"""Draws the figures of the reading on the transformer: python docs/learn/figures/a03_transformer.py

Everything is computed here: fresh models are built as the reference builds them and asked, from fixed seeds. Colours,
fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, GREEN, INK, QUIET, WIDTH, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a03_transformer"
SOLUTIONS = Path(__file__).parents[3] / "solutions"


def main() -> None:
    """Draws all figures into this folder."""
    save(block(), "a03_block", "Pre-norm and post-norm", BLOCK)
    save(stream(), "a03_stream", "How loud the stream of a fresh model is, against its depth", STREAM)
    save(nucleus(), "a03_nucleus", "One distribution at three temperatures, and where top-p cuts it", NUCLEUS)
    save(sizes(), "a03_sizes", "Where the parameters are, in four models", SIZES)


# --------------------------------------------------------------------------------------------------------------- block

BLOCK = (
    "Two diagrams of one layer, read from the bottom upwards. On the left, ours: the stream is a straight line from "
    "the input to the output; two branches leave it, each through a norm and then attention or the MLP, and are "
    "added to it. On the right, the layer of 2017: attention and the MLP are added in the same way, but a norm stands "
    "in the stream itself after each sum, so nothing gets through a layer unchanged."
)


BOX = 0.33  # half the height of a box


def block() -> Figure:
    """Two wirings of the same parts."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.6))
    draw_layer(axes[0], "pre-norm: ours", [("norm1", "attn"), ("norm2", "mlp")], [])
    draw_layer(axes[1], "post-norm: 2017", [("attn",), ("mlp",)], ["norm1", "norm2"])
    return figure


def draw_layer(axes: Axes, title: str, branches: list[tuple[str, ...]], on_stream: list[str]) -> None:
    """A stream upwards at x = 0, with branches at x = 1.6 and perhaps boxes on the stream."""
    heights = [3.4 + 4.6 * place + 0.95 for place in range(len(on_stream))]
    below = 0.0
    for height in heights:
        axes.plot([0, 0], [below, height - BOX], color=BLUE, linewidth=2.4)
        below = height + BOX
    axes.annotate("", (0, 10.3), (0, below), arrowprops={"arrowstyle": "->", "color": BLUE, "linewidth": 2.4,
                  "shrinkA": 0})  # fmt: skip
    for place, branch in enumerate(branches):
        low = 0.8 + 4.6 * place
        high = low + 2.6
        stops = [low] + [low + 2.6 * (i + 1) / (len(branch) + 1) for i in range(len(branch))] + [high]
        axes.plot([0, 1.6], [low, low], color=QUIET, linewidth=1.4)
        axes.plot([1.6, 0.2], [high, high], color=QUIET, linewidth=1.4)
        for i, name in enumerate(branch):
            draw_box(axes, 1.6, stops[i + 1], name, GREEN if "norm" in name else INK)
        for i in range(len(branch) + 1):  # the branch runs from box to box, not behind them
            from_below, to = stops[i] + BOX * (i > 0), stops[i + 1] - BOX * (i < len(branch))
            axes.plot([1.6, 1.6], [from_below, to], color=QUIET, linewidth=1.4)
        axes.plot(0, high, "o", color=BLUE, markersize=9)
        axes.annotate("+", (-0.34, high), color=BLUE, ha="center", va="center", fontsize=13)
        if on_stream:
            draw_box(axes, 0, heights[place], on_stream[place], AMBER)
    axes.annotate("x", (0.16, 0.05), color=BLUE)
    axes.set(xlim=(-1.1, 2.9), ylim=(-0.1, 10.4), title=title)
    axes.set_axis_off()
    axes.title.set_visible(True)


def draw_box(axes: Axes, x: float, y: float, name: str, colour: str) -> None:
    """A name in a box; no line runs behind it, since nothing here is opaque on light and on dark pages alike."""
    axes.annotate(name, (x, y), color=colour, ha="center", va="center", fontsize=11)
    axes.plot([x - 0.75, x + 0.75, x + 0.75, x - 0.75, x - 0.75], [y - BOX, y - BOX, y + BOX, y + BOX, y - BOX],
              color=colour, linewidth=1.2)  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- stream

STREAM = (
    "Standard deviation of the stream before the final norm in fresh models of width 64 with 2 to 64 layers, both axes "
    "logarithmic. When o_proj and down_proj are drawn with 0.02 divided by the root of twice the number of layers it "
    "is 0.034 at every depth. When they are drawn with 0.02 like all other matrices it grows with the root of the "
    "depth, from 0.048 at 2 layers to 0.25 at 64. Below, the first loss on random targets: 4.6, the logarithm of 97, "
    "for both, and between 24 and 43 for a model with torch's own initial weights."
)
DEPTHS = (2, 4, 8, 16, 32, 64)


def stream() -> Figure:
    """Loudness of the stream and first loss against depth, measured on fresh models."""
    measured = {kind: [measure(kind, layers) for layers in DEPTHS] for kind in ("ours", "unscaled", "torch's own")}
    looks = {"ours": (BLUE, "-", "s"), "unscaled": (AMBER, "-", "o"), "torch's own": (GREEN, "--", "^")}
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 5.8), sharex=True, height_ratios=(1.3, 1))
    for kind, (colour, style, marker) in looks.items():
        look = {"color": colour, "linestyle": style, "marker": marker, "markersize": 5}
        if kind != "torch's own":
            upper.plot(DEPTHS, [spread for spread, _ in measured[kind]], **look)
        lower.plot(DEPTHS, [loss for _, loss in measured[kind]], **look)
    upper.annotate("writers at 0.02, as all others", (8, 0.087), (-6, 8), color=AMBER, ha="right",
                   textcoords="offset points")  # fmt: skip
    upper.annotate("writers at 0.02 / √(2 layers)", (11, 0.035), (0, 9), color=BLUE, ha="center",
                   textcoords="offset points")  # fmt: skip
    lower.annotate("torch's own initial weights", (16, measured["torch's own"][3][1]), (6, 12), color=GREEN,
                   ha="left", textcoords="offset points")  # fmt: skip
    lower.annotate("0.02, with writers at either size: ln 97", (8, 4.6), (0, 8), color=BLUE, ha="center",
                   textcoords="offset points")  # fmt: skip
    upper.set(xscale="log", yscale="log", ylim=(0.024, 0.4), title="Standard deviation of the stream at the end")
    upper.set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
    lower.set(ylim=(0, 52), xlabel="layers", title="Loss of the fresh model on random targets")
    lower.set_yticks([0, 10, 20, 30, 40])
    lower.set_xticks(DEPTHS, [str(layers) for layers in DEPTHS])
    for axes in (upper, lower):
        axes.minorticks_off()
        axes.grid(axis="y")
    return figure


def measure(kind: str, layers: int) -> tuple[float, float]:
    """Standard deviation of the stream before the final norm, and the loss on random targets, of a fresh model."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    common, reference = course()
    model = reference.GPT(
        common.GPTConfig(97, 32, layers, 4, 64, 256, norm="layernorm", mlp="gelu", positions="learned", bias=True)
    )
    for name, module in model.named_modules():
        if kind == "unscaled" and name.endswith(("o_proj", "down_proj")):
            torch.nn.init.normal_(module.weight, std=0.02)
        elif kind == "torch's own" and isinstance(module, torch.nn.Linear | torch.nn.Embedding):
            module.reset_parameters()
    seen: list[float] = []
    model.norm.register_forward_pre_hook(lambda module, inputs: seen.append(float(inputs[0].std())))
    draw = torch.Generator().manual_seed(1)
    tokens, targets = torch.randint(97, (2, 8, 32), generator=draw)
    with torch.no_grad():
        logits = model(tokens)
    return seen[0], float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()))


def course():
    """The course's own reference of this assignment, and the code it shares."""
    sys.path[:0] = [str(SOLUTIONS), str(SOLUTIONS.parent)]
    import common

    from autograder.testing.modules import Author

    return common, Author(SOLUTIONS / "a03_transformer").reference()


# ------------------------------------------------------------------------------------------------------------- nucleus

NUCLEUS = (
    "Twelve tokens ordered by their chance, at temperatures 0.5, 1 and 2; filled bars are kept by top-p 0.9, empty "
    "ones are cut. At temperature 0.5 the first token has 65 per cent and 3 tokens are kept. At temperature 1 the "
    "first has 38 per cent and 6 are kept. At temperature 2 the chances fall from 21 to 3 per cent and 9 are kept."
)


def nucleus() -> Figure:
    """Ranked probabilities at three temperatures; what top-p keeps is filled."""
    chances = np.array([0.38, 0.22, 0.13, 0.085, 0.055, 0.04, 0.028, 0.021, 0.015, 0.012, 0.008, 0.006])
    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 5.6), sharex=True)
    for place, temperature in zip(axes, (0.5, 1.0, 2.0), strict=True):
        probs = chances ** (1 / temperature)
        probs = probs / probs.sum()
        kept = np.cumsum(probs) - probs < 0.9
        ranks = np.arange(1, 13)
        place.bar(ranks, probs, width=0.72, facecolor="none", edgecolor=AMBER, linewidth=1.2)
        place.bar(ranks[kept], probs[kept], width=0.72, color=BLUE, edgecolor=BLUE, linewidth=1.2)
        place.set_title(f"temperature {temperature:g}: {kept.sum()} tokens are kept")
        place.set(ylim=(0, 0.75), yticks=[0, 0.25, 0.5])
        place.grid(axis="y")
        place.set_axisbelow(True)
    axes[-1].set(xlabel="tokens, the most likely first", xticks=ranks)
    return figure


# --------------------------------------------------------------------------------------------------------------- sizes

SIZES = (
    "Shares of the parameters of four models: the table of embeddings, attention, the MLPs, and the rest (positions "
    "and norms). A character model of width 128 with 0.8 million parameters has 1.6 per cent in its table, 32 in "
    "attention, 65 in the MLPs. GPT-2 small, 124 million, has 31 in its table, 23 in attention, 46 in the MLPs. "
    "GPT-2 XL, 1.6 billion, has 5, 32 and 63. A model of the shape of Llama 7B with a tied head, 6.6 billion, has 2, "
    "33 and 66."
)


def sizes() -> Figure:
    """Stacked shares, one bar a model."""
    models = (
        ("a character model\n0.8 million", 103, 64, 4, 128, 512, 2, True),
        ("GPT-2 small\n124 million", 50257, 1024, 12, 768, 3072, 2, True),
        ("GPT-2 XL\n1.6 billion", 50257, 1024, 48, 1600, 6400, 2, True),
        ("Llama 7B, tied\n6.6 billion", 32000, 0, 32, 4096, 11008, 3, False),
    )
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    for row, (_, vocabulary, context, layers, width, inside, matrices, bias) in enumerate(models):
        norm = width * (2 if bias else 1)
        parts = [
            vocabulary * width,
            layers * (4 * width**2 + bias * 4 * width),
            layers * (matrices * width * inside + bias * (inside + width)),
            context * width + (2 * layers + 1) * norm,
        ]
        shares, left = np.array(parts) / sum(parts), 0.0
        for share, colour, strength in zip(shares, (AMBER, GREEN, BLUE, QUIET), (0.75, 0.6, 0.75, 0.5), strict=True):
            axes.barh(row, share, left=left, height=0.62, color=colour, alpha=strength, linewidth=0)
            if share > 0.04:
                axes.annotate(f"{share:.0%}", (left + share / 2, row), color=INK, ha="center", va="center")
            left += share
    for x, name, colour in ((0.0, "table", AMBER), (0.22, "attention", GREEN), (0.6, "MLPs", BLUE)):
        axes.annotate(name, (x, -0.62), color=colour, annotation_clip=False)
    lines = [(row, line, text) for row, (name, *_) in enumerate(models) for line, text in enumerate(name.split("\n"))]
    for row, line, text in lines:  # each for itself, so that both lines of a name end at the bar
        axes.annotate(text, (-0.03, row + 0.32 * line - 0.16), color=QUIET, ha="right", va="center",
                      annotation_clip=False)  # fmt: skip
    axes.set_yticks([])
    axes.set(xlim=(0, 1), ylim=(len(models) - 0.5, -0.9), xticks=[])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
