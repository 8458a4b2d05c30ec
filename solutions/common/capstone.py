"""Trains an agent on several seeds by both algorithms, measures it, and writes a report around its own figures.

    cd assignments && python -m common.capstone a19_capstone/agent.py --out ../capstone

What the agent says of itself counts for nothing here either: problems, rewards and accuracy come from this file.
"""

import argparse
import copy
import html
import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from common import sums
from common.preferences import generate
from common.tiny_lm import TinyLM, save_weights

LONGEST, LOOKS, FAILURES = 8, 20, 12
ALGORITHMS = ("grpo", "ppo")
FUNCTIONS = ("build_model", "warm_start", "evaluate", "improve_grpo", "improve_ppo", "write_report")


class Watched:
    """The reward function, and what it saw: every completion is counted, and each look is a mean over what came since."""

    def __init__(self, warm: TinyLM, budget: int):
        self.warm, self.budget, self.used = warm, budget, 0
        self.rows: list[dict[str, float]] = []
        self.since: list[dict[str, Tensor]] = []

    def __call__(self, prompts: Tensor, completions: Tensor, mask: Tensor) -> Tensor:
        """prompts (M, 6), completions (M, R), mask (M, R) bool -> rewards (M,): 1.0 for the right sum and its end."""
        self.used += len(prompts)
        if self.used > self.budget:
            raise ValueError(f"the {self.budget} completions are spent")
        digits = prompts.clamp(0, 9)
        problems = torch.stack([digits[:, 0] * 10 + digits[:, 1], digits[:, 3] * 10 + digits[:, 4]], dim=1)  # (M, 2)
        rewards = sums.exact(problems, completions.masked_fill(~mask, sums.PAD)).float()
        surprise = -(written_log_probs(self.warm, prompts, completions) * mask).sum(1)  # (M,)
        same = (prompts[1:] == prompts[:-1]).all(1)  # (M-1,)  neighbours that answer one prompt
        unlike = (rewards[1:] != rewards[:-1]) & same
        self.since.append({
            "reward": rewards, "surprise": surprise, "length": mask.sum(1).float(),
            "differ": unlike[same].float(),
        })  # fmt: skip
        if self.used >= (len(self.rows) + 1) * self.budget / LOOKS:
            seen = {name: torch.cat([each[name] for each in self.since]) for name in self.since[0]}
            self.rows.append(
                {"completions": self.used, **{name: x.mean().item() for name, x in seen.items() if len(x)}}
            )
            self.since = []
            print(f"    {self.used:>7,} completions, mean reward {self.rows[-1]['reward']:.2f}", flush=True)
        return rewards


@torch.no_grad()
def written_log_probs(model: TinyLM, prompts: Tensor, completions: Tensor) -> Tensor:
    """Log-probability of each token of completions (M, R), at temperature 1; padding is never written."""
    logits = model(torch.cat([prompts, completions], dim=1))[:, prompts.shape[1] - 1 : -1]  # (M, R, V)
    logits[:, :, sums.PAD] = -1e9
    return logits.log_softmax(-1).gather(2, completions[..., None])[..., 0]


def answers_to(model: TinyLM, problems: Tensor) -> Tensor:
    """Greedy answers to problems (n, 2): (n, R)."""
    asked = sums.prompts(problems)
    everything = torch.ones_like(asked, dtype=torch.bool)
    return generate(model, asked, everything, LONGEST, sums.EOS, sums.PAD, temperature=0)[0]


def accuracy(model: TinyLM) -> float:
    """The share of all held-out sums that are exact, read off greedily."""
    held_out = sums.split()[1]
    return sums.exact(held_out, answers_to(model, held_out)).float().mean().item()


def three_digits(model: TinyLM, n: int = 500) -> float:
    """The share of sums of two three-digit numbers whose last three characters before the end are right; seldom any."""
    generator = torch.Generator().manual_seed(0)
    problems = torch.randint(100, 500, (n, 2), generator=generator)
    asked = torch.tensor([sums.encode(f"{a}+{b}=") for a, b in problems.tolist()])
    everything = torch.ones_like(asked, dtype=torch.bool)
    written, _ = generate(model, asked, everything, LONGEST, sums.EOS, sums.PAD, temperature=0)
    right = [sums.decode(row) == f"{a + b:03d}." for row, (a, b) in zip(written, problems.tolist(), strict=True)]
    return sum(right) / n


def failures(model: TinyLM) -> list[tuple[str, str, str]]:
    """A few held-out problems that the model gets wrong: what was asked, what came, what is right."""
    held_out = sums.split()[1]
    written = answers_to(model, held_out)
    wrong = (~sums.exact(held_out, written)).nonzero()[:, 0].tolist()
    chosen = wrong[:: max(1, len(wrong) // FAILURES)][:FAILURES]
    return [
        (f"{held_out[i, 0]:02d}+{held_out[i, 1]:02d}=", sums.decode(written[i]), f"{held_out[i].sum():03d}.")
        for i in chosen
    ]


def run_seed(agent: ModuleType, seed: int, rounds: int) -> dict:
    """A warm start and both improvements of it, measured; the models come along."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    shown = [0]

    def demonstrations(n: int) -> tuple[Tensor, Tensor]:
        shown[0] += n
        if shown[0] > 128_000:
            raise ValueError("the 128,000 demonstrations are spent")
        return sums.demonstrations(sums.sample_problems(n, generator))

    def problems(n: int) -> Tensor:
        return sums.prompts(sums.sample_problems(n, generator))

    warm = agent.warm_start(agent.build_model(len(sums.CHARACTERS)), demonstrations, 500, seed)
    found = {"seed": seed, "shown": shown[0], "warm": accuracy(warm), "models": {"warm": warm}}
    print(f"  seed {seed}: warm start after {shown[0]:,} demonstrations, {found['warm']:.0%} exact", flush=True)
    for name in ALGORITHMS:
        watched, began = Watched(copy.deepcopy(warm).eval(), rounds * 1024), time.process_time()
        improve: Callable = getattr(agent, f"improve_{name}")
        model = improve(copy.deepcopy(warm), problems, watched, rounds, seed)
        found[name] = accuracy(model)
        found["models"][name] = model
        found[f"{name}_rows"], found[f"{name}_seconds"] = watched.rows, time.process_time() - began
        print(f"  seed {seed}: {name} {found['warm']:.0%} -> {found[name]:.0%}", flush=True)
    return found


def results_of(runs: list[dict]) -> dict:
    """What write_report takes. Looks that not every run has come to are left out."""
    looks = min(len(run[f"{name}_rows"]) for run in runs for name in ALGORITHMS)

    def curves(key: str) -> dict[str, list[list[float]]]:
        return {name: [[row[key] for row in run[f"{name}_rows"][:looks]] for run in runs] for name in ALGORITHMS}

    return {
        "seeds": [run["seed"] for run in runs],
        "accuracy": {name: [run[name] for run in runs] for name in ("warm", *ALGORITHMS)},
        "completions": [row["completions"] for row in runs[0]["grpo_rows"][:looks]],
        "reward": curves("reward"),
        "surprise": curves("surprise"),
    }


def way(runs: list[dict]) -> list[list[str]]:
    """A table of five looks: what was paid, how long answers were, and how often a group's neighbours were paid unlike."""
    looks = min(len(run[f"{name}_rows"]) for run in runs for name in ALGORITHMS)
    chosen = sorted({round(k * (looks - 1) / 4) for k in range(5)})
    table = [["", "completions", *(f"{runs[0]['grpo_rows'][i]['completions']:,}" for i in chosen)]]
    told = [
        (name, key, words)
        for name in ALGORITHMS
        for key, words in (("reward", "mean reward"), ("length", "tokens an answer"))
    ]
    told.append(("grpo", "differ", "neighbours in a group that are paid differently"))
    for name, key, words in told:
        over = [[run[f"{name}_rows"][i].get(key, math.nan) for run in runs] for i in chosen]  # (looks, seeds)
        table.append([name, words, *(f"{sum(each) / len(each):.2f}" for each in over)])
    return table


def sections(agent: ModuleType, runs: list[dict], names: list[str], rounds: int) -> list[tuple[str, list]]:
    """The report, piece by piece: a heading, and text, pictures ("![...]") and tables (lists of rows) under it."""
    last = runs[-1]["models"]["grpo"]
    held_out = sums.split()[1]
    asked, wanted = sums.prompts(held_out), held_out.sum(1).tolist()
    rows = [["", "seed", "exact before", "exact after", "ended", "entropy, nats a token", "CPU-seconds"]]
    for run in runs:
        for name in ALGORITHMS:
            said = agent.evaluate(run["models"][name], asked, wanted)
            rows.append([
                name, str(run["seed"]), f"{run['warm']:.3f}", f"{run[name]:.3f}", f"{said['ended']:.3f}",
                f"{said['entropy']:.4f}", f"{run[f'{name}_seconds']:.0f}",
            ])  # fmt: skip
    on_the_way = way(runs)
    wrong = failures(last)
    pictures = [f"![{name}]({name})" for name in names if name.endswith(".png")]
    return [
        ("The problem", [
            "A language model of characters is asked 37+58= and should write 095. and nothing else. "
            f"It is measured on {len(held_out)} sums that neither part of its training contains, nor their mirror images.",
            "[Say here in your own words why this is harder, or easier, than it looks.]",
        ]),
        ("The recipe", [
            f"{sum(p.numel() for p in last.parameters()):,} weights. Warm start on {', '.join(str(run['shown']) for run in runs)} demonstrations; "
            f"then {rounds} rounds of at most 1,024 completions, by each algorithm, from the same warm start.",
            "[Say here what you chose, what you tried, and what each change was worth.]",
        ]),
        ("What came of it", [rows, f"Sums of two three-digit numbers, never trained on: {three_digits(last):.1%} exact.", *pictures]),
        ("On the way", [on_the_way, "[Say here where your curves are flat, and why.]"]),
        ("Failures, looked at", [
            [["asked", "written", "right"], *map(list, wrong)] if wrong else "None of the held-out sums is wrong.",
            "[What do these have in common? Carries, sizes, digits?]",
        ]),
    ]  # fmt: skip


def as_markdown(parts: list[tuple[str, list]]) -> str:
    """The report as Markdown."""
    lines = ["# An agent that learns to add", ""]
    for heading, pieces in parts:
        lines += [f"## {heading}", ""]
        for piece in pieces:
            if isinstance(piece, list):
                head, *rows = piece
                lines += [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
            else:
                lines.append(piece)
            lines.append("")
    return "\n".join(lines)


def as_html(parts: list[tuple[str, list]]) -> str:
    """The report as one page, readable in the dark and on a phone. The pictures lie beside it."""
    body = ["<h1>An agent that learns to add</h1>"]
    for heading, pieces in parts:
        body.append(f"<h2>{html.escape(heading)}</h2>")
        for piece in pieces:
            if isinstance(piece, list):
                head, *rows = ([html.escape(cell) for cell in row] for row in piece)
                cells = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
                cells += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
                body.append(f"<div class='wide'><table>{''.join(cells)}</table></div>")
            elif piece.startswith("!["):
                name = piece[2 : piece.index("]")]
                body.append(
                    f"<img src='{html.escape(name)}' alt='{html.escape(name.removesuffix('.png'))} over seeds'>"
                )
            else:
                body.append(f"<p>{html.escape(piece)}</p>")
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        "<title>An agent that learns to add</title><style>:root{color-scheme:light dark}"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}"
        ".wide{overflow-x:auto}table{border-collapse:collapse}th,td{padding:.2rem .7rem;text-align:left;"
        "border-bottom:1px solid #8886}td{font-variant-numeric:tabular-nums}img{max-width:100%;height:auto;background:#fff}"
        "</style><body>" + "\n".join(body) + "</body></html>\n"
    )


def load(path: Path) -> ModuleType:
    """The student's module. SystemExit with a sentence where there is none."""
    if not path.is_file():
        raise SystemExit(f"there is no file {path}; in the kit it is a19_capstone/agent.py, seen from assignments/")
    spec = importlib.util.spec_from_file_location("agent", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lacking = [name for name in FUNCTIONS if not hasattr(module, name)]
    if lacking:
        raise SystemExit(f"{path} has no {', '.join(lacking)}")
    return module


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Trains the capstone's agent on several seeds, and reports.")
    parser.add_argument("agent", type=Path, help="the file with your six functions")
    parser.add_argument("--out", type=Path, default=Path("capstone"), help="a new folder for the report")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=120, help="of 1,024 completions, for each algorithm")
    asked = parser.parse_args()
    if asked.seeds < 2 or asked.rounds < 1:
        raise SystemExit("--seeds should be at least 2, so that luck can be seen, and --rounds at least 1")
    if asked.out.exists() and any(asked.out.iterdir()):
        raise SystemExit(
            f"{asked.out} is not empty, and nothing of yours is overwritten: name another folder with --out"
        )
    agent = load(asked.agent)
    torch.set_num_threads(1)
    runs = []
    for seed in range(asked.seeds):
        try:
            runs.append(run_seed(agent, seed, asked.rounds))
        except NotImplementedError:
            raise SystemExit("a function is not written yet: autograder check a19 says which") from None
    results = results_of(runs)
    names = agent.write_report(results, str(asked.out))
    (asked.out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    for name, model in runs[-1]["models"].items():
        save_weights(model, asked.out / f"{name}.safetensors")
    parts = sections(agent, runs, names, asked.rounds)
    (asked.out / "report.md").write_text(as_markdown(parts), encoding="utf-8")
    (asked.out / "report.html").write_text(as_html(parts), encoding="utf-8")
    print(
        f"written: {asked.out / 'report.html'}, report.md, {', '.join(names)}. What stands in [brackets] is yours to say."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
