"""Draws the figures of the reading on quantisation: python docs/learn/figures/a15_quantization.py

The levels are computed here. What a language model with outliers says through each kind of product was measured by the
same program with the course's own reference, and is kept in data/quantization.json:

    python docs/learn/figures/a15_quantization.py --measure        (some seconds)

What a real model makes of it stands in data/quantised_llm.json, and comes from benchmarks/quantised_llm.py.

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, QUIET, WIDTH, save
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a15_quantization"
DATA = FOLDER / "data" / "quantization.json"
SOLUTIONS = FOLDER.parents[2] / "solutions"
CHANNELS, FACTOR = [3, 17, 40], 400.0


def main() -> None:
    """Draws all figures into this folder."""
    if "--measure" in sys.argv[1:]:
        DATA.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    found = json.loads(DATA.read_text(encoding="utf-8"))
    save(channels(found), "a15_channels", "Largest activation of each channel", channels_in_words(found))
    save(perplexities(found), "a15_perplexity", "Perplexity by kind of product", perplexities_in_words(found))
    real = json.loads((FOLDER / "data" / "quantised_llm.json").read_text(encoding="utf-8"))
    save(real_channels(real), "a15_real_channels", "Activations of SmolLM2 by channel", real_channels_in_words(real))
    save(real_perplexities(real), "a15_real", "Perplexity of SmolLM2 by scheme", perplexities_in_words(real))
    save(levels(), "a15_levels", "Sixteen levels under a bell curve", LEVELS)
    save(errors(), "a15_bits", "Error against bits", errors_in_words())


@functools.cache
def course() -> Any:
    """The course's own solution of a15."""
    sys.path[:0] = [str(SOLUTIONS.parent), str(SOLUTIONS)]
    from autograder.testing.modules import Author

    return Author(SOLUTIONS / "a15_quantization").reference()


# ------------------------------------------------------------------------------------------------------------- measured


def measured() -> dict[str, Any]:
    """The largest activations before and after smoothing, and perplexities."""
    quantization = course()
    import torch
    from common import reviews
    from common.preferences import generate
    from common.quantization import plant_outliers
    from common.tiny_lm import pretrained

    generator = torch.Generator().manual_seed(0)
    prompts, prompt_mask, _ = reviews.sample_prompts(1000, generator)
    base = pretrained("reviews_base")
    said = generate(base, prompts, prompt_mask, 12, reviews.EOS, reviews.PAD, 1.0, generator)
    tokens, mask = reviews.together(prompts, prompt_mask, *said)

    def speaks(linear: Callable[..., Any] | None, smoothed: bool = False) -> tuple[float, list[float]]:
        """Perplexity, and the largest activations before the first product, if the products qkv and up are so."""
        model = plant_outliers(pretrained("reviews_base"), CHANNELS, FACTOR)
        seen: list[Any] = []
        for block in model.blocks if smoothed else []:
            for norm, layer in ((block.norm1, block.qkv), (block.norm2, block.up)):
                largest: list[Any] = []
                note = functools.partial(lambda to, _, x: to.append(x[0][mask].abs().amax(0)), largest)
                hook = layer.register_forward_pre_hook(note)
                with torch.no_grad():
                    model(tokens, mask)
                    hook.remove()
                    s = quantization.smooth(largest[0], layer.weight)
                    parts = quantization.fold(norm.weight, norm.bias, layer.weight, s)
                    for old, new in zip((norm.weight, norm.bias, layer.weight), parts, strict=True):
                        old.copy_(new)
        first = model.blocks[0].qkv
        for block in model.blocks:
            for layer in (block.qkv, block.up):
                if linear:
                    layer.forward = lambda x, layer=layer: linear(x, layer.weight) + layer.bias
        original = first.forward
        first.forward = lambda x: seen.append(x[mask].abs().amax(0)) or original(x)
        with torch.no_grad():
            logits = model(tokens, mask)
        first_word = prompts.shape[1]  # the model has learnt to answer, not to ask
        log_p = logits[:, first_word - 1 : -1].log_softmax(-1).gather(2, tokens[:, first_word:, None])[..., 0]
        real = mask[:, first_word:]
        perplexity = torch.exp(-(log_p * real).sum() / real.sum()).item()
        return round(perplexity, 3), [round(x, 3) for x in seen[0].tolist()]

    def per_tensor(x: Any, weight: Any) -> Any:
        codes, scale = quantization.absmax_quantize(x)
        w_codes, w_scale = quantization.absmax_quantize(weight, dim=1)
        return (codes.float() @ w_codes.float().T) * scale * w_scale.T

    def by_rows(x: Any, weight: Any) -> Any:
        return quantization.int8_matmul(x.reshape(-1, x.shape[-1]), weight).view(*x.shape[:-1], -1)

    plain, before = speaks(None)
    smooth, after = speaks(per_tensor, smoothed=True)
    return {
        "before": before,
        "after": after,
        "perplexity": {
            "float32": plain,
            "int8, one scale": speaks(per_tensor)[0],
            "int8, a scale a row": speaks(by_rows)[0],
            "LLM.int8()": speaks(quantization.llm_int8_linear)[0],
            "smoothed, one scale": smooth,
        },
    }


# ------------------------------------------------------------------------------------------------------------- channels


def channels_in_words(found: dict[str, Any]) -> str:
    """The alternative text: ordinary channels, and the three that are not."""
    ordinary = [x for i, x in enumerate(found["before"]) if i not in CHANNELS]
    loud = [found["before"][i] for i in CHANNELS]
    after = sorted(found["after"])
    return (
        f"Largest absolute activation of each of {len(found['before'])} channels, on a logarithmic scale. Before: "
        f"ordinary ones between {min(ordinary):.1f} and {max(ordinary):.1f}, three at {min(loud):.0f} to "
        f"{max(loud):.0f}. After smoothing all lie between {after[0]:.2f} and {after[-1]:.2f}."
    )


def channels(found: dict[str, Any]) -> Figure:
    """Before and after smoothing."""
    figure, axis = plt.subplots(figsize=(WIDTH, 2.8))
    places = np.arange(len(found["before"]))
    axis.scatter(places, found["before"], color=AMBER, s=14)
    axis.scatter(places, found["after"], color=BLUE, s=14)
    axis.annotate(
        "as they are", (places[-1] + 1.5, found["before"][-1]), color=AMBER, va="center", annotation_clip=False
    )
    axis.annotate("smoothed", (places[-1] + 1.5, found["after"][-1]), color=BLUE, va="center", annotation_clip=False)
    axis.set(yscale="log", xlabel="channel", ylabel="largest |activation|", xlim=(-1, len(places)))
    axis.grid(axis="y")
    return figure


# ----------------------------------------------------------------------------------------------------------- perplexity


def perplexities_in_words(found: dict[str, Any]) -> str:
    """The alternative text: every bar."""
    return "Perplexity. " + "; ".join(f"{name}: {value:.2f}" for name, value in found["perplexity"].items()) + "."


def perplexities(found: dict[str, Any]) -> Figure:
    """A bar for each kind of product."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.75, 2.4))
    names, values = list(found["perplexity"]), list(found["perplexity"].values())
    places = np.arange(len(names))[::-1]
    colours = [QUIET, AMBER, AMBER, BLUE, BLUE]
    axis.barh(places, values, color=colours, height=0.6)
    for place, value in zip(places, values, strict=True):
        axis.annotate(f"{value:.2f}", (value + 0.2, place), va="center")
    axis.set_yticks(places, names)
    axis.set(xlabel="perplexity", xlim=(0, max(values) * 1.12))
    return figure


# --------------------------------------------------------------------------------------------------------- a real model


def real_channels_in_words(real: dict[str, Any]) -> str:
    """The alternative text: how large most channels are, and the loudest."""
    largest = np.sort(real["largest"])
    return (
        f"Largest absolute activation of each of {len(largest)} channels before the attention of SmolLM2's middle "
        f"block, on a logarithmic scale. Half of them stay below {np.median(largest):.1f}, the loudest three reach "
        + ", ".join(f"{x:.1f}" for x in largest[:-4:-1])
        + "."
    )


def real_channels(real: dict[str, Any]) -> Figure:
    """A dot for each channel of a real model."""
    figure, axis = plt.subplots(figsize=(WIDTH, 2.4))
    largest = np.array(real["largest"])
    loud = largest >= np.sort(largest)[-3]
    places = np.arange(len(largest))
    axis.scatter(places[~loud], largest[~loud], color=QUIET, s=5)
    axis.scatter(places[loud], largest[loud], color=AMBER, s=14)
    axis.set(yscale="log", xlabel="channel", ylabel="largest |activation|", xlim=(-5, len(places) + 5))
    axis.grid(axis="y")
    return figure


def real_perplexities(real: dict[str, Any]) -> Figure:
    """A bar for each scheme; what bitsandbytes does itself is hatched."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.85, 3.0))
    names, values = list(real["perplexity"]), list(real["perplexity"].values())
    places = np.arange(len(names))[::-1]
    colours = [QUIET if name == "float32" else AMBER if "NF4" in name else BLUE for name in names]
    bars = axis.barh(places, values, color=colours, height=0.6)
    for bar, name in zip(bars, names, strict=True):
        if "bitsandbytes" in name:
            bar.set(fill=False, edgecolor=bar.get_facecolor(), hatch="///")
    for place, value in zip(places, values, strict=True):
        axis.annotate(f"{value:.2f}", (value + 0.01 * max(values), place), va="center")
    axis.set_yticks(places, names)
    axis.set(xlabel="perplexity", xlim=(0, max(values) * 1.12))
    return figure


# --------------------------------------------------------------------------------------------------------------- levels

LEVELS = (
    "A bell curve with the sixteen levels of NF4 below it, which stand close together around 0 and far apart at the "
    "ends, from -1 to 1 with one exactly at 0; and sixteen evenly spaced levels for comparison, of which none is at 0."
)


def levels() -> Figure:
    """The density of weights, and two sets of levels."""
    nf4 = course().nf4_codebook().numpy()
    x = np.linspace(-1.05, 1.05, 300)
    spread = 1 / 1.8481  # one standard deviation, if the outermost level stands at 0.9677
    figure, axis = plt.subplots(figsize=(WIDTH, 2.6))
    axis.plot(x, np.exp(-((x / spread) ** 2) / 2), color=QUIET)
    axis.fill_between(x, np.exp(-((x / spread) ** 2) / 2), color=QUIET, alpha=0.15, linewidth=0)
    for height, places, colour, name in ((-0.16, nf4, BLUE, "NF4"), (-0.36, np.linspace(-1, 1, 16), AMBER, "even")):
        axis.vlines(places, height - 0.06, height + 0.06, color=colour, linewidth=1.8)
        axis.annotate(name, (1.08, height), color=colour, va="center", annotation_clip=False)
    axis.set(
        xlim=(-1.06, 1.06), ylim=(-0.45, 1.05), yticks=[], xlabel="weight / largest of its block", xticks=[-1, 0, 1]
    )
    axis.spines["left"].set_visible(False)
    return figure


# --------------------------------------------------------------------------------------------------------------- errors

WAYS = (("tensor", "one scale", QUIET), ("row", "a scale a row", AMBER), ("block", "a scale for 64", BLUE))


@functools.cache
def errors_by_bits(whose: str) -> dict[str, list[tuple[float, float]]]:
    """Bits a weight, scales included, and squared error over squared weights, of "draws" or of a shipped "model"."""
    quantization = course()
    import torch
    from common.tiny_lm import pretrained

    if whose == "draws":
        matrices = [torch.randn(256, 256, generator=torch.Generator().manual_seed(0))]
    else:
        weights = pretrained("reviews_base").state_dict()
        matrices = [x for name, x in weights.items() if x.ndim == 2 and "blocks" in name]
    size, energy = sum(x.numel() for x in matrices), sum(float(x.square().sum()) for x in matrices)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name, *_ in WAYS}
    for name, *_ in WAYS:
        for bits in range(2, 9):
            lost, scales = 0.0, 0
            for x in matrices:
                rows = x.reshape(-1, 64) if name == "block" else x
                codes, scale = quantization.absmax_quantize(rows, bits, None if name == "tensor" else 1)
                lost, scales = lost + float((rows - codes * scale).square().sum()), scales + scale.numel()
            found[name].append((bits + 32 * scales / size, lost / energy))
    lost = 0.0
    for x in matrices:
        packed, absmax = quantization.nf4_quantize(x)
        lost += float((x - quantization.nf4_dequantize(packed, absmax, tuple(x.shape))).square().sum())
    found["nf4"] = [(4.5, lost / energy)]
    return found


SOURCES = (("draws", "draws from a bell curve"), ("model", "a trained model"))


def errors_in_words() -> str:
    """The alternative text: the errors at 4 bits, and what a bit is worth."""
    said = []
    for whose, title in SOURCES:
        found = errors_by_bits(whose)
        at_four = ", ".join(f"{words} {found[name][2][1]:.4f}" for name, words, _ in WAYS)
        said.append(f"Of {title}, with codes of 4 bits: {at_four}, NF4 {found['nf4'][0][1]:.4f}.")
    worth = (errors_by_bits("draws")["block"][2][1] / errors_by_bits("draws")["block"][6][1]) ** 0.25
    return (
        "Relative squared error of weights against bits a weight, scales included, on a logarithmic axis. "
        f"{' '.join(said)} Each further bit divides the error by about {worth:.1f}."
    )


def errors() -> Figure:
    """Three nearly straight lines on either side, and NF4 beside them."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.6), sharey=True, layout="constrained")
    for axis, (whose, title) in zip(axes, SOURCES, strict=True):
        found = errors_by_bits(whose)
        for name, words, colour in WAYS:
            bits, lost = zip(*found[name], strict=True)
            axis.plot(bits, lost, marker="o", markersize=3, color=colour, label=words)
        axis.plot(*found["nf4"][0], marker="D", color=BLUE, markersize=6, linestyle="", label="NF4, blocks of 64")
        axis.set(xlabel="bits a weight, scales included", yscale="log", title=title)
    axes[0].set(ylabel="squared error / squared weights")
    axes[0].legend(frameon=False, loc="lower left", fontsize="small", borderaxespad=0)
    return figure


if __name__ == "__main__":
    main()
