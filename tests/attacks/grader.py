"""A grader in a process of its own, as a command is: starts one transport, then grades whatever it is told to.

Reads one JSON object a line and answers with one. Everything that it grades in its life goes through the same transport,
so that an attack which damages it shows in the next, honest submission.
"""

import dataclasses
import json
import sys
import time
import traceback
from pathlib import Path

from autograder.course import Course, Limits
from autograder.errors import SubmissionError
from autograder.sandbox.session import SandboxTransport

LONG_ENOUGH = 6
"""A number written with fewer characters (3.0, -1.5) says nothing about an input."""


class Recorder:
    """The transport, with a note of every input that was sent through it; in all else the transport itself."""

    def __init__(self, inside, inputs):
        self.inside = inside
        self.inputs = inputs

    def __getattr__(self, name):
        return getattr(self.inside, name)

    def open(self, *what, **more):
        return Recorder(self.inside.open(*what, **more), self.inputs)

    def ask(self, request, callbacks):
        self.inputs.append(list(request.args[0]))
        return self.inside.ask(request, callbacks)


def collected_once():
    """Tests are collected anew only when their files change: half of the time of a small grading is pytest's."""
    from autograder.grading import material

    collect, known = material.collect_tests, {}

    def collect_once(path, **options):
        files = sorted(path.parent.iterdir())
        key = (path, *((file.name, file.read_bytes()) for file in files if file.is_file() and file.name != "means.py"))
        if key not in known:
            known[key] = collect(path, **options)
        return list(known[key])

    material.collect_tests = collect_once


def answer(transport, course, told, keep):
    from autograder.grading.material import author_of
    from autograder.grading.run import grade
    from autograder.grading.store import ReportStore

    assignment = dataclasses.replace(course.assignment("t01"), limits=Limits(**told["limits"]))
    recorder = Recorder(transport, [])
    started = time.monotonic()
    try:
        task = assignment.task(told["task"]) if told.get("task") else None
        report = grade(course, assignment, recorder, task=task, form=told.get("form"))
    except SubmissionError as refusal:
        return {"refusal": str(refusal), "seconds": time.monotonic() - started}
    seconds = time.monotonic() - started
    store = ReportStore(keep)
    store.save(report)
    assert store.load(assignment.id) == report, "the report does not survive being kept"
    return {"report": report.to_json(), "seconds": seconds, "secrets": secrets(author_of(assignment), recorder.inputs)}


def secrets(author, inputs):
    """Hidden inputs and expected values, as they might be written. Inputs of public tests are short numbers."""
    reference = author.reference()
    numbers = {x for xs in inputs for x in xs}
    for xs in inputs:
        numbers.update(reference.running_mean(xs))
    written = {form(number) for number in numbers for form in (repr, "{:.6g}".format, "{:.4f}".format)}
    return sorted(text for text in written if len(text.strip("-0")) >= LONG_ENOUGH)


def start(mode, readable):
    """As `grade` and `check` start theirs; "shared" is the one of `check`."""
    if mode == "shared":
        return SandboxTransport.start(mode="fork", readable=readable, shared=True)
    return SandboxTransport.start(mode=mode, readable=readable)


def main(mode, root, keep):
    readable = (Path(root) / "assignments",)
    transport = start(mode, readable)
    course = Course.load(Path(root))
    collected_once()
    secret = (Path(root).parent / "secret" / "secret.txt").read_text()  # in memory from here on, after the start
    print(json.dumps({"isolation": dataclasses.asdict(transport.isolation)}), flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        try:
            if told.get("restart"):  # as a command does that grades again and again
                transport.close()
                transport = start(mode, readable)
            said = answer(transport, course, told, Path(keep))
            if mode == "shared":  # which serves one submission
                transport.close()
        except BaseException as error:
            said = {"error": "".join(traceback.format_exception(error)[-12:])}
        print(json.dumps(said), flush=True)
    transport.close()
    assert secret


if __name__ == "__main__":
    main(*sys.argv[1:])
