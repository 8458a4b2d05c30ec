"""Transports that live as long as the test run of this folder, and a short way to ask one question."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from autograder.course import Limits
from autograder.sandbox import outer
from autograder.sandbox.messages import Program, Reply, Request
from autograder.sandbox.session import SandboxTransport

SECRET = "AUTOGRADER_TEST_SECRET"


def start(mode: str) -> SandboxTransport:
    if mode == "bubblewrap":
        problem = outer.probe()
        if problem:
            pytest.skip(problem)
    os.environ[SECRET] = "in the environment"
    try:
        return SandboxTransport.start(mode)
    finally:
        del os.environ[SECRET]


@pytest.fixture(scope="session")
def forked() -> Iterator[SandboxTransport]:
    with start("fork") as transport:
        if transport.isolation.name != "fork":
            pytest.skip("this machine has neither Landlock nor namespaces")
        yield transport


@pytest.fixture(scope="session")
def bubblewrapped() -> Iterator[SandboxTransport]:
    with start("bubblewrap") as transport:
        yield transport


@pytest.fixture(params=["forked", "bubblewrapped"])
def sandbox(request: pytest.FixtureRequest) -> SandboxTransport:
    """Each kind of sandbox in turn."""
    transport: SandboxTransport = request.getfixturevalue(request.param)
    return transport


@pytest.fixture
def program() -> Callable[..., Program]:
    def make(source: str, asks: str = "", folder: Path | None = None) -> Program:
        return Program("homework", dedent(source), "homework.py", dedent(asks), folder)

    return make


@pytest.fixture
def ask_once(program: Callable[..., Program]) -> Callable[..., Reply]:
    """One conversation, one call of `answer(*args)` in the given source."""

    def ask(transport: Any, source: str, *args: Any, limits: Limits | None = None, folder: Path | None = None) -> Reply:
        conversation = transport.open(program(source, folder=folder), limits or Limits(cpu_seconds=5))
        try:
            reply: Reply = conversation.ask(Request("call", "answer", args), {})
            return reply
        finally:
            conversation.close()

    return ask
