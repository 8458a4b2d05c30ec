"""Other right answers, written differently. Each must pass everything, and none is ever called a mistake."""

import copy
import math
from collections import Counter

import torch
import torch.nn.functional as F
from common.preferences import RewardModel
from reference import RewardHead, bradley_terry_loss, pair_weights
from torch import nn

from autograder.testing import alternative


@alternative("bradley_terry_loss", note="softplus of the deficit, weights brought to sum one first")
def softplus_of_the_deficit(chosen, rejected, weights=None, margin=None):
    for other in (rejected, weights, margin):
        if other is not None and tuple(other.shape) != tuple(chosen.shape):
            raise ValueError("all shapes should agree")
    if not len(chosen):
        raise ValueError("no pairs")
    deficit = rejected - chosen + (0 if margin is None else margin)
    share = torch.ones_like(chosen) if weights is None else weights.detach()
    return (F.softplus(deficit) * (share / share.sum())).sum()


@alternative("bradley_terry_loss", note="as a classification between two scores")
def as_a_classification(chosen, rejected, weights=None, margin=None):
    for name, other in {"rejected": rejected, "weights": weights, "margin": margin}.items():
        if other is not None:
            assert other.shape == chosen.shape, name
    assert chosen.numel() > 0, "chosen"
    handicap = chosen if margin is None else chosen - margin
    losses = F.cross_entropy(
        torch.stack([handicap, rejected], dim=1), torch.zeros(len(chosen), dtype=torch.long), reduction="none"
    )
    if weights is None:
        return losses.sum() / len(losses)
    with torch.no_grad():
        w = weights / weights.mean()
    return (w * losses).mean()


@alternative("pair_weights", note="counted with a Counter, one prompt at a time")
def counted_one_by_one(prompt_ids):
    ids = prompt_ids.tolist()
    if not ids:
        raise ValueError("no pairs")
    counts = Counter(ids)
    return torch.tensor([len(ids) / len(counts) / counts[i] for i in ids], dtype=torch.float32)


@alternative("pair_weights", note="by a table of who shares a prompt with whom")
def by_a_table(prompt_ids):
    if len(prompt_ids) == 0:
        raise ValueError("no pairs")
    together = (prompt_ids[:, None] == prompt_ids[None, :]).float().sum(dim=1)
    inverse = together.reciprocal()
    return inverse * len(inverse) / inverse.sum()


@alternative("segment_preference", note="a softmax over the two sums")
def softmax_of_two(r1, r2, noise=0.1):
    if noise < 0 or noise > 1 or r1.shape[0] != r2.shape[0]:
        raise ValueError("noise in [0, 1], and as many first segments as second ones")
    first = torch.stack([r1.sum(-1), r2.sum(-1)], dim=-1).softmax(dim=-1)[:, 0]
    return torch.lerp(first, torch.full_like(first, 0.5), noise)


@alternative("RewardHead", note="scores everywhere, then the first True of the mask turned round")
class turned_round(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.score = nn.Linear(d_model, 1, bias=False)
        with torch.no_grad():
            self.score.weight.copy_(torch.randn(1, d_model) / math.sqrt(d_model + 1))

    def forward(self, hidden, mask):
        if mask.shape != hidden.shape[:2] or not bool(mask.any(dim=-1).all()):
            raise ValueError("mask")
        scores = self.score(hidden).squeeze(-1)
        last = mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1)
        return scores.gather(1, last[:, None]).squeeze(1)


@alternative("RewardHead", note="row by row")
class row_by_row(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.score = nn.Linear(d_model, 1, bias=False)
        self.score.weight.data.normal_(0, 1 / (d_model + 1) ** 0.5)

    def forward(self, hidden, mask):
        if hidden.shape[:2] != mask.shape:
            raise ValueError("mask and hidden do not fit")
        scores = []
        for h, m in zip(hidden, mask, strict=True):
            real = h[m]
            if len(real) == 0:
                raise ValueError("a row is nothing but padding")
            scores.append(self.score(real[-1]))
        return torch.cat(scores)


@alternative("normalize_rewards", note="with var_mean, refusing by a sum")
def with_var_mean(rewards, reference=None, eps=1e-8):
    if reference is None:
        reference = rewards
    if min(len(rewards), len(reference)) == 0 or not math.isfinite(float(rewards.abs().sum() + reference.abs().sum())):
        raise ValueError("rewards and reference should be finite, and some")
    if (reference == reference[0]).all():
        return rewards - reference[0]
    var, mean = torch.var_mean(reference, correction=1)
    return (rewards - mean) / (var.sqrt() + eps)


@alternative(
    "train_reward_model", note="a copy of the model, both texts in one batch, Adam, a cosine, the padding cut off"
)
def in_one_batch(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 99)
        draw = torch.Generator()
        draw.manual_seed(seed)
        model = RewardModel(copy.deepcopy(lm), RewardHead(lm.config["d_model"]))
        model.train()
        w = pair_weights(prompt_ids)
        optimizer = torch.optim.Adam(model.parameters(), lr=8e-4, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1), eta_min=1e-5)
        for _ in range(steps):
            rows = (
                torch.randperm(len(chosen), generator=draw)[:64]
                if len(chosen) >= 64
                else torch.arange(64) % len(chosen)
            )
            tokens = torch.cat([chosen[rows], rejected[rows]])
            mask = torch.cat([chosen_mask[rows], rejected_mask[rows]])
            used = mask.any(dim=0)
            won, lost = model(tokens[:, used], mask[:, used]).chunk(2)
            optimizer.zero_grad()
            bradley_terry_loss(won, lost, w[rows]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        model.eval()
        return model
