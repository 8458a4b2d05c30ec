# %% [markdown] assignment="a17_moe" title="Mixture of experts: who goes where" module="moe" requires="torch, torch._dynamo" summary="Route tokens to experts, decide who is dropped, keep the load even in three ways, and train a layer whose experts specialise." forbidden="trl, peft, bitsandbytes, unsloth, transformers"
# # Mixture of experts: who goes where
#
# A wider MLP knows more and costs more, for every token. But does each token need all of it? Cut the MLP into *experts* and
# let a small *router* send each token to one or a few of them: now a layer can hold eight times as much and cost the same. All that is hard about it
# is traffic. If everybody goes to the same expert, it overflows and the others learn nothing; and the choice itself, an argmax, has
# no gradient. Today is about traffic.
#
# You write nine things, in this order:
#
# 1. `expert_capacity`: how many seats an expert has
# 2. `switch_route`: one expert a token, until the seats are taken
# 3. `load_balance_loss`: a price for crowding
# 4. `z_loss`: a price for large logits
# 5. `MoELayer`: the whole layer, of the Switch Transformer
# 6. `bias_balanced_route`: several experts a token, balance without a loss
# 7. `update_bias`: the rule that moves the bias
# 8. `DeepSeekMoE`: many small experts, and some that always work
# 9. `train_moe`: a layer that learns who should go where
#
# **You need** [the transformer](../../docs/learn/a03_transformer.md) (its MLP and SwiGLU). The [reading page](../../docs/learn/a17_moe.md) says what to read, and derives the balance loss.
#
# ```
# autograder check a17                  # all tasks: what holds, what to mend first
# autograder check a17.switch_route     # one task
# autograder hint a17.switch_route      # the next of its three hints
# ```
#
# ## What we keep of the papers, and what we leave out
#
# Kept: top-1 routing with a capacity and the balance loss of the Switch Transformer (Fedus et al., 2021); the z-loss of ST-MoE (Zoph et al., 2022); fine-grained and shared experts of
# DeepSeekMoE (Dai et al., 2024); the bias of DeepSeek-V3 (2024), which balances without a loss (Wang et al., 2024).
#
# Left out: noise on the router, groups of experts, several devices and the exchange between them. The
# experts run one after the other; kernels that run them together change the time and nothing else.
#
# ## Convention card
#
# Letters: $T$ tokens, $E$ experts, $K$ experts a token, $D$ width, $F$ width of an expert, $B$, $S$ rows and columns of a batch.
#
# | question | our answer | who differs |
# |---|---|---|
# | order of tokens | row by row: token $(b, s)$ is number $bS + s$ | |
# | who is dropped | whoever comes **later in the batch** | "batch-prioritised" routing: whoever is least sure |
# | a dropped token's output | **0**: the residual connection around the layer carries it | |
# | capacity | rounded **up**, of the **real** tokens | of all tokens, padding too |
# | gate, one expert | the probability of the chosen expert, as it is | divided by itself it would be 1, and have no gradient |
# | gates, several experts, "softmax" | the probabilities, **not** renormalised | Mixtral renormalises |
# | gates, several experts, "sigmoid" | divided by their sum | |
# | balance loss | $E \sum_i f_i P_i$, **1** at an even load for every $K$ | Mixtral's code: $K$ at an even load |
# | $f_i$ | share of all assignments **before** anybody is dropped, without a gradient | |
# | padding | mask False: expert −1, gate 0, no seat, no vote | |
# | inside | softmax and sigmoid in float32 at least | |
# | bad input | is refused: raise `ValueError` and say what is wrong | |
#
# ## What you may not use, and why
#
# The large packages of these months: this layer is in `transformers`. All of torch is yours.
#
# ## What the tests look at
#
# Routing tables with ties, crowds and padding; values and gradients against a plain sum over all experts; and after training, on points that only the grader has, how even
# the load is and how large the error.

# %%
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# %% [markdown] task="expert_capacity"
# ## `expert_capacity`: how many seats an expert has
#
# If all tokens spread evenly, each of $E$ experts gets $n/E$. The capacity is `factor` times that, rounded **up**, and at least 1: room for some unevenness, and a bound on memory and
# time. To keep rounding errors of the product from adding a seat, take $10^{-9}$ off before rounding: $\lceil \text{factor} \cdot n / E - 10^{-9} \rceil$.
#
# No experts or fewer tokens than none, and a factor that is not above 0, are refused. With 0 tokens there is one seat.
#
# **By hand.** 10 tokens, 4 experts, factor 1.25: $\lceil 3.125 \rceil = 4$. 100 tokens, 10 experts, factor 1.1: 11, although the product in floating point is a little more than 11.


# %% task="expert_capacity" points=1 minutes=5
def expert_capacity(n_tokens: int, n_experts: int, factor: float) -> int:
    """Seats of one expert: ceil(factor n_tokens / n_experts), at least 1.

    Raises ValueError for n_experts < 1, n_tokens < 0 and a factor <= 0. Source: Fedus et al. 2021, equation 3.
    """
    ### BEGIN SOLUTION
    if n_experts < 1 or n_tokens < 0 or not factor > 0:
        raise ValueError(f"{n_tokens} tokens, {n_experts} experts and a factor of {factor} make no capacity")
    return max(1, math.ceil(factor * n_tokens / n_experts - 1e-9))
    ### END SOLUTION


# %% [markdown] hints="expert_capacity"
# 1. Which way should a seat that is only half there be rounded?
# 2. Up; but 1.1 × 100 / 10 is 11.000000000000002 in floating point.
# 3. `max(1, math.ceil(factor * n_tokens / n_experts - 1e-9))`

# %% tests="expert_capacity"
import pytest
import torch
from asks import (
    balance_and_gradient,
    bias_step,
    deepseek_output,
    layer_output,
    routed,
    routed_by_bias,
    train_and_measure,
    z_and_gradient,
)

from autograder.testing import graded_run, needs, task

FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32: a few roundings
LIBRARY = {"rtol": 1e-4, "atol": 1e-5}  # float32: the library adds its products in another order


def f32(*numbers):
    return torch.tensor(numbers, dtype=torch.float32)


@task("expert_capacity")
def test_seats_by_hand(student):
    """4 seats for 10 tokens and 4 experts at 1.25; 11 for 100, 10 and 1.1; never fewer than one."""
    student.expert_capacity(10, 4, 1.25).equals(4)
    student.expert_capacity(100, 10, 1.1).equals(11)
    student.expert_capacity(3, 64, 1.0).equals(1)


@task("expert_capacity")
@needs("test_seats_by_hand")
def test_no_capacity(student):
    """No experts, and a factor of 0, are refused."""
    student.expert_capacity(10, 0, 1.0).refused()
    student.expert_capacity(10, 4, 0.0).refused()


# %% [markdown] task="switch_route"
# ## `switch_route`: one expert a token
#
# `logits` (T, E) are the router's. A softmax makes probabilities of them; each token goes to the most probable expert (the lowest number, if several are equal), and its **gate** is
# that probability, with its gradient. An expert takes tokens in their order until `capacity` of them sit there; whoever comes later is *not kept*. Nobody is sent to a second choice.
#
# Return `(expert, gate, kept)`, each (T,): int64, the logits' dtype, bool. The gate of a token that is not kept is its probability all the same.
#
# Where `mask` is False there is no token: expert −1, gate 0, kept False, and no seat is taken.
#
# Refused: logits that are not (T, E), a capacity below 1, a mask of another shape.
#
# **By hand.** Three tokens that all prefer expert 0, capacity 2: the third is not kept, however sure of itself it is.


# %% task="switch_route" points=4 minutes=30
def switch_route(logits: Tensor, capacity: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Each token's expert (T,) int64, its gate (T,) with gradient, and whether it has a seat (T,) bool.

    logits: (T, E). capacity: seats of one expert. mask: (T,) bool, True = real; other tokens get -1, 0 and False.
    Raises ValueError for other shapes and a capacity below 1. Source: Fedus et al. 2021, section 2.2 and figure 3.
    """
    ### BEGIN SOLUTION
    if logits.dim() != 2 or (mask is not None and mask.shape != logits.shape[:1]):
        raise ValueError(f"logits should be (T, E) and mask (T,), not {tuple(logits.shape)} and {mask}")
    if capacity < 1:
        raise ValueError(f"capacity is {capacity}: an expert needs a seat")
    real = torch.ones(len(logits), dtype=torch.bool) if mask is None else mask  # (T,)
    probs = logits.softmax(dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))  # (T, E)
    gate, expert = probs.max(dim=1)  # (T,) each
    chosen = F.one_hot(expert, logits.shape[1]) * real[:, None]  # (T, E)
    seat = (chosen.cumsum(0) * chosen).sum(1)  # (T,)  the how-manieth at its expert; 0 for padding
    kept = real & (seat <= capacity)  # (T,)
    return expert.masked_fill(~real, -1), gate.to(logits.dtype) * real, kept
    ### END SOLUTION


# %% [markdown] hints="switch_route"
# 1. For one token: how do you know how many before it have gone to the same expert?
# 2. A table (T, E) with a 1 where a token goes, and a running sum down each column. In the running sum, padding must not count.
# 3. `gate, expert = probs.max(1)`; `chosen = F.one_hot(expert, E) * real[:, None]`; `seat = (chosen.cumsum(0) * chosen).sum(1)`; `kept = real & (seat <= capacity)`.

# %% tests="switch_route"


@task("switch_route")
def test_a_crowd_by_hand(student):
    """Of four tokens three want expert 0, which has two seats: the last of them is not kept."""
    logits = f32([2, 0], [1, 0], [0, 1], [9, 0])
    found = student.ask(routed, logits, 2, None, torch.ones(4)).value
    assert found["expert"].tolist() == [0, 0, 1, 0], "Each token should go to its most probable expert."
    assert found["kept"].tolist() == [True, True, True, False], "An expert takes tokens in order until it is full."
    assert torch.allclose(found["gate"], f32(0.880797, 0.731059, 0.731059, 0.999877)), "The gates are others."


@task("switch_route")
def test_padding_takes_no_seat(student):
    """The first token is padding: its expert is -1, and the two others find a seat each."""
    logits = f32([2, 0], [1, 0], [3, 0])
    found = student.ask(routed, logits, 2, torch.tensor([False, True, True]), torch.ones(3)).value
    assert found["expert"].tolist() == [-1, 0, 0], "Padding has no expert."
    assert found["kept"].tolist() == [False, True, True], "Padding took a seat."
    assert found["gate"][0] == 0, "Padding has a gate of 0."


@task("switch_route")
@needs("test_a_crowd_by_hand")
def test_no_seats(student):
    """A capacity of 0, and a mask of another length, are refused."""
    student.switch_route(f32([1, 2]), 0).refused()
    student.switch_route(f32([1, 2]), 1, torch.ones(2, dtype=torch.bool)).refused()


# %% [markdown] task="load_balance_loss"
# ## `load_balance_loss`: a price for crowding
#
# $$ L = E \sum_{i=1}^{E} f_i P_i $$
#
# - $f_i$: the share of all assignments that went to expert $i$, before anybody was dropped. It is a count and has no gradient.
# - $P_i$: the mean probability of expert $i$ over the tokens. This is where the gradient flows.
#
# `probs` (T, E) are the router's probabilities, `expert` is (T,), or (T, K) where each token goes to $K$ experts. Only tokens whose `mask` is True count; what stands in `expert` elsewhere means nothing.
#
# If all is even, $f_i = P_i = 1/E$ and $L = 1$, for every $K$. If all tokens go to one expert with probability 1, $L = E$.
#
# Refused: other shapes, and a batch without a real token.
#
# **By hand.** Probabilities (0.8, 0.2) and (0.6, 0.4), both tokens at expert 0: $f = (1, 0)$, $P = (0.7, 0.3)$, $L = 2 \cdot 0.7 = 1.4$. The gradient for each probability of expert 0 is $E f_0 / T = 1$, for expert 1 it is 0.


# %% task="load_balance_loss" points=3 minutes=15
def load_balance_loss(probs: Tensor, expert: Tensor, mask: Tensor | None = None) -> Tensor:
    """E sum_i f_i P_i, a scalar: 1 at an even load, E when all is at one expert.

    probs: (T, E). expert: (T,) or (T, K) int64. mask: (T,) bool, True = real.
    Raises ValueError for other shapes and for no real token. Source: Fedus et al. 2021, equations 4 to 6.
    """
    ### BEGIN SOLUTION
    if probs.dim() != 2 or expert.shape[:1] != probs.shape[:1] or expert.dim() > 2:
        raise ValueError(f"probs should be (T, E) and expert (T,) or (T, K), not {tuple(probs.shape)}, {expert.shape}")
    if mask is not None:
        if mask.shape != probs.shape[:1]:
            raise ValueError(f"mask should be ({len(probs)},), not {tuple(mask.shape)}")
        probs, expert = probs[mask], expert[mask]
    if not len(probs):
        raise ValueError("there is no real token")
    E = probs.shape[1]
    f = torch.bincount(expert.flatten(), minlength=E) / expert.numel()  # (E,)
    return E * (f * probs.mean(0)).sum()
    ### END SOLUTION


# %% [markdown] hints="load_balance_loss"
# 1. Which of the two factors can a gradient change, and what does the other do for it?
# 2. Throw padding away first. Then count the assignments, divide by how many there are (K a token!), and take the mean of the probabilities.
# 3. `f = torch.bincount(expert.flatten(), minlength=E) / expert.numel()`; `E * (f * probs.mean(0)).sum()`

# %% tests="load_balance_loss"


@task("load_balance_loss")
def test_a_crowd_costs(student):
    """Both tokens at expert 0: 1.4, and the gradient is 1 for expert 0 and 0 for expert 1."""
    found = student.ask(balance_and_gradient, f32([0.8, 0.2], [0.6, 0.4]), torch.tensor([0, 0]), None)
    found.equals({"loss": f32(1.4)[0], "gradient": f32([1, 0], [1, 0])}, **FLOAT32)


@task("load_balance_loss")
def test_even_is_one_for_every_k(student):
    """Four experts, even probabilities, two experts a token: 1."""
    expert = torch.tensor([[0, 1], [2, 3]])
    found = student.ask(balance_and_gradient, torch.full((2, 4), 0.25), expert, None)
    found.equals({"loss": f32(1)[0], "gradient": torch.full((2, 4), 0.5)}, **FLOAT32)


@task("load_balance_loss")
@needs("test_a_crowd_costs")
def test_no_token(student):
    """A batch without a real token, and experts of another length, are refused."""
    student.load_balance_loss(f32([0.5, 0.5]), torch.tensor([0]), torch.tensor([False])).refused()
    student.load_balance_loss(f32([0.5, 0.5]), torch.tensor([0, 1])).refused()


def switch_of_transformers():
    module = pytest.importorskip(
        "transformers.models.switch_transformers.modeling_switch_transformers", reason="transformers is not installed"
    )
    import transformers

    if not transformers.__version__.startswith("5.17."):
        pytest.skip(f"transformers is {transformers.__version__}; this was compared with 5.17")
    return module


@task("load_balance_loss")
def test_same_as_the_loss_of_switch_transformers(student):
    """With one expert a token the loss is that of transformers' Switch Transformer."""
    switch = switch_of_transformers()
    probs = torch.randn(24, 6, generator=torch.Generator().manual_seed(0)).softmax(1)
    expert = probs.argmax(1)
    student.load_balance_loss(probs, expert).equals(
        switch.load_balancing_loss_func(probs[None], expert[None]), **FLOAT32
    )


# %% [markdown] task="z_loss"
# ## `z_loss`: a price for large logits
#
# A softmax does not change if all logits grow by the same number. Nothing holds them back, and in half precision large logits are coarse. So a little of
#
# $$ L_z = \frac1T \sum_t \Big(\log \sum_i e^{x_{ti}}\Big)^2 $$
#
# is added to the loss: the mean over the **real** tokens. Logits of ±1,000 are no problem. Logits that are not (T, E), a mask of another shape and no real token are refused.
#
# **By hand.** Logits (0, 0): $(\ln 2)^2 = 0.480453$.


# %% task="z_loss" points=1 minutes=5
def z_loss(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean square of each token's log-sum-exp, a scalar.

    logits: (T, E). mask: (T,) bool, True = real. Raises ValueError for other shapes and for no real token.

    Source: Zoph et al. 2022, equation 5.
    """
    ### BEGIN SOLUTION
    if logits.dim() != 2 or (mask is not None and mask.shape != logits.shape[:1]):
        raise ValueError(f"logits should be (T, E) and mask (T,), not {tuple(logits.shape)} and {mask}")
    if mask is not None:
        logits = logits[mask]
    if not len(logits):
        raise ValueError("there is no real token")
    return logits.logsumexp(dim=1).square().mean()
    ### END SOLUTION


# %% [markdown] hints="z_loss"
# 1. What is the logarithm of the softmax's denominator called?
# 2. torch computes it in one piece, so that nothing overflows. Square it, then take the mean over the real tokens.
# 3. `logits[mask].logsumexp(dim=1).square().mean()`

# %% tests="z_loss"


@task("z_loss")
def test_two_zeros(student):
    """(0, 0) costs the square of ln 2; two tokens with (0, 0) and (1000, 1000) the mean of 0.48 and a million."""
    student.z_loss(f32([0, 0])).equals(f32(0.4804530)[0], **FLOAT32)
    student.z_loss(f32([0, 0], [1000, 1000])).equals(f32(500693.6)[0], rtol=1e-5)


@task("z_loss")
@needs("test_two_zeros")
def test_no_logits(student):
    """A batch without a real token is refused."""
    student.z_loss(f32([0, 0]), torch.tensor([False])).refused()


@task("z_loss")
def test_same_as_the_z_loss_of_switch_transformers(student):
    """The loss is that of transformers' Switch Transformer, and so is its gradient."""
    switch = switch_of_transformers()
    logits = torch.randn(24, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = switch.router_z_loss_func(logits[None])
    loss.backward()
    found = student.ask(z_and_gradient, logits.detach(), None)
    found.equals({"loss": loss.detach(), "gradient": logits.grad}, **FLOAT32)


# %% [markdown] task="MoELayer"
# ## `MoELayer`: the layer of the Switch Transformer
#
# Three parameters, which you draw as you like: `router` (E, D), `w_in` (E, F, D), `w_out` (E, D, F). Expert $i$ is $x \mapsto W^\text{out}_i \max(0, W^\text{in}_i x)$, without a bias.
#
# `layer(x, mask)` with x (B, S, D) and mask (B, S) returns `(y, info)`:
#
# - the logits are `x @ router.T`, the tokens in the order of the convention card; the capacity is that of the **real** tokens, with the layer's `capacity_factor`.
# - y (B, S, D): gate times expert(x) for every token that is kept, and 0 for all others.
# - `info["balance"]` and `info["z"]`: the two losses, with gradients. `info["dropped"]`: the share of real tokens that were not kept. `info["load"]` (E,): how many real tokens chose each expert, before anybody
#   was dropped.
#
# The gate is what lets the router learn: through it, and only through it, the error of the output reaches the router.


# %% task="MoELayer" points=5 minutes=35 needs="expert_capacity, switch_route, load_balance_loss, z_loss"
class MoELayer(nn.Module):
    """Experts of which each token uses one: x (B, S, D), mask (B, S) -> y (B, S, D) and what happened.

    Parameters: router (E, D), w_in (E, F, D), w_out (E, D, F), without biases.

    Source: Fedus et al. 2021, section 2.
    """

    def __init__(self, d_model: int, d_ff: int, n_experts: int, capacity_factor: float = 1.25) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.capacity_factor = capacity_factor
        self.router = nn.Parameter(torch.randn(n_experts, d_model) / d_model**0.5)  # (E, D)
        self.w_in = nn.Parameter(torch.randn(n_experts, d_ff, d_model) / d_model**0.5)  # (E, F, D)
        self.w_out = nn.Parameter(torch.randn(n_experts, d_model, d_ff) / d_ff**0.5)  # (E, D, F)
        ### END SOLUTION

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """y (B, S, D), and {"balance": (), "z": (), "dropped": (), "load": (E,)}."""
        ### BEGIN SOLUTION
        tokens = x.reshape(-1, x.shape[-1])  # (T, D)
        real = torch.ones(len(tokens), dtype=torch.bool) if mask is None else mask.reshape(-1)  # (T,)
        logits = tokens @ self.router.T  # (T, E)
        n_experts, n_real = len(self.router), int(real.sum())
        expert, gate, kept = switch_route(logits, expert_capacity(n_real, n_experts, self.capacity_factor), real)

        y = torch.zeros_like(tokens)  # (T, D)
        for i in range(n_experts):
            here = kept & (expert == i)  # (T,)
            inner = F.relu(tokens[here] @ self.w_in[i].T)  # (n, F)
            y[here] = gate[here, None] * (inner @ self.w_out[i].T)  # (n, D)
        info = {
            "balance": load_balance_loss(logits.softmax(dim=1), expert, real),
            "z": z_loss(logits, real),
            "dropped": 1 - kept.sum() / n_real,
            "load": torch.bincount(expert[real], minlength=n_experts),
        }
        return y.view_as(x), info
        ### END SOLUTION


# %% [markdown] hints="MoELayer"
# 1. Which of your functions say who goes where, and which tokens does expert 3 see?
# 2. Flatten to (T, D). Route. For each expert: pick its kept tokens, run it, multiply by their gates, and write the result back to their rows.
# 3. `for i in range(E): here = kept & (expert == i); y[here] = gate[here, None] * (F.relu(tokens[here] @ self.w_in[i].T) @ self.w_out[i].T)`, beginning with `y = torch.zeros_like(tokens)`.

# %% tests="MoELayer"


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def a_layer(seed=0, D=6, F=5, E=4):
    return {"router": drawn(seed, E, D), "w_in": drawn(seed + 1, E, F, D), "w_out": drawn(seed + 2, E, D, F)}


@task("MoELayer")
def test_one_expert_is_an_mlp(student):
    """With one expert the gate is 1, and the layer is a plain MLP."""
    weights, x = a_layer(E=1), drawn(9, 2, 3, 6)
    y = torch.relu(x @ weights["w_in"][0].T) @ weights["w_out"][0].T
    found = student.ask(layer_output, weights, x, None, 1.0).value
    assert torch.allclose(found["y"], y, **FLOAT32), "The output is not that of the one expert."
    assert found["load"].tolist() == [6], "Its load is all 6 tokens."
    assert found["dropped"] == 0, "Nobody should be dropped."


@task("MoELayer")
def test_the_dropped_get_nothing(student):
    """Eight equal tokens and a capacity of two: the first two have an output, the others 0."""
    found = student.ask(layer_output, a_layer(), drawn(9, 1, 1, 6).expand(1, 8, 6).contiguous(), None, 1.0).value
    y = found["y"][0]
    assert torch.allclose(y[0], y[1], rtol=1e-5, atol=1e-6), "Equal tokens should have equal outputs."
    assert y[0].abs().sum() > 0, "Who is kept has an output."
    assert not y[2:].any(), "A dropped token's output is 0."
    assert abs(found["dropped"] - 0.75) < 1e-6, "Six of eight were dropped."


@task("MoELayer")
def test_same_as_the_layer_of_switch_transformers(student):
    """If nobody is dropped, the output is that of transformers' SwitchTransformersSparseMLP."""
    switch = switch_of_transformers()
    from transformers import SwitchTransformersConfig

    weights, x = a_layer(D=8, F=12), drawn(9, 2, 5, 8)
    config = SwitchTransformersConfig(
        d_model=8, d_ff=12, num_experts=4, expert_capacity=10, dropout_rate=0.0, router_jitter_noise=0.0
    )
    theirs = switch.SwitchTransformersSparseMLP(config).eval()
    with torch.no_grad():
        theirs.router.classifier.weight.copy_(weights["router"])
        for i in range(4):
            theirs.experts[f"expert_{i}"].wi.weight.copy_(weights["w_in"][i])
            theirs.experts[f"expert_{i}"].wo.weight.copy_(weights["w_out"][i])
        y = theirs(x)
    found = student.ask(layer_output, weights, x, None, 4.0).value
    assert torch.allclose(found["y"], y, **LIBRARY), "The library's layer says something else."


# %% [markdown] task="bias_balanced_route"
# ## `bias_balanced_route`: balance without a loss
#
# A balance loss pulls at the same weights as the task does. DeepSeek-V3 puts the pull elsewhere: every expert has a **bias** that takes part in the *choice* and in nothing else.
#
# - the scores are $s = \sigma(\text{logits})$: each expert by itself, they need not sum to 1
# - chosen are the `top_k` experts with the largest $s_i + b_i$
# - the weights are the plain $s_i$ of the chosen, divided by (their sum + $10^{-20}$), times `scaling`
#
# Return `(indices, weights)`, each (T, K), in any order, but in the same one. No gradient flows into the bias. A `top_k` below 1 or above E, and shapes that do not fit, are refused.
#
# **By hand.** Scores (0.5, 0.4, 0.3), bias (0, 0, 0.15), top 2: chosen are experts 0 and 2 (0.5 and 0.45); their weights are 0.625 and 0.375.


# %% task="bias_balanced_route" points=3 minutes=20
def bias_balanced_route(logits: Tensor, bias: Tensor, top_k: int, scaling: float = 1.0) -> tuple[Tensor, Tensor]:
    """Each token's experts (T, K) int64 and their weights (T, K), which sum to `scaling`.

    logits: (T, E). bias: (E,), which chooses and does not weigh.
    Raises ValueError for other shapes and a top_k outside of 1..E. Source: DeepSeek-V3 2024, equations 13 to 16.
    """
    ### BEGIN SOLUTION
    if logits.dim() != 2 or bias.shape != logits.shape[1:]:
        raise ValueError(f"logits should be (T, E) and bias (E,), not {tuple(logits.shape)} and {tuple(bias.shape)}")
    if not 1 <= top_k <= logits.shape[1]:
        raise ValueError(f"top_k is {top_k}, where there are {logits.shape[1]} experts")
    scores = logits.sigmoid()  # (T, E)
    indices = (scores.detach() + bias.detach()).topk(top_k, dim=1).indices  # (T, K)
    weights = scores.gather(1, indices)  # (T, K)
    return indices, weights / (weights.sum(dim=1, keepdim=True) + 1e-20) * scaling
    ### END SOLUTION


# %% [markdown] hints="bias_balanced_route"
# 1. Two numbers belong to every expert of a token: one to be chosen by, one to be weighed by. Which of them knows the bias?
# 2. `topk` on the sum gives indices; the weights are *gathered* from the scores without the bias, and then normalised.
# 3. `indices = (s + bias).topk(top_k, 1).indices`; `w = s.gather(1, indices)`; `w / (w.sum(1, keepdim=True) + 1e-20) * scaling`.

# %% tests="bias_balanced_route"


@task("bias_balanced_route")
def test_a_bias_chooses(student):
    """Scores 0.5, 0.4, 0.3 with a bias of 0.15 for the last: experts 0 and 2, weights 0.625 and 0.375."""
    logits = torch.logit(f32([0.5, 0.4, 0.3]))
    found = student.ask(routed_by_bias, logits, f32(0, 0, 0.15), 2, 1.0, f32([1, 1, 1])).value
    assert found["indices"].tolist() == [[0, 2]], "Other experts are chosen."
    assert torch.allclose(found["weights"], f32([0.625, 0.375])), "The weights are others."


@task("bias_balanced_route")
@needs("test_a_bias_chooses")
def test_too_many_experts(student):
    """A top_k of 0 and one above the number of experts are refused."""
    for top_k in (0, 4):
        student.bias_balanced_route(f32([1, 2, 3]), f32(0, 0, 0), top_k).refused()


# %% [markdown] task="update_bias"
# ## `update_bias`: the rule that moves it
#
# After each step the bias of every expert whose `load` is below the mean of all rises by `rate`; above the mean it falls by `rate`; exactly at the mean it stays. No gradient, no optimiser: a thermostat.
#
# Return a new tensor. Shapes that differ and a rate below 0 are refused. The load may be counts or shares.
#
# **By hand.** Bias (0, 0, 0), load (6, 1, 2), rate 0.1: the mean is 3, so (−0.1, 0.1, 0.1).


# %% task="update_bias" points=1 minutes=5
def update_bias(bias: Tensor, load: Tensor, rate: float) -> Tensor:
    """The bias (E,) after one step: + rate below the mean load, - rate above it, unchanged at it.

    load: (E,), counts or shares. Raises ValueError for other shapes and a rate below 0. Source: Wang et al. 2024, algorithm 1.
    """
    ### BEGIN SOLUTION
    if bias.dim() != 1 or load.shape != bias.shape:
        raise ValueError(f"bias and load should be (E,), not {tuple(bias.shape)} and {tuple(load.shape)}")
    if rate < 0:
        raise ValueError(f"rate is {rate}: it cannot be below 0")
    load = load.to(bias.dtype)
    return bias + rate * (load.mean() - load).sign()
    ### END SOLUTION


# %% [markdown] hints="update_bias"
# 1. Which way should the bias of a crowded expert move?
# 2. Only the *sign* of the difference from the mean counts, not its size.
# 3. `bias + rate * torch.sign(load.mean() - load)`, with the load as floats.

# %% tests="update_bias"


@task("update_bias")
def test_a_thermostat(student):
    """Loads 6, 1 and 2 with a rate of 0.1: minus, plus, plus; at the mean nothing."""
    student.ask(bias_step, f32(0, 0, 0), torch.tensor([6, 1, 2]), 0.1).equals(f32(-0.1, 0.1, 0.1), **FLOAT32)
    student.ask(bias_step, f32(0.5, -0.5, 1), torch.tensor([3, 4, 2]), 0.1).equals(f32(0.5, -0.6, 1.1), **FLOAT32)


@task("update_bias")
@needs("test_a_thermostat")
def test_loads_of_another_shape(student):
    """Loads of another number of experts, and a rate below 0, are refused."""
    student.update_bias(f32(0, 0), f32(1, 2, 3), 0.1).refused()
    student.update_bias(f32(0, 0), f32(1, 2), -0.1).refused()


# %% [markdown] task="DeepSeekMoE"
# ## `DeepSeekMoE`: many small experts, and some that always work
#
# Eight experts of which one is used: 8 combinations. Cut each into four and use four of 32: 35,960 combinations for the same work. And what *every* token needs should not
# have to be learnt by every expert: `n_shared` of them work for all.
#
# - `w_gate_up` (E, 2F, D) and `w_down` (E, D, F): expert $i$ is SwiGLU, $x \mapsto W^\text{down}_i\,(\operatorname{silu}(g) \odot u)$ with $(g, u)$ the first and the second half of $W^\text{gate up}_i x$. E is `n_routed`, F is `d_expert`.
# - `gate` (E, D) gives the logits.
# - the shared experts are **one** SwiGLU of width `n_shared * d_expert`: `shared_gate_up` (2 n_shared F, D), `shared_down` (D, n_shared F). Its output is added for every token, as it is. With `n_shared=0` there is none.
# - `score="softmax"`: softmax over **all** routed experts, then the `top_k` largest, which keep their probabilities as they are. `score="sigmoid"`: your `bias_balanced_route` with a **buffer** `bias` (E,), zeros at first.
# - no capacity: nobody is dropped.
#
# `layer(x)` with x (B, S, D) returns y (B, S, D), and leaves in `layer.load` (E,) how many tokens each routed expert had: what `update_bias` needs. Another `score` and a `top_k` outside of 1..E are refused when the layer is made.


# %% task="DeepSeekMoE" points=5 minutes=35 needs="bias_balanced_route"
class DeepSeekMoE(nn.Module):
    """Fine-grained routed experts and shared ones: x (B, S, D) -> (B, S, D).

    Parameters: gate (E, D), w_gate_up (E, 2F, D), w_down (E, D, F), shared_gate_up (2 n_shared F, D),
    shared_down (D, n_shared F); with score="sigmoid" a buffer bias (E,). After a call `load` (E,) counts its assignments.
    Raises ValueError for another score and a top_k outside of 1..n_routed.

    Source: Dai et al. 2024, equations 6 to 11; for "sigmoid" DeepSeek-V3 2024, section 2.1.2.
    """

    def __init__(
        self, d_model: int, d_expert: int, n_routed: int, n_shared: int, top_k: int, score: str = "softmax"
    ) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if score not in ("softmax", "sigmoid"):
            raise ValueError(f'score is {score!r}; "softmax" and "sigmoid" are known')
        if not 1 <= top_k <= n_routed:
            raise ValueError(f"top_k is {top_k}, where there are {n_routed} routed experts")
        self.top_k, self.score = top_k, score
        D, E, F_ = d_model, n_routed, d_expert
        self.gate = nn.Parameter(torch.randn(E, D) / D**0.5)
        self.w_gate_up = nn.Parameter(torch.randn(E, 2 * F_, D) / D**0.5)
        self.w_down = nn.Parameter(torch.randn(E, D, F_) / F_**0.5)
        width = n_shared * F_
        self.shared_gate_up = nn.Parameter(torch.randn(2 * width, D) / D**0.5)
        self.shared_down = nn.Parameter(torch.randn(D, width) / max(width, 1) ** 0.5)
        if score == "sigmoid":
            self.register_buffer("bias", torch.zeros(E))
        self.load = torch.zeros(E, dtype=torch.int64)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """y (B, S, D): the chosen experts, weighed, and the shared ones."""

        ### BEGIN SOLUTION
        def swiglu(tokens: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
            g, u = (tokens @ gate_up.T).chunk(2, dim=-1)  # (n, F) each
            return (F.silu(g) * u) @ down.T  # (n, D)

        tokens = x.reshape(-1, x.shape[-1])  # (T, D)
        logits = tokens @ self.gate.T  # (T, E)
        if self.score == "sigmoid":
            indices, weights = bias_balanced_route(logits, self.bias, self.top_k)  # (T, K) each
        else:
            weights, indices = logits.softmax(dim=1).topk(self.top_k, dim=1)  # (T, K) each
        self.load = torch.bincount(indices.flatten(), minlength=len(self.gate))  # (E,)

        y = swiglu(tokens, self.shared_gate_up, self.shared_down)  # (T, D)
        for i in range(len(self.gate)):
            row, place = (indices == i).nonzero(as_tuple=True)  # (n,) each
            out = weights[row, place, None] * swiglu(tokens[row], self.w_gate_up[i], self.w_down[i])  # (n, D)
            y = y.index_add(0, row, out)
        return y.view_as(x)
        ### END SOLUTION


# %% [markdown] hints="DeepSeekMoE"
# 1. A token has K experts. For one expert: which rows are its, and at which of their K places?
# 2. `(indices == i).nonzero(as_tuple=True)` gives both. Add each expert's weighed output to its rows; the shared MLP needs no weight at all.
# 3. `row, place = (indices == i).nonzero(as_tuple=True)`; `y = y.index_add(0, row, weights[row, place, None] * swiglu(tokens[row], self.w_gate_up[i], self.w_down[i]))`, beginning with `y = swiglu(tokens, self.shared_gate_up, self.shared_down)`.

# %% tests="DeepSeekMoE"


def a_fine_layer(seed=0, D=6, F=3, E=5, shared=2, bias=None):
    weights = {
        "gate": drawn(seed, E, D), "w_gate_up": drawn(seed + 1, E, 2 * F, D), "w_down": drawn(seed + 2, E, D, F),
        "shared_gate_up": drawn(seed + 3, 2 * shared * F, D), "shared_down": drawn(seed + 4, D, shared * F),
    }  # fmt: skip
    return weights if bias is None else {**weights, "bias": bias}


def swiglu(x, gate_up, down):
    g, u = (x @ gate_up.T).chunk(2, dim=-1)
    return (torch.nn.functional.silu(g) * u) @ down.T


@task("DeepSeekMoE")
def test_all_experts_are_a_dense_mixture(student):
    """With top_k = E the layer is the sum over all experts, weighed by the softmax, and the shared ones."""
    w, x = a_fine_layer(), drawn(9, 2, 3, 6)
    p = (x @ w["gate"].T).softmax(-1)
    y = sum(p[..., i, None] * swiglu(x, w["w_gate_up"][i], w["w_down"][i]) for i in range(5))
    y = y + swiglu(x, w["shared_gate_up"], w["shared_down"])
    found = student.ask(deepseek_output, w, x, [6, 3, 5, 2, 5, "softmax"]).value
    assert torch.allclose(found["y"], y, **FLOAT32), "The output is not the weighed sum of all experts."
    assert found["load"].tolist() == [6] * 5, "Each expert had every token."


@task("DeepSeekMoE")
@needs("test_all_experts_are_a_dense_mixture")
def test_a_score_that_nobody_knows(student):
    """Another score, and more experts a token than there are, are refused."""
    student.DeepSeekMoE(6, 3, 5, 2, 2, "relu").refused()
    student.DeepSeekMoE(6, 3, 5, 2, 6).refused()


@task("DeepSeekMoE")
@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_same_as_the_layers_of_deepseek(student, score):
    """The outputs are those of transformers' DeepseekV2Moe and, with sigmoid and a bias, DeepseekV3MoE."""
    switch_of_transformers()
    if score == "softmax":
        from transformers import DeepseekV2Config as Config
        from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Moe as Layer

        config = Config(
            hidden_size=8, moe_intermediate_size=6, n_routed_experts=5, n_shared_experts=2, num_experts_per_tok=2,
            topk_method="greedy", routed_scaling_factor=1.0, num_attention_heads=2,
        )  # fmt: skip
    else:
        from transformers import DeepseekV3Config as Config
        from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE as Layer

        config = Config(
            hidden_size=8, moe_intermediate_size=6, n_routed_experts=5, n_shared_experts=2, num_experts_per_tok=2,
            n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.0,
        )  # fmt: skip
    bias = f32(0.3, -0.2, 0.1, 0, -0.1) if score == "sigmoid" else None
    w, x = a_fine_layer(D=8, F=6, bias=bias), drawn(9, 2, 4, 8)
    theirs = Layer(config).eval()
    with torch.no_grad():
        theirs.gate.weight.copy_(w["gate"])
        theirs.experts.gate_up_proj.copy_(w["w_gate_up"])
        theirs.experts.down_proj.copy_(w["w_down"])
        for name, part in zip(("gate_proj", "up_proj"), w["shared_gate_up"].chunk(2), strict=True):
            getattr(theirs.shared_experts, name).weight.copy_(part)
        theirs.shared_experts.down_proj.weight.copy_(w["shared_down"])
        if bias is not None:
            theirs.gate.e_score_correction_bias.copy_(bias)
        y = theirs(x)
    found = student.ask(deepseek_output, w, x, [8, 6, 5, 2, 2, score]).value
    assert torch.allclose(found["y"], y, **LIBRARY), "The library's layer says something else."


# %% [markdown] task="train_moe"
# ## `train_moe`: a layer that learns who should go where
#
# Points come in eight clusters of very unequal size (the largest holds 37% of them), and each cluster has a linear map of its own. `batches(i)` is the `i`-th batch: `x` and `y`, (1, 256, 16). Train your `MoELayer` so that its
# output is y.
#
# - the loss: the mean squared error of the output, and **your balance term**, in whatever amount you find right.
# - `steps` optimiser steps, the `i`-th on `batches(i)`: each batch is asked for once, in order.
# - `seed` fixes all that is drawn, if anything is. The layer comes back in eval mode.
#
# **What is known to work**: AdamW, learning rate 1e-2, a warm-up of ten steps and a straight line to zero over the last third; 0.3 times the balance loss. With 0.03 it works too, more barely: the load is then less even.
#
# **What is graded.** A layer with 8 experts of width 32 and a capacity factor of 1.25 trains for 400 steps. On 4,096 new points, the fullest expert has at most **twice** the mean load, and the squared error, with all who overflow at 0, is at most
# **0.22** of the variance of y. Without a balance term the largest cluster keeps one expert to itself, and a third of it falls over the edge.


# %% task="train_moe" points=4 minutes=30 needs="MoELayer"
def train_moe(layer: MoELayer, batches: Callable[[int], tuple[Tensor, Tensor]], steps: int, seed: int) -> MoELayer:
    """The layer, trained on the squared error and a balance loss; in eval mode.

    batches: i -> x (1, 256, D), y (1, 256, D), asked for i = 0 .. steps - 1. seed: fixes all that is drawn.

    Source: Fedus et al. 2021, section 2.2: the auxiliary loss is added to the task's.
    """
    ### BEGIN SOLUTION
    torch.manual_seed(seed)  # nothing is drawn here; a layer with dropout would draw
    optimizer = torch.optim.AdamW(layer.train().parameters(), lr=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * min((step + 1) / 10, 1.0, 3 * (steps - step) / steps)
        x, y = batches(step)
        out, info = layer(x)
        loss = F.mse_loss(out, y) + 0.3 * info["balance"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return layer.eval()
    ### END SOLUTION


# %% [markdown] hints="train_moe"
# 1. What does the squared error say about an expert that nobody visits?
# 2. Nothing: no gradient reaches it. The balance loss has to send it somebody. Both terms are there from `layer(x)`.
# 3. `out, info = layer(x)`; `loss = F.mse_loss(out, y) + 0.3 * info["balance"]`; AdamW with 1e-2, warmed up and then lowered to zero.

# %% tests="train_moe"


@task("train_moe")
@graded_run(cpu_seconds=40)
def test_practice_spreads_the_load(student, run):
    """After 400 steps the fullest expert has at most twice the mean load, on the ask's own points."""
    weights = a_layer(run.seed, D=16, F=32, E=8)
    weights = {name: tensor / tensor.shape[-1] ** 0.5 for name, tensor in weights.items()}
    found = student.ask(train_and_measure, weights, 1.25, run.seed, 400).value
    assert found["asked"] == 400, "Each of the 400 batches should be asked for once."
    run.reaches("load of the fullest expert over the mean", found["fullest"], at_most=2.0)
