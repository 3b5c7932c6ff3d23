"""State of a review file before a run: its place, its period, and whether it is unchanged."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from odc.geo.geom import Geometry
from shapely.geometry.base import BaseGeometry

from pipeline.model.errors import ReviewError
from pipeline.model.site import Site
from pipeline.review.geoblob import decode_ground
from pipeline.review.gpkg import FOREIGN, LOOK_COLUMNS, SCENE_COLUMNS, open_review
from pipeline.review.schema import MACHINE

COUNT_SECONDS = 5.0
_ROUNDING = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExistingResults:
    """Basis of existing results. aoi: in `crs`, None if it cannot be read; looks: ids of the scenes used."""

    site: str | None
    aoi: BaseGeometry | None
    crs: str
    first: datetime | None
    last: datetime | None
    looks: frozenset[str]


def read_existing(path: Path, wait: float | None = None) -> ExistingResults | None:
    """Basis of the results in a review file; None without a file. Raises ReviewError as `open_review`."""
    if not path.exists():
        return None
    with open_review(path, wait) as db:
        aoi = db.execute("SELECT id, geom FROM aoi").fetchone()
        srs = db.execute("SELECT srs_id FROM gpkg_contents WHERE table_name = 'aoi'").fetchone()
        known = {str(key): str(value) for key, value in db.execute("SELECT key, value FROM provenance")}
        used = db.execute("SELECT scene, time FROM scenes WHERE used").fetchall()
    try:
        outline = None if aoi is None else decode_ground(aoi[1])
    except ValueError:
        outline = None
    first, last = (_parse_utc(known.get(key)) for key in ("first_look", "last_look"))
    seen = sorted(moment for _, time in used if (moment := _parse_utc(time)) is not None)
    if seen:
        # a period that the scenes of the file do not have was altered; believed, it would refuse every later run
        first = seen[0] if first is not None and first < seen[0] - _ROUNDING else first
        last = seen[-1] if last is not None and last > seen[-1] + _ROUNDING else last
    site, crs = (str(aoi[0]) if aoi else None), (f"EPSG:{srs[0]}" if srs and srs[0] else "")
    looks = frozenset(str(scene) for scene, _ in used)
    return ExistingResults(site=site, aoi=outline, crs=crs, first=first, last=last, looks=looks)


def _parse_utc(text: object) -> datetime | None:
    """A time as UTC, which is taken for the zone of one that has none."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def check_place(existing: ExistingResults | None, site: Site, path: Path) -> None:
    """Raise ReviewError if the results are of another place than the site."""
    if existing is None:
        return
    if existing.site is not None and existing.site != site.id:
        what = f"these are the results of {existing.site}, not of {site.id}"
        raise ReviewError(what, str(path), f"{FOREIGN}; or give another folder with --out")
    if existing.aoi is not None and existing.crs:
        aoi = Geometry(site.aoi, "EPSG:4326").to_crs(existing.crs).geom
        if not aoi.intersects(existing.aoi):
            km = aoi.distance(existing.aoi) / 1000
            what = f"the AOI of {site.id} has moved by {km:,.1f} km, off the ground of its results"
            fix = "give the new place an id of its own; to keep these results, restore the AOI"
            raise ReviewError(what, str(path), fix)


def machine_digest(path: Path, wait: float | None = None) -> str:
    """Digest of all that the machine has written into a file: it changes with a run, an older copy, a hand edit of its
    columns, and not with verdicts or outlines of the analyst. Raises ReviewError as `open_review`.
    """
    facts = hashlib.sha256()
    with open_review(path, wait) as db:
        for query in (
            f"SELECT {', '.join(MACHINE)} FROM changes WHERE change_id IN (SELECT change_id FROM outlines_written)"
            " ORDER BY change_id",
            f"SELECT {', '.join(LOOK_COLUMNS)} FROM observations ORDER BY change_id, time, scene",
            f"SELECT {', '.join(SCENE_COLUMNS[:-1])} FROM scenes ORDER BY time, scene",
            "SELECT id, name, geom FROM aoi ORDER BY id",
            "SELECT key, value FROM provenance ORDER BY key",
        ):
            for row in db.execute(query):
                facts.update(repr(row).encode())
    return facts.hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows of a review file: scenes by (used or rejected, reason), alerts by (status, kind)."""

    scenes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    alerts: Mapping[tuple[str, str], int] = field(default_factory=dict)


def count_changes(path: Path) -> Counts:
    """Count the rows of a review file; zero without a file. Raises ReviewError as `open_review`."""
    if not path.exists():
        return Counts()
    with open_review(path, COUNT_SECONDS) as db:
        scenes = db.execute("SELECT used, reason, count(*) FROM scenes GROUP BY 1, 2").fetchall()
        alerts = db.execute(
            "SELECT status, kind, count(*) FROM changes"
            " WHERE change_id IN (SELECT change_id FROM outlines_written) GROUP BY 1, 2"
        ).fetchall()
    return Counts(
        scenes={("used" if used else "rejected", str(reason or "")): number for used, reason, number in scenes},
        alerts={(str(status), str(kind)): number for status, kind, number in alerts},
    )
