"""Small functions that run beside the student's code: they build, call and differentiate, and return plain data.

Each takes the student's module first. They return values, gradients and what the arguments were afterwards, never a
verdict: what is right is decided elsewhere.
"""

import torch


def gradients_of_attention(student, q, k, v, mask, cotangent):
    """The answer, and the gradients of sum(cotangent * answer) with respect to q, k and v."""
    q, k, v = (t.detach().clone().requires_grad_() for t in (q, k, v))
    y = student.attention(q, k, v, mask)
    y.backward(cotangent)
    return {"y": y.detach(), "q": q.grad, "k": k.grad, "v": v.grad}


def gradient_of_rope(student, x, positions, cotangent):
    """The gradient of sum(cotangent * rope(x)) with respect to x."""
    x = x.detach().clone().requires_grad_()
    student.rope(x, positions).backward(cotangent)
    return x.grad


def build_module(student, config):
    """Builds a module and says so: for configurations that should be refused."""
    student.MultiHeadAttention(**config)
    return "built"


def parameter_shapes(student, config):
    """Name and shape of every parameter of a new module."""
    module = student.MultiHeadAttention(**config)
    return {name: list(parameter.shape) for name, parameter in module.named_parameters()}


def run_module(student, config, weights, x, mask=None, positions=None):
    """The module's answer, with the given weights."""
    module = _module(student, config, weights)
    return module(x, mask, positions).detach()


def gradients_of_module(student, config, weights, x, cotangent, mask=None, positions=None):
    """Gradients of sum(cotangent * module(x)) with respect to x and every parameter, by name."""
    module = _module(student, config, weights)
    x = x.detach().clone().requires_grad_()
    module(x, mask, positions).backward(cotangent)
    return {"x": x.grad} | {name: parameter.grad for name, parameter in module.named_parameters()}


def full_forward(student, config, weights, x):
    """The module's answer for the whole text at once, under a causal mask that is not the student's."""
    T = x.shape[1]
    return run_module(student, config, weights, x, torch.ones(T, T).tril().bool())


def cached_in_chunks(student, config, weights, x, sizes):
    """Feeds x in chunks of the given sizes, the first without a cache: outputs joined, and the last cache."""
    module = _module(student, config, weights)
    y, cache = _feed(student, module, x, sizes, None)
    return {"y": y, "k": cache[0].detach(), "v": cache[1].detach()}


def every_split(student, config, weights, x, splits):
    """Feeds x once for each list of chunk sizes: the outputs, stacked.

    Lists that begin alike go on from the same chunks, each with a copy of the cache: half the work, the same answers.
    """
    module = _module(student, config, weights)
    fed = {(): ([], None)}  # chunk sizes so far -> outputs, cache

    def feed(sizes):
        if sizes not in fed:
            outputs, cache = feed(sizes[:-1])
            start, cache = sum(sizes[:-1]), None if cache is None else tuple(t.clone() for t in cache)
            y, cache = student.attention_with_cache(module, x[:, start : start + sizes[-1]], cache)
            fed[sizes] = ([*outputs, y.detach()], cache)
        return fed[sizes]

    return torch.stack([torch.cat(feed(tuple(sizes))[0], dim=1) for sizes in splits])


def continued_from(student, config, weights, x, cache):
    """One call with a cache that is given as data: the output and the new cache."""
    module = _module(student, config, weights)
    y, (k, v) = student.attention_with_cache(module, x, cache)
    return {"y": y.detach(), "k": k.detach(), "v": v.detach()}


def reused_cache(student, config, weights, past, new):
    """Builds a cache from `past`, continues it with `new` twice: both outputs, and the cache before and after."""
    module = _module(student, config, weights)
    _, cache = student.attention_with_cache(module, past, None)
    before = [t.detach().clone() for t in cache]
    first, _ = student.attention_with_cache(module, new, cache)
    after = [t.detach().clone() for t in cache]
    second, _ = student.attention_with_cache(module, new, cache)
    return {"before": before, "after": after, "first": first.detach(), "second": second.detach()}


def _module(student, config, weights):
    """The student's module in the dtype of the weights, holding them."""
    dtype = next(iter(weights.values())).dtype
    module = student.MultiHeadAttention(**config).to(dtype)
    module.load_state_dict(weights)
    return module


def _feed(student, module, x, sizes, cache):
    outputs = []
    for chunk in x.split(sizes, dim=1):
        y, cache = student.attention_with_cache(module, chunk, cache)
        outputs.append(y.detach())
    return torch.cat(outputs, dim=1), cache
