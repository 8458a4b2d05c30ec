"""What a test made of the same answers before: in a class, most answers are ones that somebody gave already.

A test is a function of its seed and of the answers that it is given. So where every answer so far is, byte for byte,
one that an earlier submission gave, the next question, or in the end the verdict, is the one from then, and neither the
test nor the codec has to run again. Student code runs for each question all the same; nothing is believed without an
answer. As soon as one is new, the test itself runs: on the answers that are there already, then on those that follow.

Never recalled: graded runs, tests that hand out callbacks, and what ended without an answer (a crash, a time limit).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from autograder.errors import SourceError
from autograder.sandbox.messages import Ended, PackedConversation, Reply, Request
from autograder.sandbox.protocol import pack_request
from autograder.testing.collect import TestCase
from autograder.testing.runner import Verdict
from autograder.testing.student import Student

ROOM = 128 * 2**20
"""Bytes of questions and answers that are held; what comes later is not learnt."""

Open = Callable[[], PackedConversation]
RunTest = Callable[[Student], Verdict]


class Recalled:
    """What followed on the answers so far, by a hash of them: the next question (packed), or the verdict."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes | Verdict] = {}
        self._irregular: set[str] = set()
        self._room = ROOM

    def run(self, case: TestCase, seed: int, open_conversation: Open, run_test: RunTest) -> Verdict:
        """The verdict on whoever answers in the conversation; by `run_test` as far as it is not known."""
        if case.graded_run or case.name in self._irregular:
            return run_test(Student(open_conversation))
        retold = _Retold(open_conversation)
        state = _beginning(case, seed)
        while (known := self._known.get(state)) is not None:
            if isinstance(known, Verdict):
                return replace(known, ended=retold.close())
            answer = retold.exchange(known)
            if isinstance(answer, Reply):
                break
            state = _after(state, answer)
        verdict = run_test(Student(lambda: retold))
        if retold.strayed:
            self._irregular.add(case.name)
            return run_test(Student(open_conversation))
        if retold.repeatable and verdict.outcome in ("passed", "failed"):
            self._learn(_beginning(case, seed), retold, verdict)
        return verdict

    def _learn(self, state: bytes, retold: _Retold, verdict: Verdict) -> None:
        size = 0
        for question, answer in zip(retold.questions, retold.answers, strict=True):
            if isinstance(answer, Reply):
                return
            self._keep(state, question, len(question))
            state = _after(state, answer)
            size += len(question) + len(answer)
        self._keep(state, replace(verdict, ended=Ended()), 4 * size)  # decoded they take several times their bytes

    def _keep(self, state: bytes, what: bytes | Verdict, size: int) -> None:
        if state not in self._known and size <= self._room:
            self._room -= size
            self._known[state] = what


class _Retold:
    """A conversation whose first answers are there before the test asks for them. It notes all that is said."""

    def __init__(self, open_conversation: Open) -> None:
        self.fresh = True  # who runs the test looks at the conversation itself
        self._open = open_conversation
        self._conversation: PackedConversation | None = None
        self._place = 0
        self.questions: list[bytes] = []
        self.answers: list[bytes | Reply] = []
        self.repeatable = True
        self.strayed = False
        """Whether the test asked something else than it did after the same answers before."""

    def exchange(self, question: bytes, callbacks: dict[str, Callable[..., Any]] | None = None) -> bytes | Reply:
        answer = self._live().exchange(question, callbacks or {})
        self.questions.append(question)
        self.answers.append(answer)
        return answer

    def ask(self, request: Request, callbacks: dict[str, Callable[..., Any]]) -> Reply:
        question = pack_request(request)
        place, self._place = self._place, self._place + 1
        if callbacks:
            self.repeatable = False
        if place == len(self.questions):
            self.exchange(question, callbacks)
        elif callbacks or question != self.questions[place]:
            self.strayed = True
            raise SourceError("this test asks differently each time: draw from its seed, and from nothing else")
        answer = self.answers[place]
        return answer if isinstance(answer, Reply) else self._live().read(answer)

    def close(self) -> Ended:
        return self._conversation.close() if self._conversation else Ended()

    def _live(self) -> PackedConversation:
        if self._conversation is None:
            self._conversation = self._open()
        return self._conversation


def _beginning(case: TestCase, seed: int) -> bytes:
    return hashlib.sha256(f"{case.name}\0{seed}".encode()).digest()


def _after(state: bytes, answer: bytes) -> bytes:
    return hashlib.sha256(state + answer).digest()
