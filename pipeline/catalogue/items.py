"""Parse a STAC item of any provider once into a Product; no later code reads the JSON."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from shapely import force_2d, get_coordinates, make_valid
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from pipeline.catalogue.assets import check_scale, pick_bands, pick_scl, stated_crs
from pipeline.catalogue.declared_offsets import declared_offset
from pipeline.catalogue.hrefs import AllowList, host_of
from pipeline.catalogue.product import (
    FIRST_SCENE,
    UNKNOWN_BASELINES,
    Product,
    ProductName,
    datatake_key,
    is_safe_id,
    normal_baseline,
    normal_tile,
    parse_name,
    parse_number,
    parse_time,
    strip_start,
)
from pipeline.catalogue.providers import Provider, recognise_provider
from pipeline.formats.geojson import read_geometry
from pipeline.model.errors import CatalogueError
from pipeline.model.imagery import Granule, Level
from pipeline.model.unexpected_errors import UNEXPECTED_ERRORS

_REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9]*://[A-Za-z0-9._-]+(?:[:/]|$)")
_OTHER_SATELLITE = re.compile(
    r"landsat|l[ceot]0\d|sentinel[ _-]?[13456]|s[13][ab]\b|modis|terra\b|aqua\b|planet|skysat|worldview|pleiades|spot",
    re.IGNORECASE,
)
FIX = "fix the item, or remove it from the catalogue"


def parse_item(raw: Mapping[str, Any], allowed: AllowList) -> Product:
    """An item's JSON as a Product. Raises CatalogueError naming item and field."""
    id = raw.get("id")
    if not isinstance(id, str) or not is_safe_id(id):
        fix = "give it an id without parts of a path, of at most 200 letters"
        raise CatalogueError(f"item id {str(id)[:60]!r} is no plain name", allowed.base, fix)
    where = f"item {id}"
    properties = _require_mapping(raw.get("properties"), "properties", where)
    assets = _require_mapping(raw.get("assets"), "assets", where)
    _check_platform(properties, where)
    check_scale(properties, where)
    collection = raw.get("collection") if isinstance(raw.get("collection"), str) else None
    row = recognise_provider(collection, properties, _asset_hosts(assets))
    name = _product_name(id, properties)
    level = _processing_level(properties, name, row, where)
    bands = pick_bands(assets, row, allowed, where)
    time = _acquisition_time(properties, where)
    baseline = _processing_baseline(properties, name)
    granule = Granule(
        id=id,
        tile=_mgrs_tile(properties) or (name.tile if name else None),
        baseline=baseline,
        generated=_generation_time(properties, name),
        declared_offset=declared_offset(row, properties, bands, baseline, time),
        assets={band: asset.href for band, asset in bands.items()},
        scl=pick_scl(assets, row, allowed, where) if level is Level.L2A else None,
        crs=stated_crs(properties, [asset.raw for asset in bands.values()], where),
        footprint=_read_footprint(raw, where),
        href=_self_href(raw),
    )
    return Product(
        granule=granule,
        provider=row.name,
        time=time,
        level=level,
        collection=collection or "",
        datatake=_datatake_id(properties, name),
        strip=strip_start(str(_first_value(properties, "s2:datastrip_id", "eopf:datastrip_id") or "")),
        platform=_platform_name(properties, name),
        relative_orbit=_relative_orbit(properties, name),
        sun=_sun_angles(properties),
        cloud_percent=parse_number(properties.get("eo:cloud_cover"), 0, 100),
        nodata_percent=parse_number(properties.get("s2:nodata_pixel_percentage"), 0, 100),
    )


def _require_mapping(value: object, field: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CatalogueError(f"{field} is {'missing' if value is None else type(value).__name__}", where, FIX)
    return value


def _asset_hosts(assets: Mapping[str, Any]) -> frozenset[str]:
    hrefs = [str(asset.get("href", "")) for asset in assets.values() if isinstance(asset, Mapping)]
    return frozenset(host_of(href) for href in hrefs if _REMOTE.match(href)) - {""}


def _first_value(properties: Mapping[str, Any], *names: str) -> Any:
    return next((properties[name] for name in names if properties.get(name) is not None), None)


def _product_name(id: str, properties: Mapping[str, Any]) -> ProductName | None:
    for text in (_first_value(properties, "s2:product_uri", "sentinel:product_id", "s2:product_id"), id):
        name = parse_name(str(text)) if text is not None else None
        if name is not None:
            return name
    return None


def _processing_level(properties: Mapping[str, Any], name: ProductName | None, row: Provider, where: str) -> Level:
    stated = _first_value(properties, "s2:product_type", "product:type")
    by_type = {"S2MSI2A": Level.L2A, "S2MSI1C": Level.L1C}.get(str(stated).upper())
    found = {level for level in (by_type, name.level if name else None) if level is not None}
    if row.collections:
        found.add(row.level)
    if len(found) > 1:
        what = f"its metadata say {' and '.join(sorted(found))} at once"
        raise CatalogueError(what, where, "drop the item: it was filed in the wrong collection")
    return found.pop() if found else row.level


def _check_platform(properties: Mapping[str, Any], where: str) -> None:
    """Raise CatalogueError for an item of another satellite: its pixels would be taken for those of Sentinel-2."""
    for field in ("platform", "constellation"):
        stated = properties.get(field)
        if isinstance(stated, str) and _OTHER_SATELLITE.match(stated.strip()):
            raise CatalogueError(
                f"{field} is {stated[:40]!r}, not Sentinel-2", where, "name a collection of Sentinel-2"
            )


def _processing_baseline(properties: Mapping[str, Any], name: ProductName | None) -> str | None:
    """The processing baseline: the first field that has one, else that of the product's name."""
    for field in ("s2:processing_baseline", "processing:version", "sentinel:processing_baseline"):
        stated = str(properties.get(field)).strip()
        if stated in UNKNOWN_BASELINES:
            return None
        if found := normal_baseline(stated):
            return found
    return name.baseline if name else None


def _acquisition_time(properties: Mapping[str, Any], where: str) -> datetime:
    """The time of acquisition, of the first field that has one."""
    found = (_parse_time(properties.get(field)) for field in ("datetime", "start_datetime"))
    time = next((moment for moment in found if moment is not None), None)
    if time is None:
        raise CatalogueError(f"datetime is {str(properties.get('datetime'))[:40]!r}", where, FIX)
    if time < FIRST_SCENE:
        raise CatalogueError(f"datetime is {time:%Y-%m-%d}, before the launch of Sentinel-2", where, FIX)
    return time


def _generation_time(properties: Mapping[str, Any], name: ProductName | None) -> datetime | None:
    """When the product was made, None if no readable field says."""
    made = _parse_time(_first_value(properties, "s2:generation_time", "processing:datetime"))
    if made is None and name is not None:
        return name.generated
    return made or _parse_time(properties.get("updated")) or _parse_time(properties.get("created"))


def _parse_time(value: object) -> datetime | None:
    try:
        return parse_time(str(value))
    except (ValueError, OverflowError):
        return None


def _mgrs_tile(properties: Mapping[str, Any]) -> str | None:
    whole = _first_value(properties, "grid:code", "s2:mgrs_tile")
    if whole is not None and normal_tile(str(whole)):
        return normal_tile(str(whole))
    for prefix in ("mgrs", "sentinel"):
        parts = [properties.get(f"{prefix}:{part}") for part in ("utm_zone", "latitude_band", "grid_square")]
        if None not in parts:
            return normal_tile("".join(str(part) for part in parts))
    return None


def _datatake_id(properties: Mapping[str, Any], name: ProductName | None) -> str | None:
    stated = _first_value(properties, "s2:datatake_id", "eopf:datatake_id")
    key = datatake_key(str(stated)) if stated is not None else None
    return key or (f"{name.platform}_{name.start:%Y%m%dT%H%M%S}" if name else None)


def _platform_name(properties: Mapping[str, Any], name: ProductName | None) -> str | None:
    stated = properties.get("platform")
    return str(stated).lower() if stated else (f"sentinel-{name.platform[1:].lower()}" if name else None)


def _relative_orbit(properties: Mapping[str, Any], name: ProductName | None) -> int | None:
    stated = parse_number(properties.get("sat:relative_orbit"), 1, 143)
    if stated is not None and stated == int(stated):
        return int(stated)
    return name.orbit if name else None


def _sun_angles(properties: Mapping[str, Any]) -> tuple[float, float] | None:
    azimuth = parse_number(_first_value(properties, "view:sun_azimuth", "s2:mean_solar_azimuth"), -360, 360)
    elevation = parse_number(properties.get("view:sun_elevation"), -90, 90)
    zenith = parse_number(properties.get("s2:mean_solar_zenith"), 0, 180) if elevation is None else 90 - elevation
    return None if azimuth is None or zenith is None else (zenith, azimuth)


def _self_href(raw: Mapping[str, Any]) -> str | None:
    """The item's own address on a server, without a query: a signature in it would be a secret."""
    links = raw.get("links")
    for link in links if isinstance(links, list) else ():
        href = link.get("href") if isinstance(link, dict) and link.get("rel") == "self" else None
        if isinstance(href, str) and href.startswith(("https://", "http://")):
            return href.partition("?")[0]
    return None


def _read_footprint(raw: Mapping[str, Any], where: str) -> BaseGeometry:
    """The item's polygon, made valid; one that crosses the antimeridian is cut in two there."""
    geometry, bbox = raw.get("geometry"), raw.get("bbox")
    try:
        if geometry is not None and not _is_blank(geometry):
            with np.errstate(invalid="ignore"):  # corners that are not numbers are reported below
                found = read_geometry(geometry)
        elif isinstance(bbox, list) and len(bbox) in (4, 6):
            west, south, east, north = (float(bbox[i]) for i in ((0, 1, 2, 3) if len(bbox) == 4 else (0, 1, 3, 4)))
            found = box(west, south, east if east >= west else east + 360, north)
        else:
            raise CatalogueError("neither geometry nor bbox", where, FIX)
        return extract_polygons(found, where)
    except UNEXPECTED_ERRORS as error:
        raise CatalogueError(f"geometry cannot be read: {str(error)[:80]}", where, FIX) from error


def _is_blank(geometry: object) -> bool:
    """Whether a geometry is empty: {}, or one without coordinates."""
    return isinstance(geometry, Mapping) and not geometry.get("coordinates") and not geometry.get("geometries")


def extract_polygons(found: BaseGeometry, where: str) -> BaseGeometry:
    """The polygons of a lon/lat geometry, 2-D, valid, within -180..180. Raises CatalogueError if nothing is left.

    Every footprint of a catalogue or product comes through here.
    """
    found = force_2d(found)
    if not np.isfinite(get_coordinates(found)).all():
        raise CatalogueError("geometry has corners that are no numbers", where, FIX)
    west, south, east, north = found.bounds if not found.is_empty else (0.0, 0.0, 0.0, 0.0)
    if not (-540 <= west <= east <= 540 and -90.01 <= south <= north <= 90.01):
        raise CatalogueError(
            f"geometry spans {west:g} {south:g} {east:g} {north:g}", where, "give it in lon/lat degrees"
        )
    parts, valid = [], make_valid(_unwrap_antimeridian(found))
    for part in getattr(valid, "geoms", None) or [valid]:
        if isinstance(part, Polygon | MultiPolygon) and part.area > 0:
            turns = [turn for turn in (-360, 0, 360) if part.bounds[0] + turn < 180 and part.bounds[2] + turn > -180]
            for turn in turns:
                kept = (translate(part, turn) if turn else part).intersection(box(-180, -90, 180, 90))
                if kept.area > 0:
                    parts.append(kept)
    if not parts:
        raise CatalogueError("geometry has no area", where, FIX)
    return unary_union(parts)


def _unwrap_antimeridian(found: BaseGeometry) -> BaseGeometry:
    """A single ring wider than half the globe crosses the antimeridian: its western half is moved east."""
    if not isinstance(found, Polygon) or found.bounds[2] - found.bounds[0] <= 180:
        return found
    return Polygon([(point[0] + 360 if point[0] < 0 else point[0], point[1]) for point in found.exterior.coords])
