"""What it costs to balance the pole: our PPO and Stable-Baselines3's, in turn, one thread each, in one process.

    pip install -c constraints.txt -e .[bench]
    python benchmarks/ppo_cartpole.py [--seeds 10] [--whole] [--json FILE]

Ours is the reference of a08 with the settings of its handout. Theirs has the settings that rl-baselines3-zoo tuned for
CartPole-v1. Counted are processor seconds and environment steps until 20 greedy episodes average at least 475. This
file plays those episodes itself, after every 1,024 steps, from the same 20 starts for both, and takes their time off.
It counts the steps itself too, inside the environment. One good evaluation can be luck, so both train on until three in
a row are good, and a second pair of lines says what it cost to come to the first of those three.
Exits 1 if ours spends more processor time than theirs until its first good evaluation, all seeds together.

--whole lets ours train to the end of its budget, for the learning curve of the reading page; what is counted stays the
same. --json writes every evaluation of every run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the engine and the course beside this file, not those that may be installed

SOLVED = 475.0  # gymnasium's own threshold for CartPole-v1
EPISODES, EVERY, IN_A_ROW = 20, 1024, 3
FIRST_START = 10_000  # seed of the first of the 20 starts: far from the seeds of training
BUDGETS = {"ours": 65_536, "sb3": 100_000}  # the handout's; the zoo's
NAMES = {"ours": "ours", "sb3": "Stable-Baselines3"}
LIMIT = 1.0

Act = Callable[[np.ndarray], np.ndarray]
"""Observations (N, 4) -> greedy actions (N,)."""


class Point(NamedTuple):
    """One evaluation: how much was spent before it, and what 20 greedy episodes returned on average."""

    env_steps: int
    cpu_seconds: float
    mean_return: float


@dataclass
class Run:
    """One training, as the referee saw it."""

    who: str
    seed: int
    curve: list[Point] = field(default_factory=list)

    def reached(self, in_a_row: int = 1) -> Point | None:
        """The first evaluation at or above the threshold that begins a row of so many; None if there is none."""
        good = [point.mean_return >= SOLVED for point in self.curve]
        starts = range(len(good) - in_a_row + 1)
        return next((self.curve[i] for i in starts if all(good[i : i + in_a_row])), None)

    def counted(self, in_a_row: int = 1) -> Point:
        """What the run is charged: until it was good or, where it never was, all of it."""
        return self.reached(in_a_row) or self.curve[-1]


class Solved(Exception):
    """Raised inside of a training call: nothing more is wanted of it."""


class Referee:
    """Counts steps and processor time of one training, evaluates at fixed counts, and keeps that off the clock."""

    def __init__(self, run: Run, whole: bool = False, every: int = EVERY) -> None:
        self.run, self.whole, self.every = run, whole, every
        self.env_steps = 0
        self._next = every
        self._outside = 0.0
        self._started = time.process_time()

    def env_fn(self) -> gymnasium.Env:
        return Counted(gymnasium.make("CartPole-v1"), self)

    def after_update(self, act: Act) -> None:
        """To be called after each update of the policy; plays the episodes if it is time to."""
        now = time.process_time()
        if self.env_steps < self._next:
            return
        self._next = self.env_steps - self.env_steps % self.every + self.every
        point = Point(self.env_steps, now - self._started - self._outside, mean_return(act))
        self.run.curve.append(point)
        self._outside += time.process_time() - now
        if self.run.reached(IN_A_ROW) and not self.whole:
            raise Solved


class Counted(gymnasium.Wrapper):
    """An environment that tells the referee of each step."""

    def __init__(self, env: gymnasium.Env, referee: Referee) -> None:
        super().__init__(env)
        self.referee = referee

    def step(self, action: Any) -> Any:
        self.referee.env_steps += 1
        return self.env.step(action)


def mean_return(act: Act, episodes: int = EPISODES) -> float:
    """Mean return of one episode from each start, played without chance."""
    envs = SyncVectorEnv([partial(gymnasium.make, "CartPole-v1")] * episodes, autoreset_mode=AutoresetMode.SAME_STEP)
    obs, _ = envs.reset(seed=FIRST_START)
    returns, running = np.zeros(episodes), np.ones(episodes, dtype=bool)
    while running.any():
        obs, rewards, terminated, truncated, _ = envs.step(act(obs))
        returns += rewards * running  # an environment that has ended plays a second episode, which does not count
        running &= ~(terminated | truncated)
    envs.close()
    return float(returns.mean())


# ------------------------------------------------------------------------------------------------------ the two of them


@cache
def reference() -> Any:
    """a08's reference module, which takes its advantages from that of a07."""
    from autograder.testing.modules import Author, earlier_authors

    return Author(ROOT / "solutions" / "a08_ppo", earlier=earlier_authors(ROOT, ["a07_gae.gae"])).reference()


def train_ours(referee: Referee, seed: int, budget: int) -> None:
    """The reference, with nothing of its settings changed."""

    def look(agent: Any) -> None:
        with torch.no_grad():
            referee.after_update(lambda obs: agent.act(torch.as_tensor(obs)).numpy())

    reference().train_ppo(referee.env_fn, budget, seed, on_update=look)


def train_sb3(referee: Referee, seed: int, budget: int) -> None:
    """Stable-Baselines3 with the zoo's settings for CartPole-v1 (hyperparams/ppo.yml); without a Monitor or a log."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import Logger
    from stable_baselines3.common.vec_env import DummyVecEnv

    class Look(BaseCallback):
        def _on_rollout_start(self) -> None:  # comes after the update on the rollout before
            referee.after_update(lambda obs: self.model.predict(obs, deterministic=True)[0])

        def _on_training_end(self) -> None:
            self._on_rollout_start()

        def _on_step(self) -> bool:
            return True

    model = PPO(
        "MlpPolicy",
        DummyVecEnv([referee.env_fn] * 8),
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=lambda left: left * 1e-3,  # `left` falls from 1 to 0 over the budget
        clip_range=lambda left: left * 0.2,
        seed=seed,
        device="cpu",
    )
    model.set_logger(Logger(folder=None, output_formats=[]))  # the usual one leaves a folder in /tmp
    model.learn(budget, callback=Look(), log_interval=None)


TRAINERS = {"ours": train_ours, "sb3": train_sb3}


def measure(who: str, seed: int, budget: int, whole: bool = False, every: int = EVERY) -> Run:
    """One training under the referee's eyes."""
    run = Run(who, seed)
    referee = Referee(run, whole, every)
    with contextlib.suppress(Solved):
        TRAINERS[who](referee, seed, budget)
    return run


# -------------------------------------------------------------------------------------------------------------- report


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    packages = ("torch", "gymnasium", "numpy", "stable-baselines3")
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def processor() -> str:
    """The processor's own name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def ratio_of_seconds(runs: list[Run], in_a_row: int = 1) -> float:
    """Our processor seconds to the threshold over theirs, all seeds together."""
    spent = {who: sum(run.counted(in_a_row).cpu_seconds for run in runs if run.who == who) for who in TRAINERS}
    return spent["ours"] / spent["sb3"]


def table(runs: list[Run]) -> str:
    """A line for each seed, then mean and median, of reaching the threshold and of staying there."""
    columns = [[run for run in runs if run.who == who] for who in TRAINERS]
    lines = [
        " " * 20 + "".join(f"{NAMES[who]:>26}" for who in TRAINERS),
        f"{'':20}" + f"{'env steps':>13}{'CPU-seconds':>13}" * 2 + f"{'ratio':>8}",
    ]
    for pair in zip(*columns, strict=True):
        lines.append(row(f"seed {pair[0].seed}", [run.counted()[:2] for run in pair]) + late(pair))
    for label, in_a_row in (("first", 1), (f"{IN_A_ROW} in a row", IN_A_ROW)):
        for name, middle in (("mean", statistics.mean), ("median", statistics.median)):
            points = [[run.counted(in_a_row) for run in column] for column in columns]
            cells = [(middle(p.env_steps for p in some), middle(p.cpu_seconds for p in some)) for some in points]
            lines.append(row(f"{label}: {name}", cells))
    lines.append(row("ms per step", [(float("nan"), 1000 * seconds_per_step(column)) for column in columns], digits=3))
    return "\n".join(lines)


def seconds_per_step(runs: list[Run]) -> float:
    """Processor seconds of one environment step with its share of the learning."""
    ends = [run.curve[-1] for run in runs]
    return sum(end.cpu_seconds for end in ends) / sum(end.env_steps for end in ends)


def row(name: str, cells: list[tuple[float, float]], digits: int = 2) -> str:
    spent = "".join(f"{steps:13,.0f}{seconds:13.{digits}f}" for steps, seconds in cells).replace("nan", "   ")
    return f"{name:20}{spent}{cells[0][1] / cells[1][1]:8.2f}"


def late(pair: tuple[Run, ...]) -> str:
    """Says which run never reached the threshold: its numbers are then the whole budget's."""
    names = [NAMES[run.who] for run in pair if not run.reached()]
    return f"   not reached: {' and '.join(names)}" if names else ""


def save(path: Path, runs: list[Run]) -> None:
    """Everything that was measured, one run a line."""
    about = {
        "command": "python benchmarks/ppo_cartpole.py " + " ".join(sys.argv[1:]),
        "machine": machine(),
        "environment": "CartPole-v1",
        "budgets": BUDGETS,
        "episodes": EPISODES,
        "every": EVERY,
        "solved": SOLVED,
    }
    each = [
        {
            "who": run.who,
            "seed": run.seed,
            "curve": [(p.env_steps, round(p.cpu_seconds, 3), round(p.mean_return, 2)) for p in run.curve],
        }
        for run in runs
    ]
    head = json.dumps(about, indent=1)[:-2]
    body = ",\n  ".join(json.dumps(item) for item in each)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f'{head},\n "columns of a curve": {json.dumps(Point._fields)},\n "runs": [\n  {body}\n ]\n}}\n'
    path.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="how many trainings of each")
    parser.add_argument("--whole", action="store_true", help="ours trains on to the end of its budget")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(
        f"until {EPISODES} greedy episodes average {SOLVED:g}, looked at every {EVERY:,} environment steps\n",
        flush=True,
    )
    for who in TRAINERS:  # what is imported at the first step of an optimiser is nobody's training
        measure(who, seed=0, budget=EVERY)
    runs = []
    for seed in range(options.seeds):
        for who in TRAINERS:
            runs.append(measure(who, seed, BUDGETS[who], whole=options.whole and who == "ours"))
            point = runs[-1].counted()
            print(f"  seed {seed}, {NAMES[who]}: {point.cpu_seconds:.1f} s, {point.env_steps:,} steps", flush=True)
    print("\n" + table(runs))
    ratio = ratio_of_seconds(runs)
    print(f"\nratio of all seconds to the first: {ratio:.2f}  (limit {LIMIT:g})")
    if options.json:
        save(options.json, runs)
    return 0 if ratio <= LIMIT and all(run.reached() for run in runs if run.who == "ours") else 1


if __name__ == "__main__":
    sys.exit(main())
