"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

The truth of an advantage is summed here, step by step, from its definition: no recursion, and no line in common with any
implementation. Two kinds of rollout are drawn. In a *real* one the value of the next state is the value one row below
wherever the episode goes on; in an *unrelated* one the two never agree, so that it shows which was read.
"""

import math

import gymnasium
import numpy as np
import pytest
import torch
from asks import (
    carries_gradient,
    infos_after_a_step,
    next_obs_of_a_rollout,
    next_obs_of_a_step,
    write_into_next_obs,
)
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from autograder.testing import needs, task, weight

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
TO_THE_LAST = {"rtol": 1e-12, "atol": 1e-13}  # sums of up to nine terms in float64; 0.53 in float32 is off by 3e-8
FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}  # float32 carries seven digits; sums of up to nine terms of size one

T, N = 9, 5


class Rollout(dict):
    """The arrays of a rollout by name, in the order in which `gae` takes them."""

    def errors(self):
        """What td_errors takes."""
        return [self[name] for name in ("rewards", "values", "next_values", "terminated")]

    def all(self):
        """What gae takes."""
        return [*self.errors(), self["truncated"]]

    def to(self, dtype):
        """The same with its numbers in another dtype."""
        return Rollout({k: v.to(dtype) if v.is_floating_point() else v for k, v in self.items()})


def generator(seed):
    return torch.Generator().manual_seed(seed)


def dial(seed):
    """A discount and a lambda, both well inside their range and unlike each other."""
    gamma, lam = torch.rand(2, generator=generator(seed + 5000), dtype=torch.float64).tolist()
    return 0.85 + 0.1 * gamma, 0.5 + 0.25 * lam


def unrelated(seed, terminated=(), truncated=(), steps=T, envs=N):
    """Random numbers everywhere; flags at the given (t, n)."""
    numbers = torch.randn(3, steps, envs, generator=generator(seed), dtype=torch.float64)
    rollout = Rollout(zip(("rewards", "values", "next_values"), numbers, strict=True))
    for name, places in (("terminated", terminated), ("truncated", truncated)):
        flags = torch.zeros(steps, envs, dtype=torch.bool)
        for place in places:
            flags[place] = True
        rollout[name] = flags
    return rollout


def real(seed, terminated=(), truncated=(), steps=T, envs=N):
    """The same, with next values equal to the values one row below wherever an episode goes on."""
    rollout = unrelated(seed, terminated, truncated, steps, envs)
    running = ~(rollout["terminated"] | rollout["truncated"])[:-1]
    rollout["next_values"][:-1][running] = rollout["values"][1:][running]
    return rollout


def endings(seed):
    """Places for every ending: env 0 runs on, 1 terminates, 2 is truncated, 3 does both at once, 4 does all in turn.

    None lies in the first two or the last two rows, so that a flag read one row off always meets a step that goes on.
    """
    a, b, c = (2 + torch.randint(0, 5, (3,), generator=generator(seed + 6000))).tolist()
    return {"terminated": [(a, 1), (c, 3), (3, 4), (6, 4)], "truncated": [(b, 2), (c, 3), (2, 4), (5, 4)]}


def one_step_errors(r, terminated, gamma):
    """Each TD error on its own."""
    found = torch.zeros_like(r["rewards"])
    for place in np.ndindex(*found.shape):
        future = 0.0 if terminated[place] else r["next_values"][place]
        found[place] = r["rewards"][place] + gamma * future - r["values"][place]
    return found


def summed(r, gamma, lam):
    """The advantage by its definition: for every step, the sum of the errors up to its episode's own end. O(T^2)."""
    errors = one_step_errors(r, r["terminated"], gamma)
    steps, envs = errors.shape
    found = torch.zeros_like(errors)
    for n in range(envs):
        for t in range(steps):
            for k in range(t, steps):
                found[t, n] += (gamma * lam) ** (k - t) * errors[k, n]
                if r["terminated"][k, n] or r["truncated"][k, n]:
                    break
    return found


def k_step_returns(r, t, n, gamma):
    """Rewards of 1, 2, ... steps from t, each with the critic's guess for the rest, up to the episode's own end."""
    total, returns = 0.0, []
    for k in range(t, len(r["rewards"])):
        total += gamma ** (k - t) * r["rewards"][k, n].item()
        rest = 0.0 if r["terminated"][k, n] else gamma ** (k - t + 1) * r["next_values"][k, n].item()
        returns.append(total + rest)
        if r["terminated"][k, n] or r["truncated"][k, n]:
            break
    return returns


def weighed(r, gamma, lam):
    """The advantage once more, from the other definition: the mean of all k-step errors, weighed by lambda."""
    found = torch.zeros_like(r["rewards"])
    for t, n in np.ndindex(*found.shape):
        returns = k_step_returns(r, t, n, gamma)
        weights = [(1 - lam) * lam**k for k in range(len(returns) - 1)] + [lam ** (len(returns) - 1)]
        found[t, n] = sum(w * g for w, g in zip(weights, returns, strict=True)) - r["values"][t, n]
    return found


# ------------------------------------------------------------------------------------------------------------ td_errors


@task("td_errors")
@weight(2)
def test_later_guess_minus_earlier_guess(student, seed):
    """Where nothing ends, the error is the reward, plus the discounted value of the next state, minus the value."""
    r, (gamma, _) = unrelated(seed), dial(seed)
    student.td_errors(*r.errors(), gamma).equals(one_step_errors(r, r["terminated"], gamma), **FLOAT64)


@task("td_errors")
@weight(2)
def test_nothing_is_hoped_for_after_a_terminal_state(student, seed):
    """Where a step terminates, its next value does not count; in the rows beside it, it does."""
    r, (gamma, _) = unrelated(seed, endings(seed)["terminated"]), dial(seed)
    student.td_errors(*r.errors(), gamma).equals(one_step_errors(r, r["terminated"], gamma), **FLOAT64)


@task("td_errors")
def test_a_termination_in_the_last_row_counts_too(student, seed):
    """The first and the last step may terminate like any other."""
    r, (gamma, _) = unrelated(seed, [(T - 1, 2), (0, 1)]), dial(seed)
    student.td_errors(*r.errors(), gamma).equals(one_step_errors(r, r["terminated"], gamma), **FLOAT64)


@task("td_errors")
def test_errors_of_a_single_environment(student, seed):
    """A single environment has shape (T,), in and out."""
    r, (gamma, _) = unrelated(seed, [(3, 0), (5, 0)], envs=1), dial(seed)
    expected = one_step_errors(r, r["terminated"], gamma)[:, 0]
    student.td_errors(*(x[:, 0] for x in r.errors()), gamma).equals(expected, **FLOAT64)


@task("td_errors")
def test_errors_from_float_flags(student, seed):
    """Flags given as float 0 and 1 mean the same as bool ones."""
    r, (gamma, _) = unrelated(seed, endings(seed)["terminated"]), dial(seed)
    rewards, values, next_values, terminated = r.errors()
    expected = one_step_errors(r, terminated, gamma)
    student.td_errors(rewards, values, next_values, terminated.double(), gamma).equals(expected, **FLOAT64)


@task("td_errors")
def test_gamma_keeps_all_its_digits(student, seed):
    """In float64, gamma is not rounded to float32 on the way."""
    r = unrelated(seed, endings(seed)["terminated"])
    student.td_errors(*r.errors(), 0.53).equals(one_step_errors(r, r["terminated"], 0.53), **TO_THE_LAST)


@task("td_errors")
def test_errors_in_float32_stay_float32(student, seed):
    """float32 inputs give float32 errors."""
    r, (gamma, _) = unrelated(seed, endings(seed)["terminated"]).to(torch.float32), dial(seed)
    student.td_errors(*r.errors(), gamma).equals(one_step_errors(r, r["terminated"], gamma), **FLOAT32)


@task("td_errors")
def test_errors_carry_no_gradient(student, seed):
    """Errors carry no gradient, even where both kinds of values require one."""
    r, (gamma, _) = unrelated(seed, endings(seed)["terminated"]), dial(seed)
    expected = {"result": one_step_errors(r, r["terminated"], gamma), "carries a gradient": False}
    student.ask(carries_gradient, "td_errors", [*r.errors(), gamma], [1, 2]).equals(expected, **FLOAT64)


@task("td_errors")
@needs("test_later_guess_minus_earlier_guess")
@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_errors_of_unequal_shapes_are_refused(student, seed, which):
    """Each of the four arrays must have the shape of the others: (T, 1) and (N,) are refused beside (T, N)."""
    r, (gamma, _) = unrelated(seed), dial(seed)
    for narrower in (lambda x: x[:, :1], lambda x: x[0]):
        arguments = r.errors()
        arguments[which] = narrower(arguments[which])
        student.td_errors(*arguments, gamma).refused()


# ------------------------------------------------------------------------------------------------------------------ gae


def check_gae(student, r, gamma, lam, **tolerance):
    student.gae(*r.all(), gamma, lam).equals(summed(r, gamma, lam), **(tolerance or FLOAT64))


@task("gae")
@weight(2)
def test_later_errors_fade_by_gamma_times_lambda(student, seed):
    """While an episode goes on, each later error counts gamma times lambda less than the one before it."""
    check_gae(student, real(seed), *dial(seed))


@task("gae")
def test_the_last_row_of_a_cut_rollout_bootstraps(student, seed):
    """A rollout of a single step is cut right after it: the value of the next state counts, and nothing flows in."""
    check_gae(student, unrelated(seed, steps=1), *dial(seed))


@task("gae")
@weight(2)
def test_a_termination_ends_values_and_trace(student, seed):
    """Where an episode terminates, neither the next value nor the next row's advantage counts."""
    check_gae(student, real(seed, terminated=[*endings(seed)["terminated"], (4, 0), (5, 2)]), *dial(seed))


@task("gae")
@weight(3)
def test_a_truncation_ends_the_trace_alone(student, seed):
    """Where an episode is truncated, the next value counts and the next row's advantage does not."""
    check_gae(student, unrelated(seed, truncated=[*endings(seed)["truncated"], (4, 0), (5, 1)]), *dial(seed))


@task("gae")
@weight(3)
def test_four_endings_in_one_batch(student, seed):
    """Environments that run on, terminate, are truncated or do all in turn: each as the definition sums it."""
    check_gae(student, real(seed, **endings(seed)), *dial(seed))


@task("gae")
@weight(2)
def test_next_values_are_read_as_they_are_given(student, seed):
    """Four endings once more, and the value of the next state is nowhere the value one row below."""
    check_gae(student, unrelated(seed, **endings(seed)), *dial(seed))


@task("gae")
def test_terminated_wins_where_both_flags_are_set(student, seed):
    """A fall in the very step in which time runs out is a fall."""
    places = [(2, 0), (3, 1), (4, 2), (6, 4)]
    check_gae(student, real(seed, terminated=places, truncated=places), *dial(seed))


@task("gae")
@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_an_ending_in_the_last_row_is_an_ending(student, seed, ending):
    """An episode may end in the very row in which the rollout is cut, or in its first."""
    check_gae(student, real(seed, **{ending: [(T - 1, 1), (T - 1, 3), (0, 2)]}), *dial(seed))


@task("gae")
def test_every_k_step_error_has_its_share(student, seed):
    """An advantage is the mean of all k-step errors, weighed by lambda: the last of an episode takes what is left."""
    r, (gamma, lam) = real(seed, **endings(seed)), dial(seed)
    student.gae(*r.all(), gamma, lam).equals(weighed(r, gamma, lam), **FLOAT64)


@task("gae")
def test_lambda_zero_leaves_one_step_errors(student, seed):
    """At lambda = 0 an advantage is the step's own error."""
    r, (gamma, _) = unrelated(seed, **endings(seed)), dial(seed)
    student.gae(*r.all(), gamma, 0.0).equals(one_step_errors(r, r["terminated"], gamma), **FLOAT64)


@task("gae")
def test_lambda_one_recovers_returns(student, seed):
    """At lambda = 1 it is the discounted rewards to the episode's end, with the bootstrap there, minus the value."""
    r, (gamma, _) = real(seed, **endings(seed)), dial(seed)
    expected = torch.zeros(T, N, dtype=torch.float64)
    for t, n in np.ndindex(T, N):
        expected[t, n] = k_step_returns(r, t, n, gamma)[-1] - r["values"][t, n]
    student.gae(*r.all(), gamma, 1.0).equals(expected, **FLOAT64)


@task("gae")
def test_advantages_of_a_single_environment(student, seed):
    """A single environment has shape (T,), in and out."""
    r, (gamma, lam) = unrelated(seed, terminated=[(2, 0)], truncated=[(5, 0)], envs=1), dial(seed)
    student.gae(*(x[:, 0] for x in r.all()), gamma, lam).equals(summed(r, gamma, lam)[:, 0], **FLOAT64)


@task("gae")
@needs("test_later_errors_fade_by_gamma_times_lambda")
def test_environments_do_not_feel_each_other(student, seed):
    """Putting the environments in another order puts their advantages in that order, and changes nothing else."""
    r, (gamma, lam) = unrelated(seed, **endings(seed)), dial(seed)
    order = torch.randperm(N, generator=generator(seed))
    straight = student.gae(*r.all(), gamma, lam).value
    student.gae(*(x[:, order] for x in r.all()), gamma, lam).equals(straight[:, order], **FLOAT64)


@task("gae")
def test_advantages_from_float_flags(student, seed):
    """Flags given as float 0 and 1 mean the same as bool ones."""
    r, (gamma, lam) = unrelated(seed, **endings(seed)), dial(seed)
    expected = summed(r, gamma, lam)
    student.gae(*(x.double() for x in r.all()), gamma, lam).equals(expected, **FLOAT64)


@task("gae")
def test_the_factor_keeps_all_its_digits(student, seed):
    """In float64, gamma times lambda is not rounded to float32 on the way."""
    check_gae(student, unrelated(seed, **endings(seed)), 0.53, 0.96, **TO_THE_LAST)


@task("gae")
def test_advantages_in_float32_stay_float32(student, seed):
    """float32 inputs give float32 advantages."""
    check_gae(student, unrelated(seed, **endings(seed)).to(torch.float32), *dial(seed), **FLOAT32)


@task("gae")
def test_raw_advantages_carry_no_gradient(student, seed):
    """Advantages carry no gradient, even where both kinds of values require one."""
    r, (gamma, lam) = unrelated(seed, **endings(seed)), dial(seed)
    expected = {"result": summed(r, gamma, lam), "carries a gradient": False}
    student.ask(carries_gradient, "gae", [*r.all(), gamma, lam], [1, 2]).equals(expected, **FLOAT64)


@task("gae")
@needs("test_later_errors_fade_by_gamma_times_lambda")
def test_no_steps_give_no_advantages(student, seed):
    """A rollout of no steps gives an empty answer of its own shape: (0, N), or (0,)."""
    r, (gamma, lam) = unrelated(seed, steps=0), dial(seed)
    student.gae(*r.all(), gamma, lam).equals(torch.zeros(0, N, dtype=torch.float64))
    student.gae(*(x[:, 0] for x in r.all()), gamma, lam).equals(torch.zeros(0, dtype=torch.float64))


@task("gae")
@needs("test_later_errors_fade_by_gamma_times_lambda")
@pytest.mark.parametrize("which", [0, 1, 2, 3, 4])
def test_rollouts_of_unequal_shapes_are_refused(student, seed, which):
    """Each of the five arrays must have the shape of the others: (T, 1), (N,) and (T + 1, N) are refused beside (T, N)."""
    r, (gamma, lam) = unrelated(seed), dial(seed)
    for other in (lambda x: x[:, :1], lambda x: x[0], lambda x: torch.cat([x, x[-1:]])):
        arguments = r.all()
        arguments[which] = other(arguments[which])
        student.gae(*arguments, gamma, lam).refused()


# -------------------------------------------------------------------------------------------------------- value_targets


def advantages_and_values(seed, dtype=torch.float64):
    """Advantages that are off centre and not of size one, and values of another size."""
    numbers = torch.randn(2, T, N, generator=generator(seed), dtype=torch.float64)
    return (2.5 * numbers[0] + 1.3).to(dtype), (4 * numbers[1] - 2).to(dtype)


@task("value_targets")
@weight(2)
def test_targets_are_advantages_plus_values(student, seed):
    """A target is the advantage, as it is, plus the value."""
    advantages, values = advantages_and_values(seed)
    student.value_targets(advantages, values).equals(advantages + values, **FLOAT64)


@task("value_targets")
@weight(2)
def test_targets_are_lambda_returns(student, reference, seed):
    """From `gae`'s advantages they are the mean of all k-step returns, weighed by lambda, up to each ending."""
    r, (gamma, lam) = real(seed, **endings(seed)), dial(seed)
    advantages = reference.gae(*r.all(), gamma, lam).value
    student.value_targets(advantages, r["values"]).equals(weighed(r, gamma, lam) + r["values"], **FLOAT64)


@task("value_targets")
def test_targets_carry_no_gradient(student, seed):
    """Targets carry no gradient, even where the values require one."""
    advantages, values = advantages_and_values(seed)
    expected = {"result": advantages + values, "carries a gradient": False}
    student.ask(carries_gradient, "value_targets", [advantages, values], [1]).equals(expected, **FLOAT64)


@task("value_targets")
def test_targets_in_float32_stay_float32(student, seed):
    """float32 inputs give float32 targets."""
    advantages, values = advantages_and_values(seed, torch.float32)
    student.value_targets(advantages, values).equals(advantages + values, **FLOAT32)


@task("value_targets")
@needs("test_targets_are_advantages_plus_values")
def test_targets_of_unequal_shapes_are_refused(student, seed):
    """Advantages and values of unequal shapes are refused: (T,) with (T, 1), (T, N) with (T, 1) or (N,)."""
    advantages, values = advantages_and_values(seed)
    student.value_targets(advantages[:, 0], values[:, :1]).refused()
    student.value_targets(advantages, values[:, :1]).refused()
    student.value_targets(advantages[0], values).refused()


# --------------------------------------------------------------------------------------------------- explained_variance


def guesses(seed, dtype=torch.float64):
    """Values that know a part of their targets, off by a constant, in environments of different size: (T, N) each."""
    draw = generator(seed)
    targets = torch.randn(T, N, generator=draw, dtype=torch.float64) * (1 + torch.arange(N)) + 3 * torch.arange(N)
    noise = torch.randn(T, N, generator=draw, dtype=torch.float64)
    return (0.7 * targets + noise + 0.5).to(dtype), targets.to(dtype)


def variance(x):
    """The mean square distance from the mean, dividing by n, over all elements."""
    numbers = x.double().flatten().tolist()
    mean = math.fsum(numbers) / len(numbers)
    return math.fsum((number - mean) ** 2 for number in numbers) / len(numbers)


def explained(values, targets):
    return 1 - variance(targets.double() - values.double()) / variance(targets)


@task("explained_variance")
@weight(2)
def test_the_share_of_the_targets_variance(student, seed):
    """The answer is 1 minus the variance of what is left over the variance of the targets."""
    values, targets = guesses(seed)
    student.explained_variance(values, targets).equals(explained(values, targets), **FLOAT64)


@task("explained_variance")
def test_the_share_for_a_single_environment(student, seed):
    """Shape (T,) will do."""
    values, targets = guesses(seed)
    student.explained_variance(values[:, 2], targets[:, 2]).equals(explained(values[:, 2], targets[:, 2]), **FLOAT64)


@task("explained_variance")
@needs("test_the_share_of_the_targets_variance")
def test_a_perfect_critic_scores_one(student, seed):
    """Values that equal their targets score 1."""
    _, targets = guesses(seed)
    student.explained_variance(targets, targets).equals(1.0, **FLOAT64)


@task("explained_variance")
@needs("test_the_share_of_the_targets_variance")
def test_a_constant_critic_scores_zero(student, seed):
    """A critic that says the same of every state scores 0, whatever it says."""
    _, targets = guesses(seed)
    # the variance is taken of numbers moved by up to 4: the last digits of 1 - 1 are left
    student.explained_variance(torch.full_like(targets, seed % 5), targets).equals(0.0, atol=1e-12)


@task("explained_variance")
def test_an_offset_does_not_show(student, seed):
    """Adding a constant to every value changes nothing."""
    values, targets = guesses(seed)
    student.explained_variance(values + 40, targets).equals(explained(values, targets), **FLOAT64)


@task("explained_variance")
def test_twice_too_large_is_not_perfect(student, seed):
    """Values that are a multiple of their targets are not right."""
    _, targets = guesses(seed)
    student.explained_variance(1.6 * targets, targets).equals(1 - 0.6**2, **FLOAT64)


@task("explained_variance")
def test_a_harmful_critic_scores_below_zero(student, seed):
    """A critic that is worse than a constant scores below 0."""
    values, targets = guesses(seed)
    student.explained_variance(-values, targets).equals(explained(-values, targets), **FLOAT64)


@task("explained_variance")
@needs("test_the_share_of_the_targets_variance")
def test_no_variance_gives_nan(student, seed):
    """Where the targets do not vary there is nothing to explain: nan."""
    values, _ = guesses(seed)
    # a constant whose mean has no rounding in it
    student.explained_variance(values, torch.full_like(values, 2.0)).equals(math.nan, nan_equal=True)


@task("explained_variance")
def test_the_share_in_float32(student, seed):
    """float32 inputs will do; the answer is a Python float."""
    values, targets = guesses(seed, torch.float32)
    student.explained_variance(values, targets).equals(explained(values, targets), **FLOAT32)


@task("explained_variance")
@needs("test_the_share_of_the_targets_variance")
def test_guesses_of_unequal_shapes_are_refused(student, seed):
    """Values and targets of unequal shapes are refused: (T,) with (T, 1), (T, N) with (T, 1) or (N,)."""
    values, targets = guesses(seed)
    student.explained_variance(values[:, 0], targets[:, :1]).refused()
    student.explained_variance(values[:, :1], targets).refused()
    student.explained_variance(values, targets[0]).refused()


# -------------------------------------------------------------------------------------------------------- true_next_obs


def a_step(seed, ended, shape=(3,), dtype=np.float32, stopped=()):
    """One step of five environments: next_obs, infos as SAME_STEP fills them, and what the step truly led to.

    In `ended` environments something lies in final_obs; those in `stopped` say that a time limit did it, as some
    environments and wrappers report.
    """
    draw = np.random.default_rng(seed)
    next_obs = draw.integers(0, 200, (N, *shape)).astype(dtype)
    final = (200 + draw.integers(0, 50, (N, *shape))).astype(dtype)
    infos = {"steps": np.arange(N), "_steps": np.ones(N, dtype=bool)}
    true = next_obs.copy()
    if ended:
        over = np.isin(np.arange(N), ended)
        late = {"TimeLimit.truncated": np.isin(np.arange(N), stopped), "_TimeLimit.truncated": over}
        infos |= {"final_obs": [final[i] if over[i] else None for i in range(N)], "_final_obs": over}
        infos |= {"final_info": late, "_final_info": over}
        true[over] = final[over]
    return next_obs, infos, true


def check_step(student, next_obs, infos, true):
    student.ask(next_obs_of_a_step, next_obs, infos).equals({"answer": true, "next_obs": next_obs})


@task("true_next_obs")
@weight(3)
def test_ended_environments_show_their_last_screen(student, seed):
    """Rows of environments that ended hold their last observation; all others are as the step returned them."""
    ended = sorted({seed % N, (seed + 2) % N})
    check_step(student, *a_step(seed, ended, stopped=ended[:1]))


@task("true_next_obs")
@weight(2)
def test_it_does_not_matter_how_an_episode_ended(student, seed):
    """An episode that ended has a last observation, whether it terminated or ran out of time."""
    ended = [(seed + 1) % N]
    check_step(student, *a_step(seed, ended))
    check_step(student, *a_step(seed, ended, stopped=ended))


@task("true_next_obs")
def test_all_environments_may_end_at_once(student, seed):
    """Where all ended, every row is a last observation."""
    check_step(student, *a_step(seed, list(range(N)), stopped=[0, 3]))


@task("true_next_obs")
@needs("test_ended_environments_show_their_last_screen")
def test_nothing_ended_nothing_changes(student, seed):
    """A step in which nothing ended has neither key, and led where next_obs says."""
    check_step(student, *a_step(seed, []))


@task("true_next_obs")
@needs("test_ended_environments_show_their_last_screen")
@pytest.mark.parametrize("ended", [[], [1, 4]])
def test_the_answer_is_an_array_of_its_own(student, seed, ended):
    """Writing into the answer leaves next_obs as it was, whether something ended or not."""
    next_obs, infos, true = a_step(seed, ended)
    student.ask(write_into_next_obs, next_obs, infos).equals({"answer": true, "next_obs": next_obs})


@task("true_next_obs")
@needs("test_ended_environments_show_their_last_screen")
def test_infos_stay_as_they_were(student, seed):
    """final_obs and its flags are the same after the call as before it."""
    next_obs, infos, true = a_step(seed, [seed % N])
    expected = {"answer": true, "final_obs": infos["final_obs"], "_final_obs": infos["_final_obs"]}
    student.ask(infos_after_a_step, next_obs, infos).equals(expected)


@task("true_next_obs")
@pytest.mark.parametrize("kind", ["pictures", "numbers", "float64"])
def test_observations_of_any_shape_and_dtype(student, seed, kind):
    """Pictures (N, 4, 6) of bytes, one whole number for each environment, float64: shape and dtype are kept."""
    shape, dtype = {"pictures": ((4, 6), np.uint8), "numbers": ((), np.int64), "float64": ((2,), np.float64)}[kind]
    check_step(student, *a_step(seed, [0, (seed % 3) + 1], shape, dtype, stopped=[0]))


class Walk(gymnasium.Env):
    """Walks to and fro as told, from a random place; falls off beyond 3, and is stopped after a few steps."""

    observation_space = gymnasium.spaces.Box(-9.0, 9.0, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, limit):
        self.limit = limit

    def seen(self):
        return np.array([self.place, self.time / 8], dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = float(self.np_random.uniform(-1, 1)), 0
        return self.seen(), {}

    def step(self, action):
        self.place += 1.5 * (2 * action - 1)
        self.time += 1
        return self.seen(), 1.0, abs(self.place) > 3, self.time >= self.limit, {}


def walked(seed):
    """Twelve steps of a real vector of four walkers, and where each of them truly led: the walker's own two numbers."""
    limits = (3, 4, 5, 6)
    envs = SyncVectorEnv([lambda limit=limit: Walk(limit) for limit in limits], autoreset_mode=AutoresetMode.SAME_STEP)
    draw = np.random.default_rng(seed)
    obs, _ = envs.reset(seed=seed)
    seen, said, true = [], [], []
    for _ in range(12):
        actions = draw.integers(0, 2, len(limits))
        true.append(np.stack([obs[:, 0] + 1.5 * (2 * actions - 1), obs[:, 1] + 1 / 8], axis=1))
        obs, _, _, _, infos = envs.step(actions)
        seen.append(obs.copy())
        said.append({k: list(v) if k == "final_obs" else v for k, v in infos.items()})
    envs.close()
    return seen, said, np.stack(true).astype(np.float32)


@task("true_next_obs")
@weight(2)
def test_a_rollout_of_a_real_vector_environment(student, seed):
    """On twelve steps of gymnasium's own SyncVectorEnv, each row is where that walker's step led."""
    seen, said, true = walked(seed)
    # where it led is computed here in float32, once more: the last digit may differ
    student.ask(next_obs_of_a_rollout, seen, said).equals(true, **FLOAT32)
