"""What is reported of an object: its outline, its dates, its type of change and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.decide.ground import built_odds, is_canopy, learned
from pipeline.decide.kinds import kind
from pipeline.decide.object_series import Episode, candidates, confirmed_at, episode_of, window_of
from pipeline.decide.objects import Stack, StepObject, placed, widened
from pipeline.decide.phases import Phase, phases_of
from pipeline.decide.series import spectra_of, typical_spectrum
from pipeline.decide.shapes import AROUND_PX, Shape, edges_of, shape_of
from pipeline.model.alert import Kind, State
from pipeline.model.bands import Band
from pipeline.model.imagery import Look

LIMIT, SCALE, USUAL_RATE = 1.9, 0.33, 3.0
"""Score that confirms at the usual rate of false alarms, and the change in score by which false alarms become fewer by
a factor e: the tail of false scores on semi-real series with farming of two cities (docs/decisions/0097)."""
LIMITS = (1.4, 4.0)
"""No rate asks for less or more."""
BLUR_PX, LEAST_PURITY = 0.7, 0.5
"""Gaussian sigma of a 10 m band after resampling; and the least share of an object that has to be visible."""
FIELD_DAYS = 150
"""Days after which ground that looks like soil is no longer taken for a field between two crops."""
RENEWAL_DAYS = 365
"""Age of a structure from which a second step of it is re-roofing."""
FIELD_SCORE, YEAR_DAYS = 2.5, 365
"""Of the limit: score from which ground that looks like soil is confirmed at once, if its past shows a whole year."""
SURELY_BUILT = 6.0
"""Median log-odds of built against soil and leaf from which a change is no field that was ploughed."""
LEAST_FIELD_M2 = 2000.0
"""Bare ground that is green again was a field, if it is not smaller."""
SURE_STATE = 0.8
"""Probability of another state from which a structure counts as demolished."""
STAYS_CONFIRMED = 1.6
"""Of the limit: score from which a change stays confirmed though it has ended."""
SATURATED = 4.2
"""Score above the limit beyond which an alert becomes no surer."""


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
    phases: tuple[Phase, ...] = ()


def limit_of(rate: float) -> float:
    """The score that confirms, for a rate of false confirmed polygons per 100 km2 and year."""
    return float(np.clip(LIMIT + SCALE * np.log(USUAL_RATE / rate), *LIMITS))


def confidence_of(found: Detection, limit: float) -> float:
    """Probability that an alert is construction or another lasting change, 0..1.

    Logistic regression on `features_of`, learned by benchmarks/learn_confidence.py (`confidence.json`).
    """
    return float(1 / (1 + np.exp(-(_weights() @ features_of(found, limit)))))


def features_of(found: Detection, limit: float) -> NDArray[np.float64]:
    """(4,): 1, score above the limit, whether it is confirmed, and whether the ground is built now."""
    during = [each.state for each in found.phases if each.first <= found.episode.last]
    built = bool(during) and during[-1] is State.BUILT
    return np.array([1.0, min(found.score - limit, SATURATED), found.confirmed >= 0, built])


@lru_cache(maxsize=1)
def _weights() -> NDArray[np.float64]:
    return np.array(learned("confidence.json")["weights"], np.float64)


def detections(
    looks: Sequence[Look], stack: Stack, made: StepObject, limit: float, min_area_m2: float
) -> tuple[Detection, ...]:
    """Detections of an object: itself, and the re-roofing of a structure older than a year; empty if small."""
    window = widened(made.window, AROUND_PX, stack.baseline.cover.shape)
    part = [_part(look, window) for look in looks]
    where, core, share = (placed(each, made.window, window) for each in (made.where, made.core, made.share))
    before = made.episode.before
    shape = shape_of(share, where, core, part[0].grid)
    if shape is None or shape.area_m2 < min_area_m2:
        return ()
    spectra = spectra_of(part, shape.core)
    past, purity = typical_spectrum(spectra, range(before + 1)), _purity(part[0].bands, shape)
    if not np.isfinite(past).all():
        return ()
    confirmed, episode = confirmed_at(made.found, made.episode, limit), made.episode
    own = _own(spectra, past, purity, episode)
    phases = phases_of(part[0].bands, own, _boundaries(episode))
    earlier = _since_built(episode, phases, np.asarray(np.isfinite(spectra).all(axis=1)))
    if earlier is not None:
        at = confirmed_at(made.found, earlier, limit)
        episode, confirmed = earlier, confirmed if at < 0 else at
        phases = phases_of(part[0].bands, own, _boundaries(episode))
    was = next((each.state for each in reversed(phases) if each.last <= episode.before), State.OTHER)
    now = next((each.state for each in reversed(phases) if each.first <= episode.last), was)
    what = kind(was, now, edges_of(stack.baseline.mean[(slice(None), *window)], shape.where))
    seen = np.flatnonzero(made.episode.seen & np.isfinite(own).all(axis=1))
    days = (looks[episode.last].time - looks[episode.first].time).days
    woods = days >= FIELD_DAYS and is_canopy(part[0].bands, past)
    field = shape.area_m2 >= LEAST_FIELD_M2 and not woods
    like_soil = field and not (seen.size and float(np.median(built_odds(part[0].bands, own[seen]))) >= SURELY_BUILT)
    known = (looks[episode.first].time - looks[0].time).days >= YEAR_DAYS
    if (like_soil and not (known and made.score >= FIELD_SCORE * limit)) or (was is now and not known):
        confirmed = _outlasting(looks, episode, confirmed)
    stood = now is State.BUILT and made.score >= STAYS_CONFIRMED * limit
    refuted = like_soil or (days < YEAR_DAYS and field) or not (stood or woods)
    became = next((each.state for each in phases if each.first >= episode.first), was)
    season = State.VEGETATED in (became, now) and not known and made.score < FIELD_SCORE * limit
    if (episode.ended and refuted) or season:
        # natural episodes revert and construction seldom does; what greens in the first year of a series is a season
        confirmed = -1
    one = Detection(
        shape=replace(shape, window=window), episode=episode, kind=what, score=made.score,
        confirmed=confirmed, progress=made.found.progress[:, made.index], phases=phases,
    )  # fmt: skip
    first = _structure_before(looks, stack, one, own, limit)
    if first is not None:
        demolished = now is not State.BUILT and phases[-1].probability >= SURE_STATE
        return first, replace(one, kind=Kind.DEMOLISHED if demolished else Kind.RESURFACED)
    again = _renewal(looks, stack, one, own, limit)
    return (one,) if again is None else (one, again)


def _since_built(episode: Episode, phases: Sequence[Phase], clear: NDArray[np.bool_]) -> Episode | None:
    """The episode of a structure that was built, after other ground, before the step that stands out; None if not.

    A structure may change more in a year of use, or in one look at the sun's angle, than it did when it was built.
    """
    past = [each for each in phases if each.last <= episode.before]
    now = next((each.state for each in phases if each.first >= episode.first), None)
    if len(past) < 2 or not (past[-1].state is now is State.BUILT):
        return None
    first = past[-1].first
    seen = episode.seen | (clear & (np.arange(clear.size) >= first) & (np.arange(clear.size) < episode.first))
    span = np.flatnonzero(clear[: (episode.last if episode.ended else clear.size) + 1])
    span = span[span >= first]
    return replace(
        episode, first=first, onset=first, before=past[-2].last, seen=seen,
        looks_seen=int(seen[span].sum()), looks_clear=int(span.size),
    )  # fmt: skip


def _outlasting(looks: Sequence[Look], episode: Episode, confirmed: int) -> int:
    """The first look from `confirmed` on at which bare ground has outlasted a field between crops, else -1."""
    if confirmed < 0:
        return -1
    began = looks[episode.first].time
    late = (index for index in range(confirmed, episode.last + 1) if (looks[index].time - began).days >= FIELD_DAYS)
    return next((index for index in late if episode.seen[index]), -1)


def _structure_before(
    looks: Sequence[Look], stack: Stack, later: Detection, own: NDArray[np.float64], limit: float
) -> Detection | None:
    """The structure that was built more than a year before a confirmed change of its surface; None where there is none.

    own: (look, band) spectra of the object.
    """
    until = later.episode.first
    if later.confirmed < 0 or later.episode.ended:
        return None
    found = _second_step(stack, later, slice(0, until), limit)
    if found is None or (looks[until].time - looks[found.episode.first].time).days < RENEWAL_DAYS:
        return None
    seen = found.episode.seen | later.episode.seen
    span = np.flatnonzero(np.isfinite(later.progress))
    span = span[span >= found.episode.first]
    episode = replace(
        found.episode, seen=seen, last=later.episode.last,
        looks_seen=int(seen[span].sum()), looks_clear=int(span.size),
    )  # fmt: skip
    phases = phases_of(looks[0].bands, own, (episode.first, until))
    states = [each.state for each in phases if episode.first <= each.first < until]
    return replace(found, episode=episode, phases=phases) if states and states[-1] is State.BUILT else None


def _renewal(
    looks: Sequence[Look], stack: Stack, built: Detection, own: NDArray[np.float64], limit: float
) -> Detection | None:
    """A second step of a confirmed structure that had stood for a year: its roof was renewed.

    own: (look, band) spectra of the object.
    """
    if built.confirmed < 0 or built.episode.ended or built.kind not in (Kind.NEW_STRUCTURE, Kind.RESURFACED):
        return None
    since = built.episode.first
    found = _second_step(stack, built, slice(since, None), limit)
    if found is None or (looks[found.episode.first].time - looks[since].time).days < RENEWAL_DAYS:
        return None
    phases = phases_of(looks[0].bands, own, (since, found.episode.first))
    return replace(found, kind=Kind.RESURFACED, phases=phases)


def _second_step(stack: Stack, made: Detection, part: slice, limit: float) -> Detection | None:
    """Another lasting step of the same ground, within a part of the looks, that reaches the limit."""
    values = stack.mean_series(made.shape.core, made.shape.window)
    series = np.full(values.shape, np.nan)
    series[part] = values[part]
    found = candidates(series, stack.times, *stack.ground_of(made.shape.core, made.shape.window))
    if found is None:
        return None
    episode = episode_of(found, found.best)
    if episode is None or episode.ended:
        return None
    index = window_of(found, episode)
    if found.score[index] < limit:
        return None
    return Detection(
        shape=made.shape, episode=episode, confirmed=confirmed_at(found, episode, limit),
        progress=found.progress[:, index], kind=Kind.NEW_STRUCTURE, score=float(found.score[index]),
    )  # fmt: skip


def _part(look: Look, window: tuple[slice, slice]) -> Look:
    """A look over some rows and columns, nothing copied."""
    return replace(
        look, grid=look.grid[window], reflectance=look.reflectance[(slice(None), *window)], why=look.why[window]
    )


def _purity(bands: tuple[Band, ...], shape: Shape) -> NDArray[np.float64]:
    """(band,): how much of the core's light comes from within the outline, for a footprint of about a native pixel."""
    inside = shape.where.astype(np.float32)
    return np.array(
        [ndimage.gaussian_filter(inside, BLUR_PX * band.native_m / 10)[shape.core].mean() for band in bands], np.float64
    )


def _own(
    spectra: NDArray[np.float64], past: NDArray[np.float64], purity: NDArray[np.float64], episode: Episode
) -> NDArray[np.float64]:
    """(look, band): the object's own spectrum while it was seen, without the light of the old ground around it."""
    own = spectra.copy()
    span = slice(episode.first, episode.last + 1)
    own[span] = np.maximum(past + (spectra[span] - past) / np.maximum(purity, LEAST_PURITY), 0.001)
    return own


def _boundaries(episode: Episode) -> tuple[int, ...]:
    """Looks at which a phase begins in any case."""
    return (episode.first, episode.last + 1) if episode.ended else (episode.first,)
