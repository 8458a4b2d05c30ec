"""A kit of the toy course, made once; and reports with every outcome."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.report import Figure, Recognised, Report, TestResult


@pytest.fixture(scope="session")
def toy_kit(released_toy, tmp_path_factory) -> Path:
    """The toy course's student kit. Read it, never write to it."""
    from autograder.classroom.kit import write_kit

    folder = tmp_path_factory.mktemp("kits") / "kit"
    write_kit(released_toy, folder)
    return folder


@pytest.fixture
def own_kit(toy_kit, tmp_path) -> Path:
    """A copy of one's own, as a student has it."""
    return Path(shutil.copytree(toy_kit, tmp_path / "own_kit"))


@pytest.fixture
def command():
    """A command of the engine that lies in a folder (or of this one), as a process."""

    def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AUTOGRADER", "PYTEST", "COV"))}
        return subprocess.run(
            [sys.executable, "-m", "autograder", *arguments],
            cwd=folder,
            env={**kept, "COLUMNS": "200", **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )

    return run


def a_test(name, outcome, hidden=True, points=0.0, most=1.0, **more):
    return TestResult(
        id=f"t01.mean.{name}",
        task="mean",
        hidden=hidden,
        outcome=outcome,
        sentence="The mean is the sum <divided> by the count.",
        points=points,
        max_points=most if hidden else 0.0,
        **{"seed": 77123 if hidden else None, "reason": "" if outcome == "passed" else f"{name} is off", **more},
    )


@pytest.fixture
def every_outcome() -> Report:
    """A report with each outcome, a mistake, a figure, and what student code printed."""
    tests = (
        a_test("test_seen", "failed", hidden=False, output="SHOWN \x1b[31m\x00 & <b>"),
        a_test("test_holds", "passed", points=1.0),
        a_test("test_fails", "failed", mistake=Recognised("m", "Your mean grows.", "This equals a sum.")),
        a_test("test_waits", "blocked"),
        a_test("test_slow", "timeout"),
        a_test("test_dies", "crashed", output="PRINTED BY A HIDDEN TEST"),
        a_test("test_ours", "error", figures=(Figure("return", 12.5, 20.0, "points"), Figure("loss", float("nan")))),
        a_test("test_left", "skipped", hidden=False, reason="torch is not installed"),
    )
    return Report(
        assignment="t01_numbers",
        title="Means & more",
        tests=tests,
        tasks=({"name": "mean", "title": "The mean", "points": 6.0},),
        submission="py:abc",
        tests_hash="def",
        release="0123456789ab",
        isolation="a process of its own",
        versions={"python": "3.12.1"},
        student="s1",
        started="2026-01-02T03:04:05+00:00",
        cpu_seconds=1.23456,
        notes=("A note.",),
        complete=True,
    )
