"""Geometries of GeoJSON, whatever stands in them besides what is needed: heights, measures, empty rings."""

from collections.abc import Mapping
from typing import Any

import shapely
from shapely.errors import ShapelyError
from shapely.geometry import MultiPolygon, Polygon, shape
from shapely.geometry.base import BaseGeometry

_LEVELS = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
"""Lists around a position."""
_POLYGONS = ("Polygon", "MultiPolygon")


def read_geometry(raw: object) -> BaseGeometry:
    """A geometry of GeoJSON, 2-D, a collection of any depth as one. Raises ValueError for any other value.

    A position may have more numbers than two (RFC 7946, 3.1.1), and not every one as many.
    """
    try:
        return without_empty_rings(shape(_to_2d(raw)))
    except ShapelyError as error:
        raise ValueError(str(error)) from error
    except (TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError("it is not that of GeoJSON") from error


def without_empty_rings(geometry: BaseGeometry) -> BaseGeometry:
    """A geometry without the holes that have no corner: not every library takes them."""
    if geometry.geom_type not in _POLYGONS or not shapely.is_empty(shapely.get_rings(geometry)).any():
        return geometry
    parts = [
        Polygon(part.exterior, [hole for hole in part.interiors if not hole.is_empty])
        for part in shapely.get_parts(geometry)
        if not part.is_empty
    ]
    return parts[0] if len(parts) == 1 and geometry.geom_type == "Polygon" else MultiPolygon(parts)


def _to_2d(raw: object) -> object:
    """The same with two numbers a position."""
    if not isinstance(raw, Mapping):
        return raw
    kind = raw.get("type")
    if kind == "GeometryCollection":
        return {"type": kind, "geometries": [each for part in raw["geometries"] for each in _collection_members(part)]}
    level = _LEVELS.get(str(kind))
    if level is None:
        return raw
    parts = raw["coordinates"]
    if kind == "MultiPolygon":
        parts = [part for part in parts if part and part[0]]
    return {"type": kind, "coordinates": _cut_positions(parts, level)}


def _collection_members(part: Any) -> list[object]:
    """The geometries of a collection, those of collections inside it too."""
    if part["type"] == "GeometryCollection":
        return [each for inner in part["geometries"] for each in _collection_members(inner)]
    return [_to_2d(part)]


def _cut_positions(value: Any, level: int) -> Any:
    return value[:2] if level == 0 else [_cut_positions(each, level - 1) for each in value]
