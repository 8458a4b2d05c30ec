"""Submissions per minute: stock `nbgrader autograde` against ours, on the same notebooks of a02, in one run.

    python benchmarks/nbgrader_speed.py [N] [--jobs 2] [--json]

N right submissions (default 6), which differ by a comment, so that nothing is found in a cache. Three sides, in turn:

stock      nbgrader as it comes: a kernel for each notebook; its check cells hold plain assertions, such as an author
           without this framework would write. They are fewer than our public tests, and there are no hidden ones.
ours       the same command on the same notebooks with the config that `autograder release --nbgrader` writes: every
           public and hidden test in the sandbox.
batch      `python -m autograder grade FOLDER --gradebook DB --jobs J`, where this version has it.

The start of a command (imports, one sandbox) is part of every figure, so N should not be small.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NAME, BOOK = "a02_attention", "attention"

IMPORTS = "import torch\nimport torch.nn.functional as F\n"
STOCK_CHECKS = {
    "causal_mask": IMPORTS
    + """\
assert torch.equal(causal_mask(4, 4), torch.ones(4, 4).tril().bool())
assert torch.equal(causal_mask(2, 4), torch.tensor([[True, True, True, False], [True] * 4]))
assert causal_mask(0, 3).shape == (0, 3)
""",
    "attention": IMPORTS
    + """\
torch.manual_seed(0)
q, k, v = (torch.randn(2, 3, 5, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
mask = causal_mask(5, 5)
ours, theirs = attention(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
torch.testing.assert_close(ours, theirs)
torch.testing.assert_close(torch.autograd.grad(ours.sum(), q)[0], torch.autograd.grad(theirs.sum(), q)[0])
assert (attention(q, k, v, torch.zeros(5, 5).bool()) == 0).all()
""",
    "rope": IMPORTS
    + """\
x = torch.randn(1, 2, 6, 8, dtype=torch.float64)
assert torch.allclose(rope(x, torch.zeros(6, dtype=torch.int64)), x)
a, b = rope(x, torch.arange(6)), rope(x, torch.arange(6) + 7)
assert torch.allclose(a @ a.transpose(-2, -1), b @ b.transpose(-2, -1), atol=1e-4)
""",
    "MultiHeadAttention": IMPORTS
    + """\
torch.manual_seed(0)
ours, theirs = MultiHeadAttention(12, 3), torch.nn.MultiheadAttention(12, 3, bias=False, batch_first=True)
weights = [getattr(ours, name).weight for name in ("q_proj", "k_proj", "v_proj")]
theirs.load_state_dict({"in_proj_weight": torch.cat(weights), "out_proj.weight": ours.o_proj.weight})
x, mask = torch.randn(2, 5, 12), causal_mask(5, 5)
torch.testing.assert_close(ours(x, mask), theirs(x, x, x, attn_mask=~mask, need_weights=False)[0], atol=1e-5, rtol=1e-4)
""",
    "attention_with_cache": IMPORTS
    + """\
torch.manual_seed(0)
module, x = MultiHeadAttention(12, 3, rope_base=500.0), torch.randn(2, 5, 12)
first, cache = attention_with_cache(module, x[:, :3], None)
second, cache = attention_with_cache(module, x[:, 3:], cache)
whole = module(x, causal_mask(5, 5))
torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-5, rtol=1e-4)
""",
}


def environment(base: Path) -> dict[str, str]:
    own = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "JUPYTER_CONFIG_DIR": str(base / "jupyter"),
        "JUPYTER_DATA_DIR": str(base / "data"),
        "HOME": str(base),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore",
    }
    return {**os.environ, **own}


def run(base: Path, folder: Path, *command: str) -> float:
    """Seconds that a command took; it has to work."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment(base), capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - began


def source_of(cell: dict[str, Any]) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def stock_tree(ours: Path, folder: Path) -> None:
    """The same assignment as a stock author would have it: assertions in its check cells, and no config."""
    source = folder / "source" / NAME
    source.mkdir(parents=True)
    notebook = json.loads((ours / "source" / NAME / f"{BOOK}.ipynb").read_text())
    notebook["cells"] = [stock_cell(cell) for cell in notebook["cells"]]
    (source / f"{BOOK}.ipynb").write_text(json.dumps(notebook))
    (folder / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'stock'\n")


def stock_cell(cell: dict[str, Any]) -> dict[str, Any]:
    name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
    if name == "setup":
        return {**cell, "source": "pass"}
    return {**cell, "source": STOCK_CHECKS[name[6:]]} if name.startswith("check-") else cell


def hand_in(tree: Path, count: int) -> None:
    """`count` submissions of the released notebook with the author's answers in it."""
    answers = json.loads((tree / "source" / NAME / f"{BOOK}.ipynb").read_text())
    texts = {cell["id"]: source_of(cell) for cell in answers["cells"] if cell["id"].startswith("task-")}
    notebook = json.loads((tree / "release" / NAME / f"{BOOK}.ipynb").read_text())
    for number in range(count):
        cells = [
            {**cell, "source": texts[cell["id"]] + f"\n# {number}"} if cell["id"] in texts else cell
            for cell in notebook["cells"]
        ]
        folder = tree / "submitted" / f"s{number:03}" / NAME
        folder.mkdir(parents=True)
        (folder / f"{BOOK}.ipynb").write_text(json.dumps({**notebook, "cells": cells}))


def full_marks(base: Path, tree: Path) -> bool:
    """Whether nbgrader's gradebook gives everybody all points: a side that fails fast must not look fast."""
    run(base, tree, "nbgrader", "export", "--to", "grades.csv")
    lines = (tree / "grades.csv").read_text().splitlines()
    head = lines[0].split(",")
    rows = [dict(zip(head, line.split(","), strict=True)) for line in lines[1:]]
    return bool(rows) and all(float(row["score"]) == float(row["max_score"]) for row in rows)


def measure(count: int, jobs: int) -> dict[str, Any]:
    base = Path(tempfile.mkdtemp(prefix="nbgrader-speed-"))
    try:
        ours, stock = base / "ours", base / "stock"
        run(base, ROOT, "autograder", "release", "--nbgrader", str(ours))
        stock_tree(ours, stock)
        found: dict[str, Any] = {"submissions": count}
        for name, tree in (("ours", ours), ("stock", stock)):
            run(base, tree, "nbgrader", "generate_assignment", NAME)
            hand_in(tree, count)
            seconds = run(base, tree, "nbgrader", "autograde", NAME)
            if not full_marks(base, tree):
                sys.exit(f"{name}: not everybody got full marks, so this measures something else")
            found[name] = round(60 * count / seconds, 1)
        if "grade SUBMISSIONS" in help_of(base):
            command = ("autograder", "grade", str(ours / "submitted"), "--gradebook", str(base / "batch.db"))
            found["batch"] = round(60 * count / run(base, ROOT, *command, "--jobs", str(jobs)), 1)
        found["times"] = {name: round(found[name] / found["stock"], 1) for name in ("ours", "batch") if name in found}
        return found
    finally:
        shutil.rmtree(base, ignore_errors=True)


def help_of(base: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "autograder", "grade", "--help"], env=environment(base), capture_output=True, text=True
    )
    return "grade SUBMISSIONS" if "--gradebook" in done.stdout else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=6)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    found = measure(told.count, told.jobs)
    if told.json:
        print(json.dumps(found, indent=1))
        return
    for name in ("stock", "ours", "batch"):
        if name in found:
            times = found["times"].get(name)
            print(f"{name:6} {found[name]:8.1f} submissions a minute" + (f"   {times} times stock" if times else ""))


if __name__ == "__main__":
    main()
