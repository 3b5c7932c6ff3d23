"""The grid for life."""

import numpy as np
import pytest
from shapely.geometry import box

from pipeline.model.errors import SiteError
from pipeline.model.grid import aoi_mask, covered_grid, site_grid, split_into_cells, utm_epsg
from pipeline.model.site import Site

PLANT = box(127.645, 39.912, 127.669, 39.930)


def test_the_grid_is_snapped_and_leaves_the_margin_all_round() -> None:
    grid = site_grid(PLANT)
    assert grid.crs.to_epsg() == 32652
    assert (grid.affine.a, grid.affine.e) == (10, -10)
    assert grid.affine.c % 10 == 0 and grid.affine.f % 10 == 0
    mask = aoi_mask(Site(id="plant", name="plant", aoi=PLANT, grid=grid))
    rows, cols = np.nonzero(mask)
    assert min(rows.min(), cols.min(), grid.shape[0] - 1 - rows.max(), grid.shape[1] - 1 - cols.max()) >= 31


def test_zones_follow_the_hemisphere_and_the_antimeridian() -> None:
    assert [utm_epsg(179.999, 10), utm_epsg(180, 10), utm_epsg(-180, -10)] == [32660, 32660, 32701]


def test_a_place_beyond_utm_is_refused() -> None:
    with pytest.raises(SiteError, match="outside UTM"):
        utm_epsg(0, 86)


def test_cells_tile_the_grid_once() -> None:
    grid = site_grid(PLANT)
    count = np.zeros(grid.shape, int)
    for core, wide in split_into_cells(grid, 100, 16):
        row = round((grid.affine.f - core.affine.f) / 10)
        col = round((core.affine.c - grid.affine.c) / 10)
        count[row : row + core.shape[0], col : col + core.shape[1]] += 1
        assert wide.shape[0] >= core.shape[0]
    assert (count == 1).all()


def test_the_grid_of_a_small_aoi_has_256_pixels_each_way_around_it() -> None:
    aoi = box(14.0, 45.0, 14.003, 45.002)
    grid = site_grid(aoi)
    assert tuple(grid.shape) == (256, 256)
    rows, cols = np.nonzero(aoi_mask(Site(id="a", name="a", aoi=aoi, grid=grid)))
    assert abs(rows.min() - (255 - rows.max())) <= 2 and abs(cols.min() - (255 - cols.max())) <= 2
    assert grid.affine.c % 10 == 0 and grid.affine.f % 10 == 0


def test_a_grid_is_cut_to_what_the_footprints_cover_whatever_their_order() -> None:
    site = Site(id="plant", name="plant", aoi=PLANT, grid=site_grid(PLANT))
    near, west, far = PLANT.buffer(0.001), box(127.60, 39.91, 127.65, 39.92), box(10, 10, 11, 11)
    cut = covered_grid(site, [near, west, far])
    assert cut == covered_grid(site, [far, west, near])
    assert site.grid.extent.contains(cut.extent) and cut.shape[1] < site.grid.shape[1]
    assert cut.affine.c == site.grid.affine.c
    assert covered_grid(site, [near, box(127, 39, 128, 41)]) == site.grid
    # footprints are drawn to about 100 m
    inner = site.grid.extent.to_crs("EPSG:4326").geom.buffer(-0.0007)
    assert covered_grid(site, [inner]) == site.grid
    # nothing known of what there is: nothing is cut
    assert covered_grid(site, []) == covered_grid(site, [far]) == site.grid


def test_swaths_that_each_cover_a_part_cover_the_whole_together() -> None:
    site = Site(id="plant", name="plant", aoi=PLANT, grid=site_grid(PLANT))
    assert covered_grid(site, [box(127, 39, 127.655, 41), box(127.655, 39, 128, 41)]) == site.grid
