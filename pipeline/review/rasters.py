"""before.tif, after.tif and score.tif: cloud-optimised, with overviews and statistics, right at a double-click."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from pipeline.model.alert import Evidence
from pipeline.model.bands import VISIBLE, Band
from pipeline.model.imagery import Look
from pipeline.review.folder import replacing


def picture_order(bands: Sequence[Band]) -> tuple[Band, ...]:
    """Red, green, blue first, then the others: what a viewer shows as the first three."""
    front = tuple(band for band in VISIBLE if band in bands)
    return (*front, *(band for band in bands if band not in front))


def write_look(path: Path, look: Look) -> None:
    """All bands, reflectance * 10000 as uint16, nodata 0, true colour first."""
    order = picture_order(look.bands)
    planes = np.stack([look.reflectance[look.bands.index(band)] for band in order])
    dn = np.where(np.isfinite(planes), np.clip(np.round(planes * 10000), 1, 65535), 0).astype(np.uint16)
    _write_cog(path, dn, look.grid, nodata=0, names=[f"{band} {band.role}" for band in order], predictor="STANDARD")


def write_score(path: Path, evidence: Evidence) -> None:
    """Log-odds in nats, float32, nodata NaN; higher = more surely changed."""
    data = evidence.log_odds[None].astype(np.float32)
    _write_cog(path, data, evidence.grid, nodata=float("nan"), names=["evidence nats"], predictor="FLOATING_POINT")


def _write_cog(
    path: Path, data: NDArray[Any], grid: GeoBox, *, nodata: float, names: Sequence[str], predictor: str
) -> None:
    profile = {
        "driver": "GTiff", "dtype": data.dtype.name, "count": len(data), "height": data.shape[1],
        "width": data.shape[2], "crs": str(grid.crs), "transform": grid.affine, "nodata": nodata,
    }  # fmt: skip
    with MemoryFile() as memory, MemoryFile() as cog:
        with memory.open(**profile) as draft:
            draft.write(data)
            for index, name in enumerate(names, 1):
                draft.set_band_description(index, name)
            if len(data) >= 3:
                rest = [ColorInterp.undefined] * (len(data) - 3)
                draft.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, *rest]
        with memory.open() as draft:
            rasterio.shutil.copy(
                draft,
                cog.name,
                driver="COG",
                COMPRESS="DEFLATE",
                PREDICTOR=predictor,
                BLOCKSIZE="256",
                OVERVIEWS="AUTO",
                STATISTICS="YES",
            )
        # written here and not by GDAL, which reports a full disk as a fault of its own and half a file as none
        with replacing(path) as beside:
            beside.write_bytes(cog.getbuffer())
