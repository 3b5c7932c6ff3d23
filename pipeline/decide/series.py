"""The spectrum of an object along the looks."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.model.alert import CLEAR_SHARE
from pipeline.model.imagery import Look
from pipeline.numerics.robust import median

RECENT = 3
"""Looks that show the object as it is now: earlier ones may show its foundations."""


def spectra_of(looks: Sequence[Look], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(look, band): median reflectance of the pixels `where`; NaN where less than half of them are clear."""
    out = np.full((len(looks), len(looks[0].bands)), np.nan)
    rows, cols = np.nonzero(where)
    for index, look in enumerate(looks):
        clear = look.why[rows, cols] == 0
        if clear.mean() >= CLEAR_SHARE:
            out[index] = median(look.reflectance[:, rows, cols][:, clear], axis=1)
    return out


def typical_spectrum(spectra: NDArray[np.float64], indices: Iterable[int]) -> NDArray[np.float64]:
    """Median over the latest clear of the looks named, or of all where none of them was clear; NaN where none is."""
    chosen = [index for index in indices if np.isfinite(spectra[index, 0])][-RECENT:]
    if not chosen:
        chosen = [index for index in range(len(spectra)) if np.isfinite(spectra[index, 0])]
    return np.asarray(np.median(spectra[chosen], axis=0) if chosen else spectra[0], np.float64)
