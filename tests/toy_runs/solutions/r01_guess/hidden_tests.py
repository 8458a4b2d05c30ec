"""Hidden tests of r01_guess."""

import random

import numpy as np
from asks import press, train
from common import Lights

from autograder.testing import graded_run, needs, task
from autograder.testing.worlds import World

STEPS = 64


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
