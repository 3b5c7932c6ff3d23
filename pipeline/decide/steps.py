"""Lasting steps in a time series: their size by least squares, with level and annual harmonic as nuisance parameters.

A window of looks [start, stop) is compared with all looks before it. Windows of many lengths make the test sensitive to
changes of every duration (a window-limited generalised likelihood ratio test: Willsky & Jones 1976; Lai 1995).
All sums are cumulative over the looks, so a new look adds windows and changes none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.alert import LEAST_LOOKS

LENGTHS = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
"""Looks in a window, by steps of about 1.4: a window at most that much too short loses little."""
YEAR_DAYS = 365
"""All seasons."""
LEAST_WEIGHT = 0.5
"""Weight of a step, in clear looks of typical noise, below which season and step are not separable."""
RIDGE = (1e-3, 1.0, 1.0)
"""Prior precision of level and harmonic, in looks: the harmonic is as large as the noise of a look."""
DURATIONS = (45, 120, 250)
"""Days that separate the classes of step durations: weeks, a season, half a year, more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Times:
    """When the looks were, and how much each weighs. days: (look,) ordinal. weights: (look,)."""

    days: NDArray[np.int64]
    weights: NDArray[np.float64]

    @property
    def seasons(self) -> NDArray[np.float64]:
        """(look, 3): constant, cosine and sine of the year."""
        turn = 2 * np.pi * self.days / 365.25
        return np.stack([np.ones(len(turn)), np.cos(turn), np.sin(turn)], axis=1)

    def duration_class(self, start: Any, stop: Any) -> Any:
        """Class of the duration of windows, 0..len(DURATIONS): of the shorter of their two sides."""
        after, before = self.days[np.asarray(stop) - 1] - self.days[start], self.days[start] - self.days[0]
        return np.searchsorted(DURATIONS, np.minimum(after, before), side="right")

    @staticmethod
    def of(times: list[datetime], weights: list[float]) -> "Times":
        """From acquisition times and weights."""
        return Times(days=np.array([time.toordinal() for time in times]), weights=np.array(weights, float))


def list_windows(first: int, last: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of every window with first < stop <= last, in the order of their ends."""
    for stop, starts in windows_by_stop(first, last):
        yield from ((start, stop) for start in starts)


def windows_by_stop(first: int, last: int) -> Iterator[tuple[int, list[int]]]:
    """The same, as the starts of all windows with one stop."""
    for stop in range(max(first + 1, 2 * LEAST_LOOKS), last + 1):
        yield stop, [stop - length for length in LENGTHS if stop - length >= LEAST_LOOKS]


class Sums:
    """Cumulative sums over the looks of (look, band, pixel) values, 0 where not `clear`, (look, pixel).

    first: number of looks after which the windows of interest stop. Sums that are needed where a window stops, and not
    where it starts, are kept from there on.
    steps: the estimates of the windows that stop together. `count[t]`: clear looks among the first t, (pixel,).
    """

    def __init__(self, values: NDArray[np.float32], clear: NDArray[np.bool_], times: Times, first: int = 0) -> None:
        weights = np.multiply(clear, times.weights[:, None], dtype=np.float32)
        self.clear = clear
        self.count = _cumulate(clear.astype(np.float32))
        seasons = times.seasons.astype(np.float32)
        products = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        self._gram = [
            _cumulate(weights * (seasons[:, a] * seasons[:, b])[:, None], 0 if a == 0 else first) for a, b in products
        ]
        self._first, shape = first, values.shape[1:]
        self._moments = [np.zeros((len(values) + 1 - kept, *shape), np.float32) for kept in (0, first, first)]
        self._add(values, weights, seasons)
        self._stop, self._inverse, self._base = -1, list[Any](), list[Any]()
        self._wide = np.empty((0, 0, 0), np.float32)

    def _add(self, values: NDArray[np.float32], weights: NDArray[np.float32], seasons: NDArray[np.float32]) -> None:
        """The moments, look by look, so that what is worked on stays in the processor's cache."""
        level, *harmonic = self._moments
        weighted, part = np.empty(values.shape[1:], np.float32), np.empty(values.shape[1:], np.float32)
        for look, each in enumerate(values):
            np.multiply(each, weights[look], out=weighted)
            np.add(level[look], weighted, out=level[look + 1])
            for season, moment in zip(seasons[look, 1:], harmonic, strict=True):
                now, after = max(look - self._first, 0), max(look + 1 - self._first, 0)
                np.add(moment[now], np.multiply(weighted, season, out=part), out=moment[after])

    def step(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """(step (band, pixel), its weight (pixel,), (pixel,) True = enough clear looks on both sides)."""
        step, weight, enough = self.steps([start], stop)
        return step[0], weight[0], enough[0]

    def steps(
        self, starts: Sequence[int] | NDArray[np.int16], stop: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Of each window: its step (window, band, pixel), and (window, pixel) its weight and what `step` gives third.

        All at once, so that a call works on enough to outweigh its overhead while few pixels fill the cache.
        """
        if stop != self._stop:
            self._prepare(stop)
        inverse, base, level = self._inverse, self._base, self._moments[0]
        c0, c1, c2 = (gram[stop] - gram[starts] for gram in self._gram[:3])
        part, weight = np.empty_like(c0), np.zeros_like(c0)
        for each, row in ((c0, (0, 1, 2)), (c1, (1, 3, 4)), (c2, (2, 4, 5))):
            solved = inverse[row[0]] * c0
            solved += np.multiply(inverse[row[1]], c1, out=part)
            solved += np.multiply(inverse[row[2]], c2, out=part)
            weight += np.multiply(each, solved, out=part)
        np.subtract(c0, weight, out=weight)
        total = np.empty((len(starts), *level.shape[1:]), np.float32)
        for window, start in enumerate(starts):
            np.subtract(level[stop], level[start], out=total[window])
        if self._wide.shape != total.shape:
            self._wide = np.empty_like(total)
        wide = self._wide
        for each, fitted in zip((c0, c1, c2), base, strict=True):
            total -= np.multiply(each[:, None], fitted, out=wide)
        total /= np.maximum(weight, 1e-3, out=part)[:, None]
        before = self.count[starts]
        enough = (before >= LEAST_LOOKS) & (self.count[stop] - before >= LEAST_LOOKS) & (weight > LEAST_WEIGHT)
        return total, weight, enough

    def _prepare(self, stop: int) -> None:
        """Inverse of the normal matrix of the first `stop` looks, and level and harmonic fitted to them."""
        late = stop - self._first
        a, b, c = (gram[stop] for gram in self._gram[:3])
        d, e, f = (gram[late] for gram in self._gram[3:])
        a, d, f = a + np.float32(RIDGE[0]), d + np.float32(RIDGE[1]), f + np.float32(RIDGE[2])
        first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
        determinant = a * first + b * second + c * third
        rest = (a * f - c * c, b * c - a * e, a * d - b * b)
        i = self._inverse = [each / determinant for each in (first, second, third, *rest)]
        m = [self._moments[0][stop], self._moments[1][late], self._moments[2][late]]
        self._base = [
            i[0] * m[0] + i[1] * m[1] + i[2] * m[2],
            i[1] * m[0] + i[3] * m[1] + i[4] * m[2],
            i[2] * m[0] + i[4] * m[1] + i[5] * m[2],
        ]
        self._stop = stop


def step_of(
    values: NDArray[np.float32], clear: NDArray[np.bool_], times: Times, start: int, stop: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The step of one window, (band, pixel), and (pixel,) True = enough clear looks on both sides; as `Sums.step`.

    values: (look, band, pixel), 0 where not clear. clear: (look, pixel).
    """
    seasons, weights = times.seasons, times.weights[:stop, None]
    products = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    design = np.stack([seasons[:, one] * seasons[:, two] for one, two in products], axis=1)[:stop]
    seen = clear[:stop].astype(np.float32)
    a, b, c, d, e, f = (design * weights).T.astype(np.float32) @ seen
    c0, c1, c2 = (seasons[start:stop] * weights[start:]).T.astype(np.float32) @ seen[start:]
    a, d, f = a + np.float32(RIDGE[0]), d + np.float32(RIDGE[1]), f + np.float32(RIDGE[2])
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * first + b * second + c * third
    x0 = (first * c0 + second * c1 + third * c2) / determinant
    x1 = (second * c0 + (a * f - c * c) * c1 + (b * c - a * e) * c2) / determinant
    x2 = (third * c0 + (b * c - a * e) * c1 + (a * d - b * b) * c2) / determinant
    weight = c0 - (c0 * x0 + c1 * x1 + c2 * x2)
    flat = values[:stop].reshape(stop, -1)
    m0, m1, m2 = ((seasons[:stop] * weights).T.astype(np.float32) @ flat).reshape(3, *values.shape[1:])
    total = (times.weights[start:stop].astype(np.float32) @ flat[start:]).reshape(values.shape[1:])
    step = (total - x0 * m0 - x1 * m1 - x2 * m2) / np.maximum(weight, 1e-3)
    before, after = seen[:start].sum(axis=0), seen[start:].sum(axis=0)
    return step, (before >= LEAST_LOOKS) & (after >= LEAST_LOOKS) & (weight > LEAST_WEIGHT)


def _cumulate(values: NDArray[np.float32], first: int = 0) -> NDArray[np.float32]:
    """Sums of the first `first`, `first` + 1 ... rows: added one after the other, so that a longer series has the same
    beginning. `np.cumsum` along the first axis takes three times as long, as it steps across the rows.
    """
    out = np.zeros((len(values) + 1 - first, *values.shape[1:]), np.float32)
    for row, each in enumerate(values):
        np.add(out[max(row - first, 0)], each, out=out[max(row + 1 - first, 0)])
    return out
