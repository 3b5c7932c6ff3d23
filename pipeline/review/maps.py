"""Pictures of a whole site for web pages: the rasters of its folder at screen size, outlines as vector paths."""

import base64
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import Resampling
from shapely.geometry.base import BaseGeometry

from pipeline.model.errors import ReviewError
from pipeline.review.stretch import Stretch

SCREEN_PX = 1200
"""Longest side of a picture in a page; larger rasters are read from their overviews."""
PHOTO_PX = 400_000
"""Number of pixels from which a picture is stored as JPEG instead of PNG, which would take 4 MB."""
EVIDENCE = ((2.0, (255, 255, 178, 110)), (6.0, (253, 141, 60, 200)), (12.0, (189, 0, 38, 235)))
"""Score and the colour it is shown in."""

LABEL_PART = 1 / 45
"""Height of a label, part of the width of its map."""
LETTER, MAX_LINES = 0.65, 6
"""Mean width of a letter in heights of a line; lines by which a label may be moved."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Map:
    """A raster as bytes (row, col, 3 or 4), with the way from metres to its pixels. crop: its part of the file."""

    pixels: NDArray[np.uint8]
    to_pixel: Affine
    crop: tuple[slice, slice]

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def data(self) -> str:
        """The picture as a data URI."""
        buffer, picture = io.BytesIO(), Image.fromarray(self.pixels)
        if self.width * self.height > PHOTO_PX and self.pixels.shape[2] == 3:
            picture.save(buffer, "jpeg", quality=88)
            return _data_uri(buffer.getvalue(), "jpeg")
        # ground never repeats itself, so that deflate finds nothing to refer back to but runs of one colour
        picture.save(buffer, "png", compress_type=zlib.Z_RLE)
        return _data_uri(buffer.getvalue(), "png")

    @property
    def width_m(self) -> float:
        """Metres of ground from side to side."""
        return self.width / abs(self.to_pixel.a)

    def spot(self, outline: BaseGeometry) -> tuple[float, float]:
        """(x, y) of a point inside an outline, in this map's pixels."""
        point = outline.representative_point()
        x, y = self.to_pixel @ (point.x, point.y)
        return round(x, 1), round(y, 1)

    def path(self, outline: BaseGeometry) -> str:
        """An outline as the path of an SVG whose unit is this map's pixel."""
        parts = []
        for polygon in getattr(outline, "geoms", [outline]):
            for ring in (polygon.exterior, *polygon.interiors):
                points = [self.to_pixel @ point[:2] for point in ring.coords[:-1]]
                parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z")
        return "".join(parts)


def place_labels(spots: Sequence[tuple[float, float, str]], size: float) -> list[tuple[float, float, str]]:
    """Spots of labels, each centred on its spot, moved up or down by whole lines so that none covers another.

    Two changes on one outline, a hall and its new roof, have one spot. size: height of a line, in the map's pixels.
    """
    placed: list[tuple[float, float, str]] = []
    for x, y, label in spots:
        lines = sorted(range(-MAX_LINES, MAX_LINES + 1), key=lambda line: (abs(line), line))
        free = (line for line in lines if not any(_overlap((x, y + line * size, label), each, size) for each in placed))
        placed.append((x, round(y + next(free, 0) * size, 1), label))
    return placed


def _overlap(one: tuple[float, float, str], other: tuple[float, float, str], size: float) -> bool:
    reach = LETTER * size * (len(one[2]) + len(other[2])) / 2
    return abs(one[0] - other[0]) < reach and abs(one[1] - other[1]) < 0.95 * size


def read_pair(before: Path, after: Path, tone: Stretch, longest_px: int = SCREEN_PX) -> tuple[Map, Map]:
    """Both looks in true colour with the tone curve of the site, so that unchanged ground looks unchanged."""
    planes, shapes = zip(*(_read_bands(path, (1, 2, 3), longest_px) for path in (before, after)), strict=True)
    crop = _ground_window(np.any([(plane > 0).any(axis=0) for plane in planes], axis=0))
    maps = []
    for plane, to_pixel in zip(planes, shapes, strict=True):
        known = np.where((plane == 0).all(axis=0), np.nan, plane / 10_000)
        pixels = tone.rendered(known).transpose(1, 2, 0)[crop]
        maps.append(Map(pixels=pixels, to_pixel=_shift_transform(to_pixel, crop), crop=crop))
    return maps[0], maps[1]


def read_evidence(score: Path, over: Map) -> Map:
    """Score as a transparent layer over a map, yellow to red where it is high."""
    (score_plane,), to_pixel = _read_bands(score, (1,), SCREEN_PX)
    steps = [at for at, _ in EVIDENCE]
    colours = np.array([colour for _, colour in EVIDENCE], float)
    value = np.nan_to_num(score_plane, nan=-np.inf)
    veil = np.stack([np.interp(value, steps, colours[:, band]) for band in range(4)], axis=-1)
    veil[value < steps[0]] = 0
    pixels = np.round(veil).astype(np.uint8)[over.crop]
    return Map(pixels=pixels, to_pixel=_shift_transform(to_pixel, over.crop), crop=over.crop)


def compact_png(png: Path) -> str:
    """Picture as a WebP data URI, at a third of the size of its PNG."""
    buffer = io.BytesIO()
    with Image.open(png) as picture:
        picture.convert("RGB").save(buffer, "webp", quality=82, method=2)
    return _data_uri(buffer.getvalue(), "webp")


def _ground_window(seen: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns that show any ground, with a little around them."""
    if not seen.any():
        return slice(0, seen.shape[0]), slice(0, seen.shape[1])
    sides = []
    for axis in (1, 0):
        where = np.flatnonzero(seen.any(axis=axis))
        sides.append(slice(max(int(where[0]) - 3, 0), min(int(where[-1]) + 4, seen.shape[1 - axis])))
    return sides[0], sides[1]


def _shift_transform(to_pixel: Affine, crop: tuple[slice, slice]) -> Affine:
    return Affine.translation(-crop[1].start, -crop[0].start) @ to_pixel


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


def _read_bands(path: Path, bands: tuple[int, ...], longest_px: int) -> tuple[NDArray[np.float64], Affine]:
    try:
        with rasterio.open(path, driver="GTiff") as source:
            bands = bands if source.count >= len(bands) else (1,) * len(bands)
            shrink = max(1.0, max(source.height, source.width) / longest_px)
            shape = round(source.height / shrink), round(source.width / shrink)
            method = Resampling.average if shrink > 1 else Resampling.nearest
            data = source.read(bands, out_shape=(len(bands), *shape), resampling=method).astype(float)
            scale = Affine.scale(shape[1] / source.width, shape[0] / source.height)
            return data, scale @ ~source.transform
    except rasterio.errors.RasterioError as error:
        raise ReviewError(
            f"cannot be read: {error}", str(path), "run `groundbreak detect` for this site again"
        ) from error
