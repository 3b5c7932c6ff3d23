"""A part of a change that changed once more, long after: a hall on a yard that was cleared years before.

The history holds no season with the change in it, so what stands is unlike it in every look. When a part of it was
built is told by the largest step in each pixel's own series since the change began.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.decide.fold import Fold
from pipeline.decide.persistence import SEEN_SIGMAS
from pipeline.decide.series import white_series
from pipeline.decide.vectorise import EIGHT, ERA_DAYS, SKIRT_PX

SIDE_LOOKS, LEAST_CLEAR = 6, 3
"""Looks on either side of a day that are compared, and how many of them have to be clear."""
STEP_SIGMAS = 4.0
"""Root mean square over the bands, in noises of a single look, from which a pixel has stepped."""
NOISE, SPREAD = 0.004, 0.3
"""Least noise of a pixel's reflectance in one look, and least spread of a whitened residual."""
UNLIKE = 0.5
"""Of its own change: by more than that a part differs from the ground beside it that is not alike."""
LEAST_PIXELS = 8
"""What is smaller is an edge."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Later:
    """where: (row, col), the part. first: the look that shows it. before: the last clear one that does not.

    before is -1 where the part is as old as the rest, and only its roof is new.
    """

    where: NDArray[np.bool_]
    first: int
    before: int


def later_part(
    fold: Fold, region: NDArray[np.bool_], where: NDArray[np.bool_], began: int, most: float
) -> Later | None:
    """The latest part of a standing change that stepped an era after it began; None where there is none.

    region, where: (row, col), the change with all that surrounds it, and within its outline. began: its first look.
    most: share of the outline that a part may have.
    """
    day = np.array([look.time.toordinal() for look in fold.looks])
    known = [index for index in range(began, len(fold.looks)) if fold.white[index] is not None]
    if int(where.sum()) < 2 * LEAST_PIXELS or not known or day[-1] - day[began] <= ERA_DAYS:
        return None
    size, at = _largest_step(*_values(fold, where, known))
    look = np.array(known)[at]
    late = (size >= STEP_SIGMAS) & (day[look] > day[began] + ERA_DAYS)
    if not late.any():
        return None
    days = np.unique(day[look[late]])
    rests = np.flatnonzero(np.diff(days) > ERA_DAYS)
    late &= day[look] >= days[rests[-1] + 1 if len(rests) else 0]
    part = _largest_piece(where, late)
    if not LEAST_PIXELS <= int(part.sum()) <= most * int(where.sum()):
        return None
    if _stood_out(fold, part, _beside(region, where, part), began, int(day[began]) + ERA_DAYS):
        return Later(where=part, first=began, before=-1)
    names, votes = np.unique(look[part[where]], return_counts=True)
    first = int(names[np.argmax(votes)])
    clear = [index for index in range(began, first) if (fold.looks[index].why[part] == 0).mean() >= 0.5]
    return Later(where=part, first=first, before=clear[-1]) if clear else None


def _largest_piece(where: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    part = np.zeros(where.shape, bool)
    part[where] = chosen
    pieces, count = ndimage.label(part, structure=EIGHT)
    return np.asarray(pieces == 1 + int(np.argmax(ndimage.sum_labels(part, pieces, np.arange(1, count + 1)))))


def _beside(region: NDArray[np.bool_], where: NDArray[np.bool_], part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(row, col): ground of the change next to a part and beyond its skirt; all the rest where there is little."""
    skirt = ndimage.binary_dilation(part, structure=EIGHT, iterations=SKIRT_PX)
    near = region & ~skirt & ndimage.binary_dilation(skirt, structure=EIGHT, iterations=SKIRT_PX)
    return near if int(near.sum()) >= LEAST_PIXELS else where & ~part


def _stood_out(fold: Fold, part: NDArray[np.bool_], rest: NDArray[np.bool_], began: int, until: int) -> bool:
    """True where a part was unlike its past, and unlike the rest, from the beginning until a day."""
    if not rest.any():
        return False
    own = white_series(fold, part)
    apart = own - white_series(fold, rest)
    stop = int(np.searchsorted([look.time.toordinal() for look in fold.looks], until, "right"))
    early, since = _finite(own[:began]), _finite(np.hstack([own, apart])[began:stop])
    if not len(early) or not len(since):
        return False
    middle = np.median(early, axis=0)
    spread = 1.4826 * np.median(np.abs(early - middle), axis=0) + SPREAD
    bands = len(middle)
    off = np.sqrt((((since[:, :bands] - middle) / spread) ** 2).mean(axis=1))
    share = np.linalg.norm(since[:, bands:], axis=1) / np.maximum(np.linalg.norm(since[:, :bands], axis=1), 1e-9)
    return bool(np.median(off) > SEEN_SIGMAS and np.median(share) > UNLIKE)


def _finite(series: NDArray[np.float64]) -> NDArray[np.float64]:
    return series[np.isfinite(series).all(axis=1)]


def _values(fold: Fold, where: NDArray[np.bool_], known: list[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(look, band, pixel) reflectance, 0 where not clear; and (look, pixel), True = clear."""
    clear = np.stack([fold.looks[index].why[where] == 0 for index in known])
    values = np.stack([fold.looks[index].reflectance[:, where] for index in known])
    return np.where(clear[:, None], values, 0), clear


def _largest_step(
    values: NDArray[np.float32], clear: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """(pixel,): size of the largest step in noises of one look, and the place of the first look after it.

    A step is the mean of the looks from a place on less that of the looks before it, SIDE_LOOKS of each.
    """
    looks, bands, pixels = values.shape
    both = clear[1:] & clear[:-1]
    moves = (np.abs(np.diff(values, axis=0)) * both[:, None]).sum(axis=0)
    # of a normal deviate's difference the mean size is 1.128 sigma
    noise = moves / np.maximum(both.sum(axis=0), 1) / 1.128 + NOISE
    sums = np.concatenate([np.zeros((1, bands, pixels)), np.cumsum(values, axis=0, dtype=np.float64)])
    counts = np.concatenate([np.zeros((1, pixels), int), np.cumsum(clear, axis=0)])
    size, at = np.zeros(pixels, np.float32), np.zeros(pixels, np.intp)
    for place in range(1, looks):
        start, stop = max(place - SIDE_LOOKS, 0), min(place + SIDE_LOOKS, looks)
        before, after = counts[place] - counts[start], counts[stop] - counts[place]
        jump = (sums[stop] - sums[place]) / np.maximum(after, 1) - (sums[place] - sums[start]) / np.maximum(before, 1)
        length = np.sqrt(((jump / noise) ** 2).mean(axis=0))
        larger = (length > size) & (before >= LEAST_CLEAR) & (after >= LEAST_CLEAR) & clear[place]
        size, at = np.where(larger, length, size), np.where(larger, place, at)
    return size, at
