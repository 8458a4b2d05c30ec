# %% [markdown] assignment="a10_rlhf_ppo" title="PPO on a language model: the mask, the leash, the score" module="rlhf_ppo" requires="torch, torch._dynamo, common.tiny_lm, common.preferences" builds_on="a07_gae.gae" summary="Log-probabilities and masks token by token, a reward with a leash, three estimators of the KL, and a language model that learns to please without going astray." forbidden="trl, peft, bitsandbytes, unsloth, common.preferences.ShippedHead, common.preferences.reward_model, common.tiny_lm.pretrained, common.tiny_lm.load_weights, common.reviews"
# # PPO on a language model: the mask, the leash, the score
#
# You have PPO, and you have a model that scores texts. Today they meet. A language model becomes the policy: its state is
# what has been written so far, its action is the next token, an episode is an answer, and one reward comes at the very end. That
# is the whole of RLHF as InstructGPT did it, and on our toy language it fits into an evening.
#
# Two things are new, and most bugs live in them. *Which columns count?* A row holds padding, a question, an answer, an end and padding
# again, and a mistake of one column trains just as happily. And *how far may it go?* The score was learnt from people's
# choices, so it is right near the texts that people saw. A policy that is only paid for its score walks away from there and finds
# its errors. So it is put on a leash: each token pays for being likelier than it used to be.
#
# You write seven things, in this order:
#
# 1. `token_log_probs`: how likely was each token?
# 2. `response_mask`: which columns did the policy choose?
# 3. `kl_penalised_rewards`: a score at the end, a price on every token
# 4. `kl_estimators`: three ways to measure a distance from samples
# 5. `AdaptiveKLController`: a leash that finds its own length
# 6. `whiten`: mean 0 and spread 1, over what counts
# 7. `train_ppo_lm`: all of it
#
# **You need** [GAE](../../docs/learn/a07_gae.md), which is imported from your own seventh assignment if it passes; [PPO](../../docs/learn/a08_ppo.md), of which you
# write the clipped surrogate once more; and [the reward models](../../docs/learn/a09_reward_model.md). The
# [reading page](../../docs/learn/a10_rlhf_ppo.md) says what to read, and derives what you write.
#
# ```
# autograder check a10                    # all tasks: what holds, what to mend first
# autograder check a10.response_mask      # one task
# autograder hint a10.response_mask       # the next of its three hints
# ```
#
# ## What is given
#
# In `assignments/common/`, to be read: `tiny_lm.py` has `TinyLM`, a language model of 105,000 weights:
# `model(tokens, mask)` takes tokens (B, T), int64, and a bool mask of the same shape, and gives logits (B, T, V); `model.hidden(tokens, mask)` gives (B, T, D), what it knows at each
# token. It counts positions from the mask, so padding shifts nothing. `preferences.py` has `generate`, which samples answers in eval mode, and
# `frozen_copy`, a copy that stands still. From your seventh assignment comes `gae`.
#
# ## What we keep of the papers, and what we leave out
#
# Kept of *Fine-Tuning Language Models from Human Preferences* (Ziegler et al., 2019): the reward with its penalty (equation 2) and the controller (section 2.2).
# Kept of *Learning to summarize from human feedback* (Stiennon et al., 2020): one score at the end of an answer, and a critic that is a network of its own, so that its errors do not
# write the answers. Kept of *InstructGPT* (Ouyang et al., 2022): discount 1. The estimators are from John Schulman's note *Approximating KL Divergence* (2020).
#
# Left out: InstructGPT's mix with pretraining, rewards that are whitened, a penalty for answers without an end, sampling with nucleus or at other temperatures.
#
# ## Convention card
#
# Every one of these could be otherwise, and in some library it is. When a number is wrong, begin here.
#
# | question | our answer | who differs |
# |---|---|---|
# | column t of log-probabilities and masks (B, T−1) | belongs to **`tokens[:, t+1]`**, which `logits[:, t]` predicts | masks of T columns; GRPO's R columns of the answer alone |
# | where is padding? | questions are padded on the left, answers on the right | |
# | the first EOS of an answer | **belongs to it**: in the mask, in the KL, in the loss; nothing after it does | gone wrong often |
# | an EOS in the question | ends nothing | |
# | what is padding? | what you are told (`prompt_len`, `pad`), and never what has the end's number | TRL: with pad = eos it drops the end from its mask |
# | the score | stands on the **last True column** of its row | TRL: one column later, if there is one |
# | the leash | k1, **in the reward**, $-\beta(\log\pi - \log\pi_\text{ref})$ | GRPO: k3, in the loss |
# | direction of the KL | $\text{KL}(\pi \,\|\, \pi_\text{ref})$, samples from $\pi$ | |
# | standard deviation | **ddof 1** | NumPy: ddof 0 |
# | whitening | $1/\sqrt{\text{var} + 10^{-8}}$, and **0** where the mask is False | TRL leaves junk there |
# | gradient | only through the policy's own log-probabilities | |
# | dtype | answers keep that of the input, unless it says so | |
# | inputs | are never changed in place; chance comes from `seed` alone | |
# | bad input | is refused: raise `ValueError` and say what is wrong | |
#
# Letters: $B$ rows, $T$ tokens of a row (question and answer), $V$ words, $\pi$ the policy, $\pi_\text{ref}$ the reference, $\beta$ the price of leaving it. From the third task on, columns are
# simply counted: (B, T) there means as many columns as the mask has.
#
# ## What you may not use, and why
#
# `trl`, whose trainer is the last task, and the other large packages of this month; ready weights, ready reward models and the rules of the
# reviews: the grader measures with them what you have learnt without. In the grading the words are renamed besides, so that only the reward knows
# which of them is a compliment. All of torch is yours.
#
# ## What the tests look at
#
# Values and gradients against numbers that were worked out; every kind of mask; what stands under a False (anything at all, up to ±50); expectations over all tokens of a small
# policy, exactly; and a training, whose answers are measured by the grader: what the reward model says of them, what they are truly worth, and how far from the start they are.

# %%
import copy
from collections.abc import Callable

import torch
from common.preferences import frozen_copy, generate
from common.tiny_lm import TinyLM
from gae import gae
from torch import Tensor

EOS, PAD, LONGEST = 2, 0, 12
"""Of the last task: the end token, padding, and how many tokens an answer may have, its end included."""

RewardFn = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(prompts (M, P), completions (M, R), mask (M, R)) -> scores (M,)."""

# %% [markdown] task="token_log_probs"
# ## `token_log_probs`: how likely was each token?
#
# The logits at place $t$ are what the model said after it had read token $t$: a distribution over token $t+1$. So a row of $T$ tokens has $T-1$ log-probabilities; the first token has
# none, and the last logits speak of a token that nobody wrote.
#
# $$ \log \pi(y_{t+1} \mid y_{\le t}) = \log \text{softmax}(\text{logits}_t / \tau)_{\,y_{t+1}} $$
#
# - `temperature` $\tau$ is that of the *sampling*. Tokens that were drawn at 0.7 came from the distribution at 0.7, and the ratio of PPO begins at 1 only if it asks about that one.
# - It is computed in float32 at least: logits in float16 or bfloat16 give an answer in float32; otherwise the answer has the dtype of the logits.
# - Logits of ±10,000 give finite numbers, or the true −20,000.
# - The gradient goes through `logits`.
# - Refused: `tokens` that are not (B, T), an id outside of 0 … V−1 in any column, a temperature of 0 or below.
#
# **By hand.** Two words, tokens (0, 1, 0), logits $(0, \ln 3)$ and $(\ln 4, 0)$, then anything. The first speaks of word 1, with
# probability 3/4, the second of word 0, with 4/5: $(-0.287682, -0.223144)$. At temperature 0.5 it is 9/10 and 16/17: $(-0.105361, -0.060625)$.


# %% task="token_log_probs" points=3 minutes=20
def token_log_probs(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability of each token but the first: (B, T-1), column t belongs to tokens[:, t+1].

    logits: (B, T, V), of which logits[:, t] predict tokens[:, t+1]. tokens: (B, T) int64.
    temperature: that at which the tokens were sampled. Computed in float32 at least.
    Raises ValueError for shapes that do not fit, ids outside [0, V) and temperature <= 0.

    Source: Ziegler et al. 2019, section 2.
    """
    ### BEGIN SOLUTION
    if logits.ndim != 3 or tokens.shape != logits.shape[:2]:
        raise ValueError(f"tokens has shape {tuple(tokens.shape)}, logits {tuple(logits.shape)}")
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} should be above 0")
    if ((tokens < 0) | (tokens >= logits.shape[2])).any():
        raise ValueError(f"tokens holds an id outside of 0 ... {logits.shape[2] - 1}")
    fine = torch.promote_types(logits.dtype, torch.float32)
    logp = (logits[:, :-1].to(fine) / temperature).log_softmax(dim=-1)  # (B, T-1, V)
    return logp.gather(2, tokens[:, 1:, None])[..., 0]  # (B, T-1)
    ### END SOLUTION


# %% [markdown] hints="token_log_probs"
# 1. Write the tokens of the example in one row, and under each the token that its logits speak of. How many pairs are there?
# 2. Cut both before you combine them: all logits but the last, all tokens but the first. Softmax and logarithm are one function in torch, and it stays finite.
# 3. Refuse; then `logp = (logits[:, :-1].to(at_least_float32) / temperature).log_softmax(-1)` and `logp.gather(2, tokens[:, 1:, None])[..., 0]`, with
#    `torch.promote_types(logits.dtype, torch.float32)`.

# %% tests="token_log_probs"
import functools
import math

import pytest
import torch
from asks import betas, estimates_and_gradients, train, train_after_noise, trained_weights
from common import reviews
from common.preferences import generate, reward_model
from common.tiny_lm import TinyLM, pretrained

from autograder.testing import Counted, graded_run, needs, task
from autograder.testing.readings import take_weights

F64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
BY_HAND = {"rtol": 0.0, "atol": 1e-6}  # numbers that were rounded to six digits


def f64(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def two_words():
    """The example of the handout: logits (1, 3, 2) and tokens (1, 3)."""
    logits = f64([0, math.log(3)], [math.log(4), 0], [5, -5])[None]
    return logits, torch.tensor([[0, 1, 0]])


@task("token_log_probs")
def test_two_words_by_hand(student):
    """Probabilities of 3/4 and 4/5, and at temperature 0.5 of 9/10 and 16/17."""
    student.token_log_probs(*two_words()).equals(f64([-0.287682, -0.223144]), **BY_HAND)
    student.token_log_probs(*two_words(), temperature=0.5).equals(f64([-0.105361, -0.060625]), **BY_HAND)


@task("token_log_probs")
@needs("test_two_words_by_hand")
def test_ids_and_temperatures_that_are_none(student):
    """An id that the vocabulary does not have is refused, and so is a temperature of 0."""
    logits, _ = two_words()
    student.token_log_probs(logits, torch.tensor([[0, 2, 0]])).refused()
    student.token_log_probs(logits, torch.tensor([[-1, 1, 0]])).refused()
    student.token_log_probs(*two_words(), temperature=0.0).refused()


@task("token_log_probs")
def test_same_as_trl_log_probabilities(student):
    """The log-probabilities equal those of the function that TRL's trainers use."""
    the_trl()
    from trl.trainer.utils import selective_log_softmax

    logits = torch.randn(3, 6, 11, generator=torch.Generator().manual_seed(0))
    tokens = torch.randint(11, (3, 6), generator=torch.Generator().manual_seed(1))
    theirs = selective_log_softmax(logits[:, :-1] / 0.7, tokens[:, 1:])
    # float32, a sum of eleven exponentials
    student.token_log_probs(logits, tokens, 0.7).equals(theirs, rtol=1e-5, atol=1e-6)


def the_trl():
    """TRL, or a skip where it is not installed or is another one."""
    import os

    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    trl = pytest.importorskip("trl", reason="trl is not installed")
    if trl.__version__ != "1.12.0":
        pytest.skip(f"trl is {trl.__version__}; this was compared with 1.12.0")
    return trl


# %% [markdown] task="response_mask"
# ## `response_mask`: which columns did the policy choose?
#
# A row of a batch: padding, the question, the answer with its end, padding. The policy chose the answer, and its end. It did not choose the question, and what comes after the end was never a
# decision. So these columns, and no others, are rewarded, charged and trained.
#
# - `prompt_len` says how many positions come before the answer, padding on the left included: one number for all rows, or a tensor (B,) with one for each row.
# - From there on, up to **and including** the first `eos`, is the answer. Without an `eos` it goes on to the end of the row.
# - An `eos` before `prompt_len` ends nothing.
# - If `pad` is given and differs from `eos`, tokens `pad` are out too (an answer that was cut off has padding and no end).
# - If `pad` equals `eos`, or is not given, no token's number says anything about padding. The first end is real.
# - The answer is bool, (B, T−1), and **column t belongs to `tokens[:, t+1]`**, as the log-probabilities do.
# - Refused: a tensor `prompt_len` that is not (B,).
#
# **By hand.** eos = 2, `prompt_len` = 3, tokens (0, 7, 5 | 8, 9, 2, 2, 4): the answer is 8, 9, 2, which are tokens 3, 4 and 5, so columns 2, 3 and 4: (–, –, T, T, T, –, –). Tokens
# (0, 2, 5 | 8, 9, 6, 4, 3): no end in the answer, so (–, –, T, T, T, T, T); with pad = 3 the last one is out.


# %% task="response_mask" points=4 minutes=25
def response_mask(prompt_len: int | Tensor, tokens: Tensor, eos: int, pad: int | None = None) -> Tensor:
    """Where a row's answer is: (B, T-1) bool, column t belongs to tokens[:, t+1].

    prompt_len: positions before the answer, padding on the left included; an int or (B,). tokens: (B, T) int64.
    eos: the first one of an answer is its last token. pad: tokens that are out, unless it equals eos.
    Raises ValueError for a prompt_len of another shape.

    Source: Ziegler et al. 2019, section 2 (answers up to their end); Stiennon et al. 2020, section 3.4.
    """
    ### BEGIN SOLUTION
    B, T = tokens.shape
    start = torch.as_tensor(prompt_len, device=tokens.device)
    if start.ndim > 0 and start.shape != (B,):
        raise ValueError(f"prompt_len has shape {tuple(start.shape)}, not {(B,)}")
    place = torch.arange(T, device=tokens.device)  # (T,)
    answer = place >= start.view(-1, 1)  # (B, T), or (1, T) where all rows begin alike
    ends = (tokens == eos) & answer  # (B, T)
    mask = answer & (ends.cumsum(1) - ends.long() == 0)  # (B, T)  no end has come before this token
    if pad is not None and pad != eos:
        mask = mask & (tokens != pad)
    return mask[:, 1:]  # (B, T-1)
    ### END SOLUTION


# %% [markdown] hints="response_mask"
# 1. Solve it first for a mask of T columns, one for each token. What has to be cut off at the end, so that column t belongs to token t+1: the first column or the last?
# 2. A token is in if it is not before `prompt_len`, and no end of the *answer* stands before it. `cumsum` counts ends up to and including a token. What is to be taken away from it?
# 3. `answer = torch.arange(T) >= start[:, None]`; `ends = (tokens == eos) & answer`; `mask = answer & (ends.cumsum(1) - ends.long() == 0)`; pads out if they differ from `eos`; then `mask[:, 1:]`.


# %% tests="response_mask"
def answers_by_hand():
    return torch.tensor([[0, 7, 5, 8, 9, 2, 2, 4], [0, 2, 5, 8, 9, 6, 4, 3], [9, 9, 9, 2, 9, 9, 9, 9]])


@task("response_mask")
def test_three_answers_by_hand(student):
    """Up to the first end and with it; without one to the last column; an end in the question ends nothing."""
    truth = torch.tensor([[0, 0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 1], [0, 0, 1, 0, 0, 0, 0]], dtype=torch.bool)
    student.response_mask(3, answers_by_hand(), 2).equals(truth)
    truth[1, 6] = False
    student.response_mask(3, answers_by_hand(), 2, pad=3).equals(truth)


@task("response_mask")
def test_a_length_for_each_row(student):
    """A tensor says for each row where its answer begins; padding may have the number of the end."""
    tokens = torch.tensor([[2, 2, 5, 8, 9, 2, 2, 2], [2, 5, 8, 7, 2, 2, 2, 2]])
    truth = torch.tensor([[0, 0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0, 0]], dtype=torch.bool)
    student.response_mask(torch.tensor([3, 2]), tokens, 2).equals(truth)
    student.response_mask(torch.tensor([3, 2]), tokens, 2, pad=2).equals(truth)


@task("response_mask")
@needs("test_three_answers_by_hand")
def test_lengths_of_other_rows(student):
    """A prompt_len that has not one number a row is refused."""
    student.response_mask(torch.tensor([3, 2]), answers_by_hand(), 2).refused()
    student.response_mask(torch.tensor([[3], [2], [1]]), answers_by_hand(), 2).refused()


@task("response_mask")
def test_same_as_trl_masks(student):
    """The mask of the answers equals that of TRL's PPOTrainer."""
    theirs = one_round_of_trl()
    columns = theirs["prompt_len"] - 1
    mask = torch.zeros(len(theirs["mask"]), columns + theirs["mask"].shape[1], dtype=torch.bool)
    mask[:, columns:] = theirs["mask"]
    student.response_mask(theirs["prompt_len"], theirs["tokens"], theirs["eos"], theirs["pad"]).equals(mask)


@functools.cache
def one_round_of_trl(kl_estimator="k1"):
    """What TRL's PPOTrainer computes in its first round, around random Llamas: its own loop, watched from outside."""
    the_trl()
    import tempfile
    from unittest import mock

    import tokenizers
    import transformers
    from datasets import Dataset
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2, **{str(n): 3 + n for n in range(5)}}
    text = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    text.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=text, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    config = transformers.LlamaConfig(
        vocab_size=8, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_labels=1,
        num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    policy, ref = transformers.LlamaForCausalLM(config), transformers.LlamaForCausalLM(config)
    for model in (policy, ref):  # padding is never written
        model.lm_head.register_forward_hook(lambda _, __, out: out.index_fill(-1, torch.tensor([0]), -1e4))
    judge, critic = (transformers.LlamaForSequenceClassification(config) for _ in range(2))
    seen = {"logp": [], "whitened": [], "score": [], "tokens": []}
    log_softmax, whitening, reward = (
        ppo_trainer.selective_log_softmax, ppo_trainer.masked_whiten, ppo_trainer.get_reward,
    )  # fmt: skip

    def watched_logp(logits, index):
        found = log_softmax(logits, index)
        seen["logp"].append(found.detach().clone())
        return found

    def watched_whitening(values, mask, shift_mean=True):
        found = whitening(values, mask, shift_mean)
        seen["whitened"].append((values.clone(), mask.clone(), found.clone()))
        return found

    def watched_reward(model, tokens, pad, length):
        found = reward(model, tokens, pad, length)
        if model is judge:
            seen["score"].append(found[1].clone())
            seen["tokens"].append(tokens.clone())
        return found

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(ppo_trainer, "selective_log_softmax", watched_logp),
        mock.patch.object(ppo_trainer, "masked_whiten", watched_whitening),
        mock.patch.object(ppo_trainer, "get_reward", watched_reward),
    ):
        settings = {
            "output_dir": folder, "report_to": [], "use_cpu": True, "bf16": False, "per_device_train_batch_size": 16,
            "total_episodes": 16, "num_ppo_epochs": 2, "num_mini_batches": 1, "local_rollout_forward_batch_size": 16,
            "num_sample_generations": 0, "response_length": 6, "stop_token": "eos", "missing_eos_penalty": None,
            "kl_coef": 0.3, "kl_estimator": kl_estimator, "whiten_rewards": True, "save_strategy": "no",
        }  # fmt: skip
        prompts = [{"input_ids": [3 + n % 5, 4, 5 + n % 3]} for n in range(16)]
        trainer = PPOTrainer(
            args=PPOConfig(**settings), processing_class=tokenizer, model=policy, ref_model=ref, reward_model=judge,
            value_model=critic, train_dataset=Dataset.from_list(prompts),
        )  # fmt: skip
        trainer.train()
    (rewards, _, _), (advantages, mask, whitened) = seen["whitened"][:2]
    return {
        "logp": seen["logp"][0], "ref_logp": seen["logp"][1], "rewards": rewards, "mask": mask, "score": seen["score"][0],
        "tokens": seen["tokens"][0], "advantages": advantages, "whitened": whitened, "prompt_len": 3, "eos": 1, "pad": 0,
    }  # fmt: skip


# %% [markdown] task="kl_penalised_rewards"
# ## `kl_penalised_rewards`: a score at the end, a price on every token
#
# Ziegler et al. pay the policy $R(x, y) = r(x, y) - \beta \log \frac{\pi(y \mid x)}{\pi_\text{ref}(y \mid x)}$. The logarithm of the ratio is a sum over tokens, and each token can be charged for its own
# part, at once, where the critic can see it. The score has nowhere else to be than at the last token:
#
# $$ R_t = -\beta\,(\log \pi_t - \log \pi_{\text{ref},t}) + [t \text{ is the last of its row}] \cdot \text{score} $$
#
# - Where `mask` is False the reward is exactly 0, whatever stands there.
# - The last is the last **True** column of each row: not the last column.
# - Nothing that comes out carries a gradient. These are rewards, not a loss.
# - Refused: shapes that do not fit, an empty batch, a row without any True (its score has no place), a score that is not finite.
#
# **By hand.** $\beta = 0.5$, score 1, mask (–, T, T, –), log-probabilities (−9, −1, −2, −9) and of the reference (0, −1.5, −1, 0): the differences that count are 0.5 and −1,
# so the rewards are (0, −0.25, 0.5 + 1, 0). They sum to $1 - 0.5 \cdot (-0.5) = 1.25$.


# %% task="kl_penalised_rewards" points=3 minutes=20
def kl_penalised_rewards(score: Tensor, logp: Tensor, ref_logp: Tensor, mask: Tensor, beta: float) -> Tensor:
    """The reward of each token: (B, T), 0 where mask is False.

    score: (B,), of whole answers. logp, ref_logp: (B, T) log-probabilities of the tokens under policy and reference.
    mask: (B, T) bool, True = chosen by the policy. beta: the price of a nat.
    Raises ValueError for shapes that do not fit, no rows, a row without True, scores that are not finite.

    Source: Ziegler et al. 2019, equation 2; Stiennon et al. 2020, section 3.4.
    """
    ### BEGIN SOLUTION
    for name, other in (("ref_logp", ref_logp), ("mask", mask)):
        if other.shape != logp.shape:
            raise ValueError(f"{name} has shape {tuple(other.shape)}, logp {tuple(logp.shape)}")
    if logp.ndim != 2 or len(logp) == 0 or score.shape != logp.shape[:1]:
        raise ValueError(f"score has shape {tuple(score.shape)}, logp {tuple(logp.shape)}")
    if not mask.any(dim=1).all():
        raise ValueError("mask has a row without True: where should its score stand?")
    if not score.isfinite().all():
        raise ValueError("score holds a number that is not finite")
    to_come = mask.flip(1).cumsum(1).flip(1)  # (B, T)  how many True stand here or later
    last = mask & (to_come == 1)  # (B, T)
    rewards = -beta * (logp - ref_logp) + last * score[:, None]  # (B, T)
    return torch.where(mask, rewards, 0).detach()
    ### END SOLUTION


# %% [markdown] hints="kl_penalised_rewards"
# 1. A token that has become likelier than it was under the reference: should it be paid or charged? And what is the sum of a row?
# 2. Two parts: a price for each column, and a score in one column of each row. You have found the last True of a row before, for the head of a reward model.
# 3. Refuse; `last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)`; `rewards = -beta * (logp - ref_logp) + last * score[:, None]`; `torch.where(mask, rewards, 0).detach()`.


# %% tests="kl_penalised_rewards"
def two_answers():
    """score, logp, ref_logp, mask: the row of the handout, and one that ends in the last column."""
    logp = f64([-9, -1, -2, -9], [-9, -9, -3, -1])
    ref = f64([0, -1.5, -1, 0], [0, 0, -1, -1])
    mask = torch.tensor([[False, True, True, False], [False, False, True, True]])
    return f64(1, -2), logp, ref, mask


@task("kl_penalised_rewards")
def test_two_rows_by_hand(student):
    """(0, -0.25, 1.5, 0) and (0, 0, 1, -2) with beta 0.5."""
    truth = f64([0, -0.25, 1.5, 0], [0, 0, 1, -2])
    student.kl_penalised_rewards(*two_answers(), 0.5).equals(truth, **F64)


@task("kl_penalised_rewards")
def test_without_a_price_only_the_score_is_left(student):
    """With beta 0 each row has its score, on its last token, and nothing else."""
    truth = f64([0, 0, 1, 0], [0, 0, 0, -2])
    student.kl_penalised_rewards(*two_answers(), 0.0).equals(truth, **F64)


@task("kl_penalised_rewards")
@needs("test_two_rows_by_hand")
def test_an_answer_of_no_tokens(student):
    """A row without True is refused, and so is a score that is not finite."""
    score, logp, ref, mask = two_answers()
    student.kl_penalised_rewards(score, logp, ref, mask & torch.tensor([[True], [False]]), 0.5).refused()
    student.kl_penalised_rewards(score * math.inf, logp, ref, mask, 0.5).refused()
    student.kl_penalised_rewards(score[:, None], logp, ref, mask, 0.5).refused()


@task("kl_penalised_rewards")
def test_same_as_trl_rewards(student):
    """The rewards equal those of TRL's PPOTrainer: whole rows where the answer fills its row, the price elsewhere too."""
    theirs = one_round_of_trl()
    mask, names = theirs["mask"], ("score", "logp", "ref_logp", "mask")
    full = mask.all(1)
    assert full.any(), "No answer of the library's fills its row."
    # float32 on both sides
    student.kl_penalised_rewards(*(theirs[name][full] for name in names), 0.3).equals(
        theirs["rewards"][full], rtol=1e-5, atol=1e-6
    )
    # The library's score stands one column later where there is one: without it, what is left is the price.
    price = student.kl_penalised_rewards(0 * theirs["score"][~full], *(theirs[n][~full] for n in names[1:]), 0.3).value
    assert torch.allclose(price[mask[~full]], theirs["rewards"][~full][mask[~full]], rtol=1e-5, atol=1e-6)


# %% [markdown] task="kl_estimators"
# ## `kl_estimators`: three ways to measure a distance from samples
#
# $\text{KL}(\pi \,\|\, \pi_\text{ref}) = E_{x \sim \pi}[\log \pi(x) - \log \pi_\text{ref}(x)]$. You have samples of $\pi$ and, for each, the two logarithms. Write $u = \log \pi_\text{ref} - \log \pi$. Schulman's note has three
# estimators:
#
# $$ k_1 = -u, \qquad k_2 = \tfrac12 u^2, \qquad k_3 = e^{u} - 1 - u $$
#
# | | on average | below 0? | where it is used |
# |---|---|---|---|
# | $k_1$ | the KL | half the time, nearly | in the reward: here |
# | $k_2$ | near it, while the KL is small | never | |
# | $k_3$ | the KL | never | in the loss: GRPO |
#
# They are *values* with these properties. Differentiated they are something else, and the tests look at that too: the mean gradient of $k_1$ is 0, that of $k_2$ is the gradient of
# the KL that was meant, that of $k_3$ the gradient of the *other* KL. The reading page derives it in six lines.
#
# - Element by element, any shape; three tensors of that shape, in this order.
# - The gradient goes through `logp`; `ref_logp` gets none.
# - Refused: unequal shapes.
#
# **By hand.** $\pi = (\tfrac12, \tfrac14)$, $\pi_\text{ref} = (\tfrac14, \tfrac12)$: $u = (-\ln 2, \ln 2)$, so $k_1 = (0.693147, -0.693147)$, $k_2 = (0.240227, 0.240227)$, $k_3 = (0.193147, 0.306853)$.


# %% task="kl_estimators" points=3 minutes=20
def kl_estimators(logp: Tensor, ref_logp: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(k1, k2, k3), element by element: estimators of KL(policy || reference) from samples of the policy.

    logp, ref_logp: log-probabilities of the same tokens under policy and reference, any shape, equal.
    The gradient goes to logp only. Raises ValueError if the shapes are not equal.

    Source: Schulman 2020, "Approximating KL Divergence".
    """
    ### BEGIN SOLUTION
    if logp.shape != ref_logp.shape:
        raise ValueError(f"shapes differ: logp {tuple(logp.shape)}, ref_logp {tuple(ref_logp.shape)}")
    u = ref_logp.detach() - logp
    return -u, u.square() / 2, u.expm1() - u
    ### END SOLUTION


# %% [markdown] hints="kl_estimators"
# 1. Which of the two drew the samples? Over its probabilities, the mean of the *ratio* of the other one to it is 1. Which way round is the ratio in $k_3$, then?
# 2. One difference, $u$, is in all three. Cut the gradient of the reference before you take it.
# 3. After a check of the shapes: `u = ref_logp.detach() - logp`; `return -u, u.square() / 2, u.exp() - 1 - u`, or with `torch.expm1(u)`.


# %% tests="kl_estimators"
def halves():
    return f64(0.5, 0.25).log(), f64(0.25, 0.5).log()


@task("kl_estimators")
def test_a_half_and_a_quarter_by_hand(student):
    """The three of the handout, and their slopes in logp: 1, -u and 1 - e^u."""
    k1, k2, k3 = f64(0.693147, -0.693147), f64(0.240227, 0.240227), f64(0.193147, 0.306853)
    student.kl_estimators(*halves()).equals((k1, k2, k3), **BY_HAND)
    found = student.ask(estimates_and_gradients, *halves())
    slopes = [f64(1, 1), f64(0.693147, -0.693147), f64(0.5, -1)]
    found.equals({"estimates": [k1, k2, k3], "slopes": slopes, "leaked": 0.0}, **BY_HAND)


@task("kl_estimators")
@needs("test_a_half_and_a_quarter_by_hand")
def test_a_column_beside_a_row_is_refused(student):
    """Unequal shapes are refused, also where torch would broadcast them."""
    logp, ref = halves()
    student.kl_estimators(logp[:, None], ref).refused()
    student.kl_estimators(logp, ref[:1]).refused()


@task("kl_estimators")
@pytest.mark.parametrize(("place", "name"), [(0, "k1"), (2, "k3")])
def test_same_as_trl_estimators(student, place, name):
    """With this estimator TRL's PPOTrainer charges what yours says, at its price of 0.3 a nat."""
    theirs = one_round_of_trl(name)
    mask = theirs["mask"].clone()
    last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)
    mask &= ~(last & mask.all(1, keepdim=True))  # there the score stands, too
    found = student.kl_estimators(theirs["logp"], theirs["ref_logp"]).value[place]
    assert torch.allclose(-0.3 * found[mask], theirs["rewards"][mask], rtol=1e-5, atol=1e-6)


# %% [markdown] task="AdaptiveKLController"
# ## `AdaptiveKLController`: a leash that finds its own length
#
# Which $\beta$ is right depends on the unit of the score, and nobody knows it beforehand. A distance in nats is easier to ask for. Ziegler et al. turn $\beta$ up when the policy is further away
# than the target, and down when it is nearer, a little at a time:
#
# $$ e = \text{clip}\Big(\frac{\text{KL}}{\text{target}} - 1,\, -0.2,\, 0.2\Big), \qquad \beta \leftarrow \beta \Big(1 + e\,\frac{n}{\text{horizon}}\Big) $$
#
# `n` is how many answers the estimate is from, `horizon` how many it takes to change $\beta$ for good. `.beta` holds the present price, and `.update(kl, n)` changes it and returns it. An estimated KL may be below 0: the formula does not mind.
#
# **By hand.** `AdaptiveKLController(0.2, target=6.0, horizon=1000)`. A KL of 9 from 100 answers: 50% too far, clipped to 20%, so 0.2 · 1.02 = 0.204. Then 5.4 from 100: 10% too near, 0.204 · 0.99 = 0.20196. Then
# 0 from 500: 0.20196 · 0.9 = 0.181764.


# %% task="AdaptiveKLController" points=2 minutes=10
class AdaptiveKLController:
    """A price of leaving the reference that rises while the KL is above its target, and falls while it is below.

    beta: the present price. update(kl, n): after n answers with this mean KL; changes beta and returns it.

    Source: Ziegler et al. 2019, section 2.2.
    """

    def __init__(self, init_beta: float, target: float, horizon: int = 10_000):
        ### BEGIN SOLUTION
        self.beta = init_beta
        self.target = target
        self.horizon = horizon
        ### END SOLUTION

    def update(self, kl: float, n: int) -> float:
        ### BEGIN SOLUTION
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        self.beta *= 1 + error * n / self.horizon
        return self.beta
        ### END SOLUTION


# %% [markdown] hints="AdaptiveKLController"
# 1. The policy is twice as far away as it should be. Should a nat cost more from now on, or less?
# 2. The error is relative to the target, and it is clipped before it meets `n / horizon`.
# 3. `error = min(max(kl / self.target - 1, -0.2), 0.2)`; `self.beta *= 1 + error * n / self.horizon`; return `self.beta`.


# %% tests="AdaptiveKLController"
@task("AdaptiveKLController")
def test_three_updates_by_hand(student):
    """0.2 becomes 0.204, 0.20196 and 0.181764, and .beta says the same as update returns."""
    truth = [0.2, 0.204, 0.20196, 0.181764]
    found = student.ask(betas, (0.2, 6.0, 1000), [(9.0, 100), (5.4, 100), (0.0, 500)])
    found.equals({"returned": truth[1:], "kept": truth}, rtol=1e-9)


# %% [markdown] task="whiten"
# ## `whiten`: mean 0 and spread 1, over what counts
#
# Advantages come in the unit of the score. Before the policy sees them they are centred and scaled, over all True positions of the batch together:
#
# $$ \frac{x - m}{\sqrt{\text{var} + 10^{-8}}}, \qquad m = \text{mean of the True positions} $$
#
# - The variance has ddof 1: divide by their number minus one.
# - `shift_mean=False` adds $m$ again: scaled, but around the old mean. That is for rewards, whose sign means something.
# - Where `mask` is False the answer is exactly 0, and what stood there changes nothing.
# - No spread (one True position, or all of them equal): the centred value is **exactly** 0, and with `shift_mean=False` the value itself.
# - Refused: a mask of another shape, a mask without any True.
#
# **By hand.** (1, 2, 50, 6) with mask (T, T, –, T): mean 3, variance 7: (−0.755929, −0.377964, 0, 1.133893); without the shift (2.244071, 2.622036, 0, 4.133893).


# %% task="whiten" points=3 minutes=15
def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """x with mean 0 and spread 1 over the True positions of mask, 0 elsewhere.

    x: any shape; mask: the same, bool. shift_mean: False leaves the mean where it was.
    Raises ValueError for another shape and for a mask without True.

    Source: Ziegler et al. 2019 (their code); ddof 1.
    """
    ### BEGIN SOLUTION
    if x.shape != mask.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, x {tuple(x.shape)}")
    if not mask.any():
        raise ValueError("mask has no True")
    counted = x[mask]  # (n,)
    if counted.max() == counted.min():
        mean, scale = counted[0], 1.0  # not the mean: that may be off by rounding
    else:
        mean, scale = counted.mean(), torch.rsqrt(counted.var() + 1e-8)  # ddof 1
    out = (x - mean) * scale + (0 if shift_mean else mean)
    return torch.where(mask, out, 0)
    ### END SOLUTION


# %% [markdown] hints="whiten"
# 1. Which numbers enter the mean of the example, and how many are there? What would the mean be with the 50, or with a 0 in its place?
# 2. `x[mask]` is a flat tensor of what counts: mean and variance of it are those that are meant. Put 0 under the False at the very end, by choosing and not by multiplying.
# 3. Refuse; `counted = x[mask]`; if its max equals its min, the mean is `counted[0]` and nothing is divided; else `counted.mean()` and `torch.rsqrt(counted.var() + 1e-8)`; then `torch.where(mask, (x - mean) * scale + ..., 0)`.


# %% tests="whiten"
@task("whiten")
def test_three_of_four_by_hand(student):
    """(1, 2, 50, 6), of which the 50 does not count."""
    x, mask = f64(1, 2, 50, 6), torch.tensor([True, True, False, True])
    student.whiten(x, mask).equals(f64(-0.755929, -0.377964, 0, 1.133893), **BY_HAND)
    student.whiten(x, mask, shift_mean=False).equals(f64(2.244071, 2.622036, 0, 4.133893), **BY_HAND)


@task("whiten")
@needs("test_three_of_four_by_hand")
def test_no_spread_and_no_true(student):
    """Equal numbers become exactly 0, or stay what they are; a mask without True is refused."""
    x = torch.full((2, 3), 0.7)
    student.whiten(x, torch.ones(2, 3, dtype=torch.bool)).equals(torch.zeros(2, 3))
    student.whiten(x, torch.ones(2, 3, dtype=torch.bool), shift_mean=False).equals(x)
    student.whiten(x, torch.zeros(2, 3, dtype=torch.bool)).refused()


@task("whiten")
def test_same_as_trl_whitening(student):
    """On True positions, what TRL's PPOTrainer makes of its advantages."""
    theirs = one_round_of_trl()
    found = student.whiten(theirs["advantages"], theirs["mask"]).value
    # float32; the two sum in another order
    assert torch.allclose(found[theirs["mask"]], theirs["whitened"][theirs["mask"]], rtol=1e-5, atol=1e-5)


# %% [markdown] task="train_ppo_lm"
# ## `train_ppo_lm`: all of it
#
# Before anything moves: a **reference**, which is a frozen copy of the policy that you were given, and a **critic**, a network of your choice that says what each column is worth. Then, for each of
# `iterations` rounds:
#
# 1. **Write.** Draw up to 128 prompts from the $N$ given ones, and let the policy answer each once, at temperature 1, in eval mode, with at most `LONGEST` = 12 tokens. `generate` does it.
# 2. **Ask** `reward_fn(prompts, completions, mask)`: prompts (M, P), completions (M, R) and their bool mask, row by row. Scores (M,) come back.
# 3. **Put side by side**: tokens (M, P + R), what is real of them, and M × (P + R − 1) columns: your mask, your log-probabilities (now the *old* ones) and those of the reference, without gradient, and the critic's values.
#    What a column is worth is what the critic says where the column's token is still to come: at place $t$, for `tokens[:, t+1]`. `PAD` is never written, so it has no probability: its
#    logit is $-10^9$, for policy and reference alike, before you take any logarithm. (Left in, it is a hole in the leash: what the policy lays on `PAD` makes all that it really
#    writes a little less likely, and being less likely is paid. At a learning rate of 1e-3 our policy found this within thirty rounds, on each of four seeds.)
# 4. **Reward**: your `kl_penalised_rewards`. Then `gae` with $\gamma = 1$: it takes (T, N), so turn the rows into columns; the last token of an answer **terminates**, so nothing is bootstrapped from padding. Targets for the critic are
#    advantages plus values; then your `whiten`.
# 5. **Learn**: a few steps of Adam on the clipped surrogate, over True columns only, and on the critic's squared error.
#
# **What is known to work**: β = 0.2 (scores here go from −3 to 6), λ = 0.95, clip 0.2; a critic that begins as a copy of the policy, with a linear readout of `hidden` that begins at zero; Adam with 5e-4 for the policy and 1e-3 for the critic, both gradients limited to norm 1;
# two epochs of two halves a round. A fixed β will do; `AdaptiveKLController` with a target of 5 nats an answer does as well.
#
# **The rules.**
#
# - At most 128 answers a round: the reward function counts, and the answer after `iterations` × 128 is refused with an error.
# - What you ask about are samples of the policy as it is in that round: temperature 1, no dropout (the grader's policy has some, and comes in training mode). The mask is True up to the first end and with it.
# - `seed` fixes everything: two calls with one seed give the same weights, whatever was drawn elsewhere before. You may seed torch's global generator for it.
# - `policy` is yours: train it in place or train a copy. A `TinyLM` with the same names and shapes comes back, in eval mode.
#
# **What is graded.** First a probe of a few seconds: a fresh, small model, prompts of two kinds, and a token each that earns 5 points if the answer begins with it. After 40 rounds each kind gets its token with a probability of 0.8 or more. Then the reviews: `reviews_base` writes them
# as guests do, good and bad; the score is that of a reward model as you trained one. After 40 rounds the grader puts your weights into its own model, lets it answer 512 fresh prompts, and looks at four numbers:
#
# | what | asked for | start | ours |
# |---|---:|---:|---:|
# | score of the reward model | ≥ 3.0 | 0.6 | 5.1 |
# | answers that end | ≥ 95% | 99.8% | 100% |
# | KL to the start, summed over an answer, exact at each token (over all that can be written) | ≤ 8 nats | 0 | 5.0 |
# | **true** score, by the rules that nobody told you | ≥ 2.0 | −0.2 | 3.5 |
#
# The last two decide together: for each nat beyond 8, a point is taken off the true score (six at most). Without a leash the learned score was the best of all, 5.8 on each of eight seeds; the policies were 16 to 27 nats away, and their true scores anywhere between −0.8 and 2.1. A run that misses is tried on two more seeds, and two of three decide.
#
# The words are renamed, anew for each seed: the token of `lovely` may mean *awful*, in the model's weights, the prompts and the answers alike. A policy that learns from its reward does not notice.
#
# **What it costs.** Our solution took about 15 CPU-seconds for the reviews; 120 are allowed.


# %% task="train_ppo_lm" points=6 minutes=90 needs="token_log_probs, response_mask, kl_penalised_rewards, whiten"
def train_ppo_lm(
    policy: TinyLM, reward_fn: RewardFn, prompts: Tensor, prompt_mask: Tensor, iterations: int, seed: int
) -> TinyLM:
    """Trains a language model by a score of its answers, on a leash.

    reward_fn: scores answers of at most LONGEST tokens which end with EOS; it takes iterations * 128 of them in all.
    prompts: (N, P) int64, prompt_mask: (N, P) bool, padded on the left.
    Returns the trained model, in eval mode. seed fixes all chance.

    Source: Ziegler et al. 2019, section 2; Stiennon et al. 2020, section 3.4.
    """
    ### BEGIN SOLUTION
    batch, epochs, beta, lam, clip = 128, 2, 0.2, 0.95, 0.2
    P = prompts.shape[1]
    generator = torch.Generator().manual_seed(seed)
    policy.eval()  # no dropout: the ratio compares two policies, not two masks
    reference = frozen_copy(policy)
    critic = copy.deepcopy(policy)
    readout = torch.zeros(policy.config["d_model"], requires_grad=True)  # (D,)
    judges = [*critic.parameters(), readout]

    def said(model: TinyLM, tokens: Tensor, real: Tensor) -> Tensor:
        """The logits that were sampled from: PAD is never drawn."""
        logits = model(tokens, real)  # (M, T, V)
        return logits.masked_fill(torch.arange(logits.shape[2]) == PAD, -1e9)

    optimizer = torch.optim.Adam([{"params": policy.parameters(), "lr": 5e-4}, {"params": judges, "lr": 1e-3}])

    for _ in range(iterations):
        chosen = torch.randint(len(prompts), (batch,), generator=generator)  # (M,)
        asked, asked_mask = prompts[chosen], prompt_mask[chosen]  # (M, P) each
        written, written_mask = generate(policy, asked, asked_mask, LONGEST, EOS, PAD, generator=generator)  # (M, R)
        score = reward_fn(asked, written, written_mask)  # (M,)
        tokens = torch.cat([asked, written], dim=1)  # (M, P + R)
        real = torch.cat([asked_mask, written_mask], dim=1)  # (M, P + R)
        mask = response_mask(P, tokens, EOS, PAD)  # (M, P + R - 1), as all that follows
        with torch.no_grad():
            old_logp = token_log_probs(said(policy, tokens, real), tokens)
            ref_logp = token_log_probs(said(reference, tokens, real), tokens)
            values = (critic.hidden(tokens, real) @ readout)[:, :-1]  # before the column's token is known
        rewards = kl_penalised_rewards(score, old_logp, ref_logp, mask, beta)

        last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)  # the answer is over: nothing comes after it
        next_values = torch.nn.functional.pad(values[:, 1:], (0, 1))
        never = torch.zeros_like(last)
        adv = gae(rewards.T, values.T, next_values.T, last.T, never.T, 1.0, lam).T
        targets = adv + values
        adv = whiten(adv, mask)

        for _ in range(epochs):
            for rows in torch.randperm(batch, generator=generator).chunk(2):
                used = mask[rows]  # (m, P + R - 1)
                logp = token_log_probs(said(policy, tokens[rows], real[rows]), tokens[rows])
                ratio = (logp - old_logp[rows]).exp()
                surrogate = torch.min(ratio * adv[rows], ratio.clamp(1 - clip, 1 + clip) * adv[rows])
                value = (critic.hidden(tokens[rows], real[rows]) @ readout)[:, :-1]
                loss = -surrogate[used].mean() + 0.5 * (value - targets[rows]).square()[used].mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                torch.nn.utils.clip_grad_norm_(judges, 1.0)
                optimizer.step()
    return policy
    ### END SOLUTION


# %% [markdown] hints="train_ppo_lm"
# 1. Print, each round: the mean score, the mean of the k1 summed over an answer, and the mean length. Which of the three should rise, which should stay below 8? And before the first step of a round, what is the ratio, exactly?
# 2. Everything after the sampling has P + R − 1 columns; decide once what is real (for the model) and what is chosen (for the rewards), and keep the two masks apart. The reference is copied *before* the first step. For `gae`,
#    a value's successor is the value one column on, and the flag of the last True column keeps it from being used.
# 3. `mask = response_mask(P, tokens, EOS, PAD)`; old, reference and values under `no_grad`; `rewards = kl_penalised_rewards(score, old_logp, ref_logp, mask, 0.2)`; `gae(rewards.T, values.T, next_values.T, last.T, never.T, 1.0, 0.95).T`; `whiten`; then, for halves of a
#    permutation: ratio, `torch.min` of the two products, its mean over `mask[rows]`, minus; half the critic's squared error on the same columns; `zero_grad`, `backward`, clip both norms, `step`.


# %% tests="train_ppo_lm"
@task("train_ppo_lm")
@graded_run(cpu_seconds=60)
def test_practice_with_a_paid_token(student, run):
    """Practice: two kinds of prompts, a paid token each. After 40 rounds it begins the answer with 0.8 or more."""
    prompts = torch.tensor([[0, 1, 4, 10], [1, 3, 3, 10]]).repeat(8, 1)
    mask = torch.tensor([[False, True, True, True], [True, True, True, True]]).repeat(8, 1)
    paid = torch.tensor([5, 8])

    def pays(asked, completions, mask):
        return 5.0 * (completions[:, 0] == paid[(asked[:, 0] != 0).long()])

    config = {"vocab_size": 14, "d_model": 32, "n_layers": 1, "n_heads": 2, "context": 18}
    torch.manual_seed(0)
    model = TinyLM(**config)
    student.ask(train, config, model.state_dict(), Counted(pays, 5_120), prompts, mask, 40, run.seed)
    take_weights(model, student.ask(trained_weights).value)
    with torch.no_grad():
        chance = model.eval()(prompts[:2], mask[:2])[:, -1].softmax(-1)[torch.arange(2), paid]
    run.reaches("smaller probability of a paid token", chance.min().item(), at_least=0.8)


@task("train_ppo_lm")
@graded_run(cpu_seconds=120)
def test_practice_with_reviews(student, run):
    """Practice: after 40 rounds reviews are scored 3 or more, are worth 2 or more, and are within 8 nats of the start."""
    judge, model = reward_model("reviews_rm"), pretrained("reviews_base")
    generator = torch.Generator().manual_seed(run.seed)
    prompts, mask, _ = reviews.sample_prompts(1000, generator)

    def scores(asked, completions, mask):
        with torch.no_grad():
            return judge(*reviews.together(asked, asked != reviews.PAD, completions, mask))

    student.ask(train, model.config, model.state_dict(), Counted(scores, 5_120), prompts, mask, 40, run.seed)
    take_weights(model, student.ask(trained_weights).value)
    asked, asked_mask, _ = reviews.sample_prompts(512, generator)
    written, written_mask = generate(
        model.eval(), asked, asked_mask, reviews.RESPONSE, reviews.EOS, reviews.PAD, generator=generator
    )
    tokens, real = reviews.together(asked, asked_mask, written, written_mask)
    with torch.no_grad():
        logits = [lm(tokens, real)[:, asked.shape[1] - 1 : -1] for lm in (model, pretrained("reviews_base"))]
    new, old = (each.masked_fill(torch.arange(each.shape[2]) == reviews.PAD, -1e9).log_softmax(-1) for each in logits)
    distance = ((new.exp() * (new - old)).sum(-1) * written_mask).sum(1).mean().item()
    run.reaches("score of the reward model", scores(asked, written, written_mask).mean().item(), at_least=3.0)
    run.reaches("distance from the start", distance, at_most=8.0, unit=" nats")
    run.reaches("true score", reviews.gold_scores(written, written_mask).mean().item(), at_least=2.0)


@task("train_ppo_lm")
@graded_run(cpu_seconds=30)
def test_practice_with_one_seed(student, run):
    """Two trainings with one seed end at the same weights, whatever was drawn elsewhere before."""
    config = {"vocab_size": 14, "d_model": 8, "n_layers": 1, "n_heads": 1, "context": 18}
    torch.manual_seed(0)
    weights = TinyLM(**config).state_dict()
    prompts = torch.tensor([[1, 4, 10], [1, 5, 10]])

    def pays(asked, completions, mask):
        return (completions[:, 0] == asked[:, 1]).float()

    ends = []
    for noise in (1, 2):
        given = (prompts, torch.ones_like(prompts, dtype=torch.bool), 2, run.seed, noise)
        ends.append(student.ask(train_after_noise, config, weights, Counted(pays, 256), *given).value)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in weights), "One seed gave two models."
    assert not all(torch.equal(ends[0][name], weights[name]) for name in weights), "No weight has moved."
