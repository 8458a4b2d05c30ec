"""The private overlay of a class: a folder outside the repository whose hidden tests, seeds and secret go before ours.

`private = "../our-class"` in solutions/course.toml names it. In it:

    secret.txt                    any line of text: it decides which of the vetted seeds a student gets
    aNN_name/hidden_tests.py      replaces ours, thresholds and all; so do asks.py, mistakes.py, alternatives.py
    aNN_name/calibration.json     the seeds that `autograder verify aNN` vetted for those tests

What it stops: a student who reads this repository and knows the tests and inputs that count. What it does not: anybody
who can read that folder.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from autograder.course import Course
from autograder.errors import CourseError

SECRET_FILE = "secret.txt"


def private_folder(root: Path) -> Path | None:
    """The overlay that the course at `root` names; None where it names none. One that is not there is refused: ours
    would stand in for it without a word."""
    settings = root / "solutions" / "course.toml"
    try:
        named = tomllib.loads(settings.read_text(encoding="utf-8")).get("private")
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"course.toml is not TOML: {error}", where=str(settings)) from error
    if named is None:
        return None
    if not isinstance(named, str) or not named.strip():
        raise CourseError("private is no folder's name", where=str(settings), mend='write private = "../our-class"')
    folder = (root / named).resolve()
    if not folder.is_dir():
        mend = f"mkdir {folder}    or take the line private = ... out of course.toml"
        raise CourseError("the private folder that course.toml names is not there", where=str(folder), mend=mend)
    return folder


def overlay(root: Path, assignment: str) -> Path | None:
    """The overlay's folder of one assignment, whether or not it is there."""
    folder = private_folder(root)
    return folder / assignment if folder else None


def secret_of(course: Course) -> str:
    """What decides, with the test's and the student's name, which vetted seed a student gets."""
    folder = private_folder(course.root)
    path = folder / SECRET_FILE if folder else None
    if path is None or not path.is_file():
        return course.title
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"the class's secret cannot be read ({type(error).__name__})", where=str(path)) from error
    if not secret:
        mend = f"openssl rand -hex 32 > {path}"
        raise CourseError("the class's secret is empty", where=str(path), mend=mend)
    return secret
