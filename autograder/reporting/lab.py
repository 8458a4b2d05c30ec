"""A lab on the screen: its settings, how a run went, and what the trained model does on problems that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autograder.report import Curve
from autograder.reporting.html import BODY, ICON, MARK, POLICY, style
from autograder.reporting.html_curves import charts
from autograder.reporting.markup import Markup, element, ours
from autograder.reporting.style import clean

BLOCKS = "▁▂▃▄▅▆▇█"
SHOWN = ("reward", "accuracy", "kl", "entropy", "length", "zero_spread", "margin", "loss")
NAMES = {"zero_spread": "groups without spread", "length": "answer length", "accuracy": "pairs ordered right"}


def settings_shown(data: dict[str, Any], example: Sequence[tuple[str, str]]) -> RenderableType:
    """What --dry-run shows: every setting, and one example as the model sees it."""
    table = Table.grid(padding=(0, 2))
    for section, values in data.items():
        said = ", ".join(f"{k} = {v}" for k, v in values.items()) if isinstance(values, dict) else str(values)
        table.add_row(Text(section, style="bold"), Text(said))
    shown = [Text.assemble((f"{name}: ", "bold"), clean(text)) for name, text in example]
    return Group(table, "", *shown)


def measured(found: dict[str, Any], rows: Sequence[dict[str, float]], where: str) -> RenderableType:
    """Before and after on held-out problems, and each curve in one line."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("", "exact", "95% interval", "ended", "tokens"):
        table.add_column(name, justify="left" if not name else "right")
    for name in ("before", "after"):
        table.add_row(name, *_columns(found[name]))
    lines: list[RenderableType] = [Text(f"{found['problems']} held-out problems, greedy answers", style="bold"), table]
    after = found["after"]
    moved = f"KL(trained || base) {after['kl']:.3f} nats a token, entropy {after['entropy']:.3f}"
    lines += ["", Text(moved), *(Text(f"{name}: {said}") for name, said in more(found))]
    if not found.get("causal", True):
        lines.append(Text("its logits change when later tokens do: this is no language model", style="bold yellow"))
    lines += [_spark(name, rows) for name in SHOWN if any(name in row for row in rows)]
    lines += ["", Text(f"kept in {where}", style="dim")]
    return Group(*lines)


def more(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What only some labs measure, in words: the loss of right answers, and the memory of a base of few bits."""
    said = []
    for key, name in (("loss", "Loss of right answers"), ("loss_over_codes", "The same over the base of few bits")):
        if key in found:
            told = found[key]
            said.append((name, f"{told['before']:.3f} before, {told['after']:.3f} after, nats a token"))
    if "memory" in found:
        held = {key: value / 1e6 for key, value in found["memory"].items()}
        base = f"base {held['base']:,.1f} MB ({held['float32']:,.1f} in float32)"
        trained = (
            f"trained {held['trained']:,.1f} MB with gradients and moments ({held['everything']:,.1f} for all weights)"
        )
        said.append(("Memory", f"{base}, {trained}; activations are not counted"))
    return said


def _columns(figures: dict[str, float]) -> list[str]:
    interval = f"{figures['exact_low']:.0%} to {figures['exact_high']:.0%}"
    return [f"{figures['exact']:.0%}", interval, f"{figures['ended']:.0%}", f"{figures['length']:.1f}"]


def _spark(name: str, rows: Sequence[dict[str, float]]) -> Text:
    """A curve in one line: its first and last value, and the way between in at most 40 blocks."""
    values = [row[name] for row in rows if name in row]
    each = max(1, -(-len(values) // 40))
    means = [sum(part) / len(part) for part in (values[i : i + each] for i in range(0, len(values), each))]
    low, high = min(means), max(means)
    drawn = "".join(BLOCKS[int((v - low) / (high - low) * 7.999) if high > low else 0] for v in means)
    return Text(f"{NAMES.get(name, name):>22}  {values[0]:8.3g}  {drawn}  {values[-1]:.3g}")


def page(
    title: str, found: dict[str, Any], rows: Sequence[dict[str, float]], conditions: Sequence[tuple[str, str]]
) -> str:
    """The same as one self-contained HTML file, with its curves."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        ours(f'{MARK} lab">'),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("link", rel="icon", href=ICON),
        ours(f"<style>{BODY}{style()}</style>"),
    )
    listed = [element("div", element("dt", name), element("dd", said)) for name, said in [*more(found), *conditions]]
    body = element(
        "div",
        element("h1", title),
        _table(found),
        charts(curves(rows)),
        element("dl", *listed),
        class_="autograder page",
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body), lang='en')}\n"


def curves(rows: Sequence[dict[str, float]]) -> list[Curve]:
    """The log as curves, one a figure."""
    found = []
    for name in SHOWN:
        points = tuple((float(row["step"]), float(row[name])) for row in rows if name in row)
        if points:
            found.append(Curve(NAMES.get(name, name), "steps", points))
    return found


def _table(found: dict[str, Any]) -> Markup:
    head = element("tr", *(element("th", name) for name in ("", "exact", "95% interval", "ended", "tokens")))
    rows = [
        element("tr", element("th", name), *(element("td", cell) for cell in _columns(found[name])))
        for name in ("before", "after")
    ]
    return element("table", head, *rows)
