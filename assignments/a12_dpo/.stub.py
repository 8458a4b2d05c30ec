# dpo.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a12
# README.md explains the tasks. (a12_dpo, release c1f5f803e78d)

# %%
import torch
import torch.nn.functional as F
from common.preferences import frozen_copy
from common.tiny_lm import TinyLM
from torch import Tensor, nn


# %% task="sequence_log_prob"
def sequence_log_prob(logits: Tensor, tokens: Tensor, mask: Tensor, average: bool = False) -> Tensor:
    """Log-probability of each row's answer: (B,).

    logits: (B, T, V), of which logits[:, t] predict tokens[:, t+1]. tokens: (B, T) int64.
    mask: (B, T-1) bool, column t belongs to tokens[:, t+1]; True = part of the answer.
    average: the mean over the True columns instead of their sum. A row without True gives 0.
    Raises ValueError for shapes that do not fit and for answers outside of the vocabulary.

    Source: Rafailov et al. 2023, section 3 and appendix B.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="dpo_loss"
def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The DPO loss: a scalar.

    All four: (B,) log-probabilities of whole answers. beta > 0: strength of the leash.
    label_smoothing: in [0, 0.5), the share of labels that are believed to be wrong.
    Raises ValueError for shapes that differ, an empty batch, and rates outside of their interval.

    Source: Rafailov et al. 2023, equation 7; smoothing: Mitchell 2023, a note on DPO with noisy preferences.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="implicit_rewards"
def implicit_rewards(policy_logp: Tensor, ref_logp: Tensor, beta: float = 0.1) -> Tensor:
    """The rewards that a policy implies, without gradient: (B,).

    policy_logp, ref_logp: (B,) log-probabilities of the same answers. beta > 0.
    Raises ValueError for unequal shapes and for a beta that is not above 0.

    Source: Rafailov et al. 2023, section 4, below equation 7.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="ipo_loss"
def ipo_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float = 0.1
) -> Tensor:
    """The IPO loss: a scalar.

    All four: (B,) log-probabilities of answers, meant to be means over their tokens. beta > 0: the gap asked for is 1/(2 beta).
    Raises ValueError for shapes that differ, an empty batch, and a beta that is not above 0.

    Source: Azar et al. 2023, equation 17.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="train_dpo"
def train_dpo(
    policy: TinyLM,
    prompts: Tensor,
    prompt_mask: Tensor,
    chosen: Tensor,
    chosen_mask: Tensor,
    rejected: Tensor,
    rejected_mask: Tensor,
    steps: int,
    beta: float,
    seed: int,
) -> TinyLM:
    """The policy, trained on pairs of answers by DPO.

    policy: a language model; the reference is what it was when it came. prompts: (N, P) tokens, padded on the left.
    chosen, rejected: (N, R) answers to them, padded on the right. Masks of the same shapes, True = real.
    steps: optimiser steps, each on 64 pairs. beta: strength of the leash. seed: fixes all that is drawn.
    Returns the policy in eval mode.

    Source: Rafailov et al. 2023, section 4 and appendix B.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
