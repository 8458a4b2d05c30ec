"""A report as one file for a browser, and a check as a piece of a notebook: no script, nothing fetched.

Both wear `page.css`, which touches nothing outside the class `autograder`.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from autograder.course import Assignment
from autograder.errors import AutograderError
from autograder.learner.next_step import cannot_load, tried
from autograder.learner.progress import Progress
from autograder.report import Report, TaskResult
from autograder.reporting import html_tests as parts
from autograder.reporting.html_tests import state
from autograder.reporting.markup import Markup, element, ours
from autograder.reporting.style import points, state_of
from autograder.reporting.words import first_failing, focus_in, mistake_of, part_of, score, summary, what_next, worth

MARK = '<meta name="generator" content="autograder report'
"""Stands in the head of every page that we wrote: only such a file is written over."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 29 29'%3E%3Cpath fill='%232f7fb8' "
    "d='M0 0h13v13H0zM0 16h13v13H0z'/%3E%3Cpath fill='%23e08a1e' d='M16 16h13v13H16z'/%3E%3C/svg%3E"
)
BODY = "body{margin:0}@media(prefers-color-scheme:dark){body{background:#12171d}}@media print{body{background:none}}"


def page(report: Report, assignment: Assignment, progress: Progress) -> str:
    """The whole report as one HTML file."""
    short = report.assignment.split("_", 1)[0]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        ours(f'{MARK} {report.schema:d}">'),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{short} · {report.title}: {score(report)}"),
        element("link", rel="icon", href=ICON),
        ours(f"<style>{BODY}{style()}</style>"),
    )
    body = element("body", element("div", *_whole(report, assignment, progress), class_="autograder page"))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def fragment(report: Report, assignment: Assignment, progress: Progress, task: str | None = None) -> str:
    """What one check says, for the output of a notebook cell."""
    focus = focus_in(assignment, report, task)
    board = parts.board(report, _needs(assignment), linked=False)
    asked = next((result for result in report.by_task() if result.name == task), None)
    part = part_of(report, assignment, task)
    return _piece(
        _head(part, assignment, "h3", summary(assignment, report, task)),
        _focused(focus, report, progress) if focus else None,
        _passed(asked, report, progress) if asked and asked.done else None,
        _next(report, assignment, progress, task, focus),
        parts.noted(part),
        element("details", element("summary", "All tasks"), board) if task else board,
        element("details", element("summary", "How it was run"), parts.conditions(report)),
    )


def refusal(error: AutograderError) -> str:
    """A refusal, for the output of a notebook cell: what is wrong, where, and the command that mends it."""
    rows = [("Where", error.where), ("Mend", error.mend)]
    shown = [(label, said) for label, said in rows if said]
    listed = element("dl", *(element("div", element("dt", label), element("dd", said)) for label, said in shown))
    said = element("p", state("failed"), " ", element("span", error.problem, class_="sentence"), class_="says")
    return _piece(element("div", said, listed if shown else None, class_="test failed alone"))


@cache
def style() -> str:
    """The style sheet without its comments and line ends."""
    text = files("autograder.reporting").joinpath("page.css").read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)).strip()


def _piece(*children: Markup | None) -> str:
    """A piece of a notebook. Its rules are said thrice over: so they outdo a notebook's own for tables and lists."""
    rules = re.sub(r"\.autograder (?=[^{])", ".autograder.autograder.autograder ", style())
    return element("div", ours(f"<style>{rules}</style>"), *children, class_="autograder piece")


def _whole(report: Report, assignment: Assignment, progress: Progress) -> list[Markup]:
    needs = _needs(assignment)
    overview = element("h2", "Tasks", id="tasks")
    made = element("h2", "How this report was made", id="made")
    return [
        element(
            "header",
            _head(report, assignment, "h1", summary(assignment, report)),
            parts.broken(report),
            _next(report, assignment, progress, None, focus_in(assignment, report)),
            parts.noted(report),
        ),
        element(
            "main",
            element("section", overview, parts.board(report, needs, linked=True), aria_labelledby="tasks"),
            element("h2", "Every test"),
            *(_task(place, result, report, progress) for place, result in enumerate(report.by_task(), 1)),
        ),
        element("footer", made, parts.conditions(report)),
    ]


def _needs(assignment: Assignment) -> dict[str, tuple[str, ...]]:
    return {task.name: task.needs for task in assignment.tasks}


def _head(report: Report, assignment: Assignment, level: str, said: str) -> Markup:
    """Whose report it is of what, the score, and the whole in one sentence."""
    what = "Report" if report.student in ("", "local") else f"Report for {report.student}"
    over = f"{what} · {assignment.short}" if level == "h1" else assignment.short
    unknown = "points not known here" if report.hidden_elsewhere else None
    number, _, rest = score(report).partition(" ")
    shown = element("p", element("strong", number), f" {rest}", class_="score")
    return element(
        "div",
        element("div", element("p", over, class_="over"), element(level, report.title), class_="titles"),
        element("div", shown, element("p", unknown, class_="quiet") if unknown else None),
        parts.strip(report),
        element("p", said, class_="summary"),
        class_="head",
    )


def _next(
    report: Report, assignment: Assignment, progress: Progress, task: str | None, focus: TaskResult | None
) -> Markup:
    steps = what_next(assignment, report, progress, focus, task)
    return element("aside", element("strong", "Next"), parts.suggestions(steps), class_="next", aria_label="Next")


def _task(place: int, result: TaskResult, report: Report, progress: Progress) -> Markup:
    heading = element("h3", result.title, " ", parts.called(result), id=f"task-{place}")
    line = element("p", state(state_of(result)), element("span", f"{worth(result, report)} points"), class_="standing")
    listed = parts.tests(result, report, progress)
    return element("section", heading, line, listed, class_="task", aria_labelledby=f"task-{place}")


def _focused(result: TaskResult, report: Report, progress: Progress) -> Markup | None:
    """The first thing to fix, and behind it the task's other tests."""
    if not result.tests or not tried(result) or cannot_load(report):
        return parts.broken(report)
    first = first_failing(result)
    told: set[str] = set()
    entry = parts.one_test(first, report, progress, mistake=mistake_of(result, first), told=told)
    shown = [element("h4", f"Fix first: {result.name}"), parts.listed([entry])]
    others = [parts.one_test(test, report, progress, told=told) for test in result.tests if test is not first]
    if others:
        shown.append(parts.folded(f"The other tests of {result.name} ({len(others)})", others))
    return element("div", *shown)


def _passed(result: TaskResult, report: Report, progress: Progress) -> Markup:
    """A task that passes: its tests folded, the curves of a graded run in sight."""
    worth = "" if report.hidden_elsewhere else f", {points(result.points)} points"
    runs = [parts.one_test(test, report, progress) for test in result.tests if test.curves]
    others = [parts.one_test(test, report, progress) for test in result.tests if not test.curves]
    return element(
        "div",
        element("h4", f"{result.name} passes{worth}"),
        parts.listed(runs) if runs else None,
        parts.folded(f"The tests that pass ({len(others)})", others) if others else None,
    )
