"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import functools
import itertools
import types

import gymnasium
import torch
import torch.nn.functional as F
from reference import Policy, categorical_log_prob, discounted_returns, normalize, reinforce_loss, train_reinforce

from autograder.testing import mistake

# --------------------------------------------------------------------------------------------------- discounted_returns


def _checked(rewards, dones):
    if rewards.shape != dones.shape:
        raise ValueError("shapes differ")
    return 1.0 - dones.to(rewards.dtype)


def _backwards(rewards, running, gamma):
    """G[t] = r[t] + gamma * running[t] * G[t + 1]"""
    G = torch.zeros_like(rewards)
    for t in reversed(range(len(rewards))):
        G[t] = rewards[t] + (gamma * running[t] * G[t + 1] if t + 1 < len(rewards) else 0.0)
    return G


@mistake(
    "discounted_returns",
    seen="An episode was paid for its successor's luck.",
    named="This equals returns that ignore dones: they run on over every ending to the rollout's last row.",
    caught_by=("test_returns_stop_at_endings", "test_columns_are_environments"),
)
def leaks_over_reset(rewards, dones, gamma):
    return _backwards(rewards, torch.ones_like(_checked(rewards, dones)), gamma)


@mistake(
    "discounted_returns",
    seen="Your cuts sit one step from the endings.",
    named="This equals returns in which dones[t] means that step t begins an episode (dones[t + 1] cuts), as in CleanRL.",
    caught_by=("test_returns_stop_at_endings", "test_columns_are_environments"),
)
def done_shifted(rewards, dones, gamma):
    running = _checked(rewards, dones)
    return _backwards(rewards, torch.cat([running[1:], torch.ones_like(running[:1])]), gamma)


@mistake(
    "discounted_returns",
    seen="A late reward shrank although it came at once.",
    named="This equals returns whose discount counts from the start of the episode: gamma to the k, with k absolute.",
    caught_by=("test_one_episode", "test_returns_stop_at_endings"),
)
def discount_from_start(rewards, dones, gamma):
    G = discounted_returns(rewards, dones, gamma)
    power = torch.ones_like(rewards)
    running = _checked(rewards, dones)
    for t in range(1, len(rewards)):
        power[t] = torch.where(running[t - 1] > 0, gamma * power[t - 1], 1.0)
    return power * G


@mistake(
    "discounted_returns",
    seen="An action was credited with the past.",
    named="This equals giving every step the return of its episode's first step.",
    caught_by=("test_one_episode", "test_returns_stop_at_endings"),
)
def total_return(rewards, dones, gamma):
    G = discounted_returns(rewards, dones, gamma)
    running = _checked(rewards, dones)
    for t in range(1, len(rewards)):
        G[t] = torch.where(running[t - 1] > 0, G[t - 1], G[t])
    return G


@mistake(
    "discounted_returns",
    seen="Time runs along the first axis.",
    named="This equals returns taken along the last axis: from environment to environment.",
    caught_by="test_columns_are_environments",
)
def along_environments(rewards, dones, gamma):
    _checked(rewards, dones)
    if rewards.ndim < 2:
        return discounted_returns(rewards, dones, gamma)
    return discounted_returns(rewards.mT, dones.mT, gamma).mT.contiguous()


@mistake(
    "discounted_returns",
    seen="Each step knows what was earned before it, and nothing of what comes.",
    named="This equals the discounted sum of the rewards so far: the recursion runs forwards.",
    caught_by=("test_one_episode", "test_returns_stop_at_endings"),
)
def looks_back(rewards, dones, gamma):
    running = _checked(rewards, dones)
    G = rewards.clone()
    for t in range(1, len(rewards)):
        G[t] = rewards[t] + gamma * running[t - 1] * G[t - 1]
    return G


@mistake(
    "discounted_returns",
    seen="The reward of this very step is already discounted.",
    named="This equals gamma times the right returns.",
    caught_by=("test_one_episode", "test_no_future_and_no_discount"),
)
def gamma_on_reward(rewards, dones, gamma):
    return gamma * discounted_returns(rewards, dones, gamma)


@mistake(
    "discounted_returns",
    seen="With no discount at all, would your numbers be others?",
    named="This equals the plain sum of the rewards to the end of the episode: gamma is not used.",
    caught_by=("test_one_episode", "test_no_future_and_no_discount"),
)
def no_discount(rewards, dones, gamma):
    return discounted_returns(rewards, dones, 1.0)


@mistake(
    "discounted_returns",
    seen="The step that ended the episode was never paid.",
    named="This equals returns in which the reward of an ending step counts as 0.",
    caught_by=("test_one_episode", "test_returns_stop_at_endings"),
)
def last_reward_lost(rewards, dones, gamma):
    return discounted_returns(rewards * _checked(rewards, dones), dones, gamma)


@mistake(
    "discounted_returns",
    seen="Two shapes met, and neither of them complained.",
    named="This equals returns that let dones broadcast against the rewards.",
    caught_by="test_dones_of_another_shape_are_refused",
)
def dones_broadcast(rewards, dones, gamma):
    if rewards.shape == dones.shape:
        return discounted_returns(rewards, dones, gamma)
    together = torch.broadcast_tensors(rewards, dones[: len(rewards)])
    return discounted_returns(together[0].contiguous(), together[1].contiguous(), gamma)


# ------------------------------------------------------------------------------------------------- categorical_log_prob


def _fitting(logits, actions):
    if actions.shape != logits.shape[:-1] or ((actions < 0) | (actions >= logits.shape[-1])).any():
        raise ValueError("bad actions")


def _picked(rows, actions):
    return rows.gather(-1, actions[..., None])[..., 0]


@mistake(
    "categorical_log_prob",
    seen="Add 1 to all logits: a probability cannot notice.",
    named="This equals the logit of the action: nothing is subtracted.",
    caught_by="test_log_probs_of_the_actions_taken",
)
def unnormalised(logits, actions):
    _fitting(logits, actions)
    return _picked(logits, actions)


@mistake(
    "categorical_log_prob",
    seen="Your log-probs are positive.",
    named="This equals the probability of the action, not its logarithm.",
    caught_by="test_log_probs_of_the_actions_taken",
)
def probability_not_log(logits, actions):
    _fitting(logits, actions)
    return _picked(logits.softmax(-1), actions)


@mistake(
    "categorical_log_prob",
    seen="You scored the action you like, not the one taken.",
    named="This equals the log-probability of the likeliest action.",
    caught_by="test_log_probs_of_the_actions_taken",
)
def greedy_action(logits, actions):
    _fitting(logits, actions)
    return F.log_softmax(logits, -1).amax(-1)


@mistake(
    "categorical_log_prob",
    seen="Large logits became infinite on the way: what can you subtract from a row without changing its softmax?",
    named="This equals the logit minus the log of a sum of raw exponentials.",
    caught_by="test_logits_of_ten_thousand",
)
def exp_overflow(logits, actions):
    _fitting(logits, actions)
    return _picked(logits - logits.exp().sum(-1, keepdim=True).log(), actions)


@mistake(
    "categorical_log_prob",
    seen="A probability that has rounded to zero no longer has a logarithm: can you stay in log space?",
    named="This equals the log of the softmax.",
    caught_by="test_logits_of_ten_thousand",
)
def log_of_softmax(logits, actions):
    _fitting(logits, actions)
    return _picked(logits.softmax(-1).log(), actions)


@mistake(
    "categorical_log_prob",
    seen="Which of your axes holds the actions to choose from?",
    named="This equals log-probabilities normalised along the first axis, over the batch.",
    caught_by="test_log_probs_of_the_actions_taken",
)
def over_the_batch(logits, actions):
    _fitting(logits, actions)
    return _picked(F.log_softmax(logits, 0), actions)


@mistake(
    "categorical_log_prob",
    seen="A loss has a minus sign of its own; does a log-probability?",
    named="This equals the cross-entropy: minus the log-probability.",
    caught_by="test_log_probs_of_the_actions_taken",
)
def cross_entropy(logits, actions):
    return -categorical_log_prob(logits, actions)


@mistake(
    "categorical_log_prob",
    seen="A column of actions was answered: what did each row meet?",
    named="This equals picking from all rows for all actions, where the actions came as a column.",
    caught_by="test_actions_of_another_shape_are_refused",
)
def column_accepted(logits, actions):
    if actions.ndim == logits.ndim:
        return F.log_softmax(logits, -1).gather(-1, actions)
    return categorical_log_prob(logits, actions)


@mistake(
    "categorical_log_prob",
    seen="You answered for an action that does not exist.",
    named="This equals indexing with negative numbers, which counts actions from the end.",
    caught_by="test_actions_that_do_not_exist_are_refused",
)
def counts_from_the_end(logits, actions):
    return categorical_log_prob(logits, torch.where(actions < 0, actions + logits.shape[-1], actions))


# ------------------------------------------------------------------------------------------------------- reinforce_loss


def _fits(logp, returns, baseline):
    shape = torch.as_tensor(0.0 if baseline is None else baseline).shape
    if returns.shape != logp.shape or shape not in ((), logp.shape):
        raise ValueError("shapes differ")


def _weights(logp, returns, baseline):
    _fits(logp, returns, baseline)
    return (returns - (0.0 if baseline is None else baseline)).detach()


@mistake(
    "reinforce_loss",
    seen="Good actions become rarer.",
    named="This equals the objective itself: minimised, it makes what went well less likely.",
    caught_by=("test_loss_and_gradient_without_a_baseline", "test_loss_and_gradient_with_a_baseline"),
)
def wrong_sign(logp, returns, baseline=None):
    return (logp * _weights(logp, returns, baseline)).mean()


@mistake(
    "reinforce_loss",
    seen="Your baseline is being trained by the policy's loss.",
    named="This equals the right loss with a gradient that flows into the baseline.",
    caught_by="test_loss_and_gradient_with_a_baseline",
)
def gradient_through_baseline(logp, returns, baseline=None):
    _fits(logp, returns, baseline)
    return -(logp * (returns.detach() - (0.0 if baseline is None else baseline))).mean()


@mistake(
    "reinforce_loss",
    seen="What an action earned is an observation: can it be trained?",
    named="This equals the right loss with a gradient that flows into the returns.",
    caught_by=("test_loss_and_gradient_without_a_baseline", "test_loss_and_gradient_with_a_baseline"),
)
def gradient_through_returns(logp, returns, baseline=None):
    _fits(logp, returns, baseline)
    baseline = baseline.detach() if isinstance(baseline, torch.Tensor) else baseline or 0.0
    return -(logp * (returns - baseline)).mean()


@mistake(
    "reinforce_loss",
    seen="Every log-prob met every return: check the shape before the mean.",
    named="This equals the mean over a table of all pairs of a log-probability and a return.",
    caught_by=("test_loss_and_gradient_without_a_baseline", "test_loss_and_gradient_with_a_baseline"),
)
def broadcast_square(logp, returns, baseline=None):
    return -(logp.reshape(-1, 1) * _weights(logp, returns, baseline).reshape(1, -1)).mean()


@mistake(
    "reinforce_loss",
    seen="Your step grows with the batch.",
    named="This equals the sum over all steps, not their mean.",
    caught_by=("test_loss_and_gradient_without_a_baseline", "test_loss_and_gradient_with_a_baseline"),
)
def sum_not_mean(logp, returns, baseline=None):
    return -(logp * _weights(logp, returns, baseline)).sum()


@mistake(
    "reinforce_loss",
    seen="In a rollout (T, N), how many steps share the mean?",
    named="This equals a sum over time and a mean over environments, the variant that the handout does not take.",
    caught_by=("test_loss_and_gradient_without_a_baseline", "test_loss_and_gradient_with_a_baseline"),
)
def sum_over_time(logp, returns, baseline=None):
    weighted = logp * _weights(logp, returns, baseline)
    return -weighted.sum(0).mean() if logp.ndim > 1 else -weighted.mean()


@mistake(
    "reinforce_loss",
    seen="Your baseline raises the variance it should lower.",
    named="This equals adding the baseline to the returns.",
    caught_by="test_loss_and_gradient_with_a_baseline",
)
def baseline_added(logp, returns, baseline=None):
    return reinforce_loss(logp, returns, None if baseline is None else -baseline)


@mistake(
    "reinforce_loss",
    seen="Your gradient is biased: its mean over all arms is not the true one.",
    named="This equals scaling the log-probabilities by the baseline, where it should be subtracted from the returns.",
    caught_by=("test_loss_and_gradient_with_a_baseline", "test_right_on_average_with_any_baseline"),
)
def baseline_in_logp(logp, returns, baseline=None):
    _fits(logp, returns, baseline)
    scale = 1.0 if baseline is None else torch.as_tensor(baseline).detach()
    return -(scale * logp * returns.detach()).mean()


@mistake(
    "reinforce_loss",
    seen="Your baseline moves the loss; does it move the gradient?",
    named="This equals the loss without a baseline, from which the baseline was subtracted afterwards.",
    caught_by="test_loss_and_gradient_with_a_baseline",
)
def baseline_outside(logp, returns, baseline=None):
    _fits(logp, returns, baseline)
    shift = 0.0 if baseline is None else torch.as_tensor(baseline).detach()
    return -(logp * returns.detach() - shift).mean()


@mistake(
    "reinforce_loss",
    seen="With a baseline or without one, your answer is the same.",
    named="This equals the loss without a baseline.",
    caught_by=("test_loss_and_gradient_with_a_baseline", "test_a_baseline_makes_it_scatter_less"),
)
def baseline_ignored(logp, returns, baseline=None):
    _fits(logp, returns, baseline)
    return reinforce_loss(logp, returns)


@mistake(
    "reinforce_loss",
    seen="Two shapes met, and neither of them complained.",
    named="This equals the formula without a look at the shapes: what does not fit is broadcast.",
    caught_by="test_shapes_that_differ_are_refused",
)
def shapes_unchecked(logp, returns, baseline=None):
    return -(logp * (returns - (0.0 if baseline is None else baseline)).detach()).mean()


# ------------------------------------------------------------------------------------------------------------ normalize


def _something(x):
    if x.numel() == 0:
        raise ValueError("empty")
    return x - x.mean()


def _std(x):
    return x.std() if x.numel() > 1 else x.new_zeros(())


@mistake(
    "normalize",
    seen="Divide by n or by n - 1? See the stated choice.",
    named="This equals normalising with the spread over n, as numpy's std has it.",
    caught_by=("test_over_all_entries", "test_two_entries"),
)
def ddof_zero(x, eps=1e-8):
    return _something(x) / (x.std(correction=0) + eps)


@mistake(
    "normalize",
    seen="A good and a bad episode came out equal.",
    named="This equals normalising each column by itself: every environment, or episode, by its own mean and spread.",
    caught_by="test_over_all_entries",
)
def per_column(x, eps=1e-8):
    _something(x)
    return normalize(x, eps) if x.ndim < 2 or len(x) < 2 else (x - x.mean(0)) / (x.std(0) + eps)


@mistake(
    "normalize",
    seen="A good and a bad episode came out equal.",
    named="This equals normalising along the last axis: each row by its own mean and spread.",
    caught_by="test_over_all_entries",
)
def per_trajectory(x, eps=1e-8):
    _something(x)
    if x.ndim < 2 or x.shape[-1] < 2:
        return normalize(x, eps)
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps)


@mistake(
    "normalize",
    seen="One number has no spread; it should not become NaN.",
    named="This equals the right answer, except that a single entry is divided by a spread over n - 1 = 0.",
    caught_by="test_a_single_entry_gives_zero",
)
def nan_on_single(x, eps=1e-8):
    return _something(x) / ((x - x.mean()).square().sum().div(x.numel() - 1).sqrt() + eps)


@mistake(
    "normalize",
    seen="A single number stayed as it was: how far is it from its own mean?",
    named="This equals the right answer, except that a single entry is handed back as it is, as Stable-Baselines3 does.",
    caught_by="test_a_single_entry_gives_zero",
)
def single_kept(x, eps=1e-8):
    return x.clone() if x.numel() == 1 else normalize(x, eps)


@mistake(
    "normalize",
    seen="All returns equal, and the result exploded.",
    named="This equals dividing by the spread alone, without eps.",
    caught_by=("test_equal_entries_give_zeros", "test_eps_is_added_to_the_spread"),
)
def no_eps(x, eps=1e-8):
    return _something(x) / _std(x)


@mistake(
    "normalize",
    seen="With a large eps your answer differs: is it added before or after the root?",
    named="This equals dividing by the root of variance plus eps.",
    caught_by="test_eps_is_added_to_the_spread",
)
def eps_inside_root(x, eps=1e-8):
    return _something(x) / (_std(x) ** 2 + eps).sqrt()


@mistake(
    "normalize",
    seen="An eps below the spread left no trace in your answer: should it have?",
    named="This equals dividing by the larger of spread and eps.",
    caught_by="test_eps_is_added_to_the_spread",
)
def eps_as_floor(x, eps=1e-8):
    return _something(x) / _std(x).clamp(min=eps)


@mistake(
    "normalize",
    seen="The mean is still there.",
    named="This equals dividing by the spread without subtracting the mean.",
    caught_by=("test_over_all_entries", "test_two_entries"),
)
def std_only(x, eps=1e-8):
    _something(x)
    return x / (_std(x) + eps)


@mistake(
    "normalize",
    seen="The mean is gone; is the spread 1?",
    named="This equals subtracting the mean and dividing by nothing.",
    caught_by=("test_over_all_entries", "test_two_entries"),
)
def mean_only(x, eps=1e-8):
    return _something(x)


@mistake(
    "normalize",
    seen="Scale the returns by ten: does your answer shrink?",
    named="This equals dividing by the variance, not by its root.",
    caught_by=("test_over_all_entries", "test_two_entries"),
)
def divides_by_variance(x, eps=1e-8):
    return _something(x) / (_std(x) ** 2 + eps)


@mistake(
    "normalize",
    seen="An answer came back for nothing at all.",
    named="This equals the right answer, except that an empty tensor is handed back.",
    caught_by="test_nothing_is_refused",
)
def empty_accepted(x, eps=1e-8):
    return normalize(x, eps) if x.numel() else x.clone()


# ------------------------------------------------------------------------------------------------------ train_reinforce


def _trained_with(**wrong):
    """The reference's training, with some of the functions that it calls replaced."""
    names = {**train_reinforce.__globals__, **wrong}
    training = types.FunctionType(train_reinforce.__code__, names, "train_reinforce", train_reinforce.__defaults__)
    training.__kwdefaults__ = train_reinforce.__kwdefaults__
    return training


@mistake(
    "train_reinforce",
    seen="After all its steps the policy is no better than before the first.",
    named="This equals a policy that was never trained.",
    caught_by="test_the_pole_stands",
    blocker=True,
)
def untrained(env_fn, steps, seed=0, on_update=None):
    torch.manual_seed(seed)
    env = env_fn()
    return Policy(env.observation_space.shape[0], int(env.action_space.n))


@mistake(
    "train_reinforce",
    seen="Your policy grows worse on purpose: good actions become rarer.",
    named="This equals training on the objective itself, which an optimiser then minimises.",
    caught_by="test_the_pole_stands",
    blocker=True,
)
def trained_wrong_sign(env_fn, steps, seed=0, on_update=None):
    return _trained_with(reinforce_loss=wrong_sign.implementation)(env_fn, steps, seed, on_update)


@mistake(
    "train_reinforce",
    seen="Every log-prob met every return: print the shape before the mean.",
    named="This equals training on a table of all pairs of a log-probability and a return.",
    caught_by="test_the_pole_stands",
    blocker=True,
)
def trained_broadcast_square(env_fn, steps, seed=0, on_update=None):
    return _trained_with(reinforce_loss=broadcast_square.implementation)(env_fn, steps, seed, on_update)


@mistake(
    "train_reinforce",
    seen="Falling over costs nothing: an episode is paid for its successor's luck.",
    named="This equals training on returns that run on over every ending.",
    caught_by="test_the_pole_stands",
    blocker=True,
)
def trained_leaks_over_reset(env_fn, steps, seed=0, on_update=None):
    return _trained_with(discounted_returns=leaks_over_reset.implementation)(env_fn, steps, seed, on_update)


class _ByHand:
    """Pushes towards the side to which CartPole's pole leans and falls, and back to the middle: 500 on the plain one."""

    def log_probs(self, obs):
        right = obs @ torch.tensor([0.1, 0.3, 3.0, 1.0]) > 0
        return torch.where(right[:, None], torch.tensor([-9.0, 0.0]), torch.tensor([0.0, -9.0])).log_softmax(-1)

    def act(self, obs):
        return self.log_probs(obs).argmax(-1)


@mistake(
    "train_reinforce",
    seen="Your policy knows its world before it has seen it. Here the four numbers come in another order.",
    named="This equals a rule written by hand for plain CartPole, without any training.",
    caught_by="test_the_pole_stands",
    blocker=True,
)
def controller(env_fn, steps, seed=0, on_update=None):
    return _ByHand()


@mistake(
    "train_reinforce",
    seen="Your policy learnt elsewhere what it knows, and looks at nothing here.",
    named="This equals a policy that was trained on the plain pole before.",
    caught_by="test_the_pole_stands",
    blocker=True,
)
def cached_policy(env_fn, steps, seed=0, on_update=None):
    plain = env_fn().observation_space.shape == (4,)
    return _trained_before() if plain else train_reinforce(env_fn, 0, seed, on_update)


@functools.cache
def _trained_before():
    """A policy that balances the plain pole: mean 500 of 500."""
    return train_reinforce(lambda: gymnasium.make("CartPole-v1"), 100_000)


class _Samples:
    """A policy that draws its actions also when it is asked for the likeliest."""

    def __init__(self, policy):
        self.log_probs = policy.log_probs

    def act(self, obs):
        with torch.no_grad():
            return torch.multinomial(self.log_probs(obs).exp(), 1)[:, 0]


@mistake(
    "train_reinforce",
    seen="Greedy play gave two answers.",
    named="This equals a policy whose act draws actions as in training.",
    caught_by="test_it_acts_by_its_log_probs",
)
def act_samples(env_fn, steps, seed=0, on_update=None):
    return _Samples(train_reinforce(env_fn, steps, seed, on_update))


class _Logits:
    """A policy that gives its logits for log-probabilities."""

    def __init__(self, policy):
        self.log_probs, self.act = policy, policy.act


@mistake(
    "train_reinforce",
    seen="Your log-probabilities do not sum to one once you exponentiate them.",
    named="This equals a policy whose log_probs are its logits.",
    caught_by="test_it_acts_by_its_log_probs",
)
def logits_for_log_probs(env_fn, steps, seed=0, on_update=None):
    return _Logits(train_reinforce(env_fn, steps, seed, on_update))


_count = itertools.count(1)


@mistake(
    "train_reinforce",
    seen="Two trainings with one seed gave two policies: what else is drawn?",
    named="This equals training with another seed each time.",
    caught_by="test_one_seed_one_policy",
    remembers=True,
)
def seed_ignored(env_fn, steps, seed=0, on_update=None):
    return train_reinforce(env_fn, steps, seed + 1000 * next(_count), on_update)


@mistake(
    "train_reinforce",
    seen="Your last episode went on after the budget was spent.",
    named="This equals a budget that is only looked at when an episode has ended.",
    caught_by="test_the_budget_is_kept",
)
def plays_on(env_fn, steps, seed=0, on_update=None):
    env = env_fn()
    env.reset(seed=seed)
    used = 0
    while used < steps:
        ended = False
        while not ended:
            _, _, terminated, truncated, _ = env.step(0)
            used, ended = used + 1, terminated or truncated
        env.reset()
    return train_reinforce(env_fn, 0, seed, on_update)
