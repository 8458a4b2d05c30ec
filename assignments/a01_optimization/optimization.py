# optimization.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a01
# README.md explains the tasks. (a01_optimization, release 1a5e5e2ab1fc)

# %%
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


def spirals(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points of two interleaved spirals, to try `train_classifier` on: x (n, 2) float32, y (n,) int64 in {0, 1}.

    Each arm makes two turns from the centre to radius 3; noise of 0.1 is added to both coordinates.
    """
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (n,), generator=draw)  # (n,)
    radius = 3 * torch.rand(n, generator=draw).sqrt()  # (n,)  the root: as many points far out as near the centre
    angle = 2 * math.pi * (2 * radius / 3) + math.pi * y  # (n,)  two turns; one arm is half a turn ahead
    x = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)  # (n, 2)
    return x + 0.1 * torch.randn(n, 2, generator=draw), y


# %% task="log_softmax"
def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """The logarithm of softmax(x) along `dim`, finite however large the scores are.

    x: any shape, float; entries may be -inf where their slice along `dim` holds a finite one. Not changed.
    Returns a tensor of the same shape and dtype whose exponentials add up to 1 along `dim`.
    Raises ValueError or IndexError if x has no axis `dim`.

    Source: the definition; for the stable form see the reading page.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="cross_entropy"
def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    """The mean of -log p[target] over the rows that count.

    logits: (B, V) float. targets: (B,) int64, each in 0 .. V-1, or `ignore_index` for a row that does not count.
    Returns a scalar tensor (shape ()) in the dtype of the logits; 0.0 with zero gradient if no row counts.
    Raises ValueError for other shapes, and for a target that is neither a class nor `ignore_index`.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="adamw_step"
def adamw_step(
    params: list[Tensor],
    grads: list[Tensor | None],
    state: dict,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> tuple[list[Tensor], dict]:
    """One step of AdamW, in place on the tensors in `params` and on `state`.

    params: tensors of any shapes. grads: as many, each like its parameter or None (then that parameter is left alone).
    state: {} at first, then {i: {"step": int, "m": Tensor, "v": Tensor}} for each parameter i that has had a gradient.
    Returns (params, state), the same two objects.
    Raises ValueError if the lists have different lengths.

    Source: Loshchilov and Hutter 2019, algorithm 2, with decay lr * weight_decay; Kingma and Ba 2015, algorithm 1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="cosine_schedule"
def cosine_schedule(step: int, warmup: int, total: int, peak: float, floor: float = 0.0) -> float:
    """The learning rate at `step`, counted from 0: straight up to `peak`, half a cosine down to `floor`.

    warmup: the step at which the peak is reached. total: the step from which on the rate is `floor`.
    Returns a Python float.
    Raises ValueError if step is negative, or warmup larger than total.

    Source: the cosine of Loshchilov and Hutter 2017 (SGDR), equation 5, without restarts, behind a linear warm-up.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="clip_grad_norm"
def clip_grad_norm(grads: list[Tensor | None], max_norm: float) -> Tensor:
    """Shortens all gradients by one common factor so that their joint L2 norm is at most `max_norm`, in place.

    grads: tensors of any shapes, or None. max_norm: positive.
    Returns the joint norm before clipping, a scalar tensor (shape ()); 0 if there is no gradient.
    Raises ValueError if max_norm is not positive.

    Source: Pascanu, Mikolov and Bengio 2013, algorithm 1, with torch's 1e-6.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="accumulated_step"
def accumulated_step(model, microbatches: list[tuple[Tensor, Tensor]], optimizer) -> float:
    """One optimiser step on all microbatches together, equal to one step on the whole batch.

    model: maps tokens (b, t) to logits (b, t, V). microbatches: pairs (x, targets), both (b, t) int64, targets -100 where
    a token does not count; b and t may differ from pair to pair. optimizer: has zero_grad() and step(), and holds the
    model's parameters.
    Returns the mean loss over all counted tokens; 0.0, without a step, if there are none.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="train_classifier"
def train_classifier(
    x: Tensor, y: Tensor, steps: int, seed: int = 0, on_update: Callable[[nn.Module], None] | None = None
) -> nn.Module:
    """Trains a network to tell two classes of points apart, in `steps` optimiser steps.

    x: (M, 2) float32. y: (M,) int64 in {0, 1}. seed: fixes weights and batches.
    on_update: called as on_update(model) after each optimiser step, if it is given.
    Returns a module that maps (K, 2) float32 to logits (K, 2).
    """
    # YOUR CODE HERE
    raise NotImplementedError()
