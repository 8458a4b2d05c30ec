"""nbgrader's own commands on a course of ours, from generate_assignment to export, on a temporary exchange."""

import csv
import importlib.util
import json
import subprocess
import sys

import pytest

NAME, BOOK = "t01_numbers", "means"

WRONG_MEAN = "def mean(xs):\n    if not xs:\n        raise ValueError\n    return math.fsum(xs)"
NOISY = "import sys, warnings\nprint('a library says', file=sys.stderr)\nwarnings.warn('and warns')\n"


def students(book, notebook):
    """What each of a class hands in, and what it should get."""
    honest = book.answered(notebook, **book.HONEST)
    half = book.answered(notebook, mean=book.HONEST["mean"])
    wrong = book.answered(notebook, mean=WRONG_MEAN, running_mean=book.HONEST["running_mean"])
    noisy = book.answered(notebook, mean=NOISY + book.HONEST["mean"], running_mean=book.HONEST["running_mean"])
    one_early = "def running_mean(xs):\n    return [mean(xs[:count]) for count in range(1, len(xs))]"
    part = book.answered(honest, mean="def mean(xs):\n    return math.fsum(xs) / len(xs) if xs else 0.0")
    lost = book.answered(honest)
    lost["cells"].remove(book.cell_of(lost, "check-mean"))
    changed = book.answered(honest)
    book.cell_of(changed, "check-mean")["source"] = "100.0"
    early = book.answered(notebook, mean=book.HONEST["mean"], running_mean=one_early)
    return {
        "honest": (honest, 5.0), "half": (half, 2.0), "wrong": (wrong, 0.0), "noisy": (noisy, 5.0),
        "part": (part, 4.5), "lost": (lost, 3.0), "changed": (changed, 5.0), "early": (early, 2.0),
        "nothing": (notebook, 0.0),
    }  # fmt: skip


@pytest.fixture(scope="module")
def term(classroom, book):
    """One assignment, from its release to the feedback in the students' hands, by commands alone."""
    room = classroom
    room.done("release_assignment", NAME)
    for student, (notebook, _) in students(book, room.released()).items():
        home = home_of(room, student)
        home.mkdir(parents=True)
        room.done("fetch_assignment", NAME, "--course", room.id, folder=home)
        (home / NAME / f"{BOOK}.ipynb").write_text(json.dumps(notebook))
        own = ("--course", room.id, "--student", student, f"--Exchange.cache={home / 'cache'}")
        room.done("submit", NAME, *own, folder=home)
    room.done("collect", NAME)
    room.log = room.done("autograde", NAME)
    room.done("generate_feedback", NAME)
    room.done("release_feedback", NAME)
    for student in students(book, room.released()):
        home = home_of(room, student)
        room.done("fetch_feedback", NAME, "--course", room.id, f"--Exchange.cache={home / 'cache'}", folder=home)
    return room


def home_of(room, student):
    return room.base / "students" / student


def feedback_of(room, student):
    """The page that the student fetched."""
    (page,) = (home_of(room, student) / NAME / "feedback").rglob(f"{BOOK}.html")
    return page.read_text()


@pytest.mark.parametrize("student", ["honest", "half", "wrong", "noisy", "part", "lost", "changed", "early", "nothing"])
def test_everybody_gets_the_points_that_they_deserve(term, book, student):
    assert term.score(student) == pytest.approx(students(book, term.released())[student][1])


def test_no_kernel_starts_and_no_cell_of_the_students_is_run_by_nbgrader(term):
    assert "kernel" not in term.log.lower()
    cells = [cell for cell in term.graded("noisy")["cells"] if cell["cell_type"] == "code"]
    assert {output["output_type"] for cell in cells for output in cell["outputs"]} == {"stream", "execute_result"}
    assert {output.get("name") for cell in cells for output in cell["outputs"]} == {"stdout", None}


def test_the_reason_and_the_recognised_mistake_stand_in_the_feedback(term):
    page = feedback_of(term, "wrong")
    assert "Your mean grows with the length of the list." in page
    assert "This equals the sum, without the division by the count." in page
    assert "Score: 0.0 / 5.0" in page
    assert "The mean: 1.5 of 2 points" in feedback_of(term, "part")
    assert "Your last entry is missing." in feedback_of(term, "early")
    assert "not written yet" in feedback_of(term, "nothing")


def loaded(path):
    spec = importlib.util.spec_from_file_location("hidden_here", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
        sys.modules.pop("asks", None)
    return module


def hidden_numbers(room, student):
    """Every hidden input of the student's grading and what is expected for it, as they might be written."""
    numbers = loaded(room.course / "solutions" / NAME / "hidden_tests.py").numbers
    report = json.loads((room.tree / "autograded" / student / NAME / "report.json").read_text())
    found = set()
    for seed in {test["seed"] for test in report["tests"] if test["hidden"]}:
        for count in (2, 4, 7, 9):
            xs = numbers(seed, count)
            means = [sum(xs[:k]) / k for k in range(1, count + 1)]
            found |= {written for x in (*xs, *means, sum(xs)) for written in (f"{x:.4f}", f"{x:.6g}")}
    assert len(found) > 20
    return found


def test_no_hidden_input_or_expected_value_is_told(term, book):
    for student in students(book, term.released()):
        page = feedback_of(term, student)
        told = [number for number in hidden_numbers(term, student) if number in page]
        assert not told, f"{student} is told {told}"


SECRETS = (
    "test_the_mean_of_many",
    "test_two_calls_do_not_share",
    "uniform(-10, 30)",
    "test_no_numbers",
)
ANSWERS = ("return math.fsum(xs) / len(xs)", "for count in range(1, len(xs) + 1)")


def test_nothing_hidden_is_in_the_tree_the_gradebook_or_the_exchange(term):
    """What is looked for is in the author's files, so that this cannot pass for having looked for the wrong thing."""
    author = "".join(path.read_text() for path in (term.course / "solutions" / NAME).glob("*.py"))
    assert all(text in author for text in (*SECRETS, *ANSWERS))
    places = [term.tree / "source", term.tree / "release", term.exchange / term.id / "outbound"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    files += [term.tree / "gradebook.db", *(term.exchange / term.id / "feedback").iterdir()]
    for path in files:
        data = path.read_bytes()
        assert not [text for text in SECRETS if text.encode() in data], path
        if "source" not in path.relative_to(term.base).parts:
            assert not [text for text in ANSWERS if text.encode() in data] or path.suffix == ".html", path


def test_only_pages_go_to_the_students(term):
    assert {path.suffix for path in (term.exchange / term.id / "feedback").iterdir()} == {".html"}
    kept = json.loads((term.tree / "autograded" / "wrong" / NAME / "report.json").read_text())
    assert kept["student"] == "wrong"
    assert kept["complete"]


def test_a_deleted_check_cell_is_worth_nothing_until_a_human_looks_as_nbgrader_has_it(term):
    row = f"book.find_grade('check-mean', {BOOK!r}, {NAME!r}, 'lost')"
    assert term.gradebook(f"[{row}.auto_score, {row}.score, {row}.needs_manual_grade]") == [None, 0.0, True]


def test_a_changed_check_cell_comes_back(term, book):
    assert "checksum for cell check-mean has changed" in term.log.replace("'", "").replace("Attribute ", "")
    cell = book.cell_of(term.graded("changed"), "check-mean")
    assert "".join(cell["source"]) == 'check("t01.mean")'


def test_the_released_notebook_is_the_one_that_we_release(term):
    ours = json.loads((term.course / "assignments" / NAME / ".notebook.json").read_text())
    theirs = term.released()
    assert ["".join(cell["source"]) for cell in theirs["cells"]] == ["".join(cell["source"]) for cell in ours["cells"]]


def test_the_students_own_check_works_where_the_assignment_was_fetched(term):
    for student, said in (("honest", "mean passes."), ("wrong", "2 of 4 practice tests")):
        folder = home_of(term, student) / NAME
        before = sorted(folder.rglob("*"))
        program = "from autograder.notebook import check; print(check('t01.mean'))"
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=folder,
            env=term.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
        assert "hidden tests will also count" in done.stdout
        assert sorted(folder.rglob("*")) == before, "a check leaves nothing that would be handed in"


def test_the_commands_of_a_student_work_where_the_assignment_was_fetched(term):
    folder = home_of(term, "wrong") / NAME
    before = sorted(folder.rglob("*"))

    def autograder(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "autograder", *words],
            cwd=folder,
            env=term.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert "t01" in autograder("check", "t01").stdout
    for words, said in ((("hint", "t01.mean"), "hint 1"), (("report", "t01"), "mean"), (("status",), "t01")):
        done = autograder(*words)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout.lower()
    assert "no course here" not in autograder("doctor").stdout
    for command, instead in (("reset", "fetch_assignment"), ("notebook", "edit the notebook")):
        refused = autograder(command, "t01")
        assert refused.returncode == 2
        assert instead in " ".join(refused.stderr.split())
    assert sorted(folder.rglob("*")) == before, "no command leaves anything that would be handed in"


def test_nbgrader_exports_the_grades(term):
    path = term.base / "grades.csv"
    term.done("export", "--to", str(path))
    rows = {row["student_id"]: row for row in csv.DictReader(path.read_text().splitlines())}
    assert float(rows["part"]["score"]) == 4.5
    assert float(rows["part"]["max_score"]) == 5.0


def test_flags_of_nbgraders_execute_hold_for_ours(classroom, book):
    """With --no-execute nothing is graded; a timeout of seconds bounds a test that the assignment gives more."""
    loop = book.answered(classroom.released(), mean="def mean(xs):\n    while True:\n        pass")
    classroom.hand_in("looper", loop)
    command = [sys.executable, "-m", "nbgrader", "autograde", NAME, "--student", "looper", "--no-execute"]
    alone = subprocess.run(command, cwd=classroom.tree, env=classroom.environment, capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr  # in a process of its own: this flag outlives a command
    report = classroom.tree / "autograded" / "looper" / NAME / "report.json"
    assert not report.exists()
    classroom.done("autograde", NAME, "--student", "looper", "--force", "--Execute.timeout=1")
    tests = [test for test in json.loads(report.read_text())["tests"] if test["outcome"] == "timeout"]
    assert tests
    assert max(test["cpu_seconds"] for test in tests) < 2, "the toy's own limit is 5"
    assert classroom.score("looper") == 0.0


def test_a_second_autograde_changes_nothing(term, book):
    before = term.gradebook(f"[[s.student.id, s.score] for s in book.assignment_submissions({NAME!r})]")
    term.done("autograde", NAME, "--force")
    assert term.gradebook(f"[[s.student.id, s.score] for s in book.assignment_submissions({NAME!r})]") == before
