"""Footprints of construction, and their share of each pixel of a band."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity
from shapely.geometry import LineString, Polygon, box
from shapely.geometry.base import BaseGeometry

FINE = 10
"""Subdivisions of a pixel along each axis: 1 m at 10 m."""
PSF_PX = 0.53
"""Gaussian sigma of the sensor's point spread in its own pixels: MTF 0.25 at the Nyquist frequency."""
REACH_PX = 3

SIZES: Mapping[str, tuple[float, float]] = MappingProxyType({
    "10x10 m": (10, 10), "20x20 m": (20, 20), "20x40 m": (20, 40), "30x60 m": (30, 60),
    "60x100 m": (60, 100), "80x150 m": (80, 150),
})  # fmt: skip
"""Width and length of plain halls."""
SHAPES = (*SIZES, "L 60x60 m", "strip 9x120 m", "road 12x300 m")


def make_footprint(size: str, centre: tuple[float, float], angle: float) -> Polygon:
    """The outline of one of SHAPES in metres of a projected CRS, turned by `angle` degrees about `centre` (x, y)."""
    if size in SIZES:
        return make_block(*SIZES[size], centre, angle)
    shape: BaseGeometry
    if size == "L 60x60 m":
        shape = box(-30, -30, -5, 30).union(box(-30, -30, 30, -5))
    elif size == "strip 9x120 m":
        shape = box(-4.5, -60, 4.5, 60)
    else:
        bend = LineString([(-150, 0), (-50, 12), (50, 0), (150, -20)])
        shape = bend.buffer(6, cap_style="flat")
    return _place_shape(shape, centre, angle)


def make_block(width: float, length: float, centre: tuple[float, float], angle: float) -> Polygon:
    """A rectangle in metres, its length along y, turned by `angle` degrees about `centre` (x, y)."""
    return _place_shape(box(-width / 2, -length / 2, width / 2, length / 2), centre, angle)


def _place_shape(shape: BaseGeometry, centre: tuple[float, float], angle: float) -> Polygon:
    turned = affinity.translate(affinity.rotate(shape, angle, origin=(0, 0)), *centre)
    return Polygon(turned.exterior)


def pixel_coverage(shape: BaseGeometry, grid: GeoBox) -> tuple[tuple[slice, slice], NDArray[np.float32]] | None:
    """Share of each pixel's signal that comes from a shape: the window it reaches and (row, col) 0..1 in it.

    shape: in the grid's CRS. Rendered at a tenth of a pixel, blurred by the sensor's point spread, averaged.
    None where the shape lies off the grid.
    """
    inverse = ~grid.affine
    west, south, east, north = shape.bounds
    corners = [inverse @ corner for corner in ((west, north), (east, south), (west, south), (east, north))]
    cols, rows = [corner[0] for corner in corners], [corner[1] for corner in corners]
    top, left = int(np.floor(min(rows))) - REACH_PX, int(np.floor(min(cols))) - REACH_PX
    bottom, right = int(np.ceil(max(rows))) + REACH_PX, int(np.ceil(max(cols))) + REACH_PX
    height, width = bottom - top, right - left
    window = grid.affine @ grid.affine.translation(left, top) @ grid.affine.scale(1 / FINE)
    fine = rasterize([shape], (height * FINE, width * FINE), transform=window, dtype="uint8").astype(np.float32)
    blurred = ndimage.gaussian_filter(fine, PSF_PX * FINE, truncate=3)
    share = blurred.reshape(height, FINE, width, FINE).mean(axis=(1, 3))
    inside = (slice(max(top, 0), min(bottom, grid.shape[0])), slice(max(left, 0), min(right, grid.shape[1])))
    if inside[0].start >= inside[0].stop or inside[1].start >= inside[1].stop:
        return None
    part = share[inside[0].start - top : inside[0].stop - top, inside[1].start - left : inside[1].stop - left]
    return inside, np.asarray(part, np.float32)


def cast_shadow(shape: BaseGeometry, height_m: float, sun: tuple[float, float]) -> BaseGeometry:
    """Cast shadow of a flat-roofed block, without its footprint.

    sun: (zenith, azimuth) in degrees; the shape's y axis points north.
    """
    zenith, azimuth = np.radians(sun)
    reach = height_m * np.tan(min(zenith, np.radians(80)))
    dx, dy = -reach * np.sin(azimuth), -reach * np.cos(azimuth)
    swept = shape
    for part in np.linspace(0.1, 1, 10):
        swept = swept.union(affinity.translate(shape, dx * part, dy * part))
    return swept.difference(shape)
