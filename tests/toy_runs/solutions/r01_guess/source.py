# %% [markdown] assignment="r01_guess" title="Guess the side" module="guess" requires="gymnasium, autograder.testing.remote, common" builds_on="e01_counts.counts" summary="Learn which button goes with which light."
# # Guess the side
# A light shows one of two signs; two buttons; one of them pays. You write what learns it.

# %%
import random

from common import Lights
from counts import best

ROUNDS = Lights().action_space.n

# %% [markdown] task="average"
# ## average
# `average(xs)` is the mean; 0.0 where there are no numbers.


# %% task="average" points=1 minutes=5
def average(xs):
    """The mean, 0.0 of nothing."""
    ### BEGIN SOLUTION
    return sum(xs) / len(xs) if xs else 0.0
    ### END SOLUTION


# %% [markdown] hints="average"
# 1. What is a mean?
# 2. `sum` and `len`.
# 3. Their quotient, unless there are none.

# %% [markdown] task="train_guess"
# ## train_guess
# `train_guess(env_fn, steps, seed, on_update)` plays `steps` rounds and returns `act(sign) -> button`.


# %% task="train_guess" points=4 minutes=20 needs="average"
def train_guess(env_fn, steps, seed=0, on_update=None):
    """Tries buttons at random and remembers what each paid."""
    ### BEGIN SOLUTION
    draw, env = random.Random(seed), env_fn()
    paid = {(sign, button): [] for sign in (False, True) for button in (0, 1)}

    def act(sign):
        return best([average(paid[sign, button]) for button in (0, 1)])

    seen, _ = env.reset(seed=seed)
    for step in range(steps):
        sign, button = bool(seen[0] > 0), draw.randrange(2)
        seen, reward, terminated, truncated, _ = env.step(button)
        paid[sign, button].append(reward)
        if terminated or truncated:
            seen, _ = env.reset()
        if on_update and step % 5 == 4:
            on_update(act)
    return act
    ### END SOLUTION


# %% [markdown] hints="train_guess"
# 1. What did each button pay?
# 2. Keep a list for each sign and button.
# 3. Act by the better average.

# %% tests="average"
from autograder.testing import task


@task("average")
def test_two_numbers(student):
    """The mean of 1 and 2 is 1.5."""
    student.average([1.0, 2.0]).equals(1.5)


# %% tests="train_guess"
import gymnasium
import numpy as np
from asks import train

from autograder.testing import graded_run, task
from autograder.testing.worlds import World


class Plain(gymnasium.Env):
    """Always the same sign; button 1 pays."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        return np.ones(1, np.float32), float(action == 1), True, False, {}


@task("train_guess")
@graded_run(cpu_seconds=5)
def test_practice_round(student, run):
    """A light that never changes is learnt."""
    world = World(run, Plain, budget=20)
    student.ask(train, world.served(), 20, run.seed)
