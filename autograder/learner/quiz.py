"""Concept questions with worked explanations. They carry no points: they explain."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass

from autograder.course import Assignment
from autograder.errors import CourseError

FILE = ".quiz.json"


@dataclass(frozen=True)
class Question:
    """One question; `answer` is the place of the right choice, and every choice has its explanation."""

    question: str
    choices: tuple[str, ...]
    answer: int
    explanations: tuple[str, ...]

    @property
    def letters(self) -> str:
        return string.ascii_lowercase[: len(self.choices)]

    def place(self, typed: str) -> int | None:
        """The choice that was typed ("b", "B)", "2"), or None where it is none of them."""
        wanted = typed.strip().strip(").").lower()
        if wanted in self.letters and len(wanted) == 1:
            return self.letters.index(wanted)
        if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(self.choices):
            return int(wanted) - 1
        return None


def read_quiz(assignment: Assignment) -> tuple[Question, ...]:
    """The released questions of an assignment."""
    path = assignment.folder / FILE
    restore = f"autograder release    (or: git checkout -- assignments/{assignment.id})"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        items = data["questions"] if isinstance(data, dict) else data
        questions = tuple(
            Question(item["question"], tuple(item["choices"]), int(item["answer"]), tuple(item["explanations"]))
            for item in items
        )
    except FileNotFoundError as error:
        raise CourseError(f"{assignment.short} has no quiz", where=str(path), mend=restore) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"the quiz cannot be read ({error!r})", where=str(path), mend=restore) from error
    if any(not 0 <= q.answer < len(q.choices) or len(q.explanations) != len(q.choices) for q in questions):
        raise CourseError("the quiz is damaged: a question and its choices do not fit", where=str(path), mend=restore)
    return questions
