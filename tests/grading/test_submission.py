"""What a student handed in is read, never run, and what cannot be read is refused with the file's name."""

import json

import pytest

from autograder.course import Assignment, Task
from autograder.errors import SubmissionError
from autograder.grading.submission import digest, forms_file, live_form, notebook_source, read_submission


@pytest.fixture
def assignment(tmp_path):
    made = Assignment("t01_numbers", "Means", "month1", "means", "", (Task("mean", "The mean", 2, 5),), tmp_path)
    made.folder.mkdir(parents=True)
    made.module_path.write_text("def mean(xs):\n    return 1.0\n")
    return made


def notebook(*cells: dict) -> str:
    return json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def code(source, **metadata) -> dict:
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": None}


def test_the_module_is_read_as_it_is(assignment):
    submission = read_submission(assignment)
    assert submission.form == "py"
    assert submission.text == "def mean(xs):\n    return 1.0\n"
    assert submission.sha256.startswith("py:")


@pytest.mark.parametrize(("content", "said"), [(b"\xff\xfe\x00bad", "not UTF-8"), (b"#" * (5 * 2**20), "larger than")])
def test_an_unreadable_module_is_named(assignment, content, said):
    assignment.module_path.write_bytes(content)
    with pytest.raises(SubmissionError, match=said):
        read_submission(assignment)


def test_a_missing_module_says_how_to_get_one(assignment):
    assignment.module_path.unlink()
    with pytest.raises(SubmissionError, match="autograder reset t01"):
        read_submission(assignment)


def test_notebook_cells_join_without_magics_markdown_and_checks(tmp_path):
    text = notebook(
        {"cell_type": "markdown", "source": "# title", "metadata": {}},
        code(["import math\n", "%matplotlib inline\n", "!ls\n", "x = 7 % 3"]),
        code("%%time\nslow()"),
        code("check('t01.mean')", autograder={"role": "check"}),
        code("def mean(xs):\n    return 1.0"),
    )
    source = notebook_source(text, tmp_path / "means.ipynb")
    compile(source, "means", "exec")
    assert "x = 7 % 3" in source
    assert "\n# %matplotlib inline\n# !ls\n" in source
    assert "# slow()" in source
    assert "check(" not in source
    assert "title" not in source


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', '{"cells": [{"cell_type": "code"}]}', "null"])
def test_a_damaged_notebook_is_named(tmp_path, text):
    with pytest.raises(SubmissionError, match=r"means\.ipynb is no notebook"):
        notebook_source(text, tmp_path / "means.ipynb")


def test_the_form_that_was_edited_is_live_and_both_is_refused(assignment):
    assignment.notebook_path.write_text(notebook(code("def mean(xs):\n    return 1.0")))
    record = forms_file(assignment)
    record.parent.mkdir(parents=True)
    agreed = {"py_sha": digest(assignment.module_path), "ipynb_sha": digest(assignment.notebook_path)}
    record.write_text(json.dumps(agreed))
    assert live_form(assignment) == "ipynb"
    assignment.module_path.write_text("def mean(xs):\n    return 2.0\n")
    assert live_form(assignment) == "py"
    assignment.notebook_path.write_text(notebook(code("def mean(xs):\n    return 3.0")))
    with pytest.raises(SubmissionError, match=r"both means\.py and means\.ipynb"):
        read_submission(assignment)
    assert read_submission(assignment, "py").text.endswith("2.0\n")
