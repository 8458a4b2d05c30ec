"""The house keeps its shape: imports point downwards, files and functions stay small, nothing is untyped or unnamed."""

import ast
from pathlib import Path

import pytest

import autograder

ENGINE = Path(autograder.__file__).parent
LAYERS = (
    "errors",
    "files",
    "course",
    "report",
    "sandbox",
    "testing",
    "grading",
    "authoring",
    "learner",
    "lab",
    "reporting",
    "classroom",
    "cli",
)
SAME_LEVEL = {"authoring": {"learner"}, "learner": {"authoring"}}
MODULES = sorted(path for path in ENGINE.rglob("*.py"))


def layer_of(path: Path) -> str:
    first = path.relative_to(ENGINE).parts[0]
    return first.removesuffix(".py")


def imported_layers(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "autograder":
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("autograder.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ENGINE)))
def test_imports_point_downwards(path):
    layer = layer_of(path)
    if layer not in LAYERS:  # __init__, __main__, bootstrap and the notebook's door stand outside the layers
        return
    allowed = set(LAYERS[: LAYERS.index(layer) + 1]) - SAME_LEVEL.get(layer, set())
    above = {name for name in imported_layers(path) if name in LAYERS} - allowed
    assert not above, f"{layer} imports from {sorted(above)}, which stands above it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ENGINE)))
def test_a_module_says_its_purpose_and_stays_small(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "its first line is its purpose"
    alone = path.name == "bootstrap.py"  # runs before anything is installed, so it can share nothing
    assert len(text.splitlines()) <= (450 if alone else 400)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ENGINE)))
def test_only_the_command_line_and_the_reports_print(path):
    if layer_of(path) in ("cli", "reporting", "bootstrap", "__main__", "notebook"):
        return
    prints = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not prints, f"print in lines {prints}"


def test_the_engine_knows_no_course():
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert "solutions.a" not in text
        assert "MultiHeadAttention" not in text, path
