"""What DPO learns from: which answers become a pair, and that drawn pairs stay the same when a run goes on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autograder.errors import LabError
from autograder.lab.pairs import pairs, rows_from
from autograder.lab.settings import Settings, read_settings
from autograder.lab.sums import Problem

tokenizer = SimpleNamespace(
    eos_token="<end>", apply_chat_template=lambda turns, **_: turns[-1]["content"], chat_template="there is one"
)
SUM = Problem("Compute 20 + 30. Reply with only the number.", 50)


def said(text: str, ended: bool = True) -> dict[str, Any]:
    return {"text": text, "ended": ended}


def test_each_wrong_answer_is_paired_with_a_right_one_in_turn() -> None:
    answers = [said("50"), said("49"), said("20 + 30 = 50"), said("60"), said("49"), said("It is", ended=False)]
    rows = rows_from(tokenizer, [SUM], [answers])
    assert [(row["chosen"], row["rejected"]) for row in rows] == [
        ("50<end>", "49<end>"),
        ("20 + 30 = 50<end>", "60<end>"),
    ]


@pytest.mark.parametrize("answers", [["50", "50"], ["49", "51"], []])
def test_a_question_that_is_always_or_never_right_gives_no_pair(answers: list[str]) -> None:
    assert rows_from(tokenizer, [SUM], [[said(text) for text in answers]]) == []


def test_a_right_answer_that_was_cut_off_is_no_model_to_follow_and_no_mistake() -> None:
    assert rows_from(tokenizer, [SUM], [[said("50", ended=False), said("49")]]) == []


def dpo(model: Path, out: Path, **flags: Any) -> Settings:
    drawn = {"dpo.pairs": "drawn", "dpo.questions": 4, "dpo.answers": 3, "generate.max_new_tokens": 3, "data.n_eval": 2}
    small = {"steps": 1, "optim.batch": 2, "lora.r": 2, "device": "cpu", "model.name": str(model), "out.dir": str(out)}
    return read_settings("dpo", None, {**small, **drawn, **flags})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
class TestOnAModel:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        for package in ("transformers", "trl", "peft", "datasets"):
            pytest.importorskip(package, reason="the labs' packages are not installed: make llm")

    def test_a_model_that_is_never_right_is_told_so_before_it_trains(self, tiny: Path, tmp_path: Path) -> None:
        from autograder.lab.run import run

        with pytest.raises(LabError, match="of 4 questions, none got both a right answer and a wrong one"):
            run(dpo(tiny, tmp_path / "out"), False, lambda said: None)

    def test_answers_are_drawn_alike_by_the_same_seed_and_not_by_another(self, tiny: Path, tmp_path: Path) -> None:
        from autograder.lab.evaluate import drawn
        from autograder.lab.loading import policy
        from autograder.lab.models import base

        settings = dpo(tiny, tmp_path / "out")
        model, words = policy(base(str(tiny)), settings)
        first, again, other = (
            drawn(model, words, [SUM, SUM], dpo(tiny, tmp_path, **{"optim.seed": seed}), 3) for seed in (0, 0, 1)
        )
        assert [len(each) for each in first] == [3, 3]
        assert first == again
        assert first != other

    def test_a_run_that_goes_on_trains_on_the_pairs_that_it_kept(self, tiny: Path, tmp_path: Path) -> None:
        from autograder.lab.run import run

        out = tmp_path / "out"
        with pytest.raises(LabError):
            run(dpo(tiny, out), False, lambda said: None)
        row = '{"prompt": "Compute 20 + 30.", "chosen": "50<|im_end|>", "rejected": "49<|im_end|>"}\n'
        (out / "pairs.jsonl").write_text(row * 4)
        kept = (out / "pairs.jsonl").read_text()
        assert run(dpo(tiny, out), True, lambda said: None)["problems"] == 2
        assert (out / "pairs.jsonl").read_text() == kept
        assert pairs(None, None, dpo(tiny, out), out, lambda said: None)[0]["chosen"] == "50<|im_end|>"
