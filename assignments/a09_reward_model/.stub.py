# reward_model.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a09
# README.md explains the tasks. (a09_reward_model, release 1a2a233f205a)

# %%
import torch
import torch.nn.functional as F
from common.preferences import RewardModel
from common.tiny_lm import TinyLM
from torch import Tensor, nn


# %% task="bradley_terry_loss"
def bradley_terry_loss(
    chosen: Tensor, rejected: Tensor, weights: Tensor | None = None, margin: Tensor | None = None
) -> Tensor:
    """Minus the log-probability of the choices: a scalar.

    chosen, rejected: (B,) scores. weights: (B,), how much each pair counts; all the same if left out.
    margin: (B,), by how much the chosen one should lead; 0 if left out.
    Raises ValueError for shapes that differ and for an empty batch.

    Source: Christiano et al. 2017, section 2.2.3; Ouyang et al. 2022, equation 1; the margin: Touvron et al. 2023.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="pair_weights"
def pair_weights(prompt_ids: Tensor) -> Tensor:
    """Weights by which every prompt counts the same: (B,) int64 -> (B,) float32, which sum to B.

    Source: Ouyang et al. 2022, section 3.5 and equation 1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="segment_preference"
def segment_preference(r1: Tensor, r2: Tensor, noise: float = 0.1) -> Tensor:
    """The chance that each first segment is preferred to the second: (B, T1), (B, T2) -> (B,).

    noise: the share of answers that a coin decides, in [0, 1].
    Raises ValueError for a noise outside of it and for unequal numbers of segments.

    Source: Christiano et al. 2017, section 2.2.3.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="RewardHead"
class RewardHead(nn.Module):
    """One score for each text, read at its last real token: (B, T, D), (B, T) -> (B,).

    Source: Ziegler et al. 2019, section 2.1; the initial weights: Stiennon et al. 2020, appendix B.
    """

    def __init__(self, d_model: int):
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """hidden: (B, T, D). mask: (B, T) bool, True = real. Raises ValueError where a row has no real token."""
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="normalize_rewards"
def normalize_rewards(rewards: Tensor, reference: Tensor | None = None, eps: float = 1e-8) -> Tensor:
    """Rewards (N,) on a scale on which reference (M,) has mean 0 and standard deviation 1.

    reference: `rewards` if left out. One without spread only centres.
    Raises ValueError for empty tensors and for numbers that are not finite.

    Source: Ziegler et al. 2019, section 2.1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="train_reward_model"
def train_reward_model(
    lm: TinyLM,
    chosen: Tensor,
    chosen_mask: Tensor,
    rejected: Tensor,
    rejected_mask: Tensor,
    prompt_ids: Tensor,
    steps: int,
    seed: int,
) -> RewardModel:
    """A reward model, trained on pairs of texts.

    lm: a language model, which is trained along. chosen, rejected: (N, T) tokens, each row a prompt and its answer, and
    their masks (N, T), True = real. prompt_ids: (N,), which prompt each pair answers.
    steps: optimiser steps, each on 64 pairs. seed: fixes all that is drawn.
    Returns the model in eval mode.

    Source: Ouyang et al. 2022, section 3.5.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
