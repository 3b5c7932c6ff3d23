"""Small pictures of an alert: true colour around its outline, one stretch for all that stand beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image
from rasterio.features import rasterize
from shapely.geometry import MultiPolygon, Polygon

from pipeline.model.bands import VISIBLE
from pipeline.model.imagery import Look

CONTEXT_PX = 12
"""Ground shown around an outline on each side, pixels."""
MIN_HALF_PX, MAX_HALF_PX = 18, 90
GAMMA = 0.8
OUTLINE = (255, 217, 47)
PAIR_PX = 240
"""Side of each half of a pair picture: what a map tip can show."""

Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A square part of the grid around an outline; `grid` is that part."""

    rows: slice
    cols: slice
    grid: GeoBox


def window(outline: Polygon | MultiPolygon, grid: GeoBox) -> Window:
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


def stretch(pictures: Sequence[Picture], usable: Sequence[NDArray[np.bool_]]) -> tuple[float, float]:
    """Reflectance shown as black and as white: one pair for all, else unchanged ground would differ."""
    values = [picture[mask] for picture, mask in zip(pictures, usable, strict=True) if mask.any()]
    if not values:
        return 0.0, 0.3
    low, high = np.nanpercentile(np.concatenate(values), (1, 99))
    return float(low), float(max(high, low + 0.03))


def rendered(picture: Picture, limits: tuple[float, float]) -> NDArray[np.uint8]:
    """(row, col, 3) bytes; ground that was never measured is light grey."""
    low, high = limits
    shown = np.clip((picture - low) / (high - low), 0, 1) ** GAMMA
    return np.round(np.where(np.isfinite(shown), shown, 0.85) * 255).astype(np.uint8)


def write_pair(path: Path, outline: Polygon | MultiPolygon, before: Look, after: Look) -> None:
    """Before beside after, both with the outline: the picture of map tips, feeds and maps."""
    part = window(outline, before.grid)
    pictures = [true_colour(look, part) for look in (before, after)]
    limits = stretch(pictures, [look.usable[part.rows, part.cols] for look in (before, after)])
    halves = [_with_outline(rendered(picture, limits), outline, part) for picture in pictures]
    gap = np.full((halves[0].shape[0], 6, 3), 255, np.uint8)
    Image.fromarray(np.concatenate([halves[0], gap, halves[1]], axis=1)).save(path, "png")


def _with_outline(shown: NDArray[np.uint8], outline: Polygon | MultiPolygon, part: Window) -> NDArray[np.uint8]:
    """Enlarged by whole pixels, the outline drawn on top."""
    times = max(1, round(PAIR_PX / max(shown.shape[:2])))
    large = np.repeat(np.repeat(shown, times, axis=0), times, axis=1)
    fine = part.grid.zoom_to(large.shape[:2])
    line = rasterize([outline.boundary.buffer(abs(fine.affine.a) * 0.7)], large.shape[:2], transform=fine.affine)
    large[line > 0] = OUTLINE
    return large
