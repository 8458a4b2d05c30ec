"""A quiz is read, and one that cannot explain itself is refused."""

import pytest

from autograder.authoring.quiz import read_quiz
from autograder.errors import SourceError

GOOD = '[[questions]]\nquestion = "?"\nchoices = ["1", "2"]\nanswer = "b"\nexplanations = ["no", "yes"]\n'


def write(tmp_path, text):
    path = tmp_path / "quiz.toml"
    path.write_text(text)
    return path


def test_a_letter_becomes_a_place(tmp_path):
    (question,) = read_quiz(write(tmp_path, GOOD))
    assert (question.answer, question.choices, question.explanations) == (1, ("1", "2"), ("no", "yes"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('answer = "b"', 'answer = "c"', "none of the choices"),
        ('answer = "b"', "answer = 1", "none of the choices"),
        ('answer = "b"\n', "", "answer missing or unknown"),
        ('answer = "b"', 'answer = "b"\npoints = 3', "points missing or unknown"),
        ('["no", "yes"]', '["no"]', "2 choices with 1 explanations"),
        ('["no", "yes"]', '["no", " "]', "empty or no text"),
        ('["no", "yes"]', '"no"', "no list"),
        ('["1", "2"]', '["1", "1"]', "two are equal"),
        (GOOD, "", "no question"),
        ("choices = [", "choices = ", "not TOML"),
    ],
)
def test_a_quiz_that_does_not_explain_itself_is_refused(tmp_path, old, new, says):
    with pytest.raises(SourceError) as caught:
        read_quiz(write(tmp_path, GOOD.replace(old, new)))
    assert says in str(caught.value)
    assert "quiz.toml" in caught.value.where
