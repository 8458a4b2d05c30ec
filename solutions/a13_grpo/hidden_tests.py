"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. Ratios are drawn away from the fence, where a gradient jumps, and rewards so that no two
groups resemble each other. `@needs` stands on every property that an empty answer has too.
"""

import itertools
import math

import common.sums as sums
import pytest
import torch
from asks import (
    advantages_and_whether_they_train,
    gradient_of_advantages,
    kinds_of_verdicts,
    kl_and_gradients,
    loss_and_gradients,
    rollouts,
    table_of,
    tiny_of,
    train,
    train_after_noise,
    trained_weights,
    verdicts,
)
from common.preferences import generate
from common.tiny_lm import TinyLM, pretrained

from autograder.testing import BudgetExceeded, Counted, graded_run, needs, task, weight
from autograder.testing.readings import take_weights
from autograder.testing.student import WrongAnswer

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
GRADIENT = {"rtol": 1e-7, "atol": 1e-10}  # float64 gradients: differences of nearly equal terms
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # float32 carries seven digits, and the sums here are short
GRADIENT32 = {"rtol": 1e-4, "atol": 1e-6}  # float32 gradients through an exponential


def numbers(seed, dtype=torch.float64):
    """A function that draws normal numbers in any shape, the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def whole(seed, low, high, *shape):
    """Whole numbers, low <= n < high."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed + 1000))


# --------------------------------------------------------------------------------------------------------------- verify


def value_of(seed):
    """A number of three or four digits, with no two neighbouring digits alike, and its text."""
    n = 1234 + 13 * int(whole(seed, 0, 600, 1))
    return n, str(n)


@task("verify")
@weight(2)
def test_what_the_grammar_allows_is_paid_and_nothing_else(student, reference, seed):
    """Blanks, a sign, digits, a decimal part of zeros, a full stop: paid where it is the number, and only there."""
    n, text = value_of(seed)
    forms = [
        text, f"0{text}", f"000{text}.", f" {text} ", f"\t{text}\n", f"\r\n{text}", f"+{text}", f"{text}.0", f"{text}.000", f"{text}.0.",
        f"{n:,}", f"+{n:,}.00", f"{text}.5", f"{text}.05", f"{text}..", f"{text},", f",{text}", f"{text}.0.0", f"{text[0]},{text[1:]}0",
        f"{text[:2]},{text[2:]}", f"{n:,}".replace(",", ", "), f"{n:,}".replace(",", "_"), f"+-{text}", f"--{text}", f"+ {text}",
        f"{text}e0", f"0x{n:x}", f"{text}\u00a0", f"\u3000{text}", f"{text} {text}", f"${text}", f"**{text}**", f"\\boxed{{{text}}}",
    ]  # fmt: skip
    cases = [(form, n) for form in forms] + [(form, n + 1) for form in forms] + [(form, text) for form in forms]
    student.ask(verdicts, cases).equals(reference.ask(verdicts, cases))


@task("verify")
def test_the_last_equals_sign_or_colon_cuts(student, reference, seed):
    """What counts stands after the last = or :, whichever comes later; all of the text if there is neither."""
    n, text = value_of(seed)
    forms = [
        f"1 + {n - 1} = {text}", f"1 + {n - 1} = {text}.", f"Answer: {text}", f"a = b: {text}", f"a: b = {text}", f"={text}", f"::{text}",
        f"{n + 1} = {n + 2} = {text}", f"{text} = 1 + {n - 1}", f"{text} =", f"{text}:", f"Answer: {text} = ", f"Answer: 1 + {n - 1} = ",
        f"= {text}, so: done", f"The answer is {text}", f"answer {text}", f"1 + {n - 1}", f"a = {text} b", f"{text} is it: {n + 1}",
    ]  # fmt: skip
    cases = [(form, n) for form in forms] + [(f"{n - 1} + 1", 1), (f"{n} = {n} + 0", 0)]
    student.ask(verdicts, cases).equals(reference.ask(verdicts, cases))


@task("verify")
def test_two_answers_are_none(student, reference, seed):
    """A text with two numbers is not paid for either of them, however they are joined."""
    n, text = value_of(seed)
    joints = [" or ", " ", ", ", "/", " and ", "\n", ";", " - ", "|", "..", " (", "?"]
    pairs = [f"{a}{joint}{b}" for joint in joints for a, b in ((text, n + 1), (n + 1, text))]
    cases = [(pair, n) for pair in pairs] + [(pair, n + 1) for pair in pairs] + [(text, n), (str(n + 1), n)]
    student.ask(verdicts, cases).equals(reference.ask(verdicts, cases))


@task("verify")
def test_an_answer_inside_of_something_longer_is_none(student, reference, seed):
    """Neither a longer number nor the prompt itself is paid because the answer's digits are in it."""
    n, text = value_of(seed)
    around = [
        f"{text}7",
        f"7{text}",
        f"{text}{text}",
        f"{n}+{n}",
        f"{n} + 0",
        f"x{text}",
        f"{text}x",
        f"-{text}",
        f"12{n:,}",
    ]
    cases = [(form, n) for form in around] + [(text, n), (f"1 + {n - 1}", n - 1), (f"{n - 1} + 1 =", n - 1)]
    student.ask(verdicts, cases).equals(reference.ask(verdicts, cases))


OTHER_DIGITS = [0x0660, 0x06F0, 0x0966, 0xFF10, 0x1D7CE]  # Arabic, Persian, Devanagari, full width, bold


@task("verify")
def test_digits_are_ascii(student, reference, seed):
    """Digits of other alphabets, raised digits and fractions are not in the grammar, though Python reads them."""
    n, text = value_of(seed)
    forms = ["".join(chr(zero + int(digit)) for digit in text) for zero in OTHER_DIGITS]
    forms += [text[:-1] + chr(zero + int(text[-1])) for zero in OTHER_DIGITS] + [f"{text}\u00b2", f"{text}\u00bd", text]
    cases = [(form, n) for form in forms] + [("\u00b2", 2), ("\u2168", 9), ("\u4e5d", 9), ("9", 9)]
    student.ask(verdicts, cases).equals(reference.ask(verdicts, cases))


@task("verify")
def test_a_minus_may_be_a_minus_sign(student, reference, seed):
    """U+2212 is a minus like the hyphen, in completion and answer; a dash is not, and the sign counts."""
    n, text = value_of(seed)
    marks = ["-", "\u2212", "\u2013", "\u2014", "\ufe63", "+", ""]
    cases = [(f"{mark}{text}", sign * n) for mark in marks for sign in (1, -1)]
    cases += [(f"-{text}", f"\u2212{text}"), (f"\u2212{text}.0", f"-{text}"), (f"x = \u2212{text}.", -n)]
    cases += [("-0", 0), ("\u22120.0", 0), ("+0", "-0"), (f"\u2212 {text}", -n), (f"{text}\u2212", -n)]
    student.ask(verdicts, cases).equals(reference.ask(verdicts, cases))


@task("verify")
def test_commas_stand_between_threes(student, reference, seed):
    """1,234,567 is a number; a comma anywhere else makes it none."""
    n = 1_234_567 + 1001 * int(whole(seed, 0, 5000, 1))
    text, grouped = str(n), f"{n:,}"
    forms = [
        grouped, f"-{grouped}", f"{grouped}.00", grouped.replace(",", "", 1), text[0] + grouped.replace(",", "")[1:4] + "," + text[4:],
        f"{grouped},", f",{grouped}", grouped.replace(",", ",,", 1), f"0{grouped}", f"00{grouped}", f"000{grouped}", f"{text},000", f"{grouped}.000,000",
    ]  # fmt: skip
    cases = [(form, value) for form in forms for value in (n, -n, n * 1000)]
    student.ask(verdicts, cases).equals(reference.ask(verdicts, cases))


@task("verify")
def test_an_endless_number_is_a_wrong_answer(student, reference, seed):
    """Up to 30 digits are read, leading zeros included; a longer number is wrong, and never a crash."""
    n, text = value_of(seed)
    thirty = str(10**29 + n)
    forms = [
        (text.rjust(30, "0"), n),
        (text.rjust(31, "0"), n),
        (thirty, int(thirty)),
        (thirty + "0", int(thirty) * 10),
    ]
    forms += [("9" * length, n) for length in (31, 400, 5000, 200_000)] + [
        ("0" * 5000 + text, n),
        (f"{10**29 + n:,}", thirty),
    ]
    forms += [
        (f"{10**30 + n:,}", 10**30 + n),
        ("," * 5000, n),
        ("-" * 5000 + text, n),
        ("\x00", 0),
        ("\ud800", 0),
        (text, n),
    ]
    student.ask(verdicts, forms).equals(reference.ask(verdicts, forms))


@task("verify")
@needs("test_what_the_grammar_allows_is_paid_and_nothing_else")
def test_a_reward_is_a_float(student, seed):
    """A reward is a float, paid or not."""
    n, text = value_of(seed)
    student.ask(kinds_of_verdicts, [(text, n), (text, n + 1), ("none", n)]).equals(["float"] * 3)


@task("verify")
@needs("test_what_the_grammar_allows_is_paid_and_nothing_else")
@pytest.mark.parametrize("answer", ["", "twelve", "12 or 13", "1e3", "12.5", "\u0661"])
def test_an_answer_that_cannot_be_read_is_our_error(student, answer):
    """An `answer` that does not read by the grammar is refused."""
    student.verify("12", answer).refused()


# ----------------------------------------------------------------------------------------------------- group_advantages

SCALES = ("group", "batch", "none", "loo")


def groups(seed, dtype=torch.float64):
    """Rewards of 3 to 5 groups, each around a mean and with a spread of its own; and the size of a group, 3 to 8."""
    G, n = 3 + seed % 6, 3 + seed % 3
    draw = numbers(seed)
    means, spreads = torch.arange(n, dtype=torch.float64) * 1.7 - 2, torch.linspace(0.5, 2, n, dtype=torch.float64)
    return (means[:, None] + spreads[:, None] * draw(n, G)).flatten().to(dtype), G


@task("group_advantages")
@weight(2)
def test_rewards_are_centred_and_scaled_in_their_group(student, reference, seed):
    """Reward minus the mean of its group, over that group's spread plus eps; the rows of a group stand together."""
    rewards, G = groups(seed)
    student.group_advantages(rewards, G).equals(reference.group_advantages(rewards, G), **FLOAT64)


@task("group_advantages")
@pytest.mark.parametrize("scale", ["batch", "none", "loo"])
def test_each_scale_is_its_own(student, reference, seed, scale):
    """The spread of all rewards, no spread, or the mean of the others: as `scale` says."""
    rewards, G = groups(seed)
    truth = reference.group_advantages(rewards, G, scale=scale)
    student.group_advantages(rewards, G, scale=scale).equals(truth, **FLOAT64)


@task("group_advantages")
def test_eps_is_added_to_the_spread(student, reference, seed):
    """Another eps, and the one that is left out: both stand beside the standard deviation."""
    rewards, G = groups(seed)
    for eps, scale in ((0.5, "group"), (0.5, "batch"), (0.0, "group")):
        truth = reference.group_advantages(rewards, G, eps, scale)
        student.group_advantages(rewards, G, eps, scale).equals(truth, **FLOAT64)


@task("group_advantages")
@pytest.mark.parametrize("G", [2, 4, 8])
def test_right_and_wrong(student, reference, seed, G):
    """Rewards of 0 and 1 in float32, groups of two, four and eight."""
    rewards = whole(seed + G, 0, 2, 24).float()
    rewards[:G] = torch.arange(G) % 2  # at least one group is mixed
    for scale in SCALES:
        truth = reference.group_advantages(rewards, G, scale=scale)
        student.group_advantages(rewards, G, scale=scale).equals(truth, **FLOAT32)


@task("group_advantages")
@needs("test_rewards_are_centred_and_scaled_in_their_group")
@pytest.mark.parametrize("scale", SCALES)
def test_a_group_without_spread_teaches_exactly_nothing(student, seed, scale):
    """Equal rewards that no float holds exactly: their advantages are 0, not nearly 0, and those beside them are not."""
    G = 5 + seed % 4
    alike = torch.tensor([0.7, 0.1, 1 / 3, 1e4 / 3, -0.3])[:, None].expand(5, G)  # (5, G)
    mixed = torch.arange(G, dtype=torch.float32) / 7 + seed / 100  # (G,)
    found = student.group_advantages(torch.cat([alike.flatten(), mixed]), G, scale=scale).value
    assert (found[: 5 * G] == 0).all(), "Equal rewards should have advantages of exactly 0."
    assert (found[5 * G :] != 0).any(), "The mixed group has something to teach."


@task("group_advantages")
@needs("test_rewards_are_centred_and_scaled_in_their_group")
@pytest.mark.parametrize("scale", SCALES)
def test_a_group_of_one_teaches_nothing(student, seed, scale):
    """An answer that stands alone, in a batch of one or of many, has the advantage 0."""
    draw = numbers(seed)
    for n in (1, 5):
        student.group_advantages(draw(n), 1, scale=scale).equals(torch.zeros(n, dtype=torch.float64))


@task("group_advantages")
@needs("test_rewards_are_centred_and_scaled_in_their_group")
def test_other_groups_do_not_matter(student, seed):
    """What the answers to one prompt earn changes no other prompt's advantages, but through the spread of a batch."""
    rewards, G = groups(seed)
    changed = torch.cat([rewards[:G], 3 * rewards[G:] + 10])
    for scale in ("group", "none", "loo"):
        before = student.group_advantages(rewards, G, scale=scale).value
        after = student.group_advantages(changed, G, scale=scale).value
        assert torch.allclose(before[:G], after[:G], **FLOAT64), (
            "Another prompt's rewards changed this one's advantages."
        )


@task("group_advantages")
@needs("test_rewards_are_centred_and_scaled_in_their_group")
def test_no_gradient_comes_back(student, reference, seed):
    """Advantages are weights: they carry no gradient, even if the rewards do."""
    rewards, G = groups(seed)
    for scale in SCALES:
        asked = (rewards, G, {"scale": scale})
        truth = reference.ask(advantages_and_whether_they_train, *asked)
        student.ask(advantages_and_whether_they_train, *asked).equals(truth, **FLOAT64)


@task("group_advantages")
@needs("test_rewards_are_centred_and_scaled_in_their_group")
@pytest.mark.parametrize(
    ("rewards", "G", "scale"),
    [
        ([1, 2, 3, 4, 5], 2, "group"),
        ([1, 2], 4, "none"),
        ([1, 2], 0, "group"),
        ([], 2, "group"),
        ([1, math.nan], 2, "group"),
        ([1, math.inf, 0, 1], 2, "batch"),
        ([1, 2], 2, "std"),
    ],
)
def test_what_is_no_group_is_refused(student, rewards, G, scale):
    """Rows left over, groups of none, no rewards, rewards that are not finite, an unknown scale: refused."""
    student.group_advantages(torch.tensor(rewards, dtype=torch.float32), G, scale=scale).refused()


# ---------------------------------------------------------------------------------------------------------------- k3_kl


@task("k3_kl")
@weight(2)
@pytest.mark.parametrize("shape", [(7,), (3, 5)])
def test_k3_and_its_gradient(student, reference, seed, shape):
    """e^u - u - 1 with u = ln ref - ln pi, element by element; its gradient is 1 - e^u and goes to logp only."""
    draw = numbers(seed)
    asked = (draw(*shape) - 3, draw(*shape) - 3)
    student.ask(kl_and_gradients, *asked).equals(reference.ask(kl_and_gradients, *asked), **GRADIENT)


@task("k3_kl")
@needs("test_k3_and_its_gradient")
def test_it_is_never_negative(student, seed):
    """No element is below 0 by more than rounding, and where both agree it is 0."""
    draw = numbers(seed, torch.float32)
    logp, step = draw(400) - 3, draw(400)
    for size in (1.0, 1e-2, 1e-5):
        found = student.k3_kl(logp, logp + size * step).value
        assert (found >= -1e-6).all(), "A price is negative."
    student.k3_kl(logp, logp).equals(torch.zeros(400), atol=1e-7)


@task("k3_kl")
@needs("test_k3_and_its_gradient")
def test_on_average_it_is_the_kl(student, seed):
    """Over all tokens, weighted by the policy, it is the exact KL(policy || reference)."""
    draw = numbers(seed)
    logp, ref = draw(6).log_softmax(-1), draw(6).log_softmax(-1)
    exact = (logp.exp() * (logp - ref)).sum()
    found = (logp.exp() * student.k3_kl(logp, ref).value).sum()
    assert torch.allclose(found, exact, **FLOAT64), "The mean over the policy's own tokens is not the KL."


@task("k3_kl")
@needs("test_k3_and_its_gradient")
def test_unequal_shapes_have_no_kl(student, seed):
    """A row beside a column, or one number beside many, is refused."""
    draw = numbers(seed)
    student.k3_kl(draw(4, 1), draw(4)).refused()
    student.k3_kl(draw(4), draw(1)).refused()


# ------------------------------------------------------------------------------------------------------------ grpo_loss

MEANS = [("sequence", None), ("token", None), ("constant", 11)]


def batch(seed, dtype=torch.float64, B=6, T=5):
    """logp, old_logp, ref_logp, adv and mask: unequal lengths with holes, ratios away from the fences 0.8, 1.2, 1.35."""
    draw = numbers(seed)
    old = 0.5 * draw(B, T) - 3
    step = 0.5 * draw(B, T)
    for edge in (math.log(0.8), math.log(1.2), math.log(1.35)):
        step = torch.where((step - edge).abs() < 0.02, edge + 0.04, step)
    adv = draw(B)
    adv = torch.where(adv.abs() < 0.1, 0.5, adv) * torch.tensor([1, -1] * (B // 2))
    lengths = torch.tensor([1, 5, 3, 4, 2, 5])[:B, None]
    mask = torch.arange(T) < lengths
    mask[1, 2] = False  # a token within an answer may be left out too
    return [x.to(dtype) for x in (old + step, old, old + 0.5 * draw(B, T), adv)] + [mask]


@task("grpo_loss")
@pytest.mark.parametrize(("aggregate", "max_length"), MEANS)
def test_three_means_of_unequal_rows(student, reference, seed, aggregate, max_length):
    """Each mean has its own divisor; values and gradients in each log-probability tell them apart."""
    asked = (*batch(seed), {"aggregate": aggregate, "max_length": max_length})
    student.ask(loss_and_gradients, *asked).equals(reference.ask(loss_and_gradients, *asked), **GRADIENT)


@task("grpo_loss")
@weight(2)
def test_the_four_cases_at_an_uneven_fence(student, reference, seed):
    """Both signs of the advantage on both sides of a fence of 0.2 below and 0.35 above, and within: loss and slopes."""
    steps = torch.tensor([0.55, 0.7, 0.9, 1.1, 1.27, 1.6, 0.6, 0.75, 0.95, 1.15, 1.28, 1.5], dtype=torch.float64)
    jitter = 0.02 * torch.rand(12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    adv = torch.tensor([1.0] * 6 + [-1.0] * 6, dtype=torch.float64) * (1 + numbers(seed)(12).abs())
    old = numbers(seed + 1)(12, 1) - 3
    logp = old + (steps + jitter).log()[:, None]
    asked = (logp, old, None, adv, torch.ones(12, 1, dtype=torch.bool), {"eps_low": 0.2, "eps_high": 0.35})
    student.ask(loss_and_gradients, *asked).equals(reference.ask(loss_and_gradients, *asked), **GRADIENT)


@task("grpo_loss")
@pytest.mark.parametrize(("aggregate", "max_length"), MEANS)
@pytest.mark.parametrize("kl_ratio", [False, True])
def test_the_leash(student, reference, seed, aggregate, max_length, kl_ratio):
    """beta times k3 is added to each token, weighted by the ratio if asked, in each of the means."""
    options = {"beta": 0.3, "aggregate": aggregate, "max_length": max_length, "kl_ratio": kl_ratio, "eps_high": 0.35}
    asked = (*batch(seed), options)
    student.ask(loss_and_gradients, *asked).equals(reference.ask(loss_and_gradients, *asked), **GRADIENT)


@task("grpo_loss")
def test_rows_without_a_lesson_stay_on_the_leash(student, reference, seed):
    """Where the advantage is 0 the KL term is all that is left, and it is left."""
    logp, old, ref, adv, mask = batch(seed)
    adv[::2] = 0
    asked = (logp, old, ref, adv, mask, {"beta": 0.3})
    student.ask(loss_and_gradients, *asked).equals(reference.ask(loss_and_gradients, *asked), **GRADIENT)


@task("grpo_loss")
@pytest.mark.parametrize(("aggregate", "max_length"), MEANS)
def test_on_policy_it_is_reinforce(student, reference, seed, aggregate, max_length):
    """Without old log-probabilities every ratio is 1, and the gradient is that of -A log pi."""
    logp, _, ref, adv, mask = batch(seed)
    options = {"aggregate": aggregate, "max_length": max_length}
    asked = (logp, None, ref, adv, mask, options)
    truth = reference.ask(loss_and_gradients, *asked)
    student.ask(loss_and_gradients, *asked).equals(truth, **GRADIENT)
    student.ask(loss_and_gradients, logp, logp, ref, adv, mask, options).equals(
        reference.ask(loss_and_gradients, logp, logp, ref, adv, mask, options), **GRADIENT
    )


@task("grpo_loss")
@pytest.mark.parametrize(("aggregate", "max_length"), MEANS)
def test_a_row_without_tokens_is_a_row_of_loss_zero(student, reference, seed, aggregate, max_length):
    """A row that is masked out whole adds 0; it counts as a row, and no token of it counts."""
    logp, old, ref, adv, mask = batch(seed)
    mask[seed % 6] = False
    options = {"aggregate": aggregate, "max_length": max_length, "beta": 0.2}
    asked = (logp, old, ref, adv, mask, options)
    student.ask(loss_and_gradients, *asked).equals(reference.ask(loss_and_gradients, *asked), **GRADIENT)


@task("grpo_loss")
@needs("test_three_means_of_unequal_rows")
@pytest.mark.parametrize(("aggregate", "max_length"), MEANS)
def test_no_tokens_no_loss(student, seed, aggregate, max_length):
    """If no token is real, loss and gradient are 0."""
    logp, old, ref, adv, mask = batch(seed)
    options = {"aggregate": aggregate, "max_length": max_length, "beta": 0.2}
    nothing = torch.zeros_like(logp)
    expected = {
        "loss": torch.tensor(0.0, dtype=torch.float64),
        "logp": nothing,
        "old_logp": nothing,
        "ref_logp": nothing,
    }
    student.ask(loss_and_gradients, logp, old, ref, adv, mask & False, options).equals(expected)


@task("grpo_loss")
@pytest.mark.parametrize("kl_ratio", [False, True])
def test_garbage_under_the_mask_changes_nothing(student, reference, seed, kl_ratio):
    """Whatever stands where the mask is False, up to 50 either way in float32, changes neither loss nor gradient."""
    logp, old, ref, adv, mask = batch(seed, torch.float32)
    options = {"beta": 0.2, "aggregate": "token", "kl_ratio": kl_ratio, "eps_high": 0.35}
    truth = reference.ask(loss_and_gradients, logp, old, ref, adv, mask, options)
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])[:, None]
    wild = [x.masked_fill(~mask, 0) + 50 * signs * sign * ~mask for x, sign in ((logp, 1), (old, -1), (ref, -1))]
    student.ask(loss_and_gradients, *wild, adv, mask, options).equals(truth, **GRADIENT32)


@task("grpo_loss")
@needs("test_three_means_of_unequal_rows")
def test_advantages_are_not_trained(student, reference, seed):
    """Advantages that ask for a gradient get none, and the log-probabilities get theirs."""
    logp, old, _, adv, mask = batch(seed)
    truth = reference.ask(gradient_of_advantages, logp, old, adv, mask)
    student.ask(gradient_of_advantages, logp, old, adv, mask).equals(truth, **GRADIENT)


@task("grpo_loss")
@needs("test_three_means_of_unequal_rows")
def test_what_does_not_fit_is_refused(student, seed):
    """A leash without reference, a constant mean without length, unknown means, unequal shapes, no rows: refused."""
    logp, old, ref, adv, mask = batch(seed)
    student.grpo_loss(logp, old, None, adv, mask, beta=0.1).refused()
    student.grpo_loss(logp, old, ref, adv, mask, aggregate="constant").refused()
    student.grpo_loss(logp, old, ref, adv, mask, aggregate="constant", max_length=0).refused()
    student.grpo_loss(logp, old, ref, adv, mask, aggregate="grpo").refused()
    student.grpo_loss(logp, old[:1], ref, adv, mask).refused()
    student.grpo_loss(logp, old, ref[:, :1], adv, mask, beta=0.1).refused()
    student.grpo_loss(logp, old, ref, adv[:1], mask).refused()
    student.grpo_loss(logp, old, ref, adv, mask[:, :1]).refused()
    student.grpo_loss(logp[:0], old[:0], ref[:0], adv[:0], mask[:0]).refused()


# -------------------------------------------------------------------------------------------------------------- rollout

V, END, PAD = 6, 4, 1  # neither the first nor the last id, and unlike each other


def some_rollout(student, inputs, *, G=3, n=4, temperature=1.0, end=END, pad=PAD, **options):
    """Rollouts of a table model over three prompts of unequal length with an end inside; and what was asked."""
    draw = numbers(inputs)
    table = 1.5 * draw(10, V, V)
    table[:, :, PAD] += 2  # padding is tempting
    table[:, :, END] += 0.7
    prompts, mask = whole(inputs, 0, V, 3, 4), torch.arange(4) >= torch.tensor([0, 2, 1])[:, None]
    prompts[0, 1], prompts[1, 2] = END, PAD  # real tokens, both of them: the mask says so
    asked = (table_of(table), prompts, mask, G, n, end, pad, temperature)
    return student.ask(rollouts, *asked, **{"seed": inputs, **options}), table, prompts, mask


@task("rollout")
@weight(2)
@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
def test_log_probabilities_are_those_of_the_draw(student, seed, temperature):
    """logp is that of the distribution that was drawn from: tempered, without padding, with positions from the mask."""
    answer, table, prompts, mask = some_rollout(student, seed, temperature=temperature)
    found = answer.value
    tokens, real, logp = found["tokens"], found["mask"], found["logp"]
    assert real.dtype == torch.bool, "The mask should be bool."
    assert real.any(), "There is nothing in your mask."
    table[:, :, PAD] = -torch.inf
    tempered = (table / temperature).log_softmax(-1)
    P = prompts.shape[1]
    at = mask.sum(1).repeat_interleave(3)[:, None] + torch.arange(real.shape[1]) - 1  # the place that was asked
    expected = tempered[at, tokens[:, P - 1 : -1], tokens[:, P:]]
    assert torch.allclose(logp[real], expected[real], **FLOAT64), "A log-probability is not that of the draw."


@task("rollout")
@weight(2)
@needs("test_log_probabilities_are_those_of_the_draw")
def test_rows_of_a_prompt_stand_together_and_end_alone(student, seed):
    """Groups are contiguous, prompts come back as they were, and each row stops at its own first end, which is in the mask."""
    answer, _, prompts, _ = some_rollout(student, seed)
    found = answer.value
    tokens, real = found["tokens"], found["mask"]
    R = real.shape[1]
    assert R <= 4, "A completion has more tokens than it may have."
    assert tokens.shape == (9, 4 + R), "Tokens are not of the stated shape."
    assert found["logp"].shape == (9, R), "Log-probabilities and mask differ in shape."
    assert tokens.dtype == torch.int64, "Tokens are int64."
    assert tokens[:, :4].equal(prompts.repeat_interleave(3, 0)), "Rows of one prompt should stand together, unchanged."
    written = tokens[:, 4:]
    ended = ((written == END) & real).long()
    assert real.equal(ended.cumsum(1) - ended == 0), "The mask should be True up to the first end, and that included."
    assert (written[~real] == PAD).all(), "After the end there should be padding."
    assert (written[real] != PAD).all(), "Padding was drawn."


@task("rollout")
@needs("test_log_probabilities_are_those_of_the_draw")
def test_every_continuation_is_as_frequent_as_it_is_likely(student, seed):
    """Of 4,000 answers of two tokens to each of two prompts, each continuation is as frequent as its probability says."""
    draw, G, tau = numbers(seed), 4000, 0.8
    table = draw(5, 4, 4)  # 0 is padding, 1 the end
    prompts, mask = torch.tensor([[0, 2], [3, 3]]), torch.tensor([[False, True], [True, True]])
    found = student.ask(rollouts, table_of(table), prompts, mask, G, 2, 1, 0, tau, seed=seed).value
    assert found["mask"].shape[1] == 2, "Some of thousands of answers should have two tokens."
    table[:, :, 0] = -torch.inf
    chances = (table / tau).softmax(-1)
    for row, place in ((0, 0), (1, 1)):
        written = found["tokens"][row * G : (row + 1) * G, 2:]
        for first, second in itertools.product((1, 2, 3), (0, 1, 2, 3)):
            if (first == 1) != (second == 0):
                continue  # after an end there is padding, and nowhere else
            p = float(chances[place, prompts[row, 1], first])
            p *= 1.0 if first == 1 else float(chances[place + 1, first, second])
            frequency = ((written[:, 0] == first) & (written[:, 1] == second)).double().mean()
            # five standard errors of a share of 4,000
            assert abs(frequency - p) <= 5 * math.sqrt(p * (1 - p) / G), "A continuation is too frequent, or too rare."


@task("rollout")
@needs("test_log_probabilities_are_those_of_the_draw")
def test_chance_comes_from_the_generator(student, seed):
    """One seed gives one rollout whatever was drawn elsewhere; two seeds give two; without one, torch's global decides."""
    options = {"G": 20}
    one = some_rollout(student, seed, noise=1, **options)[0].value["tokens"]
    again = some_rollout(student, seed, noise=2, **options)[0].value["tokens"]
    assert one.equal(again), "The same generator drew something else: was there another source of chance?"
    first, second, third = (
        some_rollout(student, seed, **{**options, "seed": None, "noise": n})[0].value for n in (3, 3, 4)
    )
    assert first["tokens"].equal(second["tokens"]), "Without a generator torch's global one should decide."
    assert not first["tokens"].equal(third["tokens"]), "Chance does not depend on torch's global generator."
    moved = student.ask(rollouts, table_of(torch.zeros(8, V, V)), torch.tensor([[2, 3]]), torch.ones(1, 2, dtype=torch.bool),
                        20, 3, END, PAD, 1.0, seed=seed + 1).value["tokens"]  # fmt: skip
    other = student.ask(rollouts, table_of(torch.zeros(8, V, V)), torch.tensor([[2, 3]]), torch.ones(1, 2, dtype=torch.bool),
                        20, 3, END, PAD, 1.0, seed=seed + 2).value["tokens"]  # fmt: skip
    assert moved.shape != other.shape or not moved.equal(other), "Two seeds gave one rollout."


@task("rollout")
@needs("test_log_probabilities_are_those_of_the_draw")
@pytest.mark.parametrize("training", [True, False])
def test_it_reads_without_dropout_and_leaves_the_mode(student, seed, training):
    """The model is asked in eval mode, gets its own mode back, and nothing that is returned carries a gradient."""
    answer, table, prompts, mask = some_rollout(student, seed, training=training, dropout=0.5)
    found = answer.value
    assert found["mode"] == training, "The model should get its mode back."
    assert not found["trains"], "What comes back carries a gradient."
    table[:, :, PAD] = -torch.inf
    real, P = found["mask"], prompts.shape[1]
    at = mask.sum(1).repeat_interleave(3)[:, None] + torch.arange(real.shape[1]) - 1
    expected = table.log_softmax(-1)[at, found["tokens"][:, P - 1 : -1], found["tokens"][:, P:]]
    assert torch.allclose(found["logp"][real], expected[real], **FLOAT64), "Dropout was on while it answered."


@task("rollout")
@needs("test_log_probabilities_are_those_of_the_draw")
def test_padding_may_be_the_end(student, seed):
    """If pad and eos are one id, it is drawn and ends its row, and the mask still tells the end from padding."""
    found = some_rollout(student, seed, G=8, pad=END)[0].value
    tokens, real = found["tokens"][:, 4:], found["mask"]
    ended = ((tokens == END) & real).long()
    assert ended.any(), "No row has ended, though the end is likely."
    assert real.equal(ended.cumsum(1) - ended == 0), (
        "The first end belongs to the answer; what comes after it does not."
    )


@task("rollout")
@needs("test_log_probabilities_are_those_of_the_draw")
def test_a_language_model_says_the_same_again(student, seed):
    """Asked again about whole texts, a TinyLM gives the log-probabilities of the rollout, padded on the left or not."""
    config = {"vocab_size": 9, "d_model": 16, "n_layers": 1, "n_heads": 2, "context": 12}
    draw = numbers(seed, torch.float32)
    model = TinyLM(**config).eval()
    model.load_state_dict({name: 0.4 * draw(*tensor.shape) for name, tensor in model.state_dict().items()})
    prompts, mask = whole(seed, 2, 9, 3, 5), torch.arange(5) >= torch.tensor([0, 3, 1])[:, None]
    prompts = prompts.masked_fill(~mask, 0)
    found = student.ask(rollouts, tiny_of(config, model.state_dict()), prompts, mask, 2, 4, 1, 0, 1.0, seed=seed).value
    tokens, real = found["tokens"], found["mask"]
    with torch.no_grad():
        logits = model(tokens, torch.cat([mask.repeat_interleave(2, 0), real], 1))[:, 4:-1]
    logits[:, :, 0] = -torch.inf
    again = logits.log_softmax(-1).gather(2, tokens[:, 5:, None])[..., 0]
    # float32 through a small network, in batches of another shape
    assert torch.allclose(found["logp"][real], again[real], rtol=1e-4, atol=1e-4), (
        "Asked again, the model says otherwise."
    )


@task("rollout")
@needs("test_log_probabilities_are_those_of_the_draw")
@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": -1.0}, {"G": 0}, {"n": 0}])
def test_what_cannot_be_drawn_is_refused(student, seed, options):
    """A temperature of 0 or less, groups of none and answers of no tokens are refused."""
    some_rollout(student, seed, **options)[0].refused()


@task("rollout")
@needs("test_log_probabilities_are_those_of_the_draw")
def test_a_mask_of_another_shape_is_refused(student, seed):
    """A prompt mask that does not fit the prompts is refused."""
    prompts = whole(seed, 2, V, 3, 4)
    mask = torch.ones(3, 3, dtype=torch.bool)
    student.ask(rollouts, table_of(numbers(seed)(10, V, V)), prompts, mask, 2, 3, END, PAD, 1.0, seed=seed).refused()


# ----------------------------------------------------------------------------------------------------------- train_grpo

A_ROUND = 1024
SMALL = {"vocab_size": 14, "d_model": 32, "n_layers": 1, "n_heads": 2, "context": 12}
SMALLEST = {"vocab_size": 14, "d_model": 8, "n_layers": 1, "n_heads": 1, "context": 12}


class Payer:
    """A reward function that the grader holds: counts completions, and pays for each what `pays` says."""

    def __init__(self, pays, budget, run=None):
        self.pays, self.budget, self.run = pays, budget, run
        self.used, self.calls, self.paid, self.due = 0, [], [], 0

    def __call__(self, prompts, completions, mask):
        fits = all(isinstance(x, torch.Tensor) and x.ndim == 2 and len(x) == len(prompts) for x in (completions, mask))
        if not fits or completions.shape != mask.shape or mask.dtype != torch.bool:
            raise WrongAnswer(
                "The reward function takes prompts (M, P), completions (M, R) and their bool mask (M, R)."
            )
        if completions.shape[1] > sums.ANSWER:
            raise WrongAnswer(f"A completion here has at most {sums.ANSWER} tokens.")
        self.used += len(prompts)
        if self.used > self.budget:
            raise BudgetExceeded(f"the {self.budget} completions are spent")
        rewards = self.pays(prompts, completions, mask)
        self.calls.append((prompts, completions, mask))
        self.paid.append((float(rewards.sum()), len(rewards)))
        if self.run is not None:
            self._tell()
        return rewards

    def served(self):
        """What to pass to an ask."""
        return Counted(self, self.budget + 1, "calls of the reward function")

    def _tell(self):
        """How far it has come; and about twenty points of a curve, each the mean over what came since the last."""
        self.run.progress(self.used, self.budget)
        if self.used >= self.due:
            total, count = (sum(column) for column in zip(*self.paid, strict=True))
            self.run.measured(self.used, total / count)
            self.paid, self.due = [], self.used + self.budget / 20


def fresh(seed, config):
    """A model that has learnt nothing, and the tokens of two kinds of prompts; what begins an answer well."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TinyLM(**config).eval()
    paid = torch.randperm(10, generator=torch.Generator().manual_seed(seed))[:2]
    prompts = torch.tensor([[1, 10, 11], [2, 10, 11]]).repeat(5, 1)
    return model, prompts, paid


def pays_first(paid):
    return lambda prompts, completions, mask: (completions[:, 0] == paid[prompts[:, 0] - 1]).float()


@task("train_grpo")
@graded_run(cpu_seconds=60)
def test_a_paid_token_is_found(student, run):
    """Two kinds of prompts, and a token each that is paid if the answer begins with it: after 40 rounds each is found."""
    model, prompts, paid = fresh(run.seed, SMALL)
    payer = Payer(pays_first(paid), 40 * A_ROUND, run)
    run.draws("mean reward of the sampled answers", "completions")
    student.ask(train, SMALL, model.state_dict(), prompts, payer.served(), 40, run.seed)
    take_weights(model, student.ask(trained_weights).value)
    with torch.no_grad():
        chances = model(prompts[:2])[:, -1].softmax(-1)[:, paid]  # (2, 2)
    run.reaches("smaller probability of a paid token", chances.diagonal().min().item(), at_least=0.8)


@task("train_grpo")
@needs("test_a_paid_token_is_found")
def test_rounds_are_counted(student, seed):
    """At most 1,024 completions a round are asked about, all to prompts that were given, with masks that end at the end."""
    model, prompts, paid = fresh(seed, SMALLEST)
    payer = Payer(pays_first(paid), 2 * A_ROUND)
    in_eval = not student.ask(train, SMALLEST, model.state_dict(), prompts, payer.served(), 2, seed).value
    assert payer.used > 0, "The reward function was not asked."
    assert in_eval, "The model should come back in eval mode."
    known = {tuple(prompt) for prompt in prompts.tolist()}
    for asked, completions, mask in payer.calls:
        assert {tuple(prompt) for prompt in asked.tolist()} <= known, "Rewards were asked for prompts of your own."
        ended = ((completions == sums.EOS) & mask).long()
        assert mask.equal(ended.cumsum(1) - ended == 0), "A completion's mask ends with its first end, or never."
    assert changed(model.state_dict(), student.ask(trained_weights).value) > 0, "No weight has moved."


@task("train_grpo")
@needs("test_a_paid_token_is_found")
def test_a_seed_fixes_every_weight(student, seed):
    """Two trainings with one seed end at the same weights, whatever was drawn elsewhere; with another seed they do not."""
    model, prompts, paid = fresh(seed, SMALLEST)
    ends = []
    for number, each in enumerate((seed, seed, seed + 1)):
        payer = Payer(pays_first(paid), A_ROUND)
        asked = (SMALLEST, model.state_dict(), prompts, payer.served(), 1, each, 100 + number)
        ends.append(student.ask(train_after_noise, *asked).value)
    assert changed(ends[0], ends[1]) == 0, "One seed gave two models: what else was drawn from?"
    assert changed(ends[0], ends[2]) > 0, "Two seeds gave one model."


@task("train_grpo")
@needs("test_a_paid_token_is_found")
def test_equal_rewards_teach_nothing(student, seed):
    """If every answer is paid the same, the weights stay; and a reward that is larger by 1 for all teaches the same."""
    model, prompts, paid = fresh(seed, SMALLEST)
    start, ends = model.state_dict(), []
    first = pays_first(paid)
    for pays in (lambda *asked: 0.7 + 0 * first(*asked), first, lambda *asked: first(*asked) + 1):
        student.ask(train, SMALLEST, start, prompts, Payer(pays, A_ROUND).served(), 1, seed)
        ends.append(student.ask(trained_weights).value)
    moved = changed(start, ends[1])
    assert moved > 0, "No weight has moved."
    assert changed(start, ends[0]) < 0.01 * moved, "All answers were paid the same, and still something was learnt."
    assert changed(ends[1], ends[2]) < 0.1 * moved, "A reward that is larger by 1 for all taught something else."


def changed(before, after):
    """How far apart two sets of weights are."""
    return math.sqrt(sum(float((after[name] - tensor).square().sum()) for name, tensor in before.items()))


def renamed(seed):
    """Digits under other names: the new id of each old one (14,); ends, signs and padding keep theirs."""
    names = torch.arange(len(sums.CHARACTERS))
    names[:10] = torch.randperm(10, generator=torch.Generator().manual_seed(seed + 77))
    return names


def in_disguise(model, names):
    """The weights of the same model, which reads and writes the new names."""
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for table in ("embed.weight", "lm_head.weight"):
        weights[table][names] = model.state_dict()[table]
    return weights


ROUNDS, EXACT, ENDED = 75, 0.6, 0.98


@task("train_grpo")
@weight(3)
@needs("test_a_paid_token_is_found")
@graded_run(cpu_seconds=150)
def test_it_teaches_itself_to_add(student, run):
    """After 75 rounds at least 60% of the sums that were held out are exact, read off greedily, and 98% end."""
    training, held_out = sums.split()
    names = renamed(run.seed)
    back = names.argsort()

    def pays(asked, completions, mask):
        digits = back[asked.clamp(0, 13)]
        pairs = torch.stack([digits[:, 0] * 10 + digits[:, 1], digits[:, 3] * 10 + digits[:, 4]], dim=1)
        written = back[completions.clamp(0, 13)].masked_fill(~mask, sums.PAD)
        return sums.exact(pairs, written).float()

    model = pretrained("sums_warm")
    payer = Payer(pays, ROUNDS * A_ROUND, run)
    run.draws("mean reward of the sampled answers", "completions")
    prompts = names[sums.prompts(training)]
    student.ask(train, model.config, in_disguise(model, names), prompts, payer.served(), ROUNDS, run.seed)
    take_weights(model, student.ask(trained_weights).value)

    asked = names[sums.prompts(held_out)]
    everything = torch.ones_like(asked, dtype=torch.bool)
    written, mask = generate(model.eval(), asked, everything, 2 * sums.ANSWER, sums.EOS, sums.PAD, temperature=0)
    exact = sums.exact(held_out, back[written]).float().mean().item()
    ended = ((written == sums.EOS) & mask).any(1).float().mean().item()
    run.reaches("share of answers that end", ended)
    run.reaches("share of exact held-out sums", exact, at_least=EXACT)
    assert ended >= ENDED, "Too many answers do not end."
