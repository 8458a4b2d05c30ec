"""Walks what was handed in, folders and archives alike, as a list of files that can be read, and what cannot.

Archives are read in place: nothing is ever unpacked to disk, so a name that climbs out of its folder leads nowhere.
What it stops: links, devices, absolute and climbing names, encrypted entries, lists of entries too long to be honest,
bombs (a file is read up to the size of a source file, whatever it says of itself), archives nested too deep.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from autograder.errors import SubmissionError

MOST_FILES = 20_000
"""Entries of one archive."""
LARGEST_DIRECTORY = 8 * 2**20
"""Bytes of an archive's own list of entries."""
LARGEST_NESTED = 64 * 2**20
"""Bytes of an archive inside an archive: it is held in memory while it is read."""
DEEPEST = 2
LONGEST_NAME = 200
IGNORED = frozenset({"__MACOSX", "__pycache__", ".ipynb_checkpoints", ".git", ".DS_Store", ".autograder", "Thumbs.db"})


OpenFile = Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Entry:
    """A file that can be read: its place below the submissions, and how."""

    parts: tuple[str, ...]
    shown: str
    read: Callable[[int], bytes]
    """The content, if it has no more than so many bytes; else raises SubmissionError."""


@dataclass(frozen=True)
class Refused:
    """Something that was not read, and why."""

    name: str
    problem: str
    parts: tuple[str, ...] = ()
    """Where it lies, as far as that can be believed: () where its own name is the trouble."""


def entries_in(place: Path) -> tuple[list[Entry], list[Refused]]:
    """Every readable file under a folder or in an archive, archives inside it opened; and what is refused."""
    walk = _Walk()
    if place.is_file():
        walk.archive(lambda: place.open("rb"), (), place.name, 0)
    else:
        walk.folder(place, ())
    return walk.entries, walk.refused


def shown(name: str) -> str:
    """A name made safe for a sentence: no control characters, not without end."""
    plain = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name)
    return plain if len(plain) <= LONGEST_NAME else plain[:LONGEST_NAME] + "..."


class _Walk:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.refused: list[Refused] = []

    def folder(self, folder: Path, parts: tuple[str, ...]) -> None:
        """All below a folder, by name; links are named and not followed."""
        try:
            found = sorted(os.scandir(folder), key=lambda each: each.name)
        except OSError as error:
            self._refuse("/".join(parts) or folder.name, f"it cannot be opened ({error.strerror})")
            return
        for each in found:
            self._on_disk(each, (*parts, each.name))

    def _on_disk(self, each: os.DirEntry[str], parts: tuple[str, ...]) -> None:
        name = "/".join(parts)
        if each.name in IGNORED or each.name.startswith("._"):
            return
        if each.is_symlink():
            self._refuse(name, "it is a link, which is not followed")
        elif each.is_dir(follow_symlinks=False):
            if len(parts) > 30:
                self._refuse(name, "folders are nested too deep")
            else:
                self.folder(Path(each.path), parts)
        elif not each.is_file(follow_symlinks=False):
            self._refuse(name, "it is no ordinary file")
        elif not _printable(each.name):
            self._refuse(name, "its name holds characters that no file's name should")
        elif each.name.lower().endswith(".zip"):
            self.archive(lambda: _opened(Path(each.path)), (*parts[:-1], each.name[:-4]), name, 1)
        else:
            path = Path(each.path)
            self.entries.append(Entry(parts, shown(name), lambda most: _from_disk(path, shown(name), most)))

    def archive(self, open_file: OpenFile, parts: tuple[str, ...], name: str, depth: int) -> None:
        """The files in an archive, as if it were a folder of its own name."""
        try:
            with open_file() as file, _checked_archive(file) as archive:
                for info in archive.infolist():
                    self._packed(info, open_file, parts, name, depth)
        except (zipfile.BadZipFile, struct.error, NotImplementedError, UnicodeError, ValueError) as error:
            self._refuse(name, f"it is no archive that can be read ({error})")
        except OSError as error:
            self._refuse(name, f"it cannot be read ({error.strerror or error})")

    def _packed(
        self, info: zipfile.ZipInfo, open_file: OpenFile, parts: tuple[str, ...], archive_name: str, depth: int
    ) -> None:
        name = f"{archive_name}/{info.filename}"
        inside = tuple(part for part in info.filename.split("/") if part not in ("", "."))
        if info.is_dir() or not inside or IGNORED.intersection(inside) or inside[-1].startswith("._"):
            return
        if problem := _refusable(info, inside):
            climbs = problem == CLIMBS
            believed = (*parts, inside[-1]) if climbs and parts else () if climbs else (*parts, *inside)
            self._refuse(name, problem, believed)
        elif inside[-1].lower().endswith(".zip"):
            self._nested(open_file, info, (*parts, *inside[:-1], inside[-1][:-4]), name, depth)
        else:
            self.entries.append(
                Entry((*parts, *inside), shown(name), lambda most: _from_archive(open_file, info, shown(name), most))
            )

    def _nested(
        self, open_file: OpenFile, info: zipfile.ZipInfo, parts: tuple[str, ...], name: str, depth: int
    ) -> None:
        if depth >= DEEPEST:
            self._refuse(name, "archives are nested too deep", parts)
            return
        try:
            self.archive(
                lambda: io.BytesIO(_from_archive(open_file, info, shown(name), LARGEST_NESTED)), parts, name, depth + 1
            )
        except SubmissionError as error:
            self._refuse(name, error.problem, parts)

    def _refuse(self, name: str, problem: str, parts: tuple[str, ...] | None = None) -> None:
        """parts: default, those of the name."""
        believed = tuple(name.split("/")) if parts is None else parts
        self.refused.append(Refused(shown(name), problem, believed))


CLIMBS = "its name leads out of the archive"


def _refusable(info: zipfile.ZipInfo, inside: tuple[str, ...]) -> str:
    """Why an entry of an archive is not read, if it is not."""
    name = info.filename
    if name.startswith("/") or ".." in inside or "\\" in name or (len(name) > 1 and name[1] == ":"):
        return CLIMBS
    if stat.S_ISLNK(info.external_attr >> 16):
        return "it is a link, which is not followed"
    if len(name) > 4 * LONGEST_NAME or not _printable(name):
        return "its name holds characters that no file's name should, or too many"
    return "it is encrypted" if info.flag_bits & 1 else ""


def _checked_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """The archive, if its list of entries is of a size that a class's work can have: looked at before it is read."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 65_557, 0))
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) < place + 22:
        raise zipfile.BadZipFile("it has no list of entries")
    count, length = struct.unpack("<HI", tail[place + 10 : place + 16])
    if count > MOST_FILES or length > LARGEST_DIRECTORY:
        raise zipfile.BadZipFile(f"it holds more than {MOST_FILES} entries")
    file.seek(0)
    archive = zipfile.ZipFile(file)
    if len(archive.infolist()) > MOST_FILES:
        raise zipfile.BadZipFile(f"it holds more than {MOST_FILES} entries")
    return archive


def _opened(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _from_disk(path: Path, name: str, most: int) -> bytes:
    try:
        with _opened(path) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > most:
                raise _too_large(name, most)
            data = file.read(most + 1)
    except OSError as error:
        raise SubmissionError(f"{name} cannot be read: {error.strerror}", where=name) from error
    if len(data) > most:
        raise _too_large(name, most)
    return data


def _from_archive(open_file: OpenFile, info: zipfile.ZipInfo, name: str, most: int) -> bytes:
    """From the archive that was read last, if it is that one: a class's download is one archive of very many files."""
    if not _last or _last[0] is not open_file:
        file = open_file()  # which may itself read from the last one: an archive in an archive
        close_archives()
        _last[:] = [open_file, file]
        try:
            _last.append(zipfile.ZipFile(file))
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            close_archives()
            raise SubmissionError(f"{name} is damaged ({error})", where=name) from error
    return _read_packed(_last[2], info, name, most)


_last: list[Any] = []
"""What opens an archive, the open file, and the archive."""


def close_archives() -> None:
    """To be called when all was read."""
    if _last:
        _last[1].close()
        _last.clear()


def _read_packed(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, most: int) -> bytes:
    """At most `most` bytes, whatever the archive says of the size."""
    if info.file_size > most:
        raise _too_large(name, most)
    try:
        with archive.open(info) as packed:
            data = b"".join(_pieces(packed, most + 1))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise SubmissionError(f"{name} is damaged ({error})", where=name) from error
    if len(data) > most:
        raise _too_large(name, most)
    return data


def _pieces(packed: IO[bytes], most: int) -> Iterator[bytes]:
    while most > 0 and (piece := packed.read(min(most, 2**16))):
        most -= len(piece)
        yield piece


def _too_large(name: str, most: int) -> SubmissionError:
    return SubmissionError(f"{name} is larger than {most // 2**20} MB, so it is no file of this course", where=name)


def _printable(name: str) -> bool:
    return name.isprintable()
