"""Other right answers, written differently. Each must pass everything, and none is ever called a mistake."""

import math

import torch
from common.quantization import dynamic_map
from reference import absmax_quantize, nf4_codebook

from autograder.testing import alternative


@alternative("absmax_quantize", note="multiplied by the inverse scale, in float64")
def by_inverse(x, bits=8, dim=None):
    if bits < 2 or bits > 8 or x.numel() == 0 or bool((~torch.isfinite(x)).any()):
        raise ValueError("cannot be quantised")
    top = 2 ** (bits - 1) - 1
    y = x.double()
    largest = torch.amax(y.abs()) if dim is None else torch.amax(y.abs(), dim, keepdim=True)
    inverse = torch.where(largest > 0, top / largest, torch.zeros_like(largest))
    return torch.round(y * inverse).clamp(-top, top).char(), (largest / top).float()


@alternative("zeropoint_quantize", note="tensors throughout, float64")
def by_tensors(x, bits=8):
    if bits not in range(2, 9) or x.numel() == 0 or not torch.isfinite(x).all():
        raise ValueError("cannot be quantised")
    y = torch.cat([x.double().flatten(), torch.zeros(1, dtype=torch.float64)])
    span = (y.max() - y.min()).item()
    if span == 0:
        return torch.zeros_like(x, dtype=torch.uint8), 1.0, 0
    scale = span / (2**bits - 1)
    zero = int(torch.round(-y.min() / scale))
    return (torch.round(x.double() / scale) + zero).clamp(0, 2**bits - 1).byte(), scale, zero


def _by_einsum(x, w):
    if x.ndim != 2 or w.ndim != 2 or x.size(1) != w.size(1):
        raise ValueError("shapes")
    a, s = absmax_quantize(x, 8, -1)
    b, t = absmax_quantize(w, 8, -1)
    return (torch.einsum("mk,nk->mn", a.double(), b.double()) * torch.outer(s[:, 0], t[:, 0]).double()).float()


@alternative("int8_matmul", note="float64 products, which are exact for whole numbers, by einsum")
def by_einsum(x, w):
    return _by_einsum(x, w)


@alternative("llm_int8_linear", note="columns left out on both sides, the weight quantised without them")
def left_out(x, weight, bias=None, threshold=6.0):
    if weight.ndim != 2 or weight.size(1) != x.size(-1) or (bias is not None and bias.size(0) != weight.size(0)):
        raise ValueError("shapes")
    flat = x.flatten(0, -2)
    loud = flat.abs().amax(0) >= threshold
    y = torch.zeros(len(flat), len(weight))
    if loud.any():
        y = y + flat[:, loud] @ weight[:, loud].T
    if not loud.all():
        y = y + _by_einsum(flat[:, ~loud], weight[:, ~loud])
    y = y.reshape(*x.shape[:-1], -1)
    return y + bias if bias is not None else y


@alternative("smooth", note="logarithms, one channel after the other")
def by_logarithms(X_absmax, W, alpha=0.5):
    rows = [W] if torch.is_tensor(W) else W
    if not rows or not 0 <= alpha <= 1 or any(w.ndim != 2 or w.size(1) != X_absmax.numel() for w in rows):
        raise ValueError("alpha or shapes")
    factors = []
    for k, x in enumerate(X_absmax.tolist()):
        w = max(m[:, k].abs().max().item() for m in rows)
        factors.append(1.0 if x == 0 or w == 0 else math.exp(alpha * math.log(x) - (1 - alpha) * math.log(w)))
    return torch.tensor(factors)


@alternative("fold", note="multiplied by the inverse")
def by_the_inverse(norm_weight, norm_bias, W, s):
    many = not torch.is_tensor(W)
    rows = list(W) if many else [W]
    if len(norm_weight) != len(s) or any(w.shape[-1] != len(s) for w in rows):
        raise ValueError("shapes")
    if norm_bias is not None and len(norm_bias) != len(s):
        raise ValueError("shapes")
    inverse = s.reciprocal()
    rows = [w @ torch.diag(s) for w in rows]
    return norm_weight * inverse, norm_bias * inverse if norm_bias is not None else None, rows if many else rows[0]


@alternative("nf4_codebook", note="the error function's inverse, a list of sixteen numbers")
def by_erfinv():
    def quantile(p):
        return math.sqrt(2) * torch.erfinv(torch.tensor(2 * p - 1, dtype=torch.float64)).item()

    p = 0.9677083
    positive = [quantile(p + (0.5 - p) * i / 8) for i in range(8)]
    negative = [-quantile(p + (0.5 - p) * i / 7) for i in range(7)]
    top = positive[0]
    return torch.tensor([x / top for x in [*negative, 0.0, *reversed(positive)]], dtype=torch.float32)


@alternative("nf4_quantize", note="distances to all levels, block by block, bytes by a loop")
def block_by_block(x, block=64):
    if block <= 0 or x.numel() == 0 or not torch.isfinite(x).all():
        raise ValueError("cannot be packed")
    levels = nf4_codebook()
    index, tops = [], []
    for part in x.float().reshape(-1).split(block):
        top = part.abs().max()
        tops.append(top)
        scaled = part / top if top > 0 else part
        borders = (levels[1:] + levels[:-1]) / 2
        index += (scaled[:, None] > borders).sum(1).tolist()
    if len(index) % 2:
        index.append(7)
    return torch.tensor(
        [16 * a + b for a, b in zip(index[::2], index[1::2], strict=True)], dtype=torch.uint8
    ), torch.stack(tops)


@alternative("nf4_dequantize", note="division with remainder, the last block filled up")
def by_division(packed, absmax, shape, block=64):
    n = math.prod(shape)
    if len(packed) != math.ceil(n / 2) or block < 1 or len(absmax) != math.ceil(n / block):
        raise ValueError("sizes")
    numbers = packed.int()
    index = torch.empty(2 * len(numbers), dtype=torch.int64)
    index[::2], index[1::2] = numbers // 16, numbers % 16
    flat = nf4_codebook()[index[:n]]
    scales = absmax[torch.arange(n) // block]
    return (flat * scales).reshape(tuple(shape))


@alternative("double_quantize", note="bisection between the levels, block by block")
def by_bisection(absmax, block=256):
    if absmax.ndim != 1 or absmax.numel() == 0 or block < 1:
        raise ValueError("no maxima")
    levels = dynamic_map()
    mean = absmax.float().mean()
    codes, scales = [], []
    for part in (absmax.float() - mean).split(block):
        scale = part.abs().max()
        scaled = part / scale if scale > 0 else part
        right = torch.searchsorted(levels, scaled.contiguous()).clamp(1, 255)
        nearer = (scaled - levels[right - 1]) <= (levels[right] - scaled)
        codes.append(torch.where(nearer, right - 1, right))
        scales.append(scale)
    return torch.cat(codes).byte(), torch.stack(scales), mean


@alternative("double_dequantize", note="block by block")
def blocks_back(codes, scales, mean, block=256):
    parts = codes.split(block) if block > 0 and codes.ndim == 1 else []
    if len(parts) != len(scales):
        raise ValueError("sizes")
    levels = dynamic_map()
    return torch.cat([levels[part.int()] * scale for part, scale in zip(parts, scales, strict=True)]) + mean


@alternative("bits_per_weight", note="the bits of one large block, divided by its weights")
def by_counting(block=64, block2=None):
    if block <= 0 or (block2 is not None and block2 <= 0):
        raise ValueError("blocks")
    if block2 is None:
        return (4 * block + 32) / block
    return (4 * block * block2 + 8 * block2 + 32) / (block * block2)
