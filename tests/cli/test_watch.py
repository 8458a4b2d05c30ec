"""`autograder watch` in a real terminal: a pty, keys, saves, and what is left behind when it ends."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

import autograder
from autograder.sandbox import processes

MEAN = "def mean(xs):\n    if not xs:\n        raise ValueError\n    return math.fsum(xs) / len(xs)\n"
SUM = MEAN.replace(" / len(xs)", "")
RUNNING = "def running_mean(xs):\n    return [mean(xs[: k + 1]) for k in range(len(xs))]\n"
STUB = "def running_mean(xs):\n    raise NotImplementedError()\n"
PATIENCE = 60.0
ENGINE = str(Path(autograder.__file__).parents[1])


def environment() -> dict[str, str]:
    """Of the engine under test, wherever it is started."""
    named = ("AUTOGRADER", "PYTEST", "COV", "COLUMNS", "LINES", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(named)}
    return {**kept, "PYTHONPATH": ENGINE, "PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color"}


SHELL = """
import os, signal, sys
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
"""What a shell with job control does: only in a group that somebody could continue, Ctrl-Z stops anything."""


class Session:
    """`autograder watch` in a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str, columns: int = 80, lines: int = 40, **more: str) -> None:
        self.folder = folder
        self.terminal, theirs = pty.openpty()
        self.resize(columns, lines)
        self.modes = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHELL, "-m", "autograder", "watch", *arguments],
            cwd=folder,
            env={**environment(), **more},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._theirs = theirs
        self.output = ""

    @property
    def pid(self) -> int:
        """Of the program itself: the only child of what stands in for the shell."""
        return processes.children(self.process.pid)[0]

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def save(self, code: str) -> Path:
        path = self.folder / "assignments" / "t01_numbers" / "means.py"
        path.write_text("import math\n\n\n" + code, encoding="utf-8")
        return path

    def read(self, patience: float = 0.05) -> None:
        while select.select([self.terminal], [], [], patience)[0]:
            try:
                data = os.read(self.terminal, 65536)
            except OSError:
                return
            if not data:
                return
            self.output += data.decode("utf-8", errors="replace")

    @property
    def screen(self) -> str:
        """The last frame that was drawn, without colours."""
        return plain(self.output.rpartition("\x1b[H")[2])

    @property
    def raw(self) -> str:
        return self.output.rpartition("\x1b[H")[2]

    def wait_for(self, *texts: str, without: str = "\0") -> str:
        """Until a frame shows all of these."""
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            self.read()
            if all(text in self.screen for text in texts) and without not in self.screen:
                return self.screen
            assert self.process.poll() is None, f"it ended:\n{plain(self.output)}"
        raise AssertionError(f"never saw {texts}; the screen is:\n{self.screen}")

    def ended(self) -> int:
        """Its exit code, once it ended."""
        limit = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < limit:
            self.read()
        self.read()
        return self.process.wait(timeout=1)

    def close(self) -> None:
        if self.process.poll() is None:
            for pid in processes.descendants([self.process.pid]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._theirs)
        os.close(self.terminal)

    @property
    def modes_now(self) -> list:
        return termios.tcgetattr(self._theirs)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


CHECKED = "checked in"


@pytest.fixture
def start(toy):
    sessions = []

    def begin(*arguments: str, code: str = "", **more) -> Session:
        if code:
            Session.save(type("", (), {"folder": toy})(), code)
        sessions.append(Session(toy, *arguments, **more))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.close()


def assert_put_back(session: Session) -> None:
    """The terminal is as it was: its modes, its screen, its cursor; and nothing is left running."""
    assert session.modes_now == session.modes
    assert session.output.count("\x1b[?1049h") == session.output.count("\x1b[?1049l") > 0
    assert session.output.rindex("\x1b[?25h") > session.output.rindex("\x1b[?25l")
    assert "Traceback" not in session.output


def test_each_save_is_checked(start):
    session = start("t01")
    session.wait_for("◌  mean", "◌  running_mean", CHECKED)
    session.save(MEAN + STUB)
    session.wait_for("2 of 5 points", CHECKED)
    session.save(SUM + STUB)
    session.wait_for("Fix first: mean", "grows with the length", CHECKED)
    session.save(MEAN + RUNNING)
    session.wait_for("All 2 tasks pass.", "5 of 5 points", CHECKED)
    session.type("q")
    assert session.ended() == 0
    assert_put_back(session)


def test_the_last_verdict_stays_when_it_is_quit(start):
    session = start("t01", code=MEAN + STUB)
    session.wait_for("2 of 5 points", CHECKED)
    session.type("q")
    assert session.ended() == 0
    left = plain(session.output.rpartition("\x1b[?1049l")[2])
    assert "2 of 5 points" in left
    assert CHECKED not in left


def test_an_editor_that_writes_beside_and_renames(start):
    session = start("t01", code=MEAN + RUNNING)
    session.wait_for("5 of 5 points", CHECKED)
    path = session.folder / "assignments" / "t01_numbers" / "means.py"
    beside = path.with_name("means.py~")
    path.rename(beside)  # as vim does: for a moment there is no such file, then an empty one, then half of one
    time.sleep(0.2)
    path.write_text("")
    time.sleep(0.2)
    text = "import math\n\n\n" + MEAN + STUB
    with path.open("w") as file:
        for part in (text[:40], text[40:]):
            file.write(part)
            file.flush()
            time.sleep(0.02)
    session.wait_for("2 of 5 points", CHECKED)
    for nonsense in ("is missing", "cannot be read", "is not Python", " 0 of 5 points"):
        assert nonsense not in plain(session.output)


def test_a_file_that_stays_away_is_said_and_may_come_back(start):
    session = start("t01", code=MEAN + STUB)
    session.wait_for("2 of 5 points", CHECKED)
    (session.folder / "assignments" / "t01_numbers" / "means.py").unlink()
    session.wait_for("means.py is missing", "autograder reset t01", "waiting for the next save")
    session.save(MEAN + RUNNING)
    session.wait_for("5 of 5 points", CHECKED)


def test_hints_are_shown_below_one_after_another(start):
    session = start("t01", code=SUM + STUB)
    session.wait_for("Fix first: mean", CHECKED)
    assert "This equals the sum" not in session.screen
    session.type("h")
    shown = session.wait_for("hint 1 of 3", "What is the mean of one number?")
    assert shown.index("Fix first: mean") < shown.index("hint 1 of 3")
    assert "This equals the sum" in shown, "after a hint the mistake is named"
    session.type("h")
    session.wait_for("hint 2 of 3", "You need the sum and the count.")
    session.save(MEAN + STUB)
    session.wait_for("2 of 5 points", CHECKED, without="hint 2 of 3")


def test_next_moves_to_the_next_task_and_the_next_assignment(start):
    session = start("t01.mean", code=MEAN + STUB)
    session.wait_for("mean passes.", CHECKED)
    session.type("n")
    session.wait_for("Write running_mean", CHECKED, without="mean passes.")
    session.save(MEAN + RUNNING)
    session.wait_for("running_mean passes.", "3 of 3 points", CHECKED)
    session.type("n")
    session.wait_for("t02", CHECKED, without="running_mean")


def test_again_checks_again_and_does_not_count_twice(start):
    session = start("t01", code=SUM + STUB)
    session.wait_for("Fix first: mean", CHECKED)
    session.read(0.3)
    before = session.output.count(CHECKED)
    session.type("r")
    limit = time.monotonic() + PATIENCE
    while session.output.count(CHECKED) == before and time.monotonic() < limit:
        session.read()
    assert "This equals the sum" not in session.wait_for("Fix first: mean", CHECKED)


def test_a_save_during_an_endless_loop_ends_the_loop(start):
    """Nobody waits ten seconds for a loop that was mended meanwhile."""
    session = start("t01", code=MEAN + STUB)
    session.wait_for("2 of 5 points", CHECKED)
    session.save(MEAN + "def running_mean(xs):\n    while True:\n        pass\n")
    session.wait_for("checking")
    time.sleep(0.5)
    began = time.monotonic()
    session.save(MEAN + RUNNING)
    session.wait_for("5 of 5 points", CHECKED)
    assert time.monotonic() - began < 8, "the limit of the loop is 10 seconds of computing"
    assert "timeout" not in plain(session.output)


def test_keys_work_during_an_endless_loop(start):
    session = start("t01", code=MEAN + "def running_mean(xs):\n    while True:\n        pass\n")
    session.wait_for("checking")
    time.sleep(0.5)
    session.type("q")
    began = time.monotonic()
    assert session.ended() == 0
    assert time.monotonic() - began < 8
    assert_put_back(session)


def test_what_is_of_an_earlier_save_is_dim(start):
    session = start("t01", code=MEAN + STUB)
    session.wait_for("2 of 5 points", CHECKED)
    session.save(MEAN + "import time\ndef running_mean(xs):\n    time.sleep(1.5)\n    return []\n")
    session.wait_for("checking means", "2 of 5 points")
    words = [part for part in re.split(r"(?=\x1b\[)", session.raw) if "points" in part]
    assert words
    assert all(re.match(r"\x1b\[(?:[0-9]+;)*2[;m]", part) for part in words), words


def test_resizing_draws_anew(start):
    session = start("t01", code=SUM + STUB, columns=100)
    session.wait_for("Fix first: mean", CHECKED)
    session.resize(50, 12)
    session.read(0.5)
    frame = session.wait_for("Fix first: mean", "\n  …", "h hint")
    assert max(map(len, frame.split("\n"))) <= 50
    assert len(frame.split("\n")) <= 12
    assert "q quit" in frame


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["int", "term", "hup"]
)
def test_a_signal_puts_the_terminal_back(start, number, code):
    session = start("t01", code=MEAN + STUB)
    session.wait_for("2 of 5 points", CHECKED)
    os.kill(session.pid, number)
    assert session.ended() == code
    assert_put_back(session)


def test_ctrl_c_during_a_check_puts_the_terminal_back(start):
    session = start("t01", code=MEAN + "def running_mean(xs):\n    while True:\n        pass\n")
    session.wait_for("checking")
    time.sleep(0.3)
    session.type("\x03")
    assert session.ended() == 130
    assert "nothing is lost" in plain(session.output)
    assert_put_back(session)


def test_a_fault_puts_the_terminal_back(start, toy):
    """An error that nobody planned, in the middle of drawing."""
    (toy / "sitecustomize.py").write_text(
        "import sys\nclass F:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'autograder.cli.watch':\n"
        "            sys.meta_path.remove(self)\n"
        "            import importlib.util\n"
        "            spec = importlib.util.find_spec(name)\n"
        "            run = spec.loader.exec_module\n"
        "            def exec_module(module):\n"
        "                run(module)\n"
        "                module.hints = None\n"
        "            spec.loader.exec_module = exec_module\n"
        "            return spec\n"
        "sys.meta_path.insert(0, F())\n"
    )
    session = start("t01", code=SUM + STUB, PYTHONPATH=f"{toy}:{ENGINE}")
    session.wait_for("Fix first: mean", CHECKED)
    session.type("h")
    assert session.ended() == 2
    assert "fault of ours" in plain(session.output)
    assert_put_back(session)


def test_ctrl_z_gives_the_terminal_back_until_fg(start):
    session = start("t01", code=MEAN + STUB)
    session.wait_for("2 of 5 points", CHECKED)
    session.type("\x1a")
    limit = time.monotonic() + PATIENCE
    while _state(session.pid) != "T" and time.monotonic() < limit:
        session.read()
    assert _state(session.pid) == "T"
    session.read(0.3)
    assert session.modes_now == session.modes
    assert session.output.rstrip().endswith("\x1b[?1049l")
    os.kill(session.pid, signal.SIGCONT)
    session.wait_for("2 of 5 points", "q quit")
    session.type("q")
    assert session.ended() == 0
    assert_put_back(session)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("how", ["q", "\x03", "kill"])
def test_nothing_is_left_running(start, how):
    session = start("t01", code=MEAN + STUB)
    session.wait_for("2 of 5 points", CHECKED)
    family = processes.descendants([session.pid])
    assert len(family) > 1, "there was no warm process to begin with"
    if how == "kill":
        os.kill(session.pid, signal.SIGKILL)
    else:
        session.type(how)
    session.ended()
    limit = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in family[1:]) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not [pid for pid in family[1:] if Path(f"/proc/{pid}").exists()]


def test_without_a_terminal_it_refuses(toy):
    done = subprocess.run(
        [sys.executable, "-m", "autograder", "watch", "t01"],
        cwd=toy,
        env=environment(),
        input="",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 2
    assert "watch needs a terminal" in done.stderr
    assert "autograder check" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dumb_terminal_is_refused(start):
    session = start("t01", TERM="dumb")
    assert session.ended() == 2
    assert "TERM is dumb" in session.output
    assert session.modes_now == session.modes


def test_work_that_cannot_be_read_is_refused_before_anything_starts(start, toy):
    (toy / "assignments" / "t01_numbers" / "means.py").unlink()
    session = start("t01")
    assert session.ended() == 2
    assert "means.py is missing" in session.output
    assert "\x1b[?1049h" not in session.output


def test_a_notebook_is_watched_too(start, toy):
    subprocess.run(
        [sys.executable, "-m", "autograder", "notebook", "t01"],
        cwd=toy,
        env=environment(),
        check=True,
        capture_output=True,
    )
    session = start("t01")
    session.wait_for("not written yet", CHECKED)
    notebook = toy / "assignments" / "t01_numbers" / "means.ipynb"
    text = notebook.read_text()
    assert "raise NotImplementedError()" in text
    notebook.write_text(text.replace("raise NotImplementedError()", "return math.fsum(xs) / len(xs)", 1))
    session.wait_for("Fix first: mean", "refused", CHECKED)
