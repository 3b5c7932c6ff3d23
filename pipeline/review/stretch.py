"""One tone curve for all pictures of a site, fitted to ground that did not change."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rasterio.features import geometry_mask
from shapely.geometry.base import BaseGeometry

from pipeline.model.bands import VISIBLE
from pipeline.model.imagery import Look

GAMMA = 0.65
LOWEST, HIGHEST = (0.0, 0.03), (0.22, 0.6)
"""Range of the reflectance shown as black, and of the one where the shoulder begins: a forest must not make every roof
white, nor snow make every forest black.
"""
STEP = 0.02
"""The white point is a multiple of this reflectance."""
SHOULDER = 0.9
"""Brightness, 0..1, from which highlights are compressed instead of clipped."""
AROUND_M = 40.0
"""Distance from an outline within which ground counts as changed: mixed pixels and shadow."""
BLANK = 216
"""Grey value of pixels without data."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """low: reflectance shown as black; high: reflectance where the shoulder begins."""

    low: float = 0.01
    high: float = 0.25

    def rendered(self, reflectance: ArrayLike) -> NDArray[np.uint8]:
        """Apply the curve: bytes for a display; NaN is light grey."""
        value = np.asarray(reflectance, np.float32)
        part = np.maximum((value - self.low) / (self.high - self.low), 0)
        bright = SHOULDER + (1 - SHOULDER) * -np.expm1(-(part - 1) * SHOULDER * GAMMA / (1 - SHOULDER))
        shown = np.where(part > 1, bright, SHOULDER * np.power(part, GAMMA)) * 255
        return np.round(np.where(np.isfinite(shown), shown, BLANK)).astype(np.uint8)

    def __str__(self) -> str:
        return f"{self.low:.3f} {self.high:.3f}"


def parse_stretch(text: str | None) -> Stretch:
    """The inverse of `str`; the default for a review file that has none."""
    try:
        low, high = (float(part) for part in str(text or "").split())
    except ValueError:
        return Stretch()
    return Stretch(low, high) if 0 <= low < high else Stretch()


def ground_stretch(looks: Sequence[Look], outlines: Sequence[BaseGeometry]) -> Stretch:
    """The curve for a site, from usable pixels of `looks` outside all outlines. A change does not alter it."""
    values = []
    for look in looks:
        kept = look.usable.copy()
        if outlines:
            near = [outline.buffer(AROUND_M) for outline in outlines]
            kept &= geometry_mask(near, look.usable.shape, look.grid.affine, all_touched=True)
        bands = [look.bands.index(band) for band in VISIBLE if band in look.bands] or [0]
        values.append(look.reflectance[bands][:, kept].ravel())
    known = np.concatenate([*values, np.zeros(0, np.float32)])
    known = known[np.isfinite(known)]
    if not known.size:
        return Stretch()
    low, high = np.percentile(known, (1, 99))
    # coarse steps: a new pair of looks must not redraw every picture
    white = round(float(np.clip(high, *HIGHEST)) / STEP) * STEP
    return Stretch(round(float(np.clip(low / 2, *LOWEST)), 2), round(white, 3))
