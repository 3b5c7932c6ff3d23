"""Masks eroded, opened, widened and grown: what `scipy.ndimage` gives, in a third to a tenth of its time."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]


def erode(mask: Mask, steps: int, beyond: bool = False) -> Mask:
    """(row, col) True if all pixels within `steps` along rows and columns are True. beyond: value outside."""
    kept = np.pad(mask, steps, constant_values=beyond)
    for _ in range(steps):
        inner = kept.copy()
        inner[1:] &= kept[:-1]
        inner[:-1] &= kept[1:]
        inner[:, 1:] &= kept[:, :-1]
        inner[:, :-1] &= kept[:, 1:]
        kept = inner
    return kept[steps:-steps, steps:-steps]


def open_mask(mask: Mask) -> Mask:
    """(row, col) True where a square of 3 x 3 that is True throughout, and lies on the mask, covers the pixel."""
    inner = mask[:, :-2] & mask[:, 1:-1] & mask[:, 2:]
    inner = inner[:-2] & inner[1:-1] & inner[2:]
    wide = np.zeros(mask.shape, bool)
    rows, cols = inner.shape
    for row in range(3):
        for col in range(3):
            wide[row : row + rows, col : col + cols] |= inner
    return wide


def dilate(mask: Mask, radius: float) -> Mask:
    """(row, col) True within `radius` pixels of a pixel that is True: row by row of the disk, lines of ever more width.

    As the distance transform at most `radius`, whose time does not depend on how near the distance is of interest.
    """
    whole = int(radius)
    wide, line = np.zeros(mask.shape, bool), mask.copy()
    half = 0
    # from the narrow ends of the disk to its middle, so that each line is the one before it, wider
    for down in range(whole, -1, -1):
        while np.hypot(half + 1, down) <= radius:
            half += 1
            if half < mask.shape[1]:
                line[:, half:] |= mask[:, :-half]
                line[:, :-half] |= mask[:, half:]
        if down < len(mask):
            wide[down:] |= line[: len(mask) - down]
            wide[: len(mask) - down] |= line[down:]
    return wide


def reconstruct(seed: Mask, mask: Mask) -> Mask:
    """The parts of a mask, connected along rows and columns, that have a pixel of `seed`, which lies on the mask."""
    if not seed.any():
        return seed
    labels, count = ndimage.label(mask)
    held = np.zeros(count + 1, bool)
    held[labels[seed]] = True
    return np.asarray(held[labels])
