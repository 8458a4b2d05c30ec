"""Reports to look at, made by hand, and their pages: python tests/reporting/demo_reports.py FOLDER

Nothing here is measured: the reports show what a page has to cope with. The tests of the page use them too.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

from autograder.course import Assignment, Course, Task
from autograder.learner.progress import Progress
from autograder.report import NOT_WRITTEN, Curve, Figure, Recognised, Report, TestResult
from autograder.reporting import html

ROOT = Path(__file__).resolve().parents[2]
STARTED = "2026-03-04T15:16:17+00:00"
MISTAKE = Recognised(
    "no_scale",
    "The spread of your scores changes with the head size: which size, and to what power?",
    "This equals attention whose scores are not divided by the square root of the head size.",
)
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>&lt;\u202e\x1b[31m\x00\ud800]]>--><!--"
NOT_STOPPED = (
    "reading files that everybody on this machine may read",
    "using more than its share of the disk for a short while",
)


def attention(root: Path) -> Assignment:
    """The course's own assignment, or one like it where only this package is."""
    return Course.load(ROOT).assignment("a02") if root == ROOT else runs(root)


def runs(root: Path) -> Assignment:
    """An assignment with a graded run."""
    hints = ("What is maximised?", "Look at the sign.", "Ascend, do not descend.")
    tasks = (
        Task("returns", "Discounted returns", 2, 15, hints, hidden_tests=2),
        Task("policy_loss", "The policy's loss", 3, 25, hints, needs=("returns",), hidden_tests=2),
        Task("train_pole", "Training on the pole", 5, 60, hints, needs=("policy_loss",), hidden_tests=2),
    )
    return Assignment(
        "a09_policy", "The policy gradient, from the pole to a trained policy", "month2", "policy", "", tasks, root
    )


def made(assignment: Assignment, *tests: TestResult, **more: object) -> Report:
    settings: dict[str, object] = {
        "assignment": assignment.id,
        "title": assignment.title,
        "tests": tests,
        "tasks": tuple({"name": t.name, "title": t.title, "points": t.points} for t in assignment.tasks),
        "submission": "py:" + "5e0c" * 16,
        "tests_hash": "c41d" * 16,
        "release": "9ab3" * 16,
        "isolation": "a process of its own for each test, without network, behind Landlock and a filter on system calls",
        "not_stopped": NOT_STOPPED,
        "versions": {"python": "3.11.7", "autograder": "0.1.0", "numpy": "2.3.1", "torch": "2.13.0"},
        "student": "local",
        "started": STARTED,
        "cpu_seconds": round(sum(test.cpu_seconds for test in tests), 3),
        "complete": True,
    }
    return Report(**{**settings, **more})  # type: ignore[arg-type]


def one_of(
    assignment: Assignment, task: str, name: str, outcome: str = "passed", worth: float = 0.0, **more: object
) -> TestResult:
    given: dict[str, object] = {
        "id": f"{assignment.short}.{task}.{name}",
        "task": task,
        "hidden": worth > 0,
        "outcome": outcome,
        "sentence": f"What {name} says of a right answer.",
        "points": worth if outcome == "passed" else 0.0,
        "max_points": worth,
        "seed": 17 if worth else None,
        "cpu_seconds": 0.02,
    }
    return TestResult(**{**given, **more})  # type: ignore[arg-type]


def all_of(assignment: Assignment, outcome: str = "passed", **more: object) -> list[TestResult]:
    """A practice test and two hidden ones for each task."""
    found = []
    for task in assignment.tasks:
        found.append(one_of(assignment, task.name, "test_by_hand", outcome, **more))
        for name in ("test_values", "test_shapes"):
            found.append(one_of(assignment, task.name, name, outcome, worth=task.points / 2, **more))
    return found


def failing(assignment: Assignment) -> Report:
    """Two tasks pass, one equals a known mistake, one waits, the others are not written."""
    done, wrong, waits, *rest = (task.name for task in assignment.tasks)
    tests = [test for test in all_of(assignment) if test.task == done]
    tests += [
        one_of(
            assignment,
            wrong,
            "test_scores_are_scaled",
            "failed",
            sentence="Scores are divided by the square root of the head size before the softmax.",
            reason=f"{wrong}(q, k, v) gave 0.7311 at [0, 0, 1]; 0.6225 is right (off by 0.11, allowed 1e-09).",
            mistake=MISTAKE,
            output="shape (2, 3, 4)\nscores tensor([[0.1000, 2.4000],\n        [0.3000, 0.7000]])\n",
        ),
        one_of(
            assignment,
            wrong,
            "test_values",
            "failed",
            worth=2.0,
            sentence="Each output is the weighted mean of the values that its query may see.",
            reason="Your answer has the right shape and kind, and is off by up to 0.43 where 1e-09 is allowed.",
            mistake=MISTAKE,
        ),
        one_of(assignment, wrong, "test_masked_rows", worth=2.0, sentence="A masked key gets no weight at all."),
        one_of(
            assignment, waits, "test_one", "blocked", worth=3.0, reason=f"Builds on {wrong}, which is not right yet."
        ),
    ]
    tests += [test for test in all_of(assignment, "failed", reason=NOT_WRITTEN) if test.task in rest]
    return made(
        assignment, *tests, notes=("Your code printed more than is kept; printing costs nothing, but slows it down.",)
    )


def curve(seed: int, reaches: float, slow: float, *, until: int = 12, threshold: float | None = 450.0) -> Curve:
    """A made-up run: rises towards `reaches`, the faster the smaller `slow`."""
    places = range(0, until + 1)
    points = tuple(
        (place * 5000.0, round(20 + reaches * (1 - math.exp(-place / slow)) + 23 * math.sin(place * seed), 2))
        for place in places
    )
    reference = tuple(
        (
            place * 5000.0,
            round(12 + 430 * (1 - math.exp(-place / 2.5)), 2),
            min(500.0, round(30 + 490 * (1 - math.exp(-place / 1.6)), 2)),
        )
        for place in range(0, 13)
    )
    return Curve("mean return of 4 greedy episodes", "environment steps", points, threshold, reference, seed)


def graded_run(root: Path) -> Report:
    """Three attempts, two of which miss."""
    assignment = runs(root)
    tests = [test for test in all_of(assignment) if test.task != "train_pole"]
    attempts = (curve(3, 300, 4.0), curve(11, 470, 2.0), curve(8, 260, 3.0, until=9))
    broken = Curve(
        "loss of the baseline",
        "batches",
        ((0, 4.0), (10, math.nan), (20, 2.0), (30, 1.1), (40, 1e9)),
        None,
        ((0, 3.0, 5.0), (40, 0.5, 1.5)),
        3,
    )
    tests.append(
        one_of(
            assignment,
            "train_pole",
            "test_budget_is_kept",
            sentence="No more environment steps are taken than are given out.",
            output="".join(f"update {n}: return {n * 3.7:.1f}\n" for n in range(40)),
        )
    )
    tests.append(
        one_of(
            assignment,
            "train_pole",
            "test_it_learns",
            "failed",
            worth=5.0,
            sentence="Trained on the given budget, the greedy policy keeps the pole up for 450 steps in the mean.",
            reason="1 of 3 attempts reached 450; two are needed.",
            figures=(
                Figure("mean return at the end", 318.25, 450.0),
                Figure("budget used", 100.0, 100.0, " %"),
                Figure("time a step", 0.41, None, " ms"),
            ),
            curves=(*attempts, broken),
            cpu_seconds=212.7,
        )
    )
    return made(assignment, *tests)


def hard_times(assignment: Assignment) -> Report:
    """Every outcome that is no answer, in one report that was interrupted."""
    names = [task.name for task in assignment.tasks]
    kinds = (
        ("crashed", "Its process was ended by a segmentation fault before it answered."),
        ("timeout", "No answer within the limit of 10 seconds of computing (or 40 of waiting)."),
        ("error", "A test of ours broke."),
    )
    tests = [
        one_of(assignment, name, "test_one", kind, worth=2.0, reason=said)
        for name, (kind, said) in zip(names, kinds, strict=False)
    ]
    tests.append(
        one_of(
            assignment,
            names[0],
            "test_same_as_torch",
            "skipped",
            reason="needs torchvision, which is not installed here",
        )
    )
    tests.append(one_of(assignment, names[0], "test_rows", submission="py:" + "0a1b" * 16))
    return made(assignment, *tests, complete=False)


def kit(assignment: Assignment) -> Report:
    """Practice tests alone: the hidden ones are elsewhere."""
    tests = [test for test in all_of(assignment) if not test.hidden]
    return made(assignment, *tests, hidden_elsewhere=31)


def unprintable(assignment: Assignment) -> Report:
    """Whatever can be written into a field tries to be more than text."""
    names = [task.name for task in assignment.tasks]
    mistake = Recognised("evil", f"seen {EVIL}", f"named {EVIL}")
    tests = [
        one_of(
            assignment,
            name,
            f"test_{EVIL}",
            "failed",
            sentence=f"Sentence {EVIL}",
            reason=f"Reason of {name} {EVIL}\n{'x' * 400}",
            output=f"printed {EVIL}\n{'y' * 400}\n" * 3,
            mistake=mistake,
            figures=(Figure(f"figure {EVIL}", math.nan, math.inf, f" {EVIL}"),),
            curves=(dataclasses.replace(curve(3, 10, 1), name=f"curve {EVIL}", unit=f"unit {EVIL}"),),
            submission=f"py:{EVIL}",
        )
        for name in names[:2]
    ]
    tasks = tuple({"name": name, "title": f"Title {EVIL}", "points": 2.0} for name in names)
    return made(
        assignment,
        *tests,
        title=f"Title {EVIL}",
        tasks=tasks,
        submission=f"py:{EVIL}",
        tests_hash=EVIL,
        release=EVIL,
        isolation=f"isolation {EVIL}",
        not_stopped=(f"not stopped {EVIL}",),
        versions={f"package {EVIL}": f"version {EVIL}"},
        student=f"student {EVIL}",
        started=f"started {EVIL}",
        notes=(f"note {EVIL}",),
    )


def everything(root: Path) -> dict[str, tuple[Report, Assignment]]:
    """Each demo report with its assignment."""
    first, second = attention(root), runs(root)
    return {
        "failing": (failing(first), first),
        "passing": (made(first, *all_of(first)), first),
        "untouched": (made(first, *all_of(first, "failed", reason=NOT_WRITTEN)), first),
        "run": (graded_run(root), second),
        "hard": (hard_times(first), first),
        "kit": (kit(first), first),
        "unprintable": (unprintable(first), first),
    }


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (report, assignment) in everything(ROOT).items():
        progress = Progress(folder / "progress.json")
        (folder / f"{name}.html").write_text(html.page(report, assignment, progress), encoding="utf-8")
        tasks = [None, *(task.name for task in assignment.tasks)] if name in ("run", "failing") else [None]
        pieces = [html.fragment(report, assignment, progress, task) for task in tasks]
        page = (
            '<!DOCTYPE html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><body>'
            + "<hr>".join(pieces)
        )
        (folder / f"{name}_pieces.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
