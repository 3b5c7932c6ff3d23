"""The sub-pixel fit of one translation between two structure images, weighted by where the two look alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.numerics.morphology import erode
from pipeline.numerics.robust import MAD_TO_SIGMA, TUKEY_C, median_of
from pipeline.numerics.smoothing import spline_coefficients

Array = NDArray[Any]
ROUGH_PIXELS, ROUGH_STEP_PX, ROUGH_WIDEN = 12_000, 2e-3, 3.0
"""The first turns, and how far they go, on every second, third ... row; their weights begin wider than Tukey's."""
FIT_PIXELS, STEP_PX = 300_000, 2e-3
MAX_TURNS, REACH_PX, MIN_FIT_PIXELS = 25, 1.5, 50
EDGE_PX, CLEARANCE_PX = 3, 2
"""Distance of fitted pixels from the border, where the spline lacks pixels, and from pixels that are not clear."""
TILE_PX, CORRELATION_PX, CORRELATION_COUNT = 4, 5.0, 12.0
"""Tile of the local correlation, sigma of the Gaussian that pools it, its number of independent values."""
DISSIMILARITY_FLOOR, SPREAD_FLOOR = 0.1, 0.005
"""Least dissimilarity that a weight divides by, so that no corner of the chip decides alone; and least of a spread."""
POOL_TRUNCATE = 2.5
"""Sigmas at which that Gaussian ends."""
CLUSTER_TILES = 3
"""Sides, in tiles, of a patch that counts as one independent measurement of the shift."""
MEDIAN_OF = 8192
"""Values that a median is taken of, at least, where there are many: a thousandth is near enough."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A settled shift (row, col) px, moving(x + shift) ~ fixed(x).

    sigma: 1-sigma of the worse direction, px. correlation: local correlation of the two images, mean over the chip.
    patches: effective number of patches of ground. pixels: how many took part.
    """

    shift: Array
    sigma: float
    correlation: float
    patches: float
    pixels: int


def sample_median(values: Array) -> float:
    """Median, of a regular sample where there are many."""
    flat = values.reshape(-1)
    return float(median_of(flat[:: max(flat.size // MEDIAN_OF, 1)]))


def fit_translation(first: Array, second: Array, clear: NDArray[np.bool_]) -> tuple[Fit, Fit] | None:
    """The fit from `first` to `second` and the fit back, of a shift within REACH_PX; None where one does not settle.

    first, second: (row, col) float32, band-passed, about one level of contrast throughout, 0 where not clear.
    clear:         (row, col) bool, True = measured in both.

    Method: Lucas-Kanade (1981; Baker & Matthews 2004). Each pixel weighs by Tukey's biweight of its own residual times
    the information of its surroundings on a shift: with local correlation r, r / (1 - r), less its value by chance.
    Undetected cloud and changed ground have a low correlation and drop out as patches, not as pixels. The
    uncertainty is that of clustered data (White 1980; Liang & Zeger 1986): how patches of ground scatter says how sure
    their mean is.
    """
    splines = [spline_coefficients(each) for each in (first, second)]
    rough = _fit_rough(first, splines[1], clear)
    if rough is None:
        return None
    forth = _fit_fine(first, splines[1], clear, rough)
    if forth is None:
        return None
    back = _fit_fine(second, splines[0], clear, -forth.shift)
    return None if back is None else (forth, back)


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """What is fitted: every n-th row of the inner chip. chosen: (row, col), True = clear."""

    fixed: Array
    chosen: NDArray[np.bool_]
    inner: tuple[slice, slice]
    pixels: int


def _make_field(fixed: Array, clear: NDArray[np.bool_], most: int) -> _Field | None:
    if min(fixed.shape) <= 2 * EDGE_PX + 8:
        return None
    down, across = (slice(EDGE_PX, size - EDGE_PX) for size in fixed.shape)
    chosen = erode(clear, CLEARANCE_PX)[down, across]
    pixels = int(chosen.sum())
    if pixels < MIN_FIT_PIXELS:
        return None
    every = 1 + pixels // most
    inner = (slice(down.start, down.stop, every), across)
    return _Field(fixed[inner], chosen[::every], inner, pixels)


def _fit_rough(fixed: Array, spline: Array, clear: NDArray[np.bool_]) -> Array | None:
    """Shift to a few hundredths, with gain and offset, by reweighted least squares on few rows; None if it runs off."""
    field = _make_field(fixed, clear, ROUGH_PIXELS)
    if field is None:
        return None
    goal, state, widen = field.fixed[field.chosen], np.array([0.0, 0.0, 1.0, 0.0]), ROUGH_WIDEN
    for _ in range(MAX_TURNS):
        value, by_row, by_col = (part[field.chosen] for part in _sample(spline, state[:2], field.inner))
        residual = goal - np.float32(state[2]) * value - np.float32(state[3])
        scale = MAD_TO_SIGMA * sample_median(np.abs(residual - sample_median(residual)))
        weights = np.maximum(1 - (residual / np.float32(TUKEY_C * widen * max(scale, 1e-6))) ** 2, 0) ** 2
        gain = np.float32(state[2])
        design = np.stack([gain * by_row, gain * by_col, value, np.ones_like(value)])
        normal = ((design * weights) @ design.T).astype(np.float64)
        if not np.isfinite(normal).all() or np.linalg.cond(normal) > 1e10:
            return None
        step = np.linalg.solve(normal, (design * weights) @ residual)
        length = _limit_step(step)
        state = state + step
        if float(np.abs(state[:2]).max()) > REACH_PX:
            return None
        if widen == 1.0 and length < ROUGH_STEP_PX:
            break
        widen = max(1.0, widen / 1.7)
    return state[:2] if state[2] > 0 else None


def _limit_step(step: Array) -> float:
    """Length of the shift in a step, which is cut in place to what a linear model can be trusted with."""
    length = float(np.hypot(step[0], step[1]))
    step[:2] *= min(1.0, 0.7 / max(length, 1e-12))
    return length


def _fit_fine(fixed: Array, spline: Array, clear: NDArray[np.bool_], shift: Array) -> Fit | None:
    """The fit on all pixels, weighted by local correlation, from a nearly correct shift; None if it diverges."""
    field = _make_field(fixed, clear, FIT_PIXELS)
    if field is None:
        return None
    correlation = _LocalCorrelation(field)
    before: Array = np.zeros(2)
    for turn in range(MAX_TURNS):
        value, by_row, by_col = _sample(spline, shift, field.inner)
        residual, weights, scale = correlation.compare(value)
        by_row, by_col = by_row * scale, by_col * scale
        pull = np.stack([weights * by_row, weights * by_col])
        # of two images that are alike to r, only r of the slopes are common: Gauss-Newton would fall short by as much
        normal = correlation.common * np.array(
            [[np.vdot(part, slope) for slope in (by_row, by_col)] for part in pull], np.float64
        )
        if not np.isfinite(normal).all() or np.linalg.cond(normal) > 1e6:
            return None
        step = np.linalg.solve(normal, [float(np.vdot(part, residual)) for part in pull])
        length = _limit_step(step)
        if turn % 2:
            # reweighted steps shrink by one ratio: every second is drawn to where they lead (Aitken)
            step /= 1 - np.clip(step @ before / max(float(before @ before), 1e-12), 0, 0.7)
        shift, before = shift + step, step
        if float(np.abs(shift).max()) > REACH_PX:
            return None
        if length < STEP_PX:
            break
    sigma, patches = _uncertainty(pull * residual, pull[0] * by_row + pull[1] * by_col, normal)
    return Fit(shift, sigma, correlation.mean, patches, field.pixels)


class _LocalCorrelation:
    """How like the moving image is to the fixed one around each pixel, both within LIKENESS_PX of it."""

    def __init__(self, field: _Field) -> None:
        every = field.inner[0].step
        self._reach = (CORRELATION_PX / TILE_PX / every, CORRELATION_PX / TILE_PX)
        self._fixed, self._clear = field.fixed, field.chosen.astype(np.float32)
        self._count = _sum_tiles(self._clear, TILE_PX)
        self._share = np.maximum(self._pool(self._count), 1e-3 * TILE_PX**2)
        self._level, power = self._local_means(self._fixed, self._fixed**2)
        self._spread = np.sqrt(np.maximum(power - self._level**2, 0) + 0.02)
        self._flat = self._expand((self._spread, self._level))
        self.mean = self.common = 0.0

    def compare(self, moving: Array) -> tuple[Array, Array, Array]:
        """(residual, weight, gain of the moving image), each (row, col): both are brought to local mean 0, spread 1."""
        level, power, product = self._local_means(moving, moving**2, moving * self._fixed)
        spread = np.sqrt(np.maximum(power - level**2, 0) + 0.02)
        alike = np.clip((product - level * self._level) / (spread * self._spread), 0, 1)
        self.mean = float((alike * self._count).sum() / self._count.sum())
        # of pure chance, correlation squared is 1 / LIKENESS_COUNT in the mean
        beyond = np.maximum(alike**2 - 1 / CORRELATION_COUNT, 0) / (1 - 1 / CORRELATION_COUNT)
        worth = beyond / np.maximum(alike, 1e-3) / (1 - alike + DISSIMILARITY_FLOOR)
        self.common = float((worth * alike * self._count).sum() / max(float((worth * self._count).sum()), 1e-9))
        limit = 1 / (TUKEY_C * np.sqrt(2 * np.maximum(1 - alike, SPREAD_FLOOR)))
        scale, middle_, worth, limit = self._expand((1 / spread, level, worth, limit))
        residual = (self._fixed - self._flat[1]) / self._flat[0] - (moving - middle_) * scale
        weights = self._clear * worth * np.maximum(1 - (residual * limit) ** 2, 0) ** 2
        return residual, weights, scale

    def _pool(self, tiles: Array) -> Array:
        """(..., row, col): as `ndimage.gaussian_filter` does it, several images at once, its kernels kept."""
        for axis, sigma in ((-2, self._reach[0]), (-1, self._reach[1])):
            tiles = ndimage.correlate1d(tiles, _gaussian_kernel(sigma), axis, np.float32)
        return tiles

    def _local_means(self, *images: Array) -> Array:
        return self._pool(np.stack([_sum_tiles(image * self._clear, TILE_PX) for image in images])) / self._share

    def _expand(self, tiles: tuple[Array, ...]) -> list[Array]:
        rows, cols = self._fixed.shape
        # columns first: repeating whole rows is a copy
        return [np.repeat(np.repeat(each, TILE_PX, 1)[:, :cols], TILE_PX, 0)[:rows] for each in tiles]


@lru_cache(maxsize=64)
def _gaussian_kernel(sigma: float) -> Array:
    """Weights of a Gaussian, which end where it has no more to say."""
    reach = int(POOL_TRUNCATE * sigma + 0.5)
    weights = np.exp(-0.5 / sigma**2 * np.arange(-reach, reach + 1) ** 2)
    return np.asarray(weights / weights.sum())


def _sum_tiles(image: Array, side: int) -> Array:
    """Sums over tiles of side x side, smaller at the far edges."""
    rows, cols = (-(-length // side) for length in image.shape)
    whole = np.zeros((rows * side, cols * side), np.float32)
    whole[: image.shape[0], : image.shape[1]] = image
    # adding slices takes a tenth of what np.add.reduceat does
    lines = whole[::side].copy()
    for first in range(1, side):
        lines += whole[first::side]
    tiles = lines[:, ::side].copy()
    for first in range(1, side):
        tiles += lines[:, first::side]
    return tiles


def _uncertainty(pulls: Array, weight: Array, normal: Array) -> tuple[float, float]:
    """(1-sigma of the worse direction in px, effective number of patches) by the sandwich estimate over patches."""
    side = TILE_PX * CLUSTER_TILES
    by_row, by_col = (_sum_tiles(part, side).ravel() for part in pulls)
    held = _sum_tiles(weight, side).ravel()
    patches = float(held.sum() ** 2 / max(float((held**2).sum()), 1e-12))
    scatter = np.array([[by_row @ by_row, by_row @ by_col], [by_row @ by_col, by_col @ by_col]], np.float64)
    inverse = np.linalg.inv(normal)
    spread = inverse @ scatter @ inverse * patches / max(patches - 1, 0.5)
    return float(np.sqrt(np.linalg.eigvalsh(spread)[-1])), patches


def _sample(coefficients: Array, shift: Array, inner: tuple[slice, slice]) -> tuple[Array, Array, Array]:
    """Cubic spline and its row and column slopes at x + shift; a constant shift makes it a 4-tap filter an axis."""
    whole = np.floor(shift).astype(int)
    part = shift - whole
    row_taps, row_slopes = _spline_taps(part[0])
    col_taps, col_slopes = _spline_taps(part[1])
    rows, cols = inner
    lines = [coefficients[rows.start + whole[0] + k : rows.stop + whole[0] + k : rows.step] for k in (-1, 0, 1, 2)]
    straight, sloped = _weighted_sum(lines, row_taps), _weighted_sum(lines, row_slopes)
    first, width = cols.start + whole[1] - 1, cols.stop - cols.start

    def across(image: Array, taps: Array) -> Array:
        return _weighted_sum([image[:, first + k : first + k + width] for k in range(4)], taps)

    return across(straight, col_taps), across(sloped, col_taps), across(straight, col_slopes)


def _weighted_sum(parts: Sequence[Array], taps: Array) -> Array:
    """The sum of these arrays, each times its tap."""
    mixed = taps[0] * parts[0]
    scratch = np.empty_like(mixed)
    for part, tap in zip(parts[1:], taps[1:], strict=True):
        mixed += np.multiply(part, tap, out=scratch)
    return np.asarray(mixed)


def _spline_taps(t: float) -> tuple[Array, Array]:
    """Cubic B-spline weights at fraction t for coefficients -1..2, and their slopes."""
    value = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    slope = (-3 * (1 - t) ** 2, 9 * t**2 - 12 * t, -9 * t**2 + 6 * t + 3, 3 * t**2)
    return np.array(value, np.float32) / 6, np.array(slope, np.float32) / 6
