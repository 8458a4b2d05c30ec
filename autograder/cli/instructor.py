"""The commands for instructors: grade a class, keep its gradebook, hand back what came of it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograder.cli import show

if TYPE_CHECKING:
    from autograder.classroom.batch import State, Summary
    from autograder.classroom.gradebook import Gradebook
    from autograder.classroom.roster import Person
    from autograder.classroom.submissions import Collected
    from autograder.course import Course

PANEL = "For instructors"
Book = Annotated[str, typer.Option("--gradebook", help="A file, or postgresql://user@host/name.")]
Out = Annotated[str, typer.Option("--out", metavar="DIR", help="Where reports are kept. Default: graded/ here.")]
Roster = Annotated[str, typer.Option("--roster", metavar="CSV", help="Who is in the class: columns id, name, email.")]
Only = Annotated[str, typer.Option("--assignment", metavar="aNN", help="Grade this one only.")]
Who = Annotated[str, typer.Argument(metavar="STUDENT", help="The student's id.")]
OUT = "graded"
BOOK = "gradebook.db"


def register(app: typer.Typer) -> None:
    """Adds the commands, in the order in which an instructor meets them."""
    for command in (grade, regrade, override, feedback, export, stats, forget):
        app.command(rich_help_panel=PANEL)(command)


def grade(
    submissions: Annotated[str, typer.Argument(metavar="[SUBMISSIONS]", help="A folder or a .zip.")] = "",
    gradebook: Book = BOOK,
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Worker processes. Default: one a core.")] = 0,
    assignment: Only = "",
    roster: Roster = "",
    out: Out = OUT,
    again: Annotated[bool, typer.Option("--again", help="Grade anew what was graded before.")] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Go on where there is no isolation at all.")] = False,
    dask: Annotated[str, typer.Option("--dask", metavar="ADDRESS", help="Grade on this Dask cluster.")] = "",
) -> None:
    """Grade a class: all that was handed in. Without SUBMISSIONS: what is in assignments/ here, and the board."""
    from autograder.course import Course

    course = Course.load()
    if not submissions:
        _grade_here(course)
        return
    from autograder.classroom.batch import Batch, estimate
    from autograder.classroom.gradebook import Gradebook
    from autograder.classroom.records import Records
    from autograder.classroom.roster import read_roster

    people = read_roster(Path(roster)) if roster else []
    collected = _collected(course, submissions, assignment, people)
    records = Records(Path(out).resolve())
    records.save_refused(collected.refused)
    show.note(
        f"{len(collected.handed_in)} submissions, about {estimate(course, collected.handed_in) / 3600:.2f} CPU-hours"
    )
    with Gradebook(gradebook, course) as book, _ClassProgress() as progress:
        book.enrol(people)
        collected = _of_the_class(collected, book, bool(people))
        batch = Batch(course, collected, records, lambda report, new: book.record(report, new), progress.on_state)
        if again:
            records.forget_keys()
        if not batch.nothing_new():
            _run(course, batch, jobs, dask, trust, records)
    _say(course, batch.summary, collected, records)
    raise typer.Exit(show.REFUSED if batch.summary.faults else show.PASSED)


def regrade(
    submissions: Annotated[str, typer.Argument(metavar="SUBMISSIONS", help="The same folder or .zip.")],
    diff: Annotated[bool, typer.Option("--diff", help="Only say what would change: nothing is kept.")] = False,
    gradebook: Book = BOOK,
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="Worker processes. Default: one a core.")] = 0,
    assignment: Only = "",
    out: Out = OUT,
) -> None:
    """Grade anew with today's tests, and say whose points are others than before."""
    import tempfile

    from autograder.classroom.records import Records, differences

    before = {(r.student, r.assignment): r for r in Records(Path(out).resolve()).all()}
    with tempfile.TemporaryDirectory(prefix="autograder-regrade-") as scratch:
        folder = scratch if diff else out
        book = f"{scratch}/gradebook.db" if diff else gradebook
        try:
            grade(submissions, book, jobs, assignment, out=folder, again=True, roster="", trust=False, dask="")
        except typer.Exit as ending:
            if ending.exit_code:
                raise
        now = {(r.student, r.assignment): r for r in Records(Path(folder).resolve()).all()}
    lines = differences(before, now)
    show.console().print("\n".join(lines) or "No points changed.", markup=False, soft_wrap=True)


def _collected(course: Course, submissions: str, assignment: str, people: list[Person]) -> Collected:
    from autograder.classroom.roster import other_names
    from autograder.classroom.submissions import collect

    only = course.assignment(assignment) if assignment else None
    return collect(Path(submissions), course, only, other_names(people))


def _of_the_class(collected: Collected, book: Gradebook, strict: bool) -> Collected:
    """Without those that the roster does not know, where there is one."""
    from autograder.classroom.places import Refused
    from autograder.classroom.submissions import Collected

    if not strict:
        return collected
    known = book.students()
    inside = tuple(each for each in collected.handed_in if each.student in known)
    unknown = sorted({each.student for each in collected.handed_in} - known)
    refused = tuple(Refused(student, "not in the roster, so not graded") for student in unknown)
    return Collected(inside, collected.refused + refused)


def _run(course: Course, batch: object, jobs: int, dask: str, trust: bool, records: object) -> None:
    from autograder.classroom.batch import Batch
    from autograder.classroom.desk import Setup
    from autograder.classroom.pool import DaskPool, LocalPool
    from autograder.sandbox.system import cores

    assert isinstance(batch, Batch)
    setup = Setup(str(course.root), batch.requires(), trust, answers=str(course.state / "answers"))
    pool = DaskPool(setup, dask) if dask else LocalPool(setup, jobs or len(cores()) or 1)
    try:
        batch.run(pool)
    finally:
        pool.close()


def _say(course: Course, summary: Summary, collected: Collected, records: object) -> None:
    out = show.console()
    rate = f", {60 * summary.graded / summary.seconds:.0f} a minute" if summary.seconds > 1 else ""
    before = f"{summary.kept} were graded before; {summary.unreadable} cannot be read (0 points)"
    out.print(f"{summary.graded} graded{rate}; {before}", markup=False, soft_wrap=True)
    for each in collected.refused[:20]:
        out.print(f"not graded: {each.name}: {each.problem}", markup=False, soft_wrap=True)
    if len(collected.refused) > 20:
        out.print(f"and {len(collected.refused) - 20} more: see refused.json", markup=False)
    for fault in summary.faults[:20]:
        out.print(f"a fault of ours, to be graded again: {fault}", markup=False, soft_wrap=True)


class _ClassProgress:
    """One line where there is a terminal; elsewhere a line now and then, so that a log shows it too."""

    EVERY = 15.0

    def __init__(self) -> None:
        self._line = show.ProgressLine()
        self._said = time.monotonic()

    def __enter__(self) -> _ClassProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.__exit__()

    def on_state(self, state: State) -> None:
        left = "" if state.seconds_left is None else f", {_time(state.seconds_left)} left"
        who = f"  {state.last.student} {state.last.assignment}" if state.last else ""
        said = f"{state.done} of {state.total}{left}{who}"
        if self._line.live:
            self._line.say(said)
        elif time.monotonic() - self._said > self.EVERY:
            self._said = time.monotonic()
            sys.stderr.write(said + "\n")
            sys.stderr.flush()


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _grade_here(course: Course) -> None:
    from autograder.learner.checking import grade_all
    from autograder.reporting.pages import isolation
    from autograder.reporting.terminal import board

    with show.ProgressLine() as line:
        graded = grade_all(course, course.assignments, line.on_test_of)
    show.show(board(course, graded.reports, symbols=show.symbols()))
    for report in list(graded.reports.values())[:1]:
        show.console().print(isolation(report))
    for error in graded.refused:
        show.refuse(error)
    raise typer.Exit(show.REFUSED if graded.refused else show.PASSED)


def override(
    student: Who,
    name: Annotated[str, typer.Argument(metavar="aNN[.task]", help="An assignment, or one task of it.")],
    points: Annotated[float, typer.Argument(metavar="POINTS", help="What a human gives for it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why: kept beside the score, shown to the student.")],
    gradebook: Book = BOOK,
) -> None:
    """Give points by hand: they win over the automatic ones, and stay."""
    from autograder.classroom.gradebook import Gradebook
    from autograder.course import Course

    course = Course.load()
    assignment, task = course.resolve(name)
    with Gradebook(gradebook, course) as book:
        book.override(student, assignment, task.name if task else None, points, reason)
    show.console().print(f"{student} has {points:g} points by hand for {name}.", markup=False)


def feedback(out: Out = OUT, gradebook: Book = BOOK) -> None:
    """Write a page for each student and assignment, from the kept reports."""
    from autograder.classroom.feedback import write_feedback
    from autograder.classroom.gradebook import Gradebook
    from autograder.classroom.records import Records
    from autograder.course import Course

    course = Course.load()
    with Gradebook(gradebook, course) as book:
        written = write_feedback(course, Records(Path(out).resolve()), book)
    show.console().print(f"{written} pages are in {Path(out) / 'feedback'}.", markup=False, soft_wrap=True)


def export(
    to: Annotated[str, typer.Argument(metavar="FILE.csv", help="Where to.")],
    canvas: Annotated[bool, typer.Option("--canvas", help="As Canvas imports grades.")] = False,
    assignment: Only = "",
    gradebook: Book = BOOK,
) -> None:
    """Write the grades as a table. (nbgrader export reads the same gradebook.)"""
    from autograder.classroom.export import grades_csv
    from autograder.classroom.gradebook import Gradebook
    from autograder.course import Course
    from autograder.files import write_whole

    course = Course.load()
    with Gradebook(gradebook, course) as book:
        text, rows = grades_csv(book, course.assignment(assignment).id if assignment else "", canvas)
    write_whole(Path(to), text.encode())
    show.console().print(f"{rows} rows are in {to}.", markup=False, soft_wrap=True)


def stats(
    out: Out = OUT,
    assignment: Only = "",
    html: Annotated[str, typer.Option("--html", metavar="FILE", help="Write one page for a browser.")] = "",
) -> None:
    """Which tests and which recognised mistakes cost how many students their points."""
    from autograder.classroom.records import Records
    from autograder.classroom.stats import count
    from autograder.classroom.stats_views import MARK, page, table
    from autograder.course import Course
    from autograder.files import write_ours

    course = Course.load()
    chosen = course.assignment(assignment).id if assignment else ""
    found = count(Records(Path(out).resolve()).all(chosen))
    if html:
        write_ours(Path(html), page(found), MARK, "name another file")
        show.console().print(f"The page is {html}: open it in a browser.", markup=False, soft_wrap=True)
        return
    show.show(table(found))


def forget(student: Who, out: Out = OUT, gradebook: Book = BOOK) -> None:
    """Delete all that is kept of a student: reports, pages, grades."""
    from autograder.classroom.gradebook import Gradebook
    from autograder.classroom.records import Records
    from autograder.course import Course
    from autograder.errors import UnknownName

    course = Course.load()
    with Gradebook(gradebook, course) as book:
        in_book = book.forget(student)
    if not Records(Path(out).resolve()).forget(student) and not in_book:
        raise UnknownName(f"nothing is kept of {student}", where=out)
    show.console().print(f"Nothing of {student} is left in {gradebook} or {out}.", markup=False, soft_wrap=True)
