"""Scores of alerts against the truth of a semi-real series (benchmarks.semireal)."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geom import Geometry
from rasterio.features import geometry_mask
from shapely import unary_union
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from pipeline.model.alert import Alert, Status
from pipeline.run.process_site import SiteResult

CONFIRMED = (Status.CONFIRMED, Status.FINISHED)
COVERED, ALIKE, UNION_COVERED = 0.25, 0.20, 0.5
"""An object is hit by an alert that overlaps this share of it, or has this IoU; or by alerts that cover half of it."""
TOUCHED = 0.1
"""Share of the smaller of both from which an alert belongs to an object."""
MIN_LOOKS = 3
SIZES = ((0, 300), (300, 800), (800, 2000), (2000, 5000), (5000, 1e12))
EARLY_DAYS = 30
"""An alert on an object that begins earlier than this before the works is counted as early."""
GROUND = {1: "field", 2: "water", 3: "cloud-prone roof"}


@dataclass(slots=True)
class Row:
    """One true object and what was reported of it. delay: clear looks from the change to the confirmation."""

    case: str
    variant: str
    city: str
    id: str
    source: str
    mode: str
    tone: str
    area_m2: float
    z: float
    change: float
    begins: str
    ends: str
    visible: bool
    clear_after: int
    truly_clear_after: int
    outcome: str
    alerts: int
    iou: float
    bracket: bool | None
    told_bracket: tuple[str, str] | None
    kind: str
    confidence: float
    delay: int | None

    @property
    def eligible(self) -> bool:
        return self.visible and self.clear_after >= MIN_LOOKS

    @property
    def truly_eligible(self) -> bool:
        return self.visible and self.truly_clear_after >= MIN_LOOKS


@dataclass(slots=True)
class FalseAlert:
    """An alert that touches no true component."""

    case: str
    variant: str
    id: str
    status: str
    once_confirmed: bool
    kind: str
    confidence: float
    area_m2: float
    first_seen: str
    hits: str


@dataclass(slots=True)
class Result:
    """One judged series. early: confirmed alerts on an object that begin well before its works."""

    case: str
    variant: str
    city: str
    rows: list[Row]
    wrong: list[FalseAlert]
    early: int
    km2_years: float
    looks: int
    refused: int
    usable_share: float
    seconds: float
    told: list[tuple[float, bool]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def score(case: str, variant: str, city: str, folder: Path, found: SiteResult, seconds: float) -> Result:
    """Compare the alerts of a series with its truth.geojson."""
    crs = str(found.site.grid.crs)
    objects = [(each["properties"], _there(shape(each["geometry"]), crs)) for each in _features(folder)]
    aoi = _there(found.site.aoi, crs)
    alerts = [each for each in found.decision.alerts if each.status is not Status.WITHDRAWN]
    inside = [(known, outline) for known, outline in objects if aoi.intersection(outline).area >= 0.5 * outline.area]
    rows = [_row(case, variant, city, known, outline, alerts, found) for known, outline in inside]
    wrong, early = _false(case, variant, folder, found, objects)
    times = [look.time for look in found.looks]
    years = (times[-1] - times[0]).days / 365.25 if times else 0.0
    told = [
        (alert.confidence, any(outline.intersects(alert.outline) for _, outline in objects))
        for alert in alerts if alert.status in CONFIRMED
    ]  # fmt: skip
    return Result(
        case=case, variant=variant, city=city, rows=rows, wrong=wrong, early=early,
        km2_years=aoi.area / 1e6 * years, looks=len(times),
        refused=sum(not record.used for record in found.records),
        usable_share=float(np.mean([record.clear_share for record in found.records if record.used] or [0.0])),
        seconds=seconds, told=told,
    )  # fmt: skip


def _features(folder: Path) -> list[Any]:
    features: list[Any] = json.loads((folder / "truth.geojson").read_text(encoding="utf-8"))["features"]
    return features


def _there(outline: BaseGeometry, crs: str) -> BaseGeometry:
    return Geometry(outline, "EPSG:4326").to_crs(crs).geom.buffer(0)


def hits(outline: BaseGeometry, alerts: Sequence[Alert]) -> bool:
    """The alerts hit the object, one alone or several together."""
    common = [outline.intersection(each.outline).area for each in alerts]
    if any(area >= COVERED * outline.area for area in common):
        return True
    if any(area > 0 and iou(outline, each.outline) >= ALIKE for area, each in zip(common, alerts, strict=True)):
        return True
    ground = unary_union([each.outline for each in alerts])
    return bool(ground.intersection(outline).area >= UNION_COVERED * outline.area)


def iou(one: BaseGeometry, other: BaseGeometry) -> float:
    whole = one.union(other).area
    return float(one.intersection(other).area / whole) if whole else 0.0


def best_iou(outline: BaseGeometry, alerts: Sequence[Alert]) -> float:
    """IoU of the best alert, or of the union of those that lie mostly in the object."""
    single = max((iou(outline, each.outline) for each in alerts), default=0.0)
    mostly = [each.outline for each in alerts if each.outline.intersection(outline).area >= 0.5 * each.outline.area]
    return max(single, iou(outline, unary_union(mostly)) if mostly else 0.0)


def in_bracket(alert: Alert, begins: date, ends: date) -> bool:
    """Any day of the works lies after the last clear look and not after the first look with the change."""
    return (alert.last_clear_before or date.min) < ends and alert.first_seen >= begins


def _row(
    case: str, variant: str, city: str, known: Any, outline: BaseGeometry, alerts: Sequence[Alert], found: SiteResult
) -> Row:
    begins, ends = date.fromisoformat(known["begins"]), date.fromisoformat(known["ends"])
    own = [
        each for each in alerts
        if each.outline.intersection(outline).area >= TOUCHED * min(each.outline.area, outline.area)
    ]  # fmt: skip
    sure = [each for each in own if each.status in CONFIRMED]
    outcome = "confirmed" if sure and hits(outline, sure) else "provisional" if own and hits(outline, own) else "missed"
    chosen = sure if outcome == "confirmed" else own
    best = max(chosen, key=lambda each: each.outline.intersection(outline).area) if chosen else None
    clear = _clear_days(found, outline)
    told = outcome != "missed" and best is not None
    delay = None
    if outcome == "confirmed" and best is not None and best.confirmed_at is not None:
        delay = sum(begins <= day <= best.confirmed_at for day in clear)
    return Row(
        case=case, variant=variant, city=city, id=known["id"], source=known["source"], mode=known["mode"],
        tone=known["tone"], area_m2=known["area_m2"], z=known["z"], change=known["change"], begins=known["begins"],
        ends=known["ends"], visible=known["visible"], clear_after=sum(day >= ends for day in clear),
        truly_clear_after=sum(day >= str(ends) for day in known["clear_looks"]), outcome=outcome, alerts=len(own),
        iou=best_iou(outline, own), bracket=in_bracket(best, begins, ends) if told and best else None,
        told_bracket=(str(best.last_clear_before), str(best.first_seen)) if told and best else None,
        kind=best.kind.value if told and best else "", confidence=best.confidence if told and best else 0.0,
        delay=delay,
    )  # fmt: skip


def _clear_days(found: SiteResult, outline: BaseGeometry) -> list[date]:
    """Days of the looks in which at least half of the object is usable."""
    grid = found.site.grid
    inside = geometry_mask([outline], tuple(grid.shape), grid.affine, invert=True)
    if not inside.any():
        inside = geometry_mask([outline], tuple(grid.shape), grid.affine, all_touched=True, invert=True)
    if not inside.any():
        return []
    return [look.time.date() for look in found.looks if look.usable[inside].mean() >= 0.5]


def _false(
    case: str, variant: str, folder: Path, found: SiteResult, objects: Sequence[tuple[Any, BaseGeometry]]
) -> tuple[list[FalseAlert], int]:
    made, early = [], 0
    with rasterio.open(folder / "ground.tif") as source:
        ground, affine, crs = source.read(1), source.transform, str(source.crs)
    for alert in found.decision.alerts:
        sure = alert.status in CONFIRMED or alert.confirmed_at is not None
        if alert.status is Status.WITHDRAWN and not sure:
            continue
        touched = [known for known, outline in objects if outline.intersects(alert.outline)]
        if touched:
            first = min(date.fromisoformat(known["begins"]) for known in touched)
            early += sure and (first - alert.first_seen).days > EARLY_DAYS
            continue
        there = Geometry(alert.outline, str(found.site.grid.crs)).to_crs(crs).geom
        inside = geometry_mask([there], ground.shape, affine, all_touched=True, invert=True)
        share = Counter(int(each) for each in ground[inside])
        what = GROUND.get(share.most_common(1)[0][0] if share else 0, "other")
        for code in (2, 3):  # a minority of water or roof explains an alert better than the field around it
            if share and share[code] >= 0.25 * sum(share.values()):
                what = GROUND[code]
        made.append(
            FalseAlert(
                case=case, variant=variant, id=alert.id, status=alert.status.value, once_confirmed=sure,
                kind=alert.kind.value, confidence=alert.confidence, area_m2=alert.area_m2,
                first_seen=str(alert.first_seen), hits=what,
            )
        )  # fmt: skip
    return made, early


# ------------------------------------------------------------------------------------------------------- the tables


def tables(results: Sequence[Result]) -> list[str]:
    """Markdown tables over all series."""
    rows = [row for each in results for row in each.rows if row.eligible]
    true = [row for each in results for row in each.rows if row.truly_eligible]
    seen = [row for each in results for row in each.rows if row.visible]
    lines = [*_outcomes(rows, true, seen, results), "", *_false_table(results), "", *_quality(rows, results)]
    return [*lines, "", *_case_table(results)]


def _outcomes(rows: Sequence[Row], true: Sequence[Row], seen: Sequence[Row], results: Sequence[Result]) -> list[str]:
    lines = [
        f"{len(seen)} visible objects; {len(rows)} with at least {MIN_LOOKS} looks after the change in which the",
        f"product's mask leaves half of them usable, {len(true)} with as many by the true weather (last row: a fixed",
        "denominator that does not depend on the product's masks).",
        "",
        "| group | n | confirmed | provisional | missed | bracket right | IoU median | alerts per object | delay |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups: list[tuple[str, list[Row]]] = []
    for low, high in SIZES:
        name = f"{low:,.0f}-{high:,.0f} m2" if high < 1e9 else f"over {low:,.0f} m2"
        groups.append((name, [row for row in rows if low <= row.area_m2 < high]))
    groups += [(tone, [row for row in rows if row.tone == tone]) for tone in ("brighter", "darker")]
    groups += [(mode, [row for row in rows if row.mode == mode]) for mode in ("sudden", "soil", "gradual")]
    for low, high in ((0.0, 3.0), (3.0, 6.0), (6.0, 1e9)):
        name = f"z {low:g} to {high:g}" if high < 1e8 else f"z over {low:g}"
        groups.append((name, [row for row in rows if low <= row.z < high]))
    sources = sorted({row.source.split(" of ")[0] for row in rows})
    groups += [(f"source: {each}", [row for row in rows if row.source.startswith(each)]) for each in sources]
    variants = dict.fromkeys(each.variant for each in results)
    groups += [(f"variant: {each}", [row for row in rows if row.variant == each]) for each in variants]
    lines += [_line(name, group) for name, group in groups]
    return [*lines, _line("**all**", rows), _line("all, by true weather", true)]


def _line(name: str, rows: Sequence[Row]) -> str:
    if not rows:
        return f"| {name} | 0 | - | - | - | - | - | - | - |"
    count = Counter(row.outcome for row in rows)
    told = [row for row in rows if row.outcome != "missed"]
    right = sum(bool(row.bracket) for row in told)
    delays = [row.delay for row in told if row.delay is not None]
    parts = [f"{count[each]} ({count[each] / len(rows):.2f})" for each in ("confirmed", "provisional", "missed")]
    overlap = f"{np.median([row.iou for row in told]):.2f}" if told else "-"
    each = f"{np.mean([row.alerts for row in told]):.2f}" if told else "-"
    bracket = f"{right} of {len(told)} ({right / len(told):.2f})" if told else "-"
    return f"| {name} | {len(rows)} | {' | '.join(parts)} | {bracket} | {overlap} | {each} | {_median(delays)} |"


def _median(values: Sequence[float]) -> str:
    return f"{np.median(values):.0f}" if values else "-"


def _false_table(results: Sequence[Result]) -> list[str]:
    kinds = [*GROUND.values(), "other"]
    lines = [
        "False alerts touch no labelled component, visible or not. Confirmed includes finished and once confirmed.",
        "",
        "| variant | km2 years | confirmed | per 100 km2 and year | " + " | ".join(kinds) + " | provisional | the same"
        " per 100 km2 and year | early |",
        "|---|---|---|---|" + "---|" * len(kinds) + "---|---|---|",
    ]
    for variant in [*dict.fromkeys(each.variant for each in results), None]:
        mine = [each for each in results if variant in (None, each.variant)]
        years = sum(each.km2_years for each in mine)
        sure = [wrong for each in mine for wrong in each.wrong if wrong.once_confirmed]
        waiting = sum(not wrong.once_confirmed for each in mine for wrong in each.wrong)
        split = Counter(wrong.hits for wrong in sure)
        share = " | ".join(str(split[kind]) for kind in kinds)
        per = 100 / max(years, 1e-9)
        lines.append(
            f"| {variant or '**all**'} | {years:.1f} | {len(sure)} | {per * len(sure):.1f} | {share} |"
            f" {waiting} | {per * waiting:.1f} | {sum(each.early for each in mine)} |"
        )
    return lines


def _quality(rows: Sequence[Row], results: Sequence[Result]) -> list[str]:
    told = [row for row in rows if row.outcome != "missed"]
    kinds = {tone: Counter(row.kind for row in told if row.tone == tone) for tone in ("brighter", "darker")}
    lines = [
        f"Kind given to objects that end {tone}: " + ", ".join(f"{kind} {n}" for kind, n in count.most_common()) + "."
        for tone, count in kinds.items() if count
    ]  # fmt: skip
    wrong = Counter(each.kind for result in results for each in result.wrong if each.once_confirmed)
    lines.append("Kind of false confirmed alerts: " + (", ".join(f"{k} {n}" for k, n in wrong.most_common()) or "none"))
    lines += ["", "| confidence of confirmed alerts | n | touch a true object |", "|---|---|---|"]
    judged = [each for result in results for each in result.told]
    for low, high in ((0, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 0.985), (0.985, 1.01)):
        group = [right for confidence, right in judged if low <= confidence < high]
        if group:
            lines.append(f"| {low:g} to {min(high, 1):g} | {len(group)} | {sum(group) / len(group):.2f} |")
    return lines


def _case_table(results: Sequence[Result]) -> list[str]:
    lines = [
        "| series | looks | refused | usable | objects | confirmed | provisional | missed | bracket right | false"
        " confirmed | false provisional | s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        rows = [row for row in each.rows if row.eligible]
        count = Counter(row.outcome for row in rows)
        right = sum(bool(row.bracket) for row in rows)
        sure = sum(wrong.once_confirmed for wrong in each.wrong)
        lines.append(
            f"| {each.case} | {each.looks} | {each.refused} | {each.usable_share:.2f} | {len(rows)} |"
            f" {count['confirmed']} | {count['provisional']} | {count['missed']} | {right} | {sure} |"
            f" {len(each.wrong) - sure} | {each.seconds:.0f} |"
        )
    return lines


def aoi_table(pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    """Outcomes of the same objects in the whole city (first) and in an AOI of their own (second)."""
    both = [(one, other) for one, other in pairs if "missed" not in (one.outcome, other.outcome)]
    lines = [
        "| figure | value |",
        "|---|---|",
        f"| objects | {len(pairs)} |",
        f"| reported in the whole city | {share_of(pairs, lambda each: each[0].outcome != 'missed')} |",
        f"| reported in their own 1 km | {share_of(pairs, lambda each: each[1].outcome != 'missed')} |",
        f"| reported in both | {share_of(pairs, lambda each: each in both)} |",
        f"| the same outcome | {share_of(pairs, lambda each: each[0].outcome == each[1].outcome)} |",
        f"| the same bracket, of those in both | {share_of(both, _same_bracket)} |",
        f"| confirmed: whole city, own, both | {sum(one.outcome == 'confirmed' for one, _ in pairs)},"
        f" {sum(other.outcome == 'confirmed' for _, other in pairs)},"
        f" {sum(one.outcome == other.outcome == 'confirmed' for one, other in pairs)} |",
        "",
        "| object | m2 | z | whole city | bracket | own AOI | bracket |",
        "|---|---|---|---|---|---|---|",
    ]
    for one, other in pairs:
        if one.outcome != other.outcome or not _same_bracket((one, other)):
            lines.append(
                f"| {one.case} {one.id} | {one.area_m2:,.0f} | {one.z:.1f} | {one.outcome} | {_dates(one)} |"
                f" {other.outcome} | {_dates(other)} |"
            )
    return lines


def _same_bracket(pair: tuple[Row, Row]) -> bool:
    return _dates(pair[0]) == _dates(pair[1])


def _dates(row: Row) -> str:
    return " -> ".join(row.told_bracket) if row.told_bracket else "-"


def share_of(values: Sequence[Any], test: Callable[[Any], bool]) -> str:
    """`3 of 4 (0.75)`."""
    count = sum(bool(test(each)) for each in values)
    return f"{count} of {len(values)} ({count / max(len(values), 1):.2f})"
