"""Seasonal prediction: the reference in the season, sun and haze of a look, by one linear map (chronochrome)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.imagery import NOISE_FLOOR
from pipeline.numerics.robust import median, worst_band_weights

MIN_PIXELS = 400
"""Least usable pixels of a prediction."""
MAX_PIXELS = 10_000
"""Most pixels that the map is fitted to, in a regular sample."""
TURNS = 6
"""Iterations of the reweighted fit."""
WIDEN = 1.5
"""Factor on the robust sigmas of the fit: a season moves like ground by more than its noise."""
PRIOR_SHARE = 0.02
"""Weight of the prior (no change from the reference), as a share of the pixels: without it correlated bands get large
opposite coefficients."""


def predict_season(
    reference: NDArray[Any], measured: NDArray[Any], usable: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """The reference in the season and light of a look, (band, row, col); None where fewer than 400 pixels are usable.

    One linear map for the scene, from all bands of the reference to each band of the look, fitted by iteratively
    reweighted least squares on usable ground (chronochrome: Schaum & Stocker 1998). Like ground changes alike with
    season, so a wood that lost its leaves is expected bare. What is changed or clouded loses its weight, as long as
    it is less than about half of the usable ground.
    """
    bands = len(reference)
    good = np.flatnonzero(usable & np.isfinite(reference).all(axis=0) & np.isfinite(measured).all(axis=0))
    if good.size < MIN_PIXELS:
        return None
    # every n-th, not a random draw: the same look gives the same bits
    good = good[:: max(1, good.size // MAX_PIXELS)]
    x, y = (each.reshape(bands, -1).take(good, axis=1).astype(np.float64) for each in (reference, measured))
    centre = median(x, axis=1)[:, None]
    design = np.vstack([np.ones((1, x.shape[1])), x - centre])
    coefficients = _fit(design, y)
    flat = reference.reshape(bands, -1).astype(np.float32, copy=False)
    constant, slopes = coefficients[0] - coefficients[1:].T @ centre[:, 0], coefficients[1:].T.astype(np.float32)
    return np.asarray((slopes @ flat + constant[:, None].astype(np.float32)).reshape(reference.shape), np.float32)


def _fit(design: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 + band, band): starts from the medians' difference, weighs whole pixels by their worst band."""
    bands = len(y)
    prior = np.vstack([np.zeros((1, bands)), np.eye(bands)])
    start = prior.copy()
    start[0] = median(y - design[1:], axis=1)
    pull = np.diag([0.0, *(PRIOR_SHARE * y.shape[1] * np.var(design[1:], axis=1) + 1e-9)])
    coefficients = start
    for _ in range(TURNS):
        weights = worst_band_weights(y - coefficients.T @ design, NOISE_FLOOR, WIDEN)
        if weights.sum() < MIN_PIXELS / 4:
            return coefficients
        weighted = design * weights
        coefficients = np.linalg.solve(weighted @ design.T + pull, weighted @ y.T + pull @ prior)
    return coefficients
