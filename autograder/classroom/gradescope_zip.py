"""Gradescope zips: one an assignment, with all that grading it takes; the instructor's, never a student's.

At the root of each lie setup.sh, which builds the image, and run_autograder, which grades one submission; below them a
course of that one assignment with its hidden tests, and the engine. The private overlay of a class goes along.

What it stops: a zip among the files that students get, one that replaces something else. What it does not: somebody who
is given the zip.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from autograder.authoring.manifest import Manifest
from autograder.authoring.release import RELEASED, built
from autograder.authoring.staging import OnAssignment
from autograder.classroom.kit import check_outside, engine_files, staged_course
from autograder.course import COMMON, COURSE_FILE, MANIFEST_FILE, Assignment, Course
from autograder.errors import ReleaseError
from autograder.files import disk_in_words, fingerprint, write_whole
from autograder.grading.private import SECRET_FILE, private_folder

MARK = b"autograder: a Gradescope zip with hidden tests; for instructors only"
"""The comment of every zip made here: one with another comment is never replaced."""

_EPOCH = (2020, 1, 1, 0, 0, 0)

SETUP = """\
#!/usr/bin/env bash
# Builds the image, once: Python, the sandbox, and the pinned packages. Choose Ubuntu 24.04 as the base image.
# AUTOGRADER_PYTHON names a Python that has the packages already; AUTOGRADER_BASE another place than /autograder.
set -euo pipefail
BASE="${AUTOGRADER_BASE:-/autograder}"
if [ -n "${AUTOGRADER_PYTHON:-}" ]; then exit 0; fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends python3 python3-venv bubblewrap
cd "$BASE/source"
python3 autograder/bootstrap.py core
"""

RUN = """\
#!/usr/bin/env bash
# Grades what is in submission/ and writes results/results.json.
# HIDDEN says who sees the hidden tests' sentences and reasons: visible, after_due_date, after_published or hidden.
HIDDEN="${AUTOGRADER_HIDDEN:-visible}"
BASE="${AUTOGRADER_BASE:-/autograder}"
PYTHON="${AUTOGRADER_PYTHON:-$BASE/source/.venv/bin/python}"
for folder in solutions private; do
  if [ -d "$BASE/source/$folder" ]; then chmod -R go= "$BASE/source/$folder"; fi
done
cd "$BASE/source" || exit 2
exec "$PYTHON" -m autograder gradescope "$BASE" --hidden "$HIDDEN"
"""

README = "One assignment with its hidden tests, for Gradescope. For instructors only.\n"


def write_zips(root: Path, folder: Path, *, on_assignment: OnAssignment | None = None) -> tuple[Path, ...]:
    """Writes `folder/aNN_name.zip` for every assignment of the course at `root`; returns where they are."""
    root, folder = root.resolve(), folder.expanduser().absolute()
    check_outside(root, folder)
    released, _ = built(root, on_assignment)
    course = staged_course(released)
    for assignment in course:
        _check_ours(folder / f"{assignment.id}.zip")
    engine = engine_files(root)
    paths = []
    for assignment in course:
        files = {**engine, **course_files(root, course, assignment, released)}
        write_whole(folder / f"{assignment.id}.zip", packed(files))
        paths.append(folder / f"{assignment.id}.zip")
    return tuple(paths)


def course_files(root: Path, course: Course, assignment: Assignment, released: Mapping[str, bytes]) -> dict[str, bytes]:
    """A course of one assignment and those whose modules it imports, authors' files and overlay included."""
    earlier = [name.partition(".")[0] for name in assignment.builds_on]
    kept = [one.id for one in course if one.id in (*earlier, assignment.id)]
    files = {f"{RELEASED}/{name}": data for name, data in released.items() if name.split("/")[0] in (*kept, COMMON)}
    files[f"{RELEASED}/{COURSE_FILE}"] = _json(_plan(course, kept))
    hashes = {name.removeprefix(f"{RELEASED}/"): fingerprint(data) for name, data in files.items()}
    files[f"{RELEASED}/{MANIFEST_FILE}"] = Manifest({}).with_released(hashes).text().encode()
    solutions = root / "solutions"
    files |= _tree(solutions / assignment.id, f"solutions/{assignment.id}")
    for name in earlier:
        files[f"solutions/{name}/source.py"] = (solutions / name / "source.py").read_bytes()
    files |= _private_files(root, assignment)
    return files


def packed(files: Mapping[str, bytes]) -> bytes:
    """The zip's bytes: the same files give the same bytes."""
    everything = {
        **files, "setup.sh": SETUP.encode(), "run_autograder": RUN.encode(), "README.md": README.encode(),
    }  # fmt: skip
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = MARK
        for name, content in sorted(everything.items()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = (0o755 if name in ("setup.sh", "run_autograder") else 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return data.getvalue()


def _plan(course: Course, kept: list[str]) -> dict[str, object]:
    months = [replace(m, assignments=tuple(name for name in m.assignments if name in kept)) for m in course.months]
    shown = [{"id": m.id, "title": m.title, "assignments": list(m.assignments)} for m in months if m.assignments]
    return {"title": course.title, "months": shown}


def _private_files(root: Path, assignment: Assignment) -> dict[str, bytes]:
    """The class's overlay of this assignment and its secret, and a course.toml that names them."""
    folder = private_folder(root)
    if folder is None:
        return {}
    files = _tree(folder / assignment.id, f"private/{assignment.id}")
    if (folder / SECRET_FILE).is_file():
        files[f"private/{SECRET_FILE}"] = (folder / SECRET_FILE).read_bytes()
    files |= {} if files else {"private/none.txt": b"the overlay holds nothing for this assignment\n"}
    return {**files, "solutions/course.toml": b'private = "private"\n'}


def _tree(folder: Path, name: str) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def _json(data: object) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode()


def _check_ours(path: Path) -> None:
    """Refuses to replace a file that was not made here."""
    with disk_in_words(path):
        if not path.exists() and not path.is_symlink():
            return
        try:
            with zipfile.ZipFile(path) as archive:
                ours = archive.comment == MARK and not path.is_symlink()
        except (zipfile.BadZipFile, IsADirectoryError):
            ours = False
    if not ours:
        problem = f"{path.name} is there already and was not made by this command, so it is left as it is"
        raise ReleaseError(problem, where=str(path), mend="name another folder, or move that file away")
