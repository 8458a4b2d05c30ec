"""Mixtures of experts in a small language model, against a dense model of equal work and one of equal weights.

    python benchmarks/moe_against_dense.py [RECIPE ...] [--seeds 4] [--steps 500]      (some 13 CPU-minutes)

A character model of two layers and width 64 reads Python's documentation (common/texts.py, another split and disguise
for each seed), 500 batches of 32 windows of 64 characters. Only the second half of a layer differs. With one expert
the layers of a17 are plain MLPs, so that all of them are the same code:

dense, dense_swiglu     as much work a token as the mixture of the same kind
wide, wide_swiglu       as many weights
switch                  eight experts as large as `dense`, one a token; balance loss 0.01, capacity 1.25
fine                    DeepSeekMoE: thirty-one experts of a quarter of `dense_swiglu`, three a token, and one that
                        always works; sigmoid scores and DeepSeek-V3's bias, moved by 0.01
..._unbalanced          the same without the loss, or with a bias that stands still

What was measured goes to docs/learn/figures/data/moe_against_dense.json, from which the reading of a17 draws its
figure. Same seed, same text, same batches, so differences are taken seed by seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from ppo_and_grpo import course
from ppo_cartpole import processor
from torch import Tensor, nn
from torch.nn import functional

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "learn" / "figures" / "data" / "moe_against_dense.json"
D, WIDTH, LAYERS, HEADS, CONTEXT, BATCH, EVERY = 64, 192, 2, 4, 64, 32, 100
EXPERTS, LATE = 8, 100
"""Experts as large as `dense`; loads are those of so many batches at the end."""

moe = course("a17_moe")
from common.texts import disguised_topics  # noqa: E402  (the course's folder is on the path only now)
from common.tiny_lm import Block, TinyLM  # noqa: E402


def switch(n_experts: int, width: int) -> nn.Module:
    return moe.MoELayer(D, width, n_experts)


def swiglu(width: int) -> nn.Module:
    return moe.DeepSeekMoE(D, width, n_routed=1, n_shared=0, top_k=1)


def fine() -> nn.Module:
    """As much work as swiglu(128), and eight times its weights."""
    return moe.DeepSeekMoE(D, 32, n_routed=31, n_shared=1, top_k=3, score="sigmoid")


RECIPES: dict[str, dict[str, Any]] = {
    "dense": {"layer": lambda: switch(1, WIDTH)},
    "wide": {"layer": lambda: switch(1, EXPERTS * WIDTH)},
    "switch": {"layer": lambda: switch(EXPERTS, WIDTH), "share": 0.01},
    "switch_unbalanced": {"layer": lambda: switch(EXPERTS, WIDTH)},
    "dense_swiglu": {"layer": lambda: swiglu(128)},
    "wide_swiglu": {"layer": lambda: swiglu(EXPERTS * 128)},
    "fine": {"layer": fine, "rate": 0.01},
    "fine_unbalanced": {"layer": fine},
}
"""The layer, the share of the balance loss, and the rate of the bias."""


class Mixed(Block):
    """A layer of TinyLM with another second half."""

    def __init__(self, layer: nn.Module):
        super().__init__(D, HEADS, 0.0)
        del self.up, self.down
        self.layer, self.balance, self.dropped = layer, torch.tensor(0.0), 0.0
        self.load = torch.zeros(1)

    def forward(self, x: Tensor, readable: Tensor | None) -> Tensor:
        rows, places, _ = x.shape
        q, k, v = (
            self.qkv(self.norm1(x)).view(rows, places, 3, HEADS, D // HEADS).permute(2, 0, 3, 1, 4)
        )  # (B, H, T, d) each
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, d)
        x = x + self.out(y.transpose(1, 2).reshape(rows, places, D))
        if isinstance(self.layer, moe.DeepSeekMoE):
            y = self.layer(self.norm2(x))
            self.load = self.layer.load.float()
        else:
            y, info = self.layer(self.norm2(x))
            self.load, self.balance, self.dropped = info["load"].float(), info["balance"], float(info["dropped"])
        return x + y


def windows(ids: Tensor, n: int, generator: torch.Generator) -> Tensor:
    starts = torch.randint(len(ids) - CONTEXT, (n, 1), generator=generator)
    return ids[starts + torch.arange(CONTEXT + 1)]  # (n, CONTEXT + 1)


def train(seed: int, steps: int, layer: Any, share: float = 0.0, rate: float = 0.0) -> dict[str, Any]:
    """One run: held-out loss in nats a character, how full the fullest expert is, and what it cost."""
    text, generator = disguised_topics(seed), torch.Generator().manual_seed(seed)
    held_out = text.held_out[: len(text.held_out) // (CONTEXT + 1) * (CONTEXT + 1)].view(-1, CONTEXT + 1)[:512]
    torch.manual_seed(seed)
    model = TinyLM(text.vocab_size, D, LAYERS, HEADS, CONTEXT)
    model.blocks = nn.ModuleList(Mixed(layer()) for _ in range(LAYERS))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    curve: list[float] = []
    loads, dropped, began, spent = [], [], time.process_time(), 0.0

    def loss_of(rows: Tensor) -> Tensor:
        return functional.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())

    @torch.no_grad()
    def look() -> float:
        return statistics.fmean(float(loss_of(rows)) for rows in held_out.split(128))

    for step in range(steps):
        if step % EVERY == 0:
            paused = time.process_time()
            curve.append(round(look(), 4))
            spent += time.process_time() - paused
        optimizer.param_groups[0]["lr"] = 3e-3 * min((step + 1) / 50, 1.0, 2 * (steps - step) / steps)
        loss = loss_of(windows(text.training, BATCH, generator))
        loss = loss + share * sum(block.balance for block in model.blocks) if share else loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for block in model.blocks if rate else ():
            block.layer.bias = moe.update_bias(block.layer.bias, block.load, rate)
        if step >= steps - LATE:
            loads.append(torch.stack([block.load / block.load.sum() for block in model.blocks]))
            dropped.append(statistics.fmean(block.dropped for block in model.blocks))
    seconds = time.process_time() - began - spent
    share_of = torch.stack(loads).mean(0)  # (LAYERS, E)  of all assignments
    return {
        "loss": [*curve, round(look(), 4)],
        "load": [[round(each, 4) for each in row] for row in share_of.sort(descending=True).values.tolist()],
        "dropped": round(statistics.fmean(dropped), 4),
        "weights": sum(p.numel() for p in model.parameters()),
        "milliseconds": round(1000 * seconds / steps, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", default=[], metavar="RECIPE", help="of these only; the others' figures stay"
    )
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=500)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.names or RECIPES:
        runs = []
        for seed in range(asked.seeds):
            runs.append(train(seed, asked.steps, **RECIPES[name]))
            last = runs[-1]
            print(
                f"{name:20} seed {seed}: {last['loss'][-1]:.3f} nats, {last['weights']:,} weights, fullest "
                f"{max(row[0] * len(row) for row in last['load']):.2f} of even, {last['dropped']:.0%} dropped, "
                f"{last['milliseconds']} ms a step",
                flush=True,
            )
        kept = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {}
        kept["machine"] = {"processor": processor(), "torch": torch.__version__, "threads": 1, "steps": asked.steps}
        DATA.write_text(json.dumps({**kept, name: runs}) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
