"""ESA's own products on disk: .SAFE folders and zips of them, L2A and L1C, read from their MTD files."""

import math
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from shapely.errors import GEOSException
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from pipeline.catalogue.claims import FIRST_WITH_OFFSET, OFFSET_DN
from pipeline.catalogue.items import polygons
from pipeline.catalogue.product import (
    Product,
    ProductName,
    datatake_key,
    normal_baseline,
    parse_name,
    parse_time,
    strip_start,
)
from pipeline.catalogue.static import Walk
from pipeline.model.bands import Band
from pipeline.model.errors import CatalogueError
from pipeline.model.imagery import Granule, Level, OffsetClaim

MEND = "download the product again"
MAX_XML = 64_000_000
"""Largest metadata file read, bytes; real ones are below 1 MB."""
MAX_FILES = 20_000
_UNREADABLE = (
    OSError, KeyError, ElementTree.ParseError, DefusedXmlException, zipfile.BadZipFile, zlib.error, RuntimeError
)  # fmt: skip
"""What a damaged product raises; RuntimeError where its zip is encrypted or packed in a way that Python lacks."""
_PRODUCT_XML = re.compile(r"^MTD_MSIL(?:1C|2A)\.xml$", re.IGNORECASE)
_IMAGE = re.compile(r"_(B\d\d|B8A|SCL)(?:_(\d\d)m)?\.(?:jp2|tif)$", re.IGNORECASE)


class _Files(Protocol):
    """The files of a product, wherever they are kept: names relative to the .SAFE folder."""

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
            raise CatalogueError(f"{name} is larger than {MAX_XML / 1e6:.0f} MB", str(self.root), MEND)
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
                raise CatalogueError(f"{name} is larger than {MAX_XML / 1e6:.0f} MB", str(self.path), MEND)
            return archive.read(self.inside + name)

    def href(self, name: str) -> str:
        return f"zip://{self.path}!/{self.inside}{name}"


def product_paths(source: Path) -> list[Path]:
    """The .SAFE folders and zips a path stands for: itself, or what a folder holds; empty if it is something else."""
    if source.suffix.lower() in (".safe", ".zip"):
        return [source]
    if not source.is_dir():
        return []
    return sorted(path for path in source.iterdir() if path.suffix.lower() in (".safe", ".zip"))


def read_products(paths: Sequence[Path]) -> Walk:
    """Every product that can be read; a broken one is a fault and takes no other with it."""
    walk = Walk()
    for path in paths:
        try:
            walk.products.append(read_safe(path))
        except CatalogueError as fault:
            walk.faults.append(fault)
    return walk


def read_safe(path: Path) -> Product:
    """One product from its folder or zip. Raises CatalogueError naming file and field."""
    where = str(path)
    try:
        files = _open(path.resolve())
        top = [name for name in files.names if _PRODUCT_XML.match(name)]
        tiles = [name for name in files.names if PurePosixPath(name).name.upper() == "MTD_TL.XML"]
        if len(top) != 1 or len(tiles) != 1:
            what = f"{len(top)} product and {len(tiles)} tile metadata files"
            raise CatalogueError(what, where, "give a whole product of one tile, as made since December 2016")
        product, tile = (ElementTree.fromstring(files.text(name)) for name in (top[0], tiles[0]))
    except _UNREADABLE as fault:
        if isinstance(fault, CatalogueError):
            raise
        raise CatalogueError(f"product cannot be read: {type(fault).__name__}: {fault}", where, MEND) from fault
    try:
        return _product(files, product, tile, where)
    except (ValueError, GEOSException) as fault:
        raise CatalogueError(f"metadata cannot be understood: {fault}", where, MEND) from fault


def _open(path: Path) -> _Files:
    if path.is_dir():
        names = [found.relative_to(path).as_posix() for found in sorted(path.rglob("*")) if found.is_file()]
        return _Folder(path, names[:MAX_FILES])
    with zipfile.ZipFile(path) as archive:
        whole = [name for name in archive.namelist()[:MAX_FILES] if not name.endswith("/") and ".." not in name]
    tops = [name for name in whole if _PRODUCT_XML.match(PurePosixPath(name).name)]
    inside = tops[0].rpartition("/")[0] if tops else ""
    prefix = f"{inside}/" if inside else ""
    return _Zip(path, prefix, sorted(name.removeprefix(prefix) for name in whole if name.startswith(prefix)))


def _product(files: _Files, product: Any, tile: Any, where: str) -> Product:
    name = parse_name(_text(product, "PRODUCT_URI", where))
    if name is None:
        raise CatalogueError("PRODUCT_URI is no product name", where, MEND)
    baseline = normal_baseline(_text(product, "PROCESSING_BASELINE", where))
    hrefs, scl = _images(files, where)
    granule = Granule(
        id=_text(product, "PRODUCT_URI", where).removesuffix(".SAFE"),
        tile=name.tile,
        baseline=baseline,
        generated=parse_time(_text(product, "GENERATION_TIME", where)),
        offset_claim=_claim(product, baseline, name.level, where),
        assets=hrefs,
        scl=scl if name.level is Level.L2A else None,
        crs=_text(tile, "HORIZONTAL_CS_CODE", where).upper(),
        footprint=_footprint(product, where),
    )
    return Product(
        granule=granule,
        provider="safe",
        time=parse_time(_optional(tile, "SENSING_TIME") or _text(product, "PRODUCT_START_TIME", where)),
        level=name.level,
        collection="",
        datatake=_datatake(product, name),
        strip=strip_start(_optional(tile, "DATASTRIP_ID") or ""),
        platform=f"sentinel-{name.platform[1:].lower()}",
        relative_orbit=name.orbit,
        sun=_sun(tile),
        cloud_percent=_share(product, "Cloud_Coverage_Assessment"),
        nodata_percent=_share(product, "NODATA_PIXEL_PERCENTAGE"),
    )


def _images(files: _Files, where: str) -> tuple[dict[Band, str], str | None]:
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
        raise CatalogueError("no band file under IMG_DATA", where, MEND)
    scl = found.get("SCL")
    return hrefs, files.href(min(scl)[1]) if scl else None


def _claim(product: Any, baseline: str | None, level: Level, where: str) -> OffsetClaim:
    quantification = _optional(product, "BOA_QUANTIFICATION_VALUE" if level is Level.L2A else "QUANTIFICATION_VALUE")
    if quantification is not None and float(quantification) != 10000:
        raise CatalogueError(
            f"quantification value {quantification}, not 10000", where, "this product is not supported"
        )
    name = "BOA_ADD_OFFSET" if level is Level.L2A else "RADIO_ADD_OFFSET"
    stated = {round(-float(each)) for each in _all(product, name)}
    if stated in ({0}, {OFFSET_DN}):
        return OffsetClaim(dn=stated.pop(), reason=f"{name} in the product")
    if stated:
        return OffsetClaim(dn=None, reason=f"{name} is {', '.join(map(str, sorted(stated)))}")
    if baseline is not None and baseline < FIRST_WITH_OFFSET:
        return OffsetClaim(dn=0, reason=f"baseline {baseline} has no offset")
    return OffsetClaim(dn=None, reason=f"no {name} at baseline {baseline}")


def _footprint(product: Any, where: str) -> BaseGeometry:
    """EXT_POS_LIST: latitude and longitude in turn, some products with a height as third."""
    numbers = [float(part) for part in _text(product, "EXT_POS_LIST", where).split()]
    step = 3 if len(numbers) % 3 == 0 and numbers[0:2] != numbers[-2:] else 2
    corners = [(numbers[i + 1], numbers[i]) for i in range(0, len(numbers) - 1, step)]
    return polygons(Polygon(corners), where)


def _datatake(product: Any, name: ProductName) -> str:
    element = next(_elements(product, "Datatake"), None)
    stated = datatake_key(element.get("datatakeIdentifier", "")) if element is not None else None
    return stated or f"{name.platform}_{name.start:%Y%m%dT%H%M%S}"


def _sun(tile: Any) -> tuple[float, float] | None:
    mean = next(_elements(tile, "Mean_Sun_Angle"), None)
    if mean is None:
        return None
    zenith, azimuth = (_optional(mean, name) for name in ("ZENITH_ANGLE", "AZIMUTH_ANGLE"))
    sun = (float(zenith), float(azimuth)) if zenith and azimuth else (math.nan, math.nan)
    return sun if all(map(math.isfinite, sun)) else None


def _share(product: Any, name: str) -> float | None:
    text = _optional(product, name)
    return float(text) if text else None


def _elements(root: Any, name: str) -> Iterator[Any]:
    return (element for element in root.iter() if element.tag.rpartition("}")[2] == name)


def _all(root: Any, name: str) -> list[str]:
    return [element.text.strip() for element in _elements(root, name) if element.text]


def _optional(root: Any, name: str) -> str | None:
    found = _all(root, name)
    return found[0] if found else None


def _text(root: Any, name: str, where: str) -> str:
    found = _optional(root, name)
    if not found:
        raise CatalogueError(f"no {name} in the metadata", where, MEND)
    return found
