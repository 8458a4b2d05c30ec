"""A source is read as its author meant it, and every breach of the format is refused with its place and its mend."""

import re

import pytest

from autograder.authoring.dialect import read_tests
from autograder.authoring.source import read_source
from autograder.errors import SourceError


@pytest.fixture
def folder(toy):
    return toy / "solutions" / "t01_numbers"


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) >= 1, f"{old!r} is not in {path.name}: the test is stale"
    path.write_text(text.replace(old, new, 1))


def line_of(path, text):
    """The first line (from 1) that holds `text`."""
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def refused(folder):
    with pytest.raises(SourceError) as caught:
        read_source(folder / "source.py")
    error = caught.value
    assert error.where, "a refusal says where"
    assert error.mend, "a refusal says what mends it"
    return error


def test_the_toy_is_read_as_written(folder):
    source = read_source(folder / "source.py")
    assert (source.assignment, source.short, source.module, source.title) == ("t01_numbers", "t01", "means", "Means")
    assert source.requires == ()
    assert source.forbidden == ("statistics.mean", "statistics.fmean")
    mean, running = source.tasks
    assert (mean.name, mean.title, mean.points, mean.minutes, mean.needs) == ("mean", "The mean", 2, 5, ())
    assert running.needs == ("mean",)
    assert [len(task.hints) for task in source.tasks] == [3, 3]
    assert (
        mean.hints[2]
        == "Raise ValueError if the list is empty; otherwise return `math.fsum(xs)`\ndivided by `len(xs)`."
    )
    roles = [cell.role for cell in source.cells if cell.task in ("", "mean")]
    assert roles == ["opening", "given", "text", "statement", "code", "hints", "tests", "given"]


def test_cases_of_literal_lists_are_counted():
    tests = read_tests(
        '@task("a")\n@pytest.mark.parametrize("n", [1, 2, 3])\n@pytest.mark.parametrize(("x", "y"), ((1, 2), (3, 4)))\n'
        'def test_many(student, n, x, y):\n    """True."""\n\n@task("a")\ndef test_one(student):\n    """True."""\n',
        frozenset({"student"}),
    )
    assert [(test.name, test.cases) for test in tests] == [("test_many", 6), ("test_one", 1)]


def test_every_cell_knows_its_line(folder):
    source = read_source(folder / "source.py")
    lines = (folder / "source.py").read_text().splitlines()
    assert all(lines[cell.line - 1].startswith("# %%") for cell in source.cells)


def test_limits_of_its_own_stand_in_the_header(toy):
    assert read_source(toy / "solutions" / "t02_lists" / "source.py").limits == {"cpu_seconds": 2}


def test_an_overlay_goes_before_the_folder(folder, tmp_path):
    overlay = tmp_path / "private"
    overlay.mkdir()
    text = (folder / "hidden_tests.py").read_text()
    (overlay / "hidden_tests.py").write_text(text.replace("test_the_mean_of_many", "test_a_secret_mean"))
    names = [test.name for test in read_source(folder / "source.py", overlay).hidden_tests]
    assert "test_a_secret_mean" in names


CODE = '# %% task="mean" points=2 minutes=5'
BEGIN = "    ### BEGIN SOLUTION\n    if not xs:"
FIRST_END = "    return math.fsum(xs) / len(xs)\n    ### END SOLUTION"
HINTS = '# %% [markdown] hints="mean"'
STATEMENT = '# %% [markdown] task="mean"'

BREACHES = {
    # what is done to source.py: (old, new, what the refusal says, a text on the line that it names)
    "no header": ("# %% [markdown] assignment", "# A note.\n# %% [markdown] assignment", "header cell", "# A note."),
    "header without a key": (' module="means"', "", "does not say module", "assignment="),
    "empty title": ('title="Means"', 'title=""', "title is empty", "assignment="),
    "other folder": ('assignment="t01_numbers"', 'assignment="t09_numbers"', "its folder t01_numbers", "assignment="),
    "module of Python's": ('module="means"', 'module="numbers"', "cannot be called", "assignment="),
    "no dotted name": ("statistics.fmean", "statistics fmean", "no dotted name", "assignment="),
    "limit of zero": ('requires=""', 'requires="" cpu_seconds=0', "limit cpu_seconds", "assignment="),
    "unknown key": (CODE, CODE + " minuets=3", "unknown key 'minuets'", CODE),
    "key of another cell": (HINTS, HINTS + " points=2", "unknown key 'points'", HINTS),
    "unquoted value": (CODE, "# %% task=mean points=2 minutes=5", "metadata cannot be read", "# %% task=mean"),
    "a title": ("# %%\nimport math", "# %% Imports\nimport math", "unknown key 'title'", "# %% Imports"),
    "no points": (CODE, '# %% task="mean" minutes=5', "does not say its points", '# %% task="mean" minutes=5'),
    "no minutes": (CODE, '# %% task="mean" points=2', "does not say its minutes", '# %% task="mean" points=2'),
    "points in words": (CODE, '# %% task="mean" points="2" minutes=5', "'2' as its points", '# %% task="mean"'),
    "negative points": (CODE, '# %% task="mean" points=-2 minutes=5', "-2 as its points", '# %% task="mean"'),
    "four hints": ("# 3. Raise", "# 3. Think.\n# 4. Raise", "has 4 hints", HINTS),
    "two hints": ("# 2. You need the sum", "#    You need the sum", "has 2 hints", HINTS),
    "a hint astray": ("#    divided by", "# divided by", "belongs to none", "# divided by"),
    "no hints": (HINTS, "# %% [markdown]", "mean has no hints", CODE),
    "hints twice": ('hints="running_mean"', 'hints="mean"', "two cells of hints", 'hints="mean"\n# 1. Write'),
    "hints for nobody": (HINTS, '# %% [markdown] hints="median"', "'median', which is no task", 'hints="median"'),
    "no statement": (STATEMENT, "# %% [markdown]", "mean has no statement", CODE),
    "no heading": ("# ## The mean", "# The mean", "has no heading", STATEMENT),
    "never ended": (FIRST_END, "    return 0.0", "never ends", "### BEGIN SOLUTION"),
    "never begun": (BEGIN, "    if not xs:", "ends that never began", "### END SOLUTION"),
    "nested": ("        raise ValueError", "    ### BEGIN SOLUTION\n        raise ValueError", "begins inside", None),
    "misspelt marker": ("### BEGIN SOLUTION", "## BEGIN SOLUTION", "nearly a marker", "## BEGIN SOLUTION"),
    "marker in given code": ("import math", "import math\n### BEGIN SOLUTION", "in given code", "### BEGIN SOLUTION"),
    "marker in tests": ("import pytest\n", "import pytest\n### END SOLUTION\n", "in a tests cell", "### END SOLUTION"),
    "no solution": (BEGIN, "    if not xs:", None, None),
    "other name": ("def mean(", "def average(", "does not define it", CODE),
    "stub no Python": ("    means = []\n    ### BEGIN", "    if xs:\n    ### BEGIN", "is not Python", None),
    "task twice": ('# %% task="running_mean"', '# %% task="mean"', "stands twice, first on line", None),
    "tests for nobody": ('# %% tests="mean"', '# %% tests="median"', "'median', which is no task", 'tests="median"'),
    "no docstring": (
        '    """An empty list has no mean and is refused."""\n',
        "",
        "has no docstring",
        "def test_an_empty",
    ),
    "no task mark": ('@task("mean")\ndef test_an_empty', "def test_an_empty", "which task", "def test_an_empty"),
    "other task": ('@task("mean")\ndef test_an', '@task("running_mean")\ndef test_an', "in a cell for mean", "tests="),
    "fixture": ("refused(student)", "refused(student, reference)", "takes reference", "def test_an_empty"),
    "needs unknown test": ('@needs("test_a_list_by_hand")', '@needs("test_b")', "needs 'test_b'", "def test_the_empty"),
    "same name twice": ("def test_a_second_call_starts_afresh", "def test_an_empty_list_is_refused", "two tests", None),
    "needs unknown": ('needs="mean"', 'needs="median"', "needs 'median'", 'needs="median"'),
    "needs itself": ('needs="mean"', 'needs="running_mean"', "no earlier task", 'needs="running_mean"'),
    "runs on import": ("import pytest\n", "import pytest\nprint(pytest)\n", "runs code", "print(pytest)"),
    "unimported in tests": ("import pytest\n", "", "'pytest' is used here", "@pytest.mark.parametrize"),
    "unimported in a stub": ("import math\n", "", "'math' is used here", "math.fsum(xs) / len"),
    "no Python": ("def mean(xs: list[float]) -> float:", "def mean(xs", "is not Python", None),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_refused_with_its_place(folder, breach):
    old, new, says, on_line = BREACHES[breach]
    path = folder / "source.py"
    edit(path, old, new)
    if breach == "no solution":
        edit(path, "    ### END SOLUTION\n", "")
        says, on_line = "its answer would ship", CODE
    error = refused(folder)
    assert says in error.problem
    assert str(path) in error.where
    if on_line:
        number = int(re.search(r":(\d+)", error.where.removeprefix(str(path))).group(1))
        first = on_line.split("\n")[0]
        assert first in path.read_text().splitlines()[number - 1]


def test_a_marker_in_a_string_is_no_marker(folder):
    edit(folder / "source.py", "import math\n", 'import math\n\nHELP = "look between ### BEGIN SOLUTION and the end"\n')
    assert len(read_source(folder / "source.py").tasks) == 2


def test_a_source_without_tasks_is_refused(folder):
    path = folder / "source.py"
    path.write_text(path.read_text().split("\n# %% [markdown] task=")[0])
    assert "has no task" in refused(folder).problem


@pytest.mark.parametrize("name", ["source.py", "hidden_tests.py", "asks.py", "quiz.toml"])
def test_a_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    assert name in refused(folder).where


HIDDEN_BREACHES = {
    "no docstring": ('    """An empty list has no mean and is refused."""\n', "", "has no docstring"),
    "no task": ('@task("mean")\n@weight(2)\n', "@weight(2)\n", "does not say which task"),
    "unknown task": ('@task("running_mean")\ndef', '@task("median")\ndef', "no task here"),
    "unknown fixture": ("mean(student):", "mean(student, tmp_path):", "takes tmp_path"),
    "unknown needs": ('@needs("test_the_mean_of_many")', '@needs("test_b")', "needs 'test_b'"),
    "needs of another task": (
        '@needs("test_the_mean_of_many")',
        '@needs("test_both_functions_together")',
        "no test of mean",
    ),
    "name of a public test": ("def test_no_numbers_no_mean", "def test_an_empty_list_is_refused", "both called"),
    "undefined name": ("import random\n", "", "'random' is used here"),
    "no Python": ("def numbers(seed, count=7):", "def numbers(seed", "not Python"),
}


@pytest.mark.parametrize("breach", HIDDEN_BREACHES)
def test_a_breach_in_the_hidden_tests_is_refused(folder, breach):
    old, new, says = HIDDEN_BREACHES[breach]
    edit(folder / "hidden_tests.py", old, new)
    with pytest.raises(SourceError) as caught:
        read_source(folder / "source.py")
    assert says in caught.value.problem
    assert "hidden_tests.py" in caught.value.where


def test_a_task_without_hidden_tests_is_refused(folder):
    path = folder / "hidden_tests.py"
    path.write_text(path.read_text().split('@task("running_mean")')[0].rstrip() + "\n")
    edit(path, "from asks import mean_of_running_mean, running_mean_twice\n", "")
    error = refused(folder)
    assert "running_mean has no hidden test" in error.problem


def test_an_ask_that_uses_an_unknown_name_is_refused(folder):
    edit(folder / "asks.py", "student.mean(", "math.floor(")
    assert "'math' is used here" in refused(folder).problem
