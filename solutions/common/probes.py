"""Probe worlds: so small that what must be learnt is known in advance, and that each mistake ends at another number.

The first five are Andy Jones's (Debugging Reinforcement Learning Systems, 2021): each adds one thing to the one before,
so the first that fails names the part that is broken. `Clock` is ours: none of the five notices a time limit. An
observation is one float32 number in an array of shape (1,).
"""

import gymnasium
import numpy as np
from gymnasium import spaces


class Probe(gymnasium.Env):
    """One number to see, one or two actions, and episodes of one step unless a world says otherwise."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Discrete(1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.start()
        return self.see(), {}

    def start(self) -> float:
        """Where an episode begins."""
        return 0.0

    def see(self) -> np.ndarray:
        return np.array([self.place], np.float32)

    def coin(self) -> int:
        return int(self.np_random.integers(2))


class Constant(Probe):
    """Reward 1, and the episode is over. V = 1 whatever gamma is: does the critic learn at all?"""

    def step(self, action):
        return self.see(), 1.0, True, False, {}


class Echo(Probe):
    """The observation is +1 or -1, and so is the reward. V(o) = o: does the critic look at what it sees?"""

    def start(self):
        return 2.0 * self.coin() - 1.0

    def step(self, action):
        return self.see(), self.place, True, False, {}


class Delay(Probe):
    """Sees 0, then 1; reward 1 at the end. V(0) = gamma, V(1) = 1: does value travel back in time?"""

    def step(self, action):
        if self.place == 0.0:
            self.place = 1.0
            return self.see(), 0.0, False, False, {}
        return self.see(), 1.0, True, False, {}


class Choice(Probe):
    """Action 1 pays +1, action 0 pays -1. V = 1: does the policy move, and uphill?"""

    action_space = spaces.Discrete(2)

    def step(self, action):
        return self.see(), 1.0 if action == 1 else -1.0, True, False, {}


class Match(Probe):
    """Sees +1 or -1; the action that fits (1 or 0) pays +1, the other -1. V = 1: does the policy look?"""

    action_space = spaces.Discrete(2)

    def start(self):
        return 2.0 * self.coin() - 1.0

    def step(self, action):
        fits = (action == 1) == (self.place > 0)
        return self.see(), 1.0 if fits else -1.0, True, False, {}


class Clock(Probe):
    """Starts at 0 or 1, always goes to 1, pays the place it left, and a clock cuts every episode after one step.

    V(1) = 1 + gamma V(1) and V(0) = gamma V(1), as if there were no clock: is running out of time told from dying?
    """

    def start(self):
        return float(self.coin())

    def step(self, action):
        left, self.place = self.place, 1.0
        return self.see(), left, False, True, {}
