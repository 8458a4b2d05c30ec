"""The ladder of hints: a question, a pointer, nearly the answer. One is opened at a time."""

from __future__ import annotations

from dataclasses import dataclass

from autograder.course import Assignment, Task
from autograder.errors import AutograderError
from autograder.learner.next_step import focus_of
from autograder.learner.progress import Progress
from autograder.report import Report


@dataclass(frozen=True)
class Hints:
    """The hints of a task that are open now."""

    assignment: Assignment
    task: Task
    opened: tuple[str, ...]
    fresh: bool
    """Whether the last of them was opened just now."""

    @property
    def left(self) -> int:
        return len(self.task.hints) - len(self.opened)


def next_hint(assignment: Assignment, task: Task | None, report: Report | None, progress: Progress) -> Hints:
    """Opens the next hint of `task` (default: the task that is to be mended first) and remembers that it was read."""
    chosen = task or _task_to_mend(assignment, report)
    if not chosen.hints:
        raise AutograderError(
            f"{assignment.short}.{chosen.name} has no hints", mend=f"the handout: assignments/{assignment.id}/README.md"
        )
    before = progress.hints_read(assignment, chosen)
    now = progress.open_hint(assignment, chosen)
    progress.save()
    return Hints(assignment, chosen, chosen.hints[:now], fresh=now > before)


def _task_to_mend(assignment: Assignment, report: Report | None) -> Task:
    focus = focus_of(assignment, report)
    if focus is None:
        first = f"autograder hint {assignment.short}.{assignment.tasks[0].name}" if assignment.tasks else ""
        raise AutograderError(
            f"all of {assignment.short} passes: no hint is needed", mend=first and f"of one task: {first}"
        )
    return focus[0]
