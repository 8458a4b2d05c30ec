"""Other right answers, written differently. Each must pass everything, and none is ever called a mistake."""

import copy
import math

import torch
import torch.nn.functional as F
from common.preferences import generate
from reference import AdaptiveKLController, kl_estimators
from torch import nn

from autograder.testing import alternative


@alternative("token_log_probs", note="as a cross-entropy")
def as_a_cross_entropy(logits, tokens, temperature=1.0):
    B, T, V = logits.shape
    if tokens.shape != (B, T) or temperature <= 0 or tokens.min() < 0 or tokens.max() >= V:
        raise ValueError("tokens or temperature")
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    scaled = logits[:, :-1].reshape(-1, V) / temperature
    return -F.cross_entropy(scaled, tokens[:, 1:].reshape(-1), reduction="none").view(B, T - 1)


@alternative("token_log_probs", note="a logit less the logsumexp of its column")
def less_the_logsumexp(logits, tokens, temperature=1.0):
    assert tokens.shape == logits.shape[:2], "tokens"
    assert temperature > 0, "temperature"
    assert ((tokens >= 0) & (tokens < logits.shape[-1])).all(), "tokens"
    fine = logits.double() if logits.dtype == torch.float64 else logits.float()
    fine = fine / temperature
    one_hot = F.one_hot(tokens[:, 1:], fine.shape[-1]).bool()
    return torch.where(one_hot, fine[:, :-1], 0).sum(-1) - fine[:, :-1].logsumexp(-1)


@alternative("response_mask", note="row by row, in plain Python")
def row_by_row(prompt_len, tokens, eos, pad=None):
    B, T = tokens.shape
    if isinstance(prompt_len, torch.Tensor) and prompt_len.ndim:
        if prompt_len.shape != (B,):
            raise ValueError("prompt_len")
        starts = prompt_len.tolist()
    else:
        starts = [int(prompt_len)] * B
    mask = torch.zeros(B, T - 1, dtype=torch.bool)
    for row in range(B):
        for place in range(starts[row], T):
            token = int(tokens[row, place])
            if place > 0:
                mask[row, place - 1] = pad is None or pad == eos or token != pad
            if token == eos:
                break
    return mask


@alternative("response_mask", note="the place of the first end, by argmax")
def by_the_first_end(prompt_len, tokens, eos, pad=None):
    B, T = tokens.shape
    if not isinstance(prompt_len, int) and prompt_len.shape not in ((), (B,)):
        raise ValueError("prompt_len should be (B,)")
    start = torch.full((B,), prompt_len) if isinstance(prompt_len, int) else prompt_len.expand(B)
    place = torch.arange(1, T)[None]  # (1, T-1)  the token that a column belongs to
    behind = place >= start[:, None]
    ends = (tokens[:, 1:] == eos) & behind
    first = torch.where(ends.any(1), ends.int().argmax(1) + 1, T)
    first = torch.where((start == 0) & (tokens[:, 0] == eos), 0, first)
    real = behind & (place <= first[:, None])
    return real if pad in (None, eos) else real & (tokens[:, 1:] != pad)


@alternative("kl_penalised_rewards", note="filled in place by index, the last place by a maximum")
def by_index(score, logp, ref_logp, mask, beta):
    B, T = logp.shape
    if B == 0 or not (logp.shape == ref_logp.shape == mask.shape and score.shape == (B,)):
        raise ValueError("shapes")
    if not torch.isfinite(score).all() or (mask.sum(1) == 0).any():
        raise ValueError("score or mask")
    with torch.no_grad():
        rewards = torch.zeros_like(logp)
        rewards[mask] = beta * (ref_logp[mask] - logp[mask])
        last = torch.where(mask, torch.arange(T), -1).max(1).values
        rewards[torch.arange(B), last] += score
    return rewards


@alternative("kl_penalised_rewards", note="scattered, one row after the other")
def scattered(score, logp, ref_logp, mask, beta):
    if logp.shape != mask.shape or ref_logp.shape != mask.shape or mask.ndim != 2 or score.shape != mask.shape[:1]:
        raise ValueError("shapes")
    out = []
    for r, p, q, m in zip(score.detach(), logp.detach(), ref_logp.detach(), mask, strict=True):
        if not m.any() or not math.isfinite(r):
            raise ValueError("no place for a score")
        row = (q - p).mul(beta).masked_fill(~m, 0.0)
        row[m.nonzero()[-1]] += r
        out.append(row)
    return torch.stack(out)


@alternative("kl_estimators", note="by ratios, with log1p nowhere")
def by_ratios(logp, ref_logp):
    if logp.shape != ref_logp.shape:
        raise ValueError("shapes")
    k1 = logp - ref_logp.detach()
    return k1, 0.5 * k1**2, torch.exp(-k1) + k1 - 1


@alternative("AdaptiveKLController", note="kept as a property, clipped by torch")
class as_a_property:
    def __init__(self, init_beta, target, horizon=10_000):
        self.made_of = (target, horizon)
        self.history = [init_beta]

    @property
    def beta(self):
        return self.history[-1]

    def update(self, kl, n):
        target, horizon = self.made_of
        off = torch.tensor((kl - target) / target, dtype=torch.float64).clamp(-0.2, 0.2).item()
        self.history.append(self.beta + self.beta * off * (n / horizon))
        return self.beta


@alternative("whiten", note="sums of products with the mask, as a formula")
def by_sums(x, mask, shift_mean=True):
    if x.shape != mask.shape or mask.sum() == 0:
        raise ValueError("mask")
    kept = torch.where(mask, x, torch.zeros_like(x))
    n = int(mask.sum())
    first = x[mask][0]
    if (x[mask] == first).all():
        return torch.zeros_like(x) if shift_mean else torch.where(mask, first, torch.zeros_like(x))
    mean = kept.sum() / n
    centred = torch.where(mask, x - mean, torch.zeros_like(x))
    scaled = centred / (centred.square().sum() / (n - 1) + 1e-8).sqrt()
    return scaled if shift_mean else torch.where(mask, scaled + mean, scaled)


@alternative(
    "train_ppo_lm", note="a copy is trained; a price that adapts, Monte Carlo targets, a critic on its hidden states"
)
def with_a_controller(policy, reward_fn, prompts, prompt_mask, iterations, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = copy.deepcopy(policy).eval()
        start = copy.deepcopy(model)
        for parameter in start.parameters():
            parameter.requires_grad_(False)
        D, P, V = policy.config["d_model"], prompts.shape[1], policy.config["vocab_size"]
        critic = nn.Sequential(nn.Linear(D, 64), nn.Tanh(), nn.Linear(64, 1))
        mine = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.0)
        hers = torch.optim.AdamW(critic.parameters(), lr=2e-3)
        leash = AdaptiveKLController(0.25, 4.0, 2000)
        forbidden = torch.arange(V) == 0

        def logp_of(lm, tokens, real):
            logits = torch.where(forbidden, torch.tensor(-1e9), lm(tokens, real)[:, P - 1 : -1])
            return -F.cross_entropy(logits.transpose(1, 2), tokens[:, P:], reduction="none")  # (M, R)

        for _ in range(iterations):
            rows = torch.randint(len(prompts), (128,))
            asked, asked_mask = prompts[rows], prompt_mask[rows]
            written, used = generate(model, asked, asked_mask, 12, 2, 0)
            score = reward_fn(asked, written, used)
            tokens, real = torch.cat([asked, written], 1), torch.cat([asked_mask, used], 1)
            with torch.no_grad():
                old, ref = logp_of(model, tokens, real), logp_of(start, tokens, real)
                hidden = start.hidden(tokens, real)[:, P - 1 : -1]
                k1 = torch.where(used, kl_estimators(old, ref)[0], 0.0)
                # What is still to come: the score, and the prices from here on.
                returns = score[:, None] - leash.beta * k1.flip(1).cumsum(1).flip(1)
            for _ in range(20):
                hers.zero_grad()
                F.mse_loss(critic(hidden)[..., 0][used], returns[used]).backward()
                hers.step()
            with torch.no_grad():
                adv = returns - critic(hidden)[..., 0]
                adv = (adv - adv[used].mean()) / (adv[used].std() + 1e-6)
            leash.update(float(k1.sum(1).mean()), 128)
            for _ in range(3):
                for part in torch.randperm(128).split(64):
                    now = used[part]
                    ratio = (logp_of(model, tokens[part], real[part]) - old[part])[now].exp()
                    a = adv[part][now]
                    loss = torch.max(-ratio * a, -ratio.clamp(0.8, 1.2) * a).mean()
                    mine.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    mine.step()
        return model
