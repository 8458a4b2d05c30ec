"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import torch
import torch.nn.functional as F
from common.preferences import frozen_copy
from reference import dpo_loss, implicit_rewards, ipo_loss, sequence_log_prob
from torch import nn

from autograder.testing import mistake

# --------------------------------------------------------------------------------------------------- sequence_log_prob

SUM = "test_the_answers_tokens_are_summed"
EMPTY = "test_an_answer_without_tokens_is_zero"
ANYWHERE = "test_an_answer_may_stand_anywhere"
ANYTHING = "test_tokens_under_a_false_may_be_anything"


def _picked(logits, tokens, mask):
    """The reference's log-probabilities of tokens[:, 1:], (B, T-1)."""
    targets = tokens[:, 1:].masked_fill(~mask, 0)
    return logits[:, :-1].log_softmax(-1).gather(2, targets[..., None])[..., 0]


@mistake(
    "sequence_log_prob",
    seen="A long answer's evidence is divided by its length; the derivation compares whole answers.",
    named="This equals the mean over the answer's tokens, also where the sum is asked for.",
    caught_by=(SUM, ANYWHERE),
)
def mean_for_sum(logits, tokens, mask, average=False):
    return sequence_log_prob(logits, tokens, mask, average=True)


@mistake(
    "sequence_log_prob",
    seen="The target gap of IPO is per token: with sums, long answers overshoot it at once.",
    named="This equals the sum over the answer's tokens, also where the mean is asked for.",
    caught_by=SUM,
)
def sum_for_mean(logits, tokens, mask, average=False):
    return sequence_log_prob(logits, tokens, mask)


@mistake(
    "sequence_log_prob",
    seen="Your mean depends on how wide the batch happens to be.",
    named="This equals the sum divided by all columns, masked ones too.",
    caught_by=SUM,
)
def mean_over_the_width(logits, tokens, mask, average=False):
    total = sequence_log_prob(logits, tokens, mask)
    return total / mask.shape[1] if average else total


@mistake(
    "sequence_log_prob",
    seen="Words that both answers share, and the model did not write, enter your sums.",
    named="This equals the log-probability of the whole row, the mask ignored.",
    caught_by=(SUM, ANYWHERE),
)
def prompt_counted(logits, tokens, mask, average=False):
    sequence_log_prob(logits, tokens, mask)
    return sequence_log_prob(logits, tokens.clamp(0, logits.shape[2] - 1), torch.ones_like(mask), average)


@mistake(
    "sequence_log_prob",
    seen="The first word of each answer is never trained; check which column predicts it.",
    named="This equals a mask that is shifted to the right by one column.",
    caught_by=(SUM, ANYWHERE),
)
def first_token_lost(logits, tokens, mask, average=False):
    sequence_log_prob(logits, tokens, mask)
    later = F.pad(mask, (1, 0))[:, :-1] & mask
    return sequence_log_prob(logits, tokens, later, average)


@mistake(
    "sequence_log_prob",
    seen="The last word of each answer is missing from your sums, and it may be the one that ends it.",
    named="This equals a mask without the last True of each row.",
    caught_by=(SUM, ANYWHERE),
)
def last_token_lost(logits, tokens, mask, average=False):
    sequence_log_prob(logits, tokens, mask)
    return sequence_log_prob(logits, tokens, mask & F.pad(mask, (0, 1))[:, 1:], average)


@mistake(
    "sequence_log_prob",
    seen="You read the probability of the word that was given, not of the one that came next.",
    named="This equals the log-probability of tokens[:, t] under logits[:, t].",
    caught_by=(SUM, ANYWHERE),
)
def wrong_token_gathered(logits, tokens, mask, average=False):
    sequence_log_prob(logits, tokens, mask)
    given = F.pad(tokens[:, :-1].clamp(0, logits.shape[2] - 1), (1, 0))
    return sequence_log_prob(logits, given, mask, average)


@mistake(
    "sequence_log_prob",
    seen="Add one number to all logits of a column: a probability stays, and yours does not.",
    named="This equals the sum of the logits themselves, without a softmax.",
    caught_by=(SUM, ANYWHERE),
)
def raw_logits(logits, tokens, mask, average=False):
    sequence_log_prob(logits, tokens, mask)
    targets = tokens[:, 1:].masked_fill(~mask, 0)
    total = logits[:, :-1].gather(2, targets[..., None])[..., 0].masked_fill(~mask, 0).sum(1)
    return total / mask.sum(1).clamp(min=1) if average else total


@mistake(
    "sequence_log_prob",
    seen="A row without an answer has no mean, and yours says so too loudly.",
    named="This equals a division by the number of True, also where it is 0.",
    caught_by=EMPTY,
)
def nan_for_nothing(logits, tokens, mask, average=False):
    total = sequence_log_prob(logits, tokens, mask)
    return total / mask.sum(1) if average else total


@mistake(
    "sequence_log_prob",
    seen="For very unlikely words your number is not finite.",
    named="This equals the logarithm of a softmax that has already become 0.",
    caught_by="test_large_logits_stay_finite",
)
def log_of_softmax(logits, tokens, mask, average=False):
    sequence_log_prob(logits, tokens, mask)
    targets = tokens[:, 1:].masked_fill(~mask, 0)
    logp = logits[:, :-1].softmax(-1).gather(2, targets[..., None])[..., 0].log()
    total = logp.masked_fill(~mask, 0).sum(1)
    return total / mask.sum(1).clamp(min=1) if average else total


@mistake(
    "sequence_log_prob",
    seen="What stands under a False has made you stumble. Whom do you believe, the mask or the tokens?",
    named="This equals a look-up of every token of the row, also of those that do not count.",
    caught_by=ANYTHING,
)
def looks_under_the_mask(logits, tokens, mask, average=False):
    if ((tokens < 0) | (tokens >= logits.shape[2])).any():
        raise ValueError("tokens holds an id outside of the vocabulary")
    return sequence_log_prob(logits, tokens, mask, average)


@mistake(
    "sequence_log_prob",
    seen="A mask with a column too many is taken, and then means something else.",
    named="This equals a mask of T columns whose first, or last, is quietly left out.",
    caught_by="test_what_does_not_fit_is_refused",
)
def any_mask(logits, tokens, mask, average=False):
    if mask.shape[1] == tokens.shape[1]:
        mask = mask[:, 1:]
    return sequence_log_prob(logits, tokens, mask, average)


# ------------------------------------------------------------------------------------------------------------- dpo_loss

VALUE = "test_dpo_value_and_gradients"
SMOOTH = "test_smoothing_believes_in_both_outcomes"
USUAL = "test_a_tenth_by_default"
FAR = "test_gaps_of_ten_thousand"
START = "test_at_the_reference"


def _gap(pc, pr, rc, rr):
    return (pc - rc.detach()) - (pr - rr.detach())


def _loss(margin, smoothing):
    return (-(1 - smoothing) * F.logsigmoid(margin) - smoothing * F.logsigmoid(-margin)).mean()


@mistake(
    "dpo_loss",
    seen="The margin grows the wrong way: rejected answers become likelier.",
    named="This equals the loss with chosen and rejected exchanged.",
    caught_by=(VALUE, SMOOTH, START),
)
def swapped(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    return dpo_loss(policy_rejected, policy_chosen, ref_rejected, ref_chosen, beta, label_smoothing)


@mistake(
    "dpo_loss",
    seen="The two sides of the difference are not on one scale.",
    named="This equals beta on the chosen answer's log-ratio alone.",
    caught_by=(VALUE, SMOOTH),
)
def beta_one_side(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing)
    chosen, rejected = policy_chosen - ref_chosen.detach(), policy_rejected - ref_rejected.detach()
    return _loss(beta * chosen - rejected, label_smoothing)


@mistake(
    "dpo_loss",
    seen="Nothing keeps the policy near its start, and it forgets how to end a sentence.",
    named="This equals the loss without the reference's log-probabilities.",
    caught_by=(VALUE, SMOOTH, START),
)
def no_reference(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing)
    return _loss(beta * (policy_chosen - policy_rejected), label_smoothing)


@mistake(
    "dpo_loss",
    seen="Your reference moves together with the policy, so the gap cannot open.",
    named="This equals the loss with a gradient that flows into the reference too.",
    caught_by=(VALUE, SMOOTH, START),
)
def reference_has_gradient(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing)
    return _loss(beta * ((policy_chosen - ref_chosen) - (policy_rejected - ref_rejected)), label_smoothing)


@mistake(
    "dpo_loss",
    seen="A badly lost pair gives an infinite loss where a straight line would do.",
    named="This equals the logarithm of a sigmoid that has already become 0.",
    caught_by=FAR,
)
def log_of_sigmoid(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing)
    margin = beta * _gap(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    e = label_smoothing
    lost = e * torch.log(torch.sigmoid(-margin)) if e else 0.0
    return (-(1 - e) * torch.log(torch.sigmoid(margin)) - lost).mean()


@mistake(
    "dpo_loss",
    seen="That is the noise-corrected loss: it equals yours only at zero smoothing.",
    named="This equals the robust loss: the outcomes weigh (1 - e) and -e, and all is divided by 1 - 2e.",
    caught_by=SMOOTH,
)
def robust_for_smoothing(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing)
    margin = beta * _gap(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    e = label_smoothing
    return ((-(1 - e) * F.logsigmoid(margin) + e * F.logsigmoid(-margin)) / (1 - 2 * e)).mean()


@mistake(
    "dpo_loss",
    seen="Whatever share of the labels is said to be wrong, you believe them all.",
    named="This equals the loss without label smoothing.",
    caught_by=SMOOTH,
)
def smoothing_ignored(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing)
    return dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)


@mistake(
    "dpo_loss",
    seen="Your loss does not depend on beta as a margin should.",
    named="This equals beta outside of the logarithm: beta times -log sigmoid(h).",
    caught_by=(VALUE, SMOOTH, USUAL),
)
def beta_outside(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing)
    return beta * _loss(_gap(policy_chosen, policy_rejected, ref_chosen, ref_rejected), label_smoothing)


@mistake(
    "dpo_loss",
    seen="Twice as many pairs make your loss twice as large.",
    named="This equals the sum over the pairs.",
    caught_by=(VALUE, SMOOTH, USUAL),
)
def summed(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    loss = dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing)
    return loss * len(policy_chosen)


@mistake(
    "dpo_loss",
    seen="Your average comes before the logarithm: one easy pair can hide a hard one.",
    named="This equals the loss of the mean gap.",
    caught_by=(VALUE, SMOOTH, USUAL),
)
def loss_of_the_mean(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta, label_smoothing)
    return _loss(beta * _gap(policy_chosen, policy_rejected, ref_chosen, ref_rejected).mean(), label_smoothing)


@mistake(
    "dpo_loss",
    seen="Numbers that do not belong to pairs are compared with each other.",
    named="This equals shapes that broadcast, and settings that nobody looks at.",
    caught_by="test_what_is_no_pair_is_refused",
)
def broadcasts(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    return _loss(beta * _gap(policy_chosen, policy_rejected, ref_chosen, ref_rejected), label_smoothing)


# ----------------------------------------------------------------------------------------------------- implicit_rewards

REWARDS = "test_beta_times_the_log_ratio"


@mistake(
    "implicit_rewards",
    seen="Answers that the policy has learnt to avoid get the best rewards.",
    named="This equals the reference's log-probability minus the policy's.",
    caught_by=REWARDS,
)
def reference_minus_policy(policy_logp, ref_logp, beta=0.1):
    return -implicit_rewards(policy_logp, ref_logp, beta)


@mistake(
    "implicit_rewards",
    seen="A loose leash and a short one give you the same rewards.",
    named="This equals the log-ratio without beta.",
    caught_by=REWARDS,
)
def log_ratio_alone(policy_logp, ref_logp, beta=0.1):
    return implicit_rewards(policy_logp, ref_logp, beta) / beta


@mistake(
    "implicit_rewards",
    seen="Short answers and common words look good to you, whatever was learnt.",
    named="This equals beta times the policy's log-probability, not compared with anything.",
    caught_by=REWARDS,
)
def policy_alone(policy_logp, ref_logp, beta=0.1):
    return implicit_rewards(policy_logp, torch.zeros_like(ref_logp), beta)


@mistake(
    "implicit_rewards",
    seen="Somebody could train on your rewards without noticing.",
    named="This equals rewards with a graph behind them.",
    caught_by=REWARDS,
)
def rewards_with_a_graph(policy_logp, ref_logp, beta=0.1):
    implicit_rewards(policy_logp, ref_logp, beta)
    return beta * (policy_logp - ref_logp)


@mistake(
    "implicit_rewards",
    seen="Rewards of five answers against three references: what was compared with what?",
    named="This equals shapes that broadcast.",
    caught_by="test_rewards_of_unequal_shapes",
)
def rewards_broadcast(policy_logp, ref_logp, beta=0.1):
    return (
        (abs(beta) * (policy_logp[:, None] - ref_logp.reshape(1, -1))).detach().mean(1)[: len(policy_logp)]
        if (policy_logp.shape != ref_logp.shape)
        else implicit_rewards(policy_logp, ref_logp, abs(beta) or 0.1)
    )


# ------------------------------------------------------------------------------------------------------------- ipo_loss

IPO = "test_ipo_value_and_gradients"
FIVE = "test_five_nats_by_default"


def _checked(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    ipo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    return _gap(policy_chosen, policy_rejected, ref_chosen, ref_rejected)


@mistake(
    "ipo_loss",
    seen="The gap that you ask for is twice the stated one.",
    named="This equals a gap of 1 / beta.",
    caught_by=(IPO, FIVE),
)
def twice_the_gap(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    h = _checked(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    return ((h - 1 / beta) ** 2).mean()


@mistake(
    "ipo_loss",
    seen="Your minimum is in the right place. How steep is the way there?",
    named="This equals (beta h - 1/2)^2, which is smaller by beta squared.",
    caught_by=(IPO, FIVE),
)
def on_the_margin(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    h = _checked(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    return ((beta * h - 0.5) ** 2).mean()


@mistake(
    "ipo_loss",
    seen="A gap that is too wide costs you nothing. What was this loss invented for?",
    named="This equals a hinge: only gaps that are too narrow count.",
    caught_by=IPO,
)
def hinge(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    h = _checked(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    return (torch.clamp(1 / (2 * beta) - h, min=0) ** 2).mean()


@mistake(
    "ipo_loss",
    seen="Rejected answers are asked to lead.",
    named="This equals the loss with chosen and rejected exchanged.",
    caught_by=(IPO, FIVE),
)
def ipo_swapped(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    return ipo_loss(policy_rejected, policy_chosen, ref_rejected, ref_chosen, beta)


@mistake(
    "ipo_loss",
    seen="Your gap says what the policy thinks of the pair, not what it has learnt.",
    named="This equals the gap without the reference.",
    caught_by=(IPO, FIVE),
)
def ipo_without_reference(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    _checked(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    return ((policy_chosen - policy_rejected - 1 / (2 * beta)) ** 2).mean()


@mistake(
    "ipo_loss",
    seen="Your reference moves together with the policy, so the gap cannot open.",
    named="This equals the loss with a gradient that flows into the reference too.",
    caught_by=IPO,
)
def ipo_reference_has_gradient(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    _checked(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    h = (policy_chosen - ref_chosen) - (policy_rejected - ref_rejected)
    return ((h - 1 / (2 * beta)) ** 2).mean()


@mistake(
    "ipo_loss",
    seen="Numbers that do not belong to pairs are compared with each other.",
    named="This equals shapes that broadcast, and a beta that nobody looks at.",
    caught_by="test_what_ipo_cannot_compare",
)
def ipo_broadcasts(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    h = _gap(policy_chosen, policy_rejected, ref_chosen, ref_rejected)
    return ((h - 1 / (2 * (beta or 0.1))) ** 2).mean()


# ------------------------------------------------------------------------------------------------------------ train_dpo

PULLED = "test_answers_are_pulled_and_nothing_else"
SEED = "test_a_seed_fixes_the_policy"
MARGINS = "test_margins_end_where_the_judges_stand"
BEATS = "test_the_policy_beats_its_start"


def _trained(
    policy, prompts, prompt_mask, chosen, chosen_mask, rejected, rejected_mask, steps, beta, seed,
    batch=64, average=False, referee="frozen", shift=0, masks=lambda tokens, mask: mask, count_padding=False,
    dropout=False, seeded=True, eval_mode=True, moves=True,
):  # fmt: skip
    """The reference's training, with one thing otherwise."""
    reference = policy if referee == "policy" else frozen_copy(policy)
    policy.train(dropout)
    generator = torch.Generator()
    if seeded:
        generator.manual_seed(seed)
    else:
        generator.manual_seed(int(torch.randint(2**31, ())))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=5e-4, weight_decay=0.01)

    def log_probs(model, rows, answers, answers_mask):
        tokens = torch.cat([prompts[rows], answers[rows]], dim=1)
        asked, answered = masks(prompts[rows], prompt_mask[rows]), masks(answers[rows], answers_mask[rows])
        real = torch.cat([asked, answered], dim=1)
        counted = torch.ones_like(answered) if count_padding else answered
        counts = torch.cat([torch.zeros_like(asked), counted], dim=1)[:, 1:]
        if shift:
            counts = counts & F.pad(counts, (1, 0))[:, :-1]
        return sequence_log_prob(model(tokens, real), tokens, counts, average)

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-4 * min((step + 1) / 10, 1.0, 2 * (steps - step) / steps)
        rows = torch.randint(len(prompts), (batch,), generator=generator)
        pc, pr = log_probs(policy, rows, chosen, chosen_mask), log_probs(policy, rows, rejected, rejected_mask)
        with torch.no_grad():
            rc = log_probs(reference, rows, chosen, chosen_mask)
            rr = log_probs(reference, rows, rejected, rejected_mask)
            if referee == "none":
                rc, rr = torch.zeros_like(rc), torch.zeros_like(rr)
        loss = dpo_loss(pc, pr, rc, rr, beta)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        if moves:
            optimizer.step()
    return policy.train(not eval_mode)


@mistake(
    "train_dpo",
    seen="The loss is computed, and nothing follows from it. Did a step of the optimiser ever reach the policy?",
    named="This equals a policy that never moves.",
    caught_by=BEATS,
    blocker=True,
)
def untrained(policy, *data):
    return _trained(policy, *data, moves=False)


@mistake(
    "train_dpo",
    seen="The margin grows the wrong way: rejected answers become likelier.",
    named="This equals a training with chosen and rejected exchanged.",
    caught_by=(MARGINS, BEATS),
    blocker=True,
)
def answers_exchanged(policy, prompts, prompt_mask, chosen, chosen_mask, rejected, rejected_mask, steps, beta, seed):
    return _trained(policy, prompts, prompt_mask, rejected, rejected_mask, chosen, chosen_mask, steps, beta, seed)


@mistake(
    "train_dpo",
    seen="The loss stays at log 2 for ever: what are you comparing with what?",
    named="This equals a reference that is the policy itself.",
    caught_by=(MARGINS,),
)
def reference_is_policy(policy, *data):
    return _trained(policy, *data, referee="policy")


@mistake(
    "train_dpo",
    seen="A long answer's evidence is divided by its length, so its probability moves three times as far.",
    named="This equals a training on means over the answer's tokens.",
    caught_by=(MARGINS,),
)
def length_means(policy, *data):
    return _trained(policy, *data, average=True)


@mistake(
    "train_dpo",
    seen="Nothing keeps the policy near its start, and it forgets how to end a sentence.",
    named="This equals a training without a reference.",
    caught_by=(MARGINS,),
)
def trained_without_reference(policy, *data):
    return _trained(policy, *data, referee="none")


@mistake(
    "train_dpo",
    seen="A short leash and a long one give you the same policy.",
    named="This equals beta = 0.1, whatever was asked for.",
    caught_by=(MARGINS,),
)
def usual_beta(policy, prompts, prompt_mask, chosen, chosen_mask, rejected, rejected_mask, steps, beta, seed):
    return _trained(policy, prompts, prompt_mask, chosen, chosen_mask, rejected, rejected_mask, steps, 0.1, seed)


@mistake(
    "train_dpo",
    seen="The first word of each answer is never trained; check which column predicts it.",
    named="This equals masks that begin one column late.",
    caught_by=PULLED,
)
def trained_without_first_token(policy, *data):
    return _trained(policy, *data, shift=1)


@mistake(
    "train_dpo",
    seen="Padding pulls at your policy.",
    named="This equals answers whose padding counts as part of them.",
    caught_by=PULLED,
)
def padding_counted(policy, *data):
    return _trained(policy, *data, count_padding=True)


@mistake(
    "train_dpo",
    seen="When padding and the end share a number, your answers lose their end; the masks already say what is real.",
    named="This equals masks that are made from the tokens: real is what is not padding's number.",
    caught_by=PULLED,
)
def mask_from_tokens(policy, *data):
    return _trained(policy, *data, masks=lambda tokens, mask: tokens != 0)


@mistake(
    "train_dpo",
    seen="The same answer has two probabilities, depending on when you ask.",
    named="This equals a policy that is trained with dropout, against a reference without.",
    caught_by=PULLED,
)
def dropout_on(policy, *data):
    return _trained(policy, *data, dropout=True)


@mistake(
    "train_dpo",
    seen="A step of yours looks at fewer pairs than were asked for.",
    named="This equals batches of 32.",
    caught_by=PULLED,
)
def half_a_batch(policy, *data):
    return _trained(policy, *data, batch=32)


@mistake(
    "train_dpo",
    seen="One seed gives two policies: what else was drawn from?",
    named="This equals rows that are drawn from torch's global state.",
    caught_by=SEED,
)
def seed_ignored(policy, *data):
    return _trained(policy, *data, seeded=False)


@mistake(
    "train_dpo",
    seen="In which mode does your policy come back?",
    named="This equals a policy that is still in training mode.",
    caught_by=SEED,
)
def left_in_training_mode(policy, *data):
    return _trained(policy, *data, eval_mode=False)
