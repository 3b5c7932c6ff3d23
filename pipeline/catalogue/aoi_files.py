"""AOI files as features: GeoJSON, GeoPackage and KML, read without trusting them.

Every reader gives features with lon/lat geometry, or raises SiteError for the file as a whole.
"""

import json
import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import geopandas
import pyogrio
import pyproj
import shapely
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from pyogrio.errors import DataLayerError, DataSourceError
from shapely.errors import ShapelyError
from shapely.geometry import Polygon, shape
from shapely.geometry.base import BaseGeometry

from pipeline.model.errors import SiteError

MAX_FILE_BYTES = 64_000_000
"""A million vertices are about 40 MB of GeoJSON; more is no list of places to watch."""
MAX_FEATURES = 20_000
MAX_RATIO = 200
"""Unpacked to packed: more is a zip bomb."""
LONLAT = 4326
"""EPSG code of what every reader gives."""
READABLE = (".geojson", ".json", ".gpkg", ".kml", ".kmz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature as the file has it. where: file and feature, for messages. geometry: lon/lat, or None."""

    where: str
    geometry: BaseGeometry | None
    properties: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


def read_features(path: Path) -> tuple[list[Feature], list[str]]:
    """The features of one file and remarks about it. Raises SiteError where the file is none of the three kinds."""
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
        if suffix == ".gpkg":
            return _geopackage(path)
        if suffix == ".kmz":
            return _kml(_unzipped(path), where)
        text = path.read_bytes()
    except OSError as fault:
        raise SiteError(f"cannot be read: {fault.strerror or fault}", where, "mend the file or its rights") from fault
    if suffix == ".kml" or text.lstrip()[:1] == b"<":
        return _kml(text, where)
    return _geojson(text, where)


def _geojson(text: bytes, where: str) -> tuple[list[Feature], list[str]]:
    try:
        whole = json.loads(text.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as fault:
        raise SiteError(f"not UTF-8 (byte {fault.start})", where, "save it as UTF-8") from fault
    except (json.JSONDecodeError, ValueError) as fault:
        raise SiteError(f"not JSON: {fault}", where, "export it as GeoJSON again") from fault
    except RecursionError as fault:
        raise SiteError("nested too deeply", where, "export it as GeoJSON again") from fault
    if not isinstance(whole, dict):
        raise SiteError("not GeoJSON: no object at the top", where, "export it as GeoJSON again")
    kind = whole.get("type")
    listed = whole.get("features") if kind == "FeatureCollection" else [whole]
    if not isinstance(listed, list) or not listed:
        raise SiteError("no features", where, "draw at least one polygon")
    if len(listed) > MAX_FEATURES:
        raise SiteError(f"{len(listed)} features", where, f"split it: at most {MAX_FEATURES} a file")
    crs, notes = _old_crs(whole, where)
    return [_feature(one, f"{where}, feature {index}", crs) for index, one in enumerate(listed, 1)], notes


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _old_crs(whole: Mapping[str, Any], where: str) -> tuple[pyproj.CRS | None, list[str]]:
    """The crs member of GeoJSON before RFC 7946, None for lon/lat."""
    member = whole.get("crs")
    if member is None:
        return None, []
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if isinstance(name, str) and name.upper().endswith(("CRS84", "EPSG::4326", "EPSG:4326")):
        return None, []
    try:
        crs = pyproj.CRS.from_user_input(str(name))
        pyproj.Transformer.from_crs(crs, LONLAT)
    except (pyproj.exceptions.ProjError, ValueError) as fault:
        raise SiteError(
            f"unknown coordinate system {str(name)[:60]!r}", where, "export it in WGS 84 lon/lat"
        ) from fault
    return crs, [f"{where}: converted from {crs.name} to lon/lat"]


def _feature(one: Any, where: str, crs: pyproj.CRS | None) -> Feature:
    if not isinstance(one, dict):
        return Feature(where=where, geometry=None, fault="not a feature")
    is_feature = one.get("type") == "Feature"
    raw = one.get("geometry") if is_feature else one
    properties = one.get("properties") if is_feature else {}
    known = dict(properties) if isinstance(properties, dict) else {}
    if is_feature and isinstance(one.get("id"), str | int) and "id" not in known:
        known["id"] = str(one["id"])
    if raw is None:
        return Feature(where=where, geometry=None, properties=known, fault="no geometry")
    try:
        geometry = shape(raw)
    except (ShapelyError, TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError) as fault:
        return Feature(where=where, geometry=None, properties=known, fault=f"geometry cannot be read: {fault}")
    return Feature(where=where, geometry=_reproject(geometry, crs), properties=known)


def _reproject(geometry: BaseGeometry, crs: pyproj.CRS | None) -> BaseGeometry:
    if crs is None or geometry.is_empty:
        return geometry
    return geopandas.GeoSeries([geometry], crs=crs).to_crs(LONLAT).iloc[0]


def _geopackage(path: Path) -> tuple[list[Feature], list[str]]:
    where = str(path)
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        if not layers:
            raise SiteError("no layer with geometry", where, "draw at least one polygon")
        info = pyogrio.read_info(path, layer=layers[0])
        if info["features"] > MAX_FEATURES:
            raise SiteError(f"{info['features']} features", where, f"split it: at most {MAX_FEATURES} a file")
        table = pyogrio.read_dataframe(path, layer=layers[0])
    except (DataSourceError, DataLayerError, UnicodeDecodeError) as fault:
        raise SiteError(f"not a GeoPackage: {fault}", where, "export it again") from fault
    if table.empty:
        raise SiteError("no features", where, "draw at least one polygon")
    if table.crs is None:
        raise SiteError("no coordinate system", where, "give the layer its CRS")
    notes = [f"{where}: only layer {layers[0]!r} of {len(layers)} was read"] if len(layers) > 1 else []
    if table.crs.to_epsg() != LONLAT:
        notes.append(f"{where}: converted from {table.crs.name} to lon/lat")
        try:
            table = table.to_crs(LONLAT)
        except pyproj.exceptions.ProjError as fault:
            what = f"coordinate system {table.crs.name[:60]!r} has no place on Earth"
            raise SiteError(what, where, "export it in WGS 84 lon/lat") from fault
    days = {name for name, kind in zip(info["fields"], info["dtypes"], strict=True) if kind == "datetime64[D]"}
    columns = [name for name in table.columns if name != table.geometry.name]
    found = []
    for index, row in enumerate(table.to_dict("records"), 1):
        known = {
            name: _plain(row[name], name in days)
            for name in columns
            if row[name] is not None and row[name] == row[name]
        }
        geometry = row[table.geometry.name]
        lack = "" if geometry is not None else "no geometry"
        found.append(Feature(where=f"{where}, feature {index}", geometry=geometry, properties=known, fault=lack))
    return found, notes


def _plain(value: Any, is_day: bool) -> Any:
    """A value of a table as GeoJSON would have it: text for a moment, and for a day without its midnight."""
    if isinstance(value, date):
        return value.isoformat()[:10] if is_day else value.isoformat()
    return value.hex() if isinstance(value, bytes) else value


def _unzipped(path: Path) -> bytes:
    where = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [info for info in archive.infolist() if info.filename.lower().endswith(".kml")]
            if not inside:
                raise SiteError("no KML inside", where, "export it from the map program again")
            member = inside[0]
            too_tight = member.file_size > MAX_RATIO * max(member.compress_size, 1)
            if member.file_size > MAX_FILE_BYTES or too_tight:
                raise SiteError(
                    f"unpacks to {member.file_size / 1e6:.0f} MB", where, "give the KML itself, under 64 MB"
                )
            return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError) as fault:
        raise SiteError(f"not a KMZ: {fault}", where, "export it from the map program again") from fault


def _kml(text: bytes, where: str) -> tuple[list[Feature], list[str]]:
    try:
        root = fromstring(text, forbid_dtd=True)
    except DefusedXmlException as fault:
        raise SiteError("XML with entities or a DTD is not read", where, "export it from the map program") from fault
    except (ParseError, UnicodeDecodeError, LookupError, ValueError) as fault:
        raise SiteError(f"not KML: {fault}", where, "export it from the map program again") from fault
    if any(_tag(element) == "NetworkLink" for element in root.iter()):
        raise SiteError("a network link", where, "save what it points to as a KML of its own")
    marks = [element for element in root.iter() if _tag(element) == "Placemark"]
    if not marks:
        raise SiteError("no features", where, "draw at least one polygon")
    return [_placemark(mark, f"{where}, placemark {index}") for index, mark in enumerate(marks, 1)], []


def _placemark(mark: Element, where: str) -> Feature:
    known: dict[str, Any] = {}
    for element in mark.iter():
        tag = _tag(element)
        if tag in ("name", "description") and element.text and tag not in known:
            known[tag] = element.text.strip()
        elif tag == "SimpleData" and element.get("name"):
            known[str(element.get("name"))] = (element.text or "").strip()
        elif tag == "Data" and element.get("name"):
            value = next((child.text for child in element if _tag(child) == "value"), "")
            known[str(element.get("name"))] = (value or "").strip()
    try:
        polygons = [_kml_polygon(element) for element in mark.iter() if _tag(element) == "Polygon"]
    except (ValueError, ShapelyError) as fault:
        return Feature(where=where, geometry=None, properties=known, fault=f"geometry cannot be read: {fault}")
    if not polygons:
        drawn = next((_tag(e) for e in mark.iter() if _tag(e) in ("Point", "LineString", "LinearRing")), "nothing")
        return Feature(where=where, geometry=None, properties=known, fault=f"{drawn} instead of a polygon")
    geometry = polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
    return Feature(where=where, geometry=geometry, properties=known)


def _kml_polygon(element: Element) -> Polygon:
    rings: dict[str, list[list[tuple[float, float]]]] = {"outerBoundaryIs": [], "innerBoundaryIs": []}
    for side in element:
        if _tag(side) in rings:
            texts = [node.text or "" for node in side.iter() if _tag(node) == "coordinates"]
            rings[_tag(side)] += [list(_coordinates(text)) for text in texts]
    if not rings["outerBoundaryIs"]:
        raise ValueError("a polygon without an outer ring")
    return Polygon(rings["outerBoundaryIs"][0], rings["innerBoundaryIs"])


def _coordinates(text: str) -> Iterator[tuple[float, float]]:
    for triple in text.split():
        lon, lat = (float(part) for part in triple.split(",")[:2])
        if not (math.isfinite(lon) and math.isfinite(lat)):
            raise ValueError(f"{triple} is no coordinate")
        yield lon, lat


def _tag(element: Element) -> str:
    return str(element.tag).rsplit("}", 1)[-1]
