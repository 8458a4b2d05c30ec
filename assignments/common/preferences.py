"""What learning from feedback needs and nobody has to write: judges, a model that scores, and a plain sampler."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from common.tiny_lm import TinyLM, fill, read_weights, shipped

RewardFn = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(prompts (M, P), completions (M, R), mask (M, R)) -> rewards (M,). What it costs to call is counted."""


def bradley_terry_labels(score_a: Tensor, score_b: Tensor, generator: torch.Generator) -> Tensor:
    """A judge who errs: True where a is preferred, with probability sigmoid(score_a - score_b). (N,) bool."""
    return torch.rand(score_a.shape, generator=generator) < torch.sigmoid(score_a - score_b)


class RewardModel(nn.Module):
    """A language model that gives a text one number: tokens (B, T), mask (B, T) -> (B,).

    head: takes (hidden (B, T, D), mask (B, T)) to (B,). Which position it reads is its own affair.
    """

    def __init__(self, lm: TinyLM, head: nn.Module):
        super().__init__()
        self.config = dict(lm.config)
        self.lm = lm
        self.head = head

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.head(self.lm.hidden(tokens, mask), mask)


class ShippedHead(nn.Module):
    """The head of the reward models that come with the course."""

    def __init__(self, d_model: int):
        super().__init__()
        self.score = nn.Linear(d_model, 1, bias=False)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        to_come = mask.flip(1).cumsum(1).flip(1)  # (B, T)  how many real tokens stand here or later
        return (self.score(hidden)[..., 0] * (mask & (to_come == 1))).sum(1)  # (B,)


def reward_model(name: str) -> RewardModel:
    """A reward model that comes with the course: "reviews_rm"."""
    path = shipped(name)
    config, weights = read_weights(path, "RewardModel")
    model = RewardModel(TinyLM(**config), ShippedHead(config["d_model"]))
    fill(model, weights, path)
    return model


def order_and_calibration(chances: Tensor, gap: Tensor, bins: int = 10) -> tuple[float, float]:
    """How good chances (N,) that a is preferred are, where gap (N,) is the true score of a minus that of b.

    The share of pairs (ties left out) in the true order; and the calibration error: pairs are sorted into equal bins by
    their chance, and the mean chance of each is compared with the mean of the true ones, sigmoid(gap).
    """
    apart = gap != 0
    order = ((chances > 0.5) == (gap > 0))[apart].float().mean().item()
    bin_of = (chances * bins).long().clamp(0, bins - 1)  # (N,)
    error = 0.0
    for i in range(bins):
        inside = bin_of == i
        if inside.any():
            off = (chances[inside].mean() - torch.sigmoid(gap[inside]).mean()).abs().item()
            error += off * inside.float().mean().item()
    return order, error


@torch.no_grad()
def generate(
    lm: TinyLM,
    prompts: Tensor,
    mask: Tensor,
    max_new: int,
    eos: int,
    pad: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """One response to each prompt: tokens (B, R) and mask (B, R), R <= max_new; padded after a row's own eos.

    prompts (B, P), mask (B, P): padded on the left. temperature 0 takes the likeliest token. pad is never chosen, unless
    it is eos. No dropout: the model is asked in eval mode and gets its own mode back.
    """
    was_training = lm.training
    lm.eval()
    tokens, real = prompts, mask  # (B, P + r) each, from here on
    running = torch.ones(len(prompts), dtype=torch.bool)  # (B,)
    for _ in range(max_new):
        logits = lm(tokens, real)[:, -1]  # (B, V)
        if pad != eos:
            logits[:, pad] = -torch.inf
        if temperature == 0:
            drawn = logits.argmax(-1)  # (B,)
        else:
            drawn = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]  # (B,)
        tokens = torch.cat([tokens, torch.where(running, drawn, pad)[:, None]], dim=1)
        real = torch.cat([real, running[:, None]], dim=1)
        running = running & (drawn != eos)
        if not running.any():
            break
    lm.train(was_training)
    P = prompts.shape[1]
    return tokens[:, P:], real[:, P:]


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy that stands still: in eval mode, without gradients, sharing no weight with the original."""
    copied = copy.deepcopy(model).eval()
    return copied.requires_grad_(False)
