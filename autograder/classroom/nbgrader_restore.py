"""Before anything else: gives each cell of a submission back what the gradebook says it is.

nbgrader restores the text and the points of a locked cell. A cell that stands twice, one of an unknown name and one of
an old form end its whole command, so that one submission would stop the grading of a class; and a locked cell that
claims to be an answer loses its submission. Here the gradebook decides what a cell is: the submission only says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode, from_dict
from nbgrader.api import Gradebook  # type: ignore[import-untyped,import-not-found,unused-ignore]
from nbgrader.preprocessors import (  # type: ignore[import-untyped,import-not-found,unused-ignore]
    NbGraderPreprocessor,
)

SCHEMA = 3


class RestoreMetadata(NbGraderPreprocessor):  # type: ignore[misc,unused-ignore]
    """To go first in `Autograde.sanitize_preprocessors`."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> tuple[NotebookNode, dict[str, Any]]:
        """Of several cells with one name the last counts, as nbgrader has it; the others become ordinary cells."""
        where = resources["nbgrader"]
        with Gradebook(where["db_url"]) as book:
            known = _known(book.find_notebook(where["notebook"], where["assignment"]))
        seen: set[str] = set()
        for cell in reversed(nb.cells):
            if "nbgrader" not in cell.metadata:
                continue
            told = cell.metadata.pop("nbgrader")
            name = told.get("grade_id") if isinstance(told, Mapping) else None
            if not isinstance(name, str) or name not in known or name in seen:
                self.log.warning(
                    "%s: a cell says that it is %r, which is no cell or one too many", where["student"], name
                )
                continue
            seen.add(name)
            cell.metadata["nbgrader"] = from_dict(known[name])  # type: ignore[no-untyped-call]
        return nb, resources


def _known(notebook: Any) -> dict[str, dict[str, Any]]:
    """What nbgrader noted of each cell when the assignment was generated, in the form of its metadata."""
    graded = {cell.name: cell.max_score for cell in (*notebook.grade_cells, *notebook.task_cells)}
    grades = {cell.name for cell in notebook.grade_cells}
    solutions = {cell.name for cell in notebook.solution_cells}
    tasks = {cell.name for cell in notebook.task_cells}
    found = {}
    for cell in notebook.source_cells:
        name = cell.name
        facts = {"schema_version": SCHEMA, "grade_id": name, "locked": cell.locked, "cell_type": cell.cell_type}
        facts |= {"grade": name in grades, "solution": name in solutions, "task": name in tasks}
        facts |= {"checksum": cell.checksum} if cell.checksum else {}
        facts |= {"points": graded[name]} if name in graded else {}
        found[name] = facts
    return found
