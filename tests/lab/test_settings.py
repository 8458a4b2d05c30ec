"""The settings of a lab: what beats what, and what is refused by name. Needs none of the labs' packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograder.errors import LabError
from autograder.lab.settings import read_settings
from autograder.lab.sums import near_misses, split, verify


def file(folder: Path, text: str) -> Path:
    path = folder / "lab.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_flag_beats_the_file_and_the_file_beats_the_default(tmp_path: Path) -> None:
    config = file(tmp_path, "[optim]\nlr = 2e-4\nseed = 3\n[grpo]\ngroup = 4\n")
    settings = read_settings("grpo", config, {"optim.seed": 7, "model.name": None, "steps": 5})
    assert (settings.optim.lr, settings.optim.seed, settings.grpo.group, settings.steps) == (2e-4, 7, 4, 5)
    assert settings.model.name == "smollm2"


def test_training_all_weights_begins_with_a_smaller_rate() -> None:
    assert read_settings("grpo", None, {"lora.r": 0}).optim.lr == 1e-5
    assert read_settings("grpo", None, {}).optim.lr == 1e-4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[grpo]\ngruop = 4\n", "unknown key 'gruop'; did you mean group?"),
        ("[groups]\nx = 1\n", "unknown section [groups]"),
        ("steps = 4\n", "unknown section [steps]"),
        ("[optim]\nlr = 'fast'\n", "lr = 'fast' must be of type float"),
        ("[optim]\nbatch = true\n", "batch = True must be of type int"),
        ("[optim]\nlr = 3.0\n", "optim.lr = 3.0 is no learning rate"),
        ("[grpo]\nloss_type = 'gppo'\n", "loss_type = 'gppo' is not known"),
        ("[grpo]\ngroup = 5\n", "do not hold whole groups of 5"),
        ("[grpo]\ngroup = 1\n", "grpo.group = 1 is too small"),
        ("[data]\nprompt = 'Add.'\n", "the prompt does not say {a}"),
        ("[lora]\ntargets = 'q_proj'\n", "targets must be a list of names"),
        ("[generate]\ntemperature = 0\n", "temperature must be above 0"),
        ("[grpo\n", "the settings file is no TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LabError) as refused:
        read_settings("grpo", file(tmp_path, text), {})
    assert said in refused.value.problem
    assert refused.value.mend or refused.value.where


def test_ppo_through_unsloth_is_refused_with_what_runs_instead() -> None:
    with pytest.raises(LabError, match="PPO does not run through Unsloth") as refused:
        read_settings("ppo", None, {"backend": "unsloth"})
    assert refused.value.mend == "autograder lab ppo --backend trl"


def test_no_sum_is_both_trained_on_and_asked() -> None:
    data = read_settings("grpo", None, {"data.n_train": 5000, "data.n_eval": 400}).data
    train, held_out = split(data)
    terms = [
        {tuple(sorted(int(w.strip(".")) for w in p.question.split() if w.strip(".").isdigit())) for p in side}
        for side in (train, held_out)
    ]
    assert len(train) == 5000
    assert len(terms[1]) == 400
    assert not terms[0] & terms[1]
    assert split(data) == (train, held_out)
    assert all(miss != p.answer for miss, p in zip(near_misses(train, 0), train, strict=True))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("95", 1.0),
        (" 95.\n", 1.0),
        ("37 + 58 = 95.", 1.0),
        ("The answer is: 95", 1.0),
        ("095", 1.0),
        ("95.0", 1.0),
        ("+95", 1.0),
        ("", 0.0),
        ("94", 0.0),
        ("94 or 95", 0.0),
        ("95 95", 0.0),
        ("Compute 37 + 58", 0.0),
        ("95 = 94", 0.0),
        ("answer 95", 0.0),
        ("\u0669\u0665", 0.0),
        ("9,5", 0.0),
        ("9" * 31, 0.0),
        ("95.5", 0.0),
        ("9.5e1", 0.0),
    ],
)
def test_the_verifier_pays_one_number_and_no_trick(text: str, right: float) -> None:
    assert verify(text, 95) == right


def test_the_verifier_reads_large_and_negative_numbers() -> None:
    assert verify("1,234", 1234) == 1.0
    assert verify("\u221212", -12) == 1.0
    assert verify("12,34", 1234) == 0.0


CONFIGS = sorted((Path(__file__).parents[2] / "docs" / "learn" / "labs").glob("*.toml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_settings_that_the_docs_give_are_ones_that_a_lab_takes(config: Path) -> None:
    settings = read_settings("grpo", config, {})
    assert settings.model.name == "smollm2" or "Not run here." in config.read_text(encoding="utf-8")
