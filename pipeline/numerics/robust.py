"""Robust statistics, in one place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation of a normal distribution to its standard deviation."""

TUKEY_C = 4.685
"""Biweight cut-off in sigmas with 95 % efficiency on normal residuals (Beaton & Tukey 1974; Holland & Welsch 1977)."""

LONG = 1000
"""Values from which a partition of a line takes less time than sorting it."""


def centre_spread(x: NDArray[Any], axis: int | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Median and 1.4826 MAD along an axis (None: over all), NaN left out; NaN where nothing is left."""
    if axis is None:
        finite = np.isfinite(x)
        if not finite.any():
            return np.asarray(np.nan), np.asarray(np.nan)
        values = np.ravel(x) if finite.all() else x[finite]
        middle = median_of(values)
        return np.asarray(middle), np.asarray(MAD_TO_SIGMA * median_of(np.abs(values - middle)))
    centre = median(x, axis)
    return centre, np.asarray(MAD_TO_SIGMA * median(np.abs(x - np.expand_dims(centre, axis)), axis))


def median_of(values: NDArray[Any]) -> Any:
    """Median of all (value,) floats, NaN where one is: what `np.median` gives, in a fifth of its time.

    One partition: the lower of the two middle values is the largest below it.
    """
    half = values.size // 2
    parted = np.partition(values, half)
    if np.isnan(parted[half:].max()):
        return parted.dtype.type(np.nan)
    return parted[half] if values.size % 2 else (parted[:half].max() + parted[half]) / parted.dtype.type(2)


def median(x: NDArray[Any], axis: int) -> NDArray[Any]:
    """Median along an axis, what is not finite left out; NaN where nothing is left.

    One sort of lines that lie together in memory, NaN at their ends: a tenth of the time of `np.nanmedian`. For long
    lines of finite values one partition, see `median_of`.
    """
    turned = np.moveaxis(x, axis, -1)
    finite = np.isfinite(turned)
    half, low = turned.shape[-1] // 2, (turned.shape[-1] - 1) // 2
    if turned.shape[-1] and finite.all():
        if turned.shape[-1] > LONG:
            lines = np.partition(turned, half, axis=-1)
            below = lines[..., half] if low == half else lines[..., :half].max(axis=-1)
        else:
            lines = np.sort(turned, axis=-1)
            below = lines[..., low]
        return np.asarray((below + lines[..., half]) / np.asarray(2, lines.dtype))
    lines = np.array(turned, order="C")
    lines[~finite] = np.nan
    lines.sort(axis=-1)
    count = np.isfinite(lines).sum(axis=-1, keepdims=True)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, lines.shape[-1] - 1)
    both = np.take_along_axis(lines, low, -1) + np.take_along_axis(lines, high, -1)
    return np.asarray(np.where(count > 0, both / np.asarray(2, lines.dtype), np.nan)[..., 0])


def nan_to_zero(values: NDArray[Any]) -> NDArray[Any]:
    """The values, 0 where they are not finite: the array itself if all are."""
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, values.dtype.type(0))


def tukey_weights(residual: NDArray[Any], scale: float) -> NDArray[Any]:
    """Biweight of residuals, 0..1; `scale` is one robust sigma in their unit. 0 for more than 4.685 scales."""
    u = residual / (TUKEY_C * max(float(scale), float(np.finfo(np.float32).tiny)))
    return _biweight(np.square(u, out=u))


def worst_band_weights(residual: NDArray[Any], least_scale: float, widen: float = 1.0) -> NDArray[Any]:
    """(pixel,) biweight of (band, pixel) residuals by the band that is furthest from its median, in its own sigmas.

    least_scale: least robust sigma of a band. widen: factor on the sigmas. The weight falls with the distance, so the
    largest distance alone is turned into a weight.
    """
    off = residual - median(residual, axis=1)[:, None]
    scales = MAD_TO_SIGMA * median(np.abs(off), axis=1)
    off /= TUKEY_C * (widen * np.maximum(scales, least_scale))[:, None]
    return _biweight(np.square(off, out=off).max(axis=0))


def _biweight(squared: NDArray[Any]) -> NDArray[Any]:
    """Weights of squared distances in units of the cut-off, 0 for NaN; overwrites its argument."""
    np.subtract(1, squared, out=squared)
    return np.asarray(np.square(np.fmax(squared, 0, out=squared), out=squared))
