"""A class is graded from the command line: right scores, a gradebook, and nothing lost or graded twice."""

import csv
import json
import random
import signal
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.classroom, pytest.mark.slow]


def fill(one, students: int = 8) -> dict[str, float]:
    """A class with everything in it; what each deserves."""
    deserved = {}
    for number in range(students):
        text, points = [(one.honest, 5), (one.sum_for_mean, 0), (one.one_task, 2), ("def mean(:", 0)][number % 4]
        one.hand_in(f"s{number:02}", f"# {number}\n{text}")
        deserved[f"s{number:02}"] = points
    return deserved


def test_every_submission_gets_what_it_deserves(a_class):
    deserved = fill(a_class)
    a_class.hand_in("bomber", a_class.fork_bomb)
    path = a_class.hand_in("latin", "x = 1")
    path.write_bytes(b"\xff\xfe")
    said = a_class.grade().stdout
    assert a_class.points() == {**deserved, "bomber": 2, "latin": 0}
    assert "9 graded" in said
    assert "1 cannot be read" in said
    report = json.loads((a_class.out / "reports" / "s01" / "t01_numbers.json").read_text())
    assert "sum_for_mean" in {test["mistake"]["id"] for test in report["tests"] if test["mistake"]}
    unreadable = json.loads((a_class.out / "reports" / "latin" / "t01_numbers.json").read_text())
    assert "means.py" in unreadable["notes"][0]
    scores = {(row[0], row[2]): row[3] for row in a_class.scores()}
    assert scores["s00", "check-mean"] == 2
    assert scores["s00", "check-running_mean"] == 3
    assert scores["bomber", "check-running_mean"] == 0

    before = a_class.scores()
    again = a_class.grade().stdout
    assert "0 graded" in again
    assert "9 were graded before" in again
    assert a_class.scores() == before

    a_class.hand_in("s03", a_class.honest)
    assert "1 graded" in a_class.grade().stdout
    assert a_class.points()["s03"] == 5


def test_a_killed_batch_goes_on_to_the_same_gradebook(new_class):
    undisturbed, other = new_class("undisturbed"), new_class("other")
    fill(undisturbed, 12)
    undisturbed.grade()
    fill(other, 12)
    draw = random.Random(5)
    for _ in range(10):
        command = other.command("grade", str(other.submissions), "--jobs", "2")
        process = subprocess.Popen(
            command, cwd=other.root, env=other.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=draw.uniform(0.3, 4.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    other.grade()
    assert other.scores() == undisturbed.scores()


def test_what_a_human_entered_stays_and_is_marked_for_review(a_class):
    fill(a_class, 2)
    a_class.grade()
    a_class.run("override", "s01", "t01.mean", "1.5", "--reason", "a good idea, one slip")
    rows = {(row[0], row[2]): row[3:] for row in a_class.scores()}
    assert rows["s01", "check-mean"] == (0, 1.5, 0)
    a_class.grade()  # nothing new: nothing to review
    assert {(r[0], r[2]): r[3:] for r in a_class.scores()}["s01", "check-mean"] == (0, 1.5, 0)
    a_class.hand_in("s01", a_class.honest)
    a_class.grade()
    assert {(r[0], r[2]): r[3:] for r in a_class.scores()}["s01", "check-mean"] == (2, 1.5, 1)
    refused = a_class.run("override", "s01", "t01.mean", "9", "--reason", "x", check=False)
    assert refused.returncode == 2

    a_class.run("export", "grades.csv")
    table = {row["student"]: row for row in csv.DictReader((a_class.root / "grades.csv").read_text().splitlines())}
    assert float(table["s01"]["points"]) == 4.5
    a_class.run("export", "canvas.csv", "--canvas")
    assert "Points Possible" in (a_class.root / "canvas.csv").read_text()

    a_class.run("feedback")
    page = (a_class.out / "feedback" / "s01" / "t01_numbers.html").read_text()
    assert "a good idea, one slip" in page
    a_class.hand_in("s02", a_class.sum_for_mean)
    a_class.grade()
    assert "sum_for_mean" in a_class.run("stats").stdout
    a_class.run("stats", "--html", "stats.html")
    assert (a_class.root / "stats.html").is_file()

    a_class.run("forget", "s01")
    assert "s01" not in {row[0] for row in a_class.scores()}
    assert not (a_class.out / "reports" / "s01").exists()
    assert not (a_class.out / "feedback" / "s01").exists()


def test_feedback_tells_nothing_hidden(a_class):
    """No hidden input and no expected value: of hidden tests only the sentences and reasons of ours."""
    a_class.hand_in(
        "ann", a_class.sum_for_mean.replace("return math.fsum(xs)", "print('SEEN', xs)\n    return math.fsum(xs)")
    )
    a_class.grade()
    a_class.run("feedback")
    page = (a_class.out / "feedback" / "ann" / "t01_numbers.html").read_text()
    assert "SEEN" not in page
    report = json.loads((a_class.out / "reports" / "ann" / "t01_numbers.json").read_text())
    assert all(test["output"] == "" for test in report["tests"] if test["hidden"])


def test_who_is_not_in_the_roster_is_named_and_not_graded(a_class):
    fill(a_class, 2)
    (a_class.root / "roster.csv").write_text("id,first_name,last_name\ns00,Sue,Zero\n")
    said = a_class.grade("--roster", "roster.csv").stdout
    assert "not graded: s01" in said
    assert set(a_class.points()) == {"s00"}


def test_the_same_text_gets_the_same_points_whoever_hands_it_in(a_class):
    for student in ("ann", "bob", "cyd"):
        a_class.hand_in(student, a_class.honest)
    a_class.grade()
    assert set(a_class.points().values()) == {5}


def test_without_nbgrader_or_a_place_it_is_said(a_class):
    done = a_class.run("grade", "nowhere", check=False)
    assert done.returncode == 2
    assert "no submissions here" in done.stderr
    done = a_class.grade("--gradebook", "postgresql://nobody@127.0.0.1:9/none", check=False)
    assert done.returncode == 2
    assert "gradebook cannot be opened" in done.stderr


def test_work_that_began_as_another_release_is_told_so_and_graded_with_todays_tests(a_class):
    old = "# Numbers (t01_numbers, release 0123456789ab)\n" + a_class.honest
    a_class.hand_in("ann", old)
    a_class.grade()
    report = json.loads((a_class.out / "reports" / "ann" / "t01_numbers.json").read_text())
    assert a_class.points() == {"ann": 5}
    assert any("began as release 0123456789ab" in note for note in report["notes"])


def test_nbgraders_own_exporter_and_formgrader_read_the_gradebook(a_class):
    deserved = fill(a_class, 4)
    a_class.grade()
    exported = a_class.root / "grades.csv"
    database = f"sqlite:///{a_class.book}"
    nbgrader = [sys.executable, "-m", "nbgrader", "export", "--db", database, "--to", str(exported)]
    done = subprocess.run(nbgrader, cwd=a_class.root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    with exported.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["student_id"]: float(row["score"]) for row in rows} == deserved
    assert {float(row["max_score"]) for row in rows} == {5.0}

    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    course = {"root": str(a_class.root), "db_url": database, "course_id": "toys"}
    settings = Config({"CourseDirectory": course, "Exchange": {"root": str(a_class.root / "exchange")}})
    (a_class.root / "exchange").mkdir()
    api = NbGraderAPI(CourseDirectory(config=settings), config=settings)  # what formgrader's pages are made from
    shown = {each["id"]: each for each in api.get_students()}
    assert {name: each["score"] for name, each in shown.items()} == deserved
    # Formgrader lists what lies in nbgrader's own folders: grade.md says so.
    assert api.get_assignment("t01_numbers") is None
