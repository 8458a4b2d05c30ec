"""PPO against GRPO on a tiny model: equal completions, paired seeds, nothing trained twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autograder.errors import LabError
from autograder.lab.comparing import paired, plan
from autograder.reporting.comparing import page, sentences

FILE = """
[data]
n_train = 16
n_eval = 4
[generate]
max_new_tokens = 4
[optim]
batch = 4
[grpo]
group = 4
[ppo]
epochs = 1
[out]
samples = 2
save_every = 1
[lora]
r = 2
"""


def planned(tiny: Path, folder: Path, **other: Any) -> Any:
    config = folder.with_suffix(".toml")
    config.write_text(FILE)
    flags = {"model.name": str(tiny), "out.dir": str(folder), "device": "cpu", "steps": 2, **other}
    return plan(config, flags, {"ppo": "trl", "grpo": "trl"}, 2)


def test_intervals_are_paired_and_undecided_where_they_hold_zero() -> None:
    found = paired([0.1, 0.1, 0.2])
    assert found["mean"] == pytest.approx(0.13333, abs=1e-5)
    assert (found["low"], found["high"]) == (pytest.approx(-0.0101, abs=1e-4), pytest.approx(0.2768, abs=1e-4))
    assert found["winner"] == "undecided"
    assert paired([0.1, 0.12, 0.11])["winner"] == "grpo"
    assert paired([-0.1, -0.12, -0.11])["winner"] == "ppo"


@pytest.mark.parametrize(("seeds", "ppo"), [(1, "trl"), (11, "trl"), (2, "unsloth")])
def test_what_cannot_be_compared_is_refused_before_anything_runs(seeds: int, ppo: str, tmp_path: Path) -> None:
    with pytest.raises(LabError) as refused:
        plan(None, {"out.dir": str(tmp_path)}, {"ppo": ppo, "grpo": "trl"}, seeds)
    assert refused.value.mend


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_run_is_made_once_and_told_on_a_page(tiny: Path, tmp_path: Path) -> None:
    for package in ("trl", "peft", "datasets"):
        pytest.importorskip(package, reason="the labs' packages are not installed: make llm")
    from autograder.lab.comparing import compare

    runs, told = planned(tiny, tmp_path / "out"), []
    found = compare(runs, False, lambda said: None, lambda n, of, row, left: told.append(n))
    assert told == [1, 2] * 4
    assert [(row["kind"], row["seed"]) for row in found["runs"]] == [("ppo", 0), ("grpo", 0), ("ppo", 1), ("grpo", 1)]
    assert found["completions"] == 8
    assert all(len(row["reward"]) == 2 for row in found["runs"])
    assert found["critic"]["parameters"] > 1000
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == json.loads(json.dumps(found))
    text = page(found)
    assert "mean reward, grpo" in text
    assert all(sentence.split(",")[0] in text for sentence in sentences(found)[:1])

    with pytest.raises(LabError, match="not empty"):
        compare(runs, False, lambda said: None)
    again = compare(runs, True, lambda said: None, lambda n, of, row, left: told.append(n))
    assert len(told) == 8, "a finished run was trained again"
    assert again == found
    with pytest.raises(LabError, match="other settings"):
        compare(planned(tiny, tmp_path / "out", **{"optim.lr": 1e-2}), True, lambda said: None)
