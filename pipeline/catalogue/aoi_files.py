"""AOI files as features: GeoJSON, GeoPackage and KML, read without trusting them.

Every reader gives features with lon/lat geometry, or raises SiteError for the file as a whole.
"""

import json
import sqlite3
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from pipeline.catalogue.environment import proj_hint
from pipeline.catalogue.features import MAX_FEATURES, MAX_FILE_BYTES, Feature
from pipeline.catalogue.kml_files import read_kml, read_kmz
from pipeline.formats.geojson import read_geometry
from pipeline.formats.geopackage import Layer, list_layers, open_geopackage, read_records
from pipeline.model.errors import SiteError

LONLAT = 4326
"""EPSG code of what every reader gives."""
READABLE = (".geojson", ".json", ".gpkg", ".kml", ".kmz")
UNREADABLE = (
    ".csv", ".fgb", ".gdb", ".geojsonl", ".gml", ".gpx", ".mif", ".ndjson", ".parquet", ".shp", ".tab", ".zip",
)  # fmt: skip
"""Formats of places that are not read."""
CONVERT = "convert it to GeoJSON, GPKG or KML in WGS 84 lon/lat"
_ZIP, _SQLITE = b"PK\x03\x04", b"SQLite format 3\0"
NOT_AREAL = (
    "POINT", "MULTIPOINT", "LINESTRING", "MULTILINESTRING", "CIRCULARSTRING", "COMPOUNDCURVE", "CURVE", "MULTICURVE",
)  # fmt: skip


def read_features(path: Path) -> tuple[list[Feature], list[str]]:
    """The features of one file and remarks about it. Raises SiteError for any other kind of file."""
    where = str(path)
    try:
        if not path.is_file():
            raise SiteError("no such file", where, "give a GeoJSON, GPKG or KML file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise SiteError(f"{size / 1e6:.0f} MB", where, "give a file of places to watch, under 64 MB")
        if size == 0:
            raise SiteError("the file is empty", where, "write at least one polygon into it")
        suffix = path.suffix.lower()
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
        if suffix == ".gpkg" or head == _SQLITE:
            return _read_geopackage(path)
        if suffix == ".kmz" or (head.startswith(_ZIP) and suffix in READABLE):
            return read_kmz(path)
        text = path.read_bytes()
    except OSError as error:
        raise SiteError(
            f"cannot be read: {error.strerror or error}", where, "fix the file or its permissions"
        ) from error
    is_utf16 = text.startswith((b"\xff\xfe", b"\xfe\xff"))
    if suffix in UNREADABLE or (b"\0" in text[:512] and not is_utf16):
        raise SiteError("neither GeoJSON, GPKG nor KML", where, CONVERT)
    if suffix == ".kml" or text.lstrip()[:1] == b"<":
        return read_kml(text, where)
    return _parse_geojson(text, where)


def _parse_geojson(text: bytes, where: str) -> tuple[list[Feature], list[str]]:
    try:
        whole = json.loads(text.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise SiteError(f"not UTF-8 (byte {error.start})", where, "save it as UTF-8") from error
    except (json.JSONDecodeError, ValueError) as error:
        raise SiteError(f"not JSON: {error}", where, "export it as GeoJSON again") from error
    except RecursionError as error:
        raise SiteError("nested too deeply", where, "export it as GeoJSON again") from error
    if not isinstance(whole, dict):
        raise SiteError("not GeoJSON: no object at the top", where, "export it as GeoJSON again")
    kind = whole.get("type")
    listed = whole.get("features") if kind == "FeatureCollection" else [whole]
    if not isinstance(listed, list) or not listed:
        raise SiteError("no features", where, "draw at least one polygon")
    if len(listed) > MAX_FEATURES:
        raise SiteError(f"{len(listed)} features", where, f"split it: at most {MAX_FEATURES} a file")
    crs, notes = _old_crs(whole, where)
    return [_parse_feature(one, f"{where}, feature {index}", crs) for index, one in enumerate(listed, 1)], notes


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _old_crs(whole: Mapping[str, Any], where: str) -> tuple[pyproj.CRS | None, list[str]]:
    """The crs member of GeoJSON before RFC 7946, None for lon/lat: by name, by EPSG code, or as plain text."""
    member = whole.get("crs")
    if member is None:
        return None, []
    properties = member.get("properties") if isinstance(member, dict) else None
    stated: Any = member
    if isinstance(properties, dict):
        code = properties.get("code")
        stated = properties.get("name") if code is None else f"EPSG:{str(code).upper().removeprefix('EPSG:')}"
    if not isinstance(stated, str) or not stated.strip():
        raise SiteError(f"unknown coordinate system {str(stated)[:60]!r}", where, "export it in WGS 84 lon/lat")
    if stated.upper().endswith(("CRS84", "EPSG::4326", "EPSG:4326")):
        return None, []
    crs = _parse_crs(stated, where)
    return crs, _conversion_notes(where, crs)


def _parse_feature(one: Any, where: str, crs: pyproj.CRS | None) -> Feature:
    if not isinstance(one, dict):
        return Feature(where=where, geometry=None, error="not a feature")
    is_feature = one.get("type") == "Feature"
    raw = one.get("geometry") if is_feature else one
    properties = one.get("properties") if is_feature else {}
    known = dict(properties) if isinstance(properties, dict) else {}
    if is_feature and isinstance(one.get("id"), str | int | float) and "id" not in known:
        known["id"] = one["id"]
    if raw is None:
        return Feature(where=where, geometry=None, properties=known, error="no geometry")
    try:
        geometry = read_geometry(raw)
    except ValueError as error:
        return Feature(where=where, geometry=None, properties=known, error=f"geometry cannot be read: {error}")
    return Feature(where=where, geometry=_reproject(geometry, crs), properties=known)


def _reproject(geometry: BaseGeometry, crs: pyproj.CRS | None) -> BaseGeometry:
    if crs is None or geometry.is_empty:
        return geometry
    way = _lonlat_transformer(crs)
    return shapely.transform(geometry, lambda corners: np.column_stack(way.transform(*corners.T)))


@lru_cache(maxsize=8)
def _lonlat_transformer(crs: pyproj.CRS) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(crs, LONLAT, always_xy=True)


def _read_geopackage(path: Path) -> tuple[list[Feature], list[str]]:
    """Every layer that can hold polygons; the others are named in a note."""
    where, found, notes = str(path), list[Feature](), list[str]()
    try:
        with open_geopackage(path) as db:
            every = list_layers(db)
            areal = [layer for layer in every if layer.kind not in NOT_AREAL] or every
            if sum(layer.rows for layer in areal) > MAX_FEATURES:
                total = sum(layer.rows for layer in areal)
                raise SiteError(f"{total} features", where, f"split it: at most {MAX_FEATURES} a file")
            for layer in areal:
                place = f"{where}, layer {layer.name}" if len(areal) > 1 else where
                features, remarks = _read_layer(db, layer, place)
                found, notes = found + features, notes + remarks
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise SiteError(f"not a GeoPackage that can be read: {error}", where, "export it again") from error
    if not every:
        raise SiteError("no layer with geometry", where, "draw at least one polygon")
    if not found:
        raise SiteError("no features", where, "draw at least one polygon")
    left = [layer.name for layer in every if layer not in areal]
    return found, [*notes, *([f"{where}: {', '.join(left)} hold no polygons and were left out"] if left else [])]


def _read_layer(db: sqlite3.Connection, layer: Layer, place: str) -> tuple[list[Feature], list[str]]:
    if layer.rows == 0:
        return [], []
    if layer.crs is None:
        raise SiteError("no coordinate system", place, "give the layer its CRS")
    crs = _parse_crs(layer.crs, place)
    found = []
    for index, row in enumerate(read_records(db, layer), 1):
        known = {name: value.hex() if isinstance(value, bytes) else value for name, value in row.values.items()}
        lack = row.error or ("" if row.geometry is not None else "no geometry")
        geometry = None if row.geometry is None else _reproject(row.geometry, crs)
        found.append(Feature(where=f"{place}, feature {index}", geometry=geometry, properties=known, error=lack))
    return found, _conversion_notes(place, crs)


def _parse_crs(stated: object, where: str) -> pyproj.CRS | None:
    """A coordinate system, None for lon/lat. Raises SiteError where it is unknown or has no place on Earth."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PROJ understands old spellings, as +init=, and deprecates them
            crs = pyproj.CRS.from_user_input(stated)
            if crs.to_epsg() == LONLAT:
                return None
            pyproj.Transformer.from_crs(crs, LONLAT)
    except (pyproj.exceptions.ProjError, ValueError, TypeError) as error:
        hint = proj_hint()
        what = f"unknown coordinate system {str(stated)[:60]!r}"
        raise SiteError(what, where, hint or "export it in WGS 84 lon/lat") from error
    return crs


def _conversion_notes(where: str, crs: pyproj.CRS | None) -> list[str]:
    return [] if crs is None else [f"{where}: converted from {crs.name} to lon/lat"]
