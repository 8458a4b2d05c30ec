"""Reads what a student handed in: a module, or the notebook form of it. Never runs it, never changes it."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autograder.course import STATE_FOLDER, Assignment
from autograder.errors import SubmissionError

Form = Literal["py", "ipynb"]

LARGEST = 4 * 1024 * 1024
"""A source file larger than this is no source file."""


@dataclass(frozen=True)
class Submission:
    """The text that is graded, and its hash."""

    text: str
    path: Path
    form: Form
    release: str = ""
    """Release that the stub under it says it came from; "" where it no longer says so."""

    @property
    def sha256(self) -> str:
        return f"{self.form}:{hashlib.sha256(self.text.encode()).hexdigest()}"

    def tree(self) -> ast.Module:
        """The syntax tree. Raises NotPython where there is none."""
        try:
            return ast.parse(self.text, filename=self.path.name)
        except SyntaxError as error:
            from autograder.sandbox.blame import Blame  # only here: the board reads submissions too, without numpy

            raise NotPython(Blame(self.path.name).broken(error).message) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise NotPython(f"Python cannot read {self.path.name}: {type(error).__name__}.") from error


class NotPython(Exception):
    """The text is no Python: said before anything is started, in words made here."""


def read_submission(assignment: Assignment, form: Form | None = None) -> Submission:
    """The live form of the student's work in the assignment's folder, or the one asked for.

    A notebook is made on demand from the module; once it is there, the state folder records what both looked like when
    they agreed. If only one has changed since, that one is live; if both have, the student decides.
    """
    chosen = form or live_form(assignment)
    path = assignment.module_path if chosen == "py" else assignment.notebook_path
    text = read_text(path, mend=f"autograder reset {assignment.short}    lays a fresh stub")
    release = began_as(text, assignment.id, chosen)
    if chosen == "ipynb":
        text = notebook_source(text, path)
    return Submission(text, path, chosen, release)


def began_as(text: str, assignment: str, form: Form) -> str:
    """The release that a file began as: it stands in the head of a module, or among a notebook's metadata."""
    release = _stamped(rf"\({re.escape(assignment)}, release ([0-9a-f]{{6,64}})\)", text)
    return release or (_stamped(r'"release": *"([0-9a-f]{6,64})"', text) if form == "ipynb" else "")


def _stamped(mark: str, text: str) -> str:
    """The release in the head of a module, or among a notebook's metadata; "" where there is none."""
    found = re.search(mark, text)
    return found[1] if found else ""


def live_form(assignment: Assignment) -> Form:
    """Which form is live. Raises SubmissionError, naming both, where both were edited."""
    module, notebook = assignment.module_path, assignment.notebook_path
    if not notebook.is_file():
        return "py"
    if not module.is_file():
        return "ipynb"
    agreed = _agreed(assignment)
    module_edited = digest(module) != agreed.get("py_sha")
    if module_edited and _notebook_edited(notebook, agreed):
        raise SubmissionError(
            f"both {module.name} and {notebook.name} were edited, so it is not clear which one to grade",
            where=str(assignment.folder),
            mend=f"autograder check {assignment.short} --form py    (or --form ipynb)",
        )
    return "py" if module_edited else "ipynb"


def _notebook_edited(notebook: Path, agreed: dict[str, str]) -> bool:
    """Whether the code that is graded was edited. Cells that ran, their outputs and prose change nothing of it."""
    return digest(notebook) != agreed.get("ipynb_sha") and graded_code(notebook) != agreed.get("graded_sha", "")


def graded_code(notebook: Path) -> str | None:
    """Hash of what is graded of a notebook; None where it cannot be read."""
    try:
        source = notebook_source(read_text(notebook, mend=""), notebook)
    except SubmissionError:
        return None
    return hashlib.sha256(source.encode()).hexdigest()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def forms_file(assignment: Assignment) -> Path:
    """Where it is recorded what both forms looked like when they agreed."""
    return assignment.root / STATE_FOLDER / "forms" / f"{assignment.id}.json"


def read_text(path: Path, mend: str) -> str:
    """The file as text. Raises SubmissionError where it is missing, huge or not UTF-8."""
    try:
        if path.stat().st_size > LARGEST:
            raise SubmissionError(f"{path.name} is larger than {LARGEST // 2**20} MB", where=str(path), mend=mend)
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SubmissionError(f"{path.name} is missing", where=str(path), mend=mend) from error
    except UnicodeDecodeError as error:
        raise SubmissionError(
            f"{path.name} is not UTF-8 text ({error.reason} at byte {error.start})",
            where=str(path),
            mend="save it as UTF-8 in your editor",
        ) from error
    except OSError as error:
        raise SubmissionError(f"{path.name} cannot be read: {error.strerror}", where=str(path), mend=mend) from error


def notebook_source(text: str, path: Path) -> str:
    """The code of a notebook's cells in order, with each cell's lines kept; magics and shell lines become comments."""
    try:
        data = json.loads(text)
        cells = [cell for cell in data["cells"] if cell["cell_type"] == "code"]
        sources = [_cell_source(cell) for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SubmissionError(
            f"{path.name} is no notebook that can be read ({type(error).__name__}: {error})",
            where=str(path),
            mend="autograder notebook makes a fresh one from the module; the damaged file is kept",
        ) from error
    return "\n\n".join(source for source in sources if source.strip()) + "\n"


MAGIC = re.compile(r"^\s*[%!?]|^\s*\w+\s*\?\??\s*$")


def _cell_source(cell: dict[str, Any]) -> str:
    if cell.get("metadata", {}).get("autograder", {}).get("role") == "check":
        return ""
    source = cell["source"]
    lines = (source if isinstance(source, str) else "".join(source)).splitlines()
    if lines and lines[0].startswith("%%"):
        return "\n".join(f"# {line}" for line in lines)
    return "\n".join(f"# {line}" if MAGIC.match(line) else line for line in lines)


def _agreed(assignment: Assignment) -> dict[str, str]:
    try:
        data = json.loads(forms_file(assignment).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return data if isinstance(data, dict) else {}
