"""The threshold from the false alarms that the user accepts, by playing the site's own history against itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from scipy import ndimage

from pipeline.decide.fold import Fold, fold
from pipeline.decide.objects import Track, objects
from pipeline.decide.shapes import Shape
from pipeline.model.alert import Kind
from pipeline.model.imagery import Look
from pipeline.model.settings import Settings
from pipeline.model.site import PIXEL_M

START = 2.0
"""Surprise from which the tail is fitted: below, objects are what the evidence's own threshold lets through."""
CERTAIN = 4.0
"""Forwards, only what stays below this is taken for null: beyond it lies what was built."""
NEVER_CHANCE = 7.0
"""Backwards, what stands off further is a change too: a clearing of before the history that grew over."""
PRIOR_RATE, PRIOR_SCALE = 1.2, 0.9
"""Null objects per km2 and year beyond START, and how fast they thin out, on simulated quiet ground."""
PRIOR_KM2_YEARS, PRIOR_OBJECTS = 5.0, 8.0
"""What that is worth against a site's own history."""
LIMITS = (3.5, 8.0)
"""No history is so quiet, and none so restless, that the surprise asked for should lie beyond."""
AROUND_PX = 3


BIAS, CONFIRMED, BARE_GROUND, SURPRISE = -0.3, 2.6, -2.0, 1.6
"""Log-odds that an alert is right: of any, of one that is confirmed, of one that shows bare ground, and per e-fold of
surprise beyond the limit. Logistic fit to 240 alerts of simulated years over eight real grounds. Fitted on four of them
and read on the other four, bins of more than 15 alerts lay within 0.03 of the share that was right, smaller ones within
0.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """Null objects beyond a surprise: rate(s) = rate * exp(-(s - START) / scale), per km2 and year."""

    rate: float
    scale: float

    def limit(self, per_km2_year: float) -> float:
        """The surprise that so many null objects pass."""
        return float(np.clip(START + self.scale * np.log(max(self.rate / per_km2_year, 1e-6)), *LIMITS))


def calibrate(forth: Fold, seen: Sequence[tuple[Shape, Track]], settings: Settings) -> float:
    """The surprise that confirms, for the stated rate of false confirmed polygons."""
    return tail(forth, seen, settings).limit(settings.decide.false_alarms_per_100km2_year / 100)


def tail(forth: Fold, seen: Sequence[tuple[Shape, Track]], settings: Settings) -> Tail:
    """The tail of what rises where nothing was built: the history played backwards, changed ground left out.

    What is built stays built, so backwards nothing is; weather, seasons and misregistration look alike both ways.
    Exponential beyond START (peaks over threshold, Pickands 1975), drawn to simulated quiet ground where short. A
    season that comes first only forwards is seen by what rises there and stays small: the worse direction counts.
    """
    changed = np.zeros(forth.judged.shape, bool)
    for shape, track in seen:
        if track.surprise > CERTAIN:
            changed[shape.window] |= shape.where
    if changed.any():
        changed = ndimage.binary_dilation(changed, iterations=AROUND_PX)
    back = fold(_mirrored(forth.looks), forth.learning)
    null = [
        track.surprise
        for shape, track in objects(back, settings.decide.min_area_m2)
        if START < track.surprise < NEVER_CHANCE and not (shape.where & changed[shape.window]).any()
    ]
    small = sum(START < track.surprise < CERTAIN for _, track in seen)
    years = (forth.looks[-1].time - forth.looks[0].time).days / 365.25
    exposure = float((forth.judged & ~changed).sum()) * PIXEL_M**2 / 1e6 * years
    # by the median: a harvest is a change backwards too, and must not pass for chance
    typical = float(np.median(np.array(null) - START)) / np.log(2) if null else PRIOR_SCALE
    scale = (len(null) * typical + PRIOR_OBJECTS * PRIOR_SCALE) / (len(null) + PRIOR_OBJECTS)
    forwards = small / (1 - np.exp(-(CERTAIN - START) / scale))
    rate = (max(len(null), forwards) + PRIOR_RATE * PRIOR_KM2_YEARS) / (exposure + PRIOR_KM2_YEARS)
    return Tail(rate=float(rate), scale=float(scale))


def _mirrored(looks: Sequence[Look]) -> list[Look]:
    """The same looks with time running backwards between the same two days."""
    first, last = looks[0].time, looks[-1].time

    def moved(when: datetime) -> datetime:
        return first + (last - when)

    return [replace(look, scene=replace(look.scene, time=moved(look.time))) for look in reversed(looks)]


def confidence(track: Track, kind: Kind, limit: float) -> float:
    """Probability that an alert is what it says, 0..1."""
    bare = kind in (Kind.CLEARED_GROUND, Kind.DEMOLISHED)
    log_odds = BIAS + BARE_GROUND * bare
    if track.confirmed(limit) >= 0:
        log_odds += CONFIRMED + SURPRISE * float(np.log(max(track.surprise, 0.5) / limit))
    return float(1 / (1 + np.exp(-log_odds)))
