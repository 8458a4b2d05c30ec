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
    """One environment of a served world.

    Observations are float32 (dims,), or a state 0 .. states - 1 where the world has states; actions 0 .. actions - 1.
    """

    def __init__(self, world: Mapping[str, Any], number: int) -> None:
        self._states = int(world["states"])
        self.observation_space: spaces.Space[Any] = (
            spaces.Discrete(self._states) if self._states else spaces.Box(-np.inf, np.inf, (world["dims"],), np.float32)
        )
        self.action_space = spaces.Discrete(world["actions"])
        self._ask_reset = world["reset"]
        self._ask_step = world["step"]
        self._number = number
        self._cut = 4 * int(world["dims"])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._seen(self._ask_reset(self._number, None if seed is None else int(seed))), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        answer = self._ask_step(self._number, int(action))
        reward, terminated, truncated = ANSWER.unpack_from(answer, self._cut)
        return self._seen(answer), reward, terminated, truncated, {}

    def _seen(self, answer: bytes) -> Any:
        shown = np.frombuffer(answer, dtype="<f4", count=self._cut // 4)
        return np.int64(shown[0]) if self._states else shown.copy()


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
