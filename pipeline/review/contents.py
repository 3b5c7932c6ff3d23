"""Content of a site's review.gpkg, the source of reports and exports."""

import json
import re
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from pipeline.model.errors import ReviewError
from pipeline.review.descriptions import describe_change, label_of
from pipeline.review.geoblob import decode_polygons
from pipeline.review.gpkg import open_review
from pipeline.review.rows import clean_row, clean_table, is_complete
from pipeline.review.schema import ANALYST, MACHINE, NEWS, OBSERVATIONS, PHASES, SCENES, has_column

GONE = "withdrawn"
_WEB = re.compile(r"https?://[^\s\"'<>]+\Z")
_LOOK, _NEWS = ("change_id", "scene", "time", "seen"), ("as_of", "change_id", "event")
"""Columns that a row of `observations` or `news` must have."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """One row of `changes`: `facts` by column name as stored (dates as ISO text), outline in the site's CRS.

    drawn: True for an outline of the analyst's own, which has no change_id and few facts. own_id: an id that the
    analyst gave such an outline.
    """

    facts: Mapping[str, Any]
    outline: BaseGeometry
    drawn: bool
    own_id: str | None = None

    @property
    def id(self) -> str:
        """The change_id; of an outline of the analyst's its own id, or a name made of the row number."""
        return str(self.facts["change_id"] or self.own_id or f"drawn-{self.facts['fid']}")

    @property
    def label(self) -> str:
        """The short name in maps, lists and file names; the id where an older review file has no label."""
        return label_of(self.facts) or self.id

    def __getitem__(self, column: str) -> Any:
        return self.facts[column]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contents:
    """All of a review file. changes: open ones first, surest first; scenes and looks in time order.

    looks, phases: change_id -> its rows of `observations` and of `phases`. news: what the last night brought.
    """

    path: Path
    crs: str
    site: str
    name: str
    aoi: BaseGeometry
    changes: tuple[Change, ...]
    looks: Mapping[str, tuple[Mapping[str, Any], ...]]
    phases: Mapping[str, tuple[Mapping[str, Any], ...]]
    scenes: tuple[Mapping[str, Any], ...]
    news: tuple[Mapping[str, Any], ...]
    provenance: Mapping[str, str]

    @property
    def shown(self) -> tuple[Change, ...]:
        """Changes that are neither withdrawn nor rejected by the analyst."""
        rejected = ("no change", "other change")
        return tuple(c for c in self.changes if c["status"] != GONE and c["verdict"] not in rejected)

    def sentence_of(self, change: Change) -> str:
        """Sentence on a change that is complete by itself; simulated content is stated first."""
        return f"{'[simulated] ' if self.provenance.get('simulated') else ''}{describe_change(change.facts)}"

    @property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """Scene id -> addresses of the provider's items that its look was made of; nothing of local catalogues."""
        try:
            found = json.loads(self.provenance.get("items", "{}"))
            # a review file comes from anywhere: nothing but an address of the web becomes a link
            return {str(scene): tuple(href for href in hrefs if _WEB.match(href)) for scene, hrefs in found.items()}
        except (ValueError, TypeError, AttributeError):
            return {}

    def items_of(self, change: "Change") -> Mapping[str, str]:
        """Addresses of the provider's items of a change's pair: `before_item` and `after_item`, as far as known."""
        sources, scenes = self.sources, {side: change[f"{side}_scene"] for side in ("before", "after")}
        found = {f"{side}_item": sources.get(str(scene), ()) for side, scene in scenes.items()}
        return {name: hrefs[0] for name, hrefs in found.items() if hrefs}

    @property
    def cautions(self) -> tuple[str, ...]:
        """Cautions for the reader, as sentences."""
        try:
            return tuple(map(str, json.loads(self.provenance.get("cautions", "[]"))))
        except (ValueError, TypeError):
            return ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overview:
    """Part of a review file for the index. changes: rows of `changes` without outlines."""

    name: str
    crs: str
    aoi: BaseGeometry
    changes: tuple[Mapping[str, Any], ...]
    last_look: str
    provenance: Mapping[str, str]


def read_overview(path: Path, wait: float | None = None) -> Overview:
    """The overview of a review file, without its observations and outlines; raises ReviewError like `read_contents`."""
    with open_review(path, wait) as db:
        db.execute("BEGIN")
        columns = ", ".join(("fid", *_machine_columns(db), *ANALYST))
        last = db.execute("SELECT max(time) FROM scenes WHERE used").fetchone()[0]
        ours = {change_id for (change_id,) in db.execute("SELECT change_id FROM outlines_written")}
        db.row_factory = _row_as_dict
        changes = [clean_row(row) for row in db.execute(f"SELECT {columns} FROM changes WHERE geom IS NOT NULL")]
        aoi, crs, provenance = _read_frame(db, path)
        db.execute("COMMIT")
    known = [row if row["change_id"] in ours and is_complete(row) else {**row, "change_id": None} for row in changes]
    return Overview(
        name=str(aoi["name"]), crs=crs, aoi=_read_aoi(aoi["geom"], path), changes=tuple(known),
        last_look=str(last or "")[:10], provenance=provenance,
    )  # fmt: skip


def _machine_columns(db: sqlite3.Connection) -> list[str]:
    """The machine's columns for a SELECT; one that an older file lacks is NULL."""
    return [name if has_column(db, name) else f"NULL AS {name}" for name in MACHINE]


def _read_frame(db: sqlite3.Connection, path: Path) -> tuple[Mapping[str, Any], str, dict[str, str]]:
    """The row of the AOI, the reference system and the provenance."""
    aoi = db.execute("SELECT id, name, geom FROM aoi").fetchone()
    srs = db.execute("SELECT srs_id FROM gpkg_contents WHERE table_name = 'changes'").fetchone()
    if srs is None or aoi is None:
        raise ReviewError("the site's outline is missing", str(path), "run `groundbreak nightly`: it is written again")
    provenance = {str(row["key"]): str(row["value"]) for row in db.execute("SELECT key, value FROM provenance")}
    return aoi, f"EPSG:{srs['srs_id']}", provenance


def read_contents(path: Path, wait: float | None = None, *, looks: bool = True) -> Contents:
    """Read a review file. Raises ReviewError if it does not exist or is not a file of this program.

    wait: seconds to wait for a lock of another process; None for `lock_seconds()`. looks: False leaves out the rows
    of `observations`, one per change and look, which take most of the time.
    """
    if not path.exists():
        raise ReviewError("no review file", str(path), "run `groundbreak detect` for this site first")
    with open_review(path, wait) as db:
        # one transaction, so that all tables are of the same moment
        db.execute("BEGIN")
        columns = ", ".join(("fid", *_machine_columns(db), *ANALYST, "geom"))
        db.row_factory = _row_as_dict
        ours = {row["change_id"] for row in db.execute("SELECT change_id FROM outlines_written")}
        rows = db.execute(f"SELECT {columns} FROM changes").fetchall()
        observed = db.execute("SELECT * FROM observations ORDER BY time, scene") if looks else ()
        seen = clean_table(observed, OBSERVATIONS, _LOOK)
        scenes = clean_table(db.execute("SELECT * FROM scenes ORDER BY time, scene"), SCENES, ("scene", "time", "used"))
        news = clean_table(db.execute("SELECT * FROM news WHERE latest ORDER BY fid"), NEWS, _NEWS)
        phases = _read_phases(db)
        aoi, crs, provenance = _read_frame(db, path)
        db.execute("COMMIT")
    changes = [change for row in rows if (change := _change_from_row(row, ours)) is not None]
    changes.sort(key=lambda c: (c["status"] == GONE, -(c["confidence"] or 0.0), c.id))
    return Contents(
        path=path, crs=crs, site=str(aoi["id"]), name=str(aoi["name"]), aoi=_read_aoi(aoi["geom"], path),
        changes=tuple(changes), looks=_by_change(seen), phases=_by_change(phases), scenes=tuple(scenes),
        news=tuple(news), provenance=provenance,
    )  # fmt: skip


def _read_phases(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """The rows of `phases`, in time order; none in an older file."""
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'phases' AND type = 'table'").fetchone() is None:
        return []
    return clean_table(db.execute('SELECT * FROM phases ORDER BY "from"'), PHASES, ("change_id", "state", "from"))


def _by_change(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Mapping[str, Any], ...]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["change_id"], []).append(row)
    return {change_id: tuple(own) for change_id, own in found.items()}


def _row_as_dict(cursor: Any, values: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _change_from_row(row: Mapping[str, Any], ours: Collection[str]) -> Change | None:
    """Change of a row with an outline; a row that the machine has not written completely is the analyst's."""
    facts = clean_row({name: value for name, value in row.items() if name != "geom"})
    try:
        outline = decode_polygons(row["geom"])
    except ValueError:
        return None
    change_id = facts["change_id"]
    if change_id in ours and is_complete(facts):
        return Change(facts=facts, outline=outline, drawn=False)
    return Change(facts={**facts, "change_id": None}, outline=outline, drawn=True, own_id=change_id)


def _read_aoi(blob: object, path: Path) -> BaseGeometry:
    try:
        return decode_polygons(blob)
    except ValueError as error:
        fix = "run `groundbreak nightly`: it is written again"
        raise ReviewError(f"the site's outline cannot be read: {error}", str(path), fix) from error
