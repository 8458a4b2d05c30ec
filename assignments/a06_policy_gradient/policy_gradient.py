# policy_gradient.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a06
# README.md explains the tasks. (a06_policy_gradient, release e3b882b11e2e)

# %%
from collections.abc import Callable

import gymnasium
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


# %% task="discounted_returns"
def discounted_returns(rewards: Tensor, dones: Tensor, gamma: float) -> Tensor:
    """What each step and those after it earned, up to the end of its episode, discounted.

    rewards: (T,) or (T, N), float. dones: the same shape, bool or 0/1: dones[t] says that step t ended its episode.
    Returns a tensor like rewards: G[t] = r[t] + gamma * (1 - dones[t]) * G[t + 1]; after the last row there is nothing.
    Raises ValueError if the shapes differ.

    Source: the reward-to-go of Sutton et al. 2000.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="categorical_log_prob"
def categorical_log_prob(logits: Tensor, actions: Tensor) -> Tensor:
    """The log-probability of each action under a softmax over the last axis.

    logits: (..., A), float, not normalised. actions: (...), int64, each in 0 .. A - 1.
    Returns log pi(a), shape (...), in the logits' dtype.
    Raises ValueError if the shapes do not fit or an action does not exist.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="reinforce_loss"
def reinforce_loss(logp: Tensor, returns: Tensor, baseline: Tensor | float | None = None) -> Tensor:
    """A loss whose gradient is minus the REINFORCE estimate of the policy gradient.

    logp: log-probabilities of the actions taken, any shape. returns: the same shape. baseline: None, a number, a
    tensor without axes, or a tensor of that shape.
    Returns a scalar tensor: -mean(logp * (returns - baseline)) over all steps. Its gradient reaches logp alone.
    Raises ValueError if the shapes differ.

    Source: Williams 1992, with the mean over steps in place of a sum over an episode.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="normalize"
def normalize(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Shifted to mean 0 and scaled to spread 1 over all entries together.

    x: any shape with at least one entry, float. eps: added to the spread, so that equal entries give zeros.
    Returns (x - mean) / (std + eps), like x, with std**2 the sum of squares over n - 1; the std of one entry is 0.
    Raises ValueError if x is empty.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %%
class Policy(nn.Module):
    """Logits from one hidden layer of tanh units."""

    def __init__(self, obs_dim: int, n_actions: int, hidden: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(obs_dim, hidden), nn.Tanh(), nn.Linear(hidden, n_actions))

    def forward(self, obs: Tensor) -> Tensor:
        """obs (..., obs_dim) -> logits (..., A)."""
        return self.net(obs)

    def log_probs(self, obs: Tensor) -> Tensor:
        """obs (N, obs_dim) -> normalised log-probabilities (N, A)."""
        return F.log_softmax(self(obs), dim=-1)

    def act(self, obs: Tensor) -> Tensor:
        """obs (N, obs_dim) -> the likeliest actions (N,)."""
        with torch.no_grad():
            return self(obs).argmax(dim=-1)


# %% task="train_reinforce"
def train_reinforce(
    env_fn: Callable[[], gymnasium.Env],
    steps: int,
    seed: int = 0,
    on_update: Callable[[Policy], object] | None = None,
) -> Policy:
    """Trains a policy by REINFORCE with at most `steps` calls of env.step, over all environments together.

    env_fn: makes a fresh environment, Box observations (obs_dim,) float32, Discrete actions.
    steps: the budget. An episode that it cuts off is left out.
    seed: fixes everything that is drawn.
    on_update: called as on_update(policy) after each update, if given.
    Returns a policy with act(obs) and log_probs(obs).

    Source: Williams 1992; a batch of whole episodes for each step, returns normalised over the batch.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
