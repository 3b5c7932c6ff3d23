"""Objects: connected pixels whose steps agree in date and direction.

Objects are grown from the most anomalous pixel down (non-maximum suppression by overlap). Each has one date and one
direction, found on the mean series of its own pixels, and is judged by that of its surest ones: pixels at its edges
show its step only in part, and those beside an object found before show the light of that one. Ground that touches it
and may have stepped on the same day, in whatever direction, joins it: a site has more than one surface. Ground that
stepped at another date is another object.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.decide.object_series import Candidates, Episode, episode_of, score_windows, window_of
from pipeline.decide.residuals import SCALES, Baseline, Residual, reflectance_of
from pipeline.decide.screening import Natural, Screening
from pipeline.decide.steps import Times, step_of
from pipeline.model.alert import CLEAR_SHARE
from pipeline.numerics.smoothing import gaussian
from pipeline.numerics.vectorise import EIGHT

SEED_SCORE = 1.6
"""Score of a pixel from which an object is grown around it."""
HALF = 0.5
"""Of the object's step: pixels that went at least that far along its direction belong to it."""
LEAST_COSINE = 0.6
"""Between the whitened step of a pixel and that of the object: less is another change."""
CORE_SHARE = 0.75
"""Of an object's strong change: pixels that moved so far are taken as wholly covered by it."""
WINDOW_PX, LARGEST_PX = 16, 128
"""Half the side of the ground around a seed: doubled until the object lies inside, up to a limit."""
COARSE_PIXELS = 25
"""Objects of that many pixels are judged by the natural steps of the coarse scale."""
FOOTPRINT_PX, LEAST_VARIANCE = 6.0, 1e-6
"""Pixels whose noise is one draw after averaging, and the least variance of a mean in one look, reflectance squared."""
ADJACENT_PX, ADJACENT_SHARE = 2, 0.5
"""Width of the adjacency margin of an object in sigmas of a scale (point spread), and the largest share of another
object that may lie inside it. With more, that object is an artefact of its neighbour. Objects touch if one reaches into
the margin of the other."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepObject:
    """Pixels that stepped together. window: rows and columns of the site's grid. where, core: (row, col) of the window.

    share: (row, col) of the window, how far each pixel went along the object's step, 1 = all of it, 0 away from it.
    found: all windows of the mean series of its core, `index` the best that begins in its bracket. episode: which looks
    saw it. peak: score of its seed pixel.
    """

    window: tuple[slice, slice]
    where: NDArray[np.bool_]
    core: NDArray[np.bool_]
    share: NDArray[np.float64]
    found: Candidates
    index: int
    episode: Episode
    peak: float

    @property
    def score(self) -> float:
        """Of the best window."""
        return float(self.found.score[self.index])

    @property
    def progress(self) -> NDArray[np.float64]:
        """(look,) 0 = as before, 1 = as after, NaN where not clear."""
        return self.found.progress[:, self.index]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """What objects are grown from."""

    baseline: Baseline
    natural: Natural
    residuals: Sequence[Residual]
    times: Times
    screening: Screening

    def values(self, window: tuple[slice, slice]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(look, band, row, col) residuals of the fine scale, 0 where not usable; (look, row, col), True = usable."""
        return reflectance_of(np.stack([each.pooled[0][(slice(None), *window)] for each in self.residuals]))

    def mean_series(self, where: NDArray[np.bool_], window: tuple[slice, slice]) -> NDArray[np.float64]:
        """(look, band) mean residual of the pixels `where` of a window, NaN where less than half of them are usable."""
        return _mean_series(*self.values(window), where)

    def ground_of(
        self, where: NDArray[np.bool_], window: tuple[slice, slice]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Covariances of natural steps (duration class, band, band), and of the mean of some pixels in one look."""
        cluster = int(np.bincount(self.baseline.cover[window][where]).argmax())
        count = int(where.sum())
        natural = self.natural.covariances[int(count >= COARSE_PIXELS), cluster]
        noise = np.stack([each.noise for each in self.residuals])
        usual = np.median(noise[np.isfinite(noise).all(axis=1)], axis=0).astype(np.float64)
        return natural, np.diag(usual**2 / max(count / FOOTPRINT_PX, 1) + LEAST_VARIANCE)


def grow_objects(stack: Stack, least: float) -> tuple[StepObject, ...]:
    """All objects with at least a score, the most anomalous seed first."""
    shape = stack.baseline.cover.shape
    coarse = np.repeat(np.repeat(stack.screening.score[1], SCALES[1][1], 0), SCALES[1][1], 1)[: shape[0], : shape[1]]
    top = np.maximum(stack.screening.score[0], coarse)
    taken, found, margins = np.zeros(shape, bool), list[StepObject](), list[StepObject]()
    spent = np.zeros((len(SCALES), *shape), bool)
    seeds = np.flatnonzero(top >= SEED_SCORE)
    for seed in seeds[np.argsort(-top.ravel()[seeds], kind="stable")]:
        row, col = divmod(int(seed), shape[1])
        scale = int(coarse[row, col] > stack.screening.score[0][row, col])
        if spent[scale, row, col]:
            continue
        spent[
            :, max(row - ADJACENT_PX, 0) : row + ADJACENT_PX + 1, max(col - ADJACENT_PX, 0) : col + ADJACENT_PX + 1
        ] = True
        made = _grow_object(stack, (row, col), scale, taken)
        if made is None:
            continue
        for each, (sigma, _) in enumerate(SCALES):
            reach = round(ADJACENT_PX * sigma)
            near = widen_window(made.window, reach, shape)
            away = ndimage.distance_transform_edt(~put_in_window(made.where, made.window, near))
            spent[(each, *near)] |= away <= reach
        if made.score < least:
            continue
        near = widen_window(made.window, ADJACENT_PX, shape)
        margin = ndimage.binary_dilation(taken[near], EIGHT, ADJACENT_PX) & put_in_window(made.where, made.window, near)
        taken[made.window] |= made.where
        (found if int(margin.sum()) <= ADJACENT_SHARE * int(made.where.sum()) else margins).append(made)
    return _merge_touching(found, margins, shape)


def _merge_touching(
    found: Sequence[StepObject], margins: Sequence[StepObject], shape: tuple[int, ...]
) -> tuple[StepObject, ...]:
    """Objects that touch and may have begun on one day are one: a site has more than one surface.

    The surest gives series and dates. margins: what is only reported as a part of another.
    """
    left = sorted([*found, *margins], key=lambda each: -each.score)
    alone, out = {id(each) for each in found}, list[StepObject]()
    while left:
        one = left.pop(0)
        if id(one) not in alone:
            continue
        while True:
            part = next((each for each in left if _same_change(one, each, shape)), None)
            if part is None:
                break
            left.remove(part)
            one = _join_objects(one, part)
        out.append(one)
    return tuple(out)


def _same_change(one: StepObject, other: StepObject, shape: tuple[int, ...]) -> bool:
    """True where the brackets of two objects overlap, both last or both ended, and no gap between them is resolved."""
    a, b = one.episode, other.episode
    if a.ended != b.ended or a.before >= b.first or b.before >= a.first:
        return False
    near = widen_window(one.window, ADJACENT_PX, shape)
    if any(x.start >= y.stop or y.start >= x.stop for x, y in zip(near, other.window, strict=True)):
        return False
    both = _around_both(near, other.window)
    touching = ndimage.binary_dilation(put_in_window(one.where, one.window, both), EIGHT, ADJACENT_PX)
    return bool((touching & put_in_window(other.where, other.window, both)).any())


def _join_objects(one: StepObject, other: StepObject) -> StepObject:
    both = _around_both(one.window, other.window)
    where, core = (
        put_in_window(a, one.window, both) | put_in_window(b, other.window, both)
        for a, b in ((one.where, other.where), (one.core, other.core))
    )
    share = np.maximum(put_in_window(one.share, one.window, both), put_in_window(other.share, other.window, both))
    return replace(one, window=both, where=where, core=core, share=share)


def _around_both(one: tuple[slice, slice], other: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, cols = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return rows, cols


def _grow_object(stack: Stack, seed: tuple[int, int], scale: int, taken: NDArray[np.bool_]) -> StepObject | None:
    """The object around a seed pixel; None where its series shows no step."""
    stride = SCALES[scale][1]
    start, stop = (
        int(plane[scale][seed[0] // stride, seed[1] // stride])
        for plane in (stack.screening.start, stack.screening.stop)
    )
    half = WINDOW_PX
    while True:
        window = _window_around(seed, half, taken.shape)
        place = (seed[0] - window[0].start, seed[1] - window[1].start)
        patch = _Patch(stack, window, scale)
        where = patch.region(place, start, stop, None, taken[window])
        if where is None:
            return None
        if not _touches_side(where, window, taken.shape) or half >= LARGEST_PX:
            break
        half *= 2
    found = patch.series(where)
    if found is None:
        return None
    best = found.best
    window_of_it = (int(found.start[best]), int(found.stop[best]))
    moved, coarse = patch.region(place, *window_of_it, found.step[best], taken[window]), patch
    if scale:
        # the fine scale outlines what it shows; what only the coarse scale shows keeps that outline
        patch = _Patch(stack, window, 0)
        sharp = patch.region(place, *window_of_it, found.step[best], taken[window])
        if sharp is None or moved is None or int((sharp & moved).sum()) < HALF * int(moved.sum()):
            patch = coarse
        else:
            moved = sharp
    if moved is None or not (moved & where).any():
        return None
    own = patch.core(moved) & ~ndimage.binary_dilation(taken[window], EIGHT, ADJACENT_PX)
    again = patch.series(own if own.any() else moved)
    if again is None:
        return None
    episode = episode_of(again, again.best)
    if episode is None:
        return None
    peak = float(stack.screening.score[scale][seed[0] // stride, seed[1] // stride])
    rows, cols = (np.flatnonzero(moved.any(axis=axis)) for axis in (1, 0))
    tight = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1))
    part = widen_window(tight, ADJACENT_PX, moved.shape)
    own = (
        slice(window[0].start + part[0].start, window[0].start + part[0].stop),
        slice(window[1].start + part[1].start, window[1].start + part[1].stop),
    )
    near = ndimage.binary_dilation(moved[part], structure=EIGHT, iterations=ADJACENT_PX) & ~taken[own]
    return StepObject(
        window=own, where=moved[part], core=patch.core(moved)[part], share=np.where(near, patch.progress[part], 0),
        found=again, index=window_of(again, episode), episode=episode, peak=peak,
    )  # fmt: skip


class _Patch:
    """The ground around a seed: its steps at any window, and the mean series of any part of it."""

    def __init__(self, stack: Stack, window: tuple[slice, slice], scale: int) -> None:
        self.stack, self.window, self.scale = stack, window, scale
        self.values, self.clear = stack.values(window)
        self.shape = self.clear.shape[1:]
        self.cover = stack.baseline.cover[window]
        self.progress = np.zeros(self.shape)

    def region(
        self, seed: tuple[int, int], start: int, stop: int, step: NDArray[Any] | None, taken: NDArray[np.bool_]
    ) -> NDArray[np.bool_] | None:
        """(row, col): pixels connected to the seed that went half of its step in a window of looks; None where none.

        step: (band,) the step that is followed; the seed's own where None.
        """
        looks, bands = self.values.shape[:2]
        flat, clear = self.values.reshape(looks, bands, -1), self.clear.reshape(looks, -1)
        steps, enough = step_of(flat, clear, self.stack.times, start, stop)
        steps, enough = steps.reshape(-1, *self.shape), enough.reshape(self.shape) & ~taken
        if self.scale:
            steps = gaussian(np.where(enough, steps, 0), SCALES[self.scale][0], 3.0)
        duration = int(self.stack.times.duration_class(start, stop))
        white = self.stack.natural.whitener(self.scale, int(self.cover[seed]), duration)
        steps = np.where(enough, np.einsum("ij,jrc->irc", white, steps), 0)
        length = np.sqrt((steps**2).sum(axis=0))
        wanted = steps[:, *seed] if step is None else white @ step
        found: NDArray[np.bool_] | None = None
        for _ in range(3):
            size = float(np.sqrt((wanted**2).sum()))
            if size <= 0:
                return None
            share = np.tensordot(wanted / size**2, steps, axes=(0, 0))
            alike = enough & (share > HALF) & (share * size > LEAST_COSINE * length)
            labels, _ = ndimage.label(alike, structure=EIGHT)
            own = labels[seed] or (
                np.bincount(labels[found & alike]).argmax() if found is not None and (found & alike).any() else 0
            )
            if not own:
                return found
            found, self.progress = labels == own, share
            wanted = np.median(steps[:, self.core(found)], axis=1)
        return found

    def core(self, where: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(row, col): the surest pixels of a region."""
        return np.asarray(where & (self.progress >= CORE_SHARE * float(np.quantile(self.progress[where], 0.9))))

    def series(self, where: NDArray[np.bool_]) -> Candidates | None:
        """All windows of the mean series of a region."""
        mean = _mean_series(self.values, self.clear, where)
        return score_windows(mean, self.stack.times, *self.stack.ground_of(where, self.window))


def _mean_series(
    values: NDArray[np.float32], clear: NDArray[np.bool_], where: NDArray[np.bool_]
) -> NDArray[np.float64]:
    rows, cols = np.nonzero(where)
    own, known = values[:, :, rows, cols].astype(np.float64), clear[:, rows, cols]
    mean = own.sum(axis=2) / np.maximum(known.sum(axis=1), 1)[:, None]
    mean[known.mean(axis=1) < CLEAR_SHARE] = np.nan
    return np.asarray(mean)


def _window_around(seed: tuple[int, int], half: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows, cols = (slice(max(at - half, 0), min(at + half + 1, size)) for at, size in zip(seed, shape, strict=True))
    return rows, cols


def widen_window(window: tuple[slice, slice], by: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns, enlarged on every side, within a grid of a shape."""
    rows, cols = (
        slice(max(each.start - by, 0), min(each.stop + by, size)) for each, size in zip(window, shape, strict=True)
    )
    return rows, cols


def put_in_window(part: NDArray[Any], own: tuple[slice, slice], window: tuple[slice, slice]) -> NDArray[Any]:
    """What is known of one window as an array of a wider one, 0 or False elsewhere."""
    wide = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), part.dtype)
    rows, cols = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(own, window, strict=True))
    wide[rows, cols] = part
    return wide


def _touches_side(where: NDArray[np.bool_], window: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    """True where a region reaches a side of its window that is no side of the grid."""
    rows, cols = window
    sides = (
        (rows.start > 0, where[0]),
        (rows.stop < shape[0], where[-1]),
        (cols.start > 0, where[:, 0]),
        (cols.stop < shape[1], where[:, -1]),
    )
    return any(inner and bool(side.any()) for inner, side in sides)
