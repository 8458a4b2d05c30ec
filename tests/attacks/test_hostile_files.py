"""What a student hands in is read by the grader itself: text made to break its reading, and files beside the module."""

import json

import pytest

pytestmark = [pytest.mark.attack, pytest.mark.timeout(120)]

TEXTS = {
    "brackets nested too deep": "x = " + "(" * 5_000 + ")" * 5_000,
    "signs without end": "x = " + "-" * 60_000 + "1",
    "attributes without end": "x = a" + ".b" * 3_000,
    "attributes near the recursion limit": "x = a" + ".b" * 920,
    "sums without end": "x = 1" + " + 1" * 20_000,
    "functions in functions": "".join(" " * i + f"def f{i}():\n" for i in range(99)) + " " * 99 + "pass",
    "a number too long": "x = " + "9" * 1_000_000,
    "powers of powers": "x = 9 ** 9 ** 9 ** 9",
    "text folded from a product": "x = 'x' * 10 ** 10",
    "a NUL": "x = 1\0",
    "lone surrogates": "# \ud800",
    "nothing": "",
    "an encoding that changes the text": "# -*- coding: utf-7 -*-\nx = 1",
    "very many items": "x = [" + "0," * 40_000 + "]",
    "one very long line": "x = '" + "x" * 3_900_000 + "'",
    "form feeds and carriage returns": "x = 1\r\f\v\x1c\x85\u2028y = 2",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_made_to_break_the_reader_is_graded_or_refused(graders, name):
    grader = graders("fork")
    graded = grader.grade(TEXTS[name], {"cpu_seconds": 0.3}, may_refuse=True)
    if graded.report["tests"]:
        assert graded.points == 0
        assert graded.report["complete"]
        assert all(test["outcome"] != "error" for test in graded.report["tests"])
    else:
        assert graded.refusal
    assert grader.honest(task="running_mean").points == 3


WRITES = "open({path!r}, 'w').write('BREACHED')\n"

COMPANIONS = {
    "a pytest configuration in Python": "conftest.py",
    "a package file": "__init__.py",
    "pytest's plugin file": "pytest_plugins.py",
    "an own asks.py": "asks.py",
    "own public tests": "test_public.py",
}


@pytest.mark.parametrize("kind", COMPANIONS)
def test_no_file_of_a_submission_runs_in_the_grader(graders, kind):
    grader, name = graders("fork"), COMPANIONS[kind]
    witness = grader.scene.base / "scratch" / "witness"
    genuine = grader.scene.folder / name
    text = WRITES.format(path=str(witness)) + (genuine.read_text() if genuine.is_file() else "")
    try:
        graded = grader.grade("def mean(xs):\n    return 0.0\n", beside={name: text}, may_refuse=True)
        assert not witness.exists(), f"{name} ran in the grader"
    finally:
        witness.unlink(missing_ok=True)
    assert graded.points == 0
    assert grader.honest().points == 5


@pytest.mark.parametrize("name", ["pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml"])
def test_no_configuration_of_a_submission_is_heeded(graders, name):
    grader = graders("fork")
    settings = {
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "--deselect test_public.py -k nothing"\n',
        "setup.cfg": "[tool:pytest]\naddopts = -k nothing\n",
    }
    text = settings.get(name, "[pytest]\naddopts = -k nothing\npython_functions = never_*\n")
    graded = grader.grade("def mean(xs):\n    return 0.0\n", beside={name: text})
    assert len(graded.report["tests"]) == 14
    assert graded.points == 0


def test_a_notebook_that_is_none_is_refused_in_a_sentence(graders):
    grader = graders("fork")
    for text in (
        "[" * 100_000,
        "{}",
        '{"cells": 5}',
        '{"cells": [{"cell_type": "code", "source": 5}]}',
        "\ud800",
        "NaN",
    ):
        graded = grader.grade("x = 1\n", beside={"means.ipynb": text}, form="ipynb", may_refuse=True)
        assert graded.refusal or graded.points == 0
        assert "Traceback" not in graded.refusal
    cells = [{"cell_type": "code", "metadata": {}, "source": "def mean(xs):\n    return 0.0\n!rm -rf nothing\n%%bash"}]
    graded = grader.grade("x = 1\n", beside={"means.ipynb": json.dumps({"cells": cells})}, form="ipynb")
    assert graded.points == 0
