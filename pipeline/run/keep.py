"""What is kept beside the results: copies of review files, and chips for as long as a night may want them.

Verdicts live in review.gpkg alone, so it is copied. Chips can always be read again from their catalogue, so none is
needed for good; but those of the last nights are, every night, and are never removed to make room.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.model.errors import GroundbreakError, ReviewError
from pipeline.model.settings import Keep
from pipeline.review.folder import Folder

BACKUPS, CHIPS = Path(".groundbreak", "backups"), Path(".groundbreak", "chips")
MEMORY = Path(".groundbreak", "memory")
"""A folder a site; each judgement removes there what it did not use."""
WAIT_SECONDS = 5.0
WANTED = timedelta(days=10)
"""Two revisits: a site that is judged at all has used its chips within them."""
_MEND = "free some disk space or mend the rights: the next night tries again"


def keep(out: Path, sites: Sequence[str], settings: Keep, now: datetime) -> tuple[GroundbreakError, ...]:
    """Copy the review files that changed, drop old copies, chips, memories. Returns what failed; none of it harms."""
    faults: list[GroundbreakError] = []
    for site in sites:
        try:
            back_up(Folder(out / site).gpkg, out / BACKUPS / site, settings.backups, now)
        except GroundbreakError as fault:
            faults.append(fault)
    for tidy, folder in ((prune, out / CHIPS), (forget, out / MEMORY)):
        try:
            tidy(folder, settings, now)
        except GroundbreakError as fault:
            faults.append(fault)
    return tuple(faults)


def back_up(path: Path, folder: Path, count: int, now: datetime) -> None:
    """One more copy of a review file, if it differs from the newest; the oldest beyond `count` go.

    A copy made by the database holds what a session in QGIS has saved and a copy of the file alone would lack. It is
    checked before it takes its name. Raises ReviewError where it cannot be made; the copies there are stay.
    """
    if not count or not path.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.part*"):
            leftover.unlink()
        if changed_at(path) > max((changed_at(copy) for copy in folder.glob("*.gpkg")), default=-1):
            _copy(path, folder / f"{now:%Y%m%dT%H%M%SZ}.gpkg")
        # names sort by time; a clock set back must not make the newest copy the first to go
        copies = sorted(folder.glob("*.gpkg"), key=lambda copy: (changed_at(copy), copy.name))
        for copy in copies[:-count]:
            copy.unlink()
    except (OSError, sqlite3.Error) as fault:
        raise ReviewError(f"no copy could be made: {fault}", str(path), _MEND) from fault


def changed_at(path: Path) -> int:
    """When a database last changed, ns; what a session has saved may still stand in the log beside it."""
    log = path.with_name(f"{path.name}-wal")
    return max(each.stat().st_mtime_ns for each in (path, log) if each.exists())


def _copy(path: Path, target: Path) -> None:
    beside = target.with_suffix(".part")
    before = changed_at(path)
    with contextlib.closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as db:
        db.execute("VACUUM INTO ?", [str(beside)])
    with contextlib.closing(sqlite3.connect(beside)) as db:
        said = db.execute("PRAGMA quick_check").fetchone()[0]
    if said != "ok":
        raise sqlite3.DatabaseError(said)
    with beside.open("rb") as handle:
        os.fsync(handle.fileno())
    # as old as what it holds: a verdict saved while it was made makes the file newer than its copy
    os.utime(beside, ns=(before, before))
    beside.replace(target)


def prune(folder: Path, settings: Keep, now: datetime) -> None:
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
    except OSError as fault:
        raise ReviewError(f"chips cannot be removed: {fault.strerror}", str(folder), _MEND) from fault
    if held > room:
        what = f"the chips of the last {WANTED.days} days take {held / 1e9:.1f} GB, more than {settings.chips_gb:g}"
        raise ReviewError(what, str(folder), "raise keep.chips_gb: without them every night reads them anew")


def forget(folder: Path, settings: Keep, now: datetime) -> None:
    """Remove what is remembered of sites that no night judged for as long as a chip is kept: they are watched no more.

    Raises ReviewError where it cannot be removed.
    """
    old = now.timestamp() - timedelta(days=settings.chips_days).total_seconds()
    try:
        for site in sorted(folder.glob("*")):
            if all(path.stat().st_mtime < old for path in site.iterdir()):
                shutil.rmtree(site)
    except OSError as fault:
        raise ReviewError(f"what is remembered cannot be removed: {fault.strerror}", str(folder), _MEND) from fault
