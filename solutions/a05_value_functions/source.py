# %% [markdown] assignment="a05_value_functions" title="Value functions: Bellman, TD and Q-learning" module="value_functions" requires="torch, gymnasium, autograder.testing.remote" summary="Say what a state is worth: exactly when the world is known, from single steps when it is not, and well enough at last to cross a frozen lake."
# # Value functions: Bellman, TD and Q-learning
#
# How good is it to stand here? A value function answers that for every state: it is the sum of the rewards that are
# still to come, on average, with later ones counted a little less. Everything in this month is built on it. Today you
# compute it in three ways that know less and less: from the full rules of a world, from recorded steps, and from
# nothing but the steps that your own agent takes.
#
# You write seven functions, in this order:
#
# 1. `policy_evaluation`: what a given way of acting is worth
# 2. `value_iteration`: what the best way of acting is worth, and which way it is
# 3. `td0_update`: one step of experience
# 4. `td_lambda`: a whole episode of experience, with memory
# 5. `sarsa_update`: learn the value of what you do
# 6. `q_update`: learn the value of the best you could do
# 7. `q_learning`: an agent that learns by acting
#
# **You need** expectations and the idea of a Markov chain. The
# [reading page](../../docs/learn/a05_value_functions.md) derives each formula and says which pages to read first.
#
# ```
# autograder check a05                   # all tasks: what holds, what to mend first
# autograder check a05.td_lambda         # one task
# autograder hint a05.td_lambda          # the next of its three hints
# ```
#
# ## What we keep of the sources, and what we leave out
#
# Kept from Sutton and Barto, *Reinforcement Learning: An Introduction* (second edition): iterative policy evaluation
# and value iteration (chapter 4), TD(0), Sarsa and Q-learning (chapter 6), the backward view of TD(λ) with
# accumulating traces (chapter 12). Kept from Watkins and Dayan (1992): that Q-learning asks for the best next action,
# whatever is really done next.
#
# Left out: policy iteration (it is the first two functions in turn), n-step methods (TD(λ) mixes all of them), decaying
# step sizes (a proof needs them, your lake does not), and every network: a table is enough here, and nothing hides in
# it.
#
# ## Convention card
#
# | question | our answer | who differs |
# |---|---|---|
# | tables | `V` (S,), `Q` (S, A), `P` (S, A, S) with `P[s, a, s']`, `R` (S, A), `pi` (S, A); all float64 | texts with $p(s', r \mid s, a)$ or rewards of $(s, a, s')$: `R` here is already the mean |
# | the reward of this very step | is **not** discounted | texts that begin the sum with $\gamma$ |
# | discount | $0 \le \gamma < 1$, anything else is refused by **every** function here (`check_gamma`, at the top of your file, does it) | episodic texts with $\gamma = 1$ |
# | a terminal state in `P` and `R` | returns to itself with reward 0 | |
# | `terminated` | the world ended: nothing comes after, **whatever the table says** of the last state | |
# | truncated (a time limit) | only the clock ran out: the value of the last state **still counts** | old gym's single `done` |
# | traces | **accumulate**: a state visited twice has the credit of both | replacing traces |
# | ties of `value_iteration` | the **lowest** index among the actions within 1e-9 of the best | |
# | ties of `q_learning` | broken **at random** while it acts | codes that call argmax |
# | tables that you are given | never change: return a new one | codes that write `Q[s, a] +=` |
# | bad input | what a task or its docstring names as bad is refused: raise `ValueError` and say what is wrong. About any other nonsense no test asks | |
#
# Letters: $S$ states, $A$ actions, $T$ steps of an episode, $\alpha$ step size, $\gamma$ discount, $\lambda$ how long
# credit lasts, $\pi$ the policy.
#
# ## What is forbidden
#
# Nothing. Everything here is a few lines of torch and plain Python.
#
# ## What the tests look at
#
# Values against exact solutions, on worlds drawn at random with sizes that are all different; single updates, with a
# value in the terminal state that must not be read; whether your tables are still what they were; and whether bad
# input is refused. At the end your agent is trained. The grader holds the environment, counts its steps, takes the
# greedy policy out of your table, and computes what that policy is worth from the world's own probabilities: exactly,
# without luck. States and actions are renamed for each run, so only learning helps.

# %%
import random

import gymnasium
import torch
from torch import Tensor


def check_gamma(gamma: float) -> None:
    """Refuses a discount that is not 0 <= gamma < 1."""
    if not 0 <= gamma < 1:
        raise ValueError(f"the discount has to be at least 0 and below 1, not {gamma}")


# %% [markdown] task="policy_evaluation"
# ## `policy_evaluation`: what a way of acting is worth
#
# In state $s$ the policy takes action $a$ with probability $\pi(a \mid s)$; the world pays $R(s, a)$ on average and
# moves on to $s'$ with probability $P(s' \mid s, a)$. The value of a state is what comes now plus, discounted, the
# value of where it leads:
#
# $$V(s) = \sum_a \pi(a \mid s)\,\Big( R(s, a) + \gamma \sum_{s'} P(s' \mid s, a)\, V(s') \Big)$$
#
# Call the right-hand side $T_\pi V$. You return the $V$ that it leaves alone: $\max_s |V(s) - (T_\pi V)(s)| \le$ `tol`.
# Apply it until it stops moving, or solve the linear equations: both are right.
#
# **By hand.** State 0 pays 1 and stays with probability ½; otherwise it moves to state 1, which is terminal (it returns
# to itself and pays 0). With $\gamma = \tfrac12$: $V(0) = 1 + \tfrac12 \cdot \tfrac12\, V(0)$, so $V(0) = \tfrac43$.
#
# Refuse a discount outside of $[0, 1)$, and rows of `P` or `pi` that do not sum to 1 (give or take 1e-6).


# %% task="policy_evaluation" points=4 minutes=15
def policy_evaluation(P: Tensor, R: Tensor, pi: Tensor, gamma: float, tol: float = 1e-10) -> Tensor:
    """The value of each state when actions are taken by pi.

    P: (S, A, S) float64, P[s, a, s'] the probability of going from s to s'. R: (S, A) float64, expected rewards.
    pi: (S, A) float64, the probability of each action.
    Returns V (S,) float64 with max |V - T_pi V| <= tol.
    Raises ValueError unless 0 <= gamma < 1, or if rows of P or pi do not sum to 1 (1e-6).

    Source: Sutton and Barto, section 4.1 (iterative policy evaluation).
    """
    ### BEGIN SOLUTION
    check_gamma(gamma)
    for name, rows in (("P", P), ("pi", pi)):
        if ((rows.sum(-1) - 1).abs() > 1e-6).any():
            raise ValueError(f"the rows of {name} have to sum to 1")
    P_pi = torch.einsum("sa,sat->st", pi, P)  # (S, S)  from s to s' under pi
    R_pi = (pi * R).sum(1)  # (S,)
    V = torch.zeros_like(R_pi)  # (S,)
    while True:
        V_new = R_pi + gamma * P_pi @ V  # (S,)  T_pi V
        if (V_new - V).abs().max() <= tol:  # T_pi shrinks distances: V_new moves by at most gamma times this
            return V_new
        V = V_new
    ### END SOLUTION


# %% [markdown] hints="policy_evaluation"
# 1. Suppose that somebody gives you a V. How would you find out whether it is the right one, with one line of
#    arithmetic? What happens if you use the result of that line as your next guess?
# 2. First average P and R over the actions with pi: an (S, S) table of moves and an (S,) vector of rewards are left.
#    The equation is then V = R_pi + gamma * P_pi @ V.
# 3. `torch.einsum("sa,sat->st", pi, P)` and `(pi * R).sum(1)` give the two averages. Start at zeros, replace V by
#    `R_pi + gamma * P_pi @ V` until the largest change is at most tol, and return it. Check gamma and the row sums first.

# %% tests="policy_evaluation"
import gymnasium
import numpy as np
import pytest
import torch
from asks import greedy_actions, rail_learning, train

from autograder.testing import graded_run, needs, task
from autograder.testing.worlds import World

HALF_WAY = torch.tensor([[[0.5, 0.5]], [[0.0, 1.0]]], dtype=torch.float64)  # P of the example in the handout


def table(*rows):
    """A float64 tensor."""
    return torch.tensor(rows, dtype=torch.float64)


@task("policy_evaluation")
def test_example_of_the_handout(student):
    """Pay 1, stay with probability one half, gamma one half: worth four thirds."""
    pi = torch.ones(2, 1, dtype=torch.float64)
    V = student.policy_evaluation(HALF_WAY, table([1.0], [0.0]), pi, 0.5)
    V.equals(table(4 / 3, 0.0), atol=1e-9)


@task("policy_evaluation")
def test_half_left_half_right(student):
    """A policy that mixes two actions is worth a mixture: rewards 0 and 4 at even odds, for ever, at gamma 3/4, give 8."""
    P = torch.ones(1, 2, 1, dtype=torch.float64)
    student.policy_evaluation(P, table([0.0, 4.0]), table([0.5, 0.5]), 0.75).equals(table(8.0), atol=1e-8)


@task("policy_evaluation")
def test_without_a_future_only_this_reward_counts(student):
    """With gamma 0 a state is worth its next reward, on average."""
    P = torch.full((3, 2, 3), 1 / 3, dtype=torch.float64)
    R = table([1.0, 5.0], [2.0, 2.0], [0.0, 8.0])
    student.policy_evaluation(P, R, table([1.0, 0.0], [0.5, 0.5], [0.75, 0.25]), 0.0).equals(
        table(1.0, 2.0, 2.0), atol=1e-9
    )


@task("policy_evaluation")
@needs("test_example_of_the_handout")
def test_bad_probabilities_and_discounts_are_refused(student):
    """Rows that do not sum to 1 and discounts outside of [0, 1) are refused."""
    R, pi = table([1.0], [0.0]), torch.ones(2, 1, dtype=torch.float64)
    student.policy_evaluation(HALF_WAY * 0.9, R, pi, 0.5).refused()
    student.policy_evaluation(HALF_WAY, R, pi * 1.1, 0.5).refused()
    student.policy_evaluation(HALF_WAY, R, pi, 1.0).refused()
    student.policy_evaluation(HALF_WAY, R, pi, -0.1).refused()


# %% [markdown] task="value_iteration"
# ## `value_iteration`: the best way of acting
#
# Replace the average over actions by the best of them, and the same idea finds the best policy:
#
# $$V_{k+1}(s) = \max_a \Big( R(s, a) + \gamma \sum_{s'} P(s' \mid s, a)\, V_k(s') \Big), \qquad V_0 = 0$$
#
# $V_k(s)$ is the most that can be had in $k$ steps. One application to all states is a *sweep*, and ours are
# **synchronous**: a sweep reads only values from before it began.
#
# - Without `sweeps`: go on until $V$ is within `tol`$\,\cdot\,\gamma/(1-\gamma)$ of the fixed point. It is enough that
#   the last sweep changed no state by more than `tol`.
# - With `sweeps=k`: exactly $k$ sweeps from zero, no more and no fewer; $k = 0$ gives zeros.
#
# The policy is greedy in **the very values that you return**: in each state the action with the largest
# $R(s, a) + \gamma \sum_{s'} P(s' \mid s, a) V(s')$, and among actions within 1e-9 of the largest the lowest index.
#
# **By hand.** In state 0, action 0 takes 1 and stays; action 1 takes nothing and goes to state 1, which pays 3 for
# staying by action 0 (by action 1 it stays for nothing). $\gamma = \tfrac12$. After one sweep $V = (1, 3)$; after two,
# $V(0) = \max(1 + \tfrac12, 0 + \tfrac32) = \tfrac32$ and $V(1) = \tfrac92$. Greedy in these: $1 + \tfrac34$ against
# $\tfrac94$, so action 1 in state 0: the patient one.


# %% task="value_iteration" points=4 minutes=20
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
    ### BEGIN SOLUTION
    check_gamma(gamma)
    V = torch.zeros(len(R), dtype=R.dtype)  # (S,)
    done = 0
    while sweeps is None or done < sweeps:
        V_new = (R + gamma * P @ V).max(1).values  # (S,)  all states from the old V
        change = (V_new - V).abs().max()
        V, done = V_new, done + 1
        if sweeps is None and change <= tol:
            break
    Q = R + gamma * P @ V  # (S, A)  in the V that is returned
    best = Q.max(1, keepdim=True).values  # (S, 1)
    policy = (best - Q <= 1e-9).to(torch.int64).argmax(1)  # (S,)  the first of the best
    return V, policy
    ### END SOLUTION


# %% [markdown] hints="value_iteration"
# 1. If you knew what each state is worth tomorrow, how would you choose today? Now let tomorrow's values be your last
#    guess. And which V does the policy belong to: the one before the last sweep, or the one you hand back?
# 2. `P @ V` is an (S, A) table: the expected value of where each action leads. One sweep is a maximum over its second
#    axis after adding the rewards. Write the sweep so that no new value is read before all are computed.
# 3. Loop: `V_new = (R + gamma * P @ V).max(1).values`. Stop after `sweeps` sweeps, or, without that, once the largest
#    change is at most tol. Then compute `R + gamma * P @ V` once more with the V you return and take the first column
#    that is at least the row's maximum minus 1e-9.

# %% tests="value_iteration"
PATIENT = torch.zeros(2, 2, 2, dtype=torch.float64)  # the example of the handout
PATIENT[0, 0, 0] = PATIENT[0, 1, 1] = PATIENT[1, 0, 1] = PATIENT[1, 1, 1] = 1.0
PATIENT_R = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)


@task("value_iteration")
def test_two_sweeps_of_the_handout(student):
    """After two sweeps the example has values 3/2 and 9/2, and its policy is the patient one."""
    V, policy = student.value_iteration(PATIENT, PATIENT_R, 0.5, sweeps=2).value
    assert torch.allclose(V, table(1.5, 4.5)), "the values after two sweeps"
    assert policy.tolist() == [1, 0], "the policy that is greedy in the values returned"


@task("value_iteration")
def test_in_the_end_patience_pays(student):
    """The optimal values of the example are 3 and 6: going over beats taking 1 for ever."""
    V = table(3.0, 6.0)
    student.value_iteration(PATIENT, PATIENT_R, 0.5).equals([V, torch.tensor([1, 0])], atol=1e-8)


@task("value_iteration")
def test_news_travels_one_state_a_sweep(student):
    """On a road with a reward at its end, one sweep reaches one state and two sweeps reach two."""
    P = torch.zeros(4, 1, 4, dtype=torch.float64)
    P[0, 0, 1] = P[1, 0, 2] = P[2, 0, 3] = P[3, 0, 3] = 1.0
    R = table([0.0], [0.0], [8.0], [0.0])
    zeros = torch.zeros(4, dtype=torch.int64)
    student.value_iteration(P, R, 0.5, sweeps=1).equals([table(0.0, 0.0, 8.0, 0.0), zeros], atol=1e-12)
    student.value_iteration(P, R, 0.5, sweeps=2).equals([table(0.0, 4.0, 8.0, 0.0), zeros], atol=1e-12)


@task("value_iteration")
@needs("test_two_sweeps_of_the_handout")
def test_no_sweep_and_a_bad_discount(student):
    """No sweep leaves zeros and a policy that looks at the next reward only; a discount of 1 is refused."""
    student.value_iteration(PATIENT, PATIENT_R, 0.5, sweeps=0).equals([table(0.0, 0.0), torch.tensor([0, 0])])
    student.value_iteration(PATIENT, PATIENT_R, 1.0).refused()


# %% [markdown] task="td0_update"
# ## `td0_update`: one step of experience
#
# From here on nobody tells you $P$ and $R$. You saw one step: from state $s$, reward $r$, to $s'$. That is one sample
# of the right-hand side, so move a little towards it:
#
# $$V(s) \leftarrow V(s) + \alpha\,\delta, \qquad \delta = r + \gamma\, V(s') - V(s)$$
#
# If the step `terminated` the episode, nothing comes after: the term $\gamma V(s')$ is dropped, **whatever the table
# holds for** $s'$. All other entries stay as they are, and `s = s_next` is allowed.
#
# **By hand.** $V = (2, 10)$, a step from 0 to 1 with reward 1, $\alpha = \tfrac12$, $\gamma = \tfrac12$. Not
# terminated: $\delta = 1 + 5 - 2 = 4$, so $V(0) = 4$. Terminated: $\delta = 1 - 2 = -1$, so $V(0) = 1.5$.
#
# A state outside of the table is refused: below 0 as well, although Python would read it from the end.


# %% task="td0_update" points=2 minutes=10
def td0_update(V: Tensor, s: int, r: float, s_next: int, terminated: bool, alpha: float, gamma: float) -> Tensor:
    """The table after one step from s to s_next with reward r.

    V: (S,) float64. Returns a new (S,) table in which only entry s differs.
    Raises ValueError if s or s_next is not a state 0 .. S - 1, or unless 0 <= gamma < 1.

    Source: Sutton and Barto, equation 6.2.
    """
    ### BEGIN SOLUTION
    check_gamma(gamma)
    if not (0 <= s < len(V) and 0 <= s_next < len(V)):
        raise ValueError(f"there are states 0 to {len(V) - 1}, not {s} or {s_next}")
    future = 0.0 if terminated else V[s_next]
    delta = r + gamma * future - V[s]  # ()  the TD error
    V_new = V.clone()  # (S,)
    V_new[s] += alpha * delta
    return V_new
    ### END SOLUTION


# %% [markdown] hints="td0_update"
# 1. Before the step you expected V[s]. After it you know the reward and where you are. What would you now say that
#    state s is worth, and what if the world has just ended?
# 2. The target is the reward plus, unless terminated, gamma times V[s_next]. Move V[s] the fraction alpha of the way
#    from its old value to the target, in a copy.
# 3. Check gamma and both states; `V_new = V.clone()`;
#    `V_new[s] += alpha * (r + gamma * (0 if terminated else V[s_next]) - V[s])`; return `V_new`.

# %% tests="td0_update"


@task("td0_update")
def test_one_step_of_the_handout(student):
    """From (2, 10), a step worth 1 with alpha and gamma one half gives 4, or 1.5 when the world ends with it."""
    student.td0_update(table(2.0, 10.0), 0, 1.0, 1, False, 0.5, 0.5).equals(table(4.0, 10.0), atol=1e-12)
    student.td0_update(table(2.0, 10.0), 0, 1.0, 1, True, 0.5, 0.5).equals(table(1.5, 10.0), atol=1e-12)


@task("td0_update")
def test_a_step_onto_itself(student):
    """A state may lead to itself: 4 + 1/2 (3 + 1/2 * 4 - 4) is 4.5."""
    student.td0_update(table(1.0, 4.0, 7.0), 1, 3.0, 1, False, 0.5, 0.5).equals(table(1.0, 4.5, 7.0), atol=1e-12)


@task("td0_update")
@needs("test_one_step_of_the_handout")
def test_states_outside_the_table_are_refused(student):
    """States below 0 or beyond the table, and a discount of 1, are refused."""
    student.td0_update(table(2.0, 10.0), 2, 1.0, 1, False, 0.5, 0.5).refused()
    student.td0_update(table(2.0, 10.0), -1, 1.0, 1, False, 0.5, 0.5).refused()
    student.td0_update(table(2.0, 10.0), 0, 1.0, 1, False, 0.5, 1.0).refused()


# %% [markdown] task="td_lambda"
# ## `td_lambda`: a whole episode, with memory
#
# A surprise at step $t$ says something about the states before it as well. Each state keeps a *trace* $z$: how much of
# the credit it deserves. At every step of the episode, in this order:
#
# $$z \leftarrow \gamma\lambda\, z, \qquad z(s_t) \leftarrow z(s_t) + 1, \qquad
# \delta = r_t + \gamma V(s_{t+1}) - V(s_t), \qquad V \leftarrow V + \alpha\,\delta\, z$$
#
# It is *online*: the error of a step is computed with the table as the steps before it have left it. Traces begin at
# zero and *accumulate*: a state visited twice has the credit of both visits.
#
# `states` has one entry more than `rewards`: the last one is where the episode stopped. If `terminated` is True the
# world ended there, and the last step has no $\gamma V(s_T)$. If it is False, only a clock ran out, and the last step
# is like any other. `T = 0` (no reward, one state) returns a copy of the table.
#
# **By hand.** $V = (0, 0, 8)$, states 0, 1, 2, rewards 0 and 4, terminated, $\alpha = \tfrac12$,
# $\gamma\lambda = \tfrac14$ (each one half). First step: $\delta = 0$. Second: $z = (\tfrac14, 1, 0)$, $\delta = 4$,
# so $V = (\tfrac12, 2, 8)$. Without the end, $\delta = 4 + 4$, and $V = (1, 4, 8)$.


# %% task="td_lambda" points=4 minutes=20
def td_lambda(
    V: Tensor, states: Tensor, rewards: Tensor, terminated: bool, alpha: float, gamma: float, lam: float
) -> Tensor:
    """The table after one episode of online TD(lambda) with accumulating traces.

    V: (S,) float64. states: (T + 1,) int64, the last one is where the episode stopped. rewards: (T,) float64.
    terminated: True if the last state ends the world (nothing after it counts), False if only the time was up.
    Returns a new (S,) table; T = 0 gives a copy. Raises ValueError unless 0 <= gamma < 1.

    Source: Sutton and Barto, section 12.2 (the backward view, with a table).
    """
    ### BEGIN SOLUTION
    check_gamma(gamma)
    V = V.clone()  # (S,)
    z = torch.zeros_like(V)  # (S,)  the traces
    T = len(rewards)
    for t in range(T):
        s, s_next = states[t], states[t + 1]
        ends = terminated and t == T - 1
        z = gamma * lam * z
        z[s] += 1
        delta = rewards[t] + (0.0 if ends else gamma * V[s_next]) - V[s]  # ()  with the V of this moment
        V = V + alpha * delta * z
    return V
    ### END SOLUTION


# %% [markdown] hints="td_lambda"
# 1. An episode leaves state 0, then 1, then 0 again. Write all traces after each of these steps on paper, with g for
#    gamma times lambda. What is the trace of state 0 at the end? And is the state that is being left credited with this
#    very step's error, or only with later ones?
# 2. One loop over t with two tables, V and z. Fade all traces, add 1 to the one of s_t, compute the error with the V of
#    this moment, and move *all* states by alpha times the error times their trace.
# 3. In the loop: `z = gamma * lam * z`, `z[s] += 1`, `delta = r + gamma * V[s_next] - V[s]` (without the middle term
#    only if this is the last step *and* terminated), `V = V + alpha * delta * z`. Begin with a clone of V.

# %% tests="td_lambda"


def whole(*numbers):
    """An int64 tensor."""
    return torch.tensor(numbers, dtype=torch.int64)


@task("td_lambda")
def test_two_steps_of_the_handout(student):
    """The example of the handout, with an end of the world and with an end of time."""
    V, states, rewards = table(0.0, 0.0, 8.0), whole(0, 1, 2), table(0.0, 4.0)
    student.td_lambda(V, states, rewards, True, 0.5, 0.5, 0.5).equals(table(0.5, 2.0, 8.0), atol=1e-12)
    student.td_lambda(V, states, rewards, False, 0.5, 0.5, 0.5).equals(table(1.0, 4.0, 8.0), atol=1e-12)


@task("td_lambda")
def test_visited_twice(student):
    """State 0 twice, reward 1 at the second visit only: its trace is 1 + 1/4."""
    # Before the last step everything is zero, so the first error is 0 and the second is 1.
    student.td_lambda(table(0.0, 0.0), whole(0, 0, 1), table(0.0, 1.0), True, 0.5, 0.5, 0.5).equals(
        table(0.625, 0.0), atol=1e-12
    )


@task("td_lambda")
@needs("test_two_steps_of_the_handout")
def test_no_step_changes_nothing(student):
    """An episode without a step leaves the table as it was; a discount of 1 is refused."""
    V, nothing = table(3.0, 4.0), torch.zeros(0, dtype=torch.float64)
    student.td_lambda(V, whole(1), nothing, True, 0.5, 0.5, 0.5).equals(V)
    student.td_lambda(V, whole(1), nothing, True, 0.5, 1.0, 0.5).refused()


# %% [markdown] task="sarsa_update"
# ## `sarsa_update`: learn the value of what you do
#
# To choose between actions without knowing the world, keep a value for each of them: $Q(s, a)$ is what taking $a$ in
# $s$ is worth. After the step you look at the action $a'$ that you *really take next*:
#
# $$Q(s, a) \leftarrow Q(s, a) + \alpha\big( r + \gamma\, Q(s', a') - Q(s, a) \big)$$
#
# Terminated: no $\gamma Q(s', a')$, whatever the table holds. Only entry $(s, a)$ moves.
#
# **By hand.** $Q(s, a) = 2$, $r = 1$, $Q(s', \cdot) = (4, 8)$, $\alpha = \gamma = \tfrac12$. With $a' = 0$ the target is
# 3 and the entry becomes 2.5; with $a' = 1$ the target is 5 and it becomes 3.5.


# %% task="sarsa_update" points=2 minutes=8
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
    ### BEGIN SOLUTION
    check_gamma(gamma)
    future = 0.0 if terminated else Q[s_next, a_next]
    Q_new = Q.clone()  # (S, A)
    Q_new[s, a] += alpha * (r + gamma * future - Q[s, a])
    return Q_new
    ### END SOLUTION


# %% [markdown] hints="sarsa_update"
# 1. Compare with `td0_update`: what stands where V(s) stood, and what where V(s') stood?
# 2. The same three lines, with two indices. The next action is given to you: use it, good or bad.
# 3. `Q_new = Q.clone()`, then
#    `Q_new[s, a] += alpha * (r + gamma * (0 if terminated else Q[s_next, a_next]) - Q[s, a])`.

# %% tests="sarsa_update"


@task("sarsa_update")
@pytest.mark.parametrize(("a_next", "entry"), [(0, 2.5), (1, 3.5)])
def test_sarsa_of_the_handout(student, a_next, entry):
    """The next action decides: 2.5 after the worse one, 3.5 after the better one."""
    Q = table([2.0, 9.0], [4.0, 8.0])
    student.sarsa_update(Q, 0, 0, 1.0, 1, a_next, False, 0.5, 0.5).equals(table([entry, 9.0], [4.0, 8.0]), atol=1e-12)


@task("sarsa_update")
def test_sarsa_at_an_end(student):
    """At the end of the world only the reward counts."""
    student.sarsa_update(table([2.0, 9.0], [4.0, 8.0]), 0, 0, 1.0, 1, 1, True, 0.5, 0.5).equals(
        table([1.5, 9.0], [4.0, 8.0]), atol=1e-12
    )


# %% [markdown] task="q_update"
# ## `q_update`: learn the value of the best you could do
#
# One letter less, and another theory. Q-learning does not ask what you do next. It asks for the best there is:
#
# $$Q(s, a) \leftarrow Q(s, a) + \alpha\big( r + \gamma \max_{a'} Q(s', a') - Q(s, a) \big)$$
#
# So you may wander about as you like and still learn how to walk straight. Terminated: the term with the maximum is
# dropped, whatever the table holds. Only entry $(s, a)$ moves.
#
# **By hand.** As above: the best of $(4, 8)$ is 8, the target is 5, and the entry becomes 3.5, whatever is done next.


# %% task="q_update" points=2 minutes=7
def q_update(Q: Tensor, s: int, a: int, r: float, s_next: int, terminated: bool, alpha: float, gamma: float) -> Tensor:
    """The table after one step of Q-learning. Q: (S, A) float64. Returns a new table in which only Q[s, a] differs.

    Raises ValueError unless 0 <= gamma < 1.

    Source: Watkins and Dayan 1992, equation 1; Sutton and Barto, equation 6.8.
    """
    ### BEGIN SOLUTION
    check_gamma(gamma)
    future = 0.0 if terminated else Q[s_next].max()
    Q_new = Q.clone()  # (S, A)
    Q_new[s, a] += alpha * (r + gamma * future - Q[s, a])
    return Q_new
    ### END SOLUTION


# %% [markdown] hints="q_update"
# 1. You are in s' and may choose freely, by your own table. What do you expect from there?
# 2. `sarsa_update` with one change: the value of s' is the largest entry of its row.
# 3. `Q_new = Q.clone()`, then `Q_new[s, a] += alpha * (r + gamma * (0 if terminated else Q[s_next].max()) - Q[s, a])`.

# %% tests="q_update"


@task("q_update")
def test_q_of_the_handout(student):
    """The best next action is worth 8, so 2 becomes 3.5, or 1.5 at the end of the world."""
    Q = table([2.0, 9.0], [4.0, 8.0])
    student.q_update(Q, 0, 0, 1.0, 1, False, 0.5, 0.5).equals(table([3.5, 9.0], [4.0, 8.0]), atol=1e-12)
    student.q_update(Q, 0, 0, 1.0, 1, True, 0.5, 0.5).equals(table([1.5, 9.0], [4.0, 8.0]), atol=1e-12)


# %% [markdown] task="q_learning"
# ## `q_learning`: an agent that learns by acting
#
# Now close the loop. `env` is a gymnasium environment whose observations and actions are whole numbers
# (`env.observation_space.n` states, `env.action_space.n` actions). You take exactly `steps` steps in it, one update
# after each, and return the table.
#
# - $Q$ begins at zero, float64, (S, A).
# - **Acting** is $\varepsilon$-greedy: with probability `epsilon` any action, all equally likely; otherwise one with the
#   largest $Q(s, \cdot)$. Where several are equal (and at first all are), one of them **at random**.
# - **Learning** is `q_update` with constant `alpha`: towards $r + \gamma \max_{a'} Q(s', a')$.
# - **Ends.** `env.step` returns `(s_next, reward, terminated, truncated, info)`. Terminated: nothing comes after.
#   Truncated: a clock stopped the episode, and $s'$ **keeps its value** in the target. (Both at once: terminated.) After
#   either one, `env.reset()` begins the next episode (after the very last step it makes no difference).
# - **Seeds.** `env.reset(seed=seed)` once, at the beginning, and never again with a seed: else every episode has the
#   same luck. Your own dice begin at `seed` as well, so that one seed always gives one table.
#
# To try it, in the folder of this assignment:
#
# ```python
# import gymnasium
# from value_functions import q_learning
# env = gymnasium.make("FrozenLake-v1")
# Q = q_learning(env, steps=50_000, alpha=0.05, gamma=0.99, epsilon=0.4)
# print(Q.argmax(1).reshape(4, 4))
# ```
#
# **What your agent has to reach.** The grader passes each of these settings. On *FrozenLake-v1* (4 by 4, slippery),
# with 50,000 steps, $\alpha = 0.05$, $\gamma = 0.99$, $\varepsilon = 0.4$: the greedy policy of your table reaches the
# goal within 100 steps with probability 0.5 or more (0.74 is the most that anybody can). On *CliffWalking-v1*, with
# 20,000 steps, $\alpha = 0.5$, $\gamma = 0.99$, $\varepsilon = 0.1$: the greedy policy has a return of exactly $-13$,
# which is the shortest way. Where your table has equal entries, the grader takes the lowest index. The lake may take 120
# seconds of processor time and the cliff 60; a plain loop that calls `q_update` needs a small part of that.


# %% task="q_learning" points=6 minutes=40
def q_learning(env: gymnasium.Env, steps: int, alpha: float, gamma: float, epsilon: float, seed: int = 0) -> Tensor:
    """Learns a table of action values by acting for `steps` steps.

    env: Discrete observations (S) and actions (A). Returns Q (S, A) float64.

    Source: Watkins and Dayan 1992; Sutton and Barto, section 6.5.
    """
    ### BEGIN SOLUTION
    S, A = int(env.observation_space.n), int(env.action_space.n)
    dice = random.Random(seed)
    Q = torch.zeros(S, A, dtype=torch.float64)  # (S, A)
    s, _ = env.reset(seed=seed)
    for _ in range(steps):
        if dice.random() < epsilon:
            a = dice.randrange(A)
        else:
            row = Q[s].tolist()  # A numbers
            a = dice.choice([i for i, q in enumerate(row) if q == max(row)])
        s_next, r, terminated, truncated, _ = env.step(a)
        Q = q_update(Q, s, a, r, s_next, terminated, alpha, gamma)  # (S, A)
        s = s_next
        if terminated or truncated:
            s, _ = env.reset()
    return Q
    ### END SOLUTION


# %% [markdown] hints="q_learning"
# 1. Follow one number: the first reward ever seen. Which entry learns of it at once, which one an episode later? And
#    what does an agent do before it has seen any reward, when its whole table is zero?
# 2. One loop of `steps` turns: choose, step, update, then either go on from s_next or reset. Only `terminated` cuts the
#    future out of the target; both flags lead to a reset. To break ties, list all actions whose value equals the
#    largest, and draw from that list.
# 3. `dice = random.Random(seed)`; `s, _ = env.reset(seed=seed)`. In the loop: `a = dice.randrange(A)` with probability
#    epsilon, else `dice.choice` of the best actions; `s_next, r, terminated, truncated, _ = env.step(a)`;
#    `Q = q_update(Q, s, a, r, s_next, terminated, alpha, gamma)`; `s = s_next`, or `s, _ = env.reset()` after an end.

# %% tests="q_learning"


@task("q_learning")
def test_four_steps_without_a_choice(student):
    """With one action nothing is left to chance: four steps on a road of two states, with an end of each kind."""
    # The road: 0 pays 4 and leads to 1; 1 pays 2 and leads to 0, where a clock stops the episode. Then again.
    # alpha = gamma = 1/2. Step 1: Q0 = 2. Step 2: Q1 = (2 + 1/2 * 2) / 2 = 1.5, for a clock is no end of the world.
    # Step 3: Q0 = 2 + (4 + 0.75 - 2) / 2 = 3.375. Step 4: Q1 = 1.5 + (2 + 1.6875 - 1.5) / 2 = 2.59375.
    rail = {"next": [1, 0], "rewards": [4.0, 2.0], "ends": ["", "truncated"], "start": 0}
    Q, _ = student.ask(rail_learning, rail, 4, 0.5, 0.5, 0.1, 0).value
    assert torch.allclose(Q, table([3.375], [2.59375])), f"after four steps with a clock: {Q.flatten().tolist()}"
    # The same with an end of the world at state 1: Q1 = 1, then Q0 = 2 + (4 + 0.5 - 2) / 2 = 3.25, Q1 = 1.5.
    rail = {**rail, "ends": ["", "terminated"]}
    Q, _ = student.ask(rail_learning, rail, 4, 0.5, 0.5, 0.1, 0).value
    assert torch.allclose(Q, table([3.25], [1.5])), f"after four steps with an end: {Q.flatten().tolist()}"


@task("q_learning")
@needs("test_four_steps_without_a_choice")
@graded_run(cpu_seconds=30)
def test_practice_on_dry_ice(student, run):
    """On a lake that is not slippery, 10,000 steps are enough to reach the goal every time."""
    world = World(run, lambda: gymnasium.make("FrozenLake-v1", is_slippery=False), budget=10_000)
    Q = student.ask(train, world.served(curve=False), 10_000, 0.5, 0.9, 0.5, run.seed).value
    returns = world.returns(lambda seen: greedy_actions(Q, np.asarray(seen)), episodes=4)
    run.reaches("share of episodes that reach the goal", float(returns.mean()), at_least=1.0)
