"""The bank: runnable wrong implementations, each with its two sentences, and other right ones.

    @mistake("mean", seen="Your mean grows with the list.", named="This equals the sum.", caught_by="test_mean")
    def sum_for_mean(xs): ...

The decorated function or class stands in for the task's in a fresh copy of the reference module; its own name is the
mistake's id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from autograder.errors import SourceError


@dataclass(frozen=True)
class Mistake:
    """One wrong implementation of one task."""

    id: str
    task: str
    implementation: Any
    seen: str
    """What shows, as an observation or a question: said at once."""
    named: str
    """What it equals: said after the first hint, or on the second equal failure."""
    caught_by: tuple[str, ...]
    """Hidden tests that must fail for it."""
    twin: tuple[str, ...] = ()
    """Ids of mistakes that answer alike on every input: either name is right."""
    remembers: bool = False
    """Whether it keeps something from call to call (a shared default argument, a cache)."""
    blocker: bool = False
    """Whether it must miss the threshold of the graded runs it names, on every vetted seed, by a clear gap."""


@dataclass(frozen=True)
class Alternative:
    """Another right implementation of one task: must pass everything, and is never called a mistake."""

    id: str
    task: str
    implementation: Any
    note: str


def mistake(
    task: str,
    *,
    seen: str,
    named: str,
    caught_by: str | Iterable[str],
    twin: str | Iterable[str] = (),
    remembers: bool = False,
    blocker: bool = False,
) -> Callable[[Any], Mistake]:
    """Registers the decorated function or class as a wrong implementation of `task`."""

    def decorate(implementation: Any) -> Mistake:
        name = implementation.__name__
        caught, twins = _names(caught_by), _names(twin)
        return Mistake(name, task, implementation, seen, named, caught, twins, remembers, blocker)

    return decorate


def alternative(task: str, *, note: str) -> Callable[[Any], Alternative]:
    """Registers the decorated function or class as another right implementation of `task`."""

    def decorate(implementation: Any) -> Alternative:
        return Alternative(implementation.__name__, task, implementation, note)

    return decorate


def mistakes_in(module: ModuleType) -> list[Mistake]:
    """The mistakes that a module defines, in order; twins are made mutual."""
    found = [value for value in vars(module).values() if isinstance(value, Mistake)]
    known = {item.id for item in found}
    for item in found:
        unknown = set(item.twin) - known
        if unknown:
            raise SourceError(
                f"mistake {item.id} names a twin that does not exist: {', '.join(sorted(unknown))}",
                where=str(module.__file__),
                mend="name the id of another mistake in this file",
            )
    return [_with_mutual_twins(item, found) for item in found]


def alternatives_in(module: ModuleType) -> list[Alternative]:
    """The alternatives that a module defines, in order."""
    return [value for value in vars(module).values() if isinstance(value, Alternative)]


def _with_mutual_twins(item: Mistake, bank: list[Mistake]) -> Mistake:
    twins = set(item.twin) | {other.id for other in bank if item.id in other.twin}
    return Mistake(**{**item.__dict__, "twin": tuple(sorted(twins))})


def _names(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
