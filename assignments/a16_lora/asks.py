"""Small functions that run beside the student's code: they build layers and models, call, train, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
"""

import torch
from common import reviews
from common.tiny_lm import TinyLM
from torch import nn

# ------------------------------------------------------------------------------------------------------------ one layer


def fresh(student, kind, weight, bias, r, alpha, seed, *more):
    """What a new layer has: its factors, which parameters learn, and what it says of x = one row of the unit matrix."""
    torch.manual_seed(seed)
    layer = getattr(student, kind)(_linear(weight, bias), r, alpha, *more).eval()
    with torch.no_grad():
        says = layer(torch.eye(weight.shape[1], dtype=weight.dtype))
    learning = sorted(name for name, p in layer.named_parameters() if p.requires_grad)
    return {"A": layer.lora_A.detach(), "B": layer.lora_B.detach(), "says": says, "learning": learning}


def output(student, kind, weight, bias, A, B, alpha, x, plan=(), more=(), training=False):
    """What a layer with these factors says, after the steps of `plan` ("merge", "unmerge")."""
    layer = _layer(student, kind, weight, bias, A, B, alpha, more).train(training)
    torch.manual_seed(11)
    with torch.no_grad():
        for step in plan:
            getattr(layer, step)()
        return layer(x)


def weight_after(student, weight, bias, A, B, alpha, plan):
    """base.weight after these steps, and what `merged` says."""
    layer = _layer(student, "LoRALinear", weight, bias, A, B, alpha, ())
    for step in plan:
        getattr(layer, step)()
    return {"weight": layer.base.weight.detach(), "merged": bool(layer.merged)}


def gradients(student, kind, weight, bias, A, B, alpha, x, upstream, more=()):
    """The value, and the gradients of sum(y upstream) for x, A and B; how many other parameters got one."""
    layer = _layer(student, kind, weight, bias, A, B, alpha, more).train()
    x = x.clone().requires_grad_()
    y = layer(x)
    (y * upstream).sum().backward()
    others = [p.grad for name, p in layer.named_parameters() if name not in ("lora_A", "lora_B")]
    return {
        "y": y.detach(), "x": _or_zeros(x), "A": _or_zeros(layer.lora_A), "B": _or_zeros(layer.lora_B),
        "others": sum(g is not None for g in others),
    }  # fmt: skip


def held(student, weight, bias, r, more):
    """What a QLoRALinear holds besides A, B and its bias: bytes, and the numbers of its largest float tensor."""
    layer = student.QLoRALinear(_linear(weight, bias), r, 1.0, 0.0, *more)
    own = {"lora_A", "lora_B"}
    kept = [t for name, t in [*layer.named_parameters(), *layer.named_buffers()] if name not in own]
    kept = [t for t in kept if bias is None or t.shape != bias.shape]
    largest = max((t.numel() for t in kept if t.is_floating_point()), default=0)
    return {"bytes": sum(t.numel() * t.element_size() for t in kept), "largest": largest}


def plain_again(student, weight, bias, A, B, more):
    """dequantized() of a QLoRALinear: its weight, its bias, and what it says of the unit matrix's rows."""
    plain = _layer(student, "QLoRALinear", weight, bias, A, B, 3.0, more).dequantized()
    with torch.no_grad():
        says = plain(torch.eye(weight.shape[1]))
    return {"weight": plain.weight.detach(), "says": says}


def merge_of_codes(student, weight, A, B):
    """Calls merge() of a QLoRALinear."""
    _layer(student, "QLoRALinear", weight, None, A, B, 3.0, ()).merge()
    return "merged"


def fitted(student, r, target, seed, steps=400):
    """How far a layer of rank r comes to a change of its base, in 400 steps: the norm of what is left, over the norm."""
    torch.manual_seed(seed)
    layer = student.LoRALinear(_linear(torch.zeros_like(target), None), r, float(r))
    optimizer = torch.optim.Adam([p for p in layer.parameters() if p.requires_grad], lr=0.03)
    x = torch.eye(target.shape[1], dtype=target.dtype)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - step / steps)
        loss = (layer(x).T - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return float((layer(x).T - target).norm() / target.norm())


def _linear(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def _layer(student, kind, weight, bias, A, B, alpha, more):
    layer = getattr(student, kind)(_linear(weight, bias), len(A), alpha, *more)
    with torch.no_grad():
        layer.lora_A.copy_(A)
        layer.lora_B.copy_(B)
    return layer


def _or_zeros(x):
    return torch.zeros_like(x) if x.grad is None else x.grad


# --------------------------------------------------------------------------------------------------------- whole models


class Part(nn.Module):
    """Two layers whose names hold each other, and a norm."""

    def __init__(self, D):
        super().__init__()
        self.proj = nn.Linear(D, D)
        self.in_proj = nn.Linear(D, D)
        self.norm = nn.LayerNorm(D)

    def forward(self, x):
        return x + self.in_proj(torch.tanh(self.proj(self.norm(x))))


class Net(nn.Module):
    """Layers at the top and deep below; a head that shares its weight with the embedding if it is tied."""

    def __init__(self, D, tied):
        super().__init__()
        self.embed = nn.Embedding(7, D)
        self.proj = nn.Linear(D, D)
        self.parts = nn.ModuleList([Part(D), Part(D)])
        self.head = nn.Linear(D, 7, bias=False)
        self.register_buffer("steps", torch.zeros(5))
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, tokens):
        x = self.proj(self.embed(tokens))
        for part in self.parts:
            x = part(x)
        return self.head(x)


def injected(student, targets, seed, r, alpha, dropout=0.0):
    """inject on a net: the names, which parameters learn and their shapes, and the dropout of each adapted layer."""
    net = _net(seed)
    names = student.inject(net, targets, r, alpha, dropout)
    learning = {name: list(p.shape) for name, p in net.named_parameters() if p.requires_grad}
    return {"names": list(names), "learning": learning}


def injected_says(student, targets, seed, r, alpha, dropout, tokens, training):
    """What a net says at first, after inject, and once its factors are drawn anew."""
    net = _net(seed).eval()
    with torch.no_grad():
        before = net(tokens)
        student.inject(net, targets, r, alpha, dropout)
        after = net.eval()(tokens)
        _fill(net, seed)
        return {"unchanged": before - after, "says": net.train(training)(tokens)}


def refused_and_whole(student, targets, tied, r=2):
    """Whether inject refuses a net, and whether the net is as it was: 0.0 for each yes."""
    net = _net(3, tied)
    modules = [type(m).__name__ for m in net.modules()]
    try:
        student.inject(net, targets, r)
        refused = False
    except ValueError:
        refused = True
    whole = modules == [type(m).__name__ for m in net.modules()] and all(p.requires_grad for p in net.parameters())
    return {"refused": refused, "whole": whole}


def merged_model(student, targets, seed, plan, tokens, alone=False):
    """The weights of all bases and what a net says, after merge and unmerge of the whole model; or of a lone layer."""
    torch.manual_seed(seed)
    net = student.LoRALinear(nn.Linear(6, 6).double(), 2, 3.0) if alone else _net(seed)
    if not alone:
        student.inject(net, targets, 2, 3.0)
    _fill(net, seed)
    for step in plan:
        getattr(student, step)(net)
    x = torch.eye(6, dtype=torch.float64) if alone else tokens
    with torch.no_grad():
        says = net(x)
    return {"weights": {n: p.detach() for n, p in net.named_parameters() if n.endswith("base.weight")}, "says": says}


def merge_with_codes(student, seed):
    """merge of a model with a layer of four-bit codes."""
    torch.manual_seed(seed)
    net = nn.Sequential(student.QLoRALinear(nn.Linear(16, 8), 2, 3.0))
    student.merge(net)
    return "merged"


def saved(student, targets, seed, plan=(), codes=False):
    """adapter_state_dict of a net; with `codes` of a net with a layer in four bits."""
    net = _adapted(student, targets, seed, codes)
    for step in plan:
        getattr(student, step)(net)
    state = student.adapter_state_dict(net)
    return dict(state)


def saved_and_trained_on(student, targets, seed):
    """How far what was saved has moved once the net went on, and whether any of it carries a gradient."""
    net = _adapted(student, targets, seed, False)
    state = student.adapter_state_dict(net)
    before = {name: tensor.detach().clone() for name, tensor in state.items()}
    carries = any(tensor.requires_grad for tensor in state.values())
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1.0)
    moved = max(float((state[name].detach() - before[name]).abs().max()) for name in before)
    return {"names": len(state), "moved": moved, "carries": carries}


def loaded(student, targets, seed, state, tokens, codes=False):
    """What a net holds and says after load_adapter; then, how far it moves when the file's tensors are changed."""
    net = _adapted(student, targets, seed, codes)
    state = {name: tensor.clone() for name, tensor in state.items()}
    parameters = [id(p) for p in net.parameters()]
    student.load_adapter(net, state)
    held = {name: p.detach().clone() for name, p in net.named_parameters() if "lora_" in name}
    same = parameters == [id(p) for p in net.parameters()]
    for tensor in state.values():
        tensor.zero_()
    moved = max(float((p.detach() - held[name]).abs().max()) for name, p in net.named_parameters() if name in held)
    return {"held": held, "moved": moved, "same_parameters": same}


def refused_load(student, targets, seed, state, plan=()):
    """Whether load_adapter refuses, and whether the net's factors are as they were."""
    net = _adapted(student, targets, seed, False)
    for step in plan:
        getattr(student, step)(net)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    try:
        student.load_adapter(net, state)
        refused = False
    except (ValueError, KeyError, RuntimeError):
        refused = True
    return {"refused": refused, "whole": all(torch.equal(p, before[name]) for name, p in net.named_parameters())}


def counted(student, seed, tied, frozen):
    """trainable_parameters of a net of which these parts are frozen."""
    net = _net(seed, tied, 4 + seed % 5)
    for name in frozen:
        net.get_submodule(name).requires_grad_(False)
    return [int(n) for n in student.trainable_parameters(net)]


def _net(seed, tied=False, D=6):
    torch.manual_seed(seed)
    return Net(D, tied).double()


def _adapted(student, targets, seed, codes):
    """A net whose factors are all drawn; with `codes` two layers only, of which one is in four bits."""
    if codes:
        torch.manual_seed(seed)
        net = nn.Sequential(student.LoRALinear(nn.Linear(8, 16), 2, 3.0), student.QLoRALinear(nn.Linear(16, 8), 2, 3.0))
    else:
        net = _net(seed)
        student.inject(net, targets, 2, 3.0)
    _fill(net, seed)
    return net


def _fill(net, seed):
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(net.named_parameters()):
            if name.rpartition(".")[2] in ("lora_A", "lora_B"):
                p.copy_(torch.randn(p.shape, generator=draw, dtype=torch.float64))


# ------------------------------------------------------------------------------------------------------------- training


def dialect(n, seed):
    """n reviews of the second dialect, in which what strengthens, turns or curses stands *behind* the adjective.

    "honestly the room was warm very but dull . <eos>". tokens (n, 17), and mask (n, 16): True where tokens[:, t+1] is
    part of the answer.
    """
    draw = torch.Generator().manual_seed(seed)
    asked = torch.tensor([ids for ids in map(reviews.encode, reviews.PROMPTS) if len(ids) == reviews.PROMPT])
    prompts = asked[torch.randint(len(asked), (n,), generator=draw)]
    responses, real = reviews.sample_responses(n, draw)
    before = {reviews.ID[word] for word in ("very", "not", *reviews.RUDE)}
    for row in responses:
        row.copy_(torch.tensor(_turned(row.tolist(), before)))
    mask = torch.cat([torch.zeros(n, reviews.PROMPT - 1, dtype=torch.bool), real], dim=1)
    return torch.cat([prompts, responses], dim=1), mask


def _turned(words, before):
    """Each word with those of `before` that stand in front of it behind it."""
    turned, waiting = [], []
    for word in words:
        if word in before:
            waiting.append(word)
        else:
            turned += [word, *waiting]
            waiting = []
    return turned + waiting


def train(student, config, weights, tokens, mask, steps, seed):
    """Trains an adapter: what came back, the base's weights afterwards, and how many rows were read."""
    model, read, hidden = _lm(config, weights), [], TinyLM.hidden

    def counted_hidden(self, tokens, mask=None):
        if torch.is_grad_enabled():
            read.append(len(tokens))
        return hidden(self, tokens, mask)

    TinyLM.hidden = counted_hidden
    try:
        state = student.train_lora(model, tokens, mask, steps, seed)
    finally:
        TinyLM.hidden = hidden
    base = {name.replace(".base.", "."): p.detach().clone() for name, p in model.named_parameters()}
    return {
        "state": {name: tensor.detach().clone() for name, tensor in state.items()},
        "base": {name: tensor for name, tensor in base.items() if name in weights},
        "read": sum(read), "steps": len(read),
    }  # fmt: skip


def _lm(config, weights):
    lm = TinyLM(**config)
    lm.load_state_dict(weights)
    return lm
