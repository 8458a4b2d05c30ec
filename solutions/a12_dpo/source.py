# %% [markdown] assignment="a12_dpo" title="DPO: preferences without a reward model" module="dpo" requires="torch, torch._dynamo, common.tiny_lm, common.preferences" summary="Train a language model on choices directly: log-probabilities of whole answers, a loss in which the reward model has cancelled, and what sums, references and the end token do to the result." forbidden="trl, peft, bitsandbytes, unsloth, common.preferences.ShippedHead, common.preferences.reward_model, common.tiny_lm.pretrained, common.tiny_lm.load_weights, common.reviews"
# # DPO: preferences without a reward model
#
# First a reward model, then a policy that writes thousands of answers to please it, a leash, a critic: that is a lot of
# machinery for "people liked this one better". In 2023 Rafailov and others noticed that the best policy under a reward and a leash
# can be written down. Turn that formula round, and a policy *says* which reward it would be the best for. So
# the reward model can be left out: the loss on a pair of answers is a loss on the policy itself, and no answer is ever sampled.
#
# What is left is a classification of pairs, forty lines long. It is easy to write, and it nearly always trains. Whether it trains
# the right thing depends on a sum, on a model that stands still, and on one token at the end.
#
# You write five things, in this order:
#
# 1. `sequence_log_prob`: how likely is a whole answer?
# 2. `dpo_loss`: a choice, as a loss on the policy
# 3. `implicit_rewards`: the reward that a policy has without knowing
# 4. `ipo_loss`: a gap that is wide enough
# 5. `train_dpo`: all of it, on a language model
#
# **You need** [the reward models](../../docs/learn/a09_reward_model.md): Bradley-Terry, and a judge who errs. Of the assignment on RLHF with PPO you
# need the idea of a log-probability per token, and why there is a leash. The
# [reading page](../../docs/learn/a12_dpo.md) says what to read, and derives both losses.
#
# ```
# autograder check a12                 # all tasks: what holds, what to mend first
# autograder check a12.dpo_loss        # one task
# autograder hint a12.dpo_loss         # the next of its three hints
# ```
#
# ## What is given
#
# In `assignments/common/`, to be read: `tiny_lm.py` has `TinyLM`, a language model of 105,000 weights:
# `model(tokens, mask)` takes tokens (B, T), int64, and a bool mask of the same shape, and gives logits (B, T, V). It counts
# positions from the mask, so padding on either side shifts nothing. `preferences.py` has `frozen_copy(model)`: a copy that stands still. `reviews.py` is the
# language in which guests review a hotel, with rules that say what a review is truly worth. The grader measures with them.
#
# ## What we keep of the papers, and what we leave out
#
# Kept of *Direct Preference Optimization* (Rafailov et al., 2023): the loss (equation 7), its implicit reward, sums over the whole answer, a reference that is where
# the policy began. The label smoothing is that of the authors' note on conservative DPO (Mitchell, 2023). Kept of *A General Theoretical Paradigm to Understand Learning from Human
# Preferences* (Azar et al., 2023): the squared loss (equation 17), fed as the authors fed it: with log-probabilities *per token*.
#
# Left out: Plackett-Luce (rankings of more than two), sampling of new pairs on the way, and the many relatives (KTO, ORPO, SimPO).
#
# ## Convention card
#
# Every one of these could be otherwise, and in some library it is. When a number is wrong, begin here.
#
# | question | our answer | who differs |
# |---|---|---|
# | column t of a mask (B, T-1) | belongs to **`tokens[:, t+1]`**, which `logits[:, t]` predicts | masks of T columns, shifted inside |
# | log-probability of an answer | a **sum** over its tokens | SimPO and IPO: a mean |
# | the end token | is part of the answer: in the mask, in the sum | gone wrong often |
# | order of arguments | policy chosen, policy rejected, reference chosen, reference rejected | |
# | the reference | a constant: the losses **detach** it themselves | TRL: its caller does, by `no_grad` |
# | label smoothing $\varepsilon$ | $(1-\varepsilon)$ and $\varepsilon$ on the two outcomes | TRL: `"sigmoid"` ignores it, `"robust"` divides by $1 - 2\varepsilon$ |
# | $\beta$ in IPO | the gap asked for is $1/(2\beta)$ | Azar et al. call it $\tau$ |
# | dropout | off, in the policy too | |
# | dtype | answers keep that of the input | |
# | inputs | are never changed in place | |
# | bad input | is refused: raise `ValueError` and say what is wrong | |
#
# Letters: $B$ pairs in a batch, $T$ tokens in a row, $V$ words, $x$ a prompt, $y_w$ and $y_l$ the chosen and the rejected answer, $\pi$ the policy, $\pi_\text{ref}$
# the reference, $\sigma(x) = 1/(1+e^{-x})$.
#
# ## What you may not use, and why
#
# `trl`, whose trainer is what you are building, and the other large packages of this month; ready weights, ready reward models and the rules of
# the reviews: the grader measures with them what you have learnt without. All of torch is yours.
#
# ## What the tests look at
#
# Values and gradients against numbers that were worked out; what must not matter (padding, what stands under a False, a gradient into the reference);
# log-probabilities of ±10,000; and a training, measured by the grader on pairs and prompts that your code has never seen.

# %%
import torch
import torch.nn.functional as F
from common.preferences import frozen_copy
from common.tiny_lm import TinyLM
from torch import Tensor, nn

# %% [markdown] task="sequence_log_prob"
# ## `sequence_log_prob`: how likely is a whole answer?
#
# A language model gives each next word a probability. The probability of an answer is their product, and its logarithm a sum:
#
# $$ \log \pi(y \mid x) = \sum_{t \,\in\, \text{answer}} \log \pi(y_t \mid x, y_{<t}) $$
#
# - `logits[:, t]` (B, T, V) predict `tokens[:, t+1]`. So there are T-1 log-probabilities in a row: the first token has none, and the last logits are not needed.
# - `mask` (B, T-1) is bool. **Column t belongs to `tokens[:, t+1]`**: True where that token is part of the answer, its end token included. The
#   prompt and padding are False. Believe the mask, never the tokens: padding may have any number.
# - `average=False`: the sum over the True columns. `average=True`: their mean. A row without True gives 0 in both cases.
# - What stands under a False changes nothing, and gets a gradient of exactly 0.
# - The answer has the dtype of `logits`. Logits of ±10,000 give finite numbers.
# - Refused: tokens that are not (B, T), a mask that is not (B, T-1) (one of T columns, for example), a token of the answer outside 0 … V-1.
#
# **By hand.** Two words, three tokens (0, 1, 0); logits $(0, \ln 3)$ and $(\ln 4, 0)$, then anything. The first
# predicts word 1, with probability 3/4, the second predicts word 0, with 4/5. All True: $\ln 0.6 = -0.510826$, mean $-0.255413$. Mask (False, True): $\ln 0.8 = -0.223144$.


# %% task="sequence_log_prob" points=4 minutes=25
def sequence_log_prob(logits: Tensor, tokens: Tensor, mask: Tensor, average: bool = False) -> Tensor:
    """Log-probability of each row's answer: (B,).

    logits: (B, T, V), of which logits[:, t] predict tokens[:, t+1]. tokens: (B, T) int64.
    mask: (B, T-1) bool, column t belongs to tokens[:, t+1]; True = part of the answer.
    average: the mean over the True columns instead of their sum. A row without True gives 0.
    Raises ValueError for shapes that do not fit and for answers outside of the vocabulary.

    Source: Rafailov et al. 2023, section 3 and appendix B.
    """
    ### BEGIN SOLUTION
    B, T, V = logits.shape
    if tokens.shape != (B, T):
        raise ValueError(f"tokens has shape {tuple(tokens.shape)}, not {(B, T)}")
    if mask.shape != (B, T - 1):
        raise ValueError(f"mask has shape {tuple(mask.shape)}, not {(B, T - 1)}: column t belongs to tokens[:, t+1]")
    targets = tokens[:, 1:].masked_fill(~mask, 0)  # (B, T-1)  under a False may stand any number
    if ((targets < 0) | (targets >= V)).any():
        raise ValueError(f"tokens holds an id outside of 0 ... {V - 1}")
    logp = logits[:, :-1].log_softmax(dim=-1)  # (B, T-1, V)
    logp = logp.gather(2, targets[..., None])[..., 0]  # (B, T-1)
    total = logp.masked_fill(~mask, 0.0).sum(dim=1)  # (B,)
    return total / mask.sum(dim=1).clamp(min=1) if average else total
    ### END SOLUTION


# %% [markdown] hints="sequence_log_prob"
# 1. Write the tokens of the example in one row and, under it, for each column of the logits which token it predicts. How many pairs are there?
# 2. Cut both before you combine them: all logits but the last, all tokens but the first. Then pick, in each column, the log-probability of one word; and make what is masked 0
#    by choosing, not by multiplying.
# 3. `logp = logits[:, :-1].log_softmax(-1)`; `.gather(2, tokens[:, 1:, None])[..., 0]`; `masked_fill(~mask, 0)`; `.sum(1)`. For the mean divide by
#    `mask.sum(1).clamp(min=1)`.

# %% tests="sequence_log_prob"
import math

import pytest
import torch
from asks import (
    answer_and_gradients,
    dpo_and_gradients,
    ipo_and_gradients,
    reading,
    rewards_and_whether_they_train,
    train,
    train_twice,
    trained_weights,
)
from common import reviews
from common.preferences import generate
from common.tiny_lm import TinyLM, pretrained

from autograder.testing import graded_run, needs, task
from autograder.testing.readings import take_weights

F64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
BY_HAND = {"rtol": 0.0, "atol": 1e-6}  # numbers that were rounded to six digits
LIBRARY = {"rtol": 1e-5, "atol": 1e-6}  # float32 on both sides, in another order


def f64(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def two_words():
    """The handout's example: logits (1, 3, 2), tokens (1, 3)."""
    return f64([0, math.log(3)], [math.log(4), 0], [9, -9])[None], torch.tensor([[0, 1, 0]])


@task("sequence_log_prob")
def test_three_tokens_by_hand(student):
    """Words of probability 3/4 and 4/5 make an answer of -0.510826, and of -0.255413 on average."""
    logits, tokens = two_words()
    mask = torch.tensor([[True, True]])
    student.sequence_log_prob(logits, tokens, mask).equals(f64(-0.510826), **BY_HAND)
    student.sequence_log_prob(logits, tokens, mask, average=True).equals(f64(-0.255413), **BY_HAND)


@task("sequence_log_prob")
def test_the_second_column_by_hand(student):
    """With mask (False, True) only the last token counts: -0.223144, as a sum and as a mean."""
    logits, tokens = two_words()
    mask = torch.tensor([[False, True]])
    student.sequence_log_prob(logits, tokens, mask).equals(f64(-0.223144), **BY_HAND)
    student.sequence_log_prob(logits, tokens, mask, average=True).equals(f64(-0.223144), **BY_HAND)


@task("sequence_log_prob")
@needs("test_three_tokens_by_hand")
def test_an_empty_answer(student):
    """A row without True gives 0, and its logits a gradient of 0."""
    logits, tokens = two_words()
    for average in (False, True):
        answer = student.ask(answer_and_gradients, logits, tokens, torch.tensor([[False, False]]), average)
        answer.equals({"answer": f64(0), "logits": torch.zeros(1, 3, 2, dtype=torch.float64)})


@task("sequence_log_prob")
@needs("test_three_tokens_by_hand")
def test_masks_of_another_width(student):
    """A mask of T columns is refused, and so are tokens of another shape."""
    logits, tokens = two_words()
    student.sequence_log_prob(logits, tokens, torch.ones(1, 3, dtype=torch.bool)).refused()
    student.sequence_log_prob(logits, tokens[:, :2], torch.ones(1, 2, dtype=torch.bool)).refused()


# %% [markdown] task="dpo_loss"
# ## `dpo_loss`: a choice, as a loss on the policy
#
# The reading page derives it: under a KL leash of strength $\beta$, the best policy for a reward $r$ fulfils
# $r(x, y) = \beta \log \frac{\pi(y|x)}{\pi_\text{ref}(y|x)} + $ something that depends on the prompt alone. Put that into Bradley-Terry, and the something
# cancels. What is left is the *gap*
#
# $$ h = \big(\log \pi(y_w|x) - \log \pi_\text{ref}(y_w|x)\big) - \big(\log \pi(y_l|x) - \log \pi_\text{ref}(y_l|x)\big) $$
#
# and the chance $\sigma(\beta h)$ that the choice falls as it did. If a share $\varepsilon$ (`label_smoothing`) of all labels is believed to be wrong, both outcomes count:
#
# $$ \ell = -(1-\varepsilon) \log \sigma(\beta h) - \varepsilon \log \sigma(-\beta h) $$
#
# - The answer is the mean over the pairs: a scalar.
# - The gradient reaches the policy's numbers only. The reference's are constants, also when they come with a graph: the loss detaches them.
# - Loss and gradients are finite for gaps of ±10,000: far on the wrong side it is a straight line.
# - Refused: shapes that are not equal (also those that would broadcast), an empty batch, $\beta \le 0$, $\varepsilon$ outside of $[0, 0.5)$.
#
# **By hand.** Policy chosen (−1, −3), policy rejected (−3, −1), reference −2 everywhere: the gaps are 2 and −2. With $\beta = 0.5$ the losses are
# 0.313262 and 1.313262, the mean 0.813262. The gradients for chosen are $-\beta(1-\sigma(\beta h))/B$: −0.067235 and −0.182765. With
# $\varepsilon = 0.1$ and the first pair alone, 0.9 · 0.313262 + 0.1 · 1.313262 = 0.413262.


# %% task="dpo_loss" points=4 minutes=25
def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The DPO loss: a scalar.

    All four: (B,) log-probabilities of whole answers. beta > 0: strength of the leash.
    label_smoothing: in [0, 0.5), the share of labels that are believed to be wrong.
    Raises ValueError for shapes that differ, an empty batch, and rates outside of their interval.

    Source: Rafailov et al. 2023, equation 7; smoothing: Mitchell 2023, a note on DPO with noisy preferences.
    """
    ### BEGIN SOLUTION
    for name, other in (
        ("policy_rejected", policy_rejected),
        ("ref_chosen", ref_chosen),
        ("ref_rejected", ref_rejected),
    ):
        if other.shape != policy_chosen.shape:
            raise ValueError(f"{name} has shape {tuple(other.shape)}, policy_chosen {tuple(policy_chosen.shape)}")
    if policy_chosen.numel() == 0:
        raise ValueError("policy_chosen is empty: there is no pair")
    if not beta > 0:
        raise ValueError(f"beta should be above 0, not {beta}")
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing should be in [0, 0.5), not {label_smoothing}")
    h = (policy_chosen - ref_chosen.detach()) - (policy_rejected - ref_rejected.detach())  # (B,)
    as_chosen, otherwise = F.logsigmoid(beta * h), F.logsigmoid(-beta * h)  # (B,) each
    return (-(1 - label_smoothing) * as_chosen - label_smoothing * otherwise).mean()
    ### END SOLUTION


# %% [markdown] hints="dpo_loss"
# 1. Work out the gaps of the example: each answer is first compared with itself under the reference, and only then with the other one. To what does β belong?
# 2. You know this loss: it is Bradley-Terry, with β times a log-ratio where the score was. torch has log(sigmoid(x)) in one piece, and log σ(−x) is the same function at −x.
#    Look also at where the reference's numbers come from, and whether they may pull.
# 3. `h = (policy_chosen - ref_chosen.detach()) - (policy_rejected - ref_rejected.detach())`; then
#    `-(1 - e) * F.logsigmoid(beta * h) - e * F.logsigmoid(-beta * h)`, and its mean. Check shapes, batch, `beta` and `e` before.


# %% tests="dpo_loss"
@task("dpo_loss")
def test_two_gaps_by_hand(student):
    """Gaps of 2 and -2 with beta 0.5 cost 0.813262; the first one alone, with a smoothing of 0.1, 0.413262."""
    asked = (f64(-1, -3), f64(-3, -1), f64(-2, -2), f64(-2, -2))
    student.dpo_loss(*asked, beta=0.5).equals(f64(0.813262)[0], **BY_HAND)
    student.dpo_loss(*(x[:1] for x in asked), beta=0.5, label_smoothing=0.1).equals(f64(0.413262)[0], **BY_HAND)


@task("dpo_loss")
def test_pulls_by_hand(student):
    """The gradient for the chosen answer is -beta (1 - sigma) / B, for the rejected one the opposite, for the reference 0."""
    pull, nothing = f64(0.0672353, 0.1827647), f64(0, 0)
    answer = student.ask(dpo_and_gradients, f64(-1, -3), f64(-3, -1), f64(-2, -2), f64(-2, -2), 0.5, 0.0)
    truth = {"loss": f64(0.8132617)[0], "chosen": -pull, "rejected": pull, "reference": [nothing, nothing]}
    answer.equals(truth, **BY_HAND)


@task("dpo_loss")
def test_where_the_policy_is_the_reference(student):
    """Before the first step, and whatever the data, the loss is log 2."""
    logp = f64(-5, -20, -3.5), f64(-7, -2, -30)
    student.dpo_loss(*logp, *logp, beta=0.3).equals(f64(math.log(2))[0], **F64)


@task("dpo_loss")
@needs("test_two_gaps_by_hand")
def test_rates_outside_of_their_intervals(student):
    """beta 0, a smoothing of one half, unequal shapes and an empty batch are refused."""
    pair = f64(-1, -2)
    student.dpo_loss(pair, pair, pair, pair, beta=0.0).refused()
    student.dpo_loss(pair, pair, pair, pair, label_smoothing=0.5).refused()
    student.dpo_loss(pair, pair, pair[:1], pair).refused()
    student.dpo_loss(*[f64()] * 4).refused()


def trl_on_one_batch(rows, **options):
    """What TRL's DPOTrainer makes of these rows of one batch, and the numbers that a student's loss is fed with.

    Policy and reference are two random Llamas of two layers. rows: chosen answers, then the rejected ones, as
    (prompt, answer) lists of ids.
    """
    import tempfile

    import tokenizers
    import transformers
    import trl
    from datasets import Dataset

    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2, **{str(n): 3 + n for n in range(10)}}
    text = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    text.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=text, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    config = transformers.LlamaConfig(
        vocab_size=13, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=1,
        initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    policy, reference = (transformers.LlamaForCausalLM(config).eval() for _ in range(2))
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    tokens, real, answers = (torch.zeros(len(rows), width, dtype=torch.int64) for _ in range(3))
    for i, (prompt, answer) in enumerate(rows):
        tokens[i, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        real[i, : len(prompt) + len(answer)] = 1
        answers[i, len(prompt) : len(prompt) + len(answer)] = 1
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl.DPOTrainer(
            model=policy,
            ref_model=reference,
            args=trl.DPOConfig(output_dir=folder, report_to=[], use_cpu=True, **options),
            train_dataset=Dataset.from_dict({"prompt": ["3 4"], "chosen": ["5 6"], "rejected": ["7"]}),
            processing_class=tokenizer,
        )
        batch = {"input_ids": tokens, "attention_mask": real, "completion_mask": answers}
        loss = trainer.compute_loss(policy, dict(batch))
    with torch.no_grad():
        logits = [model(input_ids=tokens, attention_mask=real).logits for model in (policy, reference)]
    return loss.detach(), logits, tokens, answers[:, 1:].bool()


PAIRS = [
    ([3, 4], [5, 6, 7, 1]), ([8], [3, 9, 1]), ([4, 4, 12], [10, 1]),
    ([3, 4], [11, 1]), ([8], [3, 3, 12, 6, 7, 1]), ([4, 4, 12], [9, 5, 1]),
]  # fmt: skip


def pinned_trl():
    trl = pytest.importorskip("trl", reason="trl is not installed")
    if trl.__version__ != "1.12.0":
        pytest.skip(f"trl is {trl.__version__}; this was compared with 1.12.0")
    pytest.importorskip("datasets", reason="datasets is not installed")


def fed(student, logits, tokens, mask, average=False):
    """Log-probabilities by the student's own function: chosen and rejected of the policy, then of the reference."""
    rows = [student.sequence_log_prob(each, tokens, mask, average=average).value for each in logits]
    return [half for row in rows for half in row.chunk(2)]


@task("dpo_loss")
def test_same_as_the_dpo_trainer_of_trl(student):
    """On a batch of three pairs, two Llamas and your log-probabilities, the loss is that of TRL's DPOTrainer."""
    pinned_trl()
    loss, *batch = trl_on_one_batch(PAIRS, beta=0.3)
    student.dpo_loss(*fed(student, *batch), beta=0.3).equals(loss, **LIBRARY)


@task("dpo_loss")
def test_same_as_trl_with_smoothing(student):
    """With label smoothing the loss is what TRL calls "aot", on a batch of one pair; its "sigmoid" ignores smoothing."""
    pinned_trl()
    loss, *batch = trl_on_one_batch(PAIRS[::3], loss_type=["aot"], beta=0.3, label_smoothing=0.2)
    student.dpo_loss(*fed(student, *batch), beta=0.3, label_smoothing=0.2).equals(loss, **LIBRARY)


# %% [markdown] task="implicit_rewards"
# ## `implicit_rewards`: the reward that a policy has without knowing
#
# $$ \hat r(x, y) = \beta \big(\log \pi(y|x) - \log \pi_\text{ref}(y|x)\big) $$
#
# What a policy that was trained by DPO would say if it were asked for scores. It is looked at, never trained on: the result carries no gradient. A
# pair is *ordered right* if the chosen answer's is larger, and the difference of the two is the *margin*. Watch both in every run, and
# watch the chosen one alone as well: it may fall.
#
# Unequal shapes and $\beta \le 0$ are refused.
#
# **By hand.** Policy (−1, −6), reference (−2, −2), $\beta = 0.5$: (0.5, −2).


# %% task="implicit_rewards" points=2 minutes=5
def implicit_rewards(policy_logp: Tensor, ref_logp: Tensor, beta: float = 0.1) -> Tensor:
    """The rewards that a policy implies, without gradient: (B,).

    policy_logp, ref_logp: (B,) log-probabilities of the same answers. beta > 0.
    Raises ValueError for unequal shapes and for a beta that is not above 0.

    Source: Rafailov et al. 2023, section 4, below equation 7.
    """
    ### BEGIN SOLUTION
    if policy_logp.shape != ref_logp.shape:
        raise ValueError(f"ref_logp has shape {tuple(ref_logp.shape)}, policy_logp {tuple(policy_logp.shape)}")
    if not beta > 0:
        raise ValueError(f"beta should be above 0, not {beta}")
    return beta * (policy_logp - ref_logp).detach()
    ### END SOLUTION


# %% [markdown] hints="implicit_rewards"
# 1. An answer that has become twice as likely as under the reference: is its reward above or below 0?
# 2. One line, after the refusals. What does it take for a number to be looked at only?
# 3. `return beta * (policy_logp - ref_logp).detach()`


# %% tests="implicit_rewards"
@task("implicit_rewards")
def test_two_rewards_by_hand(student):
    """Policy (-1, -6) against reference (-2, -2) with beta 0.5: rewards of 0.5 and -2."""
    student.implicit_rewards(f64(-1, -6), f64(-2, -2), beta=0.5).equals(f64(0.5, -2), **F64)


@task("implicit_rewards")
def test_rewards_carry_no_gradient(student):
    """Rewards are for looking at: no gradient hangs on them."""
    answer = student.ask(rewards_and_whether_they_train, f64(-1, -6), f64(-2, -2), 0.5)
    answer.equals({"rewards": f64(0.5, -2), "trains": False}, **F64)


# %% [markdown] task="ipo_loss"
# ## `ipo_loss`: a gap that is wide enough
#
# If every label of a pair says the same, DPO's loss falls as long as the gap grows: without end, whatever $\beta$ is. The leash has come
# off. Azar et al. (2023) ask for a gap of a definite size instead:
#
# $$ \ell = \Big(h - \frac{1}{2\beta}\Big)^2 $$
#
# with the gap $h$ as in `dpo_loss`, and the mean over the pairs. A gap that is too wide costs as much as one that is too narrow.
#
# A fixed gap is a fixed number of nats, and sums grow with the length of an answer. So this loss is fed with **length means**, that is with
# `sequence_log_prob(..., average=True)`: the paper does not say so, its authors confirmed it to the authors of TRL, and `"ipo"` there does it. The function itself does not know what it is
# fed with: it takes four numbers a pair, as before.
#
# Gradients, detached references and refusals as in `dpo_loss` (there is no smoothing).
#
# **By hand.** $\beta = 0.5$: the gap asked for is 1. Policy chosen (−1, −3), rejected (−3, −1), reference −2 everywhere: the gaps are 2 and −2,
# the losses 1 and 9, the mean 5. The gradients for chosen are $2(h - 1)/B$: 1 and −3.


# %% task="ipo_loss" points=3 minutes=15
def ipo_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float = 0.1
) -> Tensor:
    """The IPO loss: a scalar.

    All four: (B,) log-probabilities of answers, meant to be means over their tokens. beta > 0: the gap asked for is 1/(2 beta).
    Raises ValueError for shapes that differ, an empty batch, and a beta that is not above 0.

    Source: Azar et al. 2023, equation 17.
    """
    ### BEGIN SOLUTION
    for name, other in (
        ("policy_rejected", policy_rejected),
        ("ref_chosen", ref_chosen),
        ("ref_rejected", ref_rejected),
    ):
        if other.shape != policy_chosen.shape:
            raise ValueError(f"{name} has shape {tuple(other.shape)}, policy_chosen {tuple(policy_chosen.shape)}")
    if policy_chosen.numel() == 0:
        raise ValueError("policy_chosen is empty: there is no pair")
    if not beta > 0:
        raise ValueError(f"beta should be above 0, not {beta}")
    h = (policy_chosen - ref_chosen.detach()) - (policy_rejected - ref_rejected.detach())  # (B,)
    return ((h - 1 / (2 * beta)) ** 2).mean()
    ### END SOLUTION


# %% [markdown] hints="ipo_loss"
# 1. Where is the minimum of this loss for one pair, and where that of DPO's?
# 2. The gap is the one of `dpo_loss`, reference detached. β stands in one place only.
# 3. `h = ...` as before, then `((h - 1 / (2 * beta)) ** 2).mean()`.


# %% tests="ipo_loss"
@task("ipo_loss")
def test_two_squares_by_hand(student):
    """Gaps of 2 and -2, where 1 is asked for, cost 5; the gradients for the chosen answers are 1 and -3."""
    pull, nothing = f64(1, -3), f64(0, 0)
    answer = student.ask(ipo_and_gradients, f64(-1, -3), f64(-3, -1), f64(-2, -2), f64(-2, -2), 0.5)
    answer.equals({"loss": f64(5)[0], "chosen": pull, "rejected": -pull, "reference": [nothing, nothing]}, **F64)


@task("ipo_loss")
@needs("test_two_squares_by_hand")
def test_what_ipo_refuses(student):
    """beta 0, unequal shapes and an empty batch are refused."""
    pair = f64(-1, -2)
    student.ipo_loss(pair, pair, pair, pair, beta=0.0).refused()
    student.ipo_loss(pair, pair[:1], pair, pair).refused()
    student.ipo_loss(*[f64()] * 4).refused()


@task("ipo_loss")
def test_same_as_trl_on_length_means(student):
    """Fed with length means, the loss is TRL's "ipo"."""
    pinned_trl()
    loss, *batch = trl_on_one_batch(PAIRS, loss_type=["ipo"], beta=0.3)
    student.ipo_loss(*fed(student, *batch, average=True), beta=0.3).equals(loss, **LIBRARY)


# %% [markdown] task="train_dpo"
# ## `train_dpo`: all of it, on a language model
#
# You are given a language model that writes reviews, and pairs of answers to one prompt each, of which a judge chose one. Prompts are padded on the left, answers on the right, and
# each has a mask that says what is real. Put prompt and answer into one row, and train.
#
# - `steps` optimiser steps, each on **64 pairs** drawn at random, with replacement: no more text than that is read with gradients. The loss is your `dpo_loss`, on sums, with the
#   `beta` that is given, without smoothing.
# - The **reference** is the policy as you received it. It stands still, and it is read without gradient: `frozen_copy` makes one.
# - What counts is the **answer**, all of it: its first token, which the last token of the prompt predicts, and its end token, where it has one. Padding does not count. (And the prompt? It may be counted or not. Work out why that is the same here.)
# - **No dropout**, in the policy either: keep it in eval mode, in which gradients flow as well. What is compared are the probabilities of the model that people will talk to.
# - `seed` fixes all that is drawn: two calls with one seed, one model and one set of data give the same weights, whatever was drawn before.
# - Masks are to be believed. A token that is real may have the number of padding.
# - The policy is yours: train it as it is, or a copy. It comes back in eval mode.
#
# **What is known to work**: AdamW, peak learning rate 5e-4, a warm-up of ten steps, a straight line to zero over the last half, and the gradient's norm limited to 1. DPO wants small steps: ten
# times that, and the pairs are still put in order, by a model that has forgotten how to write.
#
# **What is graded.** What your training reads, and which columns it pulls. Then a world of two prompts, in which three judges of four say
# the same: there the loss has its minimum at $\sigma(\beta h) = 3/4$, so the margins $\beta h$ have to end at $\ln 3 = 1.10$. And then the real one: 4,000 pairs whose judge chooses by
# Bradley-Terry on the true scores, 150 steps, $\beta = 0.3$. The grader takes your weights into a model of its own, and then:
#
# | what | at least |
# |---|---|
# | of 1,000 fresh pairs, share whose better answer has the larger implicit reward | 0.86 |
# | of 512 prompts, share on which the policy's answer beats the start's by the true score (temperature 1, a tie counts half) | 0.80 |
# | mean log-ratio of the better answers of fresh pairs, in nats | −10 |
# | share of the policy's answers that end | 0.90 |
#
# The third row looks odd: is the chosen answer not made likelier? Only the gap is asked for. In the reference's run the better answers lose some three nats, and the worse ones lose nine.
# The probability goes to answers that are in nobody's data. A little of that is DPO's nature, much of it is a mistake.


# %% task="train_dpo" points=6 minutes=45 needs="sequence_log_prob, dpo_loss"
def train_dpo(
    policy: TinyLM,
    prompts: Tensor,
    prompt_mask: Tensor,
    chosen: Tensor,
    chosen_mask: Tensor,
    rejected: Tensor,
    rejected_mask: Tensor,
    steps: int,
    beta: float,
    seed: int,
) -> TinyLM:
    """The policy, trained on pairs of answers by DPO.

    policy: a language model; the reference is what it was when it came. prompts: (N, P) tokens, padded on the left.
    chosen, rejected: (N, R) answers to them, padded on the right. Masks of the same shapes, True = real.
    steps: optimiser steps, each on 64 pairs. beta: strength of the leash. seed: fixes all that is drawn.
    Returns the policy in eval mode.

    Source: Rafailov et al. 2023, section 4 and appendix B.
    """
    ### BEGIN SOLUTION
    reference = frozen_copy(policy)
    policy.eval()  # no dropout: it would be noise in h that the reference does not have
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=5e-4, weight_decay=0.01)

    def log_probs(model: TinyLM, rows: Tensor, answers: Tensor, answers_mask: Tensor) -> Tensor:
        tokens = torch.cat([prompts[rows], answers[rows]], dim=1)  # (64, P+R)
        real = torch.cat([prompt_mask[rows], answers_mask[rows]], dim=1)  # (64, P+R)
        counts = torch.cat([torch.zeros_like(prompt_mask[rows]), answers_mask[rows]], dim=1)  # (64, P+R)
        return sequence_log_prob(model(tokens, real), tokens, counts[:, 1:])  # (64,)

    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-4 * min((step + 1) / 10, 1.0, 2 * (steps - step) / steps)
        rows = torch.randint(len(prompts), (64,), generator=generator)  # (64,)
        policy_chosen = log_probs(policy, rows, chosen, chosen_mask)  # (64,)
        policy_rejected = log_probs(policy, rows, rejected, rejected_mask)  # (64,)
        with torch.no_grad():
            ref_chosen = log_probs(reference, rows, chosen, chosen_mask)  # (64,)
            ref_rejected = log_probs(reference, rows, rejected, rejected_mask)  # (64,)
        loss = dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
    return policy.eval()
    ### END SOLUTION


# %% [markdown] hints="train_dpo"
# 1. Four log-probabilities for each pair: two models, two answers. Write one small function that takes a model and one side of the pairs, and call it four times. Before anything: is your reference
#    still what it was after the first step?
# 2. Your mask for `sequence_log_prob` has one column less than the row: build it with all columns first (False under the prompt, the answer's mask under the answer), and ask which of them
#    has no column that predicts it. If the loss stays at log 2 for ever, ask what is compared with what.
# 3. `reference = frozen_copy(policy)`; `policy.eval()`; AdamW. For one side: `tokens = cat([prompts, answers], 1)`, `real = cat([prompt_mask, answers_mask], 1)`,
#    `counts = cat([zeros_like(prompt_mask), answers_mask], 1)`, `sequence_log_prob(model(tokens, real), tokens, counts[:, 1:])`. In each step: 64 row numbers from a generator, the policy on both
#    sides, the reference on both under `no_grad`, `dpo_loss(..., beta)`, `zero_grad`, `backward`, `clip_grad_norm_`, `step`.

# %% tests="train_dpo"
SIDES = ("chosen", "rejected")
LINES = (
    ("<bos> the room was", "warm . <eos>", "very not damn", 90, 30),
    ("<bos> honestly our food was", "and", "dull", 45, 15),
)


def two_prompts(lines=LINES, R=4):
    """180 pairs on two prompts; on each of them three judges of four choose the first answer."""
    pairs = {name: [] for side in ("prompts", *SIDES) for name in (side, f"{side}_mask")}
    for prompt, first, second, often, seldom in lines:
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
    answers = torch.cat([torch.zeros_like(pairs["prompts_mask"]), pairs[f"{side}_mask"]], dim=1)
    return logp.masked_fill(~answers[:, 1:], 0).sum(1)


def grown(base, weights):
    """The grader's own language model, with the weights that came back."""
    model = TinyLM(**base.config)
    take_weights(model, weights)
    return model.eval()


@task("train_dpo")
@graded_run(cpu_seconds=60)
def test_practice_in_a_world_of_two_prompts(student, run):
    """Where three judges of four agree, both margins end at ln 3."""
    pairs, base, beta = two_prompts(), pretrained("reviews_base"), 0.5
    student.ask(train, base.config, base.state_dict(), pairs, 150, beta, run.seed)
    policy = grown(base, student.ask(trained_weights).value)
    of = {side: log_probs(policy, pairs, side) - log_probs(base, pairs, side) for side in SIDES}
    margins = beta * (of["chosen"] - of["rejected"])[[0, 120]]
    run.tells("margin of the preferred answer", margins.tolist(), [math.log(3)] * 2, atol=0.4)


@task("train_dpo")
@graded_run(cpu_seconds=100)
def test_practice_beats_the_start(student, run):
    """After 150 steps fresh pairs are ordered, the policy beats its start, and its answers still end."""
    generator = torch.Generator().manual_seed(run.seed)
    base = pretrained("reviews_base")
    student.ask(train, base.config, base.state_dict(), reviews.judged_pairs(4000, generator), 150, 0.3, run.seed)
    policy = grown(base, student.ask(trained_weights).value)

    fresh = reviews.unjudged_pairs(1000, generator)
    a, b = (log_probs(policy, fresh, side) - log_probs(base, fresh, side) for side in ("a", "b"))
    apart, a_better = fresh["gap"] != 0, fresh["gap"] > 0
    run.reaches(
        "share of fresh pairs in the true order", ((a > b) == a_better)[apart].float().mean().item(), at_least=0.86
    )

    prompts, mask, _ = reviews.sample_prompts(512, generator)
    ours, theirs = (generate(lm, prompts, mask, 12, reviews.EOS, reviews.PAD, 1.0, generator) for lm in (policy, base))
    lead = reviews.gold_scores(*ours) - reviews.gold_scores(*theirs)
    run.reaches("win rate against the start", ((lead > 0).float() + 0.5 * (lead == 0)).mean().item(), at_least=0.80)
    better = torch.where(a_better, a, b)[apart].mean().item()
    run.reaches("mean log-ratio of the better answers", better, at_least=-10)
    run.reaches("share of answers that end", (ours[0] == reviews.EOS).any(1).float().mean().item(), at_least=0.90)


@task("train_dpo")
@graded_run(cpu_seconds=30)
def test_one_seed_one_policy(student, run):
    """Two trainings with one seed give the same weights; the policy comes back in eval mode."""
    config = {"vocab_size": 25, "d_model": 16, "n_layers": 1, "n_heads": 2, "dropout": 0.1}
    found = student.ask(train_twice, config, two_prompts(), 3, [5, 5, 6]).value
    assert torch.equal(found["weights"][0], found["weights"][1]), "One seed gave two policies."
    assert not torch.equal(found["weights"][0], found["weights"][2]), "Two seeds gave one policy."
    assert not any(found["training"]), "The policy should come back in eval mode."


@task("train_dpo")
@graded_run(cpu_seconds=30)
def test_what_is_read_and_what_is_pulled(student, run):
    """Whole texts are read, 64 pairs a step, without dropout; every token of an answer is pulled, and no padding."""
    pairs = two_prompts()
    for side in SIDES:  # now the end has the number of padding
        pairs[side] = pairs[side].masked_fill(pairs[side] == reviews.EOS, reviews.PAD)
    found = student.ask(reading, pairs, 3, run.seed).value
    assert found["read"] == 3 * 2 * 64, "Three steps of 64 pairs read 384 texts."
    assert found["others"] == 0, "Something else than prompts with their answers was read: believe the masks."
    assert found["dropping"] == 0, "Dropout was on while the policy was read."
    assert found["missed"] == 0, "A token of an answer was never trained: which column predicts it?"
    assert found["beyond"] == 0, "A column was trained that predicts padding."
