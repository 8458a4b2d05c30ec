"""Draws the figures of the reading on attention: python docs/learn/figures/a02_attention.py

Every curve is computed here, from fixed seeds. The SVG files take their colours from the site's style sheet, so that
they follow its light and dark schemes; opened alone they fall back to tones that are readable on both. Running this
twice gives the same bytes.
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

FOLDER = Path(__file__).parent
WIDTH = 480 / 72  # inches; 480 units wide in the SVG

# Stand-ins while drawing -> the site's colours, with a fallback for a file that is opened alone.
INK, QUIET, LINE, BLUE, AMBER, GREEN = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
SITE = {
    INK: "var(--site-ink, #74808b)",
    QUIET: "var(--site-quiet, #74808b)",
    LINE: "var(--site-line, #9aa5ae)",
    BLUE: "var(--site-blue, #2c86c6)",
    AMBER: "var(--site-amber, #c77a17)",
    GREEN: "var(--site-good, #1b9a80)",
}

mpl.rcParams.update(
    {
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.h_pad": 0.08,
        "svg.fonttype": "none",
        "svg.hashsalt": "a02_attention",
        "font.size": 11.5,
        "axes.edgecolor": QUIET,
        "axes.labelcolor": QUIET,
        "axes.titlecolor": INK,
        "axes.titlesize": 12.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": INK,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "grid.color": LINE,
        "grid.linewidth": 0.7,
        "lines.linewidth": 2.0,
    }
)


def main() -> None:
    """Draws all figures into this folder."""
    save(scaling(), "a02_scaling", "Scores and weights against the head size", SCALING)
    save(masks(), "a02_masks", "Four causal masks", MASKS)
    save(rotations(), "a02_rotations", "Rotary positions: four pairs turning, and their mean product", ROTATIONS)
    save(cache(), "a02_cache", "What one more token costs with and without a cache", CACHE)


# ------------------------------------------------------------------------------------------------------------- scaling

SCALING = (
    "Measured on random queries and 64 random keys. Without scaling, the standard deviation of the scores grows "
    "from 1.4 at head size 2 to 32 at 1024, and the entropy of the attention weights falls from most of its "
    "maximum to almost nothing. Divided by the root of d, both stay where they are at every size. Divided by d, "
    "scores shrink towards zero and the weights become uniform."
)


def scaling() -> Figure:
    """Spread of scores and entropy of weights, measured, for three ways of scaling."""
    sizes = 2 ** np.arange(1, 11)
    ways = (
        ("not scaled", lambda d: 1.0, AMBER, "-", "o"),
        ("divided by √d", lambda d: d**0.5, BLUE, "-", "s"),
        ("divided by d", lambda d: float(d), GREEN, "--", "^"),
    )
    products = {d: random_products(d, keys=64, queries=2000) for d in sizes}
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 6.4), sharex=True)
    for label, scale, colour, style, marker in ways:
        scores = [products[d] / scale(d) for d in sizes]
        line = {"color": colour, "linestyle": style, "marker": marker, "markersize": 5}
        upper.plot(sizes, [s.std() for s in scores], **line)
        lower.plot(sizes, [entropy(softmax(s)).mean() / np.log(64) for s in scores], **line)
        upper.annotate(label, (512, scores[-2].std()), (0, 9), color=colour, ha="center", textcoords="offset points")
    upper.set(xscale="log", yscale="log", title="Standard deviation of the scores")
    upper.set_yticks([0.03, 0.1, 0.3, 1, 3, 10, 30], ["0.03", "0.1", "0.3", "1", "3", "10", "30"])
    lower.set(ylim=(0, 1.08), xlabel="head size d", title="Entropy of the weights over 64 keys")
    lower.set_yticks([0, 0.5, 1], ["one key\ntakes all", "half", "uniform"])
    lower.set_xticks(sizes, [str(d) for d in sizes])
    for axes in (upper, lower):
        axes.minorticks_off()
        axes.grid(axis="y")
    return figure


def random_products(d: int, keys: int, queries: int) -> np.ndarray:
    """Dot products of random queries, each with random keys of its own: (queries, keys)."""
    draw = np.random.default_rng(d)
    q, k = draw.standard_normal((queries, 1, d)), draw.standard_normal((queries, keys, d))
    return (q * k).sum(-1)


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def entropy(weights: np.ndarray) -> np.ndarray:
    return -(weights * np.log(np.maximum(weights, 1e-300))).sum(-1)


# --------------------------------------------------------------------------------------------------------------- masks

MASKS = (
    "Tables with queries as rows and keys as columns; a filled cell with a dot may be looked at. A square mask of "
    "five tokens is the lower triangle. Two new tokens over five keys, lower right: the first sees keys 0 to 3, "
    "the second all five. The same aligned upper left: the first sees only key 0, the second keys 0 and 1, so "
    "neither sees itself. Five queries over three keys: the first two see nothing."
)


def masks() -> Figure:
    """Square, lower right, upper left, and more queries than keys."""
    figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 5.0), height_ratios=(5, 2))
    panels = (
        ("the whole text: 5 × 5", 5, 5, 0, BLUE),
        ("more queries than keys: 5 × 3", 5, 3, -2, BLUE),
        ("2 new tokens, 5 keys: ours", 2, 5, 3, BLUE),
        ("the same, upper left", 2, 5, 0, AMBER),
    )
    for place, (title, rows, columns, offset, colour) in zip(axes.flat, panels, strict=True):
        draw_mask(place, title, rows, columns, offset, colour)
    return figure


def draw_mask(axes: Axes, title: str, rows: int, columns: int, offset: int, colour: str) -> None:
    """A table in which query i sees the keys j <= i + offset."""
    seen = [(j, i) for i in range(rows) for j in range(columns) if j <= i + offset]
    for j, i in seen:
        axes.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, alpha=0.22, linewidth=0))
    axes.plot([j + 0.5 for j, _ in seen], [i + 0.5 for _, i in seen], "o", color=colour, markersize=7)
    axes.hlines(range(rows + 1), 0, columns, color=QUIET, linewidth=0.9)
    axes.vlines(range(columns + 1), 0, rows, color=QUIET, linewidth=0.9)
    height = 5 if rows > 2 else 2
    axes.set(xlim=(-0.05, 5.05), ylim=(height + 0.05, -0.05), aspect="equal", title=title)
    axes.set_anchor("NW")
    axes.set_xticks(np.arange(columns) + 0.5, [str(j) for j in range(columns)])
    axes.set_yticks(np.arange(rows) + 0.5, [str(i) for i in range(rows)])
    axes.tick_params(length=0, top=False, labeltop=True, labelbottom=False, pad=2)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("query", labelpad=2)


# ----------------------------------------------------------------------------------------------------------- rotations

ROTATIONS = (
    "Above, four dials for the four pairs of a head of size 8 at base 10000, with hands at positions 0 to 8: the "
    "first pair turns by 57 degrees a step and goes round more than once, the second by 5.7 degrees, the third by "
    "half a degree, the fourth hardly moves. Below, the product of two equal vectors against the distance of "
    "their positions, averaged over the pairs of a head of size 64. It begins near 1 and falls, with ripples: for "
    "base 10000 to about one half at distance 40 and one fifth at distance 1000, for base 500 to about three "
    "tenths at distance 40 and nothing at distance 300."
)


def rotations() -> Figure:
    """Dials of four pairs, and the mean product against distance."""
    figure = plt.figure(figsize=(WIDTH, 5.8))
    grid = figure.add_gridspec(2, 4, height_ratios=(1, 1.8), hspace=0.12)
    for i in range(4):
        draw_dial(figure.add_subplot(grid[0, i]), i)
    below = figure.add_subplot(grid[1, :])
    distance = np.arange(1, 1101)
    shown = np.unique(np.round(np.geomspace(1, 1000, 300)).astype(int))
    for base, colour, style, at in ((10000, BLUE, "-", (45, 0.6)), (500, AMBER, "--", (5, 0.4))):
        frequency = base ** (-np.arange(0, 64, 2) / 64)
        mean = np.cos(distance[:, None] * frequency).mean(-1)
        smooth = [mean[int(0.9 * n) - 1 : int(1.1 * n)].mean() if n > 9 else mean[n - 1] for n in shown]
        below.plot(shown, mean[shown - 1], color=colour, linewidth=0.8, alpha=0.35)
        below.plot(shown, smooth, color=colour, linestyle=style)
        below.annotate(f"base {base}", at, color=colour)
    below.axhline(0, color=QUIET, linewidth=0.8)
    below.set(xscale="log", xlabel="distance between two positions", title="Mean product of two equal vectors, d = 64")
    below.set_xticks([1, 3, 10, 30, 100, 300, 1000], ["1", "3", "10", "30", "100", "300", "1000"])
    below.set_yticks([0, 0.5, 1])
    below.minorticks_off()
    below.grid(axis="y")
    return figure


def draw_dial(axes: Axes, i: int) -> None:
    """Pair i of a head of size 8, turned to positions 0 to 8: later hands are stronger."""
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=QUIET, linewidth=0.9))
    for position in range(9):
        angle = position * 10000 ** (-2 * i / 8)
        tip = np.cos(angle), np.sin(angle)
        strength = 0.15 + 0.85 * position / 8
        axes.plot([0, tip[0]], [0, tip[1]], color=BLUE, alpha=strength, linewidth=1.6)
        axes.plot(*tip, color=BLUE, alpha=strength, marker="o", markersize=4)
    step = np.degrees(10000 ** (-2 * i / 8))
    axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", title=f"pair {i}")
    axes.set_xlabel(f"{step:.2g}° a step")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


# --------------------------------------------------------------------------------------------------------------- cache

CACHE = (
    "Multiplications in one layer of width 768 for one more token, against the length of the text, both on "
    "logarithmic axes. Computing everything again costs 2.4 million at the first token and 3.2 billion at token "
    "1024. With a cache it costs 2.4 million at the first token and 3.9 million at token 1024, some eight hundred "
    "times less. Below, the cache of a model of 12 such layers in 16-bit numbers grows in a straight line to 36 "
    "MiB."
)


def cache() -> Figure:
    """Work for one more token, and the memory that the cache takes."""
    width, layers = 768, 12
    n = np.unique(np.round(np.geomspace(1, 1024, 80)).astype(int))
    again = 4 * n * width**2 + n * (n + 1) * width  # four matrices on n tokens; scores and averages, causal half of n^2
    cached = 4 * width**2 + 2 * n * width
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 6.0), height_ratios=(1.7, 1))
    upper.plot(n, again, color=AMBER)
    upper.plot(n, cached, color=BLUE, linestyle="--")
    upper.annotate(
        "everything again", (60, 60 * 4 * width**2), (-6, 10), color=AMBER, ha="right", textcoords="offset points"
    )
    upper.annotate("with a cache", (60, cached[-1]), (0, 12), color=BLUE, textcoords="offset points")
    upper.set(xscale="log", yscale="log", ylim=(1e6, 2e10), title="Multiplications for one more token, one layer")
    upper.set_xticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1024"])
    upper.set_yticks([1e6, 1e7, 1e8, 1e9, 1e10], ["1 million", "10 million", "100 million", "1 billion", "10 billion"])
    upper.set_xlabel("length of the text")
    tokens = np.array([0, 1024])
    lower.plot(tokens, tokens * layers * 2 * width * 2 / 2**20, color=BLUE, linestyle="--")
    lower.set(xlim=(0, 1040), ylim=(0, 40), xlabel="length of the text", title="Size of the cache, 12 layers, in MiB")
    lower.set_xticks([0, 256, 512, 768, 1024])
    lower.set_yticks([0, 18, 36])
    for axes in (upper, lower):
        axes.minorticks_off()
        axes.grid(axis="y")
    return figure


# --------------------------------------------------------------------------------------------------------------- saving


def save(figure: Figure, name: str, title: str, description: str) -> None:
    """Writes the figure as an SVG element that can stand in a page: site colours, site fonts, title and description."""
    path = FOLDER / f"{name}.svg"
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = path.read_text(encoding="utf-8")
    box = " ".join(f"{float(n):.0f}" for n in text.split('viewBox="')[1].split('"')[0].split())
    body = text[text.index("<g id=") : text.rindex("</svg>")]
    body = re.sub(r"<[^>]+>", lambda tag: rounded(tag[0]), body)  # tags only: labels keep their digits
    body = re.sub(r"font-family: [^;\"]*", "font-family: var(--md-text-font, sans-serif)", body)
    body = re.sub(r"(id=\"|href=\"#|url\(#)", rf"\g<1>{name}-", body)  # several figures may stand on one page
    for placeholder, colour in SITE.items():
        body = body.replace(placeholder, colour)
    head = (
        f'<svg class="chart" viewBox="{box}" xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-labelledby="{name}-title {name}-desc" '
        'style="stroke-linejoin: round">\n'
        f'<title id="{name}-title">{title}</title>\n<desc id="{name}-desc">{description}</desc>\n'
    )
    lines = [line.strip() for line in (head + body + "</svg>").splitlines()]
    path.write_text("\n".join(line for line in lines if line) + "\n", encoding="utf-8")


def rounded(tag: str) -> str:
    """Two decimals for every coordinate: the last digits differ from machine to machine."""
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", tag)


if __name__ == "__main__":
    main()
