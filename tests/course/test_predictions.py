"""The directions that a14 asks for are those that were measured."""

import ast
import json
from pathlib import Path

import pytest

from autograder.testing.modules import Author, use_packages

pytestmark = pytest.mark.course

ROOT = Path(__file__).parents[2]
RUNS = json.loads((ROOT / "docs" / "learn" / "figures" / "data" / "ppo_and_grpo.json").read_text(encoding="utf-8"))
AGAINST = {
    "group_of_one": ("start", "scores"),
    "reward_plus_one_group_mean": ("grpo", "scores"),
    "reward_plus_one_no_baseline": ("grpo", "scores"),
    "no_std": ("grpo", "scores"),
    "beta_tenfold": ("beta", "kl"),
}


@pytest.fixture(scope="module")
def author():
    use_packages((ROOT / "solutions" / "common",))
    return Author(ROOT / "solutions" / "a14_ppo_vs_grpo")


def ends(name: str, key: str) -> list[float]:
    """The last number of each run."""
    if name == "start":
        return [run["scores"][0] for run in RUNS["grpo"]]
    return [run[key] if key == "kl" else run[key][-1] for run in RUNS[name]]


def direction(author, name: str) -> str | None:
    """What five seeds decide; None where they decide nothing."""
    against, key = AGAINST[name]
    a, b = ends(against, key), ends(name, key)
    if a == b:
        return "same"

    def recipe(numbers):
        return lambda seed, budget: {"tokens": [1], "scores": [numbers[seed]]}

    result = author.reference().compare(recipe(a), recipe(b), 1, range(len(a)))
    return {"a": "down", "b": "up", "undecided": None}[result["winner"]]


@pytest.mark.parametrize("name", AGAINST)
def test_a_direction_is_asked_for_where_five_seeds_decide_it(author, name):
    tree = ast.parse(author.text("hidden_tests.py"))
    assigned = next(x for x in tree.body if isinstance(x, ast.Assign) and x.targets[0].id == "MEASURED")
    measured = ast.literal_eval(assigned.value)
    assert measured.get(name) == direction(author, name)
