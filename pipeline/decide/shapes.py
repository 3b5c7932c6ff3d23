"""The outline of a region: how far each pixel has gone from what was there to what is there now."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import MultiPolygon, Polygon

from pipeline.decide.fold import Fold
from pipeline.decide.history import clear_values
from pipeline.decide.vectorise import EIGHT, contour
from pipeline.model.bands import Band

PIXEL_M2 = 100.0
CORE_SHARE = 0.75
"""Of an object's strong change: pixels that moved so far are taken as wholly covered by it."""
AFTER_LOOKS, BEFORE_LOOKS = 5, 8
WINDOW_PX = 12
AROUND_PX = 16
"""Ground around a region on which nothing of its outline, its edges or its light depends."""
EDGES_PX = 14
"""How far around an outline its edges are compared with others."""
REACH_PX = 2
"""How far beyond the region its outline may run."""
SHARP_SHARE = 0.1
"""Of the squared distance that all bands tell: with less the sharpest bands see something else than the change."""
NOISE = 0.004
"""Reflectance: least spread of the surroundings."""


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
    fold: Fold,
    where: NDArray[np.bool_],
    core: NDArray[np.bool_],
    before: Sequence[int],
    after: Sequence[int],
) -> Shape | None:
    """Outline and area of a region; None where no pixel is covered by half.

    where, core: (row, col), the region and its surest pixels.  before,
    after: looks without it and with it. The change of the region is measured against that of its surroundings, on the
    sharpest bands where they tell enough of it, along its own direction as the surroundings' scatter weighs it (a
    matched filter); the outline runs where it has come half way, which is right for a building of any size down to the
    sensor's own footprint.
    """
    window = _window(where)
    grid = fold.looks[0].grid[window]
    change = _change(fold, window, before[-BEFORE_LOOKS:], after[-AFTER_LOOKS:])
    region, sure_of_it = where[window], core[window]
    bands = _telling(fold.looks[0].bands, change, region, sure_of_it)
    share = _share(change[bands], region, sure_of_it)
    outline = contour(share, grid)
    if outline is None:
        return None
    edge = (share > 0.1) & (share < 0.9)
    # an edge pixel's share is known to about a fifth; that, and one in ten of the direction's length
    error = PIXEL_M2 * float(np.sqrt(edge.sum() * 0.2**2 + (0.1 * share.sum()) ** 2))
    inside, sure = np.zeros(where.shape, bool), np.zeros(where.shape, bool)
    inside[window] = share >= 0.5
    sure[window] = share >= CORE_SHARE * float(share.max())
    all_of_it = (slice(0, where.shape[0]), slice(0, where.shape[1]))
    return Shape(
        where=inside, core=sure, outline=outline, area_m2=float(outline.area), area_error_m2=error, window=all_of_it
    )


def sharp(bands: Sequence[Band]) -> list[int]:
    """Indices of the bands of 10 m; of all bands where there are fewer than three of them."""
    fine = [index for index, band in enumerate(bands) if band.native_m == 10]
    return fine if len(fine) >= 3 else list(range(len(bands)))


def _window(where: NDArray[np.bool_], around: int = WINDOW_PX) -> tuple[slice, slice]:
    rows, cols = np.nonzero(where)
    return (
        slice(max(int(rows.min()) - around, 0), min(int(rows.max()) + around + 1, where.shape[0])),
        slice(max(int(cols.min()) - around, 0), min(int(cols.max()) + around + 1, where.shape[1])),
    )


def _change(
    fold: Fold, window: tuple[slice, slice], before: Sequence[int], after: Sequence[int]
) -> NDArray[np.float64]:
    """(band, row, col) reflectance, typical after minus typical before, 0 where either was never clear."""
    bands = range(len(fold.looks[0].bands))
    return np.nan_to_num(_typical(fold, bands, window, after) - _typical(fold, bands, window, before))


def _typical(
    fold: Fold, bands: Sequence[int], window: tuple[slice, slice], indices: Sequence[int]
) -> NDArray[np.float64]:
    """(band, row, col) median reflectance of some looks, NaN where none was clear."""
    stack = np.stack([clear_values(fold.looks[index])[(bands, *window)] for index in indices])
    known = np.isfinite(stack).any(axis=0)
    return np.where(known, np.nanmedian(np.where(known, stack, 0), axis=0), np.nan)


def _telling(
    bands: Sequence[Band], change: NDArray[np.float64], where: NDArray[np.bool_], core: NDArray[np.bool_]
) -> list[int]:
    """Indices of the sharpest bands; of all where those miss the change, as with a concrete roof on sand."""
    fine, every = sharp(bands), list(range(len(bands)))

    def distance(chosen: list[int]) -> float:
        middle, metric = _surroundings(change[chosen], where)
        direction = np.median(change[chosen][:, core], axis=1) - middle
        return float(direction @ metric @ direction)

    return fine if distance(fine) >= SHARP_SHARE * distance(every) else every


def _surroundings(
    change: NDArray[np.float64], where: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle (band,) and inverse scatter (band, band) of the change beyond the reach of a region."""
    around = change[:, ~_reach(where)]
    bands = len(change)
    if around.shape[1] < 10 * bands:
        around = np.zeros((bands, 10 * bands))
    middle = np.median(around, axis=1)
    spread = 1.4826 * np.median(np.abs(around - middle[:, None]), axis=1)
    kept = (np.abs(around - middle[:, None]) < 4 * (spread + NOISE)[:, None]).all(axis=0)
    scatter = np.cov(around[:, kept]) + NOISE**2 * np.eye(bands)
    return middle, np.asarray(np.linalg.inv(scatter), np.float64)


def _reach(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(ndimage.binary_dilation(where, structure=EIGHT, iterations=REACH_PX))


def _share(change: NDArray[np.float64], where: NDArray[np.bool_], core: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each pixel that has become the object, (row, col) 0..1, 0 far from the region."""
    middle, metric = _surroundings(change, where)
    near, off = _reach(where), change - middle[:, None, None]
    share = np.zeros(where.shape)
    for _ in range(2):
        direction = np.median(off[:, core], axis=1)
        filtered = metric @ direction
        length = float(filtered @ direction)
        if length <= 0:
            return where.astype(np.float64)
        share = np.where(near, np.tensordot(filtered, off, axes=(0, 0)) / length, 0)
        core = where & (share >= CORE_SHARE * float(np.quantile(share[where], 0.9)))
    return np.clip(share, 0, 1)


def edges_now(fold: Fold, where: NDArray[np.bool_], sights: Sequence[int]) -> float:
    """`edges_of` an outline in the latest of the looks named, 0 where there is none."""
    if not len(sights):
        return 0.0
    window = _window(where, EDGES_PX)
    bands = range(len(fold.looks[0].bands))
    return edges_of(_typical(fold, list(bands), window, sights[-AFTER_LOOKS:]).astype(np.float32), where[window])


def edges_of(mean: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    """Contrast of the past across an outline, as a multiple of that between like distances around it."""
    inner = ndimage.binary_erosion(where, structure=EIGHT)
    deep = inner if int(inner.sum()) >= 3 else where
    near = ndimage.binary_dilation(where, structure=EIGHT)
    outer = ndimage.binary_dilation(near, structure=EIGHT, iterations=2) & ~near
    wide = ndimage.binary_dilation(near, structure=EIGHT, iterations=8) & ~near
    rows, cols = np.nonzero(outer)
    nearest = ndimage.distance_transform_edt(~deep, return_distances=False, return_indices=True)
    across = _length(mean[:, rows, cols] - mean[:, nearest[0][rows, cols], nearest[1][rows, cols]])
    around = [_lagged(mean, wide, down, right) for down, right in ((0, 4), (4, 0), (3, 3), (3, -3))]
    return across / max(float(np.mean(around)), 0.004)


def _lagged(mean: NDArray[np.float32], where: NDArray[np.bool_], down: int, right: int) -> float:
    rows, cols = np.nonzero(where)
    other = np.clip(rows + down, 0, where.shape[0] - 1), np.clip(cols + right, 0, where.shape[1] - 1)
    both = where[other]
    return _length(mean[:, rows[both], cols[both]] - mean[:, other[0][both], other[1][both]])


def _length(change: NDArray[np.float32]) -> float:
    lengths = np.sqrt((change**2).sum(axis=0))
    lengths = lengths[np.isfinite(lengths)]
    return float(np.median(lengths)) if lengths.size else 0.0
