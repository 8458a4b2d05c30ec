"""Reads an author's tests without running them: which task each counts for, and whether it keeps to the dialect.

What it stops: tests that pytest would collect and nobody could grade, and public tests that need what a kit lacks.
What it does not: tests that are wrong. `autograder verify` runs them on the reference, the stub and the mistakes.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

_IMPLICIT = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
_MAY_STAND_IN_A_TEST_CELL = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


class DialectProblem(Exception):
    """A breach of the dialect: what is wrong, on which line of the text (from 0), and what mends it."""

    def __init__(self, line: int, problem: str, mend: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem
        self.mend = mend


@dataclass(frozen=True)
class TestFunction:
    """One test as written: a parametrised one counts as many cases as its literal lists hold."""

    __test__ = False

    name: str
    task: str
    sentence: str
    needs: tuple[str, ...] = ()
    cases: int = 1


def read_tests(text: str, fixtures: frozenset[str]) -> list[TestFunction]:
    """The tests of a file or cell, in order, each checked; its arguments are `fixtures` and its own parameters."""
    tests: list[TestFunction] = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            if node.name in {test.name for test in tests}:
                raise DialectProblem(node.lineno - 1, f"there are two tests called {node.name}", "rename one of them")
            tests.append(_read_test(node, fixtures))
    names = {test.name: test.task for test in tests}
    for test in tests:
        for needed in test.needs:
            if names.get(needed) != test.task:
                raise DialectProblem(
                    _line_of(text, test.name),
                    f"{test.name} needs {needed!r}, which is no test of {test.task} in this file",
                    "name a test of the same task",
                )
    return tests


def _read_test(node: ast.FunctionDef, fixtures: frozenset[str]) -> TestFunction:
    line = node.lineno - 1
    tasks = [argument for call in _decorators(node, "task") for argument in _strings(call)]
    if len(tasks) != 1:
        raise DialectProblem(line, f"{node.name} does not say which task it counts for", 'put @task("name") above it')
    sentence = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    if not sentence:
        raise DialectProblem(
            line, f"{node.name} has no docstring", "write the sentence that the student reads as its docstring"
        )
    parametrised = _decorators(node, "parametrize")
    own = {name for call in parametrised if call.args for name in _parameter_names(call.args[0])}
    arguments = {argument.arg for argument in node.args.args + node.args.kwonlyargs}
    strange = sorted(arguments - fixtures - own)
    if strange:
        allowed = ", ".join(sorted(fixtures))
        raise DialectProblem(line, f"{node.name} takes {', '.join(strange)}", f"it may take {allowed} and parameters")
    needs = tuple(argument for call in _decorators(node, "needs") for argument in _strings(call))
    return TestFunction(node.name, tasks[0], sentence, needs, prod(_case_count(call) for call in parametrised))


def check_test_cell(text: str) -> None:
    """A test cell runs whenever the source is imported, so it only imports and defines."""
    for number, node in enumerate(ast.parse(text).body):
        docstring = number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and not isinstance(node, _MAY_STAND_IN_A_TEST_CELL):
            raise DialectProblem(
                node.lineno - 1, "a test cell runs code when it is imported", "move it into a test function"
            )


def undefined_names(text: str) -> Iterator[tuple[str, int]]:
    """Names that a module uses and nobody defines, each with the line (from 0) where it is first used."""
    tree = ast.parse(text)
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return
    module = symtable.symtable(text, "module", "exec")
    known = {s.get_name() for s in module.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    used = {s.get_name() for table in _tables(module) for s in table.get_symbols() if _is_global_use(s, table, module)}
    for name in sorted(used - known - _IMPLICIT):
        lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == name]
        yield name, min(lines, default=1) - 1


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _is_global_use(symbol: symtable.Symbol, table: symtable.SymbolTable, module: symtable.SymbolTable) -> bool:
    return symbol.is_referenced() and (table is module or symbol.is_global())


def _decorators(node: ast.FunctionDef, name: str) -> list[ast.Call]:
    """The decorator calls whose last name is `name`: @task(...), @testing.task(...), @pytest.mark.parametrize(...)."""
    calls = [decorator for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
    return [call for call in calls if _last_name(call.func) == name]


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _strings(call: ast.Call) -> list[str]:
    return [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]


def _parameter_names(node: ast.expr) -> list[str]:
    """Names in the first argument of parametrize: "a, b" or ("a", "b")."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [name.strip() for name in node.value.split(",")]
    if isinstance(node, ast.Tuple | ast.List):
        return [item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return []


def _case_count(call: ast.Call) -> int:
    values = call.args[1] if len(call.args) > 1 else None
    return len(values.elts) if isinstance(values, ast.Tuple | ast.List) else 1


def _line_of(text: str, name: str) -> int:
    return next((i for i, line in enumerate(text.split("\n")) if line.startswith(f"def {name}(")), 0)
