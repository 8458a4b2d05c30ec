"""What is read off a module's text: its stubs, and what it uses of an earlier module."""

import pytest

from autograder.grading.outline import borrowed, unwritten, written

TEXT = """
import counts as c
from counts import best as top

def helper(xs):
    return top(xs)

def plain(xs):
    return xs

def direct(xs):
    return c.least(xs)

class Agent:
    def act(self, xs):
        return helper(xs)

    def learn(self):
        raise NotImplementedError("later")
"""


def test_names_are_followed_through_aliases_helpers_and_classes():
    used = borrowed(TEXT, "counts", ["best", "least", "other"])
    assert used.names == {"best", "least"}
    assert used.by == {"helper": {"best"}, "plain": set(), "direct": {"least"}, "Agent": {"best"}}


def test_importing_everything_borrows_all_that_is_offered():
    used = borrowed("from counts import *\n\ndef f():\n    return best()\n", "counts", ["best", "least"])
    assert used.names == {"best", "least"}
    assert used.by["f"] == {"best"}


def test_functions_that_call_each_other_come_to_an_end():
    text = "from counts import best\ndef f():\n    g()\ndef g():\n    f(), best()\n"
    assert borrowed(text, "counts", ["best"]).by == {"f": {"best"}, "g": {"best"}}


@pytest.mark.parametrize("name", ["helper", "plain"])
def test_a_function_without_the_stubs_statement_is_written(name):
    assert written(TEXT, name)
    assert not unwritten(TEXT, name)


def test_a_class_of_which_a_method_is_left_is_not_written():
    assert unwritten(TEXT, "Agent")
    assert not written(TEXT, "Agent")


@pytest.mark.parametrize("text", [TEXT, "def broken(:", "\0"])
def test_what_is_not_there_is_neither(text):
    assert not written(text, "absent")
    assert not unwritten(text, "absent")
