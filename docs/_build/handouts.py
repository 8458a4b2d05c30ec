"""MkDocs hook: shows each released handout as a page, and puts an assignment's facts on top of its pages.

The handout has one home, `assignments/aNN_name/README.md`; its points, minutes and tasks have one, `.assignment.json` beside
it. Both are read while the site is built, so no copy of them is kept in docs/.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HANDOUTS = "learn/handouts"
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")
FACTS = re.compile(r"\A(.*?^# [^\n]+\n)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds one page for each released handout."""
    for readme in sorted(_assignments(config).glob("a*/README.md")):
        text = _mend_links(readme.read_text(encoding="utf-8"), readme.parent)
        files.append(File.generated(config, f"{HANDOUTS}/{readme.parent.name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Puts the line of facts under the title of a reading page or a handout."""
    source = page.file.src_uri
    found = re.fullmatch(rf"(?:learn|{HANDOUTS})/(a\d\d_\w+)\.md", source)
    if not found:
        return markdown
    about = _assignments(config) / found[1] / ".assignment.json"
    if not about.is_file():
        return markdown
    line = _facts(json.loads(about.read_text(encoding="utf-8")), is_handout=source.startswith(HANDOUTS))
    text, titles = FACTS.subn(lambda title: f"{title[1]}\n{line}\n", markdown, count=1)
    if not titles:
        raise PluginError(f"{source} has no title (# ...), so its facts have no place")
    return text


def _assignments(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent / "assignments"


def _facts(about: dict[str, Any], *, is_handout: bool) -> str:
    """Points, minutes and tasks, and the way to the other page of the pair."""
    tasks = about["tasks"]
    name = about["id"]
    points = sum(task["points"] for task in tasks)
    minutes = sum(task["minutes"] for task in tasks)
    other = f"[the reading](../{name}.md)" if is_handout else f"[the handout](handouts/{name}.md)"
    facts = [
        f"**{len(tasks)}** tasks",
        f"**{points:g}** points",
        f"about **{minutes}** minutes of writing",
        f"`autograder check {name.partition('_')[0]}`",
        f"beside this: {other}",
    ]
    return (
        '<div class="facts" markdown="1">\n'
        + "\n".join(f"<span markdown>{fact}</span>" for fact in facts)
        + "\n</div>\n"
    )


def _mend_links(text: str, folder: Path) -> str:
    """A handout lies in the student's folder: its links to files there become names, those into docs/ become site links."""
    docs = folder.parent.parent / "docs"

    def mend(link: re.Match[str]) -> str:
        words, target, anchor = link[1], link[2], link[3] or ""
        if ":" in target or target.startswith("/"):
            return link[0]
        path = (folder / target).resolve()
        if path.is_relative_to(docs.resolve()):
            return f"[{words}](../../{path.relative_to(docs.resolve()).as_posix()}{anchor})"
        return words if words.startswith("`") else f"{words} (`{target}`)"

    return LINK.sub(mend, text)
