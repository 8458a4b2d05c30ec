"""Reads off a module's text, without running it: which stubs are still there, and what it uses of an earlier module."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Borrowed:
    """What a module uses of another one."""

    names: frozenset[str] = frozenset()
    """All that it imports."""
    by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Function or class at the top -> what it uses of that, itself or through others of its module."""


def written(text: str, name: str) -> bool:
    """Whether a module defines `name`, and none of it raises NotImplementedError any more."""
    found = _definitions(_tree(text)).get(name)
    return found is not None and not _is_stub(found)


def unwritten(text: str, name: str) -> bool:
    """Whether a module defines `name` as a stub, or as one of which a part is left."""
    found = _definitions(_tree(text)).get(name)
    return found is not None and _is_stub(found)


def borrowed(text: str, module: str, offered: Collection[str]) -> Borrowed:
    """What a module's text uses of `module`; where it imports everything, that is all that is `offered`."""
    tree = _tree(text)
    meant: dict[str, str] = {}
    whole: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            whole |= {alias.asname or alias.name for alias in node.names if alias.name == module}
        elif isinstance(node, ast.ImportFrom) and node.module == module and not node.level:
            named = {alias.asname or alias.name: alias.name for alias in node.names if alias.name != "*"}
            meant |= named or {name: name for name in offered}
    definitions = _definitions(tree)
    direct = {name: set(_uses(node, meant, whole)) for name, node in definitions.items()}
    calls = {name: _loaded(node) & definitions.keys() for name, node in definitions.items()}
    by = {name: frozenset().union(*(direct[one] for one in _reached(name, calls))) for name in definitions}
    return Borrowed(frozenset(meant.values()) | frozenset(_uses(tree, {}, whole)), by)


def _tree(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _definitions(tree: ast.Module) -> dict[str, Defined]:
    return {node.name: node for node in tree.body if isinstance(node, Defined)}


def _is_stub(definition: Defined) -> bool:
    raised = (node.exc for node in ast.walk(definition) if isinstance(node, ast.Raise))
    named = (error.func if isinstance(error, ast.Call) else error for error in raised)
    return any(isinstance(error, ast.Name) and error.id == "NotImplementedError" for error in named)


def _loaded(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}


def _uses(node: ast.AST, meant: Mapping[str, str], whole: Collection[str]) -> Iterator[str]:
    """The borrowed names in a piece of the text: by their own name, or as attributes of the module."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id in meant:
            yield meant[part.id]
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in whole:
            yield part.attr


def _reached(name: str, calls: Mapping[str, Collection[str]]) -> list[str]:
    """A definition and all that it uses of its own module."""
    reached = [name]
    for one in reached:
        reached += sorted(other for other in calls[one] if other not in reached)
    return reached
