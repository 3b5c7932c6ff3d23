"""The tables of review.gpkg: made once, empty, with their types, triggers and styles."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

MACHINE = (
    "change_id", "label", "site", "status", "ended", "kind", "confidence", "area_m2", "area_error_m2",
    "last_clear_before", "first_seen", "confirmed_at", "last_seen", "looks_seen", "looks_clear", "before_scene",
    "after_scene", "lon", "lat",
)  # fmt: skip
"""Columns of `changes` that the machine writes; it writes no other."""
LATER = {"label": "TEXT", "ended": "DATE"}
"""Machine columns that older review files lack, with their SQLite type; `add_columns` adds them."""
ANALYST = ("verdict", "note", "reviewer", "reviewed_at")
VERDICTS = ("construction", "other change", "no change", "uncertain")

_STAMP = pa.timestamp("ms", tz="UTC")
_GEOMETRY = {"ARROW:extension:name": "ogc.wkb"}
CHANGES = {
    "change_id": pa.string(), "label": pa.string(), "site": pa.string(), "status": pa.string(),
    "ended": pa.date32(), "kind": pa.string(),
    "confidence": pa.float64(), "area_m2": pa.float64(), "area_error_m2": pa.float64(),
    "last_clear_before": pa.date32(), "first_seen": pa.date32(), "confirmed_at": pa.date32(),
    "last_seen": pa.date32(), "looks_seen": pa.int32(), "looks_clear": pa.int32(), "before_scene": pa.string(),
    "after_scene": pa.string(), "lon": pa.float64(), "lat": pa.float64(), "verdict": pa.string(), "note": pa.string(),
    "reviewer": pa.string(), "reviewed_at": _STAMP,
}  # fmt: skip
OBSERVATIONS = {
    "change_id": pa.string(), "scene": pa.string(), "time": _STAMP, "clear_share": pa.float64(), "score": pa.float64(),
    "seen": pa.bool_(),
}  # fmt: skip
PHASES = {
    "change_id": pa.string(), "state": pa.string(), "from_after": pa.date32(), "from": pa.date32(), "to": pa.date32(),
    "to_before": pa.date32(), "probability": pa.float64(),
}  # fmt: skip
"""What the ground of a change was: from and to are the first and last clear look of a phase, from_after and to_before
the clear looks of the phases beside it."""
SCENES = {
    "scene": pa.string(), "time": _STAMP, "used": pa.bool_(), "reason": pa.string(), "value": pa.float64(),
    "limit_value": pa.float64(), "note": pa.string(), "shift_row_px": pa.float64(), "shift_col_px": pa.float64(),
    "reliability": pa.float64(), "clear_share": pa.float64(), "boa_offset_dn": pa.int32(), "offset_note": pa.string(),
}  # fmt: skip
LOG = {
    "change_id": pa.string(), "verdict": pa.string(), "note": pa.string(), "reviewer": pa.string(),
    "reviewed_at": _STAMP,
}  # fmt: skip
AOI = {"id": pa.string(), "name": pa.string()}
NEWS = {
    "as_of": _STAMP,
    "change_id": pa.string(),
    "event": pa.string(),
    "confidence": pa.float64(),
    "latest": pa.bool_(),
}
PROVENANCE = {"key": pa.string(), "value": pa.string()}
COLUMNS = {
    "changes": CHANGES, "aoi": AOI, "scenes": SCENES, "observations": OBSERVATIONS, "phases": PHASES,
    "review_log": LOG, "news": NEWS, "provenance": PROVENANCE,
}  # fmt: skip
"""Every layer and its columns, geometries apart."""
Styles = Mapping[tuple[str, str], str]
"""(table, style name) -> QML; the first style of a table is its default."""

TABLES = (
    "changes", "aoi", "scenes", "observations", "phases", "review_log", "news", "provenance", "outlines_written",
    "layer_styles",
    "gpkg_contents", "gpkg_geometry_columns", "gpkg_spatial_ref_sys",
)  # fmt: skip
"""Names that must be plain tables in a review file, without views and computed columns."""

_LAYER_STYLES = """CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
 f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
 styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30),
 ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"""
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ','now')"
# the database stamps verdicts of every writer, in UTC: QGIS 3.22 would store local time
_STAMPED = f"""BEGIN UPDATE changes SET reviewed_at = {_NOW} WHERE fid = NEW.fid;
 INSERT INTO review_log (change_id, verdict, note, reviewer, reviewed_at)
 VALUES (NEW.change_id, NEW.verdict, NEW.note, NEW.reviewer, {_NOW}); END"""
_TRIGGERS = (
    f"""CREATE TRIGGER changes_reviewed AFTER UPDATE OF verdict, note ON changes
 WHEN OLD.verdict IS NOT NEW.verdict OR OLD.note IS NOT NEW.note {_STAMPED}""",
    f"CREATE TRIGGER changes_drawn AFTER INSERT ON changes WHEN NEW.verdict IS NOT NULL {_STAMPED}",
    """CREATE TRIGGER changes_kept BEFORE DELETE ON changes WHEN OLD.change_id IS NOT NULL
 BEGIN SELECT RAISE(ABORT, 'alerts are kept: give a verdict instead'); END""",
)


def has_column(db: sqlite3.Connection, name: str) -> bool:
    """Whether `changes` has a column."""
    return any(row[1] == name for row in db.execute("PRAGMA table_info(changes)"))


def add_columns(db: sqlite3.Connection) -> None:
    """Add to an older review file the columns of LATER that it lacks."""
    for name, kind in LATER.items():
        if not has_column(db, name):
            db.execute(f"ALTER TABLE changes ADD COLUMN {name} {kind}")


def create_review(path: Path, crs: str, styles: Styles) -> None:
    """An empty review file."""
    # 1.3: the GDAL of QGIS 3.22 warns of 1.4, the default since GDAL 3.11
    _create_layer(path, "changes", CHANGES, crs, spatial=True, append=False)
    _create_layer(path, "aoi", AOI, crs, spatial=True)
    _create_layer(path, "scenes", SCENES, crs, spatial=True)
    _create_layer(path, "observations", OBSERVATIONS, crs)
    _create_layer(path, "phases", PHASES, crs)
    _create_layer(path, "review_log", LOG, crs)
    _create_layer(path, "news", NEWS, crs)
    _create_layer(path, "provenance", PROVENANCE, crs)
    db = sqlite3.connect(path)
    try:
        with db:
            db.execute("CREATE UNIQUE INDEX changes_change_id ON changes (change_id)")
            db.execute("CREATE INDEX observations_change_id ON observations (change_id)")
            db.execute("CREATE INDEX phases_change_id ON phases (change_id)")
            db.execute("CREATE UNIQUE INDEX provenance_key ON provenance (key)")
            # outlines as last written: one that differs was edited by the analyst. Not a layer, so not in the contents
            db.execute("CREATE TABLE outlines_written (change_id TEXT PRIMARY KEY, digest TEXT NOT NULL)")
            for trigger in _TRIGGERS:
                db.execute(trigger)
            db.execute(_LAYER_STYLES)
            db.execute(
                "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id)"
                " VALUES ('layer_styles', 'attributes', 'layer_styles', 0)"
            )
            add_styles(db, styles)
    finally:
        db.close()


def add_styles(db: sqlite3.Connection, styles: Styles) -> None:
    """Write the styles into the table that QGIS reads them from."""
    done: set[str] = set()
    for (table, name), qml in styles.items():
        db.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column,"
            " styleName, styleQML, styleSLD, useAsDefault, description, owner, ui)"
            " VALUES ('', '', ?, 'geom', ?, ?, '', ?, ?, '', '')",
            [table, name, qml, int(table not in done), f"{table} by {name}"],
        )
        done.add(table)


def _create_layer(
    path: Path, name: str, columns: Mapping[str, pa.DataType], crs: str, *, spatial: bool = False, append: bool = True
) -> None:
    import pyogrio  # it imports geopandas and pandas, which most commands need for nothing

    fields = [pa.field(column, kind) for column, kind in columns.items()]
    if spatial:
        fields.append(pa.field("geom", pa.binary(), metadata=_GEOMETRY))
    pyogrio.write_arrow(
        pa.Table.from_batches([], schema=pa.schema(fields)),
        path,
        layer=name,
        driver="GPKG",
        append=append,
        geometry_name="geom" if spatial else None,
        geometry_type="MultiPolygon" if spatial else None,
        crs=crs if spatial else None,
        dataset_options=None if append else {"VERSION": "1.3"},
    )
