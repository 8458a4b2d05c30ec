"""The calendar adds up from the course, every assignment has its week, and links to what is still coming are words."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEARN = ROOT / "docs" / "learn"


def test_the_hours_are_those_of_the_course_today(weeks: ModuleType) -> None:
    assert (LEARN / "calendar.md").read_text(encoding="utf-8") == weeks.render(), f"stale; mend: {weeks.COMMAND}"


def test_every_assignment_has_one_week_and_every_month_is_said_aloud(weeks: ModuleType) -> None:
    months = tomllib.loads(weeks.PLAN.read_text(encoding="utf-8"))["months"]
    items = [item for month in months for week in month["weeks"] for item in week]
    assert sorted(item for item in items if re.fullmatch(r"a\d\d", item)) == [f"a{n:02}" for n in range(1, 20)]
    assert [item for item in items if item.startswith("month")] == [f"month {n}" for n in range(1, 5)]
    assert sum(len(month["weeks"]) for month in months) == 17, "calendar.md says seventeen weeks in its own words"


def test_minutes_are_those_of_the_tasks_and_of_the_reading_list(weeks: ModuleType) -> None:
    attention = weeks.works({f"a{n:02}": 0 for n in range(1, 20)}, 0)["a02"]
    assert (attention.reading, attention.further, attention.writing) == (12 + 15 + 13, 20 + 20 + 10 + 10, 115)


def test_a_week_adds_up_and_keeps_quiet_about_what_nobody_knows(weeks: ModuleType) -> None:
    known = {"a01": weeks.Work("One", "a01_one.md", 50, 35, 75), "a02": weeks.Work("Two", None, 50, 40, None)}
    assert weeks.week(3, ["a01", "month 1"], known, 45).endswith("| 2.5 | 3.5 |")
    assert weeks.week(3, ["a01", "a02"], known, 45).endswith("| 3 |  |")
    assert weeks.week(3, ["rest"], known, 45).endswith("| **rest** |  |  |")


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_questions_of_a_month_say_how_long_and_by_what_they_are_judged(number: int) -> None:
    page = (LEARN / f"explain-month-{number}.md").read_text(encoding="utf-8")
    questions = page.split("\n## ")[1:]
    assert len(questions) == 10
    minutes = 0
    for question in questions:
        found = re.search(r"^\*(\d) minutes\* · \[a\d\d\]\(", question, re.MULTILINE)
        assert found, question.splitlines()[0]
        minutes += int(found[1])
        assert re.findall(r"^    \*\*(Weak|Good|Excellent)\.\*\*", question, re.MULTILINE) == [
            "Weak",
            "Good",
            "Excellent",
        ]
    assert 25 <= minutes <= 35, "with the rubrics it is to fit into the 45 minutes that the page promises"


def test_a_link_to_what_is_not_here_is_shown_as_words(tmp_path: Path, coming: ModuleType) -> None:
    (tmp_path / "assignments" / "a01_first").mkdir(parents=True)
    (tmp_path / "assignments" / "a01_first" / "README.md").touch()
    page = SimpleNamespace(file=SimpleNamespace(src_uri="explain/glossary.md"))
    config = SimpleNamespace(config_file_path=str(tmp_path / "mkdocs.yml"))
    files = SimpleNamespace(get_file_from_path=lambda path: path == "learn/a03_third.md")
    shown = coming.on_page_markdown(
        "[a](../learn/a01_mispelt.md) [b](../learn/a02_second.md#there) [c](../learn/a03_third.md) [d](other.md)",
        page,
        config,
        files,
    )
    assert "[a](../learn/a01_mispelt.md)" in shown, "a released one is left to the strict build"
    assert "a02_second" not in shown
    assert ">b</span>" in shown
    assert "[c](../learn/a03_third.md) [d](other.md)" in shown
