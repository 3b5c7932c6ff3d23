"""Registration on real two-date city pairs: known sub-pixel shifts, beside its peers; and what must be refused.

The red band of both dates on one grid, decimated by 3 after whole-pixel offsets, so that the shift between two
decimations is known to a third of a pixel. error = estimate(shifted) - estimate(unshifted) - known.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import Resampling, reproject
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from benchmarks.drawing import blank, link
from benchmarks.peers import PeerMissingError, ask
from pipeline.correct.alignment import estimate_shift

CITIES = Path(__file__).resolve().parents[2] / "shared" / "data" / "oscd"
OFFSETS = ((1, 0), (0, 1), (2, 1), (-1, 1), (1, -2), (-2, -1), (4, 2), (-3, 4), (5, -5))
EDGE, STEP = 9, 3
Images = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
Answer = tuple[NDArray[np.float64], NDArray[np.float64]]
Estimator = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float64]]


def ours(reference: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shift (row, col) by this project."""
    return np.array(estimate_shift(reference, target, (reference > 0) & (target > 0)).shift)


def peer(normalization: str | None) -> Estimator:
    """scikit-image's phase correlation as documented, a Hann window, a hundredth of a pixel; sign turned to ours."""

    def run(reference: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
        window = np.outer(*(np.hanning(size) for size in reference.shape))
        one, two = (window * (image - image.mean()) for image in (reference, target))
        found = phase_cross_correlation(one, two, upsample_factor=100, normalization=normalization)
        return -np.asarray(found[0])

    return run


def pairs() -> Images:
    """Red band before and after, on the grid of before. Raises FileNotFoundError without the recorded data."""
    found = {}
    for city in sorted(path for path in CITIES.iterdir() if path.is_dir()):
        with rasterio.open(city / "before/B04.tif") as first, rasterio.open(city / "after/B04.tif") as second:
            before = first.read(1).astype(np.float32)
            after = np.zeros_like(before)
            target = {"dst_transform": first.transform, "dst_crs": first.crs}
            reproject(rasterio.band(second, 1), after, **target, resampling=Resampling.cubic)
        found[city.name] = (before, after)
    return found


def decimated(image: NDArray[np.float32], offset: tuple[int, int]) -> NDArray[np.float32]:
    """Block means of 3 x 3 after a whole-pixel offset (row, col)."""
    row, col = offset
    inner = image[EDGE + row : image.shape[0] - EDGE + row, EDGE + col : image.shape[1] - EDGE + col]
    rows, cols = (size // STEP * STEP for size in inner.shape)
    return inner[:rows, :cols].reshape(rows // STEP, STEP, cols // STEP, STEP).mean((1, 3))


@dataclass(frozen=True, slots=True)
class Case:
    """One decimated pair. known: shift in pixels from the unshifted pair of the same city."""

    reference: NDArray[np.float32]
    target: NDArray[np.float32]
    known: NDArray[np.float64]


def cases(images: Images) -> list[Case]:
    """All cities and offsets, each city's unshifted pair first."""
    # target sampled at x + shift: an image cut further down lies further up
    return [
        Case(decimated(before, (0, 0)), decimated(after, offset), -np.array(offset) / STEP)
        for before, after in images.values()
        for offset in ((0, 0), *OFFSETS)
    ]


def measured(estimator: Estimator, tried: list[Case]) -> Answer:
    """Shifts (case, 2) in pixels, and CPU seconds of each estimate."""
    shifts, seconds = [], []
    for case in tried:
        began = time.process_time()
        shifts.append(estimator(case.reference, case.target))
        seconds.append(time.process_time() - began)
    return np.array(shifts), np.array(seconds)


def arosics(tried: list[Case]) -> tuple[Answer, NDArray[np.float64]]:
    """The same by AROSICS, its CPU seconds without and with the making of its object.

    Raises PeerMissingError, and ValueError where a pair moved by (2, -3) pixels shows that its sign is not understood.
    """
    moved = ndimage.gaussian_filter(np.random.default_rng(0).uniform(500, 3000, (140, 160)), 1.5).astype(np.float32)
    control = Case(moved[10:-10, 10:-10], moved[8:-12, 13:-7], np.array((2.0, -3.0)))
    given = {
        f"{name}_{number}": getattr(case, name)
        for number, case in enumerate((control, *tried))
        for name in ("reference", "target")
    }
    answer = ask("registration", "arosics_peer.py", given)
    if not np.allclose(answer["shift"][0], control.known, atol=0.2):
        raise ValueError(f"AROSICS finds {answer['shift'][0]} where {control.known} was made")
    return (answer["shift"][1:], answer["alone"][1:]), answer["whole"][1:]


def errors(shifts: NDArray[np.float64], tried: list[Case]) -> NDArray[np.float64]:
    """shift - unshifted - known in pixels, (case, 2), without the unshifted pairs."""
    found = shifts.reshape(-1, len(OFFSETS) + 1, 2)
    known = np.array([case.known for case in tried]).reshape(found.shape)
    return (found - found[:, :1] - known)[:, 1:].reshape(-1, 2)


def unrelated(images: Images, size: int = 128) -> tuple[int, int]:
    """(accepted, tried) over chips of different cities."""
    rng = np.random.default_rng(0)
    accepted = tried = 0
    for one, other in itertools.permutations(images, 2):
        for _ in range(6):
            chips = []
            for image in (images[one][0], images[other][1]):
                row, col = (int(rng.integers(0, side - size)) for side in image.shape)
                chips.append(image[row : row + size, col : col + size])
            accepted += estimate_shift(*chips, np.ones((size, size), bool)).accepted
            tried += 1
    return accepted, tried


def main() -> str:
    """The table; draws the errors of each city."""
    images = pairs()
    lines = [
        "## Registration, R1: known sub-pixel shifts on ten real pairs",
        "",
        f"`python -m benchmarks.registration`; {len(images)} cities, {len(OFFSETS)} shifts each, 107 to 332 px.",
        "",
        "| method | RMSE px | worst px | CPU ms |",
        "|---|---|---|---|",
    ]
    tried = cases(images)
    methods = {"groundbreak": ours, "scikit-image, phase": peer("phase"), "scikit-image, no normalisation": peer(None)}
    found = {}
    for name, method in methods.items():
        shifts, seconds = measured(method, tried)
        found[name] = errors(shifts, tried)
        lines.append(_row(name, found[name], seconds))
    try:
        (shifts, seconds), whole = arosics(tried)
    except PeerMissingError as missing:
        lines.append(f"| AROSICS COREG | {missing} | | |")
    else:
        found["AROSICS"] = errors(shifts, tried)
        lines.append(_row(f"AROSICS COREG ({1000 * whole.mean():.0f} ms with its set-up)", found["AROSICS"], seconds))
    accepted, chips = unrelated(images)
    lines += [
        "",
        f"Unrelated chips of 128 px: {accepted} of {chips} accepted (goal 0).",
        "",
        _drawn(list(images), found),
    ]
    return "\n".join(lines)


def _row(name: str, error: NDArray[np.float64], seconds: NDArray[np.float64]) -> str:
    known = np.isfinite(error)
    lost = f" ({int((~known).any(1).sum())} not found)" if not known.all() else ""
    rmse, worst = np.sqrt((error[known] ** 2).mean()), np.abs(error[known]).max()
    return f"| {name}{lost} | {rmse:.4f} | {worst:.4f} | {1000 * seconds.mean():.0f} |"


def _drawn(cities: list[str], found: dict[str, NDArray[np.float64]]) -> str:
    """The error of every shift, city by city."""
    figure = blank(8, 4.2)
    axes = figure.subplots()
    each = np.repeat(np.arange(len(cities)), len(OFFSETS))
    for place, (name, error) in enumerate(found.items()):
        length = np.maximum(np.hypot(*error.T), 1e-4)
        axes.semilogy(each + 0.18 * (place - (len(found) - 1) / 2), length, ".", markersize=5, label=name)
    axes.set_xticks(range(len(cities)), cities, rotation=30, ha="right")
    axes.set_xticks(np.arange(len(cities) - 1) + 0.5, minor=True)
    axes.grid(axis="x", which="minor", color="0.85")
    axes.tick_params(axis="x", which="minor", length=0)
    axes.set(ylabel="length of the error, px", xlim=(-0.5, len(cities) - 0.5))
    figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    return link(figure, "registration", "error of every shift")


if __name__ == "__main__":
    print(main())
