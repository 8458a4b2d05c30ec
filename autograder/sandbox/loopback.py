"""A transport without a process: the same answering code and the same codec, here, so that a debugger works in it.

Used for what is trusted (the reference, mistakes, alternatives) and by plain `pytest` on a student's own machine.
Stops: a return value that is no data, or that only claims to equal everything; those the codec refuses or disarms.
Does not stop: anything else. The code runs with all that this process may do and sees all that is in its memory.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType, ModuleType
from typing import Any

from autograder.course import Limits
from autograder.sandbox.answering import Answerer
from autograder.sandbox.messages import Ended, Isolation, Program, Reply, Request
from autograder.sandbox.protocol import pack_request, serve_callback, unpack_reply
from autograder.sandbox.scene import OwnRandomness

NO_WALLS = Isolation(
    "none",
    "none: the code ran inside this process",
    ("files", "network", "memory of the grader", "endless loops", "crashes"),
)


class LoopbackTransport:
    """Conversations in this process. With `load`, the module comes from there instead of from program.source."""

    isolation = NO_WALLS

    def __init__(self, load: Callable[[], ModuleType] | None = None) -> None:
        self._load = load

    def open(self, program: Program, limits: Limits | None = None, fresh: bool = False) -> LoopbackConversation:
        return LoopbackConversation(program, self._load)

    def close(self) -> None:
        """Nothing was started."""


class LoopbackConversation:
    """One fresh module. Its random state is its own; its stdout is left alone; its time is not limited."""

    fresh = True

    def __init__(self, program: Program, load: Callable[[], ModuleType] | None) -> None:
        self._interrupts = _Interrupts()
        self._answerer = Answerer(program, load, passes=self._interrupts.are_meant)
        self._randomness = OwnRandomness()
        self._seconds = 0.0
        self._ours: Exception | None = None

    def ask(self, request: Request, callbacks: dict[str, Callable[..., Any]] | None = None) -> Reply:
        before = self._seconds
        reply = self.read(self.exchange(pack_request(request), callbacks or {}))
        return replace(reply, cpu_seconds=self._seconds - before)

    def exchange(self, packed: bytes, callbacks: dict[str, Callable[..., Any]]) -> bytes:
        started = time.process_time()

        def serve(data: bytes) -> bytes:
            try:
                return serve_callback(data, callbacks)
            except Exception as error:
                self._ours = error
                raise

        with self._interrupts.watched(), self._randomness.in_use():
            answer = self._answerer.answer(packed, serve)
        if self._ours is not None:
            raise self._ours  # an error of the grader's callback is no answer, whatever student code made of it
        self._seconds += time.process_time() - started
        return answer

    def read(self, answer: bytes) -> Reply:
        return unpack_reply(answer)

    def close(self) -> Ended:
        return Ended(cpu_seconds=self._seconds)


class _Interrupts:
    """Tells a Ctrl-C and a debugger's quit, which end the run, from what student code raises, which is an answer."""

    def __init__(self) -> None:
        self._pressed = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        usual = signal.getsignal(signal.SIGINT)
        if usual is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGINT, self._press)
        try:
            yield
        finally:
            if signal.getsignal(signal.SIGINT) == self._press:
                signal.signal(signal.SIGINT, usual)

    def _press(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True
        raise KeyboardInterrupt

    def are_meant(self, error: BaseException) -> bool:
        origin = type(error).__module__
        return self._pressed or origin == "bdb" or (origin.startswith("_pytest.") and not isinstance(error, Exception))
