"""`check(...)` in a notebook shows its screen once: as the value of the cell, not printed beside it."""

import rich.console
import rich.jupyter
from rich.text import Text

from autograder.notebook import Shown


def test_inside_a_notebook_nothing_is_displayed_beside_the_value(monkeypatch):
    shown = []
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr(rich.jupyter, "display", lambda *what: shown.append(what))
    screen = Shown(Text("2 of 5 points"), passed=False)
    assert shown == []
    assert "2 of 5 points" in repr(screen)
    assert "2 of 5 points" in screen._repr_html_()
