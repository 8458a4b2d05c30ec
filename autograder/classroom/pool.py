"""Workers on this machine: as many processes as were asked for, each at its own desk, and each on a core of its own.

A worker asks student code one question at a time and waits for the answer, so it and its sandbox take turns: on one
core that costs a tenth of what waking another one does. A worker that dies is replaced; its submission is tried
once more.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, Protocol

import autograder
from autograder.classroom.desk import Setup, Work
from autograder.errors import AutograderError, EnvironmentProblem
from autograder.sandbox import system

TRIES = 2
"""How often a submission may take its worker with it."""


@dataclass(frozen=True)
class Outcome:
    """What a worker said of a submission: a part of its report (after a training), the whole, or why there is none."""

    kind: Literal["run", "done", "fault"]
    work: Work
    report: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


class Pool(Protocol):
    """Something that grades."""

    slots: int

    def submit(self, work: Work) -> None: ...

    def outcomes(self) -> Iterator[Outcome]:
        """Waits until there is at least one."""
        ...

    def close(self) -> None: ...


class LocalPool:
    """Worker processes of this machine."""

    def __init__(self, setup: Setup, jobs: int) -> None:
        self.slots = jobs
        self._setup = setup
        cores = system.cores()
        self._cores: list[int | None] = [cores[i % len(cores)] for i in range(jobs)] if cores else [None] * jobs
        self._waiting: list[tuple[Work, int]] = []
        self._workers = [_Worker(setup, core) for core in self._cores]

    def submit(self, work: Work) -> None:
        self._waiting.append((work, 1))
        self._hand_out()

    def outcomes(self) -> Iterator[Outcome]:
        ready = wait([worker.line for worker in self._workers])
        for worker in [worker for worker in self._workers if worker.line in ready]:
            outcome = self._heard(worker)
            if outcome is not None:
                yield outcome
        self._hand_out()

    def close(self) -> None:
        for worker in self._workers:
            worker.close()

    def _hand_out(self) -> None:
        for worker in self._workers:
            if worker.ready and worker.work is None and self._waiting:
                worker.take(*self._waiting.pop(0))

    def _heard(self, worker: _Worker) -> Outcome | None:
        try:
            kind, what = worker.line.recv()
        except (EOFError, OSError):
            return self._lost(worker)
        if kind == "refused":
            raise what
        if kind == "ready":
            worker.ready = True
            return None
        assert worker.work is not None
        work = worker.work
        if kind == "run":
            return Outcome("run", work, what)
        worker.work = None
        return Outcome("done", work, what) if kind == "done" else Outcome("fault", work, problem=what)

    def _lost(self, worker: _Worker) -> Outcome | None:
        """Another worker in its place. What it was at is tried again, unless that happened before."""
        if not worker.ready:
            raise EnvironmentProblem("a grading worker ended before it began", mend="autograder doctor")
        work, tries = worker.work, worker.tries
        worker.close()
        self._workers[self._workers.index(worker)] = _Worker(self._setup, worker.core)
        if work is None:
            return None
        if tries < TRIES:
            self._waiting.insert(0, (work, tries + 1))
            return None
        return Outcome("fault", work, problem="the process that graded it ended, twice")


class _Worker:
    """One process and what it is at."""

    def __init__(self, setup: Setup, core: int | None) -> None:
        self.core = core
        self.ready = False
        self.work: Work | None = None
        self.tries = 0
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "autograder.classroom.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment(),
            )
        self.line: Connection[Any, Any] = Connection(ours.detach())
        self.line.send((setup, core))

    def take(self, work: Work, tries: int) -> None:
        self.work, self.tries = work, tries
        self.line.send(work)

    def close(self) -> None:
        """Ends it: at once, if it is at something."""
        if self.work is None and self._process.poll() is None:
            try:
                self.line.send(None)
            except OSError:
                self._process.kill()
        else:
            self._process.kill()
        self.line.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _environment() -> dict[str, str]:
    folder = str(Path(autograder.__file__).parent.parent)
    path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class DaskPool:
    """Workers of a Dask cluster that see the course in the same place. A worker that is lost changes nothing."""

    def __init__(self, setup: Setup, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise EnvironmentProblem("Dask is not installed", mend="make classroom") from error
        try:
            library: Any = distributed
            self._client = library.Client(address, timeout="20s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise EnvironmentProblem(
                f"no Dask scheduler answers there ({error})", where=address, mend="dask scheduler    starts one"
            ) from error
        self._setup = setup
        self._works: dict[str, Work] = {}
        self._completed = library.as_completed([], loop=self._client.loop)
        self.slots = 2 * max(len(self._client.scheduler_info(n_workers=-1)["workers"]), 1)

    def submit(self, work: Work) -> None:
        from autograder.classroom.desk import grade_at_desk

        name = f"grade-{work.key}-{len(self._works)}"
        self._works[name] = work
        future = self._client.submit(grade_at_desk, self._setup, work, key=name, pure=False, retries=TRIES)
        self._completed.add(future)

    def outcomes(self) -> Iterator[Outcome]:
        future = next(self._completed)
        work = self._works[future.key]
        error = future.exception()
        if isinstance(error, AutograderError):
            raise error
        if error is not None:
            yield Outcome("fault", work, problem=f"{type(error).__name__}: {error}")
        else:
            yield Outcome("done", work, future.result())
        future.release()

    def close(self) -> None:
        self._client.close()
