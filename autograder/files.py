"""Writes files whole or not at all, and says in a sentence what the disk refuses."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autograder.errors import AutograderError, EnvironmentProblem


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fingerprint(data: bytes) -> str:
    """The hash of a file whatever its line ends: a checkout may turn LF into CRLF, and that is no edit."""
    return sha256(data.replace(b"\r\n", b"\n"))


def write_whole(path: Path, data: bytes) -> None:
    """Writes beside the file, then renames over it: a reader sees the old file or the new one, never half of one."""
    temporary = ""
    with disk_in_words(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
            Path(temporary).replace(path)
        except BaseException:
            if temporary:
                Path(temporary).unlink(missing_ok=True)
            raise


def write_ours(path: Path, text: str, mark: str, mend: str) -> None:
    """Writes a file of ours whole. One that is there already is replaced only if `mark` stands at its beginning."""
    with disk_in_words(path):
        there = path.exists() or path.is_symlink()
        known = path.is_file() and mark.encode() in path.read_bytes()[:_HEAD]
    if there and not known:
        problem = f"{path.name} is there already and was not written by this command, so it is left as it is"
        raise AutograderError(problem, where=str(path), mend=mend)
    write_whole(path, text.encode())


_HEAD = 1024
"""A mark of ours stands in so many first bytes of a file."""


def write_json(path: Path, data: Any) -> None:
    write_whole(path, (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode())


def read_json(path: Path) -> tuple[dict[str, Any], str]:
    """The object in `path` ({} where there is none), and a note if it was damaged and set aside."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return data, ""
    except FileNotFoundError:
        return {}, ""
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        pass
    except OSError as error:
        raise in_words(error, path, "read") from error
    return {}, set_aside(path)


def set_aside(path: Path) -> str:
    """Moves a damaged file out of the way, never deletes it; says where it is now."""
    aside = path.with_name(path.name + ".corrupt")
    with disk_in_words(path):
        path.replace(aside)
    return f"{path.name} was damaged and is set aside as {aside.name}; starting afresh"


@contextlib.contextmanager
def disk_in_words(path: Path) -> Iterator[None]:
    """Turns an error of the disk into a refusal that names the file and the way out."""
    try:
        yield
    except OSError as error:
        raise in_words(error, path) from error


def in_words(error: OSError, path: Path, verb: str = "written") -> EnvironmentProblem:
    """An error of the disk as a sentence with its mend."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        mend = "free some space, then the same again"
        return EnvironmentProblem("the disk is full; nothing was changed", where=str(path), mend=mend)
    why = error.strerror or str(error)
    mend = "look at the folder's owner and rights" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else ""
    return EnvironmentProblem(f"{path.name} cannot be {verb}: {why}", where=str(path), mend=mend)
