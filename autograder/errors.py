"""Every error that the engine raises on purpose.

AutograderError                 a refusal: what is wrong, where, and the command that mends it
├── CourseError                 the course on disk is missing, unreadable or inconsistent
│   └── UnknownName             no assignment or task of that name (says the nearest one)
├── SubmissionError             what the student handed in cannot be read (syntax, notebook, two forms)
├── SourceError                 an author's source.py, tests, asks or mistakes break the format
├── ReleaseError                a release would overwrite or contradict something
├── LabError                    a lab's settings, model or checkpoint are not what it can run with
├── EnvironmentProblem          Python, a package, a tool or the disk is not what is needed
└── SandboxError                the sandbox could not be started or broke: ours, never the student's
    └── WireError               bytes that do not follow the codec: refused before anything is built

The command line prints `str(error)` and exits 2; a traceback of ours is a bug.
"""

from __future__ import annotations


class AutograderError(Exception):
    """A refusal, in one to three short lines.

    problem: what is wrong, with the name of the thing.
    where: the file or place, if there is one.
    mend: the command or edit that mends it.
    """

    def __init__(self, problem: str, *, where: str = "", mend: str = "") -> None:
        self.problem = problem
        self.where = where
        self.mend = mend
        super().__init__(problem)

    def __str__(self) -> str:
        lines = [self.problem]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.mend:
            lines.append(f"  mend:  {self.mend}")
        return "\n".join(lines)


class CourseError(AutograderError):
    """The course on disk is missing, unreadable or inconsistent."""


class UnknownName(CourseError):
    """No assignment or task of that name."""


class SubmissionError(AutograderError):
    """What the student handed in cannot be read."""


class SourceError(AutograderError):
    """An author's file breaks the source format."""


class ReleaseError(AutograderError):
    """A release would overwrite or contradict something."""


class LabError(AutograderError):
    """A lab's settings, model or checkpoint are not what it can run with."""


class EnvironmentProblem(AutograderError):
    """Python, a package, a tool or the disk is not what is needed."""


class SandboxError(AutograderError):
    """The sandbox could not be started, or broke: never the student's fault."""


class WireError(SandboxError):
    """Bytes that do not follow the codec."""
