"""`autograder`: the commands, and the one place where every ending becomes an exit code.

0 all that was asked for passed · 1 not yet · 2 refused, with what mends it · 130 interrupted
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

import typer

from autograder import __version__
from autograder.cli import author, instructor, lab, show, student
from autograder.errors import AutograderError, EnvironmentProblem

app = typer.Typer(
    name="autograder",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Checks your work, says what to mend first, and keeps the score.",
)
student.register(app)
lab.register(app)
instructor.register(app)
author.register(app)


_MISUSE: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What typer raises for a command line that it cannot read; the class's home differs between its versions."""


_MENDS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "this disk is mounted read-only: copy the course to one that is not",
    errno.EACCES: "is the folder yours?    ls -l, and chown what is not",
    errno.EPERM: "is the folder yours?    ls -l, and chown what is not",
    errno.ENOTDIR: "a file is where a folder should be: move it away",
    errno.EISDIR: "a folder is where a file should be: move it away",
}
"""Errors of the machine, not of ours: each with what mends it."""


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True),
) -> None:
    if version:
        show.console().print(f"autograder {__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: list[str] | None = None) -> None:
    """The entry point: never a traceback, always an exit code."""
    show.prepare_streams()
    sys.exit(ending_of(arguments))


def ending_of(arguments: list[str] | None) -> int:
    """Runs one command and turns its ending into an exit code."""
    try:
        code = app(args=arguments, prog_name="autograder", standalone_mode=False)
        sys.stdout.flush()
        if code == show.INTERRUPTED:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else show.PASSED
    except AutograderError as error:
        show.refuse(error)
        return show.REFUSED
    except (KeyboardInterrupt, typer.Abort, EOFError):
        show.note("stopped; nothing is lost, and what was kept before is kept still")
        return show.INTERRUPTED
    except _MISUSE as misuse:
        said = misuse.format_message() if hasattr(misuse, "format_message") else str(misuse)
        show.refuse(AutograderError(said, mend="autograder --help    lists the commands and what they take"))
        return show.REFUSED
    except BrokenPipeError:
        # The reader went away (`autograder status | head`): end quietly, with nothing left to flush into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return show.PASSED
    except OSError as error:
        if error.errno not in _MENDS:
            return fault(error)
        where, mend = str(error.filename or "the output"), _MENDS[error.errno]
        show.refuse(EnvironmentProblem(f"cannot read or write: {error.strerror}", where=where, mend=mend))
        return show.REFUSED
    except Exception as error:
        return fault(error)


def fault(error: Exception) -> int:
    """An error that nobody planned: one line, the place, and where the details are kept."""
    frame = traceback.extract_tb(error.__traceback__)[-1:]
    place = f"{Path(frame[0].filename).name}, line {frame[0].lineno}" if frame else "unknown"
    said = [
        f"This is a fault of ours, not of your work: {type(error).__name__}: {str(error)[:200]}",
        f"  where: {place}",
        f"  mend:  please report it, with {_keep_fault(error)}",
    ]
    show.console(error=True).print("\n".join(said), markup=False, soft_wrap=True)
    return show.REFUSED


def _keep_fault(error: Exception) -> str:
    """Writes the traceback where the student's other state is; says where that was."""
    text = (
        "".join(traceback.format_exception(error)) + f"\nautograder {__version__}, Python {sys.version}\n{sys.argv}\n"
    )
    name = time.strftime("autograder-fault_%Y-%m-%d_%H-%M-%S.txt")
    for folder in (_state_folder(), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text, encoding="utf-8")
                return str(folder / name)
    return "the command that you typed (the details could not be written)"


def _state_folder() -> Path | None:
    from autograder.course import STATE_FOLDER, find_root

    try:
        return find_root() / STATE_FOLDER / "faults"
    except AutograderError:
        return None
