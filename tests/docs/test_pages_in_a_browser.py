"""Every page, opened in a real browser: nothing fetched from elsewhere, no complaint, mathematics rendered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from conftest import Browser

pytestmark = pytest.mark.slow

PHONE = 390


@dataclass(frozen=True)
class Visit:
    """What one page did when it was opened."""

    written: int
    """Formulas in the page's source."""
    rendered: int
    """Formulas that became KaTeX."""
    shows_tex: bool
    phone_width: int
    hosts: set[str]
    complaints: list[str]


@pytest.fixture(scope="module")
def visits(site: Path, served: str, browser: Browser) -> dict[str, Visit]:
    """Every page of the site, opened once."""
    return {
        page: visit(browser, f"{served}/{page}", (site / page).read_text(encoding="utf-8"))
        for page in sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    }


def visit(browser: Browser, address: str, source: str) -> Visit:
    browser.open(address)
    rendered = browser.evaluate(
        "[...document.querySelectorAll('.arithmatex')].filter(e => e.querySelector('.katex')).length"
    )
    shows_tex = browser.evaluate(r"/\\\(|\\\[/.test(document.querySelector('.md-container').innerText)")
    browser.send("Emulation.setDeviceMetricsOverride", width=PHONE, height=844, deviceScaleFactor=1, mobile=True)
    width = browser.evaluate("document.documentElement.scrollWidth")
    browser.send("Emulation.clearDeviceMetricsOverride")
    written = len(re.findall(r'class="arithmatex"', source))
    return Visit(written, rendered, shows_tex, width, hosts(browser.events), complaints(browser.events))


def hosts(events: list[dict[str, Any]]) -> set[str]:
    """Every host that was asked for something."""
    addresses = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return {urlsplit(address).netloc for address in addresses if not address.startswith(("data:", "blob:"))}


def complaints(events: list[dict[str, Any]]) -> list[str]:
    """What stands in the console as an error, exceptions and failed requests included."""
    found = []
    for event in events:
        params = event["params"]
        if event["method"] == "Runtime.exceptionThrown":
            found.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
        if event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            found.append(str([argument.get("value", argument.get("description")) for argument in params["args"]]))
        if event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            found.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
    return found


def test_no_page_asks_another_host(visits: dict[str, Visit], served: str) -> None:
    assert {page: v.hosts for page, v in visits.items() if v.hosts != {urlsplit(served).netloc}} == {}


def test_no_page_complains(visits: dict[str, Visit]) -> None:
    assert {page: v.complaints for page, v in visits.items() if v.complaints} == {}


def test_mathematics_is_rendered_wherever_it_was_written(visits: dict[str, Visit]) -> None:
    assert {page: (v.written, v.rendered) for page, v in visits.items() if v.rendered != v.written or v.shows_tex} == {}
    assert sum(v.written for v in visits.values()) > 20, "hardly a page holds a formula, so this test saw nothing"


def test_no_page_is_wider_than_a_phone(visits: dict[str, Visit]) -> None:
    assert {page: v.phone_width for page, v in visits.items() if v.phone_width > PHONE} == {}


def test_our_fonts_are_the_ones_in_use(served: str, browser: Browser) -> None:
    browser.open(f"{served}/index.html")
    loaded = browser.evaluate(
        "[...document.fonts].filter(f => f.status == 'loaded').map(f => f.family.replaceAll('\"', ''))"
    )
    assert {"Source Sans 3", "Source Serif 4", "Source Code Pro"} <= set(loaded)


def test_the_search_answers(served: str, browser: Browser) -> None:
    browser.open(f"{served}/index.html")
    assert search(browser, "causal mask"), "nothing was found"


def test_the_search_answers_when_the_folder_is_opened_from_disk(site: Path, browser: Browser) -> None:
    events = browser.open((site / "index.html").as_uri())
    assert search(browser, "causal mask"), "nothing was found"
    assert hosts(events) == {""}


def search(browser: Browser, words: str) -> int:
    """Types into the search field; how many results appear within ten seconds."""
    return int(
        browser.evaluate(
            f"""new Promise(done => {{
              const field = document.querySelector('.md-search__input');
              field.focus(); field.value = {words!r};
              const started = Date.now();
              const look = () => {{
                field.dispatchEvent(new Event('keyup', {{bubbles: true}}));
                field.dispatchEvent(new Event('input', {{bubbles: true}}));
                const found = document.querySelectorAll('.md-search-result__item').length;
                if (found || Date.now() - started > 10000) done(found); else setTimeout(look, 200);
              }};
              look();
            }})"""
        )
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_page(served: str, browser: Browser, scheme: str) -> None:
    """Running text and quiet text keep the contrast that WCAG asks for (4.5 to 1) in both schemes."""
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    try:
        browser.open(f"{served}/index.html")
        paper = colour(browser, "body", "backgroundColor")
        for element in (".md-typeset .hero p", ".md-content p:not(.hero p)", ".md-content p > a", "a.door"):
            assert contrast(colour(browser, element, "color"), paper) >= 4.5, element
    finally:
        browser.send("Emulation.setEmulatedMedia", features=[])


def colour(browser: Browser, selector: str, what: str) -> tuple[float, ...]:
    text = browser.evaluate(f"getComputedStyle(document.querySelector({selector!r})).{what}")
    return tuple(float(part) for part in re.findall(r"[\d.]+", text)[:3])


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    def luminance(rgb: tuple[float, ...]) -> float:
        parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)
