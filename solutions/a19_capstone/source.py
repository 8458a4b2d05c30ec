# %% [markdown] assignment="a19_capstone" title="Capstone: an agent that learns to add" module="agent" requires="torch, torch._dynamo, matplotlib.pyplot, common.tiny_lm, common.sums, common.preferences" summary="From an empty file to a language model that learns to add: a warm start that stops in time, GRPO and PPO under one budget, a measurement, and a report." forbidden="trl, peft, bitsandbytes, unsloth, common.capstone, common.sums.answers, common.sums.demonstrations, common.sums.exact, common.sums.split, common.sums.sample_problems, common.tiny_lm.pretrained, common.tiny_lm.load_weights"
# # Capstone: an agent that learns to add
#
# Everything comes together here: a transformer, a supervised start, two algorithms that learn from a reward, a measurement that
# cannot be flattered, and a report that you would show to others. The file is empty but for five signatures and what they promise. How
# you keep your promises is your own affair: no test looks at your helper functions, and most choices of a recipe are yours.
#
# The task is small enough for a laptop's processor, and it has all the parts of the large one. A language model of some 100,000 weights reads
# `37+58=` and has to write `095.`. First it sees examples, until it is right now and then. From there on nobody shows it an answer:
# it tries, and hears yes or no. At the end it is right about nine of ten sums *that neither half of its training has ever contained*.
#
# You write six functions, in this order:
#
# 1. `build_model`: a model that is large enough, and not too large
# 2. `warm_start`: supervised, and stopped in time
# 3. `evaluate`: how good is it, does it end, how sure is it?
# 4. `improve_grpo`: groups of answers
# 5. `improve_ppo`: a critic, under the same budget
# 6. `write_report`: figures with their numbers
#
# **You need** [a small GPT](../../docs/learn/a04_char_gpt.md) for the training loop, [RLHF with PPO](../../docs/learn/a10_rlhf_ppo.md) and [GRPO](../../docs/learn/a13_grpo.md) for the algorithms, and
# [PPO against GRPO](../../docs/learn/a14_ppo_vs_grpo.md) for the comparison. Look into your own solutions: they are meant to be used again. The
# [reading page](../../docs/learn/a19_capstone.md) says what mattered in our recipe and by how much, and the [plan](../../docs/learn/capstone-plan.md) lays the work out over four weeks.
#
# ```
# autograder check a19                    # all tasks: what holds, what to mend first
# autograder check a19.improve_grpo       # one task
# autograder hint a19.improve_grpo        # the next of its three hints
# ```
#
# When all of it holds, this trains your agent on three seeds, by both algorithms, and writes `report.html` and `report.md` around your own figures (some fifteen minutes):
#
# ```
# cd assignments && python -m common.capstone a19_capstone/agent.py --out ../capstone
# ```
#
# ## What is given
#
# In `assignments/common/`, to be read: `tiny_lm.py` has `TinyLM`, the class of the model: `model(tokens, mask)` takes tokens (B, T), int64, and gives logits (B, T, V); without a mask, all tokens are
# real. `preferences.py` has `generate`, a plain sampler. `sums.py` has the language: fourteen characters, `.` ends an answer (`EOS`), `_` is padding (`PAD`), a
# prompt has `PROMPT` = 6 tokens and a right answer `ANSWER` = 4, the end among them. `encode` and `decode` turn text into ids and back.
#
# Problems, right answers and rewards are not yours to make: they come from functions that you are given, and these count.
#
# | what you are given | what it does | how often |
# |---|---|---|
# | `demonstrations(n)` | draws n sums with their answers: tokens (n, 10), int64, and a bool mask (n, 9) | `steps` × 256 rows in all |
# | `problems(n)` | draws n prompts: tokens (n, 6) | as often as you like |
# | `reward_fn(prompts, completions, mask)` | pays 1.0 for the right sum *and its end*, else 0.0: prompts (M, 6), completions (M, R) and their bool mask (M, R), row by row; rewards (M,) | `iterations` × 1,024 completions in all |
#
# None of them ever shows a held-out problem: those are a tenth of the *unordered* pairs, so that $a + b$ is never held out where $b + a$ is not.
#
# ## Convention card
#
# | question | our answer | who differs |
# |---|---|---|
# | which class may the model have? | `TinyLM` itself; only sizes are yours. Weights come back, by name and shape, and nothing else | |
# | what does `mask[:, t]` of a demonstration say? | `tokens[:, t + 1]` is to be learnt | a mask as wide as the tokens |
# | the first end of a completion | is part of it: in the mask, in the loss; nothing after it is | |
# | how long may a completion be? | 8 tokens at most; a right one has 4 | |
# | may `PAD` be written? | never: its logit is $-\infty$ wherever something is drawn or measured | |
# | greedy or drawn? | answers that teach are **drawn** at temperature 1; answers that are measured are **greedy** | |
# | exact | the right sum with three digits and its end, nothing else: `095.` | a number found somewhere |
# | entropy | nats a token, at temperature 1, over all that can be written | bits, or nats an answer |
# | budget | **completions** | rounds, optimiser steps |
# | standard deviation | ddof 1 | numpy: 0 |
# | mode | what you return is in eval mode; what you measure keeps the mode it had | |
# | chance | `seed` fixes all of it, whatever was drawn elsewhere before | |
# | bad input | is refused: raise `ValueError` and say what is wrong | |
#
# ## What you may not use, and why
#
# `trl`, `peft`, `bitsandbytes`, `unsloth`: this is what they do inside. From `common.sums` the right answers, the demonstrations and the split; from `common.tiny_lm` trained weights: your agent lives on what the three
# functions above give it. In the grading the digits are renamed, so that a program that can add is of no use; and the improvement starts from the grader's own warm start, so that one which was
# trained to the end and then spoilt is of none either.

# %%
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from common.preferences import generate
from common.sums import ANSWER, EOS, PAD, decode
from common.tiny_lm import TinyLM
from torch import Tensor

Demonstrations = Callable[[int], tuple[Tensor, Tensor]]
"""n -> tokens (n, 10), mask (n, 9): True where the next token is to be learnt."""
Problems = Callable[[int], Tensor]
"""n -> prompts (n, 6)."""
RewardFn = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(prompts (M, 6), completions (M, R), mask (M, R)) -> rewards (M,)."""

# %% [markdown] task="build_model"
# ## `build_model`: large enough, and not too large
#
# Return a fresh `TinyLM` for a language of `vocab_size` characters. You choose width, layers, heads and context, within these limits:
#
# - at most **250,000** weights in all (count them: `sum(p.numel() for p in model.parameters())`);
# - a context of at least 14 tokens, for a prompt of 6 and a completion of 8, and of at most 32;
# - no dropout: the same tokens have to have the same probability when they are drawn and when they are learnt from.
#
# Refused: a `vocab_size` below 1.


# %% task="build_model" points=1 minutes=10
def build_model(vocab_size: int) -> TinyLM:
    """A fresh TinyLM of at most 250,000 weights, with a context of 14 to 32 tokens and no dropout.

    Raises ValueError for vocab_size < 1.
    """
    ### BEGIN SOLUTION
    if vocab_size < 1:
        raise ValueError(f"vocab_size={vocab_size} should be at least 1")
    return TinyLM(vocab_size, d_model=64, n_layers=2, n_heads=4, context=32)
    ### END SOLUTION


# %% [markdown] hints="build_model"
# 1. Where are the weights of a transformer? Which of its sizes counts squared?
# 2. A layer of width D has about $12 D^2$ weights. With D = 64 that is 49,000, so there is room for a few.
# 3. `TinyLM(vocab_size, d_model=64, n_layers=2, n_heads=4, context=32)` has 104,000.

# %% tests="build_model"
import json

import matplotlib.image
import torch
from asks import built, improved, measured, reported, tiny_of, trained_weights, warmed
from common import sums
from common.preferences import generate
from common.tiny_lm import TinyLM, pretrained

from autograder.testing import Counted, graded_run, needs, task
from autograder.testing.readings import take_weights


@task("build_model")
def test_sizes_within_the_limits(student):
    """A TinyLM of the asked vocabulary: at most 250,000 weights, a context of 14 to 32, no dropout."""
    found = student.ask(built, 14).value
    assert found["class"] == "TinyLM", "The model should be a TinyLM."
    assert found["config"]["vocab_size"] == 14, "The model should know the characters that were asked for."
    assert found["weights"] <= 250_000, f"{found['weights']:,} weights are more than 250,000."
    assert 14 <= found["config"]["context"] <= 32, "The context should be 14 to 32 tokens."
    assert found["config"]["dropout"] == 0, "There should be no dropout."


# %% [markdown] task="warm_start"
# ## `warm_start`: supervised, and stopped in time
#
# Reinforcement needs something to reinforce. A fresh model writes noise, is never right, and so never paid: each group of answers fails as one, and there is nothing to compare. So show it sums with their
# answers first. But not too many: a model that is right about everything has no more to learn from being paid either. **Between 25% and 60% of the held-out sums, read off greedily, should be exact when you stop.**
#
# - `demonstrations(n)` gives tokens (n, 10), such as `37+58=095.`, and a mask (n, 9). `mask[:, t]` is True where `tokens[:, t + 1]` is to be learnt, which is where the answer is. Nothing else is: a question cannot be
#   predicted, and trying costs strength.
# - You may ask for `steps` × 256 rows **in all**; the row after that is refused with an error. In which portions you ask is up to you.
# - Return the model, in eval mode. What you get may be trained in place.
#
# **When to stop?** Learning to add is no even climb: for hundreds of steps next to nothing is right, and then, within a few dozen, almost everything is. On which step that happens depends on the seed: for ours on any from 260 to
# 570, so no fixed number of steps hits the band on every seed. Look while you train. You need no held-out sums for it, which you do not have: a portion that you have not yet learnt from is as good as unseen. And you need not generate: a greedy
# answer is exact if and only if the likeliest token is right at each of its places, given the right ones before.
#
# **What is graded**: `steps` = 500 with your own `build_model`, digits renamed; the grader reads your weights into its own model and decodes all held-out sums, about 1,000. A run that misses the band is tried on two more seeds, and two of three decide. Our
# solution takes about ten CPU-seconds; 120 are allowed.


# %% task="warm_start" points=4 minutes=60 needs="build_model"
def warm_start(model: TinyLM, demonstrations: Demonstrations, steps: int, seed: int) -> TinyLM:
    """Supervised learning on demonstrations, until some of the answers are right: 25% to 60% of those held out.

    demonstrations: n -> tokens (n, 10) int64, mask (n, 9) bool, steps * 256 rows in all.
    Returns the trained model, in eval mode. seed fixes all chance.
    """
    ### BEGIN SOLUTION
    batch, enough = 64, 0.40  # small portions: more steps for the same rows, and many looks
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    shares: list[float] = []
    for step in range(steps * 256 // batch):
        tokens, mask = demonstrations(batch)  # (n, 10), (n, 9)
        logits, targets = model(tokens)[:, :-1], tokens[:, 1:]  # (n, 9, V), (n, 9)
        right = (logits.argmax(dim=-1) == targets) | ~mask  # (n, 9)
        shares.append(right.all(dim=1).float().mean().item())  # of rows that nothing was learnt from yet
        if len(shares) >= 4 and sum(shares[-4:]) / 4 >= enough:
            break
        loss = F.cross_entropy(logits[mask], targets[mask])
        optimizer.param_groups[0]["lr"] = 1e-3 * min((step + 1) / 50, 1.0)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()
    ### END SOLUTION


# %% [markdown] hints="warm_start"
# 1. Plot the share of exact answers in each fresh portion against steps. How many steps lie between 10% and 90%, and how does that compare with where it begins on another seed?
# 2. Let the data say when to stop: before you learn from a portion, count the rows in which the likeliest token is right wherever the mask is True. Average over a few portions (256 rows or so), and stop when it passes the
#    middle of the band. Small portions give you many steps for your rows.
# 3. `logits, targets = model(tokens)[:, :-1], tokens[:, 1:]`; `right = ((logits.argmax(-1) == targets) | ~mask).all(1).float().mean()`; stop at 0.4 over the last four portions of 64; else a step of AdamW (1e-3, warmed up over 50 steps) on
#    `F.cross_entropy(logits[mask], targets[mask])`.

# %% tests="warm_start"


class Rows:
    """Demonstrations that are counted: rows, not calls."""

    def __init__(self, budget, seed):
        self.left, self.generator = budget, torch.Generator().manual_seed(seed)

    def __call__(self, n):
        self.left -= n
        if self.left < 0:
            raise ValueError("the demonstrations are spent")
        return sums.demonstrations(sums.sample_problems(n, self.generator))


def share_of_exact(model):
    """Of the held-out sums, read off greedily."""
    held_out = sums.split()[1]
    asked = sums.prompts(held_out)
    everything = torch.ones_like(asked, dtype=torch.bool)
    written, _ = generate(model.eval(), asked, everything, 8, sums.EOS, sums.PAD, temperature=0)
    return sums.exact(held_out, written).float().mean().item()


@task("warm_start")
@graded_run(cpu_seconds=120)
def test_practice_between_the_limits(student, run):
    """Practice: after a warm start on at most 128,000 rows, 25% to 60% of the held-out sums are exact."""
    config = student.ask(warmed, 14, Counted(Rows(128_000, run.seed), 128_000), 500, run.seed).value
    model = TinyLM(**config)
    take_weights(model, student.ask(trained_weights).value)
    share = share_of_exact(model)
    run.reaches("share of exact held-out sums", share, at_most=0.6)
    run.reaches("share of exact held-out sums", share, at_least=0.25)


@task("warm_start")
@needs("test_practice_between_the_limits")
def test_more_rows_than_there_are(student):
    """With steps=2 no more than 512 rows are asked for."""
    rows = Rows(512, 0)
    student.ask(warmed, 14, Counted(rows, 513), 2, 0)
    assert rows.left < 512, "No demonstration was asked for."


# %% [markdown] task="evaluate"
# ## `evaluate`: how good is it, does it end, how sure is it?
#
# Let the model answer each prompt **greedily**, in at most `max_new_tokens` tokens, and return a dictionary of three floats:
#
# - `"exact"`: the share of answers that are the right number with three digits, then the end, and nothing else: `095.` for 95. Without the end an answer is not exact, however right its digits are.
# - `"ended"`: the share of answers in which the end was written.
# - `"entropy"`: the mean of $-\sum_v p_v \ln p_v$ over **all tokens that were written**, the first end included, where $p$ is what the model says at temperature 1 at that place, over everything that can be written (`PAD` cannot).
#
# The model keeps its mode, and dropout must not be in play. Refused: a number of answers other than that of prompts, and none at all.
#
# **By hand.** A model that always writes `0`, `9`, `5`, `.` and is certain: exact is 1 for an answer of 95 and 0 for 59; ended is 1; entropy 0. If it is certain of `0`, `9`, `5` but torn evenly between the two tokens `.` and `5` at the fourth place, one token of four has an entropy of $\ln 2$: $0.1733$ nats a token.


# %% task="evaluate" points=3 minutes=40
def evaluate(model: TinyLM, prompts: Tensor, answers: list[int], max_new_tokens: int = 8) -> dict[str, float]:
    """What greedy answers are worth: {"exact", "ended", "entropy" (nats a token)}.

    prompts: (N, P) int64, without padding. answers: N numbers from 0 to 999. The model's mode is left as it was.
    Raises ValueError if there are no prompts, or not as many answers.
    """
    ### BEGIN SOLUTION
    if len(prompts) == 0 or len(prompts) != len(answers):
        raise ValueError(f"{len(prompts)} prompts and {len(answers)} answers: at least one, and as many of each")
    P, mode = prompts.shape[1], model.training
    everything = torch.ones_like(prompts, dtype=torch.bool)
    model.eval()
    written, mask = generate(model, prompts, everything, max_new_tokens, EOS, PAD, temperature=0)  # (N, R) each
    with torch.no_grad():
        logits = model(torch.cat([prompts, written], dim=1))[:, P - 1 : -1]  # (N, R, V)
        logits[:, :, PAD] = -1e9
        logp = logits.log_softmax(dim=-1)  # (N, R, V)
    model.train(mode)
    entropy = -(logp.exp() * logp).sum(dim=-1)  # (N, R)
    exact = [decode(row) == f"{answer:03d}." for row, answer in zip(written, answers, strict=True)]
    return {
        "exact": sum(exact) / len(exact),
        "ended": (written == EOS).any(dim=1).float().mean().item(),
        "entropy": entropy[mask].mean().item(),
    }
    ### END SOLUTION


# %% [markdown] hints="evaluate"
# 1. Which tokens of a row were written, and which only fill it up? Which of the three numbers would notice?
# 2. `generate` with `temperature=0` gives completions and their mask. Then one more forward pass over prompt and completion: column `P - 1 + t` of the logits speaks of token t of the completion.
# 3. `logits = model(torch.cat([prompts, written], 1))[:, P - 1 : -1]`, `PAD` to $-10^9$ (with $-\infty$ you would get $0 \cdot \infty$), `log_softmax`, and the mean of `-(logp.exp() * logp).sum(-1)` where the mask is True. Exact: `decode(row) == f"{answer:03d}."`.

# %% tests="evaluate"


def says(*texts):
    """Logits by place (9, V): at place 5 + t of the row each character of texts[t] is equally likely, and nothing else is."""
    table = torch.full((16, 14), -50.0)
    for t, characters in enumerate(texts):
        for character in characters:
            table[5 + t, sums.ID[character]] = 50.0
    return table


@task("evaluate")
def test_a_certain_model(student):
    """A model that always writes 095. is right about 37 + 58, and wrong about 25 + 34."""
    prompts = sums.prompts(torch.tensor([[37, 58], [25, 34]]))
    found = student.ask(measured, says(*"095."), prompts, [95, 59], 8).value
    assert abs(found["exact"] - 0.5) < 1e-6, "One of two answers is exact."
    assert abs(found["ended"] - 1) < 1e-6, "Both answers end."
    assert abs(found["entropy"]) < 1e-4, "This model is certain of all it writes."


@task("evaluate")
def test_a_model_that_is_torn(student):
    """It is torn at the fourth place: ln 2 there, 0 at the other three, so 0.1733 nats a token."""
    found = student.ask(measured, says("0", "9", "5", ".5"), sums.prompts(torch.tensor([[37, 58]])), [95], 4).value
    assert abs(found["entropy"] - 0.1732868) < 1e-4, "The entropy is off."


@task("evaluate")
@needs("test_a_certain_model")
def test_lists_of_two_lengths(student):
    """Two prompts and one answer are refused."""
    student.ask(measured, says(*"095."), sums.prompts(torch.tensor([[37, 58], [25, 34]])), [95], 8).refused()


# %% [markdown] task="improve_grpo"
# ## `improve_grpo`: groups of answers
#
# From here on nobody tells the model an answer. In each of `iterations` rounds: draw prompts, answer each of them several times, ask for rewards, compare within the group, learn. You wrote all of it in
# [GRPO](../../docs/learn/a13_grpo.md); here you choose the recipe.
#
# **The rules.**
#
# - Prompts come from `problems`, completions are drawn from the model at temperature 1, and each has at most 8 tokens. Its mask is True up to the first end and with it, and False after it.
# - At most 1,024 completions a round: the reward function counts, and the completion after `iterations` × 1,024 is refused with an error.
# - Where all answers to a prompt are paid the same, there is nothing to compare: if this is so for every prompt, the weights stay where they are (so no weight decay). And if each reward is larger by 1, the same is learnt.
# - Return the model, in eval mode: a `TinyLM` with the same names and shapes. What you get may be trained in place.
#
# **What is graded.** First a probe of a few seconds: a fresh, small model, and prompts of two kinds with a token each that is paid if the answer begins with it. After 40 rounds each is found with a probability of 0.8 or more. Then the sums, with
# renamed digits, from a warm start of the grader's that has 31% of the held-out sums right. After **120 rounds**, in the grader's own model:
#
# | what | asked for | start | ours |
# |---|---:|---:|---:|
# | held-out sums that are exact | ≥ 90% | 31% | 94% to 98% |
# | answers that end | ≥ 99% | 100% | 100% |
# | entropy, nats a token | ≥ 0.002 | 0.60 | 0.04 |
# | KL to the start, nats an answer | ≤ 10 | 0 | 2.0 |
#
# A run that misses is tried on two more seeds, and two of three decide.
#
# **Where to begin.** The recipe of the GRPO assignment (128 × 8 answers, two epochs of two halves over groups with spread, Adam at 3e-4, fence 0.2 / 0.28) is too slow for this budget. Change one thing at a time, and look at the curve. The
# [reading page](../../docs/learn/a19_capstone.md) shows what each of our changes was worth. Practice asks for 60 rounds, on plain digits.
#
# **What it costs.** About two minutes with our solution; 400 CPU-seconds are allowed.


# %% task="improve_grpo" points=6 minutes=90
def improve_grpo(model: TinyLM, problems: Problems, reward_fn: RewardFn, iterations: int, seed: int) -> TinyLM:
    """Group-relative policy optimisation on sums, by a reward that is checked.

    problems: n -> prompts (n, 6). reward_fn: takes iterations * 1024 completions of at most 8 tokens in all.
    Returns the trained model, in eval mode. seed fixes all chance.

    Source: Shao et al. 2024, section 4.1; Yu et al. 2025, sections 3.1 and 3.3, for the fence and the mean.
    """
    ### BEGIN SOLUTION
    n_prompts, G, epochs, rate = 128, 8, 4, 6e-4
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    model.eval()

    def log_probs(asked: Tensor, written: Tensor, mask: Tensor) -> Tensor:
        """Of each token that was written, under the distribution that it was drawn from; 0 elsewhere: (M, R)."""
        logits = model(torch.cat([asked, written], dim=1))[:, asked.shape[1] - 1 : -1]  # (M, R, V)
        logits = logits.masked_fill(torch.arange(logits.shape[2]) == PAD, -1e9)
        return logits.log_softmax(-1).gather(2, written[..., None])[..., 0] * mask  # (M, R)

    for i in range(iterations):
        # The rate rises for ten rounds, since the first groups are few, and falls in the second half.
        optimizer.param_groups[0]["lr"] = rate * min((i + 1) / 10, 1.0, 2 * (1 - i / iterations))
        asked = problems(n_prompts).repeat_interleave(G, dim=0)  # (M, 6)
        everything = torch.ones_like(asked, dtype=torch.bool)
        written, mask = generate(model, asked, everything, ANSWER, EOS, PAD, generator=generator)  # (M, R) each
        rewards = reward_fn(asked, written, mask).view(-1, G)  # (n_prompts, G)
        spread = rewards.std(dim=1, keepdim=True)  # (n_prompts, 1)
        adv = ((rewards - rewards.mean(dim=1, keepdim=True)) / (spread + 1e-4)).view(-1, 1)  # (M, 1)
        differ = (rewards != rewards[:, :1]).any(dim=1).repeat_interleave(G)  # (M,)  groups with something to say
        if not differ.any():
            continue
        asked, written, mask, adv = asked[differ], written[differ], mask[differ], adv[differ]
        with torch.no_grad():
            old_logp = log_probs(asked, written, mask)  # (m, R)
        for _ in range(epochs):
            for rows in torch.randperm(len(asked), generator=generator).chunk(2):
                ratio = (log_probs(asked[rows], written[rows], mask[rows]) - old_logp[rows]).exp()  # (m/2, R)
                gain = torch.min(ratio * adv[rows], ratio.clamp(1 - 0.2, 1 + 0.28) * adv[rows])  # (m/2, R)
                optimizer.zero_grad()
                (-gain[mask[rows]].mean()).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
    return model
    ### END SOLUTION


# %% [markdown] hints="improve_grpo"
# 1. Where is your curve flat: at the start, where it even falls at first, or at the end? Where it is flat at the end, how many groups are left that differ at all?
# 2. Per round: 128 prompts with 8 answers each by `generate`, 4 tokens at most; advantages within the group; only groups that differ; `old_logp` is computed once, before the first step. Take more steps a round than the GRPO assignment
#    did, and larger ones: that is faster and less steady, so let the rate rise over the first rounds, and fall towards the end.
# 3. `asked = problems(128).repeat_interleave(8, dim=0)`; four epochs of two halves; Adam at `6e-4 * min((i + 1) / 10, 1, 2 * (1 - i / iterations))`, the norm of the gradient limited to 1; `-torch.min(ratio * adv, ratio.clamp(0.8, 1.28) * adv)[mask].mean()`.

# %% tests="improve_grpo"


def two_kinds(n):
    """Prompts of two kinds, in turns."""
    return torch.tensor([[1, 10, 2, 3, 4, 11], [2, 10, 2, 3, 4, 11]]).repeat(n, 1)[:n]


def practise_with_a_paid_token(student, run, algorithm):
    paid = torch.tensor([5, 8])

    def pays(asked, completions, mask):
        return (completions[:, 0] == paid[asked[:, 0] - 1]).float()

    config = {"vocab_size": 14, "d_model": 32, "n_layers": 1, "n_heads": 2, "context": 16}
    torch.manual_seed(0)
    model = TinyLM(**config)
    described = tiny_of(config, model.state_dict())
    problems, pays = Counted(two_kinds, 10_000), Counted(pays, 40_960)
    student.ask(improved, algorithm, described, problems, pays, 40, run.seed)
    take_weights(model, student.ask(trained_weights).value)
    with torch.no_grad():
        chance = model.eval()(two_kinds(2))[:, -1].softmax(-1)[torch.arange(2), paid]
    run.reaches("smaller probability of a paid token", chance.min().item(), at_least=0.8)


def practise_with_sums(student, run, algorithm, rounds, share):
    training, generator = sums.split()[0], torch.Generator().manual_seed(run.seed)

    def problems(n):
        return sums.prompts(training[torch.randint(len(training), (n,), generator=generator)])

    def pays(asked, completions, mask):
        pairs = torch.stack([asked[:, 0] * 10 + asked[:, 1], asked[:, 3] * 10 + asked[:, 4]], dim=1)
        return sums.exact(pairs, completions.masked_fill(~mask, sums.PAD)).float()

    model = pretrained("sums_warm")
    described = tiny_of(model.config, model.state_dict())
    pays, problems = Counted(pays, rounds * 1024), Counted(problems, 10_000)
    student.ask(improved, algorithm, described, problems, pays, rounds, run.seed)
    take_weights(model, student.ask(trained_weights).value)
    run.reaches("share of exact held-out sums", share_of_exact(model), at_least=share)


@task("improve_grpo")
@graded_run(cpu_seconds=60)
def test_practice_with_a_paid_token(student, run):
    """Practice: two kinds of prompts, a paid token each. After 40 rounds it begins the answer with 0.8 or more."""
    practise_with_a_paid_token(student, run, "improve_grpo")


@task("improve_grpo")
@graded_run(cpu_seconds=200)
def test_practice_with_sums(student, run):
    """Practice: after 60 rounds on plain sums, at least 60% of those that were held out are exact."""
    practise_with_sums(student, run, "improve_grpo", 60, 0.6)


# %% [markdown] task="improve_ppo"
# ## `improve_ppo`: a critic, under the same budget
#
# The same promise, kept by the other algorithm: **each problem is answered once**, and what was to be expected comes from a critic, a network of your own that never leaves this function. You wrote the parts in
# [GAE](../../docs/learn/a07_gae.md), [PPO](../../docs/learn/a08_ppo.md) and [RLHF with PPO](../../docs/learn/a10_rlhf_ppo.md).
#
# **The rules** are those of `improve_grpo`, with one more and one less: you ask for at least as many problems as you complete; and equal rewards may move your weights, since a critic has to learn first that they are equal.
#
# **What is known to work**: 1,024 problems a round with an answer each; a critic that begins as a copy of the model, with a linear readout of `hidden` that begins at zero; $\gamma = 1$, $\lambda = 0.95$, the reward at the last token, which terminates; advantages whitened over the tokens that
# were written; three epochs of two halves; Adam with 6e-4 for the policy, falling in the second half, and 1e-3 for the critic; both gradients limited to norm 1.
#
# **What is graded**: the probe, and the sums from the same warm start: after **30 rounds** at least 55% of the held-out sums are exact, 99% end. Ours: 58% to 81% on eight seeds. About a minute; 300 CPU-seconds are allowed.


# %% task="improve_ppo" points=5 minutes=90
def improve_ppo(model: TinyLM, problems: Problems, reward_fn: RewardFn, iterations: int, seed: int) -> TinyLM:
    """Proximal policy optimisation on sums: one answer to each problem, and a critic.

    problems: n -> prompts (n, 6). reward_fn: takes iterations * 1024 completions of at most 8 tokens in all.
    Returns the trained model, in eval mode. seed fixes all chance.

    Source: Schulman et al. 2017, equation 7; Ziegler et al. 2019, section 2.
    """
    ### BEGIN SOLUTION
    batch, epochs, rate, lam = 1024, 3, 6e-4, 0.95
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    critic = TinyLM(**model.config).eval()
    critic.load_state_dict(model.state_dict())
    readout = torch.zeros(model.config["d_model"], requires_grad=True)  # (D,)  at first nothing is expected
    judges = [*critic.parameters(), readout]
    optimizer = torch.optim.Adam([{"params": model.parameters(), "lr": rate}, {"params": judges, "lr": 1e-3}])

    def log_probs(tokens: Tensor, written: Tensor) -> Tensor:
        """Of each token that was written, under the distribution that it was drawn from: (M, R)."""
        logits = model(tokens)[:, -written.shape[1] - 1 : -1]  # (M, R, V)
        logits = logits.masked_fill(torch.arange(logits.shape[2]) == PAD, -1e9)
        return logits.log_softmax(-1).gather(2, written[..., None])[..., 0]  # (M, R)

    for i in range(iterations):
        optimizer.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - i / iterations))
        asked = problems(batch)  # (M, 6)
        everything = torch.ones_like(asked, dtype=torch.bool)
        written, mask = generate(model, asked, everything, ANSWER, EOS, PAD, generator=generator)  # (M, R) each
        R = written.shape[1]
        rewards = reward_fn(asked, written, mask)  # (M,)
        tokens = torch.cat([asked, written], dim=1)  # (M, 6 + R)
        with torch.no_grad():
            old_logp = log_probs(tokens, written)  # (M, R)
            values = (critic.hidden(tokens) @ readout)[:, -R - 1 : -1] * mask  # (M, R)  before the token is known

        last = mask & (mask.sum(dim=1, keepdim=True) == torch.arange(1, R + 1))  # (M, R)  there it is paid, and over
        adv, later = torch.zeros_like(values), torch.zeros(len(values))
        for t in reversed(range(R)):
            follows = values[:, t + 1] if t + 1 < R else torch.zeros(len(values))  # (M,)  0 after the last
            delta = rewards * last[:, t] + follows - values[:, t]  # (M,)
            later = (delta + lam * later) * mask[:, t]  # (M,)
            adv[:, t] = later
        targets = adv + values  # (M, R)
        adv = (adv - adv[mask].mean()) / (adv[mask].std() + 1e-8)  # (M, R)

        for _ in range(epochs):
            for rows in torch.randperm(batch, generator=generator).chunk(2):
                used = mask[rows]  # (m, R)
                ratio = (log_probs(tokens[rows], written[rows]) - old_logp[rows]).exp()  # (m, R)
                gain = torch.min(ratio * adv[rows], ratio.clamp(1 - 0.2, 1 + 0.2) * adv[rows])  # (m, R)
                value = (critic.hidden(tokens[rows]) @ readout)[:, -R - 1 : -1]  # (m, R)
                error = (value - targets[rows]).square()  # (m, R)
                optimizer.zero_grad()
                (-gain[used].mean() + 0.5 * error[used].mean()).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                torch.nn.utils.clip_grad_norm_(judges, 1.0)
                optimizer.step()
    return model
    ### END SOLUTION


# %% [markdown] hints="improve_ppo"
# 1. What does the critic know at the place where it is asked, and what must it not know yet?
# 2. One column for each token of a completion. The value at column t is read where token t is still to come. Going backwards, nothing follows the last token: its delta is the reward minus its value, and the columns after it are 0.
# 3. `values = (critic.hidden(tokens) @ readout)[:, -R - 1 : -1] * mask`; backwards `later = (delta + 0.95 * later) * mask[:, t]` with `delta = rewards * last[:, t] + follows - values[:, t]`; targets are advantages plus values; whiten over the mask; then the clipped surrogate and half the critic's squared error.

# %% tests="improve_ppo"


@task("improve_ppo")
@graded_run(cpu_seconds=60)
def test_ppo_practice_with_a_paid_token(student, run):
    """Practice: two kinds of prompts, a paid token each. After 40 rounds it begins the answer with 0.8 or more."""
    practise_with_a_paid_token(student, run, "improve_ppo")


@task("improve_ppo")
@graded_run(cpu_seconds=200)
def test_ppo_practice_with_sums(student, run):
    """Practice: after 30 rounds on plain sums, at least 40% of those that were held out are exact."""
    practise_with_sums(student, run, "improve_ppo", 30, 0.4)


# %% [markdown] task="write_report"
# ## `write_report`: figures with their numbers
#
# A finished agent is a claim, and a report lets others check it. `results` holds what was measured over $n \ge 2$ seeds, as plain lists:
#
# | key | what |
# |---|---|
# | `"seeds"` | n whole numbers |
# | `"accuracy"` | `{"warm": [...], "grpo": [...], "ppo": [...]}`: the share of exact held-out sums, a number for each seed |
# | `"completions"` | L numbers: how many completions had been paid for at each look |
# | `"reward"` | `{"grpo": [...], "ppo": [...]}`: for each seed a list of L numbers, the mean reward at each look |
# | `"surprise"` | the same for the mean of $-\ln p_\text{warm}$ of an answer, in nats: how strange the warm start finds what is written now |
#
# Make the folder if it is not there, and write four files into it; return their names, in this order:
#
# - `accuracy.png`: three bars, the means over seeds of warm, grpo and ppo;
# - `reward.png` and `surprise.png`: for grpo and ppo the **mean curve** over seeds against completions, and a **band** of one standard deviation (ddof 1) to both sides, with `fill_between`;
# - `report.json`: `{"accuracy": {"warm": {"mean", "std"}, ...}, "completions": [...], "reward": {"grpo": {"mean": [...], "std": [...]}, ...}, "surprise": {...}}`: the numbers that were drawn.
#
# Name both axes of each figure, and close it. Refused, before anything is written: fewer than two seeds, an accuracy without a number for each seed, a curve without a number for each look and each seed.


# %% task="write_report" points=3 minutes=45
def write_report(results: dict[str, Any], folder: str) -> list[str]:
    """Writes accuracy.png, reward.png, surprise.png and report.json into a folder; returns these names.

    results: see the handout. Standard deviations have ddof 1.
    Raises ValueError, and writes nothing, where seeds, looks and numbers do not fit together.
    """
    ### BEGIN SOLUTION
    n, looks = len(results["seeds"]), results["completions"]
    if n < 2:
        raise ValueError(f"{n} seeds: without a second one nothing is known about luck")
    if any(len(shares) != n for shares in results["accuracy"].values()):
        raise ValueError("each accuracy needs a number for each seed")
    for name in ("reward", "surprise"):
        if any(len(runs) != n or any(len(run) != len(looks) for run in runs) for runs in results[name].values()):
            raise ValueError(f"{name}: each curve needs a number for each seed and look")

    def mean_and_std(numbers: list) -> dict[str, Any]:
        over = torch.tensor(numbers, dtype=torch.float64)  # (n,) or (n, L)
        return {"mean": over.mean(0).tolist(), "std": over.std(0).tolist()}

    report = {"accuracy": {name: mean_and_std(shares) for name, shares in results["accuracy"].items()}}
    report["completions"] = looks
    for name in ("reward", "surprise"):
        report[name] = {algorithm: mean_and_std(runs) for algorithm, runs in results[name].items()}

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    figure, axis = plt.subplots()
    bars = report["accuracy"]
    axis.bar(list(bars), [each["mean"] for each in bars.values()], yerr=[each["std"] for each in bars.values()])
    axis.set(xlabel="model", ylabel="share of exact held-out sums", ylim=(0, 1))
    figure.savefig(place / "accuracy.png")
    plt.close(figure)
    for name, label in (("reward", "mean reward"), ("surprise", "surprise of the warm start (nats an answer)")):
        figure, axis = plt.subplots()
        for algorithm, drawn in report[name].items():
            mean, std = torch.tensor(drawn["mean"]), torch.tensor(drawn["std"])  # (L,) each
            axis.plot(looks, mean, label=algorithm)
            axis.fill_between(looks, mean - std, mean + std, alpha=0.2)
        axis.set(xlabel="completions", ylabel=label)
        axis.legend()
        figure.savefig(place / f"{name}.png")
        plt.close(figure)
    (place / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return ["accuracy.png", "reward.png", "surprise.png", "report.json"]
    ### END SOLUTION


# %% [markdown] hints="write_report"
# 1. Which axis of the lists are the seeds, and which the looks? What has to hold before there is anything to draw?
# 2. Check everything, then compute means and standard deviations once, then draw and write those same numbers.
# 3. `over = torch.tensor(runs)`; `over.mean(0)`, `over.std(0)`; `axis.plot(completions, mean, label=name)`, `axis.fill_between(completions, mean - std, mean + std, alpha=0.2)`, `axis.bar(names, means)`; `figure.savefig(...)`, `plt.close(figure)`.

# %% tests="write_report"


def two_seeds():
    return {
        "seeds": [0, 1],
        "accuracy": {"warm": [0.25, 0.375], "grpo": [0.75, 1.0], "ppo": [0.5, 0.75]},
        "completions": [1024, 2048, 3072],
        "reward": {"grpo": [[0.25, 0.5, 0.75], [0.25, 0.75, 1.0]], "ppo": [[0.25, 0.25, 0.5], [0.25, 0.5, 0.625]]},
        "surprise": {"grpo": [[2.0, 3.0, 4.0], [2.0, 4.0, 5.0]], "ppo": [[2.0, 2.5, 3.0], [2.0, 3.5, 4.0]]},
    }


@task("write_report")
def test_three_figures_and_their_numbers(student):
    """Four files; the bars, mean curves and bands of the figures are those of the numbers in report.json."""
    found = student.ask(reported, two_seeds(), "new/folder").value
    names = ["accuracy.png", "reward.png", "surprise.png", "report.json"]
    assert found["returned"] == names, "The names of the four files should come back, in the order of the handout."
    assert sorted(found["files"]) == sorted(names), "There should be four files in the folder, and nothing else."
    assert found["json"]["accuracy"]["grpo"]["mean"] == 0.875, "The mean of 0.75 and 1 is 0.875."
    assert abs(found["json"]["reward"]["ppo"]["std"][2] - 0.0883883) < 1e-6, "A standard deviation is off."
    assert found["json"]["completions"] == [1024, 2048, 3072], "The looks are missing."
    assert [0.3125, 0.875, 0.625] in found["figures"]["accuracy.png"]["bars"], "The bars are not the means."
    mean = [[1024, 2.0], [2048, 3.5], [3072, 4.5]]
    assert mean in found["figures"]["surprise.png"]["lines"], "The mean surprise of grpo is missing."
    assert len(found["figures"]["reward.png"]["bands"]) == 2, "Each curve needs a band."
    assert found["open"] == 0, "A figure was left open."


@task("write_report")
@needs("test_three_figures_and_their_numbers")
def test_numbers_that_do_not_fit(student):
    """One seed alone is refused, and so is a curve that lacks a look."""
    one = two_seeds()
    one["seeds"] = [0]
    student.ask(reported, one, "folder").refused()
    short = two_seeds()
    short["reward"]["ppo"][1].pop()
    student.ask(reported, short, "folder").refused()
