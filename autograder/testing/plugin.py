"""The pytest plugin: `pytest assignments/a02_attention` runs the public tests on the code in that folder.

It runs in this process, over the loopback transport, so that `breakpoint()` and a debugger work. What the autograder
grades are the same tests, run by `autograder check` behind walls.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.course import ASSIGNMENT_FILE, COMMON, Limits
from autograder.sandbox.messages import Program
from autograder.testing.graded import GradedRun
from autograder.testing.marks import MARKS
from autograder.testing.modules import ASKS, load_file, use_packages
from autograder.testing.student import Student, close


def pytest_configure(config: pytest.Config) -> None:
    """Declares the dialect's marks, so that --strict-markers knows them."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Lets `from asks import ...` in a test file find the asks.py beside it, and `common` the course's shared code."""
    if isinstance(collector, pytest.Module):
        common = collector.path.parent.parent / COMMON
        if (common / "__init__.py").is_file() and (collector.path.parent / ASSIGNMENT_FILE).is_file():
            use_packages([common])
        asks = collector.path.parent / "asks.py"
        if asks.is_file():
            sys.modules[ASKS] = load_file(asks, ASKS)


@pytest.fixture
def student(request: pytest.FixtureRequest) -> Iterator[Student]:
    """The code in the test's own folder, in this process."""
    from autograder.sandbox.loopback import LoopbackTransport

    program = _program(request.path.parent)
    transport = LoopbackTransport()
    proxy = Student(lambda: transport.open(program, Limits()))
    yield proxy
    close(proxy)


@pytest.fixture
def run() -> GradedRun:
    """What a practice run records; nothing is graded here."""
    return GradedRun()


def _program(folder: Path) -> Program:
    described = folder / ASSIGNMENT_FILE
    if not described.is_file():
        pytest.fail(
            f"{folder} is no released assignment ({ASSIGNMENT_FILE} is missing): autograder release", pytrace=False
        )
    facts = json.loads(described.read_text(encoding="utf-8"))
    name = str(facts["module"])
    path = folder / f"{name}.py"
    if not path.is_file():
        pytest.fail(f"{path} is missing: autograder reset {folder.name} lays a fresh stub", pytrace=False)
    asks = folder / "asks.py"
    text = asks.read_text(encoding="utf-8") if asks.is_file() else ""
    earlier = tuple(_earlier(folder.parent, str(module)) for module in facts.get("builds_on", ()))
    return Program(name, path.read_text(encoding="utf-8"), str(path), text, folder, earlier=earlier)


def _earlier(assignments: Path, name: str) -> tuple[str, str, str]:
    """The student's own module of an earlier assignment, from "a07_gae.gae"."""
    assignment, _, module = name.partition(".")
    path = assignments / assignment / f"{module}.py"
    if not path.is_file():
        pytest.fail(f"{path} is missing: autograder reset {assignment} lays a fresh stub", pytrace=False)
    return module, str(path), path.read_text(encoding="utf-8")
