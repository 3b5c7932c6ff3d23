"""A made-up tile with two bands and a scene on it, as the tests of the readers use them."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry import box

from pipeline.model.bands import Band
from pipeline.model.imagery import DeclaredOffset, Granule, Level, Scene

CRS = "EPSG:32652"
TILE10 = GeoBox.from_bbox((300000, 4390000, 303000, 4393000), CRS, resolution=10)
TILE20 = GeoBox.from_bbox((300000, 4390000, 303000, 4393000), CRS, resolution=20)
GRID = GeoBox.from_bbox((301000, 4391000, 301900, 4391900), CRS, resolution=10)


def ramp(grid: GeoBox, seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(1, 4000, tuple(grid.shape)).astype(np.uint16)


def scene(folder: Path | str, crs: str | None = CRS, red: str = "red.tif", id: str = "S2B_X") -> Scene:
    granule = Granule(
        id="granule", tile="52SCH", baseline=None, generated=None,
        declared_offset=DeclaredOffset(dn=0, reason="made up"),
        assets={Band.B04: f"{folder}/{red}", Band.B11: f"{folder}/swir.tif"}, scl=f"{folder}/scl.tif", crs=crs,
        footprint=box(0, 0, 1, 1),
    )  # fmt: skip
    return Scene(
        id=id, time=datetime(2024, 3, 5, tzinfo=UTC), level=Level.L2A, platform=None, relative_orbit=None,
        collection="", granules=(granule,),
    )  # fmt: skip


BANDS = (Band.B04, Band.B11)
