"""Reading the questions."""

import json

import pytest

from autograder.errors import CourseError
from autograder.learner.quiz import Question, read_quiz


def test_the_released_questions_are_read(toy_course):
    first, *rest = read_quiz(toy_course.assignment("t01"))
    assert first.choices[first.answer] == "[3]"
    assert len(rest) == 1


@pytest.mark.parametrize(
    ("typed", "place"), [("b", 1), ("B", 1), (" b) ", 1), ("2", 1), ("c", None), ("3", None), ("0", None), ("ab", None)]
)
def test_what_was_typed_is_a_choice_or_none(typed, place):
    assert Question("?", ("one", "two"), 0, ("", "")).place(typed) == place


@pytest.mark.parametrize("text", ["{", "[]x", '{"questions": [{"question": "?"}]}', '{"questions": 3}', "\x00"])
def test_a_damaged_quiz_is_refused_with_the_command_that_restores_it(toy_course, text):
    assignment = toy_course.assignment("t01")
    (assignment.folder / ".quiz.json").write_text(text, encoding="utf-8")
    with pytest.raises(CourseError, match="cannot be read") as refused:
        read_quiz(assignment)
    assert "autograder release" in refused.value.mend


def test_a_quiz_whose_answer_is_none_of_its_choices_is_refused(toy_course):
    assignment = toy_course.assignment("t01")
    path = assignment.folder / ".quiz.json"
    data = {"questions": [{"question": "?", "choices": ["a", "b"], "answer": 2, "explanations": ["", ""]}]}
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(CourseError, match="damaged"):
        read_quiz(assignment)


def test_a_missing_quiz_is_refused(toy_course):
    assignment = toy_course.assignment("t01")
    (assignment.folder / ".quiz.json").unlink()
    with pytest.raises(CourseError, match="t01 has no quiz"):
        read_quiz(assignment)
