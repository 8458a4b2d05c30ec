"""A module becomes a notebook and comes back: whatever the student typed, in either form, is kept."""

import json

import nbformat
import pytest

from autograder.authoring.notebook import back_to_module, make_notebook
from autograder.course import Course
from autograder.errors import CourseError, SubmissionError
from autograder.grading.submission import live_form, read_submission

ANSWER = "    return math.fsum(xs) / len(xs)\n"
STUB = "    # YOUR CODE HERE\n    raise NotImplementedError()\n"


@pytest.fixture
def assignment(kit):
    """In a kit: the notebook is made without solutions/."""
    return Course.load(kit).assignment("t01")


def cells_of(assignment):
    return json.loads(assignment.notebook_path.read_text())["cells"]


def text_of(cell):
    return "".join(cell["source"])


def cell(assignment, name):
    return next(cell for cell in cells_of(assignment) if cell["id"] == name)


def write_cells(assignment, cells):
    data = json.loads(assignment.notebook_path.read_text())
    assignment.notebook_path.write_text(json.dumps({**data, "cells": cells}))


def answer_in_notebook(assignment, text="def mean(xs):\n    return sum(xs) / len(xs)"):
    cells = cells_of(assignment)
    for item in cells:
        if item["id"] == "task-mean":
            item["source"] = text
    write_cells(assignment, cells)


def answer_in_module(assignment, old=STUB, new=ANSWER):
    text = assignment.module_path.read_text()
    assert old in text
    assignment.module_path.write_text(text.replace(old, new, 1))


def backups(assignment):
    return sorted((assignment.root / ".autograder" / "backups" / assignment.id).rglob("means.*"))


def test_the_notebook_is_the_released_one_while_nothing_is_written(assignment):
    path = make_notebook(assignment)
    assert path == assignment.notebook_path
    nbformat.validate(nbformat.read(path, as_version=4))
    released = json.loads((assignment.folder / ".notebook.json").read_text())
    assert [item["id"] for item in cells_of(assignment)] == [item["id"] for item in released["cells"]]
    assert [text_of(item) for item in cells_of(assignment)] == [text_of(item) for item in released["cells"]]
    assert cell(assignment, "task-mean")["metadata"]["nbgrader"]["solution"] is True


def test_it_is_made_from_the_module_as_it_is_now(assignment):
    answer_in_module(assignment)
    make_notebook(assignment)
    assert "math.fsum(xs) / len(xs)" in text_of(cell(assignment, "task-mean"))


@pytest.mark.parametrize("edited", [False, True])
def test_there_and_back_is_byte_for_byte(assignment, edited):
    if edited:
        answer_in_module(assignment)
        text = assignment.module_path.read_text().replace(
            '# %% task="running', '# %%\nHELP = 1\n\n\n# %% task="running'
        )
        assignment.module_path.write_text(text + "\n\n# %% [markdown]\n# A note of *mine*.\n")
    before = assignment.module_path.read_text()
    make_notebook(assignment)
    assignment.module_path.unlink()
    back_to_module(assignment)
    assert assignment.module_path.read_text() == before


def test_work_in_the_notebook_comes_back(assignment):
    make_notebook(assignment)
    answer_in_notebook(assignment)
    mine = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "My *thoughts*."},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": ["%timeit 1\n", "HALF = 0.5"], "outputs": []},
    ]
    write_cells(assignment, [*cells_of(assignment), *mine])
    back_to_module(assignment)
    text = assignment.module_path.read_text()
    assert "return sum(xs) / len(xs)" in text
    assert "# My *thoughts*." in text
    assert "# %timeit 1\nHALF = 0.5" in text
    assert "check(" not in text
    assert "Add all numbers up" not in text, "the handout is no part of the module"
    module = {"__name__": "means"}
    exec(compile(text, "means.py", "exec"), module)
    assert module["mean"]([1, 2]) == 1.5


def test_a_handout_cell_that_the_student_wrote_into_is_kept(assignment):
    make_notebook(assignment)
    cells = cells_of(assignment)
    next(item for item in cells if item["id"] == "statement-mean")["source"].append("\n\nAh, so zero is refused?")
    write_cells(assignment, cells)
    back_to_module(assignment)
    assert "Ah, so zero is refused?" in assignment.module_path.read_text()


def test_a_module_without_cells_loses_nothing(assignment):
    assignment.module_path.write_text("def mean(xs):\n    return 1\n\n\ndef running_mean(xs):\n    return xs\n")
    make_notebook(assignment)
    texts = [text_of(item) for item in cells_of(assignment)]
    assert any("def mean" in text for text in texts)
    assert any("def running_mean" in text for text in texts)
    assert "## The mean\nAdd all numbers up" in "\n".join(texts)


def test_a_module_that_is_no_python_yet_becomes_a_notebook_all_the_same(assignment):
    answer_in_module(assignment, new="    return (\n")
    make_notebook(assignment)
    assert "return (" in text_of(cell(assignment, "task-mean"))


def test_which_form_is_live_is_recorded(assignment):
    make_notebook(assignment)
    record = json.loads((assignment.root / ".autograder" / "forms" / "t01_numbers.json").read_text())
    assert record["live"] == "ipynb"
    assert live_form(assignment) == "ipynb"
    answer_in_module(assignment)
    assert live_form(assignment) == "py"


def test_both_forms_are_graded_alike(assignment):
    make_notebook(assignment)
    answer_in_notebook(assignment)
    graded = read_submission(assignment)
    assert graded.form == "ipynb"
    module = {"__name__": "means"}
    exec(compile(graded.text, "means.ipynb", "exec"), module)
    assert module["mean"]([1, 2]) == 1.5


def test_asked_again_it_changes_nothing(assignment):
    make_notebook(assignment)
    before = assignment.notebook_path.read_bytes()
    make_notebook(assignment)
    assert assignment.notebook_path.read_bytes() == before
    assert backups(assignment) == []


def test_an_edited_notebook_stays_when_the_module_has_not_changed(assignment):
    make_notebook(assignment)
    answer_in_notebook(assignment)
    before = assignment.notebook_path.read_bytes()
    make_notebook(assignment)
    assert assignment.notebook_path.read_bytes() == before


def test_a_notebook_that_only_ran_is_made_anew_with_a_backup(assignment):
    make_notebook(assignment)
    cells = cells_of(assignment)
    cells[1]["execution_count"] = 1
    cells[1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "hello\n"}]
    write_cells(assignment, cells)
    answer_in_module(assignment)
    make_notebook(assignment)
    assert "math.fsum(xs) / len(xs)" in text_of(cell(assignment, "task-mean"))
    assert [path.name for path in backups(assignment)] == ["means.ipynb"]


def edit_both(assignment):
    make_notebook(assignment)
    answer_in_notebook(assignment)
    answer_in_module(assignment)


@pytest.mark.parametrize("convert", [make_notebook, back_to_module])
def test_both_edited_is_refused_naming_both(assignment, convert):
    edit_both(assignment)
    before = assignment.notebook_path.read_bytes(), assignment.module_path.read_bytes()
    with pytest.raises(SubmissionError) as caught:
        convert(assignment)
    said = str(caught.value)
    assert "means.py" in said
    assert "means.ipynb" in said
    assert "autograder notebook t01 --replace" in said
    assert "autograder notebook t01 --back --replace" in said
    assert (assignment.notebook_path.read_bytes(), assignment.module_path.read_bytes()) == before


@pytest.mark.parametrize(("convert", "lost"), [(make_notebook, "means.ipynb"), (back_to_module, "means.py")])
def test_what_is_replaced_is_kept_in_a_backup(assignment, convert, lost):
    edit_both(assignment)
    before = (assignment.folder / lost).read_bytes()
    convert(assignment, replace=True)
    (backup,) = backups(assignment)
    assert backup.name == lost
    assert backup.read_bytes() == before
    assert (assignment.folder / lost).read_bytes() != before


def test_both_edited_alike_is_agreement(assignment):
    make_notebook(assignment)
    answer_in_module(assignment)
    text = assignment.module_path.read_text().split("# %%")
    mean = next(part for part in text if part.startswith(' task="mean"'))
    answer_in_notebook(assignment, mean.split("\n", 1)[1].rstrip())
    make_notebook(assignment)
    assert live_form(assignment) == "ipynb"


def test_a_strange_notebook_in_the_way_is_refused_and_kept(assignment):
    strange = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    assignment.notebook_path.write_text(json.dumps(strange))
    with pytest.raises(SubmissionError, match="both"):
        make_notebook(assignment)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": [1]}', '{"cells": [{"cell_type": "code"}]}', "\xff"])
def test_a_damaged_notebook_is_refused_and_kept(assignment, text):
    assignment.notebook_path.write_bytes(text.encode("latin-1"))
    for convert in (make_notebook, back_to_module):
        with pytest.raises(SubmissionError):
            convert(assignment, replace=True)
    assert assignment.notebook_path.read_bytes() == text.encode("latin-1")


def test_nothing_there_is_said_so(assignment):
    with pytest.raises(SubmissionError, match=r"means\.ipynb is missing"):
        back_to_module(assignment)
    assignment.module_path.unlink()
    with pytest.raises(SubmissionError) as caught:
        make_notebook(assignment)
    assert "autograder reset t01" in str(caught.value)


def test_a_kit_without_the_released_notebook_is_said_so(assignment):
    (assignment.folder / ".notebook.json").unlink()
    with pytest.raises(CourseError, match="released notebook"):
        make_notebook(assignment)
