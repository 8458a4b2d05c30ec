"""The screen of `watch`: one check, the hint that was asked for, and one line with what goes on and the keys."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.styled import Styled
from rich.text import Text

from autograder.reporting.style import UNICODE, Symbols, clean

LEAST = 8
"""Lines of the check that are shown however long the hint is."""


@dataclass(frozen=True)
class Scene:
    """What is to be seen."""

    body: RenderableType
    hint: RenderableType | None = None
    says: str = ""
    """What goes on."""
    keys: Sequence[tuple[str, str]] = field(default_factory=tuple)
    old: bool = False
    """Whether the body is of an earlier save: then it is dimmed."""


def lines(scene: Scene, width: int, height: int, color: str | None, symbols: Symbols = UNICODE) -> list[str]:
    """At most `height` lines of at most `width` columns. The last is the bar; what does not fit is cut, with a mark."""
    room = max(height - 2, 1)
    body = _drawn(Styled(scene.body, "dim") if scene.old else scene.body, width, color)
    hint = ["", *_drawn(scene.hint, width, color)] if scene.hint is not None else []
    body = _cut(body, max(room - len(hint), min(LEAST, room)), symbols)
    hint = hint[: max(room - len(body), 0)]
    bar = _drawn(_bar(scene, width, symbols), width, color)[:1]
    return [*body, *hint, "", *bar][-height:]


def _cut(body: list[str], room: int, symbols: Symbols) -> list[str]:
    return body if len(body) <= room else [*body[: room - 1], f"  {symbols.ellipsis}"]


def _bar(scene: Scene, width: int, symbols: Symbols) -> Text:
    """The keys at the right, and at the left as much of what goes on as there is room for."""
    keys = Text("  ").join(Text.assemble((key, "bold"), (f" {what}", "dim")) for key, what in scene.keys)
    keys.truncate(width)
    says = Text(clean(scene.says).replace("\n", " "), style="dim")
    room = width - keys.cell_len - 2
    if says.cell_len > room:
        says.truncate(max(room - len(symbols.ellipsis), 0))
        says.append(symbols.ellipsis if room > len(symbols.ellipsis) else "")
    gap = " " * max(width - says.cell_len - keys.cell_len, 0)
    return Text.assemble(says, gap, keys, no_wrap=True)


def _drawn(what: RenderableType, width: int, color: str | None) -> list[str]:
    """As lines of text with the terminal's own colour codes."""
    paper = io.StringIO()
    system = {"standard": "standard", "256": "256", "truecolor": "truecolor"}.get(color or "")
    console = Console(file=paper, width=width, height=1000, color_system=system, force_terminal=True, highlight=False)  # type: ignore[arg-type]
    console.print(what)
    return paper.getvalue().rstrip("\n").split("\n")
