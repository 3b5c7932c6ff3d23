"""before.tif, after.tif and score.tif: cloud-optimised GeoTIFFs with overviews and statistics."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter, MemoryFile

from pipeline.model.alert import Evidence
from pipeline.model.bands import VISIBLE, Band
from pipeline.model.errors import ReviewError
from pipeline.model.imagery import Look
from pipeline.review.annotations import Caption
from pipeline.review.folder import replace_file

NODATA_DN = 0
REFLECTANCE_SCALE = 0.0001
"""Reflectance of one DN in before.tif and after.tif."""
_COG = {"driver": "COG", "COMPRESS": "DEFLATE", "BLOCKSIZE": "256", "OVERVIEWS": "AUTO", "STATISTICS": "YES"}


def picture_order(bands: Sequence[Band]) -> tuple[Band, ...]:
    """Red, green, blue first, then the others: what a viewer shows as the first three."""
    front = tuple(band for band in VISIBLE if band in bands)
    return (*front, *(band for band in bands if band not in front))


def look_dn(look: Look) -> NDArray[np.uint16]:
    """(band, row, col): reflectance * 10000 of all bands, true colour first, 0 = nodata."""
    planes = np.stack([look.reflectance[look.bands.index(band)] for band in picture_order(look.bands)])
    return np.where(np.isfinite(planes), np.clip(np.round(planes * 10000), 1, 65535), NODATA_DN).astype(np.uint16)


def look_tags(look: Look, caption: Caption) -> dict[str, str]:
    """Tags of a raster of a look.

    The scale is a tag of its own: QGIS applies that of a band, and the limits of the styles are in DN.
    """
    scale = {"REFLECTANCE_SCALE": f"{REFLECTANCE_SCALE:g}"}
    return {"SCENE": look.scene.id, "ACQUIRED": look.time.isoformat(), **scale, **site_tags(caption)}


def site_tags(caption: Caption) -> dict[str, str]:
    """Tags for place, credit, software and simulated content, under the names of TIFF where they exist."""
    tags = {
        "TIFFTAG_IMAGEDESCRIPTION": caption.site,
        "TIFFTAG_COPYRIGHT": caption.attribution,
        "TIFFTAG_SOFTWARE": f"groundbreak {version('groundbreak')}",
        "SIMULATED": caption.simulated,
    }
    return {name: value for name, value in tags.items() if value}


def write_look(path: Path, look: Look, known: Path | None = None, tags: Mapping[str, str] | None = None) -> None:
    """Write a look as a picture, unless the file `known` has the same content."""
    data, names, tags = look_dn(look), look_names(look.bands), tags or {}
    if known is None or not _has_content(known, data, look.grid, names, tags):
        _write_cog(path, data, look.grid, nodata=NODATA_DN, names=names, tags=tags)


def _has_content(
    path: Path, data: NDArray[np.uint16], grid: GeoBox, names: Sequence[str], tags: Mapping[str, str]
) -> bool:
    """Whether a file has these pixels, this grid and these tags."""
    if not path.exists():
        return False
    try:
        with rasterio.open(path, driver="GTiff") as source:
            place = source.shape, source.transform, source.crs, source.descriptions
            same = place == (tuple(grid.shape), grid.affine, CRS.from_user_input(str(grid.crs)), tuple(names))
            same = same and source.tags().items() >= tags.items()
            return same and np.array_equal(source.read(), data)
    except RasterioError:
        return False


def look_names(bands: Sequence[Band]) -> list[str]:
    """Band names of a picture."""
    return [f"{band} {band.role}" for band in picture_order(bands)]


SCORE_NAMES = ["score"]


def write_score(path: Path, evidence: Evidence, tags: Mapping[str, str]) -> None:
    """Score of the largest lasting step of each pixel, float32, nodata NaN; higher = more surely changed."""
    data = evidence.score[None].astype(np.float32)
    _write_cog(path, data, evidence.grid, nodata=float("nan"), names=SCORE_NAMES, tags=tags)


def write_mosaic(path: Path, draft: Path, tags: Mapping[str, str]) -> None:
    """A plain GeoTIFF that was put together on disk, in the form of the others.

    Raises ReviewError where it cannot be written.
    """
    with replace_file(path) as beside:
        try:
            with rasterio.open(draft, "r+", driver="GTiff") as plain:
                plain.update_tags(**tags)
            with rasterio.open(draft, driver="GTiff") as source:
                rasterio.shutil.copy(
                    source, beside, PREDICTOR=_predictor_for(source.dtypes[0]), BIGTIFF="IF_SAFER", **_COG
                )
        except RasterioError as error:
            raise ReviewError(
                f"cannot be written: {error}", str(path), "free some disk space, then run again"
            ) from error


def describe_bands(file: DatasetWriter, names: Sequence[str]) -> None:
    """Name the bands, and say which are red, green and blue."""
    for index, name in enumerate(names, 1):
        file.set_band_description(index, name)
    if len(names) >= 3:
        rest = [ColorInterp.undefined] * (len(names) - 3)
        file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, *rest]


def raster_profile(data_type: str, count: int, grid: GeoBox, nodata: float) -> dict[str, Any]:
    """Creation options of a plain GeoTIFF on a grid."""
    return {
        "driver": "GTiff", "dtype": data_type, "count": count, "height": grid.shape[0], "width": grid.shape[1],
        "crs": str(grid.crs), "transform": grid.affine, "nodata": nodata,
    }  # fmt: skip


def _write_cog(
    path: Path, data: NDArray[Any], grid: GeoBox, *, nodata: float, names: Sequence[str], tags: Mapping[str, str]
) -> None:
    with MemoryFile() as memory, MemoryFile() as cog:
        with memory.open(**raster_profile(data.dtype.name, len(data), grid, nodata)) as draft:
            draft.write(data)
            describe_bands(draft, names)
            draft.update_tags(**tags)
        with memory.open() as draft:
            rasterio.shutil.copy(draft, cog.name, PREDICTOR=_predictor_for(data.dtype.name), **_COG)
        # written here and not by GDAL, which misreports a full disk and does not report half a file
        with replace_file(path) as beside:
            beside.write_bytes(cog.getbuffer())


def _predictor_for(data_type: str) -> str:
    return "FLOATING_POINT" if data_type.startswith("float") else "STANDARD"
