# ppo_vs_grpo.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a14
# README.md explains the tasks. (a14_ppo_vs_grpo, release 1b7ec0ae2593)

# %%
import json
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from common.statistics import t_quantile
from torch import Tensor


# %% task="learning_curve"
def learning_curve(tokens: Sequence[int], scores: Sequence[float], grid: Sequence[int]) -> Tensor:
    """The last score at or before each grid point, (len(grid),) float; NaN before the first look.

    tokens: generated tokens at each look, strictly increasing. scores: as many. grid: places on the same axis.
    Raises ValueError for different lengths and tokens that do not increase.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="memory_estimate"
def memory_estimate(
    n_policy: int,
    algorithm: str,
    n_value: int | None = None,
    n_reward: int = 0,
    beta: float = 0.0,
    bytes_weight: int = 4,
    bytes_grad: int = 4,
    bytes_optim: int = 8,
) -> dict[str, int]:
    """Bytes while training, by purpose: policy, value, reference, reward, gradients, optimizer, total.

    algorithm: "ppo" or "grpo". n_value: parameters of the critic, by default n_policy. beta: strength of GRPO's leash.
    Raises ValueError for another algorithm and numbers below 0. Source: Shao et al. 2024, section 4.1 and figure 4.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="compare"
def compare(
    recipe_a: Callable[[int, int], dict[str, list]],
    recipe_b: Callable[[int, int], dict[str, list]],
    budget: int,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Runs both recipes on all seeds, and says which is better, if that can be said.

    A recipe takes (seed, budget) and returns {"tokens": [...], "scores": [...]}. Returns a, b (final scores), mean_a,
    mean_b, difference (b - a), low and high (95%, paired t, ddof 1), winner ("a", "b" or "undecided").
    Raises ValueError for fewer than 2 seeds, a seed twice, a run without a look or over its budget.

    Source: Student 1908; Henderson et al. 2018, section 4, on seeds.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="predictions"
def predictions() -> dict[str, str]:
    """For each of five experiments "up", "down" or "same"."""
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="report"
def report(result: dict[str, Any], curves: dict[str, Tensor], path: str) -> dict[str, Any]:
    """Writes a figure (PNG) at `path` and the numbers (JSON) beside it; returns the numbers.

    result: what compare returned. curves: "grid" (G,), "a" (n, G), "b" (n, G).
    Raises ValueError where a curve does not end at the result's score, and for a path that is no .png.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
