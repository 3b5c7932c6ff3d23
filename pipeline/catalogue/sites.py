"""AOI files to sites. A bad feature does not affect the others; every error names file, feature and fix."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from pipeline.catalogue.aoi_files import CONVERT, READABLE, UNREADABLE, read_features
from pipeline.catalogue.features import Feature
from pipeline.catalogue.hrefs import host_of, is_local, leads_inside, local_or_remote, redact_href
from pipeline.catalogue.listing import files_of
from pipeline.catalogue.transport import require_public
from pipeline.formats.geojson import without_empty_rings
from pipeline.model.errors import CatalogueError, SettingsError, SiteError
from pipeline.model.grid import MIN_SIDE_PX, PIXEL_M, PIXEL_M2, site_grid, utm_epsg
from pipeline.model.settings import OWNER_ONLY, Settings, override_settings
from pipeline.model.site import Site, slug
from pipeline.model.text import printable
from pipeline.model.unexpected_errors import UNEXPECTED_ERRORS

MAX_VERTICES = 100_000
MAX_NAME = 200
"""Largest number of letters of a name, because pages, mails and the feed repeat it."""
GRID_TO_AOI = 2.0
"""Largest grid relative to the largest AOI: a square on its corner fills half of its grid."""
_WHOLE = re.compile(r"^\d+\.0*$")
OWN = ("id", "name", "catalog", "collection", "start", "end", "false_alarms", "settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class SitesRead:
    """Content of AOI files: sites, errors of files and features, and remarks on repaired features."""

    sites: tuple[Site, ...]
    errors: tuple[SiteError, ...]
    notes: tuple[str, ...]


def read_sites(paths: Sequence[Path], settings: Settings | None = None) -> SitesRead:
    """Every site of the files, and of all AOI files of the folders, among `paths`; never raises for their content."""
    limits = settings or Settings()
    sites: dict[str, Site] = {}
    errors: list[SiteError] = []
    files, notes = _list_files(paths)
    for path in files:
        try:
            features, remarks = read_features(path)
        except SiteError as error:
            errors.append(error)
            continue
        except UNEXPECTED_ERRORS as error:
            errors.append(_unexpected_error(error, str(path), "export it again"))
            continue
        notes += remarks
        for feature in features:
            try:
                site, remarks = _site_from_feature(feature, path, limits)
                if site.id in sites:
                    raise SiteError(f"id {site.id!r} is taken", feature.where, "give every feature an id of its own")
            except SiteError as error:
                errors.append(error)
                continue
            except UNEXPECTED_ERRORS as error:
                errors.append(_unexpected_error(error, feature.where, "draw it again"))
                continue
            notes += remarks
            sites[site.id] = site
    return SitesRead(sites=tuple(sites.values()), errors=tuple(errors), notes=tuple(notes))


def _unexpected_error(cause: Exception, where: str, fix: str) -> SiteError:
    site_error = SiteError(f"cannot be understood: {type(cause).__name__}: {str(cause)[:120]}", where, fix)
    site_error.__cause__ = cause
    return site_error


def _list_files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The AOI files of folders and those named one by one, and a note on each file of places that is not read."""
    found, notes = list[Path](), list[str]()
    for path in paths:
        try:
            inside = files_of(path)
        except OSError:  # not a readable folder: reading it as a file reports the error
            found.append(path)
            continue
        found += [file for file in inside if file.suffix.lower() in READABLE]
        notes += [f"{file}: not read; {CONVERT}" for file in inside if file.suffix.lower() in UNREADABLE]
    return list(dict.fromkeys(found)), notes


def _site_from_feature(feature: Feature, path: Path, settings: Settings) -> tuple[Site, list[str]]:
    where = feature.where
    if feature.error:
        raise SiteError(feature.error, where, "draw it again as a polygon in lon/lat")
    known = _normalise_properties(feature.properties)
    identity, name = _id_and_name(known, where)
    aoi, notes = _clean_aoi(feature.geometry, f"{where}, {identity}", settings.search.max_area_km2)
    catalog = _resolve_catalog(_text_property(known, "catalog", where), path, where, settings)
    start, end = _day_property(known, "start", where), _day_property(known, "end", where)
    if start is not None and end is not None and start >= end:
        raise SiteError(f"ends ({end.date()}) before it starts ({start.date()})", where, "swap start and end")
    grid = _site_grid(aoi, f"{where}, {identity}", settings.search.max_area_km2 * GRID_TO_AOI)
    return (
        Site(
            id=identity,
            name=name,
            aoi=aoi,
            grid=grid,
            catalog=catalog,
            collection=_text_property(known, "collection", where),
            start=start,
            end=end,
            settings=_site_settings(known, where, settings),
            properties={key: value for key, value in known.items() if key not in OWN},
        ),
        [*feature.notes, *notes],
    )


def _resolve_catalog(text: str | None, path: Path, where: str, settings: Settings) -> str | None:
    """The site's own catalogue as an absolute path or an address; none on this machine's network but the owner's own.

    An AOI file may come from anybody, and an address in it is asked for by this machine.
    """
    if text is None:
        return None
    if not text.isprintable():
        raise SiteError(f"catalog {text[:40]!r} is no path or address", where, "name a STAC folder or an API root")
    try:
        text = local_or_remote(text)
    except CatalogueError as error:
        raise SiteError(f"catalog {text[:60]!r}: {error.what}", where, error.fix) from error
    if "://" not in text:
        return text if Path(text).is_absolute() else os.path.realpath(path.parent / text)
    if is_local(host_of(text)) and host_of(text) not in trusted_hosts(settings):
        raise _inside_network_error(text, where)
    return text


def check_reach(site: Site, source: str, settings: Settings) -> None:
    """Let no connection of this process into this network for the name of a site's own catalogue.

    source: where the site is searched. Raises SiteError where the name already leads there.
    """
    host = host_of(source)
    if source != site.catalog or "://" not in source or host in trusted_hosts(settings):
        return
    require_public(source)
    if leads_inside(host):
        raise _inside_network_error(source, site.id)


def trusted_hosts(settings: Settings) -> frozenset[str]:
    """Hosts that groundbreak.toml names."""
    return frozenset({host_of(settings.search.catalog), *settings.search.asset_hosts}) - {""}


def _inside_network_error(address: str, where: str) -> SiteError:
    what = f"catalog {redact_href(address)[:80]} lies on this machine or its network"
    fix = "if you trust it, add its host to search.asset_hosts in groundbreak.toml"
    return SiteError(what, where, fix)


def _normalise_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties with `id` and `name` in lower case: some programs write Name or NAME."""
    known = dict(properties)
    for own in ("id", "name"):
        alike = [name for name in known if name.lower() == own]
        if own not in known and len(alike) == 1:
            known[own] = known.pop(alike[0])
    return known


def _id_as_text(value: Any) -> str:
    """An id as text; tables and KML write the number 7 as 7.0."""
    text = str(value)
    return text.partition(".")[0] if isinstance(value, float | str) and _WHOLE.match(text) else text


def _id_and_name(known: Mapping[str, Any], where: str) -> tuple[str, str]:
    given, name = known.get("id"), printable(" ".join(str(known.get("name") or "").split()))
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME - 1]}…"
    if given is not None:
        identity = _id_as_text(given)[: MAX_NAME + 1]
        if identity != slug(identity) or not identity:
            fix = f"write it as {slug(identity) or 'my-site'}: letters a to z, digits and hyphens"
            raise SiteError(f"id {identity[:60]!r} is no safe folder name", where, fix)
        return identity, name or identity
    if not name:
        raise SiteError("neither id nor name", where, "give it a name")
    identity = slug(name)
    if not identity:
        raise SiteError(f"no id can be made of the name {name[:60]!r}", where, "give it an id of a to z and digits")
    return identity, name


def _clean_aoi(geometry: BaseGeometry | None, where: str, max_km2: float) -> tuple[Polygon | MultiPolygon, list[str]]:
    notes: list[str] = []
    if geometry is None or geometry.is_empty:
        raise SiteError("empty geometry", where, "draw a polygon")
    if geometry.geom_type == "GeometryCollection":
        geometry, notes = _polygons_of(geometry, where)
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        raise SiteError(f"{geometry.geom_type} instead of a polygon", where, "draw a polygon around the place")
    vertices = int(shapely.get_num_coordinates(geometry))
    if vertices > MAX_VERTICES:
        raise SiteError(f"{vertices} vertices", where, f"simplify it: at most {MAX_VERTICES}")
    plane = without_empty_rings(shapely.force_2d(geometry))
    _check_lonlat(plane, where)
    if not plane.is_valid:
        plane = shapely.union_all([_repair_polygon(part) for part in shapely.get_parts(plane)])
        if plane.is_empty:
            raise SiteError("its rings leave no area", where, "draw it again")
        notes.append(f"{where}: rings that cross were repaired")
    left, _, right, _ = plane.bounds
    if right - left > 180:
        raise SiteError("crosses the antimeridian", where, "split it at 180 degrees into two sites")
    area = _area_m2(plane)
    if area < PIXEL_M2:
        raise SiteError(f"{area:.1f} m2 is less than one pixel", where, "draw at least 10 by 10 m")
    if area > max_km2 * 1e6:
        fix = f"tile it into squares of under {max_km2:g} km2, or raise search.max_area_km2"
        raise SiteError(f"{area / 1e6:,.0f} km2 is above the limit of {max_km2:g}", where, fix)
    return plane, notes


def _repair_polygon(polygon: Polygon) -> BaseGeometry:
    """A polygon whose rings cross as valid polygons: its shell without its holes.

    Made valid as a whole, a hole that equals its shell would count as ground, and one that reaches out of it too.
    """
    shell, *holes = (_area_of(Polygon(ring)) for ring in (polygon.exterior, *polygon.interiors))
    return _area_of(shell.difference(shapely.union_all(holes)) if holes else shell)


def _area_of(geometry: BaseGeometry) -> BaseGeometry:
    """Valid polygons of a geometry, without its lines and points."""
    parts = shapely.get_parts(shapely.make_valid(geometry))
    return shapely.union_all([part for part in parts if part.geom_type in ("Polygon", "MultiPolygon")])


def _polygons_of(geometry: BaseGeometry, where: str) -> tuple[BaseGeometry, list[str]]:
    """The polygons of a collection, and a note on what else is in it."""
    parts = _parts_of(geometry)
    areas = [
        each for part in parts if part.geom_type in ("Polygon", "MultiPolygon") for each in shapely.get_parts(part)
    ]
    others = sorted({part.geom_type for part in parts} - {"Polygon", "MultiPolygon"})
    if not areas:
        return geometry, []
    return MultiPolygon(areas), [f"{where}: {', '.join(others)} beside its polygons left out"] if others else []


def _parts_of(geometry: BaseGeometry) -> list[BaseGeometry]:
    """The members of a collection, those of collections inside it too."""
    if geometry.geom_type != "GeometryCollection":
        return [geometry]
    return [each for part in shapely.get_parts(geometry) for each in _parts_of(part)]


def _site_grid(aoi: Polygon | MultiPolygon, where: str, max_km2: float) -> GeoBox:
    """The grid of a site, refused where parts that lie far apart would make it larger than any AOI may be."""
    fix = "make its parts sites of their own"
    try:
        grid = site_grid(aoi)
    except OverflowError as error:
        raise SiteError("its parts lie too far apart for one grid", where, fix) from error
    rows, cols = grid.shape
    area = rows * cols * PIXEL_M2 / 1e6
    # the least grid of a small AOI is larger than a strict limit on AOIs
    if area > max(max_km2, (MIN_SIDE_PX * PIXEL_M) ** 2 / 1e6):
        raise SiteError(f"its grid would have {area:,.0f} km2, above the limit of {max_km2:g}", where, fix)
    return grid


def _check_lonlat(plane: BaseGeometry, where: str) -> None:
    xy = shapely.get_coordinates(plane)
    if not np.isfinite(xy).all():
        raise SiteError("a coordinate that is no number", where, "draw it again")
    lon, lat = xy.T
    if np.abs(lon).max() <= 180 and np.abs(lat).max() <= 90:
        try:
            for edge in (lat.min(), lat.max()):
                utm_epsg(float(lon.mean()), float(edge))
        except SiteError as error:
            raise SiteError(error.what, where, error.fix) from error
        return
    if np.abs(lon).max() <= 90 and np.abs(lat).max() <= 180:
        raise SiteError(f"latitude {lat[np.argmax(np.abs(lat))]:.4f}", where, "swap latitude and longitude")
    if np.abs(lon).max() <= 360 and np.abs(lat).max() <= 90:
        fix = "write 190 as -170, and split what crosses 180 degrees into two sites"
        raise SiteError(f"longitude {lon[np.argmax(np.abs(lon))]:.4f} is beyond 180 degrees", where, fix)
    fix = "convert it to WGS 84 lon/lat, or name its coordinate system in the file"
    raise SiteError(f"coordinate {lon[0]:.1f}, {lat[0]:.1f} is no lon/lat", where, fix)


def _area_m2(plane: BaseGeometry) -> float:
    centre = plane.centroid
    return float(Geometry(plane, "EPSG:4326").to_crs(f"EPSG:{utm_epsg(centre.x, centre.y)}").geom.area)


def _site_settings(known: Mapping[str, Any], where: str, base: Settings) -> Mapping[str, object]:
    own = known.get("settings") or {}
    if isinstance(own, str):  # a table without nested values has it as text
        try:
            own = json.loads(own)
        except (ValueError, RecursionError):
            own = None
    if not isinstance(own, dict):
        raise SiteError("settings is no table", where, 'write it as {"decide.min_history": 5}')
    changes: dict[str, object] = dict(own)
    widened = next((key for key in OWNER_ONLY if key in changes), None)
    if widened is not None:
        raise SiteError(f"{widened} cannot be set in an AOI file", where, "set it in groundbreak.toml, if you trust it")
    if known.get("false_alarms") is not None:
        changes["decide.false_alarms_per_100km2_year"] = known["false_alarms"]
    try:
        override_settings(base, changes, where)
    except SettingsError as error:
        raise SiteError(error.what, where, error.fix) from error
    return changes


def _text_property(known: Mapping[str, Any], key: str, where: str) -> str | None:
    value = known.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise SiteError(f"{key} is no text", where, f"write {key} in quotes")
    return value


def _day_property(known: Mapping[str, Any], key: str, where: str) -> datetime | None:
    value = known.get(key)
    if value is None or value == "":
        return None
    try:
        return parse_time(str(value), last=key == "end")
    except ValueError as error:
        raise SiteError(f"{key} {str(value)[:40]!r} is no date", where, "write it as 2024-03-27") from error


def parse_time(text: str, *, last: bool) -> datetime:
    """A day or a time as UTC. last: a plain day is meant to its end, as what ends a period. Raises ValueError."""
    try:
        day = date.fromisoformat(text)
        time = datetime.combine(day, datetime.max.time() if last else datetime.min.time())
    except ValueError:
        time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a day at either end of the calendar has no place in another zone") from error
