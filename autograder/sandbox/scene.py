"""What a student's module finds around it while it runs: its own entry in sys.modules, its folder on the path.

In the sandbox this is set once, in a process that ends soon. In loopback several conversations (the student's module,
the reference, each mistake) share one process and take turns, so everything is put back when a turn ends: modules of
the same name, neighbours imported from the folder, warning filters. What student code changes inside other modules, in
numpy or torch, is not put back: that is the price of running in-process.
"""

from __future__ import annotations

import contextlib
import functools
import linecache
import random
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

SEED = 20170612


class Scene:
    """The modules of one conversation, known by these names, and the folder that its code may import from.

    alone: nothing is put back, for a process that ends with its conversation. (Looking through all of sys.modules there
    would copy the memory pages that a fork shares: a third of a conversation's cost with torch loaded.)
    """

    def __init__(self, names: Iterable[str], folder: Path | None, alone: bool = False) -> None:
        self._names = frozenset(names)
        self._alone = alone
        self._set = False
        self.modules: dict[str, ModuleType] = {}
        self.folder = None if folder is None else str(folder)

    def add(self, name: str, filename: str, source: str) -> ModuleType:
        """A new, empty module under `name`; its source is known to tracebacks and debuggers."""
        module = ModuleType(name)
        module.__file__ = filename
        linecache.cache[filename] = (len(source), None, _lines(source), filename)
        self.put(name, module)
        return module

    def put(self, name: str, module: ModuleType) -> None:
        self.modules[name] = module
        sys.modules[name] = module

    @contextlib.contextmanager
    def on_stage(self) -> Iterator[None]:
        """While this lasts, the conversation's modules are the ones that `import` finds."""
        if self._alone:
            self._set_once()
            yield
            return
        names = self._names if self.folder is None else list(sys.modules)
        before = {name: sys.modules[name] for name in names if name in sys.modules}
        no_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        sys.modules.update(self.modules)
        if self.folder is not None:
            sys.path.append(self.folder)  # last, so that a neighbour called random.py hides nothing
        try:
            with warnings.catch_warnings():
                _usual_warnings()
                yield
        finally:
            sys.dont_write_bytecode = no_bytecode
            if self.folder is not None and self.folder in sys.path:
                del sys.path[len(sys.path) - 1 - sys.path[::-1].index(self.folder)]
            self._leave(before)

    def _set_once(self) -> None:
        if not self._set:
            self._set = True
            sys.dont_write_bytecode = True
            if self.folder is not None:
                sys.path.append(self.folder)
            _usual_warnings()

    def _leave(self, before: dict[str, ModuleType]) -> None:
        """Takes our modules off, and neighbours that were imported; without a folder there are none to look for."""
        names = self._names if self.folder is None else list(sys.modules)
        for name in [name for name in names if name in sys.modules and before.get(name) is not sys.modules[name]]:
            if name in self._names or self._is_neighbour(sys.modules[name]):
                self.modules[name] = sys.modules.pop(name)
        for name in self.modules:
            if name in before:
                sys.modules[name] = before[name]

    def _is_neighbour(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        return self.folder is not None and isinstance(file, str) and Path(file).is_relative_to(self.folder)


@functools.lru_cache(maxsize=16)
def _lines(source: str) -> list[str]:
    """Each text is cut into lines once a process: a shared one loads the same module a hundred times."""
    return source.splitlines(keepends=True)


def _usual_warnings() -> None:
    """As in a plain Python: no warning is an error, whatever the settings of the test run around us."""
    warnings.simplefilter("default")
    for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", kind)


def seed_everything() -> None:
    """The same random state at the start of every conversation, in both transports: a report can be made again."""
    random.seed(SEED)
    np.random.seed(SEED % 2**32)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.default_generator.manual_seed(SEED)


class OwnRandomness:
    """Global random state that belongs to one loopback conversation and is swapped in for each of its turns."""

    def __init__(self) -> None:
        self._state: tuple[Any, ...] | None = None

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        outside = _random_state()
        if self._state is not None:
            _set_random_state(self._state)
        try:
            yield
        finally:
            self._state = _random_state()
            _set_random_state(outside)


def _random_state() -> tuple[Any, ...]:
    torch = sys.modules.get("torch")
    return random.getstate(), np.random.get_state(), None if torch is None else torch.get_rng_state()


def _set_random_state(state: tuple[Any, ...]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
    if state[2] is not None:
        sys.modules["torch"].set_rng_state(state[2])
