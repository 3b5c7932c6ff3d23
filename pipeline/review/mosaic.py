"""before.tif, after.tif and score.tif of a wide area, put together cell by cell and never held whole."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from pipeline.model.bands import Band
from pipeline.review.rasters import NODATA_DN, SCORE_NAMES, describe_bands, look_names, raster_profile

THUMBNAIL_PX = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Part of one cell: its core, with before and after (band, row, col) in DN and the score (row, col)."""

    core: GeoBox
    bands: tuple[Band, ...]
    before: NDArray[np.uint16]
    after: NDArray[np.uint16]
    score: NDArray[np.float32]


class Mosaic:
    """Three plain GeoTIFFs in a folder, open for writing while the cells are judged."""

    def __init__(self, folder: Path, grid: GeoBox, bands: Sequence[Band]) -> None:
        self.grid, self.bands = grid, tuple(bands)
        self.before, self.after, self.score = (folder / f"{name}.tif" for name in ("before", "after", "score"))
        self._stack = ExitStack()
        names = look_names(bands)
        self._files = {
            self.before: self._create(self.before, "uint16", NODATA_DN, names),
            self.after: self._create(self.after, "uint16", NODATA_DN, names),
            self.score: self._create(self.score, "float32", float("nan"), SCORE_NAMES),
        }

    def _create(self, path: Path, kind: str, nodata: float, names: Sequence[str]) -> DatasetWriter:
        facts = raster_profile(kind, len(names), self.grid, nodata)
        file = rasterio.open(path, "w", tiled=True, blockxsize=256, blockysize=256, compress="DEFLATE", zlevel=1,
                             INTERLEAVE="BAND", SPARSE_OK=True, BIGTIFF="IF_SAFER", **facts)  # fmt: skip
        describe_bands(file, names)
        return self._stack.enter_context(file)

    def __enter__(self) -> "Mosaic":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stack.close()

    def add(self, piece: Piece) -> None:
        """Write a piece at its place. Cells with other bands than the first leave a gap in the pictures."""
        col, row = (round(value) for value in ~self.grid.affine @ (piece.core.affine.c, piece.core.affine.f))
        place = Window(col, row, piece.core.shape[1], piece.core.shape[0])
        self._files[self.score].write(piece.score[None], window=place)
        if piece.bands == self.bands:
            self._files[self.before].write(piece.before, window=place)
            self._files[self.after].write(piece.after, window=place)


def read_thumbnail(path: Path, grid: GeoBox) -> tuple[GeoBox, NDArray[Any]]:
    """(grid, (band, row, col)) of a raster with its longer side at most 1000 pixels: enough to choose colours by."""
    factor = max(1.0, max(grid.shape) / THUMBNAIL_PX)
    rows, cols = (max(1, round(size / factor)) for size in grid.shape)
    small = grid.zoom_to((rows, cols))
    with rasterio.open(path, driver="GTiff") as source:
        return small, source.read(out_shape=(source.count, *small.shape))
