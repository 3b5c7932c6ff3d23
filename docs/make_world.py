"""Make pipeline/review/world/world.json: coastlines, borders and country names from Natural Earth.

npm pack world-atlas@2.0.2 && tar xf world-atlas-2.0.2.tgz && python docs/make_world.py package
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import LineString, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

TARGET = Path(__file__).parents[1] / "pipeline" / "review" / "world" / "world.json"
TOLERANCE_DEG = 0.02
"""About 2 km, a fifth of a pixel of the locator maps."""
MIN_AREA_DEG2 = 0.002
"""Islands below about 20 square kilometres are left out."""
NAME_TOLERANCE_DEG = 0.3
"""Areas of countries serve to place names only."""
UNITS = 100
"""Coordinates are integers, hundredths of a degree."""

Line = list[tuple[float, float]]


def read_arcs(topology: dict[str, Any]) -> list[Line]:
    """The arcs of a TopoJSON file in degrees: they are stored as differences of integers."""
    (x_scale, y_scale), (x_start, y_start) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for steps in topology["arcs"]:
        x = y = 0
        arc = []
        for dx, dy in steps:
            x, y = x + dx, y + dy
            arc.append((x * x_scale + x_start, y * y_scale + y_start))
        arcs.append(arc)
    return arcs


def join(ring: Sequence[int], arcs: Sequence[Line]) -> Line:
    """A ring from the numbers of its arcs; ~n stands for arc n backwards."""
    points: Line = []
    for number in ring:
        arc = arcs[number] if number >= 0 else arcs[~number][::-1]
        points += arc[1:] if points else arc
    return points


def unwrapped(ring: Line) -> Line:
    """A ring without jumps at the 180th meridian: longitudes go on beyond it. Around the pole it is closed there."""
    points = [ring[0]]
    for lon, lat in ring[1:]:
        turns = round((points[-1][0] - lon) / 360)
        points.append((lon + 360 * turns, lat))
    if abs(points[-1][0] - points[0][0]) > 180:
        points += [(points[-1][0], -90.0), (points[0][0], -90.0), points[0]]
    return points


def within_the_map(polygon: BaseGeometry) -> Iterator[BaseGeometry]:
    """The parts of a polygon, each moved to longitudes from -180 to 180."""
    for turns in (-1, 0, 1):
        moved = shapely.transform(polygon, lambda points, turns=turns: points + np.array((360.0 * turns, 0.0)))
        yield from shapely.get_parts(shapely.clip_by_rect(moved, -180, -90, 180, 90))


def polygons_of(geometry: dict[str, Any], arcs: Sequence[Line]) -> Iterator[Polygon]:
    """The polygons of one geometry of a topology."""
    parts = {"Polygon": [geometry["arcs"]], "MultiPolygon": geometry["arcs"]}[geometry["type"]]
    for rings in parts:
        outer, *holes = [unwrapped(join(ring, arcs)) for ring in rings]
        for part in shapely.get_parts(shapely.make_valid(Polygon(outer, holes))):
            yield from within_the_map(part)


def arc_numbers(geometry: dict[str, Any]) -> Iterator[int]:
    """The numbers of all arcs of a geometry, without direction."""
    parts = {"Polygon": [geometry["arcs"]], "MultiPolygon": geometry["arcs"]}[geometry["type"]]
    for rings in parts:
        for ring in rings:
            yield from (number if number >= 0 else ~number for number in ring)


def integers(points: Any) -> list[int]:
    """x0, y0, x1, y1, …"""
    return [round(value * UNITS) for point in points for value in point]


def main(package: Path) -> None:
    """Write the file."""
    land = json.loads((package / "land-50m.json").read_text())
    arcs = read_arcs(land)
    found = [
        p for each in land["objects"]["land"]["geometries"] for p in polygons_of(each, arcs) if p.geom_type == "Polygon"
    ]
    kept = [p.simplify(TOLERANCE_DEG) for p in found if p.area >= MIN_AREA_DEG2]
    rings = [[integers(r.coords) for r in (p.exterior, *p.interiors)] for p in kept if p.geom_type == "Polygon"]

    countries = json.loads((package / "countries-50m.json").read_text())
    arcs = read_arcs(countries)
    members = countries["objects"]["countries"]["geometries"]
    # an arc of two countries is a border, an arc of one is coast
    uses = Counter(number for each in members for number in set(arc_numbers(each)))
    borders = [LineString(arcs[number]).simplify(TOLERANCE_DEG) for number, count in sorted(uses.items()) if count > 1]
    names = {}
    for each in members:
        area = MultiPolygon([p for p in polygons_of(each, arcs) if p.geom_type == "Polygon"])
        parts = [p.simplify(NAME_TOLERANCE_DEG) for p in area.geoms if p.area > 0.3] or [
            max(area.geoms, key=lambda p: p.area)
        ]
        names[each["properties"]["name"]] = [integers(p.exterior.coords) for p in parts if p.geom_type == "Polygon"]
    text = json.dumps(
        {"land": rings, "borders": [integers(line.coords) for line in borders], "countries": names},
        separators=(",", ":"),
        ensure_ascii=False,
    )
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
