"""Made-up ground and chips for the tests of this floor: fields, roads and roofs with soft edges, fixed by a seed."""

from datetime import UTC, datetime, timedelta

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy import ndimage
from shapely.geometry import box

from pipeline.model.bands import Band
from pipeline.model.imagery import Chip, DeclaredOffset, Granule, Level, Raster, Scene

BANDS = (Band.B02, Band.B03, Band.B04, Band.B08, Band.B11)
SIZE = 96
GRID = GeoBox((SIZE, SIZE), Affine(10, 0, 500_000, 0, -10, 4_500_000), "EPSG:32633")
VEGETATION = np.array([0.03, 0.06, 0.04, 0.35, 0.18])
SOIL = np.array([0.08, 0.12, 0.17, 0.25, 0.32])
CLOUD = np.array([0.55, 0.55, 0.55, 0.62, 0.45])
ROOF = np.array([0.42, 0.43, 0.44, 0.46, 0.42])


def ground(seed: int = 3) -> NDArray[np.float64]:
    """(band, row, col) reflectance: patches between vegetation and soil, texture of 20 m and up."""
    rng = np.random.default_rng(seed)
    soil = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 1.5)
    share = 1 / (1 + np.exp(-6 * soil / soil.std()))
    fine = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 1.0) * 0.1
    return (VEGETATION[:, None, None] * (1 - share) + SOIL[:, None, None] * share) * (1 + fine)


def chip(
    values: NDArray[np.float64], day: int, scl: NDArray[np.uint8] | None = None, grid: GeoBox = GRID
) -> tuple[Chip, ...]:
    """One look of the ground, `day` days after 2020-06-01, as DN with a little noise of its own."""
    when = datetime(2020, 6, 1, tzinfo=UTC) + timedelta(days=day)
    noise = np.random.default_rng(1000 + day).normal(0, 0.0015, values.shape)
    dn = np.where(np.isnan(values), 0, np.clip((np.nan_to_num(values) + noise) * 10_000, 1, 65_535)).astype(np.uint16)
    granule = Granule(
        id=f"g{day}",
        tile="33TXX",
        baseline="02.14",
        generated=None,
        declared_offset=DeclaredOffset(dn=0, reason="baseline 02.14"),
        assets={},
        scl=None,
        crs=None,
        footprint=box(14, 40, 16, 41),
    )
    scene = Scene(
        id=f"s{day:04d}",
        time=when,
        level=Level.L2A,
        platform=None,
        relative_orbit=None,
        collection="sentinel-2-l2a",
        granules=(granule,),
    )
    rasters = {band: Raster(grid=grid, data=plane) for band, plane in zip(BANDS, dn, strict=True)}
    return (Chip(scene=scene, granule=granule, dn=rasters, scl=None if scl is None else Raster(grid=grid, data=scl)),)


def painted(
    values: NDArray[np.float64], spectrum: NDArray[np.float64], where: NDArray[np.bool_], soft: float = 0.7
) -> NDArray[np.float64]:
    """The ground with a spectrum laid over some pixels, with an edge as soft as the sensor's."""
    share = ndimage.gaussian_filter(where.astype(float), soft)
    return values * (1 - share) + spectrum[:, None, None] * share


def patch(row: int, col: int, height: int, width: int) -> NDArray[np.bool_]:
    """(row, col) bool, True in one rectangle."""
    out = np.zeros((SIZE, SIZE), bool)
    out[row : row + height, col : col + width] = True
    return out
