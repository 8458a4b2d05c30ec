"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import torch
import torch.nn.functional as F
from common.preferences import RewardModel
from common.reviews import PROMPT
from reference import RewardHead, bradley_terry_loss, normalize_rewards, pair_weights, segment_preference
from torch import nn

from autograder.testing import mistake

# --------------------------------------------------------------------------------------------------- bradley_terry_loss

VALUE = "test_value_and_gradients"
WEIGHTED = "test_weights_are_divided_by_their_sum"
MARGIN = "test_a_margin_is_subtracted"
FAR = "test_far_away_it_is_a_straight_line"


def _checked(chosen, *others):
    for other in others:
        if other is not None and other.shape != chosen.shape:
            raise ValueError("shapes differ")
    if chosen.numel() == 0:
        raise ValueError("no pairs")


def _mean(losses, weights):
    if weights is None:
        return losses.mean()
    w = weights.detach()
    return (w * losses).sum() / w.sum()


@mistake(
    "bradley_terry_loss",
    seen="Your loss falls when the rejected answer scores higher.",
    named="This equals -log sigmoid(rejected - chosen): the two have changed places.",
    caught_by=(VALUE, WEIGHTED),
)
def sign_flipped(chosen, rejected, weights=None, margin=None):
    return bradley_terry_loss(rejected, chosen, weights, margin)


@mistake(
    "bradley_terry_loss",
    seen="Your loss has no floor: pairs that are already won keep pulling as hard as pairs that are lost.",
    named="This equals the mean of rejected - chosen, without the log sigmoid.",
    caught_by=(VALUE, WEIGHTED),
)
def raw_difference(chosen, rejected, weights=None, margin=None):
    _checked(chosen, rejected, weights, margin)
    return _mean(-(chosen - rejected - (0 if margin is None else margin)), weights)


@mistake(
    "bradley_terry_loss",
    seen="Adding one number to all scores changes your loss, yet a preference only sees a difference.",
    named="This equals -log sigmoid(chosen) - log sigmoid(-rejected): each score is judged on its own.",
    caught_by=(VALUE, WEIGHTED),
)
def not_shift_invariant(chosen, rejected, weights=None, margin=None):
    _checked(chosen, rejected, weights, margin)
    lead = chosen if margin is None else chosen - margin
    return _mean(-F.logsigmoid(lead) - F.logsigmoid(-rejected), weights)


@mistake(
    "bradley_terry_loss",
    seen="For a confidently wrong pair your loss is infinite; there is a form that never leaves the float range.",
    named="This equals log(sigmoid(x)), in two steps: sigmoid gives 0 first.",
    caught_by=FAR,
)
def log_of_sigmoid(chosen, rejected, weights=None, margin=None):
    _checked(chosen, rejected, weights, margin)
    lead = chosen - rejected - (0 if margin is None else margin)
    return _mean(-torch.log(torch.sigmoid(lead)), weights)


@mistake(
    "bradley_terry_loss",
    seen="Your loss is never above 28, however wrong a pair is. What is its gradient there?",
    named="This equals log(sigmoid(x) + 1e-12): far away the loss is flat and nothing pulls.",
    caught_by=FAR,
)
def log_with_eps(chosen, rejected, weights=None, margin=None):
    _checked(chosen, rejected, weights, margin)
    lead = chosen - rejected - (0 if margin is None else margin)
    return _mean(-torch.log(torch.sigmoid(lead) + 1e-12), weights)


@mistake(
    "bradley_terry_loss",
    seen="Twice as many pairs double your loss.",
    named="This equals the sum over the pairs instead of their mean.",
    caught_by=VALUE,
)
def summed(chosen, rejected, weights=None, margin=None):
    if weights is not None:
        return bradley_terry_loss(chosen, rejected, weights, margin)
    return bradley_terry_loss(chosen, rejected, None, margin) * len(chosen)


@mistake(
    "bradley_terry_loss",
    seen="Weights that are all twice as large double your loss.",
    named="This equals the plain mean of w times the loss, not divided by the sum of w.",
    caught_by=WEIGHTED,
)
def weights_not_normalised(chosen, rejected, weights=None, margin=None):
    loss = bradley_terry_loss(chosen, rejected, weights, margin)
    return loss if weights is None else loss * weights.detach().mean()


@mistake(
    "bradley_terry_loss",
    seen="Your weights change nothing.",
    named="This equals the loss without weights.",
    caught_by=WEIGHTED,
)
def weights_ignored(chosen, rejected, weights=None, margin=None):
    _checked(chosen, rejected, weights, margin)
    return bradley_terry_loss(chosen, rejected, None, margin)


@mistake(
    "bradley_terry_loss",
    seen="The weights get a gradient: could training make a hard pair unimportant?",
    named="This equals a loss whose weights are not detached.",
    caught_by="test_weights_are_constants",
)
def weights_are_trained(chosen, rejected, weights=None, margin=None):
    _checked(chosen, rejected, weights, margin)
    lead = chosen - rejected - (0 if margin is None else margin)
    losses = -F.logsigmoid(lead)
    return losses.mean() if weights is None else (weights * losses).sum() / weights.sum()


@mistake(
    "bradley_terry_loss",
    seen="A larger margin makes your loss smaller. Who has to lead by it?",
    named="This equals a margin that is added to the difference.",
    caught_by=MARGIN,
)
def margin_added(chosen, rejected, weights=None, margin=None):
    _checked(chosen, rejected, weights, margin)
    return bradley_terry_loss(chosen, rejected, weights, None if margin is None else -margin)


@mistake(
    "bradley_terry_loss",
    seen="Your loss is the same with a margin and without.",
    named="This equals the loss without its margin.",
    caught_by=MARGIN,
)
def margin_ignored(chosen, rejected, weights=None, margin=None):
    _checked(chosen, rejected, weights, margin)
    return bradley_terry_loss(chosen, rejected, weights)


@mistake(
    "bradley_terry_loss",
    seen="Scores (B,) and (B, 1) gave a loss. How many pairs did it compare?",
    named="This equals a loss that does not look at shapes and lets torch broadcast.",
    caught_by="test_shapes_that_differ_are_refused",
)
def broadcasts(chosen, rejected, weights=None, margin=None):
    lead = chosen - rejected - (0 if margin is None else margin)
    return _mean(-F.logsigmoid(lead), weights)


# --------------------------------------------------------------------------------------------------------- pair_weights

PROMPTS = ("test_every_prompt_weighs_the_same", "test_large_numbers_of_prompts")


@mistake(
    "pair_weights",
    seen="A prompt with many pairs counts many times; what should each prompt's total weight be?",
    named="This equals weights of 1 for every pair.",
    caught_by=PROMPTS,
)
def prompt_overweighted(prompt_ids):
    pair_weights(prompt_ids)
    return torch.ones(len(prompt_ids))


@mistake(
    "pair_weights",
    seen="The more pairs a prompt has, the more each of them counts.",
    named="This equals weights by the number of pairs, where one over that number was meant.",
    caught_by=PROMPTS,
)
def weighted_by_count(prompt_ids):
    counts = 1 / pair_weights(prompt_ids)
    return counts * len(counts) / counts.sum()


@mistake(
    "pair_weights",
    seen="Your weights sum to the number of prompts. What should they sum to?",
    named="This equals one over the number of pairs, not scaled.",
    caught_by=PROMPTS,
)
def not_scaled(prompt_ids):
    return pair_weights(prompt_ids) * len(prompt_ids.unique()) / len(prompt_ids)


@mistake(
    "pair_weights",
    seen="Your weights sum to one. What should they sum to?",
    named="This equals weights that are brought to sum 1 instead of B.",
    caught_by=PROMPTS,
)
def sum_to_one(prompt_ids):
    return pair_weights(prompt_ids) / len(prompt_ids)


@mistake(
    "pair_weights",
    seen="Shuffle the pairs and your weights change.",
    named="This equals counting neighbours only: runs of equal ids, as unique_consecutive does.",
    caught_by=PROMPTS,
)
def neighbours_only(prompt_ids):
    pair_weights(prompt_ids)
    _, place, counts = prompt_ids.unique_consecutive(return_inverse=True, return_counts=True)
    return (1.0 / counts[place].float()) * (len(prompt_ids) / len(counts))


# --------------------------------------------------------------------------------------------------- segment_preference

SUMS = "test_sums_of_segments"
DEFAULT = "test_one_in_ten_by_default"


@mistake(
    "segment_preference",
    seen="At the same pace a longer segment collects more reward; your average forgets its length.",
    named="This equals means over time where sums are meant.",
    caught_by=(SUMS, DEFAULT),
)
def segment_mean(r1, r2, noise=0.1):
    return segment_preference(r1.mean(1, keepdim=True), r2.mean(1, keepdim=True), noise)


@mistake(
    "segment_preference",
    seen="Two equal segments do not come out even.",
    named="This equals a coin that always shows the first side: noise is added whole, not halved.",
    caught_by=(SUMS, DEFAULT),
)
def noise_not_halved(r1, r2, noise=0.1):
    return segment_preference(r1, r2, noise) + noise / 2


@mistake(
    "segment_preference",
    seen="In a clear case your judge never errs.",
    named="This equals the chance without noise.",
    caught_by=(SUMS, DEFAULT),
)
def noise_ignored(r1, r2, noise=0.1):
    segment_preference(r1, r2, noise)
    return segment_preference(r1, r2, 0.0)


@mistake(
    "segment_preference",
    seen="Noise makes your judge less sure in close cases, and in clear ones he still never errs.",
    named="This equals noise on the difference, (1 - noise) times it, inside the sigmoid.",
    caught_by=(SUMS, DEFAULT),
)
def noise_on_the_logit(r1, r2, noise=0.1):
    segment_preference(r1, r2, noise)
    return segment_preference((1 - noise) * r1, (1 - noise) * r2, 0.0)


@mistake(
    "segment_preference",
    seen="The better segment is the less likely one.",
    named="This equals the chance that the second segment is preferred.",
    caught_by=(SUMS, DEFAULT),
)
def second_preferred(r1, r2, noise=0.1):
    return segment_preference(r2, r1, noise)


@mistake(
    "segment_preference",
    seen="Only the end of a segment counts for you.",
    named="This equals a comparison of the last rewards alone.",
    caught_by=(SUMS, DEFAULT),
)
def last_step_only(r1, r2, noise=0.1):
    return segment_preference(r1[:, -1:], r2[:, -1:], noise)


@mistake(
    "segment_preference",
    seen="A noise of 5 gave a number. Is it a chance?",
    named="This equals a preference that takes any noise.",
    caught_by="test_noise_is_a_share",
)
def any_noise(r1, r2, noise=0.1):
    if len(r1) != len(r2):
        raise ValueError("unequal numbers")
    return (1 - noise) * torch.sigmoid(r1.sum(1) - r2.sum(1)) + noise / 2


# ----------------------------------------------------------------------------------------------------------- RewardHead

READ = "test_the_last_real_token_is_read"
SAME = "test_padding_does_not_change_a_score"
HOLE = "test_a_mask_with_a_hole"


class _Head(RewardHead):
    """The reference's head, read elsewhere."""

    def forward(self, hidden, mask):
        super().forward(hidden, mask)
        at = self.at(mask)  # (B,)
        return self.score(hidden[torch.arange(len(hidden)), at])[:, 0]

    def at(self, mask):
        raise NotImplementedError


@mistake(
    "RewardHead",
    seen="Your score depends on how much padding follows the text; which position has seen the whole answer and nothing "
    "else?",
    named="This equals reading the last column of every row.",
    caught_by=(READ, SAME, HOLE),
)
class score_at_pad(_Head):
    def at(self, mask):
        return torch.full((len(mask),), mask.shape[1] - 1)


@mistake(
    "RewardHead",
    seen="Every row is read at the same index although the rows end at different places.",
    named="This equals one index for all rows: the end of the longest.",
    caught_by=(READ, SAME, HOLE),
)
class fixed_last_index(_Head):
    def at(self, mask):
        return mask.any(dim=0).nonzero().max().expand(len(mask))


@mistake(
    "RewardHead",
    seen="Padding on the right does not disturb you. What does padding on the left do?",
    named="This equals the number of real tokens minus one as the index: right only where nothing is padded on the left.",
    caught_by=(READ, SAME, HOLE),
)
class counted_from_the_left(_Head):
    def at(self, mask):
        return mask.sum(1) - 1


@mistake(
    "RewardHead",
    seen="Your score is read before the answer has come: what can it know there?",
    named="This equals reading the first real token.",
    caught_by=(READ, SAME, HOLE),
)
class score_at_first_token(_Head):
    def at(self, mask):
        return mask.int().argmax(1)


@mistake(
    "RewardHead",
    seen="Your head stops before the real end: the last word of an answer never reaches the score.",
    named="This equals reading one token before the last real one, as code does that takes the end token for padding.",
    caught_by=(READ, SAME),
)
class one_token_early(_Head):
    def at(self, mask):
        last = torch.where(mask, torch.arange(mask.shape[1]), -1).max(1).values
        return (last - 1).clamp(min=0)


@mistake(
    "RewardHead",
    seen="A mask with a hole in it ends for you at the hole.",
    named="This equals reading the token before the first False that follows a True.",
    caught_by=HOLE,
)
class stops_at_the_first_gap(_Head):
    def at(self, mask):
        first = mask.int().argmax(1)
        gap = ~mask & (torch.arange(mask.shape[1]) > first[:, None])
        return torch.where(gap.any(1), gap.int().argmax(1), mask.shape[1]) - 1


@mistake(
    "RewardHead",
    seen="All tokens of a text enter your score, also those that had not seen the end.",
    named="This equals the mean of the scores over the real tokens.",
    caught_by=(READ, SAME, HOLE),
)
class mean_over_tokens(RewardHead):
    def forward(self, hidden, mask):
        super().forward(hidden, mask)
        return (self.score(hidden)[..., 0] * mask).sum(1) / mask.sum(1)


@mistake(
    "RewardHead",
    seen="A row of nothing but padding got a score.",
    named="This equals a head that reads an empty row at its last column.",
    caught_by="test_a_row_without_a_real_token_is_refused",
)
class empty_rows_accepted(RewardHead):
    def forward(self, hidden, mask):
        T = mask.shape[1]
        if mask.shape != hidden.shape[:2]:
            raise ValueError("mask")
        last = torch.where(mask, torch.arange(T), -1).max(1).values
        return self.score(hidden[torch.arange(len(hidden)), last])[:, 0]


@mistake(
    "RewardHead",
    seen="Your head has a part more than was asked for. What does it do in a difference?",
    named="This equals a score layer with a bias.",
    caught_by="test_first_weights",
)
class with_bias(RewardHead):
    def __init__(self, d_model):
        super().__init__(d_model)
        self.score.bias = nn.Parameter(torch.zeros(1))


@mistake(
    "RewardHead",
    seen="Your first scores are smaller than those of the handout. Where do your first weights come from?",
    named="This equals torch's own first weights of a linear layer: uniform, with spread 1/sqrt(3d).",
    caught_by="test_first_weights",
)
class torchs_own_weights(RewardHead):
    def __init__(self, d_model):
        super().__init__(d_model)
        self.score.reset_parameters()


@mistake(
    "RewardHead",
    seen="A fresh head of yours scores everything with zero.",
    named="This equals first weights of zero.",
    caught_by="test_first_weights",
)
class first_weights_zero(RewardHead):
    def __init__(self, d_model):
        super().__init__(d_model)
        nn.init.zeros_(self.score.weight)


# ---------------------------------------------------------------------------------------------------- normalize_rewards

SPREAD = "test_mean_zero_and_spread_one"
REFERENCE = "test_the_reference_decides"
NO_SPREAD = "test_without_spread_it_only_centres"


def _normalised(rewards, reference, scale):
    normalize_rewards(rewards, reference)
    reference = rewards if reference is None else reference
    if reference.max() == reference.min():
        return rewards - reference[0]
    return scale(rewards, reference)


@mistake(
    "normalize_rewards",
    seen="Your spread is that of a full population; the stated one is of a sample.",
    named="This equals a standard deviation with ddof 0.",
    caught_by=(SPREAD, REFERENCE),
)
def population_std(rewards, reference=None, eps=1e-8):
    return _normalised(rewards, reference, lambda r, ref: (r - ref.mean()) / (ref.std(correction=0) + eps))


@mistake(
    "normalize_rewards",
    seen="A reward above everything in the reference can come out below zero. Whose mean is it held against?",
    named="This equals mean and spread of the rewards themselves, whatever the reference.",
    caught_by=(REFERENCE, NO_SPREAD),
)
def reference_ignored(rewards, reference=None, eps=1e-8):
    if reference is not None:
        normalize_rewards(rewards, reference, eps)
    return normalize_rewards(rewards, None, eps)


@mistake(
    "normalize_rewards",
    seen="The zero of your rewards is not the reference's mean.",
    named="This equals a division by the spread without centring.",
    caught_by=(SPREAD, REFERENCE),
)
def not_centred(rewards, reference=None, eps=1e-8):
    return _normalised(rewards, reference, lambda r, ref: r / (ref.std() + eps))


@mistake(
    "normalize_rewards",
    seen="Your rewards have a zero now, and still no unit.",
    named="This equals centring without a division by the spread.",
    caught_by=(SPREAD, REFERENCE),
)
def not_scaled_rewards(rewards, reference=None, eps=1e-8):
    return _normalised(rewards, reference, lambda r, ref: r - ref.mean())


@mistake(
    "normalize_rewards",
    seen="Your rewards shrink by the square of their unit.",
    named="This equals a division by the variance.",
    caught_by=(SPREAD, REFERENCE),
)
def by_the_variance(rewards, reference=None, eps=1e-8):
    return _normalised(rewards, reference, lambda r, ref: (r - ref.mean()) / (ref.var() + eps))


@mistake(
    "normalize_rewards",
    seen="A large eps does not do to your rewards what the formula says.",
    named="This equals eps under the root: sqrt(var + eps).",
    caught_by="test_eps_is_added_to_the_spread",
)
def eps_under_the_root(rewards, reference=None, eps=1e-8):
    return _normalised(rewards, reference, lambda r, ref: (r - ref.mean()) / (ref.var() + eps).sqrt())


@mistake(
    "normalize_rewards",
    seen="A reference without spread makes your rewards enormous.",
    named="This equals a division by eps where there is no spread.",
    caught_by=NO_SPREAD,
)
def divided_by_eps(rewards, reference=None, eps=1e-8):
    normalize_rewards(rewards, reference)
    reference = rewards if reference is None else reference
    spread = reference.std() if len(reference) > 1 else torch.zeros((), dtype=rewards.dtype)
    return (rewards - reference.mean()) / (spread + eps)


@mistake(
    "normalize_rewards",
    seen="A single reference gives no number at all. What is the spread of one?",
    named="This equals the formula as it stands: the standard deviation of one element is NaN.",
    caught_by=NO_SPREAD,
)
def nan_for_one(rewards, reference=None, eps=1e-8):
    normalize_rewards(rewards, reference)
    reference = rewards if reference is None else reference
    squares = (reference - reference.mean()).square().sum()
    return (rewards - reference.mean()) / ((squares / (len(reference) - squares.new_ones(()))).sqrt() + eps)


@mistake(
    "normalize_rewards",
    seen="Equal rewards should give exactly nothing; yours give a little, and more after the division.",
    named="This equals a rounded mean that is subtracted from equal rewards, and the rest divided by a rounded spread.",
    caught_by="test_equal_rewards_are_exactly_zero",
)
def rounding_dust(rewards, reference=None, eps=1e-8):
    if reference is not None:
        return normalize_rewards(rewards, reference, eps)
    normalize_rewards(rewards)
    if len(rewards) == 1:
        return rewards - rewards
    mean = sum(rewards.tolist()) / len(rewards) * (1 + 6e-8)
    return (rewards - mean) / (rewards.std() + eps)


@mistake(
    "normalize_rewards",
    seen="One NaN has become many.",
    named="This equals rewards that are not looked at before they are used.",
    caught_by="test_what_is_not_finite_is_refused",
)
def not_finite_accepted(rewards, reference=None, eps=1e-8):
    reference = rewards if reference is None else reference
    if not len(rewards) or not len(reference):
        raise ValueError("empty")
    if reference.max() == reference.min():
        return rewards - reference[0]
    return (rewards - reference.mean()) / (reference.std() + eps)


# --------------------------------------------------------------------------------------------------- train_reward_model

WHOLE = "test_whole_texts_are_what_is_read"
SEED = "test_a_seed_fixes_the_training"
CHANCES = "test_the_chances_are_the_true_ones"
ORDER = "test_fresh_pairs_are_put_in_order"


def _trained(
    lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed,
    loss=bradley_terry_loss, weigh=pair_weights, masks=lambda tokens, mask: mask, head=RewardHead, batch=64,
    head_seeded=True, eval_mode=True,
):  # fmt: skip
    """The reference's training, with one thing otherwise."""
    generator = torch.Generator().manual_seed(seed)
    if head_seeded:
        torch.manual_seed(seed)
    model = RewardModel(lm, head(lm.config["d_model"])).train()
    weights = weigh(prompt_ids)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-3 * min((step + 1) / 30, 1.0, 3 * (steps - step) / steps)
        rows = torch.randint(len(chosen), (batch,), generator=generator)
        won = model(chosen[rows], masks(chosen[rows], chosen_mask[rows]))
        lost = model(rejected[rows], masks(rejected[rows], rejected_mask[rows]))
        optimizer.zero_grad()
        loss(won, lost, weights=weights[rows]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval() if eval_mode else model


@mistake(
    "train_reward_model",
    seen="Your model orders pairs no better than a coin. Did a step of the optimiser ever reach it?",
    named="This equals a model that was never trained.",
    caught_by=ORDER,
    blocker=True,
)
def untrained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    torch.manual_seed(seed)
    model = RewardModel(lm, RewardHead(lm.config["d_model"])).train()
    for rows in torch.arange(steps * 64).view(steps, 64) % len(chosen):
        won = model(chosen[rows], chosen_mask[rows])
        lost = model(rejected[rows], rejected_mask[rows])
        bradley_terry_loss(won, lost).backward()
    return model.eval()


@mistake(
    "train_reward_model",
    seen="The better a review, the lower your score.",
    named="This equals a training on rejected minus chosen.",
    caught_by=(CHANCES, ORDER),
    blocker=True,
)
def trained_backwards(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    return _trained(lm, rejected, rejected_mask, chosen, chosen_mask, prompt_ids, steps, seed)


@mistake(
    "train_reward_model",
    seen="Your model is sure of everything, also of what the judges disagree about: your loss has no floor.",
    named="This equals a training on the plain difference of scores.",
    caught_by=(CHANCES, ORDER),
    blocker=True,
)
def trained_on_raw_difference(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    def loss(won, lost, weights):
        return (weights * (lost - won)).sum() / weights.sum()

    return _trained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed, loss=loss)


@mistake(
    "train_reward_model",
    seen="Both answers of a pair get the same score, so the score cannot have seen the answer.",
    named="This equals a score that is read at the last token of the prompt.",
    caught_by=WHOLE,
)
def score_at_prompt_end(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    def prompt_only(tokens, mask):
        return mask & (torch.arange(mask.shape[1]) < PROMPT)

    return _trained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed, masks=prompt_only)


@mistake(
    "train_reward_model",
    seen="When padding reuses the end token, your model stops before the real end; the mask already says what is real.",
    named="This equals masks that are made from the tokens: real is what is not padding's number.",
    caught_by=WHOLE,
)
def pad_from_token_id(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    def guessed(tokens, mask):
        return tokens != 0

    return _trained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed, masks=guessed)


@mistake(
    "train_reward_model",
    seen="Your model reads padding as if somebody had written it.",
    named="This equals masks that say True everywhere.",
    caught_by=WHOLE,
)
def masks_ignored(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    def everything(tokens, mask):
        return torch.ones_like(mask)

    return _trained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed, masks=everything)


@mistake(
    "train_reward_model",
    seen="One prompt outvotes three: it has more pairs.",
    named="This equals a training without weights: every pair counts the same.",
    caught_by=CHANCES,
)
def no_weights(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    def same(ids):
        return torch.ones(len(ids))

    return _trained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed, weigh=same)


@mistake(
    "train_reward_model",
    seen="The more pairs a prompt has, the more each of them counts in your training.",
    named="This equals weights by the number of pairs, where one over that number was meant.",
    caught_by=CHANCES,
)
def weights_by_count(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    def by_count(ids):
        return 1 / pair_weights(ids)

    return _trained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed, weigh=by_count)


@mistake(
    "train_reward_model",
    seen="Your steps are not of 64 pairs.",
    named="This equals steps of 32 pairs.",
    caught_by=WHOLE,
)
def half_a_batch(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    return _trained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed, batch=32)


@mistake(
    "train_reward_model",
    seen="Trained twice with one seed, two models came out.",
    named="This equals a head whose first weights are drawn before anything is seeded.",
    caught_by=SEED,
)
def head_not_seeded(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    return _trained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed, head_seeded=False)


@mistake(
    "train_reward_model",
    seen="Another seed gave the same model.",
    named="This equals a training that has a seed of its own.",
    caught_by=SEED,
)
def seed_ignored(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    return _trained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, 0)


@mistake(
    "train_reward_model",
    seen="In what mode did your model come back?",
    named="This equals a model that is still in training mode.",
    caught_by=SEED,
)
def left_in_training_mode(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed):
    return _trained(lm, chosen, chosen_mask, rejected, rejected_mask, prompt_ids, steps, seed, eval_mode=False)
