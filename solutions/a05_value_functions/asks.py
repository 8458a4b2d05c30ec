"""Small functions that run beside the student's code, and return plain data: tables, never a verdict."""

import random

import gymnasium
import numpy as np
import torch

from autograder.testing.remote import environments


def train(student, world, steps, alpha, gamma, epsilon, seed):
    """The table after training in an environment that the grader holds."""
    return student.q_learning(environments(world)(), steps, alpha, gamma, epsilon, seed)


def greedy_actions(Q, states):
    """The greedy actions in these states (N, 1), the lowest index where several are equal."""
    return np.asarray(Q).argmax(1)[np.asarray(states).reshape(-1).astype(int)]


def many_episodes(student, V, episodes, alpha, gamma, lam):
    """The table after one episode after the other; each is [states, rewards, terminated]."""
    for states, rewards, terminated in episodes:
        V = student.td_lambda(V, states, rewards, terminated, alpha, gamma, lam)
    return V


class Rail(gymnasium.Env):
    """A world with a single action: state s pays rewards[s], leads to next[s], and ends as ends[s] says."""

    def __init__(self, rail):
        self.next, self.rewards, self.ends, self.start = (rail[key] for key in ("next", "rewards", "ends", "start"))
        self.observation_space = gymnasium.spaces.Discrete(len(self.next))
        self.action_space = gymnasium.spaces.Discrete(1)
        self.seeds = []
        self.here = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.here = self.start
        return self.here, {}

    def step(self, action):
        if self.here is None:
            raise RuntimeError("this episode has ended, or has not begun: reset the environment first")
        s, end = self.here, self.ends[self.here]
        self.here = None if end else self.next[s]
        return self.next[s], self.rewards[s], "terminated" in end, "truncated" in end, {}


def rail_learning(student, rail, steps, alpha, gamma, epsilon, seed):
    """The table that q_learning makes on a rail, and the seeds that the rail was reset with."""
    env = Rail(rail)
    Q = student.q_learning(env, steps, alpha, gamma, epsilon, seed)
    return [Q, env.seeds]


def cliff_learning(student, steps, seed, noise):
    """The table after a little learning on the cliff. `noise` sets the dice that everybody shares."""
    random.seed(noise)
    np.random.seed(noise)
    torch.manual_seed(noise)
    return student.q_learning(gymnasium.make("CliffWalking-v1"), steps, 0.5, 0.9, 0.3, seed)
