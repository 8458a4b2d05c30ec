"""A world of lights and buttons."""

import gymnasium
import numpy as np


class Lights(gymnasium.Env):
    """Twenty rounds: the sign is drawn, and the button that equals it pays 1."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.round = 0
        return self.show(), {}

    def show(self):
        self.sign = int(self.np_random.integers(2))
        return np.array([2.0 * self.sign - 1.0], np.float32)

    def step(self, action):
        reward = float(action == self.sign)
        self.round += 1
        return self.show(), reward, False, self.round == 20, {}
