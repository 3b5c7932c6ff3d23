"""WKB of any kind as flat polygons made of straight lines.

shapely reads no curved geometry. The arcs of a curve polygon are cut into chords here; everything else goes to shapely.
"""

import math
import struct
from collections.abc import Iterator

import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

CHORD_RAD = math.radians(4)
"""Angle of one chord of an arc, as OGR takes it."""
MAX_DEPTH = 8
_LINE, _POLYGON, _COLLECTION, _CIRCULAR, _COMPOUND, _CURVE_POLYGON, _MULTI_SURFACE = 2, 3, 7, 8, 9, 10, 12
_CURVED = (_CIRCULAR, _COMPOUND, _CURVE_POLYGON, 11, _MULTI_SURFACE)
Point = tuple[float, float]


def flatten_curves(wkb: bytes) -> BaseGeometry:
    """The geometry of a WKB, 2-D, with arcs as chords. Raises ValueError or shapely's errors if it is damaged."""
    try:
        return shapely.force_2d(shapely.from_wkb(wkb))
    except NotImplementedError:
        try:
            return _read_geometry(_Bytes(wkb), 0)
        except (ArithmeticError, struct.error) as error:
            raise ValueError("corners beyond any place") from error


class _Bytes:
    """WKB with a place in it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.order = data, 0, "<"

    def take(self, form: str) -> tuple[float, ...]:
        """The next numbers. Raises ValueError where the bytes end."""
        size = struct.calcsize(self.order + form)
        if self.at + size > len(self.data):
            raise ValueError("WKB ends early")
        found = struct.unpack_from(self.order + form, self.data, self.at)
        self.at += size
        return found

    def header(self) -> tuple[int, int]:
        """(kind, numbers a corner) of the geometry that begins here."""
        (mark,) = self.take("B")
        self.order = "<" if mark == 1 else ">"
        (code,) = self.take("I")
        code = int(code)
        extra = bool(code & 0x80000000) + bool(code & 0x40000000)
        if code & 0x20000000:
            self.take("I")  # an EWKB carries its CRS
        kind = code & 0x0FFFFFFF
        return kind % 1000, 2 + extra + (0, 1, 1, 2)[min(kind // 1000, 3)]

    def count(self, least: int) -> int:
        """The number of parts that follow, each of a least size in bytes. Raises ValueError if they do not fit."""
        (count,) = self.take("I")
        if count * least > len(self.data) - self.at:
            raise ValueError("WKB states more parts than it holds")
        return int(count)

    def points(self, size: int) -> list[Point]:
        """A run of corners, without heights and measures."""
        values = [self.take(f"{size}d") for _ in range(self.count(8 * size))]
        if not all(math.isfinite(value) for each in values for value in each[:2]):
            raise ValueError("a corner that is no number")
        return [(each[0], each[1]) for each in values]


def _read_geometry(source: _Bytes, depth: int) -> BaseGeometry:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    kind, size = source.header()
    if kind == _POLYGON:
        return _make_polygon([source.points(size) for _ in range(source.count(4))])
    if kind == _CURVE_POLYGON:
        return _make_polygon([_read_ring(source, depth) for _ in range(source.count(9))])
    if kind in (_MULTI_SURFACE, _COLLECTION, 6):
        parts = [_read_geometry(source, depth + 1) for _ in range(source.count(9))]
        return MultiPolygon([part for each in parts for part in shapely.get_parts(each)])
    raise ValueError("a curve instead of a polygon")


def _read_ring(source: _Bytes, depth: int) -> list[Point]:
    """The corners of a line, an arc string or a chain of both."""
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    kind, size = source.header()
    if kind == _LINE:
        return source.points(size)
    if kind == _CIRCULAR:
        return list(_arc_chords(source.points(size)))
    if kind == _COMPOUND:
        ring: list[Point] = []
        for _ in range(source.count(9)):
            part = _read_ring(source, depth + 1)
            ring += part[1:] if ring and part and part[0] == ring[-1] else part
        return ring
    raise ValueError(f"a ring of WKB type {kind}")


def _arc_chords(points: list[Point]) -> Iterator[Point]:
    if len(points) < 3 or len(points) % 2 == 0:
        raise ValueError("an arc with too few points")
    yield points[0]
    for index in range(0, len(points) - 2, 2):
        yield from _chord_points(*points[index : index + 3])


def _chord_points(start: Point, through: Point, end: Point) -> Iterator[Point]:
    """Points after the start, along the circle through three points; the first and the last alike are a full circle."""
    (ax, ay), (bx, by), (cx, cy) = start, through, end
    if start == end:
        centre, turn = ((ax + bx) / 2, (ay + by) / 2), math.tau
    else:
        d = 2 * (ax * (by - cy) + bx * (cy - ay) + cx * (ay - by))
        if not abs(d) > 1e-12 * max(abs(bx - ax), abs(by - ay), abs(cx - ax), abs(cy - ay)) ** 2:
            yield from (through, end)
            return
        a, b, c = ax * ax + ay * ay, bx * bx + by * by, cx * cx + cy * cy
        centre = (
            (a * (by - cy) + b * (cy - ay) + c * (ay - by)) / d,
            (a * (cx - bx) + b * (ax - cx) + c * (bx - ax)) / d,
        )
        turn = _turn_angle(centre, start, end, forward=(bx - ax) * (cy - ay) - (by - ay) * (cx - ax) > 0)
    first, radius = math.atan2(ay - centre[1], ax - centre[0]), math.hypot(ax - centre[0], ay - centre[1])
    chords = max(2, math.ceil(abs(turn) / CHORD_RAD))
    for step in range(1, chords):
        angle = first + turn * step / chords
        yield centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)
    yield end


def _turn_angle(centre: Point, start: Point, end: Point, *, forward: bool) -> float:
    """Angle from start to end, counter-clockwise where `forward`."""
    angle = math.atan2(end[1] - centre[1], end[0] - centre[0]) - math.atan2(start[1] - centre[1], start[0] - centre[0])
    return angle % math.tau if forward else -(-angle % math.tau)


def _make_polygon(rings: list[list[Point]]) -> Polygon:
    return Polygon(rings[0], rings[1:]) if rings and rings[0] else Polygon()
