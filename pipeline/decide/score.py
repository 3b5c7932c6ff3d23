"""One look against its history: how unlike it is, pooled over the footprint of the sensor."""

import numpy as np
from numpy.typing import NDArray

from pipeline.correct.robust import centre_spread
from pipeline.correct.smoothing import gaussian

POOL_PX = 1.0
"""Gaussian sigma of the sensor's footprint on a 10 m grid; won over boxes in trials."""


def score(white: NDArray[np.float32]) -> NDArray[np.float32]:
    """(row, col) float32 in sigma, NaN where not usable: length of the pooled whitened residual.

    white: (band, row, col), unit variance on quiet ground, NaN where not usable. The length is scaled so that its
    median over the scene is that of quiet ground, and so pooled noise that is not independent does not add up.
    """
    known = np.asarray(np.isfinite(white).all(axis=0))
    share = gaussian(known, POOL_PX)
    pooled = gaussian(np.where(known, white, 0), POOL_PX) / np.maximum(share, 0.1)
    length = np.sqrt(np.sum(np.square(pooled), axis=0))
    length = np.where(known, length, np.nan)
    centre, spread = centre_spread(length)
    if not np.isfinite(centre) or centre <= 0:
        return np.full(known.shape, np.nan, np.float32)
    return np.asarray((length - centre) / np.maximum(spread, 0.25 * centre), np.float32)
