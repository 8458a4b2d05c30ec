"""Which files of a shared package an assignment uses, so that a change elsewhere in it makes no measurement stale."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path


def files_used(paths: Iterable[Path], package: Path) -> list[Path]:
    """The modules of `package` that the Python files at `paths` import, directly or through one another; sorted.

    `from package import Name` uses the module that `__init__` takes the name from. All modules are taken where it
    cannot be told: `import package`, or a file that cannot be read as Python.
    """
    exported = _exported(package)
    found: set[Path] = set()
    waiting = [path for path in paths if path.is_file()]
    while waiting:
        for module in _imported(waiting.pop(), package):
            names = [module] if module else sorted(_modules(package))
            for name in names:
                path = _file(package, exported.get(name, name))
                if path is not None and path not in found:
                    found.add(path)
                    waiting.append(path)
    return sorted(found)


def _imported(path: Path, package: Path) -> Iterator[str]:
    """What a file imports of the package: dotted names inside it, "" where that may be anything."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        yield ""
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, _, rest = alias.name.partition(".")
                if first == package.name:
                    yield rest
        elif isinstance(node, ast.ImportFrom):
            within = _within(node, path, package)
            if within is not None:
                yield from (".".join(filter(None, (within, alias.name))).replace("*", "") for alias in node.names)


def _within(node: ast.ImportFrom, path: Path, package: Path) -> str | None:
    """Where inside the package a `from … import` looks: "" for the package itself, None for elsewhere."""
    if node.level == 0:
        first, _, rest = (node.module or "").partition(".")
        return rest if first == package.name else None
    folder = path.parents[node.level - 1]
    if not folder.is_relative_to(package):
        return None
    return ".".join(filter(None, (*folder.relative_to(package).parts, node.module)))


def _exported(package: Path) -> dict[str, str]:
    """Which module `__init__` takes each name from."""
    init = package / "__init__.py"
    if not init.is_file():
        return {}
    found = {}
    for node in ast.walk(ast.parse(init.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            within = _within(node, init, package)
            found.update({alias.asname or alias.name: within for alias in node.names} if within else {})
    return found


def _modules(package: Path) -> Iterator[str]:
    for path in package.rglob("*.py"):
        yield ".".join(path.relative_to(package).with_suffix("").parts)


def _file(package: Path, name: str) -> Path | None:
    """The file of a dotted name inside the package; the last part may be a name that the module defines."""
    parts = [part for part in name.split(".") if part]
    while True:
        path = package.joinpath(*parts)
        for candidate in (path.with_suffix(".py"), path / "__init__.py") if parts else (path / "__init__.py",):
            if candidate.is_file():
                return candidate
        if not parts:
            return None
        parts.pop()
