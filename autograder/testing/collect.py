"""Finds the tests of a file. pytest collects them; what it collected is kept as plain test cases.

Graded tests are then run by `autograder.testing.runner`, not by pytest's own protocol, because a graded test needs none
of pytest's machinery and its failure must not print operands. `pytest assignments/aNN` still runs the public ones.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autograder.errors import SourceError
from autograder.testing.marks import MARKS
from autograder.testing.modules import ASKS, load_file

FIXTURES = frozenset({"student", "reference", "seed", "run"})


@dataclass(frozen=True)
class TestCase:
    """One test function with one set of parameters."""

    __test__ = False

    name: str
    """"test_scores_are_scaled" or "test_shapes[3-4]"."""
    function: Callable[..., None]
    task: str
    sentence: str
    """The docstring's first paragraph: what is true of a right answer."""
    hidden: bool
    params: dict[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    """Its share of the task's points; cases of a parametrised test share their function's weight."""
    needs: tuple[str, ...] = ()
    uses: frozenset[str] = frozenset()
    """Which of student, reference, seed, run it takes."""
    cpu_seconds: float | None = None
    """Of a graded run: its own limit. None for every other test."""

    @property
    def graded_run(self) -> bool:
        """Whether student code trains in it."""
        return self.cpu_seconds is not None

    @property
    def family(self) -> str:
        """The test function's name, without parameters."""
        return self.name.partition("[")[0]


def collect_tests(path: Path, *, hidden: bool, asks: Path | None = None) -> list[TestCase]:
    """The test cases of a file, in order. Raises SourceError where one breaks the dialect.

    The file is collected as a copy in a folder of its own, so that nothing beside it (a conftest.py, an __init__.py)
    takes part: beside a public test lies what a student handed in.
    """
    with tempfile.TemporaryDirectory(prefix="autograder-tests-") as folder:
        copy = Path(folder) / path.name
        try:
            copy.write_bytes(path.read_bytes())
        except FileNotFoundError as error:
            raise SourceError("the tests are missing", where=str(path)) from error
        return _collect(copy, path, hidden, asks or path.parent / "asks.py")


def _collect(copy: Path, path: Path, hidden: bool, asks: Path) -> list[TestCase]:
    collector = _Collector(asks)
    printed = io.StringIO()
    arguments = [
        str(copy), "--collect-only", "--import-mode=importlib", "--assert=plain", "-p", "no:cacheprovider",
        "-p", "no:terminal", "--noconftest", "--rootdir", str(copy.parent), "-c", os.devnull,
    ]  # fmt: skip
    with _no_plugins(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = pytest.main(arguments, plugins=[collector])
    _forget(copy)
    if collector.problem or code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SourceError(
            f"the tests cannot be collected: {collector.problem or printed.getvalue().strip()}", where=str(path)
        )
    cases = [_case(item, hidden, path) for item in collector.items]
    return _with_shared_weights(cases)


class _Collector:
    """A pytest plugin that only listens: which items there are, and what kept a file from loading."""

    def __init__(self, asks: Path) -> None:
        self.asks = asks
        self.items: list[pytest.Function] = []
        self.problem = ""

    def pytest_configure(self, config: pytest.Config) -> None:
        for mark in MARKS:
            config.addinivalue_line("markers", mark)

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        if isinstance(collector, pytest.Module) and self.asks.is_file():
            sys.modules[ASKS] = load_file(self.asks, ASKS)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.problem:
            self.problem = report.longreprtext.strip().splitlines()[-1]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = [item for item in session.items if isinstance(item, pytest.Function)]
        sys.modules.pop(ASKS, None)


def _case(item: pytest.Function, hidden: bool, path: Path) -> TestCase:
    where = f"{path}: {item.originalname}"
    task_mark = item.get_closest_marker("task")
    if task_mark is None or len(task_mark.args) != 1:
        raise SourceError(
            "a test does not say which task it counts for", where=where, mend='put @task("name") above it'
        )
    sentence = " ".join((item.function.__doc__ or "").strip().split("\n\n")[0].split())
    if not sentence:
        raise SourceError(
            "a test has no docstring", where=where, mend="write the sentence that the student reads as its docstring"
        )
    params: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    uses = frozenset(item.fixturenames) - frozenset(params) - {"request"}
    strange = uses - FIXTURES
    if strange:
        raise SourceError(
            f"a graded test takes {', '.join(sorted(strange))}",
            where=where,
            mend="it may take student, reference, seed, run and its own parameters",
        )
    run_mark = item.get_closest_marker("graded_run")
    if (run_mark is not None) != ("run" in uses):
        problem = "a graded run must take the fixture run, and only a graded run may"
        raise SourceError(
            problem, where=where, mend="put @graded_run(cpu_seconds=...) above it, and run among its arguments"
        )
    weight_mark = item.get_closest_marker("weight")
    needs = tuple(str(name) for mark in item.iter_markers("needs") for name in mark.args)
    weight = float(weight_mark.args[0]) if weight_mark else 1.0
    return TestCase(
        item.name,
        item.function,
        task_mark.args[0],
        sentence,
        hidden,
        dict(params),
        weight,
        needs,
        uses & FIXTURES,
        float(run_mark.kwargs["cpu_seconds"]) if run_mark else None,
    )


def _with_shared_weights(cases: list[TestCase]) -> list[TestCase]:
    count: dict[str, int] = {}
    for case in cases:
        count[case.family] = count.get(case.family, 0) + 1
    return [TestCase(**{**case.__dict__, "weight": case.weight / count[case.family]}) for case in cases]


@contextlib.contextmanager
def _no_plugins() -> Iterator[None]:
    """Collection is ours: no plugin of the user's environment takes part, ours from its entry point included."""
    name = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _forget(path: Path) -> None:
    """Drops the test module from sys.modules, so that an edited file is read anew."""
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) == str(path):
            del sys.modules[name]
