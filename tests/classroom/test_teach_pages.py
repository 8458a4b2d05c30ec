"""The pages for instructors: every command of theirs is run, in the order of the page, on the toy course."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEACH = ROOT / "docs" / "teach"
IN_THE_TOY = (("a02_attention/attention.py", "t01_numbers/means.py"), ("a02_attention", "t01_numbers"), ("a02", "t01"))


@pytest.fixture
def follow(toy, tmp_path):
    """Runs the bash blocks of a page as one script in an instructor's clone of the toy course; gives what it printed."""
    programs = tmp_path / "bin"
    for path, call in ((programs / "autograder", "-m autograder"), (toy / ".venv" / "bin" / "python", "")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {call} "$@"\n')
        path.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOGRADER", "GIT_", "PYTEST"))}
    who = {f"GIT_{role}_{what}": "a@b.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**kept, **who, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def run(page):
        text = (TEACH / page).read_text(encoding="utf-8")
        script = "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
        for ours, toys in IN_THE_TOY:
            script = script.replace(ours, toys)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=toy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, f"{script}\n{done.stderr}"
        return done.stdout

    return run


def test_the_kit_page(follow, toy):
    said = follow("kit.md")
    kit = toy.parent / "course-kit"
    assert (kit / "README.md").is_file()
    log = subprocess.run(["git", "-C", str(kit), "status", "--short"], capture_output=True, text=True)
    assert log.stdout == "", "a second release of the same changes nothing"
    assert "0 files written" in said
    assert len((toy.parent / "our-class" / "secret.txt").read_text().strip()) == 64


def test_the_gradescope_page(follow, toy):
    said = follow("gradescope.md")
    shown = json.loads(said[said.rindex('{\n "score"') :])
    assert shown["score"] == 0, "the stub was handed in"
    assert shown["tests"]


def test_the_github_page(follow, toy):
    follow("github-classroom.md")
    assert (toy.parent / "course-template" / ".github" / "workflows" / "classroom.yml").is_file()
