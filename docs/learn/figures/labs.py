"""Draws the figure of the page on labs, and writes its table: python docs/learn/figures/labs.py

What is drawn was measured by benchmarks/labs_learn.py on SmolLM2-135M-Instruct, and is kept in data/labs.json.

Colours, fonts and the way of saving are those of the figures on attention. Running this twice gives the same bytes.
"""

from __future__ import annotations

import json
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from a02_attention import AMBER, BLUE, FOLDER, QUIET, WIDTH, save
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "labs"
DATA = FOLDER / "data" / "labs.json"
TABLE = FOLDER / "labs_table.txt"
QLORA = FOLDER / "labs_qlora.txt"
ORDER = ("grpo-trl", "grpo-unsloth", "ppo-trl", "dpo-trl", "qlora-4", "qlora-4-unsloth", "qlora-8")
SHOWN = (("grpo-trl", "GRPO", BLUE), ("ppo-trl", "PPO", AMBER), ("dpo-trl", "DPO", QUIET))


def main() -> None:
    """Draws the figure and writes the table into this folder."""
    found = json.loads(DATA.read_text(encoding="utf-8"))
    runs = {name: found[name] for name in ORDER if name in found}
    TABLE.write_text(table(runs), encoding="utf-8")
    QLORA.write_text(qlora({name: run for name, run in runs.items() if name.startswith("qlora")}), encoding="utf-8")
    save(learning(found), "labs", "Three labs on SmolLM2, learning to add", in_words(found))


def table(found: dict[str, Any]) -> str:
    """What each run gave, in Markdown: what was right and what ended on held-out sums, and what a step took."""
    rows = ["| command, after `autograder lab` | right before | after | ended before | after | a step |"]
    rows.append("|---|---:|---:|---:|---:|---:|")
    for run in found.values():
        before, after = run["measured"]["before"], run["measured"]["after"]
        interval = f"{after['exact_low']:.0%} to {after['exact_high']:.0%}"
        words = run["command"].removeprefix("autograder lab ").replace("docs/learn/labs/", "")
        rows.append(
            f"| `{words}` | {before['exact']:.0%} | {after['exact']:.0%} ({interval}) | {before['ended']:.0%} "
            f"| {after['ended']:.0%} | {run['seconds_a_step']:.0f} s |"
        )
    return "\n".join(rows) + "\n"


def qlora(found: dict[str, Any]) -> str:
    """The loss of the right answers over both bases, before and after, and what the bases weigh, in Markdown."""
    rows = ["| | over its own base, before | after | over the float base, before | after | its base | in float32 |"]
    rows.append("|---|---:|---:|---:|---:|---:|---:|")
    for name, run in sorted(found.items()):
        loss, codes, memory = (run["measured"][key] for key in ("loss", "loss_over_codes", "memory"))
        figures = [codes["before"], codes["after"], loss["before"], loss["after"]]
        bytes_ = [memory["base"], memory["float32"]]
        _, bits, *backend = name.split("-")
        row = [f"{bits} bits, {'Unsloth' if backend else 'TRL'}", *(f"{x:.2f}" for x in figures)]
        rows.append(f"| {' | '.join([*row, *(f'{x / 1e6:.0f} MB' for x in bytes_)])} |")
    return "\n".join(rows) + "\n"


def in_words(found: dict[str, Any]) -> str:
    """The alternative text: rewards at the beginning and the end, and what was right on held-out sums."""
    said = []
    for name, words, _ in SHOWN:
        curve, measured = found[name]["curve"], found[name]["measured"]
        right = f"right {measured['before']['exact']:.0%} before, {measured['after']['exact']:.0%} after"
        if found[name]["watched"] == "reward":
            right += (
                f", reward {sum(curve[:5]) / 5:.2f} over the first five steps, {sum(curve[-5:]) / 5:.2f} over the last"
            )
        said.append(f"{words}: {right}")
    return ". ".join(said) + "."


def learning(found: dict[str, Any]) -> Figure:
    """Rewards while it trains; what is right on held-out sums before and after, with Wilson's interval."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.1), layout="constrained")
    for place, (name, words, colour) in enumerate(reversed(SHOWN)):
        it = found[name]
        if it["watched"] == "reward":
            left.plot(range(1, len(it["curve"]) + 1), it["curve"], color=colour, label=words)
        for when, shade, shift in (("before", QUIET, 0.12), ("after", BLUE, -0.12)):
            figures = it["measured"][when]
            right.plot([figures["exact_low"], figures["exact_high"]], [place + shift] * 2, color=shade, linewidth=1.5)
            right.plot(figures["exact"], place + shift, "o", color=shade, markersize=5)
    left.set(xlabel="step, of 64 answers", ylabel="mean reward")
    left.legend(frameon=False, loc="lower right", fontsize="small")
    right.set_yticks(range(len(SHOWN)), [words for _, words, _ in reversed(SHOWN)])
    right.set(xlabel="held-out sums right", xlim=(0, 1))
    return figure


if __name__ == "__main__":
    main()
