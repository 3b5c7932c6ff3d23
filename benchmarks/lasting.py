"""New roofs, concrete, dark halls and white ground on real looks: from which look on the masks leave them usable.

Rows of `benchmarks.masks`. Ground and weather are the embedded archive; the texture of each object is a window of real
pixels of the city pairs, the one nearest to the wanted spectrum, mirrored to the size of the object.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from scipy import ndimage

from pipeline.correct.look import make_look
from pipeline.correct.persistence import unmask_persistent
from pipeline.correct.reference import Reference
from pipeline.model.bands import Band
from pipeline.model.imagery import Chip, Look, Raster
from pipeline.model.settings import Settings

BANDS = ("B02", "B03", "B04", "B08", "B8A", "B11")
WINDOW_PX = 10
SUMMER = ("20180721", "20180815", "20180825"), ("20190616", "20190701", "20190706", "20190711", "20190810")
AUTUMN = ("20180815", "20180825", "20180919"), ("20181004", "20181009", "20181014", "20190328", "20190402")
"""Days before and after the construction. In October the sun is 50 to 54 degrees off the zenith."""
CLOUD, SHADOW = 9, 3
ROOF, CONCRETE, WHITE, DARK = (
    np.array(spectrum)
    for spectrum in (
        (0.32, 0.33, 0.34, 0.36, 0.37, 0.34), (0.20, 0.22, 0.24, 0.26, 0.27, 0.29),
        (0.42, 0.43, 0.44, 0.46, 0.46, 0.42), (0.06, 0.06, 0.06, 0.08, 0.09, 0.09),
    )
)  # fmt: skip
OBJECTS: Mapping[str, tuple[NDArray[Any], tuple[int, int], int, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "bright roof, 0.1 ha": (ROOF, (3, 3), CLOUD, SUMMER),
    "bright roof, 1 ha": (ROOF, (10, 10), CLOUD, SUMMER),
    "bright roof, 25 ha": (ROOF, (50, 50), CLOUD, SUMMER),
    "fresh concrete, 4 ha": (CONCRETE, (20, 20), CLOUD, SUMMER),
    "white ground, 4 ha": (WHITE, (20, 20), CLOUD, SUMMER),
    "white ground, 13 ha": (WHITE, (36, 36), CLOUD, SUMMER),
    "dark hall, 1 ha, October": (DARK, (10, 10), SHADOW, AUTUMN),
    "dark hall, 4 ha, October": (DARK, (20, 20), SHADOW, AUTUMN),
}
SEED = 41
Clouded = Callable[[Chip, int], tuple[Chip, NDArray[np.bool_], NDArray[np.bool_]]]
"""A chip and its number in the series to the chip under drawn clouds, and where cloud and shadow are."""


def table(
    series: Mapping[str, Chip],
    reference: Reference,
    clouded: Clouded,
    cities: Path,
    settings: Settings,
) -> list[str]:
    """Markdown rows. clouded: lays drawn clouds over a chip. cities: folder of the city pairs."""
    windows = list(_windows(cities))
    lines = [
        "| object, called cloud or shadow by SCL in every look | usable alone, five looks | usable share in the newest "
        "look, with all looks so far | of drawn clouds over it, usable |",
        "|---|---|---|---|",
    ]
    for name, (spectrum, shape, scl, (before, after)) in OBJECTS.items():
        texture = min(windows, key=lambda each: float(np.abs(np.log(each.mean(axis=(1, 2)) / spectrum)).max()))
        rng = np.random.default_rng(SEED)
        built = [_built(series[day], texture, shape, scl, rng) for day in after]
        earlier = [_look(series[day], reference, settings) for day in before]
        looks = [_look(chip, reference, settings) for chip, _ in built]
        where = built[0][1]
        alone = [f"{each.usable[where].mean():.2f}" if each else "-" for each in looks]
        shares = []
        for count in range(1, len(looks) + 1):
            newest = looks[count - 1]
            known = [each for each in (*earlier, *looks[:count]) if each is not None]
            shares.append(
                "-" if newest is None else f"{unmask_persistent(known, settings)[-1].usable[where].mean():.2f}"
            )
        left = _cloud_left([chip for chip, _ in built], reference, clouded, settings)
        lines.append(f"| {name} | {' '.join(alone)} | {' '.join(shares)} | {left} |")
    return lines


def _windows(cities: Path) -> Iterator[NDArray[Any]]:
    """(band, 10, 10) windows of reflectance of all cities, five pixels apart."""
    for city in sorted(cities.iterdir()):
        if not (city / "after").is_dir():
            continue
        planes: list[NDArray[Any]] = []
        for band in BANDS:
            with rasterio.open(city / "after" / f"{band}.tif") as source:
                shape = planes[0].shape if planes else source.shape
                planes.append(source.read(1, out_shape=shape, resampling=Resampling.bilinear) / 1e4)
        stack = np.stack(planes)
        for row in range(0, stack.shape[1] - WINDOW_PX, 5):
            for col in range(0, stack.shape[2] - WINDOW_PX, 5):
                window = stack[:, row : row + WINDOW_PX, col : col + WINDOW_PX]
                if (window > 0).all():
                    yield window


def _built(
    chip: Chip, texture: NDArray[Any], shape: tuple[int, int], scl: int, rng: np.random.Generator
) -> tuple[Chip, NDArray[np.bool_]]:
    """The chip with the object in its middle, 5 % brighter or darker than in other looks, and where it is."""
    where = np.zeros((100, 100), bool)
    top, left = (50 - side // 2 for side in shape)
    where[top : top + shape[0], left : left + shape[1]] = True
    pad = [(0, 0), (top, 100 - top - WINDOW_PX), (left, 100 - left - WINDOW_PX)]
    ground = np.pad(texture, pad, mode="symmetric") * rng.uniform(0.95, 1.05)
    share, planes = ndimage.gaussian_filter(where.astype(float), 0.5), {}
    for (band, raster), over in zip(chip.dn.items(), _ordered(chip, ground), strict=True):
        weight = share
        if raster.data.shape != where.shape:
            over, weight = (part.reshape(50, 2, 50, 2).mean(axis=(1, 3)) for part in (over, weight))
        data = raster.data * (1 - weight) + 1e4 * over * weight + rng.normal(0, 20, over.shape) * weight
        planes[band] = Raster(grid=raster.grid, data=np.clip(data, 1, 65535).astype(np.uint16))
    assert chip.scl is not None
    classes = np.where(where, np.uint8(scl), chip.scl.data).astype(np.uint8)
    return replace(chip, dn=planes, scl=Raster(grid=chip.scl.grid, data=classes)), where


def _ordered(chip: Chip, planes: NDArray[Any]) -> list[NDArray[Any]]:
    return [planes[[Band(name) for name in BANDS].index(band)] for band in chip.dn]


def _look(chip: Chip, reference: Reference, settings: Settings) -> Look | None:
    found = make_look((chip,), reference, settings)
    return found if isinstance(found, Look) else None


def _cloud_left(chips: Sequence[Chip], reference: Reference, clouded: Clouded, settings: Settings) -> str:
    """Share of drawn clouds that is usable when they pass over the object, with all looks."""
    pasted = [clouded(chip, index) for index, chip in enumerate(chips)]
    looks = [(_look(chip, reference, settings), cloud) for chip, cloud, _ in pasted]
    kept = [(look, cloud) for look, cloud in looks if look is not None]
    freed = unmask_persistent([look for look, _ in kept], settings)
    usable = sum(float(look.usable[cloud].sum()) for look, (_, cloud) in zip(freed, kept, strict=True))
    return f"{usable / sum(float(cloud.sum()) for _, cloud in kept):.3f}"
