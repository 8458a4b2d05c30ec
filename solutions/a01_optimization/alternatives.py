"""Other right implementations, each written in another way. All must pass every test."""

import itertools
import math

import torch
from reference import adamw_step, clip_grad_norm, cosine_schedule, cross_entropy, log_softmax
from torch import nn

from autograder.testing import alternative

# ---------------------------------------------------------------------------------------------------------- log_softmax


@alternative("log_softmax", note="slice by slice, with a loop, along an axis moved to the end")
def slice_by_slice(x, dim=-1):
    if not -x.ndim <= dim < x.ndim:
        raise ValueError("no such axis")
    if not x.numel():
        return x.clone()
    moved = x.movedim(dim, -1)
    rows = [row - row.max() - (row - row.max()).exp().sum().log() for row in moved.reshape(-1, moved.shape[-1])]
    return torch.stack(rows).reshape(moved.shape).movedim(-1, dim)


@alternative("log_softmax", note="one class added to the sum at a time, each with the larger of the two factored out")
def running_sum(x, dim=-1):
    total = None
    for score in x.unbind(dim):
        if total is None:
            total = score
            continue
        high, low = torch.maximum(total, score), torch.minimum(total, score)
        gap = (low - high).masked_fill(high == -math.inf, -math.inf)
        total = high + torch.log1p(gap.exp())
    return x - total.unsqueeze(dim)


# -------------------------------------------------------------------------------------------------------- cross_entropy


@alternative("cross_entropy", note="row by row, with a loop")
def row_by_row(logits, targets, ignore_index=-100):
    if logits.dim() != 2 or targets.dim() != 1 or len(logits) != len(targets):
        raise ValueError("shapes disagree")
    total, count = (logits * 0).nan_to_num(0.0).sum(), 0  # nothing yet, but with a way back to the logits
    for row, target in zip(logits, targets.tolist(), strict=True):
        if target == ignore_index:
            continue
        if not 0 <= target < len(row):
            raise IndexError(target)
        total, count = total - log_softmax(row)[target], count + 1
    return total / count if count else total


@alternative("cross_entropy", note="a table of weights, one in each counted row, against all surprises")
def weighted_table(logits, targets, ignore_index=-100):
    B, V = logits.shape
    assert targets.shape == (B,)
    counts = targets != ignore_index
    assert bool(((targets[counts] >= 0) & (targets[counts] < V)).all())
    hot = (targets[:, None] == torch.arange(V)) & counts[:, None]  # (B, V)
    surprise = -log_softmax(logits.masked_fill(~counts[:, None], 0.0)).masked_fill(~hot, 0.0)
    return surprise.sum() / counts.sum().clamp(min=1)


# ----------------------------------------------------------------------------------------------------------- adamw_step


@alternative("adamw_step", note="torch's own operations: lerp, addcmul, addcdiv, with the corrections in the scalars")
def fused_operations(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    pairs = list(zip(params, grads, strict=True))
    for i, (p, g) in enumerate(pairs):
        if g is None:
            continue
        own = state.setdefault(i, {"step": 0, "m": torch.zeros_like(p.detach()), "v": torch.zeros_like(p.detach())})
        own["step"] = own["step"] + 1
        own["m"].lerp_(g, 1 - betas[0])
        own["v"].mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
        size, spread = lr / (1 - betas[0] ** own["step"]), math.sqrt(1 - betas[1] ** own["step"])
        p.data.mul_(1 - lr * weight_decay)
        p.data.addcdiv_(own["m"], (own["v"].sqrt() / spread).add_(eps), value=-size)
    return params, state


@alternative("adamw_step", note="new values computed on the side and copied in; averages replaced, not updated")
def copied_in(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    assert len(params) == len(grads)
    (b1, b2), zero = betas, {"step": 0, "m": 0.0, "v": 0.0}
    for i in range(len(params)):
        if grads[i] is None:
            continue
        theta, g, old = params[i].detach().clone(), grads[i].detach(), state.get(i, zero)
        s, m, v = old["step"] + 1, b1 * old["m"] + (1 - b1) * g, b2 * old["v"] + (1 - b2) * g.square()
        denominator = (v / (1 - math.pow(b2, s))) ** 0.5 + eps
        moved = theta - lr * weight_decay * theta - lr * (m / (1 - math.pow(b1, s))) / denominator
        with torch.no_grad():
            params[i].copy_(moved)
        state[i] = {"step": s, "m": m, "v": v}
    return params, state


# ------------------------------------------------------------------------------------------------------ cosine_schedule


@alternative("cosine_schedule", note="the square of a cosine of half the angle; progress clamped to 0 ... 1")
def squared_cosine(step, warmup, total, peak, floor=0.0):
    if step < 0:
        raise ValueError("no such step")
    if warmup > total:
        raise ValueError("no such schedule")
    if warmup and step < warmup:
        return step * (peak / warmup)
    progress = min(max((step - warmup) / max(total - warmup, 1), 0.0), 1.0) if step < total else 1.0
    share = math.cos(math.pi / 2 * progress) ** 2
    return share * peak + (1.0 - share) * floor


@alternative("cosine_schedule", note="the whole table at once, and one look into it")
def by_table(step, warmup, total, peak, floor=0.0):
    assert step >= 0
    assert warmup <= total
    rise = [peak * s / warmup for s in range(warmup)]
    fall = [floor + (peak - floor) * (1 - math.sin(math.pi * (s / (total - warmup) - 0.5))) / 2
            for s in range(total - warmup)]  # fmt: skip
    return [*rise, *fall, floor][min(step, total)]


# ------------------------------------------------------------------------------------------------------- clip_grad_norm


@alternative("clip_grad_norm", note="one long vector; always multiplied, by a factor that is exactly 1 below the limit")
def one_long_vector(grads, max_norm):
    assert max_norm > 0
    parts = [g.reshape(-1) for g in grads if g is not None]
    norm = torch.cat(parts).norm() if parts else torch.zeros(())
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    for g in grads:
        if g is not None:
            g *= factor
    return norm


@alternative("clip_grad_norm", note="the norm of the norms, in plain numbers")
def norm_of_norms(grads, max_norm):
    if not max_norm > 0:
        raise ValueError("max_norm must be positive")
    squares, dtype = 0.0, None
    for g in grads:
        if g is not None:
            squares, dtype = squares + torch.linalg.vector_norm(g).item() ** 2, g.dtype
    norm = math.sqrt(squares)
    for g in grads if norm > max_norm else []:
        if g is not None:
            g.copy_(g / ((norm + 1e-6) / max_norm))
    return torch.tensor(norm, dtype=dtype)


# ----------------------------------------------------------------------------------------------------- accumulated_step


@alternative(
    "accumulated_step", note="sums of surprises go back at once, and gradients are divided by the total at the end"
)
def divide_at_the_end(model, microbatches, optimizer):
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = None
    surprise, count = 0.0, 0
    for x, targets in microbatches:
        flat = targets.reshape(-1)
        here = int((flat != -100).sum())
        if here:
            summed = cross_entropy(model(x).reshape(len(flat), -1), flat) * here
            summed.backward()
            surprise, count = surprise + float(summed.detach()), count + here
    if not count:
        return 0.0
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is not None:
                p.grad /= count
    optimizer.step()
    return surprise / count


@alternative("accumulated_step", note="a weighted mean of means, with gradients gathered by torch.autograd.grad")
def gathered_gradients(model, microbatches, optimizer):
    params = [p for group in optimizer.param_groups for p in group["params"]]
    counts = [targets.ne(-100).sum().item() for _, targets in microbatches]
    optimizer.zero_grad(set_to_none=False)
    loss = 0.0
    for (x, targets), count in zip(microbatches, counts, strict=True):
        if not count:
            continue
        logits = model(x)
        scored = targets != -100
        part = -log_softmax(logits)[scored].gather(1, targets[scored].unsqueeze(1)).sum() / sum(counts)
        for p, g in zip(params, torch.autograd.grad(part, params), strict=True):
            p.grad = g if p.grad is None else p.grad + g
        loss += part.item()
    if sum(counts):
        optimizer.step()
    return loss


# ----------------------------------------------------------------------------------------------------- train_classifier


@alternative("train_classifier", note="every step looks at all points; a smooth nonlinearity; rate held, then lowered")
def all_points_each_step(x, y, steps, seed=0, on_update=None):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 2))
    state = {}
    for step in range(steps):
        model.zero_grad()
        cross_entropy(model(x), y).backward()
        adamw_step(list(model.parameters()), [p.grad for p in model.parameters()], state, 0.02 if step < 700 else 0.004)
        if on_update is not None:
            on_update(model)
    return model.eval()


@alternative("train_classifier", note="passes over shuffled points in batches of 50; a module of its own; tanh")
def shuffled_passes(x, y, steps, seed=0, on_update=None):
    draw = torch.Generator().manual_seed(seed)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise((2, 64, 64, 64, 2))])
            for layer in self.layers:
                nn.init.xavier_normal_(layer.weight, gain=5 / 3, generator=draw)
                nn.init.zeros_(layer.bias)

        def forward(self, points):
            for layer in self.layers[:-1]:
                points = layer(points).tanh()
            return self.layers[-1](points)

    model, state, taken = Network(), {}, 0
    params = list(model.parameters())
    while taken < steps:
        for rows in torch.randperm(len(x), generator=draw).split(50):
            if taken == steps:
                break
            grads = list(torch.autograd.grad(cross_entropy(model(x[rows]), y[rows]), params))
            clip_grad_norm(grads, 5.0)
            adamw_step(params, grads, state, cosine_schedule(taken, 0, steps, 1e-2), weight_decay=0.0)
            taken += 1
            if on_update is not None:
                on_update(model)
    return model
