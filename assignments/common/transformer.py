"""A transformer's parts that are given: its configuration, causal attention, the classic MLP, and a small whole model.

One configuration covers two families: layernorm, gelu and learned positions with biases make a GPT-2; rmsnorm, swiglu
and rope without biases make a Llama.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a model. Nothing is checked here: whoever builds from it refuses what it cannot build."""

    vocab_size: int
    context: int  # the longest text that the model can be asked about, in tokens
    n_layers: int
    n_heads: int
    d_model: int
    d_ff: int  # width of the hidden layer of the MLP
    norm: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    mlp: Literal["swiglu", "gelu"] = "swiglu"
    positions: Literal["rope", "learned"] = "rope"
    bias: bool = False  # of every nn.Linear; a LayerNorm always has its own
    norm_eps: float = 1e-5
    rope_base: float = 10000.0
    dropout: float = 0.0


class CausalSelfAttention(nn.Module):
    """Multi-head attention in which a token reads itself and its past, on torch's fused call: (B, T, D) -> (B, T, D).

    With `config.positions == "rope"`, queries and keys are rotated at positions 0 ... T-1, in the half-split layout.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        D = config.d_model
        if D % config.n_heads:
            raise ValueError(f"{config.n_heads} heads cannot share a width of {D} evenly")
        self.n_heads = config.n_heads
        self.rope_base = config.rope_base if config.positions == "rope" else None
        self.q_proj = nn.Linear(D, D, bias=config.bias)
        self.k_proj = nn.Linear(D, D, bias=config.bias)
        self.v_proj = nn.Linear(D, D, bias=config.bias)
        self.o_proj = nn.Linear(D, D, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        B, T, D = x.shape
        H, d = self.n_heads, D // self.n_heads
        q = self.q_proj(x).view(B, T, H, d).transpose(1, 2)  # (B, H, T, d)
        k = self.k_proj(x).view(B, T, H, d).transpose(1, 2)  # (B, H, T, d)
        v = self.v_proj(x).view(B, T, H, d).transpose(1, 2)  # (B, H, T, d)
        if self.rope_base is not None:
            q, k = rotated(q, self.rope_base), rotated(k, self.rope_base)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, d)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, D))  # (B, T, D)


def rotated(x: Tensor, base: float) -> Tensor:
    """Rotary positions 0 ... T-1 on x (..., T, d): the pairs are (i, i + d/2), angles in float32 or finer."""
    T, d = x.shape[-2:]
    fine = torch.promote_types(x.dtype, torch.float32)
    frequency = base ** (-2 * torch.arange(d // 2, dtype=fine, device=x.device) / d)  # (d/2,)
    angle = torch.arange(T, dtype=fine, device=x.device)[:, None] * frequency  # (T, d/2)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., : d // 2], x[..., d // 2 :]  # (..., T, d/2) each
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)  # (..., T, d)


class MLP(nn.Module):
    """The MLP of GPT-2: two matrices with a GELU between them (its tanh form), (..., D) -> (..., D)."""

    def __init__(self, d_model: int, d_ff: int, bias: bool = False):
        super().__init__()
        self.up_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.down_proj = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.gelu(self.up_proj(x), approximate="tanh"))


class TinyGPT(nn.Module):
    """A GPT-2 in small, of torch's own layers, for assignments that train a model: (B, T) ids -> (B, T, V) logits.

    Its head is its table of embeddings. Only layernorm, gelu and learned positions; longer texts than
    `config.context` are refused.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        if (config.norm, config.mlp, config.positions) != ("layernorm", "gelu", "learned"):
            raise ValueError('TinyGPT is built with norm="layernorm", mlp="gelu", positions="learned"')
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.d_model)
        self.pos_emb = nn.Embedding(config.context, config.d_model)
        self.blocks = nn.ModuleList([TinyBlock(config) for _ in range(config.n_layers)])
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self._initialise()

    def forward(self, tokens: Tensor) -> Tensor:
        T = tokens.shape[1]
        if self.config.context < T:
            raise ValueError(f"{T} tokens are more than the context of {self.config.context}")
        x = self.tok_emb(tokens) + self.pos_emb(torch.arange(T, device=tokens.device))  # (B, T, D)
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tok_emb.weight.T  # (B, T, V)

    def _initialise(self) -> None:
        """Small normal weights; what writes into the residual stream is smaller still, by the number of writers."""
        quiet = 0.02 / math.sqrt(2 * self.config.n_layers)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=quiet if name.endswith(("o_proj.weight", "down_proj.weight")) else 0.02)


class TinyBlock(nn.Module):
    """One pre-norm layer of a TinyGPT."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.attn = CausalSelfAttention(config)
        self.norm2 = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.mlp = MLP(config.d_model, config.d_ff, config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attn(self.norm1(x)))
        return x + self.dropout(self.mlp(self.norm2(x)))
