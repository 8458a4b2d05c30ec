"""Draws the figures of the reading on reward models: python docs/learn/figures/a09_reward_model.py

The curves of the loss are computed here. What the reward model of the course says was measured by the same program, and
is kept in data/reward_model.json:

    python docs/learn/figures/a09_reward_model.py --measure

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, QUIET, WIDTH, save
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a09_reward_model"
DATA = FOLDER / "data" / "reward_model.json"


def main() -> None:
    """Draws all figures into this folder."""
    if "--measure" in sys.argv[1:]:
        DATA.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    found = json.loads(DATA.read_text(encoding="utf-8"))
    save(choice(), "a09_choice", "Loss and pull of a pair against the lead of the chosen answer", CHOICE)
    save(calibration(found), "a09_calibration", "Chances of the reward model against true ones", in_words(found))
    save(goodhart(found), "a09_goodhart", "Edits that please the reward model, and the true score", climbed(found))


# --------------------------------------------------------------------------------------------------------------- choice

CHOICE = (
    "Against the lead of the chosen answer from -5 to 5. Left, the loss: minus log sigmoid falls from 5 through 0.69 "
    "at a lead of 0 towards 0; the plain difference is a straight line from 5 to -5 and has no floor. Right, the pull, "
    "which is minus the gradient: for minus log sigmoid it falls from nearly 1 through 0.5 towards 0, for the plain "
    "difference it is 1 everywhere."
)


def choice() -> Figure:
    """-log sigmoid and its gradient, beside the plain difference."""
    lead = np.linspace(-5, 5, 201)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.4))
    axes[0].plot(lead, np.log1p(np.exp(-lead)), color=BLUE)
    axes[0].plot(lead, -lead, color=AMBER, linestyle="--")
    axes[0].annotate("−log σ(lead)", (0.4, 1.0), color=BLUE)
    axes[0].annotate("−lead: no floor", (1.6, -3.4), color=AMBER, ha="right")
    axes[0].set(title="loss", xlabel="lead of the chosen answer")
    axes[1].plot(lead, 1 / (1 + np.exp(lead)), color=BLUE)
    axes[1].plot(lead, np.ones_like(lead), color=AMBER, linestyle="--")
    axes[1].annotate("fades once\na pair is won", (1.5, 0.4), color=BLUE)
    axes[1].annotate("pulls for ever", (4.9, 1.03), color=AMBER, ha="right")
    axes[1].set(title="pull: minus the gradient", xlabel="lead of the chosen answer", ylim=(0, 1.15))
    for each in axes:
        each.grid(axis="y")
    return figure


# ---------------------------------------------------------------------------------------------------------- calibration


def in_words(found: dict[str, Any]) -> str:
    """The alternative text: every point that is drawn."""
    points = ", ".join(f"{p:.2f} against {q:.2f}" for p, q in zip(found["said"], found["true"], strict=True))
    return (
        "The pairs of a test set in ten bins by the chance that the reward model gives; mean chance against mean true "
        f"chance: {points}. A dotted diagonal marks agreement. All lie close to it."
    )


def calibration(found: dict[str, Any]) -> Figure:
    """Ten bins of chances, held against the truth."""
    figure, axes = plt.subplots(figsize=(WIDTH * 0.62, 3.6))
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":")
    axes.plot(found["said"], found["true"], color=BLUE, marker="o", markersize=5)
    axes.set(xlabel="chance that the reward model gives", ylabel="true chance", xlim=(0, 1), ylim=(0, 1))
    axes.grid()
    return figure


# ------------------------------------------------------------------------------------------------------------- goodhart


def climbed(found: dict[str, Any]) -> str:
    """The alternative text, with the numbers that are drawn."""
    learned, gold = found["learned"], found["gold"]
    best = int(np.argmax(gold))
    return (
        f"64 reviews, edited word by word; an edit stays if the learned score rises. Over {found['edits'][-1]} tries "
        f"the mean learned score climbs from {learned[0]:.1f} to {learned[-1]:.1f}. The true score climbs too, from "
        f"{gold[0]:.1f} to {gold[best]:.1f} after {found['edits'][best]} tries, and is {gold[-1]:.1f} at the end."
    )


def goodhart(found: dict[str, Any]) -> Figure:
    """Learned and true score while texts are edited to please the reward model."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    axes.axhline(0, color=QUIET, linewidth=0.9)
    axes.plot(found["edits"], found["learned"], color=AMBER)
    axes.plot(found["edits"], found["gold"], color=BLUE)
    end, below = found["edits"][-1], {"ha": "right", "textcoords": "offset points"}
    axes.annotate("what the model says", (end, found["learned"][-1]), (-4, -14), color=AMBER, **below)
    axes.annotate("what it is worth", (end / 2, 0.5), (90, 4), color=BLUE, **below)
    axes.set(xlabel="edits tried on each of 64 reviews", title="mean score", xlim=(0, found["edits"][-1]))
    axes.grid(axis="y")
    return figure


# ------------------------------------------------------------------------------------------------------------ measuring


def measured() -> dict[str, Any]:
    """Chances in ten bins, and 64 reviews that are edited to please the reward model of the course."""
    sys.path.insert(0, str(FOLDER.parents[2] / "solutions"))
    import torch
    from common import reviews
    from common.preferences import reward_model

    torch.set_num_threads(1)
    draw, model = torch.Generator().manual_seed(0), reward_model("reviews_rm")
    pairs = reviews.unjudged_pairs(4000, draw)
    with torch.no_grad():
        gap = model(*reviews.whole(pairs, "a")) - model(*reviews.whole(pairs, "b"))
    said, true = torch.sigmoid(gap), torch.sigmoid(pairs["gap"])
    bins = (said * 10).long().clamp(0, 9)

    prompts, prompt_mask, _ = reviews.sample_prompts(64, draw)
    texts, mask = reviews.sample_responses(64, draw)
    edits, learned, gold = [0], [], []
    score = scored(model, prompts, prompt_mask, texts, mask)
    for tried in range(1, 1201):
        tried_texts, tried_mask = edited(texts, mask, draw)
        new = scored(model, prompts, prompt_mask, tried_texts, tried_mask)
        if tried == 1:
            learned, gold = [score.mean().item()], [reviews.gold_scores(texts, mask).mean().item()]
        better = new > score
        texts, mask = torch.where(better[:, None], tried_texts, texts), torch.where(better[:, None], tried_mask, mask)
        score = torch.where(better, new, score)
        if tried % 20 == 0:
            edits.append(tried)
            learned.append(score.mean().item())
            gold.append(reviews.gold_scores(texts, mask).mean().item())
    return {
        "said": [round(said[bins == i].mean().item(), 3) for i in range(10)],
        "true": [round(true[bins == i].mean().item(), 3) for i in range(10)],
        "edits": edits,
        "learned": [round(value, 3) for value in learned],
        "gold": [round(value, 3) for value in gold],
        "texts": [reviews.decode(row) for row in texts[:6]],
    }


def edited(texts: Any, mask: Any, draw: Any) -> tuple[Any, Any]:
    """Each review with one word replaced, one added before the end, or one taken out."""
    import torch

    out, real = texts.clone(), mask.clone()
    for row in range(len(texts)):
        words = texts[row][mask[row]].tolist()
        kind, place, word = (int(torch.randint(n, (1,), generator=draw)) for n in (3, len(words), 22))
        if kind == 0:
            words[place] = word + 3
        elif kind == 1 and len(words) < texts.shape[1]:
            words.insert(place, word + 3)
        elif kind == 2 and len(words) > 2:
            del words[place]
        out[row], real[row] = 0, False
        out[row, : len(words)], real[row, : len(words)] = torch.tensor(words), True
    return out, real


def scored(model: Any, prompts: Any, prompt_mask: Any, texts: Any, mask: Any) -> Any:
    """What the reward model says of each prompt with its review."""
    import torch
    from common import reviews

    with torch.no_grad():
        return model(*reviews.together(prompts, prompt_mask, texts, mask))


if __name__ == "__main__":
    main()
