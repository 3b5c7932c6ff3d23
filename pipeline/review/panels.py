"""The curves under an alert's chips: score, brightness and NDVI over one time axis."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num, num2date
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from pipeline.model.alert import Alert, Observation, State
from pipeline.review.canvas import ABOVE, BELOW, PT, Canvas, TextStyle, load_font
from pipeline.review.curves import Curve

GROUND = {
    State.VEGETATED: "#8fbf7f", State.BARE: "#d3ad78", State.BUILT: "#9f8fd0", State.WATER: "#7fb2dd",
    State.OTHER: "#c4c7cc",
}  # fmt: skip
"""Colours of the states of the ground."""
PHASE_PX = 13.0
"""Height of the strip of phases."""
SEEN, QUIET, BRACKET, INK = "#c2261c", "#6b6f76", "#ffd92f", "#222222"
TICK_PT, TICKS = 2.5, TextStyle(size=7.5, colour="#000000")
FRAME, PALE, PAST, BAND = TICKS.colour, "#b8bcc2", "#35618f", "#9db7d5"
LEFT, RIGHT, BOTTOM, TOP, GAP = 0.055, 0.988, 0.09, 0.6, 0.03
"""Parts of the canvas, from its left and its lower edge."""
AROUND = 0.05
"""Margin around a curve, as a share of its range."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Panel:
    """A part of a canvas with a scale of days and one of values: (low, high) of both, top and bottom in pixels."""

    canvas: Canvas
    top: float
    bottom: float
    days: tuple[float, float]
    values: tuple[float, float]

    @property
    def sides(self) -> tuple[float, float]:
        return LEFT * self.canvas.width, RIGHT * self.canvas.width

    def x(self, days: ArrayLike) -> NDArray[np.float64]:
        low, high = self.days
        left, right = self.sides
        return left + (np.asarray(days, float) - low) / (high - low) * (right - left)

    def y(self, values: ArrayLike) -> NDArray[np.float64]:
        low, high = self.values
        return self.bottom - (np.asarray(values, float) - low) / (high - low) * (self.bottom - self.top)


SHOWN = (-0.5, 2.0)
"""Lowest and highest progress drawn: 0 is the state before a change, 1 the state after it."""


def draw_panels(canvas: Canvas, alert: Alert, seen: Sequence[Observation], curves: Sequence[Curve]) -> None:
    """One panel for the progress of the change and one for each curve. seen: the alert in each look, in time order."""
    known = [each for each in seen if each.score is not None]
    scores = np.array([each.score for each in known], float)
    shown = np.clip(scores, *SHOWN)
    times = [[each.time for each in known], *(curve.times for curve in curves)]
    days = _padded_range([_bracket_days(alert), *map(_to_days, times)])
    height = (TOP - BOTTOM - GAP * len(curves)) / (1 + len(curves))
    panels = [
        _Panel(
            canvas=canvas, days=days, values=_padded_range(values),
            top=(1 - TOP + index * (height + GAP)) * canvas.height,
            bottom=(1 - TOP + index * (height + GAP) + height) * canvas.height,
        )
        for index, values in enumerate([[shown, 0.0], *([c.values, *(c.band or ())[1:]] for c in curves)])
    ]  # fmt: skip
    for panel, curve in zip(panels, (None, *curves), strict=True):
        if curve is None:
            _mark_bracket(panel, alert)
            _draw_phases(panel, alert)
            _draw_scores(panel, known, shown)
        else:
            _draw_past(panel, curve)
            _mark_bracket(panel, alert)
            _draw_curve(panel, curve, alert)
        _draw_frame(panel, "change, 0 to 1" if curve is None else curve.name, last=panel is panels[-1])
    _name_days(panels[0], alert)


def _padded_range(values: Sequence[ArrayLike]) -> tuple[float, float]:
    """Lowest and highest known value, with a margin."""
    known = np.concatenate([np.ravel(np.asarray(each, float)) for each in values])
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    room = AROUND * (high - low) or AROUND * max(abs(high), 1.0)
    return low - room, high + room


def _to_days(times: Sequence[datetime]) -> NDArray[np.float64]:
    return np.asarray(date2num(list(times)), np.float64)  # type: ignore[no-untyped-call]


def _noon_of(day: date) -> float:
    return float(_to_days([datetime(day.year, day.month, day.day, 12)])[0])


def _bracket_days(alert: Alert) -> list[float]:
    """Days of the bracket, marked in every panel."""
    return [_noon_of(day) for day in (alert.last_clear_before, alert.first_seen, alert.confirmed_at) if day is not None]


def _mark_bracket(panel: _Panel, alert: Alert) -> None:
    ends = [panel.top, panel.bottom]
    first = panel.x(_noon_of(alert.first_seen))
    if alert.last_clear_before is not None:
        last = panel.x(_noon_of(alert.last_clear_before))
        panel.canvas.fill((last, first, first, last), np.repeat(ends, 2), BRACKET, 0.4)
    panel.canvas.line([first, first], ends, SEEN, 0.9)
    if alert.confirmed_at is not None:
        at = panel.x(_noon_of(alert.confirmed_at))
        panel.canvas.line([at, at], ends[::-1], SEEN, 0.9, dash=(4, 2))


def _draw_phases(panel: _Panel, alert: Alert) -> None:
    """A strip along the lower edge: what the ground was, from the first to the last look of each phase."""
    top, words = panel.bottom - PHASE_PX, TextStyle(size=6.8, colour=INK)
    for phase in alert.phases:
        left, right = (float(panel.x(_noon_of(day))) for day in (phase.begins, phase.ends))
        left, right = max(left, panel.sides[0]), max(right, left + 2)
        panel.canvas.fill((left, right, right, left), (top, top, panel.bottom, panel.bottom), GROUND[phase.state], 0.8)
        if load_font(words.size).getlength(phase.state.value) < right - left - 4:
            panel.canvas.write(left + 3, panel.bottom - 3, phase.state.value, words)


def _draw_scores(panel: _Panel, known: Sequence[Observation], shown: NDArray[np.float64]) -> None:
    panel.canvas.line(panel.sides, np.repeat(panel.y(0), 2), QUIET, 0.5)
    x, y = panel.x(_to_days([each.time for each in known])), panel.y(shown)
    diameters = np.sqrt([6 + 20 * each.clear_share for each in known])
    seen = np.array([each.seen for each in known], bool)
    for which, stem, dot in ((~seen, PALE, QUIET), (seen, SEEN, SEEN)):
        panel.canvas.stems(x[which], float(panel.y(0)), y[which], stem, 0.7)
        panel.canvas.dots(x[which], y[which], diameters[which], dot)


def _draw_past(panel: _Panel, curve: Curve) -> None:
    """Draw the expected range of a curve from its history."""
    if curve.band is None:
        return
    days, low, high = curve.band
    x = panel.x(_to_days(days))
    panel.canvas.fill([*x, *x[::-1]], [*panel.y(low), *panel.y(high)[::-1]], BAND, 0.45)
    note = TextStyle(size=6.8, colour="#4d6d91", across="r")
    panel.canvas.write(panel.sides[1], panel.top - BELOW * note.size * PT, curve.note, note)


def _draw_curve(panel: _Panel, curve: Curve, alert: Alert) -> None:
    canvas = panel.canvas
    x, y = panel.x(_to_days(curve.times)), panel.y(curve.values)
    canvas.line(x, y, "#8f959d", 0.6)
    known = np.isfinite(curve.values)
    after = np.array([moment.date() >= alert.first_seen for moment in curve.times], bool)
    for which, colour in ((~after & known, PAST), (after & known, SEEN)):
        canvas.dots(x[which], y[which], 3, colour)


def _draw_frame(panel: _Panel, name: str, *, last: bool) -> None:
    """Draw the axes with ticks and units; days only under the last panel."""
    canvas, (left, right) = panel.canvas, panel.sides
    long, pad = TICK_PT * PT, 3.5 * PT
    canvas.line([left, left, right], [panel.top, panel.bottom, panel.bottom], FRAME, 0.6)
    ticks = _ticks_within(MaxNLocator(4).tick_values(*panel.values), panel.values)
    digits = _tick_digits(ticks)
    labels = [f"{round(tick, digits) + 0.0:.{digits}f}".replace("-", "\u2212") for tick in ticks]
    for label, at in zip(labels, panel.y(ticks), strict=True):
        canvas.line([left - long, left], [at, at], FRAME, 0.6)
        middle = at + (ABOVE - BELOW) / 2 * TICKS.size * PT
        canvas.write(left - long - pad, middle, label, replace(TICKS, across="r"))
    widest = max((load_font(TICKS.size).getlength(label) for label in labels), default=0.0)
    beside, middle = left - long - 2 * pad - widest, (panel.top + panel.bottom) / 2
    canvas.write(beside, middle, name, replace(TICKS, size=8, upright=True))
    locator: Any = AutoDateLocator(minticks=6, maxticks=14)  # type: ignore[no-untyped-call]
    ends: Any = num2date(panel.days)  # type: ignore[no-untyped-call]
    days = _ticks_within(locator.tick_values(*ends), panel.days)
    for at in panel.x(days):
        canvas.line([at, at], [panel.bottom, panel.bottom + long], FRAME, 0.6)
    if last:
        formatter: Any = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        under = panel.bottom + long + pad + ABOVE * TICKS.size * PT
        for label, at in zip(formatter.format_ticks(days), panel.x(days), strict=True):
            canvas.write(float(at), under, label, replace(TICKS, across="m"))
        canvas.write(right, under + 8.5 * PT, formatter.get_offset(), replace(TICKS, across="r"))


def _ticks_within(ticks: Sequence[float], limits: tuple[float, float]) -> list[float]:
    return [float(tick) for tick in ticks if limits[0] <= tick <= limits[1]]


def _tick_digits(ticks: Sequence[float]) -> int:
    """Digits after the point that distinguish these ticks."""
    step = min(np.diff(ticks), default=1.0)
    return next((digits for digits in range(8) if abs(round(step, digits) - step) < 1e-3 * step), 8)


def _name_days(panel: _Panel, alert: Alert) -> None:
    """Write the dates of the alert above the first panel."""
    words = TextStyle(size=7, colour=SEEN)
    over = panel.top - 0.01 * (panel.bottom - panel.top) - BELOW * words.size * PT
    first = float(panel.x(_noon_of(alert.first_seen)))
    panel.canvas.write(first, over, f"first seen {alert.first_seen} ", replace(words, across="r"))
    if alert.confirmed_at is not None:
        at = float(panel.x(_noon_of(alert.confirmed_at)))
        panel.canvas.write(at, over, f" persistent since {alert.confirmed_at}", words)
