# %% [markdown] assignment="a03_transformer" title="The transformer: norms, blocks, a whole model, and sampling from it" module="transformer" requires="torch, common" summary="Put a norm before attention, a gated MLP behind it, stack the result into a GPT or a Llama, count its parameters, and let it write." forbidden="torch.nn.LayerNorm, torch.nn.RMSNorm, torch.nn.functional.layer_norm, torch.nn.functional.rms_norm, torch.layer_norm, torch.rms_norm, torch.native_layer_norm, torch.nn.Transformer, torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer, common.TinyGPT, common.transformer.TinyGPT, common.transformer.TinyBlock, transformers"
# # The transformer: norms, blocks, a whole model, and sampling from it
#
# Attention lets tokens read each other. A language model is what you get when you put a norm before it, a small
# network behind it, add both to a stream that flows straight through, repeat that a few dozen times, and read the
# next token off the end. Today you build all of it, in both forms that matter: the one of GPT-2 and the one of Llama.
# At the end your model writes.
#
# You write eight things, in this order:
#
# 1. `LayerNorm` and `RMSNorm`: keep the numbers of a token in range
# 2. `SwiGLU`: a small network with a gate
# 3. `Block`: norm, attention, norm, network, and a stream that passes them by
# 4. `GPT`: embeddings, blocks, and a head that is the embedding table again
# 5. `count_parameters`: know a model's size without building it
# 6. `next_token_probs`: from logits to the distribution that is drawn from
# 7. `sample`: write, one token after another
#
# **You need** the ideas of [attention](../../docs/learn/a02_attention.md), but not your code: attention is given. The
# [reading page](../../docs/learn/a03_transformer.md) derives what you build and says what to read of the papers.
#
# ```
# autograder check a03              # all tasks: what holds, what to mend first
# autograder check a03.Block        # one task
# autograder hint a03.Block         # the next of its three hints
# ```
#
# ## What is given
#
# Three things are imported on top of your file. Read them in `assignments/common/transformer.py`, from its top to the
# end of `MLP`, and stop there: below stands `TinyGPT`, a model much like the one that you are about to build.
#
# - `GPTConfig(vocab_size, context, n_layers, n_heads, d_model, d_ff, norm, mlp, positions, bias, norm_eps, rope_base,
#   dropout)` says what a model looks like: `norm` is `"rmsnorm"` or `"layernorm"`, `mlp` is `"swiglu"` or `"gelu"`,
#   `positions` is `"rope"` or `"learned"`. It checks nothing.
# - `CausalSelfAttention(config)` is the attention of the last assignment, (B, T, D) to (B, T, D): causal, with
#   children `q_proj`, `k_proj`, `v_proj`, `o_proj`, and with rotary positions if the configuration says so.
# - `MLP(d_model, d_ff, bias)` is the network of GPT-2, with children `up_proj`, `down_proj` and a GELU between them.
#
# ## What we keep of the papers, and what we leave out
#
# Kept from GPT-2 (Radford et al., 2019): norms *before* the branches, a final norm, small initial weights that get
# smaller with depth, and a head that shares the embedding table (Press and Wolf, 2017). Kept from Llama (Touvron et
# al., 2023): RMSNorm (Zhang and Sennrich, 2019), SwiGLU (Shazeer, 2020), rotary positions. Kept for sampling: the
# nucleus of Holtzman et al. (2020).
#
# Left out: keys and values shared by several heads, dropout on attention weights and on embeddings, a cache while
# sampling (you built one; here every step reads the whole text again), beam search, penalties for repetition.
#
# ## Convention card
#
# | question | our answer | who differs |
# |---|---|---|
# | variance in a LayerNorm | divide by $d$ | `torch.var`: by $d-1$ unless told |
# | where is `eps`? | **inside** the root, $\sqrt{\text{variance} + \text{eps}}$ | |
# | does RMSNorm subtract the mean? | no, and it has no bias | |
# | norms of float16 and bfloat16 | computed in float32, answered in the dtype of the input | |
# | where is the norm of a branch? | **before** it; the stream itself is never normed (except at the end) | Vaswani: after the sum |
# | which branch of SwiGLU is activated? | the gate, by SiLU: $x \cdot \sigma(x)$ | |
# | GELU | the tanh form | `nn.GELU()`: the exact one |
# | the head | **is** the embedding table, with no bias | Llama: a table of its own |
# | embeddings | go in as they are | Vaswani, Gemma: times $\sqrt D$ |
# | temperature, `top_k`, `top_p` | in this order | some: filters first |
# | the token that crosses `top_p` | stays | |
# | ties at the edge of `top_k` | all stay | |
# | ties at the edge of `top_p` | the lower index comes first, and the line may part them | |
# | a text that ends early | is filled up with `eos` | |
# | inputs | are never changed in place | |
# | bad input that a task names | is refused: raise `ValueError` and say what is wrong | |
#
# **What no task names is not asked** and may fail as torch fails: ids outside of the vocabulary, a width that its heads
# cannot share, sizes below 1 (`n_layers` is at least 1 too).
#
# Letters: $B$ batch, $T$ tokens, $D$ width (`d_model`), $F$ width inside the MLP (`d_ff`), $H$ heads, $V$ vocabulary,
# $L$ layers.
#
# ## What you may not use, and why
#
# `nn.LayerNorm`, `nn.RMSNorm` and their functional forms, `nn.Transformer` and its layers, `TinyGPT` and `TinyBlock`
# (the next assignment's model, in the same file as what is given) and the `transformers` package: they are what you
# are building. Everything else in torch is yours. The practice tests hold your modules against the forbidden ones, so
# you will see that yours are the same.
#
# ## What the tests look at
#
# Values in float64 against an independent reference, with weights loaded by name: so **names of children matter**.
# Gradients to every weight; what a fresh model looks like; inputs that must be left alone; half precision; dropout
# that must be off when it should be; what must be refused.

# %%
import math
from collections.abc import Callable

import torch
from common.transformer import MLP, CausalSelfAttention, GPTConfig
from torch import Tensor, nn

# %% [markdown] task="LayerNorm"
# ## `LayerNorm`: zero mean, unit variance, for each token
#
# A deep network multiplies and adds so often that its numbers drift away from where anything can be learnt. A norm
# brings them back, *for each token on its own*: it looks at the $d$ numbers of one token and at nothing else.
#
# $$
# \mu = \frac1d \sum_i x_i, \qquad \sigma^2 = \frac1d \sum_i (x_i - \mu)^2, \qquad
# y_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \text{eps}}}\; w_i + b_i
# $$
#
# - Parameters `weight` (all ones at first) and `bias` (all zeros), each of shape (d,).
# - Any number of leading axes, also none: (d,) is one token. A last axis that is not $d$ is refused (one of size 1 as
#   well). A single number, a tensor without axes, is not asked.
# - float16 and bfloat16 carry three digits, and the square of 300 is infinite in float16. So for such inputs $\mu$,
#   $\sigma^2$ and the quotient are computed in float32, and the answer is rounded once, to the dtype of the input.
#   float32 stays float32, float64 stays float64.
# - Numbers far from zero, ten thousand give or take one, are normed as well as any others.
# - The input is left as it was.
#
# **By hand.** $x = (1, 2, 3, 6)$, eps $= 0.5$: $\mu = 3$, $\sigma^2 = (4 + 1 + 0 + 9)/4 = 3.5$, the root of
# $3.5 + 0.5$ is $2$, so $y = (-1, -0.5, 0, 1.5)$.


# %% task="LayerNorm" points=2 minutes=12
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
        ### BEGIN SOLUTION
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d))
        self.bias = nn.Parameter(torch.zeros(d))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        if x.shape[-1] != self.weight.shape[0]:
            raise ValueError(f"this norm is for {self.weight.shape[0]} features; the input has {x.shape[-1]}")
        fine = x.to(torch.promote_types(x.dtype, torch.float32))  # (..., d)
        mean = fine.mean(dim=-1, keepdim=True)  # (..., 1)
        variance = (fine - mean).square().mean(dim=-1, keepdim=True)  # (..., 1)
        y = (fine - mean) / torch.sqrt(variance + self.eps)  # (..., d)
        return (y * self.weight + self.bias).to(x.dtype)
        ### END SOLUTION


# %% [markdown] hints="LayerNorm"
# 1. Which numbers may enter the mean of one token: those of its neighbours in the text, in the batch, its own
#    features? What is the variance of exactly these numbers (not an estimate from a sample)?
# 2. Both statistics run over the last axis and must keep it (as size one) so that they broadcast back. Subtract the
#    mean first and square afterwards: a difference of two large squares loses all its digits. Decide the dtype to
#    compute in with `torch.promote_types(x.dtype, torch.float32)`.
# 3. Check the last size. Convert x; `mean(dim=-1, keepdim=True)`; the mean of `(x - mean).square()` likewise; divide
#    by `torch.sqrt(variance + eps)`; times weight, plus bias; convert back to the dtype that came in.

# %% tests="LayerNorm"
import math

import pytest
import torch
import torch.nn.functional as F
from asks import (
    branches_in_training,
    continued,
    continued_plainly,
    counted,
    fresh_parameters,
    gradients_of_layer,
    gradients_of_model,
    input_after_layer,
    number_of_parameters,
    parameters_of_layer,
    run_block,
    run_layer,
    run_layer_as_built,
    run_model,
    shapes_of_block,
    shapes_of_layer,
    shapes_of_model,
    twice_through_block,
    with_dropout,
)
from torch import nn

from autograder.testing import Counted, needs, task


def numbers(*shape, start=0):
    """Fixed numbers between -2 and 2 without a visible pattern; `start` gives other ones."""
    return 2 * torch.sin(1.7 * torch.arange(start, start + math.prod(shape), dtype=torch.float64) ** 1.3).reshape(shape)


def filled(shapes, start=0):
    """Fixed weights of these shapes, by name, of the size that trained weights have."""
    return {
        name: numbers(*shape, start=start + 777 * place) / (2 if len(shape) == 1 else shape[-1] ** 0.5)
        for place, (name, shape) in enumerate(shapes.items())
    }


@task("LayerNorm")
def test_the_worked_norm_of_the_handout(student):
    """With eps 0.5, (1, 2, 3, 6) becomes (-1, -0.5, 0, 1.5)."""
    x = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64)
    expected = torch.tensor([-1.0, -0.5, 0.0, 1.5], dtype=torch.float64)
    # float64: nothing but rounding in the last digits
    student.ask(run_layer_as_built, "LayerNorm", [4, 0.5], x).equals(expected, rtol=1e-9, atol=1e-12)


@task("LayerNorm")
@needs("test_the_worked_norm_of_the_handout")
def test_a_new_norm_has_weights_of_one_and_biases_of_zero(student):
    """A new LayerNorm has a weight of ones and a bias of zeros."""
    student.ask(parameters_of_layer, "LayerNorm", [3]).equals({"weight": torch.ones(3), "bias": torch.zeros(3)})


@task("LayerNorm")
@needs("test_the_worked_norm_of_the_handout")
def test_another_width_is_refused(student):
    """An input whose last axis is not d is refused, one of size 1 as well."""
    weights = {"weight": numbers(4), "bias": numbers(4, start=9)}
    student.ask(run_layer, "LayerNorm", [4], weights, numbers(2, 5)).refused()
    student.ask(run_layer, "LayerNorm", [4], weights, numbers(2, 1)).refused()


@task("LayerNorm")
def test_same_as_torchs_layer_norm(student):
    """Your norm and its gradients equal those of torch's own nn.LayerNorm."""
    weights = {"weight": 1 + numbers(6) / 4, "bias": numbers(6, start=60)}
    x, cotangent = numbers(2, 3, 6, start=100), numbers(2, 3, 6, start=300)
    torchs = nn.LayerNorm(6, eps=0.1).double()
    torchs.load_state_dict(weights)
    leaf = x.clone().requires_grad_()
    y = torchs(leaf)
    y.backward(cotangent)
    expected = {"y": y.detach(), "x": leaf.grad, "weight": torchs.weight.grad, "bias": torchs.bias.grad}
    # gradients: longer sums than the value's, so 1e-7
    answer = student.ask(gradients_of_layer, "LayerNorm", [6, 0.1], weights, x, cotangent)
    answer.equals(expected, rtol=1e-7, atol=1e-10)


@task("LayerNorm")
def test_same_as_torch_in_bfloat16(student):
    """In bfloat16 your norm equals torch's, which computes in float32, up to one rounding."""
    weights = {"weight": (1 + numbers(8) / 4).bfloat16(), "bias": numbers(8, start=60).bfloat16()}
    x = (40 + 8 * numbers(3, 8, start=100)).bfloat16()
    expected = F.layer_norm(x, (8,), weights["weight"], weights["bias"], 1e-5)
    # bfloat16 rounds a number below 4 by up to 0.008; two roads may round to neighbours
    student.ask(run_layer, "LayerNorm", [8], weights, x).equals(expected, atol=0.02)


# %% [markdown] task="RMSNorm"
# ## `RMSNorm`: the same without the mean
#
# What helps about a LayerNorm is the division. RMSNorm keeps only that: it divides by the root of the mean square.
#
# $$\text{rms}^2 = \frac1d \sum_i x_i^2, \qquad y_i = \frac{x_i}{\sqrt{\text{rms}^2 + \text{eps}}}\; w_i$$
#
# One parameter, `weight`, ones at first; there is no bias. Everything else is as above: leading axes, what is
# refused, and float32 for half precision. Mind the default of `eps`, which is smaller here.
#
# **By hand.** $x = (1, 5, 1, 3)$, eps $= 7$: the mean square is $36/4 = 9$, the root of $9 + 7$ is $4$, so
# $y = (0.25, 1.25, 0.25, 0.75)$.


# %% task="RMSNorm" points=2 minutes=8
class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis, (..., d) -> (..., d).

    d: size of the last axis. eps: added to the mean square, inside the root.
    Parameter: weight (d,), ones at first. Computed in float32 or finer; the answer has the dtype of the input.
    Raises ValueError if the last axis is not d.

    Source: Zhang and Sennrich 2019, equation 4.
    """

    def __init__(self, d: int, eps: float = 1e-6):
        super().__init__()
        ### BEGIN SOLUTION
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d))
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        if x.shape[-1] != self.weight.shape[0]:
            raise ValueError(f"this norm is for {self.weight.shape[0]} features; the input has {x.shape[-1]}")
        fine = x.to(torch.promote_types(x.dtype, torch.float32))  # (..., d)
        mean_square = fine.square().mean(dim=-1, keepdim=True)  # (..., 1)
        y = fine / torch.sqrt(mean_square + self.eps)  # (..., d)
        return (y * self.weight).to(x.dtype)
        ### END SOLUTION


# %% [markdown] hints="RMSNorm"
# 1. Which lines of your LayerNorm speak of the mean? What is left of the variance when the mean is taken to be zero?
# 2. The mean square runs over the last axis and keeps it. Square after converting to float32, not before: the square
#    of 300 does not fit into float16.
# 3. Convert x, divide it by `torch.sqrt(x.square().mean(dim=-1, keepdim=True) + eps)`, multiply by weight, convert
#    back. The check of the last size is the one you have.


# %% tests="RMSNorm"
@task("RMSNorm")
def test_the_worked_root_mean_square_of_the_handout(student):
    """With eps 7, (1, 5, 1, 3) becomes (0.25, 1.25, 0.25, 0.75)."""
    x = torch.tensor([1.0, 5.0, 1.0, 3.0], dtype=torch.float64)
    expected = torch.tensor([0.25, 1.25, 0.25, 0.75], dtype=torch.float64)
    # float64: nothing but rounding in the last digits
    student.ask(run_layer_as_built, "RMSNorm", [4, 7.0], x).equals(expected, rtol=1e-9, atol=1e-12)


@task("RMSNorm")
@needs("test_the_worked_root_mean_square_of_the_handout")
def test_it_has_a_weight_of_ones_and_no_bias(student):
    """A new RMSNorm has one parameter, a weight of ones."""
    student.ask(parameters_of_layer, "RMSNorm", [3]).equals({"weight": torch.ones(3)})


@task("RMSNorm")
def test_a_square_of_300_is_not_infinite(student):
    """In float16, numbers of size 300 are normed as well as any others."""
    x = torch.tensor([[300.0, -300.0, 600.0, 0.0]], dtype=torch.float16)
    weights = {"weight": torch.ones(4, dtype=torch.float16)}
    expected = (torch.tensor([[1.0, -1.0, 2.0, 0.0]]) / 1.5**0.5).half()
    # float16 rounds a number below 2 by up to 0.0005
    student.ask(run_layer, "RMSNorm", [4], weights, x).equals(expected, atol=0.002)


@task("RMSNorm")
@needs("test_the_worked_root_mean_square_of_the_handout")
def test_another_number_of_features_is_refused(student):
    """An input whose last axis is not d is refused."""
    student.ask(run_layer, "RMSNorm", [4], {"weight": numbers(4)}, numbers(2, 1)).refused()


@task("RMSNorm")
def test_same_as_torchs_rms_norm(student):
    """Your norm and its gradients equal those of torch's own nn.RMSNorm."""
    weights = {"weight": 1 + numbers(6) / 4}
    x, cotangent = numbers(2, 3, 6, start=100), numbers(2, 3, 6, start=300)
    torchs = nn.RMSNorm(6, eps=0.1).double()
    torchs.load_state_dict(weights)
    leaf = x.clone().requires_grad_()
    y = torchs(leaf)
    y.backward(cotangent)
    expected = {"y": y.detach(), "x": leaf.grad, "weight": torchs.weight.grad}
    # gradients: longer sums than the value's, so 1e-7
    answer = student.ask(gradients_of_layer, "RMSNorm", [6, 0.1], weights, x, cotangent)
    answer.equals(expected, rtol=1e-7, atol=1e-10)


@task("RMSNorm")
@needs("test_the_worked_root_mean_square_of_the_handout")
def test_the_caller_keeps_its_numbers(student):
    """The input is the same after the call as before it."""
    x = numbers(2, 4)
    student.ask(input_after_layer, "RMSNorm", [4], {"weight": numbers(4, start=9)}, x).equals(x)


# %% [markdown] task="SwiGLU"
# ## `SwiGLU`: a small network with a gate
#
# After attention has collected what others know, each token thinks for itself. In a Llama it does so with two
# matrices up and one down: one of the two, through a smooth switch, decides how much of the other gets through.
#
# $$y = W_{\text{down}} \bigl( \operatorname{silu}(W_{\text{gate}}\, x) \odot W_{\text{up}}\, x \bigr), \qquad
# \operatorname{silu}(z) = z \cdot \sigma(z) = \frac{z}{1 + e^{-z}}$$
#
# Children `gate_proj` and `up_proj`, each `nn.Linear(D, F, bias=bias)`, and `down_proj`, `nn.Linear(F, D, bias=bias)`.
#
# **By hand.** $D = 1$, $F = 2$, $x = 1$, gate weights $(1, -5)$, up weights $(2, 10)$, down weights $(1, 1)$:
# $\operatorname{silu}(1) = 0.7311$ and $\operatorname{silu}(-5) = -0.0335$, so
# $y = 0.7311 \cdot 2 - 0.0335 \cdot 10 = 1.1275$.


# %% task="SwiGLU" points=2 minutes=10
class SwiGLU(nn.Module):
    """The gated MLP of Llama, (..., D) -> (..., D).

    d_model: D. d_ff: F, the width inside. bias: whether the three projections have a bias.
    Children: gate_proj and up_proj, nn.Linear(D, F, bias=bias); down_proj, nn.Linear(F, D, bias=bias).

    Source: Shazeer 2020, "GLU Variants Improve Transformer", equation 6.
    """

    def __init__(self, d_model: int, d_ff: int, bias: bool = False):
        super().__init__()
        ### BEGIN SOLUTION
        self.gate_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.up_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.down_proj = nn.Linear(d_ff, d_model, bias=bias)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        gate = nn.functional.silu(self.gate_proj(x))  # (..., F)
        return self.down_proj(gate * self.up_proj(x))  # (..., D)
        ### END SOLUTION


# %% [markdown] hints="SwiGLU"
# 1. Two vectors of size F are made of x. Which of them goes through the activation, and what happens to the two
#    afterwards?
# 2. SiLU is the number times its sigmoid, so it is nearly zero far on the left and nearly the number itself far on
#    the right. torch has it as `nn.functional.silu`.
# 3. `down_proj(silu(gate_proj(x)) * up_proj(x))`: a product entry by entry, then one matrix down.


# %% tests="SwiGLU"
def gate_shapes(D, F, bias=False):
    """Names and shapes of the weights of a SwiGLU."""
    shapes = {"gate_proj.weight": (F, D), "up_proj.weight": (F, D), "down_proj.weight": (D, F)}
    return shapes | ({"gate_proj.bias": (F,), "up_proj.bias": (F,), "down_proj.bias": (D,)} if bias else {})


@task("SwiGLU")
def test_the_worked_gate_of_the_handout(student):
    """The handout's numbers give 1.1275."""
    weights = {
        "gate_proj.weight": torch.tensor([[1.0], [-5.0]], dtype=torch.float64),
        "up_proj.weight": torch.tensor([[2.0], [10.0]], dtype=torch.float64),
        "down_proj.weight": torch.tensor([[1.0, 1.0]], dtype=torch.float64),
    }
    x = torch.ones(1, 1, dtype=torch.float64)
    # the handout gives four decimals
    student.ask(run_layer, "SwiGLU", [1, 2], weights, x).equals(
        torch.tensor([[1.1275]], dtype=torch.float64), atol=1e-4
    )


@task("SwiGLU")
@needs("test_the_worked_gate_of_the_handout")
def test_the_three_matrices_have_the_agreed_names(student):
    """There are three matrices, and with bias=True three biases, by the agreed names."""
    for bias in (False, True):
        expected = {name: list(shape) for name, shape in gate_shapes(3, 5, bias).items()}
        assert student.ask(shapes_of_layer, "SwiGLU", [3, 5, bias]).value == expected, (
            "names or shapes of the parameters"
        )


@task("SwiGLU")
def test_same_as_the_mlp_of_llama(student):
    """Your module equals the MLP of Llama in the transformers library."""
    llama = pytest.importorskip("transformers.models.llama.modeling_llama", reason="transformers is not installed")
    from transformers import LlamaConfig

    theirs = llama.LlamaMLP(
        LlamaConfig(hidden_size=4, intermediate_size=7, num_attention_heads=2, mlp_bias=True)
    ).double()
    weights = filled(gate_shapes(4, 7, bias=True))
    theirs.load_state_dict(weights)
    x = numbers(2, 3, 4)
    # float64 on both sides
    student.ask(run_layer, "SwiGLU", [4, 7, True], weights, x).equals(theirs(x).detach(), rtol=1e-9, atol=1e-12)


# %% [markdown] task="Block"
# ## `Block`: two branches beside a stream
#
# $$
# \begin{aligned}
# x &\leftarrow x + \text{dropout}(\text{attn}(\text{norm}_1(x))) \\
# x &\leftarrow x + \text{dropout}(\text{mlp}(\text{norm}_2(x)))
# \end{aligned}
# $$
#
# The stream $x$ passes by untouched; each branch reads a normed copy of it and *adds* what it found. The second
# branch reads what the first one has just written.
#
# - Children: `norm1`, `attn`, `norm2`, `mlp`. The configuration says which: `LayerNorm` or `RMSNorm` (both with
#   `eps=config.norm_eps`), `CausalSelfAttention(config)`, `SwiGLU` or the given `MLP` (with `config.bias`). Words that
#   the configuration does not know are not asked here, nor in `GPT`; `count_parameters` refuses them.
# - Dropout with probability `config.dropout` stands on what each branch adds, never on the stream, and only in
#   training. It has no parameters, so its name is yours.
# - The input is left as it was: `x += ...` would change it.
#
# **By hand.** One token $x = (3, -3)$, RMSNorm with eps 0 and weights 1, one head, all matrices the identity, GELU. A
# token that sees only itself answers its own value, so attention passes on $\text{norm}_1(x) = (1, -1)$ and the
# stream is $(4, -4)$. Its norm is again $(1, -1)$, and GELU makes $(0.8412, -0.1588)$ of it. The answer is
# $(4.8412, -4.1588)$.


# %% task="Block" points=4 minutes=20 needs="LayerNorm, RMSNorm, SwiGLU"
class Block(nn.Module):
    """One pre-norm layer, (B, T, D) -> (B, T, D): x + attn(norm1(x)), then that plus mlp(norm2(that)).

    Children: norm1, attn, norm2, mlp, as the configuration says; norms with eps=config.norm_eps.
    Dropout (config.dropout) on the output of each branch, in training only. The input is not changed in place.

    Source: Radford et al. 2019 (GPT-2), section 2.3; Touvron et al. 2023 (Llama), section 2.2.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        ### BEGIN SOLUTION
        D, F = config.d_model, config.d_ff
        norm = {"layernorm": LayerNorm, "rmsnorm": RMSNorm}[config.norm]
        mlp = {"swiglu": SwiGLU, "gelu": MLP}[config.mlp]
        self.norm1 = norm(D, eps=config.norm_eps)
        self.attn = CausalSelfAttention(config)
        self.norm2 = norm(D, eps=config.norm_eps)
        self.mlp = mlp(D, F, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        x = x + self.dropout(self.attn(self.norm1(x)))  # (B, T, D)
        return x + self.dropout(self.mlp(self.norm2(x)))  # (B, T, D)
        ### END SOLUTION


# %% [markdown] hints="Block"
# 1. Suppose both branches answer zero. What must come out? Then follow the stream: how often does it pass through a
#    norm on its way from the input to the output?
# 2. Build two norms: each branch has one of its own. A dictionary from the configuration's word to the class saves
#    most of the ifs. `nn.Dropout` knows by itself whether the module is in training.
# 3. Two lines: the stream plus dropout of attn of norm1 of the stream; then *that* plus dropout of mlp of norm2 of
#    that. Write `x = x + ...`, which makes a new tensor.


# %% tests="Block"
LLAMA = {"vocab_size": 11, "context": 6, "n_layers": 2, "n_heads": 2, "d_model": 8, "d_ff": 12}
GPT2 = {**LLAMA, "norm": "layernorm", "mlp": "gelu", "positions": "learned", "bias": True}


def block_shapes(config):
    """Names and shapes of a block's weights: the handout's, written out."""
    D, F, bias = config["d_model"], config["d_ff"], config.get("bias", False)
    shapes = {}
    for norm in ("norm1", "norm2"):
        shapes[f"{norm}.weight"] = (D,)
        if config.get("norm") == "layernorm":
            shapes[f"{norm}.bias"] = (D,)
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        shapes[f"attn.{name}.weight"] = (D, D)
        if bias:
            shapes[f"attn.{name}.bias"] = (D,)
    for name in ("up_proj",) if config.get("mlp") == "gelu" else ("gate_proj", "up_proj"):
        shapes[f"mlp.{name}.weight"] = (F, D)
        if bias:
            shapes[f"mlp.{name}.bias"] = (F,)
    shapes["mlp.down_proj.weight"] = (D, F)
    if bias:
        shapes["mlp.down_proj.bias"] = (D,)
    return shapes


def silent(weights):
    """The same weights, but nothing is added to the stream."""
    return {name: 0 * t if "o_proj" in name or "down_proj" in name else t for name, t in weights.items()}


def in_llama(weights, prefix=""):
    """A block's weights by the names of transformers' Llama."""
    renamed = {"norm1": "input_layernorm", "attn": "self_attn", "norm2": "post_attention_layernorm", "mlp": "mlp"}
    return {prefix + renamed[(parts := name.split(".", 1))[0]] + "." + parts[1]: t for name, t in weights.items()}


def in_gpt2(weights, prefix=""):
    """A block's weights by the names and in the shapes of transformers' GPT-2, which multiplies from the right."""
    rows = {f"ln_{i}.{kind}": weights[f"norm{i}.{kind}"] for i in (1, 2) for kind in ("weight", "bias")}
    for kind in ("weight", "bias"):
        rows[f"attn.c_attn.{kind}"] = torch.cat([weights[f"attn.{name}_proj.{kind}"] for name in "qkv"])
        rows[f"attn.c_proj.{kind}"] = weights[f"attn.o_proj.{kind}"]
        rows[f"mlp.c_fc.{kind}"] = weights[f"mlp.up_proj.{kind}"]
        rows[f"mlp.c_proj.{kind}"] = weights[f"mlp.down_proj.{kind}"]
    return {prefix + name: t.T if t.dim() == 2 else t for name, t in rows.items()}


@task("Block")
def test_the_worked_block_of_the_handout(student):
    """The handout's token (3, -3) becomes (4.8412, -4.1588)."""
    config = {**LLAMA, "n_heads": 1, "d_model": 2, "d_ff": 2, "mlp": "gelu", "positions": "learned", "norm_eps": 0.0}
    weights = {
        name: (torch.ones(shape) if len(shape) == 1 else torch.eye(2)).double()
        for name, shape in block_shapes(config).items()
    }
    expected = torch.tensor([[[4.8412, -4.1588]]], dtype=torch.float64)
    x = torch.tensor([[[3.0, -3.0]]], dtype=torch.float64)
    # the handout gives four decimals
    student.ask(run_block, config, weights, x).equals(expected, atol=1e-4)


@task("Block")
@needs("test_the_worked_block_of_the_handout")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_children_are_what_the_configuration_says(student, family):
    """Names and shapes of all parameters are those of the handout, for both families."""
    config = LLAMA if family == "llama" else GPT2
    expected = {name: list(shape) for name, shape in block_shapes(config).items()}
    assert student.ask(shapes_of_block, config).value == expected, "names or shapes of the parameters"


@task("Block")
@needs("test_the_worked_block_of_the_handout")
def test_silent_branches_leave_the_stream_alone(student):
    """When both branches answer zero, a block passes its input through, exactly."""
    x = numbers(2, 5, 8)
    student.ask(run_block, GPT2, silent(filled(block_shapes(GPT2))), x).equals(x)


@task("Block")
@needs("test_the_worked_block_of_the_handout")
def test_two_calls_in_eval_mode_agree(student):
    """In eval mode a block with dropout answers the same twice."""
    config = {**LLAMA, "dropout": 0.5}
    one, two = student.ask(twice_through_block, config, filled(block_shapes(config)), numbers(2, 5, 8)).value
    assert torch.equal(one, two), "In eval mode two calls disagree."


@task("Block")
@needs("test_the_worked_block_of_the_handout")
def test_in_training_parts_of_a_branch_are_dropped(student):
    """In training, about half of what each branch adds is dropped at dropout 0.5."""
    config = {**LLAMA, "dropout": 0.5}
    added = student.ask(branches_in_training, config, filled(block_shapes(config)), numbers(4, 6, 8)).value
    for branch in ("attn", "mlp"):
        dropped = (added[branch] == 0).double().mean()
        # 192 coins: between a quarter and three quarters by seven standard deviations
        assert 0.25 < dropped < 0.75, f"What {branch} adds should be dropped in about half of its entries."


@task("Block")
def test_same_as_the_block_of_llama(student):
    """Your block equals a layer of Llama in the transformers library."""
    llama = pytest.importorskip("transformers.models.llama.modeling_llama", reason="transformers is not installed")
    model = llama.LlamaModel(llama_config()).double().eval()
    weights = filled(block_shapes(LLAMA))
    model.layers[0].load_state_dict(in_llama(weights))
    x = numbers(2, 5, 8)
    places = model.rotary_emb(x, torch.arange(5)[None])
    theirs = model.layers[0](x, position_embeddings=places)
    # their angles are float32
    student.ask(run_block, LLAMA, weights, x).equals(plain(theirs), rtol=1e-4, atol=1e-5)


@task("Block")
def test_same_as_the_block_of_gpt2(student):
    """Your block equals a layer of GPT-2 in the transformers library."""
    gpt2 = pytest.importorskip("transformers.models.gpt2.modeling_gpt2", reason="transformers is not installed")
    model = gpt2.GPT2Model(gpt2_config()).double().eval()
    weights = filled(block_shapes(GPT2))
    model.h[0].load_state_dict(in_gpt2(weights))
    x = numbers(2, 5, 8)
    # float64 on both sides
    student.ask(run_block, GPT2, weights, x).equals(plain(model.h[0](x)), rtol=1e-9, atol=1e-12)


def plain(answer):
    """What a layer of transformers hands back: a tensor, in some versions inside a tuple."""
    return (answer[0] if isinstance(answer, tuple) else answer).detach()


def llama_config():
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=6, rms_norm_eps=1e-5, tie_word_embeddings=True,
    )  # fmt: skip


def gpt2_config():
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=11, n_positions=6, n_embd=8, n_layer=2, n_head=2, n_inner=12, layer_norm_epsilon=1e-5,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


# %% [markdown] task="GPT"
# ## `GPT`: the whole model
#
# Look up a vector for each token (and, for learned positions, add one for each place); send the stream through all
# blocks; norm it one last time; compare it with the vector of every token in the vocabulary. The result is $V$ logits
# a place: how well each token would follow what has been read up to there.
#
# $$\text{logits} = \text{norm}(\text{blocks}(E[\text{tokens}] + P[0 \dots T-1]))\; E^\top$$
#
# - Names: `tok_emb` and, only with learned positions, `pos_emb` (`nn.Embedding` of shapes (V, D) and (context, D));
#   `blocks`, an `nn.ModuleList`; `norm`, the final one, of the kind and with the `eps` that the configuration says.
#   `model.config` is the configuration.
# - The head *is* `tok_emb.weight`: one tensor that learns from both ends. (If you like a child `lm_head`, let it
#   share the tensor and have no bias.) Embeddings go in unscaled.
# - Fresh weights: every matrix and every embedding is drawn from $\mathcal N(0, 0.02^2)$; the two that write into the
#   stream, `o_proj` and `down_proj`, from $\mathcal N(0, 0.02^2 / 2L)$, with $L$ layers: there are $2L$ of them, and
#   their sum should not be louder in a deep model than in a shallow one. Biases are 0, weights of norms 1.
# - More tokens than `config.context` are refused, with rotary positions too. No tokens at all, (B, 0), give (B, 0, V).
#
# **By hand.** Three tokens with vectors $(3, -3)$, $(1, -1)$, $(0, 1)$, RMSNorm with eps 0, rotary positions, silent
# blocks. Token 0 has the norm $(1, -1)$, and its logits are the products with the three vectors: $(6, 2, -1)$. Token
# 1 has the same norm and the same logits. Token 2 has the norm $(0, \sqrt 2)$: $(-3\sqrt 2, -\sqrt 2, \sqrt 2)$.


# %% task="GPT" points=7 minutes=35 needs="LayerNorm, RMSNorm, SwiGLU, Block"
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
        ### BEGIN SOLUTION
        self.config = config
        self.tok_emb = nn.Embedding(config.vocab_size, config.d_model)
        if config.positions == "learned":
            self.pos_emb = nn.Embedding(config.context, config.d_model)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layers)])
        norm = {"layernorm": LayerNorm, "rmsnorm": RMSNorm}[config.norm]
        self.norm = norm(config.d_model, eps=config.norm_eps)

        writes = ("o_proj.weight", "down_proj.weight")
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                depth = 2 * config.n_layers if name.endswith(writes) else 1
                nn.init.normal_(parameter, std=0.02 / math.sqrt(depth))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        ### END SOLUTION

    def forward(self, tokens: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        T = tokens.shape[1]
        if self.config.context < T:
            raise ValueError(f"{T} tokens are more than the context of {self.config.context}")
        x = self.tok_emb(tokens)  # (B, T, D)
        if self.config.positions == "learned":
            x = x + self.pos_emb(torch.arange(T, device=tokens.device))  # (B, T, D)
        for block in self.blocks:
            x = block(x)  # (B, T, D)
        return self.norm(x) @ self.tok_emb.weight.T  # (B, T, V)
        ### END SOLUTION


# %% [markdown] hints="GPT"
# 1. How many tables of size (V, D) does the model own? How loud would the sum of 2L random branches be, next to that
#    of two? And what is a model to do with a place for which it has no position?
# 2. Loop over `named_parameters()` once everything is built: the number of axes tells matrices from the rest, the end
#    of a name tells who writes into the stream. The head needs no module: a product with the transposed table does.
# 3. In order: config, tok_emb, pos_emb if learned, a ModuleList of Blocks, the final norm, then the loop that draws
#    weights. Forward: refuse long texts, look up tokens (and add `pos_emb(torch.arange(T))`), go through the blocks,
#    norm, and multiply with `tok_emb.weight.T`.


# %% tests="GPT"
def model_shapes(config):
    """Names and shapes of a model's weights: the handout's, written out."""
    shapes = {"tok_emb.weight": (config["vocab_size"], config["d_model"])}
    if config.get("positions") == "learned":
        shapes["pos_emb.weight"] = (config["context"], config["d_model"])
    for i in range(config["n_layers"]):
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in block_shapes(config).items()}
    shapes["norm.weight"] = (config["d_model"],)
    if config.get("norm") == "layernorm":
        shapes["norm.bias"] = (config["d_model"],)
    return shapes


def of_block(weights, i):
    return {name.split(".", 2)[2]: t for name, t in weights.items() if name.startswith(f"blocks.{i}.")}


TOKENS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 10]])


@task("GPT")
def test_the_worked_logits_of_the_handout(student):
    """The handout's three tokens have the logits that stand there."""
    config = {**LLAMA, "vocab_size": 3, "n_heads": 1, "d_model": 2, "d_ff": 2, "norm_eps": 0.0}
    weights = silent({name: torch.ones(shape).double() for name, shape in model_shapes(config).items()})
    weights["tok_emb.weight"] = torch.tensor([[3.0, -3.0], [1.0, -1.0], [0.0, 1.0]], dtype=torch.float64)
    root = math.sqrt(2)
    expected = [[[6.0, 2.0, -1.0], [6.0, 2.0, -1.0], [-3 * root, -root, root]]]
    # float64: nothing but rounding in the last digits
    student.ask(run_model, config, weights, torch.tensor([[0, 1, 2]])).equals(
        torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12
    )


@task("GPT")
@needs("test_the_worked_logits_of_the_handout")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_weights_go_by_the_agreed_names(student, family):
    """Names and shapes of all weights are those of the handout, for both families."""
    config = LLAMA if family == "llama" else GPT2
    expected = {name: list(shape) for name, shape in model_shapes(config).items()}
    assert student.ask(shapes_of_model, config).value == expected, "names or shapes of the weights"


@task("GPT")
@needs("test_the_worked_logits_of_the_handout")
def test_the_head_adds_no_parameters(student):
    """The head owns nothing: a tied table counts once."""
    expected = sum(math.prod(shape) for shape in model_shapes(GPT2).values())
    student.ask(number_of_parameters, GPT2).equals(expected)


@task("GPT")
@needs("test_the_worked_logits_of_the_handout")
def test_fresh_weights_are_small_and_those_that_write_are_smaller(student):
    """In a fresh model of 8 layers, matrices have a spread of 0.02, and those that write into the stream a quarter."""
    config = {**GPT2, "n_layers": 8, "d_model": 32, "d_ff": 64, "n_heads": 4}
    weights = student.ask(fresh_parameters, config).value
    for ends, spread in ((("up_proj.weight", "q_proj.weight"), 0.02), (("o_proj.weight", "down_proj.weight"), 0.005)):
        drawn = torch.cat([t.flatten() for name, t in weights.items() if name.endswith(ends)])
        # at least 20,000 numbers: their spread is known to half a per cent
        assert abs(drawn.std() / spread - 1) < 0.05, f"The spread of {' and '.join(ends)} should be {spread}."
    assert all((t == 0).all() for name, t in weights.items() if name.endswith("bias")), "Biases begin at 0."


@task("GPT")
@needs("test_the_worked_logits_of_the_handout")
def test_a_full_context_is_answered_and_one_more_is_refused(student):
    """A text as long as the context is answered; one token more is refused."""
    weights = filled(model_shapes(LLAMA))
    longest = torch.arange(6)[None]
    assert student.ask(run_model, LLAMA, weights, longest).value.shape == (1, 6, 11), "logits are (B, T, V)"
    student.ask(run_model, LLAMA, weights, torch.arange(7)[None]).refused()


@task("GPT")
def test_same_as_the_given_small_model(student):
    """Your GPT and its gradients equal those of common.TinyGPT, which is built of torch's own layers."""
    from common.transformer import GPTConfig, TinyGPT

    weights = filled(model_shapes(GPT2))
    theirs = TinyGPT(GPTConfig(**GPT2)).double().eval()
    theirs.load_state_dict(weights)
    logits = theirs(TOKENS)
    # float64 on both sides
    student.ask(run_model, GPT2, weights, TOKENS).equals(logits.detach(), rtol=1e-9, atol=1e-12)
    cotangent = numbers(2, 5, 11, start=50)
    logits.backward(cotangent)
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    answer = student.ask(gradients_of_model, GPT2, weights, TOKENS, cotangent)
    # gradients: longer sums than the value's
    answer.equals(expected, rtol=1e-7, atol=1e-10)


@task("GPT")
def test_same_as_llama_in_transformers(student):
    """With the same weights, your logits are those of Llama in the transformers library."""
    llama = pytest.importorskip("transformers.models.llama.modeling_llama", reason="transformers is not installed")
    weights = filled(model_shapes(LLAMA))
    theirs = llama.LlamaForCausalLM(llama_config()).double().eval()
    table = weights["tok_emb.weight"]
    named = {"model.embed_tokens.weight": table, "lm_head.weight": table, "model.norm.weight": weights["norm.weight"]}
    for i in range(2):
        named |= in_llama(of_block(weights, i), f"model.layers.{i}.")
    theirs.load_state_dict(named)
    # their angles are float32
    answer = student.ask(run_model, LLAMA, weights, TOKENS)
    answer.equals(theirs(TOKENS).logits.detach(), rtol=1e-4, atol=1e-4)


@task("GPT")
def test_same_as_gpt2_in_transformers(student):
    """With the same weights, your logits are those of GPT-2 in the transformers library."""
    gpt2 = pytest.importorskip("transformers.models.gpt2.modeling_gpt2", reason="transformers is not installed")
    weights = filled(model_shapes(GPT2))
    theirs = gpt2.GPT2LMHeadModel(gpt2_config()).double().eval()
    table = weights["tok_emb.weight"]
    named = {
        "transformer.wte.weight": table,
        "lm_head.weight": table,
        "transformer.wpe.weight": weights["pos_emb.weight"],
    }
    named |= {f"transformer.ln_f.{kind}": weights[f"norm.{kind}"] for kind in ("weight", "bias")}
    for i in range(2):
        named |= in_gpt2(of_block(weights, i), f"transformer.h.{i}.")
    theirs.load_state_dict(named)
    # float64 on both sides
    answer = student.ask(run_model, GPT2, weights, TOKENS)
    answer.equals(theirs(TOKENS).logits.detach(), rtol=1e-9, atol=1e-12)


# %% [markdown] task="count_parameters"
# ## `count_parameters`: know a model's size without building it
#
# Before you train or rent anything you want to know how big it is. Write it as a formula: a model too large for this
# machine must be counted as quickly as a small one.
#
# | part | parameters | |
# |---|---|---|
# | embedding table, which is the head | $V D$ | counted once |
# | learned positions | $\text{context} \cdot D$ | rotary positions learn nothing |
# | final norm | $D$ or $2D$ | an RMSNorm has $D$, a LayerNorm $2D$, whatever `bias` says |
# | each layer: two norms | $2D$ or $4D$ | as for the final one |
# | each layer: attention | $4 D^2$ | and $4D$ with `bias` |
# | each layer: SwiGLU | $3 D F$ | and $2F + D$ with `bias` |
# | each layer: GELU | $2 D F$ | and $F + D$ with `bias` |
#
# A `norm`, `mlp` or `positions` that the configuration does not know is refused. Nothing else is: whether the heads can
# share the width evenly is not this function's affair.
#
# **By hand.** $V = 10$, context 4, one layer, $D = 4$, $F = 8$. As a Llama without biases: $40 + 4 + (8 + 64 + 96) =
# 212$. As a GPT-2 with biases: $40 + 16 + 8 + (16 + 80 + 76) = 236$.


# %% task="count_parameters" points=3 minutes=15
def count_parameters(config: GPTConfig) -> int:
    """How many parameters a GPT of this configuration has, by formula; nothing is built.

    Raises ValueError if config.norm, config.mlp or config.positions is none of the words that GPTConfig names.
    """
    ### BEGIN SOLUTION
    norms, mlps, positions = ("layernorm", "rmsnorm"), ("swiglu", "gelu"), ("learned", "rope")
    if config.norm not in norms or config.mlp not in mlps or config.positions not in positions:
        raise ValueError(f"unknown norm, mlp or positions: {config.norm}, {config.mlp}, {config.positions}")
    V, D, F, bias = config.vocab_size, config.d_model, config.d_ff, int(config.bias)

    norm = 2 * D if config.norm == "layernorm" else D
    attention = 4 * D * D + bias * 4 * D
    swiglu, gelu = 3 * D * F + bias * (2 * F + D), 2 * D * F + bias * (F + D)
    mlp = swiglu if config.mlp == "swiglu" else gelu
    places = config.context * D if config.positions == "learned" else 0
    return V * D + places + config.n_layers * (2 * norm + attention + mlp) + norm
    ### END SOLUTION


# %% [markdown] hints="count_parameters"
# 1. Which of the parts are there once, and which once a layer? Which of them depend on `bias`, and which do not?
# 2. Name four numbers first: the size of one norm, of attention, of the MLP, and of the table of positions (0 for
#    rotary ones). How many norms does a model with L layers have?
# 3. V·D, plus positions, plus L times (two norms + attention + MLP), plus one norm. A bias has as many entries as its
#    matrix has outputs: four times D in attention; F, F and D in SwiGLU; F and D in the other.


# %% tests="count_parameters"
SMALL = {"vocab_size": 10, "context": 4, "n_layers": 1, "n_heads": 2, "d_model": 4, "d_ff": 8}


@task("count_parameters")
def test_the_worked_counts_of_the_handout(student):
    """The handout's two models have 212 and 236 parameters."""
    small_gpt2 = {**SMALL, "norm": "layernorm", "mlp": "gelu", "positions": "learned", "bias": True}
    student.ask(counted, [SMALL, small_gpt2]).equals([212, 236])


@task("count_parameters")
def test_gpt2_has_124_million(student):
    """GPT-2 small has 124,439,808 parameters, its extra large sister 1,557,611,200."""
    gpt2 = {
        "vocab_size": 50257, "context": 1024, "n_layers": 12, "n_heads": 12, "d_model": 768, "d_ff": 3072,
        "norm": "layernorm", "mlp": "gelu", "positions": "learned", "bias": True,
    }  # fmt: skip
    largest = {**gpt2, "n_layers": 48, "n_heads": 25, "d_model": 1600, "d_ff": 6400}
    student.ask(counted, [gpt2, largest]).equals([124_439_808, 1_557_611_200])


@task("count_parameters")
def test_same_as_counting_the_given_small_model(student):
    """Your count is what common.TinyGPT has, in four sizes, with and without biases."""
    from common.transformer import GPTConfig, TinyGPT

    sizes = [(10, 4, 1, 4, 8), (7, 5, 2, 6, 9), (20, 3, 3, 8, 32), (103, 64, 4, 128, 512)]
    configs = [
        {"vocab_size": V, "context": T, "n_layers": L, "n_heads": 2, "d_model": D, "d_ff": F, "bias": bias}
        | {"norm": "layernorm", "mlp": "gelu", "positions": "learned"}
        for V, T, L, D, F in sizes
        for bias in (False, True)
    ]
    built = [sum(p.numel() for p in TinyGPT(GPTConfig(**config)).parameters()) for config in configs]
    student.ask(counted, configs).equals(built)


@task("count_parameters")
@needs("test_the_worked_counts_of_the_handout")
def test_unknown_words_are_refused(student):
    """A norm, an MLP or positions that nobody has heard of are refused."""
    for key in ("norm", "mlp", "positions"):
        student.ask(counted, [{**SMALL, key: "unheard of"}]).refused()


# %% [markdown] task="next_token_probs"
# ## `next_token_probs`: from logits to the distribution that is drawn from
#
# A softmax gives every token some chance, and a vocabulary is long: a thousand tokens with a chance of one in ten
# thousand each are a chance of ten per cent to write nonsense. So before anybody draws, the distribution is sharpened
# and its tail is cut. Three knobs, **in this order**:
#
# 1. **temperature**: divide the logits by it. Below 1 the likely become likelier, above 1 chances even out.
# 2. **top_k**: keep every token whose logit is at least the $k$-th largest. Tokens that tie with it stay too. A $k$ of
#    $V$ or more changes nothing.
# 3. **top_p**: look at the probabilities of what is left, rescaled to sum to one, from the most likely downwards, equal
#    ones in the order of their index. Keep a token as long as those *before* it in this order add up to less than $p$.
#    So the token that crosses the line stays, and at least one always does. $p = 1$ changes nothing.
#
# At the end what is left sums to one again, and what was cut is exactly zero. **Temperature 0** means: all mass on
# the largest logit, and where several tie, on the one with the lowest index; the other two knobs then change nothing.
# Refused, at temperature 0 as at any other: a negative temperature, a `top_k` below 1, a `top_p` that is not in
# $(0, 1]$. Logits of a thousand, and temperatures of a thousandth, are fine.
#
# **What is not asked.** Two equally likely tokens on either side of the line of `top_p` (so "the more likely ones" of the
# docstring and "those before it" are the same); a $p < 1$ exactly on a running total, where rounding would decide; half
# precision.
#
# **By hand.** Probabilities $0.5, 0.3, 0.15, 0.05$ (logits: their logarithms). At temperature ½ they are squared and
# rescaled: $0.25, 0.09, 0.0225, 0.0025$ over $0.365$, that is $0.685, 0.247, 0.062, 0.007$. With `top_k=2`: $0.625,
# 0.375$. With `top_p=0.6`: before the second token there is $0.5 < 0.6$, so it stays, and before the third there is
# $0.8$, so it goes: again $0.625, 0.375$.


# %% task="next_token_probs" points=5 minutes=25
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
    ### BEGIN SOLUTION
    if temperature < 0:
        raise ValueError(f"temperature is 0 or more; it is {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k keeps at least one token; it is {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is in (0, 1]; it is {top_p}")

    if temperature == 0:
        best = logits.argmax(dim=-1, keepdim=True)  # (B, 1)  the first of equals
        return torch.zeros_like(logits).scatter(-1, best, 1.0)  # (B, V)

    logits = logits / temperature  # (B, V)
    if top_k is not None and top_k < logits.shape[-1]:
        smallest_kept = logits.topk(top_k).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < smallest_kept, -torch.inf)
    probs = logits.softmax(dim=-1)  # (B, V)
    if top_p is not None and top_p < 1:
        ranked, order = probs.sort(dim=-1, descending=True, stable=True)  # (B, V) each
        before = ranked.cumsum(dim=-1) - ranked  # (B, V)  total of the more likely ones
        cut = torch.zeros_like(probs, dtype=torch.bool).scatter(-1, order, before >= top_p)  # (B, V)  in token order
        probs = probs.masked_fill(cut, 0.0)
        probs = probs / probs.sum(dim=-1, keepdim=True)
    return probs
    ### END SOLUTION


# %% [markdown] hints="next_token_probs"
# 1. Take the four probabilities of the handout and top_p = 0.7. Which tokens stay? Would as many stay at temperature
#    2, and what does that say about the order of the knobs?
# 2. For top_k, find the k-th largest logit of each row and compare every logit with it: then ties are kept by
#    themselves. For top_p, sort, take the running total *without* the token itself, compare with p, and bring the
#    verdict back to the tokens' own order: `scatter` with the sort's indices does that.
# 3. Check the arguments. Temperature 0: one-hot of argmax. Otherwise divide; fill logits below
#    `logits.topk(k).values[:, -1:]` with -inf; softmax; `sort(descending=True)`; `before = cumsum - sorted`; set to
#    zero where `before >= top_p` (scattered back); divide by the sum.


# %% tests="next_token_probs"
FOUR = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.05, 0.5, 0.15, 0.3]], dtype=torch.float64)


@task("next_token_probs")
def test_the_worked_distributions_of_the_handout(student):
    """The handout's four probabilities become what stands there: at temperature 1/2, with top_k=2, with top_p=0.6."""
    squared = torch.tensor([[0.25, 0.09, 0.0225, 0.0025], [0.0025, 0.25, 0.0225, 0.09]], dtype=torch.float64) / 0.365
    two = torch.tensor([[0.625, 0.375, 0.0, 0.0], [0.0, 0.625, 0.0, 0.375]], dtype=torch.float64)
    # float64: nothing but rounding in the last digits
    student.next_token_probs(FOUR.log()).equals(FOUR, rtol=1e-9, atol=1e-12)
    student.next_token_probs(FOUR.log(), 0.5).equals(squared, rtol=1e-9, atol=1e-12)
    student.next_token_probs(FOUR.log(), 1.0, 2).equals(two, rtol=1e-9, atol=1e-12)
    student.next_token_probs(FOUR.log(), 1.0, None, 0.6).equals(two, rtol=1e-9, atol=1e-12)


@task("next_token_probs")
def test_a_hot_distribution_lets_more_tokens_through(student):
    """Temperature comes first: at temperature 2, top_p=0.7 keeps a third token, and not before."""
    hot = FOUR.sqrt() / FOUR.sqrt().sum(-1, keepdim=True)  # 0.379, 0.294, 0.208, 0.120: before the third 0.673
    kept = hot * (FOUR > 0.1)
    answer = student.next_token_probs(FOUR.log(), 2.0, None, 0.7)
    answer.equals(kept / kept.sum(-1, keepdim=True), rtol=1e-9, atol=1e-12)


@task("next_token_probs")
def test_temperature_zero_takes_the_first_of_the_largest(student):
    """Temperature 0 puts everything on the largest logit, and of two equal ones on the first."""
    logits = torch.tensor([[1.0, 3.0, 2.0, 3.0], [0.0, -1.0, -2.0, -1.0]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    student.next_token_probs(logits, 0.0).equals(expected)
    student.next_token_probs(logits, 0.0, 3, 0.9).equals(expected)


@task("next_token_probs")
def test_ties_with_the_last_one_stay(student):
    """With top_k=2, a third token that ties with the second stays."""
    logits = torch.tensor([[2.0, 1.0, 0.0, 1.0]], dtype=torch.float64)
    weights = torch.tensor([[math.e, 1.0, 0.0, 1.0]], dtype=torch.float64)
    student.next_token_probs(logits, 1.0, 2).equals(weights / weights.sum(), rtol=1e-9, atol=1e-12)


@task("next_token_probs")
@needs("test_the_worked_distributions_of_the_handout")
def test_knobs_out_of_range_are_refused(student):
    """A negative temperature, a top_k below 1, and a top_p that is not in (0, 1] are refused."""
    student.next_token_probs(FOUR.log(), -0.5).refused()
    student.next_token_probs(FOUR.log(), 1.0, 0).refused()
    student.next_token_probs(FOUR.log(), 1.0, None, 0.0).refused()
    student.next_token_probs(FOUR.log(), 1.0, None, 1.5).refused()


@task("next_token_probs")
def test_same_as_the_warpers_of_transformers(student):
    """Your distribution is what the three warpers of the transformers library give, one after the other."""
    process = pytest.importorskip("transformers.generation.logits_process", reason="transformers is not installed")
    logits = numbers(4, 12)
    warped = process.TemperatureLogitsWarper(0.8)(None, logits)
    warped = process.TopKLogitsWarper(7)(None, warped)
    warped = process.TopPLogitsWarper(0.83)(None, warped)
    # float64 on both sides
    answer = student.next_token_probs(logits, 0.8, 7, 0.83)
    answer.equals(warped.softmax(-1), rtol=1e-9, atol=1e-12)


# %% [markdown] task="sample"
# ## `sample`: write, one token after another
#
# Ask the model about the text, take the distribution of the *last* place, draw a token for each row, append it, and
# ask again, `n` times.
#
# - `model` is anything that maps ids (B, t) to logits (B, t, V): a module, or a plain function. Show it the text as
#   it is, but at most its last `context` tokens. `context=None` means `model.config.context` if there is such a
#   thing, and no limit otherwise. A number given here overrules what the model says.
# - Each row draws for itself, from `next_token_probs` of its logits, with `generator` if there is one.
# - A row that has *drawn* `eos` has ended: the rest of it is `eos`, whatever the model says. The other rows go on. An
#   `eos` that stands in the prompt ends nothing. Any token can be `eos`, also 0.
# - The answer is always (B, T + n), the prompt included, also where all rows end early; `n = 0` gives a copy of the
#   prompt.
# - While you ask, the model is in eval mode (if it has modes) and gradients are off; afterwards it is in the mode in
#   which it came, and all of its children with it.
# - Not asked: an `n` below 0, an empty prompt, a `context` below 1, a model whose children came in different modes, and
#   in which mode a model is left that raised an error.
#
# **By hand.** A model over five tokens that is certain of the successor of the last token, $4$ followed by $0$. At
# temperature 0 the prompts $0$ and $3$ become $0, 1, 2, 3$ and $3, 4, 0, 1$ for `n=3`. With `eos=4` the second
# becomes $3, 4, 4, 4$, and the first stays as it is.


# %% task="sample" points=5 minutes=25 needs="next_token_probs"
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
    ### BEGIN SOLUTION
    if context is None:
        context = getattr(getattr(model, "config", None), "context", None)
    was_training = getattr(model, "training", False)
    if was_training:
        model.eval()
    text = idx.clone()  # (B, T)
    ended = torch.zeros(len(idx), dtype=torch.bool)  # (B,)
    with torch.no_grad():
        for _ in range(n):
            seen = text if context is None else text[:, -context:]  # (B, t)
            logits = model(seen)[:, -1]  # (B, V)
            probs = next_token_probs(logits, temperature, top_k, top_p)  # (B, V)
            token = torch.multinomial(probs, 1, generator=generator)  # (B, 1)
            if eos is not None:
                token[ended] = eos
                ended = ended | (token[:, 0] == eos)
            text = torch.cat([text, token], dim=1)  # (B, t + 1)
    if was_training:
        model.train()
    return text  # (B, T + n)
    ### END SOLUTION


# %% [markdown] hints="sample"
# 1. What does each row have to remember from step to step, and when does it learn it? Which of the model's t rows of
#    logits speaks about the token that comes next?
# 2. A bool for each row, False at the start, says whether it has ended: it is set when a token that was just drawn
#    equals eos, never by looking at the prompt. Crop what the *model* sees, not the text. `getattr(x, "training",
#    False)` asks politely whether something has modes.
# 3. Loop n times under `torch.no_grad()`: crop with `text[:, -context:]`, call the model, take `[:, -1]`, call
#    next_token_probs, `torch.multinomial(probs, 1, generator=generator)`; overwrite the tokens of rows that ended
#    with eos; update who has ended; `torch.cat` along axis 1. Then `model.train()` if it came that way.


# %% tests="sample"
def successor(tokens):
    """A model over five tokens that is certain of what follows each of them."""
    return 50.0 * F.one_hot((tokens + 1) % 5, 5).double()


def answered(function):
    """The function as a model that answers from this side, at most a hundred times."""
    return Counted(function, 100)


@task("sample")
def test_the_worked_texts_of_the_handout(student):
    """The model of successors continues 0 and 3 as the handout says, without and with eos=4."""
    idx = torch.tensor([[0], [3]])
    student.sample(answered(successor), idx, 3, 0.0).equals(torch.tensor([[0, 1, 2, 3], [3, 4, 0, 1]]))
    student.sample(answered(successor), idx, 3, 0.0, None, None, None, 4).equals(
        torch.tensor([[0, 1, 2, 3], [3, 4, 4, 4]])
    )


@task("sample")
def test_an_end_in_the_prompt_stops_nothing(student):
    """An eos in the prompt stops nothing; one that was drawn does."""
    idx = torch.tensor([[4, 0], [1, 4]])
    expected = torch.tensor([[4, 0, 1, 2, 3, 4, 4], [1, 4, 0, 1, 2, 3, 4]])
    student.sample(answered(successor), idx, 5, 0.0, None, None, None, 4).equals(expected)


@task("sample")
def test_the_model_sees_the_last_tokens_only(student):
    """A model that adds up what it sees is shown the last three tokens: 1, 2, 3 is followed by 6, then by 2 + 3 + 6."""
    table = 50 * torch.eye(12, dtype=torch.float64)

    def total(tokens):
        return table[tokens.cumsum(dim=1) % 12]

    # 1 2 3 -> 6; 2 3 6 -> 11; 3 6 11 -> 20, which is 8 modulo 12; 6 11 8 -> 25, which is 1
    expected = torch.tensor([[1, 2, 3, 6, 11, 8, 1]])
    student.sample(answered(total), torch.tensor([[1, 2, 3]]), 4, 0.0, None, None, None, None, 3).equals(expected)


@task("sample")
@needs("test_the_worked_texts_of_the_handout")
def test_no_new_tokens_give_the_prompt_back(student):
    """With n=0 the prompt comes back."""
    idx = torch.tensor([[2, 0, 4]])
    student.sample(answered(successor), idx, 0).equals(idx)


@task("sample")
def test_same_as_a_loop_by_hand(student):
    """At temperature 0, the text is that of a loop over argmax, for modules and for plain functions."""
    table, idx = numbers(13, 7), torch.tensor([[1, 5, 2], [6, 0, 3]])
    expected = idx
    for _ in range(8):
        places = torch.arange(1, expected.shape[1] + 1)
        row = ((expected * places).sum(dim=1) + places[-1]) % 13  # the rule of asks.Scripted
        expected = torch.cat([expected, table[row].argmax(dim=-1, keepdim=True)], dim=1)
    student.ask(continued, table, idx, 8, {"temperature": 0.0}).equals(expected)
    student.ask(continued_plainly, table, idx, 8, {"temperature": 0.0}).equals(expected)


@task("sample")
@needs("test_the_worked_texts_of_the_handout")
def test_dropout_is_off_while_it_writes(student):
    """A model with dropout writes the same twice, in eval mode, and comes back in training mode."""
    table, idx = numbers(13, 7), torch.tensor([[1, 5, 2]])
    answer = student.ask(with_dropout, table, idx, 12, {"temperature": 0.0}, True).value
    assert torch.equal(answer["texts"][0], answer["texts"][1]), "Sampling at temperature 0 gave two answers."
    assert answer["modes"] == [False], "The model ran in training mode."
    assert answer["after"] == [True, True], "The model came in training mode and was handed back in eval mode."


@task("sample")
def test_what_is_drawn_follows_the_distribution(student):
    """Of 4,000 draws, each token appears as often as its probability says."""
    table = FOUR.log()[:1].repeat(4, 1)
    texts = student.ask(continued, table, torch.zeros(4000, 1, dtype=torch.int64), 1, {"top_k": 3}, None, 7).value
    counts = texts[:, 1].bincount(minlength=4)
    assert len(counts) == 4, "A token was drawn that does not exist."
    for token, p in enumerate((50 / 95, 30 / 95, 15 / 95, 0.0)):
        off = abs(counts[token] - 4000 * p)
        # five standard deviations of a binomial count
        assert off <= 5 * (4000 * p * (1 - p)) ** 0.5, f"Token {token} was drawn {counts[token]} times."
