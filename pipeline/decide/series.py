"""An object along the looks: its whitened residual, its reflectance, its scores, and how surprising they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.correct.robust import median, median_of
from pipeline.decide.fold import Fold

RECENT = 3
"""Looks that show the object as it is now: earlier ones may show its foundations."""
PRIOR_SIGMAS, PRIOR_LOOKS = 2.0, 4.0
"""How far ground strays along any direction, in sigmas of a look, before its own past is known, and what that
belief weighs in looks."""


def white_series(fold: Fold, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(look, band): mean whitened residual of the core; NaN where less than half of it was clear or not judged."""
    out = np.full((len(fold.looks), len(fold.looks[0].bands)), np.nan)
    rows, cols = np.nonzero(where)
    for index, white in enumerate(fold.white):
        if white is not None:
            values = white[:, rows, cols].astype(np.float64)
            clear = np.isfinite(values).all(axis=0)
            if clear.mean() >= 0.5:
                out[index] = values[:, clear].mean(axis=1)
    return out


def spectra_of(fold: Fold, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(look, band): median reflectance of the core, NaN where less than half of it was clear."""
    out = np.full((len(fold.looks), len(fold.looks[0].bands)), np.nan)
    rows, cols = np.nonzero(where)
    for index, look in enumerate(fold.looks):
        clear = look.why[rows, cols] == 0
        if clear.mean() >= 0.5:
            out[index] = median(look.reflectance[:, rows, cols][:, clear], axis=1)
    return out


def typical_spectrum(spectra: NDArray[np.float64], indices: Any) -> NDArray[np.float64]:
    """Median over the latest clear of the looks named, or of all where none of them was clear; NaN where none is."""
    chosen = [index for index in indices if np.isfinite(spectra[index, 0])][-RECENT:]
    if not chosen:
        chosen = [index for index in range(len(spectra)) if np.isfinite(spectra[index, 0])]
    return np.asarray(np.median(spectra[chosen], axis=0) if chosen else spectra[0], np.float64)


def middle_scores(fold: Fold, where: NDArray[np.bool_]) -> list[float | None]:
    """Median score of an object in every look, None where less than half of it was clear."""
    found: list[float | None] = []
    rows, cols = np.nonzero(where)
    for sigma in fold.scores:
        values = np.empty(0, np.float32) if sigma is None else sigma[rows, cols]
        clear = values[np.isfinite(values)]
        found.append(float(median_of(clear)) if clear.size and 2 * clear.size >= values.size else None)
    return found


def surprise_of(sights: NDArray[np.float64], earlier: NDArray[np.float64]) -> float:
    """How far the object stands off its own past, along the direction of its change, in spreads of that past.

    sights, earlier: (look, band) whitened means of the core, with it and without. The past's spread is the larger of
    its middle and its upper tail (a field that was bare once), drawn to PRIOR_SIGMAS where there are few looks.
    """
    direction = sights.mean(axis=0)
    direction /= max(float(np.linalg.norm(direction)), 1e-9)
    now, then = sights @ direction, earlier @ direction
    centre, spread = 0.0, 0.0
    if len(then):
        centre = float(np.median(then))
        spread = 1.4826 * float(np.median(np.abs(then - centre)))
        spread = max(spread, (float(np.quantile(then, 0.9)) - centre) / 1.2816)
    known = (PRIOR_LOOKS * PRIOR_SIGMAS**2 + len(then) * spread**2) / (PRIOR_LOOKS + len(then))
    return float((np.median(now) - centre) / np.sqrt(known))
