"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. `@needs` stands on every property that an empty answer has too.
"""

import pytest
import torch
from asks import (
    blank_run,
    compared,
    curve,
    files_after_refusal,
    interval,
    predicted,
    reported,
    runs_before_refusal,
    sizes,
)

from autograder.testing import needs, task, weight

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-6, "atol": 1e-9}  # float64, or float32 between: sums of a few numbers
DRAWN = 1e-5  # float32 through matplotlib's transforms


def draw(seed):
    return torch.Generator().manual_seed(seed + 6000)


def whole(seed, low, high, *shape):
    """Whole numbers, low <= n < high."""
    return torch.randint(low, high, shape, generator=draw(seed)).tolist()


def scores(seed, n):
    """n numbers in thousandths, between 0.2 and 0.8."""
    return [x / 1000 for x in whole(seed + 1, 200, 800, n)]


# ------------------------------------------------------------------------------------------------------- learning_curve


@task("learning_curve")
@weight(2)
def test_the_last_look_counts(student, reference, seed):
    """At each grid point the curve has the score of the last look at or before it."""
    tokens = torch.tensor(whole(seed, 10, 200, 9)).cumsum(0).tolist()
    grid = [*sorted(whole(seed + 2, tokens[0], tokens[-1] + 200, 12)), *tokens[2:5]]
    asked = (tokens, scores(seed, 9), grid)
    student.ask(curve, *asked).equals(reference.ask(curve, *asked).value, **FLOAT64)


@task("learning_curve")
@needs("test_the_last_look_counts")
def test_before_the_first_look(student, reference, seed):
    """Before the first look there is no score; and the grid may come in any order."""
    tokens = (100 + torch.tensor(whole(seed, 10, 200, 6)).cumsum(0)).tolist()
    grid = [*whole(seed + 2, 0, 900, 10), 0, 99, tokens[0], tokens[0] - 1]
    asked = (tokens, scores(seed, 6), grid)
    student.ask(curve, *asked).equals(reference.ask(curve, *asked).value, **FLOAT64)


@task("learning_curve")
@needs("test_the_last_look_counts")
def test_what_is_no_curve(student, seed):
    """Tokens that stand still or fall, and lists of different lengths, are refused."""
    student.learning_curve([10, 10, 20], scores(seed, 3), [10]).refused()
    student.learning_curve([10, 30, 20], scores(seed, 3), [10]).refused()
    student.learning_curve([10, 20, 30], scores(seed, 2), [10]).refused()
    student.learning_curve([10, 20], scores(seed, 3), [10]).refused()


# ------------------------------------------------------------------------------------------------------ memory_estimate


def same_sizes(student, reference, cases):
    student.ask(sizes, cases).equals(reference.ask(sizes, cases).value)


@task("memory_estimate")
@weight(2)
def test_ppo_trains_a_critic(student, reference, seed):
    """PPO: weights of four models; gradients and moments of policy and critic, and of nothing else."""
    p, v, r = whole(seed, 1000, 90000, 3)
    same_sizes(student, reference, [[p, "ppo"], [p, "ppo", v, r], [p, "ppo", v, 0, 0.1], [p, "ppo", 0, r]])


@task("memory_estimate")
@weight(2)
def test_grpo_has_none(student, reference, seed):
    """GRPO: no critic, and a reference only if beta is not 0."""
    p, v, r = whole(seed, 1000, 90000, 3)
    same_sizes(student, reference, [[p, "grpo"], [p, "grpo", v, r], [p, "grpo", None, r, 0.04]])


@task("memory_estimate")
@needs("test_ppo_trains_a_critic")
def test_other_numbers_of_bytes(student, reference, seed):
    """Weights, gradients and moments have each their own number of bytes."""
    p, v, r = whole(seed, 1000, 90000, 3)
    same_sizes(student, reference, [[p, kind, v, r, 0.1, 2, 3, 12] for kind in ("ppo", "grpo")])


@task("memory_estimate")
@needs("test_ppo_trains_a_critic")
def test_what_has_no_size(student):
    """Other algorithms and numbers below 0 are refused."""
    for bad in (
        (10, "PPO2"),
        (10, ""),
        (-1, "ppo"),
        (10, "ppo", -1),
        (10, "grpo", None, -1),
        (10, "grpo", None, 0, -0.1),
    ):
        student.memory_estimate(*bad).refused()


# -------------------------------------------------------------------------------------------------------------- compare


@task("compare")
@weight(2)
@pytest.mark.parametrize("n", [3, 8])
def test_a_paired_interval(student, reference, seed, n):
    """Means, the mean difference b - a and its 95% interval by paired t with ddof 1."""
    luck = scores(seed, n)
    a = [x + e / 20 for x, e in zip(luck, scores(seed + 1, n), strict=True)]
    b = [x + 0.02 + e / 20 for x, e in zip(luck, scores(seed + 2, n), strict=True)]
    asked = (a, b, 5000, list(range(seed, seed + n)))
    student.ask(interval, *asked).equals(reference.ask(interval, *asked).value, **FLOAT64)


@task("compare")
@weight(2)
@needs("test_a_paired_interval")
@pytest.mark.parametrize("shift", [-0.3, 0.015, 0.3])
def test_a_win_is_outside_of_the_interval(student, reference, seed, shift):
    """b wins if the whole interval is above 0, a if it is below; otherwise nothing is decided, whatever the means say."""
    a = scores(seed, 5)
    noise = [-0.04, 0.03, 0.0, 0.05, -0.04]
    b = [x + shift + e for x, e in zip(a, noise, strict=True)]
    asked = (a, b, 5000, list(range(5)))
    student.ask(interval, *asked).equals(reference.ask(interval, *asked).value, **FLOAT64)


@task("compare")
@needs("test_a_paired_interval")
def test_the_final_score_counts(student, reference, seed):
    """The last score of a run counts, not its best or its mean; where all differences are equal, the interval is a point."""
    a = scores(seed, 4)
    asked = (a, [x + 0.25 for x in a], 5000, [9, 3, 5, 7], 0.3)
    student.ask(interval, *asked).equals(reference.ask(interval, *asked).value, rtol=1e-6, atol=1e-6)


@task("compare")
@needs("test_a_paired_interval")
def test_equal_seeds_and_budgets(student, seed):
    """Each recipe runs once with each seed and the whole budget."""
    seeds = [*whole(seed, 0, 1000, 1), 2000 + seed, 5000 + seed]
    calls = student.ask(compared, scores(seed, 3), scores(seed + 1, 3), 7000 + seed, seeds).value["calls"]
    wanted = sorted([each, 7000 + seed] for each in seeds)
    assert sorted(calls["a"]) == wanted, "Recipe a should run once with each seed, and with the budget."
    assert sorted(calls["b"]) == wanted, "Recipe b should run once with each seed, and with the budget."


@task("compare")
@needs("test_a_paired_interval")
def test_what_cannot_be_compared(student, seed):
    """Fewer than two seeds, a seed twice, a run without a look, and one token too many are refused."""
    for few in ([], [3], [1, 1], [4, 2, 4]):
        ran = student.ask(runs_before_refusal, few).value
        assert ran is not None, "Fewer than two seeds, or one seed twice, should be refused with a ValueError."
        assert ran == 0, "Refuse seeds before anything runs."
    student.ask(blank_run, [1, 2]).refused()
    student.ask(compared, scores(seed, 2), scores(seed + 1, 2), 100, [0, 1], over=1).refused()


# ---------------------------------------------------------------------------------------------------------- predictions

MEASURED = {
    "group_of_one": "same",
    "reward_plus_one_group_mean": "same",
    "reward_plus_one_no_baseline": "down",
    "beta_tenfold": "down",
}
"""By docs/learn/figures/data/ppo_and_grpo.json; tests/course/test_predictions.py holds these words against it."""


@task("predictions")
@pytest.mark.parametrize("key", list(MEASURED))
def test_what_was_measured(student, key):
    """The prediction is what five seeds have shown."""
    found = student.ask(predicted).value
    said = found.get(key) if isinstance(found, dict) else None
    assert said in ("up", "down", "same"), f'{key} should be "up", "down" or "same".'
    assert said == MEASURED[key], f"Five seeds have shown something else for {key}."


# --------------------------------------------------------------------------------------------------------------- report


def made(seed, n=3, G=5):
    """A result and the curves that it comes from."""
    grid = torch.tensor(whole(seed, 50, 300, G)).cumsum(0)
    a, b = (torch.rand(n, G, generator=draw(seed + i), dtype=torch.float64) for i in (1, 2))
    ends = [each[:, -1].tolist() for each in (a, b)]
    difference = (b - a)[:, -1].mean().item()
    result = {
        "a": ends[0], "b": ends[1], "mean_a": sum(ends[0]) / n, "mean_b": sum(ends[1]) / n, "difference": difference,
        "low": difference - 0.1, "high": difference + 0.1, "winner": ["a", "b", "undecided"][seed % 3],
    }  # fmt: skip
    return result, {"grid": grid, "a": a, "b": b}


def drawn(points, wanted, atol=DRAWN):
    """Whether these points (x, y) are those wanted."""
    points, wanted = torch.tensor(points), torch.tensor(wanted)
    return points.shape == wanted.shape and torch.allclose(points, wanted, rtol=0, atol=atol)


@task("report")
@weight(2)
@needs("test_numbers_beside_the_figure")
def test_two_mean_curves(student, seed):
    """The figure has the mean curve of a and that of b against the grid."""
    result, curves = made(seed)
    found = student.ask(reported, result, curves, "figure.png").value
    for name in ("a", "b"):
        wanted = [[float(x), y] for x, y in zip(curves["grid"].tolist(), curves[name].mean(0).tolist(), strict=True)]
        assert any(drawn(line, wanted) for line in found["lines"]), f"No line is the mean curve of {name}."
    assert found["axes"] == [True, True], "Name both axes."


@task("report")
@needs("test_numbers_beside_the_figure")
def test_a_band_of_one_deviation(student, seed):
    """Around each mean curve there is a band of one standard deviation (ddof 1) to both sides."""
    result, curves = made(seed)
    found = student.ask(reported, result, curves, "figure.png").value
    for name in ("a", "b"):
        mean, std = curves[name].mean(0), curves[name].std(0)
        corners = [
            [float(x), y]
            for side in (mean - std, mean + std)
            for x, y in zip(curves["grid"].tolist(), side.tolist(), strict=True)
        ]
        assert any(drawn(band, sorted(corners)) for band in found["bands"]), f"No band is that of {name}."


@task("report")
@weight(2)
def test_numbers_beside_the_figure(student, seed):
    """The result stands beside the figure as JSON and comes back unchanged, no figure is left open; only a .png will do."""
    result, curves = made(seed)
    found = student.ask(reported, result, curves, "figure.png").value
    assert found["files"] == ["figure.json", "figure.png"], "There should be a .png, a .json, and nothing else."
    assert found["json"] == result, "The JSON should hold the result, and nothing else."
    assert found["returned"] == result, "The result should come back unchanged."
    assert found["width"] >= 200, "The picture is too small."
    assert found["colours"] > 10, "The picture is empty."
    assert found["open"] == 0, "The figure was left open."
    student.ask(reported, result, curves, "figure.pdf").refused()


@task("report")
@needs("test_numbers_beside_the_figure")
def test_figures_of_other_numbers(student, seed):
    """Curves that end elsewhere, or of other seeds, are refused; then nothing is written."""
    result, curves = made(seed)
    for name in ("a", "b"):
        other = curves[name].clone()
        other[seed % 3, -1] += 0.01
        left = student.ask(files_after_refusal, result, {**curves, name: other}, "figure.png").value
        assert left is not None, f"A curve of {name} that ends elsewhere than the result should be refused."
        assert left == [], "Nothing should be written where a report is refused."
    student.ask(reported, result, {**curves, "a": curves["a"][:2]}, "figure.png").refused()
