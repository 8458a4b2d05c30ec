"""What DPO learns from: pairs of answers to the same question, a better one and a worse one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autograder.errors import LabError
from autograder.files import write_whole
from autograder.lab.evaluate import drawn
from autograder.lab.settings import Settings
from autograder.lab.sums import Problem, near_misses, split, verify
from autograder.lab.tokens import question

Say = Callable[[str], None]


def pairs(model: Any, tokenizer: Any, settings: Settings, folder: Path, say: Say) -> list[dict[str, str]]:
    """The rows that DPO trains on: {prompt, chosen, rejected}. Those that the model has drawn are kept in `folder`."""
    if settings.dpo.pairs == "near_misses":
        return near_miss_rows(tokenizer, split(settings.data)[0], settings.data.seed)
    kept = folder / "pairs.jsonl"
    if kept.is_file():
        return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    problems = split(settings.data)[0][: settings.dpo.questions]
    answered = drawn(model, tokenizer, problems, settings, settings.dpo.answers, _telling(say))
    rows = rows_from(tokenizer, problems, answered)
    if not rows:
        raise LabError(
            f"of {settings.dpo.questions} questions, none got both a right answer and a wrong one: there are no pairs",
            where="[dpo] pairs",
            mend='more [dpo] questions or answers, another [generate] temperature, or pairs = "near_misses"',
        )
    write_whole(kept, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return rows


def near_miss_rows(tokenizer: Any, problems: list[Problem], seed: int) -> list[dict[str, str]]:
    """The right answer and a near miss of the same sum, each closed by the end token."""
    wrong = near_misses(problems, seed)
    return [
        {
            "prompt": question(tokenizer, p.question),
            "chosen": f"{p.answer}{tokenizer.eos_token}",
            "rejected": f"{other}{tokenizer.eos_token}",
        }
        for p, other in zip(problems, wrong, strict=True)
    ]


def rows_from(tokenizer: Any, problems: list[Problem], answered: list[list[dict[str, Any]]]) -> list[dict[str, str]]:
    """Each wrong answer against a right one, in turn; a question without both gives no row.

    Of answers that ended: what was cut off is none, and TRL would close it with an end token that nobody drew.
    """
    rows = []
    for problem, answers in zip(problems, answered, strict=True):
        ended = dict.fromkeys(row["text"] for row in answers if row["ended"])
        right = [text for text in ended if verify(text, problem.answer)]
        wrong = [text for text in ended if not verify(text, problem.answer)]
        if not right:
            continue
        rows += [
            {
                "prompt": question(tokenizer, problem.question),
                "chosen": right[place % len(right)] + tokenizer.eos_token,
                "rejected": worse + tokenizer.eos_token,
            }
            for place, worse in enumerate(wrong)
        ]
    return rows


def _telling(say: Say) -> Callable[[int, int], None]:
    return lambda done, of: say(f"drawing answers to make pairs of: {done} of {of}")
