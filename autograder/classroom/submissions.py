"""What was handed in: every student's file of every assignment, found in folders and archives, read as text.

Understood: SUBMISSIONS/STUDENT/ASSIGNMENT/file, SUBMISSIONS/STUDENT/file, nbgrader's `submitted/`, an archive for each
student, and the one archive that Canvas or Moodle give for a class. Nothing of it is executed, unpacked or changed.
What cannot be read becomes a submission with a problem, worth 0 and saying why; what cannot even be given to a student
is listed by its name.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from autograder.classroom.places import Entry, Refused, close_archives, entries_in, shown
from autograder.course import Assignment, Course
from autograder.errors import AutograderError, SubmissionError
from autograder.grading.submission import LARGEST, Form, Submission, began_as, notebook_source

LONGEST_ID = 64
_ID = re.compile(r"[^\W_][\w.@+ '-]*", re.UNICODE)
_CANVAS = re.compile(r"(?P<who>[^\W_]+)_(?:LATE_)?(?P<number>\d+)_\d+_(?P<file>.+)", re.IGNORECASE)
_MOODLE = re.compile(r"(?P<who>.+)_(?P<number>\d+)_assignsubmission_(?:file|onlinetext)_?")
_AGAIN = re.compile(r"(?:-\d{1,3}| ?\(\d{1,3}\))(?=\.\w+$)")
"""What Canvas and browsers put into the name of a file that was uploaded again."""


@dataclass(frozen=True)
class HandedIn:
    """One student's work on one assignment: its text, or why there is none."""

    student: str
    assignment: str
    text: str = ""
    filename: str = ""
    form: Form = "py"
    problem: str = ""
    """Why it cannot be graded, naming the file; then it is worth 0."""
    notes: tuple[str, ...] = ()
    where: str = ""
    release: str = ""
    """The release that it began as, where it says so."""

    @property
    def submission(self) -> Submission:
        return Submission(self.text, Path(self.filename), self.form, self.release)

    @property
    def content(self) -> str:
        """A hash of all that is graded of it."""
        parts = f"{self.form}\0{self.filename}\0{self.problem}\0".encode() + self.text.encode("utf-8", "surrogatepass")
        return hashlib.sha256(parts).hexdigest()


@dataclass(frozen=True)
class Collected:
    """All that was found, by assignment and student, and what belongs to nobody."""

    handed_in: tuple[HandedIn, ...]
    refused: tuple[Refused, ...]


@dataclass
class _Found:
    """The entries of one student and assignment, by the form that they are in."""

    forms: dict[Form, list[Entry]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def collect(
    place: Path, course: Course, only: Assignment | None = None, known_as: Mapping[str, str] | None = None
) -> Collected:
    """Everything handed in under `place`, a folder or an archive.

    only: the one assignment that is graded. known_as: from another name of a student's (in lower case) to the id.
    """
    if not place.exists():
        raise AutograderError("there are no submissions here", where=str(place), mend="name the folder or the .zip")
    entries, refused = entries_in(place)
    sorter = _Sorter(course, only, known_as or {})
    for entry in entries:
        sorter.take(entry)
    for each in refused:
        sorter.take_refused(each)
    try:
        found = [sorter.read(student, name, what) for (student, name), what in sorter.found.items()]
    finally:
        close_archives()
    order = {assignment.id: number for number, assignment in enumerate(course)}
    found.sort(key=lambda one: (order[one.assignment], one.student))
    return Collected(tuple(found), tuple(sorter.refused))


class _Sorter:
    """Gives each entry to a student and an assignment."""

    def __init__(self, course: Course, only: Assignment | None, known_as: Mapping[str, str]) -> None:
        self._known_as = known_as
        self._only = only
        self._by_name = {name: a for a in course for name in (a.id, a.short, a.id.partition("_")[2])}
        self._by_file: dict[str, list[tuple[Assignment, Form]]] = {}
        for assignment in course:
            for stem in dict.fromkeys((assignment.module, assignment.id)):
                self._by_file.setdefault(f"{stem}.py", []).append((assignment, "py"))
                self._by_file.setdefault(f"{stem}.ipynb", []).append((assignment, "ipynb"))
        self.found: dict[tuple[str, str], _Found] = {}
        self.refused: list[Refused] = []

    def take(self, entry: Entry) -> None:
        parts = _from_step(entry.parts)
        student, parts = self._student(parts)
        if not student:
            self.refused.append(Refused(entry.shown, "it lies in no student's folder"))
            return
        if problem := _absurd(student):
            self.refused.append(Refused(entry.shown, problem))
            return
        name = _AGAIN.sub("", parts[-1])
        assignment, form = self._what(name, parts[:-1])
        if assignment is None or (self._only and assignment.id != self._only.id):
            return
        found = self.found.setdefault((student, assignment.id), _Found())
        if form is None:
            found.others.append(name)
        else:
            found.forms.setdefault(form, []).append(entry)

    def take_refused(self, refused: Refused) -> None:
        """Something unreadable: where it is plain whose it is and of which assignment, that submission is told so."""
        parts = _from_step(refused.parts)
        student, parts = self._student(parts)
        known = student and not _absurd(student)
        assignment = self._what(_AGAIN.sub("", parts[-1]), parts[:-1])[0] or self._only if known and parts else None
        if assignment is None or (self._only and assignment.id != self._only.id):
            self.refused.append(refused)
            return
        found = self.found.setdefault((student, assignment.id), _Found())
        found.problems.append(f"{refused.name}: {refused.problem}")

    def read(self, student: str, name: str, found: _Found) -> HandedIn:
        """One submission from its entries: whatever is wrong with it is said, never raised."""
        assignment = self._by_name[name]
        empty = HandedIn(student, name)
        try:
            forms = {form: _one_of(form, entries, assignment) for form, entries in found.forms.items()}
        except SubmissionError as error:
            return replace(empty, problem=error.problem, where=error.where)
        if not forms:
            said = found.problems or [_nothing(assignment, found.others)]
            return replace(empty, problem="; ".join(said[:3]))
        chosen = _live(forms, assignment)
        notes = tuple(f"not used: {said}" for said in found.problems[:5])
        if len(forms) > 1:
            notes += (f"A module and a notebook were handed in; graded is {forms[chosen].filename}.",)
        beside = sorted({other for other in found.others if other.endswith(".py")})
        if beside:
            notes += (f"Only {forms[chosen].filename} is graded; not used: {', '.join(shown(b) for b in beside[:5])}.",)
        return replace(forms[chosen], student=student, notes=notes)

    def _student(self, parts: Sequence[str]) -> tuple[str, Sequence[str]]:
        """The student's id and the parts below it."""
        if len(parts) == 1:
            flat = _CANVAS.fullmatch(parts[0])
            return (self._id(flat["who"], flat["number"]), (flat["file"],)) if flat else ("", parts)
        if not parts:
            return "", parts
        moodle = _MOODLE.fullmatch(parts[0])
        who = self._id(moodle["who"], moodle["number"]) if moodle else self._id(parts[0])
        return who, parts[1:]

    def _id(self, *names: str) -> str:
        plain = [unicodedata.normalize("NFC", name).strip() for name in names]
        return next(
            (self._known_as[name.lower()] for name in reversed(plain) if name.lower() in self._known_as), plain[0]
        )

    def _what(self, name: str, folders: Sequence[str]) -> tuple[Assignment | None, Form | None]:
        """The assignment that a file belongs to, and its form where it is the file that is graded."""
        named = next((self._by_name[f.lower()] for f in reversed(folders) if f.lower() in self._by_name), None)
        fitting = self._by_file.get(name, [])
        if named is not None:
            return named, next((form for assignment, form in fitting if assignment is named), None)
        if self._only is not None:
            return self._only, next((form for assignment, form in fitting if assignment.id == self._only.id), None)
        return fitting[0] if len(fitting) == 1 else (None, None)


def _from_step(parts: Sequence[str]) -> Sequence[str]:
    """The parts below nbgrader's step folder."""
    return parts[1:] if len(parts) > 2 and parts[0] == "submitted" else parts


def _absurd(student: str) -> str:
    """Why a name cannot be a student's id, if it cannot: it becomes a folder's name and a key in the gradebook."""
    if len(student) > LONGEST_ID:
        return f"the student's id is longer than {LONGEST_ID} characters"
    if not _ID.fullmatch(student) or student.endswith((".", " ")):
        return "that is no student's id (letters, digits and . @ + - ' _ are)"
    return ""


def _one_of(form: Form, entries: Iterable[Entry], assignment: Assignment) -> HandedIn:
    """The text of the one file that was handed in in this form. Raises SubmissionError where there is not one."""
    texts: dict[str, Entry] = {}
    releases: dict[str, str] = {}
    for entry in entries:
        raw, text = _text(entry, form)
        texts.setdefault(text, entry)
        releases.setdefault(text, began_as(raw, assignment.id, form))
    if len(texts) > 1:
        places = " and ".join(entry.shown for entry in list(texts.values())[:3])
        raise SubmissionError(f"handed in more than once, and they differ: {places}", where=places)
    text, entry = next(iter(texts.items()))
    name = f"{assignment.module}.{form}"
    return HandedIn("", assignment.id, text, name, form, where=entry.shown, release=releases[text])


def _text(entry: Entry, form: Form) -> tuple[str, str]:
    """A file as it is, and the Python that is graded of it."""
    try:
        data = entry.read(LARGEST)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        said = f"{entry.shown} is not UTF-8 text ({error.reason} at byte {error.start})"
        raise SubmissionError(said, where=entry.shown, mend="save it as UTF-8 in your editor") from error
    if form == "ipynb":
        return text, notebook_source(text, Path(entry.shown))
    return text, text.replace("\r\n", "\n").replace("\r", "\n")


def _live(forms: Mapping[Form, HandedIn], assignment: Assignment) -> Form:
    """Which form is graded: the module, unless it is the stub that nobody touched and there is a notebook."""
    if len(forms) == 1:
        return next(iter(forms))
    stub = assignment.folder / ".stub.py"
    untouched = stub.is_file() and stub.read_text(encoding="utf-8") == forms["py"].text
    return "ipynb" if untouched else "py"


def _nothing(assignment: Assignment, others: Sequence[str]) -> str:
    there = f"; there is {', '.join(shown(other) for other in sorted(others)[:5])}" if others else ""
    return f"neither {assignment.module}.py nor {assignment.module}.ipynb was handed in{there}"
