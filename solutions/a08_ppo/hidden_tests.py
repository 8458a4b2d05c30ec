"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. Ratios and values are drawn away from the edges of the fences, where a gradient jumps.
`@needs` stands on every property that an empty answer has too: zeros sum up to zero whatever their shape.
"""

import math

import gymnasium
import numpy as np
import pytest
import torch
from asks import (
    act,
    act_twice,
    action_counts,
    batches,
    batches_beside_global,
    batches_from_global,
    entropy_and_gradient,
    first_places,
    fresh_answers,
    gradients_of_loss,
    gradients_through_methods,
    judge,
    kl_and_whether_it_trains,
    loss_of_agent,
    loss_of_blank_agent,
    on_policy_loss,
    row_by_row,
    sampled_answers,
    surrogate_and_gradients,
    train,
    value_loss_and_gradients,
)
from common import Choice, Clock, Constant, Delay, Echo, Match

from autograder.testing import graded_run, needs, task, weight
from autograder.testing.worlds import World

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
GRADIENT = {"rtol": 1e-7, "atol": 1e-10}  # float64 gradients: longer sums, and differences of nearly equal terms
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32 carries seven digits, and the means here have few terms
NETWORK = {"rtol": 1e-4, "atol": 1e-5}  # float32 through three layers, forwards or back, in another order

OBS, A = 4, 3  # size of an observation, number of actions: unlike each other and every other size


def numbers(seed, dtype=torch.float64):
    """A function that draws normal numbers in any shape, the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def away_from(edges, x, by=0.02):
    """x, with whatever lies near an edge moved away from it."""
    for edge in edges:
        x = torch.where((x - edge).abs() < by, edge + 2 * by, x)
    return x


def on_both_sides(seed, *shape, eps=0.2, spread=0.5, dtype=torch.float64):
    """logp, old_logp, adv: ratios below, within and above the fence, each with advantages of both signs."""
    draw = numbers(seed)
    ratio = away_from([1 - eps, 1 + eps], (spread * draw(*shape)).exp())
    ratio.view(-1)[:6] = torch.tensor([0.5, 0.6, 1.05, 0.95, 1.5, 1.7], dtype=torch.float64)
    adv = away_from([0.0], draw(*shape))
    adv.view(-1)[:6] = adv.view(-1)[:6].abs() * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    old_logp = -3 * torch.rand(shape, generator=torch.Generator().manual_seed(seed + 5000), dtype=torch.float64)
    return (old_logp + ratio.log()).to(dtype), old_logp.to(dtype), adv.to(dtype)


# ---------------------------------------------------------------------------------------------------- clipped_surrogate


@task("clipped_surrogate")
@weight(2)
def test_of_two_estimates_the_worse_counts(student, reference, seed):
    """For ratios on both sides of the fence and advantages of both signs, the smaller product counts, as a loss."""
    given = on_both_sides(seed, 17)
    student.clipped_surrogate(*given, 0.2).equals(reference.clipped_surrogate(*given, 0.2), **FLOAT64)


@task("clipped_surrogate")
@weight(2)
def test_only_what_left_the_fence_in_its_favour_is_released(student, reference, seed):
    """The gradient is zero where the ratio left the fence in the direction of its advantage, and nowhere else."""
    given = on_both_sides(seed, 17)
    truth = reference.ask(surrogate_and_gradients, *given, 0.2)
    student.ask(surrogate_and_gradients, *given, 0.2).equals(truth, **GRADIENT)


@task("clipped_surrogate")
def test_the_policy_gradient_at_a_ratio_of_one(student, seed):
    """Where old and new policy agree, the gradient is minus the advantage over M."""
    draw = numbers(seed)
    logp, adv, nothing = draw(9) - 3, draw(9), torch.zeros(9, dtype=torch.float64)
    answer = student.ask(surrogate_and_gradients, logp, logp, adv, 0.2)
    answer.equals({"loss": -adv.mean(), "logp": -adv / 9, "old_logp": nothing, "adv": nothing}, **GRADIENT)


@task("clipped_surrogate")
def test_neither_the_past_nor_the_advantage_is_trained(student, reference, seed):
    """old_logp and adv receive no gradient, even if they ask for one."""
    given = on_both_sides(seed, 11)
    truth = reference.ask(surrogate_and_gradients, *given, 0.3)
    student.ask(surrogate_and_gradients, *given, 0.3).equals(truth, **GRADIENT)


@task("clipped_surrogate")
@pytest.mark.parametrize("eps", [0.1, 0.3, 0.6])
def test_the_fence_is_as_wide_as_asked(student, reference, seed, eps):
    """The fence stands at 1 - eps and 1 + eps, for any eps."""
    given = on_both_sides(seed, 17, eps=eps, spread=0.8)
    student.clipped_surrogate(*given, eps).equals(reference.clipped_surrogate(*given, eps), **FLOAT64)


@task("clipped_surrogate")
def test_a_fence_without_width(student, reference, seed):
    """With eps 0 the loss is minus the mean of the smaller of r * adv and adv."""
    given = on_both_sides(seed, 17, eps=0.0)
    student.clipped_surrogate(*given, 0.0).equals(reference.clipped_surrogate(*given, 0.0), **FLOAT64)


@task("clipped_surrogate")
def test_ratios_far_outside(student, reference, seed):
    """Ratios of a thousand and of a thousandth do no harm."""
    given = on_both_sides(seed, 13, spread=4.0)
    student.clipped_surrogate(*given, 0.2).equals(reference.clipped_surrogate(*given, 0.2), **FLOAT64)


@task("clipped_surrogate")
def test_the_mean_is_over_time_and_environments(student, reference, seed):
    """A (T, N) rollout has the mean over all of its samples, as a scalar."""
    given = on_both_sides(seed, 5, 7)
    student.clipped_surrogate(*given, 0.2).equals(reference.clipped_surrogate(*given, 0.2), **FLOAT64)


@task("clipped_surrogate")
def test_surrogate_in_float32(student, reference, seed):
    """float32 inputs give a float32 loss."""
    given = on_both_sides(seed, 17, dtype=torch.float32)
    student.clipped_surrogate(*given, 0.2).equals(reference.clipped_surrogate(*given, 0.2), **FLOAT32)


@task("clipped_surrogate")
@needs("test_of_two_estimates_the_worse_counts")
@pytest.mark.parametrize("which", [0, 1, 2])
def test_shapes_that_disagree_are_refused(student, seed, which):
    """A column beside rows, or a single number beside many, is refused."""
    given = list(on_both_sides(seed, 9))
    whole = given[which]
    for other in (whole[:, None], whole[:1], whole[:-1]):
        given[which] = other
        student.clipped_surrogate(*given, 0.2).refused()


# --------------------------------------------------------------------------------------------------- clipped_value_loss


def critic_on_both_sides(seed, *shape, eps=0.2, dtype=torch.float64):
    """values, old_values, targets: steps shorter and longer than the fence, towards the target and away from it."""
    draw = numbers(seed)
    old, targets = draw(*shape), draw(*shape)
    step = away_from([-eps, eps], 2 * eps * draw(*shape))
    step.view(-1)[:6] = eps * torch.tensor([0.5, -0.5, 2.0, -2.0, 2.5, -2.5], dtype=torch.float64)
    targets.view(-1)[:6] = old.view(-1)[:6] + torch.tensor([1.0, 1.2, 1.5, 0.9, -1.1, -1.3], dtype=torch.float64)
    return tuple(x.to(dtype) for x in (old + step, old, targets))


@task("clipped_value_loss")
@weight(2)
def test_of_two_errors_the_larger_counts(student, reference, seed):
    """For values within and outside of the fence, half the mean of the larger squared error."""
    given = critic_on_both_sides(seed, 17)
    student.clipped_value_loss(*given, 0.2).equals(reference.clipped_value_loss(*given, 0.2), **FLOAT64)


@task("clipped_value_loss")
@weight(2)
def test_gradients_of_the_larger_error(student, reference, seed):
    """A value is pulled by the larger error; old values and targets by none."""
    given = critic_on_both_sides(seed, 17)
    truth = reference.ask(value_loss_and_gradients, *given, 0.2)
    student.ask(value_loss_and_gradients, *given, 0.2).equals(truth, **GRADIENT)


@task("clipped_value_loss")
def test_within_the_fence_the_clip_is_not_felt(student, seed):
    """Where no value has moved as far as eps, it is half the mean squared error."""
    draw = numbers(seed)
    old, targets = draw(9), draw(9)
    values = old + 0.09 * torch.tanh(draw(9))
    answer = student.clipped_value_loss(values, old, targets, 0.1)
    answer.equals(0.5 * (values - targets).square().mean(), **FLOAT64)


@task("clipped_value_loss")
@pytest.mark.parametrize("eps", [0.05, 0.7])
def test_the_critics_fence_is_as_wide_as_asked(student, reference, seed, eps):
    """A value may move eps away from the old one, in either direction, for any eps."""
    given = critic_on_both_sides(seed, 17, eps=eps)
    student.clipped_value_loss(*given, eps).equals(reference.clipped_value_loss(*given, eps), **FLOAT64)


@task("clipped_value_loss")
def test_value_losses_average_over_time_and_environments(student, reference, seed):
    """A (T, N) rollout has the mean over all of its samples, as a scalar, and float32 stays float32."""
    given = critic_on_both_sides(seed, 5, 7, dtype=torch.float32)
    student.clipped_value_loss(*given, 0.2).equals(reference.clipped_value_loss(*given, 0.2), **FLOAT32)


@task("clipped_value_loss")
@needs("test_of_two_errors_the_larger_counts")
@pytest.mark.parametrize("which", [0, 1, 2])
def test_values_of_another_shape_are_refused(student, seed, which):
    """A critic's column beside targets in a row is refused, and so is one number beside many."""
    given = list(critic_on_both_sides(seed, 9))
    whole = given[which]
    for other in (whole[:, None], whole[:1], whole[:-1]):
        given[which] = other
        student.clipped_value_loss(*given, 0.2).refused()


# -------------------------------------------------------------------------------------------------------- entropy_bonus


@task("entropy_bonus")
@weight(2)
def test_the_mean_entropy_of_many_states(student, reference, seed):
    """The entropy of each state's softmax, in nats, averaged over states."""
    logits = 2 * numbers(seed)(11, 5)
    student.entropy_bonus(logits).equals(reference.entropy_bonus(logits), **FLOAT64)


@task("entropy_bonus")
@weight(2)
def test_the_entropy_can_be_climbed(student, reference, seed):
    """The gradient in the logits is right."""
    logits = 2 * numbers(seed)(7, 5)
    truth = reference.ask(entropy_and_gradient, logits)
    student.ask(entropy_and_gradient, logits).equals(truth, **GRADIENT)


@task("entropy_bonus")
@pytest.mark.parametrize("shape", [[6], [5, 7, 4], [2, 1, 5, 3]])
def test_any_axes_may_lead(student, reference, seed, shape):
    """One state, a rollout (T, N, A) or more axes: the last one holds the actions, the mean is over all others."""
    logits = numbers(seed)(*shape)
    student.entropy_bonus(logits).equals(reference.entropy_bonus(logits), **FLOAT64)


@task("entropy_bonus")
def test_equal_logits_have_the_logarithm_of_their_number(student, seed):
    """Where all actions are alike, the entropy is ln A, whatever the logits are."""
    n = 2 + seed % 7
    logits = numbers(seed)(6, 1).expand(6, n).clone()
    student.entropy_bonus(logits).equals(torch.tensor(math.log(n), dtype=torch.float64), **FLOAT64)


@task("entropy_bonus")
@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_logits_of_ten_thousand(student, reference, seed, shift):
    """Adding ten thousand to all logits, or taking it away, changes nothing."""
    logits = numbers(seed)(7, 5)
    # float64 near 10000 is right to 2e-12
    student.entropy_bonus(logits + shift).equals(reference.entropy_bonus(logits), rtol=1e-9, atol=1e-9)


@task("entropy_bonus")
def test_a_certain_policy_beside_undecided_ones(student, reference, seed):
    """A state whose best action is ten thousand ahead has entropy 0, and the others theirs."""
    logits = numbers(seed)(7, 5)
    logits[seed % 7, seed % 5] = 1e4
    logits[(seed + 3) % 7, (seed + 1) % 5] = -1e4
    student.entropy_bonus(logits).equals(reference.entropy_bonus(logits), **FLOAT64)


@task("entropy_bonus")
def test_actions_that_cannot_be_taken_count_nothing(student, reference, seed):
    """An action with a logit of minus infinity adds nothing, and the others share all of the probability."""
    logits = numbers(seed)(7, 5)
    hidden = torch.rand(7, 5, generator=torch.Generator().manual_seed(seed + 1)) < 0.4
    hidden[:, seed % 5], hidden[0, (seed + 1) % 5] = False, True
    answer = student.entropy_bonus(logits.masked_fill(hidden, -math.inf))
    assert answer.value.isfinite().all(), "An impossible action turned the entropy into NaN."
    answer.equals(reference.entropy_bonus(logits.masked_fill(hidden, -math.inf)), **FLOAT64)


@task("entropy_bonus")
def test_entropy_in_float32(student, reference, seed):
    """float32 logits give a float32 entropy."""
    logits = numbers(seed, torch.float32)(11, 5)
    student.entropy_bonus(logits).equals(reference.entropy_bonus(logits), **FLOAT32)


# ------------------------------------------------------------------------------------------------------------ approx_kl


@task("approx_kl")
@weight(2)
def test_the_estimate_from_taken_actions(student, reference, seed):
    """The mean of (r - 1) - ln r over all samples."""
    logp, old_logp, _ = on_both_sides(seed, 17)
    student.approx_kl(logp, old_logp).equals(reference.approx_kl(logp, old_logp), **FLOAT64)


@task("approx_kl")
def test_the_estimate_of_a_rollout(student, reference, seed):
    """A (T, N) rollout has the mean over all of its samples, and float32 stays float32."""
    logp, old_logp, _ = on_both_sides(seed, 5, 7, dtype=torch.float32)
    student.approx_kl(logp, old_logp).equals(reference.approx_kl(logp, old_logp), **FLOAT32)


@task("approx_kl")
@needs("test_the_estimate_from_taken_actions")
def test_the_estimate_is_never_negative(student, seed):
    """It is never negative, on which side of one the ratios may be."""
    logp, old_logp, _ = on_both_sides(seed, 9)
    for shift in (-0.5, -0.1, 0.1, 0.5):
        value = student.approx_kl(logp + shift, old_logp).value
        # rounding
        assert float(value) >= -1e-7, "Your KL can be negative."


@task("approx_kl")
def test_the_estimate_of_a_known_pair_is_right_on_average(student, seed):
    """Over all actions, weighted by the old policy, it is exactly KL(old || new)."""
    # 20 samples that stand for old probabilities 0.5, 0.25, 0.25
    old = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    new = (old.log() + numbers(seed)(3)).softmax(-1)
    drawn = torch.tensor([0] * 10 + [1] * 5 + [2] * 5)
    exact = (old * (old.log() - new.log())).sum()
    student.approx_kl(new.log()[drawn], old.log()[drawn]).equals(exact, **FLOAT64)


@task("approx_kl")
@needs("test_the_estimate_from_taken_actions")
def test_the_estimate_carries_no_gradient(student, reference, seed):
    """What comes back carries no gradient, even if the log-probabilities ask for one."""
    logp, old_logp, _ = on_both_sides(seed, 9)
    truth = reference.ask(kl_and_whether_it_trains, logp, old_logp)
    student.ask(kl_and_whether_it_trains, logp, old_logp).equals(truth, **FLOAT64)


@task("approx_kl")
@needs("test_the_estimate_from_taken_actions")
def test_log_probs_of_another_shape_are_refused(student, seed):
    """A column beside a row is refused, and so is one number beside many."""
    logp, old_logp, _ = on_both_sides(seed, 9)
    student.approx_kl(logp[:, None], old_logp).refused()
    student.approx_kl(logp, old_logp[:1]).refused()


# ---------------------------------------------------------------------------------------------------------- minibatches


@task("minibatches")
@weight(2)
@pytest.mark.parametrize("size", [1, 6, 7, 100])
def test_each_sample_comes_once(student, seed, size):
    """Joined, the batches hold each index once; all but the last have the asked size; indices are int64."""
    n = 24 + seed % 9
    found = student.ask(batches, n, size, seed).value[0]
    sizes = [len(batch) for batch in found]
    assert sizes == [size] * (n // size) + [n % size] * (n % size > 0), "The batches do not have the asked sizes."
    assert all(batch.dtype == torch.int64 for batch in found), "Indices are int64."
    assert torch.cat(found).sort().values.equal(torch.arange(n)), "Joined, the batches should hold each index once."


@task("minibatches")
@needs("test_each_sample_comes_once")
def test_neighbours_are_parted(student, seed):
    """The order is shuffled sample by sample: few neighbours stay neighbours."""
    order = torch.cat(student.ask(batches, 200, 10, seed).value[0])
    # a random order of 200 keeps about one pair that follows each other; ten would be one in a million
    assert int((order.diff() == 1).sum()) < 10, "Neighbours in time stayed neighbours."


@task("minibatches")
@needs("test_each_sample_comes_once")
def test_each_epoch_has_its_own_order(student, seed):
    """Two calls with one generator give two orders."""
    first, second = (torch.cat(epoch) for epoch in student.ask(batches, 60, 8, seed, epochs=2).value)
    assert not first.equal(second), "Each epoch saw one order."


@task("minibatches")
@needs("test_each_sample_comes_once")
def test_all_chance_comes_from_the_generator(student, seed):
    """Two generators with one seed give the same batches, whatever torch's global generator is doing."""
    first = student.ask(batches_beside_global, 60, 8, seed, 1).value
    second = student.ask(batches_beside_global, 60, 8, seed, 2).value
    assert all(a.equal(b) for a, b in zip(first, second, strict=True)), "The same seed gave other batches."


@task("minibatches")
@needs("test_each_sample_comes_once")
def test_no_generator_means_the_global_one(student, seed):
    """Without a generator, torch's global one decides: seeded alike it gives the same batches, else others."""
    first, again, other = (student.ask(batches_from_global, 60, 8, s).value for s in (seed, seed, seed + 1))
    assert torch.cat(first).equal(torch.cat(again)), "torch's global generator did not decide."
    assert not torch.cat(first).equal(torch.cat(other)), "Another global seed gave the same order."


@task("minibatches")
@needs("test_each_sample_comes_once")
def test_each_sample_is_first_as_often(student, seed):
    """Over 2,000 epochs, each of five samples comes first equally often."""
    counts = student.ask(first_places, 5, 2, seed, 2000).value
    # 400 each, with a standard deviation of 18: six of them
    assert int((counts - 400).abs().max()) < 108, "Some samples come first more often than others."


@task("minibatches")
@needs("test_each_sample_comes_once")
def test_nothing_to_batch_and_sizes_below_one(student, seed):
    """n = 0 gives an empty list; a size below 1 is refused."""
    assert len(student.minibatches(0, 1 + seed % 5).value) == 0, "There is nothing to batch."
    student.minibatches(1 + seed % 5, 0).refused()
    student.minibatches(1 + seed % 5, -1).refused()


# ------------------------------------------------------------------------------------------------------------- PPOAgent


def some_batch(seed, *shape, n_actions=A, spread=0.4):
    """A batch, float32. For an agent without weights its ratios lie on both sides of the fence, away from its edges."""
    draw = numbers(seed)
    ratio = away_from([0.7, 0.8, 1.2, 1.3], (spread * draw(*shape)).exp())
    old = draw(*shape)
    batch = {
        "obs": draw(*shape, OBS),
        "old_logp": -math.log(n_actions) - ratio.log(),
        "adv": 3 * draw(*shape) + 1 + torch.arange(shape[-1]),  # differs along both axes
        "targets": draw(*shape),
        "old_values": away_from([-0.3, -0.2, 0.2, 0.3], 0.4 * old),
    }
    batch["adv"] = batch["adv"] + 2 * torch.arange(shape[0], dtype=torch.float64).view(-1, *[1] * (len(shape) - 1))
    batch = {key: value.float() for key, value in batch.items()}
    actions = torch.randint(n_actions, shape, generator=torch.Generator().manual_seed(seed + 1))
    return batch | {"actions": actions}


def loss_by_hand(log_probs, values, batch, clip=0.2, vf_coef=0.5, ent_coef=0.0, clip_value=False, normalize=True):
    """The loss and its statistics, written once more, from what an agent says of the batch."""
    logp = log_probs.gather(-1, batch["actions"][..., None]).squeeze(-1)
    log_ratio, adv = logp - batch["old_logp"], batch["adv"]
    ratio = log_ratio.exp()
    if normalize:
        adv = (adv - adv.mean()) / (adv.std() + 1e-8)
    policy = -torch.min(ratio * adv, ratio.clamp(1 - clip, 1 + clip) * adv).mean()
    values = values.flatten()  # (M,), even if a critic answers in a column
    errors = (values - batch["targets"]) ** 2
    if clip_value:
        near = batch["old_values"] + (values - batch["old_values"]).clamp(-clip, clip)
        errors = torch.max(errors, (near - batch["targets"]) ** 2)
    value = errors.mean() / 2
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
    loss = policy + vf_coef * value - ent_coef * entropy
    stats = {
        "policy_loss": float(policy),
        "value_loss": float(value),
        "entropy": float(entropy),
        "approx_kl": float((ratio - 1 - log_ratio).mean()),
        "clip_fraction": float(((ratio - 1).abs() > clip).float().mean()),
    }
    return loss, stats


@task("PPOAgent")
@weight(3)
@pytest.mark.parametrize(
    "options",
    [{}, {"ent_coef": 0.3, "vf_coef": 0.8}, {"clip": 0.3, "clip_value": True}, {"normalize": False, "ent_coef": 0.1}],
)
def test_the_loss_of_an_agent_without_weights(student, reference, seed, options):
    """An agent whose weights are all zero has the loss and the statistics that follow from 1/A and 0."""
    given = [some_batch(seed, 12), some_batch(seed + 1, 19)]
    truth = reference.ask(loss_of_blank_agent, OBS, A, given, options)
    student.ask(loss_of_blank_agent, OBS, A, given, options).equals(truth, **FLOAT32)


@task("PPOAgent")
@weight(2)
def test_a_rollout_is_one_bag_of_samples(student, reference, seed):
    """A batch (T, N) has the loss of all its samples together, advantages normalised over all of them."""
    given = [some_batch(seed, 4, 6), some_batch(seed + 1, 7, 3)]
    truth = reference.ask(loss_of_blank_agent, OBS, A, given, {})
    student.ask(loss_of_blank_agent, OBS, A, given, {}).equals(truth, **FLOAT32)


@task("PPOAgent")
@weight(2)
@pytest.mark.parametrize("options", [{}, {"ent_coef": 0.2, "vf_coef": 0.7, "clip_value": True}])
def test_the_loss_follows_from_what_the_agent_says(student, seed, options):
    """Loss and statistics are those of the agent's own log_probs and value."""
    batch = some_batch(seed, 23)
    answer = student.ask(loss_of_agent, OBS, A, batch, options, seed, 0.3)
    said = {key: answer.value[key] for key in ("log_probs", "value")}
    loss, stats = loss_by_hand(said["log_probs"], said["value"], batch, **options)
    # float32, and a loss that is a difference of larger numbers
    answer.equals({"loss": loss, **stats, **said}, rtol=1e-4, atol=1e-4)


@task("PPOAgent")
@needs("test_the_loss_follows_from_what_the_agent_says")
@weight(2)
@pytest.mark.parametrize("options", [{}, {"ent_coef": 0.2, "clip_value": True}])
def test_the_gradient_of_the_loss_reaches_every_weight(student, seed, options):
    """The gradient of the loss in each weight is the one that follows from log_probs and value."""
    batch = some_batch(seed, 23)
    said = student.ask(fresh_answers, OBS, A, batch["obs"], seed, 0.3).value
    log_probs, value = said["log_probs"].requires_grad_(), said["value"].requires_grad_()
    loss_by_hand(log_probs, value, batch, **options)[0].backward()
    wanted = student.ask(gradients_through_methods, OBS, A, batch["obs"], seed, 0.3, log_probs.grad, value.grad)
    student.ask(gradients_of_loss, OBS, A, batch, options, seed, 0.3).equals(wanted, rtol=1e-3, atol=1e-4)


@task("PPOAgent")
def test_old_values_may_be_missing(student, reference, seed):
    """Without clip_value, old_values is not read and may be missing."""
    batch = {key: value for key, value in some_batch(seed, 12).items() if key != "old_values"}
    truth = reference.ask(loss_of_blank_agent, OBS, A, [batch], {})
    student.ask(loss_of_blank_agent, OBS, A, [batch], {}).equals(truth, **FLOAT32)


@task("PPOAgent")
def test_on_its_own_samples_the_agent_has_not_moved_but_will(student, seed):
    """On fresh samples KL, clip fraction and policy loss are zero, and yet there is a gradient."""
    answer = student.ask(on_policy_loss, OBS, A, some_batch(seed, 31), seed, 0.3, seed).value
    assert abs(answer["approx_kl"]) < 1e-6, "A policy that has not moved has a KL of zero."
    assert answer["clip_fraction"] == 0, "Nothing can be outside of the fence before the first step."
    # the mean of normalised advantages, in float32
    assert abs(answer["policy_loss"]) < 1e-5, "At ratios of one the policy loss is minus the mean advantage: zero."
    assert answer["gradient"] > 1e-3, "A policy loss of zero should still have a gradient: is the ratio constant?"


@task("PPOAgent")
@weight(2)
@pytest.mark.parametrize("shape", [[OBS], [9, OBS], [5, 3, OBS]])
def test_what_the_agent_says_has_the_right_shape(student, seed, shape):
    """log_probs is (..., A) with probabilities that sum to one, value is (...), whatever axes lead; both float32."""
    answer = student.ask(fresh_answers, OBS, A, numbers(seed, torch.float32)(*shape), seed, 0.3).value
    assert list(answer["log_probs"].shape) == [*shape[:-1], A], "log_probs should be (..., A)."
    assert list(answer["value"].shape) == shape[:-1], "value should have one number a state, and no further axis."
    total = answer["log_probs"].exp().sum(-1)
    # float32
    assert ((total - 1).abs() < 1e-5).all(), "Probabilities should sum to one."


@task("PPOAgent")
@needs("test_what_the_agent_says_has_the_right_shape")
def test_each_row_is_answered_by_itself(student, seed):
    """What the agent says of a row does not depend on the other rows of the batch."""
    obs = numbers(seed, torch.float32)(11, OBS)
    alone = student.ask(row_by_row, OBS, A, obs, seed, 0.5).value
    together = student.ask(fresh_answers, OBS, A, obs, seed, 0.5).value
    for key in ("log_probs", "value"):
        assert torch.allclose(alone[key], together[key], **NETWORK), f"{key} of a row depends on the other rows."


@task("PPOAgent")
@needs("test_what_the_agent_says_has_the_right_shape")
def test_act_takes_the_likeliest_action(student, seed):
    """act gives the likeliest action of each row as int64, and the same one again."""
    answer = student.ask(act_twice, OBS, A, numbers(seed, torch.float32)(40, OBS), seed).value
    best = answer["log_probs"].topk(2, dim=-1).values
    clear = best[:, 0] - best[:, 1] > 1e-4  # away from ties
    assert answer["first"].dtype == torch.int64, "Actions are int64."
    assert answer["first"].equal(answer["second"]), "Greedy play gave two answers."
    greedy = answer["log_probs"].argmax(-1)
    assert answer["first"][clear].equal(greedy[clear]), "act should take the likeliest action."


@task("PPOAgent")
@needs("test_what_the_agent_says_has_the_right_shape")
def test_sample_reports_what_it_drew(student, seed):
    """sample gives int64 actions, exactly their log-probabilities, and the values; none carries a gradient."""
    answer = student.ask(sampled_answers, OBS, A, numbers(seed, torch.float32)(29, OBS), seed, seed + 1).value
    assert answer["actions"].dtype == torch.int64, "Actions are int64."
    assert answer["actions"].shape == answer["logp"].shape == answer["values"].shape == (29,), "Each should be (N,)."
    drawn = answer["log_probs"].gather(-1, answer["actions"][:, None]).squeeze(-1)
    assert torch.allclose(answer["logp"], drawn, **NETWORK), "These are not the log-probabilities of these actions."
    assert torch.allclose(answer["values"], answer["value"], **NETWORK), "These are not the values of these states."
    assert not answer["trains"], "What sample returns should carry no gradient."


@task("PPOAgent")
@needs("test_what_the_agent_says_has_the_right_shape")
def test_actions_are_drawn_with_their_probabilities(student, seed):
    """Over 4,000 draws in one state, each action is drawn as often as its probability says."""
    answer = student.ask(action_counts, OBS, A, numbers(seed, torch.float32)(OBS), seed, 4000, seed + 1).value
    p = answer["log_probs"].exp()
    spread = (p * (1 - p) / 4000).sqrt()
    # five standard deviations, and one draw for very rare actions
    assert ((answer["counts"] / 4000 - p).abs() < 5 * spread + 1 / 4000).all(), "Frequencies are not the probabilities."


@task("PPOAgent")
@needs("test_sample_reports_what_it_drew")
def test_draws_come_from_the_generator(student, seed):
    """One seed of the generator gives the same draws, whatever torch's global one is doing; another gives others."""
    obs = numbers(seed, torch.float32)(50, OBS)
    first, again, other = (
        student.ask(sampled_answers, OBS, A, obs, seed, draw, noise, 0.1).value["actions"]
        for draw, noise in ((seed, 1), (seed, 2), (seed + 1, 1))
    )
    assert first.equal(again), "The same generator drew other actions."
    assert not first.equal(other), "Another generator drew the same actions."


@task("PPOAgent")
@needs("test_what_the_agent_says_has_the_right_shape")
def test_a_new_policy_hardly_prefers_anything(student, seed):
    """A new agent's entropy is at least 99 per cent of ln A."""
    n = 2 + seed % 5
    logp = student.ask(fresh_answers, OBS, n, 2 * numbers(seed, torch.float32)(60, OBS), seed).value["log_probs"]
    entropy = -(logp.exp() * logp).sum(-1).mean()
    assert entropy >= 0.99 * math.log(n), "A new policy prefers some actions before it has seen a reward."


@task("PPOAgent")
@needs("test_what_the_agent_says_has_the_right_shape")
def test_actor_and_critic_share_no_weights(student, seed):
    """No weight serves both: what trains the actor leaves the critic alone, and the other way round."""
    draw = numbers(seed, torch.float32)
    obs, wrt_log_probs, wrt_value = draw(13, OBS), draw(13, A), draw(13)
    ask = (gradients_through_methods, OBS, A, obs, seed, 0.3)
    actor = student.ask(*ask, wrt_log_probs, 0 * wrt_value).value
    critic = student.ask(*ask, 0 * wrt_log_probs, wrt_value).value
    acting = {name for name, gradient in actor.items() if (gradient != 0).any()}
    judging = {name for name, gradient in critic.items() if (gradient != 0).any()}
    assert acting, "No weight moves the actor."
    assert judging, "No weight moves the critic."
    assert not acting & judging, "A weight serves both actor and critic."


# ------------------------------------------------------------------------------------------------------------ train_ppo

PROBE_STEPS = 8192
CLOCK_STEPS = 16_384  # bootstrapping on itself, its critic needs longer
GAMMA = 0.5  # with it, every mistake ends at another number
NEAR = 0.05  # the reference is within 0.01
POLE_STEPS = 65_536


def judged(student, run, world, places, steps=PROBE_STEPS):
    """Trains in a probe world and asks what the agent says of these places: values (n,), probabilities (n, A)."""
    world = World(run, world, budget=steps)
    student.ask(train, world.served(curve=False), steps, run.seed, GAMMA)
    said = student.ask(judge, np.array(places, np.float32)[:, None]).value
    return said["value"].tolist(), said["log_probs"].exp().tolist()


@task("train_ppo")
@graded_run(cpu_seconds=40)
def test_probe_constant(student, run):
    """Probe 1, `constant`: one step, reward 1, the end. The value is 1."""
    values, _ = judged(student, run, Constant, [0])
    ends = {
        "untrained": [0],
        "bootstraps_over_termination": [2],
        "gamma_on_reward": [0.5],
        "nextstep_rows_kept": [0.75],
    }
    run.tells("the value", values, [1], atol=NEAR, mistakes=ends)


@task("train_ppo")
@graded_run(cpu_seconds=40)
def test_probe_echo(student, run):
    """Probe 2, `echo`: the reward is what was seen. So is the value."""
    values, _ = judged(student, run, Echo, [-1, 1])
    ends = {
        "untrained": [None, None],
        "bootstraps_over_termination": [-2, 2],
        "gamma_on_reward": [-0.5, 0.5],
        "value_broadcast": [0, 0],
        "nextstep_rows_kept": [-0.5, 0.5],
    }
    run.tells("the value", values, [-1, 1], atol=NEAR, mistakes=ends)


@task("train_ppo")
@graded_run(cpu_seconds=40)
def test_probe_delay(student, run):
    """Probe 3, `delay`: the reward comes a step later. The value one step before is half of it."""
    values, _ = judged(student, run, Delay, [0, 1])
    ends = {
        "untrained": [0, None],
        "bootstraps_over_termination": [1, 2],
        "gamma_on_reward": [0.25, 0.5],
        "value_broadcast": [0.75, 0.75],
        "nextstep_rows_kept": [0.49, 0.62],
    }
    run.tells("the value", values, [0.5, 1], atol=NEAR, mistakes=ends)


@task("train_ppo")
@graded_run(cpu_seconds=40)
def test_probe_choice(student, run):
    """Probe 4, `choice`: one of two actions pays. It is taken, and the value is what it pays."""
    values, probabilities = judged(student, run, Choice, [0])
    ends = {
        "untrained": [0, 0.5],
        "ascends": [-1, 0],
        "old_logp_with_grad": [None, 0.5],
        "bootstraps_over_termination": [2, 1],
        "gamma_on_reward": [0.5, 1],
        "nextstep_rows_kept": [0.75, 1],
    }
    run.tells("value and probability", [values[0], probabilities[0][1]], [1, 1], atol=NEAR, mistakes=ends)


@task("train_ppo")
@graded_run(cpu_seconds=40)
def test_probe_match(student, run):
    """Probe 5, `match`: which action pays depends on what is seen. The fitting one is taken."""
    values, probabilities = judged(student, run, Match, [-1, 1])
    told = [*values, probabilities[0][0], probabilities[1][1]]
    ends = {
        "untrained": [None, None, 0.5, 0.5],
        "ascends": [-1, -1, 0, 0],
        "old_logp_with_grad": [None, None, 0.5, 0.5],
        "bootstraps_over_termination": [2, 2, 1, 1],
        "gamma_on_reward": [0.5, 0.5, 1, 1],
        "nextstep_rows_kept": [0.75, 0.75, 1, 1],
    }
    run.tells("values and probabilities", told, [1, 1, 1, 1], atol=NEAR, mistakes=ends)


@task("train_ppo")
@graded_run(cpu_seconds=60)
def test_probe_clock(student, run):
    """Probe 6, `clock`: a clock cuts every episode, and the value is what would have come without it."""
    values, _ = judged(student, run, Clock, [0, 1], CLOCK_STEPS)
    ends = {
        "untrained": [0, None],
        "truncation_is_termination": [0, 1],
        "final_obs_lost": [0.5, 1.5],
        "gamma_on_reward": [0.5, 1],
        "value_broadcast": [1, 1],
        "nextstep_rows_kept": [0.37, 0.76],
    }
    run.tells("the value", values, [1, 2], atol=NEAR, mistakes=ends)


@task("train_ppo")
@needs("test_probe_match")
@graded_run(cpu_seconds=40)
def test_a_seed_fixes_the_whole_training(student, run):
    """Two calls with one seed give agents that answer identically."""
    said = []
    for _ in range(2):
        world = World(run, lambda: gymnasium.make("CartPole-v1"), budget=2048, disguised=True)
        student.ask(train, world.served(curve=False), 2048, run.seed, 0.99)
        said.append(student.ask(judge, torch.randn(8, 4, generator=torch.Generator().manual_seed(run.seed))).value)
    for key in ("log_probs", "value"):
        assert said[0][key].equal(said[1][key]), "One seed gave two agents: what else was drawn from?"


@task("train_ppo")
@graded_run(cpu_seconds=40)
@needs("test_probe_choice")
def test_the_budget_is_kept_where_it_is_no_multiple(student, run):
    """Of a budget that is no multiple of anything, no step too many is taken, and not less than nine in ten."""
    steps = 2900 + 37 * (run.seed % 16)
    world = World(run, Match, budget=steps)
    student.ask(train, world.served(curve=False), steps, run.seed, GAMMA)
    run.reaches("share of the budget that was used", world.used / steps, at_least=0.6)


@task("train_ppo")
@weight(3)
@needs(*(f"test_probe_{name}" for name in ("constant", "echo", "delay", "choice", "match", "clock")))
@graded_run(cpu_seconds=120)
def test_balances_a_disguised_pole(student, run):
    """After 65,536 steps the pole stands: 475 or more over twenty greedy episodes of CartPole-v1, in disguise."""
    world = World(run, lambda: gymnasium.make("CartPole-v1"), budget=POLE_STEPS, disguised=True)
    student.ask(train, world.served(), POLE_STEPS, run.seed, 0.99)
    returns = world.returns(lambda obs: student.ask(act, obs).value, episodes=20)
    run.reaches("mean return of 20 greedy episodes", float(returns.mean()), at_least=475)
