"""Notebook libraries are loaded when a notebook is read or made, and never on the way to a grade."""

import subprocess
import sys

import pytest

GRADING = (
    "import autograder.grading.run, autograder.grading.store, autograder.testing.plugin, autograder.sandbox.loopback"
)
AUTHORING = "import autograder.authoring.release, autograder.authoring.notebook, autograder.authoring.scaffold"


def loaded_after(statement):
    """The top-level packages that a fresh Python has loaded after `statement`."""
    program = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", [GRADING, AUTHORING])
def test_notebook_libraries_wait_until_they_are_needed(statement):
    loaded = loaded_after(statement)
    assert "autograder" in loaded
    assert not loaded & {"jupytext", "nbformat", "nbgrader"}


def test_grading_loads_nothing_of_an_authors():
    assert not [name for name in loaded_after(GRADING) if name.startswith("autograder.authoring")]
