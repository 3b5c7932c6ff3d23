"""Timeline picture of an alert: its clear looks, and curves of score, brightness and NDVI."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.model.alert import Alert, Decision, Observation, Status
from pipeline.model.imagery import Look
from pipeline.review.annotations import Caption, mark_scale, write_caption
from pipeline.review.canvas import ABOVE, BELOW, PT, Canvas, TextStyle
from pipeline.review.chips import (
    CONTEXT_PX,
    Window,
    corner_marks,
    outline_boxes,
    true_colour,
    window_around,
    write_pair,
)
from pipeline.review.curves import compute_curves
from pipeline.review.descriptions import format_confidence
from pipeline.review.folder import Folder
from pipeline.review.panels import BRACKET, INK, QUIET, SEEN, draw_panels
from pipeline.review.stretch import Stretch
from pipeline.review.strips import write_strip

FORM = 5
"""Version of the layout of the picture; pictures of another version are drawn again."""
CHIPS = 10
SHOWN_SHARE = 0.6
"""Smallest clear share of the outline for a look in the strip."""
WIDTH_PX, HEIGHT_PX, LOW_PX = 1392, 672, 288
"""The low one is that of a pair, whose two points make no curve."""
MARGIN = 0.012
STATUS = {
    Status.PROVISIONAL: "not yet persistent", Status.CONFIRMED: "persistent in later looks",
    Status.FINISHED: "persistent, finished", Status.WITHDRAWN: "withdrawn after later looks",
}  # fmt: skip
"""The machine's status in words that cannot be read as a person's verdict."""
STRIP_PX = 75.6
"""Where the strip begins, below title and facts."""
GAP, OVER = 0.06, 0.16
"""Between chips, and over them, in sides of a chip."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """What the pictures of a site are made from. looks_of: an alert -> the looks that show it, in time order."""

    caption: Caption
    stretch: Stretch
    decision: Decision
    looks_of: Callable[[Alert], Sequence[Look]]


def write_pictures(staged: Folder, folder: Folder, source: Pictures, alerts: Sequence[Alert]) -> None:
    """The pictures of each alert into `staged`, but for those that `folder` has already, made of the same facts."""
    seen: dict[str, list[Observation]] = {}
    for each in source.decision.observations:
        seen.setdefault(each.change_id, []).append(each)
    for alert in alerts:
        # a look that shows nothing of the alert changes nothing in its picture
        mine = [each for each in seen.get(alert.id, ()) if each.score is not None or each.clear_share >= SHOWN_SHARE]
        facts = (
            f"{FORM} {CONTEXT_PX} {source.caption} {source.stretch} {source.decision.settings_digest} {alert} {mine}"
        )
        mark = hashlib.sha256(facts.encode()).hexdigest()
        place = folder.timeline(alert.id)
        others = folder.pair(alert.id), folder.strip(alert.id)
        if place.is_file() and mark.encode() in place.read_bytes()[:512] and all(each.is_file() for each in others):
            continue
        looks = {look.scene.id: look for look in source.looks_of(alert)}
        shown, stretch = tuple(looks.values()), source.stretch
        write_timeline(staged.timeline(alert.id), alert, shown, mine, source.caption, stretch, mark)
        clear = _clear_looks(shown, mine)
        if clear:
            write_strip(staged.strip(alert.id), alert, clear, mine, stretch)
        if alert.before_scene in looks and alert.after_scene in looks:
            pair = looks[alert.before_scene], looks[alert.after_scene]
            credit = source.caption.attribution
            write_pair(staged.pair(alert.id), alert.outline, *pair, stretch, credit)


def _clear_looks(looks: Sequence[Look], observations: Sequence[Observation]) -> list[Look]:
    """The looks in which most of the outline is clear."""
    shares = {each.scene: each.clear_share for each in observations}
    return [look for look in looks if shares.get(look.scene.id, 0.0) >= SHOWN_SHARE]


def write_timeline(
    path: Path,
    alert: Alert,
    looks: Sequence[Look],
    observations: Sequence[Observation],
    caption: Caption,
    stretch: Stretch,
    mark: str = "",
) -> None:
    """Small multiples of clear looks around the change over the curves of score, brightness and NDVI.

    looks: all of the site in time order. observations: those of this alert. caption: printed with it, so that the
    picture can stand alone. mark: kept in the PNG's comment.
    """
    mine = {seen.scene: seen for seen in observations}
    clear = _clear_looks(looks, observations)
    curved = len(looks) > 2
    canvas = Canvas(WIDTH_PX, HEIGHT_PX if curved else LOW_PX)
    _draw_title(canvas, alert)
    write_caption(canvas, caption, alert.id)
    if clear:
        _draw_strip(canvas, alert, _choose_looks(clear, alert), mine, stretch)
    if curved:
        lines = compute_curves(alert, clear) if clear else ()
        draw_panels(canvas, alert, [mine[look.scene.id] for look in looks if look.scene.id in mine], lines)
    canvas.save(path, mark)


def _draw_title(canvas: Canvas, alert: Alert) -> None:
    label = f"{alert.label}  ·  " if alert.label else ""
    kind = f"{label}{alert.kind.value.capitalize()}, {STATUS[alert.status]}"
    left = MARGIN * WIDTH_PX
    canvas.write(left, (10 + ABOVE * 12) * PT, kind, TextStyle(size=12, colour=INK, bold=True))
    since = f"not there {alert.last_clear_before}, " if alert.last_clear_before else ""
    size = f"{alert.area_m2:,.0f} ± {alert.area_error_m2:,.0f} m²".replace(",", "\u2009")
    facts = (
        f"{since}there {alert.first_seen}  ·  {size}  ·  seen in {alert.looks_seen} of {alert.looks_clear} clear looks"
        f"  ·  confidence {format_confidence(alert.confidence)}  ·  {_format_place(alert)}"
    )
    canvas.write(left, (29 + ABOVE * 8.5) * PT, facts, TextStyle(size=8.5, colour=INK))


def _format_place(alert: Alert) -> str:
    north, east = "N" if alert.lat >= 0 else "S", "E" if alert.lon >= 0 else "W"
    return f"{abs(alert.lat):.6f}° {north}, {abs(alert.lon):.6f}° {east}"


def _choose_looks(clear: Sequence[Look], alert: Alert) -> list[Look]:
    """The looks that are shown: the last without it, the first with it, and a spread over what came before and
    after; the pair that the alert names is always among them.
    """
    before = [look for look in clear if look.time.date() < alert.first_seen]
    after = [look for look in clear if look.time.date() >= alert.first_seen]
    head = min(len(before), max(4, CHIPS - len(after)))
    chosen = {
        look.scene.id for look in (*_spread_looks(before, head, last=2), *_spread_looks(after, CHIPS - head, first=3))
    }
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


def _spread_looks(looks: Sequence[Look], count: int, *, first: int = 0, last: int = 0) -> list[Look]:
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


def _draw_strip(
    canvas: Canvas, alert: Alert, looks: Sequence[Look], mine: Mapping[str, Observation], stretch: Stretch
) -> None:
    part = window_around(alert.outline, looks[0].grid)
    pictures = [true_colour(look, part) for look in looks]
    height, width = pictures[0].shape[:2]
    chip = (1 - 2 * MARGIN) * WIDTH_PX / (CHIPS * (1 + GAP) - GAP + 0.02)
    unit, top = chip / max(height, width), STRIP_PX + OVER * chip
    bottom = top + height * unit
    for index, (look, picture) in enumerate(zip(looks, pictures, strict=True)):
        left = MARGIN * WIDTH_PX + (index * (1 + GAP) + 0.01) * chip
        right = left + width * unit
        canvas.picture(left, top, right, bottom, stretch.rendered(picture))
        _mark_corners(canvas, alert, part, (left, top), unit)
        seen = mine[look.scene.id].seen
        edge = SEEN if seen else QUIET
        around = [left, right, right, left, left], [bottom, bottom, top, top, bottom]
        canvas.line(*around, edge, 1.6 if seen else 0.6)
        start, day = left + 0.01 * chip, f"{look.time:%Y-%m-%d}"
        over = top - 0.03 * chip - BELOW * 7.8 * PT
        canvas.write(start, over, day, TextStyle(size=7.8, colour=INK, bold=seen))
        under = bottom + 0.04 * chip + ABOVE * 7 * PT
        canvas.write(start, under, _look_role(look, alert), TextStyle(size=7, colour=edge))
    mark_scale(canvas, abs(part.grid.affine.a) / unit, (MARGIN * WIDTH_PX + 0.01 * chip, top, bottom), chip)


def _mark_corners(canvas: Canvas, alert: Alert, part: Window, corner: tuple[float, float], unit: float) -> None:
    """Draw corner marks around the outline. unit: canvas pixels per chip pixel; corner: that of the chip."""
    for box in outline_boxes(alert.outline, part):
        for line in corner_marks(*box):
            x, y = np.asarray(line).T
            canvas.line(corner[0] + x * unit, corner[1] + y * unit, BRACKET, 1.3, cased=True)


def _look_role(look: Look, alert: Alert) -> str:
    """Role of a look for the alert, written over its chip; empty for most looks."""
    day = look.time.date()
    if day == alert.last_clear_before:
        return "last without"
    if day == alert.first_seen:
        return "first with"
    if day == alert.confirmed_at:
        return "persistent"
    return "last seen" if day == alert.last_seen else ""
