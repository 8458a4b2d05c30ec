"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import math

import torch
from reference import (
    accumulated_step,
    adamw_step,
    clip_grad_norm,
    cosine_schedule,
    cross_entropy,
    log_softmax,
    train_classifier,
)
from torch import nn

from autograder.testing import mistake

# ---------------------------------------------------------------------------------------------------------- log_softmax


@mistake(
    "log_softmax",
    seen="Large logits became infinite on the way: what can you subtract from a row without changing its softmax?",
    named="This equals the formula as it is written, with exponentials of the raw scores.",
    caught_by=("test_logits_times_a_thousand", "test_rows_on_scales_of_their_own"),
)
def exp_overflow(x, dim=-1):
    return x - x.exp().sum(dim=dim, keepdim=True).log()


@mistake(
    "log_softmax",
    seen="A probability that has rounded to zero no longer has a logarithm: can you stay in log space?",
    named="This equals the logarithm of a stable softmax: its probabilities are rounded before the logarithm is taken.",
    caught_by=("test_an_unlikely_class_keeps_its_logarithm", "test_logits_times_a_thousand"),
)
def log_of_softmax(x, dim=-1):
    e = (x - x.amax(dim=dim, keepdim=True)).exp()
    return (e / e.sum(dim=dim, keepdim=True)).log()


@mistake(
    "log_softmax",
    seen="No row is infinite any more, but unlikely classes all stop at the same number: what did you add?",
    named="This equals the logarithm of a softmax to which 1e-12 was added, against a logarithm of zero.",
    caught_by=("test_an_unlikely_class_keeps_its_logarithm", "test_logits_times_a_thousand"),
)
def log_of_softmax_plus_a_little(x, dim=-1):
    e = (x - x.amax(dim=dim, keepdim=True)).exp()
    return (e / e.sum(dim=dim, keepdim=True) + 1e-12).log()


@mistake(
    "log_softmax",
    seen="One common shift cannot serve rows that live on different scales.",
    named="This equals log-softmax with the maximum of the whole tensor subtracted from every row.",
    caught_by="test_rows_on_scales_of_their_own",
)
def one_shift_for_all(x, dim=-1):
    x.amax(dim=dim)
    shifted = x - x.max() if x.numel() else x
    return shifted - shifted.exp().sum(dim=dim, keepdim=True).log()


@mistake(
    "log_softmax",
    seen="Along which axis should your probabilities sum to one?",
    named="This equals log-softmax along the last axis, whatever dim says.",
    caught_by=("test_every_axis_can_be_the_one", "test_the_gradient_of_log_softmax"),
)
def wrong_dim(x, dim=-1):
    x.amax(dim=dim)
    return log_softmax(x)


@mistake(
    "log_softmax",
    seen="Along which axis should your probabilities sum to one?",
    named="This equals log-softmax over all entries of the tensor together.",
    caught_by=("test_log_probabilities_are_right", "test_every_axis_can_be_the_one"),
)
def over_everything(x, dim=-1):
    x.amax(dim=dim)
    return log_softmax(x.flatten(), 0).reshape(x.shape) if x.numel() else x.clone()


@mistake(
    "log_softmax",
    seen="The exponentials of your answer add up to more than one where scores are high: what was taken away and not "
    "given back?",
    named="This equals the raw score minus the logarithm of the sum of shifted exponentials.",
    caught_by=("test_log_probabilities_are_right", "test_every_axis_can_be_the_one"),
)
def shift_not_given_back(x, dim=-1):
    return x - (x - x.amax(dim=dim, keepdim=True)).exp().sum(dim=dim, keepdim=True).log()


@mistake(
    "log_softmax",
    seen="What is impossible came out as merely unlikely.",
    named="This equals log-softmax of scores held above -1e9: what is impossible gets a finite log-probability.",
    caught_by="test_impossible_scores_stay_impossible",
)
def impossible_becomes_unlikely(x, dim=-1):
    return log_softmax(x.clamp(min=-1e9), dim)


@mistake(
    "log_softmax",
    seen="The caller's scores are not what they were before the call.",
    named="This equals log-softmax that subtracts the maximum in place (x -= ...).",
    caught_by="test_log_probabilities_are_right",
)
def shifts_in_place(x, dim=-1):
    answer = log_softmax(x, dim)
    if not x.requires_grad:
        x -= x.amax(dim=dim, keepdim=True)
    return answer


# -------------------------------------------------------------------------------------------------------- cross_entropy


def _refuse_bad(logits, targets, ignore_index):
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise ValueError("shapes disagree")
    counted = targets[targets != ignore_index]
    if ((counted < 0) | (counted >= logits.shape[1])).any():
        raise ValueError("no such class")


def _surprises(logits, targets, ignore_index):
    """-log p[target] for each row, 0 where it does not count; and which rows count."""
    _refuse_bad(logits, targets, ignore_index)
    counts = targets != ignore_index
    picked = log_softmax(logits).gather(1, targets.where(counts, 0)[:, None])[:, 0]
    return -picked.where(counts, 0.0), counts


@mistake(
    "cross_entropy",
    seen="You average over rows that were not scored: how many really were?",
    named="This equals the sum over counted rows divided by B, the number of all rows.",
    caught_by=("test_ignored_rows_do_not_count", "test_the_loss_survives_large_logits"),
)
def mean_counts_ignored(logits, targets, ignore_index=-100):
    surprise, _ = _surprises(logits, targets, ignore_index)
    return surprise.sum() / max(len(targets), 1)


@mistake(
    "cross_entropy",
    seen="A row marked 'ignore' still pulls on your logits.",
    named="This equals a loss in which ignored rows are scored against class 0.",
    caught_by=("test_ignored_rows_do_not_count", "test_the_loss_survives_large_logits"),
)
def ignored_as_class_zero(logits, targets, ignore_index=-100):
    _refuse_bad(logits, targets, ignore_index)
    return cross_entropy(logits, targets.where(targets != ignore_index, 0), -(10**6))


@mistake(
    "cross_entropy",
    seen="A row marked 'ignore' still pulls on your logits: -100 counted from which end?",
    named="This equals a loss in which ignored rows are scored against the class that a negative index reaches.",
    caught_by=("test_ignored_rows_do_not_count", "test_the_loss_survives_large_logits"),
)
def ignored_as_negative_index(logits, targets, ignore_index=-100):
    _refuse_bad(logits, targets, ignore_index)
    return cross_entropy(logits, targets % max(logits.shape[1], 1), -(10**6))


@mistake(
    "cross_entropy",
    seen="Your loss grows with the batch; the contract asks for a mean.",
    named="This equals the sum over counted rows, without a division.",
    caught_by=("test_the_mean_surprise", "test_ignored_rows_do_not_count"),
)
def sum_not_mean(logits, targets, ignore_index=-100):
    return _surprises(logits, targets, ignore_index)[0].sum()


@mistake(
    "cross_entropy",
    seen="Only one class a row enters the loss, so V has no place in the mean.",
    named="This equals the loss divided by V: the mean over a table (B, V) that is zero except at the targets.",
    caught_by=("test_the_mean_surprise", "test_ignored_rows_do_not_count"),
)
def mean_over_classes(logits, targets, ignore_index=-100):
    return cross_entropy(logits, targets, ignore_index) / logits.shape[1]


@mistake(
    "cross_entropy",
    seen="A batch with nothing to score should teach nothing, not poison the weights.",
    named="This equals a loss that is 0/0 where no row counts, as torch's own is.",
    caught_by="test_nothing_to_score_teaches_nothing",
)
def nan_when_nothing_counts(logits, targets, ignore_index=-100):
    surprise, counts = _surprises(logits, targets, ignore_index)
    return surprise.sum() / counts.sum()


@mistake(
    "cross_entropy",
    seen="The caller chose another number for 'ignore'.",
    named="This equals a loss that ignores -100, whatever ignore_index says.",
    caught_by="test_another_number_may_mean_ignore",
)
def always_minus_hundred(logits, targets, ignore_index=-100):
    return cross_entropy(logits, targets, -100)


@mistake(
    "cross_entropy",
    seen="Every negative target is ignored: what should a target of -7 do, and what a class that means ignore?",
    named="This equals a loss that ignores what is negative, whatever ignore_index says.",
    caught_by="test_targets_outside_the_classes_are_refused",
)
def negative_means_ignore(logits, targets, ignore_index=-100):
    if logits.ndim != 2 or targets.shape != logits.shape[:1] or (targets >= logits.shape[1]).any():
        raise ValueError("bad input")
    return cross_entropy(logits, targets.where(targets >= 0, -100), -100)


@mistake(
    "cross_entropy",
    seen="Your loss is negative, and falls as the model gets worse.",
    named="This equals the mean of log p[target], without the minus.",
    caught_by=("test_the_mean_surprise", "test_ignored_rows_do_not_count"),
)
def mean_log_likelihood(logits, targets, ignore_index=-100):
    return -cross_entropy(logits, targets, ignore_index)


@mistake(
    "cross_entropy",
    seen="Your loss is bounded, and its gradient fades where the model is most wrong: which function of the scores goes "
    "into the formula?",
    named="This equals a loss that takes the log-softmax of probabilities: softmax twice.",
    caught_by=("test_the_mean_surprise", "test_ignored_rows_do_not_count"),
)
def softmax_twice(logits, targets, ignore_index=-100):
    return cross_entropy(log_softmax(logits).exp(), targets, ignore_index)


@mistake(
    "cross_entropy",
    seen="Logits of a few thousand make your loss infinite, or NaN.",
    named="This equals the loss by the raw formula, with exponentials of the logits as they are.",
    caught_by="test_the_loss_survives_large_logits",
)
def loss_overflows(logits, targets, ignore_index=-100):
    _refuse_bad(logits, targets, ignore_index)
    counts = targets != ignore_index
    rows = logits[counts]
    log_p = (rows.exp() / rows.exp().sum(1, keepdim=True)).log()
    return -log_p.gather(1, targets[counts][:, None]).sum() / max(int(counts.sum()), 1)


@mistake(
    "cross_entropy",
    seen="The mask is applied to numbers that are already infinite: what is zero times infinity?",
    named="This equals a loss that multiplies ignored rows by zero: where their logits are infinite that is NaN.",
    caught_by="test_ignored_rows_get_no_gradient",
)
def ignored_by_multiplying(logits, targets, ignore_index=-100):
    _refuse_bad(logits, targets, ignore_index)
    counts = targets != ignore_index
    picked = log_softmax(logits).gather(1, targets.where(counts, 0)[:, None])[:, 0]
    return -(picked * counts).sum() / counts.sum().clamp(min=1)


@mistake(
    "cross_entropy",
    seen="A column of targets was taken for a row of them: whose target met whose logits?",
    named="This equals a loss that flattens whatever targets it is given.",
    caught_by="test_shapes_that_disagree_are_refused",
)
def flattens_targets(logits, targets, ignore_index=-100):
    return cross_entropy(logits, targets.reshape(-1), ignore_index)


# ----------------------------------------------------------------------------------------------------------- adamw_step

PATHS = ("test_many_steps_with_pauses", "test_decay_is_decoupled")
"""Two tests that see every step of several parameters, with all settings away from their defaults."""


def _adamw(
    params,
    grads,
    state,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.01,
    *,
    step=None,
    decay=None,
    prepared=None,
):
    """The right step, except for what is handed in.

    step(m, v, s, beta1, beta2, eps): the direction; decay(theta, lr, wd): what is taken away before it;
    prepared(g, theta, wd): the gradient that enters the averages.
    """
    if len(params) != len(grads):
        raise ValueError("lists of different length")
    with torch.no_grad():
        for i, (theta, g) in enumerate(zip(params, grads, strict=True)):
            if g is None:
                continue
            memory = state.setdefault(i, {"step": 0, "m": torch.zeros_like(theta), "v": torch.zeros_like(theta)})
            memory["step"] += 1
            if prepared is not None:
                g = prepared(g, theta, weight_decay)
            theta.sub_((decay or _decay)(theta, lr, weight_decay))
            memory["m"].mul_(betas[0]).add_((1 - betas[0]) * g)
            memory["v"].mul_(betas[1]).add_((1 - betas[1]) * g * g)
            theta.sub_(lr * (step or _direction)(memory["m"], memory["v"], memory["step"], *betas, eps))
    return params, state


def _decay(theta, lr, weight_decay):
    return lr * weight_decay * theta


def _direction(m, v, s, beta1, beta2, eps):
    return m / (1 - beta1**s) / ((v / (1 - beta2**s)).sqrt() + eps)


@mistake(
    "adamw_step",
    seen="Your decay passes through the adaptive scaling: what does 'decoupled' separate?",
    named="This equals Adam with L2 regularisation: the decay is added to the gradient.",
    caught_by=PATHS,
)
def l2_not_decoupled(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return _adamw(
        params, grads, state, lr, betas, eps, weight_decay,
        prepared=lambda g, theta, wd: g + wd * theta,
        decay=lambda theta, lr, wd: torch.zeros_like(theta),
    )  # fmt: skip


@mistake(
    "adamw_step",
    seen="With a learning rate of zero your weights still shrink.",
    named="This equals AdamW with a decay that is not multiplied by the learning rate.",
    caught_by=("test_a_rate_of_zero_moves_nothing", *PATHS),
)
def decay_without_lr(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return _adamw(params, grads, state, lr, betas, eps, weight_decay, decay=lambda theta, lr, wd: wd * theta)


@mistake(
    "adamw_step",
    seen="Your weights never decay.",
    named="This equals plain Adam: weight_decay has no effect.",
    caught_by=PATHS,
)
def no_decay(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return adamw_step(params, grads, state, lr, betas, eps, 0.0)


@mistake(
    "adamw_step",
    seen="Decay and step are both there: which of them sees the weight that the other has changed?",
    named="This equals AdamW that decays the weight after the step.",
    caught_by=PATHS,
)
def decays_after_the_step(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    adamw_step(params, grads, state, lr, betas, eps, 0.0)
    with torch.no_grad():
        for theta, g in zip(params, grads, strict=True):
            if g is not None:
                theta.mul_(1 - lr * weight_decay)
    return params, state


@mistake(
    "adamw_step",
    seen="Your first steps are wrongly sized: both averages start at zero, and remember it.",
    named="This equals AdamW without bias correction: raw m and v.",
    caught_by=PATHS,
)
def no_bias_correction(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return _adamw(
        params, grads, state, lr, betas, eps, weight_decay,
        step=lambda m, v, s, beta1, beta2, eps: m / (v.sqrt() + eps),
    )  # fmt: skip


@mistake(
    "adamw_step",
    seen="Your first steps are wrongly sized: one average is corrected, and the other?",
    named="This equals AdamW that corrects m and not v.",
    caught_by=PATHS,
)
def only_m_corrected(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return _adamw(
        params, grads, state, lr, betas, eps, weight_decay,
        step=lambda m, v, s, beta1, beta2, eps: m / (1 - beta1**s) / (v.sqrt() + eps),
    )  # fmt: skip


@mistake(
    "adamw_step",
    seen="From the second step on your averages drift away: which of them is stored, the raw one or the corrected one?",
    named="This equals AdamW that writes the corrected averages back into the state.",
    caught_by=PATHS,
)
def stores_the_corrected(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    adamw_step(params, grads, state, lr, betas, eps, weight_decay)
    for i, g in enumerate(grads):
        if g is not None:
            state[i]["m"] /= 1 - betas[0] ** state[i]["step"]
            state[i]["v"] /= 1 - betas[1] ** state[i]["step"]
    return params, state


@mistake(
    "adamw_step",
    seen="At the first update the correction must already know about one gradient.",
    named="This equals AdamW that corrects with the count before this gradient (and not at all at the first step).",
    caught_by=PATHS,
)
def steps_from_zero(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return _adamw(
        params, grads, state, lr, betas, eps, weight_decay,
        step=lambda m, v, s, beta1, beta2, eps: _direction(m, v, s - 1, beta1, beta2, eps)
        if s > 1
        else m / (v.sqrt() + eps),
    )  # fmt: skip


@mistake(
    "adamw_step",
    seen="At the first update the correction divides by nothing: how many gradients has it seen by then?",
    named="This equals AdamW that corrects with the count before this gradient: 0/0 at the first step.",
    caught_by=("test_the_first_step", *PATHS),
)
def first_step_divides_by_zero(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    def step(m, v, s, beta1, beta2, eps):
        zero = torch.zeros(())
        return m / (1 - beta1 ** (s - 1) + zero) / ((v / (1 - beta2 ** (s - 1) + zero)).sqrt() + eps)

    return _adamw(params, grads, state, lr, betas, eps, weight_decay, step=step)


@mistake(
    "adamw_step",
    seen="With a large eps your step differs: is it added before or after the root?",
    named="This equals AdamW with eps under the root: sqrt(v + eps).",
    caught_by=("test_eps_is_added_to_the_root", *PATHS),
)
def eps_inside_root(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return _adamw(
        params, grads, state, lr, betas, eps, weight_decay,
        step=lambda m, v, s, beta1, beta2, eps: m / (1 - beta1**s) / (v / (1 - beta2**s) + eps).sqrt(),
    )  # fmt: skip


@mistake(
    "adamw_step",
    seen="With a large eps your early steps are too short: which root is it added to, the raw one or the corrected one?",
    named="This equals the short form of the paper's section 2, and TensorFlow's: eps is added to the root of the raw v.",
    caught_by=("test_eps_is_added_to_the_root", *PATHS),
)
def eps_before_correction(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return _adamw(
        params, grads, state, lr, betas, eps, weight_decay,
        step=lambda m, v, s, beta1, beta2, eps: m * math.sqrt(1 - beta2**s) / (1 - beta1**s) / (v.sqrt() + eps),
    )  # fmt: skip


@mistake(
    "adamw_step",
    seen="With a large eps your step differs: does the caller's eps reach it?",
    named="This equals AdamW with an eps of 1e-8, whatever the caller says.",
    caught_by=("test_eps_is_added_to_the_root", *PATHS),
)
def eps_ignored(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return adamw_step(params, grads, state, lr, betas, 1e-8, weight_decay)


@mistake(
    "adamw_step",
    seen="Large gradients make tiny steps and small ones make large steps: what is v the average of, and what has its "
    "unit?",
    named="This equals AdamW that divides by v itself, without the root.",
    caught_by=PATHS,
)
def no_root(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return _adamw(
        params, grads, state, lr, betas, eps, weight_decay,
        step=lambda m, v, s, beta1, beta2, eps: m / (1 - beta1**s) / (v / (1 - beta2**s) + eps),
    )  # fmt: skip


@mistake(
    "adamw_step",
    seen="One of your averages forgets too fast and the other too slowly.",
    named="This equals AdamW with the two betas exchanged.",
    caught_by=PATHS,
)
def betas_exchanged(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return adamw_step(params, grads, state, lr, (betas[1], betas[0]), eps, weight_decay)


@mistake(
    "adamw_step",
    seen="A parameter that sat out a step has seen fewer gradients than the others.",
    named="This equals AdamW with one step counter for all parameters.",
    caught_by=("test_many_steps_with_pauses", "test_the_state_after_five_steps"),
)
def global_step_count(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    if len(params) != len(grads):
        raise ValueError("lists of different length")
    now = 1 + max((memory["step"] for memory in state.values()), default=0)
    for i, (theta, g) in enumerate(zip(params, grads, strict=True)):
        if g is not None and i not in state:
            state[i] = {"step": 0, "m": torch.zeros_like(theta), "v": torch.zeros_like(theta)}
    for memory in state.values():
        memory["step"] = now - 1
    adamw_step(params, grads, state, lr, betas, eps, weight_decay)
    for memory in state.values():
        memory["step"] = now
    return params, state


@mistake(
    "adamw_step",
    seen="A parameter without a gradient shrinks.",
    named="This equals AdamW that decays every parameter, also where the gradient is None.",
    caught_by="test_many_steps_with_pauses",
)
def decays_without_gradient(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    adamw_step(params, grads, state, lr, betas, eps, weight_decay)
    with torch.no_grad():
        for theta, g in zip(params, grads, strict=True):
            if g is None:
                theta.mul_(1 - lr * weight_decay)
    return params, state


@mistake(
    "adamw_step",
    seen="A parameter without a gradient still moves: is None the same as zero?",
    named="This equals AdamW that takes a missing gradient for a gradient of zero.",
    caught_by=("test_many_steps_with_pauses", "test_the_state_after_five_steps"),
)
def none_is_zero(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    if len(params) != len(grads):
        raise ValueError("lists of different length")
    filled = [torch.zeros_like(p) if g is None else g for p, g in zip(params, grads, strict=True)]
    return adamw_step(params, filled, state, lr, betas, eps, weight_decay)


@mistake(
    "adamw_step",
    seen="Your parameters go uphill.",
    named="This equals AdamW that adds the step.",
    caught_by=PATHS,
)
def climbs(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    return _adamw(
        params, grads, state, lr, betas, eps, weight_decay,
        step=lambda *arguments: -_direction(*arguments),
    )  # fmt: skip


@mistake(
    "adamw_step",
    seen="Every step looks like a first one: who remembers the averages?",
    named="This equals AdamW that starts from an empty state at every call.",
    caught_by=("test_many_steps_with_pauses", "test_the_state_after_five_steps"),
)
def state_starts_anew(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    state.clear()
    return adamw_step(params, grads, state, lr, betas, eps, weight_decay)


@mistake(
    "adamw_step",
    seen="The list holds new numbers, and the tensors that the model owns still the old ones.",
    named="This equals AdamW that puts new tensors into the list: whoever holds the old ones sees no step.",
    caught_by=("test_the_first_step", "test_many_steps_with_pauses"),
)
def new_tensors(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    params[:] = [p.detach().clone() for p in params]
    return adamw_step(params, grads, state, lr, betas, eps, weight_decay)


@mistake(
    "adamw_step",
    seen="What comes back is right, and what was handed in has not changed.",
    named="This equals AdamW on copies, returned.",
    caught_by=("test_the_first_step", "test_the_same_two_objects_come_back"),
)
def works_on_copies(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    own = {i: {key: value + 0 for key, value in memory.items()} for i, memory in state.items()}
    return adamw_step([p.detach().clone() for p in params], grads, own, lr, betas, eps, weight_decay)


@mistake(
    "adamw_step",
    seen="The gradients are not what they were before the call.",
    named="This equals AdamW that keeps the gradient itself as its first average: both are one tensor from then on.",
    caught_by="test_gradients_are_left_as_they_were",
)
def average_is_the_gradient(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    if len(params) != len(grads):
        raise ValueError("lists of different length")
    adamw_step(params, grads, state, lr, betas, eps, weight_decay)
    with torch.no_grad():
        for i, g in enumerate(grads):
            if g is not None:
                g.copy_(state[i]["m"])
                state[i]["m"] = g
    return params, state


@mistake(
    "adamw_step",
    seen="Your state names no parameter by its number: what happens to two parameters of one shape?",
    named="This equals AdamW that keeps its averages under the parameter's shape.",
    caught_by=("test_the_first_step", "test_the_state_after_five_steps"),
)
def state_by_shape(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    if len(params) != len(grads):
        raise ValueError("lists of different length")
    own = {i: state[str(tuple(p.shape))] for i, p in enumerate(params) if str(tuple(p.shape)) in state}
    adamw_step(params, grads, own, lr, betas, eps, weight_decay)
    state.update({str(tuple(params[i].shape)): memory for i, memory in own.items()})
    return params, state


@mistake(
    "adamw_step",
    seen="Some of what you were given was left over, and nobody was told.",
    named="This equals AdamW that stops at the shorter of the two lists.",
    caught_by="test_lists_of_different_length_are_refused",
)
def stops_at_the_shorter(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    n = min(len(params), len(grads))
    adamw_step(params[:n], grads[:n], state, lr, betas, eps, weight_decay)
    return params, state


# ------------------------------------------------------------------------------------------------------ cosine_schedule

SHAPE = ("test_thirty_rates", "test_the_way_down_is_half_a_cosine")
RISE = ("test_thirty_rates", "test_the_warm_up_is_a_straight_line")


def _refuse_impossible(step, warmup, total):
    if step < 0 or warmup > total:
        raise ValueError("no such step, or no such schedule")


def _half_cosine(progress, peak, floor):
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * progress))


@mistake(
    "cosine_schedule",
    seen="Check two points by hand: step 0 and step `warmup`.",
    named="This equals a warm-up of (step + 1) / warmup: it starts above zero and reaches the peak one step early.",
    caught_by=RISE,
)
def warmup_off_by_one(step, warmup, total, peak, floor=0.0):
    _refuse_impossible(step, warmup, total)
    return (
        peak * (step + 1) / warmup if step < min(warmup, total) else cosine_schedule(step, warmup, total, peak, floor)
    )


@mistake(
    "cosine_schedule",
    seen="Check two points by hand: step 0 and step `warmup`.",
    named="This equals nanoGPT's warm-up, (step + 1) / (warmup + 1) of the peak.",
    caught_by=RISE,
)
def warmup_of_nanogpt(step, warmup, total, peak, floor=0.0):
    _refuse_impossible(step, warmup, total)
    if step < min(warmup, total):
        return peak * (step + 1) / (warmup + 1)
    return cosine_schedule(step, warmup, total, peak, floor)


@mistake(
    "cosine_schedule",
    seen="Check two points by hand: step 0 and step `warmup`.",
    named="This equals a warm-up that starts at the floor.",
    caught_by=RISE,
)
def warms_up_from_the_floor(step, warmup, total, peak, floor=0.0):
    _refuse_impossible(step, warmup, total)
    if step < min(warmup, total):
        return floor + (peak - floor) * step / warmup
    return cosine_schedule(step, warmup, total, peak, floor)


@mistake(
    "cosine_schedule",
    seen="Your decay began during the warm-up.",
    named="This equals a cosine over step / total: after the warm-up it starts below the peak.",
    caught_by=SHAPE,
)
def progress_from_zero(step, warmup, total, peak, floor=0.0):
    _refuse_impossible(step, warmup, total)
    if warmup <= step < total:
        return _half_cosine(step / total, peak, floor)
    return cosine_schedule(step, warmup, total, peak, floor)


@mistake(
    "cosine_schedule",
    seen="Your rate does not arrive at the floor by `total`: how long is the way down?",
    named="This equals a cosine over (step - warmup) / total: the way down is as long as the whole.",
    caught_by=SHAPE,
)
def way_down_too_long(step, warmup, total, peak, floor=0.0):
    _refuse_impossible(step, warmup, total)
    if warmup <= step < total:
        return _half_cosine((step - warmup) / total, peak, floor)
    return cosine_schedule(step, warmup, total, peak, floor)


@mistake(
    "cosine_schedule",
    seen="Past `total` your learning rate climbs back up.",
    named="This equals the cosine without a stop: past its half period it rises, as transformers' and PyTorch's do.",
    caught_by="test_after_total_the_floor",
)
def rises_after_end(step, warmup, total, peak, floor=0.0):
    _refuse_impossible(step, warmup, total)
    if step < total or warmup == total:
        return cosine_schedule(step, warmup, total, peak, floor)
    return _half_cosine((step - warmup) / (total - warmup), peak, floor)


@mistake(
    "cosine_schedule",
    seen="Past `total` your learning rate is no longer the floor.",
    named="This equals a schedule that is 0 after its end.",
    caught_by="test_after_total_the_floor",
)
def zero_after_end(step, warmup, total, peak, floor=0.0):
    return cosine_schedule(step, warmup, total, peak, floor) if step <= total else 0.0


@mistake(
    "cosine_schedule",
    seen="The last rate should be the floor.",
    named="This equals a schedule that ends at 0, whatever the floor.",
    caught_by=SHAPE,
)
def floor_ignored(step, warmup, total, peak, floor=0.0):
    return cosine_schedule(step, warmup, total, peak)


@mistake(
    "cosine_schedule",
    seen="Your rate reaches the floor too early, and stays there.",
    named="This equals a cosine down to 0, cut off where it falls below the floor.",
    caught_by=SHAPE,
)
def floor_cuts_off(step, warmup, total, peak, floor=0.0):
    rate = cosine_schedule(step, warmup, total, peak)
    return rate if step < warmup else max(rate, floor)


@mistake(
    "cosine_schedule",
    seen="The highest rate is more than the peak.",
    named="This equals a cosine that starts at peak + floor: the floor is added to the whole range.",
    caught_by=SHAPE,
)
def floor_on_top(step, warmup, total, peak, floor=0.0):
    _refuse_impossible(step, warmup, total)
    if step < min(warmup, total):
        return peak * step / warmup
    return floor + cosine_schedule(step, warmup, total, peak)


@mistake(
    "cosine_schedule",
    seen="Your rate comes back to the peak at the end: how much of a period do you need?",
    named="This equals a cosine over 2π: a whole period.",
    caught_by=SHAPE,
)
def full_period(step, warmup, total, peak, floor=0.0):
    _refuse_impossible(step, warmup, total)
    if warmup <= step < total:
        return _half_cosine(2 * (step - warmup) / (total - warmup), peak, floor)
    return cosine_schedule(step, warmup, total, peak, floor)


@mistake(
    "cosine_schedule",
    seen="Your rate falls fastest at the start: how does a cosine begin?",
    named="This equals a quarter of a cosine, from 0 to π/2, turned over.",
    caught_by=SHAPE,
)
def quarter_period(step, warmup, total, peak, floor=0.0):
    _refuse_impossible(step, warmup, total)
    if warmup <= step < total:
        progress = (step - warmup) / (total - warmup)
        return floor + (peak - floor) * (1 - math.sin(math.pi * progress / 2))
    return cosine_schedule(step, warmup, total, peak, floor)


@mistake(
    "cosine_schedule",
    seen="The ends are right, the way between them is straight.",
    named="This equals a linear decay from the peak to the floor.",
    caught_by=SHAPE,
)
def linear_decay(step, warmup, total, peak, floor=0.0):
    _refuse_impossible(step, warmup, total)
    if warmup <= step < total:
        return peak + (floor - peak) * (step - warmup) / (total - warmup)
    return cosine_schedule(step, warmup, total, peak, floor)


@mistake(
    "cosine_schedule",
    seen="A schedule that cannot be was answered all the same.",
    named="This equals the right schedule without any refusal.",
    caught_by=("test_a_negative_step_is_refused", "test_a_warm_up_longer_than_the_whole_is_refused"),
)
def refuses_nothing(step, warmup, total, peak, floor=0.0):
    if step < 0 or warmup > total:
        return peak * step / max(warmup, 1)
    return cosine_schedule(step, warmup, total, peak, floor)


# ------------------------------------------------------------------------------------------------------- clip_grad_norm

LONG = ("test_long_gradients_are_shortened_together", "test_missing_gradients_are_skipped")


def _found(grads, max_norm):
    if max_norm <= 0:
        raise ValueError("max_norm must be positive")
    return [g for g in grads if g is not None]


def _norm(found):
    return torch.stack([g.norm() for g in found]).norm() if found else torch.tensor(0.0)


@mistake(
    "clip_grad_norm",
    seen="Clipping tensor by tensor bends the step; the norm is of all gradients together.",
    named="This equals clipping each tensor by its own norm.",
    caught_by=(*LONG, "test_the_direction_is_kept"),
)
def clip_per_tensor(grads, max_norm):
    norm = _norm(_found(grads, max_norm))
    for g in _found(grads, max_norm):
        clip_grad_norm([g], max_norm)
    return norm


@mistake(
    "clip_grad_norm",
    seen="Small gradients were made larger: clipping only ever shortens.",
    named="This equals multiplying by max_norm / norm whether or not the norm is above the limit.",
    caught_by=("test_short_gradients_keep_every_bit", "test_missing_gradients_are_skipped"),
)
def always_rescales(grads, max_norm):
    found = _found(grads, max_norm)
    norm = _norm(found)
    for g in found:
        g.mul_(max_norm / (norm + 1e-6))
    return norm


@mistake(
    "clip_grad_norm",
    seen="Small gradients came back a little different: what should the factor be below the limit?",
    named="This equals multiplying short gradients by norm / (norm + 1e-6), not by exactly 1.",
    caught_by="test_short_gradients_keep_every_bit",
)
def almost_one_below_the_limit(grads, max_norm):
    found = _found(grads, max_norm)
    norm = _norm(found)
    for g in found:
        g.mul_(torch.clamp(norm, max=max_norm) / (norm + 1e-6))
    return norm


@mistake(
    "clip_grad_norm",
    seen="The norm of a whole is not the sum of the norms of its parts.",
    named="This equals clipping by the sum of the tensors' norms.",
    caught_by=LONG,
)
def adds_norms(grads, max_norm):
    found = _found(grads, max_norm)
    norm = sum((g.norm() for g in found), torch.tensor(0.0))
    for g in found:
        g.mul_(min(1.0, max_norm / (norm.item() + 1e-6)))
    return norm.to(found[0].dtype) if found else norm


@mistake(
    "clip_grad_norm",
    seen="The norm of a whole is not the largest of the norms of its parts.",
    named="This equals clipping by the largest of the tensors' norms.",
    caught_by=LONG,
)
def largest_norm(grads, max_norm):
    found = _found(grads, max_norm)
    norm = max((g.norm() for g in found), default=torch.tensor(0.0))
    for g in found:
        g.mul_(min(1.0, max_norm / (norm.item() + 1e-6)))
    return norm


@mistake(
    "clip_grad_norm",
    seen="Your norm grows with the square of the gradients.",
    named="This equals clipping by the sum of squares, without the root.",
    caught_by=LONG,
)
def squared_norm(grads, max_norm):
    found = _found(grads, max_norm)
    norm = _norm(found) ** 2
    for g in found:
        g.mul_(min(1.0, max_norm / (norm.item() + 1e-6)))
    return norm


@mistake(
    "clip_grad_norm",
    seen="The log needs the norm as it was found, not as it was left.",
    named="This equals right clipping that returns the norm after it.",
    caught_by=LONG,
)
def returns_norm_after(grads, max_norm):
    clip_grad_norm(grads, max_norm)
    return _norm(_found(grads, max_norm))


@mistake(
    "clip_grad_norm",
    seen="Your gradient changed direction.",
    named="This equals clamping each entry to ± max_norm.",
    caught_by=(*LONG, "test_the_direction_is_kept"),
)
def clips_values(grads, max_norm):
    found = _found(grads, max_norm)
    norm = _norm(found)
    for g in found:
        g.clamp_(-max_norm, max_norm)
    return norm


@mistake(
    "clip_grad_norm",
    seen="After clipping every gradient has length one: where did max_norm go?",
    named="This equals dividing by the norm where it is above the limit, without multiplying by max_norm.",
    caught_by=("test_the_direction_is_kept", "test_one_tensor_is_clipped_too"),
)
def unit_length(grads, max_norm):
    found = _found(grads, max_norm)
    norm = _norm(found)
    if norm > max_norm:
        for g in found:
            g.div_(norm + 1e-6)
    return norm


@mistake(
    "clip_grad_norm",
    seen="Your clipped gradients differ from torch's in the seventh digit: look at the divisor.",
    named="This equals clipping by max_norm / norm, without the 1e-6.",
    caught_by=LONG,
)
def no_small_number(grads, max_norm):
    found = _found(grads, max_norm)
    norm = _norm(found)
    if norm > max_norm:
        for g in found:
            g.mul_(max_norm / norm)
    return norm


@mistake(
    "clip_grad_norm",
    seen="The list holds shorter gradients, and the tensors that the weights own are as long as before.",
    named="This equals clipping that puts new tensors into the list.",
    caught_by=LONG,
)
def new_gradients(grads, max_norm):
    grads[:] = [None if g is None else g.clone() for g in grads]
    return clip_grad_norm(grads, max_norm)


@mistake(
    "clip_grad_norm",
    seen="Your norm is right, and of another kind than was asked for.",
    named="This equals right clipping that returns a Python number.",
    caught_by=LONG,
)
def returns_a_number(grads, max_norm):
    return clip_grad_norm(grads, max_norm).item()


@mistake(
    "clip_grad_norm",
    seen="A limit that nothing can keep was accepted.",
    named="This equals clipping without a look at max_norm.",
    caught_by="test_a_limit_that_is_not_positive_is_refused",
)
def accepts_any_limit(grads, max_norm):
    if max_norm > 0:
        return clip_grad_norm(grads, max_norm)
    norm = _norm([g for g in grads if g is not None])
    for g in grads:
        if g is not None:
            g.mul_(max_norm / (norm + 1e-6))
    return norm


# ----------------------------------------------------------------------------------------------------- accumulated_step

UNEQUAL = ("test_the_step_of_one_big_batch", "test_accumulation_in_float32")


def _accumulate(model, microbatches, optimizer, share, *, clear=True):
    """The right step, except that each microbatch's mean loss is weighted by share(count, total, number)."""
    total = sum(_count(targets) for _, targets in microbatches)
    if clear:
        optimizer.zero_grad()
    if total == 0:
        return 0.0
    loss = 0.0
    for x, targets in microbatches:
        part = _mean_loss(model, x, targets) * share(_count(targets), total, len(microbatches))
        part.backward()
        loss += part.item()
    optimizer.step()
    return loss


def _count(targets):
    return int((targets != -100).sum())


def _mean_loss(model, x, targets):
    return cross_entropy(model(x).flatten(0, 1), targets.flatten())


@mistake(
    "accumulated_step",
    seen="A short microbatch weighs as much as a long one: whose tokens count double?",
    named="This equals the mean of the microbatches' means.",
    caught_by=UNEQUAL,
)
def mean_of_means(model, microbatches, optimizer):
    return _accumulate(model, microbatches, optimizer, lambda count, total, number: 1 / number)


@mistake(
    "accumulated_step",
    seen="A short microbatch weighs as much as a long one: whose tokens count double?",
    named="This equals the mean of the means of those microbatches that count at all.",
    caught_by=UNEQUAL,
)
def mean_of_means_that_count(model, microbatches, optimizer):
    number = max(sum(_count(targets) > 0 for _, targets in microbatches), 1)
    return _accumulate(model, microbatches, optimizer, lambda count, total, _: 1 / number)


@mistake(
    "accumulated_step",
    seen="Your step grows with the number of microbatches.",
    named="This equals the sum of the microbatches' means.",
    caught_by=UNEQUAL,
)
def forgets_to_divide(model, microbatches, optimizer):
    return _accumulate(model, microbatches, optimizer, lambda count, total, number: 1.0)


@mistake(
    "accumulated_step",
    seen="Your step grows with the number of tokens.",
    named="This equals the sum of all surprises, not divided by anything.",
    caught_by=UNEQUAL,
)
def sum_of_all_tokens(model, microbatches, optimizer):
    return _accumulate(model, microbatches, optimizer, lambda count, total, number: count)


@mistake(
    "accumulated_step",
    seen="Your step shrinks when padding is added: which tokens belong below the fraction bar?",
    named="This equals the sum of all surprises divided by the number of all tokens, padding included.",
    caught_by=UNEQUAL,
)
def divides_by_all_tokens(model, microbatches, optimizer):
    everything = max(sum(targets.numel() for _, targets in microbatches), 1)
    return _accumulate(model, microbatches, optimizer, lambda count, total, number: count / everything)


@mistake(
    "accumulated_step",
    seen="A long text weighs as much as a short one: are rows counted here, or tokens?",
    named="This equals the microbatches' means weighted by their numbers of rows.",
    caught_by=UNEQUAL,
)
def weighted_by_rows(model, microbatches, optimizer):
    rows = {_count(targets): len(targets) for _, targets in microbatches}
    everything = max(sum(len(targets) for _, targets in microbatches), 1)
    return _accumulate(model, microbatches, optimizer, lambda count, total, number: rows[count] / everything)


@mistake(
    "accumulated_step",
    seen="Gradients from an earlier step are still in your sum.",
    named="This equals accumulation that never clears the gradients.",
    caught_by="test_old_gradients_are_cleared",
)
def no_zero_grad(model, microbatches, optimizer):
    return _accumulate(model, microbatches, optimizer, lambda count, total, number: count / total, clear=False)


@mistake(
    "accumulated_step",
    seen="Only one of your microbatches moved the weights.",
    named="This equals accumulation that clears the gradients before every microbatch, so that the last one decides.",
    caught_by=UNEQUAL,
)
def clears_every_time(model, microbatches, optimizer):
    total = sum(_count(targets) for _, targets in microbatches)
    loss = 0.0
    for x, targets in microbatches:
        optimizer.zero_grad()
        part = _mean_loss(model, x, targets) * _count(targets) / max(total, 1)
        part.backward()
        loss += part.item()
    if total:
        optimizer.step()
    return loss


@mistake(
    "accumulated_step",
    seen="You took several small steps instead of the one big one.",
    named="This equals one optimiser step after each microbatch.",
    caught_by=("test_the_step_of_one_big_batch", "test_exactly_one_optimiser_step"),
)
def step_per_microbatch(model, microbatches, optimizer):
    total = sum(_count(targets) for _, targets in microbatches)
    loss = 0.0
    for x, targets in microbatches:
        optimizer.zero_grad()
        part = _mean_loss(model, x, targets) * _count(targets) / max(total, 1)
        part.backward()
        if _count(targets):
            optimizer.step()
        loss += part.item()
    return loss


@mistake(
    "accumulated_step",
    seen="Your weights are right; the loss that you report is another one's.",
    named="This equals the right step with the last microbatch's own mean as its loss.",
    caught_by="test_the_step_of_one_big_batch",
)
def reports_the_last(model, microbatches, optimizer):
    accumulated_step(model, microbatches, optimizer)
    with torch.no_grad():
        return float(_mean_loss(model, *microbatches[-1])) if microbatches else 0.0


@mistake(
    "accumulated_step",
    seen="Your weights are right; the loss that you report is another one's.",
    named="This equals the right step with the mean of the microbatches' means as its loss.",
    caught_by=UNEQUAL,
)
def reports_mean_of_means(model, microbatches, optimizer):
    with torch.no_grad():
        means = [float(_mean_loss(model, x, targets)) for x, targets in microbatches]
    accumulated_step(model, microbatches, optimizer)
    return sum(means) / max(len(means), 1)


@mistake(
    "accumulated_step",
    seen="A batch of padding moved the weights.",
    named="This equals accumulation that steps even if nothing counts.",
    caught_by="test_nothing_counted_no_step",
)
def steps_on_nothing(model, microbatches, optimizer):
    loss = accumulated_step(model, microbatches, optimizer)
    if not sum(_count(targets) for _, targets in microbatches):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.zeros_like(p)
        optimizer.step()
    return loss


@mistake(
    "accumulated_step",
    seen="The step is right, and every graph was alive at once: what was the batch cut for?",
    named="This equals adding up all losses and one backward pass at the end.",
    caught_by="test_one_graph_at_a_time",
)
def one_backward_at_the_end(model, microbatches, optimizer):
    total = sum(_count(targets) for _, targets in microbatches)
    optimizer.zero_grad()
    if total == 0:
        return 0.0
    loss = sum(_mean_loss(model, x, targets) * _count(targets) / total for x, targets in microbatches)
    loss.backward()
    optimizer.step()
    return loss.item()


# ----------------------------------------------------------------------------------------------------- train_classifier


@mistake(
    "train_classifier",
    seen="However many linear layers you stack, your boundary is a straight line.",
    named="This equals a network without anything that bends between its layers.",
    caught_by="test_spirals",
    blocker=True,
)
def linear_model(x, y, steps, seed=0, on_update=None):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 64), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 2))
    return _trained(model, x, y, steps, seed, on_update)


@mistake(
    "train_classifier",
    seen="The accuracy is no better than chance, and often below: does each of your steps lower the loss?",
    named="This equals a loop that climbs the loss.",
    caught_by="test_spirals",
    blocker=True,
)
def climbs_the_loss(x, y, steps, seed=0, on_update=None):
    return _trained(_network(seed), x, y, steps, seed, on_update, sign=-1)


@mistake(
    "train_classifier",
    seen="Your model knows a few points by heart and the spiral not at all.",
    named="This equals a loop that draws its batch once, before the first step.",
    caught_by="test_spirals",
    blocker=True,
)
def one_batch_forever(x, y, steps, seed=0, on_update=None):
    rows = torch.randint(len(x), (32,), generator=torch.Generator().manual_seed(seed))
    return _trained(_network(seed), x, y, steps, seed, on_update, rows=rows)


@mistake(
    "train_classifier",
    seen="A thousand steps left the model where it began.",
    named="This equals a network that was never trained.",
    caught_by="test_spirals",
    blocker=True,
)
def untrained(x, y, steps, seed=0, on_update=None):
    model = _network(seed)
    for _ in range(steps):
        if on_update is not None:
            on_update(model)
    return model


@mistake(
    "train_classifier",
    seen="One seed gave two models: what was drawn without it?",
    named="This equals a loop whose weights come from torch's global generator, as it happened to stand.",
    caught_by="test_one_seed_gives_one_model",
)
def weights_without_seed(x, y, steps, seed=0, on_update=None):
    return _trained(_layers(), x, y, steps, seed, on_update)


@mistake(
    "train_classifier",
    seen="One seed gave two models: what was drawn without it?",
    named="This equals a loop whose batches come from torch's global generator, as it happened to stand.",
    caught_by="test_one_seed_gives_one_model",
)
def batches_without_seed(x, y, steps, seed=0, on_update=None):
    with torch.random.fork_rng():
        model = _network(seed)
    return _trained(model, x, y, steps, int(torch.randint(10**6, ())), on_update)


@mistake(
    "train_classifier",
    seen="For one point there is one number: how many logits do two classes have?",
    named="This equals a network with a single output.",
    caught_by="test_one_seed_gives_one_model",
)
def one_logit(x, y, steps, seed=0, on_update=None):
    class Difference(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, points):
            logits = self.model(points)
            return logits[:, 1] - logits[:, 0]

    wrapped = None if on_update is None else lambda model: on_update(Difference(model))
    return Difference(train_classifier(x, y, steps, seed, wrapped))


@mistake(
    "train_classifier",
    seen="Whoever watches your training sees it once, when it is over.",
    named="This equals a loop that calls on_update after the last step only.",
    caught_by="test_on_update_after_each_step",
)
def update_at_the_end(x, y, steps, seed=0, on_update=None):
    model = train_classifier(x, y, steps, seed)
    if on_update is not None:
        on_update(model)
    return model


@mistake(
    "train_classifier",
    seen="You take more steps than you were allowed: what does `steps` count?",
    named="This equals a loop that takes `steps` for passes over all points.",
    caught_by="test_on_update_after_each_step",
)
def steps_are_passes(x, y, steps, seed=0, on_update=None):
    return train_classifier(x, y, steps * math.ceil(len(x) / 32), seed, on_update)


@mistake(
    "train_classifier",
    seen="The caller's points are in another order than before.",
    named="This equals a loop that shuffles points and classes in place.",
    caught_by="test_the_data_are_left_as_they_were",
)
def shuffles_in_place(x, y, steps, seed=0, on_update=None):
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    x.copy_(x[order])
    y.copy_(y[order])
    return train_classifier(x, y, steps, seed, on_update)


def _layers():
    layers = [layer for a, b in ((2, 64), (64, 64), (64, 64)) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(64, 2))


def _network(seed):
    torch.manual_seed(seed)
    return _layers()


def _trained(model, x, y, steps, seed, on_update, sign=1, rows=None):
    """The reference's loop around `model`; sign=-1 climbs, `rows` fixes the batch."""
    draw = torch.Generator().manual_seed(seed)
    params, state = list(model.parameters()), {}
    for step in range(steps):
        batch = torch.randint(len(x), (32,), generator=draw) if rows is None else rows
        grads = list(torch.autograd.grad(sign * cross_entropy(model(x[batch]), y[batch]), params))
        clip_grad_norm(grads, 1.0)
        adamw_step(params, grads, state, cosine_schedule(step, min(50, steps), steps, 1e-2))
        if on_update is not None:
            on_update(model)
    return model
