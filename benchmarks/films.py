"""Films: how far the ground moves from one frame to the next, and how well that can be measured at all.

python -m benchmarks.films      needs nothing but the embedded archive and the extra `xarray`

The shift between two looks is measured as registration measures it, but from look to look instead of to the reference.
The floor is the error of the same measurement where the truth is known: the first look of a pair moved by a known
vector, plus noise with the power spectrum of the difference of the pair.

Whether looks that seem to be shifted are so is judged in three ways. By days: looks of one fortnight show the error of
each look's own registration, since their ground and their sun are nearly the same. By the other band: one position of
each look is fitted to all pairs of neighbours by least squares, in one band, and taken from the shifts that the other
one measures. By halves: a shift of a whole look is the same in the north and in the south of the site.
"""

import tempfile
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import groundbreak
from pipeline.correct.alignment import structure_images
from pipeline.correct.translation import fit_translation
from pipeline.review.strips import MAX_FRAMES

SITES = ("february-11-plant-simulated", "southern-carpathians")
AOIS = "aois/demo.geojson"
RED, INFRARED = "B04", "B08"
CLEAR = 0.8
"""Clear share, of the clearest look, from which a look counts."""
DAYS = ((0, 16), (17, 60), (61, 10_000))
"""Days between two frames, first and last of each row of the table."""
WINDOW_PX, STEP_PX = 40, 24
"""Side of the usual frame of a film, and the step from one to the next."""
WINDOW_PAIRS = 10
"""Every how many pairs of looks are measured window by window."""
NEIGHBOURS = 3
KNOWN_PX = 0.2
Array = NDArray[np.float64]
Shifts = dict[tuple[int, int], Array]
"""Pair of frames -> shift from one to the other."""


class Measured(NamedTuple):
    """Lengths in pixels: of the shifts from frame to frame, and of the errors at known shifts."""

    shifts: list[float]
    errors: list[float]

    def row(self, site: str, what: str) -> str:
        """A row of the table."""
        cells = [f"{np.median(v):.3f}, {np.quantile(v, 0.9):.3f}" for v in (self.shifts, self.errors)]
        return f"| {site} | {what} | {len(self.shifts)} | {cells[0]} | {cells[1]} |"


def main() -> str:
    """A markdown section."""
    rows, bands, apart = list[str](), list[str](), list[str]()
    for site in SITES:
        with tempfile.TemporaryDirectory() as out:
            stack = groundbreak.open_stack(site, sites=AOIS, out=out)
            share = stack.usable.mean(("y", "x"))
            wanted = np.flatnonzero(share > CLEAR * share.max())
            even = np.unique(np.linspace(0, len(wanted) - 1, MAX_FRAMES).round().astype(int))
            stack = stack.isel(time=wanted[even]).load()
        clear = stack.usable.values
        frames = {name: stack.reflectance.sel(band=name).values.astype(float) for name in (RED, INFRARED)}
        rows += [_whole(frames[name], clear).row(site, f"whole grid, {name}") for name in frames]
        rows.append(_windows(frames[RED], clear).row(site, f"{WINDOW_PX} px, {RED}"))
        shifts = {name: _shifts(each, clear) for name, each in frames.items()}
        bands += _by_the_other(site, shifts, len(clear))
        apart += _by_days(site, shifts, stack.time.values)
        apart.append(_by_halves(site, frames[RED], clear))
    return "\n".join([
        "## Films: shift from frame to frame",
        "",
        f"`python -m benchmarks.films`; {MAX_FRAMES} clear looks of each site, evenly chosen as for a film; from each",
        "to the next, median and 90 % in pixels. Floor: error of the measurement at known shifts, under noise like",
        "that of the pair.",
        "",
        "| site | ground | pairs | shift from frame to frame | floor |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"A position of each look fitted to the shifts between it and its {NEIGHBOURS} neighbours, by least squares.",
        "Closure: median of what the fit leaves. After: median shift in the band, less the positions of the other.",
        "",
        "| site | band | closure | before | after |",
        "|---|---|---|---|---|",
        *bands,
        "",
        "The same shifts by the days between two frames, and in halves of the site. Goal: 0.05 px.",
        "",
        f"| site | frames | pairs | {RED} | {INFRARED} |",
        "|---|---|---|---|---|",
        *apart,
    ])  # fmt: skip


def _whole(frames: Array, clear: NDArray[np.bool_]) -> Measured:
    """Consecutive looks on all ground that is clear in both."""
    rng = np.random.default_rng(31)
    found = Measured([], [])
    for (first, seen), (second, seen_too) in pairwise(zip(frames, clear, strict=True)):
        _add(found, first, second, seen & seen_too, rng)
    return found


def _windows(frames: Array, clear: NDArray[np.bool_]) -> Measured:
    """The same in windows of the size of a film."""
    rng = np.random.default_rng(32)
    found = Measured([], [])
    height, width = frames.shape[1:]
    for index in range(0, len(frames) - 1, WINDOW_PAIRS):
        for row in range(0, height - WINDOW_PX, STEP_PX):
            for col in range(0, width - WINDOW_PX, STEP_PX):
                part = slice(row, row + WINDOW_PX), slice(col, col + WINDOW_PX)
                both = (clear[index] & clear[index + 1])[part]
                if both.mean() > 0.9:
                    _add(found, frames[index][part], frames[index + 1][part], both, rng)
    return found


def _add(found: Measured, first: Array, second: Array, clear: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Measure a pair, and the same look moved by a known vector under noise like that of the pair."""
    shift = _shift(first, second, clear)
    known = rng.uniform(-KNOWN_PX, KNOWN_PX, 2)
    difference = np.where(clear, second - first, 0.0)
    whole = np.where(clear, first, np.median(first[clear]))
    moved = ndimage.shift(whole, known, order=3, mode="nearest") + _noise_like(difference - difference.mean(), rng)
    measured = _shift(first, moved, clear)
    if shift is not None and measured is not None:
        found.shifts.append(float(np.hypot(*shift)))
        found.errors.append(float(np.hypot(*(measured - known))))


def _shift(first: Array, second: Array, clear: NDArray[np.bool_]) -> Array | None:
    """The shift between two looks, without the checks that accept or refuse one; None where the fit does not settle."""
    pair = structure_images(first, second, clear)
    both = None if pair is None else fit_translation(*pair, clear)
    return None if both is None else (both[0].shift - both[1].shift) / 2


def _noise_like(difference: Array, rng: np.random.Generator) -> Array:
    """Noise with the power spectrum of an image."""
    phases = np.fft.fft2(rng.normal(size=difference.shape))
    return np.real(np.fft.ifft2(np.abs(np.fft.fft2(difference)) * phases / np.abs(phases)))


def _by_the_other(site: str, shifts: dict[str, Shifts], count: int) -> list[str]:
    """What the positions of the looks in one band are worth in the other."""
    fits = {name: _positions(found, count) for name, found in shifts.items()}
    rows = []
    for name, other in ((RED, INFRARED), (INFRARED, RED)):
        next_ones = _next_ones(shifts[name])
        places = fits[other][0]
        before = [np.hypot(*shift) for shift in next_ones.values()]
        after = [np.hypot(*(shift - (places[second] - places[first]))) for (first, second), shift in next_ones.items()]
        rows.append(f"| {site} | {name} | {fits[name][1]:.3f} | {np.median(before):.3f} | {np.median(after):.3f} |")
    return rows


def _next_ones(shifts: Shifts) -> Shifts:
    """The shifts from each frame to the next."""
    return {pair: shift for pair, shift in shifts.items() if pair[1] == pair[0] + 1}


def _by_days(site: str, shifts: dict[str, Shifts], times: NDArray[np.datetime64]) -> list[str]:
    """The shift from frame to frame by the time between them."""
    rows = []
    for first, last in DAYS:
        lengths = {
            name: [
                float(np.hypot(*shift))
                for (one, other), shift in _next_ones(found).items()
                if first <= (times[other] - times[one]) / np.timedelta64(1, "D") < last + 1
            ]
            for name, found in shifts.items()
        }
        cells = [f"{np.median(each):.3f}" if each else "" for each in lengths.values()]
        span = f"{first} to {last} days" if last < DAYS[-1][1] else f"{first} days and more"
        rows.append(f"| {site} | {span} apart | {len(lengths[RED])} | {' | '.join(cells)} |")
    return rows


def _by_halves(site: str, frames: Array, clear: NDArray[np.bool_]) -> str:
    """Median shift in the north, in the south, and of their difference: that of a shifted look would be 0."""
    middle = int(np.median(np.nonzero(clear.any(axis=(0, 2)))[0]))
    north = np.arange(clear.shape[1]) < middle
    found = []
    for (first, seen), (second, seen_too) in pairwise(zip(frames, clear, strict=True)):
        both = seen & seen_too
        pair = [_shift(first, second, both & half[:, None]) for half in (north, ~north)]
        if pair[0] is not None and pair[1] is not None:
            found.append([np.hypot(*pair[0]), np.hypot(*pair[1]), np.hypot(*(pair[0] - pair[1]))])
    lengths = np.median(found, axis=0)
    return (
        f"| {site} | north {lengths[0]:.3f}, south {lengths[1]:.3f}, difference | {len(found)} | {lengths[2]:.3f} | |"
    )


def _shifts(frames: Array, clear: NDArray[np.bool_]) -> Shifts:
    """The shift between each look and those that follow it."""
    found = {}
    for first in range(len(frames)):
        for second in range(first + 1, min(first + 1 + NEIGHBOURS, len(frames))):
            shift = _shift(frames[first], frames[second], clear[first] & clear[second])
            if shift is not None:
                found[first, second] = shift
    return found


def _positions(shifts: Shifts, count: int) -> tuple[Array, float]:
    """The position of each look, and the median of what the fit leaves of the shifts."""
    design = np.zeros((len(shifts) + 1, count))
    for row, (first, second) in enumerate(shifts):
        design[row, [first, second]] = -1.0, 1.0
    design[-1] = 1.0  # the mean position is 0
    wanted = np.array([*shifts.values(), np.zeros(2)])
    weights = np.ones(len(wanted))
    for _ in range(5):
        places = np.linalg.lstsq(design * weights[:, None], wanted * weights[:, None], rcond=None)[0]
        left = np.hypot(*(design @ places - wanted).T)
        weights = 1 / np.maximum(1.0, left / (3 * np.median(left) + 1e-9))
    return places, float(np.median(left[:-1]))


if __name__ == "__main__":
    print(main())
