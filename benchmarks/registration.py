"""Registration on real two-date city pairs: known sub-pixel shifts, beside scikit-image; and what must be refused.

The red band of both dates on one grid, decimated by 3 after whole-pixel offsets, so that the shift between two
decimations is known to a third of a pixel. error = estimate(shifted) - estimate(unshifted) - known.
"""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import Resampling, reproject
from skimage.registration import phase_cross_correlation

from pipeline.correct.alignment import estimate

CITIES = Path(__file__).resolve().parents[2] / "shared" / "data" / "oscd"
OFFSETS = ((1, 0), (0, 1), (2, 1), (-1, 1), (1, -2), (-2, -1), (4, 2), (-3, 4), (5, -5))
EDGE, STEP = 9, 3
Estimator = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float64]]


def ours(reference: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shift (row, col) by this project."""
    return np.array(estimate(reference, target, (reference > 0) & (target > 0)).shift)


def peer(normalization: str | None) -> Estimator:
    """scikit-image's phase correlation as documented, a Hann window, a hundredth of a pixel; sign turned to ours."""

    def run(reference: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
        window = np.outer(*(np.hanning(size) for size in reference.shape))
        one, two = (window * (image - image.mean()) for image in (reference, target))
        found = phase_cross_correlation(one, two, upsample_factor=100, normalization=normalization)
        return -np.asarray(found[0])

    return run


def pairs() -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
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


def errors(estimator: Estimator, images: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]) -> tuple[
    NDArray[np.float64], float
]:  # fmt: skip
    """Errors in pixels over all cities and offsets, and mean milliseconds an estimate."""
    found, seconds = [], []
    for before, after in images.values():
        reference = decimated(before, (0, 0))
        shifts = []
        for offset in ((0, 0), *OFFSETS):
            target = decimated(after, offset)
            began = time.perf_counter()
            shifts.append(estimator(reference, target))
            seconds.append(time.perf_counter() - began)
        # target sampled at x + shift: an image cut further down lies further up
        found += [
            shift - shifts[0] + np.array(offset) / STEP for shift, offset in zip(shifts[1:], OFFSETS, strict=True)
        ]
    return np.array(found), 1000 * float(np.mean(seconds))


def unrelated(images: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]], size: int = 128) -> tuple[int, int]:
    """(accepted, tried) over chips of different cities."""
    rng = np.random.default_rng(0)
    accepted = tried = 0
    for one, other in itertools.permutations(images, 2):
        for _ in range(6):
            chips = []
            for image in (images[one][0], images[other][1]):
                row, col = (int(rng.integers(0, side - size)) for side in image.shape)
                chips.append(image[row : row + size, col : col + size])
            accepted += estimate(*chips, np.ones((size, size), bool)).accepted
            tried += 1
    return accepted, tried


def main() -> str:
    """The table."""
    images = pairs()
    lines = [
        "## Registration, R1: known sub-pixel shifts on ten real pairs",
        "",
        f"`python -m benchmarks.registration`; {len(images)} cities, {len(OFFSETS)} shifts each, 107 to 332 px.",
        "",
        "| method | RMSE px | worst px | ms |",
        "|---|---|---|---|",
    ]
    methods = {"groundbreak": ours, "scikit-image, phase": peer("phase"), "scikit-image, no normalisation": peer(None)}
    for name, method in methods.items():
        error, milliseconds = errors(method, images)
        rmse, worst = np.sqrt((error**2).mean()), np.abs(error).max()
        lines.append(f"| {name} | {rmse:.4f} | {worst:.4f} | {milliseconds:.0f} |")
    accepted, tried = unrelated(images)
    lines += ["", f"Unrelated chips of 128 px: {accepted} of {tried} accepted (goal 0)."]
    return "\n".join(lines)


if __name__ == "__main__":
    print(main())
