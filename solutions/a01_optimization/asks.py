"""Small functions that run beside the student's code: they build, call and differentiate, and return plain data.

Each takes the student's module first. They return values, gradients and what the arguments were afterwards, never a
verdict: what is right is decided elsewhere.
"""

import torch
from torch import nn

# ----------------------------------------------------------------------------------------------------------- gradients


def gradient_of_log_softmax(student, x, dim, cotangent):
    """The gradient of sum(cotangent * log_softmax(x, dim)) with respect to x."""
    x = x.detach().clone().requires_grad_()
    student.log_softmax(x, dim).backward(cotangent)
    return x.grad


def log_softmax_of_impossible(student, x):
    """Which entries of the answer are -inf, and the values where x is finite."""
    y = student.log_softmax(x)
    return {"impossible": torch.isneginf(y), "possible": y[x.isfinite()]}


def gradient_of_cross_entropy(student, logits, targets, **kwargs):
    """The loss, and its gradient with respect to the logits."""
    logits = logits.detach().clone().requires_grad_()
    loss = student.cross_entropy(logits, targets, **kwargs)
    loss.backward()
    return {"loss": loss.detach(), "gradient": logits.grad}


# ---------------------------------------------------------------------------------------------------------- adamw_step


def adamw_single(student, params, grads, settings):
    """One step from an empty state: the very tensors that were handed in, and the state."""
    tensors, state = list(params), {}
    student.adamw_step(params, grads, state, **settings)
    return {"params": tensors, "state": state}


def adamw_run(student, params, grads, settings):
    """One step for each list of gradients, always with the same tensors and state: both as they are at the end."""
    tensors, state = [p.clone() for p in params], {}
    for step in grads:
        student.adamw_step(list(tensors), step, state, **settings)
    return {"params": tensors, "state": state}


def adamw_path(student, params, grads, settings):
    """The same, with the weights after every step: one tensor (steps, size) for each parameter."""
    tensors, state = [p.clone() for p in params], {}
    path = [[] for _ in tensors]
    for step in grads:
        student.adamw_step(list(tensors), step, state, **settings)
        for places, tensor in zip(path, tensors, strict=True):
            places.append(tensor.detach().clone().flatten())
    return [torch.stack(places) for places in path]


def adamw_schedule(student, params, grads, rates):
    """One step for each list of gradients, each with a learning rate of its own: the weights at the end."""
    tensors, state = [p.clone() for p in params], {}
    for step, lr in zip(grads, rates, strict=True):
        student.adamw_step(list(tensors), step, state, lr)
    return tensors


def adamw_returned(student, params, grads):
    """What is seen through the argument after the returned objects were marked, and the reverse."""
    state = {}
    returned, returned_state = student.adamw_step(params, grads, state)
    returned.append("marked")
    returned_state["marked"] = True
    return {"params": len(params), "state": sorted(map(str, state))}


def adamw_on_leaves(student, params, grads):
    """One step on parameters that require gradients: values, and whether each is still a leaf that requires them."""
    leaves, state = [nn.Parameter(p.clone()) for p in params], {}
    student.adamw_step(leaves, grads, state)
    flags = [[p.requires_grad, p.is_leaf] for p in leaves]
    return {"params": [p.detach() for p in leaves], "flags": flags, "state": [state[0]["m"].requires_grad]}


def adamw_gradients_after(student, params, grads):
    """The gradients after two steps with them."""
    state = {}
    for _ in range(2):
        student.adamw_step(params, grads, state)
    return grads


# ----------------------------------------------------------------------------------------- cosine_schedule and clipping


def schedule(student, steps, settings):
    """The rate at each of the steps; settings are the arguments that follow the step."""
    return [student.cosine_schedule(step, *settings) for step in steps]


def clipped(student, grads, max_norm):
    """The norm, and the very tensors that were handed in as they are after the call."""
    tensors = list(grads)
    norm = student.clip_grad_norm(grads, max_norm)
    return {"norm": norm, "grads": tensors}


# ----------------------------------------------------------------------------------------------------- accumulated_step


class _Table(nn.Module):
    """Logits by table: token i reads row i of the weights. Notes each forward pass and the gradient found there."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.calls = []

    def forward(self, x):
        waiting = self.weight.grad is not None and bool(self.weight.grad.abs().sum() > 0)
        self.calls.append([x.numel(), waiting])
        return self.weight[x]


def stepped(student, weight, microbatches, settings, stale=None):
    """The loss and the weights after one accumulated step of plain gradient descent; `stale` is a gradient left over."""
    model = _Table(weight)
    if stale is not None:
        model.weight.grad = stale.clone()
    loss = student.accumulated_step(model, microbatches, torch.optim.SGD(model.parameters(), **settings))
    return {"loss": loss, "weight": model.weight.detach()}


def stepped_twice(student, weight, microbatches, others, settings):
    """Two steps in a row with one optimiser: both losses and the weights at the end."""
    model = _Table(weight)
    optimizer = torch.optim.SGD(model.parameters(), **settings)
    losses = [student.accumulated_step(model, batch, optimizer) for batch in (microbatches, others)]
    return {"losses": losses, "weight": model.weight.detach()}


def forward_passes(student, weight, microbatches):
    """For each forward pass: how many tokens it saw, and whether a gradient of an earlier one was there already."""
    model = _Table(weight)
    student.accumulated_step(model, microbatches, torch.optim.SGD(model.parameters(), lr=0.1))
    return model.calls


# ----------------------------------------------------------------------------------------------------- train_classifier

LOOK_EVERY = 50
"""Optimiser steps between two points of the curve."""

trained = {}


def train(student, x, y, steps, seed, look_at, tell):
    """Trains and keeps the model; now and then tells the grader its logits on `look_at`."""
    count = 0

    def on_update(model):
        nonlocal count
        count += 1
        if count % LOOK_EVERY == 0:
            tell(count, _logits(model, look_at))

    trained["model"] = student.train_classifier(x, y, steps, seed, on_update)
    return count


def predict(student, points):
    """The logits of the model that was trained."""
    return _logits(trained["model"], points)


def updates_seen(student, x, y, steps, seed):
    """The shape of the model's logits at each call of on_update."""
    shapes = []
    student.train_classifier(x, y, steps, seed, lambda model: shapes.append(list(_logits(model, x).shape)))
    return shapes


def trained_twice(student, x, y, steps, seed, points):
    """Logits of two models of one seed, each trained while torch's global generator stood elsewhere; and the data."""
    answers = []
    for elsewhere in (11, 12):
        torch.manual_seed(elsewhere)
        answers.append(_logits(student.train_classifier(x, y, steps, seed), points))
    return {"first": answers[0], "second": answers[1], "x": x, "y": y}


def _logits(model, points):
    """The model's logits in evaluation mode; the mode it was in comes back."""
    training = model.training
    model.eval()
    with torch.no_grad():
        logits = model(points).clone()
    model.train(training)
    return logits
