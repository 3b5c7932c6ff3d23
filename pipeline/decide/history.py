"""What a site's past lets expect of a look, and how sure: a recursive model of mean spectrum, season and restlessness.

Each look is explained by the mean spectra of its own past: one robust linear map a look, from the mean spectrum of
a pixel to its spectrum now, shared by the whole scene. Season, haze and sun act on like ground alike and go into the
map (the chronochrome of Schaum and Stocker 1998, with the stack's mean as its first image). What a pixel does every
year apart from its like is learned as one harmonic of its own, by a Kalman filter. How far what is left may stray is
asked of the same kind of cover in the same look. Cost and memory of a look do not depend on how many came before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.correct.robust import centre_spread, median, median_of, zeroed
from pipeline.decide.cover import PRIOR_PIXELS, SMALLEST, kinds, spread
from pipeline.model.bands import Band
from pipeline.model.imagery import Look

FIT_TURNS = 4
MAX_FIT_PIXELS = 20_000
FLOOR = 0.002
"""Reflectance; no look is trusted below it (quantisation, resampling)."""
RESTLESS_PRIOR = 4.0
"""Looks that the scene's average is worth against a pixel's own spread."""
KINDS = 6
GAIN_ERROR = 0.06
"""Of how far a pixel stands off its kind: slopes of the scene's map, BRDF and sun angle leave so much unsaid."""
BARE_SEASON, GREEN_SEASON = 0.5, 8.0
"""Variance of a pixel's own harmonic before any year was seen, in units of the look's noise: of bare and built ground,
and of what is green, which may brown in a season not seen yet and further than its like."""
GREEN_FROM, GREEN_TO = 0.2, 0.6
UNKNOWN = 100.0
"""Variance of a level before the first look."""
LEVEL_DRIFT, SEASON_DRIFT = 1 / 144, 1 / 2000
"""Variance a look adds: a slow drift of a place is no change; the mean remembers about twelve looks."""
MEMORY = 12.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """mean: (band, row, col) reflectance. season: (2, band, row, col), cosine and sine of the year, of the pixel's own.
    doubt: (3, 3, row, col), covariance of (mean, cosine, sine) in units of a look's noise. weight: (row, col) looks
    behind it, at most MEMORY. restless: (row, col), mean square of the whitened residual per band, 1 = as quiet as
    its kind. kind: (row, col) of the cover.
    """

    mean: NDArray[np.float32]
    season: NDArray[np.float32]
    doubt: NDArray[np.float32]
    weight: NDArray[np.float32]
    restless: NDArray[np.float32]
    kind: NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residual:
    """What a look has that its history did not expect.

    reflectance: (band, row, col), NaN where not usable or without history. white: the same, whitened by the look's
    covariance and the pixel's restlessness: unit variance on quiet ground. expected: (band, row, col) reflectance.
    """

    reflectance: NDArray[np.float32]
    white: NDArray[np.float32]
    expected: NDArray[np.float32]


def start(looks: Sequence[Look]) -> History:
    """History of the first looks: their median, and what their days leave in doubt."""
    stack = np.stack([clear_values(look) for look in looks])
    known: NDArray[np.bool_] = np.asarray(np.isfinite(stack).all(axis=1))
    mean = median(stack, axis=0).astype(np.float32)
    doubt = _unknown(looks[0].bands, mean)
    for index, look in enumerate(looks):
        phase = np.array(_phase(look.time), np.float32)
        reach = np.tensordot(phase, doubt, axes=(0, 0))
        gain = np.where(known[index], reach / (np.tensordot(phase, reach, axes=(0, 0)) + 1), 0)
        doubt = np.asarray(doubt - gain[:, None] * reach[None], np.float32)
    return History(
        mean=mean,
        season=np.zeros((2, *mean.shape), np.float32),
        doubt=doubt,
        weight=known.sum(axis=0).astype(np.float32),
        restless=np.ones(mean.shape[1:], np.float32),
        kind=_kinds(mean),
    )


def clear_values(look: Look) -> NDArray[np.float32]:
    """(band, row, col) reflectance, NaN where not usable."""
    return np.where(look.usable, look.reflectance, np.nan).astype(np.float32)


def _unknown(bands: tuple[Band, ...], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, 3, row, col): doubt before any look; green ground may have a season of its own."""
    doubt = np.zeros((3, 3, *mean.shape[1:]), np.float32)
    near = next((bands.index(band) for band in (Band.B08, Band.B8A) if band in bands), None)
    green = np.zeros(mean.shape[1:], np.float32)
    if near is not None and Band.B04 in bands:
        index = vegetation_index(mean[near], mean[bands.index(Band.B04)])
        green = np.clip((np.nan_to_num(index) - GREEN_FROM) / (GREEN_TO - GREEN_FROM), 0, 1)
    doubt[0, 0] = UNKNOWN
    doubt[1, 1] = doubt[2, 2] = BARE_SEASON + (GREEN_SEASON - BARE_SEASON) * green
    return doubt


def vegetation_index(near: NDArray[Any], red: NDArray[Any]) -> NDArray[Any]:
    """NDVI, steady where both are dark."""
    return np.asarray((near - red) / np.maximum(near + red, 0.02))


def sorted_anew(history: History) -> History:
    """The same history, its kinds of cover told apart by what the mean is now."""
    return replace(history, kind=_kinds(history.mean))


def residual(
    history: History, values: NDArray[np.float32], when: datetime, steady: NDArray[np.bool_]
) -> Residual | None:
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
    _, cosine, sine = _phase(when)
    own = cosine * history.season[0] + sine * history.season[1]
    flat = (values - own).reshape(bands, -1)
    means = history.mean.reshape(bands, -1)
    coefficients, covariance = _fit(_design(means[:, fitting]), flat[:, fitting])
    constant, slopes = coefficients[0].astype(np.float32), coefficients[1:].astype(np.float32)
    rest = (flat - (slopes.T @ means + constant[:, None])).reshape(values.shape)
    rest = np.where(known, rest, np.nan).astype(np.float32)
    rest, white, odd = _by_kind(rest, history, fitting, covariance)
    sure = np.sqrt(_calm(history) * (1 + _doubt(history, when)) + GAIN_ERROR**2 * odd)
    return Residual(
        reflectance=rest, white=(white / sure).astype(np.float32), expected=np.asarray(values - rest, np.float32)
    )


def learn(history: History, found: Residual, when: datetime, trust: NDArray[np.float32]) -> History:
    """The history with one more look. trust: (row, col) 0..1, how far a pixel is believed to be unchanged."""
    known = np.isfinite(found.white).all(axis=0)
    believed = np.where(known, trust, 0).astype(np.float32)
    phase = np.array(_phase(when), np.float32)
    reach = np.tensordot(phase, history.doubt, axes=(0, 0))
    total = np.tensordot(phase, reach, axes=(0, 0))
    gain = believed * reach / (believed * total + 1)
    step = np.where(known, found.reflectance, 0)
    doubt = history.doubt - gain[:, None] * reach[None]
    for index, drift in enumerate((LEVEL_DRIFT, SEASON_DRIFT, SEASON_DRIFT)):
        doubt[index, index] += drift * believed
    square = np.where(known, (found.white**2).mean(axis=0), 0)
    # a residual counts at most as three sigmas: one bird is no restless pixel
    rate = believed / (np.minimum(history.weight, MEMORY - 1) + 1)
    restless = history.restless + rate * (np.minimum(square * _calm(history), 9.0) - history.restless)
    return replace(
        history,
        mean=np.asarray(history.mean + gain[0] * step, np.float32),
        season=np.asarray(history.season + gain[1:, None] * step[None], np.float32),
        doubt=np.asarray(doubt, np.float32),
        weight=np.minimum(history.weight + believed, MEMORY),
        restless=restless.astype(np.float32),
    )


def adopt(history: History, look: Look) -> History:
    """Ground that was under cloud in all first looks gets its history from the first look that sees it."""
    unknown = ~np.isfinite(history.mean).all(axis=0)
    if not unknown.any():
        return history
    values = clear_values(look)
    new = unknown & np.isfinite(values).all(axis=0)
    if not new.any():
        return history
    doubt = np.where(new, _unknown(look.bands, values), history.doubt).astype(np.float32)
    doubt[0, 0][new] = 1
    return replace(
        history,
        mean=np.where(new, values, history.mean).astype(np.float32),
        weight=np.where(new, 1, history.weight).astype(np.float32),
        doubt=doubt,
    )


def _phase(when: datetime) -> tuple[float, float, float]:
    turn = 2 * np.pi * when.timetuple().tm_yday / 365.25
    return 1.0, float(np.cos(turn)), float(np.sin(turn))


def _doubt(history: History, when: datetime) -> NDArray[Any]:
    """(row, col): variance of what is expected on a day, in units of the look's noise."""
    phase = np.array(_phase(when), np.float32)
    return np.asarray(np.maximum(np.einsum("i,ijrc,j->rc", phase, history.doubt, phase), 0))


def _calm(history: History) -> NDArray[Any]:
    calm = (RESTLESS_PRIOR + history.weight * history.restless) / (RESTLESS_PRIOR + history.weight)
    return np.maximum(calm, 1.0)


def _kinds(mean: NDArray[np.float32]) -> NDArray[np.int8]:
    out = np.zeros(mean.shape[1:], np.int8)
    known = np.isfinite(mean).all(axis=0)
    if int(known.sum()) > KINDS * SMALLEST:
        spectra = mean[:, known].T
        out[known] = kinds(spectra, KINDS, max(1, len(spectra) // MAX_FIT_PIXELS))
    return out


def _by_kind(
    rest: NDArray[np.float32], history: History, fitting: NDArray[np.intp], covariance: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The residual less the middle of its kind of cover, that whitened by its kind's covariance, and (row, col) how far
    the pixel's mean stands off its kind, squared and per band, in the same units.
    """
    bands = len(rest)
    flat, label = rest.reshape(bands, -1), history.kind.ravel()
    # pixels of one kind side by side: what is done to a kind is then done to a slice
    order = np.argsort(label, kind="stable")
    ends = np.searchsorted(label[order], np.arange(KINDS + 1))
    less, means = flat.take(order, axis=1), history.mean.reshape(bands, -1).take(order, axis=1)
    white, odd = np.empty_like(less), np.empty(label.size, np.float32)
    floor = FLOOR**2 * np.eye(bands)
    for each, members in enumerate(slice(*pair) for pair in pairwise(ends.tolist())):
        if members.start == members.stop:
            continue
        fitted = fitting[label[fitting] == each]
        own = covariance
        if fitted.size >= SMALLEST:
            centre, found = spread(flat.take(fitted, axis=1).T.astype(np.float64))
            share = fitted.size / (fitted.size + PRIOR_PIXELS)
            own = share * (found + floor) + (1 - share) * covariance
            less[:, members] -= (share * centre)[:, None].astype(np.float32)
        whitener = np.linalg.inv(np.linalg.cholesky(own)).astype(np.float32)
        white[:, members] = whitener @ less[:, members]
        off = means[:, members] - median(means[:, members], axis=1)[:, None]
        odd[members] = zeroed(((whitener @ off) ** 2).mean(axis=0))
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    return (
        less.take(back, axis=1).reshape(rest.shape),
        white.take(back, axis=1).reshape(rest.shape),
        odd.take(back).reshape(rest.shape[1:]),
    )


def _design(mean: NDArray[Any]) -> NDArray[np.float64]:
    """(1 + band, pixel): a constant and the mean spectrum."""
    return np.vstack([np.ones((1, mean.shape[1])), mean]).astype(np.float64)


def _fit(design: NDArray[np.float64], values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients (1 + band, band) and residual covariance (band, band), both robust by reweighting whole pixels."""
    y = values.astype(np.float64)
    # a few bright roofs pull any map towards themselves: first those are believed that look as they did
    plain = y - design[1:]
    centre, scale = (each[:, None] for each in centre_spread(plain, axis=1))
    weights = _believed((((plain - centre) / (scale + FLOOR)) ** 2).sum(axis=0), len(y))
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
        covariance *= max(float(median_of(distance)) / _chi2_median(len(y)), 0.05)
        weights = _believed(distance, len(y))
    return coefficients, covariance


def _believed(distance: NDArray[np.float64], bands: int) -> NDArray[np.float64]:
    """Weight of each pixel by its squared distance, brought to the median that noise would have."""
    distance = distance / max(float(median_of(distance)) / _chi2_median(bands), 0.05)
    return np.where(distance < 9 * bands, 1 / np.maximum(1, distance / (2 * bands)), 0)


def _chi2_median(degrees: int) -> float:
    """Median of chi-square (Wilson & Hilferty 1931)."""
    return degrees * (1 - 2 / (9 * degrees)) ** 3
