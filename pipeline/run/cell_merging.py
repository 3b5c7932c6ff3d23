"""Alerts of neighbouring cells to alerts of the whole area: each change once, and whole.

A wide area is processed in cells that overlap by their halo, so that both cells see an object on their border.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from odc.geo.geobox import GeoBox
from shapely import STRtree
from shapely.geometry import Polygon, box
from shapely.ops import unary_union

from pipeline.model.alert import Alert

SAME_SHARE = 0.3
"""Part of the smaller outline that two cells share when they saw one change."""
LATER_DAYS = 200
"""Least distance in days between two re-roofings of one outline in two cells."""
EDGE_M = 15.0
"""An outline that comes as near to where its cell ends goes on beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellAlert:
    """An alert as one cell saw it. core: the cell without its halo; seen: all that the cell looked at."""

    alert: Alert
    core: GeoBox
    seen: GeoBox


def alerts_touching(alerts: Sequence[Alert], core: GeoBox) -> tuple[Alert, ...]:
    """The alerts that a cell reports: those that reach into its core."""
    middle = _ground(core)
    return tuple(alert for alert in alerts if alert.outline.intersection(middle).area > 0)


def merge_alerts(found: Sequence[CellAlert]) -> tuple[Alert, ...]:
    """Each change of the whole area once, surest first, whatever the order of the cells.

    An alert is taken from the cell whose core has the largest part of it. If the halo of that cell cuts its outline
    off, the outlines of the other cells complete it.
    """
    merged = []
    for group in _groups(sorted(found, key=lambda each: each.alert.id)):
        chosen = min(group, key=lambda each: (-_share_in_core(each), each.alert.id))
        merged.append(_completed(chosen.alert, group) if _is_cut(chosen) else chosen.alert)
    return tuple(sorted(merged, key=lambda alert: (-alert.confidence, alert.id)))


def _groups(found: Sequence[CellAlert]) -> list[list[CellAlert]]:
    """Those of different cells whose outlines are one change, together."""
    parent = list(range(len(found)))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    tree, again = STRtree([each.alert.outline for each in found]), _renewed(found)
    for index, each in enumerate(found):
        for other in tree.query(each.alert.outline, predicate="intersects"):
            apart = abs((each.alert.first_seen - found[other].alert.first_seen).days) > LATER_DAYS
            if again[index] != again[other] or (again[index] and apart):
                continue
            if other > index and found[other].core != each.core and _is_same(each.alert, found[other].alert):
                one, two = sorted((root(index), root(int(other))))
                parent[two] = one
    groups = defaultdict(list)
    for index, each in enumerate(found):
        groups[root(index)].append(each)
    return list(groups.values())


def _renewed(found: Sequence[CellAlert]) -> list[bool]:
    """Which of them lie on the outline of an earlier one of their own cell: a roof renewed."""
    first: dict[tuple[GeoBox, bytes], date] = {}
    for each in found:
        place = each.core, each.alert.outline.wkb
        first[place] = min(each.alert.first_seen, first.get(place, date.max))
    return [each.alert.first_seen > first[each.core, each.alert.outline.wkb] for each in found]


def _is_same(one: Alert, other: Alert) -> bool:
    common = one.outline.intersection(other.outline).area
    return bool(common >= SAME_SHARE * min(one.outline.area, other.outline.area) and common > 0)


def _share_in_core(each: CellAlert) -> float:
    return round(float(each.alert.outline.intersection(_ground(each.core)).area / each.alert.outline.area), 3)


def _is_cut(each: CellAlert) -> bool:
    return not _ground(each.seen).buffer(-EDGE_M).contains(each.alert.outline)


def _completed(alert: Alert, group: Sequence[CellAlert]) -> Alert:
    whole = unary_union([each.alert.outline for each in group])
    times = whole.area / alert.outline.area
    return replace(alert, outline=whole, area_m2=alert.area_m2 * times, area_error_m2=alert.area_error_m2 * times)


def _ground(grid: GeoBox) -> Polygon:
    left, bottom, right, top = grid.extent.boundingbox.bbox
    return box(left, bottom, right, top)
