"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import copy

import torch
from common.preferences import frozen_copy, generate
from gae import gae
from reference import (
    EOS,
    LONGEST,
    PAD,
    AdaptiveKLController,
    kl_estimators,
    kl_penalised_rewards,
    response_mask,
    token_log_probs,
    whiten,
)

from autograder.testing import mistake

# ------------------------------------------------------------------------------------------------------ token_log_probs

NEXT = "test_each_column_speaks_of_the_next_token"
TEMPERED = "test_the_temperature_is_that_of_the_draw"


@mistake(
    "token_log_probs",
    seen="You read the probability of the token that was given, not of the one that came next.",
    named="This equals the log-probability of tokens[:, t] under logits[:, t].",
    caught_by=(NEXT, TEMPERED),
)
def wrong_token_gathered(logits, tokens, temperature=1.0):
    token_log_probs(logits, tokens, temperature)
    return token_log_probs(logits, tokens.roll(1, dims=1), temperature)


@mistake(
    "token_log_probs",
    seen="Your logits have already read the token whose probability you take.",
    named="This equals logits[:, 1:] with tokens[:, 1:]: both lost their first column.",
    caught_by=(NEXT, TEMPERED),
)
def logits_one_late(logits, tokens, temperature=1.0):
    token_log_probs(logits, tokens, temperature)
    return token_log_probs(logits.roll(-1, dims=1), tokens, temperature)


@mistake(
    "token_log_probs",
    seen="The stored log-probs are not those of the distribution that produced the tokens, so the first ratio is not one.",
    named="This equals log-probabilities at temperature 1, whatever the temperature was.",
    caught_by=TEMPERED,
)
def temperature_ignored(logits, tokens, temperature=1.0):
    token_log_probs(logits, tokens, temperature)
    return token_log_probs(logits, tokens)


@mistake(
    "token_log_probs",
    seen="A higher temperature makes your model surer.",
    named="This equals logits multiplied by the temperature.",
    caught_by=TEMPERED,
)
def temperature_inverted(logits, tokens, temperature=1.0):
    token_log_probs(logits, tokens, temperature)
    return token_log_probs(logits, tokens, 1 / temperature)


@mistake(
    "token_log_probs",
    seen="Your log-probabilities are scaled; do their exponentials still sum to one?",
    named="This equals log-probabilities at temperature 1, divided by the temperature afterwards.",
    caught_by=TEMPERED,
)
def divided_after_the_softmax(logits, tokens, temperature=1.0):
    return token_log_probs(logits, tokens, 1.0 + 0 * temperature if temperature > 0 else temperature) / temperature


@mistake(
    "token_log_probs",
    seen="Some of your log-probabilities are above 0.",
    named="This equals the logits of the tokens, without a softmax.",
    caught_by=(NEXT, TEMPERED),
)
def not_normalised(logits, tokens, temperature=1.0):
    token_log_probs(logits, tokens, temperature)
    return (logits[:, :-1] / temperature).gather(2, tokens[:, 1:, None])[..., 0]


@mistake(
    "token_log_probs",
    seen="For a token that is nearly impossible your log-probability is infinite; there is a form that stays finite.",
    named="This equals log(softmax(x)), in two steps: the softmax gives 0 first.",
    caught_by="test_far_logits_stay_finite",
)
def log_of_softmax(logits, tokens, temperature=1.0):
    finite = token_log_probs(logits, tokens, temperature)
    fine = logits[:, :-1].to(finite.dtype) / temperature
    return fine.softmax(-1).gather(2, tokens[:, 1:, None])[..., 0].log()


@mistake(
    "token_log_probs",
    seen="Log-probabilities in half precision: how far from one is a ratio of two of them, when nothing has changed?",
    named="This equals a softmax in the logits' own half precision.",
    caught_by="test_half_precision_is_refined",
)
def half_precision_kept(logits, tokens, temperature=1.0):
    token_log_probs(logits, tokens, temperature)
    return (logits[:, :-1] / temperature).log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]


@mistake(
    "token_log_probs",
    seen="An id that the vocabulary does not have got a probability.",
    named="This equals ids that are counted from the end, or cut off at the last.",
    caught_by="test_what_is_no_text_is_refused",
)
def any_id(logits, tokens, temperature=1.0):
    return token_log_probs(logits, tokens.clamp(0, logits.shape[2] - 1), temperature)


# -------------------------------------------------------------------------------------------------------- response_mask

UP_TO = "test_from_the_first_token_to_the_first_end"
OWN = "test_each_row_has_its_own_beginning"
PADDING = "test_padding_is_out"
SHARED = "test_padding_may_have_the_number_of_the_end"


def _masked(prompt_len, tokens, eos, pad, ends=None, first=0):
    """The mask over all T tokens, with other ends or another first token."""
    response_mask(prompt_len, tokens, eos, pad)
    answer = torch.arange(tokens.shape[1]) >= torch.as_tensor(prompt_len).view(-1, 1) - first
    ends = (tokens == eos) & answer if ends is None else ends
    mask = answer & (ends.cumsum(1) - ends.long() == 0)
    return mask & (tokens != pad) if pad is not None and pad != eos else mask


@mistake(
    "response_mask",
    seen="Your mask is one position late: it must mark the column whose prediction is a response token.",
    named="This equals a mask whose column t belongs to tokens[:, t].",
    caught_by=(UP_TO, OWN, PADDING),
)
def mask_off_by_one(prompt_len, tokens, eos, pad=None):
    return _masked(prompt_len, tokens, eos, pad)[:, :-1]


@mistake(
    "response_mask",
    seen="The policy is being charged for words that it did not choose.",
    named="This equals a mask in which the question counts, up to the end of the answer.",
    caught_by=(UP_TO, OWN),
)
def prompt_in_mask(prompt_len, tokens, eos, pad=None):
    answer = torch.arange(tokens.shape[1]) >= torch.as_tensor(prompt_len).view(-1, 1)
    mask = _masked(0, tokens, eos, pad, ends=(tokens == eos) & answer)
    response_mask(prompt_len, tokens, eos, pad)
    return mask[:, 1:]


@mistake(
    "response_mask",
    seen="Positions after the end token still count; nothing there was sampled by decision.",
    named="This equals a mask of everything after the question, without a cut at the end.",
    caught_by=(UP_TO, OWN, SHARED),
)
def pad_in_mask(prompt_len, tokens, eos, pad=None):
    return _masked(prompt_len, tokens, eos, pad, ends=torch.zeros_like(tokens, dtype=torch.bool))[:, 1:]


@mistake(
    "response_mask",
    seen="Ending is an action too; left out, the policy is never taught when to stop.",
    named="This equals a mask that ends before the first end token.",
    caught_by=(UP_TO, OWN, PADDING, SHARED),
)
def eos_out_of_mask(prompt_len, tokens, eos, pad=None):
    return (_masked(prompt_len, tokens, eos, pad) & (tokens != eos))[:, 1:]


@mistake(
    "response_mask",
    seen="An end token inside the prompt closes your response before it starts.",
    named="This equals looking for the first end from column 0.",
    caught_by=(UP_TO, OWN, SHARED),
)
def eos_in_prompt_ends(prompt_len, tokens, eos, pad=None):
    return _masked(prompt_len, tokens, eos, pad, ends=tokens == eos)[:, 1:]


@mistake(
    "response_mask",
    seen="When pad and end token share an id, your mask loses the real end.",
    named="This equals leaving out every token that has padding's number, the end among them.",
    caught_by=SHARED,
    twin="eos_out_of_mask",
)
def mask_from_pad_id(prompt_len, tokens, eos, pad=None):
    mask = _masked(prompt_len, tokens, eos, pad)
    return (mask if pad is None else mask & (tokens != pad))[:, 1:]


@mistake(
    "response_mask",
    seen="Where several ends follow each other, your answer goes on to the last of them.",
    named="This equals a mask up to the last end of the row.",
    caught_by=UP_TO,
)
def up_to_the_last_end(prompt_len, tokens, eos, pad=None):
    mask = _masked(prompt_len, tokens, eos, pad, ends=torch.zeros_like(tokens, dtype=torch.bool))
    answer = torch.arange(tokens.shape[1]) >= torch.as_tensor(prompt_len).view(-1, 1)
    ends = (tokens == eos) & answer
    to_come = ends.flip(1).cumsum(1).flip(1)
    return (mask & ((to_come > 0) | ~ends.any(1, keepdim=True)))[:, 1:]


@mistake(
    "response_mask",
    seen="All your answers begin in one column, though their questions do not end in one.",
    named="This equals the longest question's length for every row.",
    caught_by=OWN,
)
def one_beginning_for_all(prompt_len, tokens, eos, pad=None):
    response_mask(prompt_len, tokens, eos, pad)
    return response_mask(int(torch.as_tensor(prompt_len).max()), tokens, eos, pad)


@mistake(
    "response_mask",
    seen="An answer that was cut off has no end, and your mask goes on into its padding.",
    named="This equals a mask that knows of padding only what follows an end.",
    caught_by=PADDING,
)
def named_padding_kept(prompt_len, tokens, eos, pad=None):
    return response_mask(prompt_len, tokens, eos)


@mistake(
    "response_mask",
    seen="A token with the number 0 was taken for padding. Who said that it is?",
    named="This equals a mask that takes 0 for padding where nobody named it.",
    caught_by=(UP_TO, OWN),
)
def zero_is_padding(prompt_len, tokens, eos, pad=None):
    return response_mask(prompt_len, tokens, eos, 0 if pad is None else pad)


# ------------------------------------------------------------------------------------------------- kl_penalised_rewards

PRICE = "test_a_price_on_each_token_and_a_score_at_the_end"
FINE = "test_in_float32_too"


def _last(mask):
    return mask & (mask.flip(1).cumsum(1).flip(1) == 1)


@mistake(
    "kl_penalised_rewards",
    seen="Moving away from the reference is being paid instead of charged.",
    named="This equals +beta (logp - ref_logp).",
    caught_by=(PRICE, FINE),
)
def kl_reversed(score, logp, ref_logp, mask, beta):
    return kl_penalised_rewards(score, logp, ref_logp, mask, -beta)


@mistake(
    "kl_penalised_rewards",
    seen="You measure the distance but nothing holds the policy to it.",
    named="This equals rewards without the KL term.",
    caught_by=(PRICE, FINE),
)
def kl_logged_not_applied(score, logp, ref_logp, mask, beta):
    return kl_penalised_rewards(score, logp, ref_logp, mask, 0.0)


@mistake(
    "kl_penalised_rewards",
    seen="The policy is being paid for the worst answers.",
    named="This equals minus the score.",
    caught_by=(PRICE, FINE),
)
def reward_sign(score, logp, ref_logp, mask, beta):
    return kl_penalised_rewards(-score, logp, ref_logp, mask, beta)


@mistake(
    "kl_penalised_rewards",
    seen="A long answer collects its score once per token.",
    named="This equals the score on every True position of its row.",
    caught_by=(PRICE, FINE),
)
def score_on_every_token(score, logp, ref_logp, mask, beta):
    return kl_penalised_rewards(score, logp, ref_logp, mask, beta) + score[:, None] * (mask & ~_last(mask))


@mistake(
    "kl_penalised_rewards",
    seen="The score falls on padding and is masked away for every answer that ends early.",
    named="This equals the score in the last column, where the mask lets it through.",
    caught_by=(PRICE, FINE),
)
def score_on_last_column(score, logp, ref_logp, mask, beta):
    rewards = kl_penalised_rewards(torch.zeros_like(score), logp, ref_logp, mask, beta).clone()
    rewards[:, -1] += score * mask[:, -1]
    return rewards


@mistake(
    "kl_penalised_rewards",
    seen="Your score is paid for the first token, before the answer was written.",
    named="This equals the score on each row's first True.",
    caught_by=(PRICE, FINE),
)
def score_on_first_token(score, logp, ref_logp, mask, beta):
    rewards = kl_penalised_rewards(torch.zeros_like(score), logp, ref_logp, mask, beta)
    return rewards + score[:, None] * (mask & (mask.cumsum(1) == 1))


@mistake(
    "kl_penalised_rewards",
    seen="Your score is paid one column after the answer's last.",
    named="This equals the score on the column behind the last True, as TRL's PPOTrainer has it, if there is one.",
    caught_by=(PRICE, FINE),
)
def score_behind_the_last(score, logp, ref_logp, mask, beta):
    rewards = kl_penalised_rewards(torch.zeros_like(score), logp, ref_logp, mask, beta)
    place = torch.where(_last(mask))[1] + 1  # (B,)
    return rewards + score[:, None] * (torch.arange(mask.shape[1]) == place.clamp(max=mask.shape[1] - 1)[:, None])


@mistake(
    "kl_penalised_rewards",
    seen="The question is charged, and padding too.",
    named="This equals a price on every column, True or not.",
    caught_by=(PRICE, FINE),
)
def mask_ignored_by_the_price(score, logp, ref_logp, mask, beta):
    rewards = kl_penalised_rewards(score, logp, ref_logp, mask, beta)
    return torch.where(mask, rewards, -beta * (logp - ref_logp))


@mistake(
    "kl_penalised_rewards",
    seen="The whole price falls due at the last token. Which of them ran it up?",
    named="This equals the sum of a row's prices on its last True, beside the score.",
    caught_by=(PRICE, FINE),
)
def price_at_the_end(score, logp, ref_logp, mask, beta):
    total = kl_penalised_rewards(score, logp, ref_logp, mask, beta).sum(1, keepdim=True)
    return total * _last(mask)


@mistake(
    "kl_penalised_rewards",
    seen="Your price is never paid back: becoming less likely costs as much as becoming likelier.",
    named="This equals a price of k2 or of |k1|, where k1 with its sign was meant: -beta |logp - ref_logp|.",
    caught_by=(PRICE, FINE),
)
def price_without_sign(score, logp, ref_logp, mask, beta):
    return kl_penalised_rewards(score, (logp - ref_logp).abs(), torch.zeros_like(logp), mask, beta)


@mistake(
    "kl_penalised_rewards",
    seen="Your rewards can be differentiated. Which gradient would that be?",
    named="This equals rewards that keep the graph of the log-probabilities.",
    caught_by="test_rewards_carry_no_gradient",
)
def rewards_not_detached(score, logp, ref_logp, mask, beta):
    kl_penalised_rewards(score, logp, ref_logp, mask, beta)
    return torch.where(mask, -beta * (logp - ref_logp) + _last(mask) * score[:, None], 0)


@mistake(
    "kl_penalised_rewards",
    seen="An answer of no tokens got through. Where is its score?",
    named="This equals rows of zeros for rows without True.",
    caught_by="test_what_has_no_place_is_refused",
)
def empty_rows_pass(score, logp, ref_logp, mask, beta):
    if logp.shape != mask.shape or logp.shape != ref_logp.shape or score.shape != logp.shape[:1] or not len(logp):
        raise ValueError("shapes differ")
    if not score.isfinite().all():
        raise ValueError("not finite")
    return torch.where(mask, -beta * (logp - ref_logp) + _last(mask) * score[:, None], 0).detach()


# -------------------------------------------------------------------------------------------------------- kl_estimators

ORDER = "test_three_values_in_this_order"
SLOPES = "test_slopes_go_to_the_policy_alone"
MEAN_SLOPES = "test_what_their_gradients_are_on_average"


@mistake(
    "kl_estimators",
    seen="Check which of your three is never negative and which is unbiased.",
    named="This equals (k1, k3, k2): the second and the third have changed places.",
    caught_by=(ORDER, SLOPES, MEAN_SLOPES),
)
def k2_for_k3(logp, ref_logp):
    k1, k2, k3 = kl_estimators(logp, ref_logp)
    return k1, k3, k2


@mistake(
    "kl_estimators",
    seen="Check which of your three is never negative and which is unbiased: your third can be below 0.",
    named="This equals (k3, k2, k1): the first and the third have changed places.",
    caught_by=(ORDER, SLOPES, MEAN_SLOPES),
)
def k1_for_k3(logp, ref_logp):
    return tuple(reversed(kl_estimators(logp, ref_logp)))


@mistake(
    "kl_estimators",
    seen="On average your first one is not the KL but minus it.",
    named="This equals ref_logp - logp for k1.",
    caught_by=(ORDER, SLOPES),
)
def k1_turned(logp, ref_logp):
    k1, k2, k3 = kl_estimators(logp, ref_logp)
    return -k1, k2, k3


@mistake(
    "kl_estimators",
    seen="Your third estimator is never negative, and still its mean is not the KL. Who drew the samples?",
    named="This equals a ratio that is upside down: exp(logp - ref_logp) - 1 - (logp - ref_logp).",
    caught_by=(ORDER, SLOPES, MEAN_SLOPES),
)
def ratio_upside_down(logp, ref_logp):
    k1, k2, _ = kl_estimators(logp, ref_logp)
    return k1, k2, k1.exp() - 1 - k1


@mistake(
    "kl_estimators",
    seen="For a small distance your second one is twice the others.",
    named="This equals the square of the difference, not its half.",
    caught_by=(ORDER, SLOPES, MEAN_SLOPES),
)
def k2_not_halved(logp, ref_logp):
    k1, k2, k3 = kl_estimators(logp, ref_logp)
    return k1, 2 * k2, k3


@mistake(
    "kl_estimators",
    seen="Your third one is a ratio minus one: its mean is 0, whatever the distance.",
    named="This equals exp(u) - 1, without the minus u.",
    caught_by=(ORDER, SLOPES),
)
def k3_without_its_logarithm(logp, ref_logp):
    k1, k2, k3 = kl_estimators(logp, ref_logp)
    return k1, k2, k3 - k1


@mistake(
    "kl_estimators",
    seen="The reference is being trained as well: a gradient reaches it.",
    named="This equals estimators that do not detach ref_logp.",
    caught_by=SLOPES,
)
def reference_not_detached(logp, ref_logp):
    kl_estimators(logp, ref_logp)
    u = ref_logp - logp
    return -u, u.square() / 2, u.expm1() - u


@mistake(
    "kl_estimators",
    seen="No gradient reaches the policy: a distance that is a loss should pull.",
    named="This equals estimators without any gradient.",
    caught_by=(SLOPES, MEAN_SLOPES),
)
def policy_detached(logp, ref_logp):
    return tuple(k.detach() + 0 * logp for k in kl_estimators(logp, ref_logp))


# ------------------------------------------------------------------------------------------------- AdaptiveKLController

FOLLOWS = "test_the_price_follows_the_distance"


class _Controller(AdaptiveKLController):
    """The reference's controller, with another error or another step."""

    def error(self, kl):
        return min(max(kl / self.target - 1, -0.2), 0.2)

    def step(self, error, n):
        return 1 + error * n / self.horizon

    def update(self, kl, n):
        self.beta *= self.step(self.error(kl), n)
        return self.beta


@mistake(
    "AdaptiveKLController",
    seen="When the policy strays too far your leash gets longer.",
    named="This equals a beta that falls while the KL is above its target.",
    caught_by=FOLLOWS,
)
class controller_inverted(_Controller):
    def error(self, kl):
        return -super().error(kl)


@mistake(
    "AdaptiveKLController",
    seen="One wild batch can multiply the coefficient many times over.",
    named="This equals an error that is not clipped.",
    caught_by=FOLLOWS,
)
class controller_unclipped(_Controller):
    def error(self, kl):
        return kl / self.target - 1


@mistake(
    "AdaptiveKLController",
    seen="How far is too far depends, for you, on the unit: an error of one nat is the same for every target.",
    named="This equals kl - target, clipped, not divided by the target.",
    caught_by=FOLLOWS,
)
class error_not_relative(_Controller):
    def error(self, kl):
        return min(max(kl - self.target, -0.2), 0.2)


@mistake(
    "AdaptiveKLController",
    seen="Ten answers move your beta as far as a thousand.",
    named="This equals an update that knows neither n nor the horizon.",
    caught_by=FOLLOWS,
)
class horizon_ignored(_Controller):
    def step(self, error, n):
        return 1 + error


@mistake(
    "AdaptiveKLController",
    seen="Your small changes are right and your large ones are not: what is clipped, and before what?",
    named="This equals clipping the product with n / horizon, not the error.",
    caught_by=FOLLOWS,
)
class product_clipped(_Controller):
    def error(self, kl):
        return kl / self.target - 1

    def step(self, error, n):
        return 1 + min(max(error * n / self.horizon, -0.2), 0.2)


@mistake(
    "AdaptiveKLController",
    seen="Your beta is pulled back to where it began.",
    named="This equals an update that starts from init_beta each time.",
    caught_by=FOLLOWS,
)
class starts_anew(_Controller):
    def __init__(self, init_beta, target, horizon=10_000):
        super().__init__(init_beta, target, horizon)
        self.init_beta = init_beta

    def update(self, kl, n):
        self.beta = self.init_beta * self.step(self.error(kl), n)
        return self.beta


# --------------------------------------------------------------------------------------------------------------- whiten

CENTRED = "test_what_counts_is_centred_and_scaled"
FEW = "test_few_positions_show_the_divisor"
SMALL = "test_a_small_spread_shows_the_eps"
GARBAGE = "test_garbage_under_a_false_does_not_matter"
ZERO = "test_without_spread_it_is_exactly_zero"


def _whitened(x, mask, shift_mean, mean, var, eps=1e-8):
    whiten(x, mask, shift_mean)
    return torch.where(mask, (x - mean) * torch.rsqrt(var + eps) + (0 if shift_mean else mean), 0)


@mistake(
    "whiten",
    seen="Zeros at padding pull your mean and shrink your spread.",
    named="This equals statistics over all positions, with zeros where the mask is False.",
    caught_by=(CENTRED, FEW),
)
def whiten_counts_pads(x, mask, shift_mean=True):
    filled = torch.where(mask, x, 0)
    return _whitened(x, mask, shift_mean, filled.mean(), filled.var())


@mistake(
    "whiten",
    seen="What stands under a False moves your mean.",
    named="This equals statistics over everything, masked or not.",
    caught_by=(CENTRED, GARBAGE),
)
def whiten_reads_garbage(x, mask, shift_mean=True):
    return _whitened(x, mask, shift_mean, x.mean(), x.var())


@mistake(
    "whiten",
    seen="Your spread is that of a full population; the stated one is of a sample.",
    named="This equals a variance with ddof 0.",
    caught_by=(CENTRED, FEW),
)
def population_variance(x, mask, shift_mean=True):
    whiten(x, mask, shift_mean)
    counted = x[mask]
    if counted.max() == counted.min():
        return whiten(x, mask, shift_mean)
    return _whitened(x, mask, shift_mean, counted.mean(), counted.var(correction=0))


@mistake(
    "whiten",
    seen="A small spread shows it: your 1e-8 is not where the formula has it.",
    named="This equals 1e-8 that is added to the standard deviation.",
    caught_by=SMALL,
)
def eps_outside_the_root(x, mask, shift_mean=True):
    if not shift_mean or x[mask].max() == x[mask].min():
        return whiten(x, mask, shift_mean)
    whiten(x, mask)
    counted = x[mask]
    return torch.where(mask, (x - counted.mean()) / (counted.std() + 1e-8), 0)


@mistake(
    "whiten",
    seen="Somebody asked you to leave the mean where it was.",
    named="This equals whitening with a shift, whatever shift_mean says.",
    caught_by=CENTRED,
)
def always_shifted(x, mask, shift_mean=True):
    return whiten(x, mask)


@mistake(
    "whiten",
    seen="Scaled, but around 0: for shift_mean=False the distances from the mean are to be scaled, not the numbers.",
    named="This equals x over its spread where the mean was to be left.",
    caught_by=CENTRED,
)
def scaled_around_zero(x, mask, shift_mean=True):
    if shift_mean or x[mask].max() == x[mask].min():
        return whiten(x, mask, shift_mean)
    whiten(x, mask)
    return torch.where(mask, x * torch.rsqrt(x[mask].var() + 1e-8), 0)


@mistake(
    "whiten",
    seen="Under a False should stand 0. What will a sum over the row say?",
    named="This equals a whitening that leaves what was under a False, as TRL's masked_whiten does.",
    caught_by=(CENTRED, GARBAGE),
)
def junk_left(x, mask, shift_mean=True):
    whiten(x, mask, shift_mean)
    counted = x[mask]
    if counted.max() == counted.min():
        return whiten(x, mask, shift_mean)
    return (x - counted.mean()) * torch.rsqrt(counted.var() + 1e-8) + (0 if shift_mean else counted.mean())


@mistake(
    "whiten",
    seen="Each of your rows has a mean of 0. A good answer beside a bad one, and both are average?",
    named="This equals whitening each row on its own.",
    caught_by=CENTRED,
)
def rows_on_their_own(x, mask, shift_mean=True):
    whiten(x, mask, shift_mean)
    if x[mask].max() == x[mask].min():
        return whiten(x, mask, shift_mean)
    return torch.stack(
        [
            whiten(row, real, shift_mean) if real.any() else torch.zeros_like(row)
            for row, real in zip(x, mask, strict=True)
        ]
    )


@mistake(
    "whiten",
    seen="Equal numbers should become exactly 0; your mean is off by rounding and the division enlarges it.",
    named="This equals the formula, also where there is no spread.",
    caught_by=ZERO,
)
def rounding_dust(x, mask, shift_mean=True):
    whiten(x, mask, shift_mean)
    counted = x[mask]
    if counted.numel() == 1:
        return whiten(x, mask, shift_mean)
    return _whitened(x, mask, shift_mean, counted.mean(), counted.var())


# --------------------------------------------------------------------------------------------------------- train_ppo_lm

FOUND = "test_a_paid_token_is_found"
COUNTED = "test_rounds_are_counted"
SEED = "test_a_seed_fixes_every_weight"
SAMPLES = "test_answers_are_samples_of_the_policy"
PLEASES = "test_it_pleases_without_going_astray"


class _Run:
    """train_ppo_lm in parts, each of which a mistake exchanges."""

    batch, beta = 128, 0.2

    def train(self, policy, reward_fn, prompts, prompt_mask, iterations, seed):
        P = prompts.shape[1]
        self.generator = self.chance(seed)
        policy.eval()
        reference = self.reference(policy)
        critic, readout = copy.deepcopy(policy), torch.zeros(policy.config["d_model"], requires_grad=True)
        judges = [*critic.parameters(), readout]
        optimizer = torch.optim.Adam([{"params": policy.parameters(), "lr": 5e-4}, {"params": judges, "lr": 1e-3}])
        for _ in range(iterations):
            chosen = torch.randint(len(prompts), (self.batch,), generator=self.generator)
            asked, asked_mask = prompts[chosen], prompt_mask[chosen]
            written, written_mask = self.write(policy, asked, asked_mask)
            score = self.score(reward_fn, asked, written, written_mask)
            tokens, real = torch.cat([asked, written], 1), torch.cat([asked_mask, written_mask], 1)
            mask = response_mask(P, tokens, EOS, PAD)
            with torch.no_grad():
                old_logp, ref_logp = (self.logp(model, tokens, real) for model in (policy, reference))
                values = (critic.hidden(tokens, real) @ readout)[:, :-1]
            rewards = kl_penalised_rewards(score, old_logp, ref_logp, mask, self.beta)
            last, after = _last(mask), torch.nn.functional.pad(values[:, 1:], (0, 1))
            adv = gae(rewards.T, values.T, after.T, last.T, torch.zeros_like(last).T, 1.0, 0.95).T
            targets, adv = adv + values, whiten(adv, mask)
            for _ in range(2):
                for rows in torch.randperm(self.batch, generator=self.generator).chunk(2):
                    used = mask[rows]
                    ratio = (self.logp(policy, tokens[rows], real[rows]) - old_logp[rows]).exp()
                    surrogate = torch.min(ratio * adv[rows], ratio.clamp(0.8, 1.2) * adv[rows])
                    value = (critic.hidden(tokens[rows], real[rows]) @ readout)[:, :-1]
                    loss = -surrogate[used].mean() + 0.5 * (value - targets[rows]).square()[used].mean()
                    optimizer.zero_grad()
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                    torch.nn.utils.clip_grad_norm_(judges, 1.0)
                    optimizer.step()
        return self.returned(policy)

    def chance(self, seed):
        return torch.Generator().manual_seed(seed)

    def reference(self, policy):
        return frozen_copy(policy)

    def write(self, policy, asked, asked_mask):
        return generate(policy, asked, asked_mask, LONGEST, EOS, PAD, generator=self.generator)

    def score(self, reward_fn, asked, written, written_mask):
        return reward_fn(asked, written, written_mask)

    def logp(self, model, tokens, real):
        logits = model(tokens, real)
        return token_log_probs(logits.masked_fill(torch.arange(logits.shape[2]) == PAD, -1e9), tokens)

    def returned(self, policy):
        return policy.eval()


@mistake(
    "train_ppo_lm",
    seen="Your model has not learnt anything yet.",
    named="This equals a model as it came, without any training.",
    caught_by=(FOUND, PLEASES),
    blocker=True,
)
def untrained(policy, reward_fn, prompts, prompt_mask, iterations, seed):
    return policy.eval()


@mistake(
    "train_ppo_lm",
    seen="The policy is being paid for the worst answers.",
    named="This equals training with the sign of the score turned.",
    caught_by=(FOUND, PLEASES),
    blocker=True,
)
def trained_for_the_worst(*args):
    class Run(_Run):
        def score(self, *given):
            return -super().score(*given)

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="The learned score was never so good. How far is your policy from where it began, and what are its answers worth?",
    named="This equals training without the KL term: the distance may be logged, but it costs nothing.",
    caught_by=PLEASES,
    blocker=True,
)
def no_leash(*args):
    class Run(_Run):
        beta = 0.0

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="The distance to the reference stays near zero however far you go; is the reference standing still?",
    named="This equals a reference that shares its parameters with the policy.",
    caught_by=PLEASES,
    blocker=True,
)
def reference_trains(*args):
    class Run(_Run):
        def reference(self, policy):
            return policy

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="Moving away from the reference is being paid instead of charged.",
    named="This equals training with +beta (logp - ref_logp) in the reward.",
    caught_by=PLEASES,
    blocker=True,
)
def leash_reversed(*args):
    class Run(_Run):
        beta = -0.2

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="The same tokens get two different log-probs before any update.",
    named="This equals sampling with dropout: the policy is in training mode while it writes.",
    caught_by=SAMPLES,
)
def dropout_in_rollout(*args):
    class Run(_Run):
        def write(self, policy, asked, asked_mask):
            tokens, real, running = asked, asked_mask, torch.ones(len(asked), dtype=torch.bool)
            policy.train()
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(torch.randint(2**31, (1,), generator=self.generator)))
                for _ in range(LONGEST):
                    logits = policy(tokens, real)[:, -1]
                    logits[:, PAD] = -torch.inf
                    drawn = torch.multinomial(logits.softmax(-1), 1, generator=self.generator)[:, 0]
                    tokens = torch.cat([tokens, torch.where(running, drawn, PAD)[:, None]], 1)
                    real = torch.cat([real, running[:, None]], 1)
                    running = running & (drawn != EOS)
            policy.eval()
            P = asked.shape[1]
            return tokens[:, P:], real[:, P:]

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="Your answers are surer than your policy is.",
    named="This equals sampling at temperature 0.5.",
    caught_by=SAMPLES,
)
def sampled_too_cold(*args):
    class Run(_Run):
        def write(self, policy, asked, asked_mask):
            return generate(policy, asked, asked_mask, LONGEST, EOS, PAD, 0.5, self.generator)

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="A score was asked for an answer to one prompt and shown another.",
    named="This equals scores for answers beside prompts in another order.",
    caught_by=FOUND,
    blocker=True,
)
def prompts_do_not_fit(*args):
    class Run(_Run):
        def score(self, reward_fn, asked, written, written_mask):
            return reward_fn(asked.roll(1, 0), written, written_mask)

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="Your seed fixes a part of the chance. What draws the rest?",
    named="This equals draws from torch's global generator, which nobody has seeded.",
    caught_by=SEED,
)
def seed_unused(*args):
    class Run(_Run):
        def chance(self, seed):
            return torch.Generator().manual_seed(int(torch.randint(2**31, (1,))))

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="Another seed gave the same model.",
    named="This equals a training that has a seed of its own.",
    caught_by=SEED,
)
def seed_of_its_own(*args):
    class Run(_Run):
        def chance(self, seed):
            return torch.Generator().manual_seed(0)

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="More answers were asked about than a round has.",
    named="This equals rounds of 256 answers.",
    caught_by=COUNTED,
)
def rounds_too_large(*args):
    class Run(_Run):
        batch = 256

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="In which mode does your model come back?",
    named="This equals a model that comes back in training mode.",
    caught_by=COUNTED,
)
def returned_in_training_mode(*args):
    class Run(_Run):
        def returned(self, policy):
            return policy.train()

    return Run().train(*args)


@mistake(
    "train_ppo_lm",
    seen="The mask that comes with your answers is not that of their tokens.",
    named="This equals a mask that ends before the end token.",
    caught_by=COUNTED,
)
def end_not_shown(*args):
    class Run(_Run):
        def score(self, reward_fn, asked, written, written_mask):
            return reward_fn(asked, written, written_mask & (written != EOS))

    return Run().train(*args)
