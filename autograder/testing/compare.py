"""Is this answer that answer? And if not, how far off, in words that give nothing away.

A difference has two texts: `safe` speaks of kinds, shapes, dtypes and how many values are off, and may be shown for a
hidden test; `detail` shows values, and is for public tests only. `distance` counts tolerances, so that an author can be
sure a mistake is far from the truth.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

LONGEST = 80
"""Characters of a value that a sentence shows."""


@dataclass(frozen=True)
class Difference:
    """The first way in which an answer is not the expected one."""

    safe: str
    detail: str
    distance: float = math.inf
    """Largest |answer - expected| / (atol + rtol |expected|); infinite where kinds, shapes or exact values differ."""


@dataclass(frozen=True)
class Tolerance:
    """|answer - expected| <= atol + rtol |expected|, in float64. Zero means exact."""

    rtol: float = 0.0
    atol: float = 0.0
    nan_equal: bool = False


def difference(answer: Any, expected: Any, tolerance: Tolerance, place: str = "") -> Difference | None:
    """None if `answer` is `expected` within the tolerance; else the first difference, structure before values.

    Lists and tuples are interchangeable; an int serves where a float is expected; otherwise kinds, dtypes and shapes
    must agree.
    """
    if _is_array(expected) or _is_array(answer):
        return _array_difference(answer, expected, tolerance, place)
    if isinstance(expected, list | tuple) and isinstance(answer, list | tuple):
        return _sequence_difference(answer, expected, tolerance, place)
    if isinstance(expected, dict) and isinstance(answer, dict):
        return _dict_difference(answer, expected, tolerance, place)
    if isinstance(expected, float) and type(answer) in (int, float):
        return _float_difference(_as_float(answer), expected, tolerance, place)
    if type(answer) is not type(expected):
        return _structural(place, f"is {kind(answer)}, where {kind(expected)} is expected")
    if answer != expected:
        safe = f"{_subject(place)} is not the expected {_noun(expected)}"
        return Difference(safe, f"{_subject(place)} is {_shown(answer)}, not {_shown(expected)}")
    return None


def kind(value: Any) -> str:
    """ "a float64 tensor of shape (2, 3)", "a list of 4", "None"."""
    if _is_tensor(value):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array of shape {value.shape}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None:
        return "None"
    return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"


def numbers(value: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Every number and boolean in an answer, flat, in float64."""
    plain: list[float] = []
    arrays: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    _gather(value, plain, arrays)
    return np.concatenate([np.array(plain, dtype=np.float64), *arrays])


def _gather(value: Any, plain: list[float], arrays: list[np.ndarray[Any, np.dtype[np.float64]]]) -> None:
    if _is_array(value):
        arrays.append(_float64(value).reshape(-1))
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            _gather(item, plain, arrays)
    elif isinstance(value, bool | int | float):
        plain.append(_as_float(value))


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int beyond any float
        return math.inf if value > 0 else -math.inf


def _array_difference(answer: Any, expected: Any, tolerance: Tolerance, place: str) -> Difference | None:
    if _is_tensor(answer) != _is_tensor(expected) or _is_array(answer) != _is_array(expected):
        return _structural(place, f"is {kind(answer)}, where {kind(expected)} is expected")
    if tuple(answer.shape) != tuple(expected.shape):
        return _structural(place, f"has shape {tuple(answer.shape)}, where {tuple(expected.shape)} is expected")
    if answer.dtype != expected.dtype:
        return _structural(place, f"has dtype {_dtype(answer)}, where {_dtype(expected)} is expected")
    if str(expected.dtype).endswith(("bool", "int64", "int32", "int16", "int8", "uint8")):
        return _exact_difference(answer, expected, place)
    return _values_difference(_float64(answer), _float64(expected), tolerance, place)


def _exact_difference(answer: Any, expected: Any, place: str) -> Difference | None:
    wrong = np.asarray(answer) != np.asarray(expected)
    if not wrong.any():
        return None
    first = tuple(int(i) for i in np.argwhere(wrong)[0])
    safe = f"{_count(int(wrong.sum()), wrong.size)} of {_subject(place, 'your answer')} {_are(int(wrong.sum()))} wrong"
    return Difference(
        safe, f"{safe}; at {_index(first)} it is {np.asarray(answer)[first]}, not {np.asarray(expected)[first]}"
    )


def _values_difference(answer: Any, expected: Any, tolerance: Tolerance, place: str) -> Difference | None:
    with np.errstate(all="ignore"):
        gap = np.abs(answer - expected)
        allowed = tolerance.atol + tolerance.rtol * np.abs(expected)
        same = (gap <= allowed) | (answer == expected)
        if tolerance.nan_equal:
            same |= np.isnan(answer) & np.isnan(expected)
        if same.all():
            return None
        ratio = np.where(same, 0.0, np.where(allowed > 0, gap / np.where(allowed > 0, allowed, 1.0), np.inf))
    first = tuple(int(i) for i in np.argwhere(~same)[0])
    wrong = int((~same).sum())
    subject = _subject(place, "your answer")
    detail = (
        f"at {_index(first)} it is {answer[first]:.6g}, not {expected[first]:.6g}"
        if first
        else f"it is {answer[first]:.6g}, not {expected[first]:.6g}"
    )
    unusable = _not_finite(answer, expected)
    distance = math.inf if unusable else float(np.max(ratio))
    if unusable:
        safe = f"{_subject(place)} contains {unusable}"
    elif answer.size == 1:
        safe = f"{_subject(place)} is off by {_round(float(gap.max()))}"
    else:
        size = _round(float(gap.max()))
        safe = f"{_count(wrong, same.size)} of {subject} {_are(wrong)} off, by up to {size}"
    return Difference(safe, f"{safe}; {detail}", distance)


def _float_difference(answer: float, expected: float, tolerance: Tolerance, place: str) -> Difference | None:
    return _values_difference(np.array(answer), np.array(expected), tolerance, place)


def _sequence_difference(answer: Any, expected: Any, tolerance: Tolerance, place: str) -> Difference | None:
    if len(answer) != len(expected):
        return _structural(place, f"has {len(answer)} items, where {len(expected)} are expected")
    for i, (mine, theirs) in enumerate(zip(answer, expected, strict=True)):
        found = difference(mine, theirs, tolerance, f"{place}[{i}]")
        if found:
            return found
    return None


def _dict_difference(
    answer: dict[Any, Any], expected: dict[Any, Any], tolerance: Tolerance, place: str
) -> Difference | None:
    missing = [key for key in expected if key not in answer]
    extra = [key for key in answer if key not in expected]
    if missing or extra:
        said = [f"lacks {missing[0]!r}"] if missing else []
        said += [f"has {extra[0]!r} too many"] if extra else []
        return _structural(place, " and ".join(said))
    for key, theirs in expected.items():
        found = difference(answer[key], theirs, tolerance, f"{place}[{key!r}]")
        if found:
            return found
    return None


def _not_finite(answer: Any, expected: Any) -> str:
    """ "3 NaN" or "2 infinite values" where the expected value is finite."""
    nans = int((np.isnan(answer) & ~np.isnan(expected)).sum())
    infinite = int((np.isinf(answer) & np.isfinite(expected)).sum())
    if nans:
        return f"NaN in {nans} {'place' if nans == 1 else 'places'}"
    return f"infinite values in {infinite} {'place' if infinite == 1 else 'places'}" if infinite else ""


def _shown(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    cut = value[:LONGEST] if isinstance(value, str | bytes) else value
    text = repr(cut)
    return text if len(text) <= LONGEST + 2 and cut == value else text[:LONGEST] + "…"


def _structural(place: str, said: str) -> Difference:
    text = f"{_subject(place)} {said}"
    return Difference(text, text)


def _subject(place: str, whole: str = "your answer") -> str:
    return f"{whole}{place}" if place else whole


def _count(wrong: int, total: int) -> str:
    return f"{wrong} of the {total} values"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _index(place: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, place)) + "]"


def _round(gap: float) -> str:
    """Two digits: enough to tell a slip from a blunder, too few to reconstruct a value."""
    return f"{gap:.1e}" if gap < 1e-3 or gap >= 1e4 else f"{gap:.2g}"


def _noun(value: Any) -> str:
    return {bool: "truth value", int: "number", str: "text"}.get(type(value), "value")


def _dtype(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")


def _float64(value: Any) -> Any:
    if _is_tensor(value):
        return value.detach().to("cpu").double().numpy()
    return np.asarray(value, dtype=np.float64)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or _is_tensor(value)


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
