"""Small maps of where a site lies: coastlines, borders and country names of Natural Earth, as SVG paths.

The data are made by docs/make_world.py.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LineString, Polygon, box
from shapely.geometry.base import BaseGeometry

UNITS = 100.0
"""The file has hundredths of a degree."""
WIDE_DEG, HIGH_DEG = 14.0, 9.0
"""What a locator shows, degrees of latitude; longitudes are stretched by the cosine of the latitude."""
MAX_LATITUDE = 80.0
WORLD_TOLERANCE_DEG = 0.35
"""Tolerance of simplified coastlines: a quarter of a pixel of the world map at 1,600 pixels."""
WORLD_MIN_AREA_DEG2 = 1.0
MIN_LABEL_SHARE = 0.03
"""Smallest share of the map at which a country is named."""


LETTER_DEG = 0.26
"""Approximate width of a letter; names that the edge of the map would cut are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locator:
    """A map in SVG coordinates of `size`. land, borders: paths; site: its point; names: (x, y, name)."""

    size: tuple[float, float]
    land: str
    borders: str
    site: tuple[float, float]
    names: tuple[tuple[float, float, str], ...]


@cache
def _read_world() -> dict[str, Any]:
    text = files("pipeline.review").joinpath("world", "world.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _to_points(flat: Sequence[int]) -> NDArray[np.float64]:
    """(point, 2) degrees."""
    return np.array(flat, np.float64).reshape(-1, 2) / UNITS


@cache
def _land_polygons() -> tuple[BaseGeometry, ...]:
    polygons = [
        Polygon(_to_points(outer), [_to_points(hole) for hole in holes]) for outer, *holes in _read_world()["land"]
    ]
    return tuple(shapely.make_valid(np.array(polygons)))


@cache
def _country_polygons() -> tuple[tuple[str, ...], tuple[BaseGeometry, ...]]:
    """Names and polygons, one of each a ring: a country has several."""
    named = [(name, Polygon(_to_points(ring))) for name, rings in _read_world()["countries"].items() for ring in rings]
    names, polygons = zip(*named, strict=True)
    return names, tuple(shapely.make_valid(np.array(polygons)))


@cache
def _border_lines() -> tuple[BaseGeometry, ...]:
    return tuple(LineString(_to_points(line)) for line in _read_world()["borders"])


@cache
def _bounds(shapes: tuple[BaseGeometry, ...]) -> NDArray[np.float64]:
    """West, south, east and north of each, four rows."""
    found: NDArray[np.float64] = shapely.bounds(np.array(shapes, object)).T
    return found


def locator_map(lon: float, lat: float) -> Locator:
    """The map around a point."""
    lat = max(-MAX_LATITUDE, min(MAX_LATITUDE, lat))
    stretch = 1 / math.cos(math.radians(lat))
    half_wide, half_high = WIDE_DEG / 2 * stretch, HIGH_DEG / 2
    frame = box(lon - half_wide, lat - half_high, lon + half_wide, lat + half_high)

    def placed(points: NDArray[Any]) -> NDArray[Any]:
        shifted: NDArray[np.float64] = (points - np.array((lon - half_wide, lat + half_high))) * np.array(
            (1 / stretch, -1.0)
        )
        return shifted

    def drawn(shapes: tuple[BaseGeometry, ...]) -> list[tuple[int, BaseGeometry]]:
        found, (left, low, right, high) = [], frame.bounds
        west, south, east, north = _bounds(shapes)
        # the map may reach over the 180th meridian
        for turn in (-360.0, 0.0, 360.0):
            near = (west + turn <= right) & (east + turn >= left) & (south <= high) & (north >= low)
            for index in np.flatnonzero(near).tolist():
                moved = shapely.transform(shapes[index], lambda points, turn=turn: points + np.array((turn, 0.0)))
                cut = shapely.clip_by_rect(moved, *frame.bounds)
                if not cut.is_empty:
                    found.append((index, shapely.transform(cut, placed)))
        return found

    names, (called, countries) = [], _country_polygons()
    for index, shape in sorted(drawn(countries), key=lambda each: called.index(called[each[0]])):
        if shape.area >= MIN_LABEL_SHARE * WIDE_DEG * HIGH_DEG:
            at = shape.representative_point()
            reach = LETTER_DEG * len(called[index]) / 2
            if reach < at.x < WIDE_DEG - reach:
                names.append((round(at.x, 2), round(at.y, 2), called[index]))
    land, borders = ([shape for _, shape in drawn(shapes)] for shapes in (_land_polygons(), _border_lines()))
    return Locator(
        size=(WIDE_DEG, HIGH_DEG), land=svg_path(land), borders=svg_path(borders),
        site=(WIDE_DEG / 2, HIGH_DEG / 2), names=tuple(names),
    )  # fmt: skip


@cache
def world_path() -> str:
    """The land of the world, longitude to the right and latitude downwards, coarse."""
    shapes = [shape.simplify(WORLD_TOLERANCE_DEG) for shape in _land_polygons() if shape.area >= WORLD_MIN_AREA_DEG2]
    return svg_path(
        [shapely.transform(shape, lambda points: points * np.array((1.0, -1.0))) for shape in shapes], digits=1
    )


def svg_path(shapes: Sequence[BaseGeometry], digits: int = 2) -> str:
    """Lines and rings as the `d` of a path."""
    parts = []
    for shape in shapes:
        for part in shapely.get_parts(shape):
            rings = [part.exterior, *part.interiors] if part.geom_type == "Polygon" else [part]
            for ring in rings:
                if ring.geom_type not in ("LinearRing", "LineString"):
                    continue
                points = [f"{round(x, digits):g} {round(y, digits):g}" for x, y in ring.coords]
                parts.append("M" + "L".join(points) + ("Z" if part.geom_type == "Polygon" else ""))
    return "".join(parts)
