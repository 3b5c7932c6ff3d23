"""Retention: copies of review files, and chips for as long as a night may need them.

Verdicts live in review.gpkg alone, so it is copied. Chips can always be read again from their catalogue, so none is
needed for good; but those of the last nights are, every night, and are never removed to make room.
"""

import os
import re
import shutil
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from xxhash import xxh3_128

from pipeline.formats.databases import open_database, quote_name
from pipeline.model.errors import GroundbreakError, ReviewError
from pipeline.model.settings import Keep
from pipeline.review.folder import replace_file
from pipeline.review.layout import Results

_NAME = re.compile(r"\d{8}T\d{6}Z.*\.gpkg")
"""Names of copies: the time at which each was made."""
WAIT_SECONDS = 5.0
WANTED = timedelta(days=10)
"""Days of two revisits: a site that is still processed has used its chips within them."""
_FIX = "free some disk space or fix the permissions: the next night tries again"


def apply_retention(out: Path, sites: Sequence[str], settings: Keep, now: datetime) -> tuple[GroundbreakError, ...]:
    """Copy the review files that changed, drop old copies, chips, memories. Returns what failed; none of it harms."""
    errors: list[GroundbreakError] = []
    results = Results(out)
    for site in sites:
        try:
            back_up(results.site(site).gpkg, results.backups(site), settings.backups, now)
        except Exception as error:  # noqa: BLE001  (the boundary of a site: what breaks it stops no other)
            errors.append(error if isinstance(error, GroundbreakError) else ReviewError(str(error), site, _FIX))
    for tidy, folder in ((evict_chips, results.chips), (expire_caches, results.caches)):
        try:
            tidy(folder, settings, now)
        except GroundbreakError as error:
            errors.append(error)
    return tuple(errors)


def back_up(path: Path, folder: Path, count: int, now: datetime) -> None:
    """One more copy of a review file, if its content is not that of the newest; the oldest beyond `count` go.

    A copy made by the database holds what a session in QGIS has saved and a copy of the file alone would lack. It is
    checked before it takes its name. Raises ReviewError where it cannot be made; the copies there are stay.
    """
    if not count or not path.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.part*"):
            leftover.unlink()
        held = list_backups(folder)
        if not held or _content_digest(path) != _content_or_none(held[0]):
            _copy_database(path, folder / f"{now:%Y%m%dT%H%M%SZ}.gpkg", after=held[0] if held else None)
        for copy in list_backups(folder)[count:]:
            copy.unlink()
    except (OSError, sqlite3.Error) as error:
        is_damaged = type(error) is sqlite3.DatabaseError
        fix = "the copies made before stay as they are" if is_damaged else _FIX
        raise ReviewError(f"no copy could be made: {error}", str(path), fix) from error


def list_backups(folder: Path) -> list[Path]:
    """The copies of a review file, newest first: each is given a later time than the one before it.

    Names have the time of the clock, which may have been wrong. Files of another name are not of this program: they are
    neither restored nor removed.
    """
    ours = (path for path in folder.glob("*.gpkg") if _NAME.fullmatch(path.name) and path.is_file())
    return sorted(ours, key=lambda copy: (copy.stat().st_mtime_ns, copy.name), reverse=True)


def restore_review(out: Path, site: str) -> tuple[str, ...]:
    """Put the newest sound copy in the place of a review file that is gone or empty; returns a sentence where it did.

    Raises ReviewError where it cannot be written.
    """
    path, folder = Results(out).site(site).gpkg, Results(out).backups(site)
    if os.path.lexists(path.parent) and not path.parent.is_dir():
        raise ReviewError("is no folder", str(path.parent), "move it away: the next run writes the results there")
    if path.is_symlink() and not path.exists():
        raise ReviewError("is a link to a file that is gone", str(path), "bring that file back, or remove the link")
    if os.path.lexists(path) and not _is_empty(path):
        return ()
    damaged = list[str]()
    for copy in list_backups(folder):
        if _content_or_none(copy) is None:
            damaged.append(copy.name)
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for log in ("-wal", "-shm", "-journal"):
                # the log of the file that is gone: SQLite would play it into this one
                left = path.with_name(f"{path.name}{log}")
                if left.exists():
                    left.replace(path.with_name(f"{left.name}.left"))
            with replace_file(path) as beside:
                shutil.copy(copy, beside)
        except OSError as error:
            raise ReviewError(f"cannot be restored: {error.strerror or error}", str(path), _FIX) from error
        older = f" up to then; newer copies are damaged: {', '.join(damaged)}" if damaged else ""
        return (f"{site}: review.gpkg was gone; restored from {copy}, verdicts included{older}",)
    return ()


def _is_empty(path: Path) -> bool:
    """Whether a file and its log are empty, as after a crash of the machine; there is then no verdict to lose."""
    log = path.with_name(f"{path.name}-wal")
    return path.is_file() and path.stat().st_size == 0 and not (log.exists() and log.stat().st_size)


def _content_or_none(copy: Path) -> str | None:
    try:
        return _content_digest(copy)
    except sqlite3.Error:
        return None


def _content_digest(path: Path) -> str:
    """Digest of every row of a database: of the columns that are stored, in tables that are no index of others."""
    digest = xxh3_128()
    with open_database(path, write=False, wait=WAIT_SECONDS) as db:
        db.execute("BEGIN")
        tables = db.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'rtree_%'"
            " AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
        ).fetchall()
        if "changes" not in dict(tables):
            # SQLite takes an empty file, and some that are torn, for a database without tables
            raise sqlite3.DatabaseError("it has no table changes")
        for name, sql in tables:
            digest.update(repr((name, sql)).encode())
            stored = [quote_name(column[1]) for column in db.execute(f"PRAGMA table_info({quote_name(name)})")]
            for row in db.execute(f"SELECT {', '.join(stored)} FROM {quote_name(name)}"):
                digest.update(repr(row).encode())
    return digest.hexdigest()


def _copy_database(path: Path, target: Path, after: Path | None) -> None:
    beside = target.with_suffix(".part")
    with open_database(path, write=False, wait=WAIT_SECONDS) as db:
        db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)  # the copy
        db.execute("VACUUM INTO ?", [str(beside)])
    with open_database(beside, write=False, wait=WAIT_SECONDS) as db:
        said = db.execute("PRAGMA quick_check").fetchone()[0]
    if said != "ok":
        raise sqlite3.DatabaseError(said)
    with beside.open("rb") as handle:
        os.fsync(handle.fileno())
    if after is not None and beside.stat().st_mtime_ns <= (latest := after.stat().st_mtime_ns):
        os.utime(beside, ns=(latest + 1_000_000, latest + 1_000_000))
    beside.replace(target)


def evict_chips(folder: Path, settings: Keep, now: datetime) -> None:
    """Remove chips that no night used for long, then, beyond the room there is, the longest unused.

    Raises ReviewError where they cannot be removed, and where those of the last nights alone need more room.
    """
    try:
        chips = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in folder.glob("*/*.chip"))
        for leftover in folder.glob("*/*.part"):
            if now.timestamp() - leftover.stat().st_mtime > timedelta(days=1).total_seconds():
                leftover.unlink()
        room = settings.chips_gb * 1e9
        old = now.timestamp() - timedelta(days=settings.chips_days).total_seconds()
        wanted = now.timestamp() - WANTED.total_seconds()
        held = sum(size for _, size, _ in chips)
        for used, size, path in chips:
            if used < old or (held > room and used < wanted):
                path.unlink()
                held -= size
    except OSError as error:
        raise ReviewError(f"chips cannot be removed: {error.strerror}", str(folder), _FIX) from error
    if held > room:
        what = f"the chips of the last {WANTED.days} days take {held / 1e9:.1f} GB, more than {settings.chips_gb:g}"
        raise ReviewError(what, str(folder), "raise keep.chips_gb: without them every night reads them again")


def expire_caches(folder: Path, settings: Keep, now: datetime) -> None:
    """Remove what is remembered of sites that no night judged for as long as a chip is kept: they are watched no more.

    Raises ReviewError where it cannot be removed.
    """
    old = now.timestamp() - timedelta(days=settings.chips_days).total_seconds()
    try:
        for site in sorted(each for each in folder.glob("*") if each.is_dir()):
            if all(path.stat().st_mtime < old for path in site.iterdir()):
                shutil.rmtree(site)
    except OSError as error:
        raise ReviewError(f"what is remembered cannot be removed: {error.strerror}", str(folder), _FIX) from error
