"""Draws the figures of the reading on DPO: python docs/learn/figures/a12_dpo.py

The losses are computed here. How trainings go was measured by the same program with the course's own reference and
its bank of mistakes, and is kept in data/dpo.json:

    python docs/learn/figures/a12_dpo.py --measure        (some two CPU-minutes)

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

mpl.rcParams["svg.hashsalt"] = "a12_dpo"
DATA = FOLDER / "data" / "dpo.json"
SOLUTIONS = FOLDER.parents[2] / "solutions"
BETA = 0.3
RUNS = {
    "right": {},
    "means for sums": {"average": True},
    "no reference": {"referee": "none"},
    "first token lost": {"shift": 1},
}
"""What is measured: the reference's training with one thing otherwise, as in the bank of mistakes."""


def main() -> None:
    """Draws all figures into this folder."""
    if "--measure" in sys.argv[1:]:
        DATA.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    found = json.loads(DATA.read_text(encoding="utf-8"))
    save(losses(), "a12_losses", "Three losses of a pair against its gap", LOSSES)
    save(
        falling(found),
        "a12_falling",
        "Log-ratios of chosen and rejected answers in a training",
        falling_in_words(found),
    )
    save(variants(found), "a12_variants", "Win rate and endings of four trainings", variants_in_words(found))


# --------------------------------------------------------------------------------------------------------------- losses

LOSSES = (
    "Against a gap from -10 to 20 nats, at beta 0.3. DPO's loss falls from 3.05 through 0.69 at a gap of 0 and goes on "
    "falling towards 0. With smoothing of 0.1 it has its minimum of 0.33 at a gap of 7.3 and rises again slowly. "
    "IPO's, divided by 30, is a parabola with its minimum of 0 at a gap of 1.7."
)


def losses() -> Figure:
    """DPO, smoothed DPO, IPO."""
    h = np.linspace(-10, 20, 301)
    dpo = np.log1p(np.exp(-BETA * h))
    smoothed = 0.9 * dpo + 0.1 * np.log1p(np.exp(BETA * h))
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
    axis.plot(h, dpo, color=BLUE)
    axis.plot(h, smoothed, color=BLUE, linestyle="--")
    axis.plot(h, (h - 1 / (2 * BETA)) ** 2 / 30, color=AMBER)
    axis.annotate("DPO: falls for ever", (19.8, 0.08), color=BLUE, ha="right")
    axis.annotate("with smoothing:\nrests at 7.3", (16, 0.86), color=BLUE, ha="right")
    axis.annotate("IPO / 30: rests at 1.7", (10.1, 2.2), color=AMBER)
    axis.set(xlabel="gap h, in nats (β = 0.3)", ylabel="loss of one pair", ylim=(0, 3.2), xlim=(-10, 20))
    axis.grid(axis="y")
    return figure


# ------------------------------------------------------------------------------------------------------------- measured


def course_code() -> ModuleType:
    """The bank of mistakes of a12, which trains as its reference does, with one thing otherwise."""
    sys.path[:0] = [str(SOLUTIONS.parent), str(SOLUTIONS), str(SOLUTIONS / "a12_dpo")]
    modules = []
    for name, file in (("reference", "source.py"), ("a12_mistakes", "mistakes.py")):
        spec = importlib.util.spec_from_file_location(name, SOLUTIONS / "a12_dpo" / file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
        modules.append(sys.modules[name])
    return modules[1]


def measured() -> dict[str, Any]:
    """Four trainings on 4,000 judged pairs: the mean log-ratios of the right one, step by step, and all ends."""
    bank = course_code()
    import torch
    from common import reviews
    from common.preferences import generate
    from common.tiny_lm import pretrained

    torch.set_num_threads(1)
    pairs = reviews.judged_pairs(4000, torch.Generator().manual_seed(5000))
    names = ("prompts", "prompts_mask", "chosen", "chosen_mask", "rejected", "rejected_mask")
    found: dict[str, Any] = {"chosen": [], "rejected": [], "ends": {}}
    right_loss = bank.dpo_loss

    def recorded(pc: Any, pr: Any, rc: Any, rr: Any, beta: float) -> Any:
        found["chosen"].append(round((pc - rc).mean().item(), 3))
        found["rejected"].append(round((pr - rr).mean().item(), 3))
        return right_loss(pc, pr, rc, rr, beta)

    base = pretrained("reviews_base")
    for name, otherwise in RUNS.items():
        bank.dpo_loss = recorded if name == "right" else right_loss
        policy = bank._trained(pretrained("reviews_base"), *(pairs[key] for key in names), 150, BETA, 0, **otherwise)
        generator = torch.Generator().manual_seed(1)
        prompts, mask, _ = reviews.sample_prompts(512, generator)
        ours = generate(policy, prompts, mask, 12, reviews.EOS, reviews.PAD, 1.0, generator)
        theirs = generate(base, prompts, mask, 12, reviews.EOS, reviews.PAD, 1.0, generator)
        lead = reviews.gold_scores(*ours) - reviews.gold_scores(*theirs)
        found["ends"][name] = {
            "wins": round(((lead > 0).float() + 0.5 * (lead == 0)).mean().item(), 3),
            "ended": round((ours[0] == reviews.EOS).any(1).float().mean().item(), 3),
        }
    return found


# -------------------------------------------------------------------------------------------------------------- falling


def smooth(values: list[float], width: int = 9) -> np.ndarray:
    """Means of `width` neighbours."""
    return np.convolve(values, np.ones(width) / width, mode="valid")


def falling_in_words(found: dict[str, Any]) -> str:
    """The alternative text: where both curves begin and end."""
    ends = {name: smooth(found[name])[-1] for name in ("chosen", "rejected")}
    return (
        "Mean log-ratio of the batch's answers against the reference over 150 steps of training. Both begin at 0 and "
        f"fall: the chosen answers to {ends['chosen']:.1f} nats, the rejected ones to {ends['rejected']:.1f}. The gap "
        "between them grows all the time."
    )


def falling(found: dict[str, Any]) -> Figure:
    """Chosen and rejected over the steps."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.75, 3.2))
    for name, colour in (("chosen", BLUE), ("rejected", AMBER)):
        curve = smooth(found[name])
        axis.plot(np.arange(len(curve)) + 5, curve, color=colour)
        axis.annotate(name, (len(curve) + 7, curve[-1]), color=colour, va="center", annotation_clip=False)
    axis.axhline(0, color=QUIET, linewidth=1, linestyle=":")
    axis.set(xlabel="step", ylabel="log-ratio, nats", xlim=(0, 150))
    axis.grid(axis="y")
    return figure


def variants_in_words(found: dict[str, Any]) -> str:
    """The alternative text: every bar."""
    each = "; ".join(f"{name}: {end['wins']:.2f} and {end['ended']:.2f}" for name, end in found["ends"].items())
    return f"Win rate against the start by the true score, and share of answers that end. {each}."


def variants(found: dict[str, Any]) -> Figure:
    """Two bars for each training."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.6), sharey=True)
    names = list(RUNS)
    for axis, key, title in zip(
        axes, ("wins", "ended"), ("win rate against the start", "answers that end"), strict=True
    ):
        values = [found["ends"][name][key] for name in names]
        places = np.arange(len(names))[::-1]
        axis.barh(places, values, color=[BLUE, AMBER, AMBER, AMBER], height=0.6)
        for place, value in zip(places, values, strict=True):
            axis.annotate(f"{value:.2f}", (value + 0.02, place), va="center")
        axis.set(title=title, xlim=(0, 1.18), xticks=[0, 0.5, 1])
    axes[0].set_yticks(np.arange(len(names))[::-1], names)
    return figure


if __name__ == "__main__":
    main()
