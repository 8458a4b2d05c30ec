# ppo.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a08
# README.md explains the tasks. (a08_ppo, release 3dca4062ff2e)

# %%
import math
from collections.abc import Callable

import gymnasium
import torch
from gae import gae, true_next_obs, value_targets
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor, nn


# %% task="clipped_surrogate"
def clipped_surrogate(logp: Tensor, old_logp: Tensor, adv: Tensor, eps: float) -> Tensor:
    """The clipped surrogate of PPO, as a loss.

    logp, old_logp: log-probabilities of the taken actions under the new and the old policy; adv: their advantages.
    All three (M,) or (T, N), float. eps: half the width of the fence around a ratio of 1, >= 0.
    Returns a scalar tensor, -mean(min(r * adv, clip(r, 1 - eps, 1 + eps) * adv)) over all elements; its gradient goes
    to logp only.
    Raises ValueError if the three shapes are not equal.

    Source: Schulman et al. 2017, equation 7, with a minus.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="clipped_value_loss"
def clipped_value_loss(values: Tensor, old_values: Tensor, targets: Tensor, eps: float) -> Tensor:
    """The critic's squared error, with a fence around its old values; of both errors the larger counts.

    values, old_values, targets: (M,) or (T, N), float: the critic now, the critic that collected, what it should say.
    eps: how far a value may move, >= 0.
    Returns a scalar tensor, 0.5 * mean(max(error^2, fenced error^2)); its gradient goes to values only.
    Raises ValueError if the three shapes are not equal.

    Source: Huang et al. 2022, detail 9, as in OpenAI's baselines; not in the paper of 2017.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="entropy_bonus"
def entropy_bonus(logits: Tensor) -> Tensor:
    """The mean entropy of categorical distributions, in nats.

    logits: (..., A), float; -inf marks an action that cannot be taken, and at least one logit of each state is finite.
    Returns a scalar tensor >= 0: the entropy of softmax(logits), averaged over all leading axes. Differentiable.

    Source: Schulman et al. 2017, the term S of equation 9.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="approx_kl"
def approx_kl(logp: Tensor, old_logp: Tensor) -> Tensor:
    """Estimates KL(old || new) from actions that the old policy took.

    logp, old_logp: (M,) or (T, N), float: log-probabilities of the taken actions under the new and the old policy.
    Returns a scalar tensor, mean((r - 1) - log r) with r = exp(logp - old_logp). It carries no gradient.
    Raises ValueError if the two shapes are not equal.

    Source: Schulman 2020, Approximating KL Divergence (the estimator k3).
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="minibatches"
def minibatches(n: int, size: int, generator: torch.Generator | None = None) -> list[Tensor]:
    """The indices 0 ... n-1 in random order, cut into batches.

    n: how many samples, >= 0. size: how many indices a batch holds, >= 1; the last one may be shorter.
    generator: where chance comes from; None means torch's global generator.
    Returns a list of int64 tensors; together they are a permutation of 0 ... n-1. Empty if n is 0.
    Raises ValueError if size is below 1.

    Source: Schulman et al. 2017, Algorithm 1.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="PPOAgent"
class PPOAgent(nn.Module):
    """An actor and a critic, two networks that share nothing.

    obs_dim: size of an observation. n_actions: A. hidden: units in each of the two tanh layers of either network.

    Source: Schulman et al. 2017, section 6.1 (sizes); Huang et al. 2022, detail 2 (initial weights).
    """

    def __init__(self, obs_dim: int, n_actions: int, hidden: int = 64):
        super().__init__()
        # YOUR CODE HERE
        raise NotImplementedError()

    def log_probs(self, obs: Tensor) -> Tensor:
        """Log-probabilities of all actions: (..., obs_dim) -> (..., A), differentiable."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def value(self, obs: Tensor) -> Tensor:
        """The critic's guess of the return: (..., obs_dim) -> (...), differentiable."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def act(self, obs: Tensor) -> Tensor:
        """The likeliest action of each row: (N, obs_dim) -> (N,) int64. No chance involved."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def sample(self, obs: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Draws an action for each row, without gradient.

        obs: (N, obs_dim). generator: where chance comes from; None means torch's global generator.
        Returns actions (N,) int64, their log-probabilities (N,), and the critic's values of obs (N,).
        """
        # YOUR CODE HERE
        raise NotImplementedError()

    def loss(
        self,
        batch: dict,
        clip: float = 0.2,
        vf_coef: float = 0.5,
        ent_coef: float = 0.0,
        clip_value: bool = False,
        normalize: bool = True,
    ) -> tuple[Tensor, dict]:
        """PPO's loss on one minibatch, and what to log of it.

        batch: obs (M, obs_dim); actions int64, old_logp, adv, targets, old_values: (M,). (T, N) may stand for M.
        clip: eps of the surrogate, and of the values if clip_value (only then is old_values read).
        vf_coef, ent_coef: the weights of value loss and entropy. normalize: whether adv is normalised over the batch.
        Returns the scalar loss, and a dict of floats: policy_loss, value_loss, entropy, approx_kl, clip_fraction.

        Source: Schulman et al. 2017, equation 9, with a minus.
        """
        # YOUR CODE HERE
        raise NotImplementedError()


# %% task="train_ppo"
def train_ppo(
    env_fn: Callable[[], gymnasium.Env],
    steps: int,
    seed: int = 0,
    gamma: float = 0.99,
    on_update: Callable[[PPOAgent], object] | None = None,
) -> PPOAgent:
    """Trains an agent with PPO.

    env_fn: makes a fresh environment, Box observations (obs_dim,) float32, Discrete actions.
    steps: how many environment steps may be taken in all, over all environments; never exceeded.
    seed: fixes everything that is drawn. gamma: the discount.
    on_update: called as on_update(agent) after each rollout and its epochs, if given.
    Returns the trained agent.

    Source: Schulman et al. 2017, Algorithm 1; details as in Huang et al. 2022.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
