"""Draws the figures of the reading on Constitutional AI: python docs/learn/figures/a11_constitutional_ai.py

The judge with a habit is computed here. What reward models make of soft, hard and clamped labels was measured by the
same program with the course's own reference, and is kept in data/constitutional_ai.json:

    python docs/learn/figures/a11_constitutional_ai.py --measure        (some CPU-minute)

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

mpl.rcParams["svg.hashsalt"] = "a11_constitutional_ai"
DATA = FOLDER / "data" / "constitutional_ai.json"
SOLUTIONS = FOLDER.parents[2] / "solutions"
HABIT = 2.0
"""How much the judge likes whatever stands first, in log-odds."""
EDGES = np.linspace(0, 1, 11)


def main() -> None:
    """Draws all figures into this folder."""
    if "--measure" in sys.argv[1:]:
        DATA.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    found = json.loads(DATA.read_text(encoding="utf-8"))
    save(orders(), "a11_orders", "A judge with a habit, asked once and in both orders", ORDERS)
    save(labels(found), "a11_labels", "Chances of three reward models against the judge's", labels_in_words(found))


# --------------------------------------------------------------------------------------------------------------- orders

ORDERS = (
    "The chance that a is better, against the judge's own opinion of a from -6 to 6 in log-odds. A judge without "
    "habits rises through 0.50 at 0. The same judge with a love of the first place, asked once with a first, gives "
    "0.88 at 0. Asked in both orders and averaged, the curve goes through 0.50 at 0 again, and is flatter than the one "
    "without habits."
)


def orders() -> Figure:
    """The chance of a: by a judge without habits, asked once, and asked in both orders."""
    opinion = np.linspace(-6, 6, 241)

    def first(lead: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(lead + HABIT)))

    figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
    axis.axhspan(0.4, 0.6, color=QUIET, alpha=0.15, linewidth=0)
    axis.annotate("what the clamp leaves", (-5.9, 0.5), color=QUIET, va="center")
    axis.plot(opinion, 1 / (1 + np.exp(-opinion)), color=QUIET, linestyle=":")
    axis.plot(opinion, first(opinion), color=AMBER)
    axis.plot(opinion, (first(opinion) + 1 - first(-opinion)) / 2, color=BLUE)
    axis.annotate("asked once,\na in the first place", (-1.4, 0.84), color=AMBER, ha="right", va="center")
    axis.annotate("both orders", (2.9, 0.78), color=BLUE)
    axis.annotate("without the habit", (-0.55, 0.26), color=QUIET)
    axis.set(xlabel="the judge's opinion of a, in log-odds", ylabel="chance that a is better", ylim=(0, 1.08))
    axis.set(xlim=(-6, 6), yticks=[0, 0.5, 1])
    return figure


# ------------------------------------------------------------------------------------------------------------- measured


def reference() -> ModuleType:
    """The course's own solution of a11."""
    sys.path[:0] = [str(SOLUTIONS.parent), str(SOLUTIONS), str(SOLUTIONS / "a11_constitutional_ai")]
    spec = importlib.util.spec_from_file_location("a11_source", SOLUTIONS / "a11_constitutional_ai" / "source.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured() -> dict[str, Any]:
    """Three trainings on the same 1,500 pairs: what they make of the judge's chances, and what they choose."""
    course = reference()
    import torch
    from common import reviews
    from common.preferences import generate
    from common.tiny_lm import pretrained

    torch.set_num_threads(1)
    base = pretrained("reviews_base")

    def pairs(n: int, seed: int) -> list[Any]:
        """n pairs of the model's answers, and the chance by a judge who dislikes rude words, with doubts."""
        generator = torch.Generator().manual_seed(seed)
        prompts, mask, _ = reviews.sample_prompts(n, generator)
        texts, good = [], []
        for _ in range(2):
            answers, real = generate(base, prompts, mask, 12, reviews.EOS, reviews.PAD, 1.0, generator)
            texts += list(reviews.together(prompts, mask, answers, real))
            said = [reviews.decode(row[keep]) for row, keep in zip(answers, real, strict=True)]
            good.append(torch.tensor([1.5 * reviews.help_(t) - 2 * reviews.harm(t) for t in said]))
        taste = 0.5 * torch.randn(n, generator=generator)
        return [*texts, torch.sigmoid(good[0] - good[1] + taste).float()]

    trained_on, held_out = pairs(1500, 7000), pairs(2000, 8000)
    found: dict[str, Any] = {}
    p = trained_on[-1]
    for name, chances in (("soft", p), ("hard", (p > 0.5).float()), ("clamped", p.clamp(0.4, 0.6))):
        model = course.train_ai_reward_model(pretrained("reviews_base"), *trained_on[:-1], chances, 120, 0)
        a, a_mask, b, b_mask, truth = held_out
        with torch.no_grad():
            back = torch.sigmoid(model(a, a_mask) - model(b, b_mask))
        place = np.digitize(truth.numpy(), EDGES[1:-1])
        apart = (truth - 0.5).abs() > 0.05
        found[name] = {
            "judge": [round(float(truth.numpy()[place == i].mean()), 3) for i in range(10)],
            "model": [round(float(back.numpy()[place == i].mean()), 3) for i in range(10)],
            "order": round(((back > 0.5) == (truth > 0.5))[apart].float().mean().item(), 3),
        }
    return found


# --------------------------------------------------------------------------------------------------------------- labels


def labels_in_words(found: dict[str, Any]) -> str:
    """The alternative text: the ends of each curve, and the shares in the judge's order."""
    each = "; ".join(
        f"trained on {name} labels from {row['model'][0]:.2f} to {row['model'][-1]:.2f}, {row['order']:.0%} of pairs "
        "in the judge's order"
        for name, row in found.items()
    )
    low, high = found["soft"]["judge"][0], found["soft"]["judge"][-1]
    return f"The model's mean chance where the judge's goes from {low:.2f} to {high:.2f}: {each}."


def labels(found: dict[str, Any]) -> Figure:
    """The model's chances against the judge's, on pairs that no training saw."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.75, 3.6))
    axis.plot([0, 1], [0, 1], color=QUIET, linestyle=":")
    for name, colour, style in (("soft", BLUE, "-"), ("hard", AMBER, "-"), ("clamped", AMBER, "--")):
        row = found[name]
        axis.plot(row["judge"], row["model"], color=colour, linestyle=style, marker="o", markersize=3.5)
        label = f"{name} ({row['order']:.0%} in order)"
        axis.annotate(label, (1.0, row["model"][-1]), color=colour, va="center", annotation_clip=False)
    axis.set(xlabel="the judge's chance that a is better", ylabel="the reward model's", xlim=(0, 0.98), ylim=(0, 1.02))
    axis.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    return figure


if __name__ == "__main__":
    main()
