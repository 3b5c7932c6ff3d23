"""Geometries as GeoPackage stores them, and the SQL functions that GDAL's triggers expect of whoever writes."""

import hashlib
import sqlite3
import struct

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

DECIMALS = 2
"""Centimetres: beyond them machines with other numbers of cores differ, and no ten-metre pixel knows."""
_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
"""Length of the envelope by the header's code (GeoPackage 1.3, 2.1.3)."""


def encode(geometry: BaseGeometry, srs: int) -> bytes:
    """Blob of a polygon or multipolygon: header, envelope (min x, max x, min y, max y), little-endian WKB.

    Coordinates in metres are rounded to centimetres. The same geometry gives the same bytes; a MultiPolygon is
    written throughout, as the columns are typed.
    """
    polygons = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]
    many = shapely.transform(shapely.MultiPolygon(polygons), lambda points: np.round(points, DECIMALS))
    left, bottom, right, top = many.bounds
    body: bytes = shapely.to_wkb(many, byte_order=1)
    return b"GP\x00\x03" + struct.pack("<i4d", srs, left, right, bottom, top) + body


def decode(blob: bytes) -> BaseGeometry:
    """The geometry of a blob, whoever wrote it."""
    return shapely.from_wkb(bytes(blob[8 + _ENVELOPE_BYTES[(blob[3] >> 1) & 7] :]))


def ground(blob: bytes) -> BaseGeometry:
    """The ground that a blob covers, fit to be intersected, as an outline that an analyst drew across itself is not."""
    return shapely.make_valid(decode(blob))


def digest(blob: bytes) -> str:
    """16 hex digits that tell whether an outline is still the one that was written."""
    return hashlib.sha256(bytes(blob)).hexdigest()[:16]


def register(db: sqlite3.Connection) -> None:
    """Give a connection the ST_ functions; without them every UPDATE of a spatial table fails, even of text alone."""
    for name, index in (("ST_MinX", 0), ("ST_MinY", 1), ("ST_MaxX", 2), ("ST_MaxY", 3)):
        db.create_function(name, 1, lambda blob, i=index: None if blob is None else decode(blob).bounds[i])
    db.create_function("ST_IsEmpty", 1, lambda blob: None if blob is None else (blob[3] >> 4) & 1)
