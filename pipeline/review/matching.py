"""Matching of new alerts to rows of the review file: lasting ids, outlines and rejections of the analyst."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from shapely import STRtree
from shapely.geometry.base import BaseGeometry

from pipeline.model.alert import Alert, Decision, Status

MIN_SHARE = 0.3
"""Part of the smaller outline that two share when they are one change: a building that grows stays one alert."""
INSIDE_SHARE = 0.5
"""Part of an alert inside a rejected or hand-drawn outline from which it is that one again."""
LATER_DAYS = 200
"""Days after a row's change from which an alert on its outline is another change, such as re-roofing."""
STRONGER_NATS = 2.0
STRONGER_AREA = 2.0
"""An alert comes back after a rejection when its log-odds rose by two nats or its area doubled."""
OVER = (Status.FINISHED.value, Status.WITHDRAWN.value)
REJECTIONS = ("no change", "other change")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of `changes` as it stands in the file. change_id is None for an outline that the analyst drew."""

    fid: int
    change_id: str | None
    label: str | None = None
    status: str | None
    verdict: str | None
    confidence: float | None
    area_m2: float | None
    outline: BaseGeometry
    first_seen: date | None = None
    last_seen: date | None = None

    @property
    def is_rejected(self) -> bool:
        """Whether the verdict of the analyst is a rejection."""
        return self.verdict in REJECTIONS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matched:
    """The decision with the ids of the file, and what was left out of it.

    drawn, suppressed: fid of the analyst's outline, or of the rejected one, -> alerts of tonight that lie on it.
    returned: ids of alerts that are new although the place was rejected, because they are clearly stronger, or another
    change. over: ids of rows whose change was over before an alert of tonight began on the same ground.
    """

    decision: Decision
    drawn: Mapping[int, int]
    suppressed: Mapping[int, int]
    returned: tuple[str, ...]
    over: frozenset[str]


def match_alerts(rows: Sequence[Row], decision: Decision, reserved: Collection[str] = ()) -> Matched:
    """Give each alert the id it has in the file, by overlap, one to one and the same whatever the order of either.

    An alert on an outline that the analyst drew is dropped. One on a rejected outline keeps that row; a second
    one there is dropped; one that is clearly stronger than what was rejected becomes an alert of its own. So does one
    that began after a row's change was over: a building on a field that was bare for a while.

    reserved: ids of outlines that the analyst drew, which no alert takes.
    """
    alerts = sorted(decision.alerts, key=lambda alert: alert.id)
    pairs, over = _candidate_pairs(alerts, rows)
    taken = _one_to_one(pairs, alerts, rows)
    by_fid = {row.fid: row for row in rows}
    used = {row.change_id for row in rows if row.change_id} | set(reserved)
    names: dict[str, str | None] = {}
    drawn: dict[int, int] = {}
    suppressed: dict[int, int] = {}
    returned = []
    for alert in alerts:
        if alert.id in taken:
            row = by_fid[taken[alert.id]]
            names[alert.id] = row.change_id
            if row.change_id is None:
                drawn[row.fid] = drawn.get(row.fid, 0) + 1
            continue
        owner = _owning_row(alert, rows)
        if owner is not None:
            names[alert.id] = None
            counts = drawn if owner.change_id is None else suppressed
            counts[owner.fid] = counts.get(owner.fid, 0) + 1
            continue
        names[alert.id] = _unused_id(alert.id, used)
        used.add(str(names[alert.id]))
        if any(row.is_rejected and _share_inside(alert, row) >= INSIDE_SHARE for row in rows):
            returned.append(str(names[alert.id]))
    return Matched(
        decision=_rename_alerts(decision, names), drawn=drawn, suppressed=suppressed, returned=tuple(sorted(returned)),
        over=over,
    )  # fmt: skip


def is_stronger(alert: Alert, row: Row) -> bool:
    """Whether an alert is clearly stronger than the row was when it was rejected."""
    rise = _log_odds(alert.confidence) - _log_odds(row.confidence or 0.0)
    return rise >= STRONGER_NATS or alert.area_m2 >= STRONGER_AREA * (row.area_m2 or math.inf)


@dataclass(frozen=True, slots=True)
class _Pair:
    iou: float
    later: bool
    rejected: bool
    alert: str
    fid: int

    def rank(self) -> tuple[float, bool, bool, float, str, int]:
        return -round(self.iou, 1), self.later, self.rejected, -self.iou, self.alert, self.fid


def _candidate_pairs(alerts: Sequence[Alert], rows: Sequence[Row]) -> tuple[list[_Pair], frozenset[str]]:
    """Candidate pairs of alert and row, and ids of rows whose change ended before an alert on them began."""
    found: list[_Pair] = []
    over = set()
    tree = STRtree([row.outline for row in rows])
    for alert in alerts:
        for index in sorted(tree.query(alert.outline, predicate="intersects")):
            row = rows[int(index)]
            common = alert.outline.intersection(row.outline).area
            if common < MIN_SHARE * min(alert.outline.area, row.outline.area) or common == 0:
                continue
            if row.change_id is not None and _is_another(alert, row):
                over.add(row.change_id)
                continue
            if row.is_rejected and is_stronger(alert, row):
                continue
            iou = common / (alert.outline.area + row.outline.area - common)
            found.append(_Pair(iou, _is_later(alert, row), row.is_rejected, alert.id, row.fid))
    return found, frozenset(over)


def _is_another(alert: Alert, row: Row) -> bool:
    """Whether the ground was clear of a row's change, which was over, before an alert began on it."""
    clear, seen = alert.last_clear_before, row.last_seen
    return row.status in OVER and clear is not None and seen is not None and clear >= seen


def _is_later(alert: Alert, row: Row) -> bool:
    return row.first_seen is not None and abs((alert.first_seen - row.first_seen).days) > LATER_DAYS


def _one_to_one(pairs: Sequence[_Pair], alerts: Sequence[Alert], rows: Sequence[Row]) -> dict[str, int]:
    """Row (fid) of each alert: best overlap first; then alerts whose own id is in the file though outlines parted."""
    taken: dict[str, int] = {}
    given: set[int] = set()
    by_id = {row.change_id: row for row in rows if row.change_id}
    same = [
        _Pair(0.0, False, row.is_rejected, alert.id, row.fid)
        for alert in alerts
        if (row := by_id.get(alert.id)) is not None and not (row.is_rejected and is_stronger(alert, row))
    ]
    for pair in (*sorted(pairs, key=_Pair.rank), *same):
        if pair.alert not in taken and pair.fid not in given:
            taken[pair.alert] = pair.fid
            given.add(pair.fid)
    return taken


def _owning_row(alert: Alert, rows: Sequence[Row]) -> Row | None:
    """The hand-drawn or rejected outline that most of an unmatched alert lies in, if it is not clearly stronger."""
    held = [
        row
        for row in rows
        if (row.change_id is None or (row.is_rejected and not (is_stronger(alert, row) or _is_another(alert, row))))
        and _share_inside(alert, row) >= INSIDE_SHARE
    ]
    return min(held, key=lambda row: (-_share_inside(alert, row), row.fid), default=None)


def _share_inside(alert: Alert, row: Row) -> float:
    return float(alert.outline.intersection(row.outline).area / max(alert.outline.area, 1e-9))


def _unused_id(wanted: str, used: set[str]) -> str:
    name, count = wanted, 1
    while name in used:
        count += 1
        name = f"{wanted}-{count}"
    return name


def _log_odds(confidence: float) -> float:
    inside = min(max(confidence, 1e-6), 1 - 1e-6)
    return math.log(inside / (1 - inside))


def _rename_alerts(decision: Decision, names: Mapping[str, str | None]) -> Decision:
    return replace(
        decision,
        alerts=tuple(replace(a, id=name) for a in decision.alerts if (name := names[a.id]) is not None),
        observations=tuple(
            replace(o, change_id=name) for o in decision.observations if (name := names[o.change_id]) is not None
        ),
    )
