"""The commands for authors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograder.cli import show

PANEL = "For authors"


def register(app: typer.Typer) -> None:
    """Adds the commands, in the order in which an author meets them."""
    for command in (new, release, verify):
        app.command(rich_help_panel=PANEL)(command)


def new(
    id: Annotated[str, typer.Argument(metavar="aNN_name", help='For example "a03_transformer".')],
    title: Annotated[str, typer.Option(help="Its title; default: its name.")] = "",
    month: Annotated[str, typer.Option(help="The month that it joins; default: the last one.")] = "",
) -> None:
    """Begin an assignment: a small one, ready to release."""
    from autograder.authoring.plan import read_plan
    from autograder.authoring.scaffold import new_assignment
    from autograder.reporting.authors import begun

    root = _root()
    named = title or id.partition("_")[2].replace("_", " ").capitalize()
    folder = new_assignment(root, id, named, month or read_plan(root).months[-1].id)
    show.show(begun(root, folder))


def release(
    check: Annotated[bool, typer.Option("--check", help="Change nothing: compare a release with git's HEAD.")] = False,
) -> None:
    """Write assignments/ from solutions/; edited files stay."""
    from autograder.authoring.release import release as run_release
    from autograder.reporting.authors import released

    with show.ProgressLine() as line:
        result = run_release(_root(), check=check, on_assignment=lambda name, n, of: line.say(f"{n} of {of}  {name}"))
    show.show(released(result, check, show.symbols()))
    raise typer.Exit(show.PASSED if result.clean else show.NOT_YET)


def verify(
    name: Annotated[str, typer.Argument(metavar="[aNN]", help="Default: every assignment.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Three seeds a test, and nothing is kept.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure even where nothing changed.")] = False,
) -> None:
    """Test the tests: reference, mistakes, alternatives."""
    from autograder.authoring.verify import verify as run_verify
    from autograder.course import Course
    from autograder.reporting.authors import verified

    course = Course.load()
    chosen = [course.assignment(name)] if name else list(course)
    lapses = 0
    for assignment in chosen:
        with show.ProgressLine() as line:

            def tell(
                what: str, number: int, of: int, short: str = assignment.short, line: show.ProgressLine = line
            ) -> None:
                line.say(f"{short}  {number} of {of}  {what}")

            found = run_verify(course, assignment, quick=quick, again=again, on_progress=tell)
        lapses += len(found.lapses)
        show.show(verified(found, show.symbols()))
    raise typer.Exit(show.NOT_YET if lapses else show.PASSED)


def _root() -> Path:
    from autograder.course import find_root

    return find_root()
