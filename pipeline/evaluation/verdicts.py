"""Reliability of the confidence of alerts, from the verdicts of the analyst."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.measures import reliability_bins
from pipeline.evaluation.reviewed import Claim

RIGHT, WRONG = ("construction", "other change"), ("no change",)
EDGES = (0.0, 0.5, 0.8, 0.9, 1.01)
LEAST, DRIFT_SIGMAS = 10, 2.5
"""Verdicts below which nothing is said; and how far expected and given may lie apart, in binomial sigmas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """rows: (mean confidence, share right, right, all) by bin. given, expected: right ones by verdict, by confidence.

    drift: (given - expected) in sigmas, 0 where there are too few verdicts.
    """

    rows: tuple[tuple[float, float, int, int], ...]
    verdicts: int
    uncertain: int
    given: int
    expected: float
    drift: float

    @property
    def drifts(self) -> bool:
        """True where the verdicts contradict the confidence."""
        return abs(self.drift) > DRIFT_SIGMAS


def precision_of_verdicts(claims: Sequence[Claim]) -> Precision:
    """Precision by confidence. Construction and other change are right, no change is wrong, uncertain is left out."""
    judged = [(claim.confidence, claim.verdict in RIGHT) for claim in claims if claim.verdict in (*RIGHT, *WRONG)]
    sure = np.array([each for each, _ in judged], float)
    given, expected = sum(right for _, right in judged), float(sure.sum())
    spread = float(np.sqrt(max((sure * (1 - sure)).sum(), 0.25)))
    return Precision(
        rows=tuple(reliability_bins(judged, EDGES)),
        verdicts=len(judged),
        uncertain=sum(claim.verdict == "uncertain" for claim in claims),
        given=given,
        expected=expected,
        drift=(given - expected) / spread if len(judged) >= LEAST else 0.0,
    )
