"""What the generators of this folder share: write a page, or with --check say whether the one on disk is stale."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def settle(page: Path, text: str, command: str, arguments: list[str]) -> int:
    """Writes `text` to `page`; with --check compares only. Returns the exit status: 1 where the page is stale."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(f"usage: {command} [--check]\n")
        return 2
    shown = page.relative_to(ROOT)
    on_disk = page.read_text(encoding="utf-8") if page.is_file() else ""
    if on_disk == text:
        sys.stdout.write(f"{shown} is up to date\n")
        return 0
    if arguments:
        sys.stderr.write(f"{shown} is stale\n  mend:  {command}\n")
        return 1
    page.write_text(text, encoding="utf-8")
    sys.stdout.write(f"wrote {shown}\n")
    return 0
