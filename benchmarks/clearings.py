"""Real changes in the embedded series: the road and the clear-cuts of two winters, found, outlined and dated?

python -m benchmarks.clearings      needs their outlines beside the checkout

A change is found where what is confirmed covers half of it, one alert or several; cuts of one winter touch, and then
one alert holds several of them. So the ground of a winter is compared as a whole, too.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path

from odc.geo.geom import Geometry
from shapely import unary_union
from shapely.affinity import translate
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from pipeline.catalogue.sites import read_sites
from pipeline.model.alert import Alert, Status
from pipeline.model.progress import no_progress
from pipeline.model.settings import Settings
from pipeline.run.process_site import SiteJob, process_site

ROOT = Path(__file__).resolve().parents[1]
OUTLINES = ROOT.parent / "shared" / "data" / "romania" / "changes_2017_2018.geojson"
SITE = "southern-carpathians"
LEAST_M2 = 1000.0
"""Ten pixels: the outlines of smaller ones are mostly edge."""
COVERED, TOUCHED = 0.5, 0.1
"""Part of a change that must be covered to be found; and of an alert, from which it is that change's."""
MOVES = (-15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0)
"""Metres."""
CONFIRMED = (Status.CONFIRMED, Status.FINISHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One outline: the last clear look without it, the first with it."""

    kind: str
    outline: BaseGeometry
    without: date
    seen: date


def main() -> str:
    """A markdown section."""
    if not OUTLINES.is_file():
        raise FileNotFoundError("the outlines are not beside this checkout")
    site = next(each for each in read_sites((ROOT / "aois" / "demo.geojson",)).sites if each.id == SITE)
    job = SiteJob(
        site=site, source=str(site.catalog), collection=None, start=None, until=datetime(2022, 1, 1, tzinfo=UTC),
        settings=Settings(),
    )  # fmt: skip
    crs = str(site.grid.crs)
    told = [alert for alert in process_site(job, no_progress).decision.alerts if alert.status in CONFIRMED]
    aoi = Geometry(site.aoi, "EPSG:4326").to_crs(crs).geom
    return "\n".join(_section([each for each in _changes(crs) if each.outline.intersects(aoi)], told))


def _changes(crs: str) -> list[Change]:
    features = json.loads(OUTLINES.read_text(encoding="utf-8"))["features"]
    return [
        Change(
            kind=said["kind"], outline=Geometry(shape(each["geometry"]), "EPSG:4326").to_crs(crs).geom,
            without=date.fromisoformat(said["last_clear_without"]), seen=date.fromisoformat(said["first_clear_with"]),
        )
        for each in features if (said := each["properties"])
    ]  # fmt: skip


def _section(changes: Sequence[Change], told: Sequence[Alert]) -> list[str]:
    large = [each for each in changes if each.outline.area >= LEAST_M2 - 1]
    mine = [[alert for alert in told if _is_of(alert, each)] for each in large]
    found = [_covered(each, alerts) >= COVERED for each, alerts in zip(large, mine, strict=True)]
    dated = [hit and any(_in_bracket(alert, each) for alert in alerts)
             for each, alerts, hit in zip(large, mine, found, strict=True)]  # fmt: skip
    until = max(each.seen for each in changes)
    others = [alert for alert in told if alert.first_seen <= until and not any(_is_of(alert, each) for each in changes)]
    kinds = Counter(alert.kind.value for alerts in mine for alert in alerts)
    known, ground = _grounds(changes, told)
    best, east, north = max((_iou(known, translate(ground, *move)), *move) for move in product(MOVES, MOVES))
    return [
        "## Real changes in the embedded series",
        "",
        "`benchmarks/clearings.py`: outlines of ten pixels and more, `detect` with settings as shipped. Found:",
        "confirmed, half of it covered. Bracket: the days told and the days known have a moment in common.",
        "",
        "| change | m2 | covered | IoU with the alert of the most of it | told | known | in the bracket | called |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(each, alerts) for each, alerts in zip(large, mine, strict=True)),
        "",
        f"{sum(found)} of {len(large)} found, {sum(dated)} of them in the right bracket; called "
        + ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common())
        + ".",
        f"All the ground of both winters: {known.area:,.0f} m2 known, {ground.area:,.0f} m2 told, IoU "
        f"{_iou(known, ground):.2f};",
        f"{best:.2f} where what is told is moved by {east:+.0f} m east, {north:+.0f} m north. The outlines known",
        "are those of lost green, good to a pixel or two; under a low sun the trees south of a cut shade a part of it.",
        f"Confirmed besides, until {until}: {len(others)}.",
    ]


def _row(change: Change, alerts: Sequence[Alert]) -> str:
    size, known = f"{change.outline.area:,.0f}", f"{change.without} to {change.seen}"
    if not alerts:
        return f"| {change.kind} | {size} | 0% | - | - | {known} | - | - |"
    best = max(alerts, key=lambda alert: alert.outline.intersection(change.outline).area)
    hit = "yes" if _in_bracket(best, change) else "no"
    return (
        f"| {change.kind} | {size} | {_covered(change, alerts):.0%} | {_iou(best.outline, change.outline):.2f} "
        f"| {best.last_clear_before} to {best.first_seen} | {known} | {hit} | {best.kind.value} |"
    )


def _is_of(alert: Alert, change: Change) -> bool:
    common = alert.outline.intersection(change.outline).area
    return bool(common >= TOUCHED * min(alert.outline.area, change.outline.area))


def _covered(change: Change, alerts: Sequence[Alert]) -> float:
    ground = unary_union([alert.outline for alert in alerts])
    return float(ground.intersection(change.outline).area / change.outline.area)


def _in_bracket(alert: Alert, change: Change) -> bool:
    return (alert.last_clear_before or date.min) < change.seen and alert.first_seen > change.without


def _grounds(changes: Sequence[Change], told: Sequence[Alert]) -> tuple[BaseGeometry, BaseGeometry]:
    """The ground of all changes, and of what was told to begin in their brackets."""
    alerts = [alert for alert in told if any(_in_bracket(alert, each) for each in changes)]
    return unary_union([each.outline for each in changes]), unary_union([alert.outline for alert in alerts])


def _iou(one: BaseGeometry, other: BaseGeometry) -> float:
    return float(one.intersection(other).area / one.union(other).area)


if __name__ == "__main__":
    print(main())
