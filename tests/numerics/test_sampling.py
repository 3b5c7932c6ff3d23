"""Images moved by a few taps: what the libraries give, which take longer."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy import ndimage

from pipeline.numerics.sampling import resample, shift_image

SHIFTS = ((0.0, 0.0), (0.3, -0.2), (-3.25, 7.9), (1.0, -2.0), (-0.004, 0.996))
GRID = GeoBox((50, 44), Affine(10, 0, 500_330, 0, -10, 4_999_670), "EPSG:32634")
SINGLE = 2e-6
"""Single precision, a few operations deep, of values up to 1."""


def image(rows: int, cols: int) -> np.ndarray:
    return np.random.default_rng(rows).uniform(0, 1, (rows, cols)).astype(np.float32)


def native(metres: float, side: int, crs: str = "EPSG:32634") -> GeoBox:
    return GeoBox((side, side), Affine(metres, 0, 500_000, 0, -metres, 5_000_000), crs)


def moved(shift: tuple[float, float]) -> GeoBox:
    return GeoBox(GRID.shape, GRID.affine @ Affine.translation(shift[1], shift[0]), GRID.crs)


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_moved_image_is_that_of_scipy(shift: tuple[float, float]) -> None:
    values, back = image(40, 57), (-shift[0], -shift[1])
    spline = ndimage.shift(values.astype(np.float64), back, order=3, mode="nearest")
    assert np.abs(shift_image(values, shift, 3) - spline).max() < SINGLE
    line = ndimage.shift(values.astype(np.float64), back, order=1, cval=0)
    inner = (slice(10, -10), slice(10, -10))
    assert np.abs(shift_image(values, shift, 1) - line)[inner].max() < SINGLE


def test_beyond_the_image_a_line_falls_to_nothing() -> None:
    found = shift_image(np.ones((9, 9), np.float32), (0.25, 0.0), 1)
    assert np.allclose(found[-1], 0.75) and np.allclose(found[:-1], 1)


@pytest.mark.parametrize("metres", [10.0, 20.0])
@pytest.mark.parametrize("shift", SHIFTS)
def test_a_native_image_comes_to_the_grid_as_a_warp_brings_it(metres: float, shift: tuple[float, float]) -> None:
    source, grid = native(metres, round(1200 / metres)), moved(shift)
    values, warped = image(*source.shape), np.full(GRID.shape, np.nan, np.float32)
    reproject(
        values, warped, src_transform=source.affine, src_crs="EPSG:32634", src_nodata=np.nan,
        dst_transform=grid.affine, dst_crs="EPSG:32634", dst_nodata=np.nan, resampling=Resampling.cubic,
    )  # fmt: skip
    found = resample(values, source, grid)
    assert found is not None and np.abs(found - warped).max() < SINGLE


def test_what_takes_more_than_a_few_taps_is_left_to_the_warp() -> None:
    holed = image(120, 120)
    holed[60, 60] = np.nan
    assert resample(holed, native(10, 120), GRID) is None
    assert resample(image(120, 120), native(10, 120, "EPSG:32633"), GRID) is None
    assert resample(image(80, 80), native(15, 80), GRID) is None
    assert resample(image(84, 84), native(10, 84), GRID) is None
    assert resample(image(120, 120), native(10, 120), moved((-33.0, 0.0))) is None
