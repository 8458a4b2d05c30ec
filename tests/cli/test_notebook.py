"""`check` inside a notebook, and a notebook from its first cell to its grade."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rich.console
import rich.jupyter
from rich.text import Text

import autograder
from autograder.authoring.notebook import make_notebook
from autograder.course import Course
from autograder.notebook import Shown, check

RIGHT = "def mean(xs):\n    if not xs:\n        raise ValueError\n    return math.fsum(xs) / len(xs)"
WRONG = "def mean(xs):\n    if not xs:\n        raise ValueError\n    return math.fsum(xs)"


def test_a_check_is_shown_as_text_and_as_html(toy, monkeypatch):
    monkeypatch.chdir(toy)
    shown = check("t01.mean")
    assert not shown.passed
    assert "mean" in repr(shown)
    assert "not written yet" in repr(shown)
    assert "<" not in repr(shown)
    page = shown._repr_html_()
    assert page.startswith('<div class="autograder piece">')
    assert "mean is not written yet." in page
    assert "autograder check t01" in page


def test_a_name_that_is_none_is_a_screen_and_no_traceback(toy, monkeypatch):
    monkeypatch.chdir(toy)
    shown = check("t09")
    assert not shown.passed
    assert "did you mean t02" in repr(shown)
    assert "did you mean t02" in shown._repr_html_()


def test_a_student_can_not_write_html_into_the_page(toy, monkeypatch):
    monkeypatch.chdir(toy)
    path = toy / "assignments" / "t01_numbers" / "means.py"
    text = path.read_text(encoding="utf-8")
    path.write_text("raise ImportError('<script>alert(1)</script>')\n" + text, encoding="utf-8")
    page = check("t01.mean")._repr_html_()
    assert "alert(1)" in page
    assert "<script" not in page


def test_inside_a_notebook_nothing_is_displayed_beside_the_value(monkeypatch):
    shown = []
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr(rich.jupyter, "display", lambda *what: shown.append(what))
    screen = Shown(Text("2 of 5 points"), "<p>2 of 5</p>", passed=False)
    assert shown == []
    assert "2 of 5 points" in repr(screen)
    assert screen._repr_html_() == "<p>2 of 5</p>"


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(autograder.__file__).parents[1]), "COLUMNS": "80"}


def run(folder, *arguments):
    command = [sys.executable, "-m", "autograder", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, encoding="utf-8", timeout=120)


def put(assignment, answer):
    """Writes the answer into its cell and saves, as a student does before checking."""
    data = json.loads(assignment.notebook_path.read_text(encoding="utf-8"))
    next(cell for cell in data["cells"] if cell["id"] == "task-mean")["source"] = answer
    assignment.notebook_path.write_text(json.dumps(data), encoding="utf-8")


def execute(assignment, *more):
    """Runs the notebook in a kernel as Jupyter does, saves it, and returns its cells by id. `more`: cells that follow."""
    nbclient = pytest.importorskip("nbclient", reason="a notebook runs with nbclient and ipykernel")
    pytest.importorskip("ipykernel", reason="a notebook runs with nbclient and ipykernel")
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.read(assignment.notebook_path, as_version=4)
    extra = [nbformat.v4.new_code_cell(source) for source in more]
    whole = nbformat.from_dict({**book, "cells": [*book.cells, *extra]})
    client = nbclient.NotebookClient(
        whole, timeout=120, allow_errors=True, resources={"metadata": {"path": str(assignment.folder)}}
    )
    client.execute(env=environment())
    book.cells = whole.cells[: len(book.cells)]
    nbformat.write(book, assignment.notebook_path)
    return {cell.get("id"): cell for cell in book.cells}, whole.cells[len(book.cells) :]


@pytest.fixture
def assignment(toy):
    found = Course.load(toy).assignment("t01")
    make_notebook(found)
    return found


def shown_by(cell):
    (output,) = [output for output in cell["outputs"] if output["output_type"] == "execute_result"]
    return output["data"]


@pytest.mark.slow
def test_a_notebook_that_was_executed_is_graded_from_its_file(assignment, toy):
    put(assignment, RIGHT)
    cells, _ = execute(assignment)
    data = shown_by(cells["check-mean"])
    assert "mean passes." in data["text/plain"]
    assert "mean passes, 2 points" in data["text/html"]
    saved = json.loads(assignment.notebook_path.read_text(encoding="utf-8"))
    assert any(cell.get("outputs") for cell in saved["cells"]), "the file holds what the cells gave"
    done = run(toy, "check", "t01.mean", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["submission"].startswith("ipynb:")
    assert sum(test["points"] for test in report["tests"]) == 2
    graded = run(toy, "grade")
    assert "2 of 8 points" in graded.stdout
    assert "means.ipynb" in run(toy, "check", "t01").stdout, "the next step names the form that is worked in"


@pytest.mark.slow
def test_a_notebook_keeps_one_sandbox_and_reads_the_file_anew(assignment):
    put(assignment, WRONG)
    path = str(assignment.notebook_path)
    edit = (
        f"from pathlib import Path\npath = Path({path!r})\n"
        "text = path.read_text(encoding='utf-8')\n"
        "path.write_text(text.replace('return math.fsum(xs)', 'return math.fsum(xs) / len(xs)'), encoding='utf-8')\n"
        "from autograder import notebook\nbefore = list(notebook._sandboxes()._kept.values())"
    )
    same = "[len(before), before == list(notebook._sandboxes()._kept.values())]"
    cells, (_, again, kept) = execute(assignment, edit, 'check("t01.mean")', same)
    assert "Your mean grows with the length of the list." in shown_by(cells["check-mean"])["text/html"]
    assert "mean passes." in shown_by(again)["text/plain"]
    assert shown_by(kept)["text/plain"] == "[1, True]"


def test_both_forms_edited_is_refused_by_name(assignment, toy, monkeypatch):
    put(assignment, RIGHT)
    text = assignment.module_path.read_text(encoding="utf-8")
    assignment.module_path.write_text(text + "\nMINE = 1\n", encoding="utf-8")
    done = run(toy, "check", "t01.mean")
    assert done.returncode == 2
    assert "both means.py and means.ipynb were edited" in " ".join(done.stderr.split())
    assert "--form py" in done.stderr
    monkeypatch.chdir(toy)
    shown = check("t01.mean")
    assert "both means.py and means.ipynb were edited" in shown._repr_html_()
    assert run(toy, "check", "t01.mean", "--form", "ipynb").returncode == 0
    assert run(toy, "check", "t01.mean", "--form", "py").returncode == 1


@pytest.mark.slow
def test_cells_that_only_ran_are_no_edit(assignment, toy):
    """Whoever runs the notebook's cells and then works in the module has edited one form, not two."""
    execute(assignment)
    text = assignment.module_path.read_text(encoding="utf-8")
    start, end = text.index("def mean("), text.index('# %% task="running_mean"')
    assignment.module_path.write_text(text[:start] + RIGHT + "\n\n\n" + text[end:], encoding="utf-8")
    done = run(toy, "check", "t01.mean", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["submission"].startswith("py:")
