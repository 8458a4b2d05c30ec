"""Releases a course: from `solutions/` to what students receive in `assignments/`.

Everything is built in a temporary folder first, so an author's error changes nothing. Then every file that is absent or
untouched since some release is replaced; an edited one stays as it is, and what is new is laid beside it as
`attention.py.new`. With `check` the same build is compared with what is committed, and nothing changes.

What it stops: an overwritten answer, a half-written file, a course whose sources and released files disagree. What it
does not: somebody who edits the manifest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autograder.authoring.committed import committed_files
from autograder.authoring.manifest import Manifest, Verdict
from autograder.authoring.staging import OnAssignment, stage
from autograder.course import DIAGNOSIS_FILE, MANIFEST_FILE
from autograder.files import disk_in_words, fingerprint, write_whole
from autograder.grading.diagnosis import same_record

RELEASED = "assignments"
NEW = ".new"


@dataclass(frozen=True)
class ReleaseResult:
    """What a release did, or what a check found. Files are named as in the manifest: "a02_attention/README.md"."""

    written: tuple[str, ...] = ()
    laid: tuple[str, ...] = ()
    """Edited files that now have the new version beside them, as NAME.new."""
    kept: tuple[str, ...] = ()
    """Edited files whose newest version was laid beside them before."""
    same: int = 0
    """How many files were up to date."""
    differs: tuple[str, ...] = ()
    """Check only: "file: why" for each committed file that a release would not leave so."""
    edited: tuple[str, ...] = ()
    """Check only: committed files that somebody edited after the newest release: theirs, and no fault."""
    advice: tuple[str, ...] = ()
    """One line each."""

    @property
    def clean(self) -> bool:
        return not self.differs


def release(root: Path, *, check: bool = False, on_assignment: OnAssignment | None = None) -> ReleaseResult:
    """Releases the course at `root`; with `check`, compares a release with git's HEAD and writes nothing."""
    root = root.resolve()
    fresh, notes = built(root, on_assignment)
    if check:
        return _compare(fresh, committed_files(root, RELEASED), notes)
    return install(fresh, root / RELEASED, notes)


def built(root: Path, on_assignment: OnAssignment | None = None) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """What a release would write, by path in `assignments/`, and notes for the author."""
    with disk_in_words(Path(tempfile.gettempdir())):
        temporary = tempfile.TemporaryDirectory(prefix="release-")
    with temporary as folder:
        notes = stage(root, Path(folder), on_assignment)
        return _read(Path(folder) / RELEASED), notes


def _read(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def install(
    fresh: Mapping[str, bytes], folder: Path, notes: tuple[str, ...] = (), manifest_file: str = MANIFEST_FILE
) -> ReleaseResult:
    """Lays new versions beside edited files, then notes the release, then replaces: cut short, it can be run again."""
    path = folder / manifest_file
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    manifest = Manifest.parse(old, str(path)) if old else Manifest({})
    present = {name: file.read_bytes() for name in fresh if (file := folder / name).is_file()}
    fresh = {name: _settled(name, data, present.get(name)) for name, data in fresh.items()}
    hashes = {name: fingerprint(data) for name, data in fresh.items()}
    verdicts: dict[str, Verdict] = {
        name: manifest.judge(name, fingerprint(present[name]) if name in present else None, sha)
        for name, sha in hashes.items()
    }
    for name in _with(verdicts, "lay"):
        write_whole(folder / f"{name}{NEW}", fresh[name])
    new = manifest.with_released(hashes).text()
    if new != old:
        write_whole(path, new.encode())
    for name in _with(verdicts, "write"):
        write_whole(folder / name, fresh[name])
    _remove_stale(folder, _with(verdicts, "write", "same"), manifest.with_released(hashes))
    laid = _with(verdicts, "lay")
    advice = (*notes, *(_advice(name) for name in laid), *_left_over(manifest, fresh, folder))
    return ReleaseResult(
        _with(verdicts, "write"), laid, _with(verdicts, "keep"), len(_with(verdicts, "same")), advice=advice
    )


def _compare(fresh: Mapping[str, bytes], head: Mapping[str, bytes], notes: tuple[str, ...]) -> ReleaseResult:
    """What is committed against what a release would make of today's sources."""
    manifest = Manifest({})
    if MANIFEST_FILE in head:
        manifest = Manifest.parse(head[MANIFEST_FILE].decode("utf-8", "replace"), f"HEAD:{RELEASED}/{MANIFEST_FILE}")
    differs: list[str] = []
    edited: list[str] = []
    for name, data in fresh.items():
        committed = head.get(name)
        sha = fingerprint(_settled(name, data, committed))
        if committed is None:
            differs.append(f"{name}: not committed")
        elif fingerprint(committed) != sha and manifest.newest(name) == sha and not _known(manifest, name, committed):
            edited.append(name)
        elif fingerprint(committed) != sha:
            differs.append(f"{name}: not what its source says now")
        elif manifest.newest(name) != sha:
            differs.append(f"{name}: not in the manifest {MANIFEST_FILE}")
    gone = [name for name in manifest.versions if name in head and name not in fresh]
    differs += [f"{name}: no longer released" for name in gone]
    advice = (*notes, "autograder release, then commit assignments/") if differs else notes
    same = len(fresh) - len(differs) - len(edited) + len(gone)
    return ReleaseResult(same=same, differs=tuple(sorted(differs)), edited=tuple(edited), advice=advice)


def _known(manifest: Manifest, name: str, data: bytes) -> bool:
    return manifest.knows(name, fingerprint(data))


def _settled(name: str, data: bytes, present: bytes | None) -> bytes:
    """A record of mistakes' answers that says the same as the present one is the present one: last digits differ."""
    if present is None or not name.endswith(DIAGNOSIS_FILE):
        return data
    return present if same_record(present, data) else data


def _with(verdicts: Mapping[str, Verdict], *wanted: Verdict) -> tuple[str, ...]:
    return tuple(name for name, verdict in verdicts.items() if verdict in wanted)


def _remove_stale(folder: Path, names: Iterable[str], manifest: Manifest) -> None:
    """A `.new` beside a file that is now the newest release has served, if nobody wrote into it."""
    for name in names:
        laid = folder / f"{name}{NEW}"
        if laid.is_file() and _known(manifest, name, laid.read_bytes()):
            with disk_in_words(laid):
                laid.unlink()


def _advice(name: str) -> str:
    return f"{name} was edited and stays; the new version is {name}{NEW}: merge what you want, then delete that"


def _left_over(manifest: Manifest, fresh: Mapping[str, bytes], folder: Path) -> tuple[str, ...]:
    gone = {name.split("/")[0] for name in manifest.versions if name not in fresh and (folder / name).is_file()}
    return tuple(
        f"{RELEASED}/{name} holds files that are no longer released; delete them if you want" for name in sorted(gone)
    )
