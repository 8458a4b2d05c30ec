"""HTML and SVG built from elements: every text is escaped unless this module made it, so none can be forgotten."""

from __future__ import annotations

import html
from collections.abc import Iterable

from autograder.reporting.style import clean

VOID = frozenset({"meta", "link", "br"})


class Markup(str):
    """Text that is markup already. Only `element`, `joined` and `ours` make it."""

    __slots__ = ()


Child = str | None


def element(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """One element. `class_` becomes class, `aria_label` aria-label; None leaves a child or an attribute out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(clean(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Children in a row, each escaped unless it is markup."""
    return Markup("".join(_safe(child) for child in children if child is not None))


def ours(text: str) -> Markup:
    """Markup that stands in a file of this package, as it is. Never for text that came from elsewhere."""
    return Markup(text)


def _safe(child: str) -> str:
    return child if isinstance(child, Markup) else html.escape(clean(child))
