"""The command that trains the capstone's agent and writes its report, run as a student will run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.testing.modules import without_test_cells

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("build_model", "warm_start", "evaluate", "improve_grpo", "improve_ppo", "write_report")


def run(*args: object, folder: Path = ROOT / "solutions") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "common.capstone", *map(str, args)]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=quiet, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """The course's own agent, as a student's file would be."""
    source = (ROOT / "solutions" / "a19_capstone" / "source.py").read_text(encoding="utf-8")
    path = tmp_path / "agent.py"
    path.write_text(without_test_cells(source), encoding="utf-8")
    return path


def test_a_report_is_written_around_the_agents_own_figures(agent: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "report"
    ran = run(agent, "--out", out, "--seeds", 2, "--rounds", 3)
    assert ran.returncode == 0, ran.stderr
    results = json.loads((out / "results.json").read_text())
    assert results["completions"] == [1024, 2048, 3072]
    assert all(0.2 < share < 0.7 for share in results["accuracy"]["warm"])
    page, text = (out / "report.html").read_text(), (out / "report.md").read_text()
    for name in ("accuracy.png", "reward.png", "surprise.png"):
        assert (out / name).stat().st_size > 5000
        assert f"src='{name}'" in page
        assert f"({name})" in text
    assert f"{results['accuracy']['grpo'][1]:.3f}" in page
    assert "Failures, looked at" in text
    assert (out / "grpo.safetensors").is_file()

    again = run(agent, "--out", out, "--seeds", 2, "--rounds", 1)
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    assert json.loads((out / "results.json").read_text()) == results


def test_what_cannot_be_reported_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    missing = run(tmp_path / "nothing.py", "--out", tmp_path / "out")
    assert missing.returncode == 1
    assert "there is no file" in missing.stderr
    stub = tmp_path / "stub.py"
    stub.write_text("def build_model(vocab_size):\n    raise NotImplementedError()\n", encoding="utf-8")
    lacking = run(stub, "--out", tmp_path / "out")
    assert "has no warm_start, evaluate," in lacking.stderr
    with stub.open("a", encoding="utf-8") as file:
        file.writelines(f"def {name}(*_):\n    raise NotImplementedError()\n" for name in FUNCTIONS[1:])
    empty = run(stub, "--out", tmp_path / "out")
    assert "a function is not written yet" in empty.stderr
    assert "Traceback" not in empty.stderr
    few = run(stub, "--out", tmp_path / "out", "--seeds", 1)
    assert "at least 2" in few.stderr
