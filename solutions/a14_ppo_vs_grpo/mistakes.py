"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import json
import math
from pathlib import Path

import matplotlib.pyplot as plt
import reference
import torch
from common.statistics import t_quantile
from reference import learning_curve, memory_estimate

from autograder.testing import mistake

# ------------------------------------------------------------------------------------------------------- learning_curve

LAST = "test_the_last_look_counts"
BEFORE = "test_before_the_first_look"
NO_CURVE = "test_what_is_no_curve"


@mistake(
    "learning_curve",
    seen="At a grid point your curve shows a score from later.",
    named="This equals the score of the next look.",
    caught_by=LAST,
)
def curve_looks_ahead(tokens, scores, grid):
    learning_curve(tokens, scores, grid)
    found = []
    for place in grid:
        later = [s for t, s in zip(tokens, scores, strict=True) if t >= place]
        found.append(later[0] if later else scores[-1])
    return torch.tensor(found)


@mistake(
    "learning_curve",
    seen="The nearest look may be one that has not happened yet.",
    named="This equals the score of the nearest look.",
    caught_by=LAST,
)
def nearest_look(tokens, scores, grid):
    learning_curve(tokens, scores, grid)
    places = [min(range(len(tokens)), key=lambda i: abs(tokens[i] - place)) for place in grid]
    return torch.tensor([scores[i] for i in places])


@mistake(
    "learning_curve",
    seen="Between two looks your curve already knows the second.",
    named="This equals straight lines between looks.",
    caught_by=LAST,
)
def straight_lines(tokens, scores, grid):
    found = learning_curve(tokens, scores, grid)
    for n, place in enumerate(grid):
        i = sum(t <= place for t in tokens)
        if 0 < i < len(tokens):
            share = (place - tokens[i - 1]) / (tokens[i] - tokens[i - 1])
            found[n] = scores[i - 1] + share * (scores[i] - scores[i - 1])
    return found


@mistake(
    "learning_curve",
    seen="Exactly at a look, has it happened or not?",
    named="This equals the last look before a grid point, leaving out one that falls on it.",
    caught_by=LAST,
)
def not_yet_at_the_look(tokens, scores, grid):
    return learning_curve([t + 1 for t in tokens], scores, grid)


@mistake(
    "learning_curve",
    seen="One recipe was given more generated tokens than the other.",
    named="This equals looks by their number: the k-th grid point has the k-th score.",
    caught_by=LAST,
)
def equal_steps_not_tokens(tokens, scores, grid):
    learning_curve(tokens, scores, grid)
    return torch.tensor([scores[min(k, len(scores) - 1)] for k in range(len(grid))])


@mistake(
    "learning_curve",
    seen="A model that nobody has looked at yet has no score.",
    named="This equals 0 before the first look.",
    caught_by=BEFORE,
)
def zero_before(tokens, scores, grid):
    return learning_curve(tokens, scores, grid).nan_to_num(0.0)


@mistake(
    "learning_curve",
    seen="What is known before the first look?",
    named="This equals the first score, before anybody has looked.",
    caught_by=BEFORE,
)
def first_before(tokens, scores, grid):
    return learning_curve(tokens, scores, grid).nan_to_num(scores[0])


@mistake(
    "learning_curve",
    seen="A run's tokens do not stand still.",
    named="This equals a curve for any order of tokens.",
    caught_by=NO_CURVE,
)
def any_order(tokens, scores, grid):
    pairs = dict(sorted(zip(tokens, scores, strict=True)))
    return learning_curve(list(pairs), list(pairs.values()), grid)


@mistake(
    "learning_curve",
    seen="Three looks and two scores make no curve.",
    named="This equals leaving out what has no partner.",
    caught_by=NO_CURVE,
)
def any_lengths(tokens, scores, grid):
    n = min(len(tokens), len(scores))
    return learning_curve(tokens[:n], scores[:n], grid)


# ------------------------------------------------------------------------------------------------------ memory_estimate

PPO = "test_ppo_trains_a_critic"
GRPO = "test_grpo_has_none"
BYTES = "test_other_numbers_of_bytes"
NO_SIZE = "test_what_has_no_size"


def _total(found):
    return {**found, "total": sum(number for key, number in found.items() if key != "total")}


def _asked(n_policy, algorithm, n_value=None, n_reward=0, beta=0.0, bytes_weight=4, bytes_grad=4, bytes_optim=8):
    found = memory_estimate(n_policy, algorithm, n_value, n_reward, beta, bytes_weight, bytes_grad, bytes_optim)
    critic = 0 if algorithm == "grpo" else n_policy if n_value is None else n_value
    return found, {
        "policy": n_policy, "critic": critic, "reward": n_reward, "weight": bytes_weight, "grad": bytes_grad,
        "optim": bytes_optim, "ppo": algorithm == "ppo", "beta": beta,
    }  # fmt: skip


@mistake(
    "memory_estimate",
    seen="A trained critic costs more than its weights.",
    named="This equals a critic without gradients and moments.",
    caught_by=PPO,
)
def critic_free(*asked):
    found, given = _asked(*asked)
    return _total(
        {**found, "gradients": given["policy"] * given["grad"], "optimizer": given["policy"] * given["optim"]}
    )


@mistake(
    "memory_estimate",
    seen="Without a distance penalty no second model is needed.",
    named="This equals a reference for GRPO whatever beta is.",
    caught_by=GRPO,
)
def reference_always(*asked):
    found, given = _asked(*asked)
    return _total({**found, "reference": given["policy"] * given["weight"]})


@mistake(
    "memory_estimate",
    seen="PPO for language models penalises the distance from somebody.",
    named="This equals PPO with a reference only if beta is not 0.",
    caught_by=PPO,
)
def ppo_without_reference(*asked):
    found, given = _asked(*asked)
    return _total({**found, "reference": given["policy"] * given["weight"] * (given["beta"] != 0)})


@mistake(
    "memory_estimate",
    seen="Who trains the reward model while the policy is trained?",
    named="This equals gradients and moments for the reward model too.",
    caught_by=(PPO, GRPO),
)
def reward_trained(*asked):
    found, given = _asked(*asked)
    n = given["policy"] + given["critic"] + given["reward"]
    return _total({**found, "gradients": n * given["grad"], "optimizer": n * given["optim"]})


@mistake(
    "memory_estimate",
    seen="How large is a critic of which nobody said how large it is?",
    named="This equals a critic of 0 parameters where n_value is left out.",
    caught_by=PPO,
)
def critic_left_out(n_policy, algorithm, n_value=None, *rest):
    return memory_estimate(n_policy, algorithm, n_value or 0, *rest)


@mistake(
    "memory_estimate",
    seen="A critic of no parameters is a critic of no parameters.",
    named="This equals a critic as large as the policy where n_value is 0.",
    caught_by=PPO,
)
def zero_is_left_out(n_policy, algorithm, n_value=None, *rest):
    return memory_estimate(n_policy, algorithm, n_value or None, *rest)


@mistake(
    "memory_estimate",
    seen="What does GRPO do with a value model?",
    named="This equals GRPO with a critic.",
    caught_by=GRPO,
)
def grpo_with_critic(*asked):
    found, _ = _asked(asked[0], "ppo", *asked[2:])
    right = memory_estimate(*asked)
    return _total({**found, "reference": right["reference"]})


@mistake(
    "memory_estimate",
    seen="Adam keeps two numbers for a parameter.",
    named="This equals one moment for each parameter.",
    caught_by=(PPO, GRPO),
)
def one_moment(*asked):
    found, _ = _asked(*asked)
    return _total({**found, "optimizer": found["optimizer"] // 2})


@mistake(
    "memory_estimate",
    seen="In mixed precision a gradient is not as large as a weight.",
    named="This equals gradients that have as many bytes as weights.",
    caught_by=BYTES,
)
def gradients_like_weights(*asked):
    found, given = _asked(*asked)
    return _total({**found, "gradients": (given["policy"] + given["critic"]) * given["weight"]})


@mistake(
    "memory_estimate",
    seen="There is an algorithm that you have never heard of, and you know what it costs.",
    named="This equals GRPO for every other word.",
    caught_by=NO_SIZE,
)
def any_algorithm(n_policy, algorithm, *rest):
    return memory_estimate(n_policy, "ppo" if algorithm == "ppo" else "grpo", *rest)


@mistake(
    "memory_estimate",
    seen="A model of minus one parameter?",
    named="This equals sizes for numbers below 0.",
    caught_by=NO_SIZE,
)
def negative_sizes(n_policy, algorithm, n_value=None, n_reward=0, beta=0.0, *rest):
    n_value = None if n_value is None else abs(n_value)
    return memory_estimate(abs(n_policy), algorithm, n_value, abs(n_reward), abs(beta), *rest)


# -------------------------------------------------------------------------------------------------------------- compare

PAIRED = "test_a_paired_interval"
WINS = "test_a_win_is_outside_of_the_interval"
FINAL = "test_the_final_score_counts"
EQUAL = "test_equal_seeds_and_budgets"
REFUSED = "test_what_cannot_be_compared"


def _mean(values):
    return sum(values) / len(values)


def _winner(low, high):
    return "b" if low > 0 else "a" if high < 0 else "undecided"


def _with(result, half=None, winner=None):
    low, high = (
        (result["low"], result["high"]) if half is None else (result["difference"] - half, result["difference"] + half)
    )
    return {**result, "low": low, "high": high, "winner": winner or _winner(low, high)}


def _std(values, ddof=1):
    mean = _mean(values)
    return (sum((x - mean) ** 2 for x in values) / (len(values) - ddof)) ** 0.5


@mistake(
    "compare",
    seen="Both recipes share their seeds; use what pairing cancels.",
    named="This equals a two-sample interval.",
    caught_by=PAIRED,
)
def unpaired_interval(a, b, budget, seeds):
    r, n = reference.compare(a, b, budget, seeds), len(seeds)
    spread = ((_std(r["a"]) ** 2 + _std(r["b"]) ** 2) / n) ** 0.5
    return _with(r, t_quantile(0.975, 2 * n - 2) * spread)


@mistake(
    "compare",
    seen="With few seeds your interval is too narrow.",
    named="This equals a standard deviation with ddof 0.",
    caught_by=PAIRED,
)
def population_interval(a, b, budget, seeds):
    r, n = reference.compare(a, b, budget, seeds), len(seeds)
    return _with(r, (r["high"] - r["low"]) / 2 * ((n - 1) / n) ** 0.5)


@mistake(
    "compare",
    seen="With three seeds you are as sure as with three hundred.",
    named="This equals the normal distribution's 1.96 in place of t.",
    caught_by=PAIRED,
)
def normal_quantile(a, b, budget, seeds):
    r, n = reference.compare(a, b, budget, seeds), len(seeds)
    return _with(r, (r["high"] - r["low"]) / 2 * 1.959964 / t_quantile(0.975, n - 1))


@mistake(
    "compare",
    seen="How many degrees of freedom are left after the mean?",
    named="This equals t with n degrees of freedom.",
    caught_by=PAIRED,
)
def a_degree_too_many(a, b, budget, seeds):
    r, n = reference.compare(a, b, budget, seeds), len(seeds)
    return _with(r, (r["high"] - r["low"]) / 2 * t_quantile(0.975, n) / t_quantile(0.975, n - 1))


@mistake(
    "compare",
    seen="At both ends of a 95% interval there is something left out. How much?",
    named="This equals the quantile at 0.95: a 90% interval.",
    caught_by=PAIRED,
)
def ninety_per_cent(a, b, budget, seeds):
    r, n = reference.compare(a, b, budget, seeds), len(seeds)
    return _with(r, (r["high"] - r["low"]) / 2 * t_quantile(0.95, n - 1) / t_quantile(0.975, n - 1))


@mistake(
    "compare",
    seen="Your interval says how runs scatter, not how well their mean is known.",
    named="This equals an interval without the root of n.",
    caught_by=PAIRED,
)
def interval_of_runs(a, b, budget, seeds):
    r = reference.compare(a, b, budget, seeds)
    return _with(r, (r["high"] - r["low"]) / 2 * len(seeds) ** 0.5)


@mistake(
    "compare",
    seen="Which way round is the difference?",
    named="This equals a minus b.",
    caught_by=PAIRED,
)
def a_minus_b(a, b, budget, seeds):
    r = reference.compare(a, b, budget, seeds)
    return {**r, "difference": -r["difference"], "low": -r["high"], "high": -r["low"]}


@mistake(
    "compare",
    seen="A difference inside its own noise is called a win.",
    named="This equals the larger mean as the winner.",
    caught_by=WINS,
)
def winner_by_mean(a, b, budget, seeds):
    r = reference.compare(a, b, budget, seeds)
    return _with(r, winner="b" if r["difference"] > 0 else "a")


@mistake(
    "compare",
    seen="Who has won, if the whole interval is below 0?",
    named="This equals the other's name for the winner.",
    caught_by=WINS,
)
def the_other_wins(a, b, budget, seeds):
    r = reference.compare(a, b, budget, seeds)
    return _with(r, winner={"a": "b", "b": "a"}.get(r["winner"], r["winner"]))


def _of_runs(a, b, budget, seeds, choose):
    reference.compare(a, b, budget, seeds)
    finals = [[choose(recipe(seed, budget)["scores"]) for seed in seeds] for recipe in (a, b)]
    runs = [iter(each) for each in finals]
    return reference.compare(
        lambda seed, budget: {"tokens": [1], "scores": [next(runs[0])]},
        lambda seed, budget: {"tokens": [1], "scores": [next(runs[1])]},
        budget,
        seeds,
    )


@mistake(
    "compare",
    seen="Who looks often has a better best.",
    named="This equals each run's best score.",
    caught_by=FINAL,
)
def best_score(a, b, budget, seeds):
    return _of_runs(a, b, budget, seeds, max)


@mistake(
    "compare",
    seen="A run is judged by where it ends.",
    named="This equals the mean of each run's scores.",
    caught_by=FINAL,
)
def mean_of_the_curve(a, b, budget, seeds):
    return _of_runs(a, b, budget, seeds, _mean)


@mistake(
    "compare",
    seen="The two recipes were not started alike.",
    named="This equals other seeds for b.",
    caught_by=EQUAL,
)
def other_seeds_for_b(a, b, budget, seeds):
    order = dict(zip(seeds, [*seeds[1:], seeds[0]], strict=True)) if len(seeds) > 1 else {}
    result = reference.compare(a, b, budget, seeds)
    for seed in seeds:
        b(order[seed] + 1 if order[seed] + 1 in seeds else order[seed], budget)
    return result


@mistake(
    "compare",
    seen="The recipes were not given the same number of tokens.",
    named="This equals half of the budget for a.",
    caught_by=EQUAL,
)
def half_for_a(a, b, budget, seeds):
    return reference.compare(lambda seed, budget: a(seed, budget // 2), b, budget, seeds)


@mistake(
    "compare",
    seen="Does nobody look how much was used?",
    named="This equals a comparison in which a budget may be overrun.",
    caught_by=REFUSED,
)
def overrun_allowed(a, b, budget, seeds):
    def cut(recipe):
        def run(seed, budget):
            found = recipe(seed, budget)
            return {**found, "tokens": [min(t, budget) for t in found["tokens"]]}

        return run

    return reference.compare(cut(a), cut(b), budget, seeds)


@mistake(
    "compare",
    seen="What is the standard deviation of one difference?",
    named="This equals an interval that is a point where there is one seed.",
    caught_by=REFUSED,
)
def one_seed_will_do(a, b, budget, seeds):
    if len(set(seeds)) == 1:
        x, y = (recipe(seeds[0], budget)["scores"][-1] for recipe in (a, b))
        return {
            "a": [x],
            "b": [y],
            "mean_a": x,
            "mean_b": y,
            "difference": y - x,
            "low": y - x,
            "high": y - x,
            "winner": "b",
        }
    return reference.compare(a, b, budget, seeds)


@mistake(
    "compare",
    seen="Refuse before an hour of training, not after it.",
    named="This equals looking at the seeds when everything has run.",
    caught_by=REFUSED,
)
def refused_too_late(a, b, budget, seeds):
    for seed in seeds:
        a(seed, budget)
    return reference.compare(a, b, budget, seeds)


# ---------------------------------------------------------------------------------------------------------- predictions

MEASURED = "test_what_was_measured"


def _predicted(**others):
    return {**reference.predictions(), **others}


@mistake(
    "predictions",
    seen="What is an answer compared with, if it is alone in its group?",
    named="This equals learning from groups of one.",
    caught_by=MEASURED,
)
def a_group_of_one_learns():
    return _predicted(group_of_one="up")


@mistake(
    "predictions",
    seen="What becomes of r − mean, if every r grows by 1?",
    named="This equals a constant reward that helps.",
    caught_by=MEASURED,
)
def a_constant_helps():
    return _predicted(reward_plus_one_group_mean="up")


@mistake(
    "predictions",
    seen="Each answer is paid at least 1 there, the wrong ones too.",
    named="This equals a baseline that is not missed.",
    caught_by=MEASURED,
)
def baselines_do_nothing():
    return _predicted(reward_plus_one_no_baseline="same")


@mistake(
    "predictions",
    seen="What does a stronger leash do to the distance?",
    named="This equals a leash that lets go.",
    caught_by=MEASURED,
)
def a_leash_that_lets_go():
    return _predicted(beta_tenfold="up")


# --------------------------------------------------------------------------------------------------------------- report

LINES = "test_two_mean_curves"
BAND = "test_a_band_of_one_deviation"
NUMBERS = "test_numbers_beside_the_figure"
OTHERS = "test_figures_of_other_numbers"


def _report(
    result, curves, path, *, middle=None, spread=None, kept=None, named=True, close=True, check=True, numbers=True
):
    if not path.endswith(".png"):
        raise ValueError("path should end in .png")
    if check:
        for name in ("a", "b"):
            ends = curves[name][:, -1].tolist()
            if len(ends) != len(result[name]) or any(
                abs(x - y) > 1e-6 for x, y in zip(ends, result[name], strict=True)
            ):
                raise ValueError("the curves end elsewhere")
    figure, axis = plt.subplots()
    for name in ("a", "b"):
        mean = (middle or (lambda c: c.mean(0)))(curves[name])
        std = (spread or (lambda c: c.std(0)))(curves[name])
        axis.plot(curves["grid"], mean, label=name)
        if std is not False:
            axis.fill_between(curves["grid"], mean - std, mean + std, alpha=0.2)
    if named:
        axis.set(xlabel="generated tokens", ylabel="score")
    axis.legend()
    figure.savefig(path)
    if close:
        plt.close(figure)
    if numbers:
        Path(path).with_suffix(".json").write_text(json.dumps(kept or result), encoding="utf-8")
    return result


@mistake(
    "report",
    seen="One run stands for all in your figure.",
    named="This equals the curve of the first seed.",
    caught_by=LINES,
)
def first_seed_drawn(result, curves, path):
    return _report(result, curves, path, middle=lambda c: c[0])


@mistake(
    "report",
    seen="Is the line in your figure a mean?",
    named="This equals the best seed at each place.",
    caught_by=LINES,
)
def best_seed_drawn(result, curves, path):
    return _report(result, curves, path, middle=lambda c: c.max(0).values)


@mistake(
    "report",
    seen="What does the horizontal axis count?",
    named="This equals axes without names.",
    caught_by=LINES,
)
def axes_unnamed(result, curves, path):
    return _report(result, curves, path, named=False)


@mistake(
    "report",
    seen="A reader cannot see how far the seeds lie apart.",
    named="This equals mean curves without bands.",
    caught_by=BAND,
)
def no_bands(result, curves, path):
    return _report(result, curves, path, spread=lambda c: False)


@mistake(
    "report",
    seen="Your bands are narrower than what the seeds show.",
    named="This equals bands with ddof 0.",
    caught_by=BAND,
)
def population_bands(result, curves, path):
    return _report(result, curves, path, spread=lambda c: c.std(0, correction=0))


@mistake(
    "report",
    seen="Does your band say how runs scatter, or how well their mean is known?",
    named="This equals bands of one standard error.",
    caught_by=BAND,
)
def bands_of_the_mean(result, curves, path):
    return _report(result, curves, path, spread=lambda c: c.std(0) / math.sqrt(len(c)))


@mistake(
    "report",
    seen="Somebody wants to check your figure, and finds no numbers.",
    named="This equals a figure alone.",
    caught_by=NUMBERS,
)
def no_numbers(result, curves, path):
    return _report(result, curves, path, numbers=False)


@mistake(
    "report",
    seen="The numbers beside the figure are not all there.",
    named="This equals a JSON without the scores of each seed.",
    caught_by=NUMBERS,
)
def numbers_left_out(result, curves, path):
    return _report(result, curves, path, kept={key: x for key, x in result.items() if key not in ("a", "b")})


@mistake(
    "report",
    seen="What happens after a thousand reports in one process?",
    named="This equals figures that are never closed.",
    caught_by=NUMBERS,
)
def left_open(result, curves, path):
    return _report(result, curves, path, close=False)


@mistake(
    "report",
    seen="Do the numbers belong to the figure?",
    named="This equals a report that does not look whether the curves end at the result.",
    caught_by=OTHERS,
)
def any_numbers(result, curves, path):
    return _report(result, curves, path, check=False)


@mistake(
    "report",
    seen="Half a report is left behind, where it was refused.",
    named="This equals refusing when the figure is already written.",
    caught_by=OTHERS,
)
def refused_after_writing(result, curves, path):
    if path.endswith(".png"):
        _report(result, curves, path, check=False)
    return reference.report(result, curves, path)
