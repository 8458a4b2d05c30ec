"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone, in sizes that are all different, so that a swapped axis cannot hide. `@needs` stands on
every property that an empty answer has too: zeros are shorter than any limit.
"""

import math

import pytest
import torch
from asks import (
    adamw_gradients_after,
    adamw_on_leaves,
    adamw_path,
    adamw_returned,
    adamw_run,
    adamw_schedule,
    adamw_single,
    clipped,
    forward_passes,
    gradient_of_cross_entropy,
    gradient_of_log_softmax,
    log_softmax_of_impossible,
    predict,
    schedule,
    stepped,
    stepped_twice,
    train,
    trained_twice,
    updates_seen,
)

from autograder.testing import Counted, graded_run, needs, task, weight

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
GRADIENT = {"rtol": 1e-7, "atol": 1e-10}  # float64 gradients: longer sums, and differences of nearly equal terms
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32 carries seven digits; the sums here have fewer than twenty terms

B, T, V = 5, 3, 7


def numbers(seed, dtype=torch.float64):
    """A function that draws normal numbers in any shape, the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def whole(seed, low, high, *shape):
    """Whole numbers, low <= n < high."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed + 1000))


def gradients_for(seed, params, steps, missing=False):
    """For each step a gradient like each parameter; with `missing`, some but the first parameter's are None."""
    draw = numbers(seed + 500)
    absent = torch.rand(steps, len(params), generator=torch.Generator().manual_seed(seed + 600)) < 0.4
    absent[:, 0] = False
    if missing:
        absent[0, 1], absent[1, 1], absent[2, -1] = True, False, True  # on every seed somebody starts late or pauses
    return [[None if missing and absent[s, i] else draw(*p.shape) for i, p in enumerate(params)] for s in range(steps)]


# --------------------------------------------------------------------------------------------------------- log_softmax


@task("log_softmax")
@weight(2)
def test_log_probabilities_are_right(student, reference, seed):
    """Scores less the logarithm of the sum of their exponentials, row by row."""
    x = numbers(seed)(B, V)
    student.log_softmax(x).equals(reference.log_softmax(x), **FLOAT64)


@task("log_softmax")
@weight(2)
@pytest.mark.parametrize("dim", [0, 1, 2, -3])
def test_every_axis_can_be_the_one(student, reference, seed, dim):
    """Whichever axis is asked for is the one along which probabilities add up to one."""
    x = numbers(seed)(B, T, V)
    student.log_softmax(x, dim).equals(reference.log_softmax(x, dim), **FLOAT64)


@task("log_softmax")
@weight(2)
def test_logits_times_a_thousand(student, reference, seed):
    """Logits a thousand times as large as usual are no harder."""
    x = 1000 * numbers(seed)(B, V)
    student.log_softmax(x).equals(reference.log_softmax(x), **FLOAT64)


@task("log_softmax")
def test_rows_on_scales_of_their_own(student, reference, seed):
    """One row near 10,000 and one near -10,000 do not disturb each other."""
    x = numbers(seed)(4, V) + 1e4 * torch.tensor([1.0, -1.0, 0.0, 0.5], dtype=torch.float64)[:, None]
    # float64 near 10,000 carries twelve decimals; a row's differences are exact to that
    student.log_softmax(x).equals(reference.log_softmax(x), rtol=1e-9, atol=1e-10)


@task("log_softmax")
def test_an_unlikely_class_keeps_its_logarithm(student, reference, seed):
    """A class whose probability rounds to zero still has its log-probability."""
    x = numbers(seed)(B, V)
    x[:, seed % V] -= 2000
    student.log_softmax(x).equals(reference.log_softmax(x), **FLOAT64)


@task("log_softmax")
@needs("test_log_probabilities_are_right")
def test_a_common_shift_changes_nothing(student, seed):
    """The same number added to all scores of a row changes nothing."""
    draw = numbers(seed)
    x, shift = draw(B, V), 50 * draw(B, 1)
    # the shift costs two digits
    student.log_softmax(x + shift).equals(student.log_softmax(x), rtol=1e-9, atol=1e-11)


@task("log_softmax")
@needs("test_log_probabilities_are_right")
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_probabilities_add_up_to_one(student, seed, dim):
    """The exponentials of your answer add up to one along the axis that was asked for."""
    sums = student.log_softmax(3 * numbers(seed)(B, T, V), dim).value.exp().sum(dim)
    assert torch.allclose(sums, torch.ones_like(sums), **FLOAT64), "Along this axis they do not add up to one."


@task("log_softmax")
def test_impossible_scores_stay_impossible(student, reference, seed):
    """A score of -inf stays -inf, and its neighbours share what there is."""
    x = numbers(seed)(B, V)
    x[torch.arange(B), whole(seed, 0, V, B)] = -math.inf
    student.ask(log_softmax_of_impossible, x).equals(reference.ask(log_softmax_of_impossible, x), **FLOAT64)


@task("log_softmax")
@pytest.mark.parametrize("dim", [0, -1])
def test_the_gradient_of_log_softmax(student, reference, seed, dim):
    """The gradient with respect to the scores is right, at large scores too."""
    draw = numbers(seed)
    x, cotangent = 20 * draw(B, V), draw(B, V)
    student.ask(gradient_of_log_softmax, x, dim, cotangent).equals(
        reference.ask(gradient_of_log_softmax, x, dim, cotangent), **GRADIENT
    )


@task("log_softmax")
def test_log_softmax_keeps_float32(student, reference, seed):
    """float32 in, float32 out."""
    x = 10 * numbers(seed, torch.float32)(B, V)
    student.log_softmax(x).equals(reference.log_softmax(x), **FLOAT32)


@task("log_softmax")
@needs("test_log_probabilities_are_right")
def test_no_rows_in_no_rows_out(student, seed):
    """No rows in, no rows out."""
    n = 1 + seed % V
    student.log_softmax(torch.zeros(0, n, dtype=torch.float64)).equals(torch.zeros(0, n, dtype=torch.float64))


@task("log_softmax")
@needs("test_log_probabilities_are_right")
def test_a_missing_axis_is_refused(student, seed):
    """An axis that x does not have is refused."""
    x = numbers(seed)(B, V)
    student.log_softmax(x, 2).refused()
    student.log_softmax(x, -3).refused()


# ------------------------------------------------------------------------------------------------------- cross_entropy


def a_batch(seed, rows=B + 4, ignore=-100):
    """Logits, and targets of which two to four do not count."""
    logits, targets = 2 * numbers(seed)(rows, V), whole(seed, 0, V, rows)
    places = torch.randperm(rows, generator=torch.Generator().manual_seed(seed + 2000))[: 2 + seed % 3]
    targets[places] = ignore
    return logits, targets


@task("cross_entropy")
@weight(2)
def test_the_mean_surprise(student, reference, seed):
    """Where every row counts, the loss is the mean of -log p[target]."""
    logits, targets = 2 * numbers(seed)(B, V), whole(seed, 0, V, B)
    answer = student.ask(gradient_of_cross_entropy, logits, targets)
    answer.equals(reference.ask(gradient_of_cross_entropy, logits, targets), **FLOAT64)


@task("cross_entropy")
@weight(2)
def test_ignored_rows_do_not_count(student, reference, seed):
    """Rows with target -100 enter neither the sum nor the number of rows; loss and gradient are right."""
    logits, targets = a_batch(seed)
    answer = student.ask(gradient_of_cross_entropy, logits, targets)
    answer.equals(reference.ask(gradient_of_cross_entropy, logits, targets), **FLOAT64)


@task("cross_entropy")
@needs("test_ignored_rows_do_not_count")
def test_ignored_rows_get_no_gradient(student, seed):
    """An ignored row's gradient is exactly zero, even where its logits are infinite."""
    logits, targets = a_batch(seed)
    logits[targets == -100, seed % V] = math.inf
    gradient = student.ask(gradient_of_cross_entropy, logits, targets).value["gradient"]
    assert (gradient[targets == -100] == 0).all(), "A row that does not count has a gradient."
    assert gradient.isfinite().all(), "A row that does not count spoils the gradient of others."


@task("cross_entropy")
@pytest.mark.parametrize("ignore", [-1, 2])
def test_another_number_may_mean_ignore(student, reference, seed, ignore):
    """ignore_index may be any whole number, also one of the classes."""
    logits, targets = a_batch(seed, ignore=ignore)
    arguments = {"ignore_index": ignore}
    answer = student.ask(gradient_of_cross_entropy, logits, targets, **arguments)
    answer.equals(reference.ask(gradient_of_cross_entropy, logits, targets, **arguments), **FLOAT64)


@task("cross_entropy")
@needs("test_ignored_rows_do_not_count")
@pytest.mark.parametrize("rows", [0, 4])
def test_nothing_to_score_teaches_nothing(student, seed, rows):
    """If no row counts, the loss is 0.0 and the gradient is zero everywhere."""
    logits, targets = numbers(seed)(rows, V), torch.full((rows,), -100)
    answer = student.ask(gradient_of_cross_entropy, logits, targets)
    answer.equals({"loss": torch.tensor(0.0, dtype=torch.float64), "gradient": torch.zeros_like(logits)})


@task("cross_entropy")
def test_the_loss_survives_large_logits(student, reference, seed):
    """Logits a thousand times as large as usual give a finite loss, and the right gradient."""
    logits, targets = a_batch(seed)
    answer = student.ask(gradient_of_cross_entropy, 1000 * logits, targets)
    answer.equals(reference.ask(gradient_of_cross_entropy, 1000 * logits, targets), **FLOAT64)


@task("cross_entropy")
@needs("test_the_mean_surprise")
def test_targets_outside_the_classes_are_refused(student, seed):
    """A target that is neither a class nor ignore_index is refused: V, -1, and -100 where another number means ignore."""
    logits, targets = 2 * numbers(seed)(B, V), whole(seed, 0, V, B)
    for wrong, arguments in ((V, {}), (-1, {}), (-100, {"ignore_index": -1})):
        changed = targets.clone()
        changed[seed % B] = wrong
        student.cross_entropy(logits, changed, **arguments).refused()


@task("cross_entropy")
@needs("test_the_mean_surprise")
def test_shapes_that_disagree_are_refused(student, seed):
    """Targets of another length, a column of targets, and logits with three axes are refused."""
    logits, targets = 2 * numbers(seed)(B, V), whole(seed, 0, V, B)
    student.cross_entropy(logits, targets[:-1]).refused()
    student.cross_entropy(logits, targets[:, None]).refused()
    student.cross_entropy(logits[:, None], targets).refused()


@task("cross_entropy")
def test_cross_entropy_keeps_float32(student, reference, seed):
    """float32 in, float32 out, as a scalar tensor; logits and targets are left as they were."""
    logits, targets = a_batch(seed)
    student.cross_entropy(logits.float(), targets).equals(reference.cross_entropy(logits.float(), targets), **FLOAT32)


# ---------------------------------------------------------------------------------------------------------- adamw_step


def some_params(seed):
    """Three parameters of different shapes, away from zero: a decay must show."""
    draw = numbers(seed + 300)
    return [draw(3, 2) + 2, draw(4) - 2, draw(2, 1, 3) + 3]


@task("adamw_step")
@weight(2)
def test_the_first_step(student, reference, seed):
    """The first step, from an empty state: new weights, both averages and the count."""
    params = some_params(seed)
    grads, settings = gradients_for(seed, params, 1)[0], {"lr": 0.1, "weight_decay": 0.2}
    answer = student.ask(adamw_single, params, grads, settings)
    answer.equals(reference.ask(adamw_single, params, grads, settings), **FLOAT64)


@task("adamw_step")
@weight(3)
def test_many_steps_with_pauses(student, reference, seed):
    """Sixty steps in which some gradients are None: each parameter goes by its own count of steps."""
    params = some_params(seed)
    grads = gradients_for(seed, params, 60, missing=True)
    settings = {"lr": 0.02, "betas": (0.8, 0.97), "eps": 1e-3, "weight_decay": 0.1}
    # the differences of 60 steps add up
    student.ask(adamw_path, params, grads, settings).equals(
        reference.ask(adamw_path, params, grads, settings), rtol=1e-9, atol=1e-10
    )


@task("adamw_step")
def test_two_hundred_steps_with_the_defaults(student, reference, seed):
    """Two hundred steps with the default settings."""
    params = some_params(seed)
    grads = gradients_for(seed, params, 200)
    answer = student.ask(adamw_run, params, grads, {}).value
    truth = reference.ask(adamw_run, params, grads, {}).value
    for mine, wanted in zip(answer["params"], truth["params"], strict=True):
        # the differences of 200 steps add up
        assert torch.allclose(mine, wanted, rtol=1e-9, atol=1e-10), "After 200 steps the weights are elsewhere."


@task("adamw_step")
def test_eps_is_added_to_the_root(student, reference, seed):
    """With eps as large as 0.1, over five steps: it is added to the root of the corrected average."""
    params = some_params(seed)
    grads, settings = gradients_for(seed, params, 5), {"lr": 0.1, "eps": 0.1, "weight_decay": 0.0}
    student.ask(adamw_path, params, grads, settings).equals(
        reference.ask(adamw_path, params, grads, settings), **FLOAT64
    )


@task("adamw_step")
def test_decay_is_decoupled(student, reference, seed):
    """A strong decay acts on the weights as they were before the step, and not through the averages."""
    params = some_params(seed)
    grads, settings = gradients_for(seed, params, 4), {"lr": 0.2, "eps": 1e-3, "weight_decay": 0.5}
    student.ask(adamw_path, params, grads, settings).equals(
        reference.ask(adamw_path, params, grads, settings), **FLOAT64
    )


@task("adamw_step")
@needs("test_the_first_step")
def test_a_zero_gradient_leaves_pure_decay(student, seed):
    """Where the gradient has always been zero, only the decay is left of a step."""
    params = some_params(seed)
    settings = {"lr": 0.1, "weight_decay": 0.3}
    decayed = [p * (1 - 0.1 * 0.3) for p in params]
    answer = student.ask(adamw_single, params, [torch.zeros_like(p) for p in params], settings).value
    for mine, wanted in zip(answer["params"], decayed, strict=True):
        assert torch.allclose(mine, wanted, **FLOAT64), "More than the decay, or less, is left."


@task("adamw_step")
@needs("test_the_first_step")
def test_a_rate_of_zero_moves_nothing(student, seed):
    """With a learning rate of 0 no weight moves, whatever the decay; the averages go on."""
    params = some_params(seed)
    grads = gradients_for(seed, params, 3)
    answer = student.ask(adamw_path, params, grads, {"lr": 0.0, "weight_decay": 0.5}).value
    for mine, before in zip(answer, params, strict=True):
        assert torch.equal(mine, before.flatten().expand(3, -1)), "A weight moved."


@task("adamw_step")
def test_rates_may_change_from_step_to_step(student, reference, seed):
    """The learning rate of a step belongs to that step alone: with a schedule the weights are right, too."""
    params = some_params(seed)
    grads = gradients_for(seed, params, 6)
    rates = [0.0, 0.05, 0.1, 0.08, 0.02, 0.0]
    student.ask(adamw_schedule, params, grads, rates).equals(
        reference.ask(adamw_schedule, params, grads, rates), **FLOAT64
    )


@task("adamw_step")
def test_the_state_after_five_steps(student, reference, seed):
    """The state holds step, m and v of each parameter that has had a gradient, and nothing else."""
    params = some_params(seed)
    grads = [[g[0], None, g[2] if s > 2 else None] for s, g in enumerate(gradients_for(seed, params, 5))]
    student.ask(adamw_run, params, grads, {}).equals(reference.ask(adamw_run, params, grads, {}), **FLOAT64)


@task("adamw_step")
@needs("test_the_first_step")
def test_the_same_two_objects_come_back(student, reference, seed):
    """What comes back is the list and the dictionary that were handed in."""
    params = some_params(seed)
    grads = gradients_for(seed, params, 1)[0]
    student.ask(adamw_returned, params, grads).equals(reference.ask(adamw_returned, params, grads))


@task("adamw_step")
def test_weights_that_require_gradients(student, reference, seed):
    """Parameters of a model are stepped in place, and stay leaves that require gradients; the averages require none."""
    params = some_params(seed)
    grads = gradients_for(seed, params, 1)[0]
    student.ask(adamw_on_leaves, params, grads).equals(reference.ask(adamw_on_leaves, params, grads), **FLOAT64)


@task("adamw_step")
@needs("test_the_first_step")
def test_gradients_are_left_as_they_were(student, seed):
    """Two steps with the same gradients leave these as they were."""
    params = some_params(seed)
    grads = gradients_for(seed, params, 1)[0]
    student.ask(adamw_gradients_after, params, grads).equals(grads)


@task("adamw_step")
@needs("test_the_first_step")
def test_lists_of_different_length_are_refused(student, seed):
    """More gradients than parameters, or fewer, are refused."""
    params = some_params(seed)
    grads = gradients_for(seed, params, 1)[0]
    student.adamw_step.in_place(params, grads[:-1], {}).refused()
    student.adamw_step.in_place(params[:-1], grads, {}).refused()


@task("adamw_step")
def test_adamw_keeps_float32(student, reference, seed):
    """float32 weights and averages stay float32."""
    params = [p.float() for p in some_params(seed)]
    grads, settings = [g.float() for g in gradients_for(seed, params, 1)[0]], {"lr": 0.1}
    answer = student.ask(adamw_single, params, grads, settings)
    answer.equals(reference.ask(adamw_single, params, grads, settings), **FLOAT32)


# ----------------------------------------------------------------------------------------------------- cosine_schedule

RATES = {"rtol": 1e-9, "atol": 1e-12}  # float64: one cosine


def a_schedule(seed, floor=True):
    """warmup, total, peak and floor; warmup and the rest differ, and neither is a round number."""
    warmup = 5 + seed % 4
    return [warmup, warmup + 11 + seed % 7, 0.3 + 0.01 * (seed % 10), (0.02 + 0.001 * (seed % 5)) if floor else 0.0]


@task("cosine_schedule")
@weight(2)
def test_thirty_rates(student, reference, seed):
    """Thirty rates from the first step to beyond the last."""
    student.ask(schedule, list(range(30)), a_schedule(seed)).equals(
        reference.ask(schedule, list(range(30)), a_schedule(seed)), **RATES
    )


@task("cosine_schedule")
def test_the_warm_up_is_a_straight_line(student, reference, seed):
    """From 0 at step 0 in equal steps to the peak at step `warmup`."""
    settings = a_schedule(seed)
    steps = list(range(settings[0] + 1))
    student.ask(schedule, steps, settings).equals(reference.ask(schedule, steps, settings), **RATES)


@task("cosine_schedule")
def test_the_way_down_is_half_a_cosine(student, reference, seed):
    """From the peak at step `warmup`, along half a cosine, to the floor at step `total`."""
    settings = a_schedule(seed)
    steps = list(range(settings[0], settings[1] + 1))
    student.ask(schedule, steps, settings).equals(reference.ask(schedule, steps, settings), **RATES)


@task("cosine_schedule")
def test_the_floor_is_zero_unless_given(student, reference, seed):
    """Without a floor the way down ends at 0."""
    settings = a_schedule(seed)[:3]
    student.ask(schedule, list(range(30)), settings).equals(reference.ask(schedule, list(range(30)), settings), **RATES)


@task("cosine_schedule")
def test_after_total_the_floor(student, reference, seed):
    """From step `total` on the rate is the floor, for ever."""
    settings = a_schedule(seed)
    steps = [settings[1] + n for n in (-1, 0, 1, 2, 5, 9, 17, 400)]
    student.ask(schedule, steps, settings).equals(reference.ask(schedule, steps, settings), **RATES)


@task("cosine_schedule")
def test_no_warm_up_starts_at_the_peak(student, reference, seed):
    """Without a warm-up the first step has the peak."""
    settings, steps = [0, *a_schedule(seed)[1:]], list(range(12))
    student.ask(schedule, steps, settings).equals(reference.ask(schedule, steps, settings), **RATES)


@task("cosine_schedule")
def test_nothing_but_warm_up(student, reference, seed):
    """Where the warm-up is as long as the whole, the rate climbs, and is the floor from `total` on."""
    warmup, _, peak, floor = a_schedule(seed)
    settings, steps = [warmup, warmup, peak, floor], list(range(warmup + 3))
    student.ask(schedule, steps, settings).equals(reference.ask(schedule, steps, settings), **RATES)


@task("cosine_schedule")
@needs("test_thirty_rates")
def test_a_negative_step_is_refused(student, seed):
    """A negative step is refused."""
    student.cosine_schedule(-1 - seed % 3, *a_schedule(seed)).refused()


@task("cosine_schedule")
@needs("test_thirty_rates")
def test_a_warm_up_longer_than_the_whole_is_refused(student, seed):
    """A warm-up that is longer than the whole is refused."""
    _, total, peak, floor = a_schedule(seed)
    student.cosine_schedule(seed % 4, total + 1, total, peak, floor).refused()


# ------------------------------------------------------------------------------------------------------ clip_grad_norm


def some_grads(seed, dtype=torch.float64):
    """Four gradients of different shapes and lengths; their joint norm is above 2 and below 60."""
    draw = numbers(seed, dtype)
    return [draw(4, 3), 3 * draw(5), 0.2 * draw(2, 2, 2), draw(7) + 1]


@task("clip_grad_norm")
@weight(2)
def test_long_gradients_are_shortened_together(student, reference, seed):
    """Above the limit, all gradients are multiplied by one factor; the answer is the norm before."""
    grads = some_grads(seed)
    student.ask(clipped, grads, 1.0).equals(reference.ask(clipped, grads, 1.0), **FLOAT64)


@task("clip_grad_norm")
@weight(2)
def test_short_gradients_keep_every_bit(student, reference, seed):
    """Below the limit, gradients stay what they were to the last bit, and the norm is still told."""
    grads = some_grads(seed)
    limit = 70.0 + seed % 30
    answer = student.ask(clipped, grads, limit)
    answer.equals(reference.ask(clipped, grads, limit), **FLOAT64)
    for mine, before in zip(answer.value["grads"], grads, strict=True):
        assert torch.equal(mine, before), "A gradient that was short enough has changed."


@task("clip_grad_norm")
@needs("test_long_gradients_are_shortened_together")
def test_the_direction_is_kept(student, seed):
    """After clipping, the whole gradient points where it pointed before, and has the length that is allowed."""
    grads = some_grads(seed)
    answer = student.ask(clipped, grads, 0.7).value
    before, after = (torch.cat([g.flatten() for g in found]) for found in (grads, answer["grads"]))
    # the 1e-6 in the divisor shortens by less than a millionth
    assert torch.allclose(after, before * 0.7 / before.norm(), rtol=1e-5), "Its direction or its length is another."


@task("clip_grad_norm")
def test_missing_gradients_are_skipped(student, reference, seed):
    """None among the gradients is skipped, above the limit and below."""
    grads = some_grads(seed)
    grads.insert(seed % 4, None)
    for limit in (0.5, 80.0):
        student.ask(clipped, grads, limit).equals(reference.ask(clipped, grads, limit), **FLOAT64)


@task("clip_grad_norm")
def test_one_tensor_is_clipped_too(student, reference, seed):
    """A single gradient, a matrix that is not contiguous in memory, is clipped by its own norm."""
    grads = [3 * numbers(seed)(4, 3).T]
    student.ask(clipped, grads, 1.5).equals(reference.ask(clipped, grads, 1.5), **FLOAT64)


@task("clip_grad_norm")
@needs("test_long_gradients_are_shortened_together")
def test_no_gradients_have_no_length(student, seed):
    """Without any gradient the norm is 0."""
    for grads in ([], [None] * (1 + seed % 3)):
        norm = student.clip_grad_norm.in_place(grads, 1.0).value
        assert isinstance(norm, torch.Tensor), "The norm is not a tensor."
        assert norm.shape == (), "The norm is not a scalar."
        assert norm.item() == 0, "The norm is not 0."


@task("clip_grad_norm")
@needs("test_short_gradients_keep_every_bit")
def test_gradients_of_zero_stay_zero(student, seed):
    """Gradients of zero stay zero, with norm 0."""
    grads = [torch.zeros(2 + seed % 3, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)]
    student.ask(clipped, grads, 1.0).equals({"norm": torch.tensor(0.0, dtype=torch.float64), "grads": grads})


@task("clip_grad_norm")
@needs("test_long_gradients_are_shortened_together")
def test_a_limit_that_is_not_positive_is_refused(student, seed):
    """A max_norm of zero or less is refused."""
    student.clip_grad_norm.in_place(some_grads(seed), 0.0).refused()
    student.clip_grad_norm.in_place(some_grads(seed), -1.0 - seed % 3).refused()


@task("clip_grad_norm")
def test_clipping_keeps_float32(student, reference, seed):
    """float32 gradients stay float32, and so does their norm."""
    grads = some_grads(seed, torch.float32)
    student.ask(clipped, grads, 1.0).equals(reference.ask(clipped, grads, 1.0), **FLOAT32)


# ---------------------------------------------------------------------------------------------------- accumulated_step


def a_microbatch(seed, b, t, counted):
    """Tokens and targets (b, t), of which `counted` targets count."""
    x, targets = whole(seed, 0, V, b, t), whole(seed + 1, 0, V, b, t)
    hidden = torch.randperm(b * t, generator=torch.Generator().manual_seed(seed + 3000))[: b * t - counted]
    targets.view(-1)[hidden] = -100
    return x, targets


def microbatches(seed):
    """Three microbatches of different shapes with 3, 17 and no counted tokens."""
    return [
        a_microbatch(10 * seed, 2, 4, 3),
        a_microbatch(10 * seed + 2, 4, 5, 17),
        a_microbatch(10 * seed + 4, 1, 3, 0),
    ]


@task("accumulated_step")
@weight(3)
def test_the_step_of_one_big_batch(student, reference, seed):
    """Microbatches with 3, 17 and 0 counted tokens give the step, and the loss, of all 20 tokens at once."""
    arguments = (numbers(seed)(V, V), microbatches(seed), {"lr": 0.5})
    student.ask(stepped, *arguments).equals(reference.ask(stepped, *arguments), **FLOAT64)


@task("accumulated_step")
def test_one_microbatch_is_a_plain_step(student, reference, seed):
    """With a single microbatch it is an ordinary step."""
    arguments = (numbers(seed)(V, V), microbatches(seed)[1:2], {"lr": 0.5})
    student.ask(stepped, *arguments).equals(reference.ask(stepped, *arguments), **FLOAT64)


@task("accumulated_step")
def test_old_gradients_are_cleared(student, reference, seed):
    """A gradient that was left over from before has no say, and the next call starts clean, too."""
    draw = numbers(seed)
    weights, stale = draw(V, V), draw(V, V)
    arguments = (weights, microbatches(seed), {"lr": 0.5}, stale)
    student.ask(stepped, *arguments).equals(reference.ask(stepped, *arguments), **FLOAT64)
    twice = (weights, microbatches(seed), microbatches(seed + 50), {"lr": 0.5})
    student.ask(stepped_twice, *twice).equals(reference.ask(stepped_twice, *twice), **FLOAT64)


@task("accumulated_step")
def test_exactly_one_optimiser_step(student, reference, seed):
    """The optimiser steps once, at the end: with momentum and decay the weights tell."""
    settings = {"lr": 0.5, "momentum": 0.9, "weight_decay": 0.1}
    arguments = (numbers(seed)(V, V), microbatches(seed), microbatches(seed + 50), settings)
    student.ask(stepped_twice, *arguments).equals(reference.ask(stepped_twice, *arguments), **FLOAT64)


@task("accumulated_step")
@needs("test_the_step_of_one_big_batch")
def test_nothing_counted_no_step(student, seed):
    """If no token counts, or there are no microbatches, the loss is 0.0 and an optimiser with decay moves nothing."""
    weights, settings = numbers(seed)(V, V), {"lr": 0.5, "weight_decay": 0.1}
    padding = [a_microbatch(seed, 2, 3, 0), a_microbatch(seed + 5, 1, 4, 0)]
    for batches in (padding, []):
        student.ask(stepped, weights, batches, settings).equals({"loss": 0.0, "weight": weights})


@task("accumulated_step")
@needs("test_the_step_of_one_big_batch")
def test_the_order_of_microbatches_does_not_matter(student, seed):
    """In another order, the same microbatches give the same step and the same loss."""
    weights, batches = numbers(seed)(V, V), microbatches(seed)
    turned = student.ask(stepped, weights, batches[::-1], {"lr": 0.5})
    turned.equals(student.ask(stepped, weights, batches, {"lr": 0.5}), **FLOAT64)


@task("accumulated_step")
@needs("test_the_step_of_one_big_batch")
def test_one_graph_at_a_time(student, seed):
    """The model sees one microbatch at a time, and each one's backward comes before the next one's forward."""
    batches = [a_microbatch(10 * seed + n, 2, 4, 3 + n) for n in range(4)]
    calls = student.ask(forward_passes, numbers(seed)(V, V), batches).value
    assert [tokens for tokens, _ in calls] == [8, 8, 8, 8], "It is not one forward pass for each microbatch."
    assert [waiting for _, waiting in calls] == [False, True, True, True], "A backward pass came late."


@task("accumulated_step")
def test_accumulation_in_float32(student, reference, seed):
    """A float32 model takes the same step, in float32."""
    arguments = (numbers(seed, torch.float32)(V, V), microbatches(seed), {"lr": 0.5})
    student.ask(stepped, *arguments).equals(reference.ask(stepped, *arguments), **FLOAT32)


# ---------------------------------------------------------------------------------------------------- train_classifier

STEPS = 1000


def spirals(seed, n):
    """Points of two interleaved spirals, two turns to radius 3, noise 0.1; how they lie in the plane is the seed's.

    Turned by an angle, perhaps mirrored, perhaps with the classes exchanged: the same plane for every n.
    """
    plane = torch.Generator().manual_seed(seed + 4000)
    turn, mirrored, exchanged = (2 * math.pi * torch.rand(3, generator=plane, dtype=torch.float64)).tolist()
    draw = torch.Generator().manual_seed(10_000 * n + seed)
    y = torch.randint(2, (n,), generator=draw)
    radius = 3 * torch.rand(n, generator=draw, dtype=torch.float64).sqrt()
    angle = 4 * math.pi * radius / 3 + math.pi * y + turn
    x = torch.stack([radius * angle.cos(), radius * angle.sin() * (1 if mirrored < math.pi else -1)], dim=1)
    x = x + 0.1 * torch.randn(n, 2, generator=draw, dtype=torch.float64)
    return x.float(), y if exchanged < math.pi else 1 - y


def share_right(logits, y):
    """How many of the predictions are right; an answer of another shape is none."""
    if not isinstance(logits, torch.Tensor) or logits.shape != (len(y), 2):
        return 0.0
    return float((logits.argmax(dim=1) == y).double().mean())


@task("train_classifier")
@needs("test_spirals")
def test_one_seed_gives_one_model(student, seed):
    """Trained twice with one seed, the models answer alike: logits (K, 2) for K points."""
    x, y = spirals(seed, 40)
    points, _ = spirals(seed, 13)
    twice = student.ask(trained_twice, x, y, 12, seed, points).value
    for name in ("first", "second"):
        assert twice[name].shape == (13, 2), "For K points it does not give logits (K, 2)."
        assert twice[name].isfinite().all(), "Its logits are not finite."
    # float32; threads may add up in another order
    assert torch.allclose(twice["first"], twice["second"], **FLOAT32), "The two models answer differently."


@task("train_classifier")
@needs("test_spirals")
def test_on_update_after_each_step(student, seed):
    """on_update is called with the model after each of the optimiser steps."""
    x, y = spirals(seed, 40)
    steps = 9 + seed % 5
    shapes = student.ask(updates_seen, x, y, steps, seed).value
    assert len(shapes) == steps, "The number of calls is not the number of steps."
    assert all(shape == [40, 2] for shape in shapes), "It is not called with the model."


@task("train_classifier")
@needs("test_spirals")
def test_the_data_are_left_as_they_were(student, seed):
    """Points and classes are not changed by training on them."""
    x, y = spirals(seed, 40)
    after = student.ask(trained_twice, x, y, 3, seed, x).value
    for name, before in (("x", x), ("y", y)):
        assert torch.equal(after[name], before), "The caller's data have changed."


@task("train_classifier")
@weight(5)
@graded_run(cpu_seconds=60)
def test_spirals(student, run):
    """After 1000 steps on 1000 points, at least 97 of 100 fresh points are told apart."""
    x, y = spirals(run.seed, 1000)
    look_at, classes = spirals(run.seed, 500)
    run.draws("accuracy on 500 fresh points", "optimiser steps")

    def look(step, logits):
        run.measured(step, share_right(logits, classes))
        run.progress(step, STEPS)

    student.ask(train, x, y, STEPS, run.seed, look_at, Counted(look, STEPS, "looks at the model"))
    points, classes_of_points = spirals(run.seed, 2000)
    accuracy = share_right(student.ask(predict, points).value, classes_of_points)
    run.reaches("accuracy on 2,000 fresh points", accuracy, at_least=0.97)
