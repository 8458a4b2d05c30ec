"""The site builds strictly, fetches nothing from another host, and holds together."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

FETCHING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "image": ("href", "xlink:href"),
    "use": ("href", "xlink:href"),
}
"""Attributes that make a browser fetch something as it shows a page; a link to read is not among them."""

RUNTIME_ADDRESSES = {
    "https://unpkg.com/mermaid@11/dist/mermaid.min.js": "only where a page holds a mermaid diagram; none may",
    "https://unpkg.com/resize-observer-polyfill": "only in browsers from before 2020",
    "https://api.github.com/repos/${e}/${t}": "only with repo_url in mkdocs.yml; there is none",
    "https://api.github.com/users/${e}": "only with repo_url in mkdocs.yml; there is none",
    "https://${e}/api/v4/projects/${encodeURIComponent(t)}": "only with repo_url in mkdocs.yml; there is none",
}
"""What the theme's own script could fetch, and why it does not here. The browser test watches that it does not."""


class _Fetched(HTMLParser):
    """Collects what a page fetches from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        names = FETCHING.get(tag, ())
        if tag == "link" and attributes.get("rel") not in ("canonical", "next", "prev"):
            names = ("href",)
        self.found += [attributes[name] for name in names if elsewhere(attributes.get(name, ""))]
        self.found += [address for address in css_addresses(attributes.get("style", "")) if elsewhere(address)]


def elsewhere(address: str) -> bool:
    return re.match(r"\s*(?:https?:)?//", address) is not None


def css_addresses(text: str) -> list[str]:
    return re.findall(r"url\(\s*['\"]?([^'\")]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)


def test_no_page_fetches_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    fetched = {}
    for page in pages:
        parser = _Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        if parser.found:
            fetched[page.relative_to(site).as_posix()] = parser.found
    assert not fetched


def test_the_scan_sees_what_it_looks_for() -> None:
    parser = _Fetched()
    parser.feed(
        '<script src="https://a/x.js"></script><link rel=stylesheet href="//b/y.css"><a href="https://c">read</a>'
    )
    assert parser.found == ["https://a/x.js", "//b/y.css"]
    assert elsewhere(css_addresses("a{b:url( 'https://d/z.woff2' )}")[0])


def test_no_style_sheet_fetches_from_another_host(site: Path) -> None:
    sheets = list(site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        found = [address for address in css_addresses(sheet.read_text(encoding="utf-8")) if elsewhere(address)]
        assert not found, sheet


def test_every_font_and_picture_that_a_style_sheet_names_is_there(site: Path) -> None:
    for sheet in (site / "assets").rglob("*.css"):
        for address in css_addresses(sheet.read_text(encoding="utf-8")):
            if not address.startswith("data:"):
                assert (sheet.parent / address.split("?")[0].split("#")[0]).is_file(), f"{sheet.name}: {address}"


def test_scripts_know_no_other_host_but_those_that_are_never_asked(site: Path) -> None:
    call = re.compile(r"""["'`](https?://[^"'`\s]+)["'`]""")
    spoken_of = ("http://www.w3.org/", "https://fontawesome.com")
    known = set()
    for script in site.rglob("*.js"):
        if script.name == "search_index.js":
            continue
        known |= {a for a in call.findall(script.read_text(encoding="utf-8")) if not a.startswith(spoken_of)}
    assert known <= set(RUNTIME_ADDRESSES), "a script names a host that is not accounted for"


def test_no_page_holds_what_would_make_the_theme_fetch(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8"), page
    assert "repo_url" not in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_every_page_is_in_the_navigation(nav: list[str], site: Path) -> None:
    written = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md") if not {"_build", "assets"} & set(p.parts)}
    handouts = {f"learn/handouts/{p.parent.name}.md" for p in (ROOT / "assignments").glob("a*/README.md")}
    assert sorted(nav) == sorted(written | handouts)
    for page in nav:
        assert (site / page.removesuffix(".md")).with_suffix(".html").is_file()


def test_the_search_finds_pages_without_a_server(site: Path, nav: list[str]) -> None:
    text = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    index = json.loads(text.removeprefix("var __index = "))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {page.removesuffix(".md") + ".html" for page in nav} <= found


def test_internal_links_lead_somewhere(site: Path) -> None:
    """The strict build looks at Markdown links; this also looks at those written in HTML."""
    anchors: dict[Path, set[str]] = {}
    missing = []
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r'<a\s[^>]*href="([^"]+)"', text):
            if ":" in target or target.startswith("//"):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file():
                missing.append(f"{page.relative_to(site)}: {target}")
                continue
            if anchor and file.suffix == ".html":
                names = anchors.setdefault(file, set(re.findall(r'\bid="([^"]+)"', file.read_text(encoding="utf-8"))))
                if anchor not in names:
                    missing.append(f"{page.relative_to(site)}: {target}")
    assert not missing


def test_vendored_files_carry_their_licence() -> None:
    for folder in ("katex", "fonts", "search"):
        readme = (DOCS / "assets" / folder / "README.md").read_text(encoding="utf-8")
        assert re.search(r"\d+\.\d+\.\d+", readme), f"{folder}: the README names no version"
        assert len((DOCS / "assets" / folder / "LICENSE").read_text(encoding="utf-8")) > 500
    version = re.search(r"KaTeX (\d+\.\d+\.\d+)", (DOCS / "assets" / "katex" / "README.md").read_text(encoding="utf-8"))
    assert version
    assert f'version:"{version[1]}"' in (DOCS / "assets" / "katex" / "katex.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["logo.svg", "favicon.svg"])
def test_own_pictures_are_small(name: str) -> None:
    assert (DOCS / "assets" / name).stat().st_size < 4096
