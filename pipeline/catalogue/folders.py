"""Input of `pair`: a folder of bands, a .SAFE product or one file of several bands, as a chip."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import transform_bounds
from rasterio.windows import Window, from_bounds
from shapely.geometry import Polygon, box

from pipeline.catalogue.bandnames import bands_of_descriptions, is_scl, name_to_band
from pipeline.catalogue.listing import files_below
from pipeline.catalogue.pixels import MARGIN_M
from pipeline.catalogue.product import normal_baseline
from pipeline.catalogue.rasters import open_raster
from pipeline.catalogue.safe import product_paths, read_products
from pipeline.model.bands import VISIBLE, Band
from pipeline.model.errors import PixelError, UsageError
from pipeline.model.imagery import (
    FIRST_OFFSET_DAY,
    FIRST_WITH_OFFSET,
    OFFSET_DN,
    Chip,
    DeclaredOffset,
    Granule,
    Level,
    Raster,
    Scene,
)

SUFFIXES = (".tif", ".tiff", ".jp2")
UNDATED = datetime(1970, 1, 1, tzinfo=UTC)
"""Time of an input whose names and tags state none."""
MAX_REFLECTANCE = 4.0
"""Floating-point values below it are reflectances, not DN."""
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-:_]?([01]\d)[-:_]?([0-3]\d)(?:[T ]?([0-2]\d):?([0-5]\d):?([0-5]\d))?(?!\d)"
)
_BASELINE = re.compile(r"_N(\d\d)(\d\d)_")
_FIX = "name the files after their bands, B04.tif or …_red.tif"


@dataclass(frozen=True, slots=True)
class BandFile:
    """Where one band lies: a file and the number of the band in it, from 1."""

    path: Path
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairInput:
    """Content of a folder or file, before any pixel is read.

    footprint: lon/lat, the ground that every band covers. dated: False = no name or tag states the day.
    """

    path: Path
    scene: Scene
    files: Mapping[Band, BandFile]
    scl: BandFile | None
    footprint: Polygon
    dated: bool


def find_pair_input(path: Path, role: str) -> PairInput:
    """What lies at a path: a folder of band files (a .SAFE product too), or one file with several bands.

    role: BEFORE or AFTER, for the messages. Raises UsageError naming what is missing: the path, the visible bands, a
    CRS, or a choice between two files of one band.
    """
    if not path.exists():
        raise UsageError("no such file or folder", f"{role} {path}", "give a folder of bands or a multi-band GeoTIFF")
    files, scl = _files_of_folder(path, role) if path.is_dir() else _bands_of_file(path, role)
    missing = [band for band in VISIBLE if band not in files]
    if missing:
        have = f"found {', '.join(sorted(files))}" if files else "found none"
        raise UsageError(f"no band {', '.join(missing)} ({have})", f"{role} {path}", _FIX)
    footprint = _common_footprint(files, role)
    names = [path.name, *(sorted({file.path.name for file in files.values()}))]
    names += [parent.name for parent in path.resolve().parents[:2]]
    time = _acquisition_time(names, files[Band.B04].path, role)
    granule = Granule(
        id=_scene_id(path),
        tile=None,
        baseline=_baseline_from_names(names),
        generated=None,
        declared_offset=_offset_from_tags(files, role)
        or _offset_from_product(path)
        or _offset_from_baseline(names, time),
        assets={band: str(file.path) for band, file in files.items()},
        scl=None if scl is None else str(scl.path),
        crs=None,
        footprint=footprint,
    )
    level = Level.L2A if scl is not None or any("L2A" in name.upper() for name in names) else Level.L1C
    scene = Scene(
        id=granule.id,
        time=time or UNDATED,
        level=level,
        platform=None,
        relative_orbit=None,
        collection="",
        granules=(granule,),
    )
    return PairInput(path=path, scene=scene, files=files, scl=scl, footprint=footprint, dated=time is not None)


def read_pair_input(side: PairInput, scene: Scene, grid: GeoBox, bands: Sequence[Band]) -> Chip:
    """The native pixels of a side over a grid and a margin, DN 0 = nodata.

    scene: the side's own, or that with another id or time. Raises PixelError naming band and file.
    """
    dn = {band: _read_raster(side.files[band], grid, np.uint16, band.value) for band in bands}
    scl = None if side.scl is None else _read_raster(side.scl, grid, np.uint8, "SCL")
    return Chip(scene=scene, granule=scene.granules[0], dn=dn, scl=scl)


def _files_of_folder(folder: Path, role: str) -> tuple[dict[Band, BandFile], BandFile | None]:
    """Band -> file, the finest where a band lies there in several resolutions."""
    rasters = sorted(
        each for each in files_below(folder) if each.suffix.lower() in SUFFIXES and _is_image(each, folder)
    )
    if not rasters:
        raise UsageError("no .tif or .jp2 file", f"{role} {folder}", _FIX)
    found: dict[Band, list[Path]] = {}
    classes = [each for each in rasters if is_scl(each.stem)]
    for each in rasters:
        band = name_to_band(each.stem)
        if band is not None:
            found.setdefault(band, []).append(each)
    if not found and len(rasters) == 1:
        return _bands_of_file(rasters[0], role)
    chosen = {band: BandFile(_finest_file(paths, band.value, role), 1) for band, paths in found.items()}
    return chosen, BandFile(_finest_file(classes, "SCL", role), 1) if classes else None


def _is_image(path: Path, folder: Path) -> bool:
    """Whether a file is neither preview nor quality mask of a product."""
    return not {"QI_DATA", "AUX_DATA"}.intersection(path.relative_to(folder).parts)


def _finest_file(paths: Sequence[Path], name: str, role: str) -> Path:
    sizes = {}
    for path in paths:
        with _open_raster(path, role) as source:
            sizes[path] = abs(source.transform.a)
    finest = min(sizes.values())
    best = [path for path, size in sizes.items() if size == finest]
    if len(best) > 1:
        raise UsageError(
            f"two files of {name}: {best[0].name} and {best[1].name}",
            f"{role} {best[0].parent}",
            "keep one acquisition in a folder",
        )
    return best[0]


def _bands_of_file(path: Path, role: str) -> tuple[dict[Band, BandFile], None]:
    with _open_raster(path, role) as source:
        named = bands_of_descriptions(source.descriptions)
    if named is None:
        raise UsageError(
            "the bands cannot be identified",
            f"{role} {path}",
            "give the bands descriptions B02, B03, … or a folder with one file a band",
        )
    return {band: BandFile(path, index) for band, index in named.items()}, None


@contextmanager
def _open_raster(path: Path, role: str) -> Iterator[DatasetReader]:
    try:
        with open_raster(str(path)) as source:
            yield source
    except RasterioError as error:
        raise UsageError(
            f"not a raster that can be read: {error}", f"{role} {path}", "give GeoTIFF or JPEG 2000"
        ) from error


def _common_footprint(files: Mapping[Band, BandFile], role: str) -> Polygon:
    """Lon/lat extent that every file covers; refuses files without a place on earth."""
    common: Any = box(-180, -90, 180, 90)
    for path in sorted({file.path for file in files.values()}):
        with _open_raster(path, role) as source:
            t = source.transform
            if source.crs is None or t.is_identity:
                raise UsageError("no georeference", f"{role} {path}", "give files with a CRS and a transform")
            if t.b or t.d:
                raise UsageError("its grid is not north-up", f"{role} {path}", "warp it first (gdalwarp)")
            if source.dtypes[0] == "uint8" and not is_scl(path.stem):
                raise UsageError("8-bit values are a picture", f"{role} {path}", "give reflectance or DN")
            common = common.intersection(box(*transform_bounds(source.crs, "EPSG:4326", *source.bounds)))
    if common.is_empty:
        raise UsageError("its bands have no ground in common", f"{role} {path}", "give bands of one place")
    return common


def _acquisition_time(names: Sequence[str], path: Path, role: str) -> datetime | None:
    """The first date in the names, then in the file's tags."""
    with _open_raster(path, role) as source:
        tags = source.tags()
    texts: Iterator[str] = iter([*names, tags.get("ACQUISITION_DATE", ""), tags.get("TIFFTAG_DATETIME", "")])
    for text in texts:
        for match in _DATE.finditer(text):
            try:
                year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
                return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
            except ValueError:
                continue
    return None


def _baseline_from_names(names: Sequence[str]) -> str | None:
    match = next((found for name in names if (found := _BASELINE.search(name))), None)
    return normal_baseline(f"{match[1]}.{match[2]}") if match else None


def _offset_from_tags(files: Mapping[Band, BandFile], role: str) -> DeclaredOffset | None:
    """DN offset 0 if the tags of the files state an offset, because it is applied; None otherwise."""
    stated: dict[bool, str] = {}
    for file in files.values():
        with _open_raster(file.path, role) as source:
            stated[source.offsets[file.index - 1] != 0] = file.path.name
    if len(stated) > 1:
        fix = "give files that all state an offset in their tags, or none"
        raise UsageError(f"{stated[True]} states an offset and {stated[False]} does not", role, fix)
    return DeclaredOffset(dn=0, reason="the offset in the tags of the files is applied") if True in stated else None


def _offset_from_product(path: Path) -> DeclaredOffset | None:
    """Offset that a product declares; None for a folder that is not a complete product."""
    if not path.is_dir() or product_paths(path) != [path]:
        return None
    walk = read_products([path])
    return walk.products[0].granule.declared_offset if walk.products else None


def _offset_from_baseline(names: Sequence[str], time: datetime | None) -> DeclaredOffset:
    baseline = _baseline_from_names(names)
    if baseline is None and any(_BASELINE.search(name) for name in names):
        return DeclaredOffset(dn=None, reason="made by a user, whose baseline number says nothing of the offset")
    if baseline is not None:
        return DeclaredOffset(
            dn=OFFSET_DN if baseline >= FIRST_WITH_OFFSET else 0, reason=f"baseline {baseline} by its name"
        )
    if time is not None and time < FIRST_OFFSET_DAY:
        return DeclaredOffset(dn=0, reason=f"acquired before {FIRST_OFFSET_DAY:%Y-%m-%d}")
    return DeclaredOffset(dn=None, reason="the names state no processing baseline")


def _scene_id(path: Path) -> str:
    """Folder and name: informative for `before`, `paris/before` and a product name alike."""
    stem = path.resolve().stem if path.is_file() else path.resolve().name
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", f"{path.resolve().parent.name}-{stem}").strip("-.")[-100:] or "scene"


def _read_raster(file: BandFile, grid: GeoBox, dtype: type, name: str) -> Raster:
    """Whole native pixels over the grid and its margin, 0 beyond the file and where it has no data."""
    try:
        with open_raster(str(file.path)) as source:
            window = _window_over_grid(source, grid)
            part = source.read(file.index, window=window)
            tags = source.scales[file.index - 1], source.offsets[file.index - 1]
            data = _as_dn(part, source.nodata, tags) if dtype is np.uint16 else part.astype(dtype)
            return Raster(grid=GeoBox(data.shape, source.window_transform(window), str(source.crs)), data=data)
    except RasterioError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:160]
        raise PixelError(
            f"cannot read {name}: {reason}", str(file.path), "the file is damaged: fetch it again"
        ) from error


def _window_over_grid(source: DatasetReader, grid: GeoBox) -> Window:
    left, bottom, right, top = transform_bounds(str(grid.crs), source.crs, *grid.extent.boundingbox.bbox)
    reach = MARGIN_M if source.crs.is_projected else MARGIN_M / 111_320 * 2
    exact = from_bounds(left - reach, bottom - reach, right + reach, top + reach, source.transform)
    row0, col0 = max(int(exact.row_off), 0), max(int(exact.col_off), 0)
    row1 = min(int(np.ceil(exact.row_off + exact.height)), source.height)
    col1 = min(int(np.ceil(exact.col_off + exact.width)), source.width)
    return Window(col0, row0, col1 - col0, row1 - row0)


def _as_dn(values: NDArray[Any], nodata: float | None, tags: tuple[float, float] = (1.0, 0.0)) -> NDArray[np.uint16]:
    """DN (reflectance * 10000) with 0 = nodata; a valid value is at least 1. tags: scale and offset of the file."""
    empty = values == 0
    if nodata is not None:
        empty |= np.isnan(values) if np.isnan(nodata) else values == nodata
    if tags != (1.0, 0.0):
        values = values.astype(np.float64) * tags[0] + tags[1]
    scale = 1.0
    if values.dtype.kind == "f":
        empty |= ~np.isfinite(values)
        measured = values[~empty]
        scale = 10000.0 if measured.size and float(np.quantile(measured, 0.99)) < MAX_REFLECTANCE else 1.0
    return np.where(empty, 0, np.clip(np.nan_to_num(values) * scale, 1, 65535)).astype(np.uint16)
