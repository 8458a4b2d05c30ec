"""Environments that the grader holds: counted, disguised where that matters, and measured by the grader itself.

Student code gets them through autograder.testing.remote. A step beyond the budget is refused. A disguise permutes,
signs and scales the observations and renames the actions, anew for each seed: a policy that was written by hand or
trained elsewhere is of no use, and one that learns from what it sees does not notice.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from autograder.errors import SourceError
from autograder.testing.graded import GradedRun
from autograder.testing.remote import ANSWER
from autograder.testing.student import Counted, WrongAnswer

MOST_ENVIRONMENTS = 256
MOST_RESETS = 1_000_000
CURVE_POINTS = 16
CURVE_EPISODES = 4
LONGEST_EPISODE = 10_000
_TELL_EVERY = 256

Act = Callable[[np.ndarray], Any]
"""Observations (N, dims) float32 -> N actions."""


@dataclass(frozen=True)
class Disguise:
    """How a world shows itself: obs[i] = scale[i] * true[order[i]], and action a means true action actions[a]."""

    order: np.ndarray
    scale: np.ndarray
    actions: np.ndarray

    @classmethod
    def none(cls, dims: int, actions: int) -> Disguise:
        return cls(np.arange(dims), np.ones(dims, np.float32), np.arange(actions))

    @classmethod
    def drawn(cls, dims: int, actions: int, seed: int) -> Disguise:
        """Signs at random, scales between a half and two; the order of the observations is never the usual one."""
        draw = np.random.default_rng([seed, 0x5EED])
        order = draw.permutation(dims)
        while dims > 1 and (order == np.arange(dims)).all():
            order = draw.permutation(dims)
        scale = draw.choice([-1.0, 1.0], dims) * np.exp2(draw.uniform(-1, 1, dims))
        return cls(order, scale.astype(np.float32), draw.permutation(actions))

    def shows(self, observation: np.ndarray) -> np.ndarray:
        flat = np.asarray(observation, dtype=np.float32).reshape(-1)
        shown: np.ndarray = flat[self.order] * self.scale
        return shown


class World:
    """One graded run's environments.

    make: a fresh gymnasium.Env with Box or Discrete observations and Discrete actions. budget: steps that may be taken,
    over all environments together. disguised: whether this run's seed draws a disguise (of Box observations only:
    states are numbers that mean nothing already).
    """

    def __init__(
        self, run: GradedRun, make: Callable[[], gymnasium.Env[Any, Any]], *, budget: int, disguised: bool = False
    ) -> None:
        self.budget = budget
        self.used = 0
        self._run = run
        self._make = make
        with contextlib.closing(make()) as env:
            self.dims, self.states, self.actions = _sizes(env)
        self._disguise = Disguise.none(self.dims, self.actions)
        if disguised and not self.states:
            self._disguise = Disguise.drawn(self.dims, self.actions, run.seed)
        self._envs: dict[int, gymnasium.Env[Any, Any]] = {}
        self._running: set[int] = set()
        self._evaluation: Iterator[Any] | None = None
        self._due = 0.0

    def served(self, curve: bool = True) -> dict[str, Any]:
        """What to pass to an ask: autograder.testing.remote makes `env_fn` and `on_update` of it."""
        if curve:
            self._run.draws(f"mean return of {CURVE_EPISODES} greedy episodes", "environment steps")
        else:
            self._due = float("inf")
        return {
            "dims": self.dims,
            "states": self.states,
            "actions": self.actions,
            "reset": Counted(self._reset, MOST_RESETS, "resets"),
            "step": Counted(self._step, self.budget, "environment steps"),
            "update": Counted(self._update, MOST_RESETS, "updates"),
        }

    def returns(self, act: Act, episodes: int = 20) -> np.ndarray:
        """(episodes,) undiscounted returns of fresh episodes, the same disguise, started by the grader's own seeds."""
        playing = self._play(episodes, self._run.seed + 1_000_003)
        actions: Any = None
        while True:
            try:
                observations = playing.send(actions)
            except StopIteration as end:
                result: np.ndarray = end.value
                return result
            actions = act(observations)

    # ------------------------------------------------------------------------------------------ what student code asks

    def _reset(self, number: int, seed: int | None) -> bytes:
        if number not in self._envs:
            if not isinstance(number, int) or len(self._envs) >= MOST_ENVIRONMENTS:
                raise ValueError(f"more than {MOST_ENVIRONMENTS} environments")
            self._envs[number] = self._make()
            seed = number if seed is None else seed
        own = (
            None if seed is None else int(np.random.SeedSequence([self._run.seed, abs(int(seed))]).generate_state(1)[0])
        )
        observation, _ = self._envs[number].reset(seed=own)
        self._running.add(number)
        return self._disguise.shows(observation).tobytes()

    def _step(self, number: int, action: int) -> bytes:
        if number not in self._running:
            raise ValueError("this episode has ended, or has not begun: reset the environment first")
        self.used += 1
        if self.used % _TELL_EVERY == 0:
            self._run.progress(self.used, self.budget)
        observation, reward, terminated, truncated, _ = self._envs[number].step(self._meant(action))
        if terminated or truncated:
            self._running.discard(number)
        return self._disguise.shows(observation).tobytes() + ANSWER.pack(reward, bool(terminated), bool(truncated))

    def _update(self, actions: list[int] | None) -> np.ndarray | None:
        """Called after an update of the student's: asks for actions while the curve is due a point."""
        if self._evaluation is None:
            if self.used < self._due:
                return None
            self._due = (int(self.used * CURVE_POINTS / self.budget) + 1) * self.budget / CURVE_POINTS
            self._evaluation = self._play(CURVE_EPISODES, self._run.seed + 2_000_003)
            question: np.ndarray = next(self._evaluation)
            return question
        try:
            question = self._evaluation.send(actions)  # type: ignore[attr-defined]
        except StopIteration as end:
            self._evaluation = None
            self._run.measured(self.used, float(end.value.mean()))
            return None
        return question

    # ------------------------------------------------------------------------------------------------------- measuring

    def _play(self, episodes: int, seed: int) -> Any:
        """A generator: yields observations (k, dims) of the episodes still running, takes their k actions."""
        envs = [self._make() for _ in range(episodes)]
        returns = np.zeros(episodes)
        current = {i: self._disguise.shows(env.reset(seed=seed + i)[0]) for i, env in enumerate(envs)}
        for _ in range(LONGEST_EPISODE):
            if not current:
                break
            chosen = self._checked((yield np.stack(list(current.values()))), len(current))
            for i, action in zip(list(current), chosen, strict=True):
                observation, reward, terminated, truncated, _ = envs[i].step(action)
                returns[i] += float(reward)
                if terminated or truncated:
                    del current[i]
                else:
                    current[i] = self._disguise.shows(observation)
        for env in envs:
            env.close()
        return returns

    def _checked(self, actions: Any, count: int) -> list[int]:
        chosen = np.asarray(actions)
        if chosen.shape != (count,) or chosen.dtype.kind not in "iu":
            raise WrongAnswer(f"For {count} observations, {count} whole-number actions are expected.")
        if not ((chosen >= 0) & (chosen < self.actions)).all():
            raise WrongAnswer(f"An action is none of 0 to {self.actions - 1}.")
        return [self._meant(int(action)) for action in chosen]

    def _meant(self, action: int) -> int:
        if not isinstance(action, int) or not 0 <= action < self.actions:
            raise ValueError(f"there are {self.actions} actions, from 0 to {self.actions - 1}")
        return int(self._disguise.actions[action])


def _sizes(env: gymnasium.Env[Any, Any]) -> tuple[int, int, int]:
    """(numbers in an observation, states if it is one, actions)"""
    seen, done = env.observation_space, env.action_space
    if not isinstance(seen, spaces.Box | spaces.Discrete) or not isinstance(done, spaces.Discrete):
        raise SourceError("a world needs Box or Discrete observations and Discrete actions", where=str(env))
    return math.prod(seen.shape or ()), int(seen.n) if isinstance(seen, spaces.Discrete) else 0, int(done.n)
