"""What must not be in a folder that students get, read from the authors' files by means of its own: not by the engine's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

LINK = re.compile(r'(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)|<(?:img|a)\s[^>]*(?:src|href)="([^"]+)"')


def files_of(folder: Path) -> dict[str, str]:
    """Every file as text, whatever it is."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes().decode("utf-8", "replace") for path in found}


def functions(path: Path, prefix: str = "") -> list[ast.FunctionDef | ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name.startswith(prefix)]


def hidden_test_names(solutions: Path) -> set[str]:
    """Of every assignment; without those that are also the name of a public test of another one."""
    names = {node.name for path in solutions.glob("*/hidden_tests.py") for node in functions(path, "test_")}
    public = {node.name for path in solutions.glob("*/source.py") for node in functions(path, "test_")}
    return names - public


def fragments(text: str, lines: int) -> set[tuple[str, ...]]:
    """Every so many lines in a row, without indentation, comments, empty lines and lines of brackets only."""
    solid = [line.strip() for line in text.splitlines()]
    solid = [line for line in solid if re.search(r"\w", line) and not line.startswith(("#", '"""'))]
    return {tuple(solid[n : n + lines]) for n in range(len(solid) - lines + 1)}


def reference_regions(solutions: Path) -> dict[str, list[str]]:
    """What stands between the marks of each source."""
    marks = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL)
    return {p.parent.name: marks.findall(p.read_text(encoding="utf-8")) for p in solutions.glob("*/source.py")}


def bank_bodies(solutions: Path) -> list[str]:
    """The bodies of every mistake and alternative, without docstrings."""
    found = []
    for path in [*solutions.glob("*/mistakes.py"), *solutions.glob("*/alternatives.py")]:
        text = path.read_text(encoding="utf-8")
        for node in functions(path):
            found.append("\n".join(ast.get_source_segment(text, line) or "" for line in node.body))
    return found


def dead_links(folder: Path) -> list[str]:
    """Relative links and pictures of Markdown files that lead to no file; absolute ones on this machine count as dead."""
    dead = []
    for path in sorted(folder.rglob("*.md")):
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in LINK.finditer(prose):
            target = (link[1] or link[2]).partition("#")[0]
            if target and not re.match(r"(https?|mailto):", target) and not (path.parent / target).is_file():
                dead.append(f"{path.relative_to(folder)}: {target}")
    return dead
