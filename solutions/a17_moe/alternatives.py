"""Other right answers, written differently. Each must pass everything, and none is ever called a mistake."""

import torch
from reference import expert_capacity, load_balance_loss, switch_route, z_loss
from torch import nn

from autograder.testing import alternative


@alternative("expert_capacity", note="whole numbers: fractions instead of floats")
def by_fractions(n_tokens, n_experts, factor):
    from fractions import Fraction

    if n_experts <= 0 or n_tokens < 0 or factor <= 0:
        raise ValueError("no capacity")
    exact = Fraction(str(factor)) * n_tokens / n_experts
    return max(1, -(-exact.numerator // exact.denominator))


@alternative("switch_route", note="a loop over tokens that counts seats, the gate from exp and log-sum-exp")
def by_counting(logits, capacity, mask=None):
    if logits.dim() != 2 or capacity < 1 or (mask is not None and tuple(mask.shape) != (logits.shape[0],)):
        raise ValueError("bad shapes or no seats")
    taken = [0] * logits.shape[1]
    expert, kept = [], []
    for t, row in enumerate(logits.tolist()):
        if mask is not None and not mask[t]:
            expert.append(-1)
            kept.append(False)
            continue
        best = row.index(max(row))
        taken[best] += 1
        expert.append(best)
        kept.append(taken[best] <= capacity)
    expert = torch.tensor(expert, dtype=torch.int64)
    log_p = logits - logits.logsumexp(dim=1, keepdim=True)
    gate = log_p.gather(1, expert.clamp(min=0)[:, None])[:, 0].exp()
    return expert, torch.where(expert >= 0, gate, torch.zeros_like(gate)), torch.tensor(kept, dtype=torch.bool)


@alternative("load_balance_loss", note="one-hot tables and a masked mean")
def by_tables(probs, expert, mask=None):
    expert = expert[:, None] if expert.dim() == 1 else expert
    real = torch.ones(len(probs)) if mask is None else mask.float()
    if len(expert) != len(probs) or real.shape != (len(probs),) or real.sum() == 0:
        raise ValueError("bad shapes or nobody")
    E, K = probs.shape[1], expert.shape[1]
    table = (expert[:, :, None] == torch.arange(E)).float().sum(1)  # (T, E)
    f = (table * real[:, None]).sum(0) / (K * real.sum())
    P = (probs * real[:, None]).sum(0) / real.sum()
    return torch.dot(f, P) * E


@alternative("z_loss", note="the largest logit apart, the exponentials of what is left")
def by_the_largest(logits, mask=None):
    if logits.dim() != 2 or (mask is not None and len(mask) != len(logits)):
        raise ValueError("bad shapes")
    rows = logits if mask is None else logits[mask.nonzero()[:, 0]]
    if rows.shape[0] == 0:
        raise ValueError("nobody")
    top = rows.detach().amax(dim=1, keepdim=True)
    return torch.mean((top[:, 0] + torch.log(torch.exp(rows - top).sum(1))) ** 2)


@alternative("MoELayer", note="every expert on every token, by einsum, and a table of who goes where")
class EveryExpert(nn.Module):
    def __init__(self, d_model, d_ff, n_experts, capacity_factor=1.25):
        super().__init__()
        self.factor = capacity_factor
        self.w_out = nn.Parameter(0.02 * torch.randn(n_experts, d_model, d_ff))
        self.w_in = nn.Parameter(0.2 * torch.randn(n_experts, d_ff, d_model))
        self.router = nn.Parameter(0.1 * torch.randn(n_experts, d_model))

    def forward(self, x, mask=None):
        B, S, D = x.shape
        flat = x.view(B * S, D)
        real = torch.ones(B * S, dtype=torch.bool) if mask is None else mask.flatten()
        logits = torch.einsum("td,ed->te", flat, self.router)
        E = logits.shape[1]
        expert, gate, kept = switch_route(logits, expert_capacity(int(real.sum()), E, self.factor), real)
        inner = torch.einsum("td,efd->tef", flat, self.w_in).clamp(min=0)
        out = torch.einsum("tef,edf->ted", inner, self.w_out)
        table = (expert[:, None] == torch.arange(E)) & kept[:, None]
        y = torch.einsum("ted,te->td", out, table * gate[:, None])
        share = (real & ~kept).sum() / real.sum()
        load = (expert[:, None] == torch.arange(E)).sum(0)
        balance = load_balance_loss(torch.softmax(logits, 1), expert, real)
        return y.view(B, S, D), {"load": load, "dropped": share, "z": z_loss(logits, real), "balance": balance}


@alternative("bias_balanced_route", note="a sort instead of topk, and a table of the chosen")
def by_sorting(logits, bias, top_k, scaling=1.0):
    if logits.dim() != 2 or bias.shape != (logits.shape[1],) or top_k < 1 or top_k > logits.shape[1]:
        raise ValueError("bad shapes or top_k")
    s = 1 / (1 + torch.exp(-logits))
    with torch.no_grad():
        indices = torch.argsort(s + bias, dim=1, descending=True)[:, :top_k].sort(dim=1).values
    w = torch.take_along_dim(s, indices, dim=1)
    return indices, scaling * w / w.sum(dim=1, keepdim=True)


@alternative("update_bias", note="where instead of sign")
def by_where(bias, load, rate):
    if bias.shape != load.shape or bias.ndim != 1 or rate < 0:
        raise ValueError("bad shapes or rate")
    mean = load.double().mean()
    step = torch.where(load.double() < mean, 1.0, 0.0) - torch.where(load.double() > mean, 1.0, 0.0)
    return bias + (rate * step).to(bias.dtype)


@alternative("DeepSeekMoE", note="a dense table of weights (T, E), every expert by einsum")
class DenseTable(nn.Module):
    def __init__(self, d_model, d_expert, n_routed, n_shared, top_k, score="softmax"):
        super().__init__()
        if score not in {"softmax", "sigmoid"} or not 0 < top_k <= n_routed:
            raise ValueError("unknown score or bad top_k")
        self.k = top_k
        self.width = n_shared * d_expert
        self.shared_down = nn.Parameter(0.1 * torch.randn(d_model, self.width))
        self.shared_gate_up = nn.Parameter(0.1 * torch.randn(2 * self.width, d_model))
        self.w_down = nn.Parameter(0.1 * torch.randn(n_routed, d_model, d_expert))
        self.w_gate_up = nn.Parameter(0.1 * torch.randn(n_routed, 2 * d_expert, d_model))
        self.gate = nn.Parameter(0.1 * torch.randn(n_routed, d_model))
        self.sigmoid = score == "sigmoid"
        if self.sigmoid:
            self.register_buffer("bias", torch.zeros(n_routed))

    def forward(self, x):
        logits = torch.einsum("bsd,ed->bse", x, self.gate)
        s = logits.sigmoid() if self.sigmoid else logits.softmax(-1)
        by = s + self.bias if self.sigmoid else s
        chosen = torch.zeros_like(s).scatter(-1, by.detach().topk(self.k, dim=-1).indices, 1.0)
        table = s * chosen
        if self.sigmoid:
            table = table / table.sum(-1, keepdim=True)
        self.load = chosen.sum((0, 1)).long()
        both = torch.einsum("bsd,efd->bsef", x, self.w_gate_up)
        F = both.shape[-1] // 2
        inner = both[..., :F] * torch.sigmoid(both[..., :F]) * both[..., F:]
        y = torch.einsum("bsef,edf,bse->bsd", inner, self.w_down, table)
        g, u = x @ self.shared_gate_up[: self.width].T, x @ self.shared_gate_up[self.width :].T
        return y + (g * torch.sigmoid(g) * u) @ self.shared_down.T


@alternative("train_moe", note="plain Adam at a constant rate, a tenth of the balance loss and a little of the z-loss")
def by_adam(layer, batches, steps, seed):
    layer.train()
    optimizer = torch.optim.Adam(layer.parameters(), lr=5e-3)
    for i in range(steps):
        x, y = batches(i)
        out, info = layer(x)
        loss = ((out - y) ** 2).mean() + 0.1 * info["balance"] + 1e-4 * info["z"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    layer.eval()
    return layer
