"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import re

import torch
from common.sums import ANSWER, EOS, PAD
from common.tiny_lm import TinyLM
from reference import group_advantages, grpo_loss, k3_kl, rollout, verify

from autograder.testing import mistake

# --------------------------------------------------------------------------------------------------------------- verify

GRAMMAR = "test_what_the_grammar_allows_is_paid_and_nothing_else"
CUT = "test_the_last_equals_sign_or_colon_cuts"
TWO = "test_two_answers_are_none"
INSIDE = "test_an_answer_inside_of_something_longer_is_none"
ASCII = "test_digits_are_ascii"
MINUS = "test_a_minus_may_be_a_minus_sign"
COMMAS = "test_commas_stand_between_threes"
ENDLESS = "test_an_endless_number_is_a_wrong_answer"

NUMBER = r"[ \t\r\n]*([+-]?)([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.0+)?\.?[ \t\r\n]*"


def _verdict(
    completion, answer, *, number=NUMBER, flags=0, match=re.fullmatch, cut="[=:]", most=30, minus="\u2212", tidy=None
):
    """verify with one part exchanged."""

    def read(text):
        found = match(number, tidy(text) if tidy else text.replace(minus, "-"), flags)
        digits = found[2].replace(",", "") if found else ""
        return int(found[1] + digits) if 1 <= len(digits) <= most else None

    verify("", answer)  # an unreadable answer raises as it should
    wanted = answer if isinstance(answer, int) else int(answer.replace("\u2212", "-").strip(" \t\r\n").split(".")[0])
    return float(read(re.split(cut, completion)[-1] if cut else completion) == wanted)


@mistake(
    "verify",
    seen='"12 or 13" is paid: a verifier must not reward hedging.',
    named="This equals taking the last number of the completion, whatever stands around it.",
    caught_by=(TWO, CUT),
)
def last_number_wins(completion, answer):
    verify("", answer)
    found = re.findall(r"[+-]?[0-9][0-9,]{0,30}(?:\.[0-9]+)?", completion.replace("\u2212", "-"))
    if not found:
        return 0.0
    return verify(found[-1].rstrip(","), answer)


@mistake(
    "verify",
    seen='"12 or 13" is paid: a verifier must not reward hedging. Who hedges puts the better guess first.',
    named="This equals reading a number at the beginning and ignoring what comes after it.",
    caught_by=(TWO, CUT),
)
def first_number_wins(completion, answer):
    return _verdict(completion, answer, match=re.match)


@mistake(
    "verify",
    seen="An answer inside a longer number, or the question itself, is paid.",
    named="This equals looking for the answer's digits anywhere in the completion.",
    caught_by=(INSIDE, CUT),
)
def substring_match(completion, answer):
    verify("", answer)
    wanted = str(answer if isinstance(answer, int) else int(answer.replace("\u2212", "-").split(".")[0]))
    return float(wanted in completion.replace("\u2212", "-").replace(",", ""))


@mistake(
    "verify",
    seen="Your parser accepts more alphabets than the grammar names.",
    named=r"This equals a grammar with \d, which matches the digits of every alphabet.",
    caught_by=ASCII,
)
def int_of_any_digit(completion, answer):
    return _verdict(completion, answer, number=NUMBER.replace("[0-9]", r"\d"))


@mistake(
    "verify",
    seen="There are blanks in the world that are not in the table.",
    named=r"This equals a grammar with \s, or strip(), which take every kind of blank.",
    caught_by=GRAMMAR,
)
def any_blank(completion, answer):
    return _verdict(completion, answer, number=NUMBER.replace(r"[ \t\r\n]", r"\s"))


@mistake(
    "verify",
    seen="The right answer is not paid if it is written with the sign that typesetters use.",
    named="This equals a verifier that does not know U+2212.",
    caught_by=MINUS,
)
def minus_unknown(completion, answer):
    return _verdict(completion, answer, minus="-")


@mistake(
    "verify",
    seen="Your parser takes more signs for a minus than the grammar names.",
    named="This equals a verifier that takes dashes for a minus.",
    caught_by=MINUS,
)
def dashes_are_minus(completion, answer):
    return _verdict(completion, answer, tidy=lambda text: re.sub("[\u2212\u2013\u2014\ufe63]", "-", text))


@mistake(
    "verify",
    seen="Is a comma anywhere in a number just decoration?",
    named="This equals deleting all commas before reading.",
    caught_by=(COMMAS, GRAMMAR),
)
def commas_deleted(completion, answer):
    return _verdict(completion, answer, tidy=lambda text: text.replace("\u2212", "-").replace(",", ""))


@mistake(
    "verify",
    seen="Python has a grammar for numbers too, and it is another one.",
    named="This equals int(float(...)) of what is left after commas are removed.",
    caught_by=(GRAMMAR, ENDLESS),
)
def read_by_python(completion, answer):
    verify("", answer)
    wanted = answer if isinstance(answer, int) else int(answer.replace("\u2212", "-").split(".")[0])
    text = re.split("[=:]", completion)[-1].replace("\u2212", "-").replace(",", "").strip().removesuffix(".")
    try:
        return float(int(float(text)) == wanted)
    except (ValueError, OverflowError):
        return 0.0


@mistake(
    "verify",
    seen="How long may a number be? Yours has no end.",
    named="This equals a grammar without the limit of 30 digits: at 4,300 of them Python refuses to read on.",
    caught_by=ENDLESS,
)
def no_limit(completion, answer):
    return _verdict(completion, answer, most=10**9)


@mistake(
    "verify",
    seen="A chain of equations has a last member. Which one did you read?",
    named="This equals taking what stands after the first = or :, not the last.",
    caught_by=CUT,
)
def first_cut(completion, answer):
    pieces = re.split("[=:]", completion, maxsplit=1)
    return _verdict(pieces[-1], answer, cut=None)


@mistake(
    "verify",
    seen='"Answer: 12" is not paid.',
    named="This equals cutting at = only.",
    caught_by=CUT,
)
def colon_ignored(completion, answer):
    return _verdict(completion, answer, cut="=")


@mistake(
    "verify",
    seen="Two right answers are written differently. Are they compared as texts?",
    named="This equals comparing the digits as text, leading zeros and all.",
    caught_by=GRAMMAR,
)
def compared_as_text(completion, answer):
    verify("", answer)
    found = re.fullmatch(NUMBER, re.split("[=:]", completion)[-1].replace("\u2212", "-"))
    return float(bool(found) and (found[1] + found[2]) == str(answer))


@mistake(
    "verify",
    seen="A decimal part of zeros changes no number.",
    named="This equals a grammar of digits and a full stop, without a decimal part.",
    caught_by=GRAMMAR,
)
def no_decimal_part(completion, answer):
    return _verdict(completion, answer, number=NUMBER.replace(r"(?:\.0+)?", ""))


@mistake(
    "verify",
    seen="12.5 is not 12.",
    named="This equals a grammar that throws any decimal part away.",
    caught_by=GRAMMAR,
)
def decimals_truncated(completion, answer):
    return _verdict(completion, answer, number=NUMBER.replace(r"\.0+", r"\.[0-9]+"))


@mistake(
    "verify",
    seen="Plus and minus three are both paid. Where does the sign go?",
    named="This equals a comparison of absolute values.",
    caught_by=(MINUS, INSIDE),
)
def sign_ignored(completion, answer):
    return max(verify(completion, answer), verify(completion, -answer if isinstance(answer, int) else answer))


@mistake(
    "verify",
    seen="If the answer itself cannot be read, who has made the mistake: the model or we?",
    named="This equals paying 0 where the answer is unreadable.",
    caught_by="test_an_answer_that_cannot_be_read_is_our_error",
)
def unreadable_answer_pays_nothing(completion, answer):
    try:
        return verify(completion, answer)
    except ValueError:
        return 0.0


@mistake(
    "verify",
    seen="A reward should be a number that can be averaged.",
    named="This equals a truth value instead of 1.0 or 0.0.",
    caught_by="test_a_reward_is_a_float",
)
def says_true(completion, answer):
    return verify(completion, answer) == 1.0


# ----------------------------------------------------------------------------------------------------- group_advantages

CENTRED = "test_rewards_are_centred_and_scaled_in_their_group"
EACH = "test_each_scale_is_its_own"
EXACTLY = "test_a_group_without_spread_teaches_exactly_nothing"
BINARY = "test_right_and_wrong"


def _scaled(rewards, G, eps, scale, *, centre=None, ddof=1, spread=None, exact=True, layout=None):
    """group_advantages with one part exchanged."""
    right = group_advantages(rewards, G, eps, scale)  # refusals
    if G == 1:
        return right
    r = layout[0](rewards.detach(), G) if layout else rewards.detach().view(-1, G)
    centred = (centre or (lambda x: x - x.mean(1, keepdim=True)))(r)
    alike = r.amax(1, keepdim=True) == r.amin(1, keepdim=True)
    if scale == "group":
        centred = centred / ((spread or (lambda x: x.std(1, keepdim=True, correction=ddof)))(r) + eps)
    elif scale == "batch":
        centred = centred / (r.std(correction=ddof) + eps)
    elif scale == "loo" and G > 1:
        centred = centred * G / (G - 1)
    centred = centred.masked_fill(alike, 0.0) if exact else centred.nan_to_num(0.0)
    return layout[1](centred) if layout else centred.flatten()


@mistake(
    "group_advantages",
    seen="An easy prompt lifts the bar for a hard one; whom should an answer be compared with?",
    named="This equals the mean and the spread of all rewards, for every group.",
    caught_by=(CENTRED, BINARY),
)
def batch_statistics(rewards, group_size, eps=1e-4, scale="group"):
    def spread(r):
        return r.std()

    return _scaled(rewards, group_size, eps, scale, centre=lambda r: r - r.mean(), spread=spread)


@mistake(
    "group_advantages",
    seen="You compare answers to different questions: how are one prompt's answers laid out?",
    named="This equals groups that are strided: row i answers prompt i modulo N/G.",
    caught_by=(CENTRED, EACH),
)
def groups_interleaved(rewards, group_size, eps=1e-4, scale="group"):
    layout = (lambda r, G: r.view(G, -1).T, lambda r: r.T.flatten())
    return _scaled(rewards, group_size, eps, scale, layout=layout)


@mistake(
    "group_advantages",
    seen="Answers are scaled but not centred, so a group of failures and a group of successes look alike.",
    named="This equals the rewards over their spread, without the mean taken out.",
    caught_by=(CENTRED, EACH),
)
def no_mean(rewards, group_size, eps=1e-4, scale="group"):
    return _scaled(rewards, group_size, eps, scale, centre=lambda r: r)


@mistake(
    "group_advantages",
    seen="A group in which all answers agree gives no number at all.",
    named="This equals a division by the spread alone, without eps and without a look at equal rewards.",
    caught_by=(EXACTLY, "test_eps_is_added_to_the_spread"),
)
def no_eps(rewards, group_size, eps=1e-4, scale="group"):
    right = group_advantages(rewards, group_size, eps, scale)
    if group_size == 1:
        return right
    r = rewards.detach().view(-1, group_size)
    centred = r - r.mean(1, keepdim=True)
    if scale == "loo":
        return (centred * group_size / (group_size - 1)).flatten()
    spread = {"group": r.std(1, keepdim=True), "batch": r.std(), "none": 1.0}[scale]
    return (centred / spread).flatten()


@mistake(
    "group_advantages",
    seen="Equal rewards should teach nothing, exactly; your mean is off by rounding and the division enlarges it.",
    named="This equals the plain formula, without a look at groups whose rewards are all equal.",
    caught_by=EXACTLY,
)
def rounding_dust(rewards, group_size, eps=1e-4, scale="group"):
    return _scaled(rewards, group_size, eps, scale, exact=False)


@mistake(
    "group_advantages",
    seen="Your spread is that of a full population; the stated one is of a sample.",
    named="This equals a standard deviation with ddof 0.",
    caught_by=(CENTRED, BINARY),
)
def population_std(rewards, group_size, eps=1e-4, scale="group"):
    return _scaled(rewards, group_size, eps, scale, ddof=0)


@mistake(
    "group_advantages",
    seen="Your units are off: is a reward's spread measured in rewards or in their squares?",
    named="This equals a division by the variance.",
    caught_by=CENTRED,
)
def divides_by_variance(rewards, group_size, eps=1e-4, scale="group"):
    return _scaled(rewards, group_size, eps, scale, spread=lambda r: r.var(1, keepdim=True))


@mistake(
    "group_advantages",
    seen="Leave-one-out leaves the answer itself out of its own baseline.",
    named="This equals the mean of all G for a baseline, also where it should be the mean of the others.",
    caught_by=EACH,
)
def loo_includes_self(rewards, group_size, eps=1e-4, scale="group"):
    return group_advantages(rewards, group_size, eps, "none" if scale == "loo" else scale)


@mistake(
    "group_advantages",
    seen="Leave-one-out has a baseline of its own, and nothing is said of a spread.",
    named="This equals leave-one-out advantages which are divided by the group's spread as well.",
    caught_by=EACH,
)
def loo_is_scaled(rewards, group_size, eps=1e-4, scale="group"):
    if scale != "loo":
        return group_advantages(rewards, group_size, eps, scale)
    G = group_size
    return group_advantages(rewards, G, eps, "group") * (G / max(G - 1, 1))


@mistake(
    "group_advantages",
    seen="Each group has its own mean, also where the spread is everybody's.",
    named='This equals the mean of all rewards with scale="batch".',
    caught_by=EACH,
)
def batch_mean_too(rewards, group_size, eps=1e-4, scale="group"):
    if scale != "batch":
        return group_advantages(rewards, group_size, eps, scale)
    return _scaled(rewards, group_size, eps, scale, centre=lambda r: r - r.mean())


@mistake(
    "group_advantages",
    seen="Better answers become less likely.",
    named="This equals mean minus reward.",
    caught_by=(CENTRED, EACH),
)
def advantage_sign(rewards, group_size, eps=1e-4, scale="group"):
    return -group_advantages(rewards, group_size, eps, scale)


@mistake(
    "group_advantages",
    seen="What you return is still tied to the rewards.",
    named="This equals advantages that carry a gradient.",
    caught_by="test_no_gradient_comes_back",
)
def keeps_the_graph(rewards, group_size, eps=1e-4, scale="group"):
    return group_advantages(rewards, group_size, eps, scale) + 0.0 * rewards


# ---------------------------------------------------------------------------------------------------------------- k3_kl

K3 = "test_k3_and_its_gradient"


@mistake(
    "k3_kl",
    seen="A penalty that can be negative pays for some drift; the named estimator cannot.",
    named="This equals k1, logp minus ref_logp.",
    caught_by=K3,
)
def k1_for_k3(logp, ref_logp):
    k3_kl(logp, ref_logp)
    return logp - ref_logp.detach()


@mistake(
    "k3_kl",
    seen="Close to the reference it is right; further away it is not.",
    named="This equals k2, half of the squared difference.",
    caught_by=K3,
)
def k2_for_k3(logp, ref_logp):
    k3_kl(logp, ref_logp)
    return 0.5 * (logp - ref_logp.detach()).square()


@mistake(
    "k3_kl",
    seen="Who drew these tokens? In PPO's gauge it was the old policy; here it is not.",
    named="This equals k3 of the inverse ratio: the policy over the reference.",
    caught_by=K3,
)
def ratio_inverted(logp, ref_logp):
    k3_kl(logp, ref_logp)
    u = logp - ref_logp.detach()
    return u.exp() - u - 1


@mistake(
    "k3_kl",
    seen="The reference is being trained.",
    named="This equals k3 with a gradient through ref_logp.",
    caught_by=K3,
)
def reference_trained(logp, ref_logp):
    k3_kl(logp, ref_logp)
    u = ref_logp - logp
    return u.exp() - u - 1


@mistake(
    "k3_kl",
    seen="The price is known and nobody has to pay it: where is its gradient?",
    named="This equals k3 without any gradient.",
    caught_by=K3,
)
def watched_only(logp, ref_logp):
    return k3_kl(logp.detach(), ref_logp) + 0.0 * logp


@mistake(
    "k3_kl",
    seen="The leash holds each token by itself.",
    named="This equals the mean of k3 in every place.",
    caught_by=K3,
)
def averaged(logp, ref_logp):
    return k3_kl(logp, ref_logp).mean().expand(logp.shape)


# ------------------------------------------------------------------------------------------------------------ grpo_loss

MEANS = "test_three_means_of_unequal_rows"
FENCE = "test_the_four_cases_at_an_uneven_fence"
LEASH = "test_the_leash"
ON_POLICY = "test_on_policy_it_is_reinforce"
GARBAGE = "test_garbage_under_the_mask_changes_nothing"
NO_TOKENS = "test_a_row_without_tokens_is_a_row_of_loss_zero"


class _Loss:
    """grpo_loss in parts, each of which a mistake exchanges."""

    def __call__(
        self, logp, old_logp, ref_logp, adv, mask, eps_low=0.2, eps_high=0.2, beta=0.0, aggregate="sequence",
        max_length=None, kl_ratio=False,
    ):  # fmt: skip
        options = (eps_low, eps_high, beta, aggregate, max_length, kl_ratio)
        grpo_loss(logp.detach(), old_logp, ref_logp, adv.detach(), mask, *options)  # refusals
        mask = self.mask(mask)
        old_logp = self.old(logp, old_logp, ref_logp)
        ratio = (logp - old_logp).masked_fill(~mask, 0.0).exp()
        A = self.adv(adv)[:, None]
        token = self.surrogate(ratio, A, eps_low, eps_high)
        if beta != 0:
            kl = self.kl(logp.masked_fill(~mask, 0.0), ref_logp.detach().masked_fill(~mask, 0.0))
            token = token + beta * self.weighted(kl, ratio, kl_ratio, A)
        token = token.masked_fill(~mask, 0.0)
        return self.mean(token, mask, aggregate, max_length)

    def mask(self, mask):
        return mask

    def old(self, logp, old_logp, ref_logp):
        return (logp if old_logp is None else old_logp).detach()

    def adv(self, adv):
        return adv.detach()

    def surrogate(self, ratio, A, low, high):
        return -torch.minimum(ratio * A, ratio.clamp(1 - low, 1 + high) * A)

    def kl(self, logp, ref_logp):
        return k3_kl(logp, ref_logp)

    def weighted(self, kl, ratio, kl_ratio, A):
        return kl * ratio if kl_ratio else kl

    def mean(self, token, mask, aggregate, max_length):
        if aggregate == "sequence":
            return (token.sum(1) / mask.sum(1).clamp(min=1)).mean()
        if aggregate == "token":
            return token.sum() / mask.sum().clamp(min=1)
        return token.sum() / (len(token) * max_length)


@mistake(
    "grpo_loss",
    seen="Long and short answers weigh differently from what the chosen aggregation says.",
    named='This equals the mean over all tokens with aggregate="sequence".',
    caught_by=(MEANS, LEASH),
)
def token_mean_for_sequence(*args, **options):
    class Loss(_Loss):
        def mean(self, token, mask, aggregate, max_length):
            return super().mean(token, mask, "token" if aggregate == "sequence" else aggregate, max_length)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="Long and short answers weigh differently from what the chosen aggregation says.",
    named='This equals the mean of the rows\' means with aggregate="token".',
    caught_by=(MEANS, LEASH),
)
def sequence_mean_for_token(*args, **options):
    class Loss(_Loss):
        def mean(self, token, mask, aggregate, max_length):
            return super().mean(token, mask, "sequence" if aggregate == "token" else aggregate, max_length)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="This mean's denominator must not depend on what was sampled.",
    named='This equals a division by the number of True tokens with aggregate="constant".',
    caught_by=(MEANS, LEASH),
)
def constant_uses_mask_sum(*args, **options):
    class Loss(_Loss):
        def mean(self, token, mask, aggregate, max_length):
            return super().mean(token, mask, "token" if aggregate == "constant" else aggregate, max_length)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="max_length was given, and changes nothing.",
    named='This equals a division by the columns of the batch with aggregate="constant", whatever max_length is.',
    caught_by=(MEANS, LEASH),
)
def constant_uses_width(*args, **options):
    class Loss(_Loss):
        def mean(self, token, mask, aggregate, max_length):
            return super().mean(token, mask, aggregate, token.shape[1])

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="Your sum forgets to count the rows.",
    named='This equals a division by max_length alone with aggregate="constant".',
    caught_by=(MEANS, LEASH),
)
def constant_forgets_rows(*args, **options):
    class Loss(_Loss):
        def mean(self, token, mask, aggregate, max_length):
            scale = len(token) if aggregate == "constant" else 1
            return super().mean(token, mask, aggregate, max_length) * scale

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="Rows are divided by something that is not their number of tokens.",
    named="This equals a plain mean over all columns of a row, masked or not.",
    caught_by=(MEANS, NO_TOKENS),
)
def mean_over_padding(*args, **options):
    class Loss(_Loss):
        def mean(self, token, mask, aggregate, max_length):
            return super().mean(token, torch.ones_like(mask), aggregate, max_length)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="A row without tokens should count as a row.",
    named="This equals leaving empty rows out of the mean over rows.",
    caught_by=NO_TOKENS,
)
def empty_rows_dropped(*args, **options):
    class Loss(_Loss):
        def mean(self, token, mask, aggregate, max_length):
            some = mask.any(1)
            if aggregate == "token" or not some.any():
                return super().mean(token, mask, aggregate, max_length)
            return super().mean(token[some], mask[some], aggregate, max_length)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="Tokens outside the mask change your loss.",
    named="This equals a loss over all columns, the mask ignored.",
    caught_by=(MEANS, GARBAGE),
)
def prompt_in_loss(*args, **options):
    class Loss(_Loss):
        def mask(self, mask):
            return torch.ones_like(mask)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="Infinity times zero is no number.",
    named="This equals multiplying by the mask after the exponential.",
    caught_by=GARBAGE,
)
def mask_multiplies(
    logp, old_logp, ref_logp, adv, mask, eps_low=0.2, eps_high=0.2, beta=0.0, aggregate="sequence", max_length=None,
    kl_ratio=False,
):  # fmt: skip
    grpo_loss(logp.detach(), old_logp, ref_logp, adv, mask, eps_low, eps_high, beta, aggregate, max_length, kl_ratio)
    old_logp = (logp if old_logp is None else old_logp).detach()
    ratio, A = (logp - old_logp).exp(), adv.detach()[:, None]
    token = -torch.minimum(ratio * A, ratio.clamp(1 - eps_low, 1 + eps_high) * A)
    if beta != 0:
        kl = k3_kl(logp, ref_logp)
        token = token + beta * (kl * ratio if kl_ratio else kl)
    return _Loss().mean(token * mask, mask, aggregate, max_length)


@mistake(
    "grpo_loss",
    seen="Drifting away lowers your loss.",
    named="This equals minus beta times k3.",
    caught_by=LEASH,
)
def kl_sign(*args, **options):
    class Loss(_Loss):
        def weighted(self, kl, ratio, kl_ratio, A):
            return -super().weighted(kl, ratio, kl_ratio, A)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="A penalty that can be negative pays for some drift; the named estimator cannot.",
    named="This equals a leash of k1, logp minus ref_logp.",
    caught_by=LEASH,
)
def leash_of_k1(*args, **options):
    class Loss(_Loss):
        def kl(self, logp, ref_logp):
            return logp - ref_logp

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="Rows without a lesson still owe their distance penalty.",
    named="This equals leaving out the KL term of rows whose advantage is 0.",
    caught_by="test_rows_without_a_lesson_stay_on_the_leash",
)
def kl_on_zero_rows_dropped(*args, **options):
    class Loss(_Loss):
        def weighted(self, kl, ratio, kl_ratio, A):
            return super().weighted(kl, ratio, kl_ratio, A) * (A != 0)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="Is the leash weighted by the ratio? You were told which.",
    named="This equals k3 times the ratio, asked for or not.",
    caught_by=LEASH,
)
def kl_always_weighted(*args, **options):
    class Loss(_Loss):
        def weighted(self, kl, ratio, kl_ratio, A):
            return kl * ratio

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="Is the leash weighted by the ratio? You were told which.",
    named="This equals k3 without the ratio, asked for or not.",
    caught_by=LEASH,
)
def kl_never_weighted(*args, **options):
    class Loss(_Loss):
        def weighted(self, kl, ratio, kl_ratio, A):
            return kl

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="The weight of your leash should keep its own gradient.",
    named="This equals k3 times a ratio that was detached.",
    caught_by=LEASH,
)
def kl_ratio_detached(*args, **options):
    class Loss(_Loss):
        def weighted(self, kl, ratio, kl_ratio, A):
            return kl * ratio.detach() if kl_ratio else kl

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="The clip should measure the step since sampling, not the distance to the reference.",
    named="This equals a ratio of the policy to the reference.",
    caught_by=(MEANS, LEASH),
)
def ratio_to_reference(*args, **options):
    class Loss(_Loss):
        def old(self, logp, old_logp, ref_logp):
            return super().old(logp, old_logp if ref_logp is None else ref_logp, None)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="Your clip guards only one side of one.",
    named="This equals a fence without its lower side.",
    caught_by=FENCE,
)
def clip_one_sided(*args, **options):
    class Loss(_Loss):
        def surrogate(self, ratio, A, low, high):
            return -torch.minimum(ratio * A, ratio.clamp(max=1 + high) * A)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="The two bounds may differ; one of yours is ignored.",
    named="This equals eps_low on both sides.",
    caught_by=FENCE,
)
def clip_high_unused(*args, **options):
    class Loss(_Loss):
        def surrogate(self, ratio, A, low, high):
            return super().surrogate(ratio, A, low, low)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="The two bounds may differ, and yours have changed places.",
    named="This equals eps_high below and eps_low above.",
    caught_by=FENCE,
)
def bounds_exchanged(*args, **options):
    class Loss(_Loss):
        def surrogate(self, ratio, A, low, high):
            return super().surrogate(ratio, A, high, low)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="Where the two terms differ you take the hopeful one.",
    named="This equals the maximum of the two products in place of the minimum.",
    caught_by=(FENCE, MEANS),
)
def max_for_min(*args, **options):
    class Loss(_Loss):
        def surrogate(self, ratio, A, low, high):
            return -torch.maximum(ratio * A, ratio.clamp(1 - low, 1 + high) * A)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="A token that was dragged to the wrong side is not pulled back.",
    named="This equals the clipped product alone, without the minimum.",
    caught_by=(FENCE, MEANS),
)
def clip_without_min(*args, **options):
    class Loss(_Loss):
        def surrogate(self, ratio, A, low, high):
            return -ratio.clamp(1 - low, 1 + high) * A

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="However far the policy goes in one batch, nothing holds it.",
    named="This equals a loss without the fence.",
    caught_by=(FENCE, MEANS),
)
def no_clip(*args, **options):
    class Loss(_Loss):
        def surrogate(self, ratio, A, low, high):
            return -ratio * A

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="A loss is to be made small. What does yours ask for?",
    named="This equals the objective, without its minus.",
    caught_by=(FENCE, MEANS),
)
def no_minus(*args, **options):
    class Loss(_Loss):
        def surrogate(self, ratio, A, low, high):
            return -super().surrogate(ratio, A, low, high)

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="On-policy your loss has the right value. Look at its gradient.",
    named="This equals a ratio of exactly 1, without a gradient, where old_logp is None.",
    caught_by=ON_POLICY,
)
def on_policy_without_gradient(logp, old_logp, *args, **options):
    if old_logp is None:
        return grpo_loss(logp.detach(), None, *args, **options) + 0.0 * logp.sum()
    return grpo_loss(logp, old_logp, *args, **options)


@mistake(
    "grpo_loss",
    seen="The past is being trained.",
    named="This equals a loss with a gradient through old_logp.",
    caught_by=(MEANS, FENCE),
)
def old_is_trained(*args, **options):
    class Loss(_Loss):
        def old(self, logp, old_logp, ref_logp):
            return logp.detach() if old_logp is None else old_logp

    return Loss()(*args, **options)


@mistake(
    "grpo_loss",
    seen="The advantage is a weight, not something to differentiate.",
    named="This equals a loss with a gradient through the advantages.",
    caught_by="test_advantages_are_not_trained",
)
def advantage_not_detached(*args, **options):
    class Loss(_Loss):
        def adv(self, adv):
            return adv

    return Loss()(*args, **options)


# -------------------------------------------------------------------------------------------------------------- rollout

DRAWN = "test_log_probabilities_are_those_of_the_draw"
ROWS = "test_rows_of_a_prompt_stand_together_and_end_alone"
FREQUENT = "test_every_continuation_is_as_frequent_as_it_is_likely"
CHANCE = "test_chance_comes_from_the_generator"
MODE = "test_it_reads_without_dropout_and_leaves_the_mode"


class _Rollout:
    """rollout in parts, each of which a mistake exchanges."""

    def __call__(
        self, model, prompts, prompt_mask, group_size, max_new_tokens, eos, pad, temperature=1.0, generator=None
    ):
        if temperature <= 0 or group_size < 1 or max_new_tokens < 1 or prompts.shape != prompt_mask.shape:
            raise ValueError("no rollout")
        was_training = model.training
        self.set_mode(model, False)
        tokens, real = self.grouped(prompts, group_size), self.grouped(prompt_mask, group_size)
        running = torch.ones(len(tokens), dtype=torch.bool)
        logps = []
        with torch.no_grad():
            for _ in range(max_new_tokens):
                logits = self.ask(model, tokens, real)
                forbidden = (
                    torch.arange(logits.shape[1]) == pad
                    if pad != eos
                    else torch.zeros(logits.shape[1], dtype=torch.bool)
                )
                drawn_from = self.drawn_from(logits, forbidden, temperature)
                drawn = torch.multinomial(drawn_from.exp(), 1, generator=self.chance(generator))
                logps.append(self.said(logits, forbidden, temperature).gather(1, drawn)[:, 0])
                drawn = torch.where(running, drawn[:, 0], pad)
                tokens = torch.cat([tokens, drawn[:, None]], 1)
                real = torch.cat([real, self.kept(running, drawn, eos)[:, None]], 1)
                running = self.still(running, drawn, eos)
                if not running.any():
                    break
        self.set_mode(model, was_training)
        return {
            "tokens": tokens,
            "mask": self.final(real[:, prompts.shape[1] :], tokens[:, prompts.shape[1] :], pad),
            "logp": torch.stack(logps, 1),
        }

    def set_mode(self, model, training):
        model.train(training)

    def grouped(self, rows, G):
        return rows.repeat_interleave(G, 0)

    def ask(self, model, tokens, real):
        return model(tokens, real)[:, -1]

    def drawn_from(self, logits, forbidden, temperature):
        return (logits.masked_fill(forbidden, -torch.inf) / temperature).log_softmax(-1)

    def said(self, logits, forbidden, temperature):
        return self.drawn_from(logits, forbidden, temperature)

    def chance(self, generator):
        return generator

    def kept(self, running, drawn, eos):
        return running

    def still(self, running, drawn, eos):
        return running & (drawn != eos)

    def final(self, mask, written, pad):
        return mask


@mistake(
    "rollout",
    seen="You compare answers to different questions: how are one prompt's answers laid out?",
    named="This equals prompts that are tiled: first one answer to each, then the next.",
    caught_by=ROWS,
)
def prompts_tiled(*args, **options):
    class Rollout(_Rollout):
        def grouped(self, rows, G):
            return rows.repeat(G, 1)

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="Answers go on after their end.",
    named="This equals a mask that is True for whatever was drawn after the end.",
    caught_by=ROWS,
)
def finished_rows_continue(*args, **options):
    class Rollout(_Rollout):
        def still(self, running, drawn, eos):
            return running

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="The end of an answer is something that the model has to learn. Is it in your mask?",
    named="This equals a mask that ends before the end token.",
    caught_by=ROWS,
)
def end_not_in_mask(*args, **options):
    class Rollout(_Rollout):
        def kept(self, running, drawn, eos):
            return running & (drawn != eos)

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="Where the end and padding are one token, your mask loses the end.",
    named="This equals a mask of tokens != pad.",
    caught_by="test_padding_may_be_the_end",
)
def mask_from_token_id(*args, **options):
    class Rollout(_Rollout):
        def final(self, mask, written, pad):
            return written != pad

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="Padding was drawn.",
    named="This equals sampling from all ids, padding among them.",
    caught_by=(ROWS, DRAWN),
)
def padding_sampled(*args, **options):
    class Rollout(_Rollout):
        def drawn_from(self, logits, forbidden, temperature):
            return (logits / temperature).log_softmax(-1)

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="From which distribution was it drawn, and of which one do you report the probability?",
    named="This equals log-probabilities in which padding still has its share.",
    caught_by=DRAWN,
)
def logp_with_padding(*args, **options):
    class Rollout(_Rollout):
        def said(self, logits, forbidden, temperature):
            return (logits / temperature).log_softmax(-1)

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="From which distribution was it drawn, and of which one do you report the probability?",
    named="This equals log-probabilities at temperature 1, whatever the draw's was.",
    caught_by=DRAWN,
)
def logp_without_temperature(*args, **options):
    class Rollout(_Rollout):
        def said(self, logits, forbidden, temperature):
            return self.drawn_from(logits, forbidden, 1.0)

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="Whatever the temperature, the same answers are equally frequent.",
    named="This equals a rollout at temperature 1.",
    caught_by=(DRAWN, FREQUENT),
)
def temperature_ignored(
    model, prompts, prompt_mask, group_size, max_new_tokens, eos, pad, temperature=1.0, generator=None
):
    temperature = 1.0 if temperature > 0 else temperature
    return rollout(model, prompts, prompt_mask, group_size, max_new_tokens, eos, pad, temperature, generator)


@mistake(
    "rollout",
    seen="A higher temperature makes your model surer.",
    named="This equals logits multiplied by the temperature.",
    caught_by=(DRAWN, FREQUENT),
)
def temperature_inverted(
    model, prompts, prompt_mask, group_size, max_new_tokens, eos, pad, temperature=1.0, generator=None
):
    temperature = 1.0 / temperature if temperature > 0 else temperature
    return rollout(model, prompts, prompt_mask, group_size, max_new_tokens, eos, pad, temperature, generator)


@mistake(
    "rollout",
    seen="Padding on the left moves your model's positions.",
    named="This equals asking the model without the mask.",
    caught_by=(DRAWN, "test_a_language_model_says_the_same_again"),
)
def mask_not_passed(*args, **options):
    class Rollout(_Rollout):
        def ask(self, model, tokens, real):
            return model(tokens)[:, -1]

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="Fresh log-probabilities of your own samples differ from the stored ones.",
    named="This equals logits of the last column but one.",
    caught_by=DRAWN,
)
def logits_of_the_column_before(*args, **options):
    class Rollout(_Rollout):
        def ask(self, model, tokens, real):
            return model(tokens, real)[:, -2]

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="All answers to a prompt are alike.",
    named="This equals taking the likeliest token in place of a draw.",
    caught_by=FREQUENT,
)
def always_the_likeliest(*args, **options):
    class Rollout(_Rollout):
        def drawn_from(self, logits, forbidden, temperature):
            logp = super().drawn_from(logits, forbidden, temperature)
            return torch.where(logp == logp.amax(-1, keepdim=True), 0.0, -torch.inf).to(logp.dtype)

        def said(self, logits, forbidden, temperature):
            return super().drawn_from(logits, forbidden, temperature)

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="The same generator drew something else: was there another source of chance?",
    named="This equals drawing from torch's global generator.",
    caught_by=CHANCE,
)
def generator_ignored(*args, **options):
    class Rollout(_Rollout):
        def chance(self, generator):
            return None

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="Without a generator torch's global one should decide; yours has decided already.",
    named="This equals a generator of its own, always seeded alike, where none is given.",
    caught_by=CHANCE,
    remembers=True,
)
def own_seed(*args, **options):
    class Rollout(_Rollout):
        fallback = torch.Generator().manual_seed(0)

        def chance(self, generator):
            return self.fallback if generator is None else generator

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="A model that was being trained is not any more, or was asked while it forgot half of what it knew.",
    named="This equals asking the model in the mode in which it comes.",
    caught_by=MODE,
)
def mode_untouched(*args, **options):
    class Rollout(_Rollout):
        def set_mode(self, model, training):
            pass

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="A model that was being trained is not any more.",
    named="This equals a model that is left in eval mode.",
    caught_by=MODE,
)
def left_in_eval(*args, **options):
    class Rollout(_Rollout):
        def set_mode(self, model, training):
            model.eval()

    return Rollout()(*args, **options)


@mistake(
    "rollout",
    seen="An end within the question ended the answer.",
    named="This equals rows that are over from the start if their prompt holds the end token.",
    caught_by=(ROWS, "test_padding_may_be_the_end"),
)
def end_in_prompt_ends(
    model, prompts, prompt_mask, group_size, max_new_tokens, eos, pad, temperature=1.0, generator=None
):
    found = rollout(model, prompts, prompt_mask, group_size, max_new_tokens, eos, pad, temperature, generator)
    over = (prompts == eos).any(1).repeat_interleave(group_size)[:, None]
    tokens = found["tokens"].clone()
    P = prompts.shape[1]
    tokens[:, P:] = tokens[:, P:].masked_fill(over, pad)
    return {**found, "tokens": tokens, "mask": found["mask"] & ~over}


# ----------------------------------------------------------------------------------------------------------- train_grpo

FOUND = "test_a_paid_token_is_found"
ADDS = "test_it_teaches_itself_to_add"
COUNTED = "test_rounds_are_counted"
SEED = "test_a_seed_fixes_every_weight"
EQUAL = "test_equal_rewards_teach_nothing"


class _Run:
    """train_grpo in parts, each of which a mistake exchanges."""

    n_prompts, G, weight_decay, first_column = 128, 8, 0.0, -1

    def train(self, policy, prompts, prompt_mask, reward_fn, iterations, seed):
        P = prompts.shape[1]
        self.generator = self.chance(seed)
        self.reference = TinyLM(**policy.config).eval()
        self.reference.load_state_dict(policy.state_dict())
        optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-4, weight_decay=self.weight_decay)
        policy.eval()
        for _ in range(iterations):
            chosen = torch.randint(len(prompts), (self.n_prompts,), generator=self.generator)
            drawn = rollout(
                policy, prompts[chosen], prompt_mask[chosen], self.G, ANSWER, EOS, PAD, generator=self.generator
            )
            tokens, mask = drawn["tokens"], drawn["mask"]
            adv = self.advantages(self.rewards(reward_fn, tokens, mask, prompts[chosen]))
            real = torch.cat([prompt_mask[chosen].repeat_interleave(self.G, 0), mask], 1)
            old = self.old(drawn["logp"], tokens, real, mask, P)
            for rows in self.batches((adv != 0).nonzero()[:, 0]):
                logp = self.logp(policy, tokens[rows], real[rows], mask[rows], P)
                old_logp = old[rows] if old is not None else logp.detach()
                optimizer.zero_grad()
                self.loss(logp, old_logp, adv[rows], mask[rows]).backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                optimizer.step()
        return self.returned(policy)

    def chance(self, seed):
        return torch.Generator().manual_seed(seed)

    def batches(self, rows):
        orders = [rows[torch.randperm(len(rows), generator=self.generator)] for _ in range(2)]
        return [half for order in orders for half in order.chunk(2) if len(half)]

    def rewards(self, reward_fn, tokens, mask, prompts):
        P = prompts.shape[1]
        return reward_fn(tokens[:, :P], tokens[:, P:], mask)

    def advantages(self, rewards):
        return group_advantages(rewards, self.G)

    def old(self, logp, tokens, real, mask, P):
        return logp

    def logp(self, policy, tokens, real, mask, P, shift=-1):
        logits = policy(tokens, real)[:, P + shift : tokens.shape[1] + shift]
        logits = logits.masked_fill(torch.arange(logits.shape[2]) == PAD, -torch.inf)
        return logits.log_softmax(-1).gather(2, tokens[:, P:].masked_fill(~mask, EOS)[..., None])[..., 0]

    def loss(self, logp, old_logp, adv, mask):
        return grpo_loss(logp, old_logp, None, adv, mask, eps_low=0.2, eps_high=0.28, aggregate="token")

    def returned(self, policy):
        return policy.eval()


@mistake(
    "train_grpo",
    seen="Your model has not learnt anything yet.",
    named="This equals a model as it came, without any training.",
    caught_by=(FOUND, ADDS),
    blocker=True,
)
def untrained(policy, prompts, prompt_mask, reward_fn, iterations, seed):
    return policy.eval()


@mistake(
    "train_grpo",
    seen="Your model grows worse on purpose: better answers become less likely.",
    named="This equals training with the sign of the advantages turned.",
    caught_by=(FOUND, ADDS),
    blocker=True,
)
def ascends(*args):
    class Run(_Run):
        def advantages(self, rewards):
            return -super().advantages(rewards)

    return Run().train(*args)


@mistake(
    "train_grpo",
    seen="Fresh log-probabilities of your own samples differ from the stored ones.",
    named="This equals logits that are one column late: those that have already seen the token.",
    caught_by=(FOUND, ADDS),
    blocker=True,
)
def logits_off_by_one(*args):
    class Run(_Run):
        def logp(self, policy, tokens, real, mask, P, shift=0):
            return super().logp(policy, tokens, real, mask, P, shift)

    return Run().train(*args)


@mistake(
    "train_grpo",
    seen="Your clip measures the way from the very first model: after a while nothing may move.",
    named="This equals old log-probabilities from the model as it came, in place of the one that drew.",
    caught_by=ADDS,
    blocker=True,
)
def ratio_to_the_start(*args):
    class Run(_Run):
        def old(self, logp, tokens, real, mask, P):
            with torch.no_grad():
                return self.logp(self.reference, tokens, real, mask, P)

    return Run().train(*args)


@mistake(
    "train_grpo",
    seen="A reward was asked for an answer to one prompt and shown another.",
    named="This equals rewards for completions beside prompts in another order.",
    caught_by=FOUND,
    blocker=True,
)
def prompts_do_not_fit(*args):
    class Run(_Run):
        def rewards(self, reward_fn, tokens, mask, prompts):
            return reward_fn(prompts.repeat(self.G, 1), tokens[:, prompts.shape[1] :], mask)

    return Run().train(*args)


@mistake(
    "train_grpo",
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
    "train_grpo",
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
    "train_grpo",
    seen="More completions were asked about than a round has.",
    named="This equals rounds of 2,048 completions.",
    caught_by=COUNTED,
)
def rounds_too_large(*args):
    class Run(_Run):
        n_prompts = 256

    return Run().train(*args)


@mistake(
    "train_grpo",
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
    "train_grpo",
    seen="A reward that is larger by 1 for all answers taught something else: against what is a reward measured?",
    named="This equals plain rewards as advantages, without a baseline.",
    caught_by=EQUAL,
)
def no_baseline(*args):
    class Run(_Run):
        def advantages(self, rewards):
            return rewards

    return Run().train(*args)


@mistake(
    "train_grpo",
    seen="Nothing was to be learnt, and still the weights moved.",
    named="This equals an optimiser that pulls all weights towards 0 whatever the rewards say.",
    caught_by=EQUAL,
)
def moves_without_reason(policy, prompts, prompt_mask, reward_fn, iterations, seed):
    class Run(_Run):
        def returned(self, policy):
            with torch.no_grad():
                for parameter in policy.parameters():
                    parameter.mul_(0.99)
            return policy.eval()

    return Run().train(policy, prompts, prompt_mask, reward_fn, iterations, seed)
