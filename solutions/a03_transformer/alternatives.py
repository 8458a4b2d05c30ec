"""Other right implementations, as different as students are. Every test must let them pass."""

import math

import torch
import torch.nn.functional as F
from common.transformer import MLP, CausalSelfAttention
from reference import GPT, Block, LayerNorm, RMSNorm, SwiGLU, next_token_probs
from torch import nn

from autograder.testing import alternative

# ------------------------------------------------------------------------------------------------- LayerNorm and RMSNorm


@alternative("LayerNorm", note="sums and vecdot, and a reciprocal root; half precision by hand")
class with_vecdot(nn.Module):
    def __init__(self, d, eps=1e-5):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))
        self.d, self.eps = d, eps

    def forward(self, x):
        assert x.size(-1) == self.d, "another width"
        dtype = x.dtype
        if dtype in (torch.float16, torch.bfloat16):
            x = x.float()
        x = x - x.sum(dim=-1, keepdim=True) / self.d
        variance = torch.linalg.vecdot(x, x)[..., None] / self.d
        return (x * torch.rsqrt(variance + self.eps) * self.weight + self.bias).to(dtype)


@alternative("LayerNorm", note="everything in float64, the mean as a product with a matrix")
class in_float64(nn.Module):
    def __init__(self, d, eps=1e-5):
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d)), eps

    def forward(self, x):
        d = len(self.weight)
        if x.shape[-1] != d:
            raise RuntimeError("this width is not mine")
        centring = torch.eye(d, dtype=torch.float64) - 1.0 / d
        centred = x.double() @ centring
        scale = (torch.einsum("...i,...i->...", centred, centred) / d + self.eps) ** -0.5
        return (self.weight * (centred * scale[..., None]) + self.bias).to(x.dtype)


@alternative("RMSNorm", note="the length of the vector, scaled")
class by_length(nn.Module):
    def __init__(self, d, eps=1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d)), eps

    def forward(self, x):
        d = self.weight.numel()
        if x.shape[-1] != d:
            raise ValueError("another width")
        wide = x.double()
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        return (wide * (length**2 / d + self.eps).rsqrt() * self.weight).to(x.dtype)


@alternative("RMSNorm", note="rounds before the weight, as Llama in transformers does")
class rounds_before_the_weight(nn.Module):
    def __init__(self, d, eps=1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d)), eps

    def forward(self, x):
        assert x.shape[-1:] == self.weight.shape, "another width"
        fine = x if x.dtype == torch.float64 else x.float()
        fine = fine * torch.rsqrt(fine.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * fine.to(x.dtype)


# --------------------------------------------------------------------------------------------------------------- SwiGLU


@alternative("SwiGLU", note="SiLU written out, and one product for both branches")
class one_product_up(SwiGLU):
    def forward(self, x):
        both = torch.cat([self.gate_proj.weight, self.up_proj.weight])
        bias = None if self.up_proj.bias is None else torch.cat([self.gate_proj.bias, self.up_proj.bias])
        gate, up = F.linear(x, both, bias).chunk(2, dim=-1)
        return self.down_proj(up * gate * torch.sigmoid(gate))


@alternative("SwiGLU", note="x / (1 + exp(-x)), through nn.Sequential pieces")
class by_the_definition(nn.Module):
    def __init__(self, d_model, d_ff, bias=False):
        super().__init__()
        self.down_proj = nn.Linear(d_ff, d_model, bias)
        self.gate_proj, self.up_proj = (nn.Linear(d_model, d_ff, bias) for _ in range(2))

    def forward(self, x):
        z = self.gate_proj(x)
        return self.down_proj(self.up_proj(x) * (z / (1 + torch.exp(-z))))


# ---------------------------------------------------------------------------------------------------------------- Block


@alternative("Block", note="ifs instead of dictionaries, two dropouts, sums out of the way")
class with_ifs(nn.Module):
    def __init__(self, config):
        super().__init__()
        D, eps = config.d_model, config.norm_eps
        self.attn = CausalSelfAttention(config)
        if config.norm == "layernorm":
            self.norm1, self.norm2 = LayerNorm(D, eps), LayerNorm(D, eps)
        else:
            self.norm1, self.norm2 = RMSNorm(D, eps), RMSNorm(D, eps)
        if config.mlp == "gelu":
            self.mlp = MLP(D, config.d_ff, config.bias)
        else:
            self.mlp = SwiGLU(D, config.d_ff, config.bias)
        self.drop1, self.drop2 = nn.Dropout(config.dropout), nn.Dropout(config.dropout)

    def forward(self, x):
        heard = self.drop1(self.attn(self.norm1(x)))
        thought = self.drop2(self.mlp(self.norm2(torch.add(x, heard))))
        return x + heard + thought


@alternative("Block", note="functional dropout, and a clone that is added to in place")
class adds_to_a_clone(Block):
    def forward(self, x):
        stream, p = x.clone(), self.dropout.p
        stream += F.dropout(self.attn(self.norm1(x)), p, self.training)
        return stream.clone() + F.dropout(self.mlp(self.norm2(stream)), p, self.training)


# ------------------------------------------------------------------------------------------------------------------ GPT


@alternative("GPT", note="a head module that shares the table, weights drawn by apply")
class with_head_module(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.tok_emb = nn.Embedding(config.vocab_size, config.d_model)
        if config.positions == "learned":
            self.pos_emb = nn.Embedding(config.context, config.d_model)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = (LayerNorm if config.norm == "layernorm" else RMSNorm)(config.d_model, config.norm_eps)
        self.apply(self._draw)
        for block in self.blocks:
            for layer in (block.attn.o_proj, block.mlp.down_proj):
                nn.init.normal_(layer.weight, 0.0, 0.02 * (2 * config.n_layers) ** -0.5)
        self.tok_emb.weight = self.lm_head.weight

    @staticmethod
    def _draw(module):
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(0.0, 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.data.zero_()

    def forward(self, tokens):
        B, T = tokens.size()
        assert self.config.context >= T, "too long"
        x = self.tok_emb(tokens)
        if hasattr(self, "pos_emb"):
            x = x + self.pos_emb.weight[:T].expand(B, T, -1)
        for i in range(len(self.blocks)):
            x = self.blocks[i](x)
        return self.lm_head(self.norm(x))


@alternative("GPT", note="keeps the numbers of its places in a buffer that is saved")
class with_buffers(GPT):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("places", torch.arange(config.context))

    def forward(self, tokens):
        length = tokens.size(-1)
        if length > len(self.places):
            raise ValueError("no place for so many tokens")
        x = F.embedding(tokens, self.tok_emb.weight)
        if self.config.positions == "learned":
            x = x + F.embedding(self.places[:length], self.pos_emb.weight)
        return F.linear(self.norm(nn.Sequential(*self.blocks)(x)), self.tok_emb.weight)


@alternative("GPT", note="looks tokens up as a product with one-hot rows")
class one_hot_rows(GPT):
    def forward(self, tokens):
        V, T = self.config.vocab_size, tokens.shape[1]
        if self.config.context < T:
            raise IndexError("no such place")
        table = self.tok_emb.weight
        x = F.one_hot(tokens, V).to(table.dtype) @ table
        if self.config.positions == "learned":
            x = x + self.pos_emb(torch.arange(T))[None]
        for block in self.blocks:
            x = block(x)
        return torch.einsum("btd,vd->btv", self.norm(x), table)


# ----------------------------------------------------------------------------------------------------- count_parameters


@alternative("count_parameters", note="one shape after the other")
def by_shapes(config):
    V, D, F_, n = config.vocab_size, config.d_model, config.d_ff, config.n_layers
    norm = {"layernorm": [D, D], "rmsnorm": [D]}.get(config.norm)
    up = {"swiglu": 2, "gelu": 1}.get(config.mlp)
    places = {"learned": [config.context * D], "rope": []}.get(config.positions)
    assert norm is not None, "unknown norm"
    assert up is not None, "unknown mlp"
    assert places is not None, "unknown positions"
    layer = norm * 2 + [D * D] * 4 + [D * F_] * (up + 1)
    if config.bias:
        layer += [D] * 4 + [F_] * up + [D]
    return V * D + sum(places) + n * sum(layer) + sum(norm)


@alternative("count_parameters", note="a model without numbers, on torch's meta device")
def without_numbers(config):
    if config.norm not in ("layernorm", "rmsnorm") or config.mlp not in ("swiglu", "gelu"):
        raise ValueError("unknown word")
    if config.positions not in ("learned", "rope"):
        raise ValueError("unknown word")
    layers = []
    with torch.device("meta"):
        layers = [Block(config)]
        norm = (LayerNorm if config.norm == "layernorm" else RMSNorm)(config.d_model)
    a_layer = sum(p.numel() for p in layers[0].parameters())
    places = config.context * config.d_model if config.positions == "learned" else 0
    rest = config.vocab_size * config.d_model + places + sum(p.numel() for p in norm.parameters())
    return rest + config.n_layers * a_layer


# ----------------------------------------------------------------------------------------------------- next_token_probs


def _refuse_bad(temperature, top_k, top_p):
    assert temperature >= 0, "temperature"
    assert top_k is None or top_k > 0, "top_k"
    assert top_p is None or 0 < top_p <= 1, "top_p"


@alternative("next_token_probs", note="one row at a time, one token at a time, in plain Python")
def token_by_token(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    rows = [_one_row(row, temperature, top_k, top_p) for row in logits.tolist()]
    return torch.tensor(rows, dtype=logits.dtype)


def _one_row(row, temperature, top_k, top_p):
    highest = max(row)
    if temperature == 0:
        first = row.index(highest)
        return [float(j == first) for j in range(len(row))]
    kept = range(len(row))
    if top_k is not None:
        bound = sorted(row, reverse=True)[min(top_k, len(row)) - 1]
        kept = [j for j in kept if row[j] >= bound]
    weights = {j: math.exp((row[j] - highest) / temperature) for j in kept}
    whole, total, nucleus = sum(weights.values()), 0.0, {}
    for j in sorted(kept, key=weights.get, reverse=True):
        if top_p is None or top_p == 1 or total < top_p:
            nucleus[j] = weights[j]
        total += weights[j] / whole
    whole = sum(nucleus.values())
    return [nucleus.get(j, 0.0) / whole for j in range(len(row))]


@alternative("next_token_probs", note="sorted upwards, as transformers' warpers do, with minus infinity throughout")
def upwards(logits, temperature=1.0, top_k=None, top_p=None):
    _refuse_bad(temperature, top_k, top_p)
    V = logits.shape[-1]
    if temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), V).to(logits.dtype)
    logits = logits.clone() / temperature
    if top_k:
        bound = torch.topk(logits, min(top_k, V))[0][..., -1, None]
        logits[logits < bound] = -float("inf")
    if top_p is not None and top_p < 1.0:
        ascending, indices = torch.sort(logits, descending=False)
        cut = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
        cut[..., -1] = False
        logits = logits.masked_fill(cut.scatter(1, indices, cut), -float("inf"))
    return torch.exp(torch.log_softmax(logits, dim=-1))


# --------------------------------------------------------------------------------------------------------------- sample


@alternative("sample", note="a table laid out beforehand; inverse distribution function; stops when all have ended")
def into_a_table(model, idx, n, temperature=1.0, top_k=None, top_p=None, generator=None, eos=None, context=None):
    if context is None and hasattr(model, "config"):
        context = model.config.context
    B, T = idx.shape
    text = torch.full((B, T + n), 0 if eos is None else eos, dtype=torch.int64)
    text[:, :T] = idx
    going = torch.ones(B, dtype=torch.bool)
    mode = model.training if isinstance(model, nn.Module) else None
    if mode is not None:
        model.eval()
    try:
        for place in range(T, T + n):
            if not going.any():
                break
            start = 0 if context is None else max(0, place - context)
            with torch.no_grad():
                logits = model(text[:, start:place])[:, -1, :]
            probs = next_token_probs(logits, temperature, top_k, top_p)
            point = torch.rand(B, 1, generator=generator, dtype=torch.float64) * (1 - 1e-12)
            drawn = (probs.double().cumsum(-1) <= point).sum(-1).clamp(max=probs.shape[-1] - 1)
            text[going, place] = drawn[going]
            if eos is not None:
                going = going & (drawn != eos)
    finally:
        if mode is not None:
            model.train(mode)
    return text


@alternative("sample", note="asks only about rows that go on; exponential races instead of multinomial")
def only_rows_that_go_on(
    model, idx, n, temperature=1.0, top_k=None, top_p=None, generator=None, eos=None, context=None
):
    context = context or getattr(getattr(model, "config", None), "context", None) or 10**9
    training = bool(getattr(model, "training", False))
    if hasattr(model, "eval"):
        model.eval()
    text, going = idx.clone(), torch.arange(len(idx))
    with torch.inference_mode():
        for _ in range(n):
            column = torch.full((len(idx),), -1 if eos is None else eos)
            if len(going):
                probs = next_token_probs(model(text[going][:, -context:])[:, -1], temperature, top_k, top_p)
                race = torch.empty_like(probs, dtype=torch.float64).exponential_(generator=generator)
                column[going] = (probs / race).argmax(-1)
            text = torch.hstack([text, column[:, None]])
            going = going[column[going] != eos] if eos is not None else going
    if hasattr(model, "train"):
        model.train(training)
    return text
