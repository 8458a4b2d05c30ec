"""In a watch, the first verdict on a save of a02 comes within a second, or at least within a bare `import torch`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.course, pytest.mark.slow, pytest.mark.alone]

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "warm_check.py"


def test_a_save_is_judged_within_its_budget():
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--saves", "18", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["saves"] == 18
    assert set(found["by_kind"]) >= {"right", "no_scale", "stub", "no Python"}
