"""Robust statistics, in one place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation of a normal distribution to its standard deviation."""

TUKEY_C = 4.685
"""Biweight cut-off in sigmas with 95 % efficiency on normal residuals (Beaton & Tukey 1974; Holland & Welsch 1977)."""


def centre_spread(x: NDArray[Any], axis: int | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Median and 1.4826 MAD along an axis (None: over all), NaN left out; NaN where nothing is left."""
    finite = np.isfinite(x)
    if axis is None and finite.any():
        # the common case, without the detour over nanmedian's masks
        values = np.ravel(x) if finite.all() else x[finite]
        middle = np.median(values)
        return np.asarray(middle), np.asarray(MAD_TO_SIGMA * np.median(np.abs(values - middle)))
    empty = ~finite.any(axis=axis, keepdims=True)
    filled = np.where(empty, 0.0, np.where(finite, x, np.nan))
    centre = np.nanmedian(filled, axis=axis, keepdims=True)
    spread = MAD_TO_SIGMA * np.nanmedian(np.abs(filled - centre), axis=axis, keepdims=True)
    centre, spread = np.where(empty, np.nan, centre), np.where(empty, np.nan, spread)
    return np.squeeze(centre, axis=axis), np.squeeze(spread, axis=axis)


def tukey_weights(residual: NDArray[Any], scale: float) -> NDArray[Any]:
    """Biweight of residuals, 0..1; `scale` is one robust sigma in their unit. 0 beyond 4.685 scales."""
    u = residual / (TUKEY_C * max(float(scale), float(np.finfo(np.float32).tiny)))
    return np.asarray(np.where(np.abs(u) < 1, (1 - u * u) ** 2, 0.0))
