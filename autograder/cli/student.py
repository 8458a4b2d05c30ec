"""The commands for students."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.cli import show

if TYPE_CHECKING:
    from autograder.course import Assignment, Course
    from autograder.report import Report

PANEL = "For students"
Name = Annotated[
    str, typer.Argument(metavar="aNN[.task]", help='An assignment ("a02") or one task of it ("a02.rope").')
]
Assignments = Annotated[str, typer.Argument(metavar="aNN", help='An assignment: "a02", or its whole name.')]
Optionally = Annotated[str, typer.Argument(metavar="[aNN[.task]]", help="Default: the assignment that you are at.")]
File = Annotated[
    str, typer.Argument(metavar="[FILE]", help="With --html: where to. Default: .autograder/reports/aNN.html.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the record instead of the screen.")]


class FormName(enum.StrEnum):
    """The form of the work that is graded."""

    py = "py"
    ipynb = "ipynb"


class FormatName(enum.StrEnum):
    """What a report can be rendered as."""

    html = "html"
    json = "json"
    gradescope = "gradescope"
    github = "github"
    junit = "junit"


Again = Annotated[bool, typer.Option("--again", help="Train anew, even where nothing has changed since the last run.")]
Form = Annotated[FormName | None, typer.Option("--form", help="Which form to grade, where both were edited.")]


def register(app: typer.Typer) -> None:
    """Adds the commands, in the order in which a student meets them."""
    for command in (status, check, watch, hint, quiz, solution, notebook, reset, report, doctor):
        app.command(rich_help_panel=PANEL)(command)


def status() -> None:
    """The board: what is done, the points, what comes next."""
    from autograder.learner.edited import stale
    from autograder.reporting.terminal import board

    course = _course()
    reports = _reports(course)
    show.show(board(course, reports, stale=stale(course, reports), symbols=show.symbols()))


def check(name: Optionally = "", json: AsJson = False, form: Form = None, again: Again = False) -> None:
    """Check your work: what passes, and what to fix first. A lab's folder: run its model again."""
    from autograder.cli.lab import check_lab, is_lab

    if is_lab(name):
        check_lab(Path(name))
        return
    from autograder.learner.checking import check as run_check
    from autograder.reporting.as_json import to_text
    from autograder.reporting.terminal import screen

    course = _course()
    assignment, task = course.resolve(name or _current(course))
    with show.ProgressLine() as line:
        checked = run_check(course, assignment, task, form.value if form else None, line.on_test, again)
    show.note(checked.progress.note)
    if json:
        typer.echo(to_text(checked.asked))
    else:
        asked = task.name if task else None
        show.show(screen(checked.report, assignment, checked.progress, task=asked, symbols=show.symbols()))
    raise typer.Exit(show.PASSED if checked.passed else show.NOT_YET)


def watch(name: Optionally = "", form: Form = None) -> None:
    """Check on each save, in this terminal, until q."""
    from autograder.cli.terminal import require
    from autograder.learner.fetched import refuse_where_fetched

    require("watch", "autograder check    checks once, and needs no terminal")
    refuse_where_fetched("watch", "save the notebook, then: autograder check")
    from autograder.cli.watch import run
    from autograder.learner.watching import Watch

    course = _course()
    assignment, task = course.resolve(name or _current(course))
    with show.ProgressLine() as line:
        line.say(f"{assignment.short}  getting warm: {', '.join(assignment.requires) or 'the sandbox'}")
        watching = Watch(course, assignment, task, form.value if form else None)
    with watching:
        run(watching)


def hint(name: Optionally = "") -> None:
    """Open the next hint of a task."""
    from autograder.grading.store import ReportStore
    from autograder.learner.hints import next_hint
    from autograder.learner.progress import Progress
    from autograder.reporting.pages import hints

    course = _course()
    assignment, task = course.resolve(name or _current(course))
    progress = Progress.load(course)
    show.note(progress.note)
    opened = next_hint(assignment, task, ReportStore(course.state).load(assignment.id), progress)
    show.show(hints(opened, show.symbols()))


def quiz(name: Assignments) -> None:
    """Questions about the ideas, each answer explained."""
    from autograder.cli.asking import ask_all
    from autograder.learner.quiz import read_quiz

    assignment = _course().assignment(name)
    ask_all(assignment, read_quiz(assignment))


def solution(name: Name) -> None:
    """Our solution: once yours passes, or after all hints."""
    from autograder.cli.asking import confirmed
    from autograder.grading.store import ReportStore
    from autograder.learner.progress import Progress
    from autograder.learner.solution import access, solution_of, which_task
    from autograder.reporting.pages import source_code

    course = _course()
    assignment, task = course.resolve(name)
    stored = ReportStore(course.state).load(assignment.id)
    chosen = task or which_task(assignment)
    allowed = access(assignment, chosen, stored, Progress.load(course))
    text = solution_of(assignment, chosen)
    if allowed == "confirm" and not confirmed(
        f"{assignment.short}.{chosen.name} does not pass yet. Show our solution?"
    ):
        raise typer.Exit(show.NOT_YET)
    show.show(source_code(text), wrap=False)


def notebook(
    name: Assignments,
    back: Annotated[bool, typer.Option("--back", help="The other way: bring the notebook into the module.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Where both were edited, back up the other one.")] = False,
) -> None:
    """Work in a notebook: make it from your module, or back."""
    from autograder.authoring.notebook import back_to_module, make_notebook
    from autograder.learner.fetched import refuse_where_fetched

    refuse_where_fetched("notebook", "edit the notebook that is there")
    assignment = _course().assignment(name)
    path = (back_to_module if back else make_notebook)(assignment, replace=replace)
    said = f"{path.relative_to(assignment.root)} is ready, and is the form that is graded while you edit only that one."
    show.console().print(said, markup=False)


def reset(name: Name) -> None:
    """Begin afresh; your work is kept in a backup."""
    from autograder.learner.fetched import refuse_where_fetched
    from autograder.learner.reset import reset as run_reset

    refuse_where_fetched("reset", "move the folder away, then: nbgrader fetch_assignment")
    course = _course()
    assignment, task = course.resolve(name)
    done = run_reset(course, assignment, task)
    if not done.files:
        show.console().print(
            f"{assignment.module}.py is the fresh stub already; there was nothing to reset.", markup=False
        )
        return
    what = f"{assignment.short}.{task.name}" if task else assignment.short
    said = f"{what} is the fresh stub again: {assignment.module_path.relative_to(course.root)}"
    if done.backup:
        said += f"\nYour work is kept in {done.backup.relative_to(course.root)}"
    show.console().print(said, markup=False)


def report(
    name: Optionally = "",
    file: File = "",
    html: Annotated[bool, typer.Option("--html", help="Write one page for a browser, with curves.")] = False,
    json: AsJson = False,
    format: Annotated[
        FormatName | None, typer.Option("--format", help="Another form; all but html are printed.")
    ] = None,
) -> None:
    """Every test of the last check, and how it was run."""
    from autograder.errors import AutograderError
    from autograder.grading.store import ReportStore
    from autograder.reporting.pages import whole_report

    asked = {FormatName.html} if html else set[FormatName]()
    asked |= {FormatName.json} if json else set()
    asked |= {format} if format else set()
    if len(asked) > 1:
        raise AutograderError(f"{' and '.join(sorted(asked))} are two forms of the report", mend="choose one of them")
    form = next(iter(asked), None)
    if form == FormatName.html and not file and name.endswith((".html", "/")):
        name, file = "", name
    if file and form != FormatName.html:
        raise AutograderError("a file is written with --html", mend=f"autograder report {name} --html {file}")
    course = _course()
    assignment, _ = course.resolve(name or _newest(course))
    stored = ReportStore(course.state).load(assignment.id)
    if form == FormatName.github:
        typer.echo(_github(assignment, stored))
    elif stored is None:
        raise AutograderError(f"{assignment.short} was not checked yet", mend=f"autograder check {assignment.short}")
    elif form == FormatName.html:
        _write_page(course, assignment, stored, file)
    elif form:
        typer.echo(_rendered(stored, form))
    else:
        show.show(whole_report(stored, show.symbols()))


def _github(assignment: Assignment, stored: Report | None) -> str:
    """A workflow's result, also of what was never checked: its reporter fails on a step that says nothing."""
    from autograder.classroom.github import no_result, result

    if stored is not None:
        return result(stored)
    said = f"{assignment.short} could not be checked: autograder check {assignment.short}    says why"
    return no_result(assignment.id, assignment.points, said)


def _rendered(stored: Report, form: FormatName) -> str:
    """The report in a form that other programs read."""
    from autograder.classroom.gradescope import results
    from autograder.classroom.junit import document
    from autograder.reporting.as_json import to_text

    if form == FormatName.gradescope:
        return results(stored).rstrip()
    return document(stored).rstrip() if form == FormatName.junit else to_text(stored)


def _write_page(course: Course, assignment: Assignment, stored: Report, file: str) -> None:
    """The report as a page, in `file` (or in that folder, or among the reports)."""
    from autograder.files import write_ours
    from autograder.learner.progress import Progress
    from autograder.reporting.html import MARK, page
    from autograder.reporting.style import clean

    path = Path(file).expanduser() if file else course.state / "reports"
    if not file or path.is_dir():
        path = path / f"{assignment.short}.html"
    other = path.with_name(f"{path.stem}_report.html")
    mend = f"autograder report {assignment.short} --html {other}    or another name"
    write_ours(path, page(stored, assignment, Progress.load(course)), MARK, mend)
    shown = path.relative_to(course.root) if path.is_relative_to(course.root) else path
    show.console().print(f"The report is in {clean(str(shown))}: open it in a browser.", markup=False, soft_wrap=True)


def doctor() -> None:
    """Look at the machine and the course: what to mend."""
    from autograder.course import find_root
    from autograder.learner.doctor import examine
    from autograder.learner.fetched import course_here, is_fetched
    from autograder.reporting.pages import findings

    found = examine(course_here().root if is_fetched(Path.cwd()) else find_root())
    show.show(findings(found, show.symbols()))
    raise typer.Exit(show.NOT_YET if any(finding.level == "fail" for finding in found) else show.PASSED)


def _course() -> Course:
    from autograder.learner.fetched import course_here

    return course_here()


def _reports(course: Course) -> dict[str, Report]:
    from autograder.grading.store import ReportStore

    return ReportStore(course.state).load_all()


def _current(course: Course) -> str:
    """The assignment that the student is at."""
    from autograder.learner.next_step import current

    return current(course, _reports(course)).id


def _newest(course: Course) -> str:
    """The assignment that was checked last, else the one that the student is at."""
    reports = _reports(course)
    known = [r for r in reports.values() if any(a.id == r.assignment for a in course)]
    return max(known, key=lambda r: r.started).assignment if known else _current(course)
