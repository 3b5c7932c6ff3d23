"""A review file and a truth file, read for scoring."""

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import shapely
from odc.geo.geom import Geometry
from shapely.geometry.base import BaseGeometry

from pipeline.catalogue.aoi_files import read_features
from pipeline.catalogue.features import Feature
from pipeline.formats.geopackage import list_layers, open_geopackage, read_records, read_table
from pipeline.model.alert import CLEAR_SHARE, Kind
from pipeline.model.errors import SiteError, UsageError

CHANGE = "change"
FIX_REVIEW = "give the review.gpkg that `groundbreak detect` wrote"
FIX_TRUTH = "give GeoJSON polygons with `begins` dates, like the truth.geojson of `groundbreak simulate`"

FIX_SCOPE = 'give days as "start" and "end", and "covers" with a list "kinds" of change types and a geometry "area"'


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
    """One true event. role: change or distractor. begins: first day on which it is visible. outline: metres."""

    id: str
    role: str
    kind: str
    size: str
    outline: BaseGeometry
    begins: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a truth covers; alerts outside it are neither right nor wrong.

    kinds: change types of which it has all, empty = every one. area: in the site's CRS, None = the whole AOI.
    start, end: first and last day, None = as long as the site was watched.
    """

    kinds: tuple[str, ...] = ()
    area: BaseGeometry | None = None
    start: date | None = None
    end: date | None = None

    def covers(self, claim: Claim) -> bool:
        """The truth would have this change if it were one."""
        return (
            (not self.kinds or claim.kind in self.kinds)
            and (self.area is None or claim.outline.representative_point().within(self.area))
            and (self.start is None or claim.first_seen >= self.start)
            and (self.end is None or claim.first_seen <= self.end)
        )


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
        """Watched area times duration."""
        return self.covered_km2_years(Scope())

    def covered_km2_years(self, scope: Scope) -> float:
        """Watched area times duration, as far as a truth covers both."""
        if not self.days:
            return 0.0
        first, last = max(self.days[0], scope.start or date.min), min(self.days[-1], scope.end or date.max)
        area = self.aoi if scope.area is None else self.aoi.intersection(scope.area)
        return float(area.area) / 1e6 * max((last - first).days, 0) / 365.25


def read_review(path: Path) -> Reviewed:
    """Read a review file. Raises UsageError for any other file."""
    if not path.is_file():
        raise UsageError("no such file", str(path), FIX_REVIEW)
    try:
        with open_geopackage(path) as db:
            known = {layer.name: layer for layer in list_layers(db)}
            missing = next((name for name in ("changes", "aoi", "scenes") if name not in known), None)
            if missing is not None:
                raise UsageError(f"no review file: it has no layer {missing!r}", str(path), FIX_REVIEW)
            changes, aoi = (list(read_records(db, known[name])) for name in ("changes", "aoi"))
            scenes, looks = read_table(db, "scenes"), read_table(db, "observations")
    except sqlite3.Error as error:
        raise UsageError(f"no review file that can be read: {error}", str(path), FIX_REVIEW) from error
    clear: dict[str, list[Any]] = {}
    for look in looks:
        if (look["clear_share"] or 0) >= CLEAR_SHARE:
            clear.setdefault(look["change_id"], []).append(look["time"])
    claims = [
        _claim_from_row(row.values, row.geometry, clear.get(row.values["change_id"], ()))
        for row in changes
        if "change_id" in row.values and row.geometry is not None
    ]
    return Reviewed(
        name=path.parent.name,
        crs=str(known["changes"].crs),
        claims=tuple(claim for claim in claims if claim.status != "withdrawn"),
        withdrawn=tuple(claim for claim in claims if claim.status == "withdrawn"),
        aoi=shapely.union_all([row.geometry for row in aoi if row.geometry is not None]),
        days=tuple(sorted({_to_date(scene["time"]) for scene in scenes if scene["used"]})),
    )


def read_truth(path: Path, crs: str) -> tuple[Truth, ...]:
    """Truth polygons, in a CRS. Raises UsageError naming the feature and what it lacks."""
    if not path.is_file():
        raise UsageError("no such file", str(path), FIX_TRUTH)
    try:
        features, _ = read_features(path)
    except SiteError as error:
        raise UsageError(f"cannot be read: {error.what[:120]}", str(path), FIX_TRUTH) from error
    return tuple(_truth_from_feature(feature, number, crs, path) for number, feature in enumerate(features, 1))


def read_scope(path: Path, crs: str) -> Scope:
    """What a truth file covers, by its member `groundbreak`; everything where it has none.

    start, end: days. covers.kinds: change types. covers.area: GeoJSON geometry, lon/lat.
    Raises UsageError where that member is malformed. The file itself was read by `read_truth`.
    """
    try:
        stated = json.loads(path.read_text(encoding="utf-8-sig")).get("groundbreak", {})
        covers = stated.get("covers", {})
        area, kinds = covers.get("area"), covers.get("kinds", ())
        start, end = (None if stated.get(key) is None else _to_date(stated[key]) for key in ("start", "end"))
        unknown = set(kinds) - {kind.value for kind in Kind}
        if isinstance(kinds, str) or unknown:
            raise ValueError(f"kinds {kinds!r}")
        place = None if area is None else Geometry(area, "EPSG:4326").to_crs(crs).geom.buffer(0)
    except UnicodeDecodeError:
        return Scope()  # GeoPackage and other formats have no such member
    except json.JSONDecodeError:
        return Scope()
    except (AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
        what = f"what it covers cannot be read: {str(error)[:80]}"
        raise UsageError(what, f"{path}, member groundbreak", FIX_SCOPE) from error
    return Scope(kinds=tuple(kinds), area=place, start=start, end=end)


def _claim_from_row(row: Mapping[str, Any], outline: BaseGeometry, clear: Sequence[Any]) -> Claim:
    return Claim(
        id=row["change_id"],
        outline=outline,
        status=row["status"],
        kind=row["kind"],
        confidence=float(row["confidence"]),
        area_m2=float(row["area_m2"]),
        first_seen=_to_date(row["first_seen"]),
        confirmed_at=_to_date(row["confirmed_at"]) if "confirmed_at" in row else None,
        verdict=row.get("verdict") or None,
        clear=tuple(sorted({_to_date(moment) for moment in clear})),
    )


def _truth_from_feature(feature: Feature, number: int, crs: str, path: Path) -> Truth:
    row, where = feature.properties, f"{path}, feature {number}"
    place = feature.geometry
    if place is None or place.is_empty or place.geom_type not in ("Polygon", "MultiPolygon"):
        raise UsageError("no polygon", where, FIX_TRUTH)
    begins = next((row[key] for key in ("begins", "first_clear_with") if not _is_missing(row.get(key))), None)
    if begins is None:
        raise UsageError("neither `begins` nor `first_clear_with`", where, FIX_TRUTH)
    outline = Geometry(place, "EPSG:4326").to_crs(crs).geom
    area = float(outline.area)
    return Truth(
        id=str(row["id"]) if not _is_missing(row.get("id")) else f"truth-{number}",
        role=CHANGE if _is_missing(row.get("role")) else str(row["role"]),
        kind=Kind.NEW_STRUCTURE.value if _is_missing(row.get("kind")) else str(row["kind"]),
        size=f"{_round_area(area):,.0f} m2" if _is_missing(row.get("size")) else str(row["size"]),
        outline=outline.buffer(0),
        begins=_parse_begin(begins, where),
    )


def _parse_begin(value: Any, where: str) -> date:
    try:
        return _to_date(value)
    except ValueError as error:
        raise UsageError(f"begins {str(value)[:40]!r} is no date", where, FIX_TRUTH) from error


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or NaT."""
    return value is None or value != value


def _to_date(value: Any) -> date:
    """A date out of a date, a time or its ISO text."""
    return date.fromisoformat(str(value)[:10])


def _round_area(area: float) -> float:
    """Round to 1, 2 or 5 times a power of ten, to group true changes without a size label."""
    power = 10.0 ** math.floor(math.log10(max(area, 1)))
    return float(max(step * power for step in (1, 2, 5) if step * power <= max(area, 1)))
