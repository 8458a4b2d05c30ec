"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals. Most of the first two
groups are bugs that well-known PPO implementations had, or have.
"""

import math

import numpy as np
import torch
from reference import explained_variance, gae, td_errors, true_next_obs, value_targets

from autograder.testing import mistake


def _refuse_unequal(*tensors):
    if any(tensor.shape != tensors[0].shape for tensor in tensors):
        raise ValueError("shapes differ")


def _one_row_below(x, last):
    """x[t + 1] in row t, and `last` in the last row."""
    return torch.cat([x[1:], last])


# ------------------------------------------------------------------------------------------------------------ td_errors


@mistake(
    "td_errors",
    seen="After the end there is nothing to hope for.",
    named="This equals errors in which the value of the next state counts even where the step terminated.",
    caught_by=("test_nothing_is_hoped_for_after_a_terminal_state", "test_a_termination_in_the_last_row_counts_too"),
)
def bootstraps_over_termination(rewards, values, next_values, terminated, gamma):
    return td_errors(rewards, values, next_values, torch.zeros_like(terminated), gamma)


@mistake(
    "td_errors",
    seen="The reward of this very step is already discounted.",
    named="This equals gamma (r + V(next)) - V: the discount stands before the reward too.",
    caught_by=("test_later_guess_minus_earlier_guess", "test_nothing_is_hoped_for_after_a_terminal_state"),
)
def gamma_on_reward(rewards, values, next_values, terminated, gamma):
    return td_errors(gamma * rewards, values, next_values, terminated, gamma)


@mistake(
    "td_errors",
    seen="At a reset the next row belongs to another episode.",
    named="This equals errors that read values[t + 1] where next_values[t] is meant, in every row but the last.",
    caught_by=("test_later_guess_minus_earlier_guess", "test_nothing_is_hoped_for_after_a_terminal_state"),
)
def uses_values_shifted(rewards, values, next_values, terminated, gamma):
    _refuse_unequal(rewards, values, next_values, terminated)
    return td_errors(rewards, values, _one_row_below(values, next_values[-1:]), terminated, gamma)


@mistake(
    "td_errors",
    seen="Your mask is one step away from the ending.",
    named="This equals errors in which row t is masked by terminated[t + 1].",
    caught_by="test_nothing_is_hoped_for_after_a_terminal_state",
)
def masks_the_wrong_step(rewards, values, next_values, terminated, gamma):
    _refuse_unequal(rewards, values, next_values, terminated)
    early = _one_row_below(terminated, torch.zeros_like(terminated[:1]))
    return td_errors(rewards, values, next_values, early, gamma)


@mistake(
    "td_errors",
    seen="Your mask is one step away from the ending.",
    named="This equals errors in which row t is masked by terminated[t - 1], as where dones[t] speaks of the step before.",
    caught_by="test_nothing_is_hoped_for_after_a_terminal_state",
)
def masks_the_step_after(rewards, values, next_values, terminated, gamma):
    _refuse_unequal(rewards, values, next_values, terminated)
    late = torch.cat([torch.zeros_like(terminated[:1]), terminated[:-1]])
    return td_errors(rewards, values, next_values, late, gamma)


@mistake(
    "td_errors",
    seen="An error compares two guesses; yours has one.",
    named="This equals r + gamma V(next), the target alone: V(s) was not taken away.",
    caught_by=("test_later_guess_minus_earlier_guess", "test_nothing_is_hoped_for_after_a_terminal_state"),
)
def minus_missing(rewards, values, next_values, terminated, gamma):
    return td_errors(rewards, torch.zeros_like(values), next_values, terminated, gamma)


@mistake(
    "td_errors",
    seen="Good news comes out negative.",
    named="This equals the errors with their sign turned: earlier guess minus later guess.",
    caught_by=("test_later_guess_minus_earlier_guess", "test_nothing_is_hoped_for_after_a_terminal_state"),
)
def sign_turned(rewards, values, next_values, terminated, gamma):
    return -td_errors(rewards, values, next_values, terminated, gamma)


@mistake(
    "td_errors",
    seen="What is a guess about tomorrow worth today?",
    named="This equals r + V(next) - V, without the discount.",
    caught_by=("test_later_guess_minus_earlier_guess", "test_nothing_is_hoped_for_after_a_terminal_state"),
)
def no_discount(rewards, values, next_values, terminated, gamma):
    return td_errors(rewards, values, next_values, terminated, 1.0)


@mistake(
    "td_errors",
    seen="The last step of an episode was paid too, and yours forgets it.",
    named="This equals errors in which a termination masks the reward along with the next value.",
    caught_by=("test_nothing_is_hoped_for_after_a_terminal_state", "test_a_termination_in_the_last_row_counts_too"),
)
def masks_the_reward_too(rewards, values, next_values, terminated, gamma):
    _refuse_unequal(rewards, values, next_values, terminated)
    return td_errors(rewards * ~terminated.bool(), values, next_values, terminated, gamma)


@mistake(
    "td_errors",
    seen="A surprise is a number; yours still has a line to the critic.",
    named="This equals the right errors with the gradient left on.",
    caught_by="test_errors_carry_no_gradient",
)
def gradient_left_on_errors(rewards, values, next_values, terminated, gamma):
    _refuse_unequal(rewards, values, next_values, terminated)
    return rewards + gamma * (~terminated.bool() * next_values) - values


@mistake(
    "td_errors",
    seen="Right to seven digits and no further: of which dtype is a number times a bool tensor?",
    named="This equals errors whose gamma was rounded to float32 by multiplying it with a bool mask.",
    caught_by="test_gamma_keeps_all_its_digits",
)
def gamma_rounded(rewards, values, next_values, terminated, gamma):
    _refuse_unequal(rewards, values, next_values, terminated)
    return (rewards + gamma * ~terminated.bool() * next_values - values).detach()


@mistake(
    "td_errors",
    seen="Shapes that differ were stretched to fit: which step does each number now speak of?",
    named="This equals the right errors where the shapes agree, and lets torch stretch them where they do not.",
    caught_by="test_errors_of_unequal_shapes_are_refused",
)
def stretches_shapes_of_errors(rewards, values, next_values, terminated, gamma):
    return (rewards + gamma * (~terminated.bool() * next_values) - values).detach()


# ------------------------------------------------------------------------------------------------------------------ gae


def _recursion(delta, goes_on, factor):
    """A[t] = delta[t] + factor goes_on[t] A[t + 1]."""
    advantages, trace = torch.empty_like(delta), delta.new_zeros(delta.shape[1:])
    for t in reversed(range(len(delta))):
        trace = delta[t] + factor * (goes_on[t] * trace)
        advantages[t] = trace
    return advantages


def _with(rewards, values, next_values, terminated, truncated, gamma, lam, *, no_value=None, cut=None, factor=None):
    """The right answer, except for what is named: where no next value counts, where the trace is cut, how it fades."""
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    no_value = terminated.bool() if no_value is None else no_value
    cut = terminated.bool() | truncated.bool() if cut is None else cut
    factor = gamma * lam if factor is None else factor
    return _recursion(td_errors(rewards, values, next_values, no_value, gamma), ~cut, factor)


BATCH = ("test_four_endings_in_one_batch", "test_next_values_are_read_as_they_are_given")
RUNNING = "test_later_errors_fade_by_gamma_times_lambda"


@mistake(
    "gae",
    seen="After the end there is nothing to hope for.",
    named="This equals advantages in which the value of the next state counts even where the episode terminated.",
    caught_by=("test_a_termination_ends_values_and_trace", *BATCH),
)
def bootstraps_in_every_row(rewards, values, next_values, terminated, truncated, gamma, lam):
    nowhere = torch.zeros_like(terminated, dtype=torch.bool)
    return _with(rewards, values, next_values, terminated, truncated, gamma, lam, no_value=nowhere)


@mistake(
    "gae",
    seen="Running out of time was treated as falling over.",
    named="This equals advantages in which a truncation ends the world as a termination does: no bootstrap at either.",
    caught_by=("test_a_truncation_ends_the_trace_alone", *BATCH),
)
def no_bootstrap_on_truncation(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    done = terminated.bool() | truncated.bool()
    return _with(rewards, values, next_values, terminated, truncated, gamma, lam, no_value=done)


@mistake(
    "gae",
    seen="Errors of the next episode flow back over the reset.",
    named="This equals advantages whose trace is cut by terminations only: it leaks over every truncation.",
    caught_by=("test_a_truncation_ends_the_trace_alone", *BATCH),
)
def trace_leaks_over_truncation(rewards, values, next_values, terminated, truncated, gamma, lam):
    return _with(rewards, values, next_values, terminated, truncated, gamma, lam, cut=terminated.bool())


@mistake(
    "gae",
    seen="An episode was praised for what the next one did.",
    named="This equals advantages whose trace is never cut; only the next value is masked.",
    caught_by=("test_a_termination_ends_values_and_trace", *BATCH),
)
def trace_never_cut(rewards, values, next_values, terminated, truncated, gamma, lam):
    nowhere = torch.zeros_like(terminated, dtype=torch.bool)
    return _with(rewards, values, next_values, terminated, truncated, gamma, lam, cut=nowhere)


@mistake(
    "gae",
    seen="Your endings act one step early or late: whose ending is done[t]?",
    named="This equals advantages in which row t ends as row t + 1 says: right for dones[t] that speak of the step before.",
    caught_by=("test_a_termination_ends_values_and_trace", *BATCH),
)
def done_shifted(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    terminated, truncated = (_one_row_below(x, torch.zeros_like(x[:1])) for x in (terminated, truncated))
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam)


@mistake(
    "gae",
    seen="Your endings act one step early or late: whose ending is done[t]?",
    named="This equals advantages in which row t ends as row t - 1 says.",
    caught_by=("test_a_termination_ends_values_and_trace", *BATCH),
)
def done_shifted_late(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    terminated, truncated = (torch.cat([torch.zeros_like(x[:1]), x[:-1]]) for x in (terminated, truncated))
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam)


@mistake(
    "gae",
    seen="You valued the first screen of a new game, not the last of the old.",
    named="This equals advantages that bootstrap from values[t + 1] at a truncation: that row is the next episode's.",
    caught_by=("test_a_truncation_ends_the_trace_alone", "test_next_values_are_read_as_they_are_given"),
)
def next_value_from_reset(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    below = _one_row_below(values, next_values[-1:])
    next_values = torch.where(truncated.bool(), below, next_values)
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam)


@mistake(
    "gae",
    seen="You were given the value of the next state, and read another row instead.",
    named="This equals advantages that read values[t + 1] for next_values[t] in every row but the last.",
    caught_by=("test_a_truncation_ends_the_trace_alone", "test_next_values_are_read_as_they_are_given"),
)
def values_of_the_row_below(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    below = _one_row_below(values, next_values[-1:])
    return gae(rewards, values, below, terminated, truncated, gamma, lam)


@mistake(
    "gae",
    seen="Where time ran out, from which state did you look ahead: the one before the step, or the one after?",
    named="This equals advantages that bootstrap from values[t], the state before the step, at a truncation.",
    caught_by=("test_a_truncation_ends_the_trace_alone", *BATCH),
)
def bootstraps_from_before_the_step(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    next_values = torch.where(truncated.bool(), values, next_values)
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam)


@mistake(
    "gae",
    seen="The pole fell in the very step in which time ran out: did it fall?",
    named="This equals advantages in which a step with both flags bootstraps, as if it were truncated only.",
    caught_by=("test_terminated_wins_where_both_flags_are_set", *BATCH),
)
def truncated_wins(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    only = terminated.bool() & ~truncated.bool()
    return _with(rewards, values, next_values, terminated, truncated, gamma, lam, no_value=only)


@mistake(
    "gae",
    seen="At lam = 1 you should recover returns, at 0 one-step errors: which of the two fails?",
    named="This equals advantages whose trace fades by gamma alone, so lambda has no say.",
    caught_by=(RUNNING, *BATCH),
)
def no_lambda(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(rewards, values, next_values, terminated, truncated, gamma, 1.0)


@mistake(
    "gae",
    seen="At lam = 1 you should recover returns, at 0 one-step errors: which of the two fails?",
    named="This equals advantages whose trace fades by lambda alone, without gamma.",
    caught_by=(RUNNING, *BATCH),
)
def lambda_without_gamma(rewards, values, next_values, terminated, truncated, gamma, lam):
    return _with(rewards, values, next_values, terminated, truncated, gamma, lam, factor=lam)


@mistake(
    "gae",
    seen="The rollout was cut, not the episode.",
    named="This equals advantages in which the last row has no next value, as if every episode had terminated there.",
    caught_by=(RUNNING, "test_the_last_row_of_a_cut_rollout_bootstraps", *BATCH),
)
def last_row_unbootstrapped(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    no_value = terminated.bool().clone()
    no_value[-1:] = True
    return _with(rewards, values, next_values, terminated, truncated, gamma, lam, no_value=no_value)


@mistake(
    "gae",
    seen="Time runs along the first axis.",
    named="This equals advantages whose trace runs over the environments of each step.",
    caught_by=(RUNNING, *BATCH),
)
def along_environments(rewards, values, next_values, terminated, truncated, gamma, lam):
    if rewards.dim() == 1:
        return gae(rewards, values, next_values, terminated, truncated, gamma, lam)
    arguments = [x.transpose(0, 1) for x in (rewards, values, next_values, terminated, truncated)]
    return gae(*arguments, gamma, lam).transpose(0, 1).contiguous()


@mistake(
    "gae",
    seen="An action was credited with what came before it.",
    named="This equals a sum that runs forwards: A[t] = delta[t] + gamma lam A[t - 1], cut behind each ending.",
    caught_by=(RUNNING, *BATCH),
)
def trace_runs_forwards(rewards, values, next_values, terminated, truncated, gamma, lam):
    delta = td_errors(rewards, values, next_values, terminated, gamma)
    _refuse_unequal(terminated, truncated)
    done = terminated.bool() | truncated.bool()
    before = torch.cat([torch.zeros_like(done[:1]), done[:-1]])
    return _recursion(delta.flip(0), ~before.flip(0), gamma * lam).flip(0)


@mistake(
    "gae",
    seen="The reward of this very step is already discounted.",
    named="This equals advantages from errors with the discount before the reward too.",
    caught_by=(RUNNING, "test_the_last_row_of_a_cut_rollout_bootstraps", *BATCH),
)
def gamma_on_reward_in_gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(gamma * rewards, values, next_values, terminated, truncated, gamma, lam)


@mistake(
    "gae",
    seen="A good state and a lucky action look the same in your answer: what was expected has not been taken away.",
    named="This equals advantages plus values: the lambda-returns, which are the next task.",
    caught_by=(RUNNING, "test_the_last_row_of_a_cut_rollout_bootstraps", *BATCH),
)
def returns_for_advantages(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(rewards, values, next_values, terminated, truncated, gamma, lam) + values


@mistake(
    "gae",
    seen="Your advantages have mean 0 and spread 1, whatever happened.",
    named="This equals the right advantages, normalised over the whole rollout.",
    caught_by=(RUNNING, *BATCH),
)
def normalises(rewards, values, next_values, terminated, truncated, gamma, lam):
    advantages = gae(rewards, values, next_values, terminated, truncated, gamma, lam)
    if advantages.numel() < 2:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


@mistake(
    "gae",
    seen="The critic's guess about one state stands twice in your sum, and you read it from two places that need not agree.",
    named="This equals lambda-returns, G[t] = r + gamma ((1 - lam) next_values[t] + lam G[t + 1]), minus values: right "
    "only where next_values[t] is values[t + 1].",
    caught_by="test_next_values_are_read_as_they_are_given",
)
def lambda_returns_minus_values(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    done = terminated.bool() | truncated.bool()
    returns, later = torch.empty_like(rewards), next_values[-1:].sum(0)
    for t in reversed(range(len(rewards))):
        later = torch.where(done[t], next_values[t], later)
        rest = (1 - lam) * next_values[t] + lam * later
        later = rewards[t] + gamma * (~terminated[t].bool() * rest)
        returns[t] = later
    return (returns - values).detach()


@mistake(
    "gae",
    seen="Your advantages would train the critic through the actor's loss.",
    named="This equals the right advantages with the gradient left on.",
    caught_by="test_raw_advantages_carry_no_gradient",
)
def gradient_left_on(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    delta = rewards + gamma * (~terminated.bool() * next_values) - values
    goes_on = ~(terminated.bool() | truncated.bool())
    advantages, trace = [], torch.zeros_like(rewards[:1]).sum(0)
    for t in reversed(range(len(delta))):
        trace = delta[t] + gamma * lam * (goes_on[t] * trace)
        advantages.append(trace)
    return torch.stack(advantages[::-1]) if advantages else delta


@mistake(
    "gae",
    seen="The advantages are right, but the rewards you were given are no longer what they were.",
    named="This equals advantages for which the bootstrap of a truncation was added to `rewards` itself.",
    caught_by=("test_a_truncation_ends_the_trace_alone", *BATCH),
)
def bootstrap_added_to_the_rewards(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    stopped = truncated.bool() & ~terminated.bool()
    rewards += gamma * (stopped * next_values)
    done = terminated.bool() | truncated.bool()
    return gae(rewards, values, next_values, done, torch.zeros_like(done), gamma, lam)


@mistake(
    "gae",
    seen="Right to seven digits and no further: of which dtype is a number times a bool tensor?",
    named="This equals advantages whose factor gamma lambda was rounded to float32 by multiplying it with a bool mask.",
    caught_by="test_the_factor_keeps_all_its_digits",
)
def factor_rounded(rewards, values, next_values, terminated, truncated, gamma, lam):
    _refuse_unequal(rewards, values, next_values, terminated, truncated)
    rounded = torch.tensor(gamma * lam, dtype=torch.float32).item()
    return _with(rewards, values, next_values, terminated, truncated, gamma, lam, factor=rounded)


@mistake(
    "gae",
    seen="Shapes that differ were stretched to fit: which step does each number now speak of?",
    named="This equals the right advantages where the shapes agree, and lets torch stretch them where they do not.",
    caught_by="test_rollouts_of_unequal_shapes_are_refused",
)
def stretches_shapes(rewards, values, next_values, terminated, truncated, gamma, lam):
    return gae(*torch.broadcast_tensors(rewards, values, next_values, terminated, truncated), gamma, lam)


# -------------------------------------------------------------------------------------------------------- value_targets

TARGETS = ("test_targets_are_advantages_plus_values", "test_targets_are_lambda_returns")


@mistake(
    "value_targets",
    seen="The critic should predict returns, not grades on a curve.",
    named="This equals values plus advantages that were normalised first.",
    caught_by=TARGETS,
)
def normalised_first(advantages, values):
    _refuse_unequal(advantages, values)
    return value_targets((advantages - advantages.mean()) / (advantages.std() + 1e-8), values)


@mistake(
    "value_targets",
    seen="The target moves with the guess.",
    named="This equals the right targets with the gradient left on.",
    caught_by="test_targets_carry_no_gradient",
)
def gradient_left_on_targets(advantages, values):
    _refuse_unequal(advantages, values)
    return advantages + values


@mistake(
    "value_targets",
    seen="You removed the baseline twice.",
    named="This equals advantages minus values.",
    caught_by=TARGETS,
)
def values_subtracted(advantages, values):
    return value_targets(advantages, -values)


@mistake(
    "value_targets",
    seen="A critic that is never surprised should be told to stay as it is. What would yours be told?",
    named="This equals the advantages alone.",
    caught_by=TARGETS,
)
def advantages_alone(advantages, values):
    return value_targets(advantages, torch.zeros_like(values))


@mistake(
    "value_targets",
    seen="Every advantage met every value: check the shapes before the sum.",
    named="This equals the right targets where the shapes agree, and lets torch stretch them where they do not.",
    caught_by="test_targets_of_unequal_shapes_are_refused",
)
def stretches_shapes_of_targets(advantages, values):
    return (advantages + values).detach()


# --------------------------------------------------------------------------------------------------- explained_variance

SHARE = "test_the_share_of_the_targets_variance"


def _share(left, whole):
    """1 - left / whole, as a float; nan where there is nothing to explain."""
    return math.nan if whole == 0 else float(1 - left / whole)


@mistake(
    "explained_variance",
    seen="Whose variance is the yardstick?",
    named="This equals the right formula with its two arguments swapped: measured against the variance of the values.",
    caught_by=(SHARE, "test_a_harmful_critic_scores_below_zero"),
)
def arguments_swapped(values, targets):
    return math.nan if targets.var(correction=0) == 0 else explained_variance(targets, values)


@mistake(
    "explained_variance",
    seen="A constant offset should not show here.",
    named="This equals R squared: 1 minus the mean square error over the variance.",
    caught_by=("test_an_offset_does_not_show", SHARE),
)
def r_squared(values, targets):
    _refuse_unequal(values, targets)
    return _share((targets - values).square().mean(), targets.var(correction=0))


@mistake(
    "explained_variance",
    seen="A prediction twice too large should not score 1.",
    named="This equals the square of the correlation between values and targets.",
    caught_by=("test_twice_too_large_is_not_perfect", "test_a_harmful_critic_scores_below_zero", SHARE),
)
def correlation(values, targets):
    _refuse_unequal(values, targets)
    v, g = values - values.mean(), targets - targets.mean()
    if not g.any():
        return math.nan
    return float((v * g).sum() ** 2 / ((v * v).sum() * (g * g).sum()).clamp(min=1e-300)) if v.any() else 0.0


@mistake(
    "explained_variance",
    seen="A critic worse than nothing should show it.",
    named="This equals the right answer, held at 0 from below.",
    caught_by="test_a_harmful_critic_scores_below_zero",
)
def clamped(values, targets):
    share = explained_variance(values, targets)
    return share if math.isnan(share) else max(share, 0.0)


@mistake(
    "explained_variance",
    seen="A perfect critic scores 0 with you.",
    named="This equals Var(targets - values) / Var(targets): the share that is left, not the share that is explained.",
    caught_by=(SHARE, "test_twice_too_large_is_not_perfect", "test_a_harmful_critic_scores_below_zero"),
)
def share_that_is_left(values, targets):
    return 1 - explained_variance(values, targets)


@mistake(
    "explained_variance",
    seen="All elements are one bag: did you look at each environment by itself?",
    named="This equals the mean over environments of each one's own explained variance.",
    caught_by=(SHARE, "test_a_harmful_critic_scores_below_zero"),
)
def environment_by_environment(values, targets):
    _refuse_unequal(values, targets)
    left, whole = (targets - values).var(0, correction=0), targets.var(0, correction=0)
    return math.nan if (whole == 0).any() else float((1 - left / whole).mean())


@mistake(
    "explained_variance",
    seen="Half of the spread left is not half of the variance left.",
    named="This equals 1 minus the ratio of standard deviations.",
    caught_by=(SHARE, "test_twice_too_large_is_not_perfect", "test_a_harmful_critic_scores_below_zero"),
)
def standard_deviations(values, targets):
    _refuse_unequal(values, targets)
    return _share((targets - values).std(correction=0), targets.std(correction=0))


@mistake(
    "explained_variance",
    seen="There was nothing to explain, and you gave it a mark: what is 0/0?",
    named="This equals the right answer, with 0 where the targets do not vary.",
    caught_by="test_no_variance_gives_nan",
)
def zero_for_nan(values, targets):
    share = explained_variance(values, targets)
    return 0.0 if math.isnan(share) else share


@mistake(
    "explained_variance",
    seen="Every value met every target: check the shapes before the difference.",
    named="This equals the right answer where the shapes agree, and lets torch stretch them where they do not.",
    caught_by="test_guesses_of_unequal_shapes_are_refused",
)
def stretches_shapes_of_guesses(values, targets):
    return _share((targets - values).var(correction=0), targets.var(correction=0))


# -------------------------------------------------------------------------------------------------------- true_next_obs

ENDED = "test_ended_environments_show_their_last_screen"
HOW = "test_it_does_not_matter_how_an_episode_ended"
ROLLOUT = "test_a_rollout_of_a_real_vector_environment"


@mistake(
    "true_next_obs",
    seen="That observation belongs to the next episode.",
    named="This equals next_obs as it was returned: where an episode ended, the first screen of the next one.",
    caught_by=(ENDED, ROLLOUT),
)
def returns_reset_obs(next_obs, infos):
    return next_obs.copy()


@mistake(
    "true_next_obs",
    seen="Now the policy will act on a dead episode's last view.",
    named="This equals the right answer, written into next_obs itself.",
    caught_by=(ENDED, HOW),
)
def edits_in_place(next_obs, infos):
    next_obs[...] = true_next_obs(next_obs, infos)
    return next_obs


@mistake(
    "true_next_obs",
    seen="Nothing ended, and what you handed out is next_obs itself: what if somebody writes into it?",
    named="This equals the right answer, except that without an ending it is next_obs and no copy.",
    caught_by="test_the_answer_is_an_array_of_its_own",
)
def no_copy_without_an_ending(next_obs, infos):
    return true_next_obs(next_obs, infos) if "_final_obs" in infos else next_obs


@mistake(
    "true_next_obs",
    seen="Only ended environments have a final observation.",
    named="This equals an answer in which every row is taken from final_obs once anything has ended: None becomes NaN.",
    caught_by=(ENDED, HOW),
)
def replaces_all_rows(next_obs, infos):
    true = next_obs.copy()
    for i, seen in enumerate(infos.get("final_obs", ())):
        true[i] = seen
    return true


@mistake(
    "true_next_obs",
    seen="Time limits end episodes too.",
    named="This equals an answer that keeps the reset observation where a time limit is reported as the cause.",
    caught_by=(ENDED, HOW),
)
def terminated_only(next_obs, infos):
    true = true_next_obs(next_obs, infos)
    stopped = infos.get("final_info", {}).get("TimeLimit.truncated", np.zeros(len(next_obs), dtype=bool))
    true[stopped] = next_obs[stopped]
    return true


@mistake(
    "true_next_obs",
    seen="A fall has a last screen as well: an ending is an ending.",
    named="This equals an answer that replaces only the rows for which a time limit is reported as the cause.",
    caught_by=(ENDED, HOW),
)
def truncated_only(next_obs, infos):
    true = next_obs.copy()
    stopped = infos.get("final_info", {}).get("TimeLimit.truncated", np.zeros(len(next_obs), dtype=bool))
    true[stopped] = true_next_obs(next_obs, infos)[stopped]
    return true


@mistake(
    "true_next_obs",
    seen="Several episodes ended in one step, and they all show the same last screen.",
    named="This equals an answer in which every row that ended gets the first final observation that there is.",
    caught_by=(ENDED, "test_all_environments_may_end_at_once"),
)
def first_for_all(next_obs, infos):
    true = next_obs.copy()
    if "_final_obs" in infos:
        over = np.flatnonzero(infos["_final_obs"])
        for i in over:
            true[i] = infos["final_obs"][over[0]]
    return true


@mistake(
    "true_next_obs",
    seen="The observations changed their type on the way.",
    named="This equals the right observations, turned into float32.",
    caught_by="test_observations_of_any_shape_and_dtype",
)
def turns_into_float32(next_obs, infos):
    return true_next_obs(next_obs, infos).astype(np.float32)
