"""PPO against GRPO on a real model: the same start, equal completions, paired seeds, an interval."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autograder.errors import LabError
from autograder.files import write_json
from autograder.lab.following import OnStep
from autograder.lab.models import Say, base
from autograder.lab.record import Record
from autograder.lab.run import prepare, run
from autograder.lab.settings import Kind, Settings, read_settings

T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t: the 0.975 quantile for 1 to 9 degrees of freedom (Student 1908)."""

BYTES = 16
"""Of a trained float32 parameter: weight, gradient, and AdamW's two moments."""

KINDS: tuple[Kind, Kind] = ("ppo", "grpo")


def plan(config: Path | None, flags: Mapping[str, Any], backends: Mapping[str, str], seeds: int) -> list[Settings]:
    """The settings of every run, seed by seed, PPO first. Raises LabError where no comparison can come of them."""
    if not 2 <= seeds <= len(T975) + 1:
        raise LabError(f"{seeds} seeds cannot be compared", mend=f"--seeds 2 to {len(T975) + 1}")
    folder = Path(str(flags.get("out.dir") or "lab_compare"))
    runs = []
    for seed in range(seeds):
        for kind in KINDS:
            own = {"backend": backends[kind], "optim.seed": seed, "out.dir": str(folder / f"{kind}-{seed}")}
            runs.append(read_settings(kind, config, {**flags, **own}))
    return runs


def compare(runs: list[Settings], resume: bool, say: Say, on_step: OnStep | None = None) -> dict[str, Any]:
    """Trains and measures every run that is not done yet; what came of it, also kept as compare.json.

    Raises LabError where it cannot begin, and Interrupted after Ctrl-C: then --resume goes on with the run that it hit.
    """
    folder = Path(runs[0].out.dir).parent
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise LabError(
            "this folder is not empty", where=str(folder), mend="--resume goes on with it; --out DIR begins another"
        )
    for settings in runs:
        prepare(settings, say)
    for number, settings in enumerate(runs, 1):
        record = Record(Path(settings.out.dir))
        if finished(record, settings):
            continue
        where = f"run {number} of {len(runs)}, {settings.kind} with seed {settings.optim.seed}"
        run(settings, record.run() is not None, _told(say, where), on_step)
    found = outcome(runs)
    write_json(folder / "compare.json", found)
    return found


def _told(say: Say, where: str) -> Callable[[str], None]:
    return lambda said: say(f"{where}: {said}")


def finished(record: Record, settings: Settings) -> bool:
    """Whether this run is done, with these settings. Raises LabError where it was another one."""
    kept = record.run()
    if kept is None or kept["steps_done"] < settings.steps or not kept["measured"]:
        return False
    if kept["settings"] != json.loads(json.dumps(settings.to_json())):
        raise LabError(
            "this run was made with other settings",
            where=str(record.folder / "run.json"),
            mend="the same flags and file as before, or --out DIR begins another comparison",
        )
    return True


def outcome(runs: list[Settings]) -> dict[str, Any]:
    """Each run's figures, and GRPO's share of exact answers less PPO's, seed by seed, with its 95% interval."""
    rows = [_row(settings) for settings in runs]
    after = {kind: [row["after"]["exact"] for row in rows if row["kind"] == kind] for kind in KINDS}
    differences = [grpo - ppo for ppo, grpo in zip(after["ppo"], after["grpo"], strict=True)]
    first = runs[0]
    critic = parameters_of_the_critic(first)
    return {
        "model": first.model.name,
        "steps": first.steps,
        "completions": first.steps * first.optim.batch * first.optim.accumulation,
        "runs": rows,
        "difference": paired(differences),
        "critic": {"parameters": critic, "bytes": critic * BYTES},
    }


def _row(settings: Settings) -> dict[str, Any]:
    record = Record(Path(settings.out.dir))
    kept, steps = record.run() or {}, record.rows()
    measured = kept["measured"]
    batch = settings.optim.batch * settings.optim.accumulation
    return {
        "kind": settings.kind,
        "backend": settings.backend,
        "seed": settings.optim.seed,
        "before": measured["before"],
        "after": measured["after"],
        "problems": measured["problems"],
        "tokens": round(sum(row.get("length", math.nan) for row in steps) * batch) if _all_long(steps) else None,
        "seconds": kept["seconds"],
        "reward": [[row["step"] * batch, row["reward"]] for row in steps if "reward" in row],
    }


def _all_long(steps: list[dict[str, float]]) -> bool:
    return bool(steps) and all("length" in row for row in steps)


def paired(differences: list[float]) -> dict[str, Any]:
    """The mean of paired differences, its 95% interval by Student's t, and who wins if the interval does not hold 0."""
    mean, n = statistics.fmean(differences), len(differences)
    half = T975[n - 2] * statistics.stdev(differences) / math.sqrt(n)
    low, high = mean - half, mean + half
    winner = "grpo" if low > 0 else "ppo" if high < 0 else "undecided"
    return {"seeds": differences, "mean": mean, "low": low, "high": high, "winner": winner}


def parameters_of_the_critic(settings: Settings) -> int:
    """How many weights PPO's critic has; counted without loading them."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(base(settings.model.name, lambda said: None).folder, num_labels=1)
    if settings.ppo.value_model == "small":
        config.num_hidden_layers = 2
    with torch.device("meta"):
        critic = AutoModelForSequenceClassification.from_config(config)
    return sum(p.numel() for p in critic.parameters())
