# agent.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a19
# README.md explains the tasks. (a19_capstone, release efb4b469aa9e)

# %%
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from common.preferences import generate
from common.sums import ANSWER, EOS, PAD, decode
from common.tiny_lm import TinyLM
from torch import Tensor

Demonstrations = Callable[[int], tuple[Tensor, Tensor]]
"""n -> tokens (n, 10), mask (n, 9): True where the next token is to be learnt."""
Problems = Callable[[int], Tensor]
"""n -> prompts (n, 6)."""
RewardFn = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(prompts (M, 6), completions (M, R), mask (M, R)) -> rewards (M,)."""


# %% task="build_model"
def build_model(vocab_size: int) -> TinyLM:
    """A fresh TinyLM of at most 250,000 weights, with a context of 14 to 32 tokens and no dropout.

    Raises ValueError for vocab_size < 1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="warm_start"
def warm_start(model: TinyLM, demonstrations: Demonstrations, steps: int, seed: int) -> TinyLM:
    """Supervised learning on demonstrations, until some of the answers are right: 25% to 60% of those held out.

    demonstrations: n -> tokens (n, 10) int64, mask (n, 9) bool, steps * 256 rows in all.
    Returns the trained model, in eval mode. seed fixes all chance.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="evaluate"
def evaluate(model: TinyLM, prompts: Tensor, answers: list[int], max_new_tokens: int = 8) -> dict[str, float]:
    """What greedy answers are worth: {"exact", "ended", "entropy" (nats a token)}.

    prompts: (N, P) int64, without padding. answers: N numbers from 0 to 999. The model's mode is left as it was.
    Raises ValueError if there are no prompts, or not as many answers.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="improve_grpo"
def improve_grpo(model: TinyLM, problems: Problems, reward_fn: RewardFn, iterations: int, seed: int) -> TinyLM:
    """Group-relative policy optimisation on sums, by a reward that is checked.

    problems: n -> prompts (n, 6). reward_fn: takes iterations * 1024 completions of at most 8 tokens in all.
    Returns the trained model, in eval mode. seed fixes all chance.

    Source: Shao et al. 2024, section 4.1; Yu et al. 2025, sections 3.1 and 3.3, for the fence and the mean.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="improve_ppo"
def improve_ppo(model: TinyLM, problems: Problems, reward_fn: RewardFn, iterations: int, seed: int) -> TinyLM:
    """Proximal policy optimisation on sums: one answer to each problem, and a critic.

    problems: n -> prompts (n, 6). reward_fn: takes iterations * 1024 completions of at most 8 tokens in all.
    Returns the trained model, in eval mode. seed fixes all chance.

    Source: Schulman et al. 2017, equation 7; Ziegler et al. 2019, section 2.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="write_report"
def write_report(results: dict[str, Any], folder: str) -> list[str]:
    """Writes accuracy.png, reward.png, surprise.png and report.json into a folder; returns these names.

    results: see the handout. Standard deviations have ddof 1.
    Raises ValueError, and writes nothing, where seeds, looks and numbers do not fit together.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
