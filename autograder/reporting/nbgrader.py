"""What an instructor sees after an nbgrader course was written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from autograder.reporting.style import UNICODE, Symbols, plural


def course_tree(
    folder: Path, written: Sequence[str], laid: Sequence[str], same: int, symbols: Symbols = UNICODE
) -> RenderableType:
    """How many files were written, which were left because somebody edited them, and the command that comes next."""
    counts = f" {folder}: {plural(len(written), 'file')} written, {same} as they were."
    lines: list[RenderableType] = [Text.assemble(symbols.of("passed"), (counts, "bold"))]
    lines += [Text(f"  {symbols.arrow} {name}: yours, and left alone; the new one is in .newer/") for name in laid]
    names = sorted({name.split("/")[1] for name in (*written, *laid) if name.startswith("source/")})
    lines += [Text(f"  Now: cd {folder} && nbgrader generate_assignment {names[0]}")] if names else []
    return Group(*lines)
