"""Residuals of looks against the seasonal prediction from a site's baseline image, averaged at several scales.

Each look is explained by one robust linear map of the baseline spectra (the chronochrome of Schaum & Stocker 1998,
`pipeline.correct.seasonal_prediction`): season, haze and sun act on like ground alike and go into the map. What a
pixel does apart from ground like it stays in the residual. Nothing is updated from look to look, so no change is
learned away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.correct.seasonal_prediction import predict_season
from pipeline.model.imagery import NOISE_FLOOR, Look
from pipeline.numerics.clusters import cluster_pixels
from pipeline.numerics.robust import centre_spread, median, nan_to_zero
from pipeline.numerics.smoothing import gaussian

BASELINE_LOOKS = 24
"""Looks whose median is the baseline image, at most: more only cost memory."""
CLUSTERS = 6
"""Land-cover clusters of a site."""
CLUSTER_PIXELS = 20_000
"""Pixels on which the clusters are fitted, at most."""
SCALES = ((1.0, 1), (3.0, 2))
"""(sigma, stride) in pixels of the Gaussian averages: the sensor's footprint, and ground of about a hectare."""
CAP_SIGMAS = 30.0
"""Length of a residual, in the look's own robust spread, above which it is shortened: a flash of the sun is no roof."""
LEAST_SHARE = 0.3
"""Share of a Gaussian's weight that has to be usable."""
QUANTUM, MISSING = 5e-5, -32768
"""Reflectance of one count of a stored residual, and the count where nothing was usable."""
WEIGHTS = (0.2, 2.0)
"""Least and largest weight of a look, against one of the site's usual noise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """mean: (band, row, col) float32 reflectance, holes filled. cover: (row, col) int8 land-cover cluster."""

    mean: NDArray[np.float32]
    cover: NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residual:
    """One look against its seasonal prediction.

    pooled: one (band, row, col) int16 a scale of SCALES, in counts of QUANTUM, MISSING where not usable; coarse scales
    have one pixel in `stride` along rows and columns. noise: (band,) robust spread of the residuals of single pixels,
    reflectance; infinite where too little ground was usable.
    """

    pooled: tuple[NDArray[np.int16], ...]
    noise: NDArray[np.float32]


def build_baseline(looks: Sequence[Look]) -> Baseline:
    """The median of the first looks, and clusters of its spectra. Holes get the median of their band."""
    first = looks[:BASELINE_LOOKS]
    planes = [
        median(np.stack([np.where(look.usable, look.reflectance[band], np.nan) for look in first]), axis=0)
        for band in range(len(first[0].bands))
    ]
    mean = np.stack(planes).astype(np.float32)
    known = np.isfinite(mean).all(axis=0)
    middle = np.nan_to_num(median(mean.reshape(len(mean), -1), axis=1))
    filled = np.where(known, mean, middle[:, None, None]).astype(np.float32)
    spectra = filled.reshape(len(filled), -1).T
    labels = cluster_pixels(spectra, CLUSTERS, max(1, len(spectra) // CLUSTER_PIXELS))
    return Baseline(mean=filled, cover=labels.reshape(known.shape).astype(np.int8))


def residual_of(look: Look, baseline: Baseline) -> Residual:
    """A look against its prediction; all NaN where too little ground is usable to predict from."""
    known = np.asarray(look.usable & np.isfinite(look.reflectance).all(axis=0))
    predicted = predict_season(baseline.mean, look.reflectance, known)
    bands = len(look.bands)
    if predicted is None:
        empty = tuple(np.full((bands, *known[::step, ::step].shape), MISSING, np.int16) for _, step in SCALES)
        return Residual(pooled=empty, noise=np.full(bands, np.inf, np.float32))
    off = np.where(known, nan_to_zero(look.reflectance) - predicted, 0).astype(np.float32)
    sample = off.reshape(bands, -1)[:, np.flatnonzero(known)[:: max(1, int(known.sum()) // CLUSTER_PIXELS)]]
    noise = np.maximum(centre_spread(sample, axis=1)[1], NOISE_FLOOR).astype(np.float32)
    length = np.sqrt(np.mean((off / noise[:, None, None]) ** 2, axis=0))
    off *= np.minimum(1, CAP_SIGMAS / np.maximum(length, 1e-6))
    return Residual(pooled=tuple(_smooth_plane(off, known, *scale) for scale in SCALES), noise=noise)


def _smooth_plane(off: NDArray[np.float32], known: NDArray[np.bool_], sigma: float, stride: int) -> NDArray[np.int16]:
    """(band, row, col) Gaussian mean over usable pixels. off: 0 where not usable."""
    share = gaussian(known, sigma, 3.0)[::stride, ::stride]
    usable = known[::stride, ::stride] & (share > LEAST_SHARE)
    mean = gaussian(off, sigma, 3.0)[:, ::stride, ::stride] / np.maximum(share, LEAST_SHARE)
    counts = np.clip(np.rint(mean / np.float32(QUANTUM)), MISSING + 1, -MISSING - 1)
    return np.where(usable, counts, MISSING).astype(np.int16)


def reflectance_of(counts: NDArray[np.int16]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Stored residuals (look, band, ...) as reflectance, 0 where not usable; and (look, ...), True = usable."""
    clear = counts[:, 0] != MISSING
    values = counts * np.float32(QUANTUM)
    return np.multiply(values, clear[:, None], out=values), clear
