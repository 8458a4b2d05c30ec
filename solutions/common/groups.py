"""Answers to one prompt begin alike, so what a model knows of the prompt is computed once for the whole group.

`write` keeps the keys and values of what stands there already, and asks only for the newest token. `log_probs` lays a
prompt and all its answers into one row, in which no answer sees another. Both say what a plain TinyLM says, and a GRPO
iteration made of them is several times as fast: python benchmarks/grpo_speed.py. Prompts of one batch are equally long.

Source: Liu et al. 2025, arXiv 2506.05433 (the shared prefix); Pope et al. 2022, section 2 (the cache).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from common.tiny_lm import Block, TinyLM


@torch.no_grad()
def write(
    lm: TinyLM, prompts: Tensor, G: int, max_new: int, eos: int, pad: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """G answers to each prompt, drawn at temperature 1: tokens, mask and log-probabilities (B * G, R), R <= max_new.

    prompts (B, P) without padding. Rows b * G to (b + 1) * G - 1 answer prompt b; padded after a row's own eos; pad is
    never drawn. Where the mask is False a log-probability is 0. No dropout, and the model keeps its mode.
    """
    was_training = lm.training
    lm.eval()
    B, P = prompts.shape
    caches = [None] * len(lm.blocks)
    x = lm.embed(prompts) + lm.pos(torch.arange(P))  # (B, P, D)
    for i, block in enumerate(lm.blocks):
        x, caches[i] = _with_cache(block, x, None)
    caches = [(k.repeat_interleave(G, 0), v.repeat_interleave(G, 0)) for k, v in caches]  # (B*G, H, P, d) each
    x = x[:, -1:].repeat_interleave(G, 0)  # (B*G, 1, D)
    running = torch.ones(B * G, dtype=torch.bool)  # (B*G,)
    tokens, mask, logps = [], [], []
    for r in range(max_new):
        logits = lm.lm_head(lm.norm(x[:, -1]))  # (B*G, V)
        logits[:, pad] = -torch.inf
        logp = logits.log_softmax(-1)  # (B*G, V)
        drawn = torch.multinomial(logp.exp(), 1, generator=generator)  # (B*G, 1)
        tokens.append(torch.where(running, drawn[:, 0], pad))
        logps.append(logp.gather(1, drawn)[:, 0] * running)
        mask.append(running)
        running = running & (drawn[:, 0] != eos)
        if r + 1 == max_new or not running.any():
            break
        x = lm.embed(drawn) + lm.pos.weight[P + r]  # (B*G, 1, D)
        for i, block in enumerate(lm.blocks):
            x, caches[i] = _with_cache(block, x, caches[i])
    lm.train(was_training)
    return torch.stack(tokens, 1), torch.stack(mask, 1), torch.stack(logps, 1)


def _with_cache(block: Block, x: Tensor, cache: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """A layer on tokens (N, T, D) that follow those of the cache, or begin: one new token, or all of a prompt."""
    N, T, D = x.shape
    qkv = block.qkv(block.norm1(x)).view(N, T, 3, block.n_heads, D // block.n_heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (N, H, T, d) each
    if cache is not None:
        k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)  # (N, H, past + T, d)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=cache is None)  # (N, H, T, d)
    x = x + block.out(y.transpose(1, 2).reshape(N, T, D))  # (N, T, D)
    return x + block.down(F.gelu(block.up(block.norm2(x)))), (k, v)


def log_probs(lm: TinyLM, prompts: Tensor, written: Tensor, pad: int) -> Tensor:
    """Of each written token, with gradients: (B * G, R).

    prompts (B, P), written (B * G, R), as `write` returns them. What is said where an answer has ended means nothing.
    """
    (B, P), R = prompts.shape, written.shape[1]
    G = len(written) // B
    # A row: the prompt, and each answer but its last token, which nothing is read at.
    row = torch.cat([prompts, written.view(B, G, R)[:, :, :-1].reshape(B, -1)], dim=1)  # (B, S), S = P + G(R-1)
    answer = torch.cat([torch.full((P,), -1), torch.arange(G).repeat_interleave(R - 1)])  # (S,)  whose token it is
    place = torch.cat([torch.arange(P), torch.arange(P, P + R - 1).repeat(G)])  # (S,)
    mine = (answer[:, None] == answer) | (answer == -1)  # (S, S)  the prompt belongs to all
    readable = mine & (place <= place[:, None])  # (S, S)
    x = lm.embed(row) + lm.pos(place)  # (B, S, D)
    for block in lm.blocks:
        x = block(x, readable)
    logits = lm.lm_head(lm.norm(x))  # (B, S, V)
    first = logits[:, P - 1, None, None].expand(B, G, 1, -1)  # (B, G, 1, V)
    logits = torch.cat([first, logits[:, P:].view(B, G, R - 1, -1)], dim=2).flatten(0, 1)  # (B*G, R, V)
    logits = logits.masked_fill(torch.arange(logits.shape[2]) == pad, -1e9)
    return logits.log_softmax(-1).gather(2, written[..., None])[..., 0]
