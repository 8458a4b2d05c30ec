"""Solutions are taken out by nbgrader's rule, byte for byte, and a marker that is nearly one is refused."""

import pytest

from autograder.authoring.markers import MarkerProblem, solutions_in, strip_solutions

CELLS = [
    "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION",
    "def f(x):\n    y = 1\n    ### BEGIN SOLUTION\n    y = 2\n    ### END SOLUTION\n    return y\n",
    "class A:\n    def f(self):\n        ### BEGIN SOLUTION\n        return 1\n        ### END SOLUTION\n\n"
    "    def g(self):\n        ### BEGIN SOLUTION\n        ### END SOLUTION\n",
    "\n\n### BEGIN SOLUTION\nx = 1\n\n\n### END SOLUTION\n\n",
    "def f():\n\t### BEGIN SOLUTION\n\treturn 1\n\t### END SOLUTION",
    "x = 1\n",
    "",
]


@pytest.mark.parametrize("cell", CELLS)
def test_the_stub_is_nbgraders_byte_for_byte(cell):
    module = pytest.importorskip(
        "nbgrader.preprocessors", reason="nbgrader is no part of the core; it is compared with"
    )
    from nbformat.v4 import new_code_cell

    theirs = new_code_cell(cell)
    module.ClearSolutions()._replace_solution_region(theirs, "python")
    assert strip_solutions(cell) == theirs.source


def test_a_region_becomes_the_stub_at_its_indent():
    stub = strip_solutions(CELLS[0])
    assert stub == "def f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"


def test_the_lines_inside_are_known():
    assert solutions_in(CELLS[1]) == ["    y = 2"]


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("### BEGIN SOLUTION\nx = 1", 0),
        ("x = 1\n### END SOLUTION", 1),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", 1),
        ("x = 1\n# BEGIN SOLUTION", 1),
        ("###BEGIN SOLUTION", 0),
        ("### begin solution", 0),
        ("### BEGIN_SOLUTION", 0),
        ("### BEGIN SOLUTION ###", 0),
    ],
)
def test_what_is_no_balanced_pair_is_refused_with_its_line(cell, line):
    with pytest.raises(MarkerProblem) as caught:
        strip_solutions(cell)
    assert caught.value.line == line


@pytest.mark.parametrize("line", ['x = "### BEGIN SOLUTION"', "x = 1  ### BEGIN SOLUTION", "# the end of a solution"])
def test_a_line_that_only_speaks_of_markers_stays(line):
    assert strip_solutions(line) == line
