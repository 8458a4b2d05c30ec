"""The scene of an attack: a course, a secret beside it, services to reach, a bystander, and a grader for each isolation.

Everything that an attack must not read is readable to every user of this machine, so that nothing but the sandbox's own
walls stands in front of it.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUBMISSIONS = HERE / "submissions"
ASSIGNMENT = "t01_numbers"
LIMITS = {"cpu_seconds": 1.0, "memory_mb": 512, "processes": 16, "output_kb": 16, "file_mb": 8}
HONEST = """\
import math


def mean(xs):
    if not xs:
        raise ValueError("an empty list has no mean")
    return math.fsum(xs) / len(xs)


def running_mean(xs):
    return [mean(xs[:count]) for count in range(1, len(xs) + 1)]
"""
SHADOW = "answers = []\nprint('a shadow of', __name__)\n"


# ----------------------------------------------------------------------------------------------------- submissions


@dataclass(frozen=True)
class Attack:
    """One file of submissions/ and what its header says."""

    name: str
    text: str
    kind: str
    deserves: float
    cpu: float
    beside: tuple[str, ...]
    admits: str
    """A word that the isolation's `not_stopped` must hold, if this attack gets something in spite of it."""
    lasts: bool
    """Whether it may do something to its process that would outlive a call."""


def read_attack(path: Path) -> Attack:
    text = path.read_text(encoding="utf-8")
    header = dict(re.findall(r"^# (Class|Deserves|Cpu|Beside|Admits|Lasts): (.+)$", text, re.MULTILINE))
    return Attack(
        path.stem,
        text,
        header["Class"],
        float(header["Deserves"]),
        float(header.get("Cpu", LIMITS["cpu_seconds"])),
        tuple(part.strip() for part in header.get("Beside", "").split(";") if part.strip()),
        header.get("Admits", ""),
        "Lasts" in header,
    )


# ----------------------------------------------------------------------------------------------------------- scene


class Scene:
    """A course on disk with a secret beside it, and everything that an attack may try to reach."""

    def __init__(self, released: Path) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="attacked-")).resolve()
        self.base.chmod(0o755)
        self.mark = f"mark-{secrets.token_hex(4)}"
        self.canary = f"canary-{secrets.token_hex(8)}"
        self.course = Path(shutil.copytree(released, self.base / "course"))
        (self.base / "secret").mkdir()
        (self.base / "secret" / "secret.txt").write_text(self.canary)
        state = self.course / ".autograder" / "reports"
        state.mkdir(parents=True)
        (state / f"{ASSIGNMENT}.json").write_text(json.dumps({"points": 0, "secret": self.canary}))
        (state.parent / "progress.json").write_text(json.dumps({"secret": self.canary}))
        self.scratch = self.base / "scratch"
        self.scratch.mkdir()
        self.kept = self.base / "kept"
        self.kept.mkdir()
        for folder, folders, files in os.walk(self.base):
            for name in (*folders, *files):
                path = Path(folder, name)
                path.chmod(0o755 if path.is_dir() else 0o644)
        self.scratch.chmod(0o1777)
        self.bystander = subprocess.Popen(["sleep", "900"], start_new_session=True)
        self.services = Services(self.base, self.mark)

    @property
    def folder(self) -> Path:
        return self.course / "assignments" / ASSIGNMENT

    def filled(self, text: str, grader: int) -> str:
        """An attack's text with what it is assumed to know: every path, process and port."""
        known = {
            "COURSE": self.course,
            "SECRET": self.base / "secret" / "secret.txt",
            "SECRETFOLDER": self.base / "secret",
            "MARK": self.mark,
            "GRADER": grader,
            "GRADERGROUP": os.getpgid(grader),
            "BYSTANDER": self.bystander.pid,
            **self.services.addresses,
        }
        return re.sub(r"@([A-Z]+)@", lambda found: str(known[found[1]]), text)

    @contextlib.contextmanager
    def laid(self, files: dict[str, str | Path]):
        """While this lasts, the assignment's folder holds these files (a Path means: a link to it)."""
        before = {name: (self.folder / name).read_bytes() for name in files if (self.folder / name).is_file()}
        for name, content in files.items():
            path = self.folder / name
            path.unlink(missing_ok=True)
            if isinstance(content, Path):
                path.symlink_to(content)
            else:
                path.write_text(content, encoding="utf-8", errors="surrogatepass")
                path.chmod(0o644)
        try:
            yield
        finally:
            for name in files:
                (self.folder / name).unlink(missing_ok=True)
            for name, data in before.items():
                (self.folder / name).write_bytes(data)

    def fingerprint(self) -> dict[str, str]:
        """Every file, folder and link of the scene but the scratch and the kept reports: mode, owner, times, content."""
        found = {}
        for folder, folders, files in os.walk(self.base):
            if Path(folder) == self.base:
                folders[:] = [name for name in folders if name not in ("scratch", "kept")]
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in (*folders, *files):
                path = Path(folder, name)
                status = path.lstat()
                content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
                times = 0 if path.is_dir() else status.st_mtime_ns
                found[str(path)] = (
                    f"{status.st_mode} {status.st_uid} {status.st_gid} {times} {hashlib.sha256(content).hexdigest()}"
                )
        return found

    def strewn(self) -> list[str]:
        """Where the mark of an attack lies outside its scratch folder."""
        places = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", self.base, self.scratch)
        return [str(place) for place in places if Path(place, self.mark).exists()]

    def close(self) -> None:
        self.bystander.kill()
        self.bystander.wait()
        self.services.close()
        shutil.rmtree(self.base)


class Services:
    """What listens on this machine. A connection or a datagram is the proof that somebody got through."""

    def __init__(self, base: Path, mark: str) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0{mark}")
        self.named = socket.socket(socket.AF_UNIX)
        self.named.bind(str(base / "socket"))
        (base / "socket").chmod(0o777)
        self.datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagrams.bind(str(base / "datagrams"))
        (base / "datagrams").chmod(0o777)
        for listening in (self.abstract, self.named):
            listening.listen()
        self.all = {
            "TCP": self.tcp,
            "UDP": self.udp,
            "abstract socket": self.abstract,
            "named socket": self.named,
            "datagrams": self.datagrams,
        }
        for each in self.all.values():
            each.setblocking(False)
        self.addresses = {
            "TCP": self.tcp.getsockname()[1],
            "UDP": self.udp.getsockname()[1],
            "ABSTRACT": mark,
            "SOCKET": base / "socket",
            "DATAGRAMS": base / "datagrams",
        }

    def reached(self) -> list[str]:
        found = set()
        for name, each in self.all.items():
            with contextlib.suppress(BlockingIOError):
                while True:
                    each.recv(100) if each.type == socket.SOCK_DGRAM else each.accept()[0].close()
                    found.add(name)
        return sorted(found)

    def close(self) -> None:
        for each in self.all.values():
            each.close()


# ---------------------------------------------------------------------------------------------------------- grader


@dataclass
class Graded:
    """What the grader said of one submission, and what was seen from outside meanwhile."""

    report: dict
    seconds: float
    secrets: list[str]
    crowd: list[tuple[float, int]] = field(default_factory=list)
    """How many processes the grader had below it, and when."""
    refusal: str = ""
    """The grader's own sentence, where it would not grade."""
    changed: list[str] = field(default_factory=list)
    """Files and folders of the scene that are not as they were before."""

    @property
    def points(self) -> float:
        return sum(test["points"] for test in self.report["tests"])


class Grader:
    """grader.py, running behind one isolation for as long as the session lasts."""

    def __init__(self, mode: str, scene: Scene) -> None:
        self.mode = mode
        self.scene = scene
        environment = {**os.environ, "COURSE_SECRET": scene.canary, "TMPDIR": str(scene.scratch)}
        command = [sys.executable, str(HERE / "grader.py"), mode, str(scene.course), str(scene.kept)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        self.isolation = self._read()["isolation"]
        self.at_rest = len(self.below())

    def grade(
        self, text: str, limits: dict | None = None, beside: dict | None = None, watch=False, may_refuse=False, **more
    ) -> Graded:
        """Grades `text` as the module of the assignment. Raises where the grader refuses or breaks."""
        told = {"limits": {**LIMITS, **(limits or {})}, "restart": self.mode == "shared", **more}
        with self.scene.laid({**(beside or {}), "means.py": text}):
            before = self.scene.fingerprint()
            crowd: list[tuple[float, int]] = []
            with self._watched(crowd if watch else None):
                self.process.stdin.write(json.dumps(told) + "\n")
                self.process.stdin.flush()
                said = self._read()
            after = self.scene.fingerprint()
        assert "error" not in said, f"the grader broke:\n{said['error']}"
        assert may_refuse or "refusal" not in said, f"the grader refused: {said['refusal']}"
        if "refusal" in said:
            return Graded({"tests": []}, said["seconds"], [], refusal=said["refusal"])
        return Graded(
            said["report"],
            said["seconds"],
            said["secrets"],
            crowd,
            changed=sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path)),
        )

    def attacked_by(self, attack: Attack, **more) -> Graded:
        """Grades an attack, filled in with all that it may want to know, and with what it hands in beside its module."""
        scene, beside = self.scene, {}
        for part in attack.beside:
            name, _, target = part.partition(" -> ")
            beside[name] = Path(scene.filled(target, self.process.pid)) if target else SHADOW
        text = scene.filled(attack.text, self.process.pid)
        return self.grade(text, {"cpu_seconds": attack.cpu}, beside, **more)

    def honest(self, task: str | None = None) -> Graded:
        """An honest neighbour, graded through the same transport."""
        return self.grade(HONEST, task=task)

    def below(self) -> list[int]:
        """Every process that descends from the grader."""
        parents = _parents()
        found, waiting = [], [self.process.pid]
        while waiting:
            children = [pid for pid, parent in parents.items() if parent == waiting[0]]
            found += children
            waiting = waiting[1:] + children
        return found

    def close(self) -> list[int]:
        """Ends the grader; returns those of its processes that are left."""
        known = {pid: _started(pid) for pid in self.below()}
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        time.sleep(0.2)
        return [pid for pid, started in known.items() if started and _started(pid) == started]

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        assert line, f"the grader is gone (exit code {self.process.wait()})"
        return json.loads(line)

    @contextlib.contextmanager
    def _watched(self, crowd: list | None):
        def watch() -> None:
            while not over.wait(0.01):
                crowd.append((time.monotonic(), len(self.below())))

        over = threading.Event()
        watching = threading.Thread(target=watch)
        if crowd is not None:
            watching.start()
        try:
            yield
        finally:
            over.set()
            if crowd is not None:
                watching.join()
                crowd.append((time.monotonic(), len(self.below())))


def _parents() -> dict[int, int]:
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  a hundred times a second
        if name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                found[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
    return found


def _started(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def marked_processes(mark: str) -> list[int]:
    found = []
    for pid in _parents():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == mark:
                found.append(pid)
    return found


@pytest.fixture(scope="session")
def graders(released_toy):
    """A grader by isolation, started when first asked for; at the end none of their processes may be left."""
    running: dict[str, Grader] = {}

    def grader(mode: str) -> Grader:
        if mode not in running:
            running[mode] = Grader(mode, Scene(released_toy))
        return running[mode]

    yield grader
    left = {mode: each.close() for mode, each in running.items()}
    marked = {mode: marked_processes(each.scene.mark) for mode, each in running.items()}
    scratch = {mode: sorted(map(str, each.scene.scratch.iterdir())) for mode, each in running.items()}
    for each in running.values():
        each.scene.close()
    assert not any(left.values()), f"processes are left: {left}"
    assert not any(marked.values()), f"processes of attacks are left: {marked}"
    assert not any(scratch.values()), f"scratch folders are left: {scratch}"


def pytest_generate_tests(metafunc):
    """Every attack behind every isolation.

    "shared" is the fork of a student's own check: one process for many tests of one submission. Only what lasts longer
    than a call can do other things there.
    """
    if "attack" not in metafunc.fixturenames:
        if "grader" in metafunc.fixturenames:
            metafunc.parametrize("grader", ["fork", "bubblewrap"], indirect=True)
        return
    attacks = [read_attack(path) for path in sorted(SUBMISSIONS.glob("*.py"))]
    pairs = [
        (attack, mode)
        for mode in ("fork", "shared", "bubblewrap")
        for attack in attacks
        if mode != "shared" or attack.lasts
    ]
    ids = [f"{mode}-{attack.name}" for attack, mode in pairs]
    metafunc.parametrize(("attack", "grader"), pairs, ids=ids, indirect=["grader"])


@pytest.fixture
def attack_called():
    """Reads one attack by its name."""
    return lambda name: read_attack(SUBMISSIONS / f"{name}.py")


@pytest.fixture
def grader(request, graders) -> Grader:
    if request.param == "bubblewrap":
        from autograder.sandbox import outer

        if shutil.which("bwrap") is None:
            pytest.skip("bubblewrap is not installed: sudo apt-get install bubblewrap")
        said = outer.probe()
        if said:
            pytest.skip(said)
    found = graders(request.param)
    if found.isolation["name"] == "none":  # nothing here may be let loose without walls; but it has to be said
        assert "not for grades" in found.isolation["line"]
        pytest.skip("this machine has no walls, and the isolation says so")
    return found
