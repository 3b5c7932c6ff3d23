"""What is sent on: GeoJSON, KML with pictures, STAC, CSV, figures, films, or the whole folder as a zip."""

import csv
import io
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.model.errors import UsageError
from pipeline.review.contents import Contents, read
from pipeline.review.features import COLUMNS, geojson_feature
from pipeline.review.figures import write_figures, write_films
from pipeline.review.folder import Folder, replacing
from pipeline.review.kml import document
from pipeline.review.lonlat import to_lonlat
from pipeline.review.stac import write_stac

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_EPOCH = (2020, 1, 1, 0, 0, 0)


def export(folder: Folder, kind: str, target: Path | None = None) -> Path:
    """Write one form of a site's results; returns the path, by default one beside the folder's other files.

    Raises UsageError for an unknown kind and for a target that is one of the site's files, ReviewError where the review
    file cannot be read or the target written.
    """
    if kind not in KINDS:
        raise UsageError(f"no such form: {kind}", "--format", f"one of {', '.join(KINDS)}")
    contents = read(folder.gpkg)
    ending, make = KINDS[kind]
    usual = folder.path / f"{contents.site}{ending}"
    path = target or usual
    if path.exists() and path.resolve() != usual.resolve() and path.resolve().is_relative_to(folder.path.resolve()):
        raise UsageError("a file of the site's own results", str(path), "give --to another name")
    make(folder, contents, path)
    return path


def geojson(contents: Contents) -> dict[str, Any]:
    """RFC 7946: longitude and latitude, no CRS member, every change that stands with all its columns."""
    features = [geojson_feature(change, contents) for change in contents.shown]
    return {
        "type": "FeatureCollection",
        "name": contents.name,
        "attribution": contents.provenance.get("attribution", ""),
        "features": features,
    }


def _geojson(_folder: Folder, contents: Contents, path: Path) -> None:
    with replacing(path) as beside:
        beside.write_text(json.dumps(geojson(contents), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _csv(_folder: Folder, contents: Contents, path: Path) -> None:
    """One line a change, outlines as WKT; texts that a spreadsheet would run as a formula are made plain."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow((*COLUMNS, "outline_wkt", "attribution"))
    credit = _plain(contents.provenance.get("attribution", ""))
    for change in contents.changes:
        row = [_plain(change[name]) for name in COLUMNS]
        writer.writerow((*row, to_lonlat(change.outline, contents.crs).wkt, credit))
    with replacing(path) as beside:
        # the mark tells spreadsheets that this is UTF-8
        beside.write_text(buffer.getvalue(), encoding="utf-8-sig", newline="")


def _plain(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _kml(folder: Folder, contents: Contents, path: Path) -> None:
    """A KMZ: the polygons and, inside it, their pictures, so that it is one file to send."""
    pictures = {c.id: f for c in contents.shown if not c.drawn and (f := folder.timeline(c.id)).is_file()}
    files = {f"files/{file.name}": file.read_bytes() for file in pictures.values()}
    names: Mapping[str, str] = {key: f"files/{file.name}" for key, file in pictures.items()}
    with replacing(path) as beside:
        _write_zip(beside, {"doc.kml": document(contents, names), **files})


def _zip(folder: Folder, contents: Contents, path: Path) -> None:
    """Everything an analyst needs elsewhere; the review file as a consistent copy, even while QGIS has it open."""
    files = [folder.project, folder.report, folder.before, folder.after, folder.score]
    files += [file.with_suffix(".qml") for file in (folder.before, folder.after, folder.score)]
    pictures = (folder.timeline, folder.pair, folder.strip)
    files += [picture(change.id) for change in contents.changes for picture in pictures]
    members = {str(file.relative_to(folder.path)): file.read_bytes() for file in files if file.is_file()}
    members["review.gpkg"] = _backup(folder.gpkg)
    with replacing(path) as beside:
        _write_zip(beside, {f"{contents.site}/{name}": content for name, content in members.items()})


def _backup(gpkg: Path) -> bytes:
    """Through SQLite, never by copying: a saved verdict may still lie in the -wal file."""
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
        for name, content in members.items():
            packed = zipfile.ZIP_STORED if name.endswith((".png", ".tif")) else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, packed)


def _stac(folder: Folder, contents: Contents, path: Path) -> None:
    write_stac(folder, contents, path)


KINDS: Mapping[str, tuple[str, Callable[[Folder, Contents, Path], None]]] = {
    "geojson": (".geojson", _geojson),
    "kml": (".kmz", _kml),
    "stac": ("-stac", _stac),
    "csv": (".csv", _csv),
    "zip": (".zip", _zip),
    "figure": ("-figures", write_figures),
    "film": ("-films", write_films),
}
"""Form -> ending of its file and what writes it."""
