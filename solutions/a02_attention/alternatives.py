"""Other right implementations, as different as students are. Every test must let them pass."""

import itertools
import math

import torch
import torch.nn.functional as F
from reference import attention, causal_mask, rope
from torch import nn

from autograder.testing import alternative

# ---------------------------------------------------------------------------------------------------------- causal_mask


@alternative("causal_mask", note="a triangle of ones, cut at the right diagonal")
def triangle(T_q, T_k):
    return torch.ones(T_q, T_k).tril(diagonal=T_k - T_q).bool()


@alternative("causal_mask", note="hides what lies above the diagonal")
def not_upper_triangle(T_q, T_k):
    future = torch.ones(T_q, T_k, dtype=torch.bool).triu(diagonal=1 + T_k - T_q)
    return torch.logical_not(future)


@alternative("causal_mask", note="two loops over rows and columns")
def entry_by_entry(T_q, T_k):
    mask = torch.zeros(T_q, T_k, dtype=torch.bool)  # refuses negative sizes by itself
    for i in range(T_q):
        for j in range(T_k):
            mask[i, j] = j - i <= T_k - T_q
    return mask


@alternative("causal_mask", note="the last rows of a square mask")
def last_rows_of_a_square(T_q, T_k):
    assert T_q >= 0
    assert T_k >= 0
    n = max(T_q, T_k)
    return torch.ones(n, n, dtype=torch.bool).tril()[n - T_q :, n - T_k :]


# ------------------------------------------------------------------------------------------------------------ attention


def _refuse_bad(q, k, v, mask):
    assert q.size(-1) == k.size(-1), "q and k differ in size"
    assert k.size(-2) == v.size(-2), "k and v differ in number"
    assert mask is None or mask.dtype is torch.bool, "the mask is bool"


@alternative("attention", note="einsum, and a softmax in log space")
def log_space(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    scores = torch.einsum("...qd,...kd->...qk", q, k) * q.size(-1) ** -0.5
    if mask is None:
        return torch.einsum("...qk,...kv->...qv", (scores - scores.logsumexp(-1, keepdim=True)).exp(), v)
    low = torch.where(mask, scores, -1e30)
    weights = (low - low.logsumexp(-1, keepdim=True)).exp()
    return torch.einsum("...qk,...kv->...qv", torch.where(mask, weights, 0.0), v)


@alternative("attention", note="masks after the exponential and shares out again")
def renormalised(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    mask = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand(scores.shape)
    if scores.shape[-1] == 0:
        return scores @ v
    highest = scores.detach().masked_fill(~mask, -torch.inf).amax(-1, keepdim=True)
    highest = torch.where(highest.isinf(), 0.0, highest)
    # a hidden score may lie far above every visible one: it is cut before the exponential
    weights = (scores - highest).clamp(max=0).exp() * mask
    total = weights.sum(-1, keepdim=True)
    return weights @ v / torch.where(total == 0, 1.0, total)


@alternative("attention", note="minus infinity, then NaN replaced where nothing is visible")
def nan_replaced(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    scores = torch.matmul(q, k.transpose(-1, -2)) / q.shape[-1] ** 0.5
    if mask is None:
        return F.softmax(scores, dim=-1) @ v
    weights = F.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)
    return torch.nan_to_num(weights, nan=0.0) @ v


@alternative("attention", note="one query at a time, over its visible keys only")
def query_by_query(q, k, v, mask=None):
    _refuse_bad(q, k, v, mask)
    leading, (T_q, d), (T_k, d_v) = q.shape[:-2], q.shape[-2:], v.shape[-2:]
    if mask is None:
        mask = torch.ones(T_q, T_k, dtype=torch.bool)
    mask = mask.expand(*leading, T_q, T_k)
    rows = []
    for place in itertools.product(*map(range, (*leading, T_q))):
        batch, seen = place[:-1], mask[place].nonzero()[:, 0]
        weights = torch.softmax(k[batch][seen] @ q[place] / math.sqrt(d), dim=0)
        rows.append(weights @ v[batch][seen])
    return torch.stack(rows).reshape(*leading, T_q, d_v) if rows else v.new_zeros(*leading, T_q, d_v)


# ----------------------------------------------------------------------------------------------------------------- rope


@alternative("rope", note="cos and sin at full width, and the half-turned vector; angles in float32 always")
def half_turned(x, positions, base=10000.0):
    d = x.shape[-1]
    if d % 2 != 0:
        raise ValueError("d must be even")
    frequency = 1.0 / (base ** (torch.arange(0, d, 2).float() / d))
    angle = positions.float().unsqueeze(-1) * frequency
    angle = torch.cat([angle, angle], dim=-1)
    if positions.dim() == 2:
        angle = angle.unsqueeze(1)
    a, b = x.chunk(2, dim=-1)
    return (x * angle.cos() + torch.cat([-b, a], dim=-1) * angle.sin()).to(x.dtype)


@alternative("rope", note="each pair as a complex number")
def complex_numbers(x, positions, base=10000.0):
    d = x.shape[-1]
    if d % 2 == 1:
        raise ValueError("d must be even")
    angle = positions.double()[..., None] * base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    if positions.dim() == 2:
        angle = angle[:, None]
    x1, x2 = x.double().chunk(2, dim=-1)
    turned = torch.complex(x1, x2) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], dim=-1).to(x.dtype)


@alternative("rope", note="a rotation matrix (d, d) for each token")
def matrices(x, positions, base=10000.0):
    d = x.shape[-1]
    assert d % 2 == 0
    i = torch.arange(d // 2)
    angle = positions.double()[..., None] * float(base) ** (-2.0 * i.double() / d)  # (..., T, d/2)
    R = torch.zeros(*angle.shape[:-1], d, d, dtype=torch.float64)
    R[..., i, i] = R[..., i + d // 2, i + d // 2] = angle.cos()
    R[..., i, i + d // 2] = -angle.sin()
    R[..., i + d // 2, i] = angle.sin()
    if positions.dim() == 2:
        R = R[:, None]
    return (R @ x.double()[..., None])[..., 0].to(x.dtype)


# --------------------------------------------------------------------------------------------------- MultiHeadAttention


class _Projections(nn.Module):
    def __init__(self, d_model, n_heads, bias=False, rope_base=None):
        super().__init__()
        assert d_model % n_heads == 0, "heads must share the width evenly"
        self.n_heads, self.rope_base, self.head_size = n_heads, rope_base, d_model // n_heads
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            setattr(self, name, nn.Linear(d_model, d_model, bias=bias))


@alternative("MultiHeadAttention", note="one fused projection of the three weights put together")
class fused_projection(_Projections):
    def forward(self, x, mask=None, positions=None):
        B, T, _ = x.shape
        parts = (self.q_proj, self.k_proj, self.v_proj)
        bias = None if self.q_proj.bias is None else torch.cat([p.bias for p in parts])
        qkv = F.linear(x, torch.cat([p.weight for p in parts]), bias)
        q, k, v = qkv.reshape(B, T, 3, self.n_heads, self.head_size).permute(2, 0, 3, 1, 4)
        if self.rope_base is not None:
            positions = torch.arange(T) if positions is None else positions
            q, k = rope(torch.stack([q, k]).flatten(0, 1), _twice(positions), self.rope_base).unflatten(0, (2, B))
        if mask is not None:
            mask = mask.view(-1, 1, T, T)
        return self.o_proj(attention(q, k, v, mask).permute(0, 2, 1, 3).flatten(-2))


def _twice(positions):
    return torch.cat([positions, positions]) if positions.dim() == 2 else positions


@alternative("MultiHeadAttention", note="a loop over heads; the output matrix is applied head by head")
class head_by_head(_Projections):
    def forward(self, x, mask=None, positions=None):
        T = x.shape[1]
        if positions is None:
            positions = torch.arange(T)
        y = 0
        for h in range(self.n_heads):
            own = slice(h * self.head_size, (h + 1) * self.head_size)
            q, k, v = (p(x)[..., own] for p in (self.q_proj, self.k_proj, self.v_proj))  # (B, T, d)
            if self.rope_base is not None:
                q, k = (rope(t[:, None], positions, self.rope_base)[:, 0] for t in (q, k))
            y = y + attention(q, k, v, mask) @ self.o_proj.weight[:, own].T
        return y if self.o_proj.bias is None else y + self.o_proj.bias


@alternative("MultiHeadAttention", note="einsum over (B, T, H, d), without one transpose")
class einsum_heads(_Projections):
    def forward(self, x, mask=None, positions=None):
        B, T, D = x.shape
        q, k, v = (p(x).unflatten(-1, (self.n_heads, -1)) for p in (self.q_proj, self.k_proj, self.v_proj))
        if self.rope_base is not None:
            positions = torch.arange(T) if positions is None else positions
            q, k = (rope(t.movedim(2, 1), positions, self.rope_base).movedim(1, 2) for t in (q, k))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(self.head_size)
        if mask is not None:
            hidden = ~(mask if mask.ndim == 2 else mask.unsqueeze(1))
            weights = scores.masked_fill(hidden, torch.finfo(x.dtype).min).softmax(-1).masked_fill(hidden, 0.0)
        else:
            weights = scores.softmax(-1)
        return self.o_proj(torch.einsum("bhqk,bkhd->bqhd", weights, v).reshape(B, T, D))


# ------------------------------------------------------------------------------------------------- attention_with_cache


@alternative("attention_with_cache", note="one token at a time, so that no mask is needed")
def token_by_token(module, x, cache=None):
    B, T_new, D = x.shape
    H, d = module.n_heads, D // module.n_heads
    k_all, v_all = cache if cache is not None else (x.new_zeros(B, H, 0, d), x.new_zeros(B, H, 0, d))
    outputs = [x.new_zeros(B, 0, D)]
    for t in range(T_new):
        token = x[:, t : t + 1]
        q, k, v = (p(token).view(B, H, 1, d) for p in (module.q_proj, module.k_proj, module.v_proj))
        if module.rope_base is not None:
            place = torch.tensor([k_all.shape[2]])
            q, k = rope(q, place, module.rope_base), rope(k, place, module.rope_base)
        k_all, v_all = torch.cat([k_all, k], dim=2), torch.cat([v_all, v], dim=2)
        outputs.append(module.o_proj(attention(q, k_all, v_all).reshape(B, 1, D)))
    return torch.cat(outputs, dim=1), (k_all, v_all)


@alternative("attention_with_cache", note="copies old and new into fresh buffers, and compares places for a mask")
def fresh_buffers(module, x, cache=None):
    B, T_new, D = x.shape
    H = module.n_heads
    d = D // H
    T_past = cache[0].size(2) if cache is not None else 0
    places = torch.arange(T_past + T_new)

    def heads(projected):
        return projected.reshape(B, T_new, H, d).permute(0, 2, 1, 3)

    q, new_k, v_new = heads(module.q_proj(x)), heads(module.k_proj(x)), heads(module.v_proj(x))
    if module.rope_base is not None:
        q = rope(q, places[T_past:], module.rope_base)
        new_k = rope(new_k, places[T_past:], module.rope_base)
    k, v = x.new_empty(B, H, T_past + T_new, d), x.new_empty(B, H, T_past + T_new, d)
    if cache is not None:
        k[:, :, :T_past].copy_(cache[0])
        v[:, :, :T_past].copy_(cache[1])
    k[:, :, T_past:], v[:, :, T_past:] = new_k, v_new
    mask = places <= places[T_past:, None]
    return module.o_proj(attention(q, k, v, mask).permute(0, 2, 1, 3).reshape(B, T_new, D)), (k, v)


@alternative("attention_with_cache", note="asks old and new keys apart, and joins the two averages by their weights")
def past_and_present(module, x, cache=None):
    B, T_new, D = x.shape
    H, d = module.n_heads, D // module.n_heads
    q, k, v = (p(x).unflatten(-1, (H, d)).movedim(2, 1) for p in (module.q_proj, module.k_proj, module.v_proj))
    if cache is None:
        cache = (k[:, :, :0], v[:, :, :0])
    if module.rope_base is not None:
        places = cache[0].shape[2] + torch.arange(T_new)
        q, k = rope(q, places, module.rope_base), rope(k, places, module.rope_base)
    old = q @ cache[0].mT / math.sqrt(d)  # (B, H, T_new, T_past)
    new = (q @ k.mT / math.sqrt(d)).masked_fill(~causal_mask(T_new, T_new), -torch.inf)  # (B, H, T_new, T_new)
    total = torch.cat([old, new], dim=-1).logsumexp(-1, keepdim=True)
    y = (old - total).exp() @ cache[1] + (new - total).exp() @ v
    y = module.o_proj(y.movedim(1, 2).reshape(B, T_new, D))
    return y, (torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2))
