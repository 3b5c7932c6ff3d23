"""The timeline picture of an alert: its clear looks, and the curves that speak for it and against it."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.model.alert import Alert, Decision, Observation
from pipeline.model.imagery import Look
from pipeline.review.chips import CONTEXT_PX, Window, rendered, stretch, true_colour, window, write_pair
from pipeline.review.curves import Curve, curves
from pipeline.review.folder import Folder

matplotlib.use("Agg")

FORM = 1
"""Raise it when the picture's form changes: pictures of the old form are then drawn anew."""
CHIPS = 10
CLEAR_SHARE = 0.6
"""Part of the outline that must be clear for a look to stand in the strip."""
DPI = 120
WIDTH_IN, HEIGHT_IN, LOW_IN = 11.6, 5.6, 2.3
"""Inches; the low one is that of a pair, whose two points make no curve."""
MARGIN = 0.012
SIMULATED = "  ·  SIMULATED pixels"
SEEN, QUIET, BRACKET, INK = "#c2261c", "#6b6f76", "#ffd92f", "#222222"
TEXT: Any = {"font.family": "DejaVu Sans", "font.size": 8, "axes.linewidth": 0.6, "text.color": INK}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """What the pictures of a site are made from. looks_of: an alert -> the looks that show it, in time order.

    is_simulated: the pixels were drawn by a program, and every picture has to say so.
    """

    decision: Decision
    looks_of: Callable[[Alert], Sequence[Look]]
    is_simulated: bool = False


def write_pictures(staged: Folder, folder: Folder, source: Pictures, alerts: Sequence[Alert]) -> None:
    """Both pictures of each alert into `staged`, but for those that `folder` has already, made of the same facts."""
    seen: dict[str, list[Observation]] = {}
    for each in source.decision.observations:
        seen.setdefault(each.change_id, []).append(each)
    for alert in alerts:
        mine = seen.get(alert.id, [])
        facts = f"{FORM} {CONTEXT_PX} {source.decision.settings_digest} {alert} {mine} {source.is_simulated}"
        mark = hashlib.sha256(facts.encode()).hexdigest()
        place = folder.timeline(alert.id)
        if place.is_file() and mark.encode() in place.read_bytes()[:512] and folder.pair(alert.id).is_file():
            continue
        looks = {look.scene.id: look for look in source.looks_of(alert)}
        write_timeline(staged.timeline(alert.id), alert, tuple(looks.values()), mine, mark, source.is_simulated)
        if alert.before_scene in looks and alert.after_scene in looks:
            write_pair(staged.pair(alert.id), alert.outline, looks[alert.before_scene], looks[alert.after_scene])


def write_timeline(
    path: Path,
    alert: Alert,
    looks: Sequence[Look],
    observations: Sequence[Observation],
    mark: str = "",
    is_simulated: bool = False,
) -> None:
    """Small multiples of clear looks around the change over the curves of score, brightness and NDVI.

    looks: all of the site in time order. observations: those of this alert. mark: kept in the PNG's comment.
    is_simulated: said beside the title.
    """
    mine = {seen.scene: seen for seen in observations}
    clear = [look for look in looks if look.scene.id in mine and mine[look.scene.id].clear_share >= CLEAR_SHARE]
    with matplotlib.rc_context(TEXT):
        curved = len(looks) > 2
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN if curved else LOW_IN), facecolor="white")
        _title(figure, alert, is_simulated)
        if clear:
            _strip(figure, alert, _chosen(clear, alert), mine)
        if curved:
            _plots(figure, alert, [mine[look.scene.id] for look in looks if look.scene.id in mine], clear)
        figure.savefig(path, format="png", dpi=DPI, metadata={"Comment": mark, "Software": "groundbreak"})


def _title(figure: Figure, alert: Alert, is_simulated: bool) -> None:
    kind = f"{alert.kind.value.capitalize()}, {alert.status.value}{SIMULATED if is_simulated else ''}"
    figure.text(0.012, _below(figure, 0.14), kind, fontsize=12, weight="bold", va="top")
    since = f"not there {alert.last_clear_before}, " if alert.last_clear_before else ""
    size = f"{alert.area_m2:,.0f} ± {alert.area_error_m2:,.0f} m²".replace(",", "\u2009")
    facts = (
        f"{since}there {alert.first_seen}  ·  {size}  ·  seen in {alert.looks_seen} of {alert.looks_clear} clear looks"
        f"  ·  confidence {alert.confidence:.2f}  ·  {_place(alert)}"
    )
    figure.text(0.012, _below(figure, 0.40), facts, fontsize=8.5, va="top")
    figure.text(0.988, _below(figure, 0.18), alert.id, fontsize=7, va="top", ha="right", color=QUIET)


def _below(figure: Figure, inches: float) -> float:
    """Height in the figure so far below its upper edge."""
    return 1 - inches / float(figure.get_figheight())


def _place(alert: Alert) -> str:
    north, east = "N" if alert.lat >= 0 else "S", "E" if alert.lon >= 0 else "W"
    return f"{abs(alert.lat):.6f}° {north}, {abs(alert.lon):.6f}° {east}"


def _chosen(clear: Sequence[Look], alert: Alert) -> list[Look]:
    """The looks that tell the story: the last without it, the first with it, and a spread over what came before and
    after; the pair that the alert names is always among them.
    """
    before = [look for look in clear if look.time.date() < alert.first_seen]
    after = [look for look in clear if look.time.date() >= alert.first_seen]
    head = min(len(before), max(4, CHIPS - len(after)))
    chosen = {look.scene.id for look in (*_spread(before, head, last=2), *_spread(after, CHIPS - head, first=3))}
    named = [look for look in clear if look.scene.id in (alert.before_scene, alert.after_scene)]
    missing = [look for look in named if look.scene.id not in chosen]
    for look in missing:
        side = [other for other in (before if look in before else after) if other.scene.id in chosen]
        # it takes the place of its neighbour in time, which shows nearly the same
        nearest = min(side, key=lambda other: abs(other.time - look.time), default=None)
        if nearest is not None:
            chosen.discard(nearest.scene.id)
        chosen.add(look.scene.id)
    return [look for look in clear if look.scene.id in chosen]


def _spread(looks: Sequence[Look], count: int, *, first: int = 0, last: int = 0) -> list[Look]:
    """`count` of the looks: all of the first or last few, the others evenly over the rest."""
    if len(looks) <= count:
        return list(looks)
    head, tail = looks[: min(first, count)], looks[len(looks) - min(last, count) :] if last else []
    middle = looks[len(head) : len(looks) - len(tail)]
    room = count - len(head) - len(tail)
    even: list[int] = []
    if room:
        even = np.linspace(len(middle) - 1, 0, room, endpoint=not head).round().astype(int).tolist()
    return [*head, *[middle[index] for index in sorted(set(even))], *tail]


def _strip(figure: Figure, alert: Alert, looks: Sequence[Look], mine: Mapping[str, Observation]) -> None:
    """One axes for all chips: ten of their own would take longer to draw than everything else."""
    part = window(alert.outline, looks[0].grid)
    pictures = [true_colour(look, part) for look in looks]
    limits = stretch(pictures, [look.usable[part.rows, part.cols] for look in looks])
    height, width = pictures[0].shape[:2]
    side, gap = max(height, width), 0.06
    across, above, below = CHIPS * (1 + gap) - gap + 0.02, 0.16, 0.17
    # one unit is one chip, as wide as it is high
    tall = (1 - 2 * MARGIN) * WIDTH_IN / across * (1 + above + below) / figure.get_figheight()
    axis: Any = figure.add_axes((MARGIN, _below(figure, 0.644) - tall, 1 - 2 * MARGIN, tall))
    axis.set_axis_off()
    for index, (look, picture) in enumerate(zip(looks, pictures, strict=True)):
        left = index * (1 + gap)
        right, low = left + width / side, 1 - height / side
        axis.imshow(rendered(picture, limits), extent=(left, right, low, 1), interpolation="nearest", aspect="auto")
        seen = mine[look.scene.id].seen
        _rings(axis, alert, part, left, side)
        edge = SEEN if seen else QUIET
        axis.plot([left, right, right, left, left], [low, low, 1, 1, low], color=edge, linewidth=1.6 if seen else 0.6)
        axis.text(
            left + 0.01, 1.03, f"{look.time:%Y-%m-%d}", fontsize=7.8, va="bottom", weight="bold" if seen else "normal"
        )
        axis.text(left + 0.01, low - 0.04, _role(look, alert), fontsize=7, va="top", color=edge)
    axis.set_xlim(-0.01, across - 0.01)
    axis.set_ylim(-below, 1 + above)


def _rings(axis: Any, alert: Alert, part: Window, left: float, side: int) -> None:
    inverse = ~part.grid.affine
    for polygon in getattr(alert.outline, "geoms", [alert.outline]):
        for ring in (polygon.exterior, *polygon.interiors):
            x, y = np.asarray(ring.coords).T[:2]
            col, row = inverse.a * x + inverse.c, inverse.e * y + inverse.f
            inside = (col >= 0) & (row >= 0) & (col <= part.grid.shape[1]) & (row <= part.grid.shape[0])
            line = np.where(inside, 1.0, np.nan)
            axis.plot(left + col / side * line, 1 - row / side, color=BRACKET, linewidth=0.9)


def _role(look: Look, alert: Alert) -> str:
    """What a chip is in the life of the alert."""
    day = look.time.date()
    if day == alert.last_clear_before:
        return "last without"
    if day == alert.first_seen:
        return "first with"
    if day == alert.confirmed_at:
        return "confirmed"
    return "last seen" if day == alert.last_seen else ""


def _plots(figure: Figure, alert: Alert, seen: Sequence[Observation], clear: Sequence[Look]) -> None:
    lines = curves(alert, clear) if clear else ()
    count = 1 + len(lines)
    bottom, top, gap = 0.055, 0.575, 0.03
    height = (top - bottom - gap * (count - 1)) / count
    score: Any = figure.add_axes((0.055, top - height, 0.933, height))
    _scores(score, seen)
    axes = [score]
    for index, curve in enumerate(lines, 1):
        axis: Any = figure.add_axes((0.055, top - height - index * (height + gap), 0.933, height), sharex=score)
        _curve(axis, curve, alert)
        axes.append(axis)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7.5, length=2.5, width=0.6, labelbottom=axis is axes[-1])
        axis.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
        _bracket(axis, alert)
    _dates(score, alert)
    locator: Any = AutoDateLocator(minticks=6, maxticks=14)  # type: ignore[no-untyped-call]
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _scores(axis: Any, seen: Sequence[Observation]) -> None:
    known = [each for each in seen if each.score is not None]
    times = [each.time for each in known]
    scores = np.array([each.score for each in known], float)
    top = float(np.percentile(scores, 98)) * 1.25 if scores.size else 10.0
    shown = np.clip(scores, -5, max(top, 5.0))
    size = [6 + 20 * each.clear_share for each in known]
    axis.vlines(times, 0, shown, color=[SEEN if each.seen else "#b8bcc2" for each in known], linewidth=0.7)
    axis.scatter(times, shown, c=[SEEN if each.seen else QUIET for each in known], s=size, zorder=3, linewidths=0)
    axis.axhline(0, color=QUIET, linewidth=0.5)
    axis.set_ylabel("score (σ)", fontsize=8)


def _curve(axis: Any, curve: Curve, alert: Alert) -> None:
    if curve.band is not None:
        at = {"fontsize": 6.8, "color": "#4d6d91", "va": "bottom", "ha": "right"}
        axis.text(1, 1.0, curve.note, transform=axis.transAxes, **at)
        days, low, high = curve.band
        axis.fill_between(days, low, high, color="#9db7d5", alpha=0.45, linewidth=0)
    after = np.array([moment.date() >= alert.first_seen for moment in curve.times])
    axis.plot(curve.times, curve.values, color="#8f959d", linewidth=0.6)
    marks = [SEEN if late else "#35618f" for late in after]
    axis.scatter(curve.times, curve.values, c=marks, s=9, zorder=3, linewidths=0)
    axis.set_ylabel(curve.name, fontsize=8)


def _bracket(axis: Any, alert: Alert) -> None:
    if alert.last_clear_before is not None:
        axis.axvspan(_noon(alert.last_clear_before), _noon(alert.first_seen), color=BRACKET, alpha=0.4, linewidth=0)
    axis.axvline(_noon(alert.first_seen), color=SEEN, linewidth=0.9)
    if alert.confirmed_at is not None:
        axis.axvline(_noon(alert.confirmed_at), color=SEEN, linewidth=0.9, linestyle=(0, (4, 2)))


def _dates(axis: Any, alert: Alert) -> None:
    """The days of the alert's life over the uppermost curve."""
    across = axis.get_xaxis_transform()
    at = {"transform": across, "fontsize": 7, "color": SEEN, "va": "bottom"}
    axis.text(_noon(alert.first_seen), 1.01, f"first seen {alert.first_seen} ", ha="right", **at)
    if alert.confirmed_at is not None:
        axis.text(_noon(alert.confirmed_at), 1.01, f" confirmed {alert.confirmed_at}", ha="left", **at)


def _noon(day: date) -> NDArray[Any] | datetime:
    return datetime(day.year, day.month, day.day, 12)
