"""A class in numbers: a table for the terminal, and the same as one page for a browser."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autograder.reporting.html import style
from autograder.reporting.markup import element, ours
from autograder.reporting.style import clean

if TYPE_CHECKING:
    from autograder.classroom.stats import Counted

MARK = '<meta name="generator" content="autograder stats'
MOST = 25
"""Rows of a table on a screen."""


def table(found: Counted) -> RenderableType:
    """What went wrong most, first."""
    tests = Table("test", "failed", "of", "looks like", box=None, pad_edge=False)
    for one in [one for one in found.tests if one.failed][:MOST]:
        tests.add_row(clean(one.id), str(one.failed), str(one.asked), clean(_like(one.mistakes)))
    mistakes = Table("recognised mistake", "students", box=None, pad_edge=False)
    for name, (_, students) in list(found.mistakes.items())[:MOST]:
        mistakes.add_row(clean(name), str(students))
    return Group(Text(headline(found)), Text(), tests, Text(), mistakes)


def headline(found: Counted) -> str:
    """The class in a sentence."""
    middle = f", median {median(found.points):.0%} of the points" if found.points else ""
    return (
        f"{found.submissions} reports{middle}; {found.not_graded} could not be graded; "
        f"{found.cpu_seconds / 60:.1f} CPU-minutes of student code"
    )


def page(found: Counted) -> str:
    """All of it as one HTML file: no script, nothing fetched."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        ours(f'{MARK}">'),
        element("title", "The class in numbers"),
        ours(f"<style>{style()}td,th{{padding:.2em .8em .2em 0;text-align:left;vertical-align:top}}</style>"),
    )
    tests = [(one.id, one.sentence, f"{one.failed} of {one.asked}", _like(one.mistakes)) for one in found.tests]
    mistakes = [(name, said, str(students)) for name, (said, students) in found.mistakes.items()]
    body = element(
        "div",
        element("h1", "The class in numbers"),
        element("p", headline(found)),
        _rows(("test", "what is true of a right answer", "failed", "looks like"), tests),
        _rows(("recognised mistake", "what it equals", "students"), mistakes),
        class_="autograder page",
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body), lang='en')}\n"


def _rows(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    made = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    return element("table", element("tr", *(element("th", name) for name in names)), *made)


def _like(mistakes: dict[str, int]) -> str:
    return ", ".join(f"{name} ({times})" for name, times in sorted(mistakes.items(), key=lambda item: -item[1])[:3])
