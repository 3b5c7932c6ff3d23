"""What a site's review.gpkg holds, read once into values: what reports and exports are made from."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from pipeline.model.errors import ReviewError
from pipeline.review.geoblob import decode
from pipeline.review.gpkg import WAIT_SECONDS, opened
from pipeline.review.phrases import label_of, words
from pipeline.review.schema import ANALYST, MACHINE, has_column

GONE = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """One row of `changes`: `facts` by column name as stored (dates as ISO text), outline in the site's CRS.

    drawn: True for an outline of the analyst's own, which has no change_id and few facts.
    """

    facts: Mapping[str, Any]
    outline: BaseGeometry
    drawn: bool

    @property
    def id(self) -> str:
        """The change_id, or a name made of the row number for an outline of the analyst's."""
        return str(self.facts["change_id"] or f"drawn-{self.facts['fid']}")

    @property
    def label(self) -> str:
        """The short name in maps, lists and file names; the id where an older review file has no label."""
        return label_of(self.facts) or self.id

    def __getitem__(self, column: str) -> Any:
        return self.facts[column]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contents:
    """All of a review file. changes: open ones first, surest first; scenes and looks in time order.

    looks: change_id -> its rows of `observations`. news: what the last night brought.
    """

    path: Path
    crs: str
    site: str
    name: str
    aoi: BaseGeometry
    changes: tuple[Change, ...]
    looks: Mapping[str, tuple[Mapping[str, Any], ...]]
    scenes: tuple[Mapping[str, Any], ...]
    news: tuple[Mapping[str, Any], ...]
    provenance: Mapping[str, str]

    @property
    def shown(self) -> tuple[Change, ...]:
        """What stands: neither withdrawn nor rejected by the analyst."""
        rejected = ("no change", "other change")
        return tuple(c for c in self.changes if c["status"] != GONE and c["verdict"] not in rejected)

    def told(self, change: Change) -> str:
        """A change as a sentence that may be sent on alone: what is simulated says so first."""
        return f"{'[simulated] ' if self.provenance.get('simulated') else ''}{words(change.facts)}"

    @property
    def cautions(self) -> tuple[str, ...]:
        """Sentences that the reader must know."""
        return tuple(json.loads(self.provenance.get("cautions", "[]")))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overview:
    """What the index needs of a review file. changes: rows of `changes` without outlines."""

    name: str
    crs: str
    aoi: BaseGeometry
    changes: tuple[Mapping[str, Any], ...]
    last_look: str
    provenance: Mapping[str, str]


def read_overview(path: Path, wait: float = WAIT_SECONDS) -> Overview:
    """The overview of a review file, without its observations and outlines; raises ReviewError like `read`."""
    with opened(path, wait) as db:
        db.execute("BEGIN")
        columns = ", ".join(("fid", *_machine(db), *ANALYST))
        last = db.execute("SELECT max(time) FROM scenes WHERE used").fetchone()[0]
        db.row_factory = _row
        changes = db.execute(f"SELECT {columns} FROM changes WHERE geom IS NOT NULL").fetchall()
        aoi, crs, provenance = _frame(db)
        db.execute("COMMIT")
    return Overview(
        name=aoi["name"], crs=crs, aoi=decode(aoi["geom"]), changes=tuple(changes), last_look=(last or "")[:10],
        provenance=provenance,
    )  # fmt: skip


def _machine(db: sqlite3.Connection) -> list[str]:
    """The machine's columns for a SELECT; one that an older file lacks is NULL."""
    return [name if has_column(db, name) else f"NULL AS {name}" for name in MACHINE]


def _frame(db: sqlite3.Connection) -> tuple[Mapping[str, Any], str, dict[str, str]]:
    """The row of the AOI, the reference system and the provenance."""
    aoi = db.execute("SELECT id, name, geom FROM aoi").fetchone()
    srs = db.execute("SELECT srs_id FROM gpkg_contents WHERE table_name = 'changes'").fetchone()["srs_id"]
    provenance = {row["key"]: row["value"] for row in db.execute("SELECT key, value FROM provenance")}
    return aoi, f"EPSG:{srs}", provenance


def read(path: Path, wait: float = WAIT_SECONDS) -> Contents:
    """The contents of a review file; raises ReviewError where there is none, or none of ours.

    wait: seconds given to whoever holds it.
    """
    if not path.exists():
        raise ReviewError("no review file", str(path), "run `groundbreak detect` for this site first")
    with opened(path, wait) as db:
        # one transaction, so that all tables are of the same moment
        db.execute("BEGIN")
        columns = ", ".join(("fid", *_machine(db), *ANALYST, "geom"))
        db.row_factory = _row
        changes = [_change(row) for row in db.execute(f"SELECT {columns} FROM changes") if row["geom"] is not None]
        looks: dict[str, list[Mapping[str, Any]]] = {}
        for row in db.execute("SELECT * FROM observations ORDER BY time, scene"):
            looks.setdefault(row["change_id"], []).append(row)
        scenes = db.execute("SELECT * FROM scenes ORDER BY time, scene").fetchall()
        news = db.execute("SELECT * FROM news WHERE latest ORDER BY fid").fetchall()
        aoi, crs, provenance = _frame(db)
        db.execute("COMMIT")
    changes.sort(key=lambda c: (c["status"] == GONE, -(c["confidence"] or 0.0), c.id))
    return Contents(
        path=path, crs=crs, site=aoi["id"], name=aoi["name"], aoi=decode(aoi["geom"]),
        changes=tuple(changes), looks={key: tuple(rows) for key, rows in looks.items()}, scenes=tuple(scenes),
        news=tuple(news), provenance=provenance,
    )  # fmt: skip


def _row(cursor: Any, values: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _change(row: Mapping[str, Any]) -> Change:
    facts = {name: value for name, value in row.items() if name != "geom"}
    return Change(facts=facts, outline=decode(row["geom"]), drawn=row["change_id"] is None)
