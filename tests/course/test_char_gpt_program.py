"""a04's module as a program: it trains on a text, stops without losing anything, goes on, and refuses what it cannot use."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.testing.modules import without_test_cells

pytestmark = [pytest.mark.course, pytest.mark.slow]
torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
SHORT = ["--steps", "30", "--every", "30", "--batch", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the solved module, the stub, what they share, and texts to use and to refuse."""
    folder = tmp_path_factory.mktemp("a04")
    shutil.copytree(ROOT / "solutions" / "common", folder / "common")
    (folder / "a04").mkdir()
    source = (ROOT / "solutions" / "a04_char_gpt" / "source.py").read_text(encoding="utf-8")
    (folder / "a04" / "char_gpt.py").write_text(without_test_cells(source), encoding="utf-8")
    shutil.copy(ROOT / "assignments" / "a04_char_gpt" / ".stub.py", folder / "a04" / "stub.py")
    text = "".join(f"{i} times {i % 7} is {i * (i % 7)}.\n" for i in range(200))
    (folder / "sums.txt").write_text(text, encoding="utf-8")
    (folder / "other.txt").write_text(text + "äöü", encoding="utf-8")
    (folder / "latin1.txt").write_bytes((text + "é").encode("latin-1"))
    (folder / "short.txt").write_text("short", encoding="utf-8")
    return folder


def start(folder, *words, module="char_gpt"):
    line = [sys.executable, str(folder / "a04" / f"{module}.py"), *words]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(line, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def said(folder, *words, module="char_gpt", code=1):
    program = start(folder, *words, module=module)
    output, _ = program.communicate(timeout=120)
    assert program.returncode == code, output
    assert "Traceback" not in output
    return output


def test_stopped_and_started_again_it_ends_where_it_would_have_ended(folder):
    straight, stopped = folder / "straight.pt", folder / "stopped.pt"
    output = said(folder, "--text", "sums.txt", *SHORT, "--checkpoint", str(straight), code=0)
    assert "bits a character. It writes:" in output

    program = start(folder, "--text", "sums.txt", *SHORT, "--checkpoint", str(stopped))
    seen = ""
    while "step 10/30" not in seen:
        seen += program.stdout.read(1)
    program.send_signal(signal.SIGINT)
    rest, _ = program.communicate(timeout=120)
    assert "The same command goes on from there." in rest
    again = said(folder, "--text", "sums.txt", *SHORT, "--checkpoint", str(stopped), code=0)
    assert "Going on from there." in again

    ends = [torch.load(path, weights_only=True) for path in (straight, stopped)]
    assert [end["step"] for end in ends] == [30, 30]
    assert all(torch.equal(weight, ends[1]["model"][name]) for name, weight in ends[0]["model"].items())


def test_what_cannot_be_used_is_refused_in_a_sentence(folder):
    assert "No such file" in said(folder, "--text", "nothing.txt")
    assert "no UTF-8 text" in said(folder, "--text", "latin1.txt")
    assert "has 5 characters" in said(folder, "--text", "short.txt")
    assert "at least 1" in said(folder, "--steps", "0")


def test_a_checkpoint_of_something_else_is_refused_and_kept(folder):
    path = folder / "sums.pt"
    said(folder, "--text", "sums.txt", "--steps", "1", "--batch", "2", "--checkpoint", str(path), code=0)
    before = path.read_bytes()
    assert "another model or text" in said(folder, "--text", "other.txt", "--checkpoint", str(path))
    assert "cannot be read as a checkpoint" in said(folder, "--text", "sums.txt", "--checkpoint", "sums.txt")
    assert path.read_bytes() == before


def test_a_stub_says_what_to_do(folder):
    assert "autograder check a04" in said(folder, "--text", "sums.txt", module="stub")


def test_the_benchmark_says_how_to_get_what_it_compares_with():
    line = [sys.executable, str(ROOT / "benchmarks" / "char_gpt_speed.py")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "git clone https://github.com/karpathy/nanoGPT" in done.stderr
