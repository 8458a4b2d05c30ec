"""Writes a course as nbgrader keeps one: a config, and each assignment with its answers in marked regions.

What a folder in `source/` holds, all of which nbgrader hands to its students: the notebook, whose answers
`generate_assignment` takes out, and `.course`, the released files that `check(...)` needs in a student's notebook.
Hidden tests, mistakes and alternatives stay where they are; grading finds them by the path in `nbgrader_config.py`.

What it stops: a file that somebody edited here being written over, and an unreleased file of the course coming along.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.authoring.manifest import Manifest, Verdict
from autograder.authoring.plan import Plan, read_plan
from autograder.authoring.render import as_json
from autograder.authoring.render_notebook import lines, notebook, notebook_json
from autograder.authoring.source import read_source
from autograder.classroom.names import notebook_name
from autograder.classroom.nbgrader_config import config_text
from autograder.course import ASSIGNMENT_FILE, COMMON, COURSE_FILE, MANIFEST_FILE, Assignment, Course
from autograder.errors import ReleaseError
from autograder.files import fingerprint, write_whole
from autograder.learner.fetched import COURSE_FOLDER

SOURCE = "source"
CONFIG = "nbgrader_config.py"
WRITTEN = ".written.json"
NEWER = ".newer"
"""Where the new version of an edited file is laid: outside `source/`, so that it is not released."""


@dataclass(frozen=True)
class TreeResult:
    """What was written, and which edited files have their new version laid in `.newer/`."""

    written: tuple[str, ...]
    laid: tuple[str, ...]
    same: int


def write_course_tree(course: Course, folder: Path) -> TreeResult:
    """Writes the nbgrader course of `course` to `folder`. It can be done again: files that were edited there stay."""
    plan = read_plan(course.root)
    folder = folder.resolve()
    if (folder / SOURCE).is_dir() and not (folder / WRITTEN).is_file():
        raise ReleaseError(
            "there is a course of nbgrader's already, and it is not one that was written here",
            where=str(folder / SOURCE),
            mend="name a new folder",
        )
    fresh = {CONFIG: config_text(course, folder).encode()}
    for assignment in course:
        place = f"{SOURCE}/{assignment.id}"
        text = notebook_json(_with_answers(plan, assignment))
        fresh[f"{place}/{notebook_name(assignment)}.ipynb"] = text.encode()
        for name, data in released_course(course, assignment).items():
            fresh[f"{place}/{COURSE_FOLDER}/assignments/{name}"] = data
    return _install(fresh, folder)


def _with_answers(plan: Plan, assignment: Assignment) -> dict[str, Any]:
    """The notebook that students work in, with the author's answers in the regions that nbgrader clears."""
    source = read_source(plan.source_path(assignment.id), plan.overlay(assignment.id))
    answers = {cell.task: cell.text for cell in source.cells if cell.role == "code"}
    made = notebook(source)
    cells = []
    for cell in made["cells"]:
        ours = cell["metadata"]["autograder"]
        answer = answers[ours["task"]] if ours["role"] == "task" else None
        cells.append(cell if answer is None else {**cell, "source": lines(answer)})
    return {**made, "cells": cells}


def released_course(course: Course, assignment: Assignment) -> dict[str, bytes]:
    """A course of this one assignment, as released, by file below `assignments/`: what its public tests take."""
    root = course.root / "assignments"
    manifest = Manifest.parse((root / MANIFEST_FILE).read_text(encoding="utf-8"), str(root / MANIFEST_FILE))
    found: dict[str, bytes] = {}
    for name in _names(course, assignment, manifest):
        data = (root / name).read_bytes() if (root / name).is_file() else b""
        if not manifest.knows(name, fingerprint(data)):
            raise ReleaseError(
                "a released file is missing or was edited, so it cannot be handed out",
                where=str(root / name),
                mend="git checkout -- assignments    (or: autograder release)",
            )
        found[name] = data
    found[MANIFEST_FILE] = Manifest({name: manifest.versions[name] for name in found}).text().encode()
    inside = [other for other in course if other.id in {assignment.id, *_before(assignment)}]
    month = {"id": assignment.month, "title": course.title, "assignments": [other.id for other in inside]}
    found[COURSE_FILE] = as_json({"title": course.title, "months": [month]}).encode()
    return found


def _names(course: Course, assignment: Assignment, manifest: Manifest) -> Iterator[str]:
    """Released files: the assignment's but for the module that a student edits, shared ones, facts of earlier ones."""
    module = f"{assignment.id}/{assignment.module_path.name}"
    facts = {f"{before}/{ASSIGNMENT_FILE}" for before in _before(assignment)}
    for name in sorted(manifest.versions):
        whole = name.partition("/")[0] in (assignment.id, COMMON) and name != module
        if name in facts or (whole and (course.root / "assignments" / name).is_file()):
            yield name


def _before(assignment: Assignment) -> list[str]:
    return [name.partition(".")[0] for name in assignment.builds_on]


def _install(fresh: Mapping[str, bytes], folder: Path) -> TreeResult:
    """Writes what is absent or was never edited; lays the new version of what was into `.newer`."""
    path = folder / WRITTEN
    manifest = Manifest.parse(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else Manifest({})
    hashes = {name: fingerprint(data) for name, data in fresh.items()}
    verdicts: dict[str, Verdict] = {
        name: manifest.judge(name, _hash(folder / name), sha) for name, sha in hashes.items()
    }
    write_whole(path, manifest.with_released(hashes).text().encode())
    for name, verdict in verdicts.items():
        if verdict == "write":
            write_whole(folder / name, fresh[name])
        elif verdict == "lay":
            write_whole(folder / NEWER / name, fresh[name])
    return TreeResult(
        tuple(name for name, verdict in verdicts.items() if verdict == "write"),
        tuple(name for name, verdict in verdicts.items() if verdict in ("lay", "keep")),
        sum(verdict == "same" for verdict in verdicts.values()),
    )


def _hash(path: Path) -> str | None:
    return fingerprint(path.read_bytes()) if path.is_file() else None
