"""The feature tables of a GeoPackage by its standard (OGC 12-128), read without GDAL: plain tables only."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from pipeline.formats.curves import flatten_curves
from pipeline.formats.databases import UntrustedError, open_database, quote_name, require_tables

WAIT_SECONDS = 10.0
ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_CATALOGUE = ("gpkg_contents", "gpkg_geometry_columns", "gpkg_spatial_ref_sys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A feature table. kind: its geometry type in capitals. crs: "EPSG:32652" or WKT, None where it is undefined."""

    name: str
    column: str
    kind: str
    crs: str | None
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row. geometry: 2-D, straight lines, None where there is none. error: why it cannot be read."""

    values: Mapping[str, Any]
    geometry: BaseGeometry | None
    error: str = ""


@contextmanager
def open_geopackage(path: Path) -> Iterator[sqlite3.Connection]:
    """A GeoPackage to read from. Raises sqlite3.Error."""
    with open_database(path, write=False, wait=WAIT_SECONDS) as db:
        require_tables(db, _CATALOGUE)
        yield db


def list_layers(db: sqlite3.Connection) -> list[Layer]:
    """Its feature tables, in the order in which it lists them. Raises sqlite3.Error."""
    rows = db.execute(
        "SELECT c.table_name, g.column_name, upper(g.geometry_type_name), s.organization,"
        " s.organization_coordsys_id, s.definition FROM gpkg_contents c"
        " JOIN gpkg_geometry_columns g ON lower(g.table_name) = lower(c.table_name)"
        " LEFT JOIN gpkg_spatial_ref_sys s ON s.srs_id = g.srs_id WHERE c.data_type = 'features' ORDER BY c.rowid"
    ).fetchall()
    found = []
    for name, column, kind, organization, code, definition in rows:
        if not (isinstance(name, str) and isinstance(column, str)):
            raise UntrustedError("a layer without a name")
        require_tables(db, [name])
        count = db.execute(f"SELECT count(*) FROM {quote_name(name)}").fetchone()[0]
        crs = _crs_name(str(organization or ""), code, str(definition or ""))
        found.append(Layer(name=name, column=column, kind=str(kind), crs=crs, rows=count))
    return found


def _crs_name(organization: str, code: object, definition: str) -> str | None:
    if organization.upper() == "EPSG" and isinstance(code, int) and code > 0:
        return f"EPSG:{code}"
    return definition if definition.strip().lower() not in ("", "undefined") else None


def read_records(db: sqlite3.Connection, layer: Layer) -> Iterator[Record]:
    """The rows of a layer in their order; values as they are stored, without the row number and those that are NULL."""
    rows = db.execute(f"SELECT * FROM {quote_name(layer.name)} ORDER BY rowid")
    names = [column[0] for column in rows.description]
    keys = {name for _, name, *_, key in db.execute(f"PRAGMA table_info({quote_name(layer.name)})") if key}
    place = next((index for index, name in enumerate(names) if name.lower() == layer.column.lower()), None)
    for row in rows:
        values = {
            name: value
            for index, (name, value) in enumerate(zip(names, row, strict=True))
            if index != place and name not in keys and value is not None
        }
        blob = None if place is None else row[place]
        try:
            yield Record(values=values, geometry=None if blob is None else decode_blob(blob))
        except (ValueError, ShapelyError) as error:
            yield Record(values=values, geometry=None, error=f"geometry cannot be read: {str(error)[:80]}")


def decode_blob(blob: object) -> BaseGeometry:
    """The geometry of a GeoPackage blob, 2-D and with straight lines. Raises ValueError or ShapelyError."""
    if not isinstance(blob, bytes) or len(blob) < 8 or blob[:2] != b"GP":
        raise ValueError("no geometry of a GeoPackage")
    envelope = (blob[3] >> 1) & 7
    if envelope >= len(ENVELOPE_BYTES):
        raise ValueError("no geometry of a GeoPackage")
    return flatten_curves(blob[8 + ENVELOPE_BYTES[envelope] :])


def read_table(db: sqlite3.Connection, name: str) -> list[dict[str, Any]]:
    """All rows of a plain table, by column. Raises sqlite3.Error."""
    require_tables(db, [name])
    rows = db.execute(f"SELECT * FROM {quote_name(name)} ORDER BY rowid")
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows]
