"""review.gpkg: written in one short transaction, because somebody may have it open.

The machine writes its own columns and no other, never deletes an alert, never renames a file over it. Rules and
reasons: docs/review.md.
"""

import json
import math
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from odc.geo.geom import Geometry

from pipeline.formats.databases import UntrustedError, open_database, quote_name, require_tables
from pipeline.model.alert import Alert, Decision, Status
from pipeline.model.errors import ReviewError, UsageError
from pipeline.model.imagery import SceneRecord
from pipeline.model.site import Site
from pipeline.review.folder import unused_name
from pipeline.review.geoblob import covers_ground, encode_geometry, geometry_digest, register_functions
from pipeline.review.matching import REJECTIONS, Row
from pipeline.review.rows import clean_row, outline_of
from pipeline.review.schema import ANALYST, LATER, MACHINE, TABLES, Styles, add_columns, create_review, has_column

WAIT_SECONDS = 60.0
"""How long a writer waits for an analyst's save, by default; then the site is left for the next run."""
MAX_WAIT_SECONDS = 3600.0
WAIT_VARIABLE = "GROUNDBREAK_LOCK_SECONDS"
"""Environment variable that replaces WAIT_SECONDS."""
FULL = "free some disk space, then run again: nothing is lost"
RETRY = "save or close it in QGIS, then run again: nothing is lost"
RIGHTS = "fix the permissions of the file and its folder, then run again: nothing is lost"
FOREIGN = "move it away, and the next run goes on from the newest copy of it; verdicts are only in it, so keep it"
JUDGED = ("area_m2", "area_error_m2", "lon", "lat")
"""What goes with an outline: stays with it once the analyst has judged or edited it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReviewUpdate:
    """Rows that one run writes into the file. as_of: time of the last look, so that a replay gives the same. over:
    ids of rows that stay as they are though no alert of the decision is theirs: their change ended. labels: change_id
    -> label, for every row.
    """

    site: Site
    decision: Decision
    records: Sequence[SceneRecord]
    as_of: datetime
    provenance: Mapping[str, str]
    over: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Content of `changes`. own_ids: ids of outlines that the analyst drew. remarks: odd rows, by name."""

    rows: tuple[Row, ...] = ()
    own_ids: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


def read_rows(path: Path) -> tuple[Row, ...]:
    """Every row of `changes` that covers ground; none without a file. Raises ReviewError as `open_review`."""
    return survey_rows(path).rows


def survey_rows(path: Path) -> Rows:
    """The rows of `changes`, whatever they hold. Raises ReviewError for a foreign or damaged file.

    A row is the machine's where the machine wrote it; every other is the analyst's, with an id of its own or without.
    """
    if not path.exists():
        return Rows()
    with open_review(path) as db:
        columns = [name if name != "label" or has_column(db, name) else "NULL" for name in _ROW_COLUMNS]
        ours = {change_id for (change_id,) in db.execute("SELECT change_id FROM outlines_written")}
        found = db.execute(f"SELECT {', '.join(columns)} FROM changes ORDER BY fid").fetchall()
        srs = db.execute("SELECT srs_id FROM gpkg_contents WHERE table_name = 'changes'").fetchone()
    rows, own, remarks = list[Row](), set[str](), list[str]()
    for fid, *values, blob in found:
        facts = clean_row(dict(zip(_ROW_COLUMNS[1:-1], values, strict=True)))
        change_id = facts["change_id"]
        is_ours = change_id in ours
        outline, wrong = outline_of(facts, blob, f"EPSG:{srs[0]}" if srs else "EPSG:4326")
        if not is_ours and change_id is not None:
            own.add(change_id)
        if wrong:
            name = f"{path.parent.name}: change {change_id}" if is_ours else f"{path.parent.name}: row {fid} of changes"
            remarks.append(f"{name} has {wrong}: " + ("written again" if is_ours else "left alone and not used"))
        if outline is None or (wrong and not is_ours):
            continue
        rows.append(
            Row(
                fid=fid, change_id=change_id if is_ours else None, label=facts["label"], status=facts["status"],
                verdict=facts["verdict"], confidence=facts["confidence"], area_m2=facts["area_m2"], outline=outline,
                first_seen=facts["first_seen"] and date.fromisoformat(facts["first_seen"]),
                last_seen=facts["last_seen"] and date.fromisoformat(facts["last_seen"]),
            )
        )  # fmt: skip
    return Rows(rows=tuple(rows), own_ids=frozenset(own), remarks=tuple(remarks))


_ROW_COLUMNS = ("fid", "change_id", "label", "status", "verdict", "confidence", "area_m2", "first_seen", "last_seen",
                "lon", "lat", "geom")  # fmt: skip


def read_provenance(path: Path) -> dict[str, str]:
    """Provenance of the last run; empty without a file."""
    if not path.exists():
        return {}
    with open_review(path) as db:
        return {str(key): str(value) for key, value in db.execute("SELECT key, value FROM provenance")}


def write_changes(path: Path, night: ReviewUpdate, styles: Styles, before_commit: Callable[[], None]) -> int:
    """Write a decision into the file; returns the number of alerts that are new or changed.

    `before_commit` is called when all rows are in: what it raises undoes them. Raises ReviewError where the file is
    locked beyond a minute, damaged or not ours; it is then as it was.
    """
    if path.exists():
        with open_review(path) as db:
            return _write_tables(db, night, before_commit)
    beside = unused_name(path)
    try:
        create_review(beside, str(night.site.grid.crs), styles)
        with open_review(beside) as db:
            written = _write_tables(db, night, before_commit)
        _move_into_place(beside, path)
    except OSError as error:
        raise ReviewError(f"cannot be written: {error.strerror or error}", str(path), RETRY) from error
    finally:
        beside.unlink(missing_ok=True)
    return written


def _move_into_place(beside: Path, path: Path) -> None:
    """Rename a new file to its path, unless a file has appeared there meanwhile, which a rename would lose."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:
        # a file system without links
        if path.exists():
            raise
        beside.rename(path)


def lock_seconds() -> float:
    """Seconds that a writer waits for another one. Raises UsageError where the environment variable is no number."""
    text = os.environ.get(WAIT_VARIABLE, "")
    try:
        seconds = float(text) if text else WAIT_SECONDS
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        hint = f"give seconds from 0 to {MAX_WAIT_SECONDS:,.0f}, or unset it"
        raise UsageError(f"not a waiting time: {text!r}", WAIT_VARIABLE, hint)
    return seconds


@contextmanager
def open_review(path: Path, wait: float | None = None) -> Iterator[sqlite3.Connection]:
    """A connection that GDAL's triggers accept, to a file of this program; any error rolls back and names the file.

    wait: seconds to wait for a lock of another process; None for `lock_seconds()`.
    """
    seconds = lock_seconds() if wait is None else wait
    try:
        with open_database(path, write=True, wait=seconds) as db:
            register_functions(db)
            _check_ours(db, path)
            yield db
    except UntrustedError as error:
        raise ReviewError(f"review file is not ours: {error}", str(path), FOREIGN) from error
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            raise ReviewError(f"review file is not ours: {error}", str(path), FOREIGN) from error
        if "full" in str(error):
            raise ReviewError("no space left on the disk", str(path), FULL) from error
        fix = RIGHTS if "readonly" in str(error) or "unable to open" in str(error) else RETRY
        raise ReviewError(f"review file cannot be used: {error}", str(path), fix) from error
    except sqlite3.DatabaseError as error:
        raise ReviewError(f"review file is damaged: {error}", str(path), FOREIGN) from error


def _check_ours(db: sqlite3.Connection, path: Path) -> None:
    known = {name for _, name, *_ in db.execute("PRAGMA table_info(changes)")}
    missing = [name for name in (*MACHINE, *ANALYST) if name not in known and name not in LATER]
    if missing:
        raise ReviewError(f"review file is not ours: no column changes.{missing[0]}", str(path), FOREIGN)
    require_tables(db, TABLES)


SCENE_COLUMNS = (
    "scene", "time", "used", "reason", "value", "limit_value", "note", "shift_row_px", "shift_col_px", "reliability",
    "clear_share", "boa_offset_dn", "offset_note", "geom",
)  # fmt: skip
PHASE_COLUMNS = ("change_id", "state", "from_after", "from", "to", "to_before", "probability")
LOOK_COLUMNS = ("change_id", "scene", "time", "clear_share", "score", "seen")


def _write_tables(db: sqlite3.Connection, night: ReviewUpdate, before_commit: Callable[[], None]) -> int:
    site, decision, crs = night.site, night.decision, str(night.site.grid.crs)
    srs = int(crs.rsplit(":", 1)[-1])
    alerts = [(alert, _machine_values(site, alert), encode_geometry(alert.outline, srs)) for alert in decision.alerts]
    looks = [
        (o.change_id, o.scene, format_utc(o.time), _column_value(o.clear_share), _column_value(o.score), int(o.seen))
        for o in decision.observations
    ]
    phases = [
        (
            alert.id,
            str(p.state),
            *_iso_days(p.begins_after, p.begins, p.ends, p.ends_before),
            _column_value(p.probability),
        )
        for alert in decision.alerts
        for p in alert.phases
    ]
    scenes = [_scene_row(record, crs, srs) for record in night.records]
    outline = encode_geometry(Geometry(site.aoi, "EPSG:4326").to_crs(crs).geom, srs)
    # all is ready: from here on others wait for us, so only rows are moved
    db.execute("BEGIN IMMEDIATE")
    add_columns(db)
    events = [event for alert, values, blob in alerts if (event := _upsert_alert(db, alert, values, blob))]
    kept = {alert.id for alert in decision.alerts}
    events += _withdraw_alerts(db, kept | night.over)
    unnamed = [(label, change_id) for change_id, label in night.labels.items()]
    db.executemany("UPDATE changes SET label = ? WHERE change_id = ? AND label IS NULL", unnamed)
    ours = " WHERE change_id IN (SELECT value FROM json_each(?))"
    changed = _update_table(db, "observations", LOOK_COLUMNS, looks, ours, (json.dumps(sorted(kept)),))
    changed |= _update_table(db, "phases", PHASE_COLUMNS, phases, ours, (json.dumps(sorted(kept)),))
    changed |= _update_table(db, "scenes", SCENE_COLUMNS, scenes)
    changed |= _update_table(db, "aoi", ("id", "name", "geom"), [(site.id, site.name, outline)])
    changed |= _update_table(db, "provenance", ("key", "value"), sorted(night.provenance.items()))
    _report_news(db, night.as_of, [event for event in events if event[1] != "updated"])
    if events or changed:
        for table in ("changes", "scenes", "aoi"):
            db.execute(_EXTENT.format(table=table))
    before_commit()
    db.execute("COMMIT")
    return len(events)


_EXTENT = """UPDATE gpkg_contents SET last_change = strftime('%Y-%m-%dT%H:%M:%fZ','now'),
 (min_x, min_y, max_x, max_y) = (SELECT min(minx), min(miny), max(maxx), max(maxy) FROM rtree_{table}_geom)
 WHERE table_name = '{table}'"""

Event = tuple[str, str, float | None]
_DIGITS = {"area_m2": 1, "area_error_m2": 1}
"""Decimals of a number by column; all other numbers have six."""


def _machine_values(site: Site, alert: Alert) -> dict[str, Any]:
    values = {name: getattr(alert, name) for name in MACHINE if name not in ("change_id", "site")}
    plain = {
        name: value.isoformat() if isinstance(value, date) else _column_value(value, _DIGITS.get(name, 6))
        for name, value in values.items()
    }
    return {"change_id": alert.id, "site": site.id, **plain}


def _upsert_alert(db: sqlite3.Connection, alert: Alert, values: Mapping[str, Any], blob: bytes) -> Event | None:
    """Insert or update one alert; returns its event, "updated" if only numbers changed, None if nothing did."""
    known = db.execute(f"SELECT {', '.join(MACHINE)}, verdict, geom FROM changes WHERE change_id = ?", [alert.id])
    row = known.fetchone()
    if row is None:
        names = [*values, "geom"]
        marks = ", ".join("?" * len(names))
        db.execute(f"INSERT INTO changes ({', '.join(names)}) VALUES ({marks})", [*values.values(), blob])
        db.execute("INSERT OR REPLACE INTO outlines_written VALUES (?, ?)", [alert.id, geometry_digest(blob)])
        return alert.id, "new", values["confidence"]
    *machine, verdict, outline = row
    old = dict(zip(MACHINE, machine, strict=True))
    sound = clean_row(old)
    new = dict(values)
    if covers_ground(outline) and (verdict is not None or _is_edited(db, alert.id, outline)):
        new.update({name: sound[name] for name in JUDGED if sound[name] is not None})
        blob = outline
    if verdict in REJECTIONS and sound["confidence"] is not None:
        # what was rejected stays on record: a recurrence is measured against it
        new["confidence"] = sound["confidence"]
    if new == old and blob == outline:
        return None
    names = [*new, "geom"] if blob != outline else [*new]
    pairs = [*new.values(), blob] if blob != outline else [*new.values()]
    db.execute(f"UPDATE changes SET {', '.join(f'{n} = ?' for n in names)} WHERE change_id = ?", [*pairs, alert.id])
    if blob != outline:
        db.execute("INSERT OR REPLACE INTO outlines_written VALUES (?, ?)", [alert.id, geometry_digest(blob)])
    event = new["status"] if new["status"] != old["status"] else "updated"
    return alert.id, event, new["confidence"]


def _is_edited(db: sqlite3.Connection, change_id: str, outline: bytes) -> bool:
    written = db.execute("SELECT digest FROM outlines_written WHERE change_id = ?", [change_id]).fetchone()
    return written is None or written[0] != geometry_digest(outline)


def _report_news(db: sqlite3.Connection, as_of: datetime, events: Sequence[Event]) -> None:
    """Append what is new or changed its status; only the rows of the last night that brought anything are latest."""
    if not events:
        return
    db.execute("UPDATE news SET latest = 0 WHERE latest")
    rows = [(format_utc(as_of), change_id, event, sure) for change_id, event, sure in events]
    db.executemany("INSERT INTO news (as_of, change_id, event, confidence, latest) VALUES (?, ?, ?, ?, 1)", rows)


def _withdraw_alerts(db: sqlite3.Connection, kept: set[str]) -> list[Event]:
    """Alerts that the evidence no longer supports are withdrawn, never deleted; rows of the analyst's stay."""
    gone = Status.WITHDRAWN.value
    rows = db.execute(
        "SELECT change_id, confidence FROM changes WHERE status IS NOT ?"
        " AND change_id IN (SELECT change_id FROM outlines_written)", [gone],
    )  # fmt: skip
    lost = [(change_id, gone, sure) for change_id, sure in rows.fetchall() if change_id not in kept]
    db.executemany("UPDATE changes SET status = ? WHERE change_id = ?", [(gone, change_id) for change_id, _, _ in lost])
    return lost


def _update_table(
    db: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], where: str = "",
    values: Sequence[Any] = (),
) -> bool:  # fmt: skip
    """Update a machine-written table to `rows`, writing only differences; True if there were any."""
    names = ", ".join(quote_name(name) for name in columns)
    stored = db.execute(f"SELECT fid, {names} FROM {table}{where} ORDER BY fid", values).fetchall()
    wanted = dict.fromkeys(rows)
    extra = []
    for fid, *row in stored:
        if tuple(row) in wanted:
            del wanted[tuple(row)]
        else:
            extra.append((fid,))
    db.executemany(f"DELETE FROM {table} WHERE fid = ?", extra)
    marks = ", ".join("?" * len(columns))
    db.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(wanted))
    return bool(extra or wanted)


def _scene_row(record: SceneRecord, crs: str, srs: int) -> tuple[Any, ...]:
    shift = record.shift or (None, None)
    footprint = None
    if record.footprint is not None:
        footprint = encode_geometry(Geometry(record.footprint, "EPSG:4326").to_crs(crs).geom, srs)
    return (
        record.scene,
        format_utc(record.time),
        int(record.used),
        record.reason,
        _column_value(record.value),
        _column_value(record.limit),
        record.note,
        *(_column_value(part) for part in shift),
        _column_value(record.reliability),
        _column_value(record.clear_share),
        record.boa_offset_dn,
        record.offset_note,
        footprint,
    )


def _iso_days(*days: date | None) -> tuple[str | None, ...]:
    return tuple(None if day is None else day.isoformat() for day in days)


def _column_value(value: Any, digits: int = 6) -> Any:
    """Value of a column: enums as text, floats rounded to be the same on every machine, NaN as NULL."""
    if isinstance(value, str) or value is None:
        return None if value is None else str(value)
    if isinstance(value, int):
        return int(value)
    number = float(value)
    return None if number != number else round(number, digits)


def format_utc(moment: datetime) -> str:
    """A time as GeoPackage stores it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
