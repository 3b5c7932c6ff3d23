"""A review file and a truth file, read for scoring."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
from pyogrio.errors import DataLayerError, DataSourceError
from shapely.geometry.base import BaseGeometry

from pipeline.model.alert import Kind
from pipeline.model.errors import UsageError

CHANGE = "change"
CLEAR_SHARE = 0.5
"""Of an alert's ground: less says nothing of it."""
MEND_REVIEW = "give the review.gpkg that `groundbreak detect` wrote"
MEND_TRUTH = "give GeoJSON polygons with `begins` dates, like the truth.geojson of `groundbreak simulate`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One alert of a review file. outline: in the site's CRS, metres. confirmed: ever, finished ones included.

    clear: days of the looks in which most of its ground was clear.
    """

    id: str
    outline: BaseGeometry
    status: str
    kind: str
    confidence: float
    area_m2: float
    first_seen: date
    confirmed_at: date | None
    verdict: str | None
    clear: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One thing that happened. role: change or distractor. begins: first day it could be seen. outline: metres."""

    id: str
    role: str
    kind: str
    size: str
    outline: BaseGeometry
    begins: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What a review file claims. claims: all but the withdrawn, which have their verdicts all the same.

    aoi: in its CRS. days: of the looks used, in order.
    """

    name: str
    crs: str
    claims: tuple[Claim, ...]
    aoi: BaseGeometry
    days: tuple[date, ...]
    withdrawn: tuple[Claim, ...] = ()

    @property
    def km2_years(self) -> float:
        """Ground times time that was watched."""
        span = (self.days[-1] - self.days[0]).days if self.days else 0
        return float(self.aoi.area) / 1e6 * span / 365.25


def read_review(path: Path) -> Reviewed:
    """A review file. Raises UsageError where it is none."""
    changes, aoi, scenes = (_layer(path, layer) for layer in ("changes", "aoi", "scenes"))
    looks = _layer(path, "observations")
    clear = looks[looks["clear_share"] >= CLEAR_SHARE].groupby("change_id")["time"].apply(list).to_dict()
    claims = [
        _claim(row, clear.get(row["change_id"], ()))
        for row in changes.to_dict("records")
        if not _missing(row["change_id"])
    ]
    used = scenes[scenes["used"].astype(bool)]
    return Reviewed(
        name=path.parent.name,
        crs=str(changes.crs),
        claims=tuple(claim for claim in claims if claim.status != "withdrawn"),
        withdrawn=tuple(claim for claim in claims if claim.status == "withdrawn"),
        aoi=aoi.union_all(),
        days=tuple(sorted({_day(moment) for moment in used["time"]})),
    )


def read_truth(path: Path, crs: str) -> tuple[Truth, ...]:
    """Truth polygons, in a CRS. Raises UsageError naming the feature and what it lacks."""
    if not path.is_file():
        raise UsageError("no such file", str(path), MEND_TRUTH)
    try:
        table = geopandas.read_file(path)
    except (DataSourceError, DataLayerError, ValueError) as fault:
        raise UsageError(f"cannot be read: {str(fault)[:120]}", str(path), MEND_TRUTH) from fault
    if "geometry" not in table or not len(table):
        raise UsageError("no polygon in it", str(path), MEND_TRUTH)
    rows = table.to_crs(crs).to_dict("records")
    return tuple(_truth(row, number, path) for number, row in enumerate(rows, 1))


def _layer(path: Path, layer: str) -> Any:
    if not path.is_file():
        raise UsageError("no such file", str(path), MEND_REVIEW)
    try:
        return geopandas.read_file(path, layer=layer)
    except (DataSourceError, DataLayerError) as fault:
        raise UsageError(f"no review file: it has no layer {layer!r}", str(path), MEND_REVIEW) from fault


def _claim(row: Mapping[str, Any], clear: Sequence[Any]) -> Claim:
    return Claim(
        id=row["change_id"],
        outline=row["geometry"],
        status=row["status"],
        kind=row["kind"],
        confidence=float(row["confidence"]),
        area_m2=float(row["area_m2"]),
        first_seen=_day(row["first_seen"]),
        confirmed_at=None if _missing(row["confirmed_at"]) else _day(row["confirmed_at"]),
        verdict=None if _missing(row["verdict"]) else row["verdict"] or None,
        clear=tuple(sorted({_day(moment) for moment in clear})),
    )


def _truth(row: Mapping[str, Any], number: int, path: Path) -> Truth:
    where = f"{path}, feature {number}"
    outline = row["geometry"]
    if outline is None or outline.is_empty or outline.geom_type not in ("Polygon", "MultiPolygon"):
        raise UsageError("no polygon", where, MEND_TRUTH)
    begins = next((row[key] for key in ("begins", "first_clear_with") if not _missing(row.get(key))), None)
    if begins is None:
        raise UsageError("neither `begins` nor `first_clear_with`", where, MEND_TRUTH)
    area = float(outline.area)
    return Truth(
        id=str(row["id"]) if not _missing(row.get("id")) else f"truth-{number}",
        role=CHANGE if _missing(row.get("role")) else str(row["role"]),
        kind=Kind.NEW_STRUCTURE.value if _missing(row.get("kind")) else str(row["kind"]),
        size=f"{_rounded(area):,.0f} m2" if _missing(row.get("size")) else str(row["size"]),
        outline=outline.buffer(0),
        begins=_day(begins),
    )


def _missing(value: Any) -> bool:
    """None, NaN or NaT: the one thing that they share is that no two are equal."""
    return value is None or value != value


def _day(value: Any) -> date:
    """A date out of a date, a time or its ISO text."""
    return date.fromisoformat(str(value)[:10])


def _rounded(area: float) -> float:
    """To 1, 2 or 5 of its power of ten: truths without a size label are grouped."""
    power = 10.0 ** math.floor(math.log10(max(area, 1)))
    return float(max(step * power for step in (1, 2, 5) if step * power <= max(area, 1)))
