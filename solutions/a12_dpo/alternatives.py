"""Other right answers, written differently. Each must pass everything, and none is ever called a mistake."""

import copy
import math

import torch
import torch.nn.functional as F
from reference import dpo_loss, sequence_log_prob

from autograder.testing import alternative


@alternative("sequence_log_prob", note="cross entropy with an ignored target, negated")
def by_cross_entropy(logits, tokens, mask, average=False):
    B, T, V = logits.shape
    assert tuple(tokens.shape) == (B, T), "tokens"
    assert tuple(mask.shape) == (B, T - 1), "mask"
    counted = tokens[:, 1:][mask]
    assert not len(counted) or 0 <= counted.min() <= counted.max() < V, "tokens"
    targets = torch.where(mask, tokens[:, 1:], torch.full_like(tokens[:, 1:], -100))
    nll = F.cross_entropy(logits[:, :-1].transpose(1, 2), targets, ignore_index=-100, reduction="none")
    total = -nll.sum(dim=-1)
    if average:
        n = mask.sum(dim=-1)
        return torch.where(n > 0, total / torch.where(n > 0, n, 1), total)
    return total


@alternative("sequence_log_prob", note="row by row, only the columns that count")
def row_by_row(logits, tokens, mask, average=False):
    if tokens.shape != logits.shape[:2] or mask.shape != (tokens.shape[0], tokens.shape[1] - 1):
        raise ValueError("shapes do not fit")
    rows = []
    for scores, ids, counts in zip(logits, tokens, mask, strict=True):
        words = ids[1:][counts]
        if ((words < 0) | (words >= scores.shape[-1])).any():
            raise ValueError("no such word")
        kept = scores[:-1][counts]
        logp = kept[torch.arange(len(words)), words] - kept.logsumexp(dim=-1)
        rows.append(logp.sum() / max(len(words), 1) if average else logp.sum())
    return torch.stack(rows)


@alternative("dpo_loss", note="softplus, and the reference's preference taken off the policy's")
def by_softplus(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    shapes = {tuple(x.shape) for x in (policy_chosen, policy_rejected, ref_chosen, ref_rejected)}
    if len(shapes) > 1 or not len(policy_chosen):
        raise ValueError("four times (B,)")
    if beta <= 0 or not 0 <= label_smoothing < 0.5:
        raise ValueError("rates")
    with torch.no_grad():
        before = ref_chosen - ref_rejected
    x = beta * (policy_chosen - policy_rejected - before)
    # -e log sigmoid(-x) = e softplus(x), and softplus(x) = softplus(-x) + x
    return (F.softplus(-x) + label_smoothing * x).mean()


@alternative("dpo_loss", note="as a classification with soft targets")
def soft_targets(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    for name, other in {
        "policy_rejected": policy_rejected,
        "ref_chosen": ref_chosen,
        "ref_rejected": ref_rejected,
    }.items():
        assert other.shape == policy_chosen.shape, name
    assert policy_chosen.numel(), "empty"
    assert beta > 0, "beta"
    assert 0 <= label_smoothing < 0.5, "label_smoothing"
    margin = beta * (policy_chosen - ref_chosen.detach() - policy_rejected + ref_rejected.detach())
    return F.binary_cross_entropy_with_logits(margin, torch.full_like(margin, 1 - label_smoothing))


@alternative("implicit_rewards", note="under no_grad")
def under_no_grad(policy_logp, ref_logp, beta=0.1):
    assert policy_logp.shape == ref_logp.shape, "shapes"
    assert beta > 0, "beta"
    with torch.no_grad():
        return torch.sub(policy_logp, ref_logp).mul(beta)


@alternative("ipo_loss", note="a mean squared error against the gap that is asked for")
def mean_squared_error(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    together = [policy_chosen, policy_rejected, ref_chosen, ref_rejected]
    if any(x.shape != policy_chosen.shape for x in together) or policy_chosen.numel() < 1 or not beta > 0:
        raise ValueError("no pairs, or no beta")
    gained = [p - r.detach() for p, r in ((policy_chosen, ref_chosen), (policy_rejected, ref_rejected))]
    gap = gained[0] - gained[1]
    return F.mse_loss(gap, torch.full_like(gap, 0.5 / beta))


@alternative(
    "train_dpo",
    note="a copy is trained; chosen and rejected in one batch; the reference's numbers computed beforehand; a cosine",
)
def beforehand(policy, prompts, prompt_mask, chosen, chosen_mask, rejected, rejected_mask, steps, beta, seed):
    N, P = prompts.shape
    model = copy.deepcopy(policy).eval()
    draw = torch.Generator().manual_seed(seed + 7)
    tokens = torch.cat([torch.cat([prompts, a], 1) for a in (chosen, rejected)])  # (2N, P+R)
    real = torch.cat([torch.cat([prompt_mask, m], 1) for m in (chosen_mask, rejected_mask)])
    counts = real.clone()
    counts[:, :P] = False

    def numbers(rows):
        return sequence_log_prob(model(tokens[rows], real[rows]), tokens[rows], counts[rows, 1:])

    with torch.no_grad():
        start = torch.cat([numbers(rows) for rows in torch.arange(2 * N).split(1024)])
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-4, betas=(0.9, 0.98))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-4 * min((step + 1) / 10, 0.05 + 0.95 * (1 + math.cos(math.pi * step / steps)) / 2)
        rows = torch.randint(N, (64,), generator=draw)
        both = torch.cat([rows, rows + N])
        now, before = numbers(both), start[both]
        loss = dpo_loss(now[:64], now[64:], before[:64], before[64:], beta)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model
