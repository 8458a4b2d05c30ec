"""One report as Gradescope's results, GitHub Classroom's result and JUnit XML: each as its documents ask, none says more."""

import base64
import json
import re
import xml.etree.ElementTree as Xml
from dataclasses import replace
from pathlib import Path

import pytest

from autograder.classroom import github, gradescope, junit
from autograder.learner.checking import check

SCHEMAS = Path(__file__).parent / "schemas"
SECRETS = ("77123", "PRINTED BY A HIDDEN TEST")


def validated(text, schema):
    jsonschema = pytest.importorskip("jsonschema", reason="the schemas are checked with jsonschema")
    data = json.loads(text)
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / schema).read_text())).validate(data)
    return data


def decoded(text):
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", text), "one line, so that it can be a step's output"
    return base64.b64decode(text).decode()


def test_gradescope_takes_it(every_outcome):
    data = validated(gradescope.results(every_outcome), "gradescope.json")
    assert data["score"] == 1.0
    assert [test.get("score") for test in data["tests"]] == [None, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, None]
    assert [test["status"] == "passed" for test in data["tests"]].count(True) == 1
    assert [test["number"] for test in data["tests"]][:2] == ["1.1", "1.2"]
    assert "Your mean grows." in data["tests"][2]["output"]
    assert "This equals a sum" not in json.dumps(data), "what it is called is for after the first hint"
    assert "not by your fault" in data["tests"][6]["output"]
    assert "return: 12.5 points (needed: 20)" in data["tests"][6]["output"]
    assert "SHOWN" in data["tests"][0]["output"]
    assert data["stdout_visibility"] == "hidden"
    assert "A note." in data["output"]


@pytest.mark.parametrize("hidden", gradescope.VISIBILITIES)
def test_who_sees_hidden_tests_is_gradescopes_word(every_outcome, hidden):
    data = validated(gradescope.results(every_outcome, hidden), "gradescope.json")
    shown = [test["visibility"] for test in data["tests"]]
    assert shown == ["visible", *[hidden] * 6, "visible"]
    assert ("1 of 6" in data["output"]) == (hidden == "visible"), "a total would say what is not to be seen yet"


def test_what_could_not_be_graded_is_a_result_too():
    data = validated(gradescope.not_graded("There is no means.py."), "gradescope.json")
    assert (data["score"], data["output"]) == (0.0, "There is no means.py.")


def test_github_takes_it(every_outcome):
    data = validated(decoded(github.result(every_outcome)), "github.json")
    assert (data["status"], data["max_score"]) == ("error", 6.0)
    assert sum(test["score"] for test in data["tests"]) == every_outcome.points == 1.0
    assert len(data["tests"]) == 7, "what was skipped is no test that failed"
    assert data["tests"][1]["message"] is None
    failed = replace(every_outcome, tests=tuple(t for t in every_outcome.tests if t.outcome != "error"))
    assert validated(decoded(github.result(failed)), "github.json")["status"] == "fail"
    passed = replace(every_outcome, tests=tuple(t for t in every_outcome.tests if t.outcome == "passed"))
    assert validated(decoded(github.result(passed)), "github.json")["status"] == "pass"


def test_in_a_kit_practice_shows_progress(own_kit, toy_kit):
    from autograder.course import Course

    path = own_kit / "assignments/t01_numbers/means.py"
    right = "if not xs:\n        raise ValueError\n    return math.fsum(xs) / len(xs)"
    path.write_text(path.read_text().replace("# YOUR CODE HERE\n    raise NotImplementedError()", right, 1))
    course = Course.load(own_kit)
    report = check(course, course.assignment("t01")).report
    assert report.points == 0, "without hidden tests there are no points in the report"
    data = validated(decoded(github.result(report)), "github.json")
    scores = {}
    for test in data["tests"]:
        scores[test["name"].partition(":")[0]] = scores.get(test["name"].partition(":")[0], 0) + test["score"]
    first, second = course.assignment("t01").tasks
    assert scores == {first.name: pytest.approx(first.points), second.name: 0}
    assert data["max_score"] == first.points + second.points
    assert data["status"] == "fail"


def test_what_was_never_checked_is_a_result_too():
    data = validated(decoded(github.no_result("t01_numbers", 5.0, "t01 could not be checked")), "github.json")
    assert (data["status"], data["max_score"], data["tests"][0]["score"]) == ("error", 5.0, 0)


ALLOWED = {
    "testsuites": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        {"properties", "testcase"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"classname", "name", "time"}, {"failure", "error", "skipped", "system-out"}),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "skipped": ({"message"}, set()),
    "system-out": (set(), set()),
}
"""Of the schema that JUnit's readers share (junit-10.xsd): attributes and children of each element."""


def check_junit(text):
    """Validates the structure; returns the one suite."""
    root = Xml.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = ALLOWED[element.tag]
        assert set(element.keys()) <= attributes, element.tag
        assert {child.tag for child in element} <= children, element.tag
    (suite,) = root
    cases = suite.findall("testcase")
    assert int(suite.get("tests")) == len(cases)
    for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(suite.get(name)) == len(suite.findall(f"testcase/{kind}"))
    assert [child.tag for child in suite] == ["properties"] + ["testcase"] * len(cases)
    for case in cases:
        assert case.get("name")
        assert case.get("classname")
        assert float(case.get("time")) >= 0
        assert len(case.findall("failure") + case.findall("error") + case.findall("skipped")) <= 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", "2000-01-01T00:00:00"))
    return suite


def test_junit_takes_it(every_outcome):
    suite = check_junit(junit.document(every_outcome))
    kinds = [[child.tag for child in case if child.tag != "system-out"] for case in suite.findall("testcase")]
    assert kinds == [["failure"], [], ["failure"], ["failure"], ["error"], ["error"], ["error"], ["skipped"]]
    assert suite.find("testcase/system-out").text == "SHOWN ?[31m? & <b>"
    assert suite.get("timestamp") == "2026-01-02T03:04:05"
    points = {item.get("name"): item.get("value") for item in suite.iter("property")}
    assert points["points"] == "1 of 6"


@pytest.mark.parametrize("form", ["gradescope", "github", "junit"])
def test_no_form_says_what_hidden_tests_keep(every_outcome, form):
    text = {
        "gradescope": gradescope.results,
        "github": lambda report: decoded(github.result(report)),
        "junit": junit.document,
    }[form](every_outcome)
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.fixture
def ask(toy_course, monkeypatch, capsys):
    from autograder.cli.main import ending_of

    monkeypatch.chdir(toy_course.root)

    def run(*arguments):
        code = ending_of(["report", *arguments])
        return code, *capsys.readouterr()

    return run


def test_the_command_gives_every_form(ask, toy_course):
    code, out, _ = ask("t01", "--format", "github")
    assert code == 0
    assert validated(decoded(out.strip()), "github.json")["status"] == "error", "not checked: a result all the same"
    assert ask("t01", "--format", "gradescope")[0] == 2
    check(toy_course, toy_course.assignment("t01"))
    assert validated(decoded(ask("t01", "--format", "github")[1].strip()), "github.json")["status"] == "fail"
    assert validated(ask("t01", "--format", "gradescope")[1], "gradescope.json")["score"] == 0
    check_junit(ask("t01", "--format", "junit")[1])
    assert json.loads(ask("t01", "--format", "json")[1]) == json.loads(ask("t01", "--json")[1])
    assert ask("t01", "--format", "html")[0] == 0
    assert (toy_course.state / "reports" / "t01.html").is_file()
    code, _, err = ask("t01", "--json", "--format", "junit")
    assert code == 2
    assert "two forms" in err
    assert ask("t01", "--format", "pdf")[0] == 2
