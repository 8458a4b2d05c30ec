# %% [markdown] assignment="a18_scaling" title="Scaling: memory, compute and shards" module="scaling" requires="torch, torch._dynamo, common.ranks" summary="Fit more model into less memory, and know the bill before you run: checkpointing, loss scaling, memory and FLOPs, a sharded AdamW." forbidden="trl, peft, bitsandbytes, unsloth, torch.utils.checkpoint, torch.amp.GradScaler, torch.cuda.amp.GradScaler, torch.amp.grad_scaler, torch.optim.AdamW, torch.optim.Adam, torch.optim._functional, torch.optim.adamw, torch.optim.adam, torch.distributed.optim, torch.distributed.fsdp"
# # Scaling: memory, compute and shards
#
# A model that does not fit does not train, however right its loss is. Today you learn where the memory goes and three ways
# to get some of it back: forget activations and compute them again, keep numbers in half the bits without losing
# small gradients, and let each of several workers keep a part. And you learn to work out the bill *before* the run: bytes
# and operations follow from the shape of a model with a pencil.
#
# You write six things, in this order:
#
# 1. `checkpointed`: keep the input of a block, forget what happened inside
# 2. `LossScaler`: small gradients in a type with few bits
# 3. `kv_cache_bytes`: what a long conversation costs
# 4. `flops_per_token`: what a token costs
# 5. `training_memory`: what a training run costs, alone or in shards
# 6. `ShardedAdamW`: an optimiser of which every worker holds a slice
#
# **You need** [the first assignment](../../docs/learn/a01_optimization.md) (AdamW; yours will be written again, flat) and
# the shapes of [a transformer](../../docs/learn/a03_transformer.md). The
# [reading page](../../docs/learn/a18_scaling.md) says what to read, and works through every sum.
#
# ```
# autograder check a18                 # all tasks: what holds, what to mend first
# autograder check a18.checkpointed    # one task
# autograder hint a18.checkpointed     # the next of its three hints
# ```
#
# ## What is given
#
# `assignments/common/ranks.py`, to be read: `rank()`, `world_size()`, and two ways to exchange tensors between
# workers, `reduce_scatter` and `all_gather`. In the tests the workers are threads of one process, so that nothing has to be
# installed; the same functions run between two processes through gloo. Your code cannot tell the difference.
#
# ## What we keep, and what we leave out
#
# Kept: checkpointing of Chen et al. (2016), one block at a time; dynamic loss scaling as in Micikevicius et al. (2018); the
# bytes of mixed precision and the three stages of ZeRO (Rajbhandari et al. 2020); FLOPs as in Kaplan et al. (2020) with
# attention counted, as in PaLM's appendix B.
#
# Left out: activation memory (it depends on what a program keeps: you measure it in the reading), communication that overlaps with
# computing, tensor and pipeline parallelism, offloading.
#
# ## Convention card
#
# | question | our answer | who differs |
# |---|---|---|
# | one multiplication with addition | **2** FLOPs | hardware sheets that count 1 MAC |
# | the embedding look-up | costs nothing, the head is a matrix product, **tied or not** | TRL counts the look-up as a product when the head is not tied |
# | backward | **twice** the forward, so training is ×3 | ×4 with full checkpointing |
# | causal attention | is counted in **full** unless `causal=True` (then half) | |
# | mixed precision, a trainable weight | 2 + 2 + 12 bytes (weight, gradient, and in float32 a master copy, m and v) | gradients kept in float32: 18 |
# | a frozen weight | 2 bytes (4 in "fp32"), no gradient, no state | |
# | shards | round **up**: every worker reserves the same | |
# | bytes | bytes, not GB, and whole numbers | GB is 10⁹ bytes, GiB is 2³⁰ |
# | workers' gradients | are **averaged** | a sum, and a smaller learning rate |
# | AdamW | decay decoupled, bias corrected, eps outside the root, as in a01 | |
# | bad input | is refused: raise `ValueError` and say what is wrong | |
#
# Letters: $L$ layers, $d$ width, $H$ query heads, $H_{kv}$ key-value heads, $d_h$ size of a head, $f$ width of the MLP, $V$ vocabulary, $N$ parameters, $W$ workers.
#
# ## What you may not use, and why
#
# `torch.utils.checkpoint`, `GradScaler` and torch's own AdamW: they are the tasks. `torch.autograd` and everything else is yours.
#
# ## What the tests look at
#
# Values and gradients against the plain computation; how often a block runs and how many bytes it leaves behind; the path of
# a scale through good and bad steps in every order; whole numbers for models that exist; and twenty steps of a sharded
# optimiser against one that has everything.

# %%
from collections.abc import Callable, Iterable

import torch
from common.ranks import all_gather, rank, reduce_scatter, world_size
from torch import Tensor

# %% [markdown] task="checkpointed"
# ## `checkpointed`: forget, and compute again
#
# Backward needs what forward saw: the inputs of every product, the mask of every dropout. For a deep network that is most of
# the memory. But all of it follows from the block's input. So keep only that; when backward arrives, run the block a
# second time, with gradients on, and go backward through the second run.
#
# `checkpointed(block)` returns a function that is called like `block`, with tensors (float or int) by position, and gives the
# same value, one tensor. After `backward` on it:
#
# - the inputs that need gradients have the same gradients as without it, and so have the **parameters** inside the
#   block, also when no input needs a gradient at all (token ids, for example).
# - between the two passes nothing is kept but the inputs. Beware: whatever runs with gradients on keeps its own activations.
# - the block ran exactly once in forward and once in backward.
# - dropout in the second run drops what it dropped in the first: the state of torch's random numbers (CPU) is laid back for the second run, and
#   afterwards the random numbers go on as if there had been no second run.
# - under `torch.no_grad()` the block simply runs once.
# - checkpoints may be nested, and different checkpoints follow each other.
#
# Gradients are asked for by `loss.backward()`; `torch.autograd.grad` need not work.
#
# **By hand.** Eight blocks `x → gelu(x W1) W2` of width 64 with an inner width of 256 keep some 8 × (64 + 256 + 256) numbers a token.
# Checkpointed they keep 8 × 64: a ninth, for one more forward pass, which makes training 4/3 as long.


# %% task="checkpointed" points=5 minutes=40
def checkpointed(block: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`block`, which keeps only its inputs between forward and backward, and runs a second time in backward.

    block: takes tensors by position, returns one tensor of any shape.
    Returns a function with the same arguments and value, whose `backward` gives the same gradients of inputs and parameters.

    Source: Chen et al. 2016, section 4.
    """

    ### BEGIN SOLUTION
    class Checkpoint(torch.autograd.Function):
        @staticmethod
        def forward(ctx, awake, *inputs):  # runs without a graph
            ctx.before = torch.get_rng_state()
            ctx.save_for_backward(*inputs)
            return block(*inputs)

        @staticmethod
        def backward(ctx, gradient):
            inputs = [x.detach().requires_grad_(x.requires_grad) for x in ctx.saved_tensors]
            with torch.random.fork_rng(devices=[]), torch.enable_grad():
                torch.set_rng_state(ctx.before)
                again = block(*inputs)
            torch.autograd.backward(again, gradient)  # parameters are leaves: theirs add up where they lie
            return None, *(x.grad for x in inputs)

    def run(*inputs):
        awake = torch.zeros((), requires_grad=torch.is_grad_enabled())  # backward comes even if no input asks for it
        return Checkpoint.apply(awake, *inputs)

    return run
    ### END SOLUTION


# %% [markdown] hints="checkpointed"
# 1. Two questions. With which setting does a block leave no activations behind? And who calls you when backward reaches this place?
# 2. `torch.autograd.Function` has a `forward`, which runs without a graph, and a `backward`, which is given the gradient of the result. In there:
#    detached inputs, gradients on, the block again, and backward through that. It is only called if some input of `apply` needs a gradient: which one could always?
# 3. In `forward`: keep `torch.get_rng_state()` on `ctx`, `ctx.save_for_backward(*inputs)`, return `block(*inputs)`. In `backward`: `x.detach().requires_grad_(x.requires_grad)`
#    for each saved one; inside `torch.random.fork_rng(devices=[])` and `torch.enable_grad()` set the state back and run `again = block(*inputs)`; `torch.autograd.backward(again, gradient)`; return a `None` for a
#    first, empty input that needs a gradient, and then each `x.grad`.

# %% tests="checkpointed"
import pytest
import torch
from asks import (
    bytes_kept,
    checkpoint_gradients,
    checkpoint_of_ids,
    runs_of_block,
    scaler_path,
    several,
    sharded_run,
)

from autograder.testing import needs, task

F64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32: a few roundings


def f64(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


@task("checkpointed")
def test_gradients_by_hand(student):
    """Of sum(w x^2): 2 w x for x, and the sum of x^2 for w, as without a checkpoint."""
    # the block of the ask: dropout(w * x * x) with a rate of 0, followed by a weighted sum
    found = student.ask(checkpoint_gradients, f64(1, -2, 3), f64(2), f64(1, 1, 10), 0.0, 0).value
    assert torch.allclose(found["value"], f64(2, 8, 18)), "The value is not that of the block."
    assert torch.allclose(found["x"], f64(4, -8, 120)), "The gradient of the input is off."
    assert torch.allclose(found["w"], f64(95)), "The gradient of the parameter is off."


@task("checkpointed")
def test_ids_have_no_gradients_but_the_table_has(student):
    """Rows 2, 0 and 2 of a table: its gradient is the cosine of what was looked up, and row 2 is counted twice."""
    table = f64(0, 1, 2)[:, None]
    found = student.ask(checkpoint_of_ids, torch.tensor([2, 0, 2]), table, torch.ones(3, 1, dtype=torch.float64)).value
    assert found["table"] is not None, "The table has no gradient."
    assert torch.allclose(found["table"], f64(1, 0, 2 * -0.4161468)[:, None]), "The gradient of the table is off."


@task("checkpointed")
def test_a_block_runs_twice(student):
    """Once in forward and once in backward."""
    student.ask(runs_of_block, torch.ones(3, 4), True).equals([1, 2])


@task("checkpointed")
@needs("test_gradients_by_hand")
def test_only_the_input_is_kept(student):
    """Between the passes one block keeps its input of 8 x 16 numbers of 4 bytes, and little else."""
    kept = student.ask(bytes_kept, torch.ones(8, 16), 3).value["bytes"]
    assert kept <= 1.05 * 8 * 16 * 4, "More bytes were kept for backward than the input has."


# %% [markdown] task="LossScaler"
# ## `LossScaler`: small gradients in few bits
#
# float16 knows nothing below 6·10⁻⁸. Many gradients are smaller, become 0 and teach nothing. If the loss is multiplied by a
# large number first, all gradients are too: they are divided by it again just before the step, in float32. How large? As large as possible, which is found
# by trying: grow now and then, and when something overflows, skip that step and shrink.
#
# | | |
# |---|---|
# | `LossScaler(init_scale, growth, backoff, interval)` | `.value` is the scale, a float, at first `init_scale` |
# | `scale(loss)` | the loss times the scale, to call `backward` on |
# | `step(optimizer)` | divides the gradients of all its parameters by the scale, in place. If all are finite: `optimizer.step()`, and True. Else nothing moves, neither parameters nor the optimiser's state: False |
# | `update()` | after a skipped step the scale times `backoff`, and the count of good steps begins at 0. After a good one the count rises, and when it reaches `interval`: the scale times `growth`, and the count begins at 0 |
#
# - Between two updates there is one step. A parameter without a gradient (None) is passed over.
# - Refused: an `init_scale` that is not above 0, a `growth` that is not above 1, a `backoff` outside of (0, 1), an `interval` below 1.
#
# **By hand.** `LossScaler(8, 2, 0.5, interval=2)`; steps good, good, bad, good, bad, good, good: the scale after each update is 8, 16, 8, 8, 4, 4, 8.


# %% task="LossScaler" points=4 minutes=25
class LossScaler:
    """Scales a loss so that small gradients survive, and finds the scale by trying.

    init_scale: the first scale. growth: the factor after `interval` good steps in a row. backoff: the factor after an overflow.
    Raises ValueError for an init_scale <= 0, a growth <= 1, a backoff outside of (0, 1) and an interval < 1.

    Source: Micikevicius et al. 2018, section 3.2; the schedule is that of torch.amp.GradScaler.
    """

    def __init__(
        self, init_scale: float = 65536.0, growth: float = 2.0, backoff: float = 0.5, interval: int = 2000
    ) -> None:
        ### BEGIN SOLUTION
        if not init_scale > 0:
            raise ValueError(f"init_scale is {init_scale}: it has to be above 0")
        if not growth > 1:
            raise ValueError(f"growth is {growth}: it has to be above 1")
        if not 0 < backoff < 1:
            raise ValueError(f"backoff is {backoff}: it has to be between 0 and 1")
        if interval < 1:
            raise ValueError(f"interval is {interval}: it has to be at least 1")
        self.value = float(init_scale)
        self.growth, self.backoff, self.interval = growth, backoff, interval
        self.good_steps = 0
        self.skipped = False
        ### END SOLUTION

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the scale: a scalar with a graph."""
        ### BEGIN SOLUTION
        return loss * self.value
        ### END SOLUTION

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Unscales the gradients in place and steps; where one is inf or NaN it does not step, and returns False."""
        ### BEGIN SOLUTION
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        for gradient in gradients:
            gradient.div_(self.value)
        self.skipped = not all(gradient.isfinite().all() for gradient in gradients)
        if not self.skipped:
            optimizer.step()
        return not self.skipped
        ### END SOLUTION

    def update(self) -> None:
        """Backs off after a skipped step; grows after `interval` good ones in a row."""
        ### BEGIN SOLUTION
        self.good_steps = 0 if self.skipped else self.good_steps + 1
        if self.skipped:
            self.value *= self.backoff
        elif self.good_steps == self.interval:
            self.value *= self.growth
            self.good_steps = 0
        ### END SOLUTION


# %% [markdown] hints="LossScaler"
# 1. On which scale is the learning rate meant, and on which scale are the gradients when `step` is called?
# 2. Look at all gradients before anything moves: one bad number is enough. And what happens to the count of good steps after a bad one, and after the scale has grown?
# 3. In `step`: go over `optimizer.param_groups` and their `"params"`, `p.grad.div_(self.value)` where there is one; remember whether all are finite; if so `optimizer.step()`.
#    In `update`: after a skipped step `value *= backoff`, count 0; else count + 1, and at `interval`: `value *= growth`, count 0.

# %% tests="LossScaler"


@task("LossScaler")
def test_the_path_of_the_handout(student):
    """Good, good, bad, good, bad, good, good: 8, 16, 8, 8, 4, 4, 8."""
    good = [True, True, False, True, False, True, True]
    gradients = [[torch.tensor([1.0 if each else float("inf")])] for each in good]
    found = student.ask(scaler_path, [8.0, 2.0, 0.5, 2], [torch.zeros(1)], gradients).value
    assert found["scales"] == [8.0, 16.0, 8.0, 8.0, 4.0, 4.0, 8.0], "The scale takes another path."
    assert found["stepped"] == good, "step should say whether it stepped."


@task("LossScaler")
def test_a_step_is_that_of_the_unscaled_gradients(student):
    """A gradient of 3 under SGD with learning rate 0.1 (and momentum 0.9) moves 0 to -0.3, whatever the scale is."""
    found = student.ask(scaler_path, [1024.0, 2.0, 0.5, 10], [torch.zeros(2)], [[torch.tensor([3.0, -1.0])]]).value
    assert torch.allclose(found["parameters"][0], torch.tensor([-0.3, 0.1])), "The parameters moved otherwise."
    assert torch.allclose(found["gradients"][0], torch.tensor([3.0, -1.0])), "After the step p.grad is unscaled."


@task("LossScaler")
@needs("test_the_path_of_the_handout")
def test_impossible_settings(student):
    """A scale of 0, a growth of 1, a backoff of 1 and an interval of 0 are refused."""
    for bad in ([0.0, 2.0, 0.5, 1], [1.0, 1.0, 0.5, 1], [1.0, 2.0, 1.0, 1], [1.0, 2.0, 0.5, 0]):
        student.ask(scaler_path, bad, [torch.zeros(1)], []).refused()


@task("LossScaler")
def test_same_as_the_grad_scaler_of_torch(student):
    """The scale takes the path of torch.amp.GradScaler("cpu"), and so do the parameters."""
    theirs = torch.amp.GradScaler("cpu", init_scale=64.0, growth_factor=2.0, backoff_factor=0.25, growth_interval=3)
    p = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=0.1, momentum=0.9)
    draw = torch.Generator().manual_seed(3)
    gradients, scales = [], []
    for step in range(16):
        gradient = torch.randn(2, generator=draw)
        if step in (4, 9, 10):
            gradient[step % 2] = float("nan") if step == 9 else float("inf")
        gradients.append([gradient])
        theirs.scale((p * gradient).sum()).backward()
        p.grad = gradient * theirs.get_scale()
        theirs.step(optimizer)
        theirs.update()
        optimizer.zero_grad()
        scales.append(theirs.get_scale())
    found = student.ask(scaler_path, [64.0, 2.0, 0.25, 3], [torch.zeros(2)], gradients).value
    assert found["scales"] == scales, "The scale takes another path."
    assert torch.allclose(found["parameters"][0], p.detach(), atol=1e-6), "The parameters take another path."


# %% [markdown] task="kv_cache_bytes"
# ## `kv_cache_bytes`: what a conversation costs
#
# A decoder keeps, for every token it has seen, its key and its value in every layer. Queries are not kept: they are asked once.
#
# $$ 2 \cdot L \cdot H_{kv} \cdot d_h \cdot T \cdot B \cdot \text{bytes} $$
#
# - Whole numbers in, a whole number of bytes out. `seq_len` 0 costs 0 bytes.
# - Refused: a `seq_len` below 0, and everything else below 1.
#
# **By hand.** Llama-2-7B (32 layers, 32 key-value heads of 128) with 4,096 tokens in 2 bytes: 2,147,483,648, which is 2 GiB for **one** conversation.
# Mistral-7B has 8 key-value heads: a quarter.


# %% task="kv_cache_bytes" points=1 minutes=5
def kv_cache_bytes(
    n_layers: int, n_kv_heads: int, head_dim: int, seq_len: int, batch: int = 1, bytes_per_element: int = 2
) -> int:
    """The bytes of all keys and values of `batch` texts of `seq_len` tokens.

    Raises ValueError for a seq_len < 0 and for anything else < 1.

    Source: Shazeer 2019, section 3 (keys and values as the cost of decoding); Ainslie et al. 2023 for grouped heads.
    """
    ### BEGIN SOLUTION
    sizes = {"n_layers": n_layers, "n_kv_heads": n_kv_heads, "head_dim": head_dim, "batch": batch}
    for name, size in {**sizes, "bytes_per_element": bytes_per_element}.items():
        if size < 1:
            raise ValueError(f"{name} is {size}: it has to be at least 1")
    if seq_len < 0:
        raise ValueError(f"seq_len is {seq_len}: it cannot be below 0")
    return 2 * n_layers * n_kv_heads * head_dim * seq_len * batch * bytes_per_element
    ### END SOLUTION


# %% [markdown] hints="kv_cache_bytes"
# 1. How many tensors does one layer keep, and what shape has each?
# 2. Each is (batch, key-value heads, tokens, head size). Refuse sizes below 1 before you multiply.
# 3. `2 * n_layers * n_kv_heads * head_dim * seq_len * batch * bytes_per_element`.

# %% tests="kv_cache_bytes"


@task("kv_cache_bytes")
def test_two_models_that_exist(student):
    """Llama-2-7B with 4,096 tokens takes 2 GiB, Mistral-7B a quarter; three texts in float32 six times as much."""
    calls = [[32, 32, 128, 4096], [32, 8, 128, 4096], [32, 8, 128, 4096, 3, 4]]
    student.ask(several, "kv_cache_bytes", calls).equals([2**31, 2**29, 6 * 2**29])


@task("kv_cache_bytes")
@needs("test_two_models_that_exist")
def test_sizes_that_cannot_be(student):
    """No layers, and a text of -1 tokens, are refused."""
    student.kv_cache_bytes(0, 1, 1, 1).refused()
    student.kv_cache_bytes(1, 1, 1, -1).refused()


# %% [markdown] task="flops_per_token"
# ## `flops_per_token`: what a token costs
#
# A matrix with $n$ entries costs a token $n$ multiplications and $n$ additions: $2n$ FLOPs. A model is its matrices, and the two products
# inside attention, which have no weights: every query head compares with `context` keys and mixes `context` values, $2 \cdot 2 \cdot d_h$ FLOPs for each.
#
# $$ \text{forward} = 2 \Big( L\,(\underbrace{2 d H d_h}_{q,\,o} + \underbrace{2 d H_{kv} d_h}_{k,\,v} + \underbrace{3 d f}_{\text{SwiGLU}}) + V d \Big)
# + 4 L H d_h \cdot \text{context} $$
#
# - Looking up an embedding is no product. The head is one, tied or not.
# - `causal=True`: half of the attention term, since on average a token sees half of the context. Norms, softmax, SiLU and biases are left out.
# - `training=True` (the default): backward costs two products for each product of forward, so three times as much.
# - `config` has whole numbers under `vocab, d_model, n_layers, n_heads, n_kv_heads, head_dim, d_ff`, and `tied` (bool).
# - Refused: a `context` below 1, and a config in which a key is missing.
#
# **By hand.** vocab 10, d_model 4, n_layers 1, n_heads 2, n_kv_heads 1, head_dim 3, d_ff 5, context 7: q and o 48, k and v 24, MLP 60, head 40: 172 entries, 344 FLOPs; attention
# 4·2·3·7 = 168. Forward 512, training 1,536; causal 428 and 1,284.


# %% task="flops_per_token" points=3 minutes=25
def flops_per_token(config: dict, context: int, training: bool = True, causal: bool = False) -> int:
    """Floating-point operations that one token costs in a model with SwiGLU, grouped heads and no biases.

    config: vocab, d_model, n_layers, n_heads, n_kv_heads, head_dim, d_ff, tied. context: tokens that each token looks at.
    training: forward and backward, else forward alone. causal: count the half of attention that a mask leaves.
    Raises ValueError for a context < 1 and for a missing key.

    Source: Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022 (PaLM), appendix B.
    """
    ### BEGIN SOLUTION
    missing = [key for key in CONFIG_KEYS if key not in config]
    if missing:
        raise ValueError(f"config has no {', '.join(missing)}")
    if context < 1:
        raise ValueError(f"context is {context}: it has to be at least 1")
    d, n_layers = config["d_model"], config["n_layers"]
    heads = config["n_heads"] * config["head_dim"]  # width of all queries
    kv_heads = config["n_kv_heads"] * config["head_dim"]  # width of all keys
    matrices = n_layers * (2 * d * heads + 2 * d * kv_heads + 3 * d * config["d_ff"]) + config["vocab"] * d
    attention = 4 * n_layers * heads * context
    forward = 2 * matrices + (attention // 2 if causal else attention)
    return 3 * forward if training else forward
    ### END SOLUTION


# %% [markdown]
# The keys that a config has to have, for this task and the next:

# %%
CONFIG_KEYS = ("vocab", "d_model", "n_layers", "n_heads", "n_kv_heads", "head_dim", "d_ff", "tied")

# %% [markdown] hints="flops_per_token"
# 1. List the matrices of one layer with their shapes. Which of them shrink with grouped heads? Which products have no matrix at all?
# 2. Two FLOPs for each entry of a matrix; four for each query head, number of the head and token of the context. The head of the model counts once, tied or not.
# 3. `matrices = n_layers * (2 * d * H * dh + 2 * d * Hkv * dh + 3 * d * d_ff) + vocab * d`; `attention = 4 * n_layers * H * dh * context`, half of it if causal;
#    `2 * matrices + attention`, times 3 for training.

# %% tests="flops_per_token"
SMALL = {
    "vocab": 10, "d_model": 4, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "head_dim": 3, "d_ff": 5, "tied": True,
}  # fmt: skip


@task("flops_per_token")
def test_a_small_model_by_hand(student):
    """The model of the handout: 512 forward, 1,536 in training; causal 428 and 1,284. Its head is tied; untied costs the same."""
    calls = [[config, 7, training, causal] for config in (SMALL, {**SMALL, "tied": False})
             for training in (False, True) for causal in (False, True)]  # fmt: skip
    student.ask(several, "flops_per_token", calls).equals([512, 428, 1536, 1284] * 2)


def counted_run(config, T):
    """FLOPs of one forward and backward pass through matrices of these sizes, as torch counts them, a token of one text."""
    from torch.utils.flop_counter import FlopCounterMode

    d, dh, H, Hkv = config["d_model"], config["head_dim"], config["n_heads"], config["n_kv_heads"]
    wq, wo = torch.randn(d, H * dh, requires_grad=True), torch.randn(H * dh, d, requires_grad=True)
    wk, wv = (torch.randn(d, Hkv * dh, requires_grad=True) for _ in range(2))
    gate, up = (torch.randn(d, config["d_ff"], requires_grad=True) for _ in range(2))
    down, head = torch.randn(config["d_ff"], d, requires_grad=True), torch.randn(d, config["vocab"], requires_grad=True)
    x = torch.randn(T, d, requires_grad=True)
    counts = []
    with FlopCounterMode(display=False) as counter:
        q = (x @ wq).view(T, H, dh).transpose(0, 1)  # (H, T, dh)
        k, v = ((x @ w).view(T, Hkv, dh).transpose(0, 1).repeat_interleave(H // Hkv, dim=0) for w in (wk, wv))
        mixed = torch.softmax(q @ k.transpose(1, 2), dim=-1) @ v  # (H, T, dh)
        y = mixed.transpose(0, 1).reshape(T, H * dh) @ wo
        y = (torch.nn.functional.silu(y @ gate) * (y @ up)) @ down
        logits = y @ head
        counts.append(counter.get_total_flops())
        logits.sum().backward()
        counts.append(counter.get_total_flops())
    return [count // T for count in counts]


@task("flops_per_token")
def test_same_as_a_counted_run(student):
    """What torch counts while such a layer runs, forward, and forward and backward, is what your formula says."""
    config = {**SMALL, "d_model": 8, "n_heads": 4, "n_kv_heads": 2, "d_ff": 6}
    calls = [[config, 12, False], [config, 12, True]]
    student.ask(several, "flops_per_token", calls).equals(counted_run(config, 12))


@task("flops_per_token")
def test_same_as_trl_where_the_head_is_tied(student):
    """TRL's estimate is the same where the head is tied (untied, it counts the look-up as a product)."""
    trl = pytest.importorskip("trl", reason="trl is not installed")
    utils = pytest.importorskip("trl.trainer.utils", reason="this trl has no such module")
    if not hasattr(utils, "compute_flops_per_token"):
        pytest.skip(f"trl {trl.__version__} has no compute_flops_per_token; this was compared with 1.12")
    from types import SimpleNamespace

    theirs = SimpleNamespace(
        hidden_size=8, num_hidden_layers=3, vocab_size=11, num_attention_heads=4, num_key_value_heads=2, head_dim=5,
        intermediate_size=7, tie_word_embeddings=True,
    )  # fmt: skip
    ours = {
        "vocab": 11,
        "d_model": 8,
        "n_layers": 3,
        "n_heads": 4,
        "n_kv_heads": 2,
        "head_dim": 5,
        "d_ff": 7,
        "tied": True,
    }
    student.ask(several, "flops_per_token", [[ours, 9]]).equals([utils.compute_flops_per_token(theirs, 9)])


@task("flops_per_token")
@needs("test_a_small_model_by_hand")
def test_no_context_and_half_a_config(student):
    """A context of 0 and a config without d_ff are refused."""
    student.flops_per_token(SMALL, 0).refused()
    student.flops_per_token({key: SMALL[key] for key in SMALL if key != "d_ff"}, 7).refused()


# %% [markdown] task="training_memory"
# ## `training_memory`: what a run costs
#
# First the parameters: `vocab`·d for the embedding, once more if the head is not tied; in each layer $2 d H d_h + 2 d H_{kv} d_h + 3 d f$ and two norms of $d$ weights; a
# last norm of $d$. Of these $N$, `round(trainable * N)` are trained.
#
# | bytes | weights | gradients | optimizer |
# |---|---:|---:|---:|
# | "mixed", a trained parameter | 2 | 2 | 12: a master copy, m and v in float32 |
# | "mixed", a frozen one | 2 | 0 | 0 |
# | "fp32", a trained parameter | 4 | 4 | 8: m and v |
# | "fp32", a frozen one | 4 | 0 | 0 |
#
# Of `world_size` workers each keeps everything (stage 0), or a share: stage 1 shards the optimizer, stage 2 also the gradients, stage 3
# also the weights. A share of $n$ parameters is $\lceil n / W \rceil$ parameters.
#
# - The answer: a dict with `weights`, `gradients`, `optimizer`, `total`, in bytes **per worker**, whole numbers.
# - Refused: `trainable` outside of [0, 1], another precision, another stage, a `world_size` below 1, a missing key.
#
# **By hand.** The small model from above, tied: N = 40 + 48 + 24 + 60 + 8 + 4 = 184. Mixed: weights 368, gradients 368, optimizer 2,208, total
# 2,944 = 16 N. Stage 1 on 3 workers: ⌈184/3⌉ = 62, so the optimizer takes 744 and the total is 1,480.


# %% task="training_memory" points=3 minutes=25
def training_memory(
    config: dict, trainable: float = 1.0, precision: str = "mixed", zero_stage: int = 0, world_size: int = 1
) -> dict[str, int]:
    """Bytes per worker for weights, gradients and AdamW's state, and their total; activations are not counted.

    config: as in flops_per_token. trainable: the share of the parameters that is trained. precision: "mixed" or "fp32".
    zero_stage: 0 to 3, what is sharded over world_size workers.
    Raises ValueError for a trainable outside of [0, 1], an unknown precision or stage, a world_size < 1 and a missing key.

    Source: Rajbhandari et al. 2020 (ZeRO), section 3.1 and figure 1.
    """
    ### BEGIN SOLUTION
    missing = [key for key in CONFIG_KEYS if key not in config]
    if missing:
        raise ValueError(f"config has no {', '.join(missing)}")
    if not 0 <= trainable <= 1:
        raise ValueError(f"trainable is {trainable}: it has to be between 0 and 1")
    if precision not in ("mixed", "fp32"):
        raise ValueError(f'precision is {precision!r}: "mixed" or "fp32"')
    if zero_stage not in (0, 1, 2, 3):
        raise ValueError(f"zero_stage is {zero_stage}: 0, 1, 2 or 3")
    if world_size < 1:
        raise ValueError(f"world_size is {world_size}: it has to be at least 1")
    d = config["d_model"]
    heads, kv_heads = config["n_heads"] * config["head_dim"], config["n_kv_heads"] * config["head_dim"]
    layer = 2 * d * heads + 2 * d * kv_heads + 3 * d * config["d_ff"] + 2 * d
    embeddings = config["vocab"] * d * (1 if config["tied"] else 2)
    everything = embeddings + config["n_layers"] * layer + d
    trained = round(trainable * everything)

    def held(n, from_stage):
        return -(-n // world_size) if zero_stage >= from_stage else n

    weight, gradient, state = (2, 2, 12) if precision == "mixed" else (4, 4, 8)
    memory = {
        "weights": weight * held(everything, 3),
        "gradients": gradient * held(trained, 2),
        "optimizer": state * held(trained, 1),
    }
    return {**memory, "total": sum(memory.values())}
    ### END SOLUTION


# %% [markdown] hints="training_memory"
# 1. Three questions for each of weights, gradients and state: of how many parameters, how many bytes, and from which stage in shards?
# 2. Count the parameters first and compare with the small model of the handout. The master copy belongs to the optimizer. Round a share up before you multiply by bytes.
# 3. `held(n, stage)` is `-(-n // world_size)` from that stage on, else `n`. weights: 2 or 4 times `held(N, 3)`; gradients: 2 or 4 times `held(trained, 2)`; optimizer: 12 or 8 times
#    `held(trained, 1)`.

# %% tests="training_memory"
LLAMA = {
    "vocab": 32000, "d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 32, "head_dim": 128, "d_ff": 11008,
    "tied": False,
}  # fmt: skip


@task("training_memory")
def test_the_small_model_of_the_handout(student):
    """184 parameters: 2,944 bytes alone; 1,480 where three workers share the optimizer."""
    alone = {"weights": 368, "gradients": 368, "optimizer": 2208, "total": 2944}
    shared = {"weights": 368, "gradients": 368, "optimizer": 744, "total": 1480}
    calls = [[SMALL], [SMALL, 1.0, "mixed", 1, 3]]
    student.ask(several, "training_memory", calls).equals([alone, shared])


@task("training_memory")
def test_a_model_that_exists(student):
    """Llama-2-7B has 6,738,415,616 parameters: 107.8 GB in mixed precision, before a single activation."""
    N = 6_738_415_616
    answer = {"weights": 2 * N, "gradients": 2 * N, "optimizer": 12 * N, "total": 16 * N}
    frozen = {"weights": 2 * N, "gradients": 0, "optimizer": 0, "total": 2 * N}
    student.ask(several, "training_memory", [[LLAMA], [LLAMA, 0.0]]).equals([answer, frozen])


@task("training_memory")
@needs("test_the_small_model_of_the_handout")
def test_settings_that_do_not_exist(student):
    """A share of 1.5, "fp8", stage 4 and no workers are refused."""
    for bad in ([1.5], [1.0, "fp8"], [1.0, "mixed", 4], [1.0, "mixed", 0, 0]):
        student.training_memory(SMALL, *bad).refused()


@task("training_memory")
def test_same_as_a_model_of_transformers(student):
    """A small Llama of the transformers library has as many bytes of weights as you say."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    calls, bytes_of_weights = [], []
    for tied in (True, False):
        config = {**SMALL, "d_model": 8, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "tied": tied}
        theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(
            vocab_size=10, hidden_size=8, intermediate_size=5, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=3, tie_word_embeddings=tied,
        ))  # fmt: skip
        calls.append([config, 0.0, "fp32"])
        bytes_of_weights.append(4 * theirs.num_parameters())
    truth = [{"weights": n, "gradients": 0, "optimizer": 0, "total": n} for n in bytes_of_weights]
    student.ask(several, "training_memory", calls).equals(truth)


# %% [markdown] task="ShardedAdamW"
# ## `ShardedAdamW`: everyone keeps a slice
#
# $W$ workers hold the same parameters and look at different data. Plain data parallelism averages the gradients, and then every worker
# does the same step with the same state: $W$ copies of m and v. ZeRO's first stage: lay all parameters in one flat line, and let worker $r$ own slice $r$ of it.
#
# 1. flatten the gradients in the order of `params`, and fill up with zeros to a multiple of `world_size()`
# 2. `reduce_scatter`: every worker receives the **sum** of all workers' gradients on its own slice. Make it the mean.
# 3. one AdamW step on that slice, with this worker's own slice of the parameters, m and v
# 4. `all_gather` the new slices, and write them back into the parameters, in place
#
# AdamW as in a01, at step $t$ (from 1): $\theta \leftarrow \theta - \eta\lambda\theta$; $m \leftarrow \beta_1 m + (1-\beta_1) g$; $v \leftarrow \beta_2 v + (1-\beta_2) g^2$;
# $\theta \leftarrow \theta - \eta \dfrac{m / (1-\beta_1^t)}{\sqrt{v / (1-\beta_2^t)} + \epsilon}$.
#
# - `state_bytes()`: the bytes of this worker's m and v; 0 before the first step is allowed.
# - A worker keeps nothing of the size of the whole model from step to step but the parameters themselves.
# - All parameters are float32 and have gradients. After a step all workers' parameters are the same, bit for bit. One worker alone works too.
# - Refused: no parameters, an `lr` or a `weight_decay` below 0, an `eps` that is not above 0, betas outside of [0, 1).
#
# **By hand.** Parameters of 3 and 4 numbers are a line of 7; two workers: filled up to 8, slices of 4, state of 2 · 4 · 4 = 32 bytes instead of 56.


# %% task="ShardedAdamW" points=5 minutes=40
class ShardedAdamW:
    """AdamW of which each worker keeps the state of one slice (the first stage of ZeRO).

    params: float32 tensors, the same on all workers, in the same order. lr, betas, eps, weight_decay: as in AdamW.
    Raises ValueError for no parameters and for settings out of range.

    Source: Rajbhandari et al. 2020 (ZeRO), section 5.1; Loshchilov and Hutter 2019, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        ### BEGIN SOLUTION
        self.params = list(params)
        if not self.params:
            raise ValueError("params is empty")
        if lr < 0 or weight_decay < 0:
            raise ValueError(f"lr is {lr}, weight_decay {weight_decay}: neither may be below 0")
        if not eps > 0:
            raise ValueError(f"eps is {eps}: it has to be above 0")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas are {betas}: each has to be in [0, 1)")
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.size = -(-sum(p.numel() for p in self.params) // world_size())  # of a slice
        self.m, self.v = torch.zeros(self.size), torch.zeros(self.size)
        self.t = 0
        ### END SOLUTION

    def step(self) -> None:
        """One step on the mean of all workers' gradients. Every worker has to call it."""
        ### BEGIN SOLUTION
        self.t += 1
        beta1, beta2 = self.betas
        g = reduce_scatter(self._line([p.grad for p in self.params])) / world_size()  # (size,)
        theta = self._line([p.detach() for p in self.params])[rank() * self.size :][: self.size].clone()  # (size,)
        theta.mul_(1 - self.lr * self.weight_decay)
        self.m.lerp_(g, 1 - beta1)
        self.v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        m_hat, v_hat = self.m / (1 - beta1**self.t), self.v / (1 - beta2**self.t)
        theta.sub_(self.lr * m_hat / (v_hat.sqrt() + self.eps))
        line = all_gather(theta)  # (W * size,)
        with torch.no_grad():
            for p, new in zip(self.params, line.split(self._sizes()), strict=False):  # what was filled up is left over
                p.copy_(new.view_as(p))
        ### END SOLUTION

    def state_bytes(self) -> int:
        """Bytes of the moments that this worker keeps."""
        ### BEGIN SOLUTION
        return self.m.nbytes + self.v.nbytes
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _line(self, tensors):
        """All of them in one line, filled up with zeros: (W * size,)."""
        flat = torch.cat([each.reshape(-1) for each in tensors])
        return torch.nn.functional.pad(flat, (0, self.size * world_size() - len(flat)))

    def _sizes(self):
        sizes = [p.numel() for p in self.params]
        return [*sizes, self.size * world_size() - sum(sizes)]

    ### END SOLUTION


# %% [markdown] hints="ShardedAdamW"
# 1. Work with two workers and parameters of 3 and 4 numbers on paper. Which numbers of the line does each own, and where do the slices cut through a parameter?
# 2. One helper that flattens and fills up serves gradients and parameters alike. What comes out of `reduce_scatter` is a sum of `world_size()` gradients. Moments have the size of a slice, never of the line.
# 3. In `step`: `g = reduce_scatter(line of gradients) / world_size()`; `theta` = elements `rank() * size` to `(rank() + 1) * size` of the line of parameters; AdamW on them with `self.m`, `self.v`;
#    `line = all_gather(theta)`; walk through the parameters, take `p.numel()` elements each, and `p.copy_(...)` under `no_grad`.

# %% tests="ShardedAdamW"


@task("ShardedAdamW")
def test_one_step_by_hand(student):
    """Mean gradients (1, -3, 2) move every parameter by the learning rate against their signs, without decay."""
    gradients = [[f64(0, -2, 0).float()], [f64(2, -4, 4).float()]]
    found = student.ask(sharded_run, [torch.zeros(3)], [gradients], [0.1, (0.9, 0.999), 1e-8, 0.0]).value
    for worker in found["parameters"]:
        assert torch.allclose(worker[0], torch.tensor([-0.1, 0.1, -0.1]), atol=1e-5), "One step should move by lr."


@task("ShardedAdamW")
def test_the_state_is_a_slice(student):
    """Seven numbers, two workers: moments of 4 numbers each, 32 bytes."""
    gradients = [[torch.ones(3), torch.ones(2, 2)], [torch.ones(3), torch.ones(2, 2)]]
    found = student.ask(
        sharded_run, [torch.zeros(3), torch.zeros(2, 2)], [gradients], [0.1, (0.9, 0.999), 1e-8, 0.0]
    ).value
    assert found["state_bytes"] == [32, 32], "Moments of 4 numbers in 4 bytes each are 32 bytes."


@task("ShardedAdamW")
def test_same_as_torchs_adamw_on_the_mean(student):
    """Ten steps of two workers equal ten steps of torch's AdamW on the mean of their gradients."""
    draw = torch.Generator().manual_seed(5)
    shapes = [(3,), (2, 4), (1,)]
    start = [torch.randn(shape, generator=draw) for shape in shapes]
    steps = [[[torch.randn(shape, generator=draw) for shape in shapes] for _ in range(2)] for _ in range(10)]
    theirs = [p.clone().requires_grad_() for p in start]
    optimizer = torch.optim.AdamW(theirs, lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    for workers in steps:
        for number, p in enumerate(theirs):
            p.grad = (workers[0][number] + workers[1][number]) / 2
        optimizer.step()
    found = student.ask(sharded_run, start, steps, [0.05, (0.8, 0.95), 1e-6, 0.1]).value
    for worker in found["parameters"]:
        for mine, other in zip(worker, theirs, strict=True):
            assert torch.allclose(mine, other.detach(), **FLOAT32), "The parameters take another path."


@task("ShardedAdamW")
@needs("test_the_state_is_a_slice")
def test_settings_out_of_range(student):
    """No parameters, a learning rate below 0 and a beta of 1 are refused."""
    student.ask(sharded_run, [], [], [0.1, (0.9, 0.999), 1e-8, 0.0]).refused()
    for bad in ([-0.1, (0.9, 0.999), 1e-8, 0.0], [0.1, (0.9, 1.0), 1e-8, 0.0], [0.1, (0.9, 0.999), 0.0, 0.0]):
        student.ask(sharded_run, [torch.zeros(2)], [], bad).refused()


# %% [markdown]
# ## Two makers
#
# For whoever reads the syllabus by its function names:


# %%
def loss_scaler(**settings) -> LossScaler:
    """A LossScaler with these settings."""
    return LossScaler(**settings)


def sharded_adamw(params: Iterable[Tensor], **settings) -> ShardedAdamW:
    """A ShardedAdamW of these parameters with these settings."""
    return ShardedAdamW(params, **settings)
