"""A student's own data and rewards in a lab: asked where they are, refused in words where they cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autograder.errors import LabError
from autograder.lab.hooks import own_hook, setup
from autograder.lab.settings import read_settings

GRPO = """
def longest(completions, answer, **_):
    Path(HERE).joinpath("asked.txt").write_text(str(answer))
    return [float(len(text)) for text in completions]

def grpo_setup(tokenizer, cfg):
    rows = [{"prompt": f"{n}+1=", "answer": n + 1} for n in range(8)]
    return {"dataset": rows, "rewards": [longest], "args": {"learning_rate": cfg["optim"]["lr"] / 2}}
"""
PPO = """
def reward(text):
    Path(HERE).joinpath("asked.txt").write_text(text)
    return float(text.count("a"))

def ppo_setup(tokenizer, cfg):
    rows = [{"input_ids": tokenizer(f"say {n}:")["input_ids"]} for n in range(8)]
    return {"dataset": rows, "reward": reward}
"""
DPO = """
def dpo_setup(tokenizer, cfg):
    rows = [{"prompt": f"{n}+1=", "chosen": str(n + 1), "rejected": "0"} for n in range(8)]
    Path(HERE).joinpath("asked.txt").write_text(cfg["kind"])
    return {"dataset": rows, "args": {"beta": 0.3}}
"""
QLORA = """
def qlora_setup(tokenizer, cfg):
    Path(HERE).joinpath("asked.txt").write_text(cfg["kind"])
    return {"dataset": [{"prompt": f"{n}+1=", "completion": str(n + 1)} for n in range(8)]}
"""
HOOKS = {"grpo": GRPO, "ppo": PPO, "dpo": DPO, "qlora": QLORA}


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(f"from pathlib import Path\nHERE = {str(folder)!r}\n{text}")
    return path


def asked(kind: Any, path: Path, **flags: Any) -> Any:
    return read_settings(kind, None, {"setup": str(path), **flags})


def test_a_hook_says_what_to_learn_from(tmp_path: Path) -> None:
    found = setup(asked("grpo", written(tmp_path, GRPO)), None)
    assert found.dataset is not None
    assert found.rewards is not None
    assert found.dataset[3] == {"prompt": "3+1=", "answer": 4}
    assert found.rewards[0](["ab", ""], [1, 2]) == [2.0, 0.0]
    assert found.arguments == {"learning_rate": 5e-05}
    assert setup(read_settings("grpo", None, {}), None).dataset is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def other(): pass", "no function grpo_setup"),
        ("def grpo_setup(tokenizer, cfg): return 3", "returned 3"),
        ("def grpo_setup(tokenizer, cfg): return {'reward': max}", "returned 'reward'"),
        ("def grpo_setup(tokenizer, cfg): return {'dataset': []}", "no row"),
        (
            "def grpo_setup(tokenizer, cfg): return {'dataset': [{'prompt': 'a'}]}",
            "row 0 of the dataset lacks 'answer'",
        ),
        ("def grpo_setup(tokenizer, cfg): return {'rewards': ['exact']}", "rewards is no list of functions"),
        ("def grpo_setup(tokenizer, cfg): return {'args': {'output_dir': '/'}}", "may not decide output_dir"),
        ("def grpo_setup(tokenizer, cfg): return 1 / 0", "raised ZeroDivisionError"),
        ("def grpo_setup(tokenizer, cfg:", "raised SyntaxError"),
    ],
)
def test_a_hook_that_cannot_be_used_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(LabError) as refused:
        setup(asked("grpo", path), None)
    assert said in str(refused.value)
    assert str(path) in refused.value.where
    assert refused.value.mend
    if "raised" in said:
        assert "line 3" in refused.value.where


def test_prompts_without_a_reward_are_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    path = written(tmp_path, "def ppo_setup(tokenizer, cfg): return {'dataset': [{'input_ids': [1]}]}")
    with pytest.raises(LabError, match="need a reward of your own"):
        setup(asked("ppo", path), None)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no such file"):
        setup(asked("grpo", tmp_path / "none.py"), None)


def test_the_hook_of_the_students_own_module_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autograder.course import Course

    monkeypatch.chdir(tmp_path)
    assert own_hook("grpo") is None  # no course here
    course = Course.load(Path(__file__).resolve().parents[2])
    monkeypatch.setattr(Course, "load", classmethod(lambda cls, root=None: course))
    assert own_hook("grpo") is None  # a stub has none
    module = written(tmp_path, GRPO)
    monkeypatch.setattr(type(course.assignment("a13")), "module_path", property(lambda self: module))
    assert own_hook("grpo") == module


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", list(HOOKS))
def test_a_lab_learns_from_the_students_own(kind: Any, tiny: Path, tmp_path: Path) -> None:
    for package in ("trl", "peft", "datasets", *(["bitsandbytes"] if kind == "qlora" else [])):
        pytest.importorskip(package, reason="the labs' packages are not installed: make llm")
    from autograder.lab.run import preview, run

    small = {"data.n_eval": 2, "generate.max_new_tokens": 4, "optim.batch": 4, "grpo.group": 4, "ppo.epochs": 1}
    path = written(tmp_path, HOOKS[kind])
    settings = asked(
        kind, path, **{"model.name": str(tiny), "out.dir": str(tmp_path / "out"), "steps": 1, "device": "cpu", **small}
    )
    shown = preview(settings)
    assert shown.question in ("0+1=", "say 0:")
    run(settings, False, lambda said: None)
    said = (tmp_path / "asked.txt").read_text()
    if kind == "ppo":
        assert said.startswith("say ")
    if kind == "grpo":
        assert len(set(json.loads(said))) <= 4  # four completions, of one question or of a few


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_args_that_a_trainer_does_not_know_are_refused(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="the labs' packages are not installed: make llm")
    from autograder.lab.run import run

    path = written(tmp_path, "def dpo_setup(tokenizer, cfg): return {'args': {'betta': 1}}")
    settings = asked("dpo", path, **{"model.name": str(tiny), "out.dir": str(tmp_path / "out"), "device": "cpu"})
    with pytest.raises(LabError, match="betta"):
        run(settings, False, lambda said: None)
