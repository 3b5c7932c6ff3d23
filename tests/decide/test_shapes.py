"""Outlines: the edges of an object run where the step of single pixels shows them."""

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from scipy import ndimage
from shapely.geometry import box

from pipeline.decide.shapes import shape_of, sharpen_edges

GRID = GeoBox.from_bbox((0, 0, 400, 400), "EPSG:32652", resolution=10)
STEP = np.array([0.02, 0.03, 0.05, -0.04])
"""Of a material, by band."""


def _built(width: int, length: int) -> np.ndarray:
    """(row, col) share of each pixel that a building covers, as the sensor's footprint shows it."""
    cover = np.zeros(GRID.shape)
    cover[15 : 15 + width, 12 : 12 + length] = 1
    return ndimage.gaussian_filter(cover, 0.5)


@pytest.mark.parametrize(("width", "length"), [(2, 4), (3, 6), (6, 10), (12, 15)])
def test_a_building_is_outlined_as_large_as_it_is(width: int, length: int) -> None:
    cover, noise = _built(width, length), np.random.default_rng(width).normal(0, 0.002, (4, *GRID.shape))
    smooth = ndimage.gaussian_filter(cover, 1.0)
    smooth /= smooth.max()
    where = smooth > 0.5
    core = smooth > 0.75
    share = np.where(ndimage.binary_dilation(where, iterations=2), smooth, 0)
    true = box(120, 400 - 150 - 10 * width, 120 + 10 * length, 400 - 150)
    before = shape_of(share, where, core, GRID)
    after = shape_of(sharpen_edges(share, where, core, STEP[:, None, None] * cover + noise), where, core, GRID)
    assert before is not None
    assert after is not None
    iou = [each.outline.intersection(true).area / each.outline.union(true).area for each in (before, after)]
    assert iou[1] > max(iou[0], 0.7)
    assert after.area_m2 == pytest.approx(true.area, rel=0.35 if width == 2 else 0.2)


def test_ground_inside_and_ground_that_is_not_known_keep_their_share() -> None:
    cover = _built(12, 15)
    where = cover > 0.5
    share = np.where(ndimage.binary_dilation(where, iterations=2), cover, 0)
    step = STEP[:, None, None] * cover
    step[:, 20, 18] = -STEP
    step[:, 15, 14] = np.nan
    sharp = sharpen_edges(share, where, where, step)
    assert sharp[20, 18] == share[20, 18]
    assert sharp[15, 14] >= share[15, 14]
    assert not sharp[~ndimage.binary_dilation(where, np.ones((3, 3)))].any()


def test_without_a_step_of_single_pixels_the_shares_stay() -> None:
    cover = _built(6, 10)
    where = cover > 0.5
    for step in (np.full((4, *GRID.shape), np.nan), np.zeros((4, *GRID.shape))):
        assert np.array_equal(sharpen_edges(cover, where, where, step), cover)
