"""A region as one object: its outline, its days, and how surprising it is against its own history."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.decide import persistence
from pipeline.decide.fold import THRESHOLD_NATS, Fold, part_of
from pipeline.decide.kinds import CLEAR_EDGE, is_browned, is_built, is_wood, kind
from pipeline.decide.later import later_part
from pipeline.decide.series import middle_scores, spectra_of, surprise_of, typical_spectrum, white_series
from pipeline.decide.shapes import AROUND_PX, CORE_SHARE, PIXEL_M2, Shape, edges_now, edges_of, shape_of
from pipeline.decide.vectorise import EIGHT, eras, regions
from pipeline.model.alert import Kind
from pipeline.model.bands import Band

ERA_PIXELS, MOST = 8, 0.75
"""What steps nearly as a whole has got its roof; and what is smaller than so many pixels is an edge."""
BUILT = (Kind.NEW_STRUCTURE, Kind.RESURFACED)
MIN_SIGHTS = 3
WITNESS_SHARE = 0.4
"""Of the clearest look: less tells no first or last day."""
YOUNG_LOOKS, YOUNG_NATS = 3, 2.0
"""Objects that began within so many looks are shown one look before the evidence is complete."""
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

    def kind(self, bands: tuple[Band, ...]) -> Kind:
        """What happened."""
        return kind(bands, self.past, self.now, self.healed, self.edges, self.stands, self.settled, self.plot)

    @property
    def settled(self) -> bool:
        """True where it has been seen for most of a year in nearly every clear look."""
        return self.days >= SETTLED_DAYS and self.seen >= 0.8 * self.clear

    @property
    def surprise(self) -> float:
        """The largest so far, 0 where none counts yet."""
        return max((surprise for _, surprise in self.rises), default=0.0)


def object_of(fold: Fold, where: NDArray[np.bool_]) -> tuple[Shape, Track] | None:
    """A region's outline and days; None where no pixel of it is covered, or ever clear, by half.

    where: (row, col), its evidence.
    """
    strength = np.sqrt((fold.trace.shown**2).sum(axis=0))
    passed = where & (fold.trace.peak >= min(THRESHOLD_NATS, float(fold.trace.peak[where].max())))
    # evidence saturates, also where only a corner of a pixel changed; the size of the change does not
    core = passed & (strength >= CORE_SHARE * float(np.quantile(strength[passed], 0.9)))
    healed = bool((fold.trace.ended[core] >= 0).mean() > 0.5)
    first, before, last = _bracket(fold, core, healed)
    clear = [bool((look.why[core] == 0).mean() >= 0.5) for look in fold.looks]
    without = [index for index in range(before + 1) if clear[index]] or [max(before, 0)]
    with_it = [index for index in range(first, last + 1) if clear[index]] or [first]
    shape = shape_of(fold, where, core, without, with_it)
    if shape is None:
        return None
    track = _track(fold, shape, (first, before, last), healed)
    return (shape, track) if np.isfinite(track.past).all() else None


def _track(fold: Fold, shape: Shape, days: tuple[int, int, int], healed: bool, since: int = 0) -> Track:
    """since: the first look at which the ground was as it was before."""
    first, before, last = days
    series, spectra = white_series(fold, shape.core), spectra_of(fold, shape.core)
    end = last if healed else len(fold.looks) - 1
    sights = [index for index in range(first, last + 1) if np.isfinite(series[index, 0])]
    earlier = [index for index in range(max(fold.learning, since), before + 1) if np.isfinite(series[index, 0])]
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
    day = np.array([look.time.toordinal() for look in fold.looks])
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


def _bracket(fold: Fold, core: NDArray[np.bool_], healed: bool) -> tuple[int, int, int]:
    """First look with it, last clear look without it, last look with it, judged on the object as a whole.

    Pixels differ by a look or two in when they pass; the object is first there at the earliest look from which on
    its middle scores as seen, back from where most of its pixels began.
    """
    # a look that is mostly masked is a poor witness of a beginning: what the masks missed lies in it too
    least = WITNESS_SHARE * max(fold.clear_share)
    series = [
        value if clear >= least else None
        for value, clear in zip(middle_scores(fold, core), fold.clear_share, strict=True)
    ]
    first = _typical(fold.trace.first, core)
    before = -1
    for index in range(first - 1, -1, -1):
        score_then = series[index]
        if score_then is None:
            continue
        if score_then <= persistence.SEEN_SIGMAS:
            before = index
            break
        first = index
    if before < 0:
        clear = [index for index in range(first) if fold.scores[index] is None]
        before = clear[-1] if clear else -1
    end = int(np.median(fold.trace.ended[core])) if healed else len(series)
    seen = [index for index in range(first, max(end, first + 1)) if (series[index] or 0) > persistence.SEEN_SIGMAS]
    return first, before, seen[-1] if seen else first


def _typical(index: NDArray[np.int16], where: NDArray[np.bool_]) -> int:
    """The look that most pixels of a region name, the earliest of equals; -1 where none names any."""
    named = index[where]
    named = named[named >= 0]
    if named.size == 0:
        return -1
    values, counts = np.unique(named, return_counts=True)
    return int(values[np.argmax(counts)])


def _counts(fold: Fold, where: NDArray[np.bool_], first: int, last: int) -> tuple[int, int]:
    clear = [score for score in middle_scores(fold, where)[first : last + 1] if score is not None]
    return sum(score > persistence.SEEN_SIGMAS for score in clear), len(clear)


def objects(fold: Fold, min_area_m2: float, limit: float = np.inf) -> tuple[tuple[Shape, Track], ...]:
    """Every object that the folded evidence shows, of at least an area, in the order of their first pixels.

    limit: surprise from which a structure on a part of a standing change is told apart from it; by default none is.
    """
    trace = fold.trace
    # what began in the latest looks has had no time to reach the threshold
    young = (trace.onset >= len(fold.looks) - YOUNG_LOOKS) & (trace.onset == trace.first) & (trace.ended < 0)
    evidence = trace.peak + np.where(young & (trace.peak > 0), YOUNG_NATS, 0)
    labels = regions(evidence, THRESHOLD_NATS, 0.5 * THRESHOLD_NATS, min_area_m2 / PIXEL_M2, trace.first >= 0)
    days = np.array([look.time.toordinal() for look in fold.looks])[trace.first]
    labels = _apart(eras(labels, days, ERA_PIXELS), young)
    found: list[tuple[Shape, Track]] = []
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        found += _objects_in(fold, labels, label, box, limit)
    return tuple(each for each in found if each[0].area_m2 >= min_area_m2)


def _apart(labels: NDArray[np.int32], young: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The same regions, what began in the latest looks told apart where it is larger than what it touches."""
    out, top = labels.copy(), int(labels.max())
    for label, window in enumerate(ndimage.find_objects(labels), 1):
        where = labels[window] == label
        fresh = where & young[window]
        old = int(where.sum() - fresh.sum())
        if ERA_PIXELS <= old < int(fresh.sum()):
            top += 1
            out[window][fresh] = top
    return out


def _objects_in(
    fold: Fold, labels: NDArray[np.int32], label: int, box: tuple[slice, slice], limit: float
) -> list[tuple[Shape, Track]]:
    """The objects of a region, worked out on the ground around it alone: their cost is their own, not the site's.

    Nearly always one; more where a part of it was built upon long after the rest began.
    """
    rows, cols = (
        slice(max(each.start - AROUND_PX, 0), min(each.stop + AROUND_PX, size))
        for each, size in zip(box, labels.shape, strict=True)
    )
    part, where = part_of(fold, (rows, cols)), labels[rows, cols] == label
    one, found, free = object_of(part, where), [], np.ones(where.shape, bool)
    while one is not None:
        shape, track = one
        built = _built_later(part, where, shape.where & free, track, limit)
        if built is None:
            found.append(one)
            break
        free &= ~ndimage.binary_dilation(built[0].where, structure=EIGHT)
        found.append(built)
        one = object_of(part, shape.where & free) if int((shape.where & free).sum()) >= ERA_PIXELS else None
    return [(replace(shape, window=(rows, cols)), track) for shape, track in reversed(found)]


def _built_later(
    fold: Fold, region: NDArray[np.bool_], where: NDArray[np.bool_], track: Track, limit: float
) -> tuple[Shape, Track] | None:
    """A structure on a part of a standing change that stepped an era after it began; None where there is none."""
    if track.healed or limit == np.inf:
        return None
    # what was never sure is no change that could have got its roof
    most = MOST if track.confirmed(limit) >= 0 else 1.0
    later = later_part(fold, region, where, track.first, most)
    if later is None:
        return None
    since, before = (0, track.before) if later.before < 0 else (track.first, later.before)
    clear = [index for index, look in enumerate(fold.looks) if (look.why[later.where] == 0).mean() >= 0.5]
    without = [index for index in clear if since <= index <= before] or [max(before, 0)]
    with_it = [index for index in clear if index >= later.first]
    built = shape_of(fold, later.where, later.where, without, with_it) if with_it else None
    if built is None or 2 * int((built.where & later.where).sum()) < int(later.where.sum()):
        return None
    made = _track(fold, built, (later.first, before, with_it[-1]), False, since)
    return (built, made) if made.surprise >= limit and made.kind(fold.looks[0].bands) in BUILT else None
