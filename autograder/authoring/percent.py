"""The student's module as notebook cells, and back: what was typed in either form survives in the other.

The handout's cells and the checks are ours: they are woven in from the released notebook on the way there and left out
on the way back, wherever they still say what we wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from autograder.authoring.render_notebook import NotebookCell, lines

Notebook = dict[str, Any]

_CELL_START = re.compile(r"^# ?%%")
_OURS = ("text", "check")
"""Roles of the cells that the module does not hold."""


def to_notebook(text: str, template: Notebook) -> Notebook:
    """The module's cells, in their order, among the released notebook's handout and checks."""
    import jupytext  # type: ignore[import-untyped]

    header, body = _split_header(text)
    mine = [_student_cell(cell) for cell in jupytext.reads(body, fmt="py:percent").cells] if body.strip() else []
    metadata = {**template["metadata"], "autograder": {**template["metadata"]["autograder"], "header": header}}
    return {**template, "metadata": metadata, "cells": list(_with_ids(_weave(mine, template["cells"])))}


def to_module(notebook: Notebook, template: Notebook) -> str:
    """The text of the module that this notebook is a form of."""
    import jupytext
    import nbformat

    ours = {source_of(cell) for cell in template["cells"] if _role(cell) == "text"}
    cells = [_percent_cell(cell) for cell in notebook["cells"] if not _is_ours(cell, ours)]
    data = {"cells": cells, "metadata": {"jupytext": _PLAIN}, "nbformat": 4, "nbformat_minor": 5}
    bare = nbformat.from_dict(data)  # type: ignore[no-untyped-call]
    header = notebook["metadata"].get("autograder", {}).get("header", "")
    return f"{header}{jupytext.writes(bare, fmt='py:percent')}"


_PLAIN = {"notebook_metadata_filter": "-all", "cell_metadata_filter": "all"}
"""A module of cells, without a header of jupytext's own."""


def without_prose(text: str) -> str:
    """A module of cells without what its text cells say; their first lines, with all metadata, stay."""
    kept, prose = [], False
    for line in text.splitlines():
        if _CELL_START.match(line):
            prose = "[markdown]" in line
        elif prose and line.startswith("#"):
            continue
        kept.append(line)
    return "\n".join(kept)


def source_of(cell: NotebookCell) -> str:
    """A cell's text: nbformat allows a string or a list of lines."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _split_header(text: str) -> tuple[str, str]:
    """The comment lines above the first cell, and the rest. Code up there belongs to the rest."""
    kept = text.splitlines(keepends=True)
    for number, line in enumerate(kept):
        if _CELL_START.match(line):
            return "".join(kept[:number]), "".join(kept[number:])
        if line.strip() and not line.startswith("#"):
            break
    return "", text


def _student_cell(cell: Any) -> NotebookCell:
    """A cell of the module as a notebook cell, with whatever metadata the student gave it."""
    made: NotebookCell = {"cell_type": cell.cell_type, "metadata": dict(cell.metadata), "source": lines(cell.source)}
    if cell.cell_type == "code":
        made.update(execution_count=None, outputs=[])
    return made


def _percent_cell(cell: NotebookCell) -> NotebookCell:
    """A notebook cell as it stands in the module: our own metadata shrinks to the task's name."""
    metadata = {key: value for key, value in cell["metadata"].items() if key not in _EDITORS_KEYS}
    task = cell["metadata"].get("autograder", {}).get("task")
    kept = {"cell_type": cell["cell_type"], "source": source_of(cell), "metadata": metadata, "id": "cell"}
    if task:
        kept["metadata"] = {"task": task, **metadata}
    if cell["cell_type"] == "code":
        kept.update(execution_count=None, outputs=[])
    return kept


_EDITORS_KEYS = frozenset(
    {"autograder", "nbgrader", "collapsed", "scrolled", "editable", "deletable", "jupyter", "execution", "trusted"}
)
"""Ours, and what notebook editors note for themselves."""


def _weave(mine: list[NotebookCell], template: list[NotebookCell]) -> Iterator[NotebookCell]:
    """Each of the student's cells that has a counterpart in the template brings along what stands before it there."""
    place = 0
    for cell in mine:
        found = next((i for i in range(place, len(template)) if _same(cell, template[i])), None)
        if found is None:
            yield cell
            continue
        yield from _handout(template[place:found])
        yield {**cell, "id": template[found]["id"], "metadata": _merged(cell, template[found])}
        place = found + 1
        while place < len(template) and _role(template[place]) == "check":
            yield template[place]
            place += 1
    yield from _handout(template[place:])


def _handout(cells: list[NotebookCell]) -> Iterator[NotebookCell]:
    return (cell for cell in cells if _role(cell) in _OURS)


def _same(mine: NotebookCell, theirs: NotebookCell) -> bool:
    """Whether a cell of the module is this cell of the template, edited or not."""
    role = _role(theirs)
    if role == "given":
        return mine["cell_type"] == "code" and source_of(mine) == source_of(theirs)
    if role != "task":
        return False
    task = theirs["metadata"]["autograder"]["task"]
    if mine["metadata"].get("task") == task:
        return True
    defines = re.compile(rf"^(async\s+def|def|class)\s+{re.escape(task)}\b", re.MULTILINE)
    return "task" not in mine["metadata"] and bool(defines.search(source_of(mine)))


def _merged(mine: NotebookCell, theirs: NotebookCell) -> dict[str, Any]:
    kept = {key: value for key, value in mine["metadata"].items() if key != "task"}
    return {**kept, **theirs["metadata"]}


def _with_ids(cells: Iterator[NotebookCell]) -> Iterator[NotebookCell]:
    for number, cell in enumerate(cells):
        yield cell if "id" in cell else {**cell, "id": f"yours-{number}"}


def _role(cell: NotebookCell) -> str:
    return str(cell["metadata"].get("autograder", {}).get("role", ""))


def _is_ours(cell: NotebookCell, handout: set[str]) -> bool:
    """A check, or a cell of handout that still says what we wrote; one that the student wrote into is the student's."""
    role = _role(cell)
    return role == "check" or (role == "text" and source_of(cell) in handout)
