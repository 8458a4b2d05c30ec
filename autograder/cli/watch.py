"""`autograder watch`: keys and drawing around learner/watching.py."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from autograder.cli import show
from autograder.cli.terminal import END_OF_INPUT, Terminal
from autograder.errors import AutograderError
from autograder.learner.watching import LOOK, Standing, Watch
from autograder.reporting.pages import hints, refusal
from autograder.reporting.style import plural
from autograder.reporting.terminal import screen
from autograder.reporting.watching import Scene, lines

if TYPE_CHECKING:
    from autograder.grading.run import Progress as Running
    from autograder.learner.hints import Hints

KEYS = (("h", "hint"), ("n", "next"), ("r", "again"), ("t", "train"), ("q", "quit"))


class WatchScreen:
    """What is on the screen, and what a key does to it."""

    def __init__(self, watch: Watch, terminal: Terminal) -> None:
        self.watch = watch
        self.terminal = terminal
        self.color = show.console().color_system
        self.standing: Standing | None = None
        self.refused: AutograderError | None = None
        self.hint: Hints | None = None
        self.says = ""
        self.old = False
        """Whether what is shown is not of what is saved now."""
        self._wish = ""
        """The key that a check makes room for: q, n, r or t."""

    def run(self) -> None:
        """Until it is quit, or a signal ends it."""
        self._check()
        while not self._ends():
            wish, self._wish = self._wish, ""
            if wish == "n":
                self._advance()
            elif wish or self.watch.saved:
                self._check(include_runs=wish == "t")
            elif self.watch.changed and not self.old:
                self._say(f"{self.watch.assignment.module} is being saved", old=True)
            elif self.terminal.redraw:
                self._draw()
            else:
                self._press(self.terminal.keys(LOOK / 8 if self.watch.prepare() else LOOK))

    def last(self) -> RenderableType:
        """What is left behind on the usual screen: the last verdict, if it is of what is saved."""
        return Text() if self.old else self._body(watching=False)

    # ------------------------------------------------------------------------------------------------------- checking

    def _check(self, include_runs: bool = False) -> None:
        """Checks what is saved. Where that changes meanwhile it ends without a word, and is begun again later."""
        self._say(f"checking {self.watch.assignment.module}", old=True)
        try:
            found = self.watch.check(self._given_up, self._first, self._running, include_runs)
        except AutograderError as error:
            self.refused = error
            self._say(f"waiting for the next save of {self.watch.assignment.module}", old=False)
            return
        if found is None:
            self.old = True
            return
        self._show(found)
        self._say(f"{time.strftime('%H:%M:%S')}, checked in {found.seconds:.1f} s", old=False)

    def _first(self, standing: Standing) -> None:
        self._show(standing)
        self._say("checking the other tasks", old=False)

    def _show(self, standing: Standing) -> None:
        self.standing, self.refused = standing, None
        if self.hint and self.hint.task.name in {task.name for task in standing.report.by_task() if task.done}:
            self.hint = None

    def _running(self, running: Running) -> None:
        if running.share is not None:
            self._say(f"training, {running.share:.0%}", old=self.old)

    def _given_up(self) -> bool:
        """Asked many times while a check runs."""
        self._press(self.terminal.keys())
        if self.terminal.redraw:
            self._draw()
        return self._ends() or bool(self._wish)

    def _ends(self) -> bool:
        return self._wish == "q" or self.terminal.ended_by != 0

    # ----------------------------------------------------------------------------------------------------------- keys

    def _press(self, typed: str) -> None:
        for key in typed.replace(END_OF_INPUT, "q"):
            if key == "h":
                self._open_hint()
            elif key in "qnr" or (key == "t" and self.watch.has_runs):
                self._wish = key if self._wish != "q" else "q"

    def _open_hint(self) -> None:
        try:
            self.hint = self.watch.hint()
        except AutograderError as error:
            self.says = error.problem
        self._draw()

    def _advance(self) -> None:
        """Turns to what comes next, and checks that."""
        before = (self.watch.assignment, self.watch.task)
        try:
            step = self.watch.advance()
        except AutograderError as error:
            self._say(error.problem, self.old)
            return
        if before == (self.watch.assignment, self.watch.task) and not self.old:
            self._say(step.sentence.removesuffix(", then"), old=False)
            return
        if before[0] != self.watch.assignment:
            self.standing = None
        self.hint = None
        self._check()

    # -------------------------------------------------------------------------------------------------------- drawing

    def _say(self, says: str, old: bool) -> None:
        self.says, self.old = says, old
        self._draw()

    def _draw(self) -> None:
        shown = hints(self.hint, show.symbols()) if self.hint else None
        keys = [(key, what) for key, what in KEYS if key != "t" or self.watch.has_runs]
        width, height = self.terminal.size
        scene = Scene(self._body(), shown, self.says, keys, self.old)
        self.terminal.draw(lines(scene, min(width, show.WIDEST), height, self.color, show.symbols()))

    def _body(self, watching: bool = True) -> RenderableType:
        """watching: whether it stands above the keys, rather than being left behind."""
        if self.refused is not None:
            return refusal(self.refused, show.symbols())
        if self.standing is None:
            tasks = plural(len(self.watch.assignment.tasks), "task")
            return Text(f"{self.watch.assignment.short}  {self.watch.assignment.title}: {tasks}", style="bold")
        at = self.standing
        progress, symbols = self.watch.progress, show.symbols()
        return screen(at.report, at.assignment, progress, task=at.task, symbols=symbols, watching=watching)


def run(watch: Watch) -> None:
    """Watches until it is quit. Ends with KeyboardInterrupt after Ctrl-C, with SystemExit after another signal."""
    with Terminal() as terminal:
        shown = WatchScreen(watch, terminal)
        shown.run()
    with contextlib.suppress(OSError):
        show.show(shown.last())
    if terminal.ended_by == signal.SIGINT:
        raise KeyboardInterrupt
    if terminal.ended_by:
        raise SystemExit(128 + terminal.ended_by)
