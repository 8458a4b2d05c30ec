"""Commands, files and examples named on the pages exist and work."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import typer

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if not {"_build", "assets"} & set(p.parts))


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language, with the indentation of the fence taken off."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return ["\n".join(line.removeprefix(indent) for line in body.splitlines()) for indent, body in found]


def commands_in(path: Path) -> list[str]:
    lines = [line.partition("#")[0].strip() for block in blocks(path, "bash") for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="session")
def known(cli_reference: ModuleType) -> dict[str, set[str]]:
    """The options of each command."""
    commands = cli_reference.commands(typer.main.get_command(cli_reference.app))
    return {
        name: {"--help"} | {option for p in command.params for option in [*p.opts, *p.secondary_opts]}
        for name, command in commands
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_command_shown_exists_with_its_options(page: Path, known: dict[str, set[str]]) -> None:
    spoken = re.findall(r"`autograder ([^`]+)`", page.read_text(encoding="utf-8"))
    shown = [line.removeprefix("autograder ") for line in commands_in(page) if line.startswith("autograder ")]
    for line in spoken + shown:
        first, *rest = line.split()
        if first.startswith("-"):
            assert first in ("--help", "--version"), line
            continue
        assert first in known, f"{page.name}: autograder {line}"
        for word in rest:
            if word.startswith("--"):
                assert word.partition("=")[0] in known[first], f"{page.name}: autograder {line}"


def test_the_guide_shows_the_commands_that_a_student_needs(known: dict[str, set[str]]) -> None:
    lines = [line.split()[1] for line in commands_in(DOCS / "learn" / "guide.md") if line.startswith("autograder ")]
    assert {"status", "check", "hint", "quiz", "notebook", "reset", "doctor"} <= set(lines)


def test_the_two_commands_of_the_readme_are_those_of_the_home_page() -> None:
    readme = ROOT / "README.md"
    wanted = ["make grade", "make test"]
    assert commands_in(DOCS / "index.md") == wanted
    assert re.findall(r"^make \w+$", readme.read_text(encoding="utf-8"), re.MULTILINE) == wanted


def test_the_make_verbs_shown_exist() -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        said = re.findall(r"`make ([a-z]+)`", page.read_text(encoding="utf-8"))
        shown = [line.split()[1] for line in commands_in(page) if line.startswith("make ")]
        assert set(said + shown) <= verbs, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_every_python_example_parses(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse("if True:\n" + block if block.startswith(" ") else block)
    for block in blocks(page, "toml"):
        tomllib.loads(block)


def test_the_example_of_a_source_file_is_accepted(tmp_path: Path) -> None:
    from autograder.authoring.source import read_source

    example = next(
        b for b in blocks(DOCS / "write" / "source-format.md", "python") if b.startswith("# %% [markdown] assignment")
    )
    quiz = blocks(DOCS / "write" / "source-format.md", "toml")[0]
    name = "a00_mean"
    folder = tmp_path / "solutions" / name
    folder.mkdir(parents=True)
    (folder / "source.py").write_text(example + "\n", encoding="utf-8")
    (folder / "quiz.toml").write_text(quiz + "\n", encoding="utf-8")
    (folder / "asks.py").write_text('"""None needed."""\n', encoding="utf-8")
    (folder / "hidden_tests.py").write_text(HIDDEN, encoding="utf-8")
    source = read_source(folder / "source.py")
    assert source.assignment == name
    assert [task.name for task in source.tasks] == ["mean"]
    assert [test.name for test in source.public_tests] == ["test_three_numbers"]


HIDDEN = '''from autograder.testing import task


@task("mean")
def test_equals_the_reference(student, reference, seed):
    """The mean is the sum divided by the count."""
    student.mean([float(seed), 2.0]).equals(reference.mean([float(seed), 2.0]), rtol=1e-12)
'''


def test_the_road_marks_what_is_released_and_nothing_else() -> None:
    road = (DOCS / "learn" / "index.md").read_text(encoding="utf-8")
    marked = dict(
        re.findall(r"^\| (a\d\d) \|.*<span class=\"badge(?: here)?\">(here|coming)</span>", road, re.MULTILINE)
    )
    assert list(marked) == [f"a{number:02}" for number in range(1, 20)]
    course = json.loads((ROOT / "assignments" / ".course.json").read_text(encoding="utf-8"))
    released = {name.partition("_")[0] for month in course["months"] for name in month["assignments"]}
    assert {name for name, state in marked.items() if state == "here"} == released


def test_the_pages_speak_of_nothing_but_the_project() -> None:
    """No absolute path of a machine and no number of a ticket."""
    for page in PAGES:
        assert not re.search(
            r"/(?:home|work|root|tmp)/\w|issue #?\d", page.read_text(encoding="utf-8"), re.IGNORECASE
        ), page
