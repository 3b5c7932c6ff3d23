"""Kinds of cover: pixels of like spectrum, whose change from look to look is expected and spreads alike."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.numerics.robust import MAD_TO_SIGMA, median, median_of

Array = NDArray[Any]

SMALLEST = 60
"""Pixels below which a kind is judged by the scene's covariance alone."""
PRIOR_PIXELS = 300
"""Weight, in pixels, of the covariance of the scene as a prior for that of a cluster."""
_TURNS = 15


def cluster_pixels(spectra: Array, count: int, step: int) -> NDArray[np.intp]:
    """Kind of each pixel, (pixel,) 0..count-1: k-means on standardised spectra, the same for the same pixels.

    spectra: (pixel, band) finite. step: sampling step of the fit; all pixels are assigned.
    """
    if count == 1:
        return np.zeros(len(spectra), np.intp)
    middle = np.median(spectra[::step], axis=0)
    spread = MAD_TO_SIGMA * np.median(np.abs(spectra[::step] - middle), axis=0) + 1e-3
    plain = ((spectra - middle) / spread).astype(np.float32)
    sample = plain[::step]
    generator = np.random.default_rng(0)
    centres = sample[generator.choice(len(sample), count, replace=len(sample) < count)].copy()
    for _ in range(_TURNS):
        nearest = ((centres**2).sum(axis=1) - 2 * sample @ centres.T).argmin(axis=1)
        for kind in range(count):
            if (nearest == kind).sum() > 5:
                centres[kind] = sample[nearest == kind].mean(axis=0)
    return np.asarray(((centres**2).sum(axis=1) - 2 * plain @ centres.T).argmin(axis=1))


def robust_covariance(change: Array) -> tuple[Array, Array]:
    """Centre (band,) and covariance (band, band) of the unchanged majority of (pixel, band) differences.

    Pixels at more than 2.5 times the median distance of the majority are left out.
    """
    bands = change.shape[1]
    centre, weights = median(change, axis=0), np.ones(len(change))
    covariance = np.eye(bands)
    for _ in range(6):
        off = change - centre
        covariance = (off * weights[:, None]).T @ off / weights.sum() + 1e-6 * np.eye(bands)
        distance = squared_distance(off, covariance)
        distance *= (bands - 0.66) / max(float(median_of(distance)), 1e-12)
        weights = np.where(distance < 2.5 * bands, 1.0, 1e-9)
        before, centre = centre, (change * weights[:, None]).sum(axis=0) / weights.sum()
        if (centre == before).all():
            break
    off = change - centre
    return centre, (off * weights[:, None]).T @ off / weights.sum()


def squared_distance(off: Array, covariance: Array) -> Array:
    """Squared Mahalanobis length, (pixel,)."""
    whitened = off @ np.linalg.inv(np.linalg.cholesky(covariance)).T
    return np.asarray(np.einsum("ij,ij->i", whitened, whitened))
