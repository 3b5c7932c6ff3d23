"""Outlines for GeoJSON: longitude and latitude, counter-clockwise, cut at the antimeridian."""

from collections.abc import Iterator

import shapely
from odc.geo.geom import Geometry
from shapely import affinity
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

DECIMALS = 7
"""A centimetre."""
Bounds = tuple[float, float, float, float]


def to_lonlat(outline: BaseGeometry, crs: str) -> Polygon | MultiPolygon:
    """RFC 7946: WGS 84, outer rings counter-clockwise, nothing across the antimeridian."""
    # an outline that an analyst drew may cross itself
    found = Geometry(outline if outline.is_valid else shapely.make_valid(outline), crs).to_crs("EPSG:4326").geom
    left, _, right, _ = found.bounds
    if right - left > 180:
        found = _cut_at_antimeridian(found)
    rounded = shapely.transform(found, lambda points: points.round(DECIMALS))
    parts = [shapely.geometry.polygon.orient(part) for part in _polygons_of(rounded) if part.area > 0]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _polygons_of(shape: BaseGeometry) -> Iterator[Polygon]:
    """The polygons in a geometry of any type; lines and points are left out."""
    for part in shapely.get_parts(shape):
        if part.geom_type == "Polygon":
            yield part
        elif part.geom_type == "MultiPolygon":
            yield from _polygons_of(part)


def lonlat_bounds(shape: BaseGeometry) -> Bounds:
    """West, south, east, north; west > east where the shape lies on both sides of the antimeridian."""
    west, south, east, north = (float(edge) for edge in shape.bounds)
    if east - west <= 180:
        return west, south, east, north
    parts = [part.bounds for part in shapely.get_parts(shape)]
    return min(b[0] for b in parts if b[0] > 0), south, max(b[2] for b in parts if b[2] < 0), north


def _cut_at_antimeridian(shape: BaseGeometry) -> BaseGeometry:
    """A shape whose longitudes jump from 180 to -180, as pieces on either side."""
    whole = shapely.transform(shape, lambda points: points + (points[:, :1] < 0) * [360.0, 0.0])
    east = whole.intersection(box(0, -90, 180, 90))
    west = affinity.translate(whole.intersection(box(180, -90, 540, 90)), xoff=-360)
    return MultiPolygon([part for part in (*shapely.get_parts(east), *shapely.get_parts(west))
                         if part.geom_type == "Polygon"])  # fmt: skip
