# %% [markdown] assignment="a13_grpo" title="GRPO: groups instead of a critic, rewards that can be checked" module="grpo" requires="torch, torch._dynamo, common.tiny_lm, common.sums" summary="A verifier that cannot be talked round, advantages from groups of answers, the library's loss for each way of averaging, and a language model that learns to add by trying." forbidden="trl, peft, bitsandbytes, unsloth, common.sums.answers, common.sums.demonstrations, common.sums.exact, common.tiny_lm.pretrained, common.tiny_lm.load_weights, common.preferences"
# # GRPO: groups instead of a critic, rewards that can be checked
#
# PPO on a language model needs four models in memory: the policy, its reference, a reward model and a critic. Two of them
# can go. Where an answer can be *checked*, a few lines of code replace the reward model. And where one prompt is answered
# several times, the other answers say what was to be expected, and replace the critic. What is left is group-relative
# policy optimisation, the algorithm behind DeepSeekMath and DeepSeek-R1: short enough to write in an evening, and full of places
# where a mean is taken over the wrong thing.
#
# At the end, a small language model that is right about a sum in three cases of ten teaches itself to be right in
# two of three and more. Nobody shows it a right answer: it only hears yes or no.
#
# You write six things, in this order:
#
# 1. `verify`: yes or no, and not to be talked round
# 2. `group_advantages`: better or worse than the other answers to the same prompt
# 3. `k3_kl`: the leash, token by token
# 4. `grpo_loss`: ratio, fence, leash, and three ways to average
# 5. `rollout`: several answers to each prompt, with their log-probabilities
# 6. `train_grpo`: all of it
#
# **You need** [PPO](../../docs/learn/a08_ppo.md): the ratio, the fence and k3 come along. Of
# [RLHF with PPO](../../docs/learn/a10_rlhf_ppo.md) you need the idea of log-probabilities and masks token by token. The
# [reading page](../../docs/learn/a13_grpo.md) says what to read, and derives each formula.
#
# ```
# autograder check a13                      # all tasks: what holds, what to mend first
# autograder check a13.group_advantages     # one task
# autograder hint a13.group_advantages      # the next of its three hints
# ```
#
# ## What is given
#
# In `assignments/common/`, to be read: `tiny_lm.py` has `TinyLM`, a language model of 105,000 weights:
# `model(tokens, mask)` takes tokens (B, T), int64, and a bool mask of the same shape, and gives logits (B, T, V). It counts
# positions from the mask, so padding on the left shifts nothing. `sums.py` has the language of the last task: `37+58=` is
# asked, `095.` is right; `.` ends an answer (`EOS`), `_` is padding (`PAD`).
#
# ## What we keep of the papers, and what we leave out
#
# Kept from *DeepSeekMath* (Shao et al., 2024): one prompt, a group of answers, rewards centred and scaled within the
# group (section 4.1.2), the clipped ratio and k3 in the loss (equations 3 and 4). Kept from *Dr. GRPO* (Liu et al., 2025): the two
# divisions that bias it can be left out. Kept from *DAPO* (Yu et al., 2025): a fence whose sides differ, a mean over tokens. Kept from
# *Tülu 3* (Lambert et al., 2024): rewards that are verified, not predicted.
#
# Left out: rewards for single steps of an answer, a length penalty, sampling until every group is mixed, ratios of whole answers
# (GSPO), and rewards from a model.
#
# ## Convention card
#
# Every one of these could be otherwise, and in some library it is. When a number is wrong, begin here.
#
# | question | our answer | who differs |
# |---|---|---|
# | which rows are a group? | **contiguous**: rows $gG \dots gG + G - 1$ answer prompt $g$ | others stride: row $i$ answers prompt $i$ mod $N/G$ |
# | standard deviation | **ddof 1**, then + eps (1e-4) | NumPy: ddof 0; other codes: eps 1e-8, or inside the root |
# | a group whose rewards are all equal | **exactly** 0 | TRL: rounding dust, 6e-4 for eight times 0.7 |
# | columns | column j belongs to the j-th token **of the completion**, R of them | RLHF with PPO: T − 1 columns of the whole text |
# | the first EOS of a completion | is part of it: in the mask, the loss and the KL; nothing after it is | |
# | what is padding? | what the **mask** says (True = real), nothing else | a guess: `tokens != pad` |
# | sign | a **loss**, to be minimised | papers write objectives |
# | the leash | k3, in the loss, not in the reward | RLHF with PPO: k1, in the reward |
# | k3 times the ratio? | only if asked (`kl_ratio`) | TRL 1.12: yes, unless switched off |
# | `beta` | 0: no leash, no reference model | DeepSeekMath: 0.04 |
# | mean | "sequence", "token" or "constant" | TRL: "grpo", "bnpo" / "dapo", "dr_grpo" |
# | gradient | goes to `logp` only | |
# | dtype | what comes in goes out | |
# | inputs | are never changed in place; chance comes from `generator` or `seed` alone | |
#
# Letters: $N$ rows, $G$ answers to one prompt (`group_size`), $P$ and $R$ tokens of a prompt and of a completion, $T$ columns of a
# loss, $\hat A$ an advantage (`adv`), $r = \pi / \pi_\text{old}$ the ratio (and in `group_advantages` a reward), $\beta$ the price of leaving the reference.
#
# ## What you may not use, and why
#
# `trl`, `peft`, `bitsandbytes`, `unsloth`: they are what you are building. `common.preferences` has a sampler, and
# `common.sums` has right answers: `train_grpo` has to do without either, and in the grading the digits are renamed, so that only
# the reward knows what is right.

# %%
import re
from collections.abc import Callable

import torch
from common.sums import ANSWER, EOS, PAD
from common.tiny_lm import TinyLM
from torch import Tensor

RewardFn = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(prompts (M, P), completions (M, R), mask (M, R)) -> rewards (M,)."""

# %% [markdown] task="verify"
# ## `verify`: yes or no, and not to be talked round
#
# A verifier is a reward function that nobody trained. It looks harmless, and it is the one part of the system that the policy will
# attack: thousands of samples a minute look for whatever it pays. If "12 or 13" is paid, the model learns to hedge. If the answer may
# stand anywhere, it learns to write down many numbers. So the rule has to be stated, whole, and what it does not allow is wrong.
#
# **What is read.** The text after the last `=` or `:`; all of it if there is neither. In it, the minus sign U+2212 (−) counts
# as a hyphen. Then the *whole* of it must be, in this order:
#
# | part | what it may be |
# |---|---|
# | blanks | any number of spaces, tabs and line breaks, or none |
# | sign | `+` or `-`, or none |
# | digits | ASCII digits `0` to `9`, in one run; or one to three of them and then groups of a comma and three, as in `1,234,567`. At most 30 digits, leading zeros included |
# | a decimal part | `.` and one or more zeros, or none |
# | a full stop | one, or none |
# | blanks | as before |
#
# If it is, and the number equals `answer`, the reward is 1.0, else 0.0. Numbers are equal as integers: `095` is 95, `-0` is 0. No completion
# whatsoever may raise an error: an endless number is a wrong answer, not a crash.
#
# `answer` is an `int`, or a `str` that reads by the table above. A string that does not is an error of ours, not of the model: raise `ValueError`.
#
# | completion | `answer` | reward | because |
# |---|---|---:|---|
# | `"095."` | 95 | 1 | leading zeros, a full stop |
# | `"7 + 5 = 12."` | 12 | 1 | after the last `=` |
# | `"Answer: 1,234"` | `"1234"` | 1 | after the last `:`; groups of three |
# | `"−3"` (U+2212) | −3 | 1 | |
# | `"12.0"` | 12 | 1 | |
# | `"12 or 13"`, `"12 13"`, `"12/13"` | 12 | 0 | a hedge |
# | `"7 + 5"` | 5 | 0 | the prompt, echoed |
# | `"7 + 5 = 12, so it is twelve"` | 12 | 0 | the answer stands in the scratchpad only |
# | `"12 = 7 + 5"` | 12 | 0 | the last `=` comes after it |
# | `"12.5"`, `"1e1"`, `"1,23"`, `"- 3"`, `""` | any | 0 | not in the table |
# | `"١٢"` (Arabic digits) | 12 | 0 | not ASCII |


# %% task="verify" points=3 minutes=25
def verify(completion: str, answer: int | str) -> float:
    """1.0 if the completion's final answer is `answer`, else 0.0. The grammar stands in the handout.

    completion: any text at all; it never raises. answer: an int, or a str that reads by the same grammar.
    Raises ValueError if `answer` cannot be read.
    """
    ### BEGIN SOLUTION
    grammar = r"[ \t\r\n]*([+-]?)([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.0+)?\.?[ \t\r\n]*"

    def whole_number(text: str) -> int | None:
        found = re.fullmatch(grammar, text.replace("\u2212", "-"))
        digits = found[2].replace(",", "") if found else ""
        return int(found[1] + digits) if 1 <= len(digits) <= 30 else None

    wanted = answer if isinstance(answer, int) else whole_number(answer)
    if wanted is None:
        raise ValueError(f"answer {answer!r} is no whole number")
    final = re.split("[=:]", completion)[-1]
    return float(whole_number(final) == wanted)
    ### END SOLUTION


# %% [markdown] hints="verify"
# 1. Which is safer: to search a text for something that looks right, or to demand that all of it is right? What does
#    `re.search` find in "12 or 13"?
# 2. Cut first: everything after the last `=` or `:`. Then one regular expression for the table, row by row, that has to match the *whole* rest.
#    Python's `\d` and `\s` know more alphabets than the table, and `int` refuses numbers of more than 4,300 digits with an error.
# 3. `re.split("[=:]", completion)[-1]`, replace U+2212, then `re.fullmatch` of
#    `[ \t\r\n]*([+-]?)([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.0+)?\.?[ \t\r\n]*`. Take the commas out of the digits; more than 30 are refused; then compare ints.

# %% tests="verify"
import math

import pytest
import torch
from asks import (
    kl_and_gradients,
    loss_and_gradients,
    rollouts,
    table_of,
    train,
    trained_weights,
    verdicts,
)

from autograder.testing import Counted, graded_run, needs, task
from autograder.testing.readings import take_weights

HAND = {"rtol": 1e-9, "atol": 1e-12}  # float64: nothing but rounding in the last digits


def numbers(*shape, start=0):
    """Fixed numbers between -2 and 2 without a visible pattern; `start` gives other ones."""
    return 2 * torch.sin(1.7 * torch.arange(start, start + math.prod(shape), dtype=torch.float64) ** 1.3).reshape(shape)


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


@task("verify")
def test_the_table_of_the_handout(student):
    """Each row of the handout's table gets its reward."""
    paid = [("095.", 95), ("7 + 5 = 12.", 12), ("Answer: 1,234", "1234"), ("\u22123", -3), ("12.0", 12)]
    unpaid = [(text, 12) for text in ("12 or 13", "12 13", "12/13", "7 + 5 = 12, so it is twelve", "12 = 7 + 5")]
    unpaid += [("7 + 5", 5), ("12.5", 12), ("1e1", 10), ("1,23", 123), ("- 3", -3), ("", 0), ("\u0661\u0662", 12)]
    expected = [1.0] * len(paid) + [0.0] * len(unpaid)
    student.ask(verdicts, paid + unpaid).equals(expected)


@task("verify")
@needs("test_the_table_of_the_handout")
def test_an_unreadable_answer_is_refused(student):
    """An `answer` that is no whole number is our own mistake, and an error."""
    student.verify("12", "twelve").refused()
    student.verify("", "").refused()


# %% [markdown] task="group_advantages"
# ## `group_advantages`: better or worse than the other answers to the same prompt
#
# An advantage is a reward minus what was to be expected. PPO's critic predicts that from the prompt. GRPO asks the prompt $G$ times, and takes the
# mean of what came back:
#
# $$\hat A_i = \frac{r_i - \text{mean}(r_\text{group})}{\text{std}(r_\text{group}) + \varepsilon} \qquad\text{(DeepSeekMath, section 4.1.2)}$$
#
# Each answer's advantage then holds for all of its tokens. The rows of a group stand together: rows $0 \dots G-1$ answer the first prompt, the next $G$ the second.
#
# | `scale` | $\hat A_i$ | where from |
# |---|---|---|
# | `"group"` | $(r_i - \text{group's mean}) / (\text{group's std} + \varepsilon)$ | DeepSeekMath |
# | `"batch"` | $(r_i - \text{group's mean}) / (\text{std of \textbf{all} rewards} + \varepsilon)$ | REINFORCE++, TRL |
# | `"none"` | $r_i - \text{group's mean}$ | Dr. GRPO: dividing by the spread makes nearly solved and nearly hopeless prompts count more |
# | `"loo"` | $r_i - \text{mean of the \textbf{other} } G - 1$ | RLOO (Ahmadian et al., 2024) |
#
# **By hand.** Rewards (1, 0, 0, 1 | 0, 0, 1, 0), $G = 4$. The means are 1/2 and 1/4. The first group's variance is $4 \cdot \tfrac14 / 3 = \tfrac13$, the second's
# $(3 \cdot \tfrac1{16} + \tfrac9{16}) / 3 = \tfrac14$. So "group" gives $\pm 0.5 / (0.57735 + 0.0001) = \pm 0.86588$ in the first, and $-0.49990$ and $1.49970$ in
# the second. "none" gives $\pm\tfrac12$, then $-\tfrac14$ and $\tfrac34$. "loo" gives $\tfrac23, -\tfrac23, -\tfrac23, \tfrac23$, then $-\tfrac13$ and 1.
#
# **The edges.** A group whose rewards are all equal has nothing to teach: its advantages are *exactly* 0, for each `scale`, whatever a rounded mean says. (The mean of eight times
# 0.7 in float32 is not 0.7; divide the difference by $10^{-4}$ and you have taught something.) The same for groups of one. The standard deviation has ddof 1.
# What comes back carries no gradient.
#
# Refused: a number of rewards that is no multiple of $G$, $G < 1$, no rewards at all, rewards that are infinite or NaN, an unknown `scale`.


# %% task="group_advantages" points=4 minutes=30
def group_advantages(rewards: Tensor, group_size: int, eps: float = 1e-4, scale: str = "group") -> Tensor:
    """Advantages of answers within their groups.

    rewards: (N,), float; rows g*G ... g*G+G-1 answer prompt g, with G = group_size.
    scale: "group", "batch", "none" or "loo". eps is added to the standard deviation (ddof 1).
    Returns (N,), in the dtype of rewards, without gradient; exactly 0 in a group whose rewards are all equal.
    Raises ValueError if N is 0 or no multiple of G, for G < 1, rewards that are not finite, an unknown scale.

    Source: Shao et al. 2024, section 4.1.2; Liu et al. 2025 ("none"); Ahmadian et al. 2024 ("loo").
    """
    ### BEGIN SOLUTION
    G = group_size
    if G < 1 or rewards.ndim != 1 or len(rewards) == 0 or len(rewards) % G:
        raise ValueError(f"rewards of shape {tuple(rewards.shape)} are not one or more groups of group_size={G}")
    if not rewards.isfinite().all():
        raise ValueError("rewards should be finite")
    if scale not in ("group", "batch", "none", "loo"):
        raise ValueError(f'scale={scale!r} is none of "group", "batch", "none", "loo"')
    r = rewards.detach().view(-1, G)  # (N/G, G)
    centred = r - r.mean(dim=1, keepdim=True)  # (N/G, G)
    alike = r.amax(dim=1, keepdim=True) == r.amin(dim=1, keepdim=True)  # (N/G, 1)
    if alike.all():  # also where G is 1, and no spread is defined
        return torch.zeros_like(rewards)
    if scale == "group":
        advantages = centred / (r.std(dim=1, keepdim=True) + eps)
    elif scale == "batch":
        advantages = centred / (r.std() + eps)
    elif scale == "loo":
        advantages = centred * G / (G - 1)  # r_i - (sum - r_i) / (G - 1)
    else:
        advantages = centred
    return advantages.masked_fill(alike, 0.0).flatten()
    ### END SOLUTION


# %% [markdown] hints="group_advantages"
# 1. With which other answers should an answer be compared: all of the batch, or those to the same question? What would an easy prompt do to a hard one?
# 2. `view(-1, G)` puts each group in a row of its own; means and spreads are then along that row (`keepdim=True`). Leave-one-out: the sum without $r_i$, over $G - 1$; what is that in terms of $r_i$ minus the
#    group's mean? And compare a group's largest reward with its smallest before you trust a rounded mean.
# 3. `r = rewards.detach().view(-1, G)`, `centred = r - r.mean(1, keepdim=True)`; divide by `r.std(1, keepdim=True) + eps`, or by `r.std() + eps`, or not, or multiply by $G/(G-1)$.
#    Fill with 0 where `r.amax(1) == r.amin(1)`, and flatten.

# %% tests="group_advantages"
TWO_GROUPS = (1, 0, 0, 1, 0, 0, 1, 0)


@task("group_advantages")
def test_two_groups_of_four(student):
    """The two groups of the handout, for "group", "none" and "loo"."""
    rewards = f64(*TWO_GROUPS)
    a, low, high = 0.5 / (math.sqrt(1 / 3) + 1e-4), -0.25 / (0.5 + 1e-4), 0.75 / (0.5 + 1e-4)
    student.group_advantages(rewards, 4).equals(f64(a, -a, -a, a, low, low, high, low), **HAND)
    none = f64(0.5, -0.5, -0.5, 0.5, -0.25, -0.25, 0.75, -0.25)
    student.group_advantages(rewards, 4, scale="none").equals(none, **HAND)
    loo = f64(2, -2, -2, 2, -1, -1, 3, -1) / 3
    student.group_advantages(rewards, 4, scale="loo").equals(loo, **HAND)


@task("group_advantages")
def test_the_spread_of_the_batch(student):
    """With "batch", all groups are divided by the spread of all rewards: of 8 with three ones it is 0.5175."""
    spread = math.sqrt((3 * (5 / 8) ** 2 + 5 * (3 / 8) ** 2) / 7)
    expected = f64(0.5, -0.5, -0.5, 0.5, -0.25, -0.25, 0.75, -0.25) / (spread + 1e-4)
    student.group_advantages(f64(*TWO_GROUPS), 4, scale="batch").equals(expected, **HAND)


@task("group_advantages")
@needs("test_two_groups_of_four")
def test_eight_times_the_same_teaches_nothing(student):
    """Eight times 0.7 beside a mixed group: exactly 0, for each scale."""
    rewards = torch.tensor([0.7] * 8 + [0.0, 1.0] * 4)
    for scale in ("group", "batch", "none", "loo"):
        found = student.group_advantages(rewards, 8, scale=scale).value
        assert (found[:8] == 0).all(), "Eight equal rewards should have advantages of exactly 0."


@task("group_advantages")
@needs("test_two_groups_of_four")
def test_rows_that_fill_no_groups_are_refused(student):
    """Ten rewards are no groups of four; no rewards, or one that is NaN, are refused as well."""
    student.group_advantages(numbers(10), 4).refused()
    student.group_advantages(f64(), 4).refused()
    student.group_advantages(f64(1, float("nan")), 2).refused()
    student.group_advantages(numbers(4), 2, scale="median").refused()


@task("group_advantages")
def test_same_as_trl(student):
    """The advantages equal those that TRL's GRPOTrainer computes for the same rewards, for its three scales."""
    trl = pytest.importorskip("trl", reason="trl is not installed")
    if trl.__version__ != "1.12.0":
        pytest.skip(f"trl is {trl.__version__}; this was compared with 1.12.0")
    rewards = torch.tensor([0.25, 1.0, 0.0, 2.0, 1.0, -1.5, 0.5, 0.0])
    for scale in ("group", "batch", "none"):
        trainer = trl_trainer(scale_rewards=scale, num_generations=4, rewards=rewards.tolist())
        examples = [{"prompt": f"{prompt}"} for prompt in (3, 3, 3, 3, 7, 7, 7, 7)]
        theirs = trainer._generate_and_score_completions(examples)["advantages"].cpu()
        # float32 on both sides, in another order
        student.group_advantages(rewards, 4, scale=scale).equals(theirs, rtol=1e-5, atol=1e-6)


def trl_trainer(rewards=(0.0, 0.0), **options):
    """TRL's trainer around a random Llama of two layers; its reward function returns `rewards`, whatever was written."""
    import tempfile

    import tokenizers
    import transformers
    import trl
    from datasets import Dataset

    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2, **{str(n): 3 + n for n in range(10)}}
    text = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    text.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=text, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=13, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=1,
        )
    )  # fmt: skip
    settings = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 5, "use_cpu": True}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(
            folder
        )  # where there is a leash, the trainer reads its reference from where the model was
        model = transformers.LlamaForCausalLM.from_pretrained(folder)
        return trl.GRPOTrainer(
            model=model,
            reward_funcs=lambda completions, **_: list(rewards)[: len(completions)],
            args=trl.GRPOConfig(output_dir=folder, report_to=[], **{**settings, **options}),
            train_dataset=Dataset.from_dict({"prompt": ["3", "7"]}),
            processing_class=tokenizer,
        )


# %% [markdown] task="k3_kl"
# ## `k3_kl`: the leash, token by token
#
# $$k_3 = e^{u} - u - 1, \qquad u = \ln \pi_\text{ref} - \ln \pi \qquad\text{(DeepSeekMath, equation 4)}$$
#
# The price of having moved away from the reference, estimated from the tokens that the *policy* wrote, element by element. You know it from PPO's gauge, with another $u$:
# there the old policy had drawn, here the policy itself has, so the roles are exchanged. It is never negative (up to rounding).
#
# **By hand.** $\pi = (\tfrac12, \tfrac14)$, $\pi_\text{ref} = (\tfrac14, \tfrac12)$: $u = (-\ln 2, \ln 2)$, so $k_3 = (\tfrac12 + \ln 2 - 1,\ 2 - \ln 2 - 1) = (0.1931, 0.3069)$. Its
# slope in $\ln \pi$ is $1 - e^u = (\tfrac12, -1)$.
#
# The gradient goes through `logp`; `ref_logp` gets none. Unequal shapes are refused.


# %% task="k3_kl" points=2 minutes=10
def k3_kl(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """The estimator k3 of KL(policy || reference), element by element.

    logp, ref_logp: log-probabilities of the same tokens under the policy, which drew them, and under the reference.
    Any shape, equal. Returns that shape; its gradient goes to logp only.
    Raises ValueError if the shapes are not equal.

    Source: Shao et al. 2024, equation 4; Schulman 2020.
    """
    ### BEGIN SOLUTION
    if logp.shape != ref_logp.shape:
        raise ValueError(f"shapes differ: logp {tuple(logp.shape)}, ref_logp {tuple(ref_logp.shape)}")
    u = ref_logp.detach() - logp
    return u.expm1() - u
    ### END SOLUTION


# %% [markdown] hints="k3_kl"
# 1. Who drew the tokens: the policy or the reference? Over whose probabilities is the ratio with mean 1, then?
# 2. The logarithm of the ratio is a difference of what you are given. The formula needs it twice, once in an exponential.
# 3. `u = ref_logp.detach() - logp`, after a check of the shapes; then `u.exp() - u - 1`, or `torch.expm1(u) - u`.


# %% tests="k3_kl"
@task("k3_kl")
def test_a_half_and_a_quarter(student):
    """Probabilities 1/2 and 1/4 beside 1/4 and 1/2 have k3 of 0.1931 and 0.3069, with slopes 1/2 and -1."""
    logp, ref = f64(0.5, 0.25).log(), f64(0.25, 0.5).log()
    expected = {
        "kl": f64(math.log(2) - 0.5, 1 - math.log(2)), "logp": f64(0.5, -1.0), "ref_logp": torch.zeros_like(ref),
    }  # fmt: skip
    student.ask(kl_and_gradients, logp, ref).equals(expected, **HAND)


@task("k3_kl")
@needs("test_a_half_and_a_quarter")
def test_a_row_beside_a_column_is_refused(student):
    """Unequal shapes are refused, not broadcast."""
    student.k3_kl(numbers(3, 1), numbers(3)).refused()


# %% [markdown] task="grpo_loss"
# ## `grpo_loss`: ratio, fence, leash, and three ways to average
#
# For each token,
#
# $$\ell = -\min\big(r \hat A,\ \text{clip}(r,\ 1 - \epsilon_\text{low},\ 1 + \epsilon_\text{high})\, \hat A\big) + \beta\, k_3, \qquad r = e^{\ln \pi - \ln \pi_\text{old}}$$
#
# with the advantage of the token's row. It is PPO's fence, but its two sides may differ (DAPO lifts the upper one, so that rare tokens can grow), and the leash stands in the loss and not in the reward.
# Then the tokens are averaged, and here the papers part:
#
# | `aggregate` | the mean | so | TRL's `loss_type` |
# |---|---|---|---|
# | `"sequence"` | each row's mean over its True tokens, then the mean over rows | a token of a long answer counts less | `"grpo"` |
# | `"token"` | one mean over all True tokens | a long answer counts more | `"bnpo"`, `"dapo"` |
# | `"constant"` | the sum over all True tokens, divided by (rows times `max_length`) | the divisor depends on nothing that was sampled | `"dr_grpo"` |
#
# **By hand.** Two rows, three columns; on-policy, so every ratio is 1. Advantages 1 and −1; the first row has 1 True token, the second 3. Each token's $\ell$ is $-\hat A$: −1 | 1, 1, 1.
# "sequence": $(-1 + 1)/2 = 0$. "token": $(-1 + 3)/4 = 0.5$. "constant" with `max_length=4`: $2 / (2 \cdot 4) = 0.25$.
#
# **The edges.**
#
# - Where the mask is False anything may stand, also numbers whose exponential overflows. It changes neither loss nor gradient, and infinity times 0 is NaN.
# - A row without any True token counts as a row of loss 0. If no token is True at all, the loss is 0.
# - Rows whose advantage is 0 keep their KL term: they have no lesson, but they are still on the leash.
# - `old_logp=None` means: the policy that drew is the one that is trained. Then the ratio is 1, and *not* without a gradient.
# - `kl_ratio=True` multiplies $k_3$ by the ratio, which keeps its gradient. (TRL's default. Its gradient is then that of the KL itself; the reading page shows why.)
# - `ref_logp=None` needs `beta` 0; "constant" needs a `max_length` of at least 1. Otherwise, and for unknown names, unequal shapes or no rows at all: `ValueError`.
#
# Gradient goes to `logp` only. Exactly on the fence there are two slopes to choose from, so only values are asked there.


# %% task="grpo_loss" points=5 minutes=40
def grpo_loss(
    logp: Tensor,
    old_logp: Tensor | None,
    ref_logp: Tensor | None,
    adv: Tensor,
    mask: Tensor,
    eps_low: float = 0.2,
    eps_high: float = 0.2,
    beta: float = 0.0,
    aggregate: str = "sequence",
    max_length: int | None = None,
    kl_ratio: bool = False,
) -> Tensor:
    """The loss of GRPO, equal to TRL's.

    logp, old_logp, ref_logp: (B, T), log-probabilities of the completions' tokens under the policy, under the one that
    drew them (None: the same) and under the reference (None: only with beta 0). adv: (B,). mask: (B, T) bool.
    aggregate: "sequence", "token" or "constant", which needs max_length. kl_ratio: whether k3 is weighted by the ratio.
    Returns a scalar; its gradient goes to logp only. What stands where mask is False never matters.
    Raises ValueError for unequal shapes, no rows, a missing ref_logp or max_length, an unknown aggregate.

    Source: Shao et al. 2024, equation 3, with a minus; Liu et al. 2025; Yu et al. 2025.
    """
    ### BEGIN SOLUTION
    old_logp = logp if old_logp is None else old_logp
    if beta != 0 and ref_logp is None:
        raise ValueError("beta is not 0, so ref_logp is needed")
    given = {"old_logp": old_logp, "mask": mask} | ({} if ref_logp is None else {"ref_logp": ref_logp})
    for name, tensor in given.items():
        if tensor.shape != logp.shape:
            raise ValueError(f"{name} is {tuple(tensor.shape)}, logp {tuple(logp.shape)}")
    if logp.ndim != 2 or len(logp) == 0 or adv.shape != logp.shape[:1]:
        raise ValueError(f"logp should be (B, T) and adv (B,), not {tuple(logp.shape)} and {tuple(adv.shape)}")
    if aggregate not in ("sequence", "token", "constant"):
        raise ValueError(f'aggregate={aggregate!r} is none of "sequence", "token", "constant"')
    if aggregate == "constant" and (max_length is None or max_length < 1):
        raise ValueError("the constant mean needs a max_length of at least 1")

    # What is masked out becomes 0 before any exponential: infinity times 0 would be NaN.
    log_ratio = (logp - old_logp.detach()).masked_fill(~mask, 0.0)  # (B, T)
    ratio = log_ratio.exp()  # (B, T)
    A = adv.detach()[:, None]  # (B, 1)
    token = -torch.minimum(ratio * A, ratio.clamp(1 - eps_low, 1 + eps_high) * A)  # (B, T)
    if beta != 0:
        kl = k3_kl(logp.masked_fill(~mask, 0.0), ref_logp.masked_fill(~mask, 0.0))  # (B, T)
        token = token + beta * (kl * ratio if kl_ratio else kl)
    token = token.masked_fill(~mask, 0.0)  # (B, T)

    if aggregate == "sequence":
        return (token.sum(1) / mask.sum(1).clamp(min=1)).mean()
    if aggregate == "token":
        return token.sum() / mask.sum().clamp(min=1)
    return token.sum() / (len(token) * max_length)
    ### END SOLUTION


# %% [markdown] hints="grpo_loss"
# 1. Take the two rows of the example and write down $\ell$ for each token. Which numbers do you add, and what do you divide by, in each of the three means? And what would a fourth column do that is all False?
# 2. Fill the masked log-ratios with 0 *before* the exponential, and the masked losses with 0 before the sum. `adv[:, None]` stands beside each token of its row. Each mean is then one
#    line; `clamp(min=1)` on a count of tokens keeps empty rows harmless.
# 3. `ratio = (logp - old_logp.detach()).masked_fill(~mask, 0).exp()`; minus `torch.minimum(ratio * A, ratio.clamp(1 - eps_low, 1 + eps_high) * A)`; plus `beta` times your `k3_kl` of the two masked log-probabilities, times the ratio if asked;
#    masked; then `(token.sum(1) / mask.sum(1).clamp(min=1)).mean()`, or `token.sum() / mask.sum()`, or over `B * max_length`.


# %% tests="grpo_loss"
def uneven():
    """Rows of 1, 3 and 2 true tokens, log-probabilities under three policies, and advantages of both signs."""
    logp, old, ref = numbers(3, 3) - 3, numbers(3, 3, start=30) - 3, numbers(3, 3, start=60) - 3
    mask = torch.tensor([[1, 0, 0], [1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    return logp, old, ref, f64(1.5, -0.5, 0.75), mask


@task("grpo_loss")
def test_two_rows_three_means(student):
    """The two rows of the handout: 0, 0.5 and 0.25."""
    logp = numbers(2, 3) - 3
    mask = torch.tensor([[1, 0, 0], [1, 1, 1]], dtype=torch.bool)
    given = (logp, None, None, f64(1, -1), mask)
    student.grpo_loss(*given).equals(torch.tensor(0.0, dtype=torch.float64), **HAND)
    student.grpo_loss(*given, aggregate="token").equals(torch.tensor(0.5, dtype=torch.float64), **HAND)
    found = student.grpo_loss(*given, aggregate="constant", max_length=4)
    found.equals(torch.tensor(0.25, dtype=torch.float64), **HAND)


@task("grpo_loss")
def test_on_policy_the_gradient_is_reinforce(student):
    """Nothing has moved yet: the loss is minus the mean advantage, and each token's gradient is minus its share of it."""
    logp, adv = numbers(2, 3) - 3, f64(1, -1)
    mask = torch.ones(2, 3, dtype=torch.bool)
    expected = {"loss": torch.tensor(0.0, dtype=torch.float64), "logp": -adv[:, None].expand(2, 3) / 6}
    student.ask(loss_and_gradients, logp, None, None, adv, mask, {}).equals(expected, **HAND)


@task("grpo_loss")
def test_both_sides_of_an_uneven_fence(student):
    """Ratios 0.5 and 1.5, with advantages 1 and -1, behind a fence of 0.2 and 0.3: two of four have a slope."""
    logp, old = f64(0.5, 1.5, 0.5, 1.5).log()[:, None], torch.zeros(4, 1, dtype=torch.float64)
    mask = torch.ones(4, 1, dtype=torch.bool)
    found = student.ask(loss_and_gradients, logp, old, None, f64(1, 1, -1, -1), mask, {"eps_low": 0.2, "eps_high": 0.3})
    # the smaller products: 0.5, 1.3 (fenced), -0.8 (fenced), -1.5
    expected = {"loss": torch.tensor((-0.5 - 1.3 + 0.8 + 1.5) / 4, dtype=torch.float64)}
    expected |= {"logp": f64(-0.5, 0, 0, 1.5)[:, None] / 4, "old_logp": torch.zeros_like(old)}
    found.equals(expected, **HAND)


@task("grpo_loss")
@needs("test_two_rows_three_means")
def test_what_is_masked_does_not_matter(student):
    """Fifty in place of a masked log-probability, float32: neither loss nor gradient changes."""
    logp, old, ref, adv, mask = (x.float() if x.is_floating_point() else x for x in uneven())
    wild = [x.masked_fill(~mask, value) for x, value in ((logp, 50.0), (old, -50.0), (ref, 50.0))]
    plain = student.ask(loss_and_gradients, logp, old, ref, adv, mask, {"beta": 0.1})
    # float32, the same numbers in the same order
    student.ask(loss_and_gradients, *wild, adv, mask, {"beta": 0.1}).equals(plain, rtol=1e-6, atol=1e-7)


@task("grpo_loss")
@needs("test_two_rows_three_means")
def test_what_is_missing_is_refused(student):
    """A leash without a reference, a constant mean without a length, an unknown name, unequal shapes: refused."""
    logp, old, _, adv, mask = uneven()
    student.grpo_loss(logp, old, None, adv, mask, beta=0.1).refused()
    student.grpo_loss(logp, old, None, adv, mask, aggregate="constant").refused()
    student.grpo_loss(logp, old, None, adv, mask, aggregate="mean").refused()
    student.grpo_loss(logp, old[:, :2], None, adv, mask).refused()


@task("grpo_loss")
@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dapo", "dr_grpo"])
def test_same_loss_as_trl(student, loss_type):
    """Loss and gradient equal those of TRL's GRPOTrainer on one batch, with both forms of the KL."""
    trl = pytest.importorskip("trl", reason="trl is not installed")
    if trl.__version__ != "1.12.0":
        pytest.skip(f"trl is {trl.__version__}; this was compared with 1.12.0")
    names = {"grpo": "sequence", "bnpo": "token", "dapo": "token", "dr_grpo": "constant"}
    _, old, ref, adv, mask = (x.float() if x.is_floating_point() else x for x in uneven())
    for beta, kl_ratio in ((0.0, False), (0.1, False), (0.1, True)):
        trainer = trl_trainer(
            loss_type=loss_type, beta=beta, epsilon=0.2, epsilon_high=0.28, use_bias_correction_kl=kl_ratio
        )
        inputs = {
            "prompt_ids": torch.tensor([[0, 4], [3, 5], [6, 7]]), "prompt_mask": torch.tensor([[0, 1], [1, 1], [1, 1]]),
            "completion_ids": torch.tensor([[1, 0, 0], [8, 9, 1], [5, 1, 0]]), "completion_mask": mask.long(),
            "advantages": adv, "num_items_in_batch": mask.sum(),
        }  # fmt: skip
        seen = []  # what the library's own model says of the tokens, caught on its way into the library's own loss
        ask_model = trainer._get_per_token_logps_and_entropies

        def caught(*args, seen=seen, ask_model=ask_model, **kwargs):
            said, *rest = ask_model(*args, **kwargs)
            said.retain_grad()
            seen.append(said)
            return said, *rest

        trainer._get_per_token_logps_and_entropies = caught
        trainer.current_gradient_accumulation_steps = 1
        with torch.no_grad():
            logp, *_ = ask_model(
                trainer.model, torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1),
                torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1), 3,
            )  # fmt: skip
        inputs |= {"old_per_token_logps": logp + 0.3 * (old + 3), "ref_per_token_logps": logp + 0.3 * (ref + 3)}
        trainer.model.eval()  # in training mode the library also divides by its accumulated steps
        theirs = trainer.compute_loss(trainer.model, inputs)
        theirs.backward()
        options = {"eps_high": 0.28, "beta": beta, "aggregate": names[loss_type], "kl_ratio": kl_ratio, "max_length": 5}
        ours = student.ask(
            loss_and_gradients, logp, inputs["old_per_token_logps"], inputs["ref_per_token_logps"], adv, mask, options
        )
        nothing = torch.zeros_like(logp)
        expected = {"loss": theirs.detach(), "logp": seen[-1].grad, "old_logp": nothing, "ref_logp": nothing}
        ours.equals(expected, rtol=1e-5, atol=1e-6)  # float32 on both sides


# %% [markdown] task="rollout"
# ## `rollout`: several answers to each prompt, with their log-probabilities
#
# Each prompt is answered `group_size` times; rows of one prompt stand together, in the order of the prompts, as `group_advantages` wants them. A token at a time: ask the model about everything so
# far, draw the next token of each row, append.
#
# | key | shape | what |
# |---|---|---|
# | `tokens` | (B·G, P + R) int64 | the prompt, as it was, then the completion |
# | `mask` | (B·G, R) bool | which tokens belong to the completion: up to its first `eos`, that one included |
# | `logp` | (B·G, R) float | the log-probability of each token of the completion, of the distribution that it was **drawn from** |
#
# - $R$ is at most `max_new_tokens`. If all rows have ended sooner, you may stop, or go on padding.
# - A row that has ended is padded: `pad` in `tokens`, False in `mask`, anything in `logp`.
# - The distribution: logits, without `pad` (its logit is $-\infty$: padding is never *drawn*), divided by the temperature, softmax. If `pad` and `eos` are one id, it may be drawn, and ends the row.
# - Prompts are padded on the left, as `prompt_mask` says. Give the model the tokens *and* the mask of all that is real so far: `model(tokens, mask)` gives logits for the next token in its last column.
# - An `eos` within the prompt ends nothing.
# - The model is asked in eval mode and gets its own mode back. Nothing carries a gradient.
# - All chance comes from `generator`, or from torch's global one if it is None.
# - Refused: a temperature of 0 or below, a `group_size` or `max_new_tokens` below 1, a `prompt_mask` of another shape than `prompts`.
#
# **By hand.** Two prompts, `group_size=3`, `max_new_tokens=4`: six rows, and row 3 is the first answer to the second prompt. If it draws `8`, `EOS`, its tokens end in `8 EOS PAD PAD` and its mask is True, True, False, False.


# %% task="rollout" points=4 minutes=40
def rollout(
    model: torch.nn.Module,
    prompts: Tensor,
    prompt_mask: Tensor,
    group_size: int,
    max_new_tokens: int,
    eos: int,
    pad: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Draws group_size completions for each prompt.

    model: takes (tokens, mask) to logits (B, T, V). prompts: (B, P) int64, prompt_mask: (B, P) bool, padded on the left.
    Returns tokens (B*G, P+R), mask (B*G, R) and logp (B*G, R), R <= max_new_tokens; rows of a prompt are contiguous.
    Raises ValueError for temperature <= 0, group_size < 1, max_new_tokens < 1, prompt_mask of another shape.
    """
    ### BEGIN SOLUTION
    if temperature <= 0:
        raise ValueError(f"temperature={temperature} should be above 0")
    if group_size < 1 or max_new_tokens < 1:
        raise ValueError(f"group_size={group_size} and max_new_tokens={max_new_tokens} should be at least 1")
    if prompts.ndim != 2 or prompt_mask.shape != prompts.shape:
        raise ValueError(f"prompt_mask is {tuple(prompt_mask.shape)}, prompts {tuple(prompts.shape)}")
    was_training = model.training
    model.eval()
    tokens = prompts.repeat_interleave(group_size, dim=0)  # (B*G, P + r), from here on
    real = prompt_mask.repeat_interleave(group_size, dim=0)  # (B*G, P + r)
    running = torch.ones(len(tokens), dtype=torch.bool)  # (B*G,)
    logps = []
    with torch.no_grad():
        for _ in range(max_new_tokens):
            logits = model(tokens, real)[:, -1]  # (B*G, V)
            if pad != eos:
                logits = logits.masked_fill(torch.arange(logits.shape[1]) == pad, -torch.inf)
            logps_all = (logits / temperature).log_softmax(-1)  # (B*G, V)
            drawn = torch.multinomial(logps_all.exp(), 1, generator=generator)  # (B*G, 1)
            logps.append(logps_all.gather(1, drawn)[:, 0])
            drawn = torch.where(running, drawn[:, 0], pad)  # (B*G,)
            tokens = torch.cat([tokens, drawn[:, None]], dim=1)
            real = torch.cat([real, running[:, None]], dim=1)
            running = running & (drawn != eos)
            if not running.any():
                break
    model.train(was_training)
    return {"tokens": tokens, "mask": real[:, prompts.shape[1] :], "logp": torch.stack(logps, dim=1)}
    ### END SOLUTION


# %% [markdown] hints="rollout"
# 1. After which token is a row over, and does that token belong to it? What does a row need to remember so that it never starts again, even if padding looks like something else?
# 2. `repeat_interleave` repeats rows in place; `repeat` would tile them. Keep three things that grow by a column: tokens, which of them are real, log-probabilities; and one flag a row, `running`. The new column's
#    mask is `running` *before* you look at what was drawn.
# 3. In eval mode, under `torch.no_grad()`: logits of the last column, `pad` to $-\infty$, over temperature, `log_softmax`; `torch.multinomial` of its exponential, with the generator; gather; `torch.where(running, drawn, pad)`; append
#    tokens and `running`; then `running &= drawn != eos`. Put the mode back at the end.


# %% tests="rollout"
@task("rollout")
def test_shapes_groups_and_ends(student):
    """Two prompts, three answers each: rows of a prompt stand together, and after an end there is padding only."""
    table = table_of(numbers(6, 5, 5))
    prompts = torch.tensor([[0, 3, 2], [4, 1, 4]])  # 1 is the end, 0 is padding
    mask = torch.tensor([[False, True, True], [True, True, True]])
    found = student.ask(rollouts, table, prompts, mask, 3, 4, 1, 0, 1.0, seed=0).value
    tokens, real, R = found["tokens"], found["mask"], found["mask"].shape[1]
    assert R <= 4, "A completion has more tokens than it may have."
    assert tokens.shape == (6, 3 + R), "Tokens are not of the stated shape."
    assert found["logp"].shape == (6, R), "Log-probabilities and mask differ in shape."
    assert tokens[:, :3].equal(prompts.repeat_interleave(3, 0)), "Rows of one prompt should stand together."
    written = tokens[:, 3:]
    ends = (written == 1) & real
    before = (ends.cumsum(1) - ends.long()) == 0  # no end has come before this column
    assert real.equal(before), "The mask should be True up to the first end, included, and False after it."
    assert (written[~real] == 0).all(), "After the end there should be padding."
    assert (written[real] != 0).all(), "Padding was drawn."


@task("rollout")
@needs("test_shapes_groups_and_ends")
def test_the_log_probabilities_are_those_of_the_draw(student):
    """Each log-probability is the table's, without padding and at the temperature that was asked for."""
    logits = numbers(6, 5, 5)
    prompts, mask = torch.tensor([[4, 2], [3, 3]]), torch.ones(2, 2, dtype=torch.bool)
    found = student.ask(rollouts, table_of(logits), prompts, mask, 4, 3, 1, 0, 0.7, seed=1).value
    without_padding = logits.clone()
    without_padding[:, :, 0] = -torch.inf
    tempered = (without_padding / 0.7).log_softmax(-1)
    tokens, real = found["tokens"], found["mask"]
    for j in range(real.shape[1]):
        expected = tempered[1 + j, tokens[:, 1 + j], tokens[:, 2 + j]]
        rows = real[:, j]
        assert torch.allclose(found["logp"][rows, j], expected[rows], **HAND), (
            "A log-probability is not that of the draw."
        )


@task("rollout")
@needs("test_shapes_groups_and_ends")
def test_no_temperature_is_refused(student):
    """A temperature of 0, and groups of none, are refused."""
    table, prompts, mask = table_of(numbers(6, 5, 5)), torch.tensor([[4, 2]]), torch.ones(1, 2, dtype=torch.bool)
    student.ask(rollouts, table, prompts, mask, 2, 3, 1, 0, 0.0, seed=1).refused()
    student.ask(rollouts, table, prompts, mask, 0, 3, 1, 0, 1.0, seed=1).refused()


# %% [markdown] task="train_grpo"
# ## `train_grpo`: all of it
#
# For each of `iterations` rounds:
#
# 1. **Draw prompts** from the $N$ that you are given, and answer each $G$ times with your `rollout`, in at most `ANSWER` = 4 tokens.
# 2. **Ask** `reward_fn(prompts, completions, mask)`: prompts (M, P) and completions (M, R), row by row, and the completions' mask. Rewards (M,) come back. Row $i$ of each belongs together.
# 3. **Compare**: advantages by your `group_advantages`. Groups without spread have only zeros to say, so you may leave them out (and if no other is left, go on to the next round).
# 4. **Learn**: a few steps of Adam on your `grpo_loss`. The log-probabilities of the rollout stay as they were (`old_logp`); `logp` is computed anew before each step, *with* a gradient, of the
#    same tokens under the same distribution: `logits[:, t]` speaks of `tokens[:, t + 1]`, and padding is not drawn.
#
# **What is known to work** for the sums: 128 prompts × 8 answers, two epochs a round over everything that has spread, in two halves each (four steps of Adam), learning rate 3e-4, fence 0.2 / 0.28, the mean over tokens, temperature 1, no leash, the gradient's norm
# limited to 1. A rate of 1e-3 is too much: our model forgets how to add within 25 rounds. Other recipes are welcome.
#
# **The rules.**
#
# - At most 1,024 completions a round: the reward function counts, and the completion after `iterations` × 1,024 is refused with an error.
# - A completion is paid 1.0 if it is the right sum and its end, `095.`, and 0.0 otherwise. In the probe below something else is paid.
# - Where all rewards are equal, nothing is to be learnt, and the weights stay where they are: so no weight decay. And what counts is the difference: if each reward is larger by 1, the same is learnt.
# - `seed` fixes everything: two calls with one seed give the same weights, whatever was drawn elsewhere before. You may seed torch's global generator for it.
# - `policy` is yours: train it in place or train a copy. A `TinyLM` with the same names and shapes comes back, in eval mode.
#
# **What is graded.** First a probe of a few seconds: a fresh, small model, and prompts of two kinds, with a token each that is paid if the answer begins with it. After 40 rounds each kind gets its token with a probability of 0.8 or more. Then the sums: `sums_warm` begins with about 31% of the held-out sums
# right, read off greedily. After 75 rounds the grader puts your weights into its own model and asks it all held-out sums, about 1,000: at least 60% should be exact, and 98% should end. A run that misses is tried on two more
# seeds, and two of three decide.
#
# The digits are renamed: the token `7` may mean 3, in the model's weights, the prompts and the answers alike, anew for each seed. A policy that learns from its reward does not notice; one that is told the
# answers by its own arithmetic learns nonsense.
#
# **What it costs.** Our solution took about 50 CPU-seconds for the sums on a busy machine; 150 are allowed. Practice asks for 50 rounds.


# %% task="train_grpo" points=6 minutes=60 needs="group_advantages, grpo_loss, rollout"
def train_grpo(
    policy: TinyLM, prompts: Tensor, prompt_mask: Tensor, reward_fn: RewardFn, iterations: int, seed: int
) -> TinyLM:
    """Trains a language model by what its own answers earn.

    prompts: (N, P) int64, prompt_mask: (N, P) bool, padded on the left. reward_fn: pays for completions of at most
    ANSWER tokens which end with EOS; it takes iterations * 1024 of them in all.
    Returns the trained model, in eval mode. seed fixes all chance.

    Source: Shao et al. 2024, algorithm 1, without its reward model.
    """
    ### BEGIN SOLUTION
    n_prompts, G, epochs, rate = 128, 8, 2, 3e-4
    P = prompts.shape[1]
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(policy.parameters(), lr=rate)
    policy.eval()  # no dropout: the ratio compares two policies, not two masks

    def batches(rows: Tensor) -> list[Tensor]:
        """Each epoch takes all rows once, in two halves."""
        orders = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(epochs)]
        return [half for order in orders for half in order.chunk(2) if len(half)]

    for _ in range(iterations):
        chosen = torch.randint(len(prompts), (n_prompts,), generator=generator)  # (n_prompts,)
        drawn = rollout(policy, prompts[chosen], prompt_mask[chosen], G, ANSWER, EOS, PAD, generator=generator)
        tokens, mask = drawn["tokens"], drawn["mask"]  # (M, P + R), (M, R)
        rewards = reward_fn(tokens[:, :P], tokens[:, P:], mask)  # (M,)
        adv = group_advantages(rewards, G)  # (M,)
        taught = adv != 0  # (M,)  a group without spread has nothing to say
        old_logp = drawn["logp"]
        real = torch.cat([prompt_mask[chosen].repeat_interleave(G, dim=0), mask], dim=1)  # (M, P + R)
        for rows in batches(taught.nonzero()[:, 0]):
            logits = policy(tokens[rows], real[rows])[:, P - 1 : -1]  # (m, R, V)  column t speaks of token t + 1
            logits = logits.masked_fill(torch.arange(logits.shape[2]) == PAD, -torch.inf)
            written = tokens[rows, P:].masked_fill(~mask[rows], EOS)  # (m, R)  padding has no log-probability
            logp = logits.log_softmax(-1).gather(2, written[..., None])[..., 0]  # (m, R)
            loss = grpo_loss(
                logp, old_logp[rows], None, adv[rows], mask[rows], eps_low=0.2, eps_high=0.28, aggregate="token"
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimizer.step()
    return policy
    ### END SOLUTION


# %% [markdown] hints="train_grpo"
# 1. Compute `logp` right after a rollout, before any step, and compare it with the rollout's own, where the mask is True. What should the difference be, and what is it?
# 2. One forward pass on `tokens` (prompt and completion), with the mask of everything real, gives (M, P + R, V). Which R columns speak of the completion's tokens? Build the distribution exactly as the rollout did, and gather. A
#    row that is padded needs some harmless token in the gather, or $-\infty$ enters your graph.
# 3. `logits = policy(tokens, real)[:, P - 1 : -1]`, pad to $-\infty$, `log_softmax`, gather the completion (with `EOS` in place of padding). The loss with `old_logp=drawn["logp"]`, `aggregate="token"`, `eps_high=0.28`;
#    zero_grad, backward, clip, step; twice a round.

# %% tests="train_grpo"
import common.sums as sums
from common.preferences import generate
from common.tiny_lm import TinyLM, pretrained


@task("train_grpo")
@graded_run(cpu_seconds=60)
def test_practice_with_a_paid_token(student, run):
    """Practice: two kinds of prompts, a paid token each. After 40 rounds it begins the answer with 0.8 or more."""
    prompts = torch.tensor([[1, 10, 11], [2, 10, 11]]).repeat(8, 1)
    paid = torch.tensor([5, 8])

    def pays(asked, completions, mask):
        return (completions[:, 0] == paid[asked[:, 0] - 1]).float()

    config = {"vocab_size": 14, "d_model": 32, "n_layers": 1, "n_heads": 2, "context": 8}
    torch.manual_seed(0)
    model = TinyLM(**config)
    student.ask(train, config, model.state_dict(), prompts, Counted(pays, 40_960), 40, run.seed)
    take_weights(model, student.ask(trained_weights).value)
    with torch.no_grad():
        chance = model.eval()(prompts[:2])[:, -1].softmax(-1)[torch.arange(2), paid]
    run.reaches("smaller probability of a paid token", chance.min().item(), at_least=0.8)


@task("train_grpo")
@graded_run(cpu_seconds=150)
def test_practice_with_sums(student, run):
    """Practice: after 50 rounds on plain sums, at least 40% of those that were held out are exact."""
    training, held_out = sums.split()

    def pays(asked, completions, mask):
        pairs = torch.stack([asked[:, 0] * 10 + asked[:, 1], asked[:, 3] * 10 + asked[:, 4]], dim=1)
        return sums.exact(pairs, completions.masked_fill(~mask, sums.PAD)).float()

    model = pretrained("sums_warm")
    student.ask(train, model.config, model.state_dict(), sums.prompts(training), Counted(pays, 51_200), 50, run.seed)
    take_weights(model, student.ask(trained_weights).value)
    asked = sums.prompts(held_out)
    written, _ = generate(
        model.eval(), asked, torch.ones_like(asked, dtype=torch.bool), sums.ANSWER, sums.EOS, sums.PAD, 0
    )
    run.reaches("share of exact held-out sums", sums.exact(held_out, written).float().mean().item(), at_least=0.4)
