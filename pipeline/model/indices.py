"""Spectral indices and the choice of their bands, in one place for all layers."""

from collections.abc import Iterable
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.model.bands import Band

F = TypeVar("F", bound=np.floating)

NEAR_INFRARED = (Band.B08, Band.B8A)
"""Bands that serve as near infrared, best first: B08 has 10 m, B8A is narrower and has 20 m."""
LEAST_SUM = 0.02
"""Least sum of the two reflectances that an index divides by: below it the index of water and shade is noise."""


def near_infrared(bands: Iterable[Band]) -> Band | None:
    """The band that serves as near infrared: B08, else B8A, else None."""
    have = set(bands)
    return next((band for band in NEAR_INFRARED if band in have), None)


def normalised_difference(first: NDArray[F], second: NDArray[F], least: float = LEAST_SUM) -> NDArray[F]:
    """(first - second) / (first + second), -1..1. least: smallest sum of reflectances that is divided by."""
    return cast(NDArray[F], (first - second) / np.maximum(first + second, least))


def ndvi(near: NDArray[F], red: NDArray[F]) -> NDArray[F]:
    """Normalised difference vegetation index (Rouse et al. 1974), -1..1.

    near, red: reflectance of the near infrared and of red, one shape; NaN where not measured.
    """
    return normalised_difference(near, red)
