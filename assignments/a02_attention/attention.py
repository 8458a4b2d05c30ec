# attention.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a02
# README.md explains the tasks. (a02_attention, release b0b25fc415df)

# %%
import math

import torch
from torch import Tensor, nn


# %% task="causal_mask"
def causal_mask(T_q: int, T_k: int) -> Tensor:
    """Which keys each query may attend to, when the queries are the last T_q of the T_k positions.

    T_q, T_k: number of queries and of keys; 0 is allowed and gives an empty mask.
    Returns a bool tensor (T_q, T_k), True = may attend: row i sees the keys j <= T_k - T_q + i.
    Raises ValueError if a size is negative.

    Source: the mask of Vaswani et al. 2017, section 3.2.3, aligned lower right as a cache needs.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="attention"
def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention.

    q: (..., T_q, d), k: (..., T_k, d), v: (..., T_k, d_v), float, with equal leading axes (none, one or several).
    mask: bool, broadcastable to (..., T_q, T_k), True = may attend; None lets every query see every key.
    Returns (..., T_q, d_v) in the dtype of the inputs. A query that may attend nowhere (its row of the mask is all
    False, or T_k is 0) gets exactly zeros, and passes back a gradient of zeros. T_q = 0 gives an empty tensor.
    Raises ValueError if q and k differ in d, if k and v differ in T_k, or if the mask is not bool.

    Source: Vaswani et al. 2017, equation 1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="rope"
def rope(x: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    """Rotary position embedding: turns each pair of features by an angle that grows with the position.

    x: (..., T, d), float, d even; the pairs are (i, i + d/2).
    positions: (T,) int64, the position of each token; or (B, T) for x of (B, H, T, d), where each text has its own.
    base: the angle of pair i at position p is p * base**(-2i/d).
    Returns a tensor like x. Angles are computed in float32 or finer, whatever the dtype of x.
    Raises ValueError if d is odd, or if positions do not have one of these two shapes.

    Source: Su et al. 2021 (RoFormer), section 3.2.2, in the half-split layout of GPT-NeoX and of Llama in transformers.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="MultiHeadAttention"
class MultiHeadAttention(nn.Module):
    """Multi-head self-attention, with rotary positions if `rope_base` is given.

    d_model: the width D. n_heads: H, which must divide D; head h owns the features h*d ... (h+1)*d - 1, d = D/H.
    bias: whether the four projections have a bias. rope_base: base of the rotary positions; None means no positions.
    Children: q_proj, k_proj, v_proj, o_proj, each nn.Linear(D, D, bias=bias). Attributes: n_heads, rope_base.
    Raises ValueError if n_heads does not divide d_model.

    Source: Vaswani et al. 2017, section 3.2.2; positions as in Su et al. 2021.
    """

    def __init__(self, d_model: int, n_heads: int, bias: bool = False, rope_base: float | None = None):
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def forward(self, x: Tensor, mask: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Each token's new features, from all that it may attend to.

        x: (B, T, D).
        mask: bool, (T, T) for all texts or (B, T, T) for each its own, True = may attend; None hides nothing.
        positions: (T,) or (B, T) int64, used only with rope_base; None means 0 ... T-1.
        Returns (B, T, D).
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="attention_with_cache"
def attention_with_cache(
    module: MultiHeadAttention, x: Tensor, cache: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Causal self-attention over cached and new tokens, computed for the new ones only.

    module: a MultiHeadAttention; its projections, n_heads and rope_base are used.
    x: (B, T_new, D), the new tokens, which follow the cached ones; T_new may be 0.
    cache: (k, v) of the tokens before, each (B, H, T_past, d), keys already rotated; None if there are none.
    Returns (y, cache): y is (B, T_new, D), what module(text, causal mask) gives in these places; the new cache has
    length T_past + T_new. The given cache is left as it was.

    Source: the causal mask of Vaswani et al. 2017 makes old keys and values independent of new tokens, so they keep.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
