"""Attacks that come as notebooks, through nbgrader's own autograde: none gains a point, reads what is hidden, or stops it.

The submissions are those of tests/attacks, each in one cell; what they may earn stands in their headers.
"""

import copy
import importlib.util
import json
from pathlib import Path

import pytest

NAME, BOOK = "t01_numbers", "means"
ATTACKS = Path(__file__).parents[2] / "attacks"
pytestmark = [pytest.mark.attack, pytest.mark.slow, pytest.mark.timeout(1200)]

LIMITS = "cpu_seconds = 2\nmemory_mb = 512\nfile_mb = 8\noutput_kb = 16"
GROUPS = {"brief": 0.3, "usual": 1.0, "patient": 2.0}
"""CPU-seconds a test, by group: endless loops get little, floods of honest work get more."""


@pytest.fixture(scope="session")
def attacks_conftest():
    spec = importlib.util.spec_from_file_location("attacks_scene", ATTACKS / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["attacks_scene"] = module
    spec.loader.exec_module(module)
    return module


SLOW = (
    "announces_too_much", "file_bomb", "fills_the_scratch", "floods_stdout", "long_answer", "memory_flood_of_many",
    "patches_time", "recursion_without_end", "sleeps", "sleeps_while_loading", "stops_itself", "thread_flood", "wide_answer",
)  # fmt: skip
"""Wait until a limit ends them, each like another that is here: tests/attacks runs them all."""


def group_of(attack):
    return next(group for group, seconds in GROUPS.items() if attack.cpu <= seconds)


@pytest.fixture(scope="module")
def attacked(attacks_conftest, classroom_of, released_toy, tmp_path_factory, book):
    """A class in which everybody attacks but two, autograded by three commands, one for each patience."""
    scene = attacks_conftest.Scene(classroom_of.released(tmp_path_factory.mktemp("released"), released_toy, LIMITS))
    room = classroom_of.room(scene.base, scene.course)
    try:
        room.done("generate_assignment", NAME)
        blank = room.released()
        paths = [path for path in sorted((ATTACKS / "submissions").glob("*.py")) if path.stem not in SLOW]
        room.attacks = [attacks_conftest.read_attack(path) for path in paths]
        for attack in room.attacks:
            text = scene.filled(attack.text, room.pid)
            links = [part.split(" -> ") for part in attack.beside if " -> " in part]
            beside = {name: Path(scene.filled(target, room.pid)) for name, target in links}
            handed = book.answered(blank, mean=text, running_mean="")
            room.hand_in(f"{group_of(attack)}_{attack.name}", handed, beside)
        for group in GROUPS:
            for neighbour in ("a_neighbour", "z_neighbour"):
                room.hand_in(f"{group}_{neighbour}", book.answered(blank, **book.HONEST))
        before = untouched(scene, room)
        room.endings = {
            group: room.nbgrader(
                "autograde", NAME, "--student", f"{group}_*", f"--Execute.timeout={max(1, int(4 * seconds))}"
            )
            for group, seconds in GROUPS.items()
        }
        room.changed = {path for path, state in untouched(scene, room).items() if before.get(path) != state}
        room.changed |= before.keys() - untouched(scene, room).keys()
        room.scene = scene
        room.blank = blank
        yield room
    finally:
        room.close()
        scene.close()


def untouched(scene, room):
    """What no grading may change: the course, the secret, the tree's source and release, what was handed in."""
    ours = ("gradebook.db", "autograded", "data", "home", "jupyter", "runtime", "state", "nbgrader_answers")
    found = {}
    for path, state in scene.fingerprint().items():
        parts = Path(path).relative_to(scene.base).parts
        inside = parts[1:] if parts[:1] == (room.tree.name,) else parts
        kept = parts[:2] == ("course", ".autograder") and parts[2:3] in (("answers",), ("nbgrader",), ())
        if inside[:1] not in {(name,) for name in ours} and not kept and "__pycache__" not in parts:
            found[path] = state
    return found


def said(room, student):
    """Everything that nbgrader and we wrote of a submission: the outputs of its cells and the report."""
    folder = room.tree / "autograded" / student / NAME
    notebook = json.loads((folder / f"{BOOK}.ipynb").read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return json.dumps(outputs) + (folder / "report.json").read_text()


def test_no_attack_gains_a_point_or_loses_an_honest_one(attacked):
    scores = {attack.name: attacked.score(f"{group_of(attack)}_{attack.name}") for attack in attacked.attacks}
    deserved = {attack.name: attack.deserves for attack in attacked.attacks}
    assert len(scores) > 70
    assert scores == pytest.approx(deserved)


def test_every_submission_is_graded_and_the_honest_neighbours_too(attacked):
    assert {group: ending.code for group, ending in attacked.endings.items()} == dict.fromkeys(GROUPS, 0)
    for group in GROUPS:
        assert attacked.score(f"{group}_a_neighbour") == 5.0
        assert attacked.score(f"{group}_z_neighbour") == 5.0


def test_nothing_hidden_was_read_and_nobody_boasts(attacked):
    for attack in attacked.attacks:
        text = said(attacked, f"{group_of(attack)}_{attack.name}")
        assert attacked.scene.canary not in text, attack.name
        assert "BREACHED" not in text, attack.name
    assert not attacked.scene.services.reached()


def test_nothing_outside_was_changed_and_nobody_was_ended(attacked):
    assert not attacked.changed
    assert not attacked.scene.strewn()
    assert attacked.scene.bystander.poll() is None


FORGED = [{"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/plain": "2.0"}}]


def odd_notebooks(book, blank):
    """Submissions whose cells lie, with the most that they may get."""
    wrong = book.answered(blank, mean="def mean(xs):\n    return 0.0")

    def changed(change, base=wrong):
        notebook = copy.deepcopy(base)
        change(notebook, book.cell_of(notebook, "check-mean"))
        return notebook

    def retag(notebook, cell):
        cell["metadata"]["nbgrader"].update(solution=True)

    def ungrade(notebook, cell):
        cell["metadata"]["nbgrader"].update(grade=False)

    def more_points(notebook, cell):
        cell["metadata"]["nbgrader"].update(points=200)

    def forge(notebook, cell):
        cell["outputs"] = FORGED

    def twice(notebook, cell):
        second = copy.deepcopy(cell)
        second.update(id="second", source="2.0", outputs=FORGED)
        notebook["cells"].append(second)

    def prose(notebook, cell):
        cell.update(cell_type="markdown")
        del cell["outputs"], cell["execution_count"]

    def invented(notebook, cell):
        second = copy.deepcopy(cell)
        second.update(id="second", source="2.0", outputs=FORGED)
        second["metadata"]["nbgrader"]["grade_id"] = "check-more"
        notebook["cells"].append(second)

    def other_kernel(notebook, cell):
        notebook["metadata"]["kernelspec"] = {"name": "bash", "display_name": "Bash", "language": "bash"}

    def rewrite(notebook, cell):
        cell["source"] = "2.0"

    def as_answer(notebook, cell):
        book.cell_of(notebook, "mean")["metadata"]["nbgrader"].update(grade_id="check-mean")

    def transformer(notebook, cell):
        text = "ip = get_ipython()\nip.ast_transformers.append(None)\nip.input_transformers_cleanup.append(None)\n"
        answer = book.cell_of(notebook, "mean")
        answer["source"] = (
            f"try:\n    {text.strip().replace(chr(10), chr(10) + '    ')}\nexcept NameError:\n    pass\n"
            + (answer["source"])
        )

    changes = (
        retag, ungrade, more_points, forge, twice, prose, invented, other_kernel, rewrite, as_answer, transformer,
    )  # fmt: skip
    found = {change.__name__: changed(change) for change in changes}
    honest = book.answered(blank, **book.HONEST)
    return {
        **found,
        "not_json": "{" + json.dumps(wrong),
        "not_utf8": json.dumps(wrong).replace("0.0", "\udcff"),
        "old_schema": changed(lambda notebook, cell: cell["metadata"]["nbgrader"].update(schema_version=2)),
        "new_schema": changed(lambda notebook, cell: cell["metadata"]["nbgrader"].update(schema_version=9)),
        "no_schema": changed(lambda notebook, cell: cell["metadata"].update(nbgrader={"grade_id": "check-mean"})),
        "no_object": changed(lambda notebook, cell: cell["metadata"].update(nbgrader=["check-mean"])),
        "no_cells": {**wrong, "cells": []},
        "no_notebook": None,
        "syntax": book.answered(blank, mean="def mean(xs:"),
        "honest_twice": changed(twice, honest),
    }


@pytest.fixture(scope="module")
def oddities(classroom, book):
    handed = odd_notebooks(book, classroom.released())
    for student, notebook in handed.items():
        beside = {"report.json": classroom.tree / "gradebook.db"} if student == "forge" else {}
        classroom.hand_in(f"odd_{student}", notebook, beside)
    classroom.hand_in("odd_zz_neighbour", book.answered(classroom.released(), **book.HONEST))
    classroom.ending = classroom.nbgrader("autograde", NAME, "--student", "odd_*")
    return classroom


def test_lying_cells_gain_nothing(oddities, book):
    rows = oddities.gradebook(f"[[s.student.id, s.score] for s in book.assignment_submissions({NAME!r})]")
    scores = dict(rows)
    odd = odd_notebooks(book, oddities.released())
    gained = {name: scores.get(f"odd_{name}", 0.0) for name in odd if name != "honest_twice"}
    assert not {name: score for name, score in gained.items() if score}
    assert scores["odd_honest_twice"] == 5.0
    assert scores["odd_zz_neighbour"] == 5.0, "those before it do not stop the command"


def test_a_link_in_a_submission_is_not_written_through(oddities):
    assert oddities.tree.joinpath("gradebook.db").read_bytes().startswith(b"SQLite format 3")
    report = oddities.tree / "autograded" / "odd_forge" / NAME / "report.json"
    assert json.loads(report.read_text())["student"] == "odd_forge"
