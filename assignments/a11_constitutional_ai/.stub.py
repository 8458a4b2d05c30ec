# constitutional_ai.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a11
# README.md explains the tasks. (a11_constitutional_ai, release 1fbc27b2f819)

# %%
from typing import Any

import torch
import torch.nn.functional as F
from common.preferences import RewardModel, ShippedHead
from common.tiny_lm import TinyLM
from torch import Tensor, nn

CRITIQUE = "Question:\n{prompt}\n\nAnswer:\n{response}\n\nCritique request: {critique}\n\nCritique:"
REVISION = " {critique_text}\n\nRevision request: {revision}\n\nRevision:"  # follows a filled CRITIQUE
PREFERENCE = "Question:\n{prompt}\n\nA: {first}\n\nB: {second}\n\n{preference}\nBetter answer:"


# %% task="critique_prompt"
def critique_prompt(prompt: str, response: str, principle: dict[str, str]) -> str:
    """The text that asks for a critique of `response`: CRITIQUE, filled.

    Source: Bai et al. 2022, section 3.1; the wording of the template is ours.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="revise"
def revise(
    lm: Any, prompt: str, response: str, principle: dict[str, str], generator: torch.Generator | None = None
) -> tuple[str, str]:
    """A critique of the response, and a response that answers it, both stripped.

    lm: has generate(prompt, generator). Source: Bai et al. 2022, section 3.1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="critique_revision_loop"
def critique_revision_loop(
    lm: Any, prompt: str, constitution: list[dict[str, str]], rounds: int, generator: torch.Generator
) -> dict[str, Any]:
    """An answer and its revisions, each by a principle that is drawn for it.

    Returns prompt, initial, principles (ids), critiques, revisions. Raises ValueError for rounds < 1 and no principles.

    Source: Bai et al. 2022, section 3.1 and appendix C.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="ai_preference"
def ai_preference(
    lm: Any,
    prompt: str,
    a: str,
    b: str,
    principle: dict[str, str],
    clamp: tuple[float, float] | None = (0.4, 0.6),
) -> float:
    """P(a is better than b) by the judge lm, asked in both orders, averaged, then clamped.

    lm: has log_probs(prompt, options). Source: Bai et al. 2022, section 4.1; both orders: Zheng et al. 2023, section 3.4.
    """

    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="build_sl_dataset"
def build_sl_dataset(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Prompts and the last revisions, without leaks. Raises ValueError for a record without revisions.

    Source: Bai et al. 2022, section 3.2.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="build_preference_dataset"
def build_preference_dataset(
    lm: Any,
    responder: Any,
    prompts: list[str],
    constitution: list[dict[str, str]],
    generator: torch.Generator,
    clamp: tuple[float, float] | None = (0.4, 0.6),
) -> list[dict[str, Any]]:
    """Pairs of the responder's answers with the chance that the first is better, as lm judges it by a drawn principle.

    Raises ValueError for no principles. Source: Bai et al. 2022, section 4.1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="train_ai_reward_model"
def train_ai_reward_model(
    lm: TinyLM, a: Tensor, a_mask: Tensor, b: Tensor, b_mask: Tensor, p: Tensor, steps: int, seed: int
) -> RewardModel:
    """A reward model, trained on pairs with soft labels.

    a, b: (N, T) tokens, each row a prompt and its answer; a_mask, b_mask: (N, T), True = real.
    p: (N,), the chance that a is better. steps: each on 64 pairs. seed: fixes all that is drawn. Returns it in eval mode.

    Source: Bai et al. 2022, section 4.1: soft preference labels.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
