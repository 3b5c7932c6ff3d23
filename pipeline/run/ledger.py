"""State of the nightly job in one SQLite file: scenes, attempts, notifications.

Nothing in it is needed to know what the truth is; lost or damaged it is set aside and built again from the
catalogue. Verdicts are not in it: they live in review.gpkg alone.
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.model.errors import ReviewError
from pipeline.notify.messages import CORRECTIONS
from pipeline.run.outputs import Output

SCHEMA = """
CREATE TABLE IF NOT EXISTS scenes (
    site TEXT NOT NULL, scene TEXT NOT NULL, digest TEXT NOT NULL, acquired TEXT NOT NULL,
    attempts INTEGER NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (site, scene));
CREATE TABLE IF NOT EXISTS decisions (
    site TEXT PRIMARY KEY, settings TEXT NOT NULL, until TEXT NOT NULL, alerts INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sites (
    site TEXT PRIMARY KEY, place TEXT NOT NULL, success TEXT NOT NULL, last_scene TEXT NOT NULL,
    failures INTEGER NOT NULL, failed TEXT NOT NULL, error TEXT NOT NULL, escalated INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS outputs (
    site TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (site, name));
CREATE TABLE IF NOT EXISTS begun (
    site TEXT NOT NULL, channel TEXT NOT NULL, greeted INTEGER NOT NULL, PRIMARY KEY (site, channel));
CREATE TABLE IF NOT EXISTS told (
    site TEXT NOT NULL, channel TEXT NOT NULL, change_id TEXT NOT NULL, status TEXT NOT NULL,
    PRIMARY KEY (site, channel, change_id, status));
"""
BUSY_SECONDS = 30.0
_NAMES = frozenset(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", SCHEMA))
_SITE = ("site", "place", "success", "last_scene", "failures", "failed", "error", "escalated")


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneEntry:
    """Entry of one scene of one site. outcome: used, rejected or failed."""

    site: str
    scene: str
    digest: str
    acquired: str
    attempts: int
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteEntry:
    """How one site fares. success, failed: ISO times of the last night that could look at it, and that could not.

    place: digest of its AOI and settings when it was last decided. last_scene: ISO time of its newest scene. failures:
    nights in a row that failed, the last of them with `error`; escalated: whether that was sent to the operator.
    """

    site: str
    place: str = ""
    success: str = ""
    last_scene: str = ""
    failures: int = 0
    failed: str = ""
    error: str = ""
    escalated: bool = False


class Ledger:
    """The file and its queries; one writer, the coordinator."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rebuilt = False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._open_database()
        except sqlite3.OperationalError as error:
            raise ReviewError(
                f"the ledger cannot be opened: {error}", str(path), "end the other run, or fix the permissions"
            ) from error
        except sqlite3.DatabaseError:
            # a damaged ledger costs only repeated work; it is kept beside the new one for inspection
            path.replace(path.with_suffix(".damaged"))
            self.rebuilt = True
            self._db = self._open_database()

    def _open_database(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("quick_check")
            db.executescript(SCHEMA)
            if _table_columns(db) != _expected_columns():
                raise sqlite3.DatabaseError("tables of another program or version")
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            fix = "free some disk space or end the other run, then run again: nothing is lost"
            raise ReviewError(f"the ledger cannot be written: {error}", str(self.path), fix) from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def scenes(self, site: str) -> dict[str, SceneEntry]:
        """Every scene known of a site, by id."""
        rows = self._db.execute(
            "SELECT site, scene, digest, acquired, attempts, outcome, reason FROM scenes WHERE site = ?", [site]
        )
        names = ("site", "scene", "digest", "acquired", "attempts", "outcome", "reason")
        return {row[1]: SceneEntry(**dict(zip(names, row, strict=True))) for row in rows}

    def record(
        self, site: str, entries: Iterable[SceneEntry], settings_digest: str, until: str, alerts: int,
        outputs: Mapping[str, Output],
    ) -> None:  # fmt: skip
        """Record the results of a night for a site, in one transaction; scenes no longer listed are dropped."""
        with self._transaction():
            self._db.execute("DELETE FROM scenes WHERE site = ?", [site])
            self._db.executemany(
                "INSERT INTO scenes VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(e.site, e.scene, e.digest, e.acquired, e.attempts, e.outcome, e.reason) for e in entries],
            )
            self._db.execute(
                "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)", [site, settings_digest, until, alerts]
            )
            self._db.execute("DELETE FROM outputs WHERE site = ?", [site])
            self._db.executemany(
                "INSERT INTO outputs VALUES (?, ?, ?, ?, ?)",
                [(site, name, each.size, each.mtime_ns, each.digest) for name, each in outputs.items()],
            )

    def decided(self, site: str) -> str | None:
        """Digest of the settings the site was last decided with, None if never."""
        row = self._db.execute("SELECT settings FROM decisions WHERE site = ?", [site]).fetchone()
        return None if row is None else str(row[0])

    def until(self, site: str) -> str | None:
        """End of the period the site was last decided on, ISO time, None if never."""
        row = self._db.execute("SELECT until FROM decisions WHERE site = ?", [site]).fetchone()
        return None if row is None else str(row[0])

    def place(self, site: str) -> str:
        """Digest of the AOI and settings that the site was last decided with, empty if never."""
        return self.site(site).place

    def site(self, site: str) -> SiteEntry:
        """State of one site; an empty entry for a site that was never processed."""
        row = self._db.execute(f"SELECT {', '.join(_SITE)} FROM sites WHERE site = ?", [site]).fetchone()
        return _site_entry(row) if row else SiteEntry(site=site)

    def sites(self) -> dict[str, SiteEntry]:
        """State of every site, by id."""
        rows = self._db.execute(f"SELECT {', '.join(_SITE)} FROM sites ORDER BY site")
        return {row[0]: _site_entry(row) for row in rows}

    def note_sites(self, entries: Iterable[SiteEntry]) -> None:
        """Record the state of sites, in one transaction."""
        rows = [[getattr(entry, name) for name in _SITE] for entry in entries]
        if rows:
            with self._transaction():
                self._db.executemany(f"INSERT OR REPLACE INTO sites VALUES ({', '.join('?' * len(_SITE))})", rows)

    def outputs(self, site: str) -> dict[str, Output]:
        """The files of a site as they were last published, by name."""
        rows = self._db.execute("SELECT name, size, mtime_ns, digest FROM outputs WHERE site = ?", [site])
        return {name: Output(*rest) for name, *rest in rows}

    def register_channel(self, site: str, channel: str, past: Iterable[tuple[str, str]]) -> None:
        """Register a channel at a site, if it is new, with the (change_id, status) that count as notified."""
        if self.is_initialised(site, channel) is None:
            with self._transaction():
                self._db.execute("INSERT INTO begun VALUES (?, ?, 0)", [site, channel])
                self._insert_notified(site, channel, past)

    def is_initialised(self, site: str, channel: str) -> bool | None:
        """Whether a channel has been sent its first message on a site; None if it is not registered there."""
        row = self._db.execute("SELECT greeted FROM begun WHERE site = ? AND channel = ?", [site, channel]).fetchone()
        return None if row is None else bool(row[0])

    def notified(self, site: str, channel: str) -> set[tuple[str, str]]:
        """(change_id, status) of all notifications of a channel for a site."""
        rows = self._db.execute("SELECT change_id, status FROM told WHERE site = ? AND channel = ?", [site, channel])
        return {(str(change_id), str(status)) for change_id, status in rows}

    def mark_notified(self, channel: str, news: Mapping[str, Iterable[tuple[str, str]]]) -> None:
        """Mark the (change_id, status) that a channel delivered, by site, in one transaction; a site may have none."""
        with self._transaction():
            for site, events in news.items():
                self._insert_notified(site, channel, events)
                self._db.execute("UPDATE begun SET greeted = 1 WHERE site = ? AND channel = ?", [site, channel])

    def _insert_notified(self, site: str, channel: str, news: Iterable[tuple[str, str]]) -> None:
        rows = [(site, channel, change_id, status) for change_id, status in news]
        # an alert that is notified again is open to another correction
        again = [row[:3] for row in rows if row[3] not in CORRECTIONS]
        marks = ", ".join(f"'{status}'" for status in CORRECTIONS)
        query = f"DELETE FROM told WHERE site = ? AND channel = ? AND change_id = ? AND status IN ({marks})"
        self._db.executemany(query, again)
        self._db.executemany("INSERT OR IGNORE INTO told VALUES (?, ?, ?, ?)", rows)
        if rows:
            self._db.execute("UPDATE begun SET greeted = 1 WHERE site = ? AND channel = ?", [site, channel])

    def reset_channel(self, channel: str) -> None:
        """Reset a channel at every site."""
        with self._transaction():
            self._db.execute("DELETE FROM begun WHERE channel = ?", [channel])
            self._db.execute("DELETE FROM told WHERE channel = ?", [channel])


def _site_entry(row: tuple[Any, ...]) -> SiteEntry:
    """Entry of a row; a value of another type than it was written with counts as missing."""
    facts = dict(zip(_SITE, row, strict=True))
    times = {name: facts[name] if _is_time(facts[name]) else "" for name in ("success", "last_scene", "failed")}
    failures = facts["failures"] if isinstance(facts["failures"], int) else 0
    return SiteEntry(**{**facts, **times, "failures": failures, "escalated": bool(facts["escalated"])})


def _is_time(value: object) -> bool:
    try:
        return datetime.fromisoformat(str(value)).tzinfo is not None
    except ValueError:
        return False


def _table_columns(db: sqlite3.Connection) -> dict[str, list[str]]:
    """Columns of the tables of SCHEMA, without views of these names."""
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in names if name in _NAMES}


@cache
def _expected_columns() -> dict[str, list[str]]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        return _table_columns(db)
