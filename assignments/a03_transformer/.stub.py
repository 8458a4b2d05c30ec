# transformer.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a03
# README.md explains the tasks. (a03_transformer, release c29ae165ef55)

# %%
import math
from collections.abc import Callable

import torch
from common.transformer import MLP, CausalSelfAttention, GPTConfig
from torch import Tensor, nn


# %% task="LayerNorm"
class LayerNorm(nn.Module):
    """Layer normalisation over the last axis, (..., d) -> (..., d).

    d: size of the last axis. eps: added to the variance, inside the root.
    Parameters: weight (d,), ones at first; bias (d,), zeros at first.
    Statistics are those of the d numbers themselves (divide by d), in float32 or finer; the answer has the dtype of
    the input. Raises ValueError if the last axis is not d.

    Source: Ba et al. 2016, "Layer Normalization".
    """

    def __init__(self, d: int, eps: float = 1e-5):
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor) -> Tensor:
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="RMSNorm"
class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis, (..., d) -> (..., d).

    d: size of the last axis. eps: added to the mean square, inside the root.
    Parameter: weight (d,), ones at first. Computed in float32 or finer; the answer has the dtype of the input.
    Raises ValueError if the last axis is not d.

    Source: Zhang and Sennrich 2019, equation 4.
    """

    def __init__(self, d: int, eps: float = 1e-6):
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor) -> Tensor:
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="SwiGLU"
class SwiGLU(nn.Module):
    """The gated MLP of Llama, (..., D) -> (..., D).

    d_model: D. d_ff: F, the width inside. bias: whether the three projections have a bias.
    Children: gate_proj and up_proj, nn.Linear(D, F, bias=bias); down_proj, nn.Linear(F, D, bias=bias).

    Source: Shazeer 2020, "GLU Variants Improve Transformer", equation 6.
    """

    def __init__(self, d_model: int, d_ff: int, bias: bool = False):
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor) -> Tensor:
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="Block"
class Block(nn.Module):
    """One pre-norm layer, (B, T, D) -> (B, T, D): x + attn(norm1(x)), then that plus mlp(norm2(that)).

    Children: norm1, attn, norm2, mlp, as the configuration says; norms with eps=config.norm_eps.
    Dropout (config.dropout) on the output of each branch, in training only. The input is not changed in place.

    Source: Radford et al. 2019 (GPT-2), section 2.3; Touvron et al. 2023 (Llama), section 2.2.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor) -> Tensor:
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="GPT"
class GPT(nn.Module):
    """A decoder-only language model: token ids (B, T), int64, to logits (B, T, V).

    Children: tok_emb, pos_emb (learned positions only), blocks, norm; the head shares tok_emb.weight.
    The final norm is what config.norm says, with eps=config.norm_eps. Attribute: config.
    Raises ValueError if T is larger than config.context.
    Fresh weights: N(0, 0.02), for o_proj and down_proj N(0, 0.02 / sqrt(2 n_layers)); biases 0, norm weights 1.

    Source: Radford et al. 2019 (GPT-2), section 2.3; the tied head is Press and Wolf 2017.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, tokens: Tensor) -> Tensor:
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="count_parameters"
def count_parameters(config: GPTConfig) -> int:
    """How many parameters a GPT of this configuration has, by formula; nothing is built.

    Raises ValueError if config.norm, config.mlp or config.positions is none of the words that GPTConfig names.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="next_token_probs"
def next_token_probs(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """The distribution of the next token: temperature, then top_k, then top_p, then rescaled to sum to one.

    logits: (B, V), float. Returns probabilities (B, V) in the same dtype; each row sums to one.
    temperature: logits are divided by it; 0 puts all mass on the largest logit (the lowest index where several tie).
    top_k: keeps every logit that is at least the k-th largest. None, or V and more, keeps all.
    top_p: keeps a token iff the total of the more likely ones is less than top_p. None, or 1.0, keeps all.
    Raises ValueError if temperature < 0, top_k < 1, or top_p is not in (0, 1].

    Source: Holtzman et al. 2020, section 3.1 (the nucleus); Fan et al. 2018 (top k).
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="sample"
def sample(
    model: Callable[[Tensor], Tensor],
    idx: Tensor,
    n: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    eos: int | None = None,
    context: int | None = None,
) -> Tensor:
    """Continues each row of `idx` by n tokens, each drawn from the model's distribution after what is there.

    model: maps ids (B, t) to logits (B, t, V); it is shown at most the last `context` tokens (None: those of
    model.config, if it has one). idx: (B, T) int64, T >= 1.
    temperature, top_k, top_p: as in next_token_probs. generator: where randomness comes from; None is torch's own.
    eos: a row that has drawn it is filled up with it; one in the prompt does not count.
    Returns (B, T + n) int64. Runs without gradients and in eval mode; the model's former mode is restored.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
