"""Small functions that run beside the student's code: they build, call, train and measure, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
"""

import torch

# -------------------------------------------------------------------------------------------------------------- routing


def routed(student, logits, capacity, mask, upstream):
    """Expert, gate and seat of each token, and the gradient of sum(gate upstream) for the logits."""
    logits = logits.clone().requires_grad_()
    expert, gate, kept = student.switch_route(logits, capacity, mask)
    gradient = _gradients((gate * upstream).sum(), [logits])[0]
    return {"expert": expert, "gate": gate.detach(), "kept": kept, "gradient": gradient}


def balance_and_gradient(student, probs, expert, mask):
    """The balance loss, and its gradient for the probabilities."""
    probs = probs.clone().requires_grad_()
    loss = student.load_balance_loss(probs, expert, mask)
    return {"loss": loss.detach(), "gradient": _gradients(loss, [probs])[0]}


def z_and_gradient(student, logits, mask):
    """The z-loss, and its gradient for the logits."""
    logits = logits.clone().requires_grad_()
    loss = student.z_loss(logits, mask)
    return {"loss": loss.detach(), "gradient": _gradients(loss, [logits])[0]}


def routed_by_bias(student, logits, bias, top_k, scaling, upstream):
    """Each token's experts in order of their numbers, with their weights; and gradients.

    upstream: (T, E). The gradients are those of the sum of each weight times its expert's entry.
    """
    logits, bias = logits.clone().requires_grad_(), bias.clone().requires_grad_()
    indices, weights = student.bias_balanced_route(logits, bias, top_k, scaling)
    gradient, of_bias = _gradients((weights * upstream.gather(1, indices)).sum(), [logits, bias])
    order = indices.argsort(dim=1)
    return {
        "indices": indices.gather(1, order), "weights": weights.detach().gather(1, order),
        "gradient": gradient, "bias_gradient": of_bias,
    }  # fmt: skip


def bias_step(student, bias, load, rate):
    """The bias after one update."""
    return student.update_bias(bias, load, rate)


# --------------------------------------------------------------------------------------------------------------- layers


def layer_shapes(student, *settings):
    """The shapes of a MoELayer's parameters by name."""
    return {name: list(p.shape) for name, p in student.MoELayer(*settings).named_parameters()}


def layer_output(student, weights, x, mask, factor):
    """What a MoELayer with these weights returns."""
    with torch.no_grad():
        y, info = _layer(student, weights, factor)(x, mask)
    return {
        "y": y, "load": info["load"].double(), "dropped": float(info["dropped"]), "balance": float(info["balance"]),
        "z": float(info["z"]),
    }  # fmt: skip


def layer_gradients(student, weights, x, mask, factor, upstream, shares):
    """Gradients for all parameters of sum(y upstream), plus shares of the balance loss and of the z-loss."""
    layer = _layer(student, weights, factor)
    y, info = layer(x, mask)
    loss = shares[0] * (y * upstream).sum() + shares[1] * info["balance"] + shares[2] * info["z"]
    names, parameters = zip(*sorted(layer.named_parameters()), strict=True)
    return dict(zip(names, _gradients(loss, parameters), strict=True))


def deepseek_shapes(student, *settings):
    """The shapes of a DeepSeekMoE's parameters and buffers by name."""
    return {name: list(tensor.shape) for name, tensor in student.DeepSeekMoE(*settings).state_dict().items()}


def deepseek_output(student, weights, x, settings):
    """What a DeepSeekMoE with these weights returns, and its load."""
    layer = _deepseek(student, weights, settings)
    with torch.no_grad():
        y = layer(x)
    return {"y": y, "load": layer.load.double()}


def deepseek_gradients(student, weights, x, settings, upstream):
    """Gradients of sum(y upstream) for all parameters."""
    layer = _deepseek(student, weights, settings)
    names, parameters = zip(*sorted(layer.named_parameters()), strict=True)
    return dict(zip(names, _gradients((layer(x) * upstream).sum(), parameters), strict=True))


def _layer(student, weights, factor):
    E, F, D = weights["w_in"].shape
    layer = student.MoELayer(D, F, E, factor)
    layer.load_state_dict(weights)
    return layer


def _deepseek(student, weights, settings):
    layer = student.DeepSeekMoE(*settings)
    layer.load_state_dict(weights)
    return layer


def _gradients(loss, inputs):
    """Gradients, with zeros where none arrives."""
    if not loss.requires_grad:
        return [torch.zeros_like(each) for each in inputs]
    found = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, found, strict=True)]


# ------------------------------------------------------------------------------------------------------------- training

trained = {}
"""The layer of this conversation, once it is trained."""


class Clusters:
    """Points in eight clusters, the i-th with a share that falls as 1/i, and a linear map for each: 16 numbers to 16."""

    def __init__(self, seed, n=8, D=16):
        draw = torch.Generator().manual_seed(seed)
        centres = torch.randn(n, D, generator=draw)
        self.centres = 3 * centres / centres.norm(dim=1, keepdim=True)
        self.maps = torch.randn(n, D, D, generator=draw) / D**0.5
        self.shares = 1 / torch.arange(1, n + 1)

    def points(self, n, seed):
        """n points and what belongs to them: (1, n, 16) each."""
        draw = torch.Generator().manual_seed(seed)
        which = torch.multinomial(self.shares, n, replacement=True, generator=draw)
        x = self.centres[which] + 0.6 * torch.randn(n, 16, generator=draw)
        return x[None], torch.einsum("tij,tj->ti", self.maps[which], x)[None]


def train(student, weights, factor, seed, steps):
    """Trains a layer from these weights and keeps it; which batches were asked for, and its mode."""
    world, asked = Clusters(seed), []

    def batches(i):
        if not 0 <= i < steps or len(asked) >= 2 * steps:
            raise IndexError(f"there is no batch {i} (of {steps}), or too many were asked for")
        asked.append(i)
        return world.points(256, 1000 * seed + i)

    trained["layer"] = student.train_moe(_layer(student, weights, factor), batches, steps, seed)
    return {"asked": asked, "training": trained["layer"].training}


def trained_weights(student):
    """The trained layer's weights by name."""
    return {name: tensor.detach().clone() for name, tensor in trained["layer"].state_dict().items()}


def train_and_measure(student, weights, factor, seed, steps):
    """Trains, and says how often a batch was asked for and how full the fullest expert is, over the mean."""
    asked = train(student, weights, factor, seed, steps)["asked"]
    with torch.no_grad():
        load = trained["layer"](Clusters(seed).points(4096, 10**6 + seed)[0])[1]["load"].double()
    return {"asked": len(set(asked)), "fullest": float(load.max() / load.mean())}
