"""A series of small chips of three bands without SCL, in which 3 ha change; shifts and clouds are known."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.transform import from_origin
from scipy import ndimage

from pipeline.model.grid import site_grid
from pipeline.model.site import Site
from pipeline.study.catalogue_writer import write_catalogue, write_item

KEYS = ("blue", "green", "red")
SHAPE = (31, 56)
GRID = GeoBox(SHAPE, from_origin(500_000, 4_500_000, 10, 10), "EPSG:32633")
BARE, GREEN = np.array([0.070, 0.100, 0.130]), np.array([0.035, 0.065, 0.045])
BUILT, CLOUD = np.array([0.050, 0.060, 0.065]), np.array([0.45, 0.45, 0.46])
CHANGED = (slice(8, 23), slice(20, 40))
"""15 x 20 pixels: 3 ha."""
PAD_PX, SHIFT_PX, DAYS = 8, 0.35, 12


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A written series. clear: share of each look without cloud. shifts: (look, 2) px, row and column."""

    site: Site
    times: tuple[datetime, ...]
    clear: NDArray[np.float64]
    shifts: NDArray[np.float64]
    built_from: int


def write_series(folder: Path, looks: int = 36, built_from: int = 20, seed: int = 7) -> Series:
    """Write `looks` dates as a static catalogue into a folder; the change is complete from look `built_from` on."""
    rng = np.random.default_rng(seed)
    cover, relief = _fractal(rng, 1.3), _fractal(rng, 0.9)
    shifts = rng.normal(0, SHIFT_PX, (looks, 2))
    clouded = set(rng.permutation(looks)[: looks // 4].tolist())
    items, times, clear = [], [], []
    for index in range(looks):
        time = datetime(2019, 1, 10, 10, 30, tzinfo=UTC) + timedelta(days=DAYS * index)
        values = _ground(cover, relief, time, index >= built_from)
        values = np.stack([ndimage.shift(plane, shifts[index], order=5, mode="nearest") for plane in values])
        values = values[:, PAD_PX:-PAD_PX, PAD_PX:-PAD_PX]
        # one cloud of each four covers everything
        cloud = _cloud(rng, 1.0 if index in sorted(clouded)[::4] else rng.uniform(0.2, 0.7)) * (index in clouded)
        values = values * (1 - cloud) + CLOUD[:, None, None] * cloud
        values = values * rng.normal(1, 0.04) + rng.normal(0.004, 0.002) + rng.normal(0, 0.002, values.shape)
        dn = np.clip(np.round(values * 10_000), 1, 65_535).astype(np.uint16)
        assets = {key: (plane, GRID) for key, plane in zip(KEYS, dn, strict=True)}
        items.append(write_item(folder, f"look-{time:%Y%m%d}", time, assets, {"s2:product_type": "S2MSI2A"}))
        times.append(time)
        clear.append(float((cloud < 0.05).mean()))
    catalog = write_catalogue(folder, "small", "Small chips", "made for a test", items)
    aoi = Geometry(GRID.extent.geom, str(GRID.crs)).to_crs("EPSG:4326").geom
    site = Site(id="small", name="Small chips", aoi=aoi, grid=site_grid(aoi), catalog=str(catalog))
    return Series(site=site, times=tuple(times), clear=np.array(clear), shifts=shifts, built_from=built_from)


def _fractal(rng: np.random.Generator, slope: float) -> NDArray[np.float64]:
    """A field with a power spectrum that falls as frequency^(-2 * slope), mean 0 and spread 1."""
    rows, cols = (size + 2 * PAD_PX for size in SHAPE)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(rows), np.fft.fftfreq(cols), indexing="ij"))
    frequency[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((rows, cols))) / frequency**slope).real
    return np.asarray((field - field.mean()) / field.std())


def _ground(
    cover: NDArray[np.float64], relief: NDArray[np.float64], time: datetime, built: bool
) -> NDArray[np.float64]:
    """(band, row, col) reflectance with PAD_PX around: a mixture of bare and green that follows the season."""
    season = 0.5 - 0.5 * np.cos(2 * np.pi * (time.timetuple().tm_yday - 20) / 365.25)
    green = (1 / (1 + np.exp(-1.5 * cover))) * (0.3 + 0.7 * season)
    values = BARE[:, None, None] * (1 - green) + GREEN[:, None, None] * green
    values = values * (1 + 0.12 * relief)
    if built:
        rows, cols = (slice(part.start + PAD_PX, part.stop + PAD_PX) for part in CHANGED)
        values[:, rows, cols] = BUILT[:, None, None] * (1 + 0.05 * relief[rows, cols])
    return np.asarray(ndimage.gaussian_filter(values, (0, 0.6, 0.6)))


def _cloud(rng: np.random.Generator, share: float) -> NDArray[np.float64]:
    """Opacity 0..1 of a cloud with soft edges over a share of the chip."""
    field = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 6)
    edge = np.quantile(field, 1 - share) if share < 1 else field.min() - 1
    return np.asarray(np.clip((field - edge) / field.std() * 3, 0, 1))
