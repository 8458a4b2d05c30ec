"""One lab, from settings to a measured adapter: refuse early, train, keep, measure."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from autograder.errors import LabError
from autograder.lab.evaluate import check_adapter, losses, measure, memory_of
from autograder.lab.following import Interrupted, OnStep, Stop
from autograder.lab.hooks import Setup, setup, shown
from autograder.lab.loading import how_to_load, policy, require
from autograder.lab.models import Base, Say, base
from autograder.lab.pairs import pairs
from autograder.lab.record import Record
from autograder.lab.settings import Settings
from autograder.lab.sums import split, verify
from autograder.lab.tokens import question, tokenizer_of


@dataclass(frozen=True)
class Preview:
    """What --dry-run shows: the base, and one question and answer as the model sees them."""

    base: Base
    question: str
    answer: str
    end_token: str
    pad_token: str

    def rows(self) -> list[tuple[str, str]]:
        size = f"{self.base.name}, {self.base.parameters / 1e6:,.1f}M parameters, {self.base.folder}"
        tokens = f"an answer ends with {self.end_token}, rows are filled with {self.pad_token}"
        return [("model", size), ("tokens", tokens), ("question", self.question), ("right answer", self.answer)]


def prepare(settings: Settings, say: Say = lambda said: None) -> Base:
    """Everything that can be refused before any long work. Raises LabError."""
    if settings.backend == "unsloth":
        require("unsloth")
        import unsloth  # noqa: F401  (it wants to be imported before transformers and trl)
    require("transformers", "trl", "peft", "datasets")
    if settings.bits < 32:
        require("bitsandbytes")
    _quiet()
    return base(settings.model.name, say)


def _quiet() -> None:
    """Leaves the screen to the lab's own line: no bars, no advice, no telemetry of the libraries."""
    import logging
    import warnings

    from transformers.utils import logging as transformers_logging

    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    for talkative in ("torch", "bitsandbytes"):
        logging.getLogger(talkative).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def preview(settings: Settings, say: Say = lambda said: None) -> Preview:
    found = prepare(settings, say)
    tokenizer = tokenizer_of(found, settings.model)
    own = setup(settings, tokenizer).dataset
    if own:
        asked, right = shown(own[0], tokenizer)
    else:
        problem = split(settings.data)[0][0]
        asked, right = question(tokenizer, problem.question), str(problem.answer)
    return Preview(found, asked, right, tokenizer.eos_token, tokenizer.pad_token)


def run(settings: Settings, resume: bool, say: Say, on_step: OnStep | None = None) -> dict[str, Any]:
    """Trains and measures; returns what was measured.

    Raises LabError where it cannot begin, and Interrupted after Ctrl-C: then what was done is kept for --resume.
    """
    found = prepare(settings, say)
    own = setup(settings, tokenizer_of(found, settings.model))
    record = Record(Path(settings.out.dir))
    record.begin(settings, found, resume)
    say("loading the model")
    model, tokenizer = policy(found, settings)
    if settings.kind == "dpo" and own.dataset is None:
        own = replace(own, dataset=pairs(model, tokenizer, settings, record.folder, say))
    began = time.monotonic()
    try:
        done = _trained(model, tokenizer, found, settings, own, record, on_step)
    except Interrupted as interrupted:
        record.end(settings, found, int(interrupted.args[0]), time.monotonic() - began, {})
        raise
    seconds = time.monotonic() - began
    save(model, record)
    say("measuring on problems that it has not seen")
    measured, answered = measure(
        model, tokenizer, settings, lambda n, of: say(f"measuring: {n} of {of} held-out problems")
    )
    if settings.kind == "qlora":
        measured["memory"] = memory_of(model, found.parameters)
    record.samples(_samples(answered, settings))
    record.end(settings, found, done, seconds, measured)
    return measured


def _trained(
    model: Any, tokenizer: Any, found: Base, settings: Settings, own: Setup, record: Record, on_step: OnStep | None
) -> int:
    from autograder.lab import ppo, trainers

    stop = Stop()
    if settings.kind == "ppo":
        return ppo.ppo(model, tokenizer, found, settings, own, record, stop, on_step)
    train = {"grpo": trainers.grpo, "dpo": trainers.dpo, "qlora": trainers.qlora}[settings.kind]
    return train(model, tokenizer, settings, own, record, stop, on_step)


def save(model: Any, record: Record) -> None:
    """The adapter in peft's layout, or the whole model where all weights trained. Safetensors in any case."""
    target = record.adapter if hasattr(model, "disable_adapter") else record.folder / "model"
    model.save_pretrained(target)


def _samples(rows: list[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """Held-out problems with the trained model's answers, to look at."""
    told = []
    for problem, row in list(zip(split(settings.data)[1], rows, strict=True))[: settings.out.samples]:
        said = {"tokens": row["tokens"], "text": row["text"], "ended": row["ended"]}
        right = verify(row["text"], problem.answer)
        told.append({"prompt": problem.question, "answer": problem.answer, **said, "reward": right})
    return told


def again(folder: Path, say: Say, on_progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Measures a finished run anew from its adapter alone, in plain transformers and peft, on this machine's base.

    Raises LabError where the adapter does not fit, or the base is another one than the run began from.
    """
    require("transformers", "peft")
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    _quiet()

    record = Record(folder)
    kept = record.run()
    if kept is None:
        raise LabError("there is no lab run here", where=str(folder), mend="autograder lab grpo --out DIR")
    settings = restored(kept["settings"])
    found = base(settings.model.name, say)
    if found.digest != kept.get("base", {}).get("digest"):
        raise LabError(
            "the adapter was trained on other weights than the base that is here",
            where=str(folder),
            mend=f"the base {kept.get('base', {}).get('name')!r}",
        )
    say("loading the base and the adapter")
    tokenizer = tokenizer_of(found, settings.model)
    plain = AutoModelForCausalLM.from_pretrained(found.folder, dtype="float32")
    check_adapter(record.adapter, plain)
    model = PeftModel.from_pretrained(plain, record.adapter)
    measured = measure(model, tokenizer, settings, on_progress)[0]
    if settings.kind == "qlora":
        say("loading the base in few bits")
        few = AutoModelForCausalLM.from_pretrained(found.folder, **how_to_load(settings))
        over_codes = PeftModel.from_pretrained(few, record.adapter)
        measured["loss_over_codes"] = losses(over_codes, tokenizer, settings)
        measured["memory"] = memory_of(over_codes, found.parameters)
    return measured


def restored(data: dict[str, Any]) -> Settings:
    """Settings from a run.json. Raises LabError where they are not whole."""
    from autograder.lab.settings import SECTIONS, Kind, read_settings

    flags = {f"{section}.{key}": value for section in SECTIONS for key, value in data.get(section, {}).items()}
    top = {name: data.get(name) for name in ("backend", "device", "steps")}
    if data.get("kind") not in get_args(Kind):
        raise LabError("run.json does not say which lab this was", mend="--out DIR begins another run")
    return read_settings(data["kind"], None, {**top, **flags})
