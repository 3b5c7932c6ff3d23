"""Curved GeoPackage geometries as straight ones: CAD layers and QGIS' curve tools write arcs, GEOS reads none."""

import math
import struct
from collections.abc import Iterator, Sequence

import shapely
from shapely.geometry import MultiPolygon, Polygon

CIRCULAR, COMPOUND, CURVE_POLYGON, MULTI_SURFACE = 8, 9, 10, 12
"""Codes of ISO 13249-3 (SQL/MM) well-known binary; 2, 3, 6 and 7 are those of simple features."""
CURVED = frozenset({CIRCULAR, COMPOUND, CURVE_POLYGON, 11, MULTI_SURFACE})
STEP_RAD = math.radians(4)
"""Angle between two points of a straightened arc, the default of GDAL."""
MAX_DEPTH = 8
"""Nesting of parts; a curve polygon in a multi-surface has four."""

Point = tuple[float, float]


def code_of(wkb: bytes) -> int:
    """The geometry type of a WKB without its dimensions. Raises ValueError for what is too short."""
    return _Reader(wkb).head()[0]


def straighten_curves(wkb: bytes) -> MultiPolygon:
    """The polygons of a curved geometry, 2-D. Raises ValueError for a damaged one, or one without polygons."""
    try:
        polygons = [Polygon(rings[0], rings[1:]) for rings in _Reader(wkb).surfaces(0) if rings]
        return shapely.MultiPolygon(polygons)
    except (struct.error, shapely.errors.ShapelyError, IndexError) as error:
        raise ValueError(f"damaged curve: {error}") from error


class _Reader:
    def __init__(self, wkb: bytes) -> None:
        self._wkb, self._at, self._order = wkb, 0, "<"

    def head(self) -> tuple[int, int]:
        """Geometry type and number of coordinates a point."""
        try:
            self._order = "<" if self._wkb[self._at] else ">"
            (code,) = struct.unpack_from(f"{self._order}I", self._wkb, self._at + 1)
        except (IndexError, struct.error) as error:
            raise ValueError("too short for a geometry") from error
        self._at += 5
        if code & 0x20000000:
            self._at += 4
        thousand, plain = divmod(code & 0x0FFFFFFF, 1000)
        extra = bool(code & 0x80000000) + bool(code & 0x40000000) + (0, 1, 1, 2)[min(thousand, 3)]
        return plain, 2 + min(extra, 2)

    def surfaces(self, depth: int) -> Iterator[list[list[Point]]]:
        """The rings of each polygon, the outer one first."""
        code, width = self._checked(depth)
        if code in (6, 7, MULTI_SURFACE):
            for _ in range(self._count()):
                yield from self.surfaces(depth + 1)
        elif code == 3:
            yield [self._points(width) for _ in range(self._count())]
        elif code == CURVE_POLYGON:
            yield [self._line(depth + 1) for _ in range(self._count())]
        else:
            raise ValueError(f"no polygon: geometry type {code}")

    def _line(self, depth: int) -> list[Point]:
        code, width = self._checked(depth)
        if code == 2:
            return self._points(width)
        if code == CIRCULAR:
            return _straighten_arcs(self._points(width))
        if code == COMPOUND:
            whole: list[Point] = []
            for _ in range(self._count()):
                whole += self._line(depth + 1)[bool(whole) :]
            return whole
        raise ValueError(f"no line: geometry type {code}")

    def _checked(self, depth: int) -> tuple[int, int]:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        return self.head()

    def _count(self) -> int:
        (count,) = struct.unpack_from(f"{self._order}I", self._wkb, self._at)
        self._at += 4
        if count > len(self._wkb) - self._at:
            raise ValueError("more parts than bytes")
        return int(count)

    def _points(self, width: int) -> list[Point]:
        count = self._count()
        numbers = struct.unpack_from(f"{self._order}{count * width}d", self._wkb, self._at)
        self._at += 8 * len(numbers)
        return [(numbers[i], numbers[i + 1]) for i in range(0, len(numbers), width)]


def _straighten_arcs(points: Sequence[Point]) -> list[Point]:
    line = list(points[:1])
    for i in range(0, len(points) - 2, 2):
        line += _arc_points(points[i], points[i + 1], points[i + 2])
    return line


def _arc_points(start: Point, middle: Point, end: Point) -> list[Point]:
    """The points after `start` of an arc through three points; of a full circle where start and end are one."""
    (ax, ay), (bx, by), (cx, cy) = start, middle, end
    if start == end:
        x, y, turn = (ax + bx) / 2, (ay + by) / 2, 2 * math.pi
    else:
        cross = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if not math.isfinite(cross) or abs(cross) < 1e-12:
            return [middle, end]
        b, c = (bx - ax) ** 2 + (by - ay) ** 2, (cx - ax) ** 2 + (cy - ay) ** 2
        x = ax + ((cy - ay) * b - (by - ay) * c) / (2 * cross)
        y = ay + ((bx - ax) * c - (cx - ax) * b) / (2 * cross)
        turn = math.atan2(cy - y, cx - x) - math.atan2(ay - y, ax - x)
        turn += 2 * math.pi if cross > 0 and turn < 0 else -2 * math.pi if cross < 0 and turn > 0 else 0.0
    first, radius = math.atan2(ay - y, ax - x), math.hypot(ax - x, ay - y)
    steps = max(math.ceil(abs(turn) / STEP_RAD), 1)
    inner = [first + turn * step / steps for step in range(1, steps)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in inner] + [end]
