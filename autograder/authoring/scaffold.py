"""Starts a new assignment: a folder in `solutions/` that releases and verifies as it stands, listed in its month."""

from __future__ import annotations

import difflib
import json
import re
import shutil
import string
import tempfile
import tomllib
from pathlib import Path

from autograder.authoring.cells import is_free_module_name
from autograder.authoring.plan import PLAN_FILE, Plan, read_plan
from autograder.authoring.scaffold_text import FILES
from autograder.errors import SourceError, UnknownName
from autograder.files import disk_in_words, write_whole


def new_assignment(root: Path, assignment: str, title: str, month: str) -> Path:
    """Writes `solutions/<assignment>` and adds it to the month's list; returns the new folder."""
    plan = read_plan(root)
    _check_names(plan, assignment, title, month)
    plan_path = root / "solutions" / PLAN_FILE
    listed = with_assignment(plan_path.read_text(encoding="utf-8"), month, assignment, plan_path)
    folder = root / "solutions" / assignment
    values = {"id": assignment, "title": json.dumps(title, ensure_ascii=False), "module": module_name(assignment)}
    with disk_in_words(folder):
        draft = Path(tempfile.mkdtemp(prefix=f".{assignment}.", dir=folder.parent))
    try:
        for name, text in FILES.items():
            write_whole(draft / name, string.Template(text).substitute(values).encode())
        with disk_in_words(folder):
            draft.chmod(0o755)
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    write_whole(plan_path, listed.encode())
    return folder


def module_name(assignment: str) -> str:
    """The module of `a07_gae` is `gae`; one that Python has already gets another name."""
    word = assignment.partition("_")[2]
    return word if is_free_module_name(word) else f"my_{word}"


def _check_names(plan: Plan, assignment: str, title: str, month: str) -> None:
    where = str(plan.root / "solutions")
    if not re.fullmatch(r"[a-z]\d\d_[a-z0-9_]+", assignment):
        raise SourceError(
            f"{assignment!r} is no assignment's name", mend="write a letter, two digits and a word: a07_gae"
        )
    if not title.strip() or not title.isprintable():
        raise SourceError("the title is empty or holds a line break", mend="write it in one line")
    months = [known.id for known in plan.months]
    if month not in months:
        close = difflib.get_close_matches(month, months, n=1, cutoff=0.0)[0]
        raise UnknownName(
            f"there is no month {month!r}; did you mean {close}?",
            where=f"{where}/{PLAN_FILE}",
            mend=f"name one of {', '.join(months)}, or add a [[months]] table",
        )
    number = assignment.split("_", 1)[0]
    same = [name for name in plan.assignments if name.split("_", 1)[0] == number]
    if same or (plan.root / "solutions" / assignment).exists():
        taken = same[0] if same else assignment
        raise SourceError(f"{taken} is there already", where=f"{where}/{taken}", mend="choose another number")


def with_assignment(text: str, month: str, assignment: str, path: Path) -> str:
    """course.toml with the assignment at the end of the month's list; comments and layout stay as they are."""
    before = tomllib.loads(text)
    place = [item["id"] for item in before["months"]].index(month)
    starts = [match.end() for match in re.finditer(r"^[ \t]*\[\[\s*months\s*\]\]", text, re.MULTILINE)]
    list_start = re.compile(r"^[ \t]*assignments[ \t]*=[ \t]*\[", re.MULTILINE)
    key = list_start.search(text, starts[place]) if place < len(starts) else None
    edited = _with_item(text, key.end(), json.dumps(assignment)) if key else text
    before["months"][place]["assignments"].append(assignment)
    try:
        right = tomllib.loads(edited) == before
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        raise SourceError(
            f"{PLAN_FILE} is laid out in a way that cannot be edited safely",
            where=str(path),
            mend=f'add "{assignment}" to the list of {month} yourself',
        )
    return edited


_PIECE = re.compile(r"#[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|[\],]", re.ASCII)
"""What matters inside a list of names: comments, strings, commas and the end."""


def _with_item(text: str, start: int, item: str) -> str:
    """`text` with `item` at the end of the list whose first character stands at `start`."""
    last: re.Match[str] | None = None
    comma = -1
    for piece in _PIECE.finditer(text, start):
        first = piece.group()[0]
        if first == "]":
            break
        if first == ",":
            comma = piece.end()
        elif first != "#":
            last, comma = piece, -1
    if last is None:
        return text[:start] + item + text[start:]
    line = text[text.rfind("\n", 0, last.start()) + 1 : last.start()]
    alone = not line.strip()
    separator = f"\n{line}" if alone else " "
    end = max(last.end(), comma)
    added = f"{separator}{item}," if comma >= 0 else f",{separator}{item}"
    rest = text.find("\n", end)
    if alone and comma >= 0 and text[end:rest].lstrip().startswith("#"):
        end = rest
    return text[:end] + added + text[end:]
