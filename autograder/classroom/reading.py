"""The reading pages of a course as a kit holds them: plain Markdown, in which every link to a file leads somewhere.

The pages are written for the site (mkdocs), which has notes that fold, figures that are pulled in, and handouts as
pages of its own. A kit has an editor or a code host to show them: so a figure becomes an image beside the page, a
link to a handout one to the assignment's README.md, and a link to what a kit does not hold its words. What a kit
takes is listed here by name: a page about the tests (which names the hidden ones) never comes along by being linked
to.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path

LEARN = "docs/learn"
BESIDE = ("docs/explain/glossary.md", "docs/explain/sandbox.md", "docs/reference/errors.md", "docs/reference/report.md")
"""Pages that a student is sent to from those in LEARN, where a course has them."""
HANDOUT = re.compile(r"docs/learn/handouts/(\w+)\.md")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
FENCED = re.compile(r"^( *```.*?^ *```[ \t]*$)", re.DOTALL | re.MULTILINE)
SNIPPET = re.compile(r'^( *)--8<-- "([^"]+)"[ \t]*$', re.MULTILINE)
NOTE = re.compile(r'^(?:!!!|\?\?\?\+?) \w+(?: "([^"]*)")?[ \t]*$')
DEFINED = re.compile(r"^([^\s>|#].*)\n:   (.*)$", re.MULTILINE)
PICTURES = (".svg", ".png", ".jpg", ".gif")


def reading_pages(root: Path, released: Mapping[str, bytes]) -> dict[str, bytes]:
    """Every reading page of the course and what it shows, by path from the kit's root; {} where it has none.

    released: the files of `assignments/`, by path in there.
    """
    paths = [*sorted((root / LEARN).glob("*.md")), *(root / name for name in BESIDE if (root / name).is_file())]
    texts = {path.relative_to(root).as_posix(): _read(path, root) for path in paths}
    shown = [target for page, text in texts.items() for target in _targets(page, text) if target.endswith(PICTURES)]
    pictures = {name: (root / name).read_bytes() for name in shown if (root / name).is_file()}
    known = {*texts, *pictures, *(f"assignments/{name}" for name in released)}
    pages = {page: mended(page, text, known).encode() for page, text in texts.items()}
    return {**pages, **pictures}


def mended(page: str, text: str, known: set[str]) -> str:
    """A page with its links led to what is `known`; those that would lead nowhere become words."""

    def mend(link: re.Match[str]) -> str:
        picture, words, target, anchor = link[1], link[2], link[3], link[4] or ""
        if not target or ":" in target or target.startswith("/"):
            return link[0]
        path = _path(page, target)
        handout = HANDOUT.fullmatch(path)
        path = f"assignments/{handout[1]}/README.md" if handout else path
        if path not in known:
            return words
        return f"{picture}[{words}]({posixpath.relpath(path, posixpath.dirname(page))}{anchor})"

    return _outside_fences(text, lambda part: LINK.sub(mend, part))


def _targets(page: str, text: str) -> list[str]:
    """The files that a page links to or shows, as paths from the root."""
    prose = "".join(FENCED.split(text)[::2])
    links = [link[3] for link in LINK.finditer(prose)] + re.findall(r'<img src="([^":]+)"', prose)
    return [_path(page, target) for target in links if target and ":" not in target]


def _path(page: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def _read(path: Path, root: Path) -> str:
    """A page in plain Markdown, with what it pulls in."""
    docs = root / "docs"
    text = SNIPPET.sub(lambda found: _pulled(docs / found[2], found[1], path), path.read_text(encoding="utf-8"))
    return _outside_fences(_without_notes(text), lambda part: DEFINED.sub(r"**\1**: \2", part))


def _pulled(file: Path, indent: str, page: Path) -> str:
    """What stands for a snippet: a picture beside the page, or the text itself."""
    if file.suffix not in PICTURES:
        lines = file.read_text(encoding="utf-8").rstrip().splitlines() if file.is_file() else []
        return "\n".join(f"{indent}{line}" for line in lines)
    text = file.read_text(encoding="utf-8") if file.suffix == ".svg" and file.is_file() else ""
    said = re.search(r"<desc[^>]*>(.*?)</desc>", text, re.DOTALL) or re.search(r"<title[^>]*>(.*?)</title>", text)
    words = html.escape(html.unescape(" ".join(said[1].split())), quote=True) if said else file.stem
    where = posixpath.relpath(file.as_posix(), page.parent.as_posix())
    return f'{indent}<img src="{where}" alt="{words}">'


def _without_notes(text: str) -> str:
    """Folds as folds in HTML, other notes as quotations: what every viewer of Markdown shows."""
    kept: list[str] = []
    mark: str | None = None
    for line in text.splitlines():
        note = NOTE.match(line)
        if mark is not None and (note or (line.strip() and not line.startswith("    "))):
            _close(kept, mark)
            mark = None
        if note:
            mark = "> " if line.startswith("!") else ""
            title = note[1] or "Note"
            kept.append(f"> **{title}**" if mark else f"<details><summary>{html.escape(title)}</summary>")
        else:
            kept.append(line if mark is None else f"{mark}{line[4:]}".rstrip())
    if mark is not None:
        _close(kept, mark)
    return "\n".join(kept) + "\n"


def _close(kept: list[str], mark: str) -> None:
    """Ends a note before the line that comes next."""
    while kept and kept[-1] in ("", ">"):
        kept.pop()
    kept.append("" if mark else "\n</details>\n")


def _outside_fences(text: str, change: Callable[[str], str]) -> str:
    return "".join(part if number % 2 else change(part) for number, part in enumerate(FENCED.split(text)))
