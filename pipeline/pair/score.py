"""Score of a pixel of a pair: distance from the unchanged majority of the pair, and four factors of plausibility."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.model.bands import Band
from pipeline.model.indices import near_infrared, normalised_difference
from pipeline.numerics.clusters import PRIOR_PIXELS, SMALLEST, cluster_pixels, robust_covariance, squared_distance
from pipeline.numerics.robust import centre_spread

Array = NDArray[Any]

FOOTPRINT_PX = 1.0
"""Gaussian sigma over which spectra are pooled: about the sensor's own footprint."""
CLUSTERS = 8
"""Kinds of cover whose change from date to date is expected apart; 5 do as well, 24 begin to explain change away."""
SAMPLE = 40_000
"""Pixels that clusters and covariances are fitted on."""
LEAST_DIFFERENCE = 0.006
"""Least 1-sigma difference of two looks at unchanged ground, reflectance: radiometry and resampling allow no less."""
CEILING = 20.0
"""Limit of the score in sigmas: a specular roof must not dominate its surroundings."""
NEAR_PX, WIDE_PX = 2.0, 6.0
"""Gaussian sigmas over which neighbours lend support: a building, and a building site."""
GREEN, GREEN_WIDTH = 0.45, 0.07
"""NDVI above which the ground is vegetation at the second date and not a building."""
WATER_WIDTH = 0.05
TEXTURE = 0.08
"""Local contrast (standard deviation of log brightness) of built ground at 10 m; fields have a third of it."""
TEXTURE_PX = (2.0, 4.0)
LEAST_TEXTURE = 0.3


def score_pair(
    bands: tuple[Band, ...], before: Array, after: Array, measured: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Pooled score in robust sigmas of the unchanged majority, (row, col), 0 or more; higher = more surely built.

    before, after: (band, row, col) reflectance, registered and normalised to each other. measured: (row, col) bool.

    Method: Mahalanobis distance of the difference under robust covariances, of the scene as a whole and within
    clusters of like cover taken before and after in turn (a chronochrome by clusters), their geometric mean; damped
    where it is green now, water at both dates, or smooth at both; pooled over the neighbourhood.
    """
    one, two = _fill_gaps(before, measured), _fill_gaps(after, measured)
    smooth = [np.stack([ndimage.gaussian_filter(plane, FOOTPRINT_PX) for plane in image]) for image in (one, two)]
    old, new = (image[:, measured].T.astype(np.float64) for image in smooth)
    raw = np.zeros(measured.shape, np.float32)
    plain, rotated = _cluster_distance(old, new, 1, False), _cluster_distance(old, new, 1, True)
    forth, back = (
        _cluster_distance(old, new, CLUSTERS, True),
        _cluster_distance(new, old, CLUSTERS, True),
    )
    raw[measured] = np.sqrt(np.sqrt(plain * rotated * forth * back))
    sigmas = np.where(measured, np.clip(_standardise_distance(raw, measured, len(bands)), 0, CEILING), 0)
    sigmas *= _plausibility(bands, smooth[0], smooth[1])
    near, wide = (ndimage.gaussian_filter(sigmas, px) for px in (NEAR_PX, WIDE_PX))
    return np.asarray(np.cbrt(sigmas * near * wide) * _texture_share(bands, one, two), np.float32)


def _fill_gaps(image: Array, measured: NDArray[np.bool_]) -> Array:
    middle = np.median(image[:, measured], axis=1)[:, None, None]
    return np.asarray(np.where(measured, image, middle), np.float32)


def _cluster_distance(given: Array, wanted: Array, clusters: int, correlated: bool) -> Array:
    """Distance of wanted - given, (pixel, band), in sigmas a band of pixels whose `given` is alike."""
    step = max(len(given) // SAMPLE, 1)
    labels = cluster_pixels(given, clusters, step)
    change = wanted - given
    everywhere = robust_covariance(change[::step])
    out = np.empty(len(given))
    for cluster in range(clusters):
        members = np.flatnonzero(labels == cluster)
        centre, covariance = everywhere
        if len(members) >= SMALLEST:
            sample = members[:: max(len(members) // SAMPLE, 1)]
            centre, own = robust_covariance(change[sample])
            share = len(members) / (len(members) + PRIOR_PIXELS)
            covariance = share * own + (1 - share) * everywhere[1]
        if not correlated:
            covariance = np.diag(np.diag(covariance))
        off = change[members] - centre
        out[members] = np.sqrt(
            squared_distance(off, covariance + LEAST_DIFFERENCE**2 * np.eye(given.shape[1])) / given.shape[1]
        )
    return out


def _standardise_distance(raw: Array, measured: NDArray[np.bool_], bands: int) -> Array:
    """Sigmas above the median of the majority; never finer than what pure noise of that many bands would scatter."""
    middle, width = centre_spread(raw[measured])
    return np.asarray((raw - max(float(middle), LEAST_MIDDLE)) / max(float(width), np.sqrt(0.5 / bands)))


LEAST_MIDDLE = 0.9
"""Median distance a band of pure noise: smaller ones mean that the floor of the noise is above all that is seen."""


def _plausibility(bands: tuple[Band, ...], before: Array, after: Array) -> Array:
    """0..1, (row, col): small where vegetation stands now, and where there was water and is still."""
    near = near_infrared(bands)
    if near is None:
        return np.ones(before.shape[1:], np.float32)
    red, green, infrared = (bands.index(band) for band in (Band.B04, Band.B03, near))
    bare = _logistic((GREEN - _difference_index(after, infrared, red)) / GREEN_WIDTH)
    wet = np.minimum(_difference_index(before, green, infrared), _difference_index(after, green, infrared))
    return np.asarray(bare * _logistic(-wet / WATER_WIDTH))


def _texture_share(bands: tuple[Band, ...], before: Array, after: Array) -> Array:
    """LEAST_TEXTURE..1: local contrast of brightness at both dates, full where it is that of built ground."""
    contrast = []
    visible = [bands.index(band) for band in (Band.B02, Band.B03, Band.B04)]
    fine, coarse = TEXTURE_PX
    for image in (before, after):
        light = np.log(np.maximum(image[visible].mean(axis=0), 0.01))
        detail = light - ndimage.gaussian_filter(light, fine)
        contrast.append(np.sqrt(ndimage.gaussian_filter(detail**2, coarse)))
    return np.asarray(np.clip(np.sqrt(contrast[0] * contrast[1]) / TEXTURE, LEAST_TEXTURE, 1))


def _difference_index(image: Array, first: int, second: int) -> Array:
    return normalised_difference(image[first], image[second])


def _logistic(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))
