"""MkDocs hook: a link to a page of an assignment that is not released yet is shown as its words.

So pages that tie the course together (calendar, letters, glossary) are written once, and their links come alive with
each release. A link to a page of a *released* assignment is left alone: if it leads nowhere, the strict build says so.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]*\b(a\d\d)_\w+\.md)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Takes the brackets off links to assignments that are not here."""
    assignments = Path(config.config_file_path).parent / "assignments"
    released = {folder.parent.name[:3] for folder in assignments.glob("a*/README.md")}
    here = posixpath.dirname(page.file.src_uri)

    def settle(link: re.Match[str]) -> str:
        words, target, number = link[1], posixpath.normpath(posixpath.join(here, link[2])), link[3]
        here_already = number in released or files.get_file_from_path(target)
        return link[0] if here_already else f'<span class="coming" title="still to come">{words}</span>'

    return LINK.sub(settle, markdown)
