"""The look of every screen: symbols, colours, numbers, and text made safe for a terminal.

Nothing is said by colour alone, and passed and failed are cyan and yellow, which every eye tells apart.
Text that came out of a student's program is stripped of control characters: it cannot move the cursor, rename the
window or turn the reading direction.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from autograder.report import NOT_WRITTEN, Outcome, TaskResult

STYLES = {
    "passed": "cyan",
    "failed": "yellow",
    "blocked": "dim",
    "timeout": "yellow",
    "crashed": "yellow",
    "skipped": "dim",
    "error": "magenta",
    "unwritten": "dim",
    "unknown": "dim",
    "ok": "cyan",
    "warn": "yellow",
    "fail": "bold yellow",
}


@dataclass(frozen=True)
class Symbols:
    """One set of signs: for terminals that speak Unicode, or for those that do not."""

    passed: str = "✓"
    failed: str = "✗"
    blocked: str = "‖"
    timeout: str = "⧗"
    crashed: str = "✗"
    skipped: str = "–"
    error: str = "!"
    unwritten: str = "◌"
    unknown: str = "·"
    ok: str = "✓"
    warn: str = "!"
    fail: str = "✗"
    full: str = "■"
    empty: str = "□"
    arrow: str = "→"
    dot: str = "·"
    ellipsis: str = "…"

    def of(self, state: str) -> Text:
        return Text(getattr(self, state), style=STYLES[state])


UNICODE = Symbols()
ASCII = Symbols("+", "x", "|", "T", "x", "-", "!", "o", ".", "+", "!", "x", "#", "-", "->", "-", "...")


def symbols_for(encoding: str | None) -> Symbols:
    """The signs that an output of this encoding can show."""
    try:
        "".join(vars(UNICODE).values()).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def state_of(result: TaskResult) -> str:
    """How a task stands, as the name of its symbol."""
    outcomes: list[Outcome] = [test.outcome for test in result.tests if test.outcome != "skipped"]
    if not outcomes:
        return "unknown"
    if result.done:
        return "passed"
    if "error" in outcomes:
        return "error"
    if unwritten(result):
        return "unwritten"
    for outcome in ("failed", "crashed", "timeout"):
        if outcome in outcomes:
            return outcome
    return "blocked"


def unwritten(result: TaskResult) -> bool:
    """Whether every test that ran met the stub's NotImplementedError."""
    ran = [test for test in result.tests if test.outcome not in ("skipped", "blocked")]
    return bool(ran) and all(test.reason == NOT_WRITTEN for test in ran)


def points(value: float) -> str:
    """At most two decimals, cut rather than rounded: a full score is shown only where it is full."""
    cut = math.floor(round(value, 6) * 100 + 1e-6) / 100
    return f"{cut:.2f}".rstrip("0").rstrip(".")


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def bar(share: float, symbols: Symbols, width: int = 10) -> Text:
    """A small bar; full only at the whole, empty only at nothing."""
    share = min(max(share, 0.0), 1.0)
    filled = min(math.ceil(share * width), width - 1) if share < 1 else width
    return Text.assemble((symbols.full * filled, "cyan"), (symbols.empty * (width - filled), "dim"))


def clean(text: str) -> str:
    """`text` without anything that commands a terminal; tabs become spaces."""
    kept = text.replace("\r\n", "\n").expandtabs(4)
    return "".join(c for c in kept if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))


def flowed(text: str) -> str:
    """Prose that was broken into lines in its source, as paragraphs again; indented and listed lines stay lines."""
    return re.sub(r"(?<=\S)\n(?=[^\s\-*`])", " ", clean(text))


def heading(left: str, right: str) -> Table:
    """A title, and at the other end of the line its score."""
    line = Table.grid(expand=True, padding=(0, 2))
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(Text(clean(left), style="bold"), Text(right, style="bold"))
    return line


class Capped:
    """Text that takes at most `lines` lines at whatever width it is given; what is cut is marked.

    All lines stand `indent` columns in, and those after the first `hang` more.
    """

    def __init__(
        self, text: str | Text, lines: int, symbols: Symbols, indent: int = 4, style: str = "", hang: int = 0
    ) -> None:
        self.text = text if isinstance(text, Text) else Text(clean(text).strip("\n"), style=style)
        self.lines, self.symbols, self.indent, self.hang = lines, symbols, indent, hang

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - self.indent - self.hang, 10)
        wrapped = list(self.text.wrap(console, width))
        shown = wrapped[: self.lines]
        if len(wrapped) > self.lines:
            shown[-1] = shown[-1].copy()
            shown[-1].truncate(width - len(self.symbols.ellipsis) - 1)
            shown[-1].append(" " + self.symbols.ellipsis)
        yield from self._indented(shown)

    def _indented(self, lines: list[Text]) -> Iterator[Text | Segment]:
        for number, line in enumerate(lines):
            line.rstrip()
            yield Text.assemble(" " * (self.indent + (self.hang if number else 0)), line)
