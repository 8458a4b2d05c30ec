"""Small functions that run beside the student's code: they call, watch and read back, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
"""

import json
import math
import tempfile
from pathlib import Path


def curve(student, tokens, scores, grid):
    """A learning curve as a list; None where it is NaN."""
    found = student.learning_curve(tokens, scores, grid)
    return [None if math.isnan(x) else round(x, 6) for x in found.double().tolist()]


def sizes(student, cases):
    """The memory of several settings."""
    return [dict(student.memory_estimate(*case)) for case in cases]


def compared(student, finals_a, finals_b, budget, seeds, over=0, earlier=0.0):
    """What compare says of two recipes with these final scores, and how it called them.

    over: by how many tokens the last run of b goes over its budget. earlier: what is added to scores before the last.
    """
    calls = {"a": [], "b": []}

    def recipe(name, finals):
        def run(seed, budget):
            calls[name].append([seed, budget])
            number = list(seeds).index(seed)
            last = budget + (over if name == "b" and number == len(seeds) - 1 else -number)
            scores = [finals[number] + earlier, finals[number] + earlier / 2, finals[number]]
            return {"tokens": [last // 3, last // 2, last], "scores": scores}

        return run

    result = student.compare(recipe("a", finals_a), recipe("b", finals_b), budget, seeds)
    return {"result": _plain(result), "calls": calls}


def interval(student, finals_a, finals_b, budget, seeds, earlier=0.0):
    """The numbers of a comparison, and its winner."""
    found = compared(student, finals_a, finals_b, budget, seeds, 0, earlier)["result"]
    return {
        "a": found["a"], "b": found["b"], "winner": found["winner"],
        "numbers": [found[key] for key in ("mean_a", "mean_b", "difference", "low", "high")],
    }  # fmt: skip


def blank_run(student, seeds):
    """compare, with a recipe that never looked."""
    return student.compare(
        lambda seed, budget: {"tokens": [], "scores": []}, lambda *_: {"tokens": [1], "scores": [1.0]}, 9, seeds
    )


def runs_before_refusal(student, seeds):
    """How many runs there were before these seeds were refused; None where they were not."""
    ran = []

    def recipe(seed, budget):
        ran.append(seed)
        return {"tokens": [1], "scores": [0.5]}

    try:
        student.compare(recipe, recipe, 9, seeds)
    except ValueError:
        return len(ran)
    return None


def predicted(student):
    """The predictions."""
    return dict(student.predictions())


def reported(student, result, curves, name):
    """What a report has written and returned, and what is in its figure."""
    import matplotlib.image
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    drawn, save = [], Figure.savefig

    def watched(self, *args, **kwargs):
        drawn.append(_content(self))
        return save(self, *args, **kwargs)

    plt.close("all")
    Figure.savefig = watched
    try:
        with tempfile.TemporaryDirectory() as folder:
            returned = student.report(result, curves, str(Path(folder) / name))
            files = sorted(path.name for path in Path(folder).iterdir())
            numbers = json.loads((Path(folder) / name).with_suffix(".json").read_text())
            picture = matplotlib.image.imread(Path(folder) / name)
    finally:
        Figure.savefig = save
    colours = {tuple(pixel) for row in picture[::7, ::3] for pixel in row.round(2).tolist()}
    return {
        "files": files, "json": numbers, "returned": _plain(returned), "width": picture.shape[1],
        "colours": len(colours), "open": len(plt.get_fignums()), **(drawn[-1] if drawn else {}),
    }  # fmt: skip


def files_after_refusal(student, result, curves, name):
    """The files that a refused report has left; None where it was not refused."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            student.report(result, curves, str(Path(folder) / name))
        except ValueError:
            return sorted(path.name for path in Path(folder).iterdir())
    return None


def _content(figure):
    """Lines as points, bands by their corners, and whether the axes have names."""
    lines, bands, named = [], [], [False, False]
    for axis in figure.axes:
        lines += [
            [[float(x), round(float(y), 6)] for x, y in zip(*line.get_data(), strict=True)] for line in axis.lines
        ]
        for band in axis.collections:
            for path in band.get_paths():
                corners = {(float(x), round(float(y), 6)) for x, y in path.vertices}
                bands.append(sorted(list(corner) for corner in corners))
        named = [bool(axis.get_xlabel()), bool(axis.get_ylabel())]
    return {"lines": lines, "bands": bands, "axes": named}


def _plain(result):
    return {
        key: list(map(float, x)) if isinstance(x, list | tuple) else x if isinstance(x, str) else float(x)
        for key, x in result.items()
    }
