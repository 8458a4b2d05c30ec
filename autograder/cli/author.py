"""The commands for authors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from autograder.cli import show

PANEL = "For authors"


def register(app: typer.Typer) -> None:
    """Adds the commands, in the order in which an author meets them."""
    for command in (new, release, verify):
        app.command(rich_help_panel=PANEL)(command)
    app.command(hidden=True)(gradescope)


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
    to: Annotated[str, typer.Option(metavar="DIR", help="Instead: write a student kit.")] = "",
    github: Annotated[str, typer.Option(metavar="DIR", help="Instead: a kit as a GitHub Classroom template.")] = "",
    gradescope: Annotated[str, typer.Option(metavar="DIR", help="Instead: a Gradescope zip an assignment.")] = "",
    nbgrader: Annotated[str, typer.Option(metavar="DIR", help="Instead: an nbgrader course.")] = "",
) -> None:
    """Write assignments/ from solutions/; edited files stay."""
    from autograder.authoring.release import release as run_release
    from autograder.reporting.authors import released

    _one_of(check=check, to=to, github=github, gradescope=gradescope, nbgrader=nbgrader)
    if nbgrader:
        return _nbgrader_tree(Path(nbgrader))
    with show.ProgressLine() as line:

        def tell(name: str, number: int, of: int) -> None:
            line.say(f"{number} of {of}  {name}")

        if to or github:
            return _release_kit(to or github, bool(github), tell)
        if gradescope:
            return _release_zips(gradescope, tell)
        result = run_release(_root(), check=check, on_assignment=tell)
    show.show(released(result, check, show.symbols()))
    raise typer.Exit(show.PASSED if result.clean else show.NOT_YET)


def _release_kit(folder: str, workflow: bool, tell: Callable[[str, int, int], None]) -> None:
    """A student kit in `folder`; with `workflow`, as a template for GitHub Classroom."""
    from autograder.classroom.kit import write_kit
    from autograder.reporting.authors import kit_released

    result = write_kit(_root(), Path(folder), workflow=workflow, on_assignment=tell)
    show.show(kit_released(result, folder, show.symbols()))


def _release_zips(folder: str, tell: Callable[[str, int, int], None]) -> None:
    """A zip an assignment for Gradescope, in `folder`."""
    from autograder.classroom.gradescope_zip import write_zips
    from autograder.reporting.authors import zips_released

    show.show(zips_released(write_zips(_root(), Path(folder), on_assignment=tell), show.symbols()))


def _one_of(**flags: bool | str) -> None:
    """Two kinds of release at once are refused."""
    from autograder.errors import AutograderError

    given = [f"--{name}" for name, value in flags.items() if value]
    if len(given) > 1:
        raise AutograderError(f"{' and '.join(given)} are different releases", mend="ask for them one after the other")


def gradescope(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Where submission/, source/ and results/ are.")],
    hidden: Annotated[str, typer.Option(help="Who sees hidden tests: Gradescope's word for it.")] = "visible",
    trust: Annotated[bool, typer.Option("--trust", help="Grade even without walls around student code.")] = False,
) -> None:
    """Grade one submission where Gradescope put it: what run_autograder calls."""
    from typing import cast

    from autograder.classroom.gradescope import VISIBILITIES, Visibility
    from autograder.classroom.harness import run
    from autograder.errors import AutograderError

    if hidden not in VISIBILITIES:
        raise AutograderError(f"there is no visibility {hidden!r}", mend=f"one of {', '.join(VISIBILITIES)}")
    run(Path(base), cast(Visibility, hidden), trust)


def verify(
    name: Annotated[str, typer.Argument(metavar="[aNN]", help="Default: every assignment.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Two seeds a test, and nothing is kept.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Measure even where nothing changed.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes that share the tests and graded runs.")] = 1,
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

            found = run_verify(course, assignment, quick=quick, again=again, jobs=jobs, on_progress=tell)
        lapses += len(found.lapses)
        show.show(verified(found, show.symbols()))
    raise typer.Exit(show.NOT_YET if lapses else show.PASSED)


def _nbgrader_tree(folder: Path) -> None:
    from autograder.classroom.nbgrader_tree import write_course_tree
    from autograder.course import Course
    from autograder.reporting.nbgrader import course_tree

    result = write_course_tree(Course.load(_root()), folder)
    show.show(course_tree(folder, result.written, result.laid, result.same, show.symbols()))


def _root() -> Path:
    from autograder.course import find_root

    return find_root()
