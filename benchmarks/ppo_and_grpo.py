"""PPO against GRPO, and GRPO against itself with one thing otherwise: sums of two numbers, five seeds.

    python benchmarks/ppo_and_grpo.py [NAME ...] [--seeds 5]        (some 40 CPU-minutes for all; NAMEs: see RECIPES)

Every recipe starts from the same model, which has a third of the held-out sums right, and gets 60 rounds of 768
answers. Each tenth round the model is read off greedily on the held-out sums. What was measured goes to
docs/learn/figures/data/ppo_and_grpo.json, from which the reading of a14 draws its figures, and whose directions a14
asks for.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from ppo_cartpole import processor
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "learn" / "figures" / "data" / "ppo_and_grpo.json"
ROUNDS, ANSWERS, EVERY = 60, 768, 10
RECIPES: dict[str, dict[str, Any]] = {
    "grpo": {},
    "ppo": {"algorithm": "ppo"},
    "no_std": {"scale": "none"},
    "group_of_one": {"group": 1},
    "reward_plus_one_group_mean": {"bonus": 1.0},
    "reward_plus_one_no_baseline": {"bonus": 1.0, "scale": "raw"},
    "no_baseline": {"scale": "raw"},
    "beta": {"beta": 0.01},
    "beta_tenfold": {"beta": 0.1},
}
"""What each does otherwise than the GRPO of a13."""


def course(name: str) -> ModuleType:
    """The course's own solution of an assignment."""
    folder = ROOT / "solutions" / name
    sys.path[:0] = [str(ROOT), str(ROOT / "solutions"), str(folder)]
    sys.modules.pop("asks", None)  # another assignment's, which this one's tests would get
    spec = importlib.util.spec_from_file_location(name, folder / "source.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


grpo = course("a13_grpo")
from common import sums  # noqa: E402  (the course's folder is on the path only now)
from common.preferences import generate  # noqa: E402
from common.tiny_lm import TinyLM, pretrained  # noqa: E402


class Critic(nn.Module):
    """A language model of its own that says, before each token of the answer, how much will be earned: (M, R)."""

    def __init__(self, policy: TinyLM):
        super().__init__()
        self.lm = copy.deepcopy(policy)
        self.score = nn.Linear(policy.config["d_model"], 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, tokens: Tensor, real: Tensor, width: int) -> Tensor:
        return self.score(self.lm.hidden(tokens, real))[:, width - 1 : -1, 0]  # (M, R)


def log_probs(model: TinyLM, tokens: Tensor, real: Tensor, mask: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Of what was written (M, R), and of everything that could have been (M, R, V); padding cannot."""
    logits = model(tokens, real)[:, width - 1 : -1]  # (M, R, V)
    logits = logits.masked_fill(torch.arange(logits.shape[2]) == sums.PAD, -torch.inf)
    everything = logits.log_softmax(-1)  # (M, R, V)
    written = tokens[:, width:].masked_fill(~mask, sums.EOS)  # (M, R)
    return everything.gather(2, written[..., None])[..., 0], everything


def gae(rewards: Tensor, values: Tensor, mask: Tensor, lam: float = 0.95) -> Tensor:
    """Advantages (M, R) of a reward that comes with the last token, gamma 1."""
    later = torch.zeros(len(values))
    last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)  # (M, R)
    advantages = torch.zeros_like(values)
    for t in reversed(range(values.shape[1])):
        follows = values[:, t + 1] * mask[:, t + 1] if t + 1 < values.shape[1] else torch.zeros(len(values))
        delta = rewards * last[:, t] + follows - values[:, t]
        later = (delta + lam * later) * mask[:, t]
        advantages[:, t] = later
    return advantages


def score(model: TinyLM) -> float:
    """The share of held-out sums that are exact, read off greedily."""
    _, held_out = sums.split()
    asked = sums.prompts(held_out)
    written, _ = generate(model, asked, torch.ones_like(asked, dtype=torch.bool), 8, sums.EOS, sums.PAD, temperature=0)
    return sums.exact(held_out, written).float().mean().item()


@torch.no_grad()
def distance(model: TinyLM, start: TinyLM) -> float:
    """KL from the start in nats: exact for each token, summed over sampled answers to 512 held-out prompts."""
    _, held_out = sums.split()
    asked = sums.prompts(held_out[:512])
    everything = torch.ones_like(asked, dtype=torch.bool)
    drawn = grpo.rollout(model, asked, everything, 1, 8, sums.EOS, sums.PAD, generator=torch.Generator().manual_seed(5))
    tokens, mask = drawn["tokens"], drawn["mask"]
    real = torch.cat([everything, mask], 1)
    p, q = (log_probs(each, tokens, real, mask, asked.shape[1])[1] for each in (model, start))
    p, q = p.masked_fill(p == -torch.inf, -1e9), q.masked_fill(q == -torch.inf, -1e9)
    return ((p.exp() * (p - q)).sum(-1) * mask).sum(1).mean().item()


def train(
    seed: int, *, algorithm: str = "grpo", group: int = 8, scale: str = "group", bonus: float = 0.0, beta: float = 0.0
) -> dict[str, Any]:
    """One run: tokens and scores every tenth round, the final distance from the start, and the seconds it took."""
    torch.manual_seed(seed)
    began = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    training, _ = sums.split()
    prompts = sums.prompts(training)
    policy, start = pretrained("sums_warm"), pretrained("sums_warm")
    width, group = prompts.shape[1], 1 if algorithm == "ppo" else group
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-4)
    critic = Critic(policy) if algorithm == "ppo" else None
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3) if critic else None
    used, found = 0, {"tokens": [0], "scores": [round(score(policy), 4)]}
    for number in range(1, ROUNDS + 1):
        chosen = torch.randint(len(prompts), (ANSWERS // group,), generator=generator)
        asked = prompts[chosen]
        everything = torch.ones_like(asked, dtype=torch.bool)
        drawn = grpo.rollout(policy, asked, everything, group, 8, sums.EOS, sums.PAD, generator=generator)
        tokens, mask, old = drawn["tokens"], drawn["mask"], drawn["logp"]
        used += int(mask.sum())
        real = torch.cat([everything.repeat_interleave(group, 0), mask], 1)
        problems, written = training[chosen].repeat_interleave(group, 0), tokens[:, width:].masked_fill(~mask, sums.PAD)
        rewards = sums.exact(problems, written).float() + bonus
        with torch.no_grad():
            ref = log_probs(start, tokens, real, mask, width)[0] if beta else None
            values = critic(tokens, real, width) * mask if critic else None
        if critic:
            advantages = gae(rewards, values, mask)
            returns = advantages + values
            spread = advantages[mask]
            advantages = (advantages - spread.mean()) / (spread.std() + 1e-8) * mask
        else:
            flat = rewards if scale == "raw" else grpo.group_advantages(rewards, group, scale=scale)
            advantages = flat[:, None] * mask
        rows_with_a_lesson = (advantages.abs().sum(1) != 0).nonzero()[:, 0] if not beta else torch.arange(len(tokens))
        for _ in range(2):
            order = rows_with_a_lesson[torch.randperm(len(rows_with_a_lesson), generator=generator)]
            for rows in (half for half in order.chunk(2) if len(half)):
                m = mask[rows]
                logp = log_probs(policy, tokens[rows], real[rows], m, width)[0].masked_fill(~m, 0)
                ratio = (logp - old[rows].masked_fill(~m, 0)).exp()
                advantage = advantages[rows]
                loss = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.28) * advantage)
                if beta:
                    loss = loss + beta * grpo.k3_kl(logp, ref[rows].masked_fill(~m, 0))
                optimizer.zero_grad()
                ((loss * m).sum() / m.sum()).backward()
                nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                optimizer.step()
                if critic:
                    error = (critic(tokens[rows], real[rows], width) - returns[rows]).square()
                    critic_optimizer.zero_grad()
                    ((error * m).sum() / m.sum()).backward()
                    nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
                    critic_optimizer.step()
        if number % EVERY == 0:
            found["tokens"].append(used)
            found["scores"].append(round(score(policy), 4))
    return {**found, "kl": round(distance(policy, start), 4), "seconds": round(time.process_time() - began, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], metavar="NAME", help="of these only; the others' figures stay")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    kept = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {}
    kept["machine"] = {"processor": processor(), "torch": torch.__version__, "threads": 1}
    for name in asked.names or RECIPES:
        kept[name] = []
        for seed in range(asked.seeds):
            run = train(seed, **RECIPES[name])
            kept[name].append(run)
            end = f"{run['scores'][-1]:.3f} exact, KL {run['kl']:.2f}, {run['seconds']} s"
            print(f"{name:28} seed {seed}: {end}", flush=True)
        DATA.write_text(json.dumps(kept) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
