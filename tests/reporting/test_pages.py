"""The smaller views."""

import io
import json

import pytest
from rich.console import Console

from autograder.errors import AutograderError
from autograder.learner.doctor import Finding
from autograder.learner.hints import Hints
from autograder.learner.quiz import Question
from autograder.report import Figure, Report
from autograder.reporting import pages
from autograder.reporting.as_json import to_text
from autograder.reporting.style import ASCII, bar, clean, flowed, points, symbols_for

ASKED = Question("Which?", ("one", "two"), 1, ("One is none.", "Right: two."))


def text_of(what, width=80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, color_system=None).print(what)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_a_refusal_is_problem_where_and_mend():
    text = text_of(pages.refusal(AutograderError("no such thing", where="a/b.py", mend="make it")))
    assert text.splitlines() == ["✗ no such thing", "  where  a/b.py", "  mend   make it"]


def test_a_refusal_without_a_place_has_no_empty_line():
    assert text_of(pages.refusal(AutograderError("no such thing"))).strip() == "✗ no such thing"


@pytest.mark.parametrize(
    ("opened", "said"), [(1, "2 more hints"), (2, "1 more hint,"), (3, "autograder solution a02.attention")]
)
def test_hints_show_what_is_open_and_what_is_left(assignment, opened, said):
    task = assignment.task("attention")
    text = text_of(pages.hints(Hints(assignment, task, task.hints[:opened], fresh=True)))
    assert f"hint {opened} of 3" in text
    assert said in text
    for number, hint in enumerate(task.hints):
        assert (hint in text) == (number < opened)


def test_a_kit_without_solutions_offers_none(assignment):
    (assignment.solution_folder / "source.py").unlink()
    task = assignment.task("attention")
    text = text_of(pages.hints(Hints(assignment, task, task.hints, fresh=True)))
    assert "That was the last one." in text
    assert "solution" not in text


def test_a_wrong_choice_is_explained_and_so_is_the_right_one():
    text = text_of(pages.explanation(ASKED, 0))
    assert "Not a. One is none." in text
    assert "b. Right: two." in text


@pytest.mark.parametrize("chosen", [1, None])
def test_a_right_choice_or_none_is_told_only_why_it_is_right(chosen):
    text = text_of(pages.explanation(ASKED, chosen))
    assert "Right: two." in text
    assert "One is none." not in text


def test_the_doctor_puts_the_mend_under_what_is_wrong():
    found = [Finding("ok", "Python", "3.11"), Finding("warn", "git", "missing", "sudo apt-get install git")]
    text = text_of(pages.findings(found))
    assert "→ sudo apt-get install git" in text
    assert "Everything that is needed is here. 1 note." in text
    assert "1 thing to mend." in text_of(pages.findings([Finding("fail", "torch", "broken", "make grade")]))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_whole_report_names_every_test_and_the_conditions(halfway, width):
    text = text_of(pages.whole_report(halfway), width)
    assert text.count("The sentence of") == 7
    assert "a process of its own, with Landlock" in " ".join(text.split())
    assert "not stopped" in text
    assert "torch 2.13.0" in text
    assert max(map(len, text.splitlines())) <= width


def test_a_whole_report_in_ascii(halfway):
    assert text_of(pages.whole_report(halfway, ASCII)).isascii()


def test_json_is_the_record_and_reads_back(halfway):
    assert Report.from_json(json.loads(to_text(halfway))) == halfway


def test_json_stays_strict_where_a_figure_is_not_finite(report_of, test_of):
    report = report_of(test_of("attention", "run", figures=(Figure("loss", float("nan"), 1.0),)))

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    assert json.loads(to_text(report), parse_constant=refuse)["tests"][0]["figures"][0]["value"] is None


@pytest.mark.parametrize(("value", "said"), [(0, "0"), (2.0, "2"), (1.5, "1.5"), (3 * (2 / 3), "2"), (1.99999, "1.99")])
def test_points_are_cut_and_never_rounded_up(value, said):
    assert points(value) == said


@pytest.mark.parametrize(("share", "filled"), [(0, 0), (0.001, 1), (0.5, 5), (0.999, 9), (1, 10), (7, 10), (-1, 0)])
def test_a_bar_is_empty_at_nothing_and_full_at_all(share, filled):
    assert bar(share, ASCII).plain.count("#") == filled


@pytest.mark.parametrize(
    ("encoding", "ascii_only"), [("utf-8", False), ("ascii", True), ("latin-1", True), ("no-such", True)]
)
def test_signs_follow_what_the_output_can_show(encoding, ascii_only):
    assert (symbols_for(encoding) is ASCII) == ascii_only
    assert (symbols_for(None)) is ASCII


def test_prose_flows_and_lists_stay_lists():
    assert flowed("one\ntwo\n\nthree\n- four\n    five") == "one two\n\nthree\n- four\n    five"


def test_a_solution_is_not_wrapped_so_that_it_can_be_copied():
    code = "def f():\n    return [" + ", ".join(["1"] * 60) + "]"
    out = io.StringIO()
    Console(file=out, width=60, color_system=None).print(pages.source_code(code), soft_wrap=True)
    assert out.getvalue() == code + "\n"


def test_clean_keeps_text_and_drops_commands():
    assert clean("é ∑\tx\r\ny\x1b[0m\x00") == "é ∑ x\ny[0m"
