"""Registration: one translation between two images of the same ground, and whether to believe it."""

from dataclasses import dataclass
from functools import partial
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
FIT_PIXELS, ROUGH_PIXELS, ROUGH_STEP_PX = 300_000, 12_000, 2e-3
"""Larger chips are fitted on every second, third ... row; the first turns, and how far they go, on fewer still."""
MAX_TURNS, STEP_PX = 25, 3e-4
CLEARANCE_PX, BLOCK_PX, MEDIAN_OF = 2, 8, 8192
"""What is fitted keeps away from what is not clear; sides of the blocks dealt out to the two halves of the chip; values
that a median is taken of, at least."""
MIN_FIT_PIXELS = 50
_smooth = partial(ndimage.gaussian_filter, truncate=3.0)


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
    shares = _shares(clear)
    first, second = _structure(reference, clear, shares), _structure(target, clear, shares)
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
    settled = np.clip(1 - halves / (2 * options.max_half_disagreement_px), 0, 1)
    sure = np.clip(1 - sigma / (2 * options.max_sigma_px), 0, 1)
    trust = np.clip(correlation, 0, 1) * settled * sure
    return Alignment(
        shift=(float(shift[0]), float(shift[1])),
        accepted=not reason,
        reliability=float(trust) if not reason else float(min(trust, 0.49)),
        sigma_px=sigma,
        reason=reason,
    )


def _shares(clear: NDArray[np.bool_]) -> tuple[Array, Array]:
    """How much of each smoothing footprint, fine and coarse, is clear."""
    if clear.all():
        return np.ones((1, 1), np.float32), np.ones((1, 1), np.float32)
    fine, coarse = (_smooth(clear.astype(np.float32), sigma) for sigma in BAND_PASS_PX)
    return np.maximum(fine, 1e-3), np.maximum(coarse, 1e-3)


def _middle(values: Array) -> float:
    """Median, of a regular sample where there are many: a thousandth is near enough."""
    flat = values.reshape(-1)
    return float(np.median(flat[:: max(flat.size // MEDIAN_OF, 1)]))


def _structure(image: Array, clear: NDArray[np.bool_], shares: tuple[Array, Array]) -> Array | None:
    """Band-pass over local contrast, 0 where not clear; None where there is no contrast at all."""
    level = _middle(image[clear])
    filled = np.where(clear, image - level, 0).astype(np.float32)
    scale = float(np.abs(filled).max()) + abs(level)
    fine, coarse = BAND_PASS_PX
    band = np.where(clear, _smooth(filled, fine) / shares[0] - _smooth(filled, coarse) / shares[1], 0)
    contrast = np.sqrt(_smooth(band * band, coarse) / shares[1])
    typical = _middle(contrast[clear])
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
    level = _middle(surface)
    height = float(window[at] - level) / max(MAD_TO_SIGMA * _middle(np.abs(surface - level)), 1e-12)
    return (int(at[0] - radius[0]), int(at[1] - radius[1])), height


def _refine(fixed: Array, moving: Array, clear: NDArray[np.bool_], start: tuple[int, int]) -> _Fit | None:
    """Sub-pixel fit of (row, col, gain, offset) from a whole-pixel start: on few rows first, on all of them to end."""
    coefficients = np.asarray(ndimage.spline_filter(moving, order=3, mode="mirror", output=np.float32))
    edge = int(np.ceil(np.abs(start).max())) + 3
    if min(fixed.shape) <= 2 * edge + 8:
        return None
    across = slice(edge, fixed.shape[1] - edge)
    chosen = _chosen(clear, start, (slice(edge, fixed.shape[0] - edge), across))
    pixels = int(chosen.sum())
    if pixels < MIN_FIT_PIXELS:
        return None
    state, rest = np.array([*start, 1.0, 0.0]), (fixed, fixed, fixed)
    for few, step_px, widen in ((ROUGH_PIXELS, ROUGH_STEP_PX, 3.0), (FIT_PIXELS, STEP_PX, 1.0)):
        every = 1 + pixels // few
        inner = (slice(edge, fixed.shape[0] - edge, every), across)
        solved = _settled(fixed[inner], coefficients, chosen[::every], inner, (start, state), (step_px, widen))
        if solved is None:
            return None
        state, rest = solved[0], solved[1:]
    if state[2] <= 0:
        return None
    return _assessed(state[:2], rest, chosen[::every], every, pixels)


def _settled(
    fixed: Array,
    coefficients: Array,
    chosen: NDArray[np.bool_],
    inner: tuple[slice, slice],
    begin: tuple[tuple[int, int], Array],
    until: tuple[float, float],
) -> tuple[Array, Array, Array, Array] | None:
    """(state, design, weights, residual) where reweighted least squares comes to rest; None where it runs away.

    begin: the whole-pixel start, which it may not leave by more than 1.5 px, and the state to go on from.
    until: the step in px below which it rests, and how much wider than Tukey's the weights begin.
    """
    goal, (start, state), (step_px, widen) = fixed[chosen], begin, until
    for _ in range(MAX_TURNS):
        shift, gain, offset = state[:2], state[2], state[3]
        value, by_row, by_col = (part[chosen] for part in _sample(coefficients, shift, inner))
        residual = goal - np.float32(gain) * value - np.float32(offset)
        scale = MAD_TO_SIGMA * _middle(np.abs(residual - _middle(residual)))
        weights = np.maximum(1 - (residual / np.float32(TUKEY_C * widen * max(scale, 1e-6))) ** 2, 0) ** 2
        design = np.stack([np.float32(gain) * by_row, np.float32(gain) * by_col, value, np.ones_like(value)])
        normal = ((design * weights) @ design.T).astype(np.float64)
        if not np.isfinite(normal).all() or np.linalg.cond(normal) > 1e10:
            return None
        step = np.linalg.solve(normal, (design * weights) @ residual)
        length = float(np.hypot(step[0], step[1]))
        step[:2] *= min(1.0, 0.7 / max(length, 1e-12))
        state = state + step
        if float(np.abs(state[:2] - start).max()) > 1.5:
            return None
        if widen == 1.0 and length < step_px:
            break
        widen = max(1.0, widen / 1.7)
    return state, design, weights, residual


def _chosen(clear: NDArray[np.bool_], start: tuple[int, int], inner: tuple[slice, slice]) -> NDArray[np.bool_]:
    """Where both images are clear under the start shift, CLEARANCE_PX from anything that is not."""
    moved = np.zeros_like(clear)
    rows, cols = clear.shape
    down, right = start
    moved[max(-down, 0) : rows - max(down, 0), max(-right, 0) : cols - max(right, 0)] = clear[
        max(down, 0) : rows - max(-down, 0), max(right, 0) : cols - max(-right, 0)
    ]
    return np.asarray(ndimage.binary_erosion(clear & moved, iterations=CLEARANCE_PX)[inner])


def _sample(coefficients: Array, shift: Array, inner: tuple[slice, slice]) -> tuple[Array, Array, Array]:
    """Cubic spline and its row and column slopes at x + shift; a constant shift makes it a 4-tap filter an axis."""
    whole = np.floor(shift).astype(int)
    part = shift - whole
    row_taps, row_slopes = _taps(part[0])
    col_taps, col_slopes = _taps(part[1])
    rows, cols = inner
    lines = [coefficients[rows.start + whole[0] + k : rows.stop + whole[0] + k : rows.step] for k in (-1, 0, 1, 2)]
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
    every: int,
    pixels: int,
) -> _Fit | None:
    """Uncertainty, correlation and agreement of two interleaved halves of the chip at the solution."""
    design, weights, residual = solved
    normal = (design * weights) @ design.T
    variance = float((weights * residual**2).sum() / max(weights.sum(), 1e-9))
    # neighbours within the band-pass are not independent: each sigma-1 footprint counts once
    covariance = np.linalg.inv(normal) * variance * max(4 * np.pi * BAND_PASS_PX[0] ** 2 / every, 1.0)
    model = design[2]
    total = weights.sum()
    spread = [np.sqrt((weights * (x - (weights * x).sum() / total) ** 2).sum() / total) for x in (model, residual)]
    correlation = float(1 / np.sqrt(1 + (spread[1] / max(spread[0], 1e-9)) ** 2))
    row, col = np.nonzero(chosen)
    even = (row * every // BLOCK_PX + col // BLOCK_PX) % 2 == 0
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
        half_disagreement=float(np.hypot(*(steps[0] - steps[1]))) / 2,
        pixels=pixels,
    )
