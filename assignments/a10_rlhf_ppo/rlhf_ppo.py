# rlhf_ppo.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a10
# README.md explains the tasks. (a10_rlhf_ppo, release 358451102619)

# %%
import copy
from collections.abc import Callable

import torch
from common.preferences import frozen_copy, generate
from common.tiny_lm import TinyLM
from gae import gae
from torch import Tensor

EOS, PAD, LONGEST = 2, 0, 12
"""Of the last task: the end token, padding, and how many tokens an answer may have, its end included."""

RewardFn = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(prompts (M, P), completions (M, R), mask (M, R)) -> scores (M,)."""


# %% task="token_log_probs"
def token_log_probs(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability of each token but the first: (B, T-1), column t belongs to tokens[:, t+1].

    logits: (B, T, V), of which logits[:, t] predict tokens[:, t+1]. tokens: (B, T) int64.
    temperature: that at which the tokens were sampled. Computed in float32 at least.
    Raises ValueError for shapes that do not fit, ids outside [0, V) and temperature <= 0.

    Source: Ziegler et al. 2019, section 2.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="response_mask"
def response_mask(prompt_len: int | Tensor, tokens: Tensor, eos: int, pad: int | None = None) -> Tensor:
    """Where a row's answer is: (B, T-1) bool, column t belongs to tokens[:, t+1].

    prompt_len: positions before the answer, padding on the left included; an int or (B,). tokens: (B, T) int64.
    eos: the first one of an answer is its last token. pad: tokens that are out, unless it equals eos.
    Raises ValueError for a prompt_len of another shape.

    Source: Ziegler et al. 2019, section 2 (answers up to their end); Stiennon et al. 2020, section 3.4.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="kl_penalised_rewards"
def kl_penalised_rewards(score: Tensor, logp: Tensor, ref_logp: Tensor, mask: Tensor, beta: float) -> Tensor:
    """The reward of each token: (B, T), 0 where mask is False.

    score: (B,), of whole answers. logp, ref_logp: (B, T) log-probabilities of the tokens under policy and reference.
    mask: (B, T) bool, True = chosen by the policy. beta: the price of a nat.
    Raises ValueError for shapes that do not fit, no rows, a row without True, scores that are not finite.

    Source: Ziegler et al. 2019, equation 2; Stiennon et al. 2020, section 3.4.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="kl_estimators"
def kl_estimators(logp: Tensor, ref_logp: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(k1, k2, k3), element by element: estimators of KL(policy || reference) from samples of the policy.

    logp, ref_logp: log-probabilities of the same tokens under policy and reference, any shape, equal.
    The gradient goes to logp only. Raises ValueError if the shapes are not equal.

    Source: Schulman 2020, "Approximating KL Divergence".
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="AdaptiveKLController"
class AdaptiveKLController:
    """A price of leaving the reference that rises while the KL is above its target, and falls while it is below.

    beta: the present price. update(kl, n): after n answers with this mean KL; changes beta and returns it.

    Source: Ziegler et al. 2019, section 2.2.
    """

    def __init__(self, init_beta: float, target: float, horizon: int = 10_000):
        # YOUR CODE HERE
        raise NotImplementedError()

    def update(self, kl: float, n: int) -> float:
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="whiten"
def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """x with mean 0 and spread 1 over the True positions of mask, 0 elsewhere.

    x: any shape; mask: the same, bool. shift_mean: False leaves the mean where it was.
    Raises ValueError for another shape and for a mask without True.

    Source: Ziegler et al. 2019 (their code); ddof 1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="train_ppo_lm"
def train_ppo_lm(
    policy: TinyLM, reward_fn: RewardFn, prompts: Tensor, prompt_mask: Tensor, iterations: int, seed: int
) -> TinyLM:
    """Trains a language model by a score of its answers, on a leash.

    reward_fn: scores answers of at most LONGEST tokens which end with EOS; it takes iterations * 128 of them in all.
    prompts: (N, P) int64, prompt_mask: (N, P) bool, padded on the left.
    Returns the trained model, in eval mode. seed fixes all chance.

    Source: Ziegler et al. 2019, section 2; Stiennon et al. 2020, section 3.4.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
