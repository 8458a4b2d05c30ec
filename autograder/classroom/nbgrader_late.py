"""What lateness costs: nbgrader's own plugin point, with a share of the score for each day begun.

The due date and each student's extension stand in the gradebook, and nbgrader counts the seconds:
`nbgrader db assignment add NAME --duedate ...`, and `Gradebook.grant_extension(NAME, STUDENT, days=2)`.
"""

from __future__ import annotations

import math

from nbgrader.plugins import LateSubmissionPlugin  # type: ignore[import-untyped,import-not-found,unused-ignore]
from traitlets import Float

DAY = 24 * 3600.0


class PerDay(LateSubmissionPlugin):  # type: ignore[misc,unused-ignore]
    """Takes `share` of the score for each day begun after the due date and the hours of grace; never more than all."""

    share = Float(0.0, help="Share of the score that each day begun costs: 0.1 is a tenth.").tag(config=True)
    grace_hours = Float(0.0, help="So many hours late are forgiven; after them every hour counts.").tag(config=True)

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        """The penalty in points; None where there is none."""
        if self.share <= 0 or total_seconds_late <= self.grace_hours * 3600:
            return None
        return min(score, score * self.share * math.ceil(total_seconds_late / DAY))
