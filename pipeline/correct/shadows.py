"""Cloud shadow: dark in the infrared, and where the sun puts it."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from pipeline.correct.spectra import INFRARED, Planes
from pipeline.numerics.morphology import erode
from pipeline.numerics.robust import median_of

DARK_SHARE = 0.62
"""Infrared below this share of the ground around is in shadow: best F1 with the geometry on hand-drawn labels."""
SURROUND_M = 900.0
"""Radius of the surroundings that ground is compared with, metres."""
STEP_PX = 10
"""Distance of the pixels that represent the surroundings."""
SOUGHT_M = 20.0
"""Step of the search for the displacement, metres; an error of up to 60 m is allowed for."""
REACH_M = 3000.0
"""How far from its cloud a shadow is looked for: base heights to 2 km with the sun at 35 degrees."""
MIN_GAIN = 1.5
"""Least ratio of the dark share under the projected clouds to that elsewhere: below it the land itself is dark."""


def project_shadow(
    plane: Planes,
    cloud: NDArray[np.bool_],
    known: NDArray[np.bool_],
    sun: tuple[float, float] | None,
    pixel_m: float,
) -> NDArray[np.bool_]:
    """Shadow of the clouds that are seen, without any history. All arrays (row, col).

    sun: (zenith, azimuth) degrees, None = unknown. All clouds of a chip cast alike, so the displacement is found as
    the one that brings the clouds onto the most dark ground; the sun, where known, gives the direction.
    """
    found = [plane[band] for band in INFRARED if band in plane]
    ground = known & ~cloud
    if not found or not cloud.any() or float(ground.mean()) < 0.1:
        return np.zeros_like(cloud)
    dark = _find_dark(np.exp(np.mean(np.log(np.maximum(found, 1e-3)), axis=0)), ground, pixel_m)
    every = max(1, round(SOUGHT_M / pixel_m))
    few = slice(None, None, every)
    shift = _find_displacement(cloud[few, few], dark[few, few], ground[few, few], sun, every * pixel_m)
    if shift is None:
        return np.zeros_like(cloud)
    shift = (every * shift[0], every * shift[1])
    swept = np.zeros_like(cloud)
    length = max(abs(shift[0]), abs(shift[1]), 1)
    # clouds are of many heights: the whole way from the cloud to half as far again
    for step in range(math.ceil(1.5 * length) + 1):
        swept |= _shift_mask(cloud, round(shift[0] * step / length), round(shift[1] * step / length))
    near = ~erode(~swept, max(1, round(60 / pixel_m)), beyond=True)
    return np.asarray(dark & near)


def _find_dark(infrared: NDArray[np.float32], ground: NDArray[np.bool_], pixel_m: float) -> NDArray[np.bool_]:
    """Below DARK_SHARE of the median of the surroundings, which vary slowly: every tenth pixel suffices."""
    typical = float(median_of(infrared[ground]))
    filled = np.where(ground, infrared, typical)
    width = max(3, round(2 * SURROUND_M / pixel_m / STEP_PX)) | 1
    coarse = _median_filter(filled[::STEP_PX, ::STEP_PX], min(width, 31))
    base = np.repeat(np.repeat(coarse, STEP_PX, axis=0), STEP_PX, axis=1)[: infrared.shape[0], : infrared.shape[1]]
    dark = ground & (infrared < DARK_SHARE * np.maximum(base, 0.5 * typical))
    return ~erode(~erode(dark, 1), 1, beyond=True)


def _median_filter(image: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """`ndimage.median_filter` with an odd width and a mirrored edge, a row of windows at a time."""
    edged = np.pad(image, width // 2, mode="symmetric")
    out, half = np.empty_like(image), width**2 // 2
    for row, line in zip(np.lib.stride_tricks.sliding_window_view(edged, (width, width)), out, strict=True):
        line[:] = np.partition(row.reshape(len(line), -1), half, axis=1)[:, half]
    return out


def _find_displacement(
    cloud: NDArray[np.bool_],
    dark: NDArray[np.bool_],
    ground: NDArray[np.bool_],
    sun: tuple[float, float] | None,
    pixel_m: float,
) -> tuple[int, int] | None:
    """(row, col) px from cloud to shadow; None where no displacement makes dark ground commoner than it is."""
    reach = [min(math.ceil(REACH_M / pixel_m), side - 1) for side in cloud.shape]
    hits, seen = _count_overlaps(cloud, (dark, ground), reach)
    row, col = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    far = np.hypot(row, col) * pixel_m
    allowed = (far <= REACH_M) & (far >= 2 * pixel_m)
    if sun is not None:
        away = np.deg2rad(sun[1] + 180)
        angle = np.arctan2(col, -row)
        allowed &= np.abs(np.angle(np.exp(1j * (angle - away)))) < np.deg2rad(25)
    allowed &= seen > 0.15 * float(cloud.sum())
    if not allowed.any():
        return None
    share = np.where(allowed, hits / np.maximum(seen, 1), 0) * np.sqrt(np.clip(seen / max(cloud.sum(), 1), 0, 1))
    best = np.unravel_index(int(np.argmax(share)), share.shape)
    usual = float(dark.sum()) / max(float(ground.sum()), 1)
    if hits[best] / max(seen[best], 1) < max(MIN_GAIN * usual, 0.1):
        return None
    return int(best[0]) - reach[0], int(best[1]) - reach[1]


def _count_overlaps(
    cloud: NDArray[np.bool_], masks: Sequence[NDArray[np.bool_]], reach: Sequence[int]
) -> list[NDArray[np.float32]]:
    """For each mask, how many of its pixels the clouds cover when moved by (-reach..reach, -reach..reach)."""
    shape = [fft.next_fast_len(side + far, real=True) for side, far in zip(cloud.shape, reach, strict=True)]
    kernel = np.conj(fft.rfft2(cloud.astype(np.float32), shape))
    window = np.ix_(*(np.arange(-far, far + 1) for far in reach))
    return [fft.irfft2(kernel * fft.rfft2(mask.astype(np.float32), shape), shape)[window] for mask in masks]


def _shift_mask(mask: NDArray[np.bool_], down: int, right: int) -> NDArray[np.bool_]:
    out = np.zeros_like(mask)
    rows, cols = mask.shape
    if abs(down) >= rows or abs(right) >= cols:
        return out
    to = (slice(max(down, 0), rows + min(down, 0)), slice(max(right, 0), cols + min(right, 0)))
    of = (slice(max(-down, 0), rows - max(down, 0)), slice(max(-right, 0), cols - max(right, 0)))
    out[to] = mask[of]
    return out
