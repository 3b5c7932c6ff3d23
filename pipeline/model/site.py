"""A watched place and its grid for life."""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.features import geometry_mask
from shapely.geometry import MultiPolygon, Polygon

from pipeline.model.errors import SiteError

PIXEL_M = 10.0
MARGIN_M = 320.0
"""Ground around the AOI that is read along, so that a 300 m AOI still registers (DESIGN: at least 320 m)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An AOI with its id, its grid and its own wishes.

    aoi:      lon/lat polygon. grid: UTM, 10 m, AOI and margin.
    catalog:  URL or path of the catalogue to ask, None = the default provider.
    settings: overrides of groundbreak.toml, as dotted keys ("decide.false_alarms_per_100km2_year").
    """

    id: str
    name: str
    aoi: Polygon | MultiPolygon
    grid: GeoBox
    catalog: str | None = None
    collection: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, object] = field(default_factory=dict)


def slug(name: str) -> str:
    """A name as an id that is safe as a folder: lower-case ASCII letters, digits and hyphens, at most 64."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:64].strip("-")


def utm_epsg(lon: float, lat: float) -> int:
    """EPSG code of the UTM zone of a point; raises SiteError beyond 84 N and 80 S, where UTM ends."""
    if not -80 <= lat <= 84:
        raise SiteError(f"latitude {lat:.2f} lies outside UTM", "AOI", "sites between 80 S and 84 N can be watched")
    zone = min(int((lon + 180) // 6) + 1, 60)
    return (32600 if lat >= 0 else 32700) + zone


def site_grid(aoi: Polygon | MultiPolygon, margin_m: float = MARGIN_M) -> GeoBox:
    """The grid of a site: UTM zone of the AOI's centroid, 10 m pixels on multiples of 10 m, AOI plus margin.

    aoi: lon/lat. Raises SiteError where UTM does not reach.
    """
    centre = aoi.centroid
    crs = f"EPSG:{utm_epsg(centre.x, centre.y)}"
    left, bottom, right, top = Geometry(aoi, "EPSG:4326").to_crs(crs, resolution=0.01).boundingbox.bbox
    west, south = (math.floor((edge - margin_m) / PIXEL_M) * PIXEL_M for edge in (left, bottom))
    east, north = (math.ceil((edge + margin_m) / PIXEL_M) * PIXEL_M for edge in (right, top))
    return GeoBox.from_bbox((west, south, east, north), crs=crs, resolution=PIXEL_M, tight=True)


def aoi_mask(site: Site) -> NDArray[np.bool_]:
    """(row, col) bool on the site grid. True = the pixel touches the AOI."""
    outline = Geometry(site.aoi, "EPSG:4326").to_crs(str(site.grid.crs), resolution=0.01)
    shape = tuple(site.grid.shape)
    return np.asarray(geometry_mask([outline.geom], shape, site.grid.affine, all_touched=True, invert=True))


def cells(grid: GeoBox, size_px: int, halo_px: int) -> Iterator[tuple[GeoBox, GeoBox]]:
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
