"""Native pixels of a scene over a site: windowed reads of every asset, side by side, each tried again if it breaks."""

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import transform_bounds
from rasterio.windows import Window, from_bounds

from pipeline.catalogue.assets import SCALE
from pipeline.catalogue.hrefs import redact_href
from pipeline.catalogue.opening import address_of, is_remote
from pipeline.catalogue.ranges import RangeError
from pipeline.catalogue.rasters import open_raster
from pipeline.catalogue.silent_hosts import SILENT
from pipeline.model.bands import Band
from pipeline.model.errors import PixelError
from pipeline.model.imagery import Chip, Granule, Raster, Scene

GDAL: Mapping[str, str] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no side file is looked for
    "GDAL_NUM_THREADS": "1",  # assets are read side by side already
}
"""Every GDAL setting of the project, with its reason."""
THREADS = 8
"""Assets read at once: more is throttled by providers."""
RETRIES_PER_SCENE = 8
"""Retries before a scene is given up for this run, of all its assets together."""
PAUSE_S = 1.0
"""Seconds before a read is tried again; grows with each try of the asset."""
MARGIN_M = 120.0
"""Ground read around the grid for the one later warp: the largest shift that is searched (80 m) and more."""
MARGIN_PX = 4
"""Native pixels read around that: the reach of the resampling kernel."""
MAX_CLASS = 11
"""Snow: the last class of Sen2Cor's scene classification."""
MAX_PIXELS = 100_000_000
MAX_SIDE = 60_000
_QUERY = re.compile(r"\?[^\s,]+")
logging.getLogger("rasterio._env").setLevel(logging.CRITICAL)
"""GDAL's warnings come back as exceptions; logged, they would show signed addresses."""


@dataclass(slots=True)
class _Budget:
    """Number of retries that a scene has left, shared by its threads."""

    left: int
    lock: threading.Lock
    failed: bool = False

    def is_first(self) -> bool:
        """Whether no other asset of the scene has failed for good."""
        with self.lock:
            first, self.failed = not self.failed, True
            return first

    def take(self) -> bool:
        with self.lock:
            self.left -= 1
            return self.left >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One asset to be read."""

    scene: str
    name: str
    href: str
    crs: str | None
    grid: GeoBox
    kind: str


def read_chips(scene: Scene, grid: GeoBox, bands: Sequence[Band]) -> tuple[Chip, ...]:
    """The native pixels of every granule of a scene that reaches the grid, in the order of precedence.

    grid: the site grid; each band comes on a native grid of its own that covers it with a margin, DN 0 where the
    tile ends. Raises PixelError naming scene, band and file; a file that cannot be read is never nodata.
    """
    reads: list[tuple[Granule, Band | None, _Read]] = []
    for granule in scene.granules:
        for band in bands:
            if band not in granule.assets:
                raise PixelError(f"no asset for {band}", f"{scene.id}, {granule.id}", "choose a complete product")
            reads.append((granule, band, _Read(scene=scene.id, name=band.value, href=granule.assets[band],
                                               crs=granule.crs, grid=grid, kind="uint16")))  # fmt: skip
        if granule.scl is not None:
            reads.append((granule, None, _Read(scene=scene.id, name="SCL", href=granule.scl, crs=granule.crs,
                                               grid=grid, kind="uint8")))  # fmt: skip
    hrefs = [read.href for _, _, read in reads]
    if silent := SILENT.find_silent(hrefs):
        fix = "it is left alone for some minutes; the next run asks again"
        raise PixelError(f"{silent} does not answer", scene.id, fix)
    rasters = _read_all([read for _, _, read in reads])
    SILENT.note(hrefs, answered=True)
    chips = []
    for granule in scene.granules:
        mine = {band: raster for (owner, band, _), raster in zip(reads, rasters, strict=True) if owner is granule}
        dn = {band: raster for band, raster in mine.items() if band is not None and raster is not None}
        if len(dn) == len(bands):
            chips.append(Chip(scene=scene, granule=granule, dn=dn, scl=mine.get(None)))
    if not chips:
        raise PixelError("none of its files reaches the site", scene.id, "the footprint in the catalogue is wrong")
    return tuple(chips)


def _read_all(reads: Sequence[_Read]) -> list[Raster | None]:
    """Every asset of a scene. Raises PixelError for the first that cannot be read."""
    budget = _Budget(RETRIES_PER_SCENE, threading.Lock())
    out = [_reader_pool().submit(_with_retries, read, budget) for read in reads]
    try:
        return [_copy_raster(each.result()) for each in out]
    finally:
        # after an error no other read of the scene starts, and none runs on during the next scene
        for each in out:
            each.cancel()
        wait(out)


@cache
def _reader_pool() -> ThreadPoolExecutor:
    """The threads that read, for the life of the process: one that is new opens a PROJ database of its own, which takes
    twice the time of reading a local asset.
    """
    return ThreadPoolExecutor(THREADS, "reader")


def _copy_raster(raster: Raster | None) -> Raster | None:
    """In memory that the caller allocated: what a thread did goes back to the heap of that thread when it is freed."""
    return None if raster is None else replace(raster, data=raster.data.copy())


def _with_retries(read: _Read, budget: _Budget) -> Raster | None:
    """Read; repeat after an error, with a new signature, within the budget of the scene."""
    attempt = 0
    while True:
        target = _signed_address(read, attempt)
        try:
            with rasterio.Env(**GDAL):
                return _read_raster(read, target)
        except (RasterioError, RangeError) as error:
            attempt += 1
            if not is_remote(read.href) or not budget.take():
                if isinstance(error, RangeError) and budget.is_first():
                    SILENT.note([read.href], answered=not error.is_silent)
                raise _unreadable_error(read, error) from error
            time.sleep(PAUSE_S * attempt)


def _signed_address(read: _Read, attempt: int) -> str:
    try:
        return address_of(read.href, attempt)
    except PixelError as error:
        raise PixelError(f"cannot read {read.name}: {error.what}", f"{read.scene}, {error.where}", error.fix) from error


def _unreadable_error(read: _Read, error: Exception) -> PixelError:
    text = " ".join(str(error.__cause__ or error).replace(read.href, "the file").split())
    reason = str(error) if isinstance(error, RangeError) else _QUERY.sub("", text)[:160]
    gone = isinstance(error, RangeError) and error.is_missing
    fix = "withdrawn by its provider, or moved" if gone else "it is asked for again next time"
    return PixelError(f"cannot read {read.name}: {reason}", f"{read.scene}, {redact_href(read.href)}", fix)


def _read_raster(read: _Read, target: str) -> Raster | None:
    with open_raster(target) as source:
        crs = _agreed_crs(source, read)
        _check_raster(source, read)
        _check_scale(source, read)
        window = _window_over_grid(source, crs, read.grid)
        data = _read_boundless(source, window, read)
        if data is None:
            return None
        transform = source.window_transform(window)
        return Raster(grid=GeoBox(data.shape, transform, str(crs)), data=data)


def _agreed_crs(source: DatasetReader, read: _Read) -> CRS:
    """The file's CRS, the item's where the file has none; both must agree."""
    try:
        stated = CRS.from_user_input(read.crs) if read.crs else None
    except CRSError as error:
        raise _wrong_raster_error(read, f"its item states CRS {read.crs}, which is not a CRS") from error
    if source.crs is None:
        if stated is None:
            raise _wrong_raster_error(read, "neither the file nor its item says in which CRS it lies")
        return stated
    if stated is not None and source.crs != stated:
        raise _wrong_raster_error(read, f"the file lies in {source.crs.to_string()[:40]}, its item says {read.crs}")
    return source.crs


def _check_raster(source: DatasetReader, read: _Read) -> None:
    t = source.transform
    if max(source.shape) > MAX_SIDE:
        raise _wrong_raster_error(read, f"{source.height} x {source.width} pixels")
    if t.is_identity or t.b or t.d or t.a <= 0 or t.e >= 0:
        raise _wrong_raster_error(read, "its grid is not north-up or not georeferenced")
    if source.count != 1 or source.dtypes[0] not in ("uint16", "uint8", "int16"):
        raise _wrong_raster_error(
            read, f"{source.count} bands of {source.dtypes[0]} where one of {read.kind} is needed"
        )


def _check_scale(source: DatasetReader, read: _Read) -> None:
    if read.kind == "uint16" and source.scales[0] != 1 and abs(source.scales[0] - SCALE) > 1e-9:
        raise _wrong_raster_error(read, f"its tags state a scale of {source.scales[0]:g}, {SCALE:g} is read")


def _window_over_grid(source: DatasetReader, crs: CRS, grid: GeoBox) -> Window:
    """Whole native pixels that cover the grid and its margin; may reach beyond the file."""
    left, bottom, right, top = _transform_bounds(str(grid.crs), str(crs), tuple(grid.boundingbox.bbox))
    reach = MARGIN_M / _metres_per_unit(crs) + MARGIN_PX * max(source.res)
    exact = from_bounds(left - reach, bottom - reach, right + reach, top + reach, source.transform)
    row, col = int(np.floor(exact.row_off)), int(np.floor(exact.col_off))
    rows = int(np.ceil(exact.row_off + exact.height)) - row
    cols = int(np.ceil(exact.col_off + exact.width)) - col
    return Window(col, row, cols, rows)


@lru_cache
def _transform_bounds(
    grid_crs: str, crs: str, bbox: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """The box in a file's CRS: the same for all assets of a site, and three quarters of what a local read takes."""
    left, bottom, right, top = transform_bounds(grid_crs, crs, *bbox, densify_pts=21)
    return left, bottom, right, top


def _metres_per_unit(crs: CRS) -> float:
    return 1.0 if crs.is_projected else 111_320.0


def _read_boundless(source: DatasetReader, window: Window, read: _Read) -> NDArray[Any] | None:
    """The window's pixels, 0 beyond the file; None where the file does not reach it at all."""
    if window.width * window.height > MAX_PIXELS:
        raise _wrong_raster_error(read, f"{window.height} x {window.width} pixels over the site")
    row0, col0 = max(window.row_off, 0), max(window.col_off, 0)
    row1 = min(window.row_off + window.height, source.height)
    col1 = min(window.col_off + window.width, source.width)
    if row0 >= row1 or col0 >= col1:
        return None
    part = source.read(1, window=Window(col0, row0, col1 - col0, row1 - row0))
    if source.nodata not in (None, 0):
        part = np.where(part == source.nodata, 0, part)
    if part.dtype.kind == "i":
        part = np.maximum(part, 0)
    if read.kind == "uint8" and part.max() > MAX_CLASS:
        raise _wrong_raster_error(read, f"a class {part.max()} in a scene classification, whose last is {MAX_CLASS}")
    data = np.zeros((window.height, window.width), read.kind)
    data[row0 - window.row_off : row1 - window.row_off, col0 - window.col_off : col1 - window.col_off] = part
    return data


def _wrong_raster_error(read: _Read, what: str) -> PixelError:
    return PixelError(f"{read.name}: {what}", f"{read.scene}, {redact_href(read.href)}", "the product is not usable")
