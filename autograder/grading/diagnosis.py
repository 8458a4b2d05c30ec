"""Says which known mistake a wrong answer looks like, and only when it is sure.

A mistake is recognised when the student's whole answer to a failing test, every reply up to the failure, equals exactly
one mistake's (or several declared twins') on the same inputs. It is said as "your answer equals what you get when …",
never as "you did …". Nothing is said of an answer that holds NaN, is constant, or is random; a lone number or truth
value must agree on three seeds, and a task's whole-number answers with each other. Never wrong is worth more than
often.

Where the author's files are, mistakes are run. In a kit, what they answer to the public tests' inputs was recorded
at release in `.diagnosis.safetensors`: arrays and sentences, no code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from autograder.course import Limits
from autograder.errors import WireError
from autograder.report import Recognised, TestResult
from autograder.sandbox import codec
from autograder.sandbox.loopback import LoopbackTransport
from autograder.sandbox.messages import Conversation, Ended, Program, Reply, Request
from autograder.sandbox.protocol import pack_request
from autograder.testing.bank import Mistake
from autograder.testing.collect import TestCase
from autograder.testing.compare import Tolerance, difference, numbers
from autograder.testing.modules import Author
from autograder.testing.optional import optional_packages
from autograder.testing.runner import Verdict, run_test
from autograder.testing.student import Exchange, Student

SEEDS_FOR_LITTLE = 3
"""On how many seeds a lone number or truth value must agree."""

ENOUGH_VALUES = 6
"""An answer of fewer truth values or integers than this could agree by chance."""

FINEST = Tolerance(rtol=1e-6, atol=1e-9)
"""Where a test compares exactly or checks a property: two roads to the same number differ by rounding."""


@dataclass(frozen=True)
class Candidate:
    """A mistake's sentences and what it replies to one test."""

    recognised: Recognised
    twins: frozenset[str]
    replies: tuple[Reply, ...]


Candidates = Callable[[TestCase, int], Iterable[Candidate]]
"""What the mistakes of a test's task reply to it on a seed."""


class Kept(Protocol):
    """Keeps what mistakes answer."""

    def load(self, case: TestCase, seed: int, bank: Sequence[Mistake]) -> list[Candidate] | None: ...

    def save(self, case: TestCase, seed: int, candidates: Sequence[Candidate]) -> None: ...


Rerun = Callable[[int], Verdict]
"""Runs the test on the student again, in a fresh process, on a seed."""


def proxy(author: Author, *items: Any) -> Student:
    """The reference, or the reference with mistakes or alternatives in it, over the loopback."""
    return Student(lambda: _open(author, items))


def remembering(author: Author) -> Callable[[], Student]:
    """Makes references that share their answers: a gate asks the same questions for every mistake.

    Only for one test on one seed, and only because a reference answers the same question the same way every time.
    """
    known: dict[bytes, Reply] = {}
    return lambda: Student(lambda: _Remembering(lambda: _open(author, ()), known))


class _Remembering:
    """A conversation that is opened only for questions that nobody asked before."""

    fresh = True

    def __init__(self, open_conversation: Callable[[], Conversation], known: dict[bytes, Reply]) -> None:
        self._open = open_conversation
        self._conversation: Conversation | None = None
        self._known = known

    def ask(self, request: Request, callbacks: dict[str, Callable[..., Any]]) -> Reply:
        key = pack_request(request)
        if callbacks or key not in self._known:
            self._conversation = self._conversation or self._open()
            self._known[key] = self._conversation.ask(request, callbacks)
        return self._known[key]

    def close(self) -> Ended:
        return self._conversation.close() if self._conversation else Ended()


def open_reference(author: Author) -> Conversation:
    """A conversation with a fresh copy of the reference."""
    return _open(author, ())


def _open(author: Author, items: tuple[Any, ...]) -> Conversation:
    load = author.with_replaced(*items) if items else author.reference
    program = Program("reference", "", str(author.path("source.py")), author.text("asks.py"))
    return LoopbackTransport(load).open(program, Limits())


class LiveCandidates:
    """Candidates that are run, in this process, once for each test and seed: an author's mistakes are trusted code.

    kept: where what they answer is kept from one command to the next.
    """

    def __init__(self, author: Author, kept: Kept | None = None) -> None:
        self._author = author
        self._kept = kept
        self._known: dict[tuple[str, int], list[Candidate]] = {}

    def __call__(self, case: TestCase, seed: int) -> list[Candidate]:
        key = (case.name, seed)
        if key not in self._known:
            loaded = self._kept.load(case, seed, self._author.mistakes) if self._kept else None
            self._known[key] = [each for each in self._run(case, seed) if each] if loaded is None else loaded
            if loaded is None and self._kept:
                self._kept.save(case, seed, self._known[key])
        return self._known[key]

    def prepare(self, case: TestCase, seeds: Sequence[int]) -> Iterator[None]:
        """Sees to it that they are kept, in small steps, so that it can be done in idle moments.

        On the first seed; on the others only where an answer is so small that they will be asked for.
        """
        if self._kept is None:
            return
        for seed in seeds[:SEEDS_FOR_LITTLE]:
            found = self._kept.load(case, seed, self._author.mistakes)
            if found is None:
                found = []
                for candidate in self._run(case, seed):
                    found += [candidate] if candidate else []
                    yield
                self._kept.save(case, seed, found)
            answers = [each.replies[-1] for each in found if each.replies]
            if not any(each.kind == "value" and _telling(each.value) and _little(each.value) for each in answers):
                return

    def _run(self, case: TestCase, seed: int) -> Iterator[Candidate | None]:
        """For each mistake of the task what it answers, None where it passes."""
        reference = remembering(self._author)
        for mistake in self._author.mistakes:
            if mistake.task == case.task:
                verdict = run_test(case, proxy(self._author, mistake), reference(), seed)
                twins, replies = frozenset(mistake.twin), _replies(verdict.transcript)
                yield None if verdict.passed else Candidate(sentences(mistake), twins, replies)


def from_record(path: Path) -> Candidates:
    """Candidates recorded at release, for the public tests."""
    recorded = read_record(path.read_bytes()) if path.is_file() else {}

    def candidates(case: TestCase, seed: int) -> Iterable[Candidate]:
        return [] if case.hidden else recorded.get(case.name, [])

    return candidates


def recognise(
    case: TestCase, verdict: Verdict, seeds: Sequence[int], candidates: Candidates, rerun: Rerun
) -> Recognised | None:
    """The mistake that a failed verdict's answer equals, or None. `seeds[0]` is the one the verdict was reached on."""
    answer = verdict.transcript[-1].reply if verdict.transcript else None
    if verdict.outcome != "failed" or answer is None or answer.kind != "value" or not _telling(answer.value):
        return None
    found = _equal_to(verdict, candidates(case, seeds[0]))
    if found is None:
        return None
    if not _same(rerun(seeds[0]).transcript, _replies(verdict.transcript), exact=True):
        return None
    if _little(answer.value):
        further = seeds[1:SEEDS_FOR_LITTLE] if "seed" in case.uses else ()
        if len(further) < SEEDS_FOR_LITTLE - 1:
            return None
        for seed in further:
            again = _equal_to(rerun(seed), candidates(case, seed))
            if again is None or again.id != found.id:
                return None
    return found


def same_answers(one: Verdict, other: Verdict) -> bool:
    """Whether two runs of a test got the very same answers."""
    return _same(one.transcript, _replies(other.transcript), exact=True)


def is_whole(verdict: Verdict) -> bool:
    """Whether a wrong answer is made of truth values or whole numbers, of which different bugs can give the same."""
    answer = verdict.transcript[-1].reply if verdict.transcript else None
    if verdict.outcome != "failed" or answer is None or answer.kind != "value" or not _telling(answer.value):
        return False
    found = numbers(answer.value)
    return bool((found == np.round(found)).all())


def without_contradictions(results: Sequence[TestResult], whole: frozenset[str]) -> list[TestResult]:
    """Takes back what was recognised in whole-number answers of a task unless all of them point to one mistake.

    Two bugs together can give a mask that a third one gives too. On another test they will not.
    """
    names: dict[str, set[str | None]] = {}
    for result in results:
        if result.name in whole:
            names.setdefault(result.task, set()).add(result.mistake.id if result.mistake else None)
    return [
        replace(result, mistake=None) if result.name in whole and len(names[result.task]) > 1 else result
        for result in results
    ]


def build_record(author: Author, cases: Sequence[TestCase]) -> bytes:
    """What each mistake replies to each public test that it fails, as safetensors. Runs nothing of a student's.

    A test that skips where an optional package is absent is left out: the record is the same on every machine.
    """
    from safetensors.numpy import save

    arrays: dict[str, Any] = {}
    sentences: dict[str, Any] = {}
    live = LiveCandidates(author)
    for case in (case for case in cases if not case.graded_run and not optional_packages(case.function)):
        for candidate in live(case, 0):
            known = candidate.recognised
            sentences[known.id] = {"seen": known.seen, "named": known.named, "twins": sorted(candidate.twins)}
            data = codec.encode([plain(reply) for reply in candidate.replies])
            arrays[f"{case.name}::{known.id}"] = np.frombuffer(data, dtype=np.uint8)
    return bytes(save(arrays, metadata={"mistakes": json.dumps(sentences, sort_keys=True, ensure_ascii=False)}))


def read_record(data: bytes) -> dict[str, list[Candidate]]:
    """A record's candidates by test name; {} where it is damaged, since recognition is a courtesy."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        sentences = json.loads(header["__metadata__"]["mistakes"])
        found: dict[str, list[Candidate]] = {}
        for key, array in sorted(load(data).items()):
            test, _, name = key.rpartition("::")
            known = sentences[name]
            replies = tuple(from_plain(item) for item in codec.decode(array.tobytes()))
            candidate = Candidate(Recognised(name, known["seen"], known["named"]), frozenset(known["twins"]), replies)
            found.setdefault(test, []).append(candidate)
        return found
    except (SafetensorError, WireError, KeyError, ValueError, TypeError):
        return {}


def same_record(one: bytes, other: bytes) -> bool:
    """Whether two records say the same: processors differ in the last digit of a product, so bytes are too strict."""
    mine, theirs = read_record(one), read_record(other)
    if mine.keys() != theirs.keys():
        return False
    for test, candidates in mine.items():
        for a, b in zip(candidates, theirs[test], strict=False):
            if (a.recognised, a.twins) != (b.recognised, b.twins) or not _replies_agree(a.replies, b.replies):
                return False
        if len(candidates) != len(theirs[test]):
            return False
    return True


def _equal_to(verdict: Verdict, candidates: Iterable[Candidate]) -> Recognised | None:
    """The one mistake whose replies the verdict's equal; twins count as one."""
    equal = [candidate for candidate in candidates if _same(verdict.transcript, candidate.replies)]
    if not equal:
        return None
    first = equal[0]
    return first.recognised if all(c is first or c.recognised.id in first.twins for c in equal) else None


def _same(transcript: Sequence[Exchange], replies: Sequence[Reply], exact: bool = False) -> bool:
    if len(transcript) != len(replies):
        return False
    return all(
        _reply_agrees(e.reply, reply, Tolerance(nan_equal=True) if exact else _tolerance(e))
        for e, reply in zip(transcript, replies, strict=True)
    )


def _replies_agree(one: Sequence[Reply], other: Sequence[Reply]) -> bool:
    loose = Tolerance(rtol=1e-4, atol=1e-6, nan_equal=True)
    return len(one) == len(other) and all(_reply_agrees(a, b, loose) for a, b in zip(one, other, strict=True))


def _reply_agrees(mine: Reply, theirs: Reply, tolerance: Tolerance) -> bool:
    if mine is theirs and tolerance.nan_equal:  # recalled: the same answer once more
        return True
    if mine.kind != theirs.kind:
        return False
    if mine.kind != "value":
        return True
    if difference(mine.value, theirs.value, tolerance):
        return False
    if mine.arguments is None or theirs.arguments is None:
        return (mine.arguments is None) == (theirs.arguments is None)
    return difference(list(mine.arguments), list(theirs.arguments), tolerance) is None


def _tolerance(exchange: Exchange) -> Tolerance:
    used = exchange.tolerance
    return Tolerance(max(used.rtol, FINEST.rtol), max(used.atol, FINEST.atol))


def _telling(value: Any) -> bool:
    """Whether an answer can carry a diagnosis at all: numbers, all of them finite or meant, not all alike."""
    found = numbers(value)
    return bool(found.size) and not np.isnan(found).any() and (found.size == 1 or bool((found != found[0]).any()))


def _little(value: Any) -> bool:
    """Whether an answer is so small that it could agree by chance."""
    found = numbers(value)
    whole = bool((found == np.round(found)).all())
    return found.size < (ENOUGH_VALUES if whole else 2)


def sentences(mistake: Mistake) -> Recognised:
    """What is said of a mistake."""
    return Recognised(mistake.id, mistake.seen, mistake.named)


def _replies(transcript: Iterable[Exchange]) -> tuple[Reply, ...]:
    return tuple(exchange.reply for exchange in transcript)


def plain(reply: Reply) -> list[Any]:
    """What a recognition needs of a reply, as plain data."""
    arguments = None if reply.arguments is None else [list(reply.arguments[0]), reply.arguments[1]]
    return [reply.kind, reply.value, arguments] if reply.kind == "value" else [reply.kind, None, None]


def from_plain(item: list[Any]) -> Reply:
    """The reply again."""
    kind, value, arguments = item
    return Reply(kind, value, None if arguments is None else (tuple(arguments[0]), arguments[1]))
