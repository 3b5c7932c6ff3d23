"""All looks of a site in time order: history learned, each look scored against it, evidence folded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.decide import history, persistence
from pipeline.decide.persistence import Trace
from pipeline.decide.score import POOL_PX, score
from pipeline.model.bands import Band
from pipeline.model.imagery import Look

THRESHOLD_NATS = 4.0
"""Evidence at which a pixel is worth the question whether an object stands there."""
GREEN_NDVI, GREEN_DROP = 0.40, 0.05
SPROUTING_NDVI, SPROUTING_RISE, SPROUTING_VISIBLE = 0.20, 0.04, 0.01
"""Leaves coming out on half-bare ground: greener than expected, and no brighter in the visible (a blue roof is)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """What the looks say together. All tuples run along `looks`, in time order.

    scores: (row, col) sigma, None for the looks that only made the history. white: (band, row, col) float16, whitened
    residual, None likewise. mean: (band, row, col) the history at the end. judged: (row, col), True = scored at
    least once. learning: how many looks only made the history.
    """

    looks: tuple[Look, ...]
    trace: Trace
    scores: tuple[NDArray[np.float32] | None, ...]
    white: tuple[NDArray[np.float16] | None, ...]
    mean: NDArray[np.float32]
    judged: NDArray[np.bool_]
    learning: int


def fold(looks: Sequence[Look], learning: int) -> Fold:
    """Fold looks that are in time order; the first `learning` of them only make the history."""
    shape = tuple(looks[0].grid.shape)
    past = history.start(np.stack([clear_values(look) for look in looks[:learning]]))
    trace = persistence.begin(len(looks[0].bands), shape)  # type: ignore[arg-type]
    scores: list[NDArray[np.float32] | None] = [None] * learning
    white: list[NDArray[np.float16] | None] = [None] * learning
    judged = np.zeros(shape, bool)
    for index in range(learning, len(looks)):
        values, when = clear_values(looks[index]), looks[index].time
        if index in (2 * learning, 4 * learning, 8 * learning):
            past = history.sorted_anew(past)
        found = history.residual(past, values, when, trace.log_odds <= 0)
        if found is None:
            scores.append(None)
            white.append(None)
            continue
        sigma = score(found.white)
        scores.append(sigma)
        white.append(np.clip(found.white, -6e4, 6e4).astype(np.float16))
        judged |= np.isfinite(sigma)
        green = _greener(looks[index].bands, values, found.expected)
        trace = persistence.step(trace, index, sigma, found.reflectance, green, THRESHOLD_NATS)
        trust = np.where(trace.log_odds > 0, 0, np.clip(2 - np.nan_to_num(sigma) / 2, 0, 1))
        # what is green is a season, not a suspect: it is learned however unlike it was
        trust = np.where(green & (trace.log_odds <= 0), 1, trust).astype(np.float32)
        past = history.adopt(history.learn(past, found, when, trust), values)
    return Fold(
        looks=tuple(looks),
        trace=trace,
        scores=tuple(scores),
        white=tuple(white),
        mean=past.mean,
        judged=judged,
        learning=learning,
    )


def clear_values(look: Look) -> NDArray[np.float32]:
    """(band, row, col) reflectance, NaN where not usable."""
    return np.where(look.usable, look.reflectance, np.nan).astype(np.float32)


def _greener(bands: tuple[Band, ...], values: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(row, col): green now, and no less than was expected. Whatever happened there, nothing was built or cleared."""
    near = next((bands.index(band) for band in (Band.B08, Band.B8A) if band in bands), None)
    if near is None or Band.B04 not in bands or Band.B02 not in bands:
        return np.zeros(values.shape[1:], bool)
    order = [near, bands.index(Band.B04), bands.index(Band.B02)]
    now, then = (
        [ndimage.gaussian_filter(np.nan_to_num(each[band]), POOL_PX) for band in order] for each in (values, expected)
    )
    index, usual = _ndvi(now[0], now[1]), _ndvi(then[0], then[1])
    green = (index > GREEN_NDVI) & (index > usual - GREEN_DROP)
    darker = (now[1] - then[1] < SPROUTING_VISIBLE) & (now[2] - then[2] < SPROUTING_VISIBLE)
    return np.asarray(green | (darker & (index > SPROUTING_NDVI) & (index > usual + SPROUTING_RISE)))


def _ndvi(near: NDArray[Any], red: NDArray[Any]) -> NDArray[Any]:
    return np.asarray((near - red) / np.maximum(near + red, 0.02))
