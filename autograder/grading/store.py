"""Keeps reports: one file an assignment, replaced in one step, so that a killed run leaves the older one whole."""

from __future__ import annotations

from pathlib import Path

from autograder.files import read_json, set_aside, write_json
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
        data, _ = read_json(path)
        if not data:
            return None
        try:
            return Report.from_json(data)
        except (ValueError, KeyError, TypeError, AttributeError):
            set_aside(path)
            return None

    def kept(self, assignment: str) -> tuple[Report | None, ...]:
        """Every report of an assignment that may hold a graded run: the newest, and what an interrupted one left."""
        data, _ = read_json(self.folder / f"{assignment}.partial")
        try:
            partial = Report.from_json(data) if data else None
        except (ValueError, KeyError, TypeError, AttributeError):
            partial = None
        return partial, self.load(assignment)

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
