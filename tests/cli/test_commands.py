"""The command line as a student meets it: as a process, in the toy course."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.cli.main import ending_of
from autograder.report import Report

RIGHT = "def mean(xs):\n    if not xs:\n        raise ValueError\n    return math.fsum(xs) / len(xs)\n"
SUM = "def mean(xs):\n    if not xs:\n        raise ValueError\n    return math.fsum(xs)\n"


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOGRADER", "PYTEST", "COV"))}
    return {**kept, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", **more}


def run(folder: Path, *arguments: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "autograder", *arguments],
        cwd=folder,
        env=environment(**more),
        input=typed,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture
def call(monkeypatch, capsys):
    """The same without a process of its own, for what does not run student code."""

    def run_here(folder: Path, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = ending_of(list(arguments))
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run_here


def write(folder: Path, code: str) -> Path:
    """Puts `code` in place of the stub's mean."""
    path = folder / "assignments" / "t01_numbers" / "means.py"
    text = path.read_text(encoding="utf-8")
    start, end = text.index("def mean("), text.index('# %% task="running_mean"')
    path.write_text(text[:start] + code + "\n\n" + text[end:], encoding="utf-8")
    return path


def assert_calm(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stdout + done.stderr
    assert "fault of ours" not in done.stderr


def test_the_board_of_a_fresh_course_has_one_first_step(toy, call):
    done = call(toy, "status")
    assert done.returncode == 0
    assert "0 of 8 points" in done.stdout
    assert "autograder check t01" in done.stdout
    assert_calm(done)


def test_an_untouched_stub_is_not_yet_and_no_error(toy):
    done = run(toy, "check", "t01")
    assert done.returncode == 1
    assert done.stdout.count("not written yet") == 2
    assert "Write mean (5 min)" in done.stdout
    assert_calm(done)


def test_a_right_task_passes_and_counts(toy):
    write(toy, RIGHT)
    done = run(toy, "check", "t01.mean")
    assert done.returncode == 0, done.stdout
    assert "mean passes." in done.stdout
    assert "2 of 2 points" in done.stdout
    assert "2 of 8 points" in run(toy, "status").stdout


def test_a_known_mistake_is_seen_at_once_and_named_the_second_time(toy):
    write(toy, SUM)
    first, second = run(toy, "check", "t01"), run(toy, "check", "t01")
    assert "Your mean grows with the length of the list." in first.stdout
    assert "equals the sum" not in first.stdout
    assert "equals the sum" in second.stdout
    assert first.returncode == second.returncode == 1


def test_a_known_mistake_is_named_after_a_hint(toy):
    write(toy, SUM)
    assert "hint 1 of 3" in run(toy, "hint", "t01.mean").stdout
    done = run(toy, "check", "t01.mean")
    assert "equals the sum" in done.stdout
    assert "autograder hint t01.mean  the second of 3 hints" in done.stdout


def test_json_is_the_report_alone(toy):
    done = run(toy, "check", "t01.mean", "--json")
    report = Report.from_json(json.loads(done.stdout))
    assert {test.task for test in report.tests} == {"mean"}
    assert done.returncode == 1
    assert done.stderr == ""


def test_a_check_of_one_task_keeps_what_is_known_of_the_others(toy):
    write(toy, RIGHT)
    run(toy, "check", "t01")
    run(toy, "check", "t01.running_mean")
    stored = Report.from_json(json.loads(run(toy, "report", "t01", "--json").stdout))
    assert {test.task for test in stored.tests} == {"mean", "running_mean"}
    assert stored.points == 2


def test_an_edit_after_the_check_is_shown_on_the_board(toy):
    run(toy, "check", "t01")
    assert "edited since" not in run(toy, "status").stdout
    write(toy, RIGHT)
    assert "edited since the last check" in run(toy, "status").stdout


def test_a_file_that_is_no_python_is_the_first_thing_to_fix(toy):
    path = toy / "assignments" / "t02_lists" / "lists.py"
    path.write_text(path.read_text(encoding="utf-8") + "\ndef broken(:\n", encoding="utf-8")
    done = run(toy, "check", "t02")
    assert done.returncode == 1
    assert "Fix first: the file itself" in done.stdout
    assert "lists.py" in done.stdout
    assert_calm(done)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "t09"], "did you mean t02"),
        (["check", "numbrs"], "did you mean numbers"),
        (["check", "t01.meen"], "did you mean t01.mean"),
        (["hint", "x"], "there is no assignment 'x'"),
        (["chek"], "Did you mean 'check'"),
        (["check", "--from", "py"], "No such option"),
        (["check", "--form", "pdf"], "pdf"),
        (["solution"], "Missing argument"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(toy, arguments, said, call):
    done = call(toy, *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "mend" in done.stderr
    assert_calm(done)


def test_outside_a_course_the_way_in_is_named(tmp_path, call):
    done = call(tmp_path, "status")
    assert done.returncode == 2
    assert "no course here" in done.stderr
    assert_calm(done)


def test_a_missing_module_is_refused_and_reset_brings_it_back(toy):
    path = toy / "assignments" / "t01_numbers" / "means.py"
    path.unlink()
    done = run(toy, "check", "t01")
    assert done.returncode == 2
    assert "autograder reset t01" in done.stderr
    assert run(toy, "reset", "t01").returncode == 0
    assert path.is_file()


@pytest.mark.parametrize("content", ["{", "[]", '{"cells": 3}'])
def test_a_corrupt_notebook_is_refused_and_kept(toy, content):
    path = toy / "assignments" / "t01_numbers" / "means.ipynb"
    path.write_text(content, encoding="utf-8")
    done = run(toy, "check", "t01", "--form", "ipynb")
    assert done.returncode == 2
    assert "means.ipynb" in done.stderr
    assert path.read_text(encoding="utf-8") == content
    assert_calm(done)


def test_one_unreadable_assignment_does_not_stop_the_grading_of_the_others(toy):
    (toy / "assignments" / "t01_numbers" / "means.py").write_bytes(b"\xff\xfe")
    done = run(toy, "grade")
    assert done.returncode == 2
    assert "means.py is not UTF-8" in done.stderr
    assert "not written yet" in done.stdout
    assert_calm(done)


def test_grade_shows_the_board_and_what_stands_between(toy):
    write(toy, RIGHT)
    done = run(toy, "grade")
    assert done.returncode == 0
    assert "2 of 8 points" in done.stdout
    assert "isolation" in done.stdout
    assert_calm(done)


def test_where_bubblewrap_is_missing_grade_says_what_is_not_stopped_and_goes_on(toy, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run(toy, "grade", PATH=str(empty))
    assert done.returncode == 0, done.stderr
    assert "not stopped" in done.stdout
    assert "bubblewrap:" not in done.stdout


def test_a_damaged_report_is_set_aside_and_the_board_is_shown(toy):
    run(toy, "check", "t01")
    path = toy / ".autograder" / "reports" / "t01_numbers.json"
    path.write_text("{", encoding="utf-8")
    done = run(toy, "status")
    assert done.returncode == 0
    assert "not checked yet" in done.stdout
    assert_calm(done)


def test_damaged_progress_is_said_and_costs_nothing_else(toy, call):
    (toy / ".autograder").mkdir()
    (toy / ".autograder" / "progress.json").write_text("{", encoding="utf-8")
    done = call(toy, "hint", "t01.mean")
    assert done.returncode == 0
    assert "set aside as progress.json.corrupt" in done.stderr


def test_a_state_folder_that_cannot_be_written_is_a_sentence(toy):
    (toy / ".autograder").write_text("in the way", encoding="utf-8")
    done = run(toy, "check", "t01")
    assert done.returncode == 2
    assert_calm(done)


def test_hints_open_one_by_one_up_to_the_solution(toy, call):
    for number in (1, 2, 3):
        assert f"hint {number} of 3" in call(toy, "hint", "t01.mean").stdout
    assert "autograder solution t01.mean" in call(toy, "hint", "t01.mean").stdout


def test_the_solution_is_closed_then_asks_then_opens(toy, call):
    assert call(toy, "solution", "t01.mean").returncode == 2
    for _ in range(3):
        call(toy, "hint", "t01.mean")
    refused = call(toy, "solution", "t01.mean", typed="n\n")
    assert refused.returncode == 1
    assert "fsum" not in refused.stdout
    assert call(toy, "solution", "t01.mean").returncode == 1, "nobody there to confirm"
    opened = call(toy, "solution", "t01.mean", typed="y\n")
    assert opened.returncode == 0
    assert "math.fsum(xs) / len(xs)" in opened.stdout


def test_a_quiz_asks_explains_and_counts(toy, call):
    done = call(toy, "quiz", "t01", typed="q\nc\na\n")
    assert done.returncode == 0
    assert "One of a, b, c" in done.stdout
    assert "Doubling every number doubles the mean." in done.stdout
    assert "1 of 2 questions right at the first try." in done.stdout


def test_a_quiz_that_is_left_ends_politely(toy, call):
    done = call(toy, "quiz", "t01", typed="a\n")
    assert done.returncode == 0
    assert "Until next time." in done.stdout
    assert_calm(done)


def test_reset_says_where_the_work_is_kept(toy, call):
    write(toy, SUM)
    done = call(toy, "reset", "t01")
    kept = re.search(r"kept in (\S+)", done.stdout)
    assert kept is not None
    assert "return math.fsum(xs)\n" in (toy / kept[1] / "means.py").read_text(encoding="utf-8")


def test_a_notebook_is_made_and_graded(toy):
    write(toy, RIGHT)
    assert run(toy, "notebook", "t01").returncode == 0
    done = run(toy, "check", "t01.mean", "--form", "ipynb")
    assert done.returncode == 0, done.stdout + done.stderr
    assert run(toy, "notebook", "t01", "--back").returncode == 0


def test_doctor_looks_at_everything_and_ends_well(toy, call):
    done = call(toy, "doctor")
    assert done.returncode == 0, done.stdout
    for name in ("Python", "packages", "torch", "bubblewrap", "Landlock", "disk", "state", "course", "git"):
        assert name in done.stdout


def test_release_twice_changes_nothing_and_check_needs_a_commit(toy, call):
    done = call(toy, "release")
    assert done.returncode == 0
    assert "0 files written" in done.stdout
    assert call(toy, "release", "--check").returncode in (1, 2), "the toy folder is no git repository"


def test_an_edited_stub_survives_a_release(toy, call):
    path = write(toy, RIGHT)
    mine = path.read_text(encoding="utf-8")
    source = toy / "solutions" / "t01_numbers" / "source.py"
    source.write_text(
        source.read_text(encoding="utf-8").replace("An empty list has no mean:", "No numbers:"), encoding="utf-8"
    )
    assert call(toy, "release").returncode == 0
    assert path.read_text(encoding="utf-8") == mine


def test_a_new_assignment_can_be_released_at_once(toy, call):
    done = call(toy, "new", "t03_medians")
    assert done.returncode == 0, done.stderr
    assert "solutions/t03_medians/source.py" in done.stdout
    assert call(toy, "release").returncode == 0
    assert "t03" in call(toy, "status").stdout


def test_verify_quick_shows_its_figures(toy):
    done = run(toy, "verify", "t01", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "t01_numbers is fit to be given out" in done.stdout


def test_in_a_kit_hidden_tests_are_announced_and_no_points_are_claimed(kit):
    done = run(kit, "check", "t01")
    assert "hidden tests will also count" in done.stdout
    assert "practice tests" in done.stdout


def test_the_output_of_a_full_disk_is_a_sentence(toy):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "autograder", "status"],
            cwd=toy,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_ends_it_quietly(toy):
    shell = f"{sys.executable} -m autograder status | head -n 1"
    done = subprocess.run(["sh", "-c", shell], cwd=toy, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_a_terminal_without_unicode_gets_ascii(toy):
    done = run(toy, "status", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()


def read_until(terminal: int, pattern: bytes = b"") -> bytes:
    """What is written to a terminal, up to `pattern` or to its end."""
    said = b""
    while not (pattern and re.search(pattern, said)):
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux says EIO where the other end was closed
            break
        if not part:
            break
        said += part
    return said


def on_a_terminal(folder: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """A command whose stderr is a terminal, in a process group of its own, as a shell starts it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "autograder", *arguments],
        cwd=folder,
        env=environment(TERM="xterm"),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    return process, ours


def test_an_interrupted_check_says_so_and_keeps_the_older_report(toy):
    run(toy, "check", "t01")
    path = toy / ".autograder" / "reports" / "t01_numbers.json"
    before = path.read_bytes()
    write(toy, "import time\n\n\ndef mean(xs):\n    time.sleep(60)\n")
    process, terminal = on_a_terminal(toy, "check", "t01")
    read_until(terminal, rb"1 of \d+")
    os.killpg(process.pid, signal.SIGINT)
    said = read_until(terminal)
    os.close(terminal)
    assert process.wait(timeout=30) == 130, said.decode(errors="replace")
    assert b"nothing is lost" in said
    assert b"Traceback" not in said
    assert path.read_bytes() == before


def test_while_tests_run_one_line_says_so_and_is_gone_at_the_end(toy):
    process, terminal = on_a_terminal(toy, "check", "t01")
    said = read_until(terminal)
    os.close(terminal)
    assert process.wait(timeout=60) == 1
    assert re.search(rb"\r\x1b\[K  1 of \d+  The mean is", said)
    assert said.endswith(b"\r\x1b[K")
    assert b"\n" not in said


def test_a_fault_of_ours_is_one_line_and_kept_in_a_file(toy):
    code = (
        "import autograder.learner.edited as e\n"
        "def broken(*_): raise ZeroDivisionError('oops')\n"
        "e.stale = broken\n"
        "from autograder.cli.main import run\n"
        "run(['status'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=toy, env=environment(), capture_output=True, text=True)
    assert done.returncode == 2
    assert "This is a fault of ours" in done.stderr
    assert "Traceback" not in done.stderr
    kept = next((toy / ".autograder" / "faults").glob("*.txt"))
    assert "ZeroDivisionError: oops" in kept.read_text(encoding="utf-8")
    assert str(kept) in done.stderr


def test_the_check_path_imports_no_notebook_library_and_no_transformers(toy):
    code = (
        "import sys\n"
        "from autograder.cli.main import ending_of\n"
        "code = ending_of(['check', 't01'])\n"
        "heavy = {'jupytext', 'nbformat', 'nbgrader', 'nbconvert', 'transformers', 'torch', 'IPython'} & set(sys.modules)\n"
        "assert code == 1, code\n"
        "assert not heavy, heavy\n"
        "assert not any(name.startswith('autograder.authoring') for name in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=toy, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_board_loads_neither_pytest_nor_numpy(toy):
    code = (
        "import sys\n"
        "from autograder.cli.main import ending_of\n"
        "assert ending_of(['status']) == 0\n"
        "assert not {'numpy', 'pytest', 'torch'} & set(sys.modules), set(sys.modules) & {'numpy', 'pytest'}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=toy, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command", ["status", "check", "hint", "quiz", "notebook", "reset", "solution", "doctor", "grade"]
)
def test_every_command_explains_itself(command, tmp_path, call):
    done = call(tmp_path, command, "--help")
    assert done.returncode == 0
    assert "Usage: autograder" in done.stdout


def test_without_a_command_the_commands_are_listed(tmp_path, call):
    done = call(tmp_path)
    assert done.returncode == 0
    assert "For students" in done.stdout
