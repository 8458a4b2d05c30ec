"""Runs nbgrader's own commands, one after the other, in one process: a line of JSON in, a line of JSON out.

Importing nbgrader costs as much as grading ten toys, so a test asks this process instead of starting one a command.
"""

import contextlib
import io
import json
import os
import sys
import traceback


class Latest:
    """Where everything goes that is said now: loggers keep the stream that they were given first."""

    said = io.StringIO()

    def __getattr__(self, name):
        return getattr(Latest.said, name)


def run(argv, folder):
    from jupyter_core.application import NoStart
    from nbgrader.apps.nbgraderapp import NbGraderApp

    NbGraderApp.clear_instance()
    said = Latest.said = io.StringIO()
    os.chdir(folder)
    with contextlib.redirect_stdout(Latest()), contextlib.redirect_stderr(Latest()):
        try:
            app = NbGraderApp.instance()
            app.initialize(argv)
            with contextlib.suppress(NoStart):  # as launch_instance does: a subcommand has run
                app.start()
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else int(bool(ending.code))
        except BaseException:
            traceback.print_exc()
            code = 70
        finally:
            NbGraderApp.clear_instance()
    return {"code": code, "said": said.getvalue()}


def look(python, database, course):
    """The value of an expression about the gradebook, `book`."""
    from nbgrader.api import Gradebook

    with Gradebook(database, course) as book:
        return eval(python, {"book": book, **__import__("datetime").__dict__})


if __name__ == "__main__":
    for line in sys.stdin:
        told = json.loads(line)
        answer = look(**told["look"]) if "look" in told else run(told["argv"], told["folder"])
        print(json.dumps(answer), flush=True)
