"""The schema of a review file, checked and restored: other programs replace a layer without its triggers and types.

`ogr2ogr -overwrite` and GeoDataFrame.to_file drop a table and write another one of its name. What it held is kept; the
column types, the unique index, the triggers and the spatial index are made again from an empty file of this version.
"""

import contextlib
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from odc.geo.crs import CRS
from odc.geo.geom import Geometry

from pipeline.model.errors import ReviewError
from pipeline.model.unexpected_errors import UNEXPECTED_ERRORS
from pipeline.review.geoblob import decode_polygons, encode_geometry, srs_of
from pipeline.review.gpkg import open_review
from pipeline.review.rows import clean_row, is_complete, reader_of
from pipeline.review.schema import ANALYST, CHANGES, COLUMNS, LATER, Styles, add_styles, create_review

_REGISTRIES = ("gpkg_contents", "gpkg_geometry_columns", "gpkg_extensions", "gpkg_ogr_contents")
"""Tables of the GeoPackage standard, and of GDAL, that have rows about a layer."""
_MAX_EPSG = 1_000_000
_CRS, _SRS = "EPSG:32601", 32601
"""Of the empty file; replaced by that of the site."""


@dataclass(frozen=True, slots=True)
class _Table:
    """Schema of a table in this version: columns -> declared type, statement, triggers and indexes, registry rows."""

    columns: Mapping[str, str]
    statement: str
    parts: Mapping[str, str]
    registered: Mapping[str, Sequence[Mapping[str, Any]]]

    @property
    def is_spatial(self) -> bool:
        return "geom" in self.columns


def repair_schema(path: Path, styles: Styles) -> tuple[str, ...]:
    """Restore the schema of a review file where it is damaged; returns a sentence for each thing restored.

    A sound file is not written to. Raises ReviewError for a file that is locked, damaged or not of this program.
    """
    if not path.exists():
        return ()
    with open_review(path) as db:
        if not _find_defects(db):
            return ()
        db.execute("BEGIN IMMEDIATE")
        # again, under the lock: the writer that was waited for may have repaired or replaced it
        srs, defects = _site_srs(db), _find_defects(db)
        for name, defect in defects.items():
            if defect == "parts":
                _resolve_duplicates(db, name)
                _restore_parts(db, name)
            else:
                _rebuild_table(db, name, srs, styles)
        db.execute("COMMIT")
    return tuple(f"{path.parent.name}: {_defect_sentence(name, defect)}" for name, defect in defects.items())


def _defect_sentence(name: str, defect: str) -> str:
    if defect == "missing":
        return f"table {name} of review.gpkg was missing and has been made again"
    what = "its triggers or index" if defect == "parts" else "its column types, index and triggers"
    return f"table {name} of review.gpkg was written by another program: {what} have been restored"


def _find_defects(db: sqlite3.Connection) -> dict[str, str]:
    """By table: missing, types (to be built again) or parts (triggers and indexes alone)."""
    found, srs = {}, _site_srs(db)
    names = {name: kind for kind, name in db.execute("SELECT type, name FROM sqlite_master")}
    for name, table in _expected_tables().items():
        if names.get(name) != "table":
            found[name] = "missing"
        elif not _has_types(db, name, table) or (table.is_spatial and not _is_registered(db, name, srs, names)):
            found[name] = "types"
        elif not _has_parts(db, table):
            found[name] = "parts"
    return found


def _has_types(db: sqlite3.Connection, name: str, table: _Table) -> bool:
    known = {row[1]: str(row[2]).upper() for row in db.execute(f'PRAGMA table_info("{name}")')}
    # a column of LATER that is missing is added when the file is written
    needed = {column: kind for column, kind in table.columns.items() if column in known or column not in LATER}
    return all(known.get(column) == kind.upper() for column, kind in needed.items())


def _is_registered(db: sqlite3.Connection, name: str, srs: int, names: Mapping[str, str]) -> bool:
    row = db.execute(
        "SELECT column_name, geometry_type_name, srs_id, z, m FROM gpkg_geometry_columns WHERE table_name = ?", [name]
    ).fetchone()
    listed = db.execute("SELECT srs_id FROM gpkg_contents WHERE table_name = ?", [name]).fetchone()
    return row == ("geom", "MULTIPOLYGON", srs, 0, 0) and listed == (srs,) and f"rtree_{name}_geom" in names


def _has_parts(db: sqlite3.Connection, table: _Table) -> bool:
    """Whether the triggers and indexes of this program exist; those of GDAL differ between versions."""
    known = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    return all(known.get(name) == sql for name, sql in table.parts.items() if not _is_of_gdal(name))


def _is_of_gdal(name: str) -> bool:
    return name.startswith(("rtree_", "trigger_"))


def _site_srs(db: sqlite3.Connection) -> int:
    """The CRS of the site: that of the layers which no analyst edits, where none has one that of their outlines."""
    rows = dict(db.execute("SELECT table_name, srs_id FROM gpkg_geometry_columns"))
    stated = [rows.get(name) for name in ("aoi", "scenes", "changes")]
    if not any(_is_srs(each) for each in stated) and _has_column(db, "aoi", "geom"):
        stated += [srs_of(blob) for (blob,) in db.execute("SELECT geom FROM aoi")]
    return next((each for each in stated if _is_srs(each)), 4326)


def _is_srs(value: Any) -> TypeGuard[int]:
    """Whether an id names a coordinate system: 0 and -1 say that there is none (GeoPackage 1.3, 1.1.2.1.2)."""
    return isinstance(value, int) and 0 < value < _MAX_EPSG and _is_known(value)


@cache
def _is_known(code: int) -> bool:
    try:
        return bool(CRS(f"EPSG:{code}").epsg)
    except UNEXPECTED_ERRORS:
        return False


def _has_column(db: sqlite3.Connection, name: str, column: str) -> bool:
    return any(row[1] == column for row in db.execute(f"PRAGMA table_info({_quote_name(name)})"))


def _restore_parts(db: sqlite3.Connection, name: str) -> None:
    for part, sql in _expected_tables()[name].parts.items():
        kind = sql.split()[1].upper()
        if _is_of_gdal(part):
            continue
        db.execute(f'DROP {"INDEX" if kind in ("UNIQUE", "INDEX") else kind} IF EXISTS "{part}"')
        db.execute(sql)


def _resolve_duplicates(db: sqlite3.Connection, name: str) -> None:
    """Remove duplicate values of unique columns; of two changes the later row becomes the analyst's."""
    if name == "changes":
        db.execute("DROP TRIGGER IF EXISTS changes_kept")
        db.execute("UPDATE changes SET change_id = NULL WHERE fid NOT IN"
                   " (SELECT min(fid) FROM changes GROUP BY change_id) AND change_id IS NOT NULL")  # fmt: skip
    elif name == "provenance":
        db.execute("DELETE FROM provenance WHERE fid NOT IN (SELECT max(fid) FROM provenance GROUP BY key)")


def _rebuild_table(db: sqlite3.Connection, name: str, srs: int, styles: Styles) -> None:
    table = _expected_tables()[name]
    rows, extra = _read_rows(db, name, srs)
    _drop_table(db, name)
    db.execute(table.statement)
    for column, kind in extra.items():
        db.execute(f'ALTER TABLE "{name}" ADD COLUMN "{column}" {kind}')
    for row in rows:
        columns = ", ".join(f'"{column}"' for column in row)
        db.execute(f'INSERT OR IGNORE INTO "{name}" ({columns}) VALUES ({", ".join("?" * len(row))})', [*row.values()])
    _resolve_duplicates(db, name)
    for sql in table.parts.values():
        db.execute(sql)
    if table.is_spatial:
        bounds = "ST_MinX(geom), ST_MaxX(geom), ST_MinY(geom), ST_MaxY(geom)"
        filled = "geom IS NOT NULL AND NOT ST_IsEmpty(geom)"
        db.execute(f'INSERT INTO "rtree_{name}_geom" SELECT fid, {bounds} FROM "{name}" WHERE {filled}')
    for registry, entries in table.registered.items():
        for entry in entries:
            values = {**entry, **({"srs_id": srs} if entry.get("srs_id") == _SRS else {})}
            if registry == "gpkg_ogr_contents":
                values["feature_count"] = len(rows)
            marks = ", ".join("?" * len(values))
            db.execute(f"INSERT INTO {registry} ({', '.join(values)}) VALUES ({marks})", [*values.values()])
    if name == "layer_styles":
        add_styles(db, styles)
    if name == "outlines_written":
        _adopt_rows(db)


def _drop_table(db: sqlite3.Connection, name: str) -> None:
    kinds = dict(db.execute("SELECT name, type FROM sqlite_master"))
    for index in [each for each in kinds if each.startswith(f"rtree_{name}_") and kinds[each] == "table"]:
        # the tables of a spatial index go with it
        if index.count("_") == name.count("_") + 2:
            db.execute(f'DROP TABLE IF EXISTS "{index}"')
    for part in _expected_tables()[name].parts:
        if kinds.get(part) in ("trigger", "index"):
            db.execute(f'DROP {kinds[part].upper()} IF EXISTS "{part}"')
    if name in kinds:
        db.execute(f'DROP {kinds[name].upper()} "{name}"')
    for registry in _REGISTRIES:
        if registry in kinds:
            db.execute(f"DELETE FROM {registry} WHERE lower(table_name) = lower(?)", [name])


def _read_rows(db: sqlite3.Connection, name: str, srs: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of a table in the restored schema, and the columns that others have added to it."""
    table = _expected_tables()[name]
    kinds = dict(db.execute("SELECT name, type FROM sqlite_master"))
    if kinds.get(name) != "table" or name in ("outlines_written", "layer_styles"):
        return [], {}
    stored = db.execute(f'PRAGMA table_info("{name}")').fetchall()
    key = next((row[1] for row in stored if row[5]), "rowid")
    place = db.execute("SELECT column_name, srs_id FROM gpkg_geometry_columns WHERE table_name = ?", [name]).fetchone()
    geom, of = place or ("geom", srs)
    extra = {row[1]: row[2] or "TEXT" for row in stored if row[1] not in (*table.columns, key, geom)}
    db_row = db.execute(f"SELECT {key if key == 'rowid' else _quote_name(key)} AS fid_, * FROM {_quote_name(name)}")
    names = [column[0] for column in db_row.description]
    rows = []
    for values in db_row.fetchall():
        row = dict(zip(names, values, strict=True))
        kept = _clean_row(name, {column: row.get(column) for column in table.columns if column not in ("fid", "geom")})
        kept |= {column: row[column] for column in extra}
        if table.is_spatial:
            kept["geom"] = _transform_outline(row.get(geom), of, srs)
        rows.append({"fid": row["fid_"], **kept})
    return rows, extra


def _quote_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _clean_row(name: str, row: dict[str, Any]) -> dict[str, Any]:
    if name == "changes":
        # the analyst's own words stay, whatever they are
        return {column: row[column] if column in ANALYST and value is None else value
                for column, value in clean_row(row).items()}  # fmt: skip
    kinds = COLUMNS.get(name, {})
    return {column: reader_of(kinds[column])(column, value) if column in kinds else value
            for column, value in row.items()}  # fmt: skip


def _transform_outline(blob: object, of: Any, srs: int) -> object:
    """An outline as the file stores it, in the site's CRS; what is no outline is kept to be named.

    of: id of the system in which it was stored; one that is unknown is taken for that of the site.
    """
    try:
        shape = decode_polygons(blob)
    except ValueError:
        return blob
    if _is_srs(of) and of != srs:
        shape = Geometry(shape, f"EPSG:{of}").to_crs(f"EPSG:{srs}").geom
    return encode_geometry(shape, srs)


def _adopt_rows(db: sqlite3.Connection) -> None:
    """Treat complete rows as the machine's if the list of them is lost; their outlines stay as they are."""
    names = (*CHANGES,)
    for values in db.execute(f"SELECT {', '.join(names)} FROM changes WHERE change_id IS NOT NULL").fetchall():
        facts = clean_row(dict(zip(names, values, strict=True)))
        if is_complete(facts):
            db.execute("INSERT OR IGNORE INTO outlines_written VALUES (?, '')", [facts["change_id"]])


@cache
def _expected_tables() -> Mapping[str, _Table]:
    """Every table of a new review file. Raises ReviewError where no temporary file can be written."""
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "empty.gpkg"
            create_review(path, _CRS, {})
            with contextlib.closing(sqlite3.connect(path)) as db:
                return {name: _table_schema(db, name) for name in (*COLUMNS, "outlines_written", "layer_styles")}
    except (OSError, sqlite3.Error, DataSourceError, DataLayerError) as error:
        fix = "free some disk space there, or name another folder in TMPDIR"
        raise ReviewError(f"no temporary file can be written: {error}", "the temporary folder", fix) from error


def _table_schema(db: sqlite3.Connection, name: str) -> _Table:
    columns = {row[1]: row[2] for row in db.execute(f"PRAGMA table_info({name})")}
    (statement,) = db.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", [name]).fetchone()
    parts = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND"
        " ((tbl_name = ? AND type IN ('trigger', 'index')) OR name = ?) ORDER BY type = 'trigger', name",
        [name, f"rtree_{name}_geom"],
    ).fetchall()
    registered = {}
    for registry in _REGISTRIES:
        rows = db.execute(f"SELECT * FROM {registry} WHERE table_name = ?", [name])
        names = [column[0] for column in rows.description]
        registered[registry] = [dict(zip(names, row, strict=True)) for row in rows]
    return _Table(columns, statement, dict(parts), registered)
