"""Radiometric normalisation: one gain, one offset and, where there is room, one smooth field a band.

Gain and offset are a maximum a posteriori estimate. The prior is the calibration of the sensor and its processors. The
weight of the data is that of an effective number of samples, because the misfit of season and change is correlated
over the scene: ten thousand pixels are not ten thousand measurements.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.imagery import NOISE_FLOOR
from pipeline.numerics.robust import centre_spread, tukey_weights, worst_band_weights

MAX_TURNS = 20
"""Most iterations of a reweighted fit."""
GAIN_SIGMA, OFFSET_SIGMA = 0.1, 0.02
"""Prior standard deviations of the logarithm of the gain and of the offset: 5 % and 0.01 of calibration and atmospheric
correction (Sentinel-2 data quality reports), doubled for sun, view angle and older processors."""
SAMPLES = 50
"""Effective number of independent samples of a chip: patches of about 350 m, over which season and change correlate."""
SLOPE_RANGE = 1 / math.sqrt(3)
"""Standard deviation of a uniform distribution in units of its half width."""
MIN_PIXELS = 200
"""Least usable pixels of a fit."""
STEADY = 0.1
"""Weight from which a pixel counts for the scatter."""
MAX_LINE_PIXELS = 10_000
"""Most pixels that a line is fitted to, in a regular sample."""
FIELD_MIN_PIXELS = 4000
"""Least usable pixels of a chip with a field."""
FIELD_BLOCK = 8
"""Side of the blocks whose medians a field is fitted to, pixels."""
FIELD_TURNS, SAME_GAIN = 3, 2e-4
"""How often field and lines are fitted to each other, unless no gain moves by more than this."""
MIN_BLOCKS = 40
"""Least number of blocks of a field."""
SURE_FIELD_GAIN, FAR_SIGMAS = 0.1, 3.0
"""Share of the scatter of block medians that a field must remove to be applied in full; below it the field counts
in proportion, so that a small difference does not switch it over the whole chip (decision 0035). Distance of a block in
robust sigmas above which it counts no more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Radiometry:
    """reflectance = gain * measured + offset - field, per band; scatter: 1-sigma left on ground that stayed.

    field: (band, 5) coefficients of x, y, x*x, x*y, y*y over the chip, x and y in -1..1; zero where none is used.
    """

    gain: tuple[float, ...]
    offset: tuple[float, ...]
    scatter: tuple[float, ...]
    field: NDArray[np.float64]


def fit_radiometry(
    reflectance: NDArray[Any],
    expected: NDArray[Any],
    usable: NDArray[np.bool_],
    seasonal: NDArray[Any] | None = None,
) -> Radiometry | None:
    """Gain, offset and field per band that bring a look to what its site's history expects.

    reflectance, expected: (band, row, col) float, 1 = 100 %. usable: (row, col) bool, True = both are ground.
    seasonal: the reference in the season and light of this look (`seasonal_prediction.predict_season`). The field is
    then read from the difference to it, so that a forest beside fields is not taken for haze when its leaves fall.
    Pixels that differ from it have changed, and lose their weight in the lines too (Tukey's biweight).
    None where fewer than 200 usable pixels are left. Gain and field are fitted in turns.
    """
    good = np.asarray(usable & np.isfinite(reflectance).all(axis=0) & np.isfinite(expected).all(axis=0))
    where = np.flatnonzero(good)
    if where.size < MIN_PIXELS:
        return None
    # every n-th pixel for the lines, not a random draw: the same look gives the same bits
    thin = where[:: max(1, where.size // MAX_LINE_PIXELS)]
    x, y = _take(reflectance, thin), _take(expected, thin)
    # ground that did not step has weight: by the band that differs most from the seasonal prediction
    steady = np.ones(thin.size) if seasonal is None else worst_band_weights(x - _take(seasonal, thin), NOISE_FLOOR)
    lines = [_fit_line(one, two, steady) for one, two in zip(x, y, strict=True)]
    field = np.zeros((len(x), 5))
    blocks = _make_blocks(good) if where.size >= FIELD_MIN_PIXELS else None
    off = None
    if seasonal is not None and blocks is not None:
        off = blocks.medians(reflectance - seasonal)
    for _ in range(FIELD_TURNS):
        if blocks is None:
            break
        if off is not None:
            # the medians of what a gain stretches are the medians, stretched
            level = np.stack([line[0] * each for line, each in zip(lines, off, strict=True)])
        else:
            whole = zip(lines, reflectance.astype(np.float64), expected, strict=True)
            level = blocks.medians(np.stack([line[0] * one + line[1] - two for line, one, two in whole]))
        field = np.stack([_fit_field(blocks.design, each) for each in level])
        if not field.any():
            break
        flat = y + field @ _take(_surface_terms(good.shape), thin)
        before, lines = lines, [_fit_line(one, two, steady) for one, two in zip(x, flat, strict=True)]
        if max(abs(new[0] - old[0]) for new, old in zip(lines, before, strict=True)) < SAME_GAIN:
            break
    gains, offsets, scatters = zip(*lines, strict=True)
    return Radiometry(gain=gains, offset=offsets, scatter=scatters, field=field)


def apply_radiometry(reflectance: NDArray[Any], radiometry: Radiometry) -> NDArray[np.float32]:
    """Corrected reflectance, (band, row, col) float32."""
    gain = np.array(radiometry.gain, np.float32)[:, None, None]
    offset = np.array(radiometry.offset, np.float32)[:, None, None]
    corrected = reflectance * gain + offset
    if radiometry.field.any():
        corrected -= np.tensordot(
            radiometry.field.astype(np.float32), _surface_terms(reflectance.shape[1:]), axes=(1, 0)
        )
    return np.asarray(corrected, np.float32)


def _take(planes: NDArray[Any], where: NDArray[np.intp]) -> NDArray[np.float64]:
    """(band, where): these pixels of (band, row, col)."""
    return planes.reshape(len(planes), -1).take(where, axis=1).astype(np.float64)


def _fit_line(
    measured: NDArray[np.float64], wanted: NDArray[np.float64], steady: NDArray[np.float64]
) -> tuple[float, float, float]:
    """(gain, offset, scatter) of one band."""
    gain, offset, kept = 1.0, 0.0, steady > STEADY
    if not kept.any():
        kept = np.ones(steady.size, bool)
    x_kept, y_kept = measured[kept], wanted[kept]
    line = _LineSums(measured, wanted)
    for turn in range(MAX_TURNS):
        centre, scale = centre_spread(y_kept - gain * x_kept)
        residual = wanted - gain * measured
        # wide at first: while the slope is wrong, it is the ground of much contrast that looks like change
        weights = steady * tukey_weights(residual - centre, max(float(scale), 2e-4) * max(1.0, 2.0 - 0.5 * turn))
        before = gain
        gain, offset = line.solve(weights, float(scale))
        if turn > 2 and abs(gain - before) < 1e-5:
            break
    return gain, offset, float(centre_spread(y_kept - gain * x_kept - offset)[1])


class _LineSums:
    """The lines between two variables under changing weights: the products that are summed are formed once."""

    def __init__(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self._middle = float(x.mean()), float(y.mean())
        # around their middles, or the sums of squares lose digits
        x, y = x - self._middle[0], y - self._middle[1]
        self._products = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])

    def solve(self, weights: NDArray[np.float64], scale: float) -> tuple[float, float]:
        """(gain, offset): the slope of the two spreads (reduced major axis) and the means, each drawn to its prior.

        The true slope lies between the regressions of y on x and of x on y, which differ from the reduced major axis
        by the logarithm of the correlation in either direction; this adds to the sampling variance of the slope.
        """
        total, *sums = (self._products @ weights).tolist()
        x_mean, y_mean, xx, yy, xy = (each / max(total, 1e-9) for each in sums)
        own, other = (max(square - mean**2, 0.0) + 1e-12 for square, mean in ((xx, x_mean), (yy, y_mean)))
        correlation = min(max((xy - x_mean * y_mean) / math.sqrt(own * other), 1e-3), 1.0)
        variance = (1 - correlation**2) / SAMPLES + (SLOPE_RANGE * math.log(correlation)) ** 2
        gain = math.exp(0.5 * math.log(other / own) * GAIN_SIGMA**2 / (GAIN_SIGMA**2 + variance))
        level = y_mean + self._middle[1] - gain * (x_mean + self._middle[0])
        return gain, level * OFFSET_SIGMA**2 / (OFFSET_SIGMA**2 + scale**2 / SAMPLES)


@lru_cache(maxsize=2)
def _surface_terms(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(5, row, col): x, y, x*x, x*y, y*y over the chip, each -1..1. Kept: all looks of a site ask for the same."""
    row, col = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
    y, x = np.meshgrid(row, col, indexing="ij")
    return np.stack([x, y, x * x, x * y, y * y])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Blocks:
    """Blocks of the chip in which enough is usable. good: (row, col) usable. kept: the blocks that count. count: usable
    pixels of each of them. design: (6, kept) the terms of a surface in their middles.
    """

    good: NDArray[np.bool_]
    kept: NDArray[np.int64]
    count: NDArray[np.int64]
    design: NDArray[np.float64]

    def medians(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(band, kept): upper median of the usable (band, row, col) values of each block, as rows of one sort."""
        out = np.empty((len(values), len(self.kept)))
        for band, each in enumerate(values):
            table = _split_blocks(np.where(self.good, each, np.inf).astype(np.float32), np.inf)[self.kept]
            table.sort(axis=1)
            out[band] = table[np.arange(len(table)), self.count // 2]
        return out


def _make_blocks(good: NDArray[np.bool_]) -> _Blocks | None:
    """None where too few blocks are left for a surface."""
    count = np.count_nonzero(_split_blocks(good, False), axis=1)
    kept = np.flatnonzero(count >= FIELD_BLOCK**2 // 3)
    if len(kept) < MIN_BLOCKS:
        return None
    sums = [_split_blocks(term * good, 0)[kept].sum(axis=1, dtype=np.float64) for term in _surface_terms(good.shape)]
    design = np.vstack([np.ones(len(kept)), np.stack(sums) / count[kept]])
    return _Blocks(good=good, kept=kept, count=count[kept], design=design)


def _split_blocks(plane: NDArray[Any], beyond: float) -> NDArray[Any]:
    """(block, pixel) of a (row, col) plane, in rows of blocks; `beyond` fills what the last ones lack."""
    rows, cols = (-(-size // FIELD_BLOCK) for size in plane.shape)
    fill = [(0, blocks * FIELD_BLOCK - size) for blocks, size in zip((rows, cols), plane.shape, strict=True)]
    padded = np.pad(plane, fill, constant_values=beyond).reshape(rows, FIELD_BLOCK, cols, FIELD_BLOCK)
    return padded.swapaxes(1, 2).reshape(rows * cols, FIELD_BLOCK**2)


def _fit_field(design: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """(5,): second-order surface of the medians of blocks, as far as it pays; zero where it does not."""
    curve = _fit_surface(design, level)
    centre, scale = centre_spread(level)
    limit = FAR_SIGMAS * max(float(scale), 1e-6)
    # means, not medians: those of so few blocks jump from one to the next
    flat, left = (float(np.minimum(np.abs(rest), limit).mean()) for rest in (level - centre, level - curve @ design))
    return curve[1:] * float(np.clip((1 - left / max(flat, 1e-9)) / SURE_FIELD_GAIN, 0, 1))


def _fit_surface(design: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    curve = np.zeros(len(design))
    curve[0] = np.median(level)
    for _ in range(MAX_TURNS):
        rest = level - curve @ design
        weights = tukey_weights(rest, max(float(centre_spread(rest)[1]), 1e-5))
        normal = (design * weights) @ design.T + np.eye(len(design)) * 1e-6 * weights.sum()
        before, curve = curve, np.linalg.solve(normal, (design * weights) @ level)
        if float(np.abs(curve - before).max()) < 1e-6:
            break
    return curve
