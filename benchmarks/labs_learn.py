"""Do the labs learn? Each is run on SmolLM2 for as many steps as that takes, and judged as a student's run would be.

    python benchmarks/labs_learn.py [LAB ...] [--runs FOLDER] [--if-installed]      (some 100 minutes on two cores)

A lab is the command that the labs page shows, run as a student would run it; one that was cut short is resumed from its
folder. What it says of itself is not believed: its adapter is measured anew, as `autograder check` does. It has learnt
where that measurement is better after than before, and where its own curve ends above (a loss: below) its beginning by
more than three standard errors of the two means.

What was measured goes to docs/learn/figures/data/labs.json, from which the labs page draws its figure.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppo_cartpole import processor

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "learn" / "figures" / "data" / "labs.json"
RL = "--config docs/learn/labs/smollm2-rl.toml"
SHORT = "--config docs/learn/labs/smollm2.toml --steps 30"


@dataclass(frozen=True)
class Lab:
    """One run: the words of its command, and what of its log has to rise, or to fall where it is a loss."""

    words: str
    watched: str
    needs: tuple[str, ...] = ()


LABS = {
    "grpo-trl": Lab(f"grpo {RL} --steps 41", "reward"),
    "grpo-unsloth": Lab(f"grpo --backend unsloth {RL} --steps 41", "reward", ("unsloth",)),
    "ppo-trl": Lab(f"ppo {RL} --steps 30", "reward"),
    "dpo-trl": Lab("dpo --config docs/learn/labs/smollm2-dpo.toml --steps 30", "loss"),
    "qlora-4": Lab(f"qlora --bits 4 {SHORT}", "loss"),
    "qlora-8": Lab(f"qlora --bits 8 {SHORT}", "loss"),
    "qlora-4-unsloth": Lab(f"qlora --backend unsloth --bits 4 {SHORT}", "loss", ("unsloth",)),
}


def run(name: str, lab: Lab, folder: Path) -> dict[str, Any]:
    """Runs the command, or what is left of it, and measures what it left behind."""
    resume = ["--resume"] if (folder / "run.json").is_file() else []
    command = [sys.executable, "-m", "autograder", "lab", *lab.words.split(), "--out", str(folder), *resume]
    quiet = {"TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **quiet}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}: {' '.join(command)} failed:\n{done.stderr[-4000:]}")
    from autograder.lab.record import Record
    from autograder.lab.run import again

    record = Record(folder)
    kept, rows = record.run() or {}, record.rows()
    return {
        "command": f"autograder lab {lab.words}",
        "watched": lab.watched,
        "curve": [round(row[lab.watched], 4) for row in rows if lab.watched in row],
        "seconds_a_step": round(statistics.median(b["time"] - a["time"] for a, b in itertools.pairwise(rows)), 1),
        "versions": kept["versions"],
        "measured": again(folder, lambda said: None),
    }


def rise(found: dict[str, Any]) -> tuple[float, float]:
    """How far the last quarter of the curve lies above the first (a loss: below), and its standard error."""
    curve = found["curve"]
    quarter = max(len(curve) // 4, 2)
    first, last = curve[:quarter], curve[-quarter:]
    error = ((statistics.variance(first) + statistics.variance(last)) / quarter) ** 0.5
    difference = statistics.fmean(last) - statistics.fmean(first)
    return (-difference if found["watched"] == "loss" else difference), error


def has_learnt(found: dict[str, Any]) -> bool:
    """Whether both the curve and the measurement say so."""
    difference, error = rise(found)
    measured = found["measured"]
    better = measured["after"]["exact"] > measured["before"]["exact"]
    if "loss_over_codes" in measured:  # of qlora: how likely the right answers are, over the base that it trained on
        better = measured["loss_over_codes"]["after"] < measured["loss_over_codes"]["before"]
    return better and difference > 3 * error


def in_words(name: str, found: dict[str, Any]) -> str:
    difference, error = rise(found)
    before, after = found["measured"]["before"], found["measured"]["after"]
    said = (
        f"{name:16} {found['watched']} {'fell' if found['watched'] == 'loss' else 'rose'} by {difference:.2f} "
        f"(standard error {error:.2f}); right {before['exact']:.0%} -> {after['exact']:.0%}, "
        f"ended {before['ended']:.0%} -> {after['ended']:.0%}, {found['seconds_a_step']:.0f} s a step"
    )
    return said if has_learnt(found) else f"{said}   HAS NOT LEARNT"


def missing(lab: Lab) -> list[str]:
    wanted = ("trl", "peft", "transformers", "bitsandbytes", *lab.needs)
    return [name for name in wanted if importlib.util.find_spec(name) is None]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="LAB", help=f"of these only: {', '.join(LABS)}")
    parser.add_argument("--runs", type=Path, help="where the runs lie; those that are there go on")
    parser.add_argument("--if-installed", action="store_true", help="leave out what cannot run here, and say so")
    asked = parser.parse_args()
    base = asked.runs or Path(tempfile.mkdtemp(prefix="labs-"))
    learnt = True
    for name in asked.names or LABS:
        lacks = missing(LABS[name])
        if lacks:
            mend = "make unsloth" if LABS[name].needs else "make llm"
            print(f"{name:16} not run: {', '.join(lacks)} not installed ({mend})", flush=True)
            learnt = learnt and asked.if_installed
            continue
        found = run(name, LABS[name], base / name)
        learnt = has_learnt(found) and learnt
        print(in_words(name, found), flush=True)
        kept = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {}
        kept["machine"] = {"processor": processor(), "cores": os.cpu_count()}
        DATA.write_text(json.dumps({**kept, name: found}) + "\n", encoding="utf-8")
    return 0 if learnt else 1


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
