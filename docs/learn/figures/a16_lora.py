"""Draws the figures of the reading on LoRA: python docs/learn/figures/a16_lora.py

All was measured by the same program with the course's own reference, and is kept in data/lora.json:

    python docs/learn/figures/a16_lora.py --measure        (about a minute)

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, QUIET, WIDTH, save
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a16_lora"
DATA = FOLDER / "data" / "lora.json"
SOLUTIONS = FOLDER.parents[2] / "solutions"
RANKS = [1, 2, 4, 8, 16]
BILLIONS, SHARE = 7.0, 0.002


def main() -> None:
    """Draws all figures into this folder."""
    if "--measure" in sys.argv[1:]:
        DATA.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    found = json.loads(DATA.read_text(encoding="utf-8"))
    save(ranks(found), "a16_ranks", "Held-out loss by rank", ranks_in_words(found))
    save(spectrum(found), "a16_spectrum", "Singular values of what fine-tuning changes", spectrum_in_words(found))
    save(memory(), "a16_memory", "Bytes of a training", memory_in_words())


def course() -> tuple[Any, Any]:
    """The course's own solution of a16, and the functions beside it."""
    sys.path[:0] = [str(SOLUTIONS.parent), str(SOLUTIONS)]
    from autograder.testing.modules import Author, earlier_authors

    earlier = earlier_authors(SOLUTIONS.parent, ["a15_quantization.quantization"])
    spec = importlib.util.spec_from_file_location("asks_of_a16", SOLUTIONS / "a16_lora" / "asks.py")
    assert spec
    assert spec.loader
    asks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(asks)
    return Author(SOLUTIONS / "a16_lora", earlier=earlier).reference(), asks


# ------------------------------------------------------------------------------------------------------------- measured


def measured() -> dict[str, Any]:
    """Held-out losses by rank, of the base and of full fine-tuning; and the spectrum of the latter's changes."""
    lora, asks = course()
    import torch
    from common.tiny_lm import pretrained
    from torch.nn.functional import cross_entropy

    torch.set_num_threads(1)
    tokens, mask = asks.dialect(2000, 1)
    fresh_tokens, fresh_mask = asks.dialect(1000, 2)

    def loss_of(model: Any) -> float:
        with torch.no_grad():
            logits = model(fresh_tokens)[:, :-1][fresh_mask]
            return round(float(cross_entropy(logits, fresh_tokens[:, 1:][fresh_mask])), 4)

    def trained(model: Any, rate: float, seed: int = 0, steps: int = 100) -> float:
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rate * min((step + 1) / 10, 1.0, 2 * (steps - step) / steps)
            rows = torch.randint(len(tokens), (64,), generator=generator)
            real = mask[rows]
            loss = cross_entropy(model(tokens[rows])[:, :-1][real], tokens[rows, 1:][real])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss_of(model)

    by_rank = {}
    for r in RANKS:
        losses = []
        for seed in range(3):
            torch.manual_seed(seed)
            model = pretrained("reviews_base")
            lora.inject(model, ["qkv", "out"], r=r, alpha=4.0 * r)
            losses.append(trained(model, 1e-2, seed))
        by_rank[str(r)] = losses
    base, full = pretrained("reviews_base"), pretrained("reviews_base")
    attention = full.requires_grad_(False)
    for block in attention.blocks:
        for layer in (block.qkv, block.out):
            layer.weight.requires_grad_(True)
    full_loss = trained(attention, 3e-3)
    change = attention.blocks[0].qkv.weight.detach() - base.blocks[0].qkv.weight.detach()
    values = torch.linalg.svdvals(change)
    return {
        "base": loss_of(base),
        "by_rank": by_rank,
        "full": full_loss,
        "spectrum": [round(v, 4) for v in (values / values[0]).tolist()],
        "held_by_4": round(float((values[:4] ** 2).sum() / (values**2).sum()), 3),
    }


# ---------------------------------------------------------------------------------------------------------------- ranks


def ranks_in_words(found: dict[str, Any]) -> str:
    """The alternative text: every point."""
    means = ", ".join(f"{np.mean(losses):.3f} with r = {r}" for r, losses in found["by_rank"].items())
    return (
        f"Held-out loss in nats a token after 100 steps, mean of three seeds: {means}. All attention weights trained: "
        f"{found['full']:.3f}. The base alone, outside of the picture, has {found['base']:.2f}."
    )


def ranks(found: dict[str, Any]) -> Figure:
    """Each seed a dot, a line through the means, the whole matrices as a level."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.8, 2.6))
    places = np.arange(len(RANKS))
    losses = np.array([found["by_rank"][str(r)] for r in RANKS])
    axis.plot(places, losses.mean(1), color=BLUE)
    for column in losses.T:
        axis.scatter(places, column, color=BLUE, s=12)
    axis.axhline(found["full"], color=AMBER, linewidth=1.5)
    axis.annotate(
        "whole matrices", (places[0], found["full"]), xytext=(0, -12), textcoords="offset points", color=AMBER
    )
    axis.set_xticks(places, [str(r) for r in RANKS])
    axis.set(xlabel="rank", ylabel="nats a token", ylim=(min(found["full"], losses.min()) - 0.06, losses.max() + 0.04))
    axis.grid(axis="y")
    return figure


# ------------------------------------------------------------------------------------------------------------- spectrum


def spectrum_in_words(found: dict[str, Any]) -> str:
    """The alternative text: the first values and the middle."""
    values = found["spectrum"]
    return (
        f"The {len(values)} singular values of what fine-tuning has changed in one projection, over the largest: the "
        f"second is {values[1]:.2f}, the fourth {values[3]:.2f}, the eighth {values[7]:.2f}, the thirty-second "
        f"{values[31]:.2f}. Four hold {found['held_by_4']:.0%} of the change's squared size."
    )


def spectrum(found: dict[str, Any]) -> Figure:
    """Bars, of which the first four are coloured."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.8, 2.4))
    values = found["spectrum"]
    axis.bar(np.arange(1, len(values) + 1), values, color=[BLUE] * 4 + [QUIET] * (len(values) - 4))
    axis.annotate(f"four of {len(values)}: {found['held_by_4']:.0%} of the squares", (5.2, 0.8), color=BLUE)
    axis.set(xlabel="singular value", ylabel="over the largest", ylim=(0, 1.05), xlim=(0, len(values) + 1))
    return figure


# --------------------------------------------------------------------------------------------------------------- memory


@functools.cache
def bill() -> dict[str, tuple[float, float]]:
    """Gigabytes of weights, and of what is trained with its gradient and moments, for seven billion weights."""
    trained = BILLIONS * SHARE * 16
    return {
        "all, float32": (BILLIONS * 4, BILLIONS * 12),
        "LoRA, 16 bits": (BILLIONS * 2, trained),
        "QLoRA, NF4": (BILLIONS * 4.127 / 8, trained),
    }


def memory_in_words() -> str:
    """The alternative text: every bar."""
    parts = "; ".join(f"{name}: weights {w:.1f}, trained {t:.1f}" for name, (w, t) in bill().items())
    return f"Gigabytes for {BILLIONS:.0f} billion weights, of which {SHARE:.1%} are trained in an adapter. {parts}."


def memory() -> Figure:
    """A bar for each way, in two parts."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.8, 1.9))
    places = np.arange(len(bill()))[::-1]
    for place, (weights, trained) in zip(places, bill().values(), strict=True):
        axis.barh(place, weights, color=BLUE, height=0.55)
        axis.barh(place, trained, left=weights, color=AMBER, height=0.55)
        axis.annotate(f"{weights + trained:.1f}", (weights + trained + 1, place), va="center")
    axis.set_yticks(places, list(bill()))
    axis.set(xlabel="gigabytes", xlim=(0, 125))
    axis.annotate("frozen or current weights", (45, places[1]), color=BLUE, va="center")
    axis.annotate("gradient, moments, factors", (45, places[2]), color=AMBER, va="center")
    return figure


if __name__ == "__main__":
    main()
