"""Writes docs/learn/figures/check_screen.txt: what a student really sees when the scale is missing from attention.

python docs/_build/check_screen.py            runs the check in a temporary course and writes what it printed
python docs/_build/check_screen.py --check    says whether the page shows something else, and exits 1 if so

The counts are those of a machine without the optional libraries (transformers), which is what the install gives.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from generated import ROOT, settle

PAGE = ROOT / "docs" / "learn" / "figures" / "check_screen.txt"
COMMAND = "python docs/_build/check_screen.py"
ASSIGNMENT = "a02_attention"
WIDTH = 76
"""Columns: what a code block of the site shows without scrolling."""

WRITTEN = {
    "causal_mask": """
def causal_mask(T_q, T_k):
    if T_q < 0 or T_k < 0:
        raise ValueError("sizes cannot be negative")
    return torch.ones(T_q, T_k, dtype=torch.bool).tril(T_k - T_q)
""",
    "attention": """
def attention(q, k, v, mask=None):
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError("shapes do not fit")
    scores = q @ k.transpose(-2, -1)
    if mask is None:
        return scores.softmax(-1) @ v
    if mask.dtype != torch.bool:
        raise ValueError("the mask must be of dtype bool")
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return torch.where(mask.any(-1, keepdim=True), weights, 0.0) @ v
""",
}
"""A student half-way: the first task is right, the second lacks the scale, the rest is not written yet."""


def half_written(stub: str) -> str:
    """The stub with the functions of WRITTEN in the place of theirs."""
    lines = stub.splitlines()
    for node in reversed(ast.parse(stub).body):
        if isinstance(node, ast.FunctionDef) and node.name in WRITTEN:
            lines[node.lineno - 1 : node.end_lineno] = WRITTEN[node.name].strip().splitlines()
    return "\n".join(lines) + "\n"


def screen() -> str:
    """What `autograder check a02` prints on that."""
    with tempfile.TemporaryDirectory(prefix="check-screen-") as folder:
        for part in ("assignments", "solutions"):
            shutil.copytree(ROOT / part, Path(folder) / part)
        work = Path(folder) / "assignments" / ASSIGNMENT
        work.joinpath("attention.py").write_text(half_written((work / ".stub.py").read_text("utf-8")), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "autograder", "check", "a02"],
            cwd=folder,
            env={**os.environ, "AUTOGRADER_COURSE": folder, "COLUMNS": str(WIDTH), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    if done.returncode != 1:
        raise SystemExit(f"the check ended with {done.returncode}, not 1:\n{done.stdout}{done.stderr}")
    lines = [line.rstrip() for line in done.stdout.strip("\n").splitlines()]
    return "\n".join(line for line in lines if "skipped:" not in line).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    sys.exit(settle(PAGE, screen(), COMMAND, sys.argv[1:]))
