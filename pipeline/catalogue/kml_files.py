"""KML and KMZ as features, without entities and network links; no part of a place is dropped."""

import lzma
import math
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import shapely
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from shapely.errors import ShapelyError
from shapely.geometry import Polygon

from pipeline.catalogue.features import MAX_FEATURES, MAX_FILE_BYTES, Feature
from pipeline.catalogue.listing import is_hidden
from pipeline.model.errors import SiteError

MAX_RATIO = 200
"""Unpacked to packed: more is a zip bomb."""
ROOT = "doc.kml"
OTHERS = ("Point", "LineString", "LinearRing", "Track", "MultiTrack", "Model")
_COMMA = re.compile(r"\s*,\s*")


def read_kmz(path: Path) -> tuple[list[Feature], list[str]]:
    """The features of every KML in an archive. Raises SiteError."""
    found: list[Feature] = []
    for name, text in _read_kmz_documents(path):
        found += read_kml(text, f"{path}/{name}" if name != ROOT else str(path))[0]
    return found, []


def _read_kmz_documents(path: Path) -> list[tuple[str, bytes]]:
    where = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [info for info in archive.infolist() if info.filename.lower().endswith(".kml")]
            inside = [info for info in inside if not is_hidden(info.filename)]
            if not inside:
                raise SiteError("no KML inside", where, "export it from the map program again")
            packed, size = (sum(getattr(info, name) for info in inside) for name in ("compress_size", "file_size"))
            if size > MAX_FILE_BYTES or size > MAX_RATIO * max(packed, 1):
                raise SiteError(f"unpacks to {size / 1e6:.0f} MB", where, "give the KML itself, under 64 MB")
            return [(info.filename, archive.read(info)) for info in sorted(inside, key=lambda info: info.filename)]
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError) as error:
        raise SiteError(f"not a KMZ: {error}", where, "export it from the map program again") from error


def read_kml(text: bytes, where: str) -> tuple[list[Feature], list[str]]:
    """The features of a KML. Raises SiteError."""
    try:
        root = fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise SiteError("XML with entities or a DTD is not read", where, "export it from the map program") from error
    except (ParseError, UnicodeDecodeError, LookupError, ValueError) as error:
        raise SiteError(f"not KML: {error}", where, "export it from the map program again") from error
    if any(_local_tag(element) == "NetworkLink" for element in root.iter()):
        raise SiteError("a network link", where, "save what it points to as a KML of its own")
    marks = [element for element in root.iter() if _local_tag(element) == "Placemark"]
    if not marks:
        raise SiteError("no features", where, "draw at least one polygon")
    if len(marks) > MAX_FEATURES:
        raise SiteError(f"{len(marks)} features", where, f"split it: at most {MAX_FEATURES} a file")
    return [_parse_placemark(mark, f"{where}, placemark {index}") for index, mark in enumerate(marks, 1)], []


def _parse_placemark(mark: Element, where: str) -> Feature:
    known: dict[str, Any] = {}
    for element in mark.iter():
        tag = _local_tag(element)
        if tag in ("name", "description") and element.text and tag not in known:
            known[tag] = element.text.strip()
        elif tag == "SimpleData" and element.get("name"):
            known[str(element.get("name"))] = (element.text or "").strip()
        elif tag == "Data" and element.get("name"):
            value = next((child.text for child in element if _local_tag(child) == "value"), "")
            known[str(element.get("name"))] = (value or "").strip()
    drawn = [each for each in mark.iter() if _local_tag(each) == "Polygon"]
    try:
        polygons = [_kml_polygon(element) for element in drawn]
    except (ValueError, ShapelyError) as error:
        return Feature(where=where, geometry=None, properties=known, error=f"geometry cannot be read: {error}")
    rings = {id(each) for polygon in drawn for each in polygon.iter()}
    others = sorted({_local_tag(each) for each in mark.iter() if _local_tag(each) in OTHERS and id(each) not in rings})
    if not polygons:
        what = f"{others[0] if others else 'nothing'} instead of a polygon"
        return Feature(where=where, geometry=None, properties=known, error=what)
    notes = (f"{where}: {', '.join(others)} beside its polygon left out",) if others else ()
    geometry = polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
    return Feature(where=where, geometry=geometry, properties=known, notes=notes)


def _kml_polygon(element: Element) -> Polygon:
    """A polygon with all its rings. Raises ValueError if it is no polygon, or if a part of it would be lost."""
    rings: dict[str, list[list[tuple[float, float]]]] = {"outerBoundaryIs": [], "innerBoundaryIs": []}
    for side in element:
        if _local_tag(side) in rings:
            texts = [node.text or "" for node in side.iter() if _local_tag(node) == "coordinates"]
            rings[_local_tag(side)] += [_parse_coordinates(text) for text in texts]
    if len(rings["outerBoundaryIs"]) != 1:
        raise ValueError(f"a polygon with {len(rings['outerBoundaryIs'])} outer rings")
    return Polygon(rings["outerBoundaryIs"][0], rings["innerBoundaryIs"])


def _parse_coordinates(text: str) -> list[tuple[float, float]]:
    """The corners of a ring, however programs set blanks and commas; none is ever left out.

    By the standard a blank stands between corners and a comma inside them. Some programs write blanks after the commas,
    some a comma between corners too. Raises ValueError if the numbers are ambiguous.
    """
    runs = [
        [_parse_number(part) for part in run.split(",")] for run in _COMMA.sub(",", text.strip().strip(",")).split()
    ]
    if any(len(run) < 2 for run in runs):
        raise ValueError("a corner with one number")
    if all(len(run) <= 3 for run in runs):
        return [(run[0], run[1]) for run in runs]
    numbers = [value for run in runs for value in run]
    fitting = [
        corners
        for size in (2, 3)
        if all(len(run) % size == 0 for run in runs)
        and (corners := list(zip(numbers[::size], numbers[1::size], strict=True)))[0] == corners[-1]
    ]
    if len(fitting) != 1:
        raise ValueError("commas between corners, so their ends are ambiguous")
    return fitting[0]


def _parse_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no coordinate")
    return value


def _local_tag(element: Element) -> str:
    return str(element.tag).rsplit("}", 1)[-1]
