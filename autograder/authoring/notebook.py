"""Makes the notebook form of a student's module, and brings a notebook's work back into the module.

The state folder records what both forms looked like when they last agreed. Whatever was edited since is never
overwritten unless the student says so, and then a copy is kept in the state folder's backups.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from autograder.authoring.percent import Notebook, to_module, to_notebook
from autograder.authoring.render_notebook import notebook_json
from autograder.course import STATE_FOLDER, Assignment
from autograder.errors import CourseError, SubmissionError
from autograder.files import disk_in_words, sha256, write_whole
from autograder.grading.submission import digest, forms_file, graded_code, read_text

NOTEBOOK_FILE = ".notebook.json"


def make_notebook(assignment: Assignment, *, replace: bool = False) -> Path:
    """Writes the notebook form of the module as it is now, and returns where it is.

    A notebook that is there stays if the module has not changed since the two agreed. If both have, this is refused,
    unless `replace` says that the module goes before; the notebook is then kept in a backup.
    """
    path, template = assignment.notebook_path, _template(assignment)
    back = f"autograder notebook {assignment.short} --back    brings {path.name} into {assignment.module_path.name}"
    if not assignment.module_path.is_file() and not path.is_file():
        back = f"autograder reset {assignment.short}    lays a fresh stub"
    text = read_text(assignment.module_path, mend=back)
    made = to_notebook(text, template)
    if path.is_file():
        known, theirs = _agreed(assignment), _read_notebook(path)
        code = to_module(theirs, template)
        if digest(assignment.module_path) == known.get("py_sha") or _same_code(code, text):
            _agree(assignment, "ipynb", code)
            return path
        if _hash(code) != known.get("code_sha") and not replace:
            raise _both(assignment)
        _back_up(assignment, path)
    write_whole(path, notebook_json(made).encode())
    _agree(assignment, "ipynb", to_module(made, template))
    return path


def back_to_module(assignment: Assignment, *, replace: bool = False) -> Path:
    """Writes the notebook's work into the module, and returns where that is.

    If both were edited since they agreed, this is refused, unless `replace` says that the notebook goes before; the
    module is then kept in a backup.
    """
    path, template = assignment.module_path, _template(assignment)
    text = to_module(_read_notebook(assignment.notebook_path), template)
    if path.is_file():
        known, mine = _agreed(assignment), read_text(path, mend="")
        if _hash(text) == known.get("code_sha") or _same_code(text, mine):
            return path
        if digest(path) != known.get("py_sha") and not replace:
            raise _both(assignment)
        _back_up(assignment, path)
    write_whole(path, text.encode())
    _agree(assignment, "py", text)
    return path


def _agree(assignment: Assignment, live: str, code: str) -> None:
    """Records that the two forms say the same now, and which one the student works in."""
    data = {
        "live": live,
        "py_sha": digest(assignment.module_path),
        "ipynb_sha": digest(assignment.notebook_path),
        "graded_sha": graded_code(assignment.notebook_path),
        "code_sha": _hash(code),
    }
    write_whole(forms_file(assignment), (json.dumps(data, indent=1) + "\n").encode())


def _agreed(assignment: Assignment) -> dict[str, Any]:
    try:
        data = json.loads(forms_file(assignment).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _template(assignment: Assignment) -> Notebook:
    path = assignment.folder / NOTEBOOK_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {**data, "cells": list(data["cells"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(
            f"the released notebook of {assignment.short} is missing or damaged",
            where=str(path),
            mend=f"autograder release    (or: git checkout -- assignments/{assignment.id}/{NOTEBOOK_FILE})",
        ) from error


def _read_notebook(path: Path) -> Notebook:
    mend = f"rename it, and autograder notebook makes a fresh one from {path.stem}.py"
    text = read_text(path, mend=mend if path.is_file() else "autograder notebook makes one from the module")
    try:
        data = json.loads(text)
        if not all({"cell_type", "metadata", "source"} <= set(cell) for cell in data["cells"]):
            raise KeyError("metadata")
        return {"metadata": {}, **data}
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{path.name} is no notebook that can be read ({type(error).__name__}: {error})"
        raise SubmissionError(problem, where=str(path), mend=mend) from error


def _both(assignment: Assignment) -> SubmissionError:
    module, notebook, verb = assignment.module_path.name, assignment.notebook_path.name, f"notebook {assignment.short}"
    return SubmissionError(
        f"both {module} and {notebook} were edited, and they differ",
        where=str(assignment.folder),
        mend=f"autograder {verb} --replace    takes {module}, and backs {notebook} up\n"
        f"         autograder {verb} --back --replace    takes {notebook}, and backs {module} up",
    )


def _back_up(assignment: Assignment, path: Path) -> Path:
    """A copy of the file in the state folder, under the time of day."""
    parent = assignment.root / STATE_FOLDER / "backups" / assignment.id
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    names = (stamp if not number else f"{stamp}_{number}" for number in range(1000))
    folder = next(parent / name for name in names if not (parent / name).exists())
    with disk_in_words(folder):
        data = path.read_bytes()
    write_whole(folder / path.name, data)
    return folder / path.name


def _same_code(one: str, other: str) -> bool:
    """Whether two modules differ in blank lines and line ends at most."""
    return _solid(one) == _solid(other)


def _solid(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def _hash(code: str) -> str:
    return sha256("\n".join(_solid(code)).encode())
