"""STAC items of a site's rasters, so that odc-stac, stackstac and GDAL load them: grid, bands, scale and nodata."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pystac
import rasterio
from pystac.extensions.eo import Band as EOBand
from pystac.extensions.eo import EOExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension
from rasterio.errors import RasterioError
from shapely.geometry import box, mapping

from pipeline.model.bands import Band
from pipeline.model.errors import ReviewError
from pipeline.review.contents import Contents
from pipeline.review.folder import Folder
from pipeline.review.lonlat import lonlat_bounds, to_lonlat
from pipeline.review.rasters import REFLECTANCE_SCALE

TITLES = {"before": "the site before", "after": "the site after", "score": "score of change"}
ASSET = "data"
_COMMON = {
    "coastal", "blue", "green", "red", "nir", "nir08", "nir09", "cirrus", "swir16", "swir22",
}  # fmt: skip
"""Common names that both versions of the eo extension have; 1.1 has one `rededge` for the three red-edge bands."""


def raster_items(folder: Folder, contents: Contents, looks: Mapping[str, pystac.Item]) -> list[pystac.Item]:
    """An item for each raster that is there. looks: scene id -> its item, which before and after are derived from.

    Raises ReviewError for a raster that cannot be read.
    """
    items = []
    for name, title in TITLES.items():
        file = folder.path / f"{name}.tif"
        if not file.is_file():
            continue
        try:
            items.append(_raster_item(name, title, file, contents))
        except RasterioError as error:
            raise ReviewError(f"cannot be read: {error}", str(file), "run `groundbreak detect` again") from error
        source = looks.get(contents.provenance.get(f"{name}_scene", ""))
        if source is not None:
            items[-1].add_link(link_to_look(source))
    return items


def link_to_look(look: pystac.Item) -> pystac.Link:
    """A link from what was computed to the item of a look; it has a title because clients show nothing else of it."""
    return pystac.Link("derived_from", look, pystac.MediaType.GEOJSON, f"look {look.properties['title']}")


def _raster_item(name: str, title: str, file: Path, contents: Contents) -> pystac.Item:
    facts = contents.provenance
    first, last = (datetime.fromisoformat(facts[key]) for key in ("first_look", "last_look"))
    time = facts.get(f"{name}_time")
    with rasterio.open(file) as source:
        shape = to_lonlat(box(*source.bounds), str(source.crs))
        item = pystac.Item(
            id=f"{contents.site}-{name}", geometry=mapping(shape), bbox=list(lonlat_bounds(shape)),
            datetime=datetime.fromisoformat(time) if time else None,
            start_datetime=None if time else first, end_datetime=None if time else last,
            properties={"title": f"{contents.name}: {title}", "gsd": abs(source.transform.a),
                        "constellation": "sentinel-2", "instruments": ["msi"]},
        )  # fmt: skip
        projection = ProjectionExtension.ext(item, add_if_missing=True)
        # by its fields: `epsg` of the extension 1.1 and `code` of 2.0 are set by different releases of pystac
        item.properties["proj:code"] = f"EPSG:{source.crs.to_epsg()}"
        projection.shape = list(source.shape)
        projection.transform = [*tuple(source.transform)[:6], 0.0, 0.0, 1.0]
        projection.bbox = list(source.bounds)
        names, kind, nodata = [text or ASSET for text in source.descriptions], source.dtypes[0], source.nodata
    item.add_asset(ASSET, pystac.Asset(str(file), title, media_type=pystac.MediaType.COG, roles=["data"]))
    _describe_bands(item.assets[ASSET], [name.partition(" ")[0] for name in names], kind, nodata)
    return item


def _describe_bands(asset: pystac.Asset, names: Sequence[str], kind: str, nodata: float) -> None:
    """The bands in the three forms that readers look for: core `bands` of STAC 1.1, `eo:bands` and `raster:bands`."""
    # NaN of a floating-point raster is the default; its text "nan" beside numbers is no column of a GeoParquet table
    empty = None if math.isnan(nodata) else nodata
    facts: dict[str, Any] = {"data_type": kind} | ({} if empty is None else {"nodata": empty})
    asset.extra_fields["bands"] = [{"name": name, **facts} for name in names]
    known = [Band(name) if name in Band.__members__ else None for name in names]
    eo = EOExtension.ext(asset, add_if_missing=True)
    eo.bands = [
        EOBand.create(name, common_name=band.role, center_wavelength=band.centre_nm / 1000)
        if band and band.role in _COMMON else EOBand.create(name)
        for name, band in zip(names, known, strict=True)
    ]  # fmt: skip
    RasterExtension.ext(asset, add_if_missing=True).bands = [
        RasterBand.create(nodata=empty, data_type=DataType(kind),
                          scale=REFLECTANCE_SCALE if band else None, offset=0.0 if band else None)
        for band in known
    ]  # fmt: skip
