"""The outline of an object, and how its edges stand out of the ground around it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage
from shapely.geometry import MultiPolygon, Polygon

from pipeline.model.grid import PIXEL_M2
from pipeline.numerics.vectorise import EIGHT, contour

AROUND_PX = 16
"""Ground around an object on which nothing of its edges or its light depends."""
PLATEAU = 0.45
"""Of the largest share in the 3 x 3 pixels around: an edge runs where the step is that much of it. Less than half, as
the largest of nine values with noise is too large."""
SHARE_ERROR, DIRECTION_ERROR = 0.2, 0.1
"""1-sigma error of the share of an edge pixel, and of all shares together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """where: (row, col), half covered or more. core: its surest pixels. area_m2: from fractional cover.

    window: rows and columns of the site's grid that `where` and `core` show.
    """

    where: NDArray[np.bool_]
    core: NDArray[np.bool_]
    outline: Polygon | MultiPolygon
    area_m2: float
    area_error_m2: float
    window: tuple[slice, slice]


def shape_of(
    share: NDArray[np.float64], where: NDArray[np.bool_], core: NDArray[np.bool_], grid: GeoBox
) -> Shape | None:
    """The outline along which an object has come half way; None where no pixel of it has.

    share: (row, col) how far each pixel went along the object's step, 0 away from it. where, core: (row, col), its
    pixels and the surest of them. grid: of these rows and columns. Sub-pixel, in the grid's CRS (`contour`).
    """
    outline = contour(np.clip(share, 0, 1), grid)
    if outline is None:
        return None
    edge = (share > 0.1) & (share < 0.9)
    error = PIXEL_M2 * float(np.sqrt(edge.sum() * SHARE_ERROR**2 + (DIRECTION_ERROR * where.sum()) ** 2))
    everything = (slice(0, where.shape[0]), slice(0, where.shape[1]))
    return Shape(
        where=where, core=core, outline=outline, area_m2=float(outline.area), area_error_m2=error, window=everything
    )


def sharpen_edges(
    share: NDArray[np.float64], where: NDArray[np.bool_], core: NDArray[np.bool_], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(row, col) shares of which 0.5 lies on the edges that the step of single pixels shows.

    Shares of averaged residuals overstate what is as small as the average: its edges smear over the ground around it.
    step: (band, row, col) of single pixels, NaN = not known. where, core: (row, col), the object's pixels and the
    surest of them. Pixels inside, and those whose step is not known, keep their share; pixels that do not touch the
    object get 0.
    """
    known = np.isfinite(step).all(axis=0)
    if not (core & known).any():
        return share
    whole = np.median(step[:, core & known], axis=1)
    size = float(whole @ whole)
    if size <= 0:
        return share
    single = np.tensordot(whole / size, np.where(known, step, 0), axes=(0, 0))
    near = ndimage.binary_dilation(where, structure=EIGHT)
    single = np.where(near, np.where(known, single, share), 0).clip(0, 1)
    sharp = single * 0.5 / np.maximum(PLATEAU * ndimage.maximum_filter(single, size=3), 1e-6)
    inside = ndimage.binary_erosion(where, structure=EIGHT)
    return np.asarray(np.where(inside, np.maximum(sharp, share), sharp).clip(0, 1))


def edges_of(mean: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    """Contrast of the past across an outline, as a multiple of that between like distances around it."""
    inner = ndimage.binary_erosion(where, structure=EIGHT)
    deep = inner if int(inner.sum()) >= 3 else where
    near = ndimage.binary_dilation(where, structure=EIGHT)
    outer = ndimage.binary_dilation(near, structure=EIGHT, iterations=2) & ~near
    wide = ndimage.binary_dilation(near, structure=EIGHT, iterations=8) & ~near
    rows, cols = np.nonzero(outer)
    nearest = ndimage.distance_transform_edt(~deep, return_distances=False, return_indices=True)
    across = _median_length(mean[:, rows, cols] - mean[:, nearest[0][rows, cols], nearest[1][rows, cols]])
    around = [_lag_contrast(mean, wide, down, right) for down, right in ((0, 4), (4, 0), (3, 3), (3, -3))]
    return across / max(float(np.mean(around)), 0.004)


def _lag_contrast(mean: NDArray[np.float32], where: NDArray[np.bool_], down: int, right: int) -> float:
    rows, cols = np.nonzero(where)
    other = np.clip(rows + down, 0, where.shape[0] - 1), np.clip(cols + right, 0, where.shape[1] - 1)
    both = where[other]
    return _median_length(mean[:, rows[both], cols[both]] - mean[:, other[0][both], other[1][both]])


def _median_length(change: NDArray[np.float32]) -> float:
    lengths = np.sqrt((change**2).sum(axis=0))
    lengths = lengths[np.isfinite(lengths)]
    return float(np.median(lengths)) if lengths.size else 0.0
