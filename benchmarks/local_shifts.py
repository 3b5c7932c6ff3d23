"""Local shifts: whether patches of two real dates disagree with their one shift, and what moving by them is worth.

python -m benchmarks.local_shifts      needs the recorded city pairs beside the checkout

The shift of each patch in one band, less that of the whole chip, makes a field, drawn to nothing where it is no more
than its own uncertainty. Ground that lies elsewhere lies elsewhere in every band: a field is judged in another band
than the one it was found in, on ground that the labels call unchanged.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from matplotlib.patches import Patch
from numpy.typing import NDArray
from rasterio.warp import Resampling, reproject
from scipy import ndimage

from benchmarks.drawing import blank, link
from benchmarks.pairs import average_precision
from pipeline.correct.alignment import estimate_shift
from pipeline.correct.normalise import apply_radiometry, fit_radiometry
from pipeline.model.bands import Band
from pipeline.pair.score import score_pair

CITIES = Path(__file__).resolve().parents[2] / "shared" / "data" / "oscd"
BANDS = (Band.B02, Band.B03, Band.B04, Band.B08)
RED, INFRARED = BANDS.index(Band.B04), BANDS.index(Band.B08)
PATCH, MAX_SIGMA_PX, LEAST_PATCHES = 96, 0.3, 6
SPREAD_LABELS = 3
"""Pixels around a labelled change that count as changed too."""
Array = NDArray[np.float32]
COLOURS, PATCH_LONG_PX = ("tab:red", "tab:purple"), 0.25


class City(NamedTuple):
    """before, after: (band, row, col) DN on one grid; changed: (row, col)."""

    name: str
    before: Array
    after: Array
    changed: NDArray[np.bool_]


class Vectors(NamedTuple):
    """Of each patch, (patch row, patch col): shift less that of the chip, (row, col) px; its sigma, infinite = refused.

    spread: beyond what sigma explains, px an axis.
    """

    off: NDArray[np.float64]
    sigma: NDArray[np.float64]
    spread: float


def main() -> str:
    """A markdown section; draws the vectors of two cities."""
    if not CITIES.is_dir():
        raise FileNotFoundError("local shifts: the city pairs are not beside this checkout")
    rows, scores, drawn = [], [], []
    for path in sorted(path for path in CITIES.iterdir() if path.is_dir()):
        city = _city(path)
        shift = estimate_shift(city.before[RED], city.after[RED], _clear(city)).shift
        found = {band: vectors(city, band, shift) for band in (RED, INFRARED)}
        if found[RED] is None or found[INFRARED] is None:
            continue
        drawn.append((city.name, found))
        fields = {band: _field(each, city.changed.shape) for band, each in found.items()}
        still, by_red = _moved(city, shift, None), _moved(city, shift, fields[RED])
        by_infrared = _moved(city, shift, fields[INFRARED])
        gains = [
            100 * (_left(city, moved, band) / _left(city, still, band) - 1)
            for moved, band in ((by_red, INFRARED), (by_infrared, RED))
        ]
        scores.append((city.changed, _scored(city, still), _scored(city, by_red)))
        rows.append(
            f"| {city.name} | {np.isfinite(found[RED].sigma).sum()} | {_typical(found[RED]):.3f} "
            f"| {found[RED].spread:.3f}, {found[INFRARED].spread:.3f} | {_agreement(found):+.2f} "
            f"| {gains[0]:+.2f} % | {gains[1]:+.2f} % |"
        )
    labels, plain, warped = (np.concatenate([each[part].ravel() for each in scores]) for part in range(3))
    return "\n".join([
        "## Registration: local shifts",
        "",
        f"`python -m benchmarks.local_shifts`; patches of {PATCH} px of real two-date pairs, each registered on",
        "its own, less the shift of the whole. Spread: of the patches, an axis, beyond what their own uncertainty",
        "explains. Alike: correlation of the vectors of red and infrared. Residual: of one band moved by the vectors",
        "of the other, beside one shift alone, median over unchanged ground; below 0 = the vectors help.",
        "",
        "| city | patches | their sigma px | spread px: red, infrared | alike | infrared's residual by red | red's by "
        "infrared |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"Pooled AP of the pair's score, four bands: {average_precision(plain, labels):.4f} by one shift, "
        f"{average_precision(warped, labels):.4f} by the vectors of red.",
        "",
        _drawn(drawn),
    ])  # fmt: skip


def vectors(city: City, band: int, shift: tuple[float, float]) -> Vectors | None:
    """The field of one band; None where fewer than LEAST_PATCHES patches can be registered."""
    shape = [side // PATCH for side in city.changed.shape]
    clear = _clear(city)
    off, sigma = np.zeros((*shape, 2)), np.full(shape, np.inf)
    for row, col in np.ndindex(*shape):
        cut = (slice(row * PATCH, (row + 1) * PATCH), slice(col * PATCH, (col + 1) * PATCH))
        found = estimate_shift(city.before[band][cut], city.after[band][cut], clear[cut])
        if 0 < found.sigma_px < MAX_SIGMA_PX and np.hypot(*np.subtract(found.shift, shift)) < 1:
            off[row, col], sigma[row, col] = found.shift, found.sigma_px
    known = np.isfinite(sigma)
    if known.sum() < LEAST_PATCHES:
        return None
    weight = 1 / sigma[known] ** 2
    off[known] -= np.average(off[known], axis=0, weights=weight)
    excess = np.average((off[known] ** 2).mean(axis=-1) - sigma[known] ** 2, weights=weight)
    return Vectors(off, sigma, float(np.sqrt(max(excess, 0))))


def _city(path: Path) -> City:
    with rasterio.open(path / "label.tif") as source:
        changed = source.read(1) > 0
    with rasterio.open(path / "before" / "B04.tif") as source:
        grid = {"dst_transform": source.transform, "dst_crs": source.crs, "resampling": Resampling.cubic}
    sides = []
    for side in ("before", "after"):
        planes = np.zeros((len(BANDS), *changed.shape), np.float32)
        for band, plane in zip(BANDS, planes, strict=True):
            with rasterio.open(path / side / f"{band}.tif") as source:
                reproject(rasterio.band(source, 1), plane, **grid)
        sides.append(planes)
    return City(path.name, *sides, changed)


def _clear(city: City) -> NDArray[np.bool_]:
    return np.asarray((city.before[RED] > 0) & (city.after[RED] > 0))


def _field(found: Vectors, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(2, row, col) px: each vector drawn to nothing by as much of it as may be chance, linear between patches."""
    sure = found.spread**2 / (found.spread**2 + found.sigma**2)
    places = np.meshgrid(*((np.arange(side) + 0.5) / PATCH - 0.5 for side in shape), indexing="ij")
    return np.stack([
        ndimage.map_coordinates(sure * found.off[..., axis], places, order=1, mode="nearest") for axis in (0, 1)
    ])  # fmt: skip


def _moved(city: City, shift: tuple[float, float], field: NDArray[np.float64] | None) -> Array:
    """The later date sampled at x + shift, and further by the field."""
    by = np.zeros((2, *city.changed.shape)) if field is None else field
    places = np.indices(city.changed.shape) + by + np.reshape(shift, (2, 1, 1))
    return np.stack([ndimage.map_coordinates(plane, places, order=3, mode="nearest") for plane in city.after])


def _judged(city: City) -> NDArray[np.bool_]:
    """Unchanged ground well inside."""
    inner = ndimage.binary_erosion(_clear(city), iterations=10)
    return np.asarray(inner & ~ndimage.binary_dilation(city.changed, iterations=SPREAD_LABELS))


def _left(city: City, moved: Array, band: int) -> float:
    """Median size of what is left between the two dates' detail, of one spread each."""
    judged = _judged(city)
    details = []
    for image in (city.before[band], moved[band]):
        fine, coarse = (ndimage.gaussian_filter(image, sigma) for sigma in (1.3, 6.0))
        detail = (fine - coarse) / np.sqrt(ndimage.gaussian_filter((fine - coarse) ** 2, 6.0) + 1)
        details.append(detail[judged])
    one, two = details
    return float(np.median(np.abs(one - two * (one @ two) / (two @ two))))


def _scored(city: City, moved: Array) -> Array:
    before, after, clear = city.before / 1e4, moved / 1e4, _clear(city)
    found = fit_radiometry(after, before, clear)
    return score_pair(BANDS, before, after if found is None else apply_radiometry(after, found), clear)


def _typical(found: Vectors) -> float:
    return float(np.median(found.sigma[np.isfinite(found.sigma)]))


def _agreement(found: dict[int, Vectors]) -> float:
    one, two = found[RED], found[INFRARED]
    both = np.isfinite(one.sigma) & np.isfinite(two.sigma)
    return float(np.corrcoef(one.off[both].ravel(), two.off[both].ravel())[0, 1]) if both.sum() > 2 else float("nan")


def _drawn(cities: list[tuple[str, dict[int, Vectors]]]) -> str:
    """The vectors of red and infrared over each other, for the cities where they agree most and least."""
    ordered = sorted(cities, key=lambda each: -np.nan_to_num(_agreement(each[1])))
    figure = blank(9, 4.8)
    for axes, (name, found) in zip(figure.subplots(1, 2), (ordered[0], ordered[-1]), strict=True):
        for each, colour in zip(found.values(), COLOURS, strict=True):
            row, col = np.nonzero(np.isfinite(each.sigma))
            down, right = each.off[row, col].T
            axes.quiver(col, row, right, down, color=colour, angles="xy", scale_units="xy", scale=PATCH_LONG_PX)
        rows, cols = found[RED].sigma.shape
        axes.set(title=f"{name}, alike {_agreement(found):+.2f}", aspect="equal", xlim=(-1, cols), ylim=(rows, -1))
        axes.set_xticks([])
        axes.set_yticks([])
    handles = [Patch(color=colour, label=what) for colour, what in zip(COLOURS, ("red", "infrared"), strict=True)]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8)
    figure.supxlabel(f"an arrow from one patch to the next is {PATCH_LONG_PX} px", fontsize=9)
    return link(figure, "local_shifts", "vectors of patches in two bands")


if __name__ == "__main__":
    print(main())
