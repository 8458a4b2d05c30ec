"""Keeps reports: one file an assignment, replaced in one step, so that a killed run leaves the older one whole."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from autograder.errors import EnvironmentProblem
from autograder.report import Report


class ReportStore:
    """The newest report of each assignment under `state/reports/`."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "reports"

    def path(self, assignment: str) -> Path:
        return self.folder / f"{assignment}.json"

    def load(self, assignment: str) -> Report | None:
        """The kept report, or None. A damaged one is set aside as `*.corrupt`, never deleted."""
        path = self.path(assignment)
        try:
            return Report.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            path.replace(path.with_suffix(".json.corrupt"))
            return None

    def load_all(self) -> dict[str, Report]:
        """Every kept report by assignment."""
        found = (self.load(path.stem) for path in sorted(self.folder.glob("*.json")))
        return {report.assignment: report for report in found if report}

    def save(self, report: Report) -> None:
        """Keeps a complete report. An incomplete one is kept beside the older, which stays what counts."""
        name = f"{report.assignment}.json" if report.complete else f"{report.assignment}.partial"
        write_json(self.folder / name, report.to_json())
        if report.complete:
            (self.folder / f"{report.assignment}.partial").unlink(missing_ok=True)


def write_json(path: Path, data: Any) -> None:
    """Writes atomically: beside the file, then renamed over it. A full disk is a sentence, and changes nothing."""
    handle, temporary = -1, ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, ensure_ascii=False, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise EnvironmentProblem(
            "the disk is full: nothing was changed"
            if full
            else f"cannot write ({error.strerror}): nothing was changed",
            where=str(path),
            mend="free some space and run the same command again" if full else "look at the folder's owner and rights",
        ) from error
