"""Local spatial structure of an image, and its correlation with that of another image.

The structure is the gradient field: outlines and texture, without the level. Two fields are compared by a windowed
cross-correlation of gradients (gradient correlation: Fitch et al. 2002), on the finest level of an image pyramid that
has texture. The interior of a large plain roof is thus compared by the outline of the roof.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEVELS = 4
"""Levels of the pyramid, each with pixels twice as large as those of the level below."""
WINDOW_PX = 9
"""Side of the square window of the correlation, in pixels of the level."""
MIN_TEXTURE = 0.012
"""Root mean square step in reflectance over two pixels, below which a window of a level counts as plain: three times
the noise of Sentinel-2 in this measure."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """gradient: (2, row, col) reflectance over two pixels, 0 where unknown. energy: (row, col) windowed mean square."""

    gradient: NDArray[np.float32]
    energy: NDArray[np.float32]


def gradient_pyramid(image: NDArray[Any], known: NDArray[np.bool_]) -> tuple[Level, ...]:
    """The gradient pyramid of a (row, col) image, finest level first."""
    values, weights = np.where(known, image, 0).astype(np.float32), known.astype(np.float32)
    levels = []
    for number in range(LEVELS):
        if number:
            values, weights = _halve(values * weights), _halve(weights)
            values = np.where(weights > 0, values / np.maximum(weights, 1e-6), 0)
        gradient = _gradient(values, weights > 0)
        levels.append(Level(gradient, _window_mean((gradient**2).sum(axis=0))))
    return tuple(levels)


def structure_similarity(
    one: tuple[Level, ...], other: tuple[Level, ...], pixels: NDArray[np.intp]
) -> NDArray[np.float32]:
    """(pixel,) in -1..1: 1 = same structure with the same contrast; 0 where both are plain on every level.

    pixels: flat indices into the image. The value is twice the windowed product of the gradients over the sum of their
    energies: the correlation, times a factor that falls when one contrast is lower than the other.
    """
    rows, cols = np.divmod(pixels, one[0].energy.shape[1])
    found, left = np.zeros(pixels.size, np.float32), np.arange(pixels.size)
    for number, (first, second) in enumerate(zip(one, other, strict=True)):
        row, col = rows[left] >> number, cols[left] >> number
        here, there = first.energy[row, col], second.energy[row, col]
        textured = np.maximum(here, there) > MIN_TEXTURE**2
        if textured.any():
            product = _gradient_products(first, second, row[textured], col[textured])
            found[left[textured]] = 2 * product / (here + there)[textured]
        left = left[~textured]
        if left.size == 0:
            break
    return found


def _gradient_products(
    first: Level, second: Level, row: NDArray[np.intp], col: NDArray[np.intp]
) -> NDArray[np.float32]:
    """(pixel,): windowed mean product of the gradients, worked out in the bounding box of the pixels alone."""
    half = WINDOW_PX // 2
    top, left = max(0, int(row.min()) - half), max(0, int(col.min()) - half)
    box = (slice(top, int(row.max()) + half + 1), slice(left, int(col.max()) + half + 1))
    product = first.gradient[0][box] * second.gradient[0][box]
    product += first.gradient[1][box] * second.gradient[1][box]
    return np.asarray(_window_mean(product)[row - top, col - left], np.float32)


def _gradient(values: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Central differences, 0 at the edges of the image and beside unknown pixels."""
    out = np.zeros((2, *values.shape), np.float32)
    out[0, 1:-1] = np.where(known[2:] & known[:-2], values[2:] - values[:-2], 0)
    out[1, :, 1:-1] = np.where(known[:, 2:] & known[:, :-2], values[:, 2:] - values[:, :-2], 0)
    return out


def _window_mean(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ndimage.uniform_filter(image, WINDOW_PX, mode="constant"), np.float32)


def _halve(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 x 2 pixels; an odd last line is repeated."""
    even = np.pad(image, [(0, size % 2) for size in image.shape], mode="edge")
    rows, cols = even.shape
    return np.asarray(even.reshape(rows // 2, 2, cols // 2, 2).mean(axis=(1, 3)), np.float32)
