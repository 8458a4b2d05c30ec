"""A cold `autograder check a02` costs at most twice a bare `import torch`, and the tests' own time."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.course, pytest.mark.slow, pytest.mark.alone]

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "cold_check.py"


def test_a_cold_check_stays_within_its_budget():
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--repeat", "2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
