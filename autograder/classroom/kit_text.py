"""What a kit says in its own words: README.md, AGENTS.md, Makefile, .gitignore, and a code host's workflow."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from autograder.course import Assignment, Course

MAKEFILE = """\
# What you need of make: the rest is `autograder`. The first run sets up .venv and needs the network; later ones do not.
PYTHON ?= python3
.DEFAULT_GOAL := help
.PHONY: help grade ready

help:
\t@echo "make grade     check everything in assignments/ and show the board"
\t@echo "then:          source .venv/bin/activate, and autograder --help"

grade: ready
\t@.venv/bin/python -m autograder grade

ready:
\t@command -v $(PYTHON) >/dev/null || { \\
\t  echo "there is no $(PYTHON) here"; echo "  mend:  sudo apt-get install python3 python3-venv"; exit 2; }
\t@$(PYTHON) autograder/bootstrap.py core
"""

GITIGNORE = """\
.venv/
.autograder/
__pycache__/
*.egg-info/
.ipynb_checkpoints/
"""

README = Template("""\
# $title

Your copy of the course. You write the functions in `assignments/`, one at a time; after each you are told what is
right, what is wrong, and which well-known mistake your answer equals.

## Begin

On Linux or macOS (on Windows: in WSL), with Python 3.11 to 3.13 and `make`, in this folder:

```
make grade
```

The first run sets up `.venv` and needs the network; after that nothing does. It checks what is in `assignments/` and
shows the board, with what to do first. Then open `assignments/$first_id/$first_module.py`, write its first function,
and ask:

```
source .venv/bin/activate
autograder check $first
```

| | |
|---|---|
| `autograder status` | the board: what is done, what comes next |
| `autograder check $task` | one task only |
| `autograder watch $first` | the same on each save |
| `autograder hint $task` | a question, then a pointer, then nearly the answer |
| `autograder quiz $first` | questions about the ideas, each answer explained |
| `autograder notebook $first` | the same work as a notebook |
| `autograder reset $first` | begin afresh; your work is kept in `.autograder/backups/` |
| `autograder report $first` | every test of the last check |
| `autograder doctor` | what is missing on this machine, with the line that mends it |

## The assignments

$table

## What counts

The tests in `test_public.py` are yours to read, run and debug; they are practice. Your points come from further tests,
which are not in this folder: whoever teaches the class runs them on what you hand in. They ask nothing that the
handout does not say.

Hand in the module that you wrote (`$first_module.py`), or its notebook, the way your class does it.

If you work with an AI helper, let it read [AGENTS.md](AGENTS.md) first: it asks for a tutor, not for a ghost-writer.
""")

AGENTS = Template("""\
# For an AI helper in this folder

The person you are helping is learning. This folder is a course, *$title*; the work in `assignments/` is theirs to
write. Success is that they can write and explain it without you. You are a tutor here.

## What you may do unasked

- Read the handout (`assignments/*/README.md`), the reading pages (`docs/learn/`, where they are), the public tests
  and their code.
- Run `autograder check`, `status`, `report` and `doctor`, and explain what they say.
- Explain ideas, notation, shapes, error messages and tools, with examples that are *not* the task.

## How to answer "it does not work"

1. **Ask first.** What did they expect? What do they see? What does this line do, in their words? One question at a
   time.
2. **Let them look.** Send them to the failing test's sentence, to a shape to print, to a case small enough for paper.
3. **Point.** Name the place, or the line of the handout, and why it matters. No code yet.
4. **Hints in their order.** `autograder hint aNN.task` opens one of three: a question, a pointer, nearly the answer.
   Offer the next one only after they tried with the one before. Do not open hints for them, and do not read ahead in
   `.assignment.json`, where they are kept.
5. **Never the answer before the third hint.** After it, when they tried again and ask for it, show the smallest piece
   that unblocks them, and then let them explain it back to you.

Afterwards ask one question that tests whether it was understood: an edge case, a changed shape, "what would break if
...".

## What you do not do

- Edit `assignments/*/*.py` or a notebook there, unless you are asked in so many words to change that file now. Even
  then: the change that was asked for and nothing more. Writing a task's body is the answer; rule 5 holds.
- Paste a solution from memory. These are well-known functions, and you may know them by heart: that is no reason.
- Look for hidden tests or for the course's own solutions. They are not here; points come from a grader elsewhere.
- Edit tests, `.released.json`, or the engine in `autograder/` to make something pass. It would change no points.
- Say that something is right without `autograder check`. Its verdict goes before yours; if you disagree, say so and
  show why.

## What is worth knowing

- A task is one function or class between `# %% task="..."` and the next such line. Names and arguments stay as they
  are.
- A failing answer that equals a known mistake is told what it looks like. It is a likeness, not an accusation.
- What a handout forbids (a library's ready-made function, say) is refused by the check.
- `python -m pytest assignments/aNN_name -x --pdb` runs the public tests in one plain process, for a debugger.
- If the class has rules of its own on AI help, they go before this file. If the student says that something is to be
  done alone (an exam, say), help with tools and not with the task.
""")

WORKFLOW_HEAD = """\
# What runs on each push: every assignment's public tests, a result with points for each, and the sum of them.
# The names of the workflow and of the job are what GitHub Classroom looks for: leave them.
name: Autograding Tests

on: [push, repository_dispatch]

permissions:
  checks: write
  actions: read
  contents: read

jobs:
  run-autograding-tests:
    runs-on: ubuntu-latest
    if: github.actor != 'github-classroom[bot]'
    steps:
      - name: Checkout code
        uses: actions/checkout@v4
      - name: Python
        uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - name: Set up
        run: python autograder/bootstrap.py core
"""

WORKFLOW_STEP = Template("""\
      - name: $id
        id: $short
        timeout-minutes: 30
        run: |
          .venv/bin/python -m autograder check $short || [ $$? -le 2 ]
          echo "result=$$(.venv/bin/python -m autograder report $short --format github)" >> "$$GITHUB_OUTPUT"
""")


def readme(course: Course, pages: Mapping[str, bytes]) -> str:
    """README.md: what this is, the two commands, the assignments with their handouts and readings."""
    first = course.assignments[0]
    return README.substitute(
        title=course.title,
        first=first.short,
        first_id=first.id,
        first_module=first.module,
        task=f"{first.short}.{first.tasks[0].name}",
        table="\n".join(_table(course, pages)),
    )


def agents(course: Course) -> str:
    """AGENTS.md: how an AI helper tutors here."""
    return AGENTS.substitute(title=course.title)


def workflow(course: Course) -> str:
    """.github/workflows/classroom.yml: one step an assignment, then the reporter."""
    steps = [WORKFLOW_STEP.substitute(id=assignment.id, short=assignment.short) for assignment in course]
    names = [assignment.short for assignment in course]
    results = [f"          {name.upper()}_RESULTS: ${{{{steps.{name}.outputs.result}}}}" for name in names]
    reporter = [
        "      - name: Autograding Reporter",
        "        if: always()",
        "        uses: classroom-resources/autograding-grading-reporter@v1",
        "        env:",
        *results,
        "        with:",
        f"          runners: {','.join(names)}",
    ]
    return WORKFLOW_HEAD + "".join(steps) + "\n".join(reporter) + "\n"


def _table(course: Course, pages: Mapping[str, bytes]) -> list[str]:
    """The assignments by month."""
    rows = ["| | assignment | points | minutes | |", "|---|---|---:|---:|---|"]
    for month in course.months:
        rows.append(f"| **{month.title}** | | | | |")
        for assignment in (course.assignment(name) for name in month.assignments):
            rows.append(_row(assignment, f"docs/learn/{assignment.id}.md" in pages))
    return rows


def _row(assignment: Assignment, has_reading: bool) -> str:
    handout = f"[{assignment.title}](assignments/{assignment.id}/README.md)"
    reading = f"[the reading](docs/learn/{assignment.id}.md)" if has_reading else ""
    minutes = sum(task.minutes for task in assignment.tasks)
    return f"| {assignment.short} | {handout} | {assignment.points:g} | {minutes} | {reading} |"
