"""Lays the pristine stub, or one pristine task, where the student's work is. What was there is backed up first."""

from __future__ import annotations

import ast
import io
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Assignment, Course, Task
from autograder.errors import AutograderError, CourseError, SubmissionError
from autograder.files import in_words, write_whole

PRISTINE = ".stub.py"


@dataclass(frozen=True)
class Reset:
    """What was done: where the work is kept now, and which files were reset. No backup: there was nothing to reset."""

    backup: Path | None
    files: tuple[Path, ...]


def reset(course: Course, assignment: Assignment, task: Task | None = None) -> Reset:
    """Backs up, then resets the whole assignment or only `task`. A notebook moves into the backup with the rest."""
    stub = pristine(assignment)
    there = [path for path in (assignment.module_path, assignment.notebook_path) if path.is_file()]
    if task is None:
        fresh = stub
        if there == [assignment.module_path] and _text(assignment.module_path) == stub:
            return Reset(None, ())
    else:
        _refuse_beside_a_notebook(assignment)
        fresh = with_task_reset(_module_text(assignment), stub, task, assignment)
        there = [assignment.module_path]
    backup = back_up(course, assignment, there) if there else None
    write_whole(assignment.module_path, fresh.encode())
    if task is None and assignment.notebook_path.is_file():
        assignment.notebook_path.unlink()
    return Reset(backup, tuple(there) or (assignment.module_path,))


def pristine(assignment: Assignment) -> str:
    """The stub as it was released."""
    path = assignment.folder / PRISTINE
    text = _text(path)
    if text is None:
        raise CourseError(
            f"the pristine stub of {assignment.short} is missing; nothing was changed",
            where=str(path),
            mend=f"autograder release    (or: git checkout -- {path.relative_to(assignment.root)})",
        )
    return text


def back_up(course: Course, assignment: Assignment, files: list[Path]) -> Path:
    """Copies `files` to a new folder under the state folder. Raises, with nothing changed, where that fails."""
    parent = course.state / "backups" / assignment.id
    name = time.strftime("%Y-%m-%d_%H-%M-%S")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = next(f for n in range(1000) if not (f := parent / (f"{name}_{n}" if n else name)).exists())
        folder.mkdir()
        for path in files:
            shutil.copy2(path, folder / path.name)
    except OSError as error:
        raise in_words(error, Path(error.filename or parent)) from error
    return folder


def _refuse_beside_a_notebook(assignment: Assignment) -> None:
    if assignment.notebook_path.is_file():
        raise SubmissionError(
            "one task is reset in the module only, and there is a notebook of it",
            where=str(assignment.notebook_path),
            mend=f"autograder reset {assignment.short}    resets all of it (with a backup)",
        )


def with_task_reset(text: str, stub: str, task: Task, assignment: Assignment) -> str:
    """`text` with the function or class of `task` as it stands in the stub."""
    whole = f"autograder reset {assignment.short}    resets the whole file (with a backup)"
    try:
        mine, fresh = _span(text, task.name), _span(stub, task.name)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        where = f"{assignment.module_path}{line}"
        raise SubmissionError(
            "one task cannot be reset: the file is not Python now", where=where, mend=whole
        ) from error
    if mine is None or fresh is None:
        raise SubmissionError(
            f"there is no {task.name} in the file to reset", where=str(assignment.module_path), mend=whole
        )
    ours, theirs = _lines(text), _lines(stub)
    return "".join(ours[: mine[0]] + theirs[fresh[0] : fresh[1]] + ours[mine[1] :])


def _span(text: str, name: str) -> tuple[int, int] | None:
    """First and past-the-last line of the top-level function or class `name` (the last of that name), decorated."""
    for node in reversed(ast.parse(text).body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return first - 1, node.end_lineno or node.lineno
    return None


def _lines(text: str) -> list[str]:
    """Lines as Python counts them (str.splitlines also cuts at form feeds and the like)."""
    return io.StringIO(text, newline="").readlines()


def _module_text(assignment: Assignment) -> str:
    text = _text(assignment.module_path)
    if text is None:
        mend = f"autograder reset {assignment.short}    lays a fresh one"
        raise SubmissionError(f"{assignment.module_path.name} is missing", where=str(assignment.folder), mend=mend)
    return text


def _text(path: Path) -> str | None:
    """The file's text, None where there is none."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return ""
    except OSError as error:
        raise AutograderError(f"{path.name} cannot be read: {error.strerror}", where=str(path)) from error
