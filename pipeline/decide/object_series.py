"""The mean time series of one object: when it stepped, how sure that is, and which looks saw it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.decide.posterior import LARGE_M2, LEAST_SCORE, log_odds, measure_features
from pipeline.decide.steps import LEAST_WEIGHT, LENGTHS, RIDGE, YEAR_DAYS, Times
from pipeline.model.alert import LEAST_LOOKS
from pipeline.numerics.robust import centre_spread

PAST_SHARE = 0.9
"""Quantile of the past along the direction of the step: a field that was bare before is not new when bare."""
SEEN_SHARE = 0.8
"""Of the clear looks of a window: with fewer that show the step it counts less, in proportion."""
SEEN = (0.25, 0.5)
"""Progress from the state before (0) to the state after (1) at which a look has seen the object: the larger for a
noisy past, the smaller for a quiet one, so that a gradual change is dated by its beginning."""
LARGEST = 2.0
"""Progress of a look from which it shows something else than the step of its window: a flash, or a later step."""
SEEN_SIGMAS = 3.0
"""Spreads of its own past at which a look has seen the object."""
RECENT = 8
"""Looks before an object that show the ground as it was."""
SEASONS = 2.0
"""Independent samples of its own natural steps that a whole year of its past gives an object: ground greens and
withers once a year. Natural steps of ground like it weigh as one sample."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Every window of a series in which a step can be estimated, and how anomalous its step is.

    start, stop: (window,) looks. last: (window,) last look of the window that shows the step. step: (window, band)
    reflectance. strength: (window,) Mahalanobis length of the step, less what the past showed of it already and
    what its own looks do not show. score: (window,) the strength, more for ground that was steady for years.
    progress: (look, window) 0 = as before, 1 = as after, NaN where not clear. past: (window,) upper quantile of the
    progress before the step. series: (look, band) the values themselves, in spreads of one look.
    """

    start: NDArray[np.intp]
    stop: NDArray[np.intp]
    last: NDArray[np.intp]
    step: NDArray[np.float64]
    score: NDArray[np.float64]
    strength: NDArray[np.float64]
    progress: NDArray[np.float64]
    past: NDArray[np.float64]
    series: NDArray[np.float64]
    days: NDArray[np.int64]

    @property
    def best(self) -> int:
        """Index of the window with the largest strength, the earliest of equals.

        A flash in the latest looks hides no lasting change: where the strongest step is less probable than not, even if
        all changes of the site reverted, and another one is more, of the most probable window.
        """
        start = self.days[self.start]
        all_reverted = np.ones(self.score.size)
        lasted, known = self.days[self.last] - start, start - self.days[0]
        odds = log_odds(measure_features(self.score, lasted, known, False, LARGE_M2, all_reverted))
        odds = np.where(self.score < LEAST_SCORE, np.minimum(odds, 0), odds)
        strongest, likeliest = int(np.argmax(self.strength)), int(np.argmax(odds))
        return likeliest if odds[strongest] < 0 < odds[likeliest] else strongest

    def dated(self, index: int) -> int:
        """The look at which the step of a window most likely began.

        Least squares with errors cut at half the step: looks before it are as before, looks of the window as after.
        """
        progress = self.progress[:, index]
        clear = np.flatnonzero(np.isfinite(progress[: int(self.stop[index])]))
        after = float(np.median(progress[clear[-max(LEAST_LOOKS, int((clear >= self.start[index]).sum() // 2)) :]]))
        before = np.minimum(progress[clear] ** 2, 0.25 * after**2)
        since = np.minimum((progress[clear] - after) ** 2, 0.25 * after**2)
        cost = np.concatenate([[0], np.cumsum(before)]) + np.concatenate([np.cumsum(since[::-1])[::-1], [0]])
        inner = cost[LEAST_LOOKS : clear.size - LEAST_LOOKS + 1]
        return int(clear[LEAST_LOOKS + int(np.argmin(inner))]) if inner.size else int(self.start[index])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Episode:
    """What the looks saw of an object. Indices of looks, -1 = none.

    first, last: first and last look that saw it. onset: first look with the object as it stayed, after slab or frame;
    usually `first`. before: last clear look before the first. ended: it was gone in the
    latest clear looks. seen: (look,) bool. looks_seen, looks_clear: from `first` on, until `last` where it has ended.
    """

    first: int
    onset: int
    before: int
    last: int
    ended: bool
    seen: NDArray[np.bool_]
    looks_seen: int
    looks_clear: int


def score_windows(
    series: NDArray[np.float64], times: Times, natural: NDArray[np.float64], noise: NDArray[np.float64]
) -> Candidates | None:
    """All windows of a (look, band) series, NaN = not clear; None where there is none.

    natural: (duration class, band, band) covariance of steps without construction. noise: (band, band) covariance of
    the series in one look. Steps by least squares as in `pipeline.decide.steps`.
    """
    clear: NDArray[np.bool_] = np.asarray(np.isfinite(series).all(axis=1))
    start, stop = _list_windows(clear)
    if not start.size:
        return None
    seen, seasons = np.where(clear[:, None], series, 0), times.seasons
    values = _without_spikes(seen, np.flatnonzero(clear))
    weights = clear * times.weights
    gram = _cumulate(weights[:, None, None] * seasons[:, :, None] * seasons[:, None, :])
    moments = _cumulate(weights[:, None, None] * seasons[:, :, None] * values[:, None, :])
    normal = gram[stop] + np.diag(RIDGE)
    after = (gram[stop] - gram[start])[:, 0]
    solved = np.linalg.solve(normal, after[:, :, None])[:, :, 0]
    weight = after[:, 0] - (after * solved).sum(axis=1)
    kept = weight > LEAST_WEIGHT
    if not kept.any():
        return None
    start, stop, normal, after, solved, weight = (each[kept] for each in (start, stop, normal, after, solved, weight))
    total = (moments[stop] - moments[start])[:, 0]
    step = (total - np.einsum("wi,wib->wb", solved, moments[stop])) / weight[:, None]
    level = moments[start][:, 0] / np.maximum(gram[start][:, 0, :1], 1e-9)
    length, filtered = _mahalanobis_lengths(step, weight, times.duration_class(start, stop), natural, noise)
    progress = seen @ filtered.T - (level * filtered).sum(axis=1)
    progress[~clear] = np.nan
    look = np.arange(len(series))[:, None]
    inside = clear[:, None] & (look >= start) & (look < stop)
    reached = np.nan_to_num(progress)
    shows = inside & (reached > SEEN[1]) & (reached < LARGEST)
    shown, last = shows.sum(axis=0), len(series) - 1 - np.argmax(shows[::-1], axis=0)
    earlier = np.where(look < start, progress, np.nan)
    past = _upper_quantile(earlier)
    lasting = times.duration_class(start, stop) == len(natural) - 1
    novel = 1 - np.clip(past, 0, 1) ** np.where(lasting, 2, 1)
    score = length * novel * np.minimum(1, shown / np.maximum(inside.sum(axis=0), 1) / SEEN_SHARE)
    score *= (shown >= LEAST_LOOKS) / np.sqrt(series.shape[1])
    steadiness = _steadiness_factor(earlier, length, (times.days[start] - times.days[0]) // YEAR_DAYS)
    return Candidates(
        start=start,
        stop=stop,
        last=np.where(shown > 0, last, start),
        step=step,
        score=score * steadiness,
        strength=score,
        progress=progress,
        past=past,
        series=series / np.sqrt(np.diag(noise)),
        days=times.days,
    )


def episode_of(found: Candidates, index: int) -> Episode | None:
    """When the object of a window was seen; None where no look after the step saw it.

    The first look with it is the earliest from which on every clear look saw it, back from the window's start; so the
    last clear look before it did not see it.
    """
    progress, start = found.progress[:, index], found.dated(index)
    clear = np.flatnonzero(np.isfinite(progress))
    past = progress[clear[clear < start]]
    spread = float(centre_spread(past)[1])
    limit = float(np.clip(max(SEEN_SIGMAS * spread, float(found.past[index])), *SEEN))
    seen = np.nan_to_num(progress, nan=-np.inf) > limit
    detections = clear[(clear >= start) & seen[clear]]
    if not detections.size:
        return None
    first = _run_back(seen, clear, int(detections[0]))
    onset = first
    seen[_phases_before(found, first, clear[clear < first])] = True
    first = _run_back(seen, clear, first)
    before = int(max(clear[clear < first], default=-1))
    last, ended = int(detections[-1]), False
    since = clear[clear >= first]
    for begin, stop in _unseen_runs(seen[since]):
        gap, shown = since[begin:stop], since[:begin][seen[since[:begin]]]
        if stop - begin < LEAST_LOOKS or not _as_before(found.series, progress, clear[clear <= before], shown, gap):
            continue
        last, ended = int(shown[-1]), True
        break
    span = clear[(clear >= first) & (clear <= (last if ended else clear[-1]))]
    return Episode(
        first=first, onset=onset, before=before, last=last, ended=ended, seen=seen,
        looks_seen=int(seen[span].sum()), looks_clear=int(span.size),
    )  # fmt: skip


def _run_back(seen: NDArray[np.bool_], clear: NDArray[np.intp], first: int) -> int:
    """The first of the clear looks in a row that see an object, back from one of them."""
    unseen = clear[(clear < first) & ~seen[clear]]
    return int(clear[clear > (unseen[-1] if unseen.size else -1)][0])


def _phases_before(found: Candidates, first: int, past: NDArray[np.intp]) -> NDArray[np.intp]:
    """The run of clear looks up to the first detection that show neither the old ground nor the object: slab, frame.

    Their distance from the old ground, over all bands, exceeds the quantile PAST_SHARE of the looks more than a year
    before by the factor LARGEST. past: clear looks before the first detection.
    """
    reference = past[found.days[past] < found.days[first] - YEAR_DAYS]
    if reference.size < RECENT:
        return past[:0]
    distance = np.linalg.norm(found.series - np.median(found.series[reference], axis=0), axis=1)
    unchanged = np.flatnonzero(~(distance[past] > LARGEST * float(np.quantile(distance[reference], PAST_SHARE))))
    return past[unchanged[-1] + 1 :] if unchanged.size else past[:0]


def _unseen_runs(seen: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """(begin, stop) of the runs of clear looks that do not see an object, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], seen.astype(int), [1]])))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _as_before(
    series: NDArray[np.float64],
    progress: NDArray[np.float64],
    past: NDArray[np.intp],
    shown: NDArray[np.intp],
    gap: NDArray[np.intp],
) -> bool:
    """True where the old ground is back, in all bands: another roof is not the old ground."""
    if float(np.mean(progress[gap])) > SEEN[0]:
        return False
    if not past.size:
        return True
    was, state, now = (np.median(series[each], axis=0) for each in (past[-RECENT:], shown, gap))
    return bool(np.linalg.norm(now - was) < SEEN[1] * np.linalg.norm(state - was))


def window_of(found: Candidates, episode: Episode) -> int:
    """Index of the window with the highest score of those that begin in the bracket of an episode, else of all.

    A window that begins earlier counts looks without the object as time for which it lasted.
    """
    own = _in_bracket(found, episode)
    return int(np.argmax(np.where(own, found.score, -1))) if own.any() else found.best


def _in_bracket(found: Candidates, episode: Episode) -> NDArray[np.bool_]:
    """(window,) True = it begins after the last clear look before the object, and not after its onset."""
    return np.asarray((found.start > episode.before) & (found.start <= max(episode.onset, episode.before + 1)))


def score_until(found: Candidates, episode: Episode) -> NDArray[np.float64]:
    """(look,) the highest score of the windows of an episode that stop with that look or before it, 0 = none."""
    out = np.zeros(len(found.progress))
    own = _in_bracket(found, episode)
    np.maximum.at(out, found.stop[own] - 1, found.score[own])
    return np.maximum.accumulate(out)


def _without_spikes(values: NDArray[np.float64], clear: NDArray[np.intp]) -> NDArray[np.float64]:
    """The series with each clear look replaced by the median of itself and the clear looks before and after it.

    The first and the last get that of the three nearest. A step keeps its place; what one look alone shows (a flash, a
    missed cloud) is gone.
    """
    out, known = values.copy(), values[clear]
    if len(clear) > 2:
        middle = np.median(np.stack([known[:-2], known[1:-1], known[2:]]), axis=0)
        out[clear] = np.concatenate([middle[:1], middle, middle[-1:]])
    return out


def _list_windows(clear: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(start, stop) of the windows that begin and end with a clear look, with enough of them on both sides."""
    looks, count = len(clear), np.concatenate([[0], np.cumsum(clear)])
    first = [start for start in np.flatnonzero(clear).tolist() if count[start] >= LEAST_LOOKS]
    pairs = [(start, min(start + length, looks)) for start in first for length in (*LENGTHS, looks)]
    kept = sorted(
        {(start, stop) for start, stop in pairs if clear[stop - 1] and count[stop] - count[start] >= LEAST_LOOKS}
    )
    both = np.array(kept, np.intp).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _mahalanobis_lengths(
    step: NDArray[np.float64],
    weight: NDArray[np.float64],
    duration: NDArray[np.intp],
    natural: NDArray[np.float64],
    noise: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mahalanobis length of every step under natural + noise / weight, and the matched filter of which it is 1."""
    length, filtered = np.zeros(len(step)), np.zeros_like(step)
    white = np.linalg.inv(np.linalg.cholesky(noise))
    for each in range(len(natural)):
        mine = duration == each
        values, vectors = np.linalg.eigh(white @ natural[each] @ white.T)
        turned = (step[mine] @ white.T) @ vectors
        scale = 1 / (np.maximum(values, 0)[None] + 1 / weight[mine][:, None])
        length[mine] = np.sqrt((turned**2 * scale).sum(axis=1))
        filtered[mine] = ((turned * scale) @ vectors.T) @ white
    filtered /= np.maximum((filtered * step).sum(axis=1), 1e-12)[:, None]
    return length, filtered


def _steadiness_factor(
    past: NDArray[np.float64], length: NDArray[np.float64], years: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(window,) factor from 1 on by which a step is longer in units of what the ground itself did in whole years.

    The variance of natural steps along the step is the mean of that of like ground and of SEASONS samples a year of
    its own past, as with a conjugate prior. past: (look, window) progress before the step, NaN = not clear; one look is
    cut at the size of the step. length: Mahalanobis length under the steps of like ground.
    """
    count = np.isfinite(past).sum(axis=0)
    own = np.nansum(np.clip(past, -1, 1) ** 2, axis=0) / np.maximum(count, 1) * length**2
    weight = SEASONS * years * (count > 0)
    return np.asarray(np.sqrt((1 + weight) / (1 + weight * np.minimum(own, 1))))


def _upper_quantile(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(window,) upper quantile of each column, NaN left out."""
    ordered = np.sort(values, axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    place = np.floor(PAST_SHARE * np.maximum(count - 1, 0)).astype(int)
    found = np.take_along_axis(ordered, place[None], axis=0)[0]
    return np.asarray(np.where(count > 0, found, 0.0))


def _cumulate(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
