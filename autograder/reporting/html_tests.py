"""The parts of a report's page: a task's board line, a test with all that is known of it, how the run was made."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from autograder.learner.next_step import cannot_load
from autograder.learner.progress import Progress
from autograder.report import NOT_WRITTEN, Figure, Recognised, Report, TaskResult, TestResult
from autograder.reporting.html_curves import charts, number
from autograder.reporting.markup import Markup, element, joined
from autograder.reporting.style import plural, points, state_of
from autograder.reporting.words import Suggestion, how_it_stands, notes, worth

WORDS = {  # states that are no outcome; their words say all there is to say
    "unwritten": "not written",
    "unknown": "not checked",
}
SHAPES = {
    "passed": "M3 8.5l3.4 3.4L13 4.6",
    "failed": "M4 4l8 8M12 4l-8 8",
    "blocked": "M5.5 3.5v9M10.5 3.5v9",
    "timeout": "M4 2.8h8M4 13.2h8M4.8 3l6.4 10M11.2 3L4.8 13",
    "crashed": "M4 4l8 8M12 4l-8 8",
    "skipped": "M3.5 8h9",
    "error": "M8 2.8v6.4M8 12.4v.4",
    "unwritten": "M3.5 12.5l.6-2.6 6.8-6.8 2 2-6.8 6.8z",
    "unknown": "M8 7.6v.8",
}
WRONG = ("failed", "crashed", "timeout", "error")
REST = {("blocked", "unwritten"): "waiting", ("skipped",): "skipped", ("passed",): "passed"}
"""The other states of a test, in groups, with what the group is called."""
IN_SIGHT = 4
"""So many tests of a group stand open."""
GAP = 5
"""Between two tasks of the strip, which is 1000 wide."""
SHORT_OUTPUT = 12
"""So many printed lines stand open on the page; longer ones are folded."""


def state(name: str) -> Markup:
    """A sign and its word: never colour alone."""
    sign = element("svg", element("path", d=SHAPES[name]), viewBox="0 0 16 16", class_="sign", aria_hidden="true")
    return element("span", sign, WORDS.get(name, name), class_=f"state {name}")


def state_of_test(test: TestResult) -> str:
    return "unwritten" if test.reason == NOT_WRITTEN else test.outcome


def board(report: Report, needs: dict[str, tuple[str, ...]], *, linked: bool) -> Markup:
    """A line for each task; `linked` leads to its section, on a page that has them."""
    results = report.by_task()
    done = {result.name for result in results if result.done}
    rows = []
    for place, result in enumerate(results, 1):
        name = state_of(result)
        waits = [needed for needed in needs.get(result.name, ()) if needed not in done]
        title: str = element("a", result.title, href=f"#task-{place}") if linked else result.title
        said = element("span", called(result), None if name in WORDS else how_it_stands(result, name, waits))
        stands = element("span", state(name), " ", said, class_="stands")
        head = element("th", element("span", title, class_="title"), stands, scope="row")
        rows.append(element("tr", head, element("td", worth(result, report))))
    titles = [element("th", title, scope="col") for title in ("Task", "Points")]
    body = element("tbody", *rows)
    caption = element("caption", "The tasks, their state and their points", class_="unseen")
    return element("table", caption, element("thead", element("tr", *titles)), body, class_="board")


def called(result: TaskResult) -> Markup | None:
    """The task's name, unless its title begins with it."""
    return None if result.title.startswith(result.name) else joined([element("code", result.name), " "])


def strip(report: Report) -> Markup | None:
    """The points as a strip, each task as wide as its points. The board says the same in words."""
    if report.hidden_elsewhere or not report.max_points:
        return None
    parts, start, unit = [], 0.0, (1000 + GAP) / report.max_points
    for result in report.by_task():
        width = result.max_points * unit
        got = min(max(result.points, 0.0) * unit, width)
        parts.append(_block(start, width, "empty"))
        if got:
            parts.append(_block(start, got, "full"))
        start += width
    return element("svg", *parts, viewBox="0 0 1000 10", preserveAspectRatio="none", class_="strip", aria_hidden="true")


def _block(start: float, width: float, kind: str) -> Markup:
    return element("rect", x=f"{start:.1f}", y=0, width=f"{max(width - GAP, 1):.1f}", height=10, class_=kind)


def tests(result: TaskResult, report: Report, progress: Progress) -> Markup:
    """Every test of a task: what does not pass in sight, long groups of the others folded behind their number."""
    if not result.tests:
        return joined([])
    count = plural(len(result.tests), "test")
    if state_of(result) == "unwritten":
        return folded(f"What its {count} will ask", [one_test(test, report, progress) for test in result.tests])
    if cannot_load(report):
        return folded(f"Its {count}", [one_test(test, report, progress) for test in result.tests])
    told: set[str] = set()
    made = [(test, one_test(test, report, progress, told=told)) for test in result.tests]
    wrong = [entry for test, entry in made if state_of_test(test) in WRONG]
    parts: list[Markup] = [listed(wrong[:IN_SIGHT])] if wrong else []
    if wrong[IN_SIGHT:]:
        parts.append(folded(f"{plural(len(wrong) - IN_SIGHT, 'more test')} not passed", wrong[IN_SIGHT:]))
    for states, said in REST.items():
        runs = [entry for test, entry in made if state_of_test(test) in states and test.curves]
        group = [entry for test, entry in made if state_of_test(test) in states and not test.curves]
        if len(group) <= IN_SIGHT:
            runs, group = runs + group, []
        parts.append(listed(runs) if runs else joined([]))
        parts.append(folded(f"{plural(len(group), 'test')} {said}", group) if group else joined([]))
    return joined(parts)


def listed(entries: Sequence[Markup]) -> Markup:
    return element("ul", *entries, class_="tests")


def folded(title: str, entries: Sequence[Markup]) -> Markup:
    return element("details", element("summary", title), listed(entries))


def broken(report: Report) -> Markup | None:
    """Where the file itself cannot be loaded: said once, before all tests."""
    ran = [test for test in report.tests if test.outcome not in ("passed", "skipped", "blocked")]
    if not cannot_load(report) or not ran:
        return None
    says = element(
        "p", state(ran[0].outcome), " ", element("span", "The file itself", class_="sentence"), class_="says"
    )
    reason = element("p", ran[0].reason, class_="reason")
    return element("div", says, reason, class_=f"test {ran[0].outcome} alone")


def one_test(
    test: TestResult,
    report: Report,
    progress: Progress,
    *,
    mistake: Recognised | None = None,
    told: set[str] | None = None,
) -> Markup:
    """A test: its sentence, what became of it and why, what it looks like, what was measured and printed.

    `mistake` stands in where the test itself recognised none. `told` are the mistakes that were said already: such a
    one is only pointed at.
    """
    name = state_of_test(test)
    wrong = test.outcome != "passed"
    reason = element("p", test.reason, class_="reason") if test.reason and wrong and name != "unwritten" else None
    return element(
        "li",
        element("p", state(name), " ", element("span", test.sentence, class_="sentence"), class_="says"),
        reason,
        likeness(test.mistake or mistake, test.task, report, progress, told),
        figures(test.figures),
        charts(test.curves),
        printed(test.output),
        element("p", _facts(test, report), class_="facts"),
        class_=f"test {name}",
    )


def _facts(test: TestResult, report: Report) -> Markup:
    kind = f"hidden, {points(test.points)} / {points(test.max_points)} points" if test.hidden else "practice"
    said = [kind]
    if test.seed is not None:
        said.append(f"seed {test.seed}")
    said.append(f"{test.cpu_seconds:.2f} CPU-seconds")
    parts: list[Markup] = [element("span", fact) for fact in said]
    parts.append(element("code", test.id))
    if test.submission and test.submission != report.submission:
        earlier = joined(["graded an earlier version of the file: ", element("code", test.submission)])
        parts.append(element("span", earlier))
    if test.depends_on:
        parts.append(element("span", "known by ", element("code", test.depends_on)))
    return joined(parts)


def likeness(
    mistake: Recognised | None, task: str, report: Report, progress: Progress, told: set[str] | None
) -> Markup | None:
    """The known mistake that the answer equals: what shows; what it is only once that may be said."""
    if mistake is None:
        return None
    if told is not None and mistake.id in told:
        return element("p", "It looks like the same as above.", class_="quiet")
    if told is not None:
        told.add(mistake.id)
    named = progress.may_name(report.assignment, task, mistake)
    return element(
        "div",
        element("p", element("strong", "What it looks like")),
        element("p", mistake.seen),
        element("p", mistake.named) if named else None,
        class_="likeness",
    )


def figures(measured: Sequence[Figure]) -> Markup | None:
    """Measured numbers beside what they are held against."""
    if not measured:
        return None
    rows = [element("tr", element("th", figure.name, scope="row"), *_cells(figure)) for figure in measured]
    titles = (element("th", title, scope="col") for title in ("measured", "value", "needed"))
    head = element("thead", element("tr", *titles))
    table = element("table", head, element("tbody", *rows), class_="numbers")
    return element("div", table, class_="scroll", role="region", tabindex=0, aria_label="Measured numbers")


def _cells(figure: Figure) -> list[Markup]:
    against = "" if figure.threshold is None else number(figure.threshold) + figure.unit
    return [element("td", number(figure.value) + figure.unit), element("td", against)]


def printed(output: str) -> Markup | None:
    """What the code printed: open where it is short."""
    text = output.strip("\n")
    if not text.strip():
        return None
    lines = text.count("\n") + 1
    title = element("summary", f"Your code printed {plural(lines, 'line')}")
    body = element("pre", text, tabindex=0, role="region", aria_label="What your code printed")
    return element("details", title, body, open="" if lines <= SHORT_OUTPUT else None)


def suggestions(steps: Sequence[Suggestion]) -> Markup:
    """The commands that help now, each with what it is for."""
    parts = []
    for step in steps:
        lead = element("span", step.sentence, " ") if step.sentence else None
        why = element("span", f" {step.why}", class_="quiet") if step.why else None
        parts.append(element("li", lead, element("code", step.command) if step.command else None, why))
    return element("ul", *parts, class_="steps")


def noted(report: Report) -> Markup | None:
    """What the reader should know beside the tests."""
    said = notes(report)
    if not report.complete:
        said.insert(0, "This grading was interrupted: tests that are missing here did not run.")
    return element("ul", *(element("li", note) for note in said), class_="notes") if said else None


def conditions(report: Report) -> Markup:
    """When, on what, and behind which isolation the report was made; every hash whole."""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    rows: list[tuple[str, str | None]] = [
        ("Student", report.student or None),
        ("Started", _moment(report.started) if report.started else None),
        ("Computing", f"{report.cpu_seconds:.1f} CPU-seconds"),
        ("Isolation", report.isolation),
        ("It does not stop", _listed(report.not_stopped)),
        ("Versions", versions or None),
        ("Assignment", element("code", report.assignment)),
        ("Release", element("code", report.release)),
        ("Work", element("code", report.submission)),
        ("Tests", element("code", report.tests_hash)),
        ("Format", f"report of schema {report.schema}"),
    ]
    kept = [(label, said) for label, said in rows if said is not None]
    return element("dl", *(element("div", element("dt", label), element("dd", said)) for label, said in kept))


def _listed(said: Sequence[str]) -> Markup | None:
    return element("ul", *(element("li", one) for one in said)) if said else None


def _moment(started: str) -> str:
    """A moment as people write it; what is none stays as it is."""
    try:
        moment = datetime.datetime.fromisoformat(started)
    except ValueError:
        return started
    zone = moment.tzname() or ""
    return element("time", f"{moment:%Y-%m-%d %H:%M:%S} {zone}".strip(), datetime=started)
