"""A region as one object: its outline, its days, and how surprising it is against its own history."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.decide.dates import bracket, last_clear, turned, turns
from pipeline.decide.fold import THRESHOLD_NATS, Fold, part_of
from pipeline.decide.kinds import CLEAR_EDGE, is_browned, is_built, is_wood
from pipeline.decide.persistence import LEAP, MIN_LIKENESS, SEEN_SIGMAS, Trace
from pipeline.decide.series import middle_scores, spectra_of, surprise_of, typical_spectrum, white_series
from pipeline.decide.shapes import AROUND_PX, CORE_SHARE, PIXEL_M2, Shape, edges_now, edges_of, shape_of
from pipeline.decide.vectorise import eras, regions
from pipeline.model.bands import Band

ERA_PIXELS = 8
MIN_SIGHTS = 3
LEAST_SURPRISE = 3.5
"""No history is so quiet that less is ever confirmed."""
YOUNG_LOOKS, YOUNG_NATS = 3, 2.0
"""Objects that began within so many looks are shown one look before the evidence is complete."""
PROVEN_DAYS = 400
"""What has not stood off enough in its first year and a month is a season or a drift, however long it lasts."""
SETTLED_DAYS = 270
FIELD_DAYS, SEASON_DAYS, YEAR_BEFORE, GREEN_TIME = 150, 30, 200, 0.75
"""Bare or burnt ground that fills a field is a farmer's until it outlasts a season. Brown where it was green means
little in a season that no look of an earlier year (more than so many days before) has shown to within so many days. A
season is green while the greenest ground has this share of its best NDVI."""
BLUR_PX, LEAST_PURITY = 0.7, 0.5
"""Gaussian sigma of a 10 m band after resampling; and less than half an object tells nothing of the rest."""
PLOT_M2, PLOT_FILL, PLOT_WIDTH_M = 15_000.0, 0.7, 20.0
"""A building's plot is no larger than this, and fills its narrowest rectangle or is as narrow as a road; fields are
larger, or of any shape."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """An object in time. Indices run along the fold's looks, -1 = none.

    before, first, last: last clear look without it, first and last with it. rises: (look, surprise) at each clear look
    from the third on at which nothing but its surprise is asked for: how many spreads of its own past the object
    stands off. standing: the surprise over all its sights, whatever else is asked for; infinite before the third.
    seen, clear: of the looks since first, how many saw it, how many could have. past, now: (band,) reflectance before
    and in its latest looks. edges: contrast across the outline before anything changed, 1 = as around it. stands: it
    is an edge in the latest looks. plot: it has the size and the shape of a building's. days: from the first look with
    it to the last.
    """

    before: int
    first: int
    last: int
    rises: tuple[tuple[int, float], ...]
    standing: float
    healed: bool
    seen: int
    clear: int
    past: NDArray[np.float64]
    now: NDArray[np.float64]
    edges: float
    stands: bool
    plot: bool
    days: int

    def confirmed(self, limit: float) -> int:
        """The first look at which the surprise passed a limit, -1 = none."""
        return next((index for index, surprise in self.rises if surprise >= limit), -1)

    @property
    def settled(self) -> bool:
        """True where it has been seen for most of a year in nearly every clear look."""
        return self.days >= SETTLED_DAYS and self.seen >= 0.8 * self.clear

    @property
    def surprise(self) -> float:
        """The largest so far, 0 where none counts yet."""
        return max((surprise for _, surprise in self.rises), default=0.0)


def object_of(fold: Fold, where: NDArray[np.bool_], taken: NDArray[np.bool_]) -> tuple[Shape, Track] | None:
    """A region's outline and days; None where no pixel of it is covered by half.

    where: (row, col), its evidence. taken: (row, col), True = that of others, where its outline does not run.
    """
    strength = _strength(fold.trace)
    passed = where & (fold.trace.peak >= min(THRESHOLD_NATS, float(fold.trace.peak[where].max())))
    # evidence saturates, also where only a corner of a pixel changed; the size of the change does not
    core = passed & (strength >= CORE_SHARE * float(np.quantile(strength[passed], 0.9)))
    healed = bool((fold.trace.ended[core] >= 0).mean() > 0.5)
    first, before, last = bracket(fold, core, healed)
    turn = turned(fold, core)
    if turn > first and not healed and _was_season(fold, core, (first, before), turn):
        first, before = turn, last_clear(fold, core, turn)
    clear = [bool((look.why[core] == 0).mean() >= 0.5) for look in fold.looks]
    without = [index for index in range(before + 1) if clear[index]] or [max(before, 0)]
    with_it = [index for index in range(first, last + 1) if clear[index]] or [first]
    shape = shape_of(fold, where & ~taken, core, taken, without, with_it)
    if shape is None:
        return None
    return shape, _track(fold, shape, (first, before, last), healed)


def _was_season(fold: Fold, core: NDArray[np.bool_], began: tuple[int, int], turn: int) -> bool:
    """True where what was seen before a turn would never be confirmed, however often seen: a season, and no change.

    began: first look with it and last without it. A building site that gets its roof turns too, but is a change itself.
    """
    first, before = began
    series = white_series(fold, core)
    sights = [index for index in range(first, turn) if np.isfinite(series[index, 0])]
    earlier = [index for index in range(fold.learning, before + 1) if np.isfinite(series[index, 0])]
    return len(sights) >= MIN_SIGHTS and surprise_of(series[sights], series[earlier]) < LEAST_SURPRISE


def _track(fold: Fold, shape: Shape, days: tuple[int, int, int], healed: bool) -> Track:
    first, before, last = days
    series, spectra = white_series(fold, shape.core), spectra_of(fold, shape.core)
    end = last if healed else len(fold.looks) - 1
    sights = [index for index in range(first, last + 1) if np.isfinite(series[index, 0])]
    earlier = [index for index in range(fold.learning, before + 1) if np.isfinite(series[index, 0])]
    past = typical_spectrum(spectra, range(before + 1))
    edges = edges_of(fold.mean, shape.where)
    bands, rises = fold.looks[0].bands, []
    off, purity = float("inf"), _purity(bands, shape)
    plot = _like_a_plot(shape)
    excused = (plot and edges < CLEAR_EDGE) or is_wood(bands, past)
    for count in range(MIN_SIGHTS, len(sights) + 1):
        known = sights[:count]
        now = _pure(past, typical_spectrum(spectra, known), purity)
        told = (excused or is_built(bands, now)) and not (is_browned(bands, past, now) and _novel(fold, known, before))
        off = surprise_of(series[known], series[earlier])
        if (fold.looks[known[-1]].time - fold.looks[first].time).days > PROVEN_DAYS:
            continue
        if told or _outlasts(fold, known):
            rises.append((known[-1], off))
    seen, clear = _counts(fold, shape.where, first, end)
    return Track(
        before=before, first=first, last=last, rises=tuple(rises), standing=off, healed=healed, seen=seen,
        clear=clear, past=past, now=_pure(past, typical_spectrum(spectra, sights or [first]), purity), edges=edges,
        stands=edges_now(fold, shape.where, sights) > CLEAR_EDGE, plot=plot,
        days=(fold.looks[last].time - fold.looks[first].time).days,
    )  # fmt: skip


def _novel(fold: Fold, sights: list[int], before: int) -> bool:
    """True where most of the sights fall into a season that no earlier year has shown."""
    day = _days(fold)
    since = day[sights][:, None] - day[None, : before + 1]
    off = np.abs((since + 182) % 365 - 182)
    return bool((np.where(since > YEAR_BEFORE, off, 365).min(axis=1, initial=365) > SEASON_DAYS).mean() > 0.5)


def _outlasts(fold: Fold, sights: list[int]) -> bool:
    """True where it has lasted half a year, and into the green time of one."""
    if (fold.looks[sights[-1]].time - fold.looks[sights[0]].time).days < FIELD_DAYS:
        return False
    verdure = np.array(fold.verdure)
    best = float(np.max(verdure, where=np.isfinite(verdure), initial=-1))
    # without a near infrared band no season is told from another
    return best < 0 or int((verdure[sights] > GREEN_TIME * best).sum()) >= MIN_SIGHTS


def _like_a_plot(shape: Shape) -> bool:
    fills = shape.area_m2 >= PLOT_FILL * float(shape.outline.minimum_rotated_rectangle.area)
    narrow = 2 * shape.area_m2 / float(shape.outline.length) < PLOT_WIDTH_M
    return shape.area_m2 <= PLOT_M2 and (fills or narrow)


def _purity(bands: tuple[Band, ...], shape: Shape) -> NDArray[np.float64]:
    """(band,): how much of the core's light comes from within the outline, for a footprint of about a native pixel."""
    inside = shape.where.astype(np.float32)
    return np.array(
        [ndimage.gaussian_filter(inside, BLUR_PX * band.native_m / 10)[shape.core].mean() for band in bands], np.float64
    )


def _pure(past: NDArray[np.float64], now: NDArray[np.float64], purity: NDArray[np.float64]) -> NDArray[np.float64]:
    """The object's own spectrum: what its core shows, less the light of the old ground around it."""
    return np.maximum(past + (now - past) / np.maximum(purity, LEAST_PURITY), 0.001)


def _counts(fold: Fold, where: NDArray[np.bool_], first: int, last: int) -> tuple[int, int]:
    clear = [score for score in middle_scores(fold, where)[first : last + 1] if score is not None]
    return sum(score > SEEN_SIGMAS for score in clear), len(clear)


def objects(fold: Fold, min_area_m2: float) -> tuple[tuple[Shape, Track], ...]:
    """Every object that the folded evidence shows, of at least an area, in the order of their first pixels."""
    trace = fold.trace
    # what began in the latest looks has had no time to reach the threshold
    young = (trace.onset >= len(fold.looks) - YOUNG_LOOKS) & (trace.onset == trace.first) & (trace.ended < 0)
    evidence = trace.peak + np.where(young & (trace.peak > 0), YOUNG_NATS, 0)
    labels = regions(evidence, THRESHOLD_NATS, 0.5 * THRESHOLD_NATS, min_area_m2 / PIXEL_M2, trace.first >= 0)
    labels = eras(labels, _days(fold)[trace.first], _strength(trace), ERA_PIXELS)
    found = (
        each
        for label, box in enumerate(ndimage.find_objects(labels), 1)
        for each in _objects_in(fold, labels, label, box)
    )
    return tuple(each for each in found if each[0].area_m2 >= min_area_m2)


def _objects_in(
    fold: Fold, labels: NDArray[np.int32], label: int, box: tuple[slice, slice]
) -> list[tuple[Shape, Track]]:
    """The objects of a region, worked out on the ground around it alone: their cost is their own, not the site's.

    Parts that turned at another time than the rest are told apart: a hall built on ground that a season had moved. One
    that was like a part that is a change from its first day on is more of that: a hall gets its roof in two goes.
    """
    rows, cols = (
        slice(max(each.start - AROUND_PX, 0), min(each.stop + AROUND_PX, size))
        for each, size in zip(box, labels.shape, strict=True)
    )
    part, window = part_of(fold, (rows, cols)), labels[rows, cols]
    turn = turns(part.trace)
    turned_days = _days(fold)[np.where(turn >= 0, turn, part.trace.first)]
    parts = eras((window == label).astype(np.int32), turned_days, _strength(part.trace), ERA_PIXELS)

    def made(these: NDArray[np.bool_]) -> tuple[Shape, Track] | None:
        return object_of(part, these, (window > 0) & ~these)

    pieces = [parts == each for each in range(1, int(parts.max()) + 1)]
    found = [made(each) for each in pieces]
    for base in range(len(found)):
        one = found[base]
        if one is None or one[1].surprise <= LEAST_SURPRISE:
            continue
        more = [
            other for other, its in enumerate(found)
            if other != base and its is not None and _was_alike(part, pieces[base], pieces[other], one[1].first)
        ]  # fmt: skip
        if more:
            pieces[base] = np.logical_or.reduce([pieces[each] for each in (base, *more)])
            found = [None if each in more else its for each, its in enumerate(found)]
            found[base] = made(pieces[base])
    return [(replace(one[0], window=(rows, cols)), one[1]) for one in found if one is not None]


def _was_alike(fold: Fold, one: NDArray[np.bool_], other: NDArray[np.bool_], first: int) -> bool:
    """True where two parts of a region showed the same from a look on, until the second turned."""
    turn = turns(fold.trace)[other]
    until = int(np.median(turn[turn >= 0])) if (turn >= 0).any() else len(fold.looks)
    series = [white_series(fold, each)[first:until] for each in (one, other)]
    both = np.isfinite(series[0][:, 0]) & np.isfinite(series[1][:, 0])
    if not both.any():
        return False
    mean = [each[both].mean(axis=0) for each in series]
    lengths = [float(np.linalg.norm(each)) for each in mean]
    return bool(mean[0] @ mean[1] > MIN_LIKENESS * lengths[0] * lengths[1] and max(lengths) < LEAP * min(lengths))


def _days(fold: Fold) -> NDArray[np.int64]:
    """(look,) ordinal days."""
    return np.array([look.time.toordinal() for look in fold.looks])


def _strength(trace: Trace) -> NDArray[np.float32]:
    """(row, col) reflectance: length of the change that is shown."""
    return np.asarray(np.sqrt((trace.shown**2).sum(axis=0)), np.float32)
