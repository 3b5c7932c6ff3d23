"""The probability that an object is construction or another lasting change, from what the looks showed of it so far.

A logistic regression on four measurements, learned by benchmarks/learn_posterior.py on semi-real series (decision
0101): how far the step exceeds the natural steps of the site, how much of a year was seen on both sides of it, whether
the old ground is back, and the area.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.decide.steps import YEAR_DAYS
from pipeline.ground.classes import learned

USUAL_RATE = 3.0
"""False confirmed alerts per 100 km2 and year at which the level of `posterior.json` is stated."""
LEAST_SCORE, LARGEST_SCORE = 1.6, 8.0
"""Score of a step beyond natural ones, and the highest of false alerts: a higher one says no more."""
LARGE_M2 = 5000.0
"""Area beyond which a larger one says no more: fields are larger than most buildings, but not than building sites."""


@dataclass(frozen=True, slots=True)
class _Learned:
    """weights: of `features`. level: log-odds that confirm at USUAL_RATE. slope: change in log-odds by which false
    alerts become fewer by a factor e.
    """

    weights: NDArray[np.float64]
    level: float
    slope: float


@lru_cache(maxsize=1)
def _learned() -> _Learned:
    record = learned("pipeline.decide", "posterior.json")
    return _Learned(np.array(record["weights"], np.float64), record["level"], record["slope"])


def features(
    score: NDArray[np.float64], lasted: NDArray[Any], known: NDArray[Any] | int, ended: bool, area_m2: float
) -> NDArray[np.float64]:
    """(look, 5): 1, ln score, root of the years before or after the change, whichever are fewer, ended, ln hectares.

    score: (look,) highest until then. lasted: (look,) days since the first look with the object. known: days from the
    first look of the series to that one. ended: the old ground is back after the last of the looks. The score is
    cut at LEAST_SCORE and LARGEST_SCORE, days at YEAR_DAYS, the area at LARGE_M2.
    """
    out = np.zeros((len(score), 5))
    out[:, 0] = 1
    out[:, 1] = np.log(np.clip(score, LEAST_SCORE, LARGEST_SCORE))
    out[:, 2] = np.sqrt(np.clip(np.minimum(lasted, known), 0, YEAR_DAYS) / YEAR_DAYS)
    out[-1, 3] = ended
    out[:, 4] = np.log(min(area_m2, LARGE_M2) / 1e4)
    return out


def log_odds(measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """(look,) of a lasting change, from (look, 5) `features`."""
    return np.asarray(measured @ _learned().weights)


def probability(odds: float) -> float:
    """0..1, of log-odds."""
    return float(1 / (1 + np.exp(-odds)))


def level_of(rate: float) -> float:
    """Log-odds that confirm, for a rate of false confirmed alerts per 100 km2 and year."""
    found = _learned()
    return float(found.level + found.slope * np.log(USUAL_RATE / rate))
