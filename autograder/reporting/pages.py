"""The smaller views: a refusal, hints, a quiz question, the doctor's findings, a whole report."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from autograder.errors import AutograderError
from autograder.learner.doctor import Finding
from autograder.learner.hints import Hints
from autograder.learner.quiz import Question
from autograder.report import NOT_WRITTEN, Report, TestResult
from autograder.reporting.style import UNICODE, Capped, Symbols, clean, flowed, heading, plural, points, state_of


def refusal(error: AutograderError, symbols: Symbols = UNICODE) -> RenderableType:
    """What is wrong, where, and the command that mends it: one calm block."""
    head = Text.assemble(symbols.of("failed"), f" {clean(error.problem)}")
    return Group(head, _labelled([("where", error.where), ("mend", error.mend)]))


def hints(shown: Hints, symbols: Symbols = UNICODE) -> RenderableType:
    """The hints opened so far, the newest in full light."""
    total, target = len(shown.task.hints), f"{shown.assignment.short}.{shown.task.name}"
    parts: list[RenderableType] = [Text(f"{target}  hint {len(shown.opened)} of {total}", style="bold"), ""]
    for number, hint in enumerate(shown.opened, 1):
        newest = number == len(shown.opened)
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(
            Text(f" {number}", style="bold" if newest else "dim"), Text(flowed(hint), style="" if newest else "dim")
        )
        parts += [line, ""]
    if shown.left:
        parts.append(
            Text(f"{plural(shown.left, 'more hint')}, when you want it: autograder hint {target}", style="dim")
        )
    else:
        ours = f" autograder solution {target} shows our way." if shown.assignment.has_solution else ""
        parts.append(Text(f"That was the last one.{ours}", style="dim"))
    return Group(*parts)


def question(asked: Question, number: int, total: int) -> RenderableType:
    """One question with its choices."""
    parts: list[RenderableType] = [
        "",
        Text(f"{number} of {total}", style="dim"),
        Text(flowed(asked.question), style="bold"),
        "",
    ]
    for letter, choice in zip(asked.letters, asked.choices, strict=True):
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(Text(f"  {letter}", style="bold"), Text(flowed(choice)))
        parts.append(line)
    return Group(*parts)


def explanation(asked: Question, chosen: int | None, symbols: Symbols = UNICODE) -> RenderableType:
    """What the chosen answer misses, and why the right one is right. Without a choice, only the latter."""
    right = asked.answer
    parts: list[RenderableType] = [""]
    if chosen is not None and chosen != right:
        parts += [_verdict(symbols.of("failed"), f"Not {asked.letters[chosen]}. {asked.explanations[chosen]}")]
    lead = "" if chosen == right else f"{asked.letters[right]}. "
    parts.append(_verdict(symbols.of("passed"), f"{lead}{asked.explanations[right]}"))
    return Group(*parts)


def findings(found: Sequence[Finding], symbols: Symbols = UNICODE) -> RenderableType:
    """Each finding on a line, with what mends it underneath."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in found:
        said = Text(clean(finding.says))
        if finding.mend:
            said.append(f"\n{symbols.arrow} {finding.mend}", style="bold")
        table.add_row(symbols.of(finding.level), Text(finding.name), said)
    wrong = [finding for finding in found if finding.level == "fail"]
    noted = [finding for finding in found if finding.level == "warn"]
    said_all = f"{plural(len(wrong), 'thing')} to mend." if wrong else "Everything that is needed is here."
    if noted:
        said_all += f" {plural(len(noted), 'note')}."
    return Group(table, "", Text(said_all, style="bold"))


def whole_report(report: Report, symbols: Symbols = UNICODE) -> RenderableType:
    """Every test of a report, and under what conditions it was made."""
    known = f"{points(report.points)} of {points(report.max_points)} points"
    score = "points not known here" if report.hidden_elsewhere else known
    parts: list[RenderableType] = [heading(f"{report.assignment}  {report.title}", score)]
    for task in report.by_task():
        earned = "?" if report.hidden_elsewhere else points(task.points)
        worth = f"  {earned} / {points(task.max_points)}"
        parts += ["", Text.assemble(symbols.of(state_of(task)), (f" {task.name}", "bold"), (worth, "dim"))]
        for test in task.tests:
            parts += _one_test(test, symbols)
    return Group(*parts, "", conditions(report, symbols))


def conditions(report: Report, symbols: Symbols = UNICODE) -> RenderableType:
    """When, on what, and behind which isolation a report was made."""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    rows = [
        ("graded", f"{report.started}, {report.cpu_seconds:.1f} CPU-seconds"),
        ("work", report.submission[:18] + symbols.ellipsis),
        ("release", report.release[:12]),
        ("with", versions),
        *isolation_rows(report),
        *(("note", note) for note in report.notes),
    ]
    return _labelled(rows)


def isolation(report: Report) -> RenderableType:
    """What stood between the student's code and the machine, and what that does not stop."""
    return _labelled(isolation_rows(report))


def isolation_rows(report: Report) -> list[tuple[str, str]]:
    rows = [("isolation", report.isolation)]
    if report.not_stopped:
        rows.append(("not stopped", "; ".join(report.not_stopped)))
    return rows


def source_code(text: str) -> Text:
    """Python source in colours. To be printed unwrapped, so that it can be copied."""
    lit = Syntax("", "python", theme="ansi_dark").highlight(text.strip("\n"))
    lit.rstrip()
    return lit


def _one_test(test: TestResult, symbols: Symbols) -> list[RenderableType]:
    kind = f"hidden, {points(test.points)} / {points(test.max_points)}" if test.hidden else "practice"
    state = "unwritten" if test.reason == NOT_WRITTEN else test.outcome
    line = Text.assemble(symbols.of(state), f" {clean(test.sentence)}", (f"  ({kind})", "dim"))
    parts: list[RenderableType] = [Capped(line, 3, symbols, indent=2, hang=2)]
    if test.reason and test.outcome != "passed":
        parts.append(Capped(test.reason, 6, symbols, indent=6, style="dim"))
    return parts


def _verdict(symbol: Text, said: str) -> Table:
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(symbol, Text(flowed(said)))
    return line


def _labelled(rows: Sequence[tuple[str, str]]) -> Table:
    """Label and text, aligned; empty ones are left out."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for label, said in rows:
        if said:
            table.add_row(Text(f"  {label}", style="dim"), Text(clean(said)))
    return table
