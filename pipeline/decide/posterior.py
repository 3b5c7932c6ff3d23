"""The probability that an object is construction or another lasting change, from what the looks showed of it so far.

A logistic regression on five measurements, learned by benchmarks/learn_posterior.py on semi-real series as the nights
see them (decisions 0101, 0102 and 0104): how far the step exceeds the natural steps of the site, how much of a year was
seen on both sides of it, whether the old ground is back, the area, and how many of the changes of the site reverted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.decide.steps import YEAR_DAYS
from pipeline.ground.classes import read_learned

USUAL_RATE = 3.0
"""False confirmed alerts per 100 km2 and year at which the level of `posterior.json` is stated."""
JUDGED = 1.0
"""Score of an object from which it is judged: as large as a natural step of like ground."""
LEAST_SCORE, LARGEST_SCORE = 1.6, 8.0
"""Score of a step beyond natural ones, and the highest of false alerts: a lower and a higher one say no more."""
LARGE_M2 = 5000.0
"""Area beyond which a larger one says no more: fields are larger than most buildings, but not than building sites."""
FATE_DAYS = 180
"""Days after which an object counts as lasting: most crops, floods and building materials are gone by then."""
USUAL_REVERTED, PRIOR_OBJECTS = 0.3, 10.0
"""Share of objects that revert at a site of which nothing is known, and the number of objects that it counts for."""


@dataclass(frozen=True, slots=True, eq=False)
class SitePrior:
    """What holds for every object of a site. level: log-odds that confirm.

    reverted: (look,) share of the objects whose fate was known by then that had reverted (`reverted_share`).
    """

    level: float
    reverted: NDArray[np.float64]


def reverted_share(decided: Sequence[int], back: Sequence[int], looks: int) -> NDArray[np.float64]:
    """(look,) share of objects that had reverted by a look, of those whose fate was known by then.

    decided: look at which the fate of each object was known, `looks` = not yet. back: looks at which the old ground of
    some of them was known to be back. The mean of a beta distribution around USUAL_REVERTED: fields revert, and where
    nothing reverts a lasting change is more probable to be construction.
    """
    known, gone = (np.bincount(each, minlength=looks + 1)[:looks].cumsum() for each in (list(decided), list(back)))
    return np.asarray((gone + USUAL_REVERTED * PRIOR_OBJECTS) / (known + PRIOR_OBJECTS))


@dataclass(frozen=True, slots=True)
class _Learned:
    """weights: of `measure_features`. level: log-odds that confirm at USUAL_RATE. slope: change of it by
    which false alerts become fewer by a factor e.
    """

    weights: NDArray[np.float64]
    level: float
    slope: float


@lru_cache(maxsize=1)
def _learned_weights() -> _Learned:
    record = read_learned("pipeline.decide", "posterior.json")
    return _Learned(np.array(record["weights"], np.float64), record["level"], record["slope"])


def measure_features(
    score: NDArray[np.float64],
    lasted: NDArray[Any],
    known: NDArray[Any] | int,
    ended: bool,
    area_m2: float,
    reverted: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(look, 6): 1, ln score, root of the years before or after the change, whichever are fewer, ended, ln hectares, ln
    reverted share.

    score: (look,) highest until then. lasted: (look,) days since the first look with the object. known: days from the
    first look of the series to that one. ended: the old ground is back after the last of the looks. reverted:
    (look,) as in `SitePrior`. Cut are the score at LEAST_SCORE and LARGEST_SCORE, days at YEAR_DAYS, and the area at
    LARGE_M2.
    """
    out = np.zeros((len(score), 6))
    out[:, 0] = 1
    out[:, 1] = np.log(np.clip(score, LEAST_SCORE, LARGEST_SCORE))
    out[:, 2] = np.sqrt(np.clip(np.minimum(lasted, known), 0, YEAR_DAYS) / YEAR_DAYS)
    out[-1, 3] = ended
    out[:, 4] = np.log(min(area_m2, LARGE_M2) / 1e4)
    out[:, 5] = np.log(reverted)
    return out


def log_odds(measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """(look,) of a lasting change, from (look, 6) `measure_features`."""
    return np.asarray(measured @ _learned_weights().weights)


def to_probability(odds: float) -> float:
    """0..1, of log-odds."""
    return float(1 / (1 + np.exp(-odds)))


def level_of(rate: float) -> float:
    """Log-odds that confirm, for a rate of false confirmed alerts per 100 km2 and year."""
    found = _learned_weights()
    return float(found.level + found.slope * np.log(USUAL_RATE / rate))
