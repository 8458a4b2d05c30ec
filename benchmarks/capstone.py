"""What mattered in the capstone's recipe: GRPO on sums, with one thing otherwise at a time, three seeds each.

    python benchmarks/capstone.py [NAME ...] [--seeds 3]        (some 45 CPU-minutes for all; NAMEs: see RECIPES)

Every recipe gets 120 rounds of 1,024 completions. Unless it says otherwise it starts from the warm start that comes
with the course, which has a third of the held-out sums right. What was measured goes to
docs/learn/figures/data/capstone.json, from which the reading of a19 draws its figures.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ppo_and_grpo import course
from ppo_cartpole import processor
from torch import Tensor

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "learn" / "figures" / "data" / "capstone.json"
ROUNDS, EVERY = 120, 10
RECIPES: dict[str, dict[str, Any]] = {
    "ours": {},
    "a13": {"rate": 3e-4, "epochs": 2, "rises": False, "falls": False},
    "half_the_rate": {"rate": 3e-4},
    "two_epochs": {"epochs": 2},
    "does_not_rise": {"rises": False},
    "does_not_fall": {"falls": False},
    "ratio_of_one": {"fresh_ratio": True},
    "all_groups_in_the_mean": {"all_groups": True},
    "start_at_5": {"enough": 0.05},
    "start_at_40": {"enough": 0.40},
    "ppo": {"algorithm": "ppo"},
}
"""What each does otherwise."""

agent = course("a19_capstone")
from common import sums  # noqa: E402  (the course's folder is on the path only now)
from common.capstone import accuracy, written_log_probs  # noqa: E402
from common.preferences import generate  # noqa: E402
from common.tiny_lm import TinyLM, pretrained  # noqa: E402


class Watched:
    """Pays, counts, and looks at the model while it is trained."""

    def __init__(self, model: TinyLM):
        self.model, self.start, self.used, self.calls = model, copy.deepcopy(model), 0, 0
        self.curves: dict[str, list[float]] = {
            name: [] for name in ("completions", "exact", "reward", "surprise", "mixed")
        }

    def __call__(self, prompts: Tensor, completions: Tensor, mask: Tensor) -> Tensor:
        """prompts (M, 6), completions (M, R), mask (M, R) -> rewards (M,)."""
        problems = torch.stack([prompts[:, 0] * 10 + prompts[:, 1], prompts[:, 3] * 10 + prompts[:, 4]], 1)
        rewards = sums.exact(problems, completions.masked_fill(~mask, sums.PAD)).float()
        if self.calls % EVERY == 0:
            groups = rewards.view(-1, 8)
            surprise = -(written_log_probs(self.start, prompts, completions) * mask).sum(1).mean().item()
            self.look(rewards.mean().item(), surprise, (groups != groups[:, :1]).any(1).float().mean().item())
        self.calls, self.used = self.calls + 1, self.used + len(prompts)
        return rewards

    def look(self, reward: float, surprise: float, mixed: float) -> None:
        """One point of each curve: what the model does now."""
        for name, value in zip(self.curves, (self.used, accuracy(self.model), reward, surprise, mixed), strict=True):
            self.curves[name].append(round(value, 4))


def problems_of(generator: torch.Generator) -> Callable[[int], Tensor]:
    """Draws prompts to train on."""
    return lambda n: sums.prompts(sums.sample_problems(n, generator))


def warmed(seed: int, enough: float) -> TinyLM:
    """A fresh model, trained on demonstrations until this share of a fresh portion is right."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = agent.build_model(len(sums.CHARACTERS))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    shares: list[float] = []
    while sum(shares[-4:]) < 4 * enough:
        tokens, mask = sums.demonstrations(sums.sample_problems(64, generator))
        logits, targets = model(tokens)[:, :-1], tokens[:, 1:]
        shares.append(((logits.argmax(-1) == targets) | ~mask).all(1).float().mean().item())
        optimizer.param_groups[0]["lr"] = 1e-3 * min(len(shares) / 50, 1.0)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits[mask], targets[mask]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


def grpo(
    model: TinyLM, problems: Callable[[int], Tensor], reward_fn: Watched, seed: int, *, rate: float = 6e-4,
    epochs: int = 4, rises: bool = True, falls: bool = True, fresh_ratio: bool = False, all_groups: bool = False,
) -> None:  # fmt: skip
    """The reference's training, with its choices as arguments."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for i in range(ROUNDS):
        first, last = (i + 1) / 10 if rises else 1.0, 2 * (1 - i / ROUNDS) if falls else 1.0
        optimizer.param_groups[0]["lr"] = rate * min(first, 1.0, last)
        asked = problems(128).repeat_interleave(8, dim=0)
        everything = torch.ones_like(asked, dtype=torch.bool)
        written, mask = generate(model, asked, everything, sums.ANSWER, sums.EOS, sums.PAD, generator=generator)
        rewards = reward_fn(asked, written, mask).view(-1, 8)
        adv = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
        differ = (rewards != rewards[:, :1]).any(1)
        kept = torch.arange(1024) if all_groups else differ.repeat_interleave(8).nonzero()[:, 0]
        adv = torch.where(differ[:, None], adv, 0.0).view(-1, 1)
        old = written_log_probs(model, asked, written)
        for _ in range(epochs):
            for rows in kept[torch.randperm(len(kept), generator=generator)].chunk(2) if len(kept) else ():
                logits = model(torch.cat([asked[rows], written[rows]], 1))[:, sums.PROMPT - 1 : -1]
                logits = logits.masked_fill(torch.arange(logits.shape[2]) == sums.PAD, -1e9)
                logp = logits.log_softmax(-1).gather(2, written[rows][..., None])[..., 0]
                ratio = (logp - (logp.detach() if fresh_ratio else old[rows])).exp()
                gain = torch.min(ratio * adv[rows], ratio.clamp(1 - 0.2, 1 + 0.28) * adv[rows])
                optimizer.zero_grad()
                (-gain[mask[rows]].mean()).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()


def train(seed: int, *, algorithm: str = "grpo", enough: float | None = None, **choices: Any) -> dict[str, Any]:
    """One run: its curves, where it ended, and the seconds it took."""
    model = pretrained("sums_warm") if enough is None else warmed(seed, enough)
    watched, problems = Watched(model), problems_of(torch.Generator().manual_seed(seed + 1000))
    began = time.process_time()
    if algorithm == "ppo":
        agent.improve_ppo(model, problems, watched, ROUNDS, seed)
    else:
        grpo(model, problems, watched, seed, **choices)
    seconds = time.process_time() - began
    watched.curves["completions"].append(watched.used)
    watched.curves["exact"].append(round(accuracy(model), 4))
    return {**watched.curves, "seconds": round(seconds, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], metavar="NAME", help="of these only; the others' figures stay")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.names or RECIPES:
        runs = []
        for seed in range(asked.seeds):
            runs.append(train(seed, **RECIPES[name]))
            print(f"{name:24} seed {seed}: {runs[-1]['exact'][-1]:.3f} exact, {runs[-1]['seconds']} s", flush=True)
        kept = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {}
        kept["machine"] = {"processor": processor(), "torch": torch.__version__, "threads": 1}
        DATA.write_text(json.dumps({**kept, name: runs}) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
