"""Draws the figures of the reading on RLHF with PPO: python docs/learn/figures/a10_rlhf_ppo.py

The row of tokens and the estimators are computed here. What three trainings did was measured by the same program,
and is kept in data/rlhf_ppo.json:

    python docs/learn/figures/a10_rlhf_ppo.py --measure

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import json
import re
import sys
from types import ModuleType
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, GREEN, INK, QUIET, WIDTH, save
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

mpl.rcParams["svg.hashsalt"] = "a10_rlhf_ppo"
DATA = FOLDER / "data" / "rlhf_ppo.json"
ROUNDS = 40


def main() -> None:
    """Draws all figures into this folder."""
    if "--measure" in sys.argv[1:]:
        DATA.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    found = json.loads(DATA.read_text(encoding="utf-8"))
    save(columns(), "a10_columns", "A row of tokens, and the columns that its answer has", COLUMNS)
    save(estimators(), "a10_estimators", "Mean and spread of three estimators against the KL", ESTIMATORS)
    save(goodhart(found), "a10_goodhart", "Learned and true score, with a leash and without", in_words(found))
    save(hole(found), "a10_hole", "A leash with a hole: what it says and how far it is", hole_in_words(found))


# -------------------------------------------------------------------------------------------------------------- columns

TEXT = ("pad", "bos", "the", "room", "was", "very", "warm", ".", "eos", "pad")
START, END = 5, 8
COLUMNS = (
    "Ten tokens in a row: padding, bos, the, room, was, then the answer very, warm, a full stop and eos, then padding. "
    "Below them nine columns of log-probabilities; column t stands under the gap between token t and token t + 1 and "
    "speaks of token t + 1. True are columns 4 to 7: the first stands at the word was and speaks of very, the last "
    "stands at the full stop and speaks of eos. The score lies on column 7; each of the four has its price."
)


def columns() -> Figure:
    """Tokens above, columns below, each half a step to the right."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.5))
    for place, word in enumerate(TEXT):
        answer = START <= place <= END
        colour = AMBER if answer else QUIET
        axes.add_patch(Rectangle((place + 0.05, 1.6), 0.9, 0.7, fill=answer, facecolor=colour, alpha=0.25, linewidth=0))
        axes.add_patch(Rectangle((place + 0.05, 1.6), 0.9, 0.7, fill=False, edgecolor=colour))
        axes.annotate(word, (place + 0.5, 1.95), ha="center", va="center", color=INK)
        axes.annotate(str(place), (place + 0.5, 2.5), ha="center", va="center", color=QUIET)
    for column in range(len(TEXT) - 1):
        chosen = START <= column + 1 <= END
        colour = BLUE if chosen else QUIET
        x = column + 0.55
        axes.add_patch(Rectangle((x, 0.5), 0.9, 0.6, fill=chosen, facecolor=colour, alpha=0.25, linewidth=0))
        axes.add_patch(Rectangle((x, 0.5), 0.9, 0.6, fill=False, edgecolor=colour))
        axes.annotate("True" if chosen else "–", (x + 0.45, 0.8), ha="center", va="center", color=colour)
        axes.annotate(str(column), (x + 0.45, 0.3), ha="center", va="center", color=QUIET)
        if chosen:
            axes.annotate("", (column + 1.5, 1.58), (x + 0.45, 1.12), arrowprops={"arrowstyle": "->", "color": BLUE})
    axes.annotate("score", (END - 0.45 + 0.45, -0.1), ha="center", va="center", color=AMBER)
    axes.set(xlim=(-0.1, 10.1), ylim=(-0.3, 2.75))
    axes.axis("off")
    return figure


# ----------------------------------------------------------------------------------------------------------- estimators

ESTIMATORS = (
    "Two normal distributions of spread 1 whose means lie apart, by a KL from 0 to 2 nats. Left, the mean of each "
    "estimator: k1 and k3 lie on the diagonal, k2 is the KL plus its square half, so it is 4 where the KL is 2. Right, "
    "the spread of one sample: that of k1 rises with the root of twice the KL, from 0 to 2; that of k3 stays below it "
    "up to a KL of about 0.6 and then grows very fast, beyond 7 at a KL of 2."
)


def estimators() -> Figure:
    """Exact moments for two normal distributions of spread 1, d apart: samples from the first, x from N(0, 1)."""
    kl = np.linspace(0, 2, 101)
    d = np.sqrt(2 * kl)
    # u = log ref - log pi = d x - d^2 / 2, so u is normal with mean -kl and variance d^2 under the policy.
    mean_k2 = (d**2 + kl**2) / 2
    spread_k2 = np.sqrt((2 * d**4 + 4 * kl**2 * d**2) / 4)
    # e^u has mean 1 and variance e^(d^2) - 1; cov(e^u, u) = d^2.
    spread_k3 = np.sqrt(np.exp(d**2) - 1 + d**2 - 2 * d**2)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.3))
    left.plot(kl, kl, color=BLUE)
    left.plot(kl, mean_k2, color=AMBER, linestyle="--")
    left.annotate("k1, k3", (1.5, 1.2), color=BLUE)
    left.annotate("k2", (1.1, 2.0), color=AMBER)
    left.set(title="mean", xlabel="KL(policy ‖ reference)", ylim=(0, 4))
    right.plot(kl, d, color=BLUE)
    right.plot(kl, spread_k2, color=AMBER, linestyle="--")
    right.plot(kl, spread_k3, color=GREEN)
    right.annotate("k1", (1.7, 1.5), color=BLUE)
    right.annotate("k2", (1.62, 3.2), color=AMBER)
    right.annotate("k3", (0.95, 3.2), color=GREEN)
    right.set(title="spread of one sample", xlabel="KL(policy ‖ reference)", ylim=(0, 4))
    for axes in (left, right):
        axes.set_xlim(0, 2)
        axes.grid(axis="y")
    return figure


# ------------------------------------------------------------------------------------------------------------- goodhart


def in_words(found: dict[str, Any]) -> str:
    """The alternative text, with the numbers that are drawn."""
    held, free = found["held"], found["free"]
    return (
        f"Two trainings of {ROUNDS} rounds. Left, with a leash: the learned score climbs from "
        f"{held['learned'][0]:.1f} to {held['learned'][-1]:.1f}, the true one from {held['gold'][0]:.1f} to "
        f"{held['gold'][-1]:.1f}, at {held['exact'][-1]:.0f} nats from the start. Right, without: the learned score "
        f"climbs to {free['learned'][-1]:.1f}; the true one rises to {max(free['gold']):.1f}, turns, and ends at "
        f"{free['gold'][-1]:.1f}, {free['exact'][-1]:.0f} nats away."
    )


def goodhart(found: dict[str, Any]) -> Figure:
    """Learned and true score over the rounds, with a leash and without."""
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 3.5), sharey=True)
    for axes, name, title in zip(panels, ("held", "free"), ("on a leash: β = 0.2", "no leash: β = 0"), strict=True):
        run = found[name]
        axes.axhline(0, color=QUIET, linewidth=0.9)
        axes.plot(run["rounds"], run["learned"], color=AMBER)
        axes.plot(run["rounds"], run["gold"], color=BLUE)
        axes.annotate("learned", (ROUNDS, run["learned"][-1] + 0.25), color=AMBER, ha="right")
        axes.annotate("true", (ROUNDS, run["gold"][-1] + 0.4), color=BLUE, ha="right")
        axes.annotate(f"{run['exact'][-1]:.0f} nats away", (ROUNDS, -2.6), color=INK, ha="right")
        axes.set(title=title, xlabel="round", xlim=(1, ROUNDS), ylim=(-3, 6.8))
        axes.grid(axis="y")
    return figure


# ----------------------------------------------------------------------------------------------------------------- hole


def hole_in_words(found: dict[str, Any]) -> str:
    """The alternative text, with the numbers that are drawn."""
    run = found["hole"]
    return (
        f"One training of {ROUNDS} rounds in which padding keeps its probability. The mean of k1 over an answer, which "
        f"is what the policy pays for, rises to {max(run['said']):.1f} nats and falls to {run['said'][-1]:.1f}. The "
        f"exact distance over the words that can be written ends at {run['exact'][-1]:.0f} nats. The policy's "
        f"probability of padding, for each written token, goes from 0.00 to {run['padding'][-1]:.2f}."
    )


def hole(found: dict[str, Any]) -> Figure:
    """What k1 says and how far the policy really is, while it learns to lay probability on padding."""
    run = found["hole"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.2), width_ratios=(3, 2))
    left.axhline(0, color=QUIET, linewidth=0.9)
    left.plot(run["rounds"], run["exact"], color=BLUE)
    left.plot(run["rounds"], run["said"], color=AMBER)
    left.annotate("exact", (24, 5.6), color=BLUE, ha="right")
    left.annotate("k1, as paid", (27, 0.9), color=AMBER, ha="right")
    left.set(title="nats from the start", xlabel="round", xlim=(1, ROUNDS))
    right.plot(run["rounds"], run["padding"], color=INK)
    right.set(title="probability of padding", xlabel="round", xlim=(1, ROUNDS), ylim=(0, 1))
    for axes in (left, right):
        axes.grid(axis="y")
    return figure


# ------------------------------------------------------------------------------------------------------------ measuring


def measured() -> dict[str, Any]:
    """Three trainings by the course's own solution: as it is, without a price, and with padding left in."""
    import torch

    torch.set_num_threads(1)
    left_in = ("logits.masked_fill(torch.arange(logits.shape[2]) == PAD, -1e9)", "logits")
    faster = ("5e-4", "1e-3")
    return {
        "held": watched(solution()),
        "free": watched(solution(("beta, lam, clip = 128, 2, 0.2", "beta, lam, clip = 128, 2, 0.0"))),
        "hole": watched(solution(left_in, faster), padding_left_in=True, seed=1),  # the widest of seeds 0 to 3
    }


def solution(*changes: tuple[str, str]) -> ModuleType:
    """The assignment's solution as a module, with some of its text exchanged."""
    solutions = FOLDER.parents[2] / "solutions"
    sys.path.insert(0, str(solutions))
    modules = []
    for name, called in (("a07_gae", "gae"), ("a10_rlhf_ppo", "rlhf_ppo")):
        cells = re.split(r"(?m)^(?=# %%)", (solutions / name / "source.py").read_text(encoding="utf-8"))
        code = "".join(cell for cell in cells if not cell.startswith(("# %% tests=", "# %% [markdown]")))
        for old, new in changes if called == "rlhf_ppo" else ():
            if old not in code:
                raise ValueError(f"the solution no longer says {old!r}")
            code = code.replace(old, new)
        module = sys.modules[called] = ModuleType(called)
        exec(compile(code, name, "exec"), module.__dict__)
        modules.append(module)
    return modules[-1]


def watched(module: ModuleType, padding_left_in: bool = False, seed: int = 0) -> dict[str, list[float]]:
    """Trains on the reviews; each round's mean scores and distances, from the answers that were sampled."""
    import torch
    from common import reviews
    from common.preferences import frozen_copy, reward_model
    from common.tiny_lm import pretrained

    judge, policy, seen = reward_model("reviews_rm"), pretrained("reviews_base"), {}
    start = frozen_copy(policy)
    keys = ("rounds", "learned", "gold", "exact", "said", "padding")
    seen = {key: [] for key in keys}

    def score(asked: Any, written: Any, mask: Any) -> Any:
        with torch.no_grad():
            tokens, real = reviews.together(asked, asked != reviews.PAD, written, mask)
            found = judge(tokens, real)
            new, old = (model(tokens, real)[:, asked.shape[1] - 1 : -1] for model in (policy, start))
            padding = new.softmax(-1)[..., reviews.PAD]
            writable = torch.arange(new.shape[2]) != reviews.PAD
            p, q = (x.masked_fill(~writable, -1e9).log_softmax(-1) for x in (new, old))
            if not padding_left_in:
                new, old = p, q
            k1 = (new.log_softmax(-1) - old.log_softmax(-1)).gather(2, written[..., None])[..., 0]
            exact = (p.exp() * (p - q)).sum(-1)
        values = (
            len(seen["rounds"]) + 1, found.mean().item(), reviews.gold_scores(written, mask).mean().item(),
            (exact * mask).sum(1).mean().item(), (k1 * mask).sum(1).mean().item(), padding[mask].mean().item(),
        )  # fmt: skip
        for key, value in zip(keys, values, strict=True):
            seen[key].append(round(value, 3))
        return found

    prompts, mask, _ = reviews.sample_prompts(1000, torch.Generator().manual_seed(0))
    module.train_ppo_lm(policy, score, prompts, mask, ROUNDS, seed)
    return seen


if __name__ == "__main__":
    main()
