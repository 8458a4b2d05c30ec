"""Printing for the command line: the console, the one progress line, and the exits."""

from __future__ import annotations

import io
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.text import Text

from autograder.reporting.style import Symbols, bar, clean, symbols_for

if TYPE_CHECKING:
    from autograder.course import Assignment
    from autograder.errors import AutograderError
    from autograder.grading.run import Progress as Running

PASSED, NOT_YET, REFUSED, INTERRUPTED = 0, 1, 2, 130
WIDEST = 100


def prepare_streams() -> None:
    """A character that the terminal cannot show becomes a question mark, never an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def console(error: bool = False) -> Console:
    """A console at most 100 columns wide: longer lines are hard to read."""
    made = Console(stderr=error, highlight=False, soft_wrap=False)
    made.width = min(made.width, WIDEST)
    return made


def symbols(error: bool = False) -> Symbols:
    return symbols_for((sys.stderr if error else sys.stdout).encoding)


def show(what: RenderableType, wrap: bool = True) -> None:
    """Prints with an empty line before and after. Code goes unwrapped, so that it can be copied."""
    out = console()
    out.print()
    out.print(what, soft_wrap=not wrap)
    out.print()


def note(said: str) -> None:
    """One quiet line beside the output (on stderr, so that --json stays clean)."""
    if said:
        console(error=True).print(Text(f"note: {clean(said)}", style="dim"))


def refuse(error: AutograderError) -> None:
    from autograder.reporting.pages import refusal

    out = console(error=True)
    out.print(refusal(error, symbols(error=True)))


class ProgressLine:
    """One line that says which test runs, gone at the end. No thread: the grader forks."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self.console = console(error=True)
        self._since = 0.0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")

    def say(self, said: str) -> None:
        line = Text(f"  {clean(said)}".replace("\n", " "))
        line.truncate(self.console.width - 1, overflow="ellipsis" if symbols(error=True).dot == "·" else "crop")
        self._write(line.plain)

    def on_test(self, running: Running, before: str = "") -> None:
        if running.result is None:
            self.say(f"{before}{running.number} of {running.total}  {self._training(running)}{running.case.sentence}")

    def on_test_of(self, assignment: Assignment, running: Running) -> None:
        self.on_test(running, f"{assignment.short}  ")

    def _training(self, running: Running) -> str:
        """How far a graded run is, and how long it will take at this pace."""
        if running.share is None:
            self._since = time.monotonic()
            return ""
        gone = time.monotonic() - self._since
        left = gone * (1 - running.share) / running.share if running.share else 0.0
        return f"{bar(running.share, symbols(error=True)).plain} {running.share:.0%}, {left:.0f} s left  "

    def _write(self, line: str) -> None:
        if self.live:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
