"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. `@needs` stands on every property that an empty answer has too.
"""

import math

import pytest
import torch
from asks import (
    built_head,
    gradient_of_weights,
    head_gradients,
    head_scores,
    loss_and_gradients,
    reading,
    train,
    train_twice,
    trained_scores,
    trained_weights,
)
from common import reviews
from common.preferences import RewardModel, ShippedHead, order_and_calibration
from common.tiny_lm import TinyLM, pretrained

from autograder.report import Figure
from autograder.testing import graded_run, needs, task, weight
from autograder.testing.graded import Missed
from autograder.testing.readings import take_weights

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32: a few roundings


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + 1000), dtype=dtype)


def uniform(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed + 2000), dtype=torch.float64)


def whole(seed, low, high, *shape):
    """Whole numbers, low <= n < high."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed + 3000))


# --------------------------------------------------------------------------------------------------- bradley_terry_loss


@task("bradley_terry_loss")
@weight(2)
def test_value_and_gradients(student, reference, seed):
    """The loss is the mean of -log sigmoid(chosen - rejected), and so are its gradients."""
    asked = (2 * normal(seed, 7), 2 * normal(seed + 1, 7), None, None)
    student.ask(loss_and_gradients, *asked).equals(reference.ask(loss_and_gradients, *asked), **FLOAT64)


@task("bradley_terry_loss")
def test_weights_are_divided_by_their_sum(student, reference, seed):
    """With weights it is the sum of w times the loss, over the sum of w."""
    asked = (2 * normal(seed, 6), 2 * normal(seed + 1, 6), 0.2 + 3 * uniform(seed, 6), None)
    student.ask(loss_and_gradients, *asked).equals(reference.ask(loss_and_gradients, *asked), **FLOAT64)


@task("bradley_terry_loss")
def test_a_margin_is_subtracted(student, reference, seed):
    """A margin is subtracted from the difference, with weights and without."""
    chosen, rejected, margin = 2 * normal(seed, 5), 2 * normal(seed + 1, 5), 0.3 + uniform(seed, 5)
    for weights in (None, 0.2 + 3 * uniform(seed + 1, 5)):
        asked = (chosen, rejected, weights, margin)
        student.ask(loss_and_gradients, *asked).equals(reference.ask(loss_and_gradients, *asked), **FLOAT64)


@task("bradley_terry_loss")
@needs("test_weights_are_divided_by_their_sum")
def test_weights_are_constants(student, reference, seed):
    """No gradient flows into the weights."""
    asked = (normal(seed, 5), normal(seed + 1, 5), 0.2 + uniform(seed, 5))
    student.ask(gradient_of_weights, *asked).equals(reference.ask(gradient_of_weights, *asked), **FLOAT64)


@task("bradley_terry_loss")
@needs("test_value_and_gradients")
def test_a_constant_changes_nothing(student, seed):
    """The same number added to all scores changes neither the loss nor its gradients."""
    chosen, rejected = normal(seed, 6), normal(seed + 1, 6)
    shift = 3.0 + 5 * uniform(seed, 1)
    plain = student.ask(loss_and_gradients, chosen, rejected, None, None).value
    # numbers of size ten lose one more digit than those of size one
    moved = student.ask(loss_and_gradients, chosen + shift, rejected + shift, None, None)
    moved.equals(plain, rtol=1e-8, atol=1e-11)


@task("bradley_terry_loss")
@needs("test_value_and_gradients")
def test_swapping_costs_the_mean_difference(student, seed):
    """The loss of (a, b) minus that of (b, a) is the mean of b - a."""
    a, b = normal(seed, 6), normal(seed + 1, 6)
    gap = student.bradley_terry_loss(a, b).value - student.bradley_terry_loss(b, a).value
    assert abs(gap - (b - a).mean()) < 1e-9, "Swapping the two should change the loss by the mean difference."


@task("bradley_terry_loss")
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_far_away_it_is_a_straight_line(student, reference, seed, size):
    """For scores of 10,000 the loss and its gradients are finite, and those of float32 too."""
    chosen = size * (0.5 + 0.5 * uniform(seed, 3)).float()
    asked = (chosen, -chosen, None, None)
    # float32: the sums are of size 20,000 and exact to seven digits
    student.ask(loss_and_gradients, *asked).equals(reference.ask(loss_and_gradients, *asked), **FLOAT32)


@task("bradley_terry_loss")
@needs("test_value_and_gradients")
def test_shapes_that_differ_are_refused(student, seed):
    """Unequal shapes are refused, also where they would broadcast, and so is an empty batch."""
    scores = normal(seed, 4)
    for other in (scores[:3], scores[:1], scores[:, None], scores[None]):
        student.bradley_terry_loss(scores, other).refused()
        student.bradley_terry_loss(scores, scores, weights=other.abs()).refused()
        student.bradley_terry_loss(scores, scores, margin=other).refused()
    student.bradley_terry_loss(scores[:0], scores[:0]).refused()


# --------------------------------------------------------------------------------------------------------- pair_weights


@task("pair_weights")
@weight(3)
def test_every_prompt_weighs_the_same(student, reference, seed):
    """A pair weighs one over the number of pairs of its prompt, and all weights sum to the number of pairs."""
    ids = torch.cat([whole(seed, 0, 4, 9), torch.tensor([17, 17, -5])])[torch.randperm(12, generator=_draw(seed))]
    student.pair_weights(ids).equals(reference.pair_weights(ids), **FLOAT32)


@task("pair_weights")
def test_large_numbers_of_prompts(student, reference, seed):
    """The ids need not be small, sorted or without gaps."""
    ids = whole(seed, -(10**12), 10**12, 5).repeat_interleave(torch.tensor([1, 4, 2, 1, 3]))
    ids = ids[torch.randperm(len(ids), generator=_draw(seed))]
    student.pair_weights(ids).equals(reference.pair_weights(ids), **FLOAT32)


@task("pair_weights")
@needs("test_every_prompt_weighs_the_same")
def test_no_pairs_are_refused(student):
    """An empty batch is refused."""
    student.pair_weights(torch.zeros(0, dtype=torch.int64)).refused()


def _draw(seed):
    return torch.Generator().manual_seed(seed + 4000)


# --------------------------------------------------------------------------------------------------- segment_preference


@task("segment_preference")
@weight(2)
@pytest.mark.parametrize("lengths", [(5, 5), (6, 3)])
def test_sums_of_segments(student, reference, seed, lengths):
    """The chance is that of the summed rewards, mixed with a coin; the segments may differ in length."""
    # 0.4 forward at each step, so that a longer segment collects more
    r1, r2 = 0.4 + 0.5 * normal(seed, 4, lengths[0]), 0.4 + 0.5 * normal(seed + 1, 4, lengths[1])
    noise = 0.05 + 0.4 * uniform(seed, 1).item()
    student.segment_preference(r1, r2, noise).equals(reference.segment_preference(r1, r2, noise), **FLOAT64)


@task("segment_preference")
def test_one_in_ten_by_default(student, reference, seed):
    """Left out, the noise is 0.1."""
    r1, r2 = normal(seed, 4, 3), normal(seed + 1, 4, 3)
    student.segment_preference(r1, r2).equals(reference.segment_preference(r1, r2), **FLOAT64)


@task("segment_preference")
def test_no_noise_and_nothing_but_noise(student, reference, seed):
    """At noise 0 the chance is the logistic one, at noise 1 it is one half."""
    r1, r2 = normal(seed, 4, 3), normal(seed + 1, 4, 2)
    for noise in (0.0, 1.0):
        student.segment_preference(r1, r2, noise).equals(reference.segment_preference(r1, r2, noise), **FLOAT64)


@task("segment_preference")
def test_clear_cases_keep_the_noise(student, reference, seed):
    """However clear the case, the chance stays between noise/2 and 1 - noise/2."""
    r1 = 300 + 100 * uniform(seed, 3, 4).float()
    for first, second in ((r1, -r1), (-r1, r1)):
        student.segment_preference(first, second, 0.2).equals(
            reference.segment_preference(first, second, 0.2), **FLOAT32
        )


@task("segment_preference")
@needs("test_sums_of_segments")
def test_noise_is_a_share(student, seed):
    """A noise outside of [0, 1] is refused, and so are unequal numbers of segments."""
    r = normal(seed, 3, 4)
    for noise in (-0.01, 1.01, 5.0):
        student.segment_preference(r, r, noise).refused()
    student.segment_preference(r, r[:2]).refused()
    student.segment_preference(r, r[:1]).refused()


# ----------------------------------------------------------------------------------------------------------- RewardHead

MASKS = ("right", "left", "both", "none")


def padded(seed, kind, B=5, T=9, D=6):
    """Weights (1, D), hidden (B, T, D) of which padding is junk up to 50, and a mask with ends at different columns."""
    hidden = normal(seed, B, T, D)
    before = whole(seed, 1, 4, B) if kind in ("left", "both") else torch.zeros(B, dtype=torch.int64)
    after = whole(seed + 1, 2, 4, B) if kind in ("right", "both") else torch.zeros(B, dtype=torch.int64)
    before[0] = 0  # one row begins at the first column
    if kind in ("right", "both"):
        after[1] = 1  # the longest row ends before the last column: the batch's last token is not the last column
        after[3] = 5 - after[2]  # and the ends differ
    places = torch.arange(T)
    mask = (places >= before[:, None]) & (places < T - after[:, None])
    junk = 100 * uniform(seed, B, T, D) - 50
    return normal(seed + 2, 1, D), torch.where(mask[..., None], hidden, junk), mask


@task("RewardHead")
@weight(2)
@pytest.mark.parametrize("kind", MASKS)
def test_the_last_real_token_is_read(student, reference, seed, kind):
    """Each row's score is read at its own last real token, however it is padded."""
    asked = padded(seed, kind)
    student.ask(head_scores, *asked).equals(reference.ask(head_scores, *asked), **FLOAT64)


@task("RewardHead")
def test_padding_does_not_change_a_score(student, reference, seed):
    """The same text has the same score without padding, and with it on either side."""
    weights, text = normal(seed, 1, 5), normal(seed + 1, 1, 4, 5)
    junk = 40 * normal(seed + 2, 3, 10, 5)
    mask = torch.zeros(3, 10, dtype=torch.bool)
    for row, start in enumerate((0, 5, 2)):
        junk[row, start : start + 4], mask[row, start : start + 4] = text[0], True
    alone = reference.ask(head_scores, weights, text, torch.ones(1, 4, dtype=torch.bool)).value
    student.ask(head_scores, weights, junk, mask).equals(alone.repeat(3), **FLOAT64)


@task("RewardHead")
def test_a_mask_with_a_hole(student, reference, seed):
    """Where the mask is interrupted, its last True still decides."""
    weights, hidden = normal(seed, 1, 5), normal(seed + 1, 3, 8, 5)
    mask = torch.tensor([[1, 1, 0, 0, 1, 0, 0, 0], [0, 1, 0, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 1, 0]]).bool()
    asked = (weights, hidden, mask)
    student.ask(head_scores, *asked).equals(reference.ask(head_scores, *asked), **FLOAT64)


@task("RewardHead")
@needs("test_the_last_real_token_is_read")
def test_only_that_token_is_pulled(student, reference, seed):
    """The gradient reaches the weights, and of what was read the last real token alone."""
    asked = padded(seed, "both")
    student.ask(head_gradients, *asked).equals(reference.ask(head_gradients, *asked), **FLOAT64)


@task("RewardHead")
@needs("test_the_last_real_token_is_read")
def test_a_row_without_a_real_token_is_refused(student, seed):
    """A row without any True is refused, and so is a mask of another shape."""
    weights, hidden, mask = padded(seed, "both")
    empty = mask.clone()
    empty[seed % 5] = False
    student.ask(head_scores, weights, hidden, empty).refused()
    student.ask(head_scores, weights, hidden, mask[:, :-1]).refused()


@task("RewardHead")
@needs("test_the_last_real_token_is_read")
def test_first_weights(student, seed):
    """A fresh head is one layer without bias, normal weights with spread one over the root of d_model + 1."""
    D = 4000
    weights = student.ask(built_head, D, seed).value
    assert list(weights) == ["score.weight"], "The head should hold score.weight and nothing else."
    assert weights["score.weight"].shape == (1, D), "The weights should have shape (1, d_model)."
    scaled = weights["score.weight"].double() * math.sqrt(D + 1)
    # 4,000 draws: the spread is known to 1.1%, the mean to 0.016, the share beyond two spreads (4.6%) to 0.3%
    assert 0.94 < scaled.std() < 1.06, "The spread of the weights is not that of the handout."
    assert abs(scaled.mean()) < 0.08, "The weights should have mean 0."
    assert 0.03 < (scaled.abs() > 2).double().mean() < 0.06, "The weights should be drawn from a normal distribution."


# ---------------------------------------------------------------------------------------------------- normalize_rewards


@task("normalize_rewards")
@weight(2)
def test_mean_zero_and_spread_one(student, reference, seed):
    """Without a reference, rewards are brought to mean 0 and standard deviation 1 (ddof 1)."""
    rewards = 3 + 2 * normal(seed, 5)
    student.normalize_rewards(rewards).equals(reference.normalize_rewards(rewards), **FLOAT64)


@task("normalize_rewards")
@weight(2)
def test_the_reference_decides(student, reference, seed):
    """Mean and standard deviation are those of the reference."""
    rewards, other = normal(seed, 4), 3 + 2 * normal(seed + 1, 6)
    student.normalize_rewards(rewards, other).equals(reference.normalize_rewards(rewards, other), **FLOAT64)


@task("normalize_rewards")
def test_eps_is_added_to_the_spread(student, reference, seed):
    """eps is added to the standard deviation."""
    rewards = normal(seed, 5)
    student.normalize_rewards(rewards, None, 0.5).equals(reference.normalize_rewards(rewards, None, 0.5), **FLOAT64)


@task("normalize_rewards")
def test_without_spread_it_only_centres(student, reference, seed):
    """A reference of one element, or of equal ones, only centres."""
    rewards, value = normal(seed, 4), 1 + uniform(seed, 1)
    for other in (value, value.repeat(7)):
        student.normalize_rewards(rewards, other).equals(reference.normalize_rewards(rewards, other), **FLOAT64)


@task("normalize_rewards")
@needs("test_mean_zero_and_spread_one")
def test_equal_rewards_are_exactly_zero(student, seed):
    """Equal rewards become exactly 0, without dust from a rounded mean; a single one too."""
    for value in (0.7, 0.1 + (seed % 7) / 9, -2.3):
        for n in (1, 6, 8, 11):
            student.normalize_rewards(torch.full((n,), value)).equals(torch.zeros(n))


@task("normalize_rewards")
@needs("test_mean_zero_and_spread_one")
def test_what_is_not_finite_is_refused(student, seed):
    """Empty tensors, infinity and NaN are refused, in the rewards and in the reference."""
    rewards = normal(seed, 4)
    for bad in (math.inf, -math.inf, math.nan):
        spoilt = rewards.clone()
        spoilt[seed % 4] = bad
        student.normalize_rewards(spoilt).refused()
        student.normalize_rewards(rewards, spoilt).refused()
        student.normalize_rewards(spoilt, rewards).refused()
    student.normalize_rewards(rewards[:0]).refused()
    student.normalize_rewards(rewards, rewards[:0]).refused()


# --------------------------------------------------------------------------------------------------- train_reward_model

LINES = (
    "<bos> our staff was lovely . <eos>",
    "<bos> honestly our staff was awful and noisy . <eos>",
    "<bos> the view was very clean . <eos>",
    "<bos> honestly the view was not warm . <eos>",
)
IN_ORDER, CALIBRATION = 0.85, 0.10
NEAR = 0.12
"""300 draws of 64 pairs, and a learning rate that not everybody lowers: chances wander by a few hundredths."""


def four_reviews():
    """150 pairs of four reviews: four prompts that disagree about two of them, in unequal numbers, and a fifth."""
    tokens = torch.zeros(4, 13, dtype=torch.int64)
    for row, ids in zip(tokens, map(reviews.encode, LINES), strict=True):
        start = reviews.PROMPT - 1 - ids.index(reviews.ID["was"])  # prompts end in one column
        row[start : start + len(ids)] = torch.tensor(ids)
    pairs = [(0, 1, 0)] * 90 + [(1, 0, prompt) for prompt in (1, 2, 3)] * 10 + [(2, 3, 4)] * 45 + [(3, 2, 4)] * 15
    chosen, rejected, prompts = torch.tensor(pairs).T
    mask = tokens != reviews.PAD
    return tokens, mask, [tokens[chosen], mask[chosen], tokens[rejected], mask[rejected], prompts]


def grown(base, weights):
    """The grader's own reward model, with the weights that came back."""
    model = RewardModel(TinyLM(**base.config), ShippedHead(base.config["d_model"]))
    take_weights(model, weights)
    return model.eval()


@task("train_reward_model")
def test_whole_texts_are_what_is_read(student, seed):
    """Each step reads 64 pairs, each text whole and as its mask says, also where a real token has padding's number."""
    *_, given = four_reviews()
    for i in (0, 2):
        given[i] = given[i].masked_fill(given[i] == reviews.EOS, reviews.PAD)
    steps = 2 + seed % 3
    found = student.ask(reading, *given, steps, seed).value
    assert found["read"] == steps * 2 * 64, "A step should read 64 pairs, and so 128 texts."
    assert found["others"] == 0, "Something else than the given texts was read: the masks say what is real."
    assert found["apart"], "The model that comes back should give each text a score of its own."


@task("train_reward_model")
@needs("test_whole_texts_are_what_is_read")
def test_a_seed_fixes_the_training(student, seed):
    """Two trainings with one seed give the same scores, with another seed they do not; the model is in eval mode."""
    *_, given = four_reviews()
    config = {"vocab_size": 25, "d_model": 16, "n_layers": 1, "n_heads": 2, "dropout": 0.1}
    found = student.ask(train_twice, config, *given, 3, [seed, seed, seed + 1]).value
    one, again, other = found["scores"]
    assert torch.equal(one, again), "One seed gave two models: what else was drawn from?"
    assert not torch.equal(one, other), "Two seeds gave one model."
    assert not any(found["training"]), "The model should come back in eval mode."


@task("train_reward_model")
@weight(2)
@needs("test_whole_texts_are_what_is_read")
@graded_run(cpu_seconds=60)
def test_the_chances_are_the_true_ones(student, run):
    """Where prompts weigh the same, the chances that the scores give are the true ones: 3/4 for each pair of reviews."""
    tokens, mask, given = four_reviews()
    base = pretrained("reviews_base")
    student.ask(train, base.config, base.state_dict(), *given, 150, run.seed)
    with torch.no_grad():
        r = grown(base, student.ask(trained_weights).value)(tokens, mask)
    chances = torch.sigmoid(torch.stack([r[1] - r[0], r[2] - r[3]]))
    ends = {
        "no_weights": [0.25, 0.75],  # 30 against 90
        "weights_by_count": [300 / (300 + 90 * 90), 0.75],  # 3 prompts of 10 times 10 against 90 times 90
        "trained_backwards": [0.25, 0.25],
        "trained_on_raw_difference": [1, 1],
    }
    run.tells("chance of the preferred review", chances.tolist(), [0.75, 0.75], atol=NEAR, mistakes=ends)


@task("train_reward_model")
@weight(3)
@needs("test_whole_texts_are_what_is_read")
@graded_run(cpu_seconds=100)
def test_fresh_pairs_are_put_in_order(student, run):
    """After 300 steps at least 85% of fresh pairs are in the true order, and the calibration error is at most 0.10."""
    generator = torch.Generator().manual_seed(run.seed + 5000)
    base = pretrained("reviews_base")
    pairs = reviews.judged_pairs(4000, generator)
    given = (*reviews.whole(pairs, "chosen"), *reviews.whole(pairs, "rejected"), pairs["numbers"])
    read = student.ask(train, base.config, base.state_dict(), *given, 300, run.seed).value
    assert read <= 300 * 2 * 64, "More texts were read than 300 steps of 64 pairs have."
    model = grown(base, student.ask(trained_weights).value)

    fresh = reviews.unjudged_pairs(1000, generator)
    with torch.no_grad():
        a, b = model(*reviews.whole(fresh, "a")), model(*reviews.whole(fresh, "b"))
    # float32, another way through the same matrices: the student's own head has to read what ours reads
    student.ask(trained_scores, *reviews.whole(fresh, "a")).equals(a, rtol=1e-3, atol=1e-3)
    order, error = order_and_calibration(torch.sigmoid(a - b), fresh["gap"])
    run.reaches("share of noisy labels that the true scores foresee", (pairs["gap"] > 0).float().mean().item())
    # The order comes last: it is the figure that mistakes are held against.
    run.figures.append(Figure("calibration error", error, CALIBRATION))
    run.reaches("share of fresh pairs in the true order", order, at_least=IN_ORDER)
    if error > CALIBRATION:
        raise Missed(f"The calibration error is {error:.3f}; at most {CALIBRATION:g} is allowed.")
