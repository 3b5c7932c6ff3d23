"""Radiometric normalisation: one gain and offset a band, fitted on ground that stayed the same."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.correct.robust import centre_spread, tukey_weights

MAX_TURNS = 12
GAIN_RANGE = (0.6, 1.7)
"""Beyond it (sun, haze and a changed processor together stay within) a look is not corrected but refused."""
MIN_PIXELS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Radiometry:
    """reflectance = gain * measured + offset, per band; scatter: 1-sigma left on unchanged ground, reflectance."""

    gain: tuple[float, ...]
    offset: tuple[float, ...]
    scatter: tuple[float, ...]


def fit(reflectance: NDArray[Any], expected: NDArray[Any], usable: NDArray[np.bool_]) -> Radiometry | None:
    """Gain and offset per band that bring a look to what its site's history expects.

    reflectance, expected: (band, row, col) float, 1 = 100 %. usable: (row, col) bool, True = both are ground.
    None where fewer than 200 usable pixels are left. Changed ground loses its weight (Tukey's biweight), so a
    change over a tenth of the area does not pull the fit.
    """
    rows = []
    for measured, wanted in zip(reflectance, expected, strict=True):
        good = usable & np.isfinite(measured) & np.isfinite(wanted)
        if int(good.sum()) < MIN_PIXELS:
            return None
        rows.append(_fit_band(measured[good].astype(np.float64), wanted[good].astype(np.float64)))
    gain, offset, scatter = zip(*rows, strict=True)
    return Radiometry(gain=gain, offset=offset, scatter=scatter)


def apply(reflectance: NDArray[Any], radiometry: Radiometry) -> NDArray[np.float32]:
    """Corrected reflectance, (band, row, col) float32."""
    gain = np.array(radiometry.gain, np.float32)[:, None, None]
    offset = np.array(radiometry.offset, np.float32)[:, None, None]
    return np.asarray(reflectance * gain + offset, np.float32)


def _fit_band(measured: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[float, float, float]:
    gain, offset = 1.0, float(np.median(wanted) - np.median(measured))
    scale = 0.0
    for turn in range(MAX_TURNS):
        residual = wanted - gain * measured - offset
        scale = float(centre_spread(residual)[1])
        weights = tukey_weights(residual - (np.median(residual) if turn == 0 else 0), max(scale, 1e-4))
        before = (gain, offset)
        gain, offset = _solve(measured, wanted, weights, max(scale, 1e-4))
        if abs(gain - before[0]) < 1e-5 and abs(offset - before[1]) < 1e-6:
            break
    return gain, offset, scale


def _solve(x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[Any], scale: float) -> tuple[float, float]:
    """Weighted straight line about its centre, corrected for noise in x, and pulled to gain 1 on uniform ground.

    Half of the scatter is taken to be the look's own: it would dilute the slope by var / (var + scale^2 / 2). The
    same amount again on both sides is the prior, so that ground with no more contrast than noise keeps gain 1.
    """
    total = weights.sum()
    x_mean, y_mean = (weights * x).sum() / total, (weights * y).sum() / total
    common = (weights * (x - x_mean) * (y - y_mean)).sum() / total
    own = (weights * (x - x_mean) ** 2).sum() / total
    slope = (common + 1.5 * scale**2) / (own + scale**2)
    return float(slope), float(y_mean - slope * x_mean)
