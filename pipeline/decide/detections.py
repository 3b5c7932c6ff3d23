"""What is reported of an object: its outline, its dates, its type of change and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.decide.object_series import Candidates, Episode, episode_of, score_until, score_windows, window_of
from pipeline.decide.objects import Stack, StepObject, put_in_window, widen_window
from pipeline.decide.posterior import JUDGED, SitePrior, log_odds, measure_features
from pipeline.decide.series import spectra_of, step_of_looks, typical_spectrum
from pipeline.decide.shapes import AROUND_PX, Shape, edges_of, shape_of, sharpen_edges
from pipeline.decide.steps import YEAR_DAYS, Times
from pipeline.ground.change_types import change_type
from pipeline.ground.phases import Phase, phases_of
from pipeline.model.alert import LEAST_LOOKS, Kind, State
from pipeline.model.bands import Band
from pipeline.model.imagery import Look

BLUR_PX, LEAST_PURITY = 0.7, 0.5
"""Gaussian sigma of a 10 m band after resampling; and the least share of an object that has to be visible."""
SURE_STATE = 0.8
"""Probability of another state from which a structure counts as demolished."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detection:
    """An object as it is reported.

    shape: its outline on the site's grid. episode: which looks saw it. confirmed: first look at which its log-odds had
    reached the level that confirms, -1 = none, or the old ground is back and they no longer do. odds: log-odds of a
    lasting change at the end. measured: (look with it from the third on, 6)
    `pipeline.decide.posterior.measure_features`.
    progress: (look,) 0 = as before, 1 = as after, NaN where not clear.
    kind: the type of change. score: of its best window.
    """

    shape: Shape
    episode: Episode
    confirmed: int
    odds: float
    measured: NDArray[np.float64]
    progress: NDArray[np.float64]
    kind: Kind
    score: float
    phases: tuple[Phase, ...] = ()


def make_detections(
    looks: Sequence[Look], stack: Stack, made: StepObject, prior: SitePrior, min_area_m2: float
) -> tuple[Detection, ...]:
    """Detections of an object: itself, and the re-roofing of a structure older than a year; empty if small."""
    window = widen_window(made.window, AROUND_PX, stack.baseline.cover.shape)
    part = [_cut_look(look, window) for look in looks]
    where, core, share = (put_in_window(each, made.window, window) for each in (made.where, made.core, made.share))
    step = step_of_looks(part, stack.times, int(made.found.start[made.index]), int(made.found.stop[made.index]))
    shape = shape_of(sharpen_edges(share, where, core, step), where, core, part[0].grid)
    if shape is None or shape.area_m2 < min_area_m2:
        return ()
    spectra, episode = spectra_of(part, shape.core), made.episode
    past, purity = typical_spectrum(spectra, range(episode.before + 1)), _core_purity(part[0].bands, shape)
    if not np.isfinite(past).all():
        return ()
    own = _own_spectra(spectra, past, purity, episode)
    phases = phases_of(part[0].bands, own, _phase_boundaries(episode))
    earlier = _since_built(episode, phases, np.asarray(np.isfinite(spectra).all(axis=1)))
    if earlier is not None:
        episode = earlier
        phases = phases_of(part[0].bands, own, _phase_boundaries(episode))
    was = next((each.state for each in reversed(phases) if each.last <= episode.before), State.OTHER)
    now = next((each.state for each in reversed(phases) if each.first <= episode.last), was)
    confirmed, odds, measured = _judge_episode(stack.times, made.found, (made.episode, episode), shape.area_m2, prior)
    one = Detection(
        shape=replace(shape, window=window), episode=episode, confirmed=confirmed, odds=odds, measured=measured,
        score=made.score,
        kind=change_type(was, now, edges_of(stack.baseline.mean[(slice(None), *window)], shape.where)),
        progress=made.progress, phases=phases,
    )  # fmt: skip
    first = _structure_before(looks, stack, one, own, prior)
    if first is not None:
        demolished = now is not State.BUILT and phases[-1].probability >= SURE_STATE
        return first, replace(one, kind=Kind.DEMOLISHED if demolished else Kind.RESURFACED)
    again = _find_renewal(looks, stack, one, own, prior)
    return (one,) if again is None else (one, again)


def _judge_episode(
    times: Times, found: Candidates, episodes: Sequence[Episode], area_m2: float, prior: SitePrior
) -> tuple[int, float, NDArray[np.float64]]:
    """(confirmed, odds, measured) as in `Detection`, for the last of some episodes of a series.

    The score of a look is the highest of all windows until then that begin in the bracket of one of the episodes.
    """
    episode = episodes[-1]
    look = np.arange(episode.seen.size)
    seen = np.flatnonzero(episode.seen & (look >= episode.first) & (look <= episode.last))
    at = seen[min(LEAST_LOOKS, seen.size) - 1 :]
    score = np.max([score_until(found, each) for each in episodes], axis=0)[at]
    since = times.days - times.days[episode.first]
    measured = measure_features(score, since[at], -int(since[0]), episode.ended, area_m2, prior.reverted[at])
    odds = log_odds(measured)
    passed = at[(odds >= prior.level) & (score >= JUDGED)]
    gone = seen.size < LEAST_LOOKS or (episode.ended and odds[-1] < prior.level)
    return int(passed[0]) if passed.size and not gone else -1, float(odds[-1]), measured


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


def _structure_before(
    looks: Sequence[Look], stack: Stack, later: Detection, own: NDArray[np.float64], prior: SitePrior
) -> Detection | None:
    """The structure that was built more than a year before a confirmed change of its surface; None where there is none.

    own: (look, band) spectra of the object.
    """
    until = later.episode.first
    if later.confirmed < 0 or later.episode.ended:
        return None
    found = _second_step(stack, later, slice(0, until), prior)
    if found is None or (looks[until].time - looks[found.episode.first].time).days < YEAR_DAYS:
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


def _find_renewal(
    looks: Sequence[Look], stack: Stack, built: Detection, own: NDArray[np.float64], prior: SitePrior
) -> Detection | None:
    """A second step of a confirmed structure that had stood for a year: its roof was renewed.

    own: (look, band) spectra of the object.
    """
    if built.confirmed < 0 or built.episode.ended or built.kind not in (Kind.NEW_STRUCTURE, Kind.RESURFACED):
        return None
    since = built.episode.first
    found = _second_step(stack, built, slice(since, None), prior)
    if found is None or (looks[found.episode.first].time - looks[since].time).days < YEAR_DAYS:
        return None
    phases = phases_of(looks[0].bands, own, (since, found.episode.first))
    return replace(found, kind=Kind.RESURFACED, phases=phases)


def _second_step(stack: Stack, made: Detection, part: slice, prior: SitePrior) -> Detection | None:
    """Another lasting step of the same ground, within a part of the looks, that is confirmed."""
    values = stack.mean_series(made.shape.core, made.shape.window)
    series = np.full(values.shape, np.nan)
    series[part] = values[part]
    found = score_windows(series, stack.times, *stack.ground_of(made.shape.core, made.shape.window))
    if found is None:
        return None
    episode = episode_of(found, found.best)
    if episode is None or episode.ended:
        return None
    confirmed, odds, measured = _judge_episode(stack.times, found, (episode,), made.shape.area_m2, prior)
    if confirmed < 0:
        return None
    index = window_of(found, episode)
    return Detection(
        shape=made.shape, episode=episode, confirmed=confirmed, odds=odds, measured=measured,
        progress=found.progress[:, index], kind=Kind.NEW_STRUCTURE, score=float(found.score[index]),
    )  # fmt: skip


def _cut_look(look: Look, window: tuple[slice, slice]) -> Look:
    """A look over some rows and columns, nothing copied."""
    return replace(
        look, grid=look.grid[window], reflectance=look.reflectance[(slice(None), *window)], why=look.why[window]
    )


def _core_purity(bands: tuple[Band, ...], shape: Shape) -> NDArray[np.float64]:
    """(band,): how much of the core's light comes from within the outline, for a footprint of about a native pixel."""
    inside = shape.where.astype(np.float32)
    return np.array(
        [ndimage.gaussian_filter(inside, BLUR_PX * band.native_m / 10)[shape.core].mean() for band in bands], np.float64
    )


def _own_spectra(
    spectra: NDArray[np.float64], past: NDArray[np.float64], purity: NDArray[np.float64], episode: Episode
) -> NDArray[np.float64]:
    """(look, band): the object's own spectrum while it was seen, without the light of the old ground around it."""
    own = spectra.copy()
    span = slice(episode.first, episode.last + 1)
    own[span] = np.maximum(past + (spectra[span] - past) / np.maximum(purity, LEAST_PURITY), 0.001)
    return own


def _phase_boundaries(episode: Episode) -> tuple[int, ...]:
    """Looks at which a phase begins in any case."""
    return (episode.first, episode.last + 1) if episode.ended else (episode.first,)
