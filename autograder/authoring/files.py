"""Writes files whole or not at all, and says in a sentence what the disk refuses."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autograder.errors import EnvironmentProblem


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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


@contextlib.contextmanager
def disk_in_words(path: Path) -> Iterator[None]:
    """Turns an error of the disk into a refusal that names the file and the way out."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise EnvironmentProblem(
            "the disk is full" if full else f"{path.name} cannot be written: {error.strerror or error}",
            where=str(path),
            mend="free some space, then the same again" if full else "look at the folder's owner and rights",
        ) from error
