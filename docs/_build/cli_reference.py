"""Writes docs/reference/cli.md from the command-line program itself.

python docs/_build/cli_reference.py            writes the page
python docs/_build/cli_reference.py --check    says whether the page is stale, and exits 1 if so
"""

from __future__ import annotations

import enum
import inspect
import sys
from pathlib import Path
from typing import Any, get_args

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent))
from generated import ROOT, settle

from autograder.cli.main import app

PAGE = ROOT / "docs" / "reference" / "cli.md"
COMMAND = "python docs/_build/cli_reference.py"
HEAD = f"""<!-- Generated from the program by {COMMAND}: do not edit. -->
# Commands

This page is written by the program itself, from the same words that `autograder --help` prints.
Every command has `--help`, and `autograder --version` says which one this is.

Names work as you would type them: `a02`, `a02_attention` and `attention` are one assignment, `a02.rope` is one task of it.

| exit status | means |
|---|---|
| 0 | it did what you asked; for `check`: every test that you asked about passed |
| 1 | it ran, and something is not right yet |
| 2 | it refused: the message says what is wrong, where, and the command that mends it ([all refusals](errors.md)) |
| 130 | you stopped it; nothing is lost |
"""


def commands(group: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Every visible command with its full name, groups opened."""
    found: list[tuple[str, Any]] = []
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            found += commands(command, f"{prefix}{name} ")
        else:
            found.append((prefix + name, command))
    return found


def parameters(command: Any) -> list[Any]:
    """Its arguments, then its options, without hidden ones."""
    visible = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    return sorted(visible, key=lambda parameter: parameter.opts[0].startswith("-"))


def is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def choices(parameter: Any) -> list[str]:
    """What an option may be, where it is one of a few words."""
    annotation = parameter.type_descriptor.annotation
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, enum.EnumMeta)]
    return [str(member.value) for member in kinds[0]] if kinds else []


def placeholder(parameter: Any) -> str:
    """What stands for its value: aNN, PATH, or nothing for a switch."""
    if getattr(parameter, "is_flag", False):
        return ""
    if parameter.metavar:
        said = str(parameter.metavar)
        return said[1:-1] if said.startswith("[") and said.endswith("]") else said
    return "|".join(choices(parameter)) or str(parameter.name).upper().replace("_", "-")


def usage(name: str, command: Any) -> str:
    words = [f"autograder {name}"]
    for parameter in parameters(command):
        if is_option(parameter):
            continue
        word = placeholder(parameter) + ("..." if parameter.nargs == -1 else "")
        words.append(word if parameter.required else f"[{word}]")
    if any(is_option(parameter) for parameter in parameters(command)):
        words.append("[options]")
    return " ".join(words)


def row(parameter: Any) -> str:
    """One line of the table: how it is written, what it does, what it is when left out."""
    if is_option(parameter):
        names = [f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts]]
        if placeholder(parameter):
            names[-1] = f"{names[-1][:-1]} {placeholder(parameter)}`"
        written = " ".join(names)
    else:
        written = f"`{placeholder(parameter)}`"
    default = parameter.default
    if getattr(parameter, "is_flag", False) or default in (None, "", [], ()) or callable(default):
        shown = ""
    else:
        shown = f"`{default.value if hasattr(default, 'value') else default}`"
    said = " ".join((parameter.help or "").split())
    # in code a bar needs no backslash, and would show it
    cells = (cell if cell.startswith("`") else cell.replace("|", "\\|") for cell in (written, said, shown))
    return "| " + " | ".join(cells) + " |"


def section(name: str, command: Any) -> str:
    said = inspect.cleandoc(command.help or "").replace("\f", "").replace("\b", "")
    lines = [f"### {name}", "", said, "", "```text", usage(name, command), "```", ""]
    if parameters(command):
        lines += ["| | | default |", "|---|---|---|", *(row(parameter) for parameter in parameters(command)), ""]
    return "\n".join(lines)


def render() -> str:
    """The whole page: commands by the panel that the program's own help shows them in."""
    panels: dict[str, list[str]] = {}
    for name, command in commands(typer.main.get_command(app)):
        title = getattr(command, "rich_help_panel", None)
        panels.setdefault(title if isinstance(title, str) else "Commands", []).append(section(name, command))
    bodies = [f"## {title}\n\n" + "\n".join(sections) for title, sections in panels.items()]
    return HEAD + "\n" + "\n".join(bodies).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(settle(PAGE, render(), COMMAND, sys.argv[1:]))
