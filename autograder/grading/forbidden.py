"""Looks for helpers that a handout rules out, in the text.

What it stops: using `F.scaled_dot_product_attention` in the attention task by habit. What it does not: somebody who
means to hide it (getattr with a built string). The name is looked up through the file's own imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence


def forbidden_uses(tree: ast.Module, forbidden: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Which top-level definition uses what, as {"attention": ("torch.nn.functional.x", line)}; "" is the module itself.

    `forbidden` holds dotted names; one that ends in "*" forbids every name that starts so.
    """
    aliases = dict(_aliases(tree))
    found: dict[str, tuple[str, int]] = {}
    for statement in tree.body:
        owner = statement.name if isinstance(statement, ast.FunctionDef | ast.ClassDef) else ""
        for name, line in _names_used(statement, aliases):
            hit = next((rule for rule in forbidden if _matches(name, rule)), None)
            if hit and owner not in found:
                found[owner] = (name, line)
    return found


def _names_used(node: ast.AST, aliases: dict[str, str]) -> Iterator[tuple[str, int]]:
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute | ast.Name):
            name = _dotted(child)
            if name:
                first, dot, rest = name.partition(".")
                yield aliases.get(first, first) + dot + rest, child.lineno
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            for alias in child.names:
                yield f"{child.module}.{alias.name}", child.lineno
        elif isinstance(child, ast.Import):
            for alias in child.names:
                yield alias.name, child.lineno


def _aliases(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.partition(".")[0],
                    alias.name if alias.asname else alias.name.partition(".")[0],
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _matches(name: str, rule: str) -> bool:
    if rule.endswith("*"):
        return name.startswith(rule[:-1])
    return name == rule or name.startswith(rule + ".")
