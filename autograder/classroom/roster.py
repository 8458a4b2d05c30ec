"""The roster: who is in the class, from a CSV file with a header."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from autograder.errors import AutograderError

_ID = ("id", "student_id", "student", "username", "login", "sis login id", "sis user id")
_NUMBER = ("lms_user_id", "lms id", "lms_id", "canvas id", "number", "id number")
_FIRST, _LAST = ("first_name", "first name", "first"), ("last_name", "last name", "last", "surname")
_MAIL, _NAME = ("email", "e-mail", "email address"), ("name", "full name", "student name")


@dataclass(frozen=True)
class Person:
    """A student, as nbgrader keeps one."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""


def read_roster(path: Path) -> list[Person]:
    """The students of a CSV file. Raises AutograderError where a line says who nobody is, or two are the same."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise AutograderError("there is no such roster", where=str(path)) from error
    except (UnicodeDecodeError, OSError) as error:
        raise AutograderError(
            f"the roster cannot be read ({error})", where=str(path), mend="save it as UTF-8"
        ) from error
    rows = csv.DictReader(io.StringIO(text), dialect=_dialect(text))
    if not any(name.strip().lower() in _ID for name in rows.fieldnames or ()):
        mend = "name a column id; first_name, last_name, email and lms_user_id are read too"
        raise AutograderError("the roster has no column of ids", where=str(path), mend=mend)
    people: dict[str, Person] = {}
    for row in rows:
        person = _person({(key or "").strip().lower(): (value or "") for key, value in row.items() if key})
        where = f"{path}:{rows.line_num}"
        if not person.id:
            raise AutograderError("a line of the roster has no id", where=where)
        if person.id in people:
            raise AutograderError(f"{person.id} stands in the roster twice", where=where)
        people[person.id] = person
    return list(people.values())


def other_names(people: list[Person]) -> dict[str, str]:
    """From what an LMS may call a student in a file's name, in lower case, to the id; what two share is left out."""
    found: dict[str, str] = {}
    shared: set[str] = set()
    for person in people:
        for name in _names(person):
            shared |= {name} if found.get(name, person.id) != person.id else set()
            found[name] = person.id
    return {name: who for name, who in found.items() if name not in shared}


def _names(person: Person) -> set[str]:
    first, last = person.first_name.lower(), person.last_name.lower()
    both = {f"{first} {last}", f"{last}{first}".replace(" ", ""), f"{last}, {first}"} if first and last else set()
    return {name for name in {person.id.lower(), person.lms_user_id.lower(), person.email.lower(), *both} if name}


def _person(row: dict[str, str]) -> Person:
    def of(names: tuple[str, ...]) -> str:
        return next((row[name].strip() for name in names if row.get(name, "").strip()), "")

    first, last = of(_FIRST), of(_LAST)
    if not first and not last:
        name = of(_NAME)
        last, comma, first = name.partition(", ") if ", " in name else ("", "", name)
        if not comma:
            first, _, last = name.rpartition(" ")
    return Person(of(_ID), first, last, of(_MAIL), of(_NUMBER))


def _dialect(text: str) -> type[csv.Dialect] | str:
    try:
        return csv.Sniffer().sniff(text.partition("\n")[0], delimiters=",;\t")
    except csv.Error:
        return "excel"
