"""A report as JUnit XML, which continuous-integration services and editors read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as Xml

from autograder.report import Report, TestResult

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold."""


def document(report: Report) -> str:
    """One test suite with one case a test; points stand among the properties."""
    outcomes = [test.outcome for test in report.tests]
    counts = {
        "tests": len(outcomes),
        "failures": sum(outcome in ("failed", "blocked") for outcome in outcomes),
        "errors": sum(outcome in ("timeout", "crashed", "error") for outcome in outcomes),
        "skipped": outcomes.count("skipped"),
    }
    numbers = {name: str(count) for name, count in counts.items()} | {"time": f"{report.cpu_seconds:.3f}"}
    suites = Xml.Element("testsuites", _clean({"name": report.title, **numbers}))
    suite = Xml.SubElement(suites, "testsuite", _clean({"name": report.assignment, **numbers}))
    if report.started:
        suite.set("timestamp", report.started[:19])
    properties = Xml.SubElement(suite, "properties")
    for name, value in _properties(report):
        Xml.SubElement(properties, "property", _clean({"name": name, "value": value}))
    for test in report.tests:
        _case(suite, report, test)
    Xml.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(suites, encoding="unicode") + "\n"


def _properties(report: Report) -> list[tuple[str, str]]:
    points = [(f"points.{task.name}", f"{task.points:g} of {task.max_points:g}") for task in report.by_task()]
    about = [("submission", report.submission), ("tests", report.tests_hash), ("isolation", report.isolation)]
    return [("points", f"{report.points:g} of {report.max_points:g}"), *points, *about]


def _case(suite: Xml.Element, report: Report, test: TestResult) -> None:
    names = {"classname": f"{report.assignment}.{test.task}", "name": test.name, "time": f"{test.cpu_seconds:.3f}"}
    case = Xml.SubElement(suite, "testcase", _clean(names))
    if test.outcome == "skipped":
        Xml.SubElement(case, "skipped", _clean({"message": test.reason}))
    elif test.outcome != "passed":
        kind = "failure" if test.outcome in ("failed", "blocked") else "error"
        said = [test.sentence, test.reason] + ([test.mistake.seen] if test.mistake else [])
        fault = Xml.SubElement(case, kind, _clean({"message": test.reason or test.sentence, "type": test.outcome}))
        fault.text = FORBIDDEN.sub("?", "\n".join(part for part in said if part))
    if test.output and not test.hidden:
        Xml.SubElement(case, "system-out").text = FORBIDDEN.sub("?", test.output)


def _clean(attributes: dict[str, str]) -> dict[str, str]:
    return {name: FORBIDDEN.sub("?", value) for name, value in attributes.items()}
