"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import functools
import math

import gymnasium
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from reference import (
    PPOAgent,
    approx_kl,
    clipped_surrogate,
    clipped_value_loss,
    entropy_bonus,
    gae,
    minibatches,
    true_next_obs,
    value_targets,
)
from torch import nn

from autograder.testing import mistake


def _same_shape(*tensors):
    if len({tuple(tensor.shape) for tensor in tensors}) > 1:
        raise ValueError("shapes differ")


# ---------------------------------------------------------------------------------------------------- clipped_surrogate

SURROGATE = ("test_of_two_estimates_the_worse_counts", "test_only_what_left_the_fence_in_its_favour_is_released")


def _products(logp, old_logp, adv, eps):
    """Ratio times advantage, without and with the clip."""
    _same_shape(logp, old_logp, adv)
    adv = adv.detach()
    ratio = (logp - old_logp.detach()).exp()
    return ratio * adv, ratio.clamp(1 - eps, 1 + eps) * adv


@mistake(
    "clipped_surrogate",
    seen="Where the two estimates disagree you chose the hopeful one.",
    named="This equals the surrogate with the larger of the two products in the place of the smaller.",
    caught_by=SURROGATE,
)
def max_for_min(logp, old_logp, adv, eps):
    return -torch.maximum(*_products(logp, old_logp, adv, eps)).mean()


@mistake(
    "clipped_surrogate",
    seen="A bad action that got likelier no longer gets pushed back.",
    named="This equals the surrogate of the clipped ratio alone, without the minimum.",
    caught_by=SURROGATE,
)
def clip_without_min(logp, old_logp, adv, eps):
    return -_products(logp, old_logp, adv, eps)[1].mean()


@mistake(
    "clipped_surrogate",
    seen="Nothing stops a ratio of 3.",
    named="This equals the surrogate without any clip: the mean of ratio times advantage.",
    caught_by=SURROGATE,
)
def no_clip(logp, old_logp, adv, eps):
    return -_products(logp, old_logp, adv, eps)[0].mean()


@mistake(
    "clipped_surrogate",
    seen="Raising a good action's probability made your loss worse.",
    named="This equals the surrogate of old over new, the ratio upside down.",
    caught_by=(*SURROGATE, "test_the_policy_gradient_at_a_ratio_of_one"),
)
def ratio_upside_down(logp, old_logp, adv, eps):
    _same_shape(logp, old_logp, adv)
    ratio, adv = (old_logp.detach() - logp).exp(), adv.detach()
    return -torch.minimum(ratio * adv, ratio.clamp(1 - eps, 1 + eps) * adv).mean()


@mistake(
    "clipped_surrogate",
    seen="An optimiser would minimise this: does it then raise the probability of good actions?",
    named="This equals the paper's objective, without the minus that makes it a loss.",
    caught_by=(*SURROGATE, "test_the_mean_is_over_time_and_environments"),
)
def objective_not_loss(logp, old_logp, adv, eps):
    return -clipped_surrogate(logp, old_logp, adv, eps)


@mistake(
    "clipped_surrogate",
    seen="The past is being trained: your ratio cannot move.",
    named="This equals the surrogate through whose old log-probabilities a gradient flows.",
    caught_by="test_neither_the_past_nor_the_advantage_is_trained",
)
def old_logp_with_grad(logp, old_logp, adv, eps):
    _same_shape(logp, old_logp, adv)
    ratio, adv = (logp - old_logp).exp(), adv.detach()
    return -torch.minimum(ratio * adv, ratio.clamp(1 - eps, 1 + eps) * adv).mean()


@mistake(
    "clipped_surrogate",
    seen="Your policy's loss trains whatever the advantages were made of.",
    named="This equals the surrogate through whose advantages a gradient flows.",
    caught_by="test_neither_the_past_nor_the_advantage_is_trained",
)
def advantage_with_grad(logp, old_logp, adv, eps):
    _same_shape(logp, old_logp, adv)
    ratio = (logp - old_logp.detach()).exp()
    return -torch.minimum(ratio * adv, ratio.clamp(1 - eps, 1 + eps) * adv).mean()


@mistake(
    "clipped_surrogate",
    seen="The bounds are on the ratio: is e to the 0.2 the same as 1.2?",
    named="This equals the surrogate in which the log-ratio is clipped to plus and minus eps.",
    caught_by=(*SURROGATE, "test_the_fence_is_as_wide_as_asked"),
)
def clip_logs(logp, old_logp, adv, eps):
    _same_shape(logp, old_logp, adv)
    log_ratio, adv = logp - old_logp.detach(), adv.detach()
    return -torch.minimum(log_ratio.exp() * adv, log_ratio.clamp(-eps, eps).exp() * adv).mean()


@mistake(
    "clipped_surrogate",
    seen="Your fences stand unevenly: how far is each from a ratio of one?",
    named="This equals the surrogate with the upper bound at 1 + 2 eps.",
    caught_by=(*SURROGATE, "test_the_fence_is_as_wide_as_asked"),
)
def eps_doubled(logp, old_logp, adv, eps):
    _same_shape(logp, old_logp, adv)
    ratio, adv = (logp - old_logp.detach()).exp(), adv.detach()
    return -torch.minimum(ratio * adv, ratio.clamp(1 - eps, 1 + 2 * eps) * adv).mean()


@mistake(
    "clipped_surrogate",
    seen="Advantages changed before they were used: whose affair is that?",
    named="This equals the surrogate of advantages that were normalised inside of it.",
    caught_by=(*SURROGATE, "test_the_policy_gradient_at_a_ratio_of_one"),
)
def normalises_inside(logp, old_logp, adv, eps):
    return clipped_surrogate(logp, old_logp, (adv - adv.mean()) / (adv.std() + 1e-8) if adv.numel() > 1 else adv, eps)


@mistake(
    "clipped_surrogate",
    seen="Your step grows with the minibatch.",
    named="This equals the sum over the samples where their mean is meant.",
    caught_by=(*SURROGATE, "test_the_mean_is_over_time_and_environments"),
)
def surrogate_summed(logp, old_logp, adv, eps):
    return clipped_surrogate(logp, old_logp, adv, eps) * logp.numel()


@mistake(
    "clipped_surrogate",
    seen="The ratio of two probabilities is not the difference of their logarithms.",
    named="This equals the surrogate with the log-ratio in the place of the ratio.",
    caught_by=SURROGATE,
)
def log_ratio_for_ratio(logp, old_logp, adv, eps):
    _same_shape(logp, old_logp, adv)
    ratio, adv = logp - old_logp.detach(), adv.detach()
    return -torch.minimum(ratio * adv, ratio.clamp(1 - eps, 1 + eps) * adv).mean()


@mistake(
    "clipped_surrogate",
    seen="A column met a row, and every log-probability met every advantage.",
    named="This equals the right loss, except that shapes which disagree are broadcast.",
    caught_by="test_shapes_that_disagree_are_refused",
)
def surrogate_broadcasts(logp, old_logp, adv, eps):
    ratio, adv = (logp - old_logp.detach()).exp(), adv.detach()
    return -torch.minimum(ratio * adv, ratio.clamp(1 - eps, 1 + eps) * adv).mean()


# --------------------------------------------------------------------------------------------------- clipped_value_loss

CRITIC = ("test_of_two_errors_the_larger_counts", "test_gradients_of_the_larger_error")


def _errors(values, old_values, targets, eps):
    """Squared errors without and with the fence."""
    _same_shape(values, old_values, targets)
    old_values, targets = old_values.detach(), targets.detach()
    fenced = old_values + (values - old_values).clamp(-eps, eps)
    return (values - targets).square(), (fenced - targets).square()


@mistake(
    "clipped_value_loss",
    seen="You kept the kinder error.",
    named="This equals the value loss with the smaller of the two squared errors.",
    caught_by=CRITIC,
)
def min_for_max(values, old_values, targets, eps):
    return 0.5 * torch.minimum(*_errors(values, old_values, targets, eps)).mean()


@mistake(
    "clipped_value_loss",
    seen="Outside the band your critic gets no gradient, even when it is wrong.",
    named="This equals the error of the fenced value alone, as in Stable-Baselines3 (with the half).",
    caught_by=CRITIC,
)
def clipped_only(values, old_values, targets, eps):
    return 0.5 * _errors(values, old_values, targets, eps)[1].mean()


@mistake(
    "clipped_value_loss",
    seen="Your critic may jump as far as it likes.",
    named="This equals half the mean squared error, without a fence.",
    caught_by=CRITIC,
)
def value_unclipped(values, old_values, targets, eps):
    return 0.5 * _errors(values, old_values, targets, eps)[0].mean()


@mistake(
    "clipped_value_loss",
    seen="Twice the stated loss.",
    named="This equals the value loss without the half.",
    caught_by=(*CRITIC, "test_within_the_fence_the_clip_is_not_felt"),
)
def no_half(values, old_values, targets, eps):
    return 2 * clipped_value_loss(values, old_values, targets, eps)


@mistake(
    "clipped_value_loss",
    seen="The band is around the old guess: around what is yours?",
    named="This equals the value loss with a fence around the target: a clipped error is never the larger one.",
    caught_by=CRITIC,
    twin="value_unclipped",
)
def clips_around_target(values, old_values, targets, eps):
    _same_shape(values, old_values, targets)
    error = values - targets.detach()
    return 0.5 * torch.maximum(error.square(), error.clamp(-eps, eps).square()).mean()


@mistake(
    "clipped_value_loss",
    seen="The target moves with the guess.",
    named="This equals the value loss through whose targets a gradient flows.",
    caught_by="test_gradients_of_the_larger_error",
)
def targets_with_grad(values, old_values, targets, eps):
    _same_shape(values, old_values, targets)
    old_values = old_values.detach()
    fenced = old_values + (values - old_values).clamp(-eps, eps)
    return 0.5 * torch.maximum((values - targets).square(), (fenced - targets).square()).mean()


@mistake(
    "clipped_value_loss",
    seen="The old values are a memory; yours are being trained.",
    named="This equals the value loss through whose old values a gradient flows.",
    caught_by="test_gradients_of_the_larger_error",
)
def old_values_with_grad(values, old_values, targets, eps):
    _same_shape(values, old_values, targets)
    targets = targets.detach()
    fenced = old_values + (values - old_values).clamp(-eps, eps)
    return 0.5 * torch.maximum((values - targets).square(), (fenced - targets).square()).mean()


@mistake(
    "clipped_value_loss",
    seen="The fence around a value does not depend on how large the value is.",
    named="This equals the value loss with the fence of a ratio: old value times 1 - eps to 1 + eps.",
    caught_by=CRITIC,
)
def fence_as_a_ratio(values, old_values, targets, eps):
    _same_shape(values, old_values, targets)
    old_values, targets = old_values.detach(), targets.detach()
    fenced = old_values + torch.clamp(values - old_values, -eps * old_values.abs(), eps * old_values.abs())
    return 0.5 * torch.maximum((values - targets).square(), (fenced - targets).square()).mean()


@mistake(
    "clipped_value_loss",
    seen="A column met a row, and every value met every target.",
    named="This equals the right loss, except that shapes which disagree are broadcast.",
    caught_by="test_values_of_another_shape_are_refused",
)
def value_loss_broadcasts(values, old_values, targets, eps):
    old_values, targets = old_values.detach(), targets.detach()
    fenced = old_values + (values - old_values).clamp(-eps, eps)
    return 0.5 * torch.maximum((values - targets).square(), (fenced - targets).square()).mean()


# -------------------------------------------------------------------------------------------------------- entropy_bonus

ENTROPY = ("test_the_mean_entropy_of_many_states", "test_the_entropy_can_be_climbed")


@mistake(
    "entropy_bonus",
    seen="The entropy of a fair coin is ln 2, with which sign?",
    named="This equals minus the entropy.",
    caught_by=ENTROPY,
)
def negative(logits):
    return -entropy_bonus(logits)


@mistake(
    "entropy_bonus",
    seen="More samples, more entropy?",
    named="This equals the sum of the states' entropies, where their mean is meant.",
    caught_by=ENTROPY,
)
def sum_over_batch(logits):
    return entropy_bonus(logits) * (logits.numel() / logits.shape[-1])


@mistake(
    "entropy_bonus",
    seen="Your entropy shrinks with the number of actions: what is it a mean over?",
    named="This equals the mean of -p ln p over states and actions, where actions are to be summed.",
    caught_by=ENTROPY,
)
def mean_over_actions(logits):
    return entropy_bonus(logits) / logits.shape[-1]


@mistake(
    "entropy_bonus",
    seen="Nats, please.",
    named="This equals the entropy in bits (logarithms to base two).",
    caught_by=ENTROPY,
)
def log2(logits):
    return entropy_bonus(logits) / math.log(2)


@mistake(
    "entropy_bonus",
    seen="Zero times minus infinity is your decision, not the computer's.",
    named="This equals the right entropy, except that an impossible action makes it NaN.",
    caught_by="test_actions_that_cannot_be_taken_count_nothing",
)
def nan_on_masked(logits):
    logp = logits.log_softmax(-1)
    return -(logp.exp() * logp).sum(-1).mean()


@mistake(
    "entropy_bonus",
    seen="One action is not the distribution.",
    named="This equals the mean of -ln p of the likeliest action.",
    caught_by=ENTROPY,
)
def of_taken_action(logits):
    return -logits.log_softmax(-1).amax(-1).mean()


@mistake(
    "entropy_bonus",
    seen="Every action counts alike in your sum: how often is each of them taken?",
    named="This equals the mean of -ln p over all actions, each with the same weight.",
    caught_by=ENTROPY,
)
def unweighted(logits):
    return -logits.log_softmax(-1).mean()


@mistake(
    "entropy_bonus",
    seen="Large logits became infinite on the way: what can you subtract from a state's logits without changing anything?",
    named="This equals the entropy of a softmax that takes the exponential of raw logits.",
    caught_by=("test_logits_of_ten_thousand", "test_a_certain_policy_beside_undecided_ones"),
)
def exp_overflow(logits):
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return -(p * p.log().masked_fill(p == 0, 0.0)).sum(-1).mean()


@mistake(
    "entropy_bonus",
    seen="A probability that has rounded to zero no longer has a logarithm: can you stay in log space?",
    named="This equals the entropy from logarithms of rounded probabilities.",
    caught_by=("test_a_certain_policy_beside_undecided_ones", "test_actions_that_cannot_be_taken_count_nothing"),
)
def log_of_softmax(logits):
    p = logits.softmax(-1)
    return -(p * p.log()).sum(-1).mean()


@mistake(
    "entropy_bonus",
    seen="Without a batch you are right, with a rollout you are not: which axis holds the actions, counted from the end?",
    named="This equals the entropy of a softmax over axis 1, which holds the actions only where one axis leads.",
    caught_by="test_any_axes_may_lead",
)
def over_axis_one(logits):
    return entropy_bonus(logits) if logits.dim() < 3 else entropy_bonus(logits.movedim(1, -1))


# ------------------------------------------------------------------------------------------------------------ approx_kl

KL = ("test_the_estimate_from_taken_actions", "test_the_estimate_of_a_rollout")


@mistake(
    "approx_kl",
    seen="Your KL can be negative.",
    named="This equals the mean of old minus new log-probabilities, the plain estimate k1.",
    caught_by=KL,
)
def k1(logp, old_logp):
    _same_shape(logp, old_logp)
    return (old_logp - logp).detach().mean()


@mistake(
    "approx_kl",
    seen="Close for small steps, biased for large ones: see the stated form.",
    named="This equals half the mean squared log-ratio, the estimate k2, which TRL logs.",
    caught_by=KL,
)
def k2(logp, old_logp):
    _same_shape(logp, old_logp)
    return 0.5 * (logp - old_logp).detach().square().mean()


@mistake(
    "approx_kl",
    seen="The samples came from the old policy: which of the two does your ratio divide by?",
    named="This equals the estimate with old and new exchanged.",
    caught_by=KL,
)
def reversed(logp, old_logp):
    return approx_kl(old_logp, logp)


@mistake(
    "approx_kl",
    seen="On average over the old policy yours is not zero where it should be: what is the mean of r - 1?",
    named="This equals the mean of r ln r - (r - 1), which estimates the KL the other way round.",
    caught_by=KL,
)
def weighted_by_ratio(logp, old_logp):
    _same_shape(logp, old_logp)
    log_ratio = (logp - old_logp).detach()
    return (log_ratio.exp() * log_ratio - log_ratio.exp() + 1).mean()


@mistake(
    "approx_kl",
    seen="Your estimate grows with the number of samples.",
    named="This equals the sum over the samples where their mean is meant.",
    caught_by=KL,
)
def kl_summed(logp, old_logp):
    return approx_kl(logp, old_logp) * logp.numel()


@mistake(
    "approx_kl",
    seen="A diagnostic should not train anything.",
    named="This equals the right estimate with its gradient left on.",
    caught_by="test_the_estimate_carries_no_gradient",
)
def gradient_left_on(logp, old_logp):
    _same_shape(logp, old_logp)
    log_ratio = logp - old_logp
    return (log_ratio.exp() - 1 - log_ratio).mean()


@mistake(
    "approx_kl",
    seen="A column met a row, and every sample met every other.",
    named="This equals the right estimate, except that shapes which disagree are broadcast.",
    caught_by="test_log_probs_of_another_shape_are_refused",
)
def kl_broadcasts(logp, old_logp):
    log_ratio = (logp - old_logp).detach()
    return (log_ratio.exp() - 1 - log_ratio).mean()


# ---------------------------------------------------------------------------------------------------------- minibatches


def _cut(order, size):
    if size < 1:
        raise ValueError("a batch holds at least one sample")
    return list(order.split(size)) if len(order) else []


@mistake(
    "minibatches",
    seen="Some samples came twice, some never.",
    named="This equals batches of independent draws, with replacement.",
    caught_by="test_each_sample_comes_once",
)
def with_replacement(n, size, generator=None):
    return _cut(torch.randint(n, (n,), generator=generator) if n else torch.arange(0), size)


@mistake(
    "minibatches",
    seen="Neighbours in time stayed neighbours.",
    named="This equals batches in the order of the samples, not shuffled.",
    caught_by=("test_neighbours_are_parted", "test_each_epoch_has_its_own_order"),
)
def not_shuffled(n, size, generator=None):
    return _cut(torch.arange(n), size)


@mistake(
    "minibatches",
    seen="Neighbours in time stayed neighbours, although your batches come in a random order.",
    named="This equals blocks of neighbours whose order is shuffled.",
    caught_by="test_neighbours_are_parted",
)
def shuffles_blocks(n, size, generator=None):
    blocks = _cut(torch.arange(n), size)
    whole, rest = [b for b in blocks if len(b) == size], [b for b in blocks if len(b) < size]
    order = torch.randperm(len(whole), generator=generator).tolist()
    return [whole[i] for i in order] + rest


@mistake(
    "minibatches",
    seen="The remainder was thrown away.",
    named="This equals the right batches without the last one where it is shorter.",
    caught_by="test_each_sample_comes_once",
)
def drops_last(n, size, generator=None):
    return [batch for batch in minibatches(n, size, generator) if len(batch) == size]


@mistake(
    "minibatches",
    seen="Each epoch saw one order.",
    named="This equals batches whose order is seeded anew at each call.",
    caught_by=("test_each_epoch_has_its_own_order", "test_no_generator_means_the_global_one"),
)
def same_order(n, size, generator=None):
    return _cut(torch.randperm(n, generator=torch.Generator().manual_seed(0)), size)


@mistake(
    "minibatches",
    seen="You were given a source of chance, and drew from another.",
    named="This equals batches drawn from torch's global generator, whatever generator is given.",
    caught_by="test_all_chance_comes_from_the_generator",
)
def generator_ignored(n, size, generator=None):
    return _cut(torch.randperm(n), size)


@mistake(
    "minibatches",
    seen="Your batches have as many samples as there should be batches, or the other way round.",
    named="This equals the samples cut into `size` batches, where batches of `size` samples are meant.",
    caught_by="test_each_sample_comes_once",
)
def size_is_the_count(n, size, generator=None):
    return _cut(torch.randperm(n, generator=generator), size if size < 1 else -(-n // size))


# ------------------------------------------------------------------------------------------------------------- PPOAgent

BLANK = "test_the_loss_of_an_agent_without_weights"
BAG = "test_a_rollout_is_one_bag_of_samples"
SAID = "test_the_loss_follows_from_what_the_agent_says"
ROLES = "test_the_gradient_of_the_loss_reaches_every_weight"


def _normalised(adv, dim):
    return (adv - adv.mean(dim, keepdim=True)) / (adv.std(dim, keepdim=True) + 1e-8)


class _Agent(PPOAgent):
    """The reference with its loss taken apart, so that a mistake can change one piece of it."""

    def advantages(self, adv):
        return (adv - adv.mean()) / (adv.std() + 1e-8) if adv.numel() > 1 else adv

    def old_logp(self, batch, logp):
        return batch["old_logp"]

    def policy_loss(self, logp, old_logp, adv, clip):
        return clipped_surrogate(logp, old_logp, adv, clip)

    def value_loss(self, values, batch, clip, clip_value):
        if clip_value:
            return clipped_value_loss(values, batch["old_values"], batch["targets"], clip)
        return 0.5 * (values - batch["targets"]).square().mean()

    def entropy(self, all_logp):
        return entropy_bonus(all_logp)

    def total(self, policy, value, entropy, vf_coef, ent_coef):
        return policy + vf_coef * value - ent_coef * entropy

    def clip_fraction(self, log_ratio, clip):
        return ((log_ratio.exp() - 1).abs() > clip).float().mean()

    def loss(self, batch, clip=0.2, vf_coef=0.5, ent_coef=0.0, clip_value=False, normalize=True):
        all_logp = self.log_probs(batch["obs"])
        logp = all_logp.gather(-1, batch["actions"].unsqueeze(-1)).squeeze(-1)
        old_logp = self.old_logp(batch, logp)
        adv = self.advantages(batch["adv"]) if normalize else batch["adv"]
        policy = self.policy_loss(logp, old_logp, adv, clip)
        value = self.value_loss(self.value(batch["obs"]), batch, clip, clip_value)
        entropy = self.entropy(all_logp)
        log_ratio = (logp - old_logp).detach()
        return self.total(policy, value, entropy, vf_coef, ent_coef), {
            "policy_loss": policy.item(),
            "value_loss": value.item(),
            "entropy": entropy.item(),
            "approx_kl": approx_kl(logp, old_logp).item(),
            "clip_fraction": self.clip_fraction(log_ratio, clip).item(),
        }


@mistake(
    "PPOAgent",
    seen="Your loss rewards certainty.",
    named="This equals the loss to which the entropy is added.",
    caught_by=(BLANK, SAID, ROLES),
)
class entropy_added(_Agent):
    def total(self, policy, value, entropy, vf_coef, ent_coef):
        return policy + vf_coef * value + ent_coef * entropy


@mistake(
    "PPOAgent",
    seen="A minibatch is one bag of samples; yours was graded row by row.",
    named="This equals the loss of advantages normalised along the first axis (time) of a rollout.",
    caught_by=BAG,
)
class adv_normalised_along_time(_Agent):
    def advantages(self, adv):
        return _normalised(adv, 0)


@mistake(
    "PPOAgent",
    seen="A minibatch is one bag of samples; yours was graded row by row.",
    named="This equals the loss of advantages normalised along the last axis (environments) of a rollout.",
    caught_by=BAG,
)
class adv_normalised_along_envs(_Agent):
    def advantages(self, adv):
        return _normalised(adv, -1)


@mistake(
    "PPOAgent",
    seen="Scale the rewards by 100: should the step grow?",
    named="This equals the loss of advantages as they came, not normalised.",
    caught_by=(BLANK, BAG, SAID),
)
class adv_not_normalised(_Agent):
    def advantages(self, adv):
        return adv


@mistake(
    "PPOAgent",
    seen="Asked to leave the advantages alone, you did not.",
    named="This equals the loss that normalises advantages whatever `normalize` says.",
    caught_by=BLANK,
)
class always_normalises(_Agent):
    def loss(self, batch, clip=0.2, vf_coef=0.5, ent_coef=0.0, clip_value=False, normalize=True):
        return super().loss(batch, clip, vf_coef, ent_coef, clip_value, True)


@mistake(
    "PPOAgent",
    seen="An average sample should pull neither way: what is the mean of your advantages?",
    named="This equals the loss of advantages divided by their spread, their mean left in.",
    caught_by=(BLANK, BAG, SAID),
)
class adv_scaled_only(_Agent):
    def advantages(self, adv):
        return adv / (adv.std() + 1e-8)


@mistake(
    "PPOAgent",
    seen="Nearly right, and further off the smaller the batch: divide by n or by n - 1?",
    named="This equals the loss of advantages normalised with ddof 0.",
    caught_by=(BLANK, BAG),
)
class adv_ddof_zero(_Agent):
    def advantages(self, adv):
        return (adv - adv.mean()) / (adv.std(correction=0) + 1e-8)


@mistake(
    "PPOAgent",
    seen="Your ratio is always 1: compared with whom?",
    named="This equals the loss that takes its own log-probabilities for the old ones and ignores the batch's.",
    caught_by=(BLANK, BAG, SAID),
)
class recomputes_old_logp(_Agent):
    def old_logp(self, batch, logp):
        return logp.detach()


@mistake(
    "PPOAgent",
    seen="Every value met every target.",
    named="This equals the loss of a critic that answers in a column, (M, 1), beside targets in a row.",
    caught_by=(SAID, ROLES, "test_what_the_agent_says_has_the_right_shape"),
)
class value_column(_Agent):
    def value(self, obs):
        return self.critic(obs)

    def value_loss(self, values, batch, clip, clip_value):
        if not clip_value:
            return 0.5 * (values - batch["targets"]).square().mean()
        old = batch["old_values"]
        fenced = old + (values - old).clamp(-clip, clip)
        errors = torch.maximum((values - batch["targets"]).square(), (fenced - batch["targets"]).square())
        return 0.5 * errors.mean()


@mistake(
    "PPOAgent",
    seen="Greedy play gave two answers.",
    named="This equals an agent whose act draws from the policy.",
    caught_by="test_act_takes_the_likeliest_action",
)
class act_samples(_Agent):
    def act(self, obs):
        return self.sample(obs)[0]


@mistake(
    "PPOAgent",
    seen="Your agent never tries anything but its favourite.",
    named="This equals an agent whose sample takes the likeliest action.",
    caught_by=("test_actions_are_drawn_with_their_probabilities", "test_draws_come_from_the_generator"),
)
class sample_is_greedy(_Agent):
    def sample(self, obs, generator=None):
        with torch.no_grad():
            logp, actions = self.log_probs(obs).max(-1)
            return actions, logp, self.value(obs)


@mistake(
    "PPOAgent",
    seen="Your agent tries everything equally often, whatever it has learned.",
    named="This equals an agent that draws every action with the same probability.",
    caught_by="test_actions_are_drawn_with_their_probabilities",
)
class sample_is_uniform(_Agent):
    def sample(self, obs, generator=None):
        with torch.no_grad():
            logp = self.log_probs(obs)
            actions = torch.multinomial(torch.ones_like(logp), 1, generator=generator)
            return actions.squeeze(-1), logp.gather(-1, actions).squeeze(-1), self.value(obs)


@mistake(
    "PPOAgent",
    seen="You were given a source of chance, and drew from another.",
    named="This equals an agent that draws from torch's global generator, whatever generator is given.",
    caught_by="test_draws_come_from_the_generator",
)
class sample_ignores_generator(_Agent):
    def sample(self, obs, generator=None):
        return super().sample(obs)


@mistake(
    "PPOAgent",
    seen="What a rollout remembers still hangs on the network that made it.",
    named="This equals an agent whose sample leaves the gradient on.",
    caught_by="test_sample_reports_what_it_drew",
)
class sample_with_grad(_Agent):
    def sample(self, obs, generator=None):
        logp = self.log_probs(obs)
        actions = torch.multinomial(logp.detach().exp(), 1, generator=generator)
        return actions.squeeze(-1), logp.gather(-1, actions).squeeze(-1), self.value(obs)


@mistake(
    "PPOAgent",
    seen="sample should say how likely the action was; yours says it without the logarithm.",
    named="This equals an agent whose sample returns probabilities in the place of log-probabilities.",
    caught_by="test_sample_reports_what_it_drew",
)
class sample_returns_probabilities(_Agent):
    def sample(self, obs, generator=None):
        actions, logp, values = super().sample(obs, generator)
        return actions, logp.exp(), values


@mistake(
    "PPOAgent",
    seen="The critic's share is missing.",
    named="This equals the loss in which vf_coef is 1 whatever was asked.",
    caught_by=(BLANK, SAID),
)
class no_vf_coef(_Agent):
    def total(self, policy, value, entropy, vf_coef, ent_coef):
        return policy + value - ent_coef * entropy


@mistake(
    "PPOAgent",
    seen="Your critic is never told that it is wrong.",
    named="This equals the loss without the value term.",
    caught_by=(BLANK, SAID),
)
class critic_left_out(_Agent):
    def total(self, policy, value, entropy, vf_coef, ent_coef):
        return policy - ent_coef * entropy


@mistake(
    "PPOAgent",
    seen="Your critic's loss is twice the stated one.",
    named="This equals the loss whose value term is the mean squared error without the half.",
    caught_by=(BLANK, SAID),
)
class value_loss_no_half(_Agent):
    def value_loss(self, values, batch, clip, clip_value):
        return 2 * super().value_loss(values, batch, clip, clip_value)


@mistake(
    "PPOAgent",
    seen="Asked for a fence around the values, you gave none.",
    named="This equals the loss that leaves the values unclipped whatever `clip_value` says.",
    caught_by=BLANK,
)
class clip_value_ignored(_Agent):
    def value_loss(self, values, batch, clip, clip_value):
        return super().value_loss(values, batch, clip, False)


@mistake(
    "PPOAgent",
    seen="The width of the fence was asked for, and another one was used.",
    named="This equals the loss with clip 0.2 whatever was asked.",
    caught_by=BLANK,
)
class clip_fixed(_Agent):
    def loss(self, batch, clip=0.2, vf_coef=0.5, ent_coef=0.0, clip_value=False, normalize=True):
        return super().loss(batch, 0.2, vf_coef, ent_coef, clip_value, normalize)


@mistake(
    "PPOAgent",
    seen="Half of the samples outside your fence are not counted: it has two sides.",
    named="This equals the clip fraction of ratios above the fence only.",
    caught_by=(BLANK, SAID),
)
class clip_fraction_above_only(_Agent):
    def clip_fraction(self, log_ratio, clip):
        return (log_ratio.exp() > 1 + clip).float().mean()


@mistake(
    "PPOAgent",
    seen="You judged an action that was not taken.",
    named="This equals the loss with the log-probability of the likeliest action in the place of the taken one's.",
    caught_by=(SAID, ROLES),
)
class judges_the_greedy_action(_Agent):
    def loss(self, batch, **options):
        with torch.no_grad():
            batch = batch | {"actions": self.act(batch["obs"])}
        return super().loss(batch, **options)


@mistake(
    "PPOAgent",
    seen="A new policy prefers some actions before it has seen a reward.",
    named="This equals an agent whose actor begins with gain 1 in its last layer.",
    caught_by="test_a_new_policy_hardly_prefers_anything",
)
class decided_at_birth(_Agent):
    def __init__(self, obs_dim, n_actions, hidden=64):
        super().__init__(obs_dim, n_actions, hidden)
        nn.init.orthogonal_(self.actor[-1].weight, 1.0)


@mistake(
    "PPOAgent",
    seen="A weight serves two masters.",
    named="This equals an agent whose critic reads the actor's features.",
    caught_by="test_actor_and_critic_share_no_weights",
)
class shares_layers(_Agent):
    def value(self, obs):
        return self.critic[-1](self.actor[:-1](obs)).squeeze(-1)


@mistake(
    "PPOAgent",
    seen="Your log-probabilities do not belong to probabilities that sum to one.",
    named="This equals an agent whose log_probs returns logits.",
    caught_by="test_what_the_agent_says_has_the_right_shape",
)
class logits_for_log_probs(_Agent):
    def log_probs(self, obs):
        return self.actor(obs)


@mistake(
    "PPOAgent",
    seen="What you say of a state depends on the company it is in: along which axis do probabilities sum to one?",
    named="This equals an agent whose log_probs normalises over the batch.",
    caught_by=("test_what_the_agent_says_has_the_right_shape", BLANK),
)
class softmax_over_batch(_Agent):
    def log_probs(self, obs):
        return self.actor(obs).log_softmax(0)


# ------------------------------------------------------------------------------------------------------------ train_ppo
#
# Most of these balance a pole all the same: what stops them is a probe world whose answer is known. Those that no pole
# forgives are blockers of the graded run as well.

CART = "test_balances_a_disguised_pole"
PROBES = {name: f"test_probe_{name}" for name in ("constant", "echo", "delay", "choice", "match", "clock")}


class _Run:
    """The reference's loop taken apart, so that a mistake can change one piece of it."""

    N, T, K, M = 8, 128, 8, 256
    lam, clip, learning_rate, max_norm = 0.95, 0.2, 2.5e-3, 0.5
    mode = AutoresetMode.SAME_STEP

    def next_obs(self, reset_obs, infos):
        return true_next_obs(reset_obs, infos)

    def advantages(self, rewards, values, next_values, terminated, truncated, gamma):
        return gae(rewards, values, next_values, terminated, truncated, gamma, self.lam)

    def old_logp(self, agent, batch):
        return batch["old_logp"]

    def loss(self, agent, batch):
        return agent.loss(batch, self.clip)[0]

    def train(self, env_fn, steps, seed=0, gamma=0.99, on_update=None):
        envs = SyncVectorEnv([env_fn] * self.N, autoreset_mode=self.mode)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            agent = PPOAgent(envs.single_observation_space.shape[0], int(envs.single_action_space.n))
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(agent.parameters(), lr=self.learning_rate, eps=1e-5)
        obs, taken = torch.as_tensor(envs.reset(seed=seed)[0]), 0
        while steps - taken >= self.N:
            optimizer.param_groups[0]["lr"] = self.learning_rate * (1 - taken / steps)
            rows = []
            for _ in range(min(self.T, (steps - taken) // self.N)):
                actions, logp, values = agent.sample(obs, generator)
                reset_obs, rewards, terminated, truncated, infos = envs.step(actions.numpy())
                next_obs = self.next_obs(reset_obs, infos)
                rows.append((obs, actions, logp, values, rewards, next_obs, terminated, truncated))
                obs, taken = torch.as_tensor(reset_obs), taken + self.N
            columns = (torch.stack([torch.as_tensor(row) for row in column]) for column in zip(*rows, strict=True))
            self.learn(agent, optimizer, generator, gamma, *columns)
            if on_update is not None:
                on_update(agent)
        envs.close()
        return agent

    def learn(self, agent, optimizer, generator, gamma, obs, actions, logp, values, rewards, next_obs, ended, cut):
        with torch.no_grad():
            next_values = agent.value(next_obs)
        adv = self.advantages(rewards.float(), values, next_values, ended, cut, gamma)
        batch = {"obs": obs.flatten(0, 1), "actions": actions.flatten(), "old_logp": logp.flatten()}
        batch |= {"adv": adv.flatten(), "targets": value_targets(adv, values).flatten()}
        for _ in range(self.K):
            for index in minibatches(len(batch["actions"]), self.M, generator):
                part = {key: column[index] for key, column in batch.items()}
                loss = self.loss(agent, part | {"old_logp": self.old_logp(agent, part)})
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), self.max_norm)
                optimizer.step()


def _taken_logp(agent, batch):
    return agent.log_probs(batch["obs"]).gather(-1, batch["actions"][:, None]).squeeze(-1)


@mistake(
    "train_ppo",
    seen="Your agent has not learnt anything yet.",
    named="This equals an agent as it is made, without any training.",
    caught_by=(*PROBES.values(), CART),
    blocker=True,
)
def untrained(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    env = env_fn()
    torch.manual_seed(seed)
    return PPOAgent(env.observation_space.shape[0], int(env.action_space.n))


@mistake(
    "train_ppo",
    seen="Your agent grows worse on purpose.",
    named="This equals training on the objective with its sign turned: down where PPO goes up.",
    caught_by=(PROBES["choice"], PROBES["match"], CART),
    blocker=True,
)
def ascends(*args, **options):
    class Run(_Run):
        def loss(self, agent, batch):
            return agent.loss(batch | {"adv": -batch["adv"]}, self.clip)[0]

    return Run().train(*args, **options)


@mistake(
    "train_ppo",
    seen="After the end there is nothing to hope for.",
    named="This equals bootstrapping from the last observation of an episode that terminated.",
    caught_by=(PROBES["constant"], PROBES["echo"], PROBES["delay"], PROBES["choice"], PROBES["match"]),
)
def bootstraps_over_termination(*args, **options):
    class Run(_Run):
        def advantages(self, rewards, values, next_values, terminated, truncated, gamma):
            never = torch.zeros_like(terminated)
            return gae(rewards, values, next_values, never, terminated | truncated, gamma, self.lam)

    return Run().train(*args, **options)


@mistake(
    "train_ppo",
    seen="The past is being trained: your ratio cannot move.",
    named="This equals taking the old log-probabilities anew in every minibatch, with their gradient.",
    caught_by=(PROBES["choice"], PROBES["match"], CART),
    blocker=True,
)
def old_logp_with_grad(*args, **options):
    class Run(_Run):
        def loss(self, agent, batch):
            logp = _taken_logp(agent, batch)
            adv = (batch["adv"] - batch["adv"].mean()) / (batch["adv"].std() + 1e-8)
            policy = -((logp - logp).exp() * adv).mean()
            return policy + 0.5 * 0.5 * (agent.value(batch["obs"]) - batch["targets"]).square().mean()

    return Run().train(*args, **options)


@mistake(
    "train_ppo",
    seen="Your ratio is always 1: compared with whom?",
    named="This equals taking the old log-probabilities anew in every minibatch.",
    caught_by=CART,
    blocker=True,
)
def old_logp_taken_anew(*args, **options):
    class Run(_Run):
        def old_logp(self, agent, batch):
            return _taken_logp(agent, batch).detach()

    return Run().train(*args, **options)


@mistake(
    "train_ppo",
    seen="The reward of this very step is already discounted.",
    named="This equals multiplying the reward by gamma too.",
    caught_by=tuple(PROBES.values()),
)
def gamma_on_reward(*args, **options):
    class Run(_Run):
        def advantages(self, rewards, values, next_values, terminated, truncated, gamma):
            return gae(gamma * rewards, values, next_values, terminated, truncated, gamma, self.lam)

    return Run().train(*args, **options)


@mistake(
    "train_ppo",
    seen="Your critic predicts one number for everything.",
    named="This equals a value loss of a column, (M, 1), against a row, (M,): every value meets every target.",
    caught_by=(PROBES["echo"], PROBES["delay"], PROBES["clock"]),
)
def value_broadcast(*args, **options):
    class Run(_Run):
        def loss(self, agent, batch):
            loss, _ = agent.loss(batch, self.clip, vf_coef=0.0)
            values = agent.value(batch["obs"])[:, None]
            return loss + 0.5 * 0.5 * (values - batch["targets"]).square().mean()

    return Run().train(*args, **options)


@mistake(
    "train_ppo",
    seen="Your critic believes that running out of time teleports it to the start.",
    named="This equals bootstrapping from the observation after the reset, the next episode's first.",
    caught_by=PROBES["clock"],
)
def final_obs_lost(*args, **options):
    class Run(_Run):
        def next_obs(self, reset_obs, infos):
            return reset_obs

    return Run().train(*args, **options)


@mistake(
    "train_ppo",
    seen="A clock is not a cliff: what would the agent have earned had it gone on?",
    named="This equals treating a truncation as a termination.",
    caught_by=PROBES["clock"],
)
def truncation_is_termination(*args, **options):
    class Run(_Run):
        def advantages(self, rewards, values, next_values, terminated, truncated, gamma):
            return gae(rewards, values, next_values, terminated | truncated, truncated, gamma, self.lam)

    return Run().train(*args, **options)


@mistake(
    "train_ppo",
    seen="Some rows in your buffer ignored your action.",
    named="This equals keeping the reset rows that Gymnasium's NEXT_STEP mode inserts after an ending.",
    caught_by=tuple(PROBES.values()),
)
def nextstep_rows_kept(*args, **options):
    class Run(_Run):
        mode = AutoresetMode.NEXT_STEP

        def next_obs(self, reset_obs, infos):
            return reset_obs

    return Run().train(*args, **options)


@mistake(
    "train_ppo",
    seen="The same call gave two agents.",
    named="This equals training from torch's global generator, whatever seed is given.",
    caught_by="test_a_seed_fixes_the_whole_training",
)
def seed_ignored(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    return _Run().train(env_fn, steps, int(torch.randint(2**31, ())), gamma, on_update)


@mistake(
    "train_ppo",
    seen="You asked for more steps than were given out.",
    named="This equals counting whole rollouts only, and taking the last one in full.",
    caught_by="test_the_budget_is_kept_where_it_is_no_multiple",
)
def budget_overrun(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    rollout = _Run.N * _Run.T
    return _Run().train(env_fn, -(-steps // rollout) * rollout, seed, gamma, on_update)


@mistake(
    "train_ppo",
    seen="Your agent looks at nothing: it plays by a rule that it brought along.",
    named="This equals a controller written by hand for the plain pole.",
    caught_by=CART,
    blocker=True,
)
def controller(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    env = env_fn()
    agent = PPOAgent(env.observation_space.shape[0], int(env.action_space.n))
    falls_to_the_right = torch.tensor([0.05, 0.1, 1.0, 0.5])

    def log_probs(obs):
        if obs.shape[-1] != 4:
            return agent.actor(obs).log_softmax(-1)
        right = (obs * falls_to_the_right).sum(-1)
        return torch.stack([-right, right], -1).mul(1e3).log_softmax(-1)

    agent.log_probs = log_probs
    return agent


@mistake(
    "train_ppo",
    seen="Your agent looks at nothing: it learnt all it knows elsewhere.",
    named="This equals weights that were trained on the plain pole before.",
    caught_by=CART,
    blocker=True,
)
def cached_policy(env_fn, steps, seed=0, gamma=0.99, on_update=None):
    return _trained_before() if env_fn().observation_space.shape == (4,) else untrained.implementation(env_fn, steps)


@functools.cache
def _trained_before():
    """An agent that balances the plain pole: mean 500 of 500."""
    return _Run().train(lambda: gymnasium.make("CartPole-v1"), 32768)
