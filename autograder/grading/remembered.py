"""What trusted code answered before, so that it is not run again: the reference's answers and those of the mistakes.

They depend on nothing but the test, its seed and the author's files. Answers of mistakes outlive the command: they are
kept in the state folder under a hash of all they depend on. What is damaged there counts as absent: recognition is a
courtesy, and such a file costs a moment, nothing more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autograder.errors import WireError
from autograder.grading.diagnosis import Candidate, from_plain, open_reference, plain, sentences
from autograder.sandbox import codec
from autograder.sandbox.messages import Conversation, Ended, Reply, Request
from autograder.sandbox.protocol import pack_reply, pack_request, unpack_reply
from autograder.testing.bank import Mistake
from autograder.testing.collect import TestCase
from autograder.testing.modules import Author
from autograder.testing.student import Student

FORM = b"1"
"""Changes when kept answers are written in another way, or when the engine comes to answer otherwise."""

LARGEST = 8 * 2**20
"""Answers to one test that take more bytes than this are not kept."""

ROOM = 256 * 2**20
"""Bytes of the reference's answers that are held in memory."""


class RememberedReference:
    """Makes references that answer from memory what was asked in the same order before."""

    def __init__(self, author: Author) -> None:
        self._author = author
        self._known: dict[bytes, bytes] = {}
        self._room = ROOM

    def __call__(self, case: TestCase, seed: int) -> Student:
        beginning = hashlib.sha256(f"{case.name}\0{seed}".encode()).digest()
        return Student(lambda: _Remembered(lambda: open_reference(self._author), self, beginning))

    def get(self, key: bytes) -> Reply | None:
        packed = self._known.get(key)
        return None if packed is None else unpack_reply(packed)

    def put(self, key: bytes, reply: Reply) -> None:
        packed = pack_reply(reply)
        if len(packed) <= self._room:
            self._room -= len(packed)
            self._known[key] = packed


class _Remembered:
    """A conversation that is held only from the first question on that was not asked before in this order.

    An answer may depend on all that was asked before it in the same conversation, so what it is kept under does too.
    """

    fresh = True

    def __init__(
        self, open_conversation: Callable[[], Conversation], known: RememberedReference, so_far: bytes
    ) -> None:
        self._open = open_conversation
        self._known = known
        self._so_far = so_far
        self._asked: list[Request] = []
        self._conversation: Conversation | None = None
        self._repeatable = True

    def ask(self, request: Request, callbacks: dict[str, Callable[..., Any]]) -> Reply:
        self._repeatable = self._repeatable and not callbacks
        self._so_far = hashlib.sha256(self._so_far + pack_request(request)).digest()
        if self._repeatable and self._conversation is None:
            known = self._known.get(self._so_far)
            if known is not None:
                self._asked.append(request)
                return known
        reply = self._live().ask(request, callbacks)
        if self._repeatable:
            self._known.put(self._so_far, reply)
        return reply

    def close(self) -> Ended:
        return self._conversation.close() if self._conversation else Ended()

    def _live(self) -> Conversation:
        if self._conversation is None:
            self._conversation = self._open()
            for earlier in self._asked:
                self._conversation.ask(earlier, {})
        return self._conversation


class KnownAnswers:
    """What the mistakes of one assignment answer, a file for each test and seed, under the hash of what they are."""

    def __init__(self, folder: Path, everything: str) -> None:
        self._folder = folder / hashlib.sha256(FORM + everything.encode()).hexdigest()[:24]

    def load(self, case: TestCase, seed: int, bank: Sequence[Mistake]) -> list[Candidate] | None:
        """None where nothing whole is kept."""
        try:
            data = self._path(case, seed).read_bytes()
            if hashlib.sha256(data[32:]).digest() != data[:32]:
                return None
            by_id = {item.id: item for item in bank}
            return [
                Candidate(sentences(by_id[name]), frozenset(by_id[name].twin), tuple(map(from_plain, replies)))
                for name, replies in codec.decode(data[32:])
            ]
        except (OSError, WireError, KeyError, ValueError, TypeError):
            return None

    def save(self, case: TestCase, seed: int, candidates: Sequence[Candidate]) -> None:
        """Keeps them, if the disk lets us: not synced, because a file that was lost or cut counts as absent."""
        found = [(each.recognised.id, [plain(reply) for reply in each.replies]) for each in candidates]
        with contextlib.suppress(OSError, codec.Unencodable):
            data = codec.encode(found)
            if len(data) > LARGEST:
                return
            self._make_room()
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".", delete=False) as file:
                file.write(hashlib.sha256(data).digest() + data)
            Path(file.name).replace(self._path(case, seed))

    def _make_room(self) -> None:
        """The folder, and none beside it: what was kept of an older version is of no use."""
        if not self._folder.is_dir():
            with contextlib.suppress(OSError):
                for name in os.listdir(self._folder.parent):  # noqa: PTH208
                    shutil.rmtree(self._folder.parent / name, ignore_errors=True)
            self._folder.mkdir(parents=True, exist_ok=True)

    def _path(self, case: TestCase, seed: int) -> Path:
        return self._folder / hashlib.sha256(f"{case.name}\0{seed}".encode()).hexdigest()[:24]
