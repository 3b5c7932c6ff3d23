"""What is reported of an object: its outline, its dates, its type of change and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.decide.kinds import CLEAR_EDGE, is_built, is_wood, kind
from pipeline.decide.object_series import Episode, candidates, confirmed_at, episode_of
from pipeline.decide.objects import Stack, StepObject, placed, widened
from pipeline.decide.series import spectra_of, typical_spectrum
from pipeline.decide.shapes import AROUND_PX, Shape, edges_now, edges_of, shape_of
from pipeline.model.alert import Kind
from pipeline.model.bands import Band
from pipeline.model.imagery import Look

LIMIT, SCALE, USUAL_RATE = 1.8, 0.33, 3.0
"""Score that confirms at the usual rate of false alarms, and the change in score by which false alarms become fewer by
a factor e: the tail of false scores on semi-real series with farming of two cities (docs/decisions/0097)."""
LIMITS = (1.4, 4.0)
"""No rate asks for less or more."""
BLUR_PX, LEAST_PURITY = 0.7, 0.5
"""Gaussian sigma of a 10 m band after resampling; and the least share of an object that has to be visible."""
PLOT_M2, PLOT_FILL, PLOT_WIDTH_M = 15_000.0, 0.7, 20.0
"""A building's plot is no larger than this, and fills its narrowest rectangle or is as narrow as a road."""
FIELD_DAYS = 150
"""Days after which ground that looks like soil is no longer taken for a field between two crops."""
SETTLED_DAYS = 270
"""Days after which bare ground that persists is no longer a field's."""
RENEWAL_DAYS = 365
"""Age of a structure from which a second step of it is re-roofing."""
FIELD_SCORE, YEAR_DAYS = 2.5, 365
"""Of the limit: score from which ground that looks like soil is confirmed at once, if its past shows a whole year."""
LEAST_FIELD_M2 = 2000.0
"""Bare ground that is green again was a field, if it is not smaller."""
STAYS_CONFIRMED = 1.6
"""Of the limit: score from which a change stays confirmed though it has ended."""
SURE, SLOPE = -1.1, 2.8
"""Log-odds that an alert at the limit is right, and their rise per unit of score (the same semi-real series)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detection:
    """An object as it is reported.

    shape: its outline on the site's grid. episode: which looks saw it. confirmed: first look at which its score had
    reached the limit, -1 = none. progress: (look,) 0 = as before, 1 = as after, NaN where not clear. kind: the type of
    change. score: of its best window.
    """

    shape: Shape
    episode: Episode
    confirmed: int
    progress: NDArray[np.float64]
    kind: Kind
    score: float


def limit_of(rate: float) -> float:
    """The score that confirms, for a rate of false confirmed polygons per 100 km2 and year."""
    return float(np.clip(LIMIT + SCALE * np.log(USUAL_RATE / rate), *LIMITS))


def confidence_of(found: Detection, limit: float) -> float:
    """Probability that an alert is construction or another lasting change, 0..1."""
    return float(1 / (1 + np.exp(-(SURE + SLOPE * (found.score - limit)))))


def detections(
    looks: Sequence[Look], stack: Stack, made: StepObject, limit: float, min_area_m2: float
) -> tuple[Detection, ...]:
    """Detections of an object: itself, and the re-roofing of a structure older than a year; empty if small."""
    window = widened(made.window, AROUND_PX, stack.baseline.cover.shape)
    part = [_part(look, window) for look in looks]
    where, core, share = (placed(each, made.window, window) for each in (made.where, made.core, made.share))
    clear = [bool((look.why[core] == 0).mean() >= 0.5) for look in part]
    seen, before = made.episode.seen, made.episode.before
    span = range(made.episode.first, made.episode.last + 1)
    with_it = [index for index in span if seen[index] and clear[index]]
    shape = shape_of(share, where, core, part[0].grid)
    if shape is None or shape.area_m2 < min_area_m2:
        return ()
    spectra = spectra_of(part, shape.core)
    past, purity = typical_spectrum(spectra, range(before + 1)), _purity(part[0].bands, shape)
    now = _pure(past, typical_spectrum(spectra, with_it or [made.episode.first]), purity)
    if not np.isfinite(past).all():
        return ()
    days = (looks[made.episode.last].time - looks[made.episode.first].time).days
    settled = days >= SETTLED_DAYS and made.episode.looks_seen >= 0.8 * made.episode.looks_clear
    what = kind(
        part[0].bands, past, now, made.episode.ended,
        edges_of(stack.baseline.mean[(slice(None), *window)], shape.where),
        edges_now(part, shape.where, with_it) > CLEAR_EDGE, settled, _like_a_plot(shape),
    )  # fmt: skip
    confirmed = confirmed_at(made.found, made.episode, limit)
    like_soil = not (is_built(part[0].bands, now) or is_wood(part[0].bands, past))
    known = (looks[made.episode.first].time - looks[0].time).days >= YEAR_DAYS
    if like_soil and not (known and made.score >= FIELD_SCORE * limit):
        confirmed = _outlasting(looks, made.episode, confirmed)
    field = like_soil and shape.area_m2 >= LEAST_FIELD_M2
    if made.episode.ended and (field or made.score < STAYS_CONFIRMED * limit):
        # natural episodes revert and construction seldom does: what is gone again is refuted unless it was unlike them
        confirmed = -1
    one = Detection(
        shape=replace(shape, window=window), episode=made.episode, kind=what, score=made.score,
        confirmed=confirmed, progress=made.found.progress[:, made.index],
    )  # fmt: skip
    again = _renewal(looks, stack, one, spectra, limit)
    return (one,) if again is None else (one, again)


def _outlasting(looks: Sequence[Look], episode: Episode, confirmed: int) -> int:
    """The first look from `confirmed` on at which bare ground has outlasted a field between crops, else -1."""
    if confirmed < 0:
        return -1
    began = looks[episode.first].time
    late = (index for index in range(confirmed, episode.last + 1) if (looks[index].time - began).days >= FIELD_DAYS)
    return next((index for index in late if episode.seen[index]), -1)


def _renewal(
    looks: Sequence[Look], stack: Stack, built: Detection, spectra: NDArray[np.float64], limit: float
) -> Detection | None:
    """A second step of a confirmed structure that had stood for a year: its roof was renewed."""
    if built.confirmed < 0 or built.episode.ended or built.kind not in (Kind.NEW_STRUCTURE, Kind.RESURFACED):
        return None
    series = np.full(spectra.shape, np.nan)
    since = built.episode.first
    values = stack.mean_series(built.shape.core, built.shape.window)
    series[since:] = values[since:]
    natural, noise = stack.ground_of(built.shape.core, built.shape.window)
    found = candidates(series, stack.times, natural, noise)
    if found is None:
        return None
    index = found.best
    episode = episode_of(found, index) if found.score[index] >= limit else None
    if episode is None or episode.ended or (looks[episode.first].time - looks[since].time).days < RENEWAL_DAYS:
        return None
    return Detection(
        shape=built.shape, episode=episode, confirmed=confirmed_at(found, episode, limit),
        progress=found.progress[:, index], kind=Kind.RESURFACED, score=float(found.score[index]),
    )  # fmt: skip


def _part(look: Look, window: tuple[slice, slice]) -> Look:
    """A look over some rows and columns, nothing copied."""
    return replace(
        look, grid=look.grid[window], reflectance=look.reflectance[(slice(None), *window)], why=look.why[window]
    )


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
