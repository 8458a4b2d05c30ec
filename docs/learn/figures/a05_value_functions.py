"""Draws the figures of the reading on value functions: python docs/learn/figures/a05_value_functions.py

Everything shown is computed here, from fixed seeds. The SVG files take their colours from the site's style sheet, so
that they follow its light and dark schemes; opened alone they fall back to tones that are readable on both. Running
this twice gives the same bytes.
"""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium
import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

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
        "svg.hashsalt": "a05_value_functions",
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
    save(lake(), "a05_lake", "The frozen lake, solved, and how fast sweeps come closer", LAKE)
    save(traces(), "a05_traces", "The trace of one state, accumulating and replacing", TRACES)
    save(cliff(), "a05_cliff", "Two ways along the cliff", CLIFF)


# ---------------------------------------------------------------------------------------------------------------- lake

LAKE = (
    "On the left a grid of four by four fields with the optimal value of each and an arrow for its best action. The "
    "start at the upper left is worth 0.54; the field left of the goal 0.86. Next to holes, arrows point away "
    "from the hole, often into a wall. On the right, on a logarithmic axis, the largest error after each of 400 "
    "sweeps: a line that falls, below the line of gamma to the power of the sweep."
)


def solved_lake(gamma: float, sweeps: int) -> tuple[np.ndarray, np.ndarray]:
    """The values after each sweep (sweeps + 1, 16), and the action values under the last ones (16, 4)."""
    world = gymnasium.make("FrozenLake-v1").unwrapped.P
    values = [np.zeros(16)]
    for _ in range(sweeps):
        old = values[-1]
        table = np.array(
            [[sum(p * (r + gamma * old[t]) for p, t, r, _ in world[s][a]) for a in range(4)] for s in range(16)]
        )
        values.append(table.max(1))
    return np.stack(values), table


def lake() -> Figure:
    """Values and best actions at gamma 0.99; the error of each sweep."""
    gamma, sweeps = 0.99, 2000
    values, table = solved_lake(gamma, sweeps)
    best, shown = values[-1], 400
    figure, (grid, curve) = plt.subplots(1, 2, figsize=(WIDTH, 3.5), width_ratios=(1, 1.1))
    fields = "SFFFFHFHFFFHHFFG"
    for s, field in enumerate(fields):
        draw_field(grid, s % 4, s // 4, field, best[s], int((table[s].max() - table[s] <= 1e-9).argmax()))
    grid.set(xlim=(-0.03, 4.03), ylim=(4.03, -0.03), aspect="equal", title="Values and best actions")
    grid.set_axis_off()
    gaps = np.abs(values[: shown + 1] - best).max(1)
    curve.plot(gaps, color=BLUE)
    curve.plot(gaps[0] * gamma ** np.arange(shown + 1), color=AMBER, linestyle="--")
    curve.annotate(
        "what γ promises", (250, gaps[0] * gamma**250), (30, 14), color=AMBER, ha="center", textcoords="offset points"
    )
    curve.annotate("measured", (190, gaps[190]), (-8, -16), color=BLUE, ha="right", textcoords="offset points")
    curve.set(yscale="log", xlabel="sweeps", title="Largest error")
    curve.minorticks_off()
    curve.grid(axis="y")
    return figure


def draw_field(axes: Axes, x: int, y: int, field: str, value: float, action: int) -> None:
    """One field of the lake: its value, and an arrow for the action (left, down, right, up)."""
    if field == "H":
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=QUIET, alpha=0.25, linewidth=0))
        axes.text(x + 0.5, y + 0.5, "hole", ha="center", va="center", color=QUIET)
    elif field == "G":
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=GREEN, alpha=0.25, linewidth=0))
        axes.text(x + 0.5, y + 0.5, "goal", ha="center", va="center", color=GREEN)
    else:
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor=BLUE, alpha=0.5 * value, linewidth=0))
        axes.text(x + 0.5, y + 0.3, f"{value:.2f}", ha="center", va="center", color=INK)
        dx, dy = ((-0.2, 0), (0, 0.2), (0.2, 0), (0, -0.2))[action]
        ends = ((x + 0.5 + dx, y + 0.72 + 0.7 * dy), (x + 0.5 - dx, y + 0.72 - 0.7 * dy))
        axes.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": BLUE, "linewidth": 1.6})
    axes.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor=QUIET, linewidth=0.9))


# -------------------------------------------------------------------------------------------------------------- traces

TRACES = (
    "The trace of one state over 20 steps, with gamma lambda 0.8. The state is visited at steps 2, 4, 5 and 13. The "
    "accumulating trace jumps up by one at each visit, to 1, 1.64, 2.31 and 1.39, and fades between them. The "
    "replacing trace jumps to 1 each time."
)


def traces() -> Figure:
    """Accumulating and replacing traces of a state that is visited four times."""
    visits, fade, steps = {2, 4, 5, 13}, 0.8, 20
    accumulating, replacing = np.zeros(steps), np.zeros(steps)
    for t in range(steps):
        before = (accumulating[t - 1], replacing[t - 1]) if t else (0.0, 0.0)
        accumulating[t] = fade * before[0] + (t in visits)
        replacing[t] = 1.0 if t in visits else fade * before[1]
    figure, axes = plt.subplots(figsize=(WIDTH, 2.9))
    axes.plot(accumulating, color=BLUE, marker="o", markersize=5)
    axes.plot(replacing, color=AMBER, linestyle="--", marker="s", markersize=4)
    axes.annotate("accumulating: ours", (5, accumulating[5]), (14, -3), color=BLUE, textcoords="offset points")
    axes.annotate("replacing", (8, replacing[8]), (-4, -20), color=AMBER, ha="right", textcoords="offset points")
    axes.set(xlabel="step", title="Trace of a state visited at steps 2, 4, 5 and 13", ylim=(-0.08, 2.6))
    axes.set_xticks([0, 2, 4, 5, 10, 13, 15, 19])
    axes.grid(axis="y")
    return figure


# --------------------------------------------------------------------------------------------------------------- cliff

CLIFF = (
    "Above, the cliff: four rows of twelve fields, start at the lower left, goal at the lower right, the cliff between "
    "them. Q-learning's greedy policy walks along its very edge in 13 steps; Sarsa's goes up and along the upper rows. "
    "Below, the return of each episode while training, averaged over 100 agents and smoothed: both begin far below "
    "minus 100; Sarsa settles higher than Q-learning, which keeps falling off while it explores."
)


def walk_the_cliff(seed: int, episodes: int, on_policy: bool) -> tuple[np.ndarray, np.ndarray]:
    """The returns of the episodes and the table, for alpha 0.5, epsilon 0.1 and gamma 0.99."""
    world = gymnasium.make("CliffWalking-v1").unwrapped.P
    draw, table, returns = np.random.default_rng(seed), np.zeros((48, 4)), np.zeros(episodes)

    def act(s: int) -> int:
        return (
            int(draw.integers(4))
            if draw.random() < 0.1
            else int(draw.choice(np.flatnonzero(table[s] == table[s].max())))
        )

    for episode in range(episodes):
        s, done = 36, False
        a = act(s)
        while not done:
            _, s_next, r, done = world[s][a][0]
            a_next = act(s_next)
            following = table[s_next, a_next] if on_policy else table[s_next].max()
            table[s, a] += 0.5 * (r + (0 if done else 0.99 * following) - table[s, a])
            if not on_policy:
                a_next = act(s_next)
            returns[episode] += r
            s, a = s_next, a_next
    return returns, table


def greedy_way(table: np.ndarray) -> list[int]:
    """The fields of the greedy policy from start to goal, or until it is clear that it never arrives."""
    world, s, way = gymnasium.make("CliffWalking-v1").unwrapped.P, 36, [36]
    while s != 47 and len(way) < 60:
        s = int(world[s][int(table[s].argmax())][0][1])
        way.append(s)
    return way


def cliff() -> Figure:
    """The two greedy ways, and the returns while training."""
    episodes, agents = 300, 100
    figure, (grid, curve) = plt.subplots(2, 1, figsize=(WIDTH, 5.6), height_ratios=(1, 1.35))
    kinds = ((False, "Q-learning", BLUE, "-", 0.06), (True, "Sarsa", AMBER, "--", -0.06))
    for on_policy, label, colour, style, aside in kinds:
        runs = [walk_the_cliff(seed, episodes, on_policy) for seed in range(agents)]
        ways = [greedy_way(table) for _, table in runs]
        way = min((w for w in ways if w[-1] == 47), key=lambda w: abs(len(w) - np.median([len(v) for v in ways])))
        grid.plot([s % 12 + 0.5 for s in way], [s // 12 + 0.5 + aside for s in way], color=colour, linestyle=style)
        mean = np.mean([returns for returns, _ in runs], 0)
        smooth = np.convolve(mean, np.ones(10) / 10, "valid")
        curve.plot(np.arange(len(smooth)) + 10, smooth, color=colour, linestyle=style)
        above = 9 if on_policy else -19
        curve.annotate(label, (250, smooth[240]), (0, above), color=colour, ha="center", textcoords="offset points")
    draw_cliff(grid)
    curve.set(xlabel="episode", ylim=(-120, 0), title="Return of the exploring agent, mean of 100 agents")
    curve.grid(axis="y")
    return figure


def draw_cliff(axes: Axes) -> None:
    """The fields, the cliff, start and goal."""
    axes.add_patch(Rectangle((1, 3), 10, 1, facecolor=QUIET, alpha=0.25, linewidth=0))
    axes.text(6, 3.5, "the cliff: minus 100, and back to the start", ha="center", va="center", color=QUIET)
    axes.text(0.5, 3.78, "start", ha="center", va="center", color=INK, fontsize=9)
    axes.text(11.5, 3.78, "goal", ha="center", va="center", color=GREEN, fontsize=9)
    axes.hlines(range(5), 0, 12, color=QUIET, linewidth=0.6)
    axes.vlines(range(13), 0, 4, color=QUIET, linewidth=0.6)
    axes.set(xlim=(-0.05, 12.05), ylim=(4.05, -0.05), aspect="equal", title="The greedy ways after training")
    axes.set_axis_off()


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
