"""Reads solutions/course.toml: the months, the order of the assignments, the limits and the private overlay."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.authoring.cells import LIMIT_KEYS
from autograder.course import Month
from autograder.errors import SourceError
from autograder.grading.private import private_folder

PLAN_FILE = "course.toml"


@dataclass(frozen=True)
class Plan:
    """The course as its author laid it out."""

    root: Path
    title: str
    months: tuple[Month, ...]
    limits: Mapping[str, float]
    private: Path | None

    @property
    def assignments(self) -> tuple[str, ...]:
        """Every assignment's id, in the order of the course."""
        return tuple(name for month in self.months for name in month.assignments)

    def month_of(self, assignment: str) -> str:
        return next(month.id for month in self.months if assignment in month.assignments)

    def source_path(self, assignment: str) -> Path:
        return self.root / "solutions" / assignment / "source.py"

    def overlay(self, assignment: str) -> Path | None:
        """The folder of a class's own hidden tests for the assignment, outside the repository."""
        return self.private / assignment if self.private else None


def read_plan(root: Path) -> Plan:
    """The plan of the course at `root`, checked."""
    path = root / "solutions" / PLAN_FILE
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        mend = "run it in a clone of the course, where solutions/ is"
        raise SourceError("there is no course to release here", where=str(path), mend=mend) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"course.toml is not TOML: {error}", where=str(path)) from error
    unknown = sorted(set(data) - {"title", "months", "limits", "private"})
    if unknown:
        raise SourceError(f"unknown key {unknown[0]!r}", where=str(path), mend="known: title, months, limits, private")
    if not isinstance(data.get("title"), str):
        raise SourceError("the course has no title", where=str(path), mend='write title = "..." at the top')
    months = _months(data.get("months"), path)
    return Plan(root, data["title"], months, _limits(data.get("limits", {}), path), private_folder(root))


def _months(items: Any, path: Path) -> tuple[Month, ...]:
    if not isinstance(items, list) or not items:
        raise SourceError("the course has no months", where=str(path), mend='begin one with "[[months]]"')
    months = []
    for item in items:
        if not isinstance(item, dict) or set(item) != {"id", "title", "assignments"}:
            raise SourceError("a month is not id, title and assignments", where=str(path), mend="write these three")
        names = item["assignments"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            mend = 'write assignments = ["a01_name"]'
            raise SourceError(f"month {item['id']} has no list of assignments", where=str(path), mend=mend)
        months.append(Month(str(item["id"]), str(item["title"]), tuple(names)))
    names = [name for month in months for name in month.assignments]
    for kind, found in (("month", [month.id for month in months]), ("assignment", names), ("number", _numbers(names))):
        twice = [name for name in found if found.count(name) > 1]
        if twice:
            raise SourceError(f"{kind} {twice[0]} stands twice in the course", where=str(path), mend="keep one of them")
    return tuple(months)


def _numbers(names: list[str]) -> list[str]:
    return [name.split("_", 1)[0] for name in names]


def _limits(data: Any, path: Path) -> dict[str, float]:
    if not isinstance(data, dict):
        raise SourceError("limits are no table", where=str(path), mend='begin them with "[limits]"')
    for key, value in data.items():
        if key not in LIMIT_KEYS:
            mend = f"known: {', '.join(sorted(LIMIT_KEYS))}"
            raise SourceError(f"unknown limit {key!r}", where=str(path), mend=mend)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise SourceError(f"the limit {key} is {value!r}", where=str(path), mend="write a number above zero")
    return dict(data)
