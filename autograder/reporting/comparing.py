"""A comparison of PPO and GRPO on the screen and as a page. It says what the figures show, and nothing else."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autograder.report import Curve
from autograder.reporting.html import BODY, ICON, MARK, POLICY, style
from autograder.reporting.html_curves import charts
from autograder.reporting.markup import Markup, element, ours

HEAD = ("", "seed", "exact before", "exact after", "95% interval", "tokens", "seconds")


def compared(found: dict[str, Any], where: str) -> RenderableType:
    """A row for each run, then the sentences."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in HEAD:
        table.add_column(name, justify="left" if not name else "right")
    for row in found["runs"]:
        table.add_row(*cells(row))
    return Group(table, "", *(Text(said) for said in sentences(found)), "", Text(f"kept in {where}", style="dim"))


def cells(row: dict[str, Any]) -> list[str]:
    """One run, in the columns of HEAD."""
    before, after = row["before"], row["after"]
    tokens = "-" if row["tokens"] is None else f"{row['tokens']:,}"
    interval = f"{after['exact_low']:.0%} to {after['exact_high']:.0%}"
    name = f"{row['kind']} ({row['backend']})"
    exact = [f"{before['exact']:.0%}", f"{after['exact']:.0%}", interval]
    return [name, str(row["seed"]), *exact, tokens, f"{row['seconds']:,.0f}"]


def sentences(found: dict[str, Any]) -> list[str]:
    """What the figures show."""
    told, critic = found["difference"], found["critic"]
    problems = found["runs"][0]["problems"]
    interval = f"95% from {told['low']:+.3f} to {told['high']:+.3f}"
    gap = f"GRPO less PPO: {told['mean']:+.3f} of {problems} held-out problems, {interval}"
    verdict = {"grpo": "GRPO ends higher.", "ppo": "PPO ends higher."}.get(
        told["winner"], "The interval holds 0, so nothing is decided."
    )
    return [
        f"Each run was paid for {found['completions']:,} completions, in {found['steps']:,} steps.",
        f"{gap}, over {len(told['seeds'])} paired seeds. {verdict}",
        f"PPO's critic has {critic['parameters']:,} weights: {critic['bytes'] / 1e6:,.1f} MB with gradients and two "
        "moments in float32, which GRPO does without.",
    ]  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """The same as one self-contained HTML file, with the rewards of every run."""
    title = f"PPO against GRPO on {found['model']}"
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
    said = [element("p", sentence) for sentence in sentences(found)]
    body = element("div", element("h1", title), _table(found), *said, charts(rewards(found)), class_="autograder page")
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body), lang='en')}\n"


def rewards(found: dict[str, Any]) -> list[Curve]:
    """The reward of every run against completions: a figure for each algorithm, a line for each seed."""
    return [
        Curve(f"mean reward, {row['kind']}", "completions", tuple((x, y) for x, y in row["reward"]), seed=row["seed"])
        for row in sorted(found["runs"], key=lambda row: str(row["kind"]))
    ]


def _table(found: dict[str, Any]) -> Markup:
    head = element("tr", *(element("th", name) for name in HEAD))
    rows = [
        element("tr", element("th", first), *(element("td", cell) for cell in rest))
        for first, *rest in map(cells, found["runs"])
    ]
    return element("table", head, *rows)
