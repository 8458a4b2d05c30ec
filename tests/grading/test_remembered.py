"""Kept answers are the answers: the reference's in memory, those of the mistakes on disk, damaged ones not at all."""

import pytest

from autograder.course import Course
from autograder.grading.diagnosis import LiveCandidates, open_reference
from autograder.grading.material import Material, author_of
from autograder.grading.remembered import KnownAnswers, RememberedReference
from autograder.sandbox.messages import Reply
from autograder.testing.runner import run_test
from autograder.testing.student import Counted, close


@pytest.fixture
def course(toy):
    return Course.load(toy)


@pytest.fixture
def assignment(course):
    return course.assignment("t01")


@pytest.fixture
def author(assignment):
    return author_of(assignment)


@pytest.fixture
def case(course, assignment):
    material = Material(course, assignment)
    return next(case for case in material.cases if case.name == "test_the_mean_of_many")


# ------------------------------------------------------------------------------------------------------- the reference


@pytest.fixture
def conversations(monkeypatch):
    """Every conversation with the reference that was really held, with what it was asked."""
    from autograder.grading import remembered

    held = []

    class Recorded:
        def __init__(self, author):
            self.inside, self.asked = open_reference(author), []
            held.append(self.asked)

        def ask(self, request, callbacks):
            self.asked.append(request.args)
            return self.inside.ask(request, callbacks)

        def close(self):
            return self.inside.close()

    monkeypatch.setattr(remembered, "open_reference", Recorded)
    return held


def asked(reference, *lists):
    values = [reference.mean(xs).value for xs in lists]
    close(reference)
    return values


def test_what_was_asked_before_is_not_asked_again(author, case, conversations):
    remembered = RememberedReference(author)
    assert asked(remembered(case, 1), [1.0, 3.0], [5.0]) == [2.0, 5.0]
    assert asked(remembered(case, 1), [1.0, 3.0], [5.0]) == [2.0, 5.0]
    assert len(conversations) == 1


def test_another_test_another_seed_or_another_order_is_asked_anew(author, case, conversations):
    remembered = RememberedReference(author)
    asked(remembered(case, 1), [1.0], [5.0])
    asked(remembered(case, 2), [1.0], [5.0])
    asked(remembered(case, 1), [5.0], [1.0])
    assert len(conversations) == 3


def test_a_new_question_is_asked_after_all_that_went_before_it(author, case, conversations):
    """An answer may depend on what was asked before."""
    remembered = RememberedReference(author)
    asked(remembered(case, 1), [1.0])
    assert asked(remembered(case, 1), [1.0], [7.0]) == [1.0, 7.0]
    assert [len(questions) for questions in conversations] == [1, 2]


def test_a_test_that_changes_an_answer_does_not_change_the_next(author, case):
    remembered = RememberedReference(author)
    for _ in range(2):
        reference = remembered(case, 1)
        found = reference.running_mean([1.0, 3.0]).value
        assert found == [1.0, 2.0]
        found.append(99.0)
        close(reference)


def test_a_counted_resource_is_never_remembered(author, case, conversations):
    remembered = RememberedReference(author)
    for used in (1, 2):
        reference = remembered(case, 1)
        counted = Counted(lambda: 1.0, budget=5)
        reference.mean([1.0, counted])  # what it answers does not matter here
        reference.mean([1.0])
        close(reference)
        assert len(conversations) == used


def test_a_grading_with_kept_material_says_the_same(toy):
    from autograder.grading.run import grade
    from autograder.sandbox.loopback import LoopbackTransport

    course = Course.load(toy)
    assignment = course.assignment("t01")
    kept = Material(course, assignment, toy / ".autograder" / "answers", remembers=True)
    wrong = "def mean(xs):\n    return float(sum(xs))\ndef running_mean(xs):\n    return xs[::-1]\n"
    for text in (wrong, wrong.replace("float(sum(xs))", "sum(xs) / len(xs)"), wrong):
        assignment.module_path.write_text(text)
        told = [grade(course, assignment, LoopbackTransport(), material=material).tests for material in (None, kept)]
        assert [(t.id, t.outcome, t.points, t.reason, t.mistake) for t in told[0]] == [
            (t.id, t.outcome, t.points, t.reason, t.mistake) for t in told[1]
        ]


# --------------------------------------------------------------------------------------------------- mistakes, on disk


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "answers" / "t01_numbers"


def said(candidates):
    return [(c.recognised, c.twins, [(r.kind, r.value, r.arguments) for r in c.replies]) for c in candidates]


def test_answers_outlive_the_command(author, case, folder, monkeypatch):
    first = LiveCandidates(author, KnownAnswers(folder, "all"))(case, 3)
    assert first
    monkeypatch.setattr(LiveCandidates, "_run", lambda *_: pytest.fail("a mistake was run again"))
    assert said(LiveCandidates(author, KnownAnswers(folder, "all"))(case, 3)) == said(first)


def test_other_files_or_versions_have_answers_of_their_own_and_older_ones_go(author, case, folder):
    LiveCandidates(author, KnownAnswers(folder, "all"))(case, 3)
    other = KnownAnswers(folder, "all, but newer")
    assert other.load(case, 3, author.mistakes) is None
    LiveCandidates(author, other)(case, 3)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
        lambda data: b"\xff" * len(data),
    ],
)
def test_a_damaged_file_counts_as_absent(author, case, folder, damage):
    known = KnownAnswers(folder, "all")
    first = LiveCandidates(author, known)(case, 3)
    [path] = [path for path in folder.rglob("*") if path.is_file()]
    path.write_bytes(damage(path.read_bytes()))
    assert known.load(case, 3, author.mistakes) is None
    assert said(LiveCandidates(author, known)(case, 3)) == said(first)
    assert known.load(case, 3, author.mistakes) is not None, "it is written anew"


def test_a_mistake_that_is_no_longer_there_makes_it_absent(author, case, folder):
    known = KnownAnswers(folder, "all")
    LiveCandidates(author, known)(case, 3)
    assert known.load(case, 3, author.mistakes[:0]) is None


def test_a_disk_that_refuses_costs_nothing(author, case, tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    assert LiveCandidates(author, KnownAnswers(tmp_path / "file" / "t01", "all"))(case, 3)


def test_material_is_stale_once_a_file_of_it_changes(course, assignment):
    material = Material(course, assignment)
    assert not material.stale
    assignment.module_path.write_text("def mean(xs): ...")
    assert not material.stale, "the student's file is not part of it"
    path = assignment.solution_folder / "mistakes.py"
    path.write_text(path.read_text() + "\n")
    assert material.stale


def test_candidates_are_recorded_without_what_was_said(author, case, folder):
    """Only what a recognition compares is kept."""
    known = KnownAnswers(folder, "all")
    candidates = LiveCandidates(author, known)(case, 3)
    known.save(case, 4, [type(c)(c.recognised, c.twins, (Reply("raised", message="secret"),)) for c in candidates])
    assert all(b"secret" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_test_passes_on_remembered_answers_as_on_real_ones(author, case):
    remembered = RememberedReference(author)
    for _ in range(2):
        assert run_test(case, remembered(case, 5), remembered(case, 5), 5).passed
