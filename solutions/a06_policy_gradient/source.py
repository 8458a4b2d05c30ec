# %% [markdown] assignment="a06_policy_gradient" title="REINFORCE, and what an estimator is" module="policy_gradient" requires="torch, torch._dynamo, gymnasium, autograder.testing.remote" summary="Build the policy gradient from its parts: returns that stop at endings, log-probabilities of what was done, a loss whose gradient is right on average, and a policy that learns to balance a pole." forbidden="torch.distributions, stable_baselines3"
# # REINFORCE, and what an estimator is
#
# Up to now a value told you what is good, and acting well followed from it. Today you turn this round: you write down
# a policy with weights, let it act, and change the weights so that what went well becomes likelier. Nobody says what
# the right action was; there is only a number at the end, and luck is in it. That a gradient can be had from this at
# all is the most useful idea of the whole month: PPO and GRPO are this day's loss with better manners.
#
# What you compute is an *estimate*. It comes out different each time, and two questions decide whether it is any good:
# is it right on average, and how far does it scatter? Your loss will be asked both, on a problem so small that every
# case can be counted.
#
# You write five things, in this order:
#
# 1. `discounted_returns`: what came after each step, up to its episode's end
# 2. `categorical_log_prob`: how likely the policy found what it did
# 3. `reinforce_loss`: the loss whose gradient is the estimate
# 4. `normalize`: returns on a common scale
# 5. `train_reinforce`: play, look back, change, and again
#
# **You need** autograd and the training loop of the first assignment, and from the fifth what a return is. The
# [reading page](../../docs/learn/a06_policy_gradient.md) derives each formula and says what to read of the papers;
# forty minutes there will save you sixty here.
#
# ```
# autograder check a06                          # all tasks: what holds, what to mend first
# autograder check a06.discounted_returns       # one task
# autograder hint a06.discounted_returns        # the next of its three hints
# ```
#
# ## What we keep of the papers, and what we leave out
#
# Kept from *Simple statistical gradient-following algorithms* (Williams, 1992): REINFORCE, with a baseline that may be
# subtracted from what is earned. Kept from *Policy gradient methods with function approximation* (Sutton et al., 2000):
# an action is credited with what came after it, not before.
#
# Left out: a learned value as the baseline (the next two assignments), continuous actions (another log-probability in
# the same loss), natural gradients and trust regions. One licence that everybody takes, and so do we: strictly, step
# $t$ of a discounted problem would be weighted once more by $\gamma^t$. Nobody does, because it would all but ignore
# the later part of an episode.
#
# ## Convention card
#
# Every one of these could be otherwise, and in some library it is. When a number is wrong, begin here.
#
# | question | our answer | who differs |
# |---|---|---|
# | how does a rollout lie in memory? | time first: (T,) or (T, N), entry `[t, n]` is step t of environment n | codes that keep a list of episodes |
# | what does `dones[t]` say? | that **this** step, t, ended its episode | CleanRL's `dones[t]`, SB3's `episode_starts[t]`: the step before did |
# | what is a done? | `terminated` or `truncated`: these returns stop at both | from the next assignment on, the two are told apart |
# | what comes after the last row? | **nothing**, even if the episode was still running | actor-critic codes put a value there |
# | what is minimised? | a loss: minus the **mean over all steps** | Spinning Up's text: sum over an episode, mean over episodes |
# | which actions exist? | $0, \dots, A-1$, int64 | |
# | spread in `normalize` | over **all** entries, dividing by $n - 1$ | numpy's `std`: by $n$; some codes: each episode alone |
# | dtype | what comes in goes out: float32 to float32, float64 to float64; what meets (rewards, `logp`, a baseline tensor) shares one | |
# | flags | bool; zeros and ones of a float are fine too | |
# | inputs | are never changed in place | |
# | bad input that a task names | is refused: raise `ValueError` and say what is wrong. Other is not asked | |
#
# Letters: $T$ steps, $N$ environments side by side, $A$ actions, $\gamma$ the discount, $G_t$ the return from step $t$,
# $\pi_\theta$ the policy with weights $\theta$, $b$ a baseline.
#
# **Per-sample vectors do not broadcast.** A column (N, 1) against a row (N,) makes a table (N, N) in which every sample
# meets every other one, and the mean of that table is a perfectly ordinary number. It is the most expensive silent bug
# of this field, so here such a pair is refused.
#
# ## What you may not use, and why
#
# `torch.distributions` and `stable_baselines3`: they are what you are building. `log_softmax`, `gather`, `torch.optim`,
# `multinomial` and everything else in torch and gymnasium are yours. The practice tests hold your functions against
# `torch.distributions`, so you will see that yours are the same.
#
# ## What the tests look at
#
# Values in float64 against sums that are written out; gradients; several endings in one rollout, and none; T unlike N;
# logits of ten thousand; whether bad input is refused. Your loss is tried as an estimator: on a bandit all of whose
# arms are counted, its gradient must be *exactly* right on average, with any baseline, and a good baseline must make it
# scatter less. And at the end a policy is trained, and the grader plays with it.

# %%
from collections.abc import Callable

import gymnasium
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# %% [markdown] task="discounted_returns"
# ## `discounted_returns`: what came after each step
#
# An action cannot change what was earned before it. So each step is credited with what came from there on, and later
# rewards count a little less:
#
# $$G_t = r_t + \gamma\, r_{t+1} + \gamma^2 r_{t+2} + \dots \quad\text{up to the end of step } t\text{'s own episode.}$$
#
# A rollout is a long strip of steps in which one episode follows another, so the sum has to stop where `dones` says so.
# Written backwards it is one line:
#
# $$G_t = r_t + \gamma\,(1 - d_t)\, G_{t+1}, \qquad G_T = 0$$
#
# **By hand**, with $\gamma = 0.5$. The second step ends an episode; the last one does not, but the rollout is over, and
# what would have come after it counts as nothing:
#
# | t | 0 | 1 | 2 | 3 |
# |---|---|---|---|---|
# | reward | 1 | 1 | 1 | 1 |
# | done | False | True | False | False |
# | $G_t$ | 1.5 | 1 | 1.5 | 1 |
#
# **Edge cases.** `rewards` is (T,) or (T, N), time first, and the columns of (T, N) know nothing of each other. No steps
# ($T = 0$) give an empty answer of the same shape. `dones` of another shape than `rewards` is refused. `dones` may hold
# zeros and ones instead of truth values.
#
# **A trap in torch.** A Python number times a bool or float32 tensor is a *float32* tensor. So `gamma * ~dones`, and
# `gamma * (1 - dones.float())`, round gamma to seven digits, and a float64 answer made from it is wrong from the eighth
# digit on: too little to see, enough to fail. Turn `dones` into the dtype of the rewards first.


# %% task="discounted_returns" points=4 minutes=15
def discounted_returns(rewards: Tensor, dones: Tensor, gamma: float) -> Tensor:
    """What each step and those after it earned, up to the end of its episode, discounted.

    rewards: (T,) or (T, N), float. dones: the same shape, bool or 0/1: dones[t] says that step t ended its episode.
    Returns a tensor like rewards: G[t] = r[t] + gamma * (1 - dones[t]) * G[t + 1]; after the last row there is nothing.
    Raises ValueError if the shapes differ.

    Source: the reward-to-go of Sutton et al. 2000.
    """
    ### BEGIN SOLUTION
    if rewards.shape != dones.shape:
        raise ValueError(f"rewards {tuple(rewards.shape)} and dones {tuple(dones.shape)} must have one shape")
    running = 1.0 - dones.to(rewards.dtype)  # (T, ...)  1 where the episode goes on after this step
    G = torch.zeros_like(rewards)  # (T, ...)
    after = torch.zeros_like(rewards[0]) if len(rewards) else None  # (...)  G of the step that follows
    for t in reversed(range(len(rewards))):
        after = rewards[t] + gamma * running[t] * after
        G[t] = after
    return G
    ### END SOLUTION


# %% [markdown] hints="discounted_returns"
# 1. Take the table above and fill in the last row with a pencil. In which direction is it easy, and what do you have to
#    remember from one column to the next?
# 2. Go through time backwards and carry one number (one row of N numbers) with you: the return of the step that comes
#    after. Whose ending decides whether it may be carried from t + 1 to t: that of step t, or that of step t + 1?
# 3. `for t in reversed(range(T))`: the carried return becomes `rewards[t] + gamma * (1 - dones[t]) * carried`, and is
#    written into row t of a new tensor. It begins as zeros. Turn bool into the rewards' dtype before you subtract.


# %% tests="discounted_returns"
import math

import gymnasium
import numpy as np
import torch
from asks import act, loss_and_gradients, short_training, train

from autograder.testing import graded_run, needs, task
from autograder.testing.worlds import World


def numbers(*shape, start=0):
    """Fixed numbers between -2 and 2 without a visible pattern; `start` gives other ones."""
    return 2 * torch.sin(1.7 * torch.arange(start, start + math.prod(shape), dtype=torch.float64) ** 1.3).reshape(shape)


@task("discounted_returns")
def test_the_example_of_the_handout(student):
    """Rewards of 1 with an ending after the second step give 1.5, 1, 1.5, 1."""
    rewards, dones = torch.ones(4, dtype=torch.float64), torch.tensor([False, True, False, False])
    expected = torch.tensor([1.5, 1.0, 1.5, 1.0], dtype=torch.float64)
    student.discounted_returns(rewards, dones, 0.5).equals(expected, rtol=1e-9)


@task("discounted_returns")
def test_a_single_reward_at_the_end_fades_backwards(student):
    """A reward of 8 at the end is worth 8, 4, 2 and 1, seen from the steps before it."""
    rewards = torch.tensor([0.0, 0.0, 0.0, 8.0], dtype=torch.float64)
    dones = torch.tensor([False, False, False, True])
    expected = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    student.discounted_returns(rewards, dones, 0.5).equals(expected, rtol=1e-9)


@task("discounted_returns")
def test_two_environments_end_at_different_times(student):
    """Two columns with different endings are two rollouts."""
    rewards = torch.tensor([[1.0, 2.0], [4.0, 8.0], [16.0, 32.0]], dtype=torch.float64)
    dones = torch.tensor([[True, False], [False, False], [False, True]])
    expected = torch.tensor([[1.0, 14.0], [12.0, 24.0], [16.0, 32.0]], dtype=torch.float64)
    student.discounted_returns(rewards, dones, 0.5).equals(expected, rtol=1e-9)


@task("discounted_returns")
@needs("test_the_example_of_the_handout")
def test_no_steps_have_no_returns(student):
    """A rollout of no steps gives an empty answer."""
    nothing = torch.zeros(0, 3, dtype=torch.float64)
    student.discounted_returns(nothing, torch.zeros(0, 3, dtype=torch.bool), 0.9).equals(nothing)


@task("discounted_returns")
@needs("test_the_example_of_the_handout")
def test_a_column_of_dones_is_refused(student):
    """Dones of another shape than the rewards are refused."""
    student.discounted_returns(torch.ones(4), torch.zeros(4, 1, dtype=torch.bool), 0.5).refused()


# %% [markdown] task="categorical_log_prob"
# ## `categorical_log_prob`: how likely was what it did?
#
# The policy answers an observation with $A$ numbers, its *logits* $z$. A softmax turns them into probabilities, and the
# logarithm of one of them is what the policy gradient is made of:
#
# $$\log \pi(a) = z_a - \log \sum_{j} e^{z_j}$$
#
# **By hand.** Logits $(0, \ln 3)$ are the probabilities $\tfrac14, \tfrac34$. Action 0 has log-probability
# $\ln \tfrac14 = -1.386$, action 1 has $\ln \tfrac34 = -0.288$.
#
# **Edge cases.** Any number of leading axes: logits (..., A) with actions (...) give (...). Logits of $\pm 10^4$ give
# finite answers. `actions` are int64; of any shape but `logits.shape[:-1]` they are refused, a column (N, 1) too, and so
# is an action that does not exist: below 0, or A and above. The answer has a gradient in the logits. No rows at all
# (N = 0) are not asked.


# %% task="categorical_log_prob" points=2 minutes=10
def categorical_log_prob(logits: Tensor, actions: Tensor) -> Tensor:
    """The log-probability of each action under a softmax over the last axis.

    logits: (..., A), float, not normalised. actions: (...), int64, each in 0 .. A - 1.
    Returns log pi(a), shape (...), in the logits' dtype.
    Raises ValueError if the shapes do not fit or an action does not exist.
    """
    ### BEGIN SOLUTION
    if actions.shape != logits.shape[:-1]:
        raise ValueError(f"actions {tuple(actions.shape)} do not fit logits {tuple(logits.shape)}")
    if ((actions < 0) | (actions >= logits.shape[-1])).any():
        raise ValueError(f"an action is none of 0 to {logits.shape[-1] - 1}")
    logp = F.log_softmax(logits, dim=-1)  # (..., A)
    return logp.gather(-1, actions[..., None])[..., 0]  # (...)
    ### END SOLUTION


# %% [markdown] hints="categorical_log_prob"
# 1. Add 5 to all logits of one observation. What happens to the probabilities, and what must therefore happen to your
#    answer?
# 2. Normalise along the last axis first, in log space so that nothing overflows, and then pick one entry from each row.
#    Check shapes and range before you pick: indexing is generous with negative numbers.
# 3. `F.log_softmax(logits, dim=-1)`, then `.gather(-1, actions.unsqueeze(-1)).squeeze(-1)`: gather wants as many axes
#    as it picks from, so the actions get a last axis of size one and lose it again. Compare `actions.shape` with
#    `logits.shape[:-1]` before.


# %% tests="categorical_log_prob"
@task("categorical_log_prob")
def test_a_quarter_and_three_quarters(student):
    """Logits (0, ln 3) give the log-probabilities ln 1/4 and ln 3/4."""
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]], dtype=torch.float64)
    expected = torch.tensor([math.log(0.25), math.log(0.75)], dtype=torch.float64)
    student.categorical_log_prob(logits, torch.tensor([0, 1])).equals(expected, rtol=1e-9)


@task("categorical_log_prob")
def test_same_as_torch_distributions(student):
    """Your log-probabilities equal those of torch's own Categorical, over two leading axes."""
    logits = numbers(3, 4, 5)
    actions = torch.arange(12).reshape(3, 4) % 5
    expected = torch.distributions.Categorical(logits=logits).log_prob(actions)
    student.categorical_log_prob(logits, actions).equals(expected, rtol=1e-9, atol=1e-12)


@task("categorical_log_prob")
@needs("test_a_quarter_and_three_quarters")
def test_actions_that_fit_no_logits_are_refused(student):
    """A column of actions is refused, and so is an action that does not exist."""
    student.categorical_log_prob(torch.zeros(3, 2), torch.zeros(3, 1, dtype=torch.int64)).refused()
    student.categorical_log_prob(torch.zeros(3, 2), torch.tensor([0, 1, 2])).refused()


# %% [markdown] task="reinforce_loss"
# ## `reinforce_loss`: a loss whose gradient is the estimate
#
# What should grow is the expected return. Its gradient is an expectation too, and so can be estimated from what was
# played:
#
# $$\nabla_\theta\, \mathbb{E}[G] = \mathbb{E}\big[\,(G - b)\;\nabla_\theta \log \pi_\theta(a)\,\big]
# \quad\text{for any } b \text{ that does not depend on the action}$$
#
# An optimiser minimises, and wants a number to differentiate. Give it
#
# $$L = -\frac1n \sum_{t=1}^{n} \log \pi_\theta(a_t)\,(G_t - b_t)$$
#
# over all $n$ steps. Only the log-probabilities carry a gradient: returns and baseline are *weights* here, numbers that
# were observed, and nothing may flow into them. The value of $L$ means nothing; only its gradient does.
#
# **By hand.** `logp = (-1, -2)`, `returns = (3, 1)`:
#
# | baseline | $L$ | gradient in `logp` |
# |---|---|---|
# | none | 2.5 | $(-\tfrac32, -\tfrac12)$ |
# | 2 | $-0.5$ | $(-\tfrac12, +\tfrac12)$ |
#
# Without a baseline both actions become likelier, the better one more so. With one, what was below par becomes rarer.
#
# **Edge cases.** `logp` and `returns` have one shape, any; others are refused, (N, 1) with (N,) above all. `baseline` is
# None, a number (int or float), a tensor without axes, or a tensor of that same shape; a tensor of any other shape is
# refused. `returns` and `baseline` may ask for gradients; they get none. No steps at all have no mean, and are not asked.


# %% task="reinforce_loss" points=4 minutes=15
def reinforce_loss(logp: Tensor, returns: Tensor, baseline: Tensor | float | None = None) -> Tensor:
    """A loss whose gradient is minus the REINFORCE estimate of the policy gradient.

    logp: log-probabilities of the actions taken, any shape. returns: the same shape. baseline: None, a number, a
    tensor without axes, or a tensor of that shape.
    Returns a scalar tensor: -mean(logp * (returns - baseline)) over all steps. Its gradient reaches logp alone.
    Raises ValueError if the shapes differ.

    Source: Williams 1992, with the mean over steps in place of a sum over an episode.
    """
    ### BEGIN SOLUTION
    if returns.shape != logp.shape:
        raise ValueError(f"logp {tuple(logp.shape)} and returns {tuple(returns.shape)} must have one shape")
    weights = returns.detach()  # like logp
    if baseline is not None:
        baseline = torch.as_tensor(baseline, dtype=returns.dtype).detach()
        if baseline.shape not in ((), logp.shape):
            raise ValueError(f"a baseline {tuple(baseline.shape)} does not fit logp {tuple(logp.shape)}")
        weights = weights - baseline
    return -(logp * weights).mean()  # ()
    ### END SOLUTION


# %% [markdown] hints="reinforce_loss"
# 1. An action did better than expected. In which direction should its log-probability move, and in which direction does
#    an optimiser move things that stand in a loss?
# 2. What an action is multiplied with is data: it was observed and is not to be trained. torch has a word for "take the
#    number, forget where it came from". And check shapes before you multiply: broadcasting will never complain.
# 3. `-(logp * (returns - baseline).detach()).mean()`, after refusing `returns.shape != logp.shape` and any baseline
#    that is neither a number, nor without axes, nor of logp's shape.


# %% tests="reinforce_loss"
@task("reinforce_loss")
def test_two_steps_by_hand(student):
    """Two steps give the loss and the gradients of the handout's table, without a baseline and with 2."""
    logp, returns = torch.tensor([[-1.0, -2.0], [3.0, 1.0]], dtype=torch.float64)
    zero, gradient = torch.zeros(2, dtype=torch.float64), torch.tensor([-1.5, -0.5], dtype=torch.float64)
    loss = torch.tensor(2.5, dtype=torch.float64)
    answer = student.ask(loss_and_gradients, logp, returns)
    answer.equals({"loss": loss, "logp": gradient, "returns": zero, "baseline": None}, rtol=1e-9)
    loss, gradient = torch.tensor(-0.5, dtype=torch.float64), torch.tensor([-0.5, 0.5], dtype=torch.float64)
    answer = student.ask(loss_and_gradients, logp, returns, 2.0)
    answer.equals({"loss": loss, "logp": gradient, "returns": zero, "baseline": None}, rtol=1e-9)


@task("reinforce_loss")
def test_a_baseline_for_each_step(student):
    """With a baseline for each step, each step is weighted by its own difference; nothing flows into the baseline."""
    logp, returns, baseline = numbers(3, 2) - 3, numbers(3, 2, start=70), numbers(3, 2, start=300)
    expected = {
        "loss": -(logp * (returns - baseline)).sum() / 6,
        "logp": -(returns - baseline) / 6,
        "returns": torch.zeros(3, 2, dtype=torch.float64),
        "baseline": torch.zeros(3, 2, dtype=torch.float64),
    }
    student.ask(loss_and_gradients, logp, returns, baseline).equals(expected, rtol=1e-9, atol=1e-12)


@task("reinforce_loss")
@needs("test_two_steps_by_hand")
def test_a_column_meets_no_row(student):
    """Returns (N, 1) are refused where the log-probabilities are (N,)."""
    student.reinforce_loss(torch.zeros(3), torch.ones(3, 1)).refused()


# %% [markdown] task="normalize"
# ## `normalize`: returns on a common scale
#
# Returns of five hundred and returns of five want different learning rates. Almost every code therefore shifts a batch
# to mean 0 and scales it to spread 1 before it weighs log-probabilities with it: the mean is a baseline, and the scale
# keeps the size of a step the same all through training.
#
# $$\hat x = \frac{x - \bar x}{s + \epsilon}, \qquad s^2 = \frac{1}{n-1} \sum_{i} (x_i - \bar x)^2$$
#
# Mean and spread run over **all** entries, whatever the shape. (Episode by episode would forget which episodes were the
# good ones.)
#
# **By hand.** $(1, 2, 3)$ has mean 2 and spread 1, and becomes $(-1, 0, 1)$ when $\epsilon$ is 0. $(4, 4, 4)$ becomes
# $(0, 0, 0)$: where all are alike, nothing is better than anything.
#
# **Edge cases.** A single entry becomes 0: its spread counts as 0. An empty tensor is refused. $\epsilon$ is added to
# the spread, not to its square. Where all entries are alike it is above 0 (with $\epsilon = 0$ that is $0/0$).
#
# Equal entries give zeros *up to rounding*, and you need not do better: the formula makes $-0.41$ of seven times 0.1 in
# float32, because the mean is off by one last digit and the spread is just as small. The tests take numbers that are
# exact in binary.


# %% task="normalize" points=2 minutes=10
def normalize(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Shifted to mean 0 and scaled to spread 1 over all entries together.

    x: any shape with at least one entry, float. eps: added to the spread, so that equal entries give zeros.
    Returns (x - mean) / (std + eps), like x, with std**2 the sum of squares over n - 1; the std of one entry is 0.
    Raises ValueError if x is empty.
    """
    ### BEGIN SOLUTION
    n = x.numel()
    if n == 0:
        raise ValueError("nothing to normalise: x is empty")
    apart = x - x.mean()  # like x
    std = (apart.square().sum() / max(n - 1, 1)).sqrt()  # ()
    return apart / (std + eps)
    ### END SOLUTION


# %% [markdown] hints="normalize"
# 1. How many means and how many spreads does a rollout (T, N) have here? And what does n - 1 become for one entry?
# 2. `x.mean()` and `x.std()` without a `dim` look at everything, and torch's `std` already divides by n - 1. One case
#    needs your own decision, because 0/0 is not a number.
# 3. Refuse `x.numel() == 0`; let the std be 0 where there is one entry and `x.std()` otherwise; answer
#    `(x - x.mean()) / (std + eps)`.


# %% tests="normalize"
@task("normalize")
def test_one_two_three(student):
    """1, 2, 3 become -1, 0, 1."""
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    student.normalize(x, 0.0).equals(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64), rtol=1e-9, atol=1e-12)


@task("normalize")
def test_same_as_torch_mean_and_std(student):
    """A rollout (T, N) is normalised by the mean and the spread of all its entries, as torch counts them."""
    x = numbers(5, 3)
    student.normalize(x).equals((x - x.mean()) / (x.std() + 1e-8), rtol=1e-9, atol=1e-12)


@task("normalize")
@needs("test_one_two_three")
def test_equal_entries_become_zeros(student):
    """Equal entries become zeros, and so does a single one; no entries are refused."""
    student.normalize(torch.full((4,), 4.0)).equals(torch.zeros(4))
    student.normalize(torch.tensor([4.0])).equals(torch.zeros(1))
    student.normalize(torch.zeros(0)).refused()


# %% [markdown] task="train_reinforce"
# ## `train_reinforce`: play, look back, change, and again
#
# Now the whole. Play a batch of episodes with the policy as it is, sampling its actions. Look back: which step earned
# what? Take one step of an optimiser on your loss. Throw the batch away, because the policy it came from is gone, and
# play the next one.
#
# `env_fn()` makes a fresh `gymnasium.Env` with observations (obs_dim,) float32 and `Discrete` actions; call it as often
# as you like. `steps` is the budget: **over all environments together `env.step` may be called `steps` times**, and not
# once more; resets are free. An episode that the budget cuts off is left out. (What you do with finished episodes that no
# longer fill a batch is up to you; our solution drops them.) Whatever the budget, also when it is too small for a single
# batch, a policy comes back.
#
# **The policy** that you return has two methods, and the grader uses nothing else. A class that has them is given
# below; use it, change it, or write your own.
#
# | method | answer |
# |---|---|
# | `act(obs)` | obs (N, obs_dim) float32 -> (N,) int64: the likeliest action, the lowest of equals, always the same |
# | `log_probs(obs)` | obs (N, obs_dim) float32 -> (N, A): log-probabilities that sum to one in each row |
#
# **`seed`** fixes everything that is drawn: two calls with one seed give policies that answer the same. Seed torch, your
# generators and the first reset of each environment with it, and reset later episodes without one. Several environments
# want a number each, `N * seed + i` for number i of N, say: with one number for all they would begin alike.
#
# **`on_update`**, if given, is called as `on_update(policy)` after each update. This is how the grader draws your
# learning curve while you train.
#
# A batch is a strip of episodes: `dones` is `terminated | truncated`, the returns stop at both.
#
# **What works well** (yours to change): whole episodes until a batch has 1500 steps or more; $\gamma = 0.99$; normalised
# returns; one Adam step for each batch, with a learning rate of $0.03\,(1 - \text{used} / \text{steps})$, where `used` counts
# the steps taken so far, this batch's too; 64 tanh units.
# Asking the policy about several environments at once costs hardly more than about one.
#
# ### How it is graded
#
# A pole is balanced: `CartPole-v1`, 100,000 steps, and 20 greedy episodes afterwards, in environments that the grader
# holds. They must last **400 steps or more on average**, of at most 500. Numbers and actions are shuffled: which of the
# four numbers is the angle, its sign and its scale (between a half and two) are drawn anew for each run, so nothing
# written for plain CartPole is of use, and what learns from what it sees does not notice. If it misses, it is tried on
# two more seeds, and two of three decide.
#
# Our solution takes 8 to 30 CPU-seconds for it, and yours may take 120. The practice run before it keeps you waiting for
# about ten seconds. On a slow machine a whole check can take a minute or more, and up to three times that where the first
# run misses.
#
# ### A warning from measuring it
#
# A pole that stands proves that something learns. It does not prove that all of it is right: crediting every action
# with its whole episode, or normalising each episode by itself, reaches the threshold as well. That is why the parts
# are tested one by one, and why you should be slow to trust a curve.


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


# %% task="train_reinforce" points=8 minutes=70 needs="discounted_returns, categorical_log_prob, reinforce_loss"
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
    ### BEGIN SOLUTION
    N, gamma, batch_size, peak_lr = 4, 0.99, 1500, 3e-2
    torch.manual_seed(seed)  # the first weights, and every action
    envs = [env_fn() for _ in range(N)]
    first = [env.reset(seed=N * seed + i)[0] for i, env in enumerate(envs)]  # what each shows before its next episode
    policy = Policy(envs[0].observation_space.shape[0], int(envs[0].action_space.n))
    optimizer = torch.optim.Adam(policy.parameters(), lr=peak_lr)
    used, alike = 0, 0
    while True:
        batch, earned = [], []  # (obs, action, reward, done) episode after episode; what each episode earned
        while len(batch) < batch_size:
            episodes = [[] for _ in envs]
            running = dict(enumerate(first))  # environments whose episode goes on -> what they show
            while running:
                if used + len(running) > steps:
                    return policy
                obs = torch.from_numpy(np.stack(list(running.values())))  # (running, obs_dim)
                with torch.no_grad():
                    actions = torch.multinomial(policy.log_probs(obs).exp(), 1)[:, 0]  # (running,)
                used += len(running)
                for i, seen, action in zip(list(running), obs, actions.tolist(), strict=True):
                    shown, reward, terminated, truncated, _ = envs[i].step(action)
                    episodes[i].append((seen, action, float(reward), terminated or truncated))
                    running[i] = shown
                    if terminated or truncated:
                        del running[i]
                        first[i], _ = envs[i].reset()
            batch += [step for episode in episodes for step in episode]
            earned += [sum(reward for _, _, reward, _ in episode) for episode in episodes]

        obs, actions, rewards, dones = zip(*batch, strict=True)
        obs, actions = torch.stack(obs), torch.tensor(actions)  # (T, obs_dim), (T,)
        G = discounted_returns(torch.tensor(rewards), torch.tensor(dones), gamma)  # (T,)
        logp = categorical_log_prob(policy(obs), actions)  # (T,)
        loss = reinforce_loss(logp, normalize(G))  # ()

        optimizer.param_groups[0]["lr"] = peak_lr * (1 - used / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if on_update is not None:
            on_update(policy)

        # Where all episodes earn the same, returns no longer tell better from worse. Three times in a row: it is done.
        alike = alike + 1 if max(earned) == min(earned) else 0
        if alike == 3:
            return policy
    ### END SOLUTION


# %% [markdown] hints="train_reinforce"
# 1. Write the loop in words first: what is collected, until when, and what is thrown away? Which four things must be
#    remembered of each step, and which observation belongs to an action: the one before it or the one after?
# 2. Collect whole episodes into four lists, sampling from the policy without gradients; only then compute
#    log-probabilities again, for the whole batch at once and with gradients. Count every call of `env.step`, and ask
#    before you step whether the budget allows it. Your four functions do the rest, in the order you wrote them.
# 3. `torch.manual_seed(seed)`, `env.reset(seed=seed)` once. Loop: while the batch has fewer than 1500 steps, play an
#    episode (`torch.multinomial(policy.log_probs(obs).exp(), 1)`), append obs, action, reward, terminated or truncated;
#    return the policy if the budget is spent. Then G = discounted_returns, logp = categorical_log_prob(policy(obs),
#    actions), loss = reinforce_loss(logp, normalize(G)), zero_grad, backward, step, on_update(policy).


# %% tests="train_reinforce"
class Lamps(gymnasium.Env):
    """Five lamps, one after another: each shows +1 or -1. Action 1 answers +1, action 0 answers -1, and pays 1."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        """Begins with the first lamp."""
        super().reset(seed=seed)
        self.count = 0
        return self._show(), {}

    def _show(self):
        self.lamp = int(self.np_random.integers(2))
        return np.array([2.0 * self.lamp - 1.0], np.float32)

    def step(self, action):
        """Pays for the lamp that was shown, and shows the next."""
        reward = float(action == self.lamp)
        self.count += 1
        return self._show(), reward, self.count == 5, False, {}


@task("train_reinforce")
def test_a_policy_comes_back(student):
    """After 300 steps of CartPole there is a policy; its log-probabilities are normalised, and it acts by them."""
    observations = numbers(7, 4).float()
    answer = student.ask(short_training, 300, 0, observations).value
    assert answer["used"] <= 300, f"{answer['used']} steps were taken of 300."
    assert answer["act"].shape == (7,), f"act(obs) of 7 observations has shape {tuple(answer['act'].shape)}."
    assert answer["act"].dtype == torch.int64, f"Actions are int64, not {answer['act'].dtype}."
    total = answer["log_probs"].double().exp().sum(-1)
    assert torch.allclose(total, torch.ones(7, dtype=torch.float64), atol=1e-5), "Rows do not sum to one."
    assert torch.equal(answer["act"], answer["log_probs"].argmax(-1)), "act does not choose the likeliest action."


@task("train_reinforce")
@graded_run(cpu_seconds=30)
def test_practice_with_lamps(student, run):
    """12,000 lamps are enough to learn to answer them. (Practice: much shorter than the run that counts.)"""
    world = World(run, Lamps, budget=12_000)
    student.ask(train, world.served(), 12_000, run.seed)
    share = world.returns(lambda seen: student.ask(act, seen).value, episodes=20).mean() / 5
    run.tells("share of lamps answered", [share], [1.0], atol=0.02)
