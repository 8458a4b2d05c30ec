"""The screen of `watch` fits its terminal, whatever its size, and shows what is old as old."""

import re
from dataclasses import replace

import pytest
from rich.text import Text

from autograder.learner.hints import Hints
from autograder.reporting.pages import hints
from autograder.reporting.style import ASCII
from autograder.reporting.terminal import screen
from autograder.reporting.watching import Scene, lines

KEYS = (("h", "hint"), ("n", "next"), ("q", "quit"))
SAYS = "12:30:00, checked in 0.6 s"


def plain(drawn):
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in drawn]


@pytest.fixture
def scene(assignment, progress, halfway):
    return Scene(screen(halfway, assignment, progress), None, SAYS, KEYS)


@pytest.fixture
def hint(assignment):
    task = assignment.task("attention")
    return hints(Hints(assignment, task, task.hints[:2], True))


@pytest.mark.parametrize("width", [30, 60, 80, 100])
@pytest.mark.parametrize("height", [4, 10, 24, 60])
@pytest.mark.parametrize("with_hint", [False, True])
def test_it_fits(scene, hint, width, height, with_hint):
    drawn = plain(lines(replace(scene, hint=hint if with_hint else None), width, height, None))
    assert len(drawn) <= height
    assert max(map(len, drawn)) <= width
    assert drawn[-1].endswith("q quit")


def test_what_goes_on_and_the_keys_share_the_last_line(scene):
    assert plain(lines(scene, 80, 40, None))[-1] == SAYS + " " * (80 - len(SAYS) - 23) + "h hint  n next  q quit"[
        -23:
    ].rjust(23)


def test_a_low_terminal_cuts_the_check_and_says_so(scene):
    drawn = plain(lines(scene, 80, 12, None))
    assert "…" in drawn[-3]
    assert drawn[0].startswith("a02")


def test_a_hint_is_seen_even_where_the_check_has_to_give_way(scene, hint):
    text = "\n".join(plain(lines(replace(scene, hint=hint), 80, 24, None)))
    assert "hint 2 of 3" in text
    assert "Look at the axis that you sum over." in text
    assert text.startswith("a02")


def test_what_is_of_an_earlier_save_is_dimmed(scene):
    fresh, old = lines(scene, 80, 40, "standard"), lines(replace(scene, old=True), 80, 40, "standard")
    assert plain(fresh) == plain(old)
    assert old[0].startswith("\x1b[1;2m")
    assert not fresh[0].startswith("\x1b[1;2m")


def test_without_colours_there_is_no_code_at_all(scene):
    assert "\x1b" not in "".join(lines(scene, 80, 40, None)).replace("\x1b[1m", "").replace("\x1b[2m", "").replace(
        "\x1b[0m", ""
    ).replace("\x1b[1;2m", "")


def test_an_ascii_terminal_gets_ascii(assignment, progress, halfway):
    drawn = lines(Scene(screen(halfway, assignment, progress, symbols=ASCII), None, SAYS, KEYS), 80, 10, None, ASCII)
    "\n".join(drawn).encode("ascii")


def test_what_student_code_chose_cannot_command_the_terminal():
    drawn = "".join(lines(Scene(Text("x"), None, "bad \x1b[2J\x07\nline", KEYS), 80, 10, None))
    assert "\x1b[2J" not in drawn
    assert "\x07" not in drawn


def test_nobody_is_told_to_type_what_each_save_does(assignment, progress, untouched, halfway):
    for report in (untouched, halfway):
        text = "\n".join(plain(lines(Scene(screen(report, assignment, progress, watching=True)), 80, 60, None)))
        assert "autograder check" not in text
    watched = plain(lines(Scene(screen(untouched, assignment, progress, watching=True)), 100, 60, None))
    assert any(line.endswith("in assignments/a02_attention/attention.py, and save") for line in watched)


def test_of_a_check_that_goes_on_there_is_no_score_and_no_next_step(assignment, progress, halfway):
    known = tuple(test for test in halfway.tests if test.task == "attention")
    partial = replace(halfway, tests=known, complete=False)
    text = "\n".join(plain(lines(Scene(screen(partial, assignment, progress, task="attention")), 80, 60, None)))
    assert "… of 4 points" in text
    assert "Fix first: attention" in text
    assert text.count("not checked yet") == 3
    assert "autograder" not in text
