"""Looks folded in time order: evidence that a pixel changed and stayed changed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.correct.smoothing import gaussian
from pipeline.decide.score import POOL_PX

SEEN_SIGMAS = 3.0
"""A pooled residual beyond this saw something."""
NATS_PER_SIGMA = 0.5
CAP_NATS = 2.0
"""No single look can say more: three have to agree."""
FLOOR_NATS, CEILING_NATS = -1.9, 8.0
"""However long the quiet before: three looks at the cap lift a pixel over the threshold, two do not."""
RENEWAL = 0.5
"""How fast the mean change of an established object goes over to another phase of it."""
MIN_LIKENESS = 0.5
"""Cosine between what a look shows and what earlier looks showed since the change began; less is something else."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Where every pixel stands. All (row, col); look indices are -1 where there is none.

    log_odds: now. peak: highest so far. onset: first look of the current rise, looks: how many saw it since, change:
    (band, row, col) mean residual since, reflectance. first, ended, shown: of the episode that reached the peak, the
    latest that did where earlier ones are over: its first sight, the look at which it was over, its mean residual.
    """

    log_odds: NDArray[np.float32]
    peak: NDArray[np.float32]
    onset: NDArray[np.int16]
    first: NDArray[np.int16]
    ended: NDArray[np.int16]
    change: NDArray[np.float32]
    shown: NDArray[np.float32]
    looks: NDArray[np.float32]


def begin(bands: int, shape: tuple[int, int]) -> Trace:
    """Nothing seen yet."""

    def none() -> NDArray[np.int16]:
        return np.full(shape, -1, np.int16)

    zero = np.zeros(shape, np.float32)
    return Trace(
        log_odds=zero,
        peak=zero,
        onset=none(),
        first=none(),
        ended=none(),
        change=np.zeros((bands, *shape), np.float32),
        shown=np.zeros((bands, *shape), np.float32),
        looks=zero,
    )


def step(
    trace: Trace,
    index: int,
    score: NDArray[np.float32],
    residual: NDArray[np.float32],
    green: NDArray[np.bool_],
    threshold: float,
) -> Trace:
    """One more look. score: (row, col) sigma, NaN = not clear. residual: (band, row, col) reflectance.

    green: (row, col), True = as green as ever: speaks against, however unlike it is.
    """
    clear = np.isfinite(score)
    sigma = np.where(clear, score, 0)
    values = np.where(clear, residual, 0)
    said = np.clip(NATS_PER_SIGMA * (sigma - SEEN_SIGMAS), -CAP_NATS, CAP_NATS)
    said = np.where(green, np.minimum(said, -0.5 * CAP_NATS), said)
    alike = _likeness(trace.change, values)
    rising = trace.looks > 0
    other = rising & (said > 0) & (alike < MIN_LIKENESS)
    # an object that is established and looks otherwise now has got its roof; one that is not was never there
    settled = trace.log_odds >= threshold
    said = np.where(other & ~settled, -0.5 * CAP_NATS, said)
    odds = np.where(clear, np.clip(trace.log_odds + said, FLOOR_NATS, CEILING_NATS), trace.log_odds)
    seen = clear & (said > 0)
    starting = seen & ~rising & (odds > 0)
    over = rising & (odds <= 0)
    looks = np.where(over, 0, np.where(seen & (odds > 0), trace.looks + 1, trace.looks))
    share = np.where(seen & (odds > 0), np.where(other & settled, RENEWAL, 1 / np.maximum(looks, 1)), 0)
    change = np.where(over, 0, trace.change + share * (values - trace.change))
    onset = np.where(over, -1, np.where(starting, index, trace.onset))
    # evidence saturates: what is as sure as can be takes the place of what was, once that is over
    anew = (odds >= CEILING_NATS) & (trace.ended >= 0) & (onset != trace.first)
    higher = ((odds > trace.peak) | anew) & (onset >= 0)
    new_episode = higher & (onset != trace.first)
    first = np.where(higher, onset, trace.first)
    same = (onset >= 0) & (onset == first)
    ended = np.where(new_episode, -1, np.where(over & (trace.onset == trace.first), index, trace.ended))
    return Trace(
        log_odds=odds.astype(np.float32),
        peak=np.where(higher, odds, trace.peak).astype(np.float32),
        onset=onset.astype(np.int16),
        first=first.astype(np.int16),
        ended=ended.astype(np.int16),
        change=change.astype(np.float32),
        shown=np.where(higher | (same & seen), change, trace.shown).astype(np.float32),
        looks=looks.astype(np.float32),
    )


def _likeness(change: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    # pooled like the score: in the skirt of an object a pixel's own residual is noise, and noise is like nothing
    change, values = (gaussian(each, POOL_PX) for each in (change, values))
    product = (change * values).sum(axis=0)
    lengths = np.sqrt((change**2).sum(axis=0) * (values**2).sum(axis=0))
    return np.asarray(product / np.maximum(lengths, 1e-9), np.float32)
