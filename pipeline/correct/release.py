"""Persistence against the cloud mask: what stands in the same place with the same spectrum at three looks is no cloud.

Bright roofs are white, bright and new, as clouds are, and every mask calls them cloud again and again. But clouds
move: three flagged looks in a row with one spectrum, band by band, are a thing on the ground.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.correct import masks
from pipeline.model.imagery import Look, Why
from pipeline.model.settings import Settings

MIN_LOOKS = 3
ALIKE_SHARE, ALIKE_FLOOR = 0.12, 0.015
"""Two spectra are one thing if every band agrees within 12 % and 0.015 reflectance; cloud tops differ by far more."""


def release(looks: Sequence[Look], settings: Settings) -> tuple[Look, ...]:
    """The looks in time order, with CLOUD taken off what proved to be ground; buffers are drawn again.

    A pure function of the set of looks: their order does not matter.
    """
    ordered = sorted(looks, key=lambda look: (look.time, look.scene.id))
    if len(ordered) < MIN_LOOKS:
        return tuple(ordered)
    runs, lengths = _runs(ordered)
    freed = []
    for look, run in zip(ordered, runs, strict=True):
        proved = (run >= 0) & (np.take_along_axis(lengths, np.maximum(run, 0)[None], axis=0)[0] >= MIN_LOOKS)
        if not proved.any():
            freed.append(look)
            continue
        why = np.where(proved, look.why & ~np.uint8(Why.CLOUD), look.why).astype(np.uint8)
        why &= ~np.uint8(Why.BUFFER)
        metres = abs(look.grid.resolution.x)
        freed.append(replace(look, why=masks.buffer(why, settings.correct.cloud_buffer_m, metres)))
    return tuple(freed)


def _runs(looks: Sequence[Look]) -> tuple[list[NDArray[np.int16]], NDArray[np.int16]]:
    """Per look (row, col) the number of the run of like flagged spectra a pixel is in, -1 if none; and run lengths.

    A run ends when the pixel is seen clear with another spectrum, or flagged with one that is unlike.
    """
    shape = looks[0].why.shape
    kept = np.full((len(looks[0].bands), *shape), np.nan, np.float32)
    number = np.full(shape, -1, np.int16)
    runs: list[NDArray[np.int16]] = []
    lengths = np.zeros((len(looks) + 1, *shape), np.int16)
    for look in looks:
        values = look.reflectance
        flagged = (look.why & np.uint8(Why.CLOUD)) > 0
        alike = _alike(values, kept)
        fresh = flagged & ~alike
        number = np.where(fresh, number + 1, number).astype(np.int16)
        kept = np.where(fresh, values, kept)
        gone = (look.why == 0) & ~alike
        kept[:, gone] = np.nan
        run = np.where(flagged, number, -1).astype(np.int16)
        rows, cols = np.nonzero(flagged)
        lengths[number[rows, cols], rows, cols] += 1
        runs.append(run)
    return runs, lengths


def _alike(values: NDArray[Any], kept: NDArray[Any]) -> NDArray[np.bool_]:
    """(row, col): True where every band agrees; NaN agrees with nothing."""
    limit = ALIKE_SHARE * kept + ALIKE_FLOOR
    return np.asarray((np.abs(values - kept) <= limit).all(axis=0))
