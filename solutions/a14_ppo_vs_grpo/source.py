# %% [markdown] assignment="a14_ppo_vs_grpo" title="PPO against GRPO: a fair comparison" module="ppo_vs_grpo" requires="torch, matplotlib.pyplot, common.statistics" summary="Compare two algorithms under one budget, with paired seeds and honest intervals, after saying what you expect." forbidden="trl, peft, bitsandbytes, unsloth, scipy, statsmodels, pandas"
# # PPO against GRPO: a fair comparison
#
# "GRPO is as good as PPO, and needs no critic." You have written both. Is it true? One run of each says nothing: seeds differ by more than algorithms. The
# same number of *steps* says nothing either, if one of them writes more text a step. And a difference that was found after twenty looks is often the twentieth.
#
# Today you write the instrument, not the algorithms. Five small things, and each closes a way of fooling oneself:
#
# 1. `learning_curve`: two runs on one axis
# 2. `memory_estimate`: what else one of them costs
# 3. `compare`: equal budgets, paired seeds, an interval
# 4. `predictions`: what you expect, said before you look
# 5. `report`: a figure with its numbers beside it
#
# **You need** [PPO](../../docs/learn/a08_ppo.md) and [GRPO](../../docs/learn/a13_grpo.md). The [reading page](../../docs/learn/a14_ppo_vs_grpo.md) holds the comparison itself, which this instrument made.
#
# ```
# autograder check a14                  # all tasks: what holds, what to mend first
# autograder check a14.compare          # one task
# autograder hint a14.compare           # the next of its three hints
# ```
#
# ## What is given
#
# `t_quantile(level, df)` in `assignments/common/statistics.py`: the quantiles of Student's t. A **recipe** is a function `recipe(seed, budget)` that trains something and returns
# `{"tokens": [...], "scores": [...]}`: how many tokens had been generated at each look, and how good the model was.
#
# ## What we keep, and what we leave out
#
# Kept: equal generated tokens, equal seeds, a paired t interval (Student 1908; Henderson et al. 2018 on why seeds matter; Agarwal et al. 2021 on intervals). Left out: bootstrap and rank tests, which with five seeds say
# little else; wall-clock time, which depends on the machine; tuning, which has to be as thorough for both.
#
# ## Convention card
#
# | question | our answer | who differs |
# |---|---|---|
# | the axis | **generated tokens** | optimiser steps, episodes, hours |
# | a curve between two looks | the score of the **last look**: nobody knows the next yet | straight lines between looks |
# | before the first look | NaN | 0, or the first score |
# | difference | **b − a** | |
# | standard deviation | ddof **1** | numpy's default, 0 |
# | interval | 95%, **paired**, Student's t with n − 1 degrees of freedom | ±1.96, or two-sample |
# | winner | only if the interval does not hold 0 | the larger mean |
# | bytes | float32 weights, gradients, and Adam's two moments: 4 + 4 + 8 | |
# | bad input | is refused: raise `ValueError` and say what is wrong | |
#
# ## What you may not use, and why
#
# `scipy`, `statsmodels` and `pandas`: the statistics are a line each, and today you write them. matplotlib draws the figure.
#
# ## What the tests look at
#
# Curves with gaps, budgets that are overrun, intervals of three to eight seeds; your predictions against what was measured over five seeds; and the lines and bands of your figure, number by number.

# %%
import json
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from common.statistics import t_quantile
from torch import Tensor

# %% [markdown] task="learning_curve"
# ## `learning_curve`: two runs on one axis
#
# Two runs were looked at after different numbers of tokens. To take their mean, or to draw them into one figure, their scores are needed at the same places: the `grid`.
#
# At a grid point the curve has the score of the **last look at or before it**, and NaN where there was none yet. Return a tensor of as many numbers as the grid has.
#
# The grid may be in any order and hold numbers twice. Refused: `tokens` and `scores` of different lengths, and tokens that do not strictly increase.
#
# **By hand.** Looks at 100, 250 and 400 tokens with scores 0.1, 0.3 and 0.2; grid 50, 100, 399, 1000: NaN, 0.1, 0.3, 0.2.


# %% task="learning_curve" points=3 minutes=20
def learning_curve(tokens: Sequence[int], scores: Sequence[float], grid: Sequence[int]) -> Tensor:
    """The last score at or before each grid point, (len(grid),) float; NaN before the first look.

    tokens: generated tokens at each look, strictly increasing. scores: as many. grid: places on the same axis.
    Raises ValueError for different lengths and tokens that do not increase.
    """
    ### BEGIN SOLUTION
    if len(tokens) != len(scores):
        raise ValueError(f"there are {len(tokens)} tokens and {len(scores)} scores")
    if any(later <= earlier for earlier, later in pairwise(tokens)):
        raise ValueError("tokens should increase")
    seen = [sum(t <= place for t in tokens) for place in grid]  # how many looks there were by then
    return torch.tensor([scores[n - 1] if n else math.nan for n in seen], dtype=torch.float32)
    ### END SOLUTION


# %% [markdown] hints="learning_curve"
# 1. Standing at a grid point, which looks have already happened?
# 2. Count the looks with `tokens <= place`. The last of them is the one; if the count is 0, there is none.
# 3. `n = sum(t <= place for t in tokens)`; `scores[n - 1] if n else math.nan`. `torch.searchsorted(..., right=True)` counts too.

# %% tests="learning_curve"
import math

import torch
from asks import compared, curve, predicted, reported, sizes

from autograder.testing import needs, task

MEMORY = ("policy", "value", "reference", "reward", "gradients", "optimizer", "total")


@task("learning_curve")
def test_a_curve_by_hand(student):
    """Looks at 100, 250 and 400 tokens; asked for at 50, 100, 399 and 1000."""
    found = student.ask(curve, [100, 250, 400], [0.1, 0.3, 0.2], [50, 100, 399, 1000]).value
    assert found[0] is None, "Before the first look there is no score: NaN."
    wanted = (0.1, 0.3, 0.2)
    assert all(x is not None and abs(x - y) < 1e-6 for x, y in zip(found[1:], wanted, strict=True)), (
        "At a grid point the curve has the score of the last look."
    )


@task("learning_curve")
@needs("test_a_curve_by_hand")
def test_a_clock_that_runs_backwards(student):
    """Tokens that do not increase, and scores of another number, are refused."""
    student.learning_curve([100, 100], [0.1, 0.2], [100]).refused()
    student.learning_curve([100, 200], [0.1], [100]).refused()


# %% [markdown] task="memory_estimate"
# ## `memory_estimate`: what else one of them costs
#
# Bytes, by what they are for, while one of two algorithms trains a policy of `n_policy` parameters:
#
# | key | "ppo" | "grpo" |
# |---|---|---|
# | `policy` | its weights | its weights |
# | `value` | the weights of a critic of `n_value` parameters (left out: as many as the policy) | 0 |
# | `reference` | the weights of a frozen policy | the same if `beta` is not 0, else 0 |
# | `reward` | the weights of a reward model of `n_reward` parameters, which is not trained | the same |
# | `gradients` | one for each **trained** parameter | |
# | `optimizer` | Adam's two moments for each **trained** parameter | |
# | `total` | the sum of all these | |
#
# A weight has `bytes_weight`, a gradient `bytes_grad`, the moments of one parameter together `bytes_optim`. Refused: another algorithm, and numbers below 0. For "grpo" `n_value` means nothing.
#
# **By hand.** A policy of 10 parameters, "ppo": 40 + 40 + 40 + 0 bytes of weights, 80 of gradients, 160 of moments: 360. "grpo" with beta 0: 40 + 40 + 80 = 160.


# %% task="memory_estimate" points=3 minutes=20
def memory_estimate(
    n_policy: int,
    algorithm: str,
    n_value: int | None = None,
    n_reward: int = 0,
    beta: float = 0.0,
    bytes_weight: int = 4,
    bytes_grad: int = 4,
    bytes_optim: int = 8,
) -> dict[str, int]:
    """Bytes while training, by purpose: policy, value, reference, reward, gradients, optimizer, total.

    algorithm: "ppo" or "grpo". n_value: parameters of the critic, by default n_policy. beta: strength of GRPO's leash.
    Raises ValueError for another algorithm and numbers below 0. Source: Shao et al. 2024, section 4.1 and figure 4.
    """
    ### BEGIN SOLUTION
    if algorithm not in ("ppo", "grpo"):
        raise ValueError(f'algorithm is {algorithm!r}; "ppo" and "grpo" are known')
    if min(n_policy, n_value or 0, n_reward, beta, bytes_weight, bytes_grad, bytes_optim) < 0:
        raise ValueError("sizes cannot be below 0")
    critic = 0 if algorithm == "grpo" else n_policy if n_value is None else n_value
    leashed = algorithm == "ppo" or beta != 0
    trained = n_policy + critic
    found = {
        "policy": n_policy * bytes_weight,
        "value": critic * bytes_weight,
        "reference": n_policy * bytes_weight * leashed,
        "reward": n_reward * bytes_weight,
        "gradients": trained * bytes_grad,
        "optimizer": trained * bytes_optim,
    }
    return {**found, "total": sum(found.values())}
    ### END SOLUTION


# %% [markdown] hints="memory_estimate"
# 1. Which of the models are trained, and what does a trained parameter need that a frozen one does not?
# 2. `trained = n_policy + critic`, with a critic of 0 for GRPO. Gradients and moments go by that number; weights go by model.
# 3. `critic = 0 if algorithm == "grpo" else (n_policy if n_value is None else n_value)`; the reference counts for "ppo" and where `beta != 0`; `total` is the sum of the six.

# %% tests="memory_estimate"


@task("memory_estimate")
def test_ten_parameters(student):
    """360 bytes by PPO, 160 by GRPO without a leash, 200 with one."""
    ppo = dict(zip(MEMORY, (40, 40, 40, 0, 80, 160, 360), strict=True))
    student.ask(sizes, [[10, "ppo"]]).equals([ppo])
    grpo = dict(zip(MEMORY, (40, 0, 0, 0, 40, 80, 160), strict=True))
    student.ask(sizes, [[10, "grpo"], [10, "grpo", None, 0, 0.1]]).equals(
        [grpo, {**grpo, "reference": 40, "total": 200}]
    )


@task("memory_estimate")
@needs("test_ten_parameters")
def test_other_algorithms(student):
    """Another algorithm and a negative size are refused."""
    student.memory_estimate(10, "dpo").refused()
    student.memory_estimate(-1, "ppo").refused()


# %% [markdown] task="compare"
# ## `compare`: equal budgets, paired seeds, an interval
#
# Run both recipes with every seed and the same budget: `recipe(seed, budget)`. The **final** score of a run is its last. Return a dictionary:
#
# - `"a"`, `"b"`: the final scores, a list each, in the order of the seeds; `"mean_a"`, `"mean_b"`: their means
# - `"difference"`: the mean of b − a, seed by seed
# - `"low"`, `"high"`: its 95% interval. With $d_s = b_s - a_s$, $n$ seeds and $s$ their standard deviation (ddof 1): $\bar d \pm t_{0.975,\,n-1}\; s / \sqrt n$
# - `"winner"`: `"b"` if the whole interval is above 0, `"a"` if it is below, else `"undecided"`, also where it only touches 0
#
# Refused: fewer than two seeds, and seeds that occur twice (before anything runs); a run without a look; and a recipe that has used more tokens than the budget.
#
# **Why paired?** A seed fixes which problems are drawn and where the training begins. A lucky seed helps both, and in $b_s - a_s$ that luck cancels.
#
# **By hand.** a = 0.5, 0.6, 0.7 and b = 0.6, 0.7, 0.9: differences 0.1, 0.1, 0.2 with mean 0.1333 and standard deviation 0.0577; $t_{0.975,2} = 4.303$, so ±0.1434: from −0.0101 to 0.2768. Undecided, though b won every time.


# %% task="compare" points=5 minutes=40
def compare(
    recipe_a: Callable[[int, int], dict[str, list]],
    recipe_b: Callable[[int, int], dict[str, list]],
    budget: int,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Runs both recipes on all seeds, and says which is better, if that can be said.

    A recipe takes (seed, budget) and returns {"tokens": [...], "scores": [...]}. Returns a, b (final scores), mean_a,
    mean_b, difference (b - a), low and high (95%, paired t, ddof 1), winner ("a", "b" or "undecided").
    Raises ValueError for fewer than 2 seeds, a seed twice, a run without a look or over its budget.

    Source: Student 1908; Henderson et al. 2018, section 4, on seeds.
    """
    ### BEGIN SOLUTION
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={list(seeds)}: at least two different ones are needed")

    def final(recipe: Callable[[int, int], dict[str, list]], seed: int) -> float:
        run = recipe(seed, budget)
        if not run["tokens"] or run["tokens"][-1] > budget:
            raise ValueError(f"with seed {seed} a recipe used {run['tokens'][-1:]} tokens of a budget of {budget}")
        return float(run["scores"][-1])

    a = [final(recipe_a, seed) for seed in seeds]
    b = [final(recipe_b, seed) for seed in seeds]
    d = torch.tensor(b, dtype=torch.float64) - torch.tensor(a, dtype=torch.float64)  # (n,)
    n = len(seeds)
    half = t_quantile(0.975, n - 1) * d.std().item() / n**0.5
    low, high = d.mean().item() - half, d.mean().item() + half
    return {
        "a": a, "b": b, "mean_a": sum(a) / n, "mean_b": sum(b) / n,
        "difference": d.mean().item(), "low": low, "high": high,
        "winner": "b" if low > 0 else "a" if high < 0 else "undecided",
    }  # fmt: skip
    ### END SOLUTION


# %% [markdown] hints="compare"
# 1. What has to be the same for both recipes, so that the difference is one of algorithms?
# 2. Take differences seed by seed first. Then it is the interval of *one* list of numbers: mean, standard deviation (ddof 1), root of n, and the quantile with n − 1 degrees of freedom.
# 3. `d = b - a`; `half = t_quantile(0.975, n - 1) * d.std() / n**0.5`; low and high are `d.mean() ∓ half`; `"b" if low > 0 else "a" if high < 0 else "undecided"`.

# %% tests="compare"


@task("compare")
def test_three_seeds_by_hand(student):
    """Differences 0.1, 0.1, 0.2: from -0.0101 to 0.2768, so undecided."""
    found = student.ask(compared, [0.5, 0.6, 0.7], [0.6, 0.7, 0.9], 1000, [3, 1, 2]).value["result"]
    assert found["winner"] == "undecided", "The interval holds 0, so nothing is decided."
    wanted = {"mean_a": 0.6, "mean_b": 0.7333333, "difference": 0.1333333, "low": -0.0100892, "high": 0.2767559}
    for key, number in wanted.items():
        assert abs(found[key] - number) < 1e-5, f"{key} is off."


@task("compare")
def test_both_run_on_all_seeds_with_one_budget(student):
    """Each recipe is run with every seed, and with the same budget."""
    calls = student.ask(compared, [0.5, 0.6], [0.6, 0.7], 500, [7, 4]).value["calls"]
    assert sorted(calls["a"]) == [[4, 500], [7, 500]], "Recipe a should run once with each seed and the budget."
    assert sorted(calls["b"]) == [[4, 500], [7, 500]], "Recipe b should run once with each seed and the budget."


@task("compare")
@needs("test_three_seeds_by_hand")
def test_one_seed_and_an_overrun(student):
    """One seed is refused, and so is a recipe that uses more than its budget."""
    student.ask(compared, [0.5], [0.6], 100, [0]).refused()
    student.ask(compared, [0.5, 0.6], [0.6, 0.7], 100, [0, 1], over=1).refused()


# %% [markdown] task="predictions"
# ## `predictions`: what you expect, said before you look
#
# The reading page shows five experiments with GRPO on sums: 60 rounds of 768 answers, five seeds each. **Before you look at them**, say what you expect. Return a dictionary with these keys, each `"up"`, `"down"` or `"same"`:
#
# | key | what is done otherwise | what may change, and against what |
# |---|---|---|
# | `group_of_one` | groups of one answer | accuracy, against no training at all |
# | `reward_plus_one_group_mean` | every answer is paid 1 more, advantages as always | accuracy, against the plain recipe |
# | `reward_plus_one_no_baseline` | every answer is paid 1 more, and the reward *is* the advantage | accuracy, against the plain recipe |
# | `no_std` | advantages are not divided by the standard deviation | accuracy, against the plain recipe |
# | `beta_tenfold` | a leash ten times as strong (0.1 for 0.01) | KL from the start |
#
# What is decided is what five seeds decide: the interval does not hold 0, or it holds exactly. Where they decide nothing, any of the three words is right.


# %% task="predictions" points=3 minutes=15
def predictions() -> dict[str, str]:
    """For each of five experiments "up", "down" or "same"."""
    ### BEGIN SOLUTION
    return {
        "group_of_one": "same",  # its advantage is r - r
        "reward_plus_one_group_mean": "same",  # a constant leaves no trace in r - mean
        "reward_plus_one_no_baseline": "down",  # wrong answers are paid too, and each is made likelier
        "no_std": "down",  # on average; five seeds leave it open
        "beta_tenfold": "down",
    }
    ### END SOLUTION


# %% [markdown] hints="predictions"
# 1. Write down the advantage of one answer in each experiment, for a group with rewards 1, 0, 0, 0. Two of the five can be decided with a pencil.
# 2. What is the mean of a group of one? What happens to r − mean if every r grows by 1? And to an answer that is wrong, if its advantage is +1?
# 3. A group of one compares an answer with itself; a constant cancels in r − mean; without a baseline +1 makes *every* answer likelier, the wrong ones too, which are more; a stronger leash keeps nearer to the start.

# %% tests="predictions"


@task("predictions")
def test_five_words(student):
    """Five keys, and each is "up", "down" or "same"."""
    found = student.ask(predicted).value
    keys = ["beta_tenfold", "group_of_one", "no_std", "reward_plus_one_group_mean", "reward_plus_one_no_baseline"]
    assert sorted(found) == keys, "The keys are those of the handout."
    assert all(word in ("up", "down", "same") for word in found.values()), 'Each is "up", "down" or "same".'


# %% [markdown] task="report"
# ## `report`: a figure with its numbers beside it
#
# `result` is what `compare` returned. `curves` has three tensors: `"grid"` (G,) tokens, `"a"` and `"b"` (n, G), a learning curve for each seed, without gaps.
#
# - Draw with matplotlib into a PNG at `path`: the **mean curve** over seeds of a and of b against the grid, and for each a **band** of one standard deviation (ddof 1) to both sides, with `fill_between`. Name both axes and both curves.
# - Write `result` beside it as JSON: the same path, with the ending `.json` in place of `.png`.
# - Return `result`, its keys and numbers unchanged.
#
# A figure must belong to its numbers: if the last column of a curve is not the final score in `result` (to 1e-6), refuse, and write nothing. Refuse a path that does not end in `.png` too. Close the figure: reports are written in loops.


# %% task="report" points=3 minutes=30
def report(result: dict[str, Any], curves: dict[str, Tensor], path: str) -> dict[str, Any]:
    """Writes a figure (PNG) at `path` and the numbers (JSON) beside it; returns the numbers.

    result: what compare returned. curves: "grid" (G,), "a" (n, G), "b" (n, G).
    Raises ValueError where a curve does not end at the result's score, and for a path that is no .png.
    """
    ### BEGIN SOLUTION
    if not path.endswith(".png"):
        raise ValueError(f"path is {path!r}: it should end in .png")
    for name in ("a", "b"):
        ends, scores = curves[name][:, -1].double(), torch.tensor(result[name], dtype=torch.float64)  # (n,) each
        if ends.shape != scores.shape or (ends - scores).abs().max() > 1e-6:
            raise ValueError(f"the curves of {name} end at {ends.tolist()}, the result says {scores.tolist()}")

    figure, axis = plt.subplots()
    for name in ("a", "b"):
        mean, std = curves[name].mean(0), curves[name].std(0)  # (G,) each
        axis.plot(curves["grid"], mean, label=name)
        axis.fill_between(curves["grid"], mean - std, mean + std, alpha=0.2)
    axis.set(xlabel="generated tokens", ylabel="score", title=f"winner: {result['winner']}")
    axis.legend()
    figure.savefig(path)
    plt.close(figure)
    Path(path).with_suffix(".json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result
    ### END SOLUTION


# %% [markdown] hints="report"
# 1. Which numbers of `curves` should reappear in `result`?
# 2. Check first, then draw, then write. Mean and standard deviation go over the seeds, the first axis.
# 3. `axis.plot(grid, curves[name].mean(0), label=name)`; `axis.fill_between(grid, mean - std, mean + std, alpha=0.2)`; `figure.savefig(path)`, `plt.close(figure)`; `Path(path).with_suffix(".json").write_text(json.dumps(result))`.

# %% tests="report"


def a_result():
    a, b = [0.5, 0.625], [0.75, 1.0]
    return {
        "a": a, "b": b, "mean_a": 0.5625, "mean_b": 0.875, "difference": 0.3125, "low": -0.5, "high": 1.1,
        "winner": "undecided",
    }  # fmt: skip


def two_curves():
    return {
        "grid": torch.tensor([0, 100, 200]),
        "a": torch.tensor([[0.25, 0.25, 0.5], [0.25, 0.5, 0.625]]),
        "b": torch.tensor([[0.25, 0.5, 0.75], [0.25, 0.75, 1.0]]),
    }


@task("report")
def test_a_figure_and_its_numbers(student):
    """A PNG with both mean curves and two bands, the numbers beside it, and no figure left open."""
    found = student.ask(reported, a_result(), two_curves(), "run.png").value
    assert found["files"] == ["run.json", "run.png"], "There should be run.png and run.json, and nothing else."
    assert found["json"] == found["returned"] == a_result(), "The numbers should be those of the result."
    assert found["width"] >= 200, "The picture is too small."
    assert found["colours"] > 10, "The picture is empty."
    assert [[0, 0.25], [100, 0.375], [200, 0.5625]] in found["lines"], "The mean curve of a is missing."
    assert [[0, 0.25], [100, 0.625], [200, 0.875]] in found["lines"], "The mean curve of b is missing."
    assert len(found["bands"]) == 2, "Each curve needs a band."
    assert found["axes"] == [True, True], "Name both axes."
    assert found["open"] == 0, "The figure was left open."


@task("report")
@needs("test_a_figure_and_its_numbers")
def test_a_figure_of_another_run(student):
    """Curves that end elsewhere than the result says are refused, and a path without .png."""
    curves = two_curves()
    curves["b"] = curves["b"] - 0.125
    student.ask(reported, a_result(), curves, "run.png").refused()
    student.ask(reported, a_result(), two_curves(), "run.pdf").refused()
