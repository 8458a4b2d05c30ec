"""Small functions that run beside the student's code: they build, load, call and differentiate, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
Configurations travel as dictionaries and become a GPTConfig here.
"""

import torch
from common.transformer import GPTConfig
from torch import nn

# -------------------------------------------------------------------------------------------------- norms and the gate


def run_layer(student, name, arguments, weights, x):
    """The answer of the module called `name`, built with these arguments and holding these weights."""
    return _layer(student, name, arguments, weights)(x).detach()


def run_layer_as_built(student, name, arguments, x):
    """The answer of a module that was just built."""
    return getattr(student, name)(*arguments).to(x.dtype)(x).detach()


def input_after_layer(student, name, arguments, weights, x):
    """What the input is after the call."""
    module = _layer(student, name, arguments, weights)
    with torch.no_grad():
        module(x)
    return x


def gradients_of_layer(student, name, arguments, weights, x, cotangent):
    """The answer, and the gradients of sum(cotangent * answer) with respect to x and every parameter, by name."""
    module = _layer(student, name, arguments, weights)
    x = x.detach().clone().requires_grad_()
    y = module(x)
    y.backward(cotangent)
    return {"y": y.detach(), "x": x.grad} | {name: parameter.grad for name, parameter in module.named_parameters()}


def parameters_of_layer(student, name, arguments):
    """Every parameter of a new module, by name."""
    return {key: parameter.detach() for key, parameter in getattr(student, name)(*arguments).named_parameters()}


def shapes_of_layer(student, name, arguments):
    """Name and shape of every parameter of a new module."""
    return {key: list(parameter.shape) for key, parameter in getattr(student, name)(*arguments).named_parameters()}


# ------------------------------------------------------------------------------------------------------- block and model


def run_block(student, config, weights, x):
    """The block's answer in eval mode, with the given weights."""
    return _block(student, config, weights)(x).detach()


def twice_through_block(student, config, weights, x):
    """Two answers of one block in eval mode to one input."""
    block = _block(student, config, weights)
    return [block(x).detach(), block(x).detach()]


def branches_in_training(student, config, weights, x):
    """What a block in training mode adds to its input: each branch for itself, the other one silent."""
    last = {"attn": "attn.o_proj", "mlp": "mlp.down_proj"}
    added = {}
    for branch, other in (("attn", "mlp"), ("mlp", "attn")):
        one = {name: 0 * t if name.startswith(last[other]) else t for name, t in weights.items()}
        added[branch] = (_block(student, config, one).train()(x) - x).detach()
    return added


def input_after_block(student, config, weights, x):
    """What the input is after the call."""
    block = _block(student, config, weights)
    with torch.no_grad():
        block(x)
    return x


def gradients_of_block(student, config, weights, x, cotangent):
    """Gradients of sum(cotangent * block(x)) with respect to x and every parameter, by name."""
    block = _block(student, config, weights)
    x = x.detach().clone().requires_grad_()
    block(x).backward(cotangent)
    return {"x": x.grad} | {name: parameter.grad for name, parameter in block.named_parameters()}


def shapes_of_block(student, config):
    """Name and shape of every parameter of a new block."""
    block = student.Block(GPTConfig(**config))
    return {name: list(parameter.shape) for name, parameter in block.named_parameters()}


def run_model(student, config, weights, tokens):
    """The logits in eval mode, with the given weights."""
    return _model(student, config, weights)(tokens).detach()


def gradients_of_model(student, config, weights, tokens, cotangent):
    """Gradients of sum(cotangent * logits) with respect to every weight, by name."""
    model = _model(student, config, weights)
    model(tokens).backward(cotangent)
    return {name: parameter.grad for name, parameter in _weights(model)}


def shapes_of_model(student, config):
    """Name and shape of every weight of a new model, but for the head's second name."""
    return {name: list(parameter.shape) for name, parameter in _weights(student.GPT(GPTConfig(**config)))}


def number_of_parameters(student, config):
    """How many numbers a new model learns: a tensor that has two names counts once."""
    model = student.GPT(GPTConfig(**config))
    return sum(parameter.numel() for parameter in model.parameters())


def kept_config(student, config):
    """What a new model says of its context and its width."""
    model = student.GPT(GPTConfig(**config))
    return [model.config.context, model.config.d_model, model.config.vocab_size]


def fresh_parameters(student, config):
    """Every weight of a new model, by name."""
    return {name: parameter.detach() for name, parameter in _weights(student.GPT(GPTConfig(**config)))}


def first_loss(student, config, tokens, targets):
    """The mean cross-entropy of a new model."""
    model = student.GPT(GPTConfig(**config)).eval()
    logits = model(tokens).detach().double()
    return float(nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()))


def counted(student, configs):
    """What count_parameters says of each configuration."""
    return [student.count_parameters(GPTConfig(**config)) for config in configs]


# ------------------------------------------------------------------------------------------------------------ sampling


class Scripted(nn.Module):
    """A model by rule: the logits at a place are a row of a table, chosen by all that is visible up to that place.

    `context` becomes its config; `dropout` disturbs it in training mode; with `last` only the newest token chooses.
    It remembers how it was called.
    """

    def __init__(self, table, context=None, dropout=0.0, last=False):
        super().__init__()
        self.table = nn.Parameter(table)
        self.noise = nn.Dropout(dropout)
        self.last = last
        self.lengths, self.modes, self.graphs = [], [], []
        if context is not None:
            self.config = GPTConfig(table.shape[1], context, 1, 1, 2, 2)

    def forward(self, tokens):
        self.lengths.append(tokens.shape[1])
        self.modes.append(self.training)
        self.graphs.append(torch.is_grad_enabled())
        places = torch.arange(1, tokens.shape[1] + 1)
        row = tokens if self.last else (tokens * places).cumsum(dim=1) + places
        return self.noise(self.table[row % len(self.table)])


def continued(student, table, idx, n, options, context_of_model=None, seed=None):
    """The texts that `sample` makes of a scripted model, with these options."""
    model = Scripted(table, context_of_model)
    return student.sample(model, idx, n, **options, **_drawing(seed))


def continued_plainly(student, table, idx, n, options, seed=None):
    """The same of a model that is a plain function, and so has neither a config nor a mode."""
    model = Scripted(table)
    return student.sample(lambda tokens: model(tokens), idx, n, **options, **_drawing(seed))


def longest_text_seen(student, table, idx, n, options, context_of_model=None):
    """The length of the longest text that the model was shown."""
    model = Scripted(table, context_of_model)
    student.sample(model, idx, n, **options)
    return max(model.lengths)


def with_dropout(student, table, idx, n, options, training):
    """Two continuations of a model with dropout that comes in this mode; and the modes it saw and ended in."""
    model = Scripted(table, dropout=0.5).train(training)
    texts = [student.sample(model, idx, n, **options) for _ in range(2)]
    return {"texts": texts, "modes": sorted(set(model.modes)), "after": [model.training, model.noise.training]}


def gradients_were_on(student, table, idx, n, options):
    """Whether the model ever ran with gradients, and whether they are on for the caller afterwards."""
    model = Scripted(table)
    student.sample(model, idx, n, **options)
    return {"during": sorted(set(model.graphs)), "after": torch.is_grad_enabled()}


def drawn_often(student, table, starts, count, options, seed):
    """How often each pair of tokens follows each start, in `count` draws: a table (starts, V, V)."""
    V = table.shape[1]
    idx = starts.repeat_interleave(count)[:, None]
    texts = student.sample(Scripted(table, last=True), idx, 2, **options, **_drawing(seed))
    pairs = texts[:, 1] * V + texts[:, 2]
    return torch.stack([pairs[i * count : (i + 1) * count].bincount(minlength=V * V) for i in range(len(starts))])


def drawn_with_seeds(student, table, idx, n, options, seeds, globally):
    """One text for each seed of a generator; `globally` seeds torch's own generator instead."""
    texts = []
    for place, seed in enumerate(seeds):
        torch.manual_seed(seed if globally else place)
        drawing = {} if globally else _drawing(seed)
        texts.append(student.sample(Scripted(table), idx, n, **options, **drawing))
    return texts


# ------------------------------------------------------------------------------------------------------------- building


def _layer(student, name, arguments, weights):
    module = getattr(student, name)(*arguments)
    return _load(module.to(next(iter(weights.values())).dtype), weights)


def _block(student, config, weights):
    block = student.Block(GPTConfig(**config)).to(next(iter(weights.values())).dtype)
    return _load(block, weights).eval()


def _model(student, config, weights):
    model = student.GPT(GPTConfig(**config)).to(weights["tok_emb.weight"].dtype)
    if "lm_head.weight" in model.state_dict():  # a second name for the same tensor
        weights = {**weights, "lm_head.weight": weights["tok_emb.weight"]}
    return _load(model, weights).eval()


def _load(module, weights):
    """Gives every parameter its weight, by name. Buffers learn nothing: they may have any name and keep their values."""
    found = module.load_state_dict(weights, strict=False)
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    without = sorted(parameters.intersection(found.missing_keys))
    if without or found.unexpected_keys:
        raise RuntimeError(f"parameters that should not be there: {without}; missing: {found.unexpected_keys}")
    return module


def _weights(model):
    """The parameters of a model with their names, without the head's second name for the table."""
    return [item for item in model.named_parameters(remove_duplicate=False) if item[0] != "lm_head.weight"]


def _drawing(seed):
    return {} if seed is None else {"generator": torch.Generator().manual_seed(seed)}
