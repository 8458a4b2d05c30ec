"""The page on grading a class: its commands are run, in its order, on a small class of the toy course."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "teach" / "grade.md"
WORK = "def mean(xs):\n    return sum(xs)\n"


def commands() -> list[str]:
    """Every command of the page that this course itself runs."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line for line in lines if not line.startswith(("make", "sudo"))]


@pytest.mark.classroom
@pytest.mark.slow
def test_each_command_of_the_page_works_on_a_small_class(toy):
    pytest.importorskip("nbgrader")
    pytest.importorskip("copydetect")
    for student in ("ann", "bob"):
        place = toy / "submissions" / student / "t01_numbers"
        place.mkdir(parents=True)
        (place / "means.py").write_text(WORK)
    (toy / "roster.csv").write_text("id,first_name\nann,Ann\nbob,Bob\n")
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{programs}:{os.environ['PATH']}"}
    shown = commands()
    assert len(shown) >= 8
    for line in shown:
        line = line.replace("a02.attention 4", "t01.mean 1").replace("a02_attention", "t01_numbers")
        words = shlex.split(line)
        words = [sys.executable, "-m", "autograder", *words[1:]] if words[0] == "autograder" else words
        done = subprocess.run(words, cwd=toy, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert not (toy / "graded" / "reports" / "ann").exists()
    assert (toy / "graded" / "feedback" / "bob" / "t01_numbers.html").is_file()
    assert (toy / "grades.csv").read_text().count("\n") == 3
