"""What happened: judged by the spectra before and after, by old edges, and by whether it greened again."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.alert import Kind
from pipeline.model.bands import Band

BARE = 0.30
"""NDVI below which ground is not green."""
WOOD_NDVI, WOOD_RED, WOOD_SWIR = 0.6, 0.045, 0.22
"""A closed canopy: green, dark in red and in the short wave."""
MAX_SLOPE, MIN_TILT = 1.40, 0.62
"""Near infrared over red, and blue over red: roofs, concrete and asphalt are flat where soils rise."""
BLUE_TILT, BLUE_LIGHT, BLUE_NDVI, BRIGHT_RED = 0.90, 0.12, 0.45, 0.35
"""A blue roof, which is no dark ground under haze, and no leaf where it is bluer than green, though paint may reach the
NDVI of grass; and brighter than any soil."""
BROWN_BLUE, BROWN_RED = 0.02, 0.05
"""How much brighter brown leaves are than green ones, at most (the embedded archive's forest: 0.006 and 0.040)."""
CLEAR_EDGE, SOME_EDGE, GREY = 1.35, 1.05, 0.2
"""Contrast of old edges that identifies a structure; the second applies where NDVI is below GREY."""


def kind(
    bands: tuple[Band, ...],
    past: NDArray[Any],
    now: NDArray[Any],
    healed: bool,
    edges: float,
    stands: bool,
    settled: bool,
    plot: bool,
) -> Kind:
    """Change type. past, now: (band,) mean reflectance of the footprint; `healed`: the ground is as before.

    edges: contrast across its outline before it changed, 1 = as around it; a roof's is more, a building site's on open
    ground is not. stands: its outline still is an edge. settled: seen bare for most of a year. What is as steep as soil
    is a roof of tiles where an old roof's edges stand, or once it is settled on an old roof or, plot, in the size and
    shape of a building.
    """
    if healed:
        return Kind.CLEARED_GROUND
    green = _ndvi(bands, past)
    roofed = green < BARE or is_built(bands, past)
    was_structure = (roofed and edges > CLEAR_EDGE) or (green < GREY and edges > SOME_EDGE)
    tiled = (was_structure and (stands or settled)) or (plot and settled)
    is_structure = is_built(bands, now) or (tiled and _ndvi(bands, now) < BARE)
    if was_structure and is_structure:
        return Kind.RESURFACED
    if was_structure:
        return Kind.DEMOLISHED
    return Kind.NEW_STRUCTURE if is_structure else Kind.CLEARED_GROUND


def is_built(bands: tuple[Band, ...], spectrum: NDArray[Any]) -> bool:
    """Not green, no water, and not the steep rise from blue over red to near infrared that soils and ashes have."""
    at = dict(zip(bands, (float(level) for level in spectrum), strict=True))
    near = at.get(Band.B08, at.get(Band.B8A, float("nan")))
    blue, green, red = (at.get(band, float("nan")) for band in (Band.B02, Band.B03, Band.B04))
    painted = blue > max(green, BLUE_LIGHT) and _index(near, red) < BLUE_NDVI
    if red > BRIGHT_RED or painted:
        return True
    if _index(near, red) > BARE or (near < 0.06 and green > near):
        return False
    slope, tilt = near / max(red, 1e-3), blue / max(red, 1e-3)
    flat = tilt > MIN_TILT and (slope < MAX_SLOPE or not np.isfinite(slope))
    return bool(flat or (tilt > BLUE_TILT and blue > BLUE_LIGHT and slope > 1))


def is_wood(bands: tuple[Band, ...], spectrum: NDArray[Any]) -> bool:
    """Closed-canopy forest, which is not farmed."""
    at = dict(zip(bands, (float(level) for level in spectrum), strict=True))
    near, red = at.get(Band.B08, at.get(Band.B8A, float("nan"))), at.get(Band.B04, float("nan"))
    return bool(_index(near, red) > WOOD_NDVI and red < WOOD_RED and at.get(Band.B11, 0.0) < WOOD_SWIR)


def is_browned(bands: tuple[Band, ...], past: NDArray[Any], now: NDArray[Any]) -> bool:
    """Green once, and no brighter in the visible now: leaves fell, or grass dried."""
    was, at = (dict(zip(bands, (float(level) for level in each), strict=True)) for each in (past, now))
    blue, red = (at.get(band, 0.0) - was.get(band, 0.0) for band in (Band.B02, Band.B04))
    return _ndvi(bands, past) > BARE and blue < BROWN_BLUE and red < BROWN_RED


def _ndvi(bands: tuple[Band, ...], spectrum: NDArray[Any]) -> float:
    at = dict(zip(bands, (float(level) for level in spectrum), strict=True))
    return _index(at.get(Band.B08, at.get(Band.B8A, float("nan"))), at.get(Band.B04, float("nan")))


def _index(near: float, red: float) -> float:
    return (near - red) / max(near + red, 1e-3)
