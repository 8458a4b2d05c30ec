"""The student's process: builds the inner walls, loads the program, answers until the grader hangs up."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from autograder.course import Limits
from autograder.sandbox import inner, system
from autograder.sandbox.answering import Answerer
from autograder.sandbox.protocol import unpack_program
from autograder.sandbox.wire import CALLBACK, CORE, PROGRAM, READY, REPLY, REQUEST, RESULT, Channel, Gone

_BROKE = 70


def live(
    channel: int, output: int, walls: inner.Walls, limits: Limits, scratch: Path, readable: Iterable[Path]
) -> NoReturn:
    """All of a child's life after the fork. `channel` leads to the grader, `output` to the warm process."""
    code = _BROKE
    try:
        inner.detach(channel, output)
        _converse(Channel(socket.socket(fileno=inner.CHANNEL)), walls, limits, scratch, readable)
        code = 0
    except Gone:
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _converse(channel: Channel, walls: inner.Walls, limits: Limits, scratch: Path, readable: Iterable[Path]) -> None:
    program = unpack_program(channel.receive().payload)
    folder = [] if program.folder is None else [program.folder]
    inner.enter(walls, limits, scratch, [*readable, *folder])
    answerer = Answerer(program, alone=True)
    channel.send(READY, b"")
    while True:
        frame = channel.receive()
        if frame.kind == PROGRAM:  # the next conversation of a shared process: its own module, nothing else anew
            answerer = Answerer(program, alone=True)
            channel.send(READY, b"")
            continue
        if frame.kind == CORE:
            system.stay_on([int(frame.payload)])
            continue
        if frame.kind != REQUEST:
            return
        nonce = frame.nonce

        def ask_the_grader(data: bytes, nonce: bytes = nonce) -> bytes:
            channel.send(CALLBACK, data, nonce)
            result = channel.receive()
            if result.kind != RESULT:
                raise Gone
            return result.payload

        reply = answerer.answer(frame.payload, ask_the_grader)
        _flush()
        channel.send(REPLY, reply, nonce)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):  # it may be anything by now, student code ran
            stream.flush()
