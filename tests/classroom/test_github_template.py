"""A GitHub Classroom template: the kit, and a workflow whose steps run as its runner would run them."""

import base64
import json
import os
import re
import subprocess
import sys

import pytest

from autograder.classroom.kit import WORKFLOW_FILE, write_kit

yaml = pytest.importorskip("yaml", reason="the workflow is read with PyYAML")


@pytest.fixture
def template(released_toy, tmp_path):
    write_kit(released_toy, tmp_path / "template", workflow=True)
    return tmp_path / "template"


@pytest.fixture
def job(template):
    data = yaml.safe_load((template / WORKFLOW_FILE).read_text())
    assert data["name"] == "Autograding Tests", "the reporter's documents: no other name is allowed"
    assert list(data["jobs"]) == ["run-autograding-tests"], "and this one job alone"
    assert data[True] == ["push", "repository_dispatch"]  # YAML 1.1 reads `on` as true
    assert data["permissions"] == {"checks": "write", "actions": "read", "contents": "read"}
    return data["jobs"]["run-autograding-tests"]


def test_there_is_a_step_for_each_assignment_and_the_reporter_hears_of_each(job):
    assert job["if"] == "github.actor != 'github-classroom[bot]'"
    ids = [step["id"] for step in job["steps"] if "id" in step]
    assert ids == ["t01", "t02"]
    reporter = job["steps"][-1]
    assert reporter["uses"] == "classroom-resources/autograding-grading-reporter@v1"
    assert re.fullmatch(r"^([a-zA-Z0-9]+,)*[a-zA-Z0-9]+$", reporter["with"]["runners"])
    assert reporter["with"]["runners"].split(",") == ids
    assert reporter["env"] == {f"{name.upper()}_RESULTS": f"${{{{steps.{name}.outputs.result}}}}" for name in ids}


def run_step(template, step, tmp_path):
    """The step as a runner runs it: bash -e on its script, with a file for its outputs."""
    output = tmp_path / f"{step['id']}.output"
    output.touch()
    python = template / ".venv" / "bin" / "python"
    if not python.exists():  # stands for the step "Set up"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOGRADER", "PYTEST"))}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=template,
        env={**kept, "GITHUB_OUTPUT": str(output)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    name, _, value = output.read_text().strip().partition("=")
    assert name == "result"
    return json.loads(base64.b64decode(value))


def test_a_step_gives_a_result_whatever_was_pushed(template, job, tmp_path):
    """A right function, a stub, and a file that is no text: each is a result that the reporter can add up."""
    steps = {step["id"]: step for step in job["steps"] if "id" in step}
    path = template / "assignments/t01_numbers/means.py"
    right = "if not xs:\n        raise ValueError\n    return math.fsum(xs) / len(xs)"
    path.write_text(path.read_text().replace("# YOUR CODE HERE\n    raise NotImplementedError()", right, 1))
    (template / "assignments/t02_lists/lists.py").write_bytes(b"\xff\xfe\x00")
    first, second = (run_step(template, steps[name], tmp_path) for name in ("t01", "t02"))
    assert 0 < sum(test["score"] for test in first["tests"]) < first["max_score"] == 5
    assert first["status"] == "fail"
    assert second["status"] == "error"
    assert (second["max_score"], sum(test["score"] for test in second["tests"])) == (3, 0)


def test_a_student_kit_has_no_workflow(toy_kit):
    assert not (toy_kit / WORKFLOW_FILE).exists()
