# %% [markdown] assignment="a07_gae" title="Advantages that survive all four endings" module="gae" requires="torch" summary="Tell each action how much better it turned out than expected, and get every ending right: fallen over, out of time, still running, cut off by you." forbidden="stable_baselines3, torchrl"
# # Advantages that survive all four endings
#
# An agent takes an action, and things go better than its critic expected. How much of that is the action's merit? The
# critic's surprise one step later is a good answer if the critic is good; the whole sum of rewards is a good answer if
# you can wait and do not mind noise. Generalised advantage estimation (GAE) is one dial between the two, and nearly
# every PPO turns it, up to those that train language models.
#
# The formula takes one line. The difficulty is how things *end*. An episode ends because the pole fell, or because a
# clock ran out; a rollout ends because you stopped recording. Each wants something else of the formula, wrong versions
# of all of them train well enough to go unnoticed, and many a well-known implementation has one. Yours will not.
#
# You write five functions, in this order:
#
# 1. `td_errors`: the critic's surprise at each step
# 2. `gae`: what later surprises say about this step
# 3. `value_targets`: what the critic should have said
# 4. `explained_variance`: how much of it the critic knew
# 5. `true_next_obs`: what each step really led to, in a vector of environments that reset themselves
#
# **You need** the idea of a TD error and of a terminal state (assignment a05), and of a return and a baseline (a06).
# None of their code. The [reading page](../../docs/learn/a07_gae.md) derives the formula and shows what each wrong
# ending does to it.
#
# ```
# autograder check a07          # all tasks: what holds, what to mend first
# autograder check a07.gae      # one task
# autograder hint a07.gae       # the next of its three hints
# ```
#
# ## A rollout, row by row
#
# Rollouts are **time-major**: shape (T, N), index `[t, n]`, with T steps of N environments side by side; (T,) is a
# single environment. Row t of every array speaks of one and the same transition, the one that began in the
# observation of row t:
#
# | | of transition t |
# |---|---|
# | `rewards[t]` | what it paid |
# | `values[t]` | what the critic said of the state where it began |
# | `next_values[t]` | what the critic said of the state that **it truly led to**, also where an episode ended there |
# | `terminated[t]` | it led to a state after which nothing comes: the pole fell |
# | `truncated[t]` | the episode was stopped there, though the world could have gone on: the time limit |
#
# `next_values[t]` is *not* `values[t + 1]`. Where an episode ended, row t + 1 belongs to a new one. Where it went on the
# two speak of the same state and usually agree; take `next_values` as you are given them all the same, in every row
# (the tests give you numbers that do not agree).
#
# ## The four endings
#
# | transition t | `terminated[t]` | `truncated[t]` | does $V$ of the next state count? | does the trace of row t + 1 flow in? |
# |---|---|---|---|---|
# | goes on | False | False | yes | yes |
# | **terminated** | True | False | no: nothing comes after | no |
# | **truncated** | False | True | **yes**: the world would have gone on | no: row t + 1 is another episode |
# | **rollout cut**: the last row, still running | False | False | yes | there is no row t + 1: nothing flows in |
# | both flags at once | True | True | as terminated: **no** | no |
#
# Both flags at once is no freak: the pole can fall in the very step in which time runs out, and gymnasium then reports
# both. It fell.
#
# ## What we keep of the papers, and what we leave out
#
# Kept from *High-Dimensional Continuous Control Using Generalized Advantage Estimation* (Schulman et al., 2016): the TD
# error and the estimator of equation 16. Kept from *Time Limits in Reinforcement Learning* (Pardo et al., 2018): a
# state does not become worthless because a clock ran out, so its value is bootstrapped there.
#
# Left out: the trust region and the critic's own optimiser of the first paper; making the clock part of the observation
# (the second paper's other remedy, right when the limit belongs to the task); corrections for data of an older policy.
#
# ## Convention card
#
# | question | our answer | who differs |
# |---|---|---|
# | whose ending is `done[t]`? | **transition t's own** | CleanRL's `dones[t]` and Stable-Baselines3's `episode_starts[t]`: the transition before |
# | how do you get the value of the next state? | `next_values`, T rows of their own | many: `values` with T + 1 rows |
# | a time limit | **bootstraps**, and cuts the trace | CleanRL's `ppo.py`: no bootstrap |
# | both flags | terminated wins | |
# | advantages | **raw**; whoever uses them may normalise | |
# | critic's targets | advantage plus value (the lambda-return) | Spinning Up: the discounted sum of rewards |
# | explained variance | prediction first; divides by n; nan where the targets do not vary | scikit-learn: truth first |
# | vector environments | `AutoresetMode.SAME_STEP`, keys `final_obs` and `_final_obs` | gymnasium's default is `NEXT_STEP`; older versions say `final_observation` |
# | flags | bool; float 0/1 is accepted as well | |
# | shapes | must be equal: (T, N) with (T, 1) or (T,) is **refused** with `ValueError` | torch stretches them in silence |
# | gradients | results carry none, whatever the inputs carry | |
# | dtype | float32 in, float32 out; float64 in, float64 out; rewards and values share one | |
# | inputs | are never changed in place | Stable-Baselines3 adds the bootstrap to `rewards` |
#
# ## What you may not use, and why
#
# `stable_baselines3` and `torchrl` hold what you are building. All of torch and numpy is yours.
#
# ## What the tests look at
#
# Values in float64, to nine digits and once to twelve, against sums written straight from the definition, step by step,
# for every ending alone and for all of them in one batch; the two ends of the dial (lambda 0 and 1); environments that
# must not feel each other; float flags; float32; an empty rollout for `gae`; whether gradients are off, inputs are
# untouched and unequal shapes are refused; and real vector environments of gymnasium.

# %%
import math

import numpy as np
import torch
from torch import Tensor

# %% [markdown] task="td_errors"
# ## `td_errors`: the critic's surprise at each step
#
# Before the step the critic said $V(s_t)$. After it, it knows more: a reward came in, and the rest can be guessed anew
# from the next state. The TD error is the difference, later guess minus earlier guess:
#
# $$\delta_t = r_t + \gamma\,(1 - \text{terminated}_t)\,V(s_{t+1}) - V(s_t)$$
#
# where $V(s_{t+1})$ is `next_values[t]`. After a terminal state there is nothing to hope for, whatever number the critic
# says of it. (A finite one: $0 \cdot$ nan is nan, and a critic that says nan is not asked.) A truncation is no terminal
# state, so this function does not even ask for that flag.
#
# **A trap in torch.** A Python number times a bool or float32 tensor is a *float32* tensor. So `gamma * ~terminated`, and
# `gamma * (1 - terminated.float())`, round gamma to seven digits, and a float64 answer made from it is wrong from the
# eighth digit on: too little to see, enough to fail. Turn the mask into the dtype of the rewards first.
#
# **By hand.** $\gamma = 0.5$, one environment:
#
# | t | reward | value | next value | terminated | $\delta_t$ |
# |---|---:|---:|---:|---|---:|
# | 0 | 1 | 1 | 1 | | 1 + 0.5 · 1 − 1 = 0.5 |
# | 1 | 2 | 1 | 1 | yes | 2 + 0 − 1 = 1 |
# | 2 | 1 | 1 | 3 | | 1 + 0.5 · 3 − 1 = 1.5 |
# | 3 | 1 | 1 | 2 | | 1 + 0.5 · 2 − 1 = 1 |


# %% task="td_errors" points=2 minutes=10
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
    ### BEGIN SOLUTION
    if not rewards.shape == values.shape == next_values.shape == terminated.shape:
        raise ValueError("rewards, values, next_values and terminated must have one shape")
    goes_on = (~terminated.bool()).to(rewards.dtype)  # (T, N)  1 if anything comes after this step, else 0
    return (rewards + gamma * goes_on * next_values - values).detach()  # (T, N)
    ### END SOLUTION


# %% [markdown] hints="td_errors"
# 1. In row 1 of the table above, what does the critic's guess for the next state count, and why?
# 2. Everything happens row by row, and all four arrays speak of the same row: there is nothing to shift and no loop to
#    write. What you multiply `next_values` by is 1 where the step did not terminate and 0 where it did.
# 3. Compare the four shapes first and raise `ValueError` if they differ. `(~terminated.bool()).to(rewards.dtype)` turns
#    bool or 0/1 flags into a 1 where the episode goes on (a bool tensor cannot be subtracted from 1). Then write the
#    formula as it stands, and `.detach()` the result.

# %% tests="td_errors"
import importlib

import pytest
import torch
from asks import advantages_of_a_rollout, carries_gradient, next_obs_of_a_step, write_into_next_obs

from autograder.testing import needs, task


def column(*numbers):
    """One environment's numbers, in float64."""
    return torch.tensor(numbers, dtype=torch.float64)


def flags(*places, T=4):
    """One environment's flags: True at the given steps."""
    return torch.tensor([t in places for t in range(T)])


def example():
    """The rollout of the handout: four steps of one environment."""
    return column(1, 2, 1, 1), column(1, 1, 1, 1), column(1, 1, 3, 2)


def side_by_side():
    """Three environments, four steps: numbers without a pattern, and next values unlike the values one row below."""
    t, n = torch.arange(4.0, dtype=torch.float64)[:, None], torch.arange(3.0, dtype=torch.float64)
    return torch.sin(3 * t + 5 * n + 1), torch.cos(2 * t - 3 * n), 2 * torch.sin(7 * t + n * n + 2)


@task("td_errors")
def test_the_worked_errors_of_the_handout(student):
    """The four surprises of the handout are 0.5, 1, 1.5 and 1."""
    rewards, values, next_values = example()
    student.td_errors(rewards, values, next_values, flags(1), 0.5).equals(column(0.5, 1, 1.5, 1), rtol=1e-9)


@task("td_errors")
def test_only_the_terminated_step_expects_nothing(student):
    """Of three environments, the one that terminated at step 2 gets no value for its next state there."""
    rewards, values, next_values = side_by_side()
    terminated = torch.zeros(4, 3, dtype=torch.bool)
    terminated[2, 1] = True
    expected = rewards + 0.9 * next_values - values
    expected[2, 1] = rewards[2, 1] - values[2, 1]
    # float64: another order of the same three terms, nothing more
    student.td_errors(rewards, values, next_values, terminated, 0.9).equals(expected, rtol=1e-9, atol=1e-12)


@task("td_errors")
def test_flags_may_be_zeros_and_ones(student):
    """Flags given as float 0 and 1 mean the same as False and True."""
    rewards, values, next_values = example()
    student.td_errors(rewards, values, next_values, column(0, 1, 0, 0), 0.5).equals(column(0.5, 1, 1.5, 1), rtol=1e-9)


@task("td_errors")
def test_surprises_carry_no_gradient(student):
    """A critic whose values require a gradient gets surprises that carry none."""
    rewards, values, next_values = example()
    answer = student.ask(carries_gradient, "td_errors", [rewards, values, next_values, flags(1), 0.5], [1, 2])
    answer.equals({"result": column(0.5, 1, 1.5, 1), "carries a gradient": False}, rtol=1e-9)


@task("td_errors")
@needs("test_the_worked_errors_of_the_handout")
def test_a_column_beside_a_row_is_refused(student):
    """Rewards of shape (4,) beside values of shape (4, 1) are refused."""
    rewards, values, next_values = example()
    student.td_errors(rewards, values[:, None], next_values, flags(1), 0.5).refused()


# %% [markdown] task="gae"
# ## `gae`: what later surprises say about this step
#
# A good action is often not recognised at once: the surprise comes later. So an action's advantage is its own
# surprise plus the later ones, each step further away counting less by the factor $\gamma\lambda$:
#
# $$A_t = \delta_t + (\gamma\lambda)\,\delta_{t+1} + (\gamma\lambda)^2\,\delta_{t+2} + \dots
# \qquad\text{(Schulman et al., equation 16)}$$
#
# until the episode ends, or your rollout does. The same from the back, one step at a time, with
# $\text{done}_t = \text{terminated}_t \lor \text{truncated}_t$ and $A_T = 0$ behind the last row:
#
# $$A_t = \delta_t + \gamma\lambda\,(1 - \text{done}_t)\,A_{t+1}$$
#
# Two flags, two questions. `terminated` alone decides whether the next *value* counts, inside $\delta$. Either flag cuts
# the *trace*: what row t + 1 learned belongs to somebody else's episode. The last row bootstraps like any other (it is in
# `next_values`), and nothing flows into it.
#
# **By hand.** The rollout from above, $\gamma = \lambda = 0.5$ (so $\gamma\lambda = 0.25$), now with a time limit at step 2:
#
# | t | ending | $\delta_t$ | flows in | $A_t$ |
# |---|---|---:|---:|---:|
# | 3 | rollout cut | 1 | nothing | 1 |
# | 2 | truncated | 1.5 | nothing | 1.5 |
# | 1 | terminated | 1 | nothing | 1 |
# | 0 | goes on | 0.5 | 0.25 · 1 | 0.75 |
#
# **The edges.** A rollout of no steps (T = 0) gives an empty answer of its own shape. Unequal shapes are refused.


# %% task="gae" points=5 minutes=30
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
    ### BEGIN SOLUTION
    if terminated.shape != truncated.shape:
        raise ValueError(f"terminated is {tuple(terminated.shape)}, truncated {tuple(truncated.shape)}")
    delta = td_errors(rewards, values, next_values, terminated, gamma)  # (T, N)  only a termination masks the value
    goes_on = (~(terminated.bool() | truncated.bool())).to(delta.dtype)  # (T, N)  either flag cuts the trace
    advantages = torch.empty_like(delta)  # (T, N)
    trace = delta.new_zeros(delta.shape[1:])  # (N,)  behind the last row there is nothing
    for t in reversed(range(len(delta))):
        trace = delta[t] + gamma * lam * goes_on[t] * trace  # (N,)
        advantages[t] = trace
    return advantages
    ### END SOLUTION


# %% [markdown] hints="gae"
# 1. Cover the table of the four endings and fill it in from memory: for each ending, may the next value count, and may
#    the next row's advantage flow in? For which ending do the two answers differ?
# 2. You need two masks, not one: the first (terminated only) is inside `td_errors`, which you have; the second (either
#    flag) multiplies what flows in. Walk the rows from the last to the first and carry one number for each environment.
#    Before the last row it is zero.
# 3. `delta = td_errors(...)`; `goes_on = (~(terminated.bool() | truncated.bool())).to(delta.dtype)`; `trace =
#    delta.new_zeros(delta.shape[1:])`; for t from T − 1 down to 0: `trace = delta[t] + gamma * lam * goes_on[t] * trace`,
#    and that is `advantages[t]`. Check that `truncated` has the common shape too.


# %% tests="gae"
@task("gae")
def test_the_worked_example_with_three_endings(student):
    """Terminated at 1, truncated at 2, cut at 3: the advantages of the handout are 0.75, 1, 1.5 and 1."""
    rewards, values, next_values = example()
    answer = student.gae(rewards, values, next_values, flags(1), flags(2), 0.5, 0.5)
    answer.equals(column(0.75, 1, 1.5, 1), rtol=1e-9)


@task("gae")
def test_a_running_episode_is_cut_by_the_rollout(student):
    """Nothing ends: surprises 0.5, 0.5, 1.5 and 1 flow back by a quarter a step, and the last row bootstraps."""
    rewards, values, next_values = example()
    rewards[1] = 1.0
    # from the back: 1, 1.5 + 1/4, 0.5 + 1.75/4, 0.5 + 0.9375/4
    expected = column(0.734375, 0.9375, 1.75, 1)
    student.gae(rewards, values, next_values, flags(), flags(), 0.5, 0.5).equals(expected, rtol=1e-9)


@task("gae")
def test_a_time_limit_is_not_a_fall(student):
    """The same episode, stopped at step 1 by a clock instead of a fall, is worth gamma times the next value more."""
    rewards, values, next_values = example()
    fallen = column(0.75, 1, 1.75, 1)
    stopped = column(0.5 + 0.25 * 1.5, 1.5, 1.75, 1)
    student.gae(rewards, values, next_values, flags(1), flags(), 0.5, 0.5).equals(fallen, rtol=1e-9)
    student.gae(rewards, values, next_values, flags(), flags(1), 0.5, 0.5).equals(stopped, rtol=1e-9)


@task("gae")
def test_a_fall_on_the_last_tick_is_a_fall(student):
    """Both flags at step 1: as if it had only terminated."""
    rewards, values, next_values = example()
    answer = student.gae(rewards, values, next_values, flags(1), flags(1), 0.5, 0.5)
    answer.equals(column(0.75, 1, 1.75, 1), rtol=1e-9)


@task("gae")
def test_one_batch_with_every_ending(student):
    """Environments that run on, terminate, are truncated, and all of it: each as the definition sums it, step by step."""
    rewards, values, next_values = side_by_side()
    terminated = torch.stack([flags(), flags(1), flags(0)], dim=1)
    truncated = torch.stack([flags(2), flags(), flags(0, 2)], dim=1)
    expected = torch.zeros(4, 3, dtype=torch.float64)
    for n in range(3):
        for t in range(4):
            weight = 1.0
            for k in range(t, 4):  # the surprises from t on, each weaker than the one before ...
                future = 0.0 if terminated[k, n] else next_values[k, n]
                expected[t, n] += weight * (rewards[k, n] + 0.9 * future - values[k, n])
                weight *= 0.9 * 0.8
                if terminated[k, n] or truncated[k, n]:
                    break  # ... up to the episode's own end
    # float64: another order of summation
    answer = student.gae(rewards, values, next_values, terminated, truncated, 0.9, 0.8)
    answer.equals(expected, rtol=1e-9, atol=1e-12)


@task("gae")
@needs("test_the_worked_example_with_three_endings")
def test_an_empty_rollout_has_no_advantages(student):
    """No steps, no advantages: an empty tensor of the same shape."""
    nothing, no_flags = torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.bool)
    student.gae(nothing, nothing, nothing, no_flags, no_flags, 0.9, 0.8).equals(nothing)


@task("gae")
def test_advantages_carry_no_gradient(student):
    """Values that require a gradient give advantages that carry none."""
    rewards, values, next_values = example()
    arguments = [rewards, values, next_values, flags(1), flags(2), 0.5, 0.5]
    answer = student.ask(carries_gradient, "gae", arguments, [1, 2])
    answer.equals({"result": column(0.75, 1, 1.5, 1), "carries a gradient": False}, rtol=1e-9)


@task("gae")
@needs("test_the_worked_example_with_three_endings")
def test_values_with_one_row_too_many_are_refused(student):
    """Five values beside four rewards, as other codes keep them, are refused."""
    rewards, values, next_values = example()
    longer = torch.cat([values, next_values[-1:]])
    student.gae(rewards, longer, next_values, flags(1), flags(2), 0.5, 0.5).refused()


@task("gae")
def test_same_as_stable_baselines3(student):
    """Stable-Baselines3's buffer gives the same advantages, once the value after a time limit is in the reward."""
    np = pytest.importorskip("numpy")
    buffers = pytest.importorskip("stable_baselines3.common.buffers")
    spaces = pytest.importorskip("gymnasium").spaces
    rewards, values, next_values = side_by_side()
    terminated = torch.stack([flags(), flags(1), flags()], dim=1)
    truncated = torch.stack([flags(2), flags(), flags()], dim=1)
    done = terminated | truncated
    running = ~done[:-1]
    next_values[:-1][running] = values[1:][running]  # theirs reads the value one row below
    theirs = buffers.RolloutBuffer(4, spaces.Box(-1, 1), spaces.Discrete(2), gae_lambda=0.8, gamma=0.9, n_envs=3)
    theirs.rewards = (rewards + 0.9 * next_values * truncated).float().numpy()
    theirs.values = values.float().numpy()
    theirs.episode_starts = np.concatenate([np.ones((1, 3)), done[:-1].numpy()]).astype(np.float32)
    theirs.compute_returns_and_advantage(next_values[-1].float(), done[-1].numpy())
    ours = student.gae(rewards, values, next_values, terminated, truncated, 0.9, 0.8)
    # theirs is float32
    ours.equals(torch.from_numpy(theirs.advantages).double(), rtol=1e-5, atol=1e-6)


# %% [markdown] task="value_targets"
# ## `value_targets`: what the critic should have said
#
# The advantage is what came out minus what the critic said. So what came out is the advantage plus what the critic said:
#
# $$\hat V_t = A_t + V(s_t)$$
#
# With advantages from `gae` this is the *lambda-return*: at $\lambda = 1$ the discounted rewards to the end (and the
# bootstrap there), at $\lambda = 0$ the one-step target $r_t + \gamma V(s_{t+1})$. It is made **once**, before the critic
# moves, from the raw advantages, and it stands still: a target that carries a gradient runs away from the guess that
# chases it.
#
# **By hand.** The advantages 0.75, 1, 1.5, 1 over values of 1 give the targets 1.75, 2, 2.5, 2.


# %% task="value_targets" points=1 minutes=5
def value_targets(advantages: Tensor, values: Tensor) -> Tensor:
    """What a critic is trained towards: the lambda-returns of the rollout.

    advantages: raw, as `gae` gives them, (T, N) or (T,).
    values: the critic's values from which they were made, the same shape.
    Returns advantages + values, in the shape and dtype of the inputs, without gradient.
    Raises ValueError if the shapes are not equal.

    Source: the lambda-return of Sutton and Barto 2018, chapter 12; PPO implementations take it for their targets.
    """
    ### BEGIN SOLUTION
    if advantages.shape != values.shape:
        raise ValueError(f"advantages are {tuple(advantages.shape)}, values {tuple(values.shape)}")
    return (advantages + values).detach()  # (T, N)
    ### END SOLUTION


# %% [markdown] hints="value_targets"
# 1. An advantage says "so much more than the critic said". Where do you end up if you put what the critic said back?
# 2. One sum, of the numbers as they are: no centring, no scaling. Then make sure that no gradient can flow through it.
# 3. Compare the shapes, raise `ValueError` if they differ, and return the sum of both arguments, detached.


# %% tests="value_targets"
@task("value_targets")
def test_the_targets_of_the_handout(student):
    """Advantages 0.75, 1, 1.5, 1 over values of 1 give 1.75, 2, 2.5, 2."""
    answer = student.value_targets(column(0.75, 1, 1.5, 1), column(1, 1, 1, 1))
    answer.equals(column(1.75, 2, 2.5, 2), rtol=1e-9)


@task("value_targets")
def test_targets_stand_still(student):
    """Values that require a gradient give targets that carry none."""
    answer = student.ask(carries_gradient, "value_targets", [column(0.5, -1, 2, 1), column(1, 3, 0, 4)], [1])
    answer.equals({"result": column(1.5, 2, 2, 5), "carries a gradient": False}, rtol=1e-9)


@task("value_targets")
@needs("test_the_targets_of_the_handout")
def test_advantages_beside_a_column_of_values_are_refused(student):
    """Advantages of shape (4,) beside values of shape (4, 1) are refused: the sum would be (4, 4)."""
    student.value_targets(column(0.75, 1, 1.5, 1), column(1, 1, 1, 1)[:, None]).refused()


# %% [markdown] task="explained_variance"
# ## `explained_variance`: how much of it the critic knew
#
# Is the critic any good? Its loss does not say: 0.3 is excellent where returns reach from 0 to 500 and useless where
# they reach from 0 to 1. The share of the targets' spread that its values account for does say:
#
# $$\text{ev} = 1 - \frac{\operatorname{Var}(\hat V - V)}{\operatorname{Var}(\hat V)}$$
#
# over all elements at once, whatever the shape, with variances that divide by n. A critic that is right scores 1. One
# that says the same of every state scores 0, whatever it says. One that makes things worse than that scores below 0,
# and should. If the targets do not vary at all, there is nothing to explain and the answer is `nan`.
#
# Asking whether their variance is 0 is enough for the tests, whose equal targets have no rounding in them. It is not quite
# the same question: three times 0.1 has a variance of 2e-34. Comparing the targets themselves is safe. No elements at all
# are not asked.
#
# **By hand.** Values 1, 2, 3 and targets 0, 2, 4: the differences −1, 0, 1 have variance 2/3, the targets 8/3, so the
# answer is 1 − 1/4 = 0.75. Values 11, 12, 13 score the same: a constant offset does not show here.


# %% task="explained_variance" points=2 minutes=10
def explained_variance(values: Tensor, targets: Tensor) -> float:
    """The share of the targets' variance that the critic's values account for.

    values: what the critic said, (T, N) or (T,). targets: what came out, the same shape.
    Returns 1 - Var(targets - values) / Var(targets) as a Python float: over all elements, dividing by n. At most 1,
        below 0 where the values are worse than a constant, nan where the targets have no variance.
    Raises ValueError if the shapes are not equal.

    Source: the fraction of variance explained, as PPO implementations log it (Huang et al. 2022).
    """
    ### BEGIN SOLUTION
    if values.shape != targets.shape:
        raise ValueError(f"values are {tuple(values.shape)}, targets {tuple(targets.shape)}")
    spread = targets.var(correction=0)  # ()
    if spread == 0:
        return math.nan
    return float(1 - (targets - values).var(correction=0) / spread)
    ### END SOLUTION


# %% [markdown] hints="explained_variance"
# 1. Of which two things is the variance taken, and which of them is the yardstick? Check yourself with a critic that is
#    exactly right, and with one that says 7 of every state.
# 2. Both variances run over all elements, without an axis, and divide by the same number. What comes out is a plain
#    float, and nothing holds it above 0.
# 3. Compare shapes; take `targets.var(correction=0)`; if it is 0 return `math.nan`; otherwise
#    `float(1 - (targets - values).var(correction=0) / that)`.


# %% tests="explained_variance"
@task("explained_variance")
def test_three_quarters_by_hand(student):
    """Values 1, 2, 3 explain three quarters of the targets 0, 2, 4."""
    student.explained_variance(column(1, 2, 3), column(0, 2, 4)).equals(0.75, rtol=1e-9)


@task("explained_variance")
def test_an_offset_of_ten_does_not_show(student):
    """Values 11, 12, 13 explain just as much of the targets 0, 2, 4."""
    student.explained_variance(column(11, 12, 13), column(0, 2, 4)).equals(0.75, rtol=1e-9)


@task("explained_variance")
def test_worse_than_nothing_is_below_zero(student):
    """Values 4, 2, 0 for the targets 0, 2, 4 score 1 - 4 = -3."""
    student.explained_variance(column(4, 2, 0), column(0, 2, 4)).equals(-3.0, rtol=1e-9)


@task("explained_variance")
def test_all_environments_are_one_bag(student):
    """Of two environments whose targets are 0, 4 and 10, 14, all four numbers make one variance."""
    values, targets = torch.tensor([[2, 12], [2, 12]]).double(), torch.tensor([[0, 10], [4, 14]]).double()
    # differences -2, -2, 2, 2 with variance 4; targets 0, 10, 4, 14 with variance 29
    student.explained_variance(values, targets).equals(1 - 4 / 29, rtol=1e-9)


@task("explained_variance")
@needs("test_three_quarters_by_hand")
def test_targets_without_variance_give_nan(student):
    """Where every target is 2 there is nothing to explain: nan."""
    student.explained_variance(column(1, 2, 3), column(2, 2, 2)).equals(float("nan"), nan_equal=True)


@task("explained_variance")
@needs("test_three_quarters_by_hand")
def test_values_in_a_column_beside_targets_in_a_row_are_refused(student):
    """Values of shape (3, 1) beside targets of shape (3,) are refused."""
    student.explained_variance(column(1, 2, 3)[:, None], column(0, 2, 4)).refused()


# %% [markdown] task="true_next_obs"
# ## `true_next_obs`: what each step really led to
#
# `gae` wants the value of the state that a step truly led to. With a vector of environments that is not what you are
# handed. Under `SAME_STEP`, an environment whose episode ends is reset within the very same `step`:
#
# ```python
# envs = SyncVectorEnv([env_fn] * N, autoreset_mode=AutoresetMode.SAME_STEP)
# next_obs, rewards, terminated, truncated, infos = envs.step(actions)
# ```
#
# and `next_obs` of that environment is already the first screen of the *next* game. That is what the policy must act on,
# but its value has nothing to do with the step just taken. The last screen of the old game is kept aside:
#
# | in `infos` | what it is |
# |---|---|
# | `"final_obs"` | N entries (an object array): the last observation where an episode ended, `None` elsewhere |
# | `"_final_obs"` | N truth values: where there is one |
#
# Both keys are missing from a step in which nothing ended. Whatever else lies in `infos` (`"final_info"`, reports of the
# environment) is none of your business. An episode that ended has a final observation, *however* it ended.
#
# **By hand.** Three environments with one number to see; the first and the last have just ended.
#
# | | env 0 | env 1 | env 2 |
# |---|---:|---:|---:|
# | `next_obs` | 0 | 5 | 0 |
# | `infos["final_obs"]` | 9 | None | 7 |
# | `infos["_final_obs"]` | True | False | True |
# | **answer** | **9** | 5 | **7** |
#
# The answer is always a new array, in the dtype of `next_obs`, also where nothing ended: `next_obs` is what the policy
# sees next, and must stay whole whatever happens to the answer.


# %% task="true_next_obs" points=4 minutes=20
def true_next_obs(next_obs: np.ndarray, infos: dict) -> np.ndarray:
    """The observations that one step of a SAME_STEP vector environment truly led to.

    next_obs: (N, ...), as the step returned it: the reset observation where an episode has just ended.
    infos: as the step returned them; where an episode ended, infos["_final_obs"][i] is True and infos["final_obs"][i]
        is its last observation. Both keys are missing where none ended.
    Returns a new array (N, ...) in the dtype of next_obs, with the last observations in the rows that ended. next_obs
        and infos stay as they were.

    Source: gymnasium 1.4, AutoresetMode.SAME_STEP.
    """
    ### BEGIN SOLUTION
    true = next_obs.copy()  # (N, ...)
    if "_final_obs" in infos:
        for i in np.flatnonzero(infos["_final_obs"]):
            true[i] = infos["final_obs"][i]
    return true
    ### END SOLUTION


# %% [markdown] hints="true_next_obs"
# 1. After a step in which one of three environments was reset, which rows of `next_obs` are what the step led to, and
#    where does the missing one lie?
# 2. Start from a copy. Ask first whether anything ended at all; then visit only the rows for which `"_final_obs"` is True,
#    because the others hold `None`.
# 3. `true = next_obs.copy()`; if `"_final_obs"` is in infos, then for each `i` of `np.flatnonzero(infos["_final_obs"])` put
#    `infos["final_obs"][i]` into `true[i]`; return it.


# %% tests="true_next_obs"
def clocks(*limits, falls=()):
    """Steps of a real SyncVectorEnv of clocks: each shows [time, limit], pays its time, and stops at its limit.

    The limit is a truncation; at the places in `falls` it is a termination. What each step truly led to is known
    without looking: [time + 1, limit].
    """
    gymnasium = pytest.importorskip("gymnasium")
    np = pytest.importorskip("numpy")
    vector = importlib.import_module("gymnasium.vector")

    class Clock(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1.0, 99.0, (2,))
        action_space = gymnasium.spaces.Discrete(2)

        def __init__(self, limit, falls):
            self.limit, self.falls = limit, falls

        def seen(self):
            return np.array([self.time, self.limit], dtype=np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.time = 0
            return self.seen(), {}

        def step(self, action):
            self.time += 1
            over = self.time == self.limit
            return self.seen(), float(self.time), over and self.falls, over and not self.falls, {}

    builders = [lambda limit=limit, n=n: Clock(limit, n in falls) for n, limit in enumerate(limits)]
    return vector.SyncVectorEnv(builders, autoreset_mode=vector.AutoresetMode.SAME_STEP)


@task("true_next_obs")
def test_the_worked_step_of_the_handout(student):
    """The first and the last of three environments ended: 9, 5, 7."""
    np = pytest.importorskip("numpy")
    next_obs = np.array([[0.0], [5.0], [0.0]])
    infos = {"final_obs": [np.array([9.0]), None, np.array([7.0])], "_final_obs": np.array([True, False, True])}
    answer = student.ask(next_obs_of_a_step, next_obs, infos)
    answer.equals({"answer": np.array([[9.0], [5.0], [7.0]]), "next_obs": next_obs})


@task("true_next_obs")
def test_a_step_without_an_ending_gives_a_copy(student):
    """Nothing ended: the same numbers, in an array of their own."""
    np = pytest.importorskip("numpy")
    next_obs = np.array([[1.0, 2.0], [3.0, 4.0]])
    # the answer is written over; next_obs must not notice
    answer = student.ask(write_into_next_obs, next_obs, {})
    answer.equals({"answer": next_obs, "next_obs": next_obs})


@task("true_next_obs")
def test_steps_of_a_real_vector_environment(student):
    """Three clocks of gymnasium, two stopped and one fallen: each step led one tick further, whoever was reset."""
    np = pytest.importorskip("numpy")
    envs = clocks(3, 4, 2, falls=(2,))
    seen, _ = envs.reset(seed=0)
    for _ in range(6):
        expected = seen + np.array([1, 0], dtype=np.float32)
        seen, _, _, _, infos = envs.step(np.zeros(3, dtype=np.int64))
        sent = {key: list(value) if key == "final_obs" else value for key, value in infos.items()}
        student.ask(next_obs_of_a_step, seen, sent).equals({"answer": expected, "next_obs": seen})
    envs.close()


@task("true_next_obs")
def test_from_the_environment_to_the_advantages(student):
    """Your `true_next_obs` and your `gae`, on real clocks, with a critic that values [time, limit] at time + limit / 2."""
    np = pytest.importorskip("numpy")
    envs = clocks(3, 4, 2, falls=(2,))
    seen, _ = envs.reset(seed=0)
    rows = []
    for _ in range(6):
        before = seen
        seen, rewards, terminated, truncated, infos = envs.step(np.zeros(3, dtype=np.int64))
        sent = {key: list(value) if key == "final_obs" else value for key, value in infos.items()}
        rows.append([before, rewards, terminated, truncated, seen, sent])
    envs.close()
    # gamma = lambda = 0.5; surprise at time t of a clock with limit L: t + 1 + (t + 1 + L/2) / 2 - (t + L/2) = (t + 3)/2 - L/4
    surprise = [[(row[0][n, 0] + 3) / 2 - row[0][n, 1] / 4 for n in range(3)] for row in rows]
    for t, row in enumerate(rows):
        if row[2][2]:  # the third clock fell: its last state, worth 2 + 1, counts nothing
            surprise[t][2] -= 0.5 * 3
    expected = torch.tensor(surprise, dtype=torch.float64)
    for t in reversed(range(5)):
        ended = torch.from_numpy(rows[t][2] | rows[t][3])
        expected[t] += 0.25 * expected[t + 1].masked_fill(ended, 0.0)
    answer = student.ask(advantages_of_a_rollout, rows, [1.0, 0.5], 0.5, 0.5)
    answer.equals(expected, rtol=1e-9, atol=1e-12)
