"""Opening of rasters from other sources: as GeoTIFF or JPEG 2000 only.

GDAL goes by content: a `.tif` may hold a VRT, which names any file and address. So the format is taken from the first
bytes, and GDAL is given the one driver that reads it. A block is the least that GDAL decodes; its size is checked
before any pixel is read.
"""

import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from pipeline.catalogue.ranges import RemoteFile

MAX_BLOCK_BYTES = 64_000_000
"""Largest block decoded, all its bands together; blocks of the providers have 2 MB, and a few are decoded at once."""
MAX_BANDS = 64
"""More bands than any composite of Sentinel-2 has."""
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_JPEG2000 = (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")
_HEAD = 12
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # such a raster is refused by name


class NotRasterError(RasterioError):  # type: ignore[misc]
    """A file that is neither GeoTIFF nor JPEG 2000, or one whose blocks are too large to be decoded."""


@contextmanager
def open_raster(target: str) -> Iterator[DatasetReader]:
    """A raster from a path, `zip://ARCHIVE!/MEMBER` or an address.

    Raises RasterioError where it cannot be opened, RangeError where it cannot be had.
    """
    if target.startswith(("https://", "http://")):
        remote = RemoteFile(target)
        try:
            driver = _driver_for(remote.head(_HEAD))
            with rasterio.open(f"asset.{driver}", opener=remote, driver=driver) as source:
                _check_size(source)
                yield source
            if remote.error is not None:
                raise remote.error  # GDAL may have read on; what it has is not believed
        except RasterioError as error:
            if remote.error is not None:
                raise remote.error from error
            raise
        finally:
            remote.close()
        return
    with rasterio.open(target, driver=_driver_of_file(target)) as source:
        _check_size(source)
        yield source


def _driver_of_file(target: str) -> str:
    try:
        return _driver_for(_read_header(target))
    except (OSError, zipfile.BadZipFile, zlib.error, KeyError, RuntimeError) as error:
        raise NotRasterError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _read_header(target: str) -> bytes:
    if target.startswith("zip://"):
        archive, _, member = target.removeprefix("zip://").partition("!/")
        with zipfile.ZipFile(archive) as packed, packed.open(member) as file:
            return file.read(_HEAD)
    path = Path(target)
    # a pipe or a device would be read without end
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotRasterError("no file")
    with path.open("rb") as file:
        return file.read(_HEAD)


def _driver_for(head: bytes) -> str:
    if head.startswith(_TIFF):
        return "GTiff"
    if head.startswith(_JPEG2000):
        return "JP2OpenJPEG"
    raise NotRasterError("neither GeoTIFF nor JPEG 2000")


def _check_size(source: DatasetReader) -> None:
    if not 1 <= source.count <= MAX_BANDS:
        raise NotRasterError(f"{source.count} bands")
    rows, cols = source.block_shapes[0]
    together = source.count if str(source.profile.get("interleave", "")).lower() == "pixel" else 1
    size = rows * cols * together * (np.dtype(source.dtypes[0]).itemsize if source.dtypes[0] in np.sctypeDict else 8)
    if size > MAX_BLOCK_BYTES:
        raise NotRasterError(f"blocks of {rows} x {cols} pixels, {size / 1e6:.0f} MB each")
