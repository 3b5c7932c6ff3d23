"""Writer of a static STAC catalogue of COGs: the same input gives the same bytes.

FOLDER/catalog.json            Catalog, one link an item, in the order of their ids
FOLDER/<item>/<item>.json      Item: datetime, EPSG and shape per asset, scale and offset of the DN
FOLDER/<item>/<key>.tif        one COG an asset: deflate 9 with predictor 2, no time stamp, nodata 0
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.io import MemoryFile
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from pipeline.model.bands import Band

STAC_VERSION = "1.0.0"
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
EXTENSIONS = (
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
)
SCALE = 0.0001
"""Reflectance of one DN."""

Pixels: TypeAlias = tuple[NDArray[Any], GeoBox]
"""An array to be written: uint16 DN or uint8 classes, and its grid."""
Ready: TypeAlias = Mapping[str, Any]
"""An existing STAC asset, its href relative to the new item."""

ROLE_BAND = {band.role: band for band in Band}


def write_item(
    folder: Path,
    id: str,
    time: datetime,
    assets: Mapping[str, Pixels | Ready],
    properties: Mapping[str, Any],
    *,
    footprint: BaseGeometry | None = None,
    offset: float = 0.0,
) -> Path:
    """Write `folder/<id>/` and return the path of the item's JSON.

    assets:     keys as Earth Search spells them (blue … swir22, scl); arrays become COGs `<key>.tif` beside the item.
    properties: any STAC properties; datetime is added.
    footprint:  lon/lat polygon of the data, by default the outline of the arrays' grids.
    offset:     what a reader must add to scale * DN, -0.1 where DN hold the +1000 of processing baselines >= 04.00.
    """
    place = folder / id
    place.mkdir(parents=True, exist_ok=True)
    entries: dict[str, Any] = {}
    for key, asset in assets.items():
        if isinstance(asset, Mapping):
            entries[key] = dict(asset)
        else:
            array, grid = asset
            write_cog(place / f"{key}.tif", array, grid)
            entries[key] = _write_asset(key, array, grid, offset)
    outline = footprint or _footprint_of([asset[1] for asset in assets.values() if not isinstance(asset, Mapping)])
    item = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": id,
        "properties": {"datetime": _format_time(time), **properties},
        "geometry": _round_coordinates(mapping(outline)),
        "bbox": [round(edge, 7) for edge in outline.bounds],
        "links": [
            {"rel": "root", "href": "../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
        ],
        "assets": entries,
    }
    path = place / f"{id}.json"
    _write_json(path, item)
    return path


def write_catalogue(
    folder: Path, id: str, title: str, description: str, items: Iterable[Path], extra: Mapping[str, Any] | None = None
) -> Path:
    """Write `folder/catalog.json` with a link to every item, ordered by id; `extra` are further top-level fields."""
    links: list[dict[str, Any]] = [{"rel": "root", "href": "./catalog.json", "type": "application/json"}]
    for path in sorted(items, key=lambda one: one.stem):
        href = "./" + Path(os.path.relpath(path, folder)).as_posix()
        links.append({"rel": "item", "href": href, "type": "application/geo+json"})
    catalogue = {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": id,
        "title": title,
        "description": description,
        **(extra or {}),
        "links": links,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "catalog.json"
    _write_json(path, catalogue)
    return path


def write_cog(path: Path, array: NDArray[Any], grid: GeoBox) -> None:
    """Write one band as a COG: deflate 9, predictor 2, one block for a small chip, nodata 0 for DN."""
    rows, cols = array.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": array.dtype.name,
        "count": 1,
        "height": rows,
        "width": cols,
        "crs": str(grid.crs),
        "transform": grid.affine,
        "nodata": 0,
    }
    block = min(512, max(128, -(-max(rows, cols) // 16) * 16))  # GDAL refuses less than 128
    with MemoryFile() as memory:
        with memory.open(**profile) as draft:
            draft.write(np.ascontiguousarray(array), 1)
        with memory.open() as draft:
            rasterio.shutil.copy(
                draft,
                str(path),
                driver="COG",
                COMPRESS="DEFLATE",
                LEVEL="9",
                PREDICTOR="STANDARD",
                BLOCKSIZE=str(block),
                OVERVIEWS="NONE",
                NUM_THREADS="1",
            )


def relink_asset(asset: Ready, item: Path, folder: Path) -> dict[str, Any]:
    """An asset of the item JSON `item` as an asset of an item in `folder`: the same file, another relative href."""
    target = (item.parent / str(asset["href"])).resolve()
    return {**asset, "href": Path(os.path.relpath(target, folder.resolve())).as_posix()}


def _write_asset(key: str, array: NDArray[Any], grid: GeoBox, offset: float) -> dict[str, Any]:
    band = ROLE_BAND.get(key)
    raster: dict[str, Any] = {"nodata": 0, "data_type": array.dtype.name, "spatial_resolution": grid.resolution.x}
    entry: dict[str, Any] = {"href": f"./{key}.tif", "type": COG_TYPE}
    if band is not None:
        raster |= {"scale": SCALE, "offset": offset}
        centre_um = band.centre_nm / 1000
        entry["eo:bands"] = [{"name": band.value, "common_name": key, "center_wavelength": centre_um}]
        entry["roles"] = ["data", "reflectance"]
    else:
        entry["roles"] = ["data"]
    entry["proj:code"] = str(grid.crs)
    entry["proj:shape"] = list(grid.shape)
    entry["proj:transform"] = list(grid.affine)[:6]
    entry["raster:bands"] = [raster]
    return entry


def _footprint_of(grids: Sequence[GeoBox]) -> BaseGeometry:
    shapes = [Geometry(grid.extent.geom, str(grid.crs)).to_crs("EPSG:4326").geom for grid in grids]
    return unary_union(shapes).convex_hull


def _round_coordinates(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 7)
    if isinstance(value, Mapping):
        return {key: _round_coordinates(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_round_coordinates(part) for part in value]
    return value


def _format_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
