"""Filters as products with banded matrices: what `ndimage` gives, in a fifth to a half of its time."""

import math
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
"""Lines made by one product: the more, the more zeros of the matrix are multiplied too."""
SPLINE_POLE, SPLINE_REACH = math.sqrt(3) - 2, 14
"""Pole of the filter that gives cubic B-spline coefficients, and pixels after which its powers are below 1e-8."""
Beyond = Literal["mirror", "mirror pixel", "zero"]
"""Beyond an image: its mirror image about its edge; about the middle of its last pixel; nothing but 0."""
Product = tuple[slice, slice, NDArray[np.float32]]
"""Lines made, of which lines, by which matrix (made, of)."""


def gaussian(image: NDArray[Any], sigma: float, truncate: float = 4.0, mirrored: bool = True) -> NDArray[np.float32]:
    """The mean of the surroundings, weighted by a Gaussian, (..., row, col) float32.

    image: (..., row, col), finite. sigma: px. truncate: sigmas at which the weights end.
    mirrored: True = beyond the image lies its mirror image, False = nothing but 0.
    """
    return _filter(image, _gaussian_weights(sigma, truncate), "mirror" if mirrored else "zero")


def spline_coefficients(image: NDArray[Any]) -> NDArray[np.float32]:
    """Coefficients of the cubic B-spline through an image, (..., row, col) float32: `ndimage.spline_filter`, mirrored.

    The recursive filter is worked out as its impulse response (Unser 1999), cut where float32 no longer shows it.
    """
    return _filter(image, _spline_weights(), "mirror pixel")


def _filter(image: NDArray[Any], weights: tuple[float, ...], beyond: Beyond) -> NDArray[np.float32]:
    """An image filtered along rows and columns by symmetric weights."""
    planes = np.asarray(image, np.float32).reshape(-1, *image.shape[-2:])
    found, down = np.empty_like(planes), np.empty_like(planes[0])
    lines, columns = (_make_products(size, weights, beyond) for size in planes.shape[1:])
    for plane, out in zip(planes, found, strict=True):
        for made, of, matrix in lines:
            np.matmul(matrix, plane[of], out=down[made])
        for made, of, matrix in columns:
            np.matmul(down[:, of], matrix.T, out=out[:, made])
    return found.reshape(image.shape)


@lru_cache(maxsize=64)
def _gaussian_weights(sigma: float, truncate: float) -> tuple[float, ...]:
    reach = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return tuple((weights / weights.sum()).tolist())


@lru_cache(maxsize=1)
def _spline_weights() -> tuple[float, ...]:
    powers = SPLINE_POLE ** np.abs(np.arange(-SPLINE_REACH, SPLINE_REACH + 1))
    return tuple((-6 * SPLINE_POLE / (1 - SPLINE_POLE**2) * powers).tolist())


@lru_cache(maxsize=64)
def _make_products(size: int, weights: tuple[float, ...], beyond: Beyond) -> tuple[Product, ...]:
    """Banded matrices for an axis of `size` lines. Cached: a site needs two sizes and half a dozen filters, often."""
    reach = len(weights) // 2
    inner: NDArray[np.float32] | None = None
    found = []
    for start in range(0, size, BLOCK):
        stop, first = min(start + BLOCK, size), max(start - reach, 0)
        last = min(stop + reach, size)
        whole = last - first == BLOCK + 2 * reach
        matrix = inner if whole else None
        if matrix is None:
            matrix = _make_matrix(range(start, stop), range(first, last), size, np.array(weights), beyond)
            inner = matrix if whole else inner
        found.append((slice(start, stop), slice(first, last), matrix))
    return tuple(found)


def _make_matrix(
    made: range, of: range, size: int, weights: NDArray[np.float64], beyond: Beyond
) -> NDArray[np.float32]:
    """(made, of): the weights around each line, those beyond the image where their mirror image lies or left out."""
    reach = len(weights) // 2
    there = np.arange(made.start, made.stop)[:, None] + np.arange(-reach, reach + 1)
    last = 2 * size - (2 if beyond == "mirror pixel" else 1)
    turned = there % (max(last, 1) if beyond == "mirror pixel" else 2 * size)
    turned = np.where(turned < size, turned, last - turned)
    kept = np.broadcast_to(weights, there.shape) * ((beyond != "zero") | (turned == there))
    used = kept != 0
    place = np.arange(len(made))[:, None] * len(of) + (turned - of.start)
    return np.bincount(place[used], kept[used], len(made) * len(of)).reshape(len(made), len(of)).astype(np.float32)
