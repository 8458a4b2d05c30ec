"""The curves of a graded run as pictures: inline SVG drawn here, a legend in words, and every number in a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autograder.report import Curve
from autograder.reporting.markup import Markup, element, joined
from autograder.reporting.style import plural

Reference = Sequence[tuple[float, float, float]]
"""(used, lowest, highest) of the course's own solution."""

WIDTH, HEIGHT = 560.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 14.0, 16.0, 52.0
FAR = 3.0
"""Beyond so many spans of what matters (threshold, reference), a point is drawn at the edge and said to be so."""
MANY = 40
"""With more points than this, only the last one of a curve is marked."""
MARKS = 3
"""So many attempts look different: a colour, a dash and a mark each; then they begin again."""


def charts(curves: Sequence[Curve]) -> Markup:
    """A figure for each thing that was measured, with all attempts in it."""
    groups: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.name, curve.unit), []).append(curve)
    return joined(_figure(attempts) for attempts in groups.values())


def number(value: float | None) -> str:
    """A measured number, short: thin spaces in thousands, never more digits than help."""
    if value is None or not math.isfinite(value):
        return "no number" if value is None or math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3g}".replace("-", "−")
    shown = f"{round(value):,}" if abs(value) >= 1e5 or value == round(value) else f"{value:,.5g}"
    return shown.replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "−")


@dataclass(frozen=True)
class _Scale:
    """From a number to a place in the picture."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def beyond(self, value: float) -> bool:
        return not self.low <= value <= self.high

    def ticks(self) -> list[float]:
        """Three to six round numbers inside."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [place * step for place in range(first, last + 1)]


def _figure(attempts: Sequence[Curve]) -> Markup:
    needed = (curve.threshold for curve in attempts if curve.threshold is not None)
    threshold = next((value for value in needed if math.isfinite(value)), None)
    kept = (tuple(triple for triple in curve.reference if all(map(math.isfinite, triple))) for curve in attempts)
    reference: Reference = next((triples for triples in kept if triples), ())
    caption = element("figcaption", element("strong", attempts[0].name), class_="measured")
    if not reference and not any(_finite(curve) for curve in attempts):
        return element("figure", caption, element("p", "Nothing could be measured.", class_="quiet"), class_="curve")
    x, y = _scales(attempts, threshold, reference)
    drawing = _drawing(attempts, threshold, reference, x, y)
    hidden = sum(y.beyond(value) for curve in attempts for _, value in _finite(curve))
    far = f"Drawn at the edge, though it lies beyond: {plural(hidden, 'measured value')}. The table has every number."
    return element(
        "figure",
        caption,
        drawing,
        element("ul", *_legend(attempts, threshold, reference), class_="legend"),
        element("p", far, class_="quiet") if hidden else None,
        _table(attempts, reference),
        class_="curve",
    )


def _finite(curve: Curve) -> list[tuple[float, float]]:
    return [(used, value) for used, value in curve.points if math.isfinite(used) and math.isfinite(value)]


def _scales(attempts: Sequence[Curve], threshold: float | None, reference: Reference) -> tuple[_Scale, _Scale]:
    used = [u for curve in attempts for u, _ in _finite(curve)] + [u for u, _, _ in reference]
    measured = [value for curve in attempts for _, value in _finite(curve)]
    fixed = [edge for _, low, high in reference for edge in (low, high)]
    fixed += [] if threshold is None else [threshold]
    low, high = min([*measured, *fixed]), max([*measured, *fixed])
    span = max(fixed) - min(fixed) if fixed else 0.0
    if span:
        low, high = max(low, min(fixed) - FAR * span), min(high, max(fixed) + FAR * span)
    room = 0.06 * (high - low) or abs(high) or 1.0
    return _across(used), _Scale(low - room, high + room, HEIGHT - BOTTOM, TOP)


def _across(used: Sequence[float]) -> _Scale:
    start = min([0.0, *used])
    return _Scale(start, max(max(used), start) if max(used) > start else start + 1.0, LEFT, WIDTH - RIGHT)


def _drawing(
    attempts: Sequence[Curve],
    threshold: float | None,
    reference: Reference,
    x: _Scale,
    y: _Scale,
) -> Markup:
    """The picture, with its name and a description for those who do not see it."""
    name = f"{attempts[0].name} against {attempts[0].unit}" if attempts[0].unit else attempts[0].name
    return element(
        "svg",
        element("title", name),
        element("desc", _in_words(attempts, threshold, reference)),
        _axes(x, y, attempts[0].unit),
        _band(reference, x, y),
        *(_line(curve, place, x, y) for place, curve in enumerate(attempts)),
        _needed(threshold, y),
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
    )


def _axes(x: _Scale, y: _Scale, unit: str) -> Markup:
    foot, parts = HEIGHT - BOTTOM, []
    for value in y.ticks():
        place = y.at(value)
        parts.append(element("path", d=f"M{LEFT:g} {place:g}H{WIDTH - RIGHT:g}", class_="grid"))
        parts.append(element("text", number(_round(value)), x=LEFT - 8, y=place, class_="tick up"))
    for value in x.ticks():
        place = x.at(value)
        end = place > WIDTH - RIGHT - 30
        parts.append(element("path", d=f"M{place:g} {foot:g}v5", class_="axis"))
        kind = "tick last" if end else "tick"
        at = WIDTH - RIGHT if end else place
        parts.append(element("text", number(_round(value)), x=at, y=foot + 20, class_=kind))
    parts.append(element("path", d=f"M{LEFT:g} {foot:g}H{WIDTH - RIGHT:g}", class_="axis"))
    if unit:
        parts.append(element("text", unit, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, class_="unit"))
    return joined(parts)


def _round(value: float) -> float:
    """Without the dust of binary fractions."""
    return float(f"{value:.10g}")


def _band(reference: Reference, x: _Scale, y: _Scale) -> Markup | None:
    """The area between the reference's lowest and highest."""
    if not reference:
        return None
    if len(reference) == 1:
        used, low, high = reference[0]
        return element("path", d=f"M{x.at(used):g} {y.at(low):g}V{y.at(high):g}", class_="edge")
    top = [(x.at(used), y.at(high)) for used, _, high in reference]
    foot = [(x.at(used), y.at(low)) for used, low, _ in reference]
    area = element("path", d=_path([*top, *reversed(foot)]) + "Z", class_="band")
    return joined([area, *(element("path", d=_path(edge), class_="edge") for edge in (top, foot))])


def _line(curve: Curve, place: int, x: _Scale, y: _Scale) -> Markup:
    """One attempt: broken where no number was measured, marked at its points or at its end."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for used, value in curve.points:
        if math.isfinite(used) and math.isfinite(value):
            pieces[-1].append((x.at(used), y.at(value)))
        elif pieces[-1]:
            pieces.append([])
    drawn = [element("path", d=_path(piece), class_="line") for piece in pieces if len(piece) > 1]
    dots = [dot for piece in pieces for dot in piece]
    marked = dots if len(dots) <= MANY else dots[-1:]
    drawn += [_mark(place, *dot) for dot in marked]
    return element("g", element("title", _attempt(curve, place)), *drawn, class_=f"attempt a{place % MARKS + 1}")


def _mark(place: int, across: float, up: float) -> Markup:
    """A circle, a square or a triangle: attempts differ in more than colour."""
    if place % MARKS == 0:
        return element("circle", cx=across, cy=up, r=3.6, class_="mark")
    if place % MARKS == 1:
        return element("rect", x=round(across - 3.3, 1), y=round(up - 3.3, 1), width=6.6, height=6.6, class_="mark")
    return element("path", d=f"M{across:g} {round(up - 4.4, 1):g}l4.2 7.4h-8.4Z", class_="mark")


def _needed(threshold: float | None, y: _Scale) -> Markup | None:
    """The threshold's line and its words: above the line, or below where there is no room."""
    if threshold is None:
        return None
    place = y.at(threshold)
    words = place - 7 if place > TOP + 22 else place + 19
    return joined(
        [
            element("path", d=f"M{LEFT:g} {place:g}H{WIDTH - RIGHT:g}", class_="threshold"),
            element("text", f"needed {number(threshold)}", x=LEFT + 8, y=words, class_="threshold-words"),
        ]
    )


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{across:g} {up:g}" for across, up in places)


def _attempt(curve: Curve, place: int) -> str:
    return f"Attempt {place + 1}, seed {curve.seed}"


def _ended(curve: Curve) -> str:
    return f"ended at {number(curve.points[-1][1])}" if curve.points else "nothing could be measured"


def _in_words(attempts: Sequence[Curve], threshold: float | None, reference: Reference) -> str:
    said = [f"{_attempt(curve, place)}: {_ended(curve)}." for place, curve in enumerate(attempts)]
    if threshold is not None:
        said.append(f"Needed: {number(threshold)}.")
    if reference:
        _, low, high = reference[-1]
        said.append(f"The course's own solution ended between {number(low)} and {number(high)}.")
    return " ".join(said)


def _legend(attempts: Sequence[Curve], threshold: float | None, reference: Reference) -> list[Markup]:
    entries = []
    for place, curve in enumerate(attempts):
        sample = joined([element("path", d="M1 9H35", class_="line"), _mark(place, 18, 9)])
        swatch = _swatch(element("g", sample, class_=f"attempt a{place % MARKS + 1}"))
        entries.append(element("li", swatch, f"{_attempt(curve, place)}: {_ended(curve)}"))
    if threshold is not None:
        swatch = _swatch(element("path", d="M1 9H35", class_="threshold"))
        entries.append(element("li", swatch, f"Needed: {number(threshold)}"))
    if reference:
        band = element("path", d="M1 3H35V15H1Z", class_="band")
        edges = element("path", d="M1 3H35M1 15H35", class_="edge")
        entries.append(element("li", _swatch(joined([band, edges])), "The course's own solution, lowest to highest"))
    return entries


def _swatch(inside: Markup) -> Markup:
    return element("svg", inside, viewBox="0 0 36 18", class_="swatch", aria_hidden="true")


def _table(attempts: Sequence[Curve], reference: Reference) -> Markup:
    """Every number of the picture, one line for each place where something was measured."""
    values = [dict(curve.points) for curve in attempts]
    bounds = {used: (low, high) for used, low, high in reference}
    places = sorted(
        {used for used in [*bounds, *(used for column in values for used in column)] if math.isfinite(used)}
    )
    head = [attempts[0].unit or "used", *(f"seed {curve.seed}" for curve in attempts)]
    head += ["own, lowest", "own, highest"] if reference else []
    rows = []
    for used in places:
        cells = [number(column[used]) if used in column else "" for column in values]
        if reference:
            cells += [number(edge) for edge in bounds[used]] if used in bounds else ["", ""]
        rows.append(element("tr", element("th", number(used), scope="row"), *(element("td", cell) for cell in cells)))
    table = element(
        "table",
        element("caption", f"{attempts[0].name}: every number of the picture"),
        element("thead", element("tr", *(element("th", title, scope="col") for title in head))),
        element("tbody", *rows),
        class_="numbers",
    )
    frame = element("div", table, class_="scroll", role="region", tabindex=0, aria_label="Numbers of the picture")
    return element("details", element("summary", "The numbers"), frame)
