"""A report as JSON text, the record itself: `Report.from_json` reads it back."""

from __future__ import annotations

import json
import math
from typing import Any

from autograder.report import Report


def to_text(report: Report) -> str:
    """Strict JSON: a figure that is not finite becomes null."""
    return json.dumps(_finite(report.to_json()), ensure_ascii=False, indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
