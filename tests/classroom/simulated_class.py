"""A simulated class for a02: 300 submissions, each with the score that it deserves, graded as a class would be.

    python tests/classroom/simulated_class.py            # the table; about ten minutes on two cores
    python tests/classroom/simulated_class.py --students 60 --no-attacks --no-stock --kills 0

What each deserves is worked out another way: right answers get everything, mistakes what the tests say of them in this
process (no sandbox, no class), attacks what their header says. Exit code 1 where a score is another.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from autograder.course import Course  # noqa: E402
from autograder.testing.modules import Author, without_test_cells  # noqa: E402

ASSIGNMENT = "a02_attention"
WRONG_IN_THE_TOY = {"plays_for_the_property", "speaks_the_input_while_loading", "keeps_a_table", "refuses_everything"}
"""Attacks that deserve nothing in the toy course because their `mean` is wrong, which here no task asks for."""
ATTACKS = ROOT / "tests" / "attacks" / "submissions"
PLACES = {"MARK": "mark-sim", "GRADER": "1", "GRADERGROUP": "1", "BYSTANDER": "1", "TCP": "9", "UDP": "9"}


@dataclass
class Student:
    """One submission and what it deserves."""

    name: str
    kind: str
    text: str
    points: float | None = None
    """None: to be worked out by running the tests in this process."""
    mistake: str = ""
    form: str = "py"


def text_with(reference: str, bank: str, name: str, task: str) -> str:
    """The reference with one function of a bank in place of a task's: plain source, as a student would hand it in.

    What the bank takes from the reference is bound before the task's name is given to another.
    """
    tree = ast.parse(bank)
    kept, taken = [], []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("reference", "autograder"):
            taken += [f"{each.asname or each.name}={each.name}" for each in node.names if node.module == "reference"]
            continue
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if node.decorator_list and node.name != name and _registered(node):
                continue
            node.decorator_list = [] if _registered(node) else node.decorator_list
        kept.append(node)
    inner = ast.parse(f"def _another({', '.join(taken)}):\n    return {name}").body[0]
    inner.body[:0] = kept
    tree.body = [inner]
    return f"{reference}\n\n{ast.unparse(ast.fix_missing_locations(tree))}\n\n\n{task} = _another()\n"


def _registered(node: ast.FunctionDef | ast.ClassDef) -> bool:
    names = [d.func.id for d in node.decorator_list if isinstance(d, ast.Call) and isinstance(d.func, ast.Name)]
    return bool({"mistake", "alternative"}.intersection(names))


def make_class(course: Course, students: int, attacks: bool) -> list[Student]:
    """The students, in an order that is the same every time."""
    assignment = course.assignment(ASSIGNMENT)
    author = Author(assignment.solution_folder)
    reference = without_test_cells(author.text("source.py"))
    most = assignment.points
    made = [
        Student(
            "", f"alternative {each.id}", text_with(reference, author.text("alternatives.py"), each.id, each.task), most
        )
        for each in author.alternatives
    ]
    made += [
        Student(
            "",
            f"mistake {each.id}",
            text_with(reference, author.text("mistakes.py"), each.id, each.task),
            None,
            each.id,
        )
        for each in author.mistakes
    ]
    made += [Student("", "stub", (assignment.folder / ".stub.py").read_text(), 0)] * 3
    last = assignment.tasks[-1]
    cut = f"{reference}\n\ndef {last.name}(*args, **kwargs):\n    raise NotImplementedError\n"
    made += [Student("", "last task not written", cut, most - last.points)] * 4
    made += [Student("", f"broken: {name}", text, 0, form=form) for name, form, text in broken(reference)]
    if attacks:
        for path in sorted(ATTACKS.glob("*.py")):
            text = path.read_text(encoding="utf-8")
            deserves = float(re.search(r"^# Deserves: (.+)$", text, re.MULTILINE)[1])
            deserves = 1.0 if path.stem in WRONG_IN_THE_TOY else deserves
            text = re.sub(r"@([A-Z]+)@", lambda found: PLACES.get(found[1], "/nowhere"), text)
            text += f"\n{reference}\n\ndef {last.name}(*args, **kwargs):\n    return running_mean([1.0, 2.0])\n"
            made.append(Student("", f"attack {path.stem}", text, most - last.points if deserves else 0.0))
    rest = max(students - len(made), 0)
    more = itertools.cycle(
        [Student("", "reference", reference, most), *[m for m in made if m.kind[:4] in ("alte", "mist")]]
    )
    made = (
        [*made, *itertools.islice(more, rest)][-students:]
        if students < len(made)
        else [*made, *itertools.islice(more, rest)]
    )
    draw = random.Random(7)
    draw.shuffle(made)
    forms = itertools.cycle(["py", "py", "ipynb", "zip"])
    found = []
    for number, each in enumerate(made):
        text = each.text
        if each.form == "py" and not each.kind.startswith("broken"):
            text = f"# handed in by number {number}\n{text}"  # so that no two texts are alike, and nothing is saved
        form = each.form if each.form != "py" or each.kind.startswith(("broken", "attack", "stub")) else next(forms)
        found.append(Student(f"s{number:03}", each.kind, text, each.points, each.mistake, form))
    return found


def broken(reference: str) -> list[tuple[str, str, str]]:
    """(what, form, text) of files that nobody can grade."""
    return [
        ("syntax", "py", reference + "\ndef (:\n"),
        ("empty", "py", ""),
        ("not UTF-8", "latin", reference),
        ("no notebook", "ipynb-raw", '{"cells": 5}'),
        ("nothing there", "nothing", ""),
        ("an import that fails", "py", "import nowhere_at_all\n" + reference),
        ("a link", "link", ""),
        ("too large", "huge", ""),
        ("a slip", "slip", reference),
    ]


def hand_in(student: Student, folder: Path) -> None:
    """Writes the submission as a student or an LMS would."""
    place = folder / student.name / ASSIGNMENT
    if student.form in ("zip", "slip"):
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / f"{student.name}.zip", "w") as archive:
            prefix = "../../" if student.form == "slip" else f"{ASSIGNMENT}/"
            archive.writestr(f"{prefix}attention.py", student.text)
            if student.form == "slip":
                archive.writestr(f"{ASSIGNMENT}/notes.txt", "nothing")
        return
    place.mkdir(parents=True)
    file = place / "attention.py"
    if student.form == "ipynb":
        cells = [{"cell_type": "code", "metadata": {}, "source": student.text, "outputs": [], "execution_count": None}]
        (place / "attention.ipynb").write_text(
            json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}})
        )
    elif student.form == "ipynb-raw":
        (place / "attention.ipynb").write_text(student.text)
    elif student.form == "latin":
        file.write_bytes(student.text.encode() + b"# \xe9\xff\n")
    elif student.form == "link":
        file.symlink_to("/etc/passwd")
    elif student.form == "huge":
        with file.open("wb") as sparse:
            sparse.truncate(2 << 30)
    elif student.form == "nothing":
        (place / "main.py").write_text("print('here')\n")
    else:
        file.write_text(student.text, encoding="utf-8")


def work_out(course: Course, students: list[Student]) -> None:
    """What the mistakes deserve: the tests, in this process, on the modules that `autograder verify` uses."""
    from autograder.grading.material import Material
    from autograder.grading.run import grade
    from autograder.sandbox.loopback import LoopbackTransport
    from autograder.sandbox.messages import Isolation

    assignment = course.assignment(ASSIGNMENT)
    material = Material(course, assignment, course.state / "expected", remembers=True)
    author = material.author
    known = {each.id: each for each in author.mistakes}
    path = assignment.module_path
    for student in (each for each in students if each.points is None):
        path.write_text(without_test_cells(author.text("source.py")))
        transport = LoopbackTransport(author.with_replaced(known[student.mistake]))
        transport.isolation = Isolation("none", "this process")
        student.points = grade(course, assignment, transport, student=student.name, material=material).points


def command(course: Course, submissions: Path, out: Path, jobs: int, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "autograder", "grade", str(submissions), "--assignment", ASSIGNMENT, "--jobs", str(jobs),
        "--gradebook", str(out / "gradebook.db"), "--out", str(out / "graded"), *more,
    ]  # fmt: skip


def environment(course: Course) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "AUTOGRADER_COURSE": str(course.root), "OMP_NUM_THREADS": "1"}


@dataclass
class Ran:
    """A batch from outside: how long, and how much memory it held over time."""

    seconds: float
    said: str
    memory: list[float]


def run_class(course: Course, submissions: Path, out: Path, jobs: int) -> Ran:
    """Grades, and looks at the memory of all its processes every second."""
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    process = subprocess.Popen(
        command(course, submissions, out, jobs), env=environment(course), stdout=subprocess.PIPE, text=True, cwd=out
    )
    memory: list[float] = []
    over = threading.Event()
    watching = threading.Thread(target=lambda: _watch(process.pid, memory, over))
    watching.start()
    said, _ = process.communicate()
    over.set()
    watching.join()
    return Ran(time.monotonic() - began, said, memory)


def _watch(pid: int, memory: list[float], over: threading.Event) -> None:
    from autograder.sandbox.processes import descendants

    while not over.wait(1.0):
        memory.append(sum(_private(p) for p in descendants([pid])) / 2**20)


def _private(pid: int) -> int:
    """Bytes that this process alone answers for (shared pages are split among those who share them)."""
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


def dump(book: Path) -> list[tuple]:
    """Every score in a gradebook."""
    with contextlib.closing(sqlite3.connect(book)) as database:
        return sorted(
            database.execute(
                "select s.student_id, b.name, g.auto_score, g.manual_score, g.needs_manual_grade from grade g "
                "join submitted_notebook n on g.notebook_id = n.id join submitted_assignment s on n.assignment_id = s.id "
                "join base_cell b on g.cell_id = b.id"
            ).fetchall()
        )


def check_scores(students: list[Student], out: Path) -> tuple[dict[str, list[int]], list[str]]:
    """By kind: how many, how many as expected, how many mistakes recognised; and what is not as expected."""
    table: dict[str, list[int]] = {}
    wrong = []
    for student in students:
        path = out / "graded" / "reports" / student.name / f"{ASSIGNMENT}.json"
        row = table.setdefault(student.kind.partition(" ")[0].strip(":"), [0, 0, 0])
        row[0] += 1
        if not path.is_file():
            wrong.append(f"{student.name} ({student.kind}): no report")
            continue
        report = json.loads(path.read_text())
        points = sum(test["points"] for test in report["tests"])
        row[1] += abs(points - student.points) < 1e-6
        if abs(points - student.points) >= 1e-6:
            wrong.append(f"{student.name} ({student.kind}): {points:g}, deserved {student.points:g}")
        row[2] += student.mistake in {test["mistake"]["id"] for test in report["tests"] if test["mistake"]}
    return table, wrong


def stock(students: list[Student], notebooks: int, base: Path) -> float:
    """Seconds a notebook of stock `nbgrader autograde`, on the same modules as notebooks; the start is not counted.

    Its grade cells only look whether each task is there, far less than our tests ask: a bound in its favour.
    """
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    def cells(text: str) -> list:
        answer = new_code_cell(text)
        answer.metadata["nbgrader"] = {"schema_version": 3, "grade": False, "solution": True, "locked": False,
                                       "task": False, "grade_id": "answer"}  # fmt: skip
        test = new_code_cell("assert callable(attention)")
        test.metadata["nbgrader"] = {"schema_version": 3, "grade": True, "solution": False, "locked": True,
                                     "task": False, "grade_id": "check", "points": 1}  # fmt: skip
        return [answer, test]

    root = base / "stock"
    for where in [root / "source" / "ps1"]:
        where.mkdir(parents=True)
        nbformat.write(
            new_notebook(cells=cells("### BEGIN SOLUTION\nattention = print\n### END SOLUTION")), where / "ps1.ipynb"
        )
    (root / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'stock'\n")
    run = [sys.executable, "-m", "nbgrader"]
    quiet = {
        "cwd": root,
        "capture_output": True,
        "check": True,
        "env": {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    }
    subprocess.run([*run, "generate_assignment", "ps1"], **quiet)
    chosen = [s for s in students if s.points and s.kind.startswith(("reference", "alternative", "last"))][:notebooks]
    released = nbformat.read(root / "release" / "ps1" / "ps1.ipynb", as_version=4)
    for student in chosen:
        place = root / "submitted" / student.name / "ps1"
        place.mkdir(parents=True)
        made = nbformat.from_dict(released)
        made.cells[0].source = student.text
        nbformat.write(made, place / "ps1.ipynb")
    took = []
    for names in (chosen[:1], chosen):  # the first run is the start and one notebook, the second the same and the rest
        began = time.monotonic()
        for_these = [] if names is chosen else [f"--student={names[0].name}"]
        subprocess.run([*run, "autograde", "ps1", "--force", *for_these], **quiet)
        took.append(time.monotonic() - began)
    return (took[1] - took[0]) / (len(chosen) - 1)


def killed(course: Course, submissions: Path, out: Path, jobs: int, kills: int, longest: float) -> None:
    """Grades with `kill -9` at random moments, then to the end."""
    out.mkdir(parents=True, exist_ok=True)
    draw = random.Random(11)
    for _ in range(kills):
        process = subprocess.Popen(
            command(course, submissions, out, jobs), env=environment(course), cwd=out,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(timeout=draw.uniform(0.5, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    subprocess.run(command(course, submissions, out, jobs), env=environment(course), cwd=out, check=True)


def build_course(base: Path) -> Course:
    """Our course as its sources stand, with limits that do not make a sleeping attack cost minutes."""
    from autograder.authoring.release import release

    root = base / "course"
    shutil.copytree(ROOT / "solutions", root / "solutions", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "constraints.txt", root)
    settings = root / "solutions" / "course.toml"
    text = re.sub(r"(?m)^cpu_seconds *=.*$", "cpu_seconds = 2", settings.read_text())
    settings.write_text(text if "[limits]" in text else text + "\n[limits]\ncpu_seconds = 2\n")
    release(root)
    return Course.load(root)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--stock", type=int, default=5, help="notebooks that stock nbgrader grades, for comparison")
    parser.add_argument("--no-attacks", action="store_true")
    chosen = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="simulated-class-"))
    try:
        return simulate(chosen, base)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def simulate(chosen: argparse.Namespace, base: Path) -> int:
    """Everything, and the table."""
    course = build_course(base)
    students = make_class(course, chosen.students, not chosen.no_attacks)
    work_out(course, students)
    peaceful = [s for s in students if not s.kind.startswith("attack")]
    for folder, those in (("peaceful", peaceful), ("attacks", [s for s in students if s not in peaceful])):
        (base / folder).mkdir()
        for student in those:
            hand_in(student, base / folder)
    wrong, rows, minutes = [], {}, {}
    for folder, those in (("peaceful", peaceful), ("attacks", [s for s in students if s not in peaceful])):
        if not those:
            continue
        ran = run_class(course, base / folder, base / f"out-{folder}", chosen.jobs)
        found, off = check_scores(those, base / f"out-{folder}")
        rows.update(found)
        wrong += off
        minutes[folder] = 60 * len(those) / ran.seconds
        print(f"{folder}: {len(those)} in {ran.seconds:.0f} s, {minutes[folder]:.0f} a minute, start included")
        print(
            "  memory (MB, all processes):",
            *[f"{ran.memory[int(i * (len(ran.memory) - 1) / 8)]:.0f}" for i in range(9)],
        )
        print("  " + ran.said.replace("\n", "\n  ").rstrip())
    for kind, (count, right, recognised) in sorted(rows.items()):
        told = f"{recognised} recognised" if kind == "mistake" else ""
        print(f"  {kind:12} {count:4} handed in, {right:4} scored as expected  {told}")
    if chosen.stock > 1:
        each = stock(students, chosen.stock, base)
        print(
            f"stock nbgrader: {each:.2f} s a notebook, {60 / each:.1f} a minute; here {minutes['peaceful'] * each / 60:.1f} times that"
        )
    if chosen.kills:
        killed(
            course,
            base / "peaceful",
            base / "out-killed",
            chosen.jobs,
            chosen.kills,
            60 * len(peaceful) / minutes["peaceful"] / chosen.kills,
        )
        same = dump(base / "out-killed" / "gradebook.db") == dump(base / "out-peaceful" / "gradebook.db")
        print(f"kill -9, {chosen.kills} times: the gradebook is {'the same' if same else 'ANOTHER'}")
        wrong += [] if same else ["the gradebook after kills"]
    print("\n".join(wrong) or "everything as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
