"""One image moved, or brought to a grid that lies square to its own, by a few taps along each axis."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from pipeline.numerics.smoothing import spline_coefficients

SPLINE_REACH_PX = 12
"""Distance from an edge, pixels, at which a spline filter no longer depends on it (its pole to this power is 1e-7)."""
NEAR = 1e-6
"""Pixels within which two positions are the same."""
Taps = Callable[[float], tuple[float, ...]]


def shift_image(image: NDArray[np.float32], shift: tuple[float, float], order: int) -> NDArray[np.float32]:
    """The image at x + shift: what `ndimage.shift` gives, in a third of its time.

    image: (row, col) finite. shift: (row, col) px. order: 3 = cubic spline, its edges going on beyond the image; 1 =
    linear, 0 beyond the image.
    """
    whole = [int(np.floor(each)) for each in shift]
    reach = [abs(each) + 2 for each in whole]
    if order == 1:
        padded = np.pad(image, [(each, each) for each in reach])
    else:
        edged = np.pad(image, [(each + SPLINE_REACH_PX, each + SPLINE_REACH_PX) for each in reach], mode="edge")
        padded = spline_coefficients(edged)[SPLINE_REACH_PX:-SPLINE_REACH_PX, SPLINE_REACH_PX:-SPLINE_REACH_PX]
    starts = (reach[0] + shift[0], reach[1] + shift[1])
    return _sample_axes(padded, starts, 1, image.shape, _linear_taps if order == 1 else _spline_taps)


def resample(image: NDArray[np.float32], source: GeoBox, grid: GeoBox) -> NDArray[np.float32] | None:
    """The image on another grid by cubic convolution, as `rasterio.warp.reproject` does it, in a tenth of its time.

    image: (row, col) on `source`. None where that takes more than a few taps an axis: another CRS, pixels that are not
    square to each other or no whole times as large, ground missing at an edge, or a value that is not finite.
    """
    place = ~source.affine * grid.affine
    times = round(1 / place.a) if place.a > 0 else 0
    square = abs(place.b) < NEAR and abs(place.d) < NEAR and abs(place.a - place.e) < NEAR
    if source.crs != grid.crs or not square or times < 1 or abs(place.a * times - 1) > NEAR:
        return None
    starts = [(off + 0.5 * step) - 0.5 for off, step in ((place.f, place.e), (place.c, place.a))]
    first = [int(np.floor(start + NEAR)) - 1 for start in starts]
    last = [start + (size - 1) / times for start, size in zip(starts, grid.shape, strict=True)]
    beyond = [int(np.floor(each + NEAR)) + 3 for each in last]
    if min(first) < 0 or any(end > have for end, have in zip(beyond, source.shape, strict=True)):
        return None
    part = image[first[0] : beyond[0], first[1] : beyond[1]]
    if not np.isfinite(part).all():
        return None
    return _sample_axes(part, (starts[0] - first[0], starts[1] - first[1]), times, tuple(grid.shape), _convolution_taps)


def _sample_axes(
    image: NDArray[np.float32], starts: tuple[float, float], times: int, shape: tuple[int, ...], taps: Taps
) -> NDArray[np.float32]:
    lines = _sample_axis(image, starts[0], times, shape[0], taps, 0)
    return _sample_axis(lines, starts[1], times, shape[1], taps, 1)


def _sample_axis(
    image: NDArray[Any], start: float, times: int, count: int, taps: Taps, axis: int
) -> NDArray[np.float32]:
    """`count` samples along an axis from a start on, `times` of them per pixel: each phase has its own taps."""

    def cut(first: int, size: int | None, step: int) -> tuple[slice, ...]:
        along = slice(first, None if size is None else first + size, step)
        return (along,) if axis == 0 else (slice(None), along)

    found = np.zeros((count, image.shape[1]) if axis == 0 else (image.shape[0], count), np.float32)
    for phase in range(min(times, count)):
        at = start + phase / times
        # a grid that is meant to fall upon another one does, whatever the last digit says
        first = round(at) if abs(at - round(at)) < NEAR else int(np.floor(at))
        weights, size = taps(max(at - first, 0.0)), len(range(phase, count, times))
        sums = found[cut(phase, None, times)]
        part = np.empty(sums.shape, np.float32)
        for off, tap in enumerate(weights, first - (len(weights) - 1) // 2):
            if tap:
                sums += np.multiply(image[cut(off, size, 1)], np.float32(tap), out=part)
    return found


def _linear_taps(t: float) -> tuple[float, ...]:
    return 1 - t, t


def _spline_taps(t: float) -> tuple[float, ...]:
    """Of a cubic B-spline, for coefficients -1..2."""
    return (1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6


def _convolution_taps(t: float) -> tuple[float, ...]:
    """Of cubic convolution (Keys 1981), for pixels -1..2."""
    return (
        -0.5 * t**3 + t**2 - 0.5 * t,
        1.5 * t**3 - 2.5 * t**2 + 1,
        -1.5 * t**3 + 2 * t**2 + 0.5 * t,
        0.5 * t**3 - 0.5 * t**2,
    )
