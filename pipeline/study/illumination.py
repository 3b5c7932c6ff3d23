"""Illumination and haze of a real look, estimated from its difference to the median look."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy import ndimage

from pipeline.model.bands import Band
from pipeline.study.materials import Spectrum
from pipeline.study.weather import HAZE, SHADE

MAX_HAZE = 0.15
MIN_GAIN, MAX_GAIN = 0.85, 1.15
"""Largest change of the level of a look against the median look: more is season, which roofs do not have."""
LIT, DARK = 0.92, 0.5
"""Share of the median level, in the band that lost least, of ground in full light and in full shade."""
THIN, THICK = 0.03, 0.30
"""Rise of blue above the median, less haze, at which cloud begins to hide the ground, and hides it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Illumination:
    """A look against the median look: gain, haze in blue, and (row, col) of shade and hidden, 0..1, on `grid`."""

    gain: float
    haze: float
    shade: NDArray[np.float32]
    hidden: NDArray[np.float32]
    grid: GeoBox


def estimate_illumination(
    look: Mapping[Band, NDArray[np.float64]], usual: Mapping[Band, NDArray[np.float64]], grids: Mapping[Band, GeoBox]
) -> Illumination:
    """Estimate illumination, shade and cloud of a look.

    look, usual: band -> (row, col) reflectance on the band's grid, blue first; NaN where the look measured nothing.

    Leaves change some bands; shade takes light from all of them, so the band that lost least measures shade.
    """
    blue, *_ = usual
    values = {band: np.where(np.isfinite(look[band]), look[band], plane) for band, plane in usual.items()}
    haze = float(np.clip(np.quantile(values[blue] - usual[blue], 0.3), 0, MAX_HAZE))
    clean = {band: plane - haze * HAZE[band] / HAZE[Band.B02] for band, plane in values.items()}
    gain = float(np.median([np.median(clean[band]) / np.median(usual[band]) for band in usual]))
    best = np.zeros(tuple(grids[blue].shape), np.float32)
    for band, plane in usual.items():
        ratio = ndimage.gaussian_filter(clean[band], 3) / np.maximum(ndimage.gaussian_filter(plane, 3), 0.01)
        best = np.maximum(best, resample_field(ratio.astype(np.float32), grids[band], grids[blue]))
    above = ndimage.gaussian_filter(clean[blue] - usual[blue], 1)
    return Illumination(
        gain=float(np.clip(gain, MIN_GAIN, MAX_GAIN)),
        haze=haze,
        shade=np.clip((LIT - best) / (LIT - DARK), 0, 1).astype(np.float32),
        hidden=np.clip((above - THIN) / (THICK - THIN), 0, 1).astype(np.float32),
        grid=grids[blue],
    )


def apply_illumination(spectrum: Spectrum, light: Illumination, depth: float) -> Spectrum:
    """Reflectance of a material in the illumination of a look, `depth` 0..1 in shade, through its haze."""
    found = {}
    for band, level in spectrum.items():
        haze = light.haze * HAZE[band] / HAZE[Band.B02]
        found[band] = level * light.gain * (1 - depth * (1 - SHADE[band])) * (1 - haze) + haze
    return found


def resample_field(plane: NDArray[np.float32], grid: GeoBox, to: GeoBox) -> NDArray[np.float32]:
    """A field on another grid of the same place."""
    if grid == to:
        return plane
    out = np.zeros(tuple(to.shape), np.float32)
    method = Resampling.average if abs(to.resolution.x) > abs(grid.resolution.x) else Resampling.bilinear
    reproject(
        np.ascontiguousarray(plane), out, src_transform=grid.affine, src_crs=str(grid.crs),
        dst_transform=to.affine, dst_crs=str(to.crs), resampling=method, num_threads=1,
    )  # fmt: skip
    return out
