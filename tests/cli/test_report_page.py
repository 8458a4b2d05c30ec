"""`autograder report --html`: where the page goes, and what it never writes over."""

import sys

import pytest

from autograder.cli.main import ending_of
from autograder.errors import AutograderError
from autograder.files import write_ours
from autograder.learner.checking import check
from autograder.reporting.html import MARK


@pytest.fixture
def call(toy_course, monkeypatch, capsys):
    """The command in a course where t01 was checked once."""
    check(toy_course, toy_course.assignment("t01"))
    monkeypatch.chdir(toy_course.root)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stdin", None)

    def run_here(*arguments):
        code = ending_of(["report", *arguments])
        out, err = capsys.readouterr()
        return code, " ".join(out.split()), " ".join(err.split())

    return run_here


def test_the_page_goes_among_the_reports_and_is_written_anew(call, toy):
    path = toy / ".autograder" / "reports" / "t01.html"
    assert call("t01", "--html") == (0, "The report is in .autograder/reports/t01.html: open it in a browser.", "")
    assert MARK in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8") + "older", encoding="utf-8")
    assert call("--html")[0] == 0
    assert not path.read_text(encoding="utf-8").endswith("older")
    assert call("t01")[0] == 0, "a page among the reports is no report that cannot be read"


@pytest.mark.parametrize(
    "arguments", [("t01", "--html", "my page.html"), ("--html", "my page.html"), ("--html", "sub/")]
)
def test_a_file_or_a_folder_can_be_named(call, toy, arguments):
    (toy / "sub").mkdir()
    assert call(*arguments)[0] == 0
    assert (toy / ("sub/t01.html" if arguments[-1] == "sub/" else "my page.html")).is_file()


@pytest.mark.parametrize("content", [b"", b"<html>mine</html>", b"\xff\x00", b"x" * 4096 + MARK.encode()])
def test_a_file_that_is_not_ours_is_left_alone(call, toy, content):
    path = toy / "mine.html"
    path.write_bytes(content)
    code, _, said = call("t01", "--html", "mine.html")
    assert code == 2
    assert "mine.html is there already and was not written by this command" in said
    assert "mend autograder report t01 --html mine_report.html" in said
    assert path.read_bytes() == content


def test_a_link_that_leads_nowhere_is_left_alone(tmp_path):
    link = tmp_path / "page.html"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(AutograderError, match="is there already"):
        write_ours(link, "text", MARK, "another name")
    assert link.is_symlink()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("t01", "page.html"), "mend autograder report t01 --html page.html"),
        (("t01", "--html", "--json"), "choose one"),
        (("t02", "--html"), "autograder check t02"),
        (("t09", "--html"), "did you mean t02"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_mend(call, arguments, said):
    code, _, err = call(*arguments)
    assert code == 2
    assert said in err
