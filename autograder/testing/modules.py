"""Loads an author's files as modules: the reference, asks, mistakes, alternatives.

Authors write `from asks import ...` in tests and `from reference import ...` in mistakes; both mean the files of the
same assignment. So those two names exist only while one of its files is being executed.
"""

from __future__ import annotations

import contextlib
import linecache
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from autograder.errors import SourceError
from autograder.testing.bank import Alternative, Mistake, alternatives_in, mistakes_in

ASKS = "asks"
REFERENCE = "reference"


class Author:
    """An author's folder of one assignment, `solutions/aNN_name`, with a private overlay in front of it."""

    def __init__(self, folder: Path, overlay: Path | None = None, earlier: Sequence[tuple[str, Author]] = ()) -> None:
        self.folder = folder
        self.overlay = overlay
        self.earlier = tuple(earlier)
        """(module, author) of the earlier assignments that this one's reference imports."""
        self._code: dict[str, CodeType] = {}
        self._texts: dict[str, str] = {}

    def path(self, name: str) -> Path:
        """The file called `name`: the overlay's if it has one, else ours."""
        private = self.overlay / name if self.overlay else None
        return private if private and private.is_file() else self.folder / name

    def text(self, name: str) -> str:
        """A file's text, read once; "" where there is none."""
        if name not in self._texts:
            path = self.path(name)
            self._texts[name] = path.read_text(encoding="utf-8") if path.is_file() else ""
        return self._texts[name]

    def reference(self) -> ModuleType:
        """A fresh copy of the reference module: source.py without its cells of public tests."""
        with self._earlier_visible():
            return execute(self._compiled("source.py", without_test_cells), REFERENCE)

    @contextlib.contextmanager
    def _earlier_visible(self) -> Iterator[None]:
        """While this lasts, modules of earlier assignments can be imported by their names."""
        with contextlib.ExitStack() as stack:
            for name, author in self.earlier:
                stack.enter_context(visible(name, author.reference))
            yield

    def _load_asks(self) -> ModuleType:
        return execute(self._compiled("asks.py"), ASKS)

    def _compiled(self, name: str, prepare: Callable[[str], str] = str) -> CodeType:
        if name not in self._code:
            self._code[name] = compile_file(self.path(name), prepare)
        return self._code[name]

    @cached_property
    def mistakes(self) -> list[Mistake]:
        return mistakes_in(self._beside_reference("mistakes.py"))

    @cached_property
    def alternatives(self) -> list[Alternative]:
        return alternatives_in(self._beside_reference("alternatives.py"))

    def with_replaced(self, *items: Mistake | Alternative) -> Callable[[], ModuleType]:
        """Makes fresh copies of the reference in which the given items stand in for their tasks."""

        def load() -> ModuleType:
            module = self.reference()
            for item in items:
                setattr(module, item.task, self._fresh(item).implementation)
            return module

        return load

    def _fresh(self, item: Mistake | Alternative) -> Mistake | Alternative:
        """The item; one that remembers is made anew, so that it remembers nothing of an earlier conversation."""
        if isinstance(item, Mistake) and item.remembers:
            fresh: Mistake = getattr(self._beside_reference("mistakes.py"), item.id)
            return fresh
        return item

    def _beside_reference(self, name: str) -> ModuleType:
        path = self.path(name)
        if not path.is_file():
            return ModuleType(path.stem)
        with self._earlier_visible(), visible(REFERENCE, self.reference), visible(ASKS, self._load_asks):
            return execute(self._compiled(name), path.stem)


def earlier_authors(root: Path, builds_on: Iterable[str]) -> list[tuple[str, Author]]:
    """Authors of the earlier assignments in "a07_gae.gae", by module; those that are not here are left out."""
    named = (name.partition(".") for name in builds_on)
    found = [(module, root / "solutions" / assignment) for assignment, _, module in named]
    return [(module, Author(folder)) for module, folder in found if (folder / "source.py").is_file()]


def use_packages(folders: Iterable[Path]) -> None:
    """Lets this process import a course's shared packages from these folders, and from no other course's.

    For the trusted side: references, tests and mistakes import them as student code does.
    """
    for folder in folders:
        loaded = sys.modules.get(folder.name)
        place = getattr(loaded, "__file__", None)
        if loaded is not None and place != str(folder / "__init__.py"):
            for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
                del sys.modules[name]
        parent = str(folder.parent)
        if parent not in sys.path or place != str(folder / "__init__.py"):
            sys.path[:] = [*(path for path in sys.path if not Path(path, folder.name, "__init__.py").is_file()), parent]


CELL = re.compile(r"^# %%")
TEST_CELL = re.compile(r"^# %%.*\btests=")


def without_test_cells(text: str) -> str:
    """A source's text with the lines of its test cells emptied, so that line numbers stay."""
    kept, skipping = [], False
    for line in text.splitlines():
        if CELL.match(line):
            skipping = bool(TEST_CELL.match(line))
        kept.append("" if skipping else line)
    return "\n".join(kept) + "\n"


def compile_file(path: Path, prepare: Callable[[str], str] = str) -> CodeType:
    """Compiles an author's file; a syntax error is the author's, and says where."""
    try:
        return compile(prepare(path.read_text(encoding="utf-8")), str(path), "exec")
    except FileNotFoundError as error:
        raise SourceError("an author's file is missing", where=str(path), mend=f"write {path.name}") from error
    except SyntaxError as error:
        raise SourceError(f"{path.name} is not Python: {error.msg}", where=f"{path}:{error.lineno}") from error


def execute(code: CodeType, name: str) -> ModuleType:
    """A fresh module of that name, made by running `code`."""
    module = ModuleType(name)
    module.__file__ = code.co_filename
    linecache.checkcache(code.co_filename)
    with visible(name, lambda: module):
        try:
            exec(code, vars(module))
        except Exception as error:
            raise SourceError(
                f"an author's file fails when it is loaded: {type(error).__name__}: {error}", where=code.co_filename
            ) from error
    return module


def load_file(path: Path, name: str) -> ModuleType:
    """The file as a fresh module of that name."""
    return execute(compile_file(path), name)


@contextlib.contextmanager
def visible(name: str, load: Callable[[], ModuleType]) -> Iterator[None]:
    """While this lasts, `import name` finds the module that `load` makes."""
    before: Any = sys.modules.get(name)
    sys.modules[name] = load()
    try:
        yield
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
