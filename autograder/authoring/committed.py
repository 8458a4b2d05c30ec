"""Reads what git has committed of a folder, without looking at the working tree."""

from __future__ import annotations

import subprocess
from pathlib import Path

from autograder.errors import EnvironmentProblem, ReleaseError


def committed_files(root: Path, folder: str) -> dict[str, bytes]:
    """The files under `root/folder` as HEAD holds them, by their path inside that folder."""
    if _git(root, "rev-parse", "--is-inside-work-tree") is None:
        raise ReleaseError(
            "this course is in no git repository, so there is nothing committed to compare with",
            where=str(root),
            mend="git init && git add . && git commit",
        )
    if _git(root, "rev-parse", "--verify", "HEAD") is None:
        raise ReleaseError(
            "nothing is committed yet, so there is nothing to compare with",
            where=str(root),
            mend="git add . && git commit",
        )
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", "HEAD", "--", f"{folder}/") or b""
    names = [name for name in listed.decode("utf-8", "surrogateescape").split("\0") if name]
    return {name.removeprefix(f"{folder}/"): _git(root, "show", f"HEAD:./{name}") or b"" for name in names}


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git prints, or None where it refuses."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise EnvironmentProblem("git is not installed", mend="install git, then the same again") from error
    if b"dubious ownership" in done.stderr:
        mend = f"git config --global --add safe.directory {root}"
        raise EnvironmentProblem(
            "git does not trust this folder: it belongs to another user", where=str(root), mend=mend
        )
    return done.stdout if done.returncode == 0 else None
