"""Small functions that run beside the student's code: they build, call and measure, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
"""

import torch
from common.ranks import run_ranks

# -------------------------------------------------------------------------------------------------------- checkpoints


def checkpoint_gradients(student, x, w, weights, rate, seed):
    """Value and gradients of dropout(w x^2), checkpointed, and the random number that comes next."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    run = student.checkpointed(lambda x: torch.nn.functional.dropout(w * x * x, rate))
    return _backward(run, (x,), {"x": x, "w": w}, weights, seed)


def checkpoint_of_two(student, x, y, w, weights, rate, seed):
    """The same for tanh(dropout(x) w) y, where y needs no gradient if it is whole numbers, nested if there is a rate."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = y.clone().requires_grad_(y.is_floating_point())
    inner = student.checkpointed(lambda x: torch.nn.functional.dropout(x, rate) * w)
    run = student.checkpointed(lambda x, y: torch.tanh(inner(x)) * y)
    return _backward(run, (x, y), {"x": x, "y": y, "w": w}, weights, seed)


def checkpoint_of_ids(student, ids, table, weights):
    """The gradient of a table that is looked up by whole numbers inside of a checkpoint: no input needs a gradient."""
    table = table.clone().requires_grad_()
    run = student.checkpointed(lambda ids: torch.sin(table[ids]))
    return _backward(run, (ids,), {"table": table}, weights, 0)


def checkpoints_in_a_row(student, x, ws, weights, rate, seed):
    """Gradients through one checkpoint after the other, each with dropout."""
    x, ws = x.clone().requires_grad_(), [w.clone().requires_grad_() for w in ws]

    def run(x):
        for w in ws:
            x = student.checkpointed(lambda x, w=w: torch.tanh(torch.nn.functional.dropout(x, rate) * w))(x)
        return x

    return _backward(run, (x,), {"x": x, "ws": ws}, weights, seed)


def runs_of_block(student, x, with_gradient):
    """How often the block has run after forward, and after backward."""
    runs = []

    def block(x):
        runs.append(1)
        return torch.exp(x)

    result = student.checkpointed(block)(x.clone().requires_grad_(with_gradient))
    counts = [len(runs)]
    if result.requires_grad:
        result.sum().backward()
    return [*counts, len(runs)]


def runs_without_gradient(student, x):
    """How often the block has run under no_grad, and its value."""
    runs = []

    def block(x):
        runs.append(1)
        return torch.exp(x)

    with torch.no_grad():
        value = student.checkpointed(block)(x)
    return {"value": value, "runs": len(runs)}


def bytes_kept(student, x, layers):
    """Bytes that one checkpoint of several layers saves for backward, without its parameters; and how often it ran."""
    saved, runs, ws = {}, [], [torch.full((x.shape[-1],), 0.5, requires_grad=True) for _ in range(layers)]
    ours = {w.untyped_storage().data_ptr() for w in ws}

    def block(x):
        runs.append(1)
        for w in ws:
            x = torch.exp(torch.tanh(x * w))
        return x

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ours:
            saved[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)  # so that no address comes twice
        return tensor

    held = []
    x = x.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = student.checkpointed(block)(x)
    before, kept = len(runs), sum(saved.values())
    result.sum().backward()
    return {"bytes": kept, "runs": [before, len(runs)]}


def _backward(run, inputs, leaves, weights, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        value = run(*inputs)
        torch.rand(3)  # something else draws between the passes
        (value * weights).sum().backward()
        after = torch.rand((), dtype=torch.float64)
    return {"value": value.detach(), **{name: _gradient(leaf) for name, leaf in leaves.items()}, "next": after}


def _gradient(leaf):
    if isinstance(leaf, list):
        return [each.grad for each in leaf]
    return leaf.grad


# --------------------------------------------------------------------------------------------------------- loss scaler


def scaler_path(student, settings, parameters, gradients):
    """Steps of SGD with momentum under a scaler, with given true gradients (None: the parameter has none)."""
    scaler = student.LossScaler(*settings)
    parameters = [p.clone().requires_grad_() for p in parameters]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    found = {"scales": [], "stepped": [], "gradients": [], "path": []}
    for each in gradients:
        for p, gradient in zip(parameters, each, strict=True):
            p.grad = None if gradient is None else gradient * scaler.value
        found["stepped"].append(bool(scaler.step(optimizer)))
        found["gradients"] = [torch.zeros(0) if p.grad is None else p.grad.clone() for p in parameters]
        scaler.update()
        found["scales"].append(float(scaler.value))
        found["path"].append([p.detach().clone() for p in parameters])
    return {**found, "parameters": [p.detach() for p in parameters]}


def scaled_loss(student, settings, x):
    """The scaled loss sum(x^2), and the gradient that its backward leaves."""
    x = x.clone().requires_grad_()
    loss = student.LossScaler(*settings).scale((x * x).sum())
    loss.backward()
    return {"loss": loss.detach(), "gradient": x.grad}


# ------------------------------------------------------------------------------------------------------------- numbers


def several(student, name, calls):
    """The answers of one function to several calls."""
    return [getattr(student, name)(*arguments) for arguments in calls]


# -------------------------------------------------------------------------------------------------------------- shards


def sharded_run(student, parameters, steps, settings):
    """Steps of as many workers as gradients are given a step: steps[step][worker][parameter].

    Returns each worker's parameters and state_bytes, and the bytes of all tensors it holds beside the parameters.
    """
    workers = len(steps[0]) if steps else 2

    def work():
        from common.ranks import rank

        mine = [p.clone().requires_grad_() for p in parameters]
        optimizer = student.ShardedAdamW(mine, *settings)
        for each in steps:
            for p, gradient in zip(mine, each[rank()], strict=True):
                p.grad = gradient.clone()
            optimizer.step()
        for p in mine:
            p.grad = None
        return [p.detach() for p in mine], optimizer.state_bytes(), _held(optimizer, mine)

    found = run_ranks(work, workers)
    names = ("parameters", "state_bytes", "held")
    return {name: [each[number] for each in found] for number, name in enumerate(names)}


def parameters_of_run(student, parameters, steps, settings):
    """Each worker's parameters after the same run."""
    return sharded_run(student, parameters, steps, settings)["parameters"]


def _held(thing, known):
    """Bytes of all tensors that can be reached from an object, without those that are known."""
    seen, total, waiting = {id(p) for p in known}, 0, [thing]
    storages = {p.untyped_storage().data_ptr() for p in known}
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, torch.Tensor):
            storage = each.untyped_storage()
            if storage.data_ptr() not in storages:
                storages.add(storage.data_ptr())
                total += storage.nbytes()
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list | tuple | set):
            waiting += each
        elif hasattr(each, "__dict__"):
            waiting += vars(each).values()
    return total
