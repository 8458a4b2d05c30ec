"""The student's own files: a damaged one is set aside, and every write is whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from autograder.errors import EnvironmentProblem


def read_json(path: Path) -> tuple[dict[str, Any], str]:
    """The object in `path` ({} where there is none) and a note if it was damaged and set aside."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return data, ""
    except FileNotFoundError:
        return {}, ""
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        pass
    except OSError as error:
        raise cannot_write(error, path, verb="read") from error
    return {}, set_aside(path)


def set_aside(path: Path) -> str:
    """Moves a damaged file out of the way; says where it is now."""
    aside = path.with_name(path.name + ".corrupt")
    try:
        path.replace(aside)
    except OSError as error:
        raise cannot_write(error, path) from error
    return f"{path.name} was damaged and is set aside as {aside.name}; starting afresh"


def write_text(path: Path, text: str) -> None:
    """Writes atomically, keeping the mode of the file that was there. A full disk is a sentence and changes nothing."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise cannot_write(error, path) from error


def cannot_write(error: OSError, path: Path, verb: str = "written") -> EnvironmentProblem:
    """An error of the disk as a sentence with its mend."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentProblem(
            "the disk is full; nothing was changed", where=str(path.parent), mend="free some space, then the same again"
        )
    why = error.strerror or str(error)
    mend = "is the folder yours?    sudo chown -R $USER .autograder assignments" if error.errno in _DENIED else ""
    return EnvironmentProblem(f"{path.name} cannot be {verb}: {why}", where=str(path), mend=mend)


_DENIED = (errno.EACCES, errno.EPERM)
