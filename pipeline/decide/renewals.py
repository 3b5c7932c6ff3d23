"""A structure that changes once more: its own later looks, against ground like it in the same looks.

The history knows the ground from before the structure, and what stands there now is unlike it in every look. So a
structure that has stood for a year is asked again, without that history: what it shows less what like ground shows in
the same look, after some day against the year before. Like ground takes season, sun, snow and haze away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.decide.cover import spread
from pipeline.decide.fold import THRESHOLD_NATS, Fold, part_of
from pipeline.decide.kinds import CLEAR_EDGE
from pipeline.decide.objects import MIN_SIGHTS, Track
from pipeline.decide.persistence import SEEN_SIGMAS
from pipeline.decide.series import spectra_of, surprise_of, typical_spectrum
from pipeline.decide.shapes import Shape, edges_now

REST_DAYS, REST_LOOKS = 365, 10
"""What a structure must have stood before, and clear looks of it: each season has then been seen once."""
LIKE_PIXELS, LEAST_PIXELS = 150, 30
"""Pixels of like ground; with fewer at the site nothing is asked."""
HALF, STAYS = 0.5, 0.8
"""Of the way to what is there now: a look beyond it shows it; and the share of looks that have to."""
NOISE = 0.004
"""Reflectance: least noise of an object in one look."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Renewal:
    """One later change of a structure. track: as of an object of its own, past the structure as it was.

    scores: along the fold's looks, how far towards its new state it stood, so that half the way is what counts as seen;
    None where it was not clear.
    """

    track: Track
    scores: tuple[float | None, ...]


def renewals(fold: Fold, shape: Shape, track: Track, least: float) -> tuple[Renewal, ...]:
    """What happened to a structure after it had stood for a year, in time order. least: surprise asked for."""
    own = spectra_of(part_of(fold, shape.window), shape.core)
    clear = np.flatnonzero(np.isfinite(own[:, 0]))
    clear = clear[clear >= track.first]
    days = np.array([look.time.toordinal() for look in fold.looks])
    if len(clear) == 0 or days[clear[-1]] - days[clear[0]] < REST_DAYS:
        return ()
    like = _like(fold, typical_spectrum(own, clear))
    if int(like.sum()) < LEAST_PIXELS:
        return ()
    rest = own - spectra_of(fold, like)
    if np.isfinite(rest[clear]).all(axis=1).sum() < REST_LOOKS + MIN_SIGHTS:
        return ()
    white = _white(rest, clear)
    clear = clear[np.isfinite(white[clear, 0])]
    found = _apart([step for step in _steps(white, clear, days) if step.surprise >= least], days)
    firsts = [*(step.first for step in found), len(fold.looks)]
    return tuple(
        _renewal(fold, shape, own, white, step, clear[clear < firsts[place + 1]]) for place, step in enumerate(found)
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Step:
    """A day on which a structure may have changed. All indices along the fold's looks.

    rest, after: clear looks of the year before it, or more where a year has few, and of the year from it on. way:
    (look,) share of the way from the one to the other, NaN where not clear.
    """

    first: int
    rest: NDArray[np.intp]
    after: NDArray[np.intp]
    way: NDArray[np.float64]
    surprise: float


def _like(fold: Fold, spectrum: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(row, col): ground that never was under suspicion, of a mean spectrum as near as there is."""
    quiet = fold.judged & (fold.trace.peak < THRESHOLD_NATS) & np.isfinite(fold.mean).all(axis=0)
    away = np.sqrt(((fold.mean - spectrum[:, None, None]) ** 2).sum(axis=0))
    away[~quiet] = np.inf
    count = min(LIKE_PIXELS, int(quiet.sum()))
    if count == 0:
        return quiet
    return np.asarray(quiet & (away <= np.partition(away.ravel(), count - 1)[count - 1]))


def _white(rest: NDArray[np.float64], clear: NDArray[np.intp]) -> NDArray[np.float64]:
    """(look, band): whitened by how it moves from one clear look to the next, which a single step hardly touches."""
    known = rest[clear]
    moves = np.diff(known[np.isfinite(known).all(axis=1)], axis=0)
    covariance = spread(moves)[1] / 2 + NOISE**2 * np.eye(rest.shape[1])
    return np.asarray(rest @ np.linalg.inv(np.linalg.cholesky(covariance)).T)


def _steps(white: NDArray[np.float64], clear: NDArray[np.intp], days: NDArray[np.intp]) -> list[_Step]:
    """Every day with a year's rest before it and enough looks that show something else from then on."""
    found = []
    for place, first in enumerate(clear):
        year = int(np.searchsorted(days[clear], days[first] - REST_DAYS))
        rest = clear[max(min(year, place - REST_LOOKS), 0) : place]
        after = clear[place:][days[clear[place:]] < days[first] + REST_DAYS]
        if year == 0 or len(rest) < REST_LOOKS or len(after) < MIN_SIGHTS:
            continue
        middle = np.median(white[rest], axis=0)
        change = np.median(white[after], axis=0) - middle
        way = (white - middle) @ change / max(float(change @ change), 1e-9)
        if min(way[first], -way[rest[-1]] + 2 * HALF) > HALF and (way[after] > HALF).mean() >= STAYS:
            surprise = surprise_of(white[after] - middle, white[rest] - middle)
            found.append(_Step(first=int(first), rest=rest, after=after, way=way, surprise=surprise))
    return found


def _apart(steps: Sequence[_Step], days: NDArray[np.intp]) -> list[_Step]:
    """The clearest steps, no two of them within a year, in time order."""
    kept: list[_Step] = []
    for step in sorted(steps, key=lambda each: (-each.surprise, each.first)):
        if all(abs(days[step.first] - days[other.first]) >= REST_DAYS for other in kept):
            kept.append(step)
    return sorted(kept, key=lambda each: each.first)


def _renewal(
    fold: Fold, shape: Shape, own: NDArray[np.float64], white: NDArray[np.float64], step: _Step, clear: NDArray[np.intp]
) -> Renewal:
    """A step as a track. clear: clear looks of the structure until its next step."""
    middle = np.median(white[step.rest], axis=0)
    off, past = white - middle, typical_spectrum(own, step.rest)
    rises = tuple(
        (int(step.after[count - 1]), surprise_of(off[step.after[:count]], off[step.rest]))
        for count in range(MIN_SIGHTS, len(step.after) + 1)
    )
    shown = clear[clear >= step.first]
    seen = shown[step.way[shown] > HALF]
    stands = edges_now(part_of(fold, shape.window), shape.where, shown.tolist()) > CLEAR_EDGE
    track = Track(
        before=int(step.rest[-1]), first=step.first, last=int(seen[-1]), rises=rises, standing=step.surprise,
        healed=False, seen=len(seen), clear=len(shown), past=past, now=typical_spectrum(own, shown),
        edges=float("inf"), stands=stands, plot=False,
        days=(fold.looks[int(seen[-1])].time - fold.looks[step.first].time).days,
    )  # fmt: skip
    scores = step.way * SEEN_SIGMAS / HALF
    return Renewal(track=track, scores=tuple(float(each) if np.isfinite(each) else None for each in scores))
