"""What authors write tests, mistakes and alternatives with.

A test is a function that pytest collects. It asks `student` and compares with `reference`, a library or numbers worked
out by hand; its docstring is the sentence that the student reads. `docs/write/tests.md` teaches the dialect.
"""

from autograder.testing.bank import Alternative, Mistake, alternative, mistake
from autograder.testing.marks import graded_run, needs, task, weight
from autograder.testing.student import Answer, BudgetExceeded, Counted, Student, WrongAnswer

__all__ = [
    "Alternative",
    "Answer",
    "BudgetExceeded",
    "Counted",
    "Mistake",
    "Student",
    "WrongAnswer",
    "alternative",
    "graded_run",
    "mistake",
    "needs",
    "task",
    "weight",
]
