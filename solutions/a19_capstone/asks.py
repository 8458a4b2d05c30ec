"""Small functions that run beside the student's code: they build, train, measure and read back, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
"""

import json
import tempfile
from pathlib import Path

import torch
from common.tiny_lm import TinyLM
from torch import nn

trained = {}
"""The model of this conversation, once it is trained."""


def tiny_of(config, weights):
    """The description of a TinyLM with these weights."""
    return {"config": config, "weights": weights}


def trained_weights(student):
    """The trained model's weights, by name."""
    return {name: tensor.detach().clone() for name, tensor in trained["model"].state_dict().items()}


# ----------------------------------------------------------------------------------------------- building, warming up


def built(student, vocab_size):
    """What a fresh model is: its class, its sizes, the shapes of its weights by name, and whether it tells tokens apart."""
    model = student.build_model(vocab_size)
    logits = model(torch.arange(28).view(2, 14) % 10)
    return {
        "class": type(model).__name__,
        "config": dict(model.config),
        "weights": sum(p.numel() for p in model.parameters()),
        "shapes": {name: list(tensor.shape) for name, tensor in model.state_dict().items()},
        "logits": list(logits.shape),
        "alike": bool((logits == logits[0, 0, 0]).all()),
    }


def warmed(student, vocab_size, demonstrations, steps, seed):
    """Builds a model and warms it up, and keeps it for the questions that follow; its sizes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = student.build_model(vocab_size)
        trained["model"] = student.warm_start(model, demonstrations, steps, seed)
    return dict(trained["model"].config)


def warmed_from(student, described, tokens, mask, steps, seed, noise):
    """A warm start from given weights on rows that repeat; the weights after it, how many rows, and its mode."""
    asked = []

    def demonstrations(n):
        rows = torch.arange(sum(asked), sum(asked) + n) % len(tokens)
        asked.append(n)
        return tokens[rows].clone(), mask[rows].clone()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(noise)
        trained["model"] = student.warm_start(_model(described), demonstrations, steps, seed)
    return {"weights": trained_weights(student), "rows": sum(asked), "training": trained["model"].training}


# ----------------------------------------------------------------------------------------------------------- measuring


class Table(nn.Module):
    """Logits looked up by a token's place in its row: a table (places, V), and dropout where it is asked for."""

    def __init__(self, table, dropout=0.0):
        super().__init__()
        self.table = nn.Parameter(table)
        self.dropout = nn.Dropout(dropout)
        self.config = {"vocab_size": table.shape[1], "context": len(table)}

    def forward(self, tokens, mask=None):
        places = torch.arange(tokens.shape[1]).expand(tokens.shape)
        return self.dropout(self.table[places])


def measured(student, table, prompts, answers, max_new_tokens):
    """What evaluate says of a table model."""
    return _floats(student.evaluate(Table(table), prompts, answers, max_new_tokens))


def measured_of_a_model(student, described, prompts, answers, max_new_tokens=8, training=False, dropout=0.0):
    """What evaluate says of a TinyLM; and the mode it is in afterwards."""
    model = _model(described | {"config": described["config"] | {"dropout": dropout}}).train(training)
    found = _floats(student.evaluate(model, prompts, answers, max_new_tokens))
    return {**found, "training": model.training}


def _floats(found):
    return {name: float(found[name]) for name in ("exact", "ended", "entropy")}


# ------------------------------------------------------------------------------------------------------------ improving


def improved(student, algorithm, described, problems, reward_fn, iterations, seed, noise=0):
    """Trains from given weights by one of the two algorithms, and keeps the model; whether it is in training mode."""
    model = _model(described).train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(noise)
        trained["model"] = getattr(student, algorithm)(model, problems, reward_fn, iterations, seed)
    return trained["model"].training


def _model(described):
    model = TinyLM(**described["config"])
    model.load_state_dict(described["weights"])
    return model


# ------------------------------------------------------------------------------------------------------------ reporting


def reported(student, results, folder):
    """What a report has written and returned, and what is in its figures."""
    import matplotlib.image
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    drawn, save = {}, Figure.savefig

    def watched(self, name, *args, **kwargs):
        drawn[Path(str(name)).name] = _content(self)
        return save(self, name, *args, **kwargs)

    plt.close("all")
    Figure.savefig = watched
    try:
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch) / folder
            returned = [str(name) for name in student.write_report(results, str(place))]
            files = sorted(path.name for path in place.iterdir())
            numbers = json.loads((place / "report.json").read_text())
            for name, content in drawn.items():
                picture = matplotlib.image.imread(place / name)
                colours = {tuple(pixel) for row in picture[::7, ::3] for pixel in row.round(2).tolist()}
                content["colours"], content["width"] = len(colours), picture.shape[1]
    finally:
        Figure.savefig = save
    return {
        "files": files, "json": numbers, "returned": returned, "figures": drawn, "open": len(plt.get_fignums()),
    }  # fmt: skip


def files_after_refusal(student, results, folder):
    """The files that a refused report has left; None where it was not refused."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            student.write_report(results, str(Path(scratch) / folder))
        except ValueError:
            return sorted(str(path.relative_to(scratch)) for path in Path(scratch).rglob("*") if path.is_file())
    return None


def _content(figure):
    """Lines as points, bands by their corners, the heights of each row of bars, and whether the axes have names."""
    lines, bands, bars, named = [], [], [], [False, False]
    for axis in figure.axes:
        lines += [
            [[float(x), round(float(y), 6)] for x, y in zip(*line.get_data(), strict=True)] for line in axis.lines
        ]
        for band in axis.collections:
            for path in band.get_paths():
                corners = {(float(x), round(float(y), 6)) for x, y in path.vertices}
                bands.append(sorted(list(corner) for corner in corners))
        bars += [
            [round(float(bar.get_height()), 6) for bar in row] for row in axis.containers if hasattr(row, "patches")
        ]
        named = [bool(axis.get_xlabel()), bool(axis.get_ylabel())]
    return {"lines": lines, "bands": bands, "bars": bars, "axes": named}
