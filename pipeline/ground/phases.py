"""The phases of an object: what its ground was and became, by segmenting its mean series under the classes of ground.

Optimal partitioning (Jackson et al. 2005; Killick et al. 2012 prune the same search): the segmentation with the highest
log-probability, less a cost for every boundary. The looks at which an object was first and last seen are boundaries.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.ground.classes import STATES, log_posterior
from pipeline.model.alert import LEAST_LOOKS, State
from pipeline.model.bands import Band

INDEPENDENT = 3.0
"""Looks of one phase that count as independent: further looks at one roof say nothing new of which roof it is."""
BOUNDARY = 3.0
"""Log-odds against a boundary between two phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Looks in which the ground stayed of one state. first, last: clear looks. probability: of the state, 0..1."""

    state: State
    first: int
    last: int
    probability: float


def phases_of(bands: tuple[Band, ...], spectra: NDArray[np.float64], boundaries: tuple[int, ...]) -> tuple[Phase, ...]:
    """The phases of (look, band) spectra, NaN = not clear, in time order.

    boundaries: looks at which a new phase begins in any case.
    """
    clear = np.flatnonzero(np.isfinite(spectra).all(axis=1))
    if not clear.size:
        return ()
    each = log_posterior(bands, spectra[clear])
    edges = [0, *(int(np.searchsorted(clear, look)) for look in boundaries), clear.size]
    found = list[Phase]()
    for begin, end in itertools.pairwise(edges):
        for first, stop, state in _partition_series(each[begin:end]):
            own = each[begin + first : begin + stop]
            evidence = own.sum(axis=0) / max(1.0, len(own) / INDEPENDENT)
            share = np.exp(evidence - np.logaddexp.reduce(evidence))
            looks = (int(clear[begin + first]), int(clear[begin + stop - 1]))
            found.append(
                Phase(state=STATES[state], first=looks[0], last=looks[1], probability=round(float(share[state]), 3))
            )
    return tuple(found)


def _partition_series(each: NDArray[np.float64]) -> Iterator[tuple[int, int, int]]:
    """(first, stop, state) of the segments of (look, state) log-probabilities, of LEAST_LOOKS looks where possible."""
    count = len(each)
    if not count:
        return
    least = min(LEAST_LOOKS, count)
    sums = np.concatenate([np.zeros((1, each.shape[1])), np.cumsum(each, axis=0)]) / INDEPENDENT
    best, origin, state = np.full(count + 1, -np.inf), np.zeros(count + 1, int), np.zeros(count + 1, int)
    best[0] = BOUNDARY
    for stop in range(least, count + 1):
        starts = np.arange(stop - least + 1)
        values = best[starts, None] + sums[stop] - sums[starts] - BOUNDARY
        at = int(np.argmax(values))
        origin[stop], state[stop] = divmod(at, each.shape[1])
        best[stop] = values.flat[at]
    found, stop = list[tuple[int, int, int]](), count
    while stop:
        found.append((int(origin[stop]), stop, int(state[stop])))
        stop = int(origin[stop])
    yield from reversed(found)
