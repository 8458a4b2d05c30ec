"""Other right answers, written differently. Each must pass everything, and none is ever called a mistake."""

import bisect
import json
import statistics
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from common.statistics import t_quantile

from autograder.testing import alternative


@alternative("learning_curve", note="bisection, float64")
def by_bisection(tokens, scores, grid):
    if len(tokens) != len(scores) or list(tokens) != sorted(set(tokens)):
        raise ValueError("tokens should increase, one for each score")
    known = [float("nan"), *scores]
    return torch.tensor([known[bisect.bisect_right(list(tokens), place)] for place in grid], dtype=torch.float64)


@alternative("memory_estimate", note="a list of models, each with what it needs")
def by_models(n_policy, algorithm, n_value=None, n_reward=0, beta=0.0, bytes_weight=4, bytes_grad=4, bytes_optim=8):
    sizes = {"policy": n_policy, "reward": n_reward}
    trained = ["policy"]
    if algorithm == "ppo":
        sizes.update(value=n_policy if n_value is None else n_value, reference=n_policy)
        trained.append("value")
    elif algorithm == "grpo":
        sizes.update(value=0, reference=n_policy if beta else 0)
    else:
        raise ValueError(f"{algorithm} is not known")
    if any(n < 0 for n in sizes.values()) or beta < 0 or (n_value is not None and n_value < 0):
        raise ValueError("below 0")
    found = {name: n * bytes_weight for name, n in sizes.items()}
    found["gradients"] = sum(sizes[name] for name in trained) * bytes_grad
    found["optimizer"] = sum(sizes[name] for name in trained) * bytes_optim
    found["total"] = sum(found.values())
    return found


@alternative("compare", note="seed by seed, statistics of the standard library")
def seed_by_seed(recipe_a, recipe_b, budget, seeds):
    seeds = list(seeds)
    if len(seeds) < 2 or len(seeds) != len({*seeds}):
        raise ValueError("at least two different seeds")
    pairs = []
    for seed in seeds:
        both = recipe_a(seed, budget), recipe_b(seed, budget)
        if any(not run["tokens"] or max(run["tokens"]) > budget for run in both):
            raise ValueError("no look, or over the budget")
        pairs.append([run["scores"][-1] for run in both])
    differences = [b - a for a, b in pairs]
    middle, error = statistics.fmean(differences), statistics.stdev(differences) / len(seeds) ** 0.5
    low, high = (middle + sign * t_quantile(0.975, len(seeds) - 1) * error for sign in (-1, 1))
    decided = low > 0 or high < 0
    return {
        "winner": ("b" if middle > 0 else "a") if decided else "undecided",
        "low": low, "high": high, "difference": middle,
        "mean_a": statistics.fmean(a for a, _ in pairs), "mean_b": statistics.fmean(b for _, b in pairs),
        "a": [a for a, _ in pairs], "b": [b for _, b in pairs],
    }  # fmt: skip


@alternative("predictions", note="another word where five seeds decide nothing")
def undecided_otherwise():
    same = dict.fromkeys(["group_of_one", "reward_plus_one_group_mean", "no_std"], "same")
    return {**same, "reward_plus_one_no_baseline": "down", "beta_tenfold": "down"}


@alternative("report", note="numpy, two axes' worth of styling, the JSON first in memory")
def by_numpy(result, curves, path):
    stem, _, ending = path.rpartition(".")
    if ending != "png":
        raise ValueError("a report is a .png")
    for name in "ab":
        if not np.allclose(
            np.asarray(curves[name])[:, -1:].T, np.asarray(result[name])[None], rtol=0, atol=1e-6
        ) or len(curves[name]) != len(result[name]):
            raise ValueError(f"the curves of {name} belong to another result")
    text = json.dumps(result)
    fig = plt.figure(figsize=(7, 4))
    ax = fig.add_subplot()
    ax.set_xlabel("tokens")
    ax.set_ylabel("share of exact answers")
    x = np.asarray(curves["grid"])
    for name, colour in (("b", "tab:orange"), ("a", "tab:blue")):
        y = np.asarray(curves[name])
        m, s = y.mean(axis=0), y.std(axis=0, ddof=1)
        ax.fill_between(x, m + s, m - s, color=colour, alpha=0.3, linewidth=0)
        ax.plot(x, m, color=colour, marker="o", label=f"recipe {name}")
    ax.legend(loc="best")
    fig.tight_layout()
    fig.savefig(path, dpi=120)
    plt.close(fig)
    Path(f"{stem}.json").write_text(text)
    return dict(result)
