"""The student's end of an environment that the grader holds: `env_fn = environments(world)` in an ask.

It runs beside student code, so nothing here is a wall: an action goes to the grader, which counts it, and what comes
back is all that there is to know. See autograder.testing.worlds for the grader's end.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

ANSWER = struct.Struct("<d??")
"""What follows the observation's float32 bytes in the answer to a step: reward, terminated, truncated."""


class RemoteEnv(gymnasium.Env[Any, Any]):
    """One environment of a served world. Observations are float32 (dims,), actions 0 .. n_actions - 1."""

    def __init__(self, world: Mapping[str, Any], number: int) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (world["dims"],), np.float32)
        self.action_space = spaces.Discrete(world["actions"])
        self._ask_reset = world["reset"]
        self._ask_step = world["step"]
        self._number = number
        self._cut = 4 * world["dims"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return _observation(self._ask_reset(self._number, None if seed is None else int(seed))), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        answer = self._ask_step(self._number, int(action))
        reward, terminated, truncated = ANSWER.unpack_from(answer, self._cut)
        return _observation(answer[: self._cut]), reward, terminated, truncated, {}


def environments(world: Mapping[str, Any]) -> Callable[[], RemoteEnv]:
    """The `env_fn` to hand to student code: each call makes one more environment of the world."""
    numbers = itertools.count()
    return lambda: RemoteEnv(world, next(numbers))


def updates(world: Mapping[str, Any], act: Callable[[Any, np.ndarray], Any]) -> Callable[[Any], None]:
    """The `on_update` to hand to student code. Now and then the grader asks the model for actions, to draw the curve.

    act(model, observations (N, dims) float32) -> N actions.
    """
    ask = world["update"]

    def on_update(model: Any) -> None:
        question = ask(None)
        while question is not None:
            question = ask([int(action) for action in act(model, question)])

    return on_update


def _observation(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype="<f4").copy()
