"""What a test made of the same answers before is taken over; what is new is judged by the test, and nothing is lost."""

import random
import sys
from dataclasses import replace

import pytest

from autograder.course import Course
from autograder.grading import recalled as module
from autograder.grading.material import Material
from autograder.grading.recalled import Recalled
from autograder.grading.run import HandedIn, grade
from autograder.grading.submission import Submission
from autograder.sandbox.loopback import LoopbackTransport
from autograder.sandbox.messages import Ended, Program, Reply
from autograder.testing.runner import Verdict, run_test
from autograder.testing.student import Counted

RIGHT = "def mean(xs):\n    return sum(xs) / len(xs)\n"
WRONG = "def mean(xs):\n    return sum(xs) / 2\n"


@pytest.fixture
def course(toy):
    return Course.load(toy)


@pytest.fixture
def assignment(course):
    return course.assignment("t01")


@pytest.fixture
def case(course, assignment):
    return next(c for c in Material(course, assignment).cases if c.name == "test_the_mean_of_many")


class Grader:
    """Runs one test on one text after another, and counts how often the test itself ran."""

    def __init__(self, case, test):
        self.recalled, self.case, self.ran = Recalled(), replace(case, function=test, uses=("student", "seed")), 0

    def __call__(self, text, seed=0) -> Verdict:
        def run(student):
            self.ran += 1
            return run_test(self.case, student, None, seed)

        program = Program("means", text, "means.py", "")
        return self.recalled.run(self.case, seed, lambda: LoopbackTransport().open(program), run)


def asks_twice(student, seed):
    xs = [float(seed), 2.0, 3.0, 6.0]
    first = student.mean(xs).value
    student.mean([first, 5.0]).equals((first + 5.0) / 2)
    student.mean(xs).equals(sum(xs) / len(xs))


def test_the_same_answers_get_the_same_verdict_and_the_test_runs_once(case):
    grader = Grader(case, asks_twice)
    for text, outcome in ((RIGHT, "passed"), (WRONG, "failed")):
        first, again = grader(text), grader(f"# another name\n{text}")
        assert (first.outcome, again.outcome) == (outcome, outcome)
        assert (again.safe, again.detail) == (first.safe, first.detail)
        assert again.transcript == first.transcript
    assert grader.ran == 2


def test_student_code_runs_for_every_question_all_the_same(case, capfd):
    grader = Grader(case, asks_twice)
    for _ in range(2):
        grader("print('here')\ndef mean(xs):\n    print('asked')\n    return sum(xs) / len(xs)\n")
    assert capfd.readouterr().out.count("asked") == 6
    assert grader.ran == 1


def test_an_answer_that_is_new_at_the_end_is_judged_by_the_test(case):
    grader = Grader(case, asks_twice)
    assert grader(RIGHT).passed
    third = f"calls = []\n{RIGHT}right = mean\ndef mean(xs):\n    calls.append(xs)\n    return right(xs) + (len(calls) == 3)\n"
    assert grader(third).outcome == "failed"
    assert len(grader(third).transcript) == 3
    assert grader.ran == 2


def test_another_seed_is_another_question(case):
    grader = Grader(case, asks_twice)
    assert grader(RIGHT, seed=1).passed
    assert grader(RIGHT, seed=2).passed
    assert grader.ran == 2


def test_what_ends_without_an_answer_is_run_each_time(case):
    grader = Grader(case, asks_twice)

    class Gone:
        fresh = True

        def exchange(self, question, callbacks):
            return Reply("crashed", message="gone.")

        def close(self):
            return Ended()

    for _ in range(2):

        def run(student):
            grader.ran += 1
            return run_test(grader.case, student, None, 0)

        assert grader.recalled.run(grader.case, 0, Gone, run).outcome == "crashed"
    assert grader.ran == 2


def test_a_test_that_hands_out_callbacks_is_run_each_time(case):
    def counts(student, seed):
        student.mean(Counted(lambda: None, 3)).refused()

    grader = Grader(case, counts)
    for _ in range(2):
        assert grader("def mean(xs):\n    raise ValueError('no')\n").passed
    assert grader.ran == 2


def test_a_test_that_asks_differently_each_time_is_graded_as_if_nothing_were_known(case):
    draw = random.Random(3)

    def unseeded(student, seed):
        xs = [draw.random() for _ in range(4)]
        student.mean(xs).equals(sum(xs) / len(xs))

    grader = Grader(case, unseeded)
    assert grader("def mean(xs):\n    return 0.0\n").outcome == "failed"
    assert all(grader(RIGHT).passed for _ in range(5))
    assert grader("def mean(xs):\n    return 0.0\n").outcome == "failed"


def test_what_is_held_is_bounded(case, monkeypatch):
    monkeypatch.setattr(module, "ROOM", 2000)
    grader = Grader(case, asks_twice)
    for number in range(50):
        grader(f"def mean(xs):\n    return {number}.5\n")
    held = sum(sys.getsizeof(what) for what in grader.recalled._known.values() if isinstance(what, bytes))
    assert held < 10_000
    assert grader(RIGHT).passed


def test_a_class_gets_the_reports_that_each_would_get_alone(course, assignment):
    texts = [RIGHT, WRONG, f"# again\n{RIGHT}", f"# again\n{WRONG}", "def mean(xs):\n    raise NotImplementedError\n"]

    def reports(material):
        for number, text in enumerate(texts):
            handed_in = HandedIn(Submission(text, assignment.module_path, "py"), lambda _: None)
            given = {"student": f"s{number}", "material": material() if callable(material) else material}
            yield grade(course, assignment, LoopbackTransport(), handed_in=handed_in, **given)

    together = list(reports(Material(course, assignment, remembers=True)))
    alone = list(reports(lambda: Material(course, assignment)))
    for one, other in zip(together, alone, strict=True):
        assert [replace(t, cpu_seconds=0) for t in one.tests] == [replace(t, cpu_seconds=0) for t in other.tests]
    assert together[0].points > together[1].points
