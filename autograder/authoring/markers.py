"""Turns an answer into its stub: each marked region becomes "YOUR CODE HERE", by nbgrader's rule.

What it stops: a solution that ships because a marker was misspelt, nested, left open or put into the wrong cell.
What it does not: an author who writes the answer outside the markers. `autograder verify` runs the stub for that.
"""

from __future__ import annotations

import re

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
STUB_LINES = ("# YOUR CODE HERE", "raise NotImplementedError()")

_ALMOST = re.compile(r"^\s*#.*\b(BEGIN|END)[ _-]*SOLUTION\b", re.IGNORECASE)
"""A comment that looks like a marker. A string that only speaks of one is none."""


class MarkerProblem(Exception):
    """A region that cannot be read: what is wrong, on which line of the cell (from 0), and what mends it."""

    def __init__(self, line: int, problem: str, mend: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem
        self.mend = mend


def strip_solutions(text: str) -> str:
    """The cell without its solutions. Each region is replaced at the indent of its first line."""
    kept: list[str] = []
    opened: int | None = None
    for number, line in enumerate(text.split("\n")):
        marker = line.strip()
        if marker == BEGIN:
            if opened is not None:
                above = _lines(number - opened)
                raise MarkerProblem(number, f"a solution begins inside the one begun {above} above", f'end it: "{END}"')
            opened = number
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + stub for stub in STUB_LINES]
        elif marker == END:
            if opened is None:
                raise MarkerProblem(number, "a solution ends that never began", f'begin it: "{BEGIN}"')
            opened = None
        elif _ALMOST.match(line):
            raise MarkerProblem(number, f'"{marker}" is nearly a marker', f'write exactly "{BEGIN}" or "{END}"')
        elif opened is None:
            kept.append(line)
    if opened is not None:
        raise MarkerProblem(opened, "a solution begins here and never ends", f'end it: "{END}"')
    return "\n".join(kept)


def solutions_in(text: str) -> list[str]:
    """The lines inside the marked regions of a cell, for those who look whether they leak."""
    inside, lines = False, []
    for line in text.split("\n"):
        marker = line.strip()
        if marker in (BEGIN, END):
            inside = marker == BEGIN
        elif inside:
            lines.append(line)
    return lines


def first_marker(text: str) -> int | None:
    """The line (from 0) of the first marker, or of what looks like one."""
    for number, line in enumerate(text.split("\n")):
        if _ALMOST.match(line):
            return number
    return None


def _lines(count: int) -> str:
    return "one line" if count == 1 else f"{count} lines"
