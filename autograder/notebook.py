"""The same check inside a notebook: `from autograder.notebook import check`, then `check("a02.attention")`.

It grades the notebook as it is saved on disk, so save it first.
"""

from __future__ import annotations

import io

from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme

from autograder.errors import AutograderError

WIDTH = 90
THEME = TerminalTheme(
    (255, 255, 255),
    (30, 30, 30),
    [
        (30, 30, 30),
        (170, 60, 40),
        (0, 120, 60),
        (150, 95, 0),
        (30, 80, 160),
        (130, 50, 130),
        (0, 110, 130),
        (90, 90, 90),
    ],
)
PAGE = '<pre style="font-family:monospace;line-height:1.35;white-space:pre-wrap">{code}</pre>'


class Shown:
    """A screen that a notebook shows with its colours, and a plain console as text."""

    def __init__(self, what: RenderableType, passed: bool) -> None:
        console = Console(record=True, file=io.StringIO(), width=WIDTH, highlight=False, force_jupyter=False)
        console.print(what)
        self.passed = passed
        self._text = console.export_text(clear=False)
        self._html = console.export_html(theme=THEME, inline_styles=True, code_format=PAGE)

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._html


def check(name: str) -> Shown:
    """Grades "a02" or "a02.rope" as saved on disk, and returns the screen of it. A refusal is a screen too."""
    from autograder.course import Course
    from autograder.learner.checking import check as run_check
    from autograder.reporting.pages import refusal
    from autograder.reporting.terminal import screen

    try:
        course = Course.load()
        assignment, task = course.resolve(name)
        checked = run_check(course, assignment, task)
    except AutograderError as error:
        return Shown(refusal(error), passed=False)
    view = screen(checked.report, assignment, checked.progress, task=task.name if task else None)
    return Shown(view, checked.passed)
