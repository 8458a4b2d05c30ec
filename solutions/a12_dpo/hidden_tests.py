"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. `@needs` stands on every property that an empty answer has too.
"""

import math

import pytest
import torch
from asks import (
    answer_and_gradients,
    dpo_and_gradients,
    ipo_and_gradients,
    reading,
    rewards_and_whether_they_train,
    rows_one_by_one,
    train,
    train_twice,
    trained_weights,
)
from common import reviews
from common.preferences import generate
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


# --------------------------------------------------------------------------------------------------- sequence_log_prob


def answers(seed, B=5, T=9, V=7):
    """Logits, tokens and the mask of answers: prompts of 2 to 4 tokens, answers of 2 to 4, ends at different columns."""
    start, length = whole(seed, 2, 5, B), whole(seed + 1, 2, 5, B)
    length[0], length[1] = 2, 4  # lengths differ, so that a mean is told from a sum
    columns = torch.arange(1, T)  # column t belongs to token t + 1
    mask = (columns >= start[:, None]) & (columns < (start + length)[:, None])
    read = torch.nn.functional.pad(mask, (0, 1))
    junk = 100 * uniform(seed + 2, B, T, V) - 50  # what predicts no answer
    return torch.where(read[..., None], 1.5 * normal(seed, B, T, V), junk), whole(seed + 3, 0, V, B, T), mask


@task("sequence_log_prob")
@weight(3)
@pytest.mark.parametrize("average", [False, True])
def test_the_answers_tokens_are_summed(student, reference, seed, average):
    """The log-probabilities of the answer's tokens are summed, or averaged; each is predicted by the column before it."""
    asked = (*answers(seed), average)
    student.ask(answer_and_gradients, *asked).equals(reference.ask(answer_and_gradients, *asked), **FLOAT64)


@task("sequence_log_prob")
@pytest.mark.parametrize("average", [False, True])
def test_an_answer_without_tokens_is_zero(student, reference, seed, average):
    """A row without True gives 0, beside rows that have some, and spoils no gradient."""
    logits, tokens, mask = answers(seed)
    mask[seed % 5] = False
    asked = (logits, tokens, mask, average)
    student.ask(answer_and_gradients, *asked).equals(reference.ask(answer_and_gradients, *asked), **FLOAT64)


@task("sequence_log_prob")
@needs("test_the_answers_tokens_are_summed")
def test_tokens_under_a_false_may_be_anything(student, reference, seed):
    """A token under a False may have any number, also one that is no word, and so may the first token."""
    logits, tokens, mask = answers(seed)
    filled = tokens.clone()
    filled[:, 1:] = torch.where(mask, tokens[:, 1:], whole(seed, 0, 2, *mask.shape) * 107 - 100)  # -100 or 7
    filled[:, 0] = -100
    student.sequence_log_prob(logits, filled, mask).equals(reference.sequence_log_prob(logits, tokens, mask), **FLOAT64)


@task("sequence_log_prob")
@needs("test_the_answers_tokens_are_summed")
def test_an_answer_may_stand_anywhere(student, reference, seed):
    """The same answer gives the same number with padding on the left, on the right, and in a batch."""
    logits, tokens, mask = normal(seed, 1, 5, 6), whole(seed, 0, 6, 1, 5), torch.tensor([[False, True, True, True]])
    alone = reference.sequence_log_prob(logits, tokens, mask).value
    rows = [40 * normal(seed + 1, 3, 9, 6), whole(seed + 1, 0, 6, 3, 9), torch.zeros(3, 8, dtype=torch.bool)]
    for row, start in enumerate((0, 4, 2)):
        rows[0][row, start : start + 5], rows[1][row, start : start + 5] = logits[0], tokens[0]
        rows[2][row, start : start + 4] = mask[0]
    student.sequence_log_prob(*rows).equals(alone.repeat(3), **FLOAT64)


@task("sequence_log_prob")
@needs("test_the_answers_tokens_are_summed")
def test_a_row_knows_nothing_of_its_neighbours(student, seed):
    """A row's number is the same alone and in a batch."""
    asked = (*answers(seed), True)
    together = student.sequence_log_prob(*asked[:3], average=True).value
    student.ask(rows_one_by_one, *asked).equals(together, **FLOAT64)


@task("sequence_log_prob")
def test_large_logits_stay_finite(student, reference, seed):
    """Logits of 10,000 give finite numbers, and those of float32."""
    logits, tokens, mask = answers(seed)
    asked = ((1e4 * logits.sign() * uniform(seed, *logits.shape)).float(), tokens, mask, False)
    # float32: numbers of size 10,000, exact to seven digits, and sums of four of them
    student.ask(answer_and_gradients, *asked).equals(reference.ask(answer_and_gradients, *asked), rtol=1e-5, atol=1e-2)


@task("sequence_log_prob")
@needs("test_the_answers_tokens_are_summed")
def test_what_does_not_fit_is_refused(student, seed):
    """A mask of T columns is refused, tokens of another shape, and a token of an answer that is no word."""
    logits, tokens, mask = answers(seed)
    student.sequence_log_prob(logits, tokens, torch.nn.functional.pad(mask, (1, 0))).refused()
    student.sequence_log_prob(logits, tokens[:, :-1], mask).refused()
    student.sequence_log_prob(logits, tokens[:-1], mask).refused()
    for wrong in (-1, 7, 1000):
        spoilt = tokens.clone()
        spoilt[:, 1:][mask] = wrong
        student.sequence_log_prob(logits, spoilt, mask).refused()


# ------------------------------------------------------------------------------------------------------------ dpo_loss


def four(seed, B=6):
    """Log-probabilities of answers: policy chosen and rejected, reference chosen and rejected, all of size ten."""
    start = -10 + 3 * normal(seed, 2, B)
    return *(start + 1.5 * normal(seed + 1, 2, B)), *start


def rate(seed, low, high):
    return low + (high - low) * uniform(seed + 5, 1).item()


@task("dpo_loss")
@weight(3)
def test_dpo_value_and_gradients(student, reference, seed):
    """The loss is the mean of -log sigmoid(beta h), and so are its gradients; the reference gets none."""
    asked = (*four(seed), rate(seed, 0.2, 0.8), 0.0)
    student.ask(dpo_and_gradients, *asked).equals(reference.ask(dpo_and_gradients, *asked), **FLOAT64)


@task("dpo_loss")
@weight(2)
def test_smoothing_believes_in_both_outcomes(student, reference, seed):
    """With label smoothing the other outcome counts too, by its share."""
    asked = (*four(seed), rate(seed, 0.2, 0.8), rate(seed + 1, 0.1, 0.4))
    student.ask(dpo_and_gradients, *asked).equals(reference.ask(dpo_and_gradients, *asked), **FLOAT64)


@task("dpo_loss")
def test_a_tenth_by_default(student, reference, seed):
    """Left out, beta is 0.1 and nothing is smoothed."""
    asked = four(seed)
    student.dpo_loss(*asked).equals(reference.dpo_loss(*asked), **FLOAT64)


@task("dpo_loss")
def test_at_the_reference(student, seed):
    """Where the policy is the reference the loss is log 2, and each pair pulls with beta / 2B."""
    _, _, chosen, rejected = four(seed)
    beta = rate(seed, 0.2, 0.8)
    pull, nothing = torch.full_like(chosen, beta / 2 / len(chosen)), torch.zeros_like(chosen)
    truth = {"loss": torch.tensor(math.log(2), dtype=torch.float64), "chosen": -pull, "rejected": pull}
    answer = student.ask(dpo_and_gradients, chosen, rejected, chosen, rejected, beta, 0.0)
    answer.equals({**truth, "reference": [nothing, nothing]}, **FLOAT64)


@task("dpo_loss")
@needs("test_dpo_value_and_gradients")
def test_swapping_turns_the_gap(student, seed):
    """Chosen and rejected exchanged, the loss is larger by the mean of beta h."""
    pc, pr, rc, rr = four(seed)
    beta = rate(seed, 0.2, 0.8)
    more = student.dpo_loss(pr, pc, rr, rc, beta).value - student.dpo_loss(pc, pr, rc, rr, beta).value
    assert abs(more - beta * ((pc - rc) - (pr - rr)).mean()) < 1e-9, (
        "Exchanged, the loss should change by the mean margin."
    )


@task("dpo_loss")
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_gaps_of_ten_thousand(student, reference, seed, size):
    """For gaps of 10,000 and more the loss and its gradients are finite, those of float32, and with smoothing too."""
    chosen = size * (0.5 + 0.5 * uniform(seed, 3)).float()
    nothing = torch.zeros(3)
    for smoothing in (0.0, 0.2):
        asked = (chosen, -chosen, nothing, nothing, 1.0, smoothing)
        # float32: numbers of size 20,000, exact to seven digits
        student.ask(dpo_and_gradients, *asked).equals(reference.ask(dpo_and_gradients, *asked), **FLOAT32)


@task("dpo_loss")
@needs("test_smoothing_believes_in_both_outcomes")
def test_smoothing_has_an_optimum(student, seed):
    """With smoothing e nothing pulls where the gap is log((1 - e) / e) / beta."""
    _, rejected, rc, _ = four(seed)
    beta, e = rate(seed, 0.2, 0.8), rate(seed + 1, 0.1, 0.4)
    chosen = rc + math.log((1 - e) / e) / beta
    found = student.ask(dpo_and_gradients, chosen, rejected, rc, rejected, beta, e).value
    assert found["chosen"].abs().max() < 1e-9, "At its optimum a smoothed pair should not pull."


@task("dpo_loss")
@needs("test_dpo_value_and_gradients")
def test_what_is_no_pair_is_refused(student, seed):
    """Unequal shapes are refused, also where they would broadcast; so are an empty batch and rates out of range."""
    pair = four(seed)
    for place in range(4):
        for other in (pair[place][:3], pair[place][:1], pair[place][:, None]):
            student.dpo_loss(*pair[:place], other, *pair[place + 1 :]).refused()
    student.dpo_loss(*(x[:0] for x in pair)).refused()
    for beta in (0.0, -0.1):
        student.dpo_loss(*pair, beta=beta).refused()
    for smoothing in (-0.01, 0.5, 0.7):
        student.dpo_loss(*pair, label_smoothing=smoothing).refused()


# ---------------------------------------------------------------------------------------------------- implicit_rewards


@task("implicit_rewards")
@weight(2)
def test_beta_times_the_log_ratio(student, reference, seed):
    """The reward is beta times what the answer has gained over the reference, and it carries no gradient."""
    logp, _, ref, _ = four(seed)
    asked = (logp, ref, rate(seed, 0.2, 0.8))
    truth = reference.ask(rewards_and_whether_they_train, *asked)
    student.ask(rewards_and_whether_they_train, *asked).equals(truth, **FLOAT64)


@task("implicit_rewards")
def test_rewards_with_the_usual_beta(student, reference, seed):
    """Left out, beta is 0.1."""
    logp, _, ref, _ = four(seed)
    student.implicit_rewards(logp, ref).equals(reference.implicit_rewards(logp, ref), **FLOAT64)


@task("implicit_rewards")
@needs("test_beta_times_the_log_ratio")
def test_rewards_of_unequal_shapes(student, seed):
    """Unequal shapes and a beta that is not above 0 are refused."""
    logp, _, ref, _ = four(seed)
    student.implicit_rewards(logp, ref[:3]).refused()
    student.implicit_rewards(logp, ref[:, None]).refused()
    student.implicit_rewards(logp, ref, beta=0.0).refused()
    student.implicit_rewards(logp, ref, beta=-1.0).refused()


# ------------------------------------------------------------------------------------------------------------ ipo_loss


@task("ipo_loss")
@weight(3)
def test_ipo_value_and_gradients(student, reference, seed):
    """The loss is the mean of (h - 1 / (2 beta))^2, and so are its gradients; the reference gets none."""
    asked = (*four(seed), rate(seed, 0.2, 0.8))
    student.ask(ipo_and_gradients, *asked).equals(reference.ask(ipo_and_gradients, *asked), **FLOAT64)


@task("ipo_loss")
def test_five_nats_by_default(student, reference, seed):
    """Left out, beta is 0.1, and the gap asked for 5."""
    asked = four(seed)
    student.ipo_loss(*asked).equals(reference.ipo_loss(*asked), **FLOAT64)


@task("ipo_loss")
@needs("test_ipo_value_and_gradients")
def test_ipo_has_a_floor(student, seed):
    """At a gap of 1 / (2 beta) nothing costs and nothing pulls; a wider gap costs as much as a narrower one."""
    _, rejected, rc, _ = four(seed)
    beta = rate(seed, 0.2, 0.8)
    at = rc + 1 / (2 * beta)
    found = student.ask(ipo_and_gradients, at, rejected, rc, rejected, beta).value
    assert found["loss"].abs() < 1e-12, "At the gap asked for, the loss should be 0."
    assert found["chosen"].abs().max() < 1e-9, "At the gap asked for, nothing should pull."
    wide, narrow = (student.ipo_loss(at + off, rejected, rc, rejected, beta).value for off in (0.7, -0.7))
    assert abs(wide - narrow) < 1e-9, "Too wide should cost as much as too narrow."


@task("ipo_loss")
@needs("test_ipo_value_and_gradients")
def test_what_ipo_cannot_compare(student, seed):
    """Unequal shapes, an empty batch and a beta that is not above 0 are refused."""
    pair = four(seed)
    for place in range(4):
        for other in (pair[place][:3], pair[place][:1], pair[place][:, None]):
            student.ipo_loss(*pair[:place], other, *pair[place + 1 :]).refused()
    student.ipo_loss(*(x[:0] for x in pair)).refused()
    for beta in (0.0, -0.1):
        student.ipo_loss(*pair, beta=beta).refused()


# ----------------------------------------------------------------------------------------------------------- train_dpo

SIDES = ("chosen", "rejected")
LINES = (
    ("<bos> honestly our staff was", "clean . <eos>", "not very stupid", 90, 30),
    ("<bos> the view was", "but", "noisy", 45, 15),
)
NEAR = 0.4
"""Margins in a world of 64 drawn pairs a step: they wander by one or two tenths."""


def two_prompts(R=5):
    """180 pairs on two prompts; on each of them three judges of four choose the first answer.

    On the first the answers are three tokens long, so that means make a margin three times as wide; on the second one
    token, so that there is nothing left to train where the first token is lost.
    """
    pairs = {name: [] for side in ("prompts", *SIDES) for name in (side, f"{side}_mask")}
    for prompt, first, second, often, seldom in LINES:
        before = reviews.encode(prompt)
        for one, other, times in ((first, second, often), (second, first, seldom)):
            row = {"prompts": [reviews.PAD] * (reviews.PROMPT - len(before)) + before}
            row["prompts_mask"] = [False] * (reviews.PROMPT - len(before)) + [True] * len(before)
            for side, answer in zip(SIDES, (one, other), strict=True):
                ids = reviews.encode(answer)
                row[side] = ids + [reviews.PAD] * (R - len(ids))
                row[f"{side}_mask"] = [True] * len(ids) + [False] * (R - len(ids))
            for name, values in row.items():
                pairs[name] += [values] * times
    return {name: torch.tensor(rows) for name, rows in pairs.items()}


@torch.no_grad()
def log_probs(model, pairs, side):
    """The grader's own log-probabilities of whole answers, (N,)."""
    tokens, real = reviews.together(pairs["prompts"], pairs["prompts_mask"], pairs[side], pairs[f"{side}_mask"])
    logp = model(tokens, real)[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]
    counts = torch.cat([torch.zeros_like(pairs["prompts_mask"]), pairs[f"{side}_mask"]], dim=1)
    return logp.masked_fill(~counts[:, 1:], 0).sum(1)


def grown(base, weights):
    """The grader's own language model, with the weights that came back."""
    model = TinyLM(**base.config)
    take_weights(model, weights)
    return model.eval()


@task("train_dpo")
def test_answers_are_pulled_and_nothing_else(student, seed):
    """Each step reads 64 pairs, as their masks say and without dropout; it pulls every token of an answer, no padding."""
    pairs = two_prompts()
    for side in SIDES:  # a real token has the number of padding
        pairs[side] = pairs[side].masked_fill(pairs[side] == reviews.EOS, reviews.PAD)
    steps = 2 + seed % 3
    found = student.ask(reading, pairs, steps, seed).value
    assert found["read"] == steps * 2 * 64, "A step should read 64 pairs with gradients, and so 128 texts."
    assert found["others"] == 0, "Something else than a prompt with its answer was read: the masks say what is real."
    assert found["dropping"] == 0, "Dropout was on while the policy was read."
    assert found["missed"] == 0, "A token of an answer was never trained: which column predicts it?"
    assert found["beyond"] == 0, "A column was trained that predicts padding."
    assert found["moved"], "The policy that comes back has the weights that it came with."
    assert found["speaks"], "The policy that comes back likes all words alike."


@task("train_dpo")
@needs("test_answers_are_pulled_and_nothing_else")
def test_a_seed_fixes_the_policy(student, seed):
    """Two trainings with one seed give the same weights, with another seed they do not; the policy is in eval mode."""
    config = {"vocab_size": 25, "d_model": 16, "n_layers": 1, "n_heads": 2, "dropout": 0.1}
    found = student.ask(train_twice, config, two_prompts(), 3, [seed, seed, seed + 1]).value
    one, again, other = found["weights"]
    assert torch.equal(one, again), "One seed gave two policies: what else was drawn from?"
    assert not torch.equal(one, other), "Two seeds gave one policy."
    assert not any(found["training"]), "The policy should come back in eval mode."


@task("train_dpo")
@weight(2)
@needs("test_answers_are_pulled_and_nothing_else")
@graded_run(cpu_seconds=60)
def test_margins_end_where_the_judges_stand(student, run):
    """Where three judges of four agree, both margins end at ln 3."""
    pairs, base, beta = two_prompts(), pretrained("reviews_base"), 0.5
    student.ask(train, base.config, base.state_dict(), pairs, 150, beta, run.seed)
    policy = grown(base, student.ask(trained_weights).value)
    start = {side: log_probs(base, pairs, side) for side in SIDES}
    gap = {side: log_probs(policy, pairs, side) - start[side] for side in SIDES}
    rows = [0, 120]  # one pair of each prompt, with the answer first that most judges choose
    margins = beta * (gap["chosen"] - gap["rejected"])[rows]

    fair = math.log(3)
    before = (beta * (start["chosen"] - start["rejected"]))[rows].tolist()
    ends = {
        "answers_exchanged": [-fair, -fair],
        "length_means": [3 * fair, fair],
        "trained_without_reference": [fair - x for x in before],
        "usual_beta": [fair * beta / 0.1, fair * beta / 0.1],
    }
    run.tells("margin of the preferred answer", margins.tolist(), [fair, fair], atol=NEAR, mistakes=ends)


@task("train_dpo")
@weight(3)
@needs("test_answers_are_pulled_and_nothing_else")
@graded_run(cpu_seconds=100)
def test_the_policy_beats_its_start(student, run):
    """After 150 steps fresh pairs are ordered, the policy beats its start, has not run away, and its answers still end."""
    generator = torch.Generator().manual_seed(run.seed + 5000)
    base = pretrained("reviews_base")
    pairs = reviews.judged_pairs(4000, generator)
    read = student.ask(train, base.config, base.state_dict(), pairs, 150, 0.3, run.seed).value
    assert read <= 150 * 2 * 64, "More texts were read than 150 steps of 64 pairs have."
    policy = grown(base, student.ask(trained_weights).value)

    fresh = reviews.unjudged_pairs(1000, generator)
    a, b = (log_probs(policy, fresh, side) - log_probs(base, fresh, side) for side in ("a", "b"))
    apart, a_better = fresh["gap"] != 0, fresh["gap"] > 0
    better, worse = torch.where(a_better, a, b)[apart], torch.where(a_better, b, a)[apart]
    prompts, mask, _ = reviews.sample_prompts(512, generator)
    ours, theirs = (generate(lm, prompts, mask, 12, reviews.EOS, reviews.PAD, 1.0, generator) for lm in (policy, base))
    lead = reviews.gold_scores(*ours) - reviews.gold_scores(*theirs)
    beside = {
        "win rate against the start": (((lead > 0).float() + 0.5 * (lead == 0)).mean().item(), 0.80),
        "mean log-ratio of the better answers": (better.mean().item(), -10.0),
        "share of answers that end": ((ours[0] == reviews.EOS).any(1).float().mean().item(), 0.90),
    }
    run.reaches("mean log-ratio of the worse answers", worse.mean().item())
    run.reaches("mean margin, beta times the gap", 0.3 * (better - worse).mean().item())
    # The order comes last: it is the figure that mistakes are held against.
    run.figures += [Figure(name, value, least) for name, (value, least) in beside.items()]
    run.reaches("share of fresh pairs in the true order", (better > worse).float().mean().item(), at_least=0.86)
    for name, (value, least) in beside.items():
        if value < least:
            raise Missed(f"The {name} is {value:.3g}; at least {least:g} is needed.")
