"""Renders a `Source` as the notebook that students work in, as plain nbformat 4 data.

A task is three cells: its statement, its answer and a locked cell that checks it. What we note of a cell stands under
`metadata.autograder`; nbgrader's own key beside it takes nothing that its schema 3 does not know.
"""

from __future__ import annotations

import json
from typing import Any

from autograder.authoring.cells import Cell
from autograder.authoring.markers import strip_solutions
from autograder.authoring.render import opening_text, release_of
from autograder.authoring.source import Source

NotebookCell = dict[str, Any]


def notebook(source: Source) -> dict[str, Any]:
    """The pristine notebook: handout, given code, stubs and checks."""
    cells: list[NotebookCell] = []
    for cell in source.cells:
        cells += _cells_for(cell, source, len(cells))
    return {
        "cells": cells,
        "metadata": {
            "autograder": {"assignment": source.assignment, "release": release_of(source)},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def notebook_json(data: dict[str, Any]) -> str:
    """The notebook as the field's tools write it."""
    return json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _cells_for(cell: Cell, source: Source, place: int) -> list[NotebookCell]:
    name = cell.task
    if cell.role == "opening":
        return [markdown("opening", opening_text(source)), code("setup", SETUP, {"role": "check"}, _read_only("setup"))]
    if cell.role == "text":
        return [markdown(f"text-{place}", cell.text)]
    if cell.role == "given":
        return [code(f"given-{place}", cell.text, {"role": "given"})]
    if cell.role == "statement":
        return [markdown(f"statement-{name}", cell.text)]
    if cell.role == "code":
        points = source.task(name).points
        answer = code(f"task-{name}", strip_solutions(cell.text), {"role": "task", "task": name}, _answer(name))
        return [answer, _check(source.short, name, points)]
    return []


SETUP = "from autograder.notebook import check"


def _check(short: str, name: str, points: float) -> NotebookCell:
    return code(
        f"check-{name}", f'check("{short}.{name}")', {"role": "check", "task": name}, _grade(f"check-{name}", points)
    )


def markdown(name: str, text: str) -> NotebookCell:
    """A cell of handout."""
    return {
        "cell_type": "markdown",
        "id": name[:64],
        "metadata": {"autograder": {"role": "text"}},
        "source": lines(text),
    }


def code(name: str, text: str, ours: dict[str, str], nbgrader: dict[str, Any] | None = None) -> NotebookCell:
    """A code cell that has not run."""
    metadata: dict[str, Any] = {"autograder": ours}
    if nbgrader:
        metadata["nbgrader"] = nbgrader
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name[:64],
        "metadata": metadata,
        "outputs": [],
        "source": lines(text),
    }


def lines(text: str) -> list[str]:
    """A text as nbformat keeps it on disk: lines that hold their line ends."""
    return text.splitlines(keepends=True)


def _nbgrader(grade_id: str, *, grade: bool, solution: bool, locked: bool) -> dict[str, Any]:
    return {
        "schema_version": 3,
        "grade": grade,
        "grade_id": grade_id,
        "locked": locked,
        "solution": solution,
        "task": False,
    }


def _answer(name: str) -> dict[str, Any]:
    return _nbgrader(name, grade=False, solution=True, locked=False)


def _grade(grade_id: str, points: float) -> dict[str, Any]:
    return {**_nbgrader(grade_id, grade=True, solution=False, locked=True), "points": points}


def _read_only(grade_id: str) -> dict[str, Any]:
    return _nbgrader(grade_id, grade=False, solution=False, locked=True)
