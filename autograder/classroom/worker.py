"""A worker process: opens its desk, then grades what it is handed until nobody hands it anything more.

Started by pool.py, which holds the other end of the socket. It dies with the process that started it.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from typing import Any

from autograder.classroom.desk import Desk, Setup
from autograder.errors import AutograderError
from autograder.report import Report
from autograder.sandbox import system


def main(descriptor: int) -> None:
    """Reads a setup and a core, then one Work after another; answers ("ready", "run", "done", "refused", "fault")."""
    system.die_with_parent()
    line: Connection[Any, Any] = Connection(descriptor)
    setup, core = line.recv()
    if core is not None:
        system.stay_on([core])
    try:
        with _opened(setup, line) as desk:
            while (work := line.recv()) is not None:
                line.send(_graded(desk, work, line))
    except (EOFError, OSError):
        os._exit(1)


def _opened(setup: Setup, line: Any) -> Desk:
    try:
        desk = Desk(setup)
    except AutograderError as error:
        line.send(("refused", error))
        sys.exit(2)
    line.send(("ready", None))
    return desk


def _graded(desk: Desk, work: Any, line: Any) -> tuple[str, Any]:
    def on_run(report: Report) -> None:
        line.send(("run", report.to_json()))

    try:
        return "done", desk.grade(work, on_run).to_json()
    except AutograderError as error:
        return "refused", error
    except Exception as error:  # a fault of ours is one submission's misfortune, not the batch's
        return "fault", f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(int(sys.argv[1]))
