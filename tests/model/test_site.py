"""The grid for life."""

import numpy as np
import pytest
from shapely.geometry import box

from pipeline.model.errors import SiteError
from pipeline.model.site import Site, aoi_mask, cells, site_grid, slug, utm_epsg

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
    for core, wide in cells(grid, 100, 16):
        row = round((grid.affine.f - core.affine.f) / 10)
        col = round((core.affine.c - grid.affine.c) / 10)
        count[row : row + core.shape[0], col : col + core.shape[1]] += 1
        assert wide.shape[0] >= core.shape[0]
    assert (count == 1).all()


def test_a_slug_is_safe_as_a_folder_name() -> None:
    assert slug("../Ryŏngsŏng  <script>룡성/..") == "ryongsong-script"
