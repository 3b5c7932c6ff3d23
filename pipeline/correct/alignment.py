"""Registration: one translation between two images of the same ground, and whether to believe it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from pipeline.correct.robust import MAD_TO_SIGMA, TUKEY_C
from pipeline.model.errors import ShapeError
from pipeline.model.imagery import Alignment

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How far to look and when to refuse; the limits come from the acceptance matrix of benchmarks/registration.py."""

    max_shift_px: float = 8.0
    min_pixels: int = 300
    min_correlation: float = 0.25
    min_peak_sigmas: float = 6.0
    max_half_disagreement_px: float = 0.15
    max_sigma_px: float = 0.2


BAND_PASS_PX = (1.3, 6.0)
"""Gaussian sigmas: finer is noise, coarser is haze, shadow of clouds and season (docs/decisions/0030)."""
MAX_TURNS = 25
STEP_PX = 1e-4
BLOCK_PX = 8
MIN_FIT_PIXELS = 50


def estimate(
    reference: Array,
    target: Array,
    usable: NDArray[np.bool_],
    options: Options = Options(),
) -> Alignment:
    """Translation that brings `target` onto `reference`, and whether to believe it.

    Gain and offset between the two are fitted along, so reflectance or DN both serve.

    reference, target: (row, col) float, one shape, any one unit each. NaN only where not usable.
    usable:            (row, col) bool. True = both images measured the ground there.
    Returns Alignment: `shift` (row, col) in pixels, target(x + shift) ~ reference(x); `reliability` 0..1;
        `accepted`, and `reason` when not (then use no shift at all).
    Raises ShapeError if the three differ in shape. Cloudy or flat input raises nothing: it is not accepted.

    Method: whole-pixel start from the correlation of the structure images (band-pass over local contrast), then
    Lucas-Kanade (1981; Baker & Matthews 2004) with gain and offset, weights by Tukey's biweight. The fit runs both
    ways and the two are averaged, so that swapping the images turns the sign and nothing else.
    Limits: translation only; |shift| <= options.max_shift_px.
    """
    if not reference.shape == target.shape == usable.shape or reference.ndim != 2:
        raise ShapeError(
            f"reference {reference.shape}, target {target.shape}, usable {usable.shape}",
            "alignment.estimate",
            "give three (row, col) arrays of one shape",
        )
    clear = usable & np.isfinite(reference) & np.isfinite(target)
    if int(clear.sum()) < options.min_pixels:
        return _refused(f"{int(clear.sum())} usable pixels, {options.min_pixels} needed")
    first, second = _structure(reference, clear), _structure(target, clear)
    if first is None or second is None:
        return _refused("no structure: uniform ground")
    start, peak = _whole_pixel(first, second, clear, options.max_shift_px)
    if peak < options.min_peak_sigmas:
        return _refused(f"correlation peak {peak:.1f} sigmas, {options.min_peak_sigmas:.1f} needed")
    forth = _refine(first, second, clear, start)
    back = _refine(second, first, clear, (-start[0], -start[1]))
    if forth is None or back is None:
        return _refused("the fit did not settle")
    return _judged(forth, back, options)


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    shift: Array
    sigma: float
    correlation: float
    inliers: float
    half_disagreement: float
    pixels: int


def _refused(reason: str) -> Alignment:
    return Alignment(shift=(0.0, 0.0), accepted=False, reliability=0.0, reason=reason)


def _judged(forth: _Fit, back: _Fit, options: Options) -> Alignment:
    shift = (forth.shift - back.shift) / 2
    loop = float(np.hypot(*(forth.shift + back.shift)))
    correlation = min(forth.correlation, back.correlation)
    halves = max(forth.half_disagreement, back.half_disagreement, loop)
    sigma = max(forth.sigma, back.sigma)
    checks = (
        (min(forth.pixels, back.pixels) < options.min_pixels, f"only {forth.pixels} pixels with structure"),
        (float(np.abs(shift).max()) > options.max_shift_px, f"shift {shift[0]:.1f}, {shift[1]:.1f} px is out of range"),
        (correlation < options.min_correlation, f"correlation {correlation:.2f}, {options.min_correlation} needed"),
        (halves > options.max_half_disagreement_px, f"halves of the chip disagree by {halves:.2f} px"),
        (sigma > options.max_sigma_px, f"uncertain by {sigma:.2f} px"),
    )
    reason = next((text for failed, text in checks if failed), "")
    trust = (
        np.clip(correlation, 0, 1)
        * np.clip(1 - halves / (2 * options.max_half_disagreement_px), 0, 1)
        * np.clip(1 - sigma / (2 * options.max_sigma_px), 0, 1)
    )
    return Alignment(
        shift=(float(shift[0]), float(shift[1])),
        accepted=not reason,
        reliability=float(trust) if not reason else float(min(trust, 0.49)),
        sigma_px=sigma,
        reason=reason,
    )


def _structure(image: Array, clear: NDArray[np.bool_]) -> Array | None:
    """Band-pass over local contrast, 0 where not clear; None where there is no contrast at all."""
    share = clear.astype(np.float32)
    filled = np.where(clear, image, 0).astype(np.float32)
    filled -= np.where(clear, np.float32(np.median(image[clear])), 0)
    fine, coarse = BAND_PASS_PX
    fine_share, coarse_share = ndimage.gaussian_filter(share, fine), ndimage.gaussian_filter(share, coarse)
    smooth = ndimage.gaussian_filter(filled, fine) / np.maximum(fine_share, 1e-3)
    band = smooth - ndimage.gaussian_filter(filled, coarse) / np.maximum(coarse_share, 1e-3)
    band *= share
    contrast = np.sqrt(ndimage.gaussian_filter(band * band, coarse) / np.maximum(coarse_share, 1e-3))
    typical = float(np.median(contrast[clear]))
    scale = float(np.abs(image[clear]).max())
    if not np.isfinite(typical) or typical <= 1e-6 * max(scale, 1e-12):
        return None
    return np.asarray(band / (contrast + 0.2 * typical), np.float32)


def _whole_pixel(first: Array, second: Array, clear: NDArray[np.bool_], reach: float) -> tuple[tuple[int, int], float]:
    """Shift of the highest correlation within reach, and its height in robust sigmas of the correlation surface."""
    rows, cols = first.shape
    taper = np.outer(np.hanning(rows + 2)[1:-1], np.hanning(cols + 2)[1:-1]).astype(np.float32) ** 0.5 * clear
    shape = (fft.next_fast_len(rows, real=True), fft.next_fast_len(cols, real=True))
    one = fft.rfft2(np.clip(first, -3, 3) * taper, shape)
    two = fft.rfft2(np.clip(second, -3, 3) * taper, shape)
    surface = fft.fftshift(fft.irfft2(np.conj(one) * two, shape))
    middle = np.array(shape) // 2
    radius = np.minimum(int(np.ceil(reach)) + 1, (np.array((rows, cols)) - 1) // 2)
    window = surface[
        middle[0] - radius[0] : middle[0] + radius[0] + 1, middle[1] - radius[1] : middle[1] + radius[1] + 1
    ]
    at = np.unravel_index(int(np.argmax(window)), window.shape)
    spread = MAD_TO_SIGMA * float(np.median(np.abs(surface - np.median(surface))))
    height = float(window[at] - np.median(surface)) / max(spread, 1e-12)
    return (int(at[0] - radius[0]), int(at[1] - radius[1])), height


def _refine(fixed: Array, moving: Array, clear: NDArray[np.bool_], start: tuple[int, int]) -> _Fit | None:
    """Sub-pixel fit of (row, col, gain, offset) by reweighted least squares from a whole-pixel start."""
    coefficients = np.asarray(ndimage.spline_filter(moving, order=3, mode="mirror"), np.float32)
    shift = np.array(start, np.float64)
    edge = int(np.ceil(np.abs(shift).max())) + 3
    if min(fixed.shape) <= 2 * edge + 8:
        return None
    inner = (slice(edge, fixed.shape[0] - edge), slice(edge, fixed.shape[1] - edge))
    chosen = _chosen(clear, start, inner)
    if int(chosen.sum()) < MIN_FIT_PIXELS:
        return None
    goal = fixed[inner][chosen].astype(np.float64)
    gain, offset, widen = 1.0, 0.0, 3.0
    solved: tuple[Array, Array, Array] | None = None
    for _ in range(MAX_TURNS):
        value, by_row, by_col = (part[chosen].astype(np.float64) for part in _sample(coefficients, shift, inner))
        residual = goal - gain * value - offset
        scale = MAD_TO_SIGMA * float(np.median(np.abs(residual - np.median(residual))))
        weights = np.maximum(1 - (residual / (TUKEY_C * widen * max(scale, 1e-6))) ** 2, 0) ** 2
        design = np.stack([gain * by_row, gain * by_col, value, np.ones_like(value)])
        normal = (design * weights) @ design.T
        if not np.isfinite(normal).all() or np.linalg.cond(normal) > 1e10:
            return None
        step = np.linalg.solve(normal, (design * weights) @ residual)
        length = float(np.hypot(step[0], step[1]))
        step[:2] *= min(1.0, 0.7 / max(length, 1e-12))
        shift, gain, offset = shift + step[:2], gain + step[2], offset + step[3]
        if float(np.abs(shift - start).max()) > 1.5:
            return None
        solved = (design, weights, residual)
        if widen == 1.0 and length < STEP_PX:
            break
        widen = max(1.0, widen / 1.7)
    if solved is None or gain <= 0:
        return None
    return _assessed(shift, solved, chosen, goal.size)


def _chosen(clear: NDArray[np.bool_], start: tuple[int, int], inner: tuple[slice, slice]) -> NDArray[np.bool_]:
    """Where both images are clear under the start shift, two pixels from anything that is not."""
    moved = np.zeros_like(clear)
    rows, cols = clear.shape
    down, right = start
    moved[max(-down, 0) : rows - max(down, 0), max(-right, 0) : cols - max(right, 0)] = clear[
        max(down, 0) : rows - max(-down, 0), max(right, 0) : cols - max(-right, 0)
    ]
    return np.asarray(ndimage.binary_erosion(clear & moved, iterations=2)[inner])


def _sample(coefficients: Array, shift: Array, inner: tuple[slice, slice]) -> tuple[Array, Array, Array]:
    """Cubic spline and its row and column slopes at x + shift; a constant shift makes it a 4-tap filter an axis."""
    whole = np.floor(shift).astype(int)
    part = shift - whole
    row_taps, row_slopes = _taps(part[0])
    col_taps, col_slopes = _taps(part[1])
    rows, cols = inner
    lines = [coefficients[rows.start + whole[0] + k : rows.stop + whole[0] + k] for k in (-1, 0, 1, 2)]
    straight = sum(tap * line for tap, line in zip(row_taps, lines, strict=True))
    sloped = sum(tap * line for tap, line in zip(row_slopes, lines, strict=True))

    def across(image: Array, taps: Array) -> Array:
        first = cols.start + whole[1] - 1
        width = cols.stop - cols.start
        return np.asarray(sum(tap * image[:, first + k : first + k + width] for k, tap in enumerate(taps)))

    return across(straight, col_taps), across(sloped, col_taps), across(straight, col_slopes)


def _taps(t: float) -> tuple[Array, Array]:
    """Cubic B-spline weights at fraction t for coefficients -1..2, and their slopes."""
    value = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    slope = (-3 * (1 - t) ** 2, 9 * t**2 - 12 * t, -9 * t**2 + 6 * t + 3, 3 * t**2)
    return np.array(value, np.float32) / 6, np.array(slope, np.float32) / 6


def _assessed(
    shift: Array,
    solved: tuple[Array, Array, Array],
    chosen: NDArray[np.bool_],
    pixels: int,
) -> _Fit | None:
    """Uncertainty, correlation and agreement of two interleaved halves of the chip at the solution."""
    design, weights, residual = solved
    normal = (design * weights) @ design.T
    variance = float((weights * residual**2).sum() / max(weights.sum(), 1e-9))
    # neighbours within the band-pass are not independent: each sigma-1 footprint counts once
    covariance = np.linalg.inv(normal) * variance * 4 * np.pi * BAND_PASS_PX[0] ** 2
    model = design[2]
    total = weights.sum()
    spread = [np.sqrt((weights * (x - (weights * x).sum() / total) ** 2).sum() / total) for x in (model, residual)]
    correlation = float(1 / np.sqrt(1 + (spread[1] / max(spread[0], 1e-9)) ** 2))
    row, col = np.nonzero(chosen)
    even = (row // BLOCK_PX + col // BLOCK_PX) % 2 == 0
    steps = []
    for half in (even, ~even):
        part = (design * (weights * half)) @ design.T
        if np.linalg.cond(part) > 1e10:
            return None
        steps.append(np.linalg.solve(part, (design * (weights * half)) @ residual)[:2])
    return _Fit(
        shift=shift,
        sigma=float(np.sqrt(max(covariance[0, 0], covariance[1, 1]))),
        correlation=correlation,
        inliers=float((weights > 0.1).mean()),
        half_disagreement=float(np.hypot(*(steps[0] - steps[1]))) / 2,
        pixels=pixels,
    )
