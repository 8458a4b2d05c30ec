"""`check` inside a notebook."""

import rich.console
import rich.jupyter
from rich.text import Text

from autograder.notebook import Shown, check


def test_a_check_is_shown_as_text_and_as_html(toy, monkeypatch):
    monkeypatch.chdir(toy)
    shown = check("t01.mean")
    assert not shown.passed
    assert "mean" in repr(shown)
    assert "not written yet" in repr(shown)
    page = shown._repr_html_()
    assert page.startswith("<pre")
    assert "not written yet" in page


def test_a_name_that_is_none_is_a_screen_and_no_traceback(toy, monkeypatch):
    monkeypatch.chdir(toy)
    shown = check("t09")
    assert not shown.passed
    assert "did you mean t02" in repr(shown)


def test_a_student_can_not_write_html_into_the_page(toy, monkeypatch):
    monkeypatch.chdir(toy)
    path = toy / "assignments" / "t01_numbers" / "means.py"
    text = path.read_text(encoding="utf-8")
    path.write_text("raise ImportError('<script>alert(1)</script>')\n" + text, encoding="utf-8")
    page = check("t01.mean")._repr_html_()
    assert "alert(1)" in page
    assert "<script" not in page


def test_inside_a_notebook_nothing_is_displayed_beside_the_value(monkeypatch):
    shown = []
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr(rich.jupyter, "display", lambda *what: shown.append(what))
    screen = Shown(Text("2 of 5 points"), passed=False)
    assert shown == []
    assert "2 of 5 points" in repr(screen)
    assert "2 of 5 points" in screen._repr_html_()
