"""A small made-up place with a catalogue of its own, for tests of whole commands: textured ground, a few dates."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.transform import from_origin
from scipy import ndimage
from shapely.geometry import box, mapping

from pipeline.study.catalogue_writer import write_catalogue, write_item

CRS = "EPSG:32634"
LEFT, TOP, SIDE = 500_000.0, 5_000_000.0, 104
GRID10 = GeoBox((SIDE, SIDE), from_origin(LEFT, TOP, 10, 10), CRS)
GRID20 = GeoBox((SIDE // 2, SIDE // 2), from_origin(LEFT, TOP, 20, 20), CRS)
BANDS10, BANDS20 = ("blue", "green", "red", "nir"), ("nir08", "swir16", "swir22")
SOIL = {"blue": 0.06, "green": 0.08, "red": 0.10, "nir": 0.22, "nir08": 0.23, "swir16": 0.28, "swir22": 0.22}
GRASS = {"blue": 0.03, "green": 0.06, "red": 0.04, "nir": 0.38, "nir08": 0.40, "swir16": 0.18, "swir22": 0.09}
ROOF = {"blue": 0.30, "green": 0.31, "red": 0.32, "nir": 0.34, "nir08": 0.34, "swir16": 0.36, "swir22": 0.34}
FIRST = datetime(2020, 4, 1, 9, 30, tzinfo=UTC)
BUILDING = (slice(44, 50), slice(46, 54))
"""60 x 80 m in the middle of the AOI."""


def ground(seed: int = 3) -> NDArray[np.float64]:
    """Share of grass per 10 m pixel: fields with sharp edges and a fine texture, the same on every date."""
    rng = np.random.default_rng(seed)
    coarse = ndimage.zoom(rng.uniform(0, 1, (13, 13)), 8, order=0)[:SIDE, :SIDE]
    fine = ndimage.gaussian_filter(rng.normal(0, 1, (SIDE, SIDE)), 0.8)
    return np.clip(0.15 + 0.7 * coarse + 0.12 * fine, 0, 1)


def scene(
    share: NDArray[np.float64], *, built: bool = False, gain: float = 1.0, haze: float = 0.0, noise: int = 0
) -> dict[str, tuple[NDArray[Any], GeoBox]]:
    """One date's assets. noise: seed of its own noise."""
    rng = np.random.default_rng(1000 + noise)
    assets: dict[str, tuple[NDArray[Any], GeoBox]] = {}
    for key in (*BANDS10, *BANDS20):
        plane = share * GRASS[key] + (1 - share) * SOIL[key]
        if built:
            plane = plane.copy()
            plane[BUILDING] = ROOF[key]
        plane = gain * plane + haze + rng.normal(0, 0.0015, plane.shape)
        grid = GRID10
        if key in BANDS20:
            plane, grid = plane.reshape(SIDE // 2, 2, SIDE // 2, 2).mean((1, 3)), GRID20
        assets[key] = (np.clip(np.round(plane * 10000), 1, 65535).astype(np.uint16), grid)
    assets["scl"] = (np.full((SIDE // 2, SIDE // 2), 5, np.uint8), GRID20)
    return assets


def catalogue(folder: Path, *, dates: int = 10, built_from: int | None = 6, seed: int = 3, days: int = 10) -> Path:
    """A static catalogue of `dates` scenes, so many days apart; a building stands from scene `built_from` on."""
    share = ground(seed)
    items = []
    for index in range(dates):
        built = built_from is not None and index >= built_from
        assets = scene(share, built=built, gain=1 + 0.03 * np.sin(index), haze=0.002 * (index % 3), noise=index)
        time = FIRST + timedelta(days=days * index)
        properties = {"constellation": "sentinel-2", "s2:product_type": "S2MSI2A"}
        items.append(write_item(folder, f"place-{time:%Y%m%d}", time, assets, properties))
    return write_catalogue(folder, "place", "A made-up place", "for tests", items)


def aoi() -> Any:
    """The AOI, lon/lat: 360 m in the middle of the pixels."""
    edge = 340.0
    inner = box(LEFT + edge, TOP - SIDE * 10 + edge, LEFT + SIDE * 10 - edge, TOP - edge)
    return Geometry(inner, CRS).to_crs("EPSG:4326").geom


def feature(catalog: str | None = None, geometry: Any = None, **properties: Any) -> dict[str, Any]:
    """One feature of an AOI file."""
    known = {"id": "place", "name": "A made-up place", **properties}
    if catalog is not None:
        known["catalog"] = catalog
    return {"type": "Feature", "properties": known, "geometry": mapping(aoi()) if geometry is None else geometry}


def write_sites(path: Path, features: Sequence[Mapping[str, Any]]) -> Path:
    """An AOI file."""
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path
