"""Grades as a table: plain CSV, or as Canvas imports them. nbgrader's own exporters read the same gradebook."""

from __future__ import annotations

import csv
import io

from autograder.classroom.gradebook import Gradebook

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def grades_csv(book: Gradebook, assignment: str = "", canvas: bool = False) -> tuple[str, int]:
    """The text of the table, and how many rows of students it has."""
    standings = list(book.standings(assignment))
    people = {person.id: person for person in book.people()}
    names = sorted({each.assignment for each in standings})
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    if not canvas:
        table.writerow(["student", "assignment", "points", "max_points", "late_penalty", "needs_review"])
        for each in standings:
            review = "yes" if each.needs_review else ""
            row = [each.student, each.assignment, f"{each.points:g}", f"{each.max_points:g}", f"{each.late_penalty:g}"]
            table.writerow([_safe(cell) for cell in [*row, review]])
        return file.getvalue(), len(standings)
    most = {each.assignment: each.max_points for each in standings}
    table.writerow(["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *names])
    table.writerow(["Points Possible", "", "", "", "", *(f"{most[name]:g}" for name in names)])
    found = {(each.student, each.assignment): f"{each.points:g}" for each in standings}
    students = sorted({each.student for each in standings})
    for student in students:
        person = people[student]
        shown = ", ".join(filter(None, [person.last_name, person.first_name])) or student
        row = [shown, person.lms_user_id, student, student, "", *(found.get((student, name), "") for name in names)]
        table.writerow([_safe(cell) for cell in row])
    return file.getvalue(), len(students)


def _safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: names come from file names, which students choose."""
    return f"'{cell}" if cell.startswith(_FORMULA) and not cell.lstrip("-").replace(".", "", 1).isdigit() else cell
