"""The conversations: quiz questions and confirmations. The end of the input ends them politely."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from autograder.cli import show
from autograder.course import Assignment
from autograder.learner.quiz import Question
from autograder.reporting.pages import explanation, question
from autograder.reporting.style import plural


def ask_all(assignment: Assignment, questions: Sequence[Question]) -> None:
    """One question at a time; Enter skips to the explanation, Ctrl-D ends."""
    out = show.console()
    right = answered = 0
    for number, asked in enumerate(questions, 1):
        out.print(question(asked, number, len(questions)))
        typed = _line(f"\nYour answer ({asked.letters[0]} to {asked.letters[-1]}, Enter to skip): ")
        while typed is not None and typed.strip() and asked.place(typed) is None:
            typed = _line(f"One of {', '.join(asked.letters)}: ")
        if typed is None:
            out.print("\nUntil next time.")
            return
        chosen = asked.place(typed)
        answered += chosen is not None
        right += chosen == asked.answer
        out.print(explanation(asked, chosen, show.symbols()))
    out.print(f"\n{right} of {plural(len(questions), 'question')} right at the first try.")
    page = assignment.root / "docs" / "learn" / f"{assignment.id}.md"
    if page.is_file():
        out.print(f"Read on: {page.relative_to(assignment.root)}", markup=False)
    out.print()


def confirmed(sentence: str) -> bool:
    """Whether the student says yes; without anyone to ask, no."""
    answer = _line(f"{sentence} [y/N] ")
    return answer is not None and answer.strip().lower() in ("y", "yes")


def _line(prompt: str) -> str | None:
    """One typed line, None at the end of the input."""
    typer.echo(prompt, nl=False)
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        typer.echo()
        return None
    return line.rstrip("\n")
