"""All looks of a site in time order: history learned, each look scored against it, evidence folded."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.correct.robust import median_of, zeroed
from pipeline.correct.smoothing import gaussian
from pipeline.decide import history, persistence
from pipeline.decide.history import History, clear_values, vegetation_index
from pipeline.decide.persistence import Trace
from pipeline.decide.score import POOL_PX, score
from pipeline.model.bands import Band
from pipeline.model.imagery import Look

THRESHOLD_NATS = 4.0
"""Evidence at which a pixel is worth the question whether an object stands there."""
GREENEST = 0.2
"""Share of the ground that tells how green a season is."""
GREEN_NDVI, GREEN_DROP = 0.40, 0.05
SPROUTING_NDVI, SPROUTING_RISE, SPROUTING_VISIBLE = 0.20, 0.04, 0.01
"""Leaves coming out on half-bare ground: greener than expected, and no brighter in the visible (a blue roof is)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """What the looks say together. All tuples run along `looks`, in time order.

    scores: (row, col) sigma, None for the looks that only made the history. white: (band, row, col) float16, whitened
    residual, None likewise. mean: (band, row, col) the history at the end. judged: (row, col), True = scored at
    least once. learning: how many looks only made the history. verdure: NDVI of the greenest ground in each look, NaN
    where none of it was clear. clear_share: usable part of the grid in each look, 0..1.
    """

    looks: tuple[Look, ...]
    trace: Trace
    scores: tuple[NDArray[np.float32] | None, ...]
    white: tuple[NDArray[np.float16] | None, ...]
    mean: NDArray[np.float32]
    judged: NDArray[np.bool_]
    learning: int
    verdure: tuple[float, ...]
    clear_share: tuple[float, ...]

    @property
    def evidence(self) -> NDArray[np.float32]:
        """(row, col) nats: of what stands now."""
        return self.trace.log_odds

    @property
    def since(self) -> NDArray[np.int16]:
        """(row, col): first look with it, -1 where none."""
        return self.trace.onset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """Where the fold stands after some looks: what the looks after them are folded onto.

    count: how many looks are in. scores, white, judged, learning: as in Fold, of those looks.
    """

    count: int
    past: History
    trace: Trace
    scores: tuple[NDArray[np.float32] | None, ...]
    white: tuple[NDArray[np.float16] | None, ...]
    judged: NDArray[np.bool_]
    learning: int


def fold(looks: Sequence[Look], learning: int) -> Fold:
    """Fold looks that are in time order; the first `learning` of them only make the history."""
    return fold_of(advance(begin(looks, learning), looks), looks)


def begin(looks: Sequence[Look], learning: int) -> State:
    """The state after the first `learning` looks, which only make the history."""
    shape = tuple(looks[0].grid.shape)
    return State(
        count=learning,
        past=history.start(looks[:learning]),
        trace=persistence.begin(len(looks[0].bands), shape),  # type: ignore[arg-type]
        scores=(None,) * learning,
        white=(None,) * learning,
        judged=np.zeros(shape, bool),
        learning=learning,
    )


def advance(state: State, looks: Sequence[Look]) -> State:
    """The state after all `looks`, of which the first `state.count` are those that it was made of."""
    past, trace, judged = state.past, state.trace, state.judged
    scores, white = list(state.scores), list(state.white)
    for index in range(state.count, len(looks)):
        values, when = clear_values(looks[index]), looks[index].time
        if index in (2 * state.learning, 4 * state.learning, 8 * state.learning):
            past = history.sorted_anew(past)
        found = history.residual(past, values, when, trace.log_odds <= 0)
        if found is None:
            scores.append(None)
            white.append(None)
            continue
        sigma = score(found.white)
        scores.append(sigma)
        white.append(np.clip(found.white, -6e4, 6e4).astype(np.float16))
        judged = judged | np.isfinite(sigma)
        green = _greener(looks[index].bands, values, found.expected)
        trace = persistence.step(trace, index, sigma, found.reflectance, green, THRESHOLD_NATS)
        trust = np.where(trace.log_odds > 0, 0, np.clip(2 - zeroed(sigma) / 2, 0, 1))
        # what is green is a season, not a suspect: it is learned however unlike it was
        trust = np.where(green & (trace.log_odds <= 0), 1, trust).astype(np.float32)
        past = history.adopt(history.learn(past, found, when, trust), looks[index])
    return State(
        count=len(looks), past=past, trace=trace, scores=tuple(scores), white=tuple(white), judged=judged,
        learning=state.learning,
    )  # fmt: skip


def fold_of(state: State, looks: Sequence[Look]) -> Fold:
    """What a state says of the looks that it was made of."""
    return Fold(
        looks=tuple(looks),
        trace=state.trace,
        scores=state.scores,
        white=state.white,
        mean=state.past.mean,
        judged=state.judged,
        learning=state.learning,
        verdure=_verdure(looks, state.past.mean),
        clear_share=tuple(float((look.why == 0).mean()) for look in looks),
    )


def part_of(fold: Fold, window: tuple[slice, slice]) -> Fold:
    """The fold over some rows and columns, nothing copied; verdure and clear_share stay those of the whole grid."""
    rows, cols = window
    grid = fold.looks[0].grid[window]
    looks = (
        replace(look, grid=grid, reflectance=look.reflectance[:, rows, cols], why=look.why[rows, cols])
        for look in fold.looks
    )
    trace = Trace(**{each.name: getattr(fold.trace, each.name)[..., rows, cols] for each in fields(Trace)})
    return replace(
        fold,
        looks=tuple(looks),
        trace=trace,
        scores=tuple(None if each is None else each[rows, cols] for each in fold.scores),
        white=tuple(None if each is None else each[:, rows, cols] for each in fold.white),
        mean=fold.mean[:, rows, cols],
        judged=fold.judged[rows, cols],
    )


def _verdure(looks: Sequence[Look], mean: NDArray[np.float32]) -> tuple[float, ...]:
    near, red = _near_and_red(looks[0].bands)
    if near is None or red is None:
        return (float("nan"),) * len(looks)
    index = np.nan_to_num(vegetation_index(mean[near], mean[red]), nan=-1)
    greenest = np.flatnonzero(index >= np.quantile(index, 1 - GREENEST))
    found = []
    for look in looks:
        clear = greenest[look.why.reshape(-1)[greenest] == 0]
        now = vegetation_index(*(look.reflectance[band].reshape(-1)[clear] for band in (near, red)))
        found.append(float(median_of(now)) if now.size else float("nan"))
    return tuple(found)


def _near_and_red(bands: tuple[Band, ...]) -> tuple[int | None, int | None]:
    near = next((bands.index(band) for band in (Band.B08, Band.B8A) if band in bands), None)
    return near, bands.index(Band.B04) if Band.B04 in bands else None


def _greener(bands: tuple[Band, ...], values: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(row, col): green now, and no less than was expected. Whatever happened there, nothing was built or cleared."""
    near, red = _near_and_red(bands)
    if near is None or red is None or Band.B02 not in bands:
        return np.zeros(values.shape[1:], bool)
    order = [near, red, bands.index(Band.B02)]
    now, then = ([gaussian(zeroed(each[band]), POOL_PX) for band in order] for each in (values, expected))
    index, usual = vegetation_index(now[0], now[1]), vegetation_index(then[0], then[1])
    green = (index > GREEN_NDVI) & (index > usual - GREEN_DROP)
    darker = (now[1] - then[1] < SPROUTING_VISIBLE) & (now[2] - then[2] < SPROUTING_VISIBLE)
    return np.asarray(green | (darker & (index > SPROUTING_NDVI) & (index > usual + SPROUTING_RISE)))
