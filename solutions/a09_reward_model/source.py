# %% [markdown] assignment="a09_reward_model" title="Reward models: a score from comparisons" module="reward_model" requires="torch, torch._dynamo, common.tiny_lm, common.preferences" summary="Learn a score from pairs of texts of which one was preferred, read it at the right token, and see what its errors cost." forbidden="trl, peft, bitsandbytes, unsloth, common.preferences.ShippedHead, common.preferences.reward_model, common.tiny_lm.pretrained, common.tiny_lm.load_weights, common.reviews"
# # Reward models: a score from comparisons
#
# Nobody can write down what makes an answer good, and nobody agrees with themselves when asked for marks out of ten. But shown two
# answers, people say which is better. Today you turn such choices into a number: a model that reads a text and scores it.
# Everything in this month optimises that number, so each of its faults will be found and used, by a policy that
# searches for them day and night.
#
# You write six things, in this order:
#
# 1. `bradley_terry_loss`: from a choice between two to a loss on their scores
# 2. `pair_weights`: every prompt has one voice
# 3. `segment_preference`: how Christiano et al. (2017) model a judge who errs
# 4. `RewardHead`: where in a text the score is read
# 5. `normalize_rewards`: a zero and a unit for a score that has neither
# 6. `train_reward_model`: all of it, on a language model
#
# **You need** [the first assignment](../../docs/learn/a01_optimization.md) (AdamW, schedules: here torch's own are
# yours) and [a transformer's](../../docs/learn/a03_transformer.md) idea of masks. The
# [reading page](../../docs/learn/a09_reward_model.md) says what to read, and derives the loss.
#
# ```
# autograder check a09                 # all tasks: what holds, what to mend first
# autograder check a09.RewardHead      # one task
# autograder hint a09.RewardHead       # the next of its three hints
# ```
#
# ## What is given
#
# In `assignments/common/`, to be read: `tiny_lm.py` has `TinyLM`, a language model of 105,000 weights, and
# `lm.hidden(tokens, mask)` (B, T, D), what it knows at each token. `preferences.py` has `RewardModel(lm, head)`: its
# `forward(tokens, mask)` is `head(lm.hidden(tokens, mask), mask)`, shape (B,). `reviews.py` is a toy language in which guests review a
# hotel. Its rules say what a review is truly worth: that is how we can measure what your model only guesses.
#
# ## What we keep, and what we leave out
#
# Kept: the Bradley-Terry model of a choice (1952) as in Christiano et al. (2017); one score at the end of a text, from a
# linear layer on a language model, as in Ziegler et al. (2019), with the initial weights of Stiennon et al. (2020); the equal weight of prompts as in
# Ouyang et al. (2022, equation 1); rewards brought to mean 0 and spread 1.
#
# Left out: choices among four (Ziegler), ensembles and the choice of what to ask (Christiano), chat templates and
# real text.
#
# ## Convention card
#
# Every one of these could be otherwise, and in some library it is. When a number is wrong, begin here.
#
# | question | our answer | who differs |
# |---|---|---|
# | order of arguments | chosen, then rejected | |
# | a margin | is subtracted from the difference | |
# | weights | sum(w·l) / sum(w), constants without gradient | a plain mean of w·l |
# | what is padding? | what the **mask** says (True = real), nothing else | libraries guess: the last token that is not the pad id |
# | where is the score? | at the **last real** token of each row | gone wrong often: at the last column |
# | a segment's return | the **sum** of its rewards | a mean |
# | a judge's noise | with probability `noise` a coin decides | noise on the logit |
# | standard deviation | **ddof 1** (torch's default) | NumPy: ddof 0 |
# | no spread to divide by | only centre, exactly | a division by eps, and huge numbers |
# | dtype | answers keep that of the input, unless it says so | |
# | inputs | are never changed in place | |
# | bad input | is refused: raise `ValueError` and say what is wrong | |
#
# Letters: $B$ pairs or rows in a batch, $T$ tokens in a row, $D$ the model's width, $r$ a score, $\sigma$ the logistic
# function $1/(1+e^{-x})$.
#
# ## What you may not use, and why
#
# `trl`, whose trainer is the sixth task, and the other large packages of this month; the ready head and the finished weights in `common/`, and the rules of
# the reviews: the grader measures with them what you have learnt without. All of torch is yours.
#
# ## What the tests look at
#
# Values and gradients against numbers that were worked out; what a score must not depend on (a constant added to all, padding on either side); scores
# of ±10,000; every kind of mask; and a training, measured by the grader on pairs that your code has never seen.

# %%
import torch
import torch.nn.functional as F
from common.preferences import RewardModel
from common.tiny_lm import TinyLM
from torch import Tensor, nn

# %% [markdown] task="bradley_terry_loss"
# ## `bradley_terry_loss`: from a choice to a loss
#
# Give each text a score $r$, and suppose that a is preferred to b with probability $\sigma(r_a - r_b)$: equal scores make
# a coin toss, a lead of 1 wins 73 times in a hundred, a lead of 3 95 times. The loss is the negative log-probability of what was chosen:
#
# $$ \ell = -\log \sigma(r_\text{chosen} - r_\text{rejected} - m) $$
#
# - Without weights: the mean over the pairs. With `weights` $w$: $\sum w \ell / \sum w$. Weights are constants: no
#   gradient flows into them.
# - `margin` $m$, where it is given, is what the chosen text should lead by. It is subtracted from the difference.
# - The loss and its gradients are finite for scores of ±10,000. Far on the wrong side it is a straight line: a lead of −20,000 costs 20,000.
# - All that is given has shape (B,). Unequal shapes are refused, also those that would broadcast, and so is an empty batch.
#
# **By hand.** Chosen (2, 0), rejected (0, 1): the differences are 2 and −1, the losses 0.126928 and 1.313262, the mean 0.720095.
# The gradients with respect to chosen are $-(1-\sigma)/B$, so −0.059601 and −0.365529. With weights (3, 1) it is 0.423512.


# %% task="bradley_terry_loss" points=4 minutes=20
def bradley_terry_loss(
    chosen: Tensor, rejected: Tensor, weights: Tensor | None = None, margin: Tensor | None = None
) -> Tensor:
    """Minus the log-probability of the choices: a scalar.

    chosen, rejected: (B,) scores. weights: (B,), how much each pair counts; all the same if left out.
    margin: (B,), by how much the chosen one should lead; 0 if left out.
    Raises ValueError for shapes that differ and for an empty batch.

    Source: Christiano et al. 2017, section 2.2.3; Ouyang et al. 2022, equation 1; the margin: Touvron et al. 2023.
    """
    ### BEGIN SOLUTION
    for name, other in (("rejected", rejected), ("weights", weights), ("margin", margin)):
        if other is not None and other.shape != chosen.shape:
            raise ValueError(f"{name} has shape {tuple(other.shape)}, chosen {tuple(chosen.shape)}")
    if chosen.numel() == 0:
        raise ValueError("chosen is empty: there is no pair")
    lead = chosen - rejected  # (B,)
    if margin is not None:
        lead = lead - margin
    losses = -F.logsigmoid(lead)  # (B,)
    if weights is None:
        return losses.mean()
    w = weights.detach()
    return (w * losses).sum() / w.sum()
    ### END SOLUTION


# %% [markdown] hints="bradley_terry_loss"
# 1. Work out the example of the handout. Which sign has the difference when the choice was foreseen, and is the loss then small?
# 2. log(sigmoid(x)) first makes a zero and then takes its logarithm. torch has one function for both steps that never
#    leaves the range of floats. And compare shapes before you subtract: (B,) minus (B, 1) is no error in torch.
# 3. `lead = chosen - rejected`, minus `margin` if there is one; `losses = -F.logsigmoid(lead)`; then `losses.mean()`, or
#    with `w = weights.detach()`: `(w * losses).sum() / w.sum()`.

# %% tests="bradley_terry_loss"
import math

import pytest
import torch
from asks import (
    built_head,
    head_scores,
    loss_and_gradients,
    reading,
    train,
    train_twice,
    trained_weights,
)
from common import reviews
from common.preferences import RewardModel, ShippedHead, order_and_calibration
from common.tiny_lm import TinyLM, pretrained

from autograder.testing import graded_run, needs, task
from autograder.testing.readings import take_weights

F64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
BY_HAND = {"rtol": 0.0, "atol": 1e-6}  # numbers that were rounded to six digits


def f64(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


@task("bradley_terry_loss")
def test_two_pairs_by_hand(student):
    """Scores (2, 0) against (0, 1) cost 0.720095; with weights (3, 1) it is 0.423512."""
    chosen, rejected = f64(2, 0), f64(0, 1)
    student.bradley_terry_loss(chosen, rejected).equals(f64(0.720095)[0], **BY_HAND)
    student.bradley_terry_loss(chosen, rejected, weights=f64(3, 1)).equals(f64(0.423512)[0], **BY_HAND)


@task("bradley_terry_loss")
def test_gradients_by_hand(student):
    """The gradient for chosen is -(1 - sigma)/B, and for rejected the opposite."""
    answer = student.ask(loss_and_gradients, f64(2, 0), f64(0, 1), None, None)
    pull = f64(0.0596015, 0.3655293)
    answer.equals({"loss": f64(0.7200949)[0], "chosen": -pull, "rejected": pull}, **BY_HAND)


@task("bradley_terry_loss")
def test_a_margin_by_hand(student):
    """A lead of 2 where 3 was asked for is a lead of -1: it costs 1.313262."""
    student.bradley_terry_loss(f64(2), f64(0), margin=f64(3)).equals(f64(1.313262)[0], **BY_HAND)


@task("bradley_terry_loss")
@needs("test_two_pairs_by_hand")
def test_unequal_shapes_and_no_pairs_at_all(student):
    """Shapes that differ are refused, also where torch would broadcast them; and so is an empty batch."""
    student.bradley_terry_loss(f64(1, 2), f64(1)).refused()
    student.bradley_terry_loss(f64(1, 2), f64(1, 2)[:, None]).refused()
    student.bradley_terry_loss(f64(), f64()).refused()


@task("bradley_terry_loss")
def test_same_as_the_reward_trainer_of_trl(student):
    """The loss equals that of TRL's RewardTrainer, with a margin and without."""
    trl = pytest.importorskip("trl", reason="trl is not installed")
    if not trl.__version__.startswith("1."):
        pytest.skip(f"trl is {trl.__version__}; this was compared with 1.12")
    from collections import defaultdict
    from types import SimpleNamespace

    chosen, rejected, margin = f64(2, 0, -1.5), f64(0, 1, 3), f64(0.5, 1, 0)
    logits = torch.cat([chosen, rejected])[:, None]
    accelerator = SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=False), args=SimpleNamespace(center_rewards_coefficient=None),
        accelerator=accelerator, _metrics=defaultdict(lambda: defaultdict(list)), _total_train_tokens=0,
    )  # fmt: skip
    for inputs in ({}, {"margin": margin}):
        theirs = trl.RewardTrainer.compute_loss(trainer, lambda **_: SimpleNamespace(logits=logits), dict(inputs))
        student.bradley_terry_loss(chosen, rejected, **inputs).equals(theirs, **F64)


# %% [markdown] task="pair_weights"
# ## `pair_weights`: every prompt has one voice
#
# People rank several answers to one prompt, and a ranking of $K$ answers makes $K(K-1)/2$ pairs. Shuffled into one heap, such pairs are no
# longer independent, and a prompt with nine answers has 36 votes where another has one. InstructGPT gives each
# prompt the same weight. So do you: a pair counts 1 / (number of pairs of its prompt), and then all weights are scaled
# by one factor so that they sum to $B$, the number of pairs.
#
# The ids are any whole numbers: not sorted, not counted from 0. The answer is float32. An empty batch is refused.
#
# **By hand.** Prompts (7, 7, 3, 7): one over the count is (1/3, 1/3, 1, 1/3), which sums to 2, the number of prompts.
# Scaled to 4: (2/3, 2/3, 2, 2/3).


# %% task="pair_weights" points=2 minutes=10
def pair_weights(prompt_ids: Tensor) -> Tensor:
    """Weights by which every prompt counts the same: (B,) int64 -> (B,) float32, which sum to B.

    Source: Ouyang et al. 2022, section 3.5 and equation 1.
    """
    ### BEGIN SOLUTION
    if prompt_ids.numel() == 0:
        raise ValueError("prompt_ids is empty: there is no pair")
    _, place, counts = prompt_ids.unique(return_inverse=True, return_counts=True)  # place (B,), counts (prompts,)
    weights = 1.0 / counts[place].float()  # (B,)
    return weights * (len(prompt_ids) / len(counts))  # 1/count sums to the number of prompts
    ### END SOLUTION


# %% [markdown] hints="pair_weights"
# 1. What do the weights of one prompt's pairs sum to, before scaling? And what do all of them sum to?
# 2. `torch.unique` can say, for each entry, which of the different values it is, and how often each value occurs.
# 3. `_, place, counts = prompt_ids.unique(return_inverse=True, return_counts=True)`; then `1 / counts[place].float()`,
#    times B divided by the number of prompts.


# %% tests="pair_weights"
@task("pair_weights")
def test_weights_by_hand(student):
    """Prompts (7, 7, 3, 7) weigh 2/3, 2/3, 2 and 2/3."""
    truth = torch.tensor([2 / 3, 2 / 3, 2, 2 / 3])
    student.pair_weights(torch.tensor([7, 7, 3, 7])).equals(truth, rtol=1e-6)


@task("pair_weights")
def test_all_different_and_all_the_same(student):
    """Where no prompt has more pairs than another, every pair weighs 1."""
    student.pair_weights(torch.tensor([5, -2, 900])).equals(torch.ones(3), rtol=1e-6)
    student.pair_weights(torch.tensor([4, 4, 4, 4])).equals(torch.ones(4), rtol=1e-6)


@task("pair_weights")
@needs("test_weights_by_hand")
def test_no_pairs_have_no_weights(student):
    """An empty batch is refused."""
    student.pair_weights(torch.zeros(0, dtype=torch.int64)).refused()


# %% [markdown] task="segment_preference"
# ## `segment_preference`: a judge who errs
#
# In Christiano et al. (2017) people compared two clips of a robot's behaviour. A reward model gives every *step* of a clip a number; the clip's
# score is the **sum**. And people press the wrong button now and then, however clear the case: in a share `noise` of all
# answers a coin decides.
#
# $$ P(1 \succ 2) = (1 - \text{noise})\; \sigma\Big(\sum_t r^1_t - \sum_t r^2_t\Big) + \frac{\text{noise}}{2} $$
#
# So the chance never leaves [noise/2, 1 − noise/2], and one wrong answer costs at most $-\log(\text{noise}/2)$. The two clips may differ in
# length. `noise` outside of [0, 1] is refused, and so are unequal numbers of clips.
#
# **By hand.** Rewards (1, 1, 0) against (1): the sums are 2 and 1, $\sigma(1) = 0.731059$, and with noise 0.1 the chance is 0.9 · 0.731059 +
# 0.05 = 0.707953.


# %% task="segment_preference" points=2 minutes=10
def segment_preference(r1: Tensor, r2: Tensor, noise: float = 0.1) -> Tensor:
    """The chance that each first segment is preferred to the second: (B, T1), (B, T2) -> (B,).

    noise: the share of answers that a coin decides, in [0, 1].
    Raises ValueError for a noise outside of it and for unequal numbers of segments.

    Source: Christiano et al. 2017, section 2.2.3.
    """
    ### BEGIN SOLUTION
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is a share, from 0 to 1, not {noise}")
    if len(r1) != len(r2):
        raise ValueError(f"r1 has {len(r1)} segments, r2 {len(r2)}")
    sure = torch.sigmoid(r1.sum(dim=1) - r2.sum(dim=1))  # (B,)
    return (1 - noise) * sure + noise / 2
    ### END SOLUTION


# %% [markdown] hints="segment_preference"
# 1. Which chance comes out for two equal segments, at noise 0, at 0.1 and at 1?
# 2. Each of the two segments is summed over its own steps first, so their lengths need not agree. A coin has two sides: noise/2 for each.
# 3. `sure = torch.sigmoid(r1.sum(1) - r2.sum(1))`, and the answer is `(1 - noise) * sure + noise / 2`.


# %% tests="segment_preference"
@task("segment_preference")
def test_segments_by_hand(student):
    """Rewards (1, 1, 0) beat the reward 1 with chance 0.707953, at the default noise of 0.1."""
    student.segment_preference(f64(1, 1, 0)[None], f64(1)[None]).equals(f64(0.707953), **BY_HAND)


@task("segment_preference")
def test_a_tie_and_a_coin(student):
    """Equal sums have chance one half at any noise; at noise 1 everything has."""
    one, other = f64(1, 2, -1)[None], f64(0.5, 1.5)[None]
    student.segment_preference(one, other, noise=0.3).equals(f64(0.5), **F64)
    student.segment_preference(one + 5, other, noise=1.0).equals(f64(0.5), **F64)


@task("segment_preference")
@needs("test_segments_by_hand")
def test_impossible_noise(student):
    """Noise below 0 or above 1 is refused, and so are unequal numbers of segments."""
    one = f64(1, 2)[None]
    student.segment_preference(one, one, noise=-0.1).refused()
    student.segment_preference(one, one, noise=1.5).refused()
    student.segment_preference(one, one.repeat(2, 1)).refused()


# %% [markdown] task="RewardHead"
# ## `RewardHead`: where the score is read
#
# A language model knows something at each token: `hidden` (B, T, D). The head makes one number of it, with a linear layer `score` without bias (a bias
# would cancel in every difference). But at which token? In a causal model only the **last real token** has seen the whole text and
# nothing else. Rows end in different places, and begin in different places: prompts are padded on the left, answers on the
# right. Only the mask knows, so your head sees no tokens at all.
#
# - `score = nn.Linear(d_model, 1, bias=False)`, its weights drawn from a normal distribution with mean 0 and standard deviation
#   $1/\sqrt{d_\text{model} + 1}$: first scores are then of size one.
# - `forward(hidden, mask)`: (B, T, D), (B, T) bool → (B,), the score at the last True of each row.
# - A row without any True is refused, and so is a mask of another shape.
#
# **By hand.** Masks (False, True, True, False) and (True, True, True, True): read at column 2 and at column 3. Counting the True
# ones would give 1 for the first row.


# %% task="RewardHead" points=4 minutes=25
class RewardHead(nn.Module):
    """One score for each text, read at its last real token: (B, T, D), (B, T) -> (B,).

    Source: Ziegler et al. 2019, section 2.1; the initial weights: Stiennon et al. 2020, appendix B.
    """

    def __init__(self, d_model: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.score = nn.Linear(d_model, 1, bias=False)
        nn.init.normal_(self.score.weight, std=(d_model + 1) ** -0.5)
        ### END SOLUTION

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """hidden: (B, T, D). mask: (B, T) bool, True = real. Raises ValueError where a row has no real token."""
        ### BEGIN SOLUTION
        B, T, _ = hidden.shape
        if mask.shape != (B, T):
            raise ValueError(f"mask has shape {tuple(mask.shape)}, hidden {tuple(hidden.shape)}")
        if not mask.any(dim=1).all():
            raise ValueError("mask: a row has no real token")
        places = torch.arange(T, device=mask.device)  # (T,)
        last = torch.where(mask, places, -1).max(dim=1).values  # (B,)
        return self.score(hidden[torch.arange(B, device=mask.device), last])[:, 0]  # (B, D) -> (B, 1) -> (B,)
        ### END SOLUTION


# %% [markdown] hints="RewardHead"
# 1. Draw a batch of three rows: one padded on the left, one on the right, one on both sides. Mark in each the token that has seen all of the text
#    and nothing after it.
# 2. A True is the last one if no True comes after it. Replace False by something smaller than any column number and take the
#    largest; or turn the mask round and look for the first True.
# 3. `last = torch.where(mask, torch.arange(T), -1).max(1).values`, then `hidden[torch.arange(B), last]` is (B, D), and
#    `self.score(...)[:, 0]` is (B,). For the weights: `nn.init.normal_(self.score.weight, std=(d_model + 1) ** -0.5)`.


# %% tests="RewardHead"
def column_numbers(B, T, D=3):
    """Hidden states of which feature 0 is the column's number, feature 1 the row's."""
    hidden = torch.zeros(B, T, D, dtype=torch.float64)
    hidden[..., 0] = torch.arange(T, dtype=torch.float64)
    hidden[..., 1] = torch.arange(B, dtype=torch.float64)[:, None]
    return hidden


@task("RewardHead")
def test_the_column_that_is_read(student):
    """The masks of the handout are read at columns 2 and 3."""
    mask = torch.tensor([[False, True, True, False], [True, True, True, True]])
    student.ask(head_scores, f64(1, 10, 0)[None], column_numbers(2, 4), mask).equals(f64(2, 13), **F64)


@task("RewardHead")
def test_one_score_for_one_text(student):
    """A text has one score, without padding and with it, on either side."""
    text = torch.randn(1, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    junk = torch.full((1, 2, 5), 50.0, dtype=torch.float64)
    hidden = torch.cat(
        [torch.cat([junk, text, junk], 1), torch.cat([text, junk, junk], 1), torch.cat([junk, junk, text], 1)]
    )
    mask = torch.zeros(3, 7, dtype=torch.bool)
    mask[0, 2:5] = mask[1, :3] = mask[2, 4:] = True
    weight = f64(1, -2, 0.5, 3, -1)[None]
    truth = text[0, 2] @ weight[0]
    student.ask(head_scores, weight, hidden, mask).equals(truth.repeat(3), **F64)


@task("RewardHead")
@needs("test_the_column_that_is_read")
def test_a_row_of_padding(student):
    """A row without a real token is refused, and so is a mask of another shape."""
    mask = torch.tensor([[True, False], [False, False]])
    student.ask(head_scores, f64(1, 1, 0)[None], column_numbers(2, 2), mask).refused()
    student.ask(head_scores, f64(1, 1, 0)[None], column_numbers(2, 2), mask[:1]).refused()


@task("RewardHead")
@needs("test_the_column_that_is_read")
def test_what_a_fresh_head_is_made_of(student):
    """One layer, `score`, without a bias, and its weights are of size one over the root of d_model + 1."""
    weights = student.ask(built_head, 3000, 0).value
    assert list(weights) == ["score.weight"], "The head should hold score.weight and nothing else."
    assert weights["score.weight"].shape == (1, 3000), "The weights should have shape (1, d_model)."
    spread = weights["score.weight"].std().item() * math.sqrt(3001)
    assert 0.9 < spread < 1.1, "The spread of the weights is not that of the handout."  # 3,000 draws: 1.3% of error


@task("RewardHead")
def test_same_as_a_sequence_classifier(student):
    """The score is the one that a sequence classifier of the transformers library reads, padded on the right or left."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.LlamaConfig(
        vocab_size=20, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, num_labels=1, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    classifier = transformers.LlamaForSequenceClassification(config).eval()
    tokens = torch.tensor([[5, 6, 7, 8, 0, 0], [9, 3, 4, 5, 6, 7], [0, 0, 0, 7, 7, 2]])
    mask = tokens != 0
    with torch.no_grad():
        hidden = classifier.model(tokens, attention_mask=mask.long()).last_hidden_state
        theirs = classifier(tokens, attention_mask=mask.long()).logits[:, 0]
    # float32, a sum of eight products
    student.ask(head_scores, classifier.score.weight.detach(), hidden, mask).equals(theirs, rtol=1e-5, atol=1e-6)


# %% [markdown] task="normalize_rewards"
# ## `normalize_rewards`: a zero and a unit
#
# Only differences were ever learnt, so the zero of a reward model means nothing. Before it is used, its rewards are shifted and scaled, so that a fixed set
# of texts, the `reference`, has mean 0 and standard deviation 1 (in Ziegler et al., answers of the untrained policy):
#
# $$ \frac{r - \text{mean(reference)}}{\text{std(reference)} + \varepsilon} $$
#
# - Left out, the reference is `rewards` itself.
# - The standard deviation has ddof 1: divide by $M - 1$, as torch does.
# - A reference without spread (one element, or all of them equal) gives no unit: then only centre, and do not divide. Equal rewards
#   minus their own mean are then **exactly** 0, so do not let a rounded mean in.
# - Empty tensors, and rewards that are infinite or NaN, are refused.
#
# **By hand.** Rewards (1, 2, 6): mean 3, variance (4 + 1 + 9)/2 = 7, so (−0.755929, −0.377964, 1.133893).


# %% task="normalize_rewards" points=2 minutes=15
def normalize_rewards(rewards: Tensor, reference: Tensor | None = None, eps: float = 1e-8) -> Tensor:
    """Rewards (N,) on a scale on which reference (M,) has mean 0 and standard deviation 1.

    reference: `rewards` if left out. One without spread only centres.
    Raises ValueError for empty tensors and for numbers that are not finite.

    Source: Ziegler et al. 2019, section 2.1.
    """
    ### BEGIN SOLUTION
    reference = rewards if reference is None else reference
    for name, given in (("rewards", rewards), ("reference", reference)):
        if given.numel() == 0:
            raise ValueError(f"{name} is empty")
        if not given.isfinite().all():
            raise ValueError(f"{name} holds a number that is not finite")
    if reference.max() == reference.min():
        return rewards - reference[0]  # not its mean: that may be off by rounding
    return (rewards - reference.mean()) / (reference.std() + eps)  # ddof 1
    ### END SOLUTION


# %% [markdown] hints="normalize_rewards"
# 1. Which three numbers does the example need? And what would the formula give for a reference of 0.7, 0.7, 0.7?
# 2. Ask for spread first: is the largest of the reference equal to the smallest? Then there is nothing to divide by, and any element *is* the mean.
# 3. Refuse; then `if reference.max() == reference.min(): return rewards - reference[0]`; else
#    `(rewards - reference.mean()) / (reference.std() + eps)`.


# %% tests="normalize_rewards"
@task("normalize_rewards")
def test_three_rewards_by_hand(student):
    """Rewards (1, 2, 6) become (-0.755929, -0.377964, 1.133893)."""
    student.normalize_rewards(f64(1, 2, 6)).equals(f64(-0.755929, -0.377964, 1.133893), **BY_HAND)


@task("normalize_rewards")
def test_a_reference_sets_the_scale(student):
    """With reference (1, 2, 6), a reward of 3 is 0, and one of 10 is 2.645751."""
    student.normalize_rewards(f64(3, 10), f64(1, 2, 6)).equals(f64(0, 2.645751), **BY_HAND)


@task("normalize_rewards")
@needs("test_three_rewards_by_hand")
def test_no_spread_no_division(student):
    """Equal rewards become exactly 0; a reference without spread only centres."""
    student.normalize_rewards(torch.full((8,), 0.7)).equals(torch.zeros(8))
    student.normalize_rewards(f64(3, 10), f64(2)).equals(f64(1, 8), **F64)


@task("normalize_rewards")
@needs("test_three_rewards_by_hand")
def test_nothing_and_infinity(student):
    """Empty tensors and numbers that are not finite are refused."""
    student.normalize_rewards(f64()).refused()
    student.normalize_rewards(f64(1, 2), f64()).refused()
    student.normalize_rewards(f64(1, math.nan)).refused()
    student.normalize_rewards(f64(1, 2), f64(1, math.inf)).refused()


# %% [markdown] task="train_reward_model"
# ## `train_reward_model`: all of it, on a language model
#
# You are given a language model that writes reviews, and pairs of whole reviews (a prompt with its answer), each with the mask that says
# what is real. Put your `RewardHead` on the model, and train **both**: `RewardModel(lm, RewardHead(...))`, the width is
# `lm.config["d_model"]`. The model is yours: train it as it is, or a copy.
#
# - `steps` optimiser steps, each on **64 pairs** drawn at random, with replacement: no more text than that is read with gradients.
# - The loss is yours, with the `pair_weights` of the **whole** set: weights counted inside a batch would know nothing of the others.
# - `seed` fixes all that is drawn: two calls with one seed, one model and one set of data give the same scores, whatever was drawn before.
# - Masks are to be believed. A token that is real may have the number of padding, and the model has to read it.
# - The model comes back in eval mode.
#
# **What is known to work**: AdamW, peak learning rate 1e-3, a warm-up of thirty steps, a straight line to zero over the last third, and the gradient's norm limited to 1.
#
# **What is graded.** What your training reads; that a seed fixes it. Then a world of four reviews, in which prompts have unequal numbers
# of pairs and the judge is not of one mind: the chances that your scores give have to be the true ones. And then the real one: 4,000 pairs whose judge chooses by
# Bradley-Terry on the true scores, so about one label in five is wrong; 300 steps. The grader takes your weights into a model of its own and
# asks it about 1,000 fresh pairs: **at least 85%** in the order of the true scores, and a calibration error of **at most 0.10**:
# the pairs are sorted into ten bins by the chance $\sigma(r_a - r_b)$ that the model gives, and in each bin its mean is compared with
# the mean of the true chances. The report also says how many *noisy* labels the true scores themselves foresee: nobody can do better than that.


# %% task="train_reward_model" points=6 minutes=40 needs="bradley_terry_loss, pair_weights, RewardHead"
def train_reward_model(
    lm: TinyLM,
    chosen: Tensor,
    chosen_mask: Tensor,
    rejected: Tensor,
    rejected_mask: Tensor,
    prompt_ids: Tensor,
    steps: int,
    seed: int,
) -> RewardModel:
    """A reward model, trained on pairs of texts.

    lm: a language model, which is trained along. chosen, rejected: (N, T) tokens, each row a prompt and its answer, and
    their masks (N, T), True = real. prompt_ids: (N,), which prompt each pair answers.
    steps: optimiser steps, each on 64 pairs. seed: fixes all that is drawn.
    Returns the model in eval mode.

    Source: Ouyang et al. 2022, section 3.5.
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # the head's first weights, and dropout if the model has any
    model = RewardModel(lm, RewardHead(lm.config["d_model"])).train()
    weights = pair_weights(prompt_ids)  # (N,)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-3 * min((step + 1) / 30, 1.0, 3 * (steps - step) / steps)
        rows = torch.randint(len(chosen), (64,), generator=generator)  # (64,)
        won = model(chosen[rows], chosen_mask[rows])  # (64,)
        lost = model(rejected[rows], rejected_mask[rows])  # (64,)
        loss = bradley_terry_loss(won, lost, weights=weights[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()
    ### END SOLUTION


# %% [markdown] hints="train_reward_model"
# 1. Which lines happen once, and which at every step? Of the data, what do the two calls of the model need, and what does the loss?
# 2. If no pair is ordered better than by a coin, look at what differs between the two texts of a pair, and whether your score can
#    have seen it. If the chances are too sure or too shy, ask which loss has a floor.
# 3. Seed; `RewardModel(lm, RewardHead(lm.config["d_model"])).train()`; `pair_weights(prompt_ids)`; AdamW over `model.parameters()`.
#    In each step: 64 row numbers from a generator, the model on `chosen[rows]` with its mask and on `rejected[rows]` with its own, `bradley_terry_loss` with
#    `weights[rows]`, `zero_grad`, `backward`, `clip_grad_norm_`, `step`. At the end `model.eval()`.

# %% tests="train_reward_model"
LINES = (
    "<bos> the room was warm . <eos>",
    "<bos> honestly the room was dull . <eos>",
    "<bos> our food was very clean . <eos>",
    "<bos> our food was noisy . <eos>",
)


def small_world():
    """150 pairs of four reviews: four prompts that disagree about two of them, in unequal numbers, and a fifth."""
    tokens = torch.zeros(4, 12, dtype=torch.int64)
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
@graded_run(cpu_seconds=60)
def test_practice_in_a_world_of_four_reviews(student, run):
    """Where prompts weigh the same, the chances that the scores give are the true ones: 3/4 for each pair of reviews."""
    tokens, mask, given = small_world()
    base = pretrained("reviews_base")
    student.ask(train, base.config, base.state_dict(), *given, 150, run.seed)
    with torch.no_grad():
        r = grown(base, student.ask(trained_weights).value)(tokens, mask)
    chances = torch.sigmoid(torch.stack([r[1] - r[0], r[2] - r[3]]))
    run.tells("chance of the preferred review", chances.tolist(), [0.75, 0.75], atol=0.12)


@task("train_reward_model")
@graded_run(cpu_seconds=100)
def test_practice_orders_fresh_pairs(student, run):
    """After 300 steps at least 85% of fresh pairs are in the true order, and the calibration error is at most 0.10."""
    generator = torch.Generator().manual_seed(run.seed)
    base = pretrained("reviews_base")
    pairs = reviews.judged_pairs(4000, generator)
    given = (*reviews.whole(pairs, "chosen"), *reviews.whole(pairs, "rejected"), pairs["numbers"])
    student.ask(train, base.config, base.state_dict(), *given, 300, run.seed)
    model = grown(base, student.ask(trained_weights).value)
    fresh = reviews.unjudged_pairs(1000, generator)
    with torch.no_grad():
        chances = torch.sigmoid(model(*reviews.whole(fresh, "a")) - model(*reviews.whole(fresh, "b")))
    order, error = order_and_calibration(chances, fresh["gap"])
    run.reaches("share of fresh pairs in the true order", order, at_least=0.85)
    run.reaches("calibration error", error, at_most=0.10)


@task("train_reward_model")
@graded_run(cpu_seconds=30)
def test_one_seed_one_reward_model(student, run):
    """Two trainings with one seed give the same scores; the model comes back in eval mode."""
    *_, given = small_world()
    config = {"vocab_size": 25, "d_model": 16, "n_layers": 1, "n_heads": 2}
    found = student.ask(train_twice, config, *given, 3, [5, 5, 6]).value
    assert torch.equal(found["scores"][0], found["scores"][1]), "One seed gave two models."
    assert not torch.equal(found["scores"][0], found["scores"][2]), "Two seeds gave one model."
    assert not any(found["training"]), "The model should come back in eval mode."


@task("train_reward_model")
@graded_run(cpu_seconds=30)
def test_whole_texts_are_read(student, run):
    """The model reads whole texts as their masks say, 64 pairs a step, also where a real token has padding's number."""
    *_, given = small_world()
    for i in (0, 2):  # now the end has the number of padding
        given[i] = given[i].masked_fill(given[i] == reviews.EOS, reviews.PAD)
    found = student.ask(reading, *given, 3, run.seed).value
    assert found["read"] == 3 * 2 * 64, "Three steps of 64 pairs read 384 texts."
    assert found["others"] == 0, "Something else than the given texts was read: believe the masks."
