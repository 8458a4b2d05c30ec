"""Reads `solutions/aNN_name/source.py` and its siblings into one checked `Source`.

A source is a script in jupytext's percent format whose cells say what they are:

    # %% [markdown] assignment="a02_attention" title="..." module="attention" requires="torch" summary="..."
    # %% [markdown]                                     handout
    # %%                                                given code, shipped as it is
    # %% [markdown] task="mask"                         a task's statement, under its heading
    # %% task="mask" points=2 minutes=10 needs="..."    its code, with ### BEGIN SOLUTION ... ### END SOLUTION
    # %% [markdown] hints="mask"                        its three hints
    # %% tests="mask"                                   its public tests

What it stops: whatever would ship a broken or a solved stub, and tests that cannot be graded. What it does not: wrong
answers and weak tests, which `autograder verify` looks for.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autograder.authoring.cells import Cell, read_cells, read_header, refuse, task_names
from autograder.authoring.dialect import DialectProblem, TestFunction, check_test_cell, read_tests, undefined_names
from autograder.authoring.markers import MarkerProblem, first_marker, strip_solutions
from autograder.authoring.quiz import Question, read_quiz
from autograder.errors import SourceError

_PUBLIC = frozenset({"student", "run"})
_HIDDEN = frozenset({"student", "reference", "seed", "run"})
_ITEM = re.compile(r"^(\d+)\.\s+(.*)$")
_TASK_FORM = '# %% task="name" points=2 minutes=10'


@dataclass(frozen=True)
class TaskSource:
    """One task as its author wrote it."""

    name: str
    title: str
    points: float
    minutes: int
    needs: tuple[str, ...]
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """An assignment as its author wrote it, checked."""

    path: Path
    assignment: str
    title: str
    module: str
    summary: str
    requires: tuple[str, ...]
    forbidden: tuple[str, ...]
    builds_on: tuple[str, ...]
    limits: Mapping[str, float]
    cells: tuple[Cell, ...]
    tasks: tuple[TaskSource, ...]
    public_tests: tuple[TestFunction, ...]
    hidden_tests: tuple[TestFunction, ...]
    asks: str
    quiz: tuple[Question, ...]

    @property
    def short(self) -> str:
        """ "a02" of "a02_attention"."""
        return self.assignment.split("_", 1)[0]

    def task(self, name: str) -> TaskSource:
        return next(task for task in self.tasks if task.name == name)


def read_source(path: Path, overlay: Path | None = None) -> Source:
    """Reads and checks a source and the files beside it; those in the folder `overlay` go before ours."""
    cells = read_cells(path)
    header = read_header(cells[0])
    tasks = _read_tasks(cells)
    _check_given(cells)
    public = _read_public_tests(cells, {task.name for task in tasks})
    hidden_path = _sibling(path, "hidden_tests.py", overlay)
    hidden = _read_hidden_tests(hidden_path, [task.name for task in tasks])
    shared = {test.name for test in public} & {test.name for test in hidden}
    if shared:
        problem = f"a public and a hidden test are both called {min(shared)}"
        raise SourceError(problem, where=str(hidden_path), mend="rename the hidden one: a report tells them by name")
    asks = _read_asks(_sibling(path, "asks.py", overlay))
    return Source(
        path, header.assignment, header.title, header.module, header.summary, header.requires, header.forbidden,
        header.builds_on, header.limits, tuple(cells), tasks, public, hidden, asks,
        read_quiz(_sibling(path, "quiz.toml", overlay)),
    )  # fmt: skip


def _sibling(path: Path, name: str, overlay: Path | None) -> Path:
    private = overlay / name if overlay else None
    return private if private and private.is_file() else path.with_name(name)


def _read_tasks(cells: list[Cell]) -> tuple[TaskSource, ...]:
    found: dict[str, Cell] = {}
    for cell in cells:
        if cell.role == "code":
            if cell.task in found:
                first = found[cell.task].line
                raise refuse(cell, f"task {cell.task} stands twice, first on line {first}", "merge or rename one")
            _check_code(cell)
            found[cell.task] = cell
    if not found:
        raise refuse(cells[0], "the assignment has no task", f"write one: {_TASK_FORM}")
    statements, hints = _only(cells, "statement", found), _only(cells, "hints", found)
    tasks: list[TaskSource] = []
    for name, cell in found.items():
        for role, owned in (("statement", statements), ("hints", hints)):
            if name not in owned:
                key = "task" if role == "statement" else "hints"
                raise refuse(cell, f"task {name} has no {role}", f'write a cell: # %% [markdown] {key}="{name}"')
        points, minutes = _number(cell, "points"), _number(cell, "minutes")
        needs = _needs(cell, [task.name for task in tasks])
        title = _title(statements[name])
        tasks.append(TaskSource(name, title, points, int(minutes), needs, _hints(hints[name])))
    return tuple(tasks)


def _only(cells: list[Cell], role: str, tasks: Mapping[str, Cell]) -> dict[str, Cell]:
    """The one cell of that role that each task has."""
    found: dict[str, Cell] = {}
    for cell in (cell for cell in cells if cell.role == role):
        if cell.task not in tasks:
            raise refuse(cell, f"{role} for {cell.task!r}, which is no task here", f"write one of {', '.join(tasks)}")
        if cell.task in found:
            raise refuse(cell, f"task {cell.task} has two cells of {role}", "merge them into one")
        found[cell.task] = cell
    return found


def _check_code(cell: Cell) -> None:
    """A task's cell defines its name, hides an answer, and is still Python once the answer is gone."""
    if cell.task not in _definitions(cell.text):
        raise refuse(
            cell, f"the cell of task {cell.task} does not define it", f"write def {cell.task}(...) or class {cell.task}"
        )
    try:
        stub = strip_solutions(cell.text)
    except MarkerProblem as problem:
        raise refuse(cell, f"in {cell.task}: {problem.problem}", problem.mend, problem.line) from problem
    if stub == cell.text:
        raise refuse(
            cell,
            f"task {cell.task} has no solution to take out, so its answer would ship",
            'put "### BEGIN SOLUTION" and "### END SOLUTION" around it',
        )
    try:
        left = _definitions(stub)
    except SyntaxError as error:
        offset = (error.lineno or 1) - 1
        raise refuse(cell, f"the stub of {cell.task} is not Python: {error.msg}", "move the markers", offset) from error
    if cell.task not in left:
        raise refuse(cell, f"the stub of {cell.task} no longer defines it", "begin the solution below its first line")


def _definitions(text: str) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.parse(text).body if isinstance(node, kinds)}


def _number(cell: Cell, key: str) -> float:
    value = cell.metadata.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        said = "does not say its" if value is None else f"has {value!r} as its"
        raise refuse(cell, f"task {cell.task} {said} {key}", f"write a number above zero: {_TASK_FORM}")
    return value


def _needs(cell: Cell, earlier: list[str]) -> tuple[str, ...]:
    names = task_names(cell, "needs")
    for name in names:
        if name not in earlier:
            mend = f"name a task that stands before it: {', '.join(earlier)}" if earlier else "take needs out"
            raise refuse(cell, f"task {cell.task} needs {name!r}, which is no earlier task", mend)
    return names


def _title(cell: Cell) -> str:
    first = cell.text.strip().split("\n")[0]
    if not first.startswith("#") or not first.strip("# "):
        raise refuse(cell, f"the statement of {cell.task} has no heading", 'begin it "# ## Title"')
    return first.lstrip("#").strip().replace("`", "")


def _hints(cell: Cell) -> tuple[str, ...]:
    """The three numbered items; what is indented under a number belongs to it."""
    items: list[list[str]] = []
    for offset, line in enumerate(cell.text.split("\n")):
        item = _ITEM.match(line)
        if item:
            items.append([item.group(2)])
        elif items and (not line.strip() or line.startswith(" ")):
            items[-1].append(line)
        elif line.strip():
            raise refuse(cell, f"a line in the hints of {cell.task} belongs to none", "indent it by three", offset)
    if len(items) != 3:
        mend = 'write "1. " a question, "2. " a pointer and "3. " what is nearly the answer'
        raise refuse(cell, f"task {cell.task} has {len(items)} hints, and a ladder has three", mend)
    return tuple("\n".join([first, *textwrap.dedent("\n".join(rest)).split("\n")]).strip() for first, *rest in items)


def _check_given(cells: list[Cell]) -> None:
    """Given code stands as it is, and nothing that ships leans on what does not ship."""
    for cell in cells:
        marker = first_marker(cell.text) if cell.role in ("given", "tests") else None
        if marker is not None:
            kind = "given code" if cell.role == "given" else "a tests cell"
            raise refuse(cell, f"a marker in {kind}, where nothing is taken out", "move it into a task's cell", marker)
    shipped = [cell for cell in cells if cell.role in ("given", "code")]
    _check_names(shipped, "which no given cell or task defines", "import or define it in a cell of given code")


def _check_names(cells: list[Cell], problem: str, mend: str) -> None:
    """Every name that these cells use is defined by one of them."""
    lines = [(cell, offset) for cell in cells for offset in range(len(cell.text.split("\n")))]
    for name, line in undefined_names("\n".join(cell.text for cell in cells)):
        cell, offset = lines[line]
        raise refuse(cell, f"{name!r} is used here, {problem}", mend, offset)


def _read_public_tests(cells: list[Cell], tasks: set[str]) -> tuple[TestFunction, ...]:
    found: dict[str, TestFunction] = {}
    tests_cells = [cell for cell in cells if cell.role == "tests"]
    for cell in tests_cells:
        if cell.task not in tasks:
            raise refuse(cell, f"tests for {cell.task!r}, which is no task here", "name a task of this source")
        try:
            check_test_cell(cell.text)
            tests = read_tests(cell.text, _PUBLIC)
        except DialectProblem as problem:
            raise refuse(cell, problem.problem, problem.mend, problem.line) from problem
        for test in tests:
            if test.task != cell.task:
                raise refuse(cell, f"{test.name} counts for {test.task!r} in a cell for {cell.task}", "make them agree")
            if test.name in found:
                raise refuse(cell, f"there are two tests called {test.name}", "rename one of them")
            found[test.name] = test
    _check_names(tests_cells, "which no tests cell imports or defines", "test_public.py stands alone: import it there")
    return tuple(found.values())


def _read_hidden_tests(path: Path, tasks: list[str]) -> tuple[TestFunction, ...]:
    text = _read_python(path, "hidden tests", "write hidden_tests.py: every task needs at least one")
    try:
        tests = read_tests(text, _HIDDEN)
    except DialectProblem as problem:
        raise SourceError(problem.problem, where=f"{path}:{problem.line + 1}", mend=problem.mend) from problem
    for name, line in undefined_names(text):
        raise SourceError(f"{name!r} is used here, which nothing defines", where=f"{path}:{line + 1}", mend="import it")
    for test in tests:
        if test.task not in tasks:
            strange = f"{test.name} counts for {test.task!r}, which is no task here"
            raise SourceError(strange, where=str(path), mend=f"write one of {', '.join(tasks)}")
    for task in tasks:
        if task not in {test.task for test in tests}:
            mend = f'write a test with @task("{task}"): it is what earns the points'
            raise SourceError(f"task {task} has no hidden test", where=str(path), mend=mend)
    return tuple(tests)


def _read_asks(path: Path) -> str:
    text = _read_python(path, "asks", "write asks.py; a docstring is enough where no test needs one")
    for name, line in undefined_names(text):
        raise SourceError(f"{name!r} is used here, which nothing defines", where=f"{path}:{line + 1}", mend="import it")
    return text


def _read_python(path: Path, what: str, mend: str) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        ast.parse(text)
    except FileNotFoundError as error:
        raise SourceError(f"the {what} are missing", where=str(path), mend=mend) from error
    except SyntaxError as error:
        raise SourceError(f"the {what} are not Python: {error.msg}", where=f"{path}:{error.lineno}") from error
    return text
