"""Makes sure of failures: none is believed because of what an earlier test left behind in a shared process.

All tests of a task run in the process that is there. Those that failed are then asked once more in one other process:
first the first, in which nothing ran before it, then the rest in the opposite order. What fails in the same way with
another past is a failure. As soon as one does not, this code leaves something behind, and from then on each failure is
asked in a process of its own, the doubtful ones before it too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autograder.grading.diagnosis import same_answers
from autograder.testing.collect import TestCase
from autograder.testing.runner import Verdict


@dataclass(frozen=True)
class Ran:
    """One run of a test: what became of it, and whether its process had a past."""

    verdict: Verdict
    fresh: bool


@dataclass(frozen=True)
class Judged:
    """What is believed of a test; `again` is a second run, with another past, that gave the very same answers."""

    verdict: Verdict
    again: Verdict | None = None


Run = Callable[[TestCase, bool], Ran]
"""Runs a test; if asked to, in a process in which nothing of the student's ran before."""


class Confirming:
    """The judge of one grading. It remembers whether this code was seen to leave something behind."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._leaves_traces = False

    def judge(self, ran: Sequence[tuple[TestCase, Ran]]) -> dict[str, Judged]:
        """What to believe of the tests of one task, by name."""
        judged = {case.name: Judged(one.verdict) for case, one in ran}
        doubtful = [(case, one.verdict) for case, one in ran if not one.fresh and _could_be_history(one.verdict)]
        confirmed = {} if self._leaves_traces else self._together(doubtful)
        for case, _ in doubtful:
            judged[case.name] = confirmed.get(case.name) or Judged(self._run(case, True).verdict)
        return judged

    def _together(self, doubtful: list[tuple[TestCase, Verdict]]) -> dict[str, Judged]:
        """All of them confirmed, or none."""
        confirmed: dict[str, Judged] = {}
        for case, verdict in [*doubtful[:1], *reversed(doubtful[1:])]:
            again = self._run(case, not confirmed).verdict
            if not _same_failure(verdict, again):
                self._leaves_traces = True
                return {}
            confirmed[case.name] = Judged(again, verdict)
        return confirmed


def _same_failure(one: Verdict, other: Verdict) -> bool:
    said = [(v.outcome, v.safe, v.detail) for v in (one, other)]
    return said[0] == said[1] and same_answers(one, other)


def _could_be_history(verdict: Verdict) -> bool:
    """Whether a failure might be due to what an earlier test left behind: not if there was nothing to run."""
    kinds = {exchange.reply.kind for exchange in verdict.transcript}
    return bool(kinds) and not verdict.passed and not kinds & {"unwritten", "missing", "broken"}
