"""Registration of small chips: one translation for all bands, with the shifts of the other looks as a prior.

A chip of 31 x 56 pixels has nine patches of ground of 12 px. Each band alone is too uncertain to be believed, although
the same ground is plainly visible. Here the bands share one fit, the scatter of the site's other shifts is the prior of
an uncertain one (empirical Bayes: Efron & Morris 1973), and what uncertainty is left is stated in `sigma_px`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.correct.alignment import FOREIGN_PULL, SAME_GROUND, structure_images
from pipeline.correct.translation import Fit, fit_translation
from pipeline.model.imagery import Alignment

Array = NDArray[Any]

SMALL_PIXELS = 90 * 90
"""Ground below which bands are fitted together, pixels. Larger chips are registered band by band."""
PRIOR_PX = 0.5
"""Prior of the shift of a look against the mean of its stack, 1 sigma per axis in pixels, with fewer than six measured
looks: Sentinel-2 without the global reference image is within 12 m in 95 % (ESA, L2A Data Quality Report)."""
LEAST_PRIOR_PX = 0.1
"""Least prior, pixels: six shifts can agree by chance."""
SYSTEMATIC_PX = 0.05
"""Parallax and light from another side, which move all patches together, pixels."""
NEAR_PX, NEAR_SIGMAS, FAR_SIGMAS = 2, 3.3, 4.5
"""Whole-pixel shifts to try first, and the significance that shows the same ground there or further away. Chance
reaches 3.2 sigmas among the 25 near shifts and 3.3 among all 289 (1,080 pairs of chips of different cities, 27 x 30 to
80 x 80 px, decision 0096)."""
PATCH_PIXELS = 20
"""Pixels of a structure image that make one independent value: the area of its autocorrelation."""
GAP_PX = 20
"""Unusable columns between two bands laid side by side: more than any smoothing or search reaches."""
FEW_PATCHES, FEW_FACTOR = 6.0, 1.5
"""Patches of ground below which their scatter understates the uncertainty, and by how much it is raised."""
OUTLYING = 3.0
"""Sigmas from the prior at which a shift is an outlier of the stack: it is reported as measured, not shrunk."""


def is_small(reference: Array, measured: NDArray[np.bool_]) -> bool:
    """Whether neither the reference nor the look shows enough ground for a registration band by band."""
    known = int(np.isfinite(reference).all(axis=0).sum())
    return max(known, int(measured.sum())) < SMALL_PIXELS


def estimate_jointly(
    reference: Array, target: Array, usable: NDArray[np.bool_], max_shift_px: float, prior_px: float | None
) -> Alignment:
    """One translation between all bands of two images, (band, row, col) float of one shape.

    usable:   (row, col) bool, True = the look measured clear ground.
    prior_px: 1-sigma of the shifts of the stack per axis, around zero; None = there is no stack. With a prior, a shift
              is shrunk towards zero by its precision. A look that shows the same ground, but not its shift, is accepted
              at zero with the prior as its uncertainty.
    Not accepted where the two do not show the same ground within `max_shift_px`, or nothing can be seen.
    """
    found = measure_shift(reference, target, usable, max_shift_px)
    if not found.accepted:
        return found
    if prior_px is not None:
        return shrink_to_prior(found, max(prior_px, LEAST_PRIOR_PX))
    if np.isfinite(found.sigma_px):
        return found
    return _refuse("the shift cannot be measured on so small a chip")


def measure_shift(reference: Array, target: Array, usable: NDArray[np.bool_], max_shift_px: float) -> Alignment:
    """The shift without a prior. Accepted with an infinite `sigma_px`: the same ground, its shift unknown."""
    tiled = _lay_side_by_side(reference, target, usable)
    if tiled is None:
        return _refuse("no structure: uniform ground, or too little of it clear")
    first, second, clear, bands = tiled
    start, significance = _find_whole_pixel(first, second, clear, NEAR_PX, bands)
    if significance < NEAR_SIGMAS:
        start, significance = _find_whole_pixel(first, second, clear, int(np.ceil(max_shift_px)), bands)
        if significance < FAR_SIGMAS:
            return _refuse(f"not the same ground: correlation of {significance:.1f} sigmas, {NEAR_SIGMAS} needed")
    rows, cols = start
    moved, both = _roll(second, start), clear & _roll(clear, start)
    fits = fit_translation(np.where(both, first, 0), np.where(both, moved, 0), both)
    if fits is None:
        unknown = max(abs(rows), abs(cols)) <= NEAR_PX
        return _accept((0.0, 0.0), np.inf) if unknown else _accept((rows, cols), 0.5)
    shift = np.array(start) + (fits[0].shift - fits[1].shift) / 2
    sigma = _joint_uncertainty(*fits, bands)
    return _accept(shift, sigma)


def shrink_to_prior(found: Alignment, prior_px: float) -> Alignment:
    """A measured shift combined with the prior around zero, each weighted by its precision."""
    variance, prior = found.sigma_px**2, prior_px**2
    if float(np.hypot(*found.shift)) > OUTLYING * float(np.sqrt(2 * prior + 2 * min(variance, prior))):
        return found
    weight = prior / (prior + variance)
    sigma = float(np.sqrt(prior * (1 - weight)))
    return _accept(np.array(found.shift) * weight, sigma)


def edge_noise(reference: Array, sigma_px: float) -> NDArray[np.float32]:
    """(band,) reflectance: what an uncertainty of the shift, 1 sigma per axis, does to a pixel of average contrast."""
    slopes = [np.hypot(*np.gradient(plane)) for plane in reference]
    return np.array([float(np.nanmean(each)) * sigma_px for each in slopes], np.float32)


def _refuse(reason: str) -> Alignment:
    return Alignment(shift=(0.0, 0.0), accepted=False, reliability=0.0, reason=reason)


def _accept(shift: Array | tuple[float, float], sigma_px: float) -> Alignment:
    """An accepted shift; its reliability falls to 0 at an uncertainty of 0.6 px."""
    reliability = float(np.clip(1 - sigma_px / 0.6, 0, 1))
    return Alignment(
        shift=(float(shift[0]), float(shift[1])), accepted=True, reliability=reliability, sigma_px=sigma_px
    )


def _lay_side_by_side(
    reference: Array, target: Array, usable: NDArray[np.bool_]
) -> tuple[Array, Array, NDArray[np.bool_], int] | None:
    """Structure images of both and what is clear of them, band beside band, with the number of bands."""
    firsts, seconds, clears = [], [], []
    rows = usable.shape[0]
    gap = np.zeros((rows, GAP_PX), np.float32)
    for one, two in zip(reference, target, strict=True):
        clear = usable & np.isfinite(one) & np.isfinite(two)
        if int(clear.sum()) < 3 * PATCH_PIXELS:
            continue
        pair = structure_images(one, two, clear)
        if pair is not None:
            firsts += [pair[0], gap]
            seconds += [pair[1], gap]
            clears += [clear, gap > 0]
    if not firsts:
        return None
    first, second, clear = (np.concatenate(parts, axis=1) for parts in (firsts, seconds, clears))
    return first, second, clear, len(firsts) // 2


def _find_whole_pixel(
    first: Array, second: Array, clear: NDArray[np.bool_], reach: int, bands: int
) -> tuple[tuple[int, int], float]:
    """The most significant whole-pixel shift within reach: correlation over the spread that chance gives it.

    The bands of one look show the same ground, so together they count as one.
    """
    one, two = np.clip(first, -3, 3), np.clip(second, -3, 3)
    best, found = -np.inf, (0, 0)
    for row in range(-reach, reach + 1):
        for col in range(-reach, reach + 1):
            both = clear & _roll(clear, (row, col))
            count = int(both.sum()) / bands / PATCH_PIXELS
            if count < 3:
                continue
            correlation = float(np.corrcoef(one[both], _roll(two, (row, col))[both])[0, 1])
            if correlation * np.sqrt(count) > best:
                best, found = correlation * float(np.sqrt(count)), (row, col)
    return found, best


def _roll(image: Array, by: tuple[int, int]) -> Array:
    """The image at x + by, 0 beyond its edge."""
    out = np.zeros_like(image)
    rows, cols = image.shape
    inner = tuple(slice(max(-off, 0), size - max(off, 0)) for off, size in zip(by, (rows, cols), strict=True))
    moved = tuple(slice(max(off, 0), size - max(-off, 0)) for off, size in zip(by, (rows, cols), strict=True))
    out[inner] = image[moved]
    return out


def _joint_uncertainty(forth: Fit, back: Fit, bands: int) -> float:
    """Uncertainty of a joint fit, px: patches of one place are not independent from band to band."""
    correlation = min(forth.correlation, back.correlation)
    foreign = max(SAME_GROUND / max(correlation, 1e-3), 1.0) ** FOREIGN_PULL
    loop = float(np.hypot(*(forth.shift + back.shift))) / 2
    few = FEW_FACTOR if min(forth.patches, back.patches) / bands < FEW_PATCHES else 1.0
    scatter = max(forth.sigma, back.sigma) * float(np.sqrt(bands)) * few
    return float(np.hypot(np.hypot(scatter, loop) * foreign, SYSTEMATIC_PX))
