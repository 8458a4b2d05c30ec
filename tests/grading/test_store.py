"""Reports survive: a damaged file is set aside, an incomplete run never replaces a complete one."""

import pytest

from autograder.grading.store import ReportStore
from autograder.report import Figure, Recognised, Report, TestResult


def report(points: float = 1.0, complete: bool = True) -> Report:
    test = TestResult(
        "t01.mean.test_a", "mean", True, "passed", "True.", points, 2.0,
        mistake=Recognised("sum", "It grows.", "This equals the sum."), figures=(Figure("accuracy", 0.5, 0.9),),
    )  # fmt: skip
    return Report(
        "t01_numbers", "Means", (test,), ({"name": "mean", "title": "The mean", "points": 2.0},), "py:0", "0", "0", "none",
        complete=complete,
    )  # fmt: skip


def test_a_report_comes_back_as_it_was(tmp_path):
    ReportStore(tmp_path).save(report())
    assert ReportStore(tmp_path).load("t01_numbers") == report()
    assert ReportStore(tmp_path).load_all() == {"t01_numbers": report()}


def test_an_incomplete_run_leaves_the_older_report(tmp_path):
    store = ReportStore(tmp_path)
    store.save(report(2.0))
    store.save(report(0.0, complete=False))
    assert store.load("t01_numbers") == report(2.0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 99, "tests": []}', "\x00"])
def test_a_damaged_report_is_set_aside(tmp_path, text):
    store = ReportStore(tmp_path)
    store.folder.mkdir()
    store.path("t01_numbers").write_text(text)
    assert store.load("t01_numbers") is None
    assert (store.folder / "t01_numbers.json.corrupt").read_text() == text
