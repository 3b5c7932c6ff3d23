"""What a site's review.gpkg holds, read once into values: what reports and exports are made from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from pipeline.model.errors import ReviewError
from pipeline.review.geoblob import decode
from pipeline.review.gpkg import WAIT_SECONDS, opened
from pipeline.review.phrases import words
from pipeline.review.schema import ANALYST, MACHINE

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
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """Scene id -> addresses of the provider's items that its look was made of; nothing of local catalogues."""
        return {scene: tuple(hrefs) for scene, hrefs in json.loads(self.provenance.get("items", "{}")).items()}

    @property
    def cautions(self) -> tuple[str, ...]:
        """Sentences that the reader must know."""
        return tuple(json.loads(self.provenance.get("cautions", "[]")))


def read(path: Path, wait: float = WAIT_SECONDS) -> Contents:
    """The contents of a review file; raises ReviewError where there is none, or none of ours.

    wait: seconds given to whoever holds it.
    """
    if not path.exists():
        raise ReviewError("no review file", str(path), "run `groundbreak detect` for this site first")
    with opened(path, wait) as db:
        db.row_factory = _row
        # one transaction, so that all tables are of the same moment
        db.execute("BEGIN")
        columns = ", ".join(("fid", *MACHINE, *ANALYST, "geom"))
        changes = [_change(row) for row in db.execute(f"SELECT {columns} FROM changes") if row["geom"] is not None]
        looks: dict[str, list[Mapping[str, Any]]] = {}
        for row in db.execute("SELECT * FROM observations ORDER BY time, scene"):
            looks.setdefault(row["change_id"], []).append(row)
        scenes = db.execute("SELECT * FROM scenes ORDER BY time, scene").fetchall()
        news = db.execute("SELECT * FROM news WHERE latest ORDER BY fid").fetchall()
        aoi = db.execute("SELECT id, name, geom FROM aoi").fetchone()
        srs = db.execute("SELECT srs_id FROM gpkg_contents WHERE table_name = 'changes'").fetchone()["srs_id"]
        provenance = {row["key"]: row["value"] for row in db.execute("SELECT key, value FROM provenance")}
        db.execute("COMMIT")
    changes.sort(key=lambda c: (c["status"] == GONE, -(c["confidence"] or 0.0), c.id))
    return Contents(
        path=path, crs=f"EPSG:{srs}", site=aoi["id"], name=aoi["name"], aoi=decode(aoi["geom"]),
        changes=tuple(changes), looks={key: tuple(rows) for key, rows in looks.items()}, scenes=tuple(scenes),
        news=tuple(news), provenance=provenance,
    )  # fmt: skip


def _row(cursor: Any, values: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _change(row: Mapping[str, Any]) -> Change:
    facts = {name: value for name, value in row.items() if name != "geom"}
    return Change(facts=facts, outline=decode(row["geom"]), drawn=row["change_id"] is None)
