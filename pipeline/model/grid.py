"""The grid of a site: UTM zone, extent, the part that a source covers, the AOI mask, and cells of a wide area."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.features import geometry_mask
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from pipeline.model.errors import SiteError
from pipeline.model.site import Site

PIXEL_M = 10.0
"""Side of a pixel of a site grid, metres."""
PIXEL_M2 = PIXEL_M**2
"""Area of a pixel of a site grid, square metres."""
MARGIN_M = 320.0
"""Least distance between the AOI and the edge of the grid, in metres (DESIGN §3)."""
MIN_SIDE_PX = 256
"""Least side of a site grid, in pixels: registration accepts 74 % of usable chips of 128 px and 94 % of 256 px
(benchmarks/RESULTS.md, R2). Normalisation and the seasonal model need unchanged ground around a small AOI."""
FOOTPRINT_SLACK_DEG = 0.001
"""Footprints in catalogues are accurate to about 100 m: a gap below this is not a gap."""
ROUNDING_M = 0.05
"""Footprints are rounded to 1e-7 degrees, about 1 cm: an edge on a lattice line must not gain a pixel."""


def utm_epsg(lon: float, lat: float) -> int:
    """EPSG code of the UTM zone of a point; raises SiteError beyond 84 N and 80 S, where UTM ends."""
    if not -80 <= lat <= 84:
        raise SiteError(f"latitude {lat:.2f} lies outside UTM", "AOI", "sites between 80 S and 84 N can be watched")
    zone = min(int((lon + 180) // 6) + 1, 60)
    return (32600 if lat >= 0 else 32700) + zone


def site_grid(aoi: Polygon | MultiPolygon, margin_m: float | None = None, crs: str | None = None) -> GeoBox:
    """The grid of a site: UTM zone of the AOI's centroid, 10 m pixels on multiples of 10 m.

    aoi:      lon/lat.
    margin_m: ground around the AOI, each side. None = the context of a watched site: MARGIN_M each side, and evenly
              more where that is less than MIN_SIDE_PX.
    crs:      the UTM zone of a site that has results already, which it keeps when its AOI is changed.
    Raises SiteError where UTM does not reach.
    """
    margin, least = (MARGIN_M, MIN_SIDE_PX) if margin_m is None else (margin_m, 0)
    centre = aoi.centroid
    crs = crs or f"EPSG:{utm_epsg(centre.x, centre.y)}"
    left, bottom, right, top = Geometry(aoi, "EPSG:4326").to_crs(crs, resolution=0.01).boundingbox.bbox
    west, east = _pad_interval(*_snap_interval(left - margin, right + margin), least)
    south, north = _pad_interval(*_snap_interval(bottom - margin, top + margin), least)
    return _lattice_box(crs, west, south, east, north)


def covered_grid(site: Site, footprints: Iterable[BaseGeometry]) -> GeoBox:
    """The part of the site grid that a source can show: the bounds of the AOI and of all footprints, within the grid.

    The result depends only on the set of footprints. Real tiles cover the whole grid, and the first of them ends the
    search. A source smaller than the grid (a local chip, a recorded series) gives a grid without nodata borders.

    footprints: lon/lat outlines of the data of each granule.
    """
    grid, crs = site.grid, str(site.grid.crs)
    # densified: a straight edge in UTM is curved in lon/lat
    whole = Geometry(grid.extent.geom, crs).to_crs("EPSG:4326", resolution=1000).geom
    least = whole.buffer(-FOOTPRINT_SLACK_DEG)
    boxes = []
    for footprint in footprints:
        if footprint.covers(least):
            return grid
        shown = footprint.intersection(whole)
        if not shown.is_empty:
            boxes.append(Geometry(shown, "EPSG:4326").to_crs(crs, resolution=0.01).boundingbox.bbox)
    if not boxes:
        return grid
    boxes.append(Geometry(site.aoi, "EPSG:4326").to_crs(crs, resolution=0.01).boundingbox.bbox)
    lefts, bottoms, rights, tops = zip(*boxes, strict=True)
    bounds = grid.boundingbox
    west, east = _snap_interval(max(min(lefts), bounds.left), min(max(rights), bounds.right), ROUNDING_M)
    south, north = _snap_interval(max(min(bottoms), bounds.bottom), min(max(tops), bounds.top), ROUNDING_M)
    return _lattice_box(crs, west, south, east, north)


def _snap_interval(low: float, high: float, slack_m: float = 0.0) -> tuple[int, int]:
    """First and last lattice line around an interval, in pixels from the origin of the CRS."""
    return math.floor((low + slack_m) / PIXEL_M), math.ceil((high - slack_m) / PIXEL_M)


def _pad_interval(low: int, high: int, least: int) -> tuple[int, int]:
    missing = max(least - (high - low), 0)
    return low - missing // 2, high + missing - missing // 2


def _lattice_box(crs: str, west: int, south: int, east: int, north: int) -> GeoBox:
    edges = (west * PIXEL_M, south * PIXEL_M, east * PIXEL_M, north * PIXEL_M)
    return GeoBox.from_bbox(edges, crs=crs, resolution=PIXEL_M, tight=True)


def aoi_mask(site: Site) -> NDArray[np.bool_]:
    """(row, col) bool on the site grid. True = the pixel touches the AOI."""
    outline = Geometry(site.aoi, "EPSG:4326").to_crs(str(site.grid.crs), resolution=0.01)
    shape = tuple(site.grid.shape)
    return np.asarray(geometry_mask([outline.geom], shape, site.grid.affine, all_touched=True, invert=True))


def split_into_cells(grid: GeoBox, size_px: int, halo_px: int) -> Iterator[tuple[GeoBox, GeoBox]]:
    """A large grid in pieces: (core, core with halo), the cores tiling the grid without overlap."""
    rows, cols = grid.shape
    for row in range(0, rows, size_px):
        for col in range(0, cols, size_px):
            row_end, col_end = min(row + size_px, rows), min(col + size_px, cols)
            core = grid[row:row_end, col:col_end]
            wide = grid[
                max(row - halo_px, 0) : min(row_end + halo_px, rows),
                max(col - halo_px, 0) : min(col_end + halo_px, cols),
            ]
            yield core, wide
