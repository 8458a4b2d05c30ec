"""The same check inside a notebook: `from autograder.notebook import check`, then `check("a02.attention")`.

It grades the notebook as it is saved on disk, so save it first.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType

from autograder.course import ASSIGNMENT_FILE
from autograder.errors import AutograderError

if TYPE_CHECKING:
    from autograder.learner.checking import KeptSandboxes

WIDTH = 90


class Shown:
    """What a check came to: a notebook shows it as a piece of page, a plain console as text."""

    def __init__(self, what: RenderableType, html: str, passed: bool) -> None:
        console = Console(record=True, file=io.StringIO(), width=WIDTH, highlight=False, force_jupyter=False)
        console.print(what)
        self.passed = passed
        self._text = console.export_text()
        self._html = html

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._html


def check(name: str) -> Shown:
    """Grades "a02" or "a02.rope" as saved on disk, and returns the screen of it. A refusal is a screen too."""
    from autograder.learner.checking import check as run_check
    from autograder.learner.fetched import course_here
    from autograder.reporting import html
    from autograder.reporting.pages import refusal
    from autograder.reporting.terminal import screen

    try:
        course = course_here()
        assignment, task = course.resolve(name)
        checked = run_check(course, assignment, task, transport=_sandboxes())
    except AutograderError as error:
        return Shown(refusal(error), html.refusal(error), passed=False)
    asked = task.name if task else None
    view = screen(checked.report, assignment, checked.progress, task=asked)
    piece = html.fragment(checked.report, assignment, checked.progress, asked)
    return Shown(view, piece, checked.passed)


@cache
def _sandboxes() -> KeptSandboxes:
    """Kept while the notebook runs: a second check need not import torch again."""
    from autograder.learner.checking import KeptSandboxes

    kept = KeptSandboxes()
    atexit.register(kept.close)
    return kept


def _find_neighbours(folder: Path) -> None:
    """Lets the cells of a notebook in `folder` import what its assignment shares with others or builds on."""
    from autograder.learner.fetched import course_here, is_fetched

    if is_fetched(folder):
        with contextlib.suppress(AutograderError, OSError):
            for assignment in course_here():
                _find_neighbours(assignment.folder)
        return
    try:
        facts = json.loads((folder / ASSIGNMENT_FILE).read_text(encoding="utf-8"))
        earlier = [name.partition(".")[0] for name in facts["builds_on"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # no assignment's folder: nothing to find
    places = [folder.parent, *(folder.parent / name for name in earlier)]
    sys.path += [str(place) for place in places if str(place) not in sys.path]


_find_neighbours(Path.cwd())
