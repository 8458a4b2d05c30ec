"""The words that the screen and the page of a report share: the score, how a task stands, what to do next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autograder.course import Assignment
from autograder.learner.next_step import cannot_load, focus_of, step_in, tried, write_step
from autograder.learner.progress import Progress
from autograder.report import NOT_WRITTEN, Recognised, Report, TaskResult, TestResult
from autograder.reporting.style import plural, points


@dataclass(frozen=True)
class Suggestion:
    """A command that helps now, and either the sentence that leads to it or, behind it, what it is for."""

    command: str
    why: str = ""
    sentence: str = ""


def part_of(report: Report, assignment: Assignment, task: str | None) -> Report:
    """What a report says of one task; of all, where none is named."""
    if task is None:
        return report
    return replace(
        report,
        tests=tuple(test for test in report.tests if test.task == task),
        tasks=tuple(known for known in report.tasks if known["name"] == task),
        hidden_elsewhere=assignment.task(task).hidden_tests if report.hidden_elsewhere else 0,
    )


def score(report: Report) -> str:
    """The points; where hidden tests are elsewhere, the practice tests that pass, of all that there are."""
    if report.hidden_elsewhere:
        passed = sum(test.outcome == "passed" for test in report.tests)
        skipped = sum(test.outcome == "skipped" for test in report.tests)
        counted = f"{passed} of {plural(len(report.tests), 'practice test')}"
        return f"{counted}, {skipped} skipped" if skipped else counted
    return f"{points(report.points)} of {points(report.max_points)} points"


def worth(result: TaskResult, report: Report | None) -> str:
    """ "2 / 4"; where hidden tests are elsewhere, what is earned is not known, and only the worth is said."""
    if report is not None and report.hidden_elsewhere:
        return f"worth {points(result.max_points)}"
    return f"{points(result.points)} / {points(result.max_points)}"


def all_practice(report: Report) -> str:
    """That nothing which ran failed, said of no more than ran."""
    ran = " that ran" if any(test.outcome == "skipped" for test in report.tests) else ""
    return f"Every practice test{ran} passes."


def how_it_stands(result: TaskResult, state: str, waits: list[str]) -> str:
    """A task in a few words; `waits`: the tasks that it needs and that are not done."""
    ran = [test for test in result.tests if test.outcome != "skipped"]
    good = sum(test.outcome == "passed" for test in ran)
    fixed = {
        "unknown": "not checked yet",
        "unwritten": NOT_WRITTEN,
        "passed": f"{len(ran)} tests pass" if len(ran) > 1 else "its test passes",
        "error": "a test broke on our side",
        "blocked": f"waits for {waits[0]}" if waits else "waits for another test",
    }
    return fixed.get(state) or f"{good} of {plural(len(ran), 'test')} pass" + ("es" if len(ran) == 1 else "")


def summary(assignment: Assignment, report: Report, task: str | None = None) -> str:
    """The whole report, or how one task stands, in one sentence."""
    results = report.by_task()
    if task is not None and not cannot_load(report):
        asked = next(result for result in results if result.name == task)
        if asked.done:
            return f"{task} passes."
        return f"{task} does not pass yet." if tried(asked) else f"{task} is not written yet."
    done = sum(result.done for result in results)
    focus = focus_of(assignment, report)
    if cannot_load(report):
        return "The file cannot be loaded, so nothing else could be tested."
    if focus is None or done == len(results):
        return all_practice(report) if report.hidden_elsewhere else f"All {plural(len(results), 'task')} pass."
    to_check = step_in(assignment, report).kind == "check"
    if not to_check and not any(tried(result) for result in results if result.tests):
        return "Nothing is written yet."
    verb = "check" if to_check else "mend" if focus[1] is not None and tried(focus[1]) else "write"
    if not done:
        return f"No task passes yet; {verb} {focus[0].name} first."
    return f"{done} of {plural(len(results), 'task')} {'passes' if done == 1 else 'pass'}; {verb} {focus[0].name} next."


def notes(report: Report) -> list[str]:
    """What the reader should know beside the tests: the report's own notes, hidden tests elsewhere, skipped tests."""
    said = list(report.notes)
    if report.hidden_elsewhere:
        said.append(f"{plural(report.hidden_elsewhere, 'hidden test')} will also count; they are not on this machine.")
    skipped = [test for test in report.tests if test.outcome == "skipped"]
    if skipped:
        said.append(f"{plural(len(skipped), 'practice test')} skipped: {_why_skipped(skipped)}")
    return said


MISSING = re.compile(r"could not import '([\w.]+)'.*", re.DOTALL)
"""What pytest.importorskip says of a package that is not there."""


def _why_skipped(skipped: Sequence[TestResult]) -> str:
    """Each reason once, and behind it the tasks whose tests it concerns."""
    reasons: dict[str, list[str]] = {}
    for test in skipped:
        reasons.setdefault(MISSING.sub(r"\1 is not installed", test.reason), []).append(test.task)
    return "; ".join(f"{why} ({', '.join(dict.fromkeys(tasks))})" for why, tasks in reasons.items())


def focus_in(assignment: Assignment, report: Report, task: str | None = None) -> TaskResult | None:
    """The task that a check is about; None where all that was asked passes."""
    if task is not None:
        chosen = next(result for result in report.by_task() if result.name == task)
        return None if chosen.done else chosen
    found = focus_of(assignment, report)
    return found[1] if found else None


def first_failing(result: TaskResult) -> TestResult:
    """Failed before blocked, and otherwise in the order of the tests."""
    undone = [test for test in result.tests if test.outcome not in ("passed", "skipped")]
    return next((test for test in undone if test.outcome != "blocked"), undone[0])


def mistake_of(result: TaskResult, test: TestResult) -> Recognised | None:
    """The known mistake of a test, or else of any other test of its task."""
    return test.mistake or next((other.mistake for other in result.tests if other.mistake), None)


def what_next(
    assignment: Assignment, report: Report, progress: Progress, focus: TaskResult | None, task: str | None = None
) -> list[Suggestion]:
    """What helps now: the next hint of what fails, else the next thing to write or to read."""
    short = assignment.short
    if focus is not None and tried(focus):
        if any(test.outcome == "error" for test in focus.tests):
            return [Suggestion(f"autograder check {short}", "once more; if it stays, it is a fault of ours")]
        if not cannot_load(report):
            return [_hint(assignment, focus.name, progress)]
    if focus is not None and task is not None and not tried(focus):
        step = write_step(assignment, assignment.task(task), report)
    else:
        step = step_in(assignment, report)
    if step.kind != "done":
        return [Suggestion(step.command, sentence=step.sentence)]
    ours = Suggestion(f"autograder solution {short}.{task or assignment.tasks[0].name}", "our way beside yours")
    return [
        Suggestion(f"autograder quiz {short}", "questions that explain"),
        *([ours] if assignment.has_solution else []),
        Suggestion("autograder status", "what comes next"),
    ]


def _hint(assignment: Assignment, name: str, progress: Progress) -> Suggestion:
    hints, read = len(assignment.task(name).hints), progress.hints_read(assignment, name)
    target = f"{assignment.short}.{name}"
    if read < hints:
        which = ("the first", "the second", "the third")[read] if read < 3 else f"number {read + 1}"
        return Suggestion(f"autograder hint {target}", f"{which} of {plural(hints, 'hint')}")
    if not assignment.has_solution:
        return Suggestion(f"autograder hint {target}", "all hints are read; this shows them again")
    return Suggestion(f"autograder solution {target}", "all hints are read, so the solution opens")


def while_watching(suggestion: Suggestion) -> Suggestion:
    """The same where each save is checked: nobody has to type what happens by itself."""
    if not suggestion.command.startswith("autograder check"):
        return suggestion
    if suggestion.sentence.endswith(", then"):
        return Suggestion("", sentence=f"{suggestion.sentence.removesuffix(', then')}, and save")
    return Suggestion("r", suggestion.why or "checks once more", suggestion.sentence)
