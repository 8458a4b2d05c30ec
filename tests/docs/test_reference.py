"""The reference says all there is and nothing that is not: commands, options, report fields, outcomes, errors, modules."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import inspect
import io
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
import typer
from rich.console import Console

from autograder import errors, report
from autograder.course import Course
from autograder.errors import AutograderError

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(heading)}$(.*?)(?=^#{{1,2}} |\Z)", text(page), re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no heading {heading}"
    return found[2]


def rows(body: str) -> list[str]:
    """The first cell of every row of a table, where it is code."""
    return re.findall(r"^\| `([^`]+)` \|", body, re.MULTILINE)


def test_the_page_of_commands_is_what_the_program_says_today(cli_reference: ModuleType) -> None:
    assert text("reference/cli.md") == cli_reference.render(), f"stale; mend: {cli_reference.COMMAND}"


def test_the_page_of_commands_says_in_its_first_line_that_it_is_generated() -> None:
    assert "Generated" in text("reference/cli.md").splitlines()[0]


def test_every_command_and_option_is_documented(cli_reference: ModuleType) -> None:
    page = text("reference/cli.md")
    commands = cli_reference.commands(typer.main.get_command(cli_reference.app))
    assert len(commands) > 5
    for name, command in commands:
        body = section("reference/cli.md", name)
        assert command.help, f"{name} says nothing about itself"
        for parameter in cli_reference.parameters(command):
            assert parameter.help, f"{name} {parameter.name} has no help text"
            shown = parameter.opts[0] if cli_reference.is_option(parameter) else cli_reference.placeholder(parameter)
            assert f"`{shown}" in body, f"{name} {shown}"
    assert page.count("\n### ") == len(commands)


def test_a_stale_page_is_refused(cli_reference: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "reference" / "nowhere.md"
    assert cli_reference.settle(page, "new", "the command", ["--check"]) == 1
    assert "mend:  the command" in capsys.readouterr().err
    assert not page.exists()


def test_the_page_of_the_gate_shows_the_kept_measurements(gate: ModuleType) -> None:
    assert text("reference/gate.md") == gate.render(), f"stale; mend: {gate.COMMAND}"
    for assignment in Course.load(ROOT):
        assert f"## {assignment.id}" in text("reference/gate.md")


def test_the_page_of_costs_is_current_and_every_numeric_check_is_quick(costs: ModuleType) -> None:
    assert text("reference/costs.md") == costs.render(), f"stale; mend: {costs.COMMAND}"
    measured = json.loads(text("reference/costs.json"))["cpu_seconds"]
    assert set(measured) == {each.id for each in Course.load(ROOT).assignments}, "python benchmarks/check_costs.py"
    capstone = measured.pop("a19_capstone")
    assert max(measured.values()) <= 2.0
    assert (
        capstone <= 4.0
    )  # its report is drawn anew for each of seven tests, and its loops are run, if only for a round


def test_the_layers_are_those_of_the_engine_today(module_tree: ModuleType) -> None:
    assert text("explain/architecture.md") == module_tree.render(), f"stale; mend: {module_tree.COMMAND}"


@pytest.mark.parametrize("record", [report.Report, report.TestResult, report.Recognised, report.Figure])
def test_every_field_of_the_report_is_documented_and_no_other(record: type) -> None:
    fields = [field.name for field in dataclasses.fields(record)]
    assert rows(section("reference/report.md", record.__name__)) == fields


def test_every_outcome_is_documented_and_no_other() -> None:
    assert rows(section("reference/report.md", "Outcomes")) == list(report.OUTCOMES)


def test_the_schema_number_is_the_current_one() -> None:
    assert f"Version of this format, {report.SCHEMA} today" in text("reference/report.md")


def test_every_error_is_documented_and_no_other() -> None:
    classes = [
        name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, AutograderError)
    ]
    assert re.findall(r"^## (\w+)$", text("reference/errors.md"), re.MULTILINE) == classes


def test_the_example_of_a_refusal_is_a_real_one() -> None:
    from autograder.course import Course
    from autograder.reporting.pages import refusal

    with pytest.raises(errors.UnknownName) as refused:
        Course.load(ROOT).assignment("a2")
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as printed:
        console.print(refusal(refused.value))
    example = re.search(r"```text\n(.*?)\n```", text("reference/errors.md"), re.DOTALL)
    assert example
    assert [line.rstrip() for line in printed.get().splitlines()] == example[1].splitlines()


def test_all_that_a_sandbox_does_not_stop_is_explained() -> None:
    page = " ".join(text("explain/sandbox.md").split())
    said = not_stopped((ROOT / "autograder" / "sandbox" / "isolation.py").read_text(encoding="utf-8"))
    assert len(said) > 6, "the sentences are no longer where this test looks for them"
    assert [sentence for sentence in said if sentence not in page] == []


def not_stopped(source: str) -> list[str]:
    """Every sentence that isolation.py can put into `not_stopped`: what goes into a list `left`, or into the tuple itself."""
    found: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AugAssign) and "left" in ast.unparse(node).partition("=")[0]:
            found.append(node.value)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("left.append", "left.insert", "left.extend"):
            found += node.args
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Isolation":
            found += [argument for argument in node.args if isinstance(argument, ast.Tuple)]
    constants = [part for node in found for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return [part.value for part in constants if isinstance(part.value, str)]


@pytest.mark.course
@pytest.mark.slow
def test_the_check_screen_shown_is_the_real_one(check_screen: ModuleType) -> None:
    if importlib.util.find_spec("transformers"):
        pytest.skip("with transformers installed there are more practice tests than the page shows")
    screen = check_screen.screen()
    assert text("learn/figures/check_screen.txt") == screen, f"stale; mend: {check_screen.COMMAND}"
