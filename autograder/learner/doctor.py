"""Looks at the machine and the course: each finding is fine, noted, or to be mended, with the line that mends it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autograder.bootstrap import NEWEST, OLDEST
from autograder.course import Course
from autograder.errors import AutograderError

DISTRIBUTION = "from-attention-to-grpo"

TORCH = """
import json, torch
print(json.dumps([torch.__version__, torch.get_num_threads(), torch.cuda.is_available()]))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    level: Literal["ok", "warn", "fail"]
    name: str
    says: str
    mend: str = ""


def examine(root: Path) -> list[Finding]:
    """Every finding, in the order in which things need each other. Never raises for what it looks at."""
    looks: tuple[Callable[[Path], Finding], ...] = (
        lambda _: python(),
        packages,
        torch,
        bubblewrap,
        landlock,
        disk,
        state_folder,
        course,
        git,
    )
    return [_safely(look, root) for look in looks]


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    said = ".".join(map(str, version))
    if OLDEST <= version[:2] <= NEWEST:
        return Finding("ok", "Python", f"{said}  {sys.executable}")
    need = f"this course runs on 3.{OLDEST[1]} to 3.{NEWEST[1]}"
    return Finding("fail", "Python", f"{said}: {need}", "make grade    sets up .venv with one that fits")


def packages(root: Path) -> Finding:
    """What is installed against the versions that the course was calibrated with."""
    pinned = _pinned(root / "constraints.txt")
    needed = [
        re.split(r"[^\w.-]", line)[0] for line in importlib.metadata.requires(DISTRIBUTION) or () if "extra" not in line
    ]
    mend = "make grade    (after: rm .venv/.ready-core)"
    missing = [name for name in needed if _installed(name) is None]
    if missing:
        return Finding("fail", "packages", "missing: " + ", ".join(missing), mend)
    if not pinned:
        return Finding("warn", "packages", "no constraints.txt here, so versions are not compared")
    other = [
        f"{name} {found} (pinned: {wanted})"
        for name, wanted in pinned.items()
        if (found := _installed(name)) is not None and found.partition("+")[0] != wanted
    ]
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        return Finding("warn", "packages", "not the calibrated version: " + ", ".join(other[:3]) + more, mend)
    return Finding("ok", "packages", "as pinned in constraints.txt")


def torch(_: Path) -> Finding:
    """Imported in a process of its own, so that a broken one does not take the doctor with it."""
    mend = "make grade    (after: rm -r .venv)"
    answer = subprocess.run([sys.executable, "-c", TORCH], capture_output=True, text=True, timeout=180)
    if answer.returncode:
        last = (answer.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        return Finding("fail", "torch", f"cannot be imported: {last}", mend)
    version, threads, cuda = json.loads(answer.stdout)
    device = "a GPU answers" if cuda else "on the CPU"
    return Finding("ok", "torch", f"{version}, {device}, {threads} thread{'s' * (threads != 1)} (grading uses one)")


def bubblewrap(_: Path) -> Finding:
    """Runs it: an installed one may still be forbidden to make namespaces."""
    from autograder.sandbox.outer import probe

    trouble = probe()
    if trouble:
        return Finding("warn", "bubblewrap", trouble)
    return Finding("ok", "bubblewrap", f"works  {shutil.which('bwrap')}")


def landlock(_: Path) -> Finding:
    from autograder.sandbox.landlock import version as landlock_version

    version = landlock_version()
    if version <= 0:
        return Finding(
            "warn", "Landlock", "this kernel has none: nothing keeps your code from your files without bubblewrap"
        )
    note = "" if version >= 6 else " (signals are stopped from version 6 on: Linux 6.12)"
    return Finding("ok", "Landlock", f"version {version}{note}")


def disk(root: Path) -> Finding:
    free = shutil.disk_usage(root).free / 1e9
    said = f"{free:.1f} GB free"
    if free < 0.1:
        return Finding("fail", "disk", said, "free some space: reports and backups are written here")
    return Finding("ok" if free >= 1 else "warn", "disk", said)


def state_folder(root: Path) -> Finding:
    folder = root / ".autograder"
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"here")
    except OSError as error:
        return Finding(
            "fail", "state", f"{folder} cannot be written: {error.strerror}", f"sudo chown -R $USER {folder}"
        )
    return Finding("ok", "state", str(folder))


def course(root: Path) -> Finding:
    """The released files that a check reads."""
    try:
        found = Course.load(root)
    except AutograderError as error:
        return Finding("fail", "course", f"{error.problem} ({error.where})", error.mend)
    for assignment in found:
        if not assignment.module_path.is_file() and not assignment.notebook_path.is_file():
            said = f"{assignment.id}/{assignment.module}.py is missing"
            return Finding("fail", "course", said, f"autograder reset {assignment.short}    lays a fresh stub")
        if not assignment.public_tests.is_file():
            said = f"{assignment.id}/test_public.py is missing"
            return Finding("fail", "course", said, f"git checkout -- assignments/{assignment.id}/test_public.py")
    count = len(found.assignments)
    return Finding("ok", "course", f"{found.title}: {count} assignment{'s' * (count != 1)}, {found.points:g} points")


def git(root: Path) -> Finding:
    path = shutil.which("git")
    if path is None:
        return Finding("warn", "git", "missing: new releases arrive by git pull", "sudo apt-get install git")
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    answer = subprocess.run(
        [path, "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, env=environment
    )
    if answer.returncode:
        return Finding("warn", "git", "this folder is no clone, so git pull brings nothing new")
    return Finding("ok", "git", f"at {answer.stdout.strip()}")


def _safely(look: Callable[[Path], Finding], root: Path) -> Finding:
    try:
        return look(root)
    except Exception as error:  # whatever is wrong with the machine is a finding
        name = getattr(look, "__name__", "machine")
        return Finding("warn", name, f"could not be examined ({type(error).__name__}: {error})")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _pinned(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return dict(line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
