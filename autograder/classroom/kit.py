"""The student kit: a folder with all that a student needs, and nothing of solutions/ in it.

Everything is made anew from the sources, so what somebody typed into assignments/ here does not travel. What goes
into a kit is listed in this file: the released assignments, the reading pages, the engine, and a few files of its
own. A kit that is released into again follows the rule of every release: untouched files are updated, an edited one
stays and the new version is laid beside it as NAME.new.

What it stops: a solution, a hidden test or a mistake that slips in, a folder of something else that is overwritten.
What it does not: an author who writes a solution into a handout.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import autograder
from autograder.authoring.manifest import Manifest
from autograder.authoring.release import RELEASED, ReleaseResult, built, install
from autograder.authoring.staging import OnAssignment
from autograder.classroom import kit_text
from autograder.classroom.reading import mended, reading_pages
from autograder.course import COURSE_FILE, Course
from autograder.errors import EnvironmentProblem, ReleaseError
from autograder.files import disk_in_words, fingerprint, write_whole

KIT_FILE = ".kit.json"
"""Beside README.md: the manifest of everything in a kit that is not in assignments/."""

WORKFLOW_FILE = ".github/workflows/classroom.yml"
_ANOTHER = "name an empty folder, or one that does not exist yet"
_OURS = ("solutions", RELEASED, "autograder", "docs", "tests", "benchmarks", ".git")


def write_kit(
    root: Path, folder: Path, *, workflow: bool = False, on_assignment: OnAssignment | None = None
) -> ReleaseResult:
    """Releases the course at `root` as a student kit in `folder`; with `workflow`, as a template for a code host."""
    root, folder = root.resolve(), folder.expanduser().absolute()
    check_place(root, folder)
    released, notes = built(root, on_assignment)
    course = staged_course(released)
    _same_course(folder, course)
    files = kit_files(root, course, released)
    if workflow:
        files[WORKFLOW_FILE] = kit_text.workflow(course).encode()
    _no_detours(folder, [*files, *(f"{RELEASED}/{name}" for name in released)])
    before = _manifest(folder)
    known = {*files, *(f"{RELEASED}/{name}" for name in released)}
    handouts = {name: _mended_handout(name, data, known) for name, data in released.items()}
    first = install(files, folder, notes, KIT_FILE)
    _remove_dropped(folder, before, files)
    second = install(handouts, folder / RELEASED)
    return ReleaseResult(
        written=(*first.written, *_inside(second.written)),
        laid=(*first.laid, *_inside(second.laid)),
        kept=(*first.kept, *_inside(second.kept)),
        same=first.same + second.same,
        advice=(*first.advice, *second.advice),
    )


def kit_files(root: Path, course: Course, released: Mapping[str, bytes]) -> dict[str, bytes]:
    """Everything of a kit but assignments/."""
    pages = reading_pages(root, released)
    texts = {
        "README.md": kit_text.readme(course, pages),
        "AGENTS.md": kit_text.agents(course),
        "Makefile": kit_text.MAKEFILE,
        ".gitignore": kit_text.GITIGNORE,
    }
    return {**{name: text.encode() for name, text in texts.items()}, **pages, **engine_files(root)}


def engine_files(root: Path) -> dict[str, bytes]:
    """The engine and what installs it: the course's own pyproject.toml and pins, or those of the engine's checkout."""
    engine = Path(autograder.__file__).parent
    home = root if (root / "pyproject.toml").is_file() else engine.parent
    if not (home / "pyproject.toml").is_file():
        raise EnvironmentProblem(
            "the engine here is installed without its checkout, so there is no pyproject.toml to give to students",
            where=str(home),
            mend=f"put pyproject.toml and constraints.txt into {root}, or install the engine with pip install -e",
        )
    found = {"pyproject.toml": home / "pyproject.toml"}
    found |= {path.name: path for path in sorted([*home.glob("constraints*.txt"), *home.glob("LICEN[CS]E*")])}
    for path in sorted(engine.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix in (".py", ".css"):
            found[f"autograder/{path.relative_to(engine).as_posix()}"] = path
    return {name: path.read_bytes() for name, path in found.items()}


def staged_course(released: Mapping[str, bytes]) -> Course:
    """The course that these released files make."""
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        for name, data in released.items():
            if name.endswith(".json"):
                write_whole(Path(folder) / RELEASED / name, data)
        return Course.load(Path(folder))


def check_outside(root: Path, folder: Path) -> None:
    """Refuses a folder in which the course itself lives, and what is no folder."""
    with disk_in_words(folder):
        real = folder.resolve()
        inside = real.relative_to(root).parts[:1] if real.is_relative_to(root) else ()
        if root.is_relative_to(real) or (inside and inside[0] in _OURS):
            raise ReleaseError("that is where the course itself is: it is kept apart", where=str(folder), mend=_ANOTHER)
        if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
            raise ReleaseError(f"{folder.name} is no folder", where=str(folder), mend=_ANOTHER)


def check_place(root: Path, folder: Path) -> None:
    """Refuses a folder that holds something else, or that the course itself lives in."""
    check_outside(root, folder)
    mend = _ANOTHER
    with disk_in_words(folder):
        if not folder.exists():
            return
        there = sorted(path.name for path in folder.iterdir() if path.name != ".git")
    if "solutions" in there:
        raise ReleaseError("that folder holds solutions/: it is no student kit", where=str(folder), mend=mend)
    if there and KIT_FILE not in there:
        some = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
        raise ReleaseError(
            f"that folder holds something else ({some}), so nothing was written", where=str(folder), mend=mend
        )


def _same_course(folder: Path, course: Course) -> None:
    """A kit of another course is something else, too."""
    path = folder / RELEASED / COURSE_FILE
    if not path.is_file():
        return
    try:
        title = json.loads(path.read_text(encoding="utf-8"))["title"]
    except (ValueError, KeyError, TypeError):
        title = ""
    if title != course.title:
        problem = f"that folder is the kit of another course ({title or 'a damaged one'})"
        raise ReleaseError(problem, where=str(folder), mend=_ANOTHER)


def _no_detours(folder: Path, names: list[str]) -> None:
    """A link among the kit's folders would lead what is written to somewhere else."""
    for parent in sorted({parent for name in names for parent in Path(name).parents if parent != Path()}):
        if (folder / parent).is_symlink():
            mend = f"rm {folder / parent}    then the same again"
            raise ReleaseError("a folder of the kit is a link to another place", where=str(folder / parent), mend=mend)


def _manifest(folder: Path) -> Manifest:
    path = folder / KIT_FILE
    return Manifest.parse(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else Manifest({})


def _remove_dropped(folder: Path, before: Manifest, files: Mapping[str, bytes]) -> None:
    """Takes away what an earlier release laid here, nobody edited and this one no longer has: an old module, say."""
    for name in before.versions:
        path = folder / name
        if name in files or path.is_symlink() or not path.is_file():
            continue
        with disk_in_words(path):
            if before.knows(name, fingerprint(path.read_bytes())):
                path.unlink()


def _mended_handout(name: str, data: bytes, known: set[str]) -> bytes:
    """A handout whose links to pages that are not in the kit are words."""
    if not name.endswith("/README.md"):
        return data
    return mended(f"{RELEASED}/{name}", data.decode(), known).encode()


def _inside(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{RELEASED}/{name}" for name in names)
