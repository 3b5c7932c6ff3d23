"""Geometries as GeoPackage stores them, and the SQL functions that GDAL's triggers expect of a writer."""

import hashlib
import sqlite3
import struct
from contextlib import suppress

import numpy as np
import shapely
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from pipeline.formats.geojson import without_empty_rings
from pipeline.review.arcs import CURVED, code_of, straighten_curves

DECIMALS = 2
"""Decimals of a coordinate in metres: finer digits differ between machines and mean nothing for 10 m pixels."""
_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
"""Length of the envelope by the header's code (GeoPackage 1.3, 2.1.3)."""
_FARTHEST = 1e9
"""Largest coordinate that is taken for one, in any CRS: the circumference of the Earth is 4e7 m."""


def encode_geometry(geometry: BaseGeometry, srs: int) -> bytes:
    """Blob of a polygon or multipolygon: header, envelope (min x, max x, min y, max y), little-endian WKB.

    Coordinates in metres are rounded to centimetres. The same geometry gives the same bytes; a MultiPolygon is
    written throughout, as the columns are typed.
    """
    polygons = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]
    many = shapely.transform(shapely.MultiPolygon(polygons), lambda points: np.round(points, DECIMALS))
    left, bottom, right, top = many.bounds
    body: bytes = shapely.to_wkb(many, byte_order=1)
    return b"GP\x00\x03" + struct.pack("<i4d", srs, left, right, bottom, top) + body


def decode_geometry(blob: object) -> BaseGeometry:
    """The geometry of a blob, 2-D, arcs straightened. Raises ValueError if it cannot be decoded."""
    if not isinstance(blob, bytes):
        raise ValueError("no geometry")
    if blob[:2] != b"GP" or len(blob) < 8 or (blob[3] >> 1) & 7 >= len(_ENVELOPE_BYTES):
        raise ValueError("damaged geometry")
    wkb = blob[8 + _ENVELOPE_BYTES[(blob[3] >> 1) & 7] :]
    try:
        geometry = straighten_curves(wkb) if code_of(wkb) in CURVED else shapely.force_2d(shapely.from_wkb(wkb))
    except (ShapelyError, NotImplementedError, RecursionError) as error:
        raise ValueError("damaged geometry") from error
    geometry = without_empty_rings(geometry)
    points = shapely.get_coordinates(geometry)
    if not np.isfinite(points).all() or (np.abs(points) > _FARTHEST).any():
        raise ValueError("coordinates that are no numbers")
    return geometry


def decode_polygons(blob: object) -> BaseGeometry:
    """The polygons of a blob as they were drawn. Raises ValueError, naming what it is, where there are none."""
    geometry = decode_geometry(blob)
    if geometry.is_empty:
        raise ValueError("empty geometry")
    parts = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon" and not part.is_empty]
    if not parts:
        raise ValueError(f"no polygon but a {geometry.geom_type}")
    return parts[0] if len(parts) == 1 and geometry.geom_type == "Polygon" else shapely.MultiPolygon(parts)


def decode_ground(blob: object) -> BaseGeometry:
    """The ground that a blob covers, valid although an analyst drew an outline across itself.

    Raises ValueError where it covers none.
    """
    valid = shapely.make_valid(decode_polygons(blob))
    if not valid.area > 0:
        raise ValueError("an outline without area")
    return valid


def covers_ground(blob: object) -> bool:
    """Whether a blob has an outline that covers ground."""
    try:
        return bool(decode_ground(blob).area)
    except ValueError:
        return False


def geometry_digest(blob: object) -> str:
    """16 hex digits that change with an outline, and not with how another program has stored it."""
    if not isinstance(blob, bytes):
        return ""
    with suppress(ValueError):  # what is no outline has the digest of its bytes
        blob = encode_geometry(decode_polygons(blob), srs_of(blob) or 0)
    return hashlib.sha256(blob).hexdigest()[:16]


def srs_of(blob: object) -> int | None:
    """The id of the coordinate system in the header of a blob, None where it has none."""
    if not isinstance(blob, bytes) or len(blob) < 8 or blob[:2] != b"GP":
        return None
    return int.from_bytes(blob[4:8], "little" if blob[3] & 1 else "big", signed=True)


def register_functions(db: sqlite3.Connection) -> None:
    """Register the ST_ functions on a connection; without them every UPDATE of a spatial table fails."""
    for name, index in (("ST_MinX", 0), ("ST_MinY", 1), ("ST_MaxX", 2), ("ST_MaxY", 3)):
        db.create_function(name, 1, lambda blob, i=index: _envelope_bound(blob, i))
    db.create_function("ST_IsEmpty", 1, _is_empty)


def _envelope_bound(blob: object, index: int) -> float | None:
    try:
        return float(decode_geometry(blob).bounds[index])
    except (ValueError, IndexError):
        return None


def _is_empty(blob: object) -> int | None:
    """Whether a geometry is empty; an unreadable one counts as empty, so that no trigger indexes it."""
    try:
        return None if blob is None else int(decode_geometry(blob).is_empty)
    except ValueError:
        return 1
