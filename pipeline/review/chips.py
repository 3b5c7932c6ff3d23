"""Small pictures of an alert: true colour around its outline."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image, ImageDraw
from shapely.geometry import MultiPolygon, Polygon

from pipeline.model.bands import VISIBLE
from pipeline.model.imagery import Look
from pipeline.review.canvas import CASING, load_font
from pipeline.review.stretch import Stretch

CONTEXT_PX = 12
"""Ground shown around an outline on each side, pixels."""
MIN_HALF_PX, MAX_HALF_PX = 18, 90
OUTLINE, INK = (255, 217, 47), (34, 34, 34)
CORNER_PX = 2.0
"""Distance of the corner marks from the outline, ground pixels: a mark must not cover what it points at."""
PAIR_PX = 240
"""Side of each half of a pair picture in pixels: the size of a map tip."""
FOOT_PX = 14
"""Height of the credit line in pixels."""

Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A square part of the grid around an outline; `grid` is that part."""

    rows: slice
    cols: slice
    grid: GeoBox


def window_around(outline: Polygon | MultiPolygon, grid: GeoBox) -> Window:
    """The part of the grid that shows an outline with its surroundings, cut at the edges of the grid."""
    left, bottom, right, top = outline.bounds
    inverse = ~grid.affine
    col0, row0 = inverse @ (left, top)
    col1, row1 = inverse @ (right, bottom)
    half = max(row1 - row0, col1 - col0) / 2 + CONTEXT_PX
    half = min(max(half, MIN_HALF_PX), MAX_HALF_PX)
    row, col = (row0 + row1) / 2, (col0 + col1) / 2
    rows = slice(max(int(row - half), 0), min(int(row + half) + 1, grid.shape[0]))
    cols = slice(max(int(col - half), 0), min(int(col + half) + 1, grid.shape[1]))
    return Window(rows=rows, cols=cols, grid=grid[rows, cols])


def true_colour(look: Look, part: Window) -> Picture:
    """(row, col, 3) reflectance, red, green, blue; grey from the first band where the visible ones are missing."""
    bands = [band for band in VISIBLE if band in look.bands]
    if len(bands) < len(VISIBLE):
        bands = [look.bands[0]] * 3
    return np.stack([look.reflectance[look.bands.index(band), part.rows, part.cols] for band in bands], axis=-1)


def write_pair(
    path: Path, outline: Polygon | MultiPolygon, before: Look, after: Look, tone: Stretch, credit: str
) -> None:
    """Write the picture of map tips, feeds and maps: before beside after, with dates and credit."""
    part = window_around(outline, before.grid)
    halves = []
    for look in (before, after):
        half = _enlarge(tone.rendered(true_colour(look, part)))
        image = Image.fromarray(half)
        draw = ImageDraw.Draw(image)
        times = half.shape[1] / part.grid.shape[1]
        for box in outline_boxes(outline, part):
            for line in corner_marks(*box):
                points = [(x * times, y * times) for x, y in line]
                draw.line(points, CASING, 4)
                draw.line(points, OUTLINE, 2)
        draw.text((5, 4), f"{look.time:%Y-%m-%d}", "white", load_font(8), stroke_width=2, stroke_fill=CASING)
        halves.append(np.asarray(image))
    gap = np.full((halves[0].shape[0], 6, 3), 255, np.uint8)
    pair = np.concatenate([halves[0], gap, halves[1]], axis=1)
    image = Image.fromarray(np.pad(pair, ((0, FOOT_PX), (0, 0), (0, 0)), constant_values=255))
    ImageDraw.Draw(image).text((3, pair.shape[0] + 2), credit, INK, load_font(5.5))
    image.save(path, "png")


def _enlarge(shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
    times = max(1, round(PAIR_PX / max(shown.shape[:2])))
    return np.repeat(np.repeat(shown, times, axis=0), times, axis=1)


def outline_boxes(outline: Polygon | MultiPolygon, part: Window) -> list[tuple[float, float, float, float]]:
    """(left, top, right, bottom) around each part of an outline, in pixels of a chip and inside it."""
    rows, cols = part.grid.shape
    found = []
    for polygon in getattr(outline, "geoms", [outline]):
        west, south, east, north = polygon.bounds
        left, top = ~part.grid.affine * (west, north)
        right, bottom = ~part.grid.affine * (east, south)
        box = (left - CORNER_PX, top - CORNER_PX, right + CORNER_PX, bottom + CORNER_PX)
        low, high = np.clip(box[:2], 0.3, None), np.clip(box[2:], None, (cols - 0.3, rows - 0.3))
        if low[0] < high[0] and low[1] < high[1]:
            found.append((float(low[0]), float(low[1]), float(high[0]), float(high[1])))
    return found


def corner_marks(left: float, top: float, right: float, bottom: float) -> list[list[tuple[float, float]]]:
    """Four open angles at the corners of a box."""
    reach = min(max(0.25 * min(right - left, bottom - top), 1.0), 5.0)
    return [
        [(x, y + dy * reach), (x, y), (x + dx * reach, y)]
        for x, dx in ((left, 1), (right, -1))
        for y, dy in ((top, 1), (bottom, -1))
    ]
