# grpo.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a13
# README.md explains the tasks. (a13_grpo, release 92b6c97fb3ba)

# %%
import re
from collections.abc import Callable

import torch
from common.sums import ANSWER, EOS, PAD
from common.tiny_lm import TinyLM
from torch import Tensor

RewardFn = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(prompts (M, P), completions (M, R), mask (M, R)) -> rewards (M,)."""


# %% task="verify"
def verify(completion: str, answer: int | str) -> float:
    """1.0 if the completion's final answer is `answer`, else 0.0. The grammar stands in the handout.

    completion: any text at all; it never raises. answer: an int, or a str that reads by the same grammar.
    Raises ValueError if `answer` cannot be read.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="group_advantages"
def group_advantages(rewards: Tensor, group_size: int, eps: float = 1e-4, scale: str = "group") -> Tensor:
    """Advantages of answers within their groups.

    rewards: (N,), float; rows g*G ... g*G+G-1 answer prompt g, with G = group_size.
    scale: "group", "batch", "none" or "loo". eps is added to the standard deviation (ddof 1).
    Returns (N,), in the dtype of rewards, without gradient; exactly 0 in a group whose rewards are all equal.
    Raises ValueError if N is 0 or no multiple of G, for G < 1, rewards that are not finite, an unknown scale.

    Source: Shao et al. 2024, section 4.1.2; Liu et al. 2025 ("none"); Ahmadian et al. 2024 ("loo").
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="k3_kl"
def k3_kl(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """The estimator k3 of KL(policy || reference), element by element.

    logp, ref_logp: log-probabilities of the same tokens under the policy, which drew them, and under the reference.
    Any shape, equal. Returns that shape; its gradient goes to logp only.
    Raises ValueError if the shapes are not equal.

    Source: Shao et al. 2024, equation 4; Schulman 2020.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="grpo_loss"
def grpo_loss(
    logp: Tensor,
    old_logp: Tensor | None,
    ref_logp: Tensor | None,
    adv: Tensor,
    mask: Tensor,
    eps_low: float = 0.2,
    eps_high: float = 0.2,
    beta: float = 0.0,
    aggregate: str = "sequence",
    max_length: int | None = None,
    kl_ratio: bool = False,
) -> Tensor:
    """The loss of GRPO, equal to TRL's.

    logp, old_logp, ref_logp: (B, T), log-probabilities of the completions' tokens under the policy, under the one that
    drew them (None: the same) and under the reference (None: only with beta 0). adv: (B,). mask: (B, T) bool.
    aggregate: "sequence", "token" or "constant", which needs max_length. kl_ratio: whether k3 is weighted by the ratio.
    Returns a scalar; its gradient goes to logp only. What stands where mask is False never matters.
    Raises ValueError for unequal shapes, no rows, a missing ref_logp or max_length, an unknown aggregate.

    Source: Shao et al. 2024, equation 3, with a minus; Liu et al. 2025; Yu et al. 2025.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="rollout"
def rollout(
    model: torch.nn.Module,
    prompts: Tensor,
    prompt_mask: Tensor,
    group_size: int,
    max_new_tokens: int,
    eos: int,
    pad: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Draws group_size completions for each prompt.

    model: takes (tokens, mask) to logits (B, T, V). prompts: (B, P) int64, prompt_mask: (B, P) bool, padded on the left.
    Returns tokens (B*G, P+R), mask (B*G, R) and logp (B*G, R), R <= max_new_tokens; rows of a prompt are contiguous.
    Raises ValueError for temperature <= 0, group_size < 1, max_new_tokens < 1, prompt_mask of another shape.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="train_grpo"
def train_grpo(
    policy: TinyLM, prompts: Tensor, prompt_mask: Tensor, reward_fn: RewardFn, iterations: int, seed: int
) -> TinyLM:
    """Trains a language model by what its own answers earn.

    prompts: (N, P) int64, prompt_mask: (N, P) bool, padded on the left. reward_fn: pays for completions of at most
    ANSWER tokens which end with EOS; it takes iterations * 1024 of them in all.
    Returns the trained model, in eval mode. seed fixes all chance.

    Source: Shao et al. 2024, algorithm 1, without its reward model.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
