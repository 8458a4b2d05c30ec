"""What an author sees: a release, a verification, a new assignment."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autograder.reporting.style import UNICODE, Symbols, clean, plural, points

if TYPE_CHECKING:
    from autograder.authoring.findings import MistakeRow, Verification
    from autograder.authoring.release import ReleaseResult
    from autograder.authoring.runs import RunRow


def begun(root: Path, folder: Path) -> RenderableType:
    """The files of a new assignment, and what to do with them."""
    short = folder.name.partition("_")[0]
    lines = [Text(f"  {path.relative_to(root)}") for path in sorted(folder.iterdir())]
    steps = f"autograder release, autograder verify {short} --quick, and then write your own."
    return Group(Text("A new assignment, small and whole:", style="bold"), *lines, "", Text(f"Now: {steps}"))


def released(result: ReleaseResult, check: bool, symbols: Symbols = UNICODE) -> RenderableType:
    """What a release did, or what a check found."""
    lines: list[RenderableType] = []
    if check:
        agree = "assignments/ is what solutions/ says." if result.clean else "assignments/ is not what solutions/ says:"
        lines.append(Text.assemble(symbols.of("passed" if result.clean else "failed"), (f" {agree}", "bold")))
        lines += [_item(symbols.dot, text) for text in result.differs]
        lines += [_item(symbols.dot, f"{name}: edited since its release, and left alone") for name in result.edited]
    else:
        counts = f"{plural(len(result.written), 'file')} written, {result.same} as they were"
        lines.append(Text.assemble(symbols.of("passed"), (f" {counts}.", "bold")))
        lines += [_item(symbols.dot, f"assignments/{name}") for name in result.written]
    lines += [_item(symbols.arrow, text) for text in result.advice]
    return Group(*lines)


def kit_released(result: ReleaseResult, folder: str, symbols: Symbols = UNICODE) -> RenderableType:
    """What a kit's release did, in numbers: it has hundreds of files."""
    counts = f"{plural(len(result.written), 'file')} written, {result.same} as they were"
    lines: list[RenderableType] = [
        Text.assemble(symbols.of("passed"), (f" The kit is in {clean(folder)}: {counts}.", "bold"))
    ]
    lines += [_item(symbols.dot, f"{name}: edited, and left as it is") for name in result.kept]
    lines += [_item(symbols.arrow, text) for text in result.advice]
    return Group(*lines)


def zips_released(paths: Iterable[Path], symbols: Symbols = UNICODE) -> RenderableType:
    """The zips that were written, and whose they are."""
    lines: list[RenderableType] = [
        Text.assemble(symbols.of("passed"), (" One zip an assignment, with its hidden tests. They are yours.", "bold"))
    ]
    return Group(*lines, *(_item(symbols.dot, str(path)) for path in paths))


def verified(found: Verification, symbols: Symbols = UNICODE) -> RenderableType:
    """The gate's findings: lapses first, then the figures."""
    opened = not found.lapses
    kept = "  (kept: nothing that it depends on has changed)" if found.kept else ""
    state = "is fit to be given out" if opened else f"has {plural(len(found.lapses), 'lapse')}"
    sign = symbols.of("passed" if opened else "failed")
    lines: list[RenderableType] = [Text.assemble(sign, (f" {found.assignment} {state}", "bold"), (kept, "dim"))]
    lines += [_item(symbols.dot, lapse) for lapse in found.lapses]
    if found.tests:
        low, high = min(found.tests.values()), max(found.tests.values())
        seeds = f"{low}" if low == high else f"{low} to {high}"
        lines.append(_item(" ", f"{plural(len(found.tests), 'hidden test')}, {seeds} vetted seeds each"))
    if found.mistakes:
        caught = sum(bool(row.caught_by or row.also_caught_by) for row in found.mistakes)
        named = sum(bool(row.recognised_in) for row in found.mistakes)
        lines.append(_item(" ", f"{plural(len(found.mistakes), 'mistake')}: {caught} caught, {named} recognised"))
        lines.append(_mistake_table(found.mistakes))
        lines += _coincidences(found)
    lines += [_item(" ", _run_line(row)) for row in found.runs]
    if found.trivial:
        best = max(found.trivial, key=lambda name: found.trivial[name])
        best_score = (
            f"{plural(len(found.trivial), 'trivial answer')}: the best ({best}) earns {points(found.trivial[best])}"
        )
        lines.append(_item(" ", best_score))
    lines += (
        [_item(" ", f"{plural(len(found.alternatives), 'other right answer')} tried")] if found.alternatives else []
    )
    lines.append(_item(" ", f"{found.cpu_seconds:.1f} CPU-seconds"))
    return Group(*lines)


def _mistake_table(rows: Iterable[MistakeRow]) -> Table:
    """Per mistake: how it is told from the truth at its narrowest, by which test, and whether it is ever named."""
    table = Table.grid(padding=(0, 2, 0, 0))
    cells = [_mistake_cells(row) for row in rows]
    for place in range(3):  # the last column, the test's name, is the one that gives way
        table.add_column(no_wrap=True, min_width=max(len(line[place]) for line in cells))
    table.add_column(no_wrap=True, overflow="ellipsis")
    for first, *rest in cells:
        table.add_row(Text(first), *(Text(cell, style="dim") for cell in rest))
    return table


def _run_line(row: RunRow) -> str:
    """A graded run: what the reference reached, what was needed, and how many mistakes miss it."""
    reached = f"{min(row.reference):.4g} to {max(row.reference):.4g}" if row.reference else "nothing"
    needed = "" if row.threshold is None else f" of {row.threshold:g}"
    used = f"{max(row.cpu_seconds):.1f} CPU-seconds at most" if row.cpu_seconds else ""
    return f"{row.test}: the reference reaches {reached}{needed}; {plural(len(row.caught), 'mistake')} miss it; {used}"


def _mistake_cells(row: MistakeRow) -> tuple[str, str, str, str]:
    test, margin = row.narrowest
    told = "differs in kind" if margin is None else f"{margin:.3g} tolerances"
    return f"    {row.task}.{row.id}", told, "named" if row.recognised_in else "not named", test


def _coincidences(found: Verification) -> list[RenderableType]:
    """Pairs of mistakes that answer alike to a test on some seed: there, neither is named unless they are twins."""
    twins = {frozenset((row.id, twin)) for row in found.mistakes for twin in row.twins}
    lines: list[RenderableType] = []
    for test, one, other in found.coincidences:
        kind = "twins" if frozenset((one, other)) in twins else "neither is named there"
        lines.append(_item(" ", f"  {one} and {other} answer alike to {test} ({kind})"))
    return [_item(" ", f"{plural(len(lines), 'coincidence')} of two mistakes in one test"), *lines] if lines else []


def _item(sign: str, text: str) -> Table:
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(Text(f"  {sign}", style="dim"), Text(clean(text)))
    return line
