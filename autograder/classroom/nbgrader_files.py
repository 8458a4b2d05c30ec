"""The files beside a notebook in `source/`: nbgrader copies them to students as they are, so none may be unknown.

nbgrader clears solutions out of notebooks only. A `.py` file beside one goes out with its answers in it, and comes back
as the instructor's when the student's is graded; a file that only hidden tests read goes out too. So each file here has
to be one that the course released, or one that the config allows by name.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from pathlib import Path

from autograder.authoring.manifest import Manifest
from autograder.authoring.markers import BEGIN, MarkerProblem, first_marker, strip_solutions
from autograder.course import MANIFEST_FILE
from autograder.errors import AutograderError, ReleaseError
from autograder.files import fingerprint
from autograder.learner.fetched import COURSE_FOLDER

AUTHORS_FILES = ("source.py", "hidden_tests.py", "mistakes.py", "alternatives.py", "calibration.json", "course.toml")
SKIPPED = ("__pycache__", ".ipynb_checkpoints")
HIDDEN = "HIDDEN TESTS"


def student_files(source: Path) -> dict[str, list[str]]:
    """By assignment, the `.py` files with marked regions: a student edits them, and nbgrader must not write over."""
    found: dict[str, list[str]] = {}
    for folder in sorted(path for path in source.glob("*") if path.is_dir()):
        names = [name for name, path in files_beside(folder).items() if _is_stub_of_ours(name, path)]
        if names:
            found[folder.name] = names
    return found


def files_beside(folder: Path) -> dict[str, Path]:
    """Every file below `folder` but notebooks at its top, by its name there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_dir() or any(part in SKIPPED for part in name.parts):
            continue
        if len(name.parts) > 1 or path.suffix != ".ipynb":
            found[name.as_posix()] = path
    return found


def stubs_beside(folder: Path, allowed: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Checks every file beside the notebooks in `folder`; returns the stub of each that holds answers, by name.

    allowed: names or globs that the config lists. known: fingerprints of files of the course that must not go out, with
    what each is. Raises ReleaseError at the first file that students must not have.
    """
    released = _released(folder)
    stubs = {}
    for name, path in files_beside(folder).items():
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        if path.is_symlink():
            raise _refused(path, "a link would hand out whatever it points to", "put the file itself there")
        inside = name.removeprefix(f"{COURSE_FOLDER}/assignments/")
        if inside in released or inside == MANIFEST_FILE or name == f"{COURSE_FOLDER}/assignments/.course.json":
            if inside in released and fingerprint(data) not in released[inside]:
                raise _refused(path, "it is not as it was released", "autograder release --nbgrader lays it anew")
            continue
        if fingerprint(data) in known or path.name in AUTHORS_FILES:
            what = known.get(fingerprint(data), f"{path.name} is an author's file")
            raise _refused(path, f"{what}: students must never have it", "move it out of source/")
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in allowed):
            mend = f"c.StripSupportFiles.allowed = {{{folder.name!r}: [{name!r}]}}    in nbgrader_config.py, if so"
            raise _refused(path, "nothing says that students are to have this file", mend)
        stub = _stub(path, data)
        if stub is not None:
            stubs[name] = stub
    return stubs


def _stub(path: Path, data: bytes) -> str | None:
    """The text without its answers; None where there is nothing to take out."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if HIDDEN in text:
        raise _refused(path, "it holds hidden tests, and nbgrader takes those out of notebooks only", "move them out")
    if first_marker(text) is None:
        return None
    try:
        return strip_solutions(text)
    except MarkerProblem as problem:
        raise _refused(path, f"line {problem.line + 1}: {problem.problem}", problem.mend) from problem


def _is_stub_of_ours(name: str, path: Path) -> bool:
    if name.startswith(f"{COURSE_FOLDER}/") or path.suffix != ".py":
        return False
    return BEGIN in path.read_text(encoding="utf-8", errors="replace")


def _released(folder: Path) -> Mapping[str, tuple[str, ...]]:
    path = folder / COURSE_FOLDER / "assignments" / MANIFEST_FILE
    return Manifest.parse(path.read_text(encoding="utf-8"), str(path)).versions if path.is_file() else {}


def _refused(path: Path, problem: str, mend: str) -> AutograderError:
    return ReleaseError(f"{path.name} is not released: {problem}", where=str(path), mend=mend)
