# gae.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a07
# README.md explains the tasks. (a07_gae, release 40b557c50ae0)

# %%
import math

import numpy as np
import torch
from torch import Tensor


# %% task="td_errors"
def td_errors(rewards: Tensor, values: Tensor, next_values: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """The one-step temporal-difference errors of a rollout.

    rewards, values, next_values: (T, N) or (T,), float. next_values[t] is the value of the state that step t truly
        led to.
    terminated: the same shape, bool or float 0/1: step t led to a terminal state, after which nothing comes.
    gamma: the discount.
    Returns r + gamma (1 - terminated) next_values - values, in the shape and dtype of the inputs, without gradient.
    Raises ValueError if the shapes are not all equal.

    Source: Schulman et al. 2016, section 3, with the value of a terminal state set to 0.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="gae"
def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    lam: float,
) -> Tensor:
    """Generalised advantage estimation over a rollout in which episodes may end in every way.

    rewards, values, next_values: (T, N) or (T,), float. next_values[t] is the value of the state that step t truly
        led to, also where an episode ended there.
    terminated, truncated: the same shape, bool or float 0/1: how step t itself ended. Both at once: terminated.
    gamma, lam: the discount, and the dial between one-step errors (0) and whole returns (1).
    Returns the raw advantages, in the shape and dtype of the inputs, without gradient: A[t] is delta[t] plus
        gamma lam A[t+1], the latter only while the episode goes on; behind the last row there is nothing. T = 0 gives
        an empty tensor.
    Raises ValueError if the shapes are not all equal.

    Source: Schulman et al. 2016, equation 16; truncation as in Pardo et al. 2018 (partial-episode bootstrapping).
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="value_targets"
def value_targets(advantages: Tensor, values: Tensor) -> Tensor:
    """What a critic is trained towards: the lambda-returns of the rollout.

    advantages: raw, as `gae` gives them, (T, N) or (T,).
    values: the critic's values from which they were made, the same shape.
    Returns advantages + values, in the shape and dtype of the inputs, without gradient.
    Raises ValueError if the shapes are not equal.

    Source: the lambda-return of Sutton and Barto 2018, chapter 12; PPO implementations take it for their targets.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="explained_variance"
def explained_variance(values: Tensor, targets: Tensor) -> float:
    """The share of the targets' variance that the critic's values account for.

    values: what the critic said, (T, N) or (T,). targets: what came out, the same shape.
    Returns 1 - Var(targets - values) / Var(targets) as a Python float: over all elements, dividing by n. At most 1,
        below 0 where the values are worse than a constant, nan where the targets have no variance.
    Raises ValueError if the shapes are not equal.

    Source: the fraction of variance explained, as PPO implementations log it (Huang et al. 2022).
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="true_next_obs"
def true_next_obs(next_obs: np.ndarray, infos: dict) -> np.ndarray:
    """The observations that one step of a SAME_STEP vector environment truly led to.

    next_obs: (N, ...), as the step returned it: the reset observation where an episode has just ended.
    infos: as the step returned them; where an episode ended, infos["_final_obs"][i] is True and infos["final_obs"][i]
        is its last observation. Both keys are missing where none ended.
    Returns a new array (N, ...) in the dtype of next_obs, with the last observations in the rows that ended. next_obs
        and infos stay as they were.

    Source: gymnasium 1.4, AutoresetMode.SAME_STEP.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
