"""Outlines: half covered pixels, their error, the edge of what stood there before, and regions by hysteresis."""

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin
from shapely.geometry import MultiPolygon, box

from pipeline.decide.shapes import DIRECTION_ERROR, SHARE_ERROR, _lag_contrast, edges_of, shape_of
from pipeline.numerics.vectorise import contour, label_regions, outlines

GRID = GeoBox((30, 40), from_origin(1000, 5000, 10, 10), "EPSG:32634")


def share_of(*parts: tuple[slice, slice, float]) -> np.ndarray:
    share = np.zeros(GRID.shape)
    for rows, cols, value in parts:
        share[rows, cols] = value
    return share


def test_a_covered_block_has_the_outline_of_its_pixels_but_for_the_corners() -> None:
    found = contour(share_of((slice(5, 11), slice(8, 20), 1.0)), GRID)
    assert found is not None
    assert found.bounds == pytest.approx((1080, 4890, 1200, 4950))
    assert found.area == pytest.approx(120 * 60, rel=0.03)
    assert found.symmetric_difference(box(1080, 4890, 1200, 4950)).area < 0.03 * found.area


def test_a_block_at_the_border_of_the_grid_is_closed() -> None:
    found = contour(share_of((slice(0, 4), slice(36, 40), 1.0)), GRID)
    assert found is not None and found.area == pytest.approx(1600, rel=0.1)
    assert found.bounds == pytest.approx((1360, 4960, 1400, 5000))


def test_a_yard_is_a_hole_and_what_stands_in_the_yard_is_a_part() -> None:
    ring = share_of((slice(4, 24), slice(4, 24), 1.0), (slice(8, 20), slice(8, 20), 0.0))
    with_hut = ring.copy()
    with_hut[12:16, 12:16] = 1
    one, two = contour(ring, GRID), contour(with_hut, GRID)
    assert one is not None and len(one.interiors) == 1
    assert one.area == pytest.approx(40_000 - 14_400, rel=0.02)
    assert isinstance(two, MultiPolygon) and two.area == pytest.approx(one.area + 1600, rel=0.02)


def test_two_blocks_are_two_parts_and_less_than_half_is_nothing() -> None:
    two = contour(share_of((slice(2, 6), slice(2, 6), 1.0), (slice(12, 20), slice(12, 20), 1.0)), GRID)
    assert isinstance(two, MultiPolygon)
    assert sorted(part.area for part in two.geoms) == pytest.approx([1600, 6400], rel=0.06)
    assert contour(share_of((slice(5, 11), slice(8, 20), 0.49)), GRID) is None
    assert contour(share_of(), GRID) is None


def test_a_shape_has_its_area_and_the_error_of_its_edge_and_of_all_shares() -> None:
    share = share_of((slice(5, 11), slice(8, 20), 1.7), (slice(11, 12), slice(8, 20), 0.5))
    where, core = share > 0.5, share > 1
    found = shape_of(share, where, core, GRID)
    assert found is not None
    assert found.area_m2 == found.outline.area and 7000 < found.area_m2 < 7900, "no pixel counts more than once"
    expected = 100 * np.sqrt(12 * SHARE_ERROR**2 + (DIRECTION_ERROR * 72) ** 2)
    assert found.area_error_m2 == pytest.approx(expected)
    assert found.window == (slice(0, 30), slice(0, 40))
    assert found.where is where and found.core is core
    assert shape_of(0.4 * where, where, core, GRID) is None


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_an_edge_pixel_is_neither_bare_nor_covered(share: float) -> None:
    plane = share_of((slice(5, 11), slice(8, 20), 1.0), (slice(11, 12), slice(8, 20), share))
    found = shape_of(plane, plane > 0.5, plane > 0.5, GRID)
    assert found is not None
    assert found.area_error_m2 == pytest.approx(100 * DIRECTION_ERROR * (plane > 0.5).sum())


def ground_with(plot: tuple[slice, slice], level: float, noise: float = 0.01) -> np.ndarray:
    """(band, row, col): textured ground, a plot of another brightness."""
    mean = np.random.default_rng(2).normal(0.1, noise, (3, 40, 40)).astype(np.float32)
    mean[(slice(None), *plot)] += level
    return mean


def test_a_plot_that_stood_out_before_has_an_edge_and_one_in_plain_ground_has_none() -> None:
    plot = (slice(16, 24), slice(15, 25))
    where = np.zeros((40, 40), bool)
    where[plot] = True
    assert edges_of(ground_with(plot, 0.0), where) == pytest.approx(1, abs=0.25)
    assert edges_of(ground_with(plot, 0.1), where) > 5
    assert edges_of(ground_with(plot, -0.1), where) == pytest.approx(edges_of(ground_with(plot, 0.1), where), rel=0.2)
    quiet, loud = (edges_of(ground_with(plot, 0.1, noise), where) for noise in (0.01, 0.02))
    assert quiet > 1.5 * loud, "in multiples of the contrast around"


def test_the_edge_of_plain_ground_is_measured_against_the_least_contrast() -> None:
    plot = (slice(16, 24), slice(15, 25))
    where = np.zeros((40, 40), bool)
    where[plot] = True
    assert edges_of(ground_with(plot, 0.02, noise=0.0), where) == pytest.approx(0.02 * np.sqrt(3) / 0.004, rel=0.01)
    thin = np.zeros((40, 40), bool)
    thin[18:20, 15:25] = True
    plain = ground_with((slice(18, 20), slice(15, 25)), 0.02, noise=0.0)
    assert edges_of(plain, thin) == pytest.approx(0.02 * np.sqrt(3) / 0.004, rel=0.01), "a strip has no inner pixels"


def test_three_inner_pixels_are_enough_to_be_the_inside_of_a_plot() -> None:
    where, mean = np.zeros((40, 40), bool), np.full((1, 40, 40), 0.1, np.float32)
    where[18:21, 15:20] = True
    mean[0, 19, 16:19] = 0.5
    assert edges_of(mean, where) == pytest.approx(0.4 / 0.004, rel=0.01)


def test_contrast_around_is_between_pixels_of_that_ground_alone() -> None:
    where = np.zeros((20, 20), bool)
    where[0, 3:12] = True
    mean = np.full((2, 20, 20), 50, np.float32)
    mean[:, 0, 3:12] = np.arange(9)
    assert _lag_contrast(mean, where, 0, 4) == pytest.approx(4 * np.sqrt(2))
    assert _lag_contrast(mean, where, 0, -8) == pytest.approx(8 * np.sqrt(2)) and _lag_contrast(mean, where, 1, 0) == 0
    assert _lag_contrast(mean.transpose(0, 2, 1), where.T, 4, 0) == pytest.approx(4 * np.sqrt(2))


def test_what_is_not_known_is_no_edge() -> None:
    where = np.zeros((40, 40), bool)
    where[16:24, 15:25] = True
    assert edges_of(np.full((3, 40, 40), np.nan, np.float32), where) == 0


def test_regions_reach_the_threshold_are_large_enough_and_are_numbered_in_reading_order() -> None:
    evidence = np.full((10, 20), np.nan)
    evidence[1:3, 14:17] = [[2, 2, 5], [2, 2, 2]]
    evidence[4:6, 2:4] = 4
    evidence[8, 8:11] = [3, 4, 3.9]
    evidence[8, 14:19] = 3.9
    labels = label_regions(evidence, 4, 2, 3)
    assert labels.dtype == np.int32 and labels.max() == 3
    assert [int(labels[place]) for place in ((1, 14), (4, 2), (8, 8), (8, 15), (0, 0))] == [1, 2, 3, 0, 0]
    assert [int((labels == each).sum()) for each in (1, 2, 3)] == [6, 4, 3]
    assert label_regions(evidence, 4, 2, 4).max() == 2 and label_regions(evidence, 4, 3, 1)[1, 14] == 0


def test_a_region_is_connected_over_corners_and_lies_where_it_is_allowed() -> None:
    evidence = np.zeros((6, 6))
    evidence[[1, 2, 3, 4], [1, 2, 3, 4]] = 5
    assert (label_regions(evidence, 4, 2, 4) > 0).sum() == 4
    allowed = np.ones((6, 6), bool)
    allowed[2, 2] = False
    assert (label_regions(evidence, 4, 2, 1, allowed) > 0).sum() == 3 and label_regions(
        evidence, 4, 2, 1, allowed
    ).max() == 2
    assert not label_regions(evidence, 6, 5, 1).any() and not label_regions(evidence, 9, 9, 1).any()


def test_outlines_follow_pixel_edges_and_parts_of_one_label_are_one_polygon() -> None:
    labels = np.zeros(GRID.shape, np.int32)
    labels[2:4, 3:6], labels[8:10, 3:6], labels[20, 30] = 2, 2, 1
    found = outlines(labels, GRID)
    assert list(found) == [1, 2]
    assert found[1].equals(box(1300, 4790, 1310, 4800))
    assert found[2].equals(box(1030, 4960, 1060, 4980).union(box(1030, 4900, 1060, 4920)))
    labels[5, 6], labels[4, 6] = 3, 0
    labels[6, 7] = 3
    assert outlines(labels, GRID)[3].area == 200
