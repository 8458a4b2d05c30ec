"""What nbgrader does around our grading: cells that a human grades, late submissions, extensions, formgrader."""

import copy
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

NAME, BOOK = "t01_numbers", "means"


def report_cell():
    graded = {
        "schema_version": 3, "grade": True, "grade_id": "manual-report", "locked": False, "points": 4,
        "solution": True, "task": False,
    }  # fmt: skip
    return {"cell_type": "markdown", "id": "manual-report", "metadata": {"nbgrader": graded}, "source": "Your report."}


@pytest.fixture(scope="module")
def manual(classroom):
    """The second assignment, with a report that a human reads."""
    path = classroom.tree / "source" / "t02_lists" / "lists.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"].append(report_cell())
    path.write_text(json.dumps(notebook))
    classroom.done("generate_assignment", "t02_lists")
    return json.loads((classroom.tree / "release" / "t02_lists" / "lists.ipynb").read_text())


CENTRE = "def centre(xs):\n    m = sum(xs) / len(xs) if xs else 0.0\n    xs[:] = [x - m for x in xs]"


def hand_in_lists(room, book, student, notebook):
    folder = room.tree / "submitted" / student / "t02_lists"
    folder.mkdir(parents=True)
    (folder / "timestamp.txt").write_text("2030-01-02 10:00:00.000000 UTC")
    (folder / "lists.ipynb").write_text(json.dumps(notebook))


def test_what_a_human_grades_passes_through_and_waits(classroom, book, manual):
    handed = book.answered(manual, centre=CENTRE)
    book.cell_of(handed, "manual-report")["source"] = "# What I found\nMuch, and *this*."
    hand_in_lists(classroom, book, "reporter", handed)
    classroom.done("autograde", "t02_lists", "--student", "reporter")
    graded = json.loads((classroom.tree / "autograded" / "reporter" / "t02_lists" / "lists.ipynb").read_text())
    assert "".join(book.cell_of(graded, "manual-report")["source"]) == "# What I found\nMuch, and *this*."
    grade = "book.find_grade('manual-report', 'lists', 't02_lists', 'reporter')"
    assert classroom.gradebook(f"[{grade}.auto_score, {grade}.needs_manual_grade]") == [None, True]
    set_score = f"[setattr({grade}, 'manual_score', 3.5), book.db.commit()][1]"
    classroom.gradebook(set_score)
    classroom.done("autograde", "t02_lists", "--student", "reporter", "--force")
    assert classroom.gradebook("book.find_submission('t02_lists', 'reporter').score") == 4.5, "1 by tests, 3.5 by hand"


def test_lateness_costs_what_the_config_says_and_an_extension_forgives_it(classroom, book, manual):
    for student in ("late", "extended"):
        hand_in_lists(classroom, book, student, book.answered(manual, centre=CENTRE))
    classroom.done("db", "assignment", "add", "t02_lists", "--duedate", "2030-01-01 09:00:00 UTC")
    classroom.done("db", "student", "add", "extended")
    autograde = ("autograde", "t02_lists", "--PerDay.share=0.25", "--force")
    classroom.done(*autograde, "--student", "late")
    classroom.done(*autograde, "--student", "extended")
    penalty = "book.find_submission('t02_lists', {!r}).late_submission_penalty"
    assert classroom.gradebook(penalty.format("late")) == pytest.approx(0.5), "25 hours are two days begun"
    classroom.gradebook("[book.grant_extension('t02_lists', 'extended', days=2), 0][1]")
    classroom.done(*autograde, "--student", "extended")
    assert classroom.gradebook(penalty.format("extended")) == 0.0
    classroom.done(*autograde, "--student", "late", "--PerDay.grace_hours=26")
    assert classroom.gradebook(penalty.format("late")) == 0.0
    classroom.done("autograde", "t02_lists", "--student", "late", "--force")
    assert classroom.gradebook(penalty.format("late")) == 0.0, "as the config is written, lateness costs nothing"


@pytest.fixture(scope="module")
def formgrader(classroom, book):
    """The real formgrader, in a Jupyter server of its own; a function that fetches from it."""
    handed = book.answered(classroom.released(), **book.HONEST)
    wrong = book.answered(handed, mean="def mean(xs):\n    return math.fsum(xs)")
    for student, notebook in (("shown_well", handed), ("shown_wrong", wrong)):
        classroom.hand_in(student, notebook)
        classroom.done("autograde", NAME, "--student", student)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", f"--port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={classroom.tree}",
        "--ServerApp.jpserver_extensions={'nbgrader.server_extensions.formgrader': True}",
    ]  # fmt: skip
    log = (classroom.base / "server.log").open("w")
    server = subprocess.Popen(command, cwd=classroom.tree, env=classroom.environment, stdout=log, stderr=log)

    def fetch(path):
        url = f"http://127.0.0.1:{port}/formgrader/{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()

    try:
        for _ in range(240):
            try:
                fetch("api/assignments")
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, (classroom.base / "server.log").read_text()[-3000:]
                time.sleep(0.25)
        yield fetch
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@pytest.mark.slow
def test_formgrader_shows_the_scores_and_the_reasons(formgrader):
    assert NAME in formgrader(f"gradebook/{NAME}/{BOOK}")  # its table asks for the rows below
    rows = json.loads(formgrader(f"api/notebooks/{NAME}"))
    assert [row["name"] for row in rows] == [BOOK]
    rows = {row["student"]: row for row in json.loads(formgrader(f"api/submissions/{NAME}"))}
    assert rows["shown_well"]["score"] == 5.0
    assert rows["shown_wrong"]["score"] == 0.0
    submitted = json.loads(formgrader(f"api/submitted_notebooks/{NAME}/{BOOK}"))
    (wrong,) = [each for each in submitted if each["student"] == "shown_wrong"]
    page = formgrader(f"submissions/{wrong['id']}/")
    assert "Your mean grows with the length of the list." in page
    assert copy.copy(page).count("check-mean") >= 1
