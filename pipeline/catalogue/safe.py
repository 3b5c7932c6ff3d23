"""ESA's own products on disk: .SAFE folders and zips of them, L2A and L1C, read from their MTD files."""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from shapely.errors import GEOSException
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from pipeline.catalogue.items import extract_polygons
from pipeline.catalogue.listing import files_below, files_of, is_hidden
from pipeline.catalogue.product import (
    Product,
    ProductName,
    datatake_key,
    normal_baseline,
    parse_name,
    parse_number,
    parse_time,
    strip_start,
)
from pipeline.catalogue.static import INDEXES, ReadResult
from pipeline.model.bands import Band
from pipeline.model.errors import CatalogueError
from pipeline.model.imagery import FIRST_WITH_OFFSET, OFFSET_DN, DeclaredOffset, Granule, Level
from pipeline.model.unexpected_errors import UNEXPECTED_ERRORS

FIX = "download the product again"
MAX_XML = 64_000_000
"""Largest metadata file read, bytes; real ones are below 1 MB."""
MAX_FILES = 20_000
DEPTH = 5
"""Folders between the one that is named and a product."""
_UNREADABLE = (
    OSError, KeyError, ElementTree.ParseError, DefusedXmlException, zipfile.BadZipFile, zlib.error, RuntimeError
)  # fmt: skip
"""Exceptions of a damaged product; RuntimeError for an encrypted zip or an unsupported compression."""
_PRODUCT_XML = re.compile(r"^MTD_MSIL(?:1C|2A)\.xml$", re.IGNORECASE)
_URI = ("PRODUCT_URI", "PRODUCT_URI_2A", "PRODUCT_URI_1C")
"""Sen2Cor up to 2.5.5 names the product that it wrote and the one that it read."""
_QUANTIFICATION = {
    Level.L2A: ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"),
    Level.L1C: ("QUANTIFICATION_VALUE", "L1C_TOA_QUANTIFICATION_VALUE"),
}
_IMAGE = re.compile(r"_(B\d\d|B8A|SCL)(?:_(\d\d)m)?\.(?:jp2|tif)$", re.IGNORECASE)


class _Files(Protocol):
    """Files of a product in a folder or archive; names are relative to the .SAFE folder."""

    @property
    def names(self) -> Sequence[str]:
        """Paths below the .SAFE folder."""

    def text(self, name: str) -> bytes:
        """A file's bytes."""

    def href(self, name: str) -> str:
        """How GDAL opens a file."""


@dataclass(frozen=True, slots=True)
class _Folder:
    root: Path
    names: Sequence[str]

    def text(self, name: str) -> bytes:
        if (self.root / name).stat().st_size > MAX_XML:
            raise CatalogueError(f"{name} is larger than {MAX_XML / 1e6:.0f} MB", str(self.root), FIX)
        return (self.root / name).read_bytes()

    def href(self, name: str) -> str:
        return str(self.root / name)


@dataclass(frozen=True, slots=True)
class _Zip:
    path: Path
    inside: str
    names: Sequence[str]

    def text(self, name: str) -> bytes:
        with zipfile.ZipFile(self.path) as archive:
            if archive.getinfo(self.inside + name).file_size > MAX_XML:
                raise CatalogueError(f"{name} is larger than {MAX_XML / 1e6:.0f} MB", str(self.path), FIX)
            return archive.read(self.inside + name)

    def href(self, name: str) -> str:
        return f"zip://{self.path}!/{self.inside}{name}"


def product_paths(source: Path) -> list[Path]:
    """The product folders and zips that a path stands for; empty if it is something else.

    A product is known by its metadata file, whatever the folder is called and however often it was put into a folder
    of its own name: downloaders drop the `.SAFE`, write `TITLE/TITLE.SAFE`, or the same name twice.
    """
    if not source.is_dir():
        return [source] if source.suffix.lower() in (".safe", ".zip") else []
    if any((source / name).is_file() for name in INDEXES):
        return []
    return _products_in(source, DEPTH)


def _products_in(folder: Path, depth: int) -> list[Path]:
    try:
        inside = files_of(folder)
    except OSError as error:
        raise CatalogueError(
            f"cannot be listed: {error.strerror or error}", str(folder), "fix its permissions"
        ) from error
    if any(_PRODUCT_XML.match(path.name) for path in inside):
        return [folder]
    found = [path for path in inside if path.suffix.lower() == ".zip" and (depth == DEPTH or parse_name(path.name))]
    if depth > 0:
        found += [each for path in inside if path.is_dir() for each in _products_in(path, depth - 1)]
    # a folder that is named like a product and cannot be read as one is reported
    return sorted(found) or ([folder] if folder.suffix.lower() == ".safe" else [])


def read_products(paths: Sequence[Path]) -> ReadResult:
    """Every product that can be read; a broken one becomes an error and does not affect the others."""
    result = ReadResult()
    for path in paths:
        try:
            result.products.append(read_safe(path))
        except CatalogueError as error:
            result.errors.append(error)
        except UNEXPECTED_ERRORS as error:
            what = f"cannot be understood: {type(error).__name__}: {str(error)[:120]}"
            result.errors.append(CatalogueError(what, str(path), FIX))
    return result


def read_safe(path: Path) -> Product:
    """One product from its folder or zip. Raises CatalogueError naming file and field."""
    where = str(path)
    try:
        files = _open_files(path.resolve())
        top = [name for name in files.names if _PRODUCT_XML.match(name)]
        tiles = [name for name in files.names if PurePosixPath(name).name.upper() == "MTD_TL.XML"]
        if len(top) != 1 or len(tiles) != 1:
            what = f"{len(top)} product and {len(tiles)} tile metadata files"
            raise CatalogueError(what, where, "give a whole product of one tile, as made since December 2016")
        product, tile = (ElementTree.fromstring(files.text(name)) for name in (top[0], tiles[0]))
    except _UNREADABLE as error:
        if isinstance(error, CatalogueError):
            raise
        raise CatalogueError(f"product cannot be read: {type(error).__name__}: {error}", where, FIX) from error
    try:
        return _read_product(files, product, tile, where)
    except (ValueError, GEOSException) as error:
        raise CatalogueError(f"metadata cannot be understood: {error}", where, FIX) from error


def _open_files(path: Path) -> _Files:
    if path.is_dir():
        return _Folder(path, [each.relative_to(path).as_posix() for each in islice(files_below(path), MAX_FILES)])
    with zipfile.ZipFile(path) as archive:
        listed = [name for name in archive.namelist()[:MAX_FILES] if not name.endswith("/") and ".." not in name]
    whole = [name for name in listed if not is_hidden(name)]
    tops = [name for name in whole if _PRODUCT_XML.match(PurePosixPath(name).name)]
    if len(tops) > 1:
        raise CatalogueError(f"{len(tops)} products in one zip", str(path), "unpack it, and name the folder")
    inside = tops[0].rpartition("/")[0] if tops else ""
    prefix = f"{inside}/" if inside else ""
    return _Zip(path, prefix, sorted(name.removeprefix(prefix) for name in whole if name.startswith(prefix)))


def _read_product(files: _Files, product: Any, tile: Any, where: str) -> Product:
    uri = _require_text(product, where, *_URI)
    name = parse_name(uri)
    if name is None:
        raise CatalogueError("PRODUCT_URI is no product name", where, FIX)
    baseline = normal_baseline(_first_text(product, "PROCESSING_BASELINE") or "") or name.baseline
    hrefs, scl = _find_images(files, where)
    granule = Granule(
        id=uri.removesuffix(".SAFE"),
        tile=name.tile,
        baseline=baseline,
        generated=_read_time(product, "GENERATION_TIME") or name.generated,
        declared_offset=_declared_offset(product, baseline, name.level, where),
        assets=hrefs,
        scl=scl if name.level is Level.L2A else None,
        crs=_require_text(tile, where, "HORIZONTAL_CS_CODE").upper(),
        footprint=_read_footprint(product, where),
    )
    return Product(
        granule=granule,
        provider="safe",
        time=_read_time(tile, "SENSING_TIME") or _read_time(product, "PRODUCT_START_TIME") or name.start,
        level=name.level,
        collection="",
        datatake=_datatake_id(product, name),
        strip=strip_start(_first_text(tile, "DATASTRIP_ID", "DATASTRIP_ID_2A", "L2A_DATASTRIP_ID") or ""),
        platform=f"sentinel-{name.platform[1:].lower()}",
        relative_orbit=name.orbit,
        sun=_sun_angles(tile),
        cloud_percent=_read_share(product, "Cloud_Coverage_Assessment"),
        nodata_percent=_read_share(product, "NODATA_PIXEL_PERCENTAGE"),
    )


def _find_images(files: _Files, where: str) -> tuple[dict[Band, str], str | None]:
    """Band files in their native resolution, or the finest there is; and the scene classification."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in files.names:
        match = _IMAGE.search(name)
        if match and "IMG_DATA" in name:
            found.setdefault(match[1].upper(), []).append((int(match[2] or 0), name))
    hrefs = {}
    for band in Band:
        if band.value in found:
            choice = min(found[band.value], key=lambda each: (abs(each[0] - band.native_m) if each[0] else 0, each))
            hrefs[band] = files.href(choice[1])
    if not hrefs:
        raise CatalogueError("no band file under IMG_DATA", where, FIX)
    scl = found.get("SCL")
    return hrefs, files.href(min(scl)[1]) if scl else None


def _declared_offset(product: Any, baseline: str | None, level: Level, where: str) -> DeclaredOffset:
    quantification = _first_text(product, *_QUANTIFICATION[level])
    if quantification is not None and float(quantification) != 10000:
        raise CatalogueError(
            f"quantification value {quantification}, not 10000", where, "this product is not supported"
        )
    name = "BOA_ADD_OFFSET" if level is Level.L2A else "RADIO_ADD_OFFSET"
    stated = {round(-float(each)) for each in _all_texts(product, name)}
    if stated in ({0}, {OFFSET_DN}):
        return DeclaredOffset(dn=stated.pop(), reason=f"{name} in the product")
    if stated:
        return DeclaredOffset(dn=None, reason=f"{name} is {', '.join(map(str, sorted(stated)))}")
    if baseline is not None and baseline < FIRST_WITH_OFFSET:
        return DeclaredOffset(dn=0, reason=f"baseline {baseline} has no offset")
    return DeclaredOffset(dn=None, reason=f"no {name} at baseline {baseline}")


def _read_footprint(product: Any, where: str) -> BaseGeometry:
    """EXT_POS_LIST: latitude and longitude in turn, some products with a height as third."""
    numbers = [float(part) for part in _require_text(product, where, "EXT_POS_LIST").split()]
    step = 3 if len(numbers) % 3 == 0 and numbers[0:2] != numbers[-2:] else 2
    corners = [(numbers[i + 1], numbers[i]) for i in range(0, len(numbers) - 1, step)]
    return extract_polygons(Polygon(corners), where)


def _datatake_id(product: Any, name: ProductName) -> str:
    element = next(_find_elements(product, "Datatake"), None)
    stated = datatake_key(element.get("datatakeIdentifier", "")) if element is not None else None
    return stated or f"{name.platform}_{name.start:%Y%m%dT%H%M%S}"


def _sun_angles(tile: Any) -> tuple[float, float] | None:
    mean = next(_find_elements(tile, "Mean_Sun_Angle"), None)
    if mean is None:
        return None
    zenith, azimuth = (
        parse_number(_first_text(mean, "ZENITH_ANGLE"), 0, 180),
        parse_number(_first_text(mean, "AZIMUTH_ANGLE"), 0, 360),
    )
    return None if zenith is None or azimuth is None else (zenith, azimuth)


def _read_share(product: Any, name: str) -> float | None:
    return parse_number(_first_text(product, name), 0, 100)


def _read_time(root: Any, name: str) -> datetime | None:
    text = _first_text(root, name)
    try:
        return parse_time(text) if text else None
    except (ValueError, OverflowError):
        return None


def _find_elements(root: Any, name: str) -> Iterator[Any]:
    return (element for element in root.iter() if element.tag.rpartition("}")[2] == name)


def _all_texts(root: Any, name: str) -> list[str]:
    return [element.text.strip() for element in _find_elements(root, name) if element.text]


def _first_text(root: Any, *names: str) -> str | None:
    """Text of the first of these elements that exists."""
    return next((found[0] for name in names if (found := _all_texts(root, name))), None)


def _require_text(root: Any, where: str, *names: str) -> str:
    found = _first_text(root, *names)
    if not found:
        raise CatalogueError(f"no {names[0]} in the metadata", where, FIX)
    return found
