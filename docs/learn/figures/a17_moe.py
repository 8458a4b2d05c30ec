"""Draws the figures of the reading on mixtures of experts: python docs/learn/figures/a17_moe.py

Who goes where is computed here. How even the load becomes was measured by the same program with the course's own
reference and the task's own clusters, and is kept in data/moe.json:

    python docs/learn/figures/a17_moe.py --measure        (some twenty CPU-seconds)

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, QUIET, WIDTH, save
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a17_moe"
DATA = FOLDER / "data" / "moe.json"
SOLUTIONS = FOLDER.parents[2] / "solutions"
TOKENS, EXPERTS, SEATS = 16, 4, 4
STEPS, EVERY = 400, 20


def main() -> None:
    """Draws all figures into this folder."""
    if "--measure" in sys.argv[1:]:
        DATA.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    found = json.loads(DATA.read_text(encoding="utf-8"))
    save(
        seats(found["routed"]),
        "a17_seats",
        "Sixteen tokens, four experts, four seats each",
        seats_in_words(found["routed"]),
    )
    save(load(found), "a17_load", "Load of the fullest expert in three trainings", load_in_words(found))


# ------------------------------------------------------------------------------------------------------------- measured


def course(name: str) -> ModuleType:
    """A file of the course's own a17."""
    folder = SOLUTIONS / "a17_moe"
    sys.path[:0] = [str(SOLUTIONS.parent), str(SOLUTIONS), str(folder)]
    spec = importlib.util.spec_from_file_location(f"a17_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured() -> dict[str, Any]:
    """A routing table, and three trainings: the fullest expert's load over the mean, and the error at the end."""
    import torch

    moe, world = course("source"), course("asks").Clusters(0)
    torch.set_num_threads(1)
    logits = torch.randn(TOKENS, EXPERTS, generator=torch.Generator().manual_seed(4)) + torch.tensor([0.9, 0, 0, -0.3])
    expert, gate, kept = moe.switch_route(logits, SEATS)
    found: dict[str, Any] = {
        "routed": {"expert": expert.tolist(), "gate": [round(g, 3) for g in gate.tolist()], "kept": kept.tolist()}
    }
    held_out = world.points(4096, 10**7)
    for name, share, rate in (("no balance", 0.0, 0.0), ("balance loss", 0.3, 0.0), ("bias", 0.0, 0.01)):
        found[name] = trained(moe, world, held_out, share, rate)
    return found


def trained(moe: ModuleType, world: Any, held_out: Any, share: float, rate: float) -> dict[str, Any]:
    """One training; with a rate the choice follows probability plus bias, and the bias follows the load."""
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    layer, bias = moe.MoELayer(16, 32, 8), torch.zeros(8)
    plain = moe.switch_route

    def biased(logits: Any, capacity: int, mask: Any = None) -> Any:
        probs = logits.softmax(1)
        expert = (probs.detach() + bias).argmax(1)
        table = functional.one_hot(expert, 8)
        seat = (table.cumsum(0) * table).sum(1)
        return expert, probs.gather(1, expert[:, None])[:, 0], seat <= capacity

    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-2)
    curve = []

    def look() -> tuple[float, float]:
        with torch.no_grad():
            out, info = layer(held_out[0])
        full = (info["load"].max() / info["load"].float().mean()).item()
        return full, ((out - held_out[1]).square().mean() / held_out[1].var()).item()

    moe.switch_route = biased if rate else plain
    try:
        for step in range(STEPS):
            if step % EVERY == 0:
                curve.append(round(look()[0], 3))
            optimizer.param_groups[0]["lr"] = 1e-2 * min((step + 1) / 10, 1.0, 3 * (STEPS - step) / STEPS)
            x, y = world.points(256, step)
            out, info = layer(x)
            loss = functional.mse_loss(out, y) + share * info["balance"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if rate:
                bias = moe.update_bias(bias, info["load"], rate)
        fullest, error = look()
    finally:
        moe.switch_route = plain
    return {"fullest": [*curve, round(fullest, 3)], "error": round(error, 3)}


# ---------------------------------------------------------------------------------------------------------------- seats


def seats_in_words(routed: dict[str, Any]) -> str:
    """The alternative text: the crowd at each expert, and who is dropped."""
    crowds = [routed["expert"].count(i) for i in range(EXPERTS)]
    dropped = [str(t) for t, kept in enumerate(routed["kept"]) if not kept]
    return (
        f"A table of {TOKENS} tokens in their order and {EXPERTS} experts. The experts are chosen by "
        f"{', '.join(map(str, crowds))} tokens; each has {SEATS} seats. Not kept are the tokens {', '.join(dropped)}: "
        "those that come to a full expert, however large their gate."
    )


def seats(routed: dict[str, Any]) -> Figure:
    """A square for each token at its expert, filled where it has a seat; the gate stands inside."""
    figure, axis = plt.subplots(figsize=(WIDTH, 2.5))
    for t, (expert, gate, kept) in enumerate(zip(routed["expert"], routed["gate"], routed["kept"], strict=True)):
        colour = BLUE if kept else AMBER
        box = plt.Rectangle(
            (t - 0.44, expert - 0.4), 0.88, 0.8, facecolor=colour if kept else "none", edgecolor=colour, linewidth=1.2,
            alpha=0.85,
        )  # fmt: skip
        axis.add_patch(box)
        axis.annotate(
            f"{gate:.2f}"[1:], (t, expert), ha="center", va="center", fontsize=9, color="white" if kept else AMBER
        )
    axis.set(xlim=(-0.6, TOKENS - 0.4), ylim=(EXPERTS - 0.5, -0.6), xlabel="token, in the order of the batch")
    axis.set_yticks(range(EXPERTS), [f"expert {i}" for i in range(EXPERTS)])
    axis.set_xticks(range(0, TOKENS, 5))
    axis.tick_params(length=0)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)
    return figure


# ----------------------------------------------------------------------------------------------------------------- load


def load_in_words(found: dict[str, Any]) -> str:
    """The alternative text: where each curve ends."""
    each = "; ".join(
        f"{name} {found[name]['fullest'][-1]:.1f} times the mean, error {found[name]['error']:.2f} of the variance"
        for name in ("no balance", "balance loss", "bias")
    )
    start = found["no balance"]["fullest"][0]
    return (
        "Load of the fullest of eight experts over 400 steps, as a multiple of the mean; at first "
        f"{start:.1f}. At the end: {each}."
    )


def load(found: dict[str, Any]) -> Figure:
    """Three curves, with the error each ends with."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.75, 3.2))
    steps = np.arange(0, STEPS + 1, EVERY)
    for name, colour, style in (("no balance", AMBER, "-"), ("balance loss", BLUE, "-"), ("bias", BLUE, "--")):
        row = found[name]
        axis.plot(steps, row["fullest"], color=colour, linestyle=style)
        label = f"{name}\n(error {row['error']:.2f})"
        shift = {"balance loss": -0.08, "bias": 0.42}.get(name, 0)
        axis.annotate(label, (STEPS + 8, row["fullest"][-1] + shift), color=colour, va="center", annotation_clip=False)
    axis.axhline(1, color=QUIET, linewidth=1, linestyle=":")
    axis.set(xlabel="step", ylabel="fullest expert / mean", xlim=(0, STEPS), ylim=(0.8, None))
    return figure


if __name__ == "__main__":
    main()
