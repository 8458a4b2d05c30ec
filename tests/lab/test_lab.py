"""Each lab for real, on a tiny model in a folder: it trains, stops, resumes, and is measured from its adapter alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from autograder.errors import LabError
from autograder.lab import following
from autograder.lab.models import base
from autograder.lab.record import Record
from autograder.lab.run import again, preview, run
from autograder.lab.settings import Settings, read_settings

for package in ("transformers", "trl", "peft", "datasets", "tokenizers"):
    pytest.importorskip(package, reason="the labs' packages are not installed: make llm")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SMALL = {
    "data.n_train": 16,
    "data.n_eval": 4,
    "generate.max_new_tokens": 4,
    "optim.batch": 4,
    "optim.lr": 1e-2,
    "grpo.group": 4,
    "ppo.epochs": 1,
    "out.samples": 2,
    "out.save_every": 1,
    "lora.r": 2,
    "device": "cpu",
}


def settings(kind: Any, model: Path, out: Path, **flags: Any) -> Settings:
    named = {"steps": 2, "model.name": str(model), "out.dir": str(out), **SMALL}
    return read_settings(kind, None, {**named, **{key.replace("__", "."): value for key, value in flags.items()}})


def quiet(said: str) -> None:
    pass


@pytest.mark.parametrize("kind", ["grpo", "dpo", "ppo"])
def test_a_lab_trains_keeps_an_adapter_and_can_be_measured_from_it(kind: str, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told: list[int] = []
    found = run(settings(kind, tiny, out), False, quiet, lambda n, of, row, left: told.append(n))
    assert told == [1, 2]
    kept = json.loads((out / "run.json").read_text())
    assert kept["steps_done"] == 2
    assert kept["measured"] == found
    assert len((out / "samples.jsonl").read_text().splitlines()) == 2
    assert [row["step"] for row in Record(out).rows()] == [1, 2]
    assert not [path for path in (out / "adapter").iterdir() if path.suffix in (".bin", ".pt")]
    later = again(out, quiet)
    assert later["after"]["kl"] == pytest.approx(found["after"]["kl"], abs=1e-4)
    assert later["before"]["exact"] == found["before"]["exact"]
    assert found["causal"]


@pytest.mark.parametrize("bits", [4, 8])
def test_an_adapter_over_few_bits_is_trained_and_measured_on_both_bases(bits: int, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: make llm")
    out = tmp_path / "out"
    asked = settings("qlora", tiny, out, qlora__bits=bits, steps=12, data__n_train=64, optim__batch=16)
    found = run(asked, False, quiet)
    losses = [row["loss"] for row in Record(out).rows()]
    assert len(losses) == 12
    assert found["loss"]["after"] < found["loss"]["before"] - 0.1, "the right answers are no likelier than before"
    memory = found["memory"]
    assert memory["base"] < memory["float32"] < memory["everything"]
    assert memory["trained"] < memory["everything"] / 10
    later = again(out, quiet)
    assert later["loss_over_codes"]["after"] == pytest.approx(found["loss"]["after"], abs=1e-3)
    assert later["loss"]["after"] < later["loss"]["before"] - 0.1, "over the float base the adapter is worth nothing"
    assert later["causal"] or bits == 8


def test_only_an_adapter_learns_over_few_bits(tiny: Path, tmp_path: Path) -> None:
    for flags in ({"lora__r": 0}, {"qlora__bits": 3}):
        with pytest.raises(LabError) as refused:
            settings("qlora", tiny, tmp_path / "out", **flags)
        assert refused.value.mend


@pytest.mark.parametrize("kind", ["grpo", "dpo", "ppo"])
def test_a_stopped_run_goes_on_and_makes_the_steps_that_were_left(
    kind: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    asked = settings(kind, tiny, out, steps=3)
    stops: list[following.Stop] = []

    class Watched(following.Stop):
        def __init__(self) -> None:
            super().__init__()
            stops.append(self)

    monkeypatch.setattr("autograder.lab.run.Stop", Watched)

    def press(n: int, of: int, row: dict[str, float], left: float) -> None:
        stops[-1].asked = True

    with pytest.raises(following.Interrupted):
        run(asked, False, quiet, press)
    done = json.loads((out / "run.json").read_text())["steps_done"]
    assert done in (1, 2)  # GRPO and DPO tell of a step after its end: theirs ends with the next one
    with pytest.raises(LabError, match="already holds a run"):
        run(asked, False, quiet)
    with pytest.raises(LabError, match="other settings: optim"):
        run(settings(kind, tiny, out, steps=3, optim__lr=1e-3), True, quiet)
    told: list[int] = []
    run(asked, True, quiet, lambda n, of, row, left: told.append(n))
    assert told == list(range(done + 1, 4))
    assert json.loads((out / "run.json").read_text())["steps_done"] == 3


@pytest.mark.parametrize(("kind", "flags"), [("grpo", {}), ("dpo", {}), ("ppo", {}), ("dpo", {"lora__r": 0})])
def test_a_run_that_is_done_takes_no_step_more_when_it_is_resumed(
    kind: str, flags: dict[str, Any], tiny: Path, tmp_path: Path
) -> None:
    if flags:
        flags = {**flags, "optim__lr": 1e-3}
    out = tmp_path / "out"
    asked = settings(kind, tiny, out, **flags)
    before = run(asked, False, quiet)
    told: list[int] = []
    after = run(asked, True, quiet, lambda n, of, row, left: told.append(n))
    assert told == []
    assert after["after"] == pytest.approx(before["after"], abs=1e-4)
    assert [row["step"] for row in Record(out).rows()] == [1, 2]
    assert json.loads((out / "run.json").read_text())["steps_done"] == 2


def test_a_dry_run_shows_the_question_as_the_model_sees_it(tiny: Path, tmp_path: Path) -> None:
    shown = preview(settings("grpo", tiny, tmp_path / "out"))
    assert shown.question.startswith("<|start|>user\nCompute ")
    assert shown.question.endswith("<|start|>assistant\n")
    assert (shown.end_token, shown.pad_token) == ("<|end|>", "<|fill|>")
    assert not (tmp_path / "out").exists()


def spoil(tiny: Path, folder: Path, what: str) -> Path:
    shutil.copytree(tiny, folder)
    if what == "tokenizer":
        for path in folder.glob("tokenizer*"):
            path.unlink()
    elif what == "weights":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif what == "cut":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif what == "config":
        (folder / "config.json").unlink()
    return folder


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("tokenizer", "holds no tokenizer"),
        ("weights", "only pytorch_model.bin, which may run code"),
        ("cut", "damaged or no safetensors"),
        ("config", "config.json is missing"),
    ],
)
def test_a_folder_that_cannot_work_is_refused_at_once(what: str, said: str, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=said) as refused:
        base(str(spoil(tiny, tmp_path / "model", what)))
    assert refused.value.mend


def test_a_tokenizer_without_an_end_or_a_filler_is_refused(tiny: Path) -> None:
    from transformers import AutoTokenizer

    from autograder.lab.settings import Model
    from autograder.lab.tokens import mended

    found = base(str(tiny))
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.chat_template, tokenizer.eos_token = None, None
    with pytest.raises(LabError, match="no end token"):
        mended(tokenizer, found, Model())
    with pytest.raises(LabError, match="has no token '<stop>'"):
        mended(tokenizer, found, Model(eos="<stop>"))
    with pytest.raises(LabError, match="pad and end token are both"):
        mended(tokenizer, found, Model(eos="<|end|>", pad="<|end|>"))
    tokenizer.unk_token = None
    with pytest.raises(LabError, match="no token that could fill rows"):
        mended(tokenizer, found, Model(eos="<|end|>"))
    chat = AutoTokenizer.from_pretrained(tiny)
    with pytest.raises(LabError, match="closes a turn with <|end|>".replace("|", "[|]")):
        mended(chat, found, Model(eos="<|start|>"))


def test_a_hub_that_does_not_answer_is_refused_with_what_needs_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LabError, match="the hub does not give it") as refused:
        base("somebody/a-model-that-is-not-there")
    assert "smollm2" in refused.value.mend


def test_too_little_memory_is_said_before_anything_is_loaded(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from types import SimpleNamespace

    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e8))
    with pytest.raises(LabError, match="too little memory"):
        run(settings("grpo", tiny, tmp_path / "out"), False, quiet)


def test_an_adapter_that_does_not_fit_or_holds_no_numbers_is_refused(tiny: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    out = tmp_path / "out"
    run(settings("dpo", tiny, out, steps=1), False, quiet)
    path = out / "adapter" / "adapter_model.safetensors"
    good = load_file(path)
    name = sorted(good)[0]
    for spoilt, said in (
        ({**good, name: good[name] * torch.nan}, "numbers that are none"),
        ({**good, name: torch.zeros(2, 5)}, "does not fit this base"),
        ({**good, "base_model.model.other.lora_A.weight": good[name].clone()}, "does not fit this base"),
        ({}, "empty"),
    ):
        save_file(spoilt, path)
        with pytest.raises(LabError, match=said):
            again(out, quiet)
    path.write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(LabError, match="damaged or no safetensors"):
        again(out, quiet)
    path.unlink()
    with pytest.raises(LabError, match=r"no adapter_model\.safetensors"):
        again(out, quiet)
