"""Draws the figures of the reading on scaling: python docs/learn/figures/a18_scaling.py

Bytes per worker are computed by the course's own training_memory. What a checkpoint keeps was counted by the same
program with hooks on saved tensors, and is kept in data/scaling.json:

    python docs/learn/figures/a18_scaling.py --measure

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from a02_attention import AMBER, BLUE, FOLDER, QUIET, WIDTH, save
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "a18_scaling"
DATA = FOLDER / "data" / "scaling.json"
SOLUTIONS = FOLDER.parents[2] / "solutions"
WORKERS = 8
LLAMA = {
    "vocab": 32000, "d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 32, "head_dim": 128, "d_ff": 11008,
    "tied": False,
}  # fmt: skip


def main() -> None:
    """Draws all figures into this folder."""
    reference = course_code()
    if "--measure" in sys.argv[1:]:
        DATA.write_text(json.dumps(measured(reference), indent=1) + "\n", encoding="utf-8")
    found = json.loads(DATA.read_text(encoding="utf-8"))
    bills = [reference.training_memory(LLAMA, 1.0, "mixed", stage, WORKERS) for stage in range(4)]
    save(stages(bills), "a18_stages", "Bytes per worker at the stages of ZeRO", stages_in_words(bills))
    save(
        kept(found), "a18_checkpoints", "What is kept for backward, with checkpoints and without", kept_in_words(found)
    )


def course_code() -> ModuleType:
    """The reference of a18."""
    sys.path[:0] = [str(SOLUTIONS.parent), str(SOLUTIONS), str(SOLUTIONS / "a18_scaling")]
    spec = importlib.util.spec_from_file_location("a18", SOLUTIONS / "a18_scaling" / "source.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --------------------------------------------------------------------------------------------------------------- stages

PARTS = (("weights", BLUE), ("gradients", AMBER), ("optimizer", QUIET))
LABELS = {"weights": 0, "gradients": 18, "optimizer": 60}
"""Where each name stands above the first bar."""


def stages_in_words(bills: list[dict[str, int]]) -> str:
    """The alternative text: every bar that is drawn."""
    bars = "; ".join(
        f"stage {stage}: {bill['total'] / 1e9:.1f} GB, of which "
        + ", ".join(f"{name} {bill[name] / 1e9:.1f}" for name, _ in PARTS)
        for stage, bill in enumerate(bills)
    )
    return f"Llama-2-7B in mixed precision on {WORKERS} workers, gigabytes per worker. {bars}."


def stages(bills: list[dict[str, int]]) -> Figure:
    """Stacked bars, one for each stage."""
    figure, axis = plt.subplots(figsize=(WIDTH, 2.9))
    for stage, bill in enumerate(bills):
        left = 0.0
        for name, colour in PARTS:
            size = bill[name] / 1e9
            axis.barh(3 - stage, size, left=left, color=colour, height=0.62)
            if stage == 0:
                axis.annotate(name, (LABELS[name], 3.46), color=colour)
            left += size
        axis.annotate(f"{left:.1f} GB", (left + 1, 3 - stage), va="center")
    names = ["everybody has everything", "1 · the optimizer in shards", "2 · gradients too", "3 · weights too"]
    axis.set_yticks([3, 2, 1, 0], names)
    axis.set(xlabel=f"GB per worker, Llama-2-7B on {WORKERS} workers", xlim=(0, 130), ylim=(-0.6, 3.9))
    return figure


# ---------------------------------------------------------------------------------------------------------- checkpoints


def measured(reference: ModuleType) -> dict[str, Any]:
    """Kilobytes that a stack of 1 to 16 blocks keeps for backward; blocks of width 64 as in the handout, 128 tokens."""
    import torch

    found: dict[str, Any] = {"blocks": [1, 2, 4, 8, 16], "plain": [], "checkpointed": []}
    for count in found["blocks"]:
        for name in ("plain", "checkpointed"):
            torch.manual_seed(0)
            blocks = [
                torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.GELU(), torch.nn.Linear(256, 64))
                for _ in range(count)
            ]
            ours = {p.untyped_storage().data_ptr() for block in blocks for p in block.parameters()}
            saved: dict[int, Any] = {}

            def keep(tensor: Any, ours: set[int] = ours, saved: dict[int, Any] = saved) -> Any:
                if tensor.untyped_storage().data_ptr() not in ours:
                    saved[tensor.untyped_storage().data_ptr()] = tensor
                return tensor

            x = torch.randn(128, 64, requires_grad=True)
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                for block in blocks:
                    x = reference.checkpointed(block)(x) if name == "checkpointed" else block(x)
            found[name].append(sum(t.untyped_storage().nbytes() for t in saved.values()) / 1024)
    return found


def kept_in_words(found: dict[str, Any]) -> str:
    """The alternative text: every point that is drawn."""
    points = "; ".join(
        f"{n} blocks: {a:.0f} and {b:.0f}"
        for n, a, b in zip(found["blocks"], found["plain"], found["checkpointed"], strict=True)
    )
    return (
        "Kilobytes that are kept between forward and backward, without checkpoints and with one around each block, for "
        f"128 tokens: {points}. Both grow in a straight line with the number of blocks, the first nine times as fast."
    )


def kept(found: dict[str, Any]) -> Figure:
    """Two lines over the number of blocks."""
    figure, axis = plt.subplots(figsize=(WIDTH * 0.7, 3.2))
    blocks = np.array(found["blocks"])
    axis.plot(blocks, found["plain"], color=AMBER, marker="o", markersize=4)
    axis.plot(blocks, found["checkpointed"], color=BLUE, marker="o", markersize=4)
    axis.annotate("everything is kept", (10, 3300), color=AMBER, ha="right")
    axis.annotate("only inputs are kept", (15.5, 640), color=BLUE, ha="right")
    axis.set(xlabel="blocks", ylabel="kB for 128 tokens", ylim=(0, None), xlim=(0, 17), xticks=blocks)
    axis.grid(axis="y")
    return figure


if __name__ == "__main__":
    main()
