"""What a careless verifier teaches: python benchmarks/grpo_hacking.py [--rounds 100] [--seed 0] [--json FILE]

A small language model that is right about a third of all two-digit sums is first taught to think again: by example, it
writes one, two or three of its own guesses, "37+58=094=095.", and learns nothing about sums from it. Then it is
trained twice with the parts of a13's reference, from the same weights. One reward is `verify`, which reads the final
answer, for texts that end. The other one looks for the right number anywhere in the text. An answer may have sixteen
tokens, which is room for four guesses. Every tenth round both verifiers judge 1,024 fresh answers to sums that were
held out. One thread; a few CPU-minutes.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ppo_cartpole import ROOT, processor
from torch import Tensor

sys.path.append(str(ROOT / "solutions"))  # for `common`

LONGEST, PROMPTS, GROUP, LOOK = 16, 64, 8, 10
POOL, STEPS = 6_000, 80


def main() -> None:
    """Trains with both verifiers, prints what they pay and what is true, and writes it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start = thinks_again(asked.seed)
    runs = {
        name: train(copy.deepcopy(start), reward, asked.rounds, asked.seed, name) for name, reward in rewards().items()
    }
    if asked.json:
        found = {
            "machine": {"processor": processor(), "torch": torch.__version__},
            "rounds": asked.rounds,
            "seed": asked.seed,
            "runs": runs,
        }
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


@functools.cache
def grpo() -> Any:
    """a13's reference, executed."""
    from autograder.testing.modules import Author

    return Author(ROOT / "solutions" / "a13_grpo").reference()


def rewards() -> dict[str, Callable[[str, int], float]]:
    """The two verifiers."""
    return {"careless": lambda text, answer: float(str(answer) in text), "strict": strict()}


def strict() -> Callable[[str, int], float]:
    """a13's `verify`, for answers that end."""
    verify = grpo().verify
    return lambda text, answer: verify(text, answer) if text.endswith(".") else 0.0


def thinks_again(seed: int) -> Any:
    """sums_warm after a few steps on its own guesses, one to three of them to a problem, joined by "="."""
    from common import sums
    from common.tiny_lm import pretrained

    model, generator = pretrained("sums_warm"), torch.Generator().manual_seed(seed)
    asked = sums.prompts(sums.sample_problems(POOL, generator))
    everything = torch.ones_like(asked, dtype=torch.bool)
    drawn = grpo().rollout(model, asked, everything, 3, sums.ANSWER, sums.EOS, sums.PAD, generator=generator)
    guesses = [text.rstrip(".") for text in texts(drawn)]
    lines = []
    for i, question in enumerate(asked):
        own = guesses[3 * i : 3 * i + 1 + i % 3]
        ids = question.tolist() + sums.encode("=".join(own) + ".")
        lines.append(ids + [sums.PAD] * (sums.PROMPT + LONGEST - len(ids)))
    tokens = torch.tensor(lines)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    for _ in range(STEPS):
        rows = tokens[torch.randint(POOL, (256,), generator=generator)]
        logp = model(rows, rows != sums.PAD)[:, sums.PROMPT - 1 : -1].log_softmax(-1)
        written = rows[:, sums.PROMPT :]
        picked = logp.gather(2, written[..., None])[..., 0]
        loss = -picked[written != sums.PAD].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def train(policy: Any, reward: Callable[[str, int], float], rounds: int, seed: int, name: str) -> list[dict[str, Any]]:
    """GRPO with this reward; a row for each look at the model."""
    from common import sums

    reference = grpo()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-4)
    rows, began = [], time.process_time()
    for number in range(rounds + 1):
        if number % LOOK == 0:
            rows.append({"round": number, **look(policy, seed + number)})
            row = rows[-1]
            print(
                f"{name:9} {number:4}  paid by careless {row['careless']:.2f}, by strict {row['strict']:.2f}"
                f"  tokens {row['tokens']:.1f}  {time.process_time() - began:4.0f} s  {row['samples'][:3]}",
                flush=True,
            )
        if number == rounds:
            break
        problems = sums.sample_problems(PROMPTS, generator)
        drawn, real = answered(reference, policy, problems, GROUP, generator)
        adv = reference.group_advantages(judged(reward, problems, drawn, GROUP), GROUP)
        for _ in range(2):
            logp = fresh(policy, drawn["tokens"], real, drawn["mask"])
            loss = reference.grpo_loss(
                logp, drawn["logp"], None, adv, drawn["mask"], eps_high=0.28, aggregate="constant", max_length=4
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimizer.step()
    return rows


def answered(
    reference: Any, policy: Any, problems: Tensor, group: int, generator: torch.Generator
) -> tuple[dict[str, Tensor], Tensor]:
    """Several answers to each problem, and which tokens of prompt and answer are real."""
    from common import sums

    asked = sums.prompts(problems)
    everything = torch.ones_like(asked, dtype=torch.bool)
    drawn = reference.rollout(policy, asked, everything, group, LONGEST, sums.EOS, sums.PAD, generator=generator)
    return drawn, torch.cat([everything.repeat_interleave(group, 0), drawn["mask"]], 1)


def texts(drawn: dict[str, Tensor]) -> list[str]:
    """The answers, as texts."""
    from common import sums

    return [sums.decode(row) for row in drawn["tokens"][:, sums.PROMPT :]]


def judged(reward: Callable[[str, int], float], problems: Tensor, drawn: dict[str, Tensor], group: int) -> Tensor:
    """What each answer earns."""
    right = [a + b for a, b in problems.tolist() for _ in range(group)]
    return torch.tensor([reward(text, answer) for text, answer in zip(texts(drawn), right, strict=True)])


def fresh(policy: Any, tokens: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """The log-probabilities of the answers under the policy as it is now."""
    from common import sums

    logits = policy(tokens, real)[:, sums.PROMPT - 1 : -1]
    logits = logits.masked_fill(torch.arange(logits.shape[2]) == sums.PAD, -torch.inf)
    written = tokens[:, sums.PROMPT :].masked_fill(~mask, sums.EOS)
    picked: Tensor = logits.log_softmax(-1).gather(2, written[..., None])[..., 0]
    return picked


def look(policy: Any, seed: int) -> dict[str, Any]:
    """What both verifiers say of 1,024 answers to sums that were held out, how long they are, and a few of them."""
    from common import sums

    generator = torch.Generator().manual_seed(1_000_000 + seed)
    problems = sums.sample_problems(1024, generator, held_out=True)
    drawn, _ = answered(grpo(), policy, problems, 1, generator)
    found: dict[str, Any] = {
        name: round(judged(reward, problems, drawn, 1).mean().item(), 4) for name, reward in rewards().items()
    }
    asked = [f"{a:02d}+{b:02d}=" for a, b in problems[:6].tolist()]
    samples = [question + text for question, text in zip(asked, texts(drawn), strict=False)]
    return {**found, "tokens": round(drawn["mask"].sum(1).float().mean().item(), 2), "samples": samples}


if __name__ == "__main__":
    main()
