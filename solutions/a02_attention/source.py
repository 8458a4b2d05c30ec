# %% [markdown] assignment="a02_attention" title="Attention, heads, rotary positions and the cache" module="attention" requires="torch" summary="Build the attention of a modern language model from matrix products: mask, scaled softmax, heads, rotary positions, and the cache that makes generation cheap." forbidden="torch.nn.functional.scaled_dot_product_attention, torch.nn.functional.multi_head_attention_forward, torch.nn.MultiheadAttention, torch.nn.Transformer, torch.nn.TransformerEncoder, torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoder, torch.nn.TransformerDecoderLayer, torch.nn.attention, transformers"
# # Attention, heads, rotary positions and the cache
#
# Every large language model, and every one that you will train in this course, spends its time in one small idea: a
# token looks at other tokens, decides how much each of them matters, and takes the average of what they offer. Today
# you build that idea from matrix products, in five steps, and finish with the trick that makes a model quick enough
# to talk to.
#
# You write five things, in this order; each leans on the ones above it:
#
# 1. `causal_mask`: who may look where
# 2. `attention`: scores, softmax, average
# 3. `rope`: positions as rotations
# 4. `MultiHeadAttention`: several small attentions side by side
# 5. `attention_with_cache`: the same answers, one chunk at a time
#
# **You need** Python, broadcasting, autograd, and the softmax of the first assignment. The
# [reading page](../../docs/learn/a02_attention.md) derives each formula and says what to read of the papers; forty
# minutes there will save you sixty here.
#
# ```
# autograder check a02              # all tasks: what holds, what to mend first
# autograder check a02.attention    # one task
# autograder hint a02.attention     # the next of its three hints
# ```
#
# ## What we keep of the papers, and what we leave out
#
# Kept from *Attention Is All You Need* (Vaswani et al., 2017): scaled dot-product attention (equation 1), the causal
# mask, and heads that split the width and are mixed again by one output matrix. Kept from *RoFormer* (Su et al.,
# 2021): positions enter as rotations of queries and keys.
#
# Left out: dropout on the weights (it would make every test a matter of luck), attention from one sequence to another
# (it is the same function with other inputs), the sinusoidal position table (rotations replaced it), and everything
# that makes attention cheaper (fused kernels, tiles, keys shared by several heads): that comes after it is right.
#
# ## Convention card
#
# Every one of these could be otherwise, and in some library it is. When a number is wrong, begin here.
#
# | question | our answer | who differs |
# |---|---|---|
# | what does `True` in a mask mean? | **may attend** | `nn.MultiheadAttention`: True = hidden |
# | where do $T_q$ queries stand among $T_k$ keys? | on the **last** $T_q$ (lower right) | `is_causal=True`: the first |
# | a query that may look nowhere | gets **exactly zero**, and zero gradient | many: NaN, or the mean of all |
# | divide scores by | $\sqrt d$, with $d$ the size of *one head's* queries and keys | |
# | which features belong to head $h$? | the block $h\,d, \dots, (h+1)\,d-1$ | codes that interleave heads |
# | who is rotated with whom? | feature $i$ with $i + d/2$ (half-split) | GPT-J, Meta's own Llama: $2i$ with $2i+1$ |
# | what is rotated? | queries and keys, never values | |
# | what does the cache hold? | keys **already rotated**, and values | |
# | dtype | what comes in goes out: float32 to float32, float64 to float64 | |
# | inputs | are never changed in place | |
# | bad input | is refused: raise `ValueError` and say what is wrong; an error that torch itself raises will do | |
#
# Letters: $B$ batch, $T$ tokens ($T_q$ queries, $T_k$ keys), $D$ model width, $H$ heads, $d = D/H$ head size, $d_v$
# size of a value.
#
# ## What you may not use, and why
#
# `F.scaled_dot_product_attention`, `nn.MultiheadAttention`, `nn.Transformer*` and the `transformers` package: they
# are what you are building. `softmax`, `nn.Linear`, `einsum` and everything else in torch are yours. The practice
# tests hold your functions against the forbidden ones, so you will see that yours are the same.
#
# ## What the tests look at
#
# Values in float64 against an independent reference; gradients; every awkward size ($T_q \ne T_k$, $d_v \ne d$,
# nothing to look at, no tokens at all); inputs that are not contiguous; scores of ten thousand; whether your inputs
# are still what they were; and whether bad input is refused. Sizes are all different on purpose: a transposed axis
# should hurt at once.

# %%
import math

import torch
from torch import Tensor, nn

# %% [markdown] task="causal_mask"
# ## `causal_mask`: who may look where
#
# A language model predicts the next token, so a token may read itself and what came before it, never what comes
# after. With $T_k$ keys and $T_q$ queries the queries are the *newest* $T_q$ tokens: the last query stands on the
# last key. (When a model writes one token at a time there is a single query and a long row of keys. It must see all
# of them.)
#
# $$\text{row } i \text{ may see key } j \iff j \le T_k - T_q + i$$
#
# **By hand.** Two new tokens, four keys in all. The queries stand on keys 2 and 3:
#
# | | key 0 | key 1 | key 2 | key 3 |
# |---|---|---|---|---|
# | query 0 | True | True | True | False |
# | query 1 | True | True | True | True |
#
# With more queries than keys, the first $T_q - T_k$ queries stand before the first key and see nothing.


# %% task="causal_mask" points=2 minutes=10
def causal_mask(T_q: int, T_k: int) -> Tensor:
    """Which keys each query may attend to, when the queries are the last T_q of the T_k positions.

    T_q, T_k: number of queries and of keys; 0 is allowed and gives an empty mask.
    Returns a bool tensor (T_q, T_k), True = may attend: row i sees the keys j <= T_k - T_q + i.
    Raises ValueError if a size is negative.

    Source: the mask of Vaswani et al. 2017, section 3.2.3, aligned lower right as a cache needs.
    """
    ### BEGIN SOLUTION
    if T_q < 0 or T_k < 0:
        raise ValueError(f"sizes cannot be negative: T_q={T_q}, T_k={T_k}")
    query_place = torch.arange(T_q)[:, None] + (T_k - T_q)  # (T_q, 1)  where each query stands among the keys
    key_place = torch.arange(T_k)  # (T_k,)
    return key_place <= query_place  # (T_q, T_k)
    ### END SOLUTION


# %% [markdown] hints="causal_mask"
# 1. The last query is the newest token. Which key is that token's own, and how many keys can it see? Then walk one
#    query upwards.
# 2. Give every query its place among the keys (the last one has place T_k - 1), and every key its place. The mask is
#    one comparison between a column of places and a row of places.
# 3. `torch.arange` gives both lists of places; the queries' list starts at T_k - T_q. Turn it into a column with
#    `[:, None]`, compare it with the keys' row, and broadcasting fills the table. Check for negative sizes before
#    anything else.

# %% tests="causal_mask"
import math

import pytest
import torch
import torch.nn.functional as F
from asks import (
    build_module,
    cached_in_chunks,
    full_forward,
    gradients_of_attention,
    gradients_of_module,
    parameter_shapes,
    reused_cache,
    run_module,
)
from torch import nn

from autograder.testing import needs, task


def numbers(*shape, start=0):
    """Fixed numbers between -2 and 2 without a visible pattern; `start` gives other ones."""
    return 2 * torch.sin(1.7 * torch.arange(start, start + math.prod(shape), dtype=torch.float64) ** 1.3).reshape(shape)


@task("causal_mask")
def test_a_token_sees_itself_and_its_past(student):
    """With as many queries as keys, each token sees itself and what came before it."""
    student.causal_mask(3, 3).equals(torch.tensor([[True, False, False], [True, True, False], [True, True, True]]))


@task("causal_mask")
def test_queries_are_the_last_tokens(student):
    """Two new tokens after three old ones see all of the old ones."""
    student.causal_mask(2, 5).equals(torch.tensor([[True, True, True, True, False], [True, True, True, True, True]]))


@task("causal_mask")
def test_two_queries_stand_before_the_first_key(student):
    """Two queries among four keys see three and four of them; of four queries over two keys, the first see none."""
    student.causal_mask(2, 4).equals(torch.tensor([[True, True, True, False], [True, True, True, True]]))
    student.causal_mask(4, 2).equals(torch.tensor([[False, False], [False, False], [True, False], [True, True]]))


@task("causal_mask")
@needs("test_queries_are_the_last_tokens")
def test_zero_queries_or_keys_give_an_empty_mask(student):
    """Zero queries or zero keys give an empty mask of the right shape."""
    student.causal_mask(0, 3).equals(torch.zeros(0, 3, dtype=torch.bool))
    student.causal_mask(3, 0).equals(torch.zeros(3, 0, dtype=torch.bool))


@task("causal_mask")
@needs("test_queries_are_the_last_tokens")
def test_a_negative_size_is_refused(student):
    """A negative size is refused."""
    student.causal_mask(-1, 3).refused()
    student.causal_mask(3, -1).refused()


@task("causal_mask")
def test_same_as_torch_is_causal_on_a_square(student):
    """With as many queries as keys, your mask lets through exactly what torch's own is_causal=True does."""
    nothing, each_key = torch.zeros(5, 5), torch.eye(5)  # equal scores, and values that say which key was read
    weights = F.scaled_dot_product_attention(nothing, nothing, each_key, is_causal=True)
    student.causal_mask(5, 5).equals(weights > 0)


# %% [markdown] task="attention"
# ## `attention`: scores, softmax, average
#
# $$\text{attention}(Q, K, V) = \text{softmax}\!\left(\frac{Q K^\top}{\sqrt d}\right) V \qquad\text{(Vaswani, equation 1)}$$
#
# Each query is compared with each key; the softmax turns a query's scores into weights that add up to one; the answer
# is the average of the values under these weights. Any number of leading axes (none, a batch, a batch and heads) is
# carried along. Hidden keys get no weight, and the visible ones share all of it.
#
# **By hand.** One query, two keys, $d = 4$: $q = (2, 0, 0, 0)$, $k_0 = (\ln 3, 0, 0, 0)$, $k_1 = (0, 0, 0, 0)$,
# values $8$ and $0$. The products are $2 \ln 3$ and $0$; divided by $\sqrt 4$ they are $\ln 3$ and $0$. Their
# exponentials are $3$ and $1$, so the weights are $\tfrac34$ and $\tfrac14$, and the answer is
# $\tfrac34 \cdot 8 + \tfrac14 \cdot 0 = 6$. (The score of 0 is an ordinary score: it has weight one quarter.)
#
# **The edge.** A query whose row of the mask is all False has no weights to share out. Its answer is a row of zeros,
# and it sends a zero, finite gradient back. Write that down before you write the softmax: a softmax over nothing but
# $-\infty$ is 0/0.


# %% task="attention" points=5 minutes=25
def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention.

    q: (..., T_q, d), k: (..., T_k, d), v: (..., T_k, d_v), float, with equal leading axes (none, one or several).
    mask: bool, broadcastable to (..., T_q, T_k), True = may attend; None lets every query see every key.
    Returns (..., T_q, d_v) in the dtype of the inputs. A query that may attend nowhere (its row of the mask is all
    False, or T_k is 0) gets exactly zeros, and passes back a gradient of zeros. T_q = 0 gives an empty tensor.
    Raises ValueError if q and k differ in d, if k and v differ in T_k, or if the mask is not bool.

    Source: Vaswani et al. 2017, equation 1.
    """
    ### BEGIN SOLUTION
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"queries have size {q.shape[-1]}, keys {k.shape[-1]}")
    if k.shape[-2] != v.shape[-2]:
        raise ValueError(f"there are {k.shape[-2]} keys but {v.shape[-2]} values")
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(f"the mask is bool, True = may attend; this one is {mask.dtype}")

    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., T_q, T_k)
    if mask is None:
        return scores.softmax(dim=-1) @ v  # (..., T_q, d_v)

    # The most negative finite number, not -inf: a row of nothing but -inf would be 0/0, and NaN in its gradient.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)  # (..., T_q, T_k)  a row that sees nothing is uniform here,
    weights = weights.masked_fill(~mask, 0.0)  #           and all zeros here
    return weights @ v  # (..., T_q, d_v)
    ### END SOLUTION


# %% [markdown] hints="attention"
# 1. Take one query and three keys on paper. What three steps lead from dot products to weights that add up to one,
#    and at which of them must a hidden key disappear so that the visible ones still share everything?
# 2. Hide keys in the scores, before the softmax, along the axis of the keys. Then think of a row without any visible
#    key: which number can you fill in so that the softmax of such a row is finite, and what do you do to that row
#    afterwards? Decide what is hidden by the mask alone, never by looking at a score's value.
# 3. Scores: q times k with its last two axes swapped, over the root of q's last size. Fill the hidden scores with
#    `torch.finfo(scores.dtype).min`, take the softmax over the last axis, set the weights of hidden keys to zero a
#    second time (this changes only rows that see nothing), and multiply by v.


# %% tests="attention"
@task("attention")
def test_the_worked_example_of_the_handout(student):
    """A query that scores ln 3 and 0 takes three quarters of one value and one quarter of the other."""
    q = torch.tensor([[2.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    k = torch.tensor([[math.log(3), 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    v = torch.tensor([[8.0], [0.0]], dtype=torch.float64)
    # float64: nothing but rounding in the last digits
    student.attention(q, k, v).equals(torch.tensor([[6.0]], dtype=torch.float64), rtol=1e-9)


@task("attention")
def test_equal_keys_give_the_mean(student):
    """Where all keys are alike, the answer is the plain mean of the values."""
    k = torch.ones(4, 3, dtype=torch.float64)
    v = numbers(4, 2)
    student.attention(numbers(5, 3), k, v).equals(v.mean(dim=0).expand(5, 2), rtol=1e-9, atol=1e-12)


@task("attention")
def test_a_hidden_key_leaves_its_share_to_the_others(student):
    """When a key is hidden, the visible ones share all of the weight."""
    q = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64)  # the first query scores 0 everywhere: it counts
    k, v = numbers(3, 2), numbers(3, 4, start=9)
    mask = torch.tensor([[True, False, True], [False, True, False]])
    student.attention(q, k, v, mask).equals(torch.stack([(v[0] + v[2]) / 2, v[1]]), rtol=1e-9)


@task("attention")
def test_a_query_that_sees_nothing_answers_zero(student):
    """A query that may look nowhere gets exactly zeros; its neighbour is not disturbed."""
    mask = torch.tensor([[False, False, False], [False, True, False]])
    v = numbers(3, 4)
    expected = torch.stack([torch.zeros(4, dtype=torch.float64), v[1]])
    answer = student.attention(numbers(2, 2), numbers(3, 2, start=9), v, mask)
    assert answer.value.isfinite().all(), "A query that may look nowhere turned into NaN, and NaN spreads."
    answer.equals(expected, rtol=1e-9)


@task("attention")
def test_a_query_that_sees_nothing_has_a_zero_gradient(student):
    """A query that may look nowhere passes back a gradient of zeros, not NaN."""
    q, k, v = numbers(2, 3), numbers(4, 3, start=9), numbers(4, 5, start=30)
    mask = torch.tensor([[False, False, False, False], [True, True, False, True]])
    answer = student.ask(gradients_of_attention, q, k, v, mask, numbers(2, 5, start=60)).value
    assert answer["q"].isfinite().all(), "Your gradient of q is not finite: what does a softmax over no keys send back?"
    assert (answer["q"][0] == 0).all(), "The query that sees nothing has a gradient that is not zero."


@task("attention")
def test_huge_scores_do_no_harm(student):
    """Scores of plus and minus ten thousand leave the answer finite and right."""
    q = torch.tensor([[1e4], [-1e4]], dtype=torch.float64)
    k = torch.tensor([[1.0], [0.0], [-1.0]], dtype=torch.float64)
    v = numbers(3, 2)
    answer = student.attention(q, k, v)
    assert answer.value.isfinite().all(), "Large scores became infinite on the way: what leaves a softmax unchanged?"
    answer.equals(torch.stack([v[0], v[2]]), rtol=1e-9)


@task("attention")
def test_a_hidden_key_stays_hidden_beside_very_low_scores(student):
    """A hidden key stays hidden even if all visible scores are minus ten thousand or less."""
    q = torch.tensor([[-1e4]], dtype=torch.float64)
    k = torch.tensor([[1.0], [0.999], [1.0001]], dtype=torch.float64)  # scores -10000, (-9990), -10001
    v = numbers(3, 4)
    expected = (math.e * v[:1] + v[2:]) / (math.e + 1)
    # numbers of size ten thousand lose four of their sixteen digits
    student.attention(q, k, v, torch.tensor([[True, False, True]])).equals(expected, rtol=1e-7)


@task("attention")
@needs("test_the_worked_example_of_the_handout")
def test_mismatched_inputs_and_float_masks_are_refused(student):
    """Queries and keys of different size, keys without values, and masks that are not bool are refused."""
    q, k, v = numbers(2, 3), numbers(4, 3), numbers(4, 5)
    student.attention(q[:, :2], k, v).refused()
    student.attention(q, k, v[:3]).refused()
    student.attention(q, k, v, torch.ones(2, 4)).refused()


@task("attention")
def test_same_as_the_fused_call(student):
    """Your attention equals torch's fused call on a batch with heads, a cache's causal mask and padding."""
    q, k, v = numbers(2, 3, 4, 8), numbers(2, 3, 6, 8, start=99), numbers(2, 3, 6, 5, start=500)
    causal = torch.tensor(
        [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]], dtype=torch.bool
    )  # (4, 6)
    real = torch.tensor([[True] * 6, [False] + [True] * 5])[:, None, None, :]  # (2, 1, 1, 6)  the second text is padded
    mask = causal & real  # (2, 1, 4, 6)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    student.attention(q, k, v, mask).equals(expected, rtol=1e-9, atol=1e-12)


@task("attention")
def test_same_gradients_as_the_fused_call(student):
    """Your gradients of q, k and v equal those of torch's fused call."""
    q, k, v = numbers(2, 4, 3), numbers(2, 5, 3, start=99), numbers(2, 5, 6, start=500)
    mask = torch.tensor(
        [[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [1, 0, 1, 1, 0], [1, 1, 0, 1, 1]], dtype=torch.bool
    )  # (4, 5)
    cotangent = numbers(2, 4, 6, start=900)
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    y = F.scaled_dot_product_attention(*leaves, attn_mask=mask)
    y.backward(cotangent)
    expected = {"y": y.detach(), "q": leaves[0].grad, "k": leaves[1].grad, "v": leaves[2].grad}
    # gradients: a longer sum than the value's, so 1e-7
    student.ask(gradients_of_attention, q, k, v, mask, cotangent).equals(expected, rtol=1e-7, atol=1e-10)


# %% [markdown] task="rope"
# ## `rope`: positions as rotations
#
# Attention does not know the order of its keys: shuffle keys and values together and nothing changes. Rotary
# positions repair this. Split a vector of even size $d$ into $d/2$ pairs, feature $i$ with feature $i + d/2$, and
# turn pair $i$ of the token at position $p$ by the angle
#
# $$\theta_{p,i} = p \cdot \text{base}^{-2i/d}, \qquad i = 0, \dots, d/2 - 1 \qquad\text{(Su et al., section 3.2.2)}$$
#
# A pair is turned as every point of the plane is, from its first feature towards its second:
#
# $$
# \begin{aligned}
# x_i' &= x_i \cos\theta - x_{i+d/2} \sin\theta \\
# x_{i+d/2}' &= x_i \sin\theta + x_{i+d/2} \cos\theta
# \end{aligned}
# $$
#
# **By hand.** $d = 4$, base $100$, position $1$, $x = (1, 2, 3, 4)$. The pairs are $(1, 3)$ and $(2, 4)$; the angles
# are $1 \cdot 100^{0} = 1$ and $1 \cdot 100^{-1/2} = 0.1$.
#
# | new feature | from | value |
# |---|---|---:|
# | 0 | $1 \cos 1 - 3 \sin 1$ | −1.9841 |
# | 1 | $2 \cos 0.1 - 4 \sin 0.1$ | 1.5907 |
# | 2 | $1 \sin 1 + 3 \cos 1$ | 2.4624 |
# | 3 | $2 \sin 0.1 + 4 \cos 0.1$ | 4.1797 |
#
# Two rotated vectors, one at position $m$ and one at $n$, have a dot product in which only $m - n$ is left. That is
# the whole point, and it is one of the tests.


# %% task="rope" points=4 minutes=20
def rope(x: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    """Rotary position embedding: turns each pair of features by an angle that grows with the position.

    x: (..., T, d), float, d even; the pairs are (i, i + d/2).
    positions: (T,) int64, the position of each token; or (B, T) for x of (B, H, T, d), where each text has its own.
    base: the angle of pair i at position p is p * base**(-2i/d).
    Returns a tensor like x. Angles are computed in float32 or finer, whatever the dtype of x.
    Raises ValueError if d is odd, or if positions do not have one of these two shapes.

    Source: Su et al. 2021 (RoFormer), section 3.2.2, in the half-split layout of GPT-NeoX and of Llama in transformers.
    """
    ### BEGIN SOLUTION
    T, d = x.shape[-2:]
    if d % 2:
        raise ValueError(f"features are turned in pairs, so d must be even; it is {d}")
    if positions.dim() == 2 and x.dim() == 4 and positions.shape == (x.shape[0], T):
        positions = positions[:, None, :]  # (B, 1, T)  the same for every head
    elif positions.shape != (T,):
        raise ValueError(f"positions are (T,) or (B, T); got {tuple(positions.shape)} for x of {tuple(x.shape)}")

    # Half precision cannot even count to 3001, so angles are never computed in it.
    fine = torch.promote_types(x.dtype, torch.float32)
    frequency = base ** (-2 * torch.arange(d // 2, dtype=fine) / d)  # (d/2,)
    angle = positions[..., None] * frequency  # (T, d/2) or (B, 1, T, d/2)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., : d // 2], x[..., d // 2 :]  # (..., T, d/2) each
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)  # (..., T, d)
    ### END SOLUTION


# %% [markdown] hints="rope"
# 1. Take d = 2 first: a single pair, whose angle is the position itself. What does school geometry say about turning
#    the point (a, b) by an angle? Which two features form that pair when d is 8?
# 2. There are d/2 frequencies, one a pair, and T positions: the angles are a table (T, d/2), a column times a row.
#    Cut x into its first and its second half; each of the two new halves is made of both old ones. For positions (B,
#    T) the table gets an axis of size one where x has its heads.
# 3. The frequencies are base to the power -2i/d, for i = 0 ... d/2 - 1; a column of positions times this row gives the
#    angles, in float32 or finer. Then write the two equations of the handout once, with whole halves of x in the
#    place of single features, and join the results along the last axis, in the dtype of x.


# %% tests="rope"
@task("rope")
def test_the_worked_rotation_of_the_handout(student):
    """At position 1 and base 100, (1, 2, 3, 4) turns into the four numbers of the handout."""
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    expected = torch.tensor([[-1.9841, 1.5907, 2.4624, 4.1797]], dtype=torch.float64)
    # the handout gives four decimals
    student.rope(x, torch.tensor([1]), 100.0).equals(expected, atol=1e-4)


@task("rope")
def test_a_single_pair_turns_by_its_position(student):
    """With d = 2 the angle is the position: (1, 0) at position p becomes (cos p, sin p)."""
    x = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(3, 2)
    expected = torch.tensor([[math.cos(p), math.sin(p)] for p in (5, 9, 2)], dtype=torch.float64)
    # angles may be float32: at position 9 that is off by less than 1e-6
    student.rope(x, torch.tensor([5, 9, 2])).equals(expected, atol=1e-5)


@task("rope")
@needs("test_the_worked_rotation_of_the_handout")
def test_position_zero_changes_nothing(student):
    """At position 0 nothing is turned."""
    x = numbers(3, 1, 6)
    student.rope(x, torch.tensor([0])).equals(x, rtol=1e-9, atol=1e-12)


@task("rope")
@needs("test_the_worked_rotation_of_the_handout")
def test_only_the_distance_matters(student):
    """A rotated query times a rotated key depends on the distance of their positions, not on the positions."""
    q, k = numbers(1, 8), numbers(1, 8, start=50)

    def product(m, n):
        return float((student.rope(q, torch.tensor([m])).value * student.rope(k, torch.tensor([n])).value).sum())

    # angles may be float32: below position 40 the products are off by less than 1e-4
    assert abs(product(7, 4) - product(33, 30)) < 1e-4, "The product at positions (7, 4) is not that at (33, 30)."
    assert abs(product(7, 4) - product(4, 7)) > 1e-2, "The product at distance 3 equals that at distance -3."


@task("rope")
def test_positions_of_each_text(student):
    """Positions (B, T) turn each text of the batch by its own positions, in every head."""
    x = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(2, 4, 3, 2)
    positions = torch.tensor([[0, 1, 2], [7, 3, 5]])
    expected = torch.stack([positions.double().cos(), positions.double().sin()], dim=-1)  # (2, 3, 2)
    student.rope(x, positions).equals(expected[:, None].expand(2, 4, 3, 2), atol=1e-5)


@task("rope")
def test_float16_does_not_blur_position_3001(student):
    """In float16, position 3001 is still 3001: angles are computed in float32 or finer."""
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float16)
    expected = torch.tensor([[math.cos(3001), math.sin(3001)]]).half()
    # float16 rounds numbers below 1 by up to 2.5e-4, and angles of 3001 in float32 are off by as much
    student.rope(x, torch.tensor([3001])).equals(expected, atol=2e-3)


@task("rope")
@needs("test_the_worked_rotation_of_the_handout")
def test_a_size_that_is_odd_is_refused(student):
    """Features come in pairs: an odd d is refused."""
    student.rope(numbers(3, 5), torch.arange(3)).refused()


@task("rope")
def test_same_as_llama_in_transformers(student):
    """Your rotation equals the one that Llama uses in the transformers library."""
    llama = pytest.importorskip("transformers.models.llama.modeling_llama", reason="transformers is not installed")
    from transformers import LlamaConfig

    config = LlamaConfig(hidden_size=24, num_attention_heads=3, num_key_value_heads=3)  # heads of size 8, base 10000
    x, positions = numbers(2, 3, 4, 8).float(), torch.tensor([[5, 9, 2, 30], [0, 1, 2, 3]])
    cos, sin = llama.LlamaRotaryEmbedding(config)(x, positions)
    expected, _ = llama.apply_rotary_pos_emb(x, x, cos, sin)
    # float32 on both sides, and angles up to 30
    student.rope(x, positions).equals(expected, rtol=1e-5, atol=1e-5)


# %% [markdown] task="MultiHeadAttention"
# ## `MultiHeadAttention`: several small attentions side by side
#
# One attention can look at one mixture of places. $H$ heads look at $H$ of them: the width $D$ is cut into $H$ blocks
# of $d = D/H$ features, each block attends on its own, and one last matrix lets the heads speak to each other.
#
# $$
# \begin{aligned}
# Q &= x W_q, \quad K = x W_k, \quad V = x W_v \\
# \text{head}_h &= \text{attention}(Q_h, K_h, V_h) \\
# y &= [\text{head}_0, \dots, \text{head}_{H-1}]\, W_o
# \end{aligned}
# $$
#
# - The four matrices are children called `q_proj`, `k_proj`, `v_proj`, `o_proj`, each `nn.Linear(D, D, bias=bias)`:
#   the tests load weights into them by these names.
# - Keep `n_heads` and `rope_base` as attributes: the last task asks the module for them.
# - With a `rope_base`, queries and keys of every head are rotated at `positions` (by default 0, 1, …, T − 1); without
#   one, positions do nothing.
# - The mask may be one for all, (T, T), or one for each text, (B, T, T). One for another number of tokens is refused.
#
# **By hand.** $D = 2$, $H = 2$, so $d = 1$ and nothing to divide by; all four matrices are the identity. Two tokens,
# $x = \begin{pmatrix} 0 & 1 \\ 1 & 0 \end{pmatrix}$. Head 0 sees the column $(0, 1)$: token 0 has query 0, equal
# scores, and answers $\tfrac12$; token 1 has query 1, scores $0$ and $1$, and answers $e/(1+e) = 0.7311$. Head 1 sees
# the column $(1, 0)$ and answers the other way round. So
# $y = \begin{pmatrix} 0.5 & 0.7311 \\ 0.7311 & 0.5 \end{pmatrix}$.


# %% task="MultiHeadAttention" points=6 minutes=30 needs="attention, rope"
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
        ### BEGIN SOLUTION
        if d_model % n_heads:
            raise ValueError(f"{n_heads} heads cannot share a width of {d_model} evenly")
        self.n_heads = n_heads
        self.rope_base = rope_base
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.o_proj = nn.Linear(d_model, d_model, bias=bias)
        ### END SOLUTION

    def forward(self, x: Tensor, mask: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Each token's new features, from all that it may attend to.

        x: (B, T, D).
        mask: bool, (T, T) for all texts or (B, T, T) for each its own, True = may attend; None hides nothing.
        positions: (T,) or (B, T) int64, used only with rope_base; None means 0 ... T-1.
        Returns (B, T, D).
        """
        ### BEGIN SOLUTION
        B, T, D = x.shape
        H, d = self.n_heads, D // self.n_heads
        q = self.q_proj(x).view(B, T, H, d).transpose(1, 2)  # (B, H, T, d)
        k = self.k_proj(x).view(B, T, H, d).transpose(1, 2)  # (B, H, T, d)
        v = self.v_proj(x).view(B, T, H, d).transpose(1, 2)  # (B, H, T, d)
        if self.rope_base is not None:
            if positions is None:
                positions = torch.arange(T)  # (T,)
            q, k = rope(q, positions, self.rope_base), rope(k, positions, self.rope_base)
        if mask is not None and mask.dim() == 3:
            mask = mask[:, None]  # (B, 1, T, T)  the same for every head
        y = attention(q, k, v, mask)  # (B, H, T, d)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, D))  # (B, T, D)
        ### END SOLUTION


# %% [markdown] hints="MultiHeadAttention"
# 1. Follow one number: feature 5 of token 2, with D = 12 and 3 heads. Which head does it belong to, which of that
#    head's features is it, and where should it stand in a tensor (B, H, T, d)? Does your reshape put it there?
# 2. A view can only cut an axis into neighbouring pieces, so the D axis becomes (H, d) in place: (B, T, H, d).
#    Bringing the heads forward is a separate step, and so is the way back. A mask (B, T, T) has to meet scores (B, H,
#    T, T): where is an axis missing?
# 3. Project, `view(B, T, H, d)`, `transpose(1, 2)`; rotate q and k if there is a base; give a 3-D mask an axis with
#    `[:, None]`; call your attention; `transpose(1, 2)` back, `reshape(B, T, D)`, and finish with o_proj. The scale
#    is attention's affair: it sees d, not D.


# %% tests="MultiHeadAttention"
def weights_for(width, bias=False, start=0):
    """Fixed weights for the four projections of a module of that width."""
    names = ["q_proj", "k_proj", "v_proj", "o_proj"]
    weights = {f"{name}.weight": numbers(width, width, start=start + 1000 * i) / 3 for i, name in enumerate(names)}
    if bias:
        weights |= {f"{name}.bias": numbers(width, start=start + 5000 + 100 * i) for i, name in enumerate(names)}
    return weights


def identity_weights(width):
    """Projections that pass everything through."""
    return {f"{name}_proj.weight": torch.eye(width, dtype=torch.float64) for name in "qkvo"}


def config(d_model, n_heads, bias=False, rope_base=None):
    """The arguments of MultiHeadAttention."""
    return {"d_model": d_model, "n_heads": n_heads, "bias": bias, "rope_base": rope_base}


def torch_module(d_model, n_heads, weights, bias=False):
    """nn.MultiheadAttention with the same weights: it keeps q, k and v in one matrix."""
    theirs = nn.MultiheadAttention(d_model, n_heads, bias=bias, batch_first=True, dtype=torch.float64)
    ours = {"in_proj_weight": torch.cat([weights[f"{name}_proj.weight"] for name in "qkv"])}
    ours["out_proj.weight"] = weights["o_proj.weight"]
    if bias:
        ours["in_proj_bias"] = torch.cat([weights[f"{name}_proj.bias"] for name in "qkv"])
        ours["out_proj.bias"] = weights["o_proj.bias"]
    theirs.load_state_dict(ours)
    return theirs


@task("MultiHeadAttention")
def test_two_heads_by_hand(student):
    """Two heads of size one, with identity matrices, answer as in the handout."""
    x = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    e = math.e / (1 + math.e)
    expected = torch.tensor([[[0.5, e], [e, 0.5]]], dtype=torch.float64)
    student.ask(run_module, config(2, 2), identity_weights(2), x).equals(expected, rtol=1e-9)


@task("MultiHeadAttention")
def test_the_projections_have_the_agreed_names(student):
    """The four projections are called q_proj, k_proj, v_proj and o_proj, with a bias only if asked for."""
    names = ["q_proj", "k_proj", "v_proj", "o_proj"]
    plain = {f"{name}.weight": [6, 6] for name in names}
    student.ask(parameter_shapes, config(6, 3)).equals(plain)
    student.ask(parameter_shapes, config(6, 3, bias=True)).equals(plain | {f"{name}.bias": [6] for name in names})


@task("MultiHeadAttention")
@pytest.mark.parametrize("bias", [False, True])
def test_same_as_torch_multihead_attention(student, bias):
    """Your module equals nn.MultiheadAttention with the same weights, under a causal mask."""
    x, weights = numbers(2, 5, 12, start=300), weights_for(12, bias)
    mask = torch.ones(5, 5).tril().bool()
    theirs = torch_module(12, 3, weights, bias)
    expected = theirs(x, x, x, attn_mask=~mask, need_weights=False)[0].detach()
    student.ask(run_module, config(12, 3, bias), weights, x, mask).equals(expected, rtol=1e-9, atol=1e-12)


@task("MultiHeadAttention")
def test_a_mask_for_each_text(student):
    """A mask (B, T, T) belongs to the texts of the batch, also where there are as many heads as texts."""
    x, weights = numbers(3, 5, 12, start=300), weights_for(12)
    causal = torch.ones(5, 5).tril().bool()
    masks = torch.stack([causal, causal.T, torch.ones(5, 5).bool()])  # (3, 5, 5)
    theirs = torch_module(12, 3, weights)
    each = [theirs(x[b : b + 1], x[b : b + 1], x[b : b + 1], attn_mask=~masks[b])[0] for b in range(3)]
    student.ask(run_module, config(12, 3), weights, x, masks).equals(torch.cat(each).detach(), rtol=1e-9, atol=1e-12)


@task("MultiHeadAttention")
def test_rotary_positions_by_hand(student):
    """With one pair of features, a query at position 1 meets a key at position 0 after a turn by one radian."""
    x = torch.tensor([[[2.0, 0.0], [0.0, 2.0]]], dtype=torch.float64)
    here, back = math.exp(4 / math.sqrt(2)), math.exp(-4 * math.sin(1) / math.sqrt(2))
    expected = torch.tensor([[[2.0, 0.0], [2 * back / (back + here), 2 * here / (back + here)]]], dtype=torch.float64)
    mask = torch.tensor([[True, False], [True, True]])
    answer = student.ask(run_module, config(2, 1, rope_base=10000.0), identity_weights(2), x, mask)
    answer.equals(expected, atol=1e-5)  # angles may be float32


@task("MultiHeadAttention")
@needs("test_rotary_positions_by_hand")
def test_the_base_reaches_the_rotation(student):
    """With a base of 10 to the 12 the second pair of features hardly turns: as good as no positions at all."""
    x = numbers(2, 5, 4, start=300) * torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)  # that pair is (1, 3)
    still = student.ask(run_module, config(4, 1), identity_weights(4), x)
    # the largest angle is 4e-6
    student.ask(run_module, config(4, 1, rope_base=1e12), identity_weights(4), x).equals(still, rtol=1e-4, atol=1e-4)


@task("MultiHeadAttention")
def test_positions_decide_where_to_look_not_what_is_read(student):
    """A token that sees only itself reads its own value unturned, at any position."""
    x, weights = numbers(2, 4, 12, start=300), weights_for(12)
    expected = x @ weights["v_proj.weight"].T @ weights["o_proj.weight"].T
    answer = student.ask(
        run_module, config(12, 3, rope_base=500.0), weights, x, torch.eye(4).bool(), torch.tensor([5, 9, 2, 7])
    )
    answer.equals(expected, rtol=1e-9, atol=1e-12)


@task("MultiHeadAttention")
@needs("test_rotary_positions_by_hand")
def test_only_distances_between_positions_matter(student):
    """With rotary positions, moving all tokens 11 places on changes nothing; moving one of them does."""
    x, weights, here = numbers(2, 5, 12, start=300), weights_for(12), torch.tensor([0, 3, 1, 8, 4])
    rotary = config(12, 3, rope_base=500.0)
    there = student.ask(run_module, rotary, weights, x, None, here + 11)
    there.equals(student.ask(run_module, rotary, weights, x, None, here), rtol=1e-5, atol=1e-4)
    moved = student.ask(run_module, rotary, weights, x, None, torch.tensor([0, 3, 1, 8, 6])).value
    assert (moved - there.value).abs().max() > 1e-3, "Moving one token away changed nothing: are positions used?"


@task("MultiHeadAttention")
def test_gradients_reach_all_four_projections(student):
    """Gradients of the input and of all four projections equal those of nn.MultiheadAttention."""
    x, weights, cotangent = numbers(2, 4, 6, start=300), weights_for(6), numbers(2, 4, 6, start=70)
    theirs, leaf = torch_module(6, 3, weights), x.clone().requires_grad_()
    theirs(leaf, leaf, leaf, need_weights=False)[0].backward(cotangent)
    q, k, v = theirs.in_proj_weight.grad.chunk(3)
    expected = {
        "x": leaf.grad,
        "q_proj.weight": q,
        "k_proj.weight": k,
        "v_proj.weight": v,
        "o_proj.weight": theirs.out_proj.weight.grad,
    }
    student.ask(gradients_of_module, config(6, 3), weights, x, cotangent).equals(expected, rtol=1e-7, atol=1e-10)


@task("MultiHeadAttention")
@needs("test_two_heads_by_hand")
def test_three_heads_cannot_share_ten_features(student):
    """A width that the heads cannot share evenly is refused."""
    student.ask(build_module, config(10, 3)).refused()


# %% [markdown] task="attention_with_cache"
# ## `attention_with_cache`: the same answers, one chunk at a time
#
# A model that writes a text runs once for each new token. The keys and values of the old tokens do not change (a
# causal mask means that nothing later can touch them), so computing them again is waste. Keep them instead.
#
# `attention_with_cache(module, x, cache)` takes only the **new** tokens. It makes their queries, keys and values with
# the module's own projections, puts the keys and values behind those of the cache, attends causally, and hands back
# the output for the new tokens and the longer cache. Fed chunk by chunk, in chunks of any size, it gives what the
# module gives for the whole text at once.
#
# **By hand.** Three tokens are cached, and two new ones arrive:
#
# | | |
# |---|---|
# | new tokens stand at positions | 3 and 4 |
# | queries × keys | 2 × 5 |
# | the first new token sees | keys 0 to 3 |
# | the second sees | keys 0 to 4 |
# | the new cache has length | 5 |
# | the old cache | still has length 3, and still the same numbers |
#
# The last line matters: one prompt is often continued in several ways, each from the same cache.
#
# **The edges.** A cache of length 0 is the same as none. A chunk of no tokens gives y of shape (B, 0, D) and a cache as long as
# the old one, also at the very start. A cache for another number of texts than x is refused.


# %% task="attention_with_cache" points=5 minutes=30 needs="causal_mask, attention, rope, MultiHeadAttention"
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
    ### BEGIN SOLUTION
    B, T_new, D = x.shape
    H, d = module.n_heads, D // module.n_heads
    q = module.q_proj(x).view(B, T_new, H, d).transpose(1, 2)  # (B, H, T_new, d)
    k = module.k_proj(x).view(B, T_new, H, d).transpose(1, 2)  # (B, H, T_new, d)
    v = module.v_proj(x).view(B, T_new, H, d).transpose(1, 2)  # (B, H, T_new, d)
    T_past = 0 if cache is None else cache[0].shape[2]
    if module.rope_base is not None:
        positions = torch.arange(T_past, T_past + T_new)  # (T_new,)  the text did not begin with this chunk
        q, k = rope(q, positions, module.rope_base), rope(k, positions, module.rope_base)
    if cache is not None:
        k = torch.cat([cache[0], k], dim=2)  # (B, H, T_past + T_new, d)  a new tensor: the old cache stays whole
        v = torch.cat([cache[1], v], dim=2)  # (B, H, T_past + T_new, d)
    y = attention(q, k, v, causal_mask(T_new, T_past + T_new))  # (B, H, T_new, d)
    y = module.o_proj(y.transpose(1, 2).reshape(B, T_new, D))  # (B, T_new, D)
    return y, (k, v)
    ### END SOLUTION


# %% [markdown] hints="attention_with_cache"
# 1. Write down, for three cached tokens and two new ones: at which positions do the new ones stand, how many rows and
#    columns does the table of scores have, and which of its entries are hidden?
# 2. Everything that depends on the place in the text starts at T_past, the length of the cache: the positions for
#    rope, and the mask. You have a mask function that already aligns the queries with the last keys. The new keys are
#    rotated before they join the old ones, which were rotated when they were new.
# 3. Project and split as in the module; positions = arange(T_past, T_past + T_new); rotate the new q and k;
#    `torch.cat` the cache's keys and values in front of the new ones along the token axis (cat makes new tensors, so
#    the old cache is safe); attend with causal_mask(T_new, T_past + T_new); merge the heads, o_proj, and return the
#    longer pair.


# %% tests="attention_with_cache"
@task("attention_with_cache")
@pytest.mark.parametrize("sizes", [[5], [3, 2], [1, 1, 1, 1, 1], [2, 1, 2]])
def test_chunks_equal_the_whole_text(student, sizes):
    """A text fed in chunks gives what nn.MultiheadAttention gives for the whole text under a causal mask."""
    x, weights = numbers(2, 5, 12, start=300), weights_for(12)
    theirs = torch_module(12, 3, weights)
    expected = theirs(x, x, x, attn_mask=~torch.ones(5, 5).tril().bool(), need_weights=False)[0].detach()
    answer = student.ask(cached_in_chunks, config(12, 3), weights, x, sizes)
    assert torch.allclose(answer.value["y"], expected, rtol=1e-9, atol=1e-12), "The chunks do not add up to the whole."


@task("attention_with_cache")
def test_chunks_equal_the_whole_text_with_positions(student):
    """With rotary positions too, chunks give what your module gives for the whole text."""
    x, weights, rotary = numbers(2, 5, 12, start=300), weights_for(12), config(12, 3, rope_base=500.0)
    whole = student.ask(full_forward, rotary, weights, x).value
    answer = student.ask(cached_in_chunks, rotary, weights, x, [2, 3]).value
    # angles may be float32
    assert torch.allclose(answer["y"], whole, rtol=1e-5, atol=1e-5), "The chunks do not add up to the whole."


@task("attention_with_cache")
def test_the_cache_of_three_tokens(student):
    """The cache of three tokens holds their keys, turned by their positions, and their values as they are."""
    x = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]], dtype=torch.float64)
    answer = student.ask(cached_in_chunks, config(2, 1, rope_base=10000.0), identity_weights(2), x, [2, 1])
    turned = torch.tensor([[[[1.0, 0.0], [math.cos(1), math.sin(1)], [math.cos(2), math.sin(2)]]]], dtype=torch.float64)
    # every value is (1, 0), so every answer is too
    answer.equals({"y": x, "k": turned, "v": x[:, None]}, atol=1e-5)


@task("attention_with_cache")
@needs("test_chunks_equal_the_whole_text")
def test_a_cache_can_be_used_twice(student):
    """A cache is left as it was, so continuing twice from it gives the same answer twice."""
    x, weights = numbers(2, 5, 12, start=300), weights_for(12)
    answer = student.ask(reused_cache, config(12, 3, rope_base=500.0), weights, x[:, :3], x[:, 3:]).value
    for name, before, after in zip(("keys", "values"), answer["before"], answer["after"], strict=True):
        assert before.shape == after.shape, f"The cached {name} grew during the call: the old cache should stay whole."
        assert torch.equal(before, after), f"The cached {name} changed during the call."
    assert torch.equal(answer["first"], answer["second"]), "The same cache gave two different answers."


@task("attention_with_cache")
@needs("test_chunks_equal_the_whole_text")
def test_an_empty_chunk_changes_nothing(student):
    """A chunk of no tokens gives no output and a cache of the old length."""
    x, weights = numbers(2, 3, 12, start=300), weights_for(12)
    answer = student.ask(cached_in_chunks, config(12, 3), weights, x, [3, 0]).value
    assert answer["y"].shape == (2, 3, 12), "An empty chunk should add no output."
    assert answer["k"].shape == (2, 3, 3, 4), "An empty chunk should leave the cache's length alone."
