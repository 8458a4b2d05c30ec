"""The terminal while a program has it to itself: single keys, a screen of its own, and everything put back at the end.

It is put back on every way out: at the end of the `with`, whatever ends it. Signals that end a program are noted, and
the program ends in order at its next look; Ctrl-Z gives the terminal back until `fg`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any

from autograder.errors import EnvironmentProblem

_OWN_SCREEN, _USUAL_SCREEN = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_OF_INPUT = "\x04"


def require(command: str, instead: str) -> None:
    """Refuses where there is no terminal to speak with."""
    for stream, what in ((sys.stdin, "its input"), (sys.stdout, "its output")):
        if not stream.isatty():
            raise EnvironmentProblem(f"{command} needs a terminal, and {what} is none", mend=instead)
    if os.environ.get("TERM", "dumb") == "dumb":
        raise EnvironmentProblem(f"{command} redraws the screen, and this terminal cannot (TERM is dumb)", mend=instead)


class Terminal:
    """A context manager. `ended_by` is the signal that asked for the end; `redraw` says that the screen is not ours."""

    def __init__(self) -> None:
        self.ended_by = 0
        self.redraw = False
        self._keyboard = sys.stdin.fileno()
        self._usual: list[Any] = []
        self._ours = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Terminal:
        self._usual = termios.tcgetattr(self._keyboard)
        handlers: dict[int, Any] = dict.fromkeys(_ENDING, self._end)
        handlers |= {signal.SIGWINCH: self._resized, signal.SIGTSTP: self._suspend, signal.SIGCONT: self._resume}
        for number, handler in handlers.items():
            self._handlers[number] = signal.signal(number, handler)
        try:
            self._take()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    # ----------------------------------------------------------------------------------------------------------- using

    def keys(self, patience: float = 0.0) -> str:
        """What was typed, at most `patience` seconds later; arrows and the like are left out."""
        ready, _, _ = select.select([self._keyboard], [], [], patience)
        if not ready:
            return ""
        try:
            typed = os.read(self._keyboard, 1024)
        except OSError:  # the terminal is gone
            typed = b""
        if not typed:
            self.ended_by = self.ended_by or signal.SIGHUP
        return "" if typed[:1] == b"\x1b" else typed.decode(errors="ignore").lower()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            columns, lines = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            columns, lines = 0, 0
        return columns or 80, lines or 24

    def draw(self, lines: Sequence[str]) -> None:
        """The whole screen in one write, so that nothing flickers."""
        self.redraw = False
        text = _HOME + "\r\n".join(_CLEAR_LINE + line for line in lines) + _CLEAR_BELOW
        self._write(text)

    # ------------------------------------------------------------------------------------------- taking and giving back

    def _take(self) -> None:
        tty.setcbreak(self._keyboard, termios.TCSADRAIN)
        if not self._ours:
            self._write(_OWN_SCREEN)
        self._ours = self.redraw = True

    def _give_back(self) -> None:
        if self._ours:
            self._write(_USUAL_SCREEN)
        self._ours = False
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._usual)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that is gone shows in keys()
            sys.stdout.write(text)
            sys.stdout.flush()

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Noted, and seen at the next look; who asks a second time does not have to wait for that."""
        if self.ended_by == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.ended_by = self.ended_by or number

    def _resized(self, number: int, frame: FrameType | None) -> None:
        self.redraw = True

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # stops here, until `fg`; where no shell could continue us, not at all
        self._resume(number, frame)

    def _resume(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTSTP, self._suspend)
        with contextlib.suppress(termios.error, OSError):
            self._take()
