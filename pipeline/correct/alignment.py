"""Registration: one translation between two images of the same ground, its uncertainty, and its acceptance."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from pipeline.correct.translation import Fit, fit_translation, sample_median
from pipeline.model.errors import ShapeError
from pipeline.model.imagery import Alignment
from pipeline.numerics.robust import MAD_TO_SIGMA
from pipeline.numerics.smoothing import gaussian

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Search range and limits of acceptance, set on cases of the kind of benchmarks/trouble.py, but other ones."""

    max_shift_px: float = 8.0
    min_pixels: int = 300
    min_peak_sigmas: float = 6.0
    min_correlation: float = 0.25
    min_patches: float = 6.0
    max_sigma_px: float = 0.085


BAND_PASS_PX = (1.3, 6.0)
"""Gaussian sigmas, pixels: finer structure is noise, coarser is haze, cloud shadow and season (docs/decisions/0030)."""
SAME_GROUND, FOREIGN_PULL = 0.75, 1.5
"""Local correlation of the same ground on two clear dates, and the power of the correction below it: undetected cloud
or change biases the shift by more than its scatter shows (docs/decisions/0032)."""
_smooth = partial(gaussian, truncate=3.0, mirrored=False)


def estimate_shift(
    reference: Array,
    target: Array,
    usable: NDArray[np.bool_],
    options: Options = Options(),
) -> Alignment:
    """Translation that brings `target` onto `reference`, and whether it is accepted.

    Gain and offset between the two are fitted along, so reflectance or DN both serve.

    reference, target: (row, col) float, one shape, any one unit each. NaN only where not usable.
    usable:            (row, col) bool. True = both images measured the ground there.
    Returns Alignment: `shift` (row, col) in pixels, target(x + shift) ~ reference(x); `reliability` 0..1;
        `accepted`, and `reason` when not (then use no shift at all).
    Raises ShapeError if the three differ in shape. Cloudy or flat input raises nothing: it is not accepted.

    Method: whole-pixel start from the correlation of the structure images (band-pass over local contrast), then the
    fit of pipeline.correct.translation, both ways and averaged, so that swapping the images turns the sign and nothing
    else. The uncertainty is estimated from the scatter between patches of ground of the chip.
    Limits: translation only; |shift| <= options.max_shift_px.
    """
    if not reference.shape == target.shape == usable.shape or reference.ndim != 2:
        raise ShapeError(
            f"reference {reference.shape}, target {target.shape}, usable {usable.shape}",
            "alignment.estimate_shift",
            "give three (row, col) arrays of one shape",
        )
    clear = usable & np.isfinite(reference) & np.isfinite(target)
    if int(clear.sum()) < options.min_pixels:
        return _refuse(f"{int(clear.sum())} usable pixels, {options.min_pixels} needed")
    pair = structure_images(reference, target, clear)
    if pair is None:
        return _refuse("no structure: uniform ground")
    start, peak = _find_whole_pixel(*pair, clear, options.max_shift_px)
    if peak < options.min_peak_sigmas:
        return _refuse(f"correlation peak {peak:.1f} sigmas, {options.min_peak_sigmas:.1f} needed")
    if start != (0, 0):
        # the same ground in both, or the smoothing would meet another border in the one than in the other
        reference, target, clear = _cut_overlap(reference, target, clear, start)
        pair = structure_images(reference, target, clear)
    both = None if pair is None else fit_translation(*pair, clear)
    if both is None:
        return _refuse("the fit did not settle")
    return _assess(start, *both, options)


def _cut_overlap(
    reference: Array, target: Array, clear: NDArray[np.bool_], start: tuple[int, int]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The parts of both images that show the same ground if the target is shifted by `start` px (row, col)."""
    rows, cols = (slice(max(-by, 0), size - max(by, 0)) for by, size in zip(start, clear.shape, strict=True))
    moved = (slice(rows.start + start[0], rows.stop + start[0]), slice(cols.start + start[1], cols.stop + start[1]))
    return reference[rows, cols], target[moved], clear[rows, cols] & clear[moved]


def structure_images(reference: Array, target: Array, clear: NDArray[np.bool_]) -> tuple[Array, Array] | None:
    """Structure images of both; None where one is uniform or nothing is clear."""
    if not clear.any():
        return None
    shares = _clear_shares(clear)
    first, second = _structure_image(reference, clear, shares), _structure_image(target, clear, shares)
    return None if first is None or second is None else (first, second)


def _refuse(reason: str) -> Alignment:
    return Alignment(shift=(0.0, 0.0), accepted=False, reliability=0.0, reason=reason)


def _assess(start: tuple[int, int], forth: Fit, back: Fit, options: Options) -> Alignment:
    shift = start + (forth.shift - back.shift) / 2
    loop = float(np.hypot(*(forth.shift + back.shift)))
    correlation, pixels = min(forth.correlation, back.correlation), min(forth.pixels, back.pixels)
    foreign = max(SAME_GROUND / max(correlation, 1e-3), 1.0) ** FOREIGN_PULL
    sigma = float(np.hypot(max(forth.sigma, back.sigma), loop / 2)) * foreign
    patches = min(forth.patches, back.patches)
    checks = (
        (pixels < options.min_pixels, f"only {pixels} pixels with structure"),
        (float(np.abs(shift).max()) > options.max_shift_px, f"shift {shift[0]:.1f}, {shift[1]:.1f} px is out of range"),
        (correlation < options.min_correlation, f"correlation {correlation:.2f}, {options.min_correlation} needed"),
        (patches < options.min_patches, f"{patches:.1f} patches of ground agree, {options.min_patches} needed"),
        (sigma > options.max_sigma_px, f"uncertain by {sigma:.3f} px"),
    )
    reason = next((text for failed, text in checks if failed), "")
    reliability = np.clip(correlation, 0, 1) * np.clip(1 - sigma / (2 * options.max_sigma_px), 0, 1)
    return Alignment(
        shift=(float(shift[0]), float(shift[1])),
        accepted=not reason,
        reliability=float(reliability) if not reason else float(min(reliability, 0.49)),
        sigma_px=sigma,
        reason=reason,
    )


def _clear_shares(clear: NDArray[np.bool_]) -> tuple[Array, Array]:
    """How much of each smoothing footprint, fine and coarse, is clear and on the chip."""
    fine, coarse = (_smooth(clear, sigma) for sigma in BAND_PASS_PX)
    return np.maximum(fine, 1e-3), np.maximum(coarse, 1e-3)


def _structure_image(image: Array, clear: NDArray[np.bool_], shares: tuple[Array, Array]) -> Array | None:
    """Band-pass over local contrast, 0 where not clear; None where there is no contrast at all."""
    level = sample_median(image[clear])
    filled = np.where(clear, image - level, 0).astype(np.float32)
    scale = float(np.abs(filled).max()) + abs(level)
    fine, coarse = BAND_PASS_PX
    band = np.where(clear, _smooth(filled, fine) / shares[0] - _smooth(filled, coarse) / shares[1], 0)
    contrast = np.sqrt(_smooth(band * band, coarse) / shares[1])
    typical = sample_median(contrast[clear])
    if not np.isfinite(typical) or typical <= 1e-6 * max(scale, 1e-12):
        return None
    return np.asarray(band / (contrast + 0.2 * typical), np.float32)


def _find_whole_pixel(
    first: Array, second: Array, clear: NDArray[np.bool_], reach: float
) -> tuple[tuple[int, int], float]:
    """Shift of the highest correlation within reach, and its height in robust sigmas of the correlation surface."""
    rows, cols = first.shape
    taper = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(cols + 2)[1:-1]).astype(np.float32) ** 0.5 * clear
    shape = (fft.next_fast_len(rows, real=True), fft.next_fast_len(cols, real=True))
    one = fft.rfft2(np.clip(first, -3, 3) * taper, shape)
    two = fft.rfft2(np.clip(second, -3, 3) * taper, shape)
    surface = fft.fftshift(fft.irfft2(np.conj(one) * two, shape))
    centre = np.array(shape) // 2
    radius = np.minimum(int(np.ceil(reach)) + 1, (np.array((rows, cols)) - 1) // 2)
    window = surface[
        centre[0] - radius[0] : centre[0] + radius[0] + 1, centre[1] - radius[1] : centre[1] + radius[1] + 1
    ]
    at = np.unravel_index(int(np.argmax(window)), window.shape)
    level = sample_median(surface)
    height = float(window[at] - level) / max(MAD_TO_SIGMA * sample_median(np.abs(surface - level)), 1e-12)
    return (int(at[0] - radius[0]), int(at[1] - radius[1])), height
