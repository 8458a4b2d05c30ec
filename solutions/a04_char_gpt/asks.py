"""Small functions that run beside the student's code: they build, call and train, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere. The
models here that are no TinyGPT are made so that every answer of theirs can be worked out by hand.
"""

import contextlib
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from common.transformer import GPTConfig, TinyGPT
from torch import nn

# ------------------------------------------------------------------------------------------------------------ tokenisers


def tokenized(student, text, unknown, to_encode, to_decode):
    """A tokeniser's vocab_size, the ids of each text and the text of each list of ids."""
    tokenizer = student.CharTokenizer(text, unknown)
    return {
        "vocab_size": tokenizer.vocab_size,
        "encoded": [tokenizer.encode(s) for s in to_encode],
        "decoded": [tokenizer.decode(ids) for ids in to_decode],
    }


def tokenized_by_default(student, text, s):
    """The ids of `s` under a tokeniser that was built without saying what happens to strangers."""
    return student.CharTokenizer(text).encode(s)


def there_and_back(student, text, unknown, texts):
    """decode(encode(s)) for each text."""
    tokenizer = student.CharTokenizer(text, unknown)
    return [tokenizer.decode(tokenizer.encode(s)) for s in texts]


def built_tokenizer(student, text, unknown):
    """Builds one and says so: for policies that should be refused."""
    student.CharTokenizer(text, unknown)
    return "built"


# --------------------------------------------------------------------------------------------------------------- batches


def batches(student, data, batch_size, context, seed, calls):
    """Several batches in a row, all from one generator."""
    generator = torch.Generator().manual_seed(seed)
    return [list(student.get_batch(data, batch_size, context, generator)) for _ in range(calls)]


def first_tokens(student, data, batch_size, context, seed, calls):
    """The first token of each window of several batches, all from one generator: (calls, batch_size)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([student.get_batch(data, batch_size, context, generator)[0][:, 0] for _ in range(calls)])


def batches_from_global(student, data, batch_size, context, seed, calls):
    """The same without a generator, after torch's global one was seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [list(student.get_batch(data, batch_size, context)) for _ in range(calls)]


def batch_beside_global(student, data, batch_size, context, seed, noise):
    """A batch from a generator, after torch's global one was seeded with something else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(noise)
        return batches(student, data, batch_size, context, seed, 1)[0]


# ------------------------------------------------------------------------------------------------------------ evaluating


class Table(nn.Module):
    """A model that looks up its logits by the token and its place in the window: (T, V, V) numbers, and dropout."""

    def __init__(self, table, dropout):
        super().__init__()
        self.table = nn.Parameter(table)
        self.dropout = nn.Dropout(dropout)
        self.config = GPTConfig(table.shape[1], table.shape[0], 1, 1, 1, 1)
        self.gradients = False

    def forward(self, tokens):
        if tokens.shape[1] > self.config.context:
            raise ValueError(f"{tokens.shape[1]} tokens are more than the context of {self.config.context}")
        self.gradients = self.gradients or torch.is_grad_enabled()
        places = torch.arange(tokens.shape[1])
        return self.dropout(self.table[places, tokens])


def evaluations(student, table, data, options, dropout, training=True):
    """The loss for each dictionary of options, the mode after each, and whether gradients were on."""
    model = Table(table, dropout).train(training)
    losses, modes = [], []
    for each in options:
        losses.append(student.evaluate(model, data, **each))
        modes.append(model.training)
    return {"loss": losses, "modes": modes, "gradients": model.gradients}


def kind_of_evaluation(student, table, data):
    """The loss, and the name of its type."""
    loss = student.evaluate(Table(table, 0.0), data)
    return {"type": type(loss).__name__, "loss": float(loss)}


# ----------------------------------------------------------------------------------------------------------- checkpoints


class Small(nn.Module):
    """A model that draws: one matrix, dropout, another matrix. A checkpoint needs no copy of it, and gets none."""

    def __init__(self, p):
        super().__init__()
        self.first, self.dropout, self.second = nn.Linear(5, 8), nn.Dropout(p), nn.Linear(8, 5)

    def forward(self, x):
        return self.second(self.dropout(self.first(x).tanh()))

    def __deepcopy__(self, memo):
        raise TypeError("this model cannot be copied; its state_dict can")


class Unstorable(Small):
    """A model of which only a part can be written: storing it fails half way."""

    def get_extra_state(self):
        return Stubborn()


class Stubborn:
    """A value that no file takes."""

    def __reduce__(self):
        raise RuntimeError("this cannot be stored")


def resumed(student, steps, stop, p, with_generator=True, seed=0):
    """Trains `steps` steps in a row; and `stop` steps, a checkpoint, fresh objects that load it, and the rest.

    The straight run saves at `stop` too, and goes on. Batches come from the generator, dropout from torch's global one.
    """
    with _folder() as folder, torch.random.fork_rng(devices=[]):
        path = str(Path(folder) / "run.pt")
        run = _Run(p, seed, with_generator)
        run.go(stop)
        student.save_checkpoint(path, run.model, run.optimizer, stop, run.generator)
        run.go(steps - stop)

        torch.manual_seed(seed + 77)
        other = _Run(p, seed + 55, with_generator)
        other.go(2)  # whatever it is, loading has to put it right
        step = student.load_checkpoint(path, other.model, other.optimizer, other.generator)
        loaded = {name: tensor.clone() for name, tensor in other.model.state_dict().items()}
        rate = other.optimizer.param_groups[0]["lr"]
        other.go(steps - stop)
        return {
            "straight": run.state(),
            "resumed": other.state(),
            "loaded": loaded,
            "step": step,
            "rate": rate,
            "draw": None if other.generator is None else torch.rand(2, generator=other.generator),
            "global": torch.rand(2),
        }


def read_safely(student, seed):
    """How many tensors a reader finds in the file that trusts nobody, and which files lie beside it."""
    with _folder() as folder, torch.random.fork_rng(devices=[]):
        path = str(Path(folder) / "run.pt")
        run = _Run(0.1, seed, True)
        run.go(2)
        student.save_checkpoint(path, run.model, run.optimizer, 2, run.generator)
        return {"tensors": _tensors(torch.load(path, weights_only=True)), "is_file": Path(path).is_file()}


def saved_after_a_failure(student, seed):
    """Saves, then fails to save a model that cannot be stored; what loading gives then. Did the failure raise?"""
    with _folder() as folder, torch.random.fork_rng(devices=[]):
        path = str(Path(folder) / "run.pt")
        run = _Run(0.1, seed, True)
        run.go(2)
        student.save_checkpoint(path, run.model, run.optimizer, 2, run.generator)
        before = run.state()
        raised = False
        try:
            student.save_checkpoint(path, Unstorable(0.1), run.optimizer, 3, run.generator)
        except Exception:
            raised = True
        other = _Run(0.1, seed + 1, True)
        step = student.load_checkpoint(path, other.model, other.optimizer, other.generator)
        return {"raised": raised, "step": step, "before": before, "after": other.state()}


def overwritten(student, seed):
    """Two checkpoints at one path: the step and the weights that come back, and those at the second one."""
    with _folder() as folder, torch.random.fork_rng(devices=[]):
        path = str(Path(folder) / "run.pt")
        run = _Run(0.1, seed, True)
        for step in (1, 2):
            run.go(1)
            student.save_checkpoint(path, run.model, run.optimizer, step, run.generator)
        other = _Run(0.1, seed + 1, True)
        step = student.load_checkpoint(path, other.model, other.optimizer, other.generator)
        return {"step": step, "saved": run.state(), "loaded": other.state()}


def loaded_from_nowhere(student):
    """Whether loading a file that is not there raises."""
    with _folder() as folder:
        run = _Run(0.1, 0, True)
        try:
            student.load_checkpoint(str(Path(folder) / "nothing.pt"), run.model, run.optimizer, run.generator)
        except Exception:
            return {"raised": True}
        return {"raised": False}


# -------------------------------------------------------------------------------------------------------------- training


trained = {}
"""The model of this conversation, once it is trained."""


def train(student, config, data, update, steps, seed, batch_size):
    """Trains, and keeps the model for the questions that follow. `update` is the grader's: see testing/readings.py."""

    def on_update(model):
        if update is not None and update(read[0]):
            update(read[0], _weights(model))

    with _tokens_read() as read:
        trained["model"] = student.train(
            _config(config), data, steps, seed=seed, batch_size=batch_size, on_update=on_update
        )
    trained["model"].eval()
    return read[0]


def trained_weights(student):
    """The trained model's weights, by name."""
    return _weights(trained["model"])


def trained_answers(student, tokens):
    """The trained model's logits for tokens (B, T)."""
    with torch.no_grad():
        return trained["model"](tokens)


def seen_by_updates(student, config, data, steps, seed, batch_size):
    """How far the weights moved from each update to the next, how many tokens were read with gradients on, and whether
    the model came back as the last update showed it. The first update is held against what the first batch met."""
    seen, moved = [], []

    def on_update(model):
        now = _weights(model)
        moved.append(_farthest(seen[-1], now) if seen else 0.0)
        seen.append(now)

    def look(model, tokens):
        read[0] += tokens.numel()
        if not seen:
            seen.append(_weights(model))

    read = [0]
    with _looked_at(look):
        model = student.train(_config(config), data, steps, seed=seed, batch_size=batch_size, on_update=on_update)
    ends = not seen or _farthest(seen[-1], _weights(model)) == 0
    return {"moved": moved, "tokens": read[0], "ends_as_told": ends}


def trained_twice(student, config, data, steps, seeds, batch_size, noise):
    """The weights of a training for each seed, each begun with torch's global state seeded otherwise."""
    ends = []
    for number, seed in enumerate(seeds):
        torch.manual_seed(noise + number)
        model = student.train(_config(config), data, steps, seed=seed, batch_size=batch_size)
        ends.append(_weights(model)["tok_emb.weight"])
    return ends


def stopped_and_resumed(student, config, data, steps, stops, seed, batch_size):
    """Trains straight; and with a checkpoint, stopped after each number of `stops` updates and taken up again."""
    straight = student.train(_config(config), data, steps, seed=seed, batch_size=batch_size)
    updates, files = [0], []
    with _folder() as folder:
        path = str(Path(folder) / "run.pt")
        for stop in [*stops, None]:

            def on_update(model, stop=stop):
                updates[0] += 1
                if updates[0] == stop:
                    raise KeyboardInterrupt

            torch.manual_seed(1000 + updates[0])  # a new process knows nothing of the old one
            options = {"seed": seed, "batch_size": batch_size, "on_update": on_update, "checkpoint": path}
            with contextlib.suppress(KeyboardInterrupt):
                model = student.train(_config(config), data, steps, **options)
            files.append(Path(path).exists())
        counted = updates[0]
        done = student.train(_config(config), data, steps, **(options | {"on_update": None}))
    ends = {"straight": _weights(straight), "resumed": _weights(model), "again": _weights(done)}
    return ends | {"updates": counted, "files": files}


# --------------------------------------------------------------------------------------------------------------- helpers


class _Run:
    """A training of a Small: AdamW, random batches, dropout."""

    def __init__(self, p, seed, with_generator):
        torch.manual_seed(seed)
        self.model = Small(p)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.05 + 0.01 * (seed % 5))
        self.generator = torch.Generator().manual_seed(seed + 1) if with_generator else None

    def go(self, steps):
        for _ in range(steps):
            x = torch.randn(4, 5, generator=self.generator)
            loss = F.mse_loss(self.model(x), x.roll(1, dims=1))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def state(self):
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}


def _config(config):
    return GPTConfig(**{"norm": "layernorm", "mlp": "gelu", "positions": "learned", "bias": True, **config})


def _weights(model):
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@contextlib.contextmanager
def _folder():
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


@contextlib.contextmanager
def _tokens_read():
    """Counts, while it lasts, the tokens that TinyGPTs read with gradients on."""
    read = [0]

    def count(model, tokens):
        read[0] += tokens.numel()

    with _looked_at(count):
        yield read


@contextlib.contextmanager
def _looked_at(look):
    """While it lasts, look(model, tokens) is called before a TinyGPT reads tokens with gradients on."""

    def before(module, inputs):
        if isinstance(module, TinyGPT) and torch.is_grad_enabled() and inputs:
            look(module, inputs[0])

    handle = nn.modules.module.register_module_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


def _farthest(one, other):
    """The largest change of a weight between two states."""
    return max(float((other[name] - one[name]).abs().max()) for name in one)


def _tensors(data):
    """How many tensors there are in nested data."""
    if isinstance(data, torch.Tensor):
        return 1
    if isinstance(data, dict):
        data = data.values()
    return sum(map(_tensors, data)) if isinstance(data, list | tuple | type({}.values())) else 0
