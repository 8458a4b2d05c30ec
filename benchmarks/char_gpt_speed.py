"""Tokens per second of the course's training step against nanoGPT's model of the same shape, in one run.

    python benchmarks/char_gpt_speed.py --nanogpt FOLDER [--rounds 12] [--steps 5] [--threads 1] [--json]

FOLDER is a clone of nanoGPT, of which model.py is imported:  git clone https://github.com/karpathy/nanoGPT

All models have 4 layers, 4 heads, width 128, context 64, 103 characters, biases and no dropout; all get the same
batches of 32 windows, the same fused AdamW and the same limit on the gradient's norm. Ours is the step of the
reference's `train`, with the course's TinyGPT; theirs asks their model for its loss, as nanoGPT's train.py does.
nanoGPT is measured twice: as it is, with the exact GELU, and with GPT-2's tanh form, which is what TinyGPT computes and
which is slower on CPUs. They take turns, a few steps each, so that whatever else the machine does falls on all; ratios
are taken round by round and their medians reported. Exits 1 where ours is more than 3 per cent slower than nanoGPT as
it is, 2 where there is no clone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
VOCABULARY, CONTEXT, LAYERS, HEADS, WIDTH, BATCH = 103, 64, 4, 4, 128, 32
SLACK = 0.97
"""Medians of the ratio differ by a few per cent from run to run on a machine that others use."""

GET_IT = """\
This compares with nanoGPT, which is no package: it needs a clone of it, and nothing of it is kept here.
  git clone https://github.com/karpathy/nanoGPT
  python benchmarks/char_gpt_speed.py --nanogpt nanoGPT"""


def nanogpt_in(folder: Path | None) -> ModuleType:
    """Their model.py; ends the program where it is not there."""
    path = folder / "model.py" if folder else None
    if path is None or not path.is_file():
        sys.stderr.write(f"{GET_IT}\n" if path is None else f"There is no {path}.\n{GET_IT}\n")
        raise SystemExit(2)
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    return module


def ours() -> Any:
    sys.path.insert(0, str(ROOT / "solutions"))
    from common.transformer import GPTConfig, TinyGPT

    config = GPTConfig(VOCABULARY, CONTEXT, LAYERS, HEADS, WIDTH, 4 * WIDTH, "layernorm", "gelu", "learned", bias=True)
    return TinyGPT(config)


def theirs(nanogpt: ModuleType) -> Any:
    config = nanogpt.GPTConfig(
        block_size=CONTEXT,
        vocab_size=VOCABULARY,
        n_layer=LAYERS,
        n_head=HEADS,
        n_embd=WIDTH,
        dropout=0.0,
        bias=True,
    )
    return nanogpt.GPT(config)


def with_tanh(model: Any) -> Any:
    """The same model with GPT-2's form of the GELU, as ours has it."""
    from torch import nn

    for block in model.transformer.h:
        assert isinstance(block.mlp.gelu, nn.GELU)
        block.mlp.gelu = nn.GELU(approximate="tanh")
    return model


def stepping(model: Any, loss_of: Callable[[Any, Any], Any], batches: list[Any]) -> Callable[[int], None]:
    """A function that takes the training step number i."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.99), weight_decay=0.1, fused=True)

    def step(i: int) -> None:
        x, y = batches[i % len(batches)]
        loss = loss_of(x, y)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def steps_of_both(nanogpt: ModuleType) -> dict[str, Callable[[int], None]]:
    import torch
    from torch.nn import functional

    generator = torch.Generator().manual_seed(0)
    windows = [torch.randint(VOCABULARY, (BATCH, CONTEXT + 1), generator=generator) for _ in range(8)]
    batches = [(w[:, :-1].contiguous(), w[:, 1:].contiguous()) for w in windows]
    torch.manual_seed(0)
    mine, other, tanh = ours(), theirs(nanogpt), with_tanh(theirs(nanogpt))
    counts = {sum(p.numel() for p in model.parameters()) for model in (mine, other, tanh)}
    assert len(counts) == 1, f"the models have different numbers of parameters: {counts}"
    return {
        "ours": stepping(mine, lambda x, y: functional.cross_entropy(mine(x).flatten(0, 1), y.flatten()), batches),
        "nanoGPT": stepping(other, lambda x, y: other(x, y)[1], batches),
        "nanoGPT, tanh": stepping(tanh, lambda x, y: tanh(x, y)[1], batches),
    }


def measure(steps: dict[str, Callable[[int], None]], rounds: int, each: int) -> dict[str, list[float]]:
    """Tokens per CPU-second of every round, in turns; the order turns round. Two rounds to warm up are not kept."""
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(-2, rounds):
        names = list(steps) if number % 2 else list(steps)[::-1]
        for name in names:
            began = time.process_time()
            for i in range(each):
                steps[name](number * each + i)
            spent = time.process_time() - began
            if number >= 0:
                speeds[name].append(each * BATCH * CONTEXT / spent)
    return speeds


def result(speeds: dict[str, list[float]], threads: int, load: float) -> dict[str, Any]:
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_before": load,
        "threads": threads,
        "rounds": len(speeds["ours"]),
        "tokens_per_cpu_second": {name: statistics.median(values) for name, values in speeds.items()},
        "ratios": {name: ratio(speeds["ours"], values) for name, values in speeds.items() if name != "ours"},
    }


def ratio(mine: list[float], others: list[float]) -> dict[str, float]:
    """Median and middle half of ours over theirs, round by round."""
    each = sorted(a / b for a, b in zip(mine, others, strict=True))
    quarter = len(each) // 4
    return {"median": statistics.median(each), "low": each[quarter], "high": each[-1 - quarter]}


def shown(found: dict[str, Any]) -> str:
    lines = [f"{found['machine']}; load before the run {found['load_before']:.1f}"]
    lines.append(f"{found['threads']} thread(s), {found['rounds']} rounds, tokens per CPU-second (median)")
    lines += [f"  {name:16}{speed:10,.0f}" for name, speed in found["tokens_per_cpu_second"].items()]
    for name, each in found["ratios"].items():
        middle = f"middle half of the rounds: {each['low']:.2f} to {each['high']:.2f}"
        lines.append(f"ours / {name:15}{each['median']:5.2f}  ({middle})")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", type=Path, metavar="FOLDER", help="a clone of github.com/karpathy/nanoGPT")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=5, help="steps that each takes in a round")
    parser.add_argument("--threads", type=int, default=1, help="threads of both (CPU-seconds count all of them)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args()
    nanogpt = nanogpt_in(asked.nanogpt)

    import torch

    torch.set_num_threads(asked.threads)
    load = os.getloadavg()[0]
    found = result(measure(steps_of_both(nanogpt), asked.rounds, asked.steps), asked.threads, load)
    print(json.dumps(found, indent=1) if asked.json else shown(found))
    return 0 if found["ratios"]["nanoGPT"]["median"] >= SLACK else 1


if __name__ == "__main__":
    sys.exit(main())
