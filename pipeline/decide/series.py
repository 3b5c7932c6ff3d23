"""The spectrum of an object along the looks, and the step of the single pixels around it."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.decide.steps import Times, step_of
from pipeline.model.alert import CLEAR_SHARE
from pipeline.model.imagery import Look
from pipeline.numerics.robust import median, nan_to_zero

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


def step_of_looks(looks: Sequence[Look], times: Times, start: int, stop: int) -> NDArray[np.float64]:
    """(band, row, col) step of reflectance, nothing averaged over space, between the looks before `start` and those
    from it to `stop`; NaN where too few of them are usable.
    """
    usable = np.stack([look.usable for look in looks])
    values = np.stack([nan_to_zero(look.reflectance) for look in looks]).astype(np.float32) * usable[:, None]
    shape = values.shape[1:]
    step, enough = step_of(values.reshape(*values.shape[:2], -1), usable.reshape(len(looks), -1), times, start, stop)
    return np.where(enough, step, np.nan).reshape(shape)
