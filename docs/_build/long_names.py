"""MkDocs hook: a long name in a table may break behind a dot, an underscore or a bracket, where a reader would break it.

Without that, one name such as `get_cosine_schedule_with_warmup` makes its table wider than the page. Copying is not
changed: the mark is no character.
"""

from __future__ import annotations

import re
from typing import Any

LONG = 18
"""Names of so many characters without a space may break; shorter ones stay whole."""

CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)
CODE = re.compile(r"(<code>)([^<]*)(</code>)")
WORD = re.compile(rf"\S{{{LONG},}}")
JOINT = re.compile(r"(?<=\w\w[._(\[])(?=[\w&\"'])")


def on_page_content(html: str, **_: Any) -> str:
    """Marks the places in the long names of a page's tables."""
    return CELL.sub(lambda cell: CODE.sub(_code, cell[0]), html)


def _code(code: re.Match[str]) -> str:
    return code[1] + WORD.sub(lambda word: JOINT.sub("<wbr>", word[0]), code[2]) + code[3]
