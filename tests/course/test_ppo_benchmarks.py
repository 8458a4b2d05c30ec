"""The benchmarks of PPO count what they say they count. A few hundred steps each: nothing is learnt here."""

import importlib
import json
import math
import statistics
import sys
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = [pytest.mark.course, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
needs_sb3 = pytest.mark.skipif(
    importlib.util.find_spec("stable_baselines3") is None,
    reason="Stable-Baselines3 is not installed: pip install -c constraints.txt -e .[bench]",
)


@pytest.fixture
def cartpole(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr(sys, "path", list(sys.path))  # the module adds the root of the repository to it
    return importlib.import_module("ppo_cartpole")


@pytest.fixture
def mistakes(cartpole):
    return importlib.import_module("ppo_mistakes")


def a_run(cartpole, who, returns, seed=0):
    """A run with the given returns, 1,024 steps and one second apart."""
    points = [cartpole.Point(1024 * (i + 1), 1.0 * (i + 1), value) for i, value in enumerate(returns)]
    return cartpole.Run(who, seed, points)


def test_a_run_is_charged_until_it_is_good(cartpole):
    run = a_run(cartpole, "ours", [20, 480, 300, 475, 500, 490, 100])
    assert run.reached() == (2048, 2.0, 480)
    assert run.reached(3) == (4096, 4.0, 475)
    assert run.counted(4) == (7168, 7.0, 100), "what never holds is charged the whole run"
    assert run.reached(4) is None


def test_the_table_says_who_is_late(cartpole):
    runs = [a_run(cartpole, "ours", [20, 480, 500, 500]), a_run(cartpole, "sb3", [20, 20, 20, 470])]
    assert cartpole.ratio_of_seconds(runs) == 0.5
    lines = cartpole.table(runs).splitlines()
    assert " ".join(lines[2].split()) == "seed 0 2,048 2.00 4,096 4.00 0.50 not reached: Stable-Baselines3"


@pytest.mark.parametrize("who", ["ours", pytest.param("sb3", marks=needs_sb3)])
@pytest.mark.filterwarnings("default")  # a library's warnings are its own
def test_the_referee_counts_and_looks(cartpole, who):
    run = cartpole.measure(who, seed=0, budget=512, every=256)
    assert run.curve[-1].env_steps == 512
    assert len(run.curve) == {"ours": 1, "sb3": 2}[who], "ours updates once in 512 steps, theirs every 256"
    assert all(5 < point.mean_return <= 500 for point in run.curve)
    assert 0 < run.curve[0].cpu_seconds <= run.curve[-1].cpu_seconds


def test_ours_is_trained_no_further_than_wanted(cartpole, monkeypatch):
    monkeypatch.setattr(cartpole, "SOLVED", 1.0)
    run = cartpole.measure("ours", seed=0, budget=65_536, every=1024)
    assert [point.env_steps for point in run.curve] == [1024, 2048, 3072], "three good ones in a row are enough"


def test_what_is_written_can_be_read(cartpole, tmp_path, monkeypatch):
    monkeypatch.setattr(cartpole, "machine", dict)
    cartpole.save(tmp_path / "new" / "file.json", [a_run(cartpole, "ours", [20, 480])])
    found = json.loads((tmp_path / "new" / "file.json").read_text(encoding="utf-8"))
    assert found["runs"] == [{"who": "ours", "seed": 0, "curve": [[1024, 1.0, 20], [2048, 2.0, 480]]}]
    assert found["solved"] == 475


def test_the_reading_page_tells_what_was_measured(cartpole):
    page = (ROOT / "docs" / "learn" / "a08_ppo.md").read_text(encoding="utf-8")
    measured = json.loads(
        (ROOT / "docs" / "learn" / "figures" / "data" / "ppo_cartpole.json").read_text(encoding="utf-8")
    )
    for who, name in (("ours", "our reference"), ("sb3", "Stable-Baselines3")):
        runs = [run for run in measured["runs"] if run["who"] == who]
        seen = [cartpole.Run(who, run["seed"], [cartpole.Point(*point) for point in run["curve"]]) for run in runs]
        first, held = ([run.counted(n) for run in seen] for n in (1, cartpole.IN_A_ROW))
        steps, seconds, stays = (
            statistics.mean(getattr(point, column) for point in points)
            for points, column in ((first, "env_steps"), (first, "cpu_seconds"), (held, "cpu_seconds"))
        )
        assert f"| {name} | {steps:,.0f} | {seconds:.2f} | {stays:.2f} |" in page


ABOUT_TIME_LIMITS = ("trace_leaks_over_truncation", "truncation_is_termination", "final_obs_lost")


def test_each_mistake_changes_what_is_learnt(mistakes):
    import gymnasium
    import torch

    def learnt(name, make):
        agent = mistakes.spoiled(name).train_ppo(make, 1024, seed=0)
        return torch.cat([weight.detach().flatten() for weight in agent.parameters()])

    pole = partial(gymnasium.make, "CartPole-v1")
    walk = partial(gymnasium.make, "CartPole-v1", max_episode_steps=9)
    right = {make: learnt("none", make) for make in (pole, walk)}
    for name in mistakes.MISTAKES:
        make = walk if name in ABOUT_TIME_LIMITS else pole
        assert learnt(name, make).equal(right[make]) == (name == "none"), name


def test_a_probe_is_judged_by_its_known_answers(mistakes):
    found = mistakes.probe(mistakes.spoiled("none"), "delay")
    assert found["passed"]
    assert math.isclose(found["values"][0], 0.5, abs_tol=0.05)
    assert not mistakes.probe(mistakes.spoiled("bootstraps_over_termination"), "constant")["passed"]
