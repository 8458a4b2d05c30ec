"""Which famous mistakes of PPO does CartPole notice, and which do the six probes?

    python benchmarks/ppo_mistakes.py [--seeds 3] [--only NAME ...] [--json FILE]

Each mistake takes the place of one function in the reference of a08. It is trained on CartPole-v1 with the handout's
budget and settings, and 20 greedy episodes are played; then it is trained in each of the handout's six small worlds,
where the right answer is known. Prints what came of it. One thread; about a minute a mistake.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import torch
from ppo_cartpole import BUDGETS, ROOT, SOLVED, machine, mean_return, reference
from torch import Tensor

PROBE_STEPS, CLOCK_STEPS = 8192, 16_384  # those of the grader
VALUE_WITHIN, GOOD_ACTION_FROM = 0.05, 0.95

# ------------------------------------------------------------------------------------------------------------ mistakes
# Each takes the reference module and puts something wrong into it.

MISTAKES: dict[str, tuple[str, Callable[[Any], None]]] = {}


def mistake(sentence: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Registers a mistake under its function's name."""

    def register(spoil: Callable[[Any], None]) -> Callable[[Any], None]:
        MISTAKES[spoil.__name__] = (sentence, spoil)
        return spoil

    return register


@mistake("nothing wrong")
def none(ppo: Any) -> None:
    """The reference as it is."""


@mistake("surrogate's sign turned")
def ascends(ppo: Any) -> None:
    right = ppo.clipped_surrogate
    ppo.clipped_surrogate = lambda *given: -right(*given)


@mistake("maximum for minimum")
def max_for_min(ppo: Any) -> None:
    def surrogate(logp: Tensor, old_logp: Tensor, adv: Tensor, eps: float) -> Tensor:
        ratio = (logp - old_logp).exp()
        return -torch.maximum(ratio * adv, ratio.clamp(1 - eps, 1 + eps) * adv).mean()

    ppo.clipped_surrogate = surrogate


@mistake("ratio upside down")
def ratio_upside_down(ppo: Any) -> None:
    def surrogate(logp: Tensor, old_logp: Tensor, adv: Tensor, eps: float) -> Tensor:
        ratio = (old_logp - logp).exp()
        return -torch.minimum(ratio * adv, ratio.clamp(1 - eps, 1 + eps) * adv).mean()

    ppo.clipped_surrogate = surrogate


@mistake("old policy computed anew, without gradient")
def recomputes_old_logp(ppo: Any) -> None:
    right = ppo.clipped_surrogate
    ppo.clipped_surrogate = lambda logp, old_logp, adv, eps: right(logp, logp.detach(), adv, eps)


@mistake("old policy computed anew, with gradient")
def old_logp_with_grad(ppo: Any) -> None:
    right = ppo.clipped_surrogate
    ppo.clipped_surrogate = lambda logp, old_logp, adv, eps: (
        right(logp.detach(), logp.detach(), adv, eps) + 0 * logp.sum()
    )


@mistake("value after the end counts")
def bootstraps_over_termination(ppo: Any) -> None:
    change_endings(ppo, lambda terminated, truncated: (terminated & False, terminated | truncated))


@mistake("every value meets every target")
def value_broadcast(ppo: Any) -> None:
    right = ppo.PPOAgent.loss

    def loss(agent: Any, batch: dict[str, Tensor], *rest: Any, **more: Any) -> Any:
        # the mean of (v - R)^2 over all pairs has the gradient of (v - mean R)^2
        return right(agent, batch | {"targets": batch["targets"].mean().expand_as(batch["targets"])}, *rest, **more)

    ppo.PPOAgent.loss = loss


@mistake("no clip")
def no_clip(ppo: Any) -> None:
    ppo.clipped_surrogate = lambda logp, old_logp, adv, eps: -((logp - old_logp).exp() * adv).mean()


@mistake("clip without the minimum")
def clip_without_min(ppo: Any) -> None:
    def surrogate(logp: Tensor, old_logp: Tensor, adv: Tensor, eps: float) -> Tensor:
        return -((logp - old_logp).exp().clamp(1 - eps, 1 + eps) * adv).mean()

    ppo.clipped_surrogate = surrogate


@mistake("entropy punished, coefficient 0.01")
def entropy_added(ppo: Any) -> None:
    ppo.PPOAgent.loss = with_options(ppo.PPOAgent.loss, ent_coef=-0.01)


@mistake("advantages not normalised")
def adv_not_normalised(ppo: Any) -> None:
    ppo.PPOAgent.loss = with_options(ppo.PPOAgent.loss, normalize=False)


@mistake("advantage leaks over a time limit")
def trace_leaks_over_truncation(ppo: Any) -> None:
    change_endings(ppo, lambda terminated, truncated: (terminated, truncated & False))


@mistake("time limit taken for an end")
def truncation_is_termination(ppo: Any) -> None:
    change_endings(ppo, lambda terminated, truncated: (terminated | truncated, truncated))


@mistake("last observation lost at an ending")
def final_obs_lost(ppo: Any) -> None:
    ppo.true_next_obs = lambda next_obs, infos: next_obs.copy()


def change_endings(ppo: Any, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
    """The advantages are told of other endings than happened."""
    right = ppo.gae

    def gae(rewards: Tensor, values: Tensor, next_values: Tensor, *endings_gamma_lam: Any) -> Tensor:
        terminated, truncated, gamma, lam = endings_gamma_lam
        return right(rewards, values, next_values, *change(terminated, truncated), gamma, lam)

    ppo.gae = gae


def with_options(loss: Any, **options: Any) -> Any:
    """The agent's loss with some of its options fixed."""
    return lambda agent, batch, clip=0.2, **given: loss(agent, batch, clip, **(given | options))


# -------------------------------------------------------------------------------------------------------------- probes


GAMMA = 0.5
# name: {observation: its value with that discount}, {observation: the action that pays}
PROBES: dict[str, tuple[dict[float, float], dict[float, int]]] = {
    "constant": ({0.0: 1.0}, {}),
    "echo": ({-1.0: -1.0, 1.0: 1.0}, {}),
    "delay": ({0.0: 0.5, 1.0: 1.0}, {}),
    "choice": ({0.0: 1.0}, {0.0: 1}),
    "match": ({-1.0: 1.0, 1.0: 1.0}, {-1.0: 0, 1.0: 1}),
    "clock": ({0.0: 1.0, 1.0: 2.0}, {}),
}


def world(name: str) -> Any:
    """The environment's class, from the package that ships with the assignment."""
    from autograder.testing.modules import use_packages

    use_packages([ROOT / "solutions" / "common"])
    import common

    return getattr(common, name.capitalize())


def probe(ppo: Any, name: str, seed: int = 0) -> dict[str, Any]:
    """Trains in one world: the values and probabilities found there, and whether they are right."""
    truth, good = PROBES[name]
    agent = ppo.train_ppo(world(name), CLOCK_STEPS if name == "clock" else PROBE_STEPS, seed, GAMMA)
    places = torch.tensor(list(truth))[:, None]  # (S, 1)
    with torch.no_grad():
        values = agent.value(places).tolist()
        chances = agent.log_probs(places).exp().tolist()
    p_good = [chances[i][good[place]] for i, place in enumerate(truth) if good]
    right = all(abs(v - w) <= VALUE_WITHIN for v, w in zip(values, truth.values(), strict=True))
    passed = right and all(p >= GOOD_ACTION_FROM for p in p_good)
    return {"values": [round(v, 3) for v in values], "p_good": [round(p, 3) for p in p_good], "passed": passed}


# -------------------------------------------------------------------------------------------------------------- running


def spoiled(name: str) -> ModuleType:
    """A fresh reference module with the mistake in it."""
    ppo: ModuleType = reference.__wrapped__()
    MISTAKES[name][1](ppo)
    return ppo


def cartpole(ppo: Any, seed: int, steps: int = BUDGETS["ours"]) -> float:
    """Mean return of 20 greedy episodes after the whole budget."""
    agent = ppo.train_ppo(partial(gymnasium.make, "CartPole-v1"), steps, seed)
    with torch.no_grad():
        return mean_return(lambda obs: agent.act(torch.as_tensor(obs)).numpy())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="trainings on CartPole of each")
    parser.add_argument("--only", nargs="+", choices=list(MISTAKES), default=list(MISTAKES), metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':46}CartPole, {options.seeds} seeds      noticed by")
    results = []
    for name in options.only:
        ppo, began = spoiled(name), time.process_time()
        probes = {title: probe(ppo, title) for title in PROBES}
        returns = [round(cartpole(ppo, seed), 1) for seed in range(options.seeds)]
        noticed = [title for title, found in probes.items() if not found["passed"]]
        noticed += ["CartPole"] * (sorted(returns)[len(returns) // 2] < SOLVED)
        results.append({"mistake": name, "sentence": MISTAKES[name][0], "returns": returns, "probes": probes})
        line = f"{MISTAKES[name][0]:44}" + "".join(f"{value:7.0f}" for value in returns)
        print(f"{line}    {', '.join(noticed) or 'nobody'}   ({time.process_time() - began:.0f} s)", flush=True)
    if options.json:
        about = {"command": "python benchmarks/ppo_mistakes.py " + " ".join(sys.argv[1:]), "machine": machine()}
        body = ",\n  ".join(json.dumps(result) for result in results)
        head = json.dumps(about, indent=1)[:-2]
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(f'{head},\n "results": [\n  {body}\n ]\n}}\n', encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
