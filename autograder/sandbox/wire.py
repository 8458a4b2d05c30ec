"""Frames over a socket: a length, a kind and a nonce before each payload, with caps and deadlines.

Stops: bytes without end (the length is capped, and memory is taken only as bytes arrive), an end that stops talking or
trickles (every wait has a deadline), an answer that was written before its question was asked (each question carries a
random nonce, and bytes that wait unread when the next question is asked are a protocol failure).
Does not stop: a well-formed answer that is wrong.
"""

from __future__ import annotations

import array
import socket
import struct
import time
from dataclasses import dataclass

from autograder.errors import WireError
from autograder.sandbox.plain import MAX_BYTES

NONCE_BYTES = 16
NO_NONCE = bytes(NONCE_BYTES)

PROGRAM = b"P"
REQUEST = b"Q"
REPLY = b"A"
CALLBACK = b"C"
RESULT = b"R"
READY = b"Y"
CONTROL = b"Z"

_HEADER = struct.Struct(f"<Ic{NONCE_BYTES}s")
_CHUNK = 2**18
_MAX_FRAME = MAX_BYTES + 2**16


class Late(Exception):
    """The deadline passed."""


class Gone(Exception):
    """The other end is closed."""


@dataclass(frozen=True)
class Frame:
    kind: bytes
    nonce: bytes
    payload: bytes
    descriptors: tuple[int, ...] = ()


class Channel:
    """One end of a stream socket that speaks frames. A deadline is a time.monotonic(); None waits for ever."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def send(
        self,
        kind: bytes,
        payload: bytes,
        nonce: bytes = NO_NONCE,
        deadline: float | None = None,
        descriptors: tuple[int, ...] = (),
    ) -> None:
        header = _HEADER.pack(len(payload), kind, nonce)
        try:
            self._wait_at_most(deadline)
            if descriptors:
                sent = socket.send_fds(self.socket, [header], list(descriptors))
                header = header[sent:]
            self.socket.sendall(header + payload if len(payload) < _CHUNK else header)
            if len(payload) >= _CHUNK:
                self._wait_at_most(deadline)
                self.socket.sendall(payload)
        except TimeoutError:
            raise Late from None
        except OSError:
            raise Gone from None

    def receive(self, deadline: float | None = None, descriptors: int = 0) -> Frame:
        header, received = self._receive_header(deadline, descriptors)
        size, kind, nonce = _HEADER.unpack(header)
        if size > _MAX_FRAME:
            raise WireError(f"a frame of {size} bytes")
        return Frame(kind, nonce, self._receive_exactly(size, deadline), received)

    def has_unread(self) -> bool:
        """Whether bytes wait that nobody asked for. A closed end has none."""
        self.socket.setblocking(False)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def close(self) -> None:
        self.socket.close()

    def _receive_header(self, deadline: float | None, descriptors: int) -> tuple[bytes, tuple[int, ...]]:
        if not descriptors:
            return self._receive_exactly(_HEADER.size, deadline), ()
        self._wait_at_most(deadline)
        try:
            first, received, _, _ = socket.recv_fds(self.socket, _HEADER.size, descriptors)
        except TimeoutError:
            raise Late from None
        except OSError:
            raise Gone from None
        if not first:
            raise Gone
        return first + self._receive_exactly(_HEADER.size - len(first), deadline), tuple(array.array("i", received))

    def _receive_exactly(self, size: int, deadline: float | None) -> bytes:
        parts: list[bytes] = []
        while size:
            self._wait_at_most(deadline)
            try:
                part = self.socket.recv(min(size, _CHUNK))
            except TimeoutError:
                raise Late from None
            except OSError:
                raise Gone from None
            if not part:
                raise Gone
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _wait_at_most(self, deadline: float | None) -> None:
        if deadline is None:
            self.socket.settimeout(None)
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise Late
        self.socket.settimeout(left)
