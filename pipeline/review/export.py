"""Exports: GeoJSON, GeoParquet, KML with pictures, STAC, CSV, figures, films, or the whole folder as a zip."""

import csv
import io
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.model.errors import UsageError
from pipeline.review.contents import Contents, read_contents
from pipeline.review.features import COLUMNS, CREDIT, ITEMS, geojson_feature
from pipeline.review.figures import write_figures, write_films
from pipeline.review.folder import Folder, begins_with, replace_file
from pipeline.review.kml import kml_document
from pipeline.review.lonlat import to_lonlat
from pipeline.review.schema import CHANGES
from pipeline.review.stac import write_stac
from pipeline.review.stack import write_netcdf, write_zarr
from pipeline.review.through_time import raster_files

if TYPE_CHECKING:
    import xarray

GENERATOR = "groundbreak export"
"""Marks a file as an export of this program, which the next export may replace."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_EPOCH = (2020, 1, 1, 0, 0, 0)


def export_site(folder: Folder, kind: str, target: Path | None = None) -> Path:
    """Write one form of a site's results; returns the path, by default one beside the folder's other files.

    Raises UsageError for an unknown kind and for a target that no export of this kind has written, ReviewError where
    the review file cannot be read or the target written.
    """
    check_form(kind)
    contents = read_contents(folder.gpkg)
    ending, make = KINDS[kind]
    path = _export_path(folder, f"{contents.site}{ending}", target)
    make(folder, contents, path)
    return path


def export_stack(folder: Folder, site: str, kind: str, dataset: "xarray.Dataset", target: Path | None = None) -> Path:
    """Write the looks of a site; returns the path. Raises like `export_site`."""
    ending, make = STACKS[kind]
    path = _export_path(folder, f"{site}{ending}", target)
    make(dataset, path)
    return path


def check_form(kind: str) -> None:
    """Raise UsageError for an unknown format."""
    if kind not in (*KINDS, *STACKS):
        raise UsageError(f"no such form: {kind}", "--format", f"one of {', '.join((*KINDS, *STACKS))}")


def _export_path(folder: Folder, name: str, target: Path | None) -> Path:
    """The path to write; raises UsageError where it is one of the site's own files."""
    usual = folder.path / name
    path = target or usual
    if path.exists() and path.resolve() != usual.resolve() and path.resolve().is_relative_to(folder.path.resolve()):
        raise UsageError("a file of the site's own results", str(path), "give --to another name")
    return path


def feature_collection(contents: Contents) -> dict[str, Any]:
    """GeoJSON (RFC 7946): longitude and latitude, every change that is not withdrawn, with all its columns."""
    features = [geojson_feature(change, contents) for change in contents.shown]
    return {
        "type": "FeatureCollection",
        "generator": GENERATOR,
        "name": contents.name,
        "attribution": contents.provenance.get("attribution", ""),
        "features": features,
    }


def _write_geojson(_folder: Folder, contents: Contents, path: Path) -> None:
    with replace_file(path, begins_with(f'"generator": "{GENERATOR}"'.encode())) as beside:
        beside.write_text(
            json.dumps(feature_collection(contents), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )


def _write_csv(_folder: Folder, contents: Contents, path: Path) -> None:
    """One line a change, outlines as WKT; texts that a spreadsheet would run as a formula are made plain."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow((*COLUMNS, "outline_wkt", *ITEMS, *CREDIT))
    credit = [_spreadsheet_value(contents.provenance.get(name, "")) for name in CREDIT]
    for change in contents.changes:
        row = [_spreadsheet_value(change.label if name == "label" else change[name]) for name in COLUMNS]
        items = contents.items_of(change)
        links = [items.get(name) for name in ITEMS]
        writer.writerow((*row, to_lonlat(change.outline, contents.crs).wkt, *links, *credit))
    with replace_file(path, begins_with(",".join(COLUMNS).encode())) as beside:
        # spreadsheets recognise UTF-8 by the byte order mark
        beside.write_text(buffer.getvalue(), encoding="utf-8-sig", newline="")


def _spreadsheet_value(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write_geoparquet(_folder: Folder, contents: Contents, path: Path) -> None:
    """GeoParquet 1.1 in lon/lat, every change with the types of the review file, boxes for spatial filters."""
    # heavy, and needed for this form alone
    import geopandas
    import pandas as pd

    columns = {}
    for name in COLUMNS:
        kind = CHANGES[name]
        values = [_typed_value(change[name], kind) for change in contents.changes]
        columns[name] = pd.Series(pd.array(values, dtype=pd.ArrowDtype(kind)))
    columns["label"] = pd.Series(pd.array([c.label for c in contents.changes], dtype=pd.ArrowDtype(pa.string())))
    further = {name: [contents.items_of(change).get(name) for change in contents.changes] for name in ITEMS}
    further |= {name: [contents.provenance.get(name, "")] * len(contents.changes) for name in CREDIT}
    for name, values in further.items():
        columns[name] = pd.Series(pd.array(values, dtype=pd.ArrowDtype(pa.string())))
    shapes = [to_lonlat(change.outline, contents.crs) for change in contents.changes]
    frame = geopandas.GeoDataFrame(columns, geometry=shapes, crs="OGC:CRS84")
    with replace_file(path) as beside:
        frame.to_parquet(beside, index=False, schema_version="1.1.0", write_covering_bbox=True, compression="zstd")


def _typed_value(value: Any, kind: pa.DataType) -> Any:
    """A value of the review file, which keeps dates and times as text, in the type of its column."""
    if not isinstance(value, str):
        return value
    if pa.types.is_date(kind):
        return date.fromisoformat(value)
    return datetime.fromisoformat(value.replace("Z", "+00:00")) if pa.types.is_timestamp(kind) else value


def _write_kmz(folder: Folder, contents: Contents, path: Path) -> None:
    """Write a KMZ: one file with the polygons and their pictures."""
    pictures = {c.id: f for c in contents.shown if not c.drawn and (f := folder.timeline(c.id)).is_file()}
    files = {f"files/{file.name}": file.read_bytes() for file in pictures.values()}
    names: Mapping[str, str] = {key: f"files/{file.name}" for key, file in pictures.items()}
    with replace_file(path, _is_our_zip) as beside:
        _write_zip(beside, {"doc.kml": kml_document(contents, names), **files})


def _write_folder_zip(folder: Folder, contents: Contents, path: Path) -> None:
    """Write the whole folder; the review file as a consistent copy, even while QGIS has it open."""
    files = [folder.project, folder.report, folder.before, folder.after, folder.score]
    files += [file.with_suffix(".qml") for file in (folder.before, folder.after, folder.score)]
    pictures = (folder.timeline, folder.pair, folder.strip)
    files += [picture(change.id) for change in contents.changes for picture in pictures]
    files += raster_files(folder)
    members = {str(file.relative_to(folder.path)): file.read_bytes() for file in files if file.is_file()}
    members[folder.gpkg.name] = _backup_bytes(folder.gpkg)
    with replace_file(path, _is_our_zip) as beside:
        _write_zip(beside, {f"{contents.site}/{name}": content for name, content in members.items()})


def _backup_bytes(gpkg: Path) -> bytes:
    """Copy made by SQLite, because a saved verdict may still be in the -wal file."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / gpkg.name
        source, target = sqlite3.connect(gpkg), sqlite3.connect(copy)
        try:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        finally:
            source.close()
            target.close()
        return copy.read_bytes()


def _write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = GENERATOR.encode()
        for name, content in members.items():
            packed = zipfile.ZIP_STORED if name.endswith((".png", ".tif")) else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, packed)


def _is_our_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == GENERATOR.encode()
    except (zipfile.BadZipFile, OSError):
        return path.is_file() and not path.stat().st_size


def _write_stac(folder: Folder, contents: Contents, path: Path) -> None:
    write_stac(folder, contents, path)


KINDS: Mapping[str, tuple[str, Callable[[Folder, Contents, Path], None]]] = {
    "geojson": (".geojson", _write_geojson),
    "geoparquet": (".parquet", _write_geoparquet),
    "kml": (".kmz", _write_kmz),
    "stac": ("-stac", _write_stac),
    "csv": (".csv", _write_csv),
    "zip": (".zip", _write_folder_zip),
    "figure": ("-figures", write_figures),
    "film": ("-films", write_films),
}
"""Format -> file extension and writer."""
STACKS: Mapping[str, tuple[str, Callable[["xarray.Dataset", Path], None]]] = {
    "netcdf": (".nc", write_netcdf),
    "zarr": (".zarr", write_zarr),
}
"""Formats of the looks of a site -> file extension and writer."""
