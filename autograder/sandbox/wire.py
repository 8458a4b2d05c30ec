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
CORE = b"K"
CONTROL = b"Z"

_HEADER = struct.Struct(f"<Ic{NONCE_BYTES}s")
_TIMEVAL = struct.Struct("@ll")
_SLACK = 0.25
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
    """One end of a stream socket that speaks frames. A deadline is a time.monotonic(); None waits for ever.

    Environment steps cross here by the ten thousand, so a frame is one write and mostly one read: what arrives is
    buffered, and the socket's own timeouts are renewed only when they are off by more than `_SLACK`.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = bytearray()
        self._timeouts: dict[int, float] = {}
        sock.settimeout(None)

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
            if descriptors:
                self._wait_at_most(socket.SO_SNDTIMEO, deadline)
                sent = socket.send_fds(self.socket, [header], list(descriptors))
                header = header[sent:]
            self._send_all(header + payload, deadline)
        except BlockingIOError:
            raise Late from None
        except OSError:
            raise Gone from None

    def receive(self, deadline: float | None = None, descriptors: int = 0) -> Frame:
        received = self._receive_descriptors(deadline, descriptors) if descriptors else ()
        size, kind, nonce = _HEADER.unpack(self._take(_HEADER.size, deadline))
        if size > _MAX_FRAME:
            raise WireError(f"a frame of {size} bytes")
        return Frame(kind, nonce, self._take(size, deadline), received)

    def has_unread(self) -> bool:
        """Whether bytes wait that nobody asked for. A closed end has none."""
        if self.has_buffered():
            return True
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def has_buffered(self) -> bool:
        """Whether bytes were read already that no poll() on the socket would tell of."""
        return bool(self._buffer)

    def close(self) -> None:
        self.socket.close()

    def _send_all(self, data: bytes, deadline: float | None) -> None:
        view = memoryview(data)
        while view:
            self._wait_at_most(socket.SO_SNDTIMEO, deadline)
            try:
                view = view[self.socket.send(view[:_CHUNK]) :]
            except BlockingIOError:
                _check(deadline)

    def _receive_descriptors(self, deadline: float | None, descriptors: int) -> tuple[int, ...]:
        """The descriptors that come with the next frame, whose first bytes go into the buffer."""
        self._wait_at_most(socket.SO_RCVTIMEO, deadline)
        try:
            first, received, _, _ = socket.recv_fds(self.socket, _HEADER.size, descriptors)
        except BlockingIOError:
            raise Late from None
        except OSError:
            raise Gone from None
        if not first:
            raise Gone
        self._buffer += first
        return tuple(array.array("i", received))

    def _take(self, size: int, deadline: float | None) -> bytes:
        while len(self._buffer) < size:
            self._wait_at_most(socket.SO_RCVTIMEO, deadline)
            try:
                part = self.socket.recv(_CHUNK)
            except BlockingIOError:
                _check(deadline)
                continue
            except OSError:
                raise Gone from None
            if not part:
                raise Gone
            self._buffer += part
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _wait_at_most(self, option: int, deadline: float | None) -> None:
        """Bounds the next read or write. One that ends early is tried again; none ends later than `_SLACK` after."""
        left = 0.0 if deadline is None else deadline - time.monotonic()
        if deadline is not None and left <= 0:
            raise Late
        known = self._timeouts.get(option, 0.0)
        if (known == 0.0) != (deadline is None) or not left <= known <= left + _SLACK:
            self._timeouts[option] = left
            microseconds = 0 if deadline is None else max(int(left * 1e6), 1)  # none: for ever
            self.socket.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(*divmod(microseconds, 1_000_000)))


def _check(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise Late
