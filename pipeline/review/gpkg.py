"""review.gpkg: written in one short transaction, because somebody may have it open.

The machine writes its own columns and no other, never deletes an alert, never renames a file over it. Rules and
reasons: docs/review.md.
"""

import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import shapely
from odc.geo.geom import Geometry
from shapely.geometry.base import BaseGeometry

from pipeline.model.alert import Alert, Decision, Status
from pipeline.model.errors import ReviewError
from pipeline.model.imagery import SceneRecord
from pipeline.model.site import Site
from pipeline.review.schema import MACHINE, create

WAIT_SECONDS = 60.0
"""How long a writer waits for an analyst's save; then the site is left for the next run."""
MIN_OVERLAP = 0.3
"""Share of the smaller outline from which an alert is taken for one that is there already."""
RETRY = "save or close it in QGIS, then run again: nothing is lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of `changes` as it stands in the file. change_id is None for an outline the analyst drew."""

    fid: int
    change_id: str | None
    status: str | None
    verdict: str | None
    outline: BaseGeometry


def read_rows(path: Path) -> tuple[Row, ...]:
    """Every row of `changes`; none where there is no file yet."""
    if not path.exists():
        return ()
    with _open(path) as db:
        rows = db.execute("SELECT fid, change_id, status, verdict, geom FROM changes ORDER BY fid").fetchall()
    return tuple(
        Row(fid=fid, change_id=change_id, status=status, verdict=verdict, outline=_decode(blob))
        for fid, change_id, status, verdict, blob in rows
        if blob is not None
    )


def adopt(decision: Decision, rows: Sequence[Row]) -> Decision:
    """The decision with the ids that its alerts have in the file: an alert keeps its id for life, by overlap.

    Each row is given to the alert that overlaps it most, each alert to one row. An alert that falls on a row whose
    change_id is None is the analyst's own outline: it is left to her and dropped here.
    """
    pairs = sorted(
        (
            (_overlap(alert.outline, row.outline), alert.id, row.fid)
            for alert in decision.alerts
            for row in rows
            if alert.outline.intersects(row.outline)
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    by_fid = {row.fid: row for row in rows}
    taken: dict[str, int] = {}
    for share, alert_id, fid in pairs:
        if share >= MIN_OVERLAP and alert_id not in taken and fid not in taken.values():
            taken[alert_id] = fid
    free = {row.change_id for row in rows if row.change_id} - {by_fid[fid].change_id for fid in taken.values()}
    names: dict[str, str | None] = {}
    for alert in decision.alerts:
        if alert.id in taken:
            names[alert.id] = by_fid[taken[alert.id]].change_id
        else:
            # a new alert must not take over the id of an old one that lies elsewhere
            names[alert.id] = alert.id if alert.id not in free else f"{alert.id}-{len(names)}"
    return replace(
        decision,
        alerts=tuple(replace(a, id=name) for a in decision.alerts if (name := names[a.id]) is not None),
        observations=tuple(
            replace(o, change_id=name) for o in decision.observations if (name := names[o.change_id]) is not None
        ),
    )


def write(
    path: Path, site: Site, decision: Decision, records: Sequence[SceneRecord], styles: Mapping[tuple[str, str], str]
) -> int:
    """Bring the file to the decision; returns how many alerts were new or changed.

    Raises ReviewError where the file is locked beyond a minute, damaged or not ours; it is then as it was.
    """
    crs = str(site.grid.crs)
    if not path.exists():
        beside = path.with_name(f".{path.stem}-new.gpkg")
        beside.unlink(missing_ok=True)
        try:
            create(beside, crs, styles)
            beside.rename(path)
        finally:
            beside.unlink(missing_ok=True)
    srs = int(crs.rsplit(":", 1)[-1])
    observations = [
        (o.change_id, o.scene, _utc(o.time), o.clear_share, o.score, int(o.seen)) for o in decision.observations
    ]
    scenes = [_scene_row(record, crs, srs) for record in records]
    outline = Geometry(site.aoi, "EPSG:4326").to_crs(crs).geom
    with _open(path) as db:
        old = {row[0]: row[1:] for row in db.execute("SELECT change_id, verdict, geom FROM changes")}
        db.execute("BEGIN IMMEDIATE")
        written = sum(_put(db, site, alert, srs, old.get(alert.id)) for alert in decision.alerts)
        written += _withdraw(db, {alert.id for alert in decision.alerts})
        _replace(db, "observations", ("change_id", "scene", "time", "clear_share", "score", "seen"), observations)
        _replace(db, "scenes", _SCENE_COLUMNS, scenes)
        _replace(db, "aoi", ("id", "name", "geom"), [(site.id, site.name, _encode(outline, srs))])
        if written:
            db.execute(_EXTENT)
        db.execute("COMMIT")
    return written


_SCENE_COLUMNS = (
    "scene", "time", "used", "reason", "value", "limit_value", "note", "shift_row_px", "shift_col_px", "reliability",
    "clear_share", "boa_offset_dn", "offset_note", "geom",
)  # fmt: skip
_EXTENT = """UPDATE gpkg_contents SET last_change = strftime('%Y-%m-%dT%H:%M:%fZ','now'),
 (min_x, min_y, max_x, max_y) = (SELECT min(minx), min(miny), max(maxx), max(maxy) FROM rtree_changes_geom)
 WHERE table_name = 'changes'"""


def _put(db: sqlite3.Connection, site: Site, alert: Alert, srs: int, old: tuple[Any, ...] | None) -> bool:
    """Insert or update one alert; the outline of one with a verdict stays as the analyst judged it."""
    values = [getattr(alert, "id" if name == "change_id" else name, None) for name in MACHINE if name != "site"]
    row = [values[0], site.id, *values[1:]]
    row = [value.isoformat() if isinstance(value, date) else _plain(value) for value in row]
    names = list(MACHINE)
    if old is None or old[0] is None:
        names, row = [*names, "geom"], [*row, _encode(alert.outline, srs)]
    if old is None:
        marks = ", ".join("?" * len(names))
        db.execute(f"INSERT INTO changes ({', '.join(names)}) VALUES ({marks})", row)
        return True
    known = db.execute(f"SELECT {', '.join(names)} FROM changes WHERE change_id = ?", [alert.id]).fetchone()
    if list(known) == row:
        return False
    db.execute(f"UPDATE changes SET {', '.join(f'{n} = ?' for n in names)} WHERE change_id = ?", [*row, alert.id])
    return True


def _withdraw(db: sqlite3.Connection, kept: set[str]) -> int:
    """Alerts that the evidence no longer supports are withdrawn, never deleted."""
    gone = [
        change_id
        for (change_id,) in db.execute(
            "SELECT change_id FROM changes WHERE change_id IS NOT NULL AND status IS NOT ?", [Status.WITHDRAWN.value]
        ).fetchall()
        if change_id not in kept
    ]
    db.executemany(
        "UPDATE changes SET status = ? WHERE change_id = ?", [(Status.WITHDRAWN.value, each) for each in gone]
    )
    return len(gone)


def _replace(db: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """A table of the machine's own, rewritten only where it differs: an idle night leaves the file alone."""
    old = db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY fid").fetchall()
    if [tuple(row) for row in old] == list(rows):
        return
    db.execute(f"DELETE FROM {table}")
    marks = ", ".join("?" * len(columns))
    db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def _scene_row(record: SceneRecord, crs: str, srs: int) -> tuple[Any, ...]:
    shift = record.shift or (None, None)
    footprint = None
    if record.footprint is not None:
        footprint = _encode(Geometry(record.footprint, "EPSG:4326").to_crs(crs).geom, srs)
    return (
        record.scene, _utc(record.time), int(record.used), record.reason, _plain(record.value), _plain(record.limit),
        record.note, *(_plain(part) for part in shift), _plain(record.reliability), _plain(record.clear_share),
        record.boa_offset_dn, record.offset_note, footprint,
    )  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if value != value else round(value, 9)
    return str(value) if isinstance(value, str) else value


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection with the ST_ functions that GDAL's triggers call; any fault rolls back and names the file."""
    db = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
    try:
        for name, index in (("ST_MinX", 0), ("ST_MinY", 1), ("ST_MaxX", 2), ("ST_MaxY", 3)):
            db.create_function(name, 1, lambda blob, i=index: None if blob is None else _decode(blob).bounds[i])
        db.create_function("ST_IsEmpty", 1, lambda blob: None if blob is None else (blob[3] >> 4) & 1)
        yield db
    except sqlite3.OperationalError as fault:
        raise ReviewError(f"review file cannot be written: {fault}", str(path), RETRY) from fault
    except sqlite3.DatabaseError as fault:
        mend = "move it away to start anew; a copy from before may hold the verdicts"
        raise ReviewError(f"review file is damaged or not ours: {fault}", str(path), mend) from fault
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
        db.close()


def _encode(geometry: BaseGeometry, srs: int) -> bytes:
    """GeoPackage blob: header, envelope (min x, max x, min y, max y), little-endian WKB of a MultiPolygon."""
    parts = shapely.get_parts(geometry)
    many = shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon"])
    left, bottom, right, top = many.bounds
    body: bytes = shapely.to_wkb(many, byte_order=1)
    return b"GP\x00\x03" + struct.pack("<i4d", srs, left, right, bottom, top) + body


def _decode(blob: bytes) -> BaseGeometry:
    skip = 8 + (0, 32, 48, 48, 64)[(blob[3] >> 1) & 7]
    return shapely.from_wkb(bytes(blob[skip:]))


def _overlap(one: BaseGeometry, other: BaseGeometry) -> float:
    return float(one.intersection(other).area / max(min(one.area, other.area), 1e-9))
