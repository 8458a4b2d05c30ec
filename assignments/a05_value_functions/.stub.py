# value_functions.py: yours to edit. Fill in every "YOUR CODE HERE", then run:  autograder check a05
# README.md explains the tasks. (a05_value_functions, release 435c572d6681)

# %%
import random

import gymnasium
import torch
from torch import Tensor


def check_gamma(gamma: float) -> None:
    """Refuses a discount that is not 0 <= gamma < 1."""
    if not 0 <= gamma < 1:
        raise ValueError(f"the discount has to be at least 0 and below 1, not {gamma}")


# %% task="policy_evaluation"
def policy_evaluation(P: Tensor, R: Tensor, pi: Tensor, gamma: float, tol: float = 1e-10) -> Tensor:
    """The value of each state when actions are taken by pi.

    P: (S, A, S) float64, P[s, a, s'] the probability of going from s to s'. R: (S, A) float64, expected rewards.
    pi: (S, A) float64, the probability of each action.
    Returns V (S,) float64 with max |V - T_pi V| <= tol.
    Raises ValueError unless 0 <= gamma < 1, or if rows of P or pi do not sum to 1 (1e-6).

    Source: Sutton and Barto, section 4.1 (iterative policy evaluation).
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="value_iteration"
def value_iteration(
    P: Tensor, R: Tensor, gamma: float, tol: float = 1e-10, sweeps: int | None = None
) -> tuple[Tensor, Tensor]:
    """The best possible values and a policy that reaches them.

    P: (S, A, S) float64, R: (S, A) float64. sweeps: None runs until V is within tol * gamma / (1 - gamma) of the
    optimal values; a number k runs exactly k synchronous sweeps from V = 0.
    Returns V (S,) float64, and the policy (S,) int64: greedy in this V, the lowest index among the actions within 1e-9
    of the best. Raises ValueError unless 0 <= gamma < 1.

    Source: Sutton and Barto, section 4.4.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="td0_update"
def td0_update(V: Tensor, s: int, r: float, s_next: int, terminated: bool, alpha: float, gamma: float) -> Tensor:
    """The table after one step from s to s_next with reward r.

    V: (S,) float64. Returns a new (S,) table in which only entry s differs.
    Raises ValueError if s or s_next is not a state 0 .. S - 1, or unless 0 <= gamma < 1.

    Source: Sutton and Barto, equation 6.2.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="td_lambda"
def td_lambda(
    V: Tensor, states: Tensor, rewards: Tensor, terminated: bool, alpha: float, gamma: float, lam: float
) -> Tensor:
    """The table after one episode of online TD(lambda) with accumulating traces.

    V: (S,) float64. states: (T + 1,) int64, the last one is where the episode stopped. rewards: (T,) float64.
    terminated: True if the last state ends the world (nothing after it counts), False if only the time was up.
    Returns a new (S,) table; T = 0 gives a copy. Raises ValueError unless 0 <= gamma < 1.

    Source: Sutton and Barto, section 12.2 (the backward view, with a table).
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="sarsa_update"
def sarsa_update(
    Q: Tensor,
    s: int,
    a: int,
    r: float,
    s_next: int,
    a_next: int,
    terminated: bool,
    alpha: float,
    gamma: float,
) -> Tensor:
    """The table after one step of Sarsa. Q: (S, A) float64. Returns a new (S, A) table in which only Q[s, a] differs.

    Raises ValueError unless 0 <= gamma < 1.

    Source: Sutton and Barto, equation 6.7.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="q_update"
def q_update(Q: Tensor, s: int, a: int, r: float, s_next: int, terminated: bool, alpha: float, gamma: float) -> Tensor:
    """The table after one step of Q-learning. Q: (S, A) float64. Returns a new table in which only Q[s, a] differs.

    Raises ValueError unless 0 <= gamma < 1.

    Source: Watkins and Dayan 1992, equation 1; Sutton and Barto, equation 6.8.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


# %% task="q_learning"
def q_learning(env: gymnasium.Env, steps: int, alpha: float, gamma: float, epsilon: float, seed: int = 0) -> Tensor:
    """Learns a table of action values by acting for `steps` steps.

    env: Discrete observations (S) and actions (A). Returns Q (S, A) float64.

    Source: Watkins and Dayan 1992; Sutton and Barto, section 6.5.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
