"""Reads quiz.toml: concept questions in which every choice has its explanation."""

from __future__ import annotations

import string
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autograder.errors import SourceError

_KEYS = frozenset({"question", "choices", "answer", "explanations"})


@dataclass(frozen=True)
class Question:
    """One question. `answer` is the place of the right choice, from 0 (authors write its letter)."""

    question: str
    choices: tuple[str, ...]
    answer: int
    explanations: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_quiz(path: Path) -> tuple[Question, ...]:
    """The questions of a quiz, each checked."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SourceError("the quiz is missing", where=str(path), mend="write quiz.toml, with one question") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"the quiz is not TOML: {error}", where=str(path)) from error
    questions = data.get("questions")
    if not isinstance(questions, list) or not questions:
        raise SourceError("the quiz has no question", where=str(path), mend='begin one with "[[questions]]"')
    return tuple(_question(item, f"{path}, question {number}") for number, item in enumerate(questions, start=1))


def _question(item: dict[str, Any], where: str) -> Question:
    if set(item) != _KEYS:
        wrong = ", ".join(sorted(set(item) ^ _KEYS))
        raise SourceError(f"a question with {wrong} missing or unknown", where=where, mend=f"write {_listed(_KEYS)}")
    choices, explanations, letter = item["choices"], item["explanations"], item["answer"]
    if not isinstance(choices, list) or not isinstance(explanations, list):
        raise SourceError("choices or explanations are no list", where=where, mend='write ["...", "..."]')
    texts = [item["question"], *choices, *explanations]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise SourceError("a question, choice or explanation is empty or no text", where=where, mend="write a sentence")
    if len(choices) < 2 or len(set(choices)) < len(choices):
        raise SourceError("the choices are fewer than two, or two are equal", where=where, mend="write other choices")
    if len(explanations) != len(choices):
        problem = f"{len(choices)} choices with {len(explanations)} explanations"
        raise SourceError(problem, where=where, mend="write one for each choice")
    letters = string.ascii_lowercase[: len(choices)]
    if not isinstance(letter, str) or len(letter) != 1 or letter not in letters:
        raise SourceError(
            f"the answer {letter!r} is none of the choices",
            where=where,
            mend=f'write the letter of the right one, from "a" to "{letters[-1]}"',
        )
    return Question(item["question"], tuple(choices), letters.index(letter), tuple(explanations))


def _listed(keys: frozenset[str]) -> str:
    return ", ".join(sorted(keys))
