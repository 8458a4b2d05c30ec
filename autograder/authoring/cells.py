"""The cells of a source: what jupytext reads, each with its role, its line and its checked metadata."""

from __future__ import annotations

import difflib
import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from autograder.course import Limits
from autograder.errors import SourceError

Role = Literal["opening", "text", "given", "statement", "code", "hints", "tests"]

_CELL_START = re.compile(r"^# ?%%")
_READER_KEYS = frozenset({"lines_to_next_cell", "cell_depth"})
"""What jupytext notes for itself."""

LIMIT_KEYS = frozenset(field.name for field in fields(Limits))
_HEADER_KEYS = (
    frozenset({"assignment", "title", "module", "requires", "summary", "forbidden", "builds_on"}) | LIMIT_KEYS
)
_REQUIRED_KEYS = ("assignment", "title", "module", "requires", "summary")
_KEYS: dict[Role, frozenset[str]] = {
    "opening": _HEADER_KEYS,
    "text": frozenset(),
    "given": frozenset(),
    "statement": frozenset({"task"}),
    "code": frozenset({"task", "points", "minutes", "needs"}),
    "hints": frozenset({"hints"}),
    "tests": frozenset({"tests"}),
}
_ANY_KEY = frozenset().union(*_KEYS.values())


@dataclass(frozen=True)
class Cell:
    """One cell: `task` is the task that a statement, code, hints or tests cell belongs to."""

    role: Role
    task: str
    text: str
    metadata: Mapping[str, Any]
    path: Path
    number: int
    line: int
    """The line of source.py on which the cell's marker stands."""

    def where(self, offset: int | None = None) -> str:
        """The place in source.py: of the cell, or of the line `offset` (from 0) of its text."""
        line = self.line if offset is None else self.line + 1 + offset
        return f"{self.path}:{line} (cell {self.number})"


@dataclass(frozen=True)
class Header:
    """What the first cell says about the assignment."""

    assignment: str
    title: str
    module: str
    summary: str
    requires: tuple[str, ...]
    forbidden: tuple[str, ...]
    builds_on: tuple[str, ...]
    limits: Mapping[str, float]


def refuse(cell: Cell, problem: str, mend: str, offset: int | None = None) -> SourceError:
    """The error for a cell that breaks the format."""
    return SourceError(problem, where=cell.where(offset), mend=mend)


def read_cells(path: Path) -> list[Cell]:
    """All cells of the file, in order, each with its role."""
    import jupytext  # type: ignore[import-untyped]

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SourceError("the assignment has no source", where=str(path), mend="write source.py") from error
    except UnicodeDecodeError as error:
        raise SourceError("the source is not UTF-8", where=str(path), mend="save it as UTF-8") from error
    try:
        compile(text, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise SourceError(
            f"the source is not Python: {error.msg}", where=f"{path}:{error.lineno}", mend=f"python {path}    shows it"
        ) from error
    notebook = jupytext.reads(text, fmt="py:percent")
    starts = [number for number, line in enumerate(text.splitlines(), start=1) if _CELL_START.match(line)]
    if not text.startswith("# %%"):
        raise SourceError("the source does not begin with its header cell", where=f"{path}:1", mend=_HEADER_FORM)
    if len(starts) != len(notebook.cells):
        starts = [0] * len(notebook.cells)
    return [_cell(item, path, i, line) for i, (item, line) in enumerate(zip(notebook.cells, starts, strict=True), 1)]


def _cell(item: Any, path: Path, number: int, line: int) -> Cell:
    metadata = {key: value for key, value in item.metadata.items() if key not in _READER_KEYS}
    role, task = _role(item.cell_type, metadata, number)
    cell = Cell(role, task, item.source, metadata, path, number, line)
    if "incorrectly_encoded_metadata" in metadata:
        raise refuse(
            cell,
            f"the cell's metadata cannot be read: {metadata['incorrectly_encoded_metadata']}",
            'write key="value" after "# %%", with the quotes; numbers without',
        )
    if item.cell_type not in ("markdown", "code"):
        raise refuse(cell, f"a {item.cell_type} cell", 'begin it "# %%" or "# %% [markdown]"')
    for key in sorted(set(metadata) - _KEYS[role]):
        raise refuse(cell, f"unknown key {key!r} in a {_SPOKEN[role]}", _mend_key(key, metadata[key], role))
    return cell


def _role(kind: str, metadata: Mapping[str, Any], number: int) -> tuple[Role, str]:
    if number == 1:
        return "opening", ""
    for key, role in (("hints", "hints"), ("tests", "tests")):
        if key in metadata:
            return role, str(metadata[key])  # type: ignore[return-value]
    if "task" in metadata:
        return ("statement" if kind == "markdown" else "code"), str(metadata["task"])
    return ("text" if kind == "markdown" else "given"), ""


_SPOKEN: dict[Role, str] = {
    "opening": "header cell",
    "text": "handout cell",
    "given": "cell of given code",
    "statement": "task's statement",
    "code": "task's code cell",
    "hints": "hints cell",
    "tests": "tests cell",
}


def _mend_key(key: str, value: Any, role: Role) -> str:
    if key == "title":
        return f'"{value}" was read as a title: put it into the text, or write key="value"'
    if key in _ANY_KEY:
        return f"{key} belongs into another kind of cell; take it out here"
    close = difflib.get_close_matches(key, _KEYS[role], n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(_KEYS[role])) or 'none'}"


def read_header(cell: Cell) -> Header:
    """The assignment's own facts, from the first cell."""
    data = cell.metadata
    missing = [key for key in _REQUIRED_KEYS if key not in data]
    if missing:
        raise refuse(cell, f"the header does not say {', '.join(missing)}", _HEADER_FORM)
    for key in ("assignment", "title", "module", "summary"):
        if not isinstance(data[key], str) or not data[key].strip():
            raise refuse(cell, f"the header's {key} is empty", f'write {key}="..."')
    name, module = data["assignment"], data["module"]
    if name != cell.path.parent.name:
        raise refuse(cell, f"the header says {name}, its folder {cell.path.parent.name}", "give both the same name")
    if not re.fullmatch(r"[a-z]\d\d_[a-z0-9_]+", name):
        raise refuse(cell, f"{name} is no assignment's name", "write a letter, two digits and a word: a02_attention")
    if not is_free_module_name(module):
        mend = "choose a name that is no module of Python's own, and not asks, reference or test_public"
        raise refuse(cell, f"the module cannot be called {module!r}", mend)
    limits = {key: data[key] for key in sorted(LIMIT_KEYS & set(data))}
    for key, value in limits.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise refuse(cell, f"the limit {key} is {value!r}", "write a number above zero, without quotes")
    listed = {key: _split(cell, key) for key in ("requires", "forbidden", "builds_on")}
    for earlier in listed["builds_on"]:
        if not re.fullmatch(r"\w+\.\w+", earlier):
            mend = 'name assignment and module: builds_on="a01_name.module"'
            raise refuse(cell, f"builds_on names {earlier!r}", mend)
    return Header(name, data["title"], module, data["summary"], **listed, limits=limits)


def is_free_module_name(name: str) -> bool:
    """Whether a student's module may have that name without hiding one of Python's or of ours."""
    taken = name in sys.stdlib_module_names or name in ("asks", "reference", "test_public", "autograder", "common")
    return name.isidentifier() and not keyword.iskeyword(name) and not taken


def _split(cell: Cell, key: str) -> tuple[str, ...]:
    """The names in a comma-separated value."""
    value = cell.metadata.get(key, "")
    names = [name.strip() for name in str(value).split(",") if name.strip()]
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise refuse(cell, f"{name!r} in {key} is no dotted name", "write names with commas between them")
    return tuple(names)


def task_names(cell: Cell, key: str) -> tuple[str, ...]:
    """The tasks that a cell names under `key`."""
    return _split(cell, key)


_HEADER_FORM = 'begin: # %% [markdown] assignment="a01_name" title="..." module="..." requires="" summary="..."'
