"""Hidden tests of r01_guess."""

import random

import gymnasium
import numpy as np
from asks import press, train

from autograder.testing import graded_run, needs, task
from autograder.testing.worlds import World

STEPS = 64


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


@task("average")
def test_average(student, reference, seed):
    """The mean of many numbers is right."""
    draw = random.Random(seed)
    xs = [draw.random() for _ in range(9)]
    student.average(xs).equals(reference.average(xs), rtol=1e-9)


@task("train_guess")
@graded_run(cpu_seconds=5)
def test_probe(student, run):
    """With one sign only, the paying button is found."""
    world = World(run, Lights, budget=STEPS)
    student.ask(train, world.served(curve=False), STEPS, run.seed)
    share = float(np.mean(world.returns(lambda seen: student.ask(press, seen).value, episodes=4))) / 20
    run.tells("share of rounds won", [share], [1.0], atol=0.02, mistakes={"prefers_the_worse": [0.0]})


@task("train_guess")
@needs("test_probe")
@graded_run(cpu_seconds=5)
def test_wins(student, run):
    """After 64 rounds, nine in ten are won."""
    world = World(run, Lights, budget=STEPS, disguised=True)
    student.ask(train, world.served(), STEPS, run.seed)
    won = world.returns(lambda seen: student.ask(press, seen).value, episodes=10)
    run.reaches("mean return of 10 episodes", float(won.mean()), at_least=18)
