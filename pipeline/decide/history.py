"""What a site's past lets expect of a look, and how sure: a recursive model of mean spectrum and restlessness.

Each look is explained by the mean spectra of its own past: one robust linear map a look, from the mean spectrum of
a pixel to its spectrum now, shared by the whole scene. Season, haze and sun act on like ground alike and go into the
map; what is left is the pixel's own. (The chronochrome of Schaum and Stocker 1998, with the stack's mean as its
first image.) Cost and memory of a look do not depend on how many came before.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.correct.robust import centre_spread

MEMORY = 12.0
"""Looks after which the mean forgets: a slow drift of a place is no change."""
FIT_TURNS = 4
MAX_FIT_PIXELS = 20_000
FLOOR = 0.002
"""Reflectance; no look is trusted below it (quantisation, resampling)."""
RESTLESS_PRIOR = 4.0
"""Looks that the scene's average is worth against a pixel's own spread."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """mean: (band, row, col) reflectance. weight: (row, col) looks behind it, at most MEMORY. restless: (row, col),
    mean square of the whitened residual per band over the past, 1 = as quiet as the scene.
    """

    mean: NDArray[np.float32]
    weight: NDArray[np.float32]
    restless: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residual:
    """What a look has that its history did not expect.

    reflectance: (band, row, col), NaN where not usable or without history. white: the same, whitened by the look's
    covariance and the pixel's restlessness: unit variance on quiet ground.
    """

    reflectance: NDArray[np.float32]
    white: NDArray[np.float32]


def start(stack: NDArray[np.float32]) -> History:
    """History of the first looks: their median. stack: (look, band, row, col), NaN where not usable."""
    known = np.isfinite(stack).all(axis=1)
    count = known.sum(axis=0).astype(np.float32)
    mean = centre_spread(stack, axis=0)[0].astype(np.float32)
    return History(mean=mean, weight=count, restless=np.ones(count.shape, np.float32))


def residual(history: History, values: NDArray[np.float32], steady: NDArray[np.bool_]) -> Residual | None:
    """A look against its history; None where too little steady ground is left to explain it.

    values: (band, row, col) reflectance, NaN where not usable. steady: (row, col), True = not under suspicion.
    """
    known = np.isfinite(values).all(axis=0) & np.isfinite(history.mean).all(axis=0)
    fitting = np.flatnonzero(known & steady)
    bands = len(values)
    if fitting.size < 40 * (bands + 1):
        return None
    # every n-th pixel, not a random draw: the same looks give the same bits
    fitting = fitting[:: max(1, fitting.size // MAX_FIT_PIXELS)]
    design = _design(history.mean.reshape(bands, -1)[:, fitting])
    coefficients, covariance = _fit(design, values.reshape(bands, -1)[:, fitting])
    rest = values - (coefficients.T @ _design(history.mean.reshape(bands, -1))).reshape(values.shape)
    rest = np.where(known, rest, np.nan).astype(np.float32)
    whitener = np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.float32)
    white = np.tensordot(whitener, rest, axes=(1, 0))
    calm = (RESTLESS_PRIOR + history.weight * history.restless) / (RESTLESS_PRIOR + history.weight)
    return Residual(
        reflectance=np.asarray(rest, np.float32), white=(white / np.sqrt(np.maximum(calm, 1.0))).astype(np.float32)
    )


def learn(history: History, found: Residual, trust: NDArray[np.float32]) -> History:
    """The history with one more look. trust: (row, col) 0..1, how far a pixel is believed to be unchanged."""
    known = np.isfinite(found.white).all(axis=0)
    gain = np.where(known, trust / (np.minimum(history.weight, MEMORY - 1) + 1), 0).astype(np.float32)
    mean = np.where(known, history.mean + gain * np.nan_to_num(found.reflectance), history.mean)
    square = np.where(known, np.nan_to_num((found.white**2).mean(axis=0)), 0)
    # a residual counts at most as three sigmas: one bird is no restless pixel
    restless = history.restless + gain * (np.minimum(square * _calm(history), 9.0) - history.restless)
    weight = np.minimum(history.weight + np.where(known, trust, 0), MEMORY)
    return History(mean=mean.astype(np.float32), weight=weight.astype(np.float32), restless=restless.astype(np.float32))


def _calm(history: History) -> NDArray[Any]:
    calm = (RESTLESS_PRIOR + history.weight * history.restless) / (RESTLESS_PRIOR + history.weight)
    return np.maximum(calm, 1.0)


def _design(mean: NDArray[Any]) -> NDArray[np.float64]:
    """(1 + band, pixel): a constant and the mean spectrum."""
    return np.vstack([np.ones((1, mean.shape[1])), mean]).astype(np.float64)


def _fit(design: NDArray[np.float64], values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients (1 + band, band) and residual covariance (band, band), both robust by reweighting whole pixels."""
    y = values.astype(np.float64)
    weights = np.ones(y.shape[1])
    ridge = np.eye(len(design)) * 1e-6 * y.shape[1]
    ridge[0, 0] = 0
    coefficients = np.zeros((len(design), len(y)))
    covariance = np.eye(len(y))
    for _ in range(FIT_TURNS):
        coefficients = np.linalg.solve((design * weights) @ design.T + ridge, (design * weights) @ y.T)
        rest = y - coefficients.T @ design
        covariance = (rest * weights) @ rest.T / weights.sum() + np.eye(len(y)) * FLOOR**2
        distance = np.einsum("ij,ik,kj->j", rest, np.linalg.inv(covariance), rest)
        # the weighted covariance is too small by what the weights cut: the median distance puts it right
        covariance *= max(float(np.median(distance)) / _chi2_median(len(y)), 0.05)
        distance /= max(float(np.median(distance)) / _chi2_median(len(y)), 0.05)
        weights = np.where(distance < 9 * len(y), 1 / np.maximum(1, distance / (2 * len(y))), 0)
    return coefficients, covariance


def _chi2_median(degrees: int) -> float:
    """Median of chi-square (Wilson & Hilferty 1931)."""
    return degrees * (1 - 2 / (9 * degrees)) ** 3
