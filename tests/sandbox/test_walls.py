"""What student code cannot reach from inside, tried from inside, in each kind of sandbox."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autograder.course import Limits
from autograder.sandbox import seccomp
from autograder.sandbox.messages import Program, Reply, Request

pytestmark = pytest.mark.attack

READING = 1 << 2
"""CAP_DAC_READ_SEARCH: as root a child's own user may read what Landlock shows it."""

TRY = """
import os, socket, ctypes, shutil, signal, subprocess, sys
from pathlib import Path

def tried(action):
    '''What an attempt came to: the name of the error, or what it got.'''
    try:
        return ["got", repr(action())[:200]]
    except BaseException as error:
        return ["denied", type(error).__name__]
"""


@pytest.fixture
def attempt(ask_once: Callable[..., Reply], sandbox: Any) -> Callable[..., list[str]]:
    """Evaluates one expression inside; "denied" with the error's name, or "got" with what it got."""

    def evaluate(expression: str, **names: Any) -> list[str]:
        source = TRY + f"\ndef answer({', '.join(names)}):\n    return tried(lambda: {expression})\n"
        reply = ask_once(sandbox, source, *names.values())
        assert reply.kind == "value", reply
        outcome: list[str] = reply.value
        return outcome

    return evaluate


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "answers.txt"
    path.write_text("forty-two")
    return path


def test_an_attempt_that_is_allowed_is_seen_to_succeed(attempt: Callable[..., list[str]]) -> None:
    assert attempt("Path('mine.txt').write_text('hello')") == ["got", "5"]
    assert attempt("os.listdir('.')") == ["got", "[]"]


@pytest.mark.parametrize(
    "expression",
    [
        "open(path).read()",
        "open(path, 'w').write('x')",
        "os.listdir(os.path.dirname(path))",
        "os.remove(path)",
        "os.rename(path, path + '.old')",
        "os.link(path, 'mine')",
        "shutil.copy(path, 'mine')",
        "(os.symlink(path, 'mine'), open('mine').read())",
        "os.chmod(path, 0o777) or open(path).read()",
        "open('/proc/self/root' + path).read()",
        "subprocess.run(['/bin/cat', path], check=True)",
        "os.mkdir('/tmp/made-by-a-student')",
        "os.mkdir(os.path.expanduser('~root/made-by-a-student'))",
        "open('/etc/shadow').read()",
        f"open({str(Path(__file__).parents[2] / 'pyproject.toml')!r}).read()",
    ],
)
def test_files_outside_are_out_of_reach(attempt: Callable[..., list[str]], secret: Path, expression: str) -> None:
    assert attempt(expression, path=str(secret))[0] == "denied"
    assert secret.read_text() == "forty-two"
    assert sorted(path.name for path in secret.parent.iterdir()) == ["answers.txt"]


def test_the_submissions_own_folder_can_be_read_and_not_changed(
    forked: Any, ask_once: Callable[..., Reply], tmp_path: Path
) -> None:
    (tmp_path / "data.txt").write_text("mine")
    source = (
        TRY
        + "\ndef answer(p):\n    return [open(p).read(), tried(lambda: open(p, 'w')), tried(lambda: os.remove(p))]\n"
    )
    reply = ask_once(forked, source, str(tmp_path / "data.txt"), folder=tmp_path)
    assert reply.value == ["mine", ["denied", "PermissionError"], ["denied", "PermissionError"]]


def test_scratch_files_do_not_outlive_their_conversation(sandbox: Any, ask_once: Callable[..., Reply]) -> None:
    source = """
        import os
        def answer(folder):
            os.mkdir("locked")
            open("locked/word", "w").write("left for the next one")
            os.chmod("locked", 0)
            return [os.getcwd(), os.path.exists(folder)]
        """
    first = ask_once(sandbox, source, "/").value[0]
    second = ask_once(sandbox, source, first).value
    assert second[0] != first
    assert not Path(first).exists()
    assert not Path(second[0]).exists()


# ---------------------------------------------------------------------------------------------------------- network


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def test_tcp_leads_nowhere(attempt: Callable[..., list[str]], listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    socket.create_connection(("127.0.0.1", port), 5).close()
    assert attempt("socket.create_connection(('127.0.0.1', port), 2)", port=port)[0] == "denied"


def test_udp_leads_nowhere(attempt: Callable[..., list[str]], sandbox: Any) -> None:
    if any("UDP" in left or left == "the network" for left in sandbox.isolation.not_stopped):
        pytest.skip("this machine grants no network namespace, and the isolation line says so")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.2)
        attempt("socket.socket(2, 2).sendto(b'hello', ('127.0.0.1', port))", port=receiver.getsockname()[1])
        with pytest.raises(TimeoutError):
            receiver.recv(10)


filtered = pytest.mark.skipif(
    not seccomp.available(), reason="no seccomp filter for this machine, and the line says so"
)


@filtered
@pytest.mark.parametrize("abstract", [True, False])
def test_unix_sockets_lead_nowhere(attempt: Callable[..., list[str]], tmp_path: Path, abstract: bool) -> None:
    name = f"\0autograder-test-{os.getpid()}" if abstract else str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        assert attempt("socket.socket(socket.AF_UNIX).connect(name)", name=name)[0] == "denied"


@filtered
def test_calls_that_only_attacks_need_are_denied(attempt: Callable[..., list[str]]) -> None:
    libc = "ctypes.CDLL(None, use_errno=True)"
    for call in (
        "unshare(0x10000000)",
        "ptrace(0, 0, 0, 0)",
        "mount(b'x', b'/tmp', b'tmpfs', 0, None)",
        "syscall(425, 1, None)",
    ):
        assert attempt(f"{libc}.{call}") == ["got", "-1"], call
    flags = "0x10000000 | 17"
    assert attempt(
        f"{libc}.syscall({56 if os.uname().machine == 'x86_64' else 220}, {flags}, None, None, None, 0)"
    ) == [
        "got",
        "-1",
    ]


@filtered
def test_what_honest_code_needs_is_allowed(attempt: Callable[..., list[str]]) -> None:
    assert attempt("[s.close() for s in socket.socketpair()]") == ["got", "[None, None]"]
    assert attempt("subprocess.run(['/bin/echo', 'hello'], capture_output=True).stdout") == ["got", "b'hello\\n'"]
    assert attempt("__import__('concurrent.futures').futures.ThreadPoolExecutor(2).submit(int, '7').result()") == [
        "got",
        "7",
    ]
    assert attempt("__import__('tempfile').TemporaryFile().write(b'x')") == ["got", "1"]


# -------------------------------------------------------------------------------------------------- other processes


@pytest.mark.parametrize("whom", ["os.getppid()", "grader", "1", "-1"])
@pytest.mark.parametrize("signal_name", ["SIGSTOP", "SIGKILL", "SIGTERM"])
def test_signals_reach_nobody(sandbox: Any, ask_once: Callable[..., Reply], whom: str, signal_name: str) -> None:
    warm = sandbox._warm
    source = TRY + f"\ndef answer(grader):\n    return tried(lambda: os.kill({whom}, signal.{signal_name}))\n"
    ask_once(sandbox, source, os.getpid())
    assert ask_once(sandbox, "def answer():\n    return 1\n").value == 1
    assert sandbox._warm is warm, "the warm process was lost"


@pytest.mark.parametrize("whom", ["os.getppid()", "grader"])
def test_nobodys_memory_can_be_read(attempt: Callable[..., list[str]], whom: str) -> None:
    for name in ("mem", "environ", "maps", "fd", "cwd", "root"):
        action = "os.listdir" if name in ("fd", "cwd", "root") else "open"
        assert attempt(f"{action}('/proc/%d/{name}' % {whom})", grader=os.getpid())[0] == "denied", name


def test_the_grader_forbids_others_to_look_at_it(forked: Any) -> None:
    assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0, "PR_GET_DUMPABLE"


def test_no_privileges_are_left(attempt: Callable[..., list[str]]) -> None:
    status = "dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)"
    for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        kind, held = attempt(f"{status}['{name}']")
        assert kind == "got"
        held = int(held.strip("'"), 16)
        assert held == 0 or (name in ("CapEff", "CapPrm") and held == READING and os.geteuid() == 0), (name, held)
    assert attempt(f"{status}['NoNewPrivs']") == ["got", "'1'"]
    assert attempt("os.setuid(12345) or os.chroot('.')")[0] == "denied"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's limit on processes does not hold of itself")
def test_the_systems_limit_on_processes_holds_for_a_child_of_root(attempt: Callable[..., list[str]]) -> None:
    assert attempt("os.getuid() not in (0, 65534)") == ["got", "True"]


def test_the_environment_and_the_descriptors_are_its_own(attempt: Callable[..., list[str]]) -> None:
    assert attempt("sorted(os.environ)") == [
        "got",
        "['HOME', 'LANG', 'OMP_NUM_THREADS', 'PATH', 'PYTHONHASHSEED', 'TMPDIR', 'USER']",
    ]
    assert attempt("[n for n in range(3, 300) if tried(lambda: os.fstat(n))[0] == 'got']") == ["got", "[3]"]
    assert attempt("sys.stdin.read()") == ["got", "''"]


# --------------------------------------------------------------------------------------------------------- the wire


WIRE = """
import os, socket, struct, sys
from autograder.sandbox.codec import encode

def nonce_of_the_question():
    frame = sys._getframe()
    while "nonce" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["nonce"]

def frame(kind, nonce, payload):
    os.write(3, struct.pack("<Ic16s", len(payload), kind, nonce) + payload)

def reply(value, kind="value"):
    return encode(((kind, "", (), "", ""), value, ((), {})))
"""

FORGERIES = {
    "garbage": "os.write(3, b'x' * 100)",
    "a length without end": "os.write(3, b'\\xff' * 21)",
    "a guessed nonce": "frame(b'A', bytes(16), reply(42))",
    "no answer": "frame(b'A', nonce_of_the_question(), b'')",
    "a pickle": "frame(b'A', nonce_of_the_question(), b'\\x80\\x04N.')",
    "a verdict": "frame(b'A', nonce_of_the_question(), reply(None, 'timeout'))",
    "another kind of frame": "frame(b'Z', nonce_of_the_question(), reply(42))",
    "a callback that was not given": "frame(b'C', nonce_of_the_question(), encode(('secret', (), {})))",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_forged_frames_are_a_protocol_failure(sandbox: Any, ask_once: Callable[..., Reply], forgery: str) -> None:
    reply = ask_once(sandbox, WIRE + f"\ndef answer():\n    {forgery}\n    return 1\n")
    assert (reply.kind, reply.value) == ("protocol", None)


def test_an_answer_given_twice_spoils_the_next_question(sandbox: Any, program: Callable[..., Program]) -> None:
    source = WIRE + "\ndef answer():\n    frame(b'A', nonce_of_the_question(), reply(7))\n    return 7\n"
    conversation = sandbox.open(program(source), Limits())
    assert conversation.ask(Request("call", "answer"), {}).value == 7
    # The second answer may still be on its way when the next question is asked: then its nonce gives it away.
    assert conversation.ask(Request("call", "answer"), {}).kind == "protocol"
    assert conversation.ask(Request("call", "answer"), {}).kind == "crashed"
    conversation.close()


def test_a_fork_that_answers_too_spoils_the_next_question(sandbox: Any, program: Callable[..., Program]) -> None:
    source = "import os\ndef answer():\n    os.fork()\n    return 7\n"
    conversation = sandbox.open(program(source), Limits(cpu_seconds=2))
    conversation.ask(Request("call", "answer"), {})
    assert conversation.ask(Request("call", "answer"), {}).kind in ("protocol", "crashed")
    conversation.close()


def test_half_an_answer_is_a_timeout(sandbox: Any, ask_once: Callable[..., Reply]) -> None:
    source = WIRE + (
        "\ndef answer():\n    os.write(3, struct.pack('<Ic16s', 1000, b'A', nonce_of_the_question()))\n"
        "    import time; time.sleep(60)\n"
    )
    assert ask_once(sandbox, source, limits=Limits(cpu_seconds=0.25)).kind == "timeout"


def test_closed_descriptors_are_a_crash(sandbox: Any, ask_once: Callable[..., Reply]) -> None:
    assert ask_once(sandbox, "import os\ndef answer():\n    os.closerange(0, 100)\n    return 1\n").kind == "crashed"
