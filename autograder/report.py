"""The report: the one record of a grading, from which every view is rendered.

Only the trusted side writes it. `docs/reference/report.md` documents each field; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, get_args

SCHEMA = 1

Outcome = Literal["passed", "failed", "blocked", "timeout", "crashed", "skipped", "error"]
"""passed   the test held
failed   it did not; `reason` says how
blocked  it did not, and a task it needs is not done yet: mend that one first
timeout  the student's code did not answer within its limit
crashed  the student's process ended, or was ended at a limit
skipped  a practice test whose library is not installed here (a hidden test never skips)
error    something of ours broke: worth zero until graded again, and said so"""

OUTCOMES: tuple[str, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Recognised:
    """A known mistake whose answer equals the student's on the same inputs."""

    id: str
    seen: str
    """What shows: said at once."""
    named: str
    """What it equals: said after the first hint, or on the second equal failure."""


@dataclass(frozen=True)
class Figure:
    """A measured number beside what it is held against."""

    name: str
    value: float
    threshold: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Curve:
    """How a measured number went over one graded run. The grader measured every point of it."""

    name: str
    """What was measured: "mean return of 4 greedy episodes"."""
    unit: str
    """Of the horizontal axis: "environment steps"."""
    points: tuple[tuple[float, float], ...]
    """(how much of the budget was used, what was measured then), in order; empty where nothing could be measured."""
    threshold: float | None = None
    reference: tuple[tuple[float, float, float], ...] = ()
    """(used, lowest, highest) of the course's own solution over the vetted seeds."""
    seed: int = 0


@dataclass(frozen=True)
class TestResult:
    """What became of one test."""

    __test__: ClassVar[bool] = False  # no test class of pytest's

    id: str
    """"a02.attention.test_scores_are_scaled[…]": assignment, task, test function with its parameters."""
    task: str
    hidden: bool
    outcome: Outcome
    sentence: str
    """The test's docstring: what is true of a right answer."""
    points: float = 0.0
    max_points: float = 0.0
    reason: str = ""
    """Why it did not pass. Of a hidden test: never an input, never an expected value."""
    mistake: Recognised | None = None
    figures: tuple[Figure, ...] = ()
    curves: tuple[Curve, ...] = ()
    """Of a graded run: one for each attempt (a run that missed is tried on two more seeds; two of three count)."""
    seed: int | None = None
    cpu_seconds: float = 0.0
    output: str = ""
    """What the student's code printed, capped; kept for public tests only."""
    submission: str = ""
    """Hash of what was graded: after a partial check, tests of one report may differ in it."""
    depends_on: str = ""
    """Of a graded run: a hash of code, tests, versions and seed. One that is known already is not run again."""

    @property
    def name(self) -> str:
        return self.id.split(".", 2)[-1]


@dataclass(frozen=True)
class TaskResult:
    """A task's tests added up."""

    name: str
    title: str
    points: float
    max_points: float
    tests: tuple[TestResult, ...]

    @property
    def done(self) -> bool:
        """Every test that counts here passed."""
        counted = [test for test in self.tests if test.outcome != "skipped"]
        return bool(counted) and all(test.outcome == "passed" for test in counted)


NOT_WRITTEN = "not written yet"
"""The reason of a test whose function still raises NotImplementedError."""


@dataclass(frozen=True)
class Report:
    """One grading of one assignment."""

    assignment: str
    title: str
    tests: tuple[TestResult, ...]
    tasks: tuple[dict[str, Any], ...]
    """Name, title and points of each task, in order, so that a report can be read without the course."""
    submission: str
    """sha256 of the graded form, and which form that was: "py:…" or "ipynb:…"."""
    tests_hash: str
    release: str
    """Release that the student's stub came from."""
    isolation: str
    """One line: what stood between the student's code and the grader."""
    not_stopped: tuple[str, ...] = ()
    """What that isolation does not stop."""
    versions: dict[str, str] = field(default_factory=dict)
    student: str = ""
    started: str = ""
    cpu_seconds: float = 0.0
    hidden_elsewhere: int = 0
    """Hidden tests that also count but are not on this machine."""
    notes: tuple[str, ...] = ()
    """What the reader should know: a version skew, output that was cut, a retry."""
    complete: bool = False
    schema: int = SCHEMA

    @property
    def points(self) -> float:
        return sum(test.points for test in self.tests)

    @property
    def max_points(self) -> float:
        return float(sum(task["points"] for task in self.tasks))

    def by_task(self) -> tuple[TaskResult, ...]:
        results = []
        for task in self.tasks:
            tests = tuple(test for test in self.tests if test.task == task["name"])
            results.append(TaskResult(task["name"], task["title"], sum(t.points for t in tests), task["points"], tests))
        return tuple(results)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Report:
        """Raises KeyError, TypeError or ValueError where `data` is not a report of this schema."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"a report of schema {data['schema']}, where {SCHEMA} is read")
        tests = tuple(_test_from_json(test) for test in data["tests"])
        rest = {key: value for key, value in data.items() if key != "tests"}
        for key in ("tasks", "not_stopped", "notes"):
            rest[key] = tuple(rest[key])
        return cls(tests=tests, **rest)


def _test_from_json(data: dict[str, Any]) -> TestResult:
    mistake = Recognised(**data["mistake"]) if data["mistake"] else None
    figures = tuple(Figure(**figure) for figure in data["figures"])
    curves = tuple(_curve_from_json(curve) for curve in data.get("curves", ()))
    return TestResult(**{**data, "mistake": mistake, "figures": figures, "curves": curves})


def _curve_from_json(data: dict[str, Any]) -> Curve:
    points = tuple((float(used), float(value)) for used, value in data["points"])
    reference = tuple((float(used), float(low), float(high)) for used, low, high in data["reference"])
    return Curve(**{**data, "points": points, "reference": reference})
